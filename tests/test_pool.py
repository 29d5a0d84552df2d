"""Requests of a pool: which connection each takes, how many one has, and that its place is free again however its stream ends."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.web.http_headers import Headers

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.producers import Body
from tests.stage import EMPTY, LAST, OK, answer, answering, every_answer
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer, WebsocketPeer


def h2(size: int = 2, most: int | None = None, **options: Any) -> PoolWorld:
    """A pool of HTTP/2 whose servers allow `most` streams at a time, and are there, as is their SETTINGS frame."""
    world = PoolWorld(size, protocols=["http2"], settings={} if most is None else {"max_concurrent_streams": most}, **options)
    world.pump()
    return world


class VerbTests(PoolCase):
    """What a connection can be asked, a pool can."""

    def test_verbs(self) -> None:
        """Each verb asks as the connection's does, and gives the stream."""
        world = self.up(1, peer=lambda: ScriptedPeer(answering(EMPTY)))
        pool = world.pool
        asked = (
            pool.get("/1", {"x": "y"}),
            pool.head("/2"),
            pool.options("*"),
            pool.delete("/4"),
            pool.post("/5", (), b"five"),
            pool.put("/6", (), b"six"),
            pool.patch("/7", (), b"seven"),
            pool.request("PURGE", "/8"),
            pool.headers("POST", "/9", {"content-length": "4"}),
        )
        for deferred in asked[:-1]:
            world.pump()
            self.assertIsInstance(self.given(deferred), gun.Stream)
        world.pump()
        self.given(asked[-1]).data(b"nine", fin=True)
        world.pump()
        requests = world.peers[0].requests
        self.assertEqual(
            [(request.method, request.target, request.body) for request in requests],
            [
                (b"GET", b"/1", b""),
                (b"HEAD", b"/2", b""),
                (b"OPTIONS", b"*", b""),
                (b"DELETE", b"/4", b""),
                (b"POST", b"/5", b"five"),
                (b"PUT", b"/6", b"six"),
                (b"PATCH", b"/7", b"seven"),
                (b"PURGE", b"/8", b""),
                (b"POST", b"/9", b"nine"),
            ],
        )
        self.assertIn((b"x", b"y"), requests[0].headers)
        self.end(world)

    def test_reply_to(self) -> None:
        """`reply_to` is told of all streams, or of one; a stream without one is awaited."""
        told, other = RecordingReceiver(), RecordingReceiver()
        world = self.up(1, peer=lambda: ScriptedPeer(answering()), reply_to=told)
        self.given(world.pool.get("/"))
        world.pump()
        self.given(world.pool.get("/", reply_to=other))
        world.pump()
        awaited = self.given(world.pool.get("/", reply_to=None)).await_body()
        world.pump()
        self.assertEqual((told.names(), other.names()), (["gun_response", "gun_data"],) * 2)
        self.assertEqual(self.successResultOf(awaited), b"ok")
        self.end(world)

    def test_what_is_wrong(self) -> None:
        """A request that cannot be made fails its Deferred, as much where it has waited, and takes no place."""
        world = self.up(1)
        self.failureResultOf(world.pool.get("no path"), gun.InvalidRequest)
        self.failureResultOf(world.pool.get("/", flaw=1), gun.OptionError)
        first, bad, good = world.pool.get("/1"), world.pool.get("no path"), world.pool.get("/3")
        self.assertNoResult(bad)
        world.pump()
        self.answer(world)
        self.assertTrue(self.given(first).ended)
        self.failureResultOf(bad, gun.InvalidRequest)
        self.given(good)
        self.assertEqual(world.in_use, 1)
        self.end(world)

    def test_as_it_was(self) -> None:
        """What is changed by its owner while the request waits does not change the request."""
        for headers in ({"x": "before"}, [("x", "before")], Headers({b"x": [b"before"]})):
            world = self.up(1)
            body = [b"before"]
            self.given(world.pool.get("/"))
            world.pool.post("/", headers, body)
            if isinstance(headers, Headers):
                headers.setRawHeaders(b"x", [b"after"])
            elif isinstance(headers, dict):
                headers["x"] = "after"
            else:
                headers[0] = ("x", "after")
            body[0] = b"after"
            world.pump()
            self.answer(world)
            (request,) = world.peers[0].requests
            self.assertEqual((dict(request.headers)[b"x"], request.body), (b"before", b"before"))
            self.end(world)

    def test_failing_producer(self) -> None:
        """A request whose producer fails at once has ended before anybody holds it, and takes no place."""
        world = h2(1)
        body = Body()
        body.finished.errback(OSError("no content"))
        stream = self.given(world.pool.post("/", (), body))
        self.assertTrue(stream.ended)
        self.assertEqual(world.in_use, 0)
        self.end(world)


class ChoiceTests(PoolCase):
    """Which connection is asked."""

    def test_all_are_opened(self) -> None:
        """All connections are opened at once."""
        world = self.up(5)
        self.assertEqual(len(world.peers), 5)
        self.assertEqual(world.states, ["up"] * 5)
        self.end(world)

    def test_at_random(self) -> None:
        """Each connection with room has the same chance: of 4000 requests each of four has a quarter, within five deviations."""
        world = h2(4, seed=7)
        counts = Counter(self.given(world.pool.get("/")).connection for _ in range(400))
        for _ in range(9):
            for peer in world.peers:
                every_answer(peer)
            world.pump()
            counts.update(self.given(world.pool.get("/")).connection for _ in range(400))
        self.assertEqual(len(counts), 4)
        for count in counts.values():
            self.assertLess(abs(count - 1000), 5 * (4000 * 0.25 * 0.75) ** 0.5)
        self.end(world)

    def test_only_those_with_room(self) -> None:
        """One that has none is not chosen, whichever chance would have it."""
        for seed in range(20):
            world = self.up(3, seed=seed)
            streams = [self.given(world.pool.get("/")) for _ in range(3)]
            self.assertEqual(len({stream.connection for stream in streams}), 3)
            self.end(world)

    def test_only_those_that_are_up(self) -> None:
        """One that is down is not asked, and not waited for while others are up."""
        world = self.up(3)
        world.endpoint.hang()
        world.peers[0].abort()
        world.peers[1].abort()
        world.pump()
        self.assertEqual(sorted(world.states), ["connecting", "connecting", "up"])
        self.given(world.pool.get("/"))
        world.pump()
        self.assertTrue(world.peers[2].received)
        self.end(world)

    def test_raw(self) -> None:
        """A pool that speaks no HTTP refuses requests at once, and does not let them wait in vain."""
        world = self.up(1, protocols=["raw"])
        self.failureResultOf(world.pool.get("/"), gun.BadState)
        self.end(world)


class Http1Tests(PoolCase):
    """Over HTTP/1.1 a connection has one request at a time."""

    def test_one_at_a_time(self) -> None:
        """A request that finds no connection free waits for one; they get them in their order."""
        world = self.up(2)
        asked = [world.pool.get(f"/{at}") for at in range(4)]
        self.assertEqual([deferred.called for deferred in asked], [True, True, False, False])
        world.pump()
        self.assertEqual(world.pool.info().waiting, 2)
        world.alive[1].received = b""
        world.alive[1].send(OK)
        world.pump()
        self.assertEqual([deferred.called for deferred in asked], [True, True, True, False])
        self.answer(world)
        self.given(asked[3])
        self.end(world)

    def test_not_past_those_that_wait(self) -> None:
        """A request that is made the moment that a connection is free comes behind those that wait for it."""
        world = self.up(1)
        given: list[str] = []

        def ask(name: str, told: Any = None) -> None:
            world.pool.get(f"/{name}", reply_to=told).addCallback(lambda _: given.append(name))

        def told(event: Any) -> None:
            if event.fin:
                ask("third")

        ask("first", told)
        ask("second")
        world.pump()
        self.answer(world)
        self.assertEqual(given, ["first", "second"])
        self.answer(world)
        self.assertEqual(given, ["first", "second", "third"])
        self.end(world)

    def test_cancelled(self) -> None:
        """A cancelled stream's place is free at once, but the connection has none before the response has come in full."""
        world = self.up(1)
        stream = self.given(world.pool.get("/1"))
        world.pump()
        peer = world.peers[0]
        peer.received = b""
        stream.cancel()
        self.assertEqual(world.in_use, 0)
        waiting = world.pool.get("/2")
        world.pump()
        self.assertNoResult(waiting)
        peer.send(OK[:-1])
        world.pump()
        self.assertNoResult(waiting)
        self.assertEqual(peer.received, b"")
        peer.send(OK[-1:])
        world.pump()
        self.given(waiting)
        self.assertEqual(world.in_use, 1)
        self.end(world)

    def test_cancelled_and_closed(self) -> None:
        """Where the rest is too much to be read for nothing, the connection is dialled anew, and that one is taken."""
        world = self.up(1, http_opts={"max_cancelled_size": 1})
        stream = self.given(world.pool.get("/1"))
        world.pump()
        world.peers[0].send(OK[:-2])
        world.pump()
        waiting = world.pool.get("/2")
        stream.cancel()
        world.pump()
        self.given(waiting)
        self.assertEqual(len(world.peers), 2)
        self.end(world)

    def test_last_response(self) -> None:
        """A connection that the server closes after a response is not asked any more."""
        world = self.up(1)
        self.given(world.pool.get("/1"))
        waiting = world.pool.get("/2")
        world.pump()
        self.answer(world, LAST)
        self.given(waiting)
        world.pump()
        self.assertEqual([len(peer.requests) for peer in world.peers], [0, 1])
        self.end(world)

    def test_unread(self) -> None:
        """A stream that is not read keeps its place until it is read, or cancelled."""
        world = self.up(1)
        stream = self.given(world.pool.get("/"))
        world.pump()
        self.answer(world, answer(b"x" * 300_000))
        waiting = world.pool.get("/2")
        world.pump()
        self.assertNoResult(waiting)
        body = stream.await_body()
        world.pump()
        self.assertEqual(len(self.successResultOf(body)), 300_000)
        self.given(waiting)
        self.end(world)

    def test_websocket(self) -> None:
        """A websocket has its connection until it ends; then that is dialled anew."""
        world = self.up(1, peer=WebsocketPeer)
        stream = self.given(world.pool.ws_upgrade("/"))
        waiting = world.pool.ws_upgrade("/")
        world.pump()
        self.successResultOf(stream.await_upgrade())
        stream.ws_send("hello")
        self.assertNoResult(waiting)
        self.assertEqual(world.in_use, 1)
        stream.ws_send(gun.Close())
        world.pump()
        self.given(waiting)
        self.assertEqual(len(world.peers), 2)
        self.end(world)


class Http2Tests(PoolCase):
    """Over HTTP/2 a connection has as many requests at a time as the server allows."""

    def test_the_server_limit(self) -> None:
        """One below, at and above it."""
        world = h2(1, most=3)
        asked = [world.pool.get(f"/{at}") for at in range(4)]
        self.assertEqual([deferred.called for deferred in asked], [True, True, True, False])
        world.pump()
        every_answer(world.peers[0])
        world.pump()
        self.given(asked[3])
        self.end(world)

    def test_our_limit(self) -> None:
        """Where the server has none, ours applies."""
        world = h2(1, http2_opts={"max_streams": 150})
        asked = [world.pool.get("/") for _ in range(151)]
        self.assertEqual(sum(deferred.called for deferred in asked), 150)
        world.pump()
        every_answer(world.peers[0])
        world.pump()
        self.given(asked[150])
        self.end(world)

    def test_not_before_settings(self) -> None:
        """Nothing is sent before the server's SETTINGS have said how much it takes: so nothing is refused at the beginning."""

        class Late(Http2Peer):
            def connectionMade(self) -> None:
                """Say nothing yet."""

        world = PoolWorld(1, protocols=["http2"], peer=lambda: Late(acknowledge=False))
        asked = [world.pool.get("/") for _ in range(3)]
        world.pump()
        self.assertEqual(world.states, ["up"])
        self.assertEqual([deferred.called for deferred in asked], [False] * 3)
        world.peers[0].settings(max_concurrent_streams=2)
        world.pump()
        self.assertEqual([deferred.called for deferred in asked], [True, True, False])
        self.end(world)
        self.failureResultOf(asked[2], gun.ShuttingDown)

    def test_settings_change(self) -> None:
        """A limit that is raised lets those go that wait; one that is lowered lets nobody go before there is room again."""
        world = h2(1, most=1)
        asked = [world.pool.get("/") for _ in range(4)]
        world.pump()
        world.peers[0].settings(max_concurrent_streams=3)
        world.pump()
        self.assertEqual([deferred.called for deferred in asked], [True, True, True, False])
        world.peers[0].settings(max_concurrent_streams=1)
        world.pump()
        for answered in range(3):
            self.assertEqual(asked[3].called, False)
            world.peers[0].respond(world.peers[0].requests[answered])
            world.pump()
        self.given(asked[3])
        self.end(world)

    def test_goaway(self) -> None:
        """A connection whose server goes away takes no more; requests go to the one that takes its place."""
        world = h2(1, most=1)
        stream, waiting = self.given(world.pool.get("/1")), world.pool.get("/2")
        world.pump()
        first = world.peers[0]
        first.goaway()
        world.pump()
        self.assertNoResult(waiting)
        first.respond(first.requests[0])
        world.pump()
        self.assertTrue(stream.ended)
        self.given(waiting)
        world.pump()
        self.assertEqual([request.path for request in world.peers[1].requests], [b"/2"])
        self.end(world)

    def test_upgrade_counts(self) -> None:
        """Websockets take a place each, as any stream."""
        world = h2(1, peer=lambda: Http2Peer(settings={"max_concurrent_streams": 1, "enable_connect_protocol": 1}))
        self.given(world.pool.ws_upgrade("/"))
        self.assertNoResult(world.pool.get("/").addErrback(lambda _: None))
        self.end(world)


class ReleaseTests(PoolCase):
    """A place is free again exactly once, however its stream ends."""

    def one(self, **options: Any) -> tuple[PoolWorld, Any]:
        """A pool of one connection of HTTP/2, and the stream of one request."""
        world = h2(1, **options)
        stream = self.given(world.pool.get("/"))
        world.pump()
        self.assertEqual(world.in_use, 1)
        return world, stream

    def check(self, world: PoolWorld, stream: Any, in_use: int = 0) -> None:
        """It has ended, and its place is free."""
        world.pump()
        self.assertTrue(stream.ended)
        self.assertEqual(world.in_use, in_use)
        stream.cancel()  # which comes late, and frees nothing
        self.assertEqual(world.in_use, in_use)
        self.end(world)

    def test_fin(self) -> None:
        """By its last event: a response without content, the last of its content, or trailers."""
        for response in ({}, {"body": b"x"}, {"body": b"x", "trailers": {"x": "y"}}):
            world, stream = self.one()
            world.peers[0].respond(world.peers[0].requests[0], **response)
            self.check(world, stream)

    def test_reset(self) -> None:
        """By the server's RST_STREAM, whether it processed the request or refused it; it is not sent again."""
        for code in (2, 7, 8):
            world, stream = self.one()
            world.peers[0].reset(world.peers[0].requests[0], code)
            world.pump()
            self.assertEqual(len(world.peers[0].requests), 1)
            self.check(world, stream)

    def test_cancel(self) -> None:
        """By cancelling."""
        world, stream = self.one()
        stream.cancel()
        self.check(world, stream)

    def test_goaway(self) -> None:
        """By a GOAWAY that leaves it behind; it is not sent again."""
        world, stream = self.one()
        world.peers[0].goaway(0)
        world.pump()
        self.assertEqual([len(peer.requests) for peer in world.peers[1:]], [0])
        self.check(world, stream)

    def test_violation(self) -> None:
        """By a malformed response."""
        world, stream = self.one()
        world.peers[0].send_headers(world.peers[0].requests[0], [(":status", "20")])
        self.check(world, stream)

    def test_death(self) -> None:
        """By the end of its connection."""
        for end in ("abort", "close"):
            world, stream = self.one()
            getattr(world.peers[0], end)()
            self.check(world, stream)

    def test_receiver_raises(self) -> None:
        """By a receiver that raises."""

        def told(event: Any) -> None:
            raise LookupError("no")

        world = h2(1)
        stream = self.given(world.pool.get("/", reply_to=told))
        world.pump()
        world.peers[0].respond(world.peers[0].requests[0], fin=False)
        self.check(world, stream)
        self.assertNotEqual(self.flushLoggedErrors(LookupError), [])

    def test_flush(self) -> None:
        """Events that are dropped unread end nothing; the stream ends as it would have."""
        world, stream = self.one()
        peer = world.peers[0]
        peer.respond(peer.requests[0], fin=False)
        world.pump()
        stream.flush()
        world.connections[0].flush()
        self.assertEqual(world.in_use, 1)
        peer.send_data(peer.requests[0], b"x", fin=True)
        self.check(world, stream)

    def test_push(self) -> None:
        """What the server pushes takes no place, and frees none when it ends; gun.md 6.20, where Gun's pool crashes."""
        told = RecordingReceiver()
        world, stream = self.one(http2_opts={"enable_push": True}, reply_to=told)
        peer = world.peers[0]
        pushed = peer.push(peer.requests[0], "/pushed")
        world.pump()
        self.assertEqual(world.in_use, 1)
        peer.respond(pushed, body=b"pushed")
        world.pump()
        self.assertEqual(world.in_use, 1)
        self.assertTrue(told.of(gun.Push)[0].pushed_stream.ended)
        peer.respond(peer.requests[0])
        self.check(world, stream)

    def test_close(self) -> None:
        """By the end of the pool."""
        world, stream = self.one()
        world.pool.close()
        self.check(world, stream)
        self.assertIsInstance(self.failureResultOf(stream.await_response()).value, gun.StreamClosed)

    def test_other_connections_streams(self) -> None:
        """Streams of a connection that is replaced leave the count of its successor alone."""
        world, stream = self.one(idle_timeout=None, retry=0)
        world.peers[0].abort()
        world.pump()
        world.advance(1.0)
        other = self.given(world.pool.get("/"))
        self.assertEqual(world.in_use, 1)
        self.assertTrue(stream.ended)
        other.cancel()
        self.check(world, other)
