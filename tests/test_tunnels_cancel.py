"""Cancelling: a stream in a tunnel, a tunnel at every stage, and what of the rest lives on."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone

import twisted_gun as gun
from tests.stage import answer
from tests.tunnels import ORIGINS, PORT, TunnelCase, Way, spread
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.wire.frames import ErrorCode


class StreamTests(TunnelCase):
    """A stream inside."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")

    def test_cancelled(self) -> None:
        """HTTP/2 resets it, HTTP/1.1 reads its response for nothing; the tunnel and other streams live on."""
        way, top, told = self.told(quiet=True)
        first, second = top.get("/1"), top.get("/2")
        way.pump()
        first.cancel()
        way.pump()
        way.peer.answer()
        way.pump()
        self.assert_cancelled(told, first)
        self.assertEqual(self.assert_each_ended_once(told, [second])[second], gun.Data(stream=second, fin=True, data=b"/2"))
        if self.spoken == "http2":
            self.assertEqual(way.peer.requests[0].reset, ErrorCode.CANCEL)
        self.assertTrue(all(not tunnel.ended for tunnel in way.tunnels))
        self.assertEqual(len(way.owner.of(gun.Down)), 0)
        self.end(way)

    def test_in_the_midst(self) -> None:
        """So it is in the midst of its response."""
        way, top, told, streams = self.reach("busy")
        for stream in streams:
            stream.cancel()
        if self.spoken == "http":
            way.peer.send(b"more")
        way.pump()
        for stream in streams:
            self.assert_cancelled(told, stream)
        if self.spoken == "http":
            way.peer.send(answer(b"") * 2)
        after = top.get("/after", reply_to=None).await_response()
        way.pump()
        if self.spoken == "http":
            way.peer.send(answer(b"after"))
        else:
            way.peer.answer()
        way.pump()
        self.assertEqual(self.successResultOf(after).status, 200)
        self.end(way)

    def test_too_much_to_read(self) -> None:
        """HTTP/1.1 closes rather than read too much: that ends the tunnel, and over HTTP/2 nothing else."""
        if self.spoken == "http2":
            return
        way, top, told = self.told(quiet=True, http_opts={"max_cancelled_size": 10})
        first, second = top.get("/1"), top.get("/2")
        way.pump()
        first.cancel()
        way.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        way.pump()
        self.assert_cancelled(told, first)
        self.assertIsInstance(self.assert_each_ended_once(told, [second])[second].reason, gun.StreamClosed)
        if way.tunnels:
            self.assertTrue(way.tunnels[-1].ended)
            self.assert_each_ended_once(told, way.tunnels[-1:])
        self.assertEqual(len(told.of(gun.Down)), 1 if self.whole else 0)
        for tunnel in way.tunnels[:-1]:
            self.assertEqual(tunnel.ended, self.whole or self.proxies == ("h2c", "http"))
        self.end(way)


class TunnelTests(TunnelCase):
    """A tunnel, at each stage."""

    ways = ("Http", "Http2", "HttpInHttp", "HttpInHttp2", "Http2InHttp", "Http2InHttp2", "SocksInHttp2", "HttpInSocks")
    origins = ("h2", "https", "http")

    def stages(self) -> tuple[str, ...]:
        return self.STAGES if ORIGINS[self.origin][0] == "tls" else tuple(stage for stage in self.STAGES if stage != "tls")

    def test_innermost(self) -> None:
        """It tells no more; the streams inside end once, with StreamClosed, and who awaits it fails."""
        for stage in self.stages():
            way, top, told, streams = self.reach(stage)
            waiting = None if stage in ("up", "busy") else top.await_up(None)
            top.cancel()
            if waiting is not None:
                self.failureResultOf(waiting, gun.StreamClosed)
            for _ in range(2):
                self.assert_cancelled(told, top)
                last = self.assert_each_ended_once(told, streams)
                for stream in streams:
                    self.assertIsInstance(last[stream].reason, gun.StreamError, stage)
                    self.assertNotIsInstance(last[stream].reason, gun.Truncated)
                way.pump()
            self.end(way)

    def test_outermost(self) -> None:
        """With it those in it end: they are told so."""
        for stage in self.stages():
            way, _, told, streams = self.reach(stage)
            first, *others = way.tunnels
            first.cancel()
            way.pump()
            self.assert_cancelled(told, first)
            last = self.assert_each_ended_once(told, [*streams, *others])
            for event in last.values():
                self.assertIsInstance(event.reason, gun.GunError)
            self.end(way)

    def test_proxy_sees_it(self) -> None:
        """The origin is cut off, and the proxy has no tunnel left, whichever protocol it speaks."""
        for stage in ("asked", "up", "busy"):
            way, top, _, _ = self.reach(stage)
            top.cancel()
            way.pump()
            if self.whole and stage == "asked":
                way.endpoints[way.hosts[-1]].accept()
                way.advance(10)
            self.assertEqual([tunnel.open for tunnel in way.factories[-1].tunnels], [False], stage)
            if self.proxies == ("http",) and stage != "asked":  # at once, whatever was still to be sent
                lost = way.factories[0].connections[0].lost
                self.assertIsNone(lost is not None and lost.check(ConnectionDone))
            for peer in way.peers:
                self.assertIsNotNone(peer.lost)
            self.end(way)

    def test_when_granted(self) -> None:
        """Cancelled from within the answer that grants it, it does not come up, and nothing of it is kept."""

        def react(event: Any) -> None:
            if isinstance(event, gun.Response):
                event.stream.cancel()

        told = RecordingReceiver(react)
        way = self.way(owner=told, reply_to=told, retry_timeout=60.0, retry=1)
        top = way.ask()
        first = way.tunnels[0]
        stream = top.get("/")
        way.pump()
        self.assert_cancelled(told, first)
        self.assert_each_ended_once(told, [stream, *way.tunnels[1:]])
        self.assertEqual([event.stream for event in told.of(gun.TunnelUp) if event.stream is not None], [])
        self.assertEqual([peer.requests for peer in way.peers if peer.requests], [])
        route = way.connection._route
        self.assertEqual((list(route.layers), list(route.end.layers)), ([route.onward] if route.layers else [], []))
        self.end(way)

    def test_beside(self) -> None:
        """Over HTTP/2 nobody else is harmed; over HTTP/1.1 the connection ends with it, and is dialled anew."""
        way, top, told = self.told(quiet=True)
        first = self.proxies[0] in ("h2c", "h2")
        beside = way.connection.connect({"host": "origin.example", "port": PORT, **self.end_of(way)}) if first else None
        way.pump()
        inside = beside.get("/beside") if beside is not None else None
        way.pump()
        top.cancel()
        way.pump()
        if inside is not None:
            way.peers[-1].answer()
            way.pump()
            self.assertEqual(self.assert_each_ended_once(told, [inside])[inside].data, b"/beside")
            self.assertEqual(told.of(gun.Down), [])
        elif self.whole:
            (down,) = self.assert_lists(told)
            self.assertIsNone(down.reason)
            self.assertEqual(len(told.of(gun.Up)), 2)
        self.end(way)

    def end_of(self, way: Way) -> dict[str, Any]:
        end = way.destination(len(self.proxies))
        return {name: end[name] for name in ("transport", "tls_opts", "protocols")}


class PendingTests(TunnelCase):
    """A CONNECT over HTTP/1.1 that is cancelled before the proxy answers: whoever waited behind it was meant for the tunnel."""

    ways = ("Http",)
    origins = ("http",)

    def asked(self, **options: Any) -> tuple[MemoryGun, RecordingReceiver, Any, Any]:
        """A proxy that has got a CONNECT, and a request behind it."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told, **options)
        world.pump()
        tunnel = world.connection.connect({"host": "origin.example", "port": PORT})
        behind = world.connection.get("/secret")
        world.pump()
        return world, told, tunnel, behind

    def proxy_never_sees_it(self, world: MemoryGun, told: RecordingReceiver, behind: Any) -> None:
        for _ in range(3):
            world.advance(20)
        for peer in world.peers:
            self.assertNotIn(b"secret", peer.received)
        last = self.assert_each_ended_once(told, [behind])[behind]
        self.assertIsInstance(last.reason, gun.StreamError)
        self.assertIn("tunnel", str(last.reason))
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_then_refused(self) -> None:
        """The proxy refuses: the request does not go to the proxy instead."""
        world, told, tunnel, behind = self.asked()
        tunnel.cancel()
        world.pump()
        world.peer.send(answer(b"no", 403))
        world.pump()
        self.proxy_never_sees_it(world, told, behind)

    def test_then_granted(self) -> None:
        """The proxy makes it: the connection is closed, and the request does not go to the proxy on the next one."""
        world, told, tunnel, behind = self.asked()
        tunnel.cancel()
        world.pump()
        world.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        world.pump()
        self.assertIsNotNone(world.peers[0].lost)
        self.proxy_never_sees_it(world, told, behind)

    def test_then_lost(self) -> None:
        """The proxy is lost: likewise."""
        world, told, tunnel, behind = self.asked()
        tunnel.cancel()
        world.pump()
        world.peer.abort()
        self.proxy_never_sees_it(world, told, behind)

    def test_not_cancelled_but_lost(self) -> None:
        """Nor where nobody cancels it."""
        world, told, tunnel, behind = self.asked()
        world.peer.abort()
        world.pump()
        self.assertTrue(tunnel.ended)
        self.proxy_never_sees_it(world, told, behind)

    def test_not_answered(self) -> None:
        """Nor where the proxy never answers."""
        world, told, tunnel, behind = self.asked()
        world.advance(10)
        self.assertIsInstance(self.assert_each_ended_once(told, [tunnel])[tunnel].reason, gun.TimedOut)
        self.proxy_never_sees_it(world, told, behind)

    def test_behind_one_that_was_not_sent(self) -> None:
        """Nor where it is cancelled before the connection is up: what was asked for before it goes to the proxy, what behind it, not."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told)
        before = world.connection.get("/before")
        tunnel = world.connection.connect({"host": "origin.example", "port": PORT})
        behind = world.connection.get("/secret")
        tunnel.cancel()
        world.pump()
        self.assertIn(b"GET /before", world.peer.received)
        self.assertFalse(before.ended)
        self.proxy_never_sees_it(world, told, behind)

    def test_before_it_was_sent(self) -> None:
        """Cancelled before the connection was up, a CONNECT is not sent, nor is what was asked for in it."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told)
        tunnel = world.connection.connect({"host": "origin.example", "port": PORT})
        inside = tunnel.get("/secret")
        tunnel.cancel()
        world.pump()
        self.assertEqual(world.peer.received, b"")
        self.assertIsInstance(self.assert_each_ended_once(told, [inside])[inside].reason, gun.StreamClosed)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


globals().update(spread(__name__))
