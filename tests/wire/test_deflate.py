"""permessage-deflate by itself (RFC 7692 section 7): the offer, the agreement, and the work."""

from __future__ import annotations

import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import ProtocolViolation
from twisted_gun.options import DeflateOptions
from twisted_gun.wire.deflate import Deflater, Inflater, agree, offer

from .ws_conversation import agreed

CLIENT_BITS, SERVER_BITS = b"client_max_window_bits", b"server_max_window_bits"
CLIENT_NONE, SERVER_NONE = b"client_no_context_takeover", b"server_no_context_takeover"


class OfferTests(SynchronousTestCase):
    """What is offered."""

    def test_offer(self) -> None:
        """What the options say; a window of our own only where it is smaller than the largest."""
        for options, parameters in (
            ({}, b"client_max_window_bits"),
            ({"client_max_window_bits": 14}, b"client_max_window_bits=14"),
            ({"client_max_window_bits": 8}, b"client_max_window_bits=8"),
            ({"server_max_window_bits": 14}, b"client_max_window_bits; server_max_window_bits=14"),
            ({"server_max_window_bits": 8}, b"client_max_window_bits; server_max_window_bits=8"),
            ({"client_no_context_takeover": True}, b"client_no_context_takeover; client_max_window_bits"),
            ({"server_no_context_takeover": True}, b"server_no_context_takeover; client_max_window_bits"),
            ({"level": 9, "memory_level": 1, "threshold": 100}, b"client_max_window_bits"),
        ):
            self.assertEqual(offer(DeflateOptions(**options)), b"permessage-deflate; " + parameters)


class AgreeTests(SynchronousTestCase):
    """What the server made of it."""

    def agree(self, *parameters: tuple[bytes, bytes | None], **options: Any) -> Any:
        """What is agreed on where the server answers that."""
        return agree(dict(parameters), DeflateOptions(**options))

    def test_nothing_said(self) -> None:
        """An answer without parameters: the largest windows, taken over, as far as we asked for nothing else."""
        self.assertEqual(self.agree(), agreed())
        self.assertEqual(self.agree(level=9, memory_level=3, threshold=7), agreed(level=9, memory_level=3, threshold=7))
        self.assertEqual(self.agree(client_max_window_bits=10), agreed(client_bits=10))
        self.assertEqual(self.agree(client_no_context_takeover=True), agreed(client_takeover=False))

    def test_bits(self) -> None:
        """Windows of 8 to 15; ours is never larger than we offered, whatever the server would take."""
        for bits in range(8, 16):
            value = b"%d" % bits
            self.assertEqual(self.agree((CLIENT_BITS, value)), agreed(client_bits=bits))
            self.assertEqual(self.agree((SERVER_BITS, value)), agreed(server_bits=bits))
            self.assertEqual(self.agree((CLIENT_BITS, value), client_max_window_bits=11), agreed(client_bits=min(bits, 11)))

    def test_context(self) -> None:
        """Section 7.1.1: the server may say of either side that it takes nothing over, asked or not."""
        for asked in (True, False):
            told = self.agree((CLIENT_NONE, None), client_no_context_takeover=asked)
            self.assertEqual(told, agreed(client_takeover=False))
            told = self.agree((SERVER_NONE, None), server_no_context_takeover=asked)
            self.assertEqual(told, agreed(server_takeover=False))
        everything = self.agree((CLIENT_NONE, None), (SERVER_BITS, b"9"), (SERVER_NONE, None), (CLIENT_BITS, b"10"))
        self.assertEqual(everything, agreed(client_bits=10, server_bits=9, client_takeover=False, server_takeover=False))

    def test_refused(self) -> None:
        """Section 7.1: parameters that are not known, have a value they must not have, or have none."""
        for parameter in (
            (b"x", None),
            (b"", b"1"),
            (b"server_max_window_bit", b"10"),
            (CLIENT_NONE, b"1"),
            (SERVER_NONE, b"true"),
            (CLIENT_NONE, b""),
            *(
                (name, value)
                for name in (CLIENT_BITS, SERVER_BITS)
                for value in (None, b"", b"7", b"16", b"08", b"015", b"+9", b"9 ", b"x")
            ),
        ):
            self.assertRaises(ProtocolViolation, self.agree, parameter)
            self.assertRaises(ProtocolViolation, self.agree, (SERVER_BITS, b"10"), (CLIENT_NONE, None), parameter)

    def test_not_what_was_asked(self) -> None:
        """Sections 7.1.1.1 and 7.1.2.1: what we asked of the server it must grant, or not agree at all."""
        self.assertRaises(ProtocolViolation, self.agree, server_no_context_takeover=True)
        self.assertRaises(ProtocolViolation, self.agree, (CLIENT_NONE, None), server_no_context_takeover=True)
        self.assertRaises(ProtocolViolation, self.agree, server_max_window_bits=14)
        self.assertRaises(ProtocolViolation, self.agree, (SERVER_BITS, b"11"), server_max_window_bits=10)
        for bits in (8, 9, 10):
            told = self.agree((SERVER_BITS, b"%d" % bits), server_max_window_bits=10)
            self.assertEqual(told, agreed(server_bits=bits))


class WorkTests(SynchronousTestCase):
    """Compressing and inflating."""

    def test_round_trip(self) -> None:
        """What one compresses the other inflates, whatever was agreed, in pieces of any size."""
        data = b"".join(b"%d and %d;" % (number, number * number) for number in range(200))
        for bits in range(8, 16):
            for takeover in (True, False):
                deflater = Deflater(agreed(client_bits=bits, client_takeover=takeover))
                inflater = Inflater(agreed(server_bits=bits, server_takeover=takeover))
                for said in (data, data, b"", b"x", b""):
                    deflated = deflater.deflate(said)
                    self.assertFalse(deflated.endswith(b"\0\0\xff\xff"))
                    self.assertTrue(deflated)
                    pieces = [deflated[at : at + 7] for at in range(0, len(deflated), 7)]
                    inflated = [b"".join(inflater.inflate(piece, piece is pieces[-1])) for piece in pieces]
                    self.assertEqual(b"".join(inflated), said)

    def test_window(self) -> None:
        """What we compress never reaches further back than was agreed on, and can be read with a window of that size."""
        data = bytes(number * number % 251 for number in range(300))
        for bits in range(9, 16):
            deflated = Deflater(agreed(client_bits=bits)).deflate(data * 40)
            inflater = zlib.decompressobj(-bits)
            inflated = b"".join(inflater.decompress(deflated[at : at + 1]) for at in range(len(deflated)))
            self.assertEqual(inflated, data * 40)

    def test_slices(self) -> None:
        """What is inflated comes in slices, so that whoever takes them can stop."""
        inflater = Inflater(agreed())
        slices = inflater.inflate(Deflater(agreed()).deflate(bytes(1_000_000)), True)
        first = next(slices)
        self.assertLessEqual(len(first), 65_536)
        sizes = [len(first), *map(len, slices)]
        self.assertEqual(sum(sizes), 1_000_000)
        self.assertLessEqual(max(sizes), 65_536)

    def test_nothing_to_flush(self) -> None:
        """Section 7.2.3.6: an empty message is one byte, also where the compressor has nothing to flush."""

        class Silent:
            def compress(self, data: bytes) -> bytes:
                return b""

            def flush(self, mode: int) -> bytes:
                return b""

        deflater = Deflater(agreed())
        deflater._stream = Silent()
        self.assertEqual(deflater.deflate(b""), b"\0")

    def test_garbage(self) -> None:
        """What cannot be inflated is a violation."""
        for data in (b"\xff", b"\x06", b"\x00\x05\x00\x00\x00"):
            self.assertRaises(ProtocolViolation, list, Inflater(agreed()).inflate(data, True))
