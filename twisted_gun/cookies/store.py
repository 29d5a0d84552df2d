"""
The store of cookies (RFC 6265bis sections 5.7 and 5.8): what goes in, what comes out, and how much may be in it.

It does not know where Set-Cookie fields come from, nor what its files look like. Nothing waits, but for the methods that are given a
path; and the list of public suffixes is read when a cookie with a Domain first asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike

from zope.interface import implementer

from twisted_gun.cookies.domains import canonical_host, is_address, is_public_suffix, paths_meant
from twisted_gun.cookies.files import read_cookies, read_netscape, write_cookies
from twisted_gun.cookies.parsing import LONGEST_LIFE, parse_set_cookie
from twisted_gun.cookies.receiving import cookie_from, is_secure, keeps_prefix
from twisted_gun.cookies.shelf import Entry, Shelf, key_of
from twisted_gun.cookies.values import LONGEST_ATTRIBUTE, Cookie, CookieUri
from twisted_gun.errors import OptionError
from twisted_gun.interfaces import ICookieStore

__all__ = ["CookieStore"]


@implementer(ICookieStore)
class CookieStore:
    """
    Keeps cookies in memory, for one connection or for many (RFC 6265bis section 5.7).

    At most `max_cookies` are kept, and of them `max_per_domain` with the same domain. Beyond that those that have expired go first, then
    within the domain those that are not Secure, then those that were not used for the longest time. A connection takes the first
    `max_per_response` Set-Cookie fields of a response. `now` gives the time in seconds since 1970.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        max_cookies: int = 3000,
        max_per_domain: int = 180,
        max_per_response: int = 50,
    ) -> None:
        self.max_cookies = _count("max_cookies", max_cookies)
        self.max_per_domain = _count("max_per_domain", max_per_domain)
        self.max_per_response = _count("max_per_response", max_per_response)
        if not callable(now):
            raise OptionError("now", "a callable that gives seconds since 1970", now)
        self._now = now
        self._shelf = Shelf()

    def __len__(self) -> int:
        self.gc()
        return len(self._shelf)

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies, in the order of their creation."""
        self.gc()
        return iter([entry.cookie for entry in self._shelf.in_order()])

    def __bool__(self) -> bool:
        return True  # an empty store is one all the same

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._shelf)} cookies>"

    def query(self, uri: CookieUri) -> Sequence[Cookie]:
        """The cookies that go with a request for `uri`, in their order (section 5.8.3)."""
        host, now = canonical_host(uri.host), self._expired()
        # "If the host of the retrieval's URI fails to be canonicalized then abort this algorithm."
        if host is None:
            return ()
        found = self._shelf.for_request(host, paths_meant(uri.path), is_secure(uri))
        # "Update the last-access-time of each cookie in the cookie-list to the current date and time."
        for entry in found:
            self._shelf.use(entry, now)
        return tuple(entry.cookie for entry in found)

    def set_cookie(self, uri: CookieUri, value: bytes) -> bool:
        """
        Take one Set-Cookie field that came in the response to a request for `uri` (section 5.7).

        True where it was obeyed: the cookie is kept, or, where it has expired, no longer is. Whatever the bytes, nothing is raised.
        """
        now = self._expired()
        directive = parse_set_cookie(value, now)
        cookie = None if directive is None else cookie_from(directive, uri, now)
        if cookie is None:
            return False
        # "If the cookie's secure-only-flag is false, and the request-uri does not denote a "secure" connection, then abort this algorithm
        # and ignore the cookie entirely if the cookie store contains one or more cookies that" it would hide.
        if not is_secure(uri) and self._shelf.overlays_secure(cookie):
            return False
        return self._keep(cookie, now)

    def add(self, cookie: Cookie) -> bool:
        """
        Keep `cookie`, whoever it is from, in the place of the one with the same name, domain, host-only-flag and path.

        False where it is not kept: it has expired, its domain is no host, or it is not what its name promises (section 5.4). One for a
        public suffix, or an address, is kept for that host only, and none for more than 400 days.
        """
        now = self._expired()
        mended = _mended(cookie, now)
        return mended is not None and self._keep(mended, now)

    def gc(self) -> None:
        """Drop what has expired; whatever else is asked of the store does so too."""
        self._expired()

    def session_gc(self) -> None:
        """Drop what was to be kept for this session only."""
        # "the user agent MUST remove from the cookie store all cookies with the persistent-flag set to false"
        for entry in self._shelf.by_use():
            if not entry.cookie.persistent:
                self._shelf.remove(key_of(entry.cookie))

    def clear(self) -> None:
        """Drop all."""
        self._shelf = Shelf()

    def save(self, path: str | PathLike[str], *, session: bool = False) -> None:
        """
        Write the cookies to a file of JSON, with `session` those of this session too; raises OSError.

        The file has the old content or the new, never a part, and only its owner may read it.
        """
        write_cookies(path, [cookie for cookie in self if session or cookie.persistent])

    def load(self, path: str | PathLike[str]) -> int:
        """
        Add the cookies of a file that `save` wrote, as `add` does, and return how many were kept.

        They take the place of the same cookies here. Raises `CookieFileError` for a file that is broken, or larger than one of
        `max_cookies` can be, and OSError; then the store is as it was.
        """
        return self._merge(read_cookies(path, self.max_cookies))

    def load_netscape(self, path: str | PathLike[str]) -> int:
        """As `load`, from a ``cookies.txt`` in Netscape's format, as curl, wget, browsers' extensions and Python write it."""
        return self._merge(read_netscape(path, self.max_cookies, self._now()))

    def _merge(self, cookies: Iterable[Cookie]) -> int:
        """Add `cookies`; they and those that are here count as used in the order of their times."""
        now = self._expired()
        loaded = {key_of(cookie): cookie for given in cookies if (cookie := _mended(given, now)) is not None}
        entries = {key_of(entry.cookie): entry for entry in self._shelf.by_use()}
        turn = max((entry.turn for entry in entries.values()), default=0)
        for number, (key, cookie) in enumerate(loaded.items(), turn + 1):
            entries[key] = Entry(cookie, number)
        self._shelf = Shelf()
        for entry in sorted(entries.values(), key=lambda entry: entry.cookie.last_access_time):
            self._shelf.place(entry)
            self._bound(entry.cookie.domain)
        return sum(key in self._shelf for key in loaded)

    def _expired(self) -> float:
        """The time now, at which what has expired is gone: "The user agent MUST evict all expired cookies from the cookie store"."""
        now = self._now()
        self._shelf.expire(now)
        return now

    def _keep(self, cookie: Cookie, now: float) -> bool:
        if cookie.expiry_time is not None and cookie.expiry_time <= now:
            self._shelf.remove(key_of(cookie))
            return True
        self._shelf.put(cookie)
        self._bound(cookie.domain)
        return key_of(cookie) in self._shelf

    def _bound(self, domain: str) -> None:
        """ "Remove excess cookies", of which those that had expired are gone by now."""
        while self._shelf.count(domain) > self.max_per_domain:
            self._shelf.evict_from(domain)
        while len(self._shelf) > self.max_cookies:
            self._shelf.evict()


def _mended(cookie: Cookie, now: float) -> Cookie | None:
    """`cookie` as it may be kept, or None where it may not."""
    domain = canonical_host(cookie.domain)
    expiry = cookie.expiry_time
    if domain is None or len(cookie.path) > LONGEST_ATTRIBUTE or (expiry is not None and expiry <= now):
        return None
    host_only = cookie.host_only or is_address(domain) or is_public_suffix(domain)
    if not keeps_prefix(cookie.name, cookie.value, cookie.secure_only, host_only, cookie.path):
        return None
    expiry = None if expiry is None else min(expiry, now + LONGEST_LIFE)
    return replace(cookie, domain=domain, host_only=host_only, expiry_time=expiry)


def _count(name: str, value: int) -> int:
    if type(value) is not int or value < 1:
        raise OptionError(name, "a whole number >= 1", value)
    return value
