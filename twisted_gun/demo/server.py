"""
The servers of the demo: they listen on 127.0.0.1, have certificates made on the fly, and can die and come back.

An origin speaks just the HTTP/1.1 that the demo asks for, or the HTTP/2 of `twisted_gun.testing`, whose websockets serve with either. Of
the client nothing is known here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IPullProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import Certificate
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.testing import Http2Request, Http2WebsocketPeer, Opcode, WebsocketEnd, WebsocketPeer

__all__ = [
    "DOWNLOAD",
    "FEED",
    "GREETING",
    "HALF",
    "NAME",
    "PIECE",
    "REFUSAL",
    "SUBPROTOCOL",
    "Http2Answering",
    "Origin",
    "Server",
    "serve_websocket",
]

GREETING = b"Hello from a server of twisted_gun's own.\n"

#: What the servers are called where a proxy looks up the name (RFC 2606: nobody else does).
NAME = "origin.example"

#: What a download is made of, how much it is, and where the one that will not end stops, in bytes.
PIECE = bytes(range(256)) * 256
DOWNLOAD = 256 * len(PIECE)
HALF = 4 * len(PIECE)

#: The subprotocol of the chat, what the refusal says, and how many items of the feed come at once.
SUBPROTOCOL = "greetings"
REFUSAL = b"Members only.\n"
FEED = 3


class Server:
    """
    Something that listens on 127.0.0.1, and can die and come back; `port` is where it listens once `start` was called.

    With an ALPN `protocol` it speaks TLS, and `trust` is the certificate to trust, for 127.0.0.1 and for `NAME`; otherwise None. The
    protocols that `factory` builds, whose `server` this is, are in `connections` as long as they are connected, and have a `gone` that
    fires at the end of that.
    """

    port = 0

    def __init__(self, reactor: Any, factory: Any, protocol: bytes | None = None) -> None:
        self._reactor = reactor
        self.connections: set[Any] = set()
        self._factory = factory
        self._factory.noisy, self._factory.server = False, self
        self._listening: Any = None
        self.trust: Any = None
        if protocol is not None:
            certificate, key = _make_certificate()
            trusted: Any = Certificate
            self.trust = trusted(X509.from_cryptography(certificate))
            self._factory = TLSMemoryBIOFactory(_Creator(certificate, key, protocol), False, self._factory)

    def start(self) -> None:
        """Listen: first on a port that is free, then on the same again."""
        self._listening = self._reactor.listenTCP(self.port, self._factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    async def die(self) -> None:
        """Stop listening, and drop every connection in the middle of whatever it does."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        for connection in list(self.connections):
            gone = connection.gone
            connection.transport.abortConnection()
            await gone


class Origin(Server):
    """
    An origin, over TLS.

    ``/greeting`` greets, ``/upload`` gives the SHA-256 digest of what is posted, ``/hints`` answers with Early Hints (RFC 8297)
    and trailers, ``/download`` sends `DOWNLOAD` bytes, ``/half`` promises as much and sends `HALF`. Websockets are
    as `serve_websocket` has them. With `http2` that is all it speaks, as `Http2Answering` has it.
    """

    def __init__(self, reactor: Any, http2: bool = False) -> None:
        answering: Any = Http2Answering if http2 else _Answering
        super().__init__(reactor, Factory.forProtocol(answering), b"h2" if http2 else b"http/1.1")

    def unsent(self, path: str) -> int:
        """How many bytes of the answers to `path` wait for the client's windows of HTTP/2."""
        waiting = [peer for peer in self.connections if isinstance(peer, Http2Answering)]
        return sum(peer.unsent(request) for peer in waiting for request in peer.requests if request.path == path.encode())

    def message_sizes(self) -> list[int]:
        """The sizes of the messages that came by websockets over HTTP/1.1 which still run, in bytes and as they were sent: compressed."""
        running = [peer.websocket for peer in self.connections if isinstance(peer, _Answering) and peer.websocket is not None]
        return [len(frame.payload) for websocket in running for frame in websocket.raw_frames if frame.opcode < Opcode.CLOSE]


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    """
    Makes the server's side of TLS.

    Twisted's `CertificateOptions` would do, if it did not hand pyOpenSSL what that deprecates.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, protocol: bytes) -> None:
        context: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_alpn_select_callback(lambda _, offered: protocol if protocol in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class _Answering(LineReceiver):
    """One connection to the server, with a request at a time; `websocket` is what it has become, if it has."""

    MAX_LENGTH = 4096

    def __init__(self) -> None:
        self._lines: Any = self  # the base class has no types
        self.gone: Deferred[None] = Deferred()
        self.websocket: WebsocketPeer | None = None
        self._request: bytes | None = None  # its method and its path
        self._head: list[bytes] = []
        self._chunked = self._in_chunks = False
        self._left = 0
        self._digest = hashlib.sha256()

    def connectionMade(self) -> None:
        self.factory.server.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.server.connections.discard(self)
        if self.websocket is not None:
            self.websocket.connectionLost(reason)
        self.gone.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self.websocket is not None:
            self.websocket.dataReceived(data)
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        if self._in_chunks:
            self._take_chunk_line(line)
            return
        self._head.append(line)
        if self._request is None:
            self._request = line.rpartition(b" ")[0]
        elif line:
            self._chunked = self._chunked or line.lower() == b"transfer-encoding: chunked"
        elif self._chunked:
            self._in_chunks = True
        elif b"upgrade: websocket" in map(bytes.lower, self._head):
            self._upgrade()
        else:
            self._answer()

    def _upgrade(self) -> None:
        """Give the connection away, unless the websocket is refused."""
        websocket = WebsocketPeer(serve_websocket, accept=False)
        websocket.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        websocket.dataReceived(b"\r\n".join([*self._head, b""]))
        self._begin()
        if websocket.accepted:
            self.websocket = websocket

    def _begin(self) -> None:
        """The next request may come."""
        self._request, self._chunked, self._in_chunks, self._left, self._digest = None, False, False, 0, hashlib.sha256()
        self._head.clear()

    def _take_chunk_line(self, line: bytes) -> None:
        """The size of a chunk, or the empty line after one."""
        if not line:
            if self._left == -1:
                self._answer()
            return
        self._left = int(line, 16)
        if self._left:
            self._lines.setRawMode()
        else:
            self._left = -1

    def rawDataReceived(self, data: bytes) -> None:
        content, rest = data[: self._left], data[self._left :]
        self._digest.update(content)
        self._left -= len(content)
        if not self._left:
            self._lines.setLineMode(rest)

    def _answer(self) -> None:
        request, digest = self._request, self._digest.hexdigest().encode()
        if request == b"GET /half":
            self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % DOWNLOAD, PIECE * (HALF // len(PIECE)))
            self._lines.pauseProducing()  # whatever is asked for behind it waits for ever
            return
        self._begin()
        if request == b"GET /greeting":
            self._write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(GREETING), GREETING)
        elif request == b"POST /upload":
            self._write(b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n" % len(digest), digest)
        elif request == b"GET /hints":
            self._write(_HINTS)
        elif request == b"GET /download":
            self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % DOWNLOAD)
            self.transport.registerProducer(_Download(self.transport), False)  # type: ignore[union-attr]
        else:
            self._write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    def _write(self, *pieces: bytes) -> None:
        self.transport.write(b"".join(pieces))  # type: ignore[union-attr]


_HINTS = (
    b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: server-timing\r\n\r\n"
    b"6\r\n<html>\r\n7\r\n</html>\r\n0\r\nserver-timing: db;dur=53\r\n\r\n"
)


@implementer(IPullProducer)
class _Download:
    """Writes the next piece of a download whenever the client has taken the last."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._left = DOWNLOAD

    def resumeProducing(self) -> None:
        self._left -= len(PIECE)
        self._transport.write(PIECE)
        if not self._left:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The client has gone."""
        self._left = 0


def serve_websocket(end: WebsocketEnd) -> None:
    """
    Answer a handshake that waits for that.

    ``/chat`` sends each message back, with the subprotocol `SUBPROTOCOL` and compressed where the client offers it; ``/feed?after=7``
    sends the `FEED` items after item 7; whatever else is refused.
    """
    asked = end.handshake
    if asked is None or not end.pending:
        return
    path, _, query = asked.path.partition(b"?")
    if path == b"/chat":
        end.echo = True
        subprotocol = SUBPROTOCOL if SUBPROTOCOL.encode() in asked.protocols else None
        end.accept(subprotocol, "permessage-deflate" if b"permessage-deflate" in asked.extensions else None)
    elif path == b"/feed":
        end.accept()
        after = int(query.removeprefix(b"after="))
        for number in range(after + 1, after + 1 + FEED):
            end.send(f"item {number}")
    else:
        end.refuse(403, {"content-type": "text/plain"}, REFUSAL)


class Http2Answering(Http2WebsocketPeer):
    """
    One connection to the server over HTTP/2.

    Of requests that arrive together the last is answered first. ``/greeting`` greets, ``/upload`` gives the SHA-256 digest of what is
    posted, ``/download`` sends `DOWNLOAD` bytes; ``/goodbye`` is not answered: the server goes away (RFC 9113 section 6.8), and
    processes only what came before it. Websockets are as `serve_websocket` has them.
    """

    factory: Any

    def __init__(self) -> None:
        super().__init__(serve_websocket, accept=False, settings={"max_concurrent_streams": 100})
        self.gone: Deferred[None] = Deferred()
        self._seen: set[int] = set()

    def connectionMade(self) -> None:
        self.factory.server.connections.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.server.connections.discard(self)
        self.gone.callback(None)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._serve_all()

    def _serve_all(self) -> None:
        new = [one for one in self.requests if one.complete and one.method != b"CONNECT" and one.stream_id not in self._seen]
        self._seen.update(request.stream_id for request in new)
        for request in [request for request in new if request.path == b"/goodbye"]:
            self.goaway(request.stream_id - 2)
            new.remove(request)
        for request in reversed(new):
            self._serve(request)

    def _serve(self, request: Http2Request) -> None:
        if request.path == b"/greeting":
            self.respond(request, 200, {"content-type": "text/plain"}, GREETING)
        elif request.path == b"/upload":
            self.respond(request, 201, {}, hashlib.sha256(request.body).hexdigest().encode())
        elif request.path == b"/download":
            self.respond(request, 200, {"content-length": str(DOWNLOAD)}, PIECE * (DOWNLOAD // len(PIECE)))
        else:
            self.respond(request, 404)


def _make_certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for 127.0.0.1 and `NAME` that vouches for itself, for an hour, and its key. Nothing goes to the disk."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twisted_gun demo")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(NAME)])
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key
