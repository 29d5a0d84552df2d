"""Through proxies of HTTP/1.1, plain and over TLS, alone and one behind the other: tinyproxy, squid, apache."""

from __future__ import annotations

from typing import Any, ClassVar

import twisted_gun as gun
from tests.certificates import Issued
from tests.interop.proxied import Case, ProxyCase, ProxyTests, RestartTests, TunnelRestartTests
from tests.interop.proxies import Apache, Credentials, Microsocks, Nghttpx, Proxy, Squid, Tinyproxy, TlsFront, missing_proxy
from tests.interop.servers import close, missing
from tests.interop.test_restarts import Owner, soon

NODE = missing("node", "nodejs") or missing("haproxy", "haproxy")


class TinyproxyCase(ProxyCase):
    """tinyproxy, which answers wrong credentials by 401."""

    skip = NODE or missing_proxy(Tinyproxy)
    # It delays small packets: HTTP/2 goes up by one window of node's, 64 KiB, every 40 ms, whoever the client is.
    most_by_http2 = 1_000_000
    answers: ClassVar[dict[str, Any]] = {"wrong": 401, "none": 407, "refused": 403, "closed": 500, "unknown": 500}

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Tinyproxy(self, credentials=credentials)


class TlsTinyproxyCase(TinyproxyCase):
    """tinyproxy, with HAProxy before it for TLS."""

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return TlsFront(self, behind=Tinyproxy(self, credentials=credentials), tls=tls, alpn="http/1.1")


class SquidCase(ProxyCase):
    """squid, which chooses no protocol by ALPN."""

    skip = NODE or missing_proxy(Squid)
    credentials: Credentials | None = ("gun", "pass word:%1")
    answers: ClassVar[dict[str, Any]] = {"wrong": 407, "none": 407, "refused": 403, "closed": 503, "unknown": 500}

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Squid(self, credentials=credentials)


class TlsSquidCase(SquidCase):
    """squid over TLS."""

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Squid(self, credentials=credentials, tls=tls)


class ApacheCase(ProxyCase):
    """apache."""

    skip = NODE or missing_proxy(Apache)
    credentials: Credentials | None = ("gün", "pass wörd:%1")
    answers: ClassVar[dict[str, Any]] = {"wrong": 407, "none": 407, "refused": 403, "closed": 503, "unknown": 502}

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Apache(self, credentials=credentials)


class AbsoluteTests(Case):
    """The absolute form, which proxies have known for longest."""

    #: Whether the proxy closes the connection after each response, and does not say so in it.
    closes = False

    async def test_absolute(self) -> None:
        """With `proxy_mode` "absolute" a plain origin is asked through the proxy, without a tunnel; one over TLS by a tunnel."""
        http, https, _, _ = await self.start_origins()
        for origin in (http, https):
            owner = Owner()
            conn = self.open(origin.url, protocols=["http"], proxy=self.proxy.url, proxy_mode="absolute", owner=owner, retry_fun=soon)
            for at in range(3):
                down = owner.next(gun.Down)
                self.assertEqual(await self.body(conn.post(f"/echo/{at}", body=b"%d" % at * 300_000)), b"%d" % at * 300_000)
                if self.closes and origin.transport == "tcp":
                    await down
            await close(conn)
        await self.proxy.logged(f"POST http://127.0.0.1:{http.port}/echo/1 ")
        await self.proxy.has_reached(https.port)


class OpenTests(Case):
    """A proxy that wants no credentials."""

    credentials: Credentials | None = None

    async def test_open(self) -> None:
        """It is used without any."""
        http, _, _, _ = await self.start_origins()
        for way in self.ways:
            reached = await self.reach(way, http, None)
            self.assertEqual(await self.body(reached.get("/n/1")), b"GET /n/1")


class TinyproxyTests(AbsoluteTests, RestartTests, TunnelRestartTests, ProxyTests, TinyproxyCase):
    """Through tinyproxy."""

    closes = True


class TlsTinyproxyTests(ProxyTests, TlsTinyproxyCase):
    """Through tinyproxy over TLS."""


class SquidTests(AbsoluteTests, ProxyTests, SquidCase):
    """Through squid."""


class TlsSquidTests(AbsoluteTests, RestartTests, TunnelRestartTests, ProxyTests, TlsSquidCase):
    """Through squid over TLS."""


class ApacheTests(AbsoluteTests, ProxyTests, ApacheCase):
    """Through apache."""


class OpenTinyproxyTests(OpenTests, TinyproxyCase):
    """Through tinyproxy, which lets anybody in."""


class OpenSquidTests(OpenTests, TlsSquidCase):
    """Through squid over TLS, which lets anybody in."""


class OpenApacheTests(OpenTests, ApacheCase):
    """Through apache, which lets anybody in."""


class ChainTests(TinyproxyCase):
    """Proxies one behind the other."""

    skip = TinyproxyCase.skip or missing_proxy(Squid, Nghttpx, Microsocks, Apache)

    async def through(self, *chain: Proxy) -> None:
        """Each kind of origin answers through all of these, and each of them knows of the next."""
        for proxy in chain:
            if not proxy.wanted:
                await proxy.start()
        for origin in await self.start_origins():
            owner: list[Any] = []
            conn = self.open(
                origin.url, protocols=[origin.protocol], proxy=[proxy.url for proxy in chain], proxy_tls_opts=self.trust, owner=owner.append
            )
            for at in range(3):
                self.assertEqual(await self.body(conn.get(f"/n/{at}")), b"GET /n/%d" % at)
            self.assertEqual(conn.info().intermediaries, tuple(proxy.intermediary for proxy in chain))
            self.assertEqual([type(event) for event in owner], [gun.Up])
            await close(conn)
            for proxy, port in zip(chain, [*[proxy.port for proxy in chain[1:]], origin.port], strict=True):
                await proxy.has_reached(port)

    async def test_tinyproxy_microsocks(self) -> None:
        """HTTP/1.1, then SOCKS5."""
        await self.through(self.proxy, Microsocks(self, credentials=("inner", "secret")))

    async def test_microsocks_tinyproxy(self) -> None:
        """SOCKS5, then HTTP/1.1."""
        await self.through(Microsocks(self, credentials=("outer", "secret")), self.proxy)

    async def test_squid_nghttpx(self) -> None:
        """HTTP/1.1 over TLS, then HTTP/2 over TLS."""
        first = Squid(self, credentials=("outer", "a b:c"), tls=self.issued)
        await self.through(first, Nghttpx(self, behind=self.proxy, tls=self.issued))

    async def test_three(self) -> None:
        """HTTP/2 over TLS, then SOCKS5, then HTTP/1.1 over TLS."""
        first = Apache(self, credentials=("outer", "a b:c"), tls=self.issued)
        await self.through(first, Microsocks(self), TlsFront(self, behind=self.proxy, tls=self.issued, alpn="http/1.1"))
