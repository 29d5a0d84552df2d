"""
What ``-v`` shows: lines on the error output, ``*`` for what happens, ``>`` for what is sent, ``<`` for what is received; no credentials.

`Teller` writes them. `Steps` is an event handler that tells how a connection is made; `Observer` tells of requests and frames too, and
`LoneObserver` is for connections that have no owner to be told.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TextIO

from twisted.internet.defer import Deferred

from twisted_gun import observations as told
from twisted_gun.connection import Connection
from twisted_gun.errors import GunError
from twisted_gun.events import Close, Down, Error, Frame, Headers, Notify, Text, Up, shown_headers
from twisted_gun.exits import Exit, Unreadable, Unwritable, explain, one_line
from twisted_gun.headers import authority
from twisted_gun.observers import EventHandler

__all__ = ["LoneObserver", "Observer", "Steps", "Teller", "close_text", "size_text", "status_of", "text_of"]


class Teller:
    """Writes lines to `stream`; what a server sent can neither add lines nor speak to the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def say(self, line: str) -> None:
        """Write a line."""
        self._stream.write(one_line(line) + "\n")
        self._stream.flush()

    def fail(self, message: str) -> None:
        """Say why the command fails."""
        self.say(f"twisted-gun: {message}")

    def explain(self, error: Exception) -> int:
        """Say what `error` means, and what to do; gives the exit status for it."""
        status, message = explain(error)
        self.fail(message)
        return status

    def head(self, mark: str, line: str, headers: Headers) -> None:
        """The head of a message."""
        self.say(f"{mark} {line}".rstrip())
        self.fields(mark, headers)

    def fields(self, mark: str, headers: Headers) -> None:
        """Header or trailer fields."""
        for name, value in shown_headers(headers):
            self.say(f"{mark} {text_of(name)}: {text_of(value)}")

    def up(self, connection: Connection, protocol: str) -> None:
        """A connection is up, and speaks `protocol`."""
        info = connection.info()
        tls = "" if info.tls is None else f" over {info.tls.version}, {info.tls.cipher}"
        proxies = ", then ".join(authority(each.host, each.port, 0).decode() for each in info.intermediaries)
        self.say(f"* up: {protocol}{tls}{', through ' if proxies else ''}{proxies}")

    def down(self, reason: GunError | None) -> None:
        """A connection is down; the reason is None where all is well."""
        self.say(f"* down: {reason or 'the connection ended in good order'}")

    def connection(self, event: Any) -> None:
        """What the owner of a connection is told."""
        if type(event) is Up:
            self.up(event.connection, event.protocol)
        elif type(event) is Down:
            self.down(event.reason)
        elif type(event) is Notify:
            settings: Any = event.info
            self.say(f"* settings: {', '.join(f'{name} {value}' for name, value in settings.items()) or 'the defaults'}")
        elif type(event) is Error:
            self.say(f"* error: {event.reason}")


async def status_of(work: Awaitable[int], stderr: TextIO) -> int:
    """The exit status that `work` gives, or that of its failure, which a line on `stderr` explains."""
    try:
        return await work
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        return Exit.PIPE_CLOSED
    except (GunError, Unwritable, Unreadable) as error:
        return Teller(stderr).explain(error)


class Steps(EventHandler):
    """Tells how a connection is made, and why it cannot be."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller

    def domain_lookup_end(self, event: told.DomainLookup) -> None:
        """A name has addresses, or none; an address has only itself."""
        found = () if event.lookup_info is None else event.lookup_info.ip_addresses
        if found not in ((), (event.host,)):
            self.teller.say(f"* {event.host} is {', '.join(found)}")
        self._failed(event.error)

    def connect_start(self, event: told.Connecting) -> None:
        """Addresses are dialled; which one it is shows only when it has answered."""
        info = event.lookup_info
        where = "" if info is None else f" to {', or '.join(authority(address, info.port, 0).decode() for address in info.ip_addresses)}"
        self.teller.say(f"* connecting{where}")

    def connect_end(self, event: told.Connecting) -> None:
        """One has answered, or none."""
        self._failed(event.error)

    def tls_handshake_end(self, event: told.TlsHandshake) -> None:
        """TLS stands, or does not."""
        self._failed(event.error)

    def _failed(self, error: GunError | None) -> None:
        if error is not None:
            self.teller.say(f"* {error}")


class Observer(Steps):
    """Tells also of requests, of heads of responses, and of the frames of a websocket, those that nobody asked for among them."""

    def request_headers(self, event: told.RequestHead) -> None:
        """A request goes out."""
        self.teller.head(">", f"{text_of(event.method)} {text_of(event.path or event.authority)}", event.headers)

    def response_inform(self, event: told.ResponseHead) -> None:
        """An interim response."""
        self.teller.head("<", str(event.status), event.headers)

    response_headers = response_inform

    def response_trailers(self, event: told.ResponseTrailers) -> None:
        """The trailer fields."""
        self.teller.fields("<", event.headers)

    def ws_recv_frame_header(self, event: told.FrameHead) -> None:
        """A frame comes; what a Close says does not show yet."""
        if event.type != "close":
            self.teller.say(f"< [{event.type}, {size_text(event.len)}]")

    def ws_send_frame_end(self, event: told.FrameSent) -> None:
        """A frame went out."""
        self.teller.say(f"> [{_frame_text(event.frame)}]")


class LoneObserver(Observer):
    """Tells also that a connection is up, as its `on_up`, and down."""

    def on_up(self, connection: Connection) -> Deferred[None]:
        """The connection is up; with which protocol, `Connection.info` cannot tell yet."""
        return connection.await_up().addCallback(lambda protocol: self.teller.up(connection, protocol))

    def disconnect(self, event: told.Disconnected) -> None:
        """A connection is down."""
        self.teller.down(event.reason)


def _frame_text(frame: Frame) -> str:
    if isinstance(frame, Close):
        return close_text(frame)
    size = len(frame.text.encode()) if isinstance(frame, Text) else len(frame.data)
    return f"{type(frame).__name__.lower()}, {size_text(size)}"


def close_text(frame: Close) -> str:
    """A Close in words."""
    return f"close{'' if frame.code is None else f' {frame.code}'}{f', {frame.reason}' if frame.reason else ''}"


def size_text(count: int) -> str:
    """A number of bytes in words."""
    return "1 byte" if count == 1 else f"{count} bytes"


def text_of(value: bytes) -> str:
    """What a server sent, as text."""
    return value.decode("utf-8", "backslashreplace")
