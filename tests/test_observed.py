"""What an event handler is told of requests, over HTTP/1.1 and over HTTP/2 by both cores: every call, in its order, with its fields."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.observing import ANSWERED, BEGUN, SENT, ObservedCase, RequestCase
from tests.producers import Body
from twisted_gun import observations
from twisted_gun.interfaces import IEventHandler
from twisted_gun.observations import CALLBACKS
from twisted_gun.observers import EventHandler
from twisted_gun.testing import MemoryGun, RecordingReceiver


class VocabularyTests(ObservedCase):
    """The callbacks themselves."""

    def test_callbacks(self) -> None:
        """They are the 28 of Gun's gun_event(3)."""
        names = """
            init domain_lookup_start domain_lookup_end connect_start connect_end tls_handshake_start tls_handshake_end request_start
            request_headers request_end push_promise_start push_promise_end response_start response_inform response_headers
            response_trailers response_end ws_upgrade ws_recv_frame_start ws_recv_frame_header ws_recv_frame_end ws_send_frame_start
            ws_send_frame_end protocol_changed origin_changed cancel disconnect terminate
        """.split()
        self.assertEqual((sorted(IEventHandler.names()), sorted(CALLBACKS), len(names)), (sorted(names), sorted(names), 28))

    def test_base(self) -> None:
        """`EventHandler` has them all, and does nothing."""
        handler = EventHandler()
        self.assertTrue(IEventHandler.providedBy(handler))
        for name in CALLBACKS:
            self.assertIsNone(getattr(handler, name)(None))

    def test_secrets(self) -> None:
        """What is told shows no credentials."""
        stream: Any = None
        headers = ((b"authorization", b"canary"), (b"x", b"y"))
        head = observations.RequestHead(stream=stream, function="request", method=b"GET", authority=b"a", path=b"/", headers=headers)
        self.assertNotIn("canary", repr(head))
        self.assertIn("(b'x', b'y')", repr(head))


class BothTests(RequestCase):
    """What is the same whatever is spoken."""

    def test_get(self) -> None:
        """A GET: every callback once, and every field."""
        world, told = self.up(), RecordingReceiver()
        stream = world.connection.get("/path", {"X-Yes": "no"}, reply_to=told)
        self.assertEqual(self.recorder.names(), SENT)
        world.pump()
        self.answer(world, 0)
        self.assertEqual(self.recorder.names(stream), SENT + ANSWERED)
        start, headers = self.recorder.one("request_start"), self.recorder.one("request_headers")
        self.assertIs(start, headers)
        self.assertEqual((start.function, start.method, start.authority, start.path), ("request", b"GET", b"example.org", b"/path"))
        self.assertEqual(start.headers, ((b"x-yes", b"no"),))
        for name in SENT + ANSWERED:
            event = self.recorder.one(name)
            self.assertEqual((event.connection, event.reply_to), (world.connection, told), name)
        head = self.recorder.one("response_headers")
        self.assertEqual((head.status, head.headers), (200, told.of(gun.Response)[0].headers))
        self.recorder.take()
        self.over(world)

    def test_waits(self) -> None:
        """A request that waits for the connection is told of when it is sent."""
        world = MemoryGun(protocols=["http2"] if self.http2 else ["http"])
        stream = world.connection.get("/")
        self.assertEqual(self.recorder.take(), ["init", "connect_start"])
        world.pump()
        self.assertEqual(self.recorder.names(), ["connect_end", *SENT])
        self.assertEqual(self.recorder.names(stream), SENT)
        self.end(world)

    def test_waits_in_vain(self) -> None:
        """One that is cancelled before it is sent, or whose connection ends, is not told of at all."""
        world = MemoryGun(protocols=["http2"] if self.http2 else ["http"])
        world.connection.get("/").cancel()
        world.connection.get("/")
        self.end(world)
        self.assertEqual(self.recorder.take(), ["init", "connect_start", "connect_end", "terminate"])

    def test_post(self) -> None:
        """Content that is given as a whole is sent with the head."""
        world = self.up()
        world.connection.post("/", (), b"content")
        self.assertEqual(self.recorder.take(), SENT)
        world.connection.put("/", (), b"x" * 100_000)
        self.assertEqual(self.recorder.names()[:2], BEGUN)
        world.pump()
        self.assertEqual(self.recorder.take(), SENT)
        self.end(world)

    def test_streamed(self) -> None:
        """Content that follows: the end of the request is that of the content; Gun calls it "headers"."""
        world = self.up()
        stream = world.connection.headers("POST", "/")
        self.assertEqual((self.recorder.one("request_start").function, self.recorder.take()), ("headers", BEGUN))
        stream.data(b"one")
        world.pump()
        self.assertEqual(self.recorder.take(), [])
        stream.data(b"two", fin=True)
        self.assertEqual(self.recorder.take(), ["request_end"])
        world.pump()
        self.answer(world, 0)
        self.assertEqual(self.recorder.take(), ANSWERED)
        self.over(world)

    def test_length(self) -> None:
        """Content whose length was said ends with its last byte, and what says so once more says nothing new."""
        world = self.up()
        stream = world.connection.headers("POST", "/", {"content-length": "6"})
        stream.data(b"abc")
        self.assertEqual(self.recorder.take(), BEGUN)
        stream.data(b"def")
        stream.data(b"", fin=True)
        self.assertEqual(self.recorder.take(), ["request_end"])
        self.end(world)

    def test_producer(self) -> None:
        """So does that of a producer."""
        world, body = self.up(), Body()
        world.connection.post("/", (), body)
        body.consumer.write(b"abc")
        self.assertEqual(self.recorder.take(), BEGUN)
        body.finished.callback(None)
        self.assertEqual(self.recorder.take(), ["request_end"])
        self.end(world)

    def test_producer_fails(self) -> None:
        """One that fails gives its request up."""
        world, body = self.up(), Body()
        stream = world.connection.post("/", (), body)
        body.finished.errback(OSError("torn"))
        self.assertEqual(self.recorder.names(stream), [*BEGUN, "cancel"])
        cancelled = self.recorder.one("cancel")
        self.assertEqual(cancelled.endpoint, "local")
        self.assertIn("torn", str(cancelled.reason))
        self.end(world)

    def test_cancel(self) -> None:
        """A stream that is cancelled here, before its response: nothing comes after that, whatever the server answers."""
        world = self.up()
        stream = world.connection.get("/")
        world.pump()
        self.recorder.take()
        stream.cancel()
        stream.cancel()
        cancelled = self.recorder.one("cancel")
        self.assertEqual((cancelled.stream, cancelled.endpoint), (stream, "local"))
        self.assertIsInstance(cancelled.reason, gun.StreamClosed)
        if not self.http2:
            self.answer(world, 0)
        world.pump()
        self.assertEqual(self.recorder.take(), ["cancel"])
        self.over(world)

    def test_cancelled_already(self) -> None:
        """By the time that a handler hears of it the stream is cancelled: what it does then tells its receiver nothing more."""
        world, body, told = self.up(), Body(), RecordingReceiver()

        def fail(name: str, event: Any) -> None:
            if name == "cancel":
                self.assertTrue(event.stream.ended)
                world.connection.close()

        self.recorder.react = fail
        world.connection.post("/", (), body, reply_to=told).cancel()
        world.pump()
        self.assertEqual((self.recorder.names()[2], told.events), ("cancel", []))

    def test_cancel_in_the_midst(self) -> None:
        """And in the midst of its response."""
        world = self.up()
        stream = world.connection.get("/")
        world.pump()
        if self.http2:
            self.answer(world, 0, fin=False)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
            world.pump()
        stream.cancel()
        world.pump()
        self.assertEqual(self.recorder.take(), [*SENT, "response_start", "response_headers", "cancel"])
        self.over(world)

    def test_cancelled_in_its_turn(self) -> None:
        """One that is cancelled in the turn that asked for it was sent all the same: both is told."""
        world = self.up()

        def ask_and_cancel(event: Any) -> None:
            if isinstance(event, gun.Response):
                world.connection.get("/again", reply_to=None).cancel()

        world.connection.get("/", reply_to=RecordingReceiver(ask_and_cancel))
        world.pump()
        self.recorder.take()
        self.answer(world, 0)
        self.assertEqual(self.recorder.names()[-3:], ["response_end", "request_start", "cancel"])
        self.end(world)

    def test_receiver_raises(self) -> None:
        """A receiver that raises has its stream ended here."""

        def fail(event: Any) -> None:
            if isinstance(event, gun.Response):
                raise ZeroDivisionError

        world = self.up()
        world.connection.get("/", reply_to=RecordingReceiver(fail))
        world.pump()
        self.recorder.take()
        if self.http2:
            self.answer(world, 0, fin=False)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
            world.pump()
        self.assertEqual(self.recorder.names(), ["response_start", "response_headers", "cancel"])
        self.assertEqual(self.recorder.one("cancel").endpoint, "local")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.end(world)

    def test_inform(self) -> None:
        """Interim responses: the response starts once, with the first of them."""
        world = self.up()
        stream = world.connection.get("/")
        world.pump()
        self.recorder.take()
        for _ in range(2):
            if self.http2:
                world.peer.inform(world.peer.requests[0], 103, {"link": "</a>"})
            else:
                world.peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            world.pump()
        self.answer(world, 0)
        self.assertEqual([each.status for each in self.recorder.of("response_inform")], [103, 103])
        self.assertEqual(self.recorder.of("response_inform")[0].headers, ((b"link", b"</a>"),))
        self.assertEqual(
            self.recorder.names(stream), ["response_start", "response_inform", "response_inform", "response_headers", "response_end"]
        )
        self.recorder.take()
        self.over(world)

    def test_trailers(self) -> None:
        """Trailers are told before the end."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        self.recorder.take()
        if self.http2:
            self.answer(world, 0, fin=False)
            world.peer.trailers(world.peer.requests[0], {"x-sum": "1"})
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
        world.pump()
        self.assertEqual(self.recorder.one("response_trailers").headers, ((b"x-sum", b"1"),))
        self.assertEqual(self.recorder.take(), ["response_start", "response_headers", "response_trailers", "response_end"])
        self.over(world)

    def test_head(self) -> None:
        """The response to a HEAD ends with its head."""
        world = self.up()
        world.connection.head("/")
        world.pump()
        if self.http2:
            world.peer.send_headers(world.peer.requests[0], [(":status", "200"), ("content-length", "7")], fin=True)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
        world.pump()
        self.assertEqual(self.recorder.take(), SENT + ANSWERED)
        self.over(world)

    def test_answered_early(self) -> None:
        """A response that is complete before its request is: the request has no end, the stream has one."""
        world = self.up()
        stream = world.connection.headers("POST", "/")
        world.pump()
        self.answer(world, 0)
        self.assertEqual(self.recorder.names(stream), BEGUN + ANSWERED)
        self.end(world)

    def test_lost(self) -> None:
        """The connection is lost: those whose response was not complete are listed, in the order of their requests, and nothing else."""
        world = self.up(retry=0)
        first, second, third = (world.connection.get("/") for _ in range(3))
        world.pump()
        self.answer(world, 0)
        if self.http2:
            self.answer(world, 1, fin=False)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
            world.pump()
        self.recorder.take()
        world.peer.abort()
        world.pump()
        down = self.recorder.one("disconnect")
        self.assertEqual((down.connection, down.streams), (world.connection, (second, third)))
        self.assertIsInstance(down.reason, gun.ConnectionFailed)
        terminated = self.recorder.one("terminate")
        self.assertEqual((terminated.state, terminated.reason), ("not_connected", down.reason))
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])
        self.assertTrue(first.ended)

    def test_violation(self) -> None:
        """So they are where the server does what it must not, and the connection is given up for that."""
        world = self.up(retry=0)
        stream = world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.peer.send(b"\xff" * 40 + b"\r\n\r\n")
        world.advance(20.0)
        self.assertEqual(self.recorder.one("disconnect").streams, (stream,))
        self.assertIsInstance(self.recorder.one("disconnect").reason, gun.ConnectionFailed)
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_close(self) -> None:
        """`close` cuts off what is under way."""
        world = self.up()
        streams = world.connection.get("/"), world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.connection.close()
        self.assertEqual(self.recorder.names(), [])
        world.pump()
        self.assertEqual(self.recorder.one("disconnect").streams, streams)
        self.assertIsNone(self.recorder.one("terminate").reason)
        self.assertEqual(self.recorder.one("terminate").state, "closing")
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_shutdown(self) -> None:
        """`shutdown` lets the request that is being answered finish."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.connection.shutdown()
        self.answer(world, 0)
        self.assertEqual(self.recorder.one("disconnect").streams, ())
        self.assertIsNone(self.recorder.one("disconnect").reason)
        self.assertEqual(self.recorder.take(), [*ANSWERED, "disconnect", "terminate"])

    def test_reconnect(self) -> None:
        """After a loss it begins anew; `init` and `terminate` are told once."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.peer.abort()
        world.pump()
        self.assertEqual(self.recorder.take(), ["disconnect", "connect_start", "connect_end"])
        world.connection.get("/")
        world.pump()
        self.answer(world, 0)
        self.assertEqual(self.recorder.take(), SENT + ANSWERED)
        self.over(world)

    def test_trace(self) -> None:
        """It goes together with `trace`."""
        world = self.up(trace=True)
        world.connection.get("/")
        world.pump()
        self.answer(world, 0)
        self.assertEqual(self.recorder.take(), SENT + ANSWERED)
        self.over(world)

    def test_held_back(self) -> None:
        """What is withheld from a receiver has not come: the end is told when the receiver may have it."""
        world = self.up()
        stream = world.connection.get("/", flow=1)
        world.pump()
        self.recorder.take()
        if self.http2:
            self.answer(world, 0, fin=False)
            world.peer.send_data(world.peer.requests[0], b"more", fin=True)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nok")
            world.pump()
            world.peer.send(b"more")
        world.pump()
        self.assertEqual(self.recorder.take(), ["response_start", "response_headers"])
        stream.update_flow(5)
        world.pump()
        self.assertEqual(self.recorder.take(), ["response_end"])
        self.over(world)

    def test_content_handlers(self) -> None:
        """A response has ended when all of it has come, though the handlers of its content are not done: the rest is theirs."""
        told = RecordingReceiver()
        opts = {"content_handlers": [gun.DataHandler]}
        world = self.up(retry=0, **({"http2_opts": opts} if self.http2 else {"http_opts": opts}))
        stream = world.connection.get("/", flow=1, reply_to=told)
        world.pump()
        self.recorder.take()
        if self.http2:
            self.answer(world, 0, b"one", fin=False)
            world.peer.send_data(world.peer.requests[0], b"two", fin=True)
        else:
            world.peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        world.pump()
        if not self.http2:  # which reads no further meanwhile
            stream.update_flow(1)
            world.pump()
        stream.update_flow(10)
        world.pump()
        self.assertTrue(stream.ended)
        self.assertEqual(self.recorder.take(), ANSWERED)
        self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"onetwo")
        self.over(world)


class Http2BothTests(BothTests):
    """Over HTTP/2."""

    http2 = True


class ReferenceBothTests(Http2BothTests):
    """By the reference core."""

    core = "h2"
