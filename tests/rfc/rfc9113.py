"""What the tests of RFC 9113 share: connections under way, and what its two kinds of errors look like from outside."""

from __future__ import annotations

from typing import Any

from tests.wire.conversation import PROTOCOL_VIOLATION, A, B, C
from tests.wire.http2_conversation import Http2Case, Http2Conversation
from twisted_gun.wire.frames import HEADER

__all__ = ["Rfc9113Case", "with_header"]


class Rfc9113Case(Http2Case):
    """Tests of one section."""

    def started(self, *, method: bytes = b"GET", body: bytes | None = b"", **options: Any) -> Http2Conversation:
        """A connection with requests on streams 1, 3 and 5, the first as it is given; what was told and sent so far is put away."""
        talk = self.talk(**options)
        talk.ask(A, method, body=body)
        talk.ask(B)
        talk.ask(C)
        talk.newly_sent()
        talk.steps.clear()
        return talk

    def assert_connection_error(self, code: str, talk: Http2Conversation, data: bytes, why: object = None) -> None:
        """
        `data` is a connection error with `code`, however it is cut.

        Section 5.4.1: "An endpoint that encounters a connection error SHOULD first send a GOAWAY frame", then "MUST close the TCP
        connection".
        """
        talk.receive(data[:5], *([data[5:]] if len(data) > 5 and not talk.over else []))
        self.assertEqual([frame[::2] for frame in talk.newly_sent()[-1:]], [("GOAWAY", code)], why)
        self.assertEqual(talk.outline[-1:], [("close", PROTOCOL_VIOLATION)], why)

    def assert_stream_error(self, code: str, talk: Http2Conversation, data: bytes, why: object = None, stream_id: int = 1) -> None:
        """
        `data` is an error of stream 1, or another, with `code`: the others live on.

        Section 5.4.2: "An endpoint that detects a stream error sends a RST_STREAM frame".
        """
        talk.receive(data)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", stream_id, code)], why)
        failed = [entry for entry in talk.outline if entry[0] == "failed"]
        self.assertEqual([entry[2] for entry in failed], [PROTOCOL_VIOLATION], why)
        self.assert_alive(talk, why)

    def assert_ignored(self, talk: Http2Conversation, data: bytes, why: object = None) -> None:
        """`data` changes nothing that can be seen."""
        talk.receive(data)
        self.assertEqual((talk.newly_sent(), talk.outline), ([], []), why)
        self.assert_alive(talk, why)

    def assert_alive(self, talk: Http2Conversation, why: object = None) -> None:
        """Stream 5, which nobody has touched, is answered."""
        self.assertFalse(talk.over, why)
        talk.receive(talk.peer.respond(5, fin=True))
        self.assertIn(("response", C, 200, (), True), talk.outline, why)


def with_header(frame: bytes, flags: int = 0, reserved: bool = False) -> bytes:
    """`frame` with more flags, and the reserved bit if wanted."""
    word, before, stream_id = HEADER.unpack_from(frame)
    return HEADER.pack(word, before | flags, stream_id | reserved << 31) + frame[HEADER.size :]
