"""Certificates that prove nothing are refused through real proxies as they are without: an origin's on each path, and a proxy's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.python import log

import twisted_gun as gun
from tests.certificates import Authority, Issued, ServerCreator, authority, self_signed
from tests.interop.proxies import Microsocks, Nghttpx, Proxy, Squid, Tinyproxy, missing_proxy
from tests.test_tls_open import LoopbackCase, Server, trust

HOST = "127.0.0.1"
CREDENTIALS = ("gun", "pass-word.1")

#: What proves nothing about HOST: how it is made, what is said of it, and the options with which it would be refused.
BAD: dict[str, tuple[Callable[[], Issued], str, dict[str, Any]]] = {
    "wrong name": (lambda: authority().issue("192.0.2.1", "localhost"), "192.0.2.1", {}),
    "expired": (lambda: authority().issue(HOST, days=(-9, -1)), "expired", {}),
    "not yet valid": (lambda: authority().issue(HOST, days=(1, 9)), "not yet valid", {}),
    "untrusted": (lambda: Authority("nobody knows it").issue(HOST), "not signed by a trusted authority", {}),
    "self-signed": (lambda: self_signed(HOST), "self-signed", {}),
    "no subjectAltName": (lambda: authority().issue(common_name=HOST), "no usable subjectAltName", {}),
    "pin": (lambda: authority().issue(HOST), "none of those pinned", {"pins": [bytes(32)]}),
}


def tls_failure(error: BaseException | None) -> gun.TlsFailed:
    """The `TlsFailed` that is `error` or behind it."""
    met = error
    while met is not None and not isinstance(met, gun.TlsFailed):
        met = met.__cause__
    assert met is not None, f"no certificate was refused: {error!r}"
    return met


class PathCase(LoopbackCase):
    """Origins of our own, which know what they received, and proxies of others before them."""

    timeout = 60

    def good(self) -> Issued:
        """A certificate that proves something."""
        return authority().issue(HOST)

    async def through(self, *proxies: Proxy) -> None:
        """Each bad certificate of an origin is refused behind these proxies, nothing is sent to it, and a good one is accepted."""
        for proxy in proxies:
            await proxy.start()
        urls = [proxy.url for proxy in proxies]
        for name, (make, words, tls_opts) in BAD.items():
            server = self.serve(make())
            conn = self.connection(server, urls, **tls_opts)
            body = conn.post("/secret", {"authorization": "secret"}, b"secret").await_body()
            error: Any = await self.assertFailure(conn.await_up(), gun.GunError)
            log.msg(f"{[type(proxy).__name__ for proxy in proxies]} {name}: {error} / {tls_failure(error)}")
            self.assertIn(words, str(tls_failure(error)))
            await self.assertFailure(body, gun.GunError)
            self.assertEqual(await server.emptied(), [b""], name)
            for proxy in proxies[-1:]:
                await proxy.has_reached(server.port)
        issued = self.good()
        conn = self.connection(self.serve(issued), urls, pins=[issued.pin])
        self.assertEqual(await conn.get("/").await_body(), b"ok")

    def connection(self, server: Server, urls: Sequence[str], **options: Any) -> gun.Connection:
        """A connection to this origin, by way of these proxies, which is closed when the test is over."""
        tls_opts = {"trust_root": trust(), **options}
        conn = gun.open(HOST, server.port, transport="tls", protocols=["http"], tls_opts=tls_opts, proxy=list(urls), retry=0)
        self.addCleanup(self.ended, conn)
        return conn


class OriginTests(PathCase):
    """Bad certificates of origins."""

    skip = missing_proxy(Tinyproxy, Squid, Microsocks, Nghttpx)

    async def test_direct(self) -> None:
        """Without a proxy."""
        await self.through()

    async def test_connect(self) -> None:
        """By CONNECT over HTTP/1.1."""
        await self.through(Tinyproxy(self, credentials=CREDENTIALS))

    async def test_socks5(self) -> None:
        """By SOCKS5."""
        await self.through(Microsocks(self, credentials=CREDENTIALS))

    async def test_tls_in_tls(self) -> None:
        """By CONNECT over HTTP/1.1 over TLS."""
        await self.through(Squid(self, credentials=CREDENTIALS, tls=self.good()))

    async def test_http2(self) -> None:
        """By CONNECT over HTTP/2."""
        await self.through(self.nghttpx())

    async def test_two_deep(self) -> None:
        """By SOCKS5 in CONNECT."""
        await self.through(Tinyproxy(self, credentials=CREDENTIALS), Microsocks(self, credentials=CREDENTIALS))

    async def test_tls_in_tls_in_tls(self) -> None:
        """By CONNECT over HTTP/2 over TLS in CONNECT over HTTP/1.1 over TLS."""
        await self.through(Squid(self, credentials=CREDENTIALS, tls=self.good()), self.nghttpx())

    def nghttpx(self) -> Proxy:
        """A proxy of HTTP/2."""
        return Nghttpx(self, behind=Tinyproxy(self, credentials=CREDENTIALS), tls=self.good())


class ByHandTests(PathCase):
    """The same, where the tunnels are asked for one by one: what counts are the TLS options of the destination."""

    skip = OriginTests.skip

    async def refused_by(self, tunnel_to: Callable[[Server, dict[str, Any]], Any], proxy: Proxy) -> None:
        """Each bad certificate is refused in a tunnel that is made so, nothing is sent, and a good one is accepted."""
        for name, (make, words, tls_opts) in BAD.items():
            server = self.serve(make())
            tunnel = tunnel_to(server, {"trust_root": trust(), **tls_opts})
            body = tunnel.post("/secret", {"authorization": "secret"}, b"secret").await_body()
            error: Any = await self.assertFailure(tunnel.await_up(), gun.GunError)
            self.assertIn(words, str(tls_failure(error)))
            await self.assertFailure(body, gun.GunError)
            self.assertEqual(await server.emptied(), [b""], name)
            await proxy.has_reached(server.port)
        issued = self.good()
        tunnel = tunnel_to(self.serve(issued), {"trust_root": trust(), "pins": [issued.pin]})
        self.assertEqual(await tunnel.get("/").await_body(), b"ok")
        tunnel.cancel()

    def to_proxy(self, proxy: Proxy, protocol: str) -> gun.Connection:
        """A connection to the proxy."""
        tls_opts = {"trust_root": trust()}
        conn = gun.open(HOST, proxy.port, transport=proxy.transport_name, protocols=[protocol], tls_opts=tls_opts, retry=0)
        self.addCleanup(self.ended, conn)
        return conn

    async def test_connect(self) -> None:
        """By CONNECT over HTTP/1.1: each tunnel takes a connection of its own."""
        proxy = Tinyproxy(self)
        await proxy.start()
        await self.refused_by(lambda server, tls_opts: self.to_proxy(proxy, "http").connect(described(server, tls_opts)), proxy)

    async def test_http2(self) -> None:
        """By CONNECT over HTTP/2: the tunnels share a connection, which outlives all that fail."""
        proxy = Nghttpx(self, behind=Tinyproxy(self), tls=self.good())
        await proxy.start()
        conn = self.to_proxy(proxy, "http2")
        await self.refused_by(lambda server, tls_opts: conn.connect(described(server, tls_opts)), proxy)


def described(server: Server, tls_opts: dict[str, Any]) -> dict[str, Any]:
    """This origin as a destination."""
    return {"host": HOST, "port": server.port, "transport": "tls", "protocols": ["http"], "tls_opts": tls_opts}


class ProxyTests(PathCase):
    """Bad certificates of proxies: they see neither the credentials nor where one wanted to go."""

    #: What they choose by ALPN.
    chosen: ClassVar[dict[str, Any]] = {"nothing": None, "HTTP/1.1": lambda _: b"http/1.1", "HTTP/2": lambda _: b"h2"}

    async def refused(self, *before: Proxy) -> None:
        """Each bad proxy, the last one behind those `before` it, is refused, and nothing is sent to it."""
        for name, (make, words, tls_opts) in BAD.items():
            for choose in self.chosen.values():
                bad, origin = self.serve(ServerCreator(make(), choose=choose)), self.serve()
                urls = [*[proxy.url for proxy in before], f"https://gun:secret@{HOST}:{bad.port}"]
                options: dict[str, Any] = {
                    "tls_opts": {"trust_root": trust()},
                    "proxy_tls_opts": {"trust_root": trust(), **tls_opts},
                    "proxy": urls,
                }
                conn = gun.open(HOST, origin.port, transport="tls", retry=0, **options)
                self.addCleanup(self.ended, conn)
                error: Any = await self.assertFailure(conn.await_up(), gun.GunError)
                log.msg(f"proxy {len(before)} {name}: {error} / {tls_failure(error)}")
                self.assertIn(words, str(tls_failure(error)))
                self.assertEqual((await bad.emptied(), origin.peers), ([b""], []), name)

    async def test_first(self) -> None:
        """The first proxy is refused."""
        await self.refused()

    async def test_second(self) -> None:
        """A proxy behind another is refused."""
        proxy = Microsocks(self, credentials=CREDENTIALS)
        await proxy.start()
        await self.refused(proxy)

    test_second.skip = missing_proxy(Microsocks)  # type: ignore[attr-defined]

    async def test_squid(self) -> None:
        """squid with another's certificate is told nothing, where it is not believed all the same."""
        proxy = Squid(self, credentials=CREDENTIALS, tls=authority().issue("192.0.2.1"))
        await proxy.start()
        refused, believed = self.serve(self.good()), self.serve(self.good())
        error: Any = await self.assertFailure(self.connection(refused, [proxy.url]).await_up(), gun.GunError)
        tls_failure(error)
        options: dict[str, Any] = {"tls_opts": {"trust_root": trust()}, "proxy_tls_opts": {"verify": False}, "proxy": proxy.url}
        conn = gun.open(HOST, believed.port, transport="tls", retry=0, **options)
        self.addCleanup(self.ended, conn)
        self.assertEqual(await conn.get("/").await_body(), b"ok")
        await proxy.has_reached(believed.port)
        self.assertEqual(proxy.log.count(b"CONNECT"), proxy.log.count(b"CONNECT %b:%d" % (HOST.encode(), believed.port)))

    test_squid.skip = missing_proxy(Squid)  # type: ignore[attr-defined]

    async def test_old_tls(self) -> None:
        """A proxy whose TLS is older than the origin's may be is refused too: by default what is the least for one is so for the other."""
        bad = self.serve(ServerCreator(self.good(), maximum=SSL.TLS1_2_VERSION))
        conn = self.connection(self.serve(), [f"https://gun:secret@{HOST}:{bad.port}"], minimum="1.3")
        error: Any = await self.assertFailure(conn.await_up(), gun.GunError)
        tls_failure(error)
        self.assertEqual(await bad.emptied(), [b""])
