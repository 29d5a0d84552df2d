"""Work that follows an event stream, in memory."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.defer import Deferred

from tests.event_source_stage import CHUNKED, EVENTS, chunk
from tests.gunclient.stage import Failing, WorkCase
from tests.services import ServiceReceiver
from tests.stage import answer
from twisted_gun.testing import ScriptedPeer


class EventStreamTests(WorkCase):
    """An event stream."""

    def setUp(self) -> None:
        super().setUp()
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", CHUNKED)])

    def identifiers(self) -> list[bytes | None]:
        """The Last-Event-ID of each request."""
        return [dict(request.headers).get(b"last-event-id") for peer in self.peers for request in peer.requests]

    def test_events(self) -> None:
        """Each event is told; what is lost comes back where it was."""
        daemon = self.daemon(sse=True, url="http://a.example/feed?k=v", header=["x: 1"])
        self.assertEqual(self.paths, [b"/feed?k=v"])
        self.assertEqual(dict(self.peer.requests[0].headers)[b"x"], b"1")
        self.send(chunk(b"id: 1\nevent: greeting\ndata: hello\n\n"))
        self.assertEqual(self.events, ["start", "response", "sse"])
        self.assertTrue(daemon._counts.up)
        self.peer.abort()
        self.advance()
        self.assertFalse(daemon._counts.up)
        self.advance(3.0)
        self.assertEqual(self.identifiers(), [None, b"1"])
        self.assertEqual(self.events[-2:], ["error", "response"])

    def test_full_output(self) -> None:
        """While the output takes nothing the server is held back; then all events are there, in order."""
        self.daemon(sse=True)
        self.block()
        events = [f"{number}-{'x' * 1000}" for number in range(3000)]
        for event in events:
            self.peer.send(chunk(f"data: {event}\n\n".encode()))
        self.advance()
        self.assertLess(self.daemons[-1]._output.waiting, 400_000)
        self.destination.room = 2**30
        self.advance(1.0)
        self.clock.pump([0.0] * 500)
        self.assertEqual([line["text"] for line in self.of("sse")], events)

    def test_refused(self) -> None:
        """What ends it for good is told, and it is asked again when it is time, from where it was."""
        self.daemon(sse=True, every=30)
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", answer(b"", 404))])
        self.send(chunk(b"id: 7\ndata: x\n\n"))
        self.peer.close()
        self.advance()
        self.advance(3.0)
        self.assertEqual(self.of("error")[-1]["kind"], "EventSourceFailed")
        asked = len(self.paths)
        self.advance(29.0)
        self.assertEqual(len(self.paths), asked)
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", EVENTS)])
        self.advance(1.0)
        self.assertEqual(self.identifiers()[-1], b"7")
        self.assertEqual(self.left, [])

    def test_kept(self) -> None:
        """With --last-event-id the next process goes on where this one was; it is saved at once, every 5 seconds, and at the end."""
        path = Path(self.mktemp())
        daemon = self.daemon(sse=True, last_event_id=path)
        self.assertFalse(path.exists())
        self.send(chunk(b"id: 1\ndata: x\n\n"))
        self.assertEqual(path.read_text(), "1\n")
        self.send(chunk(b"id: 2\ndata: x\n\n"))
        self.assertEqual(path.read_text(), "1\n")
        self.advance(5.0)
        self.assertEqual(path.read_text(), "2\n")
        self.send(chunk("id: zw\u00f6lf\ndata: x\n\n".encode()))
        self.stop(daemon)
        self.assertEqual(path.read_text(), "zw\u00f6lf\n")
        self.daemon(sse=True, last_event_id=path)
        self.assertEqual(self.identifiers(), [None, "zw\u00f6lf".encode()])

    def test_kept_sendable(self) -> None:
        """An identifier that cannot be sent costs none of those before it, in the file or in the next request."""
        path = Path(self.mktemp())
        daemon = self.daemon(sse=True, last_event_id=path, every=1)
        self.send(chunk(b"id: 1\ndata: x\n\nid: 2\ndata: x\n\nid: 3\x01\ndata: x\n\n"))
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", answer(b"", 404))])
        self.peer.close()
        for _ in range(5):
            self.advance(1.0)
        self.assertEqual(self.identifiers()[1:3], [b"2", b"2"])
        self.stop(daemon)
        self.assertEqual(path.read_text(), "2\n")

    def test_kept_when_written(self) -> None:
        """What the output has not taken is not in the file: after a crash it would be missed."""
        path = Path(self.mktemp())
        daemon = self.daemon(sse=True, last_event_id=path)
        self.destination.room = 0
        self.send(chunk(b"id: 1\ndata: x\n\n"))
        self.advance(5.0)
        self.assertFalse(path.exists())
        self.destination.let()
        self.send(chunk(b"id: 1\ndata: x\n\n"))
        self.assertEqual(path.read_text(), "1\n")
        self.destination.room = 0
        self.send(chunk(b"id: 2\ndata: x\n\n"))
        self.advance(5.0)
        self.assertEqual(path.read_text(), "1\n")
        self.send(chunk(b"id: 3\ndata: x\n\n"))
        self.destination.let(len(json.dumps(self.of("sse")[-1])) + 1)  # the line of the second
        self.advance(5.0)
        self.assertEqual(path.read_text(), "2\n")
        self.destination.room, self.destination.error = 0, Failing.full
        self.send(chunk(b"id: 4\ndata: x\n\n"))
        self.stop(daemon)  # some lines are never written
        self.assertEqual(path.read_text(), "2\n")

    def test_no_content(self) -> None:
        """After a 204 there is nothing more to do, and all is well."""
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 204 No Content\r\n\r\n")])
        self.daemon(sse=True)
        self.assertEqual((self.left, self.events[-1]), ([0], "finished"))

    def test_gives_up(self) -> None:
        """After so many attempts it gives up, and the process ends with status 1."""
        self.endpoint.refuse()
        self.daemon(sse=True, retry=3)
        self.clock.pump([1.0] * 60)
        self.assertEqual(self.left, [1])
        self.assertEqual(self.endpoint.attempts, 3)

    def test_silence(self) -> None:
        """A stream that is silent for too long is given up, and asked for again."""
        self.daemon(sse=True, silence=20)
        self.clock.pump([1.0] * 25)
        self.assertEqual(len(self.paths), 2)

    def test_receiver_service(self) -> None:
        """A receiver that is a service lives as long, and the end waits for it."""
        receiver = ServiceReceiver()
        receiver.stopping = Deferred()
        daemon = self.daemon(receiver, sse=True)
        self.assertEqual(receiver.told, ["start", "response"])
        stopped = daemon.stopService()
        self.advance()
        self.assertEqual(receiver.told[-1], "stop")
        self.assertNoResult(stopped)
        receiver.stopping.callback(None)
        self.advance()
        self.successResultOf(stopped)

    def test_stop_while_it_waits(self) -> None:
        """It stops while it waits to ask again."""
        self.make_peer = lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", answer(b"", 404))])
        daemon = self.daemon(sse=True, every=30)
        self.stop(daemon)
        self.assertEqual(self.events[-1], "stop")
