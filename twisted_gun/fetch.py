"""
``get``: one request, whose answer goes to a file or to the standard output as it arrives.

Nothing is held in memory: each piece is written before the next is taken, and a server that is faster than that is held back. It
does not know the command line, only what was ordered; what ends with which status is in `exits.py`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import FileIO
from typing import Any, BinaryIO, TextIO

from twisted.internet.task import Cooperator

from twisted_gun.command.output import Sink, sink_for
from twisted_gun.command.telling import Steps, Teller, size_text, status_of, text_of
from twisted_gun.command.way import DECODING, Way, target_of, url_of
from twisted_gun.connection import Connection
from twisted_gun.content_handlers import DecodeHandler
from twisted_gun.errors import StreamError, TimedOut
from twisted_gun.events import Data, Event, Headers, Inform, Response, Trailers, Upgrade
from twisted_gun.exits import Exit, Unreadable
from twisted_gun.opening import open_url
from twisted_gun.progress import ProgressBar, is_terminal
from twisted_gun.stream import Stream
from twisted_gun.urls import HTTP

__all__ = ["Order", "fetch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Way):
    """
    What to get, and how.

    `output` is the path of a file, None for the standard output. `data` is the content of the request, or "@" and the path of a file that
    holds it. With `compressed` the answer may come compressed, and is written as it was before.
    """

    output: str | None = None
    method: str | None = None
    data: str | None = None
    include: bool = False
    fail: bool = False
    compressed: bool = False


async def fetch(reactor: Any, order: Order, stdout: BinaryIO, stderr: TextIO) -> int:
    """
    Get what was ordered; gives the `Exit` status.

    At most one line on `stderr` says why it is not 0, besides what is told with `verbose`.
    """
    return await status_of(_Fetch(reactor, order, stdout, stderr).run(), stderr)


class _Fetch:
    """One order being carried out."""

    def __init__(self, reactor: Any, order: Order, stdout: BinaryIO, stderr: TextIO) -> None:
        self._reactor = reactor
        self._order = order
        self._stdout = stdout
        self._stderr = stderr
        self._teller = Teller(stderr)
        self._bar: ProgressBar | None = None
        self._protocol = ""
        self._upload: FileIO | None = None

    async def run(self) -> int:
        order = self._order
        url = url_of(order.url, HTTP)
        target = target_of(url)
        content = self._content(order.data)
        sink = sink_for(order.output, self._stdout)
        try:
            conn = self._open()
            try:
                return await self._exchange(conn, target, content, sink)
            finally:
                conn.close()
        finally:
            sink.discard()
            if self._upload is not None:  # which a producer that never began would leave open
                self._upload.close()

    async def _exchange(self, conn: Connection, target: str, content: Any, sink: Sink) -> int:
        # The steps of connecting have limits of their own.
        self._protocol = await conn.await_up(timeout=None)
        stream = self._request(conn, target, content)
        try:
            status = await self._receive(stream, sink)
        finally:
            if self._bar is not None:
                self._bar.finish()
        if status == Exit.OK:
            sink.keep()
            await conn.shutdown()
        return status

    # The connection.

    def _open(self) -> Connection:
        order = self._order
        options = order.options(self._reactor)
        if order.compressed:
            for name in ("http_opts", "http2_opts"):
                options[name]["content_handlers"] = [DECODING]
        if order.verbose:
            options |= {"owner": self._teller.connection, "event_handler": Steps(self._teller)}
        return open_url(order.url, **options, proxy_mode=order.proxy_mode, retry=order.retry or 0, retry_timeout=1.0)

    def _request(self, conn: Connection, target: str, content: Any) -> Stream:
        order = self._order
        method = order.method or ("GET" if order.data is None else "POST")
        standard = {"accept": "*/*"}
        if order.compressed:  # said here, so that -v shows it
            standard |= {name.decode().replace("-", "_"): value.decode() for name, value in DecodeHandler.request_fields}
        if order.data is not None:
            standard["content_type"] = "application/x-www-form-urlencoded"
        headers = order.fields(**standard)
        if order.verbose:
            shown = tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers)
            self._teller.head(">", f"{method} {target}", shown)
        return conn.request(method, target, headers, content)

    # The answer.

    async def _receive(self, stream: Stream, sink: Sink) -> Exit:
        event: Any = None
        while event is None or not event.fin:
            event = await self._next(stream, "response" if event is None else "idle")
            if type(event) is Data:
                sink.write(event.data)
                self._came(len(event.data))
            elif type(event) is Response:
                if self._order.verbose:
                    self._teller.head("<", f"{event.status} {text_of(event.reason)}", event.headers)
                if self._order.fail and event.status >= 400:
                    return self._refuse(event)
                self._begin(event, sink)
            elif type(event) is Upgrade:
                raise StreamError(f"the server switched to {text_of(b', '.join(event.protocols))}, which this command does not speak")
            elif self._order.verbose and type(event) is Inform:
                self._teller.head("<", str(event.status), event.headers)
            elif self._order.verbose and type(event) is Trailers:
                self._teller.fields("<", event.headers)
        return Exit.OK

    async def _next(self, stream: Stream, stage: str) -> Event:
        """What comes next; fails with `TimedOut` after a silence in which nothing of the request's content went out either."""
        while True:
            sent = self._sent()
            try:
                return await stream.await_event(self._order.timeout)
            except TimedOut as error:
                if error.stage != "event":
                    raise
                if self._sent() == sent:
                    raise TimedOut(stage, self._order.timeout) from None

    def _begin(self, response: Response, sink: Sink) -> None:
        if self._order.include:
            version = b"HTTP/2" if self._protocol == "http2" else b"HTTP/1.1"
            sink.write(b"%b %d %b\r\n" % (version, response.status, response.reason))
            sink.write(b"".join(b"%b: %b\r\n" % field for field in response.headers) + b"\r\n")
        # What -v tells would be told in the midst of the bar.
        if not response.fin and not self._order.verbose and is_terminal(self._stderr) and self._to_file():
            self._bar = ProgressBar(self._stderr, self._length(response.headers), self._reactor.seconds)

    def _to_file(self) -> bool:
        """Whether the answer goes to where it does not show: any file, but neither a terminal nor a pipe, whose reader may have one."""
        if self._order.output not in (None, "-"):
            return True
        try:
            return stat.S_ISREG(os.fstat(self._stdout.fileno()).st_mode)
        except OSError:  # it is none of the system's
            return False

    def _length(self, headers: Headers) -> int | None:
        """How much will be written, where that is known."""
        fields = dict(headers)
        length = fields.get(b"content-length", b"")
        decoded = self._order.compressed and b"content-encoding" in fields
        return int(length) if length.isdigit() and not decoded else None

    def _came(self, count: int) -> None:
        """Some of the content was written."""
        if self._bar is not None:
            self._bar.advance(count)
        elif self._order.verbose and count:
            self._teller.say(f"< [{size_text(count)}]")

    def _refuse(self, response: Response) -> Exit:
        what = f"the server answered {response.status} {text_of(response.reason)}".rstrip()
        self._teller.fail(f"{what}; check the URL, or leave out --fail to see the answer")
        return Exit.STATUS

    # The content of the request.

    def _content(self, data: str | None) -> Any:
        if data is None:
            return b""
        if not data.startswith("@"):
            return data.encode("utf-8", "surrogateescape")
        from twisted.web import client

        make: Any = client.FileBodyProducer
        try:
            self._upload = FileIO(data[1:])
            # One piece a turn of the reactor, whichever that is.
            return make(self._upload, Cooperator(scheduler=lambda step: self._reactor.callLater(0, step)))
        except OSError as error:
            raise Unreadable(f"cannot read {data[1:]}: {error.strerror or error}; check the path after @") from error

    def _sent(self) -> int | None:
        """How much of a file that is sent has been read; None where there is none, or no more of it."""
        return None if self._upload is None or self._upload.closed else self._upload.tell()
