"""The raw protocol at a tunnel's end: its bytes are the tunnel's own, or the connection's."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.producers import MUCH, Pull, Push
from tests.tunnels import TunnelCase, Way, spread
from twisted_gun.testing import RecordingReceiver, ScriptedPeer


class RawCase(TunnelCase):
    """Ways to an origin of which nothing is known."""

    origin = "raw"
    origins = ("raws", "raw")
    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "SocksInHttp2", "HttpInSocks")

    def raw(self, top: Any) -> Any:
        """The stream of bytes at the end of a way."""
        return top if isinstance(top, gun.Tunnel) else top.raw

    def opened(self, **options: Any) -> tuple[Way, Any]:
        """A way whose origin is a peer by hand, and its stream; what it was told so far was read."""
        way, top = self.up(peer=ScriptedPeer, **options)
        raw = self.raw(top)
        while raw._events:
            self.successResultOf(raw.await_event())
        return way, raw

    def recorded(self, **options: Any) -> tuple[Way, Any, RecordingReceiver]:
        """Likewise, but all is told to one receiver."""
        way, top, told = self.told(peer=ScriptedPeer, **options)
        return way, self.raw(top), told

    def data(self, told: RecordingReceiver) -> bytes:
        return b"".join(event.data for event in told.of(gun.Data))


class DataTests(RawCase):
    """Bytes both ways."""

    def test_both_ways(self) -> None:
        """What is given is sent, and what comes is told."""
        way, raw = self.opened()
        raw.data(b"hello")
        raw.data([b" wor", b"ld"])
        raw.data(b"")
        way.pump()
        self.assertEqual(way.peer.received, b"hello world")
        way.peer.send(b"answer")
        way.pump()
        self.assertEqual(self.successResultOf(raw.await_event()), gun.Data(stream=raw, fin=False, data=b"answer"))
        self.end(way)

    def test_much(self) -> None:
        """A megabyte each way, at once."""
        way, raw, told = self.recorded(capacity=20_000)
        sent = bytes(range(256)) * 4000
        raw.data(sent)
        way.peer.send(sent[::-1])
        way.pump()
        self.assertEqual(way.peer.received, sent)
        self.assertEqual(self.data(told), sent[::-1])
        self.end(way)

    def test_peer_speaks_first(self) -> None:
        """What the origin says at once, before anybody asks, is told behind the tunnel's being up."""
        told = RecordingReceiver()
        way = self.way(peer=lambda: ScriptedPeer([("send", b"220 ready\r\n")]), owner=told, reply_to=told)
        way.connect()
        way.pump()
        self.assertEqual(self.data(told), b"220 ready\r\n")
        self.assertEqual(told.names()[-2:], ["gun_tunnel_up", "gun_data"])
        self.end(way)

    def test_iterating(self) -> None:
        """`async for` gives every event to the end."""
        way, raw = self.opened()
        seen: list[Any] = []

        async def read() -> None:
            async for event in raw:
                seen.append(event)

        done = Deferred.fromCoroutine(read())
        way.peer.send(b"one")
        way.pump()
        way.peer.send(b"two")
        way.peer.close()
        way.pump()
        self.successResultOf(done)
        self.assertEqual((b"".join(event.data for event in seen), seen[-1].fin), (b"onetwo", True))
        self.end(way)

    def test_body(self) -> None:
        """`await_body` gives all of it, once it has ended."""
        way, raw = self.opened()
        body = raw.await_body()
        way.peer.send(b"one")
        way.pump()
        self.assertNoResult(body)
        way.peer.send(b"two")
        way.peer.close()
        way.pump()
        self.assertEqual(self.successResultOf(body), b"onetwo")
        self.end(way)


class StateTests(RawCase):
    """What may be done when."""

    def test_not_up(self) -> None:
        """No data before the tunnel is up: BadState says what to wait for."""
        way = self.way(peer=ScriptedPeer)
        top = way.ask()
        early = self.assertRaises(gun.BadState, lambda: self.raw(top).data(b"early"))
        self.assertIn("await_up", str(early))
        way.pump()
        self.raw(top).data(b"late")
        way.pump()
        self.assertEqual(way.peer.received, b"late")
        self.end(way)

    def test_no_requests(self) -> None:
        """It takes no requests, up or not."""
        way = self.way(peer=ScriptedPeer)
        top = way.ask()
        for _ in range(2):
            for ask in (top.get, top.ws_upgrade):
                error = self.assertRaises(gun.BadState, ask, "/")
                self.assertIn("does not accept new requests", str(error))
            self.assertRaises(gun.BadState, top.connect, {"host": "a.example", "port": 1})
            self.assertRaises(gun.BadState, top.ping)
            way.pump()
        self.assertRaises(gun.BadState, self.raw(top).ws_send, "frame")
        self.end(way)

    def test_ended(self) -> None:
        """After its end it takes no data; a consumer's write is dropped, as every transport does."""
        way, raw = self.opened()
        way.peer.close()
        way.pump()
        self.assertRaises(gun.BadState, raw.data, b"late")
        raw.write(b"dropped")
        raw.update_flow(1)
        raw.cancel()
        self.assertIsNone(raw.info())
        self.end(way)


class FlowTests(RawCase):
    """How much is told."""

    def test_flow(self) -> None:
        """raw_opts.flow is how many data events are told; `update_flow` allows more, and meanwhile the origin is held back."""
        way, raw, told = self.recorded(raw_opts={"flow": 1}, http2_opts={"initial_stream_window_size": 70_000}, capacity=10_000)
        way.peer.send(MUCH * 4)
        way.pump()
        self.assertEqual(len(told.of(gun.Data)), 1)
        self.assertGreater(self.unsent(way), len(MUCH))
        raw.update_flow(2)
        way.pump()
        self.assertEqual(len(told.of(gun.Data)), 3)
        raw.update_flow(100_000)
        way.pump()
        self.assertEqual(self.data(told), MUCH * 4)
        self.end(way)

    def test_of_the_request(self) -> None:
        """The request option `flow` of the CONNECT is for the bytes of its tunnel, instead."""
        if self.proxies[-1].startswith("socks") or len(self.proxies) > 1:
            return
        told = RecordingReceiver()
        way = self.way(peer=ScriptedPeer, owner=told, reply_to=told, raw_opts={"flow": 5})
        tunnel = way.open().connect(way.destination(1), flow=1)
        way.pump()
        for _ in range(3):
            way.peer.send(b"x")
            way.pump()
        self.assertEqual(len(told.of(gun.Data)), 1)
        tunnel.update_flow(1)
        way.pump()
        self.assertEqual(self.data(told), b"xxx")
        self.end(way)

    def test_of_http(self) -> None:
        """What http_opts and http2_opts say of flow is not for a tunnel's bytes, wherever these come, right behind the answer too."""
        told = RecordingReceiver()
        flow = {"http_opts": {"flow": 1}, "http2_opts": {"flow": 1}}
        way = self.way(peer=lambda: ScriptedPeer([("send", b"first ")]), owner=told, reply_to=told, **flow)
        way.connect()
        for piece in (b"second ", b"third ", b"fourth"):
            way.peer.send(piece)
            way.pump()
        self.assertEqual(self.data(told), b"first second third fourth")
        self.end(way)

    def test_granted_early(self) -> None:
        """What is allowed before it is up counts."""
        way = self.way(peer=ScriptedPeer, raw_opts={"flow": 1}, owner=RecordingReceiver(), reply_to=RecordingReceiver())
        top = way.ask()
        if not isinstance(top, gun.Tunnel):
            return
        told = top._receiver
        top.update_flow(2)
        way.pump()
        for _ in range(5):
            way.peer.send(b"x")
            way.pump()
        self.assertEqual(len(told.of(gun.Data)), 3)
        self.end(way)

    def test_unread(self) -> None:
        """Unread bytes hold the origin back; read, they let it go on."""
        way, raw = self.opened(http2_opts={"initial_stream_window_size": 70_000}, capacity=10_000)
        way.peer.send(MUCH * 4)
        way.pump()
        self.assertGreater(self.unsent(way), len(MUCH))
        got = b""
        while len(got) < len(MUCH) * 4:
            got += self.successResultOf(raw.await_event()).data
            way.pump()
        self.assertEqual((got, self.unsent(way)), (MUCH * 4, 0))
        self.end(way)

    def unsent(self, way: Way) -> int:
        transport = way.peer.transport
        return int(transport.buffered if hasattr(transport, "buffered") else transport.transport.buffered)


class ProducerTests(RawCase):
    """A raw stream is a consumer."""

    def test_push(self) -> None:
        """A push producer is paused while the origin takes nothing, and resumed."""
        way, raw = self.opened(capacity=10_000)
        push = Push()
        raw.registerProducer(push, True)
        way.peer.pause()
        for _ in range(3):
            raw.write(MUCH)
            way.pump()
        self.assertEqual(push.asked, ["pause"])
        way.peer.resume()
        way.pump()
        self.assertEqual(push.asked, ["pause", "resume"] * (len(push.asked) // 2))
        self.assertEqual(len(way.peer.received), 3 * len(MUCH))
        way.connection.close()
        self.assertEqual(push.asked[-2:], ["resume", "stop"])
        way.pump()
        self.assert_left_nothing(way)

    def test_pull(self) -> None:
        """A pull producer is asked as long as there is room; its end is the stream's."""
        way, raw, told = self.recorded(capacity=10_000)
        way.peer.pause()
        pull = Pull(raw, [b"x" * 50_000] * 20)
        raw.registerProducer(pull, False)
        for _ in range(30):
            way.pump()
        self.assertLess(len(pull.asked), 20)
        way.peer.resume()
        for _ in range(60):
            way.pump()
        self.assertEqual((len(pull.asked), len(way.peers[0].received)), (20, 1_000_000))
        self.assertEqual(self.assert_each_ended_once(told, [raw])[raw], gun.Data(stream=raw, fin=True, data=b""))
        self.end(way)


class EndTests(RawCase):
    """How it ends: once."""

    def test_by_us(self) -> None:
        """`fin` ends it, behind what was sent; the origin sees an orderly end, and no gun_error is told."""
        way, raw, told = self.recorded()
        raw.data(b"last words", fin=True)
        way.pump()
        self.assertEqual(way.peers[0].received, b"last words")
        self.assertIsNotNone(way.peers[0].lost)
        self.assertEqual(self.assert_each_ended_once(told, [raw])[raw], gun.Data(stream=raw, fin=True, data=b""))
        self.assertEqual(told.of(gun.Error), [])
        self.end(way)

    def test_by_the_peer(self) -> None:
        """The origin closes: the end, in good order, behind all it has sent."""
        way, raw, told = self.recorded()
        way.peers[0].send(b"last words")
        way.peers[0].close()
        way.pump()
        self.assertEqual(self.data(told), b"last words")
        self.assertEqual(self.assert_each_ended_once(told, [raw])[raw], gun.Data(stream=raw, fin=True, data=b""))
        self.end(way)

    def test_half_closed(self) -> None:
        """The origin sends no more, though it would receive: nothing more can come, so that is the end too."""
        if self.origin == "raws":  # TLS has no half
            return
        way, raw, told = self.recorded()
        way.peers[0].send(b"last words")
        way.peers[0].half_close()
        way.pump()
        self.assertEqual(self.data(told), b"last words")
        self.assertTrue(raw.ended)
        self.assert_each_ended_once(told, [raw])
        self.assertIsNotNone(way.peers[0].lost)
        self.end(way)

    def test_reset(self) -> None:
        """The origin resets it: an error."""
        way, raw, told = self.recorded()
        way.peers[0].send(b"some")
        way.pump()
        way.peers[0].abort()
        way.pump()
        last = self.assert_each_ended_once(told, [raw])[raw]
        self.assertIsInstance(last, gun.Error)
        self.assert_lists(told)
        self.end(way)

    def test_cancelled(self) -> None:
        """Cancelled, it tells no more, and the origin is cut off."""
        way, raw, told = self.recorded()
        raw.cancel()
        way.pump()
        self.assertTrue(raw.ended)
        self.assertIsNotNone(way.peers[0].lost)
        self.assertEqual([event for event in told.events if getattr(event, "stream", None) is raw and event.fin], [])
        self.end(way)

    def test_shutdown(self) -> None:
        """shutdown() of the connection ends it at once, as Gun does: nothing says where raw bytes come to a good end."""
        way, raw, told = self.recorded()
        raw.data(b"sent")
        ended = way.connection.shutdown()
        way.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(way.peers[0].received, b"sent")
        self.assertIsInstance(self.assert_each_ended_once(told, [raw])[raw].reason, gun.ShuttingDown)
        self.assert_left_nothing(way)

    def test_tunnel_shutdown(self) -> None:
        """So does shutdown() of the tunnel."""
        way, raw, told = self.recorded()
        if not isinstance(raw, gun.Tunnel):
            return
        raw.data(b"sent")
        raw.shutdown()
        way.pump()
        self.assertEqual(way.peers[0].received, b"sent")
        self.assertIsInstance(self.assert_each_ended_once(told, [raw])[raw].reason, gun.ShuttingDown)
        self.end(way)

    def test_proxy_lost(self) -> None:
        """The first proxy is lost: an error, and gun_down lists it."""
        way, raw, told = self.recorded()
        way.factories[0].connections[0].abort()
        way.pump()
        self.assertIsInstance(self.assert_each_ended_once(told, [raw])[raw], gun.Error)
        downs = self.assert_lists(told)
        self.assertIn(raw, downs[0].killed_streams)
        self.end(way)


globals().update(spread(__name__))
