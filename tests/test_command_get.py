"""``get``: what came later to it than `tests.test_fetch`: decoding, and what is shown meanwhile; with servers in memory."""

from __future__ import annotations

import gzip
import os
from functools import partial
from io import BytesIO, StringIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.test_progress import Terminal
from twisted_gun import fetch as module
from twisted_gun.fetch import Order, fetch
from twisted_gun.testing import MemoryEndpoint, ScriptedPeer


def coded(content: bytes, coding: bytes = b"gzip") -> bytes:
    """An answer with `content` as it is, said to be in a coding."""
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding, len(content)) + content


class GetCase(SynchronousTestCase):
    """Gets what a server answers; nothing is left over."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.stdout: Any = BytesIO()
        self.stderr = StringIO()
        self.patch(os, "environ", {**os.environ, "TERM": "xterm"})

    def get(self, answer: bytes, **order: Any) -> int:
        """The status."""
        self.peer = ScriptedPeer([("expect", b"\r\n\r\n"), ("send", answer)])
        endpoint = MemoryEndpoint(Factory.forProtocol(lambda: self.peer), clock=self.clock)
        self.patch(module, "open_url", partial(gun.open_url, endpoint=endpoint))
        getting = Deferred.fromCoroutine(fetch(self.clock, Order(url="http://host/", **order), self.stdout, self.stderr))
        self.clock.pump([0.0] * 20 + [1.0] * 3)
        status: int = self.successResultOf(getting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return status


class CompressedTests(GetCase):
    """``--compressed``."""

    def test_decoded(self) -> None:
        """The answer is asked for in the codings that are known, and written decoded; the head as it came."""
        self.assertEqual(self.get(coded(gzip.compress(b"hello")), compressed=True, include=True), 0)
        self.assertIn(b"gzip", dict(self.peer.requests[0].headers)[b"accept-encoding"])
        head, _, content = self.stdout.getvalue().partition(b"\r\n\r\n")
        self.assertEqual(content, b"hello")
        self.assertIn(b"content-encoding: gzip", head)

    def test_not_asked(self) -> None:
        """Without it nothing is asked for, and what is coded all the same is written as it came."""
        content = gzip.compress(b"hello")
        self.assertEqual(self.get(coded(content)), 0)
        self.assertNotIn(b"accept-encoding", dict(self.peer.requests[0].headers))
        self.assertEqual(self.stdout.getvalue(), content)

    def test_own_field(self) -> None:
        """What the caller wants to accept takes the place of what we would."""
        self.get(coded(gzip.compress(b"hello")), compressed=True, headers=(("Accept-Encoding", "gzip;q=1"),))
        self.assertEqual([value for name, value in self.peer.requests[0].headers if name == b"accept-encoding"], [b"gzip;q=1"])
        self.assertEqual(self.stdout.getvalue(), b"hello")

    def test_large(self) -> None:
        """There may be any amount of it, as long as it is no bomb, which is 1 and says what to do."""
        line = "".join(f"{number} " for number in range(300)).encode()
        content = line * ((65 << 20) // len(line))
        self.assertEqual(self.get(coded(gzip.compress(content, 6)), compressed=True), 0, self.stderr.getvalue())
        self.assertEqual(len(self.stdout.getvalue()), len(content))
        self.stdout = BytesIO()
        self.assertEqual(self.get(coded(gzip.compress(bytes(4 << 20))), compressed=True), 1)
        self.assertIn("leave out --compressed", self.stderr.getvalue())

    def test_broken(self) -> None:
        """What cannot be decoded is 1."""
        self.assertEqual(self.get(coded(b"no gzip"), compressed=True), 1)
        self.assertIn("the server is at fault", self.stderr.getvalue())

    def test_verbose(self) -> None:
        """-v shows what is accepted, and each piece as it comes."""
        self.get(coded(gzip.compress(b"hello")), compressed=True, verbose=True)
        self.assertIn("> accept-encoding: gzip, deflate", self.stderr.getvalue())
        self.assertIn("< [5 bytes]\n", self.stderr.getvalue())


class ShownTests(GetCase):
    """What is shown while the answer comes."""

    def setUp(self) -> None:
        super().setUp()
        self.stderr = Terminal()
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

    def test_bar(self) -> None:
        """A bar shows what goes to a file, whoever has opened that, and nothing what goes elsewhere."""
        self.get(self.answer)
        self.get(self.answer, output="-")
        self.assertEqual(self.stderr.getvalue(), "", "neither a terminal nor a pipe is a file")
        path = self.mktemp()
        self.get(self.answer, output=path)
        self.assertIn("100% of 5 bytes", self.stderr.getvalue())
        self.stderr = Terminal()
        with open(path, "wb") as self.stdout:
            self.get(self.answer)
        self.assertIn("100% of 5 bytes", self.stderr.getvalue())

    def test_decoded(self) -> None:
        """Nobody knows how much there will be of what is decoded."""
        self.get(coded(gzip.compress(b"hello")), compressed=True, output=self.mktemp())
        self.assertIn("  5 bytes", self.stderr.getvalue())
        self.assertNotIn("100%", self.stderr.getvalue())

    def test_verbose(self) -> None:
        """With -v pieces are told instead, one after the other."""
        self.get(self.answer, output=self.mktemp(), verbose=True)
        self.assertNotIn("100%", self.stderr.getvalue())
        self.assertIn("< [5 bytes]\n", self.stderr.getvalue())

    def test_steps(self) -> None:
        """-v tells of connecting, and why it fails."""
        self.stderr = StringIO()
        endpoint = MemoryEndpoint(Factory.forProtocol(ScriptedPeer), clock=self.clock)
        endpoint.refuse()
        self.patch(module, "open_url", partial(gun.open_url, endpoint=endpoint))
        getting = Deferred.fromCoroutine(fetch(self.clock, Order(url="http://host/", verbose=True), self.stdout, self.stderr))
        self.clock.pump([0.0] * 20)
        self.assertEqual(self.successResultOf(getting), 7)
        self.assertTrue(self.stderr.getvalue().startswith("* connecting\n* host:80: connection refused"), self.stderr.getvalue())
