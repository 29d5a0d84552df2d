"""The example of a pool, run as a user would run it, against a server on 127.0.0.1."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.test_examples import EXAMPLES


class Page(Resource):
    """Answers with a greeting, and counts how often it was asked from where."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.clients: Counter[int] = Counter()

    def render_GET(self, request: Request) -> bytes:
        self.clients[request.getClientAddress().port] += 1
        return b"Hello, world"


class ExampleTests(TestCase):
    """It ends with status 0, nothing on stderr, and the output that its page in the docs speaks of."""

    timeout = 60

    async def test_pool(self) -> None:
        """pool.py has many more requests than connections, and all are answered; in the end no place is taken."""
        from twisted.internet import reactor

        listening: Any = reactor
        page = Page()
        port = listening.listenTCP(0, Site(page), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/greeting"
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        command = ["-Wignore", str(EXAMPLES / "pool.py"), url, "50", "3"]
        ended: tuple[bytes, bytes, int]
        ended = await getProcessOutputAndValue(sys.executable, command, env={**os.environ, "PYTHONPATH": path})
        out, err, status = ended
        self.assertEqual((status, err.decode()), (0, ""), out)
        self.assertEqual(out.decode().splitlines(), ["operational: 50 answers, 600 bytes", *["http: up, 0 streams"] * 3])
        self.assertEqual((page.clients.total(), len(page.clients)), (50, 3))
