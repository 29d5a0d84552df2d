"""
When a connection is dialled again, and after how many failures in a row no more: ``--retry`` of what has a connection of its own.

An event source counts by itself. Gun's own `retry` would not do: it does not count the first attempt of all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from twisted_gun.options import Options

__all__ = ["Patience", "longest_wait"]


def longest_wait(failed: int, first: float, longest: float) -> float:
    """The most seconds to wait after so many failures in a row: `first`, then twice as long each time, up to `longest`."""
    return min(longest, first * 2.0 ** min(failed, 64))


class Patience:
    """
    A `retry_fun`: waits up to `first` seconds, then twice as long each time, up to `longest`; how long it is, is chance.

    Where `most` attempts have failed in a row it calls `give_up` with their number, which has to end the connection.
    """

    def __init__(
        self, most: int, first: float, longest: float, give_up: Callable[[int], object], chance: Callable[[], float] = random.random
    ) -> None:
        self._most = most
        self._first, self._longest = first, longest
        self._give_up = give_up
        self._chance = chance
        self.begin()

    def begin(self) -> None:
        """There was no attempt yet."""
        self._failed = 0
        self._was_up = False

    def up(self) -> None:
        """The connection is up."""
        self._failed = 0
        self._was_up = True

    def __call__(self, left: int, options: Options) -> Mapping[str, Any]:
        """The attempt has failed, or what was up was lost."""
        seconds = self._chance() * longest_wait(self._failed, self._first, self._longest)
        if self._was_up:  # which is no attempt that failed
            self._was_up = False
        else:
            self._failed += 1
            if self._failed == self._most:
                self._give_up(self._failed)
        return {"retries": left, "timeout": seconds}
