"""
What the commands have in common: where to, with which header fields, and how to get there.

It knows neither the command line nor what is done with a connection.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote

from twisted.internet.endpoints import UNIXClientEndpoint

from twisted_gun import __version__
from twisted_gun.content_handlers import DecodeHandler
from twisted_gun.errors import OptionError
from twisted_gun.urls import split_url

__all__ = ["DECODING", "Way", "target_of", "url_of"]

#: With ``--compressed``. What is decoded is written at once, so there may be any amount of it; its ratio is bounded as ever.
DECODING = (DecodeHandler, {"max_decoded_size": None})

#: All has come when a connection is closed: a server that does not answer TLS's goodbye is not waited for.
_CLOSING_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """
    Where to, and how. Times in seconds.

    `headers` are pairs of a name and a value. `timeout` bounds each wait for the server, `connect_timeout` each step of connecting.
    `retry` is how many more attempts to connect there are, where that has an end. `protocol` is the only one to speak, "http" or
    "http2"; None leaves that to the command. `proxies` are URLs, each reached through the one before it, or ("env",).
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    verbose: bool = False
    cacert: str | None = None
    cert: str | None = None
    insecure: bool = False
    timeout: float = 60.0
    connect_timeout: float = 10.0
    retry: int | None = 0
    protocol: str | None = None
    unix: str | None = None
    proxies: tuple[str, ...] = ()

    def options(self, reactor: Any) -> dict[str, Any]:
        """Those of a connection, but for what becomes of it when it fails; raises `OptionError`."""
        if self.unix is not None and self.proxies not in ((), ("env",)):
            raise OptionError("proxy", "to be left out for a UNIX socket")
        options: dict[str, Any] = {
            "reactor": reactor,
            "connect_timeout": self.connect_timeout,
            "domain_lookup_timeout": self.connect_timeout,
            "tls_handshake_timeout": self.connect_timeout,
            "tunnel_timeout": self.connect_timeout,
            "protocols": None if self.protocol is None else [self.protocol],
            "proxy": "env" if self.proxies == ("env",) else self.proxies,
            "tls_opts": {"trust_root": self.cacert, "client_certificate": self.cert, "verify": not self.insecure},
            "tcp_opts": {"send_timeout": self.timeout},
            "http_opts": {"header_timeout": self.timeout, "closing_timeout": _CLOSING_SECONDS},
            "http2_opts": {
                "header_timeout": self.timeout,
                "preface_timeout": self.timeout,
                "settings_timeout": self.timeout,
                "closing_timeout": _CLOSING_SECONDS,
                "notify_settings_changed": self.verbose,
            },
        }
        if self.unix is not None:
            options["endpoint"] = UNIXClientEndpoint(reactor, self.unix, timeout=self.connect_timeout)
        return options

    @property
    def proxy_mode(self) -> str:
        """How a proxy is asked for a URL of http: as curl does, for many make tunnels to the port of https only."""
        # HTTP/2 the origin speaks, not the proxy.
        return "tunnel" if self.protocol == "http2" else "absolute"

    def fields(self, **standard: str) -> list[tuple[str, str]]:
        """The header fields of a request: `standard` ones, with "_" for "-", unless another of that name was given, and those given."""
        ours = {"user-agent": f"twisted_gun/{__version__}", **{name.replace("_", "-"): value for name, value in standard.items()}}
        given = {name.lower() for name, _ in self.headers}
        return [*((name, value) for name, value in ours.items() if name not in given), *self.headers]


def url_of(text: str, schemes: Collection[str]) -> SplitResult:
    """The parts of the URL `text`, which has one of `schemes`; raises `InvalidRequest`."""
    return split_url(text, schemes, credentials="send them by --header 'authorization: ...'")


def target_of(url: SplitResult) -> str:
    """The request target (RFC 9112 section 3.2.1), with what may not stand in it percent-encoded; the fragment is not sent."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return quote(target, safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", errors="surrogateescape")
