"""
What is tested of a stream that carries another protocol, however that was asked for: its windows, its ends before their time, and time.

CONNECT (RFC 9113 section 8.5) and extended CONNECT (RFC 8441) are each a `CarryingCase`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from twisted_gun.errors import ConnectionFailed
from twisted_gun.wire.frames import ErrorCode, FrameType
from twisted_gun.wire.steps import StreamFailed, TunnelData

from .conversation import PROTOCOL_VIOLATION, A, B, Outline, outline
from .http2_conversation import Http2Case, Http2Conversation

__all__ = ["CarryingCase", "EndTests", "ReceivingTests", "ResetTests", "SendingTests", "TimeTests"]

#: Windows that are soon used up, and opened again when half of them is.
SMALL: dict[str, Any] = {"initial_stream_window_size": 1000, "stream_window_margin_size": 0, "stream_window_update_threshold": 0}


class CarryingCase(Http2Case):
    """Tests with a tunnel."""

    #: What a server's settings say that makes such tunnels.
    settings: ClassVar[dict[str, int]] = {}
    #: What is told of 200.
    answer: ClassVar[Outline]

    def ask_tunnel(self, talk: Http2Conversation, **more: Any) -> None:
        """Ask for one, as `A`."""
        raise NotImplementedError

    def talk_to_proxy(self, **options: Any) -> Http2Conversation:
        """A conversation in which nothing has been asked for."""
        return self.talk(settings=self.settings | options.pop("settings", {}), **options)

    def pending(self, **options: Any) -> Http2Conversation:
        """A conversation in which `A` has asked for a tunnel, on stream 1; what was sent is put away."""
        talk = self.talk_to_proxy(**options)
        self.ask_tunnel(talk)
        talk.newly_sent()
        return talk

    def opened(self, **options: Any) -> Http2Conversation:
        """One in which it has come; what was told is put away too."""
        talk = self.pending(**options)
        talk.receive(talk.peer.respond(1))
        talk.steps.clear()
        return talk

    def assert_alive(self, talk: Http2Conversation, stream_id: int = 3) -> None:
        """The connection is: another request, on `stream_id`, is answered."""
        self.assertFalse(talk.over)
        talk.ask(B)
        talk.receive(talk.peer.respond(stream_id, fin=True))
        self.assertEqual(talk.outline[-1], ("response", B, 200, (), True))


# What is tested of both is no test case by itself: trial would run it.
if TYPE_CHECKING:
    _Case = CarryingCase
else:
    _Case = object


class SendingTests(_Case):
    """The windows of what is sent."""

    def test_stream_window(self) -> None:
        """What the stream's window does not let out waits; whoever sends is told to, and told when to go on."""
        talk = self.opened(settings={"initial_window_size": 4})
        self.assertEqual(outline(talk.send(A, b"hello world"))[0], ("pause upload", A))
        talk.send(A, b"!")
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"hell", False)])
        self.assertIn(("resume upload", A), outline(talk.receive(talk.peer.window(1, 100))))
        self.assertEqual(b"".join(frame[2] for frame in talk.newly_sent()), b"o world!")

    def test_connection_window(self) -> None:
        """Nor does the connection's: others that have content wait for it as well."""
        talk = self.opened()
        talk.send(A, bytes(65_535))
        talk.newly_sent()
        self.assertEqual(outline(talk.send(A, b"more")), [("pause upload", A)])
        talk.receive(talk.peer.window(1, 100))
        self.assertEqual(talk.newly_sent(), [])
        talk.receive(talk.peer.window(0, 100))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"more", False)])

    def test_changed_window(self) -> None:
        """RFC 9113 section 6.9.2: a new initial window adjusts it, below zero if it must be."""
        talk = self.opened()
        talk.send(A, b"four")
        talk.receive(talk.peer.settings(initial_window_size=2))
        talk.newly_sent()
        talk.send(A, b"five!")
        self.assertEqual(talk.newly_sent(), [])
        talk.receive(talk.peer.window(1, 5))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"fiv", False)])

    def test_end_waits_too(self) -> None:
        """The end comes behind what waits, also where the peer has ended meanwhile."""
        talk = self.opened(settings={"initial_window_size": 4})
        talk.send(A, b"hello")
        talk.send(A, b"", True)
        talk.newly_sent()
        talk.receive(talk.peer.data(1, b"", True))
        talk.receive(talk.peer.window(1, 100))
        sent = talk.newly_sent()
        self.assertEqual((b"".join(frame[2] for frame in sent), sent[-1][3]), (b"o", True))
        self.assertEqual(talk.outline, [("pause upload", A), ("tunnel closed", A)])

    def test_transport_held(self) -> None:
        """A transport that takes nothing makes it wait likewise."""
        talk = self.opened()
        talk.hold_sending()
        self.assertEqual(outline(talk.send(A, b"hello")), [("pause upload", A)])
        self.assertIn(("resume upload", A), outline(talk.hold_sending(False)))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"hello", False)])


class ReceivingTests(_Case):
    """The windows of what is received are the tunnel's; `flow` is not."""

    def test_no_flow(self) -> None:
        """`flow` counts the data of responses: how much the tunnel may carry is for what it carries to say."""
        for options in ({"flow": 1}, {}):
            talk = self.talk_to_proxy(**options)
            self.ask_tunnel(talk, flow=1)
            talk.receive(talk.peer.respond(1), *[talk.peer.data(1, b"x")] * 5)
            self.assertEqual(talk.outline, [*self.answer, ("tunnel", A, b"xxxxx")])
            self.assertEqual(talk.update_flow(A, 1), [])

    def test_renewed(self) -> None:
        """A megabyte that is read as it comes never finds the windows shut."""
        talk = self.opened(initial_stream_window_size=65_535, initial_connection_window_size=65_535)
        received = 0
        while received < 1_000_000:
            piece = min(16_384, talk.peer.room[0], talk.peer.room[1])
            self.assertGreater(piece, 0)
            talk.receive(talk.peer.data(1, bytes(piece)))
            received += piece
        self.assertEqual(sum(len(step.data) for step in talk.steps if isinstance(step, TunnelData)), received)

    def test_held(self) -> None:
        """Who cannot take more is told nothing, and the window is not opened again; then all of it, and the window with it."""
        talk = self.opened(**SMALL)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x" * 600), talk.peer.data(1, b"y" * 400))
        self.assertEqual((talk.outline, [frame for frame in talk.newly_sent() if frame[1] == 1]), ([], []))
        talk.hold(A, False)
        self.assertEqual(talk.outline, [("tunnel", A, b"x" * 600 + b"y" * 400)])
        self.assertTrue([frame for frame in talk.newly_sent() if frame[:2] == ("WINDOW_UPDATE", 1)])

    def test_held_before(self) -> None:
        """Who was held while it was asked for is not held by that in the tunnel."""
        talk = self.pending()
        talk.hold(A)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"hi"))
        self.assertEqual(talk.outline, [*self.answer, ("tunnel", A, b"hi")])

    def test_others_go_on(self) -> None:
        """The other streams do not notice."""
        talk = self.opened()
        talk.ask(B)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x"), talk.peer.respond(3), talk.peer.data(3, b"hello", True))
        self.assertEqual(talk.outline, [("response", B, 200, (), False), ("data", B, b"hello", True)])

    def test_held_and_over(self) -> None:
        """What had come is told before the end, whichever that is; where nobody wants it, it is not."""
        ends: dict[str, tuple[Callable[[Http2Conversation], object], list[str]]] = {
            "ended": (lambda talk: (talk.receive(talk.peer.data(1, b"", True)), talk.hold(A, False)), ["tunnel", "tunnel closed"]),
            "both": (
                lambda talk: (talk.receive(talk.peer.data(1, b"", True)), talk.send(A, b"", True), talk.hold(A, False)),
                ["tunnel", "tunnel closed"],
            ),
            "reset": (lambda talk: talk.receive(talk.peer.reset(1)), ["tunnel", "failed"]),
            "headers": (lambda talk: talk.receive(talk.peer.trailers(1)), ["tunnel", "failed"]),
            "lost": (lambda talk: talk.lose(), ["tunnel", "failed"]),
            "cancelled": (lambda talk: (talk.cancel(A), talk.hold(A, False)), []),
        }
        for why, (end, expected) in ends.items():
            talk = self.opened()
            talk.hold(A)
            talk.receive(talk.peer.data(1, b"ke"), talk.peer.data(1, b"pt"))
            end(talk)
            self.assertEqual([entry[0] for entry in talk.outline], expected, why)
            self.assertEqual([entry[2] for entry in talk.outline if entry[0] == "tunnel"], [b"kept"] * bool(expected))

    def test_beyond_the_window(self) -> None:
        """More than the stream's window is its failure; as much is not."""
        for size in (9, 10, 11):
            talk = self.opened(initial_stream_window_size=10)
            talk.receive(talk.peer.data(1, b"x" * size))
            expected: Any = ("tunnel", A, b"x" * size) if size <= 10 else ("failed", A, PROTOCOL_VIOLATION)
            self.assertEqual(talk.outline, [expected])
            self.assertEqual([frame[2] for frame in talk.newly_sent() if frame[0] == "RST_STREAM"], ["FLOW_CONTROL_ERROR"] * (size > 10))
            self.assert_alive(talk)


class ResetTests(_Case):
    """RST_STREAM, from either side."""

    def test_each_code(self) -> None:
        """RFC 9113 section 8.5: a failure of the proxy's connection is a reset: its code is told, and bytes that came before it."""
        for code in (*ErrorCode, 0xDEAD):
            if code == ErrorCode.REFUSED_STREAM:
                continue
            talk = self.pending()
            talk.receive(talk.peer.reset(1, code))
            self.assertEqual(talk.outline, [("failed", A, f"StreamReset({int(code)})")])
            self.assert_alive(talk)
            talk = self.opened()
            talk.receive(talk.peer.data(1, b"half"), talk.peer.reset(1, code))
            self.assertEqual(talk.outline, [("tunnel", A, b"half"), ("failed", A, f"StreamReset({int(code)})")])
            self.assertEqual((talk.send(A, b"more"), talk.send(A, b"", True)), ([], []))
            self.assert_alive(talk)
            self.assertEqual(talk.core.losses().unprocessed, ())

    def test_refused(self) -> None:
        """REFUSED_STREAM, before an answer, says that it was certainly not processed."""
        talk = self.pending()
        talk.receive(talk.peer.reset(1, ErrorCode.REFUSED_STREAM))
        self.assertEqual(talk.outline, [("failed", A, "StreamRefused")])
        self.assertEqual(talk.core.losses().unprocessed, (A,))
        self.assert_alive(talk)

    def test_refused_after_all(self) -> None:
        """Behind an answer it says so in vain: the tunnel was made, and carried what was sent; to send that again is not safe."""
        talk = self.opened()
        talk.send(A, b"POST / HTTP/1.1\r\n\r\n")
        talk.receive(talk.peer.data(1, b"HTTP/1.1 "), talk.peer.reset(1, ErrorCode.REFUSED_STREAM))
        self.assertEqual(talk.outline, [("tunnel", A, b"HTTP/1.1 "), ("failed", A, "StreamReset(7)")])
        self.assertEqual(talk.core.losses().unprocessed, ())

    def test_goaway_after_all(self) -> None:
        """So it is with a GOAWAY that does not count a tunnel which is open, or whose end has come and was not read yet."""
        for fin in (False, True):
            talk = self.opened()
            talk.hold(A)
            talk.receive(talk.peer.data(1, b"kept", fin), talk.peer.goaway(0))
            self.assertEqual([entry[:2] for entry in talk.outline][:2], [("tunnel", A), ("tunnel closed" if fin else "failed", A)])
            self.assertEqual(talk.core.losses().unprocessed, ())

    def test_after_the_end(self) -> None:
        """A tunnel whose end was told is told nothing more by a reset, nor is one that both have ended."""
        for both in (False, True):
            talk = self.opened()
            talk.receive(talk.peer.data(1, b"", True))
            if both:
                talk.send(A, b"", True)
            talk.receive(talk.peer.reset(1, 0))
            self.assertEqual([entry[0] for entry in talk.outline], ["tunnel closed"])
            self.assert_alive(talk)

    def test_waiting_bytes(self) -> None:
        """What had waited for the window is gone with it, and takes no more of anything."""
        talk = self.opened(settings={"initial_window_size": 0})
        talk.send(A, b"waits")
        talk.receive(talk.peer.reset(1, ErrorCode.CONNECT_ERROR))
        talk.newly_sent()
        talk.receive(talk.peer.window(0, 100))
        self.assertEqual((talk.newly_sent(), talk.core.deadline()), ([], None))

    def test_cancelled(self) -> None:
        """Ours, at once; what is on its way is passed over, whatever it is."""
        for begin in self.states():
            for drain in (False, True):
                talk = begin()
                talk.cancel(A, drain=drain)
                self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
                talk.steps.clear()
                if begin == self.pending:
                    talk.receive(talk.peer.respond(1))
                talk.receive(talk.peer.data(1, b"late"), talk.peer.window(1, 5), talk.peer.data(1, b"", True), talk.peer.reset(1))
                self.assertEqual((talk.outline, talk.newly_sent()), ([], []))
                self.assert_alive(talk)

    def states(self) -> tuple[Callable[[], Http2Conversation], ...]:
        """How far it may have come."""
        return self.pending, self.opened

    def test_cancelled_after_an_end(self) -> None:
        """Also where one direction has ended already; where both have, there is nothing to reset."""
        for ours, theirs in ((True, False), (False, True), (True, True)):
            talk = self.opened()
            if ours:
                talk.send(A, b"", True)
            if theirs:
                talk.receive(talk.peer.data(1, b"", True))
            talk.newly_sent()
            talk.cancel(A)
            self.assertEqual(talk.newly_sent(), [] if ours and theirs else [("RST_STREAM", 1, "CANCEL")])
            self.assert_alive(talk)


class EndTests(_Case):
    """The end of the connection."""

    def test_lost(self) -> None:
        """An open tunnel is told the very reason: what that means is for what it carries to say."""
        for clean in (True, False):
            talk = self.opened()
            reason = ConnectionFailed("reset")
            (step,) = talk.lose(clean=clean, reason=reason)
            assert isinstance(step, StreamFailed)
            self.assertIs(step.reason, reason)
            self.assertEqual(talk.core.losses().killed, (A,))

    def test_violation(self) -> None:
        """A fault of the connection ends all of them by that."""
        for begin in (self.pending, self.opened):
            talk = begin()
            talk.receive(talk.peer.frame(FrameType.PING, 0, 0, b"short"))
            self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION))
            self.assertEqual(talk.core.losses().killed, (A,))

    def test_goaway_with_it(self) -> None:
        """A tunnel that the server still counts lives on, and is told that it should end; no other can be asked for."""
        talk = self.opened(closing_timeout=5.0)
        talk.receive(talk.peer.goaway(1))
        self.assertFalse(talk.core.accepting)
        talk.send(A, b"still")
        talk.receive(talk.peer.data(1, b"here"))
        self.assertEqual(talk.outline, [("leaving",), ("tunnel", A, b"here")])
        talk.receive(talk.peer.data(1, b"", True))
        self.assertEqual(outline(talk.send(A, b"", True))[-1], ("close", None))

    def test_goaway_without_it(self) -> None:
        """One above the last stream was not processed; the connection ends with the last of the others."""
        talk = self.talk_to_proxy()
        talk.ask(B)
        self.ask_tunnel(talk)
        talk.receive(talk.peer.goaway(1, ErrorCode.ENHANCE_YOUR_CALM))
        self.assertEqual(talk.outline, [("failed", A, "GoAway(11, 1)")])
        self.assertEqual(talk.core.losses().unprocessed, (A,))
        talk.receive(talk.peer.respond(1, fin=True))
        self.assertEqual([entry[0] for entry in talk.outline], ["failed", "response", "close"])

    def test_goaway_and_time(self) -> None:
        """A tunnel lives on for no longer than `closing_timeout`; where that is None it may last, and is told nothing."""
        talk = self.opened(closing_timeout=5.0)
        talk.receive(talk.peer.goaway(1))
        talk.at(5.0)
        self.assertEqual(talk.outline[1:], [("failed", A, "TimedOut(closing, 5.0)"), ("close", "TimedOut(closing, 5.0)")])
        talk = self.opened(closing_timeout=None)
        talk.receive(talk.peer.goaway(1))
        self.assertEqual((talk.outline, talk.core.deadline()), ([], None))

    def test_shutdown(self) -> None:
        """Shutting down, a tunnel is waited for like a response, whichever end comes first."""
        for ours_first in (True, False):
            talk = self.opened()
            talk.shutdown()
            self.assertEqual([frame[0] for frame in talk.newly_sent()], ["GOAWAY"])
            if ours_first:
                talk.send(A, b"bye", True)
                self.assertFalse(talk.over)
                self.assertEqual([entry[0] for entry in outline(talk.receive(talk.peer.data(1, fin=True)))], ["tunnel closed", "close"])
            else:
                talk.receive(talk.peer.data(1, b"bye", True))
                self.assertFalse(talk.over)
                self.assertEqual(outline(talk.send(A, b"", True))[-1], ("close", None))

    def test_lost_before_the_answer(self) -> None:
        """Before the answer it is a request like any other."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 103))
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed")])

    def test_lost_after_our_end(self) -> None:
        """We have ended it, and the peer has not: that was no orderly end."""
        talk = self.opened()
        talk.send(A, b"", True)
        self.assertEqual([entry[0] for entry in outline(talk.lose())], ["failed"])

    def test_lost_after_their_end(self) -> None:
        """The peer has ended it, and we have not yet: it was told the end, and is told nothing more."""
        for how in ("lost", "reset", "refused", "goaway", "violation", "stalled"):
            talk = self.opened(settings={"initial_window_size": 0}, send_timeout=5.0)
            talk.receive(talk.peer.data(1, b"", True))
            talk.send(A, b"never sent", True)
            if how == "lost":
                talk.lose()
            elif how == "reset":
                talk.receive(talk.peer.reset(1, 0))
            elif how == "refused":  # which is not so: it was answered
                talk.receive(talk.peer.reset(1, ErrorCode.REFUSED_STREAM))
            elif how == "goaway":  # likewise
                talk.receive(talk.peer.goaway(0))
            elif how == "violation":
                talk.receive(talk.peer.frame(FrameType.PING, 0, 0, b"short"))
            else:
                talk.at(5.0)
            told = [entry for entry in talk.outline if entry[0] not in ("pause upload", "close")]
            self.assertEqual(told, [("tunnel closed", A)], how)
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_answered_while_leaving(self) -> None:
        """The answer is waited for; a tunnel that comes only then is told at once that it should end."""
        for goaway in (True, False):
            talk = self.pending(closing_timeout=5.0)
            talk.receive(talk.peer.goaway(1)) if goaway else talk.shutdown()
            self.assertEqual(talk.outline, [])
            talk.receive(talk.peer.respond(1))
            self.assertEqual(talk.outline, [*self.answer, ("leaving",)])


class TimeTests(_Case):
    """Time."""

    def test_response_timeout(self) -> None:
        """The answer is waited for no longer than any other, though the request has no end; interim ones do not help."""
        talk = self.pending(response_timeout=3.0)
        self.assertEqual(talk.core.deadline(), 3.0)
        self.assertEqual(talk.at(2.9), [])
        self.assertEqual(outline(talk.at(3.0))[0], ("failed", A, "TimedOut(response, 3.0)"))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
        self.assert_alive(talk)

    def test_none_in_the_tunnel(self) -> None:
        """A tunnel may be silent: neither of them runs, whatever comes and goes."""
        talk = self.pending(response_timeout=3.0, idle_timeout=3.0)
        talk.receive(talk.peer.respond(1))
        for step in (
            lambda: talk.receive(talk.peer.data(1, b"x")),
            lambda: talk.send(A, b"y"),
            lambda: talk.hold(A),
            lambda: talk.hold(A, False),
            lambda: talk.send(A, b"", True),
        ):
            self.assertIsNone(talk.core.deadline())
            step()
        self.assertIsNone(talk.core.deadline())

    def test_send_timeout(self) -> None:
        """A proxy that leaves the window shut before waiting bytes is given up: this tunnel of it."""
        talk = self.opened(settings={"initial_window_size": 0}, send_timeout=3.0)
        talk.send(A, b"hello")
        self.assertEqual(outline(talk.at(3.0))[0], ("failed", A, "TimedOut(write, 3.0)"))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
        self.assert_alive(talk)
