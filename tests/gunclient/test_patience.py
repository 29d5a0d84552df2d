"""When a connection is dialled again, and when no more."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.gunclient.patience import Patience


class PatienceTests(SynchronousTestCase):
    """`Patience`."""

    def patience(self, most: int, chance: float = 1.0) -> Any:
        """One that waits from 1 second to 4; `told` is when it has given up."""
        self.told: list[int] = []
        return Patience(most, 1.0, 4.0, self.told.append, lambda: chance)

    def waits(self, patience: Any, count: int) -> list[float]:
        """How long it waits after each of so many failures; it leaves how many retries there are as it is."""
        decided = [patience(5, gun.Options()) for _ in range(count)]
        self.assertLessEqual({each["retries"] for each in decided}, {5})
        return [each["timeout"] for each in decided]

    def test_waits(self) -> None:
        """Waits grow up to the longest, and are chance."""
        self.assertEqual(self.waits(self.patience(9), 5), [1.0, 2.0, 4.0, 4.0, 4.0])
        self.assertEqual(self.waits(self.patience(9, 0.25), 3), [0.25, 0.5, 1.0])
        self.assertEqual(self.waits(self.patience(2000), 1500)[-1], 4.0)

    def test_gives_up(self) -> None:
        """It gives up once, when so many attempts have failed, the first of all among them."""
        for most in (1, 3):
            patience = self.patience(most)
            self.waits(patience, most - 1)
            self.assertEqual(self.told, [])
            self.waits(patience, 2)
            self.assertEqual(self.told, [most])

    def test_lost(self) -> None:
        """That a connection was lost is no attempt that failed; and where it was up the count begins anew."""
        patience = self.patience(2)
        self.waits(patience, 1)
        patience.up()
        self.assertEqual(self.waits(patience, 2), [1.0, 1.0])
        self.assertEqual(self.told, [])
        self.waits(patience, 1)
        self.assertEqual(self.told, [2])

    def test_begin(self) -> None:
        """At another start it begins anew, too."""
        patience = self.patience(2)
        self.waits(patience, 1)
        patience.begin()
        self.assertEqual(self.waits(patience, 1), [1.0])
        self.assertEqual(self.told, [])
