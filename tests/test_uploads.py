"""The content of requests: what `data` takes, IBodyProducer, a stream as IConsumer, and who has to wait when."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.producers import MUCH, Body, Pull, Push
from tests.stage import OK, SWITCH, UPGRADE, feed, up
from twisted_gun.testing import MemoryGun, PeerRequest


class _Eager(Body):
    """A producer that writes as long as nobody pauses it."""

    LIMIT = 1_000_000
    written = longest = 0
    paused = False

    def startProducing(self, consumer: Any) -> Any:
        finished = super().startProducing(consumer)
        self.write()
        return finished

    def pauseProducing(self) -> None:
        self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        super().resumeProducing()
        self.write()

    def write(self) -> None:
        before = self.written
        while not self.paused and self.written < self.LIMIT:
            self.consumer.write(MUCH[:10_000])
            self.written += 10_000
        self.longest = max(self.longest, self.written - before)


class UploadCase(SynchronousTestCase):
    """A connection that is up."""

    def setUp(self) -> None:
        self.world = up()
        self.conn = self.world.connection

    @property
    def request(self) -> PeerRequest:
        """The one request that arrived."""
        self.world.pump()
        request: PeerRequest
        (request,) = self.world.peer.requests
        return request

    @property
    def received(self) -> bytes:
        self.world.pump()
        received: bytes = self.world.peer.received
        return received


class DataTests(UploadCase):
    """stream.data."""

    def sized(self, length: int = 6) -> Any:
        return self.conn.headers("POST", "/", {"content-length": str(length)})

    def test_content_length(self) -> None:
        """Content of a known length goes out as it is, piece by piece."""
        stream = self.sized()
        stream.data(b"abc")
        self.assertFalse(self.request.complete)
        stream.data(b"def", fin=True)
        self.assertEqual((self.request.body, self.request.complete), (b"abcdef", True))

    def test_chunked(self) -> None:
        """Content of unknown length goes out in chunks, one for each piece, and an empty one at its end."""
        stream = self.conn.headers("POST", "/")
        stream.data(b"abc")
        stream.data([b"de", b"f"])
        stream.data(b"", fin=True)
        self.assertTrue(self.received.endswith(b"\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"))

    def test_last_piece_with_fin(self) -> None:
        """The last piece may come with fin."""
        stream = self.conn.headers("POST", "/")
        stream.data(b"abc", fin=True)
        self.assertTrue(self.received.endswith(b"3\r\nabc\r\n0\r\n\r\n"))

    def test_empty_data(self) -> None:
        """Empty data without fin sends nothing: no chunk of size zero, which would be the end."""
        stream = self.conn.headers("POST", "/")
        self.world.pump()
        before = self.received
        stream.data(b"")
        stream.data([])
        self.assertEqual(self.received, before)
        stream.data(b"x", fin=True)
        self.assertEqual(self.request.body, b"x")

    def test_kinds_of_bytes(self) -> None:
        """Bytes, bytearrays, memoryviews and lists of bytes are data; text and numbers are not."""
        stream = self.conn.headers("POST", "/")
        pieces: tuple[Any, ...] = (b"a", bytearray(b"b"), memoryview(b"c"), [b"d", b"e"], (b"f",))
        for piece in pieces:
            stream.data(piece)
        for wrong in ("text", 7, None, ["text"], [1, 2]):
            self.assertRaises(gun.InvalidRequest, stream.data, wrong)
        stream.data(b"", fin=True)
        self.assertEqual(self.request.body, b"abcdef")

    def test_too_much(self) -> None:
        """More than the Content-Length raises at the call, with nothing sent, and the stream goes on."""
        stream = self.sized()
        stream.data(b"abc")
        before = self.received
        self.assertRaises(gun.InvalidRequest, stream.data, b"defg")
        self.assertEqual(self.received, before)
        stream.data(b"def", fin=True)
        self.assertEqual(self.request.body, b"abcdef")

    def test_too_little(self) -> None:
        """fin before the Content-Length is reached raises at the call, with nothing sent, and the stream goes on."""
        stream = self.sized()
        self.assertRaises(gun.InvalidRequest, stream.data, b"abcde", True)
        self.assertFalse(self.request.body)
        stream.data(b"abcdef", fin=True)
        self.assertTrue(self.request.complete)

    def test_end_of_nothing(self) -> None:
        """Content of length 0 is complete, and its end may be said."""
        stream = self.conn.post("/", {"content-length": "0"})
        stream.data(b"", fin=True)
        self.assertRaises(gun.BadState, stream.data, b"x")
        self.assertTrue(self.request.complete)

    def test_complete_without_fin(self) -> None:
        """The last byte of a known length ends the content; saying so afterwards, with empty data, is no mistake."""
        stream = self.sized()
        stream.data(b"abcdef")
        body = self.conn.get("/next")
        self.world.pump()
        self.assertEqual([request.target for request in self.world.peer.requests], [b"/", b"/next"])
        stream.data(b"", fin=True)
        self.assertRaises(gun.BadState, stream.data, b"x")
        self.assertIsNotNone(body.info())

    def test_after_the_end(self) -> None:
        """Data after fin, or on a request without content, or on a stream that has ended, raises BadState."""
        sent = self.conn.headers("POST", "/1")
        sent.data(b"x", fin=True)
        self.assertIn("already been closed", str(self.assertRaises(gun.BadState, sent.data, b"y")))
        bare = self.conn.get("/2")
        self.assertIn("already been closed", str(self.assertRaises(gun.BadState, bare.data, b"y")))
        self.world.pump()
        feed(self.world, OK + OK)
        self.assertIn("cannot be found", str(self.assertRaises(gun.BadState, sent.data, b"y")))

    def test_two_uploads(self) -> None:
        """A second upload waits for the first one's end, then what was given meanwhile goes out in order."""
        first, second = self.conn.headers("POST", "/1"), self.conn.headers("POST", "/2")
        second.data(b"se")
        first.data(b"fir")
        second.data(b"cond", fin=True)
        self.assertNotIn(b"/2", self.received)
        first.data(b"st", fin=True)
        self.world.pump()
        self.assertEqual([(r.target, r.body) for r in self.world.peer.requests], [(b"/1", b"first"), (b"/2", b"second")])

    def test_answered_before_its_end(self) -> None:
        """A response that comes before the content's end closes the connection: what would follow could not be told apart."""
        stream = self.conn.headers("POST", "/")
        body = stream.await_body()
        stream.data(b"some")
        self.world.pump()
        feed(self.world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")
        self.assertRaises(gun.BadState, stream.data, b"more")
        self.assertEqual(len(self.world.peers), 2)

    def test_body_rule(self) -> None:
        """Without a body argument content follows if, and only if, there is content-length or content-type."""
        self.conn.post("/none")
        self.conn.post("/zero", {"content-length": "0"})
        typed = self.conn.post("/typed", {"content-type": "text/plain"})
        self.world.pump()
        self.assertEqual([request.complete for request in self.world.peer.requests], [True, True, False])
        typed.data(b"text", fin=True)
        self.world.pump()
        self.assertEqual(self.world.peer.requests[-1].body, b"text")

    def test_raw_data_after_an_upgrade(self) -> None:
        """After 101 data goes out as it is, without chunks."""
        stream = self.conn.get("/", UPGRADE)
        self.world.pump()
        feed(self.world, SWITCH)
        stream.data(b"one")
        stream.data([b"two"])
        self.assertTrue(self.received.endswith(b"\r\n\r\nonetwo"))


class BodyTests(UploadCase):
    """An IBodyProducer as the body."""

    def post(self, body: Body) -> Any:
        stream = self.conn.post("/", (), body)
        self.world.pump()
        return stream

    def test_known_length(self) -> None:
        """Its length is the Content-Length, and the end of its Deferred the end of the content."""
        body = Body(6)
        self.post(body)
        body.consumer.write(b"abc")
        body.consumer.write(b"def")
        body.finished.callback(None)
        self.assertIn((b"content-length", b"6"), self.request.headers)
        self.assertEqual((self.request.body, self.request.complete), (b"abcdef", True))
        self.assertEqual(body.asked, ["start"])

    def test_unknown_length(self) -> None:
        """Of unknown length it goes out in chunks."""
        body = Body(UNKNOWN_LENGTH)
        self.post(body)
        body.consumer.write(b"abc")
        body.finished.callback(None)
        self.assertIn((b"transfer-encoding", b"chunked"), self.request.headers)
        self.assertEqual((self.request.body, self.request.complete), (b"abc", True))

    def test_empty(self) -> None:
        """A length of 0 is an empty body."""
        body = Body(0)
        self.post(body)
        body.finished.callback(None)
        self.assertEqual((self.request.body, self.request.complete), (b"", True))

    def test_wrong_lengths(self) -> None:
        """A length that is none raises at the call, with nothing sent."""
        for length in (-1, 1.5, "6", None, True):
            self.assertRaises(gun.InvalidRequest, self.conn.post, "/", (), Body(length))
        self.assertEqual(self.received, b"")

    def assert_given_up(self, stream: Any, body: Body) -> BaseException:
        """The stream fails by StreamError, whose cause is the producer's; the connection is made anew."""
        self.world.pump()
        error: Any = self.failureResultOf(stream.await_response(), gun.StreamError).value
        self.assertEqual(len(self.world.peers), 2)
        self.assertEqual(self.world.peer.received, b"")
        cause = error.__cause__
        assert cause is not None
        return cause  # type: ignore[no-any-return]

    def test_failing(self) -> None:
        """A producer that fails ends its stream; the half-sent request is cut off."""
        body = Body(6)
        stream = self.post(body)
        body.consumer.write(b"abc")
        error = OSError("disk gone")
        body.finished.errback(error)
        self.assertIs(self.assert_given_up(stream, body), error)

    def test_failing_at_the_start(self) -> None:
        """Likewise one whose startProducing raises."""

        def react(name: str) -> None:
            raise OSError("no disk")

        body = Body(6, react)
        self.assertIsInstance(self.assert_given_up(self.post(body), body), OSError)

    def test_too_short(self) -> None:
        """One that ends before its length is a failure of its own."""
        body = Body(6)
        stream = self.post(body)
        body.consumer.write(b"abc")
        body.finished.callback(None)
        self.assertIsInstance(self.assert_given_up(stream, body), gun.InvalidRequest)

    def test_too_long(self) -> None:
        """One that writes more than its length gets InvalidRequest in its write, and nothing of that is sent."""
        body = Body(6)
        self.post(body)
        self.assertRaises(gun.InvalidRequest, body.consumer.write, b"abcdefg")
        self.assertEqual(self.request.body, b"")

    def test_too_long_from_within(self) -> None:
        """If it lets that escape from startProducing, its stream fails."""
        body = Body(6, lambda name: body.consumer.write(b"abcdefg"))
        self.assertIsInstance(self.assert_given_up(self.post(body), body), gun.InvalidRequest)

    def test_stopped_by_a_loss(self) -> None:
        """When the connection is lost it is told to stop, once; that its Deferred then ends harms nobody."""
        body = Body(6)
        stream = self.post(body)
        self.world.peer.abort()
        self.world.pump()
        self.assertEqual(body.asked, ["start", "stop"])
        body.finished.errback(OSError("late"))
        self.failureResultOf(stream.await_response(), gun.StreamClosed)

    def test_stopped_by_cancel(self) -> None:
        """Likewise when its stream is cancelled."""
        body = Body(6)
        self.post(body).cancel()
        self.assertEqual(body.asked, ["start", "stop"])

    def test_stopped_by_an_early_answer(self) -> None:
        """Likewise when the response is complete before the content is."""
        body = Body(6)
        self.post(body)
        feed(self.world, OK)
        self.assertEqual(body.asked, ["start", "stop"])

    def test_not_started_before_it_is_up(self) -> None:
        """It is started when its request is sent, not before."""
        world, body = MemoryGun(), Body(6)
        world.connection.post("/", (), body)
        self.assertEqual(body.asked, [])
        world.pump()
        self.assertEqual(body.asked, ["start"])

    def test_not_started_before_its_turn(self) -> None:
        """Behind an unfinished upload it waits for its turn."""
        first, second = Body(3), Body(3)
        self.post(first)
        self.post(second)
        self.assertEqual(second.asked, [])
        first.consumer.write(b"abc")
        first.finished.callback(None)
        self.world.pump()
        self.assertEqual(second.asked, ["start"])

    def test_never_started(self) -> None:
        """One whose request was never sent is neither started nor stopped."""
        world, body = MemoryGun(retry=0), Body(6)
        world.endpoint.refuse()
        world.connection.post("/", (), body)
        world.pump()
        self.assertEqual(body.asked, [])

    def test_back_pressure(self) -> None:
        """It is paused when the peer does not take what it writes, and resumed when that has gone."""
        body = Body()
        self.post(body)
        self.world.peer.pause()
        body.consumer.write(MUCH)
        self.world.pump()
        self.assertEqual(body.asked, ["start", "pause"])
        self.world.peer.resume()
        self.world.pump()
        self.assertEqual(body.asked, ["start", "pause", "resume"])

    def test_back_pressure_from_within(self) -> None:
        """One that writes until it is paused is paused, too, where it is started in the midst of a turn, as by gun_up."""
        world, body = MemoryGun(), _Eager()
        world.connection.post("/", (), body)
        world.pump()
        self.assertLess(body.longest, 200_000)
        self.assertEqual(body.written, body.LIMIT)  # it was resumed each time
        body.finished.callback(None)
        world.pump()
        self.assertEqual(len(world.peer.requests[0].body), body.LIMIT)

    def test_back_pressure_behind_another(self) -> None:
        """So is one that is started behind an unfinished upload: not before its turn."""
        world, first, second = MemoryGun(), Body(3), _Eager()
        world.connection.post("/", (), first)
        world.connection.post("/", (), second)
        world.pump()
        self.assertEqual(second.written, 0)
        first.consumer.write(b"abc")
        world.pump()
        self.assertGreater(second.written, 0)

    def test_raising(self) -> None:
        """One that raises when it is paused, resumed or stopped is logged and fails; the other streams live on."""
        for wrong in ("pause", "resume"):
            self.setUp()

            def react(name: str, wrong: str = wrong) -> None:
                if name == wrong:
                    raise ZeroDivisionError

            body = Body(react=react)
            stream = self.post(body)
            body.consumer.write(MUCH)
            self.world.pump()
            self.failureResultOf(stream.await_response(), gun.StreamError)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(self.world.owner.names()[-1], "gun_up")


class ConsumerTests(UploadCase):
    """A stream as the consumer of any Twisted producer."""

    def test_interface(self) -> None:
        """A stream is an IConsumer."""
        verifyObject(IConsumer, self.conn.get("/"))

    def test_push_producer(self) -> None:
        """A push producer writes when it likes, and is paused and resumed with the transport."""
        stream, producer = self.conn.headers("POST", "/"), Push()
        stream.registerProducer(producer, True)
        self.world.peer.pause()
        stream.write(MUCH)
        self.world.pump()
        self.assertEqual(producer.asked, ["pause"])
        self.world.peer.resume()
        self.world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        stream.unregisterProducer()
        stream.data(b"", fin=True)
        self.assertEqual(self.request.body, MUCH)

    def test_push_producer_while_waiting(self) -> None:
        """Registered while its request still waits it is paused, and resumed when that is sent."""
        world, producer = MemoryGun(), Push()
        world.connection.headers("POST", "/").registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])

    def test_pull_producer(self) -> None:
        """A pull producer is asked for one piece after the other until it is unregistered."""
        stream = self.conn.headers("POST", "/")
        producer = Pull(stream, [b"a", b"b", b"c"])
        stream.registerProducer(producer, False)
        self.assertEqual(self.request.body, b"abc")
        self.assertTrue(self.request.complete)
        self.assertEqual(producer.asked, ["resume"] * 3)

    def test_pull_producer_is_not_asked_in_vain(self) -> None:
        """A pull producer is not asked while the transport takes nothing."""
        stream = self.conn.headers("POST", "/")
        producer = Pull(stream, [MUCH, MUCH, b"c"])
        self.world.peer.pause()
        stream.registerProducer(producer, False)
        self.world.pump()
        self.assertEqual(producer.asked, ["resume"])
        self.world.peer.resume()
        self.world.pump()
        self.assertEqual(producer.asked, ["resume"] * 3)
        self.assertEqual(len(self.request.body), 600_001)

    def test_pull_producer_while_waiting(self) -> None:
        """Nor while its request waits."""
        world = MemoryGun()
        stream = world.connection.headers("POST", "/")
        producer = Pull(stream, [b"a", b"b"])
        stream.registerProducer(producer, False)
        self.assertEqual(producer.asked, [])
        world.pump()
        self.assertEqual(world.peer.requests[0].body, b"ab")

    def test_only_one(self) -> None:
        """A second producer raises RuntimeError, as Twisted's transports do."""
        stream = self.conn.headers("POST", "/")
        stream.registerProducer(Push(), True)
        self.assertRaises(RuntimeError, stream.registerProducer, Push(), True)

    def test_stopped_at_once(self) -> None:
        """A producer registered with a stream that takes no content is told to stop."""
        producer = Push()
        self.conn.get("/").registerProducer(producer, True)
        self.assertEqual(producer.asked, ["stop"])

    def test_stopped_with_the_stream(self) -> None:
        """A registered producer is stopped when the connection is lost or closed."""
        for end in ("abort", "close"):
            self.setUp()
            stream, producer = self.conn.headers("POST", "/"), Push()
            stream.registerProducer(producer, True)
            self.world.pump()
            self.world.peer.abort() if end == "abort" else self.conn.close()
            self.world.pump()
            self.assertEqual(producer.asked, ["stop"], end)

    def test_write_after_the_end(self) -> None:
        """What is written after the stream's end is dropped, as every transport does."""
        stream = self.conn.headers("POST", "/")
        self.world.pump()
        self.world.peer.abort()
        self.world.pump()
        stream.write(b"late")
        self.assertEqual(self.received, b"")

    def test_after_an_upgrade(self) -> None:
        """After 101 a stream is a consumer again, with the transport's back-pressure."""
        stream, producer = self.conn.get("/", UPGRADE), Push()
        self.world.pump()
        feed(self.world, SWITCH)
        stream.registerProducer(producer, True)
        stream.write(MUCH)
        self.world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.assertTrue(self.received.endswith(MUCH))
