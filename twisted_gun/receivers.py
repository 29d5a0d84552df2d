"""
Who is told things: the no-op base, the adapter of plain callables, and the mailbox, which keeps what it is told until it is awaited.

The mailbox knows no connection. It is handed what it needs: how to hold the peer back, and a clock's deadlines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twisted_gun.errors import BadState, GunError, OptionError, TimedOut, UpgradeRefused
from twisted_gun.events import Data, Down, Error, Event, Headers, Inform, Notify, Response, Trailers, Up, Upgrade
from twisted_gun.interfaces import IReceiver

__all__ = ["Mailbox", "Receiver", "as_receiver"]

_METHODS = tuple(IReceiver.names())


@implementer(IReceiver)
class Receiver:
    """A receiver that does nothing; override the methods of the events you want."""

    def gun_up(self, event: Up) -> None:
        """The connection is up."""

    def gun_down(self, event: Down) -> None:
        """The connection is down."""

    def gun_notify(self, event: Notify) -> None:
        """Something about the connection."""

    def gun_error(self, event: Error) -> None:
        """A stream has ended by an error, or the connection met one."""

    def gun_inform(self, event: Inform) -> None:
        """An interim response."""

    def gun_response(self, event: Response) -> None:
        """The head of the final response."""

    def gun_data(self, event: Data) -> None:
        """A piece of the response's content."""

    def gun_trailers(self, event: Trailers) -> None:
        """The trailer fields."""

    def gun_upgrade(self, event: Upgrade) -> None:
        """The server switched protocols."""


class _Callable:
    """A receiver that calls a function with each event."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function


def _call(self: _Callable, event: Any) -> None:
    self.function(event)


for _name in _METHODS:
    setattr(_Callable, _name, _call)


def as_receiver(option: str, receiver: Any) -> Any:
    """`receiver` as an `IReceiver`: it is one, or has its methods, or is called with each event. Raises `OptionError`."""
    if receiver is None or IReceiver.providedBy(receiver) or all(hasattr(receiver, name) for name in _METHODS):
        return receiver
    if callable(receiver):
        return _Callable(receiver)
    raise OptionError(option, "an IReceiver, a callable, or None", receiver)


class _Watch(Protocol):
    """The part of `net.timer.Deadlines` that a mailbox uses."""

    def set(self, key: Any, seconds: float, expired: Callable[[], None]) -> None: ...

    def clear(self, key: Any) -> None: ...


#: Unread events of about this many bytes make the mailbox hold the peer back, and half as many let it go on.
_FULL = 64 * 1024
#: What an event takes besides its data.
_EVENT_SIZE = 256


class Mailbox:
    """
    The receiver of a stream that has no other: it keeps events until somebody awaits them.

    One may be awaited at a time. `hold` is called with True when more is unread than should be, with False when there is room again.
    Cancelling a Deferred, or its timing out, only stops the waiting: nothing that was told is lost by it.
    """

    __slots__ = (
        "_deferred",
        "_ended",
        "_error",
        "_events",
        "_held",
        "_hold",
        "_parts",
        "_seconds",
        "_unread",
        "_want",
        "_watch",
        "trailers",
    )

    def __init__(self, watch: _Watch, hold: Callable[[bool], None]) -> None:
        self._watch = watch
        self._hold = hold
        self._events: deque[Event] = deque()
        self._deferred: Deferred[Any] | None = None
        self._want: Callable[[Mailbox, Any], bool] | None = None  # takes an event, and says whether it did
        self._seconds: float | None = None
        self._parts: list[bytes] = []  # of the content that await_body has taken so far
        self._unread = 0
        self._held = False
        self._ended = False
        self._error: GunError | None = None
        #: The trailer fields, once they were told to `await_body`.
        self.trailers: Headers = ()

    # Being told.

    def receive(self, event: Any) -> bool:
        """Take `event`; whether it is kept, because nobody awaits it."""
        if event.fin:
            self._ended = True
            self._error = getattr(event, "reason", None) if type(event) is Error else None
        want = self._want
        if want is not None and want(self, event):
            return False
        self._events.append(event)
        self._count(len(event.data) if type(event) is Data else 0, 1)
        return True

    def _count(self, size: int, events: int) -> None:
        self._unread += (size + _EVENT_SIZE) * events
        if not self._held and self._unread >= _FULL and not self._ended:
            self._held = True
            self._hold(True)
        elif self._held and self._unread <= _FULL // 2:
            self._held = False
            if not self._ended:
                self._hold(False)

    # Awaiting.

    def await_event(self, timeout: float | None) -> Deferred[Event]:
        """Whatever comes next."""
        return self._await(Mailbox._take_event, timeout)

    def await_response(self, timeout: float | None) -> Deferred[Response]:
        """The final response; interim ones are passed over."""
        return self._await(Mailbox._take_response, timeout)

    def await_upgrade(self, timeout: float | None) -> Deferred[Upgrade]:
        """The upgrade; a response instead of it fails with `UpgradeRefused`."""
        return self._await(Mailbox._take_upgrade, timeout)

    def await_body(self, timeout: float | None) -> Deferred[bytes]:
        """The rest of the content; `timeout` runs anew with each event."""
        if self._ended and not self._events and self._error is None and self._deferred is None:
            return succeed(self._taken_parts())
        return self._await(Mailbox._take_body, timeout)

    def next_event(self) -> Event | None:
        """The next event if it is there already."""
        return self._pop() if self._events and self._deferred is None else None

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come and all was read."""
        return self._ended and not self._events

    def flush(self) -> None:
        """Drop what is unread."""
        self._events.clear()
        self._parts.clear()
        self._count(0, 0)
        self._unread = 0
        self._count(0, 0)

    def _await(self, want: Callable[[Mailbox, Any], bool], timeout: float | None) -> Deferred[Any]:
        if self._deferred is not None:
            raise BadState("this stream is being awaited already; one await at a time")
        result: Deferred[Any] = Deferred(self._cancelled)
        self._deferred, self._want, self._seconds = result, want, timeout
        while self._want is not None and self._events and self._want(self, self._events[0]):
            self._pop()
        if self._deferred is result:
            if self._ended and not self._events:
                self._finish()
                return fail(self._error or BadState("the stream has ended: nothing more will come"))
            if timeout is not None:
                self._watch.set(self, timeout, self._expired)
        return result

    def _pop(self) -> Event:
        event = self._events.popleft()
        self._count(len(event.data) if type(event) is Data else 0, -1)
        return event

    # Takers: each is offered an event, may end the waiting, and says whether the event is used up.

    def _take_event(self, event: Any) -> bool:
        if type(event) is Error:
            self._fail(event.reason)
        else:
            self._succeed(event)
        return True

    def _take_response(self, event: Any) -> bool:
        kind = type(event)
        if kind is Response:
            self._succeed(event)
        elif kind is Error:
            self._fail(event.reason)
        elif kind is not Inform:
            self._fail(BadState(f"no response comes any more: the next event is a {kind.__name__}"))
            return False
        return True

    def _take_upgrade(self, event: Any) -> bool:
        kind = type(event)
        if kind is Upgrade:
            self._succeed(event)
        elif kind is Response:
            self._fail(UpgradeRefused(f"the server answered the upgrade with status {event.status}", event))
        elif kind is Error:
            self._fail(event.reason)
        elif kind is not Inform:
            self._fail(BadState(f"no upgrade comes any more: the next event is a {kind.__name__}"))
            return False
        return True

    def _take_body(self, event: Any) -> bool:
        kind = type(event)
        if kind is Error:
            self._fail(event.reason)
            return True
        if kind is Data and event.data:
            self._parts.append(event.data)
        if event.fin:
            if kind is Trailers:
                self.trailers = event.headers
            self._succeed(self._taken_parts())
        elif self._seconds is not None:
            self._watch.set(self, self._seconds, self._expired)
        return True

    def _taken_parts(self) -> bytes:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    # The end of the waiting.

    def _finish(self) -> Deferred[Any]:
        deferred, self._deferred, self._want = self._deferred, None, None
        if self._seconds is not None:
            self._watch.clear(self)
        assert deferred is not None
        return deferred

    def _succeed(self, result: Any) -> None:
        self._finish().callback(result)

    def _fail(self, reason: GunError) -> None:
        self._finish().errback(reason)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        if self._deferred is deferred:
            self._finish()

    def _expired(self) -> None:
        stages = {Mailbox._take_response: "response", Mailbox._take_body: "body", Mailbox._take_upgrade: "upgrade"}
        stage = stages.get(self._want, "event") if self._want is not None else "event"
        seconds = self._seconds
        message = f"nothing came from the server within {seconds} seconds (awaiting the {stage}); the stream lives on: await it again"
        self._fail(TimedOut(stage, seconds, message))
