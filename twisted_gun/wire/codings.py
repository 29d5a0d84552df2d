"""
The content codings gzip, deflate, br and zstd, undone bit by bit: one class each, which knows no limit but that of a piece.

Each takes a step of input, and gives what becomes of it in pieces, made as they are asked for. `brotli` and `zstandard` are imported where
they are wanted, for they are extras.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

from twisted_gun.errors import ProtocolViolation

__all__ = ["KNOWN", "Coding", "begin", "installed"]

#: What is made at a time; but brotli and zstandard make up to twice as much.
_PIECE: Final = 64 * 1024
#: Brotli takes its limit for the least that it makes, and makes 32 KiB of this.
_LEAST: Final = 16 * 1024
#: RFC 9659 section 3: decoders "MUST support a Window_Size of up to and including 8 MB", and encoders "MUST NOT" ask for more.
_LARGEST_WINDOW: Final = 8 * 1024 * 1024
#: RFC 8878 section 3.1.1.2.4: a block has at most 128 KiB, and so has what becomes of it.
_LARGEST_BLOCK: Final = 128 * 1024
_SKIPPABLE: Final = 0x184D2A50
_RUN: Final = 1


class Coding(Protocol):
    """One content coding, undone."""

    #: What is raised where the content is in no such coding.
    error: type[Exception]

    @property
    def whole(self) -> bool:
        """Whether the content may end here."""

    def decode(self, data: memoryview) -> Iterator[bytes]:
        """What becomes of `data`, some of it perhaps empty; to be asked for to its end. Raises `error`, or `ProtocolViolation`."""


class _Deflated:
    """What is the same in gzip and in deflate."""

    error: type[Exception] = zlib.error
    _stream: Any = None

    @property
    def whole(self) -> bool:
        return self._stream is not None and self._stream.eof

    def decode(self, data: memoryview) -> Iterator[bytes]:
        rest: memoryview | bytes = self._begin(data) if self._stream is None or self._stream.eof else data
        while self._stream is not None:
            piece = self._stream.decompress(rest, _PIECE)
            yield piece
            if self._stream.eof:
                rest = self._stream.unused_data
                if not rest:
                    return
                rest = self._begin(rest)
            else:
                rest = self._stream.unconsumed_tail
                if not rest and len(piece) < _PIECE:
                    return

    def _begin(self, data: memoryview | bytes) -> memoryview | bytes:
        """Make a stream for `data`, which begins one; or keep it where more is needed for that. What the stream is to be given."""
        raise NotImplementedError


class Gzip(_Deflated):
    """RFC 1952: any number of members, one behind the other (section 2.2). zlib checks their heads, and their ends."""

    def _begin(self, data: memoryview | bytes) -> memoryview | bytes:
        self._stream = zlib.decompressobj(31)
        return data


class Deflate(_Deflated):
    """
    RFC 9110 section 8.4.1.2: "a 'zlib' data format", RFC 1950.

    "Some non-conformant implementations send the 'deflate' compressed data without the zlib wrapper"; as in browsers that is taken too.
    """

    _head = b""

    def _begin(self, data: memoryview | bytes) -> memoryview | bytes:
        if self._stream is not None:
            raise ProtocolViolation("content goes on behind the end of its deflate stream (RFC 1950 section 2.2)")
        head = self._head + data
        if len(head) < 2:
            self._head = head
            return b""
        # RFC 1950 section 2.2: the method is 8, and CMF * 256 + FLG a multiple of 31.
        wrapped = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        self._stream = zlib.decompressobj(15 if wrapped else -15)
        return head


class Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        brotli = import_module("brotli")
        self.error: type[Exception] = brotli.error
        self._stream: Any = brotli.Decompressor()

    @property
    def whole(self) -> bool:
        return bool(self._stream.is_finished())

    def decode(self, data: memoryview) -> Iterator[bytes]:
        piece = self._stream.process(data, output_buffer_limit=_LEAST)
        # A full piece may have more behind it that was made already; otherwise what was not taken says whether there is more.
        while len(piece) >= _LEAST or not self._stream.can_accept_more_data():
            yield piece
            piece = self._stream.process(b"", output_buffer_limit=_LEAST)
        yield piece


class Zstd:
    """
    RFC 8878: any number of frames, one behind the other (section 3.1).

    zstandard makes all that it can of what it is given. So the frames are read here as well, as far as their blocks, and it is given one
    block at a time, of which it cannot make more than 128 KiB.
    """

    def __init__(self) -> None:
        zstandard: Any = import_module("zstandard")
        self.error: type[Exception] = zstandard.ZstdError
        self._decompress = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj(read_across_frames=True).decompress
        self._parts = _parts_of_frames()
        self._left, self._kind = next(self._parts)
        self._head = b""  # of a part that is to be read here, what came of it

    @property
    def whole(self) -> bool:
        return self._kind == _MAGIC and not self._head

    def decode(self, data: memoryview) -> Iterator[bytes]:
        taken = read = 0
        while read < len(data):
            begun, kind = read, self._kind
            read = min(begun + self._left, len(data))
            self._left -= read - begun
            if kind != _BODY:
                self._head += data[begun:read]
            if not self._left:
                head, self._head = self._head, b""
                self._left, self._kind = self._parts.send(head)
                if kind == _BODY:
                    yield self._decompress(data[taken:read])
                    taken = read
        yield self._decompress(data[taken:])


# The parts of zstd's frames: one that begins a frame, one that is to be read here too, one that is for zstandard alone.
_MAGIC, _HEAD, _BODY = "magic", "head", "body"

_Parts = Generator[tuple[int, str], bytes, None]


def _parts_of_frames() -> _Parts:
    """How long each part is, and of what kind; what is to be read is sent back. RFC 8878 section 3.1."""
    while True:
        magic = yield 4, _MAGIC
        if int.from_bytes(magic, "little") & ~0xF == _SKIPPABLE:
            size = int.from_bytes((yield 4, _HEAD), "little")
            if size:
                yield size, _BODY
        else:  # a frame; what is none is for zstandard to find out
            yield from _parts_of_frame((yield 1, _HEAD)[0])


def _parts_of_frame(descriptor: int) -> _Parts:
    """Those behind the descriptor of a frame; section 3.1.1."""
    single = descriptor >> 5 & 1
    yield 1 - single + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6], _BODY
    last = 0
    while not last:
        header = int.from_bytes((yield 3, _HEAD), "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if size > _LARGEST_BLOCK:
            raise ProtocolViolation(f"a block of {size} bytes in a zstd frame (RFC 8878 section 3.1.1.2.4)")
        if kind == _RUN:
            size = 1
        if size:
            yield size, _BODY
    if descriptor >> 2 & 1:
        yield 4, _BODY


_CODINGS: Final[dict[str, Callable[[], Coding]]] = {"gzip": Gzip, "deflate": Deflate, "br": Brotli, "zstd": Zstd}
#: The codings that can be undone, some of them with extras.
KNOWN: Final = tuple(_CODINGS)


@cache
def installed() -> tuple[str, ...]:
    """Those of `KNOWN` that can be undone here."""
    return tuple(coding for coding in KNOWN if _is_there(coding))


def begin(coding: str) -> Coding:
    """That `coding`, one of those `installed`, from the start."""
    return _CODINGS[coding]()


def _is_there(coding: str) -> bool:
    try:
        if coding == "br":
            # Before 1.2 its output could not be bounded.
            return hasattr(import_module("brotli").Decompressor, "can_accept_more_data")
        if coding == "zstd":
            import_module("zstandard")
    except ImportError:
        return False
    return True
