"""
What a user holds: the connection.

It owns a life (`net/factory.py`), and the first `Route`, on which its requests go, and its tunnels. How one is opened is in
`opening.py`; what a caller gives is checked and converted in `request.py`, `upgrading.py`, `leg.py` and `options`; its bytes are in
`net/hop.py`, and what a stream carries beside HTTP is in `layer.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint

from twisted_gun.errors import BadState, GunError, ShuttingDown, StreamClosed, StreamRefused, TimedOut
from twisted_gun.events import Down, Error, Up
from twisted_gun.headers import HeadersLike
from twisted_gun.info import ConnectionInfo, Intermediary, tls_info
from twisted_gun.leg import Leg
from twisted_gun.net.dial import EndpointConnector
from twisted_gun.net.factory import GunClientFactory
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.trace import Traced
from twisted_gun.observed import ObservedRoute
from twisted_gun.options import Options
from twisted_gun.outgoing import Frames
from twisted_gun.receivers import as_receiver, check_timeout, run_hook
from twisted_gun.request import RequestOptions
from twisted_gun.route import Route, log_raised
from twisted_gun.stream import Stream
from twisted_gun.tunnel import way
from twisted_gun.turn import Turn
from twisted_gun.verbs import Verbs
from twisted_gun.waiters import Waiters
from twisted_gun.wire.core import HttpCore

__all__ = ["Connection"]


class Connection(Verbs):
    """
    A connection that comes back; made by `open`, `open_unix` or `open_url`.

    Requests may be made at any time: those made while it is not up are kept, and sent when it is. Those that a loss kills are not
    sent again; `gun_down` lists them. Nothing here blocks.
    """

    #: Called when requests may be given to it, for the first time or again; for a pool.
    _on_room: Callable[[], None] | None = None

    def __init__(
        self,
        leg: Leg,
        destination: str,
        endpoint: IStreamClientEndpoint,
        proxies: Callable[[], tuple[Intermediary, ...]],
        options: Options,
        owner: Any,
        reply_to: Any,
        reactor: Any,
    ) -> None:
        #: Whom it was opened to, an `Origin`.
        self.origin = leg.origin
        #: Where it dials, for messages.
        self.destination: str = destination
        self._options = options
        self._defaults = RequestOptions(reply_to, None)
        self._owner = owner
        self._reactor = reactor
        self._proxies = proxies  # that the endpoint goes through
        self._deadlines = Deadlines(reactor)
        self._turn = Turn()
        self._event_handler = Traced(destination, options.event_handler) if options.trace else options.event_handler
        self._route = Route(self, leg) if self._event_handler is None else ObservedRoute(self, leg)
        self._route.keeper = self
        self._up_waiters: list[Deferred[str]] = []
        self._end_waiters: Waiters[GunError | None] = Waiters()
        self._end: GunError | None = None
        self._violation: GunError | None = None  # the last one that was told
        self._factory = GunClientFactory(self, options, self._deadlines, reactor)
        if isinstance(self._route, ObservedRoute):
            endpoint = self._route.dialled(endpoint)
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
        if self._route.hop is not None and self._route.hop.running:
            return succeed(self._route.protocol)
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
        return self._end_waiters.wait()

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
            self._route.fail_all_pending(ShuttingDown("the connection was shut down before this request was sent"))
            self._factory.shutdown()
            self._route.leaving()
        return ended

    def close(self) -> None:
        """End at once, without any closing handshake. Streams end with `StreamClosed`; there is no `gun_down`."""
        if self._factory.state != "terminated":
            self._factory.close()
        # Those as well whose content waits for its handlers, which outlive the connection.
        self._end_all(StreamClosed("the connection was closed by close()"), at_once=True)

    def info(self) -> ConnectionInfo:
        """The state of the connection now; through tunnels that it has become, that of the last of them."""
        route, hop, transport, protocol = self._route.reached, self._factory.hop, None, None
        if hop is not None and hop.running and not hop.lost:
            transport = hop.transport
            # The owner who is being told that it is up may ask as well.
            protocol = hop.core.name if self._route.hop is None else self._route.protocol
        host = transport.getHost() if transport is not None else None
        origin, last = route.leg.origin, None if route.hop is None else route.hop.transport
        return ConnectionInfo(
            owner=self._owner,
            cookie_store=self._options.cookie_store,
            event_handler=self._options.event_handler,
            transport=route.leg.transport,
            state_name=self._factory.state,
            protocol=protocol,
            origin_scheme=origin.scheme if route.leg.takes_requests else None,
            origin_host=origin.host,
            origin_port=origin.port,
            intermediaries=route.through(),
            sock_ip=getattr(host, "host", None),
            sock_port=getattr(host, "port", None),
            peer=transport.getPeer() if transport is not None else None,
            tls=tls_info(last),
        )

    def flush(self) -> None:
        """Drop all events of this connection's streams that nobody has read yet."""
        self._route.flush()
        for stream in [*self._turn.unread, *self._turn.kept]:
            stream.flush()
        self._turn.unread.clear()

    # Requests.

    @property
    def raw(self) -> Stream:
        """The stream of bytes of a connection with the raw protocol; raises `BadState` with another, and while it is not up."""
        raw = self._route.end.raw
        if raw is None:
            raise BadState("this connection does not speak the raw protocol, or is not up yet: await_up tells when it is")
        return raw

    def ws_send(self, frames: Frames) -> None:
        """Send frames, as `Stream.ws_send`, on the websocket that has the whole connection to itself; else raises `BadState`."""
        self._route.end.ws_send(frames)

    def _way(self, options: Mapping[str, Any]) -> Route:
        return way(self._route, options)

    def _request(self, method: bytes, path: str | bytes, headers: HeadersLike, body: Any, options: Mapping[str, Any]) -> Stream:
        route = self._route
        if route.onward is not None or "tunnel" in options:
            route = way(route, options)
        return route.request(method, path, headers, body, options)

    def _not_open(self) -> GunError:
        """Why it takes no requests, which it does not once it is ending or has ended."""
        if self._factory.ending:
            return ShuttingDown("the connection is shutting down or closed: it takes no new requests")
        return BadState(f"the connection has ended, open a new one: {self._end or 'it was closed'}")

    # From the route: `route.Keeper`.

    def route_up(self, route: Route, hop: Hop[Any]) -> None:
        if route.raw is not None:  # who is told may send at once
            route.take(hop)
        self._factory.hop_up(hop, arrived=route.leg.onward is None)

    def route_violated(self, reason: GunError) -> None:
        if not self._factory.ending:
            self._violation = reason
            self._tell_owner(Error(connection=self, stream=None, reason=reason))

    def route_lost(self, route: Route, hop: Hop[Any], reason: GunError | None) -> None:
        self._factory.hop_lost(hop, hasattr(hop, "core"), reason)

    # From the life: `net.factory.Living`.

    def make_hop(self) -> Hop[HttpCore]:
        options = self._options
        return self._route.make_hop(
            HopOptions(
                tls_handshake_timeout=options.tls_handshake_timeout,
                send_timeout=None if self._proxies() else options.tcp_opts.send_timeout,
                nodelay=options.tcp_opts.nodelay,
                keepalive=options.tcp_opts.keepalive,
            )
        )

    def went_up(self, hop: Hop[HttpCore]) -> None:
        self._tell_owner(Up(connection=self, protocol=hop.core.name))
        if self._options.on_up is not None and hop.running:
            run_hook(self._options.on_up, self)
        if not hop.running:
            return
        # Only now, so that what was asked for first is sent first, whatever the owner asked for just now.
        waiters, self._up_waiters = self._up_waiters, []
        taken = self._route.hop is hop
        self._route.hop = hop
        for waiter in waiters:
            self._deadlines.clear((waiter, "up"))
            if not waiter.called:  # cancelled by what waited before it
                waiter.callback(hop.core.name)
        if not taken:
            self._route.take(hop)

    def went_down(self, hop: Hop[HttpCore], reason: GunError | None) -> None:
        route = self._route
        protocol: str = hop.core.name if route.hop is None else route.protocol
        losses = route.losses(hop)
        route.down(reason)
        if not self._factory.ending:
            down = Down(
                connection=self,
                protocol=protocol,
                reason=reason,
                killed_streams=_streams(stream for each in losses for stream in each.killed),
                unprocessed_streams=_streams(stream for each in losses for stream in each.unprocessed),
            )
            self._tell_owner(down)

    def terminated(self, reason: GunError | None) -> None:
        self._route.down(reason)
        self._end = reason
        if reason is None and not self._factory.ending:
            self._route.fail_pending(
                StreamRefused("the connection ended before this request was sent, and is not dialled again: send it on another")
            )
        self._end_all(reason or StreamClosed("the connection was closed"))
        up_waiters, self._up_waiters = self._up_waiters, []
        if reason is not None and reason is not self._violation:  # which has been told
            self._tell_owner(Error(connection=self, stream=None, reason=reason))
        for up in up_waiters:
            if not up.called:
                up.errback(reason or ShuttingDown("the connection was closed before it was up"))
        self._end_waiters.fire(reason)

    # Telling.

    def _tell_owner(self, event: Any) -> None:
        if self._owner is not None:
            self._call(self._owner, event)

    def _call(self, receiver: Any, event: Any) -> None:
        """Tell `receiver` of the connection."""
        try:
            getattr(receiver, event.told_as)(event)
        except Exception:
            log_raised(receiver, event, None)

    def _end_all(self, reason: GunError, at_once: bool = False) -> None:
        self._route.end_streams(reason, at_once)
        self._route.lose_layers(reason)

    def _forget_up(self, waiter: Deferred[str]) -> None:
        if waiter in self._up_waiters:
            self._up_waiters.remove(waiter)
        self._deadlines.clear((waiter, "up"))

    def _up_timed_out(self, waiter: Deferred[str], seconds: float) -> None:
        self._up_waiters.remove(waiter)
        waiter.errback(TimedOut("up", seconds, f"the connection was not up within {seconds} seconds{self._not_up()}"))

    def _not_up(self) -> str:
        """What to add to a message where the connection is not up."""
        if self._route.hop is not None and self._route.hop.running:
            return ""
        last = self._factory.last_failure
        why = "" if last is None else f"; the last attempt failed: {last}"
        trying = "" if self._factory.ending or self._factory.state == "terminated" else ", and goes on trying"
        return f" (the connection is {self._factory.state}{trying}{why})"


def _streams(keys: Iterable[Any]) -> tuple[Stream, ...]:
    """Those of `keys` that are streams, but no websockets that had been closed; each once."""
    return tuple(dict.fromkeys(key for key in keys if isinstance(key, Stream) and not key._closed))
