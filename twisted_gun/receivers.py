"""
Who is told things: the no-op base, the adapter of plain callables, and the mailbox, which keeps what it is told until it is awaited.

The mailbox is the base of `Stream`, so that a stream without a receiver costs no second object. It knows no connection and no
clock: how the peer is held back, the time watched and a Deferred fired is left to the heir.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import (
    BadState,
    ConnectFailed,
    ConnectionFailed,
    GunError,
    OptionError,
    ShuttingDown,
    StreamError,
    TimedOut,
    TlsFailed,
    UpgradeRefused,
)
from twisted_gun.events import (
    Binary,
    Data,
    Down,
    Error,
    Event,
    Headers,
    Inform,
    Notify,
    Push,
    Response,
    Sse,
    SseEvent,
    Text,
    Trailers,
    TunnelUp,
    Up,
    Upgrade,
    Ws,
)
from twisted_gun.interfaces import IReceiver

__all__ = ["Mailbox", "Receiver", "as_receiver", "check_timeout", "run_hook", "size_of_sse"]

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

    def gun_push(self, event: Push) -> None:
        """The server promises a response."""

    def gun_upgrade(self, event: Upgrade) -> None:
        """The server switched protocols."""

    def gun_tunnel_up(self, event: TunnelUp) -> None:
        """A tunnel is up."""

    def gun_ws(self, event: Ws) -> None:
        """A frame of the websocket."""

    def gun_sse(self, event: Sse) -> None:
        """An event of an event stream."""


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
    if receiver is None or isinstance(receiver, Receiver):
        return receiver
    if isinstance(receiver, type) or iscoroutinefunction(receiver):
        raise OptionError(option, "an instance, or a callable that is not a coroutine function: nobody would await it", receiver)
    if IReceiver.providedBy(receiver) or all(hasattr(receiver, name) for name in _METHODS):
        return receiver
    if callable(receiver):
        return _Callable(receiver)
    raise OptionError(option, "an IReceiver, a callable, or None", receiver)


def check_timeout(timeout: float | None) -> None:
    """Raises `OptionError` unless `timeout` can be waited for, before anything waits."""
    if timeout is not None and not (isinstance(timeout, (int, float)) and 0 <= timeout < math.inf):
        raise OptionError("timeout", "seconds, a number >= 0, or None for no limit", timeout)


def run_hook(hook: Callable[[Any], object], told: Any) -> None:
    """
    Call `hook` with `told`; a coroutine that it gives is run.

    What it raises is logged: as a failure, but for the end of a connection, of which its owner is told.
    """
    try:
        result = hook(told)
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
    except Exception:
        _hook_failed(Failure(), hook)
    else:
        if isinstance(result, Deferred):
            result.addErrback(_hook_failed, hook)


#: What ended the connection, or a stream with it, its owner is told anyway.
_TOLD_OF = (ConnectFailed, ConnectionFailed, ShuttingDown, StreamError, TimedOut, TlsFailed)


def _hook_failed(failure: Failure, hook: object) -> None:
    if failure.check(*_TOLD_OF):
        _log.debug("{hook} ended: {reason}", hook=hook, reason=failure.value)
    else:
        _log.failure("{hook} raised", failure, hook=hook)


#: Unread events of about this many bytes make the mailbox hold the peer back, and half as many let it go on.
_FULL = 64 * 1024
#: What an event takes besides its data.
_EVENT_SIZE = 256

_Want = Callable[["Mailbox", Any], bool]


class Mailbox:
    """
    The receiver that a stream without any other is to itself: it keeps events until somebody awaits them.

    One may be awaited at a time. What it cannot do alone its heir does: `_hold` the peer back, `_watch` the time, `_wake` who awaits.
    Cancelling a Deferred, or its timing out, only stops the waiting: nothing that was told is lost by it.
    """

    # Values that most streams never change are the class's, so that making a stream stays cheap.
    _events: deque[Event] | None = None
    _deferred: Deferred[Any] | None = None
    _want: _Want | None = None  # takes an event, and says whether it did
    _seconds: float | None = None
    _parts: list[bytes] | None = None  # of the content that await_body has taken so far
    _unread = 0
    _held = False
    _told_all = False
    _error: GunError | None = None
    _trailers: Headers = ()

    # What the heir does.

    def _hold(self, held: bool) -> None:
        """Hold the peer back, or let it go on."""
        raise NotImplementedError

    def _watch(self, seconds: float | None) -> None:
        """Call `_expired` after `seconds`; with None, do not."""
        raise NotImplementedError

    def _wake(self, deferred: Deferred[Any], result: object) -> None:
        """Fire `deferred` at the end of the turn."""
        raise NotImplementedError

    def _unwake(self, deferred: Deferred[Any]) -> object:
        """Do not fire `deferred`, which was cancelled in the turn that woke it; what it was to get."""
        raise NotImplementedError

    # Being told.

    def _receive(self, event: Any) -> bool:
        """Take `event`; whether it is kept, because nobody awaits it."""
        if event.fin:
            self._told_all = True
            self._error = event.reason if type(event) is Error else None
        want = self._want
        # Never past what waits already: to take that may bring more, even while it is being taken.
        if want is not None and not self._events and want(self, event):
            return False
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        self._count(_size(event))
        return True

    def _stop(self, reason: GunError) -> None:
        """Nothing more will be told, though no event said so: who awaits something fails with `reason`."""
        if not self._told_all:
            self._told_all = True
            self._error = reason
            if self._deferred is not None:
                self._finish(reason)

    def _put_back(self, result: Any) -> None:
        """What a Deferred was to get that was cancelled."""
        if isinstance(result, bytes):
            result = Data(stream=self, fin=True, data=result)  # type: ignore[arg-type]
        if not isinstance(result, GunError):
            self._events = self._events or deque()
            self._events.appendleft(result)
            self._count(_size(result))

    def _count(self, size: int) -> None:
        self._unread += size
        if not self._held:
            if self._unread >= _FULL and not self._told_all:
                self._held = True
                self._hold(True)
        elif self._unread <= _FULL // 2:
            self._held = False
            if not self._told_all:
                self._hold(False)

    def _discard(self) -> None:
        """Nobody reads any more: drop what is unread and whatever comes, so that it holds back nothing behind it."""
        if self._deferred is None:
            self._want = Mailbox._take_nothing
            self._drop_unread()

    def _take_nothing(self, event: Any) -> bool:
        return True

    # Awaiting.

    def _await(self, want: _Want, timeout: float | None) -> Deferred[Any]:
        check_timeout(timeout)
        if self._deferred is not None:
            raise BadState("this stream is being awaited already; one await at a time")
        self._want = want
        while self._events:
            if want(self, self._events[0]):
                self._pop()
            if self._want is None:
                return self._found()
        if self._told_all:
            return self._at_end(want)
        self._deferred = Deferred(self._cancelled)
        self._seconds = timeout
        if timeout is not None:
            self._watch(timeout)
        return self._deferred

    def _found(self) -> Deferred[Any]:
        """What was there already."""
        result, self._result = self._result, None
        return fail(result) if isinstance(result, GunError) else succeed(result)

    _result: Any = None

    def _at_end(self, want: _Want) -> Deferred[Any]:
        self._want = None
        if self._error is not None:
            return fail(self._error)
        if want is Mailbox._take_body:
            return succeed(self._taken_parts())
        return fail(BadState("the stream has ended: nothing more will come"))

    def _next_event(self) -> Event | None:
        """The next event if it is there already."""
        return self._pop() if self._events and self._deferred is None else None

    @property
    def _read_all(self) -> bool:
        """Whether nothing more will come and all was read."""
        return self._told_all and not self._events and self._error is None

    def _drop_unread(self) -> None:
        self._events = self._parts = None
        self._count(-self._unread)

    def _pop(self) -> Event:
        assert self._events is not None
        event = self._events.popleft()
        self._count(-_size(event))
        return event

    # Takers: each is offered an event, may end the waiting, and says whether the event is used up.

    def _take_event(self, event: Any) -> bool:
        self._finish(event.reason if type(event) is Error else event)
        return True

    def _take_response(self, event: Any) -> bool:
        kind = type(event)
        if kind is Response:
            self._finish(event)
        elif kind is Error:
            self._finish(event.reason)
        elif kind is not Inform and kind is not Push:
            self._finish(BadState(f"no response comes any more: the next event is a {kind.__name__}"))
            return False
        return True

    def _take_upgrade(self, event: Any) -> bool:
        kind = type(event)
        if kind is Upgrade:
            self._finish(event)
        elif kind is Response:
            self._finish(UpgradeRefused(f"the server answered the upgrade with status {event.status}", event))
        elif kind is Error:
            self._finish(event.reason)
        elif kind is not Inform and kind is not Push:
            self._finish(BadState(f"no upgrade comes any more: the next event is a {kind.__name__}"))
            return False
        return True

    def _take_body(self, event: Any) -> bool:
        kind = type(event)
        if kind is Error:
            self._finish(event.reason)
            return True
        if kind is Ws or kind is Sse:
            self._finish(BadState("no content comes here: await_event gives the frames of a websocket, or the events that a server sends"))
            return False
        if kind is Data and event.data:
            if self._parts is None:
                self._parts = []
            self._parts.append(event.data)
        if event.fin:
            if kind is Trailers:
                self._trailers = event.headers
            self._finish(self._taken_parts())
        elif self._seconds is not None:
            self._watch(self._seconds)
        return True

    def _taken_parts(self) -> bytes:
        parts, self._parts = self._parts, None
        if not parts:
            return b""
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # The end of the waiting.

    def _finish(self, result: object) -> None:
        """End the waiting with `result`, an exception if it is one; nobody waits yet where it was there already."""
        deferred, self._deferred, self._want = self._deferred, None, None
        if deferred is None:
            self._result = result
            return
        if self._seconds is not None:
            self._seconds = None
            self._watch(None)
        self._wake(deferred, result)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        if self._deferred is deferred:
            self._deferred = self._want = None
            self._seconds = None
            self._watch(None)
            self._put_back_parts()
        else:  # at once, for whatever is awaited next in this turn
            self._put_back(self._unwake(deferred))

    def _put_back_parts(self) -> None:
        """What await_body has taken and will not give is for whatever is awaited next."""
        if self._parts:
            self._put_back(Data(stream=self, fin=False, data=self._taken_parts()))  # type: ignore[arg-type]

    def _expired(self, circumstances: str = "") -> None:
        stages: dict[Any, str] = {
            Mailbox._take_response: "response",
            Mailbox._take_body: "body",
            Mailbox._take_upgrade: "upgrade",
        }
        stage, seconds = stages.get(self._want, "event"), self._seconds
        self._put_back_parts()
        what = f"nothing came from the server within {seconds} seconds{circumstances}, awaiting the {stage}"
        self._finish(TimedOut(stage, seconds, f"{what}; the stream lives on: await it again"))


def size_of_sse(event: SseEvent) -> int:
    """How much an unread event of an event stream counts."""
    return _EVENT_SIZE + len(event.data or "") + len(event.event_type or "") + len(event.last_event_id)


def _size(event: Any) -> int:
    told: Any = event.frame if type(event) is Ws else event
    kind = type(told)
    if kind is Sse:
        return _EVENT_SIZE if told.event is None else size_of_sse(told.event)
    return _EVENT_SIZE + (len(told.data) if kind is Data or kind is Binary else len(told.text) if kind is Text else 0)


_log = Logger()
