"""The options of `twisted_gun.open` and of `EventSource` that follow from a client's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint

from twisted_gun import __version__
from twisted_gun.errors import GunError, OptionError
from twisted_gun.exits import in_words
from twisted_gun.gunclient.patience import Patience
from twisted_gun.gunclient.settings import Settings
from twisted_gun.net.factory import backoff
from twisted_gun.net.tls import connection_creator
from twisted_gun.options import Options

__all__ = ["check_connection", "event_source_options", "first_wait", "headers_of", "named", "open_options", "patience", "place_of"]

#: The command line's name for an option of the package.
_NAMES = {
    "proxy": "proxy",
    "proxy_mode": "proxy-mode",
    "protocols": "protocol",
    "tls_opts.client_certificate": "cert",
    "tls_opts.trust_root": "cacert",
    "ws_opts.protocols": "subprotocol",
}


def open_options(settings: Settings) -> dict[str, Any]:
    """What `twisted_gun.open` is given, but for who is told."""
    step = settings.connect_timeout
    ws_opts = {
        "closing_timeout": settings.closing_timeout,
        "compress": settings.compress,
        "keepalive": settings.ping,
        "protocols": settings.subprotocol,
    }
    return {
        "connect_timeout": step,
        "domain_lookup_timeout": step,
        "tls_handshake_timeout": step,
        "tunnel_timeout": step,
        "http_opts": _http(settings),
        "http2_opts": {**_http(settings), "keepalive": settings.ping, "keepalive_tolerance": 1},
        "ws_opts": ws_opts,
        "protocols": _protocols(settings),
        "proxy": "env" if settings.proxy == ("env",) else settings.proxy,
        "proxy_mode": _proxy_mode(settings),
        "tls_opts": {"trust_root": settings.cacert, "client_certificate": settings.cert, "verify": not settings.insecure},
        "retry_fun": backoff(first_wait(settings), settings.retry_longest),
    }


def patience(settings: Settings, give_up: Callable[[int], object]) -> Patience | None:
    """What decides instead, and calls `give_up`; None where nothing is ever given up."""
    return None if settings.retry is None else Patience(settings.retry, first_wait(settings), settings.retry_longest, give_up)


def event_source_options(settings: Settings, reactor: Any) -> dict[str, Any]:
    """What `EventSource` is given besides its URL, but for who is told."""
    options = open_options(settings)
    del options["retry_fun"]
    longest = settings.retry_longest
    if settings.address.unix is not None:
        options["endpoint"] = UNIXClientEndpoint(reactor, settings.address.unix)
    return {
        **options,
        "max_failures": settings.retry,
        "max_retry": longest,
        "min_retry": min(0.5, longest),
        "retry": min(3.0, longest) if settings.retry_first is None else settings.retry_first,
    }


def place_of(settings: Settings) -> dict[str, Any]:
    """Where to connect to, as `GunClientService` is told."""
    address = settings.address
    if address.unix is not None:
        return {"path": address.unix, "transport": "tcp"}
    return {"host": address.host, "port": address.port, "transport": "tls" if address.secure else "tcp"}


def headers_of(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The header fields of each request."""
    given = {name.lower() for name, _ in settings.headers}
    return settings.headers if "user-agent" in given else (*settings.headers, ("user-agent", f"twisted_gun/{__version__}"))


def check_connection(settings: Settings) -> None:
    """Raises `GunError` for what only making a connection would show: options that do not fit together, files of TLS that are no good."""
    place = place_of(settings)
    options = Options(**open_options(settings), transport=place["transport"]).settled(settings.address.port)
    if settings.address.unix is not None and options.proxy not in ((), "env"):
        raise GunError("--proxy: expected to be left out for a UNIX socket")
    if settings.address.secure:
        connection_creator(settings.address.host, options.tls_opts, options.alpn)


def named(error: Exception) -> str:
    """What `error` says, with the option's name on the command line."""
    if not isinstance(error, OptionError):
        return str(error)
    return in_words(error, f"--{_NAMES[error.option]}" if error.option in _NAMES else error.option)


def _http(settings: Settings) -> dict[str, Any]:
    idle = {"get": settings.timeout, "sse": settings.silence}.get(settings.work)
    return {
        "closing_timeout": settings.closing_timeout,
        "header_timeout": settings.timeout,
        "idle_timeout": idle,
        "response_timeout": settings.timeout,
    }


def _protocols(settings: Settings) -> list[str] | None:
    if settings.protocol is not None:
        return [settings.protocol]
    # Of servers that take HTTP/2 few take websockets over it (RFC 8441), and it is only after the handshake that they say so.
    return ["http"] if settings.work == "ws" else None


def _proxy_mode(settings: Settings) -> str:
    # As curl does: many proxies make tunnels to the port of https only. HTTP/2 and websockets the origin speaks, not the proxy.
    through = settings.work in ("ws", "none") or settings.protocol == "http2"
    return "tunnel" if through else settings.proxy_mode


def first_wait(settings: Settings) -> float:
    """The longest first wait in seconds, but of event streams."""
    return min(0.5, settings.retry_longest) if settings.retry_first is None else settings.retry_first
