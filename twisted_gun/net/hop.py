"""
The one Twisted `Protocol`: it runs a core over a transport and does the core's steps in order.

It knows no connection and no owner, only what stands above it (`Above`). Whether the transport is TCP, TLS, or a tunnel makes no
difference to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final
from typing import Protocol as Interface

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, INegotiated, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import ConnectionFailed, GunError, ShuttingDown, TimedOut
from twisted_gun.events import Headers, StreamEvent
from twisted_gun.net.straight import FULL_READ, read_more, sent, straight_write, unsent, watch_sending
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tls import tls_failure
from twisted_gun.wire.core import Core
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Leaving,
    Noticed,
    Pause,
    PauseUpload,
    PingAnswered,
    Resume,
    ResumeUpload,
    SettingsChanged,
    Steps,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    Write,
)

__all__ = ["Above", "Hop", "HopOptions", "HopWatch"]

AnyCore = TypeVar("AnyCore", bound=Core)

#: Pieces of fewer bytes that go out in one turn are one write.
_JOINED = 64 * 1024
#: What may be written in the midst of a turn, in bytes, before those who send are paused; as much as Twisted's transports take.
_MOST_QUEUED = 64 * 1024


class Above(Interface):
    """What stands above a hop, and is told."""

    def up(self, hop: Hop[Any]) -> None:
        """The hop's core runs."""

    def accepting(self, hop: Hop[Any]) -> None:
        """The hop's core takes new requests again."""

    def leaving(self) -> None:
        """The peer ends the connection soon, and tunnels with it."""

    def tell(self, event: StreamEvent) -> None:
        """Something happened to a stream."""

    def turn_over(self) -> bool:
        """All that happened was told; whether anything was done about it that may have led to more."""

    def stream_failed(self, stream: Any, reason: GunError) -> None:
        """A stream has ended by `reason`."""

    def tunnel_opened(self, stream: Any) -> None:
        """The tunnel asked for is there."""

    def tunnel_refused(self, stream: Any, status: int, headers: Headers) -> None:
        """The proxy refused it."""

    def tunnel_data(self, stream: Any, data: bytes) -> None:
        """Bytes of whatever protocol the stream now carries."""

    def tunnel_closed(self, stream: Any) -> None:
        """The stream's bytes have come to their end."""

    def ping_answered(self, ping: Any, seconds: float) -> None:
        """The peer has answered `ping`, so many `seconds` after it was sent."""

    def settings_changed(self, settings: Mapping[str, int | bool]) -> None:
        """The peer has sent settings."""

    def upload_paused(self, stream: Any | None, paused: bool) -> None:
        """Whether the content of a stream's request has to wait; with None, whether that of all has."""

    def noticed(self, name: str, observation: Any) -> None:
        """Something for an event handler, by the name of its callback; said by those cores alone that are made for one."""

    def violated(self, reason: GunError) -> None:
        """The connection is being given up because of `reason`."""

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        """The transport is gone; `reason` is None where it ended in good order."""


class HopWatch(Interface):
    """Who wants to see how a hop begins, for an event handler."""

    def connected(self, hop: Hop[Any], tls: bool) -> None:
        """Its transport is there, of which TLS, if there is any, is about to make its handshake."""

    def begun(self, hop: Hop[Any]) -> None:
        """Its core is about to run."""

    def gone(self, hop: Hop[Any], reason: GunError | None) -> None:
        """Its transport is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopOptions:
    """How long, in seconds, a hop waits for its transport, None for ever; what it asks of a TCP socket; and who watches it."""

    tls_handshake_timeout: float | None = 10.0
    send_timeout: float | None = 15.0
    nodelay: bool = True
    keepalive: bool = True
    watch: HopWatch | None = None


@implementer(IPushProducer, IHandshakeListener)
class Hop(Protocol, Generic[AnyCore]):
    """
    One core over one transport.

    `choose` gives the core for what ALPN negotiated (None without TLS, or where the server does not speak ALPN); `confirm` looks at
    the TLS transport once its handshake is done; both may raise `GunError`, which is then why the connection fails.
    """

    core: AnyCore

    def __init__(
        self,
        above: Above,
        deadlines: Deadlines,
        choose: Callable[[bytes | None], AnyCore],
        confirm: Callable[[Any], None] | None = None,
        options: HopOptions | None = None,
    ) -> None:
        self._above = above
        self._tell = above.tell
        self._turn_over = above.turn_over
        self._deadlines = deadlines
        self._now = deadlines.now
        self._choose = choose
        self._confirm = confirm
        self._options = options or HopOptions()
        self._queue: deque[Any] = deque()
        self._performing = False
        self._out: list[bytes] = []
        self._core_deadline: float | None = None
        self._reason: GunError | None = None  # why we closed it
        self._written = 0  # bytes given to the transport
        self._sending_paused = False
        self._queued = 0  # bytes that were written in the midst of this turn
        self._holding = False  # whether those who send are paused because of that
        self._splice: Callable[[bytes], None] | None = None
        self.running = False  # between the start of the core and the end of the connection
        self.lost = False  # whether the transport is gone, of which those above may not have been told yet
        self.cut_off: GunError | None = None  # why an orderly close of ours may have lost what was still to be sent
        self._closing = self._producing = self._stalled = False

    # From the transport.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._write = straight_write(transport)
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(self._options.nodelay)
            transport.setTcpKeepAlive(self._options.keepalive)
        tls = INegotiated.providedBy(transport) or ISSLTransport.providedBy(transport)
        if self._options.watch is not None:
            self._options.watch.connected(self, tls)
            if self._closing:  # whoever was told wants it no longer
                return
        if not tls:
            self._begin(None)
        elif self._options.tls_handshake_timeout is not None:
            self._after("tls", self._options.tls_handshake_timeout, self._handshake_timed_out)

    def handshakeCompleted(self) -> None:
        if self.running or self._closing:  # a renegotiation
            return
        self._deadlines.clear((self, "tls"))
        transport: Any = self.transport
        try:
            if self._confirm is not None:
                self._confirm(transport)
        except GunError as error:
            self._give_up(error)
        else:
            self._begin(transport.negotiatedProtocol)

    @final  # so that a connector which watches the hop need not stand in the way of its data
    def dataReceived(self, data: bytes) -> None:
        if len(data) == FULL_READ:
            read_more(self.transport)
        if self._splice is not None:
            self._splice(data)
        elif self.running:
            self.perform(self.core.receive_data(data, self._now()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        error, clean = why_lost(reason)
        if self.running:
            self._queue.extend(self.core.connection_lost(self._reason or error, clean))
            error = self.core.last_words or error
        # In good order only if that was our own intention: a peer that closes while nothing is under way is "closed" too.
        end = self._reason if self._closing else error
        if self._closing and not clean and not self._stalled:
            self.cut_off = error
        self._queue.append(_Lost(end))
        self.perform([])

    # From above.

    def unsent(self) -> int | None:
        """How many bytes wait to be sent, here and below; None if that is unknown."""
        waiting = unsent(self.transport)
        here = sum(map(len, self._out)) + sum(len(step.data) for step in self._queue if type(step) is Write)
        return None if waiting is None else waiting + here

    def sent(self) -> int | None:
        """A number that grows as what was written goes out; None if that is unknown."""
        return sent(self.transport, self._written)

    def splice(self, receive: Callable[[bytes], None] | None) -> None:
        """
        The whole connection belongs to one tunnel from here on: what comes goes to `receive`, past the core, which has no use for it.

        What the tunnel sends may take the same way: `write`. None is the tunnel's end.
        """
        self._splice = receive

    def write(self, data: bytes) -> None:
        """Send `data`: now, or with all else that is sent in this turn."""
        if self._performing:
            self._out.append(data)
            self._queued += len(data)
            if self._queued > _MOST_QUEUED:
                self._hold_senders_back()
        elif not self._closing and not self.lost:
            self._written += len(data)
            self._write(data)

    def write_all(self, pieces: list[bytes]) -> None:
        """Send `pieces` one after another: in a turn, so that what is asked for meanwhile goes behind the last of them."""
        performing, self._performing = self._performing, True
        self._out += pieces
        self._queued += sum(map(len, pieces))
        if self._queued > _MOST_QUEUED:
            self._hold_senders_back()
        self._performing = performing
        if not performing:
            self.perform([])

    def perform(self, steps: Steps) -> None:
        """
        Do `steps`, after those that are being done already.

        Whatever a receiver asks for while it is being told joins the queue: order holds, and the stack stays flat.
        """
        queue = self._queue
        queue.extend(steps)
        if self._performing:
            self._hold_senders(steps)
            return
        self._performing = True
        try:
            while True:
                while queue:
                    step = queue.popleft()
                    do = _DO.get(type(step))
                    if do is None:
                        self._tell(step)
                    else:
                        do(self, step)
                if not self._turn_over() and not queue:
                    if not self._out:
                        break
                    # The end of a turn: one write. It may pause those who send, and what they then ask for joins the queue too.
                    self._flush()
        finally:
            self._performing = False
        self._settle()

    def drop(self) -> None:
        """Abort the connection and tell no more of it but that it is lost."""
        self.running = False
        self._queue.clear()
        self._out.clear()
        if not self.lost:  # an orderly close may be under way: it is not waited for
            self._stop_producing()
            self._give_up(ShuttingDown("the connection was closed"))

    # Steps.

    def _write_step(self, step: Write) -> None:
        self._out.append(step.data)

    def _accepting(self, step: Accepting) -> None:
        self._above.accepting(self)

    def _leaving(self, step: Leaving) -> None:
        self._above.leaving()

    def _pause(self, step: Pause) -> None:
        if not self._closing and not self.lost:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def _resume(self, step: Resume) -> None:
        if not self._closing and not self.lost:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _pause_upload(self, step: PauseUpload) -> None:
        self._above.upload_paused(step.stream, True)

    def _resume_upload(self, step: ResumeUpload) -> None:
        self._above.upload_paused(step.stream, False)

    def _ping_answered(self, step: PingAnswered) -> None:
        self._above.ping_answered(step.ping, step.seconds)

    def _settings_changed(self, step: SettingsChanged) -> None:
        self._above.settings_changed(step.settings)

    def _stream_failed(self, step: StreamFailed) -> None:
        self._above.stream_failed(step.stream, step.reason)

    def _tunnel_opened(self, step: TunnelOpened) -> None:
        self._above.tunnel_opened(step.stream)

    def _tunnel_refused(self, step: TunnelRefused) -> None:
        self._above.tunnel_refused(step.stream, step.status, step.headers)

    def _tunnel_data(self, step: TunnelData) -> None:
        self._above.tunnel_data(step.stream, step.data)

    def _tunnel_closed(self, step: TunnelClosed) -> None:
        self._above.tunnel_closed(step.stream)

    def _noticed(self, step: Noticed) -> None:
        self._above.noticed(step.name, step.observation)

    def _close(self, step: Close) -> None:
        if self._closing or self.lost:
            return
        self._closing = True
        self.running = False
        self._reason = step.reason
        self._flush()
        self._stop_producing()
        if step.reason is not None:
            self._above.violated(step.reason)
            if step.abort:
                self.abort()
                return
        self.transport.loseConnection()  # type: ignore[union-attr]
        if self.core.closing_timeout is not None:
            watch_sending(self._deadlines, (self, "closing"), self.core.closing_timeout, self.sent, self._closing_stalled)

    def _closing_stalled(self) -> None:
        """Nothing goes out any more, or all has and the peer does not close."""
        seconds = self.core.closing_timeout
        self._stalled = True
        if self.unsent() != 0:
            self.cut_off = TimedOut("closing", seconds, f"the peer took none of what was sent for closing_timeout = {seconds} seconds")
        self.abort()

    def _gone(self, step: _Lost) -> None:
        self.running = False
        self._splice = None
        self._out.clear()
        for key in ("tls", "closing", "write", "core"):
            self._deadlines.clear((self, key))
        if self._options.watch is not None:
            self._options.watch.gone(self, step.reason)
        self._above.lost(self, step.reason)

    def _settle(self) -> None:
        """The end of a turn: the timer as the core wants it."""
        if self.running:
            when = self.core.deadline()
            if when != self._core_deadline:
                self._core_deadline = when
                if when is None:
                    self._deadlines.clear((self, "core"))
                else:
                    self._deadlines.set_at((self, "core"), when, self._time_passed)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and not self.lost:
            for data in out if len(out) == 1 else _gathered(out):
                self._written += len(data)
                self._write(data)
        self._queued = 0
        if self._holding:
            self._holding = False
            if not self._sending_paused:
                self._above.upload_paused(None, False)

    def _hold_senders(self, steps: Steps) -> None:
        """
        Pause those who send in the midst of a turn, whose writes wait for its end.

        A producer may write until it is paused: the transport, which would do that, has not seen any of it yet.
        """
        for step in steps:
            if type(step) is Write:
                self._queued += len(step.data)
            elif type(step) is PauseUpload:
                self._pause_upload(step)
        if self._queued > _MOST_QUEUED:
            self._hold_senders_back()

    def _hold_senders_back(self) -> None:
        if not self._holding:
            self._holding = True
            self._above.upload_paused(None, True)

    # The core's life.

    def _begin(self, negotiated: bytes | None) -> None:
        try:
            self.core = self._choose(negotiated)
        except GunError as error:
            self._give_up(error)
            return
        if self._options.watch is not None:
            self._options.watch.begun(self)
            if self._closing:
                return
        self.running = self._producing = True
        self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self._performing = True  # what is asked for by those who hear of it waits for the core's own first words
        try:
            self._queue.extend(self.core.start(self._now()))
            self._above.up(self)
        finally:
            self._performing = False
        self.perform([])

    def _give_up(self, reason: GunError) -> None:
        self._closing = True
        self._reason = reason
        self.abort()

    def _time_passed(self) -> None:
        self._core_deadline = None
        if self.running:
            self.perform(self.core.time_passed(self._now()))

    def _handshake_timed_out(self) -> None:
        seconds = self._options.tls_handshake_timeout
        self._give_up(TimedOut("tls", seconds, f"the TLS handshake took longer than {seconds} seconds"))

    def _after(self, key: str, seconds: float, expired: Callable[[], None]) -> None:
        self._deadlines.set((self, key), seconds, expired)

    def abort(self) -> None:
        """Abort the transport, whatever waits to be sent."""
        # A transport that is lost already may not like to be aborted; TLS raises AttributeError.
        if not self.lost:
            self.transport.abortConnection()  # type: ignore[union-attr]

    # The transport's back-pressure: the hop is its one producer, and tells all who send.

    def pauseProducing(self) -> None:
        if not self._sending_paused:  # transports say so again with each write
            self._sending_paused = True
            self._above.upload_paused(None, True)
            self._hold_core(True)
            self._watch_sending()

    def resumeProducing(self) -> None:
        self._sending_paused = False
        self._deadlines.clear((self, "write"))
        if not self._holding:
            self._above.upload_paused(None, False)
        self._hold_core(False)

    def _hold_core(self, held: bool) -> None:
        if self.running:
            self.perform(self.core.hold_sending(held, self._now()))

    def stopProducing(self) -> None:
        """The transport is lost; `connectionLost` says the rest."""
        self._producing = False

    def _stop_producing(self) -> None:
        if self._producing:
            self._producing = False
            self.transport.unregisterProducer()  # type: ignore[union-attr]

    def _watch_sending(self) -> None:
        """Abort a connection whose peer takes nothing for `send_timeout`."""
        if self._options.send_timeout is not None:
            watch_sending(self._deadlines, (self, "write"), self._options.send_timeout, self.sent, self._sending_stalled)

    def _sending_stalled(self) -> None:
        reason = TimedOut("write", self._options.send_timeout, "the peer took none of what was sent for send_timeout seconds")
        if self.running:
            self._queue.extend(self.core.connection_lost(reason, clean=False))
        self.perform([Close(reason)])


def _gathered(out: list[bytes]) -> Iterator[bytes]:
    """What goes out in a turn, joined; but of large pieces a copy would cost more than a write of their own."""
    small: list[bytes] = []
    for data in out:
        if len(data) < _JOINED:
            small.append(data)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield data
    if small:
        yield b"".join(small)


@dataclass(frozen=True, slots=True)
class _Lost:
    """The last step: the transport is gone."""

    reason: GunError | None


_DO: dict[type, Callable[[Any, Any], None]] = {
    Write: Hop._write_step,
    Close: Hop._close,
    Accepting: Hop._accepting,
    Leaving: Hop._leaving,
    Pause: Hop._pause,
    Resume: Hop._resume,
    PauseUpload: Hop._pause_upload,
    ResumeUpload: Hop._resume_upload,
    PingAnswered: Hop._ping_answered,
    SettingsChanged: Hop._settings_changed,
    StreamFailed: Hop._stream_failed,
    TunnelOpened: Hop._tunnel_opened,
    TunnelRefused: Hop._tunnel_refused,
    TunnelData: Hop._tunnel_data,
    TunnelClosed: Hop._tunnel_closed,
    Noticed: Hop._noticed,
    _Lost: Hop._gone,
}


def why_lost(failure: Failure) -> tuple[GunError, bool]:
    """The end of a transport in our terms, and whether the peer itself said that it was the end."""
    value = failure.value
    if isinstance(value, GunError):
        return value, False
    tls = tls_failure(failure)
    if tls is not None:
        return tls, False
    if failure.check(ConnectionDone):
        return ConnectionFailed("the peer closed the connection"), True
    if failure.check(ConnectionAborted):
        return ConnectionFailed("the connection was aborted"), False
    error = ConnectionFailed(f"the connection was lost: {str(value).rstrip('.')}")
    error.__cause__ = value
    return error, False
