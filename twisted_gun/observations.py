"""
What an event handler is told (`IEventHandler`): one frozen value a callback, whose fields are named as those of Gun's gun_event(3).

Several callbacks share a type. Times are in seconds; None is what there is not, or not yet. What happens is a fact by the time that it is
told; these are made by whoever knows it first, a core for instance, to whom a stream is a key that it never looks into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted_gun.events import Frame, Headers, _Shown

if TYPE_CHECKING:  # the types of fields only; nothing is imported when the program runs
    from twisted_gun.connection import Connection
    from twisted_gun.errors import GunError
    from twisted_gun.options import Options, TcpOptions, TlsOptions, WsOptions
    from twisted_gun.stream import Stream

__all__ = [
    "CALLBACKS",
    "Cancelled",
    "Connecting",
    "Disconnected",
    "DomainLookup",
    "FragmentState",
    "FrameBegun",
    "FrameHead",
    "FrameRead",
    "FrameSent",
    "Initialised",
    "LookupInfo",
    "OfStream",
    "OriginChanged",
    "PromisedRequest",
    "ProtocolChanged",
    "RequestHead",
    "ResponseHead",
    "ResponseTrailers",
    "Terminated",
    "TlsHandshake",
    "UpgradeAsked",
]

#: The callbacks of an event handler, in the order of Gun's manual.
CALLBACKS = (
    *("init", "domain_lookup_start", "domain_lookup_end", "connect_start", "connect_end", "tls_handshake_start", "tls_handshake_end"),
    *("request_start", "request_headers", "request_end", "push_promise_start", "push_promise_end"),
    *("response_start", "response_inform", "response_headers", "response_trailers", "response_end"),
    *("ws_upgrade", "ws_recv_frame_start", "ws_recv_frame_header", "ws_recv_frame_end", "ws_send_frame_start", "ws_send_frame_end"),
    *("protocol_changed", "origin_changed", "cancel", "disconnect", "terminate"),
)

#: A message of several frames: "nofin", or "fin" in its last frame; "text" or "binary"; the reserved bits of its first frame.
FragmentState = tuple[str, str, int]


# The connection.


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Initialised(_Shown):
    """`init`: the connection begins its life, before it dials for the first time."""

    connection: Connection
    owner: object
    transport: str
    origin_scheme: str | None
    origin_host: str
    origin_port: int
    opts: Options


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LookupInfo(_Shown):
    """What a name was found to be: its addresses, in the order in which they are dialled."""

    ip_addresses: tuple[str, ...]
    port: int
    tcp_opts: TcpOptions


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DomainLookup(_Shown):
    """`domain_lookup_start`; `domain_lookup_end` has `lookup_info` or `error` as well. An address is "looked up" at once, as in Gun."""

    connection: Connection
    host: str
    port: int
    tcp_opts: TcpOptions
    timeout: float | None
    lookup_info: LookupInfo | None = None
    error: GunError | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Connecting(_Shown):
    """
    `connect_start`; `connect_end` has `socket`, a Twisted transport, or `error` as well, and over TCP the `protocol` that is spoken.

    With the option ``proxy`` it is the way through all proxies. `lookup_info` is None where nothing was looked up: a UNIX socket, or an
    endpoint of the application's.
    """

    connection: Connection
    lookup_info: LookupInfo | None
    timeout: float | None
    socket: Any = None
    protocol: str | None = None
    error: GunError | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsHandshake(_Shown):
    """
    `tls_handshake_start`; `tls_handshake_end` has `protocol` or `error` as well.

    `stream` is the `Tunnel` that it is in; None on the connection's own way, with a proxy or the origin.
    """

    connection: Connection
    stream: Stream | None
    socket: Any
    tls_opts: TlsOptions
    timeout: float | None
    protocol: str | None = None
    error: GunError | None = None

    @property
    def reply_to(self) -> object:
        """Who is told of `stream`."""
        return None if self.stream is None else self.stream._receiver


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProtocolChanged(_Shown):
    """`protocol_changed`: from here on `protocol` is spoken, on `stream` where that became a websocket or a tunnel."""

    connection: Connection
    stream: Stream | None
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OriginChanged(_Shown):
    """`origin_changed`: a proxy has made a tunnel, by "connect" or "socks5"; `stream` is the `Tunnel`, None for the connection itself."""

    connection: Connection
    stream: Stream | None
    type: str
    origin_scheme: str | None
    origin_host: str
    origin_port: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Disconnected(_Shown):
    """
    `disconnect`: the connection is down; `reason` is None where we ended it in good order.

    `streams` had not ended: requests without their whole response, websockets and tunnels that were open. No other end is told of them.
    """

    connection: Connection
    reason: GunError | None
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Terminated(_Shown):
    """
    `terminate`: nothing more will be told; `reason` is None where the end was asked for, or came in good order.

    `state` is the ``state_name`` of `Connection.info` in which it ended.
    """

    connection: Connection
    state: str
    reason: GunError | None


# Streams.


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OfStream(_Shown):
    """`request_end`, `response_start`, `response_end`, `push_promise_start`: that it happened to `stream`."""

    stream: Stream

    @property
    def connection(self) -> Connection:
        """The `Connection` of the stream."""
        return self.stream.connection

    @property
    def reply_to(self) -> object:
        """Who is told of the stream; None where it keeps its events until they are awaited."""
        return self.stream._receiver


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestHead(OfStream):
    """
    `request_start`, and `request_headers` when they were sent.

    `function` is the verb that was called, as Gun names it: "headers", "request", "ws_upgrade" or "connect"; `path` is None for that. Of
    `headers` those are missing that frame the message (Host, Content-Length and so on).
    """

    function: str
    method: bytes
    authority: bytes
    path: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PromisedRequest(OfStream):
    """`push_promise_end`: the server promises to `stream` the response to a request; `promised_stream` is None where that was refused."""

    promised_stream: Stream | None
    method: bytes
    uri: bytes
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResponseHead(OfStream):
    """`response_inform` (1xx), `response_headers`."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResponseTrailers(OfStream):
    """`response_trailers`."""

    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cancelled(OfStream):
    """`cancel`: the stream ends before its time; by whom `endpoint` says, "local" or "remote", and `reason` why."""

    endpoint: str
    reason: GunError


# Websockets.


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UpgradeAsked(OfStream):
    """`ws_upgrade`: a websocket is about to be asked for."""

    opts: WsOptions


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FrameBegun(OfStream):
    """`ws_recv_frame_start`; `extensions` are the names of those that were agreed on, `frag_state` is None between messages."""

    frag_state: FragmentState | None
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FrameHead(FrameBegun):
    """
    `ws_recv_frame_header`.

    `type` is "text", "binary", "close", "ping", "pong", or "fragment" for a continuation; `len` is that of the payload as it is on the
    wire. `mask_key` is None: a server masks nothing.
    """

    type: str
    rsv: int
    len: int
    mask_key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FrameRead(OfStream):
    """`ws_recv_frame_end`: `payload` is not compressed any more, and of a Close the reason; `close_code` is None where there is none."""

    extensions: tuple[str, ...]
    close_code: int | None
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FrameSent(OfStream):
    """`ws_send_frame_start`, `ws_send_frame_end`: whoever sends it, pongs and the answers to Close among them."""

    extensions: tuple[str, ...]
    frame: Frame
