"""What is done with an agent, Twisted's or ours: the same work for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, readBody

from benchmarks.scenarios import Download, Job, Measurement, check_small, measure

__all__ = ["by_agent", "by_treq", "measure_turns"]

#: One request, and what comes of it.
Once = Callable[[], Awaitable[None]]


def by_agent(agent: Any, job: Job) -> Once:
    """`readBody`, or a protocol that counts."""
    url = job.url.encode("ascii")

    async def small() -> None:
        response = await agent.request(b"GET", url)
        check_small(response.code, await readBody(response))

    async def big() -> None:
        response = await agent.request(b"GET", url)
        done: Deferred[Download] = Deferred()
        response.deliverBody(_Counting(done))
        (await done).check(response.code)

    return big if job.scenario.download else small


def by_treq(agent: Any, job: Job) -> Once:
    """treq's `HTTPClient` on `agent`."""
    http = HTTPClient(agent)

    async def small() -> None:
        response = await http.get(job.url)
        check_small(response.code, await treq.content(response))

    async def big() -> None:
        download = Download()
        response = await http.get(job.url, unbuffered=True)
        await treq.collect(response, download.add)
        download.check(response.code)

    return big if job.scenario.download else small


async def measure_turns(job: Job, once: Once, at_once: int) -> Measurement:
    """Measure ``once()`` in so many coroutines, which share the turns."""

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await once()

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        await gatherResults([Deferred.fromCoroutine(work(turns)) for _ in range(at_once)])

    return await measure(job, repeat)


class _Counting(Protocol):
    """Counts a body, then tells `done`."""

    def __init__(self, done: Deferred[Download]) -> None:
        self._done = done
        self._download = Download()

    def dataReceived(self, data: bytes) -> None:
        self._download.add(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone):
            self._done.callback(self._download)
        else:
            self._done.errback(reason)
