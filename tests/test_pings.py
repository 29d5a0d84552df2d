"""`Pings`: who waits for the answer to each, and what becomes of them."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.pings import Pings


class PingsTests(SynchronousTestCase):
    """Pings under way, and Deferreds to fire at the end of the turn."""

    def setUp(self) -> None:
        self.woken: deque[Any] = deque()
        self.pings = Pings(self.woken)

    def sent(self, receiver: Any = None) -> Any:
        """One that is under way."""
        ping = self.pings.make(receiver)
        self.pings.sent(ping)
        return ping

    def test_answered(self) -> None:
        """Its Deferred is to fire with the seconds, once; the others wait on."""
        first, second = self.sent(), self.sent("receiver")
        self.assertEqual((first.receiver, second.receiver), (None, "receiver"))
        for _ in range(2):
            self.pings.answered(second, 0.5)
        self.assertEqual(list(self.woken), [(second.deferred, 0.5)])

    def test_failed(self) -> None:
        """Those under way are to fail, each once, with why the connection ended; those that were answered are not."""
        answered, waiting = self.sent(), self.sent()
        self.pings.answered(answered, 0.5)
        self.woken.clear()
        for reason in (gun.ConnectionFailed("lost in the snow"), None):
            self.pings.fail(reason)
        ((deferred, error),) = self.woken
        self.assertIs(deferred, waiting.deferred)
        self.assertIsInstance(error, gun.StreamClosed)
        self.assertIn("lost in the snow", str(error))
        self.pings.answered(waiting, 0.5)
        self.assertEqual(len(self.woken), 1)

    def test_closed(self) -> None:
        """Where there is no reason it was closed."""
        self.sent()
        self.pings.fail(None)
        self.assertIn("it was closed", str(self.woken[0][1]))

    def test_cancelled(self) -> None:
        """One that is cancelled is forgotten: its answer, and the end, wake nobody."""
        ping = self.sent()
        ping.deferred.cancel()
        self.failureResultOf(ping.deferred, CancelledError)
        self.pings.answered(ping, 0.5)
        self.pings.fail(None)
        self.assertEqual(list(self.woken), [])

    def test_not_sent(self) -> None:
        """One that was not sent is not among them."""
        ping = self.pings.make(None)
        self.pings.fail(None)
        self.pings.answered(ping, 0.5)
        self.assertEqual(list(self.woken), [])
