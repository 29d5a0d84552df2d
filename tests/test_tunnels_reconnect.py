"""After a loss: the first proxy is dialled again, SOCKS of the connection itself leads on again, tunnels that were asked for are not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.tunnels import PORT, TunnelCase, Way, spread
from twisted_gun.testing import RecordingReceiver


class ExplicitTests(TunnelCase):
    """Tunnels by CONNECT are not made again, as in Gun: the connection is one to the proxy again."""

    ways = ("Http", "Https", "Http2", "HttpInHttp", "HttpInHttp2", "Http2InHttp", "SocksInHttp")

    def lose(self, way: Way) -> None:
        way.factories[0].connections[-1].abort()
        way.pump()

    def test_not_made_again(self) -> None:
        """The old tunnels have ended for good; what the connection is asked for then is for the proxy, and says so."""
        way, top, told = self.told()
        self.lose(way)
        self.assertEqual(way.endpoints[way.hosts[0]].attempts, 2)
        self.assertEqual([type(event) for event in told.events[-2:]], [gun.Down, gun.Up])
        self.assertEqual([len(factory.tunnels) for factory in way.factories], [1] * len(way.factories))
        self.assertRaises(gun.BadState, top.get, "/")
        info = way.connection.info()
        self.assertEqual((info.origin_host, info.intermediaries), (way.hosts[0], ()))
        if way.proxies[0] in ("http", "https"):
            forwarded = way.connection.get("http://origin.example:8080/forwarded")
            self.assertIsNone(forwarded.tunnel)
            way.pump()
            (request,) = way.factories[0].requests
            self.assertEqual(
                (request.target, dict(request.headers)[b"host"]),
                (b"http://origin.example:8080/forwarded", b"%b:8080" % way.hosts[0].encode()),
            )
        self.end(way)

    def test_new_ones(self) -> None:
        """New ones can be made, again and again."""
        way = self.way()
        for number in range(3):
            top = way.ask(0, way.connection if number else None)
            body = top.get("/").await_body()
            way.pump()
            self.assertEqual(self.successResultOf(body), b"/")
            self.lose(way)
        self.assertEqual([down.reason is not None for down in way.owner.of(gun.Down)], [True] * 3)
        self.end(way)

    def test_on_up(self) -> None:
        """`on_up` is the place to make them again, each time."""
        bodies: list[bytes] = []
        made: list[gun.Tunnel] = []
        way = self.way()

        async def on_up(connection: gun.Connection) -> None:
            top: Any = connection
            for place in range(len(self.proxies)):
                if not self.proxies[place].startswith("socks"):
                    top = top.connect(way.destination(place + 1))
            made.append(top)
            await top.await_up()
            bodies.append(await top.get("/").await_body())

        way.options["on_up"] = on_up
        way.open()
        way.pump()
        for count in (1, 2, 3):
            self.assertEqual(bodies, [b"/"] * count)
            self.assertEqual(len(set(made)), count)
            self.lose(way)
        self.end(way)

    def test_waiting_in_the_tunnel(self) -> None:
        """What waited in a tunnel that was lost before it was up was not sent, ends once, and is not sent later."""
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told)
        way.endpoints[way.hosts[-1]].hang()
        top = way.ask()
        stream = top.get("/secret")
        way.pump()
        self.lose(way)
        way.endpoints[way.hosts[-1]].accept()
        way.advance(20)
        last = self.assert_each_ended_once(told, [stream, top])
        self.assertIsInstance(last[stream].reason, (gun.StreamError, gun.ProxyFailed))
        self.assertEqual((way.peers, [request for factory in way.factories for request in factory.requests]), ([], []))
        self.end(way)

    def test_waiting_for_the_connection(self) -> None:
        """What is asked for while it is down waits; a tunnel, and what is in it, too."""
        way, _, _ = self.told(retry_timeout=2.0)
        way.endpoints[way.hosts[0]].refuse(times=2)
        self.lose(way)
        way.advance(0)
        top = way.ask(0, way.connection)
        body = top.get("/", reply_to=None).await_body()
        way.pump()
        self.assertNoResult(body)
        way.advance(2)
        way.advance(2)
        self.assertEqual(self.successResultOf(body), b"/")
        self.end(way)

    def test_good_for_something(self) -> None:
        """A connection that served a request, if only in its tunnel, was no failure: it is made again at once, each time."""
        way = self.way()
        top = way.ask()
        for number in range(15):
            body = top.get("/").await_body()
            way.pump()
            self.assertEqual(self.successResultOf(body), b"/")
            self.lose(way)
            self.assertEqual(way.endpoints[way.hosts[0]].attempts, number + 2)
            top = way.ask(0, way.connection)
        self.end(way)

    def test_no_retry(self) -> None:
        """With retry=0 it is the end of all."""
        way, top, told = self.told(retry=0, quiet=True)
        stream = top.get("/")
        way.pump()
        ended = way.connection.when_terminated()
        self.lose(way)
        reason = self.successResultOf(ended)
        self.assertIsInstance(reason, gun.ConnectionFailed)
        self.assertIs(told.of(gun.Down)[0].reason, reason)
        self.assert_each_ended_once(told, [stream, top])
        self.assert_left_nothing(way)

    def test_given_up(self) -> None:
        """Where the proxy cannot be reached any more, what waited ends by ConnectFailed."""
        way, _, told = self.told(retry=2, retry_timeout=1.0)
        way.endpoints[way.hosts[0]].refuse()
        self.lose(way)
        tunnel = way.connection.connect({"host": "origin.example", "port": PORT})
        inside = tunnel.get("/")
        for _ in range(4):
            way.advance(1)
        last = self.assert_each_ended_once(told, [tunnel, inside])
        for event in last.values():
            self.assertIsInstance(event.reason, gun.ConnectFailed)
        self.assert_left_nothing(way)


class SocksTests(TunnelCase):
    """SOCKS of the connection itself is part of it."""

    proxies = ("socks5",)
    ways = ("Socks", "HttpInSocks", "Http2InSocks")

    def lose(self, way: Way) -> None:
        way.factories[0].connections[-1].abort()

    def test_made_again(self) -> None:
        """After the loss its tunnel is made again; what was asked for meanwhile goes through it."""
        way, _, told = self.told()
        kinds = [event.told_as for event in told.events if event.told_as in ("gun_up", "gun_down")]
        self.assertEqual(kinds, ["gun_up"])
        first = [event.protocol for event in told.of(gun.TunnelUp) if event.stream is None]
        self.lose(way)
        bodies = []
        if len(self.proxies) == 1:
            way.clock.advance(0)
            bodies.append(way.connection.get("/meanwhile", reply_to=None).await_body())
        way.pump()
        self.assertEqual([event.protocol for event in told.of(gun.TunnelUp) if event.stream is None], first * 2)
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/meanwhile"] * len(bodies))
        self.assertEqual(len(way.factories[0].tunnels), 2)
        for factory in way.factories[1:]:
            self.assertEqual(len(factory.tunnels), 1)
        self.end(way)

    def test_good_for_something(self) -> None:
        """A connection that served a request was no failure: it is made again at once, each time."""
        if len(self.proxies) != 1:
            return
        way = self.way()
        way.open()
        for number in range(15):
            body = way.connection.get("/").await_body()
            way.pump()
            self.assertEqual(self.successResultOf(body), b"/")
            self.lose(way)
            way.pump()
            self.assertEqual(way.endpoints[way.hosts[0]].attempts, number + 2)
        self.end(way)

    def test_good_for_nothing(self) -> None:
        """One whose proxy makes no tunnel was: after ten at once it waits, and in the end gives up."""
        if len(self.proxies) != 1:
            return
        way = self.way(retry=3, retry_timeout=1.0)
        way.factories[0].refuse = 5
        ended = way.open().when_terminated()
        for _ in range(20):
            way.advance(1)
        error = self.successResultOf(ended)
        assert isinstance(error, gun.ConnectFailed)
        self.assertEqual(getattr(error.reason, "error", None), "connection_refused")
        self.assertEqual(way.endpoints[way.hosts[0]].attempts, 4)
        self.assert_left_nothing(way)

    def test_order(self) -> None:
        """gun_up and gun_down alternate; each gun_up is followed by one gun_tunnel_up."""
        way, _, told = self.told()
        for _ in range(3):
            self.lose(way)
            way.pump()
        self.assert_told_in_order(told)
        names = [event.told_as for event in told.events if getattr(event, "stream", None) is None]
        self.assertEqual(names, ["gun_up", "gun_tunnel_up", *["gun_down", "gun_up", "gun_tunnel_up"] * 3])
        self.end(way)

    def test_waiting(self) -> None:
        """What waits while the proxy does not make the tunnel waits on, over as many connections as it takes."""
        if len(self.proxies) != 1:
            return
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told, retry_timeout=1.0)
        way.factories[0].refuse = 4
        conn = way.open()
        body = conn.get("/patient", reply_to=None).await_body(None)
        way.pump()
        way.advance(3)
        self.assertNoResult(body)
        self.assertGreater(len(way.factories[0].connections), 1)
        way.factories[0].refuse = None
        way.advance(2)
        self.assertEqual(self.successResultOf(body), b"/patient")
        self.end(way)

    def test_await_up(self) -> None:
        """await_up is for the connection to the proxy: "socks"; once the tunnel is there, for what is spoken behind it."""
        way = self.way()
        up: Deferred[str] = way.open().await_up()
        way.pump()
        self.assertEqual(self.successResultOf(up), "socks")
        if len(self.proxies) == 1:
            self.assertEqual(self.successResultOf(way.connection.await_up()), self.spoken)
        self.end(way)


globals().update(spread(__name__))
