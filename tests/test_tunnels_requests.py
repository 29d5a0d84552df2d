"""Requests through tunnels: those that wait, in what order, for whom, which way they may be sent, and when they are refused."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import EMPTY, answer
from tests.tunnels import PORT, TunnelCase, Way, spread
from twisted_gun.testing import Http2Peer, RecordingReceiver

AUTHORITY = b"origin.example:8080"


def targets(way: Way) -> list[bytes]:
    """What the origin was asked for, in order."""
    return [getattr(request, "path", None) or request.target for peer in way.peers for request in peer.requests]


def hosts(way: Way) -> set[bytes]:
    """Whom it was asked as."""
    found = set()
    for peer in way.peers:
        for request in peer.requests:
            found.add(request.authority if isinstance(peer, Http2Peer) else dict(request.headers)[b"host"])
    return found


class WaitingTests(TunnelCase):
    """Nobody need wait for a tunnel before asking: requests do."""

    def test_all_at_once(self) -> None:
        """Connection, tunnels and requests, all asked for before anything was dialled: the requests go through in their order."""
        way = self.way()
        top = way.ask()
        bodies = [top.get(f"/{number}").await_body() for number in range(5)]
        self.assertEqual(way.peers, [])
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/%d" % number for number in range(5)])
        self.assertEqual(targets(way), [b"/%d" % number for number in range(5)])
        self.assertEqual(hosts(way), {AUTHORITY})
        self.end(way)

    def test_state(self) -> None:
        """What waits says so, what does not says so too."""
        way = self.way(quiet=True)
        stream = way.ask().get("/")
        self.assertEqual(stream.info().state, "waiting")
        way.pump()
        self.assertEqual((stream.info().state, stream.tunnel), ("running", way.tunnels[-1] if way.tunnels else None))
        self.end(way)

    def test_between_the_steps(self) -> None:
        """Requests asked for at any time on the way, between any two steps of the clock, arrive in the order they were asked for."""
        way = self.way()
        top = way.ask()
        bodies = []
        for number in range(60):
            bodies.append(top.get(f"/{number}").await_body())
            for _ in range(2):
                calls = way.clock.getDelayedCalls()
                if calls:
                    call = min(calls, key=lambda call: call.getTime())
                    if call.getTime() <= way.clock.seconds():
                        call.reset(0)
                        way.clock.advance(0)
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/%d" % number for number in range(60)])
        self.assertEqual(targets(way), [b"/%d" % number for number in range(60)])
        self.end(way)

    def test_uploads(self) -> None:
        """Content given while its request waits is sent behind it."""
        way = self.way()
        top = way.ask()
        whole = top.post("/whole", (), b"content")
        pieces = top.headers("POST", "/pieces", {"content-length": "6"})
        pieces.data(b"abc")
        pieces.data(b"def", fin=True)
        bodies = whole.await_body(), pieces.await_body()
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"/whole", b"/pieces"])
        self.assertEqual([request.body for request in way.peer.requests], [b"content", b"abcdef"])
        self.end(way)

    def test_cancelled_while_waiting(self) -> None:
        """What is cancelled while it waits is never sent."""
        way = self.way()
        top = way.ask()
        streams = [top.get(f"/{number}") for number in range(3)]
        streams[1].cancel()
        way.pump()
        self.assertEqual(targets(way), [b"/0", b"/2"])
        self.end(way)

    def test_max_waiting(self) -> None:
        """No more than max_waiting wait in a tunnel; one more ends by LimitReached, in a turn of its own, and the others are sent."""
        way = self.way(max_waiting=3)
        top = way.ask()
        bodies = [top.get("/").await_body() for _ in range(4)]
        self.assertNoResult(bodies[3])
        way.pump()
        error = self.failureResultOf(bodies[3], gun.LimitReached).value
        self.assertEqual((error.name, error.limit), ("max_waiting", 3))
        self.assertEqual([self.successResultOf(body) for body in bodies[:3]], [b"/"] * 3)
        self.end(way)

    def test_headers_of_the_caller(self) -> None:
        """A Host of the caller's goes through as it is."""
        way = self.way()
        body = way.ask().get("/", {"host": "elsewhere.example"}).await_body()
        way.pump()
        self.successResultOf(body)
        self.assertEqual(hosts(way), {b"elsewhere.example"})
        self.end(way)


class WholeTests(TunnelCase):
    """Where the whole connection becomes the tunnel, the connection's own verbs go through it."""

    ways = ("Http", "Https", "HttpInHttp", "Socks", "SocksInHttp", "HttpInSocks")

    def test_plain_verbs(self) -> None:
        """conn.get goes through the tunnel, with the origin's Host; so it does when it was asked for while CONNECT was pending."""
        way = self.way()
        way.ask()
        before = way.connection.get("/before").await_body()
        way.pump()
        after = way.connection.get("/after").await_body()
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in (before, after)], [b"/before", b"/after"])
        self.assertEqual((targets(way), hosts(way)), ([b"/before", b"/after"], {AUTHORITY}))
        self.end(way)

    def test_mixed(self) -> None:
        """Whichever verbs they were asked for by, requests are sent in their order, and are the tunnel's."""
        way, top = self.up()
        streams = [(way.connection if number % 2 else top).get(f"/{number}") for number in range(6)]
        way.pump()
        self.assertEqual(targets(way), [b"/%d" % number for number in range(6)])
        self.assertEqual({stream.tunnel for stream in streams}, {way.tunnels[-1] if way.tunnels else None})
        self.end(way)

    def test_info(self) -> None:
        """info() tells of the origin at the end; the connection's protocol is the one spoken there."""
        way, _ = self.up()
        info = way.connection.info()
        self.assertEqual((info.origin_host, info.origin_port, info.protocol), ("origin.example", PORT, self.spoken))
        self.assertEqual(len(info.intermediaries), len(self.proxies))
        self.assertEqual(self.successResultOf(way.connection.await_up()), self.spoken)
        self.end(way)


class OptionTests(TunnelCase):
    """The request option `tunnel`."""

    ways = ("Http", "Http2", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")

    def test_every_verb(self) -> None:
        """It sends any verb of the connection through the tunnel."""
        way, tunnel = self.up()
        conn = way.connection
        streams = [
            conn.get("/get", tunnel=tunnel),
            conn.head("/head", tunnel=tunnel),
            conn.options("/options", tunnel=tunnel),
            conn.delete("/delete", tunnel=tunnel),
            conn.post("/post", (), b"x", tunnel=tunnel),
            conn.put("/put", (), b"x", tunnel=tunnel),
            conn.patch("/patch", (), b"x", tunnel=tunnel),
            conn.request("PURGE", "/request", (), b"x", tunnel=tunnel),
            conn.headers("POST", "/headers", {"content-length": "1"}, tunnel=tunnel),
        ]
        streams[-1].data(b"x", fin=True)
        way.pump()
        names = "get head options delete post put patch request headers".split()
        self.assertEqual(targets(way), [b"/" + name.encode() for name in names])
        methods = [request.method for request in way.peer.requests]
        self.assertEqual(methods, [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"PUT", b"PATCH", b"PURGE", b"POST"])
        for stream in streams:
            self.assertIs(stream.tunnel, tunnel)
            self.assertIs(stream.connection, conn)
            self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        self.end(way)

    def test_connect(self) -> None:
        """A further tunnel can be asked for in it: the origin is a proxy then, which refuses or not."""
        way, tunnel = self.up(quiet=True)
        further = way.connection.connect({"host": "further.example", "port": 1}, tunnel=tunnel)
        way.pump()
        (request,) = way.peer.requests
        self.assertEqual((request.method, further.tunnel), (b"CONNECT", tunnel))
        self.end(way)

    def test_none(self) -> None:
        """None is the connection, as if it was left out; over HTTP/2 that is the proxy itself."""
        way, tunnel = self.up()
        stream = way.connection.get("/", tunnel=None)
        self.assertIs(stream.tunnel, tunnel if self.whole else None if self.proxies[0] == "h2c" else way.tunnels[0])
        self.end(way)

    def test_other_streams(self) -> None:
        """Any other stream is no tunnel: BadState, as Gun says it. What is no stream at all is no value for the option."""
        way, tunnel = self.up(quiet=True)
        conn, other = way.connection, tunnel.get("/")
        for ask in (conn.get, conn.delete, conn.ws_upgrade, tunnel.get):
            error = self.assertRaises(gun.BadState, ask, "/", tunnel=other)
            self.assertEqual(str(error), "The stream is not a tunnel.")
        self.assertRaises(gun.BadState, conn.connect, {"host": "a.example", "port": 1}, tunnel=other)
        self.assertRaises(gun.BadState, conn.ping, tunnel=other)
        for wrong in ("tunnel", 7, conn, object()):
            error = self.assertRaises(gun.OptionError, conn.get, "/", tunnel=wrong)
            self.assertEqual(error.option, "tunnel")
        self.end(way)

    def test_of_another_connection(self) -> None:
        """So is a tunnel of another connection."""
        (way, tunnel), (another, theirs) = self.up(), self.up()
        error = self.assertRaises(gun.BadState, way.connection.get, "/", tunnel=theirs)
        self.assertEqual(str(error), "The stream is not a tunnel.")
        self.assertRaises(gun.BadState, tunnel.get, "/", tunnel=theirs)
        for each in (way, another):
            self.end(each)

    def test_no_data(self) -> None:
        """A tunnel in which HTTP is spoken takes requests, and no bytes of its own, up or not."""
        way = self.way(quiet=True)
        tunnel = way.ask()
        for words in ("not up yet", "takes requests"):
            error = self.assertRaises(gun.BadState, tunnel.data, b"bytes")
            self.assertIn(words, str(error))
            self.assertRaises(gun.BadState, tunnel.ws_send, "frame")
            way.pump()
        self.assertEqual(way.peer.requests, [])
        self.end(way)

    def test_reply_to_and_flow(self) -> None:
        """The other options of a request mean in a tunnel what they mean elsewhere."""
        way, tunnel = self.up()
        told = RecordingReceiver()
        tunnel.get("/", reply_to=told, flow=1, invalid_request_headers="ignore")
        way.pump()
        self.assertEqual(told.names(), ["gun_response", "gun_data"])
        self.assertRaises(gun.OptionError, tunnel.get, "/", flow=0)
        self.assertRaises(gun.OptionError, tunnel.get, "/", unknown=1)
        self.end(way)


class Http1ConnectTests(TunnelCase):
    """CONNECT over HTTP/1.1 wants the connection to itself."""

    ways = ("Http",)
    origins = ("http",)
    MESSAGE = "CONNECT can only be used with HTTP/1.1 when no other streams are active."
    destination = {"host": "origin.example", "port": PORT}  # noqa: RUF012

    def proxy(self) -> Way:
        """A way whose proxy is up, and forwards requests."""
        way = self.way(quiet=True)
        way.open()
        way.pump()
        return way

    def test_stream_active(self) -> None:
        """With another stream under way it raises BadState; nothing is sent, and that stream goes on."""
        way = self.proxy()
        stream = way.connection.get("http://origin.example:8080/")
        way.pump()
        error = self.assertRaises(gun.BadState, way.connection.connect, self.destination)
        self.assertEqual(str(error), self.MESSAGE)
        way.peer.answer()
        way.pump()
        self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        self.assertEqual(way.factories[0].tunnels, [])
        self.end(way)

    def test_afterwards(self) -> None:
        """Once that has ended it works."""
        way = self.proxy()
        way.connection.get("http://origin.example:8080/")
        way.pump()
        way.peer.answer()
        way.pump()
        tunnel = way.connection.connect(self.destination)
        way.pump()
        self.assertEqual(self.successResultOf(tunnel.await_up()), "http")
        self.end(way)

    def test_asked_for_while_not_up(self) -> None:
        """Where the connection was not up yet, it is an event, as soon as that is known; the other stream goes on."""
        way = self.way()
        conn = way.open()
        body = conn.get("http://origin.example:8080/").await_response()
        tunnel = conn.connect(self.destination)
        up, inside = tunnel.await_up(), tunnel.get("/inside").await_response()
        way.pump()
        self.assertEqual(str(self.failureResultOf(up, gun.BadState).value), self.MESSAGE)
        self.failureResultOf(inside, gun.BadState)
        self.assertEqual(self.successResultOf(body).status, 200)
        self.assertTrue(tunnel.ended)
        self.end(way)

    def test_two_connects(self) -> None:
        """A second CONNECT behind a pending one is meant for the proxy at the tunnel's end, as any request is; it waits for that."""
        way = self.way(quiet=True)
        conn = way.open()
        first = conn.connect(self.destination)
        second = conn.connect({"host": "second.example", "port": 1})
        way.pump()
        self.assertEqual(self.successResultOf(first.await_up()), "http")
        self.assertEqual(targets(way), [b"second.example:1"])
        self.assertIs(second.tunnel, first)
        self.end(way)

    def test_cancelled_behind(self) -> None:
        """A request that waits behind CONNECT can be cancelled."""
        way = self.way()
        conn = way.open()
        way.pump()
        conn.connect(self.destination)
        cancelled, kept = conn.get("/cancelled"), conn.get("/kept").await_body()
        cancelled.cancel()
        way.pump()
        self.assertEqual(self.successResultOf(kept), b"/kept")
        self.assertEqual(targets(way), [b"/kept"])
        self.end(way)


class EndedTests(TunnelCase):
    """A tunnel that has ended takes no more requests."""

    ways = ("Http", "Http2", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")

    def check(self, way: Way, tunnel: Any) -> None:
        self.assertTrue(tunnel.ended)
        for ask in (tunnel.get, tunnel.ws_upgrade):
            error = self.assertRaises(gun.BadState, ask, "/")
            self.assertIn("the tunnel has ended", str(error))
        self.assertRaises(gun.BadState, way.connection.get, "/", tunnel=tunnel)
        self.assertRaises(gun.BadState, tunnel.connect, {"host": "a.example", "port": 1})
        self.assertRaises(gun.BadState, tunnel.ping)
        self.failureResultOf(tunnel.await_up(), gun.GunError)
        self.assertIsNone(tunnel.info())
        tunnel.cancel()
        tunnel.shutdown()
        tunnel.update_flow(1)
        tunnel.flush()
        self.end(way)

    def test_cancelled(self) -> None:
        """By cancel()."""
        way, tunnel = self.up()
        tunnel.cancel()
        way.pump()
        self.check(way, tunnel)

    def test_closed_by_the_peer(self) -> None:
        """By its peer."""
        way, tunnel = self.up()
        way.peer.close()
        way.pump()
        self.check(way, tunnel)

    def test_shut_down(self) -> None:
        """By shutdown()."""
        way, tunnel = self.up()
        tunnel.shutdown()
        self.assertRaises((gun.ShuttingDown, gun.BadState), tunnel.get, "/")
        way.pump()
        self.check(way, tunnel)

    def test_refused(self) -> None:
        """By the proxy."""
        way = self.way()
        way.factories[-1].refuse = 5 if self.proxies[-1].startswith("socks") else 503
        tunnel = way.ask()
        way.pump()
        self.check(way, tunnel)

    def test_connection_closed(self) -> None:
        """With the connection."""
        way, tunnel = self.up()
        way.connection.close()
        self.assertTrue(tunnel.ended)
        self.assertRaises(gun.ShuttingDown, tunnel.get, "/")
        way.pump()
        self.assert_left_nothing(way)


class LimitTests(TunnelCase):
    """The limits of what is spoken in a tunnel are those of a connection that speaks it."""

    ways = ("Http", "Http2", "Http2InHttp2", "Socks")
    origin = "h2c"
    origins = ("h2", "h2c")

    def test_concurrency(self) -> None:
        """Beyond what the origin allows at a time, a request is refused at once, as Gun does."""
        way, top = self.up(peer=lambda: Http2Peer(settings={"max_concurrent_streams": 1}))
        first, second = top.get("/1"), top.get("/2")
        way.pump()
        error = self.failureResultOf(second.await_response(), gun.StreamRefused).value
        self.assertEqual(str(error), "Maximum concurrency limit has been reached.")
        way.peer.respond(way.peer.requests[0])
        way.pump()
        self.assertEqual(self.successResultOf(first.await_response()).status, 200)
        self.end(way)

    def test_max_waiting(self) -> None:
        """Or waits, with http2_opts.max_waiting."""
        settings = {"max_concurrent_streams": 1}
        way, top = self.up(peer=lambda: Http2Peer(settings=settings), http2_opts={"max_waiting": 1})
        bodies = [top.get(f"/{number}").await_response() for number in range(3)]
        way.pump()
        self.failureResultOf(bodies[2], gun.LimitReached)
        for number in range(2):
            self.assertEqual(len(way.peer.requests), number + 1)
            way.peer.respond(way.peer.requests[number])
            way.pump()
            self.assertEqual(self.successResultOf(bodies[number]).status, 200)
        self.end(way)


class OwnOptionsTests(TunnelCase):
    """A protocol's own options, in its pair."""

    origin = "h2c"
    ways = ("Http", "Http2")
    origins = ("h2c",)

    def test_own_options(self) -> None:
        """They are for that tunnel only, instead of those of the connection."""
        way = self.way(peer=lambda: Http2Peer(settings={"max_concurrent_streams": 1}))
        end = {**way.destination(1), "protocols": [("http2", {"max_waiting": 1})]}
        tunnel = way.open().connect(end)
        way.pump()
        responses = [tunnel.get("/").await_response() for _ in range(3)]
        way.pump()
        self.failureResultOf(responses[2], gun.LimitReached)
        self.end(way)
        for response in responses[:2]:
            self.failureResultOf(response, gun.StreamError)


class PipelineTests(TunnelCase):
    """HTTP/1.1 in a tunnel is pipelined as ever."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp2")
    origins = ("https", "http")

    def test_pipelined(self) -> None:
        """Requests follow each other without waiting, responses come in their order, however many arrive at once."""
        way, top = self.up(quiet=True)
        bodies = [top.get(f"/{number}").await_body() for number in range(3)]
        way.pump()
        self.assertEqual(targets(way), [b"/0", b"/1", b"/2"])
        way.peer.send(answer(b"one") + EMPTY + answer(b"three"))
        way.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"one", b"", b"three"])
        self.end(way)


globals().update(spread(__name__))
