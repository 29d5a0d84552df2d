"""Content codings undone (RFC 1950, 1951, 1952, 7932, 8878): what comes out, cut anywhere; what is refused; the limits."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import brotli
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import GunError, LimitReached, ProtocolViolation, Truncated
from twisted_gun.wire.decode import KNOWN, LARGEST_PIECE, Decoder, installed, listed

SETTINGS = settings(max_examples=100, deadline=None, database=None)

#: Text that compresses as text does, some of it incompressible.
TEXT = b"".join(b"%d and %d;" % (number, number * number) for number in range(400)) + bytes(n * n % 251 for n in range(300))
MIB = 1024 * 1024


def deflated(data: bytes, bits: int) -> bytes:
    """`data` in zlib's format of these window bits."""
    stream = zlib.compressobj(wbits=bits)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes, **options: Any) -> bytes:
    """`data` as a zstd frame of unknown size."""
    stream = zstandard.ZstdCompressor(**options).compressobj()
    return stream.compress(data) + stream.flush()


ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: deflated(data, 31),
    "deflate": lambda data: deflated(data, 15),
    "br": lambda data: brotli.compress(data, quality=4),
    "zstd": zstd,
}


def _zlib_flushing(bits: int) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    stream = zlib.compressobj(wbits=bits)
    return (lambda data: stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)), stream.flush


def _brotli_flushing() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    stream = brotli.Compressor(quality=1)
    return (lambda data: stream.process(data) + stream.flush()), stream.finish


def _zstd_flushing() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    stream = zstandard.ZstdCompressor().compressobj()
    return (lambda data: stream.compress(data) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)), stream.flush


#: A compressor with its flush, for content that is sent bit by bit.
FLUSHING: dict[str, Callable[[], tuple[Callable[[bytes], bytes], Callable[[], bytes]]]] = {
    "gzip": lambda: _zlib_flushing(31),
    "deflate": lambda: _zlib_flushing(15),
    "br": _brotli_flushing,
    "zstd": _zstd_flushing,
}


def decoded(coding: str, *pieces: bytes, **options: Any) -> bytes:
    """What a decoder makes of `pieces`, which are all there is."""
    decoder = Decoder(coding, **options)
    made = [piece for data in pieces for piece in decoder.decode((data,), False)]
    return b"".join([*made, *decoder.decode((), True)])


def each_byte(data: bytes) -> Iterator[bytes]:
    """`data`, cut at every byte."""
    return (data[at : at + 1] for at in range(len(data)))


class CodingTests(SynchronousTestCase):
    """What becomes of content in each coding."""

    def test_round_trip(self) -> None:
        """Content comes out as it went in: whole, in two pieces cut anywhere, and byte by byte."""
        for coding, encode in ENCODE.items():
            coded = encode(TEXT)
            self.assertEqual(decoded(coding, coded), TEXT, coding)
            self.assertEqual(decoded(coding, *each_byte(coded)), TEXT, coding)
            for at in range(0, len(coded), 7):
                self.assertEqual(decoded(coding, coded[:at], coded[at:]), TEXT, (coding, at))

    def test_large(self) -> None:
        """Megabytes come in pieces of at most 64 KiB, none of them empty, each of which is made when it is asked for."""
        for coding, encode in ENCODE.items():
            for data in (TEXT * 300, bytes(3 * MIB)):
                decoder = Decoder(coding, max_ratio=None)
                made = decoder.decode((encode(data),), True)
                first = next(made)
                self.assertEqual(decoder._decoded, len(first), coding)
                pieces = [first, *made]
                self.assertEqual(b"".join(pieces), data, coding)
                sizes = {len(piece) for piece in pieces}
                self.assertLessEqual(max(sizes), LARGEST_PIECE, coding)
                self.assertGreater(min(sizes), 0, coding)

    def test_nothing(self) -> None:
        """Coded content that decodes to nothing is nothing, and so is no content at all."""
        for coding, encode in ENCODE.items():
            self.assertEqual(decoded(coding, encode(b"")), b"", coding)
            self.assertEqual(decoded(coding), b"", coding)
            self.assertEqual(decoded(coding, b""), b"", coding)

    def test_at_once(self) -> None:
        """What a server flushes is told when it comes."""
        for coding, begin in FLUSHING.items():
            write, end = begin()
            decoder = Decoder(coding)
            for number in range(5):
                said = b"data: %d\n\n" % number
                self.assertEqual(b"".join(decoder.decode((write(said),), False)), said, coding)
            self.assertEqual(b"".join(decoder.decode((end(),), True)), b"", coding)

    def test_full_piece(self) -> None:
        """What was made already is not held back where a piece happens to be full when the input is used up."""
        for coding, begin in FLUSHING.items():
            for size in (16_384, 32_752, 65_512, 65_535, 65_536, 65_537, 98_272, 131_072, 200_000):
                write, _ = begin()
                data = bytes(size)
                self.assertEqual(b"".join(Decoder(coding).decode((write(data),), False)), data, (coding, size))

    def test_small(self) -> None:
        """Content that is coded byte by byte comes in few pieces where it comes at once."""
        samples = [("gzip", gzip.compress(b"x") * 5000)]
        for coding, begin in FLUSHING.items():
            write, end = begin()
            samples.append((coding, b"".join([*(write(b"x") for _ in range(5000)), end()])))
        for coding, coded in samples:
            pieces = list(Decoder(coding).decode((coded,), True))
            self.assertEqual(b"".join(pieces), b"x" * 5000, coding)
            self.assertLessEqual(len(pieces), 1 + len(coded) // 16_384, coding)

    def test_truncated(self) -> None:
        """Content that ends before its coding does is an error at its end, wherever that is; what came is told before."""
        for coding, encode in ENCODE.items():
            coded = encode(TEXT)
            for at in range(1, len(coded), 11):
                decoder = Decoder(coding)
                made = b"".join(decoder.decode((coded[:at],), False))
                self.assertTrue(TEXT.startswith(made), (coding, at))
                error = self.assertRaises(Truncated, list, decoder.decode((), True))
                self.assertEqual((error.received, error.expected), (at, None))

    def test_goes_on(self) -> None:
        """What comes behind the end is an error, in the same piece and in another."""
        for coding, encode in ENCODE.items():
            coded = encode(TEXT)
            for more in (b"garbage", b"\0\0\0\0\0\0"):
                self.assertRaises(ProtocolViolation, decoded, coding, coded + more)
                self.assertRaises(ProtocolViolation, decoded, coding, coded, more)

    def test_garbage(self) -> None:
        """What is in no such coding is an error that says so."""
        for coding in KNOWN:
            with self.assertRaises(ProtocolViolation) as caught:
                decoded(coding, b"<html>this is no compressed content</html>")
            self.assertIn(f"decoded from {coding}", str(caught.exception))

    def test_damaged(self) -> None:
        """A damaged byte never gives what was not sent as if it were whole, where the coding has a sum."""
        sums = {
            "gzip": ENCODE["gzip"],
            "deflate": ENCODE["deflate"],
            "zstd": lambda data: zstd(data, write_checksum=True),
        }
        for coding, encode in sums.items():
            coded = encode(TEXT)
            for at in range(0, len(coded), 17):
                damaged = bytearray(coded)
                damaged[at] ^= 0x55
                try:
                    self.assertEqual(decoded(coding, bytes(damaged)), TEXT, (coding, at))
                except (ProtocolViolation, Truncated):
                    continue
                self.assertEqual(coding, "gzip")  # whose head says what nobody checks: a time, a system


class GzipTests(SynchronousTestCase):
    """RFC 1952."""

    HEAD = b"\x1f\x8b\x08%c\0\0\0\0\0\x03"

    def member(self, data: bytes, flags: int = 0, optional: bytes = b"") -> bytes:
        """A member with these parts in its head."""
        return self.HEAD % flags + optional + deflated(data, -15) + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")

    def test_members(self) -> None:
        """Section 2.2: members follow one another, empty ones too, "with no additional information before, between, or after them"."""
        members = [gzip.compress(b"one "), gzip.compress(b""), gzip.compress(b"two "), gzip.compress(TEXT)]
        coded = b"".join(members)
        self.assertEqual(decoded("gzip", coded), b"one two " + TEXT)
        self.assertEqual(decoded("gzip", *members), b"one two " + TEXT)
        self.assertEqual(decoded("gzip", *each_byte(coded)), b"one two " + TEXT)
        self.assertRaises(Truncated, decoded, "gzip", coded + b"\x1f")
        self.assertRaises(ProtocolViolation, decoded, "gzip", coded + b"\x1f\x8b\x07\0")

    def test_many_members(self) -> None:
        """Thousands of them, in pieces of any size."""
        coded = gzip.compress(b"x") * 5000
        self.assertEqual(decoded("gzip", coded, max_ratio=None), b"x" * 5000)

    def test_head(self) -> None:
        """Section 2.3.1: what a head may hold is passed over, and its sum must be right."""
        optional = b"\x03\0abc" + b"name\0" + b"comment\0"
        head = self.HEAD % 0x1E + optional
        good = (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
        coded = self.member(TEXT, 0x1E, optional + good)
        self.assertEqual(decoded("gzip", coded), TEXT)
        self.assertEqual(decoded("gzip", *each_byte(coded)), TEXT)
        bad = bytes([good[0] ^ 1, good[1]])
        self.assertRaises(ProtocolViolation, decoded, "gzip", self.member(TEXT, 0x1E, optional + bad))
        self.assertRaises(ProtocolViolation, decoded, "gzip", self.member(TEXT, 0x20))

    def test_sums(self) -> None:
        """The sum and the size at the end must be right."""
        coded = self.member(TEXT)
        for at in (-8, -1):
            wrong = bytearray(coded)
            wrong[at] ^= 1
            self.assertRaises(ProtocolViolation, decoded, "gzip", bytes(wrong))


class DeflateTests(SynchronousTestCase):
    """RFC 9110 section 8.4.1.2, and what is sent under that name."""

    def test_raw(self) -> None:
        """Without zlib's wrapper it is taken too, as browsers do: of any level, stored, empty, and byte by byte."""
        for data in (TEXT, b"", b"x", bytes(1000)):
            for level in (0, 1, 9):
                stream = zlib.compressobj(level, wbits=-15)
                coded = stream.compress(data) + stream.flush()
                self.assertEqual(decoded("deflate", coded), data)
                self.assertEqual(decoded("deflate", *each_byte(coded)), data)
                self.assertRaises(ProtocolViolation, decoded, "deflate", coded + b"x")

    def test_windows(self) -> None:
        """zlib's wrapper with windows of every size."""
        for bits in range(9, 16):
            for level in (1, 6, 9):
                stream = zlib.compressobj(level, wbits=bits)
                self.assertEqual(decoded("deflate", stream.compress(TEXT) + stream.flush()), TEXT)

    def test_one_byte(self) -> None:
        """A single byte says nothing yet, and at the end too little."""
        decoder = Decoder("deflate")
        self.assertEqual(list(decoder.decode((b"\x78",), False)), [])
        self.assertRaises(Truncated, list, decoder.decode((), True))

    def test_dictionary(self) -> None:
        """A stream that needs a dictionary is refused."""
        stream = zlib.compressobj(zdict=b"and")
        self.assertRaises(ProtocolViolation, decoded, "deflate", stream.compress(TEXT) + stream.flush())


class ZstdTests(SynchronousTestCase):
    """RFC 8878, whose frames are read here too."""

    #: Section 3.1.2.
    SKIPPABLE = b"\x5a\x2a\x4d\x18\x07\0\0\0skipped", b"\x50\x2a\x4d\x18\0\0\0\0"

    def frames(self) -> Iterator[bytes]:
        """Frames with every kind of head and block."""
        for data in (b"", b"x" * 200, TEXT, TEXT * 20, bytes(300_000), TEXT * 80):
            for checksum in (True, False):
                for level in (-5, 3):
                    yield zstd(data, level=level, write_checksum=checksum)
                    yield zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(data)
                    yield zstandard.ZstdCompressor(level=level, write_content_size=False).compress(data)
        yield zstandard.ZstdCompressor(write_checksum=True).compress(bytes(n * n % 251 for n in range(70_000)))

    def test_frames(self) -> None:
        """Each is read to its end, and one behind another; byte by byte too where it is small."""
        stream = zstandard.ZstdDecompressor()
        everything, whole = b"", b""
        for frame in self.frames():
            data = stream.decompressobj().decompress(frame)
            self.assertEqual(decoded("zstd", frame, max_ratio=None), data)
            if len(frame) < 5000:
                self.assertEqual(decoded("zstd", *each_byte(frame), max_ratio=None), data)
            self.assertRaises(Truncated, decoded, "zstd", frame[:-1], max_ratio=None)
            everything += frame
            whole += data
        self.assertEqual(decoded("zstd", everything, max_ratio=None), whole)

    def test_skippable(self) -> None:
        """Section 3.1.2: skippable frames are passed over, before, between and behind, empty ones too."""
        coded = b"".join((*self.SKIPPABLE, zstd(b"one "), *self.SKIPPABLE, zstd(TEXT), *self.SKIPPABLE))
        self.assertEqual(decoded("zstd", coded), b"one " + TEXT)
        self.assertEqual(decoded("zstd", *each_byte(coded)), b"one " + TEXT)
        self.assertEqual(decoded("zstd", *self.SKIPPABLE), b"")
        self.assertRaises(Truncated, decoded, "zstd", self.SKIPPABLE[0][:-1])
        self.assertRaises(Truncated, decoded, "zstd", self.SKIPPABLE[1][:-1])

    def test_window(self) -> None:
        """RFC 9659 section 3: a window of 8 MiB is taken, a larger one is not, however the frame says it."""
        for log, taken in ((22, True), (23, True), (24, False), (27, False)):
            coded = zstd(TEXT, compression_params=zstandard.ZstdCompressionParameters(window_log=log))
            if taken:
                self.assertEqual(decoded("zstd", coded), TEXT)
            else:
                self.assertRaises(ProtocolViolation, decoded, "zstd", coded)
        # A single segment, whose window is its size: 4 bytes of it, then a run as the only block.
        for size, taken in ((8 * MIB, True), (8 * MIB + 1, False)):
            blocks = [min(128 * 1024, size - at) for at in range(0, size, 128 * 1024)]
            runs = b"".join((1 << 1 | block << 3 | (at == len(blocks) - 1)).to_bytes(3, "little") + b"x" for at, block in enumerate(blocks))
            coded = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + runs
            if taken:
                self.assertEqual(decoded("zstd", coded, max_ratio=None), b"x" * size)
            else:
                self.assertRaises(ProtocolViolation, decoded, "zstd", coded, max_ratio=None)

    def test_dictionary(self) -> None:
        """A frame that needs a dictionary is refused."""
        dictionary = zstandard.ZstdCompressionDict(TEXT, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self.assertRaises((ProtocolViolation), decoded, "zstd", b"\x28\xb5\x2f\xfd\x03\x58\x01\x02\x03\x04\x01\0\0")
        self.assertNotEqual(zstd(TEXT, dict_data=dictionary), zstd(TEXT))
        self.assertRaises(ProtocolViolation, decoded, "zstd", zstd(TEXT, dict_data=dictionary))

    def test_large_block(self) -> None:
        """Section 3.1.1.2.4: a block has at most 128 KiB; a run that says more is refused before it is made."""
        for size, taken in ((128 * 1024, True), (128 * 1024 + 1, False), (2**21 - 1, False)):
            coded = b"\x28\xb5\x2f\xfd\x00\x58" + (1 | 1 << 1 | size << 3).to_bytes(3, "little") + b"x"
            if taken:
                self.assertEqual(decoded("zstd", coded), b"x" * size)
            else:
                self.assertRaises(ProtocolViolation, decoded, "zstd", coded)


class LimitTests(SynchronousTestCase):
    """How much a server may make of a little."""

    def test_size(self) -> None:
        """`max_decoded_size` bytes are made, and not one more; no piece goes beyond it."""
        for coding, encode in ENCODE.items():
            for limit in (1000, 65_536, 300_000):
                for size in (limit - 1, limit, limit + 1):
                    decoder = Decoder(coding, max_decoded_size=limit, max_ratio=None)
                    made = bytearray()
                    try:
                        for piece in decoder.decode((encode(b"x" * size),), True):
                            made += piece
                    except LimitReached as error:
                        self.assertEqual((error.name, error.limit, size), ("max_decoded_size", limit, limit + 1))
                        self.assertLessEqual(len(made), limit)
                    else:
                        self.assertEqual((len(made), size <= limit), (size, True))

    def test_no_size(self) -> None:
        """Without `max_decoded_size` there is as much as comes; by default 64 MiB."""
        half = bytes(512 * 1024)
        for limits, reached in (({}, True), ({"max_decoded_size": None}, False)):
            decoder = Decoder("zstd", max_ratio=None, **limits)
            frame, size = zstd(half), 0
            with self.subTest(limits=limits):
                try:
                    for _ in range(130):
                        size += sum(map(len, decoder.decode((frame,), False)))
                except LimitReached as error:
                    self.assertEqual((error.name, error.limit), ("max_decoded_size", 64 * MIB))
                self.assertEqual(size, 64 * MIB if reached else 65 * MIB)

    def test_ratio(self) -> None:
        """Beyond 1 MiB there is at most `max_ratio` times what came."""
        size, come = 2 * MIB, 4096
        bare = deflated(bytes(size), 31)
        coded = bare[:3] + b"\x08" + bare[4:10] + b"n" * (come - len(bare) - 1) + b"\0" + bare[10:]  # with a name, to be of that size
        self.assertEqual(len(coded), come)
        for ratio, reached in ((size // come - 1, True), (size // come, False), (size // come + 1, False), (None, False)):
            if reached:
                error = self.assertRaises(LimitReached, decoded, "gzip", coded, max_ratio=ratio)
                self.assertEqual((error.name, error.limit), ("max_ratio", ratio))
            else:
                self.assertEqual(len(decoded("gzip", coded, max_ratio=ratio)), size)

    def test_no_ratio_of_little(self) -> None:
        """Up to 1 MiB the ratio means nothing."""
        for coding, encode in ENCODE.items():
            self.assertEqual(len(decoded(coding, encode(bytes(MIB)), max_ratio=1)), MIB)
            error = self.assertRaises(LimitReached, decoded, coding, encode(bytes(MIB + 1)), max_ratio=1)
            self.assertEqual(error.name, "max_ratio")

    def test_default_ratio(self) -> None:
        """By default 1000, which is beyond what becomes of anything but a run."""
        lines = b"".join(b"2026-11-29T%02d:%02d:%02d,0,0,0,0\n" % (n // 3600, n // 60 % 60, n % 60) for n in range(60_000))
        for coding, encode in ENCODE.items():
            self.assertGreater(len(lines), MIB)
            self.assertEqual(decoded(coding, encode(lines)), lines)
            error = self.assertRaises(LimitReached, decoded, coding, encode(bytes(16 * MIB)))
            self.assertEqual((error.name, error.limit), ("max_ratio", 1000))


class ChainTests(SynchronousTestCase):
    """One coding in another."""

    def test_chain(self) -> None:
        """Decoders in a row undo them, at every cut; an error within is told as that of the one that met it."""
        coded = ENCODE["br"](ENCODE["gzip"](TEXT))
        for pieces in ([coded], list(each_byte(coded))):
            decoders = [Decoder("br"), Decoder("gzip")]
            made = b""
            for at, piece in enumerate(pieces):
                through: Any = (piece,)
                for decoder in decoders:
                    through = decoder.decode(through, at == len(pieces) - 1)
                made += b"".join(through)
            self.assertEqual(made, TEXT)
        for inner, kind in ((ENCODE["gzip"](TEXT)[:-1], Truncated), (b"no gzip at all", ProtocolViolation)):
            outer, other = Decoder("br"), Decoder("gzip")
            self.assertRaises(kind, list, other.decode(outer.decode((ENCODE["br"](inner),), True), True))


class ListedTests(SynchronousTestCase):
    """What a Content-Encoding field says."""

    def test_listed(self) -> None:
        """RFC 9110 section 8.4: a list in one field or in several; case means nothing, identity is none, x-gzip is gzip."""
        for values, expected in (
            ([], ()),
            ([b"gzip"], ("gzip",)),
            ([b"GZip"], ("gzip",)),
            ([b"x-gzip"], ("gzip",)),
            ([b"gzip, br"], ("gzip", "br")),
            ([b" gzip\t,,br ,", b"zstd"], ("gzip", "br", "zstd")),
            ([b"identity"], ()),
            ([b""], ()),
            ([b"identity, deflate"], ("deflate",)),
            ([b"compress, \xff"], ("compress", "\xff")),
        ):
            self.assertEqual(listed(values), expected)


class InstalledTests(SynchronousTestCase):
    """What can be undone where extras are not there."""

    def without(self, **modules: Any) -> tuple[str, ...]:
        """What is installed where these modules are others, or None: are not there."""
        there = mock.patch.dict(sys.modules, modules)
        there.start()
        self.addCleanup(there.stop)
        installed.cache_clear()
        self.addCleanup(installed.cache_clear)
        return installed()

    def test_all(self) -> None:
        """With them, all that are known."""
        self.assertEqual(self.without(), ("gzip", "deflate", "br", "zstd"))
        self.assertEqual(KNOWN, installed())

    def test_none(self) -> None:
        """Without them, what Python itself has."""
        self.assertEqual(self.without(brotli=None, zstandard=None), ("gzip", "deflate"))

    def test_old_brotli(self) -> None:
        """A brotli whose output cannot be bounded is not used."""

        class Old:
            class Decompressor:
                """Like that of 1.1."""

        self.assertEqual(self.without(brotli=Old), ("gzip", "deflate", "zstd"))


class AnythingTests(SynchronousTestCase):
    """What hypothesis thinks of."""

    @SETTINGS
    @given(st.sampled_from(KNOWN), st.binary(max_size=3000), st.integers(1, 50), st.lists(st.integers(0, 4000)))
    def test_round_trip(self, coding: str, data: bytes, times: int, cuts: list[int]) -> None:
        """Any content, cut in any way."""
        coded = ENCODE[coding](data * times)
        places = sorted(min(cut, len(coded)) for cut in cuts)
        pieces = [coded[start:end] for start, end in zip([0, *places], [*places, len(coded)], strict=True)]
        self.assertEqual(decoded(coding, *pieces), data * times)

    @SETTINGS
    @given(st.sampled_from(KNOWN), st.lists(st.binary(max_size=100)))
    def test_only_our_errors(self, coding: str, pieces: list[bytes]) -> None:
        """Whatever comes, it is decoded or refused."""
        heads = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "deflate": b"\x78\x9c", "br": b"", "zstd": b"\x28\xb5\x2f\xfd\x04\x58"}
        for head in (b"", heads[coding]):
            try:
                decoded(coding, head, *pieces)
            except GunError as error:
                self.assertIsInstance(error, (ProtocolViolation, Truncated, LimitReached))

    @SETTINGS
    @given(st.sampled_from(KNOWN), st.integers(0, 1500), st.binary(min_size=1, max_size=4))
    def test_damaged(self, coding: str, at: int, damage: bytes) -> None:
        """Whatever is changed in good content, it is decoded or refused."""
        coded = bytearray(ENCODE[coding](TEXT))
        coded[at % len(coded) : at % len(coded) + len(damage)] = damage
        try:
            decoded(coding, bytes(coded))
        except GunError as error:
            self.assertIsInstance(error, (ProtocolViolation, Truncated, LimitReached))
