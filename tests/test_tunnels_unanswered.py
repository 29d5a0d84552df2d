"""A CONNECT that is not answered: for how long it is waited for, what ends then, and what does not."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.tunnels import PORT, TunnelCase, Way, spread
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.wire.frames import ErrorCode

DESTINATION = {"host": "origin.example", "port": PORT}


class UnansweredTests(TunnelCase):
    """A proxy that does not reach the origin, and says nothing."""

    ways = ("Http", "Http2", "HttpInHttp", "HttpInHttp2", "Http2InHttp", "Http2InHttp2", "HttpInSocks")

    def check(self, seconds: float, **options: Any) -> None:
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told, retry_timeout=60.0)
        way.endpoints[way.hosts[-1]].hang()
        way.ends[len(self.proxies)] = options
        top = way.ask()
        stream = top.get("/secret")
        up = top.await_up(None)
        way.pump()
        way.advance(seconds - 0.1)
        self.assertNoResult(up)
        way.advance(0.1)
        error = self.failureResultOf(up, gun.TimedOut).value
        self.assertEqual((error.stage, error.seconds), ("tunnel", seconds))
        for word in (way.hosts[-2], "origin.example:8080"):
            self.assertIn(word, str(error))
        last = self.assert_each_ended_once(told, [top, stream])
        self.assertIs(last[top].reason, error)
        self.assertIs(last[stream].reason, error)
        self.proxy_gives_up(way)
        self.end(way)

    def proxy_gives_up(self, way: Way) -> None:
        """A proxy of HTTP/2 is told by a reset; one of HTTP/1.1 by the end of the connection, in the end."""
        for _ in range(3):
            way.advance(30)
        self.assertEqual([tunnel.open for tunnel in way.factories[-1].tunnels], [False])
        if self.proxies[-1] in ("h2c", "h2"):
            self.assertIsNone(way.factories[-1].connections[0].lost)

    def test_default(self) -> None:
        """Ten seconds."""
        self.check(10.0)

    def test_option(self) -> None:
        """Or as long as the destination's tunnel_timeout says."""
        self.check(3.0, tunnel_timeout=3.0)

    def test_none(self) -> None:
        """None is for ever."""
        way = self.way()
        way.endpoints[way.hosts[-1]].hang()
        way.ends[len(self.proxies)] = {"tunnel_timeout": None}
        top = way.ask()
        way.pump()
        way.advance(10_000)
        self.assertFalse(top.ended)
        self.end(way)

    def test_answered_in_time(self) -> None:
        """Once it is answered the time no longer runs, whatever TLS and requests may take."""
        way = self.way(quiet=True)
        way.ends[len(self.proxies)] = {"tunnel_timeout": 3.0, "tls_handshake_timeout": None}
        top = way.ask()
        stream = top.get("/")
        way.pump()
        way.advance(4)
        self.assertFalse(stream.ended)
        self.end(way)


class LateAnswerTests(TunnelCase):
    """An answer that comes too late harms nobody."""

    ways = ()

    def late(self, protocol: str) -> tuple[MemoryGun, RecordingReceiver, Any]:
        """A tunnel whose time is up."""
        told = RecordingReceiver()
        world = MemoryGun(protocols=[protocol], owner=told, reply_to=told)
        tunnel = world.connection.connect({**DESTINATION, "tunnel_timeout": 1.0})
        world.pump()
        world.advance(1)
        self.assertIsInstance(self.assert_each_ended_once(told, [tunnel])[tunnel].reason, gun.TimedOut)
        return world, told, tunnel

    def test_http1(self) -> None:
        """Over HTTP/1.1 the connection is closed by then: nothing can be sent behind a CONNECT that may yet be granted."""
        world, told, _ = self.late("http")
        after = world.connection.connect(DESTINATION)
        world.pump()
        world.advance(20)
        self.assertIsNotNone(world.peers[0].lost)
        self.assertEqual(world.peers[0].received.count(b"CONNECT"), 1)
        self.assertEqual(world.peers[1].received.count(b"CONNECT"), 1)
        world.peers[1].send(b"HTTP/1.1 200 OK\r\n\r\n")
        world.pump()
        self.assertEqual(told.of(gun.TunnelUp)[0].stream, after)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_http1_late(self) -> None:
        """Should it come before that, the connection is closed too."""
        world, _, _ = self.late("http")
        if world.peers[0].lost is None:
            world.peers[0].send(b"HTTP/1.1 200 OK\r\n\r\nbytes of the tunnel")
            world.pump()
        self.assertIsNotNone(world.peers[0].lost)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_http2(self) -> None:
        """Over HTTP/2 the stream was reset, and what still comes for it is dropped; the connection lives on."""
        world, told, _ = self.late("http2")
        (request,) = world.peer.requests
        self.assertEqual(request.reset, ErrorCode.CANCEL)
        body = world.connection.get("/after", reply_to=None).await_response()
        world.pump()
        world.peer.respond(world.peer.requests[1])
        world.pump()
        self.assertEqual(self.successResultOf(body).status, 200)
        self.assertEqual((told.of(gun.Down), len(world.peers)), ([], 1))
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_while_waiting(self) -> None:
        """The time runs from the request on, not while the connection is not up."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told, retry_timeout=5.0)
        world.endpoint.refuse(times=2)
        tunnel = world.connection.connect({**DESTINATION, "tunnel_timeout": 1.0})
        world.pump()
        world.advance(4)
        self.assertFalse(tunnel.ended)
        world.advance(1)
        self.assertFalse(tunnel.ended)
        world.advance(1)
        self.assertTrue(tunnel.ended)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


globals().update(spread(__name__))
