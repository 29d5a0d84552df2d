"""
One request, from when it is asked for until its answer begins: whether it is sent again, and who is told then.

It knows neither connections nor queues, only whom to ask for the stream (`Asking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from twisted_gun.connection import Connection
from twisted_gun.errors import GoAway, GunError, StreamClosed, StreamRefused
from twisted_gun.events import Error, Inform, Response, Upgrade
from twisted_gun.headers import check_method
from twisted_gun.pool.checkouts import Verb
from twisted_gun.receivers import Receiver
from twisted_gun.stream import Stream

__all__ = ["Asked", "Asking", "Producer"]


class Asking(Interface):
    """Whom a request is asked of."""

    @property
    def ending(self) -> bool:
        """Whether nothing new is asked any more."""

    def ask(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Stream | Deferred[Stream]:
        """The stream of a request, or the Deferred of that; raises as the verb does."""

    def ask_again(self, lost: bool) -> None:
        """A request is about to be sent once more; `lost` says whether that is because its connection was."""

    def given_up(self) -> None:
        """What has waited does so no longer; there may be nothing left to do."""


#: RFC 9110 section 9.2.2.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
#: How often a request may be refused by a server that takes others, or none, and is sent again.
_MOST_REFUSALS = 2


class Asked(Receiver):
    """One request, and who is told of its answer; it is told of the stream until the answer begins, and is sent again if need be."""

    def __init__(self, asking: Asking, arguments: tuple[Any, ...], reply_to: Any, options: dict[str, Any]) -> None:
        self._asking = asking
        self._arguments = arguments
        self._reply_to = reply_to
        self._options = options
        #: Of the stream; None once it has fired.
        self.deferred: Deferred[Stream] | None = Deferred(self._cancelled)
        #: Whether the connection that it was given was kept from before.
        self.kept = False
        self._stream: Stream | None = None
        self._waiting: Deferred[Stream] | None = None
        self._refusals = 0
        self._lost = self._informed = False

    def ask(self) -> None:
        """Send it, or wait until it can be sent."""
        try:
            given = self._asking.ask(Connection.request, self._arguments, {**self._options, "reply_to": self})
        except Exception:  # one way for all that may be wrong with a request: who waits is told likewise
            self._not_sent(Failure())
            return
        if isinstance(given, Stream):
            self._sent(given)
        else:
            self._waiting = given
            given.addCallbacks(self._sent, self._not_sent)

    def _sent(self, stream: Stream) -> None:
        if not stream.ended:  # else it may have been asked for again already
            self._waiting, self._stream = None, stream

    def _not_sent(self, failure: Failure) -> None:
        self._waiting = None
        self._asking.given_up()
        self._failed(failure)

    def _failed(self, failure: Failure | GunError) -> None:
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(failure)

    def _cancelled(self, _: Deferred[Stream]) -> None:
        self.deferred = None
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._stream is not None:
            self._stream.cancel()

    # From the stream.

    def gun_inform(self, event: Inform) -> None:
        self._informed = True
        if self._reply_to is not None:
            self._reply_to.gun_inform(event)
        else:
            event.stream._receive(event)

    def gun_response(self, event: Response) -> None:
        self._answered(event)

    def gun_upgrade(self, event: Upgrade) -> None:
        self._answered(event)

    def gun_error(self, event: Error) -> None:
        self._stream = None
        if self._may_send_again(event.reason):
            self._asking.ask_again(lost=self._lost)
            self.ask()
        else:
            self._failed(event.reason)

    def _answered(self, event: Any) -> None:
        stream: Stream = event.stream
        stream._receiver = self._reply_to
        try:
            if self._reply_to is not None:
                getattr(self._reply_to, event.told_as)(event)
            elif stream._receive(event) and event.fin:
                stream.connection._turn.kept.append(stream)
        finally:
            deferred, self.deferred = self.deferred, None
            if deferred is not None:
                deferred.callback(stream)

    def _may_send_again(self, reason: GunError) -> bool:
        method, _, _, body = self._arguments
        if self._asking.ending or self.deferred is None or (isinstance(body, Producer) and body.begun):
            return False
        if isinstance(reason, GoAway) and reason.last_stream_id > 0:
            return True  # the server has taken others before it went, so that this comes to an end
        if isinstance(reason, (StreamRefused, GoAway)):
            self._refusals += 1
            return self._refusals <= _MOST_REFUSALS
        lost_before, self._lost = self._lost, type(reason) is StreamClosed
        return self._lost and self.kept and not (lost_before or self._informed) and check_method(method) in _IDEMPOTENT


@implementer(IBodyProducer)
class Producer:
    """The producer of a request's content, and whether it has begun: then there is no way to have it begin anew."""

    def __init__(self, producer: Any) -> None:
        self.length = producer.length
        self.begun = False
        self._producer = producer
        self.pauseProducing: Callable[[], None] = producer.pauseProducing
        self.resumeProducing: Callable[[], None] = producer.resumeProducing
        self.stopProducing: Callable[[], None] = producer.stopProducing

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.begun = True
        started: Deferred[None] = self._producer.startProducing(consumer)
        return started
