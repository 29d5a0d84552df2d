"""
The life of a connection: dial, up, down, wait, dial again, until it is told to end or has tried often enough.

Twisted's `ReconnectingClientFactory` keeps the time between two attempts; when, and how often, is decided here by Gun's rules
(gun(3), `retry`). It knows neither streams nor receivers, only whoever `lives` it (`Living`).
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from twisted.internet.error import NotConnectingError
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ReconnectingClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_gun.errors import ConnectFailed, GunError, OptionError, TimedOut
from twisted_gun.net.dial import connect_failure
from twisted_gun.net.hop import Hop
from twisted_gun.net.timer import Deadlines
from twisted_gun.options import Options, RetryFunction
from twisted_gun.wire.core import HttpCore

__all__ = ["GunClientFactory", "Living", "backoff"]

#: A server that accepts and closes at once would have us dial without a pause: after so many first retries within so many
#: seconds, the next one waits like any other.
_MOST_IMMEDIATE_RETRIES = 10
_WITHIN_SECONDS = 10.0
#: A connection that was up for so long was no failure, whatever it was good for.
_STEADY_SECONDS = 10.0


class Living(Interface):
    """Whose life it is, and who is told of it; `destination` is where it dials, in words."""

    destination: str

    def make_hop(self) -> Hop[HttpCore]:
        """A new hop, about to be connected."""

    def went_up(self, hop: Hop[HttpCore]) -> None:
        """The connection is up."""

    def went_down(self, hop: Hop[HttpCore], reason: GunError | None) -> None:
        """The connection that was up is down."""

    def terminated(self, reason: GunError | None) -> None:
        """No more will come; `reason` is None where that was asked for."""


class GunClientFactory(ReconnectingClientFactory):
    """
    Dials, and dials again.

    `maxRetries`, `delay`, `initialDelay`, `factor`, `jitter` and `maxDelay` mean what Twisted says; Gun's `retry` and `retry_timeout` set
    them. The first retry is made at once, unless ten were within the last ten seconds after connections that answered nothing, and all
    counts begin anew when the connection was up. Where the server only wants the connection renewed, dialling again is no retry.
    A `retry_fun` decides instead, before the first retry too.
    """

    noisy = False
    factor = 1.0
    jitter = 0.0

    def __init__(self, living: Living, options: Options, deadlines: Deadlines, clock: Any) -> None:
        self.maxRetries = options.retry  # type: ignore[assignment]
        self.initialDelay = self.delay = options.retry_timeout
        self.maxDelay = max(self.maxDelay, options.retry_timeout)  # type: ignore[assignment]
        self.clock = clock
        #: As Gun's: "not_connected", "connecting", "tls_handshake", "connected", "closing"; at the end "terminated".
        self.state = "not_connected"
        #: What it was before the end.
        self.ended_in = ""
        self.hop: Hop[HttpCore] | None = None
        self.last_failure: GunError | None = None
        self._living = living
        self._options = options
        self._deadlines = deadlines
        self._timed_out: TimedOut | None = None
        self._renewed = self.served = False  # whether the last connection ended only to be renewed, and had answered a request
        self._immediate: deque[float] = deque(maxlen=_MOST_IMMEDIATE_RETRIES)
        self._up_at = 0.0
        #: Whether the end was asked for: nothing is dialled any more.
        self.ending = False

    # From above.

    def shutdown(self) -> None:
        """Let what is under way finish, then end."""
        if self.ending or self.state == "terminated":
            return
        self.ending = True
        hop = self.hop
        if hop is not None and hop.running:
            self.state = "closing"
            hop.perform(hop.core.shutdown(self._deadlines.now()))
        else:
            self._stop()

    def close(self) -> None:
        """End now."""
        self.ending = True
        if self.state != "terminated":
            self._stop()

    def _stop(self) -> None:
        self.state = "closing"
        self.stopTrying()
        if self.hop is not None:
            self.hop.drop()
        else:
            self._terminate(None)

    def _terminate(self, reason: GunError | None) -> None:
        if self.state != "terminated":
            self.ended_in, self.state = self.state, "terminated"
            self._deadlines.stop()
            self._living.terminated(reason)
            self.connector = None  # which knows this factory: neither should need the garbage collector

    # From the connector.

    def startedConnecting(self, connector: IConnector) -> None:
        self.connector = connector
        self.state = "connecting"
        limit = self._options.connect_timeout
        if self._options.endpoint is not None and limit is not None:
            # Our own endpoints keep their limits; of somebody else's nothing is known.
            self._deadlines.set((self, "connect"), limit, lambda: self._connect_timed_out(connector, limit))

    def buildProtocol(self, addr: IAddress | None) -> Hop[HttpCore] | None:
        self._deadlines.clear((self, "connect"))
        if self.ending:
            return None
        self.hop = self._living.make_hop()
        self.state = "tls_handshake" if self._options.transport == "tls" else "connecting"
        return self.hop

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.hop = None
        self._deadlines.clear((self, "connect"))
        if not self.ending:
            self.last_failure = self.why_not(reason)
        self._timed_out = None
        self._next(connector)

    def why_not(self, reason: Failure) -> GunError:
        """Why an attempt failed, whose endpoint said `reason`."""
        return self._timed_out or connect_failure(self._living.destination, reason)

    def _connect_timed_out(self, connector: IConnector, seconds: float) -> None:
        self._timed_out = TimedOut("connect", seconds, f"the endpoint did not connect within connect_timeout = {seconds} seconds")
        connector.stopConnecting()

    def clientConnectionLost(self, connector: IConnector, unused_reason: Failure) -> None:
        # The hop has said why.
        self.hop = None
        self._next(connector)

    # From the hop.

    def hop_up(self, hop: Hop[HttpCore], arrived: bool = True) -> None:
        """The hop's core runs; `arrived` says whether it leads to the origin, rather than to a proxy which has to lead on."""
        self.state = "connected"
        self._up_at = self._deadlines.now()
        if arrived:
            self.arrived()
        self._living.went_up(hop)

    def arrived(self) -> None:
        """The origin is reached: the counts begin anew, for `backoff` only once that has lasted."""
        self.last_failure = None
        retries = self.retries if isinstance(self._options.retry_fun, _Backoff) else 0
        self.resetDelay()  # type: ignore[no-untyped-call]
        self.retries = retries

    def hop_lost(self, hop: Hop[HttpCore], was_up: bool, reason: GunError | None) -> None:
        """The hop's transport is gone."""
        self.last_failure = reason
        if not self.ending:
            self.state = "not_connected"
        if was_up:
            self._renewed, self.served = hop.core.renewable, hop.core.served
            if self.served or self._deadlines.now() - self._up_at >= _STEADY_SECONDS:
                self.retries = 0
            self._living.went_down(hop, reason)

    # Again.

    def _next(self, connector: IConnector) -> None:
        if self.ending:
            self._terminate(None)
            return
        self.state = "not_connected"
        self.retry(connector)

    def retry(self, connector: IConnector | None = None) -> None:
        """Dial again after the delay that Gun's rules say, or end if there were enough attempts."""
        left = None if self.maxRetries is None else self.maxRetries - self.retries
        if left is not None and left <= 0:
            self._give_up()
            return
        standing = self.delay
        renewed, self._renewed = self._renewed, False
        chosen = None
        if renewed and self._take_immediate_retry():
            self.delay = 0.0
            self.retries -= 1  # it is none
        else:
            if self._options.retry_fun is not None and left is not None:
                chosen = self._ask(left)
            if chosen is None and self.retries == 0 and self._take_immediate_retry():
                self.delay = 0.0
        if chosen is not None and self.maxRetries is not None:
            self.retries, self.delay = self.maxRetries - chosen[0] - 1, chosen[1]
        self._retry_after_delay(connector)
        if chosen is not None or self.delay == 0.0:
            self.delay = standing

    def _retry_after_delay(self, connector: IConnector | None) -> None:
        """Twisted's own; but the delay grows after the retry, as it does in 26.10, where in 25.5 it grew before."""
        factor, most = self.factor, self.maxDelay
        self.factor, self.maxDelay = 1.0, math.inf  # type: ignore[assignment]
        try:
            super().retry(connector)  # type: ignore[no-untyped-call]
        finally:
            self.factor, self.maxDelay = factor, most
        self.delay = min(self.delay * factor, most)

    def _take_immediate_retry(self) -> bool:
        """Whether ten were not yet within ten seconds; one after a connection that served us is not counted."""
        if self.served:
            self.served = False
            return True
        now = self._deadlines.now()
        full = len(self._immediate) == _MOST_IMMEDIATE_RETRIES
        if full and now - self._immediate[0] < _WITHIN_SECONDS:
            return False
        self._immediate.append(now)
        return True

    def _ask(self, left: int) -> tuple[int, float] | None:
        """What `retry_fun` decides: the retries left, and the seconds to wait; None if it cannot be used."""
        decide = self._options.retry_fun
        try:
            answer = decide(left, self._options)  # type: ignore[misc]
            retries, seconds = int(answer["retries"]), float(answer["timeout"])
            if retries < 0 or not 0 <= seconds < math.inf:
                raise ValueError(f"expected numbers >= 0, not {answer!r}")
            return retries, seconds
        except Exception:
            _log.failure("retry_fun failed; retry and retry_timeout decide instead")
            return None

    def _give_up(self) -> None:
        failure = self.last_failure
        if self.maxRetries == 0:
            self._terminate(failure)  # None where the connection ended in good order: Gun's exit `normal`
            return
        error = ConnectFailed(f"gave up after {self.retries} retries; the last attempt failed: {failure}", failure)
        error.__cause__ = failure
        self._terminate(error)

    def stopTrying(self) -> None:
        try:
            super().stopTrying()  # type: ignore[no-untyped-call]
        except NotConnectingError:  # there is an attempt no longer
            pass


def backoff(initial: float = 0.5, maximum: float = 60.0, jitter: bool = True) -> RetryFunction:
    """
    A `retry_fun` that never gives up, and waits longer each time.

    The first delay is `initial` seconds, each further one twice the one before, up to `maximum`; the first again after a connection that
    answered a request, or was up for ten seconds: a server that only accepts and closes is not dialled without end. With `jitter` each is
    a random part of that, so that clients which lost the same server do not all come back at once. `retry` must be above 0. Raises
    `OptionError`.
    """
    for name, seconds in (("initial", initial), ("maximum", maximum)):
        if not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
            raise OptionError(f"backoff.{name}", "seconds, a number > 0", seconds)
    return _Backoff(initial, maximum, jitter)


@dataclass(frozen=True, slots=True)
class _Backoff:
    """What `backoff` makes."""

    initial: float
    maximum: float
    jitter: bool

    def __call__(self, left: int, options: Options) -> dict[str, Any]:
        # Gun keeps the count and starts it anew at `retry`; counting up from there tells which attempt this is.
        attempt = max(0, left - options.retry)
        seconds = min(self.maximum, self.initial * 2.0 ** min(attempt, 64))
        return {"retries": left + 1, "timeout": random.uniform(0.0, seconds) if self.jitter else seconds}


_log = Logger()
