"""twisted_gun in its two styles: awaiting each response or message, and told everything by callbacks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

import twisted_gun as gun
from benchmarks.scenarios import BIG_SIZE, Download, Job, Measurement, check_echo, check_small, check_upload, measure, messages, pieces

__all__ = [
    "awaiting",
    "awaiting_messages",
    "calling_back",
    "calling_back_messages",
    "calling_back_messages_on_wsproto",
    "calling_back_observed",
    "calling_back_on_h2",
]

_Work = Callable[[gun.Connection, Iterator[int]], Coroutine[Any, Any, None]]


async def awaiting(reactor: Any, job: Job) -> Measurement:
    """``await stream.await_response()`` and its like, in one coroutine for each request at a time; an upload is bytes."""
    content = bytes(BIG_SIZE) if job.scenario.upload else b""

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

    async def upload(connection: gun.Connection) -> None:
        stream = connection.post(job.path, body=content)
        response = await stream.await_response(timeout=None)
        check_upload(response.status, await stream.await_body())

    once = upload if job.scenario.upload else big if job.scenario.download else small

    async def work(connection: gun.Connection, turns: Iterator[int]) -> None:
        for _ in turns:
            await once(connection)

    return await _measure(reactor, job, work)


async def calling_back(reactor: Any, job: Job, **options: Any) -> Measurement:
    """A `Receiver` for each request at a time; the next is made where the last answer ended. An upload comes from a producer."""
    kind = _UploadReceiver if job.scenario.upload else _CountingReceiver if job.scenario.download else _JoiningReceiver

    async def work(connection: gun.Connection, turns: Iterator[int]) -> None:
        await kind(connection, job.path, turns).done

    return await _measure(reactor, job, work, **options)


async def calling_back_on_h2(reactor: Any, job: Job) -> Measurement:
    """`calling_back` with hyper-h2 as the core."""
    return await calling_back(reactor, job, http2_opts={"core": "h2"})


async def calling_back_observed(reactor: Any, job: Job) -> Measurement:
    """`calling_back` with an event handler, which does nothing."""
    return await calling_back(reactor, job, event_handler=gun.EventHandler())


async def awaiting_messages(reactor: Any, job: Job) -> Measurement:
    """``async for event in stream``, and `ws_send` from there."""
    async with _Upgraded(reactor, job) as upgraded:
        stream = upgraded.stream
        _check_deflate(job, await stream.await_upgrade())
        text, to_send, to_come = job.scenario.text, messages(job.scenario), messages(job.scenario)

        async def repeat(count: int) -> None:
            left_to_send = left_to_come = count
            for _ in range(min(count, job.scenario.streams)):
                stream.ws_send(next(to_send))
                left_to_send -= 1
            event: Any
            async for event in stream:
                check_echo(next(to_come), event.frame.text if text else event.frame.data)
                left_to_come -= 1
                if left_to_send:
                    stream.ws_send(next(to_send))
                    left_to_send -= 1
                elif not left_to_come:
                    break

        return await measure(job, repeat)


async def calling_back_messages(reactor: Any, job: Job, **options: Any) -> Measurement:
    """A `Receiver` that sends the next message where one has come back."""
    receiver = _EchoReceiver(job)
    async with _Upgraded(reactor, job, reply_to=receiver, **options):
        await receiver.opened
        return await measure(job, receiver.repeat)


async def calling_back_messages_on_wsproto(reactor: Any, job: Job) -> Measurement:
    """`calling_back_messages` with wsproto as the core."""
    return await calling_back_messages(reactor, job, core="wsproto")


async def _measure(reactor: Any, job: Job, work: _Work, **options: Any) -> Measurement:
    """Measure ``work(connection, turns)`` on all connections, as often at once as the scenario wants; they share the turns."""
    protocol = "http2" if job.scenario.http2 else "http"
    options |= {"transport": "tls", "tls_opts": {"trust_root": job.ca}} if job.scenario.tls else {}
    options |= {"proxy": job.proxy} if job.proxy else {}
    connections = [
        gun.open("127.0.0.1", job.port, reactor=reactor, protocols=[protocol], **options) for _ in range(job.scenario.connections)
    ]
    await gatherResults([connection.await_up() for connection in connections])

    async def repeat(count: int) -> None:
        turns = iter(range(count))
        working = [work(connection, turns) for connection in connections for _ in range(job.scenario.streams)]
        await gatherResults([Deferred.fromCoroutine(one) for one in working])

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
            self._ask()

    def _ask(self) -> None:
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
        self._check(self._status, b"".join(self._pieces))
        self._begin()

    _check = staticmethod(check_small)


class _UploadReceiver(_JoiningReceiver):
    """Sends content from a producer."""

    _check = staticmethod(check_upload)

    def _ask(self) -> None:
        self._connection.post(self._path, body=_Pieces(), reply_to=self)


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


class _Upgraded:
    """A connection that has become a websocket, as long as it is needed."""

    def __init__(self, reactor: Any, job: Job, **options: Any) -> None:
        self._connection = gun.open("127.0.0.1", job.port, reactor=reactor, protocols=["http"])
        self._job = job
        self._options = {"compress": job.scenario.deflate} | options

    async def __aenter__(self) -> _Upgraded:
        await self._connection.await_up()
        self.stream = self._connection.ws_upgrade(self._job.path, ws_opts=self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.shutdown()


def _check_deflate(job: Job, event: gun.Upgrade) -> None:
    if job.scenario.deflate != any(name == b"sec-websocket-extensions" for name, _ in event.headers):
        raise ConnectionError("the server did not agree to permessage-deflate")


class _EchoReceiver(gun.Receiver):
    """Sends message after message; `opened` fires when it may, and the Deferred of `repeat` after the last."""

    def __init__(self, job: Job) -> None:
        self.opened: Deferred[None] = Deferred()
        self._job = job
        self._text, self._at_once = job.scenario.text, job.scenario.streams
        self._to_send, self._to_come = messages(job.scenario), messages(job.scenario)
        self._done = self.opened
        self._left_to_come = 1

    def gun_upgrade(self, event: gun.Upgrade) -> None:
        _check_deflate(self._job, event)
        self._send = event.stream.ws_send
        self.opened.callback(None)

    def gun_error(self, event: gun.Error) -> None:
        self._done.errback(event.reason)

    def repeat(self, count: int) -> Deferred[None]:
        self._done = Deferred()
        first = min(count, self._at_once)
        self._left_to_send, self._left_to_come = count - first, count
        for _ in range(first):
            self._send(next(self._to_send))
        return self._done

    def gun_ws(self, event: gun.Ws) -> None:
        frame: Any = event.frame
        if type(frame) is gun.Close:
            if self._left_to_come:
                self._done.errback(ConnectionError(f"closed: {frame}"))
            return
        check_echo(next(self._to_come), frame.text if self._text else frame.data)
        self._left_to_come -= 1
        if self._left_to_send:
            self._left_to_send -= 1
            self._send(next(self._to_send))
        elif not self._left_to_come:
            self._done.callback(None)


@implementer(IBodyProducer, IPushProducer)
class _Pieces:
    """The content of one upload, written piece by piece until it is told to pause."""

    length = BIG_SIZE

    def __init__(self) -> None:
        self._pieces = pieces()
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused:
            piece = next(self._pieces, None)
            if piece is None:
                self._paused = True
                self._done.callback(None)
            else:
                self._consumer.write(piece)

    def stopProducing(self) -> None:
        self._paused = True
