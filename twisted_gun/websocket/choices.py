"""
What the websocket helpers can be told: `Options` of a connection to make, and `UpgradeOptions` of an upgrade.

Both are values: each ``with_`` function gives a new one, and raises `OptionError`, or `InvalidRequest` for headers, where that cannot be
used. The names are gluegun's; what they stand for is `twisted_gun.Options` and `twisted_gun.WsOptions`. Nothing is connected here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from twisted_gun.errors import OptionError
from twisted_gun.headers import HeadersLike, normalise
from twisted_gun.options import Options as ConnectOptions
from twisted_gun.options import WsOptions, nested
from twisted_gun.receivers import check_timeout

__all__ = [
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
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOptions:
    """
    Options of an upgrade: `ws_opts`, and the `tunnel` it goes through.

    As long as `ws_opts` is None those hold that the connection was opened with. Once one is chosen, the others have their defaults.
    """

    ws_opts: WsOptions | None = None
    tunnel: Any = None

    def __post_init__(self) -> None:
        if self.ws_opts is not None:
            object.__setattr__(self, "ws_opts", nested("ws_opts", WsOptions, self.ws_opts))


#: Only HTTP/1.1, which is what the helpers upgrade; and never again: a websocket that is lost does not come back by a new connection.
_CONNECT_OPTIONS = ConnectOptions(protocols=("http",), retry=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    Options of `connect` and `with_socket`.

    `connect_options` open the connection: by default it speaks only HTTP/1.1, and dials once (``retry=0``). `headers` go with the
    request. `timeout`, in seconds or None for no limit, is for the connection, for the upgrade, and for each frame.
    """

    connect_options: ConnectOptions = _CONNECT_OPTIONS
    headers: HeadersLike = field(default=(), repr=False)  # credentials may be among them
    timeout: float | None = 5.0
    upgrade_options: UpgradeOptions = UpgradeOptions()

    def __post_init__(self) -> None:
        if not isinstance(self.connect_options, ConnectOptions):
            raise OptionError("connect_options", "a twisted_gun.Options", self.connect_options)
        if not isinstance(self.upgrade_options, UpgradeOptions):
            raise OptionError("upgrade_options", "a twisted_gun.websocket.UpgradeOptions", self.upgrade_options)
        check_timeout(self.timeout)
        object.__setattr__(self, "headers", normalise(self.headers))


def options() -> Options:
    """The default options: only HTTP/1.1, one attempt, no headers, five seconds."""
    return Options()


def with_connect_options(options: Options, connect_options: ConnectOptions) -> Options:
    """Open the connection with these `twisted_gun.Options`, instead of the default ones: name ``protocols=["http"]`` in them."""
    return replace(options, connect_options=connect_options)


def with_headers(options: Options, headers: HeadersLike) -> Options:
    """Send these headers with the request."""
    return replace(options, headers=headers)


def with_timeout(options: Options, timeout: float | None) -> Options:
    """Wait this long, in seconds, for the connection, for the upgrade, and for each frame."""
    return replace(options, timeout=timeout)


def with_upgrade_options(options: Options, upgrade_options: UpgradeOptions) -> Options:
    """Upgrade with these options."""
    return replace(options, upgrade_options=upgrade_options)


def upgrade_options() -> UpgradeOptions:
    """No choice: the options hold that the connection was opened with."""
    return UpgradeOptions()


def with_closing_timeout(upgrade_options: UpgradeOptions, timeout: float | None) -> UpgradeOptions:
    """Wait this long for the answer to a Close frame."""
    return _choose(upgrade_options, closing_timeout=timeout)


def with_compress(upgrade_options: UpgradeOptions, compress: Any) -> UpgradeOptions:
    """Offer permessage-deflate (RFC 7692), or do not; a `twisted_gun.DeflateOptions` says how."""
    return _choose(upgrade_options, compress=compress)


def with_default_protocol_module(upgrade_options: UpgradeOptions, module: Any) -> UpgradeOptions:
    """Give the frames to this subclass of `WsProtocol`, or other callable, where no subprotocol has one of its own."""
    return _choose(upgrade_options, default_protocol=module)


def with_flow(upgrade_options: UpgradeOptions, flow: int) -> UpgradeOptions:
    """Take so many frames before ``socket.stream.update_flow``."""
    return _choose(upgrade_options, flow=flow)


def with_keepalive(upgrade_options: UpgradeOptions, timeout: float | None) -> UpgradeOptions:
    """Send a ping so often, in seconds. In Gun this has no effect when it is given with an upgrade; here it has."""
    return _choose(upgrade_options, keepalive=timeout)


def with_protocol_module(upgrade_options: UpgradeOptions, name: str, module: Any = None) -> UpgradeOptions:
    """Offer one more subprotocol, after those before it; `module`, as in `with_default_protocol_module`, is given its frames."""
    offered = () if upgrade_options.ws_opts is None else upgrade_options.ws_opts.protocols
    return _choose(upgrade_options, protocols=(*offered, (name, module)))


def with_reply_to_dynamic(upgrade_options: UpgradeOptions, reply_to: Any) -> UpgradeOptions:
    """Tell this receiver of the stream; then nothing can be awaited of it, so that `connect` fails with `BadState`."""
    return _choose(upgrade_options, reply_to=reply_to)


#: The name it has in later versions of gluegun.
with_reply_to_raw = with_reply_to_dynamic


def with_silence_pings(upgrade_options: UpgradeOptions, silence: bool) -> UpgradeOptions:
    """With False `receive_frame` gives pings and pongs too; the pings are answered already."""
    return _choose(upgrade_options, silence_pings=silence)


def with_tunnel_dynamic(upgrade_options: UpgradeOptions, tunnel: Any) -> UpgradeOptions:
    """Upgrade a stream in this tunnel."""
    return replace(upgrade_options, tunnel=tunnel)


def with_user_opts_dynamic(upgrade_options: UpgradeOptions, user_opts: Any) -> UpgradeOptions:
    """Give this to the protocols of `with_protocol_module`."""
    return _choose(upgrade_options, user_opts=user_opts)


def _choose(upgrade_options: UpgradeOptions, **choice: Any) -> UpgradeOptions:
    return replace(upgrade_options, ws_opts=replace(upgrade_options.ws_opts or WsOptions(), **choice))
