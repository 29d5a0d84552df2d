"""
Whatever is asked for from within a callback is done, in order, and harms nobody: every callback with every action.

For each pair a whole life is played: the connection comes up, several streams run, one is answered, others are cut off, the
connection comes back. Then it is closed, and what must be true of every connection is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

import twisted_gun as gun
from tests.stage import EMPTY, OK, SWITCH, UPGRADE, LifeCase, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver

INFORM = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
TRAILING = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx: y\r\n\r\n"


class _Boom(Exception):
    """What the action "raise" raises, and nothing else."""


class _Play:
    """One life, in which `action` is done the first `most` times that `callback` happens."""

    def __init__(self, callback: str, action: str, most: int = 1) -> None:
        self.callback, self.action = callback, getattr(self, f"do_{action}")
        self.done, self.most = 0, most
        self.told = RecordingReceiver(self.react)
        self.refused: list[gun.GunError] = []  # what the actions raised: all of it is ours
        self.cancelled: set[Any] = set()
        self.streams: list[Any] = []
        self.others: list[Any] = []
        self.awaited: Any = None
        self.world = MemoryGun(owner=self.told, reply_to=self.told, retry_timeout=1.0)
        self.conn = self.world.connection
        self.target: Any = None  # the stream a callback is about

    # What happens.

    def play(self) -> None:
        """Opening, requests, answers, a loss, another connection, an end."""
        self.conn.await_up(None).addCallback(self.reached, "await_up").addErrback(self.ignore)
        self.world.pump()
        self.first_connection()
        self.answers()
        self.switch()
        self.world.pump()
        self.conn.close()
        self.world.pump()

    def first_connection(self) -> None:
        body = _Producer(self)
        self.ask("post", "/upload", (), body)
        self.awaited = self.ask("get", "/awaited", reply_to=None)
        if self.awaited is not None:
            response = self.awaited.await_response(None)
            response.addCallback(self.reached, "await_response", self.awaited).addErrback(self.ignore)
        self.ask("get", "/trailers")
        self.ask("get", "/cancelled")
        self.ask("get", "/last")
        self.world.pump()
        body.finish()
        self.world.pump()
        self.send(EMPTY)

    def wait_for_body(self) -> None:
        if self.awaited is not None:
            body = self.awaited.await_body(None)
            body.addCallback(self.reached, "await_body", self.awaited).addErrback(self.ignore)

    def answers(self) -> None:
        self.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbo")
        self.attempt(self.wait_for_body)
        self.send(b"dy")
        self.send(INFORM + TRAILING)
        self.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        if self.world.peers:
            self.world.peer.abort()
        self.world.advance(1)
        self.world.advance(1)

    def switch(self) -> None:
        stopped = _Producer(self)
        self.ask("get", "/switch", UPGRADE)
        self.world.pump()
        self.send(SWITCH + b"raw")
        self.world.peer.abort() if self.world.peers else None
        self.world.advance(1)
        self.ask("post", "/stopped", (), stopped)
        self.world.pump()
        self.send(b"no HTTP at all\r\n\r\n")
        self.world.advance(1)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A request, if the connection still takes one."""
        try:
            stream = getattr(self.conn, method)(*arguments, **options)
        except (gun.ShuttingDown, gun.BadState) as error:
            self.refused.append(error)
            return None
        self.streams.append(stream)
        return stream

    def send(self, data: bytes) -> None:
        if self.world.peers and self.world.peer.lost is None:
            self.world.peer.send(data)
        self.world.pump()

    def react(self, event: Any) -> None:
        name = event.told_as
        if name == "gun_error":
            name = f"gun_error({'connection' if event.stream is None else 'stream'})"
        self.reached(None, name, getattr(event, "stream", None))

    def reached(self, result: Any, callback: str, target: Any = None) -> Any:
        """`callback` happens: act, as often as we should."""
        if callback == self.callback and self.done < self.most:
            self.done += 1
            self.target = target
            self.action()
        return result

    def ignore(self, failure: Any) -> None:
        failure.trap(gun.GunError, _Boom)

    # What is done.

    def attempt(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Do it; that it may be refused at the call is part of the API, as long as the refusal is one of ours."""
        try:
            action(*arguments)
        except gun.GunError as error:
            self.refused.append(error)

    def do_get(self) -> None:
        self.ask("get", "/again")

    def do_post(self) -> None:
        self.ask("post", "/again", (), b"content")

    def do_stream_a_body(self) -> None:
        stream = self.ask("headers", "POST", "/streamed")
        if stream is not None:
            self.attempt(stream.data, b"one")
            self.attempt(stream.data, b"two", True)

    def do_data(self) -> None:
        if self.target is not None:
            self.attempt(self.target.data, b"more")

    def do_cancel_this(self) -> None:
        if self.target is not None and not self.target.ended:
            self.cancelled.add(self.target)
            self.target.cancel()

    def do_cancel_another(self) -> None:
        for stream in self.streams:
            if stream is not self.target and not stream.ended:
                self.cancelled.add(stream)
                stream.cancel()
                return

    def do_update_flow(self) -> None:
        if self.target is not None:
            self.target.update_flow(3)

    def do_flush(self) -> None:
        self.conn.flush()

    def do_close(self) -> None:
        self.conn.close()

    def do_shutdown(self) -> None:
        self.conn.shutdown()

    def do_set_owner(self) -> None:
        self.attempt(self.conn.set_owner, self.told)

    def do_lose_owner(self) -> None:
        self.attempt(self.conn.set_owner, None)

    def do_info(self) -> None:
        self.conn.info()
        if self.target is not None:
            self.target.info()

    def do_raise(self) -> None:
        raise _Boom

    def do_open(self) -> None:
        other = gun.open("other.example", 80, reactor=self.world.clock, endpoint=self.world.endpoint, owner=RecordingReceiver())
        self.others.append(other)


@implementer(IBodyProducer)
class _Producer:
    """A producer whose every method is a callback to act in."""

    length = UNKNOWN_LENGTH

    def __init__(self, play: _Play) -> None:
        self._play = play
        self._consumer: Any = None
        self._finished: Deferred[None] | None = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._finished = Deferred()
        self._play.reached(None, "startProducing", consumer)
        consumer.write(b"x" * 300_000)  # more than the socket takes, so that it is paused and resumed
        return self._finished

    def finish(self) -> None:
        if self._finished is not None:
            finished, self._finished = self._finished, None
            finished.callback(None)

    def pauseProducing(self) -> None:
        self._play.reached(None, "pauseProducing", self._consumer)

    def resumeProducing(self) -> None:
        self._play.reached(None, "resumeProducing", self._consumer)

    def stopProducing(self) -> None:
        self._finished = None
        self._play.reached(None, "stopProducing", self._consumer)


CALLBACKS = (
    "gun_up",
    "gun_down",
    "gun_inform",
    "gun_response",
    "gun_data",
    "gun_trailers",
    "gun_upgrade",
    "gun_error(stream)",
    "gun_error(connection)",
    "await_up",
    "await_response",
    "await_body",
    "startProducing",
    "pauseProducing",
    "resumeProducing",
    "stopProducing",
)
ACTIONS = tuple(name.removeprefix("do_") for name in vars(_Play) if name.startswith("do_"))


class MatrixTests(LifeCase):
    """Every callback with every action."""

    def check(self, callback: str, action: str, most: int = 1) -> None:
        play = _Play(callback, action, most)
        play.play()
        self.assertTrue(1 <= play.done <= most, f"{callback} happened {play.done} times")
        logged = [type(failure.value) for failure in self.flushLoggedErrors()]
        self.assertEqual(logged, [_Boom] * (play.done if self.is_logged(callback, action) else 0))
        self.assert_told_in_order(play.told)
        self.assert_each_ended_once(play)
        for other in play.others:
            other.close()
        play.world.pump()
        self.assert_nothing_left(play.world)

    def is_logged(self, callback: str, action: str) -> bool:
        """A receiver or producer that raises is logged; what a Deferred's callback raises is the Deferred's."""
        return action == "raise" and callback not in ("await_up", "await_response", "await_body", "startProducing")

    def assert_each_ended_once(self, play: _Play) -> None:
        for stream in play.streams:
            told = sum(event.fin for event in play.told.events if getattr(event, "stream", None) is stream)
            if stream.info() is not None:
                self.fail(f"{stream} has not ended")
            if stream is not play.awaited:
                self.assertEqual(told, 0 if stream in play.cancelled else 1, stream)


def _add_tests() -> None:
    def test_of(callback: str, action: str, most: int) -> Callable[[MatrixTests], None]:
        def test(self: MatrixTests) -> None:
            self.check(callback, action, most)

        test.__doc__ = f"In {callback}: {action.replace('_', ' ')}, {'once' if most == 1 else 'again and again'}."
        return test

    for callback in CALLBACKS:
        for action in ACTIONS:
            name = f"test_{callback}_{action}".replace("(", "_").replace(")", "")
            setattr(MatrixTests, name, test_of(callback, action, 1))
            setattr(MatrixTests, f"{name}_always", test_of(callback, action, 100))


_add_tests()


class DepthTests(LifeCase):
    """However deeply callbacks call back, the stack stays flat and the bytes stay whole."""

    def test_chain_of_requests(self) -> None:
        """2,000 requests, each made in the last callback of the one before it, need no deep stack."""
        depths: list[int] = []

        def react(event: Any) -> None:
            if event.fin:
                depths.append(_depth())
                world.connection.get("/next", reply_to=told)

        told = RecordingReceiver(react)
        world = up()
        world.connection.get("/first", reply_to=told)
        for _ in range(2000):
            feed(world, EMPTY)
        self.assertEqual(len(depths), 2000)
        self.assertEqual(len(set(depths)), 1)

    def test_chain_inside_one_segment(self) -> None:
        """2,000 pipelined responses in one segment, each of whose last callbacks makes a request, need no deep stack."""
        depths: list[int] = []

        def react(event: Any) -> None:
            if event.fin and len(depths) < 2000:
                depths.append(_depth())
                world.connection.get("/next", reply_to=told)

        told = RecordingReceiver(react)
        world = up()
        for _ in range(2000):
            world.connection.get("/first", reply_to=told)
        world.pump()
        world.endpoint.links[-1].chunk_size = 2000 * len(EMPTY)
        world.peer.send(EMPTY * 2000)
        world.pump()
        self.assertEqual(len(depths), 2000)
        self.assertEqual(len(set(depths)), 1)
        self.assertEqual(len(world.peer.requests), 4000)

    def test_chain_of_refused_requests(self) -> None:
        """2,000 requests beyond max_waiting, each made in the error of the one before it, need no deep stack."""
        depths: list[int] = []

        def react(event: Any) -> None:
            if len(depths) < 2000:
                depths.append(_depth())
                world.connection.get("/again", reply_to=told)

        told = RecordingReceiver(react)
        world = MemoryGun(max_waiting=1)
        world.endpoint.hang()
        world.connection.get("/waits")
        world.connection.get("/too-many", reply_to=told)
        self.assertEqual(told.events, [])
        world.pump()
        self.assertEqual(len(depths), 2000)
        self.assertEqual(len(set(depths)), 1)
        self.assertEqual({type(event.reason) for event in told.events}, {gun.LimitReached})

    def test_request_made_while_being_paused(self) -> None:
        """What a producer asks for while the transport pauses it goes out once, after what was being written."""
        body = _Paused(lambda: world.connection.get("/again"))
        world = up()
        world.connection.post("/upload", (), body)
        world.pump()
        requests = world.peer.requests
        self.assertEqual([request.target for request in requests], [b"/upload", b"/again"])
        self.assertEqual(requests[0].body, b"x" * 300_000)
        self.assertEqual(world.peer.received.count(b"GET /again"), 1)


class WakingTests(LifeCase):
    """What the callback of one Deferred does to another whose result came in the same turn."""

    def check(self, name: str, expected: Any) -> None:
        world = up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        victim: Deferred[Any] = getattr(second, name)(timeout=None)
        first.await_body(timeout=None).addCallback(lambda _: victim.cancel())
        world.pump()
        feed(world, OK + OK)
        self.failureResultOf(victim, CancelledError)
        result = self.successResultOf(getattr(second, name)())
        self.assertEqual(getattr(result, "status", result), expected)

    def test_cancelled_event(self) -> None:
        """An event that a Deferred was to get that is cancelled now is there for the next."""
        self.check("await_event", 200)
        self.check("await_response", 200)

    def test_cancelled_body(self) -> None:
        """So is the content."""
        self.check("await_body", b"ok")

    def test_cancelled_body_is_there_for_others(self) -> None:
        """And for whoever iterates instead."""
        world = up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        victim = second.await_body(timeout=None)
        first.await_body(timeout=None).addCallback(lambda _: victim.cancel())
        world.pump()
        feed(world, OK + OK)
        self.failureResultOf(victim, CancelledError)

        async def main() -> list[bytes]:
            return [chunk async for chunk in second.chunks()]

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(main())), [b"ok"])

    def test_closed(self) -> None:
        """Closing the connection does not take results that have come already."""
        world = up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        body = second.await_body(timeout=None)
        first.await_body(timeout=None).addCallback(lambda _: world.connection.close())
        world.pump()
        feed(world, OK + OK)
        self.assertEqual(self.successResultOf(body), b"ok")
        self.assert_nothing_left(world)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


@implementer(IBodyProducer)
class _Paused:
    """A body larger than the socket takes, which acts when it is paused."""

    length = 300_000

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(b"x" * self.length)
        return succeed(None)

    def pauseProducing(self) -> None:
        self._act()

    def resumeProducing(self) -> None:
        """It has written everything at once."""

    def stopProducing(self) -> None:
        """Likewise."""
