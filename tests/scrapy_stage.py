"""What tests of the download handler share: a crawl with servers in memory and a clock, and Scrapy, if it is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.origins_stage import Servers
from twisted_gun.testing import ScriptedPeer

__all__ = ["MISSING", "CrawlCase", "CrawlWorld"]

#: Why the tests are skipped, if they are.
MISSING = None if find_spec("scrapy") else "Scrapy is not installed: pip install 'twisted_gun[scrapy]'"


class _Stats:
    """As much of a collector of statistics as the handler uses."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def inc_value(self, name: str, count: int = 1) -> None:
        self.values[name] = self.values.get(name, 0) + count


class _Crawler:
    """As much of a crawler as the handler uses."""

    engine: Any = None

    def __init__(self, settings: dict[str, Any]) -> None:
        from scrapy import Spider
        from scrapy.settings import Settings
        from scrapy.signalmanager import SignalManager

        self.settings = Settings(settings)
        self.signals = SignalManager(self)
        self.spider = Spider("tests")
        self.stats = _Stats()


class CrawlWorld(Servers):
    """A crawl in memory, by these settings; `peer`, `tls` and `alpn` are of its servers."""

    def __init__(self, peer: Callable[[], Any] = ScriptedPeer, *, tls: bool = False, alpn: bytes | None = None, **settings: Any) -> None:
        from twisted_gun.scrapy import GunDownloadHandler

        super().__init__(peer, tls=tls, alpn=alpn)
        self.scheme = "https" if tls else "http"
        make: Any = _Crawler
        self.crawler = make(settings)
        self.handler: Any = GunDownloadHandler(self.crawler, self.clock, self.endpoint)

    def ask(self, path: str = "/", **request: Any) -> Deferred[Any]:
        """The download of a path of example.org, or of a whole URL; on its way when this returns."""
        from scrapy import Request

        url = path if "://" in path else f"{self.scheme}://example.org{path}"
        downloaded: Deferred[Any] = self.handler.download(Request(url, **request))
        self.pump()
        return downloaded

    def feed(self, data: bytes) -> None:
        """Let the latest server send `data`, and all that follows from it happen."""
        self.peer.send(data)
        self.pump()


class CrawlCase(SynchronousTestCase):
    """Asserts what must be true of all crawls, and reads their log."""

    skip = MISSING

    def setUp(self) -> None:
        self.logged: list[str] = []
        listener = logging.Handler(logging.DEBUG)
        listener.emit = lambda record: self.logged.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
        logger = logging.getLogger("twisted_gun.scrapy")
        logger.addHandler(listener)
        self.addCleanup(logger.removeHandler, listener)
        level = logger.level
        logger.setLevel(logging.DEBUG)
        self.addCleanup(logger.setLevel, level)

    def end(self, world: CrawlWorld) -> None:
        """End the crawl, which leaves nothing behind."""
        ended = world.handler.end()
        world.pump()
        self.successResultOf(ended)
        world.assert_all_ended(self)
