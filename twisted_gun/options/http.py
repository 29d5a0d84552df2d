"""Options of HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from twisted_gun.options.checks import check, check_bools, check_callable, check_counts, check_seconds, is_number
from twisted_gun.options.content import handler_list

__all__ = ["Http2Options", "HttpOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """
    Options of HTTP/1.1 (``http_opts``). Times in seconds, sizes in bytes.

    `keepalive` sends an empty line when nothing was sent or received for so long. `flow` is how many data events a stream may
    be told before `update_flow`. `content_handlers` are `ContentHandler` classes, each alone or with its options as a pair, which have
    the content of each response first, in their order. `cookie_ignore_informational` takes no cookies from interim responses.
    `transform_header_name` is given each header name (lower-case bytes) before it is sent.
    `lenient` takes heads of responses that browsers take: their lines may end with LF alone (RFC 9112 section 2.2), and those that are no
    header fields are left out, unless they may be meant to frame the content.
    `header_timeout` runs from the first byte of a response's head to its last, `response_timeout` from the end of the request to
    the first byte of the response, `idle_timeout` between two pieces of a response's content. The `max_` options bound what a
    peer may send; beyond them the connection fails with `LimitReached`. `max_cancelled_size` is how much of a cancelled
    response's content, framing included, is read for nothing before the connection is rather closed, `cancel_timeout` how long that
    may take while nothing else is under way.
    """

    prefix: ClassVar[str] = "http_opts."

    cancel_timeout: float | None = 5.0
    closing_timeout: float | None = 15.0
    content_handlers: Any = ()
    cookie_ignore_informational: bool = False
    flow: int | None = None
    header_timeout: float | None = 30.0
    idle_timeout: float | None = None
    keepalive: float | None = None
    lenient: bool = False
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
        check_seconds(
            self, "cancel_timeout", "closing_timeout", "keepalive", "header_timeout", "response_timeout", "idle_timeout", zero=False
        )
        check_counts(self, "flow", optional=True)
        check_counts(self, *(field.name for field in fields(self) if field.name.startswith("max_")))
        check_bools(self, "cookie_ignore_informational", "lenient")
        check_callable(self, "transform_header_name")
        object.__setattr__(self, "content_handlers", handler_list(self))
        check(self, "version", self.version in ("HTTP/1.1", "HTTP/1.0"), "'HTTP/1.1' or 'HTTP/1.0'")


#: RFC 9113: the largest window, and the bounds of SETTINGS_MAX_FRAME_SIZE.
_LARGEST_WINDOW = 2**31 - 1
_FRAME_SIZES = range(2**14, 2**24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Options:
    """
    Options of HTTP/2 (``http2_opts``). Times in seconds, sizes in bytes. Gun's names and defaults, but server push is off.

    `core` is "own", or "h2" for the reference on hyper-h2. `content_handlers` and `cookie_ignore_informational` are as HTTP/1.1's.
    `flow` is how many data events a stream may be told before `update_flow`; meanwhile its window is withheld. `keepalive` sends a PING
    so often; once `keepalive_tolerance` of them are unanswered the connection is given up. `max_waiting` is how many requests may wait
    while the peer's limit of concurrent streams is reached; with None they fail at once. `notify_settings_changed` tells the owner of
    each SETTINGS frame. `preface_timeout` is for the server's first frame, `settings_timeout` for the acknowledgment of ours,
    `header_timeout` for a header block that has begun. `send_timeout` is how long the server may leave the window closed that a
    request's content waits for, `response_timeout` from the end of a request to its response, `idle_timeout` between two pieces of
    that: such a stream is reset, and the others live on.

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
    content_handlers: Any = ()
    cookie_ignore_informational: bool = False
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
        check_seconds(self, *(field.name for field in fields(self) if field.name.endswith("_timeout")), "keepalive", zero=False)
        check_counts(self, "flow", "max_waiting", optional=True)
        check_counts(self, "keepalive_tolerance", least=0, optional=True)
        check_counts(self, "max_continuations", "max_encode_table_size", least=0)
        check_counts(self, "max_fragmented_header_block_size", "max_glitches", "max_header_count")
        check_counts(self, "max_informational", "max_streams")
        check_counts(self, "stream_window_data_threshold", least=0)
        for name, least in (("max_concurrent_streams", 0), ("max_decode_table_size", 0), ("max_header_list_size", 1)):
            value = getattr(self, name)
            allowed = type(value) is int and least <= value < 2**32
            check(self, name, allowed, f"a whole number from {least} to 4294967295 (RFC 9113 section 6.5.1)")
        check(self, "glitches_per_second", is_number(self.glitches_per_second) and self.glitches_per_second >= 0, "a number >= 0")
        check(self, "core", self.core in ("own", "h2"), "'own' or 'h2'")
        check_bools(self, "cookie_ignore_informational", "enable_connect_protocol", "enable_push", "notify_settings_changed")
        object.__setattr__(self, "content_handlers", handler_list(self))
        self._check_windows()
        for name in ("max_frame_size_received", "max_frame_size_sent"):
            size = getattr(self, name)
            allowed = (type(size) is int and size in _FRAME_SIZES) or (size is None and name == "max_frame_size_sent")
            check(self, name, allowed, "a whole number from 16384 to 16777215 (RFC 9113 section 6.5.2)")

    def _check_windows(self) -> None:
        for kind, least in (("connection", 65_535), ("stream", 1)):
            for name in (f"initial_{kind}_window_size", f"max_{kind}_window_size"):
                size = getattr(self, name)
                allowed = type(size) is int and least <= size <= _LARGEST_WINDOW
                check(self, name, allowed, f"a whole number from {least} to 2147483647 (RFC 9113 section 6.9.2)")
            check_counts(self, f"{kind}_window_margin_size", f"{kind}_window_update_threshold", least=0)
