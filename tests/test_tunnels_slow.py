"""The raw protocol at a tunnel's end, where that is asked for with much still to be sent, and the peer takes it slowly."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.tunnels import TunnelCase, Way, spread
from twisted_gun.testing import ScriptedPeer

MUCH = bytes(range(256)) * 8000  # more than the buffers on the way hold


class _Slow(ScriptedPeer):
    """Reads once whenever it is resumed."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.pause()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.pause()


class SlowPeerTests(TunnelCase):
    """The peer reads a little every two seconds."""

    origin = "raw"
    origins = ("raws", "raw")
    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2", "HttpInSocks")

    def ending(self) -> tuple[Way, _Slow]:
        """A way whose stream has ended here behind much, and its peer."""
        way = self.way(peer=_Slow)
        way.open()
        way.pump()
        top: Any = way.connection
        for place in range(len(self.proxies)):
            if not self.proxies[place].startswith("socks"):
                top = top.connect(way.destination(place + 1))
                way.tunnels.append(top)
                self.read(way)
        self.read(way)
        (top if isinstance(top, gun.Tunnel) else top.raw).data(MUCH, fin=True)
        way.pump()
        return way, way.peers[0]

    def read(self, way: Way) -> None:
        """Let the peer read, for a TLS handshake say."""
        for _ in range(4):
            way.pump()
            if way.peers:
                way.peers[0].resume()
        way.pump()

    def finish(self, way: Way) -> None:
        """Close the connection, be it made anew; a peer has to read to notice."""
        way.connection.close()
        for peer in way.peers[1:]:
            peer.resume()
        way.pump()
        self.assert_left_nothing(way)

    def test_all_arrives(self) -> None:
        """It gets everything, though that takes longer than any time for closing."""
        way, peer = self.ending()
        seconds = 0
        while peer.lost is None and seconds < 300:
            way.advance(2)
            seconds += 2
            peer.resume()
            way.pump()
        self.assertGreater(seconds, 30)
        self.assertEqual(len(peer.received), len(MUCH))
        self.assertEqual(peer.received, MUCH)
        self.finish(way)

    def test_stuck(self) -> None:
        """Where it takes nothing any more it is given up after a while, and all that is left of the stream with it."""
        way, peer = self.ending()
        for _ in range(5):
            way.advance(5)
            peer.resume()
            way.pump()
        before = len(peer.received)
        self.assertLess(before, len(MUCH))
        for _ in range(5):
            way.advance(15)
        for _ in range(200):
            if peer.lost is None:
                peer.resume()
            way.pump()
        self.assertIsNotNone(peer.lost)
        self.assertLess(len(peer.received), len(MUCH))
        self.finish(way)


globals().update(spread(__name__))
