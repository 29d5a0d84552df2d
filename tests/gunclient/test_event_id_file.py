"""The identifier of the last event, which outlives the process."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.gunclient.event_id_file import EventIdFile, Progress


class EventIdFileTests(SynchronousTestCase):
    """`EventIdFile`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.progress = Progress("")

    def file(self) -> EventIdFile:
        """One that runs."""
        file = EventIdFile(str(self.path), self.clock, lambda: self.progress)
        file.startService()
        self.addCleanup(self.stop, file)
        return file

    def stop(self, file: EventIdFile) -> None:
        """Stop it, if it runs."""
        if file.running:
            file.stopService()

    def test_life(self) -> None:
        """A file need not be there, and is not made for nothing; what is in it at the end is there at the next start."""
        file = self.file()
        self.assertEqual(file.identifier, "")
        self.clock.advance(5.0)
        self.assertFalse(self.path.exists())
        self.progress = Progress("a b ü")
        file.stopService()
        self.assertEqual(self.path.read_bytes(), "a b ü\n".encode())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.file().identifier, "a b ü")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_now_and_then(self) -> None:
        """It is written when it is another one."""
        self.file()
        self.progress = Progress("1", 10, 10)
        self.clock.advance(4.9)
        self.assertFalse(self.path.exists())
        self.clock.advance(0.1)
        before = self.path.stat().st_ino
        self.progress = Progress("1", 20, 20)
        self.clock.pump([5.0] * 3)
        self.assertEqual((self.path.read_text(), self.path.stat().st_ino), ("1\n", before))

    def test_behind(self) -> None:
        """An identifier is written once the lines that there were then are; while more and more wait, each in its turn."""
        self.file()
        for progress, expected in (
            (Progress("1", 10, 9), None),
            (Progress("2", 20, 9), None),
            (Progress("3", 30, 10), "1"),
            (Progress("4", 40, 29), "2"),
            (Progress("5", 50, 30), "3"),
            (Progress("6", 60, 60), "6"),
        ):
            self.progress = progress
            self.clock.advance(5.0)
            self.assertEqual(self.path.read_text() if self.path.exists() else None, expected and f"{expected}\n")

    def test_noted(self) -> None:
        """Of what was noted nothing is lost between two looks; and the first is saved at once, when its line is written."""
        file = self.file()
        self.progress = Progress("1", 1, 0)
        file.note()
        self.assertFalse(self.path.exists())
        self.progress = Progress("2", 2, 1)
        file.note()
        self.assertEqual(self.path.read_text(), "1\n")
        for number in range(3, 10):
            self.progress = Progress(str(number), number, 1)
            file.note()
        self.progress = Progress("9", 9, 6)
        self.assertEqual(self.path.read_text(), "1\n")
        file.stopService()
        self.assertEqual(self.path.read_text(), "6\n")

    def test_same_identifier(self) -> None:
        """Events without one of their own wait for nothing, and take no room."""
        file = self.file()
        for number in range(1, 1000):
            self.progress = Progress("1", number, 0)
            file.note()
        self.assertEqual(len(file._marks), 1)
        self.progress = Progress("1", 1000, 1)
        file.note()
        self.assertEqual(self.path.read_text(), "1\n")

    def test_too_long(self) -> None:
        """What would not be read again is not saved; what is one byte shorter is."""
        file = self.file()
        for identifier, kept in (("1", "1"), ("x" * 64 * 1024, "x" * 64 * 1024), ("ü" * 32 * 1024 + "x", "x" * 64 * 1024)):
            self.progress = Progress(identifier)
            file.save()
            self.assertEqual(self.path.read_text(), f"{kept}\n")
        file.stopService()
        self.assertEqual(self.file().identifier, "x" * 64 * 1024)

    def test_again(self) -> None:
        """Started again it counts anew."""
        file = self.file()
        self.progress = Progress("1", 100, 50)
        self.clock.advance(5.0)
        file.stopService()
        file.startService()
        self.progress = Progress("2", 1, 0)
        self.clock.advance(5.0)
        self.progress = Progress("3", 2, 1)
        self.clock.advance(5.0)
        self.assertEqual(self.path.read_text(), "2\n")

    def test_broken(self) -> None:
        """A file with anything else in it raises, and stays as it is; so does one that is longer than any identifier."""
        for data in (b"two\nlines\n", b"a\0b", b"\xff", b"x" * (64 * 1024 + 1), b"\n\n"):
            self.path.write_bytes(data)
            error = self.assertRaises(gun.OptionError, self.file)
            self.assertIn(str(self.path), str(error))
            self.assertEqual(self.path.read_bytes(), data)
        for data in (b"", b"\n", b"x" * (64 * 1024)):
            self.path.write_bytes(data)
            self.assertEqual(self.file().identifier, data.decode().strip())
        self.path = Path(os.curdir)
        self.assertRaises(OSError, self.file)
