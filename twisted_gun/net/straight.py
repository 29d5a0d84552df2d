"""
Writing straight to the socket, how much waits in user space and whether that goes out, and how much is read at once.

Twisted queues what is written and sends it in the reactor's next turn: two calls of epoll_ctl and one turn for every small
message. When nothing is queued the bytes may go to the kernel at once, which is worth 25 to 50 % on small requests. Twisted
offers no public way, so this is the one place that looks inside a transport; whatever it does not know is written the public way.
It knows neither protocols nor TLS.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable
from errno import ENOBUFS, EWOULDBLOCK
from typing import Any, TypeGuard

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.internet.main import CONNECTION_LOST
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import directlyProvides, providedBy

from twisted_gun.net.timer import Deadlines

__all__ = ["FULL_READ", "Indirect", "read_more", "sent", "straight", "straight_write", "unsent", "watch_sending"]

#: What Twisted reads at once, in bytes; a read of this size was cut off by it.
FULL_READ = tcp.Connection.bufferSize
_WIDE_READ = 4 * FULL_READ
#: Producers are paused when more bytes than this wait to be sent.
_MOST_UNSENT = 48 * 1024
#: As much as Twisted gives to one send().
_MOST_SENT = tcp.Connection.SEND_LIMIT


def straight_write(transport: ITransport) -> Callable[[bytes], None]:
    """
    A ``write(data: bytes)`` for `transport` that sends at once what the socket takes, as long as nothing is queued.

    What the socket does not take is queued by ``transport.write``, so that order, producers and closing stay Twisted's. For any
    other kind of transport it is ``transport.write`` itself. It never raises for the network's sake: a lost connection is
    reported by ``connectionLost``, in a later turn.
    """
    if not _is_plain_socket(transport):
        return transport.write

    socket = transport
    queue: Callable[[bytes], None] = socket.write
    send: Callable[[bytes], int | BaseException] = socket.writeSomeData

    def write(data: bytes) -> None:
        if socket.dataBuffer or socket._tempDataBuffer or not socket.connected or _must_queue(socket):
            queue(data)
            _pause_producer(socket)
        elif data:
            sent = send(data) if len(data) <= _MOST_SENT else _send_large(socket, data)
            if sent == len(data):
                return
            # An exception, or a negative number, says that the connection is lost.
            if not isinstance(sent, int) or sent < 0:
                _lose_soon(socket)
                queue(data)
            else:
                queue(data[sent:])
                _pause_producer(socket)

    return write


def _send_large(socket: tcp.Connection, data: bytes) -> int | BaseException:
    """
    As ``writeSomeData``, but all of `data` at once.

    Twisted gives the kernel 128 KiB at a time, and what is queued costs two copies and, for each of these, a turn of the reactor.
    """
    try:
        sent: int = socket.socket.send(data)
    except OSError as error:
        return 0 if error.errno in (EWOULDBLOCK, ENOBUFS) else CONNECTION_LOST
    return sent


def _pause_producer(socket: tcp.Connection) -> None:
    """As Twisted does by itself, but by a number of its own: `read_more` must not let more wait to be sent."""
    producer: Any = socket.producer
    if producer is None or socket.producerPaused or not socket.streamingProducer:
        return
    if (unsent(socket) or 0) > _MOST_UNSENT:
        socket.producerPaused = True
        producer.pauseProducing()


def straight(transport: ITransport) -> ITransport:
    """`transport`, or a stand-in that is the same in all ways but writes straight; itself where that cannot be done."""
    return _Straight(transport) if _is_plain_socket(transport) else transport  # type: ignore[return-value]


class Indirect:
    """A transport whose bytes go out by another one, which knows what has become of them."""

    def unsent(self) -> int | None:
        """How many bytes written to it the kernel has not taken yet; None if that is unknown."""
        raise NotImplementedError

    def sent(self) -> int | None:
        """A number that grows as what was written to it goes out; None if that is unknown."""
        raise NotImplementedError


def unsent(transport: object) -> int | None:
    """How many bytes written to `transport` the kernel has not taken yet; None if that is unknown."""
    lowest = _lowest(transport)
    if isinstance(lowest, Indirect):
        return lowest.unsent()
    if not isinstance(lowest, tcp.Connection):
        return None
    return len(lowest.dataBuffer) - lowest.offset + lowest._tempDataLen


def sent(transport: object, written: int) -> int | None:
    """A number that grows as what was written to `transport`, so far `written` bytes, goes out; None if that is unknown."""
    lowest = _lowest(transport)
    if isinstance(lowest, Indirect):
        return lowest.sent()
    waiting = unsent(lowest)
    return None if waiting is None else written - waiting


def _lowest(transport: object) -> object:
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport._transport if isinstance(transport, _Straight) else transport


def watch_sending(deadlines: Deadlines, key: Hashable, seconds: float, sent: Callable[[], int | None], stalled: Callable[[], None]) -> None:
    """Call `stalled` once nothing has gone out for `seconds`, by the number that `sent` gives: a slow peer is not a dead one."""
    before = sent()

    def look() -> None:
        nonlocal before
        last, before = before, sent()
        if last is not None and before is not None and before > last:
            deadlines.set(key, seconds, look)
        else:
            stalled()

    deadlines.set(key, seconds, look)


def read_more(transport: object) -> None:
    """
    Let `transport`, whose reads come filled, read more at once: in a long download each read costs a turn of the reactor.

    Twisted asks producers to pause by the same number; `straight_write` does so earlier.
    """
    socket = transport._transport if isinstance(transport, _Straight) else transport
    if isinstance(socket, tcp.Connection):
        socket.bufferSize = _WIDE_READ


class _Straight:
    """The stand-in of a transport: every attribute is the transport's own, read and set, but `write` and `writeSequence`."""

    __slots__ = ("__provides__", "__weakref__", "_transport", "write")

    _transport: Any
    write: Callable[[bytes], None]

    def __init__(self, transport: ITransport) -> None:
        object.__setattr__(self, "_transport", transport)
        object.__setattr__(self, "write", straight_write(transport))
        directlyProvides(self, providedBy(transport))

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(iovec))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__provides__":
            object.__setattr__(self, name, value)
        else:
            setattr(self._transport, name, value)

    def __repr__(self) -> str:
        return f"<straight {self._transport!r}>"


def _is_plain_socket(transport: object) -> TypeGuard[tcp.Connection]:
    """Whether `transport` is a TCP or UNIX socket of Twisted's whose `write` nobody has replaced."""
    return isinstance(transport, tcp.Connection) and getattr(transport.write, "__func__", None) is tcp.Connection.write


def _lose_soon(socket: tcp.Connection) -> None:
    """
    Let the reactor report the loss that a send met, in its own turn, after what can still be read.

    The send has taken the socket's error with it: the reactor would read an end of file, and take a reset for an orderly close.
    """
    alive = weakref.ref(socket)  # weak, for the socket will hold what holds this

    def read() -> ConnectionLost | ConnectionDone | None:
        transport = alive()
        found = None if transport is None else type(transport).doRead(transport)
        return CONNECTION_LOST if isinstance(found, ConnectionDone) else found

    socket.doRead = read  # type: ignore[method-assign]


def _must_queue(socket: tcp.Connection) -> bool:
    """Whether the transport has to see this write, because it closes, speaks TLS by itself, or feeds a pull producer."""
    # A pull producer is asked for more when the queue has been sent: what never was in the queue would be its last.
    pulls = socket.producer is not None and not socket.streamingProducer
    closing = socket.disconnecting or socket._aborting or socket._writeDisconnecting or socket._writeDisconnected
    return bool(closing or socket.TLS or pulls)
