"""
TLS over any transport, on Twisted's `TLSMemoryBIOProtocol`, without its buffering.

It knows nothing of certificates: the creator its factory is given has seen to those.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from twisted_gun.net.straight import FULL_READ, read_more, straight

__all__ = ["Records", "UnbufferedTls", "UnbufferedTlsFactory"]

#: RFC 8446 section 5.1: "The length MUST NOT exceed 2^14 bytes."
_LARGEST_RECORD = 2**14
#: More than header, padding and tag of a record take, and of what OpenSSL may send along with it.
_RECORD_OVERHEAD = 512
_HEADER = 5
#: So much is encrypted before it is sent.
_AT_ONCE = 16 * _LARGEST_RECORD


class UnbufferedTls(TLSMemoryBIOProtocol):
    """
    TLS that sends in the turn in which it is written to, and does not wait for a peer that does not close.

    Twisted's own takes one more turn of the reactor to join small writes; ours arrive joined. It also asks OpenSSL once more than
    there is to read and to send, and each time OpenSSL says so by an exception, which costs more than the rest. Where nothing
    unusual is going on, reading and writing are therefore done here; everything else is Twisted's. Of its internals these names
    are used, the same from 25.5 to 26.10: `_reason`, `_shutdownTLS`, `_tlsConnection`, `_handshakeDone`, `_appSendBuffer`,
    `_lostTLSConnection`, `_aborted`, `_flushSendBIO`, `_bufferedWrite`, `_tlsShutdownFinished`.
    """

    _reason: Failure | None
    _aborting = False
    _records: Records

    def _is_plain(self) -> bool:
        """Whether there is nothing but application data to exchange."""
        return self._handshakeDone and not (self._appSendBuffer or self._lostTLSConnection or self._aborted)

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002 - Twisted's name
        """Decrypt what has arrived, and hand it on as one piece."""
        records = self._records.passed(bytes)
        if len(bytes) == FULL_READ:
            read_more(self.transport)
        if not self._is_plain():
            super().dataReceived(bytes)  # type: ignore[no-untyped-call]
            return
        self._tlsConnection.bio_write(bytes)
        pieces, problem = _read_records(self._tlsConnection, records, min(len(bytes), _LARGEST_RECORD))
        if pieces:
            self.wrappedProtocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if problem is not None and not self._lostTLSConnection:
            self._meet(problem)

    def _meet(self, problem: SSL.Error) -> None:
        """Do what Twisted does about what is no application data."""
        if isinstance(problem, SSL.WantReadError):
            self._flushSendBIO()  # type: ignore[no-untyped-call]
        elif isinstance(problem, SSL.ZeroReturnError):
            self._shutdownTLS()
            self._tlsShutdownFinished(None)  # type: ignore[no-untyped-call]
        else:
            self._tlsShutdownFinished(Failure(problem))  # type: ignore[no-untyped-call]

    def write(self, bytes: bytes) -> None:  # noqa: A002 - Twisted's name
        """Encrypt and send, at once."""
        if not self._is_plain() or self.disconnecting or not bytes:
            super().write(bytes)  # type: ignore[no-untyped-call]
            return
        if len(bytes) > _LARGEST_RECORD:
            self._write_large(bytes)
            return
        connection = self._tlsConnection
        try:
            connection.send(bytes)
            encrypted = connection.bio_read(len(bytes) + _RECORD_OVERHEAD)
        except SSL.WantReadError:
            self._bufferedWrite(bytes)  # type: ignore[no-untyped-call]
        except SSL.Error as problem:
            self._meet(problem)
        else:
            self.transport.write(encrypted)  # type: ignore[union-attr]

    def _write_large(self, data: bytes) -> None:
        """As `write`, in full records, of which many go out at once: a tunnel below would make several of each."""
        at = 0
        while at < len(data):
            if not self._is_plain():
                super().write(data[at:])  # type: ignore[no-untyped-call]
                return
            at, problem = self._write_records(data, at, min(at + _AT_ONCE, len(data)))
            if isinstance(problem, SSL.WantReadError):
                self._bufferedWrite(data[at:])  # type: ignore[no-untyped-call]
                return
            if problem is not None:
                self._meet(problem)
                return

    def _write_records(self, data: bytes, at: int, end: int) -> tuple[int, SSL.Error | None]:
        """Encrypt and send `data` from `at` to `end`; how far that went, and what OpenSSL met instead of the rest."""
        connection, problem = self._tlsConnection, None
        room = end - at + _RECORD_OVERHEAD * (1 + (end - at) // _LARGEST_RECORD)
        try:
            while at < end:
                at += connection.send(data[at : min(at + _LARGEST_RECORD, end)])
        except SSL.Error as error:
            problem = error.with_traceback(None)
        try:
            encrypted = connection.bio_read(room)
        except SSL.WantReadError:  # nothing was encrypted
            return at, problem
        self.transport.write(encrypted)  # type: ignore[union-attr]
        return at, problem

    def makeConnection(self, transport: ITransport) -> None:
        """Start TLS over `transport`."""
        self._records = Records()
        super().makeConnection(straight(transport))  # type: ignore[no-untyped-call]

    def failVerification(self, reason: Failure) -> None:
        """Keep `reason` for `connectionLost`; unlike Twisted's, leave OpenSSL the time to tell the peer by an alert."""
        self._reason = reason

    def abortConnection(self) -> None:
        """Close at once; harmless when the connection is lost already."""
        if self.connected:
            self._aborting = True
            super().abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The transport is gone, for `reason`; the application hears what TLS knows better."""
        # A transport that ends in good order before the peer's close_notify was cut short, and Twisted says so. But what we
        # closed ourselves was not, and a transport that failed (a TLS below this one, say) has told us more than that.
        if self._reason is None and (self.disconnecting or not reason.check(ConnectionDone)):
            self._reason = reason
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _shutdownTLS(self) -> None:
        if self.getHandle() is None:  # type: ignore[no-untyped-call]
            return
        super()._shutdownTLS()  # type: ignore[no-untyped-call]
        # RFC 8446 section 6.1: "Each party MUST send a "close_notify" alert before closing its write side of the connection".
        # It is sent; RFC 5246 section 7.2.1: "It is not required for the initiator of the close to wait for the responding
        # close_notify alert before closing the read side of the connection."
        if self.transport is not None and not self._aborting:
            self.transport.loseConnection()


class UnbufferedTlsFactory(TLSMemoryBIOFactory):
    protocol = UnbufferedTls

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.protocol(self, protocol)  # type: ignore[no-untyped-call]

    def _applyProtocolNegotiation(self, connection: SSL.Connection) -> None:
        """
        Nothing: the creator has set ALPN.

        Twisted before 26.4 calls this to write the protocols of the wrapped factory into the context, which others share.
        """


def _read_records(connection: SSL.Connection, count: int, size: int) -> tuple[list[bytes], SSL.Error | None]:
    """
    The application data in `count` records, and what OpenSSL met instead of any more of it.

    `size` is what is asked for at first, in bytes: OpenSSL's Python binding allocates it each time, so a small answer wants a
    small one. What a record holds beyond it is `pending`.
    """
    pieces: list[bytes] = []
    try:
        for _ in range(count):
            pieces.append(connection.recv(size))
            left = connection.pending() if size < _LARGEST_RECORD else 0
            if left:
                pieces.append(connection.recv(left))
    except SSL.Error as problem:
        return pieces, problem.with_traceback(None)  # which holds this frame, and so the connection
    return pieces, None


class Records:
    """Counts the TLS records in a stream of bytes by their headers; RFC 8446 section 5.1."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # a header of which only a part has arrived
        self._left = 0  # bytes of the present record that have not

    def passed(self, data: bytes) -> int:
        """How many records end in `data`, which follows what was given before."""
        if self._header:
            data = self._header + data
        at, size = self._left, len(data)
        ended = 1 if self._left else 0
        while at + _HEADER <= size:
            at += _HEADER + (data[at + 3] << 8 | data[at + 4])
            ended += 1
        if at > size:
            # The last one goes on.
            self._header, self._left = b"", at - size
            return ended - 1
        self._header, self._left = data[at:], 0
        return ended
