"""
The content of responses on its way through content handlers, of which the receivers are told what comes out.

Between the hop and its route (`Contents`), where there are handlers. The flow of a stream is counted here then (`Content`), since a piece
of content may become any number of events, or none: the core is told only to hold the peer back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from twisted_gun.errors import GunError, StreamClosed
from twisted_gun.events import Data, Headers, Response, StreamEvent, Trailers
from twisted_gun.options import Http2Options, HttpOptions
from twisted_gun.wire.core import Request

if TYPE_CHECKING:
    from twisted_gun.content_handlers import ContentHandler
    from twisted_gun.net.hop import Hop
    from twisted_gun.route import Route
    from twisted_gun.stream import Stream

__all__ = ["Content", "Contents"]


class Contents:
    """An `Above` that lets the handlers of `route` have the content of responses first, and passes on all else."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def __getattr__(self, name: str) -> Any:
        return getattr(self._route, name)

    def dress(self, hop: Hop[Any], stream: Stream, request: Request) -> Request:
        """`request` as it is sent, with the fields that its handlers want; its flow is counted here."""
        options: HttpOptions | Http2Options = self._route.leg.http2 if hop.core.name == "http2" else self._route.leg.http
        if not options.content_handlers or request.tunnels or any(name == b"upgrade" for name, _ in request.headers):
            return request
        flow = options.flow if request.flow is None else request.flow
        stream._content = Content(stream, options.content_handlers, (math.inf if flow is None else flow) + stream._granted)
        given = {name for name, _ in request.headers}
        if b"range" in given:  # RFC 9110 section 14.1.2: parts of what is coded, which cannot be decoded by themselves
            given.add(b"accept-encoding")
        fields = tuple(field for field in _wanted(options.content_handlers) if field[0] not in given)
        return replace(request, headers=(*request.headers, *fields), flow=math.inf)

    def tell(self, event: Any) -> None:
        """A piece of content goes to the handlers, and whatever else to its stream."""
        stream = event.stream
        content: Content | None = stream._content
        kind = type(event)
        if content is not None and content.begun and (kind is Data or kind is Trailers):
            content.take(event)
            return
        self._route.tell(event)
        if kind is Response and content is not None and not (event.fin or stream.ended or stream._method == b"HEAD"):
            content.begin(event)


def _wanted(handlers: Sequence[tuple[type[ContentHandler], Any]]) -> Headers:
    return tuple(field for kind, _ in handlers for field in kind.request_fields)


class Content:
    """The content of the one response of `stream`, whose receiver may be told `flow` more events of it."""

    #: Whether all that will come from the peer is here.
    complete = False

    def __init__(self, stream: Stream, kinds: Sequence[tuple[type[ContentHandler], Any]], flow: float) -> None:
        self._stream = stream
        self._kinds = kinds
        self._flow = flow
        self._handlers: list[ContentHandler] = []
        self._waiting: deque[Data | Trailers] = deque()
        self._made: Iterator[StreamEvent] = iter(())  # what becomes of the piece that was taken last
        self._held = False  # by the one who reads the stream
        self._holding = False  # whether the core holds the peer back
        self._telling = False
        self.begun = False

    # From the peer.

    def begin(self, response: Response) -> None:
        """`response` came: its content will be for the handlers that want it."""
        self.begun = True
        try:
            made = [kind.begin(self._stream, response, **options) for kind, options in self._kinds]
        except Exception as error:
            self._failed(error)
        else:
            self._handlers = [handler for handler in made if handler is not None]

    def take(self, event: Data | Trailers) -> None:
        """A piece of the content, or its end."""
        self.complete = event.fin
        self._waiting.append(event)
        self._go_on()

    # From the reader.

    def hold(self, held: bool) -> None:
        """The reader has more than it can use, or no longer."""
        self._held = held
        self._read_on()

    def grant(self, increment: int) -> None:
        """The reader may be told so many more events."""
        self._flow += increment
        self._read_on()

    # Telling.

    @property
    def _free(self) -> bool:
        return not self._held and self._flow > 0 and not self._stream.ended

    def _go_on(self) -> None:
        """Tell what there is, as long as it may be told; only then is more made of what waits."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._free and (event := self._next()) is not None:
                self._flow -= 1
                self._stream._route.tell(event)
        finally:
            self._telling = False
        if self._holding is self._free and not self._stream.ended:
            self._holding = not self._free
            self._stream._route.hold(self._stream, self._holding)

    def _read_on(self) -> None:
        """The same, but not in the midst of what the hop tells: who waits for it is to be woken."""
        self._go_on()
        route = self._stream._route
        if route.hop is None:
            route.turn_over()
        else:
            route.hop.perform([])

    def _next(self) -> StreamEvent | None:
        try:
            while True:
                event = next(self._made, None)
                if event is not None:
                    return event
                if not self._waiting:
                    return None
                self._made = self._through(self._waiting.popleft())
        except Exception as error:
            self._failed(error)
            return None

    def _through(self, event: Data | Trailers) -> Iterator[StreamEvent]:
        """What the handlers make of `event`; the last of it ends the stream where the content ends."""
        if type(event) is Trailers:
            for told in _chained(self._handlers, self._stream, b"", True):
                if not told.fin:
                    yield told
                elif type(told) is Data and told.data:
                    yield replace(told, fin=False)
            yield event
            return
        assert type(event) is Data
        ended = False
        for told in _chained(self._handlers, self._stream, event.data, event.fin):
            ended = told.fin
            yield told
        if event.fin and not ended:
            yield Data(stream=self._stream, fin=True, data=b"")

    def _failed(self, error: Exception) -> None:
        """A handler raised: with what is wrong with the content, or else with a mistake of its own, which is logged."""
        route, stream = self._stream._route, self._stream
        self._waiting.clear()
        if isinstance(error, GunError):
            route.fail_stream(stream, error)
            return
        _log.failure("a content handler of {stream} raised", stream=stream)
        route.fail_stream(stream, StreamClosed("a content handler of this stream raised an exception; see the log"), drain=True)


def _chained(handlers: Sequence[ContentHandler], stream: Stream, data: bytes, fin: bool) -> Iterator[Any]:
    """The events that `handlers`, each after the one before it, make of `data`; one piece at a time, and no more than are asked for."""
    if not handlers:
        if data or fin:
            yield Data(stream=stream, fin=fin, data=data)
        return
    first, others = handlers[0], handlers[1:]
    before = passed = b""  # one piece back, so that the last of them can have `fin`
    try:
        for piece in first.handle(data, fin) or ():
            before, passed = passed, b""
            if before:
                yield from _chained(others, stream, before, False)
            if isinstance(piece, bytes):
                passed = piece
            else:
                yield piece
    except Exception:
        if passed:  # what was good is told, before what was not
            yield from _chained(others, stream, passed, False)
        raise
    if passed or (fin and not first.last):
        yield from _chained(others, stream, passed, fin)


_log = Logger()
