"""What else goes over HTTP goes in tunnels too: websockets, pushes, interim responses, trailers, and upgrades to anything."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import CHUNKED, OK, SWITCH, UPGRADE
from tests.tunnels import PROXIES, TunnelCase, Way, spread
from twisted_gun.testing import Http2WebsocketPeer, RecordingReceiver, WebsocketPeer


class WebsocketCase(TunnelCase):
    """Ways to an origin that speaks the websocket protocol."""

    ways = ("Http", "Https", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp", "SocksInHttp2", "Deep")
    origins = ("h2", "https", "http")

    def way(self, end: dict[str, Any] | None = None, **options: Any) -> Way:
        make: Any = Http2WebsocketPeer if self.spoken == "http2" else WebsocketPeer
        return super().way(peer=lambda: make(**{"echo": True, **(end or {})}), **options)

    @property
    def lives_on(self) -> bool:
        """Whether the first proxy's connection lives on when a tunnel through it ends."""
        return PROXIES[self.proxies[0]][1] == "http2"

    def frames(self, told: RecordingReceiver) -> list[Any]:
        return [event.frame for event in told.of(gun.Ws)]


class WebsocketTests(WebsocketCase):
    """Websockets in tunnels."""

    def test_messages(self) -> None:
        """Opened while nothing is up yet, it is told its messages; stream and tunnel know each other."""
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told)
        stream = way.ask().ws_upgrade("/")
        way.pump()
        stream.ws_send(["hello", b"bytes"])
        way.pump()
        self.assertEqual(self.frames(told), [gun.Text("hello"), gun.Binary(b"bytes")])
        self.assertTrue(stream.ws_open)
        self.assertIs(stream.tunnel, way.tunnels[-1] if way.tunnels else None)
        self.assertEqual(len(stream.info().intermediaries), len(self.proxies))
        self.assertEqual(way.peer.end.handshake.authority, b"origin.example:8080")
        self.end(way)

    def test_options(self) -> None:
        """By the connection's verb, with the option `tunnel`, among those of the request or of the websocket as in Gun."""
        way, top = self.up()
        if not way.tunnels:
            return
        for stream in (
            way.connection.ws_upgrade("/", tunnel=top, reply_to=None),
            *([way.connection.ws_upgrade("/", ws_opts={"tunnel": top}, reply_to=None)] if self.spoken == "http2" else ()),
        ):
            upgraded = stream.await_upgrade()
            way.pump()
            self.successResultOf(upgraded)
            self.assertIs(stream.tunnel, top)
        self.end(way)

    def test_the_whole(self) -> None:
        """Over HTTP/1.1 in a whole tunnel the websocket is all of it: conn.ws_send sends on it, and so does the tunnel's end."""
        way, top = self.up()
        stream = top.ws_upgrade("/", reply_to=None)
        way.pump()
        self.successResultOf(stream.await_upgrade())
        if self.spoken == "http2":
            self.assertRaises(gun.BadState, way.connection.ws_send, "more")
        elif self.whole:
            way.connection.ws_send("by the connection")
            way.pump()
            self.assertEqual(self.successResultOf(stream.await_event()).frame, gun.Text("by the connection"))
            self.assertEqual(way.connection.info().protocol, "ws")
            self.assertRaises(gun.BadState, top.get, "/")
        else:
            self.assertRaises(gun.BadState, way.connection.ws_send, "more")
            self.assertRaises(gun.BadState, top.get, "/")
        self.end(way)

    def test_closing_handshake(self) -> None:
        """A Close is answered and told; over HTTP/2 inside the tunnel lives on, over HTTP/1.1 it ends with it, in good order."""
        for by_us in (True, False):
            told = RecordingReceiver()
            way, top = self.up(owner=told, reply_to=told)
            stream = top.ws_upgrade("/")
            way.pump()
            if by_us:
                stream.ws_send(gun.Close(1000, "bye"))
            else:
                way.peers[0].end.close(1000, "bye")
            way.pump()
            last = self.assert_each_ended_once(told, [stream])[stream]
            self.assertEqual(last.frame, gun.Close(1000, "" if by_us else "bye"))
            self.assertEqual(told.of(gun.Error), [])
            for tunnel in way.tunnels[-1:]:
                self.assertEqual(tunnel.ended, self.spoken != "http2")
                if tunnel.ended:
                    self.assertEqual(self.assert_each_ended_once(told, [tunnel])[tunnel], gun.Data(stream=tunnel, fin=True, data=b""))
            downs = self.assert_lists(told)
            if self.lives_on or self.spoken == "http2":
                self.assertEqual(downs, [])
            elif self.whole:
                self.assertEqual((downs[0].protocol, downs[0].reason, downs[0].killed_streams), ("ws", None, ()))
            self.end(way)

    def test_shutdown(self) -> None:
        """shutdown() of tunnel or connection sends Close with 1001, and ends when it is answered."""
        for what in ("tunnel", "connection"):
            told = RecordingReceiver()
            way, top = self.up(owner=told, reply_to=told)
            stream = top.ws_upgrade("/")
            way.pump()
            (top if what == "tunnel" and way.tunnels else way.connection).shutdown()
            way.pump()
            self.assertEqual(way.peers[0].end.frames, [gun.Close(1001)])
            self.assertEqual(self.assert_each_ended_once(told, [stream])[stream].frame, gun.Close(1001))
            for tunnel in way.tunnels[-1:]:
                self.assert_each_ended_once(told, [tunnel])
            if what == "connection":
                self.assertEqual(way.connection.info().state_name, "terminated")
            self.end(way)

    def test_lost(self) -> None:
        """Lost without a Close, at the origin or at the first proxy, it ends by an error; gun_down lists it where the connection went."""
        for where in ("origin", "proxy"):
            told = RecordingReceiver()
            way, top = self.up(owner=told, reply_to=told)
            stream = top.ws_upgrade("/")
            way.pump()
            if where == "origin":
                way.peers[0].transport.abortConnection()
            else:
                way.factories[0].connections[0].abort()
            way.pump()
            last = self.assert_each_ended_once(told, [stream, *way.tunnels[-1:]])
            self.assertIsInstance(last[stream], gun.Error)
            downs = self.assert_lists(told)
            if where == "proxy" or self.whole:
                self.assertIn(stream, downs[0].killed_streams)
            elif self.lives_on:
                self.assertEqual(downs, [])
            self.end(way)

    def test_refused(self) -> None:
        """A refusal is the response; HTTP/1.1 in the tunnel goes on to be used."""
        way, top = self.up(end={"refuse": 403})
        stream = top.ws_upgrade("/", reply_to=None)
        upgraded = stream.await_upgrade()
        way.pump()
        self.assertEqual(self.failureResultOf(upgraded, gun.UpgradeRefused).value.response.status, 403)
        again = top.ws_upgrade("/", reply_to=None).await_upgrade()
        way.pump()
        self.failureResultOf(again, gun.UpgradeRefused)
        self.assertEqual(len(way.peers), 1)
        self.end(way)

    def test_cancelled(self) -> None:
        """Cancelled, it tells no more; over HTTP/2 inside nothing else ends."""
        told = RecordingReceiver()
        way, top = self.up(owner=told, reply_to=told)
        stream = top.ws_upgrade("/")
        way.pump()
        stream.cancel()
        way.pump()
        self.assert_cancelled(told, stream)
        for tunnel in way.tunnels[-1:]:
            self.assertEqual(tunnel.ended, self.spoken != "http2")
        if self.lives_on:
            self.assertEqual(told.of(gun.Down), [])
        self.end(way)

    def test_pings(self) -> None:
        """Its keepalive pings go through the tunnel; unanswered, they end it."""
        told = RecordingReceiver()
        way, top = self.up(owner=told, reply_to=told, end={"answer_pings": False}, ws_opts={"keepalive": 5.0})
        stream = top.ws_upgrade("/")
        way.pump()
        way.advance(5)
        self.assertEqual([type(frame) for frame in way.peers[0].end.frames], [gun.Ping])
        for _ in range(10):
            way.advance(5)
        self.assertIsInstance(self.assert_each_ended_once(told, [stream])[stream], (gun.Error, gun.Ws))
        self.end(way)

    def test_flow(self) -> None:
        """Its flow is its own."""
        told = RecordingReceiver()
        way, top = self.up(owner=told, reply_to=told)
        stream = top.ws_upgrade("/", flow=1)
        way.pump()
        for text in ("one", "two", "three"):
            way.peer.end.send(text)
        way.pump()
        self.assertEqual(self.frames(told), [gun.Text("one")])
        stream.update_flow(5)
        way.pump()
        self.assertEqual(self.frames(told), [gun.Text("one"), gun.Text("two"), gun.Text("three")])
        self.end(way)


class Http2Tests(TunnelCase):
    """What HTTP/2 has besides requests."""

    origin = "h2c"
    origins = ("h2", "h2c")
    ways = ("Http", "Http2", "Socks", "Http2InHttp2", "HttpInHttp2", "SocksInHttp2")

    def test_push(self) -> None:
        """A push inside a tunnel is that tunnel's: its stream says so, its URI is the origin's."""
        way, top, told = self.told(quiet=True, http2_opts={"enable_push": True})
        stream = top.get("/")
        way.pump()
        peer = way.peer
        scheme = "https" if self.origin == "h2" else "http"
        pushed = peer.push(peer.requests[0], "/pushed", scheme=scheme)
        peer.respond(peer.requests[0], 200, {}, b"asked for")
        peer.respond(pushed, 200, {}, b"pushed")
        way.pump()
        (push,) = told.of(gun.Push)
        self.assertEqual((push.stream, push.uri), (stream, f"{scheme}://origin.example:8080/pushed".encode()))
        self.assertIs(push.pushed_stream.tunnel, way.tunnels[-1] if way.tunnels else None)
        last = self.assert_each_ended_once(told, [stream, push.pushed_stream])
        self.assertEqual(last[push.pushed_stream].data, b"pushed")
        self.end(way)

    def test_push_for_another(self) -> None:
        """An origin speaks for itself only: by its scheme, whatever that of the proxy is, and its authority, which is not the proxy's."""
        way, top, told = self.told(quiet=True, http2_opts={"enable_push": True})
        top.get("/")
        way.pump()
        peer = way.peer
        for wrong in ({"scheme": "http" if self.origin == "h2" else "https"}, {"authority": f"{way.hosts[0]}:8080"}):
            promise = {"scheme": "https" if self.origin == "h2" else "http", **wrong}
            pushed = peer.push(peer.requests[0], "/pushed", **promise)
            way.pump()
            self.assertIsNotNone(pushed.reset)
        self.assertEqual(told.of(gun.Push), [])
        self.end(way)

    def test_push_cut_off(self) -> None:
        """One that is under way when the tunnel ends, ends once."""
        way, top, told = self.told(quiet=True, http2_opts={"enable_push": True})
        stream = top.get("/")
        way.pump()
        way.peer.push(way.peer.requests[0], "/pushed", scheme="https" if self.origin == "h2" else "http")
        way.pump()
        way.peer.abort()
        way.pump()
        (push,) = told.of(gun.Push)
        self.assert_each_ended_once(told, [stream, push.pushed_stream, *way.tunnels[-1:]])
        self.end(way)

    def test_settings(self) -> None:
        """The origin's settings are told, as those of the first hop are."""
        way, _, told = self.told(http2_opts={"notify_settings_changed": True})
        told.clear()
        way.peer.settings(max_concurrent_streams=7)
        way.pump()
        (notify,) = told.of(gun.Notify)
        self.assertEqual((notify.type, notify.info), ("settings_changed", {"max_concurrent_streams": 7}))
        self.end(way)

    def test_interim_and_trailers(self) -> None:
        """Interim responses and trailers."""
        way, top, told = self.told(quiet=True)
        stream = top.get("/")
        way.pump()
        way.peer.inform(way.peer.requests[0], 103, {"x": "y"})
        way.peer.respond(way.peer.requests[0], 200, {}, b"content", trailers={"x-sum": "1"})
        way.pump()
        events = [event.told_as for event in told.events if getattr(event, "stream", None) is stream]
        self.assertEqual(events, ["gun_inform", "gun_response", "gun_data", "gun_trailers"])
        self.end(way)


class Http1Tests(TunnelCase):
    """What HTTP/1.1 has besides requests."""

    origins = ("https", "http")
    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "SocksInHttp2", "HttpInSocks")

    def test_interim_and_trailers(self) -> None:
        """Interim responses and trailers."""
        way, top, told = self.told(quiet=True)
        stream = top.get("/")
        way.pump()
        way.peer.send(b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + CHUNKED)
        way.pump()
        events = [event.told_as for event in told.events if getattr(event, "stream", None) is stream]
        self.assertEqual((events[:2], events[-1]), (["gun_inform", "gun_response"], "gun_trailers"))
        self.end(way)

    def test_upgrade(self) -> None:
        """101 to any protocol: its bytes go both ways, and its end is the tunnel's."""
        way, top, told = self.told(quiet=True)
        stream = top.get("/", UPGRADE)
        way.pump()
        way.peers[0].send(SWITCH + b"first")
        way.pump()
        stream.data(b"hello")
        way.pump()
        self.assertTrue(way.peers[0].received.endswith(b"\r\n\r\nhello"))
        way.peers[0].send(b"second")
        way.pump()
        events = [event for event in told.events if getattr(event, "stream", None) is stream]
        self.assertEqual((type(events[0]), b"".join(event.data for event in events[1:])), (gun.Upgrade, b"firstsecond"))
        way.peers[0].close()
        way.pump()
        last = self.assert_each_ended_once(told, [stream, *way.tunnels[-1:]])
        self.assertEqual(last[stream], gun.Data(stream=stream, fin=True, data=b""))
        self.assertEqual(told.of(gun.Error), [])
        self.end(way)

    def test_upgrade_cancelled(self) -> None:
        """Cancelled, it ends the tunnel, and over HTTP/2 nothing else."""
        way, top, told = self.told(quiet=True)
        stream = top.get("/", UPGRADE)
        way.pump()
        way.peers[0].send(SWITCH)
        way.pump()
        stream.cancel()
        way.pump()
        self.assert_cancelled(told, stream)
        self.assertIsNotNone(way.peers[0].lost)
        self.assert_each_ended_once(told, way.tunnels[-1:])
        self.assertEqual(len(told.of(gun.Down)), 0 if PROXIES[self.proxies[0]][1] == "http2" else 1)
        self.end(way)

    def test_http10(self) -> None:
        """HTTP/1.0 in a tunnel."""
        way, top, told = self.told(quiet=True, http_opts={"version": "HTTP/1.0"})
        stream = top.get("/")
        way.pump()
        if any(PROXIES[name] == ("tcp", "http") for name in self.proxies):
            self.assertIn(b"GET / HTTP/1.0", way.peers[0].received)
        way.peers[0].send(OK.replace(b"HTTP/1.1", b"HTTP/1.0"))
        way.pump()
        self.assertEqual(self.assert_each_ended_once(told, [stream])[stream].data, b"ok")
        self.end(way)


globals().update(spread(__name__))
