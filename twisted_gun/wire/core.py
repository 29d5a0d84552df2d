"""
What every core fills, and the byte reader they share.

A core is one protocol on one connection, without a socket and without a clock: it is told bytes, requests and the time (in
seconds, from any fixed point), and answers with steps. To a core a stream is a key it never looks into.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted_gun.errors import GunError, LimitReached
from twisted_gun.wire.steps import Steps

__all__ = ["Core", "HttpCore", "Losses", "Reader", "Request", "TunnelCore", "WsCore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    A request, checked and converted once, at the border.

    `headers` have lower-case names. `body` is the whole content, or None where it follows by `Core.data`; then `length` is its
    size in bytes if the caller gave it. `flow` is how many data events may be told before more is asked for;
    None takes what the protocol's options say, and infinity is no limit. `protocol` is what the stream is to carry from its
    response on, as HTTP's Upgrade field names it; None for an ordinary request.
    """

    method: bytes
    target: bytes
    authority: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)  # which may hold credentials
    body: bytes | None
    length: int | None = None
    flow: float | None = None
    protocol: bytes | None = None

    @property
    def tunnels(self) -> bool:
        """Whether it asks that its stream belong to somebody else from the response on."""
        return self.protocol is not None or self.method == b"CONNECT"


@dataclass(frozen=True, slots=True)
class Losses:
    """
    The streams that ended with their connection.

    The server may have processed the `killed`; the `unprocessed` it certainly did not.
    """

    killed: tuple[object, ...]
    unprocessed: tuple[object, ...]


class Core(Protocol):
    """One protocol on one connection, which may itself be a stream of another."""

    #: Gun's name of the protocol: "http", "http2", "ws", "raw", "socks".
    name: str
    #: How long an orderly end may take, in seconds; None for ever.
    closing_timeout: float | None
    #: Whether the peer has served any request on this connection. To make a tunnel is not yet to serve; what it leads to may.
    served: bool

    @property
    def renewable(self) -> bool:
        """Whether the connection ends as a matter of course: to dial again is what the peer expects, and costs no retry."""

    @property
    def last_words(self) -> GunError | None:
        """Why the peer said it ends the connection, if it did; where that is a matter of course, None."""

    def start(self, now: float) -> Steps:
        """The connection is there."""

    def receive_data(self, data: bytes, now: float) -> Steps:
        """`data` has arrived; it may be cut anywhere."""

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        """No more will come. `clean` is False where the peer did not say so itself: a reset, or TLS without close_notify."""

    def losses(self) -> Losses:
        """The streams that ended with the connection; to be asked after it was lost."""

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        """Allow `increment` more data events for `stream`."""

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        """Hold the peer back, or no longer, as long as `stream` has more than it can use."""

    def hold_sending(self, held: bool, now: float) -> Steps:
        """The transport takes no more content for now, or takes it again."""

    def ping(self, ping: object, now: float) -> Steps:
        """Ask the peer for a sign of life, to be told of by `PingAnswered`; raises `BadState` where the protocol has none."""

    def shutdown(self, now: float) -> Steps:
        """Let what is under way finish, take nothing new, then close."""

    def deadline(self) -> float | None:
        """When `time_passed` wants to be called next; None for never."""

    def time_passed(self, now: float) -> Steps:
        """It is `now`, and a deadline may have passed."""


class TunnelCore(Core, Protocol):
    """A core that makes tunnels, of which `TunnelOpened`, `TunnelData` and `TunnelClosed` tell: HTTP/1.1, HTTP/2 or SOCKS."""

    @property
    def switched(self) -> bool:
        """Whether the whole connection carries another protocol now, and so takes no requests any more."""

    def connect(self, stream: object, request: Request, now: float) -> Steps:
        """
        Ask for a tunnel: `request` is a CONNECT to ``request.target``, "host:port".

        Raises `BadState` where it cannot be asked for now.
        """

    def data(self, stream: object, data: bytes, fin: bool, now: float) -> Steps:
        """Send a piece of the content of the request of `stream`, or of what it carries; `fin` ends it."""

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        """Tell no more of `stream`; with `drain`, the connection is not closed merely to be spared the rest of its response."""


class HttpCore(TunnelCore, Protocol):
    """A core that takes requests: HTTP/1.1 or HTTP/2."""

    @property
    def accepting(self) -> bool:
        """Whether a new request may be given to this connection."""

    @property
    def full(self) -> bool:
        """Whether the peer allows no more requests at a time than there are."""

    @property
    def free(self) -> bool:
        """Whether a request given now is served at once, behind no other, and within what the peer is known to allow."""

    def request(self, stream: object, request: Request, now: float) -> Steps:
        """Send `request`, whose answer is to be told to `stream`."""

    def upgrade(self, stream: object, request: Request, now: float) -> Steps:
        """Send `request`, which asks that `stream` carry ``request.protocol`` from its response on (RFC 9110 section 7.8, RFC 8441)."""


class WsCore(Core, Protocol):
    """A core of websockets, on the one stream that it stands on."""

    #: Whether frames may be sent: no Close frame was sent or received.
    open: bool

    @property
    def closed(self) -> bool:
        """Whether the closing handshake is complete."""

    def small(self, message: str | bytes) -> bytes | None:
        """What to write to send `message`, where it is small and takes the short way; None where `send` has to look at it."""

    def send(self, frames: Sequence[tuple[int, bytes]], now: float) -> list[bytes]:
        """
        What to write to send frames, each an opcode and a payload; raises `BadState` once a Close frame was sent or received.

        No steps, since there is nothing else to do, and every message sent takes this way.
        """


class Reader:
    """
    The bytes that have arrived and were not yet understood.

    Costs are linear in the bytes fed, however they are cut: a search for a mark goes on where the last one ended.
    """

    __slots__ = ("_bytes", "_at", "_searched")

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""
        self._at = 0
        self._searched = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._at

    def feed(self, data: bytes) -> None:
        """Add `data`. Where nothing waits it is kept as it is, not copied."""
        if self._at == len(self._bytes):
            self._bytes, self._at, self._searched = data, 0, 0
            return
        if type(self._bytes) is bytes:
            self._bytes = bytearray(self._bytes[self._at :])
        else:
            del self._bytes[: self._at]  # type: ignore[union-attr]
        self._searched = max(0, self._searched - self._at)
        self._at = 0
        self._bytes += data

    def starts_with(self, prefix: bytes) -> bool:
        """Whether `prefix` comes next."""
        return self._bytes.startswith(prefix, self._at)

    def until(self, mark: bytes, most: int, name: str, limit: int | None = None) -> bytes | None:
        """
        The bytes up to and including `mark`, which are then gone; None where it has not arrived.

        Raises `LimitReached` for the option `name` (with the value `limit`, or `most`) as soon as more than `most` bytes, the mark
        included, would be needed.
        """
        found = self._bytes.find(mark, max(self._at, self._searched))
        if found < 0:
            self._searched = max(self._at, len(self._bytes) - len(mark) + 1)
            if len(self) >= most:
                raise LimitReached(name, limit or most)
            return None
        end = found + len(mark)
        if end - self._at > most:
            raise LimitReached(name, limit or most)
        return self._take(end)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """The match of `pattern` with what comes next, which is then gone; None where it does not match, or not yet."""
        match = pattern.match(self._bytes, self._at)
        if match is not None:
            self._at = self._searched = match.end()
        return match

    def take(self, most: int) -> bytes:
        """Up to `most` bytes, which are then gone."""
        return self._take(min(self._at + most, len(self._bytes)))

    def peek(self, count: int, skip: int = 0) -> bytes:
        """The bytes from `skip` up to `count`, as far as they are there; they stay."""
        return bytes(self._bytes[self._at + skip : self._at + count])

    def _take(self, end: int) -> bytes:
        whole = self._at == 0 and end == len(self._bytes)
        taken = bytes(self._bytes if whole else self._bytes[self._at : end])
        if end == len(self._bytes):
            self._bytes, self._at, self._searched = b"", 0, 0
        else:
            self._at = self._searched = end
        return taken
