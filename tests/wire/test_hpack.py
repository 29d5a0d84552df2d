"""Header compression: the examples of RFC 7541's Appendix C, and its limits, with the hpack package as an oracle."""

from __future__ import annotations

import time
import tracemalloc

import hpack
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import LimitReached
from twisted_gun.events import Headers
from twisted_gun.wire.hpack import LONGEST_REMEMBERED, CompressionError, Decoder, Encoder

#: RFC 7541 section C.5 and C.6 have a table of 256 bytes: said by a size update where the RFC takes it as agreed.
SIZE_256 = bytes.fromhex("3fe101")


def fields(*lines: str) -> Headers:
    """Each line is a name and a value, with ": " between them."""
    return tuple((name.encode(), value.encode()) for name, value in (line.split(": ", 1) for line in lines))


#: C.2: each on its own, and what is in the table afterwards.
SINGLE = [
    ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", fields("custom-key: custom-header"), fields("custom-key: custom-header")),
    ("040c2f73616d706c652f70617468", fields(":path: /sample/path"), ()),
    ("100870617373776f726406736563726574", fields("password: secret"), ()),
    ("82", fields(":method: GET"), ()),
]

REQUESTS = [
    fields(":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"),
    fields(":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"),
    fields(":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"),
]
REQUEST_TABLES = [
    fields(":authority: www.example.com"),
    fields("cache-control: no-cache", ":authority: www.example.com"),
    fields("custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"),
]
PLAIN_REQUESTS = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
HUFFMAN_REQUESTS = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]

DATE = "date: Mon, 21 Oct 2013 20:13:21 GMT"
LATER = "date: Mon, 21 Oct 2013 20:13:22 GMT"
LOCATION = "location: https://www.example.com"
COOKIE = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
RESPONSES = [
    fields(":status: 302", "cache-control: private", DATE, LOCATION),
    fields(":status: 307", "cache-control: private", DATE, LOCATION),
    fields(":status: 200", "cache-control: private", LATER, LOCATION, "content-encoding: gzip", COOKIE),
]
RESPONSE_TABLES = [
    fields(LOCATION, DATE, "cache-control: private", ":status: 302"),
    fields(":status: 307", LOCATION, DATE, "cache-control: private"),
    fields(COOKIE, "content-encoding: gzip", LATER),
]
PLAIN_RESPONSES = [
    (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
    ),
    "4803333037c1c0bf",
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541"
        "585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31"
    ),
]
HUFFMAN_RESPONSES = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f95"
        "87316065c003ed4ee5b1063d5007"
    ),
]

STORIES_OF_THE_RFC = [
    ("C.3", PLAIN_REQUESTS, REQUESTS, REQUEST_TABLES),
    ("C.4", HUFFMAN_REQUESTS, REQUESTS, REQUEST_TABLES),
    ("C.5", [SIZE_256.hex() + PLAIN_RESPONSES[0], *PLAIN_RESPONSES[1:]], RESPONSES, RESPONSE_TABLES),
    ("C.6", [SIZE_256.hex() + HUFFMAN_RESPONSES[0], *HUFFMAN_RESPONSES[1:]], RESPONSES, RESPONSE_TABLES),
]


def table_of(decoder: Decoder) -> Headers:
    """What a decoder's dynamic table holds, the newest first, as its peer could learn it."""
    found: Headers = ()
    while True:
        index = 62 + len(found)
        try:
            found += decoder.decode(bytes((0x80 | index,)) if index < 127 else b"\xff" + bytes((index - 127,)))
        except CompressionError:
            return found


def size_of(section: Headers) -> int:
    """RFC 9113 section 6.5.2, and RFC 7541 section 4.1."""
    return sum(len(name) + len(value) + 32 for name, value in section)


def of_hpack(decoder: hpack.Decoder, block: bytes) -> Headers:
    """What the hpack package makes of a section."""
    return tuple((bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True))


def hpack_string(text: bytes) -> bytes:
    """A string as the hpack package writes it, without Huffman."""
    length = hpack.hpack.encode_integer(len(text), 7)
    return bytes(length) + text


class ExampleTests(SynchronousTestCase):
    """RFC 7541 Appendix C."""

    def test_single(self) -> None:
        """C.2: one field of each form, and what it leaves in the table."""
        for block, expected, table in SINGLE:
            decoder = Decoder()
            self.assertEqual(decoder.decode(bytes.fromhex(block)), expected)
            self.assertEqual(table_of(decoder), table)

    def test_stories(self) -> None:
        """C.3 to C.6: three sections of one connection, and the table after each."""
        for name, blocks, sections, tables in STORIES_OF_THE_RFC:
            decoder = Decoder()
            for block, section, table in zip(blocks, sections, tables, strict=True):
                self.assertEqual(decoder.decode(bytes.fromhex(block)), section, name)
                self.assertEqual(table_of(decoder), table, name)

    def test_truncated(self) -> None:
        """Cut at any byte a section is refused, or is the first of its fields."""
        for _, blocks, sections, _ in STORIES_OF_THE_RFC:
            for last, section in enumerate(sections):
                block = bytes.fromhex(blocks[last])
                for cut in range(len(block)):
                    decoder = Decoder()
                    for before in blocks[:last]:
                        decoder.decode(bytes.fromhex(before))
                    self.check_prefix(decoder, block[:cut], section)

    def check_prefix(self, decoder: Decoder, block: bytes, section: Headers) -> None:
        """What is cut off is an error, or leaves out fields."""
        try:
            decoded = decoder.decode(block)
        except CompressionError:
            return
        self.assertLess(len(decoded), len(section))
        self.assertEqual(decoded, section[: len(decoded)])

    def test_encoded(self) -> None:
        """C.4 and C.6 are, byte for byte, what our encoder writes, but that it does not Huffman-code where that saves nothing."""
        requests, responses = Encoder(), Encoder()
        self.assertEqual([requests.encode_fields(section).hex() for section in REQUESTS], HUFFMAN_REQUESTS)
        responses.resize(256)
        self.assertEqual(responses.encode_fields(RESPONSES[0]), SIZE_256 + bytes.fromhex(HUFFMAN_RESPONSES[0]))
        written = [responses.encode_fields(section).hex() for section in RESPONSES[1:]]
        self.assertEqual(written, [PLAIN_RESPONSES[1], HUFFMAN_RESPONSES[2]])


class RefusedTests(SynchronousTestCase):
    """What cannot be decoded is a `CompressionError` that says why."""

    def check(self, block: bytes, words: str, **limits: int) -> None:
        """A decoder refuses `block` with these words."""
        error = self.assertRaises(CompressionError, Decoder(**limits).decode, block)
        self.assertEqual(str(error), words)

    def test_index(self) -> None:
        """Index 0, and indices beyond the tables, in every form."""
        self.check(b"\x80", "index 0")
        for block in (b"\xbe", b"\xff\x00", b"\xff\xff\xff\xff\x07", b"\x7e\x01a", b"\x7f\x00\x01a", b"\x0f\x2f\x01a", b"\x1f\x2f\x01a"):
            self.check(block, "index beyond the tables")

    def test_integers(self) -> None:
        """An integer of more than 2**31, or of more than five bytes behind its prefix."""
        for block in (b"\xff\x82\xff\xff\xff\x07", b"\x3f" + b"\x80" * 5 + b"\x00", b"\x10\x7f" + b"\xff" * 4 + b"\x7f"):
            self.check(block, "an integer is too big")
        self.check(b"\xff\x81\xff\xff\xff\x07", "index beyond the tables")
        for size in range(5):
            self.check(b"\xff" + b"\xff" * size, "truncated in an integer")

    def test_strings(self) -> None:
        """A section that ends within a string, or before one."""
        self.check(b"\x00", "truncated in a literal")
        self.check(b"\x00\x01a", "truncated in a literal")
        self.check(b"\x0f\x10", "truncated in a literal")
        self.check(b"\x10", "truncated before a string")
        self.check(b"\x41\x05abcd", "truncated in a string")
        self.check(b"\x00\x01a\x7f\x00", "truncated in a string")

    def test_huffman(self) -> None:
        """RFC 7541 section 5.2: the end-of-string symbol, a padding of more than 7 bits, a padding not of ones."""
        for text in (b"\xff\xff\xff\xff", b"\xff\xff\xff\xff" + b"a" * 70):
            self.check(b"\x00\x01a" + bytes((0x80 | len(text),)) + text, "an end-of-string symbol")
        for text in (b"\xff", b"\x1f\xff", b"\x1e", b"\x18"):
            self.check(b"\x00\x01a" + bytes((0x80 | len(text),)) + text, "a bad padding of a Huffman string")
        self.assertEqual(Decoder().decode(b"\x00\x81\x1f\x80"), ((b"a", b""),))

    def test_size_updates(self) -> None:
        """RFC 7541 section 4.2: at the beginning only, at most two, none beyond what we allowed."""
        self.assertEqual(Decoder().decode(b"\x20\x3f\xe1\x1f\x82"), fields(":method: GET"))
        self.check(b"\x82\x20", "table size update behind a field")
        self.check(b"\x20\x20\x20", "more than two table size updates")
        self.check(b"\x3f\xe2\x1f", "table size update to 4097, beyond the 4096 allowed")

    def test_update_due(self) -> None:
        """RFC 9113 section 4.3.1: having advertised less than 4096 we are owed an update."""
        self.check(b"\x82", "no table size update, with no more than 100 allowed", table_size=100)
        self.check(b"", "no table size update, with no more than 100 allowed", table_size=100)
        decoder = Decoder(table_size=100)
        self.assertEqual([decoder.decode(block) for block in (b"\x3f\x45\x82", b"\x82")], [fields(":method: GET")] * 2)

    def test_flood(self) -> None:
        """16 KiB of 0xFF are refused at once."""
        for first in (b"", b"\x3f", b"\x7f", b"\x0f", b"\x00", b"\x00\x01a"):
            decoder, flood, begun = Decoder(), first + b"\xff" * 16384, time.perf_counter()
            self.assertRaises(CompressionError, decoder.decode, flood)
            self.assertLess(time.perf_counter() - begun, 0.005)

    def test_every_beginning(self) -> None:
        """Whatever three bytes a section begins with, it is decoded or refused as the hpack package does it."""
        for first in range(256):
            for rest in (b"", b"\x00", b"\x01a", b"\x7f\x00", b"\x81\x1f", b"\xff\xff", b"\x01\x01", b"\x01a\x01b"):
                check_against_hpack(self, [bytes((first,)) + rest])


def check_against_hpack(case: SynchronousTestCase, blocks: list[bytes]) -> None:
    """On one connection ours decodes what hpack decodes, and raises nothing unheard of; it is stricter with three size updates."""
    ours, theirs = Decoder(), hpack.Decoder(1 << 20)
    for block in blocks:
        try:
            decoded = ours.decode(block)
        except CompressionError as error:
            if "more than two" not in str(error):
                case.assertRaises(hpack.HPACKError, theirs.decode, block, raw=True)
            return
        case.assertEqual(decoded, of_hpack(theirs, block))


class LimitTests(SynchronousTestCase):
    """RFC 9113 section 10.5.1: what is beyond a limit loses its section, and nothing else."""

    section = fields("a: 1", "b: 2", "c: 3")

    def test_size(self) -> None:
        """Names and values, and 32 for each field."""
        block = Encoder().encode_fields(self.section)
        self.assertEqual(size_of(self.section), 102)
        for limit in (102, 103):
            self.assertEqual(Decoder(max_size=limit).decode(block), self.section)
        error = self.assertRaises(LimitReached, Decoder(max_size=101).decode, block)
        self.assertEqual((error.name, error.limit), ("max_header_list_size", 101))

    def test_count(self) -> None:
        """The number of fields, whatever forms they have."""
        for block in (Encoder().encode_fields(self.section), b"\x82\x84\x86"):
            for limit in (3, 4):
                self.assertEqual(len(Decoder(max_count=limit).decode(block)), 3)
            error = self.assertRaises(LimitReached, Decoder(max_count=2).decode, block)
            self.assertEqual((error.name, error.limit), ("max_header_count", 2))

    def test_in_step(self) -> None:
        """The table is that of the peer even so, and neither the limit nor what came before is forgotten."""
        encoder, decoder = Encoder(), Decoder(max_count=2)
        self.assertEqual(decoder.decode(b"\x82"), fields(":method: GET"))
        for _ in range(3):
            self.assertRaises(LimitReached, decoder.decode, encoder.encode_fields(self.section))
        self.assertEqual(table_of(decoder), self.section[::-1])
        self.assertEqual(decoder.decode(encoder.encode_fields(self.section[1:])), self.section[1:])

    def test_broken(self) -> None:
        """A section that is too long and cannot be decoded either is a `CompressionError`."""
        self.assertRaises(CompressionError, Decoder(max_count=1).decode, b"\x82\x82\x80")

    def test_first(self) -> None:
        """Where both limits are exceeded, the one that was first is named."""
        error = self.assertRaises(LimitReached, Decoder(max_size=140, max_count=2).decode, b"\x82\x82\x82\x82\x82")
        self.assertEqual(error.name, "max_header_count")

    def test_bomb(self) -> None:
        """An entry of 4 kB and 16,000 times its index grow no memory."""
        bomb = b"\x40\x01a\x7f\xc0\x1e" + b"x" * 4031 + b"\xbe" * 16000
        for limits in ({}, {"max_size": 1 << 30}):
            decoder = Decoder(**limits)
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            self.assertRaises(LimitReached, decoder.decode, bomb)
            self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)
            self.assertEqual(table_of(decoder), ((b"a", b"x" * 4031),))

    def test_remembered(self) -> None:
        """However many different sections there are, what is remembered is bounded."""
        decoder, encoder = Decoder(), Encoder()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for number in range(3000):
            section = ((b"authorization", b"%0900d" % number),)
            self.assertEqual(decoder.decode(encoder.encode_fields(section)), section)
        self.assertLess(tracemalloc.get_traced_memory()[0], 2 << 20)


class RememberedTests(SynchronousTestCase):
    """Whole sections are remembered, until the table changes."""

    def test_same(self) -> None:
        """The same bytes at the same version are the same tuple."""
        encoder, decoder = Encoder(), Decoder()
        section = fields(":status: 200", "server: x")
        first, second = encoder.encode_fields(section), encoder.encode_fields(section)
        version = decoder.version
        self.assertEqual(decoder.decode(first), section)
        self.assertGreater(decoder.version, version)
        version = decoder.version
        self.assertIs(decoder.decode(second), decoder.decode(second))
        self.assertEqual(decoder.version, version)

    def test_inserting(self) -> None:
        """A section that inserts is decoded, and inserts, every time."""
        decoder = Decoder()
        block = Encoder().encode_fields(fields("server: x"))
        for count in range(1, 4):
            self.assertEqual(decoder.decode(block), fields("server: x"))
            self.assertEqual(table_of(decoder), fields("server: x") * count)

    def test_inserting_into_a_full_table(self) -> None:
        """It puts out the oldest entries, as any other does, also where it comes as often as it takes to fill the table."""
        block = Encoder().encode_fields(((b"server", b"~" * 500), (b"a", b"b")))
        self.assertLess(len(block), LONGEST_REMEMBERED)
        check_against_hpack(self, [block, Encoder().encode_fields(fields("c: d")), *[block] * 9, b"\xbe\xbf\xc0"])

    def test_changed(self) -> None:
        """The same bytes mean something else once the table has changed: by an entry, or by a size."""
        encoder, decoder = Encoder(), Decoder()
        decoder.decode(encoder.encode_fields(fields("a: 1")))
        self.assertEqual([decoder.decode(b"\xbe") for _ in range(2)], [fields("a: 1")] * 2)
        decoder.decode(encoder.encode_fields(fields("b: 2")))
        self.assertEqual(decoder.decode(b"\xbe"), fields("b: 2"))
        version = decoder.version
        decoder.decode(b"\x20")
        self.assertGreater(decoder.version, version)
        self.assertRaises(CompressionError, decoder.decode, b"\xbe")

    def test_changed_beyond_limit(self) -> None:
        """Likewise where the change came with a section that was lost."""
        decoder = Decoder(max_size=40)
        decoder.decode(b"\x40\x01a\x011")
        self.assertEqual(decoder.decode(b"\xbe"), fields("a: 1"))
        self.assertRaises(LimitReached, decoder.decode, b"\x40\x01b\x012\x82")
        self.assertEqual(decoder.decode(b"\xbe"), fields("b: 2"))

    def test_same_size(self) -> None:
        """An update to the size that is in force changes nothing."""
        decoder = Decoder()
        version = decoder.version
        self.assertIs(decoder.decode(b"\x3f\xe1\x1f\x82"), decoder.decode(b"\x3f\xe1\x1f\x82"))
        self.assertEqual(decoder.version, version)

    def test_too_big_an_entry(self) -> None:
        """RFC 7541 section 4.4: what does not fit empties the table, and is no error."""
        decoder = Decoder()
        decoder.decode(b"\x40\x01a\x011")
        version = decoder.version
        big = fields("big: " + "x" * 5000)
        self.assertEqual(decoder.decode(b"\x40" + hpack_string(b"big") + hpack_string(b"x" * 5000)), big)
        self.assertGreater(decoder.version, version)
        self.assertEqual(table_of(decoder), ())

    def test_encoder(self) -> None:
        """A request is written anew while that changes something, and as it was from then on."""
        encoder, decoder = Encoder(), Decoder()
        section = fields("accept: */*", "cookie: short", "x: y")
        request = (b"PUT", b"https", b"example.org", b"/a", section)
        expected = fields(":method: PUT", ":scheme: https", ":authority: example.org", ":path: /a") + section
        versions, blocks = [], []
        for _ in range(3):
            versions.append(encoder.version)
            blocks.append(encoder.encode(*request))
            self.assertEqual(decoder.decode(blocks[-1]), expected)
        self.assertLess(versions[0], versions[1])
        self.assertEqual(versions[1], versions[2])
        self.assertLess(len(blocks[1]), len(blocks[0]))
        self.assertEqual(blocks[1], blocks[2])

    def test_encoder_changed(self) -> None:
        """What the encoder remembers is forgotten with the table: by an entry, or by a size."""
        encoder, decoder = Encoder(), Decoder()
        one, two = fields("a: 1"), fields("b: 2")
        for section in (one, one, one, two, one, two, two):
            self.assertEqual(decoder.decode(encoder.encode_fields(section)), section)
        for size in (0, 4096, 100, 33):
            version = encoder.version
            encoder.resize(size)
            self.assertGreater(encoder.version, version)
            for section in (one, two, one, one):
                self.assertEqual(decoder.decode(encoder.encode_fields(section)), section)


class FormTests(SynchronousTestCase):
    """In what form the encoder writes a field."""

    def test_secrets(self) -> None:
        """RFC 7541 section 7.1.3: credentials and short cookies are never indexed, nor Huffman-coded, and marked as such."""
        for name, start in ((b"authorization", b"\x1f\x08"), (b"proxy-authorization", b"\x1f\x22"), (b"cookie", b"\x1f\x11")):
            encoder = Encoder()
            for value in (b"", b"secret", b"0123456789abcdef012"):
                self.assertEqual(encoder.encode_fields(((name, value),)), start + bytes((len(value),)) + value)
            self.assertEqual(encoder.version, Encoder().version)
        decoded = list(hpack.Decoder().decode(Encoder().encode_fields(fields("cookie: secret"))))
        self.assertIsInstance(decoded[0], hpack.NeverIndexedHeaderTuple)

    def test_long_cookie(self) -> None:
        """A cookie of 20 bytes cannot be guessed: it is indexed."""
        encoder = Encoder()
        section = fields("cookie: " + "0" * 20)
        self.assertEqual(encoder.encode_fields(section)[:1], b"\x60")
        self.assertEqual(encoder.encode_fields(section), b"\xbe")

    def test_path(self) -> None:
        """A path is a literal without indexing, or one of the two that are static."""
        encoder = Encoder()
        encoder.encode(b"GET", b"https", b"a", b"/", ())
        version = encoder.version
        for path in (b"", b"/a", b"/" + b"a" * 125, b"/" + b"a" * 126, b"/" + b"a" * 3000):
            block = encoder.encode(b"GET", b"https", b"a", path, ())
            self.assertEqual(block, b"\x82\x87\xbe\x04" + hpack_string(path))
            self.assertEqual(encoder.encode_fields(((b":path", path),)), b"\x04" + hpack_string(path))
        self.assertEqual(encoder.encode(b"GET", b"https", b"a", b"/", ()), b"\x82\x87\xbe\x84")
        self.assertEqual(encoder.encode(b"POST", b"http", b"a", b"/index.html", ()), b"\x83\x86\xbe\x85")
        self.assertEqual(encoder.version, version)

    def test_not_indexed(self) -> None:
        """Nor are a content-length, a long value, and what does not fit."""
        encoder = Encoder(100)
        encoder.encode_fields(())
        version = encoder.version
        for section in (fields("content-length: 5"), fields("x: " + "a" * 1025), fields("x: " + "a" * 68)):
            self.assertEqual(encoder.encode_fields(section)[0] & 0xF0, 0)
        self.assertEqual(encoder.version, version)
        self.assertEqual(encoder.encode_fields(fields("x: " + "a" * 67))[0], 0x40)

    def test_long(self) -> None:
        """A value of 1024 bytes is indexed, one of 1025 is not."""
        self.assertEqual(Encoder().encode_fields(fields("x: " + "a" * 1024))[0], 0x40)
        self.assertEqual(Encoder().encode_fields(fields("x: " + "a" * 1025))[0], 0x00)

    def test_names(self) -> None:
        """A name is taken from the tables where it is there, the latest of the same name, and not where it has been evicted."""
        encoder, decoder = Encoder(), Decoder()
        encoder.resize(80)
        for section in (fields("x: 1"), fields("x: 2"), fields("x: 3"), fields("y: 1"), fields("y: 2"), fields("x: 4")):
            block = encoder.encode_fields(section)
            self.assertEqual(decoder.decode(block), section)
        self.assertEqual(block[:1], b"\x40")
        self.assertEqual(encoder.encode_fields(fields("x: 5"))[:1], b"\x7e")

    def test_huffman(self) -> None:
        """Strings are Huffman-coded where that is shorter."""
        self.assertEqual(Encoder().encode_fields(fields("x: aaaa"))[-4:], bytes.fromhex("8318c63f")[-4:])
        self.assertEqual(Encoder().encode_fields(((b"x", b"\x00\x01"),)), b"\x40\x01x\x02\x00\x01")
        self.assertEqual(Encoder().encode_fields(fields("x: ")), b"\x40\x01x\x00")


class ResizeTests(SynchronousTestCase):
    """RFC 7541 section 4.2: what is said of the table's size."""

    def updates(self, encoder: Encoder) -> str:
        """The next section, one without fields."""
        return encoder.encode_fields(()).hex()

    def test_none(self) -> None:
        """Nothing is said while 4096 holds."""
        encoder = Encoder()
        version = encoder.version
        encoder.resize(4096)
        encoder.resize(65536)
        self.assertEqual(self.updates(encoder), "")
        self.assertEqual(encoder.version, version)

    def test_smaller_from_the_start(self) -> None:
        """An encoder that uses less says so at the start, once."""
        encoder = Encoder(0)
        self.assertEqual([self.updates(encoder), self.updates(encoder)], ["20", ""])
        encoder.resize(65536)
        self.assertEqual(self.updates(encoder), "")

    def test_bigger(self) -> None:
        """What the peer allows is used up to what we want."""
        encoder = Encoder(10000)
        self.assertEqual(self.updates(encoder), "")
        encoder.resize(9000)
        self.assertEqual(self.updates(encoder), "3f8946")
        encoder.resize(1 << 31)
        self.assertEqual(self.updates(encoder), "3ff14d")

    def test_reduced_in_between(self) -> None:
        """The smallest is said, then the last."""
        encoder = Encoder()
        for sizes, expected in (
            ((0, 4096), "203fe11f"),
            ((100, 20, 30), "343e"),
            ((31, 20), "34"),
            ((0, 10, 0), "20"),
            ((0, 4096), "3fe11f"),
        ):
            for size in sizes:
                encoder.resize(size)
            self.assertEqual(self.updates(encoder), expected, sizes)
            self.assertEqual(self.updates(encoder), "")

    def test_reduction_above_ours(self) -> None:
        """RFC 9113 section 4.3.1: after a reduction there is an update, even if we never used as much."""
        encoder = Encoder(100)
        self.updates(encoder)
        encoder.resize(2000)
        self.assertEqual(self.updates(encoder), "3f45")
        encoder.resize(4096)
        self.assertEqual(self.updates(encoder), "")

    def test_in_request(self) -> None:
        """A request begins with the update; the version shows that it is not to be written again."""
        encoder, decoder = Encoder(), Decoder()
        sent = [encoder.encode(b"GET", b"https", b"a", b"/", ()) for _ in range(2)]
        encoder.resize(40)
        version = encoder.version
        sent += [encoder.encode(b"GET", b"https", b"a", b"/", ()) for _ in range(2)]
        self.assertEqual([block.hex() for block in sent], ["828741016184", "8287be84", "3f09828701016184", "828701016184"])
        self.assertGreater(encoder.version, version)
        self.assertEqual(len({decoder.decode(block) for block in sent}), 1)
