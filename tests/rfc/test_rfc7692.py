"""RFC 7692, compression of websockets, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from typing import Any

from tests.wire.conversation import halves
from tests.wire.ws_conversation import RSV1, Opcode, WsCase, agreed, fragments, server_frame, text
from twisted_gun.errors import ProtocolViolation
from twisted_gun.events import Ping, Text
from twisted_gun.options import DeflateOptions
from twisted_gun.wire.deflate import Deflater, Inflater, agree, offer

#: Section 7.2.3.1: "Hello", compressed.
HELLO = bytes.fromhex("f248cdc9c90700")


class Section6Tests(WsCase):
    """Section 6: Framing."""

    def test_6_1_bit(self) -> None:
        """A compressed message is one whose first frame has the bit "Per-Message Compressed", which is RSV1."""
        talk = self.talk(deflate=agreed())
        talk.say("Hello", b"Hello")
        self.assertEqual([raw.rsv for raw in talk.raw], [RSV1, RSV1])

    def test_6_1_not_set(self) -> None:
        """ "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments of a data message.  An
        endpoint receiving such a frame MUST _Fail the WebSocket Connection_." """
        begun = server_frame(Opcode.TEXT, HELLO[:3], fin=False, rsv=RSV1)
        self.assert_violation(begun + server_frame(Opcode.CONTINUATION, HELLO[3:], rsv=RSV1), deflate=agreed())
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            self.assert_violation(server_frame(opcode, rsv=RSV1), deflate=agreed())

    def test_6_1_control_frames(self) -> None:
        """Section 5: "PMCEs operate only on data messages." """
        talk = self.talk(deflate=agreed())
        talk.say(Ping(b"Hello"))
        self.assertEqual([(raw.rsv, raw.payload) for raw in talk.raw], [(0, b"Hello")])

    def test_6_2_uncompressed(self) -> None:
        """A message without the bit is as it is, also where compression was agreed on."""
        self.assert_told(text("Hello"), Text("Hello"), deflate=agreed())


class Section7Tests(WsCase):
    """Section 7: The "permessage-deflate" Extension."""

    def agree(self, *parameters: tuple[bytes, bytes | None], **options: Any) -> Any:
        """What is agreed on where the server answers that."""
        return agree(dict(parameters), DeflateOptions(**options))

    def test_7_1_1_1(self) -> None:
        """A server accepts an offer with "server_no_context_takeover" by saying so in its response; one that does not say so has not."""
        self.assertIn(b"server_no_context_takeover", offer(DeflateOptions(server_no_context_takeover=True)))
        self.assertRaises(ProtocolViolation, self.agree, server_no_context_takeover=True)
        told = self.agree((b"server_no_context_takeover", None), server_no_context_takeover=True)
        self.assertFalse(told.server_takeover)

    def test_7_1_1_2(self) -> None:
        """Where the server's response has "client_no_context_takeover", each message of ours is compressed by itself."""
        self.assertFalse(self.agree((b"client_no_context_takeover", None)).client_takeover)
        talk = self.talk(deflate=agreed(client_takeover=False))
        talk.say("Hello", "Hello")
        self.assertEqual(len({raw.payload for raw in talk.raw}), 1)

    def test_7_1_2_1(self) -> None:
        """ "a decimal integer value without leading zeroes between 8 to 15, inclusive", and no larger than what was asked for."""
        for value in (None, b"", b"7", b"16", b"08", b"1a"):
            self.assertRaises(ProtocolViolation, self.agree, (b"server_max_window_bits", value))
        self.assertRaises(ProtocolViolation, self.agree, (b"server_max_window_bits", b"12"), server_max_window_bits=10)
        self.assertEqual(self.agree((b"server_max_window_bits", b"9"), server_max_window_bits=10).server_bits, 9)

    def test_7_1_2_2(self) -> None:
        """ "client_max_window_bits" may be without a value in the offer, where it says that we know it, but not in the response."""
        self.assertIn(b"; client_max_window_bits", offer(DeflateOptions()))
        self.assertRaises(ProtocolViolation, self.agree, (b"client_max_window_bits", None))
        self.assertEqual(self.agree((b"client_max_window_bits", b"10")).client_bits, 10)

    def test_7_1_unknown(self) -> None:
        """A parameter that is not defined for use in a response fails it."""
        self.assertRaises(ProtocolViolation, self.agree, (b"unknown", None))

    def test_7_2_1_tail(self) -> None:
        """ "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end." """
        self.assertEqual(Deflater(agreed()).deflate(b"Hello"), HELLO)

    def test_7_2_2_inflate(self) -> None:
        """ "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message.  Decompress the resulting data" """
        self.assertEqual(b"".join(Inflater(agreed()).inflate(HELLO, True)), b"Hello")


class ExampleTests(WsCase):
    """Section 7.2.3: Examples."""

    def test_7_2_3_1_one_block(self) -> None:
        """ "A Message Compressed Using One Compressed DEFLATE Block": whole, and in two fragments."""
        self.assert_told(bytes.fromhex("c107f248cdc9c90700"), Text("Hello"), deflate=agreed())
        self.assert_told(bytes.fromhex("4103f248cd") + bytes.fromhex("8004c9c90700"), Text("Hello"), deflate=agreed())
        for start, end in halves(HELLO):
            self.assert_told(fragments(Opcode.TEXT, start, end, rsv=RSV1), Text("Hello"), deflate=agreed())

    def test_7_2_3_2_sharing_the_window(self) -> None:
        """ "Sharing LZ77 Sliding Window": the same again is five bytes; both ways of it are read."""
        again = bytes.fromhex("f200110000")
        for second in (HELLO, again):
            data = server_frame(Opcode.TEXT, HELLO, rsv=RSV1) + server_frame(Opcode.TEXT, second, rsv=RSV1)
            self.assert_told(data, Text("Hello"), Text("Hello"), deflate=agreed())
        talk = self.talk(deflate=agreed())
        talk.say("Hello", "Hello")
        self.assertEqual([raw.payload for raw in talk.raw], [HELLO, again])

    def test_7_2_3_3_no_compression(self) -> None:
        """ "A DEFLATE Block with No Compression": 0x00 0x05 0x00 0xfa 0xff and "Hello", and 0x00 behind it."""
        self.assert_told(bytes.fromhex("c10b000500faff48656c6c6f00"), Text("Hello"), deflate=agreed())

    def test_7_2_3_5_two_blocks(self) -> None:
        """ "Two DEFLATE Blocks in One Message": "He" and "llo"."""
        payload = bytes.fromhex("f24805000000ffffcac9c90700")
        self.assert_told(server_frame(Opcode.TEXT, payload, rsv=RSV1), Text("Hello"), deflate=agreed())

    def test_7_2_3_6_empty_message(self) -> None:
        """ "Generation of an Empty Fragment": 0x00, for what there is nothing of."""
        self.assert_told(server_frame(Opcode.TEXT, b"\0", rsv=RSV1), Text(""), deflate=agreed())
        data = fragments(Opcode.TEXT, HELLO[:-1] + b"\x00\x00\x00\xff\xff", b"\0", rsv=RSV1)
        self.assert_told(data, Text("Hello"), deflate=agreed())
