"""autobahn: its client on Twisted, with its masks and its check of UTF-8 in C where it has them."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.python.failure import Failure

from benchmarks.scenarios import Job, Measurement, check_echo, measure, messages

__all__ = ["autobahn_client"]


async def autobahn_client(reactor: Any, job: Job) -> Measurement:
    """A `WebSocketClientProtocol` that sends the next message where one has come back."""
    factory: Any = WebSocketClientFactory(job.url, reactor=reactor)  # type: ignore[no-untyped-call]
    factory.protocol = _Client
    if job.scenario.deflate:
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()],  # type: ignore[no-untyped-call]
            perMessageCompressionAccept=PerMessageDeflateResponseAccept,
        )
    client: Any = await HostnameEndpoint(reactor, "127.0.0.1", job.port).connect(factory)
    client.use(job)
    await client.opened
    try:
        if bool(client.websocket_extensions_in_use) != job.scenario.deflate:
            raise ConnectionError("the server did not agree to permessage-deflate")
        return await measure(job, client.repeat)
    finally:
        client.sendClose()
        await client.closed


class _Client(WebSocketClientProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()
        self._done: Deferred[None] = Deferred()

    def use(self, job: Job) -> None:
        self._to_send, self._to_come = messages(job.scenario), messages(job.scenario)
        self._text = job.scenario.text
        self._at_once = job.scenario.streams

    def onOpen(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)  # autobahn means to do so by default, but too early
        self.opened.callback(None)

    async def repeat(self, count: int) -> None:
        self._done = Deferred()
        self._left_to_send = self._left_to_come = count
        for _ in range(min(count, self._at_once)):
            self._send()
        await self._done

    def _send(self) -> None:
        self._left_to_send -= 1
        if self._text:
            self.sendMessage(next(self._to_send).encode())  # type: ignore[no-untyped-call]
        else:
            self.sendMessage(next(self._to_send), isBinary=True)  # type: ignore[no-untyped-call]

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            check_echo(next(self._to_come), payload if isBinary else payload.decode())
        except ValueError:
            self._done.errback(Failure())
            raise
        self._left_to_come -= 1
        if self._left_to_send:
            self._send()
        elif not self._left_to_come:
            self._done.callback(None)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if not self._done.called:
            self._done.errback(ConnectionError(f"closed: {code} {reason}"))
        self.closed.callback(None)
