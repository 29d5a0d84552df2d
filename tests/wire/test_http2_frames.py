"""
The frames of http2-frame-test-case: a bad one is an error of the right code, a good one is none.

The vectors lie beside the checkout, in ``../shared/vectors``; without them these tests are skipped. They are made for a parser that
knows nothing of a connection. Where it takes more than the frame to tell good from bad, the test brings that about first, or says
why the frame is an error all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted_gun.wire.frames import HEADER, UINT32, ErrorCode, FrameType
from twisted_gun.wire.hpack import Encoder

from .conversation import PROTOCOL_VIOLATION, A, B, C
from .http2_conversation import Http2Case, Http2Conversation, pushed
from .http2_peer import REQUEST, Frame, Peer

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors" / "h2_frames_34.json"

#: What a server has to send before it may send the frame: these are on streams of its own, which begin with a promise.
BEFORE: dict[str, Callable[[Peer], bytes]] = {
    "continuation/header.json": lambda peer: peer.promise(1, 50) + peer.frame(FrameType.HEADERS, 0, 50, b"\x88"),
    "continuation/normal.json": lambda peer: peer.promise(1, 50) + peer.frame(FrameType.HEADERS, 0, 50, b"\x88"),
    "data/normal.json": lambda peer: peer.promise(1, 2) + peer.respond(2),
    "window_update/normal.json": lambda peer: peer.promise(1, 50) + peer.respond(50),
}

#: What a good frame is answered with, where it is.
ANSWERS: dict[str, list[Frame]] = {
    "goaway/normal.json": [("GOAWAY", 0, "NO_ERROR")],
    "ping/normal.json": [("PING ACK", b"deadbeef")],
    "settings/normal.json": [("SETTINGS ACK",)],
    # RFC 9113 section 4.3: "this is dummy" is a field block in none of them, so that the connection cannot go on.
    "headers/normal.json": [("GOAWAY", 0, "COMPRESSION_ERROR")],
    "headers/priority.json": [("GOAWAY", 0, "COMPRESSION_ERROR")],
    # RFC 9113 section 6.6: it is on stream 10, "PUSH_PROMISE frames MUST only be sent on a peer-initiated stream".
    "push_promise/normal.json": [("GOAWAY", 0, "PROTOCOL_ERROR")],
}

#: What a good frame tells.
TOLD: dict[str, Any] = {
    "settings/normal.json": [("accepting",)],
    "data/normal.json": [("data", "pushed on A by GET", b"Hello, world!", False)],
    "rst_stream/normal.json": [("failed", "C", "StreamReset(8)")],
}


class VectorTests(Http2Case):
    """Each frame, after a server's preface and with three requests open; whole, and cut at every byte."""

    def setUp(self) -> None:
        if not VECTORS.exists():
            self.skipTest(f"the vectors are not there: {VECTORS}")
        self.cases = {case["file"]: case for case in json.loads(VECTORS.read_text())}
        self.assertEqual(len(self.cases), 34)

    def after(self, wire: bytes, before: Callable[[Peer], bytes] | None, *, enable_push: bool) -> Http2Conversation:
        """What a conversation is like after `wire`; only what that brought is in it."""

        def scene(talk: Http2Conversation) -> bytes:
            for stream in (A, B, C):
                talk.ask(stream)
            if before is not None:
                talk.receive(before(talk.peer))
            talk.newly_sent()
            talk.steps.clear()
            return wire

        return self.at_every_cut(scene, enable_push=enable_push)

    def test_bad(self) -> None:
        """A bad frame ends the connection, with a code the vectors allow."""
        bad = {name: case for name, case in self.cases.items() if case["error"]}
        self.assertEqual(len(bad), 22)
        # RFC 9113 section 6.9 has it that this one, on stream 1, is that stream's error alone; see below.
        del bad["error/window_update-frame-increment.json"]
        for name, case in bad.items():
            for enable_push in (False, True):
                talk = self.after(bytes.fromhex(case["wire"]), None, enable_push=enable_push)
                codes = [("GOAWAY", 0, ErrorCode(code).name) for code in case["error"]]
                (sent,) = talk.newly_sent()
                self.assertIn(sent, codes, name)
                self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION), name)

    def test_bad_for_its_stream(self) -> None:
        """A window that is opened by nothing is a stream's error, and the connection goes on."""
        case = self.cases["error/window_update-frame-increment.json"]
        self.assertEqual(case["error"], [ErrorCode.PROTOCOL_ERROR])
        talk = self.after(bytes.fromhex(case["wire"]), None, enable_push=False)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])

    def test_good(self) -> None:
        """A good frame does what it says."""
        good = {name: case for name, case in self.cases.items() if not case["error"]}
        self.assertEqual(len(good), 12)
        for name, case in good.items():
            talk = self.after(bytes.fromhex(case["wire"]), BEFORE.get(name), enable_push=True)
            sent = talk.newly_sent()
            self.assertEqual(sent, ANSWERS.get(name, []), name)
            fatal = bool(sent) and sent[0][2:] in (("COMPRESSION_ERROR",), ("PROTOCOL_ERROR",))
            self.assertEqual(talk.over, fatal, name)
            if not fatal:
                told = [tuple(str(part) if isinstance(part, type(A)) else part for part in entry) for entry in talk.outline]
                self.assertEqual(told, TOLD.get(name, []), name)

    def with_block(self, name: str, stream_id: int, block: bytes) -> bytes:
        """The frame `name` on `stream_id`, with a real field block in place of what it has."""
        wire = bytes.fromhex(self.cases[name]["wire"])
        word, flags, _ = HEADER.unpack_from(wire)
        payload = wire[HEADER.size :].replace(b"this is dummy", block)
        return HEADER.pack(len(payload) << 8 | word & 0xFF, flags, stream_id) + payload

    def test_good_with_fields(self) -> None:
        """The frames with field blocks, once they have one: padding, priority and all."""
        talk = self.after(self.with_block("headers/normal.json", 1, b"\x88"), None, enable_push=False)
        self.assertEqual(talk.outline, [("response", A, 200, (), False)])
        talk = self.after(self.with_block("headers/priority.json", 3, b"\x89"), None, enable_push=False)
        self.assertEqual(talk.outline, [("response", B, 204, (), False)])
        talk = self.after(self.with_block("push_promise/normal.json", 1, Encoder().encode_fields(REQUEST)), None, enable_push=True)
        (entry,) = talk.outline
        self.assertEqual(entry, ("push", A, pushed(talk.steps), b"GET", b"https://example.org/style.css", ()))
        self.assertEqual(talk.newly_sent(), [])
        talk.receive(talk.peer.respond(12, fin=True))
        self.assertEqual(talk.outline[-1][2:], (200, (), True))

    def test_continued(self) -> None:
        """The CONTINUATION frames go on with the block before them: the empty one leaves it as it was."""
        wire = bytes.fromhex(self.cases["continuation/normal.json"]["wire"])
        talk = self.after(wire, BEFORE["continuation/normal.json"], enable_push=True)
        talk.receive(talk.peer.frame(FrameType.CONTINUATION, 4, 50, b"\x55\x01x"))  # age: x
        self.assertEqual(talk.outline[-1][2:], (200, ((b"age", b"x"),), False))

    def test_without_what_comes_before(self) -> None:
        """The same on streams that no promise has made: they are idle, and that is an error."""
        for name in BEFORE:
            talk = self.after(bytes.fromhex(self.cases[name]["wire"]), None, enable_push=True)
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "PROTOCOL_ERROR")], name)

    def test_lengths(self) -> None:
        """A frame cannot be as long as its length says, if that is beyond the limit: it is refused before it has come."""
        for size in (0x4001, 0x8000, 0xFFFFFF):
            for kind in range(12):
                talk = self.after(HEADER.pack(size << 8 | kind, 0, kind & 1) + UINT32.pack(0), None, enable_push=True)
                self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "FRAME_SIZE_ERROR")])
