"""niquests, in its multiplexed mode: requests are begun one by one and answered together."""

from __future__ import annotations

import niquests

from benchmarks.scenarios import BIG_SIZE, Download, Job, Measurement, check_small, check_upload, measure

__all__ = ["niquests_client"]


async def niquests_client(job: Job) -> Measurement:
    """
    A `Session`, which waits by itself, so this coroutine never does; its `AsyncSession` does the same work and needs longer.

    As many requests as the scenario wants at once are begun, then `gather` gets all the answers.
    """
    with niquests.Session(multiplexed=True, revocation_configuration=None) as session:
        session.verify, session.trust_env = job.ca, False

        def small(count: int) -> None:
            responses = [session.get(job.url) for _ in range(count)]
            session.gather()
            for response in responses:
                check_small(_status(response), response.content or b"")

        def big(_: int) -> None:
            download = Download()
            response = session.get(job.url, stream=True)
            session.gather(response)
            for data in response.iter_raw(-1):
                download.add(data)
            download.check(_status(response))

        def upload(_: int) -> None:
            response = session.post(job.url, data=content)
            session.gather(response)
            check_upload(_status(response), response.content or b"")

        content = bytes(BIG_SIZE) if job.scenario.upload else b""
        some = upload if job.scenario.upload else big if job.scenario.download else small

        async def repeat(count: int) -> None:
            while count:
                at_once = min(count, job.scenario.at_once)
                some(at_once)
                count -= at_once

        return await measure(job, repeat)


def _status(response: niquests.Response) -> int:
    if response.http_version != 20:
        raise ConnectionError("the server did not choose HTTP/2")
    return response.status_code or 0
