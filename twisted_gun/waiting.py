"""
The requests that wait on a route until its hop takes them, and how they are handed over.

What is asked for while a proxy has not answered a CONNECT over HTTP/1.1 is for whoever the tunnel leads to: it waits, goes through the
tunnel, or is refused, but never comes before the eyes of the proxy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted_gun.errors import BadState, GunError, LimitReached, StreamRefused
from twisted_gun.leg import Leg
from twisted_gun.net.hop import Hop
from twisted_gun.net.refusals import not_in_time
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tunnel import TRANSPORT
from twisted_gun.stream import PENDING, Stream
from twisted_gun.tunnel import Tunnel
from twisted_gun.wire.core import Request
from twisted_gun.wire.steps import Close, Steps, StreamFailed

if TYPE_CHECKING:
    from twisted_gun.connection import Connection
    from twisted_gun.route import Route

__all__ = ["Waiting"]


class Waiting:
    """What a route knows of the requests that wait on it."""

    connection: Connection
    leg: Leg
    hop: Hop[Any] | None
    onward: Route | None
    paused: bool
    turn_over: Callable[[], bool]
    _deadlines: Deadlines
    _live: dict[Stream, None]
    #: What is made of each request before it is sent.
    _dress: tuple[Callable[[Hop[Any], Stream, Request], Request], ...] = ()

    def __init__(self) -> None:
        self._pending: deque[tuple[Stream, Request]] = deque()

    # What the heir does.

    @property
    def end(self) -> Route:
        """The way that requests take which are made here."""
        raise NotImplementedError

    def stream_failed(self, stream: Any, reason: GunError) -> None:
        """`stream` has ended by `reason`."""
        raise NotImplementedError

    def fail_stream(self, stream: Stream, reason: GunError, drain: bool = False) -> None:
        """End `stream` from our side."""
        raise NotImplementedError

    # Sending.

    def send(self, stream: Stream, request: Request) -> None:
        """Send `request`, now, or once that can be."""
        hop = self.hop
        if hop is not None and hop.running and hop.core.accepting:
            self._hand_over(hop, stream, request)
            return
        stream._queued = []
        stream._block(PENDING, True)
        self._pending.append((stream, request))
        full = hop is not None and hop.running and hop.core.full
        most = self.leg.http2.max_waiting if full and self.leg.http2.max_waiting is not None else self.connection._options.max_waiting
        if len(self._pending) > most:
            self._pending.pop()
            # Told in a turn of its own: the caller does not hold the stream yet, and one that asks again at once would recurse.
            reason = LimitReached("max_waiting", most)
            self._deadlines.set((stream, "refused"), 0.0, lambda: self.fail_stream(stream, reason))

    def _hand_over(self, hop: Hop[Any], stream: Stream, request: Request) -> None:
        queued, stream._queued = stream._queued, None
        for dress in self._dress:
            request = dress(hop, stream, request)
        if self.leg.forward is not None:  # only now: what waits for a tunnel instead is not for the proxy
            request = self.leg.forward.of(request)
        steps = self._ask(hop, stream, request)
        if steps and type(steps[0]) is StreamFailed:  # refused: told in a turn of its own too
            self._deadlines.set((stream, "refused"), 0.0, lambda: hop.perform(steps))
            return
        hop.perform(steps)
        for data, fin in queued or ():
            hop.perform(hop.core.data(stream, data, fin, self._deadlines.now()))
        if stream._granted:
            hop.perform(hop.core.update_flow(stream, stream._granted, self._deadlines.now()))
        if stream._blocked:
            stream._block(TRANSPORT, self.paused)
            stream._block(PENDING, False)

    def _ask(self, hop: Hop[Any], stream: Stream, request: Request) -> Steps:
        """Ask the core of `hop` for what `request` wants."""
        core, now = hop.core, self._deadlines.now()
        if request.protocol is not None:
            return core.upgrade(stream, request, now)  # type: ignore[no-any-return]
        if type(stream) is Stream:
            return core.request(stream, request, now)  # type: ignore[no-any-return]
        return self._ask_for_tunnel(core, stream, request)

    def _ask_for_tunnel(self, core: Any, tunnel: Any, request: Request) -> Steps:
        try:
            steps: Steps = core.connect(tunnel, request, self._deadlines.now())
        except BadState as error:
            return [StreamFailed(tunnel, error)]
        self._watch_tunnel(tunnel, tunnel._inner.leg.tunnel_timeout)
        return steps

    def _watch_tunnel(self, key: Any, limit: float | None) -> None:
        if limit is not None:
            self._deadlines.set((key, "tunnel"), limit, lambda: self._tunnel_timed_out(key, limit))

    def _tunnel_timed_out(self, key: Any, limit: float) -> None:
        inner = key._inner
        error = not_in_time(self.leg.where, inner.leg.where, limit)
        if key is not inner:
            self.fail_stream(key, error)
        elif self.hop is not None:
            self.hop.perform([Close(error)])

    def accepting(self, hop: Hop[Any]) -> None:
        """The hop takes requests again."""
        while self._pending and hop is self.hop and hop.running and hop.core.accepting:
            self._hand_over(hop, *self._pending.popleft())
        if self.connection._on_room is not None:
            self.connection._on_room()

    # Tunnels.

    def lead_on(self, inner: Route) -> None:
        """The whole of this way belongs to a tunnel now: who waits goes through it."""
        if self.onward is inner:
            return
        self.onward = inner
        inner = inner.end
        ours, theirs = self.leg.origin.authority, inner.leg.origin.authority
        for stream, request in self._pending:
            if request.authority == ours:  # whom it is for the caller did not say
                request = replace(request, authority=theirs)
            self._live.pop(stream, None)
            inner._live[stream] = None
            stream._route = inner
            if isinstance(stream, Tunnel):
                stream._inner.below = inner
            inner._pending.append((stream, request))
        self._pending.clear()

    def _behind(self, tunnel: Stream) -> list[Stream]:
        """
        What waits for `tunnel`, whose proxy has not answered yet, to have the whole of this way.

        It is for whoever the tunnel leads to, and must never come before the eyes of the proxy.
        """
        spoken = self.leg.only if self.hop is None else self.hop.core.name
        if not isinstance(tunnel, Tunnel) or tunnel._layer is not None or spoken != "http":
            return []
        waiting = [stream for stream, _ in self._pending]
        return waiting[waiting.index(tunnel) + 1 :] if tunnel in waiting else waiting

    def _refuse_behind(self, streams: list[Stream]) -> None:
        self._pending = deque(entry for entry in self._pending if entry[0] not in streams)
        for stream in streams:
            self.stream_failed(stream, StreamRefused("there is no tunnel, which this request has waited for; it was not sent to the proxy"))

    def tunnel_unmade(self, tunnel: Tunnel) -> None:
        """`tunnel` has ended before its proxy answered."""
        self._refuse_behind(self._behind(tunnel))

    # Ends.

    def fail_pending(self, reason: GunError) -> None:
        """What has waited, here or for a SOCKS proxy to lead on, is not sent any more."""
        pending, self._pending = self._pending, deque()
        for stream, _ in pending:
            self.stream_failed(stream, reason)
        if self.leg.onward is not None and self.onward is not None:
            self.onward.fail_pending(reason)
        self.turn_over()

    def fail_all_pending(self, reason: GunError) -> None:
        """Likewise, and in the tunnels."""
        self.fail_pending(reason)
        for route in (self, self.end):
            for tunnel in [stream for stream in route._live if isinstance(stream, Tunnel)]:
                tunnel._inner.fail_all_pending(reason)
