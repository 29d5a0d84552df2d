"""
Testing code that uses twisted_gun: no sockets, no threads, no waiting.

`MemoryGun` is the whole stage: a connection, the peer at its other end, a clock that stands still until told otherwise, and an
owner that keeps what it is told::

    class GreetingTests(SynchronousTestCase):
        def test_greeting(self):
            world = MemoryGun("example.org", 80, script=[
                ("expect", b"GET /hello HTTP/1.1\\r\\n"),
                ("send", b"HTTP/1.1 200 OK\\r\\ncontent-length: 5\\r\\n\\r\\nhello"),
            ])
            stream = world.connection.get("/hello")
            body = stream.await_body()
            world.pump()
            self.assertEqual(self.successResultOf(body), b"hello")
            self.assertEqual(world.owner.names(), ["gun_up"])
            world.peer.verify()

Its parts serve alone too. `memory_pair` joins any two protocols by a `MemoryLink`, whose two `MemoryTransport` behave as
Twisted's TCP does, back-pressure, abort and half-close included; `MemoryEndpoint` makes such links for whatever dials an
endpoint; `ScriptedPeer` is a server that does what the test says; `RecordingReceiver` keeps events.

What is unlike real TCP: an abort drops what the other side has not read (RFC 9293 section 3.10.7.4; Linux hands it over), and
closing with unread input sends FIN, where Linux would send RST. Of HTTP this module knows but how to list requests of HTTP/1.
"""

from __future__ import annotations

import errno
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, Union

from twisted.internet import error, main, tcp
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.connection import Connection
from twisted_gun.interfaces import IReceiver
from twisted_gun.opening import open as dial

__all__ = ["MemoryEndpoint", "MemoryGun", "MemoryLink", "MemoryTransport", "RecordingReceiver", "ScriptedPeer", "memory_pair"]

CLIENT_ADDRESS = IPv4Address("TCP", "192.0.2.1", 49152)
SERVER_ADDRESS = IPv4Address("TCP", "192.0.2.80", 80)

#: The steps of a `ScriptedPeer`, or what it calls whenever bytes have arrived.
Script = Union[Sequence[tuple[Any, ...]], Callable[["ScriptedPeer"], object]]

_log = Logger()
_Event = TypeVar("_Event")


class MemoryGun:
    """
    A connection whose peer, clock and owner the test holds in its hands.

    `open_options` are those of `twisted_gun.open`; ``owner`` defaults to a new `RecordingReceiver`. `script` is given to the
    `ScriptedPeer` of every connection; leave it out and drive `peer` by hand. Nothing happens before the first `pump`.

    - ``connection``: what `twisted_gun.open` returned;
    - ``owner``: who is told of the connection (pass ``reply_to=`` to record the streams' events as well);
    - ``clock``: the `Clock` given as the reactor;
    - ``endpoint``: the `MemoryEndpoint` that is dialled, which can refuse or hang; its ``links`` shape how bytes arrive;
    - ``peers`` and ``peer``: the `ScriptedPeer` of every connection so far, and the latest.
    """

    def __init__(self, host: str = "example.org", port: int = 80, *, script: Script = (), **open_options: Any) -> None:
        self._script = script
        self.clock = Clock()
        self.peers: list[ScriptedPeer] = []
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self._new_peer), clock=self.clock)
        self.owner: Any = open_options.pop("owner", None) or RecordingReceiver()
        fixed: dict[str, Any] = {"owner": self.owner, "reactor": self.clock, "endpoint": self.endpoint}
        self.connection: Connection = dial(host, port, **fixed, **open_options)

    @property
    def peer(self) -> ScriptedPeer:
        """The peer of the latest connection; raises AssertionError as long as none was made."""
        assert self.peers, "no connection was made yet; pump() lets the first one happen"
        return self.peers[-1]

    def pump(self) -> None:
        """Move bytes, and run what is due now, until all is quiet; time stands still."""
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and all that follows from it happen."""
        self.clock.advance(seconds)

    def _new_peer(self) -> ScriptedPeer:
        self.peers.append(ScriptedPeer(self._script))
        return self.peers[-1]


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


class ScriptedPeer(Protocol):
    """
    A server that records what it receives and does what the test says.

    By hand: `send`, `close`, `abort` and so on. By `script`, a sequence of steps done in order, each as soon as it can be:

    - ``("expect", b"...")``: wait until these bytes are in what has arrived since the last expectation;
    - ``("expect", predicate)``: wait until ``predicate(arrived_since_then)`` is true, which takes all of it;
    - ``("send", b"...")``, ``("close",)``, ``("abort",)``, ``("half_close",)``, ``("pause",)``.

    Or `script` is a callable: it is called with the peer each time bytes have arrived. `received` is all that has arrived,
    `lost` is None, later the reason of ``connectionLost``. Raises ValueError for a step of another name.
    """

    VERBS = frozenset({"expect", "send", "close", "abort", "half_close", "pause"})
    transport: Any

    def __init__(self, script: Script = ()) -> None:
        self.lost: Failure | None = None
        self._answer = script if callable(script) else None
        self._steps: deque[tuple[Any, ...]] = deque(() if callable(script) else script)
        self.received = b""
        self._examined = 0
        for step in self._steps:
            if step[0] not in self.VERBS:
                raise ValueError(f"{step!r} is no step; its first item is one of {', '.join(sorted(self.VERBS))}")

    @property
    def requests(self) -> list[PeerRequest]:
        """The HTTP/1 requests in what has arrived, the last one perhaps not complete; ends at what is not HTTP/1."""
        return list(_requests(self.received))

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
            rest = self.received[self._examined :]
            raise AssertionError(f"not done: {list(self._steps)!r}; since the last expectation came {rest!r}")

    def connectionMade(self) -> None:
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._answer is not None:
            self._answer(self)
        self._go_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def _go_on(self) -> None:
        while self._steps:
            verb, *arguments = self._steps[0]
            if verb != "expect":
                getattr(self, verb)(*arguments)
            elif not self._arrived(arguments[0]):
                return
            self._steps.popleft()

    def _arrived(self, expected: bytes | Callable[[bytes], bool]) -> bool:
        rest = self.received[self._examined :]
        if not (expected(rest) if callable(expected) else expected in rest):
            return False
        self._examined += len(rest) if callable(expected) else rest.index(expected) + len(expected)
        return True


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


@implementer(IReceiver)
class RecordingReceiver:  # type: ignore[misc]  # its methods are made below, from the interface
    """
    An `IReceiver` that keeps all it is told in `events`, in order.

    `react`, if given, is called with each event after it was recorded: to act from within, or to raise::

        receiver = RecordingReceiver(react=lambda event: event.stream.cancel())
    """

    def __init__(self, react: Callable[[Any], object] | None = None) -> None:
        self.events: list[Any] = []
        self.react = react
        self._names: list[str] = []

    def of(self, kind: type[_Event]) -> list[_Event]:
        """The events of one type, in order: ``receiver.of(gun.Data)``."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self) -> list[str]:
        """The methods that were called, in order, as in ``["gun_up", "gun_response"]``."""
        return list(self._names)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.events.clear()
        self._names.clear()

    def _record(self, name: str, event: Any) -> None:
        self._names.append(name)
        self.events.append(event)
        if self.react is not None:
            self.react(event)


def _recording_method(name: str) -> Callable[[RecordingReceiver, Any], None]:
    def told(self: RecordingReceiver, event: Any) -> None:
        self._record(name, event)

    told.__name__, told.__doc__ = name, IReceiver[name].getDoc()
    return told


for _name in IReceiver.names(all=True):  # from the interface, so that an event added to it is recorded without a change here
    setattr(RecordingReceiver, _name, _recording_method(_name))
