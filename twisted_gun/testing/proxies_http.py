"""
The two versions of HTTP that proxies speak: which tunnels and requests they are asked for, and what they answer.

How the streams of HTTP/2 become clients is in `proxies_http2.py`; what a proxy connects to is in `proxies_onward.py`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from twisted_gun.errors import LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.testing.proxies_http2 import Http2Server, Http2Stream
from twisted_gun.testing.proxies_onward import (
    MARK,
    OPTIONS,
    Client,
    Connection,
    ForwardedRequest,
    Forwarding,
    Onward,
    Proxy,
    Speaker,
    Tunnel,
    TunnelEnd,
    end_to_end,
)
from twisted_gun.wire.content import ByLength, Chunked, Content
from twisted_gun.wire.core import Reader
from twisted_gun.wire.frames import ErrorCode
from twisted_gun.wire.response import content_length, ends_connection, fields

__all__ = ["Http1", "Http2"]

#: The largest head of a request, in bytes, and the most fields in it.
_HEAD, _FIELDS = 65_536, 1000

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.([01])")
_ABSOLUTE_FORM = re.compile(rb"(?i:http)://([^/?#]*)([^#]*)")
_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([!$%&'()*+,;=\-.0-9A-Z_a-z~]+))(?::([0-9]{1,5}))?")
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_CHALLENGE = (b"proxy-authenticate", b'Basic realm="proxy"')


class _Http(Speaker):
    """What both versions of HTTP have in common."""

    def connect(self, client: Client, authority: bytes, headers: Headers, answer: _HttpAnswer) -> TunnelEnd | None:
        """The tunnel that is asked for, yet to be dialled; None where it was refused."""
        place = _place(authority, 0)
        if place is None:
            answer.refuse(400)
            return None
        user, refused = self._judge(headers)
        tunnel = answer.record = Tunnel(host=place[0], port=place[1], headers=headers, user=user)
        self.connection.tunnels.append(tunnel)
        if refused is not None:
            answer.refuse(refused)
            return None
        return TunnelEnd(client, partial(self.proxy.dial, *place), tunnel, answer.establish, answer.failed)

    def forward(
        self, client: Client, method: bytes, target: bytes, headers: Headers, answer: _HttpAnswer, chunked: bool
    ) -> Forwarding | None:
        """The connection for a request that is to be forwarded, yet to be dialled; None where it was refused."""
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        place = _place(absolute[1], 80) if absolute is not None else None
        if absolute is None or place is None:
            answer.refuse(400)
            return None
        user, refused = self._judge(headers)
        request = answer.record = ForwardedRequest(method=method, target=target, headers=headers, user=user)
        self.connection.requests.append(request)
        if refused is not None:
            answer.refuse(refused)
            return None
        head = _origin_head(method, absolute[1], absolute[2], headers, chunked)
        return Forwarding(client, partial(self.proxy.dial, *place), request, head, chunked, answer)

    def _judge(self, headers: Headers) -> tuple[str | None, int | None]:
        """The user who asks, and the status by which it is refused."""
        credentials = _basic_credentials(headers)
        wanted = self.proxy.credentials
        refused = self.proxy.refuse if wanted is None or credentials == wanted else 407
        return credentials and credentials[0], refused


class _HttpAnswer:
    """The answer to one request, whatever it asked for; see `proxies_onward.Answer`."""

    def __init__(self) -> None:
        self.record: Tunnel | ForwardedRequest | None = None
        self.started = False

    def refuse(self, status: int) -> None:
        """Refuse the request, and say why."""
        asked_for_fields = isinstance(self.record, ForwardedRequest) and self.record.method == b"HEAD"
        text = b"" if asked_for_fields else b"The proxy says: %d %b\n" % (status, _phrase(status))
        said: Headers = ((b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)))
        if self.record is not None:
            self.record.status = status
        self.respond(status, (_CHALLENGE, *said) if status == 407 else said, True)
        self.content(text)
        self.end()

    def establish(self) -> None:
        """Say that the tunnel is there."""
        assert self.record is not None
        self.record.status = 200
        self.started = True

    def failed(self) -> None:
        """What the request is for cannot be reached, or was lost."""
        if self.started:
            self.abort()
        else:
            self.refuse(502)

    def inform(self, status: int, headers: Headers) -> None:
        raise NotImplementedError

    def respond(self, status: int, headers: Headers, bounded: bool) -> None:
        raise NotImplementedError

    def content(self, data: bytes) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """Show that the response is not complete."""
        raise NotImplementedError


class Http1(_Http):
    """HTTP/1.1 (RFC 9112), one request after another."""

    def __init__(self, connection: Connection, proxy: Proxy) -> None:
        super().__init__(connection, proxy)
        self._reader = Reader()
        self._content: Content | None = None  # of the request; None for CONNECT
        self._busy = False  # a request is being answered
        self._reading = self._closing = False

    def received(self, data: bytes) -> None:
        if isinstance(self.onward, TunnelEnd):
            self.onward.received(data)
        elif not self._closing:
            self._reader.feed(data)
            self._read_on()

    def ended(self) -> None:
        if isinstance(self.onward, Forwarding) and self._content is not None and self._content.done:
            self._closing = True  # behind the response
        else:
            super().ended()

    def answered(self, last: bool) -> None:
        """The response is complete; with `last` it was the last one."""
        if self._closing or last or (self._content is not None and not self._content.done):
            self._closing = True
            self.connection.finish(receiving=False)
        self.onward = self._content = None
        self._busy = False
        self._read_on()

    def spoilt(self) -> bool:
        """Whether the client has sent more than it could know to be wanted, so that what would be read next is no request."""
        if isinstance(self.onward, TunnelEnd):
            return bool(self.onward.early)
        return bool(self._reader) if self._content is None else not self._content.done

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            while not self._closing and self._read():
                pass
            self._reading = False
            self.connection.hold(len(self._reader) > MARK)  # requests that have to wait for their turn

    def _read(self) -> bool:
        """Read the next thing; whether there may be another one."""
        if not self._busy:
            return self._read_head()
        onward, content = self.onward, self._content
        if isinstance(onward, TunnelEnd):
            if self._reader:
                onward.received(self._reader.take(len(self._reader)))
        elif content is not None and onward is not None and not content.done:
            return self._read_content(content, onward)
        return False

    def _read_head(self) -> bool:
        answer = _Http1Answer(self)
        try:
            block = self._reader.until(b"\r\n\r\n", _HEAD, "head")
            if block is None:
                return False
            self._busy = True
            self._asked(_parse(block), answer)
        except (LimitReached, ProtocolViolation) as error:
            answer.last = True
            answer.refuse(431 if isinstance(error, LimitReached) else 400)
        return True

    def _read_content(self, content: Content, onward: Onward) -> bool:
        try:
            piece = content.read(self._reader)
        except (LimitReached, ProtocolViolation):
            onward.cut()
            self._closing = True
            self.connection.abort()
            return False
        if piece:
            onward.received(piece)
        if content.done:
            onward.ended()
        return bool(piece)

    def _asked(self, request: _Asked, answer: _Http1Answer) -> None:
        answer.minor, answer.last = request.minor, ends_connection(request.headers, f"HTTP/1.{request.minor}")
        if request.method == b"CONNECT":
            self.onward = self.connect(self.connection, request.target, request.headers, answer)
        else:
            self._content, chunked = _content_of(request.headers)
            self.onward = self.forward(self.connection, request.method, request.target, request.headers, answer, chunked)
        if self.onward is not None:
            self.onward.dial()


class _Http1Answer(_HttpAnswer):
    """An answer over HTTP/1.1: the `last` one on its connection, or not."""

    def __init__(self, speaker: Http1) -> None:
        super().__init__()
        self.minor, self.last = 1, False
        self._speaker, self._write = speaker, speaker.connection.write
        self._chunked = self._until_close = False

    def refuse(self, status: int) -> None:
        self.last = self.last or self._speaker.spoilt()
        super().refuse(status)

    def establish(self) -> None:
        super().establish()
        self._write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def inform(self, status: int, headers: Headers) -> None:
        if self.minor:
            self._write(_head(status, headers))

    def respond(self, status: int, headers: Headers, bounded: bool) -> None:
        self.started = True
        self._chunked = not bounded and self.minor == 1
        if self._chunked:
            headers = (*headers, (b"transfer-encoding", b"chunked"))
        self._until_close = not (bounded or self._chunked)
        self.last = self.last or self._until_close
        if self.last:
            headers = (*headers, (b"connection", b"close"))
        self._write(_head(status, headers))

    def content(self, data: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        if self._chunked:
            self._write(b"0\r\n\r\n")
        self._speaker.answered(self.last)

    def abort(self) -> None:
        if self._until_close:
            self._speaker.connection.abort()
        else:
            self._speaker.answered(last=True)


class Http2(_Http):
    """HTTP/2 (RFC 9113), each request on a stream."""

    def start(self) -> None:
        self._server = Http2Server(self.connection.transport, self._asked, self.proxy.chunk)
        self._server.start()

    def received(self, data: bytes) -> None:
        self._server.receive(data)

    def ended(self) -> None:
        self._server.lost()
        self.connection.finish(receiving=False)

    def lost(self, clean: bool) -> None:
        self._server.lost()

    def _asked(self, stream: Http2Stream, fields: Headers) -> None:
        pseudo = {name: value for name, value in fields if name.startswith(b":")}
        headers = tuple(pair for pair in fields if pair[0] not in pseudo)
        method, authority = pseudo[b":method"], pseudo.get(b":authority", b"")
        answer = _Http2Answer(stream)
        onward: Onward | None = None
        if b":protocol" in pseudo:
            answer.refuse(501)
        elif method == b"CONNECT":
            stream.connected = True
            onward = self.connect(stream, authority, headers, answer)
        else:
            target = b"%b://%b%b" % (pseudo[b":scheme"], authority, pseudo[b":path"].removeprefix(b"*"))
            chunked = not stream.ended and not any(name == b"content-length" for name, _ in headers)
            onward = self.forward(stream, method, target, headers, answer, chunked)
        if onward is not None:
            stream.receiver = onward
            onward.dial()


class _Http2Answer(_HttpAnswer):
    """An answer over HTTP/2."""

    def __init__(self, stream: Http2Stream) -> None:
        super().__init__()
        self._stream = stream
        self.inform, self.content = stream.respond, stream.write  # type: ignore[method-assign]

    def establish(self) -> None:
        super().establish()
        self._stream.respond(200)

    def respond(self, status: int, headers: Headers, bounded: bool) -> None:
        self.started = True
        self._stream.respond(status, headers)

    def end(self) -> None:
        self._stream.finish(receiving=False)

    def abort(self) -> None:
        self._stream.abort(ErrorCode.INTERNAL_ERROR)


class _Asked(NamedTuple):
    """The head of a request of HTTP/1; `minor` is the 1 of HTTP/1.1."""

    method: bytes
    target: bytes
    minor: int
    headers: Headers


def _parse(block: bytes) -> _Asked:
    first, _, rest = block.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise ProtocolViolation(f"expected a request line, not {first[:64]!r}")
    asked = _Asked(match[1], match[2], int(match[3]), fields(rest, _FIELDS, "fields"))
    names = [name for name, _ in asked.headers]
    # RFC 9112 section 3.2: 400 to a request of HTTP/1.1 "that lacks a Host header field", and to any with more than one.
    if names.count(b"host") > 1 or (asked.minor and b"host" not in names):
        raise ProtocolViolation("not one Host")
    # RFC 9110 section 9.3.6: "A CONNECT request message does not have content."
    if asked.method == b"CONNECT" and (b"content-length" in names or b"transfer-encoding" in names):
        raise ProtocolViolation("CONNECT with content")
    return asked


def _content_of(headers: Headers) -> tuple[Content, bool]:
    """How the content of a request is read, and whether it is in chunks."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if not codings:
        return ByLength(content_length(b",".join(lengths)) if lengths else 0), False
    if lengths or b",".join(codings).strip().lower() != b"chunked":
        raise ProtocolViolation("a length and a coding, or a coding other than chunked")
    return Chunked(OPTIONS), True


def _origin_head(method: bytes, authority: bytes, path: bytes, headers: Headers, chunked: bool) -> bytes:
    """The head of a request as an origin gets it: RFC 9112 section 3.2.1, and RFC 9110 section 7.6."""
    if not path.startswith(b"/"):
        path = b"/" + path if path or method != b"OPTIONS" else b"*"
    own = [(b"via", b"1.1 proxy"), (b"connection", b"close"), *([(b"transfer-encoding", b"chunked")] if chunked else [])]
    passed_on = [pair for pair in end_to_end(headers) if pair[0] != b"host"]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, _lines([(b"host", authority), *passed_on, *own]))


def _head(status: int, headers: Headers) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, _phrase(status), _lines(headers))


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def _phrase(status: int) -> bytes:
    return _PHRASES.get(status, b"")


def _place(authority: bytes, default: int) -> tuple[str, int] | None:
    """The host and port that an authority names."""
    match = _AUTHORITY.fullmatch(authority)
    port = int(match[3] or default) if match is not None else 0
    return ((match[1] or match[2]).decode(), port) if match is not None and 0 < port < 1 << 16 else None


def _basic_credentials(headers: Headers) -> tuple[str, str] | None:
    """RFC 7617."""
    values = [value for name, value in headers if name == b"proxy-authorization"]
    scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon and scheme.lower() == b"basic" else None
