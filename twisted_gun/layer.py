"""
What runs on the bytes of a stream since its request was answered: a hop of its own, over a tunnel.

A websocket (`WsLayer`), whose frames may go through a protocol of the application's first (`WsProtocol`), or whatever is spoken at the
end of a tunnel (`TunnelLayer`), which is a route again. The route below tells it of the tunnel, its own hop what comes of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted_gun.errors import BadState, ConnectionFailed, GunError, ShuttingDown, StreamClosed, StreamRefused
from twisted_gun.events import Data, Error, Frame, Headers, Ping, Pong, StreamEvent, TunnelUp, Upgrade, Ws
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.tls import over_tls
from twisted_gun.net.trace import TracedAbove
from twisted_gun.net.tunnel import TRANSPORT, TunnelTransport
from twisted_gun.observers import wants_frames
from twisted_gun.options import WsOptions
from twisted_gun.outgoing import Frames, outgoing
from twisted_gun.stream import Stream
from twisted_gun.upgrading import WsUpgrade
from twisted_gun.wire.core import WsCore
from twisted_gun.wire.cores import watched_websocket_core, websocket_core
from twisted_gun.wire.handshake import check_answer
from twisted_gun.wire.steps import Write
from twisted_gun.wire.ws_session import Outgoing

if TYPE_CHECKING:
    from twisted_gun.route import Route

__all__ = ["Layer", "TunnelLayer", "WsLayer", "WsProtocol", "begin_websocket"]

#: Whether the peer takes what is sent the lowest hop watches.
_NO_SEND_TIMEOUT = None


class WsProtocol:
    """
    What an application makes of the frames of a subprotocol: `handle` is given each; Gun's gun_ws_protocol.

    `headers` are those of the response that accepted the websocket, `options` the `WsOptions` it was asked for with.
    """

    def __init__(self, stream: Stream, headers: Headers, options: WsOptions) -> None:
        self.stream = stream
        self.headers = headers
        self.options = options

    def handle(self, frame: Frame) -> int | None:
        """
        Take `frame`; how much of the stream's flow that costs, None for 1.

        This one tells it, unless it is a ping or a pong and ``silence_pings`` is set. A `Close` that is not told here is told afterwards.
        """
        if self.options.silence_pings and isinstance(frame, (Ping, Pong)):
            return 0
        self.tell(frame)
        return 1

    def tell(self, frame: Frame) -> None:
        """Tell `frame` to whoever is told of the stream."""
        self.stream._route.tell(Ws(stream=self.stream, frame=frame))


class Layer:
    """What stands on `key`, a stream of `route` whose bytes are its own."""

    hop: Hop[Any]

    def __init__(self, route: Route, key: Any, lingers: Callable[[], bool] = lambda: True) -> None:
        hop = route.hop
        assert hop is not None
        self.route = route
        self.below = hop
        self.key = key
        self.tunnel = TunnelTransport(hop, key, route._deadlines, hop.core.switched, lingers)
        #: Why it was given up, if it was.
        self.reason: GunError | None = None

    def _stand(self, protocol: Any) -> None:
        """Let `protocol` speak over the tunnel."""
        route = self.route
        route.layers[self.key] = self
        if route.hop is not None and route.hop.core.switched:
            route.only = self
        self.tunnel.block(TRANSPORT, route.paused)
        self.tunnel.connect(protocol)

    # For the stream and the route.

    @property
    def name(self) -> str:
        """Gun's name of what it speaks."""
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        raise NotImplementedError

    @property
    def reading(self) -> Hop[Any] | None:
        """The hop that reads what the stream is told."""
        return self.hop

    @property
    def open(self) -> bool:
        """Whether frames may be sent."""
        raise NotImplementedError

    def send(self, frames: Frames) -> None:
        """Send frames; raises `InvalidRequest` or `BadState`."""
        raise NotImplementedError

    def check_data(self) -> None:
        """Raises `BadState` where it takes no bytes as they are."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Let it come to its end."""
        raise NotImplementedError

    def drop(self) -> None:
        """End at once, and tell nothing."""
        raise NotImplementedError

    def why(self, reason: GunError | None) -> GunError | None:
        """Why the route ended that it had all to itself, where its transport did by `reason`."""
        raise NotImplementedError


class WsLayer(Layer):
    """The websocket that `stream` has become: an `Above` of its hop, which runs `core`."""

    hop: Hop[WsCore]

    def __init__(self, route: Route, stream: Stream, core: WsCore, protocol: Any) -> None:
        super().__init__(route, stream)
        self.stream = stream
        self.core = core
        self._protocol = protocol
        #: Where its hop takes what happens.
        self.tell: Callable[[StreamEvent], None] = route.tell if protocol is None else self._tell
        self._now = route._deadlines.now
        self._watched = hasattr(core, "told_send")
        above: Any = TracedAbove(self, f"{route.connection.destination} ws") if route.connection._options.trace else self
        self.hop = Hop(above, route._deadlines, lambda _: core, options=HopOptions(send_timeout=_NO_SEND_TIMEOUT))

    def __getattr__(self, name: str) -> Any:
        # Whatever is no matter of this layer: accepting, turn_over, ping_answered and so on.
        return getattr(self.route, name)

    def begin(self) -> None:
        """Speak, and be told."""
        route, stream = self.route, self.stream
        stream._layer = self
        self._stand(self.hop)
        # The layer's turns are turns: those who are woken in them may end the stream, and with it the layer.
        if stream._granted and not stream.ended:
            self.hop.perform(self.core.update_flow(stream, stream._granted, self._now()))
        if route.connection._factory.ending and not stream.ended:
            self.shutdown()
        if self.tunnel.whole:  # only now, for whoever is told may do anything
            route.fail_pending(StreamRefused("the connection is a websocket now; this request was not sent: send it on another"))

    # From the stream and the route.

    @property
    def name(self) -> str:
        return self.core.name

    @property
    def over(self) -> bool:
        return self.stream.ended

    @property
    def open(self) -> bool:
        return self.core.open and not self.stream.ended

    def send(self, frames: Frames) -> None:
        if self.stream.ended:
            raise BadState("the websocket has ended: it takes no more frames")
        hop, core = self.hop, self.core
        if type(frames) is str or type(frames) is bytes:
            data = core.small(frames)
            if data is not None:
                hop.write(data)
                return
        if self._watched:
            self._send_watched(hop, core, outgoing(frames))
            return
        pieces = core.send(outgoing(frames), self._now())
        if core.open:
            if len(pieces) == 1:
                hop.write(pieces[0])
            else:
                hop.write_all(pieces)
        else:  # a Close frame goes behind all that was asked for before; the time for the handshake runs
            hop.perform([Write(piece) for piece in pieces])
            self.stream._stop_producer()

    def _send_watched(self, hop: Hop[WsCore], core: Any, frames: Sequence[Outgoing]) -> None:
        """There is an event handler, which is told of each frame."""
        hop.perform(core.told_send(frames, self._now()))
        if not core.open:
            self.stream._stop_producer()

    def shutdown(self) -> None:
        if self.hop.running:
            self.hop.perform(self.core.shutdown(self._now()))
            self.stream._stop_producer()

    def drop(self) -> None:
        self.hop.drop()

    def check_data(self) -> None:
        raise BadState("this stream is a websocket and only accepts frames: use ws_send")

    def why(self, reason: GunError | None) -> GunError | None:
        return None if self.core.closed else self.reason or reason

    # From the hop: `net.hop.Above`.

    def up(self, hop: Hop[Any]) -> None:
        """Its owner is told by `Upgrade`."""

    def _tell(self, event: StreamEvent) -> None:
        if type(event) is not Ws:
            self.route.tell(event)
        elif not self.stream.ended:
            self._handle(event)

    def stream_failed(self, stream: Stream, reason: GunError) -> None:
        if isinstance(reason, ConnectionFailed):  # what the peer did is why the connection ends too, whoever closes it
            self.reason = reason
        self.route.tell(Error(connection=self.route.connection, stream=stream, reason=reason))

    def upload_paused(self, stream: Stream | None, paused: bool) -> None:
        self.stream._block(TRANSPORT, paused)

    def violated(self, reason: GunError) -> None:
        self.reason = reason  # of which the connection's owner hears when it is down

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        # Its stream, its hop and itself hold each other no longer, for the garbage collector's sake.
        stream = self.stream
        stream._layer, stream._closed = None, self.core.closed
        del self.hop, self.tell
        self.route.layer_over(self, [self.core.losses()])

    def _handle(self, event: Ws) -> None:
        route, stream = self.route, self.stream
        try:
            cost = _checked(self._protocol.handle(event.frame))
        except Exception:
            route.receiver_raised(self._protocol, event, stream)
            return
        if stream.ended:
            return
        if event.fin:
            route.tell(event)
        elif cost is not None and cost != 1 and self.hop.running:
            self.hop.perform(self.core.update_flow(stream, 1 - cost, self._now()))


def _checked(cost: Any) -> int | None:
    """What a protocol's `handle` gave; raises TypeError where that is no cost."""
    if cost is not None and type(cost) is not int:
        if iscoroutine(cost):
            cost.close()  # which nobody would await
        raise TypeError(f"handle must give the cost of a frame, an int, or None, not {type(cost).__name__}")
    return cost


def begin_websocket(route: Route, stream: Stream, asked: WsUpgrade, event: Upgrade) -> bool:
    """The server says that `stream` is a websocket now; whether what it answered lets it be one."""
    options, hop = asked.options, route.hop
    assert hop is not None
    try:
        agreement = check_answer(asked.request.headers, event.headers, options, hop.core.switched)
    except GunError as error:
        route.fail_stream(stream, error)
        return False
    make = dict(options.protocols).get(agreement.protocol) or options.default_protocol
    try:
        protocol = None if make is None else make(stream, event.headers, options)
    except Exception:
        route.receiver_raised(make, event, stream)
        return False
    if stream.ended:  # by what it made
        return False
    handler, silent = route.connection._event_handler, options.silence_pings and protocol is None
    if handler is None:
        core = websocket_core(stream, options, agreement, silent)
    else:
        core = watched_websocket_core(stream, options, agreement, silent, wants_frames(handler))
    WsLayer(route, stream, core, protocol).begin()
    return not stream.ended


class TunnelLayer(Layer):
    """
    A tunnel, and the route `inner` through it, which it keeps.

    `key` is the `Tunnel`, or else `inner` itself, where a SOCKS proxy has made the tunnel for the route below as a whole.
    """

    over = False
    _dropped = False

    def __init__(self, route: Route, key: Any, inner: Route) -> None:
        # HTTP closes a connection only when nothing more is wanted of it.
        super().__init__(route, key, lambda: inner.end.raw is not None)
        self.inner = inner
        self._spoken = route.protocol  # what is, or was, spoken at its end
        self._tunnel = key if key is not inner else None  # which ends with it

    def begin(self) -> None:
        """Speak, with TLS if that is wanted."""
        route, inner, leg = self.route, self.inner, self.inner.leg
        inner.keeper = self
        options = HopOptions(tls_handshake_timeout=leg.tls_handshake_timeout, send_timeout=_NO_SEND_TIMEOUT)
        self.hop = inner.make_hop(options)
        if self._tunnel is not None:
            self._tunnel._layer = self
        if self.tunnel.whole:
            route.lead_on(inner)
        self._stand(self.hop if leg.creator is None else over_tls(leg.creator, self.hop, route.connection._reactor))
        if self._ending and not self.over:
            self.shutdown()

    @property
    def _ending(self) -> bool:
        return self.route.connection._factory.ending or (self._tunnel is not None and self._tunnel._ending)

    # From the stream and the route.

    @property
    def name(self) -> str:
        return self._spoken if self.inner.hop is None else self.inner.protocol

    @property
    def reading(self) -> Hop[Any] | None:
        return self.inner.end.hop

    @property
    def open(self) -> bool:
        only = self.inner.end.only
        return only is not None and only.open

    def send(self, frames: Frames) -> None:
        self.inner.end.ws_send(frames)

    def check_data(self) -> None:
        if self.inner.end.raw is None:
            raise BadState("this tunnel takes requests, by its verbs; only the raw protocol takes data")

    def shutdown(self) -> None:
        if self.inner.hop is not None:
            self.inner.shutdown()
        elif not self.over:  # TLS is under way
            self._give_up(ShuttingDown("the tunnel was shut down before it was up"))

    def _give_up(self, reason: GunError) -> None:
        self.reason = reason
        self.hop.drop()

    def drop(self) -> None:
        if not self.over:
            self._dropped = True
            self.hop.drop()
        # Those as well whose content waits for its handlers.
        self.inner.end_streams(StreamClosed("the tunnel of this stream was cancelled"), at_once=True)

    def why(self, reason: GunError | None) -> GunError | None:
        return self.reason if self.over else reason

    # From the route inside: `route.Keeper`.

    def route_up(self, route: Route, hop: Hop[Any]) -> None:
        name = hop.core.name
        if route.leg.onward is None:
            if route.tunnel is not None:
                route.tunnel._is_up(name)
            else:
                route.connection._factory.arrived()
        if route.raw is not None:  # who is told may send at once
            route.take(hop)
        self._tell(TunnelUp(connection=route.connection, stream=route.tunnel, protocol=name))
        if hop.running and route.hop is None:
            route.take(hop)

    def _tell(self, event: TunnelUp) -> None:
        tunnel: Any = event.stream
        if tunnel is None:
            self.route.connection._tell_owner(event)
        else:
            tunnel._route.tell(event)

    def route_violated(self, reason: GunError) -> None:
        self.reason = reason

    def route_lost(self, route: Route, hop: Hop[Any], reason: GunError | None) -> None:
        if hasattr(hop, "core") and hop.core.served:  # and so the proxy was good for something
            self.below.core.served = True
        losses = route.losses(hop)
        self.reason = reason = None if self._dropped else self.reason or reason
        self._spoken = self.name
        self.over = True
        route.down(reason)
        self.route.layer_over(self, losses)
        tunnel = self._tunnel
        if tunnel is not None and not tunnel.ended:
            closed = self.tunnel.finished and type(reason) is ConnectionFailed and not any(each.killed for each in losses)
            if reason is None or (closed and tunnel._up is not None):
                tunnel._route.tell(Data(stream=tunnel, fin=True, data=b""))
            else:
                tunnel._route.tell(Error(connection=route.connection, stream=tunnel, reason=reason))
