"""
Scrapy's own tests of download handlers, run over ours: the base classes that its sdist has for that, once for each way of speaking.

``tox -e scrapy`` runs them by pytest, in a folder where Scrapy's ``tests`` are (``tests/scrapy/__main__.py`` makes it). The suite of this
project does not: here stands only what is ours to say, which handler, what it can, and where it does otherwise than the base class says.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadFailedError, NotConfigured, UnsupportedURLSchemeError
from scrapy.utils.misc import build_from_crawler
from scrapy.utils.test import get_crawler

from tests.utils.bases.download_handlers_http import (
    TestHttpBase,
    TestHttpProxyBase,
    TestHttpsBase,
    TestHttpsCustomCiphersBase,
    TestHttpsDefaultCiphersBase,
    TestHttpsInvalidDNSIdBase,
    TestHttpsInvalidDNSPatternBase,
    TestHttpsTLSVersionBase,
    TestHttpsWrongHostnameBase,
    TestHttpWithCrawlerBase,
    TestMitmProxyBase,
    TestRealWebsiteBase,
    TestSimpleHttpsBase,
)
from tests.utils.decorators import coroutine_test
from twisted_gun.scrapy import GunDownloadHandler

HANDLER = "twisted_gun.scrapy.GunDownloadHandler"

pytestmark = pytest.mark.requires_reactor


class Ours:
    """Whom the base classes test."""

    @property
    def download_handler_cls(self) -> type[GunDownloadHandler]:
        return GunDownloadHandler

    @property
    def settings_dict(self) -> dict[str, Any]:
        return {"DOWNLOAD_HANDLERS": {"http": HANDLER, "https": HANDLER}}


class OursOverHttp1(Ours):
    """The same, with the setting that leaves HTTP/2 out."""

    default_handler_settings: ClassVar[dict[str, Any]] = {"GUN_HTTP2": False}

    @property
    def settings_dict(self) -> dict[str, Any]:
        return {**super().settings_dict, **self.default_handler_settings}


def test_not_configured_without_reactor() -> None:
    """Without a reactor there is no such handler, and Scrapy is told so."""
    with pytest.raises(NotConfigured):
        build_from_crawler(GunDownloadHandler, Crawler(Spider, {"TWISTED_REACTOR_ENABLED": False}))


class TestHttp(Ours, TestHttpBase):
    """HTTP/1.1 over TCP."""


class TestHttps(OursOverHttp1, TestHttpsBase):
    """HTTP/1.1 over TLS."""


class TestHttp2(Ours, TestHttpsBase):
    """HTTP/2, which ALPN chooses with no setting at all."""

    http2 = True

    @coroutine_test
    async def test_protocol(self, mockserver: Any) -> None:
        async with self.get_dh() as handler:
            response = await handler.download_request(Request(mockserver.url("/host", is_secure=True)))
        assert response.protocol == "h2"

    # What Scrapy asks of its own HTTP/2 handler beside that.

    @coroutine_test
    async def test_concurrent_requests_same_domain(self, mockserver: Any) -> None:
        async with self.get_dh() as handler:
            first = await handler.download_request(Request(mockserver.url("/text", is_secure=True)))
            second = await handler.download_request(Request(mockserver.url("/echo", is_secure=True), method="POST"))
        assert first.body == b"Works"
        assert second.headers["Content-Length"] == b"79"

    @coroutine_test
    async def test_custom_content_length(self, mockserver: Any) -> None:
        """The length that is sent is that of the content, whatever the request's field says."""
        async with self.get_dh() as handler:
            for given in ("0", "1"):
                request = Request(mockserver.url("/contentlength", is_secure=True), method="POST", headers={"Content-Length": given})
                assert (await handler.download_request(request)).text == "0"

    @coroutine_test
    async def test_no_http2_after_all(self, mockserver: Any) -> None:
        """A server that chose HTTP/2 and answers in HTTP/1.1 fails the download at once."""
        async with self.get_dh() as handler:
            with pytest.raises(DownloadFailedError, match="a frame of"):
                await handler.download_request(Request(mockserver.url("/h2-no-support", is_secure=True)))

    @coroutine_test
    async def test_pushed_stream(self, mockserver: Any) -> None:
        """A server that pushes, though it was told not to, breaks the protocol."""
        async with self.get_dh() as handler:
            with pytest.raises(DownloadFailedError, match="PUSH_PROMISE"):
                await handler.download_request(Request(mockserver.url("/h2-push", is_secure=True)))


class TestSimpleHttps(OursOverHttp1, TestSimpleHttpsBase):
    """A certificate for the host."""


class TestHttpsWrongHostname(Ours, TestHttpsWrongHostnameBase):
    """A certificate for another host, which nobody asked to verify."""


class TestHttpsInvalidDNSId(Ours, TestHttpsInvalidDNSIdBase):
    """A certificate for a name, where an address is dialled."""


class TestHttpsInvalidDNSPattern(Ours, TestHttpsInvalidDNSPatternBase):
    """A certificate for an address, where a name is dialled."""


class TestHttpsCustomCiphers(Ours, TestHttpsCustomCiphersBase):
    """One cipher alone."""


class TestHttpsDefaultCiphers(Ours, TestHttpsDefaultCiphersBase):
    """The ciphers of the library."""


class TestHttpsTLSVersion(Ours, TestHttpsTLSVersionBase):
    """The bounds of the version of TLS."""


class TestHttpWithCrawler(Ours, TestHttpWithCrawlerBase):
    """Crawls over HTTP/1.1 and TCP."""


class TestHttpsWithCrawler(OursOverHttp1, TestHttpWithCrawlerBase):
    """Crawls over HTTP/1.1 and TLS."""

    is_secure = True


class TestHttp2WithCrawler(Ours, TestHttpWithCrawlerBase):
    """Crawls over HTTP/2."""

    is_secure = True


class TestHttpProxy(Ours, TestHttpProxyBase):
    """A proxy, over TCP."""


class TestHttpsProxy(Ours, TestHttpProxyBase):
    """A proxy, over TLS; and TLS in TLS."""

    is_secure = True


@pytest.mark.requires_mitmproxy
class TestMitmProxy(Ours, TestMitmProxyBase):
    """mitmproxy: http, https, socks5; with credentials, right ones and wrong ones."""

    handler_supports_socks = True


@pytest.mark.requires_internet
class TestRealWebsite(Ours, TestRealWebsiteBase):
    """A website; it needs the Internet."""


@coroutine_test
async def test_other_schemes() -> None:
    """Other schemes are refused, in Scrapy's words."""
    handler = build_from_crawler(GunDownloadHandler, get_crawler(Spider))
    with pytest.raises(UnsupportedURLSchemeError, match="ftp://"):
        await handler.download_request(Request("ftp://example.com/"))
    await handler.close()
