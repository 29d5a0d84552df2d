"""
A tunnel as the transport of any protocol whatever, which expects of it what Twisted's transports do.

Our own hops make do with less (`net/tunnel.py`). Of proxies nothing is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import TimedOut
from twisted_gun.net.straight import watch_sending
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tunnel import TunnelTransport

__all__ = ["Carrier"]

_log = Logger()


class Carrier(TunnelTransport):
    """
    The transport of any protocol, over the stream `stream` of `hop`.

    What the protocol raises is logged, and ends this tunnel and no other. From within a call of its own it is told nothing at all.
    After `loseConnection` all is sent that was written, as long as the peer takes some of it within `closing_timeout` seconds; then it has
    as long again to say that it is the end, too. Only then the protocol is told. A pull producer is asked for more in turns of its own, and
    waited for. `ended` is called once the protocol was told of the end.
    """

    def __init__(self, hop: Any, stream: object, deadlines: Deadlines, closing_timeout: float | None, ended: Callable[[], object]) -> None:
        super().__init__(hop, stream, deadlines, hop.core.switched)
        self._closing_timeout = closing_timeout
        self._ended = ended
        self._pulled: _Pulled | None = None

    def connect(self, protocol: Any) -> None:
        """Let `protocol` stand on this transport; raises what its `connectionMade` does."""
        self._protocol = protocol
        if self.whole:
            self._hop.splice(self.data_received)
        protocol.makeConnection(self)

    # ITransport.

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):  # as Twisted's; the hop would fail, and whatever else it carries
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if self._reason is not None or (self.disconnecting and self._pulled is None):
            return
        if self.whole:
            self._hop.write(data)
        else:
            self._hop.perform(self._hop.core.data(self._stream, data, False, self._now()))

    def loseConnection(self) -> None:
        """Send no more than a pull producer still has; the end comes when the peer says so too."""
        if not self.disconnecting:
            self.disconnecting = True
            if self._pulled is None:
                self._finish()

    def _finish(self) -> None:
        if self._closing_timeout is not None and not self.whole:  # else the hop closes, and sees to that
            watch_sending(self._deadlines, (self, "closing"), self._closing_timeout, self.sent, self._closing_timed_out)
        self._ask(self._hop.core.data(self._stream, b"", True, self._now()))

    def _closing_timed_out(self) -> None:
        seconds = self._closing_timeout
        late = TimedOut("closing", seconds, f"the peer of the tunnel took none of what was sent for {seconds} seconds after its end")
        left = self.unsent()
        # Where all was sent, it is only a peer that has not closed its side: Twisted's transports do not wait for that.
        self.give_up(Failure(late if left or (left is None and self._blocked) else ConnectionDone()))

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} was never unregistered")
        if self._reason is not None:
            producer.stopProducing()
            return
        if streaming:
            super().registerProducer(producer, True)
        else:
            self._pulled = _Pulled(producer, self._deadlines)
            self._pulled.resumeProducing()
            super().registerProducer(self._pulled, True)

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        pulled, self._pulled = self._pulled, None
        if pulled is not None:
            pulled.pauseProducing()
            if self.disconnecting and self._reason is None:
                self._finish()

    # IPushProducer: of what the peer sends.

    def pauseProducing(self) -> None:
        self._deadlines.clear((self, "resume"))
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on in the next turn, as Twisted's transports do: what has waited is not told from within this call."""
        if self._reason is None:
            self._deadlines.set((self, "resume"), 0.0, super().resumeProducing)

    # From the hop.

    def _receive(self, data: bytes) -> None:
        try:
            self._protocol.dataReceived(data)
        except Exception:
            _log.failure("{protocol} raised; its tunnel is given up", protocol=self._protocol)
            self.give_up(Failure())

    def closed(self) -> None:
        """The end, in good order; of a connection that is closed from here, only when that has sent all and is lost."""
        if not self.whole or self._hop.lost:
            super().closed()

    def _tell_end(self) -> None:
        for stage in ("closing", "end", "resume"):
            self._deadlines.clear((self, stage))
        protocol, self._protocol = self._protocol, None
        producer, self._producer, self._pulled = self._producer, None, None
        if protocol is not None:
            if producer is not None:
                _survive(producer.stopProducing)
            _survive(protocol.connectionLost, self._reason)
            self._ended()


def _survive(call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except Exception:
        _log.failure("{call} raised when the connection was lost", call=call)


@implementer(IPushProducer)
class _Pulled:
    """A pull producer as a push producer: it is asked for more once a turn, as long as it may send."""

    def __init__(self, producer: Any, deadlines: Deadlines) -> None:
        self._producer = producer
        self._deadlines = deadlines
        self._wanted = False

    def resumeProducing(self) -> None:
        self._wanted = True
        self._deadlines.set((self, "pull"), 0.0, self._pull)

    def pauseProducing(self) -> None:
        self._wanted = False
        self._deadlines.clear((self, "pull"))

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._producer.resumeProducing()
        if self._wanted:  # else what it wrote has paused it, or was all
            self.resumeProducing()
