"""
``python -m benchmarks.crawl``: a crawl by Scrapy, with its own download handlers and with ours, in pages a second.

It is a whole crawl: engine, scheduler, middlewares and a spider that parses each page are the same for all, and take most of the time. The
pages are nginx's, over TLS. Each crawl is a process of its own, and they take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.server import started_server

__all__ = ["HANDLERS"]

_HTTP11 = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"
_H2 = "scrapy.core.downloader.handlers.http2.H2DownloadHandler"
_GUN = "twisted_gun.scrapy.GunDownloadHandler"

#: By name: the handler, its settings, and the protocol that its responses have to name.
HANDLERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "gun-h2": (_GUN, {}, "h2"),
    "gun-http1": (_GUN, {"GUN_HTTP2": False}, "HTTP/1.1"),
    "scrapy-h2": (_H2, {}, "h2"),
    "scrapy-http11": (_HTTP11, {}, "HTTP/1.1"),
}
BASELINES = ("scrapy-http11", "scrapy-h2")

PAGE_PATH = "/page.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl:
    """`pages` came within `wall` seconds, for which the client needed `cpu` seconds."""

    pages: int
    wall: float
    cpu: float


def page() -> bytes:
    """A page of about 8 KB with links and text, as the spider likes them."""
    items = "".join(f'<li><a href="/item/{n}">Item {n}</a><p>{"Some words about it. " * 5}</p></li>\n' for n in range(50))
    return f"<!DOCTYPE html>\n<html><head><title>A page</title></head><body><ul>\n{items}</ul></body></html>\n".encode()


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description="Compare download handlers of Scrapy.")
    parser.add_argument("--pages", type=int, default=10_000, help="how many pages a crawl has (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each handler is measured (default %(default)s)")
    parser.add_argument("--at-once", type=int, default=32, help="CONCURRENT_REQUESTS, also for the one host (default %(default)s)")
    parser.add_argument("--reactor", choices=("asyncio", "default"), default="asyncio", help="asyncio is Scrapy's default")
    parser.add_argument("--only", action="append", choices=HANDLERS, help="only this handler")
    parser.add_argument("--url", help=argparse.SUPPRESS)  # this is the process of one crawl
    given = parser.parse_args()
    if given.url:
        print(json.dumps(_crawl(given)))
        return 0
    names = given.only or list(HANDLERS)
    with started_server("nginx") as server:
        (Path(server.ca).parent / "files" / PAGE_PATH[1:]).write_bytes(page())
        cores = sorted(os.sched_getaffinity(0))
        server.stay_on(cores[-1])
        url = f"https://127.0.0.1:{server.tls_port}{PAGE_PATH}"
        crawls: dict[str, list[Crawl]] = {name: [] for name in names}
        for _ in range(given.rounds):
            for name in names:
                crawls[name].append(_run(name, url, cores[0], given))
        print(f"{server.name}, {given.reactor} reactor, {given.pages} pages of {len(page())} bytes, {given.at_once} at once")
    print(_table(crawls))
    return 0


def _run(name: str, url: str, cpu: int, given: argparse.Namespace) -> Crawl:
    """One crawl in a fresh interpreter on the core `cpu`."""
    command = [sys.executable, "-m", "benchmarks.crawl", "--only", name, "--url", url, "--reactor", given.reactor]
    command += ["--pages", str(given.pages), "--at-once", str(given.at_once)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, preexec_fn=lambda: os.sched_setaffinity(0, {cpu})
    )
    if ended.returncode:
        raise SystemExit(f"{name} failed:\n{(ended.stderr or ended.stdout)[-2000:]}")
    return Crawl(**json.loads(ended.stdout.splitlines()[-1]))


def _table(crawls: dict[str, list[Crawl]]) -> str:
    medians = {name: (median(c.pages / c.wall for c in made), median(c.pages / c.cpu for c in made)) for name, made in crawls.items()}
    against = [name for name in BASELINES if name in medians]
    titles = "".join(f" {'/' + name:>14}" for name in against)
    lines = [f"  {'':14} {'pages/s':>8}{titles}   {'pages/CPU s':>11}{titles}"]
    for name, rates in medians.items():
        wall, cpu = ("".join(f" {rates[index] / medians[other][index]:13.2f}x" for other in against) for index in (0, 1))
        lines.append(f"  {name:14} {rates[0]:8,.0f}{wall}   {rates[1]:11,.0f}{cpu}")
    return "\n".join(lines)


def _crawl(given: argparse.Namespace) -> dict[str, Any]:
    """Crawl in this process: the first page opens connections, then the clock starts."""
    from scrapy import Request, Spider
    from scrapy.crawler import CrawlerProcess

    handler, settings, protocol = HANDLERS[given.only[0]]
    result: dict[str, Any] = {"pages": 0}

    class Pages(Spider):
        name = "pages"

        async def start(self) -> Any:
            yield Request(given.url, callback=self.begin)

        def begin(self, response: Any) -> Any:
            assert response.protocol == protocol, response.protocol
            result["started"] = time.perf_counter(), time.process_time()
            for number in range(given.pages):
                yield Request(f"{given.url}?{number}")

        def parse(self, response: Any) -> None:
            assert response.css("title::text").get() == "A page"
            result["pages"] += 1
            result["ended"] = time.perf_counter(), time.process_time()

    asyncio_reactor = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
    process = CrawlerProcess(
        {
            "CONCURRENT_ITEMS": 1,  # of which there are none; Scrapy makes so many tasks a page
            "CONCURRENT_REQUESTS": given.at_once,
            "CONCURRENT_REQUESTS_PER_DOMAIN": given.at_once,
            "DOWNLOAD_HANDLERS": {"https": handler},
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
            "TWISTED_REACTOR": asyncio_reactor if given.reactor == "asyncio" else None,
            **settings,
        }
    )
    process.crawl(Pages)
    process.start()
    if result["pages"] != given.pages:
        raise SystemExit(f"only {result['pages']} of {given.pages} pages came")
    wall, cpu = (end - start for start, end in zip(result.pop("started"), result.pop("ended"), strict=True))
    return {"pages": result["pages"], "wall": wall, "cpu": cpu}


if __name__ == "__main__":
    sys.exit(main())
