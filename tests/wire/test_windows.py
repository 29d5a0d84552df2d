"""`twisted_gun.wire.windows`: when windows open again, and how much of what is of no use may come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.options import Http2Options
from twisted_gun.wire.windows import Glitches, WindowRule, window_rules

SIZES = st.integers(1, 2**31 - 1)


class WindowRuleTests(SynchronousTestCase):
    """`WindowRule`."""

    @settings(deadline=None, derandomize=True)
    @given(SIZES, st.integers(0, 2**20), st.integers(0, 2**31), SIZES)
    def test_any(self, size: int, margin: int, threshold: int, most: int) -> None:
        """Whatever the options are: renewed between half and three quarters, to the size and margin, never beyond the maximum."""
        rule = WindowRule(size, margin, threshold, most)
        at = rule.renewed_at
        self.assertLessEqual(size // 2, at)
        self.assertLessEqual(at, size - size // 4)
        self.assertEqual(at + rule.increment(at), max(at, min(size + margin, most)))
        self.assertEqual(rule.increment(2**31), 0)

    def test_usual(self) -> None:
        """The usual windows of 8 MB are renewed at half, to the size and the margin."""
        for rule in window_rules(Http2Options()):
            self.assertEqual((rule.renewed_at, rule.increment(rule.renewed_at)), (4_000_000, 4_065_535))

    def test_options(self) -> None:
        """Each option has its place."""
        connection, stream = window_rules(
            Http2Options(
                initial_connection_window_size=100_001,
                connection_window_margin_size=2,
                connection_window_update_threshold=3,
                max_connection_window_size=100_004,
                initial_stream_window_size=5,
                stream_window_margin_size=6,
                stream_window_update_threshold=7,
                max_stream_window_size=8,
            )
        )
        self.assertEqual((connection, stream), (WindowRule(100_001, 2, 3, 100_004), WindowRule(5, 6, 7, 8)))


class GlitchesTests(SynchronousTestCase):
    """`Glitches`."""

    def test_at_once(self) -> None:
        """So many at once are allowed, and not one more."""
        glitches = Glitches(3, 1.0)
        self.assertEqual([glitches.count(5.0) for _ in range(4)], [False, False, False, True])

    def test_rate(self) -> None:
        """Later as many as the rate allows, and what was not used is not saved up beyond that."""
        glitches = Glitches(3, 2.0)
        self.assertFalse(any(glitches.count(0.5 * number) for number in range(1000)))
        self.assertEqual([glitches.count(1e6) for _ in range(4)], [False, False, False, True])
        self.assertEqual([glitches.count(1e6 + 1.0) for _ in range(2)], [False, True])

    def test_no_rate(self) -> None:
        """At no rate they are counted for the whole life."""
        glitches = Glitches(2, 0.0)
        self.assertEqual([glitches.count(1000.0 * number) for number in range(3)], [False, False, True])
