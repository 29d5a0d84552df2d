"""
Websocket helpers: an upgrade, frames there and back, and the `Socket`, which is a connection and its one websocket.

Each is a few lines above `Connection.ws_upgrade`, `Stream.ws_send` and `Stream.await_event`, and bears the name that gluegun gave it.
What they are told is in `choices.py`. All of them fail the Deferred that they give, and raise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import isawaitable
from types import TracebackType
from typing import Any, TypeVar, Union

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.python.failure import Failure

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError, InvalidRequest
from twisted_gun.events import Binary, Close, Event, Frame, Ping, Pong, Text, Upgrade, Ws
from twisted_gun.headers import HeadersLike
from twisted_gun.opening import open as dial
from twisted_gun.stream import Stream
from twisted_gun.websocket.choices import Options, UpgradeOptions

__all__ = [
    "Connecting",
    "InvalidMessage",
    "Sendable",
    "Socket",
    "await_upgrade",
    "connect",
    "ping",
    "pong",
    "receive",
    "receive_app_frame",
    "receive_frame",
    "send",
    "send_binary",
    "send_many",
    "send_text",
    "upgrade",
    "upgrade_with_options",
    "upgrade_with_protocol",
    "upgrade_with_protocol_and_options",
    "with_socket",
]

#: What can be sent: a frame, or str for `Text`, or bytes for `Binary`.
Sendable = Union[Frame, str, bytes]

_Result = TypeVar("_Result")


class InvalidMessage(GunError):
    """
    What came is no websocket frame, what was to be sent cannot be one, or the connection is none for a websocket.

    `event` is what came, if that is it.
    """

    def __init__(self, message: str, event: Event | None = None) -> None:
        super().__init__(message)
        self.event = event


# Upgrading.


def upgrade(conn: Connection, path: str | bytes, headers: HeadersLike = ()) -> Deferred[Stream]:
    """Ask for an upgrade to websocket, and give the stream; `await_upgrade` comes next. The connection is taken to speak HTTP/1.1."""
    return upgrade_with_options(conn, path, headers, UpgradeOptions())


def upgrade_with_options(conn: Connection, path: str | bytes, headers: HeadersLike, upgrade_options: UpgradeOptions) -> Deferred[Stream]:
    """As `upgrade`, with options."""
    request_options = {} if upgrade_options.tunnel is None else {"tunnel": upgrade_options.tunnel}
    return maybeDeferred(conn.ws_upgrade, path, headers, upgrade_options.ws_opts, **request_options)


def upgrade_with_protocol(conn: Connection, protocol: str, path: str | bytes, headers: HeadersLike = ()) -> Deferred[Stream]:
    """
    As `upgrade`, over a connection whose `protocol` is known, from its ``await_up``.

    Fails with `InvalidMessage` for any but "http", and nothing is sent: that is what gluegun does. `Connection.ws_upgrade` has
    websockets over HTTP/2 too.
    """
    return upgrade_with_protocol_and_options(conn, protocol, path, headers, UpgradeOptions())


def upgrade_with_protocol_and_options(
    conn: Connection, protocol: str, path: str | bytes, headers: HeadersLike, upgrade_options: UpgradeOptions
) -> Deferred[Stream]:
    """As `upgrade_with_protocol`, with options."""
    if protocol != "http":
        hint = "open the connection with protocols=['http'], or use its ws_upgrade"
        return fail(InvalidMessage(f"these helpers upgrade HTTP/1.1 connections, not one that speaks {protocol!r}: {hint}"))
    return upgrade_with_options(conn, path, headers, upgrade_options)


def await_upgrade(conn: Connection, stream: Stream, timeout: float | None) -> Deferred[None]:
    """
    The server's consent to the upgrade.

    Fails with `UpgradeRefused`, which carries the response, where it answers otherwise; with `TimedOut`; with what ended the stream.
    """
    return maybeDeferred(stream.await_upgrade, timeout).addCallback(_nothing)


# Frames.


def receive(conn: Connection, stream: Stream, timeout: float | None) -> Deferred[Frame]:
    """
    The next frame.

    Fails with `InvalidMessage` where anything else comes: a response, or the consent to the upgrade, which `await_upgrade` is for.
    """
    return maybeDeferred(stream.await_event, timeout).addCallback(_frame_of)


def send(conn: Connection, stream: Stream, frame: Sendable) -> Deferred[None]:
    """Send one frame; as `send_many`."""
    return send_many(conn, stream, [frame])


def send_many(conn: Connection, stream: Stream, frames: Iterable[Sendable]) -> Deferred[None]:
    """Send frames in their order. Fails with `InvalidMessage`, and nothing is sent, where one of them cannot be; with `BadState`."""
    return maybeDeferred(_send, stream, frames)


def _send(stream: Stream, frames: Iterable[Sendable]) -> None:
    try:
        stream.ws_send(list(frames))
    except InvalidRequest as error:
        raise InvalidMessage(str(error)) from error


def _frame_of(event: Event) -> Frame:
    if isinstance(event, Ws):
        return event.frame
    if isinstance(event, Upgrade):
        raise InvalidMessage("the server's consent to the upgrade came just now: call await_upgrade before receive", event)
    raise InvalidMessage(f"expected a websocket frame, but what came is a {type(event).__name__}", event)


def _nothing(result: object) -> None:
    return None


# The socket.


class Socket:
    """
    A `connection`, its websocket's `stream`, and the `timeout` of each receipt, in seconds or None.

    ``async with socket:`` sends a Close frame at the end, and ends the connection; see `with_socket`.
    """

    __slots__ = ("connection", "stream", "timeout")

    def __init__(self, *, connection: Connection, stream: Stream, timeout: float | None = 5.0) -> None:
        self.connection = connection
        self.stream = stream
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<Socket of {self.connection!r}{' ended' if self.stream.ended else ''}>"

    def receive_frame(self) -> Deferred[Frame]:
        """The next frame; pings and pongs are among them where ``silence_pings`` is False."""
        return receive(self.connection, self.stream, self.timeout)

    def receive_app_frame(self) -> Deferred[Frame]:
        """The next `Text`, `Binary` or `Close`. Pings are passed over: the connection has answered each of them, exactly once."""
        return Deferred.fromCoroutine(self._app_frame())

    async def _app_frame(self) -> Frame:
        while True:
            frame = await self.receive_frame()
            if not isinstance(frame, (Ping, Pong)):
                return frame

    def send_frame(self, frame: Sendable) -> Deferred[None]:
        """Send one frame."""
        return send(self.connection, self.stream, frame)

    def send_frames(self, frames: Iterable[Sendable]) -> Deferred[None]:
        """Send frames in their order."""
        return send_many(self.connection, self.stream, frames)

    def send_text(self, text: str) -> Deferred[None]:
        """Send a `Text`."""
        return self.send_frame(Text(text))

    def send_binary(self, data: bytes) -> Deferred[None]:
        """Send a `Binary`."""
        return self.send_frame(Binary(data))

    def ping(self, data: bytes = b"") -> Deferred[None]:
        """Send a `Ping`."""
        return self.send_frame(Ping(data))

    def pong(self, data: bytes = b"") -> Deferred[None]:
        """Send a `Pong` that nobody asked for; pings are answered without it."""
        return self.send_frame(Pong(data))

    def close(self) -> Deferred[None]:
        """
        Send a `Close`, and leave the connection to the closing handshake; nothing happens where one was sent or has come already.

        Where the websocket has ended by an error, that is what this fails with.
        """
        return maybeDeferred(self._close)

    def _close(self) -> None:
        stream = self.stream
        if stream._error is not None:
            raise stream._error
        closing = stream.ended or (stream._layer is not None and not stream.ws_open)
        if not closing:
            stream.ws_send(Close())

    async def __aenter__(self) -> Socket:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        ordinary = error is None or (isinstance(error, Exception) and not isinstance(error, CancelledError))
        failures = await self._end(wait=ordinary)
        if error is None and failures:
            raise failures[0]

    async def _end(self, *, wait: bool) -> list[Exception]:
        """Close frame and connection, both tried whatever becomes of the other; what they failed with, in this order."""
        failures: list[Exception] = []
        try:
            await self.close()  # which has its result at once
        except Exception as error:
            failures.append(error)
        try:
            self.stream._discard()
            ended = self.connection.shutdown()
            if wait:
                await ended
            else:
                ended.addErrback(_nothing)
        except CancelledError:
            self.connection.close()
            raise
        except Exception as error:
            failures.append(error)
        return failures


def receive_frame(socket: Socket) -> Deferred[Frame]:
    """`Socket.receive_frame`."""
    return socket.receive_frame()


def receive_app_frame(socket: Socket) -> Deferred[Frame]:
    """`Socket.receive_app_frame`."""
    return socket.receive_app_frame()


def send_text(socket: Socket, text: str) -> Deferred[None]:
    """`Socket.send_text`."""
    return socket.send_text(text)


def send_binary(socket: Socket, data: bytes) -> Deferred[None]:
    """`Socket.send_binary`."""
    return socket.send_binary(data)


def ping(socket: Socket, data: bytes = b"") -> Deferred[None]:
    """`Socket.ping`."""
    return socket.ping(data)


def pong(socket: Socket, data: bytes = b"") -> Deferred[None]:
    """`Socket.pong`."""
    return socket.pong(data)


# Connecting.


class Connecting(Deferred[Socket]):
    """
    A `Socket` to be: ``await`` it, or ``async with`` it, which ends the connection too.

    Whatever fails, the connection is closed; so it is when this is cancelled.
    """

    def __init__(self, host: Any, port: int, path: str | bytes, options: Options, reactor: Any) -> None:
        super().__init__(lambda _: self._give_up())
        self._given_up = False
        self._connection: Connection | None = None
        self._socket: Socket | None = None
        work = Deferred.fromCoroutine(self._connect(host, port, path, options, reactor))
        work.addCallbacks(self._connected, self._failed)

    async def _connect(self, host: Any, port: int, path: str | bytes, options: Options, reactor: Any) -> Socket:
        conn = self._connection = dial(host, port, options=options.connect_options, reactor=reactor)
        protocol = await conn.await_up(options.timeout)
        stream = await upgrade_with_protocol_and_options(conn, protocol, path, options.headers, options.upgrade_options)
        await await_upgrade(conn, stream, options.timeout)
        return Socket(connection=conn, stream=stream, timeout=options.timeout)

    def _connected(self, socket: Socket) -> None:
        if not self._given_up:
            self._socket = socket
            self.callback(socket)

    def _failed(self, failure: Failure) -> None:
        if not self._given_up:
            self._drop()
            self.errback(failure)

    def _give_up(self) -> None:
        # Closing makes the work fail at once: with another error than the CancelledError that Deferred.cancel has for us.
        self._given_up = True
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def __aenter__(self) -> Socket:
        return await self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._socket is not None
        await self._socket.__aexit__(kind, error, traceback)


def connect(host: Any, port: int, path: str | bytes, options: Options, *, reactor: Any = None) -> Connecting:
    """
    Open a connection, upgrade it, and give the `Socket`: ``await connect(...)``, or ``async with connect(...) as socket:``.

    Whatever fails, the connection is closed. The timeout of the options bounds each step. `close` of the socket sends a Close frame, after
    which server and client end the connection; ``socket.connection.close()`` ends it at once.
    """
    return Connecting(host, port, path, options, reactor)


def with_socket(
    host: Any, port: int, path: str | bytes, options: Options, callback: Callable[[Socket], Any], *, reactor: Any = None
) -> Deferred[Any]:
    """
    `connect`, call `callback` with the socket, send a Close frame and end the connection; gives what the callback gives.

    The callback may give a value or something to be awaited. Whatever happens, the Close frame and the end of the connection are
    both tried; of several errors the callback's is the one that counts, then that of the Close frame, then that of the connection.
    The end is waited for, within the ``closing_timeout``; not so where this is cancelled, which cancels what the callback gave.
    """
    return Deferred.fromCoroutine(_with_socket(connect(host, port, path, options, reactor=reactor), callback))


async def _with_socket(connecting: Connecting, callback: Callable[[Socket], Any]) -> Any:
    async with connecting as socket:
        result = callback(socket)
        return await result if isawaitable(result) else result
