"""What the tests of cookies share: a store with a clock of its own, URLs, and the vectors that lie beside the checkout."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from tests.vectors import vectors
from twisted_gun.cookies import CookieStore, CookieUri, cookie_header

#: The README of the vectors says why: they want what RFC 6265bis forbids.
LEFT_OUT = frozenset({"http-state/attribute0023", "http-state/disabled-chromium0022", "wpt/value/12"})

#: When the tests take place, 1 January 2026: some vectors are about times that are past, or to come.
NOW = 1_767_225_600.0

_CHECK = re.compile(r"^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);$", re.MULTILINE)


def cookie_vectors() -> list[dict[str, Any]]:
    """The cases of ``cookies.json``, but for `LEFT_OUT`."""
    return [case for case in json.loads(vectors("cookies.json")) if case["id"] not in LEFT_OUT]


def date_vectors() -> list[tuple[str, str | None]]:
    """The dates of ``cookie_dates.json``, and how they are written properly."""
    return [(case["test"], case["expected"]) for case in json.loads(vectors("cookie_dates.json"))]


def suffix_vectors() -> list[tuple[str | None, str | None]]:
    """The checks of ``psl_test.txt``: a name, and the name that was registered for it."""

    def value(text: str) -> str | None:
        return None if text == "null" else text.strip("'")

    return [(value(name), value(registered)) for name, registered in _CHECK.findall(vectors("psl_test.txt"))]


def uri(url: str) -> CookieUri:
    """`url` as the store is asked."""
    parts = urlsplit(url)
    return CookieUri(parts.scheme, parts.netloc, parts.path or "/")


class World:
    """A `store`, and a clock that stands still: ``now``."""

    def __init__(self, **options: Any) -> None:
        self.now = NOW
        self.store = CookieStore(now=lambda: self.now, **options)

    def set(self, url: str, *fields: str | bytes) -> bool:
        """Give the store these Set-Cookie fields, as received from `url`; whether the last of them was taken."""
        took = False
        for field in fields:
            took = self.store.set_cookie(uri(url), field if isinstance(field, bytes) else field.encode("latin-1"))
        return took

    def sent(self, url: str) -> str:
        """The Cookie field of a request for `url`."""
        return cookie_header(self.store.query(uri(url))).decode("latin-1")
