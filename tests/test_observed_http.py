"""What an event handler is told that is HTTP/1.1's own, or HTTP/2's: pipelines, upgrades; resets, flow control, pushes."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.observing import ANSWERED, BEGUN, SENT, RequestCase
from tests.stage import EMPTY, LAST, OK, SWITCH, UPGRADE
from twisted_gun.testing import MemoryGun
from twisted_gun.wire.frames import ErrorCode


class Http1Tests(RequestCase):
    """What is HTTP/1.1's own."""

    def test_pipelined(self) -> None:
        """Requests are sent at once, and answered in their order."""
        world = self.up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        self.assertEqual(self.recorder.take(), SENT + SENT)
        world.peer.send(OK + EMPTY)
        world.pump()
        self.assertEqual([event.stream for _, event in self.recorder.told], [first] * 3 + [second] * 3)
        self.assertEqual(self.recorder.take(), ANSWERED * 2)
        self.over(world)

    def test_behind_an_upload(self) -> None:
        """A request behind one that is not complete is told of when it is written: behind the end of the other."""
        world = self.up()
        first = world.connection.headers("POST", "/1")
        second = world.connection.headers("POST", "/2")
        third = world.connection.get("/3")
        second.data(b"all of it", fin=True)
        self.assertEqual(self.recorder.take(), BEGUN)
        first.data(b"end", fin=True)
        self.assertEqual([event.stream for _, event in self.recorder.told], [first, *[second] * 3, *[third] * 3])
        self.assertEqual(self.recorder.take(), ["request_end", *SENT, *SENT])
        self.end(world)

    def test_behind_an_upload_cancelled(self) -> None:
        """One that is cancelled there was never sent, and is not told of."""
        world = self.up()
        world.connection.headers("POST", "/1")
        world.connection.get("/2").cancel()
        self.assertEqual(self.recorder.take(), BEGUN)
        self.end(world)
        self.assertEqual(len(self.recorder.one("disconnect").streams), 1)

    def test_last(self) -> None:
        """Those behind a response that says it is the last end by that, not by the connection's end."""
        world = self.up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        self.recorder.take()
        world.peer.send(LAST)
        world.pump()
        cancelled = self.recorder.one("cancel")
        self.assertEqual((cancelled.stream, cancelled.endpoint), (second, "remote"))
        self.assertIsInstance(cancelled.reason, gun.StreamRefused)
        self.assertEqual(self.recorder.names(first), ANSWERED)
        down = self.recorder.one("disconnect")
        self.assertEqual((down.reason, down.streams), (None, ()))
        self.assertEqual(self.recorder.take(), ["cancel", *ANSWERED, "disconnect", "connect_start", "connect_end"])
        self.end(world)

    def test_until_close(self) -> None:
        """Content that ends with the connection ends before it."""
        world = self.up(retry=0)
        world.connection.get("/")
        world.pump()
        world.peer.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        world.pump()
        self.recorder.take()
        world.peer.close()
        world.pump()
        self.assertEqual(self.recorder.one("disconnect").streams, ())
        self.assertEqual(self.recorder.take(), ["response_end", "disconnect", "terminate"])

    def test_upgrade(self) -> None:
        """Another protocol by 101: the interim response is the end of HTTP; then bytes are none of its business, until the end."""
        world = self.up(retry=0)
        stream = world.connection.get("/", UPGRADE)
        world.pump()
        world.peer.send(SWITCH + b"hello")
        world.pump()
        changed = self.recorder.one("protocol_changed")
        self.assertEqual((changed.connection, changed.stream, changed.protocol), (world.connection, stream, "raw"))
        self.assertEqual(self.recorder.one("response_inform").status, 101)
        self.assertEqual(self.recorder.take(), [*SENT, "response_start", "response_inform", "protocol_changed"])
        stream.data(b"bye", fin=True)
        world.peer.close()
        world.pump()
        self.assertEqual(self.recorder.one("disconnect").streams, ())
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_upgrade_cut_off(self) -> None:
        """What it carried is listed where that was cut off, and cancelled where it was."""
        for how in ("abort", "cancel"):
            world = MemoryGun(retry=0)
            world.pump()
            stream = world.connection.get("/", UPGRADE)
            world.pump()
            world.peer.send(SWITCH)
            world.pump()
            self.recorder.take()
            (world.peer.abort if how == "abort" else stream.cancel)()
            world.pump()
            self.assertEqual(self.recorder.one("disconnect").streams, (stream,) if how == "abort" else ())
            self.assertEqual(self.recorder.take(), [*(["cancel"] if how == "cancel" else []), "disconnect", "terminate"])

    def test_upgrade_cancelled_from_within(self) -> None:
        """A handler may cancel it in the midst of its telling, which ends there."""

        def cancel(name: str, event: Any) -> None:
            if name == "response_inform":
                event.stream.cancel()

        world = self.up(retry=0)
        self.recorder.react = cancel
        world.connection.get("/", UPGRADE)
        world.pump()
        world.peer.send(SWITCH)
        world.pump()
        self.assertEqual(self.recorder.take(), [*SENT, "response_start", "response_inform", "cancel", "disconnect", "terminate"])

    def test_timed_out(self) -> None:
        """A response that does not come in time ends the connection, and is listed."""
        world = self.up(http_opts={"response_timeout": 2.0}, retry=0)
        stream = world.connection.get("/")
        world.advance(2.0)
        world.pump()
        self.recorder.told = self.recorder.told[3:]
        self.assertEqual(self.recorder.one("disconnect").streams, (stream,))
        self.assertIsInstance(self.recorder.one("disconnect").reason, gun.TimedOut)
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_shut_down_behind(self) -> None:
        """Those behind the request that is being answered end with the connection; that one may still be cancelled."""
        for how in (OK, None):
            self.recorder.told.clear()
            world = MemoryGun()
            world.pump()
            first, second = world.connection.get("/1"), world.connection.get("/2")
            world.pump()
            self.recorder.take()
            world.connection.shutdown()
            if how is None:
                first.cancel()
                self.assertEqual(self.recorder.one("cancel").stream, first)
            world.peer.send(OK)
            world.pump()
            self.assertEqual(self.recorder.one("disconnect").streams, (second,))
            self.assertEqual(self.recorder.take(), [*(ANSWERED if how else ["cancel"]), "disconnect", "terminate"])


class Http2Tests(RequestCase):
    """What is HTTP/2's own."""

    http2 = True

    def test_reset(self) -> None:
        """The server resets a stream: that is a cancel by the remote side."""
        world = self.up()
        first, second = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        self.recorder.take()
        world.peer.reset(world.peer.requests[0], ErrorCode.INTERNAL_ERROR)
        world.peer.reset(world.peer.requests[1], ErrorCode.REFUSED_STREAM)
        world.pump()
        one, other = self.recorder.of("cancel")
        self.assertEqual((one.stream, one.endpoint, one.reason.code), (first, "remote", ErrorCode.INTERNAL_ERROR))
        self.assertEqual((other.stream, other.endpoint), (second, "remote"))
        self.assertIsInstance(other.reason, gun.StreamRefused)
        self.assertEqual(self.recorder.take(), ["cancel", "cancel"])
        self.over(world)

    def test_malformed(self) -> None:
        """A response that is malformed has its stream reset from here."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.peer.send_headers(world.peer.requests[0], [(":status", "nought")])
        world.pump()
        cancelled = self.recorder.one("cancel")
        self.assertEqual(cancelled.endpoint, "local")
        self.assertIsInstance(cancelled.reason, gun.ProtocolViolation)
        self.assertEqual(self.recorder.take(), ["cancel"])
        self.over(world)

    def test_goaway(self) -> None:
        """Streams that a GOAWAY leaves behind are cancelled by the remote side; the others finish, and then the connection ends."""
        world = self.up(retry=0)
        first, second = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        self.recorder.take()
        world.peer.goaway(world.peer.requests[0].stream_id, ErrorCode.NO_ERROR)
        world.pump()
        cancelled = self.recorder.one("cancel")
        self.assertEqual((cancelled.stream, cancelled.endpoint), (second, "remote"))
        self.assertIsInstance(cancelled.reason, gun.GoAway)
        self.answer(world, 0)
        self.assertEqual(self.recorder.names(first), ANSWERED)
        self.assertEqual(self.recorder.take()[:5], ["cancel", *ANSWERED, "disconnect"])

    def test_refused_at_once(self) -> None:
        """A request beyond the peer's limit is not sent, and so not told of."""
        world = self.up(settings={"max_concurrent_streams": 1})
        world.connection.get("/1")
        second = world.connection.get("/2")
        world.pump()
        self.assertTrue(second.ended)
        self.assertEqual(self.recorder.take(), SENT)
        self.end(world)

    def test_flow_control(self) -> None:
        """The end of a request is told when the windows have let all of it out."""
        world = self.up(settings={"initial_window_size": 1000})
        world.peer.open_windows = False
        world.connection.post("/", (), b"x" * 2500)
        self.assertEqual(self.recorder.take(), BEGUN)
        world.pump()
        world.peer.window_update(world.peer.requests[0], 1000)
        world.pump()
        self.assertEqual(self.recorder.take(), [])
        world.peer.window_update(world.peer.requests[0], 1000)
        world.pump()
        self.assertEqual(self.recorder.take(), ["request_end"])
        self.end(world)

    def test_push(self) -> None:
        """A promise that is taken, and the response that was promised."""
        world = self.up(http2_opts={"enable_push": True})
        stream = world.connection.get("/")
        world.pump()
        self.recorder.take()
        promised = world.peer.push(world.peer.requests[0], "/style.css")
        world.pump()
        self.assertEqual(self.recorder.one("push_promise_start").stream, stream)
        told = self.recorder.one("push_promise_end")
        self.assertEqual((told.stream, told.method, told.uri, told.headers), (stream, b"GET", b"http://example.org/style.css", ()))
        self.assertEqual(self.recorder.take(), ["push_promise_start", "push_promise_end"])
        world.peer.respond(promised, 200, {}, b"css")
        world.pump()
        self.assertEqual(self.recorder.names(told.promised_stream), ANSWERED)
        self.assertEqual(self.recorder.take(), ANSWERED)
        self.answer(world, 0)
        self.assertEqual(self.recorder.take(), ANSWERED)
        self.over(world)

    def test_push_not_wanted(self) -> None:
        """A pushed stream may be cancelled, or cut off, as any other."""
        world = self.up(http2_opts={"enable_push": True}, retry=0)
        world.connection.get("/")
        world.pump()
        self.recorder.take()
        for path in ("/1", "/2"):
            world.peer.push(world.peer.requests[0], path)
        world.pump()
        first, second = (event.promised_stream for event in self.recorder.of("push_promise_end"))
        first.cancel()
        self.assertEqual((self.recorder.one("cancel").stream, self.recorder.take()[-1]), (first, "cancel"))
        world.peer.abort()
        world.pump()
        self.assertEqual(self.recorder.one("disconnect").streams[1:], (second,))

    def test_push_refused(self) -> None:
        """A promise that is refused, because it is one too many, or of another origin, has no stream; a malformed one no request either."""
        world = self.up(http2_opts={"enable_push": True, "max_concurrent_streams": 1})
        stream = world.connection.get("/")
        world.pump()
        self.recorder.take()
        world.peer.push(world.peer.requests[0], "/1")
        world.peer.push(world.peer.requests[0], "/2")
        world.pump()
        _, refused = self.recorder.of("push_promise_end")
        self.assertEqual((refused.stream, refused.promised_stream), (stream, None))
        self.assertEqual((refused.method, refused.uri), (b"GET", b"http://example.org/2"))
        self.assertEqual(self.recorder.take(), ["push_promise_start", "push_promise_end"] * 2)
        self.end(world)

    def test_push_to_nobody(self) -> None:
        """A promise to a stream that is cancelled meanwhile is nobody's to hear of."""
        world = self.up(http2_opts={"enable_push": True})
        stream = world.connection.get("/")
        world.pump()
        stream.cancel()
        self.recorder.take()
        world.peer.push(world.peer.requests[0], "/1")
        world.pump()
        self.assertEqual(self.recorder.take(), [])
        self.over(world)


class Http2ReferenceTests(Http2Tests):
    """By the reference core."""

    core = "h2"
