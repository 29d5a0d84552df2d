"""
The life of an HTTP/2 connection (RFC 9113 sections 3.4, 5.4, 6.5, 6.7 and 6.8): preface, settings, pings, GOAWAY, and the end.

What both cores do alike, on top of `wire/streams.py` and `wire/pushes.py`; frames are theirs. What a frame says they tell by the
methods under "From the peer".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted_gun.errors import GoAway, GunError, ShuttingDown, StreamRefused, TimedOut, UpgradeRefused
from twisted_gun.options import Http2Options
from twisted_gun.wire.core import Losses, Request
from twisted_gun.wire.ends import closed_by, cut_off
from twisted_gun.wire.frames import ACK, LARGEST, ConnectionFault, ErrorCode, FrameType, Setting, code_name
from twisted_gun.wire.pushes import Pushes
from twisted_gun.wire.states import State
from twisted_gun.wire.steps import Accepting, Close, Leaving, PingAnswered, SettingsChanged, Steps, StreamFailed

__all__ = ["Session"]

#: Payloads of pings: 0 is keepalive's, as in Gun; the caller's begin here.
_FIRST_PING: Final = 10_000
_KEEPALIVE: Final = bytes(8)

_BOOLS = (Setting.ENABLE_PUSH, Setting.ENABLE_CONNECT_PROTOCOL)


class Session(Pushes):
    """A core of HTTP/2 without its frames; see `twisted_gun.wire.core.Core`."""

    name = "http2"

    def __init__(self, options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> None:
        super().__init__(options, scheme, promised)
        self._closed = False
        self._away: GoAway | None = None  # what the server said when it went away
        self._killed: list[object] = []
        self._pings: dict[bytes, tuple[object, float]] = {}
        self._next_ping = _FIRST_PING
        self._unanswered = 0  # keepalive's pings
        self._acknowledged = False  # whether the server has acknowledged our settings
        self._opened_at = 0.0  # when the connection's window was opened last
        self._asking: dict[object, Request] = {}  # upgrades that wait for the server's first SETTINGS
        self._connect_protocol = False  # whether it takes them
        self._beginning: bytes | None = b""  # what has come of the server's preface; None once it was seen

    # What the core does with frames.

    def _start(self) -> None:
        """Send the preface and our settings, and open the connection's window."""
        raise NotImplementedError

    def _read(self, data: bytes) -> None:
        """Take frames from the peer."""
        raise NotImplementedError

    def _send_ping(self, payload: bytes) -> None:
        raise NotImplementedError

    def _send_goaway(self, code: ErrorCode) -> None:
        raise NotImplementedError

    def _peer_settings(self, settings: Mapping[int, int]) -> None:
        """Obey the peer's settings, as far as frames and their sending go."""
        raise NotImplementedError

    # What the hop asks.

    @property
    def renewable(self) -> bool:
        return self._next_id > LARGEST if self._away is None else self._away.code == ErrorCode.NO_ERROR

    @property
    def last_words(self) -> GunError | None:
        return None if self.renewable else self._away

    def losses(self) -> Losses:
        return Losses(tuple(self._killed), tuple(self._unprocessed))

    def deadline(self) -> float | None:
        if self._waits is None and not self._uploads:
            return min(self._deadlines.values()) if self._deadlines else None
        due = [*self._deadlines.values(), *(() if self._waits is None else self._waits.next())]
        limit = self._options.send_timeout
        if limit is not None and self._uploads:
            due.append(next(iter(self._uploads.values())) + limit)
        return min(due, default=None)

    # What the hop tells.

    def start(self, now: float) -> Steps:
        options = self._options
        self._now = now
        self._start()
        self._set("preface", options.preface_timeout)
        self._set("settings", options.settings_timeout)
        self._set("keepalive", options.keepalive)
        return self._done()

    def receive_data(self, data: bytes, now: float) -> Steps:
        if self._closed:
            return []
        self._now = now
        try:
            if self._beginning is not None:
                data = self._check_preface(data)
            self._read(data)
        except ConnectionFault as error:
            self._fail(error.code, error.reason)
        return self._done()

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        if not self._closed:
            self._end_all(self.last_words or reason)
        return self._done()

    def time_passed(self, now: float) -> Steps:
        self._now = now
        for stage in [stage for stage, when in self._deadlines.items() if when <= now]:
            if self._closed:  # by the one before it
                break
            del self._deadlines[stage]
            if stage == "keepalive":
                self._keep_alive()
            elif stage == "upload":
                self._send_queued()
            else:
                self._timed_out(stage)
        if self._waits is not None:
            for stream, stage, limit in self._waits.expired(now):
                self._reset(stream, ErrorCode.CANCEL, TimedOut(stage, limit))
        if self._uploads and self._options.send_timeout is not None:
            self._give_up_stalled(self._options.send_timeout)
        return self._done()

    def ping(self, ping: object, now: float) -> Steps:
        if self._closed:  # which who asks has not been told of yet
            return []
        self._now = now
        payload = self._next_ping.to_bytes(8, "big")
        self._next_ping += 1
        self._pings[payload] = ping, now
        self._send_ping(payload)
        return self._done()

    def upgrade(self, stream: object, request: Request, now: float) -> Steps:
        self._now = now
        if self._settled:
            self._open_tunnel(stream, request)
        else:
            self._asking[stream] = request
        return self._done()

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        self._asking.pop(stream, None)
        return super().cancel(stream, now, drain)

    def shutdown(self, now: float) -> Steps:
        self._now = now
        if not self._closed and not self._shut:
            self._shut = True
            self._set("closing", self._options.closing_timeout)
            self._leave()
        return self._done()

    # Streams that carry another protocol.

    def _open_tunnel(self, stream: object, request: Request) -> None:
        """RFC 8441 section 3: without SETTINGS_ENABLE_CONNECT_PROTOCOL a server has to take an extended CONNECT for a malformed request."""
        if self._connect_protocol:
            self._open(stream, request)
        else:
            text = "the server takes no websockets over HTTP/2: it sent no SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3)"
            self._unprocessed.append(stream)
            self._steps.append(StreamFailed(stream, UpgradeRefused(f"{text}; open a connection with protocols=['http'] for them", None)))

    def _refuse_asking(self) -> None:
        """The connection ends before the server said whether it takes upgrades."""
        asking, self._asking = self._asking, {}
        for stream in asking:
            text = "the connection ended before this upgrade was sent"
            error = ShuttingDown(text) if self._shut else StreamRefused(f"{text}; it was not processed: send it again")
            self._unprocessed.append(stream)
            self._steps.append(StreamFailed(stream, error))

    # From the peer.

    def _check_preface(self, data: bytes) -> bytes:
        """
        The first bytes, once there are enough to tell HTTP/2 from anything else.

        RFC 9113 section 3.4: "the server connection preface consists of a potentially empty SETTINGS frame that MUST be the first frame".
        """
        assert self._beginning is not None
        data = self._beginning + data
        if data.startswith(b"HTTP/1") or b"HTTP/1".startswith(data):
            self._beginning = data
            if len(data) < len(b"HTTP/1"):
                return b""
            text = "Invalid connection preface received. Appears to be an HTTP/1 response? (RFC7540 3.5)"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
        kind, flags = data[3:4], data[4:5]
        # RFC 9113 section 4.1: the bit before a stream's identifier "MUST be ignored when receiving".
        of_a_stream = data[5:6].strip(b"\x80\0") or data[6:9].strip(b"\0")
        if kind not in (b"", bytes([FrameType.SETTINGS])) or (flags and flags[0] & ACK) or of_a_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "Invalid connection preface received. (RFC7540 3.5)")
        self._beginning = data if len(data) < 9 else None
        return data if len(data) >= 9 else b""

    def _settings_received(self, settings: Mapping[int, int]) -> None:
        self._glitch()
        self._deadlines.pop("preface", None)
        self._peer_settings(settings)
        if Setting.MAX_CONCURRENT_STREAMS in settings or not self._settled:
            self._most_streams = min(settings.get(Setting.MAX_CONCURRENT_STREAMS, LARGEST), self._options.max_streams)
        self._connect_protocol = bool(settings.get(Setting.ENABLE_CONNECT_PROTOCOL, self._connect_protocol))
        self._settled = True
        asking, self._asking = self._asking, {}
        for stream, request in asking.items():
            self._open_tunnel(stream, request)
        if self._options.notify_settings_changed:
            known = {Setting(key): value for key, value in settings.items() if key in Setting._value2member_map_}
            named = {key.name.lower(): bool(value) if key in _BOOLS else value for key, value in known.items()}
            self._steps.append(SettingsChanged(named))
        if self.accepting:
            self._steps.append(Accepting())

    def _settings_acked(self) -> None:
        self._deadlines.pop("settings", None)
        if self._acknowledged:
            self._glitch()
        self._acknowledged = True

    def _ping_answered(self, payload: bytes) -> None:
        if payload == _KEEPALIVE and self._unanswered:
            self._unanswered -= 1
        elif payload in self._pings:
            ping, sent = self._pings.pop(payload)
            self._steps.append(PingAnswered(ping, self._now - sent))
        else:
            self._glitch()

    def _went_away(self, last: int, code: int) -> None:
        """
        RFC 9113 section 6.8: streams up to `last` may have been processed, and finish; those above it were not.

        A server may say so twice, first with the largest identifier, so that requests on their way to it are not refused.
        """
        self._glitch()
        text = "The connection is going away."
        self._away = GoAway(f"{text} ({code_name(code)})", code, last)
        if "closing" not in self._deadlines:
            self._set("closing", self._options.closing_timeout)
        self._leave()
        for stream in [stream for stream in self._streams.values() if stream.id > last and stream.id % 2]:
            fate = "The server ends this stream, which it had answered." if stream.responded else "It was not processed: send it again"
            error = GoAway(f"{text} ({code_name(code)}) {fate}", code, last)
            self._never_processed(stream, error)
        if "closing" in self._deadlines and any(stream.tunnel for stream in self._streams.values()):
            self._steps.append(Leaving())

    # The end.

    def _leave(self) -> None:
        """Take no more requests, say so, and close when nothing is under way any longer."""
        if self._accepting:
            self._accepting = False
            self._send_goaway(ErrorCode.NO_ERROR)
        self._refuse_asking()
        self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        if not self._accepting and not self._by_key and not self._closed:
            self._over()
            self._close = Close(None if self._shut else self.last_words, abort=False)

    def _fail(self, code: ErrorCode, reason: GunError, abort: bool = False) -> None:
        """RFC 9113 section 5.4.1: GOAWAY with `code`, then close; `reason` is what the owner is told."""
        self._send_goaway(code)
        self._end_all(reason)
        self._close = Close(reason, abort)

    def _end_all(self, reason: GunError) -> None:
        self._over()
        self._refuse_asking()
        for stream in list(self._by_key.values()):
            # What has arrived is told even to those who had enough for now: there is no later.
            self._unpark(stream)
            if stream.state is not State.CLOSED and not stream.told:
                self._killed.append(stream.key)
                begun = cut_off(reason, stream.received, stream.expected) if stream.responded else closed_by(reason)
                error = reason if stream.tunnel else begun  # what it carries says what that means
                self._steps.append(StreamFailed(stream.key, error))
        self._streams.clear()
        self._by_key.clear()
        self._waits = None
        self._uploads.clear()

    def _over(self) -> None:
        self._closed = True
        self._accepting = False
        self._deadlines.clear()
        self._pings.clear()

    # Time.

    def _set(self, stage: str, seconds: float | None) -> None:
        if seconds is not None:
            self._deadlines[stage] = self._now + seconds

    def _keep_alive(self) -> None:
        options = self._options
        if options.keepalive_tolerance is not None and self._unanswered >= options.keepalive_tolerance:
            text = "The number of unacknowledged pings exceed the configured tolerance value."
            self._fail(ErrorCode.NO_ERROR, TimedOut("keepalive", options.keepalive, text))
            return
        self._unanswered += 1
        self._send_ping(_KEEPALIVE)
        self._set("keepalive", options.keepalive)

    def _give_up_stalled(self, limit: float) -> None:
        """End uploads whose window the server has left closed for `limit` seconds, but not those that others have kept waiting."""
        now = self._now
        for stream in [stream for stream, since in self._uploads.items() if since + limit <= now]:
            if stream.send_window > 0 and (self._sending_held or self._opened_at + limit > now):
                del self._uploads[stream]
                self._uploads[stream] = now
            else:
                text = f"the server took none of what was sent for send_timeout = {limit} seconds: it left the window closed"
                self._reset(stream, ErrorCode.CANCEL, TimedOut("write", limit, text))

    def _timed_out(self, stage: str) -> None:
        option, code, text = _STAGES[stage]
        self._fail(code, TimedOut(stage, getattr(self._options, option), text), abort=stage == "closing")


_STAGES: dict[str, tuple[str, ErrorCode, str | None]] = {
    "closing": ("closing_timeout", ErrorCode.NO_ERROR, None),
    "headers": ("header_timeout", ErrorCode.ENHANCE_YOUR_CALM, None),
    "preface": ("preface_timeout", ErrorCode.PROTOCOL_ERROR, "The preface was not received in a reasonable amount of time."),
    "settings": (
        "settings_timeout",
        ErrorCode.SETTINGS_TIMEOUT,
        "The SETTINGS ack was not received within the configured time. (RFC7540 6.5.3)",
    ),
}
