"""
Who is told what happens: the counts, the output, and the receiver of the user's own, in this order.

Here streams are held back while the output is full. And here attempts to connect are watched, of which no receiver is told.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from twisted.logger import Logger
from zope.interface import implementer

from twisted_gun import observations
from twisted_gun.errors import ConnectFailed
from twisted_gun.events import Down, Error, Up
from twisted_gun.gunclient.counts import Counts
from twisted_gun.gunclient.output import Output
from twisted_gun.gunclient.records import Records
from twisted_gun.interfaces import IReceiver
from twisted_gun.observers import EventHandler
from twisted_gun.stream import Stream

__all__ = ["Audience", "Attempts"]


@implementer(IReceiver)
class Audience:  # type: ignore[misc]  # its methods are made below, from the interface
    """
    A receiver of everything; `receiver` is one of the user's own, or None, and so is `output`, which may be set later.

    Where the user's receiver raises, so does this: its stream ends then, as any receiver's.
    """

    def __init__(self, counts: Counts, records: Records, receiver: Any) -> None:
        self.output: Output | None = None
        self.counts = counts
        self.records = records
        self._receiver = receiver
        self._held: WeakSet[Stream] = WeakSet()

    @property
    def full(self) -> bool:
        """Whether the output takes nothing just now."""
        return self.output is not None and self.output.full

    def tell(self, event: Any) -> None:
        """Tell of `event`."""
        self.counts.count(event)
        if self.output is not None:
            self.output.write(self.records.of(event))
        _log_connection(event)
        self._hold(event)
        if self._receiver is not None:
            getattr(self._receiver, event.told_as)(event)

    def say(self, event: str, **fields: Any) -> None:
        """Write a line about what is no event of the package's."""
        if self.output is not None:
            self.output.write(self.records.line(event, **fields))

    def requested(self, stream: Stream, method: str, path: str) -> None:
        """Write a line about a request that was made."""
        if self.output is not None:
            self.output.write(self.records.request(stream, method, path))

    def output_changed(self) -> None:
        """The output is full, or no longer."""
        if not self.full:
            held, self._held = list(self._held), WeakSet()
            for stream in held:
                if not stream.ended:
                    stream._hold(False)

    def _hold(self, event: Any) -> None:
        stream = getattr(event, "stream", None)
        if stream is not None and not stream.ended and self.full and stream not in self._held:
            # Not by `flow`: that is not an event source's to give.
            self._held.add(stream)
            stream._hold(True)


def _tell(self: Audience, event: Any) -> None:
    self.tell(event)


for _name in IReceiver.names():
    setattr(Audience, _name, _tell)


def _log_connection(event: Any) -> None:
    if type(event) is Up:
        _log.info("{connection} is up: {protocol}", connection=event.connection, protocol=event.protocol)
    elif type(event) is Down:
        _log.info("{connection} is down: {reason}", connection=event.connection, reason=event.reason or "in good order")
    elif type(event) is Error and event.stream is None and not isinstance(event.reason, ConnectFailed):  # which is told at the end
        _log.error("{connection}: {reason}", connection=event.connection, reason=event.reason)


class Attempts(EventHandler):
    """Counts attempts to connect that fail, and logs the first of several in a row that fail alike."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def domain_lookup_end(self, event: observations.DomainLookup) -> None:
        """A name was looked up, or could not be."""
        self._ended("lookup", event)

    def connect_end(self, event: observations.Connecting) -> None:
        """A connection was made, or could not be."""
        self._ended("connect", event)

    def tls_handshake_end(self, event: observations.TlsHandshake) -> None:
        """TLS is spoken, or could not be."""
        self._ended("tls", event)

    def _ended(self, step: str, event: Any) -> None:
        reason = event.error
        if reason is None:
            return
        known = str(reason) == self._counts.last_failure
        self._counts.failed(step, reason)
        if not known:
            _log.warn("{connection}: {reason}", connection=event.connection, reason=reason)


_log = Logger()
