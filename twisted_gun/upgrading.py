"""
What a caller asks for when it asks for a websocket: checked and converted once, at the border, as `request.py` does it for others.

It knows neither streams nor connections; what the server's answer must be is in `wire/handshake.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted_gun.errors import InvalidRequest
from twisted_gun.headers import HeadersLike, Text, check_authority, check_target, normalise, take
from twisted_gun.options import WsOptions, nested
from twisted_gun.request import RequestOptions, check_request_options
from twisted_gun.wire.core import Request
from twisted_gun.wire.handshake import OWN_FIELDS, opening_fields

__all__ = ["WsUpgrade", "make_upgrade"]

#: Gun has these among the options of a websocket where it is asked for.
_REQUEST_OPTIONS = ("reply_to", "tunnel", "invalid_request_headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class WsUpgrade:
    """A request for a websocket, with the options it is asked for with, and who is told of it."""

    request: Request
    options: WsOptions
    reply_to: Any


def make_upgrade(
    path: Text,
    headers: HeadersLike,
    ws_opts: Any,
    request_options: Mapping[str, Any],
    usual: WsOptions,
    defaults: RequestOptions,
    authority: bytes,
) -> WsUpgrade:
    """The upgrade; raises `InvalidRequest` or `OptionError`. `usual` are the options where `ws_opts` is None."""
    given = dict(request_options)
    if isinstance(ws_opts, Mapping):
        ws_opts = dict(ws_opts)
        given = {**{name: ws_opts.pop(name) for name in _REQUEST_OPTIONS if name in ws_opts}, **given}
    options = usual if ws_opts is None else nested("ws_opts", WsOptions, ws_opts)
    if options.reply_to is not None:
        given.setdefault("reply_to", options.reply_to)
    chosen = check_request_options(given, defaults)
    if chosen.flow is not None:
        options = replace(options, flow=None if chosen.flow == math.inf else int(chosen.flow))
    fields, host = take(normalise(headers, drop_invalid=chosen.drop_invalid), b"host")
    _check_fields(fields)
    request = Request(
        method=b"GET",
        target=check_target(path, b"GET"),
        authority=check_authority(host[b"host"]) if host else authority,
        headers=(*opening_fields(options), *fields),
        body=b"",
        flow=chosen.flow,
        protocol=b"websocket",
    )
    return WsUpgrade(request=request, options=options, reply_to=chosen.reply_to)


def _check_fields(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    for name, _ in fields:
        if name in OWN_FIELDS:
            ours = {b"sec-websocket-protocol": "protocols", b"sec-websocket-extensions": "compress"}.get(name)
            instead = f"; give ws_opts.{ours}" if ours else ""
            raise InvalidRequest(f"header {name.decode()}: the handshake of a websocket says this itself{instead}")
        if name in (b"content-length", b"transfer-encoding"):
            raise InvalidRequest(f"header {name.decode()}: a request for a websocket has no content")
