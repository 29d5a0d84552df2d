"""What is left when a tunnel has ended: nothing, objects and delayed calls included."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tests.stage import answer
from tests.tunnels import TunnelCase, Way, spread
from twisted_gun.testing import Http2Peer, MemoryGun
from twisted_gun.wire.frames import ErrorCode


class CollectedCase(TunnelCase):
    """Without the garbage collector's help, unless it is asked for."""

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)


class EndedTests(CollectedCase):
    """A tunnel that has ended, in whatever way."""

    proxies = ("h2c",)
    ways = ("Http", "HttpInHttp2", "SocksInHttp2")
    HOW = ("cancelled", "shut down", "closed", "reset", "violated", "refused", "unanswered", "lost", "in TLS")

    def ended(self, how: str) -> tuple[Way, Any, Any]:
        """A way whose last tunnel has ended so, and a stream in it."""
        told = Quiet()
        way = self.way(quiet=True, owner=told, reply_to=told, retry_timeout=0.5)
        if how == "refused":
            way.factories[-1].refuse = 5 if self.proxies[-1] == "socks5" else 403
        elif how == "unanswered":
            way.endpoints[way.hosts[-1]].hang()
        elif how == "in TLS":
            way.mute()
        top = way.ask()
        stream = top.get("/")
        way.pump()
        if how == "cancelled" or (how == "in TLS" and self.spoken == "http"):
            top.cancel()
        elif how == "shut down":
            top.shutdown()
            way.peer.answer()
        elif how == "closed":
            way.peer.answer()
            way.peer.close()
        elif how == "reset":
            way.peer.abort()
        elif how == "violated":
            way.peer.send(b"\0" * 30)
        elif how == "lost":
            way.factories[0].connections[0].abort()
        for _ in range(4):
            way.advance(20)
        self.assertTrue(top.ended, how)
        self.assertTrue(stream.ended, how)
        return way, top, stream

    def test_freed(self) -> None:
        """The connection knows nothing of it and of what was in it: they can be collected, and once it is closed the connection too."""
        ways, ghosts = [], {}
        for how in self.HOW:
            way, top, stream = self.ended(how)
            way.tunnels.clear()
            ways.append(way)
            ghosts[how] = weakref.ref(top), weakref.ref(stream), weakref.ref(way.connection)
            del way, top, stream
        gc.collect()
        for how, (tunnel, inside, connection) in ghosts.items():
            self.assertEqual((tunnel(), inside()), (None, None), how)
            self.assertIsNotNone(connection())
        while ways:
            ways[-1].connection.close()
            ways.pop().pump()
        gc.collect()
        self.assertEqual([how for how, (*_, connection) in ghosts.items() if connection() is not None], [])

    def test_no_timers(self) -> None:
        """It leaves no delayed call behind, on a connection that lives on."""
        for how in self.HOW:
            way, _, _ = self.ended(how)
            way.advance(30)
            self.assertEqual(way.clock.getDelayedCalls(), [], how)
            self.end(way)


class Quiet:
    """A receiver that keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("gun_"):
            return self._told
        raise AttributeError(name)

    def _told(self, event: Any) -> None:
        """Nothing is kept."""


class GrowthTests(CollectedCase):
    """Many tunnels over one connection to a proxy of HTTP/2."""

    ways = ()

    def setUp(self) -> None:
        super().setUp()
        self.world = MemoryGun(protocols=["http2"], reply_to=Quiet())
        self.world.pump()

    def tunnel(self, number: int) -> None:
        """One, with a request in it, and one of the ways to an end."""
        world, proxy = self.world, self.world.peer
        assert isinstance(proxy, Http2Peer)
        tunnel = world.connection.connect({"host": "origin.example", "port": 80})
        tunnel.get("/")
        world.pump()
        request = proxy.requests.pop()
        how = number % 5
        if how == 0:
            proxy.respond(request, 403, {}, b"no")
        else:
            proxy.respond(request, 200, fin=False)
            proxy.send_data(request, answer(b"answer"), fin=how == 1)
        world.pump()
        if how == 2:
            proxy.reset(request, ErrorCode.CONNECT_ERROR)
        elif how == 3:
            tunnel.cancel()
        elif how == 4:
            tunnel.shutdown()
            world.pump()
            proxy.send_data(request, b"", fin=True)
        world.pump()
        self.assertTrue(tunnel.ended, how)
        del proxy.frames[1:]  # the proxy's memory is not what is looked at
        proxy._known.clear()
        proxy._streams.clear()

    def objects(self) -> int:
        gc.collect()
        return len(gc.get_objects())

    def test_a_thousand(self) -> None:
        """They leave nothing in the tables of the connection, and no objects."""
        for number in range(100):
            self.tunnel(number)
        before = self.objects()
        for number in range(1000):
            self.tunnel(number)
        self.assertLess(self.objects() - before, 100)
        connection = self.world.connection
        route, turn, core = connection._route, connection._turn, connection._route.hop.core  # type: ignore[union-attr]
        self.assertEqual((route.layers, route._live, len(route._pending)), ({}, {}, 0))
        self.assertEqual((len(turn.unread), len(turn.kept), len(turn.woken)), (0, 0, 0))
        self.assertEqual((core._streams, core._by_key, core._uploads), ({}, {}, {}))
        self.assertEqual(len(self.world.peers), 1)
        connection.close()
        self.world.pump()
        self.assert_nothing_left(self.world)


globals().update(spread(__name__))
