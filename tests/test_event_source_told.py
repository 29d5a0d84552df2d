"""`twisted_gun.event_source`: events that wait, receivers, and how a source ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

import twisted_gun as gun
from tests.event_source_stage import CHUNKED, EVENTS, EventSourceCase, chunk, stream
from tests.websocket.servers import answer, raw, silent
from twisted_gun.event_source import EventSource, EventSourceFailed
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer


class FlowTests(EventSourceCase):
    """What is unread holds the server back."""

    def test_held_back(self) -> None:
        """Unread events stop the server, and all of them come in the end, in order."""
        self.serve(stream())
        source = self.source(max_unread=10_000)
        event = b"data: %05d" + b"x" * 1000 + b"\n\n"
        self.send(b"".join(event % at for at in range(1000)))
        self.assertEqual(len(source._unread), 8)
        self.assertGreater(self.peer.transport.buffered, 500_000)
        self.send(b"data: end\n\n")
        read: list[str] = []
        while read[-1:] != ["end"]:
            read.append(str(self.next(source).data))
            self.assertLessEqual(len(source._unread), 8)
            self.advance()
        self.assertEqual([data[:5] for data in read], [f"{at:05}" for at in range(1000)] + ["end"])

    def test_all_counts(self) -> None:
        """Types and identifiers count, not the data alone: a server cannot fill the memory by either."""
        for field in (b"event: ", b"id: "):
            self.serve(stream())
            source = self.source()
            for _ in range(20):
                self.send(field + b"x" * 60_000 + b"\ndata: 1\n\n")
            self.assertLessEqual(len(source._unread), 2)

    def test_one_event(self) -> None:
        """The bound is passed by one event at most, however small it is."""
        self.serve(stream(b"data: one\n\ndata: two\n\ndata: three\n\n"))
        source = self.source(max_unread=1)
        self.assertEqual(len(source._unread), 1)
        self.assertEqual(self.read(source), ["one", "two", "three"])

    def test_lost_while_full(self) -> None:
        """A server that goes away after each event does not fill the memory: nothing is asked for before there is room."""
        self.serve(Http2Peer)
        source = self.source(protocols=["http2"], max_unread=300)
        for at in (0, 1):
            self.peer.respond(1, 200, {"content-type": "text/event-stream"}, b"id: %d\ndata: %d\n\n" % (at, at), fin=False)
            self.advance()
            self.peer.abort()
            self.advance()
            self.advance(60.0)
        self.advance(60.0)
        self.assertEqual((len(self.servers.peers), source.ready_state), (2, "connecting"))
        self.assertEqual(self.next(source).data, "0")
        self.advance()
        self.assertEqual(len(self.servers.peers), 2)
        self.assertEqual(self.next(source).data, "1")
        self.advance()
        self.assertEqual(len(self.servers.peers), 3)
        self.assertEqual(dict(self.peer.requests[0].headers)[b"last-event-id"], b"1")

    def test_lost_again_and_again(self) -> None:
        """What is unread when the connection breaks is neither lost nor asked for again, and what was not received yet is."""
        events = [b"id: %d\ndata: %d %b\n\n" % (at, at, b"x" * 1000) for at in range(1, 101)]

        def resume(peer: Any) -> None:
            self.servers.endpoints["a.example", 80].links[-1].chunk_size = 3000
            given = dict(peer.requests[0].headers).get(b"last-event-id", b"0")
            peer.send(EVENTS + b"".join(events[int(given) :]))

        self.serve(lambda: ScriptedPeer(resume))
        source = self.source(max_unread=5000)
        read: list[str] = []
        while len(read) < 100:
            for _ in range(3):
                read.append(str(self.next(source).data).split()[0])
                if len(read) == 100:
                    break
            self.peer.abort()
            self.advance()
            self.advance(3.0)
        self.assertEqual(read, [str(at) for at in range(1, 101)])
        self.assertGreater(len(self.servers.peers), 10)


class Closer:
    """Is told events, and closes its source at those of `kind`, the first of which was number `closed`."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.told = self.closed = 0
        self.source: Any = None

    def __call__(self, event: Any) -> None:
        self.told += 1
        if isinstance(event, self.kind):
            self.closed = self.told
            self.source.close()


class ReceiverTests(EventSourceCase):
    """`reply_to`."""

    def test_told(self) -> None:
        """A receiver is told when a stream opens, of each event, and how it ends."""
        self.serve(raw(CHUNKED + chunk(b"id: 1\ndata: one\n\n")), answer(503), stream(b"data: two\n\n"), answer(404))
        told = RecordingReceiver()
        source = self.source(reply_to=told)
        self.send(chunk(b"data: more\n\n"))
        self.assertEqual(source.last_event_id, "1")
        self.send(chunk(b""))
        self.assertEqual(told.names(), ["gun_response", "gun_sse", "gun_sse", "gun_sse"])
        self.assertEqual([event.event and event.event.data for event in told.of(gun.Sse)], ["one", "more", None])
        told.clear()
        self.close()
        self.advance(3.0)
        self.assertEqual((told.names(), told.events[0].reason.response.status), (["gun_error"], 503))
        told.clear()
        self.close()
        self.advance(3.0)
        self.peer.abort()
        self.advance()
        self.assertEqual(told.names(), ["gun_response", "gun_sse", "gun_error"])
        self.assertIs(told.events[2].stream, told.events[0].stream)
        told.clear()
        self.advance(3.0)
        self.assertEqual((told.names(), source.ready_state), (["gun_error"], "closed"))
        self.assertIs(told.events[0].reason, self.successResultOf(source.when_closed()))

    def test_callable(self) -> None:
        """A callable is told the same; and nothing can be awaited then."""
        told: list[Any] = []
        self.serve(stream(b"data: one\n\n"))
        source = self.source(reply_to=told.append)
        self.assertEqual([type(event) for event in told], [gun.Response, gun.Sse])
        self.assertRaises(gun.BadState, source.next_event)
        source.close()
        self.failed(Deferred.fromCoroutine(source.__anext__()), gun.BadState)

    def test_raises(self) -> None:
        """A receiver that raises is logged, and told of what follows all the same."""

        def boom(event: Any) -> None:
            told.append(event)
            raise ValueError("boom")

        told: list[Any] = []
        self.serve(stream(b"data: one\n\ndata: two\n\n"))
        source = self.source(reply_to=boom)
        self.assertEqual(len(told), 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        self.assertEqual(source.ready_state, "open")

    def test_identifier_alone(self) -> None:
        """An identifier without data is no event to be told."""
        told = RecordingReceiver()
        self.serve(stream(b"id: 1\n\n"))
        source = self.source(reply_to=told)
        self.assertEqual((told.names(), source.last_event_id), (["gun_response"], "1"))

    def test_close_from_within(self) -> None:
        """It may close the source whatever it is told, and is told nothing more."""
        answers = (raw(CHUNKED + chunk(b"data: one\n\n") + chunk(b"")), answer(503), answer(404))
        closed = set()
        for first in (*answers, answer(200, "content-type: text/event-stream"), silent):
            for kind in (gun.Response, gun.Sse, gun.Error):
                self.serve(first)
                closer = Closer(kind)
                source = closer.source = EventSource(
                    "http://a.example/", reactor=self.clock, endpoint=self.servers.endpoint, reply_to=closer
                )
                self.sources.append(source)
                self.advance()
                self.advance(30.0)
                if closer.closed:
                    self.assertEqual((closer.told, source.ready_state), (closer.closed, "closed"))
                    closed.add(kind)
                source.close()
                self.advance()
        self.assertEqual(closed, {gun.Response, gun.Sse, gun.Error})


class EndTests(EventSourceCase):
    """How it ends."""

    def test_close(self) -> None:
        """`close` ends it at once; who waits is told, what is unread is dropped, and `when_closed` says that nothing is left."""
        self.serve(stream())
        source = self.source()
        waiting, ended = source.next_event(timeout=5.0), source.when_closed()
        source.close()
        self.assertEqual(source.ready_state, "closed")
        self.failed(waiting, gun.BadState)
        self.assertNoResult(ended)  # for its connection has not ended yet
        self.advance()
        self.assertIsNone(self.successResultOf(ended))
        self.assertTrue(self.servers.endpoints["a.example", 80].links[0].client.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        source.close()
        self.failed(source.next_event(), gun.BadState)

    def test_close_drops(self) -> None:
        """What is unread at `close` is not read any more."""
        self.serve(stream(b"data: one\n\n"))
        source = self.source()
        source.close()
        self.failed(Deferred.fromCoroutine(source.__anext__()), StopAsyncIteration)

    def test_close_at_any_time(self) -> None:
        """It leaves nothing behind whenever it is closed: connecting, asking, waiting for an answer, or for the next attempt."""
        for made in (stream(b"data: 1\n\n"), silent, answer(503), answer(302, "location: http://b.example/")):
            self.serve(silent, host="b.example")
            for turns in range(8):
                self.serve(made)
                source = EventSource("http://a.example/", reactor=self.clock, endpoint=self.servers.endpoint)
                self.sources.append(source)
                for _ in range(turns):
                    self.one_call()
                source.close()
                self.assert_nothing_left()

    def one_call(self) -> None:
        """Let the next thing happen that is due, and no more."""
        due: list[Any] = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
        for call in due[1:]:
            call.delay(0.001)
        self.clock.advance(0)
        for call in due[1:]:
            if call.active():
                call.delay(-0.001)

    def test_cancelled_at_the_end(self) -> None:
        """Who waits for the end may cancel another who does, as he is told."""
        self.serve(silent)
        source = self.source()
        first, second, third = (source.when_closed() for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        source.close()
        self.advance()
        self.failed(second, CancelledError)
        self.assertIsNone(self.successResultOf(third))

    def test_no_content(self) -> None:
        """By 204 the server says that there is nothing more to come, and that is well."""
        self.serve(answer(204))
        source = self.source()
        self.assertIsNone(self.successResultOf(source.when_closed()))
        self.failed(source.next_event(), gun.BadState)

    def test_awaited_end(self) -> None:
        """Who waits for an event fails with what ends the source for good."""
        self.serve(stream(), answer(404))
        source = self.source()
        waiting, ended, other = source.next_event(), source.when_closed(), source.when_closed()
        other.cancel()
        self.failed(other, CancelledError)
        self.close()
        self.advance(60.0)
        error = self.failed(waiting, EventSourceFailed)
        self.assertIs(self.successResultOf(ended), error)
        self.assertEqual((error.response.status, str(error)), (404, "http://a.example/feed answered with status 404"))

    def test_for_good(self) -> None:
        """Whatever is no event stream, and will be none the next time either, ends it."""
        others = ["text/html", "text/event-streams", "application/json; text/event-stream"]
        for made in (
            *(answer(status) for status in (201, 206, 300, 304, 400, 401, 403, 404, 410, 421, 501, 505)),
            *(answer(200, f"content-type: {kind}", body=b"data: one\n\n") for kind in others),
            answer(200, body=b"data: one\n\n"),
        ):
            self.serve(made)
            source = self.source()
            self.failed(source.next_event(), EventSourceFailed)
            self.assertEqual(source.ready_state, "closed")
            self.assertIs(source.last_failure, self.successResultOf(source.when_closed()))

    def test_media_type(self) -> None:
        """The type's case and its parameters do not matter."""
        for kind in ("text/event-stream;charset=utf-8", "Text/Event-Stream ; charset=latin-1"):
            self.serve(answer(200, f"content-type: {kind}", body="data: ü\n\n".encode()))
            self.assertEqual(self.next(self.source()).data, "ü")
