"""
What a user holds: the connection.

It keeps requests until the connection is up, and brings each event to the one it is meant for. How one is opened is in `opening.py`;
what a caller gives is checked and converted in `request.py`, `upgrading.py` and `options.py`; the connection's life is in
`net/factory.py`, its bytes are in `net/hop.py`, and what a stream carries beside HTTP is in `layer.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from twisted_gun.errors import (
    BadState,
    ConnectionFailed,
    GunError,
    InvalidRequest,
    LimitReached,
    ShuttingDown,
    StreamClosed,
    StreamRefused,
    TimedOut,
)
from twisted_gun.events import Data, Down, Error, Notify, Push, StreamEvent, Up, Upgrade
from twisted_gun.headers import HeadersLike, check_transform
from twisted_gun.info import ConnectionInfo, Origin, tls_info
from twisted_gun.layer import Layers
from twisted_gun.net.dial import EndpointConnector
from twisted_gun.net.factory import GunClientFactory
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tls import ConnectionCreator
from twisted_gun.net.trace import Traced
from twisted_gun.net.tunnel import CORE, TRANSPORT
from twisted_gun.options import Http2Options, HttpOptions, Options
from twisted_gun.outgoing import Frames
from twisted_gun.pings import Ping, Pings
from twisted_gun.receivers import as_receiver, check_timeout, run_hook
from twisted_gun.request import RequestOptions, check_request_options, make_request
from twisted_gun.stream import PENDING, Stream
from twisted_gun.upgrading import make_upgrade
from twisted_gun.verbs import Verbs
from twisted_gun.wire.core import HttpCore, Request
from twisted_gun.wire.cores import http2_core
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.steps import StreamFailed

__all__ = ["Connection"]


class Connection(Verbs):
    """
    A connection that comes back; made by `open`, `open_unix` or `open_url`.

    Requests may be made at any time: those made while it is not up are kept, and sent when it is. Those that a loss kills are not
    sent again; `gun_down` lists them. Nothing here blocks.
    """

    def __init__(
        self,
        origin: Origin,
        destination: str,
        endpoint: IStreamClientEndpoint,
        creator: ConnectionCreator | None,
        options: Options,
        owner: Any,
        reply_to: Any,
        reactor: Any,
    ) -> None:
        #: Whom the requests are for, an `Origin`.
        self.origin = origin
        self._options = options
        self._protocols: dict[str, Any] = dict(options.protocols or ())
        self._http: HttpOptions = self._protocols.get("http", options.http_opts)
        self._http2: Http2Options = self._protocols.get("http2", options.http2_opts)
        self._defaults = RequestOptions(reply_to, None)
        self._owner = owner
        self._creator = creator
        self._deadlines = Deadlines(reactor)
        self._hop: Hop[HttpCore] | None = None  # while requests can be sent
        self._pending: deque[tuple[Stream, Request]] = deque()
        self._live: dict[Stream, None] = {}  # in the order they were made
        self._unread: WeakSet[Stream] = WeakSet()  # ended, with events nobody has read
        self._woken: deque[tuple[Deferred[Any], Any]] = deque()  # Deferreds to fire at the end of the turn
        self._waking = False
        self._kept: list[Stream] = []  # ended in this turn, with events that those who are woken may still read
        self._transport_paused = False
        self._layers = Layers(self)  # what streams carry beside HTTP
        self._pings = Pings(self._woken)
        self._up_waiters: list[Deferred[str]] = []
        self._end_waiters: list[Deferred[GunError | None]] = []
        self._end: GunError | None = None
        self._violation: GunError | None = None  # the last one that was told
        self._factory = GunClientFactory(self, options, self._deadlines, reactor)
        #: Where it dials, for messages.
        self.destination: str = destination
        self._connector = EndpointConnector(endpoint, self._factory)
        self._connector.connect()

    def __repr__(self) -> str:
        return f"<Connection {self.origin.scheme}://{self.origin.authority.decode()} {self._factory.state}>"

    # The connection's life.

    def await_up(self, timeout: float | None = 5.0) -> Deferred[str]:
        """
        The protocol's name, once the connection is up.

        Fails with `TimedOut` after `timeout` seconds (the connection goes on trying), or with why the connection ended.
        """
        check_timeout(timeout)
        if self._hop is not None and self._hop.running:
            return succeed(self._layers.protocol(self._hop))
        if self._factory.state == "terminated":
            return fail(self._end or ShuttingDown("the connection was closed"))
        waiter: Deferred[str] = Deferred(self._forget_up)
        self._up_waiters.append(waiter)
        if timeout is not None:
            self._deadlines.set((waiter, "up"), timeout, lambda: self._up_timed_out(waiter, timeout))
        return waiter

    def when_terminated(self) -> Deferred[GunError | None]:
        """Fires once, when no more will come: with why, or with None where `close` or `shutdown` ended it."""
        if self._factory.state == "terminated":
            return succeed(self._end)
        waiter: Deferred[GunError | None] = Deferred(self._forget_end)
        self._end_waiters.append(waiter)
        return waiter

    def set_owner(self, owner: Any) -> None:
        """
        Tell `owner` of the connection from now on.

        None says that its owner has gone, and the connection is shut down, as in Gun where the owner's process exits.

        Raises `BadState` when the connection is shutting down.
        """
        if self._factory.ending or self._factory.state == "terminated":
            raise BadState("The owner of the connection cannot be changed when the connection is shutting down.")
        self._owner = as_receiver("owner", owner)
        if owner is None:
            self.shutdown()

    def shutdown(self) -> Deferred[GunError | None]:
        """
        End gracefully: what is under way finishes, new requests are refused; after ``closing_timeout`` it is ended anyway.

        Over HTTP/1.1 that is the first stream; those pipelined behind it end with `ShuttingDown`. Websockets are sent `Close` with
        1001, whose answer is waited for. Fires as `when_terminated`.
        """
        ended = self.when_terminated()
        if not self._factory.ending:
            self._fail_pending(ShuttingDown("the connection was shut down before this request was sent"))
            self._factory.shutdown()
            self.leaving()
        return ended

    def close(self) -> None:
        """End at once, without any closing handshake. Streams end with `StreamClosed`; there is no `gun_down`."""
        if self._factory.state != "terminated":
            self._factory.close()
            self._end_streams(StreamClosed("the connection was closed by close()"))

    def info(self) -> ConnectionInfo:
        """The state of the connection now."""
        hop, transport = self._factory.hop, None
        if hop is not None and hop.running and not hop.lost:
            transport = hop.transport
        host = transport.getHost() if transport is not None else None
        return ConnectionInfo(
            owner=self._owner,
            transport=str(self._options.transport),
            state_name=self._factory.state,
            protocol=self._layers.protocol(hop) if hop is not None and transport is not None else None,
            origin_scheme=self.origin.scheme,
            origin_host=self.origin.host,
            origin_port=self.origin.port,
            intermediaries=(),
            sock_ip=getattr(host, "host", None),
            sock_port=getattr(host, "port", None),
            peer=transport.getPeer() if transport is not None else None,
            tls=tls_info(transport),
        )

    def flush(self) -> None:
        """Drop all events of this connection's streams that nobody has read yet."""
        for stream in [*self._live, *self._unread, *self._kept]:
            stream.flush()
        self._unread.clear()

    # Requests.

    def ws_upgrade(self, path: str | bytes, headers: HeadersLike = (), ws_opts: Any = None, **request_options: Any) -> Stream:
        """
        Ask for a websocket at `path`: RFC 6455 over HTTP/1.1, whose whole connection it then takes, RFC 8441 over HTTP/2.

        `Upgrade` tells that it was granted, or else `Response` what the server answered instead; then `Ws` brings frames, and
        `Stream.ws_send` sends them. `ws_opts`, a `WsOptions` or a dict, takes the place of those given at open. Raises as the other
        verbs, and `OptionError`; `BadState` over HTTP/1.0.
        """
        upgrade = make_upgrade(path, headers, ws_opts, request_options, self._options.ws_opts, self._defaults, self.origin.authority)
        if self._http.version == "HTTP/1.0" and set(self._protocols) == {"http"}:
            raise BadState("Websocket cannot be used over an HTTP/1.0 connection.")
        self._check_open(upgrade.request)
        stream = Stream(self, b"GET", upgrade.reply_to)
        stream._upgrade = upgrade
        self._live[stream] = None
        self._send(stream, upgrade.request)
        return stream

    def ws_send(self, frames: Frames) -> None:
        """Send frames, as `Stream.ws_send`, on the websocket that has the whole connection to itself; else raises `BadState`."""
        if self._layers.only is None:
            raise BadState(
                "This connection does not currently accept Websocket frames. The Websocket upgrade was not performed. "
                "This may happen as a result of automatic reconnect."
            )
        self._layers.only.send(frames)

    def ping(self, **request_options: Any) -> Deferred[float]:
        """
        Ask the server for a sign of life (RFC 9113 section 6.7, RFC 6455 section 5.5.2): fires with the round trip in seconds.

        `reply_to`, or else the owner, is told by a ``ping_ack`` `Notify` too. Fails with `StreamClosed` when the connection goes down.
        Raises `BadState` over HTTP/1.1, which has no ping unless it has become a websocket, and while the connection is not up.
        """
        chosen = check_request_options(request_options, RequestOptions(self._owner, None))
        hop = self._hop
        if hop is None or not hop.running:
            raise BadState(f"the connection is {self._factory.state}: there is nobody to ping")
        only = self._layers.only
        pinged: Hop[Any] = hop if only is None or only.stream.ended else only.hop
        ping = self._pings.make(chosen.reply_to)
        steps = pinged.core.ping(ping, self._deadlines.now())
        self._pings.sent(ping)
        pinged.perform(steps)
        return ping.deferred

    def _request(self, method: bytes, path: str | bytes, headers: HeadersLike, body: Any, options: Mapping[str, Any]) -> Stream:
        chosen = check_request_options(options, self._defaults) if options else self._defaults
        request, producer = make_request(method, path, headers, body, self.origin.authority, chosen)
        if request.body is None and request.length is None and self._http.version == "HTTP/1.0":
            raise InvalidRequest("HTTP/1.0 cannot end content of unknown length: give content-length")
        self._check_open(request)
        stream = Stream(self, method, chosen.reply_to)
        if request.body is None:
            stream._carry_body(producer, request.length)
        elif request.length == 0:
            stream._left = 0  # so that the end of this content may be said, as that of any other
        self._live[stream] = None
        self._send(stream, request)
        return stream

    def _check_open(self, request: Request) -> None:
        if self._http.transform_header_name is not None:
            check_transform(self._http.transform_header_name, request.headers)
        if self._factory.ending:
            raise ShuttingDown("the connection is shutting down or closed: it takes no new requests")
        if self._factory.state == "terminated":
            raise BadState(f"the connection has ended, open a new one: {self._end or 'it was closed'}")
        if self._layers.only is not None and not self._layers.only.stream.ended:
            raise BadState("This connection only accepts Websocket frames.")

    # Sending.

    def _send(self, stream: Stream, request: Request) -> None:
        hop = self._hop
        if hop is not None and hop.running and hop.core.accepting:
            self._hand_over(hop, stream, request)
            return
        stream._queued = []
        stream._block(PENDING, True)
        self._pending.append((stream, request))
        full = hop is not None and hop.running and hop.core.full
        most = self._http2.max_waiting if full and self._http2.max_waiting is not None else self._options.max_waiting
        if len(self._pending) > most:
            self._pending.pop()
            # Told in a turn of its own: the caller does not hold the stream yet, and one that asks again at once would recurse.
            reason = LimitReached("max_waiting", most)
            self._deadlines.set((stream, "refused"), 0.0, lambda: self._fail_stream(stream, reason))

    def _hand_over(self, hop: Hop[HttpCore], stream: Stream, request: Request) -> None:
        now = self._deadlines.now()
        queued, stream._queued = stream._queued, None
        steps = (hop.core.request if request.protocol is None else hop.core.upgrade)(stream, request, now)
        if steps and type(steps[0]) is StreamFailed:  # refused: told in a turn of its own too
            self._deadlines.set((stream, "refused"), 0.0, lambda: hop.perform(steps))
            return
        hop.perform(steps)
        for data, fin in queued or ():
            hop.perform(hop.core.data(stream, data, fin, now))
        if stream._granted:
            hop.perform(hop.core.update_flow(stream, stream._granted, now))
        if stream._blocked:
            stream._block(TRANSPORT, self._transport_paused)
            stream._block(PENDING, False)

    def _data(self, stream: Stream, data: bytes, fin: bool) -> None:
        hop = self._hop
        if hop is not None:
            hop.perform(hop.core.data(stream, data, fin, self._deadlines.now()))

    def _update_flow(self, stream: Stream, increment: int) -> None:
        if stream._queued is not None or (stream._upgrade is not None and stream._layer is None):  # for what is not there yet
            stream._granted += increment
        if stream._queued is not None:
            return
        hop = self._hop_of(stream)
        if hop is not None:
            hop.perform(hop.core.update_flow(stream, increment, self._deadlines.now()))

    def _cancel(self, stream: Stream, drain: bool = False) -> None:
        if stream._queued is not None:
            self._pending = deque(entry for entry in self._pending if entry[0] is not stream)
        self._over(stream)
        hop, layer = self._hop, self._layers.get(stream)
        if layer is not None:
            layer.drop()
        elif hop is not None:
            hop.perform(hop.core.cancel(stream, self._deadlines.now(), drain))
        stream._stop(StreamClosed("this stream was cancelled"))
        self.turn_over()

    def _hold(self, stream: Stream, held: bool) -> None:
        hop = self._hop_of(stream)
        if hop is not None and hop.running:
            hop.perform(hop.core.hold(stream, held, self._deadlines.now()))

    def _hop_of(self, stream: Stream) -> Hop[Any] | None:
        """The hop that reads what `stream` is told."""
        return self._hop if stream._layer is None else stream._layer.hop

    # From the hop: `net.hop.Above`.

    def up(self, hop: Hop[HttpCore]) -> None:
        self._factory.hop_up(hop)

    def accepting(self, hop: Hop[HttpCore]) -> None:
        while self._pending and hop is self._hop and hop.running and hop.core.accepting:
            self._hand_over(hop, *self._pending.popleft())

    def leaving(self) -> None:
        for layer in self._layers.all():
            layer.shutdown()

    def tell(self, event: StreamEvent) -> None:
        stream: Any = event.stream
        if stream.ended:
            if type(event) is Push:  # which nobody was told of
                self._cancel(event.pushed_stream)
            return
        if event.fin:
            self._over(stream)
        elif type(event) is Upgrade:
            if stream._upgrade is not None and not self._layers.begin(stream, stream._upgrade, event):
                return
            stream._upgraded()
        receiver = stream._receiver
        if receiver is not None:
            try:  # as `_call`, which each message of a websocket would pay for
                getattr(receiver, event.told_as)(event)
            except Exception:
                self._receiver_raised(receiver, event, stream)
        elif stream._receive(event) and event.fin:
            self._kept.append(stream)

    def turn_over(self) -> bool:
        """Fire the Deferreds whose result has come; whether there were any."""
        woken = self._woken
        if self._waking or not (woken or self._kept):
            return False
        self._waking = True
        fired = bool(woken)
        while woken:
            deferred, result = woken.popleft()
            if deferred.called:  # a ping's, cancelled by what was woken before it
                continue
            if isinstance(result, GunError):
                deferred.errback(result)
            else:
                deferred.callback(result)
        if self._kept:
            self._unread.update(stream for stream in self._kept if stream._events)
            self._kept.clear()
        self._waking = False
        return fired

    def stream_failed(self, stream: Stream, reason: GunError) -> None:
        layer = self._layers.get(stream)
        if layer is not None:
            layer.tunnel.lost(reason)
        else:
            self.tell(Error(connection=self, stream=stream, reason=reason))

    def tunnel_data(self, stream: Stream, data: bytes) -> None:
        layer = self._layers.get(stream)
        if layer is not None:
            layer.tunnel.data_received(data)
        else:
            self.tell(Data(stream=stream, fin=False, data=data))

    def tunnel_closed(self, stream: Stream) -> None:
        layer = self._layers.get(stream)
        if layer is not None:
            layer.tunnel.closed()
        else:
            self.tell(Data(stream=stream, fin=True, data=b""))

    def ping_answered(self, ping: Ping, seconds: float) -> None:
        if ping.receiver is not None:
            self._call(ping.receiver, Notify(connection=self, type="ping_ack", info=seconds))
        self._pings.answered(ping, seconds)

    def settings_changed(self, settings: Mapping[str, int | bool]) -> None:
        self._tell_owner(Notify(connection=self, type="settings_changed", info=settings))

    def upload_paused(self, stream: Stream | None, paused: bool) -> None:
        if stream is not None:
            self._block(stream, CORE, paused)
            return
        self._transport_paused = paused
        for each in dict.fromkeys([*self._live, *self._layers.streams()]):
            self._block(each, TRANSPORT, paused)

    def _block(self, stream: Stream, why: int, blocked: bool) -> None:
        layer = self._layers.get(stream)
        if layer is not None:
            layer.tunnel.block(why, blocked)
        else:
            stream._block(why, blocked)

    def violated(self, reason: GunError) -> None:
        if not self._factory.ending:
            self._violation = reason
            self._tell_owner(Error(connection=self, stream=None, reason=reason))

    def lost(self, hop: Hop[HttpCore], reason: GunError | None) -> None:
        self._factory.hop_lost(hop, hasattr(hop, "core"), self._layers.why(reason))

    # From the life: `net.factory.Living`.

    def make_hop(self) -> Hop[HttpCore]:
        options = HopOptions(
            tls_handshake_timeout=self._options.tls_handshake_timeout,
            send_timeout=self._options.tcp_opts.send_timeout,
            nodelay=self._options.tcp_opts.nodelay,
            keepalive=self._options.tcp_opts.keepalive,
        )
        confirm = None if self._creator is None else _confirm(self._creator)
        above: Any = Traced(self, self.destination) if self._options.trace else self
        return Hop(above, self._deadlines, self._choose, confirm, options)

    def _choose(self, negotiated: bytes | None) -> HttpCore:
        """The core for what ALPN negotiated: without an answer, the only protocol offered, else HTTP/1.1; as Gun."""
        if negotiated is None:
            name = next(iter(self._protocols)) if len(self._protocols) == 1 else "http"
        else:
            name = {b"h2": "http2", b"http/1.1": "http"}.get(negotiated, "")
            if name not in self._protocols:
                raise ConnectionFailed(f"the server chose {negotiated!r}, which was not offered (RFC 7301 section 3.2)")
        if name == "http":
            return Http1(self._http)
        return http2_core(self._http2, self.origin.scheme.encode(), self._promised)

    def _promised(self, parent: Any, method: bytes) -> Stream:
        """The stream of a response that the server promises to send along with that of `parent`."""
        stream = Stream(self, method, parent._receiver)
        self._live[stream] = None
        return stream

    def went_up(self, hop: Hop[HttpCore]) -> None:
        self._transport_paused = False
        self._tell_owner(Up(connection=self, protocol=hop.core.name))
        if self._options.on_up is not None and hop.running:
            run_hook(self._options.on_up, self)
        if not hop.running:
            return
        # Only now, so that what was asked for first is sent first, whatever the owner asked for just now.
        self._hop = hop
        waiters, self._up_waiters = self._up_waiters, []
        for waiter in waiters:
            self._deadlines.clear((waiter, "up"))
            if not waiter.called:  # cancelled by what waited before it
                waiter.callback(hop.core.name)
        self.accepting(hop)

    def went_down(self, hop: Hop[HttpCore], reason: GunError | None) -> None:
        self._hop = None
        self._fail_pings(reason)
        losses: Any = hop.core.losses()
        protocol, killed = self._layers.protocol(hop), self._layers.killed(losses.killed)
        self._layers.clear()
        if not self._factory.ending:
            unprocessed = losses.unprocessed
            down = Down(connection=self, protocol=protocol, reason=reason, killed_streams=killed, unprocessed_streams=unprocessed)
            self._tell_owner(down)

    def terminated(self, reason: GunError | None) -> None:
        self._hop = None
        self._fail_pings(reason)
        self._end = reason
        if reason is None and not self._factory.ending:
            self._fail_pending(
                StreamRefused("the connection ended before this request was sent, and is not dialled again: send it on another")
            )
        self._end_streams(reason or StreamClosed("the connection was closed"))
        up_waiters, self._up_waiters = self._up_waiters, []
        end_waiters, self._end_waiters = self._end_waiters, []
        if reason is not None and reason is not self._violation:  # which has been told
            self._tell_owner(Error(connection=self, stream=None, reason=reason))
        for up in up_waiters:
            if not up.called:
                up.errback(reason or ShuttingDown("the connection was closed before it was up"))
        for waiter in end_waiters:
            if not waiter.called:
                waiter.callback(reason)

    # Telling.

    def _tell_owner(self, event: Any) -> None:
        if self._owner is not None:
            self._call(self._owner, event)

    def _call(self, receiver: Any, event: Any) -> None:
        """Tell `receiver` of the connection."""
        try:
            getattr(receiver, event.told_as)(event)
        except Exception:
            self._receiver_raised(receiver, event, None)

    def _receiver_raised(self, receiver: Any, event: Any, stream: Stream | None) -> None:
        """That is logged, and its stream is cancelled, for its state can no longer be trusted."""
        _log.failure("{receiver} raised when it was told {event}; {stream}", receiver=receiver, event=event, stream=stream)
        if stream is not None and not stream.ended:
            self._fail_stream(stream, StreamClosed("the receiver of this stream raised an exception; see the log"), drain=True)

    def _over(self, stream: Stream) -> None:
        self._live.pop(stream, None)
        stream._end()

    def _fail_stream(self, stream: Stream, reason: GunError, drain: bool = False) -> None:
        """End `stream` from our side; with `drain`, without closing the connection that others use."""
        if not stream.ended:
            self.tell(Error(connection=self, stream=stream, reason=reason))
            self._cancel(stream, drain)

    def _fail_pending(self, reason: GunError) -> None:
        pending, self._pending = self._pending, deque()
        for stream, _ in pending:
            self.stream_failed(stream, reason)
        self.turn_over()

    def _fail_pings(self, reason: GunError | None) -> None:
        self._pings.fail(reason)
        self.turn_over()

    def _end_streams(self, reason: GunError) -> None:
        self._pending.clear()
        for stream in list(self._live):
            self.tell(Error(connection=self, stream=stream, reason=reason))
        for layer in self._layers.all():
            layer.tunnel.lost(reason)
        self.turn_over()

    def _forget_up(self, waiter: Deferred[str]) -> None:
        if waiter in self._up_waiters:
            self._up_waiters.remove(waiter)
        self._deadlines.clear((waiter, "up"))

    def _forget_end(self, waiter: Deferred[GunError | None]) -> None:
        if waiter in self._end_waiters:
            self._end_waiters.remove(waiter)

    def _up_timed_out(self, waiter: Deferred[str], seconds: float) -> None:
        self._up_waiters.remove(waiter)
        waiter.errback(TimedOut("up", seconds, f"the connection was not up within {seconds} seconds{self._not_up()}"))

    def _not_up(self) -> str:
        """What to add to a message where the connection is not up."""
        if self._hop is not None and self._hop.running:
            return ""
        last = self._factory.last_failure
        why = "" if last is None else f"; the last attempt failed: {last}"
        return f" (the connection is {self._factory.state}, and goes on trying{why})"


def _confirm(creator: ConnectionCreator) -> Callable[[Any], None]:
    return lambda transport: creator.confirm(transport.getHandle())


_log = Logger()
