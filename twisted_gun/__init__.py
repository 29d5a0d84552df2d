"""
twisted_gun: an HTTP client for Twisted, made for connections that live long.

    import twisted_gun as gun

    conn = gun.open("example.org", 443)
    stream = conn.get("/")
    response = await stream.await_response()
    body = await stream.await_body()
"""

from typing import TYPE_CHECKING, Any

from twisted_gun.connection import Connection
from twisted_gun.content_handlers import ContentHandler, DataHandler, DecodeHandler, DecodeOptions, SseHandler, SseOptions
from twisted_gun.cookies import Cookie, CookieStore, CookieUri, cookie_header, domain_match, path_match
from twisted_gun.errors import (
    BadState,
    ConnectFailed,
    ConnectionFailed,
    CookieFileError,
    GoAway,
    GunError,
    InvalidRequest,
    LimitReached,
    OptionError,
    ProtocolViolation,
    ProxyFailed,
    ShuttingDown,
    StreamClosed,
    StreamError,
    StreamRefused,
    StreamReset,
    TimedOut,
    TlsFailed,
    Truncated,
    UpgradeRefused,
)
from twisted_gun.event_source import EventSource, EventSourceFailed
from twisted_gun.event_source_request import EventSourceOptions
from twisted_gun.events import (
    Binary,
    Close,
    Data,
    Down,
    Error,
    Event,
    Frame,
    Headers,
    Inform,
    Notify,
    Ping,
    Pong,
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
from twisted_gun.info import ConnectionInfo, Intermediary, Origin, TlsInfo, TunnelInfo
from twisted_gun.interfaces import ICookieStore, IEventHandler, IReceiver
from twisted_gun.layer import WsProtocol
from twisted_gun.net.factory import GunClientFactory, backoff
from twisted_gun.observers import EventHandler
from twisted_gun.opening import open, open_unix, open_url  # noqa: A004 - Gun's name
from twisted_gun.options import (
    DeflateOptions,
    Destination,
    Http2Options,
    HttpOptions,
    Options,
    RawOptions,
    SocksOptions,
    TcpOptions,
    TlsOptions,
    WsOptions,
)
from twisted_gun.origins import Identity, Origins, OriginsInfo
from twisted_gun.pool import Pool
from twisted_gun.pool.info import PooledConnection, PoolInfo
from twisted_gun.receivers import Receiver
from twisted_gun.service import GunClientService
from twisted_gun.stream import Stream, StreamInfo
from twisted_gun.tunnel import Tunnel

if TYPE_CHECKING:
    from twisted_gun.agent import GunAgent, GunResponse

__version__ = "0.1.0"

__all__ = [
    # connection
    "Connection",
    "ConnectionInfo",
    "Intermediary",
    "Origin",
    "TlsInfo",
    "open",
    "open_unix",
    "open_url",
    # stream
    "Stream",
    "StreamInfo",
    "Tunnel",
    "TunnelInfo",
    # events
    "Data",
    "Down",
    "Error",
    "Event",
    "Headers",
    "Inform",
    "Notify",
    "Push",
    "Response",
    "Sse",
    "SseEvent",
    "Trailers",
    "TunnelUp",
    "Up",
    "Upgrade",
    "Ws",
    # websocket frames
    "Binary",
    "Close",
    "Frame",
    "Ping",
    "Pong",
    "Text",
    # receivers
    "IReceiver",
    "Receiver",
    "WsProtocol",
    # above the connection
    "EventSource",
    "EventSourceFailed",
    "EventSourceOptions",
    "GunAgent",
    "GunClientService",
    "GunResponse",
    "Identity",
    "Origins",
    "OriginsInfo",
    "Pool",
    "PoolInfo",
    "PooledConnection",
    # observing
    "EventHandler",
    "IEventHandler",
    # content
    "ContentHandler",
    "DataHandler",
    "DecodeHandler",
    "DecodeOptions",
    "SseHandler",
    "SseOptions",
    # cookies
    "Cookie",
    "CookieStore",
    "CookieUri",
    "ICookieStore",
    "cookie_header",
    "domain_match",
    "path_match",
    # options
    "DeflateOptions",
    "Destination",
    "Http2Options",
    "HttpOptions",
    "Options",
    "RawOptions",
    "SocksOptions",
    "TcpOptions",
    "TlsOptions",
    "WsOptions",
    # life
    "GunClientFactory",
    "backoff",
    # errors
    "BadState",
    "ConnectFailed",
    "ConnectionFailed",
    "CookieFileError",
    "GoAway",
    "GunError",
    "InvalidRequest",
    "LimitReached",
    "OptionError",
    "ProtocolViolation",
    "ProxyFailed",
    "ShuttingDown",
    "StreamClosed",
    "StreamError",
    "StreamRefused",
    "StreamReset",
    "TimedOut",
    "TlsFailed",
    "Truncated",
    "UpgradeRefused",
]


def __getattr__(name: str) -> Any:
    """What stands on ``twisted.web``, which takes its time to be imported, and brings h2: only for those who ask for it."""
    if name in ("GunAgent", "GunResponse"):
        from twisted_gun import agent

        return getattr(agent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
