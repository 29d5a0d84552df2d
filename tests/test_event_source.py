"""`twisted_gun.event_source`: what an `EventSource` asks for, and what it hands over."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

import twisted_gun as gun
from tests.event_source_stage import CHUNKED, EVENTS, EventSourceCase, chunk, stream
from tests.websocket.servers import answer, raw
from twisted_gun.content_handlers import DataHandler, DecodeHandler
from twisted_gun.event_source import EventSource, EventSourceFailed
from twisted_gun.event_source_request import Dialling
from twisted_gun.testing import Http2Peer


class RequestTests(EventSourceCase):
    """What is asked."""

    def test_fields(self) -> None:
        """A GET of what the URL says, with the fields of the HTML standard, and the caller's."""
        self.serve(stream())
        source = self.source("http://a.example/feed?room=5#top", headers={"X-Token": "secret"})
        ((method, target, headers),) = self.servers.requests()
        self.assertEqual((method, target), (b"GET", b"/feed?room=5"))
        ours = {b"accept": b"text/event-stream", b"cache-control": b"no-store", b"x-token": b"secret", b"host": b"a.example"}
        self.assertEqual(headers, ours)
        self.assertEqual(source.url, "http://a.example/feed?room=5")
        self.assertEqual(repr(source), "<EventSource http://a.example/feed open>")

    def test_fields_of_the_caller(self) -> None:
        """What the caller says takes the place of what would be said otherwise, and no content follows."""
        self.serve(stream())
        self.source(headers={"accept": "text/event-stream, */*", "cache-control": "no-cache", "content-type": "text/plain"})
        (headers,) = self.requests()
        self.assertEqual((headers[b"accept"], headers[b"cache-control"]), (b"text/event-stream, */*", b"no-cache"))
        self.assertTrue(self.peer.requests[0].complete)

    def test_last_event_id(self) -> None:
        """Where to go on from is said where it is given, as UTF-8."""
        self.serve(stream())
        source = self.source(last_event_id="früh 1")
        self.assertEqual(self.identifiers(), ["früh 1".encode()])
        self.assertEqual(source.last_event_id, "früh 1")

    def test_encoded(self) -> None:
        """What has to be encoded in a URL is, and what is encoded stays."""
        self.serve(stream())
        self.source("http://a.example/ü x%20?q=ü%20")
        self.assertEqual(self.servers.requests()[0][1], b"/%C3%BC%20x%20?q=%C3%BC%20")

    def test_cookie_store(self) -> None:
        """Other options are those of `twisted_gun.open`: here cookies, which the next request takes along."""
        asked: list[Any] = []

        @implementer(gun.ICookieStore)
        class Store:
            def query(self, uri: Any) -> Any:
                asked.append((uri.host, uri.path))
                return ()

            def set_cookie(self, uri: Any, value: bytes) -> bool:
                asked.append(value)
                return True

            def gc(self) -> None: ...

            def session_gc(self) -> None: ...

        self.serve(raw(EVENTS[:-2] + b"set-cookie: a=b\r\n\r\n"))
        self.source(cookie_store=Store())
        self.assertEqual(asked, [("a.example", "/feed"), b"a=b"])


class ReadingTests(EventSourceCase):
    """How events are read."""

    def test_next_event(self) -> None:
        """Events come one by one, those that were there before, and those that come while they are awaited."""
        self.serve(stream(b"id: 1\nevent: greeting\ndata: one\ndata: more\n\ndata: two\n\n"))
        source = self.source()
        self.assertEqual(self.next(source), gun.SseEvent(event_type="greeting", data="one\nmore", last_event_id="1"))
        self.assertEqual(self.next(source), gun.SseEvent(event_type="message", data="two", last_event_id="1"))
        waiting = source.next_event()
        self.assertNoResult(waiting)
        self.send(b"data: three\n\n")
        self.assertEqual(self.successResultOf(waiting).data, "three")

    def test_async_for(self) -> None:
        """``async for`` gives events, over all connections, until the server says by a 204 that there will be none."""
        self.serve(stream(b"data: one\n\n"), answer(204))
        read: list[Any] = []

        async def follow() -> None:
            async for event in source:
                read.append(event.data)

        source = self.source()
        done = Deferred.fromCoroutine(follow())
        self.send(b"data: two\n\n")
        self.assertEqual(read, ["one", "two"])
        self.close()
        self.advance(3.0)
        self.successResultOf(done)
        self.assertEqual(read, ["one", "two"])
        self.assertIsNone(self.successResultOf(source.when_closed()))

    def test_async_for_fails(self) -> None:
        """``async for`` raises what has ended the source for good, after the events that came before that."""
        self.serve(stream(b"data: one\n\n"), answer(404))
        source = self.source()
        self.close()
        self.advance(3.0)
        self.assertEqual(source.ready_state, "closed")
        read: list[Any] = []

        async def follow() -> None:
            async for event in source:
                read.append(event.data)

        error = self.failed(Deferred.fromCoroutine(follow()), EventSourceFailed)
        self.assertEqual((read, error.response.status), (["one"], 404))
        self.assertIs(self.failed(source.next_event(), EventSourceFailed), error)

    def test_one_at_a_time(self) -> None:
        """A second await while one is waiting is refused, and does the first no harm."""
        self.serve(stream())
        source = self.source()
        waiting = source.next_event()
        self.assertRaises(gun.BadState, source.next_event)
        self.failed(Deferred.fromCoroutine(source.__anext__()), gun.BadState)
        self.send(b"data: one\n\n")
        self.assertEqual(self.successResultOf(waiting).data, "one")

    def test_timeout(self) -> None:
        """A timeout says how things are, and loses nothing."""
        endpoint = self.serve(stream(b"data: one\n\n"))
        endpoint.refuse()
        source = self.source()
        waiting = source.next_event(timeout=2.0)
        self.advance(1.9)
        self.assertNoResult(waiting)
        self.advance(0.1)
        error = self.failed(waiting, gun.TimedOut)
        self.assertEqual((error.stage, error.seconds), ("event", 2.0))
        self.assertIn("connecting; the last attempt failed: a.example:80: connection refused", str(error))
        endpoint.accept()
        waiting = source.next_event(timeout=2.0)
        self.advance(1.0)
        self.assertEqual(self.successResultOf(waiting).data, "one")
        self.advance(60.0)
        self.assertRaises(gun.OptionError, source.next_event, -1)

    def test_timeout_while_open(self) -> None:
        """A timeout does not speak of failures where there were none."""
        self.serve(stream())
        waiting = self.source().next_event(1.0)
        self.advance(1.0)
        self.assertIn("(the source is open)", str(self.failed(waiting, gun.TimedOut)))

    def test_cancel(self) -> None:
        """Cancelling only stops the waiting; the event that comes then is for whoever awaits it next."""
        self.serve(stream())
        source = self.source()
        waiting = source.next_event(timeout=5.0)
        waiting.cancel()
        self.failed(waiting, CancelledError)
        self.send(b"data: one\n\n")
        self.advance(10.0)
        self.assertEqual(self.next(source).data, "one")

    def test_from_within(self) -> None:
        """Who is given an event may await the next one, and close the source, at once."""
        self.serve(stream())
        source = self.source()
        read: list[Any] = []

        def take(event: gun.SseEvent) -> None:
            read.append(event.data)
            if event.data == "3":
                source.close()
            else:
                source.next_event().addCallback(take)

        source.next_event().addCallback(take)
        self.send(b"data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n")
        self.assertEqual((read, source.ready_state), (["1", "2", "3"], "closed"))

    def test_bytewise(self) -> None:
        """However the bytes are cut, the events are the same."""
        content = EVENTS + "id: 1\r\ndata: zwölf\r\n\r\n:\r\rdata: 2\rid\r\r".encode()
        for size in (1, 2, 3, 7, len(content)):
            endpoint = self.serve(raw(content))
            source = EventSource("http://a.example/", reactor=self.clock, endpoint=endpoint)
            self.sources.append(source)
            self.clock.advance(0)
            for link in endpoint.links:
                link.chunk_size = size
            self.advance()
            self.assertEqual(
                [self.next(source), self.next(source)], [gun.SseEvent(data="zwölf", last_event_id="1"), gun.SseEvent(data="2")]
            )

    def test_decoded(self) -> None:
        """A compressed stream is read where a `DecodeHandler` is given, which asks for it, too."""
        data = gzip.compress(b"data: one\n\ndata: two\n\n")
        head = EVENTS[:-2] + b"content-encoding: gzip\r\n\r\n"
        self.serve(raw(head + data))
        source = self.source(content_handlers=[DecodeHandler])
        self.assertEqual(self.read(source), ["one", "two"])
        self.assertIn(b"gzip", self.requests()[0][b"accept-encoding"])

    def test_decoded_without_end(self) -> None:
        """How much a `DecodeHandler` gives in all is not bounded here, unless that is asked for: a stream of events has no end."""
        content = gzip.compress(b"".join(b"data: %05d%b\n\n" % (at, b"x" * 30_000) for at in range(80)))
        options: dict[str, Any]
        for options, most in (({}, 80), ({"max_decoded_size": 1_000_000}, 32)):
            self.serve(raw(EVENTS[:-2] + b"content-encoding: gzip\r\n\r\n" + content))
            told: list[Any] = []
            source = self.source(content_handlers=[(DecodeHandler, {"max_ratio": None, **options})], reply_to=told.append)
            self.assertEqual(len([event for event in told if isinstance(event, gun.Sse) and event.event is not None]), most)
            self.assertEqual(source.ready_state, "open" if most == 80 else "closed")
        (handler, _) = Dialling(None, {"content_handlers": [DecodeHandler]}, gun.SseHandler)._options.http2_opts.content_handlers
        self.assertEqual(handler, (DecodeHandler, {"max_decoded_size": None}))

    def test_unknown_coding(self) -> None:
        """What no handler can decode is no stream that can be read, though there is a `DecodeHandler`."""
        self.serve(raw(EVENTS[:-2] + b"content-encoding: compress\r\n\r\n\x1f\x9d"))
        self.failed(self.source(content_handlers=[DecodeHandler]).next_event(), EventSourceFailed)

    def test_not_decoded(self) -> None:
        """Without, that is no stream that can be read, and says what to do; "identity" is no coding."""
        self.serve(raw(EVENTS[:-2] + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"data: one\n\n")))
        error = self.failed(self.source().next_event(), EventSourceFailed)
        self.assertIn("content_handlers", str(error))
        self.serve(raw(EVENTS[:-2] + b"content-encoding: identity\r\n\r\ndata: one\n\n"))
        self.assertEqual(self.next(self.source()).data, "one")

    def test_left_unread(self) -> None:
        """Content that another handler has taken is no stream that can be read either."""
        self.serve(stream(b"data: one\n\n"))
        self.failed(self.source(content_handlers=[DataHandler]).next_event(), EventSourceFailed)
        self.serve(raw(CHUNKED + chunk(b"")))
        self.assertEqual(self.source(content_handlers=[DataHandler]).ready_state, "connecting")

    def test_limits(self) -> None:
        """A line or an event that is too long ends it for good: it would be there again the next time."""
        for name in ("max_line_size", "max_event_size"):
            options: Any = {name: 100}
            self.serve(stream(b"id: 1\ndata: fits\n\ndata: " + b"x" * 100 + b"\n\n"))
            source = self.source(**options)
            self.assertEqual(self.next(source).data, "fits")
            self.assertEqual(self.failed(source.next_event(), gun.LimitReached).name, name)
            self.assertEqual(source.ready_state, "closed")

    def test_http2(self) -> None:
        """Over HTTP/2 it is the same; a stream that has ended is followed by another on the same connection, one that was reset is not."""
        self.serve(Http2Peer)
        source = self.source(protocols=["http2"])
        self.peer.respond(1, 200, {"content-type": "text/event-stream"}, b"id: 1\ndata: one\n\n")
        self.advance()
        self.assertEqual((self.next(source).data, source.ready_state), ("one", "connecting"))
        self.advance(3.0)
        self.assertEqual([dict(request.headers).get(b"last-event-id") for request in self.peer.requests], [None, b"1"])
        self.peer.respond(3, 200, {"content-type": "text/event-stream"}, b"data: two\n\n", fin=False)
        self.peer.reset(3)
        self.advance()
        self.assertEqual(self.next(source).data, "two")
        self.assertIsInstance(source.last_failure, gun.StreamReset)
        self.advance(3.0)
        self.assertEqual(([len(peer.requests) for peer in self.servers.peers], source.ready_state), ([2, 1], "connecting"))


class IdentifierTests(EventSourceCase):
    """`last_event_id`, and what is said to the server."""

    def reconnect(self) -> None:
        """The stream ends, and the next one begins."""
        self.close()
        self.advance(60.0)

    def test_handed_over(self) -> None:
        """`last_event_id` is that of the last event that was handed over; the server is told that of the last one received."""
        self.serve(stream(b"id: 1\ndata: one\n\nid: 2\ndata: two\n\n"), stream(b"id: 3\ndata: three\n\n"))
        source = self.source()
        self.next(source)
        self.assertEqual(source.last_event_id, "1")
        self.reconnect()
        self.assertEqual((source.last_event_id, self.identifiers()), ("1", [None, b"2"]))
        self.assertEqual([self.next(source).data, self.next(source).data, source.last_event_id], ["two", "three", "3"])

    def test_cut(self) -> None:
        """An event that was cut off by the end of its stream is none, and its identifier is not said."""
        self.serve(stream(b"id: 1\ndata: one\n\nid: 2\ndata: two\n"), stream())
        source = self.source()
        self.reconnect()
        self.assertEqual((self.read(source), self.identifiers()), (["one"], [None, b"1"]))

    def test_alone(self) -> None:
        """An identifier without data is no event, but where to go on from; what is unread before it comes first."""
        self.serve(stream(b"id: 1\n\n"), stream(b"id: 2\ndata: two\n\nid: 3\n\nid: 4\n\n"), stream(b"id\n\n"), stream())
        source = self.source()
        self.assertEqual(source.last_event_id, "1")
        self.reconnect()
        self.assertEqual(source.last_event_id, "1")
        self.assertEqual((self.next(source).data, source.last_event_id), ("two", "2"))
        self.assertEqual((self.read(source), source.last_event_id), ([], "4"))
        self.reconnect()
        self.assertEqual(source.last_event_id, "")
        self.reconnect()
        self.assertEqual(self.identifiers(), [None, b"1", b"4", None])

    def test_many_alone(self) -> None:
        """Identifiers without data do not fill the memory, whoever reads."""
        self.serve(stream(b"data: one\n\n" + b"".join(b"id: %d\n\n" % at for at in range(10_000))))
        source = self.source()
        self.assertEqual(len(source._unread), 2)
        self.assertEqual((self.read(source), source.last_event_id), (["one"], "9999"))

    def test_stays(self) -> None:
        """An identifier stays for the events that follow, those of the next stream too, until the server says another."""
        self.serve(stream(b"id: 1\ndata: one\n\n"), stream(b"data: two\n\n"), stream(b"id\ndata: three\n\n"), stream())
        source = self.source()
        for _ in range(3):
            self.reconnect()
        self.assertEqual([self.next(source).last_event_id for _ in range(3)], ["1", "1", ""])
        self.assertEqual(self.identifiers(), [None, b"1", b"1", None])

    def test_not_sendable(self) -> None:
        """What would break a request is not said: rather the identifier before it, for an event twice is better than one missed."""
        self.serve(stream(b"id: 1\ndata: one\n\nid: 2\x01\ndata: two\n\n"), stream())
        source = self.source()
        self.assertEqual([self.next(source).last_event_id, self.next(source).last_event_id], ["1", "2\x01"])
        self.reconnect()
        self.assertEqual(self.identifiers(), [None, b"1"])

    def test_null(self) -> None:
        """An identifier with NUL is none; the HTML standard, section 9.2.6."""
        self.serve(stream(b"id: 1\ndata: one\n\nid: 2\x00\ndata: two\n\n"), stream())
        source = self.source()
        self.reconnect()
        self.assertEqual([self.next(source).last_event_id for _ in range(2)], ["1", "1"])
        self.assertEqual(self.identifiers(), [None, b"1"])
