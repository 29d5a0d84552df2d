"""
A stream: Gun's StreamRef and what one does with it.

It knows its route, which carries what it sends, and its receiver, which is told what comes; without one it is its own
mailbox. How much of a request's content may still be sent, and whether it has to wait, is decided here. Neither bytes nor
protocols are known here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IConsumer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from twisted_gun.errors import BadState, GunError, InvalidRequest, StreamError
from twisted_gun.events import Data, Error, Event, Headers, Response, Sse, Trailers, Upgrade
from twisted_gun.info import Intermediary, TunnelInfo
from twisted_gun.outgoing import Frames
from twisted_gun.receivers import Mailbox
from twisted_gun.request import content
from twisted_gun.upgrading import WsUpgrade

if TYPE_CHECKING:
    from twisted_gun.connection import Connection
    from twisted_gun.contents import Content
    from twisted_gun.cookies import CookieUri
    from twisted_gun.layer import Layer
    from twisted_gun.route import Route
    from twisted_gun.tunnel import Tunnel

__all__ = ["Body", "Stream", "StreamInfo"]

#: What may be given as the content of a request.
Body = Union[bytes, Iterable[bytes], "IBodyProducer"]

# Why the content of a request has to wait, besides `net.tunnel.CORE` and `TRANSPORT`: its turn has not come.
PENDING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """
    A stream's `method`, who is told of it, and its `state`: "waiting" for its connection, or "running".

    `intermediaries` are the proxies that it goes through, as `Intermediary`; `tunnel` says where a tunnel leads to, None for other streams.
    """

    stream: Stream
    reply_to: object
    method: bytes
    state: str
    intermediaries: tuple[Intermediary, ...]
    tunnel: TunnelInfo | None


@implementer(IConsumer)
class Stream(Mailbox):
    """
    One request and what comes of it.

    Without a `reply_to` its events are kept until they are awaited or iterated over; unread ones hold the peer back. With one they
    go there, and awaiting raises `BadState`. Timeouts are in seconds, None for no limit; they fail with `TimedOut`, and like
    cancelling they only stop the waiting. A stream is also an `IConsumer`: a Twisted producer can be registered with it.
    """

    #: Whether nothing more will be told: it has ended, by its last event, an error, or `cancel`.
    ended = False

    # As the mailbox's, values that most streams never change.
    _open = False  # whether `data` may be called
    _left: int | None = None  # bytes of content that the caller promised and has not given
    _queued: list[tuple[bytes, bool]] | None = None
    _body: Any = None  # the IBodyProducer
    _producer: Any = None
    _pulling = False
    _blocked = 0
    _granted = 0  # data events allowed by update_flow before the request could be sent
    _upgrade: WsUpgrade | None = None  # what it asks to become
    _layer: Layer | None = None  # what its bytes belong to since then, as long as that lasts
    _closed = False  # whether that has ended by a closing handshake
    _content: Content | None = None  # what the handlers of its content make of that, where there are any
    _uri: CookieUri | None = None  # whom the request was for, where there is a cookie store
    _stalled = False  # whether its peer is held back since nobody has said what to do with the content
    _on_end: Callable[[], None] | None = None  # called when it has ended

    def __init__(self, route: Route, method: bytes, receiver: Any) -> None:
        self._route = route
        self._method = method
        self._receiver = receiver

    def __repr__(self) -> str:
        return f"<Stream {self._method.decode()} {id(self):#x}{' ended' if self.ended else ''}>"

    @property
    def connection(self) -> Connection:
        """The `Connection` this stream belongs to."""
        return self._route.connection

    @property
    def tunnel(self) -> Tunnel | None:
        """The tunnel the stream travels in, None for the connection itself."""
        return self._route.tunnel

    @property
    def trailers(self) -> Headers:
        """The trailer fields, after `await_body`; empty where there were none."""
        return self._trailers

    # Awaiting.

    def await_event(self, timeout: float | None = 5.0) -> Deferred[Event]:
        """Whatever comes next; an `Error` fails the Deferred with its reason."""
        self._check_own()
        return self._await(Mailbox._take_event, timeout)

    def await_response(self, timeout: float | None = 5.0) -> Deferred[Response]:
        """The head of the final response; interim (1xx) ones are passed over."""
        self._check_own()
        return self._await(Mailbox._take_response, timeout)

    def await_body(self, timeout: float | None = 5.0) -> Deferred[bytes]:
        """The rest of the content, as bytes; the `timeout` is for each piece of it. Then `trailers` are there too."""
        self._check_own()
        return self._await(Mailbox._take_body, timeout)

    def await_upgrade(self, timeout: float | None = 5.0) -> Deferred[Upgrade]:
        """The switch to the protocol asked for; any other response fails with `UpgradeRefused`, which carries it."""
        self._check_own()
        return self._await(Mailbox._take_upgrade, timeout)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        self._check_own()
        if self._read_all:
            raise StopAsyncIteration
        event = self._next_event() or await self._await(Mailbox._take_event, None)
        if type(event) is Error:
            raise event.reason
        return event

    def chunks(self) -> AsyncIterator[bytes]:
        """The content, piece by piece: ``async for chunk in stream.chunks()``; then `trailers` are there too."""
        self._check_own()
        return _Chunks(self)

    def flush(self) -> None:
        """Drop the events that nobody has read yet."""
        self._drop_unread()

    def _check_own(self) -> None:
        if self._receiver is not None:
            raise BadState("the events of this stream go to its reply_to; nothing can be awaited here")

    # Sending.

    def data(self, data: bytes | Iterable[bytes], fin: bool = False) -> None:
        """
        Send a piece of the request's content, or, after an upgrade, of whatever was upgraded to; `fin` ends it.

        Empty data is sent only where it ends the content. Raises `BadState` where no content may be sent (any more), and
        `InvalidRequest` where there is more, or at `fin` less, than the Content-Length said.
        """
        data = content(data)
        if self._layer is not None:
            self._layer.check_data()
        if not self._open:
            if not data and self._left == 0:
                return  # content of a known length was complete with its last byte; to say so comes late, not wrong
            raise BadState("The stream has already been closed." if not self.ended else "The stream cannot be found.")
        if self._left is not None:
            if len(data) > self._left or (fin and len(data) < self._left):
                raise InvalidRequest(f"data: content-length leaves {self._left} bytes, not {len(data)}{' at the end' if fin else ''}")
            self._left -= len(data)
            # RFC 9112 section 6.2: the length delimits the content, so that the server may answer before its end is said.
            fin = fin or self._left == 0
        if fin:
            self._open = False
        if not data and not fin:
            return
        if self._queued is not None:
            self._queued.append((data, fin))
        else:
            self._route.data(self, data, fin)

    @property
    def ws_open(self) -> bool:
        """Whether `ws_send` takes frames: the stream is a websocket, and no `Close` was sent or received."""
        return self._layer is not None and self._layer.open

    def ws_send(self, frames: Frames) -> None:
        """
        Send frames on the websocket that this stream has become: str is a `Text`, bytes are a `Binary`; a list is sent in its order.

        Raises `BadState` where it is none (yet), or once a `Close` was sent or received; `InvalidRequest` for what may not be sent (lone
        surrogates, more than 125 bytes in a control frame, a code that RFC 6455 section 7.4 forbids), of which nothing is sent then.
        """
        if self._layer is None:
            ended = "the websocket has ended: it takes no more frames"
            raise BadState(ended if self.ended else "this stream is no websocket, or not yet: await_upgrade tells when it is")
        self._layer.send(frames)

    def update_flow(self, increment: int) -> None:
        """Allow `increment` more data events, or frames of a websocket; without effect where no `flow` was given."""
        if type(increment) is not int or increment < 1:
            raise InvalidRequest(f"update_flow: expected a whole number >= 1, not {increment!r}")
        if self.ended:
            return
        if self._content is not None:
            self._content.grant(increment)
        else:
            self._route.update_flow(self, increment)

    def cancel(self) -> None:
        """
        Tell no more of this stream; who awaits it fails with `StreamClosed`.

        HTTP/2 resets the stream: RST_STREAM with CANCEL. HTTP/1.1 cannot cancel a request: the rest of its response is read for nothing,
        while new requests wait. Where that is more than ``http_opts.max_cancelled_size``, or the request was not complete, the
        connection is closed and dialled anew. A websocket ends at once, without closing handshake, over HTTP/1.1 with its connection.
        """
        if not self.ended:
            self._route.cancel(self)

    def info(self) -> StreamInfo | None:
        """What there is to know of the stream; None when it has ended."""
        return self._info(None)

    def _info(self, tunnel: TunnelInfo | None) -> StreamInfo | None:
        if self.ended:
            return None
        return StreamInfo(
            stream=self,
            reply_to=self._receiver,
            method=self._method,
            state="waiting" if self._blocked & PENDING else "running",
            intermediaries=self._route.through(),
            tunnel=tunnel,
        )

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` write the content; it is paused when the peer does not take it. `data` with `fin` ends it."""
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has a producer already")
        if not self._open:
            producer.stopProducing()
            return
        self._producer, self._pulling = producer, not streaming
        if self._blocked and streaming:
            self._ask_producer("pauseProducing")
        elif not streaming:
            self._pull_soon()

    def unregisterProducer(self) -> None:
        """The producer has written all it will."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """
        As `data`, but what comes after the stream's end is dropped, as every Twisted transport does.

        On a websocket it is a binary message.
        """
        if self._layer is not None and self._layer.open:
            self._layer.send(data)
        elif self._open:
            self.data(data)

    # For the connection.

    def _carry_body(self, body: Any, length: int | None) -> None:
        """Content will follow, of `length` bytes if that is known, from `body` if that is a producer."""
        self._open = True
        self._left = length
        self._body = body
        self._blocked = PENDING

    def _block(self, why: int, blocked: bool) -> None:
        before, self._blocked = self._blocked, (self._blocked | why if blocked else self._blocked & ~why)
        if bool(before) is bool(self._blocked) or self.ended:
            return
        if self._body is not None and not self._blocked:
            self._start_body()
        elif self._producer is not None:
            if self._pulling:
                self._pull_soon()
            else:
                self._ask_producer("pauseProducing" if blocked else "resumeProducing")

    def _start_body(self) -> None:
        body, self._body = self._body, None
        self._producer, self._pulling = body, False
        maybeDeferred(body.startProducing, self).addCallbacks(self._body_done, self._body_failed)

    def _body_done(self, _: object) -> None:
        self._producer = None
        if self._open:
            try:
                self.data(b"", fin=True)
            except InvalidRequest:
                self._body_failed(Failure())

    def _body_failed(self, failure: Failure) -> None:
        self._producer = None
        if not self.ended:
            error = StreamError(f"the producer of the request's content failed: {failure.value}; the request was given up")
            error.__cause__ = failure.value
            self._route.fail_stream(self, error)

    def _pull_soon(self) -> None:
        # One piece a turn, or a fast peer would keep the reactor from everything else.
        self._route._deadlines.set((self, "pull"), 0.0, self._pull)

    def _pull(self) -> None:
        if self._producer is not None and self._pulling and not self._blocked:
            more = self._open
            self._ask_producer("resumeProducing")
            if self._producer is None:
                return
            if more:
                self._pull_soon()
            else:  # it has been asked once more than there was content, and did not find that out
                self._ask_producer("stopProducing")
                self._producer = None

    def _upgraded(self) -> None:
        self._open, self._left = True, None

    def _end(self, reason: GunError | None) -> None:
        """Nothing more will be told, and nothing more may be sent; `reason` is that of its `Error`, if it ended by one."""
        self.ended = True
        self._stop_producer()
        self._queued = self._body = self._content = None
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()

    def _stop_producer(self) -> None:
        """Nothing more may be sent; a producer that has given all its content finds that out by itself, unless it is paused."""
        if self._producer is not None and (self._open or self._blocked):
            self._open = False
            self._ask_producer("stopProducing")
            self._producer = None
        self._open = False

    def _ask_producer(self, verb: str) -> None:
        """Call a producer; if it raises, that is logged, and only its own stream is the worse for it."""
        try:
            getattr(self._producer, verb)()
        except Exception:
            failure = Failure()
            _log.failure("{producer} raised in {verb}; {stream}", failure, producer=self._producer, verb=verb, stream=self)
            self._body_failed(failure)

    # For the mailbox.

    def _hold(self, held: bool) -> None:
        if self._content is not None:
            self._content.hold(held)
        else:
            self._route.hold(self, held)

    def _watch(self, seconds: float | None) -> None:
        deadlines = self._route._deadlines
        if seconds is None:
            deadlines.clear(self)
        else:
            deadlines.set(self, seconds, self._timed_out)

    def _timed_out(self) -> None:
        self._expired(self.connection._not_up())
        self._route.turn_over()

    def _wake(self, deferred: Deferred[Any], result: object) -> None:
        self.connection._turn.woken.append((deferred, result))

    def _unwake(self, deferred: Deferred[Any]) -> object:
        woken = self.connection._turn.woken
        entry = next(entry for entry in woken if entry[0] is deferred)
        woken.remove(entry)
        return entry[1]


class _Chunks:
    """The pieces of a stream's content. No generator: nobody would close it where Twisted runs the coroutine."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        while True:
            event = await self._stream.__anext__()
            if type(event) is Data and event.data:
                return event.data
            if type(event) is Sse:
                raise BadState("these are events, no content: iterate over the stream itself")
            if type(event) is Trailers:
                self._stream._trailers = event.headers


_log = Logger()
