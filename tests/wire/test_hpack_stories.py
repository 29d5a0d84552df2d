"""
Header compression, with fields and blocks of all kinds, and the stories of others; the hpack package is at the other end.

The stories of the http2jp project lie beside the checkout, in ``../shared/vectors``; without them those tests are skipped.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import hpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import LimitReached
from twisted_gun.events import Headers
from twisted_gun.wire.hpack import CompressionError, Decoder, Encoder

from .test_hpack import check_against_hpack, fields, of_hpack, size_of

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
STORIES = VECTORS / "hpack_6enc.json.xz"

SETTINGS = settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

names = st.one_of(
    st.sampled_from([b"x", b"accept", b"cookie", b"authorization", b"content-length", b":path", b":status", b"date"]),
    st.binary(max_size=20),
)
values = st.one_of(
    st.sampled_from([b"", b"/", b"200", b"gzip, deflate", b"a" * 20, b"b" * 64, b"c" * 127, b"d" * 1030, bytes(range(256))]),
    st.binary(max_size=150),
)
sections = st.lists(st.tuples(names, values), max_size=12).map(tuple)
connections = st.lists(st.one_of(sections, st.integers(0, 6000)), min_size=1, max_size=12)
forms = st.sampled_from(
    [b"\x82", b"\xbe", b"\xbf", b"\x40\x01a\x01b", b"\x20", b"\x3f\xe1\x1f", b"\x00", b"\x7f", b"\xff", b"\x80", b"\x0f\x10"]
)
blocks = st.one_of(st.binary(max_size=80), st.lists(st.one_of(forms, st.binary(max_size=4)), max_size=20).map(b"".join))


class PropertyTests(SynchronousTestCase):
    """Anything at all, with the hpack package at the other end."""

    @SETTINGS
    @given(connection=connections, most=st.sampled_from([0, 50, 300, 4096, 8192]))
    def test_encoder(self, connection: list[Headers | int], most: int) -> None:
        """What ours encodes, both decode, and encode again the same, with resizes in between."""
        encoder, decoder, theirs = Encoder(most), Decoder(8192), hpack.Decoder(1 << 20)
        theirs.max_allowed_table_size = 8192
        for one in connection:
            if isinstance(one, int):
                encoder.resize(one)
                continue
            for _ in range(3):
                block = encoder.encode_fields(one)
                self.assertEqual(decoder.decode(block), one)
                self.assertEqual(of_hpack(theirs, block), one)
            block = encoder.encode(b"GET", b"https", b"example.org", b"/path", one)
            request = fields(":method: GET", ":scheme: https", ":authority: example.org", ":path: /path") + one
            self.assertEqual(decoder.decode(block), request)
            self.assertEqual(of_hpack(theirs, block), request)

    @SETTINGS
    @given(connection=connections, huffman=st.booleans())
    def test_decoder(self, connection: list[Headers | int], huffman: bool) -> None:
        """What the hpack package encodes, ours decodes, with resizes in between."""
        theirs, decoder = hpack.Encoder(), Decoder(6000)
        for one in connection:
            if isinstance(one, int):
                theirs.header_table_size = one
                self.assertEqual(decoder.decode(theirs.encode([])), ())
                continue
            for _ in range(3):
                self.assertEqual(decoder.decode(theirs.encode(one, huffman=huffman)), one)

    @SETTINGS
    @given(connection=st.lists(blocks, min_size=1, max_size=5))
    def test_anything(self, connection: list[bytes]) -> None:
        """Any bytes are decoded as the hpack package does it, or refused where it refuses them."""
        check_against_hpack(self, connection)

    @SETTINGS
    @given(connection=st.lists(blocks, min_size=1, max_size=5))
    def test_limited(self, connection: list[bytes]) -> None:
        """Sections beyond a limit are lost alone: those that are not are what they would have been."""
        limited, unlimited = Decoder(max_size=150, max_count=3), Decoder()
        for block in connection:
            try:
                expected = unlimited.decode(block)
            except CompressionError:
                self.assertRaises(CompressionError, limited.decode, block)
                return
            if size_of(expected) > 150 or len(expected) > 3:
                self.assertRaises(LimitReached, limited.decode, block)
            else:
                self.assertEqual(limited.decode(block), expected)

    @SETTINGS
    @given(text=st.binary(max_size=300))
    def test_huffman(self, text: bytes) -> None:
        """Every string comes back from the hpack package's Huffman code, and broken ones are broken for both."""
        block = hpack.Encoder().encode([(b"x", text)], huffman=True)
        self.assertEqual(Decoder().decode(block), ((b"x", text),))
        length = bytearray(hpack.hpack.encode_integer(len(text), 7))
        length[0] |= 0x80
        check_against_hpack(self, [b"\x00\x01x" + bytes(length) + text])


class StoryTests(SynchronousTestCase):
    """The stories of http2jp: 191 connections, 20,187 sections, six encoders."""

    def setUp(self) -> None:
        if not STORIES.exists():
            self.skipTest(f"the vectors are not there: {STORIES}")
        self.stories = json.loads(lzma.decompress(STORIES.read_bytes()))

    def test_all(self) -> None:
        """Every section is decoded as it should be; ours encodes the same fields so that the hpack package decodes them."""
        count = 0
        for name, cases in self.stories.items():
            decoder, encoder, theirs = Decoder(65536, max_count=1000), Encoder(), hpack.Decoder(1 << 20)
            for case in cases:
                section = tuple((name.encode(), value.encode()) for line in case["headers"] for name, value in line.items())
                self.assertEqual(decoder.decode(bytes.fromhex(case["wire"])), section, (name, case["seqno"]))
                if case.get("header_table_size") is not None:
                    encoder.resize(case["header_table_size"])
                self.assertEqual(of_hpack(theirs, encoder.encode_fields(section)), section, (name, case["seqno"]))
                count += 1
        self.assertEqual((len(self.stories), count), (191, 20187))
