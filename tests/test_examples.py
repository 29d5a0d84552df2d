"""The examples of the docs, each run as a user would run it, against a server on 127.0.0.1."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from twisted_gun.testing import Http2Peer

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

#: Longer than one read, and what an upload is checked with.
CONTENT = bytes(range(256)) * 1024


class Page(Resource):
    """Answers a GET with a greeting, a POST with size and digest of what was sent; counts what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes]] = []

    def render_GET(self, request: Request) -> bytes:
        self.asked.append((request.method, request.path))
        request.setHeader("x-example", "yes")
        return b"Hello, world"

    def render_POST(self, request: Request) -> bytes:
        self.asked.append((request.method, request.path))
        assert request.content is not None
        content = request.content.read()
        return f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode("ascii")


class ExamplesTests(TestCase):
    """Each example ends with status 0, nothing on stderr, and the output that its page in the docs speaks of."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        listening: Any = reactor
        self.listening = listening
        self.page = Page()
        self.port = listening.listenTCP(0, Site(self.page), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/greeting"

    async def run_example(self, name: str, *arguments: str) -> list[str]:
        """The lines that the example prints."""
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        script = str(EXAMPLES / f"{name}.py")
        env = {**os.environ, "PYTHONPATH": path}
        ended: tuple[bytes, bytes, int]
        ended = await getProcessOutputAndValue(sys.executable, ["-Wignore", script, *arguments], env=env)
        out, err, status = ended
        self.assertEqual((status, err.decode()), (0, ""), out)
        return out.decode().splitlines()

    async def test_get(self) -> None:
        """get.py prints protocol, status, headers and body."""
        lines = await self.run_example("get", self.url)
        self.assertEqual(lines[0], "http: status 200, 12 bytes")
        self.assertIn("x-example: yes", lines)
        self.assertEqual(lines[-2:], ["", "Hello, world"])
        self.assertEqual(self.page.asked, [(b"GET", b"/greeting")])

    async def test_receiver(self) -> None:
        """receiver.py is told the same by callbacks."""
        lines = await self.run_example("receiver", self.url)
        self.assertEqual(lines, ["up, speaking http", "status 200", "12 bytes"])

    async def test_upload(self) -> None:
        """upload.py sends a file whole and in order."""
        file = Path(self.mktemp()).absolute()
        file.write_bytes(CONTENT)
        lines = await self.run_example("upload", self.url, str(file))
        digest = hashlib.sha256(CONTENT).hexdigest()
        self.assertEqual(lines, [f"sent {len(CONTENT)} bytes, status 200", f"{len(CONTENT)} {digest}"])

    async def test_reconnect(self) -> None:
        """reconnect.py sees the connection go down, and its second request goes out on the next one."""
        lines = await self.run_example("reconnect", self.url)
        self.assertEqual(lines[:4], ["up", "first request: status 200", "down", "up"])
        self.assertEqual(lines[4], "second request: status 200")
        self.assertEqual(len(self.page.asked), 2)

    async def test_multiplex(self) -> None:
        """multiplex.py has more requests than the server allows at a time, and all are answered, each as slowly as it is read."""
        most = 10
        peers: list[Http2Peer] = []

        def answer(peer: Http2Peer) -> None:
            for request in peer.requests:
                if request.complete and not request.answered and request.stream_id not in started:
                    started.add(request.stream_id)
                    peer.respond(request, 200, {}, CONTENT)

        def serve() -> Http2Peer:
            peers.append(Http2Peer(answer, settings={"max_concurrent_streams": most}))
            return peers[-1]

        started: set[int] = set()
        port = self.listening.listenTCP(0, Factory.forProtocol(serve), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        lines = await self.run_example("multiplex", f"http://127.0.0.1:{port.getHost().port}/greeting", "40")
        self.assertEqual(lines, [f"http2: 40 answers, {40 * len(CONTENT)} bytes"])
        self.assertEqual([len(peer.requests) for peer in peers], [40])

    def test_all_are_run(self) -> None:
        """No example is without its test."""
        names = {path.stem for path in EXAMPLES.glob("*.py")}
        self.assertTrue(names)
        self.assertEqual([name for name in sorted(names) if not hasattr(self, f"test_{name}")], [])
