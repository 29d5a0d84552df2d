"""Streams of HTTP/2 while they last: cancelling, flow, unread ones, and how many there may be."""

from __future__ import annotations

from functools import partial
from typing import Any

import twisted_gun as gun
from tests.producers import MUCH, Body
from tests.stage import Http2Case, every_answer
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode, FrameType


class CancelTests(Http2Case):
    """Stream.cancel(), whenever it is called."""

    def check(self, world: MemoryGun, stream: Any, awaited: Any = None) -> Any:
        """Cancelled: the stream has ended, who awaits it fails, others are not the worse for it; what the peer has of it."""
        stream.cancel()
        world.pump()
        self.assertTrue(stream.ended)
        if awaited is not None:
            self.failureResultOf(awaited, gun.StreamClosed)
        other = world.connection.get("/other").await_response()
        world.pump()
        world.peer.respond(world.peer.requests[-1])
        world.pump()
        self.assertEqual(self.successResultOf(other).status, 200)
        self.assertEqual(len(world.peers), 1)
        return next((request for request in world.peer.requests if request.path == b"/cancelled"), None)

    def test_before_it_is_up(self) -> None:
        """What was not sent is not sent."""
        world = self.world()
        stream = world.connection.get("/cancelled")
        self.assertIsNone(self.check(world, stream, stream.await_response()))

    def test_while_waiting(self) -> None:
        """Nor what waits behind the peer's limit."""
        world = self.up(settings={"max_concurrent_streams": 1}, http2_opts={"max_waiting": 5})
        world.connection.get("/first")
        stream = world.connection.get("/cancelled")
        stream.cancel()
        world.pump()
        world.peer.respond(world.peer.requests[0])
        world.pump()
        self.assertEqual([request.path for request in world.peer.requests], [b"/first"])

    def test_sent(self) -> None:
        """A request that was sent is reset with CANCEL."""
        world = self.up()
        stream = world.connection.get("/cancelled")
        awaited = stream.await_response()
        world.pump()
        self.assertEqual(self.check(world, stream, awaited).reset, ErrorCode.CANCEL)

    def test_in_the_same_turn(self) -> None:
        """One that is cancelled before it could be read by anybody is sent all the same, and reset."""
        world = self.up()
        self.assertEqual(self.check(world, world.connection.get("/cancelled")).reset, ErrorCode.CANCEL)

    def test_in_the_midst_of_the_response(self) -> None:
        """So is one whose response has begun; what still comes of it is told to nobody."""
        told = RecordingReceiver()
        world = self.up()
        stream = world.connection.get("/cancelled", reply_to=told)
        world.pump()
        request = world.peer.requests[0]
        world.peer.respond(request, 200, {}, b"some", fin=False)
        world.pump()
        world.peer.send_data(request, b"more")
        self.assertEqual(self.check(world, stream).reset, ErrorCode.CANCEL)
        self.assertEqual(told.names(), ["gun_response", "gun_data"])

    def test_in_the_midst_of_the_content(self) -> None:
        """And one whose content is not complete: its producer is stopped."""
        world = self.up()
        body = Body()
        stream = world.connection.post("/cancelled", (), body)
        world.pump()
        body.consumer.write(b"some")
        self.assertEqual(self.check(world, stream).reset, ErrorCode.CANCEL)
        self.assertEqual(body.asked, ["start", "stop"])

    def test_at_the_end(self) -> None:
        """One that has ended is not reset."""
        world = self.up()
        stream = world.connection.get("/cancelled")
        world.pump()
        world.peer.respond(world.peer.requests[0], 200, {}, b"all")
        world.pump()
        self.assertIsNone(self.check(world, stream).reset)

    def test_from_within(self) -> None:
        """From its own callbacks, at each event: nothing is told after it."""
        for name in ("gun_inform", "gun_response", "gun_data"):
            told = RecordingReceiver(partial(_cancel_at, name))
            world = self.up()
            world.connection.get("/", reply_to=told)
            world.pump()
            (request,) = world.peer.requests
            world.peer.inform(request)
            world.peer.respond(request, 200, {}, b"one", fin=False)
            world.peer.send_data(request, b"two")
            world.pump()
            self.assertEqual((told.names()[-1], told.names().count(name)), (name, 1))
            self.assertEqual(request.reset, ErrorCode.CANCEL)

    def test_late_content_counts(self) -> None:
        """What comes of a cancelled stream is counted toward the connection's window, which is opened again (RFC 9113 section 5.1)."""
        window = 65_535
        world = self.up(http2_opts={"initial_connection_window_size": window, "initial_stream_window_size": 20_000})
        for _ in range(20):
            stream = world.connection.get("/")
            world.pump()
            request = world.peer.requests[-1]
            world.peer.respond(request, 200, {}, b"x" * 20_000, fin=False)
            stream.cancel()  # with all of it under way
            world.pump()
        body = world.connection.get("/").await_body()
        world.pump()
        world.peer.respond(world.peer.requests[-1], 200, {}, MUCH)
        world.pump()
        self.assertEqual(self.successResultOf(body), MUCH)
        self.assertEqual(len(world.peers), 1)

    def test_too_much_late_content(self) -> None:
        """A peer that goes on with a stream it knows to be reset is left: STREAM_CLOSED."""
        world = self.up(http2_opts={"initial_stream_window_size": 1000})
        stream = world.connection.get("/")
        world.pump()
        stream.cancel()
        world.pump()
        for _ in range(3):
            world.peer.send(frames.frame(FrameType.DATA, 0, 1, b"x" * 500))
            world.pump()
        self.assertEqual(world.peers[0].gone_away, (0, ErrorCode.STREAM_CLOSED))


class FlowTests(Http2Case):
    """`flow`, by withholding the stream's window."""

    def test_flow(self) -> None:
        """So many data events are told, then none before update_flow; the rest is told in one."""
        told = RecordingReceiver()
        world = self.up()
        stream = world.connection.get("/", flow=2, reply_to=told)
        world.pump()
        (request,) = world.peer.requests
        world.peer.respond(request, fin=False)
        for piece in (b"1", b"2", b"3", b"4"):
            world.peer.send_data(request, piece)
        world.pump()
        self.assertEqual([event.data for event in told.of(gun.Data)], [b"1", b"2"])
        stream.update_flow(2)
        world.pump()
        world.peer.send_data(request, b"5", fin=True)
        world.pump()
        self.assertEqual([(event.data, event.fin) for event in told.of(gun.Data)[2:]], [(b"34", False), (b"5", True)])

    def test_end_waits(self) -> None:
        """The end, and trailers, come behind what is held back."""
        for trailers, expected in (({}, [(b"23", True)]), ({"x": "y"}, [(b"23", False)])):
            told = RecordingReceiver()
            world = self.up()
            stream = world.connection.get("/", flow=1, reply_to=told)
            world.pump()
            (request,) = world.peer.requests
            world.peer.respond(request, 200, {}, b"1", fin=False)
            world.peer.send_data(request, b"2")
            if trailers:
                world.peer.send_data(request, b"3")
                world.peer.trailers(request, trailers)
            else:
                world.peer.send_data(request, b"3", fin=True)
            world.pump()
            self.assertEqual(len(told.of(gun.Data)), 1)
            self.assertFalse(stream.ended)
            stream.update_flow(1)
            self.assertEqual([(event.data, event.fin) for event in told.of(gun.Data)[1:]], expected)
            self.assertEqual(len(told.of(gun.Trailers)), len(trailers))
            self.assertTrue(stream.ended)
            self.end(world)

    def test_window_is_withheld(self) -> None:
        """A stream whose flow is used up gets no more than its window, the socket is read on, and other streams run."""
        world = self.up(http2_opts={"initial_stream_window_size": 50_000})
        told = RecordingReceiver()
        held = world.connection.get("/held", flow=1, reply_to=told)
        world.pump()
        first = world.peer.requests[0]
        world.peer.respond(first, 200, {}, MUCH)
        world.pump()
        self.assertGreaterEqual(world.peer.unsent(first), len(MUCH) - 2 * 50_000 - 65_535)
        self.assertTrue(world.endpoint.links[-1].client.reading)
        other = world.connection.get("/other").await_body()
        world.pump()
        world.peer.respond(world.peer.requests[1], 200, {}, MUCH)
        world.pump()
        self.assertEqual(self.successResultOf(other), MUCH)
        while not held.ended:
            held.update_flow(1)
            world.pump()
        self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), MUCH)

    def test_default(self) -> None:
        """http2_opts.flow is what streams have that give none; None lifts it for one."""
        for options, most in (({}, 1), ({"flow": 3}, 3), ({"flow": None}, 5)):
            told = RecordingReceiver()
            world = self.up(http2_opts={"flow": 1}, reply_to=told)
            world.connection.get("/", **options)
            world.pump()
            world.peer.respond(world.peer.requests[0], fin=False)
            for _ in range(5):
                world.peer.send_data(world.peer.requests[0], b"piece")
            world.pump()
            self.assertEqual(len(told.of(gun.Data)), most)

    def test_granted_before_it_is_sent(self) -> None:
        """What update_flow allows before the request could be sent counts."""
        told = RecordingReceiver()
        world = self.world()
        stream = world.connection.get("/", flow=1, reply_to=told)
        stream.update_flow(2)
        world.pump()
        world.peer.respond(world.peer.requests[0], fin=False)
        for _ in range(5):
            world.peer.send_data(world.peer.requests[0], b"piece")
        world.pump()
        self.assertEqual(len(told.of(gun.Data)), 3)

    def test_held_back_at_a_loss(self) -> None:
        """What is held back when the connection is lost, or the stream reset, is told before that: there is no later."""
        for end in ("abort", "reset"):
            told = RecordingReceiver()
            world = self.up()
            world.connection.get("/", flow=1, reply_to=told)
            world.pump()
            (request,) = world.peer.requests
            world.peer.respond(request, 200, {}, b"1", fin=False)
            world.peer.send_data(request, b"2")
            world.pump()
            world.peer.abort() if end == "abort" else world.peer.reset(request)
            world.pump()
            self.assertEqual(told.names(), ["gun_response", "gun_data", "gun_data", "gun_error"])


class UnreadTests(Http2Case):
    """Streams that nobody reads."""

    def test_one_of_a_hundred(self) -> None:
        """One that nobody reads gets its window and no more; the other 99 are done, and it gets the rest when it is read."""
        window = 100_000
        world = self.up(http2_opts={"initial_stream_window_size": window, "stream_window_margin_size": 0})
        unread = world.connection.get("/unread")
        bodies = [world.connection.get(f"/{number}").await_body() for number in range(99)]
        world.pump()
        for request in world.peer.requests:
            world.peer.respond(request, 200, {}, MUCH)
        world.pump()
        self.assertTrue(all(self.successResultOf(body) == MUCH for body in bodies))
        # What filled it, what was read along with that, and one window more.
        self.assertGreaterEqual(world.peer.unsent(world.peer.requests[0]), len(MUCH) - 65_536 - 65_536 - window)
        self.assertTrue(world.endpoint.links[-1].client.reading)
        body = unread.await_body()
        world.pump()
        self.assertEqual(self.successResultOf(body), MUCH)
        self.end(world)

    def test_all_unread(self) -> None:
        """A hundred that nobody reads hold no more than a window each, and the connection still answers."""
        window = 70_000
        world = self.up(
            http2_opts={"initial_stream_window_size": window, "stream_window_margin_size": 0, "initial_connection_window_size": 10**7}
        )
        streams = [world.connection.get("/") for _ in range(100)]
        world.pump()
        for request in world.peer.requests:
            world.peer.respond(request, 200, {}, MUCH)
        world.pump()
        waiting = [world.peer.unsent(request) for request in world.peer.requests]
        self.assertGreaterEqual(min(waiting), len(MUCH) - 65_536 - 65_536 - window)
        ping = world.connection.ping()
        world.pump()
        self.assertEqual(self.successResultOf(ping), 0.0)
        for stream in streams:
            stream.cancel()
        world.pump()
        self.assertEqual({request.reset for request in world.peer.requests}, {ErrorCode.CANCEL})
        self.end(world)

    def test_read_in_pieces(self) -> None:
        """One that is read slowly goes on as it is read, and no byte is lost."""
        world = self.up(http2_opts={"initial_stream_window_size": 30_000})
        stream = world.connection.get("/")
        world.pump()
        world.peer.respond(world.peer.requests[0], 200, {}, MUCH)
        world.pump()
        self.successResultOf(stream.await_response())
        received = b""
        while len(received) < len(MUCH):
            event: Any = self.successResultOf(stream.await_event())
            received += event.data
            world.pump()
        self.assertEqual(received, MUCH)

    def test_flushed(self) -> None:
        """flush() drops what nobody has read, and the peer may send on."""
        world = self.up(http2_opts={"initial_stream_window_size": 30_000})
        stream = world.connection.get("/")
        world.pump()
        world.peer.respond(world.peer.requests[0], 200, {}, MUCH)
        world.pump()
        before = world.peer.unsent(world.peer.requests[0])
        self.assertGreater(before, 0)
        stream.flush()
        world.pump()
        self.assertLess(world.peer.unsent(world.peer.requests[0]), before)


class LimitTests(Http2Case):
    """How many streams there may be."""

    def limited(self, most: int, **http2_opts: Any) -> MemoryGun:
        return self.up(settings={"max_concurrent_streams": most}, http2_opts=http2_opts)

    def test_error_at_once(self) -> None:
        """Beyond the server's limit a request is refused at once, in Gun's words; nothing of it is sent."""
        world = self.limited(2)
        for _ in range(2):
            world.connection.get("/")
        response = world.connection.get("/beyond").await_response()
        told = RecordingReceiver()
        beyond = world.connection.get("/beyond", reply_to=told)
        self.assertEqual(told.events, [])  # the caller does not hold the stream yet
        world.pump()
        self.assertEqual([event.stream for event in told.of(gun.Error)], [beyond])
        reason = self.failureResultOf(response, gun.StreamRefused).value
        self.assertEqual(str(reason), "Maximum concurrency limit has been reached.")
        self.assertEqual(len(world.peer.requests), 2)
        world.peer.respond(world.peer.requests[0])
        world.pump()
        again = world.connection.get("/again").await_response()
        world.pump()
        self.assertNoResult(again)
        self.assertEqual(len(world.peer.requests), 3)

    def test_before_settings(self) -> None:
        """Before the server has said how many it wants, a hundred are sent, and the rest waits for what it says."""
        opts = {"core": self.core, "max_waiting": 1000}
        world = MemoryGun(protocols=["http2"], http2_opts=opts, peer=lambda: _Late(acknowledge=False))
        for number in range(200):
            world.connection.get(f"/{number}")
        world.pump()
        self.assertEqual(len(world.peer.requests), 100)
        world.peer.settings(max_concurrent_streams=150)
        world.pump()
        self.assertEqual(len(world.peer.requests), 150)

    def test_waiting(self) -> None:
        """With max_waiting they wait, and are sent in order as streams end, by answer, reset or cancelling."""
        world = self.limited(2, max_waiting=10)
        streams = [world.connection.get(f"/{number}") for number in range(8)]
        world.pump()
        peer = world.peer
        self.assertEqual(len(peer.requests), 2)
        peer.respond(peer.requests[0])
        world.pump()
        peer.reset(peer.requests[1])
        world.pump()
        streams[2].cancel()
        world.pump()
        self.assertEqual(len(peer.requests), 5)
        for at in range(3, 8):
            peer.respond(peer.requests[at])
            world.pump()
        self.assertEqual([request.path for request in peer.requests], [b"/%d" % number for number in range(8)])

    def test_too_many_waiting(self) -> None:
        """Beyond max_waiting they fail with LimitReached."""
        world = self.limited(1, max_waiting=2)
        streams = [world.connection.get(f"/{number}") for number in range(4)]
        last = streams[3].await_response()
        world.pump()
        error: Any = self.failureResultOf(last, gun.LimitReached).value
        self.assertEqual((error.name, error.limit), ("max_waiting", 2))
        self.assertFalse(any(stream.ended for stream in streams[:3]))

    def test_limit_moves(self) -> None:
        """A higher limit lets those that wait go; a lower one holds new ones back until there is room."""
        world = self.limited(1, max_waiting=10)
        for number in range(5):
            world.connection.get(f"/{number}")
        world.peer.settings(max_concurrent_streams=3)
        world.pump()
        self.assertEqual(len(world.peer.requests), 3)
        world.peer.settings(max_concurrent_streams=2)
        world.pump()
        world.peer.respond(world.peer.requests[0])
        world.pump()
        self.assertEqual(len(world.peer.requests), 3)
        world.peer.respond(world.peer.requests[1])
        world.pump()
        self.assertEqual(len(world.peer.requests), 4)

    def test_none_at_all(self) -> None:
        """A server that wants no streams for now (RFC 9113 section 6.5.2) gets them later."""
        world = self.limited(0, max_waiting=10)
        body = world.connection.get("/").await_body()
        world.pump()
        self.assertEqual(world.peer.requests, [])
        world.peer.settings(max_concurrent_streams=1)
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/")

    def test_our_own_limit(self) -> None:
        """max_streams holds where the server allows more."""
        world = self.up(http2_opts={"max_streams": 3, "max_waiting": 10})
        for _ in range(5):
            world.connection.get("/")
        world.pump()
        self.assertEqual(len(world.peer.requests), 3)

    def test_parked_stream_is_no_stream(self) -> None:
        """A response that has come and is not read yet counts no longer: the server has ended it."""
        world = self.limited(1)
        told = RecordingReceiver()
        parked = world.connection.get("/", flow=1, reply_to=told)
        world.pump()
        world.peer.respond(world.peer.requests[0], 200, {}, b"one", fin=False)
        world.peer.send_data(world.peer.requests[0], b"two", fin=True)
        world.pump()
        self.assertFalse(parked.ended)
        world.connection.get("/next")
        world.pump()
        self.assertEqual(len(world.peer.requests), 2)


def _cancel_at(name: str, event: Any) -> None:
    if event.told_as == name:
        event.stream.cancel()


class _Late(Http2Peer):
    """Says nothing by itself: its SETTINGS come when the test says so."""

    def connectionMade(self) -> None:
        """Nothing yet."""
