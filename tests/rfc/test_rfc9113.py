"""
RFC 9113, HTTP/2, sections 3 to 5: what they ask of a client. Each test quotes the sentence it holds us to.

Section 6 is in test_rfc9113_frames.py, sections 8 and 9 in test_rfc9113_messages.py.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.rfc.rfc9113 import Rfc9113Case, with_header
from tests.wire.conversation import A, B, Key
from tests.wire.http2_conversation import Http2Conversation, pushed
from tests.wire.http2_peer import Peer
from twisted_gun.wire import frames
from twisted_gun.wire.frames import HEADER, PREFACE, FrameType

Make = Callable[[Peer], bytes]

#: A frame of each type that a server may send while streams 1, 3 and 5 are asked for.
LEGAL: dict[str, Make] = {
    "HEADERS": lambda peer: peer.respond(3),
    "PRIORITY": lambda peer: peer.frame(FrameType.PRIORITY, 0, 3, b"\0\0\0\1\x10"),
    "RST_STREAM": lambda peer: peer.reset(3),
    "SETTINGS": lambda peer: peer.settings(),
    "PUSH_PROMISE": lambda peer: peer.promise(3, 2),
    "PING": lambda peer: peer.ping(),
    "GOAWAY": lambda peer: peer.goaway(5),
    "WINDOW_UPDATE": lambda peer: peer.window(3, 1),
    "WINDOW_UPDATE of the connection": lambda peer: peer.window(0, 1),
    "unknown": lambda peer: peer.frame(0x20, 0, 3, b"hello"),
}


#: Each kind of frame, on a stream.
ON_STREAM: dict[str, Callable[[Peer, int], bytes]] = {
    "DATA": lambda peer, stream_id: peer.data(stream_id, b"hello"),
    "empty DATA": lambda peer, stream_id: peer.data(stream_id),
    "HEADERS": lambda peer, stream_id: peer.respond(stream_id, 404),
    "last HEADERS": lambda peer, stream_id: peer.trailers(stream_id, ((b":status", b"404"),)),
    "PRIORITY": lambda peer, stream_id: peer.frame(FrameType.PRIORITY, 0, stream_id, b"\0\0\0\5\x10"),
    "RST_STREAM": lambda peer, stream_id: peer.reset(stream_id),
    "PUSH_PROMISE": lambda peer, stream_id: peer.promise(stream_id, 8),
    "WINDOW_UPDATE": lambda peer, stream_id: peer.window(stream_id, 10),
    "unknown": lambda peer, stream_id: peer.frame(0x30, 0, stream_id, b"hello"),
    "CONTINUATION": lambda peer, stream_id: peer.frame(FrameType.CONTINUATION, 4, stream_id),
}


def on(stream_id: int) -> Callable[[Http2Conversation], int]:
    """A state that is nothing but a stream's identifier."""
    return lambda talk: stream_id


class Section3Tests(Rfc9113Case):
    """Section 3: Starting HTTP/2."""

    def test_3_4_client_preface(self) -> None:
        """ "the connection preface starts with the string "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n"." """
        talk = self.talk(begun=False)
        self.assertEqual(PREFACE, bytes.fromhex("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a"))
        self.assertTrue(talk.written.startswith(PREFACE))

    def test_3_4_settings_follow(self) -> None:
        """ "This sequence MUST be followed by a SETTINGS frame (Section 6.5), which MAY be empty." """
        talk = self.talk(begun=False)
        word, flags, stream_id = HEADER.unpack_from(talk.written, len(PREFACE))
        self.assertEqual((word & 0xFF, flags, stream_id), (FrameType.SETTINGS, 0, 0))

    def test_3_4_first_octets(self) -> None:
        """ "The client sends the client connection preface as the first application data octets of a connection." """
        talk = self.talk(begun=False)
        talk.ask(A)
        self.assertEqual(talk.written.find(PREFACE), 0)
        self.assertEqual(talk.written.count(PREFACE), 1)

    def test_3_4_no_waiting(self) -> None:
        """ "clients are permitted to send additional frames to the server immediately after sending the client connection preface" """
        talk = self.talk(begun=False)
        talk.ask(A, b"POST", body=b"hello")
        self.assertEqual([frame[0] for frame in talk.newly_sent()][-2:], ["HEADERS", "DATA"])

    def test_3_4_server_preface(self) -> None:
        """ "a potentially empty SETTINGS frame (Section 6.5) that MUST be the first frame the server sends" """
        for make in LEGAL.values():
            data = make(Peer())
            talk = self.talk(begun=False, enable_push=True)
            talk.ask(A)
            if data[3] == FrameType.SETTINGS:
                talk.receive(data)
                self.assertFalse(talk.over)
            else:
                self.assert_connection_error("PROTOCOL_ERROR", talk, data)
        self.assert_connection_error("PROTOCOL_ERROR", self.talk(begun=False), Peer().settings_ack())

    def test_3_4_acknowledged(self) -> None:
        """ "The SETTINGS frames received from a peer as part of the connection preface MUST be acknowledged (see Section 6.5.3)" """
        talk = self.talk(begun=False)
        talk.newly_sent()
        talk.receive(talk.peer.settings())
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",)])

    def test_3_4_honoured(self) -> None:
        """ "Upon receiving the SETTINGS frame, the client is expected to honor any settings established." """
        talk = self.talk(begun=False)
        talk.receive(talk.peer.settings(initial_window_size=3, max_concurrent_streams=1))
        talk.newly_sent()
        talk.ask(A, b"POST", body=b"hello")
        self.assertEqual(talk.newly_sent()[1:], [("DATA", 1, b"hel", False)])
        talk.ask(B)
        self.assertEqual(talk.outline[-1], ("failed", B, "StreamRefused"))

    def test_3_4_invalid(self) -> None:
        """ "Clients and servers MUST treat an invalid connection preface as a connection error (Section 5.4.1) of type PROTOCOL_ERROR." """
        for data in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", PREFACE, b"\x15\x03\x01\x00\x02\x02\x46", bytes(9)):
            self.assert_connection_error("PROTOCOL_ERROR", self.talk(begun=False), data)


class Section4Tests(Rfc9113Case):
    """Section 4: HTTP Frames."""

    def test_4_1_unknown_types(self) -> None:
        """ "Implementations MUST ignore and discard frames of unknown types." """
        for kind in (0x0A, 0x0C, 0x10, 0x21, 0x7F, 0x80, 0xFF):
            for stream_id in (0, 1, 2, 9, 2**31 - 1):
                talk = self.started()
                self.assert_ignored(talk, talk.peer.frame(kind, 0xFF, stream_id, b"hello") + talk.peer.frame(kind, 0, stream_id))

    def test_4_1_unused_flags(self) -> None:
        """ "Unused flags MUST be ignored on receipt and MUST be left unset (0x00) when sending." """
        used = {"HEADERS": 0x2D, "SETTINGS": 0x01, "PUSH_PROMISE": 0x0C, "PING": 0x01}
        for name, make in LEGAL.items():
            plain, flagged = self.started(enable_push=True), self.started(enable_push=True)
            plain.receive(make(plain.peer))
            flagged.receive(with_header(make(flagged.peer), 0xFF & ~used.get(name, 0)))
            self.assertEqual([entry[0] for entry in flagged.outline], [entry[0] for entry in plain.outline], name)
            self.assertEqual(flagged.sent, plain.sent, name)
        data = self.started()
        data.receive(data.peer.respond(1), with_header(data.peer.data(1, b"hello", True), 0xF6))
        self.assertEqual(data.outline[-1], ("data", A, b"hello", True))

    def test_4_1_unused_flags_sent(self) -> None:
        """The same, of what we send."""
        used = {FrameType.DATA: 0x01, FrameType.HEADERS: 0x05, FrameType.SETTINGS: 0x01, FrameType.PING: 0x01, FrameType.CONTINUATION: 0x04}
        for _, flags, stream_id, kind in self.everything_sent():
            self.assertEqual((flags & ~used.get(FrameType(kind), 0), stream_id >> 31), (0, 0))

    def everything_sent(self) -> list[tuple[int, int, int, int]]:
        """The headers of frames of all types that a client sends: length, flags, stream, type."""
        talk = self.started(method=b"POST", body=None)
        talk.ask(Key("large"), headers=((b"x", b"\x80" * 20_000),))
        talk.send(A, b"x" * 20_000, True)
        talk.ping("ping")
        talk.receive(talk.peer.ping(), talk.peer.respond(3), *[talk.peer.data(3, b"x" * 16_000)] * 400, talk.peer.settings())
        talk.cancel(B)
        talk.shutdown()
        kinds = {raw[0] for raw in talk.peer.raw}
        self.assertEqual(kinds, set(FrameType) - {FrameType.PRIORITY, FrameType.PUSH_PROMISE})
        return [(len(payload), flags, stream_id, kind) for kind, flags, stream_id, payload in talk.peer.raw]

    def test_4_1_reserved(self) -> None:
        """ "the bit MUST remain unset (0x00) when sending and MUST be ignored when receiving." """
        for name, make in LEGAL.items():
            plain, marked = self.started(enable_push=True), self.started(enable_push=True)
            plain.receive(make(plain.peer))
            marked.receive(with_header(make(marked.peer), reserved=True))
            self.assertEqual([entry[0] for entry in marked.outline], [entry[0] for entry in plain.outline], name)
            self.assertEqual(marked.sent, plain.sent, name)
        first = self.talk(begun=False)
        first.receive(with_header(first.peer.settings(), reserved=True))
        self.assertFalse(first.over)

    def test_4_2_least(self) -> None:
        """ "All implementations MUST be capable of receiving and minimally processing frames up to 2^14 octets in length" """
        talk = self.started()
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"x" * 2**14), talk.peer.frame(0x42, 0, 0, b"x" * 2**14))
        talk.receive(talk.peer.frame(FrameType.SETTINGS, 0, 0, b"\xff\xff\0\0\0\0" * (2**14 // 6)))
        talk.receive(talk.peer.goaway(5, debug=b"x" * (2**14 - 8)))
        self.assert_alive(talk)

    def test_4_2_too_large(self) -> None:
        """ "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined in SETTINGS_MAX_FRAME_SIZE" """
        for kind in range(12):
            talk = self.started()
            self.assert_connection_error("FRAME_SIZE_ERROR", talk, HEADER.pack((2**14 + 1) << 8 | kind, 0, 1), kind)

    def test_4_2_too_small(self) -> None:
        """ "exceeds any limit defined for the frame type, or is too small to contain mandatory frame data." """
        sizes = {
            (FrameType.PRIORITY, 0, 1): (0, 4, 6),
            (FrameType.RST_STREAM, 0, 1): (0, 3, 5),
            (FrameType.SETTINGS, 0, 0): (1, 5, 7),
            (FrameType.SETTINGS, 1, 0): (1, 6),
            (FrameType.PUSH_PROMISE, 4, 1): (0, 3),
            (FrameType.PUSH_PROMISE, 12, 1): (0, 1, 4),
            (FrameType.PING, 0, 0): (0, 7, 9),
            (FrameType.PING, 1, 0): (0, 7, 9),
            (FrameType.GOAWAY, 0, 0): (0, 7),
            (FrameType.WINDOW_UPDATE, 0, 0): (0, 3, 5),
            (FrameType.WINDOW_UPDATE, 0, 1): (0, 3, 5),
            (FrameType.HEADERS, 0x24, 1): (0, 4),
            (FrameType.HEADERS, 0x2C, 1): (0, 5),
            (FrameType.HEADERS, 0x0C, 1): (0,),
            (FrameType.DATA, 0x08, 1): (0,),
        }
        for (kind, flags, stream_id), wrong in sizes.items():
            for size in wrong:
                talk = self.started(enable_push=True)
                self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(kind, flags, stream_id, bytes(size)), (kind, size))

    def test_4_3_contiguous(self) -> None:
        """ "Field blocks MUST be transmitted as a contiguous sequence of frames, with no interleaved frames of any other type" """
        begun = {
            "HEADERS": lambda peer: peer.frame(FrameType.HEADERS, 0, 1, b"\x88"),
            "PUSH_PROMISE": lambda peer: peer.frame(FrameType.PUSH_PROMISE, 0, 1, b"\0\0\0\4\x82"),
            "CONTINUATION": lambda peer: peer.frame(FrameType.HEADERS, 0, 1, b"\x88") + peer.frame(FrameType.CONTINUATION, 0, 1),
        }
        for start, begin in begun.items():
            for name, make in LEGAL.items():
                talk = self.started(enable_push=True)
                self.assert_connection_error("PROTOCOL_ERROR", talk, begin(talk.peer) + make(talk.peer), (start, name))

    def test_4_3_other_stream(self) -> None:
        """The same, "or from any other stream"."""
        for stream_id in (0, 2, 3, 7):
            talk = self.started()
            data = talk.peer.frame(FrameType.HEADERS, 0, 1, b"\x88") + talk.peer.frame(FrameType.CONTINUATION, 4, stream_id)
            self.assert_connection_error("PROTOCOL_ERROR", talk, data)

    def test_4_3_decoding_error(self) -> None:
        """ "A decoding error in a field block MUST be treated as a connection error (Section 5.4.1) of type COMPRESSION_ERROR." """
        bad = {
            "index 0": b"\x80",
            "an index nobody knows": b"\xbe",
            "cut in an integer": b"\xff",
            "cut in a string": b"\x00\x05ab",
            "a bad Huffman padding": b"\x00\x81\x00\x00",
            "a table size too late": b"\x88\x20",
            "a table that is too large": b"\x3f\xe2\x1f\x88",
        }
        for name, block in bad.items():
            for cancelled in (False, True):
                talk = self.started()
                if cancelled:
                    talk.cancel(A)
                self.assert_connection_error("COMPRESSION_ERROR", talk, talk.peer.frame(FrameType.HEADERS, 5, 1, block), name)

    def test_4_3_discarded(self) -> None:
        """ "needs to reassemble field blocks and perform decompression even if the frames are to be discarded." """
        talk = self.started(enable_push=True)
        talk.cancel(A)
        fields = ((b"x-first", b"one"), (b"x-second", b"two"))
        talk.receive(talk.peer.respond(1, 200, fields), talk.peer.promise(1, 2), talk.peer.respond(3, 200, fields, fin=True))
        self.assertEqual(talk.outline, [("response", B, 200, fields, True)])

    def test_4_3_1_size_update_due(self) -> None:
        """
        "if it does not start with a conformant Dynamic Table Size Update instruction."

        A field block after the acknowledgment of a smaller table is then a COMPRESSION_ERROR.
        """
        self.assert_connection_error(
            "COMPRESSION_ERROR", talk := self.started(max_decode_table_size=100), talk.peer.frame(FrameType.HEADERS, 5, 1, b"\x88")
        )
        talk = self.started(max_decode_table_size=100)
        talk.receive(talk.peer.frame(FrameType.HEADERS, 5, 1, b"\x3f\x45\x88"))
        self.assertEqual(talk.outline, [("response", A, 200, (), True)])

    def test_4_3_1_size_update_sent(self) -> None:
        """ "its HPACK encoder MUST start the next field block with a Dynamic Table Size Update instruction" """
        talk = self.started()
        talk.receive(talk.peer.settings(header_table_size=0))
        talk.ask(Key("next"), headers=((b"x", b"y"),))
        self.assertEqual(talk.peer.raw[-1][3][:1], b"\x20")


class StreamStateTests(Rfc9113Case):
    """Section 5.1: Stream States; each frame in each of them, on stream 1 or 2."""

    def check(self, state: Callable[[Http2Conversation], int], expected: dict[str, str]) -> None:
        """Each frame in `state`, which is brought about on the stream it returns; what is not `expected` is taken or ignored."""
        for name, make in ON_STREAM.items():
            talk = self.started(method=b"POST", body=None, enable_push=True)
            stream_id = state(talk)
            talk.newly_sent()
            talk.steps.clear()
            talk.receive(make(talk.peer, stream_id))
            outcome = expected.get(name, "PROTOCOL_ERROR, GOAWAY" if name == "CONTINUATION" else "")
            sent = [f"{frame[2]}, {frame[0]}" for frame in talk.newly_sent()]
            self.assertEqual(", ".join(sent), outcome, name)
            self.assertEqual(talk.over, "GOAWAY" in outcome, name)
            if not talk.over:
                self.assert_alive(talk)

    def all_but(self, *names: str, code: str = "PROTOCOL_ERROR") -> dict[str, str]:
        """A connection error for all frames but these, and unknown ones."""
        return {name: f"{code}, GOAWAY" for name in ON_STREAM if name not in (*names, "unknown")}

    def test_idle(self) -> None:
        """
        "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST be treated as a connection error".

        To a client HEADERS as well: a server's streams begin with PUSH_PROMISE, and ours are not for the server to open.
        """
        for stream_id in (7, 2, 9, 2**31 - 1, 2**31 - 2):
            self.check(on(stream_id), self.all_but("PRIORITY"))

    def test_reserved(self) -> None:
        """
        "Receiving any type of frame other than HEADERS, RST_STREAM, or PRIORITY on a stream in this state MUST be treated as a
        connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """

        def reserved(talk: Http2Conversation) -> int:
            talk.receive(talk.peer.promise(3, 2))
            return 2

        self.check(reserved, self.all_but("HEADERS", "last HEADERS", "RST_STREAM", "PRIORITY"))

    def test_open(self) -> None:
        """
        "A stream in the "open" state may be used by both peers to send frames of any type."

        Content without a response before it is malformed, which is another error; a response before the end of its request resets it.
        """
        malformed = {"DATA": "PROTOCOL_ERROR, RST_STREAM", "empty DATA": "PROTOCOL_ERROR, RST_STREAM"}
        self.check(on(1), malformed | {"last HEADERS": "NO_ERROR, RST_STREAM"})

    def test_open_and_answered(self) -> None:
        """The same after the response's fields: further ones are its trailers, and have no :status."""

        def answered(talk: Http2Conversation) -> int:
            talk.receive(talk.peer.respond(1))
            return 1

        self.check(answered, {"HEADERS": "PROTOCOL_ERROR, RST_STREAM", "last HEADERS": "PROTOCOL_ERROR, RST_STREAM"})

    def test_half_closed_local(self) -> None:
        """ "An endpoint can receive any type of frame in this state." """
        malformed = {"DATA": "PROTOCOL_ERROR, RST_STREAM", "empty DATA": "PROTOCOL_ERROR, RST_STREAM"}
        self.check(on(3), malformed)

    def test_half_closed_local_of_a_push(self) -> None:
        """The same of a pushed stream that is being answered; but promises are made on streams of the client's (section 6.6)."""

        def answered(talk: Http2Conversation) -> int:
            talk.receive(talk.peer.promise(3, 2), talk.peer.respond(2))
            return 2

        wrong = {"HEADERS": "PROTOCOL_ERROR, RST_STREAM", "last HEADERS": "PROTOCOL_ERROR, RST_STREAM"}
        self.check(answered, wrong | {"PUSH_PROMISE": "PROTOCOL_ERROR, GOAWAY"})

    def test_closed_by_end(self) -> None:
        """
        "An endpoint MAY treat receipt of any other type of frame on a closed stream as a connection error (Section 5.4.1) of type
        STREAM_CLOSED": that is done for DATA, which takes room. Who closed a stream is not remembered, and so a promise is refused.
        """

        def ended(talk: Http2Conversation) -> int:
            talk.receive(talk.peer.respond(3, fin=True))
            return 3

        self.check(ended, {"DATA": "STREAM_CLOSED, GOAWAY", "PUSH_PROMISE": "CANCEL, RST_STREAM"})

    def test_closed_by_the_peer(self) -> None:
        """The same where the server has reset the stream."""

        def reset(talk: Http2Conversation) -> int:
            talk.receive(talk.peer.reset(3))
            return 3

        self.check(reset, {"DATA": "STREAM_CLOSED, GOAWAY", "PUSH_PROMISE": "CANCEL, RST_STREAM"})

    def test_closed_by_us(self) -> None:
        """ "An endpoint MUST minimally process and then discard any frames it receives in this state." """

        def cancelled(talk: Http2Conversation) -> int:
            talk.cancel(B)
            return 3

        self.check(cancelled, {"PUSH_PROMISE": "CANCEL, RST_STREAM"})

    def test_closed_window(self) -> None:
        """ "Additionally, the content of DATA frames counts toward the connection flow-control window." """
        talk = self.started(initial_connection_window_size=100_000)
        talk.cancel(B)
        room = talk.peer.room[0]
        talk.receive(*[talk.peer.data(3, b"x" * 10_000, padding=100)] * 9)
        self.assertGreaterEqual(talk.peer.room[0], room // 2)
        self.assertEqual([frame[1] for frame in talk.newly_sent() if frame[0] == "WINDOW_UPDATE"], [0])


class Section5Tests(Rfc9113Case):
    """Section 5: Streams and Multiplexing, but for the states."""

    def test_5_1_1_odd(self) -> None:
        """ "Streams initiated by a client MUST use odd-numbered stream identifiers" """
        talk = self.talk()
        for at in range(20):
            talk.ask(Key(f"stream {at}"))
        self.assertEqual([frame[1] for frame in talk.newly_sent()], [*range(1, 41, 2)])

    def test_5_1_1_unexpected(self) -> None:
        """ "An endpoint that receives an unexpected stream identifier MUST respond with a connection error (Section 5.4.1) of type
        PROTOCOL_ERROR."
        """
        for promised_id in (0, 1, 3, 7, 6, 4):
            talk = self.started(enable_push=True)
            talk.receive(talk.peer.promise(1, 6))
            talk.newly_sent()
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.promise(1, promised_id), promised_id)

    def test_5_1_1_skipped(self) -> None:
        """ "an endpoint may skip a stream identifier, with the effect being that the skipped stream is immediately closed." """
        talk = self.started(enable_push=True)
        talk.receive(talk.peer.promise(1, 6))
        talk.steps.clear()
        self.assert_ignored(talk, talk.peer.reset(2) + talk.peer.window(4, 1))

    def test_5_1_2_limit(self) -> None:
        """ "Endpoints MUST NOT exceed the limit set by their peer." """
        talk = self.talk(settings={"max_concurrent_streams": 2})
        streams = [Key(f"stream {at}") for at in range(3)]
        for stream in streams:
            talk.ask(stream)
        self.assertEqual([frame[1] for frame in talk.newly_sent()], [1, 3])
        self.assertEqual(talk.outline, [("failed", streams[2], "StreamRefused")])
        talk.receive(talk.peer.respond(1, fin=True))
        talk.ask(A)
        self.assertEqual([frame[1] for frame in talk.newly_sent()], [5])

    def test_5_1_2_lowered(self) -> None:
        """A peer that reduces the limit below what is open "can either close streams that exceed the new value or allow streams to
        complete": until then there are no new ones.
        """
        talk = self.started()
        talk.receive(talk.peer.settings(max_concurrent_streams=1), talk.peer.respond(1, fin=True), talk.peer.respond(3, fin=True))
        talk.ask(Key("refused"))
        self.assertEqual(talk.outline[-1][2], "StreamRefused")
        talk.receive(talk.peer.respond(5, fin=True))
        talk.ask(A)
        self.assertEqual(talk.newly_sent()[-1][:2], ("HEADERS", 7))

    def test_5_2_1_initial(self) -> None:
        """ "The initial value for the flow-control window is 65,535 octets for both new streams and the overall connection." """
        for window, sent in ((0, 65_535), (200_000, 65_535)):
            talk = self.talk()
            talk.receive(talk.peer.window(0, window) if window else b"")
            talk.ask(A, b"POST", body=b"x" * 100_000)
            self.assertEqual(sum(len(frame[2]) for frame in talk.newly_sent()[1:]), sent)
        talk = self.talk()
        for stream in (A, B):
            talk.ask(stream, b"POST", body=b"x" * 40_000)
        self.assertEqual(sum(len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"), 65_535)

    def test_5_2_1_data_only(self) -> None:
        """ "only DATA frames are subject to flow control; all other frame types do not consume space" """
        talk = self.talk()
        talk.ask(A, b"POST", body=b"x" * 65_535)
        talk.ask(B, headers=((b"x", b"y" * 1000),))
        talk.ping("ping")
        self.assertEqual([frame[0] for frame in talk.newly_sent()][-2:], ["HEADERS", "PING"])

    def test_5_2_2_read_on(self) -> None:
        """ "Endpoints MUST read and process HTTP/2 frames from the TCP receive buffer as soon as data is available." """
        talk = self.started()
        talk.hold(A)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"x" * 10_000), talk.peer.ping(b"alive?!!"), talk.peer.respond(3, fin=True))
        self.assertEqual(talk.newly_sent(), [("PING ACK", b"alive?!!")])
        self.assertEqual(talk.outline[-1], ("response", B, 200, (), True))

    def test_5_3_2_priority(self) -> None:
        """ "This update to HTTP/2 deprecates the priority signaling defined in RFC 7540": it is read, not sent, and not obeyed."""
        talk = self.started()
        self.assert_ignored(talk, b"".join([talk.peer.frame(FrameType.PRIORITY, 0, at, b"\x80\0\0\1\xff") for at in (1, 3, 7, 8)]))

    def test_5_4_1_goaway(self) -> None:
        """ "An endpoint that encounters a connection error SHOULD first send a GOAWAY frame (Section 6.8) with the stream identifier of
        the last stream that it successfully received from its peer."
        """
        talk = self.started(enable_push=True)
        pushed(talk.receive(talk.peer.promise(1, 4)))
        talk.receive(talk.peer.ping() + talk.peer.frame(FrameType.PING, 0, 1, bytes(8)))
        self.assertEqual(talk.newly_sent()[-1], ("GOAWAY", 4, "PROTOCOL_ERROR"))

    def test_5_4_1_closed(self) -> None:
        """ "After sending the GOAWAY frame for an error condition, the endpoint MUST close the TCP connection." """
        talk = self.started()
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.data(0, b"hello"))
        self.assertEqual([entry[0] for entry in talk.outline], ["failed", "failed", "failed", "close"])
        self.assertEqual(talk.core.receive_data(talk.peer.ping(), 0.0), [])

    def test_5_4_1_one_error(self) -> None:
        """ "they SHOULD report at most one stream and one connection error as a result." """
        talk = self.started()
        talk.receive(talk.peer.respond(1, b"x") + talk.peer.respond(1, b"y") + talk.peer.data(0) + talk.peer.data(0))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR"), ("GOAWAY", 0, "PROTOCOL_ERROR")])

    def test_5_4_2_last_frame(self) -> None:
        """ "A RST_STREAM is the last frame that an endpoint can send on a stream." """
        talk = self.started(method=b"POST", body=None)
        self.assert_stream_error("PROTOCOL_ERROR", talk, talk.peer.data(1, b"hello"))
        talk.send(A, b"more", True)
        talk.update_flow(A, 10)
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [])

    def test_5_4_2_no_loop(self) -> None:
        """ "To avoid looping, an endpoint MUST NOT send a RST_STREAM in response to a RST_STREAM frame." """
        talk = self.started(method=b"POST", body=None)
        talk.receive(*[talk.peer.reset(stream_id) for stream_id in (1, 3, 1, 3)])
        self.assertEqual(talk.newly_sent(), [])
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [])

    def test_5_4_3_no_retry(self) -> None:
        """ "the affected streams cannot be automatically retried": they are killed, not unprocessed."""
        talk = self.started()
        talk.lose()
        self.assertEqual((len(talk.core.losses().killed), talk.core.losses().unprocessed), (3, ()))

    def test_5_5_unknown(self) -> None:
        """ "Implementations MUST ignore unknown or unsupported values in all extensible protocol elements." """
        talk = self.started(notify_settings_changed=True)
        talk.receive(talk.peer.frame(0x55, 0, 1, b"hello"), frames.settings([(0x55, 5), (0, 1), (0xFFFF, 2**32 - 1)]))
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",)])
        talk.receive(talk.peer.reset(1, 0x55555555))
        self.assertIn(("failed", A, f"StreamReset({0x55555555})"), talk.outline)
        self.assert_alive(talk)

    def test_5_5_in_a_field_block(self) -> None:
        """ "extension frames that appear in the middle of a field block (Section 4.3) are not permitted; these MUST be treated as a
        connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        talk = self.started()
        head = talk.peer.frame(FrameType.HEADERS, 0, 1, b"\x88")
        self.assert_connection_error("PROTOCOL_ERROR", talk, head + talk.peer.frame(0x55, 0, 1))
