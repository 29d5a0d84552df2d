"""Compressed messages (RFC 7692): windows that outlive a message or do not, fragments, and what cannot be inflated."""

from __future__ import annotations

import zlib

from twisted_gun.events import Binary, Close, Ping, Pong, Text

from .conversation import PROTOCOL_VIOLATION
from .ws_conversation import RSV1, Opcode, WsCase, WsConversation, agreed, close, fragments, ping, server_frame, text

#: Longer than the smallest windows, and it repeats itself at all distances.
STORY = "".join(f"and then {number * number} of them went on, {number} and {number % 7}; " for number in range(60))
TAKEOVERS = [(client, server) for client in (True, False) for server in (True, False)]


class RoundTripTests(WsCase):
    """Both directions."""

    def test_sent(self) -> None:
        """What we compress the server reads as it was, whatever was agreed."""
        for bits in range(8, 16):
            for client, _ in TAKEOVERS:
                talk = self.talk(deflate=agreed(client_bits=bits, client_takeover=client))
                said: list[str | bytes] = [STORY, STORY, b"\0\1\2" * 1000, "", STORY[:5], b"", ""]
                for frame in said:
                    talk.say(frame)
                self.assertEqual([frame.text if isinstance(frame, Text) else frame.data for frame in talk.sent], said)  # type: ignore[union-attr]
                self.assertTrue(all(raw.rsv == RSV1 for raw in talk.raw))

    def test_received(self) -> None:
        """What the server compresses we read as it was, whatever was agreed."""
        for bits in range(8, 16):
            for _, server in TAKEOVERS:
                talk = self.talk(deflate=agreed(server_bits=bits, server_takeover=server))
                for said in (STORY, STORY, "", STORY[:5], STORY[5:]):
                    talk.receive(talk.compressed(said.encode()))
                self.assertEqual(talk.frames, [Text(STORY), Text(STORY), Text(""), Text(STORY[:5]), Text(STORY[5:])])

    def test_takeover(self) -> None:
        """With context takeover a message said again is hardly any bytes; without it is as long as the first time."""
        for takeover in (True, False):
            talk = self.talk(deflate=agreed(client_takeover=takeover))
            talk.say(STORY[:1000])
            talk.say(STORY[:1000])
            first, again = (len(raw.payload) for raw in talk.raw)
            self.assertEqual(again < first / 4, takeover)
            self.assertEqual(again == first, not takeover)

    def test_empty(self) -> None:
        """Empty messages, one after another: section 7.2.3.6."""
        for takeover in (True, False):
            talk = self.talk(deflate=agreed(client_takeover=takeover, server_takeover=takeover))
            for _ in range(3):
                talk.say("", b"")
            self.assertEqual(talk.sent, [Text(""), Binary(b"")] * 3)
            talk.receive(talk.compressed(b"") * 3 + server_frame(Opcode.TEXT, b"\0", rsv=RSV1))
            self.assertEqual(talk.frames, [Text("")] * 4)

    def test_not_control_frames(self) -> None:
        """Section 6.1: extensions' bits are not set on control frames, which are not compressed."""
        talk = self.talk(deflate=agreed())
        talk.say(Ping(b"x" * 125), Pong(b"x" * 125), Close(1000, "x" * 123))
        self.assertEqual([raw.rsv for raw in talk.raw], [0, 0, 0])


class ReadingTests(WsCase):
    """What comes."""

    def compressed(self, data: bytes) -> bytes:
        """`data` as the first message of a server compresses it."""
        talk = self.talk(deflate=agreed())
        assert talk.deflate is not None
        return talk.deflate.compress(data)

    def test_every_cut(self) -> None:
        """Wherever a compressed message is cut, by reads or by frames, it is the same."""
        data = self.compressed(b"hello " * 50 + "\U0001f600".encode())
        whole = Text("hello " * 50 + "\U0001f600")
        self.assert_told(server_frame(Opcode.TEXT, data, rsv=RSV1), whole, deflate=agreed())
        for at in range(len(data) + 1):
            talk = self.talk(deflate=agreed())
            talk.receive_bytes(fragments(Opcode.TEXT, data[:at], data[at:], b"", rsv=RSV1))
            self.assertEqual(talk.frames, [whole])

    def test_large(self) -> None:
        """A message of many slices of what is inflated at a time, at their very sizes too."""
        for size in (65_535, 65_536, 65_537, 131_072, 1_000_000):
            talk = self.talk(deflate=agreed())
            talk.receive(talk.compressed(b"x" * size) + talk.compressed(b"behind"))
            self.assertEqual(talk.frames, [Text("x" * size), Text("behind")])

    def test_not_compressed_among_them(self) -> None:
        """Section 6: the server may send any message as it is; the window is left alone by it."""
        talk = self.talk(deflate=agreed())
        first, second = talk.compressed(b"hello hello"), talk.compressed(b"hello again")
        talk.receive(first + text("plain") + fragments(Opcode.TEXT, b"pl", b"ain") + second)
        self.assertEqual(talk.frames, [Text("hello hello"), Text("plain"), Text("plain"), Text("hello again")])

    def test_control_frames_between(self) -> None:
        """Control frames in the midst of a compressed message."""
        data = self.compressed(b"hello")
        message = fragments(Opcode.TEXT, data[:2], b"", data[2:], rsv=RSV1, between=ping(b"!"))
        self.assert_told(message + text("x"), Text("hello"), Text("x"), sent=[Pong(b"!")] * 2, deflate=agreed())

    def test_bit_where_it_must_not_be(self) -> None:
        """Section 6.1: the bit is the first frame's only, and never a control frame's; the other bits mean nothing."""
        data = self.compressed(b"hello")
        begun = server_frame(Opcode.TEXT, data[:2], fin=False, rsv=RSV1)
        plain = server_frame(Opcode.TEXT, b"plain", fin=False)
        for start in (begun, plain):
            self.assert_violation(start + server_frame(Opcode.CONTINUATION, data[2:], rsv=RSV1), deflate=agreed())
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            self.assert_violation(server_frame(opcode, rsv=RSV1), deflate=agreed())
            self.assert_violation(begun + server_frame(opcode, rsv=RSV1), deflate=agreed())
        for rsv in (1, 2, 3, 5, 6, 7):
            self.assert_violation(server_frame(Opcode.TEXT, data, rsv=rsv), deflate=agreed())

    def test_not_agreed(self) -> None:
        """Where compression was not agreed on the bit must not be set at all."""
        self.assert_violation(server_frame(Opcode.TEXT, self.compressed(b"hello"), rsv=RSV1))

    def test_garbage(self) -> None:
        """What cannot be inflated fails the websocket with 1007."""
        for data in (b"\xff" * 10, b"\x06", b"\x07hello", b"\x00\x05\x00\x00\x00", b"\x04\x00\x00"):
            self.assert_violation(server_frame(Opcode.BINARY, data + b"\xff" * 10, rsv=RSV1), 1007, deflate=agreed())
            self.assert_violation(fragments(Opcode.BINARY, data, b"\xff" * 10, rsv=RSV1), 1007, deflate=agreed())

    def test_beyond_the_window(self) -> None:
        """Section 7.1.2.1: what reaches further back than the window that was agreed on cannot be inflated."""
        far = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = bytes(number * number % 251 for number in range(300)) + bytes(2000)
        data = far.compress(data + data[:300]) + far.flush(zlib.Z_SYNC_FLUSH)
        talk = self.talk(deflate=agreed(server_bits=9))
        talk.receive_bytes(server_frame(Opcode.BINARY, data[:-4], rsv=RSV1))
        self.assert_failed(talk, 1007)

    def test_context_that_is_not_there(self) -> None:
        """A server that said it takes no context over, and does, refers to what is gone."""
        talk = self.talk(deflate=agreed())
        first, second = talk.compressed(STORY[:500].encode()), talk.compressed(STORY[:500].encode())
        talk = self.talk(deflate=agreed(server_takeover=False))
        talk.receive(first, second)
        self.assertEqual(talk.frames, [Text(STORY[:500])])
        self.assert_failed(talk, 1007)

    def test_not_text(self) -> None:
        """Text is checked as it is when inflated."""
        for bad in (b"\xff", b"text \xed\xa0\x80", b"not whole \xc3", b"x" * 100_000 + b"\xff"):
            data = server_frame(Opcode.TEXT, self.compressed(bad), rsv=RSV1)
            self.assert_violation(data, 1007, deflate=agreed())

    def test_ended(self) -> None:
        """A message that is cut off by the end of the connection is not told."""
        data = server_frame(Opcode.TEXT, self.compressed(b"hello"), rsv=RSV1)
        for at in range(1, len(data)):
            talk = self.talk(deflate=agreed())
            talk.receive(data[:at])
            talk.lose()
            self.assertEqual([entry[0] for entry in talk.outline], ["failed"])

    def test_close_in_the_midst(self) -> None:
        """A Close in the midst of a compressed message ends it."""
        begun = server_frame(Opcode.TEXT, self.compressed(b"hello")[:2], fin=False, rsv=RSV1)
        self.assert_told(begun + close(1000), Close(1000), sent=[Close(1000)], deflate=agreed())

    def test_failed_at_once(self) -> None:
        """The rest of what cannot be inflated is not waited for."""
        talk: WsConversation = self.talk(deflate=agreed())
        talk.receive(server_frame(Opcode.TEXT, b"\xff" * 20, rsv=RSV1, length=100_000))
        self.assert_failed(talk, 1007, PROTOCOL_VIOLATION)
