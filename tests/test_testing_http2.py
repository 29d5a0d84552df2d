"""`twisted_gun.testing`: the server in memory that speaks HTTP/2."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.testing import Http2Peer, MemoryGun, ScriptedPeer, memory_pair
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode, FrameType
from twisted_gun.wire.hpack import Encoder

REQUEST = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"example.org"), (b":path", b"/"))
START = frames.PREFACE + frames.settings([])


class WorldTests(SynchronousTestCase):
    """With a connection at the other end."""

    def up(self, **options: Any) -> MemoryGun:
        world = MemoryGun(protocols=["http2"], **options)
        world.pump()
        return world

    def test_example(self) -> None:
        """The example of the package's docstring."""
        script: Any = [("expect", b"GET /hello"), ("respond", 200, {}, b"hello")]
        world = MemoryGun("example.org", 80, protocols=["http2"], script=script)
        body = world.connection.get("/hello").await_body()
        world.pump()
        self.assertEqual(self.successResultOf(body), b"hello")
        world.peer.verify()

    def test_which_peer(self) -> None:
        """HTTP/2 alone gets an Http2Peer, by its options too; anything else a ScriptedPeer; `peer` makes any other."""
        given: Any = ({"protocols": ["http2"]}, {"protocols": [("http2", {})]}, {"options": gun.Options(protocols=("http2",))})
        for options in given:
            world = MemoryGun(**options)
            world.pump()
            self.assertIs(type(world.peer), Http2Peer)
        self.assertIs(type(self.up(peer=ScriptedPeer).peer), ScriptedPeer)
        world = MemoryGun()
        world.pump()
        self.assertIs(type(world.peer), ScriptedPeer)

    def test_script(self) -> None:
        """Steps wait for their request; those of a stream are for the one expected last, the others for the connection."""
        script: Any = [
            ("expect", lambda request: request.path == b"/upload"),
            ("inform", 100),
            ("expect", b"GET /second"),
            ("respond", 200, {}, b"second"),
            ("settings",),
            ("goaway",),
            ("close",),
        ]
        world = self.up(script=script)
        upload = world.connection.headers("POST", "/upload")
        event = upload.await_event()
        body = world.connection.get("/second").await_body()
        world.pump()
        self.assertIsInstance(self.successResultOf(event), gun.Inform)
        self.assertEqual(self.successResultOf(body), b"second")
        world.peers[0].verify()
        self.assertIsNotNone(world.peers[0].lost)

    def test_incomplete_request_is_not_expected(self) -> None:
        """An expected method and path are those of a complete request; verify() says what came instead."""
        world = self.up(script=[("expect", b"POST /"), ("respond", 204)])
        stream = world.connection.headers("POST", "/")
        world.pump()
        error = self.assertRaises(AssertionError, world.peer.verify)
        self.assertIn("respond", str(error))
        self.assertIn("b'POST'", str(error))
        stream.data(b"content", fin=True)
        world.pump()
        world.peer.verify()

    def test_unknown_step(self) -> None:
        """A step of another name is refused; so is one of a stream before any request was expected."""
        self.assertRaises(ValueError, Http2Peer, [("answer", 200)])
        self.assertRaises(AssertionError, memory_pair, ScriptedPeer(), Http2Peer([("respond", 200)]))

    def test_callable(self) -> None:
        """A callable script is called with the peer when bytes have arrived."""
        world = self.up(script=lambda peer: [peer.respond(request) for request in peer.requests if not request.answered])
        response = world.connection.get("/").await_response()
        world.pump()
        self.assertTrue(self.successResultOf(response).fin)

    def test_requests(self) -> None:
        """Requests are listed as they arrive, with what became of them."""
        world = self.up()
        stream = world.connection.headers("PUT", "/path", {"x": "y"})
        stream.data(b"one")
        world.pump()
        stream.data(b"two")
        world.pump()
        (request,) = world.peer.requests
        self.assertEqual((request.stream_id, request.method, request.path), (1, b"PUT", b"/path"))
        self.assertEqual((request.authority, request.scheme, request.headers), (b"example.org", b"http", ((b"x", b"y"),)))
        self.assertEqual((request.body, request.complete, request.reset, request.answered), (b"onetwo", False, None, False))
        stream.cancel()
        world.pump()
        self.assertEqual((request.reset, request.answered), (ErrorCode.CANCEL, False))
        world.connection.get("/")
        world.pump()
        world.peer.respond(3)
        self.assertTrue(world.peer.requests[1].answered)

    def test_large_header(self) -> None:
        """Field blocks longer than a frame go both ways."""
        large = b"\xb6" * 40_000
        world = self.up(http2_opts={"max_fragmented_header_block_size": 10**6, "max_header_list_size": 10**6})
        response = world.connection.get("/", {"x": large}).await_response()
        world.pump()
        self.assertTrue(world.peer.requests[0].headers == ((b"x", large),))
        world.peer.respond(world.peer.requests[0], 200, {"y": large})
        world.pump()
        self.assertTrue(self.successResultOf(response).headers == ((b"y", large),))

    def test_windows_of_the_client(self) -> None:
        """Content waits for the client's windows, trailers behind it; `unsent` says how much."""
        world = self.up(http2_opts={"initial_stream_window_size": 100, "stream_window_margin_size": 0})
        stream = world.connection.get("/", flow=1)
        world.pump()
        (request,) = world.peer.requests
        world.peer.respond(request, 200, {}, b"x" * 350, trailers={"x": "y"})
        world.pump()
        self.assertGreater(world.peer.unsent(request), 0)
        self.assertFalse(request.answered)
        stream.update_flow(100)
        body = stream.await_body()
        world.pump()
        self.assertEqual((self.successResultOf(body), stream.trailers), (b"x" * 350, ((b"x", b"y"),)))
        self.assertEqual((world.peer.unsent(request), request.answered), (0, True))

    def test_frames(self) -> None:
        """All frames are kept, and the client's settings by their names."""
        world = self.up(http2_opts={"max_concurrent_streams": 7})
        world.connection.get("/")
        world.pump()
        self.assertEqual(world.peer.client_settings["max_concurrent_streams"], 7)
        kinds = [kind for kind, _, _, _ in world.peer.frames]
        self.assertEqual(kinds[0], FrameType.SETTINGS)
        self.assertIn(FrameType.HEADERS, kinds)

    def test_ignored(self) -> None:
        """Requests behind a GOAWAY are not among the requests."""
        world = self.up()
        world.peer.goaway(0)
        world.connection.get("/")
        world.pump()
        self.assertEqual(([request.path for request in world.peers[0].ignored], world.peers[0].requests), ([b"/"], []))

    def test_sent_after_a_reset(self) -> None:
        """What the test sends on a stream that is over goes nowhere, as it does with any server."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        world.peer.reset(1)
        world.peer.respond(1, 200, {}, b"late")
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up"])


class ViolationTests(SynchronousTestCase):
    """What a client must not do fails the test."""

    def check(self, *said: bytes, **options: Any) -> None:
        client, peer = ScriptedPeer(), Http2Peer(**options)
        link = memory_pair(client, peer)
        link.flush()
        for data in said[:-1]:
            client.send(data)
            link.flush()
        self.assertEqual(self.flushLoggedErrors(), [])
        client.send(said[-1])
        link.flush()
        self.assertEqual(len(self.flushLoggedErrors(AssertionError)), 1, said[-1])
        self.assertIsNotNone(peer.lost)

    def request(self, stream_id: int = 1, fin: bool = False) -> bytes:
        return frames.header_frames(stream_id, Encoder().encode_fields(REQUEST), fin, 16_384)

    def data(self, size: int, stream_id: int = 1, fin: bool = False) -> bytes:
        return frames.frame(FrameType.DATA, int(fin), stream_id, b"x" * size)

    def test_preface(self) -> None:
        """Something else than the preface, and something else than SETTINGS behind it."""
        self.check(b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n")
        self.check(frames.PREFACE + frames.ping(bytes(8)))

    def test_streams(self) -> None:
        """A stream of even identifier, and frames of streams that are not open."""
        self.check(START, self.request(2))
        self.check(START, self.data(1))
        self.check(START, frames.rst_stream(1, 0))
        self.check(START + self.request(fin=True), self.data(1))
        self.check(START + self.request(), self.request())
        self.check(START + self.request() + self.data(1, fin=True), self.data(1))

    def test_windows(self) -> None:
        """More than a window allows, of the stream or of the connection; a smaller one counts when it was acknowledged."""
        full = self.data(16_384) * 3 + self.data(16_383)
        self.check(START + self.request() + full, self.data(1), open_windows=False)
        small: dict[str, Any] = {"settings": {"initial_window_size": 10}}
        self.check(START + self.request() + self.data(11), frames.settings_ack() + self.data(1), **small, open_windows=False)
        self.check(START + frames.settings_ack() + self.request() + self.data(10), self.data(1), **small, open_windows=False)

    def test_frames(self) -> None:
        """A frame that is too long, one within a field block, and a WINDOW_UPDATE by nothing."""
        self.check(START + self.request(), self.data(16_385))
        self.check(START + frames.frame(FrameType.HEADERS, 0, 1, b"\x82"), frames.ping(bytes(8)))
        self.check(START, frames.window_update(0, 0))
        self.check(START, frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, Encoder().encode_fields(((b"x", b"y"), *REQUEST))))
