"""Websockets by URL: the handshake, messages and frames, the end, and what a refusal gives; in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.websocket.servers import ByUrlCase, answer, hanging_up, raw, silent
from twisted_gun import websocket
from twisted_gun.testing import Http2WebsocketPeer, WebsocketPeer
from twisted_gun.testing.peers import Peer
from twisted_gun.websocket.attempt import MAX_REFUSAL_SIZE
from twisted_gun.websocket.by_url import CLOSE, PING, PONG, Response, StatusError, parse_message
from twisted_gun.websocket.response import to_frame

HOST = ("example.org", 80)
URL = "ws://example.org/feed"


class SocketCase(ByUrlCase):
    """A test with a websocket."""

    def peer(self, *script: Any, **options: Any) -> None:
        """Let `WebsocketPeer` serve."""
        self.servers.serve(*HOST, lambda: WebsocketPeer(script, **options))

    def open(self, **options: Any) -> Response:
        """A response that has become a websocket."""
        response = self.got(self.servers.request(URL, **options).get())
        self.assertTrue(response.upgraded)
        return response

    def next_of(self, response: Response) -> Any:
        """The next message, which is there once all is quiet."""
        message = response.receive()
        self.servers.advance()
        return self.successResultOf(message)

    def end(self, response: Response) -> None:
        """Close, which leaves nothing behind."""
        closed = response.close()
        self.servers.advance()
        self.assertIs(self.successResultOf(closed), response)
        self.assert_nothing_left()


class HandshakeTests(SocketCase):
    """How a websocket is opened."""

    def test_opened(self) -> None:
        """URL, parameters, headers and credentials reach the server; the response is the 101."""
        self.peer(headers={"x-a": "b"})
        request = self.servers.request(URL, params={"q": "x y"}, headers={"x_custom": "c"}, auth=("basic", "joe:x"))
        response = self.got(request.get())
        self.assertEqual((response.status, response.body, response.upgraded), (101, b"", True))
        self.assertIn((b"x-a", b"b"), response.headers)
        self.assertEqual(response.url, "ws://example.org/feed?q=x%20y")
        (method, target, headers), *others = self.servers.requests()
        self.assertEqual((method, target, headers[b"host"], others), (b"GET", b"/feed?q=x%20y", b"example.org", []))
        self.assertEqual((headers[b"x-custom"], headers[b"authorization"]), (b"c", b"Basic am9lOng="))
        self.end(response)

    def test_again(self) -> None:
        """The same request can be sent again: another connection, another websocket."""
        self.peer()
        request = self.servers.request(URL)
        first, second = self.got(request.get()), self.got(request.get())
        self.assertIsNot(first.stream.connection, second.stream.connection)
        for response in (first, second):
            response.close()
        self.assert_nothing_left()

    def test_aws(self) -> None:
        """The handshake is signed, for the name it is sent to."""
        keys = {"access_key_id": "AKID", "secret_access_key": "secret", "service": "execute-api"}
        self.peer()
        try:
            response = self.open(aws_sigv4=keys)
        except gun.OptionError as error:
            from twisted.trial.unittest import SkipTest

            raise SkipTest(str(error)) from None
        headers = self.servers.requests()[0][2]
        self.assertTrue(headers[b"authorization"].startswith(b"AWS4-HMAC-SHA256 Credential=AKID/"))
        self.assertIn(b"SignedHeaders=host;x-amz-date", headers[b"authorization"])
        self.assertIn(b"x-amz-date", headers)
        self.end(response)

    def test_subprotocol(self) -> None:
        """`ws_opts` are options of the websocket."""
        self.peer(subprotocol="chat")
        response = self.open(ws_opts={"protocols": ["chat"]})
        self.assertEqual(self.servers.requests()[0][2][b"sec-websocket-protocol"], b"chat")
        self.end(response)

    def test_redirected(self) -> None:
        """The handshake is redirected to where the server says in HTTP's terms, without credentials if that is another origin."""
        self.servers.serve(*HOST, answer(302, "location: http://example.com/other"))
        self.servers.serve("example.com", 80, WebsocketPeer)
        response = self.open(auth=("bearer", "token"))
        self.assertEqual(response.url, "ws://example.com/other")
        (_, _, first), (_, _, second) = self.servers.requests()
        self.assertEqual((first[b"authorization"], b"authorization" in second), (b"Bearer token", False))
        self.end(response)

    def test_retried(self) -> None:
        """A 500 is asked again after a second."""
        self.servers.serve(*HOST, answer(500), hanging_up, WebsocketPeer)
        got = self.servers.request(URL, retry_log_level=False).get()
        for seconds in (0.0, 1.0, 2.0):
            self.servers.advance(seconds)
        response = self.successResultOf(got)
        self.assertEqual((response.status, len(self.servers.dialled)), (101, 3))
        self.end(response)

    def test_not_asked_about_success(self) -> None:
        """A callable `retry` is not asked about a websocket that is open."""
        self.peer()
        self.end(self.open(retry=lambda request, outcome: True))

    def test_broken(self) -> None:
        """A handshake that breaks RFC 6455 is an error, and not tried again."""
        self.peer(headers={"sec-websocket-accept": "wrong"})
        self.failed(self.servers.request(URL).get(), gun.ProtocolViolation)
        self.assertEqual(len(self.servers.dialled), 1)
        self.assert_nothing_left()

    def test_no_answer(self) -> None:
        """A server that does not answer is waited for as long as `receive_timeout` says."""
        self.servers.serve(*HOST, silent)
        got = self.servers.request(URL, receive_timeout=5.0, retry=False).get()
        self.servers.advance(0.0)
        self.servers.advance(4.9)
        self.assertNoResult(got)
        self.servers.advance(0.1)
        self.failed(got, gun.TimedOut)
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        """Cancelling closes the connection."""
        self.servers.serve(*HOST, silent)
        got = self.servers.request(URL).get()
        self.servers.advance()
        got.cancel()
        self.failureResultOf(got, CancelledError)
        self.assert_nothing_left()


class RefusalTests(SocketCase):
    """Any other answer is the response."""

    def test_response(self) -> None:
        """With its status, headers and content; the connection is closed."""
        self.servers.serve(*HOST, answer(403, "x-why: no", body=b"not you"))
        response = self.got(self.servers.request(URL).get())
        self.assertEqual((response.status, response.body, response.upgraded, response.truncated), (403, b"not you", False, False))
        self.assertIn((b"x-why", b"no"), response.headers)
        self.failureResultOf(response.send_frame(b"x"), gun.BadState)
        self.failureResultOf(response.receive(), gun.BadState)
        self.assertIsNone(response.parse_message("junk"))
        self.assert_nothing_left()

    def test_success_is_no_upgrade(self) -> None:
        """200 is no websocket over HTTP/1.1."""
        self.servers.serve(*HOST, answer(200, body=b"hello"))
        self.assertEqual(self.got(self.servers.request(URL).get()).body, b"hello")

    def test_raised(self) -> None:
        """It is raised where one asked for that."""
        self.servers.serve(*HOST, answer(403, body=b"not you"))
        raised = self.failed(self.servers.request(URL, http_errors="raise").get(), StatusError)
        self.assertEqual(raised.response.body, b"not you")

    def test_long(self) -> None:
        """Only the beginning of a long content is kept, and `truncated` says so."""
        for size, truncated in ((MAX_REFUSAL_SIZE, False), (MAX_REFUSAL_SIZE + 1, True)):
            self.servers.serve(*HOST, answer(403, body=b"x" * size))
            response = self.got(self.servers.request(URL).get())
            self.assertEqual((len(response.body), response.truncated), (MAX_REFUSAL_SIZE, truncated))
            self.assert_nothing_left()

    def test_endless(self) -> None:
        """A content without end does not keep us."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 403 X\r\n\r\n" + b"x" * MAX_REFUSAL_SIZE * 2))
        response = self.got(self.servers.request(URL).get())
        self.assertEqual((len(response.body), response.truncated), (MAX_REFUSAL_SIZE, True))
        self.assert_nothing_left()

    def test_slow(self) -> None:
        """What drips in is read as long as `receive_timeout` says, all of it together, and no longer."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 403 X\r\ncontent-length: 100\r\n\r\n"))
        got = self.servers.request(URL, receive_timeout=5.0).get()
        self.servers.advance()
        for _ in range(3):
            self.servers.peers[0].send(b"x")
            self.servers.advance(2.0)
        response = self.got(got)
        self.assertEqual((response.body, response.truncated), (b"xxx", True))
        self.assert_nothing_left()

    def test_no_limit(self) -> None:
        """With `receive_timeout` None it is waited for without limit."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 403 X\r\ncontent-length: 2\r\n\r\n"))
        got = self.servers.request(URL, receive_timeout=None).get()
        self.servers.advance()
        self.servers.advance(10_000.0)
        self.servers.peers[0].send(b"no")
        response = self.got(got)
        self.assertEqual((response.body, response.truncated), (b"no", False))
        self.assert_nothing_left()

    def test_cut_off(self) -> None:
        """A content that is cut off is what came of it."""
        self.servers.serve(*HOST, _cut_off)
        response = self.got(self.servers.request(URL).get())
        self.assertEqual((response.body, response.truncated), (b"ab", True))
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        """Cancelling while the content comes closes the connection."""
        self.servers.serve(*HOST, raw(b"HTTP/1.1 403 X\r\ncontent-length: 100\r\n\r\nx"))
        got = self.servers.request(URL).get()
        self.servers.advance()
        got.cancel()
        self.failureResultOf(got, CancelledError)
        self.assert_nothing_left()


def _cut_off() -> Peer:
    from twisted_gun.testing import ScriptedPeer

    return ScriptedPeer([("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 403 X\r\ncontent-length: 5\r\n\r\nab"), ("close",)])


class MessageTests(SocketCase):
    """Messages with `into` "self"."""

    def test_example(self) -> None:
        """The example of the seed: a text comes, a ping is sent, and its pong is told."""
        self.peer(("send", "hello"))
        response = self.open()
        self.assertEqual(parse_message(response, self.next_of(response)), [gun.Text("hello")])
        self.assertIs(self.successResultOf(response.send_frame("ping")), response)
        self.assertEqual(parse_message(response, self.next_of(response)), [gun.Pong(b"")])
        self.end(response)

    def test_messages(self) -> None:
        """They come in order, as `gun.Ws`, those that came before anybody asked too."""
        self.peer(("send", "a"), ("send", b"b"), ("send", gun.Ping(b"c")))
        response = self.open()
        messages = [self.next_of(response) for _ in range(3)]
        self.assertEqual([type(message) for message in messages], [gun.Ws] * 3)
        self.assertEqual([response.parse_message(each) for each in messages], [[gun.Text("a")], [gun.Binary(b"b")], [gun.Ping(b"c")]])
        self.end(response)

    def test_ping_answered_once(self) -> None:
        """A ping that is told has been answered, once."""
        self.peer(("send", gun.Ping(b"x")))
        response = self.open()
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Ping(b"x")])
        self.assertEqual(self.servers.peers[0].frames, [gun.Pong(b"x")])
        self.end(response)

    def test_of_something_else(self) -> None:
        """What is no message of this websocket is unknown: None."""
        self.peer(("send", "a"))
        response, other = self.open(), self.open()
        foreign = gun.Error(connection=other.stream.connection, stream=None, reason=gun.GunError())
        for message in ("junk", None, 5, self.next_of(other), foreign):
            self.assertIsNone(response.parse_message(message))
        for each in (response, other):
            each.close()
        self.assert_nothing_left()

    def test_other_events(self) -> None:
        """An event of this stream without a frame has none."""
        self.peer()
        response = self.open()
        event = gun.Upgrade(stream=response.stream, protocols=(b"websocket",), headers=())
        self.assertEqual(response.parse_message(event), [])
        self.end(response)

    def test_server_closes(self) -> None:
        """Its Close is the last message; then there are none, nothing can be sent, and nothing is left."""
        self.peer(("send", "a"), ("close", 1001, "going"))
        response = self.open()
        self.next_of(response)
        message = self.next_of(response)
        self.assertEqual(response.parse_message(message), [gun.Close(1001, "going")])
        self.assertEqual(response.close_frame, gun.Close(1001, "going"))
        self.failureResultOf(response.receive(), gun.BadState)
        self.failureResultOf(response.send_frame(b"x"), gun.BadState)
        self.assertEqual(self.servers.peers[0].received_close, gun.Close(1001))
        self.assert_nothing_left()

    def test_server_vanishes(self) -> None:
        """A connection that is lost without Close is an `gun.Error`, whose reason parsing raises; it is told once."""
        self.peer(("send", "a"), ("drop",))
        response = self.open()
        self.next_of(response)
        message = self.next_of(response)
        self.assertIsInstance(message, gun.Error)
        self.assertRaises(gun.StreamClosed, response.parse_message, message)
        self.failureResultOf(response.receive(), gun.BadState)
        self.assert_nothing_left()

    def test_violation(self) -> None:
        """So are frames that break the protocol."""
        self.peer(("send_raw", b"\xff\xff"))
        response = self.open()
        self.assertRaises(gun.ProtocolViolation, response.parse_message, self.next_of(response))
        self.servers.advance(20.0)
        self.assert_nothing_left()

    def test_error_of_connection(self) -> None:
        """An error of its whole connection is one of this websocket."""
        self.peer()
        response = self.open()
        reason = gun.LimitReached("x", 1)
        event = gun.Error(connection=response.stream.connection, stream=None, reason=reason)
        self.assertIs(self.assertRaises(gun.LimitReached, response.parse_message, event), reason)
        self.end(response)

    def test_timeout(self) -> None:
        """A timeout only stops the waiting: what comes later can be received."""
        self.peer()
        response = self.open()
        waiting = response.receive(timeout=5.0)
        self.servers.advance(5.0)
        self.failureResultOf(waiting, gun.TimedOut)
        cancelled = response.receive()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.servers.peers[0].send("late")
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Text("late")])
        self.end(response)

    def test_repr(self) -> None:
        """It shows what it is, without the query."""
        self.peer()
        response = self.got(self.servers.request(f"{URL}?token=secret").get())
        self.assertEqual(repr(response), "<Response 101 of ws://example.org/feed, websocket>")
        self.end(response)


class SendTests(SocketCase):
    """Sending frames."""

    def test_frames(self) -> None:
        """Every kind of frame, and every way to say it, in order."""
        self.peer()
        response = self.open()
        tuples: list[Any] = [("text", "ping"), ("binary", b"d"), ("ping", b"e"), ("pong", b"f")]
        for frame in (gun.Text("a"), gun.Text("b"), b"c", PING, "ping", "pong", PONG, *tuples):
            self.successResultOf(response.send_frame(frame))
        self.assertIs(self.successResultOf(websocket.send_frames(response, [gun.Text("g"), gun.Ping(b"h"), b"i"])), response)
        self.servers.advance()
        sent = [gun.Text("a"), gun.Text("b"), gun.Binary(b"c"), gun.Ping(), gun.Ping(), gun.Pong(), gun.Pong(), gun.Text("ping")]
        sent += [gun.Binary(b"d"), gun.Ping(b"e"), gun.Pong(b"f"), gun.Text("g"), gun.Ping(b"h"), gun.Binary(b"i")]
        self.assertEqual(self.servers.peers[0].frames, sent)
        self.end(response)

    def test_refused(self) -> None:
        """What is no frame, or cannot be sent, raises at the call, and nothing of the list is sent."""
        self.peer()
        response = self.open()
        bad: list[Any] = [5, None, ("text",), ("pong",), ("other", b"x"), (), ["a"], ("text", b"x"), "\ud800"]
        for frame in (*bad, gun.Ping(b"x" * 126), gun.Close(1005)):
            self.assertRaises(gun.InvalidRequest, response.send_frames, [b"fine", frame])
        self.servers.advance()
        self.assertEqual(self.servers.peers[0].frames, [])
        self.end(response)

    def test_after_close(self) -> None:
        """After Close nothing can be sent, however the Close was sent."""
        closes: list[Any] = ["close", CLOSE, gun.Close(1000, "bye"), ("close", None, None), ("close", 1000, "bye")]
        for close in closes:
            self.peer()
            response = self.open()
            self.successResultOf(response.send_frame(close))
            self.failureResultOf(response.send_frame(b"x"), gun.BadState)
            self.assert_nothing_left()
            frame = to_frame(close)
            assert isinstance(frame, gun.Close)
            self.assertEqual(self.servers.peers[-1].received_close, frame)


class CloseTests(SocketCase):
    """The end that we begin."""

    def test_close(self) -> None:
        """A Close without a code goes out, and the Deferred fires once the connection is over; closing again does no harm."""
        self.peer()
        response = self.open()
        closed = response.close()
        self.assertNoResult(closed)
        self.servers.advance()
        self.assertIs(self.successResultOf(closed), response)
        self.assertEqual(self.servers.peers[0].received_close, gun.Close())
        self.assertIs(self.successResultOf(response.close()), response)
        self.failureResultOf(response.send_frame(b"x"), gun.BadState)
        self.assert_nothing_left()

    def test_messages_until_then(self) -> None:
        """What the server sent before its own Close can still be received."""
        self.peer(("expect", gun.Close), ("send", "last"), ("close", 1000, ""), answer_close=False)
        response = self.open()
        response.close()
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Text("last")])
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Close(1000)])
        self.assert_nothing_left()

    def test_no_answer(self) -> None:
        """A server that does not answer is waited for as long as `closing_timeout` says."""
        self.peer(answer_close=False)
        response = self.open(ws_opts={"closing_timeout": 3.0})
        closed = response.close()
        self.servers.advance()
        self.servers.advance(2.9)
        self.assertNoResult(closed)
        self.servers.advance(0.1)
        self.servers.advance()
        self.assertIs(self.successResultOf(closed), response)
        self.assert_nothing_left()

    def test_abort(self) -> None:
        """`abort` ends it at once, without Close."""
        self.peer()
        response = self.open()
        response.abort()
        self.servers.advance()
        self.assertEqual(self.servers.peers[0].frames, [])
        self.assert_nothing_left()


class Http2Tests(SocketCase):
    """Over HTTP/2, RFC 8441."""

    def setUp(self) -> None:
        super().setUp()
        self.options: dict[str, Any] = {"connect_options": {"protocols": ["http2"]}}

    def test_opened(self) -> None:
        """The response is the 200, and messages go both ways."""
        self.servers.serve(*HOST, lambda: Http2WebsocketPeer(echo=True))
        response = self.open(**self.options)
        self.assertEqual(response.status, 200)
        self.successResultOf(response.send_frame(gun.Text("hello")))
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Text("hello")])
        self.end(response)

    def test_server_closes(self) -> None:
        """When the websocket ends its connection does too, for nobody else uses it."""
        self.servers.serve(*HOST, lambda: Http2WebsocketPeer([("close", 1000, "bye")]))
        response = self.open(**self.options)
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Close(1000, "bye")])
        self.assert_nothing_left()

    def test_closed_unread(self) -> None:
        """So it does when we have sent a Close, whether or not anybody reads what comes after."""
        self.servers.serve(*HOST, lambda: Http2WebsocketPeer([("send", "unread")]))
        response = self.open(**self.options)
        self.successResultOf(response.send_frame("close"))
        self.assert_nothing_left()
        self.assertEqual(response.parse_message(self.next_of(response)), [gun.Text("unread")])

    def test_without_websockets(self) -> None:
        """A server without ENABLE_CONNECT_PROTOCOL, where HTTP/1.1 is no choice, is an error."""
        self.servers.serve(*HOST, lambda: Http2WebsocketPeer(settings={"enable_connect_protocol": 0}))
        self.failed(self.servers.request(URL, **self.options).get(), gun.UpgradeRefused)
        self.assert_nothing_left()


class FrameTests(SynchronousTestCase):
    """`to_frame` by itself."""

    def test_text_that_is_no_shorthand(self) -> None:
        """Only three words are shorthands, exactly so; any other str is refused rather than taken for text."""
        for text in ("Ping", "ping ", "", "closed"):
            self.assertRaises(gun.InvalidRequest, to_frame, text)
        self.assertEqual(to_frame(gun.Text("close")), gun.Text("close"))
