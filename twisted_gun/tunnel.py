"""
A tunnel, as a user holds it: the stream that asked a proxy for it, and the way that leads through it.

It knows the route that it travels on, and the one inside. What is spoken at its end is in `layer.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed

from twisted_gun.errors import BadState, GunError, OptionError, ShuttingDown, StreamClosed, StreamRefused, TimedOut
from twisted_gun.info import TunnelInfo
from twisted_gun.options import RawOptions
from twisted_gun.receivers import check_timeout
from twisted_gun.stream import Stream, StreamInfo
from twisted_gun.verbs import Verbs

if TYPE_CHECKING:
    from twisted_gun.route import Route

__all__ = ["Tunnel", "way"]


class Tunnel(Stream, Verbs):
    """
    A tunnel through a proxy; made by `connect`. Its verbs make requests to whom it leads, which wait until it is up.

    As a stream it tells what the proxy answers, `TunnelUp`, and its end: `Data` with ``fin`` where the peer closed it, else `Error`. With
    the raw protocol it is the stream of its bytes, too: `data` sends, `Data` brings them.
    """

    _inner: Route
    _credentials = False  # whether the proxy was given any
    _flow: float | None = None  # the request option
    _ending = False
    _up: str | None = None  # the protocol, once it is up
    _failure: GunError | None = None

    def __init__(self, route: Route, receiver: Any) -> None:
        super().__init__(route, b"CONNECT", receiver)
        self._waiters: list[Deferred[str]] = []

    def await_up(self, timeout: float | None = 5.0) -> Deferred[str]:
        """
        The name of the protocol spoken at the tunnel's end, once it is up.

        Fails with `ProxyFailed` where the proxy refused, with why the tunnel ended, or with `TimedOut` after `timeout` seconds (the tunnel
        may still come up).
        """
        check_timeout(timeout)
        if self.ended or self._failure is not None:
            return fail(self._failure or StreamClosed("the tunnel has ended"))
        if self._up is not None:
            return succeed(self._up)
        waiter: Deferred[str] = Deferred(self._forget)
        self._waiters.append(waiter)
        if timeout is not None:
            self._route._deadlines.set((waiter, "up"), timeout, lambda: self._up_timed_out(waiter, timeout))
        return waiter

    def shutdown(self) -> None:
        """Let what is under way in the tunnel finish, then end it; new requests are refused."""
        if not self.ended and not self._ending:
            self._ending = True
            if self._layer is not None:
                self._layer.shutdown()
            else:  # once the proxy has answered
                self._inner.fail_all_pending(ShuttingDown("the tunnel was shut down before this request was sent"))

    def info(self) -> StreamInfo | None:
        """What there is to know of the tunnel; None when it has ended."""
        end = self._inner.end
        origin, hop = end.leg.origin, end.hop
        told = TunnelInfo(
            transport=end.leg.transport,
            protocol=None if hop is None else end.protocol,
            origin_scheme=origin.scheme if end.leg.takes_requests else None,
            origin_host=origin.host,
            origin_port=origin.port,
        )
        return self._info(told)

    def flush(self) -> None:
        """Drop the events that nobody has read yet, those of the streams inside among them."""
        super().flush()
        self._inner.flush()

    def data(self, data: bytes | Iterable[bytes], fin: bool = False) -> None:
        """Send bytes through a tunnel with the raw protocol; `fin` ends it. Raises `BadState` with others, and before it is up."""
        if not self.ended and self._up is None:
            raise BadState("the tunnel is not up yet: await_up tells when it is")
        super().data(data, fin)

    def _way(self, options: Mapping[str, Any]) -> Route:
        return way(self._inner, options)

    def _check_open(self) -> None:
        if self.ended or self._failure is not None:
            raise BadState("the tunnel has ended: ask for another")
        if self._ending:
            raise ShuttingDown("the tunnel is shutting down: it takes no new requests")

    # From the route and the layer.

    def _is_up(self, protocol: str) -> None:
        if not self.ended:
            self._up = protocol
            self._wake_waiters(protocol)

    def _raw_options(self, usual: RawOptions) -> RawOptions:
        return usual if self._flow is None else replace(usual, flow=None if self._flow == math.inf else int(self._flow))

    def _refused(self, reason: GunError) -> None:
        """The proxy refused; its response may still be coming."""
        self._failure = reason
        self._inner.end_streams(reason)
        self._wake_waiters(reason)

    def _end(self, reason: GunError | None) -> None:
        asked = self._queued is None
        super()._end(reason)
        self._route._deadlines.clear((self, "tunnel"))
        if asked and self._layer is None and self._failure is None:
            self._route.tunnel_unmade(self)
        if self._failure is None:
            self._failure = reason or StreamClosed("the tunnel has ended")
            if self._up is not None and not isinstance(reason, ShuttingDown):
                self._inner.fail_pending(StreamRefused("the tunnel ended before this request was sent: send it through another"))
            self._inner.end_streams(self._failure)
            self._wake_waiters(self._failure)

    def _wake_waiters(self, result: Any) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._route._deadlines.clear((waiter, "up"))
            self._wake(waiter, result)

    def _forget(self, waiter: Deferred[str]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        self._route._deadlines.clear((waiter, "up"))

    def _up_timed_out(self, waiter: Deferred[str], seconds: float) -> None:
        self._waiters.remove(waiter)
        waiter.errback(TimedOut("up", seconds, f"the tunnel was not up within {seconds} seconds; it may still come up"))


def way(own: Route, options: Mapping[str, Any]) -> Route:
    """The way of a request with these `options`: through the `tunnel` among them, or else `own`; raises `BadState` or `OptionError`."""
    tunnel = options.get("tunnel")
    if tunnel is None:
        return own.end
    if not isinstance(tunnel, Stream):
        raise OptionError("tunnel", "a Tunnel, or None", tunnel)
    if not isinstance(tunnel, Tunnel) or tunnel.connection is not own.connection:
        raise BadState("The stream is not a tunnel.")
    return tunnel._inner.end
