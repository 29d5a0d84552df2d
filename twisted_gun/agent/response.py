"""
A response as `twisted.web` has it, and the content on its way to the protocol that takes it.

The content is told to a `Content`, which keeps it until somebody takes it, holds the server back where that is too much, and says how it
ended in Twisted's words. How a request is made is not known here.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import ReferenceType, ref

from twisted.internet import error
from twisted.internet.defer import AlreadyCalledError
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import RESPONSES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IClientRequest, IResponse
from zope.interface import implementer

from twisted_gun.agent.expecting import Expecting
from twisted_gun.agent.failures import body_failed
from twisted_gun.errors import GunError, Truncated
from twisted_gun.events import Data, Error, Inform, Response, Trailers, Upgrade
from twisted_gun.events import Headers as Fields
from twisted_gun.receivers import Receiver
from twisted_gun.stream import Stream
from twisted_gun.threads import in_reactor

__all__ = ["ClientRequest", "Content", "GunResponse"]

#: With so much content kept for a protocol that is not there yet, in bytes, the server is held back.
_FULL = 64 * 1024


@implementer(IClientRequest)
class ClientRequest:
    """A request as it was made: `method`, `absoluteURI`, and `headers`, Host among them."""

    def __init__(self, method: bytes, uri: bytes, headers: Headers | None, host: bytes) -> None:
        self.method = method
        self.absoluteURI = uri
        self._given = headers
        self._host = host

    @property
    def headers(self) -> Headers:
        headers = Headers() if self._given is None else self._given.copy()
        if not headers.hasHeader(b"host"):
            headers.addRawHeader(b"host", self._host)
        return headers


class Content(Receiver):
    """The content of one response, and the transport of the protocol that takes it."""

    def __init__(self, reactor: Any, expecting: Expecting | None = None) -> None:
        #: Its head; None where the server switched to another protocol instead.
        self.head: Response | None = None
        #: Interim responses that came before it.
        self.informed: list[tuple[int, Headers]] = []
        self.trailers = Headers()
        #: How it ended, once that is known.
        self.ended: Failure | None = None
        self._reactor = reactor
        self._expecting = expecting
        self._stream: Stream | None = None
        self._until_close = False
        self._response: ReferenceType[GunResponse] | None = None
        self._protocol: Any = None
        self._taken = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = self._held = self._flushing = self._leaving = False

    # From the stream.

    def gun_inform(self, event: Inform) -> None:
        if event.status == 100 and self._expecting is not None:
            self._expecting.go_on()
        self.informed.append((event.status, _headers(event.headers)))

    def gun_response(self, event: Response) -> None:
        if self._expecting is not None:
            self._expecting.give_up()
        self.head = event
        if event.fin:
            self.ended = _done()
        else:
            self._stream = event.stream

    def gun_upgrade(self, event: Upgrade) -> None:
        """The agent knows what that means: there is no response."""

    def gun_data(self, event: Data) -> None:
        if event.data:
            self._take(event.data)
        if event.fin:
            self._over(Failure(PotentialDataLoss()) if self._until_close else _done())

    def gun_trailers(self, event: Trailers) -> None:
        self.trailers = _headers(event.headers)
        self._over(_done())

    def gun_error(self, event: Error) -> None:
        self._over(Failure(self._why(event.reason)))

    def _why(self, reason: GunError) -> BaseException:
        if self._until_close and isinstance(reason, Truncated):
            return PotentialDataLoss()  # however it ended, that there is no more could not be told
        return body_failed(reason, None if self._response is None else self._response())

    def _take(self, data: bytes) -> None:
        if self._protocol is not None and not (self._paused or self._chunks or self._flushing):
            self._protocol.dataReceived(data)
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._paused or self._size >= _FULL:
            self._hold(True)

    def _over(self, reason: Failure) -> None:
        if self.ended is None:
            self.ended = reason
            self._stream = None  # which knows this: neither should need the garbage collector
            self._flush()

    def _hold(self, held: bool) -> None:
        stream = self._stream
        if held is self._held or self.ended is not None or stream is None:
            return
        self._held = held
        stream._stalled = held and not self._taken
        stream._hold(held)  # which may tell what waited, to the end even
        if stream._stalled and stream.connection._on_room is not None:
            stream.connection._on_room()

    # From the response.

    def respond(self, response: GunResponse, until_close: bool) -> None:
        """It is that of `response`, and, with `until_close`, only the end of the connection is its end."""
        self._response = ref(response)
        self._until_close = until_close
        self.head = None

    def deliver(self, protocol: Any) -> None:
        """Give it to `protocol`; raises RuntimeError where it was given to one before."""
        if self._taken:
            raise RuntimeError("the content of this response was delivered already; it can be taken once")
        self._taken = True
        if self._stream is not None:
            self._stream._stalled = False
        protocol.makeConnection(ContentTransport(self))
        self._protocol = protocol
        self._flush()

    def _flush(self) -> None:
        """Give what there is, as long as it is taken, then let more come, or say that this was all."""
        if self._flushing or self._leaving or self._protocol is None:
            return
        self._flushing = True
        try:
            while self._chunks and not self._paused:
                data = self._chunks.popleft()
                self._size -= len(data)
                self._protocol.dataReceived(data)
        except BaseException:
            self.abandon(error.ConnectionAborted)
            raise
        finally:
            self._flushing = False
        if self._chunks or self._leaving:
            return
        if self.ended is not None:
            self._finish(self.ended)
        elif not self._paused:
            self._hold(False)

    def _finish(self, reason: Failure) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)

    # From the protocol, and for whoever wants no more.

    def pause(self) -> None:
        """Take no more for now."""
        self._paused = True
        self._hold(True)

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._flush()

    def abandon(self, why: type[BaseException]) -> None:
        """Take no more at all; the protocol is told in a turn of its own, as by any transport."""
        if self.ended is not None and not self._chunks:
            return
        stream, self._stream = self._stream, None
        self.ended = Failure(ResponseFailed([Failure(why())], None if self._response is None else self._response()))
        self._chunks.clear()
        self._size = 0
        if stream is not None:
            stream.cancel()
        if self._protocol is not None and not self._leaving:
            self._leaving = True
            self._reactor.callLater(0, self._leave, self.ended)

    def _leave(self, reason: Failure) -> None:
        try:
            self._finish(reason)
        except AlreadyCalledError:  # the protocol of `readBody`, which was cancelled
            pass

    @property
    def addresses(self) -> tuple[IAddress | None, IAddress | None]:
        """Those of this end of the connection, and of the other one."""
        hop = None if self._stream is None else self._stream.connection._factory.hop
        transport = None if hop is None or hop.lost else hop.transport
        return (None, None) if transport is None else (transport.getHost(), transport.getPeer())


@implementer(IPushProducer)
class ContentTransport:
    """What the protocol that takes content has for a transport."""

    #: `twisted.protocols.basic.LineReceiver` looks at it.
    disconnecting = False

    def __init__(self, content: Content) -> None:
        self._content = content

    def pauseProducing(self) -> None:
        """Hold the server back."""
        self._content.pause()

    def resumeProducing(self) -> None:
        """Let it go on."""
        self._content.resume()

    def stopProducing(self) -> None:
        """As `loseConnection`."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Take no more content. Over HTTP/2 that ends one stream; over HTTP/1.1 the connection, where much is left."""
        self._content.abandon(error.ConnectionDone)

    def abortConnection(self) -> None:
        """The same; the reason is another one."""
        self._content.abandon(error.ConnectionAborted)

    def getHost(self) -> IAddress | None:
        """The address of this end of the connection, None once that has ended."""
        return self._content.addresses[0]

    def getPeer(self) -> IAddress | None:
        """The address of the other end, that of a proxy if it goes through one."""
        return self._content.addresses[1]


@implementer(IResponse)
class GunResponse:
    """
    A response, as `twisted.web.client.Response`, with all its header fields: Content-Length is among them.

    `version` is ``(b"HTTP", 2, 0)`` over HTTP/2, which has no reason phrase: `phrase` is the usual one then. `informed` are the interim
    responses that came before it, as pairs of status and headers. `stream` is the `Stream` that brings it.

    The content is kept until `deliverBody`, up to 64 KiB; then the server is held back. A response that nobody holds any more is given up.
    """

    def __init__(self, head: Response, content: Content, request: ClientRequest, protocol: str) -> None:
        self.version = (b"HTTP", 2, 0) if protocol == "http2" else (b"HTTP", 1, 1)
        self.code = head.status
        self.phrase = RESPONSES.get(head.status, b"") if protocol == "http2" else head.reason
        self._fields = head.headers
        self._headers: Headers | None = None
        self.length: Any = _length(head)
        self.request = request
        self.previousResponse: Any = None
        self.stream = head.stream
        self._content = content
        content.respond(self, until_close=not head.fin and protocol != "http2" and _until_close(head.headers))

    def __repr__(self) -> str:
        return f"<GunResponse {self.code} to {self.request.method.decode()}>"

    @property
    def headers(self) -> Headers:
        """Its fields; made when they are asked for first, for that takes longer than all else here."""
        if self._headers is None:
            self._headers = _headers(self._fields)
        return self._headers

    @property
    def informed(self) -> tuple[tuple[int, Headers], ...]:
        """The interim (1xx) responses before it."""
        return tuple(self._content.informed)

    @property
    def trailers(self) -> Headers:
        """The trailer fields, once all content was delivered; empty before, and where there are none."""
        return self._content.trailers

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Give the content to `protocol`; raises RuntimeError the second time.

        Its ``connectionLost`` is told `ResponseDone`; `PotentialDataLoss` where the content ended with the connection; or `ResponseFailed`,
        which is a `GunError`, too.
        """
        self._content.deliver(protocol)

    def setPreviousResponse(self, response: IResponse) -> None:
        """`response` led to this one."""
        self.previousResponse = response

    def abortConnection(self) -> None:
        """Take no (more) content; over HTTP/2 the others on the connection go on."""
        self._content.abandon(error.ConnectionAborted)

    def __del__(self) -> None:
        content = self._content
        if content.ended is None and not content._taken:
            in_reactor(content._reactor, content.abandon, error.ConnectionAborted)


def _headers(fields: Fields) -> Headers:
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return headers


def _length(head: Response) -> Any:
    """The number of bytes that will be delivered, as far as that is known."""
    if head.fin:
        return 0
    fields = dict(head.headers)
    if b"transfer-encoding" in fields or (head.stream._content is not None and b"content-encoding" in fields):
        return UNKNOWN_LENGTH
    length = fields.get(b"content-length", b"")
    return int(length) if length.isdigit() else UNKNOWN_LENGTH


def _until_close(fields: Fields) -> bool:
    """RFC 9112 section 6.3, the last case."""
    return not any(name in (b"content-length", b"transfer-encoding") for name, _ in fields)


def _done() -> Failure:
    return Failure(ResponseDone("Response body fully received"))
