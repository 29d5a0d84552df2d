"""A spider that reads a feed of JSON messages: ``python examples/scrapy_feed.py URL SUBSCRIPTION``."""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess

from twisted_gun.scrapy import WebSocketResponse

SETTINGS = {
    "DOWNLOAD_HANDLERS": dict.fromkeys(("ws", "wss"), "twisted_gun.scrapy.GunDownloadHandler"),
    "GUN_OPTIONS": {"ws_opts": {"keepalive": 20.0}},
    "HTTPERROR_ALLOW_ALL": True,
}


class FeedSpider(scrapy.Spider):
    """Subscribes to the feed, and has an item of each message, until the server closes the websocket or the crawl ends."""

    name = "feed"
    custom_settings = SETTINGS

    def __init__(self, url: str, subscription: str) -> None:
        super().__init__()
        self.start_urls = [url]
        self.subscription = subscription

    async def parse(self, response: Any) -> AsyncIterator[Any]:
        if not isinstance(response, WebSocketResponse):
            self.logger.error("no websocket, but status %d", response.status)
            return
        async with response.websocket as websocket:
            websocket.send(self.subscription)
            async for message in websocket:
                yield json.loads(message)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    process = CrawlerProcess({"FEEDS": {"stdout:": {"format": "jsonlines"}}, "LOG_LEVEL": "WARNING"})
    process.crawl(FeedSpider, *sys.argv[1:])
    process.start()
