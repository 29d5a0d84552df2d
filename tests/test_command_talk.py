"""``ws`` in this process: what is typed and sent, what is received and written, and what ends with which status."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.test_command import Gone, ThreadClock, end_threads
from twisted_gun.command import talk as module
from twisted_gun.command.talk import Talk, talk
from twisted_gun.command.typed import TypedLines
from twisted_gun.testing import Http2Peer, Http2WebsocketPeer, MemoryEndpoint, Opcode, WebsocketPeer, server_frame


class TalkCase(SynchronousTestCase):
    """A talk with a server in memory, over HTTP/1.1 or HTTP/2; somebody types."""

    protocol: str | None = None
    make: Callable[..., Any] = WebsocketPeer

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.stdout: Any = BytesIO()
        self.stderr = StringIO()
        self.peers: list[Any] = []
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(end_threads)
        self.addCleanup(self.close_input)

    def start(self, peer: Callable[[], Any] | None = None, stdin: int | None = -1, url: str = "ws://host/room", **order: Any) -> None:
        """Begin to talk with `peer`, by default one that says what it is told to."""

        def build() -> Any:
            self.peers.append((peer or type(self).make)())
            return self.peers[-1]

        endpoint = MemoryEndpoint(Factory.forProtocol(build), clock=self.clock)
        self.patch(module, "open_url", partial(gun.open_url, endpoint=endpoint))
        given = Talk(url=url, **{"protocol": self.protocol, **order})
        descriptor = self.reader if stdin == -1 else stdin
        self.talking = Deferred.fromCoroutine(talk(self.clock, given, descriptor, self.stdout, self.stderr))
        self.pump()

    def pump(self) -> None:
        """Let all happen that is due."""
        self.clock.pump([0.0] * 20)

    @property
    def end(self) -> Any:
        """The server's end of the websocket."""
        return self.peers[-1].end

    def type(self, data: bytes) -> None:
        """Type something."""
        os.write(self.writer, data)
        self.clock.next_call()
        self.pump()

    def close_input(self) -> None:
        """End the input, without waiting for what comes of it."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def end_input(self) -> None:
        """End the input."""
        self.close_input()
        self.clock.next_call()
        self.pump()

    def send(self, *frames: Any) -> None:
        """Let the server send these."""
        for frame in frames:
            self.end.send(frame)
        self.pump()

    def assert_ends(self, status: int, *told: str, out: bytes = b"") -> None:
        """It has ended, with this status and output, and one line that says why where that is not 0; nothing is left."""
        self.assertEqual((self.successResultOf(self.talking), self.stdout.getvalue()), (status, out), self.stderr.getvalue())
        lines = self.stderr.getvalue().splitlines()
        self.assertEqual(len(lines), 1 if told else 0, lines)
        for part in told:
            self.assertIn(part, lines[0])
        self.assert_quiet()

    def assert_quiet(self) -> None:
        """Nothing is left behind."""
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TalkTests(TalkCase):
    """A talk over HTTP/1.1."""

    def test_both_ways(self) -> None:
        """Lines are sent as messages, messages are lines; the end of the input is a Close, and its answer the end."""
        self.start()
        self.type(b"hello\nworld\r\n\nlast")
        self.send("one", "two")
        self.assertEqual(self.stdout.getvalue(), b"one\ntwo\n")
        self.end_input()
        texts = [frame.text for frame in self.end.frames[:-1]]
        self.assertEqual((texts, self.end.received_close), (["hello", "world", "", "last"], gun.Close(1000)))
        self.assert_ends(0, out=b"one\ntwo\n")

    def test_answers_to_the_last(self) -> None:
        """What the server says before it answers the Close is written, too."""
        self.start(lambda: type(self).make(echo=True))
        self.close_input_after(b"hello\n")
        self.assert_ends(0, out=b"hello\n")

    def close_input_after(self, data: bytes) -> None:
        """Type this and no more, all at once."""
        os.write(self.writer, data)
        self.close_input()
        self.clock.next_call()
        self.clock.next_call()
        self.pump()

    def test_request(self) -> None:
        """Path, headers, subprotocols and compression are asked for; and says who asks."""
        self.start(
            lambda: type(self).make(subprotocol="chat", extensions="permessage-deflate"),
            url="ws://host/a b?c",
            headers=(("Origin", "https://here"),),
            subprotocols=("news", "chat"),
            compress=True,
        )
        handshake = self.end.handshake
        fields = dict(handshake.headers)
        self.assertEqual(fields[b"origin"], b"https://here")
        self.assertEqual(fields[b"user-agent"], f"twisted_gun/{gun.__version__}".encode())
        self.assertEqual(handshake.protocols, (b"news", b"chat"))
        self.assertIn(b"permessage-deflate", fields[b"sec-websocket-extensions"])
        self.type(b"x" * 1000 + b"\n")
        self.assertEqual([len(frame.text) for frame in self.end.frames], [1000])
        self.assertLess(len(self.end.raw_frames[0].payload), 100)
        self.end_input()
        self.assert_ends(0)

    def test_bytes(self) -> None:
        """Messages of bytes are shown in hexadecimal; with binary they are written as they are, and lines sent as such."""
        self.start()
        self.send(b"\x00\xff", "text", b"")
        self.assertEqual(self.stdout.getvalue(), b"00 ff\ntext\n\n")
        self.end_input()
        self.stdout = BytesIO()
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.start(binary=True)
        self.send(b"\x00\xff", b"\n")
        self.type(b"\xff\r\n")
        self.end_input()
        self.assertEqual(self.end.frames[:-1], [gun.Binary(b"\xff\r")])
        self.assert_ends(0, out=b"\x00\xff\n")

    def test_not_text(self) -> None:
        """A line that is no text is not sent, nor what follows; the websocket is closed, and it is 26."""
        self.start(linger=5.0)
        self.type(b"one\n\xff\nthree\n")
        self.assertEqual(self.end.frames, [gun.Text("one"), gun.Close(1000)])
        self.assert_ends(26, "not UTF-8", "--binary")

    def test_codes(self) -> None:
        """What the server closes by is the status, and said where it is not 0."""
        for code, reason, status, told in (
            (1000, "bye", 0, ()),
            (None, "", 0, ()),
            (1001, "", 101, ("close 1001",)),
            (1008, "members\x1b only", 108, ("close 1008, members  only",)),
            (4001, "", 120, ("close 4001",)),
        ):
            self.stderr = StringIO()
            self.start()
            self.end.close(*(() if code is None else (code, reason)))
            self.pump()
            self.assert_ends(status, *told)

    def test_lost(self) -> None:
        """A websocket that is lost without a Close is 106, which RFC 6455 calls 1006."""
        self.start()
        self.send("one")
        self.peers[-1].abort()
        self.pump()
        self.assert_ends(106, "", out=b"one\n")

    def test_broken(self) -> None:
        """A server that breaks the protocol is 1."""
        self.start()
        self.end.send_raw(server_frame(Opcode.TEXT, b"masked", mask=b"mask"))
        self.pump()
        self.clock.advance(60.0)
        self.assert_ends(1, "the server is at fault")

    def test_refused(self) -> None:
        """Any other answer is 22."""
        self.start(lambda: type(self).make(refuse=403))
        self.assert_ends(22, "403")

    def test_ping(self) -> None:
        """With ping a server that has gone is found out: 28."""
        self.start(lambda: type(self).make(answer_pings=False), ping=10.0, timeout=5.0)
        self.clock.advance(10.0)
        self.pump()
        self.assertNoResult(self.talking)
        self.clock.advance(5.0)
        self.pump()
        self.clock.advance(5.0)
        self.assert_ends(28, "ping")

    def test_linger(self) -> None:
        """After the end of the input it goes on receiving for a while."""
        self.start(linger=5.0)
        self.end_input()
        self.clock.advance(4.9)
        self.send("late")
        self.clock.advance(0.2)
        self.pump()
        self.assertEqual(self.end.received_close, gun.Close(1000))
        self.assert_ends(0, out=b"late\n")

    def test_linger_is_cut_short(self) -> None:
        """Where the server closes meanwhile that is the end."""
        self.start(linger=5.0)
        self.end_input()
        self.end.close(1000)
        self.pump()
        self.assert_ends(0)

    def test_listen(self) -> None:
        """With listen nobody looks at the input."""
        self.start(listen=True)
        self.close_input()
        self.send("one")
        self.assertTrue(self.clock.from_threads.empty())
        self.end.close(1000)
        self.pump()
        self.assert_ends(0, out=b"one\n")

    def test_no_input(self) -> None:
        """An input that was closed before we began has ended."""
        self.start(stdin=None)
        self.assertEqual(self.end.received_close, gun.Close(1000))
        self.assert_ends(0)

    def test_silent_end(self) -> None:
        """A server that does not answer a Close is 28, after a while."""
        self.start(lambda: type(self).make(answer_close=False), timeout=7.0)
        self.end_input()
        self.clock.advance(6.9)
        self.assertNoResult(self.talking)
        self.clock.advance(0.2)
        self.pump()
        self.clock.advance(1.0)
        self.assert_ends(28, "closing")

    def test_cancelled(self) -> None:
        """Interrupted, it says goodbye by 1001, and waits a second at most for the server to do so."""
        for answers in (True, False):
            self.start(partial(type(self).make, answer_close=answers))
            self.talking.cancel()
            self.pump()
            if not answers:
                self.assertNoResult(self.talking)
                self.clock.advance(1.0)
            self.failureResultOf(self.talking, CancelledError)
            self.assertEqual(self.end.received_close, gun.Close(1001))
            self.pump()
            self.assert_quiet()

    def test_cancelled_while_connecting(self) -> None:
        """Interrupted before there is a websocket it ends at once."""
        self.start(lambda: type(self).make(accept=False))
        self.talking.cancel()
        self.pump()
        self.clock.advance(1.0)
        self.failureResultOf(self.talking, CancelledError)
        self.assert_quiet()

    def test_output_gone(self) -> None:
        """Where nobody reads any more it ends without a word, but to the server."""
        self.stdout = Gone()
        self.start()
        self.send("one")
        self.assertEqual(self.end.received_close, gun.Close(1001))
        self.assert_ends(141)

    def test_held_back(self) -> None:
        """A server that takes nothing holds back whoever types, until it does; nothing is lost by it."""
        told: list[str] = []

        class Watched(TypedLines):
            def pauseProducing(self) -> None:
                told.append("paused")
                super().pauseProducing()

            def resumeProducing(self) -> None:
                told.append("resumed")
                super().resumeProducing()

        self.patch(module, "TypedLines", Watched)
        self.start()
        self.peers[-1].pause()
        count = 0
        while told[-1] == "resumed":
            self.type(b"x" * 60_000 + b"\n")
            count += 1
            self.assertLess(count, 10)
        self.peers[-1].resume()
        self.pump()
        self.assertEqual(told[-1], "resumed")
        self.end_input()
        self.assertEqual([len(frame.text) for frame in self.end.frames[:-1]], [60_000] * count)
        self.assert_ends(0)

    def test_verbose(self) -> None:
        """-v tells of connection, handshake, and each frame, pings too, and shows no credentials."""
        secret = ("authorization", "s3cret")
        self.start(lambda: type(self).make(subprotocol="chat"), verbose=True, subprotocols=("chat",), headers=(secret,))
        self.type("h\xe9\n".encode())
        self.send("one", gun.Ping(b"?"))
        self.end_input()
        self.assertEqual(self.successResultOf(self.talking), 0)
        told = self.stderr.getvalue()
        for line in (
            "* connecting",
            f"* up: {self.protocol or 'http'}",
            "> authorization: [secret]",
            f"< {101 if self.protocol is None else 200}",
            "* the websocket is open, and speaks chat",
            "> [text, 3 bytes]",
            "< [text, 3 bytes]",
            "< [ping, 1 byte]",
            "> [pong, 1 byte]",
            "> [close 1000]",
            "< [close 1000]",
        ):
            self.assertIn(line + "\n", told)
        self.assertNotIn("s3cret", told)

    def test_unusable(self) -> None:
        """A URL or an option that cannot be used is 3."""
        for order, told in (
            ({"url": "http://host/"}, "ws:// or wss://, and a host"),
            ({"subprotocols": ("a b",)}, "--subprotocol: expected"),
            ({"proxies": ("ftp://proxy",)}, "--proxy"),
        ):
            self.stderr = StringIO()
            self.start(**order)
            self.pump()
            self.clock.advance(1.0)
            self.assert_ends(3, told)


class Http2TalkTests(TalkTests):
    """The same over HTTP/2."""

    protocol = "http2"
    make = Http2WebsocketPeer

    def test_no_websockets(self) -> None:
        """A server that takes none over HTTP/2 is 1, and what to do is said."""
        self.start(Http2Peer)
        self.assert_ends(1, "leave out --http2")
