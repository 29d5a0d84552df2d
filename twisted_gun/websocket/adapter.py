"""
Objects written for ``twisted.web.websocket`` run over a connection.

`run` upgrades and calls a ``WebSocketProtocol`` as Twisted's own client does; the `Transport` that it gives has the methods of Twisted's
``WebSocketTransport``. Both are only types there, so that nothing of that module is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_gun.connection import Connection
from twisted_gun.errors import BadState, GunError, UpgradeRefused
from twisted_gun.events import Binary, Close, Frame, Headers, Ping, Pong, Text, Ws
from twisted_gun.headers import HeadersLike
from twisted_gun.options import WsOptions
from twisted_gun.stream import Stream

__all__ = ["Closed", "Lost", "Transport", "WebSocketProtocol", "run"]


class WebSocketProtocol(Protocol):
    """What is called; ``twisted.web.websocket.WebSocketProtocol`` says the same."""

    def negotiationStarted(self, transport: Any) -> None:
        """The connection is up, and the upgrade was asked for."""

    def negotiationFinished(self) -> None:
        """The server has consented."""

    def pongReceived(self, payload: bytes) -> None:
        """A pong has come."""

    def textMessageReceived(self, message: str) -> None:
        """A message of text has come."""

    def bytesMessageReceived(self, data: bytes) -> None:
        """A message of bytes has come."""

    def connectionLost(self, reason: Failure) -> None:
        """The websocket is over; called once for each call of `negotiationStarted`."""


class Closed(GunError, ConnectionDone):
    """
    The websocket ended in good order.

    `code` and `reason` are those of the server's Close frame, None and "" where it had none. Where the server refused the upgrade, the
    `UpgradeRefused` is the ``__cause__``.
    """

    def __init__(self, message: str, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Lost(GunError, ConnectionLost):
    """The websocket ended by an error, which is the ``__cause__``."""


def run(
    connection: Connection,
    path: str | bytes,
    protocol: WebSocketProtocol,
    headers: HeadersLike = (),
    ws_opts: Any = None,
    timeout: float | None = 5.0,
) -> Deferred[Transport]:
    """
    Upgrade a stream of `connection` for `protocol`, and give its transport.

    `protocol` is called in the order of Twisted's own client: ``negotiationStarted`` when the connection is up, ``negotiationFinished``,
    what comes, and at last ``connectionLost``. Where the connection is not up within `timeout`, or the request cannot be made, only the
    Deferred fails. From ``negotiationStarted`` on ``connectionLost`` always comes, with `Closed` or `Lost`; a refusal fails the Deferred
    with `UpgradeRefused` before that. Cancelling the Deferred gives up the stream. `ws_opts` are those of `Connection.ws_upgrade`, but
    ``reply_to`` and ``silence_pings``: pings are answered, and pongs told.
    """
    transport = Transport(connection, protocol)
    return transport._start(path, headers, _told_all(connection, ws_opts), timeout)


class Transport:
    """
    What a ``WebSocketProtocol`` is given: Twisted's ``WebSocketTransport``, over a stream.

    `stream` is the stream, `headers` those of the server's consent, and `subprotocol` the one it chose. What is sent after the end, or
    after `loseConnection`, is dropped, as every transport of Twisted does; before ``negotiationFinished`` it raises `BadState`.
    """

    stream: Stream
    headers: Headers = ()

    def __init__(self, connection: Connection, protocol: WebSocketProtocol) -> None:
        self._connection = connection
        self._protocol = protocol
        self._up: Deferred[str] | None = None
        self._given_up = self._open = self._over = False

    def __repr__(self) -> str:
        return f"<Transport of {self._protocol!r} over {self._connection!r}>"

    @property
    def subprotocol(self) -> bytes | None:
        """The subprotocol that the server chose."""
        return dict(self.headers).get(b"sec-websocket-protocol")

    # Twisted's WebSocketTransport.

    def sendTextMessage(self, text: str) -> None:
        """Send a message of text. Raises `InvalidRequest` where it cannot be encoded."""
        self._send(Text(text))

    def sendBytesMessage(self, data: bytes) -> None:
        """Send a message of bytes."""
        self._send(Binary(data))

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping; ``pongReceived`` tells of the answer. Raises `InvalidRequest` for more than 125 bytes."""
        self._send(Ping(payload))

    def loseConnection(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; the stream ends within its ``closing_timeout``. What still comes is not told."""
        if self._open:
            self._send(Close(code, reason))
            self._over = True
        elif not self._over:
            self.stream.cancel()

    def attachProducer(self, producer: Any) -> None:
        """Let this `IPushProducer` produce, but while the server does not take what is sent."""
        self.stream.registerProducer(producer, True)

    def detachProducer(self) -> None:
        """The producer has sent all it will."""
        self.stream.unregisterProducer()

    def _send(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self.stream.ws_send(frame)
        except BadState:  # the closing handshake goes on already, or the stream ends in this turn
            if not self._open:
                raise

    # The life of it.

    def _start(self, path: str | bytes, headers: HeadersLike, ws_opts: Any, timeout: float | None) -> Deferred[Transport]:
        ready: Deferred[Transport] = Deferred(lambda _: self._give_up())
        Deferred.fromCoroutine(self._live(ready, path, headers, ws_opts, timeout))
        return ready

    def _give_up(self) -> None:
        self._given_up = True
        if self._up is not None:
            self._up.cancel()
        else:
            self.stream.cancel()

    async def _live(self, ready: Deferred[Transport], path: str | bytes, headers: HeadersLike, ws_opts: Any, timeout: float | None) -> None:
        try:
            self._up = self._connection.await_up(timeout)
            await self._up
            self._up = None
            # Only now, so that the request is known to be well-formed; nothing can come in answer before the protocol knows of it.
            self.stream = self._connection.ws_upgrade(path, headers, ws_opts, reply_to=None)
        except Exception:
            self._settle(ready, Failure())
            return
        try:
            await self._negotiate(timeout)
        except Exception as error:
            if not isinstance(error, UpgradeRefused):  # of which the caller may want to read the content
                self.stream.cancel()
            self._settle(ready, Failure())
            self._lose(error)
            return
        self._settle(ready, self)
        await self._read()

    async def _negotiate(self, timeout: float | None) -> None:
        self._protocol.negotiationStarted(self)
        self.headers = (await self.stream.await_upgrade(timeout)).headers
        self._open = True
        self._protocol.negotiationFinished()

    def _settle(self, ready: Deferred[Transport], result: Any) -> None:
        if not self._given_up:
            ready.callback(result)

    async def _read(self) -> None:
        """Tell what comes, to the end."""
        last = Close()
        try:
            async for event in self.stream:
                frame = event.frame if isinstance(event, Ws) else None
                if isinstance(frame, Close):
                    last = frame
                elif not self._over and not self._tell(frame):
                    return
        except GunError as error:
            self._lose(error)
        else:
            self._lose(None, last)

    def _tell(self, frame: Frame | None) -> bool:
        """Tell the protocol; if it raises, that is logged, and the end of it, as it is in Twisted."""
        try:
            if isinstance(frame, Text):
                self._protocol.textMessageReceived(frame.text)
            elif isinstance(frame, Binary):
                self._protocol.bytesMessageReceived(frame.data)
            elif isinstance(frame, Pong):
                self._protocol.pongReceived(frame.data)
        except Exception as error:
            _log.failure("{protocol} raised when it was told {frame}", protocol=self._protocol, frame=frame)
            self.stream.cancel()
            self._lose(error)
            return False
        return True

    def _lose(self, error: Exception | None, last: Close | None = None) -> None:
        self._over, self._open = True, False
        try:
            self._protocol.connectionLost(Failure(_end(error, last or Close())))
        except Exception:
            _log.failure("{protocol} raised in connectionLost", protocol=self._protocol)


def _end(error: Exception | None, last: Close) -> Exception:
    """What connectionLost is given."""
    end: Exception
    if error is None:
        said = "without a code" if last.code is None else f"by code {last.code}{f', {last.reason!r}' if last.reason else ''}"
        end = Closed(f"the websocket was closed {said}", last.code, last.reason)
    elif isinstance(error, UpgradeRefused):
        end = Closed(str(error))
    else:
        end = Lost(str(error) or repr(error))
    end.__cause__ = error
    return end


def _told_all(connection: Connection, ws_opts: Any) -> Any:
    """`ws_opts` with pongs told, and told here."""
    if ws_opts is None:
        ws_opts = connection._options.ws_opts
    if isinstance(ws_opts, WsOptions):
        return replace(ws_opts, silence_pings=False, reply_to=None)
    return {**ws_opts, "silence_pings": False, "reply_to": None} if isinstance(ws_opts, Mapping) else ws_opts


_log = Logger()
