"""
``ws``: a websocket, line by line: what is typed is sent, what is received is printed.

It does not know the command line, only what was ordered; what ends with which status is in `exits.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

from twisted.internet import defer
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall

from twisted_gun.command.output import Lines
from twisted_gun.command.telling import Observer, Teller, close_text, status_of, text_of
from twisted_gun.command.typed import TypedLines
from twisted_gun.command.way import Way, target_of, url_of
from twisted_gun.connection import Connection
from twisted_gun.events import Binary, Close, Text, Upgrade, Ws
from twisted_gun.exits import Exit, Unreadable, close_status
from twisted_gun.opening import open_url
from twisted_gun.stream import Stream
from twisted_gun.urls import WEBSOCKET

__all__ = ["Talk", "talk"]

#: How long a server may take, when the command is interrupted, for its part of the end.
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk(Way):
    """
    Which websocket, and how it is used. Times in seconds.

    `subprotocols` are offered, best first, and `compress` offers compression. `ping` is how often to ask whether the server is there. With
    `binary` messages of bytes are sent, and written as they are. `linger` is how long to go on receiving after the end of the input; with
    `listen` there is none.
    """

    subprotocols: tuple[str, ...] = ()
    compress: bool = False
    ping: float | None = None
    binary: bool = False
    linger: float = 0.0
    listen: bool = False


async def talk(reactor: Any, order: Talk, stdin: int | None, stdout: BinaryIO, stderr: TextIO) -> int:
    """
    Talk as was ordered, from the descriptor `stdin`; gives the exit status, that of the Close where there is one.

    At most one line on `stderr` says why it is not 0, besides what is told with `verbose`.
    """
    talking = _Talk(reactor, order, stdin, stdout, stderr)
    status = await status_of(talking.run(), stderr)
    return Exit.LOST if status == Exit.NO_RESPONSE and talking.open else status


class _Talk:
    """One websocket; `open` says whether it was ever there."""

    def __init__(self, reactor: Any, order: Talk, stdin: int | None, stdout: BinaryIO, stderr: TextIO) -> None:
        self.open = False
        self._reactor = reactor
        self._order = order
        self._stdin = None if order.listen else stdin
        self._teller = Teller(stderr)
        self._output = Lines(stdout, "< " if stdin is not None and os.isatty(stdin) else "")
        self._stream: Any = None
        self._typed: TypedLines | None = None
        self._lingering: IDelayedCall | None = None
        self._unreadable: Unreadable | None = None

    async def run(self) -> int:
        order = self._order
        url = url_of(order.url, WEBSOCKET)
        conn = self._connect()
        try:
            # The steps of connecting have limits of their own.
            await conn.await_up(timeout=None)
            stream = self._stream = conn.ws_upgrade(target_of(url), order.fields(), self._websocket_options())
            self._upgraded(await stream.await_upgrade(order.timeout))
            return await self._converse(stream)
        finally:
            self._stop_typing()
            await self._leave(conn)

    def _connect(self) -> Connection:
        order = self._order
        options = order.options(self._reactor)
        # Few servers take websockets over HTTP/2, and fewer proxies know how to ask for one.
        options["protocols"] = [order.protocol or "http"]
        if order.verbose:
            options |= {"owner": self._teller.connection, "event_handler": Observer(self._teller)}
        return open_url(order.url, **options, retry=order.retry or 0, retry_timeout=1.0)

    def _websocket_options(self) -> dict[str, Any]:
        order = self._order
        return {
            "protocols": order.subprotocols,
            "compress": order.compress,
            "keepalive": order.ping,
            "ping_timeout": order.timeout,
            "closing_timeout": order.timeout,
        }

    def _upgraded(self, upgrade: Upgrade) -> None:
        self.open = True
        if self._order.verbose:
            chosen = dict(upgrade.headers).get(b"sec-websocket-protocol")
            self._teller.say(f"* the websocket is open{'' if chosen is None else f', and speaks {text_of(chosen)}'}")

    # What is received.

    async def _converse(self, stream: Stream) -> int:
        self._begin_typing(stream)
        status = 0
        async for event in stream:
            if type(event) is Ws:
                status = self._received(event.frame)
        if self._unreadable is not None:
            raise self._unreadable
        return status

    def _received(self, frame: object) -> int:
        if type(frame) is Text:
            self._output.line(frame.text)
        elif type(frame) is Binary:
            if self._order.binary:
                self._output.write(frame.data)
            else:
                self._output.line(frame.data.hex(" "))
        elif type(frame) is Close:
            return self._closed(frame)
        return Exit.OK

    def _closed(self, frame: Close) -> int:
        status = close_status(frame.code)
        if status != Exit.OK and self._unreadable is None:
            self._teller.fail(f"the server ended the websocket: {close_text(frame)}")
        elif self._order.verbose:
            self._teller.say(f"< [{close_text(frame)}]")
        return status

    # What is sent.

    def _begin_typing(self, stream: Stream) -> None:
        if self._order.listen:
            return
        if self._stdin is None:  # it was closed before we were started
            self._typed_all(None)
            return
        self._typed = TypedLines(self._reactor, self._stdin, self._send, self._typed_all)
        stream.registerProducer(self._typed, True)
        self._typed.start()

    def _stop_typing(self) -> None:
        if self._typed is not None:
            self._typed.stopProducing()
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _send(self, line: bytes) -> None:
        if not self._stream.ws_open:
            return
        if self._order.binary:
            self._stream.ws_send(line)
            return
        try:
            self._stream.ws_send(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError:
            self._stop_typing()
            self._typed_all(Unreadable("cannot send a line of the standard input: it is not UTF-8; give --binary"))

    def _typed_all(self, why: Unreadable | None) -> None:
        """Nothing more will be typed, or could be sent."""
        self._unreadable = why
        self._stream.unregisterProducer()
        linger = 0.0 if why else self._order.linger
        self._lingering = self._reactor.callLater(linger, self._say_goodbye)

    def _say_goodbye(self) -> None:
        self._lingering = None
        if self._stream.ws_open:
            self._stream.ws_send(Close(1000))

    # The end.

    async def _leave(self, conn: Connection) -> None:
        """End in good order; a server that does not care is not waited for."""
        try:
            await conn.shutdown().addTimeout(_PATIENCE, self._reactor)
        except (CancelledError, defer.TimeoutError):
            conn.close()
