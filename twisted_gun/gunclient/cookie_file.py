"""Cookies that outlive the process: a store that is read from a file at the start, and saved now and then, and at the end."""

from __future__ import annotations

from typing import Any

from twisted_gun.cookies import Cookie, CookieStore
from twisted_gun.gunclient.saved import Saved

__all__ = ["CookieFile"]


class CookieFile(Saved):
    """
    The `store` in the file at `path`, which need not be there yet.

    Those of this session are saved too: what runs for ever has but one. Raises `CookieFileError` and OSError for a file that is no good.
    """

    what = "the cookies"

    def __init__(self, path: str, every: float, reactor: Any) -> None:
        super().__init__(path, every, reactor)
        self.store = CookieStore()
        try:
            self.store.load(path)
        except FileNotFoundError:
            pass
        self.saved = self.now()

    def now(self) -> list[Cookie]:
        return list(self.store)

    def write(self, value: list[Cookie]) -> None:
        self.store.save(self.path, session=True)
