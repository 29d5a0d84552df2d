"""Many deadlines, one delayed call."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.net.timer import Deadlines


class DeadlineTests(SynchronousTestCase):
    """Setting, moving, clearing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.fired: list[tuple[str, float]] = []

    def set(self, key: str, seconds: float) -> None:
        self.deadlines.set(key, seconds, lambda: self.fired.append((key, self.clock.seconds())))

    def calls(self) -> int:
        return len(self.clock.getDelayedCalls())

    def test_fires_once_in_time(self) -> None:
        """It fires when the time has come, not before, and once."""
        self.set("a", 3)
        self.clock.advance(2.999)
        self.assertEqual(self.fired, [])
        self.clock.advance(0.001)
        self.assertEqual(self.fired, [("a", 3.0)])
        self.clock.advance(100)
        self.assertEqual(len(self.fired), 1)
        self.assertEqual(self.calls(), 0)

    def test_one_call_for_many(self) -> None:
        """However many deadlines there are, there is one delayed call."""
        for second in range(100, 0, -1):
            self.set(f"{second}", second)
            self.assertEqual(self.calls(), 1)
        self.clock.pump([1] * 100)
        self.assertEqual(self.fired, [(f"{second}", float(second)) for second in range(1, 101)])
        self.assertEqual(self.calls(), 0)

    def test_set_again(self) -> None:
        """Setting a key again replaces its deadline, later or sooner."""
        self.set("later", 1)
        self.set("later", 3)
        self.set("sooner", 5)
        self.set("sooner", 2)
        self.clock.pump([1] * 6)
        self.assertEqual(self.fired, [("sooner", 2.0), ("later", 3.0)])

    def test_moving_makes_no_calls(self) -> None:
        """Moving a deadline on, again and again, costs no delayed call."""
        for _ in range(1000):
            self.set("a", 5)
            self.clock.advance(1)
        self.assertEqual((self.fired, self.calls()), ([], 1))
        self.clock.advance(4)
        self.assertEqual(self.fired, [("a", 1004.0)])

    def test_clear(self) -> None:
        """A cleared deadline does not fire; clearing what is not there does nothing."""
        self.set("a", 1)
        self.set("b", 2)
        self.deadlines.clear("a")
        self.deadlines.clear("a")
        self.deadlines.clear("never set")
        self.clock.pump([1] * 3)
        self.assertEqual(self.fired, [("b", 2.0)])

    def test_nothing_is_left_after_clear(self) -> None:
        """When all are cleared, the delayed call finds nothing and is not set again."""
        self.set("a", 1)
        self.deadlines.clear("a")
        self.clock.advance(1)
        self.assertEqual(self.calls(), 0)

    def test_set_at(self) -> None:
        """A deadline may be given as a time; one that has passed fires in the next turn, not at once."""
        self.clock.advance(10)
        self.deadlines.set_at("past", 3, lambda: self.fired.append(("past", self.clock.seconds())))
        self.deadlines.set_at("next", 11, lambda: self.fired.append(("next", self.clock.seconds())))
        self.assertEqual(self.fired, [])
        self.clock.advance(0)
        self.assertEqual(self.fired, [("past", 10.0)])
        self.clock.advance(1)
        self.assertEqual(self.fired[1:], [("next", 11.0)])

    def test_one_clears_another(self) -> None:
        """What one callback clears does not fire, though its time has come too."""
        self.deadlines.set("a", 1, lambda: self.deadlines.clear("b"))
        self.set("b", 1)
        self.clock.advance(1)
        self.assertEqual(self.fired, [])

    def test_one_moves_another(self) -> None:
        """What one callback moves fires at its new time only."""
        self.deadlines.set("a", 1, lambda: self.set("b", 5))
        self.set("b", 1)
        self.clock.pump([1] * 6)
        self.assertEqual(self.fired, [("b", 6.0)])

    def test_sets_itself_again(self) -> None:
        """A callback may set its own key again: that is for another turn, even with no delay."""
        turns = []

        def again() -> None:
            turns.append(self.clock.seconds())
            if len(turns) < 3:
                self.deadlines.set("a", 0, again)

        self.deadlines.set("a", 1, again)
        self.clock.advance(1)
        self.assertEqual(turns, [1.0] * 3)

    def test_stop(self) -> None:
        """stop leaves nothing behind; from within a callback too, and twice."""
        self.set("a", 1)
        self.deadlines.stop()
        self.deadlines.stop()
        self.assertEqual(self.calls(), 0)
        self.deadlines.set("b", 1, self.deadlines.stop)
        self.set("c", 1)
        self.set("d", 2)
        self.clock.advance(10)
        self.assertEqual((self.fired, self.calls()), ([], 0))

    def test_set_after_stop(self) -> None:
        """What is set afterwards is called, and leaves nothing behind once it is cleared."""
        self.set("a", 1)
        self.deadlines.stop()
        self.set("b", 1)
        self.set("c", 3)
        self.clock.advance(1)
        self.assertEqual(([key for key, _ in self.fired], self.calls()), (["b"], 1))
        self.deadlines.clear("c")
        self.assertEqual(self.calls(), 0)

    def test_raising(self) -> None:
        """A callback that raises does not keep the others from firing."""
        self.deadlines.set("a", 1, lambda: 1 / 0)  # type: ignore[arg-type]
        self.set("b", 1)
        self.set("c", 2)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 1)
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertEqual(self.fired, [("b", 1.0), ("c", 2.0)])

    def test_now(self) -> None:
        """now is the clock's."""
        self.clock.advance(7)
        self.assertEqual(self.deadlines.now(), 7.0)

    def test_a_call_too_early(self) -> None:
        """A reactor whose time of day is set forward calls too early; nothing fires before its own time has passed."""
        passed = 0.0
        self.deadlines.now = lambda: passed
        self.set("a", 10)
        self.clock.advance(3600)
        self.assertEqual((self.fired, self.calls()), ([], 1))
        passed = 10.0
        self.clock.advance(10)
        self.assertEqual(len(self.fired), 1)

    def test_reactor(self) -> None:
        """Over a reactor, time is the time since some fixed point, which nobody can set."""
        from twisted.internet import reactor

        self.assertIs(Deadlines(reactor).now, time.monotonic)
