"""Where bytes are cut means nothing: any bytes, in any pieces, tell the same."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, SWITCHED, UNTIL_CLOSE, UPGRADE, A, B, C, Conversation, Outline, halves

SETTINGS = settings(max_examples=300, deadline=None, database=None)

#: Small limits, so that they are met too.
SMALL = {
    "max_chunk_extension_size": 6,
    "max_header_block_size": 120,
    "max_header_count": 4,
    "max_informational": 2,
    "max_informational_size": 90,
    "max_status_line_size": 20,
    "max_trailer_block_size": 30,
    "max_trailer_count": 2,
}

HEADS = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\nconnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 2, 2\r\n\r\nab",
    CHUNKED,
    CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\na: b\r\nc: d\r\n\r\n",
    SWITCHED,
    OK,
    UNTIL_CLOSE + b"rest",
    b"\r\n",
]
BITS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b";", b"0", b"5", b"\x00", b"\xff", b"HTTP/1.1 ", b"200", b"0\r\n\r\n", b"a: b\r\n"]

alphabet = st.sampled_from(BITS)
garbage = st.one_of(st.binary(max_size=60), st.lists(alphabet, max_size=30).map(b"".join))
valid = st.lists(st.sampled_from(HEADS), min_size=1, max_size=4).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid responses, with some bytes put in, taken out, or exchanged."""
    data = draw(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.one_of(st.just(b""), alphabet, st.binary(max_size=3))) + data[at + draw(st.integers(0, 3)) :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


anything = st.one_of(garbage, valid, mutated())
requests = st.lists(st.sampled_from(("get", "head", "upgrade", "tunnel", "close", "upload", "cancel", "drain")), max_size=3)


def answered(asked: list[str], pieces: list[bytes], clean: bool, options: dict[str, Any]) -> Outline:
    """What is told where these requests are answered with these bytes, up to the loss of the connection."""
    talk = Conversation(**options)
    for stream, kind in zip((A, B, C), asked, strict=False):
        if kind == "tunnel" and talk.core.accepting:
            talk.ask_upgrade(stream, b"echo")
        elif talk.core.accepting:
            headers = {"upgrade": UPGRADE, "close": ((b"connection", b"close"),)}.get(kind, ())
            talk.ask(stream, b"HEAD" if kind == "head" else b"GET", headers=headers, body=None if kind == "upload" else b"")
    for stream, kind in zip((A, B, C), asked, strict=False):
        if kind in ("cancel", "drain") and not talk.over:
            talk.cancel(stream, drain=kind == "drain")
    talk.receive(*pieces)
    if not talk.over:
        talk.lose(clean=clean)
    return talk.outline


class SplitTests(SynchronousTestCase):
    """Events, errors and the end are the same, adjacent data joined."""

    def check(self, asked: list[str], data: bytes, cuts: list[int], clean: bool, options: dict[str, Any]) -> None:
        """Cut at `cuts`, and a byte at a time, tells what the whole does."""
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[start:end] for start, end in itertools.pairwise(places)]
        whole = answered(asked, [data], clean, options)
        self.assertEqual(answered(asked, pieces, clean, options), whole, pieces)
        self.assertEqual(answered(asked, [data[at : at + 1] for at in range(len(data))], clean, options), whole, data)

    @SETTINGS
    @given(requests, anything, st.lists(st.integers(0, 200), max_size=6), st.booleans())
    def test_any_bytes(self, asked: list[str], data: bytes, cuts: list[int], clean: bool) -> None:
        """Any bytes, valid responses, and valid ones that were tampered with."""
        self.check(asked, data, cuts, clean, {})

    @SETTINGS
    @given(requests, anything, st.lists(st.integers(0, 200), max_size=6), st.booleans())
    def test_small_limits(self, asked: list[str], data: bytes, cuts: list[int], clean: bool) -> None:
        """The same where the limits are met."""
        self.check(asked, data, cuts, clean, SMALL)

    @SETTINGS
    @given(requests, anything, st.lists(st.integers(0, 200), max_size=6), st.booleans())
    def test_lenient(self, asked: list[str], data: bytes, cuts: list[int], clean: bool) -> None:
        """The same where lines may end with LF alone, and need not be fields; also with no other line ends."""
        for given_data in (data, data.replace(b"\r\n", b"\n")):
            self.check(asked, given_data, cuts, clean, {**SMALL, "lenient": True})

    def test_beginnings(self) -> None:
        """The beginning of a head, and then something else."""
        self.check(["get"], b"HTTP/1." + bytes(14) + b"\n", [], True, SMALL)
        for start in (b"", b"\r\n"):
            for at in range(20):
                for rest in (b"", b"x", b"\r", b"\n", b"\r\n", b"\x00", b"x" * 20):
                    self.check(["get"], start + OK[:at] + rest, [1], True, SMALL)

    def test_beginnings_cut_in_two(self) -> None:
        """The same, cut in two at every place."""
        for data in (b"\r\n" + OK[:9] + b"x" * 30, b"HTTX", b"Hx", b"\r\nHx", b"\r\n\r\n", b"\rHTTP"):
            for at in range(1, len(data)):
                self.check(["get"], data, [at], True, SMALL)

    def test_every_pair(self) -> None:
        """Each response behind each other one, cut in two at every place."""
        for first in HEADS:
            for second in HEADS:
                data = first + second
                whole = answered(["get", "upgrade"], [data], True, {})
                for pieces in halves(data):
                    self.assertEqual(answered(["get", "upgrade"], list(pieces), True, {}), whole, pieces)


class WorkTests(SynchronousTestCase):
    """How much is told, which is how much work it is for whoever is told."""

    def test_steps_are_bounded(self) -> None:
        """A piece of content brings one event, however many chunks it holds."""
        for chunks in (1, 10, 1000):
            talk = Conversation()
            talk.ask(A)
            talk.receive(CHUNKED)
            self.assertEqual(len(talk.receive(b"1\r\nx\r\n" * chunks)), 1)
