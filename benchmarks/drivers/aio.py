"""aiohttp and httpx, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx

from benchmarks.scenarios import Download, Job, Measurement, check_small, measure

__all__ = ["aiohttp_client", "httpx_client"]


async def aiohttp_client(job: Job) -> Measurement:
    """A `ClientSession` with a connector of the scenario's size."""
    connector = aiohttp.TCPConnector(limit=job.scenario.connections, ssl=ssl.create_default_context(cafile=job.ca))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def small() -> None:
            async with session.get(job.url) as response:
                check_small(response.status, await response.read())

        async def big() -> None:
            download = Download()
            async with session.get(job.url) as response:
                async for data in response.content.iter_any():
                    download.add(data)
                download.check(response.status)

        return await _measure(job, big if job.scenario.download else small)


async def httpx_client(job: Job) -> Measurement:
    """An `AsyncClient` with a pool of the scenario's size."""
    limits = httpx.Limits(max_connections=job.scenario.connections, max_keepalive_connections=job.scenario.connections)
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=job.ca), limits=limits, trust_env=False) as client:

        async def small() -> None:
            response = await client.get(job.url)
            check_small(response.status_code, response.content)

        async def big() -> None:
            download = Download()
            async with client.stream("GET", job.url) as response:
                async for data in response.aiter_raw():
                    download.add(data)
                download.check(response.status_code)

        return await _measure(job, big if job.scenario.download else small)


async def _measure(job: Job, once: Callable[[], Awaitable[None]]) -> Measurement:
    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await once()

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        await asyncio.gather(*(work(turns) for _ in range(job.scenario.connections)))

    return await measure(job, repeat)
