"""The content of a request that asks first whether it is wanted: ``expect: 100-continue``, RFC 9110 section 10.1.1."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["Expecting"]


@implementer(IBodyProducer)
class Expecting:
    """
    `producer`, which starts when the server says so, or after `seconds`.

    RFC 9110: a client "SHOULD NOT wait for an indefinite period before sending the content".
    """

    def __init__(self, reactor: Any, producer: Any, seconds: float) -> None:
        self.length = producer.length
        self._reactor = reactor
        self._producer = producer
        self._seconds = seconds
        self._consumer: Any = None
        self._waiting: IDelayedCall | None = None
        self._wanted = self._started = self._paused = False
        self._finished: Deferred[Any] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[Any]:
        self._consumer = consumer
        self._waiting = self._reactor.callLater(self._seconds, self._waited)
        return self._finished

    def go_on(self) -> None:
        """The server wants the content."""
        if self._waiting is not None:
            self.give_up()
            self._waited()

    def give_up(self) -> None:
        """The server does not wait for the content: it has answered."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._started:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._started:
            self._producer.resumeProducing()
        elif self._wanted:
            self._start()

    def stopProducing(self) -> None:
        self.give_up()
        self._wanted = False
        if self._started:
            self._producer.stopProducing()

    def _waited(self) -> None:
        self._waiting = None
        self._wanted = True
        if not self._paused:
            self._start()

    def _start(self) -> None:
        self._started = True
        starting: Deferred[Any] = maybeDeferred(self._producer.startProducing, self._consumer)
        if starting.called and isinstance(starting.result, Failure):
            self._started = False  # there is nothing to stop
        starting.chainDeferred(self._finished)
