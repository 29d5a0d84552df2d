"""Whole crawls, each a process of its own, with websockets of a server on 127.0.0.1, on the reactors that Scrapy runs on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.scrapy_stage import MISSING
from twisted_gun.testing import WebsocketPeer

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "scrapy_feed.py"

#: The reactor that Scrapy installs if nothing else is said, and one that is not asyncio's.
REACTORS = ("twisted.internet.asyncioreactor.AsyncioSelectorReactor", "twisted.internet.selectreactor.SelectReactor")


class FeedTests(TestCase):
    """The spider of ``examples/scrapy_feed.py``, by ``scrapy runspider``."""

    skip = MISSING
    timeout = 120

    def setUp(self) -> None:
        self.peers: list[WebsocketPeer] = []

    def listen(self, *steps: Any, **options: Any) -> str:
        """The URL of a websocket whose server does this."""
        from twisted.internet import reactor

        listening: Any = reactor

        def peer() -> WebsocketPeer:
            self.peers.append(WebsocketPeer(steps, **options))
            return self.peers[-1]

        port = listening.listenTCP(0, Factory.forProtocol(peer), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"ws://127.0.0.1:{port.getHost().port}/feed"

    def crawl(self, url: str, reactor: str, *arguments: str) -> Deferred[tuple[bytes, bytes, int]]:
        """What the crawl writes to stdout and stderr, and its status."""
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        command = ["-m", "scrapy", "runspider", str(EXAMPLE), "-a", f"url={url}", "-a", "subscription=trades", "-o", "-:jsonlines"]
        settings = [*arguments, "-s", f"TWISTED_REACTOR={reactor}", "-s", "TELNETCONSOLE_ENABLED=False"]
        ended: Deferred[tuple[bytes, bytes, int]]
        ended = getProcessOutputAndValue(sys.executable, [*command, *settings], env={**os.environ, "PYTHONPATH": path})
        return ended

    def stats(self, log: bytes) -> dict[str, str]:
        """The statistics in Scrapy's log."""
        return dict(re.findall(r"'([a-z_/A-Z0-9.]+)': '?([^,'}]+)", log.decode()))

    async def test_until_closed(self) -> None:
        """Each message is an item, and the crawl ends when the server has closed."""
        for reactor in REACTORS:
            url = self.listen(("expect", "trades"), ("send", '{"price": 1}'), ("send", '{"price": 2}'), ("close", 1000, "done"))
            out, log, status = await self.crawl(url, reactor)
            self.assertEqual((out, status), (b'{"price": 1}\n{"price": 2}\n', 0), log.decode())
            stats = self.stats(log)
            self.assertEqual((stats["finish_reason"], stats["gun/websockets"], stats["gun/messages"]), ("finished", "1", "2"))
            self.assertNotIn(b" ERROR: ", log)

    async def test_closed_by_the_crawl(self) -> None:
        """A feed without end does not keep the crawl from ending when Scrapy wants that: the websocket is closed, and the callback ends."""
        for reactor in REACTORS:
            url = self.listen(("expect", "trades"), *[("send", '{"price": 1}')] * 5)
            out, log, status = await self.crawl(url, reactor, "-s", "CLOSESPIDER_ITEMCOUNT=3")
            self.assertEqual((out, status), (b'{"price": 1}\n' * 5, 0), log.decode())
            self.assertEqual(self.stats(log)["finish_reason"], "closespider_itemcount")
            self.assertEqual(self.peers[-1].received_close, gun.Close(1001, ""))
            self.assertNotIn(b" ERROR: ", log)

    async def test_closed_by_the_crawl_alone(self) -> None:
        """Nor does a server that goes on, and does not answer the Close."""
        for reactor in REACTORS:
            url = self.listen(("expect", "trades"), *[("send", '{"price": 1}')] * 5, answer_close=False)
            out, log, _ = await self.crawl(url, reactor, "-s", "CLOSESPIDER_ITEMCOUNT=3")
            self.assertEqual(out, b'{"price": 1}\n' * 5, log.decode())
            self.assertLess(float(self.stats(log)["elapsed_time_seconds"]), 10.0)
            self.assertNotIn(b" ERROR: ", log)

    async def test_refused(self) -> None:
        """Any other answer goes through Scrapy's middlewares: a 503 is tried again, and then is the callback's."""
        for reactor in REACTORS:
            self.peers.clear()
            _, log, _ = await self.crawl(self.listen(refuse=503), reactor)
            self.assertEqual(len(self.peers), 3)
            self.assertEqual(self.stats(log)["retry/max_reached"], "1")
            self.assertIn(b"no websocket, but status 503", log)
