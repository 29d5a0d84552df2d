"""`twisted_gun.origins`: requests that wait for a connection, those that get none, and connections that have nothing to do."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError

import twisted_gun as gun
from tests.origins_stage import OriginsCase, OriginsWorld, h1, h2
from tests.producers import Body
from tests.stage import OK, every_answer
from twisted_gun.testing import Http2Peer, ScriptedPeer


class WaitingTests(OriginsCase):
    """Requests that wait: how many, how long, and how that ends."""

    def test_too_many(self) -> None:
        """Beyond `max_waiting` a request fails at once, and harms no other."""
        world = OriginsWorld(h1, max_per_host=1, max_waiting=2)
        asked = [world.ask(f"/{number}") for number in range(3)]
        self.failureResultOf(asked.pop(), gun.LimitReached)
        world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"ok"] * 2)
        self.end(world)

    def test_too_long(self) -> None:
        """After `checkout_timeout` it fails, and says what there was."""
        world = OriginsWorld(max_per_host=1, checkout_timeout=3.0)
        asked = [world.ask("/1"), world.ask("/2")]
        world.pump()
        world.advance(3.0)
        self.assertNoResult(asked[0])
        timed_out = self.failureResultOf(asked[1], gun.TimedOut).value
        self.assertEqual(timed_out.stage, "checkout")
        self.assertIn("1 of at most 1 connections", str(timed_out))
        self.end(world)

    def test_cancelled(self) -> None:
        """One that is cancelled while it waits is not sent; where it was the only one, nothing is left of its origin."""
        world = OriginsWorld(h1)
        asked = world.ask("/1")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        world.pump()
        self.assertEqual((world.asked(), world.origins.info().waiting), ([], 0))
        again = world.ask("/2")
        world.pump()
        self.assertEqual((self.body(world, again), world.asked()), (b"ok", [b"/2"]))
        self.end(world)

    def test_cancelled_by_its_producer(self) -> None:
        """One that its own producer cancels, when it comes out of the queue, is ended, and its connection serves others."""
        world = OriginsWorld(h1, max_per_host=1)
        asked: list[Any] = []
        body = Body(5, lambda name: asked[0].cancel() if name == "start" else None)
        asked.append(world.ask("/1", method="POST", body=body))
        second = world.ask("/2")
        world.pump()
        self.failureResultOf(asked[0], CancelledError)
        world.advance(1)
        self.assertEqual(body.asked, ["start", "stop"])
        self.assertEqual(self.body(world, second), b"ok")
        self.end(world)

    def test_cancelled_when_sent(self) -> None:
        """One that is cancelled later ends its stream; over HTTP/2 the others go on."""
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        first, second = world.ask("/1"), world.ask("/2")
        world.pump()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        world.pump()
        self.assertEqual([request.reset is None for request in world.peer.requests], [False, True])
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.body(world, second), b"/2")
        self.end(world)

    def test_what_is_wrong(self) -> None:
        """A request that cannot be made fails, and opens no connection."""
        world = OriginsWorld(h1)
        wrong: tuple[dict[str, Any], ...] = (
            {"path": "no path"},
            {"method": "C D"},
            {"headers": {"a b": ""}},
            {"body": "text"},
            {"body": 1},
            {"reply_to": 1},
        )
        for options in wrong:
            self.failureResultOf(world.ask(**options), gun.GunError)
        self.assertEqual(world.attempts, 0)
        asked = world.ask()
        world.pump()
        self.body(world, asked)
        for options in (*wrong, {"flaw": 1}):
            self.failureResultOf(world.ask(**options), gun.GunError)
        world.pump()
        self.assertEqual((world.asked(), world.origins.info().idle), ([b"/"], 1))
        self.end(world)


class FailingTests(OriginsCase):
    """Connections that cannot be made."""

    def test_refused(self) -> None:
        """All that wait fail with why; nothing is dialled again by itself, nothing is left, and the next request tries anew."""
        world = OriginsWorld(h1, max_per_host=3)
        endpoint = world.endpoint("example.org", 80)
        endpoint.refuse()
        asked = [world.ask() for _ in range(5)]
        world.pump()
        for each in asked:
            self.assertIsInstance(self.failureResultOf(each, gun.ConnectFailed).value.reason, error.ConnectionRefusedError)
        world.advance(100)
        self.assertEqual((endpoint.attempts, world.origins.info().origins), (3, 0))
        endpoint.accept()
        again = world.ask()
        world.pump()
        self.assertEqual(self.body(world, again), b"ok")
        self.end(world)

    def test_one_of_many(self) -> None:
        """Where others live what waits is for them; a second later another one is tried."""
        world = OriginsWorld(max_per_host=2)
        endpoint = world.endpoint("example.org", 80)
        first = world.ask("/1")
        world.pump()
        endpoint.refuse()
        second, third = world.ask("/2"), world.ask("/3")
        world.pump()
        self.assertEqual(endpoint.attempts, 2)
        self.assertNoResult(second)
        world.peers[0].send(OK)
        world.pump()
        self.assertEqual((self.body(world, first), world.asked(), endpoint.attempts), (b"ok", [b"/1", b"/2"], 2))
        endpoint.accept()
        world.advance(1.0)
        self.assertEqual((world.asked(), endpoint.attempts), ([b"/1", b"/2", b"/3"], 3))
        self.assertNoResult(third)
        self.end(world)

    def test_closed_at_once(self) -> None:
        """A server that closes before it can be asked is not dialled for ever."""
        world = OriginsWorld(ScriptedPeer, protocols=["http2"], http2_opts={"preface_timeout": None})
        world.make_peer = lambda: ScriptedPeer([("close",)])
        asked = world.ask()
        world.pump()
        self.failureResultOf(asked, gun.GunError)
        world.advance(100)
        self.assertLessEqual(world.attempts, 3)
        self.end(world)

    def test_timeout(self) -> None:
        """An attempt has its limit."""
        world = OriginsWorld(h1, connect_timeout=4.0)
        world.endpoint("example.org", 80).hang()
        asked = world.ask()
        world.pump()
        world.advance(4.0)
        self.assertEqual(self.failureResultOf(asked, gun.TimedOut).value.stage, "connect")
        self.end(world)

    def test_refused_beside_one_that_lives(self) -> None:
        """Where the only connection there is serves nothing that waits, and no other can be had, what waits fails, though not at once."""
        world = OriginsWorld(h1)
        world.make_peer = lambda: ScriptedPeer([("expect", b"/1"), ("send", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nno")])
        first = world.ask("/1")
        world.pump()
        self.successResultOf(first)
        world.endpoint("example.org", 80).refuse()
        second = world.ask("/2")
        world.pump()
        world.advance(2.0)
        self.assertNoResult(second)
        for _ in range(10):
            world.advance(1.0)
        self.failureResultOf(second, gun.ConnectFailed)
        self.end(world)

    def test_refused_at_once(self) -> None:
        """Several that are refused at once are one failure: the connection that lives is about to serve what waits."""
        world = OriginsWorld(ScriptedPeer)
        world.ask("/0")
        world.pump()
        world.peers[0].send(OK)
        world.pump()
        world.ask("/busy")
        world.endpoint("example.org", 80).refuse()
        waiting = [world.ask(f"/{at}") for at in range(1, 6)]
        world.pump()
        world.advance(0.5)
        self.assertEqual([each.called for each in waiting], [False] * 5)
        for _ in range(6):
            world.peers[0].send(OK)
            world.pump()
        self.assertEqual([self.body(world, each) for each in waiting], [b"ok"] * 5)
        self.end(world)

    def test_given_up(self) -> None:
        """An attempt that hangs is given up with the last request that waited for it, and the next one makes its own."""
        world = OriginsWorld(h1, max_per_host=1)
        world.endpoint("example.org", 80).hang()
        asked = [world.ask("/1"), world.ask("/2")]
        world.pump()
        for each in asked:
            self.assertEqual(world.origins.info().connections, 1)
            each.cancel()
            self.failureResultOf(each, CancelledError)
            world.pump()
        self.assertEqual((world.origins.info().connections, world.origins.info().origins), (0, 0))
        world.endpoint("example.org", 80).accept()
        again = world.ask("/3")
        world.pump()
        self.assertEqual(self.body(world, again), b"ok")
        self.end(world)

    def test_options(self) -> None:
        """Options that turn out to be bad when they are used fail the request, as does whoever cannot make an endpoint."""
        world = OriginsWorld(h1, tls=True)
        identity = world.origins.identity("https", "example.org", 443, tls_opts={"ciphers": "NONSENSE"})
        self.failureResultOf(world.origins.request(identity, "GET", "/"), gun.OptionError)
        world.pump()
        self.end(world)

        def no_endpoint(host: str, port: int) -> Any:
            raise LookupError(host)

        world = OriginsWorld(h1, endpoint=no_endpoint)
        self.failureResultOf(world.ask(), LookupError)
        world.pump()
        self.end(world)


class IdleTests(OriginsCase):
    """Connections that nobody uses."""

    def used(self, world: OriginsWorld, *hosts: str) -> None:
        asked = [world.ask(host=host) for host in hosts]
        world.pump()
        for each in asked:
            self.body(world, each)

    def test_closed(self) -> None:
        """One is closed after `idle_timeout` from its last use, and then its origin is forgotten."""
        for peer, protocol in ((h1, "http"), (h2(), "http2")):
            world = OriginsWorld(peer, idle_timeout=10.0, protocols=[protocol])
            self.used(world, "a.example")
            world.advance(6.0)
            self.used(world, "b.example")
            world.advance(3.0)
            self.used(world, "a.example")
            self.assertEqual(world.origins.info().idle, 2)
            world.advance(7.5)
            self.assertEqual((world.origins.info().origins, world.origins.info().connections), (1, 1))
            world.advance(2.5)
            self.assertEqual((world.origins.info().origins, world.origins.info().connections), (0, 0))
            self.assertEqual(world.attempts, 2)
            self.end(world)

    def test_not_while_used(self) -> None:
        """An answer may take longer than that."""
        world = OriginsWorld(idle_timeout=10.0)
        asked = world.ask()
        world.pump()
        world.advance(60.0)
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.body(world, asked), b"ok")
        self.end(world)

    def test_too_many(self) -> None:
        """Of those of all origins no more than `max_idle` are kept, the latest; with 0 none is."""
        for most in (3, 0):
            world = OriginsWorld(h1, max_idle=most, idle_timeout=None)
            for number in range(10):
                self.used(world, f"{number}.example")
                world.pump()
            info = world.origins.info()
            self.assertEqual((info.origins, info.connections, info.idle), (most, most, most))
            self.assertEqual(len(world.alive), most)
            self.end(world)

    def test_nothing_grows(self) -> None:
        """However many origins were visited, nothing is kept of those that are not used any more."""
        world = OriginsWorld(h1, idle_timeout=1.0)
        for number in range(100):
            self.used(world, f"{number}.example")
            world.advance(1.0)
        self.assertEqual((world.origins.info().origins, world.origins.info().connections), (0, 0))
        self.assertEqual(world.clock.getDelayedCalls(), [])
        self.end(world)

    def test_close_idle(self) -> None:
        """They can be closed at any time; what is under way goes on."""
        world = OriginsWorld()
        first, second = world.ask("/1"), world.ask("/2")
        world.pump()
        world.peers[0].send(OK)
        world.pump()
        self.body(world, first)
        world.origins.close_idle()
        world.pump()
        self.assertEqual(world.origins.info().connections, 1)
        world.peers[1].send(OK)
        world.pump()
        self.assertEqual(self.body(world, second), b"ok")
        self.end(world)
