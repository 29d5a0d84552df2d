"""
Where cookies lie: found by host, by the names of secure ones, by what has expired, and by when they were used last.

No operation looks at all of them; whether a cookie would hide a Secure one is asked of those of its name. It keeps what it is given; which
cookies those may be, and how many, is for the store.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from twisted_gun.cookies.domains import domain_match, is_public_suffix, parent_domains, path_match
from twisted_gun.cookies.values import Cookie

__all__ = ["Entry", "Key", "Shelf", "key_of"]

#: "at most one such cookie": domain, host-only-flag, path, name.
Key = tuple[str, bool, str, bytes]

#: Expiries of cookies that are gone are forgotten once there are so many more than cookies.
_SPARE: Final = 64
_NONE: Final = OrderedDict[Key, "Entry"]()


def key_of(cookie: Cookie) -> Key:
    """What makes a cookie this one, and not another."""
    return cookie.domain, cookie.host_only, cookie.path, cookie.name


class Entry:
    """A `cookie` in its place; `turn` orders those that were created in the same moment."""

    __slots__ = ("cookie", "turn")

    def __init__(self, cookie: Cookie, turn: int) -> None:
        self.cookie = cookie
        self.turn = turn


class Shelf:
    """The cookies there are."""

    def __init__(self) -> None:
        # Both by last use, the earliest first; that is the order of use, whatever the clock did meanwhile.
        self._entries = OrderedDict[Key, Entry]()
        self._domains: dict[str, OrderedDict[Key, Entry]] = {}
        self._secure: dict[bytes, dict[Key, Entry]] = {}
        self._expiries: list[tuple[float, int, Key]] = []
        self._turns = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def in_order(self) -> list[Entry]:
        """All of them, in the order of their creation."""
        return sorted(self._entries.values(), key=lambda entry: (entry.cookie.creation_time, entry.turn))

    def by_use(self) -> list[Entry]:
        """All of them, the one that was used the longest time ago first."""
        return list(self._entries.values())

    def count(self, domain: str) -> int:
        """How many share the `domain`."""
        return len(self._domains.get(domain, ()))

    def put(self, cookie: Cookie) -> None:
        """Keep `cookie`, as the one that was used last, in the place of the one with the same key."""
        old = self.remove(key_of(cookie))
        if old is not None:
            # "Update the creation-time of the newly-created cookie to match the creation-time of the old-cookie."
            cookie = replace(cookie, creation_time=old.cookie.creation_time)
        self._turns += 1
        self.place(Entry(cookie, self._turns if old is None else old.turn))

    def place(self, entry: Entry) -> None:
        """Keep `entry`, whose key is not there, as the one that was used last."""
        cookie = entry.cookie
        key = key_of(cookie)
        self._turns = max(self._turns, entry.turn)
        self._entries[key] = entry
        self._domains.setdefault(cookie.domain, OrderedDict())[key] = entry
        if cookie.secure_only:
            self._secure.setdefault(cookie.name, {})[key] = entry
        if cookie.expiry_time is not None:
            heapq.heappush(self._expiries, (cookie.expiry_time, self._turns, key))
            if len(self._expiries) > 2 * len(self._entries) + _SPARE:
                self._forget_expiries()

    def remove(self, key: Key) -> Entry | None:
        """Drop the cookie of `key`, and give it back if there was one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            _drop(self._domains, entry.cookie.domain, key)
            if entry.cookie.secure_only:
                _drop(self._secure, entry.cookie.name, key)
        return entry

    def for_request(self, host: str, paths: Sequence[str], secure: bool) -> list[Entry]:
        """Those for a host and any of `paths`, the longest path first, and of the same length those created first (section 5.8.3)."""
        found = [
            entry
            for entry in self._in_reach(host)
            # "If the cookie's secure-only-flag is true, then the retrieval's URI must denote a "secure" connection"; "The retrieval's
            # URI's path path-matches the cookie's path."
            if (secure or not entry.cookie.secure_only) and any(path_match(path, entry.cookie.path) for path in paths)
        ]
        # "Cookies with longer paths are listed before cookies with shorter paths. Among cookies that have equal-length path fields,
        # cookies with earlier creation-times are listed before cookies with later creation-times."
        found.sort(key=lambda entry: (-len(entry.cookie.path), entry.cookie.creation_time, entry.turn))
        return found

    def _in_reach(self, host: str) -> Iterator[Entry]:
        # "The cookie's host-only-flag is true and retrieval-host-canonical is identical to the cookie's domain."
        yield from (entry for entry in self._domains.get(host, _NONE).values() if entry.cookie.host_only)
        # "The cookie's host-only-flag is false and retrieval-host-canonical domain-matches the cookie's domain. The cookie's domain is
        # not a public suffix": as it may have become since.
        for domain in (host, *parent_domains(host)):
            wide = [entry for entry in self._domains.get(domain, _NONE).values() if not entry.cookie.host_only]
            if wide and not is_public_suffix(domain):
                yield from wide

    def use(self, entry: Entry, now: float) -> None:
        """Note that `entry` was used `now`."""
        key = key_of(entry.cookie)
        entry.cookie = entry.cookie.used(now)
        self._entries.move_to_end(key)
        self._domains[entry.cookie.domain].move_to_end(key)

    def overlays_secure(self, cookie: Cookie) -> bool:
        """Whether `cookie` would hide a secure one of the same name (section 5.7 step 16)."""
        return any(
            # "Their domain domain-matches the domain of the newly-created cookie, or vice-versa. The path of the newly-created cookie
            # path-matches the path of the existing cookie."
            (domain_match(old.cookie.domain, cookie.domain) or domain_match(cookie.domain, old.cookie.domain))
            and path_match(cookie.path, old.cookie.path)
            for old in self._secure.get(cookie.name, {}).values()
        )

    def expire(self, now: float) -> None:
        """Drop what has expired."""
        while self._expiries and self._expiries[0][0] <= now:
            expiry, _, key = heapq.heappop(self._expiries)
            entry = self._entries.get(key)
            if entry is not None and entry.cookie.expiry_time == expiry:
                self.remove(key)

    def evict_from(self, domain: str) -> None:
        """Drop one of those that share `domain`: "Cookies whose secure-only-flag is false" first, of these the one least recently used."""
        keys = self._domains[domain]
        self.remove(next((key for key, entry in keys.items() if not entry.cookie.secure_only), next(iter(keys))))

    def evict(self) -> None:
        """Drop one of all: "the user agent MUST evict the cookie with the earliest last-access-time first"."""
        self.remove(next(iter(self._entries)))

    def _forget_expiries(self) -> None:
        times = ((entry.cookie.expiry_time, entry.turn, key) for key, entry in self._entries.items())
        self._expiries = [(time, turn, key) for time, turn, key in times if time is not None]
        heapq.heapify(self._expiries)


def _drop(index: dict[str, OrderedDict[Key, Entry]] | dict[bytes, dict[Key, Entry]], name: str | bytes, key: Key) -> None:
    keys = index[name]  # type: ignore[index]
    del keys[key]
    if not keys:
        del index[name]  # type: ignore[arg-type]
