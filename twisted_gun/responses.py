"""What header fields of a response say to whoever asks again: what the content is, and when to come back. Values only."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from twisted_gun.events import Headers

__all__ = ["first_value", "media_type", "retry_after"]


def first_value(headers: Headers, name: bytes) -> str | None:
    """The value of the first field of that `name`, without blanks around it; None where there is none."""
    return next((value.decode("latin-1").strip() for each, value in headers if each == name), None)


def media_type(headers: Headers) -> str:
    """What the content is said to be, in lower case and without parameters; "" where nothing is said."""
    return (first_value(headers, b"content-type") or "").partition(";")[0].strip().lower()


def retry_after(headers: Headers, now: datetime) -> float | None:
    """The seconds that Retry-After asks for (RFC 9110 section 10.2.3), `now`; None where it does not, or not legibly."""
    value = first_value(headers, b"retry-after")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 16 else math.inf
    until = _date(value)
    if until is None:
        return None
    # The server's own clock, where it tells it: ours may go wrong.
    since = _date(first_value(headers, b"date") or "") or now
    return max(0.0, (until - since).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # RFC 9110 section 5.6.7: an HTTP date is in UTC, whether it says so or not.
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when
