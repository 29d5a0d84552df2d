"""`twisted_gun.origins`: which connections there are, and who shares them."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

import twisted_gun as gun
from tests.origins_stage import OriginsCase, OriginsWorld, h1, h2
from tests.stage import LAST, OK, answer, answering, every_answer
from twisted_gun.origins import Identity, Origins
from twisted_gun.testing import Http2Peer, MemoryEndpoint, ScriptedPeer
from twisted_gun.wire.frames import PREFACE, FrameType, frame


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
