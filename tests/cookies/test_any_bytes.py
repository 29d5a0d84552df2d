"""Whatever a server sends as Set-Cookie, nothing is raised, and nothing gets into a request but cookies."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import NOW, World, uri
from twisted_gun.cookies import CookieUri, cookie_header
from twisted_gun.cookies.parsing import parse_set_cookie

SETTINGS = settings(max_examples=400, deadline=None, database=None, derandomize=True)

PIECES = [
    b"a=b",
    b"=",
    b";",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\0",
    b"\x7f",
    b"\xff",
    b'"',
    b",",
    b"Domain=",
    b"site.example",
    b".",
    b"Path=/",
    b"/",
]
PIECES += [
    b"Max-Age=",
    b"10",
    b"-1",
    b"Expires=",
    b"Mon, 10 Dec 2029 10:10:10 GMT",
    b"Secure",
    b"HttpOnly",
    b"SameSite=",
    b"None",
    b"__Host-",
    b"__Secure-",
]
FIELDS = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
HOSTS = st.one_of(
    st.sampled_from(["site.example", "www.site.example", "co.uk", "127.0.0.1", "::1", "bücher.example", "a..b", ""]), st.text(max_size=20)
)
URIS = st.builds(CookieUri, st.sampled_from(["http", "https"]), HOSTS, st.one_of(st.just("/"), st.text(max_size=20)))


class AnyBytesTests(SynchronousTestCase):
    """Anything at all."""

    @SETTINGS
    @given(st.lists(st.tuples(URIS, FIELDS), max_size=4))
    def test_anything(self, received: list[tuple[CookieUri, bytes]]) -> None:
        """Any bytes from anywhere: no exception, and a field that holds a cookie between two "; "."""
        world = World(max_per_domain=2)
        for where, field in received:
            taken = world.store.set_cookie(where, field)
            self.assertIsInstance(taken, bool)
        for where, _ in received:
            cookies = world.store.query(where)
            header = cookie_header(cookies)
            self.assertEqual(header.count(b";"), max(0, len(cookies) - 1))
            self.assertEqual(header.split(b"; ") if header else [], [cookie_header([one]) for one in cookies])
            self.assertFalse(set(header) & {0, 10, 13, 127})
            self.assertTrue(where.scheme == "https" or not any(one.secure_only for one in cookies))

    @SETTINGS
    @given(FIELDS)
    def test_saved(self, field: bytes) -> None:
        """Whatever is kept goes through a file unchanged."""
        world, other = World(), World()
        world.set("https://www.site.example/a/b", field)
        path = self.mktemp()
        world.store.save(path, session=True)
        other.store.load(path)
        self.assertEqual(list(other.store), list(world.store))
        self.assertEqual([one.value for one in other.store], [one.value for one in world.store])

    def test_linear(self) -> None:
        """Eight times the field takes about eight times as long: 16 times at most, where quadratic were 64."""
        for start, piece in (
            (b"a=b", b";"),
            (b"a=b", b"; Expires=1"),
            (b"a=b; Expires=", b"1-"),
            (b"a=b; Expires=", b"1:"),
            (b"a", b" "),
            (b"a=b;", b"="),
            (b"", b"="),
        ):
            short, long = (self.least_time(start + piece * (size // len(piece))) for size in (20_000, 160_000))
            self.assertLess(long, 16 * short + 0.002, piece)

    def least_time(self, field: bytes) -> float:
        """The least seconds that reading `field` takes."""
        times = []
        for _ in range(5):
            before = time.process_time()
            parse_set_cookie(field, NOW)
            times.append(time.process_time() - before)
        return min(times)

    def test_flood(self) -> None:
        """Two thousand of the largest cookies leave 180, of less than 1 MiB."""
        world = World()
        for number in range(2000):
            world.store.set_cookie(uri("http://site.example/"), b"%d=%s" % (number, b"x" * 4090))
        self.assertEqual(len(world.store), 180)
        self.assertLess(sum(len(one.name) + len(one.value) for one in world.store), 2**20)
