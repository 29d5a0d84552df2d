"""Flow control as the one who receives sees it (RFC 9113 section 5.2), and what a peer may send to no use."""

from __future__ import annotations

from dataclasses import dataclass

from twisted_gun.options import Http2Options

__all__ = ["Glitches", "WindowRule", "window_rules"]


@dataclass(frozen=True, slots=True)
class WindowRule:
    """
    When a window is opened again, and how far: to `size` and `margin`, but not beyond `most` (Gun's ensure_window).

    That is done once half of it is used, so that the peer need not wait for it; and, where that is more, once no more than
    `threshold` is left, but not for less than a quarter of it, which would cost a frame for each that comes.
    """

    size: int
    margin: int
    threshold: int
    most: int

    @property
    def renewed_at(self) -> int:
        """What is left of the window when it is opened again."""
        return max(self.size // 2, min(self.threshold, self.size - self.size // 4))

    def increment(self, left: int) -> int:
        """By how much a window opens of which so much is `left`."""
        return max(0, min(self.size + self.margin, self.most) - left)


def window_rules(options: Http2Options) -> tuple[WindowRule, WindowRule]:
    """The rules for the connection's window and for a stream's."""
    connection = WindowRule(
        options.initial_connection_window_size,
        options.connection_window_margin_size,
        options.connection_window_update_threshold,
        options.max_connection_window_size,
    )
    stream = WindowRule(
        options.initial_stream_window_size,
        options.stream_window_margin_size,
        options.stream_window_update_threshold,
        options.max_stream_window_size,
    )
    return connection, stream


class Glitches:
    """Frames without use, counted: `most` at once, then `rate` a second."""

    __slots__ = ("_at", "_count", "_most", "_rate")

    def __init__(self, most: int, rate: float) -> None:
        self._most = most
        self._rate = rate
        self._count = 0.0
        self._at = 0.0

    def count(self, now: float) -> bool:
        """One more, at `now`; whether it is one too many."""
        self._count = max(0.0, self._count - (now - self._at) * self._rate) + 1.0
        self._at = now
        return self._count > self._most
