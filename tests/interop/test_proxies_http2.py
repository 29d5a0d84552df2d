"""Through proxies of HTTP/2: nghttpx with tinyproxy behind it, and apache; both by prior knowledge and over TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

import twisted_gun as gun
from tests.certificates import Issued
from tests.interop.proxied import MUCH, Case, ProxyTests, RestartTests, TunnelRestartTests, digest
from tests.interop.proxies import Apache, Credentials, Nghttpx, Proxy, Tinyproxy, missing_proxy
from tests.interop.test_proxies_http import NODE, ApacheCase, TinyproxyCase


class NghttpxCase(TinyproxyCase):
    """nghttpx, which is known to speak HTTP/2 in the clear; no URL of a proxy says that."""

    skip = NODE or missing_proxy(Tinyproxy, Nghttpx)
    spoken = "http2"
    ways: tuple[str, ...] = ("by_hand",)

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Nghttpx(self, behind=Tinyproxy(self, credentials=credentials))


class TlsNghttpxCase(NghttpxCase):
    """nghttpx over TLS."""

    ways = ("by_option", "by_hand")

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Nghttpx(self, behind=Tinyproxy(self, credentials=credentials), tls=tls)


class Apache2Case(ApacheCase):
    """apache, by prior knowledge."""

    spoken = "http2"
    ways: tuple[str, ...] = ("by_hand",)


class TlsApacheCase(ApacheCase):
    """apache over TLS."""

    spoken = "http2"

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Apache(self, credentials=credentials, tls=tls)


class ManyTests(Case):
    """Many tunnels over one connection."""

    #: How many. apache works on no more than six streams of a new connection at a time; others wait, whatever its settings promise.
    many = 6

    async def tunnels(self) -> list[Any]:
        """So many tunnels to each kind of origin in turn, when they are up."""
        conn = self.to_proxy()
        await conn.await_up()
        kinds = await self.start_origins()
        origins = [kinds[at % len(kinds)] for at in range(self.many)]
        tunnels = [conn.connect({**self.destination(origin, self.credentials), "tunnel_timeout": 20.0}) for origin in origins]
        names = await gatherResults([tunnel.await_up(20.0) for tunnel in tunnels])
        self.assertEqual(names, [origin.protocol for origin in origins])
        return tunnels

    async def test_many(self) -> None:
        """Of many tunnels one is slow, for nobody reads what it brings: the others are not held up, and it brings all in the end."""
        tunnels = await self.tunnels()
        for slow in tunnels[:4]:  # one to each kind of origin
            held = slow.get("/file")
            self.assertEqual((await held.await_response()).status, 200)
            for rest in range(2):
                streams = [tunnel.get(f"/bytes/{100_000 * rest + at}") for at, tunnel in enumerate(tunnels) if tunnel is not slow]
                bodies = [await self.body(stream) for stream in streams]
                lengths = [100_000 * rest + at for at, tunnel in enumerate(tunnels) if tunnel is not slow]
                self.assertEqual([len(body) for body in bodies], lengths)
            self.assertEqual(digest(await held.await_body()), digest(MUCH))

    async def test_others_live_on(self) -> None:
        """A tunnel that is cancelled, and one that is refused, leave the others alone."""
        _, _, _, http2_over_tls = await self.start_origins()
        conn = self.to_proxy()
        await conn.await_up()
        kept, cancelled = (conn.connect(self.destination(http2_over_tls, self.credentials)) for _ in range(2))
        await gatherResults([kept.await_up(), cancelled.await_up()])
        stream = cancelled.get("/file")
        await stream.await_response()
        cancelled.cancel()
        await self.assertFailure(stream.await_body(), gun.StreamClosed)
        assert self.proxy.refused is not None
        refused = conn.connect({"host": "127.0.0.1", "port": self.proxy.refused})
        await self.assertFailure(refused.await_up(), gun.ProxyFailed)
        for at in range(3):
            self.assertEqual(await self.body(kept.get(f"/n/{at}")), b"GET /n/%d" % at)


class NghttpxTests(ManyTests, ProxyTests, NghttpxCase):
    """Through nghttpx."""

    many = 50


class TlsNghttpxTests(ManyTests, RestartTests, TunnelRestartTests, ProxyTests, TlsNghttpxCase):
    """Through nghttpx over TLS."""

    many = 50


class ReferenceNghttpxTests(ManyTests, TlsNghttpxCase):
    """Through nghttpx over TLS, with the reference core to it and in the tunnels."""

    core, many = "h2", 50


class Apache2Tests(ManyTests, ProxyTests, Apache2Case):
    """Through apache."""


class TlsApacheTests(ManyTests, RestartTests, ProxyTests, TlsApacheCase):
    """Through apache over TLS."""
