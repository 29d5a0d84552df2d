"""The same program on each of Twisted's reactors, in a process of its own, for a process has one reactor."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

_ALL = "up, hello /first, 3000000 bytes, a body of 5000000, down, 1 killed, up, hello /again"
EXPECTED = [
    _ALL,  # by await
    _ALL,  # by callbacks
    ", ".join(f"hello /{n}" for n in range(10)),
    f"Text(text='hello'), Binary(data={b'x' * 64!r}... (5000000 bytes)), Close(code=1000, reason=''), Close(code=1001, reason='')",
    "left: []",
]


class ReactorTests(SynchronousTestCase):
    """
    By await and by callbacks, plain and with TLS, under task.react.

    Without a warning (all are errors, and Python's development mode has those for what is not closed), and with no socket and no
    delayed call left.
    """

    def check(self, reactor: str, kind: str) -> None:
        for transport in ("tcp", "tls"):
            command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.reactor_program", reactor, transport]
            done = subprocess.run(command, check=False, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout.splitlines(), [kind, *EXPECTED])

    def test_epoll(self) -> None:
        """On epoll, Linux's own."""
        self.check("epoll", "EPollReactor")

    if sys.platform != "linux":
        test_epoll.skip = "epoll is Linux's"  # type: ignore[attr-defined]

    def test_select(self) -> None:
        """On select, which is everywhere."""
        self.check("select", "SelectReactor")

    def test_asyncio(self) -> None:
        """On asyncio."""
        self.check("asyncio", "AsyncioSelectorReactor")

    def test_uvloop(self) -> None:
        """On asyncio with uvloop."""
        self.check("uvloop", "AsyncioSelectorReactor")

    if find_spec("uvloop") is None:
        test_uvloop.skip = "uvloop is not installed"  # type: ignore[attr-defined]
