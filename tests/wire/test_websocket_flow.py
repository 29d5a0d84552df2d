"""Flow and hold: a websocket tells no more than its owner wants, and stops reading meanwhile."""

from __future__ import annotations

from twisted_gun.events import Binary, Close, Ping, Pong, Text
from twisted_gun.wire.steps import Pause, Resume

from .conversation import A, outline
from .ws_conversation import RSV1, Opcode, WsCase, agreed, close, fragments, ping, pong, server_frame, text


class FlowTests(WsCase):
    """`flow`: so many frames."""

    def test_counts(self) -> None:
        """So many are told, then reading stops; `update_flow` lets as many more come."""
        talk = self.talk(flow=2)
        talk.receive(text("1"))
        self.assertFalse(talk.paused)
        talk.receive(text("2") + text("3") + text("4") + text("5"))
        self.assertEqual((talk.frames, talk.paused), ([Text("1"), Text("2")], True))
        talk.update_flow(A, 1)
        self.assertEqual((talk.frames[2:], talk.paused), ([Text("3")], True))
        talk.update_flow(A, 3)
        self.assertEqual((talk.frames[3:], talk.paused), ([Text("4"), Text("5")], False))
        talk.receive(text("6") + text("7"))
        self.assertEqual((talk.frames[5:], talk.paused), ([Text("6")], True))

    def test_every_cut(self) -> None:
        """Wherever it is cut, the same is told."""
        data = text("1") + server_frame(Opcode.BINARY, b"2" * 200) + fragments(Opcode.TEXT, b"a", b"b") + text("") + close(1000)
        frames = [Text("1"), Binary(b"2" * 200), Text("ab"), Text(""), Close(1000)]
        for flow in (1, 2, 3):
            for at in range(len(data)):
                talk = self.talk(flow=flow)
                talk.receive(data[:at], data[at:])
                self.assertEqual(talk.frames, frames[:flow])
                while len(talk.frames) < len(frames):
                    before = len(talk.frames)
                    talk.update_flow(A, 1)
                    self.assertIn(len(talk.frames), (before + 1, len(frames)))
                self.assertEqual(talk.frames, frames)

    def test_messages_not_fragments(self) -> None:
        """A message in many fragments is one."""
        talk = self.talk(flow=1)
        talk.receive_bytes(fragments(Opcode.TEXT, *[b"x"] * 10))
        self.assertEqual(talk.frames, [Text("x" * 10)])

    def test_silent_frames(self) -> None:
        """Pings and pongs that nobody is told of cost nothing; those that are told do."""
        talk = self.talk(flow=1)
        talk.receive(ping(b"1") + pong(b"2") + ping(b"3"))
        self.assertEqual((talk.sent, talk.paused), ([Pong(b"1"), Pong(b"3")], False))
        talk = self.talk(flow=1, silent=False)
        talk.receive(ping(b"1") + pong(b"2") + ping(b"3"))
        self.assertEqual((talk.frames, talk.sent, talk.paused), ([Ping(b"1")], [Pong(b"1")], True))
        talk.update_flow(A, 2)
        self.assertEqual((talk.frames[1:], talk.sent), ([Pong(b"2"), Ping(b"3")], [Pong(b"1"), Pong(b"3")]))

    def test_what_is_behind_waits(self) -> None:
        """What is not read is not met either: pings wait, and so does the Close."""
        talk = self.talk(flow=1)
        talk.receive(text("1") + ping() + close(1000))
        self.assertEqual((talk.sent, talk.core.open), ([], True))
        talk.update_flow(A, 1)
        self.assertEqual((talk.frames, talk.sent), ([Text("1"), Close(1000)], [Pong(b""), Close(1000)]))
        self.assertFalse(talk.paused)

    def test_a_fault_behind_waits(self) -> None:
        """So does what must not be."""
        talk = self.talk(flow=1)
        talk.receive(text("1") + server_frame(3))
        self.assertEqual(talk.outline, [("ws", A, Text("1"))])
        talk.update_flow(A, 1)
        self.assert_failed(talk, 1002)

    def test_debt(self) -> None:
        """An increment may be too small for anything to be told."""
        talk = self.talk(flow=1)
        talk.receive(text("1") + text("2"))
        talk.core.update_flow(A, -1, talk.now)
        self.assertEqual(talk.update_flow(A, 1), [])
        self.assertTrue(talk.paused)

    def test_without(self) -> None:
        """Without flow all is told, and `update_flow` changes nothing."""
        talk = self.talk()
        talk.receive(text("1") * 100)
        self.assertEqual(talk.update_flow(A, 1), [])
        self.assertEqual((len(talk.frames), talk.paused), (100, False))


class HoldTests(WsCase):
    """`hold`: nothing for now."""

    def test_held(self) -> None:
        """Reading stops at once, and goes on where it had stopped; what came meanwhile is told then."""
        talk = self.talk()
        self.assertEqual(talk.hold(A), [Pause()])
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.receive(text("1") + text("2")[:-1]), [])
        self.assertEqual(talk.receive(b"2"), [])
        steps = talk.hold(A, False)
        self.assertEqual((talk.frames, steps[-1]), ([Text("1"), Text("2")], Resume()))
        self.assertEqual(talk.hold(A, False), [])

    def test_in_a_frame(self) -> None:
        """In the midst of a frame too, a large one or a compressed one."""
        for data, frame, deflate in (
            (server_frame(Opcode.BINARY, b"x" * 300), Binary(b"x" * 300), None),
            (fragments(Opcode.BINARY, b"a", b"b"), Binary(b"ab"), None),
            (fragments(Opcode.BINARY, b"\xf2H\xcd", b"\xc9\xc9\x07\x00", rsv=RSV1), Binary(b"Hello"), agreed()),
        ):
            for at in range(len(data)):
                talk = self.talk(deflate=deflate)
                talk.receive(data[:at])
                talk.hold(A)
                talk.receive(data[at:])
                self.assertEqual(talk.frames, [])
                talk.hold(A, False)
                self.assertEqual(talk.frames, [frame])

    def test_with_flow(self) -> None:
        """Both must allow it."""
        talk = self.talk(flow=1)
        talk.hold(A)
        talk.receive(text("1") + text("2"))
        talk.update_flow(A, 1)
        self.assertEqual((talk.frames, talk.paused), ([], True))
        talk.hold(A, False)
        self.assertEqual((talk.frames, talk.paused), ([Text("1"), Text("2")], True))

    def test_sending_goes_on(self) -> None:
        """What we send, and our Close, does not wait for it."""
        talk = self.talk()
        talk.hold(A)
        talk.say("hi")
        talk.shutdown()
        self.assertEqual(talk.sent, [Text("hi"), Close(1001)])

    def test_closing_meanwhile(self) -> None:
        """Whoever does not read on does not see the answer to a Close in time."""
        talk = self.talk(closing_timeout=5.0)
        talk.hold(A)
        talk.say(Close(1000))
        talk.receive(close(1000))
        self.assertEqual(outline(talk.at(5.0))[-1], ("close", "TimedOut(closing, 5.0)"))


class LossTests(WsCase):
    """The connection ends while its owner wants nothing."""

    def test_told_all_the_same(self) -> None:
        """What has arrived is told: there is no later."""
        data = text("1") + text("2") + server_frame(Opcode.BINARY, b"3" * 200)
        for flow in (None, 1):
            talk = self.talk(flow=flow)
            if flow is None:
                talk.hold(A)
            talk.receive(data)
            talk.lose()
            self.assertEqual(talk.frames, [Text("1"), Text("2"), Binary(b"3" * 200)])
            self.assertEqual(talk.outline[-1], ("failed", A, "StreamClosed"))

    def test_close_in_time(self) -> None:
        """A Close among it makes it a good end."""
        talk = self.talk()
        talk.hold(A)
        talk.receive(text("1") + close(1000))
        talk.lose()
        self.assertEqual(talk.frames, [Text("1"), Close(1000)])
        self.assertEqual(talk.core.losses().killed, ())

    def test_fault_among_it(self) -> None:
        """What must not be is told as that."""
        talk = self.talk()
        talk.hold(A)
        talk.receive(text("1") + server_frame(3) + text("2"))
        talk.lose()
        self.assertEqual(talk.outline, [("ws", A, Text("1")), ("failed", A, "ProtocolViolation")])
