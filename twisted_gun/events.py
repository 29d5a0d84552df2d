"""
What a receiver is told: one frozen value an event, named as Gun's messages are.

Header names and values are bytes, names in lower case, order and duplicates kept. `fin` says whether the stream ends here.
`told_as` is the `IReceiver` method that takes the event. This module knows nothing else of the package.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Union

if TYPE_CHECKING:  # the types of two fields only; nothing is imported when the program runs
    from twisted_gun.connection import Connection
    from twisted_gun.errors import GunError
    from twisted_gun.stream import Stream

__all__ = [
    "Binary",
    "Close",
    "Data",
    "Down",
    "Error",
    "Event",
    "Frame",
    "Headers",
    "Inform",
    "Notify",
    "Ping",
    "Pong",
    "Push",
    "Response",
    "Sse",
    "SseEvent",
    "Text",
    "Trailers",
    "TunnelUp",
    "Up",
    "Upgrade",
    "Ws",
    "text_event",
    "ws_event",
]

#: Header or trailer fields, in their order: names in lower case, duplicates kept.
Headers = tuple[tuple[bytes, bytes], ...]

#: Values of these are never shown by `repr`: they are credentials.
SECRET_HEADERS = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})


def shown_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """`headers` as they may be shown and logged: without credentials."""
    return [(name, b"[secret]" if name.lower() in SECRET_HEADERS else value) for name, value in headers]


class _Shown:
    """A `repr` that leaves out credentials and cuts long data."""

    __slots__ = ()

    def __repr__(self) -> str:
        values = ((one.name, getattr(self, one.name)) for one in fields(self) if one.init)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{name}={_shown(name, value)}' for name, value in values)})"


def _shown(name: str, value: object) -> str:
    return repr(shown_headers(value)) if name == "headers" else shown_value(value)  # type: ignore[arg-type]


def shown_value(value: object) -> str:
    """`value` as it may be shown and logged: long data cut."""
    if isinstance(value, (bytes, str)) and len(value) > 64:
        return f"{value[:64]!r}... ({len(value)} {'bytes' if isinstance(value, bytes) else 'characters'})"
    return repr(value)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Up(_Shown):
    """The connection is up and speaks `protocol`."""

    told_as: ClassVar[str] = "gun_up"
    connection: Connection
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Down(_Shown):
    """
    The connection is down; `reason` is None where we ended it in good order (after ``connection: close``, say), Gun's ``normal``.

    `killed_streams` did not end before the connection did; the server may have processed them. `unprocessed_streams` it
    certainly did not process: they are safe to send again. No stream is in both.
    """

    told_as: ClassVar[str] = "gun_down"
    connection: Connection
    protocol: str
    reason: GunError | None
    killed_streams: tuple[Stream, ...]
    unprocessed_streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Notify(_Shown):
    """Something about the connection, of a `type` such as ``ping_ack`` or ``settings_changed``; HTTP/1.1 has none."""

    told_as: ClassVar[str] = "gun_notify"
    connection: Connection
    type: str
    info: object


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Error(_Shown):
    """The end of `stream` by `reason`; with `stream` None, an error of the whole connection."""

    told_as: ClassVar[str] = "gun_error"
    fin: ClassVar[bool] = True
    connection: Connection
    stream: Stream | None
    reason: GunError


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Inform(_Shown):
    """An interim (1xx) response; RFC 9110 section 15.2."""

    told_as: ClassVar[str] = "gun_inform"
    fin: ClassVar[bool] = False
    stream: Stream
    status: int
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Response(_Shown):
    """
    The head of the final response; `reason` is HTTP/1.1's reason phrase, which means nothing.

    A 2xx response to CONNECT is not the stream's end: it goes on as the tunnel.
    """

    told_as: ClassVar[str] = "gun_response"
    stream: Stream
    fin: bool
    status: int
    headers: Headers
    reason: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Data(_Shown):
    """A piece of the response's content; the last may be empty."""

    told_as: ClassVar[str] = "gun_data"
    stream: Stream
    fin: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trailers(_Shown):
    """The trailer fields, which end the response; RFC 9110 section 6.5."""

    told_as: ClassVar[str] = "gun_trailers"
    fin: ClassVar[bool] = True
    stream: Stream
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Push(_Shown):
    """
    The server promises a response nobody asked for (RFC 9113 section 8.4): `pushed_stream` will be told of it.

    The promised request is `method`, `uri` (absolute) and `headers`. Cancel `pushed_stream` where it is not wanted.
    """

    told_as: ClassVar[str] = "gun_push"
    fin: ClassVar[bool] = False
    stream: Stream
    pushed_stream: Stream
    method: bytes
    uri: bytes
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Upgrade(_Shown):
    """The server switched to one of the `protocols` the request asked for; the stream's bytes are now that protocol's."""

    told_as: ClassVar[str] = "gun_upgrade"
    fin: ClassVar[bool] = False
    stream: Stream
    protocols: tuple[bytes, ...]
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TunnelUp(_Shown):
    """
    The tunnel is up and `protocol` is spoken at its end; `stream` is the `Tunnel`.

    `stream` is None where a SOCKS proxy gave the tunnel to the connection as a whole: of that the connection's owner is told.
    """

    told_as: ClassVar[str] = "gun_tunnel_up"
    fin: ClassVar[bool] = False
    connection: Connection
    stream: Stream | None
    protocol: str


# Websocket frames, as they are told and as they are sent; data frames are whole messages. RFC 6455 section 5.


@dataclass(frozen=True, slots=True, repr=False)
class Text(_Shown):
    """A message of text."""

    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Binary(_Shown):
    """A message of bytes."""

    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Ping(_Shown):
    """Asks for a pong with the same data, at most 125 bytes; received ones are answered already."""

    data: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Pong(_Shown):
    """The answer to a ping, or unasked for."""

    data: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Close(_Shown):
    """The end of the websocket; RFC 6455 section 7.4 has the codes. None: there was none, and so no `reason`."""

    code: int | None = None
    reason: str = ""


#: What a websocket carries.
Frame = Union[Text, Binary, Ping, Pong, Close]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ws(_Shown):
    """A frame of the websocket; a `Close` is the last, and sets `fin`."""

    told_as: ClassVar[str] = "gun_ws"
    stream: Stream
    frame: Frame
    fin: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fin", type(self.frame) is Close)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SseEvent(_Shown):
    """
    An event of an event stream (the HTML standard, "Server-sent events"): its type, its data, and the last identifier there was.

    `event_type` and `data` are None where only an identifier came, as in Gun.
    """

    event_type: str | None = "message"
    data: str | None
    last_event_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sse(_Shown):
    """An event that the server sent, where `SseHandler` reads the content; None is the end of the stream, and sets `fin`."""

    told_as: ClassVar[str] = "gun_sse"
    stream: Stream
    event: SseEvent | None
    fin: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fin", self.event is None)


# Of frames there are many: these make them in half the time that a frozen dataclass takes.

_made: Any = Ws
_new, _set_stream, _set_frame, _set_fin = object.__new__, _made.stream.__set__, _made.frame.__set__, _made.fin.__set__
_made_text: Any = Text
_set_text = _made_text.text.__set__


def ws_event(stream: Any, frame: Text | Binary | Ping | Pong) -> Ws:
    """``Ws(stream=stream, frame=frame)``."""
    event = _new(Ws)
    _set_stream(event, stream)
    _set_frame(event, frame)
    _set_fin(event, False)
    return event


def text_event(stream: Any, text: str) -> Ws:
    """``Ws(stream=stream, frame=Text(text))``."""
    frame = _new(Text)
    _set_text(frame, text)
    event = _new(Ws)
    _set_stream(event, stream)
    _set_frame(event, frame)
    _set_fin(event, False)
    return event


#: What a stream's receiver may be told.
StreamEvent = Union[Inform, Response, Data, Sse, Trailers, Push, Upgrade, TunnelUp, Ws, Error]
#: What an owner may be told.
ConnectionEvent = Union[Up, Down, TunnelUp, Notify, Error]
#: Any event.
Event = Union[StreamEvent, ConnectionEvent]
