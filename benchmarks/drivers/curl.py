"""pycurl: one easy handle used again and again, or as many as there are requests at once under one multi handle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pycurl  # type: ignore[import-untyped]

from benchmarks.scenarios import BIG_SIZE, Download, Job, Measurement, Scenario, check_small, check_upload, measure

__all__ = ["curl"]

#: libcurl's CURLPROXY_HTTPS2, which pycurl has no name for.
_HTTPS2 = 3


async def curl(job: Job) -> Measurement:
    """libcurl through pycurl; it waits by itself, so this coroutine never does."""
    transfers = [_Transfer(job) for _ in range(job.scenario.at_once)]
    return await measure(job, _one_by_one(transfers[0]) if len(transfers) == 1 else _side_by_side(transfers, job.scenario))


class _Transfer:
    """An easy handle, and the check of what it brought."""

    def __init__(self, job: Job) -> None:
        self._download = Download()
        self._pieces: list[bytes] = []
        self._scenario = job.scenario
        self.easy = pycurl.Curl()
        self.easy.setopt(pycurl.URL, job.url)
        if job.scenario.http2:
            self.easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
            self.easy.setopt(pycurl.PIPEWAIT, 1)  # for the connection that is being opened, rather than open one more
        else:
            self.easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        if job.scenario.upload:
            self.easy.setopt(pycurl.POSTFIELDS, bytes(BIG_SIZE))
        self.easy.setopt(pycurl.PROXY, job.proxy or "")
        if job.way == "http2":
            self.easy.setopt(pycurl.PROXYTYPE, _HTTPS2)
        self.easy.setopt(pycurl.CAINFO, job.ca)
        self.easy.setopt(pycurl.PROXY_CAINFO, job.ca)
        self.easy.setopt(pycurl.WRITEFUNCTION, self._download.add if job.scenario.download else self._pieces.append)

    def check(self) -> None:
        status = self.easy.getinfo(pycurl.RESPONSE_CODE)
        if self._scenario.http2 and self.easy.getinfo(pycurl.INFO_HTTP_VERSION) != pycurl.CURL_HTTP_VERSION_2_0:
            raise ConnectionError("the server did not choose HTTP/2")
        if self._scenario.download:
            self._download.check(status)
            self._download.size = 0
        else:
            (check_upload if self._scenario.upload else check_small)(status, b"".join(self._pieces))
            self._pieces.clear()


def _one_by_one(transfer: _Transfer) -> Callable[[int], Awaitable[None]]:
    async def repeat(count: int) -> None:
        for _ in range(count):
            transfer.easy.perform()
            transfer.check()

    return repeat


def _side_by_side(transfers: list[_Transfer], scenario: Scenario) -> Callable[[int], Awaitable[None]]:
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, scenario.connections)
    multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)  # without effect over HTTP/1.1
    multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, scenario.streams)
    by_handle = {transfer.easy: transfer for transfer in transfers}

    async def repeat(count: int) -> None:
        waiting = iter(range(count))
        for transfer, _ in zip(transfers, waiting, strict=False):
            multi.add_handle(transfer.easy)
        running = True
        while running:
            _, running = multi.perform()
            _, done, failed = multi.info_read()
            if failed:
                raise ConnectionError(failed)
            for easy in done:
                by_handle[easy].check()
                multi.remove_handle(easy)
                if next(waiting, None) is not None:
                    multi.add_handle(easy)
                    running = True
            if running and not done:
                multi.select(1.0)

    return repeat
