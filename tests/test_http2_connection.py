"""Requests over HTTP/2, from `gun.open` to the frames of a server in memory: verbs, answers, and how streams end."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.stage import Http2Case, ends, every_answer
from twisted_gun.testing import MemoryGun, RecordingReceiver, ScriptedPeer
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode


class VerbTests(Http2Case):
    """What is asked for is what arrives."""

    def setUp(self) -> None:
        self.world_ = self.up()
        self.conn = self.world_.connection

    def arrived(self) -> Any:
        self.world_.pump()
        return self.world_.peer.requests[-1]

    def test_without_content(self) -> None:
        """get, head, options and delete send a request that is complete with its fields."""
        for method in ("get", "head", "options", "delete"):
            getattr(self.conn, method)("/path?q", {"X-Custom": "value"})
            request = self.arrived()
            self.assertEqual((request.method, request.path), (method.upper().encode(), b"/path?q"))
            self.assertEqual((request.authority, request.scheme), (b"example.org", b"http"))
            self.assertEqual((request.headers, request.body, request.complete), (((b"x-custom", b"value"),), b"", True))

    def test_with_content(self) -> None:
        """post, put and patch send theirs, with its length."""
        for method in ("post", "put", "patch"):
            getattr(self.conn, method)("/", {"content-type": "text/plain"}, [b"con", b"tent"])
            request = self.arrived()
            self.assertEqual((request.method, request.body, request.complete), (method.upper().encode(), b"content", True))
            self.assertEqual(request.headers, ((b"content-length", b"7"), (b"content-type", b"text/plain")))

    def test_empty_content(self) -> None:
        """Content of no bytes is said to have none."""
        self.conn.post("/", (), b"")
        request = self.arrived()
        self.assertEqual((request.headers, request.complete), (((b"content-length", b"0"),), True))

    def test_content_follows(self) -> None:
        """With a Content-Type and no body, and with headers(), content follows by data()."""
        for ask in (lambda: self.conn.post("/", {"content-type": "text/plain"}), lambda: self.conn.headers("POST", "/")):
            stream = ask()
            self.assertFalse(self.arrived().complete)
            stream.data(b"one")
            self.assertEqual(self.arrived().body, b"one")
            stream.data([b"t", b"wo"], fin=True)
            request = self.arrived()
            self.assertEqual((request.body, request.complete), (b"onetwo", True))
            self.assertRaises(gun.BadState, stream.data, b"three")

    def test_any_method(self) -> None:
        """request() takes any method, and ``*`` goes with OPTIONS."""
        self.conn.request("PURGE", "/cache", (), b"")
        self.assertEqual(self.arrived().method, b"PURGE")
        self.conn.options("*")
        self.assertEqual(self.arrived().path, b"*")

    def test_authority(self) -> None:
        """Host becomes :authority, and is sent no other way (RFC 9113 section 8.3.1)."""
        self.conn.get("/", {"host": "other.example:8080"})
        request = self.arrived()
        self.assertEqual((request.authority, request.headers), (b"other.example:8080", ()))

    def test_forbidden_fields(self) -> None:
        """What belongs to a connection of HTTP/1.1 is not sent (RFC 9113 section 8.2.2)."""
        given = {"connection": "x-hop, close", "keep-alive": "1", "upgrade": "h2c", "te": "gzip", "x-hop": "1", "x-end": "2"}
        self.conn.get("/", given)
        self.assertEqual(self.arrived().headers, ((b"x-end", b"2"),))

    def test_refused_at_the_call(self) -> None:
        """A caller's mistake raises, and nothing is sent of it."""
        for wrong in (lambda: self.conn.get("/\r\n"), lambda: self.conn.get("/", {"x": "a\nb"}), lambda: self.conn.request("G T", "/")):
            self.assertRaises(gun.InvalidRequest, wrong)
        self.world_.pump()
        self.assertEqual(self.world_.peer.requests, [])

    def test_length_kept(self) -> None:
        """Content is as long as Content-Length says."""
        stream = self.conn.headers("POST", "/", {"content-length": "3"})
        self.assertRaises(gun.InvalidRequest, stream.data, b"four")
        stream.data(b"ab")
        self.assertRaises(gun.InvalidRequest, stream.data, b"", fin=True)
        stream.data(b"c")
        request = self.arrived()
        self.assertEqual((request.body, request.complete), (b"abc", True))

    def test_before_it_is_up(self) -> None:
        """What is asked for before the connection is up is sent in order, behind the preface, with what followed of its content."""
        world = self.world()
        world.connection.get("/1")
        upload = world.connection.headers("POST", "/2")
        upload.data(b"one")
        upload.data(b"two", fin=True)
        world.connection.get("/3")
        world.pump()
        self.assertEqual(
            [(request.path, request.body) for request in world.peer.requests], [(b"/1", b""), (b"/2", b"onetwo"), (b"/3", b"")]
        )
        self.assertEqual([request.stream_id for request in world.peer.requests], [1, 3, 5])


class AnswerTests(Http2Case):
    """What the server sends is what is told."""

    def answered(self, *answers: tuple[Any, ...], cut: int | None = None) -> list[Any]:
        """The events of one request that the peer answers by these calls of its methods."""
        told = RecordingReceiver()
        world = self.up(reply_to=told)
        if cut is not None:
            world.endpoint.links[-1].chunk_size = cut
        world.connection.get("/")
        world.pump()
        for method, *arguments in answers:
            getattr(world.peer, method)(world.peer.requests[-1], *arguments)
        world.pump()
        self.assert_told_in_order(told)
        self.end(world)
        return [event for event in told.events if not isinstance(event, gun.Error)]

    def test_whole(self) -> None:
        """A response, its content and its end, however the bytes are cut."""
        for cut in (None, 1, 7):
            response, data = self.answered(("respond", 200, {"x": "y"}, b"hello"), cut=cut)
            self.assertEqual((response.status, response.headers, response.fin), (200, ((b"x", b"y"),), False))
            self.assertEqual((data.data, data.fin), (b"hello", True))

    def test_empty(self) -> None:
        """A response that ends with its fields is told once."""
        (response,) = self.answered(("respond", 204))
        self.assertEqual((response.status, response.fin), (204, True))

    def test_pieces(self) -> None:
        """Each piece of content is told; an empty last one ends it."""
        events = self.answered(("respond", 200, {}, b"one", False), ("send_data", b"two"), ("send_data", b"", True))
        self.assertEqual([(event.data, event.fin) for event in events[1:]], [(b"one", False), (b"two", False), (b"", True)])

    def test_trailers(self) -> None:
        """Trailers end the response."""
        events = self.answered(("respond", 200, {}, b"one", False), ("trailers", {"x-sum": "1"}))
        self.assertEqual([event.told_as for event in events], ["gun_response", "gun_data", "gun_trailers"])
        self.assertEqual((events[1].fin, events[2].headers), (False, ((b"x-sum", b"1"),)))

    def test_interim(self) -> None:
        """Interim responses come before the final one."""
        events = self.answered(("inform", 103, {"link": "</a>"}), ("inform", 100), ("respond", 200))
        self.assertEqual([event.status for event in events], [103, 100, 200])
        self.assertEqual([event.told_as for event in events], ["gun_inform", "gun_inform", "gun_response"])

    def test_head(self) -> None:
        """HEAD is answered without content, whatever its Content-Length says."""
        world = self.up(script=lambda peer: [peer.respond(request, 200, {"content-length": "5"}) for request in peer.requests[-1:]])
        response = world.connection.head("/").await_response()
        world.pump()
        self.assertTrue(self.successResultOf(response).fin)

    def test_await(self) -> None:
        """Awaited in every way: events, response, body with trailers, chunks."""
        world = self.up()
        streams = [world.connection.get("/") for _ in range(4)]
        events = [streams[0].await_event()]
        response, body = streams[1].await_response(), streams[2].await_body()

        async def read() -> list[bytes]:
            return [chunk async for chunk in streams[3].chunks()]

        chunks = Deferred.fromCoroutine(read())
        world.pump()
        for request in world.peer.requests:
            world.peer.inform(request)
            world.peer.respond(request, 200, {}, b"one", False)
            world.peer.send_data(request, b"two")
            world.peer.trailers(request, {"x": "y"})
        world.pump()
        events += [streams[0].await_event() for _ in range(4)]
        kinds = [type(self.successResultOf(event)) for event in events]
        self.assertEqual(kinds, [gun.Inform, gun.Response, gun.Data, gun.Data, gun.Trailers])
        self.assertEqual(self.successResultOf(response).status, 200)
        self.assertEqual((self.successResultOf(body), streams[2].trailers), (b"onetwo", ((b"x", b"y"),)))
        self.assertEqual(self.successResultOf(chunks), [b"one", b"two"])
        self.end(world)

    def test_multiplexed(self) -> None:
        """A hundred at once, answered backwards and piece by piece: each has its own."""
        world = self.up()
        bodies = [world.connection.get(f"/{number}").await_body() for number in range(100)]
        world.pump()
        for request in reversed(world.peer.requests):
            world.peer.respond(request, 200, {}, request.path, fin=False)
        for request in world.peer.requests:
            world.peer.send_data(request, b"!", fin=True)
        world.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/%d!" % number for number in range(100)])
        self.assertEqual(len(world.peers), 1)
        self.end(world)

    def test_early_answer(self) -> None:
        """A whole response before the content was sent: it is told, and the rest is given up with NO_ERROR (RFC 9113 section 8.1)."""
        world = self.up()
        stream = world.connection.headers("POST", "/")
        stream.data(b"some")
        body = stream.await_body()
        world.pump()
        (request,) = world.peer.requests
        world.peer.respond(request, 413, {}, b"too much")
        world.pump()
        self.assertEqual((self.successResultOf(body), request.reset), (b"too much", ErrorCode.NO_ERROR))
        self.assertRaises(gun.BadState, stream.data, b"more")
        self.assertEqual(len(world.peers), 1)
        self.end(world)


class EndTests(Http2Case):
    """Ends other than that of the response."""

    def setUp(self) -> None:
        self.told = RecordingReceiver()
        self.world_ = self.up(owner=self.told, script=every_answer)
        self.conn = self.world_.connection
        self.told.clear()

    def two(self) -> tuple[Any, Any]:
        """A stream that is awaited, and one that is told of; the server does not know them to be complete."""
        streams = self.conn.headers("POST", "/1"), self.conn.headers("POST", "/2", reply_to=self.told)
        self.world_.pump()
        return streams

    def requests(self) -> list[Any]:
        return list(self.world_.peer.requests[-2:])

    def lost(self) -> gun.Down:
        """What the owner is told when the connection is reset."""
        self.world_.peer.abort()
        self.world_.pump()
        (down,) = self.told.of(gun.Down)
        self.assertEqual(set(down.killed_streams) & set(down.unprocessed_streams), set())
        return down

    def test_reset(self) -> None:
        """RST_STREAM is StreamReset with its code, where it is awaited and where it is told; the connection lives on."""
        streams, error = self.two(), ErrorCode.INTERNAL_ERROR
        response = streams[0].await_response()
        for request in self.requests():
            self.world_.peer.reset(request, error)
        self.world_.pump()
        reason: Any = self.failureResultOf(response, gun.StreamReset).value
        event: Any = self.told.of(gun.Error)[0]
        self.assertEqual((reason.code, event.reason.code, event.stream), (error, error, streams[1]))
        self.assertIn("INTERNAL_ERROR", str(reason))
        self.assertTrue(all(stream.ended for stream in streams))
        again = self.conn.get("/again").await_body()
        self.world_.pump()
        self.assertEqual(self.successResultOf(again), b"/again")
        down = self.lost()
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), ()))

    def test_refused(self) -> None:
        """REFUSED_STREAM is StreamRefused: certainly not processed, as the owner is told again when the connection is lost."""
        streams = self.two()
        response = streams[0].await_response()
        for request in self.requests():
            self.world_.peer.reset(request, ErrorCode.REFUSED_STREAM)
        killed = self.conn.headers("POST", "/3", reply_to=self.told)
        self.world_.pump()
        self.failureResultOf(response, gun.StreamRefused)
        self.assertIsInstance(self.told.of(gun.Error)[0].reason, gun.StreamRefused)
        down = self.lost()
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((killed,), streams))

    def test_went_away(self) -> None:
        """GOAWAY ends the streams above its last one with GoAway, which says what the server said; those are unprocessed."""
        first, second = self.two()
        response = first.await_response()
        self.world_.peer.goaway(self.requests()[0], ErrorCode.ENHANCE_YOUR_CALM, b"too many")
        self.world_.pump()
        self.assertNoResult(response)
        error: Any = self.told.of(gun.Error)[0]
        self.assertIsInstance(error.reason, gun.GoAway)
        self.assertEqual((error.stream, error.reason.code, error.reason.last_stream_id), (second, ErrorCode.ENHANCE_YOUR_CALM, 1))
        down = self.lost()
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((first,), (second,)))
        self.failureResultOf(response, gun.StreamClosed)

    def test_connection_lost(self) -> None:
        """Streams whose response has not begun are StreamClosed, those whose has are Truncated; all were killed."""
        streams = self.two()
        body = streams[0].await_body()
        self.world_.peer.respond(self.requests()[0], 200, {"content-length": "10"}, b"half", fin=False)
        self.world_.pump()
        down = self.lost()
        self.assertEqual((down.killed_streams, down.unprocessed_streams), (streams, ()))
        error: Any = self.failureResultOf(body, gun.Truncated).value
        self.assertEqual((error.received, error.expected), (4, 10))
        self.assertIsInstance(self.told.of(gun.Error)[0].reason, gun.StreamClosed)
        self.assertEqual(ends(self.told), {streams[1]: 1})

    def test_malformed(self) -> None:
        """A malformed response ends its own stream, with ProtocolViolation and RST_STREAM, and no other."""
        malformed: tuple[list[tuple[str, str]], ...] = (
            [],
            [("x", "y")],
            [(":status", "20")],
            [(":status", "200"), (":path", "/")],
            [(":status", "200"), ("X-Upper", "y")],
            [(":status", "200"), ("connection", "close")],
            [(":status", "200"), ("x", "a\rb")],
            [(":status", "200"), ("content-length", "x")],
            [(":status", "101")],
        )
        for fields in malformed:
            first, second = self.two()
            response, body = first.await_response(), second
            world, requests = self.world_, self.requests()
            world.peer.send_headers(requests[0], fields)
            world.peer.respond(requests[1], 200, {}, b"fine")
            world.pump()
            self.failureResultOf(response, gun.ProtocolViolation)
            self.assertEqual(requests[0].reset, ErrorCode.PROTOCOL_ERROR, fields)
            self.assertTrue(body.ended)
        self.assertEqual(self.told.of(gun.Error), [])
        self.assertEqual(len(self.told.of(gun.Response)), len(malformed))
        self.assertEqual(len(self.world_.peers), 1)

    def test_wrong_length(self) -> None:
        """More or less content than Content-Length says is malformed."""
        for content, fin in ((b"four", False), (b"tw", True)):
            (first, _), world = self.two(), self.world_
            body = first.await_body()
            world.peer.respond(self.requests()[0], 200, {"content-length": "3"}, content, fin)
            world.pump()
            self.failureResultOf(body, gun.ProtocolViolation)
        self.assertEqual(len(self.world_.peers), 1)

    def test_connection_error(self) -> None:
        """A fault of the connection is told to the owner, ends all streams, and is answered by GOAWAY with its code."""
        first, second = self.two()
        response = first.await_response()
        peer = self.world_.peer
        peer.send(frames.frame(frames.FrameType.DATA, 0, 0, b"no stream"))
        self.world_.pump()
        self.assertEqual(peer.gone_away, (0, ErrorCode.PROTOCOL_ERROR))
        self.assertEqual(self.told.names(), ["gun_error", "gun_error", "gun_down", "gun_up"])
        stream_error, error, down, _ = self.told.events
        self.assertEqual((stream_error.stream, error.stream), (second, None))
        self.assertIsInstance(error.reason, gun.ProtocolViolation)
        self.assertIs(down.reason, error.reason)
        self.assertEqual(down.killed_streams, (first, second))
        self.failureResultOf(response, gun.StreamClosed)

    def test_no_http2(self) -> None:
        """What is no HTTP/2 at all is said to be none, in Gun's words."""
        for garbage, words in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1 response"), (b"\0" * 24, "Invalid connection preface")):
            world = MemoryGun(protocols=["http2"], http2_opts={"core": self.core}, peer=partial(ScriptedPeer, [("send", garbage)]), retry=0)
            world.pump()
            reason = self.successResultOf(world.connection.when_terminated())
            self.assertIsInstance(reason, gun.ProtocolViolation)
            self.assertIn(words, str(reason))
            self.assert_nothing_left(world)
