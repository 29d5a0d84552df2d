"""websockets: its client on asyncio."""

from __future__ import annotations

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import PerMessageDeflate

from benchmarks.scenarios import Job, Measurement, check_echo, measure, messages

__all__ = ["websockets_client"]


async def websockets_client(job: Job) -> Measurement:
    """``await send(...)`` and ``await recv()`` in one coroutine, with as many messages under way as the scenario wants."""
    deflate = job.scenario.deflate
    async with connect(job.url, compression="deflate" if deflate else None, max_size=None, proxy=None) as websocket:
        if deflate != any(isinstance(extension, PerMessageDeflate) for extension in websocket.protocol.extensions):
            raise ConnectionError("the server did not agree to permessage-deflate")
        to_send, to_come = messages(job.scenario), messages(job.scenario)

        async def repeat(count: int) -> None:
            left = count
            for _ in range(min(count, job.scenario.streams)):
                await websocket.send(next(to_send))
                left -= 1
            for _ in range(count):
                check_echo(next(to_come), await websocket.recv())
                if left:
                    await websocket.send(next(to_send))
                    left -= 1

        return await measure(job, repeat)
