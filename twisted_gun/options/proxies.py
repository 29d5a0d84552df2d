"""The URLs of proxies, and which of them the environment names for an origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import check_host
from twisted_gun.options.checks import fits_basic, fits_socks

__all__ = ["ProxyUrl", "proxies_of_environment", "proxy_urls"]

#: The schemes, and the port of each where a URL names none. With socks5h curl says that the proxy resolves names; here it always does.
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_EXPECTED = "the URL of a proxy (http, https or socks5 ://[user:password@]host[:port]), a list of them, 'env', or None"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyUrl:
    """A proxy: its `scheme` is "http", "https" or "socks5"; `username` and `password` are bytes, or None."""

    scheme: str
    host: str
    port: int
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)


def proxy_urls(value: object) -> str | tuple[ProxyUrl, ...]:
    """The option `proxy` as proxies, the first to be dialled first, or "env"; raises `OptionError`, which shows no credentials."""
    if value is None:
        return ()
    if isinstance(value, str) and value == "env":
        return "env"
    if isinstance(value, (str, bytes, ProxyUrl)):
        return (_proxy_url(value),)
    if not isinstance(value, Iterable):
        raise OptionError("proxy", _EXPECTED)
    return tuple(map(_proxy_url, value))


def proxies_of_environment(scheme: str, host: str, port: int) -> tuple[ProxyUrl, ...]:
    """
    The proxy that the environment names for an origin, as curl and urllib read it: ``http_proxy`` and ``https_proxy`` by the `scheme`,
    else ``all_proxy``; none where ``no_proxy`` holds the host. Raises `OptionError` for a URL that cannot be used.
    """
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # it takes its time

    proxies = getproxies_environment()
    url = proxies.get(scheme) or proxies.get("all")
    spellings = (f"[{host}]:{port}", host) if ":" in host else (f"{host}:{port}",)
    if not url or any(proxy_bypass_environment(spelling, proxies) for spelling in spellings):
        return ()
    return (_proxy_url(url if "://" in url else f"http://{url}"),)


def _proxy_url(value: object) -> ProxyUrl:
    if isinstance(value, ProxyUrl):
        return value
    if not isinstance(value, (str, bytes)):
        raise OptionError("proxy", _EXPECTED)
    try:
        parts = urlsplit(value.decode("ascii") if isinstance(value, bytes) else value)
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        host = check_host(parts.hostname or "")
    except (ValueError, KeyError, InvalidRequest):
        raise OptionError("proxy", _EXPECTED) from None  # whose message would show what may be a password
    if not port or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OptionError("proxy", _EXPECTED)
    scheme = parts.scheme.removesuffix("h")
    return ProxyUrl(scheme=scheme, host=host, port=port, **_credentials(scheme, parts.username, parts.password))


def _credentials(scheme: str, username: str | None, password: str | None) -> dict[str, bytes]:
    if username is None and password is None:
        return {}
    try:
        secrets = unquote_to_bytes(username or ""), unquote_to_bytes(password or "")
    except UnicodeEncodeError:  # a lone surrogate
        raise OptionError("proxy", _EXPECTED) from None
    if scheme == "socks5" and not all(map(fits_socks, secrets)):
        raise OptionError("proxy", "username and password of 1 to 255 bytes each (RFC 1929)")
    if not (fits_basic("username", secrets[0]) and fits_basic("password", secrets[1])):
        raise OptionError("proxy", "a username without colon, and credentials without control characters (RFC 7617)")
    return {"username": secrets[0], "password": secrets[1]}
