"""
A cookie, whom it is asked for, and cookies as a Cookie field.

Values only: whether a cookie may be stored, and by whom, is for others to say. None of them shows what a cookie holds in its `repr`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple

from twisted_gun.errors import InvalidRequest

__all__ = ["LONGEST_ATTRIBUTE", "LONGEST_PAIR", "Cookie", "CookieUri", "SameSite", "cookie_header"]

SameSite = Literal["default", "none", "strict", "lax"]

#: Section 5.7 step 4: "If the sum of the lengths of cookie-name and cookie-value is more than 4096 octets, abort this algorithm".
LONGEST_PAIR: Final = 4096
#: Section 5.6 step 6: "If the attribute-value is longer than 1024 octets, ignore the cookie-av string".
LONGEST_ATTRIBUTE: Final = 1024

_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f;]")


class CookieUri(NamedTuple):
    """Whom a request is for: ``http`` or ``https``, the host without port and brackets, and the path without its query."""

    scheme: str
    host: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """
    A cookie, with what RFC 6265bis section 5.7 keeps of it. Raises `InvalidRequest` for one that could not be sent.

    Times are seconds since 1970; `expiry_time` is None for one that ends with the session. `name` may be empty. `path` is a str of
    octets, each one a character. `same_site` is kept, and has no effect.
    """

    name: bytes
    value: bytes = field(repr=False)
    domain: str
    path: str = "/"
    creation_time: float
    last_access_time: float
    expiry_time: float | None = None
    host_only: bool = True
    secure_only: bool = False
    http_only: bool = False
    same_site: SameSite = "default"

    def __post_init__(self) -> None:
        if not (self.name or self.value) or len(self.name) + len(self.value) > LONGEST_PAIR:
            raise InvalidRequest(f"cookie: its name and value must have between 1 and {LONGEST_PAIR} bytes together")
        if _UNSAFE.search(self.name) or _UNSAFE.search(self.value) or b"=" in self.name:
            raise InvalidRequest("cookie: its name or value holds what would end it early, or a control character")
        times = (self.creation_time, self.last_access_time, self.expiry_time)
        if not all(time is None or math.isfinite(time) or time < 0 for time in times):
            raise InvalidRequest("cookie: its times must be seconds since 1970")
        if not self.domain or not self.path.startswith("/") or max(self.path) > "\xff":
            raise InvalidRequest("cookie: it must have a domain, and a path of octets that starts with a slash")

    def used(self, now: float) -> Cookie:
        """The same cookie, last accessed `now`."""
        # What is copied was checked: five times as fast as `replace`, and done for each cookie of each request.
        copy = object.__new__(Cookie)
        for name in _KEPT:
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "last_access_time", now)
        return copy

    @property
    def persistent(self) -> bool:
        """Whether it outlives the session."""
        return self.expiry_time is not None


_KEPT: Final = tuple(one.name for one in fields(Cookie) if one.name != "last_access_time")


def cookie_header(cookies: Iterable[Cookie]) -> bytes:
    """`cookies`, in their order, as the value of a Cookie field (RFC 6265bis section 5.8.3)."""
    # "If the cookies' name is not empty, output the cookie's name followed by the %x3D ("=") character."
    return b"; ".join(cookie.name + b"=" + cookie.value if cookie.name else cookie.value for cookie in cookies)
