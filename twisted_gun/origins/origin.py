"""
The connections of one identity, and what waits for them: which of them is asked, how many more are opened, and when nothing is left.

What it shares with other origins, it has of whoever has all of them (`Shared`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred

from twisted_gun.connection import Connection
from twisted_gun.errors import ConnectFailed
from twisted_gun.headers import check_method, check_target
from twisted_gun.net.timer import Deadlines
from twisted_gun.origins.identity import Identity
from twisted_gun.origins.line import Line
from twisted_gun.pool.checkouts import Ask, CheckoutOptions, Checkouts, Verb
from twisted_gun.stream import Stream

__all__ = ["Origin", "Shared"]

#: After a connection failed while others of its origin live: how long, in seconds, these alone serve what waits.
_CONTENT_SECONDS = 1.0
#: So often any may fail without anything that waits having been asked; then all that wait fail.
_MOST_FAILURES = 5


class Shared(Interface):
    """What all origins share."""

    deadlines: Deadlines
    queues: CheckoutOptions
    max_per_host: int
    #: Whether all of them are ending.
    ending: bool
    #: How many requests were sent, how many of them by a connection from before, and how many once more.
    requests: int
    reused: int
    repeated: int

    def dial(self, line: Line, identity: Identity) -> Connection:
        """A new connection, whose owner is `line`; raises as `twisted_gun.open` does."""

    def idle(self, line: Line, origin: Origin) -> None:
        """`line` of `origin` has no requests."""

    def is_idle(self, line: Line) -> bool:
        """Whether that was said of `line` last."""

    def busy(self, line: Line) -> None:
        """`line` has requests, or has ended."""

    def forget(self, origin: Origin) -> None:
        """`origin` has neither connections nor requests."""


class Origin:
    """The connections of `identity`; a `line.Keeper`, and whom an `asked.Asked` is asked of."""

    def __init__(self, shared: Shared, identity: Identity) -> None:
        self.identity = identity
        self.queue = Checkouts(shared.deadlines, shared.queues, self._free_to_ask, self._circumstances)
        self._shared = shared
        self._lines: list[Line] = []
        self._spoken = identity.only  # what was spoken last
        self._failed_at: float | None = None  # where one failed though others live
        self._given_up = False  # whether something has stopped waiting
        self._failures = 0  # how often any have failed since anything was asked

    # What is asked: `asked.Asking`.

    @property
    def ending(self) -> bool:
        """Whether nothing new is asked any more."""
        return self._shared.ending

    def ask(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Stream | Deferred[Stream]:
        """The stream of a request where a connection is free for it, else the Deferred of that; raises as the verb does."""
        line = None if self.queue else self._free()
        if line is not None:
            return line.ask(verb, arguments, options)
        check_target(arguments[1], check_method(arguments[0]))  # what cannot be sent is not worth a connection
        waiting = self.queue.wait(verb, arguments, options)
        self._open_wanted()
        return waiting

    def ask_again(self, lost: bool) -> None:
        """A request is about to be sent once more; `lost` says whether that is because its connection was."""
        self._shared.repeated += 1
        if lost:  # what was idle beside it is not trusted any more
            for line in [line for line in self._lines if self._shared.is_idle(line)]:
                self.leave(line)

    def given_up(self) -> None:
        """Something waits no longer. An attempt to connect that nothing waits for any more may hang: others would wait for it, too."""
        self._given_up = True
        self.changed()

    def changed(self) -> None:
        """Look soon, in a turn of its own, whether what waits may go on, and whether there is anything left."""
        if not self._shared.ending:
            self._shared.deadlines.set(self, 0.0, self._go_on)

    def leave(self, line: Line) -> None:
        """Close `line`, which is idle."""
        self._remove(line)
        line.leave()

    # From its lines: `line.Keeper`.

    def dial(self, line: Line) -> Connection:
        """A new connection, whose owner is `line`; raises as `twisted_gun.open` does."""
        return self._shared.dial(line, self.identity)

    def room(self) -> None:
        """There may be room where there was none."""
        if self.queue:
            self.changed()

    def line_up(self, line: Line, protocol: str) -> None:
        """`line` is up, and idle unless there is something that waits."""
        self._spoken = protocol
        self.changed()

    def line_idle(self, line: Line) -> None:
        """The last of the streams of `line` has ended."""
        if not (self.queue or line.left):
            self._shared.idle(line, self)

    def line_over(self, line: Line, reason: BaseException | None) -> None:
        """`line` has ended by `reason`; where nothing came of it, and it was the last one, neither will anything of others."""
        self._remove(line)
        if line.asked or not self.queue:
            return
        now = self._shared.deadlines.now()
        self._failures += self._failed_at is None or now - self._failed_at >= _CONTENT_SECONDS  # several at once are one
        if self._lines and self._failures < _MOST_FAILURES:  # these may be all that the server wants of us
            self._failed_at = now
        else:  # or they serve nothing that waits, and no others can be had
            self._failures = 0
            self.queue.refuse(reason or ConnectFailed("the server closed the connection before it took any request"))

    def was_idle(self, line: Line) -> bool:
        """Whether `line` had been left without requests, until now."""
        return self._shared.is_idle(line)

    def asked(self, line: Line, kept: bool) -> None:
        """`line` was asked for something; `kept` says whether it was there from before."""
        self._failures = 0
        self._shared.busy(line)
        self._shared.requests += 1
        self._shared.reused += kept

    def _remove(self, line: Line) -> None:
        self._shared.busy(line)
        self._lines.remove(line)
        self.changed()

    def _go_on(self) -> None:
        self.queue.hand_out()
        self._open_wanted()
        given_up, self._given_up = self._given_up, False
        if given_up and not self.queue:
            for line in [line for line in self._lines if not line.up]:
                self.leave(line)
        for line in self._lines:
            if line.up and not line.streams:
                self._shared.idle(line, self)
        if not self._lines and not self.queue:
            self._shared.deadlines.clear((self, "again"))
            self._shared.forget(self)

    # Choosing, and opening.

    def _free(self) -> Line | None:
        """The first that has room, so that those which are not needed become idle."""
        for line in self._lines:
            if line.has_room():
                return line
        return None

    def _free_to_ask(self) -> Ask | None:
        line = self._free()
        return None if line is None else line.ask

    def _open_wanted(self) -> None:
        for _ in range(self._wanted()):
            line = Line(self)
            self._lines.append(line)
            try:
                line.open()
            except Exception as error:  # about the options, or the host, or of whoever makes endpoints
                self.line_over(line, error)
                return

    def _wanted(self) -> int:
        """How many more connections those that wait need: no more than one where that may be enough for all."""
        if not self.queue:
            return 0
        coming = sum(line.coming for line in self._lines)
        useful = len(self.queue) - coming if self._spoken == "http" else 1 - min(1, coming)
        wanted = min(useful, self._shared.max_per_host - sum(line.counts for line in self._lines))
        return wanted if wanted > 0 and self._may_open() else 0

    def _may_open(self) -> bool:
        if self._failed_at is None or not self._lines:
            return True
        deadlines = self._shared.deadlines
        left = self._failed_at + _CONTENT_SECONDS - deadlines.now()
        if left > 0:
            deadlines.set((self, "again"), left, self._go_on)
            return False
        self._failed_at = None
        return True

    def _circumstances(self) -> str:
        return f" ({len(self._lines)} of at most {self._shared.max_per_host} connections are there)"
