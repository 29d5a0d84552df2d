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
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

import twisted_gun as gun
from tests.play import ACTIONS, MatrixCase, Play, Producer, add_tests
from tests.stage import EMPTY, OK, SWITCH, UPGRADE, LifeCase, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver

INFORM = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
TRAILING = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx: y\r\n\r\n"


class _Play(Play):
    """One life over HTTP/1.1."""

    def first_connection(self) -> None:
        body = Producer(self)
        self.ask("post", "/upload", (), body)
        self.wait_for_response()
        self.ask("get", "/trailers")
        self.ask("get", "/cancelled")
        self.ask("get", "/last")
        self.world.pump()
        body.finish()
        self.world.pump()
        self.send(EMPTY)

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

    def second_connection(self) -> None:
        stopped = Producer(self)
        self.ask("get", "/switch", UPGRADE)
        self.world.pump()
        self.send(SWITCH + b"raw")
        self.world.peer.abort() if self.world.peers else None
        self.world.advance(1)
        self.ask("post", "/stopped", (), stopped)
        self.world.pump()
        self.send(b"no HTTP at all\r\n\r\n")
        self.world.advance(1)

    def send(self, data: bytes) -> None:
        if self.world.peers and self.world.peer.lost is None:
            self.world.peer.send(data)
        self.world.pump()


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


class MatrixTests(MatrixCase):
    """Every callback with every action."""

    player = _Play


add_tests(MatrixTests, CALLBACKS, ACTIONS)


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
