"""RFC 6455, websockets, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

import base64
from typing import Any

from tests.wire.conversation import PROTOCOL_VIOLATION, A, Conversation, outline
from tests.wire.ws_conversation import Opcode, WsCase, close, fragments, ping, pong, server_frame, text
from twisted_gun.errors import BadState, ProtocolViolation
from twisted_gun.events import Binary, Close, Headers, Ping, Pong, Text
from twisted_gun.options import WsOptions
from twisted_gun.wire.handshake import check_answer, opening_fields
from twisted_gun.wire.steps import Close as CloseStep
from twisted_gun.wire.ws_session import may_close_with

#: Section 1.3's example.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(**options: Any) -> tuple[bytes, Headers]:
    """The opening handshake as it is written, and its fields."""
    talk = Conversation()
    talk.ask_upgrade(A, headers=opening_fields(WsOptions(**options)))
    lines = talk.written.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = [line.split(b": ", 1) for line in lines[1:]]
    return lines[0], tuple((name, value) for name, value in fields)


class Section1Tests(WsCase):
    """Section 1: Introduction."""

    def test_1_3_accept(self) -> None:
        """The example: the key "dGhlIHNhbXBsZSBub25jZQ==" is answered by "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="."""
        asked = ((b"sec-websocket-key", KEY),)
        check_answer(asked, ((b"sec-websocket-accept", ACCEPT),), WsOptions(), True)


class Section4Tests(WsCase):
    """Section 4.1: Client Requirements."""

    def test_4_1_get(self) -> None:
        """ "The method of the request MUST be GET, and the HTTP version MUST be at least 1.1." """
        self.assertEqual(request()[0], b"GET /chat HTTP/1.1")

    def test_4_1_fields(self) -> None:
        """ "MUST contain a |Host| header field", "an |Upgrade| header field", "a |Connection| header field", each with what it must say."""
        fields = dict(request()[1])
        self.assertEqual((fields[b"host"], fields[b"upgrade"].lower()), (b"example.org", b"websocket"))
        self.assertIn(b"upgrade", fields[b"connection"].lower())
        self.assertEqual(fields[b"sec-websocket-version"], b"13")

    def test_4_1_key(self) -> None:
        """ "a nonce consisting of a randomly selected 16-byte value that has been base64-encoded" """
        keys = [dict(request()[1])[b"sec-websocket-key"] for _ in range(100)]
        self.assertEqual({len(base64.b64decode(key, validate=True)) for key in keys}, {16})
        self.assertEqual(len(set(keys)), 100)

    def test_4_1_once(self) -> None:
        """Section 11.3 has for each of these fields that it "MUST NOT appear more than once", but for extensions; so have we for those."""
        names = [name for name, _ in request(protocols=["a", "b"], compress=True)[1]]
        self.assertEqual(len(names), len(set(names)))

    def test_4_1_protocol(self) -> None:
        """ "one or more comma-separated subprotocol the client wishes to speak, ordered by preference" """
        self.assertEqual(dict(request(protocols=["b", "a"])[1])[b"sec-websocket-protocol"], b"b, a")

    def test_4_1_response(self) -> None:
        """What the client MUST fail the connection for: Upgrade, Connection, Accept, an extension, or a subprotocol not asked for."""
        right = {
            b"upgrade": b"websocket",
            b"connection": b"Upgrade",
            b"sec-websocket-accept": ACCEPT,
        }
        for changed in (
            {b"sec-websocket-accept": b""},
            {b"sec-websocket-accept": KEY},
            {b"sec-websocket-extensions": b"foo"},
            {b"sec-websocket-protocol": b"chat"},
        ):
            self.assertRaises(
                ProtocolViolation, check_answer, ((b"sec-websocket-key", KEY),), tuple((right | changed).items()), WsOptions(), True
            )
        for missing in (b"upgrade", b"connection"):
            for instead in (b"", b"%b: other\r\n" % missing):
                lines = b"".join(b"%b: %b\r\n" % field for field in right.items() if field[0] != missing)
                talk = Conversation()
                talk.ask_upgrade(A)
                talk.receive(b"HTTP/1.1 101 Switching Protocols\r\n%b%b\r\n" % (lines, instead))
                self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_4_1_not_101(self) -> None:
        """ "If the status code received from the server is not 101, the client handles the response per HTTP [RFC2616] procedures." """
        talk = Conversation()
        talk.ask_upgrade(A)
        talk.receive(b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno")
        self.assertEqual([entry[0] for entry in talk.outline], ["response", "data"])
        self.assertTrue(talk.core.accepting)


class Section5Tests(WsCase):
    """Section 5: Data Framing."""

    def test_5_1_masked(self) -> None:
        """ "a client MUST mask all frames that it sends to the server" """
        talk = self.talk()
        talk.say("text", b"binary", Ping(), Pong(), Close())
        data, frames = talk.written, 0
        while data:
            self.assertTrue(data[1] & 0x80)
            data = data[6 + (data[1] & 0x7F) :]
            frames += 1
        self.assertEqual(frames, 5)

    def test_5_1_from_the_server(self) -> None:
        """ "A client MUST close a connection if it detects a masked frame.  In this case, it MAY use the status code 1002" """
        self.assert_violation(server_frame(Opcode.TEXT, b"Hello", mask=b"\x37\xfa\x21\x3d"), 1002)

    def test_5_2_reserved_bits(self) -> None:
        """ "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero value, the
        receiving endpoint MUST _Fail the WebSocket Connection_." """
        for rsv in range(1, 8):
            self.assert_violation(server_frame(Opcode.TEXT, b"Hello", rsv=rsv))

    def test_5_2_opcodes(self) -> None:
        """ "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_." """
        for opcode in (*range(3, 8), *range(11, 16)):
            self.assert_violation(server_frame(opcode))

    def test_5_2_length(self) -> None:
        """ "the minimal number of bytes MUST be used to encode the length" """
        self.assert_violation(server_frame(Opcode.BINARY, bytes(124), length_bytes=2))
        self.assert_violation(server_frame(Opcode.BINARY, bytes(124), length_bytes=8))

    def test_5_4_fragments(self) -> None:
        """ "an intermediary might [...]": a fragmented message is the concatenation of its fragments' payloads, "in order"."""
        self.assert_told(fragments(Opcode.TEXT, b"Hel", b"", b"lo"), Text("Hello"))

    def test_5_4_control_frames(self) -> None:
        """ "Control frames (see Section 5.5) MAY be injected in the middle of a fragmented message." """
        self.assert_told(fragments(Opcode.TEXT, b"Hel", b"lo", between=ping(b"x")), Text("Hello"), sent=[Pong(b"x")])

    def test_5_4_interleaved(self) -> None:
        """ "The fragments of one message MUST NOT be interleaved between the fragments of another message" """
        self.assert_violation(server_frame(Opcode.TEXT, b"Hel", fin=False) + text("lo"))
        self.assert_violation(server_frame(Opcode.CONTINUATION, b"lo"))

    def test_5_5_control_frames(self) -> None:
        """ "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented." """
        for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            self.assert_violation(server_frame(opcode, b"\x03\xe8" + b"x" * 124))
            self.assert_violation(server_frame(opcode, b"\x03\xe8", fin=False))

    def test_5_5_1_code(self) -> None:
        """ "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer" """
        self.assert_violation(server_frame(Opcode.CLOSE, b"\x03"))

    def test_5_5_1_answer(self) -> None:
        """ "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST send a Close frame in
        response.  (When sending a Close frame in response, the endpoint typically echos the status code it received.)" """
        self.assert_told(close(1001, b"bye"), Close(1001, "bye"), sent=[Close(1001)])

    def test_5_5_1_no_more(self) -> None:
        """ "The application MUST NOT send any more data frames after sending a Close frame." """
        talk = self.talk()
        talk.say(Close(1000))
        self.assertRaises(BadState, talk.say, "more")

    def test_5_5_2_pong(self) -> None:
        """ "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already received a Close frame." """
        self.assert_told(ping(b"Hello"), sent=[Pong(b"Hello")])
        self.assert_told(close() + ping(b"Hello"), Close(), sent=[Close()])

    def test_5_5_3_same_data(self) -> None:
        """ "A Pong frame sent in response to a Ping frame must have identical "Application data" as found in the message body" """
        for data in (b"", bytes(125), bytes(range(100))):
            self.assert_told(ping(data), sent=[Pong(data)])

    def test_5_5_3_unsolicited(self) -> None:
        """ "A Pong frame MAY be sent unsolicited. [...] A response to an unsolicited Pong frame is not expected." """
        self.assert_told(pong(b"x") + text("Hello"), Text("Hello"))


class ExampleTests(WsCase):
    """Section 5.7: Examples. Those of the server are read, and those of the client are what we would write."""

    def test_single_frame(self) -> None:
        """ "A single-frame unmasked text message: 0x81 0x05 0x48 0x65 0x6c 0x6c 0x6f (contains "Hello")" """
        self.assert_told(bytes.fromhex("810548656c6c6f"), Text("Hello"))

    def test_masked(self) -> None:
        """ "A single-frame masked text message: 0x81 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58 (contains "Hello")" """
        self.assert_sent("Hello", "818537fa213d7f9f4d5158")

    def test_fragmented(self) -> None:
        """ "A fragmented unmasked text message: 0x01 0x03 0x48 0x65 0x6c (contains "Hel"), 0x80 0x02 0x6c 0x6f (contains "lo")" """
        self.assert_told(bytes.fromhex("010348656c") + bytes.fromhex("80026c6f"), Text("Hello"))

    def test_ping(self) -> None:
        """ "0x89 0x05 [...] (contains a body of "Hello"), 0x8a 0x85 0x37 0xfa 0x21 0x3d [...] matching the body of the ping)" """
        self.assert_told(bytes.fromhex("890548656c6c6f"), sent=[Pong(b"Hello")])
        self.assert_sent(Pong(b"Hello"), "8a8537fa213d7f9f4d5158")

    def test_256_bytes(self) -> None:
        """ "256 bytes binary message in a single unmasked frame: 0x82 0x7E 0x0100 [256 bytes of binary data]" """
        self.assert_told(bytes.fromhex("827e0100") + bytes(range(256)), Binary(bytes(range(256))))

    def test_64_kib(self) -> None:
        """ "64KiB binary message in a single unmasked frame: 0x82 0x7F 0x0000000000010000 [65536 bytes of binary data]" """
        data = bytes(range(256)) * 256
        talk = self.talk()
        talk.receive(bytes.fromhex("827f0000000000010000"), data)
        self.assertEqual(talk.frames, [Binary(data)])

    def assert_sent(self, frame: Any, example: str) -> None:
        """The frame is written as in the example, but for the mask, which is another each time."""
        talk = self.talk()
        talk.say(frame)
        data = bytes.fromhex(example)
        self.assertEqual((talk.written[:2], len(talk.written)), (data[:2], len(data)))
        both = [bytes(byte ^ raw[2 + at % 4] for at, byte in enumerate(raw[6:])) for raw in (talk.written, data)]
        self.assertEqual(both[0], both[1])


class Section7Tests(WsCase):
    """Section 7: Closing the Connection."""

    def test_7_1_1_server_first(self) -> None:
        """ "The underlying TCP connection, in most normal cases, SHOULD be closed first by the server"; section 5.5.1: "the client SHOULD
        wait for the server to close the connection but MAY close the connection at any time"."""
        talk = self.talk(closing_timeout=4.0)
        talk.receive(close(1000))
        self.assertEqual(talk.at(3.9), [])
        self.assertEqual(talk.at(4.0), [CloseStep(None, abort=False)])

    def test_7_1_5_no_code(self) -> None:
        """ "If this Close control frame contains no status code, _The WebSocket Connection Close Code_ is considered to be 1005." """
        self.assert_told(close(), Close(None, ""), sent=[Close()])

    def test_7_1_5_no_close(self) -> None:
        """ "If _The WebSocket Connection is Closed_ and no Close control frame was received [...] [it] is considered to be 1006." """
        talk = self.talk()
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed")])

    def test_7_1_7_fail(self) -> None:
        """ "SHOULD send a Close frame with an appropriate status code"; "MUST NOT continue to attempt to process data (including a
        responding Close frame) from the remote endpoint"."""
        talk = self.talk()
        talk.receive(server_frame(3) + text("more"))
        self.assert_failed(talk, 1002)

    def test_7_4_1_defined(self) -> None:
        """Codes that are defined may come, and may be sent."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011):
            self.assertTrue(may_close_with(code))
            self.assert_told(close(code), Close(code), sent=[Close(code)])

    def test_7_4_1_reserved(self) -> None:
        """ "1005 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint", and 1006, and 1015."""
        for code in (1005, 1006, 1015):
            self.assertFalse(may_close_with(code))
            self.assert_violation(close(code))

    def test_7_4_2_ranges(self) -> None:
        """ "Status codes in the range 0-999 are not used"; those up to 2999 are the protocol's; 3000-4999 are anybody's."""
        for code in (0, 999, 1016, 2999, 5000):
            self.assertFalse(may_close_with(code))
            self.assert_violation(close(code))
        for code in (3000, 3999, 4000, 4999):
            self.assertTrue(may_close_with(code))
            self.assert_told(close(code), Close(code), sent=[Close(code)])


class Section8Tests(WsCase):
    """Section 8: Error Handling."""

    def test_8_1_utf_8(self) -> None:
        """ "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid UTF-8 stream,
        that endpoint MUST _Fail the WebSocket Connection_." Section 7.4.1 has 1007 for it."""
        for bad in (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xc0\xaf", b"Hello\xff", b"\xce"):
            self.assert_violation(server_frame(Opcode.TEXT, bad), 1007)
            self.assert_violation(close(1000, bad), 1007)


class Section9Tests(WsCase):
    """Section 9: Extensions."""

    def test_9_1_grammar(self) -> None:
        """ "If a value is received by either the client or the server during negotiation that does not conform to the ABNF below, the
        recipient of such malformed data MUST immediately _Fail the WebSocket Connection_." """
        for value in (
            b"permessage-deflate; =1",
            b"permessage-deflate;",
            b"permessage-deflate; a b",
            b'permessage-deflate; server_max_window_bits="',
        ):
            answered = ((b"sec-websocket-accept", ACCEPT), (b"sec-websocket-extensions", value))
            self.assertRaises(ProtocolViolation, check_answer, ((b"sec-websocket-key", KEY),), answered, WsOptions(compress=True), True)


class Section10Tests(WsCase):
    """Section 10: Security Considerations."""

    def test_10_3_masks(self) -> None:
        """Section 5.3: "The masking key is a 32-bit value chosen at random by the client." """
        talk = self.talk()
        talk.say(*["x"] * 500)
        self.assertGreater(len({raw.mask for raw in talk.raw}), 490)

    def test_10_4_limits(self) -> None:
        """ "Implementations that have implementation- and/or platform-specific limitations regarding the frame size or total message size
        after reassembly from multiple frames MUST protect themselves against exceeding those limits." """
        self.assert_violation(text("x" * 101), 1009, "LimitReached(max_message_size, 100)", max_message_size=100)
        self.assert_violation(
            fragments(Opcode.TEXT, b"x" * 60, b"x" * 60), 1009, "LimitReached(max_message_size, 100)", max_message_size=100
        )
