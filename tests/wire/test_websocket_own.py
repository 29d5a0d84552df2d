"""What is particular to our own core of websockets: wsproto does it in another way, or not at all."""

from __future__ import annotations

import random
import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Binary, Close, Text
from twisted_gun.wire.steps import Write

from .conversation import A
from .ws_conversation import RSV1, Opcode, WsConversation, agreed, close, fragments, server_frame


class OwnTests(SynchronousTestCase):
    """Our own core."""

    def test_bad_gateway(self) -> None:
        """The code 1014, which was registered later than the RFC."""
        talk = WsConversation()
        talk.receive(close(1014, b"bad gateway"))
        self.assertEqual((talk.frames, talk.sent), ([Close(1014, "bad gateway")], [Close(1014)]))

    def test_small(self) -> None:
        """Small messages take a short way out, and the frame is the same; what is larger, compressed, late or no text does not."""
        talk = WsConversation()
        core: Any = talk.core
        for message, frame in (("é" * 62, Text("é" * 62)), (b"x" * 125, Binary(b"x" * 125)), ("", Text("")), (b"", Binary(b""))):
            data = core.small(message)
            assert data is not None
            talk._did([Write(data)])
            self.assertEqual(talk.sent[-1], frame)
        for message in ("é" * 63, "x" * 126, b"x" * 126, "\ud800"):
            self.assertIsNone(core.small(message))
        compressing: Any = WsConversation(deflate=agreed()).core
        self.assertIsNone(compressing.small("x"))
        talk.receive(close(1000))
        self.assertIsNone(core.small("x"))

    def test_refused_at_its_header(self) -> None:
        """What is certain to be too much is refused before any of it comes, and so is what has no place where it comes."""
        for data, code in (
            (server_frame(Opcode.BINARY, length=16 * 1024 * 1024 + 1), 1009),
            (server_frame(Opcode.TEXT, b"x" * 100, fin=False) + server_frame(Opcode.CONTINUATION, length=16 * 1024 * 1024), 1009),
            (server_frame(Opcode.CONTINUATION, length=100), 1002),
            (server_frame(Opcode.TEXT, fin=False) + server_frame(Opcode.TEXT, length=100), 1002),
            (server_frame(Opcode.BINARY, mask=b"abcd", length=100)[:2], 1002),
        ):
            talk = WsConversation()
            talk.receive(data)
            self.assertEqual((talk.outline[-1][:2], talk.sent), (("failed", A), [Close(code)]))

    def test_compressed_size(self) -> None:
        """What is compressed may be as large as the message, and a little more; announced to be larger it is refused, frame or message."""
        most = 1024 * 1024
        largest = most * 1025 // 1024 + 64 * 1024
        empty = b"\x03\0" * 500  # blocks with nothing in them
        for before in (b"", server_frame(Opcode.TEXT, empty, fin=False, rsv=RSV1)):
            for more in (0, 1):
                talk = WsConversation(deflate=agreed(), max_message_size=most)
                length = largest - len(empty) + more if before else largest + more
                talk.receive(
                    before + server_frame(Opcode.CONTINUATION if before else Opcode.TEXT, length=length, rsv=0 if before else RSV1)
                )
                self.assertEqual(talk.outline, [("failed", A, f"LimitReached(max_message_size, {most})")] if more else [])
                self.assertEqual(talk.sent, [Close(1009)] if more else [])

    def test_not_compressible(self) -> None:
        """Content that only grows when it is compressed may have max_message_size all the same, in one frame or in many."""
        most = 1024 * 1024
        for level, memory_level in ((0, 8), (0, 1), (6, 1)):
            stored = zlib.compressobj(level, zlib.DEFLATED, -15, memory_level)
            content = random.Random(7692).randbytes(most)
            pieces = [stored.compress(content[at : at + 1024]) + stored.flush(zlib.Z_SYNC_FLUSH) for at in range(0, most, 1024)]
            self.assertGreater(sum(map(len, pieces)), most)
            pieces[-1] = pieces[-1][:-4]
            for parts in ([b"".join(pieces)], pieces):
                talk = WsConversation(deflate=agreed(), max_message_size=most)
                talk.receive(fragments(Opcode.BINARY, *parts, rsv=RSV1))
                self.assertEqual(talk.frames, [Binary(content)])

    def test_two_faults(self) -> None:
        """Text that is both no text and too long is what it is first, whether it is inflated at once or bit by bit."""
        for at, reason in ((50, "ProtocolViolation"), (999, "ProtocolViolation"), (1001, "LimitReached(max_message_size, 1000)")):
            for size in (1, 10, 100_000):
                talk = WsConversation(deflate=agreed(), max_message_size=1000)
                data = talk.compressed(b"x" * at + b"\xff" + b"y" * 100_000)
                talk.receive(*(data[start : start + size] for start in range(0, len(data), size)))
                self.assertEqual(talk.outline, [("failed", A, reason)], (at, size))

    def test_threshold(self) -> None:
        """Messages below `threshold` bytes are sent as they are."""
        for size, compressed in ((0, False), (9, False), (10, True), (1000, True)):
            talk = WsConversation(deflate=agreed(threshold=10))
            talk.say(b"x" * size, "x" * size)
            self.assertEqual([raw.rsv == RSV1 for raw in talk.raw], [compressed] * 2)
            self.assertEqual(talk.sent, [Binary(b"x" * size), Text("x" * size)])

    def test_level(self) -> None:
        """`level` and `memory_level` are zlib's: with 0 nothing gets smaller."""
        data = bytes(range(256)) * 100
        sizes = []
        for level in (0, 1, 9):
            talk = WsConversation(deflate=agreed(level=level, memory_level=level or 1))
            talk.say(data)
            self.assertEqual(talk.sent, [Binary(data)])
            sizes.append(len(talk.raw[0].payload))
        self.assertGreater(sizes[0], len(data))
        self.assertLess(max(sizes[1:]), len(data) // 10)

    def test_last_block(self) -> None:
        """RFC 7692 section 7.2.3.4: a block with BFINAL set may end a message, or come in the midst of it."""
        parts = []
        for said in (b"one, ", b"two, ", b"three"):
            whole = zlib.compressobj(6, zlib.DEFLATED, -15)
            parts.append(whole.compress(said) + whole.flush(zlib.Z_FINISH))
        for data in (b"".join(parts) + b"\0", b"".join(parts[:2]) + self.flushed(b"three")):
            for takeover in (True, False):
                talk = WsConversation(deflate=agreed(server_takeover=takeover))
                talk.receive(server_frame(Opcode.TEXT, data, rsv=RSV1))
                talk.receive_bytes(fragments(Opcode.TEXT, data[:7], data[7:], rsv=RSV1))
                self.assertEqual(talk.frames, [Text("one, two, three")] * 2)

    def flushed(self, data: bytes) -> bytes:
        """`data` as a message usually ends."""
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
