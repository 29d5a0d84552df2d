"""
The vectors of web-platform-tests and of publicsuffix.org, by the store itself.

They lie beside the checkout, in ``../shared/vectors``; without them these tests are skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import World, cookie_vectors, date_vectors, suffix_vectors
from twisted_gun.cookies.dates import parse_cookie_date
from twisted_gun.cookies.domains import canonical_host, registrable_domain


def written(time: float | None) -> str | None:
    """`time` as the vectors write it."""
    return None if time is None else datetime.fromtimestamp(time, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


class VectorTests(SynchronousTestCase):
    """Each of them."""

    def test_cookies(self) -> None:
        """What was set for one URL is what is sent to another."""
        cases = cookie_vectors()
        self.assertEqual(len(cases), 384)
        for case in cases:
            world = World()
            world.set(case["set_url"], *case["set_cookie"])
            self.assertEqual(world.sent(case["get_url"]), case["expected"], case["id"])

    def test_dates(self) -> None:
        """Dates, however written."""
        cases = date_vectors()
        self.assertEqual(len(cases), 15)
        for text, expected in cases:
            self.assertEqual(written(parse_cookie_date(text.encode("ascii"))), expected, text)

    def test_expiries(self) -> None:
        """The same dates, as the time when a cookie expires: it is sent until then, and not from then on."""
        for text, expected in date_vectors():
            world = World()
            time = parse_cookie_date(text.encode("ascii"))
            if expected is None or time is None:
                world.set("http://a.example/", f"a=b; Expires={text}")
                self.assertEqual([cookie.persistent for cookie in world.store], [False], text)
                continue
            world.now = time - 1
            world.set("http://a.example/", f"a=b; Expires={text}")
            self.assertEqual(world.sent("http://a.example/"), "a=b", text)
            world.now = time
            self.assertEqual(world.sent("http://a.example/"), "", text)

    def test_registrable_domains(self) -> None:
        """Below which suffix a name was registered."""
        cases = suffix_vectors()
        self.assertEqual(len(cases), 77 + 1)  # 77 names, and null
        for name, registered in cases:
            expected = None if registered is None else canonical_host(registered)
            self.assertEqual(registrable_domain(name or ""), expected, name)

    def test_public_suffixes(self) -> None:
        """A server may set cookies for the name that was registered, and for nothing above it."""
        for given, registered in suffix_vectors():
            name = canonical_host(given or "")
            if name is None:
                self.assertFalse(World().set(f"http://{given or ''}/", "a=b"), given)
            elif registered is None:
                self.check_suffix(name)
            else:
                self.check_registered(name, canonical_host(registered) or "")

    def check_suffix(self, name: str) -> None:
        """A suffix itself has cookies of its own, and no more; those below have none for it."""
        world = World()
        self.assertFalse(world.set(f"http://www.{name}/", f"a=b; Domain={name}"), name)
        self.assertTrue(world.set(f"http://{name}/", f"a=b; Domain={name}"), name)
        self.assertEqual((world.sent(f"http://{name}/"), world.sent(f"http://www.{name}/")), ("a=b", ""), name)

    def check_registered(self, name: str, registered: str) -> None:
        """From `name` cookies are set for all that is below `registered`, and for nothing above."""
        world = World()
        self.assertTrue(world.set(f"http://{name}/", f"a=b; Domain={registered}"), name)
        self.assertEqual(world.sent(f"http://other.{registered}/"), "a=b", name)
        above = registered.partition(".")[2]
        self.assertFalse(world.set(f"http://{name}/", f"a=b; Domain={above}"), name)
