"""Cookies that outlive the process: a store that is read from a file at the start, and saved now and then, and at the end."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twisted_gun.cookies import Cookie, CookieStore

__all__ = ["CookieFile"]


class CookieFile(Service):
    """
    The `store` in the file at `path`, which need not be there yet; it is looked at every so many seconds whether there is anything to save.

    Those of this session are saved too: what runs for ever has but one. Raises `CookieFileError` and OSError for a file that is no good.
    """

    def __init__(self, path: str, every: float, reactor: Any) -> None:
        self.store = CookieStore()
        self._path = path
        self._every = every
        self._reactor = reactor
        self._looks: LoopingCall | None = None
        self._failure: str | None = None
        try:
            self.store.load(path)
        except FileNotFoundError:
            pass
        self._saved = self._now()

    def startService(self) -> None:
        Service.startService(self)
        self._looks = LoopingCall(self.save)
        self._looks.clock = self._reactor
        self._looks.start(self._every, now=False)

    def stopService(self) -> None:
        Service.stopService(self)
        looks, self._looks = self._looks, None
        if looks is not None and looks.running:
            looks.stop()
        self.save()

    def save(self) -> None:
        """Save what has changed; where that fails it is logged, once, and tried again the next time."""
        now = self._now()
        if now == self._saved:
            return
        try:
            self.store.save(self._path, session=True)
        except OSError as error:
            reason = str(error.strerror or error)
            if reason != self._failure:  # once, not at each look
                _log.error("the cookies cannot be saved to {path}: {reason}", path=self._path, reason=reason)
            self._failure = reason
        else:
            self._saved, self._failure = now, None

    def _now(self) -> list[Cookie]:
        return list(self.store)


_log = Logger()
