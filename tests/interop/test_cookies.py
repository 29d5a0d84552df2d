"""The vectors of cookies over sockets: a server that sets what it is told to, in plain and over TLS, and one store behind each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from zope.interface import implementer

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.cookies.world import NOW, cookie_vectors, date_vectors
from tests.stage import answer
from twisted_gun.cookies.dates import parse_cookie_date
from twisted_gun.testing import ScriptedPeer


@implementer(gun.ICookieStore)
class Current:
    """The store of the case that is under way."""

    store = gun.CookieStore()

    def query(self, uri: gun.CookieUri) -> Sequence[gun.Cookie]:
        """As that."""
        return self.store.query(uri)

    def set_cookie(self, uri: gun.CookieUri, value: bytes) -> bool:
        """As that."""
        return self.store.set_cookie(uri, value)

    def gc(self) -> None:
        """As that."""
        self.store.gc()

    def session_gc(self) -> None:
        """As that."""
        self.store.session_gc()


class CookieTests(TestCase):
    """Two connections, to one server in plain and over TLS, by the name of "localhost"; the Host field says who is meant."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.current = Current()
        self.now = NOW
        self.set: list[bytes] = []
        self.asked: list[Any] = []
        self.ports: list[IListeningPort] = []
        self.connections: dict[str, gun.Connection] = {}
        factory = Factory.forProtocol(lambda: ScriptedPeer(self.serve))
        creator = ServerCreator(authority().issue("localhost"))
        for scheme, server in (("http", factory), ("https", TLSMemoryBIOFactory(creator, False, factory))):
            port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(server)
            self.ports.append(port)
            options: dict[str, Any] = {}
            if scheme == "https":
                trusted = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
                options = {"transport": "tls", "protocols": ["http"], "tls_opts": {"trust_root": trusted, "server_name": "localhost"}}
            self.connections[scheme] = gun.open("127.0.0.1", port.getHost().port, cookie_store=self.current, **options)

    async def tearDown(self) -> None:  # type: ignore[override]
        for connection in self.connections.values():
            await connection.shutdown()
        for port in self.ports:
            await maybeDeferred(port.stopListening)

    def serve(self, peer: ScriptedPeer) -> None:
        """Answer the last request with what is to be set."""
        if peer.requests and peer.requests[-1].complete:
            self.asked.append(peer.requests[-1])
            peer.received = b""
            peer.send(answer(b"", 200, *(b"set-cookie: " + value for value in self.set)))

    async def ask(self, url: str, *set_cookie: str) -> str:
        """The Cookie field of a GET for `url`, which is answered with these Set-Cookie fields."""
        parts = urlsplit(url)
        self.set = [value.encode("latin-1") for value in set_cookie]
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        await self.connections[parts.scheme].get(target, {"host": parts.netloc}).await_response()
        return b"; ".join(value for name, value in self.asked[-1].headers if name == b"cookie").decode("latin-1")

    def begin(self) -> None:
        """A store of its own for the next case."""
        self.current.store = gun.CookieStore(now=lambda: self.now)

    async def test_cookies(self) -> None:
        """384 of 384."""
        cases = cookie_vectors()
        self.assertEqual(len(cases), 384)
        for case in cases:
            self.begin()
            self.assertEqual(await self.ask(case["set_url"], *case["set_cookie"]), "", case["id"])
            self.assertEqual(await self.ask(case["get_url"]), case["expected"], case["id"])

    async def test_dates(self) -> None:
        """Each date is when a cookie is sent no longer; what is no date makes one of this session."""
        for text, expected in date_vectors():
            self.begin()
            time = parse_cookie_date(text.encode("ascii"))
            self.assertEqual(time is None, expected is None, text)
            self.now = NOW if time is None else time - 1
            await self.ask("http://a.example/", f"a=b; Expires={text}")
            self.assertEqual(await self.ask("http://a.example/"), "a=b", text)
            self.now = NOW + 10**10 if time is None else time
            self.assertEqual(await self.ask("http://a.example/"), "a=b" if time is None else "", text)
