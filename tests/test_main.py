"""The command line: its arguments, and the process as a shell sees it."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

import twisted_gun as gun
from tests.test_fetch import CUT, Server
from tests.test_fetch_http2 import answer
from twisted_gun.__main__ import main
from twisted_gun.testing import Http2Peer


class ArgumentsTests(SynchronousTestCase):
    """`main`, where it ends before there is anything to do."""

    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        """Status, standard output and error output."""
        out, err = StringIO(), StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        ended = self.assertRaises(SystemExit, main, arguments)
        return ended.code, out.getvalue(), err.getvalue()

    def test_version(self) -> None:
        """--version gives the version of the package."""
        self.assertEqual(self.run_main("--version"), (0, f"twisted_gun {gun.__version__}\n", ""))

    def test_help(self) -> None:
        """The help of get has every exit status that the docs have."""
        status, out, _ = self.run_main("get", "--help")
        self.assertEqual(status, 0)
        for number in (0, 1, 2, 3, 5, 6, 7, 18, 22, 23, 26, 28, 35, 52, 60, 92, 97, 130, 141):
            self.assertRegex(out, rf"(^|\s){number}\s+[a-zA-Z]")

    def test_usage(self) -> None:
        """What cannot be understood is 2, and says what was expected."""
        for arguments, told in (
            ((), "COMMAND"),
            (("fly",), "fly"),
            (("get",), "URL"),
            (("get", "-H", "no colon", "http://host"), "'Name: value'"),
            (("get", "--timeout", "0", "http://host"), "seconds"),
            (("get", "--timeout", "nan", "http://host"), "seconds"),
            (("get", "--connect-timeout", "soon", "http://host"), "seconds"),
            (("get", "--retry", "-1", "http://host"), "whole number"),
            (("get", "--time", "3", "http://host"), "--time"),
            (("get", "--http2", "--http1.1", "http://host"), "not allowed with"),
        ):
            status, out, err = self.run_main(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn(told, err)


class Run(ProcessProtocol):
    """A process: what it wrote, and `ended`, which fires with its exit status, negative for a signal."""

    def __init__(self) -> None:
        self.out = self.err = b""
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        killed = isinstance(value, ProcessTerminated) and value.signal
        self.ended.callback(-value.signal if killed else value.exitCode)


class ProcessTests(TestCase):
    """``python -m twisted_gun`` in a process of its own."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        anything: Any = reactor
        self.reactor = anything
        self.server = Server()
        port: Any = self.reactor.listenTCP(0, self.server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/"
        self.file = Path(self.mktemp()).absolute()

    def start(self, command: str) -> Run:
        """Start a shell with `command`, in which GUN stands for the program."""
        run = Run()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        program = f"'{sys.executable}' -m twisted_gun"
        environment = {**os.environ, "PYTHONPATH": path}
        self.reactor.spawnProcess(run, "/bin/sh", ["sh", "-c", command.replace("GUN", program)], environment)
        return run

    async def test_get(self) -> None:
        """The content is on the standard output, the status is 0."""
        run = self.start(f"exec GUN get {self.url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"hello", b""))

    async def test_protocol(self) -> None:
        """--http2 speaks HTTP/2 to whoever listens, --http1.1 does not."""
        port: Any = self.reactor.listenTCP(0, Factory.forProtocol(partial(Http2Peer, answer)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        run = self.start(f"exec GUN get --http2 {url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"hello", b""))
        run = self.start(f"exec GUN get --http2 {self.url}")
        self.assertEqual((await run.ended, run.out), (1, b""))
        self.assertIn(b"leave out --http2", run.err)
        run = self.start(f"exec GUN get --http1.1 {self.url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"hello", b""))

    async def test_failure(self) -> None:
        """A failure is one line, without a traceback, and its status."""
        self.server.answer, self.server.closes = CUT, True
        run = self.start(f"exec GUN get -o {self.file} {self.url}")
        self.assertEqual(await run.ended, 18)
        self.assertEqual((run.out, run.err.count(b"\n")), (b"", 1), run.err)
        self.assertFalse(self.file.exists())

    async def test_unusable(self) -> None:
        """A bad URL is 3."""
        run = self.start("exec GUN get gopher://host/")
        self.assertEqual((await run.ended, run.out), (3, b""))

    async def test_head(self) -> None:
        """A reader that has seen enough ends it without a word, long before the end of the answer."""
        size = 64 << 20
        self.server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
        run = self.start(f"{{ GUN get {self.url}; echo $? >{self.file}; }} | head -c 3")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"xxx", b""))
        self.assertEqual(self.file.read_text(), "141\n")

    async def test_interrupted(self) -> None:
        """Ctrl-C is 130, without a word, and leaves nothing half-written."""
        self.server.answer = CUT
        run = self.start(f"exec GUN get -o {self.file} {self.url}")
        await self.server.called
        run.transport.signalProcess(signal.SIGINT)  # type: ignore[union-attr]
        self.assertEqual((await run.ended, run.out, run.err), (130, b"", b""))
        self.assertEqual(list(self.file.parent.glob(f"{self.file.name}*")), [])

    async def test_demo(self) -> None:
        """The demo ends with 0, says nothing on stderr, and needs nothing of where it is started."""
        run = self.start("cd / && exec GUN demo")
        self.assertEqual((await run.ended, run.err), (0, b""), run.out)
        self.assertTrue(run.out.endswith(b"\nAll went as told.\n"))

    async def test_demo_head(self) -> None:
        """The demo, too, ends quietly when nobody reads on."""
        run = self.start(f"{{ GUN demo; echo $? >{self.file}; }} | head -n 2")
        self.assertEqual((await run.ended, run.out.count(b"\n"), run.err), (0, 2, b""))
        self.assertEqual(self.file.read_text(), "141\n")
