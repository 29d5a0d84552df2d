"""Many deadlines, one delayed call."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Deadlines"]


class Deadlines:
    """
    Calls back when a deadline passes.

    Setting and clearing one costs a dictionary entry. The reactor's delayed call is moved only when a deadline comes before it;
    when it fires too early it is set again. `stop` leaves nothing behind.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._call: IDelayedCall | None = None
        self._call_at = 0.0
        self._stopped = False
        # Twisted's reactors tell the time of day, which may be set forward, and then call too early; that must be no time-out.
        self.now: Callable[[], float] = time.monotonic if isinstance(clock, ReactorBase) else clock.seconds

    def set(self, key: Hashable, seconds: float, expired: Callable[[], None]) -> None:
        """Call `expired` once, `seconds` from now, unless `key` is set again or cleared before."""
        self.set_at(key, self.now() + seconds, expired)

    def set_at(self, key: Hashable, when: float, expired: Callable[[], None]) -> None:
        """Call `expired` once at `when`, in the clock's seconds, unless `key` is set again or cleared before."""
        self._waiting[key] = (when, expired)
        if self._call is None:
            self._schedule(when)
        elif when < self._call_at:
            self._call_at = when
            self._call.reset(max(0.0, when - self.now()))

    def clear(self, key: Hashable) -> None:
        """Forget the deadline of `key`, if there is one."""
        self._waiting.pop(key, None)
        if self._stopped and not self._waiting:
            self.stop()

    def stop(self) -> None:
        """Forget all deadlines; whatever is set later leaves nothing behind either, once it is cleared."""
        self._stopped = True
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, when: float) -> None:
        self._call_at = when
        self._call = self._clock.callLater(max(0.0, when - self.now()), self._fire)

    def _fire(self) -> None:
        self._call = None
        now = self.now()
        try:
            for key, (when, expired) in list(self._waiting.items()):
                # What one callback clears or sets anew, another must not see.
                if when <= now and self._waiting.get(key) == (when, expired):
                    del self._waiting[key]
                    expired()
        finally:  # a callback that raises must not stop the clock for all others
            if self._waiting and self._call is None:
                self._schedule(min(when for when, _ in self._waiting.values()))
