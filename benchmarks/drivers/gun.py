"""twisted_gun in its two styles: awaiting each response, and told everything by callbacks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

import twisted_gun as gun
from benchmarks.scenarios import Download, Job, Measurement, check_small, measure

__all__ = ["awaiting", "calling_back"]

_Work = Callable[[gun.Connection, Iterator[int]], Coroutine[Any, Any, None]]


async def awaiting(reactor: Any, job: Job) -> Measurement:
    """``await stream.await_response()`` and its like, in one coroutine a connection."""

    async def small(connection: gun.Connection) -> None:
        stream = connection.get(job.path)
        response = await stream.await_response()
        check_small(response.status, await stream.await_body())

    async def big(connection: gun.Connection) -> None:
        download = Download()
        stream = connection.get(job.path)
        response = await stream.await_response()
        async for data in stream.chunks():
            download.add(data)
        download.check(response.status)

    once = big if job.scenario.download else small

    async def work(connection: gun.Connection, turns: Iterator[int]) -> None:
        for _ in turns:
            await once(connection)

    return await _measure(reactor, job, work)


async def calling_back(reactor: Any, job: Job) -> Measurement:
    """A `Receiver` a connection; the next request is made where the last answer ended."""
    kind = _CountingReceiver if job.scenario.download else _JoiningReceiver

    async def work(connection: gun.Connection, turns: Iterator[int]) -> None:
        await kind(connection, job.path, turns).done

    return await _measure(reactor, job, work)


async def _measure(reactor: Any, job: Job, work: _Work) -> Measurement:
    """Measure ``work(connection, turns)`` on all connections, which share the turns."""
    options: dict[str, Any] = {"transport": "tls", "tls_opts": {"trust_root": job.ca}} if job.scenario.tls else {}
    connections = [gun.open("127.0.0.1", job.port, reactor=reactor, protocols=["http"], **options) for _ in range(job.scenario.connections)]
    await gatherResults([connection.await_up() for connection in connections])

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        await gatherResults([Deferred.fromCoroutine(work(connection, turns)) for connection in connections])

    measurement = await measure(job, repeat)
    await gatherResults([connection.shutdown() for connection in connections])
    return measurement


class _TurnsReceiver(gun.Receiver):
    """Makes one request after the other on `connection`; `done` fires after the last turn."""

    def __init__(self, connection: gun.Connection, path: str, turns: Iterator[int]) -> None:
        self.done: Deferred[None] = Deferred()
        self._connection = connection
        self._path = path
        self._turns = turns
        self._begin()

    def gun_error(self, event: gun.Error) -> None:
        self.done.errback(event.reason)

    def _begin(self) -> None:
        if next(self._turns, None) is None:
            self.done.callback(None)
        else:
            self._connection.get(self._path, reply_to=self)


class _JoiningReceiver(_TurnsReceiver):
    """Puts the pieces of each answer together."""

    def gun_response(self, event: gun.Response) -> None:
        self._status = event.status
        self._pieces: list[bytes] = []
        if event.fin:
            self._end()

    def gun_data(self, event: gun.Data) -> None:
        self._pieces.append(event.data)
        if event.fin:
            self._end()

    def _end(self) -> None:
        check_small(self._status, b"".join(self._pieces))
        self._begin()


class _CountingReceiver(_TurnsReceiver):
    """Counts the pieces of each answer, and forgets them."""

    def gun_response(self, event: gun.Response) -> None:
        self._status = event.status
        self._download = Download()

    def gun_data(self, event: gun.Data) -> None:
        self._download.add(event.data)
        if event.fin:
            self._download.check(self._status)
            self._begin()
