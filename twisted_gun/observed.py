"""
A connection's work as an event handler is told of it (`IEventHandler`): a route that tells, and what it knows meanwhile.

A connection with an event handler has an `ObservedRoute` in the place of its `Route`, watched cores (`wire/watched.py`) in the place of
others, and dials a `watched` endpoint; one without has nothing of all this. What happens passes here on its way, and nothing is decided
here. Each request that was begun gets one end: `response_end`, `cancel`, or its place in the list of `disconnect`; those that become
websockets or tunnels are kept in mind longer, for they may be cancelled, or cut off, once more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun import observations as told
from twisted_gun.errors import ConnectionFailed, GunError, LimitReached, ProtocolViolation, ShuttingDown, StreamClosed, TimedOut, TlsFailed
from twisted_gun.events import Error, Inform, Push, Response, StreamEvent, Trailers, Upgrade
from twisted_gun.layer import Layer
from twisted_gun.leg import Leg
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.tls import ConnectionCreator
from twisted_gun.net.watch import looks_up, watched_endpoint
from twisted_gun.route import Route
from twisted_gun.stream import Stream
from twisted_gun.tunnel import Tunnel
from twisted_gun.wire.core import Core, Losses
from twisted_gun.wire.cores import watched_http2_core
from twisted_gun.wire.watched import WatchedHttp1

if TYPE_CHECKING:
    from twisted_gun.connection import Connection

__all__ = ["ObservedRoute"]

#: By these a stream is ended from here, by others the peer has done it.
_OUR_DOING = (ProtocolViolation, LimitReached, TimedOut, ShuttingDown)


class ObservedRoute(Route):
    """A route whose event handler is told what happens on it; its first one, which no other is `below`, is the connection's."""

    def __init__(self, connection: Connection, leg: Leg, below: Route | None = None, tunnel: Tunnel | None = None) -> None:
        self._observer: _Observer = below._observer if isinstance(below, ObservedRoute) else _Observer(connection)
        super().__init__(connection, leg, below, tunnel)

    def dialled(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """`endpoint`, which the connection is about to dial, as one whose attempts are told of."""
        return _Endpoint(watched_endpoint(endpoint, self._observer), looks_up(endpoint), self._observer)

    # What is made.

    def make_hop(self, options: HopOptions) -> Hop[Any]:
        watch = _Handshakes(self._observer, self.leg.creator, options.tls_handshake_timeout, self)
        return super().make_hop(replace(options, watch=watch))

    def _above(self) -> Any:
        return _Observed(self, super()._above(), self._observer)

    def _choose(self, negotiated: bytes | None) -> Core:
        leg = self.leg
        name = leg.chosen(negotiated)
        if name == "http2":
            return watched_http2_core(leg.http2, leg.origin.scheme.encode(), self._promised)
        return WatchedHttp1(leg.http) if name == "http" else super()._choose(negotiated)

    # What happens.

    def up(self, hop: Hop[Any]) -> None:
        self._observer.up(self, hop.core.name)
        super().up(hop)

    def down(self, reason: GunError | None) -> None:
        if self.below is None:
            self._observer.down(reason)
        super().down(reason)

    def noticed(self, name: str, observation: Any) -> None:
        """A core has noticed something."""
        self._observer.noticed(name, observation)

    def tell(self, event: StreamEvent) -> None:
        if event.fin:
            self._observer.told_end(event)
        super().tell(event)

    def layer_over(self, layer: Layer, losses: list[Losses]) -> None:
        super().layer_over(layer, losses)
        self._observer.layer_over(layer.key)

    # Ends that are made here.

    def cancel(self, stream: Stream, drain: bool = False) -> None:
        ends = self._ends_of(stream, StreamClosed("this stream was cancelled"))
        super().cancel(stream, drain)  # first, so that nothing which is done in a callback comes between
        self._observer.tell_all(ends)

    def fail_stream(self, stream: Stream, reason: GunError, drain: bool = False) -> None:
        self._observer.tell_all(self._ends_of(stream, reason))
        super().fail_stream(stream, reason, drain)

    def _ends_of(self, stream: Stream, reason: GunError) -> list[tuple[str, Any]]:
        """What there is to tell of the end of `stream`; what is in a tunnel ends before that."""
        ends: list[tuple[str, Any]] = []
        if isinstance(stream, Tunnel) and isinstance(stream._inner, ObservedRoute):
            ends = stream._inner._ends_inside(reason)
        return ends + self._observer.ends_of(stream, reason, "local")

    def _ends_inside(self, reason: GunError) -> list[tuple[str, Any]]:
        ends = self.onward._ends_inside(reason) if isinstance(self.onward, ObservedRoute) else []
        for stream in list(self._live):
            ends += self._ends_of(stream, reason)
        return ends


class _Observed:
    """An `Above` that sees what the hop of `route` tells before anybody else does, and passes it on to `above`."""

    def __init__(self, route: ObservedRoute, above: Any, observer: _Observer) -> None:
        self._route = route
        self._above = above
        self._observer = observer
        self.noticed = observer.noticed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._above, name)

    def tell(self, event: StreamEvent) -> None:
        """Something happened to a stream."""
        self._observer.response(event, self._route)
        self._above.tell(event)

    def stream_failed(self, stream: Any, reason: GunError) -> None:
        """It has ended; what stands on it, if anything does, ends first, and tells that."""
        if stream not in self._route.layers:
            self._observer.ended(stream, reason, _endpoint(reason))
        self._above.stream_failed(stream, reason)

    def tunnel_opened(self, key: Any) -> None:
        """The tunnel asked for is there."""
        self._observer.led_on(key._inner, key)
        self._above.tunnel_opened(key)


class _Observer:
    """What is known of one connection, and the one place from where its event handler is called."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._handler = connection._event_handler
        self._requests: dict[Any, bool] = {}  # begun and not ended, pushed ones too; whether the response has begun
        self._carrying: dict[Any, bool] = {}  # those that carry another protocol since their response; whether that was closed
        self._is_up = self._over = False
        self.handshakes: dict[Hop[Any], told.TlsHandshake] = {}  # under way
        self._dial = _Dial(self, connection)
        # `net.watch.DialWatch`, and what the endpoint tells.
        self.attempt, self.not_connected, self.connected = self._dial.attempt, self._dial.not_connected, self._dial.connected
        self.looking_up, self.looked_up, self.connecting = self._dial.looking_up, self._dial.looked_up, self._dial.connecting

    def tell(self, name: str, observation: Any) -> None:
        """Call the handler by `name`; if it raises, that is logged, and that is all."""
        try:
            getattr(self._handler, name)(observation)
        except Exception:
            _log.failure("{handler} raised in {name}, told {observation}", handler=self._handler, name=name, observation=observation)

    def of_proxy(self, creator: ConnectionCreator, timeout: float | None) -> _Handshakes:
        """Who sees TLS with a proxy."""
        return _Handshakes(self, creator, timeout)

    def handshake_over(self, hop: Hop[Any], **how: Any) -> None:
        """The TLS handshake of `hop`, if one is under way, is over."""
        handshake = self.handshakes.pop(hop, None)
        if handshake is not None:
            self.tell("tls_handshake_end", replace(handshake, **how))

    # The connection, and the tunnels that lead on.

    def up(self, route: Route, protocol: str) -> None:
        """`protocol` is spoken on `route`."""
        if route.below is None:
            self._is_up = True
        elif self._leads(route):
            self.tell("protocol_changed", told.ProtocolChanged(connection=self._connection, stream=route.tunnel, protocol=protocol))

    def _leads(self, route: Route) -> bool:
        """Whether the tunnel that `route` goes through, if it does, was not ended from within what was told just now."""
        return route.tunnel is None or route.tunnel in self._carrying

    def led_on(self, inner: Route, key: Any) -> None:
        """A proxy has made the tunnel `key`, which leads on by `inner`; unless that was ended meanwhile."""
        if key is not inner:
            self._response_over(key)
            self._carries(key)
        if not self._leads(inner):
            return
        origin = inner.leg.origin
        changed = told.OriginChanged(
            connection=self._connection,
            stream=inner.tunnel,
            type="socks5" if key is inner else "connect",
            origin_scheme=origin.scheme if inner.leg.takes_requests else None,
            origin_host=origin.host,
            origin_port=origin.port,
        )
        self.tell("origin_changed", changed)

    def down(self, reason: GunError | None) -> None:
        """The connection is down, or its life is over."""
        if self._is_up:
            self._is_up = False
            streams = (*self._requests, *(stream for stream, closed in self._carrying.items() if not closed))
            self._requests.clear()
            self._carrying.clear()
            self.tell("disconnect", told.Disconnected(connection=self._connection, reason=reason, streams=streams))
        factory = self._connection._factory
        if factory.state == "terminated" and not self._over:
            self._dial.give_up(reason or ShuttingDown("the connection was closed before it was up"))
            self.tell("terminate", told.Terminated(connection=self._connection, state=factory.ended_in, reason=reason))
            self._over = True

    # Streams.

    def noticed(self, name: str, observation: Any) -> None:
        """A core has noticed something."""
        if name == "request_start":
            self._request(observation.stream, observation)
        elif name == "protocol_changed":  # of which it knows only the stream
            changed = told.ProtocolChanged(connection=self._connection, stream=observation, protocol="ws")
            self._tell_of(observation, name, changed)
        else:
            self._tell_of(observation.stream, name, observation)

    def _tell_of(self, stream: Any, name: str, observation: Any) -> None:
        if stream in self._requests or stream in self._carrying:
            self.tell(name, observation)

    def _request(self, stream: Any, head: told.RequestHead) -> None:
        if stream._upgrade is not None:
            self.tell("ws_upgrade", told.UpgradeAsked(stream=stream, opts=stream._upgrade.options))
        self._requests[stream] = False
        self.tell("request_start", head)
        if stream.ended:  # it was cancelled in the turn in which it was asked for
            self.ended(stream, StreamClosed("this stream was cancelled"), "local")

    def response(self, event: Any, route: Route) -> None:
        """Something has come for a stream."""
        stream = event.stream
        if stream not in self._requests:
            return
        kind = type(event)
        if kind is Push:
            self._pushed(event)
            return
        if not self._requests[stream]:
            self._requests[stream] = True
            self.tell("response_start", told.OfStream(stream=stream))
        if kind is Upgrade:
            self._upgraded(event, stream, route)
        elif kind is Inform:
            self._tell_of(stream, "response_inform", told.ResponseHead(stream=stream, status=event.status, headers=event.headers))
        elif kind is Response:
            self._tell_of(stream, "response_headers", told.ResponseHead(stream=stream, status=event.status, headers=event.headers))
        elif kind is Trailers:
            self._tell_of(stream, "response_trailers", told.ResponseTrailers(stream=stream, headers=event.headers))
        if event.fin:
            self._response_over(stream)
            self._requests.pop(stream, None)

    def _response_over(self, stream: Any) -> None:
        self._tell_of(stream, "response_end", told.OfStream(stream=stream))

    def _pushed(self, event: Any) -> None:
        stream = event.stream
        self.tell("push_promise_start", told.OfStream(stream=stream))
        if stream not in self._requests:  # it was cancelled just now, and what is promised to it will be
            return
        self._requests[event.pushed_stream] = False
        promised = told.PromisedRequest(
            stream=stream, promised_stream=event.pushed_stream, method=event.method, uri=event.uri, headers=event.headers
        )
        self.tell("push_promise_end", promised)

    def _upgraded(self, event: Any, stream: Any, route: Route) -> None:
        """Over HTTP/1.1 the 101 is an interim response, behind which there is no other; over HTTP/2 the response is over."""
        switched = route.hop is not None and route.hop.core.switched
        status, name = (101, "response_inform") if switched else (200, "response_headers")
        self._tell_of(stream, name, told.ResponseHead(stream=stream, status=status, headers=event.headers))
        if not switched:
            self._response_over(stream)
        self._carries(stream)
        if stream._upgrade is None:
            self._tell_of(stream, "protocol_changed", told.ProtocolChanged(connection=self._connection, stream=stream, protocol="raw"))

    def _carries(self, stream: Any) -> None:
        if self._requests.pop(stream, None) is not None:
            self._carrying[stream] = False

    # Ends.

    def ended(self, stream: Any, reason: GunError, endpoint: str) -> None:
        """`stream` has ended, by itself; those that end with the connection `disconnect` tells of."""
        self.tell_all(self.ends_of(stream, reason, endpoint))

    def ends_of(self, stream: Any, reason: GunError, endpoint: str) -> list[tuple[str, Any]]:
        """What there is to tell of the end of `stream`, which has none any more: of TLS inside of it, if that is under way, and its own."""
        if not (stream in self._requests or stream in self._carrying) or self._falls(stream):
            return []
        self._requests.pop(stream, None)
        self._carrying.pop(stream, None)
        inside = [hop for hop, handshake in self.handshakes.items() if handshake.stream is stream]
        ends: list[tuple[str, Any]] = [("tls_handshake_end", replace(self.handshakes.pop(hop), error=reason)) for hop in inside]
        return [*ends, ("cancel", told.Cancelled(stream=stream, endpoint=endpoint, reason=reason))]

    def tell_all(self, observations: list[tuple[str, Any]]) -> None:
        """Tell one after the other."""
        for name, observation in observations:
            self.tell(name, observation)

    def told_end(self, event: StreamEvent) -> None:
        """The last event of a stream is about to be told."""
        stream: Any = event.stream
        if type(event) is Error:
            self.ended(stream, event.reason, _endpoint(event.reason))
        elif stream in self._carrying:
            if stream._layer is None:
                del self._carrying[stream]
            else:  # of a websocket the answer to its Close, say, is still to be told
                self._carrying[stream] = True

    def layer_over(self, stream: Any) -> None:
        """What stood on `stream` is gone."""
        if self._carrying.get(stream):
            del self._carrying[stream]

    def _falls(self, stream: Any) -> bool:
        """Whether `stream` ends with the connection, which is lost, or is being given up."""
        hop = self._connection._factory.hop
        if not self._is_up or hop is None or hop.lost or not hop.running:
            return True
        killed = hop.core.losses().killed
        return stream in killed if stream._route.below is None else bool(killed)


class _Dial:
    """What is told of dialling: names that are looked up, attempts to connect."""

    def __init__(self, observer: _Observer, connection: Connection) -> None:
        self._observer = observer
        self._connection = connection
        self._begun = False
        self._lookup: told.DomainLookup | None = None  # under way
        self._found: told.LookupInfo | None = None
        self._connecting: told.Connecting | None = None  # under way

    def attempt(self) -> None:
        """The connection dials, for the first time or again; raises `CancelledError` where the handler has ended it."""
        if not self._begun:
            self._begun = True
            self._observer.tell("init", self._init())
        self._found = None
        self._check()

    def _init(self) -> told.Initialised:
        connection, leg = self._connection, self._connection._route.leg
        return told.Initialised(
            connection=connection,
            owner=connection._owner,
            transport=leg.transport,
            origin_scheme=leg.origin.scheme if leg.takes_requests else None,
            origin_host=leg.origin.host,
            origin_port=leg.origin.port,
            opts=connection._options,
        )

    def _check(self) -> None:
        factory = self._connection._factory
        if factory.ending or factory.state == "terminated":
            raise CancelledError

    def looking_up(self, host: str, port: int, timeout: float | None) -> None:
        """A name is about to be looked up."""
        tcp_opts = self._connection._options.tcp_opts
        self._lookup = told.DomainLookup(connection=self._connection, host=host, port=port, tcp_opts=tcp_opts, timeout=timeout)
        self._observer.tell("domain_lookup_start", self._lookup)
        self._check()

    def looked_up(self, found: list[str] | Failure) -> None:
        """It was, or could not be."""
        lookup, self._lookup = self._lookup, None
        assert lookup is not None
        error = None
        if isinstance(found, Failure):
            error = self._why(found)
        else:
            self._found = told.LookupInfo(ip_addresses=tuple(found), port=lookup.port, tcp_opts=lookup.tcp_opts)
        self._observer.tell("domain_lookup_end", replace(lookup, lookup_info=self._found, error=error))

    def connecting(self, timeout: float | None) -> None:
        """Addresses are about to be dialled."""
        self._check()
        self._begin(timeout)
        self._check()

    def connected(self, socket: Any, protocol: str | None) -> None:
        """The connection is there, and over TCP it is known what is spoken."""
        connecting = self._connecting or self._begin(self._connection._options.connect_timeout)
        self._connecting = None
        self._observer.tell("connect_end", replace(connecting, socket=socket, protocol=protocol))

    def not_connected(self, failure: Failure) -> None:
        """The attempt has failed."""
        self.give_up(self._why(failure))

    def give_up(self, reason: GunError) -> None:
        """What is under way ends by `reason`: handshakes with proxies, too, whose connections may go a little later."""
        for hop in list(self._observer.handshakes):
            self._observer.handshake_over(hop, error=reason)
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            self._observer.tell("domain_lookup_end", replace(lookup, error=reason))
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            self._observer.tell("connect_end", replace(connecting, error=reason))

    def _begin(self, timeout: float | None) -> told.Connecting:
        self._connecting = told.Connecting(connection=self._connection, lookup_info=self._found, timeout=timeout)
        self._observer.tell("connect_start", self._connecting)
        return self._connecting

    def _why(self, failure: Failure) -> GunError:
        return self._connection._factory.why_not(failure)


class _Handshakes:
    """
    A `net.hop.HopWatch` that tells of TLS handshakes, by `creator` and in `timeout` seconds.

    `route` is where they are made; None with proxies that the connection is dialled through.
    """

    def __init__(self, observer: _Observer, creator: ConnectionCreator | None, timeout: float | None, route: Route | None = None) -> None:
        self._observer = observer
        self._creator = creator
        self._timeout = timeout
        self._route = route

    def connected(self, hop: Hop[Any], tls: bool) -> None:
        route = self._route
        if route is not None and route.below is None:
            self._observer.connected(hop.transport, None if tls else route.leg.only)
        if tls and self._creator is not None and not hop._closing:
            handshake = self._observer.handshakes[hop] = told.TlsHandshake(
                connection=self._observer._connection,
                stream=None if route is None else route.tunnel,
                socket=hop.transport,
                tls_opts=self._creator._options,
                timeout=self._timeout,
            )
            self._observer.tell("tls_handshake_start", handshake)

    def begun(self, hop: Hop[Any]) -> None:
        self._observer.handshake_over(hop, protocol=hop.core.name)

    def gone(self, hop: Hop[Any], reason: GunError | None) -> None:
        self._observer.handshake_over(hop, error=reason or ConnectionFailed("the connection was closed"))


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """An endpoint whose attempts are told of; where it does not `look_up` names itself, each begins by connecting."""

    def __init__(self, endpoint: IStreamClientEndpoint, look_up: bool, observer: _Observer) -> None:
        self._endpoint = endpoint
        self._look_up = look_up
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def __repr__(self) -> str:
        return repr(self._endpoint)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """As the endpoint's."""
        self._observer.attempt()
        if not self._look_up:
            self._observer.connecting(self._observer._connection._options.connect_timeout)
        return maybeDeferred(self._endpoint.connect, protocolFactory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._observer.not_connected(failure)
        return failure


def _endpoint(reason: GunError) -> str:
    """Who ended a stream by `reason`."""
    ours = isinstance(reason, _OUR_DOING) or (isinstance(reason, TlsFailed) and reason.alert is None)
    return "local" if ours else "remote"


_log = Logger()
