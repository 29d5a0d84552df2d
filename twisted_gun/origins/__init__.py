"""
Connections to any number of origins: opened when a request needs one, kept for the next ones, and forgotten.

Connections are shared by requests of the same `Identity` only. What one origin has is in `origin.py`, one connection in `line.py`, and one
request until its answer begins in `asked.py`. What is made of an answer is for those above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, fail

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError, OptionError, ShuttingDown
from twisted_gun.headers import HeadersLike, normalise
from twisted_gun.net.timer import Deadlines
from twisted_gun.opening import open as dial
from twisted_gun.options import Options, make_options
from twisted_gun.options.checks import check_counts, check_left_out, check_seconds
from twisted_gun.origins.asked import Asked, Producer
from twisted_gun.origins.identity import OF_IDENTITY, Identity
from twisted_gun.origins.line import Line
from twisted_gun.origins.origin import Origin
from twisted_gun.pool.checkouts import CheckoutOptions
from twisted_gun.receivers import Receiver, as_receiver
from twisted_gun.request import content
from twisted_gun.stream import Stream
from twisted_gun.waiters import Waiters

__all__ = ["NOT_HERE", "Identity", "Origins", "OriginsInfo"]

#: Options of `twisted_gun.open` that mean nothing here.
NOT_HERE = {
    "retry": "a connection is opened when a request needs one",
    "retry_fun": "a connection is opened when a request needs one",
    "retry_timeout": "a connection is opened when a request needs one",
    "transport": "the scheme says it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginsInfo:
    """
    What there is now: `origins` with connections or requests, `connections`, `idle` ones among them, and requests that are `waiting`.

    And what there was so far: connections `opened`, `requests` sent, those among them that took a connection from before (`reused`), and
    those that were sent once more (`repeated`).
    """

    origins: int
    connections: int
    idle: int
    waiting: int
    opened: int
    requests: int
    reused: int
    repeated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """How many connections there may be, and how long they are kept; see `Origins`."""

    max_per_host: int
    max_idle: int
    idle_timeout: float | None

    def __post_init__(self) -> None:
        check_counts(self, "max_per_host")
        check_counts(self, "max_idle", least=0)
        check_seconds(self, "idle_timeout")


class Origins:
    """
    Connections to any number of origins, and requests that take one which is free, or wait for it.

    Over HTTP/1.1 a connection has one request at a time, and there are up to `max_per_host` of an identity; over HTTP/2 one is shared, and
    more are opened only where the server's limit of concurrent streams is reached. As long as it is not known which it will be, one is
    opened. Requests that find none free wait, up to `max_waiting` of an identity (else `LimitReached`), for `checkout_timeout` seconds
    (else `TimedOut`). Where no connection can be made, all that wait fail with why. A connection without requests is closed after
    `idle_timeout` seconds, or once there are more than `max_idle` such ones in all.

    Other options are those of `twisted_gun.open`, for all connections; those of `Identity` among them are defaults for `identity`. An
    `endpoint` may be a callable (host, port) that gives one. Raises `OptionError`.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        max_per_host: int = 6,
        max_waiting: int = 1000,
        max_idle: int = 100,
        idle_timeout: float | None = 60.0,
        checkout_timeout: float | None = None,
        endpoint: Any = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        check_left_out(keywords, NOT_HERE)
        made = make_options(options, keywords, 80)
        if made.http2_opts.enable_push or any(name == "http2" and own and own.enable_push for name, own in made.protocols or ()):
            raise OptionError("http2_opts.enable_push", "False: nobody would take what is pushed")
        connects = endpoint is None or callable(endpoint) or hasattr(endpoint, "connect")
        if not connects:
            raise OptionError("endpoint", "an IStreamClientEndpoint, a callable (host, port) that gives one, or None")
        self.options = replace(made, retry=0)
        limits = _Limits(max_per_host=max_per_host, max_idle=max_idle, idle_timeout=idle_timeout)
        self.max_per_host, self._max_idle, self._idle_timeout = limits.max_per_host, limits.max_idle, limits.idle_timeout
        self.queues = CheckoutOptions(checkout_timeout=checkout_timeout, checkout_retry=(), max_waiting=max_waiting)
        self.deadlines = Deadlines(reactor)
        self._reactor = reactor
        self._endpoint = endpoint
        self._origins: dict[Identity, Origin] = {}
        self._connections: dict[Connection, None] = {}  # that have not ended, those that nothing is asked of any more among them
        self._idle: dict[Line, tuple[float, Origin]] = {}  # since when, in that order
        self._end_waiters: Waiters[None] = Waiters()
        self.ending = False
        self.opened = self.requests = self.reused = self.repeated = 0
        self.identity("https", "localhost", 443)  # options that fit no origin are refused at once

    def __repr__(self) -> str:
        return f"<Origins of {len(self._origins)} with {len(self._connections)} connections{' closed' if self.ending else ''}>"

    # Requests.

    def identity(self, scheme: str, host: Any, port: int, **changes: Any) -> Identity:
        """The identity of an origin, by the options given to this object, and `changes` of them; raises as `Identity`."""
        options = self.options
        own = {name: getattr(options, name) for name in OF_IDENTITY}
        return Identity(**{**own, "scheme": scheme, "host": host, "port": port, "bind_address": options.tcp_opts.bind_address, **changes})

    def request(
        self,
        identity: Identity,
        method: str | bytes,
        path: str | bytes,
        headers: HeadersLike = (),
        body: Any = b"",
        *,
        reply_to: Any = None,
        **request_options: Any,
    ) -> Deferred[Stream]:
        """
        Any request, as `Connection.request`; fires with its stream once the answer has begun, of which `reply_to` was just told.

        Without a `reply_to` the answer is awaited: `Stream.await_response` gives what is there already. Until then the request is sent
        again where the server certainly did not process it, at most twice, or as often as the server goes away after it has taken others;
        and once where it is idempotent (RFC 9110 section 9.2.2) and a connection that was kept from before was lost; but not where its
        content comes from a producer that has begun. Fails with what kept it from being answered, `InvalidRequest`, or `ShuttingDown`.
        Cancelling it ends the request.
        """
        if self.ending:
            return fail(ShuttingDown("the connections were closed: no new requests are taken"))
        try:
            told = reply_to if isinstance(reply_to, Receiver) else as_receiver("reply_to", reply_to)
            fields = normalise(headers, drop_invalid=request_options.get("invalid_request_headers") == "ignore")
            if hasattr(body, "startProducing"):
                body = Producer(body)
            elif not isinstance(body, bytes):
                body = b"" if body is None else content(body)
        except GunError:
            return fail()
        origin = self._origins.get(identity)
        if origin is None:
            origin = self._origins[identity] = Origin(self, identity)
        asked = Asked(origin, (method, path, fields, body), told, request_options)
        deferred = asked.deferred
        assert deferred is not None
        asked.ask()
        return deferred

    def connection(self, identity: Identity, owner: Any) -> Connection:
        """A new connection that nobody else uses, and that ends with the others; raises `ShuttingDown`, and as `twisted_gun.open`."""
        if self.ending:
            raise ShuttingDown("the connections were closed: no new ones are opened")
        return self.dial(owner, identity)

    # Their life.

    def info(self) -> OriginsInfo:
        """What there is now, and what there was so far."""
        waiting = sum(len(origin.queue) for origin in self._origins.values())
        return OriginsInfo(
            origins=len(self._origins),
            connections=len(self._connections),
            idle=len(self._idle),
            waiting=waiting,
            opened=self.opened,
            requests=self.requests,
            reused=self.reused,
            repeated=self.repeated,
        )

    def close_idle(self) -> None:
        """Close the connections that have no requests."""
        for line, (_, origin) in list(self._idle.items()):
            origin.leave(line)

    def shutdown(self) -> Deferred[None]:
        """
        End gracefully: what is under way finishes, or is ended after ``closing_timeout``; new requests and waiting ones are refused.

        Fires when all connections have ended, as does `close`.
        """
        return self._end(Connection.shutdown)

    def close(self) -> Deferred[None]:
        """End at once. Streams end with `StreamClosed`, requests that wait with `ShuttingDown`."""
        return self._end(Connection.close)

    def _end(self, end: Callable[[Connection], object]) -> Deferred[None]:
        self.ending = True
        self.deadlines.stop()
        self._idle.clear()
        origins, self._origins = list(self._origins.values()), {}
        for origin in origins:
            origin.queue.refuse(ShuttingDown("the connections were closed before there was one for this request"))
        for conn in list(self._connections):
            end(conn)
        ended = self._end_waiters.wait()
        self._ended()
        return ended

    def _ended(self) -> None:
        if self.ending and not self._connections:
            self._end_waiters.fire(None)

    # From the origins: `origin.Shared`.

    def dial(self, owner: Any, identity: Identity) -> Connection:
        """A new connection of `owner`, a line of an origin or anybody else; raises as `open`."""
        options = identity.applied(self.options)
        if self._endpoint is not None:
            given = self._endpoint
            options = replace(options, endpoint=given if hasattr(given, "connect") else given(identity.host, identity.port))
        conn = dial(identity.host, identity.port, owner=owner, reactor=self._reactor, options=options)
        self.opened += 1
        self._connections[conn] = None
        conn.when_terminated().addCallback(lambda _: self._connection_ended(conn))
        return conn

    def forget(self, origin: Origin) -> None:
        """`origin` has neither connections nor requests."""
        if self._origins.get(origin.identity) is origin:
            del self._origins[origin.identity]

    def idle(self, line: Line, origin: Origin) -> None:
        """`line` of `origin` has no requests."""
        if self.ending or line in self._idle:
            return
        self._idle[line] = self.deadlines.now(), origin
        if len(self._idle) > self._max_idle:
            self.deadlines.set("surplus", 0.0, self._close_surplus)
        if self._idle_timeout is not None and len(self._idle) == 1:
            self.deadlines.set("idle", self._idle_timeout, self._look_who_is_idle)

    def is_idle(self, line: Line) -> bool:
        """Whether that was said of `line` last."""
        return line in self._idle

    def busy(self, line: Line) -> None:
        """`line` has requests, or has ended."""
        self._idle.pop(line, None)

    def _close_surplus(self) -> None:
        surplus = len(self._idle) - self._max_idle
        for line, (_, origin) in list(self._idle.items())[: max(0, surplus)]:
            origin.leave(line)

    def _look_who_is_idle(self) -> None:
        """One deadline is for all of them, and is not moved for each request."""
        timeout, now = self._idle_timeout, self.deadlines.now()
        assert timeout is not None
        for line, (since, origin) in list(self._idle.items()):
            if since + timeout > now:
                self.deadlines.set_at("idle", since + timeout, self._look_who_is_idle)
                return
            origin.leave(line)

    def _connection_ended(self, conn: Connection) -> None:
        del self._connections[conn]
        self._ended()
