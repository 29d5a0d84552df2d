"""`GunAgent`: requests as `IAgent` has them, responses as `IResponse` has them, and Twisted's own wrappers around it."""

from __future__ import annotations

import gc
import gzip
from http.cookiejar import CookieJar
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import (
    ContentDecoderAgent,
    CookieAgent,
    GzipDecoder,
    RedirectAgent,
    RequestGenerationFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IClientRequest, IResponse
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.agent_stage import AgentCase, AgentWorld, Taker
from tests.producers import Body
from tests.stage import CHUNKED, OK, answer, answering, every_answer
from twisted_gun.agent import GunAgent
from twisted_gun.testing import Http2Peer, ScriptedPeer


def replying(*responses: bytes) -> Any:
    """What makes servers that answer each request with the next of `responses`, on whichever connection."""
    left = list(responses)

    def script(peer: ScriptedPeer) -> None:
        if peer.requests and peer.requests[-1].complete:
            peer.send(left.pop(0))

    return lambda: ScriptedPeer(script)


def _refuse(name: str) -> None:
    """What a producer does that cannot begin."""
    if name == "start":
        raise ValueError("no")


class RequestTests(AgentCase):
    """What is sent."""

    def test_interfaces(self) -> None:
        """All is as the interfaces say."""
        world = AgentWorld(replying(OK))
        verifyObject(IAgent, world.agent)
        response = self.successResultOf(world.ask())
        verifyObject(IResponse, response)
        verifyObject(IClientRequest, response.request)
        self.end(world)

    def test_request(self) -> None:
        """Method, target, all fields in their number, and Host; the fragment stays here."""
        world = AgentWorld(replying(OK))
        world.ask(b"/path;p?query#fragment", b"PURGE", {b"X-One": [b"1", b"2"], b"accept": [b"*/*"]})
        (request,) = world.peer.requests
        self.assertEqual((request.method, request.target), (b"PURGE", b"/path;p?query"))
        self.assertEqual([value for name, value in request.headers if name == b"x-one"], [b"1", b"2"])
        self.assertIn((b"host", b"example.org"), request.headers)
        self.end(world)

    def test_targets(self) -> None:
        """What is left out of a URI."""
        for path, target in ((b"", b"/"), (b"?q", b"/?q"), (b"/", b"/"), (b"#f", b"/"), (b" ", b"/"), (b"/a%20b", b"/a%20b")):
            world = AgentWorld(replying(OK))
            world.ask(path)
            self.assertEqual(world.peer.requests[0].target, target)
            self.end(world)

    def test_host(self) -> None:
        """Host is as the URI says, with its port unless that is the usual one, or as the caller says."""
        world = AgentWorld(lambda: ScriptedPeer(answering()))
        for base, dialled, host in (
            (b"http://Example.ORG:80", ("example.org", 80), b"example.org"),
            (b"HTTP://example.org:8080", ("example.org", 8080), b"example.org:8080"),
            (b"http://[::1]:8080", ("::1", 8080), b"[::1]:8080"),
            (b"http://127.0.0.1:", ("127.0.0.1", 80), b"127.0.0.1"),
        ):
            world.base = base
            self.successResultOf(world.ask())
            self.assertIn(dialled, world.endpoints)
            self.assertIn((b"host", host), world.peer.requests[-1].headers)
        response = self.successResultOf(world.ask(headers={b"host": [b"other.example"]}))
        self.assertEqual(response.request.headers.getRawHeaders(b"host"), [b"other.example"])
        self.assertIn((b"host", b"other.example"), world.peer.requests[-1].headers)
        self.end(world)

    def test_refused(self) -> None:
        """What cannot be asked is refused at the call, as Twisted's agent does; other schemes by the Deferred."""
        agent = GunAgent(Clock())
        for method, uri in (("GET", b"http://h/"), (b"GET", "http://h/"), (None, b"http://h/")):
            self.assertRaises(TypeError, agent.request, method, uri)
        for method, uri in (
            (b"GE T", b"http://h/"),
            (b"CONNECT", b"http://h/"),
            (b"GET", b"http://h/a b"),
            (b"GET", b"http://h/\r\nx: y"),
            (b"GET", b"http://h/\xff"),
            (b"GET", b"http://"),
            (b"GET", b"http:/path"),
            (b"GET", b"/path"),
            (b"GET", b"http://h:0/"),
            (b"GET", b"http://h:65536/"),
            (b"GET", b"http://h:x/"),
            (b"GET", b"http://user:secret@h/"),
            (b"GET", b"http://a_*b/"),
        ):
            error = self.assertRaises(ValueError, agent.request, method, uri)
            self.assertIsInstance(error, gun.InvalidRequest)
            self.assertNotIn("secret", str(error))
        for uri in (b"ftp://h/", b"ws://h/", b"mailto:a"):
            self.failureResultOf(agent.request(b"GET", uri), SchemeNotSupported)

    def test_content(self) -> None:
        """A producer's content, of known length or not; without one there is none."""
        for length, field in ((4, (b"content-length", b"4")), (UNKNOWN_LENGTH, (b"transfer-encoding", b"chunked"))):
            world = AgentWorld(lambda: ScriptedPeer(answering()))
            body = Body(length)
            asked = world.ask(b"/", b"POST", body=body)
            body.consumer.write(b"data")
            body.finished.callback(None)
            world.pump()
            self.successResultOf(asked)
            self.assertEqual(world.peer.requests[0].body, b"data")
            self.assertIn(field, world.peer.requests[0].headers)
            self.end(world)
        world = AgentWorld(replying(OK))
        self.successResultOf(world.ask(b"/", b"POST"))
        self.assertIn((b"content-length", b"0"), world.peer.requests[0].headers)
        self.end(world)

    def test_producer_stopped(self) -> None:
        """A producer is stopped where its content is not wanted any more: after an early response, and where the request is cancelled."""
        world = AgentWorld()
        body = Body()
        asked = world.ask(b"/", b"POST", body=body)
        world.feed(answer(b"no", 413))
        self.assertEqual(self.content(world, self.successResultOf(asked)), b"no")
        self.assertEqual(body.asked, ["start", "stop"])
        self.end(world)
        world = AgentWorld()
        body = Body()
        asked = world.ask(b"/", b"POST", body=body)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(body.asked, ["start", "stop"])
        self.end(world)

    def test_cancelled(self) -> None:
        """Cancelling ends the request, whatever it is doing; over HTTP/2 the others go on."""
        world = AgentWorld(Http2Peer, protocols=["http2"])
        first, second = world.ask(b"/1"), world.ask(b"/2")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        world.pump()
        self.assertEqual([request.reset for request in world.peer.requests], [8, None])  # CANCEL
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.content(world, self.successResultOf(second)), b"/2")
        self.end(world)
        world = AgentWorld()
        world.endpoint("example.org", 80).hang()
        asked = world.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.end(world)

    def test_of_a_connection(self) -> None:
        """Fields that are HTTP/1.1's alone do no harm over HTTP/2."""
        world = AgentWorld(lambda: Http2Peer(every_answer), protocols=["http2"])
        asked = world.ask(headers={b"Connection": [b"keep-alive, x-of-it"], b"Keep-Alive": [b"1"], b"X-Of-It": [b"1"], b"X": [b"y"]})
        self.successResultOf(asked)
        names = [name for name, _ in world.peer.requests[0].headers]
        self.assertEqual(names, [b"x"])
        self.end(world)


class ResponseTests(AgentCase):
    """What comes back."""

    def test_http1(self) -> None:
        """Version, status, phrase, fields, length, and the request that it is for."""
        world = AgentWorld(replying(answer(b"ok", 200, b"X-A: 1", b"x-a: 2")))
        response = self.successResultOf(world.ask(b"/path", headers={b"x": [b"y"]}))
        self.assertEqual((response.version, response.code, response.phrase, response.length), ((b"HTTP", 1, 1), 200, b"X", 2))
        self.assertEqual(response.headers.getRawHeaders(b"x-a"), [b"1", b"2"])
        self.assertEqual(response.headers.getRawHeaders(b"content-length"), [b"2"])
        request = response.request
        self.assertEqual((request.method, request.absoluteURI), (b"GET", b"http://example.org/path"))
        self.assertEqual(request.headers, Headers({b"x": [b"y"], b"host": [b"example.org"]}))
        self.assertIn("200", repr(response))
        self.assertIn("1 with 1 connections", repr(world.agent))
        self.assertEqual(self.content(world, response), b"ok")
        self.end(world)

    def test_http2(self) -> None:
        """Over HTTP/2 the version says so; it has no reason phrase, and so the usual one stands there."""
        world = AgentWorld(lambda: Http2Peer(every_answer), tls=True, alpn=b"h2")
        response = self.successResultOf(world.ask(b"/path"))
        self.assertEqual((response.version, response.code, response.phrase, response.length), ((b"HTTP", 2, 0), 200, b"OK", 5))
        self.assertEqual(self.content(world, response), b"/path")
        self.end(world)

    def test_lengths(self) -> None:
        """The length is what will be delivered, where that is known."""
        for method, sent, length, body in (
            (b"GET", OK, 2, b"ok"),
            (b"GET", answer(b""), 0, b""),
            (b"GET", CHUNKED, UNKNOWN_LENGTH, b"wikipedia"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 0, b""),
            (b"GET", b"HTTP/1.1 204 X\r\n\r\n", 0, b""),
            (b"GET", b"HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n", 0, b""),
        ):
            world = AgentWorld(replying(sent))
            response = self.successResultOf(world.ask(method=method))
            self.assertEqual(response.length, length)
            self.assertEqual(self.content(world, response), body)
            self.assertEqual(len(world.alive), 1)
            self.end(world)

    def test_trailers(self) -> None:
        """Trailers are there after the content."""
        world = AgentWorld(replying(CHUNKED))
        response = self.successResultOf(world.ask())
        self.content(world, response)
        self.assertEqual(response.trailers, Headers({b"x-sum": [b"1"]}))
        self.end(world)

    def test_interim(self) -> None:
        """Interim responses are no response; they are kept beside it."""
        world = AgentWorld(replying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK))
        response = self.successResultOf(world.ask())
        self.assertEqual((response.code, response.informed), (200, ((100, Headers()), (103, Headers({b"link": [b"x"]})))))
        self.end(world)

    def test_switched(self) -> None:
        """A switch to another protocol is no response: the request fails, and the connection ends."""
        world = AgentWorld(replying(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"))
        asked = world.ask(headers={b"connection": [b"upgrade"], b"upgrade": [b"echo"]})
        self.failureResultOf(asked, ResponseFailed)
        self.assertEqual(world.alive, [])
        self.end(world)

    def test_previous(self) -> None:
        """What led to it may be told."""
        world = AgentWorld(lambda: ScriptedPeer(answering()))
        first, second = self.successResultOf(world.ask()), self.successResultOf(world.ask())
        self.assertIsNone(second.previousResponse)
        second.setPreviousResponse(first)
        self.assertIs(second.previousResponse, first)
        self.end(world)

    def test_given_up(self) -> None:
        """A response that nobody holds any more, and whose content nobody took, does not keep its connection."""
        world = AgentWorld(Http2Peer, protocols=["http2"])
        asked = world.ask()
        world.peer.respond(world.peer.requests[0], 200, {}, b"a part", fin=False)
        world.pump()
        response = self.successResultOf(asked)
        world.pump()
        self.assertIsNone(world.peer.requests[0].reset)
        del asked, response
        gc.collect()
        world.pump()
        self.assertEqual(world.peer.requests[0].reset, 8)  # CANCEL
        self.end(world)

    def test_given_up_in_a_thread(self) -> None:
        """The garbage collector may run in any thread: the reactor's is asked."""
        calls = list[Any]()

        class Threaded(Clock):
            def callFromThread(self, *call: Any) -> None:
                calls.append(call)

        world = AgentWorld()
        world.agent._reactor = Threaded()
        asked = world.ask()
        world.feed(answer(b"12345")[:-1])
        self.successResultOf(asked)
        del asked
        gc.collect()
        self.assertEqual(len(calls), 1)
        calls[0][0](*calls[0][1:])
        self.end(world)

    def test_not_given_up(self) -> None:
        """One that is complete, or was taken, is left alone."""
        world = AgentWorld()
        asked = world.ask()
        world.feed(OK)
        self.successResultOf(asked)
        del asked
        gc.collect()
        self.assertEqual(len(world.alive), 1)
        asked = world.ask()
        taker = Taker()
        asked.addCallback(lambda response: response.deliverBody(taker))
        world.feed(answer(b"12345")[:-1])
        del asked
        gc.collect()
        world.feed(b"5")
        self.assertEqual(taker.data, b"12345")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
        self.end(world)

    def test_abort(self) -> None:
        """Whoever wants no content says so."""
        world = AgentWorld(Http2Peer, protocols=["http2"])
        asked = world.ask()
        world.peer.respond(world.peer.requests[0], 200, {}, b"a part", fin=False)
        world.pump()
        response = self.successResultOf(asked)
        response.abortConnection()
        response.abortConnection()
        world.pump()
        self.assertEqual(world.peer.requests[0].reset, 8)
        taker = Taker()
        response.deliverBody(taker)
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseFailed))
        self.assertEqual(taker.data, b"")
        self.end(world)


class ExpectTests(AgentCase):
    """``expect: 100-continue``."""

    def asked(self, world: AgentWorld, body: Body) -> Any:
        return world.ask(b"/", b"PUT", {b"expect": [b"100-Continue"]}, body)

    def test_continue(self) -> None:
        """Content is sent once the server wants it."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(4)
        asked = self.asked(world, body)
        self.assertEqual(body.asked, [])
        world.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(body.asked, ["start"])
        world.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
        body.consumer.write(b"data")
        body.finished.callback(None)
        world.feed(OK)
        self.successResultOf(asked)
        self.assertEqual((world.peer.requests[0].body, body.asked), (b"data", ["start"]))
        self.end(world)

    def test_silent(self) -> None:
        """A server that says nothing gets it after a while."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(4)
        self.asked(world, body).addErrback(lambda failure: failure.trap(gun.StreamClosed))
        world.advance(4.9)
        self.assertEqual(body.asked, [])
        world.advance(0.1)
        self.assertEqual(body.asked, ["start"])
        self.end(world)

    def test_refused(self) -> None:
        """A server that answers at once gets none of it."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(4)
        asked = self.asked(world, body)
        world.feed(b"HTTP/1.1 417 No\r\ncontent-length: 2\r\n\r\n")
        response = self.successResultOf(asked)
        world.advance(5.0)
        world.feed(b"no")
        self.assertEqual((response.code, self.content(world, response), body.asked), (417, b"no", []))
        self.end(world)

    def test_cancelled(self) -> None:
        """Cancelling while it is waited for."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(4)
        asked = self.asked(world, body)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        world.advance(5.0)
        self.assertEqual(body.asked, [])
        self.end(world)

    def test_cancelled_later(self) -> None:
        """Cancelling while it is sent stops it."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(4)
        asked = self.asked(world, body)
        world.advance(5.0)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(body.asked, ["start", "stop"])
        self.end(world)

    def test_paused(self) -> None:
        """Content is not begun while the connection takes none, and is paused and resumed as any."""
        world = AgentWorld(expect_timeout=5.0)
        body = Body(300_000)
        self.asked(world, body).addErrback(lambda failure: failure.trap(gun.StreamClosed))
        (stream,) = world.agent._origins._connections.popitem()[0]._route._live
        world.agent._origins._connections[stream.connection] = None
        stream._block(2, True)
        world.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(body.asked, [])
        stream._block(2, False)
        self.assertEqual(body.asked, ["start"])
        stream._block(2, True)
        stream._block(2, False)
        self.assertEqual(body.asked, ["start", "pause", "resume"])
        self.end(world)

    def test_producer_raises(self) -> None:
        """A producer that cannot begin, when the server wants the content or after the time, fails the request, and is not stopped."""
        for wanted in (True, False):
            world = AgentWorld(expect_timeout=5.0)
            body = Body(5, _refuse)
            asked = self.asked(world, body)
            if wanted:
                world.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
            else:
                world.advance(5.0)
            self.assertIsInstance(self.failureResultOf(asked).value, RequestGenerationFailed)
            self.assertEqual(body.asked, ["start"])
            self.end(world)


class OptionTests(SynchronousTestCase):
    """What an agent is made with."""

    def test_timeouts(self) -> None:
        """`response_timeout` and `body_timeout` are the protocols', where those have none of their own."""
        agent = GunAgent(
            Clock(),
            response_timeout=1.0,
            body_timeout=2.0,
            http2_opts={"response_timeout": 3.0},
            protocols=[("http2", {"idle_timeout": 4.0}), "http"],
        )
        options = agent._origins.options
        self.assertEqual((options.http_opts.response_timeout, options.http_opts.idle_timeout), (1.0, 2.0))
        self.assertEqual((options.http2_opts.response_timeout, options.http2_opts.idle_timeout), (3.0, 2.0))
        own = dict(options.protocols or ())
        self.assertIsNone(own["http"])
        self.assertEqual((own["http2"].response_timeout, own["http2"].idle_timeout), (1.0, 4.0))

    def test_refused(self) -> None:
        """Options that mean nothing here are refused."""
        for options in (
            {"retry": 1},
            {"transport": "tls"},
            {"flaw": 1},
            {"protocols": ["raw"]},
            {"expect_timeout": -1},
            {"expect_timeout": None},
        ):
            self.assertRaises(gun.OptionError, GunAgent, Clock(), **options)

    def test_reactor(self) -> None:
        """Without a reactor it is the one there is."""
        from twisted.internet import reactor

        self.assertIs(GunAgent()._reactor, reactor)


class WrapperTests(AgentCase):
    """Twisted's own agents, which wrap ours."""

    def test_redirect_with_much_content(self) -> None:
        """Content of a redirect that nobody takes keeps its connection busy, but not what the redirect leads to waiting."""
        world = AgentWorld(max_per_host=1)
        asked = RedirectAgent(world.agent).request(b"GET", b"http://example.org/here")
        world.pump()
        world.feed(b"HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 300000\r\n\r\n" + bytes(300_000))
        self.assertNoResult(asked)
        world.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        self.assertEqual(self.content(world, self.successResultOf(asked)), b"ok")
        del asked
        self.end(world)

    def test_redirects(self) -> None:
        """`RedirectAgent` follows, and keeps what led there."""
        world = AgentWorld(replying(b"HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 4\r\n\r\ngone", OK))
        asked = RedirectAgent(world.agent).request(b"GET", b"http://example.org/here")
        world.pump()
        response: Any = self.successResultOf(asked)
        self.assertEqual((response.code, self.content(world, response)), (200, b"ok"))
        self.assertEqual(response.request.absoluteURI, b"http://example.org/there")
        self.assertEqual(response.previousResponse.code, 302)
        self.end(world)

    def test_cookies(self) -> None:
        """`CookieAgent` keeps cookies, and gives them back."""
        world = AgentWorld(replying(answer(b"", 200, b"set-cookie: a=b", b"set-cookie: c=d"), OK))
        agent = CookieAgent(world.agent, CookieJar())
        for _ in range(2):
            asked = agent.request(b"GET", b"http://example.org/")
            world.pump()
            self.successResultOf(asked)
        self.assertIn((b"cookie", b"a=b; c=d"), world.peer.requests[1].headers)
        self.end(world)

    def test_decoding(self) -> None:
        """`ContentDecoderAgent` undoes gzip, piece by piece."""
        coded = gzip.compress(b"content" * 1000)
        world = AgentWorld(replying(answer(coded, 200, b"content-encoding: gzip")))
        asked = ContentDecoderAgent(world.agent, [(b"gzip", GzipDecoder)]).request(b"GET", b"http://example.org/")
        world.pump()
        response: Any = self.successResultOf(asked)
        self.assertEqual((response.length, self.content(world, response)), (UNKNOWN_LENGTH, b"content" * 1000))
        self.end(world)

    def test_content_handlers(self) -> None:
        """Our own handlers undo codings before anybody sees them; then the length is not known."""
        coded = gzip.compress(b"content")
        world = AgentWorld(replying(answer(coded, 200, b"content-encoding: gzip"), OK), http_opts={"content_handlers": [gun.DecodeHandler]})
        response = self.successResultOf(world.ask())
        self.assertEqual((response.length, self.content(world, response)), (UNKNOWN_LENGTH, b"content"))
        response = self.successResultOf(world.ask())
        self.assertEqual((response.length, self.content(world, response)), (2, b"ok"))
        self.end(world)


class LifeTests(AgentCase):
    """Connections, and the end."""

    def test_shared(self) -> None:
        """Requests share connections, as origins say; those that nobody uses can be closed."""
        world = AgentWorld(lambda: ScriptedPeer(answering()))
        for _ in range(3):
            self.content(world, self.successResultOf(world.ask()))
        self.assertEqual((world.attempts, world.agent.info().reused), (1, 2))
        world.agent.close_idle()
        world.pump()
        self.assertEqual(world.agent.info().connections, 0)
        self.end(world)

    def test_shutdown(self) -> None:
        """What is under way may finish; nothing new is taken."""
        world = AgentWorld()
        asked = world.ask()
        ended = world.agent.shutdown()
        self.failureResultOf(world.ask(), gun.ShuttingDown)
        world.feed(OK)
        self.assertEqual(self.content(world, self.successResultOf(asked)), b"ok")
        self.successResultOf(ended)
        self.end(world)
