"""`twisted_gun.event_source`: when an `EventSource` asks again, how long it waits before, and when it gives up."""

from __future__ import annotations

import random
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.internet import error

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.event_source_stage import CHUNKED, EVENTS, EventSourceCase, chunk, stream
from tests.websocket.servers import answer, hanging_up, raw, silent
from twisted_gun.event_source import EventSource, EventSourceFailed
from twisted_gun.event_source_request import EventSourceOptions
from twisted_gun.testing import ScriptedPeer


class AgainTests(EventSourceCase):
    """What makes it ask again."""

    def test_end(self) -> None:
        """After the end of a stream it asks again, when the retry time has passed, and on the same connection if that is there."""
        self.serve(raw(CHUNKED + chunk(b"id: 1\ndata: one\n\n")))
        source = self.source()
        self.send(chunk(b""))
        self.assertEqual((source.ready_state, source.last_failure), ("connecting", None))
        self.advance(2.9)
        self.assertEqual(len(self.requests()), 1)
        self.advance(0.1)
        self.assertEqual((self.identifiers(), len(self.servers.peers)), ([None, b"1"], 1))
        self.send(CHUNKED + chunk(b"data: two\n\n"))
        self.assertEqual((self.read(source), source.ready_state), (["one", "two"], "open"))

    def test_trailers(self) -> None:
        """A stream may end by trailers, and an empty one is one."""
        self.serve(raw(CHUNKED + chunk(b"data: one\n\n") + b"0\r\nx: y\r\n\r\n"), answer(200, "content-type: text/event-stream"))
        source = self.source()
        self.assertEqual((source.ready_state, source.last_failure), ("connecting", None))
        self.close()
        self.advance(3.0)
        self.assertIsInstance(source.last_failure, gun.StreamClosed)
        self.assertEqual((self.read(source), source.ready_state), (["one"], "connecting"))

    def test_losses(self) -> None:
        """A reset, a connection that ends in the midst of a chunk, or violates its protocol: all are reasons to ask again."""

        def half() -> None:
            self.send(b"5\r\nid")
            self.peer.close()

        def abort() -> None:
            self.peer.abort()

        def violate() -> None:
            self.peer.send(b"no chunk\r\n")

        for lose, kind in ((abort, gun.GunError), (half, gun.Truncated), (violate, gun.ProtocolViolation)):
            self.serve(raw(CHUNKED + chunk(b"id: 1\ndata: one\n\n")), stream(b"data: two\n\n"))
            source = self.source()
            lose()
            self.advance()
            self.assertIsInstance(source.last_failure, kind)
            self.advance(3.0)
            self.assertIsNone(source.last_failure)
            self.assertEqual((self.read(source), self.identifiers()[-2:]), (["one", "two"], [None, b"1"]))

    def test_not_connected(self) -> None:
        """A server that cannot be reached is tried again, whatever keeps us from it."""
        endpoint = self.serve(stream(b"data: one\n\n"))
        for failure in (error.ConnectionRefusedError(), error.DNSLookupError(), error.NoRouteError(), error.TimeoutError()):
            endpoint.refuse(failure)
            source = self.source()
            self.assertIsInstance(source.last_failure, gun.ConnectFailed)
            self.advance(3.0)
            endpoint.accept()
            self.advance(3.0)
            self.assertEqual(self.next(source).data, "one")

    def test_endpoint_raises(self) -> None:
        """An endpoint's callable that raises is logged, and tried again as any other failure, after a redirect too."""
        self.serve(stream(b"data: one\n\n"), stream(b"data: two\n\n"))
        asked: list[str] = []

        def endpoint(host: str, port: int) -> object:
            asked.append(host)
            if len(asked) in (1, 3):
                raise KeyError(host)
            return self.servers.endpoint(host, port)

        source = self.source(endpoint=endpoint)
        self.assertIsInstance(source.last_failure, gun.ConnectFailed)
        self.advance(3.0)
        self.assertEqual(self.next(source).data, "one")
        self.close()
        self.advance(3.0)
        self.assertIsInstance(source.last_failure, gun.ConnectFailed)
        self.advance(3.0)
        self.assertEqual((self.next(source).data, len(asked)), ("two", 4))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_no_connection(self) -> None:
        """Nor has it to fail at all: ``connect_timeout`` bounds the attempt."""
        endpoint = self.serve(stream(b"data: one\n\n"))
        endpoint.hang()
        source = self.source(connect_timeout=5.0)
        self.advance(5.0)
        self.assertIsInstance(source.last_failure, gun.TimedOut)
        endpoint.accept()
        self.advance(3.0)
        self.assertEqual(self.next(source).data, "one")

    def test_no_answer(self) -> None:
        """A server that does not answer is left after 30 seconds, or as an option says; and one that closes at once."""
        for options, seconds in (({}, 30.0), ({"response_timeout": 2.0}, 2.0), ({"http_opts": {"response_timeout": 3.0}}, 3.0)):
            self.serve(silent, hanging_up, stream(b"data: one\n\n"))
            source = self.source(**options)
            self.advance(seconds - 0.1)
            self.assertIsNone(source.last_failure)
            self.advance(0.1)
            self.assertEqual(getattr(source.last_failure, "stage", None), "response")
            self.advance(3.0)
            self.assertIsInstance(source.last_failure, gun.GunError)
            self.advance(3.0)
            self.assertEqual(self.next(source).data, "one")

    def test_no_limit_to_the_answer(self) -> None:
        """It may take as long as it likes where that is said."""
        self.serve(silent)
        source = self.source(response_timeout=None)
        self.advance(100_000.0)
        self.assertEqual((source.ready_state, source.last_failure), ("connecting", None))

    def test_silence(self) -> None:
        """With ``idle_timeout`` a stream on which nothing comes, not even a comment, is given up; comments keep it."""
        self.serve(stream(b"data: one\n\n"))
        source = self.source(http_opts={"idle_timeout": 20.0})
        for _ in range(5):
            self.advance(15.0)
            self.send(b":\n\n")
        self.assertEqual(source.ready_state, "open")
        self.advance(20.0)
        self.assertEqual((source.ready_state, getattr(source.last_failure, "stage", None)), ("connecting", "idle"))

    def test_certificate(self) -> None:
        """A certificate that is not trusted is tried again as well: it may be the wrong one only for now. Nothing is asked meanwhile."""
        pem = Path(self.mktemp()).absolute()
        pem.write_bytes(authority().pem)
        wrong, right = authority().issue("b.example"), authority().issue("a.example")
        self.serve(stream(b"data: one\n\n"), port=443, tls=ServerCreator(wrong))
        source = self.source("https://a.example/", tls_opts={"trust_root": str(pem)})
        self.assertIsInstance(source.last_failure, gun.TlsFailed)
        self.assertEqual(self.requests(), [])
        self.serve(stream(b"data: one\n\n"), port=443, tls=ServerCreator(right))
        self.advance(3.0)
        self.assertEqual(self.next(source).data, "one")

    def test_stale(self) -> None:
        """A kept connection that the server closes as it is asked is no failure: the request is made at once on another."""
        scripts = [("expect", b"\r\n\r\n"), ("send", CHUNKED + chunk(b"data: 1\n\n") + chunk(b"")), ("expect", b"\r\n\r\n"), ("close",)]
        self.serve(lambda: ScriptedPeer(scripts), stream(b"data: 2\n\n"))
        source = self.source()
        self.advance(3.0)
        self.assertEqual((self.read(source), source.last_failure, len(self.servers.peers)), (["1", "2"], None, 2))

    def test_closed_meanwhile(self) -> None:
        """Likewise where it was closed before."""
        self.serve(raw(CHUNKED + chunk(b"data: 1\n\n") + chunk(b"")), stream(b"data: 2\n\n"))
        source = self.source()
        self.close()
        self.assertEqual((source.ready_state, source.last_failure), ("connecting", None))
        self.advance(3.0)
        self.assertEqual((self.read(source), source.last_failure, len(self.servers.peers)), (["1", "2"], None, 2))


class StatusTests(EventSourceCase):
    """Answers that will not do for now."""

    def test_passing(self) -> None:
        """What may pass is tried again, unlike in browsers."""
        for status in (408, 429, 500, 502, 503, 504, 520, 599):
            self.serve(answer(status, body=b"sorry"), stream(b"data: one\n\n"))
            source = self.source()
            failure: Any = source.last_failure
            self.assertIsInstance(failure, EventSourceFailed)
            self.assertEqual((failure.response.status, source.ready_state), (status, "connecting"))
            self.close()
            self.advance(2.9)
            self.assertEqual(source.ready_state, "connecting")
            self.advance(0.1)
            self.assertEqual(self.read(source), ["one"])

    def test_same_connection(self) -> None:
        """The next attempt is made on the connection of such an answer."""
        self.serve(answer(503, body=b"sorry"))
        source = self.source()
        self.advance(3.0)
        self.assertEqual((len(self.requests()), len(self.servers.peers)), (2, 1))
        self.send(EVENTS + b"data: one\n\n")
        self.assertEqual(self.read(source), ["one"])

    def test_retry_after(self) -> None:
        """Retry-After is obeyed, in seconds or as a date, by the server's clock; but no longer than ``max_retry``."""
        date = "Sat, 01 Jan 1994 00:00:{:02} GMT"
        for said, seconds in (
            (["retry-after: 10"], 10.0),
            (["retry-after: 1"], 3.0),
            (["retry-after: 3600"], 60.0),
            (["retry-after: " + "9" * 5000], 60.0),
            (["retry-after: " + date.format(17), "date: " + date.format(10)], 7.0),
            (["retry-after: " + date.format(10), "date: " + date.format(17)], 3.0),
            (["retry-after: " + date.format(10), "date: soon"], 3.0),
            (["retry-after: Thu, 01 Jan 9999 00:00:00 -0000"], 60.0),
            (["retry-after: soon"], 3.0),
            (["retry-after: -5"], 3.0),
        ):
            self.serve(answer(503, *said))
            source = self.source()
            self.close()
            self.assertEqual(self.wait(), seconds, said)
            source.close()


class WaitTests(EventSourceCase):
    """How long it waits."""

    def waits(self, source: EventSource, count: int) -> list[float]:
        """The next waits, each until an attempt that fails."""
        found = []
        for _ in range(count):
            found.append(self.wait())
            self.advance(found[-1])
        return found

    def test_by_the_server(self) -> None:
        """The server's retry time counts from then on, within bounds."""
        for given, seconds in ((b"5000", 5.0), (b"0", 0.5), (b"499", 0.5), (b"60001", 60.0), (b"9" * 5000, 60.0), (b"soon", 3.0)):
            self.serve(stream(b"data: one\n\nretry: " + given + b"\n\n"), stream())
            source = self.source()
            self.assertEqual(source.retry, seconds)
            self.close()
            self.assertEqual(self.wait(), seconds)
            self.advance(seconds)
            self.assertEqual(source.ready_state, "open")
            source.close()

    def test_by_the_caller(self) -> None:
        """Bounds, and the time before the server says one, are options."""
        self.serve(stream(b"data: one\n\n"), stream(b"retry: 1\n\ndata: two\n\n"))
        self.source(retry=0.25, min_retry=0.125)
        self.close()
        self.assertEqual(self.wait(), 0.25)
        self.advance(0.25)
        self.close()
        self.assertEqual(self.wait(), 0.125)

    def test_backs_off(self) -> None:
        """Attempts that fail in a row wait longer, up to a bound, from the retry time by chance."""
        for chance, waits in (
            (0.0, [3.0] * 7),
            (1.0, [6.0, 12.0, 24.0, 48.0, 60.0, 60.0, 60.0]),
            (0.5, [4.5, 7.5, 13.5, 25.5, 31.5, 31.5, 31.5]),
        ):
            endpoint = self.serve(stream())
            endpoint.refuse()
            source = self.source(random=lambda chance=chance: chance)
            self.assertEqual(self.waits(source, 7), waits)
            source.close()

    def test_for_ever(self) -> None:
        """However many fail, the wait stays a number."""
        self.serve(stream()).refuse()
        source = self.source(random=lambda: 1.0)
        source._failures = 100_000
        self.assertEqual(self.waits(source, 3)[1:], [60.0, 60.0])

    def test_begins_anew(self) -> None:
        """An event ends the row of failures: the wait after that is the retry time, whatever chance says."""
        endpoint = self.serve(stream(b"data: one\n\n"))
        endpoint.refuse()
        source = self.source(random=lambda: 1.0)
        self.assertEqual(self.waits(source, 2), [6.0, 12.0])
        endpoint.accept()
        self.advance(24.0)
        self.assertEqual(self.read(source), ["one"])
        self.close()
        self.assertEqual(self.wait(), 3.0)

    def test_nothing_came(self) -> None:
        """A stream that ends without an event is a failure, unless it was open for ten seconds."""
        self.serve(stream(b":\n\nid: 1\n\n"))
        source = self.source(random=lambda: 1.0)
        for open_for, seconds in ((0.0, 6.0), (9.9, 12.0), (10.0, 3.0), (1.0, 6.0)):
            self.advance(open_for)
            self.close()
            self.assertAlmostEqual(self.wait(), seconds)
            self.advance(self.wait())
            self.assertEqual(source.ready_state, "open")

    def test_no_busy_loop(self) -> None:
        """A server that accepts and closes, or sends an event and closes, is not asked more often than the least retry time allows."""
        for made in (hanging_up, raw(EVENTS[:-2] + b"content-length: 18\r\n\r\nretry: 0\ndata: 1\n\n")):
            self.serve(made)
            source = self.source()
            before = len(self.requests())
            for _ in range(100):
                self.advance(0.1)
                if source.ready_state != "closed":
                    self.read(source)
            self.assertLessEqual(len(self.requests()) - before, 20)
            source.close()

    def test_max_failures(self) -> None:
        """After so many failures in a row it gives up, with the last of them; an event begins the count anew."""
        endpoint = self.serve(stream(b"data: one\n\n"), answer(503), answer(503), stream())
        endpoint.refuse(times=2)
        source = self.source(max_failures=3)
        self.advance(3.0)
        self.advance(3.0)
        self.assertEqual(self.next(source).data, "one")
        for _ in range(2):
            self.close()
            self.advance(3.0)
        self.assertEqual(source.ready_state, "connecting")
        self.close()
        self.advance(3.0)
        self.close()
        error = self.failed(source.next_event(), gun.StreamClosed)
        self.assertIs(self.successResultOf(source.when_closed()), error)

    def test_one_failure(self) -> None:
        """The first may be the last, whatever it is."""
        self.serve(answer(503))
        self.failed(self.source(max_failures=1).next_event(), EventSourceFailed)
        self.serve(stream()).refuse()
        self.failed(self.source(max_failures=1).next_event(), gun.ConnectFailed)


class OptionTests(EventSourceCase):
    """Mistakes of the caller are raised at the call, and nothing is dialled."""

    def test_options(self) -> None:
        """What is wrong with an option is said by its name."""
        times = ("retry", "min_retry", "max_retry")
        self.serve(stream())
        for name, values in {
            "retry": (0, -1, "3", None, 61.0, True, float("nan")),
            "min_retry": (0, 61.0, None),
            "max_retry": (0, None, 2.0, float("inf")),
            "max_failures": (0, 1.5),
            "max_redirects": (-1, None),
            "max_unread": (0, None),
            "max_event_size": (0,),
            "max_line_size": (None,),
            "response_timeout": (0, -1),
            "random": (None, 0.5),
            "content_handlers": (None, "SseHandler", [1]),
            "endpoint": (5,),
            "last_event_id": (b"1", None, "a\nb", "a\rb", "a\0b", "\ud800"),
            "headers": ({"Last-Event-ID": "1"},),
            "reply_to": (5,),
            "transport": ("tcp",),
            "retry_fun": (None,),
            "retry_timeout": (1.0,),
            "connect_timeout": (-1,),
            "protocols": (["http", "http2"], ["raw"], ["gopher"]),
            "on_message": (print,),
            "options": ({},),
        }.items():
            for value in values:
                error = self.assertRaises(gun.OptionError, self.source, **{name: value})
                self.assertIn(error.option, times if name in times else (name, f"http_opts.{name}"), (name, value))
        self.advance()
        self.assertEqual(self.servers.peers, [])

    def test_requests(self) -> None:
        """So is what is wrong with the URL, without what might be a secret, and with headers."""
        for url in (
            *("ws://a.example/", "a.example", "/feed", "", "http://", "http://a.example:0/", "http://a.example:secret/", "http://[secret/"),
            *("http://user:secret@a.example/", "http://a.example/secret\n", "http://a.example/\ud800secret", b"http://a.example/", None),
        ):
            error = self.assertRaises(gun.InvalidRequest, EventSource, url, reactor=self.clock)
            self.assertNotIn("secret", str(error))
        for headers in ({"a b": "c"}, {"a": "b\nc"}, 5):
            self.assertRaises(gun.InvalidRequest, self.source, headers=headers)

    def test_several_options(self) -> None:
        """Options may come as `Options`, and protocols have their own; all of them read events."""
        self.serve(stream(b"data: one\n\n"))
        for given in (
            {"options": gun.Options(http_opts=gun.HttpOptions(idle_timeout=20.0), retry=7)},
            {"protocols": [("http", {"idle_timeout": 20.0})]},
        ):
            source = self.source(**given)
            self.assertEqual(self.read(source), ["one"])
            self.advance(20.0)
            self.assertEqual(getattr(source.last_failure, "stage", None), "idle")

    def test_refused_late(self) -> None:
        """What is found to be wrong when the request is made leaves no connection behind."""
        self.serve(stream())
        self.assertRaises(gun.InvalidRequest, self.source, headers={"host": "a b"})
        self.advance()
        self.assertEqual((self.servers.dialled, self.servers.peers), ([("a.example", 80)], []))

    def test_endpoint(self) -> None:
        """An endpoint is dialled instead of host and port."""
        endpoint = self.serve(stream(b"data: one\n\n"))
        self.assertEqual(self.read(self.source("http://somewhere.example:81/", endpoint=endpoint)), ["one"])

    def test_documented(self) -> None:
        """The page of the docs has each option, and its default."""
        page = (Path(__file__).resolve().parent.parent / "docs" / "guide" / "event_source.rst").read_text(encoding="utf-8")
        shown = dict(re.findall(r"^   \* - ``(\w+)``\n     - ``(.+)``$", page, re.MULTILINE))
        options = {option.name: option.default for option in fields(EventSourceOptions)}
        self.assertEqual({name: eval(default, {"random": random}) for name, default in shown.items()}, options)

    def test_global_reactor(self) -> None:
        """Without a reactor it is Twisted's."""
        from twisted.internet import reactor

        endpoint = self.serve(stream())
        source = EventSource("http://a.example/", endpoint=endpoint)
        self.assertIs(source._reactor, reactor)
        source.close()
        self.advance()
