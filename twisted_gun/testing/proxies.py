"""
Proxies for tests and for the demo: HTTP/1.1, HTTP/2 and SOCKS5, in memory and over sockets alike.

Here are the factory, its connections, and SOCKS5. HTTP is in `proxies_http.py`, and what a proxy connects to in `proxies_onward.py`.
Of this package's own client nothing is known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.testing.proxies_http import Http1, Http2
from twisted_gun.testing.proxies_onward import Connection, ForwardedRequest, Proxy, Speaker, Tunnel, TunnelEnd, send_at_once

__all__ = ["ForwardedRequest", "ProxyConnection", "ProxyFactory", "Tunnel"]

# RFC 1928.
_NO_AUTHENTICATION, _USERNAME_PASSWORD, _NO_ACCEPTABLE_METHOD = 0, 2, 255
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SUCCEEDED, _GENERAL_FAILURE, _REFUSED, _COMMAND_NOT_SUPPORTED, _ADDRESS_TYPE_NOT_SUPPORTED = 0, 1, 5, 7, 8


class ProxyFactory(Factory):
    """
    Builds the connections of a proxy that speaks `kind`; they are kept in `connections`.

    - ``"http"`` is HTTP/1.1: tunnels by CONNECT, and forwarding of plain requests in absolute-form;
    - ``"http2"`` is HTTP/2 with prior knowledge: likewise (RFC 9113 section 8.5), the tunnels being streams;
    - ``"http2+http"`` is what TLS has negotiated, and HTTP/1.1 without TLS;
    - ``"socks5"`` is SOCKS5 (RFC 1928, and RFC 1929 where there are credentials).

    ``dial(host, port)`` returns the endpoint that leads there; what it raises, and what the endpoint fails with, is answered by 502, or
    with SOCKS by 5, "Connection refused". `credentials` are the user and password that the proxy demands. `refuse` is the status, or the
    reply of SOCKS, by which it refuses whatever it is asked for; it may be changed at any time. `chunk` is the most bytes of one write to
    a client, which over HTTP/2 is the most content of a DATA frame, and over TLS, unless that gathers writes, of a record.

    Without TLS below it makes no delayed calls.
    """

    noisy = False
    KINDS: ClassVar[frozenset[str]] = frozenset({"http", "http2", "http2+http", "socks5"})

    def __init__(
        self,
        kind: str,
        dial: Callable[[str, int], IStreamClientEndpoint],
        *,
        credentials: tuple[str, str] | None = None,
        refuse: int | None = None,
        chunk: int | None = None,
    ) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"a proxy of kind {kind!r} is none of {', '.join(sorted(self.KINDS))}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"a write has at least one byte, not {chunk!r}")
        self.kind, self.dial, self.credentials, self.refuse, self.chunk = kind, dial, credentials, refuse, chunk
        self.connections: list[ProxyConnection] = []

    @property
    def tunnels(self) -> list[Tunnel]:
        """The tunnels of all connections."""
        return [tunnel for connection in self.connections for tunnel in connection.tunnels]

    @property
    def requests(self) -> list[ForwardedRequest]:
        """The requests of all connections that were to be forwarded."""
        return [request for connection in self.connections for request in connection.requests]

    def buildProtocol(self, addr: IAddress | None) -> ProxyConnection:
        """The next connection."""
        self.connections.append(ProxyConnection(self))
        return self.connections[-1]


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class ProxyConnection(Protocol):
    """
    A client's connection to a proxy.

    `tunnels` and `requests` are what was asked for on it, refused or not, `protocol` is "http", "http2" or "socks5", None as long as
    that is not known, and `lost` the reason for its end. Where it is a tunnel as a whole: a client that sends FIN may still receive, but
    the end of what the tunnel leads to is the end of both (RFC 9110 section 9.3.6).
    """

    transport: Any

    def __init__(self, proxy: ProxyFactory) -> None:
        self.proxy = proxy
        self.tunnels: list[Tunnel] = []
        self.requests: list[ForwardedRequest] = []
        self.protocol: str | None = None
        self.lost: Failure | None = None
        self._speaker: Speaker | None = None
        self._held = False

    # What the transport tells.

    def connectionMade(self) -> None:
        send_at_once(self.transport)
        kind = self.proxy.kind
        if kind != "http2+http":
            self._speak(kind)
        elif not INegotiated.providedBy(self.transport):
            self._speak("http")

    def handshakeCompleted(self) -> None:
        if self._speaker is None:
            self._speak("http2" if self.transport.negotiatedProtocol == b"h2" else "http")

    def dataReceived(self, data: bytes) -> None:
        if self._speaker is not None:
            self._speaker.received(data)

    def readConnectionLost(self) -> None:
        if self._speaker is not None:
            self._speaker.ended()

    def writeConnectionLost(self) -> None:
        """Nothing: one half is never closed alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        if self._speaker is not None:
            self._speaker.lost(bool(reason.check(ConnectionDone)))

    def _speak(self, protocol: str) -> None:
        self.protocol = protocol
        self._speaker = _SPEAKERS[protocol](self, self.proxy)
        self._speaker.start()

    # What is done to the client, as a `proxies_onward.Client`.

    def write(self, data: bytes) -> None:
        """Send `data`, in pieces if the proxy is to."""
        chunk = self.proxy.chunk or max(1, len(data))
        for at in range(0, len(data), chunk):
            self.transport.write(data[at : at + chunk])

    def hold(self, held: bool) -> None:
        """Read nothing from the client, whoever may want it, or go on."""
        if held is not self._held:
            self._held = held
            (self.pauseProducing if held else self.resumeProducing)()

    def finish(self, receiving: bool) -> bool:
        """Close the connection, after what was written."""
        self.unregisterProducer()
        self._held = False
        self.resumeProducing()  # TLS reads the answer to its end
        self.transport.loseConnection()
        return False

    def abort(self) -> None:
        """Reset the connection, and with it all that it led to."""
        if self.lost is None:
            self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` be paused while the client takes no more."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Pause nobody any more."""
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._held:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing: who consumes it says by itself what becomes of the connection."""


class _Socks5(Speaker):
    """SOCKS5 (RFC 1928), with usernames and passwords (RFC 1929)."""

    def __init__(self, connection: Connection, proxy: Proxy) -> None:
        super().__init__(connection, proxy)
        self._buffer = bytearray()
        self._read: Callable[[], bool] | None = self._read_greeting
        self._user: str | None = None
        self._tunnel: Tunnel | None = None

    def received(self, data: bytes) -> None:
        if self.onward is not None:
            self.onward.received(data)
            return
        if self._read is not None:
            self._buffer += data
        while self._read is not None and self._buffer and self._read():
            pass
        if self.onward is not None and self._buffer:
            self.onward.received(self._take(len(self._buffer)))

    def _read_greeting(self) -> bool:
        if self._buffer[0] != 5:
            return self._close()
        if len(self._buffer) < 2 or len(self._buffer) < 2 + self._buffer[1]:
            return False
        methods = self._take(2 + self._buffer[1])[2:]
        method = _NO_AUTHENTICATION if self.proxy.credentials is None else _USERNAME_PASSWORD
        if method not in methods:
            return self._close(bytes([5, _NO_ACCEPTABLE_METHOD]))
        self.connection.write(bytes([5, method]))
        self._read = self._read_password if method else self._read_request
        return True

    def _read_password(self) -> bool:
        buffer = self._buffer
        if buffer[0] != 1:
            return self._close()
        user_end = 2 + buffer[1] if len(buffer) > 1 else 2
        if len(buffer) <= user_end or len(buffer) < user_end + 1 + buffer[user_end]:
            return False
        message = self._take(user_end + 1 + buffer[user_end])
        self._user = message[2:user_end].decode(errors="replace")
        if (self._user, message[user_end + 1 :].decode(errors="replace")) != self.proxy.credentials:
            return self._close(b"\1\1")
        self.connection.write(b"\1\0")
        self._read = self._read_request
        return True

    def _read_request(self) -> bool:
        buffer = self._buffer
        if buffer[0] != 5:
            return self._close()
        if len(buffer) < 5:
            return False
        kind = buffer[3]
        size = {_IPV4: 4, _IPV6: 16, _NAME: 1 + buffer[4]}.get(kind)
        if size is None:
            return self._refuse(_ADDRESS_TYPE_NOT_SUPPORTED)
        if len(buffer) < 4 + size + 2:
            return False
        message = self._take(4 + size + 2)
        address, port = message[4:-2], int.from_bytes(message[-2:])
        host = address[1:].decode("latin-1") if kind == _NAME else str(ipaddress.ip_address(address))
        if message[2] or not host:
            return self._refuse(_GENERAL_FAILURE)
        if message[1] != 1:
            return self._refuse(_COMMAND_NOT_SUPPORTED)
        return self._connect(host, port)

    def _connect(self, host: str, port: int) -> bool:
        self._tunnel = Tunnel(host=host, port=port, user=self._user)
        self.connection.tunnels.append(self._tunnel)
        if self.proxy.refuse is not None:
            return self._refuse(self.proxy.refuse)
        self._read = None
        endpoint = partial(self.proxy.dial, host, port)
        self.onward = TunnelEnd(self.connection, endpoint, self._tunnel, self._establish, partial(self._refuse, _REFUSED))
        self.onward.dial()
        return False

    def _establish(self) -> None:
        self._reply(_SUCCEEDED)

    def _refuse(self, reply: int) -> bool:
        self._reply(reply)
        return self._close()

    def _reply(self, reply: int) -> None:
        if self._tunnel is not None:
            self._tunnel.status = reply
        self.connection.write(bytes([5, reply, 0, _IPV4]) + bytes(6))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _close(self, data: bytes = b"") -> bool:
        self._read = None
        self._buffer.clear()
        self.connection.write(data)
        self.connection.finish(receiving=False)
        return False


#: Those who speak the protocols, by the protocols' names.
_SPEAKERS: dict[str, type[Speaker]] = {"http": Http1, "http2": Http2, "socks5": _Socks5}
