"""
The vectors end to end: what servers set, over connections of their own, is what a later connection with the same store sends.

They lie beside the checkout, in ``../shared/vectors``; without them these tests are skipped.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import NOW, cookie_vectors, date_vectors, suffix_vectors
from tests.stage import answer
from tests.test_over_tls import TlsWorld
from twisted_gun import CookieStore
from twisted_gun.cookies.dates import parse_cookie_date
from twisted_gun.cookies.domains import canonical_host
from twisted_gun.testing import MemoryGun


class Internet:
    """Every server there is, each reached by a connection of its own; they share a store, whose clock stands still at `now`."""

    def __init__(self, protocol: str) -> None:
        self.now = NOW
        self.store = CookieStore(now=lambda: self.now)
        self.protocol = protocol
        self._worlds: dict[str, Any] = {}

    def ask(self, url: str, *set_cookie: str) -> str:
        """The Cookie field of a GET for `url`, which is answered with these Set-Cookie fields; empty where there was none."""
        parts = urlsplit(url)
        world = self._world(parts.scheme, parts.netloc)
        # A certificate is for one name: over TLS the Host field says who is meant.
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        stream = world.connection.get(target, {"host": parts.netloc} if parts.scheme == "https" else {})
        answers: list[Any] = []
        stream.await_response().addBoth(answers.append)
        world.pump()
        fields = [value for name, value in world.peer.requests[-1].headers if name == b"cookie"]
        assert len(fields) <= 1, fields
        self._answer(world.peer, [value.encode("latin-1") for value in set_cookie])
        world.pump()
        assert [response.status for response in answers] == [200], answers
        return b"".join(fields).decode("latin-1")

    def _world(self, scheme: str, host: str) -> Any:
        if host not in self._worlds:
            make: Any = TlsWorld if scheme == "https" else lambda **options: MemoryGun(host, 80, **options)
            self._worlds[host] = make(protocols=["http"] if scheme == "https" else [self.protocol], cookie_store=self.store)
            self._worlds[host].pump()
        return self._worlds[host]

    def _answer(self, peer: Any, values: list[bytes]) -> None:
        if hasattr(peer, "respond"):
            # RFC 9113 section 8.2.1: "A field value MUST NOT start or end with an ASCII whitespace character".
            peer.respond(peer.requests[-1], 200, [(b"set-cookie", value.strip(b" \t")) for value in values])
        else:
            peer.send(answer(b"", 200, *(b"set-cookie: " + value for value in values)))


class EndToEndTests(SynchronousTestCase):
    """Over HTTP/1.1, TLS where the URL says so."""

    protocol = "http"

    def test_cookies(self) -> None:
        """384 of 384."""
        cases = cookie_vectors()
        self.assertEqual(len(cases), 384)
        for case in cases:
            internet = Internet(self.protocol)
            self.assertEqual(internet.ask(case["set_url"], *case["set_cookie"]), "")
            self.assertEqual(internet.ask(case["get_url"]), case["expected"], case["id"])

    def test_dates(self) -> None:
        """Each date is when a cookie is sent no longer; what is no date makes one of this session."""
        for text, expected in date_vectors():
            internet = Internet(self.protocol)
            time = parse_cookie_date(text.encode("ascii"))
            self.assertEqual(time is None, expected is None, text)
            internet.now = NOW if time is None else time - 1
            internet.ask("http://a.example/", f"a=b; Expires={text}")
            self.assertEqual(internet.ask("http://a.example/"), "a=b", text)
            internet.now = NOW + 10**10 if time is None else time
            self.assertEqual(internet.ask("http://a.example/"), "a=b" if time is None else "", text)

    def test_public_suffixes(self) -> None:
        """A server sets cookies for all that is below the name that was registered, and for nothing above it."""
        checked = 0
        for given, registered in suffix_vectors():
            name = canonical_host(given or "")
            if given is None or name is None:  # nobody is connected to ".com"
                continue
            checked += 1
            internet = Internet(self.protocol)
            registered = canonical_host(registered or "")
            suffix = name if registered is None else registered.partition(".")[2]
            fields = [f"evil=1; Domain={suffix}", *([] if registered is None else [f"good=1; Domain={registered}"])]
            internet.ask(f"http://www.{name}/", *fields)
            self.assertEqual(internet.ask(f"http://other.{suffix}/"), "", given)
            if registered is not None:
                self.assertEqual(internet.ask(f"http://other.{registered}/"), "good=1", given)
        self.assertEqual(checked, 77 - 4)  # those that begin with a dot


class Http2Tests(EndToEndTests):
    """The same over HTTP/2."""

    protocol = "http2"
