"""
The options of a connection: frozen values that check themselves when made.

Names, meanings and defaults are Gun's (manual page gun(3)), but times are in seconds and None means no limit. Defaults differ
where Gun waits without end or takes more than it must; docs/guide/limits.rst has them side by side. A bad value raises
`OptionError`, which names the option and what was expected.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

from twisted_gun.errors import OptionError

__all__ = [
    "DeflateOptions",
    "Http2Options",
    "HttpOptions",
    "Options",
    "RetryFunction",
    "TcpOptions",
    "TlsOptions",
    "WsOptions",
    "make_options",
    "nested",
]

#: Called before each retry with the retries left and the options; gives ``{"retries": left, "timeout": seconds}``.
RetryFunction = Callable[[int, "Options"], Mapping[str, Any]]

_Value = TypeVar("_Value")


def _check(owner: object, name: str, allowed: bool, expected: str) -> None:
    if not allowed:
        raise OptionError(f"{getattr(owner, 'prefix', '')}{name}", expected, getattr(owner, name))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_seconds(owner: object, *names: str, zero: bool = True) -> None:
    for name in names:
        value = getattr(owner, name)
        allowed = value is None or (_is_number(value) and (value >= 0 if zero else value > 0))
        _check(owner, name, allowed, f"seconds, a number {'>= 0' if zero else '> 0'}, or None for no limit")


def _check_counts(owner: object, *names: str, least: int = 1, optional: bool = False) -> None:
    for name in names:
        value = getattr(owner, name)
        allowed = (optional and value is None) or (type(value) is int and value >= least)
        _check(owner, name, allowed, f"a whole number >= {least}{', or None for no limit' if optional else ''}")


def _check_bools(owner: object, *names: str) -> None:
    for name in names:
        _check(owner, name, isinstance(getattr(owner, name), bool), "True or False")


def _check_callable(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        _check(owner, name, value is None or callable(value), "a callable, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """
    Options of HTTP/1.1 (``http_opts``). Times in seconds, sizes in bytes.

    `keepalive` sends an empty line when nothing was sent or received for so long. `flow` is how many data events a stream may
    be told before `update_flow`. `transform_header_name` is given each header name (lower-case bytes) before it is sent.
    `header_timeout` runs from the first byte of a response's head to its last, `response_timeout` from the end of the request to
    the first byte of the response, `idle_timeout` between two pieces of a response's content. The `max_` options bound what a
    peer may send; beyond them the connection fails with `LimitReached`. `max_cancelled_size` is how much of a cancelled
    response's content, framing included, is read for nothing before the connection is rather closed, `cancel_timeout` how long that
    may take while nothing else is under way.
    """

    prefix: ClassVar[str] = "http_opts."

    cancel_timeout: float | None = 5.0
    closing_timeout: float | None = 15.0
    flow: int | None = None
    header_timeout: float | None = 30.0
    idle_timeout: float | None = None
    keepalive: float | None = None
    max_cancelled_size: int = 64 * 1024
    max_chunk_extension_size: int = 256
    max_header_block_size: int = 64 * 1024
    max_header_count: int = 256
    max_informational: int = 16
    max_informational_size: int = 64 * 1024
    max_status_line_size: int = 8 * 1024
    max_trailer_block_size: int = 8 * 1024
    max_trailer_count: int = 64
    response_timeout: float | None = None
    transform_header_name: Callable[[bytes], bytes] | None = None
    version: str = "HTTP/1.1"

    def __post_init__(self) -> None:
        _check_seconds(
            self, "cancel_timeout", "closing_timeout", "keepalive", "header_timeout", "response_timeout", "idle_timeout", zero=False
        )
        _check_counts(self, "flow", optional=True)
        _check_counts(self, *(field.name for field in fields(self) if field.name.startswith("max_")))
        _check_callable(self, "transform_header_name")
        _check(self, "version", self.version in ("HTTP/1.1", "HTTP/1.0"), "'HTTP/1.1' or 'HTTP/1.0'")


#: RFC 9113: the largest window, and the bounds of SETTINGS_MAX_FRAME_SIZE.
_LARGEST_WINDOW = 2**31 - 1
_FRAME_SIZES = range(2**14, 2**24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Options:
    """
    Options of HTTP/2 (``http2_opts``). Times in seconds, sizes in bytes. Gun's names and defaults, but server push is off.

    `core` is "own", or "h2" for the reference on hyper-h2. `flow` is how many data events a stream may be told before `update_flow`;
    meanwhile its window is withheld. `keepalive` sends a PING so often; once `keepalive_tolerance` of them are unanswered the
    connection is given up. `max_waiting` is how many requests may wait while the peer's limit of concurrent streams is reached;
    with None they fail at once. `notify_settings_changed` tells the owner of each SETTINGS frame. `preface_timeout` is for the
    server's first frame, `settings_timeout` for the acknowledgment of ours, `header_timeout` for a header block that has begun.
    `send_timeout` is how long the server may leave the window closed that a request's content waits for, `response_timeout` from the end
    of a request to its response, `idle_timeout` between two pieces of that: such a stream is reset, and the others live on.

    The windows: `initial_connection_window_size` and `initial_stream_window_size` are what the peer may send before it waits, the
    bound of what an unread stream keeps in memory; a window is renewed to its size and margin when half of it is used, or no more
    than its threshold is left, but not beyond its `max_`. Streams whose send window is below `stream_window_data_threshold` send
    after the others. `max_concurrent_streams` bounds pushed streams, `max_streams` our own where the peer allows more.
    The other `max_` options bound what a peer may send: beyond them the stream, or the connection, fails with `LimitReached`.
    `max_glitches` is how many frames without use (PING, SETTINGS, PRIORITY, empty DATA and the like) may come at once, and
    `glitches_per_second` how many after that.
    """

    prefix: ClassVar[str] = "http2_opts."

    closing_timeout: float | None = 15.0
    connection_window_margin_size: int = 65_535
    connection_window_update_threshold: int = 163_840
    core: str = "own"
    enable_connect_protocol: bool = False
    enable_push: bool = False
    flow: int | None = None
    glitches_per_second: float = 33.0
    header_timeout: float | None = 30.0
    idle_timeout: float | None = None
    initial_connection_window_size: int = 8_000_000
    initial_stream_window_size: int = 8_000_000
    keepalive: float | None = None
    keepalive_tolerance: int | None = None
    max_concurrent_streams: int = 100
    max_connection_window_size: int = _LARGEST_WINDOW
    max_continuations: int = 8
    max_decode_table_size: int = 4096
    max_encode_table_size: int = 4096
    max_fragmented_header_block_size: int = 32 * 1024
    max_frame_size_received: int = 16 * 1024
    max_frame_size_sent: int | None = None
    max_glitches: int = 1000
    max_header_count: int = 256
    max_header_list_size: int = 64 * 1024
    max_informational: int = 16
    max_stream_window_size: int = _LARGEST_WINDOW
    max_streams: int = 1000
    max_waiting: int | None = None
    notify_settings_changed: bool = False
    preface_timeout: float | None = 5.0
    response_timeout: float | None = None
    send_timeout: float | None = 15.0
    settings_timeout: float | None = 5.0
    stream_window_data_threshold: int = 16_384
    stream_window_margin_size: int = 65_535
    stream_window_update_threshold: int = 163_840

    def __post_init__(self) -> None:
        _check_seconds(self, *(field.name for field in fields(self) if field.name.endswith("_timeout")), "keepalive", zero=False)
        _check_counts(self, "flow", "max_waiting", optional=True)
        _check_counts(self, "keepalive_tolerance", least=0, optional=True)
        _check_counts(self, "max_continuations", "max_encode_table_size", least=0)
        _check_counts(self, "max_fragmented_header_block_size", "max_glitches", "max_header_count")
        _check_counts(self, "max_informational", "max_streams")
        _check_counts(self, "stream_window_data_threshold", least=0)
        for name, least in (("max_concurrent_streams", 0), ("max_decode_table_size", 0), ("max_header_list_size", 1)):
            value = getattr(self, name)
            allowed = type(value) is int and least <= value < 2**32
            _check(self, name, allowed, f"a whole number from {least} to 4294967295 (RFC 9113 section 6.5.1)")
        _check(self, "glitches_per_second", _is_number(self.glitches_per_second) and self.glitches_per_second >= 0, "a number >= 0")
        _check(self, "core", self.core in ("own", "h2"), "'own' or 'h2'")
        _check_bools(self, "enable_connect_protocol", "enable_push", "notify_settings_changed")
        self._check_windows()
        for name in ("max_frame_size_received", "max_frame_size_sent"):
            size = getattr(self, name)
            allowed = (type(size) is int and size in _FRAME_SIZES) or (size is None and name == "max_frame_size_sent")
            _check(self, name, allowed, "a whole number from 16384 to 16777215 (RFC 9113 section 6.5.2)")

    def _check_windows(self) -> None:
        for kind, least in (("connection", 65_535), ("stream", 1)):
            for name in (f"initial_{kind}_window_size", f"max_{kind}_window_size"):
                size = getattr(self, name)
                allowed = type(size) is int and least <= size <= _LARGEST_WINDOW
                _check(self, name, allowed, f"a whole number from {least} to 2147483647 (RFC 9113 section 6.9.2)")
            _check_counts(self, f"{kind}_window_margin_size", f"{kind}_window_update_threshold", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateOptions:
    """
    What is offered of permessage-deflate, and how messages are compressed (``ws_opts.compress``); RFC 7692 section 7.1.

    The windows are powers of two in bytes, 8 to 15: `client_max_window_bits` of what we compress, `server_max_window_bits` of what the
    server does. With `client_no_context_takeover` we, with `server_no_context_takeover` the server, compress each message by itself, which
    takes less memory and compresses less. `level` and `memory_level` are zlib's. Messages below `threshold` bytes are not compressed.
    """

    prefix: ClassVar[str] = "ws_opts.compress."

    client_max_window_bits: int = 15
    client_no_context_takeover: bool = False
    level: int = 6
    memory_level: int = 8
    server_max_window_bits: int = 15
    server_no_context_takeover: bool = False
    threshold: int = 0

    def __post_init__(self) -> None:
        bounds = {"client_max_window_bits": (8, 15), "server_max_window_bits": (8, 15), "level": (0, 9), "memory_level": (1, 9)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            _check(self, name, type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")
        _check_bools(self, "client_no_context_takeover", "server_no_context_takeover")
        _check_counts(self, "threshold", least=0)


#: RFC 6455 section 4.1: the names of subprotocols are tokens.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WsOptions:
    """
    Options of websockets (``ws_opts``). Times in seconds, sizes in bytes. Gun's names and defaults.

    `closing_timeout` is for the server's answer to a Close frame, and for the end of the connection after it. `compress` offers
    permessage-deflate: True, or a `DeflateOptions` or a dict of its fields. `core` is "own", or "wsproto" for the reference. `flow` is how
    many frames may be told before `update_flow`. `keepalive` sends a ping so often; where nothing at all comes within `ping_timeout` after
    one, the websocket is given up. `max_message_size` bounds a message received, as it is after inflation, and `max_fragments`
    the frames it may come in: beyond them the websocket fails with `LimitReached`.

    `protocols` are the subprotocols offered, best first: names, or (name, protocol) pairs, where the protocol is a `WsProtocol`, or
    another callable that takes (stream, headers, options) and gives an object with `handle(frame)`; `default_protocol` is for
    where none was chosen or the chosen one names no protocol of its own. None tells each frame as a `Ws`. `require_protocol` fails
    where the server chooses none. `reply_to` is told of the stream. With `silence_pings` pings and pongs are not told; pings are
    answered all the same. `user_opts` is for protocols of your own.
    """

    prefix: ClassVar[str] = "ws_opts."

    closing_timeout: float | None = 15.0
    compress: Any = False
    core: str = "own"
    default_protocol: Any = None
    flow: int | None = None
    keepalive: float | None = None
    max_fragments: int = 10_000
    max_message_size: int = 16 * 1024 * 1024
    ping_timeout: float | None = 20.0
    protocols: tuple[Any, ...] = ()
    reply_to: Any = None
    require_protocol: bool = False
    silence_pings: bool = True
    user_opts: Any = None

    def __post_init__(self) -> None:
        _check_seconds(self, "closing_timeout", "keepalive", "ping_timeout", zero=False)
        _check_counts(self, "flow", optional=True)
        _check_counts(self, "max_fragments", "max_message_size")
        _check_bools(self, "require_protocol", "silence_pings")
        _check_callable(self, "default_protocol")
        _check(self, "core", self.core in ("own", "wsproto"), "'own' or 'wsproto'")
        if not isinstance(self.compress, bool):
            object.__setattr__(self, "compress", nested("ws_opts.compress", DeflateOptions, self.compress))
        object.__setattr__(self, "protocols", _subprotocols(self.protocols))

    @property
    def deflate(self) -> DeflateOptions | None:
        """What is offered of permessage-deflate; None for nothing."""
        if isinstance(self.compress, DeflateOptions):
            return self.compress
        return DeflateOptions() if self.compress else None


def _subprotocols(value: object) -> tuple[tuple[bytes, Any], ...]:
    """The subprotocols as (name, protocol) pairs, the names as bytes."""
    expected = "a list of names, or of (name, protocol) pairs whose protocol is a callable or None; names are tokens, none twice"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise OptionError("ws_opts.protocols", expected, value)
    entries = value.items() if isinstance(value, Mapping) else value
    pairs = [(entry, None) if isinstance(entry, (str, bytes)) else entry for entry in entries]
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], (str, bytes)) for pair in pairs):
        raise OptionError("ws_opts.protocols", expected, value)
    named = [(name.encode("utf-8", "replace") if isinstance(name, str) else name, protocol) for name, protocol in pairs]
    fit = all(_TOKEN.fullmatch(name) and (protocol is None or callable(protocol)) for name, protocol in named)
    if not fit or len({name for name, _ in named}) != len(named):
        raise OptionError("ws_opts.protocols", expected, value)
    return tuple(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpOptions:
    """
    Options of the socket (``tcp_opts``).

    `send_timeout` is how long, in seconds, the peer may take none of what waits to be sent before the connection is aborted.
    `bind_address` is the local address, a (host, port) pair with port 0 for any.
    """

    prefix: ClassVar[str] = "tcp_opts."

    bind_address: tuple[str, int] | None = None
    keepalive: bool = True
    nodelay: bool = True
    send_timeout: float | None = 15.0

    def __post_init__(self) -> None:
        bind = self.bind_address
        pair = isinstance(bind, (tuple, list)) and len(bind) == 2 and isinstance(bind[0], str) and type(bind[1]) is int
        _check(self, "bind_address", bind is None or pair, "a (host, port) pair, or None")
        _check_bools(self, "keepalive", "nodelay")
        _check_seconds(self, "send_timeout", zero=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """
    Options of TLS (``tls_opts``).

    `trust_root` is the path of a PEM file or of a folder of them, or an `IOpenSSLTrustRoot`; None takes the system's.
    `client_certificate` is the path of a PEM file with certificate, chain and key, or a `PrivateCertificate`. `server_name` is sent
    as SNI and is the name the certificate must hold, where that is not the host dialled. `verify=False` accepts any certificate.
    `pins` are SHA-256 digests of the public key (SPKI), hexadecimal, base64 or bytes: one must match, in addition to all else.
    `minimum` is the lowest version spoken, "1.2" or "1.3". `ciphers` is an OpenSSL cipher list. `keylog` is the path of a file that
    gets the session keys, for debugging.
    """

    prefix: ClassVar[str] = "tls_opts."

    ciphers: str | None = None
    client_certificate: Any = None
    keylog: str | None = None
    minimum: str = "1.2"
    pins: tuple[bytes, ...] = ()
    server_name: str | None = None
    trust_root: Any = None
    verify: bool = True

    def __post_init__(self) -> None:
        _check(self, "ciphers", self.ciphers is None or isinstance(self.ciphers, str), "an OpenSSL cipher list, or None")
        _check(self, "keylog", self.keylog is None or isinstance(self.keylog, str), "the path of a file, or None")
        _check(self, "minimum", self.minimum in ("1.2", "1.3"), "'1.2' or '1.3'")
        name = self.server_name
        _check(self, "server_name", name is None or (isinstance(name, str) and name != ""), "a host name, or None")
        _check_bools(self, "verify")
        single = isinstance(self.pins, (str, bytes)) or not isinstance(self.pins, Iterable)
        _check(self, "pins", not single, "a list of SHA-256 digests: 32 bytes, 64 hexadecimal digits or base64")
        object.__setattr__(self, "pins", tuple(_digest(self, pin) for pin in self.pins))


def _digest(owner: object, pin: object) -> bytes:
    """The 32 bytes of a SHA-256 digest given as bytes, hexadecimal or base64."""
    if isinstance(pin, bytes) and len(pin) == 32:
        return pin
    if isinstance(pin, str):
        try:
            digest = bytes.fromhex(pin) if len(pin) == 64 else base64.b64decode(pin.removeprefix("sha256//"), validate=True)
        except ValueError:
            digest = b""
        if len(digest) == 32:
            return digest
    raise OptionError("tls_opts.pins", "SHA-256 digests: 32 bytes, 64 hexadecimal digits or base64", pin)


_NESTED: dict[str, type[Any]] = {
    "http_opts": HttpOptions,
    "http2_opts": Http2Options,
    "tcp_opts": TcpOptions,
    "tls_opts": TlsOptions,
    "ws_opts": WsOptions,
}

#: What Gun has and this version has not yet, so that asking for it says so.
_NOT_YET = frozenset(
    {
        "content_handlers",
        "cookie_ignore_informational",
        "cookie_store",
        "event_handler",
        "proxy",
        "raw_opts",
        "socks_opts",
    }
)

_PROTOCOLS = ("http", "http2", "raw", "socks")
_OWN: dict[str, type[Any]] = {"http": HttpOptions, "http2": Http2Options}
_ALPN = {"http": b"http/1.1", "http2": b"h2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    The options of a connection. Times in seconds; None means no limit. See Gun's manual, gun(3).

    `connect_timeout`, `domain_lookup_timeout` and `tls_handshake_timeout` bound one step each. `protocols` lists what may be spoken,
    best first: one over TCP; over TLS the list is offered by ALPN; None is "http" over TCP, and over TLS "http2" and "http". `retry` is
    how many more attempts follow a failed one or a lost connection: the first at once, the others every `retry_timeout`.
    `retry_fun(retries, options)` decides instead, before the first retry too, giving ``{"retries": left, "timeout": seconds}``; it is
    not asked where none are left. `on_up` is called with the connection each time that it is up, after `gun_up`: the place to upgrade to a
    websocket again; a coroutine function is run. What it asks for is sent after what has waited.
    `max_waiting` is how many requests may wait for the connection to be up. `transport` is "tcp" or "tls" ("ssl" is the same); None
    is "tls" on port 443 and "tcp" elsewhere. `endpoint` is any `IStreamClientEndpoint` to dial instead of host and port.
    `supervise` is accepted for Gun's sake: there is no supervisor here. `trace` logs what happens to the connection.
    """

    connect_timeout: float | None = 10.0
    domain_lookup_timeout: float | None = 5.0
    endpoint: Any = None
    http_opts: HttpOptions = field(default_factory=HttpOptions)
    http2_opts: Http2Options = field(default_factory=Http2Options)
    max_waiting: int = 1000
    on_up: Callable[[Any], object] | None = None
    protocols: tuple[Any, ...] | None = None
    retry: int = 5
    retry_fun: RetryFunction | None = None
    retry_timeout: float = 5.0
    supervise: bool = True
    tcp_opts: TcpOptions = field(default_factory=TcpOptions)
    tls_handshake_timeout: float | None = 10.0
    tls_opts: TlsOptions = field(default_factory=TlsOptions)
    trace: bool = False
    transport: str | None = None
    ws_opts: WsOptions = field(default_factory=WsOptions)

    def __post_init__(self) -> None:
        _check_seconds(self, "connect_timeout", "domain_lookup_timeout", "tls_handshake_timeout")
        _check(self, "retry_timeout", _is_number(self.retry_timeout) and self.retry_timeout >= 0, "seconds, a number >= 0")
        _check_counts(self, "retry", least=0)
        _check_counts(self, "max_waiting")
        _check_callable(self, "on_up", "retry_fun")
        _check_bools(self, "supervise", "trace")
        _check(self, "transport", self.transport in (None, "tcp", "tls", "ssl"), "'tcp' or 'tls'; HTTP/3 (quic) is not spoken here")
        connects = self.endpoint is None or callable(getattr(self.endpoint, "connect", None))
        _check(self, "endpoint", connects, "an IStreamClientEndpoint, or None")
        for name, kind in _NESTED.items():
            object.__setattr__(self, name, nested(name, kind, getattr(self, name)))
        if self.protocols is not None:
            object.__setattr__(self, "protocols", _protocols(self.protocols))

    def settled(self, port: int) -> Options:
        """These options with everything decided that depends on `port`; raises `OptionError` where that does not fit together."""
        transport = "tls" if self.transport in ("tls", "ssl") or (self.transport is None and port == 443) else "tcp"
        protocols = self.protocols or _protocols(["http2", "http"] if transport == "tls" else ["http"])
        if transport == "tcp" and len(protocols) != 1:
            raise OptionError("protocols", "exactly one protocol where the transport is tcp", self.protocols)
        names = [name for name, _ in protocols]
        if any(name in ("raw", "socks") for name in names):
            raise OptionError("protocols", "'http' or 'http2': this version speaks no other protocol yet", names)
        defaults = {"http": self.http_opts, "http2": self.http2_opts}
        settled = tuple((name, defaults[name] if own is None else own) for name, own in protocols)
        return replace(self, transport=transport, protocols=settled)

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """What ALPN (RFC 7301) offers, in the order of `protocols`."""
        return tuple(_ALPN[name] for name, _ in self.protocols or () if name in _ALPN)


def make_options(options: Options | None, keywords: Mapping[str, Any], port: int) -> Options:
    """Options from an `Options`, changed by `keywords`; raises `OptionError` for a name or a value that cannot be used."""
    if options is not None and not isinstance(options, Options):
        raise OptionError("options", "a twisted_gun.Options, or None", options)
    known = {option.name for option in fields(Options)}
    changes = _without_alias(options, keywords, port)
    for name in changes:
        if name in _NOT_YET:
            raise OptionError(name, "to be left out: this version does not have it yet")
        if name not in known:
            raise OptionError(name, f"one of the options {', '.join(sorted(known))}")
    return replace(options or Options(), **changes)


def _without_alias(options: Options | None, keywords: Mapping[str, Any], port: int) -> dict[str, Any]:
    """`keywords` with ``transport_opts``, Gun 1's name, put where it belongs."""
    changes = dict(keywords)
    if "transport_opts" in changes:
        transport = changes.get("transport") or (options and options.transport) or ("tls" if port == 443 else "tcp")
        name = "tls_opts" if transport in ("tls", "ssl") else "tcp_opts"
        if name in changes:
            raise OptionError("transport_opts", f"to be left out where {name} is given", changes["transport_opts"])
        changes[name] = changes.pop("transport_opts")
    return changes


def nested(name: str, kind: type[_Value], value: object) -> _Value:
    """`value` as options of that `kind`, which may be given as a dict; raises `OptionError`."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(name, f"a dict or a {kind.__name__}", value)
    known = {option.name for option in fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key in _NOT_YET:
            raise OptionError(f"{name}.{key}", "to be left out: this version does not have it yet")
        if key not in known:
            raise OptionError(f"{name}.{key}", f"one of the options {', '.join(sorted(known))}", value[key])
    return kind(**value)


def _protocols(value: object) -> tuple[tuple[str, Any], ...]:
    """The list as (name, options) pairs; a protocol's own options replace those of the connection, as Gun does."""
    expected = "a list of 'http', 'http2' or (name, options) pairs, none twice"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise OptionError("protocols", expected, value)
    pairs = [(entry, None) if isinstance(entry, str) else entry for entry in value]
    fit = all(isinstance(pair, (tuple, list)) and len(pair) == 2 and pair[0] in _PROTOCOLS for pair in pairs)
    if not pairs or not fit or len({pair[0] for pair in pairs}) != len(pairs):
        raise OptionError("protocols", expected, value)
    return tuple((name, own if own is None or name not in _OWN else nested(f"{name}_opts", _OWN[name], own)) for name, own in pairs)
