"""What an event handler is told of websockets, over each protocol and by each core: the upgrade, each frame, and the end."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.observing import ObservedCase
from tests.websocket_stage import WebsocketCase, variants
from twisted_gun.net.trace import Traced
from twisted_gun.observers import EventHandler, wants_frames
from twisted_gun.testing import Opcode, RecordingReceiver, server_frame

SENT = ["ws_upgrade", "request_start", "request_headers", "request_end"]
READ = ["ws_recv_frame_start", "ws_recv_frame_header", "ws_recv_frame_end"]
WRITTEN = ["ws_send_frame_start", "ws_send_frame_end"]
DEFLATE = ("permessage-deflate",)


class ObservedWebsocketCase(WebsocketCase, ObservedCase):
    """A websocket, of whose beginning the record is empty."""

    @property
    def opened(self) -> list[str]:
        """What is told of the answer that grants one."""
        over = ["response_start", "response_headers", "response_end"] if self.http2 else ["response_start", "response_inform"]
        return [*over, "protocol_changed"]

    def begun(self, script: Any = (), **options: Any) -> tuple[Any, Any]:
        """The world, and the websocket's stream."""
        world, stream, _ = self.told(script, **options)
        self.recorder.take()
        return world, stream

    def peer(self, world: Any) -> Any:
        """The peer's end of the websocket."""
        return world.peer.ends[-1] if self.http2 else world.peer

    def finish(self, world: Any, *names: str) -> None:
        """Close the connection; `names`, and the end, are what is told."""
        self.end(world)
        self.assertEqual(self.recorder.take(), [*names, "disconnect", "terminate"])


class UpgradeTests(ObservedWebsocketCase):
    """The upgrade."""

    def test_granted(self) -> None:
        """Gun's order: over HTTP/1.1 the 101 is an interim response, over HTTP/2 a response is over before the protocol changes."""
        world = self.world(retry=0)
        world.pump()
        self.assertEqual(self.recorder.take(), ["init", "connect_start", "connect_end"])
        told = RecordingReceiver()
        stream = world.connection.ws_upgrade("/chat", {"x": "y"}, reply_to=told)
        world.pump()
        self.assertEqual(self.recorder.names(), SENT + self.opened)
        self.assertEqual(self.recorder.names(stream), SENT + self.opened)
        asked, head = self.recorder.one("ws_upgrade"), self.recorder.one("request_start")
        self.assertEqual((asked.opts, asked.reply_to), (world.connection._options.ws_opts, told))
        self.assertEqual((head.function, head.method), ("ws_upgrade", b"CONNECT" if self.http2 else b"GET"))
        self.assertEqual((head.path, head.authority), (b"/chat", b"example.org"))
        self.assertIn((b"x", b"y"), head.headers)
        self.assertIn((b"sec-websocket-version", b"13"), head.headers)
        answer = self.recorder.one("response_headers" if self.http2 else "response_inform")
        self.assertEqual(answer.status, 200 if self.http2 else 101)
        self.assertEqual(answer.headers, told.of(gun.Upgrade)[0].headers)
        changed = self.recorder.one("protocol_changed")
        self.assertEqual((changed.connection, changed.stream, changed.protocol), (world.connection, stream, "ws"))
        self.recorder.take()
        self.finish(world)

    def test_before_the_receiver(self) -> None:
        """All of that is told before the receiver hears of the upgrade, and so before a frame that it sends."""

        def send(event: Any) -> None:
            if isinstance(event, gun.Upgrade):
                event.stream.ws_send("hello")

        world = self.up()
        self.recorder.take()
        world.connection.ws_upgrade("/", reply_to=RecordingReceiver(send))
        world.pump()
        self.assertEqual(self.recorder.take(), SENT + self.opened + WRITTEN)
        self.end(world)

    def test_refused(self) -> None:
        """A server that does not grant it answers as any other request."""
        world = self.up(end={"refuse": 404}, retry=0)
        self.recorder.take()
        world.connection.ws_upgrade("/")
        world.pump()
        self.assertEqual(self.recorder.of("response_headers")[0].status, 404)
        self.assertEqual(self.recorder.take()[:7], [*SENT, "response_start", "response_headers", "response_end"])
        self.end(world)

    def test_bad_answer(self) -> None:
        """An answer that is none ends the stream from here, before any protocol has changed."""
        world = self.up(end={"accept": False}, retry=0)
        world.connection.ws_upgrade("/")
        world.pump()
        self.recorder.take()
        self.peer(world).accept(headers={"sec-websocket-protocol": "unasked"})
        world.pump()
        self.assertEqual(self.recorder.one("cancel").endpoint, "local")
        self.assertIsInstance(self.recorder.one("cancel").reason, gun.ProtocolViolation)
        told = [*self.opened[:-1], "cancel"]
        self.assertEqual(self.recorder.take()[: len(told)], told)
        self.end(world)


class FramesTests(ObservedWebsocketCase):
    """Frames, as they are on the wire."""

    def test_received(self) -> None:
        """A message of one frame, and every field."""
        world, stream = self.begun()
        for sent, kind, payload in (("grüße", "text", "grüße".encode()), (b"x" * 70_000, "binary", b"x" * 70_000), ("", "text", b"")):
            self.peer(world).send(sent)
            world.pump()
            self.assertEqual(self.recorder.names(stream), READ)
            start, header, end = (event for _, event in self.recorder.told)
            self.assertEqual((start.frag_state, start.extensions), (None, ()))
            self.assertEqual((header.frag_state, header.extensions), (None, ()))
            self.assertEqual((header.type, header.rsv, header.len, header.mask_key), (kind, 0, len(payload), None))
            self.assertEqual((end.extensions, end.close_code, end.payload), ((), None, payload))
            self.assertEqual(self.recorder.take(), READ)
        self.finish(world)

    def test_before_the_message(self) -> None:
        """The handler hears of a frame before the receiver does of its message."""
        heard: list[str] = []
        self.recorder.react = lambda name, event: heard.append(name)
        world, _ = self.begun(told=RecordingReceiver(lambda event: heard.append(event.told_as)))
        heard.clear()
        self.peer(world).send("one")
        self.peer(world).send("two")
        world.pump()
        self.assertEqual(heard, [*READ, "gun_ws"] * 2)
        self.end(world)

    def test_fragments(self) -> None:
        """The parts of a message, with a ping between them, which is answered there and then."""
        world, _ = self.begun()
        end = self.peer(world)
        end.send_raw(server_frame(Opcode.TEXT, b"a", fin=False))
        end.send_raw(server_frame(Opcode.PING, b"p"))
        end.send_raw(server_frame(Opcode.CONTINUATION, b"bc", fin=False))
        end.send_raw(server_frame(Opcode.CONTINUATION, b"d"))
        world.pump()
        self.assertEqual(self.recorder.names(), [*READ, *READ, *WRITTEN, *READ, *READ])
        more, last = ("nofin", "text", 0), ("fin", "text", 0)
        self.assertEqual([each.frag_state for each in self.recorder.of("ws_recv_frame_start")], [None, more, more, more])
        self.assertEqual([each.frag_state for each in self.recorder.of("ws_recv_frame_header")], [more, more, more, last])
        self.assertEqual([each.type for each in self.recorder.of("ws_recv_frame_header")], ["text", "ping", "fragment", "fragment"])
        self.assertEqual([each.payload for each in self.recorder.of("ws_recv_frame_end")], [b"a", b"p", b"bc", b"d"])
        for name in WRITTEN:
            self.assertEqual(self.recorder.one(name).frame, gun.Pong(b"p"))
        self.recorder.take()
        self.finish(world)

    def test_compressed(self) -> None:
        """What is compressed: the size on the wire, and the payload that it was; and what is sent is told as it was given."""
        end = {"extensions": "permessage-deflate"}
        world, stream = self.begun(end=end, ws_opts={"compress": True})
        text = "the same again and again " * 100
        self.peer(world).send(text)
        world.pump()
        header, read = self.recorder.one("ws_recv_frame_header"), self.recorder.one("ws_recv_frame_end")
        self.assertEqual((header.rsv, header.extensions, read.payload), (4, DEFLATE, text.encode()))
        self.assertLess(header.len, len(text))
        self.assertEqual(self.recorder.take(), READ)
        stream.ws_send(text)
        self.assertEqual(self.recorder.one("ws_send_frame_start").frame, gun.Text(text))
        self.assertEqual(self.recorder.one("ws_send_frame_end").extensions, DEFLATE)
        self.assertEqual(self.recorder.take(), WRITTEN)
        self.finish(world)

    def test_sent(self) -> None:
        """What is sent, short or long, alone or with others, is told frame by frame, and goes out in its order."""
        world, stream = self.begun()
        frames = ["text", b"bytes", gun.Text("x" * 70_000), gun.Ping(b"p"), gun.Pong(b"q")]
        for frame in frames[:2]:
            stream.ws_send(frame)
        stream.ws_send(frames[2:])
        self.assertEqual(
            [event.frame for event in self.recorder.of("ws_send_frame_start")], [gun.Text("text"), gun.Binary(b"bytes"), *frames[2:]]
        )
        self.assertEqual(self.recorder.of("ws_send_frame_end"), self.recorder.of("ws_send_frame_start"))
        self.assertEqual(self.recorder.take(), WRITTEN * 5)
        world.pump()
        self.assertEqual(self.peer(world).frames[:2], [gun.Text("text"), gun.Binary(b"bytes")])
        self.assertEqual(self.peer(world).frames[3:5], [gun.Ping(b"p"), gun.Pong(b"q")])
        self.recorder.take()
        self.finish(world)

    def test_sends_from_within(self) -> None:
        """What a callback sends goes behind the frame that it is told of."""
        world, stream = self.begun()
        again = ["behind"]

        def react(name: str, event: Any) -> None:
            if name == "ws_send_frame_start" and again:
                stream.ws_send(again.pop())

        self.recorder.react = react
        stream.ws_send(["one", "two"])
        world.pump()
        self.assertEqual(self.peer(world).frames, [gun.Text("one"), gun.Text("two"), gun.Text("behind")])
        self.end(world)

    def test_keepalive(self) -> None:
        """The pings of keepalive, and those that are asked for."""
        world, _ = self.begun(ws_opts={"keepalive": 5.0}, end={"answer_pings": False})
        world.advance(5.0)
        self.assertEqual(self.recorder.one("ws_send_frame_start").frame, gun.Ping(b""))
        self.assertEqual(self.recorder.take(), WRITTEN)
        if not self.http2:
            world.connection.ping().addErrback(lambda failure: failure.trap(gun.StreamClosed))
            self.assertIn(b"gun ping", self.recorder.one("ws_send_frame_end").frame.data)
            self.assertEqual(self.recorder.take(), WRITTEN)
        self.end(world)

    def test_withheld(self) -> None:
        """A frame that its receiver has no use for yet has not begun."""
        world, stream = self.begun(ws_opts={"flow": 1})
        self.peer(world).send("one")
        self.peer(world).send("two")
        world.pump()
        self.assertEqual(self.recorder.take(), READ)
        stream.update_flow(1)
        world.pump()
        self.assertEqual(self.recorder.take(), READ)
        self.end(world)


class NoFramesTests(ObservedWebsocketCase):
    """A handler that leaves the callbacks of frames as they are."""

    def test_not_asked_for(self) -> None:
        """It is told of all else; frames take the ways that they have without a handler."""

        class Changes(EventHandler):
            """Keeps what changed."""

            def __init__(self) -> None:
                self.told: list[Any] = []

            def protocol_changed(self, event: Any) -> None:
                self.told.append(event.protocol)

            def cancel(self, event: Any) -> None:
                self.told.append(event.endpoint)

        handler = Changes()
        world, stream, told = self.told(event_handler=handler, end={"echo": True}, retry=0)
        stream.ws_send("hello")
        stream.ws_send(b"x" * 1000)
        world.pump()
        self.assertEqual([event.frame for event in told.of(gun.Ws)], [gun.Text("hello"), gun.Binary(b"x" * 1000)])
        stream.cancel()
        self.assertEqual(handler.told, ["ws", "local"])
        self.end(world)

    def test_wants_frames(self) -> None:
        """One that is no `EventHandler`, or has any of them of its own, by its class or by itself, is told."""
        self.assertFalse(wants_frames(EventHandler()))
        self.assertTrue(wants_frames(self.recorder))
        handler = EventHandler()
        handler.ws_recv_frame_end = lambda event: None  # type: ignore[method-assign]
        self.assertTrue(wants_frames(handler))
        self.assertTrue(wants_frames(Traced("name", None)))


class EndsTests(ObservedWebsocketCase):
    """How it ends."""

    def test_closed_by_peer(self) -> None:
        """A Close from the server, with its code and its reason, and the answer to it; nothing was cut off when the connection ends."""
        world, stream = self.begun(retry=0)
        self.peer(world).close(1001, "bye")
        world.pump()
        world.advance(5.0)
        read = self.recorder.one("ws_recv_frame_end")
        self.assertEqual((self.recorder.one("ws_recv_frame_header").type, read.close_code, read.payload), ("close", 1001, b"bye"))
        self.assertEqual(self.recorder.one("ws_send_frame_start").frame, gun.Close(1001))
        if self.http2:
            self.assertEqual(self.recorder.take(), READ + WRITTEN)
            self.finish(world)
        else:
            self.assertEqual(self.recorder.one("disconnect").streams, ())
            self.assertEqual(self.recorder.take(), [*READ, *WRITTEN, "disconnect", "terminate"])
        self.assertTrue(stream.ended)

    def test_closed_from_here(self) -> None:
        """A Close from here, and the server's answer."""
        world, stream = self.begun(retry=0)
        stream.ws_send(gun.Close(1000, "done"))
        self.assertEqual(self.recorder.one("ws_send_frame_end").frame, gun.Close(1000, "done"))
        self.assertEqual(self.recorder.take(), WRITTEN)
        world.pump()
        world.advance(5.0)
        self.assertEqual(self.recorder.one("ws_recv_frame_end").close_code, 1000)
        self.assertEqual(self.recorder.take()[:3], READ)
        self.end(world)

    def test_empty_close(self) -> None:
        """A Close may have no code."""
        world, _ = self.begun(retry=0)
        self.peer(world).close()
        world.pump()
        self.assertIsNone(self.recorder.one("ws_recv_frame_end").close_code)
        self.assertEqual(self.recorder.one("ws_send_frame_end").frame, gun.Close())
        self.end(world)

    def test_failed(self) -> None:
        """A frame that no server may send: a Close says so, and the stream is cancelled from here, once."""
        world, stream = self.begun(retry=0)
        self.peer(world).send_raw(server_frame(Opcode.CONTINUATION, b"of nothing"))
        world.pump()
        cancelled = self.recorder.one("cancel")
        self.assertEqual((cancelled.stream, cancelled.endpoint), (stream, "local"))
        self.assertIsInstance(cancelled.reason, gun.ProtocolViolation)
        self.assertEqual(self.recorder.one("ws_send_frame_start").frame.code, 1002)
        self.assertEqual([name for name in self.recorder.take() if not name.startswith("ws_recv")][:3], [*WRITTEN, "cancel"])
        self.end(world)

    def test_cancelled(self) -> None:
        """`cancel` ends it at once."""
        world, stream = self.begun(retry=0)
        stream.cancel()
        self.assertEqual((self.recorder.one("cancel").stream, self.recorder.one("cancel").endpoint), (stream, "local"))
        world.pump()
        self.assertEqual(self.recorder.of("disconnect"), [] if self.http2 else [self.recorder.told[1][1]])
        self.end(world)
        self.assertEqual(self.recorder.one("disconnect").streams, ())
        self.assertEqual(self.recorder.take(), ["cancel", "disconnect", "terminate"])

    def test_lost(self) -> None:
        """It is cut off with its connection."""
        world, stream = self.begun(retry=0)
        world.peer.abort()
        world.pump()
        self.assertEqual(self.recorder.one("disconnect").streams, (stream,))
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_shutdown(self) -> None:
        """A shutdown closes it in good order."""
        world, _ = self.begun()
        world.connection.shutdown()
        world.pump()
        world.advance(5.0)
        world.pump()
        self.assertEqual(self.recorder.one("ws_send_frame_start").frame, gun.Close(1001))
        self.assertEqual(self.recorder.one("disconnect").streams, ())
        self.assertEqual(self.recorder.take(), [*WRITTEN, *READ, "disconnect", "terminate"])


class Http2EndsTests(ObservedWebsocketCase):
    """What is HTTP/2's own, where other streams go on."""

    http = "http2"
    over = ("http2",)

    def test_reset(self) -> None:
        """The server resets the stream of the websocket."""
        world, stream = self.begun()
        world.peer.reset(world.peer.requests[0], 8)
        world.pump()
        cancelled = self.recorder.one("cancel")
        self.assertEqual((cancelled.stream, cancelled.endpoint), (stream, "remote"))
        self.assertEqual(self.recorder.take(), ["cancel"])
        self.end(world)

    def test_no_websockets(self) -> None:
        """A server that takes none is not asked for any."""
        world = self.world(retry=0, end={"settings": {"enable_connect_protocol": 0}})
        world.pump()
        self.recorder.take()
        stream = world.connection.ws_upgrade("/")
        world.pump()
        self.assertTrue(stream.ended)
        self.assertEqual(self.recorder.take(), [])
        self.end(world)

    def test_forgotten(self) -> None:
        """Of websockets that are closed nothing is kept while the connection lives on."""
        world, _ = self.begun()
        for _ in range(3):
            stream = world.connection.ws_upgrade("/", reply_to=None)
            world.pump()
            stream.ws_send(gun.Close(1000))
            world.pump()
            world.advance(5.0)
        observer: Any = world.connection._route
        self.assertEqual(len(observer._observer._carrying), 1)
        self.end(world)


globals().update(variants(__name__))
