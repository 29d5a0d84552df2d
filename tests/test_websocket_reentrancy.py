"""
Around websockets, too, whatever is asked for from within a callback is done, in order, and harms nobody: every callback, every action.

In each life websockets are granted and refused, send and are sent to, are closed by either side, cut off, and broken by the peer.
"""

from __future__ import annotations

import sys
from typing import Any

import twisted_gun as gun
from tests.play import ACTIONS, MatrixCase, Play, add_tests
from tests.producers import Push
from tests.websocket_stage import WebsocketCase, variants
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun, RecordingReceiver, WebsocketPeer, server_frame


class Http1Life(Play):
    """One life over HTTP/1.1."""

    http = "http"
    core = "own"

    def make_world(self) -> MemoryGun:
        """A world whose peers answer handshakes when the life says so."""
        return MemoryGun(
            protocols=[self.http],
            owner=self.told,
            reply_to=self.told,
            retry_timeout=1.0,
            ws_opts={"core": self.core, "silence_pings": False, "default_protocol": self.protocol, "closing_timeout": 3.0},
            peer=self.make_peer,
        )

    def make_peer(self) -> Any:
        """A peer that does not mind requests of other kinds."""
        return _Peer(accept=False)

    def protocol(self, stream: Any, headers: Any, options: Any) -> Any:
        """A protocol whose making and whose `handle` are callbacks."""
        self.reached(None, "making", stream)
        return _Protocol(self, stream, headers, options)

    def first_connection(self) -> None:
        self.awaited = self.ask("ws_upgrade", "/awaited", reply_to=None)
        if self.awaited is not None:
            upgrade = self.awaited.await_upgrade(None)
            upgrade.addCallback(self.reached, "await_upgrade", self.awaited).addErrback(self.ignore)
        self.answer("accept")
        if self.awaited is not None:
            self.attempt(self.wait_for_event)
        self.say("send", "hello")
        self.say("send", b"unread")
        self.attempt(self.ping)
        self.world.pump()
        self.say("close", 1000)
        self.next_connection()

    def wait_for_event(self) -> None:
        """Await what comes next."""
        event = self.awaited.await_event(None)
        event.addCallback(self.reached, "await_event", self.awaited).addErrback(self.ignore)

    def answers(self) -> None:
        self.ask("ws_upgrade", "/refused")
        self.world.pump()
        self.answer("refuse")
        stream = self.ask("ws_upgrade", "/closed")
        self.answer("accept")
        if stream is not None:
            producer = Push(lambda name: self.reached(None, f"{name}Producing", stream))
            self.attempt(stream.registerProducer, producer, True)
            self.attempt(stream.ws_send, b"x" * 300_000)  # more than the socket takes, so that the producer is paused and resumed
        self.world.pump()
        for frame in ("one", gun.Ping(b"p"), b"two"):
            self.say("send", frame)
        if stream is not None:
            self.attempt(stream.ws_send, gun.Close(1000))
        self.next_connection()

    def second_connection(self) -> None:
        self.ask("ws_upgrade", "/cut-off")
        self.answer("accept")
        self.say("send", "one")
        if self.world.peers:
            self.world.peer.abort()
        self.next_connection()
        self.ask("ws_upgrade", "/broken")
        self.answer("accept")
        self.say("send_raw", server_frame(3))
        self.next_connection()
        self.ask("ws_upgrade", "/stopped")
        self.answer("accept")
        if self.streams:
            self.attempt(self.streams[-1].registerProducer, Push(lambda name: self.reached(None, f"{name}Producing")), True)

    def next_connection(self) -> None:
        """Let what is to come come."""
        for _ in range(5):
            self.world.advance(1)

    def answer(self, how: str) -> None:
        """The peer accepts or refuses what waits, if anything does."""
        self.world.pump()
        for end in self.ends():
            if end.pending and end.handshake is not None:
                getattr(end, how)()
            elif end.pending:
                end.respond()
        self.world.pump()

    def say(self, method: str, *arguments: Any) -> None:
        """The peer does that on each websocket there is."""
        self.world.pump()
        for end in self.ends():
            if end.accepted and end.lost is None and end.sent_close is None:
                getattr(end, method)(*arguments)
        self.world.pump()

    def ends(self) -> list[Any]:
        """The ends of the latest peer."""
        if not self.world.peers or self.world.peer.lost is not None:
            return []
        peer = self.world.peer
        return list(getattr(peer, "ends", [peer]))

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.conn.ping().addCallback(self.reached, "ping").addErrback(self.ignore)

    # What is done.

    def do_ping(self) -> None:
        self.attempt(self.ping)

    def do_ws_upgrade(self) -> None:
        self.ask("ws_upgrade", "/again")

    def do_ws_send(self) -> None:
        if self.target is not None:
            self.attempt(self.target.ws_send, ["text", b"bytes", gun.Ping()])
        self.attempt(self.conn.ws_send, "text")

    def do_ws_close(self) -> None:
        if self.target is not None:
            self.attempt(self.target.ws_send, gun.Close(1000))

    def do_write(self) -> None:
        if self.target is not None:
            self.attempt(self.target.write, b"x" * 100_000)

    def do_break(self) -> None:
        if self.target is not None:
            self.attempt(self.target.ws_send, "\ud800")


class Http2Life(Http1Life):
    """One over HTTP/2."""

    http = "http2"

    def make_peer(self) -> Any:
        return Http2WebsocketPeer(accept=False)

    def answer(self, how: str) -> None:
        super().answer(how)
        if self.world.peers and self.world.peer.lost is None:
            for request in self.world.peer.requests:
                if request.complete and not request.answered and request.reset is None and request.method != b"CONNECT":
                    self.world.peer.respond(request)
        self.world.pump()


class _Protocol(gun.WsProtocol):
    """Tells each frame, after something else was done."""

    def __init__(self, life: Http1Life, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._life = life

    def handle(self, frame: Any) -> int | None:
        self._life.reached(None, "handle", self.stream)
        return super().handle(frame)


class _Peer(WebsocketPeer):
    """Takes requests with content too, of which it says nothing."""

    def _take(self, data: bytes) -> None:
        try:
            super()._take(data)
        except AssertionError:
            if self.accepted:
                raise
            self.abort()


#: Callbacks that websockets bring, or bring something new to.
CALLBACKS = (
    "gun_upgrade",
    "gun_ws",
    "gun_error(stream)",
    "await_upgrade",
    "await_event",
    "making",
    "handle",
    "ping",
    "pauseProducing",
    "resumeProducing",
    "stopProducing",
)
#: And others, in which the actions that are not new have been done elsewhere.
OTHERS = ("gun_up", "gun_down", "gun_response", "gun_notify", "await_up")
OWN_ACTIONS = tuple(name.removeprefix("do_") for name in vars(Http1Life) if name.startswith("do_"))


class WebsocketMatrixCase(MatrixCase):
    """Plays of websockets."""

    def is_logged(self, callback: str, action: str) -> bool:
        return super().is_logged(callback, action) and callback not in ("await_upgrade", "await_event")


class Http1Tests(WebsocketMatrixCase):
    """Every callback with every action, over HTTP/1.1."""

    player = Http1Life


class Http2Tests(WebsocketMatrixCase):
    """Every callback with every action, over HTTP/2."""

    player = Http2Life


class ReferenceTests(WebsocketMatrixCase):
    """Every callback with every action, by the reference core."""

    class player(Http1Life):  # noqa: N801, as the attribute it is
        """One life."""

        core = "wsproto"


for _case in (Http1Tests, Http2Tests):
    add_tests(_case, CALLBACKS, (*ACTIONS, *OWN_ACTIONS))
    add_tests(_case, OTHERS, OWN_ACTIONS)
add_tests(ReferenceTests, ("gun_ws", "handle"), OWN_ACTIONS)


class DepthTests(WebsocketCase):
    """However deeply callbacks call back, the stack stays flat and the bytes stay whole."""

    def depths(self, frame: Any, count: int) -> list[int]:
        """Where each frame was told, each of which is answered by one that is sent back, until there were `count`."""
        found: list[int] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.Ws):
                found.append(_depth())
                if len(found) < count:
                    event.stream.ws_send(frame)

        world, _, _ = self.told(told=RecordingReceiver(react), end={"echo": True})
        world.peer.end.send(frame)
        world.pump()
        self.assertEqual(len(world.peer.end.frames), count - 1)
        self.end(world)
        return found

    def test_echo(self) -> None:
        """2,000 frames to and fro, each sent in the callback of the one before it, need no deep stack."""
        found = self.depths("again", 2000)
        self.assertEqual((len(found), len(set(found))), (2000, 1))

    def test_inside_one_segment(self) -> None:
        """2,000 frames in one segment, each of which is answered, need no deep stack, and the answers keep their order."""
        found: list[int] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.Ws):
                found.append(_depth())
                event.stream.ws_send(event.frame)

        world, _, _ = self.told(told=RecordingReceiver(react))
        world.endpoint.links[-1].chunk_size = 10**6
        for number in range(2000):
            world.peer.end.send(f"{number}")
        world.pump()
        self.assertEqual((len(found), len(set(found))), (2000, 1))
        self.assertEqual(world.peer.end.frames, [gun.Text(f"{number}") for number in range(2000)])
        self.end(world)

    def test_chain_of_upgrades(self) -> None:
        """500 websockets, each asked for in the end of the one before it, need no deep stack."""
        found: list[int] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.Upgrade):
                event.stream.ws_send(gun.Close(1000))
            elif isinstance(event, gun.Ws) and len(found) < 500:
                found.append(_depth())
                world.connection.ws_upgrade("/next")

        told = RecordingReceiver(react)
        world = self.world(reply_to=told, retry_timeout=0.0)
        world.connection.ws_upgrade("/first")
        world.pump()
        self.assertEqual((len(found), len(set(found))), (500, 1))
        self.end(world)

    def test_refused_chain(self) -> None:
        """2,000 upgrades beyond max_waiting, each asked for in the error of the one before it, need no deep stack."""
        found: list[int] = []

        def react(event: Any) -> None:
            if len(found) < 2000:
                found.append(_depth())
                world.connection.ws_upgrade("/again", reply_to=told)

        told = RecordingReceiver(react)
        world = self.world(max_waiting=1)
        world.endpoint.hang()
        world.connection.ws_upgrade("/waits")
        world.connection.ws_upgrade("/too-many", reply_to=told)
        self.assertEqual(told.events, [])
        world.pump()
        self.assertEqual((len(found), len(set(found))), (2000, 1))
        self.assertEqual({type(event.reason) for event in told.events if isinstance(event, gun.Error)}, {gun.LimitReached})
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


globals().update(variants(__name__))
