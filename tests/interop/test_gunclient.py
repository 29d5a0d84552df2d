"""``twistd -n gunclient`` as a process of its own, against a server that is ended and started again, behind tinyproxy; and its signals."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from twisted.internet import utils
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.interop.proxies import Tinyproxy, closed_port, missing_proxy
from tests.interop.servers import Server, free_port, python, temporary_directory
from tests.stage import OK
from twisted_gun.testing import ScriptedPeer

TWISTD = ("-Werror", "-Wignore::ResourceWarning", "-c", "from twisted.scripts.twistd import run; run()")
#: Seconds between two events of the server.
EVERY = 0.005


def environment() -> dict[str, str]:
    """What twistd needs, to find what this process imports."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}


class Client(ProcessProtocol):
    """``twistd -n gunclient`` with these `arguments`; `lines` are its whole lines of output, `log` is what it has logged."""

    def __init__(self, case: TestCase, root: Path, *arguments: str) -> None:
        from twisted.internet import reactor

        self.lines: list[dict[str, Any]] = []
        self.log = b""
        self.ended: Deferred[Any] = Deferred()
        self._rest = b""
        self._awaited: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self.over = False
        self.reason: Any = None  # why it has ended
        command = [sys.executable, *TWISTD, "-n", "--pidfile=", "--logger", "twisted_gun.tap.log_to_stderr", "gunclient", *arguments]
        spawning: Any = reactor
        self.process: Any = spawning.spawnProcess(self, sys.executable, command, env=environment(), path=str(root))
        case.addCleanup(self.end)

    def until(self, reached: Callable[[], bool]) -> Deferred[None]:
        """Fires once `reached` is true, which is asked whenever something comes."""
        fired: Deferred[None] = Deferred()
        self._awaited.append((reached, fired))
        self._look()
        return fired

    def after(self, event: str, count: int = 1) -> Deferred[None]:
        """Fires once there have been so many lines about such events, from now on."""
        wanted = self.count(event) + count
        return self.until(lambda: self.count(event) >= wanted)

    def count(self, event: str) -> int:
        """How many lines there were about such events."""
        return sum(line["event"] == event for line in self.lines)

    async def end(self) -> None:
        """End it by SIGTERM."""
        if not self.over:
            self.process.signalProcess(SIGTERM)
            await self.ended

    @property
    def rest(self) -> bytes:
        """What is behind the last whole line."""
        return self._rest

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += map(json.loads, lines)
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.log += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        self.over = True
        awaited, self._awaited = self._awaited, []
        for _, fired in awaited:
            fired.errback(AssertionError(f"it has ended: {self.log.decode()}"))
        self.reason = reason.value
        self.ended.callback(reason.value)

    def _look(self) -> None:
        found = [entry for entry in self._awaited if entry[0]()]
        self._awaited = [entry for entry in self._awaited if entry not in found]
        for _, fired in found:
            fired.callback(None)


def answering(reply: bytes) -> ScriptedPeer:
    """A server of one answer."""
    return ScriptedPeer([("expect", b"/some HTTP/1.1\r\n"), ("send", reply)])


class GunclientCase(TestCase):
    """A test of the process."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.root = temporary_directory(self)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: Server = python(self, "gunclient.py", str(self.port), str(self.root / "log"), str(EVERY))
        await self.server.start()

    def client(self, *arguments: str) -> Client:
        """A client; short waits, for there is nobody to be spared."""
        return Client(self, self.root, "--retry-first=0.05", "--retry-longest=0.2", *arguments)

    async def assert_ended_well(self, client: Client) -> None:
        """SIGTERM ends it by that signal, after a last whole line, and nothing has gone wrong."""
        await client.end()
        self.assertEqual(client.reason.signal, SIGTERM, client.log)
        self.assertEqual(client.rest, b"")
        self.assertEqual(client.lines[-1]["event"], "stop")
        for text in (b"Traceback", b"Unhandled", b"Warning"):
            self.assertNotIn(text, client.log)

    async def restart(self) -> None:
        """End the server, and start it again."""
        await self.server.stop()
        await self.server.start()


class DirectTests(GunclientCase):
    """Without a proxy."""

    async def test_get(self) -> None:
        """Paths are got again and again, with cookies that are kept; at the end what is under way is whole."""
        cookies = self.root / "cookies"
        client = self.client("--get=/a?x", "--get=/bc", "--every=0.02", f"--cookies={cookies}", self.url)
        await client.after("data", 6)
        await self.assert_ended_well(client)
        texts = [line["text"] for line in client.lines if line["event"] == "data"]
        self.assertEqual(texts[:4], ["GET /a?x", "GET /bc"] * 2)
        store = gun.CookieStore()
        store.load(cookies)
        self.assertEqual([cookie.name for cookie in store], [b"got"])

    async def test_restarted(self) -> None:
        """The client itself is ended and started again: each goes on where the one before it was, and after SIGKILL no later than that."""
        came = [0]
        orderly = True  # whether the one before it could say goodbye
        for number in (SIGTERM, SIGKILL, SIGTERM, SIGKILL, SIGTERM):
            client = self.client("--sse", f"--last-event-id={self.root / 'last'}", f"{self.url}/feed")
            await client.after("sse", 50)
            client.process.signalProcess(number)
            await client.ended
            numbers = [int(line["text"].removeprefix("event ")) for line in client.lines if line["event"] == "sse"]
            self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)))
            self.assertLessEqual(numbers[0], came[-1] + 1)
            if orderly:
                self.assertEqual(numbers[0], came[-1] + 1)
            orderly = number == SIGTERM
            if orderly:
                self.assertEqual((self.root / "last").read_text(), f"{numbers[-1]}\n")
            came.append(numbers[-1])
        self.assertEqual(came, sorted(came))

    async def test_hangup(self) -> None:
        """SIGHUP begins a new file: the lines of both together are all there are, each whole."""
        output = self.root / "output"
        client = self.client("--sse", f"--output={output}", f"{self.url}/feed")
        await self.written(output, b"event 20")
        output.rename(self.root / "moved")
        client.process.signalProcess(SIGHUP)
        await self.written(output, b'"sse"')
        client.process.signalProcess(SIGTERM)
        await client.ended
        lines = [json.loads(line) for name in ("moved", "output") for line in (self.root / name).read_bytes().split(b"\n")[:-1]]
        identifiers = [int(line["id"]) for line in lines if line["event"] == "sse"]
        self.assertEqual(identifiers, list(range(1, len(identifiers) + 1)))
        self.assertTrue(output.read_bytes().endswith(b"\n"))

    async def written(self, path: Path, text: bytes) -> None:
        """Returns once `text` is in the file."""
        from twisted.internet import reactor

        while not path.exists() or text not in path.read_bytes():
            await deferLater(reactor, 0.01)

    async def test_health(self) -> None:
        """Health and metrics are served, and follow what happens."""
        client = self.client("--ws", "--health=0", self.url.replace("http", "ws") + "/ws")
        await client.after("ws")
        await client.until(lambda: b"/health" in client.log)
        address = client.log.partition(b"health is served on ")[2].split()[0].decode()
        health = json.loads(await deferToThread(self.read, address))
        self.assertEqual((health["status"], health["work"], health["protocol"]), ("up", "ws", "http"))
        metrics = (await deferToThread(self.read, address.replace("/health", "/metrics"))).decode()
        self.assertIn("\ngunclient_up 1\n", metrics)
        down = client.after("down")
        await self.server.stop()
        await down
        try:
            await deferToThread(self.read, address)
        except HTTPError as error:
            error.close()
            self.assertEqual(error.code, 503)
        else:
            self.fail("it is said to be up")

    def read(self, address: str) -> bytes:
        """What is there."""
        with urlopen(address, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    async def test_unix_socket(self) -> None:
        """A UNIX socket, for requests and for event streams."""
        from twisted.internet import reactor

        listening: Any = reactor
        path = str(self.root / "socket")
        for arguments, reply, event in (
            (("--get=/some",), OK, "data"),
            (("--sse",), b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n", "sse"),
        ):
            port = listening.listenUNIX(path, Factory.forProtocol(partial(answering, reply)))
            client = self.client(*arguments, f"unix:{path}:/some")
            await client.after(event)
            await client.end()
            await port.stopListening()

    async def test_reader_gone(self) -> None:
        """Where nobody reads its output any more it ends, with a status that says that."""
        client = self.client("--sse", f"{self.url}/feed")
        await client.after("sse")
        client.process.closeStdout()
        reason = await client.ended
        self.assertIsInstance(reason, ProcessTerminated)
        self.assertEqual(reason.exitCode, 141, client.log)

    async def test_gives_up(self) -> None:
        """After so many attempts it ends with status 1."""
        client = self.client("--retry=2", "--get=/", f"http://127.0.0.1:{closed_port(self)}")
        reason = await client.ended
        self.assertEqual(reason.exitCode, 1, client.log)
        self.assertEqual([line["event"] for line in client.lines][-2:], ["finished", "stop"])

    async def test_bad_usage(self) -> None:
        """A mistake on the command line is told, and the status is not 0."""
        arguments = [*TWISTD, "-n", "gunclient", "--every=often", "--get=/", self.url]
        out, err, status = await utils.getProcessOutputAndValue(sys.executable, arguments, env=environment(), path=str(self.root))
        self.assertEqual(status, 1)
        self.assertTrue((out + err).endswith(b"--every: expected seconds, a number above 0\n"), out + err)


class RestartTests(GunclientCase):
    """Through tinyproxy, while the server is ended and started again."""

    skip = missing_proxy(Tinyproxy)

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.proxy = Tinyproxy(self)
        await self.proxy.start()

    async def test_event_stream(self) -> None:
        """Every event comes once, in order."""
        client = self.client("--sse", f"--proxy={self.proxy.url}", f"{self.url}/feed")
        for _ in range(2):
            await client.after("sse", 30)
            await self.restart()
        await client.after("sse", 30)
        await self.assert_ended_well(client)
        identifiers = [int(line["id"]) for line in client.lines if line["event"] == "sse"]
        self.assertEqual(identifiers, list(range(1, len(identifiers) + 1)))
        self.assertGreaterEqual(client.count("response"), 3)

    async def test_websocket(self) -> None:
        """Every message that the server sent before it closed comes, once and in order."""
        client = self.client("--ws", f"--proxy={self.proxy.url}", f"{self.url}/ws")
        for _ in range(2):
            await client.after("ws", 30)
            await self.restart()
        await client.after("ws", 30)
        down = client.after("down")
        await self.server.stop()
        await down
        await self.assert_ended_well(client)
        received = [int(line["text"]) for line in client.lines if line["event"] == "ws" and line["type"] == "text"]
        sent = [int(line) for line in (self.root / "log.ws").read_bytes().split()]
        self.assertEqual(received, sent)
        self.assertGreaterEqual(client.count("upgrade"), 3)

    async def test_get(self) -> None:
        """Rounds go on; each answer of the server is whole, and what fails is told, be it by the proxy."""
        client = self.client("--get=/x", "--every=0.01", f"--proxy={self.proxy.url}", self.url)
        for _ in range(2):
            await client.after("data", 10)
            await self.restart()
        await client.after("data", 10)
        await self.assert_ended_well(client)
        answered = {line["request"] for line in client.lines if line["event"] == "response" and line["status"] == 200}
        texts = {line["text"] for line in client.lines if line["event"] == "data" and line["size"] and line["request"] in answered}
        self.assertEqual(texts, {"GET /x"})
        self.assertLessEqual({line["status"] for line in client.lines if line["event"] == "response"}, {200, 500, 502, 503})
        asked = {line["request"] for line in client.lines if line["event"] == "request"}
        ended = {line.get("request") for line in client.lines if line["event"] == "error" or line.get("fin")}
        self.assertEqual(asked - ended, set())
