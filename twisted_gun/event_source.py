"""
Events of a server, by URL, as browsers have them: `EventSource`, of the HTML standard's section "Server-sent events".

Which answers are event streams, when to ask again and what to say then is decided here. How bytes become events is in
`content_handlers`; each attempt is an ordinary request, on a connection that does not come back by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from twisted_gun.connection import Connection
from twisted_gun.content_handlers import SseHandler
from twisted_gun.errors import BadState, GunError, InvalidRequest, LimitReached, OptionError, StreamClosed, TimedOut
from twisted_gun.event_source_request import Asked, Dialling, check_id, first_asked, moved, sendable
from twisted_gun.events import Data, Error, Response, Sse, SseEvent, Trailers
from twisted_gun.headers import HeadersLike
from twisted_gun.net.timer import Deadlines
from twisted_gun.opening import open as dial
from twisted_gun.options import Options
from twisted_gun.receivers import Receiver, as_receiver, check_timeout, size_of_sse
from twisted_gun.responses import media_type, retry_after
from twisted_gun.route import log_raised
from twisted_gun.stream import Stream
from twisted_gun.waiters import Waiters
from twisted_gun.wire.decode import listed

__all__ = ["EventSource", "EventSourceFailed"]

#: An event stream that was open for so long was no failure, though it brought no event.
_STEADY_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})
# The HTML standard has browsers give up whatever is not 200. But nobody sits before a program who would load the page again, so what may
# pass by itself is waited for: RFC 9110 sections 15.5.9 and 15.6, RFC 6585 section 4.
_PASSING = frozenset({408, 429, *range(500, 600)}) - {501, 505}


class EventSourceFailed(GunError):
    """
    The server answered with what is no event stream, or with a redirect that is not followed.

    `response` is the `Response` that said so.
    """

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


class EventSource:
    """
    The events of the server at `url`, http or https: it connects at once, and again whenever the stream ends or is lost.

    Without `reply_to` events are kept until ``async for`` or `next_event` asks for them; many unread ones hold the server back. With one,
    an `IReceiver` or a callable, that is told: `Response` when a stream is open, `Sse` with each event, and `Sse` with None, or `Error`,
    when it is over; `ready_state` says then whether it will be tried again. `headers` go along with each request, and `last_event_id` says
    where to go on from. Other keywords are `EventSourceOptions` and the options of `twisted_gun.open`; of these `options` holds several.

    Raises `OptionError` and `InvalidRequest` at the call. What ends it for good is one of these, from a redirect; `EventSourceFailed`;
    `LimitReached`; or, where there is ``max_failures``, whatever the last attempt met.
    """

    #: "connecting", "open" or "closed", as in a browser.
    ready_state = "connecting"
    #: What the last attempt met, None where it went well.
    last_failure: GunError | None = None

    _waiter: Deferred[SseEvent] | None = None
    _size = 0  # of what is unread
    _full = False  # whether that is so much that the server is held back
    _due = False  # whether the next attempt waits for that to be read
    _connection: Connection | None = None
    _origin: tuple[bool, str, int] | None = None  # that it leads to
    _attempt: _Attempt | None = None  # the one that counts
    _redirects = 0
    _permanent = True  # whether all of them were
    _failures = 0  # in a row
    _useful = False  # whether the stream that is open has brought an event
    _opened_at = 0.0
    _reason: GunError | None = None

    def __init__(
        self,
        url: str,
        *,
        reactor: Any = None,
        reply_to: Any = None,
        headers: HeadersLike = (),
        last_event_id: str = "",
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._receiver = as_receiver("reply_to", reply_to)
        self._first = self._base = self._asked = first_asked(url, headers)
        #: That of the last event which was handed over, as far as it can be sent: what another source is given, later on, in order to go
        #: on from there.
        self.last_event_id = check_id(last_event_id)
        self._received_id = last_event_id  # what was received will not be asked for again, though it may be unread
        self._dialling = Dialling(options, keywords, (_Reader, {"source": self}))
        self._options = self._dialling.own
        #: How many seconds it waits before the next attempt, where nothing fails: the server's, or those given.
        self.retry: float = self._options.retry
        self._deadlines = Deadlines(reactor)
        self._unread: deque[SseEvent] = deque()
        self._connections: set[Connection] = set()  # those that have not ended
        self._end_waiters: Waiters[GunError | None] = Waiters()
        try:
            self._ask()
        except GunError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<EventSource {self._asked.place} {self.ready_state}>"

    @property
    def url(self) -> str:
        """Where the events come from, after redirects."""
        return self._asked.place.url

    # Reading.

    def next_event(self, timeout: float | None = None) -> Deferred[SseEvent]:
        """
        The next event, whatever becomes of the connection meanwhile.

        Fails with `TimedOut` after `timeout` seconds, which loses nothing; at the end with why it ended, or with `BadState` where that was
        well. Raises `BadState` while somebody else waits, and where events go to `reply_to`.
        """
        check_timeout(timeout)
        if self._receiver is not None:
            raise BadState("the events of this source go to its reply_to; nothing can be awaited here")
        if self._waiter is not None:
            raise BadState("this source is being awaited already; one await at a time")
        event = self._take()
        if event is not None:
            return succeed(event)
        if self.ready_state == "closed":
            return fail(self._reason or _closed())
        waiter = self._waiter = Deferred(self._cancelled)
        if timeout is not None:
            self._deadlines.set("event", timeout, lambda: self._timed_out(timeout))
        return waiter

    def __aiter__(self) -> EventSource:
        return self

    async def __anext__(self) -> SseEvent:
        try:
            return await self.next_event()
        except BadState:
            if self.ready_state == "closed" and self._reason is None and self._receiver is None:
                raise StopAsyncIteration from None
            raise

    def _take(self) -> SseEvent | None:
        """The first event that is unread."""
        event = None
        while event is None and self._unread:
            event = self._unread.popleft()
            self._size -= size_of_sse(event)
            if event.last_event_id != self.last_event_id and sendable(event.last_event_id):
                self.last_event_id = event.last_event_id
            event = None if event.data is None else event
        if self._full and self._size <= self._options.max_unread // 2:
            self._full = False
            self._go_on()
        return event

    def _go_on(self) -> None:
        """What is unread has become little."""
        due, self._due = self._due, False
        if due:
            self._ask()
        elif self._attempt is not None and self._attempt.response is not None:
            self._attempt.response.stream.update_flow(1)

    def _cancelled(self, _: Deferred[SseEvent]) -> None:
        self._waiter = None
        self._deadlines.clear("event")

    def _timed_out(self, seconds: float) -> None:
        waiter, self._waiter = self._waiter, None
        last = "" if self.last_failure is None else f"; the last attempt failed: {self.last_failure}"
        assert waiter is not None
        waiter.errback(TimedOut("event", seconds, f"no event came within {seconds} seconds (the source is {self.ready_state}{last})"))

    # The end.

    def close(self) -> None:
        """End at once; what is unread is dropped."""
        self._unread.clear()
        self._finish(None)

    def when_closed(self) -> Deferred[GunError | None]:
        """Fires once it has ended, and its connections with it: with why, or with None after `close`, or a 204 of the server's."""
        if self._over:
            return succeed(self._reason)
        return self._end_waiters.wait()

    @property
    def _over(self) -> bool:
        return self.ready_state == "closed" and not self._connections

    def _finish(self, reason: GunError | None) -> None:
        """Nothing more will come; `reason` is None where that is well."""
        if self.ready_state == "closed":
            return
        self.ready_state, self._reason, self._attempt = "closed", reason, None
        self._deadlines.stop()
        self._drop_connection()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.errback(reason or _closed())
        self._tell_of_end()

    def _tell_of_end(self) -> None:
        if self._over:
            self._end_waiters.fire(self._reason)

    # Asking.

    def _ask(self) -> None:
        """Begin anew, at the URL that was given, or where that has moved for good."""
        self._redirects, self._permanent = 0, True
        self._request(self._base)

    def _request(self, asked: Asked) -> None:
        self._asked = asked
        connection = self._connection
        fresh = connection is None or self._origin != asked.place.origin or connection.info().state_name == "terminated"
        if connection is None or fresh:
            self._drop_connection()
            connection = self._dial(asked)
        attempt = self._attempt = _Attempt(self, fresh)
        if connection.info().state_name == "terminated":  # its endpoint has failed at once
            connection.when_terminated().addCallback(partial(self._not_dialled, connection))
            return
        identifier = ((b"last-event-id", self._received_id.encode()),) if self._received_id else ()
        # Events are allowed one by one, as long as there is room for them.
        flow = 1 if self._receiver is None else None
        connection.request("GET", asked.place.path, (*asked.headers, *identifier), b"", reply_to=attempt, flow=flow)

    def _not_dialled(self, connection: Connection, reason: Any) -> None:
        """In a turn of its own: whoever made the source does not hold it yet."""
        error = Error(connection=connection, stream=None, reason=reason)
        self._deadlines.set("again", 0.0, lambda: self._lost(error))

    def _dial(self, asked: Asked) -> Connection:
        place = asked.place
        options = self._dialling.options(place, first=place.origin == self._first.place.origin)
        connection = dial(place.host, place.port, reactor=self._reactor, options=options)
        self._connection, self._origin = connection, place.origin
        self._connections.add(connection)
        connection.when_terminated().addCallback(lambda _: self._gone(connection))
        return connection

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._tell_of_end()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # What is answered.

    def _answered(self, response: Response) -> None:
        status = response.status
        if status == 200 and media_type(response.headers) == "text/event-stream":
            if self._dialling.decodes(listed(value for name, value in response.headers if name == b"content-encoding")):
                self._open(response)
            else:
                self._unreadable(response)
        elif status == 204:
            # The standard: "a client can be told to stop reconnecting using the HTTP 204 No Content response code."
            self._finish(None)
        elif status in _REDIRECTS:
            self._redirected(response)
        elif status in _PASSING:
            self._leave(response)
            failed = self._failed(f"status {status}", response)
            self._again(failed.reason, failed, retry_after(response.headers, datetime.now(UTC)) or 0.0)
        else:
            self._fail(self._failed("what is no text/event-stream" if status == 200 else f"status {status}", response))

    def _open(self, response: Response) -> None:
        self.ready_state, self.last_failure = "open", None
        self._opened_at = self._deadlines.now()
        attempt = self._attempt
        self._tell(response)
        if response.fin and self._attempt is attempt:
            self._ended(response.stream)

    def _redirected(self, response: Response) -> None:
        self._redirects += 1
        try:
            if self._redirects > self._options.max_redirects:
                raise InvalidRequest(f"one redirect more than max_redirects = {self._options.max_redirects}")
            asked = moved(self._asked, response.headers)
        except InvalidRequest as error:
            self._fail(self._failed(str(error), response))
            return
        self._permanent = self._permanent and response.status in _PERMANENT
        if self._permanent:  # RFC 9110 sections 15.4.2 and 15.4.9: "any future references to this resource ought to use" the new URI
            self._base = asked
        self._leave(response)
        try:
            self._request(asked)
        except GunError as error:  # an option that does not fit this origin
            self._fail(_error(response.stream, error))

    def _received(self, sse: Sse, event: SseEvent) -> None:
        """An event came; or an identifier alone, of which no reader is told."""
        if event.last_event_id != self._received_id and sendable(event.last_event_id):
            # Else it stays that before it: to be sent an event twice is better than to miss one.
            self._received_id = event.last_event_id
        self._useful = self._useful or event.data is not None
        if self._receiver is not None:
            self.last_event_id = self._received_id
            if event.data is not None:
                self._tell(sse)
            return
        waiter = None
        if event.data is not None and self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            self._deadlines.clear("event")
            self.last_event_id = self._received_id
        else:
            self._keep(event)
        if not self._full:
            sse.stream.update_flow(1)
        if waiter is not None:
            waiter.callback(event)

    def _keep(self, event: SseEvent) -> None:
        if event.data is None and not self._unread:
            self.last_event_id = self._received_id
            return
        if event.data is None and self._unread[-1].data is None:
            self._size -= size_of_sse(self._unread.pop())
        self._unread.append(event)
        self._size += size_of_sse(event)
        self._full = self._size >= self._options.max_unread

    def _unreadable(self, response: Response) -> None:
        """Nothing that is among the content handlers makes events of its content."""
        self._fail(
            self._failed("an event stream in a coding; what decodes it, such as DecodeHandler, belongs into content_handlers", response)
        )

    def _ended(self, stream: Stream) -> None:
        """The stream has ended in good order: its connection may serve the next one."""
        nothing = None if self._worked() else StreamClosed("the event stream ended before it had brought an event")
        self._again(nothing, Sse(stream=stream, event=None))

    def _lost(self, error: Error) -> None:
        """The attempt has failed."""
        attempt, reason = self._attempt, error.reason
        assert attempt is not None
        self._drop_connection()
        if not attempt.fresh and attempt.response is None:
            # The server may have closed a connection that was kept, just now, and that says nothing about the server.
            self._request(self._asked)
        elif isinstance(reason, (LimitReached, OptionError, InvalidRequest)):  # and so it would be the next time
            self._fail(error)
        else:
            self._again(reason, error)

    def _leave(self, response: Response) -> None:
        """Nothing more is wanted of this stream, but its connection may be used again."""
        self._attempt = None
        if not response.fin:
            response.stream.cancel()

    def _failed(self, answer: str, response: Response) -> Error:
        return _error(response.stream, EventSourceFailed(f"{self._asked.place} answered with {answer}", response))

    def _fail(self, error: Error) -> None:
        """Give up for good."""
        self.last_failure = error.reason
        self._finish(error.reason)
        self._tell(error)

    def _tell(self, event: Any) -> None:
        if self._receiver is None:
            return
        try:
            getattr(self._receiver, event.told_as)(event)
        except Exception:
            log_raised(self._receiver, event, event.stream)

    # Again.

    def _worked(self) -> bool:
        """Whether the stream that is open, if one is, was of any use."""
        return self._useful or (self.ready_state == "open" and self._deadlines.now() - self._opened_at >= _STEADY_SECONDS)

    def _again(self, reason: GunError | None, told: Error | Sse, least: float = 0.0) -> None:
        """Ask again, not before `least` seconds have passed; `reason` is None where nothing went wrong, and `told` tells of it."""
        options = self._options
        self._failures = 0 if self._worked() else self._failures + 1
        self._attempt, self._useful = None, False
        self.last_failure = reason
        if reason is not None and self._failures == options.max_failures:
            self._fail(told if isinstance(told, Error) else _error(told.stream, reason))
            return
        self.ready_state = "connecting"
        shortest = min(max(self.retry, least), options.max_retry)
        longest = min(self.retry * 2.0 ** min(self._failures, 32), options.max_retry)
        delay = shortest + options.random() * max(0.0, longest - shortest)
        self._deadlines.set("again", delay, self._ask_again)
        _log.debug("{source}: {reason}; again in {delay} seconds", source=self, reason=reason or "the stream ended", delay=delay)
        self._tell(told)

    def _ask_again(self) -> None:
        if self._full:  # a server that ends each stream after one event must not fill the memory
            self._due = True
        else:
            self._ask()


class _Reader(SseHandler):
    """Reads an event stream as the one that follows on those its source had before."""

    _source: EventSource

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """They are ours."""

    @classmethod
    def begin(cls, stream: Stream, response: Response, **options: Any) -> _Reader | None:
        source: EventSource = options["source"]
        own = source._options
        sizes = {"max_event_size": own.max_event_size, "max_line_size": own.max_line_size}
        # The standard: the identifier "remains set to this value until the next time it is set by the server".
        reader = super().begin(stream, response, last_event_id=source._received_id, **sizes)
        if reader is not None:
            reader._source = source
        return reader

    def retry(self, seconds: float) -> None:
        """The server says how long to wait."""
        own = self._source._options
        self._source.retry = min(max(seconds, own.min_retry), own.max_retry)


class _Attempt(Receiver):
    """
    What one request is told, as long as it is the one that counts.

    `fresh` says that its connection was made for it; `response` is there once the server has answered.
    """

    def __init__(self, source: EventSource, fresh: bool) -> None:
        self._source = source
        self.fresh = fresh
        self.response: Response | None = None

    @property
    def _counts(self) -> bool:
        return self._source._attempt is self

    def gun_response(self, event: Response) -> None:
        """The server has answered."""
        if self._counts:
            self.response = event
            self._source._answered(event)

    def gun_sse(self, event: Sse) -> None:
        """An event, or the end of the stream."""
        if self._counts and event.event is not None:
            self._source._received(event, event.event)
        elif self._counts:
            self._source._ended(event.stream)

    def gun_data(self, event: Data) -> None:
        """Content that is not read as events."""
        if self._counts and event.data and self.response is not None:
            self._source._unreadable(self.response)
        elif self._counts and event.fin:
            self._source._ended(event.stream)

    def gun_trailers(self, event: Trailers) -> None:
        """The end of the stream."""
        if self._counts:
            self._source._ended(event.stream)

    def gun_error(self, event: Error) -> None:
        """The end of the stream, or of the connection."""
        if self._counts:
            self._source._lost(event)


def _error(stream: Stream, reason: GunError) -> Error:
    return Error(connection=stream.connection, stream=stream, reason=reason)


def _closed() -> BadState:
    return BadState("the source is closed: no more events will come")


_log = Logger()
