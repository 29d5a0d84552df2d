"""Servers of HTTP/2 that go away: accepted streams finish, others are unprocessed, and the next connection costs no retry."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import twisted_gun as gun
from tests.producers import Body
from tests.stage import Http2Case, every_answer
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver
from twisted_gun.wire.frames import LARGEST, ErrorCode


def never_asked(left: int, options: gun.Options) -> dict[str, float]:
    """A retry_fun that must not be asked."""
    raise AssertionError("this was no retry")


class GracefulTests(Http2Case):
    """GOAWAY with NO_ERROR."""

    def downs(self, world: MemoryGun) -> list[gun.Down]:
        """What the owner was told of losses: each in good order, and of no stream."""
        downs: list[gun.Down] = world.owner.of(gun.Down)
        for down in downs:
            self.assertEqual((down.reason, down.killed_streams, down.unprocessed_streams), (None, (), ()))
        return downs

    def test_nothing_under_way(self) -> None:
        """The connection is closed, and dialled again at once."""
        world = self.up(retry_fun=never_asked)
        world.peer.goaway()
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])
        self.assertEqual(len(self.downs(world)), 1)
        self.assertEqual(world.peers[0].gone_away, (0, ErrorCode.NO_ERROR))
        self.end(world)

    def test_accepted_streams_finish(self) -> None:
        """What was accepted finishes; only then the connection is closed, in good order, and dialled again."""
        world = self.up(retry_fun=never_asked)
        bodies = [world.connection.get(f"/{number}").await_body(None) for number in range(3)]
        upload = world.connection.headers("POST", "/upload")
        bodies.append(upload.await_body(None))
        world.pump()
        world.peer.goaway()
        world.pump()
        world.advance(14)
        upload.data(b"content", fin=True)
        world.pump()
        self.assertEqual((world.owner.names(), world.peer.requests[-1].body), (["gun_up"], b"content"))
        every_answer(world.peer)
        world.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/0", b"/1", b"/2", b"/upload"])
        self.assertEqual((len(self.downs(world)), len(world.peers)), (1, 2))
        self.end(world)

    def test_never_finishes(self) -> None:
        """A stream that does not end holds up those that wait for the next connection for no longer than closing_timeout."""
        world = self.up(retry_fun=never_asked)
        endless = world.connection.get("/endless").await_response(None)
        world.pump()
        world.peer.goaway()
        world.pump()
        waiting = world.connection.get("/next").await_body(None)
        world.advance(14.9)
        self.assertEqual(len(world.peers), 1)
        world.advance(0.1)
        self.assertEqual(self.failureResultOf(endless, gun.StreamClosed).value.__cause__.stage, "closing")
        (down,) = world.owner.of(gun.Down)
        self.assertEqual((down.reason.stage, len(down.killed_streams), len(world.peers)), ("closing", 1, 2))
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(waiting), b"/next")
        self.end(world)

    def test_new_requests_wait(self) -> None:
        """What is asked for meanwhile goes to the next connection, in order, with its content."""
        world = self.up()
        first = world.connection.get("/first").await_body(None)
        world.pump()
        world.peer.goaway()
        world.pump()
        waiting = [world.connection.get("/1"), world.connection.headers("POST", "/2"), world.connection.get("/3")]
        waiting[1].data(b"content", fin=True)
        info = waiting[0].info()
        self.assertEqual(info.state if info is not None else None, "waiting")
        world.pump()
        old = world.peer
        self.assertEqual(len(old.requests) + len(old.ignored), 1)
        every_answer(old)
        world.pump()
        self.assertEqual(self.successResultOf(first), b"/first")
        self.assertEqual(
            [(request.path, request.body) for request in world.peer.requests], [(b"/1", b""), (b"/2", b"content"), (b"/3", b"")]
        )
        self.assertIsNot(world.peer, old)

    def test_too_many_wait(self) -> None:
        """They are bounded by max_waiting, as any that wait for a connection."""
        world = self.up(max_waiting=2)
        world.connection.get("/first")
        world.pump()
        world.peer.goaway()
        world.pump()
        responses = [world.connection.get("/").await_response(None) for _ in range(3)]
        world.pump()
        self.failureResultOf(responses[2], gun.LimitReached)
        self.assertNoResult(responses[1])

    def test_waiting_for_room_is_another_matter(self) -> None:
        """http2_opts.max_waiting is for those that wait for room on this connection, not for the next one."""
        world = self.up(http2_opts={"max_waiting": 1})
        world.connection.get("/first")
        world.pump()
        world.peer.goaway()
        world.pump()
        responses = [world.connection.get("/").await_response(None) for _ in range(3)]
        world.pump()
        for response in responses:
            self.assertNoResult(response)

    def test_requests_on_their_way(self) -> None:
        """What crosses the GOAWAY on its way fails with GoAway and is unprocessed; sent again, it is answered."""
        world = self.up()
        accepted = world.connection.get("/accepted")
        world.pump()
        world.peer.goaway()  # not arrived yet
        crossing = world.connection.get("/crossing")
        response = crossing.await_response()
        world.pump()
        error: Any = self.failureResultOf(response, gun.GoAway).value
        self.assertEqual((error.code, error.last_stream_id), (ErrorCode.NO_ERROR, 1))
        every_answer(world.peer)
        world.pump()
        (down,) = world.owner.of(gun.Down)
        self.assertEqual((down.reason, down.killed_streams, down.unprocessed_streams), (None, (), (crossing,)))
        self.assertEqual(self.successResultOf(accepted.await_body()), b"/accepted")
        again = world.connection.get("/crossing").await_body()
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(again), b"/crossing")

    def test_two_phases(self) -> None:
        """First with the largest identifier, so that nothing on its way is refused; then with the last one (RFC 9113 section 6.8)."""
        world = self.up()
        first = world.connection.get("/first").await_body()
        world.pump()
        world.peer.goaway(LARGEST)
        crossing = world.connection.get("/crossing").await_body()
        world.pump()
        waiting = world.connection.get("/waiting").await_body()
        world.pump()
        self.assertEqual([request.path for request in world.peer.requests], [b"/first", b"/crossing"])
        world.peer.goaway()
        every_answer(world.peer)
        world.pump()
        self.assertEqual([self.successResultOf(body) for body in (first, crossing)], [b"/first", b"/crossing"])
        self.assertEqual((len(self.downs(world)), len(world.peers)), (1, 2))
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(waiting), b"/waiting")

    def test_second_phase_takes_back(self) -> None:
        """What the first allowed and the second does not is unprocessed."""
        world = self.up()
        accepted, refused = world.connection.get("/"), world.connection.get("/")
        response = refused.await_response()
        world.pump()
        world.peer.goaway(LARGEST)
        world.pump()
        self.assertNoResult(response)
        world.peer.goaway(1)
        world.pump()
        self.failureResultOf(response, gun.GoAway)
        self.assertFalse(accepted.ended)

    def test_no_retry(self) -> None:
        """Ever again, it is no retry: fifty in a row at the same moment, with retry=1 and a retry_fun that is never asked."""
        world = self.up(retry=1, retry_fun=never_asked)
        for count in range(50):
            body = world.connection.get(f"/{count}").await_body()
            world.pump()
            world.peer.goaway()
            every_answer(world.peer)
            world.pump()
            self.assertEqual(self.successResultOf(body), b"/%d" % count)
        self.assertEqual((len(self.downs(world)), world.endpoint.attempts, world.clock.seconds()), (50, 51, 0.0))

    def test_storm(self) -> None:
        """A server that goes away ever again without any answer is dialled at once ten times; then retry_timeout is waited."""
        world = self.world(retry_timeout=5.0, script=lambda peer: peer.goaway() if len(peer.frames) == 3 else None)
        world.pump()
        self.assertEqual(world.endpoint.attempts, 11)
        world.advance(4.9)
        self.assertEqual(world.endpoint.attempts, 11)
        world.advance(0.2)
        self.assertGreater(world.endpoint.attempts, 11)
        self.end(world)

    def test_renewal_refused(self) -> None:
        """Where the next connection cannot be made, all retries are there."""
        world = self.up(retry=2, retry_timeout=3.0)
        world.endpoint.refuse()
        world.peer.goaway()
        world.pump()
        self.assertEqual(world.endpoint.attempts, 3)
        world.advance(3)
        self.assertEqual(world.endpoint.attempts, 4)
        self.assertIsInstance(self.successResultOf(world.connection.when_terminated()), gun.ConnectFailed)

    def test_no_retries_allowed(self) -> None:
        """With retry=0 the connection ends with it, in good order."""
        world = self.up(retry=0)
        world.peer.goaway()
        world.pump()
        self.assertIsNone(self.successResultOf(world.connection.when_terminated()))
        self.assert_nothing_left(world)

    def test_waiting_where_no_retries_are_allowed(self) -> None:
        """With retry=0 a request that waited for the next connection was never sent, and its error says so."""
        world = self.up(retry=0)
        world.connection.get("/")
        world.pump()
        world.peer.goaway()
        world.pump()
        waiting = world.connection.get("/next").await_response()
        every_answer(world.peer)
        world.pump()
        self.assertIn("send it on another", str(self.failureResultOf(waiting, gun.StreamRefused).value))
        self.assert_nothing_left(world)

    def test_cancelled_while_draining(self) -> None:
        """The last stream may end in any way."""
        for how in ("cancel", "reset", "error"):
            world = self.up()
            stream = world.connection.headers("POST", "/")
            world.pump()
            world.peer.goaway()
            world.pump()
            if how == "cancel":
                stream.cancel()
            elif how == "reset":
                world.peer.reset(world.peer.requests[0])
            else:
                world.peer.send_headers(world.peer.requests[0], [])
            world.pump()
            self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"], how)
            self.end(world)

    def test_parked_content_is_waited_for(self) -> None:
        """A stream whose content was all sent but not told yet keeps its connection; then that is closed."""
        told = RecordingReceiver()
        world = self.up()
        stream = world.connection.get("/", flow=1, reply_to=told)
        world.pump()
        world.peer.goaway()
        world.peer.respond(world.peer.requests[0], 200, {}, b"one", fin=False)
        world.peer.send_data(world.peer.requests[0], b"two", fin=True)
        world.pump()
        self.assertEqual(len(world.peers), 1)
        stream.update_flow(1)
        world.pump()
        self.assertEqual([event.data for event in told.of(gun.Data)], [b"one", b"two"])
        self.assertEqual(len(world.peers), 2)

    def test_server_does_not_wait(self) -> None:
        """A server that closes before it has answered what it accepted: those were killed."""
        world = self.up()
        stream = world.connection.get("/")
        response = stream.await_response()
        world.pump()
        world.peer.goaway()
        world.peer.close()
        world.pump()
        self.failureResultOf(response, gun.StreamClosed)
        (down,) = world.owner.of(gun.Down)
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((stream,), ()))
        self.assertEqual(len(world.peers), 2)

    def test_close_and_shutdown_while_draining(self) -> None:
        """close() and shutdown() end it as at any other time; nothing is dialled again."""
        for how in ("close", "shutdown"):
            world = self.up()
            first = world.connection.get("/").await_body()
            world.pump()
            world.peer.goaway()
            world.pump()
            waiting = world.connection.get("/").await_response()
            getattr(world.connection, how)()
            world.pump()
            every_answer(world.peer)
            world.pump()
            if how == "close":
                self.failureResultOf(first, gun.StreamClosed)
                self.failureResultOf(waiting, gun.StreamClosed)
            else:
                self.assertEqual(self.successResultOf(first), b"/")
                self.failureResultOf(waiting, gun.ShuttingDown)
            self.assert_nothing_left(world)
            self.assertEqual(len(world.peers), 1)

    def test_upload_goes_on(self) -> None:
        """A producer of an accepted stream is not stopped."""
        world = self.up()
        body = Body()
        answer = world.connection.post("/upload", (), body).await_body()
        world.pump()
        world.peer.goaway()
        world.pump()
        body.consumer.write(b"content")
        body.finished.callback(None)
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(answer), b"/upload")
        self.assertEqual(body.asked, ["start"])


class ErrorTests(Http2Case):
    """GOAWAY with an error code."""

    def test_reason(self) -> None:
        """What was accepted finishes; then it is a loss like any other, with GoAway as its reason, and a retry."""
        asked: list[int] = []

        def decide(left: int, options: gun.Options) -> dict[str, float]:
            asked.append(left)
            return {"retries": left - 1, "timeout": 2.0}

        world = self.up(retry_fun=decide)
        body = world.connection.get("/").await_body()
        world.pump()
        world.peer.goaway(code=ErrorCode.INTERNAL_ERROR)
        world.pump()
        self.assertNoResult(body)
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/")
        (down,) = world.owner.of(gun.Down)
        self.assertIsInstance(down.reason, gun.GoAway)
        self.assertEqual((down.reason.code, asked, len(world.peers)), (ErrorCode.INTERNAL_ERROR, [5], 1))
        world.advance(2)
        self.assertEqual(len(world.peers), 2)
        self.end(world)

    def test_server_does_not_wait(self) -> None:
        """A server that says why and closes at once is not thought to have closed for no reason."""
        world = self.up()
        response = world.connection.get("/").await_response()
        world.pump()
        world.peer.goaway(code=ErrorCode.ENHANCE_YOUR_CALM)
        world.peer.close()
        world.pump()
        self.assertIsInstance(self.failureResultOf(response, gun.StreamClosed).value.__cause__, gun.GoAway)
        (down,) = world.owner.of(gun.Down)
        self.assertEqual((down.reason.code, len(down.killed_streams)), (ErrorCode.ENHANCE_YOUR_CALM, 1))

    def test_unknown_code(self) -> None:
        """A code that RFC 9113 does not have is told as it is."""
        world = self.up()
        world.peer.goaway(code=0xBAD)
        world.pump()
        (down,) = world.owner.of(gun.Down)
        self.assertEqual(down.reason.code, 0xBAD)


class _Traffic:
    """So many requests, some in flight at any time, to servers that go away again and again; what was not processed is sent again."""

    def __init__(self, world: MemoryGun, total: int, in_flight: int) -> None:
        self.world, self.total = world, total
        self.asked = 0
        self.answered: Counter[bytes] = Counter()  # as the client was told
        self.processed: Counter[bytes] = Counter()  # as the servers know
        self.unprocessed = 0
        self.failed: list[Any] = []
        for _ in range(in_flight):
            self.next()

    def next(self) -> None:
        if self.asked < self.total:
            self.asked += 1
            self.get(b"/%d" % self.asked)

    def get(self, path: bytes) -> None:
        def told(event: Any) -> None:
            if isinstance(event, gun.Error):
                if isinstance(event.reason, (gun.GoAway, gun.StreamRefused)):
                    self.unprocessed += 1
                    self.get(path)
                else:
                    self.failed.append(event)
            elif event.fin:
                self.answered[path] += 1
                self.next()

        self.world.connection.get(path, reply_to=told)

    def answer(self, request: Any) -> None:
        self.processed[request.path] += 1
        self.world.peer.respond(request, 200, {}, request.path)


class RollingTests(Http2Case):
    """Servers that are replaced while requests are under way."""

    restarts = 1000

    def play(self, restarts: int, in_flight: int, two_phases: bool) -> _Traffic:
        world = self.up(retry=1, retry_fun=never_asked)
        chance = random.Random(restarts)
        traffic = _Traffic(world, restarts * in_flight, in_flight)
        for _ in range(restarts):
            world.pump()
            peer: Http2Peer = world.peer
            answered = chance.randrange(in_flight) + 1
            for request in peer.requests[:answered]:
                traffic.answer(request)
            if two_phases:
                peer.goaway(LARGEST)
                world.pump()  # what the answers led to waits for the next connection, or was on its way
            last = peer.requests[chance.randrange(answered - 1, len(peer.requests))]
            peer.goaway(last)
            for request in peer.requests[answered:]:
                if request.stream_id <= last.stream_id:
                    traffic.answer(request)
        while traffic.answered.total() < traffic.total:
            world.pump()
            for request in world.peer.requests:
                if not request.answered:
                    traffic.answer(request)
        world.pump()
        downs = world.owner.of(gun.Down)
        self.assertGreaterEqual(len(downs), restarts - 1)
        self.assertEqual({down.reason for down in downs} | {down.killed_streams for down in downs}, {None, ()})
        self.end(world)
        return traffic

    def check(self, traffic: _Traffic) -> None:
        """None lost, none answered twice, none processed twice."""
        paths = {b"/%d" % number for number in range(1, traffic.total + 1)}
        self.assertEqual((traffic.failed, set(traffic.answered), set(traffic.processed)), ([], paths, paths))
        self.assertEqual((set(traffic.answered.values()), set(traffic.processed.values())), ({1}, {1}))
        self.assertGreater(traffic.unprocessed, 0)

    def test_a_thousand(self) -> None:
        """A thousand servers that go away with fifty requests in flight: 0 lost, 0 answered twice."""
        self.check(self.play(self.restarts, 50, two_phases=False))

    def test_two_phases(self) -> None:
        """Likewise in two phases."""
        self.check(self.play(100, 50, two_phases=True))
