"""
A way for requests: the hop that carries them, the streams on it, and the layers that stand on some. Those that wait are in `waiting.py`.

A connection has one, and each tunnel leads to another. It is what its hop tells (`net.hop.Above`), and brings each event to the one it is
meant for. Who keeps it (`Keeper`), the connection or the tunnel that it goes through, is told when it is up and when it is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from twisted.logger import Logger

from twisted_gun.contents import Contents
from twisted_gun.errors import (
    BadState,
    ConnectionFailed,
    GunError,
    InvalidRequest,
    ShuttingDown,
    StreamClosed,
)
from twisted_gun.events import Data, Error, Headers, Notify, Push, StreamEvent, Upgrade
from twisted_gun.headers import HeadersLike, check_transform
from twisted_gun.info import Intermediary
from twisted_gun.jar import Jar
from twisted_gun.layer import Layer, TunnelLayer, begin_websocket
from twisted_gun.leg import Leg, leg_to
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.refusals import refused
from twisted_gun.net.trace import TracedAbove
from twisted_gun.net.tunnel import CORE, TRANSPORT
from twisted_gun.outgoing import Frames
from twisted_gun.pings import Ping, Pings
from twisted_gun.request import RequestOptions, check_request_options, connect_request, make_connect, make_request
from twisted_gun.stream import Stream
from twisted_gun.tunnel import Tunnel
from twisted_gun.upgrading import make_upgrade
from twisted_gun.waiting import Waiting
from twisted_gun.wire.core import Core, Losses, Request
from twisted_gun.wire.cores import http2_core
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.raw import Raw
from twisted_gun.wire.socks5 import Socks5

if TYPE_CHECKING:
    from twisted_gun.connection import Connection

__all__ = ["Keeper", "Route"]


class Keeper(Interface):
    """Who keeps a route: the connection, or what a tunnel has become."""

    def route_up(self, route: Route, hop: Hop[Any]) -> None:
        """The hop's core runs; it is for the keeper to let the route `take` it."""

    def route_violated(self, reason: GunError) -> None:
        """The hop is being given up because of `reason`."""

    def route_lost(self, route: Route, hop: Hop[Any], reason: GunError | None) -> None:
        """The hop's transport is gone."""


class Route(Waiting):
    """The way along `leg`; it stands on a stream of the route `below`, and goes through `tunnel`, None for the connection itself."""

    #: A route is the key of the one tunnel of the SOCKS proxy below, as streams are keys of others; but it is nobody to be told anything.
    ended = True

    def __init__(self, connection: Connection, leg: Leg, below: Route | None = None, tunnel: Tunnel | None = None) -> None:
        super().__init__()
        self.connection = connection
        self.leg = leg
        self.below = below
        self.tunnel = tunnel
        self.keeper: Keeper
        #: Where requests go from here instead: through the tunnel that has taken the whole of this way.
        self.onward: Route | None = None if leg.onward is None else type(self)(connection, leg.onward, self, tunnel)
        self.hop: Hop[Any] | None = None  # while requests can be sent
        self.layers: dict[Any, Layer] = {}
        self.only: Layer | None = None  # the layer that has the whole of it to itself
        self._takes_requests = leg.takes_requests
        self.raw: Stream | None = None  # whose bytes are spoken here, where no HTTP is
        self.paused = False  # whether its transport takes nothing
        self.pings = Pings(connection._turn.woken)
        self.turn_over = connection._turn.over
        self._deadlines = connection._deadlines
        self._inner_losses: list[Losses] = []  # of what stood on streams that ended with the hop
        self._live: dict[Stream, None] = {}  # in the order they were made

    @property
    def _inner(self) -> Route:
        """As a key: the route through the tunnel."""
        return self

    @property
    def end(self) -> Route:
        """The way that requests take which are made here."""
        route = self
        while route.onward is not None:
            route = route.onward
        return route

    @property
    def reached(self) -> Route:
        """As `end`, but no farther than it is up."""
        route = self
        while route.onward is not None and route.onward.hop is not None:
            route = route.onward
        return route

    def through(self) -> tuple[Intermediary, ...]:
        """The proxies on the way here, the first one first."""
        below = self.below
        if below is None:
            return self.connection._proxies()
        protocol = "" if below.hop is None else below.hop.core.name
        origin, kind = below.leg.origin, "socks5" if protocol == "socks" else "connect"
        made = Intermediary(type=kind, host=origin.host, port=origin.port, transport=below.leg.transport, protocol=protocol)
        return (*below.through(), made)

    @property
    def protocol(self) -> str:
        """Gun's name of what is spoken here; its hop is up."""
        assert self.hop is not None
        name: str = self.hop.core.name if self.only is None else self.only.name
        return name

    # What is asked for.

    def request(self, method: bytes, path: str | bytes, headers: HeadersLike, body: Any, options: Mapping[str, Any]) -> Stream:
        """A request by `method`, as `Verbs.request` says."""
        defaults = self.connection._defaults
        chosen = check_request_options(options, defaults) if options else defaults
        leg = self.leg
        request, producer = make_request(method, path, headers, body, leg.origin.authority, chosen)
        if request.body is None and request.length is None and leg.http.version == "HTTP/1.0":
            raise InvalidRequest("HTTP/1.0 cannot end content of unknown length: give content-length")
        self._check_open(request)
        stream = Stream(self, method, chosen.reply_to)
        if request.body is None:
            stream._carry_body(producer, request.length)
        elif request.length == 0:
            stream._left = 0  # so that the end of this content may be said, as that of any other
        self._live[stream] = None
        self.send(stream, request)
        return stream

    def ws_upgrade(self, path: str | bytes, headers: HeadersLike, ws_opts: Any, options: Mapping[str, Any]) -> Stream:
        """A request for a websocket, as `Verbs.ws_upgrade` says."""
        connection, leg = self.connection, self.leg
        upgrade = make_upgrade(path, headers, ws_opts, options, connection._options.ws_opts, connection._defaults, leg.origin.authority)
        if leg.http.version == "HTTP/1.0" and leg.only == "http":
            raise BadState("Websocket cannot be used over an HTTP/1.0 connection.")
        if leg.forward is not None:
            raise BadState("a websocket needs a tunnel through the proxy: open the connection with proxy_mode='tunnel'")
        self._check_open(upgrade.request)
        stream = Stream(self, b"GET", upgrade.reply_to)
        stream._upgrade = upgrade
        self._live[stream] = None
        self.send(stream, upgrade.request)
        return stream

    def connect(self, destination: Any, headers: HeadersLike, options: Mapping[str, Any]) -> Tunnel:
        """A request for a tunnel, as `Verbs.connect` says."""
        asked = make_connect(destination, headers, options, self.connection._defaults)
        leg = leg_to(asked.destination, self.connection._options)
        self._check_open(asked.request)
        if self.hop is not None and self.hop.core.name == "http" and self._live:
            raise BadState("CONNECT can only be used with HTTP/1.1 when no other streams are active.")
        tunnel = Tunnel(self, asked.reply_to)
        tunnel._inner = type(self)(self.connection, leg, self, tunnel)
        tunnel._flow = asked.request.flow
        tunnel._credentials = any(name == b"proxy-authorization" for name, _ in asked.request.headers)
        self._live[tunnel] = None
        self.send(tunnel, asked.request)
        return tunnel

    def ping(self, options: Mapping[str, Any]) -> Ping:
        """A ping, as `Verbs.ping` says."""
        chosen = check_request_options(options, RequestOptions(self.connection._owner, None))
        hop = self.hop
        if hop is None or not hop.running:
            raise BadState(f"{self._name_of_state()}: there is nobody to ping")
        pinged: Hop[Any] = hop if self.only is None or self.only.over else self.only.hop
        ping = self.pings.make(chosen.reply_to)
        steps = pinged.core.ping(ping, self._deadlines.now())
        self.pings.sent(ping)
        pinged.perform(steps)
        return ping

    def ws_send(self, frames: Frames) -> None:
        """Send frames on the websocket that has all of this to itself."""
        if self.only is None:
            raise BadState(
                "This connection does not currently accept Websocket frames. The Websocket upgrade was not performed. "
                "This may happen as a result of automatic reconnect."
            )
        self.only.send(frames)

    def _check_open(self, request: Request) -> None:
        transform, factory = self.leg.http.transform_header_name, self.connection._factory
        if transform is not None:
            check_transform(transform, request.headers)
        if self.leg.forward is not None and not request.authority:
            raise InvalidRequest("header host: it is empty, and so the proxy would not know whom the request is for")
        if factory.ending or factory.state == "terminated":
            raise self.connection._not_open()
        if self.tunnel is not None:
            self.tunnel._check_open()
        if not self._takes_requests:
            raise BadState("This connection does not accept new requests to be opened nor does it accept Websocket frames.")
        if self.only is not None and not self.only.over:
            raise BadState("This connection only accepts Websocket frames.")

    def data(self, stream: Stream, data: bytes, fin: bool) -> None:
        """Send `data` for `stream`."""
        hop = self._hop_of(stream)
        if hop is not None:
            hop.perform(hop.core.data(stream, data, fin, self._deadlines.now()))

    def update_flow(self, stream: Stream, increment: int) -> None:
        """Allow `stream` so many more events."""
        hop = self._hop_of(stream)
        becoming = stream._upgrade is not None or isinstance(stream, Tunnel)
        if stream._queued is not None or hop is None or (becoming and stream._layer is None):  # for what is not there yet
            stream._granted += increment
        if stream._queued is None and hop is not None:
            hop.perform(hop.core.update_flow(stream, increment, self._deadlines.now()))

    def cancel(self, stream: Stream, drain: bool = False) -> None:
        """End `stream` at once, and tell no more of it."""
        behind = self._behind(stream)
        if self._pending:
            self._pending = deque(entry for entry in self._pending if entry[0] is not stream)
        stream._route._live.pop(stream, None)
        stream._end(None)
        hop, layer = self.hop, self.layers.get(stream)
        if layer is not None:
            layer.drop()
        elif hop is not None:
            hop.perform(hop.core.cancel(stream, self._deadlines.now(), drain))
        stream._stop(StreamClosed("this stream was cancelled"))
        self._refuse_behind(behind)
        self.turn_over()

    def hold(self, stream: Stream, held: bool) -> None:
        """Hold the peer back, or no longer, for `stream` has more than it can use."""
        hop = self._hop_of(stream)
        if hop is not None and hop.running:
            hop.perform(hop.core.hold(stream, held, self._deadlines.now()))

    def _hop_of(self, stream: Stream) -> Hop[Any] | None:
        """The hop that reads what `stream` is told."""
        return self.hop if stream._layer is None else stream._layer.reading

    # From the hop: `net.hop.Above`.

    def up(self, hop: Hop[Any]) -> None:
        self.keeper.route_up(self, hop)

    def leaving(self) -> None:
        for layer in list(self.layers.values()):
            layer.shutdown()

    def tell(self, event: StreamEvent) -> None:
        stream: Any = event.stream
        if stream.ended:
            if type(event) is Push:  # which nobody was told of
                self.cancel(event.pushed_stream)
            return
        if event.fin:
            stream._route._live.pop(stream, None)
            stream._end(event.reason if type(event) is Error else None)
        elif type(event) is Upgrade:
            if stream._upgrade is not None and not begin_websocket(self, stream, stream._upgrade, event):
                return
            stream._upgraded()
        receiver = stream._receiver
        if receiver is not None:
            try:
                getattr(receiver, event.told_as)(event)
            except Exception:
                self.receiver_raised(receiver, event, stream)
        elif stream._receive(event) and event.fin:
            self.connection._turn.kept.append(stream)

    def stream_failed(self, stream: Any, reason: GunError) -> None:
        layer = self.layers.get(stream)
        if layer is not None:
            layer.tunnel.lost(reason)
        else:
            self.tell(Error(connection=self.connection, stream=stream, reason=reason))

    def tunnel_opened(self, key: Any) -> None:
        self._deadlines.clear((key, "tunnel"))
        inner = key._inner
        if key is inner or not key.ended:
            TunnelLayer(self, key, inner).begin()

    def tunnel_refused(self, tunnel: Tunnel, status: int, headers: Headers) -> None:
        self._deadlines.clear((tunnel, "tunnel"))
        if tunnel.ended:
            return
        tunnel._refused(refused(self.leg.where, tunnel._inner.leg.where, status, headers, tunnel._credentials))
        self._refuse_behind(self._behind(tunnel))

    def tunnel_data(self, stream: Any, data: bytes) -> None:
        layer = self.layers.get(stream)
        if layer is not None:
            layer.tunnel.data_received(data)
        else:
            self.tell(Data(stream=stream, fin=False, data=data))

    def tunnel_closed(self, stream: Any) -> None:
        layer = self.layers.get(stream)
        if layer is not None:
            layer.tunnel.closed()
        else:
            self.tell(Data(stream=stream, fin=True, data=b""))

    def ping_answered(self, ping: Ping, seconds: float) -> None:
        if ping.receiver is not None:
            self.connection._call(ping.receiver, Notify(connection=self.connection, type="ping_ack", info=seconds))
        self.pings.answered(ping, seconds)

    def settings_changed(self, settings: Mapping[str, int | bool]) -> None:
        self.connection._tell_owner(Notify(connection=self.connection, type="settings_changed", info=settings))

    def upload_paused(self, stream: Any | None, paused: bool) -> None:
        if stream is not None:
            self._block(stream, CORE, paused)
            return
        self.paused = paused
        raw = () if self.raw is None else (self.raw,)
        for each in dict.fromkeys([*self._live, *self.layers, *raw]):
            self._block(each, TRANSPORT, paused)

    def _block(self, stream: Any, why: int, blocked: bool) -> None:
        layer = self.layers.get(stream)
        if layer is not None:
            layer.tunnel.block(why, blocked)
        else:
            stream._block(why, blocked)

    def violated(self, reason: GunError) -> None:
        self.keeper.route_violated(reason)

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        self.lose_layers(reason or ConnectionFailed("the connection was closed"))
        self.keeper.route_lost(self, hop, reason if self.only is None else self.only.why(reason))

    # From its keeper.

    def make_hop(self, options: HopOptions) -> Hop[Any]:
        """A hop whose core this leg chooses."""
        self.paused = False
        creator = self.leg.creator
        confirm = None if creator is None else lambda transport: creator.confirm(transport.getHandle())
        name = self.connection.destination if self.below is None else f"{self.connection.destination} > {self.leg.where}"
        above = TracedAbove(self._above(), name) if self.connection._options.trace else self._above()
        return Hop(above, self._deadlines, self._choose, confirm, options)

    def _above(self) -> Any:
        """What stands above a hop: this route, and between them who looks after content and cookies, and dresses requests for that."""
        above: Any = self
        options, leg = self.connection._options, self.leg
        self._dress = ()
        if leg.http.content_handlers or leg.http2.content_handlers:
            above = contents = Contents(above)
            self._dress = (contents.dress,)
        if options.cookie_store is not None:
            above = jar = Jar(self, above, options.cookie_store)
            self._dress += (jar.dress,)
        return above

    def _choose(self, negotiated: bytes | None) -> Core:
        leg = self.leg
        name = leg.chosen(negotiated)
        if name == "http2":
            return http2_core(leg.http2, leg.origin.scheme.encode(), self._promised)
        if name == "raw":
            return Raw(self._raw_stream(), leg.options if self.tunnel is None else self.tunnel._raw_options(leg.options))
        return Http1(leg.http) if name == "http" else Socks5(leg.options)

    def _promised(self, parent: Any, method: bytes) -> Stream:
        """The stream of a response that the server promises to send along with that of `parent`."""
        stream = Stream(self, method, parent._receiver)
        self._live[stream] = None
        return stream

    def _raw_stream(self) -> Stream:
        """The stream whose bytes are spoken here: the tunnel's, or else one of the connection's own."""
        if self.tunnel is not None:
            self.raw = self.tunnel
        else:
            self.raw = Stream(self, b"raw", self.connection._defaults.reply_to)
            self._live[self.raw] = None
        self.raw._open = True
        return self.raw

    def take(self, hop: Hop[Any]) -> None:
        """Send by `hop`, which is up, and what has waited first of all."""
        self.hop = hop
        if self.leg.onward is not None:
            self._go_onward(hop)
        elif self.raw is not None:
            if self.raw._granted:
                hop.perform(hop.core.update_flow(self.raw, self.raw._granted, self._deadlines.now()))
        else:
            self.accepting(hop)

    def _go_onward(self, hop: Hop[Any]) -> None:
        """Ask the SOCKS proxy at the end of this leg for the tunnel of the next one."""
        onward = self.onward
        assert onward is not None
        request = connect_request(onward.leg.origin.host, onward.leg.origin.port)
        try:
            steps = hop.core.connect(onward, request, self._deadlines.now())
        except BadState:  # whoever was told that it is up has ended it
            return
        self._watch_tunnel(onward, onward.leg.tunnel_timeout)
        hop.perform(steps)

    def shutdown(self) -> None:
        """Let what is under way finish, and take nothing new."""
        self.fail_all_pending(ShuttingDown("the tunnel was shut down before this request was sent"))
        if self.hop is not None and self.hop.running:
            self.hop.perform(self.hop.core.shutdown(self._deadlines.now()))
            self.leaving()

    def losses(self, hop: Hop[Any]) -> list[Losses]:
        """The streams that ended with `hop`, and those inside of them; to be asked once it is lost."""
        fallen, self._inner_losses = self._inner_losses, []
        return [hop.core.losses(), *fallen] if hasattr(hop, "core") else fallen

    def down(self, reason: GunError | None) -> None:
        """Its hop is lost; what was told of streams was told."""
        self.hop = self.only = self.raw = None
        if self.leg.onward is None:
            self.onward = None
        else:
            self._deadlines.clear((self.onward, "tunnel"))
        self.pings.fail(reason)
        self.turn_over()

    # Ends.

    def layer_over(self, layer: Layer, losses: list[Losses]) -> None:
        """What stood on a stream has ended; where it did with all of this, the `losses` are told with those of its hop."""
        hop = self.hop
        if hop is None or hop.lost or not hop.running or layer.key in hop.core.losses().killed:
            self._inner_losses += losses
        self.layers.pop(layer.key, None)
        if self.only is layer and self.leg.onward is None:
            self.onward = None

    def receiver_raised(self, receiver: Any, event: Any, stream: Stream) -> None:
        """That is logged, and its stream is cancelled, for its state can no longer be trusted."""
        log_raised(receiver, event, stream)
        if not stream.ended:
            self.fail_stream(stream, StreamClosed("the receiver of this stream raised an exception; see the log"), drain=True)

    def fail_stream(self, stream: Stream, reason: GunError, drain: bool = False) -> None:
        """End `stream` from our side; with `drain`, without closing the connection that others use."""
        if not stream.ended:
            self.tell(Error(connection=self.connection, stream=stream, reason=reason))
            self.cancel(stream, drain)

    def end_streams(self, reason: GunError, at_once: bool = False) -> None:
        """Nobody is told any more, but that it is over; unless `at_once`, those go on all of whose content waits for its handlers."""
        self._pending.clear()
        for stream in list(self._live):
            if at_once or stream._content is None or not stream._content.complete:
                self.tell(Error(connection=self.connection, stream=stream, reason=reason))
        if self.onward is not None:
            self.onward.end_streams(reason, at_once)
        self.turn_over()

    def lose_layers(self, reason: GunError) -> None:
        """What stands on it ends, too."""
        for layer in list(self.layers.values()):
            layer.tunnel.lost(reason)

    def flush(self) -> None:
        """Drop the events that nobody has read yet."""
        for stream in list(self._live):  # what is told then may end it
            stream.flush()
        if self.leg.onward is not None and self.onward is not None:
            self.onward.flush()

    def _name_of_state(self) -> str:
        return f"the connection is {self.connection._factory.state}" if self.tunnel is None else "the tunnel is not up"


def log_raised(receiver: Any, event: Any, stream: Stream | None) -> None:
    """A receiver raised."""
    _log.failure("{receiver} raised when it was told {event}; {stream}", receiver=receiver, event=event, stream=stream)


_log = Logger()
