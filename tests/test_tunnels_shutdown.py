"""Graceful ends: shutdown() of a connection and of a tunnel, GOAWAY of an origin and of a proxy; what is under way inside finishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import twisted_gun as gun
from tests.stage import answer
from tests.tunnels import PROXIES, TunnelCase, Way, spread
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode


class ShutdownCase(TunnelCase):
    """Origins that answer by hand."""

    ways: ClassVar[Sequence[str]] = (
        "Http",
        "Http2",
        "Socks",
        "HttpInHttp",
        "HttpInHttp2",
        "Http2InHttp",
        "Http2InHttp2",
        "SocksInHttp2",
        "HttpInSocks",
    )

    def finish(self, way: Way) -> None:
        """Let the origin send the rest of what it has begun, and answer all else."""
        peer = way.peers[0]
        if self.spoken == "http2":
            peer.send_data(peer.requests[0], b"half", fin=True)
            peer.answer()
        else:
            peer.send(b"half")
        way.pump()

    def assert_finished(self, told: Any, streams: list[Any], refused: type[gun.GunError]) -> None:
        """What was under way has come whole; over HTTP/1.1 that is the first, and the others were refused."""
        last = self.assert_each_ended_once(told, streams)
        self.assertEqual(last[streams[0]], gun.Data(stream=streams[0], fin=True, data=b"half"))
        for stream in streams[1:]:
            if self.spoken == "http2":
                self.assertIsInstance(last[stream], gun.Data)
            else:
                self.assertIsInstance(last[stream].reason, refused)


class ConnectionTests(ShutdownCase):
    """conn.shutdown()."""

    def test_finishes(self) -> None:
        """What is under way in the tunnel finishes; then all ends, and the Deferred fires."""
        way, top, told, streams = self.reach("busy")
        ended = way.connection.shutdown()
        way.pump()
        self.assertNoResult(ended)
        self.assertRaises(gun.ShuttingDown, top.get, "/late")
        self.assertEqual(way.connection.info().state_name, "closing")
        self.finish(way)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_finished(told, streams, gun.ShuttingDown)
        self.assert_each_ended_once(told, way.tunnels)
        self.assertEqual(told.of(gun.Down), [])
        self.assert_left_nothing(way)

    def test_idle(self) -> None:
        """Idle tunnels hold up nothing."""
        way, _, told, _ = self.reach("up")
        ended = way.connection.shutdown()
        way.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_each_ended_once(told, way.tunnels)
        self.assert_left_nothing(way)

    def test_never_finishes(self) -> None:
        """What does not finish is ended after closing_timeout, once."""
        opts = {"http_opts": {"closing_timeout": 3.0}, "http2_opts": {"closing_timeout": 3.0}}
        way, _, told, streams = self.reach("busy", **opts)
        ended = way.connection.shutdown()
        for _ in range(3):
            self.assertNoResult(ended)
            way.advance(1)
        way.advance(3)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_each_ended_once(told, [*streams, *way.tunnels])
        self.assert_left_nothing(way)

    def test_not_up(self) -> None:
        """What waits for the tunnel ends at once with ShuttingDown, and nothing is sent any more."""
        for stage in ("dialling", "asked"):
            way, _, told, streams = self.reach(stage)
            ended = way.connection.shutdown()
            way.pump()
            last = self.assert_each_ended_once(told, streams)
            for stream in streams:
                self.assertIsInstance(last[stream].reason, gun.ShuttingDown, stage)
            for _ in range(8):
                way.advance(5)
            self.assertIsNone(self.successResultOf(ended))
            self.assert_each_ended_once(told, way.tunnels)
            self.assert_left_nothing(way)

    def test_then_close(self) -> None:
        """close() does not wait for what shutdown() waits for."""
        way, _, told, streams = self.reach("busy")
        ended = way.connection.shutdown()
        way.pump()
        way.connection.close()
        way.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_each_ended_once(told, [*streams, *way.tunnels])
        self.assert_left_nothing(way)


class TunnelTests(ShutdownCase):
    """tunnel.shutdown()."""

    ways = ("Http", "Http2", "HttpInHttp2", "Http2InHttp", "Http2InHttp2", "SocksInHttp2", "HttpInSocks")

    def test_finishes(self) -> None:
        """What is under way in it finishes, then it ends; nothing else does but what stands on nothing else."""
        way, top, told, streams = self.reach("busy")
        top.shutdown()
        self.assertRaises(gun.ShuttingDown, top.get, "/late")
        way.pump()
        self.assertFalse(top.ended)
        self.finish(way)
        self.assert_finished(told, streams, gun.ShuttingDown)
        self.assert_each_ended_once(told, [top])
        self.assertIsNotNone(way.peers[0].lost)
        if PROXIES[self.proxies[0]][1] == "http2":
            self.assertEqual(told.of(gun.Down), [])
            self.assertEqual(
                [tunnel.ended for tunnel in way.tunnels[:-1]],
                [False] * (len(way.tunnels) - 1) if self.proxies != ("h2c", "http") else [True],
            )
        self.end(way)

    def test_idle(self) -> None:
        """Idle, it ends at once."""
        way, top, told, _ = self.reach("up")
        top.shutdown()
        way.pump()
        self.assert_each_ended_once(told, [top])
        self.end(way)

    def test_twice(self) -> None:
        """Twice is as once."""
        way, top, told, streams = self.reach("busy")
        top.shutdown()
        top.shutdown()
        way.pump()
        self.finish(way)
        top.shutdown()
        self.assert_finished(told, streams, gun.ShuttingDown)
        self.end(way)

    def test_not_up(self) -> None:
        """What waits for it ends with ShuttingDown; where the proxy makes it all the same, it is ended in turn."""
        for stage in ("dialling", "asked"):
            way, top, told, streams = self.reach(stage)
            top.shutdown()
            way.pump()
            last = self.assert_each_ended_once(told, streams)
            for stream in streams:
                self.assertIsInstance(last[stream].reason, gun.ShuttingDown, stage)
            for endpoint in way.endpoints.values():
                endpoint.accept()
            for _ in range(8):
                way.advance(5)
            self.assert_each_ended_once(told, [*streams, top])
            self.assertTrue(all(peer.lost is not None and peer.requests == [] for peer in way.peers))
            self.end(way)

    def test_never_finishes(self) -> None:
        """closing_timeout of what is spoken inside bounds it."""
        opts = {"http_opts": {"closing_timeout": 3.0}, "http2_opts": {"closing_timeout": 3.0}}
        way, top, told, streams = self.reach("busy", **opts)
        top.shutdown()
        way.advance(2)
        self.assertFalse(streams[0].ended)
        for _ in range(4):
            way.advance(1)
        self.assert_each_ended_once(told, [*streams, top])
        if PROXIES[self.proxies[0]][1] == "http2":
            self.assertEqual(told.of(gun.Down), [])
        self.end(way)

    def test_outermost(self) -> None:
        """The outermost one lets the tunnels in it finish first."""
        way, _, told, streams = self.reach("busy")
        way.tunnels[0].shutdown()
        way.pump()
        self.assertFalse(streams[0].ended)
        self.finish(way)
        self.assert_finished(told, streams, gun.ShuttingDown)
        self.assert_each_ended_once(told, way.tunnels)
        self.end(way)


class OriginGoesAwayTests(ShutdownCase):
    """GOAWAY of an origin inside."""

    origin = "h2c"
    origins = ("h2", "h2c")

    def test_in_good_order(self) -> None:
        """What it accepted finishes, what it did not is unprocessed, and then the tunnel ends; the proxy's connection does not."""
        way, top, told, streams = self.reach("busy")
        peer = way.peers[0]
        peer.goaway(peer.requests[1])
        way.pump()
        self.finish(way)
        last = self.assert_each_ended_once(told, streams)
        self.assertEqual([type(last[stream]) for stream in streams], [gun.Data, gun.Data, gun.Error])
        self.assertIsInstance(last[streams[2]].reason, gun.GoAway)
        downs = self.assert_lists(told)
        if way.tunnels:
            self.assertTrue(top.ended)
        if self.whole:
            self.assertEqual(downs[0].unprocessed_streams, (streams[2],))
        self.end(way)

    def test_late_requests(self) -> None:
        """What is asked for after it is not sent, and says that it may be sent again."""
        way, top, told, _ = self.reach("busy")
        way.peers[0].goaway()
        way.pump()
        late = top.get("/late")
        way.pump()
        self.finish(way)
        way.pump()
        if way.tunnels:
            self.assertIsInstance(self.assert_each_ended_once(told, [late])[late].reason, gun.StreamRefused)
            self.assertEqual([request.path for request in way.peers[0].requests], [b"/one", b"/two", b"/three"])
        self.end(way)

    def test_by_an_error(self) -> None:
        """With an error code that is why the tunnel ended."""
        way, top, told, _ = self.reach("up")
        way.peers[0].goaway(code=ErrorCode.ENHANCE_YOUR_CALM)
        way.pump()
        if way.tunnels:
            reason = self.assert_each_ended_once(told, [top])[top].reason
            self.assertEqual((type(reason), reason.code), (gun.GoAway, ErrorCode.ENHANCE_YOUR_CALM))
        if self.whole:
            self.assertEqual(told.of(gun.Down)[0].reason.code, ErrorCode.ENHANCE_YOUR_CALM)  # type: ignore[union-attr]
        self.end(way)


class ProxyGoesAwayTests(ShutdownCase):
    """GOAWAY of a proxy of HTTP/2."""

    proxies: tuple[str, ...] = ("h2c",)
    ways = ("Http2", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")

    def go_away(self, way: Way, last: int = frames.LARGEST) -> None:
        for factory in way.factories:
            for connection in factory.connections[:1]:
                if connection.protocol == "http2":
                    connection.write(frames.goaway(last, ErrorCode.NO_ERROR))
        way.pump()

    def test_in_good_order(self) -> None:
        """What is under way in its tunnels finishes; then it is dialled again."""
        way, top, told, streams = self.reach("busy")
        self.go_away(way)
        self.assertFalse(streams[0].ended)
        self.finish(way)
        self.assert_finished(told, streams, gun.ShuttingDown)
        self.assert_each_ended_once(told, way.tunnels[-1:])
        self.assertTrue(top.ended)
        self.assertIsNotNone(way.factories[0].connections[0].lost)
        self.assertEqual(told.names().count("gun_up"), 2)
        self.end(way)

    def test_idle(self) -> None:
        """Idle tunnels end at once."""
        way, _, told, _ = self.reach("up")
        self.go_away(way)
        self.assert_each_ended_once(told, way.tunnels)
        self.assertEqual(told.names().count("gun_up"), 2)
        self.end(way)

    def test_not_made(self) -> None:
        """A tunnel that it will not make is unprocessed, and what waited for it was not sent."""
        way, top, told, streams = self.reach("asked")
        self.go_away(way, 0)
        last = self.assert_each_ended_once(told, [*streams, top])
        for event in last.values():
            self.assertIsInstance(event.reason, gun.GunError)
        downs = self.assert_lists(told)
        if self.proxies == ("h2c",):
            self.assertEqual(downs[0].unprocessed_streams, (top,))
        self.end(way)


class LastResponseTests(ShutdownCase):
    """ "Connection: close" in a tunnel."""

    origins = ("https", "http")

    def test_close(self) -> None:
        """It ends the tunnel, in good order; a proxy of HTTP/2 and its other streams live on, where Gun crashes (gun.md 6.6)."""
        way, top, told = self.told(quiet=True)
        first, second = top.get("/1"), top.get("/2")
        way.pump()
        way.peers[0].send(answer(b"last", 200, b"connection: close"))
        way.pump()
        last = self.assert_each_ended_once(told, [first, second])
        self.assertEqual(last[first].data, b"last")
        self.assertIsInstance(last[second].reason, gun.StreamRefused)
        if way.tunnels:
            self.assertEqual(self.assert_each_ended_once(told, [top])[top], gun.Data(stream=top, fin=True, data=b""))
        downs = self.assert_lists(told)
        if PROXIES[self.proxies[0]][1] == "http2":
            self.assertEqual(downs, [])
            again = way.ask(0, way.connection).get("/again") if self.proxies == ("h2c",) else None
            way.pump()
            if again is not None:
                way.peer.answer()
                way.pump()
                self.assertEqual(self.assert_each_ended_once(told, [again])[again].data, b"/again")
        elif self.whole:
            self.assertEqual((downs[0].reason, downs[0].killed_streams, downs[0].unprocessed_streams), (None, (), (second,)))
        self.end(way)


globals().update(spread(__name__))
