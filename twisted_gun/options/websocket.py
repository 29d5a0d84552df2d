"""Options of websockets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from twisted_gun.errors import OptionError
from twisted_gun.options.checks import check, check_bools, check_callable, check_counts, check_seconds, nested

__all__ = ["DeflateOptions", "WsOptions"]


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
            check(self, name, type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")
        check_bools(self, "client_no_context_takeover", "server_no_context_takeover")
        check_counts(self, "threshold", least=0)


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
        check_seconds(self, "closing_timeout", "keepalive", "ping_timeout", zero=False)
        check_counts(self, "flow", optional=True)
        check_counts(self, "max_fragments", "max_message_size")
        check_bools(self, "require_protocol", "silence_pings")
        check_callable(self, "default_protocol")
        check(self, "core", self.core in ("own", "wsproto"), "'own' or 'wsproto'")
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
