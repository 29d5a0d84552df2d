"""
Connections that end where they should not: at every byte, cleanly or not, with neighbours behind them.

What must hold each time: a stream ends once (I1), is told nothing after that (I2), up and down alternate (I3), and nothing is
left behind, objects included (I4).
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection as Socket
from twisted.trial.unittest import SynchronousTestCase, TestCase

import twisted_gun as gun
from tests.stage import CHUNKED, EMPTY, LAST, OK, UNTIL_CLOSE, LifeCase, answering, ends, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver

BODY = b"0123456789"
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + BODY
HINTED = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + LENGTH
CLOSE_DELIMITED = UNTIL_CLOSE + BODY

#: Each with what a whole response tells of its body, and whether the end of the connection is its end.
RESPONSES = {"length": LENGTH, "chunked": CHUNKED, "until close": CLOSE_DELIMITED, "hinted": HINTED}


class CutTests(LifeCase):
    """The peer ends the connection after so many bytes of a response, with another request behind it."""

    def cut(self, response: bytes, offset: int, how: str) -> tuple[MemoryGun, RecordingReceiver, Any, Any]:
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        first, second = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        feed(world, response[:offset])
        getattr(world.peer, how)()
        world.pump()
        return world, told, first, second

    def each_cut(self, how: str, *names: str) -> Iterator[tuple[bytes, int, RecordingReceiver, Any, Any]]:
        for name in names or RESPONSES:
            response = RESPONSES[name]
            for offset in range(len(response) + 1):
                world, told, first, second = self.cut(response, offset, how)
                self.assert_told_in_order(told)
                self.assertEqual(ends(told), {first: 1, second: 1}, (name, offset, how))
                self.assertEqual(told.names().count("gun_down"), 1)
                self.assert_lists_are_true(told, first, second)
                yield response, offset, told, first, second
                world.connection.close()
                world.pump()
                self.assert_nothing_left(world)

    def assert_lists_are_true(self, told: RecordingReceiver, first: Any, second: Any) -> None:
        """Killed and unprocessed hold what did not end well, each stream once."""
        (down,) = told.of(gun.Down)
        failed = {event.stream for event in told.of(gun.Error)}
        listed = [*down.killed_streams, *down.unprocessed_streams]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(set(listed), failed)

    def test_reset_at_every_byte(self) -> None:
        """A reset at any byte ends each stream once; nothing it cut short passes for whole."""
        for response, offset, told, first, _ in self.each_cut("abort"):
            whole = offset == len(response) and response is not CLOSE_DELIMITED
            errors = [event.reason for event in told.of(gun.Error) if event.stream is first]
            self.assertEqual(not errors, whole, offset)

    def test_end_at_every_byte(self) -> None:
        """A FIN inside a response that says its length is an error, never its end."""
        for response, offset, told, first, _ in self.each_cut("close", "length", "chunked", "hinted"):
            errors = [event.reason for event in told.of(gun.Error) if event.stream is first]
            self.assertEqual(not errors, offset == len(response), offset)

    def test_end_inside_content_is_truncated(self) -> None:
        """A FIN inside the content fails with Truncated, which says how much of it came."""
        head = LENGTH.index(BODY)
        for _, offset, told, first, _ in self.each_cut("close", "length"):
            errors = [event.reason for event in told.of(gun.Error) if event.stream is first]
            if head <= offset < len(LENGTH):
                error: Any = errors[0]
                self.assertIsInstance(error, gun.Truncated)
                self.assertEqual((error.received, error.expected), (offset - head, 10))
            elif offset < head:
                self.assertIsInstance(errors[0], gun.StreamClosed)

    def test_end_of_a_response_without_length(self) -> None:
        """A FIN is the end of a response that says no length; before its head is whole it is an error."""
        for response, offset, told, first, _ in self.each_cut("close", "until close"):
            errors = [event for event in told.of(gun.Error) if event.stream is first]
            self.assertEqual(bool(errors), offset < len(UNTIL_CLOSE), offset)
            if not errors:
                data = b"".join(event.data for event in told.of(gun.Data) if event.stream is first)
                self.assertEqual(data, response[len(UNTIL_CLOSE) : offset])

    def test_behind_a_response_that_closes(self) -> None:
        """What was pipelined behind a response that ends the connection was not processed, wherever that is cut."""
        for offset in range(LAST.index(b"\r\n\r\n") + 4, len(LAST) + 1):
            _, told, _, second = self.cut(LAST, offset, "abort")
            self.assertEqual(told.of(gun.Down)[0].unprocessed_streams, (second,))

    def test_same_events_however_it_is_cut(self) -> None:
        """The events of a response are the same in one segment and byte by byte, pieces of content joined."""
        for response in RESPONSES.values():
            whole, bytewise = self.events_of(response, len(response)), self.events_of(response, 1)
            self.assertEqual(whole, bytewise)

    def events_of(self, response: bytes, size: int) -> list[tuple[str, Any]]:
        told = RecordingReceiver()
        world = up(reply_to=told)
        world.connection.get("/")
        world.pump()
        for start in range(0, len(response), size):
            feed(world, response[start : start + size])
        world.peer.close()
        world.pump()
        events: list[tuple[str, Any]] = []
        content = b"".join(event.data for event in told.of(gun.Data))
        for event in told.events:
            if not isinstance(event, gun.Data):
                events.append((event.told_as, event.headers))
        return [*events, ("content", content)]


class LeftoverTests(SynchronousTestCase):
    """Nothing keeps what has ended: not a delayed call, and not a cycle of references either."""

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def test_streams_are_freed(self) -> None:
        """A stream that has ended is freed as soon as its user lets go of it, without the collector's help."""
        for response in (OK, EMPTY, CHUNKED):
            world = up(script=answering(response))
            ghosts = []
            for _ in range(100):
                stream = world.connection.get("/")
                body = stream.await_body()
                world.pump()
                self.successResultOf(body)
                ghosts.append(weakref.ref(stream))
                del stream, body
            self.assertEqual([ghost() for ghost in ghosts if ghost() is not None], [])

    def test_streams_with_a_receiver_are_freed(self) -> None:
        """Likewise where a callable was told."""
        names: list[str] = []
        world = up(script=answering())
        ghost = weakref.ref(world.connection.get("/", reply_to=lambda event: names.append(event.told_as)))
        world.pump()
        self.assertEqual(names, ["gun_response", "gun_data"])
        self.assertIsNone(ghost())

    def test_failed_streams_are_freed(self) -> None:
        """Likewise where the connection was lost."""
        world = up(retry=0)
        stream = world.connection.get("/")
        body = stream.await_body()
        world.pump()
        world.peer.abort()
        world.pump()
        self.failureResultOf(body, gun.StreamClosed)
        ghost = weakref.ref(stream)
        world.owner.clear()  # gun_down names it
        del stream, body
        self.assertIsNone(ghost())

    def test_cancelled_and_timed_out_streams_are_freed(self) -> None:
        """Likewise where the stream was cancelled, or awaited in vain."""
        world = up()
        stream = world.connection.get("/")
        waiting = stream.await_response(timeout=1)
        world.advance(1)
        self.failureResultOf(waiting, gun.TimedOut)
        stream.cancel()
        feed(world, OK)
        ghost = weakref.ref(stream)
        del stream, waiting
        self.assertIsNone(ghost())

    def test_no_garbage_per_request(self) -> None:
        """1,000 requests leave nothing that only the collector could free."""
        world = up(script=lambda peer: peer.send(CHUNKED))
        gc.collect()
        for _ in range(1000):
            body = world.connection.get("/").await_body()
            world.pump()
            self.assertEqual(self.successResultOf(body), b"wikipedia")
        self.assertEqual(gc.collect(), 0)

    def test_connections_are_freed(self) -> None:
        """A closed connection can be collected, once its user lets go of it: no timer and no reactor holds it."""
        world = up(script=answering())
        body = world.connection.get("/").await_body()
        world.pump()
        self.successResultOf(body)
        world.connection.close()
        world.pump()
        ghost = weakref.ref(world.connection)
        clock = world.clock
        del world, body
        gc.collect()
        self.assertIsNone(ghost())
        self.assertEqual(clock.getDelayedCalls(), [])


class StormTests(LifeCase):
    """Peers that come and go."""

    def test_accept_then_close_does_not_spin(self) -> None:
        """A peer that accepts and closes at once is dialled at most ten times without a pause."""
        world = MemoryGun(script=[("close",)], retry_timeout=5.0)
        world.advance(0)
        self.assertLessEqual(world.endpoint.attempts, 12)
        self.assert_told_in_order(world.owner)
        before = world.endpoint.attempts
        world.advance(4.9)
        self.assertEqual(world.endpoint.attempts, before)
        world.advance(0.1)
        self.assertGreater(world.endpoint.attempts, before)

    def test_bytes_nobody_asked_for(self) -> None:
        """Bytes that answer no request are a violation; the next request is asked on another connection."""
        world = up()
        feed(world, OK)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_error", "gun_down", "gun_up"])
        self.assertIsInstance(world.owner.of(gun.Error)[0].reason, gun.ProtocolViolation)
        body = world.connection.get("/").await_body()
        world.pump()
        feed(world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")


class _Cutting(Protocol):
    """Sends the first bytes of a response when it is asked anything, then resets the connection."""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(LENGTH[: self.factory.offset])  # type: ignore[union-attr]
        # In a turn of its own, so that the kernel has taken what was written.
        self.factory.reactor.callLater(0, self.transport.abortConnection)  # type: ignore[union-attr]


class RealResetTests(TestCase):
    """Resets by a real kernel, on loopback."""

    async def test_reset_at_every_byte(self) -> None:
        """Wherever it comes each stream ends once, and the reactor is left with nothing of ours."""
        reactor: Any = installed_reactor
        factory: Any = Factory.forProtocol(_Cutting)
        factory.reactor = reactor
        listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        for offset in range(len(LENGTH) + 1):
            factory.offset = offset
            told = RecordingReceiver()
            connection = gun.open("127.0.0.1", listening.getHost().port, reactor=reactor, owner=told, reply_to=told, retry=0)
            streams = [connection.get("/1"), connection.get("/2")]
            await connection.when_terminated()
            self.assertEqual(ends(told), dict.fromkeys(streams, 1), offset)
            self.assertEqual([name for name in told.names() if name in ("gun_up", "gun_down")], ["gun_up", "gun_down"])
        while self.sockets(reactor):
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

    def sockets(self, reactor: Any) -> list[object]:
        return [each for each in [*reactor.getReaders(), *reactor.getWriters()] if isinstance(each, Socket)]
