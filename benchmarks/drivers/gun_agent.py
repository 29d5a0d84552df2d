"""`twisted_gun.GunAgent`, and treq on top of it: what `agent.py` does with Twisted's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import readBody

from benchmarks.drivers.counting import Counting
from benchmarks.scenarios import Download, Job, Measurement, check_small, measure
from twisted_gun.agent import GunAgent

__all__ = ["agent", "treq_client"]


async def agent(reactor: Any, job: Job) -> Measurement:
    """`readBody`, or a protocol that counts."""
    client, url = _agent(reactor, job), job.url.encode("ascii")

    async def small() -> None:
        response: Any = await client.request(b"GET", url)
        check_small(response.code, await readBody(response))

    async def big() -> None:
        response: Any = await client.request(b"GET", url)
        done: Deferred[Download] = Deferred()
        response.deliverBody(Counting(done))
        (await done).check(response.code)

    return await _measure(client, job, big if job.scenario.download else small)


async def treq_client(reactor: Any, job: Job) -> Measurement:
    """treq's `HTTPClient` on it."""
    client = _agent(reactor, job)
    http = HTTPClient(client)

    async def small() -> None:
        response = await http.get(job.url)
        check_small(response.code, await treq.content(response))

    async def big() -> None:
        download = Download()
        response = await http.get(job.url, unbuffered=True)
        await treq.collect(response, download.add)
        download.check(response.code)

    return await _measure(client, job, big if job.scenario.download else small)


def _agent(reactor: Any, job: Job) -> GunAgent:
    protocols = ["http2"] if job.scenario.http2 else ["http"]
    return GunAgent(reactor, protocols=protocols, max_per_host=job.scenario.connections, tls_opts={"trust_root": job.ca}, proxy=job.proxy)


async def _measure(client: GunAgent, job: Job, once: Callable[[], Awaitable[None]]) -> Measurement:
    """Measure ``once()`` in as many coroutines as requests shall be under way."""

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await once()

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        await gatherResults([Deferred.fromCoroutine(work(turns)) for _ in range(job.scenario.at_once)])

    try:
        return await measure(job, repeat)
    finally:
        await client.close()
