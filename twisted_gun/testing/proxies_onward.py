"""
What a proxy connects to for its clients: the ends of tunnels, and the origins that it forwards plain requests to.

A client is somebody to write to here, whatever it speaks. How it asks and is answered the heirs of `Speaker` know.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, INegotiated, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.options import HttpOptions
from twisted_gun.wire.content import ByLength, Chunked, Content, UntilClose
from twisted_gun.wire.core import Reader
from twisted_gun.wire.response import Head, framing_of, parse_head

__all__ = [
    "Answer",
    "Client",
    "Connection",
    "ForwardedRequest",
    "Forwarding",
    "MARK",
    "OPTIONS",
    "Onward",
    "Proxy",
    "Speaker",
    "Tunnel",
    "TunnelEnd",
    "end_to_end",
    "send_at_once",
]

#: More bytes than this, sent by a client before its tunnel is there, make it pause.
MARK: Final = 65_536
#: The limits of what is read.
OPTIONS: Final = HttpOptions()

#: RFC 9110 section 7.6.1: the fields that are for one hop only, and those that "MUST be removed" with them.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_log = Logger()


@dataclass(slots=True, eq=False, kw_only=True)
class Tunnel:
    """
    A tunnel that a client has asked for.

    `headers` are the fields of its request, names in lower case, without pseudo-fields; with SOCKS there are none. `user` is the name it
    gave. `status` is what it was answered, by HTTP or as the reply of SOCKS; None until then. `open` is true from then on, if it is
    there, until it has ended in both directions; `sent` and `received` count the client's bytes. `failure` is why what it leads to could
    not be connected to, or was lost.
    """

    host: str
    port: int
    headers: Headers = ()
    user: str | None = None
    status: int | None = None
    open: bool = False
    sent: int = 0
    received: int = 0
    failure: Failure | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class ForwardedRequest:
    """A request that a client wants forwarded, `target` in absolute-form; the rest as for a `Tunnel`."""

    method: bytes
    target: bytes
    headers: Headers = ()
    user: str | None = None
    status: int | None = None
    failure: Failure | None = None


class Client(typing.Protocol):
    """The client's side: a connection to the proxy, or one stream of it. It is a consumer and a push producer."""

    def write(self, data: bytes) -> None:
        """Send `data`."""

    def finish(self, receiving: bool) -> bool:
        """Send no more; return whether the client may go on, which it may only if `receiving`, and if the protocol has it."""

    def abort(self) -> None:
        """End it, and say that it is an error."""

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


class Proxy(typing.Protocol):
    """What the owner of a proxy has said; see `proxies.ProxyFactory`."""

    dial: Callable[[str, int], IStreamClientEndpoint]
    credentials: tuple[str, str] | None
    refuse: int | None
    chunk: int | None


class Connection(Client, typing.Protocol):
    """A client's connection to a proxy; see `proxies.ProxyConnection`."""

    transport: Any
    tunnels: list[Tunnel]
    requests: list[ForwardedRequest]

    def hold(self, held: bool) -> None:
        """Read nothing from the client, whoever may want it, or go on."""


class Answer(typing.Protocol):
    """Where the response to a forwarded request goes."""

    def inform(self, status: int, headers: Headers) -> None:
        """An interim response."""

    def respond(self, status: int, headers: Headers, bounded: bool) -> None:
        """The head of the response; `bounded` says that its fields tell where the content ends."""

    def content(self, data: bytes) -> None:
        """A piece of its content."""

    def end(self) -> None:
        """The end of it."""

    def failed(self) -> None:
        """There will be no response, or no more of it."""


@implementer(IPushProducer)
class Onward(Protocol):
    """
    A connection from the proxy to where `client` wants to go, to which `endpoint` returns the way. What the client sends meanwhile waits.

    Each side is paused while the other takes no more. The client's side calls `received`, `ended`, and at last `closed` or `cut`.
    """

    transport: Any = None

    def __init__(self, client: Client, endpoint: Callable[[], IStreamClientEndpoint]) -> None:
        self.client = client
        self._endpoint = endpoint
        self.up = False
        self.over = False  # nothing is passed on any more
        self.early: list[bytes] = []
        self._early_size = 0
        self._attempt: Deferred[Any] | None = None
        self._lost_early: Failure | None = None

    def dial(self) -> None:
        """Connect; where no endpoint is returned but something raised, that is a failure to connect as any other."""
        factory = Factory.forProtocol(lambda: self)
        factory.noisy = False
        self._attempt = maybeDeferred(lambda: self._endpoint().connect(factory))
        self._attempt.addCallbacks(self._connected, self._unreachable)
        self._attempt.addErrback(lambda failure: _log.failure("a proxy failed", failure))

    # What the heir does.

    def opened(self) -> None:
        """The connection is there."""
        raise NotImplementedError

    def failed(self, failure: Failure) -> None:
        """There will be none."""
        raise NotImplementedError

    def ended(self) -> None:
        """The client sends no more; it may still receive."""
        raise NotImplementedError

    def closed(self) -> None:
        """The client has closed its connection, in good order."""
        raise NotImplementedError

    # From the client.

    def received(self, data: bytes) -> None:
        """The client has sent `data`."""
        if self.over:
            return
        if self.up:
            self.transport.write(data)
            return
        self.early.append(data)
        self._early_size += len(data)
        if self._early_size > MARK:
            self.client.pauseProducing()

    def cut(self) -> None:
        """
        The client is gone, and not in good order.

        RFC 9113 section 8.5: "a proxy MUST send a TCP segment with the RST bit set if it detects an error with the stream".
        """
        if self.over:
            return
        self.over = True
        if self.up:
            self.transport.abortConnection()
        elif self._attempt is not None:
            self._attempt.cancel()

    # To the client, whose producer this is.

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing: the client's side says by itself how it ended."""

    # From the endpoint, and from the connection.

    def connectionMade(self) -> None:
        send_at_once(self.transport)
        if self.over:  # by an endpoint that could not be cancelled
            self.transport.abortConnection()

    def _connected(self, _: object) -> None:
        if self._lost_early is not None:
            self._unreachable(self._lost_early)
            return
        self.up = True
        self.client.registerProducer(self, True)
        self.transport.registerProducer(self.client, True)
        self.opened()
        self.client.resumeProducing()
        early, self.early = self.early, []
        if early:
            self.transport.write(b"".join(early))

    def _unreachable(self, failure: Failure) -> None:
        if not self.over:
            self.over = True
            self.client.resumeProducing()
            self.failed(failure)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.up:
            self._lost_early = reason
        elif not self.over:
            self._lost(reason)

    def _lost(self, reason: Failure) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Close it in good order; what still comes is dropped."""
        self.over = True
        self.transport.unregisterProducer()
        self.transport.resumeProducing()  # TLS reads the answer to its end
        self.transport.loseConnection()


@implementer(IHalfCloseableProtocol)
class TunnelEnd(Onward):
    """
    The end of a tunnel. `opened` and `failed` are called for the client to be answered.

    Each direction ends by itself, as far as the transports have that; an error in one ends both.
    """

    def __init__(
        self,
        client: Client,
        endpoint: Callable[[], IStreamClientEndpoint],
        tunnel: Tunnel,
        opened: Callable[[], object],
        failed: Callable[[], object],
    ) -> None:
        super().__init__(client, endpoint)
        self._tunnel, self._opened, self._failed = tunnel, opened, failed
        self._client_ended = self._far_ended = False

    def opened(self) -> None:
        self._tunnel.open = True
        self._opened()

    def failed(self, failure: Failure) -> None:
        self._tunnel.failure = failure
        self._failed()

    def received(self, data: bytes) -> None:
        if not self.over:
            self._tunnel.sent += len(data)
        super().received(data)

    def ended(self) -> None:
        if not self._client_ended:  # a transport that is resumed tells it again
            self._client_ended = True
            if self.up and not self.over:
                self._pass_end_on()

    def closed(self) -> None:
        if not self.up:
            self.cut()
        elif not self.over:
            self._close()

    def cut(self) -> None:
        self._tunnel.open = False
        super().cut()

    def dataReceived(self, data: bytes) -> None:
        if not self.over:
            self._tunnel.received += len(data)
            self.client.write(data)

    def readConnectionLost(self) -> None:
        if self.over or self._far_ended:
            return
        self._far_ended = True
        if not self.client.finish(receiving=not self._client_ended):
            self._close()

    def writeConnectionLost(self) -> None:
        """Nothing: this side asked for it."""

    def _connected(self, result: object) -> None:
        super()._connected(result)
        if self._client_ended and self.up and not self.over:
            self._pass_end_on()

    def _pass_end_on(self) -> None:
        """RFC 9113 section 8.5: "sends the attached data with the FIN bit set on the last TCP segment"."""
        if self._far_ended:
            self._close()
            return
        self.transport.unregisterProducer()
        # TLS has the method as well, from the TCP connection below it; there it would cut the records off.
        half_close = None if INegotiated.providedBy(self.transport) else getattr(self.transport, "loseWriteConnection", None)
        (half_close or self.transport.loseConnection)()

    def _lost(self, reason: Failure) -> None:
        self.over = True
        self._tunnel.open, self._tunnel.failure = False, reason
        if self._far_ended or reason.check(ConnectionDone):
            self.client.finish(receiving=False)
        else:
            self.client.abort()

    def _close(self) -> None:
        self._tunnel.open = False
        super()._close()


class Forwarding(Onward):
    """
    The connection to an origin for one request, whose head is `head`.

    What the client sends is its content, which is made `chunked` here if need be. Trailers are dropped, as a proxy may.
    """

    def __init__(
        self,
        client: Client,
        endpoint: Callable[[], IStreamClientEndpoint],
        request: ForwardedRequest,
        head: bytes,
        chunked: bool,
        answer: Answer,
    ) -> None:
        super().__init__(client, endpoint)
        self._request, self._head, self._chunked, self._answer = request, head, chunked, answer
        self._reader = Reader()
        self._content: Content | None = None  # of the response, once its head was read

    def opened(self) -> None:
        self.transport.write(self._head)

    def failed(self, failure: Failure) -> None:
        self._request.failure = failure
        self._answer.failed()

    def received(self, data: bytes) -> None:
        super().received(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def ended(self) -> None:
        if self._chunked:
            super().received(b"0\r\n\r\n")

    def closed(self) -> None:
        self.cut()

    def dataReceived(self, data: bytes) -> None:
        if self.over:
            return
        self._reader.feed(data)
        try:
            self._read()
        except (LimitReached, ProtocolViolation):
            self.transport.abortConnection()
            self._fail(Failure())

    def _read(self) -> None:
        while not self.over:
            if self._content is None:
                block = self._reader.until(b"\r\n\r\n", OPTIONS.max_header_block_size, "max_header_block_size")
                if block is None:
                    return
                self._head_received(parse_head(block, OPTIONS))
            elif self._content.done:
                self._close()
                self._done()
            else:
                piece = self._content.read(self._reader)
                if piece:
                    self._answer.content(piece)
                elif not self._content.done:
                    return

    def _head_received(self, head: Head) -> None:
        if head.status == 101:
            raise ProtocolViolation("101 to a request without Upgrade")
        headers = end_to_end(head.headers)
        if head.status < 200:
            self._answer.inform(head.status, headers)
            return
        framing = framing_of(head, self._request.method)
        self._request.status = head.status
        if framing.length is not None:
            self._content = ByLength(framing.length)
        else:
            self._content = Chunked(OPTIONS) if framing.chunked else UntilClose()
            headers = tuple(pair for pair in headers if pair[0] != b"content-length")
        self._answer.respond(head.status, headers, framing.length is not None)

    def _lost(self, reason: Failure) -> None:
        if isinstance(self._content, UntilClose) and reason.check(ConnectionDone):
            self._done()
        else:
            self._fail(reason)

    def _done(self) -> None:
        self._release()
        self._answer.end()

    def _fail(self, failure: Failure) -> None:
        self._request.failure = failure
        self._release()
        self._answer.failed()

    def _release(self) -> None:
        self.over = True
        self.client.unregisterProducer()
        self.client.resumeProducing()


class Speaker:
    """What a proxy says on one connection, which carries one thing at a time."""

    def __init__(self, connection: Connection, proxy: Proxy) -> None:
        self.connection, self.proxy = connection, proxy
        self.onward: Onward | None = None

    def start(self) -> None:
        """The connection is there."""

    def received(self, data: bytes) -> None:
        """`data` has arrived."""
        raise NotImplementedError

    def ended(self) -> None:
        """The client sends no more. It may still receive, but does not wait for a tunnel that is not there yet."""
        if isinstance(self.onward, TunnelEnd) and self.onward.up:
            self.onward.ended()
            return
        if self.onward is not None:
            self.onward.cut()
        self.connection.finish(receiving=False)

    def lost(self, clean: bool) -> None:
        """The connection is no more; `clean` says that the client has closed it in good order."""
        if self.onward is not None and clean:
            self.onward.closed()
        elif self.onward is not None:
            self.onward.cut()


def send_at_once(transport: Any) -> None:
    """Switch Nagle's algorithm off, where there is one: a window of HTTP/2 is no multiple of a segment."""
    no_delay = getattr(transport, "setTcpNoDelay", None)
    if no_delay is not None:
        no_delay(True)


def end_to_end(headers: Headers) -> Headers:
    """The fields that a proxy passes on (RFC 9110 section 7.6.1)."""
    named = b",".join([value for name, value in headers if name == b"connection"])
    dropped = _HOP_BY_HOP | {option.strip().lower() for option in named.split(b",")}
    return tuple(pair for pair in headers if pair[0] not in dropped)
