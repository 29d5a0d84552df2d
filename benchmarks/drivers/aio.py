"""aiohttp and httpx, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import httpx

from benchmarks.scenarios import BIG_SIZE, Download, Job, Measurement, check_echo, check_small, check_upload, measure, messages, pieces

__all__ = ["aiohttp_client", "aiohttp_websocket", "httpx_client"]


async def aiohttp_client(job: Job) -> Measurement:
    """A `ClientSession` with a connector of the scenario's size."""
    connector = aiohttp.TCPConnector(limit=job.scenario.connections, ssl=ssl.create_default_context(cafile=job.ca))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def small() -> None:
            async with session.get(job.url, proxy=job.proxy) as response:
                check_small(response.status, await response.read())

        async def big() -> None:
            download = Download()
            async with session.get(job.url, proxy=job.proxy) as response:
                async for data in response.content.iter_any():
                    download.add(data)
                download.check(response.status)

        return await _measure(job, big if job.scenario.download else small)


async def aiohttp_websocket(job: Job) -> Measurement:
    """`ws_connect`, and sending and receiving in one coroutine, with as many messages under way as the scenario wants."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(job.url, compress=15 if job.scenario.deflate else 0, max_msg_size=0) as websocket,
    ):
        if bool(websocket.compress) != job.scenario.deflate:
            raise ConnectionError("the server did not agree to permessage-deflate")
        send, receive = (
            (websocket.send_str, websocket.receive_str) if job.scenario.text else (websocket.send_bytes, websocket.receive_bytes)
        )
        to_send, to_come = messages(job.scenario), messages(job.scenario)

        async def repeat(count: int) -> None:
            left = count
            for _ in range(min(count, job.scenario.streams)):
                await send(next(to_send))
                left -= 1
            for _ in range(count):
                check_echo(next(to_come), await receive())
                if left:
                    await send(next(to_send))
                    left -= 1

        return await measure(job, repeat)


async def httpx_client(job: Job) -> Measurement:
    """An `AsyncClient` with a pool of the scenario's size; an upload in pieces, for of bytes it would copy the rest at every frame."""
    limits = httpx.Limits(max_connections=job.scenario.connections, max_keepalive_connections=job.scenario.connections)
    tls = ssl.create_default_context(cafile=job.ca)
    http2 = job.scenario.http2
    proxy = httpx.Proxy(job.proxy, ssl_context=tls if job.way == "https" else None) if job.proxy else None
    async with httpx.AsyncClient(verify=tls, limits=limits, trust_env=False, http1=not http2, http2=http2, proxy=proxy) as client:

        async def small() -> None:
            response = await client.get(job.url)
            check_small(response.status_code, response.content)

        async def big() -> None:
            download = Download()
            async with client.stream("GET", job.url) as response:
                async for data in response.aiter_raw():
                    download.add(data)
                download.check(response.status_code)

        async def upload() -> None:
            response = await client.post(job.url, content=_sent(), headers={"content-length": str(BIG_SIZE)}, timeout=None)
            check_upload(response.status_code, response.content)

        return await _measure(job, upload if job.scenario.upload else big if job.scenario.download else small)


async def _sent() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


async def _measure(job: Job, once: Callable[[], Awaitable[None]]) -> Measurement:
    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await once()

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        await asyncio.gather(*(work(turns) for _ in range(job.scenario.at_once)))

    return await measure(job, repeat)
