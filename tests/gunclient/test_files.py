"""Where lines go: real files that begin anew, and pipes that are full, or closed."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_gun.gunclient.files import LineFile, StandardOutput, gone


def content(path: str) -> bytes:
    """What the file holds."""
    with open(path, "rb") as file:
        return file.read()


class LineFileTests(SynchronousTestCase):
    """Files."""

    def setUp(self) -> None:
        self.path = self.mktemp()

    def file(self, most: int | None = None, keep: int = 2) -> LineFile:
        """The file, which is closed at the end."""
        file = LineFile(self.path, most, keep)
        self.addCleanup(self.end, file)
        return file

    def write(self, file: LineFile, *lines: bytes) -> None:
        """Write whole lines."""
        for line in lines:
            self.assertEqual(file.write(memoryview(line), 0), len(line))

    def end(self, file: LineFile, begun: int = 0) -> None:
        """Close it, if it is open."""
        if file._descriptor >= 0:
            file.close(begun)
            file._descriptor = -1

    def test_added_to(self) -> None:
        """What is there stays; what is written is there at once."""
        with open(self.path, "wb") as before:
            before.write(b"old\n")
        file = self.file()
        self.write(file, b"new\n", b"newer\n")
        self.assertEqual(content(self.path), b"old\nnew\nnewer\n")

    def test_half_a_line(self) -> None:
        """Where somebody was killed in the midst of a line, the next one begins on its own."""
        with open(self.path, "wb") as before:
            before.write(b'{"half')
        self.write(self.file(), b"new\n")
        self.assertEqual(content(self.path), b'{"half\nnew\n')

    def test_rights(self) -> None:
        """A new file is not for everybody."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.file()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)

    def test_not_inherited(self) -> None:
        """Other programs that are started do not have it open."""
        self.assertFalse(os.get_inheritable(self.file()._descriptor))

    def test_rotation(self) -> None:
        """A file that would be too large is the first of the old ones, and the oldest goes."""
        file = self.file(most=10, keep=2)
        for letter in (b"a", b"b", b"c", b"d"):
            self.write(file, letter * 4 + b"\n", letter * 4 + b"\n")
        self.assertEqual(content(self.path), b"dddd\ndddd\n")
        self.assertEqual(content(f"{self.path}.1"), b"cccc\ncccc\n")
        self.assertEqual(content(f"{self.path}.2"), b"bbbb\nbbbb\n")
        self.assertFalse(os.path.exists(f"{self.path}.3"))

    def test_limit(self) -> None:
        """As many bytes as are allowed are, one more is not; what is there counts; a line that is larger has a file to itself."""
        with open(self.path, "wb") as before:
            before.write(b"1234\n")
        file = self.file(most=10)
        self.write(file, b"5678\n")
        self.assertFalse(os.path.exists(f"{self.path}.1"))
        self.write(file, b"\n")
        self.assertEqual(content(f"{self.path}.1"), b"1234\n5678\n")
        self.write(file, b"x" * 20 + b"\n", b"\n")
        self.assertEqual(content(f"{self.path}.1"), b"x" * 20 + b"\n")
        self.assertEqual(content(f"{self.path}.2"), b"\n")

    def test_not_within_a_line(self) -> None:
        """A line is in one file, though its rest would be too much."""
        file = self.file(most=6)
        line = memoryview(b"1234567\n")
        file.write(line[:5], 0)
        file.write(line[5:], 5)
        self.assertEqual(content(self.path), b"1234567\n")

    def test_rotation_fails(self) -> None:
        """Where it cannot be given another name it goes on, and that is logged."""
        os.mkdir(f"{self.path}.1")
        file = self.file(most=5, keep=1)
        self.write(file, b"1234\n", b"56\n", b"7\n")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.write(file, b"8\n")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        file.write(memoryview(b"half"), 1)
        self.end(file, 4)
        self.assertEqual(content(self.path), b"1234\n56\n7\n8\n")

    def test_reopen(self) -> None:
        """Where the file was moved away a new one is begun; where not, it goes on."""
        file = self.file()
        self.write(file, b"1\n")
        os.rename(self.path, f"{self.path}.moved")
        self.write(file, b"2\n")
        before = file._descriptor
        self.assertTrue(file.reopen(0))
        self.assertRaises(OSError, os.fstat, before)
        self.write(file, b"3\n")
        self.assertTrue(file.reopen(0))
        self.write(file, b"4\n")
        self.assertEqual((content(f"{self.path}.moved"), content(self.path)), (b"1\n2\n", b"3\n4\n"))

    def test_reopen_within_a_line(self) -> None:
        """The half of a line is taken out of the old file: it will be written to the new one."""
        file = self.file()
        self.write(file, b"1\n")
        file.write(memoryview(b"half"), 0)
        os.rename(self.path, f"{self.path}.moved")
        file.reopen(4)
        self.write(file, b"half a line\n")
        self.assertEqual((content(f"{self.path}.moved"), content(self.path)), (b"1\n", b"half a line\n"))

    def test_reopen_fails(self) -> None:
        """Where there is no folder any more, it raises, and the old file goes on, in the midst of a line."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.path = os.path.join(folder, "file")
        file = self.file()
        os.rename(folder, f"{folder}.moved")
        file.write(memoryview(b"half"), 0)
        self.assertRaises(OSError, file.reopen, 4)
        file.write(memoryview(b" a line\n"), 4)
        self.assertEqual(content(os.path.join(f"{folder}.moved", "file")), b"half a line\n")

    def test_close_within_a_line(self) -> None:
        """At the end there is no half of a line."""
        file = self.file()
        self.write(file, b"1\n")
        file.write(memoryview(b"half"), 0)
        descriptor = file._descriptor
        self.end(file, 4)
        self.assertRaises(OSError, os.fstat, descriptor)
        self.assertEqual(content(self.path), b"1\n")

    def test_not_what_others_wrote(self) -> None:
        """Where somebody else has written behind it, nothing is taken away."""
        file = self.file()
        file.write(memoryview(b"half"), 0)
        with open(self.path, "ab") as other:
            other.write(b"other\n")
        self.end(file, 4)
        self.assertEqual(content(self.path), b"halfother\n")

    def test_device(self) -> None:
        """A device is written to as it is."""
        self.path = "/dev/full"
        if not os.path.exists(self.path):
            self.skipTest("there is no /dev/full")
        file = self.file(most=10)
        self.assertEqual(self.assertRaises(OSError, file.write, memoryview(b"x\n"), 0).errno, errno.ENOSPC)
        self.assertFalse(file.when_ready(lambda: None))

    def test_folder(self) -> None:
        """What is no file raises where it is opened, and leaves nothing open."""
        self.path = "."
        self.assertRaises(OSError, self.file)


class StandardOutputTests(SynchronousTestCase):
    """Pipes, and files that the standard output may be."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.lost: list[OSError] = []

    def pipe(self) -> tuple[int, StandardOutput]:
        """The reading end of a pipe, and an output that writes to it."""
        reading, writing = os.pipe()
        output = StandardOutput(writing, self.reactor, self.lost.append)
        os.close(writing)
        self.addCleanup(output.close, 0)
        self.closed = False
        self.addCleanup(self.close, reading)
        return reading, output

    def close(self, reading: int) -> None:
        """Close it, if it is open."""
        if not self.closed:
            self.closed = True
            os.close(reading)

    def test_interface(self) -> None:
        """It is what a reactor can watch."""
        verifyObject(IWriteDescriptor, self.pipe()[1])

    def test_written(self) -> None:
        """What a pipe takes goes out at once, without making it non-blocking."""
        reading, output = self.pipe()
        line = b"x" * 10_000 + b"\n"
        self.assertEqual(output.write(memoryview(line), 0), len(line))
        self.assertEqual(os.read(reading, 20_000), line)
        self.assertTrue(os.get_blocking(output.fileno()))
        self.assertFalse(os.get_inheritable(output.fileno()))

    def test_full(self) -> None:
        """A pipe whose reader does not read takes no more; when it does, that is told."""
        reading, output = self.pipe()
        line = memoryview(b"x" * 100_000)
        taken = sum(iter(lambda: output.write(line, 0), 0))
        self.assertGreater(taken, 0)
        ready: list[None] = []
        self.assertTrue(output.when_ready(lambda: ready.append(None)))
        self.assertEqual(self.reactor.getWriters(), [output])
        os.read(reading, 65536)
        output.doWrite()
        self.assertEqual((len(ready), self.reactor.getWriters()), (1, []))
        self.assertGreater(output.write(line, 0), 0)

    def test_nonblocking(self) -> None:
        """Where somebody else has made it non-blocking, that is no error."""
        _, output = self.pipe()
        os.set_blocking(output.fileno(), False)
        line = memoryview(b"x" * 100_000)
        self.assertGreater(sum(iter(lambda: output.write(line, 0), 0)), 0)

    def test_reader_gone(self) -> None:
        """Where its reader has gone, writing fails, and so it is told by the reactor."""
        reading, output = self.pipe()
        self.close(reading)
        error = self.assertRaises(OSError, output.write, memoryview(b"x\n"), 0)
        self.assertTrue(gone(error))
        output.when_ready(lambda: self.fail("it is not ready"))
        output.connectionLost(Failure(OSError()))
        self.assertTrue(gone(self.lost[0]))

    def test_file(self) -> None:
        """Into a file nobody has to wait, and nothing begins anew."""
        path = self.mktemp()
        with open(path, "wb") as file:
            output = StandardOutput(file.fileno(), self.reactor, self.lost.append)
        self.assertEqual(output.write(memoryview(b"1\n"), 0), 2)
        self.assertFalse(output.when_ready(lambda: None))
        self.assertFalse(output.reopen(0))
        output.close(0)
        output.close(0)
        self.assertEqual(content(path), b"1\n")

    def test_close(self) -> None:
        """Closed, it is watched no more, and the one that it was made of stays open."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        output = StandardOutput(writing, self.reactor, self.lost.append)
        output.when_ready(lambda: None)
        descriptor = output.fileno()
        output.close(0)
        self.assertRaises(OSError, os.fstat, descriptor)
        self.assertEqual(self.reactor.getWriters(), [])
        self.assertEqual(os.write(writing, b"x"), 1)
        self.assertEqual(output.logPrefix(), "gunclient")

    def test_what_is_gone(self) -> None:
        """A pipe without a reader does not come back, a disk that is full does."""
        errors: Any = {errno.EPIPE: True, errno.ENOSPC: False, errno.EIO: False, errno.EBADF: True}
        for number, expected in errors.items():
            self.assertEqual(gone(OSError(number, "")), expected)
