"""Responses that never end where they should: each is stopped within its limit and one read of 64 KiB."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, PROTOCOL_VIOLATION, UNTIL_CLOSE, A, Conversation, response
from twisted_gun.options import HttpOptions

READ = 64 * 1024
LINE = b"HTTP/1.1 200 OK\r\n"
TRAILERS = CHUNKED + b"0\r\n"
EXTENSION = "max_chunk_extension_size"
BLOCK = "max_header_block_size"
OPTIONS = HttpOptions()

Kinds = dict[str, tuple[bytes, bytes, int, str | None]]

#: How it starts, what comes again and again, the limit in bytes (more than the start), and the limit's name, where it has one.
ENDLESS: Kinds = {
    "empty lines": (b"", b"\r\n", 2, None),
    "spaces": (b"", b" ", 1, None),
    "header name": (LINE, b"x", OPTIONS.max_header_block_size, BLOCK),
    "header value": (LINE + b"a: ", b"x", OPTIONS.max_header_block_size, BLOCK),
    "spaces before a value": (LINE + b"a:", b" ", OPTIONS.max_header_block_size, BLOCK),
    "many headers": (LINE, b"a: b\r\n", OPTIONS.max_header_block_size, BLOCK),
    "many long headers": (LINE, b"a: " + b"b" * 1000 + b"\r\n", OPTIONS.max_header_block_size, BLOCK),
    "cookies": (LINE, b"set-cookie: a=b\r\n", OPTIONS.max_header_block_size, BLOCK),
    "folded lines": (LINE + b"a: b\r\n", b" c\r\n", OPTIONS.max_header_block_size, BLOCK),
    "empty folded lines": (LINE + b"a: b\r\n", b" \r\n", OPTIONS.max_header_block_size, BLOCK),
    "CRs": (LINE + b"a: b", b"\r", OPTIONS.max_header_block_size, BLOCK),
    "many interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 17 * 28, "max_informational"),
    "large interim responses": (
        b"",
        b"HTTP/1.1 103 Early Hints\r\n" + b"a: " + b"b" * 30000 + b"\r\n\r\n",
        OPTIONS.max_informational_size,
        "max_informational_size",
    ),
    "header of an interim response": (b"HTTP/1.1 103 Early Hints\r\na: ", b"x", OPTIONS.max_header_block_size, BLOCK),
    "digits of a chunk's size": (CHUNKED, b"5", len(CHUNKED) + 300, EXTENSION),
    "zeros of a chunk's size": (CHUNKED, b"0", len(CHUNKED) + 300, EXTENSION),
    "digits of the second chunk's size": (CHUNKED + b"5\r\nhello\r\n", b"f", len(CHUNKED) + 310, EXTENSION),
    "chunk extension": (CHUNKED + b"5;", b"x", len(CHUNKED) + 300, EXTENSION),
    "many chunk extensions": (CHUNKED + b"5", b";a=b", len(CHUNKED) + 300, EXTENSION),
    "spaces behind a chunk's size": (CHUNKED + b"5", b" ", len(CHUNKED) + 300, EXTENSION),
    "CRs behind a chunk's size": (CHUNKED + b"5", b"\r", len(CHUNKED) + 300, EXTENSION),
    "many trailers": (TRAILERS, b"a: b\r\n", len(TRAILERS) + OPTIONS.max_trailer_block_size, "max_trailer_block_size"),
    "trailer value": (TRAILERS + b"a: ", b"x", len(TRAILERS) + OPTIONS.max_trailer_block_size, "max_trailer_block_size"),
    "trailer name": (TRAILERS, b"x", len(TRAILERS) + OPTIONS.max_trailer_block_size, "max_trailer_block_size"),
    "folded trailers": (TRAILERS + b"a: b\r\n", b" c\r\n", len(TRAILERS) + OPTIONS.max_trailer_block_size, "max_trailer_block_size"),
}

STATUS_LINES: Kinds = {
    "reason phrase": (b"HTTP/1.1 200 ", b"x", OPTIONS.max_status_line_size, "max_status_line_size"),
    "status": (b"HTTP/1.1 ", b"2", OPTIONS.max_status_line_size, "max_status_line_size"),
}


def pieces_of(start: bytes, again: bytes, size: int) -> Iterator[bytes]:
    """The endless bytes in pieces of `size`."""
    if size == 1:
        return (bytes((byte,)) for byte in chain(start, chain.from_iterable(repeat(again))))
    data = start + again * (3 * READ // len(again) + 1)
    return chain((data[at : at + size] for at in range(0, 2 * READ, size)), repeat(again * (size // len(again) + 1)))


def needed(talk: Conversation, pieces: Iterator[bytes], most: int) -> int:
    """How many bytes of `pieces` were taken before the connection was closed; `most` are given and one piece more."""
    fed = 0
    for piece in pieces:
        fed += len(piece)
        if talk.receive(piece) and talk.over:
            return fed
        if fed > most:
            break
    raise AssertionError(f"still open after {fed} bytes")


class NeverEndingTests(SynchronousTestCase):
    """Every kind, in pieces as they come from a socket, and a byte at a time."""

    def stopped(self, size: int, kinds: Kinds = ENDLESS) -> None:
        """Each kind is stopped in time, for the reason given."""
        for kind, (start, again, limit, name) in kinds.items():
            talk = Conversation()
            talk.ask(A)
            # By the byte a limit is met nearly to the byte; but an interim response is counted when it is there.
            most = limit + (16 if size == 1 and name != "max_informational_size" else READ)
            self.assertLessEqual(needed(talk, pieces_of(start, again, size), most), most, kind)
            reason = f"LimitReached({name}, {getattr(OPTIONS, name)})" if name else PROTOCOL_VIOLATION
            self.assertEqual(talk.outline[-2:], [("failed", A, reason), ("close", reason)], kind)

    def test_number(self) -> None:
        """There are enough kinds."""
        self.assertGreaterEqual(len(ENDLESS), 11)

    def test_64_kib(self) -> None:
        """In pieces of 64 KiB."""
        self.stopped(READ)

    def test_bytes(self) -> None:
        """A byte at a time."""
        self.stopped(1)

    def test_status_line(self) -> None:
        """A status line is stopped by its own limit, in pieces of any size."""
        for size in (1, 1000, READ):
            self.stopped(size, STATUS_LINES)
        for start, again, limit, _ in STATUS_LINES.values():
            talk = Conversation()
            talk.ask(A)
            self.assertLessEqual(needed(talk, pieces_of(start, again, 1), limit + 16), limit + 2)

    def test_told_of_it(self) -> None:
        """Of endless interim responses no more are told than allowed."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        self.assertEqual([entry[0] for entry in talk.outline], ["inform"] * 16 + ["failed", "close"])


class CancelledTests(SynchronousTestCase):
    """A cancelled response that never ends."""

    def stopped(self, start: bytes, again: bytes, cancelled_first: bool) -> None:
        """It is stopped in time, in pieces of any size."""
        limit = len(start) + OPTIONS.max_cancelled_size
        for size in (1, READ):
            talk = Conversation()
            talk.ask(A)
            if cancelled_first:
                talk.cancel(A)
                pieces = pieces_of(start, again, size)
            else:
                talk.receive(start)
                talk.cancel(A)
                pieces = pieces_of(b"", again, size)
            self.assertLessEqual(needed(talk, pieces, limit + READ), limit + READ)
            self.assertEqual(talk.outline[-1], ("close", None))

    def test_content(self) -> None:
        """Content without end."""
        length = response((b"content-length", b"9223372036854775807"))
        for start, again in ((UNTIL_CLOSE, b"x"), (CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"), (CHUNKED + b"7fffffffffffffff\r\n", b"x")):
            for cancelled_first in (False, True):
                self.stopped(start, again, cancelled_first)
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        talk.receive(length)
        self.assertEqual(talk.outline, [("close", None)])

    def test_small_chunks(self) -> None:
        """What frames the content is read for nothing too, and counts."""
        self.stopped(CHUNKED, b"1\r\nx\r\n", False)

    def test_extensions(self) -> None:
        """So do chunk extensions."""
        self.stopped(CHUNKED, b"1;" + b"a" * 200 + b"\r\nx\r\n", False)

    def test_heads(self) -> None:
        """The limits of heads hold for it as for any other."""
        for start, again, limit, name in list(ENDLESS.values())[:14]:
            talk = Conversation()
            talk.ask(A)
            talk.cancel(A)
            needed(talk, pieces_of(start, again, READ), limit + READ)
            reason = f"LimitReached({name}, {getattr(OPTIONS, name)})" if name else PROTOCOL_VIOLATION
            self.assertEqual(talk.outline, [("close", reason)])
