"""Not too much at a time: the flow of a websocket, a mailbox nobody reads, producers, and a peer that takes nothing."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import twisted_gun as gun
from tests.producers import MUCH, Pull, Push
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver


class FlowTests(WebsocketCase):
    """`flow` and `update_flow`."""

    def test_exact(self) -> None:
        """So many frames are told as flow allows, and not one more, however many come in one segment; the rest is kept in order."""
        for flow in (1, 2, 5):
            world, stream, told = self.told(ws_opts={"flow": flow})
            for number in range(10):
                world.peer.end.send(f"{number}")
            world.pump()
            self.assertEqual(len(frames(told)), flow)
            for more in (1, 2):
                before = len(frames(told))
                stream.update_flow(more)
                world.pump()
                self.assertEqual(len(frames(told)), before + more)
            stream.update_flow(100)
            world.pump()
            self.assertEqual(frames(told), [gun.Text(f"{number}") for number in range(10)])
            self.end(world)

    def test_each_kind(self) -> None:
        """Each frame costs one, of whatever size and in however many fragments; pings and pongs where they are told."""
        world, stream, told = self.told(ws_opts={"flow": 1, "silence_pings": False})
        sent = [gun.Text("a" * 200), gun.Binary(b"b" * 70_000), gun.Ping(b"p"), gun.Pong(b"q"), gun.Text("")]
        for frame in sent:
            world.peer.end.send(frame, piece=None if isinstance(frame, (gun.Ping, gun.Pong)) else 1000)
        for number in range(len(sent)):
            world.pump()
            self.assertEqual(frames(told), sent[: number + 1])
            stream.update_flow(1)
        self.end(world)

    def test_silent_pings(self) -> None:
        """Pings that are not told cost nothing, and are answered."""
        world, _, told = self.told(ws_opts={"flow": 1})
        for _ in range(5):
            world.peer.end.send(gun.Ping(b"p"))
        world.peer.end.send("one")
        world.pump()
        self.assertEqual(frames(told), [gun.Text("one")])
        self.assertEqual(world.peer.end.frames, [gun.Pong(b"p")] * 5)
        self.end(world)

    def test_in_advance(self) -> None:
        """What is allowed before it is used adds up."""
        world, stream, told = self.told(ws_opts={"flow": 1})
        stream.update_flow(3)
        for number in range(10):
            world.peer.end.send(f"{number}")
        world.pump()
        self.assertEqual(len(frames(told)), 4)
        self.end(world)

    def test_before_the_upgrade(self) -> None:
        """So does what is allowed before the websocket is there: while it is queued, and while it waits for its answer."""
        for queued in (True, False):
            told = RecordingReceiver()
            world = self.world(ws_opts={"flow": 1}, end={"accept": False}, reply_to=told)
            if not queued:
                world.pump()
            stream = world.connection.ws_upgrade("/")
            if not queued:
                world.pump()
            stream.update_flow(3)
            world.pump()
            world.peer.end.accept()
            for number in range(10):
                world.peer.end.send(f"{number}")
            world.pump()
            self.assertEqual(len(frames(told)), 4, queued)
            self.end(world)

    def test_where_it_is_given(self) -> None:
        """At open, at the upgrade among its options, or as an option of the request, which goes before; None there is no limit."""
        ways: tuple[tuple[dict[str, Any], dict[str, Any], int], ...] = (
            ({"flow": 2}, {}, 2),
            ({"flow": 2}, {"ws_opts": {"flow": 3, "core": self.core}}, 3),
            ({"flow": 2}, {"ws_opts": {"core": self.core}}, 5),
            ({"flow": 2}, {"flow": 4}, 4),
            ({"flow": 2}, {"flow": 4, "ws_opts": {"flow": 3, "core": self.core}}, 4),
            ({"flow": 2}, {"flow": None}, 5),
            ({}, {}, 5),
        )
        for opened, asked, expected in ways:
            told = RecordingReceiver()
            world = self.up(ws_opts=opened, reply_to=told)
            world.connection.ws_upgrade("/", **asked)
            world.pump()
            for number in range(5):
                world.peer.end.send(f"{number}")
            world.pump()
            self.assertEqual(len(frames(told)), expected, (opened, asked))
            self.end(world)

    def test_not_of_the_connection(self) -> None:
        """The flow of http_opts and http2_opts is that of responses: it does not hold a websocket back."""
        options: dict[str, Any] = {"http_opts": {"flow": 1}, "http2_opts": {"flow": 1}}
        world, _, told = self.told(**options)
        for number in range(5):
            world.peer.end.send(f"{number}")
        world.pump()
        self.assertEqual(len(frames(told)), 5)
        self.end(world)

    def test_close_costs_too(self) -> None:
        """A Close waits as any frame does; the connection's end brings what waits."""
        for lost in (False, True):
            world, stream, told = self.told(ws_opts={"flow": 1}, retry=0)
            end = world.peer.end
            end.send("one")
            end.close(1000)
            world.pump()
            self.assertEqual(frames(told), [gun.Text("one")])
            if lost:
                world.endpoint.links[-1].client.connectionLost(_done())
            else:
                stream.update_flow(1)
            world.pump()
            self.assertEqual(self.told_once(told, stream), gun.Ws(stream=stream, frame=gun.Close(1000)))
            self.end(world)

    def test_bad_increments(self) -> None:
        """Only whole numbers above 0 are allowed; without flow, and after the end, it has no effect."""
        world, stream, _ = self.told(retry=0)
        for wrong in (0, -1, 1.5, "1", None, True):
            if wrong is not True:
                self.assertRaises(gun.InvalidRequest, stream.update_flow, wrong)
        stream.update_flow(5)
        stream.ws_send(gun.Close(1000))
        world.pump()
        stream.update_flow(5)
        self.end(world)

    def test_holds_the_peer_back(self) -> None:
        """Who is not allowed more stops the peer: over HTTP/1.1 nothing is read, over HTTP/2 the window is not opened."""
        options: dict[str, Any] = {
            "http2_opts": {
                "initial_stream_window_size": 65_536,
                "initial_connection_window_size": 1_000_000,
                "stream_window_margin_size": 0,
            }
        }
        world, stream, told = self.told(ws_opts={"flow": 1}, **options)
        for _ in range(100):
            world.peer.end.send(bytes(10_000))
        world.pump()
        self.assertEqual(len(frames(told)), 1)
        waiting = world.peer.unsent(world.peer.requests[0]) if self.http2 else world.endpoint.links[-1].server.buffered
        self.assertGreater(waiting, 700_000)
        for _ in range(99):
            stream.update_flow(1)
            world.pump()
        self.assertEqual(len(frames(told)), 100)
        self.end(world)


class NeighbourTests(WebsocketCase):
    """Over HTTP/2 a websocket that is held back holds back nobody else (limits.md, fault 18)."""

    http = "http2"
    over = ("http2",)

    def test_others(self) -> None:
        """Requests, pings and another websocket go on."""
        world, stream, told = self.told(ws_opts={"flow": 1})
        first = world.peer.ends[0]
        for _ in range(50):
            first.send(bytes(10_000))
        world.pump()
        other = world.connection.ws_upgrade("/other", flow=None)
        body = world.connection.get("/", reply_to=None).await_body()
        ping = world.connection.ping()
        world.pump()
        world.peer.ends[1].send("hello")
        world.peer.respond(world.peer.requests[2], 200, {}, b"alive")
        world.pump()
        self.assertEqual(frames(told, other), [gun.Text("hello")])
        self.assertEqual(self.successResultOf(body), b"alive")
        self.successResultOf(ping)
        self.assertEqual(len(frames(told, stream)), 1)
        self.end(world)


class MailboxTests(WebsocketCase):
    """A mailbox that nobody reads."""

    def offered(self, world: MemoryGun, count: int, frame: Any) -> None:
        """Let the peer send it so often."""
        for _ in range(count):
            world.peer.end.send(frame)
        world.pump()

    def test_bounded(self) -> None:
        """It takes about 64 KiB and what has been read at once; the rest waits at the peer; reading lets it go on, and nothing is lost."""
        for frame, count in ((b"x" * 1000, 1000), ("x" * 1000, 1000)):
            world, stream = self.upgraded(
                http2_opts={
                    "initial_stream_window_size": 65_536,
                    "initial_connection_window_size": 1_000_000,
                    "stream_window_margin_size": 0,
                }
            )
            self.offered(world, count, frame)
            self.assertLess(stream._unread, 3 * 64 * 1024)
            waiting = world.peer.unsent(world.peer.requests[0]) if self.http2 else world.endpoint.links[-1].server.buffered
            self.assertGreater(waiting, 0)
            read = 0
            while read < count:
                self.next_frame(stream)
                read += 1
                if not stream._events:
                    world.pump()
            self.assertEqual(world.connection.info().state_name, "connected")
            self.end(world)

    def test_keepalive_waits(self) -> None:
        """While the mailbox is full nothing is heard of the peer, which is no sign of death (limits.md, fault 19)."""
        world, stream = self.upgraded(ws_opts={"keepalive": 10.0, "ping_timeout": 5.0}, end={"answer_pings": False})
        self.offered(world, 300, b"x" * 1000)
        world.advance(1000)
        self.assertFalse(stream.ended)
        self.end(world)

    def test_end_behind(self) -> None:
        """The end comes behind what was not read, whether that is a Close or a loss."""
        for well in (True, False):
            world, stream = self.upgraded(retry=0)
            self.offered(world, 200, b"x" * 1000)
            (world.peer.end.close if well else world.peer.end.drop)()
            world.pump()
            for _ in range(200):
                self.assertEqual(self.next_frame(stream), gun.Binary(b"x" * 1000))
                world.pump()
            if well:
                self.assertEqual(self.next_frame(stream), gun.Close())
            else:
                self.failureResultOf(stream.await_event(), gun.StreamClosed)
            self.end(world)

    def test_cancelled(self) -> None:
        """Cancelled while it holds the peer back, it holds back nobody any more."""
        world, stream = self.upgraded()
        self.offered(world, 200, b"x" * 1000)
        stream.cancel()
        world.pump()
        body = world.connection.get("/", reply_to=None).await_body() if self.http2 else None
        world.pump()
        if body is not None:
            world.peer.respond(world.peer.requests[1], 200, {}, b"x" * 300_000)
            world.pump()
            self.assertEqual(len(self.successResultOf(body)), 300_000)
        else:
            self.assertEqual(world.endpoint.attempts, 2)
        self.end(world)

    def test_receiver_is_not_held(self) -> None:
        """Who is told is told all of it."""
        world, _, told = self.told()
        self.offered(world, 1000, b"x" * 1000)
        self.assertEqual(len(frames(told)), 1000)
        self.end(world)

    def test_flush(self) -> None:
        """Flushed, it lets the peer go on."""
        world, stream = self.upgraded()
        self.offered(world, 100, b"x" * 1000)
        stream.flush()
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Binary(b"x" * 1000))
        self.end(world)


class ProducerTests(WebsocketCase):
    """A stream that is a websocket is an `IConsumer`, of binary messages."""

    def test_write(self) -> None:
        """Each `write` is a binary message."""
        world, stream = self.upgraded()
        stream.write(b"one")
        stream.write(b"two")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Binary(b"one"), gun.Binary(b"two")])
        self.end(world)

    def stop(self, world: MemoryGun) -> Any:
        """Let the peer take nothing any more; its transport."""
        server = world.endpoint.links[-1].server
        server.pauseProducing()
        return server

    def test_paused(self) -> None:
        """A push producer is paused when the transport is full, and resumed when it has room."""
        world, stream = self.upgraded()
        producer = Push()
        stream.registerProducer(producer, True)
        stream.write(b"x" * 1000)
        world.pump()
        self.assertEqual(producer.asked, [])
        server = self.stop(world)
        for _ in range(3):
            stream.write(MUCH)
        world.pump()
        self.assertEqual(producer.asked, ["pause"])
        server.resumeProducing()
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        stream.unregisterProducer()
        self.assertEqual(len(world.peer.end.frames), 4)
        self.end(world)

    def test_paused_within_a_turn(self) -> None:
        """It is paused within the turn in which it writes: what it writes without end does not pile up."""
        world, stream, told = self.told()
        producer = Push()
        stream.registerProducer(producer, True)
        self.stop(world)
        written = 0

        def flood(event: Any) -> None:
            nonlocal written
            while isinstance(event, gun.Ws) and not producer.asked and written < 10_000_000:
                stream.write(b"x" * 1000)
                written += 1000

        told.react = flood
        world.peer.end.send("go")
        world.pump()
        self.assertEqual(producer.asked[0], "pause")
        self.assertLess(written, 300_000)
        self.end(world)

    def test_paused_within_a_list(self) -> None:
        """What it sends when it is paused goes behind all of the list that was too much, compressed too."""
        much = Random(6455).randbytes(100_000)  # which does not get smaller
        for within in (False, True):
            world, stream, told = self.told(end={"extensions": "permessage-deflate"}, ws_opts={"compress": True})
            producer = Push(partial(_paused_first, stream, ["one two three once more"]))
            stream.registerProducer(producer, True)
            sent: list[gun.Text | gun.Binary] = [gun.Text("one two three"), gun.Binary(much), gun.Text("one two three again")]
            if within:
                told.react = partial(_answer_once, [sent])
                world.peer.end.send("go")
            else:
                stream.ws_send(sent)
            world.pump()
            self.assertEqual(producer.asked[:1], ["pause"])
            self.assertEqual(world.peer.end.frames, [*sent, gun.Text("one two three once more")])
            self.end(world)

    def test_registered_while_full(self) -> None:
        """One that is registered while the transport is full is paused at once."""
        world, stream = self.upgraded()
        server = self.stop(world)
        for _ in range(3):
            stream.write(MUCH)
        world.pump()
        producer = Push()
        stream.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])
        server.resumeProducing()
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.end(world)

    def test_pull(self) -> None:
        """A pull producer is asked again and again, as long as there is room."""
        world, stream = self.upgraded()
        pieces = [b"%d" % number for number in range(10)]

        class Writing(Pull):
            def resumeProducing(self) -> None:
                stream.write(pieces.pop(0))
                if not pieces:
                    stream.unregisterProducer()

        stream.registerProducer(Writing(stream, []), False)
        world.pump()
        self.assertEqual([frame.data for frame in world.peer.end.frames], [b"%d" % number for number in range(10)])
        self.end(world)

    def test_stopped(self) -> None:
        """It is stopped when the websocket ends, however that is."""
        for how in ("close", "drop", "cancel", "connection"):
            world, stream = self.upgraded(retry=0)
            producer = Push()
            stream.registerProducer(producer, True)
            end: Any = world.peer.end
            {"close": end.close, "drop": end.drop, "cancel": stream.cancel, "connection": world.connection.close}[how]()
            world.pump()
            self.assertEqual(producer.asked, ["stop"], how)
            stream.write(b"late")
            self.end(world)

    def test_stopped_by_our_close(self) -> None:
        """When we have sent a Close it is stopped, push or pull, before the peer has answered: nothing more may be sent."""
        for push in (True, False):
            for how in ("close", "shutdown"):
                world, stream = self.upgraded(end={"answer_close": False}, retry=0)
                producer = Push(partial(_write_when_asked, stream))
                stream.registerProducer(producer, push)
                if how == "close":
                    stream.ws_send(gun.Close(1000))
                else:
                    world.connection.shutdown()
                before = list(producer.asked)
                self.assertEqual(before[-1:], ["stop"], how)
                world.pump()
                self.assertFalse(stream.ended)
                late = Push()
                stream.registerProducer(late, push)
                self.assertEqual(late.asked, ["stop"])
                world.peer.end.close(1000)
                world.pump()
                self.assertTrue(stream.ended)
                self.assertEqual((producer.asked, late.asked), (before, ["stop"]))
                self.end(world)

    def test_after_the_end(self) -> None:
        """Registered after the end it is stopped at once; a second one beside another is refused."""
        world, stream = self.upgraded(retry=0)
        stream.registerProducer(Push(), True)
        self.assertRaises(RuntimeError, stream.registerProducer, Push(), True)
        stream.unregisterProducer()
        stream.ws_send(gun.Close(1000))
        world.pump()
        late = Push()
        stream.registerProducer(late, True)
        self.assertEqual(late.asked, ["stop"])
        self.end(world)

    def test_before_the_upgrade(self) -> None:
        """Before the upgrade there is nothing to write to: it is stopped."""
        world = self.up(end={"accept": False})
        stream = world.connection.ws_upgrade("/")
        world.pump()
        producer = Push()
        stream.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["stop"])
        stream.write(b"early")
        world.pump()
        self.assertEqual(world.peer.end.raw_frames, [])
        self.end(world)


class WindowTests(WebsocketCase):
    """Over HTTP/2 what the peer's windows do not let out waits too."""

    http = "http2"
    over = ("http2",)

    def test_paused(self) -> None:
        """A producer is paused by a window that is shut, and resumed when it opens; other streams go on meanwhile."""
        world, stream = self.upgraded(end={"open_windows": False}, http2_opts={"send_timeout": None})
        producer = Push()
        stream.registerProducer(producer, True)
        stream.write(bytes(100_000))
        world.pump()
        self.assertEqual(producer.asked, ["pause"])
        request = world.connection.get("/", reply_to=None).await_response()
        world.pump()
        world.peer.respond(world.peer.requests[1])
        world.pump()
        self.assertEqual(self.successResultOf(request).status, 200)
        world.peer.window_update(0, 200_000)
        world.peer.window_update(world.peer.requests[0], 200_000)
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.assertEqual(world.peer.end.frames, [gun.Binary(bytes(100_000))])
        self.end(world)

    def test_paused_within_a_message(self) -> None:
        """What a producer sends when it is paused goes behind the message whose very header filled the window."""
        world, stream = self.upgraded(end={"open_windows": False})
        producer = Push(partial(_paused_first, stream, ["paused"]))
        stream.registerProducer(producer, True)
        first, second = bytes(65_535 - 8), b"z" * 70_000  # the first, with its header, leaves nothing of the window
        stream.ws_send(first)
        stream.ws_send(second)
        self.assertEqual(producer.asked[:1], ["pause"])
        world.peer.window_update(0, 200_000)
        world.peer.window_update(world.peer.requests[0], 200_000)
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Binary(first), gun.Binary(second), gun.Text("paused")])
        self.end(world)

    def test_granted_while_full(self) -> None:
        """Granted while the transport is full, its producer is paused at once, and resumed when there is room."""
        world = self.up(end={"accept": False, "settings": {"initial_window_size": 1_000_000}})
        world.peer.window_update(0, 1_000_000)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        server = world.endpoint.links[-1].server
        server.pauseProducing()
        world.connection.post("/upload", (), b"x" * 300_000)
        world.pump()
        self.assertGreater(world.endpoint.links[-1].client.buffered, 65_536)
        world.peer.end.accept()
        world.pump()
        self.successResultOf(stream.await_upgrade())
        producer = Push()
        stream.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])
        server.resumeProducing()
        world.pump()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.end(world)

    def test_shut_for_ever(self) -> None:
        """A window that stays shut for http2_opts.send_timeout ends the websocket by TimedOut."""
        world, stream, told = self.told(end={"open_windows": False})
        stream.ws_send(bytes(100_000))
        world.pump()
        world.advance(15)
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, gun.TimedOut)
        self.assertEqual(told.of(gun.Down), [])
        self.end(world)


class StalledTests(WebsocketCase):
    """Over HTTP/1.1 a peer that takes nothing."""

    over = ("http",)

    def test_send_timeout(self) -> None:
        """After tcp_opts.send_timeout the connection is given up by TimedOut("write")."""
        world, stream, told = self.told(retry=0)
        world.endpoint.links[-1].server.pauseProducing()
        for _ in range(3):
            stream.ws_send(MUCH)
        world.pump()
        world.advance(14.9)
        self.assertFalse(stream.ended)
        world.advance(0.1)
        world.pump()
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, gun.TimedOut)
        self.assertEqual(reason.stage, "write")
        (down,) = told.of(gun.Down)
        self.assertEqual((down.protocol, down.reason, down.killed_streams), ("ws", reason, (stream,)))
        self.end(world)


def _paused_first(stream: gun.Stream, last: list[str], asked: str) -> None:
    """Sends the last word when it is paused, once."""
    if asked == "pause" and last:
        stream.ws_send(last.pop())


def _write_when_asked(stream: gun.Stream, asked: str) -> None:
    """Writes a little each time that it is asked to."""
    if asked == "resume":
        stream.write(b"x")


def _answer_once(answers: list[Any], event: Any) -> None:
    """Sends the next of `answers`, as long as there are any."""
    if answers:
        event.stream.ws_send(answers.pop(0))


def _done() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())


globals().update(variants(__name__))
