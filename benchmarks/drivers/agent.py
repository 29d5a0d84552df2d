"""`twisted.web.client.Agent`, and treq on top of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, readBody
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from benchmarks.drivers.counting import Counting
from benchmarks.scenarios import Download, Job, Measurement, check_small, measure
from twisted_gun.endpoints import HttpConnectEndpoint

__all__ = ["agent", "treq_client"]


async def agent(reactor: Any, job: Job) -> Measurement:
    """`Agent` with a persistent pool; `readBody`, or a protocol that counts."""
    client, url = _Pooled(reactor, job), job.url.encode("ascii")

    async def small() -> None:
        response = await client.agent.request(b"GET", url)
        check_small(response.code, await readBody(response))

    async def big() -> None:
        response = await client.agent.request(b"GET", url)
        done: Deferred[Download] = Deferred()
        response.deliverBody(Counting(done))
        (await done).check(response.code)

    return await client.measure(big if job.scenario.download else small)


async def treq_client(reactor: Any, job: Job) -> Measurement:
    """treq's `HTTPClient` on the same `Agent`."""
    client = _Pooled(reactor, job)
    http = HTTPClient(client.agent)

    async def small() -> None:
        response = await http.get(job.url)
        check_small(response.code, await treq.content(response))

    async def big() -> None:
        download = Download()
        response = await http.get(job.url, unbuffered=True)
        await treq.collect(response, download.add)
        download.check(response.code)

    return await client.measure(big if job.scenario.download else small)


class _Pooled:
    """An `Agent` whose pool keeps as many connections as the scenario wants."""

    def __init__(self, reactor: Any, job: Job) -> None:
        self._job = job
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = job.scenario.connections
        policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(Path(job.ca).read_bytes())]))
        if job.proxy:
            self.agent = Agent.usingEndpointFactory(reactor, _Tunnels(reactor, job.proxy, policy), pool=self._pool)
        else:
            self.agent = Agent(reactor, contextFactory=policy, pool=self._pool)

    async def measure(self, once: Callable[[], Awaitable[None]]) -> Measurement:
        """Measure ``once()`` in as many coroutines as there are connections."""

        async def work(turns: Iterator[int]) -> None:
            for _ in turns:
                await once()

        async def repeat(count: int) -> None:
            turns = iter(range(count))
            await gatherResults([Deferred.fromCoroutine(work(turns)) for _ in range(self._job.scenario.connections)])

        try:
            return await measure(self._job, repeat)
        finally:
            await self._pool.closeCachedConnections()


@implementer(IAgentEndpointFactory)
class _Tunnels:
    """Tunnels, which Twisted's `Agent` does not make: those of twisted_gun."""

    def __init__(self, reactor: Any, proxy: str, policy: BrowserLikePolicyForHTTPS) -> None:
        self._reactor, self._proxy, self._policy = reactor, proxy, policy

    def endpointForURI(self, uri: URI) -> Any:
        tunnel = HttpConnectEndpoint(self._reactor, self._proxy, uri.host.decode("ascii"), uri.port)
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), tunnel)
