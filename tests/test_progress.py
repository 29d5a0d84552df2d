"""The progress bar: a line that is redrawn on a terminal, a few plain ones elsewhere."""

from __future__ import annotations

from io import StringIO

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.progress import ProgressBar, is_terminal, size_text


class Terminal(StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


class ProgressBarTests(SynchronousTestCase):
    """`ProgressBar`, by what it writes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.patch_environment(TERM="xterm")

    def patch_environment(self, **variables: str) -> None:
        """Set variables of the environment for one test."""
        import os

        self.patch(os, "environ", {**os.environ, **variables})

    def test_plain(self) -> None:
        """Where nothing can be redrawn, each quarter is a line, told once, and finishing adds nothing."""
        out = StringIO()
        bar = ProgressBar(out, 4096, self.clock.seconds)
        for _ in range(64):
            bar.advance(64)
        bar.finish()
        self.assertEqual(out.getvalue().split("\n"), [f"  {share:3}% of 4.0 KiB" for share in (25, 50, 75, 100)] + [""])

    def test_plain_without_total(self) -> None:
        """Nothing is told where nobody knows how much there will be."""
        out = StringIO()
        bar = ProgressBar(out, None, self.clock.seconds)
        bar.advance(1 << 20)
        bar.finish()
        self.assertEqual((out.getvalue(), bar.done), ("", 1 << 20))

    def test_redrawn(self) -> None:
        """On a terminal one line is redrawn, with share and speed, and ended by finishing."""
        out = Terminal()
        bar = ProgressBar(out, 2048, self.clock.seconds)
        self.clock.advance(2)
        bar.advance(1024)
        self.assertIn("####....", out.getvalue())
        self.assertIn(" 50% of 2.0 KiB  512 bytes/s", out.getvalue())
        self.assertNotIn("\n", out.getvalue())
        bar.finish()
        self.assertTrue(out.getvalue().endswith("\n"))

    def test_not_too_often(self) -> None:
        """A fast transfer is drawn ten times a second, not once a piece."""
        out = Terminal()
        bar = ProgressBar(out, 1000, self.clock.seconds)
        for _ in range(500):
            self.clock.advance(0.002)
            bar.advance(1)
        self.assertTrue(8 <= out.getvalue().count("\r") <= 11, out.getvalue().count("\r"))

    def test_more_than_promised(self) -> None:
        """More bytes than were promised are no more than all of it."""
        out = Terminal()
        bar = ProgressBar(out, 10, self.clock.seconds)
        bar.advance(25)
        self.assertIn("100% of 10 bytes", out.getvalue())

    def test_without_total(self) -> None:
        """On a terminal the size so far is shown where the whole is not known."""
        out = Terminal()
        bar = ProgressBar(out, None, self.clock.seconds)
        self.clock.advance(1)
        bar.advance(3 << 20)
        self.assertIn("3.0 MiB  3.0 MiB/s", out.getvalue())

    def test_terminal(self) -> None:
        """A terminal that cannot redraw a line is none here, nor is a file."""
        self.assertTrue(is_terminal(Terminal()))
        self.assertFalse(is_terminal(StringIO()))
        self.patch_environment(TERM="dumb")
        self.assertFalse(is_terminal(Terminal()))

    def test_sizes(self) -> None:
        """Sizes are in units of 1024."""
        sizes = {0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 1 << 50: "1024.0 TiB"}
        self.assertEqual({size: size_text(size) for size in sizes}, sizes)
