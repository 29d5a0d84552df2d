"""
How far a transfer has come: a bar that redraws itself on a terminal, a few plain lines anywhere else.

It knows no transfer, only how many bytes there are and were; the time is handed to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

__all__ = ["ProgressBar", "is_terminal", "size_text"]

#: Seconds between two drawings of a bar, and how many lines tell of a whole transfer where nothing can be redrawn.
_REDRAW = 0.1
_PLAIN_LINES = 4


class ProgressBar:
    """
    Tells on `stream` how much of `total` bytes has come, None where nobody knows how many there will be.

    `now` gives the time in seconds. On a terminal one line is redrawn, at most ten times a second; else each quarter is a line.
    """

    def __init__(self, stream: TextIO, total: int | None, now: Callable[[], float]) -> None:
        self.done = 0
        self._stream = stream
        self._total = total
        self._now = now
        self._live = is_terminal(stream)
        self._started = now()
        self._drawn_at: float | None = None
        self._told = 0  # plain lines

    def advance(self, count: int) -> None:
        """`count` more bytes have come."""
        self.done += count
        if not self._live:
            self._tell_quarter()
        elif self._drawn_at is None or self._now() - self._drawn_at >= _REDRAW:
            self._draw()

    def finish(self) -> None:
        """Nothing more will come: the last state stays on the screen."""
        if self._live:
            self._draw()
            self._stream.write("\n")
            self._stream.flush()

    def _tell_quarter(self) -> None:
        if not self._total:
            return
        quarter = min(self.done, self._total) * _PLAIN_LINES // self._total
        if quarter > self._told:
            self._told = quarter
            self._stream.write(f"  {100 * quarter // _PLAIN_LINES:3d}% of {size_text(self._total)}\n")
            self._stream.flush()

    def _draw(self) -> None:
        now = self._drawn_at = self._now()
        seconds = now - self._started
        rate = f"{size_text(int(self.done / seconds))}/s" if seconds > 0 else ""
        self._stream.write("\r\x1b[K" + self._line(rate, _width(self._stream)))
        self._stream.flush()

    def _line(self, rate: str, width: int) -> str:
        if not self._total:
            return f"  {size_text(self.done)}  {rate}"[: width - 1]
        share = min(1.0, self.done / self._total)
        text = f" {share:4.0%} of {size_text(self._total)}  {rate}"
        room = max(0, min(40, width - len(text) - 5))
        full = int(share * room)
        return f"  [{'#' * full}{'.' * (room - full)}]{text}"[: width - 1]


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches `stream`, on a screen that can redraw a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def size_text(count: int) -> str:
    """`count` bytes in words: "512 bytes", "1.5 MiB"."""
    size, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
