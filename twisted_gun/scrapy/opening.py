"""
How a websocket of a crawl is opened: a connection of its own, and the handshake as a download.

Where a server answers by anything else, that is downloaded: redirects, retries and errbacks are what they are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.exceptions import DownloadFailedError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_gun import events
from twisted_gun.errors import GunError, InvalidRequest, LimitReached, UpgradeRefused
from twisted_gun.receivers import Receiver
from twisted_gun.scrapy.download import Crawl, Download
from twisted_gun.scrapy.websocket import WebSocket, WebSocketResponse

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from twisted_gun.connection import Connection
    from twisted_gun.origins import Origins
    from twisted_gun.scrapy.settings import Limits
    from twisted_gun.scrapy.ways import Way
    from twisted_gun.stream import Stream

__all__ = ["WebSockets"]

#: How often it is looked whether the crawl is to end, while websockets are open: Scrapy waits for the callbacks that read them.
_LOOK_SECONDS = 1.0


class WebSockets:
    """The websockets of a `crawl`, `most` at a time, over connections of `origins` which nobody else uses."""

    def __init__(self, crawl: Crawl, origins: Origins, *, most: int) -> None:
        self._crawl = crawl
        self._origins = origins
        self._most = most
        self._connections: set[Connection] = set()

    def open(self, request: Request, way: Way, limits: Limits, reactor: Any) -> Deferred[Response]:
        """The response to `request`; raises ValueError for one that cannot be sent."""
        if request.method != "GET" or request.body:
            raise InvalidRequest("a request for a websocket is a GET without a body: send messages once it is open")
        if len(self._connections) >= self._most:
            limit = LimitReached("GUN_MAX_WEBSOCKETS", self._most)
            raise DownloadFailedError(str(limit)) from limit
        connection = self._origins.connection(way.identity, Receiver())
        self._connections.add(connection)
        connection.when_terminated().addCallback(lambda _: self._ended(connection))
        try:
            stream = connection.ws_upgrade(way.target, way.fields, request.meta.get("gun_ws_opts"))
        except GunError:
            connection.close()
            raise
        self._watch()
        opened = _Opening(request, limits, self._crawl).start(stream.await_upgrade(timeout=None), reactor)
        return opened.addBoth(_closed_unless_open, connection)

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._origins.deadlines.clear("websockets")

    def _watch(self) -> None:
        self._origins.deadlines.set("websockets", _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self._crawl.ending:
            for connection in list(self._connections):
                connection.shutdown()
        else:
            self._watch()


def _closed_unless_open(result: Response | Failure, connection: Connection) -> Response | Failure:
    if not isinstance(result, WebSocketResponse):
        connection.close()
    return result


class _Opening(Download):
    """A download whose response is a websocket, or else what the server answered instead."""

    def _got(self, upgrade: Any) -> None:
        self._asked = None
        if self._over:
            return
        # Scrapy keeps a 101 from callbacks; over HTTP/2 a websocket is opened by 200 (RFC 8441 section 5).
        head = self._begin(upgrade.stream, 200, upgrade.headers)
        if not self._stopped(signals.headers_received, headers=head["headers"], body_length=None):
            self._stream = None  # which goes on
            self._crawl.websockets += 1
            self._end(WebSocketResponse(websocket=WebSocket(upgrade.stream, self._crawl), **head))

    def _refused(self, failure: Failure) -> None:
        refusal = failure.value
        if isinstance(refusal, UpgradeRefused) and refusal.response is not None and not self._over:
            self._asked = None
            self.gun_response(refusal.response)
            Deferred.fromCoroutine(self._read(refusal.response.stream))
        else:
            super()._refused(failure)

    async def _read(self, stream: Stream) -> None:
        while not self._over:
            try:
                event: Any = await stream.await_event(timeout=None)
            except GunError as error:
                self.gun_error(events.Error(connection=stream.connection, stream=stream, reason=error))
            else:
                self.gun_data(event) if isinstance(event, events.Data) else self.gun_trailers(event)
