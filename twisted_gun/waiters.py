"""Those who wait for one and the same thing, such as the end of a connection; any of them may stop waiting, at any time."""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["Waiters"]

_T = TypeVar("_T")


class Waiters(Generic[_T]):
    """Deferreds that fire together, each once; cancelling one ends its waiting only, also while the others are being fired."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Deferred[_T]] = []

    def wait(self) -> Deferred[_T]:
        """One more."""
        waiter: Deferred[_T] = Deferred(self._forget)
        self._waiting.append(waiter)
        return waiter

    def fire(self, result: _T) -> None:
        """Give `result` to all that wait now; an exception is given as it is, and is no failure."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:  # cancelled by what waited before it
                waiter.callback(result)

    def _forget(self, waiter: Deferred[_T]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
