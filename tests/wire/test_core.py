"""`twisted_gun.wire.core.Reader`: bytes that come cut anywhere."""

from __future__ import annotations

import itertools
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import LimitReached
from twisted_gun.wire.core import Reader


def until(reader: Reader, mark: bytes, most: int) -> bytes | None:
    """`Reader.until` for an option of the test's."""
    return reader.until(mark, most, "max_lines")


def fed(*pieces: bytes) -> Reader:
    """A reader that was given these."""
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
    return reader


class TakingTests(SynchronousTestCase):
    """`take` and `peek`."""

    def test_new(self) -> None:
        """A new reader holds nothing."""
        reader = Reader()
        self.assertEqual((len(reader), reader.take(10), reader.peek(10), until(reader, b"\n", 10)), (0, b"", b"", None))

    def test_take(self) -> None:
        """What is taken is gone; no more is given than there is."""
        reader = fed(b"abc", b"def")
        self.assertEqual([reader.take(2), len(reader), reader.take(3), reader.take(9), reader.take(9)], [b"ab", 4, b"cde", b"f", b""])

    def test_take_nothing(self) -> None:
        """Taking no bytes changes nothing."""
        reader = fed(b"abc")
        self.assertEqual((reader.take(0), reader.take(3)), (b"", b"abc"))

    def test_peek(self) -> None:
        """What is looked at stays."""
        reader = fed(b"abcdef")
        reader.take(1)
        self.assertEqual([reader.peek(2), reader.peek(9), reader.peek(4, 2), reader.take(9)], [b"bc", b"bcdef", b"de", b"bcdef"])

    def test_bytes(self) -> None:
        """What comes out is bytes, even where it was put together from pieces."""
        for reader in (fed(b"ab\n"), fed(b"a", b"b\n"), fed(b"a", b"b", b"\n", b"c")):
            self.assertEqual([type(reader.peek(2)), type(until(reader, b"\n", 9)), type(reader.take(1))], [bytes] * 3)

    def test_whole_is_not_copied(self) -> None:
        """A piece that is taken as it came is the same object: nothing is copied."""
        piece = b"x" * 1000
        self.assertIs(fed(piece).take(1000), piece)


class UntilTests(SynchronousTestCase):
    """`until`."""

    def test_found(self) -> None:
        """The mark belongs to what is given; the rest stays."""
        reader = fed(b"one\r\ntwo\r\nrest")
        self.assertEqual(
            [until(reader, b"\r\n", 99), until(reader, b"\r\n", 99), until(reader, b"\r\n", 99)], [b"one\r\n", b"two\r\n", None]
        )
        self.assertEqual(reader.take(99), b"rest")

    def test_mark_cut(self) -> None:
        """A mark that comes in pieces is found, wherever it is cut."""
        data = b"one\r\n\r\nrest"
        for first in range(1, len(data)):
            for second in range(first, len(data)):
                reader = Reader()
                found = []
                for piece in (data[:first], data[first:second], data[second:]):
                    reader.feed(piece)
                    found.append(until(reader, b"\r\n\r\n", 99))
                self.assertEqual([line for line in found if line is not None], [b"one\r\n\r\n"])
                self.assertEqual(reader.take(99), b"rest")

    def test_after_take(self) -> None:
        """A search that found nothing does not make the next one pass over a mark after bytes were taken."""
        reader = fed(b"abcdef")
        self.assertIsNone(until(reader, b"\n", 99))
        reader.take(3)
        reader.feed(b"g\n")
        self.assertEqual(until(reader, b"\n", 99), b"defg\n")

    def test_limit(self) -> None:
        """The limit counts the mark; it is met with limit bytes and not with one more."""
        for limit, found in ((5, b"abc\r\n"), (6, b"abc\r\n")):
            self.assertEqual(until(fed(b"abc\r\nd"), b"\r\n", limit), found)
        self.assertRaises(LimitReached, until, fed(b"abc\r\nd"), b"\r\n", 4)

    def test_limit_before_the_mark(self) -> None:
        """As soon as the mark can no longer come within the limit, that is said."""
        self.assertIsNone(until(fed(b"abcd"), b"\r\n", 5))
        self.assertRaises(LimitReached, until, fed(b"abcde"), b"\r\n", 5)
        self.assertRaises(LimitReached, until, fed(b"ab", b"c", b"de"), b"\r\n", 5)

    def test_reason(self) -> None:
        """The error names the option and its value: the limit itself, or what it was computed from."""
        error = self.assertRaises(LimitReached, fed(b"abcdef").until, b"\r\n", 5, "max_lines")
        self.assertEqual((error.name, error.limit), ("max_lines", 5))
        error = self.assertRaises(LimitReached, fed(b"abcdef").until, b"\r\n", 5, "max_lines", 3)
        self.assertEqual((error.name, error.limit), ("max_lines", 3))

    @settings(max_examples=200, deadline=None, database=None)
    @given(data=st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\r\n")), cuts=st.lists(st.integers(0, 80), max_size=8))
    def test_any_cut(self, data: bytes, cuts: list[int]) -> None:
        """Lines come out as from the whole, whatever the cuts."""
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        reader = Reader()
        lines = []
        for start, end in itertools.pairwise(places):
            reader.feed(data[start:end])
            while (line := until(reader, b"\r\n", 1000)) is not None:
                lines.append(line)
        *whole, rest = data.split(b"\r\n")
        self.assertEqual(lines, [line + b"\r\n" for line in whole])
        self.assertEqual(reader.take(1000), rest)


class MemoryTests(SynchronousTestCase):
    """What a reader keeps."""

    def test_forgets_what_was_taken(self) -> None:
        """Where something always stays behind, what was taken is let go all the same."""
        reader = fed(b"5")
        piece = b"\r\n" + b"x" * 4096 + b"5"
        tracemalloc.start()
        try:
            for _ in range(512):  # 2 MiB in all
                reader.feed(piece)
                until(reader, b"\r\n", 99)
                reader.take(4096)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(len(reader), 1)
        self.assertLess(kept, 256 * 1024)
