"""Content that is sent over HTTP/2: windows, producers of each kind, and answers that come early."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.producers import MUCH, Body, Pull, Push
from tests.stage import Http2Case
from twisted_gun.testing import MemoryGun
from twisted_gun.wire.frames import ErrorCode


class UploadTests(Http2Case):
    """Content that follows, through windows."""

    def narrow(self, size: int = 10, **options: Any) -> MemoryGun:
        """A world whose peer takes so many bytes of each stream until it says otherwise."""
        world = self.up(settings={"initial_window_size": size}, **options)
        world.peer.open_windows = False
        return world

    def test_windows(self) -> None:
        """Not a byte more than the windows let out is sent; what is given all the same waits, and its end too."""
        world = self.narrow()
        world.connection.post("/", (), b"0123456789" * 3)
        world.pump()
        (request,) = world.peer.requests
        self.assertEqual((len(request.body), request.complete), (10, False))
        world.peer.window_update(request, 15)
        world.pump()
        self.assertEqual((len(request.body), request.complete), (25, False))
        world.peer.window_update(request, 5)
        world.pump()
        self.assertEqual((request.body, request.complete), (b"0123456789" * 3, True))

    def test_data(self) -> None:
        """data() is kept in order when the window is shut, an end without content as well."""
        world = self.narrow(2)
        stream = world.connection.headers("POST", "/")
        for piece in (b"one", b"two", b"three"):
            stream.data(piece)
        stream.data(b"", fin=True)
        world.pump()
        (request,) = world.peer.requests
        for _ in range(5):
            self.assertFalse(request.complete)
            world.peer.window_update(request, 2)
            world.pump()
        self.assertEqual((request.body, request.complete), (b"onetwothree", True))

    def test_empty_end_needs_no_window(self) -> None:
        """The end alone is sent though the window is shut (RFC 9113 section 6.9)."""
        world = self.narrow(3)
        stream = world.connection.headers("POST", "/")
        stream.data(b"one")
        stream.data(b"", fin=True)
        world.pump()
        self.assertTrue(world.peer.requests[0].complete)

    def test_connection_window(self) -> None:
        """Two uploads share what the connection's window lets out: neither waits for the other's end."""
        world = self.up(settings={"initial_window_size": 10**6})
        world.peer.open_windows = False
        for _ in range(2):
            world.connection.post("/", (), MUCH)
        world.pump()
        first, second = world.peer.requests
        self.assertEqual(len(first.body) + len(second.body), 65_535)
        for _ in range(3):
            world.peer.window_update(0, 100_000)
            world.pump()
        self.assertGreater(min(len(first.body), len(second.body)), 65_535)
        world.peer.window_update(0, 10**6)
        world.pump()
        self.assertEqual((first.body, second.body, first.complete, second.complete), (MUCH, MUCH, True, True))

    def test_smaller_window(self) -> None:
        """SETTINGS that make the windows smaller than what was sent shut them, until so much was given (RFC 9113 section 6.9.2)."""
        world = self.narrow(20)
        stream = world.connection.headers("POST", "/")
        stream.data(b"x" * 15)
        world.pump()
        world.peer.settings(initial_window_size=5)
        world.pump()
        stream.data(b"y" * 10, fin=True)
        (request,) = world.peer.requests
        for increment, arrived in ((0, 15), (10, 15), (3, 18), (7, 25)):
            if increment:
                world.peer.window_update(request, increment)
            world.pump()
            self.assertEqual(len(request.body), arrived)
        self.assertTrue(request.complete)

    def test_body_producer(self) -> None:
        """An IBodyProducer is paused when the window is shut, resumed when it has opened, and its end is that of the content."""
        world = self.narrow()
        body = Body()
        world.connection.post("/", (), body)
        world.pump()
        body.consumer.write(b"x" * 25)
        world.pump()
        self.assertEqual(body.asked, ["start", "pause"])
        (request,) = world.peer.requests
        world.peer.window_update(request, 10)
        world.pump()
        self.assertEqual(body.asked, ["start", "pause"])
        world.peer.window_update(request, 10)
        world.pump()
        self.assertEqual(body.asked, ["start", "pause", "resume"])
        body.finished.callback(None)
        world.pump()
        self.assertEqual((request.body, request.complete), (b"x" * 25, True))

    def test_paused_in_the_midst_of_a_turn(self) -> None:
        """A producer that writes until it is paused is paused by the shut window, from within a callback as well."""
        world = self.narrow(15_000)
        body = _Eager()
        world.connection.get("/first", reply_to=lambda event: world.connection.post("/", (), body))
        world.pump()
        world.peer.respond(world.peer.requests[0])
        world.pump()
        self.assertEqual((body.asked, len(world.peer.requests[1].body)), (["start", "pause"], 15_000))
        self.assertEqual(body.written, 20_000)

    def test_push_producer(self) -> None:
        """So is a streaming producer; data() with fin ends the content."""
        world = self.narrow()
        stream = world.connection.headers("POST", "/")
        producer = Push()
        stream.registerProducer(producer, True)
        world.pump()
        stream.write(b"x" * 11)
        world.pump()
        self.assertEqual(producer.asked, ["pause"])
        world.peer.window_update(world.peer.requests[0], 100)
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        stream.unregisterProducer()
        stream.data(b"y", fin=True)
        world.pump()
        self.assertEqual((world.peer.requests[0].body, world.peer.requests[0].complete), (b"x" * 11 + b"y", True))

    def test_pull_producer(self) -> None:
        """A pull producer is asked as long as there is room, and no longer."""
        world = self.narrow()
        stream = world.connection.headers("POST", "/")
        producer = Pull(stream, [b"four"] * 6)
        stream.registerProducer(producer, False)
        world.pump()
        (request,) = world.peer.requests
        self.assertEqual((len(producer.asked), len(request.body)), (3, 10))
        for _ in range(2):
            world.peer.window_update(request, 10)
            world.pump()
        self.assertEqual((request.body, request.complete, set(producer.asked)), (b"four" * 6, True, {"resume"}))

    def test_one_upload_waits_alone(self) -> None:
        """A producer whose stream has no window waits; others go on."""
        world = self.narrow()
        bodies = Body(), Body()
        for body in bodies:
            world.connection.post("/", (), body)
        world.pump()
        bodies[0].consumer.write(b"x" * 11)
        bodies[1].consumer.write(b"y" * 9)
        world.pump()
        self.assertEqual([body.asked for body in bodies], [["start", "pause"], ["start"]])

    def test_full_socket(self) -> None:
        """A peer that does not read makes all producers wait, whatever their windows."""
        world = self.up(settings={"initial_window_size": 10**6})
        bodies = Body(), Body()
        for body in bodies:
            world.connection.post("/", (), body)
        world.pump()
        world.peer.window_update(0, 10**6)
        world.pump()
        world.peer.pause()
        bodies[0].consumer.write(MUCH)
        world.pump()
        self.assertEqual([body.asked for body in bodies], [["start", "pause"], ["start", "pause"]])
        world.peer.resume()
        world.pump()
        self.assertEqual([body.asked for body in bodies], [["start", "pause", "resume"], ["start", "pause", "resume"]])
        self.assertEqual(world.peer.requests[0].body, MUCH)

    def test_early_answer_stops_the_producer(self) -> None:
        """A response that is whole before the content is: the producer is stopped, and the stream given up with NO_ERROR."""
        world = self.narrow()
        body = Body()
        stream = world.connection.post("/", (), body)
        answer = stream.await_body()
        world.pump()
        body.consumer.write(b"x" * 25)
        world.pump()
        world.peer.respond(world.peer.requests[0], 403, {}, b"no")
        world.pump()
        self.assertEqual((self.successResultOf(answer), body.asked), (b"no", ["start", "pause", "stop"]))
        self.assertEqual(world.peer.requests[0].reset, ErrorCode.NO_ERROR)
        body.consumer.write(b"dropped")
        self.end(world)

    def test_answer_while_uploading(self) -> None:
        """A response that begins before the content has ended does not disturb it."""
        world = self.narrow()
        stream = world.connection.headers("POST", "/")
        stream.data(b"one")
        answer = stream.await_body()
        world.pump()
        (request,) = world.peer.requests
        world.peer.respond(request, 200, {}, b"echo: ", fin=False)
        world.pump()
        stream.data(b"two", fin=True)
        world.pump()
        world.peer.send_data(request, request.body, fin=True)
        world.pump()
        self.assertEqual(self.successResultOf(answer), b"echo: onetwo")
        self.assertIsNone(request.reset)

    def test_reset_stops_the_producer(self) -> None:
        """A stream that the server resets stops its producer, and forgets what waited."""
        world = self.narrow()
        body = Body()
        response = world.connection.post("/", (), body).await_response()
        world.pump()
        body.consumer.write(b"x" * 25)
        world.pump()
        world.peer.reset(world.peer.requests[0])
        world.pump()
        self.failureResultOf(response, gun.StreamReset)
        self.assertEqual(body.asked, ["start", "pause", "stop"])
        self.end(world)

    def test_failing_producer(self) -> None:
        """A producer that fails ends its own stream, by RST_STREAM."""
        world = self.narrow()
        body = Body()
        response = world.connection.post("/", (), body).await_response()
        world.pump()
        body.consumer.write(b"some")
        body.finished.errback(OSError("no more"))
        world.pump()
        self.failureResultOf(response, gun.StreamError)
        self.assertEqual(world.peer.requests[0].reset, ErrorCode.CANCEL)
        self.assertEqual(len(world.peers), 1)


class _Eager(Body):
    """Writes until it is paused, but no more than a hundred times."""

    written = 0

    def startProducing(self, consumer: Any) -> Deferred[None]:
        finished = super().startProducing(consumer)
        while "pause" not in self.asked and self.written < 1_000_000:
            self.written += 10_000
            consumer.write(b"x" * 10_000)
        return finished
