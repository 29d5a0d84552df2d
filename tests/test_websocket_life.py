"""How websockets end: by a Close of either side, by time, by a loss at any byte, by cancel, shutdown and close."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, Opcode, RecordingReceiver, server_frame
from twisted_gun.wire.frames import ErrorCode, FrameType, frame


class ClosedCase(WebsocketCase):
    """Ends in good order."""

    def assert_closed_well(self, world: MemoryGun, stream: gun.Stream, told: RecordingReceiver, close: gun.Close) -> None:
        """The stream was told `close` as its one end; over HTTP/1.1 the connection went down by that, over HTTP/2 it did not."""
        self.assertEqual(self.told_once(told, stream), gun.Ws(stream=stream, frame=close))
        self.assertIsNone(stream.info())
        self.assertEqual(told.of(gun.Error), [])
        if self.http2:
            self.assertEqual(told.of(gun.Down), [])
            self.assertEqual(world.endpoint.attempts, 1)
            self.assertIsNone(world.peer.gone_away)
        else:
            (down,) = told.of(gun.Down)
            self.assertEqual((down.protocol, down.reason, down.killed_streams, down.unprocessed_streams), ("ws", None, (), ()))
            self.assertIsNotNone(world.peers[0].lost)


class CloseTests(ClosedCase):
    """The closing handshake."""

    def test_by_us(self) -> None:
        """Our Close is answered, and the answer told, with its code."""
        for close in (gun.Close(1000, "bye"), gun.Close(), gun.Close(4999)):
            world, stream, told = self.told()
            peer = world.peer
            stream.ws_send(close)
            world.pump()
            self.assertEqual(peer.end.frames, [close])
            self.assert_closed_well(world, stream, told, gun.Close(close.code))
            self.end(world)

    def test_by_the_peer(self) -> None:
        """The peer's Close is told and answered, with its code and no reason."""
        for close in (gun.Close(1001, "going"), gun.Close(), gun.Close(1011, "x" * 123)):
            world, stream, told = self.told()
            peer = world.peer
            peer.end.send(close)
            world.pump()
            self.assertEqual(peer.end.frames, [gun.Close(close.code)])
            self.assert_closed_well(world, stream, told, close)
            self.end(world)

    def test_by_both(self) -> None:
        """Two that cross are answers to each other: each side sends one only."""
        world, stream, told = self.told()
        peer = world.peer
        stream.ws_send(gun.Close(1000, "ours"))
        peer.end.close(1001, "theirs")
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1000, "ours")])
        self.assert_closed_well(world, stream, told, gun.Close(1001, "theirs"))
        self.end(world)

    def test_messages_meanwhile(self) -> None:
        """What the peer sends between our Close and its own is told; pings are not answered any more."""
        world, stream, told = self.told(end={"answer_close": False})
        peer = world.peer
        stream.ws_send(gun.Close(1000))
        world.pump()
        peer.end.send("still")
        peer.end.send(gun.Ping(b"?"))
        world.pump()
        self.assertEqual(frames(told), [gun.Text("still")])
        peer.end.close(1000)
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Close(1000)])
        self.assert_closed_well(world, stream, told, gun.Close(1000))
        self.end(world)

    def test_sending_afterwards(self) -> None:
        """Once a Close was sent, or received, frames are refused at the call, a second Close as well; `write` drops them."""
        for by_us in (True, False):
            world, stream, _ = self.told(end={"answer_close": False, "hang_up": False})
            end = world.peer.end
            if by_us:
                stream.ws_send(gun.Close(1000))
            else:
                end.close(1000)
                world.pump()
            for refused in ("more", gun.Ping(), gun.Close(1001)):
                self.assertRaises(gun.BadState, stream.ws_send, refused)
            if not self.http2:
                self.assertRaises(gun.BadState, world.connection.ws_send, "more")
            stream.write(b"more")
            world.pump()
            self.assertEqual(end.frames, [gun.Close(1000)])
            self.end(world)
            self.assertRaises(gun.BadState, stream.ws_send, "ended")

    def test_data_behind_a_close(self) -> None:
        """What the peer sends behind its Close is not looked at."""
        world, stream, told = self.told(end={"hang_up": False}, retry=0)
        end = world.peer.end
        end.close(1000)
        end.send_raw(server_frame(Opcode.TEXT, b"late") + b"\xff" * 100)
        world.pump()
        end.send_raw(b"\xff" * 100)
        world.pump()
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1000))
        self.assertEqual(frames(told), [gun.Close(1000)])
        self.assertEqual(end.frames, [gun.Close(1000)])
        self.end(world)

    def test_half_a_message(self) -> None:
        """A Close in the midst of a message ends it: that message is not told."""
        world, stream, told = self.told()
        world.peers[0].end.send_raw(server_frame(Opcode.TEXT, b"half", fin=False))
        world.peers[0].end.close(1000)
        world.pump()
        self.assert_closed_well(world, stream, told, gun.Close(1000))
        self.assertEqual(frames(told), [gun.Close(1000)])
        self.end(world)

    def test_frames_before_a_close_from_within(self) -> None:
        """From within `gun_ws` the stream can be closed; what came behind is told all the same."""
        told = RecordingReceiver()

        def react(event: Any) -> None:
            if isinstance(event, gun.Ws) and event.frame == gun.Text("one"):
                event.stream.ws_send(gun.Close(1000))

        told.react = react
        world, stream, _ = self.told(told=told)
        world.peer.end.send("one")
        world.peer.end.send("two")
        world.pump()
        self.assertEqual(frames(told), [gun.Text("one"), gun.Text("two"), gun.Close(1000)])
        self.assert_closed_well(world, stream, told, gun.Close(1000))
        self.end(world)


class ClosingTimeTests(ClosedCase):
    """`closing_timeout`."""

    def test_no_answer(self) -> None:
        """A Close without answer: after closing_timeout the websocket ends by TimedOut, and with it what it stands on."""
        for seconds, opts in ((15.0, {}), (2.0, {"closing_timeout": 2.0})):
            world, stream, told = self.told(end={"answer_close": False}, ws_opts=opts, retry=0)
            peer = world.peer
            stream.ws_send(gun.Close(1000))
            world.advance(seconds - 0.1)
            self.assertFalse(stream.ended)
            world.advance(0.1)
            reason = self.told_once(told, stream).reason
            self.assertIsInstance(reason, gun.TimedOut)
            self.assertEqual((reason.stage, reason.seconds), ("closing", seconds))
            if self.http2:
                self.assertEqual(peer.requests[0].reset, ErrorCode.CANCEL)
                self.assertEqual(told.of(gun.Down), [])
            else:
                (down,) = told.of(gun.Down)
                self.assertEqual((down.reason, down.killed_streams), (reason, (stream,)))
            self.end(world)

    def test_no_hanging_up(self) -> None:
        """A peer that does not end the connection after both Closes is left after closing_timeout, in good order."""
        for by_us in (True, False):
            world, stream, told = self.told(end={"hang_up": False}, ws_opts={"closing_timeout": 3.0})
            peer = world.peer
            if by_us:
                stream.ws_send(gun.Close(1000))
            else:
                peer.end.close(1000)
            world.pump()
            self.assertTrue(stream.ended)
            self.assertEqual(told.of(gun.Down), [])
            self.assertIsNone(peer.end.lost)
            world.advance(2.9)
            self.assertIsNone(peer.end.lost)
            world.advance(0.1)
            self.assertIsNotNone(peer.end.lost)
            self.assert_closed_well(world, stream, told, gun.Close(1000))
            self.end(world)

    def test_none(self) -> None:
        """With None it waits as long as it takes."""
        world, stream, told = self.told(end={"answer_close": False, "hang_up": False}, ws_opts={"closing_timeout": None})
        peer = world.peer
        stream.ws_send(gun.Close(1000))
        world.advance(10_000)
        self.assertFalse(stream.ended)
        peer.end.close(1000)
        world.advance(10_000)
        self.assertIsNone(peer.end.lost)
        peer.end.drop()
        world.pump()
        self.assert_closed_well(world, stream, told, gun.Close(1000))
        self.end(world)

    def test_after_a_violation(self) -> None:
        """So it is after our Close because of a violation."""
        world, stream, _ = self.told(end={"hang_up": False, "answer_close": False}, ws_opts={"closing_timeout": 3.0}, retry=0)
        peer = world.peer
        peer.end.send_raw(server_frame(3))
        world.pump()
        world.advance(2.9)
        self.assertTrue(stream.ended)
        self.assertIsNone(peer.end.lost)
        world.advance(0.1)
        self.assertIsNotNone(peer.end.lost)
        self.end(world)


class LossTests(WebsocketCase):
    """Ends without a closing handshake."""

    def lose(self, world: MemoryGun, how: str) -> None:
        """The peer ends the websocket, or the connection below it."""
        if how == "drop":
            world.peer.end.drop()
        elif how == "abort":
            world.peer.end.abort()
        elif how == "connection dropped":
            (world.peer.close if self.http2 else world.peer.drop)()
        else:
            world.peer.abort()
        world.pump()

    def test_each(self) -> None:
        """However it is lost the stream ends by one `StreamError`, told before `Down`, which lists it as killed."""
        for how in ("drop", "abort", "connection dropped", "connection aborted"):
            for half in (b"", server_frame(Opcode.TEXT, b"half", fin=False), server_frame(Opcode.TEXT, b"cut")[:3]):
                world, stream, told = self.told()
                world.peer.end.send("whole")
                world.peer.end.send_raw(half)
                world.pump()
                self.lose(world, how)
                self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamError)
                self.assertEqual(frames(told), [gun.Text("whole")])
                if self.http2 and not how.startswith("connection"):
                    self.assertEqual(told.of(gun.Down), [])
                else:
                    (down,) = told.of(gun.Down)
                    self.assertEqual((down.protocol, down.killed_streams), ("http2" if self.http2 else "ws", (stream,)))
                    self.assertIsInstance(down.reason, gun.ConnectionFailed)
                    self.assertEqual(world.endpoint.attempts, 2)
                self.end(world)

    def test_closed_without_close(self) -> None:
        """A peer that ends it without Close: StreamClosed, which says 1006."""
        world, stream, told = self.told(retry=0)
        world.peer.end.drop()
        world.pump()
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, gun.StreamClosed)
        self.assertIn("1006", str(reason))
        self.end(world)

    def test_while_closing(self) -> None:
        """Lost after our Close and before the answer it fails; lost after the answer it has ended already."""
        for answered in (False, True):
            for how in ("drop", "connection aborted"):
                world, stream, told = self.told(end={"answer_close": answered, "hang_up": False}, retry=0)
                stream.ws_send(gun.Close(1000))
                world.pump()
                self.lose(world, how)
                last = self.told_once(told, stream)
                self.assertIsInstance(last, gun.Ws if answered else gun.Error)
                killed = [event.killed_streams for event in told.of(gun.Down)]
                if killed:
                    self.assertEqual(killed, [()] if answered else [(stream,)])
                self.end(world)

    def test_unread_mail(self) -> None:
        """What was told before the loss can still be read after it; then comes the failure."""
        world, stream = self.upgraded(retry=0)
        world.peer.end.send("one")
        world.peer.end.send("two")
        world.peer.end.drop()
        world.pump()
        self.assertTrue(stream.ended)
        self.assertEqual([self.next_frame(stream) for _ in range(2)], [gun.Text("one"), gun.Text("two")])
        self.failureResultOf(stream.await_event(), gun.StreamClosed)
        self.end(world)

    def test_neighbours(self) -> None:
        """Over HTTP/2 a connection that is lost ends each of its streams once."""
        told = RecordingReceiver()
        world = self.up(owner=told, reply_to=told)
        streams = [world.connection.ws_upgrade("/")]
        if self.http2:
            streams += [world.connection.ws_upgrade("/2"), world.connection.get("/")]
        world.pump()
        world.peer.abort()
        world.pump()
        for stream in streams:
            self.assertIsInstance(self.told_once(told, stream), gun.Error)
        (down,) = told.of(gun.Down)
        self.assertEqual((set(down.killed_streams), len(down.killed_streams)), (set(streams), len(streams)))
        self.assertEqual(down.unprocessed_streams, ())
        self.end(world)


class FaultTests(WebsocketCase):
    """Over HTTP/2, ends of the whole connection that we decide on."""

    http = "http2"
    over = ("http2",)

    def check(self, world: MemoryGun, told: RecordingReceiver, streams: list[Any], kind: type[gun.GunError]) -> None:
        """Each stream ends once, and is listed as killed, once."""
        for stream in streams:
            self.assertIsInstance(self.told_once(told, stream), gun.Error)
        (down,) = told.of(gun.Down)
        self.assertIsInstance(down.reason, kind)
        self.assertEqual((set(down.killed_streams), len(down.killed_streams)), (set(streams), len(streams)))
        self.end(world)

    def test_violation(self) -> None:
        """A frame that breaks HTTP/2."""
        world, stream, told = self.told(retry=0)
        other = world.connection.get("/")
        world.pump()
        world.peer.send(frame(FrameType.DATA, 0, 0, b"no stream"))
        world.pump()
        self.check(world, told, [stream, other], gun.ProtocolViolation)

    def test_keepalive(self) -> None:
        """A server that answers no PING of the connection's own keepalive."""
        world, stream, told = self.told(http2_opts={"keepalive": 1.0, "keepalive_tolerance": 1}, retry=0)
        world.peer.acknowledge = False
        for _ in range(5):
            world.advance(1)
        self.check(world, told, [stream], gun.GunError)

    def test_ended_before(self) -> None:
        """What has ended before is not listed."""
        world, stream, told = self.told()
        stream.ws_send(gun.Close(1000))
        world.pump()
        world.peer.abort()
        world.pump()
        self.assertEqual(told.of(gun.Down)[0].killed_streams, ())
        self.assert_told_in_order(told)
        self.end(world)


class CutTests(WebsocketCase):
    """The peer ends the connection after so many bytes of a response, frames and a Close (limits.md, fault 2)."""

    cores = ("own",)

    def script(self, peer: Any) -> bytes:
        """All that the server says of a websocket."""
        written: list[bytes] = []
        peer.send_raw = written.append
        if self.http2:
            peer.send = written.append
        peer.end.accept()
        peer.end.send("grüße")
        peer.end.send(b"x" * 130, piece=64)
        peer.end.send(gun.Ping(b"p"))
        peer.end.close(1000, "bye")
        del peer.send_raw
        return b"".join(written)

    def test_at_every_byte(self) -> None:
        """Wherever it comes, by RST or FIN: one end of the stream, nothing after it, up and down in turn, and the lists are true."""
        for how in ("abort", "close"):
            offset, length = 0, 1
            while offset <= length:
                told = RecordingReceiver()
                world = self.up(end={"accept": False}, owner=told, reply_to=told, retry=0)
                stream = world.connection.ws_upgrade("/")
                world.pump()
                said = self.script(world.peer)
                length = len(said)
                world.peer.transport.write(said[:offset])
                world.pump()
                (world.peer.transport.abortConnection if how == "abort" else world.peer.transport.loseConnection)()
                world.advance(15)
                last = self.told_once(told, stream)
                self.assertIs(type(last), gun.Ws if offset == length else gun.Error, (how, offset))
                (down,) = told.of(gun.Down)
                self.assertEqual(down.killed_streams, () if offset == length else (stream,), (how, offset))
                self.assertEqual(down.unprocessed_streams, ())
                self.assert_nothing_left(world)
                offset += 1
            self.assertGreater(offset, 150)


class CancelTests(WebsocketCase):
    """`Stream.cancel`."""

    def test_open(self) -> None:
        """It ends at once, without a Close; nothing is told any more, and who awaits it fails. Over HTTP/2 the stream is reset."""
        world, stream = self.upgraded()
        end, peer = world.peer.end, world.peer
        event = stream.await_event()
        other = world.connection.get("/") if self.http2 else None
        end.send("too late")
        stream.cancel()
        self.failureResultOf(event, gun.StreamClosed)
        self.assertTrue(stream.ended)
        self.assertRaises(gun.BadState, stream.ws_send, "cancelled")
        world.pump()
        self.assertIsNotNone(end.lost)
        self.assertEqual(end.raw_frames, [])
        if other is None:
            (down,) = world.owner.of(gun.Down)
            self.assertEqual((down.protocol, down.killed_streams), ("ws", ()))
            self.assertEqual(world.endpoint.attempts, 2)
        else:
            self.assertEqual(peer.requests[0].reset, ErrorCode.CANCEL)
            peer.respond(peer.requests[1], 200, {}, b"alive")
            world.pump()
            self.assertEqual(self.successResultOf(other.await_body()), b"alive")
        self.end(world)

    def test_told_nothing(self) -> None:
        """A receiver is told nothing after it, whatever was on its way."""
        for late in (("send", "late"), ("close",), ("send_raw", b"\xff\xff"), ("drop",)):
            world, stream, told = self.told()
            told.clear()
            getattr(world.peer.end, late[0])(*late[1:])
            stream.cancel()
            world.pump()
            self.assertEqual([event for event in told.events if getattr(event, "stream", None) is stream], [])
            self.end(world)

    def test_from_within(self) -> None:
        """Cancelled from within `gun_ws` it takes no more at once: no frames, by the stream or the connection, and no ping."""
        refused: list[str] = []

        def react(event: Any) -> None:
            if isinstance(event, gun.Ws):
                stream, connection = event.stream, event.stream.connection
                stream.cancel()
                calls: dict[str, Any] = {"stream": lambda: stream.ws_send("late"), "connection": lambda: connection.ws_send("late")}
                if not self.http2:
                    calls["ping"] = connection.ping
                for name, call in calls.items():
                    try:
                        call()
                    except gun.BadState:
                        refused.append(name)
                stream.write(b"late")

        world, _, _ = self.told(told=RecordingReceiver(react))
        end = world.peer.end
        end.send("now")
        end.send("late")
        world.pump()
        self.assertEqual(refused, ["stream", "connection"] if self.http2 else ["stream", "connection", "ping"])
        self.assertEqual(end.raw_frames, [])
        self.assertIsNotNone(end.lost)
        self.end(world)

    def test_waiting(self) -> None:
        """Cancelled before it was sent, nothing is; cancelled while it waits for the answer, nothing comes of that."""
        told = RecordingReceiver()
        world = self.world(reply_to=told)
        world.connection.ws_upgrade("/").cancel()
        world.pump()
        self.assertEqual(world.peer.requests, [])
        self.end(world)
        for answer in ("accept", "refuse"):
            world = self.up(end={"accept": False}, reply_to=told)
            stream = world.connection.ws_upgrade("/")
            world.pump()
            peer = world.peer
            stream.cancel()
            if not self.http2:
                getattr(peer.end, answer)()
            world.pump()
            self.assertEqual(told.events, [])
            if self.http2:
                self.assertEqual(peer.requests[0].reset, ErrorCode.CANCEL)
            else:
                self.assertEqual(len(world.peers), 2 if answer == "accept" else 1)
            again = world.connection.ws_upgrade("/", reply_to=None)
            world.pump()
            world.peer.end.accept()
            world.pump()
            self.successResultOf(again.await_upgrade())
            self.end(world)

    def test_while_closing(self) -> None:
        """It cuts a closing handshake short."""
        world, stream, told = self.told(end={"answer_close": False})
        end = world.peer.end
        stream.ws_send(gun.Close(1000))
        world.pump()
        told.clear()
        stream.cancel()
        world.pump()
        self.assertIsNotNone(end.lost)
        self.assertEqual([event for event in told.events if hasattr(event, "stream")], [])
        self.end(world)

    def test_awaiting_timed_out(self) -> None:
        """That an await timed out, or was cancelled, ends no websocket."""
        world, stream = self.upgraded(end={"echo": True})
        waiting = stream.await_event(timeout=1)
        world.advance(1)
        self.failureResultOf(waiting, gun.TimedOut)
        stream.await_event().addErrback(lambda _: None).cancel()
        stream.ws_send("alive")
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Text("alive"))
        self.end(world)


class FrameOfTheEndTests(WebsocketCase):
    """What ends a stream of HTTP/2 (RFC 8441 section 5)."""

    http = "http2"
    over = ("http2",)

    def test_ends_of_stream(self) -> None:
        """After a closing handshake both sides end the stream; none is reset, and the connection's own frames go on."""
        world, stream, _ = self.told()
        stream.ws_send(gun.Close(1000))
        world.pump()
        peer = world.peer
        self.assertTrue(peer.requests[0].complete)
        self.assertIsNone(peer.requests[0].reset)
        self.assertEqual([frame for frame in peer.frames if frame[0] in (FrameType.RST_STREAM, FrameType.GOAWAY)], [])
        ping = world.connection.ping()
        world.pump()
        self.successResultOf(ping)
        self.end(world)


globals().update(variants(__name__))
