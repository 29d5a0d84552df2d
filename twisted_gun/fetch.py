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
from typing import Any, BinaryIO, Protocol, TextIO
from urllib.parse import SplitResult, quote, urlsplit

from twisted.internet.task import Cooperator

from twisted_gun import __version__
from twisted_gun.connection import Connection
from twisted_gun.errors import GunError, InvalidRequest, StreamError, TimedOut
from twisted_gun.events import Data, Down, Error, Event, Headers, Inform, Notify, Response, Trailers, Up, Upgrade, shown_headers
from twisted_gun.exits import Exit, Unwritable, explain
from twisted_gun.headers import authority
from twisted_gun.opening import open_unix, open_url
from twisted_gun.progress import ProgressBar, is_terminal
from twisted_gun.stream import Stream

__all__ = ["Order", "fetch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What to get, and how. Times in seconds.

    `output` is the path of a file, None for the standard output. `headers` are pairs of a name and a value. `data` is the content
    of the request, or "@" and the path of a file that holds it. `timeout` bounds each wait for the server, `connect_timeout` each
    step of connecting, `retry` is how many more attempts to connect there are. `protocol` is the only one to speak, "http" or
    "http2"; None leaves that to ALPN. `proxies` are URLs, each reached through the one before it, or ("env",).
    """

    url: str
    output: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    data: str | None = None
    include: bool = False
    verbose: bool = False
    cacert: str | None = None
    cert: str | None = None
    insecure: bool = False
    timeout: float = 60.0
    connect_timeout: float = 10.0
    retry: int = 0
    protocol: str | None = None
    unix: str | None = None
    fail: bool = False
    proxies: tuple[str, ...] = ()


async def fetch(reactor: Any, order: Order, stdout: BinaryIO, stderr: TextIO) -> int:
    """Get what was ordered; gives the `Exit` status, after at most one line on `stderr` that says why it is not 0."""
    try:
        return await _Fetch(reactor, order, stdout, stderr).run()
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        return Exit.PIPE_CLOSED
    except (GunError, Unwritable, _Unreadable) as error:
        status, message = (Exit.READ, str(error)) if isinstance(error, _Unreadable) else explain(error)
        stderr.write(f"twisted-gun: {message}\n")
        return status


class _Unreadable(Exception):
    """The file with the request's content cannot be read."""


class _Fetch:
    """One order being carried out."""

    def __init__(self, reactor: Any, order: Order, stdout: BinaryIO, stderr: TextIO) -> None:
        self._reactor = reactor
        self._order = order
        self._stdout = stdout
        self._stderr = stderr
        self._bar: ProgressBar | None = None
        self._protocol = ""
        self._upload: FileIO | None = None

    async def run(self) -> int:
        order = self._order
        url = _split(order.url)
        target = _target(url)
        content = self._content(order.data)
        sink = _sink(order.output, self._stdout)
        try:
            conn = self._open(url)
            try:
                return await self._exchange(conn, url, target, content, sink)
            finally:
                conn.close()
        finally:
            sink.discard()
            if self._upload is not None:  # which a producer that never began would leave open
                self._upload.close()

    async def _exchange(self, conn: Connection, url: SplitResult, target: str, content: Any, sink: _Sink) -> int:
        # The steps of connecting have limits of their own.
        self._protocol = await conn.await_up(timeout=None)
        stream = self._request(conn, url, target, content)
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

    def _open(self, url: SplitResult) -> Connection:
        order = self._order
        tls: dict[str, Any] = {"trust_root": order.cacert, "client_certificate": order.cert, "verify": not order.insecure}
        options: dict[str, Any] = {
            "reactor": self._reactor,
            "owner": self._tell_connection if order.verbose else None,
            "connect_timeout": order.connect_timeout,
            "domain_lookup_timeout": order.connect_timeout,
            "tls_handshake_timeout": order.connect_timeout,
            "retry": order.retry,
            "retry_timeout": 1.0,
            "protocols": None if order.protocol is None else [order.protocol],
            "proxy": "env" if order.proxies == ("env",) else order.proxies,
            # As curl does: many proxies make tunnels to the port of https only. HTTP/2 the origin speaks, not the proxy.
            "proxy_mode": "tunnel" if order.protocol == "http2" else "absolute",
            "tunnel_timeout": order.connect_timeout,
            # All has come when it is closed: a server that does not answer TLS's goodbye is not waited for.
            "http_opts": {"header_timeout": order.timeout, "closing_timeout": 1.0},
            "http2_opts": {
                "header_timeout": order.timeout,
                "preface_timeout": order.timeout,
                "settings_timeout": order.timeout,
                "closing_timeout": 1.0,
                "notify_settings_changed": order.verbose,
            },
            "tcp_opts": {"send_timeout": order.timeout},
        }
        if order.unix is None:
            return open_url(order.url, tls_opts=tls, **options)
        https = url.scheme == "https"
        tls["server_name"] = url.hostname if https else None
        return open_unix(order.unix, transport="tls" if https else "tcp", tls_opts=tls, **options)

    def _request(self, conn: Connection, url: SplitResult, target: str, content: Any) -> Stream:
        order = self._order
        method = order.method or ("GET" if order.data is None else "POST")
        standard = {"accept": "*/*", "user-agent": f"twisted_gun/{__version__}"}
        if order.unix is not None:
            standard["host"] = authority(url.hostname or "", url.port or _PORTS[url.scheme], _PORTS[url.scheme]).decode()
        if order.data is not None:
            standard["content-type"] = "application/x-www-form-urlencoded"
        given = {name.lower() for name, _ in order.headers}
        headers = [*((name, value) for name, value in standard.items() if name not in given), *order.headers]
        if order.verbose:
            self._say(f"> {method} {target}")
            self._say_headers(">", tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers))
        return conn.request(method, target, headers, content)

    # The answer.

    async def _receive(self, stream: Stream, sink: _Sink) -> Exit:
        event: Any = None
        while event is None or not event.fin:
            event = await self._next(stream, "response" if event is None else "idle")
            if type(event) is Data:
                sink.write(event.data)
                if self._bar is not None:
                    self._bar.advance(len(event.data))
            elif type(event) is Response:
                if self._order.verbose:
                    self._say_head(event)
                if self._order.fail and event.status >= 400:
                    return self._refuse(event)
                self._begin(event, sink)
            elif type(event) is Upgrade:
                raise StreamError(f"the server switched to {_text(b', '.join(event.protocols))}, which this command does not speak")
            elif self._order.verbose:
                self._say_other(event)
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

    def _begin(self, response: Response, sink: _Sink) -> None:
        if self._order.include:
            version = b"HTTP/2" if self._protocol == "http2" else b"HTTP/1.1"
            sink.write(b"%b %d %b\r\n" % (version, response.status, response.reason))
            sink.write(b"".join(b"%b: %b\r\n" % field for field in response.headers) + b"\r\n")
        if self._order.output is not None and not response.fin and is_terminal(self._stderr):
            self._bar = ProgressBar(self._stderr, _length(response.headers), self._reactor.seconds)

    def _refuse(self, response: Response) -> Exit:
        what = f"the server answered {response.status} {_text(response.reason)}".rstrip()
        self._say(f"twisted-gun: {what}; check the URL, or leave out --fail to see the answer")
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
            raise _Unreadable(f"cannot read {data[1:]}: {error.strerror or error}; check the path after @") from error

    def _sent(self) -> int | None:
        """How much of a file that is sent has been read; None where there is none, or no more of it."""
        return None if self._upload is None or self._upload.closed else self._upload.tell()

    # What -v shows.

    def _tell_connection(self, event: Any) -> None:
        if type(event) is Up:
            self._say(f"* up: {event.protocol}{_tls_text(event.connection)}{_way_text(event.connection)}")
        elif type(event) is Down:
            self._say(f"* down: {event.reason or 'the connection ended in good order'}")
        elif type(event) is Notify:
            settings: Any = event.info
            self._say(f"* settings: {', '.join(f'{name} {value}' for name, value in settings.items()) or 'the defaults'}")
        elif type(event) is Error:
            self._say(f"* error: {event.reason}")

    def _say_head(self, event: Response) -> None:
        self._say(f"< {event.status} {_text(event.reason)}".rstrip())
        self._say_headers("<", event.headers)

    def _say_other(self, event: object) -> None:
        if type(event) is Inform:
            self._say(f"< {event.status}")
            self._say_headers("<", event.headers)
        elif type(event) is Trailers:
            self._say_headers("<", event.headers)

    def _say_headers(self, mark: str, headers: Headers) -> None:
        for name, value in shown_headers(headers):
            self._say(f"{mark} {_text(name)}: {_text(value)}")

    def _say(self, line: str) -> None:
        self._stderr.write("".join(letter if letter.isprintable() else " " for letter in line) + "\n")
        self._stderr.flush()


# Where it goes.


class _Sink(Protocol):
    """Takes the answer; `discard` after `keep` does nothing."""

    def write(self, data: bytes) -> None: ...

    def keep(self) -> None: ...

    def discard(self) -> None: ...


def _sink(path: str | None, stdout: BinaryIO) -> _Sink:
    if path is None or path == "-":
        return _Through(stdout, "the standard output")
    try:
        # What is no file, such as a device or a named pipe, cannot be replaced by one.
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            return _Opened(FileIO(path, "w"), path)
        return _Replaced(path)
    except OSError as error:
        raise Unwritable(path, error) from error


class _Through:
    """Writes to a stream at once; `name` is for messages."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:  # a file without a buffer may take less
                view = view[self._stream.write(view) :]
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def keep(self) -> None:
        """It is written already."""

    def discard(self) -> None:
        """What is written stays."""


class _Opened(_Through):
    """Writes to what was opened for it alone, and closes that."""

    def keep(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def discard(self) -> None:
        self._stream.close()


class _Replaced(_Opened):
    """
    Writes beside the file, which is replaced when all is there: under its name there is never a part of an answer.

    The part is called as the file, with this process's number and ``.part`` behind it.
    """

    def __init__(self, path: str) -> None:
        # Through a symbolic link the file is replaced, not the link.
        self._path = os.path.realpath(path)
        self._part = f"{self._path}.{os.getpid()}.part"
        super().__init__(FileIO(self._part, "x"), path)

    def keep(self) -> None:
        super().keep()
        try:
            os.replace(self._part, self._path)
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def discard(self) -> None:
        super().discard()
        if os.path.exists(self._part):
            os.unlink(self._part)


# What is sent.

_PORTS = {"http": 80, "https": 443}


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        usable = url.scheme in _PORTS and url.hostname and url.port != 0
    except ValueError as error:
        raise InvalidRequest(f"URL: {error}: {text!r}") from error
    if not usable:
        raise InvalidRequest(f"URL: expected http://host/path or https://host/path, not {text!r}")
    if url.username is not None:
        raise InvalidRequest("URL: credentials are not taken from it; send them by --header 'authorization: ...'")
    return url


def _target(url: SplitResult) -> str:
    """The request target (RFC 9112 section 3.2.1), with what may not stand in it percent-encoded; the fragment is not sent."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return quote(target, safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", errors="surrogateescape")


# Small texts.


def _length(headers: Headers) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _tls_text(conn: Connection) -> str:
    tls = conn.info().tls
    return "" if tls is None else f" over {tls.version}, {tls.cipher}"


def _way_text(conn: Connection) -> str:
    proxies = [authority(each.host, each.port, 0).decode() for each in conn.info().intermediaries]
    return f", through {', then '.join(proxies)}" if proxies else ""
