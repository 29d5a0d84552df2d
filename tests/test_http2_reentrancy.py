"""
Over HTTP/2, too, whatever is asked for from within a callback is done, in order, and harms nobody: every callback with every action.

In each life streams run side by side, are answered, pushed along with, reset and cut off; the server goes away, and later breaks the
protocol.
"""

from __future__ import annotations

import sys
from typing import Any

import twisted_gun as gun
from tests.play import ACTIONS, MatrixCase, Play, Producer, add_tests
from tests.stage import Http2Case
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode


class Life(Play):
    """One life over HTTP/2."""

    core = "own"

    def make_world(self) -> MemoryGun:
        opts = {"core": self.core, "enable_push": True, "notify_settings_changed": True}
        return MemoryGun(protocols=["http2"], http2_opts=opts, owner=self.told, reply_to=self.told, retry_timeout=1.0)

    def react(self, event: Any) -> None:
        if isinstance(event, gun.Push):
            self.streams.append(event.pushed_stream)
        super().react(event)

    def first_connection(self) -> None:
        body = Producer(self)
        self.ask("post", "/upload", (), body)
        self.wait_for_response()
        self.ask("get", "/trailers")
        self.ask("get", "/reset")
        self.ask("get", "/cut-off")
        self.world.pump()
        body.finish()
        self.world.pump()
        self.answer("/upload", "respond")

    def answers(self) -> None:
        self.answer("/awaited", "respond", 200, {"content-length": "4"}, b"bo", False)
        self.attempt(self.wait_for_body)
        self.answer("/awaited", "send_data", b"dy", True)
        self.answer("/trailers", "inform", 103, {"link": "</a>"})
        self.push("/trailers")
        self.answer("/trailers", "respond", 200, {}, b"onetwo", False)
        self.answer("/trailers", "trailers", {"x": "y"})
        self.answer("/reset", "reset", ErrorCode.INTERNAL_ERROR)
        self.attempt(self.ping)
        self.world.pump()
        self.answer("/cut-off", "respond", 200, {"content-length": "9"}, b"half", False)
        if self.world.peers:
            self.world.peer.abort()
        self.world.advance(1)
        self.world.advance(1)

    def second_connection(self) -> None:
        self.ask("get", "/drains")
        self.world.pump()
        self.say("goaway")
        stopped = Producer(self)
        self.ask("post", "/stopped", (), stopped)
        self.world.pump()
        self.answer("/drains", "respond", 200, {}, b"drained")
        self.world.advance(1)
        self.say("send", frames.frame(frames.FrameType.DATA, 0, 0, b"no stream"))
        self.world.advance(1)

    def ping(self) -> None:
        self.conn.ping().addCallback(self.reached, "ping").addErrback(self.ignore)

    def do_ping(self) -> None:
        self.attempt(self.ping)

    # The peer, as far as there is one.

    def say(self, method: str, *arguments: Any) -> None:
        if self.world.peers and self.world.peer.lost is None:
            getattr(self.world.peer, method)(*arguments)
        self.world.pump()

    def answer(self, path: str, method: str, *arguments: Any) -> None:
        for request in self.requests(path):
            self.say(method, request, *arguments)

    def push(self, path: str) -> None:
        for request in self.requests(path):
            if self.world.peer.lost is None and not request.answered:
                promised = self.world.peer.push(request, "/pushed")
                self.world.pump()
                self.say("respond", promised, 200, {}, b"pushed")

    def requests(self, path: str) -> list[Any]:
        """That for `path`, if the latest peer has it."""
        requests = self.world.peer.requests if self.world.peers else []
        return [request for request in requests if request.path == path.encode()][:1]


CALLBACKS = (
    "gun_up",
    "gun_down",
    "gun_notify",
    "gun_inform",
    "gun_response",
    "gun_data",
    "gun_trailers",
    "gun_push",
    "gun_error(stream)",
    "gun_error(connection)",
    "await_up",
    "await_response",
    "await_body",
    "ping",
    "startProducing",
    "pauseProducing",
    "resumeProducing",
    "stopProducing",
)


class MatrixTests(MatrixCase):
    """Every callback with every action."""

    player = Life


add_tests(MatrixTests, CALLBACKS, (*ACTIONS, "ping"))


class DepthTests(Http2Case):
    """However deeply callbacks call back, the stack stays flat and the bytes stay whole."""

    def depths(self, **options: Any) -> tuple[list[int], Any]:
        """Where each last event was told, and a receiver that then asks again, 2,000 times."""
        found: list[int] = []

        def react(event: Any) -> None:
            if event.fin:
                found.append(_depth())
                if len(found) < 2000:
                    self.world_.connection.get("/next", reply_to=told)

        told = RecordingReceiver(react)
        self.world_ = self.up(**options)
        return found, told

    def test_chain_of_requests(self) -> None:
        """2,000 requests, each made in the last callback of the one before it, need no deep stack."""
        found, told = self.depths(script=_answer_all)
        self.world_.connection.get("/first", reply_to=told)
        self.world_.pump()
        self.assertEqual((len(found), len(set(found))), (2000, 1))
        self.end(self.world_)

    def test_chain_inside_one_segment(self) -> None:
        """2,000 responses in one segment, each of whose last callbacks makes a request, need no deep stack."""
        found, told = self.depths(http2_opts={"max_streams": 5000})
        for _ in range(2000):
            self.world_.connection.get("/first", reply_to=told)
        self.world_.pump()
        self.world_.endpoint.links[-1].chunk_size = 10**6
        for request in self.world_.peer.requests:
            self.world_.peer.respond(request)
        self.world_.pump()
        self.assertEqual((len(found), len(set(found))), (2000, 1))
        self.assertEqual(len(self.world_.peer.requests), 3999)

    def test_chain_of_refused_requests(self) -> None:
        """2,000 requests beyond the server's limit, each made in the error of the one before it, need no deep stack."""
        found, told = self.depths(settings={"max_concurrent_streams": 1})
        self.world_.connection.get("/sent")
        self.world_.connection.get("/beyond", reply_to=told)
        self.world_.pump()
        self.assertEqual((len(found), len(set(found))), (2000, 1))
        self.assertEqual({type(event.reason) for event in told.events}, {gun.StreamRefused})


def _answer_all(peer: Http2Peer) -> None:
    for request in peer.requests[-1:]:
        if not request.answered:
            peer.respond(request)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
