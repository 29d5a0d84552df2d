"""How a websocket ends (RFC 6455 sections 5.5.1 and 7): by a Close of either side, by a fault, by its time, or by nothing at all."""

from __future__ import annotations

from twisted_gun.errors import (
    BadState,
    ConnectionFailed,
    GunError,
    LimitReached,
    ProtocolViolation,
    ShuttingDown,
    StreamClosed,
    StreamReset,
    TimedOut,
)
from twisted_gun.events import Close, Text
from twisted_gun.wire.steps import Close as CloseStep
from twisted_gun.wire.steps import StreamFailed

from .conversation import A, outline
from .ws_conversation import Opcode, WsCase, WsConversation, close, fragments, ping, server_frame, text

#: RFC 6455 section 7.4, and the registry of section 11.7; 1014, which wsproto does not know, is in test_websocket_own.py.
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999)
NOT_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


class TheirCloseTests(WsCase):
    """The server closes."""

    def test_answered(self) -> None:
        """It is told, and answered by the same code."""
        for code in CODES:
            for reason in ("", "going, going", "é" * 61):
                self.assert_told(close(code, reason.encode()), Close(code, reason), sent=[Close(code)])

    def test_without_a_code(self) -> None:
        """A Close may say nothing; so does the answer."""
        self.assert_told(close(), Close(None, ""), sent=[Close()])

    def test_bad_codes(self) -> None:
        """Section 7.4: codes that are reserved, and those that nobody may send."""
        for code in NOT_CODES:
            self.assert_violation(close(code))
            self.assert_violation(close(code, b"reason"))

    def test_half_a_code(self) -> None:
        """A Close of one byte."""
        self.assert_violation(server_frame(Opcode.CLOSE, b"\x03"))

    def test_bad_reason(self) -> None:
        """The reason is text."""
        for bad in (b"\xff", b"ok \xed\xa0\x80", b"\xc3"):
            self.assert_violation(close(1000, bad), 1007)

    def test_what_comes_behind(self) -> None:
        """Behind a Close nothing is read any more, in the same read and later."""
        for behind in (text("more"), ping(), close(1001), server_frame(3), b"\xff" * 100):
            for pieces in ([close(1000) + behind], [close(1000), behind]):
                talk = self.talk()
                talk.receive(*pieces)
                self.assertEqual((talk.frames, talk.sent), ([Close(1000)], [Close(1000)]))

    def test_in_a_message(self) -> None:
        """In the midst of a message it ends that too."""
        data = server_frame(Opcode.TEXT, b"half", fin=False) + close(1001)
        self.assert_told(data, Close(1001), sent=[Close(1001)])

    def test_then_the_connection(self) -> None:
        """Section 7.1.1: the server ends the connection: nobody is told anything more."""
        for clean in (True, False):
            talk = self.talk()
            talk.receive(close(1000))
            self.assertEqual(talk.lose(clean=clean), [])
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_the_connection_stays(self) -> None:
        """If it does not, we do, after closing_timeout, in good order."""
        talk = self.talk(closing_timeout=3.0)
        talk.receive(close(1000))
        self.assertEqual(talk.core.deadline(), 3.0)
        self.assertEqual(talk.at(2.999), [])
        self.assertEqual(talk.at(3.0), [CloseStep(None, abort=False)])

    def test_the_connection_may_stay(self) -> None:
        """With closing_timeout None it may stay as long as it likes."""
        talk = self.talk(closing_timeout=None)
        talk.receive(close(1000))
        self.assertIsNone(talk.core.deadline())


class OurCloseTests(WsCase):
    """We close."""

    def test_answered(self) -> None:
        """The answer is told, whatever its code, and not answered."""
        for answer in (Close(1000), Close(), Close(1011, "no")):
            talk = self.talk()
            talk.say(Close(1000, "done"))
            self.assertEqual((talk.sent, talk.frames), ([Close(1000, "done")], []))
            talk.receive(close(answer.code, answer.reason.encode()))
            self.assertEqual((talk.sent, talk.frames), ([Close(1000, "done")], [answer]))
            self.assertEqual(talk.at(15.0), [CloseStep(None, abort=False)])

    def test_any(self) -> None:
        """Any code that may be sent, and none."""
        for frame in [Close(), *(Close(code, "why") for code in CODES)]:
            talk = self.talk()
            talk.say(frame)
            self.assertEqual(talk.sent, [frame])

    def test_messages_meanwhile(self) -> None:
        """What the server sends before it sees our Close is told."""
        talk = self.talk()
        talk.receive(server_frame(Opcode.TEXT, b"one ", fin=False))
        talk.say(Close(1000))
        talk.receive(server_frame(Opcode.CONTINUATION, b"message") + text("two"), text("three") + close(1000))
        self.assertEqual(talk.frames, [Text("one message"), Text("two"), Text("three"), Close(1000)])

    def test_nothing_more_is_sent(self) -> None:
        """Section 5.5.1: "The application MUST NOT send any more data frames after sending a Close frame." """
        talk = self.talk()
        talk.say("before", Close(1000), "behind", Close(1001))
        self.assertEqual(talk.sent, [Text("before"), Close(1000)])
        for frames in (["more"], [b"more"], [Close()], []):
            self.assertRaises(BadState, talk.say, *frames)
        self.assertEqual(len(talk.sent), 2)

    def test_both_at_once(self) -> None:
        """Both sides close without having seen the other's: section 7.1.1, that is closed too."""
        talk = self.talk()
        talk.say(Close(1000))
        talk.receive(close(1001))
        self.assertEqual((talk.frames, talk.sent), ([Close(1001)], [Close(1000)]))

    def test_not_answered(self) -> None:
        """Without an answer the websocket has failed, and the connection is aborted."""
        for now, expected in ((4.999, []), (5.0, [("failed", A, "TimedOut(closing, 5.0)"), ("close", "TimedOut(closing, 5.0)")])):
            talk = self.talk(closing_timeout=5.0)
            talk.say(Close(1000))
            self.assertEqual(outline(talk.at(now)), expected)
        self.assertEqual([step.abort for step in talk.steps if isinstance(step, CloseStep)], [True])

    def test_waits_for_ever(self) -> None:
        """With closing_timeout None there is no limit."""
        talk = self.talk(closing_timeout=None)
        talk.say(Close(1000))
        self.assertIsNone(talk.core.deadline())

    def test_answered_at_last(self) -> None:
        """The time for the connection's end begins with our Close, and is not set anew by theirs."""
        talk = self.talk(closing_timeout=5.0)
        talk.say(Close(1000))
        talk.at(4.0)
        talk.receive(close(1000))
        self.assertEqual(talk.at(5.0), [CloseStep(None, abort=False)])

    def test_violation_meanwhile(self) -> None:
        """What must not be fails the websocket then too, without a second Close."""
        for bad in (server_frame(3), server_frame(Opcode.TEXT, b"\xff"), close(1006)):
            talk = self.talk()
            talk.say(Close(1000))
            talk.receive(bad)
            self.assertEqual(talk.outline, [("failed", A, "ProtocolViolation")])
            self.assertEqual(talk.sent, [Close(1000)])
            self.assertEqual(outline(talk.at(15.0)), [("close", "ProtocolViolation")])


class ShutdownTests(WsCase):
    """The owner of it all shuts down."""

    def test_going_away(self) -> None:
        """It closes with 1001, and waits for the answer."""
        talk = self.talk()
        talk.receive(text("before"))
        talk.shutdown()
        self.assertEqual(talk.sent, [Close(1001)])
        self.assertRaises(BadState, talk.say, "more")
        talk.receive(text("after") + close(1001))
        self.assertEqual(talk.frames, [Text("before"), Text("after"), Close(1001)])

    def test_not_answered(self) -> None:
        """Not for ever."""
        talk = self.talk(closing_timeout=2.0)
        talk.now = 1.0
        talk.shutdown()
        self.assertEqual(talk.at(2.9), [])
        self.assertEqual(outline(talk.at(3.0))[-1], ("close", "TimedOut(closing, 2.0)"))

    def test_again(self) -> None:
        """Where it is closing already, or has ended, there is nothing to do."""
        talk = self.talk()
        talk.shutdown()
        self.assertEqual(talk.shutdown(), [])
        for end in (close(1000), server_frame(3)):
            talk = self.talk()
            talk.receive(end)
            self.assertEqual(talk.shutdown(), [])


class LossTests(WsCase):
    """The connection ends without a Close."""

    def test_closed(self) -> None:
        """The owner is told that there was none, and why the connection ended."""
        for clean in (True, False):
            for data in (b"", text("hi"), text("hi")[:-1], fragments(Opcode.TEXT, b"a", b"b")[:-1], ping()):
                talk = self.talk()
                talk.receive(data)
                (step,) = talk.lose(clean=clean)
                assert isinstance(step, StreamFailed) and isinstance(step.reason, StreamClosed)
                self.assertEqual((step.stream, str(step.reason.__cause__)), (A, "gone"))
                self.assertIn("1006", str(step.reason))
                self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((A,), ()))

    def test_every_offset(self) -> None:
        """Wherever it is cut, the websocket has one end: with the Close where that is whole, else by an error."""
        data = text("one") + ping(b"?") + fragments(Opcode.BINARY, b"t", b"wo") + text("x" * 130) + close(1000, b"done")
        for at in range(len(data) + 1):
            for pieces in ([data[:at]], [data[place : place + 1] for place in range(at)]):
                talk = self.talk()
                talk.receive(*pieces)
                talk.lose(clean=at % 2 == 0)
                last = ("ws", A, Close(1000, "done")) if at == len(data) else ("failed", A, "StreamClosed")
                self.assertEqual(talk.outline[-1], last)

    def test_in_our_close(self) -> None:
        """While an answer to our Close is awaited: it never came."""
        talk = self.talk()
        talk.say(Close(1000))
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed")])

    def test_failed_before(self) -> None:
        """What has failed is not told a second reason."""
        talk = self.talk()
        talk.receive(server_frame(3))
        self.assertEqual(talk.lose(), [])
        self.assertEqual(talk.core.losses().killed, (A,))

    def test_why(self) -> None:
        """Reasons that say more than that it ended are told as they are."""
        for reason in (
            ProtocolViolation("x"),
            LimitReached("max_glitches", 1),
            ShuttingDown("x"),
            StreamReset("x", 8),
            TimedOut("write", 1.0),
        ):
            (step,) = self.talk().lose(reason=reason)
            assert isinstance(step, StreamFailed)
            self.assertIs(step.reason, reason)
        for other in (ConnectionFailed("x"), GunError("x")):
            (step,) = self.talk().lose(reason=other)
            assert isinstance(step, StreamFailed)
            self.assertIsInstance(step.reason, StreamClosed)


class AfterTheEndTests(WsCase):
    """A websocket that has ended does nothing any more."""

    def test_every_verb(self) -> None:
        """No verb brings steps, whichever way it ended, and frames are refused."""
        for end in ("lost", "closed", "given up", "failed"):
            talk = self.talk(keepalive=1.0, flow=1, silent=False)
            self.end(talk, end)
            self.assertTrue(talk.over)
            steps = [
                talk.receive(text("hi"), ping(), close()),
                talk.update_flow(A, 1),
                talk.hold(A),
                talk.hold(A, False),
                talk.hold_sending(),
                talk.hold_sending(False),
                talk.shutdown(),
                talk.core.time_passed(1e9),
                talk.lose(),
                talk.lose(clean=False),
            ]
            self.assertEqual(steps, [[]] * len(steps), end)
            self.assertRaises(BadState, talk.say, "hi")
            self.assertIsNone(talk.core.deadline())

    def end(self, talk: WsConversation, how: str) -> None:
        """End it by way of `how`."""
        if how == "lost":
            talk.lose()
            return
        if how == "given up":
            talk.say(Close())
        else:
            talk.receive(close() if how == "closed" else server_frame(3))
        talk.at(15.0)
