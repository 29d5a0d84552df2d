"""`twisted_gun.turn`: who is woken at the end of a turn, in which order, and who is kept for what nobody has read."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import StreamClosed
from twisted_gun.turn import Turn


class Stream:
    """A stream as a turn sees it: something with events that nobody has read, or without."""

    def __init__(self, *events: object) -> None:
        self._events = list(events)


class WakingTests(SynchronousTestCase):
    """Whom a turn wakes."""

    def test_results(self) -> None:
        """Each with its result, a failure where that is an error; then nobody is left."""
        turn = Turn()
        good: Deferred[Any] = Deferred()
        bad: Deferred[Any] = Deferred()
        turn.woken.extend([(good, 5), (bad, StreamClosed("gone"))])
        self.assertTrue(turn.over())
        self.assertEqual(self.successResultOf(good), 5)
        self.failureResultOf(bad, StreamClosed)
        self.assertFalse(turn.over())

    def test_nobody(self) -> None:
        """Where nobody is to be woken, nothing happens."""
        self.assertFalse(Turn().over())

    def test_order(self) -> None:
        """First come, first served: also those who are to be woken because of others; nobody is woken within somebody's waking."""
        turn, told = Turn(), list[str]()
        deferreds: list[Deferred[Any]] = [Deferred() for _ in range(3)]

        def wakes(result: str) -> None:
            told.append(result)
            turn.woken.append((deferreds[2], "third"))
            self.assertFalse(turn.over())
            told.append("still the first")

        deferreds[0].addCallback(wakes)
        deferreds[1].addCallback(told.append)
        deferreds[2].addCallback(told.append)
        turn.woken.extend([(deferreds[0], "first"), (deferreds[1], "second")])
        self.assertTrue(turn.over())
        self.assertEqual(told, ["first", "still the first", "second", "third"])

    def test_cancelled(self) -> None:
        """One that was cancelled by another that was woken before it is passed over."""
        turn = Turn()
        first: Deferred[Any] = Deferred()
        second: Deferred[Any] = Deferred()
        first.addCallback(lambda result: second.cancel())
        second.addErrback(lambda failure: "cancelled")
        turn.woken.extend([(first, 1), (second, 2)])
        turn.over()
        self.assertEqual(self.successResultOf(second), "cancelled")


class KeptTests(SynchronousTestCase):
    """Whose events nobody has read."""

    def test_kept(self) -> None:
        """After a turn only those are kept that have any left, and for no longer than somebody holds them."""
        turn: Any = Turn()
        full, empty = Stream("event"), Stream()
        turn.kept.extend([full, empty])
        self.assertFalse(turn.over(), "nobody was woken")
        self.assertEqual((list(turn.unread), turn.kept), ([full], []))
        del full
        gc.collect()
        self.assertEqual(list(turn.unread), [])

    def test_read_meanwhile(self) -> None:
        """Whoever is woken in the turn may read them first."""
        turn: Any = Turn()
        stream = Stream("event")
        reader: Deferred[Any] = Deferred()
        reader.addCallback(lambda result: stream._events.clear())
        turn.kept.append(stream)
        turn.woken.append((reader, None))
        self.assertTrue(turn.over())
        self.assertEqual(list(turn.unread), [])
