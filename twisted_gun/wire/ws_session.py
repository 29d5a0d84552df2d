"""
The life of a websocket (RFC 6455 sections 5.5 and 7): messages told, pings answered, keepalive, the closing handshake, and the end.

What both cores do alike; frames are theirs. What a frame says they tell by the methods under "From the peer". What a websocket stands
on, a whole connection or a stream of HTTP/2, is not known here: to this core it is a connection of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from twisted_gun.errors import BadState, GunError, LimitReached, ProtocolViolation, ShuttingDown, StreamClosed, StreamError, TimedOut
from twisted_gun.events import Binary, Close, Ping, Pong, Text, Ws, ws_event
from twisted_gun.options import WsOptions
from twisted_gun.wire.core import Losses
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.message import CloseCode, Incoming, WsFault
from twisted_gun.wire.steps import Close as CloseStep
from twisted_gun.wire.steps import Pause, PingAnswered, Resume, Steps, StreamFailed, Write

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FRAME_SIZE",
    "MOST_TOLD",
    "PING",
    "PONG",
    "TEXT",
    "Outgoing",
    "WsSession",
    "close_payload",
    "may_close_with",
]

#: RFC 6455 section 5.2.
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
#: RFC 6455 section 7.4, and the registry of section 11.7: the codes that may be sent.
_MEANINGFUL: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
#: So many bytes of pongs go out for what one read brings; of the pings beyond that only the last is answered.
_MOST_PONGS: Final = 8 * 1024

#: So many bytes of frames are told at a time, and the rest in a later turn: what is compressed may become a thousand times as much,
#: and whoever is told may say meanwhile that it has enough. Each frame counts as a KiB besides, for what it takes as an object.
MOST_TOLD: Final = 4 * 1024 * 1024
FRAME_SIZE: Final = 1024

#: A frame as it goes out: its opcode, and its payload.
Outgoing = tuple[int, bytes]


def may_close_with(code: int) -> bool:
    """Whether a Close frame may say `code`."""
    return code in _MEANINGFUL or 3000 <= code <= 4999


def close_payload(code: int | None, reason: str = "") -> bytes:
    """What a Close frame carries; RFC 6455 section 5.5.1."""
    return b"" if code is None else code.to_bytes(2, "big") + reason.encode()


class WsSession:
    """
    A core of websockets without its frames; see `twisted_gun.wire.core.Core`.

    `stream` is the key of its one stream. With `silent` pings and pongs are not told.
    """

    name = "ws"
    last_words = None
    renewable = False
    served = True  # the handshake was

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        self.closing_timeout = options.closing_timeout
        self._stream = stream
        self._options = options
        self._agreement = agreement
        self._silent = silent
        self._flow: float | None = options.flow
        self._held = self._paused = False
        self._told = 0  # bytes of frames in this call
        self._steps: Steps = []
        self._out: list[bytes] = []
        self._deadlines: dict[str, float] = {}
        self._now = 0.0
        self.open = True
        self._ended = False  # whether the stream has been told its end
        self._reading = True  # whether what the peer sends still matters
        self._killed: tuple[object, ...] = ()
        self._failed: GunError | None = None  # what the peer did, if it did what it must not
        self._sending_held = False
        self._pong: bytes | None = None  # the ping that is not answered yet
        self._pongs = 0  # bytes of pongs in this call
        self._heard = True  # whether anything came since the last ping of keepalive
        self._pings: OrderedDict[bytes, tuple[object, float]] = OrderedDict()
        self._next_ping = 1

    # What the core does with frames.

    def _read(self, data: bytes) -> None:
        """Take frames from the peer, as long as they are not `_withheld`; what is left is for the next call."""
        raise NotImplementedError

    def _write(self, opcode: int, payload: bytes) -> None:
        """Put a frame into `_out`."""
        raise NotImplementedError

    # What the hop asks and tells.

    @property
    def closed(self) -> bool:
        return self._ended and not self._killed

    def losses(self) -> Losses:
        return Losses(self._killed, ())

    def deadline(self) -> float | None:
        return min(self._deadlines.values()) if self._deadlines else None

    def start(self, now: float) -> Steps:
        self._now = now
        self._set("keepalive", self._options.keepalive)
        return []

    def receive_data(self, data: bytes, now: float) -> Steps:
        if self._reading:
            self._heard = True
            self._now = now
            self._read_on(data)
        return self._done()

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        # What has arrived is told even to those who had enough for now: there is no later.
        self._flow, self._held = None, False
        more: float | None = 0.0
        while self._reading and more is not None:
            self._read_on(b"")
            more = self._deadlines.pop("more", None)
        self._end(_lost_by(reason, clean))
        self._over()
        return self._done()

    def time_passed(self, now: float) -> Steps:
        self._now = now
        for stage in [stage for stage, when in self._deadlines.items() if when <= now]:
            if self._deadlines.pop(stage, None) is None:  # the one before it ended the websocket
                break
            _EXPIRED[stage](self)
        return self._done()

    def hold_sending(self, held: bool, now: float) -> Steps:
        self._sending_held = held
        return self._done()

    def shutdown(self, now: float) -> Steps:
        self._now = now
        if self.open:
            self._send_close(CloseCode.GOING_AWAY)
        return self._done()

    # What the owner of the stream asks.

    def small(self, message: str | bytes) -> bytes | None:
        return None

    def send(self, frames: Sequence[Outgoing], now: float) -> list[bytes]:
        if not self.open:
            raise BadState("the websocket is closing or closed: it takes no more frames")
        for opcode, payload in frames:
            if opcode == CLOSE:
                self._now = now
                self._send_close(None, payload)
                break
            self._write(opcode, payload)
        out, self._out = self._out, []
        return out

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        if self._flow is not None:
            self._flow += increment
            self._read_more(now)
        return self._done()

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        self._held = held
        self._read_more(now)
        return self._done()

    def ping(self, ping: object, now: float) -> Steps:
        if not self.open:
            raise BadState("the websocket is closing or closed: it cannot be pinged")
        payload = b"gun ping %d" % self._next_ping
        self._next_ping += 1
        self._pings[payload] = ping, now
        self._write(PING, payload)
        return self._done()

    # Reading.

    @property
    def _withheld(self) -> bool:
        """Whether no more is to be told for now."""
        return self._held or (self._flow is not None and self._flow <= 0) or self._told >= MOST_TOLD

    def _read_more(self, now: float) -> None:
        self._now = now
        if self._reading:
            self._read_on(b"")

    def _read_on(self, data: bytes) -> None:
        try:
            self._read(data)
        except WsFault as fault:
            self._fail(fault.code, fault.reason)
        withheld = self._reading and self._withheld
        if self._told:
            if self._told >= MOST_TOLD:
                self._deadlines["more"] = self._now  # at once, but after others had their turn
            self._told = 0
        if withheld is not self._paused:
            self._paused = withheld
            self._heard = True  # what comes meanwhile is not read, and so is no sign of death
            self._steps.append(Pause() if withheld else Resume())

    # From the peer.

    def _tell(self, frame: Text | Binary | Ping | Pong) -> None:
        self._steps.append(ws_event(self._stream, frame))
        self._told += FRAME_SIZE
        if self._flow is not None:
            self._flow -= 1

    def _message_received(self, message: Incoming) -> None:
        self._told += message.size
        self._tell(message.finish())

    def _ping_received(self, data: bytes) -> None:
        """
        RFC 6455 section 5.5.3: who has not yet answered earlier pings "MAY elect to send a Pong frame for only the most recently
        processed Ping frame": that keeps what waits for a peer that does not read small.
        """
        if self._sending_held or self._pongs >= _MOST_PONGS:
            self._pong = data
        elif self.open:
            self._pongs += len(data) + 6
            self._write(PONG, data)
        if not self._silent:
            self._tell(Ping(data))

    def _pong_received(self, data: bytes) -> None:
        if data in self._pings:
            # Those before it are answered too: a peer may answer only the last of several (RFC 6455 section 5.5.3).
            while data in self._pings:
                _, (ping, sent) = self._pings.popitem(last=False)
                self._steps.append(PingAnswered(ping, self._now - sent))
        elif not self._silent:
            self._tell(Pong(data))

    def _close_received(self, code: int | None, reason: str) -> None:
        """RFC 6455 section 5.5.1: answered by the same code; then the server closes the connection, in ``closing_timeout``."""
        if code is not None and not may_close_with(code):
            raise WsFault(CloseCode.PROTOCOL_ERROR, f"a Close frame with the code {code} (RFC 6455 section 7.4)")
        self._steps.append(Ws(stream=self._stream, frame=Close(code, reason)))
        self._ended = True
        self._reading = False
        self._deadlines.pop("keepalive", None)
        if self.open:
            self._send_close(code)

    # The end.

    def _send_close(self, code: int | None, payload: bytes | None = None) -> None:
        self._write(CLOSE, close_payload(code) if payload is None else payload)
        self.open = False
        self._set("closing", self._options.closing_timeout)

    def _fail(self, code: int, reason: GunError) -> None:
        """
        RFC 6455 section 7.1.7: _Fail the WebSocket Connection_.

        The peer gets time to read the Close frame and to end the connection itself: closed with input unread, a socket resets it.
        """
        self._failed = reason
        self._end(reason)
        self._reading = False
        if self.open:
            self._send_close(code)

    def _end(self, reason: GunError) -> None:
        if not self._ended:
            self._ended = True
            self._killed = (self._stream,)
            self._steps.append(StreamFailed(self._stream, reason))

    def _over(self) -> None:
        self._reading = False
        self.open = False
        self._deadlines.clear()

    # Time.

    def _set(self, stage: str, seconds: float | None) -> None:
        if seconds is not None:
            self._deadlines[stage] = self._now + seconds

    def _keep_alive(self) -> None:
        if not self.open:
            return
        self._write(PING, b"")
        if "pong" not in self._deadlines:
            self._heard = False
            self._set("pong", self._options.ping_timeout)
        self._set("keepalive", self._options.keepalive)

    def _pong_missing(self) -> None:
        if self._heard or self._paused:
            return
        seconds = self._options.ping_timeout
        self._give_up(TimedOut("keepalive", seconds, f"nothing came within ping_timeout = {seconds} seconds after a ping"))

    def _closing_timed_out(self) -> None:
        if self._ended:
            self._over()
            self._steps.append(CloseStep(self._failed, abort=False))
        else:
            seconds = self._options.closing_timeout
            self._give_up(TimedOut("closing", seconds, f"no Close frame came within closing_timeout = {seconds} seconds after ours"))

    def _give_up(self, reason: GunError) -> None:
        self._end(reason)
        self._over()
        self._steps.append(CloseStep(reason))

    def _done(self) -> Steps:
        """The steps of this call, with one write for all that is to be sent."""
        if self._pong is not None and not self._sending_held:
            if self.open:
                self._write(PONG, self._pong)
            self._pong = None
        self._pongs = 0
        steps, self._steps = self._steps, []
        out = self._out
        if out:
            # Before a Close step, which closes behind it.
            at = len(steps) - 1 if steps and type(steps[-1]) is CloseStep else len(steps)
            steps.insert(at, Write(out[0] if len(out) == 1 else b"".join(out)))
            out.clear()
        return steps


_EXPIRED = {
    "more": lambda session: session._read_on(b""),
    "keepalive": WsSession._keep_alive,
    "pong": WsSession._pong_missing,
    "closing": WsSession._closing_timed_out,
}


def _lost_by(reason: GunError, clean: bool) -> GunError:
    """Why a websocket ended whose connection did before any Close frame came."""
    if isinstance(reason, (LimitReached, ProtocolViolation, ShuttingDown, StreamError, TimedOut)):
        return reason
    why = "the server closed what it stood on" if clean else str(reason)
    error = StreamClosed(f"the websocket ended without a Close frame (RFC 6455 section 7.1.5, 1006): {why}")
    error.__cause__ = reason
    return error
