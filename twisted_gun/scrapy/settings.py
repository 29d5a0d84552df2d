"""
What Scrapy's settings, and the `meta` of a request, ask for: options of connections, and how much of a response is wanted.

They are read here and nowhere else. Nothing here opens a connection.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from scrapy.exceptions import NotConfigured, ScrapyDeprecationWarning

from twisted_gun.options import Options, make_options

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.settings import BaseSettings

__all__ = ["Limits", "bind_address", "connection_options", "offers_http2"]

#: How long each step may take until a connection is up, in seconds. A connection is for many downloads, so it has not the time of one.
_MOST_TO_CONNECT = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How much of the response to a request is wanted: sizes in bytes, 0 for no limit, and seconds in all.

    `fail_on_dataloss` says what becomes of a response that was cut off.
    """

    maxsize: int
    warnsize: int
    timeout: float
    fail_on_dataloss: bool

    @classmethod
    def of_settings(cls, settings: BaseSettings) -> Limits:
        """Those that the settings name."""
        return cls(
            maxsize=settings.getint("DOWNLOAD_MAXSIZE"),
            warnsize=settings.getint("DOWNLOAD_WARNSIZE"),
            timeout=settings.getfloat("DOWNLOAD_TIMEOUT"),
            fail_on_dataloss=settings.getbool("DOWNLOAD_FAIL_ON_DATALOSS"),
        )

    def of_spider(self, spider: Spider | None) -> Limits:
        """These, with what attributes of the spider say instead; Scrapy has deprecated them."""
        changes = {}
        for name in ("maxsize", "warnsize"):
            if hasattr(spider, f"download_{name}"):
                text = f"The 'download_{name}' spider attribute is deprecated, use the setting DOWNLOAD_{name.upper()} instead."
                warnings.warn(text, ScrapyDeprecationWarning, stacklevel=2)
                changes[name] = getattr(spider, f"download_{name}")
        return replace(self, **changes) if changes else self

    def of_request(self, request: Request) -> Limits:
        """These, with what the ``meta`` of `request` says instead."""
        meta = request.meta
        return Limits(
            maxsize=meta.get("download_maxsize", self.maxsize),
            warnsize=meta.get("download_warnsize", self.warnsize),
            timeout=meta.get("download_timeout") or self.timeout,
            fail_on_dataloss=meta.get("download_fail_on_dataloss", self.fail_on_dataloss),
        )


def connection_options(settings: BaseSettings) -> Options:
    """
    The options of every connection; the setting GUN_OPTIONS, a dict, changes them.

    Raises `NotConfigured` for a setting that cannot be obeyed, ValueError for one that is wrong.
    """
    seconds = min(settings.getfloat("DOWNLOAD_TIMEOUT") or _MOST_TO_CONNECT, _MOST_TO_CONNECT)
    given = dict(settings.getdict("GUN_OPTIONS"))
    http = {"transform_header_name": _titled, "lenient": True, **given.pop("http_opts", {})}
    http2 = {"max_frame_size_received": settings.getint("HTTP2_MAX_FRAME_SIZE", 16_384), **given.pop("http2_opts", {})}
    tls = {**_tls_options(settings), **given.pop("tls_opts", {})}
    proxy_tls = {**tls, "client_certificate": None, "pins": (), "server_name": None}  # which are the origin's
    known: dict[str, Any] = {
        "connect_timeout": seconds,
        "domain_lookup_timeout": seconds,
        "proxy_protocols": ("http",),  # there are proxies that take HTTP/2, but make no tunnels over it
        "tls_handshake_timeout": seconds,
        "tunnel_timeout": seconds,
        **given,
    }
    return make_options(None, {"http_opts": http, "http2_opts": http2, "tls_opts": tls, "proxy_tls_opts": proxy_tls, **known}, 80)


def offers_http2(settings: BaseSettings) -> bool:
    """Whether HTTP/2 is offered: by GUN_HTTP2, and not with ciphers that it must not be spoken over (RFC 9113 section 9.2.2)."""
    ciphers = settings.get("DOWNLOADER_CLIENT_TLS_CIPHERS")
    return settings.getbool("GUN_HTTP2", True) and (ciphers is None or _fit_for_http2(ciphers))


def bind_address(value: str | tuple[str, int] | None) -> tuple[str, int] | None:
    """What DOWNLOAD_BIND_ADDRESS or the ``bindaddress`` of a request says, an address alone or with a port, as a pair."""
    return (value, 0) if isinstance(value, str) else None if value is None else (value[0], value[1])


def _titled(name: bytes) -> bytes:
    """As Scrapy and browsers write the names of header fields: servers are found that know no other way."""
    return name.title()


# TLS.

#: As Scrapy names them. Versions before 1.2 are not spoken (RFC 8996: they "MUST NOT be used").
_VERSIONS = {"TLSv1.0": "1.0", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"}
_OLD = ("1.0", "1.1")

#: What sees to certificates in Scrapy, in a setting that it has deprecated: those that do not verify them, and one that does.
_NOT_VERIFYING = ("SENTINEL", "ScrapyClientContextFactory", "_ScrapyClientContextFactory")
_VERIFYING = "BrowserLikeContextFactory"


def _tls_options(settings: BaseSettings) -> dict[str, Any]:
    lowest, highest = _version(settings, "DOWNLOAD_TLS_MIN_VERSION"), _version(settings, "DOWNLOAD_TLS_MAX_VERSION")
    method = settings.get("DOWNLOADER_CLIENT_TLS_METHOD", "TLS")
    if method != "TLS":
        text = "DOWNLOADER_CLIENT_TLS_METHOD is deprecated, use DOWNLOAD_TLS_MIN_VERSION and DOWNLOAD_TLS_MAX_VERSION instead."
        warnings.warn(text, ScrapyDeprecationWarning, stacklevel=2)
        if lowest is highest is None:
            lowest = highest = _version(settings, "DOWNLOADER_CLIENT_TLS_METHOD")
    if highest in _OLD:
        raise NotConfigured(f"twisted_gun speaks TLS 1.2 and later, not {highest}")
    if lowest in _OLD:
        logger.warning("twisted_gun speaks TLS 1.2 and later; the lower version that the settings allow is not spoken")
        lowest = None
    verify = settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES") or _factory_verifies(settings)
    return {
        "ciphers": settings.get("DOWNLOADER_CLIENT_TLS_CIPHERS"),
        "keylog": _keylog(),
        "maximum": highest,
        "minimum": lowest or "1.2",
        "quiet": True,  # Scrapy verifies nothing unless it is told to, and says nothing of it either
        "verify": verify,
    }


def _fit_for_http2(ciphers: str) -> bool:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(ciphers.encode("ascii"))
    suites = SSL.Connection(context, None).get_cipher_list()
    return any(suite.startswith(("ECDHE-", "DHE-")) and ("GCM" in suite or "CHACHA20" in suite) for suite in suites)


def _version(settings: BaseSettings, name: str) -> str | None:
    value = settings.get(name)
    if value is not None and value not in _VERSIONS:
        raise ValueError(f"Unknown {name} value: {value}")
    return None if value is None else _VERSIONS[value]


def _factory_verifies(settings: BaseSettings) -> bool:
    """Whether DOWNLOADER_CLIENTCONTEXTFACTORY asks for certificates to be verified; one that may ask for anything else is refused."""
    value = settings.get("DOWNLOADER_CLIENTCONTEXTFACTORY", "SENTINEL")
    name = (value if isinstance(value, str) else value.__name__).rpartition(".")[2]
    if name in _NOT_VERIFYING:
        return False
    text = "The 'DOWNLOADER_CLIENTCONTEXTFACTORY' setting is deprecated."
    warnings.warn(text, ScrapyDeprecationWarning, stacklevel=2)
    if name != _VERIFYING:
        raise NotConfigured(f"twisted_gun cannot use {value}: see DOWNLOAD_VERIFY_CERTIFICATES, and tls_opts in GUN_OPTIONS")
    text = "BrowserLikeContextFactory is deprecated, set DOWNLOAD_VERIFY_CERTIFICATES=True instead."
    warnings.warn(text, ScrapyDeprecationWarning, stacklevel=2)
    return True


def _keylog() -> str | None:
    """The file that SSLKEYLOGFILE names, if it can be written; a crawl does not end for that."""
    path = None if sys.flags.ignore_environment else os.environ.get("SSLKEYLOGFILE")
    if not path:
        return None
    try:
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab"):
            return path
    except OSError as error:
        logger.warning("Cannot write TLS session keys to %s: %s", path, error)
        return None
