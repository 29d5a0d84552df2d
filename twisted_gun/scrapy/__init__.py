"""
Scrapy's requests over twisted_gun: a download handler for http and https, and for websockets.

    DOWNLOAD_HANDLERS = {
        "http": "twisted_gun.scrapy.GunDownloadHandler",
        "https": "twisted_gun.scrapy.GunDownloadHandler",
        "ws": "twisted_gun.scrapy.GunDownloadHandler",
        "wss": "twisted_gun.scrapy.GunDownloadHandler",
    }

What the settings mean is in `settings`, the way of a request in `ways`, and what becomes of a response in `download`; a websocket is
opened in `opening`, and read by `websocket`. This module puts requests on connections that they share. It needs Scrapy, which nothing
else of this package does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet import defer

from twisted_gun.origins import Origins
from twisted_gun.scrapy.download import Crawl, Download
from twisted_gun.scrapy.opening import WebSockets
from twisted_gun.scrapy.peers import Peers
from twisted_gun.scrapy.settings import Limits, bind_address, connection_options, offers_http2
from twisted_gun.scrapy.ways import Ways
from twisted_gun.scrapy.websocket import WebSocket, WebSocketResponse

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

__all__ = ["GunDownloadHandler", "WebSocket", "WebSocketResponse"]

#: How long the end of a crawl waits for connections to end.
_CLOSE_SECONDS = 1.0


class GunDownloadHandler:
    """
    Scrapy's downloads by HTTP/2 and HTTP/1.1, directly or through HTTP, HTTPS and SOCKS5 proxies, on any of Twisted's reactors.

    It obeys the settings and the ``meta`` that Scrapy's own handlers do. ``GUN_HTTP2`` (True) says whether HTTP/2 is offered,
    ``GUN_MAX_CONNECTIONS_PER_HOST`` (CONCURRENT_REQUESTS) how many connections one host may have over HTTP/1.1,
    ``GUN_MAX_IDLE_CONNECTIONS`` (100) and ``GUN_IDLE_TIMEOUT`` (60 seconds) how many unused ones are kept, and for how long,
    ``GUN_MAX_WEBSOCKETS`` (100) how many websockets may be open at a time, and ``GUN_OPTIONS`` (a dict) holds options of
    `twisted_gun.open`. Without a `reactor` it is the global one; `endpoint` is for tests, what `twisted_gun.origins.Origins` takes.

    A URL of ``ws`` or ``wss`` gives a `WebSocketResponse`, where the server agrees.

    Raises `NotConfigured` for settings that cannot be obeyed, and ValueError for wrong ones.
    """

    lazy = False

    def __init__(self, crawler: Crawler, reactor: Any = None, endpoint: Any = None) -> None:
        settings = crawler.settings
        if not settings.getbool("TWISTED_REACTOR_ENABLED", True):
            raise NotConfigured(f"{type(self).__name__} needs a reactor: TWISTED_REACTOR_ENABLED has to be True")
        if reactor is None:
            from twisted.internet import reactor
        self.crawler = crawler
        self._reactor = reactor
        self._limits = Limits.of_settings(settings)
        self._origins = Origins(
            reactor,
            max_per_host=settings.getint("GUN_MAX_CONNECTIONS_PER_HOST", settings.getint("CONCURRENT_REQUESTS")) or _UNLIMITED,
            max_waiting=_UNLIMITED,  # Scrapy's own queues are before this one
            max_idle=settings.getint("GUN_MAX_IDLE_CONNECTIONS", 100),
            idle_timeout=settings.getfloat("GUN_IDLE_TIMEOUT", 60.0) or None,
            endpoint=endpoint,
            options=connection_options(settings),
        )
        bind = bind_address(settings.get("DOWNLOAD_BIND_ADDRESS"))
        self._ways = Ways(self._origins, bind=bind, http2=offers_http2(settings))
        self._crawl = Crawl(crawler, Peers(verbose=settings.getbool("DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING")))
        self._websockets = WebSockets(self._crawl, self._origins, reactor, most=settings.getint("GUN_MAX_WEBSOCKETS", 100))
        crawler.signals.connect(self._count, signal=signals.spider_closed)  # the statistics are shown before `close` is called

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """A handler for `crawler`, as Scrapy makes it."""
        return cls(crawler)

    async def download_request(self, request: Request) -> Response:
        """The response to `request`; raises exceptions of `scrapy.exceptions`, and ValueError for a request that cannot be sent."""
        return await maybe_deferred_to_future(self.download(request))

    async def close(self) -> None:
        """End all connections."""
        await maybe_deferred_to_future(self.end())

    def download(self, request: Request) -> defer.Deferred[Response]:
        """As `download_request`, but a Deferred on any reactor."""
        way = self._ways.of(request)
        limits = self._limits.of_spider(self.crawler.spider).of_request(request)
        if way.websocket:
            return self._websockets.open(request, way, limits)
        download = Download(request, limits, self._crawl)
        asked = self._origins.request(way.identity, request.method, way.target, way.fields, request.body, reply_to=download)
        return download.start(asked, self._reactor)

    def end(self) -> defer.Deferred[None]:
        """As `close`, but a Deferred on any reactor."""
        self._websockets.end()
        ended = self._origins.close()
        ended.addTimeout(_CLOSE_SECONDS, self._reactor)
        return ended.addErrback(lambda failure: failure.trap(defer.TimeoutError, defer.CancelledError) and None)

    def _count(self) -> None:
        """Add to the statistics; the handler of the other scheme does so, too."""
        stats, info = self.crawler.stats, self._origins.info()
        if stats is not None:
            for name in ("opened", "reused", "repeated"):
                stats.inc_value(f"gun/{name}", getattr(info, name))
            for protocol, responses in self._crawl.responses.items():
                stats.inc_value(f"gun/responses/{protocol}", responses)
            if self._crawl.websockets:
                stats.inc_value("gun/websockets", self._crawl.websockets)
                stats.inc_value("gun/messages", self._crawl.messages)


#: For a limit that is Scrapy's to set.
_UNLIMITED = 1_000_000
