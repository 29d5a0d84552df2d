"""What outlives the process: it is looked at now and then whether a file has to be written, and at the end."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

__all__ = ["Saved"]


class Saved(Service):
    """
    Something that is kept in the file at `path`, and looked at every so many seconds.

    `now` gives what there is to save, `write` saves it, and `saved` is what the file holds. Where that fails it is logged, once, and tried
    again the next time.
    """

    #: What it is, in the log.
    what: str

    def __init__(self, path: str, every: float, reactor: Any) -> None:
        self.path = path
        self.saved: Any = None
        self._every = every
        self._reactor = reactor
        self._looks: LoopingCall | None = None
        self._failure: str | None = None

    def now(self) -> Any:
        """What there is to save."""
        raise NotImplementedError

    def write(self, value: Any) -> None:
        """Save `value`; raises OSError."""
        raise NotImplementedError

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
        """Save what has changed."""
        now = self.now()
        if now == self.saved:
            return
        try:
            self.write(now)
        except OSError as error:
            reason = str(error.strerror or error)
            if reason != self._failure:  # once, not at each look
                _log.error("{what} cannot be saved to {path}: {reason}", what=self.what, path=self.path, reason=reason)
            self._failure = reason
        else:
            self.saved, self._failure = now, None


_log = Logger()
