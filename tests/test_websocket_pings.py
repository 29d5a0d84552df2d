"""Signs of life: keepalive and its timeout, `Connection.ping`, and pongs for a peer that does not read."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import RecordingReceiver
from twisted_gun.wire.frames import ErrorCode


class KeepaliveTests(WebsocketCase):
    """`keepalive` and `ping_timeout`."""

    def pings(self, world: Any) -> int:
        """How many pings the peer has got."""
        return sum(isinstance(frame, gun.Ping) for frame in world.peer.end.frames)

    def test_pings(self) -> None:
        """A ping goes out so often, given at open or at the upgrade, which replaces that; by default none does."""
        ways: tuple[tuple[Any, Any, float | None], ...] = (
            ({"keepalive": 10.0}, None, 10.0),
            ({}, {"keepalive": 10.0, "core": self.core}, 10.0),
            ({"keepalive": 3.0}, {"keepalive": 10.0, "core": self.core}, 10.0),
            ({"keepalive": 3.0}, {"core": self.core}, None),
            ({}, None, None),
        )
        for opened, asked, seconds in ways:
            world = self.up(ws_opts=opened)
            world.connection.ws_upgrade("/", ws_opts=asked)
            world.pump()
            if seconds is None:
                world.advance(1000)
                self.assertEqual(self.pings(world), 0)
            for number in range(3 if seconds else 0):
                world.advance(9.9)
                self.assertEqual(self.pings(world), number)
                world.advance(0.1)
                self.assertEqual(self.pings(world), number + 1)
            self.end(world)

    def test_answered(self) -> None:
        """As long as they are answered it lives on; the pongs are no events, unless asked for."""
        for silence in (True, False):
            world, stream, told = self.told(ws_opts={"keepalive": 10.0, "ping_timeout": 5.0, "silence_pings": silence})
            for _ in range(30):
                world.advance(10)
            self.assertFalse(stream.ended)
            self.assertEqual(frames(told), [] if silence else [gun.Pong()] * 30)
            self.end(world)

    def test_silence(self) -> None:
        """Where nothing comes within ping_timeout after one, the websocket is given up by TimedOut."""
        for opened, asked in (
            ({"keepalive": 10.0, "ping_timeout": 5.0}, None),
            ({}, {"keepalive": 10.0, "ping_timeout": 5.0, "core": self.core}),
        ):
            told = RecordingReceiver()
            world = self.up(ws_opts=opened, owner=told, reply_to=told, end={"answer_pings": False}, retry=0)
            stream = world.connection.ws_upgrade("/", ws_opts=asked)
            world.pump()
            peer = world.peer
            world.advance(10)
            world.advance(4.9)
            self.assertFalse(stream.ended)
            world.advance(0.1)
            reason = self.told_once(told, stream).reason
            self.assertIsInstance(reason, gun.TimedOut)
            self.assertEqual((reason.stage, reason.seconds), ("keepalive", 5.0))
            if self.http2:
                self.assertEqual(peer.requests[0].reset, ErrorCode.CANCEL)
                self.assertEqual(told.of(gun.Down), [])
            else:
                (down,) = told.of(gun.Down)
                self.assertEqual((down.protocol, down.reason, down.killed_streams), ("ws", reason, (stream,)))
            self.end(world)

    def test_gone_peer(self) -> None:
        """So it is where the peer has vanished and takes nothing any more (limits.md, fault 1); `Down` waits for nothing more."""
        told = RecordingReceiver()
        world, stream, _ = self.told(ws_opts={"keepalive": 10.0, "ping_timeout": 5.0}, told=told, tcp_opts={"send_timeout": None})
        peer = world.peer
        (peer.pause if not self.http2 else peer.transport.pauseProducing)()
        stream.ws_send(bytes(300_000))
        for _ in range(30):
            world.advance(0.5)
        self.assertIsInstance(self.told_once(told, stream), gun.Error)
        self.assertEqual(len(told.of(gun.Down)), 0 if self.http2 else 1)
        self.end(world)

    def test_anything_counts(self) -> None:
        """Any frame is a sign of life, not only a pong."""
        world, stream, told = self.told(ws_opts={"keepalive": 10.0, "ping_timeout": 5.0}, end={"answer_pings": False})
        for _ in range(10):
            world.advance(10)
            world.peer.end.send("alive")
            world.pump()
            world.advance(4)
        self.assertFalse(stream.ended)
        self.assertEqual(frames(told), [gun.Text("alive")] * 10)
        self.end(world)

    def test_paused_reading(self) -> None:
        """While the peer is held back by us its silence is no sign of death."""
        world, stream, told = self.told(ws_opts={"keepalive": 10.0, "ping_timeout": 5.0, "flow": 1}, end={"answer_pings": False})
        for number in range(3):
            world.peer.end.send(f"{number}")
        world.pump()
        world.advance(100)
        self.assertFalse(stream.ended)
        stream.update_flow(10)
        world.pump()
        self.assertEqual(len(frames(told)), 3)
        self.end(world)

    def test_no_timeout(self) -> None:
        """With ping_timeout None pings go out for ever."""
        world, stream, _ = self.told(ws_opts={"keepalive": 1.0, "ping_timeout": None}, end={"answer_pings": False})
        for _ in range(100):
            world.advance(1)
        self.assertFalse(stream.ended)
        self.assertEqual(self.pings(world), 100)
        self.end(world)

    def test_while_closing(self) -> None:
        """None goes out once a Close was sent."""
        world, stream, _ = self.told(ws_opts={"keepalive": 1.0}, end={"answer_close": False}, retry=0)
        end = world.peer.end
        stream.ws_send(gun.Close(1000))
        for _ in range(20):
            world.advance(1)
        self.assertEqual(end.frames, [gun.Close(1000)])
        self.end(world)


class HttpKeepaliveTests(WebsocketCase):
    """The keepalive of the protocol below."""

    over, cores = ("http",), ("own",)

    def test_no_empty_lines(self) -> None:
        """HTTP/1.1's own, an empty line, ends with the switch: it would be no frame."""
        world, stream = self.upgraded(http_opts={"keepalive": 1.0})
        for _ in range(10):
            world.advance(1)
        stream.ws_send("whole")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("whole")])
        self.end(world)


class PingTests(WebsocketCase):
    """`Connection.ping`: over HTTP/1.1 it is the websocket that is pinged, over HTTP/2 the connection."""

    def test_round_trip(self) -> None:
        """It fires with the seconds that the answer took; the owner is told, the stream is not."""
        world, _, told = self.told(ws_opts={"silence_pings": False})
        told.clear()
        ping = world.connection.ping()
        world.advance(0.25)
        world.pump()
        seconds = self.successResultOf(ping)
        self.assertEqual(seconds, 0.25)
        (notify,) = told.of(gun.Notify)
        self.assertEqual((notify.type, notify.info), ("ping_ack", 0.25))
        self.assertEqual(frames(told), [])
        self.end(world)

    def test_reply_to(self) -> None:
        """It may be another who is told."""
        other = RecordingReceiver()
        world, _, told = self.told()
        world.connection.ping(reply_to=other)
        world.pump()
        self.assertEqual((other.names(), told.names()[2:]), (["gun_notify"], []))
        self.end(world)

    def test_lost(self) -> None:
        """It fails by StreamClosed when the connection goes down."""
        world, _, _ = self.told()
        ping = world.connection.ping()
        world.peer.abort()
        world.pump()
        self.failureResultOf(ping, gun.StreamClosed)
        self.end(world)


class WebsocketPingTests(WebsocketCase):
    """What is particular to pings on a websocket."""

    over = ("http",)

    def test_several(self) -> None:
        """Several under way are told apart; the answer to one answers those before it too (RFC 6455 section 5.5.3)."""
        world, _ = self.upgraded(end={"answer_pings": False})
        pings = [world.connection.ping() for _ in range(3)]
        world.pump()
        sent = world.peer.end.frames
        self.assertEqual(len({frame.data for frame in sent}), 3)
        for at in (1, 0, 2):
            world.advance(1)
            world.peer.end.send(gun.Pong(sent[at].data))
            world.pump()
        self.assertEqual([self.successResultOf(ping) for ping in pings], [1.0, 1.0, 3.0])
        self.end(world)

    def test_other_pongs(self) -> None:
        """A pong that answers none of them, or one again, is nobody's answer."""
        world, _, told = self.told(end={"answer_pings": False}, ws_opts={"silence_pings": False})
        ping = world.connection.ping()
        world.pump()
        data = world.peer.end.frames[0].data
        world.peer.end.send(gun.Pong(b"other"))
        world.peer.end.send(gun.Pong())
        world.pump()
        self.assertNoResult(ping)
        for _ in range(2):
            world.peer.end.send(gun.Pong(data))
        world.pump()
        self.successResultOf(ping)
        self.assertEqual(frames(told), [gun.Pong(b"other"), gun.Pong(), gun.Pong(data)])
        self.end(world)

    def test_cancelled(self) -> None:
        """One that was cancelled is not told of."""
        world, _, told = self.told()
        told.clear()
        ping = world.connection.ping()
        ping.addErrback(lambda _: None)
        ping.cancel()
        world.pump()
        self.assertEqual(told.of(gun.Ws), [])
        self.end(world)

    def test_closing(self) -> None:
        """Once a Close was sent or received there is nobody to ping, and before the upgrade either."""
        world = self.up(end={"accept": False, "answer_close": False})
        self.assertRaises(gun.BadState, world.connection.ping)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        self.assertRaises(gun.BadState, world.connection.ping)
        world.peer.end.accept()
        world.pump()
        under_way = world.connection.ping()
        world.pump()
        self.successResultOf(under_way)
        stream.ws_send(gun.Close(1000))
        self.assertRaises(gun.BadState, world.connection.ping)
        self.end(world)
        self.assertRaises(gun.BadState, world.connection.ping)

    def test_cancelled_websocket(self) -> None:
        """Nor on a websocket that was cancelled."""
        world, stream = self.upgraded()
        under_way = world.connection.ping()
        stream.cancel()
        self.assertRaises(gun.BadState, world.connection.ping)
        world.pump()
        self.failureResultOf(under_way, gun.StreamClosed)
        self.end(world)


class FloodTests(WebsocketCase):
    """Pings without end from a peer that does not read (limits.md 1.3: curl CVE-2026-11586)."""

    def test_bounded(self) -> None:
        """What waits to be sent stays below 64 KiB; the last ping is answered when the peer reads again."""
        world, stream, _ = self.told()
        end = world.peer.end
        client, server = world.endpoint.links[-1].client, world.endpoint.links[-1].server
        server.pauseProducing()
        most = 0
        for number in range(0, 20_000, 500):
            for each in range(number, number + 500):
                end.send(gun.Ping(b"%08d" % each + b"x" * 100))
            world.pump()
            most = max(most, client.buffered)
        self.assertLess(most, 64 * 1024)
        self.assertFalse(stream.ended)
        server.resumeProducing()
        world.pump()
        pongs = [frame for frame in end.frames if isinstance(frame, gun.Pong)]
        self.assertEqual(pongs[-1], gun.Pong(b"%08d" % 19_999 + b"x" * 100))
        self.assertEqual(pongs, sorted(pongs, key=lambda pong: pong.data))
        self.assertLess(len(pongs), 20_000)
        stream.ws_send("alive")
        world.pump()
        self.assertEqual(end.frames[-1], gun.Text("alive"))
        self.end(world)

    def test_told(self) -> None:
        """So it is where pings are told: each is, though not each is answered."""
        world, _, told = self.told(ws_opts={"silence_pings": False})
        client, server = world.endpoint.links[-1].client, world.endpoint.links[-1].server
        server.pauseProducing()
        for _ in range(20):
            for _ in range(200):
                world.peer.end.send(gun.Ping(b"x" * 100))
            world.pump()
        self.assertLess(client.buffered, 64 * 1024)
        self.assertEqual(len(frames(told)), 4000)
        self.end(world)


globals().update(variants(__name__))
