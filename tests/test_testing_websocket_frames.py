"""`twisted_gun.testing`: websocket frames as the server in memory writes and judges them, and their compression."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.test_testing_websocket import DEFLATE, Stage, client_frame
from twisted_gun.events import Binary, Close, Ping
from twisted_gun.testing import Opcode, accept_key, server_frame


def compressed(data: bytes, compressor: Any = None) -> bytes:
    """The payload of a compressed message."""
    compressor = compressor or zlib.compressobj(wbits=-15)
    return bytes(compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class FrameTests(SynchronousTestCase):
    """`server_frame` and `accept_key`."""

    def test_samples(self) -> None:
        """The samples of RFC 6455 section 5.7, and of section 1.3."""
        self.assertEqual(server_frame(Opcode.TEXT, b"Hello").hex(), "810548656c6c6f")
        self.assertEqual(client_frame(Opcode.TEXT, b"Hello").hex(), "818537fa213d7f9f4d5158")
        fragments = server_frame(Opcode.TEXT, b"Hel", fin=False), server_frame(Opcode.CONTINUATION, b"lo")
        self.assertEqual([fragment.hex() for fragment in fragments], ["010348656c", "80026c6f"])
        self.assertEqual(server_frame(Opcode.PING, b"Hello").hex(), "890548656c6c6f")
        self.assertEqual(client_frame(Opcode.PONG, b"Hello").hex(), "8a8537fa213d7f9f4d5158")
        self.assertEqual(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_lengths(self) -> None:
        """The length takes as few bytes as it can, unless the test says otherwise."""
        starts = {125: "827d", 126: "827e007e", 65_535: "827effff", 65_536: "827f0000000000010000"}
        for size, start in starts.items():
            self.assertEqual(server_frame(Opcode.BINARY, bytes(size)), bytes.fromhex(start) + bytes(size))
        self.assertEqual(server_frame(Opcode.BINARY, b"a", length_bytes=2).hex(), "827e000161")
        self.assertEqual(server_frame(Opcode.BINARY, b"a", length_bytes=8).hex(), "827f000000000000000161")

    def test_illegal(self) -> None:
        """Reserved bits, reserved opcodes, and a length that is not true."""
        self.assertEqual(server_frame(0xB, rsv=7).hex(), "fb00")
        self.assertEqual(server_frame(Opcode.TEXT, b"a", rsv=4).hex(), "c10161")
        self.assertEqual(server_frame(Opcode.TEXT, b"a", length=1 << 63).hex(), "817f800000000000000061")


class ViolationTests(Stage):
    """What a client must not send."""

    def check(self, said: bytes, why: str, **options: Any) -> None:
        """`said` fails the test, because of `why`."""
        self.start(**options)
        self.say(said)
        self.assertIn(why, self.failed(), said)

    def test_frames(self) -> None:
        """RFC 6455 sections 5.1 to 5.5: masks, reserved bits and opcodes, lengths, control frames."""
        self.check(server_frame(Opcode.TEXT, b"a"), "without a mask")
        for opcode in (*range(3, 8), *range(11, 16)):
            self.check(client_frame(opcode), "reserved")
        for rsv in range(1, 8):
            self.check(client_frame(Opcode.TEXT, rsv=rsv), "reserved bits")
            self.check(client_frame(Opcode.PING, rsv=rsv), "control frame")
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            self.check(client_frame(opcode, bytes(126)), "control frame")
            self.check(client_frame(opcode, fin=False), "control frame")
        self.check(client_frame(Opcode.BINARY, bytes(125), length_bytes=2), "a length of 125")
        self.check(client_frame(Opcode.BINARY, bytes(65_535), length_bytes=8), "a length of 65535")
        self.check(client_frame(Opcode.BINARY, length=1 << 63), "a length of")

    def test_longest(self) -> None:
        """A control frame of 125 bytes, and the shortest that need more bytes of length, are in order."""
        self.start()
        self.say(
            client_frame(Opcode.PING, bytes(125)) + client_frame(Opcode.BINARY, bytes(126)) + client_frame(Opcode.BINARY, bytes(65_536))
        )
        self.assertEqual(self.peer.frames, [Ping(bytes(125)), Binary(bytes(126)), Binary(bytes(65_536))])

    def test_fragments(self) -> None:
        """RFC 6455 section 5.4: a continuation of nothing, and a message within another."""
        self.check(client_frame(Opcode.CONTINUATION), "continuation of none")
        self.check(client_frame(Opcode.TEXT, fin=False) + client_frame(Opcode.TEXT), "within a fragmented one")
        self.check(client_frame(Opcode.TEXT) + client_frame(Opcode.CONTINUATION), "continuation of none")

    def test_text(self) -> None:
        """RFC 6455 section 8.1: text is UTF-8, and so is the reason of a Close."""
        for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"):
            self.check(client_frame(Opcode.TEXT, bad), "no UTF-8")
            self.check(client_frame(Opcode.CLOSE, b"\x03\xe8" + bad), "no UTF-8")

    def test_close(self) -> None:
        """RFC 6455 sections 5.5.1 and 7.4: half a code, codes that are not sent, and what comes after a Close."""
        self.check(client_frame(Opcode.CLOSE, b"\x03"), "half a code")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535):
            self.check(client_frame(Opcode.CLOSE, code.to_bytes(2, "big")), f"a Close by {code}")
        self.check(client_frame(Opcode.CLOSE) + client_frame(Opcode.TEXT), "after the Close")
        self.check(client_frame(Opcode.CLOSE) + client_frame(Opcode.CLOSE), "a second Close")
        for code in (1000, 1003, 1007, 1014, 3000, 4999):
            self.start()
            self.say(client_frame(Opcode.CLOSE, code.to_bytes(2, "big")))
            self.assertEqual(self.peer.frames, [Close(code)])

    def test_compression(self) -> None:
        """RFC 7692 sections 6 and 7: where it was not agreed to, within a message, and what cannot be inflated."""
        good = compressed(b"a" * 100)
        self.check(client_frame(Opcode.TEXT, good, rsv=4), "reserved bits")
        for said, why in (
            (client_frame(Opcode.TEXT, good, rsv=6), "reserved bits"),
            (client_frame(Opcode.TEXT, good, rsv=4, fin=False) + client_frame(Opcode.CONTINUATION, rsv=4), "reserved bits"),
            (client_frame(Opcode.TEXT, b"\xff" * 9, rsv=4), "cannot be inflated"),
            (client_frame(Opcode.TEXT, good[:-2], rsv=4), "inflated"),
            (client_frame(Opcode.TEXT, zlib.compress(b"a", wbits=-15), rsv=4), "a last one"),
            (client_frame(Opcode.TEXT, compressed(b"\xff"), rsv=4), "no UTF-8"),
        ):
            self.check(said, why, extensions=DEFLATE)


class DeflateTests(Stage):
    """permessage-deflate (RFC 7692) as the peer does it."""

    def agree(self, *parameters: str) -> None:
        """Let the peer agree to it with these parameters."""
        self.start(extensions="; ".join((DEFLATE, *parameters)), echo=True)

    def exchange(self, message: bytes, payload: bytes) -> bytes:
        """The payload of the answer to a compressed message, which arrives as `message`."""
        self.say(client_frame(Opcode.BINARY, payload, rsv=4))
        self.assertEqual(self.peer.frames[-1], Binary(message))
        (frame,) = _frames(self.client.received)
        self.assertEqual(frame[:2], (0xC2, True))
        return frame[2]

    def test_samples(self) -> None:
        """The samples of RFC 7692 sections 7.2.3.1, 7.2.3.2, 7.2.3.3 and 7.2.3.6."""
        first, second = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
        self.agree()
        self.assertEqual(self.exchange(b"Hello", first), first)
        self.assertEqual(self.exchange(b"Hello", second), second)
        self.exchange(b"Hello", bytes.fromhex("000500faff48656c6c6f00"))
        self.assertEqual(self.exchange(b"", b"\x00"), b"\x00")
        self.assertEqual(self.exchange(b"", b"\x00"), b"\x00")
        self.say(client_frame(Opcode.BINARY, first[:3], rsv=4, fin=False) + client_frame(Opcode.CONTINUATION, first[3:]))
        self.assertEqual(self.peer.frames[-1], Binary(b"Hello"))

    def test_not_compressed(self) -> None:
        """Each side may leave a message as it is; control frames always are."""
        self.agree()
        self.say(client_frame(Opcode.BINARY, b"Hello") + client_frame(Opcode.PING, b"Hello"))
        self.assertEqual(self.client.received, bytes.fromhex("c207f248cdc9c90700") + b"\x8a\x05Hello")
        self.peer.send("Hello", compress=False)
        self.assertEqual(self.flush(), b"\x81\x05Hello")

    def test_fragments(self) -> None:
        """Of a compressed message in pieces only the first has the bit."""
        self.agree()
        self.peer.send("Hello", 4)
        self.assertEqual(self.flush().hex(), "4104f248cdc9" + "8003c90700")

    def test_context(self) -> None:
        """Without context takeover, of either side, each message of that side begins anew."""
        for parameter, server_again, client_again in (("server", True, False), ("client", False, True)):
            self.agree(f"{parameter}_no_context_takeover")
            compressor = zlib.compressobj(wbits=-15)
            answers: list[bytes] = []
            for _ in range(2):
                answers.append(self.exchange(b"Hello", compressed(b"Hello", compressor)))
                compressor = zlib.compressobj(wbits=-15) if client_again else compressor
            self.assertEqual(answers[0] == answers[1], server_again)
        self.say(client_frame(Opcode.BINARY, bytes.fromhex("f200110000"), rsv=4))
        self.assertIn("cannot be inflated", self.failed())

    def test_server_window(self) -> None:
        """What the peer sends stays within the window it said, the smallest included."""
        message = b"".join(b"%d," % number for number in range(1000)) * 2
        for bits in range(8, 16):
            self.agree(f"server_max_window_bits={bits}")
            answer = self.exchange(message, compressed(message))
            self.assertEqual(_inflated(answer, bits), message)

    def test_client_window(self) -> None:
        """A client that looks back further than its window fails the test; one that looks back as far is understood."""
        for bits in range(8, 15):
            near, far = (bytes(range(250)) + bytes(gap - 250) + bytes(range(250)) for gap in (1 << bits, (1 << bits) + 1))
            self.agree(f"client_max_window_bits={bits}")
            self.exchange(near, compressed(near))
            self.agree(f"client_max_window_bits={bits}")
            self.say(client_frame(Opcode.BINARY, compressed(far), rsv=4))
            self.assertIn("too far back", self.failed(), bits)

    def test_what_cannot_be(self) -> None:
        """Parameters that no client may agree to are sent as they are."""
        for parameter in ("server_max_window_bits=7", "client_max_window_bits=16", "server_max_window_bits", "other=x"):
            self.agree(parameter)
            self.assertIn(parameter.encode() + b"\r\n", self.client.received)
            self.exchange(b"a", compressed(b"a"))


def _frames(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """First byte, whether it is whole, and payload of each frame of a server."""
    while data:
        start = 2 + {126: 2, 127: 8}.get(data[1], 0)
        size = int.from_bytes(data[2:start], "big") if start > 2 else data[1]
        yield data[0], len(data) >= start + size, data[start : start + size]
        data = data[start + size :]


def _inflated(payload: bytes, bits: int) -> bytes:
    """Byte by byte, so that zlib holds each distance to its window."""
    inflater, rest, whole = zlib.decompressobj(wbits=-bits), payload + b"\x00\x00\xff\xff", b""
    while (piece := inflater.decompress(rest, 1)) or inflater.unconsumed_tail:
        whole, rest = whole + piece, inflater.unconsumed_tail
    return whole
