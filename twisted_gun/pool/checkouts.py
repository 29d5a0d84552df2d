"""
The requests that wait for a connection of a pool: in their order, not too many, and none for too long.

Of connections nothing is known here: whoever keeps them says how to ask one that is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from twisted_gun.errors import GunError, LimitReached, TimedOut
from twisted_gun.net.timer import Deadlines
from twisted_gun.options.checks import check, check_counts, check_seconds, is_number
from twisted_gun.stream import Stream

__all__ = ["Ask", "Checkout", "CheckoutOptions", "Checkouts", "Verb"]

#: A method of `Connection` that makes a request.
Verb = Callable[..., Stream]
#: How one connection is asked: by a verb, what it is called with, and its options.
Ask = Callable[[Verb, Sequence[Any], Mapping[str, Any]], Stream]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutOptions:
    """How many may wait for a connection, and for how long; see `Pool`."""

    checkout_timeout: float | None
    checkout_retry: Sequence[float]
    max_waiting: int

    def __post_init__(self) -> None:
        check_counts(self, "max_waiting", least=0)
        check_seconds(self, "checkout_timeout")
        retries = self.checkout_retry
        listed = isinstance(retries, (list, tuple)) and all(is_number(seconds) and seconds >= 0 for seconds in retries)
        check(self, "checkout_retry", listed, "a list of seconds, numbers >= 0")


class Checkout:
    """A request that waits: its `verb`, with what that is called with, and the Deferred of its stream."""

    __slots__ = ("_arguments", "_options", "_verb", "deferred", "retries")

    def __init__(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any], retries: Sequence[float]) -> None:
        self._verb = verb
        self._arguments = [_kept(argument) for argument in arguments]
        self._options = options
        #: The seconds after which it tries again, each once.
        self.retries = list(retries)
        self.deferred: Deferred[Stream]

    def fulfil(self, ask: Ask) -> None:
        """Make the request; who waits for it is told."""
        try:
            stream = ask(self._verb, self._arguments, self._options)
        except Exception:  # whatever the verb would have raised for its caller
            if not self.deferred.called:
                self.deferred.errback()
            return
        if self.deferred.called:  # cancelled by the producer of its content, which was asked to begin
            stream.cancel()
        else:
            self.deferred.callback(stream)


class Checkouts:
    """
    All that wait. `free` says how to ask a connection that is free, None where none is.

    `circumstances` is what to add to a message about those that have waited too long.
    """

    def __init__(
        self, deadlines: Deadlines, options: CheckoutOptions, free: Callable[[], Ask | None], circumstances: Callable[[], str]
    ) -> None:
        self._deadlines = deadlines
        self._most, self._timeout, self._retries = options.max_waiting, options.checkout_timeout, options.checkout_retry
        self._free = free
        self._circumstances = circumstances
        self._waiting: dict[Checkout, None] = {}  # in their order
        self._retrying: dict[Checkout, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Deferred[Stream]:
        """The stream of a request that is made once a connection is free for it; cancelling it leaves the queue."""
        checkout = Checkout(verb, arguments, options, self._retries)
        checkout.deferred = Deferred(lambda _: self._forget(checkout))
        if self._timeout is not None:
            self._deadlines.set((checkout, "checkout"), self._timeout, lambda: self._timed_out(checkout))
        self._enter(checkout)
        return checkout.deferred

    def hand_out(self) -> None:
        """Make the requests that have waited longest, as long as connections are free."""
        while self._waiting and (ask := self._free()) is not None:
            checkout = next(iter(self._waiting))
            del self._waiting[checkout]
            self._deadlines.clear((checkout, "checkout"))
            checkout.fulfil(ask)

    def refuse(self, reason: BaseException) -> None:
        """Fail all that wait."""
        for checkout in self.leave():
            if not checkout.deferred.called:  # cancelled by what waited before it
                checkout.deferred.errback(reason)

    def leave(self) -> list[Checkout]:
        """All that wait, or would try again; none does any longer."""
        left = [*self._waiting, *self._retrying]
        for checkout in left:
            self._forget(checkout)
        return left

    def _enter(self, checkout: Checkout) -> None:
        if len(self._waiting) < self._most:
            self._waiting[checkout] = None
        elif checkout.retries:
            self._retrying[checkout] = None
            self._deadlines.set((checkout, "retry"), checkout.retries.pop(0), lambda: self._retry(checkout))
        else:
            self._fail(checkout, LimitReached("max_waiting", self._most))

    def _retry(self, checkout: Checkout) -> None:
        del self._retrying[checkout]
        ask = None if self._waiting else self._free()
        if ask is None:
            self._enter(checkout)
        else:
            self._forget(checkout)
            checkout.fulfil(ask)

    def _timed_out(self, checkout: Checkout) -> None:
        text = f"no connection was free within checkout_timeout = {self._timeout} seconds{self._circumstances()}"
        self._fail(checkout, TimedOut("checkout", self._timeout, text))

    def _fail(self, checkout: Checkout, reason: GunError) -> None:
        self._forget(checkout)
        checkout.deferred.errback(reason)

    def _forget(self, checkout: Checkout) -> None:
        self._deadlines.clear((checkout, "checkout"))
        self._deadlines.clear((checkout, "retry"))
        self._retrying.pop(checkout, None)
        self._waiting.pop(checkout, None)


def _kept(argument: Any) -> Any:
    """`argument` as it is now: whoever gave it may change it while the request waits."""
    return argument.copy() if isinstance(argument, (dict, list, bytearray, Headers)) else argument
