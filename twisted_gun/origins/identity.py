"""What connections must have in common to be shared. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from twisted_gun.errors import OptionError
from twisted_gun.headers import check_host
from twisted_gun.options import Options, TlsOptions
from twisted_gun.options.checks import PORT, check, is_port

__all__ = ["OF_IDENTITY", "Identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    All that connections must have in common to be shared: an origin, and the options that say who speaks there, from where, by what way.

    `scheme` is "http" or "https". `protocols`, `proxy` and the others are options of `twisted_gun.open`, `bind_address` that of its
    ``tcp_opts``. Where the scheme is http and `protocols` holds several, it is HTTP/1.1. Raises `OptionError` and `InvalidRequest`.
    """

    scheme: str
    host: str
    port: int
    bind_address: tuple[str, int] | None = None
    protocols: tuple[Any, ...] | None = None
    proxy: Any = ()
    proxy_headers: Any = field(default=(), repr=False)
    proxy_mode: str = "tunnel"
    proxy_tls_opts: TlsOptions | None = field(default=None, repr=False)
    tls_opts: TlsOptions = field(default_factory=TlsOptions, repr=False)

    def __post_init__(self) -> None:
        check(self, "scheme", self.scheme in ("http", "https"), "'http' or 'https'")
        check(self, "port", is_port(self.port), PORT)
        made = self.applied(Options())
        object.__setattr__(self, "host", check_host(self.host).lower())
        object.__setattr__(self, "bind_address", made.tcp_opts.bind_address and tuple(made.tcp_opts.bind_address))
        for name in OF_IDENTITY:
            object.__setattr__(self, name, getattr(made, name))
        names = [name for name, _ in self.protocols or ()]
        if not {"http", "http2"}.issuperset(names):
            raise OptionError("protocols", "'http', 'http2', or both where the scheme is https", names)
        if self.scheme == "http" and len(names) > 1:
            object.__setattr__(self, "protocols", tuple(pair for pair in self.protocols or () if pair[0] == "http"))

    def __hash__(self) -> int:
        return hash((self.scheme, self.host, self.port, self.proxy))  # certificates of Twisted's cannot be hashed

    @property
    def only(self) -> str | None:
        """The protocol, where it can be no other."""
        names = [name for name, _ in self.protocols or ()] or (["http"] if self.scheme == "http" else [])
        return names[0] if len(names) == 1 else None

    def applied(self, options: Options) -> Options:
        """`options` with those of this identity."""
        own = {name: getattr(self, name) for name in OF_IDENTITY}
        tcp = replace(options.tcp_opts, bind_address=self.bind_address)
        return replace(options, transport="tls" if self.scheme == "https" else "tcp", tcp_opts=tcp, **own)


#: Those that are options by the same name.
OF_IDENTITY = ("protocols", "proxy", "proxy_headers", "proxy_mode", "proxy_tls_opts", "tls_opts")
