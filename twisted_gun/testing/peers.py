"""
Servers in memory: what each can do with its transport and with a script, and the one that speaks whatever bytes the test gives.

Of HTTP it knows but how to list requests of HTTP/1; the server that speaks HTTP/2 is in `http2.py`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Union

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Peer", "PeerRequest", "Script", "ScriptedPeer"]

#: The steps of a peer, or what it calls with itself whenever bytes have arrived.
Script = Union[Sequence[tuple[Any, ...]], Callable[[Any], object]]


class Peer(Protocol):
    """
    What every server in memory can do, whatever it speaks.

    `lost` is None, later the reason of ``connectionLost``. Raises ValueError where the script has a step of another name than `VERBS`.
    """

    VERBS: ClassVar[frozenset[str]] = frozenset({"expect", "send", "close", "abort", "half_close", "pause"})
    transport: Any

    def __init__(self, script: Script = ()) -> None:
        self.lost: Failure | None = None
        self._answer = script if callable(script) else None
        self._steps: deque[tuple[Any, ...]] = deque(() if callable(script) else script)
        for step in self._steps:
            if step[0] not in self.VERBS:
                raise ValueError(f"{step!r} is no step; its first item is one of {', '.join(sorted(self.VERBS))}")

    def send(self, data: bytes) -> None:
        """Send `data` to the client."""
        self.transport.write(data)

    def close(self) -> None:
        """Close the connection after what was sent."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection at once."""
        self.transport.abortConnection()

    def half_close(self) -> None:
        """Send no more (FIN after what was sent), but go on receiving."""
        self.transport.loseWriteConnection()

    def pause(self) -> None:
        """Stop receiving, so that the client meets back-pressure."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Receive again."""
        self.transport.resumeProducing()

    def verify(self) -> None:
        """Raise AssertionError if steps of the script were not done."""
        if self._steps:
            raise AssertionError(f"not done: {list(self._steps)!r}; since the last expectation came {self._since()!r}")

    def connectionMade(self) -> None:
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        self._take(data)
        if self._answer is not None:
            self._answer(self)
        self._go_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    # What the heir does.

    def _take(self, data: bytes) -> None:
        """Record what has arrived."""
        raise NotImplementedError

    def _arrived(self, expected: Any) -> bool:
        """Whether what a step expects has arrived; then it is used up."""
        raise NotImplementedError

    def _since(self) -> object:
        """What has arrived since the last expectation."""
        raise NotImplementedError

    # The script.

    def _go_on(self) -> None:
        while self._steps:
            verb, *arguments = self._steps[0]
            if verb != "expect":
                self._do(verb, arguments)
            elif not self._arrived(arguments[0]):
                return
            self._steps.popleft()

    def _do(self, verb: str, arguments: list[Any]) -> None:
        getattr(self, verb)(*arguments)


class ScriptedPeer(Peer):
    """
    A server that records what it receives and does what the test says.

    By hand: `send`, `close`, `abort` and so on. By `script`, a sequence of steps done in order, each as soon as it can be:

    - ``("expect", b"...")``: wait until these bytes are in what has arrived since the last expectation;
    - ``("expect", predicate)``: wait until ``predicate(arrived_since_then)`` is true, which takes all of it;
    - ``("send", b"...")``, ``("close",)``, ``("abort",)``, ``("half_close",)``, ``("pause",)``.

    Or `script` is a callable: it is called with the peer each time bytes have arrived. `received` is all that has arrived.
    """

    def __init__(self, script: Script = ()) -> None:
        super().__init__(script)
        self.received = b""
        self._examined = 0

    @property
    def requests(self) -> list[PeerRequest]:
        """The HTTP/1 requests in what has arrived, the last one perhaps not complete; ends at what is not HTTP/1."""
        return list(_requests(self.received))

    def _take(self, data: bytes) -> None:
        self.received += data

    def _arrived(self, expected: bytes | Callable[[bytes], bool]) -> bool:
        rest = self._since()
        if not (expected(rest) if callable(expected) else expected in rest):
            return False
        self._examined += len(rest) if callable(expected) else rest.index(expected) + len(expected)
        return True

    def _since(self) -> bytes:
        return self.received[self._examined :]


class PeerRequest(NamedTuple):
    """An HTTP/1 request as it arrived: names of `headers` in lower case, `body` without its framing and as far as it came."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    complete: bool


_HEAD = re.compile(rb"(\S+) (\S+) HTTP/1\.\d\r\n((?:[^\r\n]+\r\n)*)\r\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n")
_TRAILERS = re.compile(rb"(?:[^\r\n]+\r\n)*\r\n")


def _requests(data: bytes) -> Iterator[PeerRequest]:
    start: int | None = 0
    while start is not None and (head := _HEAD.match(data, start)):
        pairs = [line.partition(b":") for line in head[3].splitlines()]
        headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
        body, start = _body(dict(headers), data, head.end())
        yield PeerRequest(head[1], head[2], headers, body, complete=start is not None)


def _body(headers: dict[bytes, bytes], data: bytes, start: int) -> tuple[bytes, int | None]:
    """The body at `start` and where it ends, None as long as it has not."""
    if b"chunked" not in headers.get(b"transfer-encoding", b"").lower():
        end = start + int(headers.get(b"content-length", b"0"))
        return data[start:end], end if end <= len(data) else None
    body = b""
    while chunk := _CHUNK_SIZE.match(data, start):
        start = chunk.end() + int(chunk[1], 16)
        if start == chunk.end():
            trailers = _TRAILERS.match(data, start)
            return body, trailers and trailers.end()
        body += data[chunk.end() : start]
        start += 2
    return body, None
