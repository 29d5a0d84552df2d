"""The command line: its arguments, and the process as a shell sees it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

import twisted_gun as gun
from tests.test_fetch import CUT, Server
from tests.test_fetch_http2 import answer
from twisted_gun.__main__ import main
from twisted_gun.command.arguments import parse
from twisted_gun.command.follow import Follow
from twisted_gun.command.talk import Talk
from twisted_gun.exits import Exit
from twisted_gun.fetch import Order
from twisted_gun.testing import Http2Peer, ScriptedPeer, WebsocketPeer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command-line.rst"


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
        """The help of a command has every exit status that the docs have for it."""
        always = (0, 1, 2, 3, 5, 6, 7, 18, 22, 23, 26, 28, 35, 52, 60, 92, 97, 130, 141)
        for command, numbers in (("get", always), ("sse", always), ("ws", (*always, 101, 106, 120))):
            status, out, _ = self.run_main(command, "--help")
            self.assertEqual(status, 0)
            for number in numbers:
                self.assertRegex(out, rf"(^|\s){number}\s+[a-zA-Z]")

    def test_documented(self) -> None:
        """The page of the command line has each option of each command, and each exit status."""
        page = PAGE.read_text(encoding="utf-8")
        for command in ("get", "ws", "sse"):
            _, out, _ = self.run_main(command, "--help")
            section = page[page.index(f"\n``{command}``\n") :].partition("\n---")[2].partition("\n---")[0]
            shared = page[page.index("What they have in common") :]
            options = set(re.findall(r"--[a-z][a-z0-9.-]*[a-z0-9]", out)) - {"--help"}
            self.assertGreater(len(options), 10)
            self.assertEqual([option for option in sorted(options) if option not in section and option not in shared], [])
        rows = set(re.findall(r"^   \* - (\d+)", page, re.MULTILINE))
        self.assertEqual({str(int(status)) for status in Exit} - rows, set())

    def test_examples(self) -> None:
        """The page's examples are understood."""
        page = re.sub(r"(\||\\)\n +", lambda split: split[1].strip("\\") + " ", PAGE.read_text(encoding="utf-8"))  # commands of two lines
        examples = re.findall(r"^   \$ (?:.*\| )?twisted-gun ([^|>\n]+)", page, re.MULTILINE)
        commands = [parse(shlex.split(example))[0] for example in examples]
        self.assertEqual(set(commands), {"get", "ws", "sse"})
        self.assertGreater(len(commands), 7)

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
            (("get", "--binary", "http://host"), "--binary"),
            (("ws",), "URL"),
            (("ws", "--ping", "0", "ws://host"), "seconds"),
            (("ws", "--listen", "--linger", "3", "ws://host"), "not allowed with"),
            (("sse",), "URL"),
            (("sse", "--max", "0", "http://host"), "whole number >= 1"),
        ):
            status, out, err = self.run_main(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn(told, err)

    def test_parsed(self) -> None:
        """What is typed is what the commands take, by their defaults too."""
        for order, command in ((Order, "get"), (Talk, "ws"), (Follow, "sse")):
            name, options = parse([command, "URL"])
            self.assertEqual((name, order(**options)), (command, order(url="URL")))
        _, options = parse(["ws", "-H", "a: b", "--subprotocol", "x", "--subprotocol", "y", "--http2", "-v", "URL"])
        expected = Talk(url="URL", headers=(("a", "b"),), subprotocols=("x", "y"), protocol="http2", verbose=True)
        self.assertEqual(Talk(**options), expected)


class Run(ProcessProtocol):
    """A process: what it wrote, and `ended`, which fires with its exit status, negative for a signal."""

    def __init__(self) -> None:
        self.out = self.err = b""
        self._written: Deferred[None] | None = None
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.out += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.err += data
        self._look()

    def written(self, what: bytes) -> Deferred[None]:
        """Fires when this was written."""
        self._wanted, self._written = what, Deferred()
        written = self._written
        self._look()
        return written

    def _look(self) -> None:
        if self._written is not None and self._wanted in self.out + self.err:
            written, self._written = self._written, None
            written.callback(None)

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

    def start(self, command: str, terminal: bool = False) -> Run:
        """Start a shell with `command`, in which GUN stands for the program, in a terminal or with pipes."""
        run = Run()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        program = f"'{sys.executable}' -m twisted_gun"
        environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm"}
        shell = ["sh", "-c", command.replace("GUN", program)]
        self.reactor.spawnProcess(run, "/bin/sh", shell, environment, usePTY=terminal)
        return run

    def listen(self, protocol: Any) -> str:
        """Host and port where connections have a `protocol` each."""
        port: Any = self.reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{port.getHost().port}"

    async def test_get(self) -> None:
        """The content is on the standard output, the status is 0."""
        run = self.start(f"exec GUN get {self.url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"hello", b""))

    async def test_protocol(self) -> None:
        """--http2 speaks HTTP/2 to whoever listens, --http1.1 does not."""
        url = f"http://{self.listen(partial(Http2Peer, answer))}/"
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

    async def test_closed_output(self) -> None:
        """A standard output that was closed beforehand is one line and 23, unless nothing is to be written there."""
        for command in (f"get {self.url}", "demo"):
            run = self.start(f"exec GUN {command} >&-")
            self.assertEqual((await run.ended, run.out), (23, b""), run.err)
            self.assertRegex(run.err, rb"\Atwisted-gun: cannot write the standard output: [^\n]+\n\Z")
        run = self.start("exec GUN demo >/dev/full")
        self.assertEqual(await run.ended, 23)
        self.assertEqual(run.err.count(b"\n"), 1, run.err)
        run = self.start(f"exec GUN get -o {self.file} {self.url} >&-")
        self.assertEqual((await run.ended, run.err, self.file.read_bytes()), (0, b"", b"hello"))

    async def test_closed_error_output(self) -> None:
        """Where the error output was closed beforehand nothing is told, and the status is as ever."""
        for command, status in ((f"get --fail {self.url}", 0), ("get", 2), ("get gopher://host/", 3)):
            run = self.start(f"exec GUN {command} 2>&-")
            self.assertEqual((await run.ended, run.err), (status, b""), command)
        run = self.start("exec GUN sse gopher://host/ <&- >&- 2>&-")
        self.assertEqual(await run.ended, 3)

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

    async def test_interrupted_twice(self) -> None:
        """Another Ctrl-C, or one that comes twice, changes nothing, and says nothing either."""
        server = self.listen(partial(WebsocketPeer, [("send", "hello")], answer_close=False))
        run = self.start(f"exec GUN ws --listen ws://{server}/")
        await run.written(b"hello")
        for _ in range(3):
            run.transport.signalProcess(signal.SIGINT)  # type: ignore[union-attr]
            await deferLater(self.reactor, 0.05)
        self.assertEqual((await run.ended, run.out, run.err), (130, b"hello\n", b""))

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

    async def test_progress(self) -> None:
        """In a terminal a bar shows how far a file has come, also where the shell writes it; in a pipe there is none."""
        for command in (f"GUN get -o {self.file} {self.url}", f"GUN get {self.url} >{self.file}"):
            run = self.start(f"exec {command}", terminal=True)
            self.assertEqual(await run.ended, 0)
            self.assertIn(b"100% of 5 bytes", run.out)
            self.assertEqual(self.file.read_bytes(), b"hello")
        run = self.start(f"exec GUN get -o {self.file} {self.url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"", b""))

    async def test_ws(self) -> None:
        """What comes by a pipe is sent, and answered, and the end of the pipe is the end."""
        url = f"ws://{self.listen(partial(WebsocketPeer, echo=True))}/"
        run = self.start(f"printf 'one\\ntwo\\n' | GUN ws {url}")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"one\ntwo\n", b""))

    async def test_ws_file(self) -> None:
        """A file will do, and a Close has its own status."""
        url = f"ws://{self.listen(partial(WebsocketPeer, [('expect', 'two'), ('close', 1008, 'enough')]))}/"
        self.file.write_text("one\ntwo\nthree\n")
        # Else our own Close could come first, and be answered by its code.
        run = self.start(f"exec GUN ws --linger 30 {url} <{self.file}")
        self.assertEqual((await run.ended, run.out), (108, b""))
        self.assertEqual(run.err, b"twisted-gun: the server ended the websocket: close 1008, enough\n")

    async def test_ws_terminal(self) -> None:
        """In a terminal what is received can be told from what was typed, and Ctrl-C is 130, with a goodbye."""
        peers: list[WebsocketPeer] = []

        def serve() -> WebsocketPeer:
            peers.append(WebsocketPeer(echo=True))
            return peers[-1]

        run = self.start(f"exec GUN ws ws://{self.listen(serve)}/", terminal=True)
        transport: Any = run.transport
        transport.write(b"hello\n")
        await run.written(b"< hello\r\n")
        transport.write(b"\x03")
        self.assertEqual(await run.ended, 130)
        self.assertEqual(peers[0].received_close, gun.Close(1001))
        self.assertNotIn(b"Traceback", run.out)

    async def test_ws_terminal_ends(self) -> None:
        """Ctrl-D is the end of the input."""
        run = self.start(f"exec GUN ws -v ws://{self.listen(partial(WebsocketPeer, echo=True))}/", terminal=True)
        await run.written(b"the websocket is open")
        transport: Any = run.transport
        transport.write(b"\x04")
        self.assertEqual(await run.ended, 0)
        self.assertIn(b"> [close 1000]", run.out)

    async def test_sse(self) -> None:
        """Events are lines, until there were enough; or until nobody reads any more."""
        events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"data: one\n\n" * 50_000  # more than a pipe holds
        url = f"http://{self.listen(partial(ScriptedPeer, [('expect', b'GET'), ('send', events)]))}/"
        run = self.start(f"exec GUN sse --json --max 2 {url}")
        self.assertEqual((await run.ended, run.err), (0, b""))
        self.assertEqual([json.loads(line)["data"] for line in run.out.splitlines()], ["one", "one"])
        run = self.start(f"{{ GUN sse {url}; echo $? >{self.file}; }} | head -n 1")
        self.assertEqual((await run.ended, run.out, run.err), (0, b"one\n", b""))
        self.assertEqual(self.file.read_text(), "141\n")

    async def test_sse_interrupted(self) -> None:
        """Ctrl-C is 130, without a word."""
        events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: one\n\n"
        run = self.start(f"exec GUN sse http://{self.listen(partial(ScriptedPeer, [('expect', b'GET'), ('send', events)]))}/")
        await run.written(b"one\n")
        run.transport.signalProcess(signal.SIGINT)  # type: ignore[union-attr]
        self.assertEqual((await run.ended, run.out, run.err), (130, b"one\n", b""))
