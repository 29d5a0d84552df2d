"""Scrapy's HTTP/2 client: the agent below its download handler, with no engine, scheduler or middleware around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scrapy import Request, Spider
from scrapy.core._http2.agent import H2Agent, H2ConnectionPool
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

from benchmarks.drivers.agents import measure_turns
from benchmarks.scenarios import BIG_SIZE, Download, Job, Measurement, check_small, check_upload

__all__ = ["scrapy_client"]


async def scrapy_client(reactor: Any, job: Job) -> Measurement:
    """`H2Agent` with a pool, which keeps one connection to a server; it gives each response as a whole, and takes bytes to upload."""
    crawler = Crawler(Spider, {"DOWNLOAD_WARNSIZE": 0, "DOWNLOAD_MAXSIZE": 0})  # it is asked for settings, and told of each piece
    trust = trustRootFromCertificates([Certificate.loadPEM(Path(job.ca).read_bytes())])
    pool = H2ConnectionPool(crawler)
    agent = H2Agent(reactor, pool, BrowserLikePolicyForHTTPS(trust))
    spider = Spider("benchmarks")
    content = bytes(BIG_SIZE) if job.scenario.upload else b""

    async def fetch() -> Response:
        request = Request(job.url, method="POST" if content else "GET", body=content)
        return await agent.request(request, spider)

    async def small() -> None:
        response = await fetch()
        check_small(response.status, response.body)

    async def big() -> None:
        download, response = Download(), await fetch()
        download.add(response.body)
        download.check(response.status)

    async def upload() -> None:
        response = await fetch()
        check_upload(response.status, response.body)

    try:
        once = upload if job.scenario.upload else big if job.scenario.download else small
        return await measure_turns(job, once, job.scenario.at_once)
    finally:
        pool.close_connections()
