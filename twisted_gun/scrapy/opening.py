"""
How the websockets of a crawl are opened, each on a connection of its own, with the handshake as a download; and how they end.

Where a server answers by anything else, that is downloaded: retries and errbacks are what they are elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.exceptions import DownloadCancelledError
from twisted.internet.defer import Deferred, execute, fail
from twisted.python.failure import Failure

from twisted_gun.errors import GunError, InvalidRequest, OptionError, ShuttingDown, UpgradeRefused
from twisted_gun.events import Close, Data, Error
from twisted_gun.pool.checkouts import Ask, CheckoutOptions, Checkouts, Verb
from twisted_gun.receivers import Receiver
from twisted_gun.scrapy.download import Crawl, Download
from twisted_gun.scrapy.websocket import WebSocket, WebSocketResponse
from twisted_gun.threads import in_reactor

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from twisted_gun.connection import Connection
    from twisted_gun.events import Upgrade
    from twisted_gun.origins import Origins
    from twisted_gun.scrapy.settings import Limits
    from twisted_gun.scrapy.ways import Way
    from twisted_gun.stream import Stream

__all__ = ["WebSockets", "check_ws_opts"]

#: How often it is looked, while there are websockets, whether the crawl is to end, and which of those that were closed have not ended.
_LOOK_SECONDS = 1.0

#: Scrapy's own queues are before this one, and it has its own limits of time.
_QUEUE = CheckoutOptions(checkout_timeout=None, checkout_retry=(), max_waiting=1_000_000)

#: Options of websockets by which a callback would get nothing to read.
_NOT_HERE = ("flow", "reply_to")


def _call(verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Stream:
    return verb(*arguments, **options)


def check_ws_opts(name: str, given: Any) -> None:
    """Raises `OptionError` where `given`, options of websockets by that `name`, say who reads a websocket."""
    for option in _NOT_HERE:
        value = given.get(option) if isinstance(given, dict) else getattr(given, option, None)
        if value is not None:
            raise OptionError(f"{name}.{option}", "to be left out: a callback reads one message after the other")


class _Ending(DownloadCancelledError):
    """There are no more websockets."""

    def __init__(self) -> None:
        super().__init__("the crawl ends: no more websockets are opened")


class WebSockets:
    """
    The websockets of a `crawl`, over connections of `origins` which nobody else uses; `most` at a time, 0 being no limit.

    Requests beyond those wait, within their time, until one was closed.
    """

    def __init__(self, crawl: Crawl, origins: Origins, reactor: Any, *, most: int) -> None:
        check_ws_opts("ws_opts", origins.options.ws_opts)
        self._crawl = crawl
        self._origins = origins
        self._reactor = reactor
        self._most = most
        self._open: set[Connection] = set()  # those that are being opened among them
        self._leaving: set[Connection] = set()
        self._late: list[Connection] = []  # that were leaving when it was looked last
        self._queue = Checkouts(origins.deadlines, _QUEUE, self._free, str)
        self._watching = False
        crawl.signals.connect(self._callback_failed, signal=signals.spider_error)

    def open(self, request: Request, way: Way, limits: Limits) -> Deferred[Response]:
        """The response to `request`; fails as any download, and with ValueError for one that cannot be sent."""
        opening = _Opening(request, limits, self._crawl, self)
        return opening.start(self._asked(request, way).addCallback(opening.begun), self._reactor)

    def _asked(self, request: Request, way: Way) -> Deferred[Any]:
        """The stream of the handshake."""
        if self._crawl.ending:
            return fail(_Ending())
        if self._queue or self._free() is None:
            return self._queue.wait(self._upgrade, (request, way), {})
        return execute(self._upgrade, request, way)

    def _free(self) -> Ask | None:
        return _call if not self._most or len(self._open) < self._most else None

    def _upgrade(self, request: Request, way: Way) -> Stream:
        if request.method != "GET" or request.body:
            raise InvalidRequest("a request for a websocket is a GET without a body: send messages once it is open")
        ws_opts = request.meta.get("gun_ws_opts")
        check_ws_opts("gun_ws_opts", ws_opts)
        request.meta["dont_cache"] = True  # for what is there is a connection, and it cannot be told again
        connection = self._origins.connection(way.identity, Receiver())
        self._open.add(connection)
        connection.when_terminated().addCallback(lambda _: self._ended(connection))
        self._watch()
        try:
            return connection.ws_upgrade(way.target, way.fields, ws_opts)
        except GunError:
            connection.close()
            raise

    def _leaves_room(self, connection: Connection) -> None:
        """`connection` counts no more; those that wait go on in a turn of their own."""
        self._open.discard(connection)
        if self._queue:
            self._origins.deadlines.set("places", 0.0, self._queue.hand_out)

    # The end.

    def end(self) -> None:
        """Fail all that wait; connections are the origins' to end."""
        self._queue.refuse(ShuttingDown("the connections were closed before there was one for this websocket"))

    def close(self, stream: Stream, close: Close) -> None:
        """Close a websocket that is read no more."""
        if stream.ws_open:
            stream.ws_send(close)
        stream._discard()
        self._leave(stream.connection)

    def let_go(self, stream: Stream) -> None:
        """Close one that nobody holds."""
        in_reactor(self._reactor, self.close, stream, Close(1000))

    def _callback_failed(self, response: Any) -> None:
        if isinstance(response, WebSocketResponse):
            response.websocket.close()

    def _leave(self, connection: Connection) -> None:
        if connection in self._open:
            self._leaving.add(connection)
            connection.shutdown()
            self._leaves_room(connection)

    def _ended(self, connection: Connection) -> None:
        self._leaving.discard(connection)
        self._leaves_room(connection)
        if not self._open and not self._leaving:
            self._origins.deadlines.clear("websockets")
            self._watching = False

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._origins.deadlines.set("websockets", _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._watching = False
        for connection in self._late:  # nobody waits for a server that does not answer a Close
            connection.close()
        if self._crawl.ending:
            self._queue.refuse(_Ending())
            for connection in list(self._open):
                self._leave(connection)
        self._late = list(self._leaving)
        if self._open or self._leaving:
            self._watch()


class _Opening(Download):
    """A download whose response is a websocket, or else what the server answered instead; it is asked for on `connection`."""

    connection: Connection | None = None

    def __init__(self, request: Request, limits: Limits, crawl: Crawl, websockets: WebSockets) -> None:
        super().__init__(request, limits, crawl)
        self._websockets = websockets

    def begun(self, stream: Stream) -> Deferred[Upgrade]:
        """It has its place, and is asked for."""
        self.connection = stream.connection
        return stream.await_upgrade(timeout=None)

    def _got(self, upgrade: Upgrade) -> None:
        self._asked = None
        if self._over:
            return
        # Scrapy keeps a 101 from callbacks; over HTTP/2 a websocket is opened by 200 (RFC 8441 section 5).
        head = self._begin(upgrade.stream, 200, upgrade.headers)
        if not self._stopped(signals.headers_received, headers=head["headers"], body_length=None):
            self._crawl.websockets += 1
            self._stream = self.connection = None  # which go on
            self._end(WebSocketResponse(websocket=WebSocket(upgrade.stream, self._crawl, self._websockets), **head))

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
                self.gun_error(Error(connection=stream.connection, stream=stream, reason=error))
                return
            if isinstance(event, Data):
                self.gun_data(event)
            else:
                self.gun_trailers(event)

    def _end(self, result: Response | Failure) -> None:
        super()._end(result)
        if self.connection is not None:
            self.connection.close()
