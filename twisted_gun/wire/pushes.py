"""Server push (RFC 9113 section 8.4): responses that a server promises to requests nobody made, taken or refused."""

from __future__ import annotations

from twisted_gun.errors import ProtocolViolation
from twisted_gun.events import Headers, Push
from twisted_gun.wire.fields import Promise, parse_promise
from twisted_gun.wire.frames import ConnectionFault, ErrorCode
from twisted_gun.wire.states import State, StreamState
from twisted_gun.wire.streams import Streams

__all__ = ["Pushes"]


class Pushes(Streams):
    """The streams of one connection, and those that the server opens."""

    def _promise_received(self, stream_id: int, promised_id: int, fields: Headers) -> None:
        """RFC 9113 section 8.4: the server will answer a request nobody made; `promised_id` was checked to be a new one."""
        self._last_promised = promised_id
        parent = self._streams.get(stream_id)
        if parent is None and self._is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PUSH_PROMISE on stream {stream_id}, which is idle (RFC 9113 section 5.1)")
        if parent is None or self._shut:
            self._refuse_promise(promised_id, ErrorCode.CANCEL)
        elif parent.protocol is not None:  # whose authority is the destination's, for which no proxy speaks
            self._refuse_promise(promised_id, ErrorCode.PROTOCOL_ERROR)
            if parent.tunnel:
                self._give_up(parent, ProtocolViolation("PUSH_PROMISE on a stream that carries another protocol (RFC 9113 section 8.5)"))
        elif self._pushes >= self._options.max_concurrent_streams:
            self._refuse_promise(promised_id, ErrorCode.REFUSED_STREAM)
        else:
            try:
                promise = parse_promise(fields)
                # RFC 9113 section 8.4: the server must be authoritative for it; what else it may speak for is not known here.
                if promise.scheme != self._scheme or promise.authority != parent.authority:
                    raise ProtocolViolation("a promise of another origin")
            except ProtocolViolation:
                self._refuse_promise(promised_id, ErrorCode.PROTOCOL_ERROR)
            else:
                self._accept_promise(parent, promised_id, promise)

    def _refuse_promise(self, promised_id: int, code: ErrorCode) -> None:
        self._glitch()
        self._send_reset(promised_id, code)
        self._expect_late(self._options.initial_stream_window_size)

    def _accept_promise(self, parent: StreamState, promised_id: int, promise: Promise) -> None:
        key = self._promised(parent.key, promise.method)
        stream = StreamState(promised_id, key, State.RESERVED, parent.flow_at_first, 0, self._options.initial_stream_window_size)
        stream.head = promise.method == b"HEAD"
        self._streams[promised_id] = self._by_key[key] = stream
        self._pushes += 1
        uri = b"%b://%b%b" % (promise.scheme, promise.authority, promise.path)
        self._steps.append(Push(stream=parent.key, pushed_stream=key, method=promise.method, uri=uri, headers=promise.headers))
        if self._waits is not None:
            self._waits.begin(stream, self._now)
