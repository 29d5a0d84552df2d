"""
Content decoded within limits: RFC 9110 section 8.4.

Bytes in, bytes out, in pieces that are made as they are asked for: of a bomb no more is made than somebody wants. How each coding works is
in `wire/codings.py`; which response has what is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from twisted_gun.errors import LimitReached, ProtocolViolation, Truncated
from twisted_gun.wire.codings import KNOWN, begin, installed

__all__ = ["KNOWN", "LARGEST_PIECE", "MAX_DECODED_SIZE", "MAX_RATIO", "Decoder", "installed", "listed"]

#: No piece that is given is larger.
LARGEST_PIECE: Final = 64 * 1024
#: How much is decoded of one response unless the option of this name says otherwise.
MAX_DECODED_SIZE: Final = 64 * 1024 * 1024
#: How many times its size content may become. Where each line differs from the others by a number it becomes 10 to 200 times its size, in
#: any coding. Where all lines are the same: some hundred times in gzip and deflate, which cannot do more than 1032; in br and zstd some
#: ten thousand times.
MAX_RATIO: Final = 1000.0
#: The ratio means nothing of content that is small after all.
_RATIO_FROM: Final = 1024 * 1024
#: How much is given to a coding at a time: the libraries copy what they have not used yet, each time they are asked for more.
_STEP: Final = 16 * 1024

#: Pieces below this are put together, as far as they are there at once.
_SMALL: Final = 16 * 1024

#: RFC 9110 section 8.4.1.3: "A recipient SHOULD consider 'x-gzip' to be equivalent to 'gzip'."
_ALIASES: Final = {"x-gzip": "gzip"}


def listed(fields: Iterable[bytes]) -> tuple[str, ...]:
    """The codings in the values of Content-Encoding `fields`, in the order in which they were applied."""
    names = (name.strip(" \t").lower() for field in fields for name in field.decode("latin-1").split(","))
    # Section 8.4.1: identity is "used only for accept-encoding"; where it comes nonetheless there is nothing to undo.
    return tuple(_ALIASES.get(name, name) for name in names if name not in ("", "identity"))


class Decoder:
    """
    Undoes one `coding`, one of those `installed`, of the content of one message.

    No more than `max_decoded_size` bytes are made of it, and beyond 1 MiB no more than `max_ratio` times as many as came; None is no
    limit. Several decoders in a row undo several codings, the last one applied first.
    """

    def __init__(self, coding: str, *, max_decoded_size: int | None = MAX_DECODED_SIZE, max_ratio: float | None = MAX_RATIO) -> None:
        self.coding = coding
        self._coding = begin(coding)
        self._max_size = max_decoded_size
        self._max_ratio = max_ratio
        self._received = 0
        self._decoded = 0

    def decode(self, pieces: Iterable[bytes], fin: bool) -> Iterator[bytes]:
        """
        What becomes of `pieces`, as much as can be known by now; `fin` says that the content ends with them.

        To be asked for to its end, or no more. Raises `ProtocolViolation` for what is in no such coding or goes on behind its end,
        `Truncated` where it ends too early, and `LimitReached`. No content at all is content in any coding.
        """
        for data in pieces:
            view = memoryview(data)
            for at in range(0, len(view), _STEP):
                yield from self._step(view[at : at + _STEP])
        if fin and self._received and not self._coding.whole:
            raise Truncated(f"the content ended before its {self.coding} did", self._received)

    def _step(self, data: memoryview) -> Iterator[bytes]:
        self._received += len(data)
        small = bytearray()
        try:
            for piece in self._coding.decode(data):
                # A server may code each byte by itself: then there is more to telling them than to what they say.
                if len(small) + len(piece) < _SMALL:
                    small += piece
                    continue
                if small:
                    piece = bytes(small) + piece
                    small.clear()
                yield from self._counted(piece)
        except self._coding.error as error:
            raise ProtocolViolation(f"content that cannot be decoded from {self.coding}: {error}") from error
        if small:
            yield from self._counted(bytes(small))

    def _counted(self, piece: bytes) -> Iterator[bytes]:
        for at in range(0, len(piece), LARGEST_PIECE):
            part = piece[at : at + LARGEST_PIECE]
            self._count(len(part))
            yield part

    def _count(self, size: int) -> None:
        self._decoded += size
        if self._max_size is not None and self._decoded > self._max_size:
            raise LimitReached("max_decoded_size", self._max_size)
        if self._max_ratio is not None and self._decoded > _RATIO_FROM and self._decoded > self._max_ratio * self._received:
            raise LimitReached("max_ratio", self._max_ratio)
