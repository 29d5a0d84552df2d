"""``sse`` in this process: what is asked for, what is written, and what ends with which status."""

from __future__ import annotations

import json
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from textwrap import indent
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.test_command import Gone
from twisted_gun.command import follow as module
from twisted_gun.command.follow import Follow, follow
from twisted_gun.testing import Http2Peer, MemoryEndpoint, ScriptedPeer

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
#: A server that says that there are no more.
OVER = b"HTTP/1.1 204 No Content\r\n\r\n"


class FollowTests(SynchronousTestCase):
    """`follow`, with servers in memory that answer one request each."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.stdout: Any = BytesIO()
        self.stderr = StringIO()
        self.peers: list[Any] = []

    def start(self, *answers: bytes, url: str = "http://host/feed", peer: Any = None, **order: Any) -> None:
        """Follow; each connection is answered by one of `answers`, by which it ends."""
        waiting = list(answers)

        def build() -> Any:
            scripted = [("expect", b"\r\n\r\n"), ("send", waiting.pop(0)), ("close",)] if waiting else ()
            self.peers.append(ScriptedPeer(scripted) if peer is None else peer())
            return self.peers[-1]

        self.endpoint = MemoryEndpoint(Factory.forProtocol(build), clock=self.clock)
        self.patch(module, "EventSource", partial(gun.EventSource, endpoint=self.endpoint, random=lambda: 0.0))
        given = Follow(url=url, **order)
        self.following = Deferred.fromCoroutine(follow(self.clock, given, self.stdout, self.stderr))
        self.advance()

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and all that follows happen."""
        self.clock.advance(seconds)
        self.clock.pump([0.0] * 20)

    def send(self, data: bytes) -> None:
        """Let the server send this."""
        self.peers[-1].send(data)
        self.advance()

    def assert_ends(self, status: int, out: bytes = b"", *told: str) -> None:
        """It has ended with this; each part is told in one line, and nothing is left."""
        self.assertEqual((self.successResultOf(self.following), self.stdout.getvalue()), (status, out), self.stderr.getvalue())
        lines = self.stderr.getvalue().splitlines()
        self.assertEqual(len(lines), len(told), lines)
        for line, part in zip(lines, told, strict=True):
            self.assertTrue(line.startswith("twisted-gun: "), line)
            self.assertIn(part, line)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lines(self) -> None:
        """The data is a line, after the type where there is one; the server's 204 is the end."""
        self.start(EVENTS + b"data: one\n\nevent: greeting\ndata: two\ndata: lines\n\ndata\n\n", OVER)
        self.advance(3.0)
        self.assert_ends(0, b"one\ngreeting: two\n    lines\n\n")

    def test_as_it_comes(self) -> None:
        """An event is written when it is there."""
        self.start()
        self.send(EVENTS + b"data: one\n\ndata: tw")
        self.assertEqual(self.stdout.getvalue(), b"one\n")
        self.send(b"o\n\n")
        self.assertEqual(self.stdout.getvalue(), b"one\ntwo\n")
        self.following.cancel()
        self.advance()
        self.failureResultOf(self.following, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_json(self) -> None:
        """With json each event is a line, whatever is in it."""
        self.start(EVENTS + "id: 7\nevent: a\ndata: \xe9\x1b\ndata: b\n\ndata: c\n\n".encode(), OVER, json=True)
        self.advance(3.0)
        lines = self.stdout.getvalue().splitlines()
        self.assertEqual(
            [json.loads(line) for line in lines],
            [{"event": "a", "data": "\xe9\x1b\nb", "id": "7"}, {"event": "message", "data": "c", "id": "7"}],
        )
        self.assertTrue(all(line.isascii() and line.decode().isprintable() for line in lines))
        self.assert_ends(0, self.stdout.getvalue())

    def test_documented(self) -> None:
        """The page of the command line shows what it writes."""
        page = (Path(__file__).resolve().parent.parent / "docs" / "command-line.rst").read_text(encoding="utf-8")
        for as_json in (False, True):
            self.stdout = BytesIO()
            events = b"id: 1\ndata: first\n\nid: 2\nevent: alarm\ndata: fire\ndata: on the second floor\n\n"
            self.start(EVENTS + events, json=as_json, most=2)
            self.assertEqual(self.successResultOf(self.following), 0)
            self.assertIn(indent(self.stdout.getvalue().decode(), "   "), page)

    def test_most(self) -> None:
        """After so many events it ends, and what else has come is not written."""
        self.start(EVENTS + b"data: one\n\ndata: two\n\ndata: three\n\n", most=2)
        self.assert_ends(0, b"one\ntwo\n")

    def test_request(self) -> None:
        """It asks for events, from the one that was the last, with the headers given, and says who asks."""
        self.start(OVER, url="http://host/feed?x=1", last_event_id="7", headers=(("authorization", "secret"),))
        (request,) = self.peers[0].requests
        fields = dict(request.headers)
        self.assertEqual((request.target, fields[b"last-event-id"], fields[b"authorization"]), (b"/feed?x=1", b"7", b"secret"))
        self.assertEqual((fields[b"accept"], fields[b"user-agent"]), (b"text/event-stream", f"twisted_gun/{gun.__version__}".encode()))
        self.assertNotIn(b"accept-encoding", fields)
        self.assert_ends(0)

    def test_again(self) -> None:
        """It asks again after the last event, when as long has passed as was wanted; a failure in between is told."""
        self.start(EVENTS + b"id: 1\ndata: one\n\n", b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", OVER, wait=5.0)
        self.advance(4.9)
        self.assertEqual(len(self.peers), 1)
        self.advance(0.2)
        self.assertEqual(dict(self.peers[1].requests[0].headers)[b"last-event-id"], b"1")
        self.advance(5.0)
        self.assert_ends(0, b"one\n", "status 503; asking again")

    def test_long_wait(self) -> None:
        """It may wait for longer than an event source does by itself."""
        self.start(EVENTS + b"data: one\n\n", OVER, wait=600.0)
        self.advance(599.0)
        self.assertEqual(len(self.peers), 1)
        self.advance(2.0)
        self.assert_ends(0, b"one\n")

    def test_retry(self) -> None:
        """With retry so many more failures in a row are the end, with the status of the last."""
        self.start(retry=2, peer=ScriptedPeer)
        self.endpoint.refuse()
        for peer in self.peers:
            peer.close()
        for _ in range(3):
            self.advance(60.0)
        self.assertEqual(self.endpoint.attempts, 3)
        self.assert_ends(7, b"", "asking again", "asking again", "connection refused")

    def test_no_events(self) -> None:
        """What is no event stream is 22, and not asked for again."""
        for answer, told in (
            (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
            (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n", "what is no text/event-stream"),
        ):
            self.stderr = StringIO()
            self.start(answer)
            self.assert_ends(22, b"", told)

    def test_too_large(self) -> None:
        """A limit is the end, and 1."""
        self.start(EVENTS + b"data: " + b"x" * 70_000)
        self.assert_ends(1, b"", "max_line_size")

    def test_timeout(self) -> None:
        """A server that does not answer in time is asked again."""
        self.start(timeout=5.0, retry=0)
        self.advance(4.9)
        self.assertNoResult(self.following)
        self.advance(0.2)
        self.assert_ends(28, b"", "response")

    def test_idle(self) -> None:
        """With idle a stream that brings nothing is given up, and asked for again; without, it may be silent for ever."""
        for idle, count in ((5.0, 2), (None, 1)):
            self.peers.clear()
            self.stderr = StringIO()
            self.start(idle=idle)
            self.send(EVENTS)
            self.advance(4.9)
            self.assertEqual(len(self.peers), 1)
            self.advance(0.2)
            self.advance(3.0)
            self.assertEqual(len(self.peers), count)
            self.following.cancel()
            self.advance()
            self.failureResultOf(self.following, CancelledError)

    def test_compressed(self) -> None:
        """With compressed an event stream in a coding is read."""
        import gzip

        coded = EVENTS[:-2] + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"data: one\n\n")
        self.start(coded, OVER, compressed=True)
        self.assertIn(b"gzip", dict(self.peers[0].requests[0].headers)[b"accept-encoding"])
        self.advance(3.0)
        self.assert_ends(0, b"one\n")

    def test_output_gone(self) -> None:
        """Where nobody reads any more it ends without a word."""
        self.stdout = Gone()
        self.start(EVENTS + b"data: one\n\ndata: two\n\n")
        self.assert_ends(141)

    def test_http2(self) -> None:
        """Over HTTP/2 as well."""
        script = [("expect", b"GET /feed"), ("respond", 200, {"content-type": "text/event-stream"}, b"data: one\n\n", False)]
        self.start(peer=lambda: Http2Peer(script), protocol="http2", most=1)
        self.assert_ends(0, b"one\n")

    def test_verbose(self) -> None:
        """-v tells of each connection, request and answer, of what comes of them, and of the last event, without credentials."""
        self.start(EVENTS + b"id: 1\ndata: one\n\n", OVER, verbose=True, headers=(("authorization", "s3cret"),))
        self.advance(3.0)
        self.assertEqual(self.successResultOf(self.following), 0)
        told = self.stderr.getvalue().splitlines()
        for line in (
            "* connecting",
            "* up: http",
            "> GET /feed",
            "> authorization: [secret]",
            "< 200",
            "< content-type: text/event-stream",
            "* the stream has ended; asking again",
            "> last-event-id: 1",
            "< 204",
            "* the last event's id: 1",
        ):
            self.assertIn(line, told)
        self.assertEqual(told.count("> GET /feed"), 2)
        self.assertNotIn("s3cret", self.stderr.getvalue())

    def test_unusable(self) -> None:
        """A URL or an option that cannot be used is 3."""
        for order, told in (
            ({"url": "ws://host/"}, "http:// or https://, and a host"),
            ({"last_event_id": "a\nb"}, "--last-event-id: expected"),
            ({"headers": (("a b", "c"),)}, "header"),
        ):
            self.stderr = StringIO()
            self.start(**order)
            self.assert_ends(3, b"", told)
