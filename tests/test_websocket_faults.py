"""Receivers of websockets that raise, and what is left when a websocket has ended: nothing, objects included."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import RecordingReceiver
from twisted_gun.wire.frames import ErrorCode


class Boom(Exception):
    """What a receiver raises here."""


class RaisingTests(WebsocketCase):
    """A receiver that raises (limits.md, fault 26): logged once, its stream ends, nobody else is harmed."""

    def check(self, name: str) -> None:
        """A receiver that raises when an event of that name is told."""

        def react(event: Any) -> None:
            if event.told_as == name:
                raise Boom

        owner, told, other = RecordingReceiver(), RecordingReceiver(react), RecordingReceiver()
        world = self.up(owner=owner, end={"hang_up": False})
        stream = world.connection.ws_upgrade("/", reply_to=told)
        world.pump()
        peer, end = world.peers[0], world.peers[0].end
        neighbour = world.connection.ws_upgrade("/other", reply_to=other) if self.http2 else None
        world.pump()
        for frame in ("one", "two"):
            if end.lost is None:
                end.send(frame)
        if end.lost is None and name == "gun_error":
            end.drop()
        world.pump()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.told_once(told, stream)
        self.assertRaises(gun.BadState, stream.ws_send, "more")
        if neighbour is None:
            self.assertEqual(owner.names(), ["gun_up", "gun_down", "gun_up"])
        else:
            if name != "gun_error":
                self.assertEqual(peer.requests[0].reset, ErrorCode.CANCEL)
            peer.ends[1].send("alive")
            world.pump()
            self.assertEqual(frames(other), [gun.Text("alive")])
            self.assertEqual(owner.names(), ["gun_up"])
        self.end(world)

    def test_gun_upgrade(self) -> None:
        """In `gun_upgrade`."""
        self.check("gun_upgrade")

    def test_gun_ws(self) -> None:
        """In `gun_ws`."""
        self.check("gun_ws")

    def test_gun_error(self) -> None:
        """In `gun_error`."""
        self.check("gun_error")

    def test_at_the_close(self) -> None:
        """In `gun_ws` for the Close, when the stream has ended: nothing more is told, and the closing handshake goes on."""

        def react(event: Any) -> None:
            if isinstance(event, gun.Ws):
                raise Boom

        world, stream, told = self.told(told=RecordingReceiver(react))
        peer = world.peer
        peer.end.close(1000)
        world.pump()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1000))
        self.assertEqual(peer.end.frames, [gun.Close(1000)])
        self.end(world)

    def test_in_gun_response(self) -> None:
        """In `gun_response`, for a refusal: the connection lives on."""

        def react(event: Any) -> None:
            raise Boom

        world = self.up(end={"accept": False})
        told = RecordingReceiver(react)
        stream = world.connection.ws_upgrade("/", reply_to=told)
        world.pump()
        world.peer.end.refuse(403, (), b"because")
        world.pump()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 2)  # in gun_response, and in the gun_error that comes of it
        self.assertEqual(told.names(), ["gun_response", "gun_error"])
        self.told_once(told, stream)
        again = world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.accept()
        world.pump()
        self.successResultOf(again.await_upgrade())
        self.assertEqual(world.endpoint.attempts, 1)
        self.end(world)

    def test_owner(self) -> None:
        """An owner that raises harms no websocket."""

        def react(event: Any) -> None:
            raise Boom

        world = self.up(owner=RecordingReceiver(react), on_up=lambda connection: connection.ws_upgrade("/"))
        world.pump()
        world.peer.abort()
        world.pump()
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 3)
        world.peer.end.send("alive")
        world.pump()
        self.end(world)

    def test_awaiting(self) -> None:
        """What the callback of a Deferred raises is the Deferred's; the websocket lives on."""

        def fail(result: object) -> None:
            raise Boom

        world, stream = self.upgraded()
        event = stream.await_event().addCallback(fail)
        world.peer.end.send("one")
        world.pump()
        self.failureResultOf(event, Boom)
        world.peer.end.send("two")
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Text("two"))
        self.end(world)


class LeftoverTests(WebsocketCase):
    """Nothing keeps what has ended: not a delayed call, and not a cycle of references either (limits.md, faults 31 and 32)."""

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def ended(self, how: str, told: Any = None, **ws_opts: Any) -> tuple[Any, Any]:
        """A world whose websocket has ended in that way, and its stream."""
        options = {"keepalive": 5.0, **ws_opts}
        world = self.up(ws_opts=options, end={"accept": how not in ("refused", "broken", "pending"), "echo": True})
        stream = world.connection.ws_upgrade("/", reply_to=told)
        world.pump()
        end = world.peer.end
        if end.accepted:
            stream.ws_send(["hello", b"bytes"])
            world.connection.ping()
        world.pump()
        if how == "closed":
            stream.ws_send(gun.Close(1000))
        elif how == "closed by the peer":
            end.close(1000)
        elif how == "dropped":
            end.drop()
        elif how == "lost":
            world.peer.abort()
        elif how == "cancelled":
            stream.cancel()
        elif how == "violated":
            end.send_raw(b"\xff\xff")
        elif how == "refused":
            end.refuse(403, (), b"no")
        elif how == "broken":
            end.accept(headers={"sec-websocket-protocol": "unasked"})
        elif how == "pending":
            world.peer.abort()
        world.pump()
        self.assertTrue(stream.ended, how)
        return world, stream

    ways = ("closed", "closed by the peer", "dropped", "lost", "cancelled", "violated", "refused", "broken", "pending")

    def test_streams_are_freed(self) -> None:
        """However it has ended, a stream is freed as soon as its user lets go of it, without the collector's help."""
        for how in self.ways:
            world, stream = self.ended(how, told=lambda event: None)
            world.owner.clear()  # gun_down names it
            ghost = weakref.ref(stream)
            del stream
            self.assertIsNone(ghost(), how)
            del world

    def test_read_streams_are_freed(self) -> None:
        """So is one that is its own mailbox, once that was read: unread events hold their stream, as they do for any request."""
        world, stream = self.upgraded(end={"echo": True})
        stream.ws_send("hello")
        stream.ws_send(gun.Close(1000))
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Text("hello"))
        self.assertEqual(self.next_frame(stream), gun.Close(1000))
        ghost = weakref.ref(stream)
        world.owner.clear()
        del stream
        self.assertIsNone(ghost())

    def test_protocols_are_freed(self) -> None:
        """So is its protocol."""
        made: list[Any] = []

        def make(*arguments: Any) -> Any:
            protocol = gun.WsProtocol(*arguments)
            made.append(weakref.ref(protocol))
            return protocol

        for how in ("closed", "lost", "cancelled"):
            world, stream = self.ended(how, told=lambda event: None, default_protocol=make)
            world.owner.clear()
            del stream
            self.assertIsNone(made.pop()(), how)
            del world

    def test_connections_are_freed(self) -> None:
        """A connection that is closed can be collected, once its user lets go of it, and leaves no delayed call."""
        for how in self.ways:
            world, stream = self.ended(how)
            world.connection.close()
            world.pump()
            self.assert_nothing_left(world)
            ghost, clock = weakref.ref(world.connection), world.clock
            del world, stream
            gc.collect()
            self.assertIsNone(ghost(), how)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_no_timers(self) -> None:
        """A websocket that has ended leaves no delayed call on a connection that lives on."""
        for how in self.ways:
            world, _ = self.ended(how)
            world.advance(30)
            self.assertEqual(world.clock.getDelayedCalls(), [], how)
            self.end(world)

    def test_no_growth(self) -> None:
        """Over one connection of HTTP/2, or many of HTTP/1.1, a hundred websockets leave nothing in the tables of the connection."""
        world = self.up(retry_timeout=0.0)
        for _ in range(100):
            stream = world.connection.ws_upgrade("/", reply_to=lambda event: None)
            world.pump()
            stream.ws_send(gun.Close(1000))
            world.pump()
        connection = world.connection
        route, turn = connection._route, connection._turn
        self.assertEqual(route.layers, {})
        self.assertEqual((len(route._live), len(turn.unread), len(turn.kept)), (0, 0, 0))
        self.assertEqual(route._inner_losses, [])
        self.end(world)


globals().update(variants(__name__))
