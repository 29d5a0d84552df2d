"""
The connections of a pool, as many as there shall be: which of them is free, what takes the place of one that failed, and their end.

What waits for them is not known here; whoever has it is told when something has `changed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted_gun.connection import Connection
from twisted_gun.net.timer import Deadlines
from twisted_gun.options.checks import check_callable, check_counts, check_seconds
from twisted_gun.pool.info import PooledConnection
from twisted_gun.pool.member import Member, Setup
from twisted_gun.stream import Stream

__all__ = ["Members", "MembersOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersOptions:
    """How many there shall be, how each is set up, and how long one is kept that nobody uses; see `Pool`."""

    size: int
    setup: Setup | None
    setup_timeout: float | None
    idle_timeout: float | None

    def __post_init__(self) -> None:
        check_counts(self, "size")
        check_callable(self, "setup")
        check_seconds(self, "setup_timeout")
        check_seconds(self, "idle_timeout", zero=False)


class Members:
    """
    All of them; a `member.Keeper`.

    `dial` opens a connection for its owner, `chance` gives numbers from 0 to 1, `changed` is called when there may be room where there was
    none, and `ended` when all is over.
    """

    def __init__(
        self,
        options: MembersOptions,
        dial: Callable[[Member], Connection],
        deadlines: Deadlines,
        chance: Callable[[], float],
        changed: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.setup, self.setup_timeout, self.idle_timeout = options.setup, options.setup_timeout, options.idle_timeout
        self.deadlines = deadlines
        self.chance = chance
        self.changed = changed
        self._dial = dial
        self._ended = ended
        self._connections: dict[Connection, None] = {}  # that have not ended, those that were replaced among them
        #: Whether they have been told to end.
        self.ending = False
        #: Why one failed last.
        self.last_failure: BaseException | None = None
        self._members = [Member(self, failures=1) for _ in range(options.size)]

    def open(self) -> None:
        """Open all of them."""
        for member in list(self._members):
            member.open()

    # What there is.

    def info(self) -> tuple[PooledConnection, ...]:
        """Each of them, now."""
        return tuple(member.info() for member in self._members)

    @property
    def operational(self) -> bool:
        """Whether each is up, or idle."""
        return all(member.state in ("up", "idle") for member in self._members)

    @property
    def over(self) -> bool:
        """Whether they were told to end, and have."""
        return self.ending and not self._connections

    def circumstances(self) -> str:
        """What to add to a message about having waited for them."""
        up = sum(member.state == "up" for member in self._members)
        why = "" if self.last_failure is None else f"; the last one that failed: {self.last_failure}"
        return f" ({up} of {len(self._members)} connections are up{why})"

    # Choosing.

    def free(self) -> Member | None:
        """
        One that has room, each with the same chance; the first look mostly finds one.

        Where none can ever have any, one of those: it will say so to whoever asks.
        """
        members = self._members
        member = members[int(self.chance() * len(members))]
        if member.has_room():
            return member
        free = [member for member in members if member.has_room()]
        return self._any_of(free or (members if all(member.whole for member in members) else []))

    def websocket(self) -> Stream | None:
        """One of the websockets that `setup` made, each with the same chance."""
        member = self._any_of([member for member in self._members if member.stream is not None and member.stream.ws_open])
        return None if member is None else member.stream

    def wake(self, wanted: int) -> None:
        """Open idle ones, until as many as `wanted` are on their way up."""
        coming = sum(member.state in ("connecting", "setting_up") for member in self._members)
        for member in [member for member in self._members if member.state == "idle"][: max(0, wanted - coming)]:
            member.open()

    def _any_of(self, members: list[Member]) -> Member | None:
        return members[int(self.chance() * len(members))] if members else None

    # From one of them: `member.Keeper`.

    def dial(self, member: Member) -> Connection:
        """A new connection, whose owner is `member`."""
        conn = self._dial(member)
        self._connections[conn] = None
        conn.when_terminated().addCallback(lambda _: self._connection_ended(conn))
        return conn

    def replace(self, member: Member, seconds: float | None, reason: BaseException | None) -> None:
        """Let another take the place of `member`: in so many seconds, or, with None, when it is wanted."""
        fresh = Member(self, member.failures)
        self._members[self._members.index(member)] = fresh
        if seconds is not None:
            self.last_failure = reason
            fresh.open_in(seconds)
        member.leave(graceful=seconds is None or member.streams > 0)  # last of all: setup is cancelled, and may do anything now

    def _connection_ended(self, conn: Connection) -> None:
        self._connections.pop(conn, None)
        if self.over:
            self._ended()

    # The end.

    def end(self, graceful: bool) -> None:
        """End all connections; `ended` is called when the last of them has."""
        if not self.ending:
            self.ending = True
            self.deadlines.stop()
            for member in self._members:
                member.leave(graceful)
        for conn in list(self._connections):
            if graceful:
                conn.shutdown()
            else:
                conn.close()
