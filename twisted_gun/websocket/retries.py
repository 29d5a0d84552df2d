"""
Retries: whether a request that failed is made again, and after how long.

Which failures are transient, how Retry-After is read, how delays grow. Of time only "now" is known, where a caller gives it; waiting is
done elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet import error

from twisted_gun import responses
from twisted_gun.errors import (
    ConnectFailed,
    ConnectionFailed,
    GoAway,
    GunError,
    OptionError,
    StreamClosed,
    StreamRefused,
    TimedOut,
    Truncated,
)
from twisted_gun.events import Headers

__all__ = ["check_retry", "check_seconds", "default_delay", "is_transient", "is_transient_status", "retry_after", "wants_retry"]

_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_SAFE = frozenset({"GET", "HEAD"})
#: What stands for :timeout, :econnrefused and :closed of the seed, below a failure to connect.
_CONNECTING = (error.ConnectionRefusedError, error.TimeoutError, error.TCPTimedOutError, error.ConnectionLost, error.ConnectionDone)


def check_retry(retry: object) -> None:
    """Raises `OptionError` unless `retry` says when to."""
    if not (retry is False or (isinstance(retry, str) and retry in ("safe_transient", "transient")) or callable(retry)):
        raise OptionError("retry", "'safe_transient', 'transient', a callable, or False", retry)


def is_transient(failure: BaseException) -> bool:
    """Whether the same request may well succeed the next time: nobody answered in time, or answered at all."""
    if isinstance(failure, ConnectFailed):
        reason = failure.reason
        return isinstance(reason, _CONNECTING) or (isinstance(reason, GunError) and is_transient(reason))
    # Exactly ConnectionFailed: it was lost. What is derived from it is the peer's mistake, and it will make it again.
    unprocessed = (StreamRefused, GoAway)
    return type(failure) is ConnectionFailed or isinstance(failure, (TimedOut, StreamClosed, Truncated, *unprocessed))


def is_transient_status(status: int) -> bool:
    """Whether a response of `status` may well be another one the next time."""
    return status in _STATUSES


def wants_retry(retry: Any, method: str, transient: bool) -> bool:
    """Whether to try again, where `retry` is no callable."""
    return transient and (retry == "transient" or (retry == "safe_transient" and method in _SAFE))


def check_seconds(option: str, seconds: object) -> float:
    """`seconds`, which a callable of the user's gave for `option`, if one can wait for so long; raises `OptionError`."""
    fit = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
    if not fit:
        raise OptionError(option, "seconds, a number >= 0", seconds)
    return float(seconds)  # type: ignore[arg-type]


def default_delay(count: int) -> float:
    """1, 2, 4, 8 seconds and so on, for the retry after `count` others."""
    return 2.0 ** min(count, 64)


def retry_after(status: int, headers: Headers, now: Callable[[], datetime]) -> float | None:
    """The seconds that a 429 or 503 asks for by Retry-After; None where it does not, or not legibly."""
    return responses.retry_after(headers, now()) if status in (429, 503) else None
