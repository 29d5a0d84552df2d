"""The identifier of the last event, which outlives the process: the next one goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted_gun.atomic import write_atomically
from twisted_gun.errors import OptionError
from twisted_gun.event_source_request import check_id
from twisted_gun.gunclient.saved import Saved

__all__ = ["EventIdFile", "Progress"]

#: Seconds between two looks whether it is another one.
_EVERY = 5.0
#: No identifier in a file has more bytes.
_MOST = 64 * 1024


class Progress(NamedTuple):
    """How far the events have come: the `identifier` of the last one, how many lines there are of all, and how many were `written`."""

    identifier: str
    lines: int = 0
    written: int = 0


class EventIdFile(Saved):
    """
    The `identifier` in the file at `path`, which need not be there yet; `progress` says how far things are.

    It is saved only once all lines of the events up to it were written: to have an event twice, after a crash, is better than not at all.
    Raises `OptionError` and OSError for a file that is no good.
    """

    what = "the last event's identifier"

    def __init__(self, path: str, reactor: Any, progress: Callable[[], Progress]) -> None:
        super().__init__(path, _EVERY, reactor)
        self.identifier = self.saved = _read(path)
        self._progress = progress
        self._awaited: Progress | None = None  # to be saved once its lines are written

    def stopService(self) -> None:
        super().stopService()
        self._awaited = None  # whose lines are not counted after that

    def now(self) -> str:
        """The latest identifier whose events, and all before them, were written."""
        progress = self._progress()
        if self._awaited is not None and progress.written >= self._awaited.lines:
            self.identifier, self._awaited = self._awaited.identifier, None
        if progress.written >= progress.lines:
            self.identifier, self._awaited = progress.identifier, None
        elif self._awaited is None:
            self._awaited = progress
        return self.identifier

    def write(self, value: str) -> None:
        write_atomically(self.path, f"{value}\n".encode())


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        return ""
    try:
        if len(data) > _MOST:
            raise ValueError("no identifier is that long")
        return check_id(data.decode("utf-8").removesuffix("\n"))
    except ValueError:  # `OptionError` is one
        raise OptionError("last-event-id", f"{path} to hold the identifier of an event, on one line") from None
