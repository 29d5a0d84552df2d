"""Every pair of proxies, and every origin behind them, in memory: all are reached, and told of as Gun tells of them."""

from __future__ import annotations

from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.tunnels import NAMES, ORIGINS, PORT, PROXIES, Way


class MatrixCase(SynchronousTestCase):
    """What is to be seen at the end of any way."""

    def check(self, way: Way) -> None:
        top = way.connect()
        self.told(way)
        self.exchange(way, top)
        self.known(way, top)
        way.connection.close()
        way.pump()
        self.assertEqual([peer.lost is None for peer in way.peers], [False])
        self.assertEqual(way.clock.getDelayedCalls(), [])
        self.assertFalse([link for endpoint in way.endpoints.values() for link in endpoint.links if link.client.connected])

    def exchange(self, way: Way, top: Any) -> None:
        if ORIGINS[way.origin][1] == "raw":
            raw = top if isinstance(top, gun.Tunnel) else top.raw
            raw.data(b"hello")
            way.pump()
            self.assertEqual(self.successResultOf(raw.await_event()), gun.Data(stream=raw, fin=False, data=b"hello"))
            return
        stream = top.get("/path")
        body = stream.await_body()
        way.pump()
        self.assertEqual(self.successResultOf(body), b"/path")
        self.assertIs(stream.tunnel, way.tunnels[-1] if way.tunnels else None)

    def told(self, way: Way) -> None:
        """gun_up for the first hop; then a gun_tunnel_up for each further one, to the owner or, in a tunnel, to its stream."""
        spoken = [NAMES[PROXIES[name][1]] for name in way.proxies] + [ORIGINS[way.origin][1]]
        ups = [event.protocol for event in way.owner.of(gun.Up)]
        tunnels = [event.protocol for event in way.owner.of(gun.TunnelUp)]
        self.assertEqual(ups, spoken[:1])
        inside = [event for tunnel in way.tunnels for event in self.ups_of(tunnel)]
        self.assertEqual(tunnels + [event.protocol for event in inside], spoken[1:])
        self.assertEqual([event.stream for event in way.owner.of(gun.TunnelUp)], [None] * len(tunnels))

    def ups_of(self, tunnel: gun.Tunnel) -> list[gun.TunnelUp]:
        """What the stream of a tunnel was told: that the proxy made it, then each hop in it."""
        up = self.successResultOf(tunnel.await_up())
        self.assertEqual(self.successResultOf(tunnel.await_response()).status, 200)
        told: list[Any] = []
        while tunnel._events:
            told.append(self.successResultOf(tunnel.await_event()))
        ups = [event for event in told if type(event) is gun.TunnelUp]
        self.assertEqual((ups[-1].protocol, {event.stream for event in ups}), (up, {tunnel}))
        return ups

    def known(self, way: Way, top: Any) -> None:
        """info() and the streams' info() name every proxy that is gone through."""
        expected = [
            gun.Intermediary(
                type="socks5" if PROXIES[name][1] == "socks5" else "connect",
                host=host,
                port=PORT,
                transport=PROXIES[name][0],
                protocol=NAMES[PROXIES[name][1]],
            )
            for host, name in zip(way.hosts, way.proxies, strict=False)
        ]
        if isinstance(top, gun.Tunnel):
            info = top.info()
            assert info is not None and info.tunnel is not None
            self.assertEqual((info.tunnel.origin_host, info.tunnel.origin_port), ("origin.example", PORT))
            self.assertEqual(info.tunnel.transport, ORIGINS[way.origin][0])
            self.assertEqual(info.tunnel.protocol, ORIGINS[way.origin][1])
        if ORIGINS[way.origin][1] != "raw":
            stream = top.get("/")
            self.assertEqual(list(stream.info().intermediaries), expected)
        http2 = any(PROXIES[name][1] == "http2" for name in way.proxies)
        if not http2:  # the whole connection is the tunnel
            whole = way.connection.info()
            self.assertEqual(list(whole.intermediaries), expected)
            self.assertEqual((whole.origin_host, whole.transport, whole.protocol), ("origin.example", *ORIGINS[way.origin]))


def _case(proxies: tuple[str, ...], origin: str) -> Any:
    def test(self: MatrixCase) -> None:
        self.check(Way(proxies, origin))

    test.__doc__ = f"Through {' and '.join(proxies)} to {origin}."
    return test


class OneTests(MatrixCase):
    """One proxy."""


class TwoTests(MatrixCase):
    """Two of them."""


class ThreeTests(MatrixCase):
    """Three deep: each kind of proxy in the middle."""


for _proxy, _origin in product(PROXIES, ORIGINS):
    setattr(OneTests, f"test_{_proxy}_{_origin}", _case((_proxy,), _origin))
for _first, _second, _origin in product(PROXIES, PROXIES, ORIGINS):
    setattr(TwoTests, f"test_{_first}_{_second}_{_origin}", _case((_first, _second), _origin))
for _first, _second in product(PROXIES, PROXIES):
    setattr(ThreeTests, f"test_{_first}_{_second}_{_first}_h2", _case((_first, _second, _first), "h2"))
