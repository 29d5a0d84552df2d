"""
Event streams (the HTML standard, section "Server-sent events"): samples cut anywhere, the limits, and what it costs.

The samples of web-platform-tests lie beside the checkout, in ``../shared/vectors``; without them those tests are skipped.
"""

from __future__ import annotations

import re
import time
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.vectors import event_streams
from twisted_gun.errors import GunError, LimitReached
from twisted_gun.events import SseEvent
from twisted_gun.wire.sse import Retry, SseParser

SETTINGS = settings(max_examples=300, deadline=None, database=None)

#: Bytes of which much that matters can be made.
SAMPLED = st.lists(
    st.sampled_from(
        [b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"12", b"\0", b"\xef\xbb\xbf", b"\xe2\x80"]
    )
).map(b"".join)


def event(data: str, event_type: str = "message", last_event_id: str = "") -> SseEvent:
    """An event that has data."""
    return SseEvent(event_type=event_type, data=data, last_event_id=last_event_id)


def identified(last_event_id: str) -> SseEvent:
    """A block with nothing but an identifier."""
    return SseEvent(event_type=None, data=None, last_event_id=last_event_id)


def told(*pieces: bytes, **options: Any) -> list[Any]:
    """What a parser makes of `pieces`, and last the error where there is one."""
    parser = SseParser(**options)
    made: list[Any] = []
    try:
        for piece in pieces:
            made.extend(parser.receive(piece))
    except LimitReached as error:
        made.append((error.name, error.limit))
    return made


#: What comes, and what is told.
SAMPLES: list[tuple[bytes, list[Any]]] = [
    (b"", []),
    (b"\n\n\r\n\r\r", []),
    (b"data: one\n\n", [event("one")]),
    (b"data: one\r\n\r\ndata: two\r\rdata: three\n\n", [event("one"), event("two"), event("three")]),
    (b"data: one\r\n\n\rdata: two\r\n\r", [event("one"), event("two")]),
    (b"data:one\ndata:  two\ndata\ndata:\n\n", [event("one\n two\n\n")]),
    (b"data\n\n", [event("")]),
    (b"data:\n\n", [event("")]),
    (b"event: tick\ndata: 1\n\ndata: 2\n\n", [event("1", "tick"), event("2")]),
    (b"event: tick\n\ndata: 1\n\n", [event("1")]),
    (b"event: a\nevent\ndata: 1\n\n", [event("1")]),
    (b"id: 7\ndata: 1\n\ndata: 2\n\nid\ndata: 3\n\n", [event("1", last_event_id="7"), event("2", last_event_id="7"), event("3")]),
    (b"id: 7\n\nid: 8\nevent: x\n\ndata: 1\n\n", [identified("7"), identified("8"), event("1", last_event_id="8")]),
    (b"id: 7\n\nid: \xc3\xa9\0\ndata: 1\n\n", [identified("7"), event("1", last_event_id="7")]),
    (b"id: 7\n\nid: \0\n\n", [identified("7")]),
    (b"id:\n\n", [identified("")]),
    (b"id: \xc3\xa9\n\n", [identified("é")]),
    (b": a comment\n\n:\ndata: 1\n:data: 2\n\n", [event("1")]),
    (b"DATA: 1\ndat: 2\ndata : 3\n data: 4\n\n", []),
    (b"data: 1\nretry: 1500\n\n", [Retry(seconds=1.5), event("1")]),
    (b"retry:0\nretry:00020\nretry: +1\nretry: 1.5\nretry:  1\nretry: \xd9\xa1\nretry\n", [Retry(seconds=0.0), Retry(seconds=0.02)]),
    (b"retry:" + b"9" * 15 + b"\n", [Retry(seconds=999_999_999_999.999)]),
    (b"retry:" + b"0" * 20 + b"1" * 5000 + b"\n", [Retry(seconds=999_999_999_999.999)]),
    (b"data: never\ndata: ended\n", []),
    (b"data: ended\n\ndata: not", [event("ended")]),
    (b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n", [event("1")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\ndata: 2\n\n", [event("2")]),
    (b"\xef\xbbdata: 1\n\ndata: 2\n\n", [event("2")]),
    (b"\xef\xbb\xbf", []),
    (b"\xef\xbb\xbf\ndata: 1\r\n\r\n", [event("1")]),
    (b"data: \xe2\x82\xac \xff \xe2\x82\ndata: \xf0\x9f\x98\x80\n\n", [event("€ \ufffd \ufffd\n😀")]),
    ("data: a\u2028b\x0bc\x85d\x1c\n\n".encode(), [event("a\u2028b\x0bc\x85d\x1c")]),
]


class SampleTests(SynchronousTestCase):
    """What is told of what comes."""

    def test_samples(self) -> None:
        """Lines, fields, comments, identifiers, times, marks and characters are read as the standard says."""
        for stream, expected in SAMPLES:
            self.assertEqual(told(stream), expected, stream)

    def test_cut(self) -> None:
        """The same, cut in two at every byte, and into single bytes."""
        for stream, expected in SAMPLES:
            for at in range(min(len(stream), 100) + 1):
                self.assertEqual(told(stream[:at], stream[at:]), expected, (stream, at))
            self.assertEqual(told(*(stream[at : at + 1] for at in range(len(stream)))), expected, stream)

    def test_goes_on(self) -> None:
        """An identifier of the stream before holds until there is another."""
        made = told(b"data: 1\n\nid: 8\ndata: 2\n\n", last_event_id="7")
        self.assertEqual(made, [event("1", last_event_id="7"), event("2", last_event_id="8")])

    def test_at_once(self) -> None:
        """An event is told with the CR that ends it; an LF behind that is none of the next line."""
        parser = SseParser()
        self.assertEqual(list(parser.receive(b"data: 1\r\n\r")), [event("1")])
        self.assertEqual(list(parser.receive(b"\n")), [])
        self.assertEqual(list(parser.receive(b"data: 2\n\n")), [event("2")])

    def test_much(self) -> None:
        """More than is looked at at a time is read just so."""
        stream = b"".join(b"id: %d\r\ndata: %d\r\n\r\n" % (number, number) for number in range(12_000))
        made = told(stream)
        self.assertGreater(len(stream), 4 * 65_536)
        self.assertEqual(made, [event(str(number), last_event_id=str(number)) for number in range(12_000)])

    def test_web_platform_tests(self) -> None:
        """Each stream of web-platform-tests gives its events, whole and cut at every byte."""
        streams = event_streams()
        self.assertEqual(len(streams), 16)
        for stream, expected in streams:
            for cuts in ([], *([at] for at in range(1, len(stream), 1 + len(stream) // 200)), range(1, len(stream))):
                made = told(*(stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
                shown = [(one.event_type, one.data) for one in made if isinstance(one, SseEvent)]
                self.assertEqual(shown, expected, (stream, cuts))


class LimitTests(SynchronousTestCase):
    """What a server may send."""

    def assert_limit(self, make: Any, limit: int, name: str) -> None:
        """What `make` makes of a size is told up to `limit`, and beyond it fails, in one piece, in two and byte by byte."""
        for size in (limit - 1, limit, limit + 1):
            stream, expected = make(size)
            if size > limit:
                expected = [*expected[:1], (name, limit)]
            stream = b"data: before\n\n" + stream
            for pieces in ([stream], [stream[:40], stream[40:]], [stream[at : at + 1] for at in range(len(stream))]):
                self.assertEqual(told(*pieces, **{name: limit}), expected, (size, len(pieces)))

    def test_line(self) -> None:
        """A line has at most `max_line_size` bytes, whatever its end is."""
        for end in (b"\n", b"\r\n"):

            def make(size: int, end: bytes = end) -> tuple[bytes, list[Any]]:
                value = "x" * (size - 6)
                return b"data: " + value.encode() + end * 2, [event("before"), event(value)]

            self.assert_limit(make, 100, "max_line_size")

    def test_line_in_bytes(self) -> None:
        """Bytes count, not characters; those of a comment too."""
        self.assertEqual(told(b"data: " + b"\xc3\xa9" * 47 + b"\n\n", max_line_size=100), [event("é" * 47)])
        self.assertEqual(told(b"data: " + b"\xc3\xa9" * 48 + b"\n\n", max_line_size=100), [("max_line_size", 100)])
        self.assertEqual(told(b":" * 101 + b"\n\n", max_line_size=100), [("max_line_size", 100)])

    def test_unended_line(self) -> None:
        """A line that never ends fails as soon as it is too long."""
        parser = SseParser()
        self.assertEqual(list(parser.receive(b"data:" + b"x" * 60_000)), [])
        self.assertEqual(list(parser.receive(b"x" * (65_536 - 60_005))), [])
        error = self.assertRaises(LimitReached, list, parser.receive(b"x"))
        self.assertEqual((error.name, error.limit), ("max_line_size", 65_536))

    def test_event(self) -> None:
        """The data lines of an event have at most `max_event_size` bytes together."""

        def make(size: int) -> tuple[bytes, list[Any]]:
            lines = ["x" * 14] * (size // 20)
            lines[-1] += "y" * (size % 20)
            return "".join(f"data: {line}\n" for line in lines).encode() + b"\n", [event("before"), event("\n".join(lines))]

        self.assert_limit(make, 219, "max_event_size")

    def test_never_ending_event(self) -> None:
        """An event without end fails at 1 MiB; comments, and lines of other kinds, can go on for ever."""
        parser = SseParser()
        with self.assertRaises(LimitReached) as caught:
            for _ in range(2000):
                list(parser.receive((b"data:" + b"x" * 59 + b"\n") * 16))
        self.assertEqual((caught.exception.name, caught.exception.limit), ("max_event_size", 2**20))
        self.assertEqual(told(*[b": keep alive\nevent: x\nid: 1\nfoo: bar\n" * 1000] * 60), [])

    def test_memory(self) -> None:
        """What is kept of an event under way is in proportion to its limit, however short its lines and its pieces are."""
        parser = SseParser()
        list(parser.receive(b"data\n"))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            list(parser.receive(b"data\ndata:x\n" * 400))
        kept = tracemalloc.get_traced_memory()[0] - before
        self.assertLess(kept, 1024 * 1024)

    def test_linear(self) -> None:
        """Twice as much, byte by byte, takes about twice as long."""

        def seconds(size: int) -> float:
            parser = SseParser(max_line_size=2**20)
            pieces = [b"x"] * size
            began = time.perf_counter()
            for piece in pieces:
                list(parser.receive(piece))
            return time.perf_counter() - began

        ratios = [seconds(60_000) / seconds(15_000) for _ in range(3)]
        self.assertLess(min(ratios), 8)


class AnythingTests(SynchronousTestCase):
    """What hypothesis thinks of."""

    @SETTINGS
    @given(st.lists(st.binary(max_size=40) | SAMPLED), st.integers(1, 50), st.integers(1, 50))
    def test_only_our_errors(self, pieces: list[bytes], line: int, most: int) -> None:
        """Whatever comes: events, or an error of ours."""
        parser = SseParser(max_line_size=line, max_event_size=most)
        try:
            for piece in pieces:
                for one in parser.receive(piece):
                    self.assertIsInstance(one, (SseEvent, Retry))
        except GunError as error:
            self.assertIsInstance(error, LimitReached)

    @SETTINGS
    @given(SAMPLED, st.lists(st.integers(0, 60)))
    def test_cuts_mean_nothing(self, stream: bytes, cuts: list[int]) -> None:
        """However a stream is cut, the same is told, by a reading that is written another way."""
        places = sorted(cuts)
        pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
        self.assertEqual(told(*pieces), oracle(stream))


def oracle(stream: bytes) -> list[Any]:
    """The standard's steps on the whole text, literally."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    made: list[Any] = []
    data, kind, last, seen = "", "", "", False
    for line in re.split(r"\r\n|\n|\r", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                made.append(event(data[:-1], kind or "message", last))
            elif seen:
                made.append(identified(last))
            data, kind, seen = "", "", False
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last, seen = value, True
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            made.append(Retry(seconds=min(int(value), 10**15 - 1) / 1000))
    return made
