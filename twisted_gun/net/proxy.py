"""
Tunnels for any protocol of Twisted's: HTTP's CONNECT (RFC 9110 section 9.3.6), over HTTP/1.1 or HTTP/2, and SOCKS5 (RFC 1928).

A `Proxy` keeps the connections to one proxy: over HTTP/2 all tunnels that are wanted at a time share one, else each has its own. What
is spoken through a tunnel is not known here. Tunnels as endpoints, and whole chains of them, are in `net/proxied.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import IAddress, IConnector, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from twisted_gun.errors import ConnectionFailed, GoAway, GunError, StreamRefused
from twisted_gun.events import Headers, StreamEvent
from twisted_gun.headers import check_host
from twisted_gun.net.carrier import Carrier
from twisted_gun.net.dial import EndpointConnector, connect_failure
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.refusals import not_in_time, refused, unanswered, unreached
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tls import ConnectionCreator
from twisted_gun.net.tunnel import CORE, TRANSPORT
from twisted_gun.options import Http2Options, HttpOptions, SocksOptions
from twisted_gun.options.checks import check_port
from twisted_gun.request import connect_request
from twisted_gun.wire.core import Request, TunnelCore
from twisted_gun.wire.cores import http2_core
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.socks5 import Socks5
from twisted_gun.wire.steps import Close

__all__ = ["Proxy"]


@dataclass(eq=False, repr=False, kw_only=True)
class Proxy:
    """
    One proxy: `endpoint` leads to it, TLS included if it wants that; `name` is what messages call it.

    With `socks` it speaks SOCKS5, else HTTP: HTTP/2 where ALPN has chosen that, of which `may_share` says whether it can be. `creator` is
    what makes the TLS of `endpoint`, where that is ours. `headers` are sent along with each CONNECT. `tunnel_timeout` bounds the time from
    the request for a tunnel to the answer, in seconds, None for no limit; `closing_timeout` that from a tunnel's end here to its end there,
    without what a peer takes to receive what was sent, as long as it receives some of it.
    """

    reactor: Any
    endpoint: IStreamClientEndpoint
    name: str
    socks: bool = False
    may_share: bool = False
    username: bytes | None = None
    password: bytes | None = None
    headers: Headers = ()
    creator: ConnectionCreator | None = None
    hop_options: HopOptions = field(default_factory=HopOptions)
    http2_options: Http2Options = field(default_factory=Http2Options)
    tunnel_timeout: float | None = 10.0
    closing_timeout: float | None = 15.0

    def __post_init__(self) -> None:
        #: What was spoken with it last, "http", "http2" or "socks"; None as long as it was not reached.
        self.protocol: str | None = None
        self.deadlines = Deadlines(self.reactor)
        self._links: list[_Link] = []
        self._socks_options = SocksOptions(host="localhost", port=1080, auth=self._method())  # of which its core uses `auth` alone

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def connect(self, host: str, port: int, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        A tunnel to `host` and `port`, with a protocol of `protocolFactory` at this end of it; as `IStreamClientEndpoint.connect`.

        Fails with `ConnectFailed` or `TimedOut` where the proxy cannot be reached, with `TlsFailed`, with `ProxyFailed` where it makes no
        tunnel, with `TimedOut` (stage ``tunnel``) where it does not answer, and with `ConnectingCancelledError` when cancelled.
        """
        tunnel = _Tunnel(self, self.request(host, port), HostnameAddress(host.encode(), port), protocolFactory)
        protocolFactory.doStart()
        self.place(tunnel)
        return tunnel.result

    def request(self, host: str, port: int) -> Request:
        """What asks for a tunnel there; raises `InvalidRequest` or `OptionError`."""
        name, port = check_host(host), check_port(port)
        request = connect_request(name, port, self.headers, self.username, self.password)
        if self.socks:  # what that cannot say its core finds out
            Socks5(self._socks_options).connect(None, request, 0.0)
        return request

    def _method(self) -> tuple[Any, ...]:
        return ("none",) if not self.socks or self.username is None else (("username_password", self.username, self.password),)

    # From links.

    @property
    def hopes_to_share(self) -> bool:
        """Whether a connection that is being made may turn out to be one for many tunnels."""
        return self.may_share and self.protocol != "http"

    def place(self, tunnel: _Tunnel) -> None:
        """Ask for `tunnel` on a connection that takes it, or else dial another one."""
        if not any(link.take(tunnel) for link in self._links):
            link = _Link(self, tunnel)
            self._links.append(link)
            link.dial()

    def choose(self, negotiated: bytes | None) -> TunnelCore:
        """The core for what ALPN has negotiated, None where there was none; only the end of its transport has a limit of time."""
        core = self._core(negotiated)
        core.closing_timeout = self.closing_timeout
        return core

    def _core(self, negotiated: bytes | None) -> TunnelCore:
        if self.socks:
            return Socks5(self._socks_options)
        if negotiated in (None, b"http/1.1"):
            return Http1(HttpOptions())
        if negotiated != b"h2":
            raise ConnectionFailed(f"the proxy {self.name} chose {negotiated!r} by ALPN, which is not spoken here (RFC 7301 section 3.2)")
        # A proxy that goes away lets its tunnels live on.
        send_timeout = self.hop_options.send_timeout
        options = replace(self.http2_options, closing_timeout=None, send_timeout=send_timeout, enable_push=False, flow=None)
        return http2_core(options, b"https", lambda parent, method: None)  # nothing is promised: pushes are off

    def gone(self, link: _Link) -> None:
        """`link` is no more."""
        self._links.remove(link)
        if not self._links:
            self.deadlines.stop()


class _Tunnel:
    """One tunnel: wanted, then asked for, then there. It is the key of its stream."""

    def __init__(self, proxy: Proxy, request: Request, address: HostnameAddress, factory: IProtocolFactory) -> None:
        self.request = request
        self.destination = request.target.decode()
        self.link: _Link | None = None  # which it waits for, or travels on
        self.carrier: Carrier | None = None  # once it is there
        self.again = False  # whether it was placed a second time
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)
        self._proxy = proxy
        self._address = address
        self._factory = factory

    def open(self, hop: Hop[TunnelCore], paused: bool) -> None:
        """The tunnel is there: let a protocol stand on it."""
        try:
            protocol = self._factory.buildProtocol(self._address)
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.fail(Failure())
            return
        if self.link is None:  # given up by what built it
            return
        carrier = self.carrier = Carrier(hop, self, self._proxy.deadlines, self._proxy.closing_timeout, self._over)
        carrier.block(TRANSPORT, paused)
        try:
            carrier.connect(protocol)
        except Exception:
            failure = Failure()
            carrier.give_up(failure)
            self.fail(failure)
        if not self.result.called:
            self.result.callback(protocol)

    def fail(self, reason: Failure | GunError) -> None:
        """There will be no tunnel, because of `reason`."""
        if not self.result.called:
            if self.carrier is None:
                self._over()
            self.result.errback(reason)

    def _over(self) -> None:
        link, self.link = self.link, None
        assert link is not None
        link.release(self)
        self._factory.doStop()

    def _cancelled(self, result: Deferred[IProtocol]) -> None:
        if self.carrier is not None:  # by the protocol that was just connected
            self.carrier.abortConnection()
        self.fail(Failure(ConnectingCancelledError(self._address)))


class _Link(ClientFactory):
    """A connection to the proxy: what stands above its hop (`net.hop.Above`), and the tunnels that wait for it or go through it."""

    noisy = False
    _hop: Hop[Any]

    def __init__(self, proxy: Proxy, first: _Tunnel) -> None:
        self._proxy = proxy
        self._now = proxy.deadlines.now
        self._connector = EndpointConnector(proxy.endpoint, self)
        self._waiting: dict[_Tunnel, None] = {first: None}
        self._tunnels: dict[_Tunnel, None] = {}  # asked for, or there
        self._up = self._closing = False
        self._settled = False  # whether the proxy has said how many streams it takes
        self._suspect = False  # whether it has left a request without an answer
        self._paused = False
        first.link = self

    def dial(self) -> None:
        """Connect to the proxy."""
        self._connector.connect()

    # Tunnels.

    def take(self, tunnel: _Tunnel) -> bool:
        """Ask for `tunnel` here, or let it wait for what becomes of this connection; False where it must go elsewhere."""
        if self._closing or self._suspect:
            return False
        if not self._up:
            return self._proxy.hopes_to_share and self._keep(tunnel)
        core = self._hop.core
        if core.name != "http2":
            return not self._tunnels and self._ask(tunnel)
        if not core.accepting or core.full:
            return False
        # More than one only when the proxy has said how many it takes: those beyond would come back.
        return self._ask(tunnel) if self._settled or not self._tunnels else self._keep(tunnel)

    def _keep(self, tunnel: _Tunnel) -> bool:
        self._waiting[tunnel] = None
        tunnel.link = self
        return True

    def _ask(self, tunnel: _Tunnel) -> bool:
        self._tunnels[tunnel] = None
        tunnel.link = self
        seconds = self._proxy.tunnel_timeout
        if seconds is not None:
            self._proxy.deadlines.set((tunnel, "tunnel"), seconds, partial(self._timed_out, tunnel, seconds))
        self._hop.perform(self._hop.core.connect(tunnel, tunnel.request, self._now()))
        return True

    def _timed_out(self, tunnel: _Tunnel, seconds: float) -> None:
        self._suspect = True
        tunnel.fail(not_in_time(self._proxy.name, tunnel.destination, seconds))

    def _serve(self) -> None:
        """What becomes of this connection is known: those that waited for that go on."""
        waiting, self._waiting = self._waiting, {}
        for tunnel in waiting:
            if not tunnel.result.called:  # by what came of the one before it
                self._proxy.place(tunnel)

    def _lose(self, tunnel: _Tunnel, reason: GunError, orderly: bool = False) -> None:
        if tunnel.carrier is None:
            tunnel.fail(unanswered(self._proxy.name, tunnel.destination, reason))
        elif orderly:
            tunnel.carrier.closed()
        else:
            tunnel.carrier.lost(reason)

    def _place_again(self, tunnel: _Tunnel, reason: GunError) -> None:
        """The proxy certainly did not look at `tunnel`: ask for it elsewhere, once."""
        if tunnel.again:
            self._lose(tunnel, reason)
        else:
            tunnel.again = True
            self.release(tunnel)
            self._proxy.place(tunnel)

    def release(self, tunnel: _Tunnel) -> None:
        """`tunnel` has no more to do with this connection, which ends with the last one."""
        self._proxy.deadlines.clear((tunnel, "tunnel"))
        self._waiting.pop(tunnel, None)
        if tunnel in self._tunnels:
            del self._tunnels[tunnel]
            self._hop.perform(self._hop.core.cancel(tunnel, self._now()))
        if not self._tunnels and not self._waiting:
            self._close()

    def _close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._up:
            self._hop.perform([*self._hop.core.shutdown(self._now()), Close()])
        elif self._connector.state == "connecting":
            self._connector.stopConnecting()
        else:
            self._hop.drop()

    # From the connector.

    def buildProtocol(self, addr: IAddress | None) -> Hop[Any]:
        creator = self._proxy.creator
        confirm = None if creator is None else lambda transport: creator.confirm(transport.getHandle())
        self._hop = Hop(self, self._proxy.deadlines, self._proxy.choose, confirm, self._proxy.hop_options)
        return self._hop

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        name = self._proxy.name
        self._end(unreached(name, connect_failure(name, reason)))

    def _end(self, reason: GunError, orderly: bool = False) -> None:
        """It was lost, or never there; `orderly` is what was closed from here, once all was sent."""
        self._closing = True
        waiting, self._waiting = self._waiting, {}
        tunnels = list(self._tunnels)
        self._proxy.gone(self)
        for tunnel in tunnels:
            self._lose(tunnel, reason, orderly)
        for tunnel in waiting:
            if tunnel.result.called:  # by what came of the one before it
                continue
            if self._up:
                self._place_again(tunnel, reason)
            else:
                tunnel.fail(reason)

    # From the hop: `net.hop.Above`.

    def up(self, hop: Hop[Any]) -> None:
        self._up = True
        self._proxy.protocol = hop.core.name
        self._serve()

    def accepting(self, hop: Hop[Any]) -> None:
        self._settled = True
        self._serve()

    def leaving(self) -> None:
        """The proxy ends the connection, but not the tunnels that there are."""

    def tell(self, event: StreamEvent) -> None:
        """Of a response nothing is of use: that it is a refusal, and why, was said before it."""

    def turn_over(self) -> bool:
        return False

    def stream_failed(self, stream: _Tunnel, reason: GunError) -> None:
        if stream.link is not self:  # it was given up in this turn
            return
        if stream.carrier is None and isinstance(reason, (GoAway, StreamRefused)):
            self._place_again(stream, reason)
        else:
            self._lose(stream, reason)

    def tunnel_opened(self, stream: _Tunnel) -> None:
        if stream.link is self:
            self._proxy.deadlines.clear((stream, "tunnel"))
            stream.open(self._hop, self._paused)

    def tunnel_refused(self, stream: _Tunnel, status: int, headers: Headers) -> None:
        if stream.link is self:
            credentials = any(name == b"proxy-authorization" for name, _ in stream.request.headers)
            stream.fail(refused(self._proxy.name, stream.destination, status, headers, credentials))

    def tunnel_data(self, stream: _Tunnel, data: bytes) -> None:
        if stream.carrier is not None:
            stream.carrier.data_received(data)

    def tunnel_closed(self, stream: _Tunnel) -> None:
        if stream.carrier is not None:
            stream.carrier.closed()

    def ping_answered(self, ping: Any, seconds: float) -> None:
        """None is sent."""

    def settings_changed(self, settings: Any) -> None:
        """The core obeys them."""

    def noticed(self, name: str, observation: Any) -> None:
        """No event handler is told of these tunnels but when they begin."""

    def upload_paused(self, stream: _Tunnel | None, paused: bool) -> None:
        if stream is None:
            self._paused = paused
        for tunnel in list(self._tunnels) if stream is None else [stream]:
            if tunnel.carrier is not None:
                tunnel.carrier.block(TRANSPORT if stream is None else CORE, paused)

    def violated(self, reason: GunError) -> None:
        for tunnel in list(self._tunnels):
            self._lose(tunnel, reason)

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        reason = reason or hop.cut_off
        why = reason or ConnectionFailed("the connection was closed")
        self._end(why if self._up else unreached(self._proxy.name, why), reason is None)
