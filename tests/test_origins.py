"""Origins: which connections there are, who shares them, what waits for them, and that nothing is left of those that are not used."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

import twisted_gun as gun
from tests.origins_stage import OriginsCase, OriginsWorld
from tests.producers import Body
from tests.stage import LAST, OK, answer, answering, every_answer
from twisted_gun.origins import Identity, Origins
from twisted_gun.testing import Http2Peer, MemoryEndpoint, RecordingReceiver, ScriptedPeer
from twisted_gun.wire.frames import PREFACE, FrameType, frame


def h1() -> ScriptedPeer:
    """A server of HTTP/1.1 that answers everything."""
    return ScriptedPeer(answering())


def h2(**settings: int) -> Any:
    """What makes servers of HTTP/2 that answer everything with its path."""
    return lambda: Http2Peer(every_answer, settings=settings)


class IdentityTests(OriginsCase):
    """What connections must have in common to be shared."""

    def test_equal(self) -> None:
        """The same is the same, however it is written, and can be a key."""
        given: dict[str, Any] = {"proxy": "http://user:secret@proxy.example:3128", "tls_opts": {"minimum": "1.3"}}
        one = Identity(scheme="https", host="Example.ORG", port=443, **given)
        proxy = one.proxy
        other = Identity(scheme="https", host="example.org", port=443, proxy=proxy, tls_opts=gun.TlsOptions(minimum="1.3"))
        self.assertEqual((one, hash(one)), (other, hash(other)))
        self.assertNotIn("secret", repr(one))

    def test_different(self) -> None:
        """Whatever says who speaks, with whom, and by what way, makes another one."""
        base: dict[str, Any] = {"scheme": "https", "host": "example.org", "port": 443, "proxy": "http://proxy.example:3128"}
        changes: list[dict[str, Any]] = [
            {},
            {"scheme": "http"},
            {"host": "www.example.org"},
            {"port": 444},
            {"proxy": None},
            {"proxy": "http://other:password@proxy.example:3128"},
            {"proxy": ["http://first.example", "http://proxy.example:3128"]},
            {"proxy_headers": {"x": "y"}},
            {"proxy_mode": "absolute"},
            {"proxy_tls_opts": {"verify": False}},
            {"bind_address": ("127.0.0.1", 0)},
            {"protocols": ["http"]},
            {"tls_opts": {"verify": False}},
            {"tls_opts": {"server_name": "other.example"}},
        ]
        self.assertEqual(len({Identity(**{**base, **change}) for change in changes}), len(changes))

    def test_only(self) -> None:
        """Plain http is HTTP/1.1, unless HTTP/2 is all there is; https leaves it to ALPN."""
        for scheme, protocols, only in (
            ("http", None, "http"),
            ("http", ["http2", "http"], "http"),
            ("http", ["http2"], "http2"),
            ("https", None, None),
            ("https", ["http2", "http"], None),
            ("https", ["http"], "http"),
        ):
            self.assertEqual(Identity(scheme=scheme, host="h", port=1, protocols=protocols).only, only)  # type: ignore[arg-type]

    def test_refused(self) -> None:
        """What cannot be an identity is refused, by the name of the option."""
        for changes, option in (
            ({"scheme": "ws"}, "scheme"),
            ({"port": 0}, "port"),
            ({"protocols": ["raw"]}, "protocols"),
            ({"proxy": "ftp://x"}, "proxy"),
            ({"bind_address": "127.0.0.1"}, "bind_address"),
        ):
            refusal = self.assertRaises(gun.OptionError, Identity, **{"scheme": "http", "host": "h", "port": 80, **changes})
            self.assertIn(option, refusal.option)
        self.assertRaises(gun.InvalidRequest, Identity, scheme="http", host="a b", port=80)


class OptionTests(OriginsCase):
    """What origins are made with."""

    def test_refused(self) -> None:
        """Options that mean nothing here, or cannot be used, are refused."""
        for options in (
            {"retry": 1},
            {"retry_fun": lambda *_: None},
            {"retry_timeout": 1.0},
            {"transport": "tls"},
            {"http2_opts": {"enable_push": True}},
            {"protocols": [("http2", {"enable_push": True})]},
            {"endpoint": 1},
            {"max_per_host": 0},
            {"max_idle": -1},
            {"max_waiting": -1},
            {"idle_timeout": "x"},
            {"checkout_timeout": -1},
            {"flaw": 1},
        ):
            self.assertRaises(gun.OptionError, Origins, Clock(), **options)

    def test_reactor(self) -> None:
        """Without a reactor it is the one there is."""
        from twisted.internet import reactor

        self.assertIs(Origins()._reactor, reactor)

    def test_defaults(self) -> None:
        """An identity has what the origins were given, where it says nothing else."""
        origins = Origins(Clock(), proxy="http://proxy.example", protocols=["http"], tcp_opts={"bind_address": ("127.0.0.1", 0)})
        identity = origins.identity("https", "example.org", 443)
        self.assertEqual((identity.proxy[0].host, identity.only, identity.bind_address), ("proxy.example", "http", ("127.0.0.1", 0)))
        self.assertEqual(origins.identity("https", "example.org", 443, proxy=None).proxy, ())

    def test_one_endpoint(self) -> None:
        """An endpoint may be one for all origins."""
        clock, peers = Clock(), list[ScriptedPeer]()

        def build() -> ScriptedPeer:
            peers.append(h1())
            return peers[-1]

        origins = Origins(clock, endpoint=MemoryEndpoint(Factory.forProtocol(build), clock=clock))
        for host in ("a.example", "b.example"):
            self.assertNoResult(asked := origins.request(origins.identity("http", host, 80), "GET", "/"))
            clock.pump([0] * 8)
            self.successResultOf(asked)
        self.assertEqual(len(peers), 2)
        origins.close()
        clock.pump([0] * 8)
        self.assertEqual(clock.getDelayedCalls(), [])


class Http1Tests(OriginsCase):
    """HTTP/1.1: a connection has one request at a time, and there are so many of them."""

    def test_reused(self) -> None:
        """A connection that is free takes the next request, at once; none is opened before it is needed."""
        world = OriginsWorld(h1)
        self.assertEqual(world.attempts, 0)
        for number in range(3):
            asked = world.ask(f"/{number}")
            world.pump()
            self.assertEqual(self.body(world, asked), b"ok")
        self.assertEqual((world.attempts, world.asked()), (1, [b"/0", b"/1", b"/2"]))
        info = world.origins.info()
        self.assertEqual((info.origins, info.connections, info.idle, info.opened, info.requests, info.reused), (1, 1, 1, 1, 3, 2))
        self.end(world)

    def test_most(self) -> None:
        """No more than `max_per_host` connections, one request each; the others wait, and go in their order."""
        world = OriginsWorld(max_per_host=2)
        asked = [world.ask(f"/{number}") for number in range(5)]
        world.pump()
        self.assertEqual((world.attempts, world.asked(), world.origins.info().waiting), (2, [b"/0", b"/1"], 3))
        for _ in range(3):
            for peer in world.alive:
                peer.send(OK)
            world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"ok"] * 5)
        self.assertEqual([request.target for request in world.peers[0].requests], [b"/0", b"/2", b"/4"])
        self.end(world)

    def test_others(self) -> None:
        """Another origin has connections of its own, which one that is busy does not hold up."""
        world = OriginsWorld(max_per_host=1)
        world.ask("/1", host="a.example")
        world.ask("/2", host="a.example")
        world.ask("/3", host="b.example")
        world.pump()
        self.assertEqual((world.attempts, world.asked()), (2, [b"/1", b"/3"]))
        self.assertEqual(world.origins.info().origins, 2)
        self.end(world)

    def test_close(self) -> None:
        """A server that closes after its answer gets a new connection for the next request."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(LAST)), max_per_host=1)
        asked = [world.ask(), world.ask()]
        world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"ok"] * 2)
        self.assertEqual(world.attempts, 2)
        world.pump()
        self.assertEqual(world.origins.info().origins, 0)
        self.end(world)

    def test_closing(self) -> None:
        """A connection that is being closed, which its server takes its time for, does not hold up what waits."""
        world = OriginsWorld(tls=True, alpn=b"http/1.1", max_per_host=1)
        first, second = world.ask("/1"), world.ask("/2")
        world.pump()
        world.peer.send(LAST)
        world.endpoint("example.org", 443).links[0].server.pauseProducing()
        world.pump()
        self.assertEqual((self.body(world, first), world.attempts), (b"ok", 2))
        self.assertEqual(len(world.alive), 2)
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.body(world, second), b"ok")
        world.advance(60)
        self.end(world)

    def test_closed_while_idle(self) -> None:
        """A server that closes a connection which nobody uses does nobody harm; of its origin nothing is kept."""
        world = OriginsWorld(h1)
        asked = world.ask()
        world.pump()
        self.body(world, asked)
        world.peer.close()
        world.pump()
        self.assertEqual((world.origins.info().origins, world.origins.info().connections), (0, 0))
        again = world.ask()
        world.pump()
        self.assertEqual((self.body(world, again), world.attempts), (b"ok", 2))
        self.end(world)

    def test_cancelled_answer(self) -> None:
        """The rest of a cancelled answer is read for nothing, and then its connection is free for what waits."""
        world = OriginsWorld(max_per_host=1)
        first, second = world.ask("/1"), world.ask("/2")
        world.pump()
        world.peer.send(answer(b"x" * 10)[:-5])
        world.pump()
        self.successResultOf(first).cancel()
        world.pump()
        self.assertEqual(world.asked(), [b"/1"])
        world.peer.send(b"x" * 5)
        world.pump()
        self.assertEqual(world.asked(), [b"/1", b"/2"])
        world.peer.send(OK)
        world.pump()
        self.assertEqual((self.body(world, second), world.attempts), (b"ok", 1))
        self.end(world)


class Http2Tests(OriginsCase):
    """HTTP/2: one connection is shared as long as the server allows."""

    def world(self, peer: Any = None, **options: Any) -> OriginsWorld:
        return OriginsWorld(peer or h2(), protocols=["http2"], **options)

    def test_shared(self) -> None:
        """All requests share one connection, those that were made before it was up among them."""
        world = self.world()
        asked = [world.ask(f"/{number}") for number in range(50)]
        world.pump()
        asked += [world.ask(f"/{number}") for number in range(50, 100)]
        world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"/%d" % number for number in range(100)])
        self.assertEqual((world.attempts, world.origins.info().opened), (1, 1))
        self.end(world)

    def test_full(self) -> None:
        """Where the server's limit is reached another one is opened, up to the most there may be; the others wait."""
        world = self.world(lambda: Http2Peer(settings={"max_concurrent_streams": 2}), max_per_host=2)
        asked = [world.ask(f"/{number}") for number in range(5)]
        world.pump()
        self.assertEqual((world.attempts, [len(peer.requests) for peer in world.peers]), (2, [2, 2]))
        self.assertEqual(world.origins.info().waiting, 1)
        for _ in range(2):
            for peer in world.peers:
                every_answer(peer)
            world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"/%d" % number for number in range(5)])
        self.assertEqual(world.attempts, 2)
        self.end(world)

    def test_first_does_not_wait(self) -> None:
        """The first request does not wait for the server's SETTINGS, the others do."""
        world = self.world(ScriptedPeer)
        world.ask("/1")
        world.ask("/2")
        world.pump()
        self.assertEqual((self.head_frames(world.peer.received), world.origins.info().waiting), (1, 1))
        world.peer.send(frame(FrameType.SETTINGS, 0, 0))
        world.pump()
        self.assertEqual((self.head_frames(world.peer.received), world.attempts), (2, 1))
        self.end(world)

    def head_frames(self, data: bytes) -> int:
        """How many HEADERS there are behind the preface."""
        at, found = len(PREFACE), 0
        while at < len(data):
            found += data[at + 3] == FrameType.HEADERS
            at += 9 + int.from_bytes(data[at : at + 3], "big")
        return found

    def test_going_away(self) -> None:
        """A server that goes away finishes what it has; the next request takes a new connection, beside the most there may be."""
        world = self.world(Http2Peer, max_per_host=1)
        first = world.ask("/1")
        world.pump()
        world.peer.goaway(world.peer.requests[0].stream_id)
        world.pump()
        second = world.ask("/2")
        world.pump()
        self.assertEqual([len(peer.requests) for peer in world.peers], [1, 1])
        for peer in world.peers:
            every_answer(peer)
        world.pump()
        self.assertEqual([self.body(world, each) for each in (first, second)], [b"/1", b"/2"])
        self.end(world)


class AlpnTests(OriginsCase):
    """What it will be is not known before ALPN."""

    def test_unknown(self) -> None:
        """One connection is opened for all that wait; where it is HTTP/2 that was enough."""
        world = OriginsWorld(h2(), tls=True, alpn=b"h2")
        asked = [world.ask(f"/{number}") for number in range(10)]
        world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"/%d" % number for number in range(10)])
        self.assertEqual(world.attempts, 1)
        self.end(world)

    def test_http1(self) -> None:
        """Where it is HTTP/1.1 others are opened then, and at once as long as that is known."""
        for alpn in (b"http/1.1", None):
            world = OriginsWorld(h1, tls=True, alpn=alpn, max_per_host=3)
            asked = [world.ask(f"/{number}") for number in range(5)]
            self.assertEqual(world.attempts, 1)
            world.pump()
            self.assertEqual(world.attempts, 3)
            self.assertEqual([self.body(world, each) for each in asked], [b"ok"] * 5)
            world.peers[0].close()
            world.peers[1].close()
            world.pump()
            for _ in range(4):
                world.ask()
            self.assertEqual(world.attempts, 5)
            world.pump()
            self.end(world)


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


class AnswerTests(OriginsCase):
    """How the answer is told."""

    def test_awaited(self) -> None:
        """Without a `reply_to` all of it is awaited, interim responses and what came with the head among it."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK)))
        asked = world.ask()
        world.pump()
        stream = self.successResultOf(asked)
        kinds = [type(self.successResultOf(stream.await_event())) for _ in range(3)]
        self.assertEqual(kinds, [gun.Inform, gun.Response, gun.Data])
        self.end(world)

    def test_no_content(self) -> None:
        """An answer without content is kept as any other."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(answer(b""))))
        asked = world.ask()
        world.pump()
        stream = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        self.assertEqual(self.successResultOf(stream.await_body()), b"")
        self.end(world)

    def test_told(self) -> None:
        """A `reply_to` is told of the head first, then the Deferred fires, then it is told the rest."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 103 Early\r\n\r\n" + OK)))
        told = RecordingReceiver()
        seen = list[list[str]]()
        asked = world.ask(reply_to=told)
        asked.addCallback(lambda _: seen.append(told.names()))
        world.pump()
        self.assertEqual((seen, told.names()), ([["gun_inform", "gun_response"]], ["gun_inform", "gun_response", "gun_data"]))
        self.end(world)

    def test_switched(self) -> None:
        """A server that switches to what was asked for has answered, too."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")))
        asked = world.ask(headers={"connection": "upgrade", "upgrade": "echo"})
        world.pump()
        stream = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(stream.await_upgrade()).protocols, (b"echo",))
        self.end(world)

    def test_cancelled_by_who_is_told(self) -> None:
        """Whoever is told of the head may cancel the Deferred then, which fires no more."""
        world = OriginsWorld(h1)
        requested = list[Any]()
        requested.append(world.ask(reply_to=lambda event: requested[0].cancel() if type(event) is gun.Response else None))
        world.pump()
        self.failureResultOf(requested[0], CancelledError)
        self.end(world)

    def test_producer_that_fails_at_once(self) -> None:
        """A request whose producer fails before anybody holds its stream fails, and takes no place."""
        world = OriginsWorld(h2(), protocols=["http2"])
        self.body(world, self.answered(world))
        body = Body()
        body.finished.errback(OSError("no content"))
        self.failureResultOf(world.ask(method="POST", body=body), gun.StreamError)
        self.assertEqual(world.origins.info().idle, 1)
        self.assertEqual(self.body(world, self.answered(world)), b"/")
        self.end(world)

    def answered(self, world: OriginsWorld) -> Any:
        asked = world.ask()
        world.pump()
        return asked

    def test_raises(self) -> None:
        """A receiver that raises when it is told of the head: that is logged, its stream ends, and the Deferred fires all the same."""

        class Flaw(Exception):
            pass

        def raise_once(event: Any) -> None:
            if type(event) is gun.Response:
                raise Flaw

        world = OriginsWorld(lambda: ScriptedPeer(answering()))
        told = RecordingReceiver(react=raise_once)
        asked = world.ask(reply_to=told)
        world.pump()
        self.assertEqual(told.names(), ["gun_response", "gun_error"])
        self.successResultOf(asked)
        self.assertEqual(len(self.flushLoggedErrors(Flaw)), 1)
        self.end(world)


class EndTests(OriginsCase):
    """The end of all."""

    def test_close(self) -> None:
        """`close` ends everything at once: what waits, what is sent, what is being answered, and what is idle."""
        world = OriginsWorld(max_per_host=2)
        answered, sent, waiting = world.ask("/1"), world.ask("/2"), world.ask("/3")
        world.pump()
        world.peers[0].send(answer(b"x" * 10)[:-5])
        world.pump()
        body = self.successResultOf(answered).await_body()
        ended = world.origins.close()
        self.failureResultOf(sent, gun.StreamClosed)
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.failureResultOf(body, gun.StreamClosed)
        self.failureResultOf(world.ask(), gun.ShuttingDown)
        world.pump()
        self.successResultOf(ended)
        self.assert_nothing_left(world)
        self.successResultOf(world.origins.close())

    def test_shutdown(self) -> None:
        """`shutdown` lets finish what was sent; what waits is refused."""
        world = OriginsWorld(max_per_host=1)
        sent, waiting = world.ask("/1"), world.ask("/2")
        world.pump()
        ended = world.origins.shutdown()
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.assertNoResult(ended)
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.body(world, sent), b"ok")
        self.successResultOf(ended)
        self.assert_nothing_left(world)

    def test_while_connecting(self) -> None:
        """Either ends attempts, too."""
        for end in ("close", "shutdown"):
            world = OriginsWorld()
            world.endpoint("example.org", 80).hang()
            asked = world.ask()
            world.pump()
            ended = getattr(world.origins, end)()
            self.failureResultOf(asked, gun.ShuttingDown)
            world.pump()
            self.successResultOf(ended)
            self.assert_nothing_left(world)

    def test_waiter_cancelled(self) -> None:
        """Who waits for the end may stop waiting."""
        world = OriginsWorld()
        world.ask()
        world.pump()
        first, second = world.origins.shutdown(), world.origins.shutdown()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.end(world)
        self.successResultOf(second)

    def test_from_within(self) -> None:
        """What is asked for from within the refusal of others is refused."""
        world = OriginsWorld(max_per_host=1)
        again = list[Any]()
        world.ask("/1")
        waiting, other = world.ask("/2"), world.ask("/3")
        waiting.addErrback(lambda _: again.append(world.ask("/4"))).addCallback(lambda _: other.cancel())
        world.pump()
        self.end(world)
        self.failureResultOf(again[0], gun.ShuttingDown)
        self.assertTrue(other.called)

    def test_shown(self) -> None:
        """What they are can be read."""
        world = OriginsWorld()
        world.ask()
        self.assertIn("1 with 1 connections", repr(world.origins))
        self.end(world)
        self.assertIn("closed", repr(world.origins))


class AgainTests(OriginsCase):
    """Requests that are sent again, where that is safe."""

    def kept(self, most: int = 1, **options: Any) -> OriginsWorld:
        """A world of HTTP/1.1 with `most` connections that have served."""
        world = OriginsWorld(max_per_host=most, **options)
        asked = [world.ask("/kept") for _ in range(most)]
        world.pump()
        for peer in world.peers:
            peer.send(OK)
        world.pump()
        for each in asked:
            self.body(world, each)
        return world

    def lose(self, world: OriginsWorld) -> None:
        """The server answers the latest request by closing, as one does that had closed already."""
        for peer in world.alive:
            if peer.requests and peer.requests[-1].target != b"/kept":
                peer.close()
        world.pump()

    def test_kept(self) -> None:
        """An idempotent request that a kept connection lost before an answer is sent again, once, by a new connection."""
        for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"):
            world = self.kept(2)
            asked = world.ask("/again", method=method)
            world.pump()
            self.lose(world)
            self.assertEqual([len(peer.requests) for peer in world.peers], [2, 1, 1])
            world.peer.send(b"HTTP/1.1 204 No\r\n\r\n")
            world.pump()
            self.successResultOf(asked)
            self.assertEqual(world.origins.info().repeated, 1)
            self.assertEqual(len(world.alive), 1)  # what was idle beside it was not trusted
            self.end(world)

    def test_not_twice(self) -> None:
        """A second loss is told."""
        world = self.kept()
        asked = world.ask("/again")
        world.pump()
        self.lose(world)
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)

    def test_not(self) -> None:
        """Not what is not idempotent, nor on a new connection, nor after a sign of life, nor where there was another reason."""
        world = self.kept()
        asked = world.ask("/post", method="POST", body=b"x")
        world.pump()
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)
        world = OriginsWorld()
        asked = world.ask("/new")
        world.pump()
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)
        for sign in (b"HTTP/1.1 103 Early\r\n\r\n", b"nonsense\r\n\r\n"):
            world = self.kept()
            asked = world.ask("/sign")
            world.pump()
            world.peer.send(sign)
            world.pump()
            self.lose(world)
            self.failureResultOf(asked, gun.StreamClosed, gun.ProtocolViolation)
            self.assertEqual(world.origins.info().repeated, 0)
            self.end(world)

    def test_never_used(self) -> None:
        """A connection that was idle without ever having been used is as little to be trusted."""
        world = OriginsWorld(max_per_host=2)
        first, second = world.ask("/1"), world.ask("/2")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        world.pump()
        self.assertEqual(len(world.peers), 2)
        third = world.ask("/3")
        world.pump()
        next(peer for peer in world.peers if peer.requests[0].target == b"/3").close()
        world.pump()
        self.assertEqual([request.target for request in world.peers[2].requests], [b"/3"])
        self.assertNoResult(first)
        self.assertNoResult(third)
        self.end(world)

    def test_producer(self) -> None:
        """Not where the content comes from a producer that has begun."""
        world = self.kept()
        body = Body()
        asked = world.ask("/put", method="PUT", body=body)
        world.pump()
        self.assertEqual(body.asked, ["start"])
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.assertEqual(body.asked, ["start", "stop"])
        self.end(world)

    def test_unprocessed(self) -> None:
        """What the server certainly did not process is sent again, whatever it is, at most twice."""
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        asked = world.ask("/post", method="POST", body=b"content")
        world.pump()
        for number in (1, 2, 3):
            self.assertNoResult(asked)
            self.assertEqual(len(world.peer.requests), number)
            self.assertEqual(world.peer.requests[-1].body, b"content")
            world.peer.reset(world.peer.requests[-1], 7)  # REFUSED_STREAM
            world.pump()
        self.failureResultOf(asked, gun.StreamRefused)
        self.assertEqual(world.origins.info().repeated, 2)
        self.end(world)

    def test_goaway(self) -> None:
        """What is above the last stream of a GOAWAY goes to another connection."""
        world = OriginsWorld(Http2Peer, protocols=["http2"], max_per_host=1)
        first, second = world.ask("/1", method="POST"), world.ask("/2", method="POST")
        world.pump()
        world.peer.goaway(world.peer.requests[0].stream_id)
        world.pump()
        self.assertEqual([[request.path for request in peer.requests] for peer in world.peers], [[b"/1", b"/2"], [b"/2"]])
        for peer in world.peers:
            for request in peer.requests:
                if request.path == b"/1" or peer is world.peers[1]:
                    peer.respond(request, 200, {}, request.path)
        world.pump()
        self.assertEqual([self.body(world, each) for each in (first, second)], [b"/1", b"/2"])
        self.end(world)

    def test_renewed_again_and_again(self) -> None:
        """A server that goes away after each request gets the others by as many connections as that takes; one that takes none does not."""
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        asked = [world.ask(f"/{number}") for number in range(6)]
        world.pump()
        for _ in range(6):
            peer = world.peer
            peer.goaway(peer.requests[0].stream_id)
            peer.respond(peer.requests[0], 200, {}, peer.requests[0].path)
            world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"/%d" % number for number in range(6)])
        self.assertEqual(world.attempts, 6)
        self.end(world)
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        refused = world.ask()
        world.pump()
        for _ in range(3):
            self.assertNoResult(refused)
            world.peer.goaway(0)
            world.pump()
        self.failureResultOf(refused, gun.GoAway)
        self.end(world)

    def test_producer_that_waited(self) -> None:
        """A producer that has not begun does no harm."""
        world = OriginsWorld(Http2Peer, protocols=["http2"], max_per_host=1)
        body = Body(length=4)
        asked = world.ask("/", method="POST", body=body)
        world.pump()
        self.assertEqual(body.asked, ["start"])
        body.consumer.write(b"data")
        body.finished.callback(None)
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual((self.body(world, asked), world.peer.requests[0].body), (b"/", b"data"))
        self.end(world)

    def test_content(self) -> None:
        """Content may be bytes, a list of them, or nothing."""
        for body, sent in ((b"x", b"x"), ([b"a", b"b"], b"ab"), (None, b""), (bytearray(b"y"), b"y")):
            world = OriginsWorld(h1)
            asked = world.ask(method="POST", body=body)
            world.pump()
            self.body(world, asked)
            self.assertEqual(world.peer.requests[0].body, sent)
            self.end(world)
