"""Content sent through tunnels, and its producers: whoever on the way takes no more makes them wait, and lets them go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import twisted_gun as gun
from tests.producers import MUCH, Body, Pull, Push
from tests.tunnels import AnsweringHttp2, TunnelCase, Way, spread
from twisted_gun.testing import Http2Peer, MemoryGun

#: As much as a producer gives in the end: more than all windows and buffers on the way.
TOTAL = 700_000
PIECE = 10_000


class Eager(Body):
    """A producer that writes until it is paused, or has written all."""

    written = 0
    paused = False

    def startProducing(self, consumer: Any) -> Any:
        finished = super().startProducing(consumer)
        self.write()
        return finished

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self.paused = True

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.paused = False
        self.write()

    def write(self) -> None:
        while not self.paused and self.written < TOTAL:
            self.written += PIECE
            self.consumer.write(MUCH[:PIECE])
        if self.written == TOTAL and not self.finished.called:
            self.finished.callback(None)


def slow_origin(way: Way) -> Callable[[], None]:
    """The origin's kernel takes no more; how to let it go on."""
    way.peer.pause()
    return way.peer.resume  # type: ignore[no-any-return]


def shut_window(way: Way) -> Callable[[], None]:
    """The origin opens no window of HTTP/2."""
    peer = way.peer
    peer.open_windows = False

    def reopen() -> None:
        peer.open_windows = True
        peer.window_update(0, 2 * TOTAL)
        for request in peer.requests:
            peer.window_update(request, 2 * TOTAL)

    return reopen


def slow_proxy(way: Way) -> Callable[[], None]:
    """The first proxy's kernel takes no more."""
    (connection,) = way.factories[0].connections
    connection.transport.pauseProducing()
    return connection.transport.resumeProducing  # type: ignore[no-any-return]


class UploadCase(TunnelCase):
    """Origins that answer by hand."""

    ways: ClassVar[Sequence[str]] = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "Deep")
    origins: ClassVar[Sequence[str]] = ("h2", "http")

    def way(self, **options: Any) -> Way:
        return super().way(quiet=True, capacity=10_000, **options)

    def received(self, way: Way) -> int:
        """How much content the origin has."""
        return sum(len(request.body) for request in way.peer.requests)

    @property
    def hindrances(self) -> list[Callable[[Way], Callable[[], None]]]:
        """Whoever may take no more."""
        return [slow_origin, slow_proxy, *([shut_window] if self.spoken == "http2" else [])]


class ProducerTests(UploadCase):
    """IBodyProducer, push producers and pull producers."""

    def test_body_producer(self) -> None:
        """It is paused before it has written much, by the origin, its window, and the first proxy alike; then all arrives."""
        for hinder in self.hindrances:
            way, top = self.up()
            go_on = hinder(way)
            body = Eager()
            answered = top.post("/", (), body).await_body(None)
            way.pump()
            self.assertEqual(body.asked[:2], ["start", "pause"], hinder)
            self.assertTrue(body.paused)
            self.assertLess(body.written, TOTAL, hinder)
            before = self.received(way)
            self.assertLess(before, TOTAL)
            way.advance(5)
            self.assertEqual(self.received(way), before)
            go_on()
            way.pump()
            self.assertEqual((body.written, self.received(way)), (TOTAL, TOTAL), hinder)
            way.peer.answer()
            way.pump()
            self.assertEqual(self.successResultOf(answered), b"/")
            self.assertNotIn("stop", body.asked)
            self.end(way)

    def test_pull_producer(self) -> None:
        """A pull producer is not asked meanwhile."""
        for hinder in self.hindrances:
            way, top = self.up()
            go_on = hinder(way)
            stream = top.headers("POST", "/", {"content-length": "1000000"})
            pull = Pull(stream, [b"x" * 25_000] * 40)
            stream.registerProducer(pull, False)
            for _ in range(60):
                way.advance(0)
            asked = len(pull.asked)
            self.assertLess(asked, 40, hinder)
            for _ in range(10):
                way.advance(0)
            self.assertEqual(len(pull.asked), asked)
            go_on()
            for _ in range(60):
                way.advance(0)
            self.assertEqual(self.received(way), 1_000_000, hinder)
            self.end(way)

    def test_push_producer(self) -> None:
        """A push producer registered with the stream is paused, and resumed once all has gone."""
        for hinder in self.hindrances:
            way, top = self.up()
            go_on = hinder(way)
            stream = top.headers("POST", "/")
            push = Push()
            stream.registerProducer(push, True)
            for _ in range(3):
                stream.write(MUCH)
                way.pump()
            self.assertEqual(push.asked, ["pause"], hinder)
            go_on()
            way.pump()
            self.assertEqual(push.asked[-1], "resume", hinder)
            self.assertEqual(push.asked.count("pause"), push.asked.count("resume"))
            stream.unregisterProducer()
            stream.data(b"end", fin=True)
            way.pump()
            self.assertEqual(self.received(way), 3 * len(MUCH) + 3)
            self.end(way)

    def test_while_the_tunnel_is_not_up(self) -> None:
        """A body's producer is started once its request is sent, and a registered one is paused until then."""
        way = self.way()
        top = way.ask()
        body, push = Body(), Push()
        top.post("/", (), body)
        stream = top.headers("POST", "/")
        stream.registerProducer(push, True)
        self.assertEqual((body.asked, push.asked), ([], ["pause"]))
        way.pump()
        self.assertEqual(body.asked, ["start"])
        body.consumer.write(b"body")
        body.finished.callback(None)
        way.pump()
        self.assertEqual(push.asked, ["pause", "resume"])
        self.end(way)
        self.assertEqual(push.asked, ["pause", "resume", "stop"])

    def test_stopped(self) -> None:
        """Producers are stopped when the tunnel, the connection, or the peer ends it all, paused or not."""
        for how in ("tunnel", "connection", "peer"):
            for hindered in (False, True):
                self.stopped(how, hindered)

    def stopped(self, how: str, hindered: bool) -> None:
        way, top, told = self.told()
        connection = way.factories[0].connections[0]
        if hindered:
            slow_proxy(way)
        body, push = Eager() if hindered else Body(), Push()
        streams = [top.post("/", (), body)]
        if self.spoken == "http2":  # HTTP/1.1 sends one after the other
            streams.append(top.headers("POST", "/"))
            streams[1].registerProducer(push, True)
        way.pump()
        if how == "connection" or (how == "tunnel" and not way.tunnels):
            way.connection.close()
        elif how == "tunnel":
            way.tunnels[-1].cancel()
        elif hindered:
            connection.abort()
        else:
            way.peer.abort()
        if hindered and connection.lost is None:
            connection.transport.resumeProducing()
        way.pump()
        self.assertEqual(body.asked[-1], "stop", (how, hindered))
        if self.spoken == "http2":
            self.assertEqual(push.asked[-1], "stop", (how, hindered))
        self.assert_each_ended_once(told, streams)
        self.end(way)

    def test_producer_fails(self) -> None:
        """A producer that fails ends its stream; inside HTTP/2 the tunnel and its other streams live on."""
        way, top = self.up()
        body = Body()
        stream = top.post("/", (), body)
        way.pump()
        body.finished.errback(ValueError("of its own"))
        way.pump()
        error = self.failureResultOf(stream.await_response(), gun.StreamError).value
        self.assertIn("of its own", str(error))
        if self.spoken == "http2":
            other = top.get("/other").await_body()
            way.pump()
            way.peer.answer()
            way.pump()
            self.assertEqual(self.successResultOf(other), b"/other")
        self.end(way)


class WindowTests(UploadCase):
    """The windows of HTTP/2, of the origin's and of the proxy's."""

    proxies = ("h2c",)
    origin = "h2c"
    ways = ("Http2", "HttpInHttp2", "Http2InHttp2")
    origins = ("h2c",)

    def test_inner_window_of_a_stream(self) -> None:
        """One upload that waits for its window does not make another wait, nor the tunnel."""
        peers: list[Any] = []

        def make() -> Any:
            peers.append(AnsweringHttp2((), settings={"initial_window_size": 1000}, open_windows=False))
            return peers[-1]

        way, top = self.up(peer=make)
        stuck, free = Eager(), top.get("/free").await_body()
        top.post("/stuck", (), stuck)
        way.pump()
        self.assertTrue(stuck.paused)
        self.assertEqual([len(request.body) for request in peers[0].requests], [0, 1000])
        peers[0].answer()
        way.pump()
        self.assertEqual(self.successResultOf(free), b"/free")
        peers[0].window_update(0, TOTAL)
        peers[0].window_update(peers[0].requests[1], TOTAL)
        peers[0].open_windows = True
        way.pump()
        self.assertEqual(stuck.written, TOTAL)
        self.end(way)

    def test_other_tunnels(self) -> None:
        """An upload that the origin does not take holds back no other tunnel, for each has its window."""
        way, top = self.up()
        go_on = slow_origin(way)
        body = Eager()
        top.post("/", (), body)
        way.pump()
        self.assertTrue(body.paused)
        other = way.ask(0, way.connection)
        answered = other.post("/other", (), b"x" * 200_000).await_body()
        way.pump()
        self.assertEqual(len(way.peer.requests[0].body), 200_000)
        way.peer.answer()
        way.pump()
        self.assertEqual(self.successResultOf(answered), b"/other")
        go_on()
        self.end(way)

    def test_send_timeout(self) -> None:
        """An origin that leaves its window shut ends the upload after http2_opts.send_timeout, and nothing else."""
        way, top = self.up(http2_opts={"send_timeout": 3.0})
        shut_window(way)
        upload, other = top.post("/", (), MUCH), top.get("/other")
        way.pump()
        way.advance(3)
        error = self.failureResultOf(upload.await_response(), gun.TimedOut).value
        self.assertEqual((error.stage, error.seconds), ("write", 3.0))
        way.peer.answer()
        way.pump()
        self.assertEqual(self.successResultOf(other.await_body()), b"/other")
        self.end(way)


class PausedTests(UploadCase):
    """Who begins while nothing is taken."""

    ways = ()

    def test_up_while_paused(self) -> None:
        """A tunnel that comes up while the proxy's connection takes nothing begins with its producers paused."""
        world = MemoryGun(protocols=["http2"], peer=lambda: Http2Peer(settings={"initial_window_size": 10_000_000}))
        world.pump()
        world.peer.window_update(0, 10_000_000)
        tunnel = world.connection.connect({"host": "origin.example", "port": 80})
        push = Push()
        stream = tunnel.headers("POST", "/")
        world.pump()
        world.peer.pause()
        world.connection.post("/beside", (), MUCH * 3)
        world.pump()
        stream.registerProducer(push, True)
        world.peer.respond(world.peer.requests[0], 200, fin=False)
        world.pump()
        self.assertEqual(self.successResultOf(tunnel.await_up()), "http")
        self.assertEqual(push.asked, ["pause"])
        world.peer.resume()
        world.pump()
        self.assertEqual(push.asked, ["pause", "resume"])
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


class SendTimeoutTests(UploadCase):
    """tcp_opts.send_timeout is watched where the socket is: at the first proxy."""

    origins = ("http",)
    ways = ("Http", "Http2", "Socks", "HttpInHttp2")

    def test_first_proxy(self) -> None:
        """A first proxy that takes nothing for that long ends the connection, and all that is inside once."""
        way, top, told = self.told(tcp_opts={"send_timeout": 3.0})
        slow_proxy(way)
        stream = top.post("/", (), b"x" * TOTAL)
        way.advance(3)
        self.assertTrue(stream.ended)
        (down,) = self.assert_lists(told)
        reason: Any = down.reason
        self.assertEqual((type(reason), reason.stage), (gun.TimedOut, "write"))
        self.assert_each_ended_once(told, [stream, *way.tunnels])
        self.assertIn(stream, down.killed_streams)
        way.factories[0].connections[0].transport.resumeProducing()
        self.end(way)

    def test_slow_is_not_dead(self) -> None:
        """One that takes a little every now and then is not ended."""
        way, top = self.up(tcp_opts={"send_timeout": 3.0})
        transport: Any = way.factories[0].connections[0].transport
        transport.pauseProducing()
        stream = top.post("/", (), b"x" * TOTAL)
        for _ in range(10):
            way.advance(2)
            transport.resumeProducing()
            way.links[0].pump()
            transport.pauseProducing()
        self.assertFalse(stream.ended)
        transport.resumeProducing()
        way.pump()
        self.assertEqual(self.received(way), TOTAL)
        self.end(way)


globals().update(spread(__name__))
