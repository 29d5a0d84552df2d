"""
HTTP/1.1 and HTTP/1.0 (RFC 9112), the client's side, pipelined.

The exchanges in their order, and how they end unserved, are in `wire/pipeline.py`; here is what is written and read. It is strict
where leniency has hurt others (line ends, lengths, chunk sizes), and bounded everywhere. The head of a response is taken in
`wire/head.py` and read in `wire/response.py`, its content in `wire/content.py`; a request becomes bytes in `wire/exchange.py`. Who is
told, and of what time it is, is for others to say.
"""

from __future__ import annotations

from twisted_gun.errors import (
    BadState,
    GunError,
    LimitReached,
    ProtocolViolation,
    ShuttingDown,
    TimedOut,
)
from twisted_gun.events import Data, Inform, Response, Trailers, Upgrade
from twisted_gun.options import HttpOptions
from twisted_gun.wire.content import ByLength, Chunked, Content, UntilClose
from twisted_gun.wire.core import Reader, Request
from twisted_gun.wire.ends import cut_off
from twisted_gun.wire.exchange import Exchange, encode_content, encode_head, upgrade_fields
from twisted_gun.wire.head import HeadReader
from twisted_gun.wire.pipeline import Pipeline
from twisted_gun.wire.response import Head, framing_of, parse_head, switched_protocol
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Pause,
    PauseUpload,
    Resume,
    ResumeUpload,
    Steps,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    Write,
)

__all__ = ["Http1"]

#: A complete request up to this size, in bytes, is one write; a larger content is not copied to join it to its head.
_JOINED = 64 * 1024


class Http1(Pipeline):
    """The core of an HTTP/1.1 connection; see `twisted_gun.wire.core.Core`."""

    name = "http"
    #: "Connection: close" may be a server's way of renewing a connection as well as of refusing it: so it costs a retry.
    renewable = False
    served = False
    last_words = None
    full = False

    def __init__(self, options: HttpOptions) -> None:
        super().__init__()
        self.closing_timeout = options.closing_timeout
        self._options = options
        self._reader = Reader()
        self._heads = HeadReader(self._reader, options)
        self._reading = "head"  # one of _READERS
        self._closing = False  # the connection ends with its first exchange
        self._accepting = True  # False once the connection is known to take no more
        self._cancelled = 0  # exchanges whose response nobody wants any more
        self._paused = False
        self._lost = False
        self._written: Request | None = None  # the request that was written last, which often comes again
        self._written_head = b""
        self._content: Content = ByLength(0)  # of the first exchange's response
        self._deadlines: dict[str, float] = {}
        self._timed = any(limit is not None for limit in (options.keepalive, options.response_timeout, options.idle_timeout))

    # What the hop asks.

    @property
    def accepting(self) -> bool:
        # What is written behind a cancelled response would be lost if that turns out too long to be read for nothing.
        if self._switching is not None and self._switching.request.method == b"CONNECT":
            return False  # whom those behind it are for is not known yet
        return self._accepting and not self._cancelled

    @property
    def free(self) -> bool:
        return self.accepting and not self._exchanges and not self._waiting

    @property
    def switched(self) -> bool:
        return self._reading == "tunnel"

    def deadline(self) -> float | None:
        return min(self._deadlines.values()) if self._deadlines else None

    # What the hop tells.

    def start(self, now: float) -> Steps:
        self._was_active(now)
        return []

    def receive_data(self, data: bytes, now: float) -> Steps:
        steps: Steps = []
        if self._reading == "closed":
            return steps
        self._reader.feed(data)
        self._read_on(steps, now, read=True)
        return steps

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        steps: Steps = []
        if self._reading == "closed":
            return steps
        # What has arrived is told even to those who had enough for now: there is no later.
        self._lost = True
        self._read_on(steps, 0.0)
        if self._reading != "closed":
            if self._exchanges:
                self._lose_first(self._exchanges[0], reason, clean, steps)
            self._end_all(reason, steps)
            self._closed()
        return steps

    def time_passed(self, now: float) -> Steps:
        steps: Steps = []
        for stage in [stage for stage, when in self._deadlines.items() if when <= now]:
            if self._deadlines.pop(stage, None) is None:  # the one before it ended the connection
                break
            if stage == "keepalive":
                self._keep_alive(now, steps)
            elif stage == "cancelled":
                self._close(steps)
            else:
                self._timed_out(stage, steps)
        return steps

    # What the owner of a stream asks.

    def request(self, stream: object, request: Request, now: float) -> Steps:
        steps: Steps = []
        exchange = Exchange(stream, request, self._options.flow)
        if self._uploading is not None or self._switching is not None:
            self._waiting.append(exchange)
            if not exchange.sent:
                exchange.queued = []
                steps.append(PauseUpload(stream))
        else:
            self._write_request(exchange, steps)
            if self._timed:
                self._was_active(now)
        return steps

    def upgrade(self, stream: object, request: Request, now: float) -> Steps:
        if self._options.version == "HTTP/1.0":
            self._unprocessed.append(stream)
            return [StreamFailed(stream, BadState("Websocket cannot be used over an HTTP/1.0 connection."))]
        return self.request(stream, request, now)

    def connect(self, stream: object, request: Request, now: float) -> Steps:
        if self._exchanges or self._waiting:
            raise BadState("CONNECT can only be used with HTTP/1.1 when no other streams are active.")
        return self.request(stream, request, now)

    def data(self, stream: object, data: bytes, fin: bool, now: float) -> Steps:
        steps: Steps = []
        uploading = self._uploading
        if uploading is not None and uploading.stream is stream:
            self._write_content(uploading, data, fin, steps)
            self._was_active(now)
        else:
            for exchange in self._waiting:
                if exchange.stream is stream and exchange.queued is not None:
                    exchange.queued.append((data, fin))
        return steps

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        steps: Steps = []
        for exchange in self._waiting:
            if exchange.stream is stream:
                self._waiting.remove(exchange)
                return steps
        for exchange in self._exchanges:
            if exchange.stream is stream and not exchange.cancelled:
                exchange.cancelled = True
                self._cancelled += 1
                exchange.drained = drain
                exchange.flow = None
                exchange.held = False
                # A request that stays unfinished leaves no way to send another behind it.
                self._accepting = self._accepting and exchange.sent
                if exchange is not self._exchanges[0] or self._may_drain(exchange, steps):
                    self._read_on(steps, now)
                break
        return steps

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        steps: Steps = []
        exchange = self._exchange_of(stream)
        if exchange is not None and exchange.flow is not None:
            exchange.flow += increment
            self._read_on(steps, now)
        return steps

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        steps: Steps = []
        exchange = self._exchange_of(stream)
        if exchange is not None and exchange.held is not held:
            exchange.held = held
            self._read_on(steps, now)
        return steps

    def hold_sending(self, held: bool, now: float) -> Steps:
        return []  # content is written as it is given; those who give it are paused

    def ping(self, ping: object, now: float) -> Steps:
        raise BadState("HTTP/1.1 has no ping; use the option http_opts.keepalive to keep the connection alive")

    def shutdown(self, now: float) -> Steps:
        steps: Steps = []
        if self._reading == "closed" or "closing" in self._deadlines:
            return steps
        self._closing = True
        self._accepting = False
        if self._reading == "tunnel" and self._exchanges[0].request.tunnels:
            return steps  # what it carries has a closing handshake of its own
        if not self._exchanges or self._reading == "tunnel":
            self._close(steps)
            return steps
        first = self._exchanges.popleft()
        self._end_all(ShuttingDown("the connection was shut down before this request's turn came"), steps)
        self._exchanges.append(first)
        self._forget_upload()
        if self._options.closing_timeout is not None:
            self._deadlines["closing"] = now + self._options.closing_timeout
        return steps

    # Writing.

    def _write_request(self, exchange: Exchange, steps: Steps) -> None:
        request = exchange.request
        if request is self._written:
            head = self._written_head
        else:
            head = encode_head(exchange, self._options)
            if request.tunnels:
                self._switching = exchange
            elif request.body == b"" and not exchange.last:
                self._written, self._written_head = request, head
        self._exchanges.append(exchange)
        self._accepting = self._accepting and not exchange.last
        body = request.body
        if body is None:
            self._uploading = exchange
            steps.append(Write(head))
        elif len(body) <= _JOINED:
            steps.append(Write(head + body))
        else:
            steps.append(Write(head))
            steps.append(Write(body))

    def _write_content(self, exchange: Exchange, data: bytes, fin: bool, steps: Steps) -> None:
        data = encode_content(exchange, data, fin)
        if data:
            steps.append(Write(data))
        if fin and self._reading != "tunnel":
            exchange.sent = True
            self._uploading = None
            self._write_waiting(steps)
        elif fin and exchange.request.tunnels:
            self._end_tunnel(exchange, steps)
            self._close(steps)

    def _write_waiting(self, steps: Steps) -> None:
        while self._waiting and self._uploading is None and self._switching is None and self._accepting:
            exchange = self._waiting.popleft()
            queued, exchange.queued = exchange.queued, None
            self._write_request(exchange, steps)
            if queued is not None:
                steps.append(ResumeUpload(exchange.stream))
            for data, fin in queued or ():
                self._write_content(exchange, data, fin, steps)

    # Reading. Each reader takes what it can and says whether the next one may go on.

    def _read_on(self, steps: Steps, now: float, read: bool = False) -> None:
        while not self._is_held() and _READERS[self._reading](self, steps, now):
            pass
        held = self._is_held()
        if held is not self._paused and not self._lost and self._reading != "closed":
            self._paused = held
            steps.append(Pause() if held else Resume())
        if self._cancelled:
            self._watch_cancelled(now)
        if self._timed:
            self._was_active(now, read=read)

    def _is_held(self) -> bool:
        """Whether the first exchange can take no more for now."""
        if not self._exchanges or self._lost:
            return False
        first = self._exchanges[0]
        return first.held or (first.flow is not None and first.flow <= 0)

    def _read_head(self, steps: Steps, now: float) -> bool:
        if self._heads.skip_blank_line():
            if self._exchanges:
                self._start_header_timeout(now)
            return False
        if not len(self._reader):
            return False
        if not self._exchanges:
            # They would be taken for the answer to the next request, so they are never looked at.
            return self._fail(ProtocolViolation("the server sent bytes that answer no request (unsolicited_response)"), steps)
        try:
            block = self._heads.take()
            if block is None:
                self._start_header_timeout(now)
                return False
            head = parse_head(block, self._options)
        except (ProtocolViolation, LimitReached) as error:
            return self._fail(error, steps)
        self._deadlines.pop("headers", None)
        if head.status < 200:
            return self._take_interim(self._exchanges[0], head, len(block), steps)
        return self._take_final(self._exchanges[0], head, steps)

    def _start_header_timeout(self, now: float) -> None:
        if self._options.header_timeout is not None:
            self._deadlines.setdefault("headers", now + self._options.header_timeout)

    def _take_interim(self, exchange: Exchange, head: Head, size: int, steps: Steps) -> bool:
        if head.status == 101:
            return self._take_switch(exchange, head, steps)
        options = self._options
        exchange.informed += 1
        exchange.informed_size += size
        if exchange.informed > options.max_informational:
            return self._fail(LimitReached("max_informational", options.max_informational), steps)
        if exchange.informed_size > options.max_informational_size:
            return self._fail(LimitReached("max_informational_size", options.max_informational_size), steps)
        if not exchange.cancelled:
            steps.append(Inform(stream=exchange.stream, status=head.status, headers=head.headers))  # type: ignore[arg-type]
        return True

    def _take_switch(self, exchange: Exchange, head: Head, steps: Steps) -> bool:
        """RFC 9110 section 7.8: "a server MUST NOT switch to a protocol that was not indicated by the client"."""
        request = exchange.request
        protocol = switched_protocol(upgrade_fields(request.protocol) or request.headers, head.headers)
        if protocol is None or not exchange.sent or len(self._exchanges) > 1:
            return self._fail(ProtocolViolation("Unexpected 101 Switching Protocols response."), steps)
        if not self._switch(exchange, steps):
            return False
        protocols = (request.protocol or protocol,)  # its case means nothing (RFC 9110 section 7.8)
        steps.append(Upgrade(stream=exchange.stream, protocols=protocols, headers=head.headers))  # type: ignore[arg-type]
        return True

    def _take_tunnel(self, exchange: Exchange, head: Head, steps: Steps) -> bool:
        """RFC 9110 section 9.3.6: "A client MUST ignore any Content-Length or Transfer-Encoding header fields received"."""
        if not self._switch(exchange, steps):
            return False
        event = Response(stream=exchange.stream, fin=False, status=head.status, headers=head.headers, reason=head.reason)  # type: ignore[arg-type]
        steps += event, TunnelOpened(exchange.stream)
        return True

    def _switch(self, exchange: Exchange, steps: Steps) -> bool:
        """The connection carries another protocol from here on; whether anybody still wants that."""
        self._reading = "tunnel"
        self._closing = True
        self._accepting = False
        self._switching = None
        self._refuse_waiting("the whole connection carries another protocol now", steps)
        if exchange.request.tunnels:
            exchange.flow, exchange.held = None, False  # how much may come is for what the tunnel carries to say
        self._uploading = exchange
        exchange.chunked = False
        return not exchange.cancelled or self._may_drain(exchange, steps)

    def _take_final(self, exchange: Exchange, head: Head, steps: Steps) -> bool:
        connect = exchange.request.method == b"CONNECT"
        if connect and head.status < 300:
            return self._take_tunnel(exchange, head, steps)
        try:
            length, chunked, closes = framing_of(head, exchange.request.method)
        except ProtocolViolation as error:
            return self._fail(error, steps)
        if closes and not self._closing:
            self._refuse_others(steps)
        self._closing = self._closing or closes or exchange.last
        self._accepting = self._accepting and not self._closing
        fin = length == 0
        if not exchange.cancelled:
            if connect:
                steps.append(TunnelRefused(exchange.stream, head.status, head.headers))
            event = Response(stream=exchange.stream, fin=fin, status=head.status, headers=head.headers, reason=head.reason)  # type: ignore[arg-type]
            steps.append(event)
        if fin:
            return self._finish(steps)
        self._reading = "content"
        self._content = Chunked(self._options) if chunked else UntilClose() if length is None else ByLength(length)
        return not exchange.cancelled or self._may_drain(exchange, steps)

    def _read_content(self, steps: Steps, now: float) -> bool:
        reader, content, exchange = self._reader, self._content, self._exchanges[0]
        before = len(reader) if exchange.cancelled else 0
        try:
            data = content.read(reader)
        except (ProtocolViolation, LimitReached) as error:
            return self._fail(error, steps)
        exchange.received += len(data)
        if exchange.cancelled:
            exchange.discarded += before - len(reader)
            if not self._may_drain(exchange, steps):
                return False
        else:
            self._tell_content(exchange, data, content, steps)
        return self._finish(steps) if content.done else len(data) > 0

    def _tell_content(self, exchange: Exchange, data: bytes, content: Content, steps: Steps) -> None:
        if data or (content.done and not content.trailers):
            if exchange.flow is not None:
                exchange.flow -= 1
            fin = content.done and not content.trailers
            steps.append(Data(stream=exchange.stream, fin=fin, data=data))  # type: ignore[arg-type]
        if content.trailers:
            steps.append(Trailers(stream=exchange.stream, headers=content.trailers))  # type: ignore[arg-type]

    def _read_tunnel(self, steps: Steps, now: float) -> bool:
        data = self._reader.take(len(self._reader))
        exchange = self._exchanges[0]
        if data and not exchange.cancelled:
            if exchange.flow is not None:
                exchange.flow -= 1
            steps.append(TunnelData(exchange.stream, data))
        return False

    def _may_drain(self, exchange: Exchange, steps: Steps) -> bool:
        """Whether reading goes on: not where a cancelled response would cost more than a new connection."""
        if not exchange.cancelled:
            return True
        left = (self._content.left or 0) if self._reading == "content" else 0
        cheap = exchange.drained or exchange.discarded + left <= self._options.max_cancelled_size
        if exchange.sent and self._reading != "tunnel" and cheap:
            return True
        self._close(steps)
        return False

    def _watch_cancelled(self, now: float) -> None:
        """New requests wait behind a cancelled one: a server that never answers it must not hold them up for ever."""
        limit = self._options.cancel_timeout
        if limit is not None and self._reading != "closed" and self._cancelled == len(self._exchanges):
            self._deadlines.setdefault("cancelled", now + limit)

    # Ends.

    def _finish(self, steps: Steps) -> bool:
        """The first exchange has its whole response."""
        exchange = self._exchanges.popleft()
        self.served = True
        refused = exchange.request.method == b"CONNECT"
        if exchange is self._switching:
            self._switching = None
            self._write_waiting(steps)
        self._reading = "head"
        self._heads.blank_line_allowed = True
        self._deadlines.pop("response", None)
        if exchange.cancelled:
            self._cancelled -= 1
            self._deadlines.pop("cancelled", None)
        # RFC 9112 section 9.3: a server may answer before it has read the whole request; what would follow can then not be told
        # from the next request.
        if self._closing or not exchange.sent:
            self._close(steps)
            return False
        if (exchange.cancelled or refused) and self.accepting:
            steps.append(Accepting())
        if self._exchanges and not self._exchanges[0].sent and not self._may_drain(self._exchanges[0], steps):
            return False
        return len(self._reader) > 0

    def _close(self, steps: Steps) -> None:
        """End the connection in good order."""
        self._end_all(None, steps)
        self._closed()
        steps.append(Close())

    def _fail(self, reason: GunError, steps: Steps) -> bool:
        """End the connection because of what the peer did; the first exchange is told what that was."""
        if self._exchanges and not self._exchanges[0].cancelled:
            first = self._exchanges.popleft()
            self._killed.append(first.stream)
            steps.append(StreamFailed(first.stream, reason))
        self._end_all(reason, steps)
        self._closed()
        steps.append(Close(reason))
        return False

    def _closed(self) -> None:
        self._reading = "closed"
        self._accepting = False
        self._closing = True
        self._uploading = None
        self._deadlines.clear()
        self._reader = Reader()

    def _lose_first(self, first: Exchange, reason: GunError, clean: bool, steps: Steps) -> None:
        """The connection ended during the first exchange: in the middle of a message, or as its end."""
        if self._reading == "head" or first.cancelled:
            return
        self._exchanges.popleft()
        if clean and isinstance(self._content, UntilClose) and self._reading == "content":
            steps.append(Data(stream=first.stream, fin=True, data=b""))  # type: ignore[arg-type]
        elif clean and self._reading == "tunnel":
            steps.append(TunnelClosed(first.stream))
        elif first.request.tunnels and self._reading == "tunnel":
            self._killed.append(first.stream)
            steps.append(StreamFailed(first.stream, reason))
        else:
            left = self._content.left if self._reading == "content" else None
            expected = None if left is None else first.received + left
            self._killed.append(first.stream)
            steps.append(StreamFailed(first.stream, cut_off(reason, first.received, expected)))

    # Time.

    def _was_active(self, now: float, read: bool = False) -> None:
        """Set anew the deadlines that run while nothing happens, or, unless bytes were `read`, while nothing comes."""
        if not self._timed or self._reading == "closed":
            return
        options, first = self._options, self._exchanges[0] if self._exchanges else None
        between = self._reading == "head" and not len(self._reader)
        awaited = first is not None and first.sent and between and not self._paused
        flowing = self._reading == "content" and not self._paused
        if not awaited or "response" not in self._deadlines:
            self._set("response", options.response_timeout if awaited else None, now)
        if read or not flowing or "idle" not in self._deadlines:
            self._set("idle", options.idle_timeout if flowing else None, now)
        # Nor behind a request for another protocol, which an empty line might already be taken for.
        alone = self._uploading is None and self._switching is None
        self._set("keepalive", options.keepalive if alone else None, now)

    def _set(self, stage: str, limit: float | None, now: float) -> None:
        if limit is None:
            self._deadlines.pop(stage, None)
        else:
            self._deadlines[stage] = now + limit

    def _keep_alive(self, now: float, steps: Steps) -> None:
        """RFC 9112 section 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the request-line"."""
        steps.append(Write(b"\r\n"))
        self._set("keepalive", self._options.keepalive, now)

    def _timed_out(self, stage: str, steps: Steps) -> None:
        option = "header_timeout" if stage == "headers" else f"{stage}_timeout"
        self._fail(TimedOut(stage, getattr(self._options, option)), steps)


_READERS = {
    "head": Http1._read_head,
    "content": Http1._read_content,
    "tunnel": Http1._read_tunnel,
}
