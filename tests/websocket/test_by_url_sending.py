"""How a request by URL is sent: attempts, redirects, retries, time limits, and that nothing is left behind, over ordinary HTTP."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest import mock

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from zope.interface import provider

from tests.websocket.servers import ByUrlCase, MakePeer, answer, hanging_up, raw, silent
from twisted_gun.errors import ConnectFailed, GunError, InvalidRequest, LimitReached, OptionError, TimedOut
from twisted_gun.testing import WebsocketPeer
from twisted_gun.websocket import by_url
from twisted_gun.websocket.by_url import RedirectRefused, Response, StatusError, TooManyRedirects

SECRET = "pa55word"
HOST = ("example.org", 80)
URL = "http://example.org/feed"
OK = answer(200, body=b"ok")


class OrdinaryTests(ByUrlCase):
    """http and https URLs are left alone."""

    def test_get(self) -> None:
        """An ordinary request goes out, and the response has its whole content."""
        self.servers.serve(*HOST, answer(200, "x-a: b", body=b"content"))
        response = self.got(self.servers.request(URL, params={"a": 1}, headers={"x_custom": "c"}).get())
        self.assertEqual((response.status, response.body, response.upgraded), (200, b"content", False))
        self.assertIn((b"x-a", b"b"), response.headers)
        self.assertEqual(response.url, f"{URL}?a=1")
        (request,) = self.servers.requests()
        self.assertEqual(request[:2], (b"GET", b"/feed?a=1"))
        self.assertEqual((request[2][b"host"], request[2][b"x-custom"]), (b"example.org", b"c"))
        self.assertNotIn(b"upgrade", request[2])
        self.assert_nothing_left()

    def test_chunks(self) -> None:
        """Content in pieces is put together."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))
        self.assertEqual(self.got(self.servers.request(URL).get()).body, b"abc")

    def test_trailers(self) -> None:
        """Trailer fields end it, and are left out."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n"))
        response = self.got(self.servers.request(URL).get())
        self.assertEqual((response.body, dict(response.headers).get(b"x-sum")), (b"ab", None))

    def test_post(self) -> None:
        """Another method, with content."""
        self.servers.serve(*HOST, OK)
        self.got(self.servers.request(URL).send("POST", b"content"))
        (request,) = self.servers.peers[0].requests
        self.assertEqual((request.method, request.body), (b"POST", b"content"))
        self.assertRaises(InvalidRequest, self.servers.request(URL).send, "POST", "content")

    def test_no_websocket(self) -> None:
        """Nothing can be sent or received on the response."""
        self.servers.serve(*HOST, OK)
        response = self.got(self.servers.request(URL).get())
        for deferred in (response.send_frame(b"x"), response.receive()):
            self.assertIn("no websocket", str(self.failureResultOf(deferred, GunError).value))
        self.assertIs(self.got(response.close()), response)

    def test_limit(self) -> None:
        """Content of `max_body_size` bytes is taken, one byte more is not."""
        self.servers.serve(*HOST, answer(200, body=b"12345"))
        self.assertEqual(self.got(self.servers.request(URL, max_body_size=5).get()).body, b"12345")
        limit = self.failed(self.servers.request(URL, max_body_size=4).get(), LimitReached)
        self.assertEqual((limit.name, limit.limit), ("max_body_size", 4))
        self.assert_nothing_left()

    def test_http_errors(self) -> None:
        """A response of 4xx or 5xx is a response, or raised where one asked for that."""
        self.servers.serve(*HOST, answer(404, body=b"gone"))
        self.assertEqual(self.got(self.servers.request(URL).get()).status, 404)
        raised = self.failed(self.servers.request(URL, http_errors="raise").get(), StatusError)
        self.assertEqual((raised.response.status, raised.response.body), (404, b"gone"))
        self.servers.serve(*HOST, answer(399))
        self.assertEqual(self.got(self.servers.request(URL, http_errors="raise").get()).status, 399)


class AuthTests(ByUrlCase):
    """Credentials on the wire."""

    def sent(self, **options: Any) -> bytes | None:
        self.servers.serve(*HOST, OK)
        self.got(self.servers.request(URL, **options).get())
        return self.servers.requests()[-1][2].get(b"authorization")

    def test_kinds(self) -> None:
        """Each kind reaches the server, in place of a header that was given."""
        basic = b"Basic " + base64.b64encode(b"joe:x")
        answered: Deferred[Any] = Deferred()
        answered.callback(("bearer", "later"))
        for auth, value in (
            (("basic", "joe:x"), basic),
            (("bearer", "token"), b"Bearer token"),
            ("Token x", b"Token x"),
            (lambda: ("basic", "joe:x"), basic),
            (lambda: answered, b"Bearer later"),
            (lambda: None, b"given"),
            (None, b"given"),
        ):
            self.assertEqual(self.sent(auth=auth, headers={"authorization": "given"}), value)

    def test_netrc(self) -> None:
        """The entry of the host, by the file's path."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write("machine example.org login joe password x\n")
        self.assertEqual(self.sent(auth=("netrc", path)), b"Basic " + base64.b64encode(b"joe:x"))

    def test_callable_each_time(self) -> None:
        """A callable is asked anew for each attempt: the token may have changed."""
        tokens = iter(["one", "two"])
        self.servers.serve(*HOST, answer(503), OK)
        got = self.servers.request(URL, auth=lambda: ("bearer", next(tokens)), retry_log_level=False).get()
        self.servers.advance()
        self.servers.advance(1.0)
        self.got(got)
        self.assertEqual([headers[b"authorization"] for _, _, headers in self.servers.requests()], [b"Bearer one", b"Bearer two"])

    def test_callable_gives_nonsense(self) -> None:
        """What it gives is checked, and an exception of its own is what the request fails with; nothing is dialled."""
        for nonsense in (5, lambda: None, ("basic",)):
            self.assertRaises(OptionError, self.servers.request(URL, auth=lambda given=nonsense: given).get)
            later: Deferred[Any] = Deferred()
            got = self.servers.request(URL, auth=lambda answered=later: answered).get()
            later.callback(nonsense)
            self.failed(got, OptionError)
        self.failed(self.servers.request(URL, auth=lambda: 1 / 0).get(), ZeroDivisionError)
        self.assertEqual(self.servers.dialled, [])

    def test_control_characters(self) -> None:
        """A token that would end the header is refused, and not shown."""
        refused = self.assertRaises(InvalidRequest, self.servers.request(URL, auth=("bearer", f"{SECRET}\r\nx: y")).get)
        self.assertNotIn(SECRET, str(refused))

    def test_hostname(self) -> None:
        """`hostname` is the Host of the origin asked for, unless the headers have one."""
        for headers, host in (({}, b"name.example"), ({"host": "given.example"}, b"given.example")):
            self.servers.serve("192.0.2.1", 80, OK)
            self.got(self.servers.request("http://192.0.2.1/", headers=headers, connect_options={"hostname": "name.example"}).get())
            self.assertEqual(self.servers.requests()[-1][2][b"host"], host)


class RedirectTests(ByUrlCase):
    """Redirects are followed."""

    def test_followed(self) -> None:
        """Each on a connection of its own, until an answer is none."""
        self.servers.serve(*HOST, answer(301, "location: /b"), answer(308, "location: c?d"), OK)
        response = self.got(self.servers.request(URL).get())
        self.assertEqual((response.status, response.url), (200, "http://example.org/c?d"))
        self.assertEqual([target for _, target, _ in self.servers.requests()], [b"/feed", b"/b", b"/c?d"])
        self.assert_nothing_left()

    def test_not_followed(self) -> None:
        """With `redirect` False it is a response, with its content."""
        self.servers.serve(*HOST, answer(302, "location: /b", body=b"there"))
        response = self.got(self.servers.request(URL, redirect=False).get())
        self.assertEqual((response.status, response.body), (302, b"there"))

    def test_content_not_read(self) -> None:
        """The content of a redirect is not waited for."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 302 X\r\ncontent-length: 999999\r\nlocation: /b\r\n\r\n"), OK)
        self.assertEqual(self.got(self.servers.request(URL).get()).status, 200)
        self.assert_nothing_left()

    def test_too_many(self) -> None:
        """`max_redirects` of them are followed, and not one more."""
        for most in (0, 1, 10):
            self.servers.serve(*HOST, *[answer(302, "location: /again")] * most, OK)
            self.assertEqual(self.got(self.servers.request(URL, max_redirects=most).get()).status, 200)
            self.servers.serve(*HOST, *[answer(302, "location: /again")] * (most + 1), OK)
            error = self.failed(self.servers.request(URL, max_redirects=most).get(), TooManyRedirects)
            self.assertEqual(error.limit, most)
        self.assert_nothing_left()

    def test_credentials(self) -> None:
        """No credential of any kind reaches another host or port, by any status, and all of them the same origin."""
        given: dict[str, Any] = {
            "headers": {"cookie": SECRET, "proxy-authorization": SECRET},
            "auth": ("bearer", SECRET),
            "connect_options": {"hostname": f"{SECRET}.example"},
        }
        for status in (301, 302, 303, 307, 308):
            for location, host in (("http://example.com/", ("example.com", 80)), ("http://example.org:81/", ("example.org", 81))):
                self.servers.peers.clear()
                self.servers.serve(*HOST, answer(status, "location: /b"), answer(status, f"location: {location}"))
                self.servers.serve(*host, OK)
                self.got(self.servers.request(URL, **given).get())
                sent = [peer.received.count(SECRET.encode()) for peer in self.servers.peers]
                self.assertEqual(sent, [4, 4, 0])

    def test_trusted(self) -> None:
        """Where it is trusted, another origin gets them."""
        self.servers.serve(*HOST, answer(302, "location: http://example.com/"))
        self.servers.serve("example.com", 80, OK)
        self.got(self.servers.request(URL, auth=("bearer", SECRET), headers={"cookie": "a=b"}, redirect_trusted=True).get())
        _, (_, _, headers) = self.servers.requests()
        self.assertEqual((headers[b"authorization"], headers[b"cookie"]), (b"Bearer " + SECRET.encode(), b"a=b"))

    def test_refused(self) -> None:
        """One that leads to a websocket, or to nowhere, is an error."""
        self.servers.serve(*HOST, answer(302, "location: ws://example.org/"))
        self.failed(self.servers.request(URL).get(), RedirectRefused)
        self.assert_nothing_left()


class RetryTests(ByUrlCase):
    """Failures that pass are retried."""

    def delays(self, *makers: MakePeer, until: float = 1000.0, method: str = "GET", **options: Any) -> tuple[list[float], Any]:
        """When each attempt was made, and the outcome."""
        options.setdefault("retry_log_level", False)
        self.servers.serve(*HOST, *makers)
        started: list[float] = []
        endpoint = self.servers.endpoint

        def dial(host: str, port: int) -> Any:
            started.append(self.servers.clock.seconds() - begun)
            return endpoint(host, port)

        begun = self.servers.clock.seconds()
        outcome = self.servers.request(URL, **{"connect_options": {"endpoint": dial}, **options}).send(method)
        while not outcome.called and self.servers.clock.seconds() - begun < until:
            self.servers.advance(0.25)
        results: list[Any] = []
        outcome.addBoth(results.append)
        self.assert_nothing_left()
        return started, results[0] if isinstance(results[0], Response) else results[0].value

    def test_default(self) -> None:
        """After 1, 2 and 4 seconds, four attempts in all; then the response stands."""
        started, response = self.delays(answer(500, body=b"oops"))
        self.assertEqual([round(at) for at in started], [0, 1, 3, 7])
        self.assertEqual((response.status, response.body), (500, b"oops"))

    def test_once(self) -> None:
        """One that succeeds the second time is a success."""
        started, response = self.delays(answer(500), OK)
        self.assertEqual((len(started), response.status), (2, 200))

    def test_statuses(self) -> None:
        """Only statuses that pass are retried."""
        for status in (408, 429, 500, 502, 503, 504):
            self.assertEqual(self.delays(answer(status), OK)[1].status, 200)
        for status in (400, 401, 403, 404, 501, 505):
            started, response = self.delays(answer(status), OK)
            self.assertEqual((len(started), response.status), (1, status))

    def test_connection_lost(self) -> None:
        """A connection that is lost before the answer; with retries used up, that is what it fails with."""
        self.assertEqual(self.delays(hanging_up, OK)[1].status, 200)
        started, failure = self.delays(hanging_up, max_retries=1)
        self.assertEqual(len(started), 2)
        self.assertIsInstance(failure, GunError)

    def test_refused(self) -> None:
        """Connections that are refused."""
        started: list[float] = []
        endpoint = self.servers.serve(*HOST, OK)
        endpoint.refuse(times=2)

        def dial(host: str, port: int) -> Any:
            started.append(self.servers.clock.seconds())
            return endpoint

        got = self.servers.request(URL, connect_options={"endpoint": dial}, retry_log_level=False).get()
        for _ in range(16):
            self.servers.advance(0.25)
        self.assertEqual(self.successResultOf(got).status, 200)
        self.assertEqual([round(at) for at in started], [0, 1, 3])

    def test_not_transient(self) -> None:
        """A failure that will be the same the next time is not retried."""
        endpoint = self.servers.serve(*HOST, OK)
        endpoint.refuse(error.DNSLookupError("no such name"))
        self.failed(self.servers.request(URL).get(), ConnectFailed)
        self.assertEqual(endpoint.attempts, 1)
        self.assertEqual(len(self.delays(raw(b"SMTP 220 hello\r\n\r\n"))[0]), 1)

    def test_timeouts(self) -> None:
        """A server that does not answer is waited for as long as `receive_timeout` says, each time."""
        started, failure = self.delays(silent, receive_timeout=5.0, max_retries=1)
        self.assertEqual([round(at) for at in started], [0, 6])
        self.assertIsInstance(failure, TimedOut)

    def test_connect_timeout(self) -> None:
        """One that cannot be reached is given up by the connection's own time limit."""
        endpoint = self.servers.serve(*HOST, OK)
        endpoint.hang()
        got = self.servers.request(URL, retry=False, connect_options={"timeout": 7.0}).get()
        self.servers.advance(6.0)
        self.assertNoResult(got)
        self.servers.advance(1.0)
        self.failed(got, TimedOut)
        self.assert_nothing_left()

    def test_max_retries(self) -> None:
        """As many as `max_retries` says; none with 0, none with `retry` False."""
        for most in (0, 1, 5):
            self.assertEqual(len(self.delays(answer(503), max_retries=most)[0]), most + 1)
        self.assertEqual(len(self.delays(answer(503), retry=False)[0]), 1)

    def test_methods(self) -> None:
        """By default only safe methods are retried, with "transient" all."""
        self.assertEqual(len(self.delays(answer(503), OK, method="POST")[0]), 1)
        self.assertEqual(len(self.delays(answer(503), OK, method="POST", retry="transient")[0]), 2)
        self.assertEqual(len(self.delays(answer(503), OK, method="HEAD")[0]), 2)

    def test_retry_after(self) -> None:
        """Retry-After of 429 and 503 is waited for, in seconds or as a date."""
        self.assertEqual([round(at) for at in self.delays(answer(503, "retry-after: 9"), OK)[0]], [0, 9])
        date = "date: Sun, 01 Mar 2026 12:00:00 GMT"
        until = answer(429, "retry-after: Sun, 01 Mar 2026 12:00:12 GMT", date)
        self.assertEqual([round(at) for at in self.delays(until, OK)[0]], [0, 12])
        self.assertEqual([round(at) for at in self.delays(answer(500, "retry-after: 9"), OK)[0]], [0, 1])

    def test_date_without_clock(self) -> None:
        """The date of a server that does not tell the time is measured by our clock."""
        self.patch(by_url, "_now", lambda: datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC))
        until = answer(503, "retry-after: Sun, 01 Mar 2026 12:00:12 GMT")
        self.assertEqual([round(at) for at in self.delays(until, OK)[0]], [0, 7])

    def test_too_long(self) -> None:
        """One that asks for more than `max_retry_after` is not waited for, nor asked again sooner."""
        self.assertEqual(len(self.delays(answer(503, "retry-after: 300"), OK)[0]), 2)
        started, response = self.delays(answer(503, "retry-after: 301"), OK)
        self.assertEqual((len(started), response.status), (1, 503))
        self.assertEqual(len(self.delays(answer(503, "retry-after: 301"), OK, max_retry_after=None)[0]), 2)

    def test_retry_delay(self) -> None:
        """`retry_delay` is given the count from 0, and decides, even against Retry-After."""
        counts: list[int] = []

        def delay(count: int) -> float:
            counts.append(count)
            return 10 * (count + 1)

        started, _ = self.delays(answer(503, "retry-after: 1"), retry_delay=delay)
        self.assertEqual(counts, [0, 1, 2])
        self.assertEqual([round(at) for at in started], [0, 10, 30, 60])

    def test_callable(self) -> None:
        """A callable sees request and outcome, and decides whether and when."""
        seen: list[Any] = []
        answers = iter([True, ("delay", 20), None])

        def decide(request: Any, outcome: Any) -> Any:
            seen.append((request.url, getattr(outcome, "status", type(outcome))))
            return next(answers)

        started, response = self.delays(hanging_up, answer(404), answer(418), retry=decide)
        self.assertEqual([url for url, _ in seen], [URL] * 3)
        self.assertEqual([what for _, what in seen[1:]], [404, 418])
        self.assertTrue(issubclass(seen[0][1], GunError))
        self.assertEqual([round(at) for at in started], [0, 1, 21])
        self.assertEqual(response.status, 418)

    def test_callables_checked(self) -> None:
        """What callables give is checked; what they raise is what the request fails with."""
        for options in (
            {"retry": lambda request, outcome: 5},
            {"retry": lambda request, outcome: ("delay", -1)},
            {"retry": lambda request, outcome: ("wait", 1)},
            {"retry_delay": lambda count: "soon"},
        ):
            self.assertIsInstance(self.delays(answer(503), **options)[1], OptionError)
        self.assertIsInstance(self.delays(answer(503), retry=lambda request, outcome: 1 / 0)[1], ZeroDivisionError)

    def test_after_redirect(self) -> None:
        """What failed is asked again where it failed, and retries are counted through redirects."""
        self.servers.serve(*HOST, answer(503), answer(302, "location: /b"), answer(503), OK)
        started, response = self.delays(answer(503), answer(302, "location: /b"), answer(503), OK, max_retries=2)
        self.assertEqual(response.status, 200)
        self.assertEqual([round(at) for at in started], [0, 1, 1, 3])
        self.assertEqual([target for _, target, _ in self.servers.requests()], [b"/feed", b"/feed", b"/b", b"/b"])


class LogTests(ByUrlCase):
    """Retries are logged."""

    def logged(self, **options: Any) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []

        @provider(ILogObserver)
        def observer(event: dict[str, Any]) -> None:
            if event.get("log_namespace", "").startswith("twisted_gun.websocket"):
                events.append(event)

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.servers.serve(*HOST, answer(503), hanging_up, OK)
        got = self.servers.request(f"{URL}?token={SECRET}", auth=("bearer", SECRET), headers={"cookie": SECRET}, **options).get()
        for seconds in (0.0, 1.0, 2.0):
            self.servers.advance(seconds)
        self.got(got)
        return events

    def test_default(self) -> None:
        """As a warning, with where, what, and when; without anything secret."""
        events = self.logged()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn, LogLevel.warn])
        texts = [event["log_format"].format(**event) for event in events]
        self.assertIn("http://example.org answered with status 503; trying again in 1.0 seconds, 3 retries left", texts[0])
        self.assertIn("failed", texts[1])
        self.assertNotIn(SECRET, repr(events))

    def test_level(self) -> None:
        """At the level that was asked for, or not at all."""
        self.assertEqual({event["log_level"] for event in self.logged(retry_log_level="debug")}, {LogLevel.debug})
        self.assertEqual(self.logged(retry_log_level=False), [])


class CancelTests(ByUrlCase):
    """Cancelling the Deferred."""

    def cancelled(self, got: Deferred[Response]) -> None:
        got.cancel()
        self.failureResultOf(got, CancelledError)
        self.assert_nothing_left()

    def test_while_connecting(self) -> None:
        """Dialling is stopped."""
        self.servers.serve(*HOST, OK).hang()
        got = self.servers.request(URL).get()
        self.servers.advance()
        self.cancelled(got)

    def test_while_waiting_for_answer(self) -> None:
        """The connection is closed."""
        self.servers.serve(*HOST, silent)
        got = self.servers.request(URL).get()
        self.servers.advance()
        self.cancelled(got)
        self.assertIsNotNone(self.servers.peers[0].lost)

    def test_while_reading(self) -> None:
        """In the middle of the content as well."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"))
        got = self.servers.request(URL).get()
        self.servers.advance()
        self.cancelled(got)

    def test_while_waiting_for_retry(self) -> None:
        """Nothing is tried again."""
        self.servers.serve(*HOST, answer(503))
        got = self.servers.request(URL, retry_log_level=False).get()
        self.servers.advance()
        self.cancelled(got)
        self.servers.advance(100.0)
        self.assertEqual(len(self.servers.dialled), 1)

    def test_from_within(self) -> None:
        """From within a callable that is being asked: then too nothing goes on."""
        for option in ("retry", "retry_delay"):
            self.servers.serve(*HOST, answer(503))
            dialled = len(self.servers.dialled)
            sent: list[Deferred[Response]] = []
            cancel = partial(_cancel_first, sent)
            sent.append(self.servers.request(URL, retry_log_level=False, **{option: cancel}).get())
            self.servers.advance()
            self.failureResultOf(sent[0], CancelledError)
            self.servers.advance(100.0)
            self.assertEqual(len(self.servers.dialled), dialled + 1)
            self.assert_nothing_left()

    def test_while_dialling(self) -> None:
        """From within the endpoint's callable, which cannot be stopped: what is got for it, a websocket too, is closed again."""
        for url in (URL, "ws://example.org/feed"):
            self.servers.serve(*HOST, answer(503), OK if url == URL else WebsocketPeer)
            sent: list[Deferred[Response]] = []

            def dial(host: str, port: int, sent: list[Deferred[Response]] = sent) -> Any:
                if sent:
                    sent[0].cancel()
                return self.servers.endpoint(host, port)

            self.servers.peers.clear()
            sent.append(self.servers.request(url, connect_options={"endpoint": dial}, retry_log_level=False).get())
            self.servers.advance()
            self.servers.advance(1.0)
            self.failureResultOf(sent[0], CancelledError)
            self.assertEqual([len(peer.requests) for peer in self.servers.peers], [1, 1])
            self.assert_nothing_left()

    def test_auth_that_waits(self) -> None:
        """While a callable's own Deferred is being waited for, that one is cancelled."""
        cancelled: list[Any] = []
        answered: Deferred[Any] = Deferred(cancelled.append)
        got = self.servers.request(URL, auth=lambda: answered).get()
        self.servers.advance()
        self.cancelled(got)
        self.assertEqual(cancelled, [answered])

    def test_auth_that_does_not_mind(self) -> None:
        """One that has a result all the same does not make the request go on."""
        got = self.servers.request(URL, auth=lambda: Deferred(lambda answered: answered.callback("Token x"))).get()
        self.cancelled(got)
        self.assertEqual(self.servers.dialled, [])

    def test_raises_after_cancel(self) -> None:
        """What a callable raises after it has cancelled is logged, for nobody else is there to be told."""
        self.servers.serve(*HOST, answer(503))
        sent: list[Deferred[Response]] = []

        def decide(request: Any, outcome: Any) -> bool:
            sent[0].cancel()
            return 1 / 0 > 1

        sent.append(self.servers.request(URL, retry=decide).get())
        self.servers.advance()
        self.failureResultOf(sent[0], CancelledError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_nothing_left()


def _cancel_first(sent: list[Deferred[Response]], *arguments: Any) -> int:
    sent[0].cancel()
    return 0


class ReactorTests(ByUrlCase):
    """Option ``reactor``."""

    def test_default(self) -> None:
        """Without one it is the reactor of this process, which is asked for only then."""
        from twisted.internet import reactor

        self.servers.serve(*HOST, silent)
        with mock.patch.object(reactor, "callLater", self.servers.clock.callLater):
            got = self.servers.request(URL).get(reactor=None)
            self.servers.advance()
            got.cancel()
        self.failureResultOf(got, CancelledError)
        self.assert_nothing_left()
