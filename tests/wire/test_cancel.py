"""Cancelling: silence, and whether the rest of the response is read for nothing or the connection closed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import (
    CHUNKED,
    OK,
    PROTOCOL_VIOLATION,
    SWITCHED,
    UNTIL_CLOSE,
    UPGRADE,
    A,
    B,
    C,
    Conversation,
    outline,
    response,
    told,
)

ACCEPTING = [("accepting",)]
BIG = 65536


class SilenceTests(SynchronousTestCase):
    """A cancelled stream is told nothing; its response is read to its end, and the connection serves on."""

    def test_every_offset(self) -> None:
        """Cancelled anywhere in its response; the next request takes its turn then."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        for answer in (OK, interim + OK, CHUNKED + b"5\r\nhello\r\n0\r\nx: y\r\n\r\n", CHUNKED + b"1\r\na\r\n" * 3 + b"0\r\n\r\n"):
            for at in range(len(answer)):
                talk = Conversation()
                talk.ask(A)
                talk.receive(answer[:at])
                self.assertEqual(talk.cancel(A), [])
                self.assertFalse(talk.core.accepting)
                self.assertEqual(outline(talk.receive(answer[at:])), ACCEPTING)
                self.assertTrue(talk.core.accepting)
                talk.ask(B)
                self.assertEqual(outline(talk.receive(OK))[-1], ("data", B, b"hello", True))

    def test_without_content(self) -> None:
        """A response that is a head only."""
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        self.assertEqual(outline(talk.receive(b"HTTP/1.1 204 No Content\r\n\r\n")), ACCEPTING)

    def test_pipelined(self) -> None:
        """Those before and behind are answered as ever."""
        for cancelled in (A, B, C):
            talk = Conversation()
            for stream in (A, B, C):
                talk.ask(stream)
            self.assertEqual(talk.cancel(cancelled), [])
            talk.receive(OK * 3)
            told = [entry[1] for entry in talk.outline if entry[0] == "response"]
            self.assertEqual(told, [stream for stream in (A, B, C) if stream is not cancelled])
            self.assertTrue(talk.core.accepting)
            self.assertEqual(talk.outline.count(("accepting",)), 1)

    def test_several(self) -> None:
        """New requests are taken when the last cancelled response has been read."""
        talk = Conversation()
        for stream in (A, B):
            talk.ask(stream)
        talk.cancel(A)
        talk.cancel(B)
        self.assertEqual(outline(talk.receive(OK)), [])
        self.assertEqual(outline(talk.receive(OK)), ACCEPTING)

    def test_twice(self) -> None:
        """Cancelling again changes nothing."""
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        self.assertEqual(talk.cancel(A), [])
        self.assertEqual(outline(talk.receive(OK)), ACCEPTING)

    def test_unknown(self) -> None:
        """Cancelling a stream that has ended, or never was, changes nothing."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK)
        self.assertEqual([talk.cancel(A), talk.core.cancel(B, 0.0)], [[], []])
        self.assertTrue(talk.core.accepting)


class CostTests(SynchronousTestCase):
    """What is too much to read for nothing ends the connection instead."""

    def test_length(self) -> None:
        """A length says at once what is to come; what was told before does not count."""
        for total, before, closes in ((BIG, 0, False), (BIG + 1, 0, True), (BIG + 10, 10, False), (BIG + 11, 10, True)):
            talk = Conversation()
            talk.ask(A)
            talk.receive(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total + b"x" * before)
            self.assertEqual(told(talk.cancel(A)), [("close", None)] if closes else [])

    def test_length_said_later(self) -> None:
        """The same where the head comes after the cancelling, whichever the stream's place."""
        for total, closes in ((BIG, False), (BIG + 1, True)):
            talk = Conversation()
            talk.ask(A)
            talk.ask(B)
            talk.ask(C)
            talk.cancel(B)
            steps = outline(talk.receive(OK + b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total))
            ended = [("failed", C, "StreamClosed"), ("close", None)]
            self.assertEqual(steps[2:], ended if closes else [])

    def test_unknown_length(self) -> None:
        """Without a length it is read until it has become too much, what frames it counted too."""
        for head, piece in ((UNTIL_CLOSE, b"x" * 1024), (CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n")):
            talk = Conversation()
            talk.ask(A)
            talk.receive(head)
            self.assertEqual(talk.cancel(A), [])
            self.assertEqual(talk.receive(*[piece] * (BIG // len(piece))), [])
            self.assertEqual(outline(talk.receive(piece)), [("close", None)])

    def test_all_at_once(self) -> None:
        """The same where it comes in one piece, with its end, or with something malformed behind."""
        chunk = b"%x\r\n" % (BIG + 1) + b"x" * (BIG + 1) + b"\r\n"
        for rest in (chunk + b"0\r\n\r\n", chunk + b"0\r\nx: y\r\n\r\n", chunk + b"zz\r\n", chunk + b"5\r\n"):
            talk = Conversation()
            talk.ask(A)
            talk.receive(CHUNKED)
            talk.cancel(A)
            steps = outline(talk.receive(rest))
            self.assertEqual(len(steps), 1, rest[-10:])
            self.assertEqual(steps[0][0], "close")

    def test_drain(self) -> None:
        """With `drain` it is read to its end at any cost."""
        talk = Conversation(max_cancelled_size=10)
        talk.ask(A)
        self.assertEqual(talk.cancel(A, drain=True), [])
        self.assertEqual(outline(talk.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b"x" * 50000, b"x" * 50000)), ACCEPTING)

    def test_close_anyway(self) -> None:
        """A response that ends the connection is read too; there is nothing to take after it."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.cancel(A)
        steps = outline(talk.receive(response((b"connection", b"close"), (b"content-length", b"5"), content=b"hello")))
        self.assertEqual(steps, [("failed", B, "StreamRefused"), ("close", None)])

    def test_cancelled_behind_a_close(self) -> None:
        """A cancelled stream is not refused either: nobody would hear it."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.cancel(B)
        talk.receive(b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n")
        self.assertEqual([entry[0] for entry in talk.outline], ["response", "close"])
        self.assertEqual(talk.core.losses().unprocessed, ())


class UploadTests(SynchronousTestCase):
    """A request that was not sent whole cannot be followed by another."""

    def test_first(self) -> None:
        """The connection is closed at once."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.ask(B)
        self.assertEqual(told(talk.cancel(A)), [("failed", B, "StreamRefused"), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (B,))

    def test_behind(self) -> None:
        """Those before it are answered first; no new request is taken."""
        for drain in (False, True):
            talk = Conversation()
            talk.ask(A)
            talk.ask(B, b"POST", body=None)
            talk.ask(C)
            self.assertEqual(talk.cancel(B, drain=drain), [])
            self.assertFalse(talk.core.accepting)
            steps = outline(talk.receive(OK))
            self.assertEqual(steps[1:], [("data", A, b"hello", True), ("failed", C, "StreamRefused"), ("close", None)])

    def test_finished_after(self) -> None:
        """Content that is given all the same changes nothing."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B, b"POST", body=None)
        talk.cancel(B)
        talk.send(B, b"x", fin=True)
        self.assertFalse(talk.core.accepting)


class TunnelTests(SynchronousTestCase):
    """A tunnel."""

    def test_open(self) -> None:
        """Cancelling it closes the connection: its bytes are nothing else's."""
        for drain in (False, True):
            talk = Conversation()
            talk.ask(A, headers=UPGRADE)
            talk.receive(SWITCHED)
            self.assertEqual(told(talk.cancel(A, drain=drain)), [("close", None)])

    def test_before(self) -> None:
        """Cancelled before the switch: a tunnel that nobody wants is closed, not kept for ever."""
        for pieces in ([SWITCHED], [SWITCHED + b"bytes"], [SWITCHED, b"bytes"]):
            talk = Conversation()
            talk.ask(A, headers=UPGRADE)
            talk.cancel(A)
            talk.receive(*pieces)
            self.assertEqual(talk.outline, [("close", None)])


class EndTests(SynchronousTestCase):
    """The end of the connection."""

    def test_lost(self) -> None:
        """A cancelled stream is not told of it, and is not among the losses."""
        for data in (b"", OK[:-1], UNTIL_CLOSE + b"x"):
            talk = Conversation()
            talk.ask(A)
            talk.ask(B)
            talk.receive(data)
            talk.cancel(A)
            expected = [] if data.startswith(UNTIL_CLOSE) else [("failed", B, "StreamClosed")]
            self.assertEqual(outline(talk.lose()), expected)
            self.assertEqual(talk.core.losses().killed, (B,) if expected else ())

    def test_violation(self) -> None:
        """A malformed response to a cancelled request ends the connection; those behind were closed with it."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.cancel(A)
        self.assertEqual(outline(talk.receive(b"garbage")), [("failed", B, "StreamClosed"), ("close", PROTOCOL_VIOLATION)])
        self.assertEqual(talk.core.losses().killed, (B,))


class TimeTests(SynchronousTestCase):
    """A server that does not answer what nobody waits for."""

    def test_limit(self) -> None:
        """`cancel_timeout`: the connection ends in good order, for requests wait behind it."""
        for now, closes in ((4.999, False), (5.0, True), (5.001, True)):
            talk = Conversation()
            talk.ask(A)
            talk.cancel(A)
            self.assertEqual(outline(talk.at(now)), [("close", None)] if closes else [])

    def test_others_wait(self) -> None:
        """As long as somebody waits for a response behind it, the connection is kept; then the time begins."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.cancel(B)
        self.assertEqual(talk.at(100.0), [])
        talk.receive(OK)
        self.assertEqual(outline(talk.at(104.9)), [])
        self.assertEqual(outline(talk.at(105.0)), [("close", None)])

    def test_answered_in_time(self) -> None:
        """A response that comes in time leaves nothing behind."""
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        talk.receive(OK)
        self.assertIsNone(talk.core.deadline())

    def test_never(self) -> None:
        """None waits for ever."""
        talk = Conversation(cancel_timeout=None)
        talk.ask(A)
        talk.cancel(A)
        self.assertIsNone(talk.core.deadline())
