"""Failures of the agent's requests: each is what Twisted's users look for, and a `GunError` that says what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseFailed, ResponseNeverReceived

import twisted_gun as gun
from tests.agent_stage import AgentCase, AgentWorld
from tests.producers import Body
from twisted_gun.agent.failures import request_failed
from twisted_gun.testing import Http2Peer, ScriptedPeer


class ConnectingTests(AgentCase):
    """There is no connection."""

    def test_endpoint(self) -> None:
        """Whatever the endpoint met is what `failure.check` finds, and what happened is told in words."""
        for reason, also in (
            (error.ConnectionRefusedError(111), error.ConnectError),
            (error.DNSLookupError("no such name"), OSError),
            (error.TCPTimedOutError(), error.ConnectError),
            (error.TimeoutError(), error.UserError),
            (error.NoRouteError(), error.ConnectError),
            (OSError(5, "strange"), error.ConnectError),
        ):
            world = AgentWorld()
            world.endpoint("example.org", 80).refuse(reason)
            failure = self.failureResultOf(world.ask(), gun.ConnectFailed)
            kind = type(reason) if type(reason).__module__ == error.__name__ else error.ConnectError
            self.assertTrue(failure.check(kind))
            self.assertTrue(failure.check(also))
            value: Any = failure.value
            self.assertIs(value.reason, reason)
            self.assertTrue(str(value).startswith("example.org:80: "), str(value))
            self.assertEqual((type(value).__name__, type(value).__module__), ("ConnectFailed", gun.ConnectFailed.__module__))
            self.end(world)

    def test_timeout(self) -> None:
        """An attempt that takes too long is Twisted's TimeoutError; so is the wait for a connection."""
        world = AgentWorld(connect_timeout=3.0)
        world.endpoint("example.org", 80).hang()
        asked = world.ask()
        world.advance(3.0)
        self.assertTrue(self.failureResultOf(asked, gun.TimedOut).check(error.TimeoutError))
        self.end(world)
        world = AgentWorld(max_per_host=1, checkout_timeout=3.0)
        world.ask().addErrback(lambda failure: failure.trap(gun.StreamClosed))
        asked = world.ask()
        world.advance(3.0)
        self.assertTrue(self.failureResultOf(asked, gun.TimedOut).check(error.TimeoutError))
        self.end(world)

    def test_tls(self) -> None:
        """What is wrong with TLS: no response, for a reason that is an SSL.Error."""
        world = AgentWorld(ScriptedPeer, tls=True)
        world.agent = type(world.agent)(world.clock, endpoint=world.endpoint)  # which trusts nobody in memory
        failure = self.failureResultOf(world.ask(), gun.TlsFailed)
        self.assertTrue(failure.check(ResponseNeverReceived))
        self.assertTrue(failure.value.reasons[0].check(SSL.Error))
        self.assertTrue(failure.value.reasons[0].check(gun.TlsFailed))
        self.end(world)

    def test_too_many(self) -> None:
        """A limit of our own stays what it is."""
        world = AgentWorld(max_per_host=1, max_waiting=0)
        failure = self.failureResultOf(world.ask(), gun.LimitReached)
        self.assertFalse(failure.check(ResponseFailed))
        self.end(world)


class AnsweringTests(AgentCase):
    """There is no response."""

    def failed(self, act: Callable[[AgentWorld], object], peer: Any = ScriptedPeer, **options: Any) -> Failure:
        """How a request fails after the server has done this."""
        world = AgentWorld(peer, **options)
        asked = world.ask(b"/", b"POST")
        act(world)
        world.pump()
        failure: Failure = self.failureResultOf(asked, gun.GunError)
        self.end(world)
        return failure

    def test_closed(self) -> None:
        """A server that closes, or resets, without an answer."""
        for end, reason in (("close", error.ConnectionDone), ("abort", error.ConnectionLost)):
            failure = self.failed(lambda world, end=end: getattr(world.peer, end)())  # type: ignore[misc]
            self.assertTrue(failure.check(gun.StreamClosed))
            self.assertTrue(failure.check(ResponseNeverReceived))
            value: Any = failure.value
            self.assertTrue(value.reasons[0].check(reason), value.reasons)
            self.assertIsNone(value.response)

    def test_malformed(self) -> None:
        """A server that speaks nonsense, or too much."""
        for data, kind in ((b"nonsense\r\n\r\n", gun.ProtocolViolation), (b"HTTP/1.1 200 " + b"x" * 100_000, gun.LimitReached)):
            failure = self.failed(lambda world, data=data: world.peer.send(data))  # type: ignore[misc]
            self.assertTrue(failure.check(kind))
            self.assertTrue(failure.check(ResponseFailed))

    def test_silent(self) -> None:
        """A server that says nothing within `response_timeout`: no response, and a time-out."""
        for peer, protocol in ((ScriptedPeer, "http"), (Http2Peer, "http2")):
            failure = self.failed(lambda world: world.advance(5.0), peer, protocols=[protocol], response_timeout=5.0)
            self.assertTrue(failure.check(gun.TimedOut))
            self.assertTrue(failure.check(ResponseNeverReceived))
            self.assertTrue(failure.check(error.TimeoutError))
            value: Any = failure.value
            self.assertEqual(value.stage, "response")

    def test_reset(self) -> None:
        """A stream that the server resets, or refuses again and again."""

        def refuse(world: AgentWorld) -> None:
            for _ in range(3):
                world.peer.reset(world.peer.requests[-1], 7)
                world.pump()

        for act, kind in ((lambda world: world.peer.reset(world.peer.requests[0], 2), gun.StreamReset), (refuse, gun.StreamRefused)):
            failure = self.failed(act, Http2Peer, protocols=["http2"])
            self.assertTrue(failure.check(kind))
            self.assertTrue(failure.check(ResponseNeverReceived))
            value: Any = failure.value
            self.assertTrue(value.reasons[0].check(kind))

    def test_producer(self) -> None:
        """Content whose producer fails, or gives another number of bytes than it said."""
        for length, give in (
            (4, lambda body: body.finished.errback(OSError("no content"))),
            (4, lambda body: body.finished.callback(None)),
        ):
            world = AgentWorld()
            body = Body(length)
            asked = world.ask(b"/", b"POST", body=body)
            give(body)
            world.pump()
            failure = self.failureResultOf(asked, RequestGenerationFailed)
            self.assertTrue(failure.check(gun.StreamError))
            self.assertTrue(failure.value.reasons[0].check(OSError, gun.InvalidRequest))
            self.end(world)

    def test_closed_by_us(self) -> None:
        """The agent's own end."""
        failure = self.failed(lambda world: world.agent.close())
        self.assertTrue(failure.check(gun.StreamClosed))
        self.assertTrue(failure.check(ResponseNeverReceived))


class OtherTests(AgentCase):
    """What does not come about in memory."""

    def test_kinds(self) -> None:
        """Each reason, and what of Twisted's it is too."""
        for reason, kinds in (
            (gun.ProxyFailed("refused", status=403), (error.ConnectError,)),
            (gun.TimedOut("lookup", 1.0), (error.DNSLookupError,)),
            (gun.TimedOut("tls", 1.0), (error.TimeoutError,)),
            (gun.TimedOut("tunnel", 1.0), (error.TimeoutError,)),
            (gun.ConnectFailed("through a proxy", gun.TlsFailed("refused")), (error.ConnectError,)),
            (gun.StreamClosed("by TLS"), (ResponseNeverReceived,)),
            (gun.GoAway("away", 0, 1), (ResponseNeverReceived,)),
        ):
            told: Any = request_failed(reason)
            self.assertIsInstance(told, type(reason))
            for kind in kinds:
                self.assertIsInstance(told, kind)
            self.assertEqual(str(told), str(reason))
            self.assertEqual({**told.__dict__, **reason.__dict__}, told.__dict__)

    def test_same(self) -> None:
        """What has no counterpart stays as it is."""
        for reason in (gun.ShuttingDown("over"), gun.BadState("no"), gun.InvalidRequest("no"), ValueError("no")):
            self.assertIs(request_failed(reason), reason)

    def test_how_connections_end(self) -> None:
        """The first of `reasons` is the end of the connection, as Twisted has it."""
        lost = gun.ConnectionFailed("the connection was lost")
        lost.__cause__ = error.ConnectionLost()
        for cause, kind in (
            (None, error.ConnectionDone),
            (gun.ConnectionFailed("the peer closed it"), error.ConnectionDone),
            (lost, error.ConnectionLost),
            (gun.TlsFailed("an alert"), SSL.Error),
            (gun.ProtocolViolation("nonsense"), gun.ProtocolViolation),
            (gun.TimedOut("write", 1.0), gun.TimedOut),
        ):
            reason = gun.StreamClosed("before the end")
            reason.__cause__ = cause
            told: Any = request_failed(reason)
            self.assertTrue(told.reasons[0].check(kind), cause)
            self.assertIs(told.reasons[1].value, reason)
