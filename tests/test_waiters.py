"""Those who wait for the same thing."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.waiters import Waiters


class WaitersTests(SynchronousTestCase):
    """`Waiters`."""

    def test_fired(self) -> None:
        """All that wait are given what comes, once; an exception as it is."""
        waiters: Waiters[Exception] = Waiters()
        first, second = waiters.wait(), waiters.wait()
        reason = ValueError()
        waiters.fire(reason)
        later = waiters.wait()
        self.assertIs(self.successResultOf(first), reason)
        self.assertIs(self.successResultOf(second), reason)
        self.assertNoResult(later)

    def test_cancelled(self) -> None:
        """Who is cancelled waits no longer; the others do."""
        waiters: Waiters[int] = Waiters()
        first, second = waiters.wait(), waiters.wait()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        waiters.fire(7)
        self.assertEqual(self.successResultOf(second), 7)

    def test_cancelled_meanwhile(self) -> None:
        """One may cancel another while they are fired."""
        waiters: Waiters[None] = Waiters()
        first, second, third = waiters.wait(), waiters.wait(), waiters.wait()
        first.addCallback(lambda _: second.cancel())
        waiters.fire(None)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)

    def test_waits_meanwhile(self) -> None:
        """Who begins to wait while they are fired waits for the next time."""
        waiters: Waiters[int] = Waiters()
        again: list[Deferred[int]] = []
        waiters.wait().addCallback(lambda _: again.append(waiters.wait()))
        waiters.fire(1)
        self.assertNoResult(again[0])
        waiters.fire(2)
        self.assertEqual(self.successResultOf(again[0]), 2)
