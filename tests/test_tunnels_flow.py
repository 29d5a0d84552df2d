"""How much a stream in a tunnel is told: flow, unread events, who is held back by them and who is not, and how long one waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import twisted_gun as gun
from tests.stage import answer
from tests.tunnels import PROXIES, TunnelCase, Way, spread
from twisted_gun.testing import RecordingReceiver

#: Windows so small that what is sent here fills them.
SMALL = {"initial_stream_window_size": 70_000, "initial_connection_window_size": 100_000, "stream_window_margin_size": 0}
#: More than all that is kept on any way here: windows, mailboxes, and what stands in the buffers of sockets.
LARGE = 700_000


class FlowCase(TunnelCase):
    """Origins that answer by hand."""

    ways: ClassVar[Sequence[str]] = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2", "Deep")
    origins: ClassVar[Sequence[str]] = ("h2", "http")

    def way(self, **options: Any) -> Way:
        return super().way(quiet=True, http2_opts=SMALL, capacity=10_000, **options)

    def send(self, way: Way, size: int, request: int = -1) -> None:
        """Answer a request by so many bytes."""
        peer = way.peer
        if self.spoken == "http2":
            peer.respond(peer.requests[request], 200, {"content-length": str(size)}, b"x" * size)
        else:
            peer.send(answer(b"x" * size))
        way.pump()

    def unsent(self, way: Way) -> int:
        """How many bytes the origin has not got rid of."""
        peer = way.peer
        buffered = peer.transport.buffered if hasattr(peer.transport, "buffered") else peer.transport.transport.buffered
        if self.spoken == "http2":
            buffered += sum(peer.unsent(request) for request in peer.requests)
        return int(buffered)


class FlowTests(FlowCase):
    """The option `flow`, and `update_flow`; Gun's has no effect in tunnels (gun.md 6.6)."""

    def test_flow(self) -> None:
        """No more data events are told than allowed, however much comes, and the rest waits at the origin until more are."""
        way, top = self.up()
        told = RecordingReceiver()
        stream = top.get("/", flow=2, reply_to=told)
        way.pump()
        self.send(way, LARGE)
        self.assertEqual(told.names(), ["gun_response", "gun_data", "gun_data"])
        waiting = self.unsent(way)
        self.assertGreater(waiting, 0)
        way.advance(1)
        self.assertEqual(len(told.of(gun.Data)), 2)
        stream.update_flow(3)
        way.pump()
        self.assertEqual(len(told.of(gun.Data)), 5)
        self.assertLessEqual(self.unsent(way), waiting)
        stream.update_flow(100_000)
        way.pump()
        self.assertEqual(sum(len(event.data) for event in told.of(gun.Data)), LARGE)
        self.assertTrue(stream.ended)
        self.assertEqual(self.unsent(way), 0)
        self.end(way)

    def test_piece_by_piece(self) -> None:
        """One event at a time, each asked for by the one before it: all of it comes, and nothing is stuck."""

        def react(event: Any) -> None:
            if isinstance(event, gun.Data) and not event.fin:
                event.stream.update_flow(1)

        way, top = self.up()
        told = RecordingReceiver(react)
        stream = top.get("/", flow=1, reply_to=told)
        way.pump()
        self.send(way, LARGE)
        self.assertTrue(stream.ended)
        self.assertEqual(sum(len(event.data) for event in told.of(gun.Data)), LARGE)
        self.end(way)

    def test_granted_while_waiting(self) -> None:
        """What is allowed before the tunnel is up counts."""
        way = self.way()
        top = way.ask()
        told = RecordingReceiver()
        stream = top.get("/", flow=1, reply_to=told)
        stream.update_flow(2)
        way.pump()
        self.send(way, LARGE)
        self.assertEqual(len(told.of(gun.Data)), 3)
        self.end(way)

    def test_cancelled(self) -> None:
        """A stream that had enough can be cancelled; nothing of it is told, and what comes next gets through."""
        way, top = self.up(http_opts={"max_cancelled_size": 2 * LARGE})
        told = RecordingReceiver()
        stream = top.get("/1", flow=1, reply_to=told)
        way.pump()
        self.send(way, LARGE)
        stream.cancel()
        way.pump()
        self.assertEqual(len(told.of(gun.Data)), 1)
        following = top.get("/2").await_body()
        way.pump()
        self.send(way, 3)
        self.assertEqual(self.successResultOf(following), b"xxx")
        self.end(way)

    def test_of_the_tunnel(self) -> None:
        """Where HTTP is spoken in it, a tunnel has no flow of its own; to update it changes nothing."""
        way, top = self.up()
        if way.tunnels:
            way.tunnels[-1].update_flow(1)
        body = top.get("/").await_body()
        way.pump()
        self.send(way, LARGE)
        self.assertEqual(self.successResultOf(body), b"x" * LARGE)
        self.end(way)


class UnreadTests(FlowCase):
    """Streams that are their own mailboxes hold the peer back while nobody reads."""

    def test_held_back(self) -> None:
        """Unread, most of it stays at the origin; read, all of it comes."""
        way, top = self.up()
        stream = top.get("/")
        way.pump()
        self.send(way, LARGE)
        self.assertGreater(self.unsent(way), LARGE // 2)
        body = stream.await_body()
        way.pump()
        self.assertEqual(self.successResultOf(body), b"x" * LARGE)
        self.assertEqual(self.unsent(way), 0)
        self.end(way)

    def test_flushed(self) -> None:
        """So it does when what is unread is dropped, by the stream, its tunnel or the connection."""
        for flush in ("stream", "tunnel", "connection"):
            way, top = self.up()
            stream = top.get("/")
            way.pump()
            self.send(way, LARGE)
            before = self.unsent(way)
            flushed = {"stream": stream, "tunnel": way.tunnels[-1] if way.tunnels else way.connection, "connection": way.connection}
            for _ in range(5):
                flushed[flush].flush()
                way.pump()
            self.assertLess(self.unsent(way), before, flush)
            self.end(way)

    def test_closed(self) -> None:
        """A connection whose streams are unread can be closed, and leaves nothing behind."""
        way, top = self.up()
        stream = top.get("/")
        way.pump()
        self.send(way, LARGE)
        self.end(way)
        self.assertTrue(stream.ended)


class BesideTests(FlowCase):
    """Who has enough holds back nobody else that a window of its own serves."""

    proxies = ("h2c",)
    ways = ("Http2", "Http2InHttp", "HttpInHttp2", "SocksInHttp2")

    def test_other_tunnels(self) -> None:
        """A tunnel over HTTP/2 that is held back holds back no other tunnel of that proxy."""
        way, top = self.up()
        at = max(place for place, name in enumerate(self.proxies) if PROXIES[name][1] == "http2")
        parent = way.tunnels[at - 1] if at else way.connection
        stuck = top.get("/stuck")
        way.pump()
        self.send(way, LARGE)
        others = [way.ask(at, parent) for _ in range(2)]
        way.pump()
        bodies = [other.get("/").await_body() for other in others]
        way.pump()
        for peer in way.peers[-2:]:
            peer.answer()
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/", b"/"])
        self.assertFalse(stuck.ended)
        self.end(way)

    def test_streams_inside(self) -> None:
        """A stream of HTTP/2 in a tunnel that is held back holds back no other stream there."""
        if self.spoken != "http2":
            return
        way, top = self.up()
        stuck = top.get("/stuck")
        way.pump()
        self.send(way, LARGE)
        body = top.get("/other").await_body()
        way.pump()
        way.peer.respond(way.peer.requests[-1], 200, {}, b"other")
        way.pump()
        self.assertEqual(self.successResultOf(body), b"other")
        self.assertFalse(stuck.ended)
        self.end(way)


class TimeoutTests(FlowCase):
    """Awaiting, and for how long."""

    def test_response_and_body(self) -> None:
        """An await that times out only stops the waiting; the stream in the tunnel goes on."""
        way, top = self.up()
        stream = top.get("/")
        for stage, ask in (("response", stream.await_response), ("body", stream.await_body), ("event", stream.await_event)):
            waiting = ask(2)
            way.advance(1)
            self.assertNoResult(waiting)
            way.advance(1)
            error = self.failureResultOf(waiting, gun.TimedOut).value
            self.assertEqual((error.stage, error.seconds), (stage, 2))
        body = stream.await_body()
        self.send(way, 5)
        self.assertEqual(self.successResultOf(body), b"xxxxx")
        self.end(way)

    def test_up(self) -> None:
        """So it is with await_up of the tunnel: it may still come up."""
        way = self.way()
        way.endpoints[way.hosts[-1]].hang()
        way.ask()
        if not way.tunnels:
            return
        tunnel = way.tunnels[-1]
        first, second, third = tunnel.await_up(2), tunnel.await_up(None), tunnel.await_up()
        way.advance(2)
        self.assertEqual(self.failureResultOf(first, gun.TimedOut).value.stage, "up")
        third.cancel()
        self.failureResultOf(third)
        self.assertNoResult(second)
        way.connection.close()
        self.failureResultOf(second, gun.StreamClosed)
        way.pump()
        self.assert_left_nothing(way)

    def test_up_late(self) -> None:
        """A tunnel that comes up late wakes those who still wait."""
        way = self.way(retry_timeout=3.0)
        way.endpoints[way.hosts[0]].refuse(times=2)
        top = way.ask()
        early, late = top.await_up(2), top.await_up(4)
        way.pump()
        way.advance(2)
        self.failureResultOf(early, gun.TimedOut)
        way.advance(1)
        self.successResultOf(late)
        self.end(way)


globals().update(spread(__name__))
