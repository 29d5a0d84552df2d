"""RFC 9113, HTTP/2, section 6: what each frame asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from tests.rfc.rfc9113 import Rfc9113Case
from tests.wire.conversation import A, B, C
from tests.wire.http2_conversation import pushed
from twisted_gun.wire import frames
from twisted_gun.wire.frames import LARGEST, FrameType


class DataTests(Rfc9113Case):
    """Section 6.1: DATA."""

    def test_6_1_stream(self) -> None:
        """ "If a DATA frame is received whose Stream Identifier field is 0x00, the recipient MUST respond with a connection error" """
        for data in (b"", b"hello"):
            self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.data(0, data))

    def test_6_1_padding_too_long(self) -> None:
        """ "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this as a connection
        error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        for payload in (b"\x01", b"\x06hello", b"\xffhello"):
            talk = self.started()
            talk.receive(talk.peer.respond(1))
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.DATA, frames.PADDED, 1, payload), payload)

    def test_6_1_padding(self) -> None:
        """ "A frame can be increased in size by one octet by including a Pad Length field with a value of zero." """
        for padding in (0, 1, 5, 255):
            talk = self.started()
            talk.receive(talk.peer.respond(1), talk.peer.data(1, b"hello", True, padding))
            self.assertEqual(talk.outline[-1], ("data", A, b"hello", True))

    def test_6_1_padding_not_verified(self) -> None:
        """ "A receiver is not obligated to verify padding" """
        talk = self.started()
        talk.receive(talk.peer.respond(1), talk.peer.frame(FrameType.DATA, frames.PADDED, 1, b"\x03helloxyz"))
        self.assertEqual(talk.outline[-1], ("data", A, b"hello", False))

    def test_6_1_flow_control(self) -> None:
        """ "The entire DATA frame payload is included in flow control, including the Pad Length and Padding fields if present." """
        for beyond in (False, True):
            talk = self.started(initial_stream_window_size=1000)
            talk.hold(A)
            talk.receive(talk.peer.respond(1))
            talk.receive(talk.peer.data(1, b"x" * 700, padding=199), talk.peer.data(1, b"x" * (99 + beyond), padding=0))
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "FLOW_CONTROL_ERROR")] if beyond else [])

    def test_6_1_closed(self) -> None:
        """
        "If a DATA frame is received whose stream is not in the "open" or "half-closed (local)" state, the recipient MUST respond with a
        stream error (Section 5.4.2) of type STREAM_CLOSED."

        Which may be a connection error (section 5.4.1): a stream that is closed cannot be closed again.
        """
        talk = self.started()
        talk.receive(talk.peer.respond(1, fin=True))
        self.assert_connection_error("STREAM_CLOSED", talk, talk.peer.data(1, b"hello"))


class HeadersTests(Rfc9113Case):
    """Section 6.2: HEADERS."""

    def test_6_2_stream(self) -> None:
        """ "If a HEADERS frame is received whose Stream Identifier field is 0x00, the recipient MUST respond with a connection error" """
        for flags in (0, frames.END_HEADERS, frames.END_HEADERS | frames.END_STREAM):
            talk = self.started()
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.HEADERS, flags, 0, b"\x88"))

    def test_6_2_padding_too_long(self) -> None:
        """ "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this as a connection
        error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        for payload in (b"\x01", b"\x02\x88", b"\xff\x88"):
            talk = self.started()
            flags = frames.PADDED | frames.END_HEADERS
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.HEADERS, flags, 1, payload), payload)

    def test_6_2_padding_and_priority(self) -> None:
        """ "Exclusive, Stream Dependency, and Weight fields are present", and padding that is not part of the field block."""
        for padding in (None, 0, 9):
            for priority in (False, True):
                talk = self.started()
                talk.receive(talk.peer.respond(1, 200, ((b"a", b"b"),), padding=padding, priority=priority, piece=3))
                self.assertEqual(talk.outline, [("response", A, 200, ((b"a", b"b"),), False)])

    def test_6_2_end_headers(self) -> None:
        """ "A HEADERS frame without the END_HEADERS flag set MUST be followed by a CONTINUATION frame for the same stream." """
        talk = self.started()
        head = talk.peer.frame(FrameType.HEADERS, 0, 1, b"\x88")
        self.assert_connection_error("PROTOCOL_ERROR", talk, head + talk.peer.frame(FrameType.CONTINUATION, 4, 3))

    def test_6_2_end_stream(self) -> None:
        """ "a HEADERS frame with the END_STREAM flag set can be followed by CONTINUATION frames on the same stream." """
        talk = self.started()
        talk.receive(talk.peer.respond(1, 200, ((b"a", b"b"),), fin=True, piece=2))
        self.assertEqual(talk.outline, [("response", A, 200, ((b"a", b"b"),), True)])


class PriorityTests(Rfc9113Case):
    """Section 6.3: PRIORITY."""

    def test_6_3_stream(self) -> None:
        """ "If a PRIORITY frame is received with a stream identifier of 0x00, the recipient MUST respond with a connection error" """
        talk = self.started()
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.PRIORITY, 0, 0, bytes(5)))

    def test_6_3_any_state(self) -> None:
        """ "A PRIORITY frame can be sent in any stream state, including idle or closed streams." """
        talk = self.started()
        talk.cancel(B)
        talk.newly_sent()
        self.assert_ignored(talk, b"".join([talk.peer.frame(FrameType.PRIORITY, 0, at, b"\0\0\0\1\0") for at in (1, 3, 5, 7, 2, LARGEST)]))

    def test_6_3_length(self) -> None:
        """
        "A PRIORITY frame with a length other than 5 octets MUST be treated as a stream error (Section 5.4.2) of type FRAME_SIZE_ERROR."

        It is treated as one of the connection, as section 5.4.1 allows: on an idle stream RST_STREAM must not be sent.
        """
        for size in (0, 4, 6):
            talk = self.started()
            self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.PRIORITY, 0, 1, bytes(size)))


class ResetTests(Rfc9113Case):
    """Section 6.4: RST_STREAM."""

    def test_6_4_stream(self) -> None:
        """ "If a RST_STREAM frame is received with a stream identifier of 0x00, the recipient MUST treat this as a connection error" """
        self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.reset(0))

    def test_6_4_idle(self) -> None:
        """ "If a RST_STREAM frame identifying an idle stream is received, the recipient MUST treat this as a connection error" """
        for stream_id in (2, 7, LARGEST):
            self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.reset(stream_id))

    def test_6_4_length(self) -> None:
        """ "A RST_STREAM frame with a length other than 4 octets MUST be treated as a connection error (Section 5.4.1) of type
        FRAME_SIZE_ERROR."
        """
        for size in (0, 3, 5, 8):
            talk = self.started()
            self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.RST_STREAM, 0, 1, bytes(size)))

    def test_6_4_no_more_frames(self) -> None:
        """ "After receiving a RST_STREAM on a stream, the receiver MUST NOT send additional frames for that stream" """
        talk = self.started(method=b"POST", body=None)
        talk.send(A, b"x" * 100_000)
        talk.newly_sent()
        talk.receive(talk.peer.reset(1), talk.peer.window(0, 100_000), talk.peer.window(1, 100_000))
        talk.send(A, b"more", True)
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [])

    def test_6_4_late_frames(self) -> None:
        """ "the sending endpoint MUST be prepared to receive and process additional frames sent on the stream" """
        talk = self.started()
        talk.cancel(A)
        talk.newly_sent()
        peer = talk.peer
        self.assert_ignored(talk, peer.respond(1) + peer.data(1, b"hello") + peer.window(1, 10) + peer.trailers(1) + peer.reset(1))


class SettingsTests(Rfc9113Case):
    """Section 6.5: SETTINGS."""

    def test_6_5_stream(self) -> None:
        """ "If an endpoint receives a SETTINGS frame whose Stream Identifier field is anything other than 0x00, the endpoint MUST respond
        with a connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        for stream_id in (1, 2, LARGEST):
            for flags in (0, frames.ACK):
                talk = self.started()
                self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.SETTINGS, flags, stream_id))

    def test_6_5_ack_is_empty(self) -> None:
        """ "Receipt of a SETTINGS frame with the ACK flag set and a length field value other than 0 MUST be treated as a connection
        error (Section 5.4.1) of type FRAME_SIZE_ERROR."
        """
        talk = self.started()
        self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.SETTINGS, frames.ACK, 0, bytes(6)))

    def test_6_5_length(self) -> None:
        """ "A SETTINGS frame with a length other than a multiple of 6 octets MUST be treated as a connection error (Section 5.4.1) of
        type FRAME_SIZE_ERROR."
        """
        for size in (1, 5, 7, 13):
            talk = self.started()
            self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.SETTINGS, 0, 0, bytes(size)))

    def test_6_5_last_value(self) -> None:
        """ "the value of a SETTINGS parameter is the last value that is seen by a receiver." """
        talk = self.talk()
        talk.receive(frames.settings([(4, 1), (4, 100), (4, 7)]))
        talk.newly_sent()
        talk.ask(A, b"POST", body=b"x" * 100)
        self.assertEqual(talk.newly_sent()[1], ("DATA", 1, b"x" * 7, False))

    def test_6_5_2_push(self) -> None:
        """ "A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as a connection error (Section 5.4.1) of
        type PROTOCOL_ERROR."; "Any value other than 0 or 1" as well.
        """
        for value in (1, 2, 2**32 - 1):
            for enable_push in (False, True):
                talk = self.started(enable_push=enable_push)
                self.assert_connection_error("PROTOCOL_ERROR", talk, frames.settings([(2, value)]))
        talk = self.started()
        talk.receive(talk.peer.settings(enable_push=0))
        self.assert_alive(talk)

    def test_6_5_2_push_refused(self) -> None:
        """ "A client that has both set this parameter to 0 and had it acknowledged MUST treat the receipt of a PUSH_PROMISE frame as a
        connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        talk = self.started()
        self.assertEqual(talk.sent[0][1]["enable_push"], 0)
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.promise(1, 2))

    def test_6_5_2_window(self) -> None:
        """ "Values above the maximum flow-control window size of 2^31-1 MUST be treated as a connection error (Section 5.4.1) of type
        FLOW_CONTROL_ERROR."; also one that another value in the same frame takes the place of.
        """
        for values in ([(4, 2**31)], [(4, 2**32 - 1)], [(4, 2**31), (4, 65_535)]):
            self.assert_connection_error("FLOW_CONTROL_ERROR", self.started(), frames.settings(values), values)
        talk = self.talk()
        talk.receive(frames.settings([(4, LARGEST)]))
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",)])

    def test_6_5_2_frame_size(self) -> None:
        """ "Values outside this range MUST be treated as a connection error (Section 5.4.1) of type PROTOCOL_ERROR." """
        for value in (0, 1, 16_383, 2**24, 2**32 - 1):
            self.assert_connection_error("PROTOCOL_ERROR", self.started(), frames.settings([(5, value)]), value)
        for value in (16_384, 2**24 - 1):
            talk = self.started()
            talk.receive(frames.settings([(5, value)]))
            self.assert_alive(talk)

    def test_6_5_2_zero_streams(self) -> None:
        """ "A zero value does prevent the creation of new streams" """
        talk = self.talk(settings={"max_concurrent_streams": 0})
        talk.ask(A)
        self.assertEqual((talk.newly_sent(), talk.outline), ([], [("failed", A, "StreamRefused")]))

    def test_6_5_2_unknown(self) -> None:
        """ "An endpoint that receives a SETTINGS frame with any unknown or unsupported identifier MUST ignore that setting." """
        talk = self.started()
        talk.receive(frames.settings([(7, 5), (0x10, 2**32 - 1), (0, 0)]))
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",)])
        self.assert_alive(talk)

    def test_6_5_3_ack(self) -> None:
        """ "Once all values have been processed, the recipient MUST immediately emit a SETTINGS frame with the ACK flag set." """
        talk = self.talk()
        talk.ask(A, b"POST", body=b"x" * 70_000)
        talk.newly_sent()
        talk.receive(talk.peer.settings(initial_window_size=65_540) + talk.peer.window(0, 10) + talk.peer.settings() + talk.peer.ping())
        sent = [frame[0] for frame in talk.newly_sent()]
        self.assertEqual(sent, ["SETTINGS ACK", "DATA", "SETTINGS ACK", "PING ACK"])

    def test_6_5_3_timeout(self) -> None:
        """ "If the sender of a SETTINGS frame does not receive an acknowledgment within a reasonable amount of time, it MAY issue a
        connection error (Section 5.4.1) of type SETTINGS_TIMEOUT."
        """
        talk = self.talk(begun=False)
        talk.receive(talk.peer.settings())
        talk.newly_sent()
        talk.at(5.0)
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "SETTINGS_TIMEOUT")])


class PromiseTests(Rfc9113Case):
    """Section 6.6: PUSH_PROMISE."""

    def test_6_6_stream(self) -> None:
        """ "If the Stream Identifier field specifies the value 0x00, a recipient MUST respond with a connection error" """
        self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(enable_push=True), talk.peer.promise(0, 2))

    def test_6_6_peer_initiated(self) -> None:
        """ "PUSH_PROMISE frames MUST only be sent on a peer-initiated stream" """
        talk = self.started(enable_push=True)
        talk.receive(talk.peer.promise(1, 2), talk.peer.respond(2))
        talk.newly_sent()
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.promise(2, 4))

    def test_6_6_idle(self) -> None:
        """ "A receiver MUST treat the receipt of a PUSH_PROMISE on a stream that is neither "open" nor "half-closed (local)" as a
        connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(enable_push=True), talk.peer.promise(7, 2))

    def test_6_6_after_reset(self) -> None:
        """ "an endpoint that has sent RST_STREAM on the associated stream MUST handle PUSH_PROMISE frames that might have been created
        before the RST_STREAM frame is received and processed."
        """
        talk = self.started(enable_push=True)
        talk.cancel(A)
        talk.newly_sent()
        talk.receive(talk.peer.promise(1, 2))
        self.assertEqual((talk.newly_sent(), talk.outline), ([("RST_STREAM", 2, "CANCEL")], []))
        talk.receive(talk.peer.respond(2, 200), talk.peer.data(2, b"hello", True))
        self.assertEqual(talk.newly_sent(), [])
        self.assert_alive(talk)

    def test_6_6_illegal_identifier(self) -> None:
        """ "an illegal stream identifier is an identifier for a stream that is not currently in the "idle" state." """
        for promised_id in (0, 1, 7, 2, 4, LARGEST):
            talk = self.started(enable_push=True)
            talk.receive(talk.peer.promise(1, 2), talk.peer.promise(1, 4))
            talk.newly_sent()
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.promise(1, promised_id))

    def test_6_6_any_order(self) -> None:
        """ "Promised streams are not required to be used in the order they are promised." """
        talk = self.started(enable_push=True)
        first = pushed(talk.receive(talk.peer.promise(1, 2)))
        second = pushed(talk.receive(talk.peer.promise(1, 4)))
        talk.receive(talk.peer.respond(4, fin=True), talk.peer.respond(2, fin=True))
        self.assertEqual(talk.outline[2:], [("response", second, 200, (), True), ("response", first, 200, (), True)])

    def test_6_6_padding(self) -> None:
        """ "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this as a connection
        error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        for padding in (0, 7):
            talk = self.started(enable_push=True)
            pushed(talk.receive(talk.peer.promise(1, 2, padding=padding)))
        flags = frames.PADDED | frames.END_HEADERS
        for payload in (b"\x05\0\0\0\2", b"\xff\0\0\0\2\x82"):
            talk = self.started(enable_push=True)
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.PUSH_PROMISE, flags, 1, payload))

    def test_6_6_reserved_bit(self) -> None:
        """ "Reserved (1), Promised Stream ID (31)": the bit is ignored here as well (section 4.1)."""
        talk = self.started(enable_push=True)
        stream = pushed(talk.receive(talk.peer.promise(1, 2 | 1 << 31)))
        talk.receive(talk.peer.respond(2, fin=True))
        self.assertEqual(talk.outline[-1], ("response", stream, 200, (), True))


class PingTests(Rfc9113Case):
    """Section 6.7: PING."""

    def test_6_7_answer(self) -> None:
        """ "MUST send a PING frame with the ACK flag set in response, with an identical frame payload." """
        talk = self.started()
        for payload in (bytes(8), b"12345678", b"\xff" * 8):
            talk.receive(talk.peer.ping(payload))
            self.assertEqual(talk.newly_sent(), [("PING ACK", payload)])

    def test_6_7_no_answer(self) -> None:
        """ "An endpoint MUST NOT respond to PING frames containing this flag." """
        talk = self.started()
        self.assert_ignored(talk, talk.peer.ping(ack=True))

    def test_6_7_stream(self) -> None:
        """ "If a PING frame is received with a Stream Identifier field value other than 0x00, the recipient MUST respond with a
        connection error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        for flags in (0, frames.ACK):
            talk = self.started()
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.PING, flags, 1, bytes(8)))

    def test_6_7_length(self) -> None:
        """ "Receipt of a PING frame with a length field value other than 8 MUST be treated as a connection error (Section 5.4.1) of type
        FRAME_SIZE_ERROR."
        """
        for size in (0, 7, 9, 16):
            talk = self.started()
            self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.PING, 0, 0, bytes(size)))


class GoAwayTests(Rfc9113Case):
    """Section 6.8: GOAWAY."""

    def test_6_8_stream(self) -> None:
        """ "An endpoint MUST treat a GOAWAY frame with a stream identifier other than 0x00 as a connection error (Section 5.4.1) of type
        PROTOCOL_ERROR."
        """
        talk = self.started()
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.GOAWAY, 0, 1, bytes(8)))

    def test_6_8_no_new_streams(self) -> None:
        """ "Receivers of a GOAWAY frame MUST NOT open additional streams on the connection" """
        talk = self.started()
        talk.receive(talk.peer.goaway(LARGEST))
        self.assertFalse(talk.core.accepting)

    def test_6_8_above(self) -> None:
        """ "Any protocol activity that uses higher-numbered streams can be safely retried using a new connection." """
        talk = self.started()
        talk.receive(talk.peer.goaway(3))
        self.assertEqual(talk.outline, [("failed", C, "GoAway(0, 3)")])
        self.assertEqual(talk.core.losses().unprocessed, (C,))

    def test_6_8_below(self) -> None:
        """ "Activity on streams numbered lower than or equal to the last stream identifier might still complete successfully." """
        talk = self.started()
        talk.receive(talk.peer.goaway(3), talk.peer.respond(1, fin=True), talk.peer.respond(3), talk.peer.data(3, b"hello", True))
        self.assertEqual(talk.outline[-3:], [("response", B, 200, (), False), ("data", B, b"hello", True), ("close", None)])

    def test_6_8_nothing(self) -> None:
        """ "The last stream identifier can be set to 0 if no streams were processed." """
        talk = self.started()
        talk.receive(talk.peer.goaway(0))
        self.assertEqual([entry[0] for entry in talk.outline], ["failed"] * 3 + ["close"])
        self.assertEqual(set(talk.core.losses().unprocessed), {A, B, C})

    def test_6_8_several(self) -> None:
        """ "The last stream identifier from the last GOAWAY frame received indicates which streams could have been acted upon." """
        talk = self.started()
        talk.receive(talk.peer.goaway(LARGEST), talk.peer.goaway(3), talk.peer.goaway(1))
        self.assertEqual(talk.outline, [("failed", C, "GoAway(0, 3)"), ("failed", B, "GoAway(0, 1)")])

    def test_6_8_answered(self) -> None:
        """ "a receiver of a GOAWAY that has no more use for the connection SHOULD still send a GOAWAY frame before terminating the
        connection."
        """
        talk = self.started()
        talk.receive(talk.peer.goaway(0))
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "NO_ERROR")])

    def test_6_8_debug_data(self) -> None:
        """ "Additional debug data is intended for diagnostic purposes only and carries no semantic value." """
        for debug in (b"", b"x", b"\0" * 1000):
            talk = self.started()
            talk.receive(talk.peer.goaway(5, debug=debug))
            self.assertEqual(talk.outline, [])
            self.assert_alive(talk)

    def test_6_8_reserved_bit(self) -> None:
        """ "Reserved (1), Last-Stream-ID (31)": the bit is ignored (section 4.1)."""
        talk = self.started()
        talk.receive(talk.peer.frame(FrameType.GOAWAY, 0, 0, b"\x80\0\0\3" + bytes(4)))
        self.assertEqual(talk.outline, [("failed", C, "GoAway(0, 3)")])


class WindowUpdateTests(Rfc9113Case):
    """Section 6.9: WINDOW_UPDATE."""

    def test_6_9_nothing(self) -> None:
        """ "A receiver MUST treat the receipt of a WINDOW_UPDATE frame with a flow-control window increment of 0 as a stream error
        (Section 5.4.2) of type PROTOCOL_ERROR"
        """
        self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.window(1, 0))
        self.assert_stream_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.window(1, 1 << 31))

    def test_6_9_nothing_on_the_connection(self) -> None:
        """ "errors on the connection flow-control window MUST be treated as a connection error (Section 5.4.1)." """
        self.assert_connection_error("PROTOCOL_ERROR", talk := self.started(), talk.peer.window(0, 0))

    def test_6_9_closed(self) -> None:
        """ "a receiver could receive a WINDOW_UPDATE frame on a stream in a "half-closed (remote)" or "closed" state. A receiver MUST NOT
        treat this as an error"
        """
        talk = self.started()
        talk.receive(talk.peer.respond(1, fin=True))
        talk.cancel(B)
        talk.newly_sent()
        talk.steps.clear()
        self.assert_ignored(talk, talk.peer.window(1, 10) + talk.peer.window(3, LARGEST) + talk.peer.window(3, LARGEST))

    def test_6_9_accounted(self) -> None:
        """ "A receiver that receives a flow-controlled frame MUST always account for its contribution against the connection
        flow-control window": also one that is in error.
        """
        talk = self.started(initial_connection_window_size=65_535)
        talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"1"),)), talk.peer.respond(3))
        talk.receive(talk.peer.data(1, b"x" * 10_000))
        talk.receive(*[talk.peer.data(3, b"x" * 10_000)] * 3)
        self.assertIn(("WINDOW_UPDATE", 0), [frame[:2] for frame in talk.newly_sent()])

    def test_6_9_length(self) -> None:
        """ "A WINDOW_UPDATE frame with a length other than 4 octets MUST be treated as a connection error (Section 5.4.1) of type
        FRAME_SIZE_ERROR."
        """
        for stream_id in (0, 1):
            for size in (0, 3, 5):
                talk = self.started()
                self.assert_connection_error("FRAME_SIZE_ERROR", talk, talk.peer.frame(FrameType.WINDOW_UPDATE, 0, stream_id, bytes(size)))

    def test_6_9_1_sender(self) -> None:
        """ "The sender MUST NOT send a flow-controlled frame with a length that exceeds the space available in either of the flow-control
        windows advertised by the receiver."
        """
        talk = self.talk(settings={"initial_window_size": 10})
        talk.ask(A, b"POST", body=b"x" * 30)
        talk.receive(talk.peer.window(1, 5), talk.peer.window(0, 100), talk.peer.window(1, 100))
        self.assertEqual([len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"], [10, 5, 15])

    def test_6_9_1_empty_end(self) -> None:
        """ "Frames with zero length with the END_STREAM flag set (that is, an empty DATA frame) MAY be sent if there is no available
        space in either flow-control window."
        """
        talk = self.talk(settings={"initial_window_size": 0})
        talk.ask(A, b"POST", body=None)
        talk.newly_sent()
        talk.send(A, b"", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"", True)])

    def test_6_9_1_overflow(self) -> None:
        """ "For streams, the sender sends a RST_STREAM with an error code of FLOW_CONTROL_ERROR; for the connection, a GOAWAY frame with
        an error code of FLOW_CONTROL_ERROR is sent."
        """
        self.assert_stream_error("FLOW_CONTROL_ERROR", talk := self.started(), talk.peer.window(1, LARGEST - 65_535 + 1))
        self.assert_connection_error("FLOW_CONTROL_ERROR", talk := self.started(), talk.peer.window(0, LARGEST - 65_535 + 1))
        talk = self.started()
        self.assert_ignored(talk, talk.peer.window(1, LARGEST - 65_535) + talk.peer.window(0, LARGEST - 65_535))

    def test_6_9_2_adjusted(self) -> None:
        """ "a receiver MUST adjust the size of all stream flow-control windows that it maintains by the difference between the new value
        and the old value."
        """
        talk = self.talk(settings={"initial_window_size": 10})
        talk.ask(A, b"POST", body=b"x" * 30)
        talk.receive(talk.peer.settings(initial_window_size=16))
        self.assertEqual([len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"], [10, 6])

    def test_6_9_2_negative(self) -> None:
        """ "A sender MUST track the negative flow-control window and MUST NOT send new flow-controlled frames until it receives
        WINDOW_UPDATE frames that cause the flow-control window to become positive."
        """
        talk = self.talk(settings={"initial_window_size": 60})
        talk.ask(A, b"POST", body=b"x" * 100)
        talk.receive(talk.peer.settings(initial_window_size=16))
        talk.newly_sent()
        for increment in (40, 4):  # from -44 to 0
            talk.receive(talk.peer.window(1, increment))
            self.assertEqual(talk.newly_sent(), [])
        talk.receive(talk.peer.window(1, 1))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"x", False)])

    def test_6_9_2_connection(self) -> None:
        """ "A SETTINGS frame cannot alter the connection flow-control window." """
        talk = self.talk(settings={"initial_window_size": 1_000_000})
        talk.ask(A, b"POST", body=b"x" * 100_000)
        self.assertEqual(sum(len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"), 65_535)

    def test_6_9_2_overflow(self) -> None:
        """ "An endpoint MUST treat a change to SETTINGS_INITIAL_WINDOW_SIZE that causes any flow-control window to exceed the maximum
        size as a connection error (Section 5.4.1) of type FLOW_CONTROL_ERROR."
        """
        talk = self.started()
        talk.receive(talk.peer.window(1, 1000))
        self.assert_connection_error("FLOW_CONTROL_ERROR", talk, frames.settings([(4, LARGEST - 999)]))


class ContinuationTests(Rfc9113Case):
    """Section 6.10: CONTINUATION."""

    def test_6_10_stream(self) -> None:
        """ "If a CONTINUATION frame is received with a Stream Identifier field of 0x00, the recipient MUST respond with a connection
        error (Section 5.4.1) of type PROTOCOL_ERROR."
        """
        talk = self.started()
        self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.CONTINUATION, 4, 0))

    def test_6_10_preceded(self) -> None:
        """ "A CONTINUATION frame MUST be preceded by a HEADERS, PUSH_PROMISE or CONTINUATION frame without the END_HEADERS flag set." """
        for before in (b"", self.talk().peer.respond(1), self.talk().peer.respond(1, piece=1, fields=((b"a", b"b"),)), frames.settings([])):
            talk = self.started()
            talk.receive(before)
            self.assert_connection_error("PROTOCOL_ERROR", talk, talk.peer.frame(FrameType.CONTINUATION, 4, 1))

    def test_6_10_followed(self) -> None:
        """ "If the END_HEADERS flag is not set, this frame MUST be followed by another CONTINUATION frame." """
        talk = self.started()
        head = talk.peer.frame(FrameType.HEADERS, 0, 1, b"\x88") + talk.peer.frame(FrameType.CONTINUATION, 0, 1)
        self.assert_connection_error("PROTOCOL_ERROR", talk, head + talk.peer.frame(FrameType.HEADERS, 4, 1))

    def test_6_10_any_number(self) -> None:
        """ "Any number of CONTINUATION frames can be sent": up to the limit that is ours."""
        for count in range(1, 9):
            talk = self.started()
            empty = talk.peer.frame(FrameType.CONTINUATION, 0, 1) * (count - 1)
            last = talk.peer.frame(FrameType.CONTINUATION, frames.END_HEADERS, 1, b"\x40\x01a\x01b")
            talk.receive(talk.peer.frame(FrameType.HEADERS, 0, 1, b"\x88") + empty + last)
            self.assertEqual(talk.outline, [("response", A, 200, ((b"a", b"b"),), False)])
