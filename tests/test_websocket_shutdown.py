"""Ending a connection with websockets: `Connection.shutdown`, an owner that has gone, and `Connection.close`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver, server_frame


class ShutdownTests(WebsocketCase):
    """Close 1001, and then the wait for the peer's."""

    def check(self, shut: Callable[[MemoryGun], Any]) -> None:
        """`shut` begins the end: messages are told until the peer's Close has come, and there is no `Down`."""
        world, stream, told = self.told(end={"answer_close": False})
        peer, ended = world.peer, world.connection.when_terminated()
        told.clear()
        shut(world)
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1001)])
        self.assertEqual(world.connection.info().state_name, "closing")
        self.assertRaises(gun.ShuttingDown, world.connection.ws_upgrade, "/")
        self.assertRaises(gun.ShuttingDown, world.connection.get, "/")
        self.assertRaises(gun.BadState, stream.ws_send, "more")
        peer.end.send("last words")
        world.pump()
        self.assertNoResult(ended)
        peer.end.close(1001)
        world.pump()
        self.assertEqual(frames(told), [gun.Text("last words"), gun.Close(1001)])
        self.assertEqual(told.names(), ["gun_ws", "gun_ws"])
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(peer.end.frames, [gun.Close(1001)])
        self.assertEqual(world.endpoint.attempts, 1)
        self.assert_nothing_left(world)

    def test_shutdown(self) -> None:
        """shutdown says 1001, and fires when all is over."""
        results: list[Any] = []
        self.check(lambda world: world.connection.shutdown().addCallback(results.append))
        self.assertEqual(results, [None])

    def test_owner_gone(self) -> None:
        """set_owner(None) does the same; the stream's own receiver is told to the end."""
        self.check(lambda world: world.connection.set_owner(None))

    def test_twice(self) -> None:
        """A second one changes nothing."""

        def shut(world: MemoryGun) -> None:
            world.connection.shutdown()
            world.connection.shutdown()

        self.check(shut)

    def test_from_within(self) -> None:
        """So it is from within what the stream is told."""
        for name in ("gun_upgrade", "gun_ws"):
            told = RecordingReceiver()
            told.react = self.shutting(name)
            world = self.up(reply_to=told)
            peer = world.peer
            world.connection.ws_upgrade("/")
            world.pump()
            if name == "gun_ws":
                peer.end.send("now")
                world.pump()
            self.assertEqual(peer.end.frames, [gun.Close(1001)])
            self.assertEqual(frames(told)[-1], gun.Close(1001))
            self.assert_nothing_left(world)

    def shutting(self, name: str) -> Callable[[Any], None]:
        """What shuts the connection down as soon as an event of that name is told."""

        def react(event: Any) -> None:
            if event.told_as == name:
                event.stream.connection.shutdown()

        return react

    def test_peer_closes_meanwhile(self) -> None:
        """Where the peer's Close has come already it is the answer to that which goes out, and no 1001."""
        world, stream, told = self.told(end={"hang_up": False})
        peer = world.peer
        peer.end.close(1000)
        world.pump()
        ended = world.connection.shutdown()
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1000)])
        peer.end.drop()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1000))
        self.assert_nothing_left(world)

    def test_our_close_was_sent(self) -> None:
        """After a Close of our own it waits for the answer, and sends no other."""
        world, stream, _ = self.told(end={"answer_close": False})
        peer = world.peer
        stream.ws_send(gun.Close(4000))
        ended = world.connection.shutdown()
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(4000)])
        peer.end.close(4000)
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_closing_timeout(self) -> None:
        """A peer that does not answer is given closing_timeout; then the stream fails, and the connection ends."""
        world, stream, told = self.told(end={"answer_close": False}, ws_opts={"closing_timeout": 4.0})
        ended = world.connection.shutdown()
        world.pump()
        world.advance(3.9)
        self.assertNoResult(ended)
        world.advance(0.1)
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, (gun.TimedOut, gun.ShuttingDown))
        world.advance(15)
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(told.names().count("gun_down"), 0)
        self.assert_nothing_left(world)

    def test_lost_meanwhile(self) -> None:
        """Lost meanwhile, the stream fails once, and nothing is dialled again."""
        world, stream, told = self.told(end={"answer_close": False})
        ended = world.connection.shutdown()
        world.pump()
        world.peer.abort()
        world.pump()
        self.assertIsInstance(self.told_once(told, stream), gun.Error)
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(world.endpoint.attempts, 1)
        self.assert_nothing_left(world)

    def test_then_close(self) -> None:
        """close cuts it short."""
        world, stream, told = self.told(end={"answer_close": False})
        ended = world.connection.shutdown()
        world.pump()
        world.connection.close()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
        self.assert_nothing_left(world)

    def test_cancelled_meanwhile(self) -> None:
        """A stream that is cancelled meanwhile is not waited for."""
        world, stream, told = self.told(end={"answer_close": False})
        ended = world.connection.shutdown()
        world.pump()
        told.clear()
        stream.cancel()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(told.events, [])
        self.assert_nothing_left(world)


class PendingTests(WebsocketCase):
    """Shutdown while the upgrade waits."""

    cores = ("own",)

    def test_queued(self) -> None:
        """Before the connection is up it fails by ShuttingDown, at once."""
        world = self.world()
        upgrade = world.connection.ws_upgrade("/").await_upgrade()
        ended = world.connection.shutdown()
        self.failureResultOf(upgrade, gun.ShuttingDown)
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_granted(self) -> None:
        """Granted meanwhile it is told, and closed by 1001 at once."""
        world = self.up(end={"accept": False}, reply_to=(told := RecordingReceiver()))
        peer = world.peer
        stream = world.connection.ws_upgrade("/")
        world.pump()
        ended = world.connection.shutdown()
        world.pump()
        self.assertNoResult(ended)
        peer.end.accept()
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1001)])
        self.assertEqual(told.names(), ["gun_upgrade", "gun_ws"])
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1001))
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_refused(self) -> None:
        """Refused meanwhile that is told, and the connection ends."""
        world = self.up(end={"accept": False})
        peer = world.peer
        stream = world.connection.ws_upgrade("/")
        world.pump()
        ended = world.connection.shutdown()
        peer.end.refuse(403, (), b"no")
        world.pump()
        self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused)
        self.assertEqual(self.successResultOf(stream.await_body()), b"no")
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_not_answered(self) -> None:
        """Not answered in closing_timeout, it fails."""
        world = self.up(end={"accept": False})
        upgrade = world.connection.ws_upgrade("/").await_upgrade(timeout=None)
        world.pump()
        ended = world.connection.shutdown()
        world.advance(15)
        self.failureResultOf(upgrade, gun.GunError)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_granted_late(self) -> None:
        """Granted late in that time, and not closed by the peer, it ends with the websocket's own closing_timeout at the latest."""
        world = self.up(end={"accept": False, "answer_close": False}, reply_to=(told := RecordingReceiver()))
        peer = world.peer
        stream = world.connection.ws_upgrade("/")
        world.pump()
        ended = world.connection.shutdown()
        world.advance(14)
        peer.end.accept()
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1001)])
        world.advance(15)
        self.assertIsInstance(self.told_once(told, stream), gun.Error)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)


class BesideTests(WebsocketCase):
    """Over HTTP/2, with others beside it."""

    http = "http2"
    over = ("http2",)

    def test_all_finish(self) -> None:
        """Each websocket is closed by 1001, requests are answered, the server is told by GOAWAY; then the connection ends."""
        told = RecordingReceiver()
        world = self.up(reply_to=told)
        sockets = [world.connection.ws_upgrade("/1"), world.connection.ws_upgrade("/2")]
        request = world.connection.get("/")
        world.pump()
        ended = world.connection.shutdown()
        world.pump()
        peer = world.peer
        self.assertIsNotNone(peer.gone_away)
        self.assertEqual([end.frames for end in peer.ends], [[gun.Close(1001)]] * 2)
        for stream in sockets:
            self.assertEqual(self.told_once(told, stream).frame, gun.Close(1001))
        self.assertNoResult(ended)
        peer.respond(peer.requests[2], 200, {}, b"alive")
        world.pump()
        self.assertEqual(self.told_once(told, request).data, b"alive")
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_server_goes_away(self) -> None:
        """A server that goes away: each websocket is closed by 1001, requests are answered; then the connection is made anew."""
        told = RecordingReceiver()
        world = self.up(owner=told, reply_to=told)
        sockets = [world.connection.ws_upgrade("/1"), world.connection.ws_upgrade("/2")]
        request = world.connection.get("/")
        world.pump()
        peer = world.peer
        peer.goaway()
        world.pump()
        self.assertEqual([end.frames for end in peer.ends], [[gun.Close(1001)]] * 2)
        for stream in sockets:
            self.assertEqual(self.told_once(told, stream).frame, gun.Close(1001))
        self.assertEqual(told.of(gun.Down), [])
        peer.respond(peer.requests[2], 200, {}, b"alive")
        world.pump()
        self.assertEqual(self.told_once(told, request).data, b"alive")
        (down,) = told.of(gun.Down)
        self.assertEqual((down.reason, down.killed_streams), (None, ()))
        self.assertEqual(world.endpoint.attempts, 2)
        self.end(world)

    def test_server_goes_away_and_does_not_answer(self) -> None:
        """What still comes is told; without a Close the websocket ends when the time is over. Said twice, it is closed once."""
        world, stream, told = self.told(end={"answer_close": False}, retry=0)
        peer = world.peer
        peer.goaway()
        world.pump()
        peer.goaway()
        peer.end.send("last words")
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1001)])
        self.assertEqual(frames(told), [gun.Text("last words")])
        self.assertRaises(gun.BadState, stream.ws_send, "more")
        world.advance(15.0)
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, gun.TimedOut)
        self.assertEqual(reason.stage, "closing")
        self.end(world)

    def test_server_goes_away_without_haste(self) -> None:
        """Where http2_opts.closing_timeout is None the websockets are left open; when the last has ended the connection is made anew."""
        world, stream, told = self.told(end={"echo": True}, http2_opts={"closing_timeout": None})
        world.peer.goaway()
        world.pump()
        world.advance(1000)
        stream.ws_send("alive")
        world.pump()
        self.assertEqual(frames(told), [gun.Text("alive")])
        stream.ws_send(gun.Close(1000))
        world.pump()
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1000))
        (down,) = told.of(gun.Down)
        self.assertEqual(down.killed_streams, ())
        self.assertEqual(world.endpoint.attempts, 2)
        self.end(world)


class CloseConnectionTests(WebsocketCase):
    """`Connection.close`."""

    def test_open(self) -> None:
        """It ends everything at once, without a Close and without `Down`."""
        world, stream, told = self.told()
        end = world.peer.end
        told.clear()
        world.connection.close()
        self.assertEqual(told.names(), ["gun_error"])
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
        world.pump()
        self.assertEqual(end.raw_frames, [])
        self.assertEqual(told.names(), ["gun_error"])
        self.assert_nothing_left(world)
        self.assertRaises(gun.BadState, stream.ws_send, "closed")
        if not self.http2:
            self.assertRaises(gun.BadState, world.connection.ws_send, "closed")
        self.assertRaises(gun.ShuttingDown, world.connection.ws_upgrade, "/")

    def test_from_within(self) -> None:
        """Called in the midst of what one read brought, it is the end: nothing more of it is told."""
        world, stream, told = self.told()
        end, close = world.peer.end, world.connection.close
        told.clear()

        def end_all(event: gun.Ws) -> None:
            told.events.append(event)
            close()

        self.patch(told, "gun_ws", end_all)
        for text in ("one", "two", "three"):
            end.send(text)
        end.close(1000)
        world.pump()
        self.assertEqual(frames(told), [gun.Text("one")])
        self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
        self.assert_nothing_left(world)

    def test_unread(self) -> None:
        """What a held mailbox has not been told yet it is not told by that either."""
        world, stream = self.upgraded(ws_opts={"flow": 1, "core": self.core})
        for text in ("one", "two", "three"):
            world.peer.end.send(text)
        world.pump()
        world.connection.close()
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Text("one"))
        self.failureResultOf(stream.await_event(), gun.StreamClosed)
        self.assert_nothing_left(world)

    def test_at_any_time(self) -> None:
        """So it does before the connection is up, while the upgrade waits, and during a closing handshake."""
        for when in ("queued", "pending", "closing", "closed", "violated"):
            told = RecordingReceiver()
            world = self.world(end={"accept": when != "pending", "answer_close": when == "closed", "hang_up": False}, reply_to=told)
            stream = world.connection.ws_upgrade("/")
            if when != "queued":
                world.pump()
            if when in ("closing", "closed"):
                stream.ws_send(gun.Close(1000))
            if when == "violated":
                world.peer.end.send_raw(server_frame(3))
            if when != "queued":
                world.pump()
            world.connection.close()
            self.assertTrue(stream.ended)
            world.pump()
            self.assertIsInstance(self.told_once(told, stream), gun.Ws if when == "closed" else gun.Error)
            self.assert_nothing_left(world)


globals().update(variants(__name__))
