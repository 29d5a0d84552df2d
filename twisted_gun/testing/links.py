"""
Connections in memory: links, the transports at their ends, and endpoints that make them.

A transport is Twisted's own, over memory where that has a socket. What is unlike real TCP: an abort drops what the other side has
not read (RFC 9293 section 3.10.7.4; Linux hands it over), and closing with unread input sends FIN, where Linux would send RST. Of
HTTP nothing is known here.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import error, main, tcp
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["MemoryEndpoint", "MemoryLink", "MemoryTransport", "memory_pair"]

CLIENT_ADDRESS = IPv4Address("TCP", "192.0.2.1", 49152)
SERVER_ADDRESS = IPv4Address("TCP", "192.0.2.80", 80)

_log = Logger()


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    An endpoint whose connections lead to protocols of `server_factory`, in memory.

    With a `clock` each ``connect()`` has its result one ``callLater(0)`` later and the links flush themselves; without, the
    result is there at once and the test calls ``endpoint.links[-1].flush()``. `links` holds every `MemoryLink` made, `attempts`
    counts the calls of ``connect()``. `refuse`, `hang` and `accept` say how attempts end from now on, those under way included.
    """

    def __init__(self, server_factory: IProtocolFactory, *, clock: IReactorTime | None = None, capacity: int = 65536) -> None:
        self.links: list[MemoryLink] = []
        self.attempts = 0
        self._server_factory, self._clock, self._capacity = server_factory, clock, capacity
        self.accept()

    def accept(self) -> None:
        """Let attempts succeed (again)."""
        self._refusal: Exception | None = None
        self._refusals: float = 0
        self._hanging = False

    def refuse(self, exception: Exception | None = None, *, times: int | None = None) -> None:
        """Fail the next attempts, `times` of them or until `accept`, by `exception`; default ConnectionRefusedError."""
        self._refusal, self._hanging = exception or error.ConnectionRefusedError(), False
        self._refusals = float("inf") if times is None else times

    def hang(self) -> None:
        """Let attempts have no result at all, until they are cancelled: what a connect timeout is for."""
        self._hanging = True

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect a protocol of `protocolFactory`; fails as `refuse` says, and with ConnectingCancelledError when cancelled.

        Where the server's factory builds no protocol it fails with ConnectionRefusedError, where the client's, NoProtocol.
        """

        def failed(failure: Failure) -> Failure:
            protocolFactory.doStop()
            return failure

        self.attempts += 1
        protocolFactory.doStart()
        attempt: Deferred[None] = Deferred(lambda d: d.errback(error.ConnectingCancelledError(SERVER_ADDRESS)))
        result = attempt.addCallback(lambda _: self._join(protocolFactory)).addErrback(failed)
        if self._clock is None:
            self._finish(attempt)
        else:
            self._clock.callLater(0, self._finish, attempt)
        return result

    def _finish(self, attempt: Deferred[None]) -> None:
        if not self._hanging and not attempt.called:
            attempt.callback(None)

    def _join(self, factory: IProtocolFactory) -> IProtocol:
        if self._refusal is not None and self._refusals > 0:
            self._refusals -= 1
            raise self._refusal
        server, client = self._server_factory.buildProtocol(CLIENT_ADDRESS), factory.buildProtocol(SERVER_ADDRESS)
        if server is None:
            raise error.ConnectionRefusedError()
        if client is None:
            raise error.NoProtocol()
        link = MemoryLink(client, server, capacity=self._capacity, clock=self._clock)
        link.client.ended = factory.doStop
        self.links.append(link)
        return client


class MemoryLink:
    """
    Two protocols connected by two `MemoryTransport`, ``client`` and ``server``; `memory_pair` is another name of it.

    ``connectionMade`` is called on the server's first. `capacity` is the size in bytes of the kernel's buffer in each direction.
    With a `clock` bytes move by ``clock.callLater(0)``, otherwise by `flush` and `pump`. `chunk_size` is the most bytes given
    to one ``dataReceived``: set it to 1 and everything is delivered byte by byte::

        link = memory_pair(client, server)
        client.transport.write(b"hello")
        link.flush()
    """

    def __init__(
        self,
        client_protocol: IProtocol,
        server_protocol: IProtocol,
        *,
        capacity: int = 65536,
        client_address: IPv4Address = CLIENT_ADDRESS,
        server_address: IPv4Address = SERVER_ADDRESS,
        clock: IReactorTime | None = None,
    ) -> None:
        self.chunk_size = MemoryTransport.bufferSize  # as much as Twisted asks of one recv()
        self._clock = clock
        self._scheduled = self._in_turn = False
        self._calls: list[Callable[[], object]] = []
        ends = _Socket(capacity, self.schedule), _Socket(capacity, self.schedule)
        ends[0].other, ends[1].other = ends[1], ends[0]
        self.client = MemoryTransport(self, ends[0], client_protocol, client_address, server_address)
        self.server = MemoryTransport(self, ends[1], server_protocol, server_address, client_address)
        server_protocol.makeConnection(self.server)
        client_protocol.makeConnection(self.client)

    def pump(self, max_bytes: int | None = None) -> bool:
        """
        Make one turn, as a reactor would, and return whether anything happened; nothing does within another turn.

        First what was written moves to the kernel's buffers, then each side is given at most `max_bytes` (default
        `chunk_size`) of what has arrived, or told of a close: ``while link.pump(1): pass`` delivers byte by byte.
        """
        limit = self.chunk_size if max_bytes is None else max_bytes
        if limit < 1:
            raise ValueError(f"a turn delivers at least one byte, not {limit!r}")
        if self._in_turn:
            return False
        self._in_turn = True
        calls, self._calls = self._calls, []
        happened = bool(calls)
        for call in calls:
            _survive(call)
        happened |= self.client.write_turn() | self.server.write_turn()
        happened |= self.client.read_turn(limit) | self.server.read_turn(limit)
        self._in_turn = False
        return happened

    def flush(self, max_turns: int = 100_000) -> None:
        """Make turns until nothing happens any more; raises RuntimeError after `max_turns`, where two sides never rest."""
        for _ in range(max_turns):
            if not self.pump():
                return
        raise RuntimeError(f"still busy after {max_turns} turns")

    def cut_at(self, *offsets: int, to: str = "client") -> None:
        """Let no ``dataReceived`` of side `to` cross these `offsets`, bytes from here on: ``cut_at(3)`` gives 3 and the rest."""
        end = {"client": self.client, "server": self.server}[to].end
        end.cuts = [end.delivered + offset for offset in offsets]

    def schedule(self) -> None:
        """Make a turn soon, if there is a clock; the transports ask for it."""
        if self._clock is not None and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._scheduled_turn)

    def callLater(self, delay: float, call: Callable[..., object], *arguments: object) -> None:
        """Call it in the next turn, whatever the `delay`: the transports' ``abortConnection()`` asks its reactor so, for 0."""
        self._calls.append(partial(call, *arguments))
        self.schedule()

    def _scheduled_turn(self) -> None:
        self._scheduled = False
        if self.pump():
            self.schedule()


def _survive(action: Callable[[], Any]) -> Any:
    """What `action` returns; or what it raised, logged."""
    try:
        return action()
    except Exception as raised:  # all of them: a reactor survives whatever a protocol raises
        _log.failure("a protocol or producer raised")
        return raised


class MemoryTransport(tcp.Connection):
    """
    One end of a `MemoryLink`: Twisted's own TCP transport, over memory where that has a socket.

    - Nothing is delivered, and no ``connectionLost`` called, from within these calls: all happens in turns of the link. Only
      ``loseConnection()`` after a finished half-close calls it at once, as TCP in Twisted does.
    - A streaming producer is paused by more than 65,536 buffered bytes, and resumed when all have gone; a pull producer is
      asked once at registration and again whenever all it wrote has gone.
    - A paused transport reads nothing. What arrives waits in `unread` up to the link's capacity, then in the writer's
      `buffered`. It notices neither FIN nor RST before it is resumed; RST also by writing.
    - ``loseConnection()`` writes what is buffered and sends FIN; both sides end with ConnectionDone. It waits for a pull
      producer, and for a paused streaming one until resumed; but not for an idle streaming one (so is Twisted's TCP).
    - Writing to a side that has closed is answered by RST: the next write ends in ConnectionLost.
    - ``abortConnection()``: in the next turn ConnectionAborted here and ConnectionLost there; buffered bytes are dropped.
    - A protocol that raises is logged, and its connection lost by what it raised.

    ``connected``, ``disconnecting``, ``disconnected`` and ``producer`` are as in Twisted; `reading` is False while paused.
    """

    def __init__(self, link: MemoryLink, end: _Socket, protocol: IProtocol, host: IPv4Address, peer: IPv4Address) -> None:
        super().__init__(end, protocol, reactor=link)  # type: ignore[arg-type]  # as much of a socket and a reactor as it uses
        self.connected = True
        self.reading, self.writing = True, False
        self.end = end
        self.ended: Callable[[], object] = bool  # called when all is over
        self._link, self._host, self._peer = link, host, peer

    @property
    def buffered(self) -> int:
        """Bytes written here that the kernel has not taken."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    @property
    def unread(self) -> int:
        """Bytes that have arrived in the kernel and were not read yet."""
        return len(self.end.incoming)

    def write_turn(self) -> bool:
        """Do as a reactor whose poll says that the socket takes bytes, if it does; return whether anything happened."""
        if not self.writing or (self.buffered and not self.end.can_send):
            return False
        return self._end_by(_survive(self.doWrite))

    def read_turn(self, limit: int) -> bool:
        """Do as a reactor whose poll says that there is something to read, if there is: `limit` bytes, FIN or RST."""
        if not self.reading or not (self.unread or self.end.fin_arrived or self.end.reset):
            return False
        self.end.read_limit = limit
        why = _survive(self.doRead)
        if why is main.CONNECTION_DONE:
            self.stopReading()
            why = _survive(partial(self.readConnectionLost, Failure(why)))
        return self._end_by(why)

    def _end_by(self, why: Exception | None) -> bool:
        if why is not None:
            _survive(partial(self.connectionLost, Failure(why)))
        return True

    def getHost(self) -> IPv4Address:
        if self.disconnected:  # as that of TCP, whose socket is gone then
            raise AttributeError("a connection that is lost has no address")
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def startReading(self) -> None:
        self.reading = True
        self._link.schedule()

    def stopReading(self) -> None:
        self.reading = False

    def startWriting(self) -> None:
        self.writing = not self.disconnected  # loseWriteConnection() does not look
        self._link.schedule()

    def stopWriting(self) -> None:
        self.writing = False

    def connectionLost(self, reason: Failure) -> None:
        if self.disconnected:
            return
        try:
            super().connectionLost(reason)
        finally:
            self._link.schedule()  # for the other side
            self.ended()


memory_pair = MemoryLink


class _Socket:
    """As much of a non-blocking socket, and the kernel behind it, as Twisted's TCP transport uses."""

    def __init__(self, capacity: int, changed: Callable[[], None]) -> None:
        self.other: _Socket
        self.capacity, self.changed = capacity, changed
        self.incoming = bytearray()
        self.fin_arrived = self.reset = self.closed = False
        self.broken = False  # the next send meets the RST that answered an earlier one
        self.delivered, self.read_limit = 0, 1
        self.cuts: list[int] = []
        self.options: dict[tuple[int, int], Any] = {}

    @property
    def can_send(self) -> bool:
        return self.broken or self.other.closed or len(self.other.incoming) < self.other.capacity

    def send(self, data: memoryview) -> int:
        if self.broken:
            raise BrokenPipeError(errno.EPIPE, "the other side has reset the connection")
        if self.other.closed:
            self.broken = bool(data)
            return len(data)
        taken = data[: self.other.capacity - len(self.other.incoming)]
        self.other.incoming += taken
        self.changed()  # it may be somebody who writes straight to the socket
        return len(taken)

    def recv(self, size: int) -> bytes:
        if self.reset:
            raise ConnectionResetError(errno.ECONNRESET, "the other side has reset the connection")
        cuts = [cut - self.delivered for cut in self.cuts if cut > self.delivered]
        piece = bytes(self.incoming[: min(size, self.read_limit, *cuts)])
        del self.incoming[: len(piece)]
        self.delivered += len(piece)
        return piece

    def shutdown(self, how: int) -> None:
        self.other.fin_arrived = True

    def close(self) -> None:
        self.closed = True
        if (socket.SOL_SOCKET, socket.SO_LINGER) in self.options:  # Twisted sets it to close by RST
            self.other.reset = self.other.broken = True
            self.other.incoming.clear()  # RFC 9293 section 3.10.7.4, RST: "all segment queues should be flushed"

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        return self.options.get((level, option), 0)

    def setblocking(self, flag: bool) -> None:
        """Told once, False; there is nothing here to block on."""

    def fileno(self) -> int:
        return -1
