"""`twisted_gun.GunAgent`, and treq on top of it: what `agent.py` does with Twisted's own."""

from __future__ import annotations

from typing import Any

from benchmarks.drivers.agents import Once, by_agent, by_treq, measure_turns
from benchmarks.scenarios import Job, Measurement
from twisted_gun.agent import GunAgent

__all__ = ["agent", "treq_client"]


async def agent(reactor: Any, job: Job) -> Measurement:
    """By itself."""
    client = _agent(reactor, job)
    return await _measure(client, job, by_agent(client, job))


async def treq_client(reactor: Any, job: Job) -> Measurement:
    """treq on it."""
    client = _agent(reactor, job)
    return await _measure(client, job, by_treq(client, job))


def _agent(reactor: Any, job: Job) -> GunAgent:
    protocols = ["http2"] if job.scenario.http2 else ["http"]
    return GunAgent(reactor, protocols=protocols, max_per_host=job.scenario.connections, tls_opts={"trust_root": job.ca}, proxy=job.proxy)


async def _measure(client: GunAgent, job: Job, once: Once) -> Measurement:
    try:
        return await measure_turns(job, once, job.scenario.at_once)
    finally:
        await client.close()
