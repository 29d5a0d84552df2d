"""Every limit of `HttpOptions`: one below, at, and one above; the error names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, UNTIL_CLOSE, A, Conversation, halves, response
from twisted_gun.options import HttpOptions


def status_line(size: int) -> bytes:
    """A response whose status line has `size` bytes."""
    return b"HTTP/1.1 200 ".ljust(size, b"x") + b"\r\ncontent-length: 0\r\n\r\n"


def header_block(size: int) -> bytes:
    """A response whose head has `size` bytes, the empty line included, in one field."""
    start, end = b"HTTP/1.1 200 OK\r\na: ", b"\r\ncontent-length: 0\r\n\r\n"
    return start + b"x" * (size - len(start + end)) + end


def header_count(count: int) -> bytes:
    """A response with `count` fields."""
    return response((b"content-length", b"0"), *[(b"a", b"b")] * (count - 1))


def informational(count: int) -> bytes:
    """`count` interim responses, and the final one."""
    return b"HTTP/1.1 103 Early Hints\r\n\r\n" * count + response((b"content-length", b"0"))


def informational_size(size: int) -> bytes:
    """Two interim responses of `size` bytes together, and the final one."""
    first = b"HTTP/1.1 100 Continue\r\n\r\n"
    start = b"HTTP/1.1 103 Early Hints\r\n"
    field = b"a: ".ljust(size - len(first + start) - 4, b"x") + b"\r\n\r\n"
    return first + start + field + response((b"content-length", b"0"))


def chunk_extension(size: int) -> bytes:
    """A chunked response with an extension of `size` bytes, the semicolon included."""
    return CHUNKED + b"5" + b";".ljust(size, b"x") + b"\r\nhello\r\n0\r\n\r\n"


def trailer_block(size: int) -> bytes:
    """A chunked response whose trailers have `size` bytes, the empty line included."""
    return CHUNKED + b"0\r\n" + b"a: ".ljust(size - 4, b"x") + b"\r\n\r\n"


def trailer_count(count: int) -> bytes:
    """A chunked response with `count` trailers."""
    return CHUNKED + b"0\r\n" + b"a: b\r\n" * count + b"\r\n"


#: What makes a response at a limit, and smaller limits to try it with.
LIMITS: dict[str, tuple[Callable[[int], bytes], tuple[int, ...]]] = {
    "max_chunk_extension_size": (chunk_extension, (2, 10)),
    "max_header_block_size": (header_block, (60, 100)),
    "max_header_count": (header_count, (2, 3)),
    "max_informational": (informational, (1, 2)),
    "max_informational_size": (informational_size, (200,)),
    "max_status_line_size": (status_line, (20, 30)),
    "max_trailer_block_size": (trailer_block, (10, 30)),
    "max_trailer_count": (trailer_count, (1, 2)),
}


class LimitTests(SynchronousTestCase):
    """Each limit holds with the limit, and not with one more."""

    def check(self, name: str, limit: int, count: int, pieces: tuple[bytes, ...], options: dict[str, int]) -> None:
        """What is told of `pieces`, which are a response with `count` of what `name` limits."""
        talk = Conversation(**options)
        talk.ask(A)
        talk.receive(*pieces)
        where = f"{name}={limit} at {count}: cut after {len(pieces[0])}"
        if count <= limit:
            self.assertNotIn("failed", [entry[0] for entry in talk.outline], where)
            self.assertTrue(talk.core.accepting, where)
        else:
            reason = f"LimitReached({name}, {limit})"
            self.assertEqual(talk.outline[-2:], [("failed", A, reason), ("close", reason)], where)

    def test_defaults(self) -> None:
        """The documented defaults, whole and in pieces."""
        for name, (make, _) in LIMITS.items():
            limit = getattr(HttpOptions(), name)
            for count in (limit - 1, limit, limit + 1):
                data = make(count)
                pieces = tuple(data[at : at + 1000] for at in range(0, len(data), 1000))
                for cut in ((data,), pieces, (data[:-1], data[-1:])):
                    self.check(name, limit, count, cut, {})

    def check_given(self, name: str) -> None:
        """A limit as given, whole, a byte at a time, and cut in two at every place."""
        make, limits = LIMITS[name]
        for limit in limits:
            for count in (limit - 1, limit, limit + 1):
                data = make(count)
                bytewise = tuple(data[at : at + 1] for at in range(len(data)))
                for pieces in ((data,), bytewise, *halves(data)):
                    self.check(name, limit, count, pieces, {name: limit})

    def test_given(self) -> None:
        """Limits as given, wherever the bytes are cut."""
        for name in LIMITS:
            if name != "max_status_line_size":
                self.check_given(name)

    def test_given_status_line(self) -> None:
        """The same for the status line."""
        self.check_given("max_status_line_size")

    def test_cancelled(self) -> None:
        """`max_cancelled_size`: with more to come the connection is closed; nobody is left to be told why."""
        for limit in (10, HttpOptions().max_cancelled_size):
            for count in (limit - 1, limit, limit + 1):
                length = response((b"content-length", b"%d" % count))
                chunk = b"%x\r\n" % (limit * 2)
                for head, data in (
                    (length, b""),
                    (length, b"x" * count),
                    (UNTIL_CLOSE, b"x" * count),
                    (CHUNKED, chunk + b"x" * (count - len(chunk))),
                ):
                    for size in (1, 3) if limit == 10 else (1000, 10 * limit):
                        talk = Conversation(max_cancelled_size=limit)
                        talk.ask(A)
                        talk.cancel(A)
                        talk.receive(head, *(data[at : at + size] for at in range(0, len(data), size)))
                        closed = talk.outline == [("close", None)]
                        self.assertEqual(closed, count > limit, (limit, count, head, size))

    def check_behind_an_empty_line(self, name: str) -> None:
        """A limit of a head behind an empty line, wherever that is cut."""
        make, (limit, *_) = LIMITS[name]
        for count in (limit - 1, limit, limit + 1):
            data = b"\r\n" + make(count)
            for pieces in ((data,), *halves(data)):
                self.check(name, limit, count, pieces, {name: limit})

    def test_block_behind_an_empty_line(self) -> None:
        """An empty line before a head does not count, whether it comes with it or before."""
        self.check_behind_an_empty_line("max_header_block_size")

    def test_status_line_behind_an_empty_line(self) -> None:
        """Nor does it count for the status line, or keep it from being measured."""
        self.check_behind_an_empty_line("max_status_line_size")

    def test_all(self) -> None:
        """No limit is left out."""
        names = {option.name for option in fields(HttpOptions) if option.name.startswith("max_")}
        self.assertEqual(names, {*LIMITS, "max_cancelled_size"})

    def test_each_on_its_own(self) -> None:
        """Raising a limit lets more pass, and a lower one elsewhere does not matter."""
        for name, (make, _) in LIMITS.items():
            limit = getattr(HttpOptions(), name)
            more = {"max_header_block_size": 10 * 65536, name: limit + 1} | ({name: limit + 1} if name == "max_header_block_size" else {})
            self.check(name, limit + 1, limit + 1, (make(limit + 1),), more)

    def test_for_each_response(self) -> None:
        """What one response used is not held against the next."""
        talk = Conversation(max_header_block_size=len(OK) - 5)
        for _ in range(5):
            talk.ask(stream := type(A)("next"))
            talk.receive(OK)
            self.assertEqual(talk.outline[-1], ("data", stream, b"hello", True))
