"""
One connection of a pool: from when it is opened, or waits to be, until another takes its place.

It is told of its connection, runs the setup hook each time that is up, and says whether it has room for a request. It counts the streams
that it was asked for, and that have not ended. Which of many is asked, and what takes its place, is for whoever keeps it (`Keeper`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_gun.connection import Connection
from twisted_gun.errors import BadState, GunError, TimedOut
from twisted_gun.events import Down, TunnelUp, Up
from twisted_gun.net.timer import Deadlines
from twisted_gun.pool.checkouts import Verb
from twisted_gun.pool.info import PooledConnection
from twisted_gun.receivers import Receiver
from twisted_gun.stream import Stream

__all__ = ["Keeper", "Member", "Setup"]

#: What a setup hook is called with, and what it may give: anything, or a Deferred or a coroutine of that.
Setup = Callable[[Connection], Any]

#: How long a connection has to be up to have been no failure, whatever it was good for: as `GunClientFactory` has it.
_STEADY_SECONDS = 10.0
#: Of connections that take the place of those that have failed: how long the first one waits at most, and how long any does.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0


class Keeper(Interface):
    """Who keeps it among others."""

    #: As in `Pool`.
    setup: Setup | None
    setup_timeout: float | None
    idle_timeout: float | None
    deadlines: Deadlines
    #: A number from 0 to 1.
    chance: Callable[[], float]
    #: To be told that there may be room where there was none; this may be in the midst of anything, and is not acted upon at once.
    changed: Callable[[], None]

    def dial(self, member: Member) -> Connection:
        """A new connection, whose owner is `member`."""

    def replace(self, member: Member, seconds: float | None, reason: BaseException | None) -> None:
        """Let another take the place of `member`: in so many seconds, or, with None, when it is wanted; `reason` is why, if it failed."""


class Member(Receiver):
    """The owner of a connection; `failures` is how many before it were good for nothing, in a row."""

    def __init__(self, keeper: Keeper, failures: int) -> None:
        self._keeper = keeper
        #: How many connections in a row were good for nothing, this one included once it has failed.
        self.failures = failures
        self.state = "idle"
        self.connection: Connection | None = None
        #: How many streams it was asked for that have not ended.
        self.streams = 0
        #: What the setup hook gave, and the stream in it.
        self.meta: Any = None
        self.stream: Stream | None = None
        self._over = False
        self._setting_up: Deferred[Any] | None = None
        self._useful_at = self._used_at = 0.0  # since when it could be used, and when it was last

    # From the pool.

    def info(self) -> PooledConnection:
        """What there is to know of it."""
        conn = self.connection
        route = None if conn is None else conn._route.end
        protocol = None if route is None or route.hop is None else route.protocol
        return PooledConnection(state=self.state, connection=conn, protocol=protocol, streams=self.streams, meta=self.meta)

    def open(self) -> None:
        """Open its connection."""
        self.state = "connecting"
        conn = self._keeper.dial(self)
        self.connection = conn
        conn._on_room = self._keeper.changed
        conn.when_terminated().addCallback(self._terminated)

    def open_in(self, seconds: float) -> None:
        """Open it after so many seconds."""
        self.state = "waiting"
        self._keeper.deadlines.set((self, "open"), seconds, self.open)

    def has_room(self) -> bool:
        """
        Whether a request would be sent at once.

        What counts is the state of the connection itself, so that nothing can be forgotten. Over HTTP/2 the server's limit has to be known:
        until then it might refuse what is sent.
        """
        if self.connection is None or self.state != "up" or self.whole:
            return False
        hop = self.connection._route.end.hop
        return hop is not None and hop.running and bool(hop.core.free)

    @property
    def whole(self) -> bool:
        """Whether it is up, and there is no HTTP on it that could take requests: it is raw, or all of it is a websocket's."""
        if self.connection is None or self.state != "up":
            return False
        route = self.connection._route.end
        return route.raw is not None or route.only is not None

    def ask(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Stream:
        """Make a request; raises as the verb does."""
        stream = verb(self.connection, *arguments, **options)
        if not stream.ended:  # which a producer that fails at once may have done
            self.streams += 1
            stream._on_end = self._stream_ended
        return stream

    def leave(self, graceful: bool = True) -> None:
        """Be told no more; the connection ends."""
        self._over = True
        self.state = "ended"
        for stage in ("open", "idle"):
            self._keeper.deadlines.clear((self, stage))
        self._not_up()
        if self.connection is not None:
            if graceful:
                self.connection.shutdown()
            else:
                self.connection.close()

    # From its streams.

    def _stream_ended(self) -> None:
        self.streams -= 1
        if self._keeper.idle_timeout is not None:
            self._used_at = self._keeper.deadlines.now()
        self._keeper.changed()

    # From its connection.

    def gun_up(self, event: Up) -> None:
        if event.protocol != "socks":  # else `gun_tunnel_up` follows
            self._came_up(event.connection)

    def gun_tunnel_up(self, event: TunnelUp) -> None:
        if event.protocol != "socks":
            self._came_up(event.connection)

    def gun_down(self, event: Down) -> None:
        self._was_steady(event.connection._factory.served)
        self.state = "connecting"
        self._not_up()

    def _terminated(self, reason: GunError | None) -> None:
        if not self._over:
            self._replace(reason)

    # Up.

    def _came_up(self, conn: Connection) -> None:
        self.connection = conn  # which an endpoint that connects at once has not given to `open` yet
        self._useful_at = self._used_at = self._keeper.deadlines.now()
        if self._keeper.setup is None:
            self._is_up(None)
        else:  # in a turn of its own, when all is settled
            self.state = "setting_up"
            self._keeper.deadlines.set((self, "setup"), 0.0, self._set_up)

    def _set_up(self) -> None:
        keeper = self._keeper
        assert keeper.setup is not None and self.connection is not None
        if keeper.setup_timeout is not None:
            keeper.deadlines.set((self, "setup"), keeper.setup_timeout, self._setup_timed_out)
        setting_up: Deferred[Any] = maybeDeferred(keeper.setup, self.connection)
        if self._over:  # by the hook itself; nobody waits for what it gives
            setting_up.addErrback(lambda _: None)
            setting_up.cancel()
            return
        self._setting_up = setting_up
        setting_up.addCallbacks(
            lambda meta: self._setup_done(setting_up, meta),
            lambda failure: self._setup_failed(setting_up, failure),
        )

    def _setup_done(self, setting_up: Deferred[Any], meta: Any) -> None:
        if setting_up is self._setting_up:
            self._setting_up = None
            self._keeper.deadlines.clear((self, "setup"))
            self._is_up(meta)

    def _setup_failed(self, setting_up: Deferred[Any], failure: Failure) -> None:
        if setting_up is self._setting_up:
            self._setting_up = None
            if failure.check(GunError):
                _log.debug("the setup of {connection} failed: {reason}", connection=self.connection, reason=failure.value)
            else:
                _log.failure("the setup of {connection} raised", failure, connection=self.connection)
            self._replace(failure.value)

    def _setup_timed_out(self) -> None:
        seconds = self._keeper.setup_timeout
        self._replace(TimedOut("setup", seconds, f"the setup of a connection was not done within setup_timeout = {seconds} seconds"))

    def _is_up(self, meta: Any) -> None:
        assert self.connection is not None
        stream = meta.get("ws") if isinstance(meta, Mapping) else meta
        if isinstance(stream, Stream):
            if stream.ended or stream.connection is not self.connection:
                what = "has ended already" if stream.ended else "is not of the connection that it was called with"
                self._replace(BadState(f"the stream that the setup gave {what}"))
                return
            stream._on_end = self._set_up_again
            self.stream = stream
        self.meta = meta
        self.state = "up"
        self._useful_at = self._keeper.deadlines.now()
        if self._keeper.idle_timeout is not None:
            self._keeper.deadlines.set((self, "idle"), self._keeper.idle_timeout, self._look_whether_idle)
        self._keeper.changed()

    def _look_whether_idle(self) -> None:
        """No timer is moved for each request: this looks whether there is a stream, by whomever, and how long ago the last one was."""
        assert self.connection is not None and self._keeper.idle_timeout is not None
        deadlines, timeout = self._keeper.deadlines, self._keeper.idle_timeout
        left = timeout if self.connection._route.end._live else self._used_at + timeout - deadlines.now()
        if left > 0:
            deadlines.set((self, "idle"), left, self._look_whether_idle)
        else:
            self.failures = 0
            self._keeper.replace(self, None, None)

    # Not up any more.

    def _set_up_again(self) -> None:
        """The stream of the setup has ended, and the connection may live on."""
        if self.stream is None:  # that is known
            return
        self._was_steady(False)
        self._not_up()
        self.state = "setting_up"
        self._keeper.deadlines.set((self, "setup"), self._wait(), self._set_up)

    def _not_up(self) -> None:
        self.meta = self.stream = None
        self._keeper.deadlines.clear((self, "setup"))
        self._keeper.deadlines.clear((self, "idle"))
        setting_up, self._setting_up = self._setting_up, None
        if setting_up is not None:
            setting_up.cancel()  # last of all: whoever made it may do anything now

    def _was_steady(self, served: bool) -> None:
        """It was good for something, or has lasted: whoever takes its place need not wait."""
        if served or self._keeper.deadlines.now() - self._useful_at >= _STEADY_SECONDS:
            self.failures = 0

    def _wait(self) -> float:
        """How long to wait after one more failure: longer each time, and not all at once where there are many."""
        failures = self.failures
        self.failures = failures + 1
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 64)) * self._keeper.chance() if failures else 0.0

    def _replace(self, reason: BaseException | None) -> None:
        self._keeper.replace(self, self._wait(), reason)


_log = Logger()
