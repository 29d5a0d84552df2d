"""Dates as cookies have them: the forgiving algorithm of RFC 6265bis section 5.1.1, in linear time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["parse_cookie_date"]

# "delimiter = %x09 / %x20-2F / %x3B-40 / %x5B-60 / %x7B-7E"
_DELIMITERS = re.compile(rb"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")

# Each is matched at a token's start only; what comes after its digits is never looked into: "[ non-digit *OCTET ]".
_TIME = re.compile(rb"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(rb"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(rb"([0-9]{2,4})(?![0-9])")
_MONTHS: Final = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}


def parse_cookie_date(text: bytes) -> float | None:
    """The time that `text` means, as seconds since 1970, or None where it means none."""
    time, day, month, year = _found(text)
    if time is None or day is None or month is None or year is None:
        return None
    # "If the year-value is greater than or equal to 70 and less than or equal to 99, increment the year-value by 1900."
    if 70 <= year <= 99:
        year += 1900
    # "If the year-value is greater than or equal to 0 and less than or equal to 69, increment the year-value by 2000."
    elif year <= 69:
        year += 2000
    # "Abort this algorithm and fail to parse the cookie-date if: [...] the year-value is less than 1601"
    if year < 1601:
        return None
    try:
        # The other limits are those of the calendar and of the day: "If no such date exists, abort this algorithm".
        return datetime(year, month, day, *time, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _found(text: bytes) -> tuple[tuple[int, int, int] | None, int | None, int | None, int | None]:
    """What the date-tokens are: "Process each date-token sequentially in the order the date-tokens appear in the cookie-date"."""
    time: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (match := _TIME.match(token)):
            time = int(match[1]), int(match[2]), int(match[3])
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and (number := _MONTHS.get(token[:3].lower())):
            month = number
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    return time, day, month, year
