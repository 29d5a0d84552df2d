"""Producers for tests: each keeps what it was asked, and writes when told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

#: More bytes than a memory transport takes in one go: whoever writes them is paused.
MUCH = b"x" * 300_000


class Asked:
    """Keeps the names of the methods that were called, in order; `react` is called with each."""

    def __init__(self, react: Callable[[str], object] | None = None) -> None:
        self.asked: list[str] = []
        self._react = react

    def _was_asked(self, name: str) -> None:
        self.asked.append(name)
        if self._react is not None:
            self._react(name)

    def pauseProducing(self) -> None:
        self._was_asked("pause")

    def resumeProducing(self) -> None:
        self._was_asked("resume")

    def stopProducing(self) -> None:
        self._was_asked("stop")


@implementer(IPushProducer)
class Push(Asked):
    """A streaming producer, which the test makes write."""


@implementer(IPullProducer)
class Pull(Asked):
    """Writes one of `pieces` each time it is asked, and ends the content with the last."""

    def __init__(self, stream: Any, pieces: list[bytes]) -> None:
        super().__init__()
        self._stream, self._pieces = stream, pieces

    def resumeProducing(self) -> None:
        self._was_asked("resume")
        self._stream.data(self._pieces.pop(0), fin=not self._pieces)
        if not self._pieces:
            self._stream.unregisterProducer()


@implementer(IBodyProducer)
class Body(Asked):
    """A request's content, which the test writes and finishes by hand."""

    def __init__(self, length: Any = UNKNOWN_LENGTH, react: Callable[[str], object] | None = None) -> None:
        super().__init__(react)
        self.length = length
        self.consumer: Any = None
        self.finished: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        self._was_asked("start")
        return self.finished
