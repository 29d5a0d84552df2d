"""
One attempt at a request by URL: a connection of its own, and what the server answers on it.

Whether there is another attempt is decided elsewhere. Whatever goes wrong, or is cancelled, leaves no connection behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError, LimitReached, UpgradeRefused
from twisted_gun.events import Data, Headers
from twisted_gun.events import Response as Head
from twisted_gun.opening import open as dial
from twisted_gun.stream import Stream
from twisted_gun.websocket.redirects import Asked, is_redirect
from twisted_gun.websocket.request_options import RequestOptions
from twisted_gun.websocket.response import Response

__all__ = ["MAX_REFUSAL_SIZE", "Attempt"]

#: How many bytes are kept of what comes with a refusal: it is for a person to read.
MAX_REFUSAL_SIZE = 64 * 1024

#: RFC 8441 section 5: a 2xx response to extended CONNECT opens the websocket; over HTTP/1.1 it is 101.
_UPGRADED = {"http": 101, "http2": 200}


class _RefusedOverHttp2(UpgradeRefused):
    """It may be granted over HTTP/1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One attempt at what is `asked`, with `headers`, by the options of `request`.

    `own` says whether this is the origin that the request was first for.
    """

    request: RequestOptions
    asked: Asked
    headers: Headers = field(repr=False)
    reactor: Any
    own: bool

    async def run(self) -> Response:
        """What the server answers; only a websocket keeps its connection. Raises `GunError`."""
        if not self.asked.target.websocket:
            return await self._on_connection(self._ask, None)
        try:
            return await self._on_connection(self._upgrade, None)
        except _RefusedOverHttp2:
            # The server speaks HTTP/2, but has no websockets there (RFC 8441 section 3), or none that will do.
            if not self.asked.target.secure or "http1" not in self.request.connect_options.protocols:
                raise
        return await self._on_connection(self._upgrade, ("http1",))

    async def _on_connection(
        self, exchange: Callable[[Connection, str], Awaitable[Response]], protocols: tuple[str, ...] | None
    ) -> Response:
        target = self.asked.target
        options = self.request.connect_options.for_target(target, own=self.own, protocols=protocols)
        connection = dial(target.host, target.port, reactor=self.reactor, retry=0, **options)
        response: Response | None = None
        try:
            # Without a limit, because each step of connecting has its own.
            response = await exchange(connection, await connection.await_up(timeout=None))
        finally:
            if response is None or not response.upgraded:
                connection.close()
        return response

    async def _ask(self, connection: Connection, protocol: str) -> Response:
        """An ordinary request, whose answer is wanted whole."""
        asked = self.asked
        stream = connection.request(asked.method, asked.target.path, self.headers, asked.body)
        head = await stream.await_response(self.request.receive_timeout)
        if self._leads_elsewhere(head):
            return self._response(head)
        pieces: list[bytes] = []
        if not await self._collect(stream, head, pieces, self.request.max_body_size):
            raise LimitReached("max_body_size", self.request.max_body_size)
        return self._response(head, b"".join(pieces))

    async def _upgrade(self, connection: Connection, protocol: str) -> Response:
        stream = connection.ws_upgrade(self.asked.target.path, self.headers, self.request.ws_opts)
        try:
            upgrade = await stream.await_upgrade(self.request.receive_timeout)
        except UpgradeRefused as refusal:
            if refusal.response is None and protocol == "http2":
                raise _RefusedOverHttp2(str(refusal), None) from refusal
            if refusal.response is None:
                raise
            return await self._refused(stream, refusal.response)
        url = self.asked.target.url
        return Response(status=_UPGRADED[protocol], headers=upgrade.headers, stream=stream, url=url, upgraded=True)

    async def _refused(self, stream: Stream, head: Head) -> Response:
        """The answer that is no websocket, with as much of its content as came, within limits of size and time."""
        if self._leads_elsewhere(head):
            return self._response(head)
        pieces: list[bytes] = []
        collected = Deferred.fromCoroutine(self._collect(stream, head, pieces, MAX_REFUSAL_SIZE))
        if self.request.receive_timeout is not None:
            collected.addTimeout(self.request.receive_timeout, self.reactor)
        try:
            whole = await collected
        except (GunError, defer.TimeoutError):
            whole = False
        return self._response(head, b"".join(pieces)[:MAX_REFUSAL_SIZE], truncated=not whole)

    async def _collect(self, stream: Stream, head: Head, pieces: list[bytes], limit: int) -> bool:
        """Put the content into `pieces`; whether it was no more than `limit` bytes."""
        size, ended = 0, head.fin
        while not ended:
            event: Any = await stream.await_event(self.request.receive_timeout)
            ended = event.fin
            if type(event) is Data:
                pieces.append(event.data)
                size += len(event.data)
                if size > limit:
                    return False
        return True

    def _leads_elsewhere(self, head: Head) -> bool:
        """Whether the content is not worth reading, because the redirect will be followed."""
        return self.request.redirect and is_redirect(head.status, head.headers)

    def _response(self, head: Head, body: bytes = b"", *, truncated: bool = False) -> Response:
        return Response(
            status=head.status, headers=head.headers, stream=head.stream, url=self.asked.target.url, body=body, truncated=truncated
        )
