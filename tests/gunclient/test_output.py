"""The output: what waits, what holds back, what is dropped, and that no line is written by half."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.gunclient.stage import Failing, FakeDestination, logged_by
from twisted_gun.gunclient.output import Output

KIB = b"x" * 1023 + b"\n"


class OutputCase(SynchronousTestCase):
    """A test of an output, with a destination that does as it is told."""

    most = 2**20

    def setUp(self) -> None:
        self.clock = Clock()
        self.destination = FakeDestination()
        self.told: list[Any] = []
        self.output = Output(
            self.clock,
            self.opened,
            changed=lambda: self.told.append(self.output.full),
            closed=lambda: self.told.append("closed"),
            dropped_line=lambda count: b"dropped %d\n" % count,
            most=self.most,
        )

    def opened(self, lost: Any) -> FakeDestination:
        self.lost = lost
        return self.destination

    def write(self, *lines: bytes) -> None:
        """Write these lines."""
        for line in lines:
            self.output.write(line)

    def block(self, room: int = 0, error: OSError | None = None) -> None:
        """Let the destination take so much more, and then nothing."""
        self.destination.room, self.destination.error = room, error

    @property
    def written(self) -> bytes:
        return self.destination.written


class WritingTests(OutputCase):
    """What waits, and holds back."""

    def test_at_once(self) -> None:
        """What can be written is."""
        self.write(b"1\n", b"2\n")
        self.assertEqual((self.written, self.output.waiting), (b"1\n2\n", 0))
        counts = self.output.counts
        self.assertEqual((counts.lines, counts.bytes, counts.dropped), (2, 4, 0))

    def test_in_order(self) -> None:
        """What waits comes first, piece by piece."""
        self.block(3)
        self.write(b"123456\n", b"7\n")
        self.assertEqual((self.written, self.output.waiting, self.output.counts.lines), (b"123", 6, 0))
        self.destination.let(2)
        self.write(b"8\n")
        self.assertEqual(self.written, b"12345")
        self.destination.let()
        self.assertEqual((self.written, self.output.waiting, self.output.counts.lines), (b"123456\n7\n8\n", 0, 3))

    def test_not_asked_while_it_waits(self) -> None:
        """A destination that has said when it is ready is let alone until then."""
        self.block(0)
        self.write(b"1\n")
        self.destination.room = 100
        self.write(b"2\n")
        self.assertEqual(self.written, b"")
        self.destination.let()
        self.assertEqual(self.written, b"1\n2\n")

    def test_full(self) -> None:
        """With 256 KiB that wait it is full, with half of that no longer; each is told once."""
        self.block(0)
        self.write(*[KIB] * 255, KIB[1:])
        self.assertEqual((self.output.full, self.told), (False, []))
        self.write(b"\n")
        self.assertEqual((self.output.full, self.told), (True, [True]))
        self.write(KIB)
        self.destination.let(129 * 1024)
        self.assertEqual(self.told, [True])
        self.destination.let(1)
        self.assertEqual((self.output.waiting, self.told), (128 * 1024 - 1, [True, False]))

    def test_dropped(self) -> None:
        """What would be too much is dropped, and that is told when there is room again; nothing of what waited is lost."""
        self.block(0)
        self.write(*[KIB] * 1024)
        self.assertEqual(self.output.counts.dropped, 0)
        self.write(b"\n", b"\n")
        self.assertEqual((self.output.counts.dropped, self.output.waiting), (2, 2**20))
        self.destination.let()
        self.assertEqual(self.written, KIB * 1024 + b"dropped 2\n")
        self.write(b"1\n")
        self.assertTrue(self.written.endswith(b"dropped 2\n1\n"))


class FailingTests(OutputCase):
    """A disk that is full, a pipe without a reader."""

    def test_full_disk(self) -> None:
        """It holds back at once, tries again each second, and goes on in the midst of the line; nothing is lost."""
        self.block(2, Failing.full)
        self.write(b"1234\n", b"5\n")
        self.assertEqual((self.written, self.output.full, self.told), (b"12", True, [True]))
        self.assertIs(self.output.failure, Failing.full)
        self.clock.advance(0.9)
        self.assertEqual(self.output.counts.errors, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.output.counts.errors, 2)
        self.destination.room = 2**20
        self.clock.advance(1.0)
        self.assertEqual((self.written, self.output.full, self.told), (b"1234\n5\n", False, [True, False]))
        self.assertIsNone(self.output.failure)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reader_gone(self) -> None:
        """A reader that has gone does not come back: all is dropped from then on, and that is told once."""
        self.block(0, Failing.pipe)
        self.write(b"1\n", b"2\n")
        self.lost(Failing.pipe)
        self.assertEqual(self.told, ["closed"])
        self.assertEqual((self.output.counts.dropped, self.output.full, self.output.waiting), (2, False, 0))
        self.assertEqual((self.destination.closed, self.clock.getDelayedCalls()), (0, []))

    def test_reader_gone_while_full(self) -> None:
        """Nobody is held back by what nobody reads."""
        self.block(0)
        self.write(*[KIB] * 300)
        self.lost(Failing.pipe)
        self.assertEqual(self.told, [True, False, "closed"])
        self.assertEqual(self.output.counts.dropped, 300)


class ReopenTests(OutputCase):
    """A new file."""

    def test_reopen(self) -> None:
        """It is begun at once."""
        self.write(b"1\n")
        self.output.reopen()
        self.write(b"2\n")
        self.assertEqual((self.destination.reopened, self.output.counts.reopened), (1, 1))
        self.assertEqual((self.written, self.output.waiting), (b"1\n2\n", 0))

    def test_from_a_full_disk(self) -> None:
        """Where the old file took only half of a line, the new one gets all of it, at once."""
        self.block(2, Failing.full)
        self.write(b"1234\n", b"5\n")
        self.destination.room = 2**20
        self.output.reopen()
        self.assertEqual((self.written, self.output.waiting, self.output.full), (b"1234\n5\n", 0, False))
        self.assertIsNone(self.output.failure)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails(self) -> None:
        """Where that fails the old one goes on, and it is logged."""
        self.destination.refuse_reopening = True
        logged = logged_by(self)
        self.output.reopen()
        self.write(b"1\n")
        self.assertEqual((self.written, self.output.counts.errors), (b"1\n", 1))
        self.assertEqual(sum(os.strerror(errno.ENOENT) in line for line in logged), 1)

    def test_fails_on_a_full_disk(self) -> None:
        """Where that fails in the midst of a line, the old file gets the rest of it."""
        self.block(2, Failing.full)
        self.write(b"1234\n")
        self.destination.refuse_reopening = True
        logged = logged_by(self)
        self.output.reopen()
        self.destination.room = 2**20
        self.clock.advance(1.0)
        self.assertEqual((self.written, self.output.waiting), (b"1234\n", 0))
        self.assertEqual(sum(os.strerror(errno.ENOENT) in line for line in logged), 1)

    def test_of_what_is_closed(self) -> None:
        """What is closed stays so."""
        self.output.close(1.0)
        self.output.reopen()
        self.assertEqual(self.destination.reopened, 0)


class CloseTests(OutputCase):
    """The end."""

    def test_at_once(self) -> None:
        """Where nothing waits it is closed at once, and what comes later is dropped."""
        self.write(b"1\n")
        self.successResultOf(self.output.close(5.0))
        self.write(b"2\n")
        self.assertEqual((self.written, self.destination.closed, self.output.counts.dropped), (b"1\n", 0, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.output.close(5.0))

    def test_waits(self) -> None:
        """What waits is written first."""
        self.block(1)
        self.write(b"12\n", b"3\n")
        closed = self.output.close(5.0)
        self.clock.advance(4.9)
        self.assertNoResult(closed)
        self.destination.let()
        self.successResultOf(closed)
        self.assertEqual((self.written, self.destination.closed), (b"12\n3\n", 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """Whoever closes it again is told as well, and the time that there is does not begin anew."""
        self.block(1)
        self.write(b"12\n")
        first = self.output.close(5.0)
        self.clock.advance(3.0)
        second = self.output.close(5.0)
        self.clock.advance(1.9)
        self.assertNoResult(first)
        self.clock.advance(0.1)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual((self.destination.closed, self.clock.getDelayedCalls()), (1, []))

    def test_timeout(self) -> None:
        """After the time that there is, what waits is dropped, and no half of a line is left."""
        self.block(4, Failing.full)
        self.write(b"1\n", b"2345\n", b"6\n")
        closed = self.output.close(5.0)
        self.clock.pump([1.0] * 4)
        self.assertNoResult(closed)
        self.clock.advance(1.0)
        self.successResultOf(closed)
        self.assertEqual((self.written, self.destination.closed, self.output.counts.dropped), (b"1\n", 2, 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_disk_tries_again(self) -> None:
        """A disk that has room again is found out at once."""
        self.block(0, Failing.full)
        self.write(b"1\n")
        self.destination.room = 100
        self.successResultOf(self.output.close(5.0))
        self.assertEqual(self.written, b"1\n")
