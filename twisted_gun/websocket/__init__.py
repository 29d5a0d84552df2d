"""
Websockets at two levels above `Connection.ws_upgrade`.

By host and port there are the helpers of Gleam's ``gluegun/websocket``: `connect` and `with_socket`, which give a `Socket`, and the
functions under them. `twisted_gun.websocket.connection` and `twisted_gun.websocket.message` have the names that their examples use. By
URL there is what Elixir's ReqWebSocket has: `attach` makes a `Request`, whose `Response` is a websocket.

`send_frame`, `send_frames` and `close` serve both levels: the handle is a `Socket` or a `Response`.

`twisted_gun.websocket.adapter` lets objects written for ``twisted.web.websocket`` run over a connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twisted_gun.websocket.by_url import (
    CLOSE,
    PING,
    PONG,
    FrameLike,
    RedirectRefused,
    Request,
    Response,
    StatusError,
    TooManyRedirects,
    attach,
    parse_message,
)
from twisted_gun.websocket.choices import (
    Options,
    UpgradeOptions,
    options,
    upgrade_options,
    with_closing_timeout,
    with_compress,
    with_connect_options,
    with_default_protocol_module,
    with_flow,
    with_headers,
    with_keepalive,
    with_protocol_module,
    with_reply_to_dynamic,
    with_reply_to_raw,
    with_silence_pings,
    with_timeout,
    with_tunnel_dynamic,
    with_upgrade_options,
    with_user_opts_dynamic,
)
from twisted_gun.websocket.connect_options import ConnectOptions
from twisted_gun.websocket.sockets import (
    Connecting,
    InvalidMessage,
    Sendable,
    Socket,
    await_upgrade,
    connect,
    ping,
    pong,
    receive,
    receive_app_frame,
    receive_frame,
    send,
    send_binary,
    send_many,
    send_text,
    upgrade,
    upgrade_with_options,
    upgrade_with_protocol,
    upgrade_with_protocol_and_options,
    with_socket,
)

__all__ = [
    # choices.py
    "Options",
    "UpgradeOptions",
    "options",
    "upgrade_options",
    "with_closing_timeout",
    "with_compress",
    "with_connect_options",
    "with_default_protocol_module",
    "with_flow",
    "with_headers",
    "with_keepalive",
    "with_protocol_module",
    "with_reply_to_dynamic",
    "with_reply_to_raw",
    "with_silence_pings",
    "with_timeout",
    "with_tunnel_dynamic",
    "with_upgrade_options",
    "with_user_opts_dynamic",
    # sockets.py
    "Connecting",
    "InvalidMessage",
    "Sendable",
    "Socket",
    "await_upgrade",
    "connect",
    "ping",
    "pong",
    "receive",
    "receive_app_frame",
    "receive_frame",
    "send",
    "send_binary",
    "send_many",
    "send_text",
    "upgrade",
    "upgrade_with_options",
    "upgrade_with_protocol",
    "upgrade_with_protocol_and_options",
    "with_socket",
    # by_url.py
    "CLOSE",
    "PING",
    "PONG",
    "ConnectOptions",
    "FrameLike",
    "RedirectRefused",
    "Request",
    "Response",
    "StatusError",
    "TooManyRedirects",
    "attach",
    "parse_message",
    # here
    "Handle",
    "close",
    "send_frame",
    "send_frames",
]


class Handle(Protocol):
    """What `send_frame`, `send_frames` and `close` take: a `Socket`, or a `Response`."""

    def send_frame(self, frame: Any) -> Deferred[Any]:
        """Send one frame."""

    def send_frames(self, frames: Any) -> Deferred[Any]:
        """Send frames in their order."""

    def close(self) -> Deferred[Any]:
        """Send a Close frame."""


def send_frame(handle: Handle, frame: Any) -> Deferred[Any]:
    """Send one frame."""
    return handle.send_frame(frame)


def send_frames(handle: Handle, frames: Iterable[Any]) -> Deferred[Any]:
    """Send frames in their order."""
    return handle.send_frames(frames)


def close(handle: Handle) -> Deferred[Any]:
    """Send a Close frame; see `Socket.close` and `Response.close`."""
    return handle.close()
