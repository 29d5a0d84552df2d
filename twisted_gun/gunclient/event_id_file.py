"""The identifier of the last event, which outlives the process: the next one goes on behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted_gun.atomic import write_atomically
from twisted_gun.errors import OptionError
from twisted_gun.event_source_request import check_id
from twisted_gun.gunclient.saved import Saved

__all__ = ["EventIdFile", "Progress"]

#: Seconds between two looks whether it is another one.
_EVERY = 5.0
#: Bytes of the longest identifier that is kept.
_MOST = 64 * 1024


class Progress(NamedTuple):
    """How far the events have come: the `identifier` of the last one, how many lines there are of all, and how many were `written`."""

    identifier: str
    lines: int = 0
    written: int = 0


class EventIdFile(Saved):
    """
    The `identifier` in the file at `path`, which need not be there yet; `progress` says how far things are.

    It is that of the last event of which the line was written, as those of all before it were: to have an event twice, after a crash, is
    better than not at all. Raises `OptionError` and OSError for a file that is no good.
    """

    what = "the last event's identifier"

    def __init__(self, path: str, reactor: Any, progress: Callable[[], Progress]) -> None:
        super().__init__(path, _EVERY, reactor)
        self.identifier = self.saved = _read(path)
        self._progress = progress
        self._marks: deque[Progress] = deque()  # identifiers that wait for lines to be written

    def note(self) -> None:
        """An event was told. The first is saved at once: without a file the next process would have to begin anew."""
        self._catch_up()
        if self.identifier and not self.saved:
            self.save()

    def stopService(self) -> None:
        super().stopService()
        self._marks.clear()  # what has not been written by now never is

    def now(self) -> str:
        self._catch_up()
        return self.identifier

    def write(self, value: str) -> None:
        write_atomically(self.path, f"{value}\n".encode())

    def _catch_up(self) -> None:
        progress, marks = self._progress(), self._marks
        while marks and marks[0].lines <= progress.written:
            self.identifier = marks.popleft().identifier
        latest = marks[-1].identifier if marks else self.identifier
        if progress.identifier == latest or len(progress.identifier.encode()) > _MOST:
            return
        if progress.written < progress.lines:
            marks.append(progress)
        else:
            self.identifier = progress.identifier


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST + 2)
    except FileNotFoundError:
        return ""
    try:
        line = data.removesuffix(b"\n")
        if len(line) > _MOST:
            raise ValueError("no identifier is that long")
        return check_id(line.decode("utf-8"))
    except ValueError:  # `OptionError` is one
        raise OptionError("last-event-id", f"{path} to hold the identifier of an event, on one line") from None
