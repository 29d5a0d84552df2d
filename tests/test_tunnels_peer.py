"""What peers do to a tunnel: its proxy resets, ends or spoils the stream; its origin ends without a word, or speaks no HTTP."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import OK, UNTIL_CLOSE, answer
from tests.tunnels import PORT, TunnelCase, Way, spread
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver, ScriptedPeer
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode, FrameType

DESTINATION = {"host": "origin.example", "port": PORT}


class Http2ProxyTests(TunnelCase):
    """A proxy of HTTP/2 whose every frame the test gives."""

    ways = ()

    def tunnel(self, **options: Any) -> tuple[MemoryGun, RecordingReceiver, Any, Any]:
        """The world, who is told everything, a tunnel that is up, and its request as the proxy has it."""
        told = RecordingReceiver()
        options["http2_opts"] = {"core": self.core, **options.get("http2_opts", {})}
        world = MemoryGun(protocols=["http2"], owner=told, reply_to=told, **options)
        world.pump()
        tunnel = world.connection.connect(DESTINATION)
        world.pump()
        proxy: Http2Peer = world.peer
        (request,) = proxy.requests
        self.assertEqual((request.method, request.authority, request.path, request.scheme), (b"CONNECT", b"origin.example:8080", b"", b""))
        proxy.respond(request, 200, fin=False)
        world.pump()
        self.assertEqual(told.names(), ["gun_up", "gun_response", "gun_tunnel_up"])
        return world, told, tunnel, request

    def busy(self, **options: Any) -> tuple[MemoryGun, RecordingReceiver, Any, Any, list[Any]]:
        """Likewise, with a stream in the tunnel that is half answered, one behind it, and one beside the tunnel."""
        world, told, tunnel, request = self.tunnel(**options)
        streams = [tunnel.get("/1"), tunnel.get("/2"), world.connection.get("/beside")]
        world.pump()
        self.assertEqual(request.body.count(b"GET /"), 2)
        world.peer.send_data(request, b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        world.pump()
        return world, told, tunnel, request, streams

    def lives_on(self, world: MemoryGun, told: RecordingReceiver, beside: Any) -> None:
        """What is beside the tunnel is answered, a new tunnel can be made, and the connection is still the first one."""
        world.peer.respond(world.peer.requests[1], 200, {}, b"beside")
        world.pump()
        self.assertEqual(self.assert_each_ended_once(told, [beside])[beside].data, b"beside")
        again = world.connection.connect(DESTINATION, reply_to=None)
        world.pump()
        world.peer.respond(world.peer.requests[-1], 200, fin=False)
        world.pump()
        self.assertEqual(self.successResultOf(again.await_up()), "http")
        self.assertEqual((told.of(gun.Down), len(world.peers)), ([], 1))
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_reset(self) -> None:
        """RST_STREAM is the tunnel's end, and the cause of what becomes of the streams in it."""
        world, told, tunnel, request, (first, second, beside) = self.busy()
        world.peer.reset(request, ErrorCode.CONNECT_ERROR)
        world.pump()
        last = self.assert_each_ended_once(told, [tunnel, first, second])
        self.assertIsInstance(last[tunnel].reason, gun.StreamReset)
        self.assertEqual(last[tunnel].reason.code, ErrorCode.CONNECT_ERROR)
        self.assertIsInstance(last[first].reason, gun.Truncated)
        self.assertEqual((last[first].reason.received, last[first].reason.expected), (4, 8))
        self.assertIsInstance(last[second].reason, gun.StreamClosed)
        for stream in (first, second):
            self.assertIs(last[stream].reason.__cause__, last[tunnel].reason)
        self.lives_on(world, told, beside)

    def test_reset_before_the_answer(self) -> None:
        """REFUSED_STREAM instead of an answer: neither the tunnel nor what waited for it was processed."""
        told = RecordingReceiver()
        world = MemoryGun(protocols=["http2"], http2_opts={"core": self.core}, owner=told)
        tunnel = world.connection.connect(DESTINATION)
        inside = tunnel.get("/")
        world.pump()
        up, response = tunnel.await_up(), inside.await_response()
        world.peer.reset(world.peer.requests[0], ErrorCode.REFUSED_STREAM)
        world.pump()
        self.failureResultOf(up, gun.StreamRefused)
        self.failureResultOf(response, gun.StreamRefused)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_end(self) -> None:
        """END_STREAM is the end of the bytes, in good order: a response that ends so is whole, and ours follows."""
        world, told, tunnel, request = self.tunnel()
        stream, beside = tunnel.get("/"), world.connection.get("/beside")
        world.pump()
        world.peer.send_data(request, UNTIL_CLOSE + b"all of it")
        world.pump()
        self.assertFalse(stream.ended)
        world.peer.send_data(request, b"", fin=True)
        world.pump()
        last = self.assert_each_ended_once(told, [stream, tunnel])
        self.assertEqual(last[stream], gun.Data(stream=stream, fin=True, data=b""))
        self.assertEqual(last[tunnel], gun.Data(stream=tunnel, fin=True, data=b""))
        self.assertTrue(request.complete)
        self.assertIsNone(request.reset)
        self.lives_on(world, told, beside)

    def test_end_too_early(self) -> None:
        """END_STREAM in the midst of a response cuts it off."""
        world, told, tunnel, request, (first, second, beside) = self.busy()
        world.peer.send_data(request, b"", fin=True)
        world.pump()
        last = self.assert_each_ended_once(told, [tunnel, first, second])
        self.assertIsInstance(last[first].reason, gun.Truncated)
        self.assertIsInstance(last[second].reason, gun.StreamClosed)
        self.lives_on(world, told, beside)

    def test_made_and_ended_at_once(self) -> None:
        """A 2xx that ends the stream makes no tunnel; await_up says so, and what waited is not lost silently."""
        told = RecordingReceiver()
        world = MemoryGun(protocols=["http2"], http2_opts={"core": self.core}, owner=told)
        tunnel = world.connection.connect(DESTINATION)
        inside = tunnel.get("/").await_response()
        world.pump()
        up = tunnel.await_up()
        world.peer.respond(world.peer.requests[0], 200)
        world.pump()
        error = self.failureResultOf(up, gun.ProxyFailed).value
        self.assertEqual(error.status, 200)
        self.failureResultOf(inside, gun.GunError)
        self.assertTrue(tunnel.ended)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_header_fields(self) -> None:
        """HEADERS on the tunnel's stream are a violation by the proxy, of that stream alone (RFC 9113 section 8.5)."""
        for fin in (False, True):
            world, told, tunnel, request, (first, second, beside) = self.busy()
            world.peer.send_headers(request, {"x": "y"}, fin)
            world.pump()
            self.assertEqual(request.reset, ErrorCode.PROTOCOL_ERROR)
            last = self.assert_each_ended_once(told, [tunnel, first, second])
            self.assertIsInstance(last[tunnel].reason, gun.ProtocolViolation)
            self.lives_on(world, told, beside)

    def test_beyond_the_window(self) -> None:
        """More DATA than the stream's window allows: likewise."""
        world, told, tunnel, request, (first, second, beside) = self.busy(http2_opts={"initial_stream_window_size": 1000})
        world.peer.send(frames.frame(FrameType.DATA, 0, request.stream_id, b"x" * 5000))
        world.pump()
        self.assertEqual(request.reset, ErrorCode.FLOW_CONTROL_ERROR)
        last = self.assert_each_ended_once(told, [tunnel, first, second])
        self.assertIsInstance(last[tunnel].reason, gun.ProtocolViolation)
        self.lives_on(world, told, beside)

    def test_late_data(self) -> None:
        """What was on its way when the tunnel was cancelled harms nobody."""
        world, told, tunnel, request, (first, second, beside) = self.busy()
        tunnel.cancel()
        world.peer.send_data(request, b"more" * 1000)
        world.pump()
        self.assertEqual(request.reset, ErrorCode.CANCEL)
        self.assert_cancelled(told, tunnel)
        self.assert_each_ended_once(told, [first, second])
        self.lives_on(world, told, beside)

    def test_violation_inside(self) -> None:
        """An origin that speaks no HTTP ends its tunnel, and why is told of tunnel and first stream."""
        world, told, tunnel, request = self.tunnel()
        streams = [tunnel.get("/1"), tunnel.get("/2"), world.connection.get("/beside")]
        world.pump()
        world.peer.send_data(request, b"no HTTP\r\n\r\n")
        world.pump()
        last = self.assert_each_ended_once(told, [tunnel, *streams[:2]])
        self.assertIsInstance(last[tunnel].reason, gun.ProtocolViolation)
        self.assertIs(last[streams[0]].reason, last[tunnel].reason)
        self.assertIsInstance(last[streams[1]].reason, gun.StreamClosed)
        self.assertEqual(request.reset, ErrorCode.CANCEL)
        self.lives_on(world, told, streams[2])

    def test_unsolicited(self) -> None:
        """So do bytes that answer nothing."""
        world, told, tunnel, request = self.tunnel()
        beside = world.connection.get("/beside")
        world.peer.send_data(request, OK)
        world.pump()
        self.assertIn("unsolicited", str(self.assert_each_ended_once(told, [tunnel])[tunnel].reason))
        self.lives_on(world, told, beside)

    def test_violation_of_the_connection(self) -> None:
        """The proxy spoils the connection: all ends once, with what it did as the reason, and gun_down lists it."""
        world, told, tunnel, request, streams = self.busy()
        del request
        world.peer.send(frames.frame(FrameType.WINDOW_UPDATE, 0, 0, bytes(4)))
        world.pump()
        last = self.assert_each_ended_once(told, [tunnel, *streams])
        (down,) = self.assert_lists(told)
        self.assertIsInstance(down.reason, gun.ProtocolViolation)
        self.assertEqual(set(down.killed_streams), {tunnel, *streams})
        self.assertIs(last[tunnel].reason, down.reason)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_answers(self) -> None:
        """Interim responses come before the answer; what a 2xx says of content is ignored, a refusal may have trailers."""
        for status, fields, trailers in (
            (200, {"content-length": "3"}, {}),
            (299, {}, {}),
            (403, {}, {"x": "y"}),
            (404, {"content-length": "2"}, {}),
        ):
            told = RecordingReceiver()
            world = MemoryGun(protocols=["http2"], http2_opts={"core": self.core}, owner=told, reply_to=told)
            tunnel = world.connection.connect(DESTINATION)
            world.pump()
            (request,) = world.peer.requests
            world.peer.inform(request, 103, {"x": "y"})
            world.peer.respond(request, status, fields, b"" if status < 300 else b"no", fin=status > 300, trailers=trailers)
            world.pump()
            names = ["gun_up", "gun_inform", "gun_response"]
            self.assertEqual(told.names()[:3], names)
            self.assertEqual([event.status for event in told.of(gun.Response)], [status])
            if status < 300:
                self.assertEqual(told.names()[3:], ["gun_tunnel_up"])
                world.peer.send_data(request, b"HTTP/1.1 103 X\r\n\r\n")
                world.pump()
                self.assertIn("unsolicited", str(self.assert_each_ended_once(told, [tunnel])[tunnel].reason))
            else:
                self.assertIsInstance(self.assert_each_ended_once(told, [tunnel])[tunnel], gun.Trailers if trailers else gun.Data)
            self.assertEqual(told.of(gun.Down), [])
            world.connection.close()
            world.pump()
            self.assert_nothing_left(world)


class Http2ProxyReferenceTests(Http2ProxyTests):
    """The same by the reference core."""

    core = "h2"


class Http1ProxyTests(TunnelCase):
    """A proxy of HTTP/1.1 likewise: it and the origin are the same to us once the tunnel is there."""

    ways = ()

    def tunnel(self, destination: Any = None, **options: Any) -> tuple[MemoryGun, RecordingReceiver, Any]:
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told, **options)
        world.pump()
        tunnel = world.connection.connect(destination or DESTINATION)
        world.pump()
        self.assertEqual(world.peer.received, b"CONNECT origin.example:8080 HTTP/1.1\r\nhost: origin.example:8080\r\n\r\n")
        world.peer.received = b""
        world.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        world.pump()
        return world, told, tunnel

    def ended(self, world: MemoryGun, told: RecordingReceiver, *streams: Any) -> tuple[dict[Any, Any], gun.Down]:
        """The last events of streams, and the one gun_down; then the connection is up again, as a connection to the proxy."""
        world.pump()
        last = self.assert_each_ended_once(told, streams)
        (down,) = self.assert_lists(told)
        self.assertEqual(told.names()[-1], "gun_up")
        self.assertEqual((world.connection.info().origin_host, world.connection.info().intermediaries), ("example.org", ()))
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)
        return last, down

    def test_closed(self) -> None:
        """Closed in good order: what ends so is whole."""
        world, told, tunnel = self.tunnel()
        stream = tunnel.get("/")
        world.pump()
        world.peer.send(UNTIL_CLOSE + b"all of it")
        world.peer.close()
        last, down = self.ended(world, told, stream, tunnel)
        self.assertEqual(last[stream], gun.Data(stream=stream, fin=True, data=b""))
        self.assertEqual(last[tunnel], gun.Data(stream=tunnel, fin=True, data=b""))
        self.assertEqual((down.killed_streams, down.unprocessed_streams, down.protocol), ((), (), "http"))

    def test_reset(self) -> None:
        """Reset: it is not."""
        world, told, tunnel = self.tunnel()
        streams = [tunnel.get("/1"), tunnel.get("/2")]
        world.pump()
        world.peer.send(UNTIL_CLOSE + b"not all of it")
        world.pump()
        world.peer.abort()
        last, down = self.ended(world, told, tunnel, *streams)
        self.assertIsInstance(last[streams[0]].reason, gun.Truncated)
        self.assertEqual((set(down.killed_streams), down.unprocessed_streams), ({tunnel, streams[0]}, (streams[1],)))
        self.assertIsInstance(down.reason, gun.ConnectionFailed)
        self.assertIs(last[tunnel].reason, down.reason)

    def test_violation(self) -> None:
        """What is no HTTP is the reason for all of it; the owner is told once, by gun_down, and by an error of the connection."""
        world, told, tunnel = self.tunnel()
        streams = [tunnel.get("/1"), tunnel.get("/2")]
        world.pump()
        world.peer.send(b"no HTTP\r\n\r\n")
        last, down = self.ended(world, told, tunnel, *streams)
        self.assertIsInstance(down.reason, gun.ProtocolViolation)
        self.assertIs(last[tunnel].reason, down.reason)
        self.assertIs(last[streams[0]].reason, down.reason)
        self.assertLessEqual(set(streams), set(down.killed_streams))

    def test_unprocessed(self) -> None:
        """What was certainly not processed is listed as such: it was refused, or never sent."""
        world, told, tunnel = self.tunnel()
        streams = [tunnel.get("/1"), tunnel.get("/2"), tunnel.headers("POST", "/3"), tunnel.get("/4")]
        world.pump()
        world.peer.send(answer(b"last", 200, b"connection: close"))
        last, down = self.ended(world, told, tunnel, *streams)
        self.assertEqual(last[streams[0]].data, b"last")
        for stream in streams[1:]:
            self.assertIsInstance(last[stream].reason, gun.StreamRefused)
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), tuple(streams[1:])))

    def test_http2_inside(self) -> None:
        """HTTP/2 inside that the peer spoils: GOAWAY says why, and it is gun_down's reason."""
        world, told, tunnel = self.tunnel({**DESTINATION, "protocols": ["http2"]})
        stream = tunnel.get("/")
        world.peer.send(frames.settings(()) + frames.frame(FrameType.DATA, 0, 0, b""))
        last, down = self.ended(world, told, tunnel, stream)
        self.assertIsInstance(down.reason, gun.ProtocolViolation)
        self.assertEqual((down.protocol, stream in down.killed_streams), ("http2", True))
        self.assertIsInstance(last[stream].reason, gun.StreamClosed)
        self.assertIn(frames.goaway(0, ErrorCode.PROTOCOL_ERROR)[:9], world.peers[0].received)

    def test_before_the_answer(self) -> None:
        """Lost before it answers: the tunnel is killed with its connection, and what waited was not sent."""
        for lose in ("close", "abort"):
            told = RecordingReceiver()
            world = MemoryGun(owner=told, reply_to=told)
            tunnel = world.connection.connect(DESTINATION)
            inside = tunnel.get("/")
            world.pump()
            getattr(world.peer, lose)()
            last, down = self.ended(world, told, tunnel, inside)
            self.assertIsInstance(last[tunnel].reason, gun.StreamClosed)
            self.assertIsInstance(last[inside].reason, gun.StreamError)
            self.assertIn(tunnel, down.killed_streams)

    def test_in_the_midst_of_the_answer(self) -> None:
        """In the midst of it: likewise, wherever it is cut."""
        head = b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n"
        for cut in range(len(head)):
            told = RecordingReceiver()
            world = MemoryGun(owner=told, reply_to=told)
            tunnel = world.connection.connect(DESTINATION)
            inside = tunnel.get("/")
            world.pump()
            world.peer.send(head[:cut])
            world.peer.close()
            last, _ = self.ended(world, told, tunnel, inside)
            self.assertIsInstance(last[tunnel].reason, gun.StreamClosed)


class TruncationTests(TunnelCase):
    """TLS inside that ends without close_notify was cut off, by whomever."""

    origin = "https"
    origins = ("https",)
    ways = ("Http", "Http2", "Socks", "Https", "HttpInHttp2", "Http2InHttp", "SocksInHttp2", "Deep")

    def half(self, response: bytes) -> tuple[Way, RecordingReceiver, Any]:
        """A way whose origin has sent this, of what it will send."""
        way, top, told = self.told(peer=ScriptedPeer)
        stream = top.get("/")
        way.pump()
        way.peer.send(response)
        way.pump()
        return way, told, stream

    def cut(self, way: Way) -> None:
        """Let the origin's TCP connection end, without a word of TLS."""
        way.endpoints[way.hosts[-1]].links[0].server.loseConnection()
        way.pump()

    def test_until_close(self) -> None:
        """A response that ends with the connection was cut off."""
        way, told, stream = self.half(UNTIL_CLOSE + b"some of it")
        self.cut(way)
        last = self.assert_each_ended_once(told, [stream, *way.tunnels[-1:]])
        self.assertIsInstance(last[stream].reason, gun.Truncated)
        for tunnel in way.tunnels[-1:]:
            self.assertIsInstance(last[tunnel], gun.Error)
        self.assertEqual(len(told.of(gun.Down)), 1 if self.whole else 0)
        self.end(way)

    def test_with_close_notify(self) -> None:
        """With close_notify it is whole."""
        way, told, stream = self.half(UNTIL_CLOSE + b"all of it")
        way.peer.close()
        way.pump()
        last = self.assert_each_ended_once(told, [stream, *way.tunnels[-1:]])
        self.assertEqual(last[stream], gun.Data(stream=stream, fin=True, data=b""))
        for tunnel in way.tunnels[-1:]:
            self.assertEqual(last[tunnel], gun.Data(stream=tunnel, fin=True, data=b""))
        self.end(way)

    def test_by_length(self) -> None:
        """A response whose length was said is whole before that."""
        way, told, stream = self.half(OK)
        self.cut(way)
        self.assertEqual(self.assert_each_ended_once(told, [stream])[stream].data, b"ok")
        self.end(way)


globals().update(spread(__name__))
