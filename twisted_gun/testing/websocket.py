"""
A server in memory that speaks the websocket protocol (RFC 6455, RFC 7692), over HTTP/1.1 and over HTTP/2 (RFC 8441).

How frames are written and judged is in `websocket_frames.py`. Of the client's own code nothing is known here.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, ClassVar, Union

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from twisted_gun.events import Binary, Close, Frame, Headers, Ping, Pong, Text
from twisted_gun.testing.http2 import Http2Peer, Http2Request
from twisted_gun.testing.peers import Peer, PeerRequest, Script
from twisted_gun.testing.websocket_frames import RSV1, ClientFrame, Deflate, Messages, Opcode, content, server_frame
from twisted_gun.wire.frames import END_STREAM, ErrorCode, FrameType

__all__ = ["Handshake", "Http2WebsocketPeer", "WebsocketEnd", "WebsocketPeer", "accept_key"]

#: Fields of a response as the test may write them; None leaves out one that would be sent by default.
Fields = Union[Mapping[Any, Any], Iterable[tuple[Any, Any]]]


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def _deflate_of(response: Headers) -> Deflate | None:
    for extension in _items(tuple((name.lower(), value) for name, value in response), b"sec-websocket-extensions"):
        name, *parameters = [part.strip() for part in extension.decode("latin-1").split(";")]
        if name == "permessage-deflate":
            pairs = [parameter.partition("=") for parameter in parameters]
            return Deflate({key.strip(): value.strip(' "') for key, _, value in pairs})
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The client's opening handshake: `protocols` are the subprotocols it asks for, `extensions` what it offers, as it was written."""

    path: bytes
    authority: bytes
    headers: Headers
    protocols: tuple[bytes, ...]
    extensions: bytes


_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: RFC 6455 section 4.1, of Sec-WebSocket-Extensions; RFC 7692 has no other values than tokens.
_EXTENSION = re.compile(rb"%b(?:[ \t]*;[ \t]*%b(?:=(?:%b|\"%b\"))?)*" % ((_TOKEN.pattern,) * 4))


def _handshake(path: bytes, authority: bytes, headers: Headers) -> Handshake:
    """RFC 6455 section 4.1, as far as it is the same over every version of HTTP."""
    assert path.startswith(b"/") and b"#" not in path, f"no path: {path!r}"
    assert authority, "no host"
    assert _values(headers, b"sec-websocket-version") == [b"13"], "Sec-WebSocket-Version is not 13, or not there once"
    protocols = _items(headers, b"sec-websocket-protocol")
    assert len(set(protocols)) == len(protocols), f"a subprotocol twice: {protocols!r}"
    assert all(map(_TOKEN.fullmatch, protocols)), f"a subprotocol that is no token: {protocols!r}"
    extensions = _items(headers, b"sec-websocket-extensions")
    assert all(map(_EXTENSION.fullmatch, extensions)), f"extensions that are malformed: {extensions!r}"
    return Handshake(path=path, authority=authority, headers=headers, protocols=tuple(protocols), extensions=b", ".join(extensions))


def _upgrade_request(request: PeerRequest) -> Handshake:
    """RFC 6455 section 4.1: the client's request over HTTP/1.1."""
    assert request.method == b"GET", f"an opening handshake is a GET, not {request.method!r}"
    assert b"websocket" in _tokens(request.headers, b"upgrade"), "no Upgrade: websocket"
    assert b"upgrade" in _tokens(request.headers, b"connection"), "no Connection: Upgrade"
    hosts = _values(request.headers, b"host")
    assert len(hosts) == 1, f"host: {hosts!r}"
    _key(request.headers)
    path = re.sub(rb"\Ahttps?://[^/]*", b"", request.target)  # the absolute form, as to a proxy
    return _handshake(path, hosts[0], request.headers)


def _key(headers: Headers) -> bytes:
    keys = _values(headers, b"sec-websocket-key")
    assert len(keys) == 1, f"Sec-WebSocket-Key: {keys!r}"
    try:
        nonce = b64decode(keys[0], validate=True)
    except Base64Error:
        nonce = b""
    assert len(nonce) == 16, f"Sec-WebSocket-Key is not 16 bytes in base64: {keys[0]!r}"
    return keys[0]


def _extended_connect(request: Http2Request, fields: Headers) -> Handshake:
    """RFC 8441 sections 4 and 5: the client's request over HTTP/2."""
    assert (b":protocol", b"websocket") in fields, "another :protocol than websocket"
    assert request.method == b"CONNECT", f":protocol goes with CONNECT, not with {request.method!r}"
    assert request.scheme in (b"http", b"https"), f":scheme {request.scheme!r}"
    names = {name for name, _ in request.headers}
    unwanted = names & {b"connection", b"upgrade", b"host", b"sec-websocket-key", b"content-length"}
    assert not unwanted, f"fields that an extended CONNECT does not have: {sorted(unwanted)}"
    return _handshake(request.path, request.authority, request.headers)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _items(headers: Headers, name: bytes) -> list[bytes]:
    return [item.strip() for value in _values(headers, name) for item in value.split(b",")]


def _tokens(headers: Headers, name: bytes) -> list[bytes]:
    return [item.lower() for item in _items(headers, name)]


class WebsocketEnd(Peer):
    """
    The server's end of one websocket, over whatever carries its bytes: `WebsocketPeer`, or a stream of `Http2WebsocketPeer`.

    It checks the opening handshake and accepts it, with `subprotocol`, `extensions` and further `headers`, or refuses it with the
    status `refuse` (and `headers`). The parameters of permessage-deflate in `extensions` are those it then goes by. Of what the
    client sends it insists on RFC 6455 and RFC 7692: AssertionError is raised, which fails the test, where they are broken.

    By itself it answers Ping unless `answer_pings` is false, answers Close unless `answer_close` is false, and closes the connection
    (over HTTP/2 the stream) after Close has gone both ways unless `hang_up` is false; with `echo` it sends each message back. All
    four may be changed at any time.

    By hand: `send`, `send_raw`, `close`, `drop`, and `abort`. By `script`, a sequence of steps which begins with the handshake:

    - ``("expect", frame)``: wait until such a frame is among those since the last expectation; str stands for Text, bytes for Binary;
    - ``("expect", gun.Close)``, ``("expect", predicate)``: likewise for a frame of that type, or one that the predicate is true of;
    - ``("send", frame)``, ``("send_raw", b"...")``, ``("close", 1000, "bye")``, ``("drop",)``, ``("abort",)``: as the methods;
    - ``("accept",)``, ``("refuse", 403)``, ``("respond", 200)``: as the methods, each when a request has come that is not answered yet.
      Where a script has one of these no handshake is accepted but by them; so it is with ``accept=False``.

    Or `script` is a callable: it is called with this object each time bytes have arrived.
    """

    VERBS: ClassVar[frozenset[str]] = (Peer.VERBS - {"pause"}) | {"accept", "refuse", "respond", "send_raw", "drop"}
    _ANSWERS: ClassVar[frozenset[str]] = frozenset({"accept", "refuse", "respond"})

    def __init__(
        self,
        script: Script = (),
        *,
        accept: bool = True,
        refuse: int | None = None,
        subprotocol: str | bytes | None = None,
        extensions: str | bytes | None = None,
        headers: Fields = (),
        echo: bool = False,
        answer_pings: bool = True,
        answer_close: bool = True,
        hang_up: bool = True,
    ) -> None:
        super().__init__(script)
        self.echo, self.answer_pings, self.answer_close, self.hang_up = echo, answer_pings, answer_close, hang_up
        #: Messages, whole, and control frames that the client has sent, in order.
        self.frames: list[Frame] = []
        #: The client's latest handshake; whether it waits for an answer, and whether it was accepted.
        self.handshake: Handshake | None = None
        self.pending = self.accepted = False
        #: The Close of each side.
        self.sent_close: Close | None = None
        self.received_close: Close | None = None
        self._by_itself = accept and not any(step[0] in self._ANSWERS for step in self._steps)
        self._refusal = refuse
        self._response: tuple[str | bytes | None, str | bytes | None, Fields] = (subprotocol, extensions, headers)
        self._messages = Messages()
        self._examined = 0

    @property
    def raw_frames(self) -> list[ClientFrame]:
        """Every frame of the client so far, as it was sent: fragments, masks and reserved bits."""
        return self._messages.raw

    # What the test says.

    def accept(self, subprotocol: str | bytes | None = None, extensions: str | bytes | None = None, headers: Fields = ()) -> None:
        """
        Accept the handshake; what is left out is as it was said when the peer was made.

        A value None in `headers` leaves out a field that would be sent, another replaces it: for servers that do it wrong.
        """
        assert self.pending and self.handshake is not None, "there is no handshake to accept"
        first = self._response
        chosen, agreed = subprotocol or first[0], extensions or first[1]
        defaults = [*self._own_fields(), ("sec-websocket-protocol", chosen), ("sec-websocket-extensions", agreed)]
        fields = _merged(defaults, headers or first[2])
        self._messages.deflate = _deflate_of(fields)
        self.pending, self.accepted = False, True
        self._send_acceptance(fields)

    def refuse(self, status: int = 403, headers: Fields = (), body: bytes = b"") -> None:
        """Refuse the handshake by a response; the next one is awaited then."""
        assert self.pending and self.handshake is not None, "there is no handshake to refuse"
        self.respond(status, headers or self._response[2], body)

    def respond(self, status: int = 200, headers: Fields = (), body: bytes = b"") -> None:
        """Answer the request, which may be another than a handshake."""
        assert self.pending, "there is no request to answer"
        self.pending = False
        self._send_response(status, _merged([("content-length", len(body))], headers), body)

    def send(self, frame: Frame | str | bytes, piece: int | None = None, compress: bool | None = None) -> None:
        """
        Send a frame; str is sent as Text, bytes as Binary.

        A message goes in fragments of at most `piece` bytes, in one by default, and compressed where that was negotiated, unless
        `compress` says otherwise.
        """
        opcode, payload = content(frame)
        rsv, deflate = 0, self._messages.deflate
        if deflate is not None and opcode < Opcode.CLOSE and compress is not False:
            payload, rsv = deflate.compress(payload), RSV1
        if isinstance(frame, Close):
            self.sent_close = frame
        pieces = [payload] if piece is None else [payload[at : at + piece] for at in range(0, len(payload) or 1, piece)]
        for number, part in enumerate(pieces):
            first, last = number == 0, number == len(pieces) - 1
            self.send_raw(server_frame(opcode if first else Opcode.CONTINUATION, part, fin=last, rsv=rsv if first else 0))
        self._hang_up_when_closed()

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, such as those of `server_frame`."""
        self.transport.write(data)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Send a Close."""
        self.send(Close(code, reason))

    def drop(self) -> None:
        """Close the connection, over HTTP/2 the stream, after what was sent, without a Close."""
        self.transport.loseConnection()

    # Receiving.

    def connectionMade(self) -> None:
        """A server says nothing before the handshake."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.lost is None:
            super().connectionLost(reason)

    def _asked(self, handshake: Handshake | None) -> None:
        """A request has arrived, perhaps another than a handshake."""
        self.handshake, self.pending = handshake, True
        if self._refusal is not None:
            self.refuse(self._refusal)
        elif self._by_itself:
            self.accept()

    def _take(self, data: bytes) -> None:
        assert self.accepted or not data, f"data before the handshake was accepted: {data[:64]!r}"
        for frame in self._messages.take(data):
            self.frames.append(frame)
            self._react(frame)

    def _react(self, frame: Frame) -> None:
        if isinstance(frame, Ping) and self.answer_pings:
            self.send(Pong(frame.data))
        elif isinstance(frame, Close):
            self.received_close = frame
            if self.answer_close and self.sent_close is None:
                self.close(frame.code)
            else:
                self._hang_up_when_closed()
        elif isinstance(frame, (Text, Binary)) and self.echo and self.sent_close is None:
            self.send(frame)

    def _hang_up_when_closed(self) -> None:
        """RFC 6455 section 7.1.1: the server closes the connection first."""
        if self.hang_up and self.sent_close is not None and self.received_close is not None:
            self.drop()

    # The script.

    def _go_on(self) -> None:
        while self._steps and self._can_do(*self._steps[0]):
            verb, *arguments = self._steps.popleft()
            if verb != "expect":
                self._do(verb, arguments)

    def _can_do(self, verb: str, *arguments: Any) -> bool:
        if verb == "expect":
            return self._arrived(arguments[0])
        return self.pending if verb in self._ANSWERS else self.pending or self.accepted

    def _arrived(self, expected: Any) -> bool:
        for number, frame in enumerate(self._since()):
            if _is(frame, expected):
                self._examined += number + 1
                return True
        return False

    def _since(self) -> list[Frame]:
        return self.frames[self._examined :]

    # What the heir does.

    def _own_fields(self) -> list[tuple[Any, Any]]:
        """Fields of the response that accepts, besides those which are the same over every version of HTTP."""
        return []

    def _send_acceptance(self, fields: Headers) -> None:
        """Send the response that accepts, with these fields."""
        raise NotImplementedError

    def _send_response(self, status: int, fields: Headers, body: bytes) -> None:
        """Send any other response."""
        raise NotImplementedError


class WebsocketPeer(WebsocketEnd):
    """
    A server in memory that speaks the websocket protocol over HTTP/1.1: see `WebsocketEnd` for its options, methods and script.

    `requests` are the heads of the requests so far. One that is no handshake fails the test where handshakes are answered by
    themselves, else `respond` answers it. `end` is this object, as it is the end of a stream with `Http2WebsocketPeer`.
    """

    VERBS: ClassVar[frozenset[str]] = WebsocketEnd.VERBS | {"pause"}

    def __init__(self, script: Script = (), **options: Any) -> None:
        super().__init__(script, **options)
        self.requests: list[PeerRequest] = []
        self._early = bytearray()  # what has arrived behind the last request

    @property
    def end(self) -> WebsocketEnd:
        """This object."""
        return self

    def _take(self, data: bytes) -> None:
        if self.accepted:
            super()._take(data)
            return
        # RFC 6455 section 4.1: "the client MUST wait for a response from the server before sending any further data"
        assert not (self.pending and self.handshake), f"data before the handshake was answered: {data[:64]!r}"
        self._early += data
        self._next_request()

    def _next_request(self) -> None:
        while not (self.pending or self.accepted) and (end := self._early.find(b"\r\n\r\n")) >= 0:
            request = _request(bytes(self._early[:end]))
            del self._early[: end + 4]
            self.requests.append(request)
            if not self._by_itself and b"upgrade" not in dict(request.headers):
                self._asked(None)
                continue
            handshake = _upgrade_request(request)
            assert not self._early, f"data before the handshake was answered: {bytes(self._early[:64])!r}"
            self._asked(handshake)

    def _own_fields(self) -> list[tuple[Any, Any]]:
        accepted = accept_key(_key(self.requests[-1].headers))
        return [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accepted)]

    def _send_acceptance(self, fields: Headers) -> None:
        self.send_raw(_head(101, fields))

    def _send_response(self, status: int, fields: Headers, body: bytes) -> None:
        self.send_raw(_head(status, fields) + body)
        self._next_request()


class Http2WebsocketPeer(Http2Peer):
    """
    An `Http2Peer` with a websocket in each stream that an extended CONNECT opens (RFC 8441).

    `end` is the latest of these, a `WebsocketEnd`, and there is one before the first handshake; `ends` are all of them. `script` and
    the options that are not those of `Http2Peer` are given to each. A stream that the client ends is ended by the server too, unless
    the end's `hang_up` is false. Other requests are answered as with `Http2Peer`, whose ``send``, ``close`` and so on are still those
    of the connection, as `frames` is.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        settings: Mapping[str, int] | None = None,
        open_windows: bool = True,
        acknowledge: bool = True,
        **options: Any,
    ) -> None:
        settings = {"enable_connect_protocol": 1, **(settings or {})}
        super().__init__(settings=settings, open_windows=open_windows, acknowledge=acknowledge)
        self._make_end: Callable[[], _StreamEnd] = lambda: _StreamEnd(script, **options)
        self.ends: list[WebsocketEnd] = []
        self._free = self._new_end()
        self._joined: dict[int, _StreamEnd] = {}
        self._allowed = False

    @property
    def end(self) -> WebsocketEnd:
        """The end of the latest websocket."""
        return self.ends[-1]

    def verify(self) -> None:
        for end in self.ends:
            end.verify()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        for end in list(self._joined.values()):
            end.connectionLost(reason)

    def _new_end(self) -> _StreamEnd:
        self.ends.append(end := self._make_end())
        return end

    def _acknowledged(self, values: Mapping[str, int]) -> None:
        super()._acknowledged(values)
        self._allowed = self._allowed or values.get("enable_connect_protocol") == 1

    def _take_fields(self, stream_id: int, fields: Headers, fin: bool) -> None:
        super()._take_fields(stream_id, fields, fin)
        if stream_id <= self._accepted and any(name == b":protocol" for name, _ in fields):
            # RFC 8441 section 3: a sender must have received SETTINGS_ENABLE_CONNECT_PROTOCOL of 1
            assert self._allowed, "an extended CONNECT before SETTINGS_ENABLE_CONNECT_PROTOCOL was acknowledged"
            assert not fin, "an extended CONNECT that ends its stream"
            self._join(self._known[stream_id], fields)

    def _join(self, request: Http2Request, fields: Headers) -> None:
        handshake = _extended_connect(request, fields)
        end = self._free if not (self._free.pending or self._free.accepted) else self._new_end()
        self._free = self._joined[request.stream_id] = end
        end.join(_StreamTransport(self, request, end), handshake)

    def _leave(self, request: Http2Request) -> None:
        """The end in this stream has refused, and waits for the next one."""
        del self._joined[request.stream_id]

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        super()._take_frame(kind, flags, stream_id, payload)
        end = self._joined.get(stream_id)
        if end is None or end.lost is not None:
            return
        if kind == FrameType.DATA and payload:
            end.dataReceived(payload)
        if kind == FrameType.RST_STREAM:
            end.connectionLost(Failure(ConnectionLost()))
        elif flags & END_STREAM and kind in (FrameType.DATA, FrameType.HEADERS):
            end.connectionLost()
            if end.hang_up:
                end.drop()


class _StreamEnd(WebsocketEnd):
    """The end of a websocket in a stream of HTTP/2."""

    def join(self, transport: _StreamTransport, handshake: Handshake) -> None:
        """The stream is this one's from now on."""
        self.makeConnection(transport)  # type: ignore[no-untyped-call]
        self._asked(handshake)
        self.dataReceived(b"")  # the script may go on

    def _send_acceptance(self, fields: Headers) -> None:
        self.transport.send_head(200, fields)

    def _send_response(self, status: int, fields: Headers, body: bytes) -> None:
        self.transport.refuse(status, fields, body)


class _StreamTransport:
    """A stream of HTTP/2 in the place of a connection; RFC 8441 section 5: END_STREAM is FIN, RST_STREAM with CANCEL is RST."""

    def __init__(self, peer: Http2WebsocketPeer, request: Http2Request, end: _StreamEnd) -> None:
        self._peer, self._request, self._end = peer, request, end
        self._ended = False

    def send_head(self, status: int, fields: Headers) -> None:
        """Begin the response."""
        self._peer.send_headers(self._request, [(b":status", b"%d" % status), *fields])

    def refuse(self, status: int, fields: Headers, body: bytes) -> None:
        """Send a whole response."""
        self._peer._leave(self._request)
        self._peer.respond(self._request, status, fields, body)

    def write(self, data: bytes) -> None:
        self._peer.send_data(self._request, data)

    def loseConnection(self) -> None:
        if not self._ended:
            self._ended = True
            self._peer.send_data(self._request, b"", fin=True)

    loseWriteConnection = loseConnection

    def abortConnection(self) -> None:
        self._peer.reset(self._request, ErrorCode.CANCEL)
        self._end.connectionLost(Failure(ConnectionAborted()))


def _request(head: bytes) -> PeerRequest:
    first, *lines = head.split(b"\r\n")
    start = re.fullmatch(rb"(\S+) (\S+) HTTP/1\.1", first)
    assert start, f"no request of HTTP/1.1: {first!r}"
    fields = [re.fullmatch(rb"([^\s:]+):[ \t]*(.*?)[ \t]*", line) for line in lines]
    assert all(fields), f"malformed fields: {lines!r}"
    headers = tuple((field[1].lower(), field[2]) for field in fields if field)
    assert not {b"content-length", b"transfer-encoding"} & dict(headers).keys(), "a request with content"
    return PeerRequest(start[1], start[2], headers, b"", complete=True)


def _head(status: int, fields: Headers) -> bytes:
    return b"HTTP/1.1 %d \r\n%b\r\n" % (status, b"".join([b"%b: %b\r\n" % field for field in fields]))


def _merged(defaults: list[tuple[Any, Any]], further: Fields) -> Headers:
    pairs = list(further.items() if isinstance(further, Mapping) else further)
    replaced = {_bytes(name).lower() for name, _ in pairs}
    kept = [(name, value) for name, value in defaults if _bytes(name) not in replaced]
    return tuple((_bytes(name), _bytes(value)) for name, value in (*kept, *pairs) if value is not None)


def _bytes(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def _is(frame: Frame, expected: Any) -> bool:
    """Whether a step expects this frame."""
    if isinstance(expected, type):
        return isinstance(frame, expected)
    if isinstance(expected, (str, bytes)):
        return frame == (Text(expected) if isinstance(expected, str) else Binary(expected))
    return bool(expected(frame)) if callable(expected) else frame == expected
