"""
Several connections to one origin, and requests that take any of them that is free. Gun's gun_pool.

What one connection does is in `member.py`, all of them are in `members.py`, and what waits for one is in `checkouts.py`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from twisted_gun.connection import Connection
from twisted_gun.errors import BadState, ShuttingDown, TimedOut
from twisted_gun.headers import HeadersLike, check_host
from twisted_gun.net.timer import Deadlines
from twisted_gun.opening import open as dial
from twisted_gun.options import Options, make_options
from twisted_gun.outgoing import Frames
from twisted_gun.pool.checkouts import Ask, CheckoutOptions, Checkouts, Verb
from twisted_gun.pool.info import PooledConnection, PoolInfo
from twisted_gun.pool.member import Setup
from twisted_gun.pool.members import Members, MembersOptions
from twisted_gun.receivers import as_receiver, check_timeout
from twisted_gun.stream import Stream
from twisted_gun.waiters import Waiters

__all__ = ["Pool", "PoolInfo", "PooledConnection"]


class Pool:
    """
    `size` connections to `host` and `port`, opened at once; each request takes one that is free, at random, or waits for it.

    Over HTTP/1.1 a connection has one request at a time, over HTTP/2 as many as the server allows. A request that waits fails with
    `TimedOut` ("checkout") after `checkout_timeout` seconds. Beyond `max_waiting` of them it tries again after each of the seconds of
    `checkout_retry`, then fails with `LimitReached`. What was sent is never sent again by itself.

    A connection that is lost is dialled again as its own options say, and another opened in its place once it gives up, after a wait that
    grows to a minute. One that had no stream for `idle_timeout` seconds is closed, and opened again when it is wanted.

    `setup` is called with each connection each time that it is up, before any request: it may give a Deferred or be a coroutine function,
    has `setup_timeout` seconds, and what it gives is kept as the connection's `meta`. A stream, or a dict with one as ``"ws"``, serves
    `ws_send`; when that ends, `setup` is called again. If it fails, another connection takes the place of that one.

    `reply_to` is told of all streams. Options are those of `twisted_gun.open`, as keywords or as `options`. `scope` is a name, for
    `info`. `rng` is what chance comes from, a `random.Random`. Raises `OptionError` and `InvalidRequest` as `open` does.
    """

    def __init__(
        self,
        host: Any,
        port: int,
        size: int = 8,
        *,
        scope: str = "default",
        setup: Setup | None = None,
        setup_timeout: float | None = 10.0,
        reply_to: Any = None,
        checkout_timeout: float | None = 5.0,
        checkout_retry: Sequence[float] = (),
        max_waiting: int = 1000,
        idle_timeout: float | None = None,
        rng: random.Random | None = None,
        reactor: Any = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.scope, self.host, self.port = scope, check_host(host), port
        opts = make_options(options, keywords, port)
        told = as_receiver("reply_to", reply_to)
        members = MembersOptions(size=size, setup=setup, setup_timeout=setup_timeout, idle_timeout=idle_timeout)
        queue = CheckoutOptions(checkout_timeout=checkout_timeout, checkout_retry=checkout_retry, max_waiting=max_waiting)
        self._up_waiters: list[Deferred[None]] = []
        self._end_waiters: Waiters[None] = Waiters()
        self._deadlines = Deadlines(reactor)
        self._members = Members(
            members,
            lambda member: dial(host, port, owner=member, reply_to=told, reactor=reactor, options=opts),
            self._deadlines,
            (rng or random.Random()).random,
            self._changed,
            self._ended,
        )
        self._queue = Checkouts(self._deadlines, queue, self._free_to_ask, self._members.circumstances)
        self._members.open()

    def __repr__(self) -> str:
        return f"<Pool {self.scope} {self.host}:{self.port} {self._state()}>"

    # Its life.

    def await_up(self, timeout: float | None = 5.0) -> Deferred[None]:
        """Fires when it is operational; fails with `TimedOut` after `timeout` seconds (it goes on trying), or with `ShuttingDown`."""
        check_timeout(timeout)
        if self._members.ending:
            return fail(ShuttingDown("the pool was closed"))
        if self._members.operational:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._forget_up)
        self._up_waiters.append(waiter)
        if timeout is not None:
            self._deadlines.set((waiter, "up"), timeout, lambda: self._up_timed_out(waiter, timeout))
        return waiter

    def info(self) -> PoolInfo:
        """Its state now, and that of its connections."""
        return PoolInfo(
            scope=self.scope,
            host=self.host,
            port=self.port,
            state=self._state(),
            waiting=len(self._queue),
            connections=self._members.info(),
            last_failure=self._members.last_failure,
        )

    def shutdown(self) -> Deferred[None]:
        """
        End gracefully: what is under way finishes, or is ended after ``closing_timeout``; new requests and waiting ones are refused.

        Fires when all connections have ended.
        """
        ended = self._end_waiters.wait()
        self._end(graceful=True)
        return ended

    def close(self) -> None:
        """End at once. Streams end with `StreamClosed`, requests that wait with `ShuttingDown`."""
        self._end(graceful=False)

    # Requests.

    def get(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Deferred[Stream]:
        """GET, as `Connection.get`. These all give the stream, or fail as the connection's own, with `TimedOut`, or with `LimitReached`."""
        return self._ask(Connection.get, (path, headers), request_options)

    def head(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Deferred[Stream]:
        """HEAD, as `Connection.head`."""
        return self._ask(Connection.head, (path, headers), request_options)

    def options(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Deferred[Stream]:
        """OPTIONS, as `Connection.options`."""
        return self._ask(Connection.options, (path, headers), request_options)

    def delete(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Deferred[Stream]:
        """DELETE, as `Connection.delete`."""
        return self._ask(Connection.delete, (path, headers), request_options)

    def post(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Deferred[Stream]:
        """POST, as `Connection.post`."""
        return self._ask(Connection.post, (path, headers, body), request_options)

    def put(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Deferred[Stream]:
        """PUT, as `Connection.put`."""
        return self._ask(Connection.put, (path, headers, body), request_options)

    def patch(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Deferred[Stream]:
        """PATCH, as `Connection.patch`."""
        return self._ask(Connection.patch, (path, headers, body), request_options)

    def request(
        self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any
    ) -> Deferred[Stream]:
        """Any request, as `Connection.request`."""
        return self._ask(Connection.request, (method, path, headers, body), request_options)

    def headers(self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Deferred[Stream]:
        """The head of a request whose content follows, as `Connection.headers`."""
        return self._ask(Connection.headers, (method, path, headers), request_options)

    def ws_upgrade(self, path: str | bytes, headers: HeadersLike = (), ws_opts: Any = None, **request_options: Any) -> Deferred[Stream]:
        """A websocket, as `Connection.ws_upgrade`; over HTTP/1.1 it has its connection to itself until it ends."""
        return self._ask(Connection.ws_upgrade, (path, headers, ws_opts), request_options)

    def ws_send(self, frames: Frames) -> None:
        """Send frames, as `Stream.ws_send`, on one of the websockets that `setup` made, at random; raises `BadState` where none is open."""
        stream = self._members.websocket()
        if stream is None:
            raise BadState("no connection of the pool has a websocket: setup makes them, and gives each as its result")
        stream.ws_send(frames)

    def _ask(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Deferred[Stream]:
        if self._members.ending:
            return fail(ShuttingDown("the pool is shutting down or closed: it takes no new requests"))
        member = None if self._queue else self._members.free()
        if member is None:
            waiting = self._queue.wait(verb, arguments, options)
            self._wake()
            return waiting
        try:
            return succeed(member.ask(verb, arguments, options))
        except Exception:  # one way for all that may be wrong with a request: who waits is told likewise
            return fail()

    def _free_to_ask(self) -> Ask | None:
        member = self._members.free()
        if member is None:
            self._wake()
            return None
        return member.ask

    def _wake(self) -> None:
        self._members.wake(max(1, len(self._queue)))

    # From the members.

    def _changed(self) -> None:
        """Look soon, in a turn of its own, whether what waits may go on."""
        if self._queue or self._up_waiters:
            self._deadlines.set("changed", 0.0, self._go_on)

    def _go_on(self) -> None:
        self._queue.hand_out()
        if self._up_waiters and self._members.operational:
            waiters, self._up_waiters = self._up_waiters, []
            for waiter in waiters:
                self._deadlines.clear((waiter, "up"))
                if not waiter.called:  # cancelled by what waited before it
                    waiter.callback(None)

    def _ended(self) -> None:
        self._end_waiters.fire(None)

    # States and ends.

    def _state(self) -> str:
        members = self._members
        if members.ending:
            return "closed" if members.over else "closing"
        return "operational" if members.operational else "degraded"

    def _end(self, graceful: bool) -> None:
        up, self._up_waiters = self._up_waiters, []
        waiting = self._queue.leave()
        self._members.end(graceful)
        waiters: list[Deferred[Any]] = [*up, *(checkout.deferred for checkout in waiting)]
        for waiter in waiters:
            if not waiter.called:  # cancelled by what waited before it
                waiter.errback(ShuttingDown("the pool was closed before there was a connection"))
        if self._members.over:
            self._ended()

    def _forget_up(self, waiter: Deferred[None]) -> None:
        if waiter in self._up_waiters:
            self._up_waiters.remove(waiter)
        self._deadlines.clear((waiter, "up"))

    def _up_timed_out(self, waiter: Deferred[None], seconds: float) -> None:
        self._forget_up(waiter)
        waiter.errback(TimedOut("up", seconds, f"the pool was not operational within {seconds} seconds{self._members.circumstances()}"))
