"""
What a Set-Cookie field says (RFC 6265bis section 5.6).

Bytes in, a value out, in linear time. Whether the server may say it is for `receiving`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from twisted_gun.cookies.dates import parse_cookie_date
from twisted_gun.cookies.values import LONGEST_ATTRIBUTE, LONGEST_PAIR, SameSite

__all__ = ["LONGEST_LIFE", "Directive", "parse_set_cookie"]

#: Section 5.5: "The limit SHOULD NOT be greater than 400 days (34560000 seconds) in the future."
LONGEST_LIFE: Final = 34_560_000

_BLANK: Final = b" \t"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAME_SITE: Final[dict[bytes, SameSite]] = {b"none": "none", b"strict": "strict", b"lax": "lax"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """
    What a Set-Cookie field says.

    `expiry_time` is None where it says nothing of it, and in the past where the cookie is to be removed. `domain` is empty where it says
    none; it has no dot before it, and is not checked. `path` is None where the default path is meant.
    """

    name: bytes
    value: bytes = field(repr=False)
    expiry_time: float | None
    domain: bytes
    path: str | None
    secure_only: bool
    http_only: bool
    same_site: SameSite


def parse_set_cookie(text: bytes, now: float) -> Directive | None:
    """What `text`, the value of a Set-Cookie field, says; None where it is to be ignored."""
    # "If the set-cookie-string contains a %x00-08 / %x0A-1F / %x7F character (CTL characters excluding HTAB): Abort this algorithm and
    # ignore the set-cookie-string entirely."
    if _CONTROL.search(text):
        return None
    # "The name-value-pair string consists of the characters up to, but not including, the first %x3B (";")"
    pair, *parts = text.split(b";")
    # "If the name-value-pair string lacks a %x3D ("=") character, then the name string is empty, and the value string is the value of
    # name-value-pair." What is percent-encoded stays so: "a user agent MUST NOT decode these sequences".
    name, equals, value = pair.partition(b"=")
    if not equals:
        name, value = b"", pair
    # "Remove any leading or trailing WSP characters from the name string and the value string."
    name, value = name.strip(_BLANK), value.strip(_BLANK)
    # "If the sum of the lengths of the name string and the value string is more than 4096 octets, abort this algorithm"; and section 5.7
    # step 2: "If cookie-name is empty and cookie-value is empty, abort this algorithm and ignore the cookie entirely."
    if not 0 < len(name) + len(value) <= LONGEST_PAIR:
        return None
    said = _Attributes(now)
    for part in parts:
        said.take(part)
    return said.directive(name, value)


class _Attributes:
    """The cookie-attribute-list as far as it counts: of the attributes of one name the last that could be read."""

    __slots__ = ("_domain", "_expires", "_flags", "_max_age", "_now", "_path", "_same_site")

    def __init__(self, now: float) -> None:
        self._now = now
        self._expires: float | None = None
        self._max_age: float | None = None
        self._domain = b""
        self._path: str | None = None
        self._same_site: SameSite = "default"
        self._flags = set[bytes]()

    def take(self, part: bytes) -> None:
        """Read one cookie-av; those of other names have no meaning."""
        name, _, value = part.partition(b"=")
        # "Remove any leading or trailing WSP characters from the attribute-name string and the attribute-value string."
        name, value = name.strip(_BLANK).lower(), value.strip(_BLANK)
        # "If the attribute-value is longer than 1024 octets, ignore the cookie-av string"
        if len(value) > LONGEST_ATTRIBUTE:
            return
        if name in (b"secure", b"httponly"):
            self._flags.add(name)
        elif name == b"path":
            # "If the attribute-value is empty or if the first character of the attribute-value is not %x2F ("/"): Let cookie-path be
            # the default-path."
            self._path = value.decode("latin-1") if value.startswith(b"/") else None
        elif name == b"samesite":
            self._same_site = _SAME_SITE.get(value.lower(), "default")
        elif name == b"domain":
            self._take_domain(value)
        elif name == b"max-age":
            self._take_max_age(value)
        elif name == b"expires":
            self._take_expires(value)

    def _take_domain(self, value: bytes) -> None:
        # "If cookie-domain starts with %x2E ("."), let cookie-domain be cookie-domain without its leading %x2E (".")."
        domain = value.removeprefix(b".")
        # RFC 6265 section 5.2.3: "If the attribute-value is empty, [...] the user agent SHOULD ignore the cookie-av entirely." The draft no
        # longer has that, but web-platform-tests do.
        if domain:
            self._domain = domain.lower()

    def _take_max_age(self, value: bytes) -> None:
        # "If the first character of the attribute-value is neither a DIGIT, nor a "-" character followed by a DIGIT, ignore the
        # cookie-av. If the remainder of attribute-value contains a non-DIGIT character, ignore the cookie-av."
        if not value.removeprefix(b"-").isdigit():
            return
        # "Set delta-seconds to the smaller of its present value and cookie-age-limit."
        seconds = min(int(value), LONGEST_LIFE)
        # "If delta-seconds is less than or equal to zero (0), let expiry-time be the earliest representable date and time."
        self._max_age = self._now + seconds if seconds > 0 else float("-inf")

    def _take_expires(self, value: bytes) -> None:
        time = parse_cookie_date(value)
        # "If the attribute-value failed to parse as a cookie date, ignore the cookie-av."
        if time is not None:
            # "If the expiry-time is more than cookie-age-limit, the user agent MUST set the expiry time to cookie-age-limit in seconds."
            self._expires = min(time, self._now + LONGEST_LIFE)

    def directive(self, name: bytes, value: bytes) -> Directive:
        """What it comes to, for the cookie `name`."""
        return Directive(
            name=name,
            value=value,
            # Section 5.7 step 6: Expires counts only where the list "does not contain an attribute with an attribute-name of "Max-Age"".
            expiry_time=self._expires if self._max_age is None else self._max_age,
            domain=self._domain,
            path=self._path,
            secure_only=b"secure" in self._flags,
            http_only=b"httponly" in self._flags,
            same_site=self._same_site,
        )
