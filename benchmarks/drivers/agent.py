"""`twisted.web.client.Agent`, and treq on top of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from benchmarks.drivers.agents import Once, by_agent, by_treq, measure_turns
from benchmarks.scenarios import Job, Measurement
from twisted_gun.endpoints import HttpConnectEndpoint

__all__ = ["agent", "treq_client"]


async def agent(reactor: Any, job: Job) -> Measurement:
    """`Agent` with a persistent pool."""
    client = _Pooled(reactor, job)
    return await client.measure(by_agent(client.agent, job))


async def treq_client(reactor: Any, job: Job) -> Measurement:
    """treq on the same `Agent`."""
    client = _Pooled(reactor, job)
    return await client.measure(by_treq(client.agent, job))


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

    async def measure(self, once: Once) -> Measurement:
        """Measure ``once()`` in as many coroutines as there are connections."""
        try:
            return await measure_turns(self._job, once, self._job.scenario.connections)
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
