"""Which core speaks HTTP/2, or websockets: our own, or the reference; and which where there is an event handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted_gun.options import Http2Options, WsOptions
from twisted_gun.wire.core import HttpCore, WsCore
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.watched import BegunWebsocket, WatchedHttp2, WatchedWebsocket
from twisted_gun.wire.websocket import Websocket

__all__ = ["http2_core", "watched_http2_core", "watched_websocket_core", "websocket_core"]


def http2_core(options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> HttpCore:
    """The core that `options.core` names; `promised` makes the key of a pushed stream, from its parent's and its method."""
    if options.core == "h2":
        # Here, since h2 takes its time to be imported, and only those who ask for it need it.
        from twisted_gun.wire.reference.http2 import Http2 as Reference

        return Reference(options, scheme, promised)
    return Http2(options, scheme, promised)


def websocket_core(stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> WsCore:
    """The core that `options.core` names, for what was agreed; `silent` where pings and pongs are not told."""
    if options.core == "wsproto":
        from twisted_gun.wire.reference.websocket import Websocket as Reference

        return Reference(stream, options, agreement, silent)
    return Websocket(stream, options, agreement, silent)


def watched_http2_core(options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> HttpCore:
    """As `http2_core`, but one that notices things for an event handler."""
    if options.core == "h2":
        from twisted_gun.wire.reference.watched import WatchedHttp2 as Reference

        return Reference(options, scheme, promised)
    return WatchedHttp2(options, scheme, promised)


def watched_websocket_core(stream: Any, options: WsOptions, agreement: Agreement, silent: bool, frames: bool) -> WsCore:
    """As `websocket_core`, but one that notices for an event handler that it has begun, and with `frames` each of those."""
    kinds: tuple[Callable[..., WsCore], Callable[..., WsCore]] = BegunWebsocket, WatchedWebsocket
    if options.core == "wsproto":
        from twisted_gun.wire.reference import watched

        kinds = watched.BegunWebsocket, watched.WatchedWebsocket
    return kinds[frames](stream, options, agreement, silent)
