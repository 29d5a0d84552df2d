"""
A tunnel: one stream of a hop, seen as a transport.

What stands on it does not know whether it is a socket or a stream; and of what stands on it nothing is known here. The stream is a
key, as it is to the hop's core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import GunError
from twisted_gun.net.straight import Indirect, watch_sending
from twisted_gun.net.timer import Deadlines
from twisted_gun.wire.steps import Steps

__all__ = ["CORE", "TRANSPORT", "TunnelTransport"]

# Why what is sent has to wait: the core of the hop says so; its transport says so.
CORE, TRANSPORT = 1, 2
#: How long, in seconds, the peer's end is waited for where nothing is wanted of it: last words need their time to reach it.
_LINGERS = 1.0


@implementer(ITransport, IConsumer, IPushProducer)
class TunnelTransport(Indirect):
    """
    The transport of `protocol`, over the stream `stream` of `hop`.

    `data_received`, `closed`, `lost` and `block` are for whoever the hop tells. With `whole` the stream has the whole connection to itself,
    and its bytes go past the hop's core. `lingers` says whether after our end the peer's is waited for as long as it takes. Never from
    within a call of its own does the protocol hear of the end, which would pull the ground from under TLS.
    """

    disconnecting = False
    #: Whether the peer has said that it sends no more.
    finished = False

    def __init__(self, hop: Any, stream: object, deadlines: Deadlines, whole: bool, lingers: Callable[[], bool] = lambda: True) -> None:
        self._hop = hop
        self._stream = stream
        self._deadlines = deadlines
        self._now = deadlines.now
        self.whole = whole
        self._lingers = lingers
        self._protocol: Any = None
        self._producer: Any = None
        self._blocked = 0
        self._last: int | None = None  # what the hop has sent when the last byte of this is
        self._asking = False  # whether the protocol is asking for the end just now
        self._reason: Failure | None = None  # why it has ended

    def connect(self, protocol: Any) -> None:
        """Let `protocol` stand on this transport."""
        self._protocol = protocol
        if self.whole:
            # A hop copes with its end at any time, and is spared a call.
            is_hop = getattr(protocol.dataReceived, "__final__", False)
            self._hop.splice(protocol.dataReceived if is_hop else self.data_received)
        protocol.makeConnection(self)

    # ITransport.

    def write(self, data: bytes) -> None:
        if self.disconnecting:
            return
        hop = self._hop
        if self.whole:
            hop.write(data)
        else:
            hop.perform(hop.core.data(self._stream, data, False, self._now()))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send no more; the end comes when the peer says so too."""
        if not self.disconnecting:
            self.disconnecting = True
            self._ask(self._hop.core.data(self._stream, b"", True, self._now()))
            if not self.whole and not self._lingers():  # a proxy need not hand our end on, and the peer's would never come
                over = partial(self.give_up, Failure(ConnectionDone()))
                watch_sending(self._deadlines, (self, "closing"), _LINGERS, self.sent, over)

    def abortConnection(self) -> None:
        """Send and receive no more."""
        if self._reason is None:
            asking, self._asking = self._asking, True
            self.give_up(Failure(ConnectionAborted()))
            self._asking = asking

    def give_up(self, reason: Failure) -> None:
        """End the tunnel from this side; `reason` is what the protocol is told."""
        self.disconnecting = True
        self._hop.perform(self._hop.core.cancel(self._stream, self._now()))
        if self.whole:
            self._hop.abort()
        self._end(reason)

    def getPeer(self) -> Any:
        return self._hop.transport.getPeer()

    def getHost(self) -> Any:
        return self._hop.transport.getHost()

    # Indirect.

    def unsent(self) -> int | None:
        queued, last = self._look()
        waiting: int | None = self._hop.unsent()
        if waiting is None:
            return queued or None
        return waiting + queued if last is None else max(last - self._hop.sent(), 0)

    def sent(self) -> int | None:
        queued, last = self._look()
        sent: int | None = self._hop.sent()
        if sent is None:
            return None if self.whole else -queued
        return sent - queued if last is None else min(sent, last)

    def _look(self) -> tuple[int, int | None]:
        """
        How many bytes the hop's core has not let out yet; and if that was the end, what the hop has sent when the last one has gone.

        What others send by the same hop is behind that one, and says nothing of it.
        """
        if self.whole:
            return 0, None
        queued: int = self._hop.core.queued(self._stream)
        if self._last is None and self.disconnecting and not queued:
            self._last = (self._hop.sent() or 0) + (self._hop.unsent() or 0)
        return queued, self._last

    # ITCPTransport, which TLS says that it is, whatever it stands on.

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing: the socket is not this stream's alone, and is as the lowest hop wants it."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Likewise."""

    # IConsumer: one producer, as on every transport.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        if self._blocked:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    # IPushProducer: of what the peer sends.

    def pauseProducing(self) -> None:
        self._hold(True)

    def resumeProducing(self) -> None:
        self._hold(False)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _hold(self, held: bool) -> None:
        self._ask(self._hop.core.hold(self._stream, held, self._now()))

    def _ask(self, steps: Steps) -> None:
        """Do what the protocol asks for: of an end that comes of it, it hears when it has returned."""
        asking, self._asking = self._asking, True
        self._hop.perform(steps)
        self._asking = asking

    # From the hop.

    def data_received(self, data: bytes) -> None:
        """The peer sent `data`."""
        if self._reason is None:
            asking, self._asking = self._asking, True
            try:
                self._receive(data)
            finally:
                self._asking = asking
            if self._reason is not None and not asking:
                self._tell_end()

    def _receive(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def closed(self) -> None:
        """The peer sends no more: the end, in good order."""
        self.finished = True
        self.loseConnection()
        self._end(Failure(ConnectionDone()))

    def lost(self, reason: GunError) -> None:
        """The stream, or all that it stands on, has ended by `reason`."""
        self._end(Failure(reason))

    def block(self, why: int, blocked: bool) -> None:
        """Let who sends wait, or no longer."""
        before, self._blocked = self._blocked, (self._blocked | why if blocked else self._blocked & ~why)
        if self._producer is not None and bool(before) is not bool(self._blocked):
            if blocked:
                self._producer.pauseProducing()
            else:
                self._producer.resumeProducing()

    def _end(self, reason: Failure) -> None:
        self._reason = self._reason or reason
        self.disconnecting = True
        if self.whole:
            self._hop.splice(None)
        if self._asking:
            self._deadlines.set((self, "end"), 0.0, self._tell_end)
        else:
            self._tell_end()

    def _tell_end(self) -> None:
        for stage in ("closing", "end"):
            self._deadlines.clear((self, stage))
        protocol, self._protocol = self._protocol, None
        self._producer = None
        if protocol is not None:
            protocol.connectionLost(self._reason)
