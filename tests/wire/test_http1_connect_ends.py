"""CONNECT over HTTP/1.1 that is cancelled, cut off or shut down, and what bounds it: the limits on its head, and time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import ConnectionFailed
from twisted_gun.wire.steps import Close, StreamFailed, TunnelClosed, Write

from .conversation import A, B, Conversation, outline, response
from .http1_connect import ASKED, BYTES, DENIED, GRANTED, OPENED, REFUSALS, opened, pending


class CancelTests(SynchronousTestCase):
    """Cancelled before the end of the answer."""

    def test_before_the_tunnel(self) -> None:
        """A tunnel that nobody wants any more is not opened: the connection is closed, since there is no other way to end it."""
        data = b"HTTP/1.1 103 x\r\n\r\n" + GRANTED + BYTES
        for drain in (False, True):
            for at in range(data.index(GRANTED) + len(GRANTED)):
                talk = pending()
                talk.receive(data[:at])
                talk.steps.clear()
                talk.cancel(A, drain=drain)
                talk.receive(data[at : -len(BYTES)])
                self.assertEqual((talk.outline, talk.written), ([("close", None)], b""))

    def test_before_a_refusal(self) -> None:
        """A refusal is read over, cut anywhere; then others may be asked for."""
        for data in REFUSALS:
            for at in range(len(data)):
                talk = pending()
                talk.receive(data[:at])
                talk.steps.clear()
                talk.cancel(A)
                self.assertFalse(talk.core.accepting)
                talk.receive(data[at:])
                self.assertEqual(talk.outline, [("accepting",)])
                talk.ask_connect(B)
                talk.receive(GRANTED)
                self.assertEqual(talk.outline[-1], ("tunnel opened", B))

    def test_large_refusal(self) -> None:
        """One that is too large to be read for nothing closes it, but not where it is to be read at any cost."""
        head = response((b"content-length", b"11"), status=b"403 No")
        for drain, end in ((False, [("close", None)]), (True, [("accepting",)])):
            talk = pending(max_cancelled_size=10)
            talk.cancel(A, drain=drain)
            talk.receive(head)
            if drain:
                talk.receive(b"x" * 11)
            self.assertEqual(talk.outline, end)

    def test_never_answered(self) -> None:
        """A proxy that does not answer is not waited for any longer than others are."""
        talk = pending(cancel_timeout=3.0)
        talk.cancel(A)
        self.assertEqual(talk.at(2.9), [])
        self.assertEqual(talk.at(3.0), [Close()])

    def test_lost(self) -> None:
        """Nothing is told of what was cancelled."""
        for data in (b"", GRANTED[:20], DENIED[:-1]):
            talk = pending()
            talk.receive(data)
            talk.cancel(A)
            self.assertEqual((talk.lose(clean=False), talk.core.losses().killed), ([], ()))


class EndTests(SynchronousTestCase):
    """The end of the connection."""

    def test_lost_before_the_answer(self) -> None:
        """Without an answer, or in the midst of its head, it fails like any request."""
        for data in (b"", b"HTTP", GRANTED[:-1], b"HTTP/1.1 103 x\r\n\r\n", DENIED[:30]):
            for clean in (True, False):
                talk = pending()
                talk.receive(data)
                self.assertEqual(outline(talk.lose(clean=clean)), [("failed", A, "StreamClosed")])
                self.assertEqual((talk.core.losses().killed, talk.core.served), ((A,), False))

    def test_lost_in_a_refusal(self) -> None:
        """In the midst of a refusal's content that is cut off."""
        for clean in (True, False):
            talk = pending()
            talk.receive(DENIED[:-2])
            self.assertEqual(outline(talk.lose(clean=clean)), [("failed", A, "Truncated(3, 5)")])

    def test_lost_after_a_refusal(self) -> None:
        """Behind it nothing is left to be told."""
        talk = pending()
        talk.receive(DENIED)
        self.assertEqual((talk.lose(clean=False), talk.core.losses().killed), ([], ()))

    def test_peer_ends(self) -> None:
        """The peer's end is the tunnel's."""
        talk = opened()
        talk.receive(b"last words")
        self.assertEqual((talk.lose(), talk.core.losses().killed), ([TunnelClosed(A)], ()))

    def test_cut_off(self) -> None:
        """An end that was not said is a failure, by the very reason: what that means is for what the tunnel carries to say."""
        talk = opened()
        reason = ConnectionFailed("reset")
        (step,) = talk.lose(clean=False, reason=reason)
        assert isinstance(step, StreamFailed)
        self.assertIs(step.reason, reason)
        self.assertEqual(talk.core.losses().killed, (A,))


class ShutdownTests(SynchronousTestCase):
    """Shutting down."""

    def test_pending(self) -> None:
        """The answer is waited for; a refusal is told in whole, and ends the connection."""
        for data, expected in REFUSALS.items():
            talk = pending()
            self.assertEqual(talk.shutdown(), [])
            self.assertFalse(talk.core.accepting)
            talk.receive(data)
            self.assertEqual(talk.outline, [*expected, ("close", None)])

    def test_others_wait(self) -> None:
        """Those behind it are not sent any more."""
        talk = pending()
        talk.ask(B)
        self.assertEqual(outline(talk.shutdown()), [("failed", B, "ShuttingDown")])
        talk.receive(DENIED)
        self.assertEqual((talk.outline[-1], talk.written), (("close", None), ASKED))

    def test_opened_after_all(self) -> None:
        """A tunnel that comes then is told; there is no more time for it than for any other end."""
        talk = pending(closing_timeout=2.0)
        talk.shutdown()
        talk.receive(GRANTED + b"hi")
        self.assertEqual(talk.outline, [*OPENED, ("tunnel", A, b"hi")])
        self.assertEqual(talk.shutdown(), [])
        self.assertEqual(talk.at(1.9), [])
        self.assertEqual(outline(talk.at(2.0)), [("failed", A, "TimedOut(closing, 2.0)"), ("close", "TimedOut(closing, 2.0)")])

    def test_never_answered(self) -> None:
        """Nor for an answer that does not come."""
        talk = pending(closing_timeout=2.0)
        talk.shutdown()
        self.assertEqual(outline(talk.at(2.0)), [("failed", A, "TimedOut(closing, 2.0)"), ("close", "TimedOut(closing, 2.0)")])

    def test_tunnel(self) -> None:
        """What an open tunnel carries has an end of its own: it is waited for."""
        talk = opened()
        self.assertEqual(talk.shutdown(), [])
        self.assertIsNone(talk.core.deadline())
        talk.send(A, b"bye")
        talk.receive(b"bye")
        self.assertEqual(talk.send(A, b"", True), [TunnelClosed(A), Close()])

    def test_cancelled(self) -> None:
        """Nobody waits for a tunnel that was cancelled."""
        talk = pending(closing_timeout=2.0)
        talk.shutdown()
        talk.cancel(A)
        talk.receive(GRANTED)
        self.assertEqual(talk.outline, [("close", None)])


class LimitTests(SynchronousTestCase):
    """The limits on a head hold for both answers: one below, at, and one above."""

    def heads(self, least: int, make: Callable[[bytes, int], bytes], limit: str, value: int) -> None:
        """`make(status, size)` is taken up to a size of `value`, and refused beyond it, however it is cut."""
        for status in (b"200", b"403"):
            for size in (value - 1, value, value + 1):
                self.assertGreater(size, least)
                data = make(status, size)
                for pieces in ((data,), (data[:-1], data[-1:]), tuple(data[at : at + 1] for at in range(len(data)))):
                    talk = pending(**{limit: value})
                    for piece in pieces:
                        if not talk.over:
                            talk.receive(piece)
                    if size <= value:
                        self.assertEqual(talk.outline[0][0], "response" if status == b"200" else "tunnel refused")
                    else:
                        reason = f"LimitReached({limit}, {value})"
                        self.assertEqual(talk.outline, [("failed", A, reason), ("close", reason)])

    def test_status_line(self) -> None:
        """Its first line."""
        self.heads(13, lambda status, size: b"HTTP/1.1 %b %b\r\n\r\n" % (status, b"x" * (size - 13)), "max_status_line_size", 30)

    def test_block(self) -> None:
        """All of it."""
        self.heads(24, lambda status, size: b"HTTP/1.1 %b OK\r\nx: %b\r\n\r\n" % (status, b"y" * (size - 24)), "max_header_block_size", 60)

    def test_count(self) -> None:
        """Its fields."""
        self.heads(0, lambda status, size: b"HTTP/1.1 %b OK\r\n%b\r\n" % (status, b"x: y\r\n" * size), "max_header_count", 4)

    def test_not_the_tunnels(self) -> None:
        """What stands behind it is not counted."""
        talk = pending(max_header_block_size=len(GRANTED), max_status_line_size=len(GRANTED) - 4)
        talk.receive(GRANTED + b"x" * 100_000)
        self.assertEqual(talk.outline, [*OPENED, ("tunnel", A, b"x" * 100_000)])


class TimeTests(SynchronousTestCase):
    """Time."""

    def test_no_keepalive_while_pending(self) -> None:
        """An empty line that is sent before the answer might be taken for the tunnel's first bytes: none is, however long that takes."""
        talk = Conversation(keepalive=1.0, header_timeout=None)
        talk.at(1.0)
        self.assertEqual(talk.written, b"\r\n")
        talk.ask_connect(A)
        for now, data in (
            (3.0, b""),
            (5.0, b"HTTP/1.1 103 x\r\n\r\n"),
            (7.0, b"HTTP/1.1 "),
            (9.0, b"200 OK\r\n\r"),
            (11.0, b"\n"),
            (13.0, b"x"),
        ):
            talk.receive(*[data] if data else [])
            self.assertEqual(talk.at(now), [])
            self.assertIsNone(talk.core.deadline())
        talk.send(A, b"y")
        self.assertEqual(talk.at(20.0), [])
        self.assertEqual(talk.written, b"\r\n" + ASKED + b"y")

    def test_no_keepalive_while_upgrading(self) -> None:
        """Nor before the answer to an upgrade, or behind it."""
        talk = Conversation(keepalive=1.0)
        talk.ask_upgrade(A)
        asked = talk.written
        for now, data in ((3.0, b"HTTP/1.1 101 x\r\nupgrade: "), (5.0, b"websocket\r\nconnection: upgrade\r\n\r\n"), (7.0, b"x")):
            self.assertEqual(talk.at(now), [])
            talk.receive(data)
        self.assertEqual((talk.at(9.0), talk.core.deadline(), talk.written), ([], None, asked))

    def test_keepalive_after_a_refusal(self) -> None:
        """Behind a refusal it is sent again, and not before that has come in whole."""
        talk = pending(keepalive=1.0)
        talk.receive(DENIED[:-1])
        self.assertEqual(talk.at(5.0), [])
        talk.receive(DENIED[-1:])
        self.assertEqual(talk.core.deadline(), 6.0)
        self.assertEqual(talk.at(6.0), [Write(b"\r\n")])

    def test_response_timeout(self) -> None:
        """The answer is waited for no longer than any other."""
        talk = pending(response_timeout=3.0)
        self.assertEqual(outline(talk.at(3.0)), [("failed", A, "TimedOut(response, 3.0)"), ("close", "TimedOut(response, 3.0)")])

    def test_header_timeout(self) -> None:
        """Nor is the end of its head."""
        talk = pending(header_timeout=3.0)
        talk.receive(GRANTED[:-1])
        self.assertEqual(outline(talk.at(3.0)), [("failed", A, "TimedOut(headers, 3.0)"), ("close", "TimedOut(headers, 3.0)")])

    def test_idle_timeout(self) -> None:
        """Nor is a refusal's content."""
        talk = pending(idle_timeout=3.0)
        talk.receive(DENIED[:-1])
        self.assertEqual(outline(talk.at(3.0)), [("failed", A, "TimedOut(idle, 3.0)"), ("close", "TimedOut(idle, 3.0)")])

    def test_none_in_the_tunnel(self) -> None:
        """A tunnel may be silent: none of these times runs, whatever comes and goes."""
        talk = pending(response_timeout=3.0, idle_timeout=3.0, keepalive=1.0, header_timeout=3.0)
        talk.receive(GRANTED[:10])
        talk.receive(GRANTED[10:])
        for data in (b"", b"x", b"\r"):
            talk.receive(data)
            talk.send(A, data)
            self.assertIsNone(talk.core.deadline())
