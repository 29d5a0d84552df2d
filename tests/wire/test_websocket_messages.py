"""Messages of a websocket: their fragments, and that text is text (RFC 6455 sections 5.4 and 8.1)."""

from __future__ import annotations

from twisted_gun.events import Binary, Frame, Ping, Pong, Text

from .conversation import PROTOCOL_VIOLATION, A, halves
from .ws_conversation import Opcode, WsCase, fragments, ping, pong, server_frame, text

#: Characters of one to four bytes.
CHARACTERS = "κόσμε, grün, 水, \U0001f600, \U0010ffff, \ufffe\0\x7f"
#: What is no UTF-8: lone continuations, overlong forms, surrogates, beyond U+10FFFF, bytes that never come, and characters not whole.
NOT_TEXT = (
    b"\x80",
    b"a\xbf",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
)
NOT_WHOLE = (b"\xc3", b"\xe6\xb0", b"\xe6", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0")


class FragmentTests(WsCase):
    """Messages in several frames."""

    def test_joined(self) -> None:
        """Fragments are told as one message, whatever their sizes, cut anywhere."""
        for payloads in ([b"a", b"b"], [b"", b"ab"], [b"ab", b""], [b"", b"", b""], [b"a", b"", b"b"], [b"x" * 126, b"y", b"z" * 200]):
            self.assert_told(fragments(Opcode.TEXT, *payloads), Text(b"".join(payloads).decode()))
            self.assert_told(fragments(Opcode.BINARY, *payloads), Binary(b"".join(payloads)))

    def test_one_after_another(self) -> None:
        """A message that is whole in one frame behind a fragmented one, and before it."""
        data = text("a") + fragments(Opcode.BINARY, b"b", b"c") + text("d") + fragments(Opcode.TEXT, b"e", b"f") + text("g")
        self.assert_told(data, Text("a"), Binary(b"bc"), Text("d"), Text("ef"), Text("g"))

    def test_control_frames_between(self) -> None:
        """Control frames in the midst of a message are met as they come, and tell nothing of it."""
        data = fragments(Opcode.TEXT, b"one ", b"two ", b"three", between=ping(b"!") + pong(b"?"))
        self.assert_told(data, Text("one two three"), sent=[Pong(b"!")] * 2)
        told: list[Frame] = [Ping(b"!"), Pong(b"?")] * 2
        self.assert_told(data, *told, Text("one two three"), sent=[Pong(b"!")] * 2, silent=False)

    def test_not_told_before_its_end(self) -> None:
        """Of a message nothing is told before it is whole."""
        talk = self.talk()
        talk.receive(server_frame(Opcode.BINARY, b"much " * 1000, fin=False), server_frame(Opcode.CONTINUATION, b"more", fin=False))
        self.assertEqual(talk.steps, [])
        talk.receive(server_frame(Opcode.CONTINUATION, b"!"))
        self.assertEqual(talk.frames, [Binary(b"much " * 1000 + b"more!")])

    def test_continuation_of_nothing(self) -> None:
        """A continuation where no message has begun, or where the last one has ended."""
        for fin in (True, False):
            for payload in (b"", b"x", b"x" * 200):
                self.assert_violation(server_frame(Opcode.CONTINUATION, payload, fin=fin))
                self.assert_violation(text("whole") + server_frame(Opcode.CONTINUATION, payload, fin=fin))
                self.assert_violation(fragments(Opcode.TEXT, b"a", b"b") + server_frame(Opcode.CONTINUATION, payload, fin=fin))

    def test_message_in_a_message(self) -> None:
        """RFC 6455 section 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message"."""
        for opcode in (Opcode.TEXT, Opcode.BINARY):
            for payload in (b"", b"x", b"x" * 200):
                for fin in (True, False):
                    self.assert_violation(server_frame(Opcode.TEXT, b"be", fin=False) + server_frame(opcode, payload, fin=fin))


class TextTests(WsCase):
    """Text is UTF-8."""

    def test_characters(self) -> None:
        """Characters may be cut anywhere: by frames, and by reads."""
        self.assert_told(text(CHARACTERS), Text(CHARACTERS))
        for start, end in halves(CHARACTERS.encode()):
            talk = self.talk()
            talk.receive_bytes(fragments(Opcode.TEXT, start, b"", end))
            self.assertEqual(talk.frames, [Text(CHARACTERS)])

    def test_not_text(self) -> None:
        """What is not UTF-8 fails the websocket with 1007: alone, within text, and in fragments."""
        for bad in NOT_TEXT:
            for payload in (bad, b"text " + bad + b" and more", b"x" * 200 + bad):
                self.assert_violation(server_frame(Opcode.TEXT, payload), 1007)
                for size in (1, 2):
                    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
                    self.assert_violation(fragments(Opcode.TEXT, *parts), 1007, cut=False)

    def test_not_whole(self) -> None:
        """A character that the message's end cuts off is none, though the next message may seem to go on with it."""
        for bad in NOT_WHOLE:
            for payload in (bad, b"text " + bad, b"x" * 200 + bad):
                self.assert_violation(server_frame(Opcode.TEXT, payload) + server_frame(Opcode.TEXT, b"\x80"), 1007)
                self.assert_violation(fragments(Opcode.TEXT, payload, b""), 1007)

    def test_at_once(self) -> None:
        """It fails with the first byte that cannot be text: the rest of the frame, or of the message, is not waited for."""
        for bad in NOT_TEXT:
            for data in (
                server_frame(Opcode.TEXT, b"text " + bad, length=100_000),
                server_frame(Opcode.TEXT, b"text ", fin=False) + server_frame(Opcode.CONTINUATION, bad, fin=False),
            ):
                talk = self.talk()
                talk.receive(data)
                self.assert_failed(talk, 1007, PROTOCOL_VIOLATION, bad)

    def test_not_whole_yet(self) -> None:
        """The beginning of a character is no fault as long as its rest may come."""
        for start in NOT_WHOLE:
            talk = self.talk()
            talk.receive(server_frame(Opcode.TEXT, start, fin=False))
            self.assertEqual(talk.steps, [])

    def test_binary(self) -> None:
        """Bytes may be any."""
        everything = bytes(range(256))
        self.assert_told(server_frame(Opcode.BINARY, everything), Binary(everything))
        for bad in (*NOT_TEXT, *NOT_WHOLE):
            self.assert_told(server_frame(Opcode.BINARY, bad), Binary(bad))

    def test_message_cut_off(self) -> None:
        """Of a message whose end never comes nothing is told."""
        data = fragments(Opcode.TEXT, b"half", b"a message")
        for at in range(1, len(data)):
            talk = self.talk()
            talk.receive(data[:at])
            talk.lose()
            self.assertEqual(talk.outline, [("failed", A, "StreamClosed")])
