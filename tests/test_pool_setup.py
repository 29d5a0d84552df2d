"""The setup hook of a pool: when it is called, what becomes of what it gives, and of a connection where it fails."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.stage import OK, answering
from twisted_gun.testing import Http2WebsocketPeer, ScriptedPeer, WebsocketPeer

#: What a SOCKS proxy says: no authentication is needed; and there is the tunnel.
GRANTED = b"\5\0", b"\5\0\0\1" + bytes(6)


class Hook:
    """A setup hook that gives a Deferred of the test's each time; `asked` are the connections that it was called with."""

    def __init__(self) -> None:
        self.asked: list[gun.Connection] = []
        self.results: list[Deferred[Any]] = []
        self.cancelled: list[Deferred[Any]] = []

    def __call__(self, conn: gun.Connection) -> Deferred[Any]:
        self.asked.append(conn)
        self.results.append(Deferred(self.cancelled.append))
        return self.results[-1]


async def websocket(conn: gun.Connection) -> gun.Stream:
    """A setup hook that makes a websocket."""
    stream = conn.ws_upgrade("/ws", reply_to=None)
    await stream.await_upgrade()
    return stream


class SetupTests(PoolCase):
    """What the hook does before a connection is given to anybody."""

    def test_before_requests(self) -> None:
        """A connection is not asked, nor the pool operational, before it is set up; what the hook gave is its `meta`."""
        hook = Hook()
        world = PoolWorld(2, setup=hook)
        asked, up = world.pool.get("/"), world.pool.await_up()
        world.pump()
        self.assertEqual((world.states, world.pool.info().state), (["setting_up"] * 2, "degraded"))
        self.assertEqual(hook.asked, world.connections)
        self.assertNoResult(asked)
        hook.results[1].callback("second")
        world.pump()
        self.assertIs(self.given(asked).connection, hook.asked[1])
        self.assertNoResult(up)
        hook.results[0].callback({"key": "first"})
        world.pump()
        self.successResultOf(up)
        self.assertEqual([each.meta for each in world.pool.info().connections], [{"key": "first"}, "second"])
        self.end(world)

    def test_plain_value(self) -> None:
        """It need not wait for anything, and is called when all that makes a connection up is done: it may ping."""
        pings: list[Deferred[float]] = []

        def setup(conn: gun.Connection) -> str:
            pings.append(conn.ping())
            return conn.info().state_name

        world = self.up(1, protocols=["http2"], setup=setup)
        self.assertEqual(world.pool.info().connections[0].meta, "connected")
        self.successResultOf(pings[0])
        self.end(world)

    def test_requests_of_its_own(self) -> None:
        """It may make requests of its own, which take no place of the pool's; over HTTP/1.1 the connection is busy all the same."""
        streams: list[gun.Stream] = []
        world = PoolWorld(1, setup=lambda conn: streams.append(conn.get("/login", reply_to=None)))
        asked = world.pool.get("/")
        world.pump()
        self.assertEqual((world.states, world.in_use), (["up"], 0))
        self.assertNoResult(asked)
        world.peers[0].send(OK)
        world.pump()
        self.assertTrue(streams[0].ended)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.given(world.pool.get("/"))
        self.end(world)

    def test_again(self) -> None:
        """It is called each time that the connection is up, and what it gave before is forgotten."""
        hook = Hook()
        world = PoolWorld(1, setup=hook)
        world.pump()
        hook.results[0].callback("one")
        self.assertEqual(world.pool.info().connections[0].meta, "one")
        world.peers[0].abort()
        world.pump()
        self.assertEqual((world.states, world.pool.info().connections[0].meta), (["setting_up"], None))
        hook.results[1].callback("two")
        self.assertEqual(world.pool.info().connections[0].meta, "two")
        self.end(world)

    def test_settings_meanwhile(self) -> None:
        """Settings that come during setup are no trouble; gun.md 6.20, where Gun's pool crashes."""
        hook = Hook()
        world = PoolWorld(1, setup=hook, protocols=["http2"], http2_opts={"notify_settings_changed": True})
        world.pump()
        world.peers[0].settings(max_concurrent_streams=1)
        world.pump()
        hook.results[0].callback(None)
        asked = [world.pool.get("/") for _ in range(2)]
        world.pump()
        self.assertEqual([deferred.called for deferred in asked], [True, False])
        self.end(world)
        self.failureResultOf(asked[1], gun.ShuttingDown)

    def test_through_socks(self) -> None:
        """It is called when the origin is reached, not when the proxy is."""
        hook = Hook()
        world = PoolWorld(1, setup=hook, protocols=[("socks", {"host": "origin.example", "port": 80})])
        world.pump()
        self.assertEqual((hook.asked, world.states), ([], ["connecting"]))
        for piece in GRANTED:
            world.peers[0].send(piece)
            world.pump()
        hook.results[0].callback(None)
        self.given(world.pool.get("/"))
        world.pump()
        self.assertIn(b"host: origin.example\r\n", world.peers[0].received)
        self.end(world)

    def test_idle(self) -> None:
        """One that is opened again is set up again."""
        hook = Hook()
        world = PoolWorld(1, setup=hook, idle_timeout=1.0)
        world.pump()
        hook.results[0].callback("one")
        world.advance(1.0)
        asked = world.pool.get("/")
        world.pump()
        self.assertEqual(world.states, ["setting_up"])
        hook.results[1].callback("two")
        world.pump()
        self.given(asked)
        self.end(world)


class FailureTests(PoolCase):
    """Setups that fail."""

    def test_replaced(self) -> None:
        """Another connection takes the place of one whose setup failed, after a wait that grows; what failed is in `info`."""
        hook = Hook()
        world = PoolWorld(1, setup=hook)
        for at in range(6):
            world.pump()
            self.assertEqual(len(world.peers), at + 1)
            hook.results[at].errback(gun.BadState(f"failure {at}"))
            world.pump()
            self.assertEqual((world.states, world.alive), (["waiting"], []))
            self.assertEqual(str(world.pool.info().last_failure), f"failure {at}")
            world.advance(0.5 * 2**at)
        hook.results[6].callback("at last")
        self.assertEqual(world.states, ["up"])
        self.end(world)

    def test_closed_at_once(self) -> None:
        """It is not waited for what the setup had under way, over HTTP/1.1 for fifteen seconds."""
        streams: list[gun.Stream] = []

        def setup(conn: gun.Connection) -> None:
            streams.append(conn.get("/login"))
            raise gun.BadState("no")

        world = PoolWorld(1, setup=setup)
        world.pump()
        self.assertEqual((world.alive, [stream.ended for stream in streams]), ([], [True]))
        self.end(world)

    def test_beside_others(self) -> None:
        """Where a setup that is made again fails, the pool's streams on that connection finish."""
        world = self.over_again()
        stream = self.given(world.pool.get("/"))
        world.pump()
        world.peers[0].end.close(1001)
        world.pump()
        world.advance(0.5)
        self.assertIn("failed", str(world.pool.info().last_failure))
        self.assertFalse(stream.ended)
        body = stream.await_body()
        world.peers[0].respond(world.peers[0].requests[-1], 200, {}, b"ok")
        world.pump()
        self.assertEqual(self.successResultOf(body), b"ok")
        self.end(world)

    def over_again(self) -> PoolWorld:
        """A pool whose setup makes a websocket over HTTP/2, but fails the second time."""
        asked: list[gun.Connection] = []

        async def setup(conn: gun.Connection) -> gun.Stream:
            asked.append(conn)
            if len(asked) > 1:
                raise gun.BadState("failed")
            return await websocket(conn)

        world = PoolWorld(1, setup=setup, protocols=["http2"], peer=Http2WebsocketPeer)
        world.pump()
        self.assertEqual(world.states, ["up"])
        return world

    def test_raises(self) -> None:
        """What is no error of ours is logged."""

        def setup(conn: gun.Connection) -> None:
            raise LookupError("no")

        world = PoolWorld(1, setup=setup)
        world.pump()
        self.assertEqual(world.states, ["waiting"])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.end(world)

    def test_too_long(self) -> None:
        """One that takes longer than `setup_timeout` is cancelled, and has failed."""
        hook = Hook()
        world = PoolWorld(1, setup=hook, setup_timeout=2.0)
        world.pump()
        world.advance(1.9)
        self.assertEqual(world.states, ["setting_up"])
        world.advance(0.1)
        self.assertEqual(hook.cancelled, [hook.results[0]])
        error: Any = world.pool.info().last_failure
        self.assertEqual((error.stage, error.seconds, world.states), ("setup", 2.0, ["waiting"]))
        self.end(world)

    def test_no_limit(self) -> None:
        """With None it may take as long as it likes."""
        hook = Hook()
        world = PoolWorld(1, setup=hook, setup_timeout=None)
        world.pump()
        world.advance(1000.0)
        hook.results[0].callback(None)
        self.assertEqual(world.states, ["up"])
        self.end(world)

    def test_lost_meanwhile(self) -> None:
        """Where the connection is lost during setup that is cancelled, and made again on the next; what the old one gives is not taken."""
        hook = Hook()
        world = PoolWorld(1, setup=hook)
        world.pump()
        world.peers[0].abort()
        world.pump()
        self.assertEqual(hook.cancelled, [hook.results[0]])
        self.assertEqual((world.states, len(hook.asked)), (["setting_up"], 2))
        hook.results[1].callback("two")
        self.assertEqual(world.pool.info().connections[0].meta, "two")
        self.end(world)

    def test_late_answer(self) -> None:
        """What a setup that was cancelled gives all the same is not taken."""
        asked: list[gun.Connection] = []

        def setup(conn: gun.Connection) -> Deferred[str]:
            asked.append(conn)
            return Deferred(lambda deferred: deferred.callback("after all"))

        world = PoolWorld(1, setup=setup)
        world.pump()
        world.peers[0].abort()
        world.pump()
        self.assertEqual((len(asked), world.states, world.pool.info().connections[0].meta), (2, ["setting_up"], None))
        self.end(world)

    def test_closed_meanwhile(self) -> None:
        """The end of the pool cancels it, and it may answer that by anything."""
        late: Deferred[str] = Deferred(lambda d: d.callback("after all"))
        world = PoolWorld(1, setup=lambda conn: late)
        world.pump()
        self.end(world)
        self.assertEqual(world.states, ["ended"])

    def test_ends_the_pool(self) -> None:
        """A hook may close the pool, when it is called and when it is cancelled."""
        worlds: list[PoolWorld] = []
        worlds.append(PoolWorld(2, setup=lambda conn: worlds[0].pool.close(), idle_timeout=5.0))
        worlds[0].pump()
        self.assert_nothing_left(worlds[0])
        self.assertEqual(worlds[0].states, ["ended"] * 2)
        world = PoolWorld(2, setup=lambda conn: Deferred(lambda _: worlds[1].pool.close()), setup_timeout=1.0)
        worlds.append(world)
        world.pump()
        world.advance(1.0)
        self.assert_nothing_left(world)


class WebsocketTests(PoolCase):
    """Websockets that the hook makes."""

    def over(self, http2: bool, **options: Any) -> PoolWorld:
        """A pool of two connections with a websocket each, whose servers send back what they get."""
        make: Any = Http2WebsocketPeer if http2 else WebsocketPeer
        world = PoolWorld(
            2, setup=websocket, protocols=["http2" if http2 else "http"], peer=lambda: make(echo=True), checkout_timeout=1.0, **options
        )
        world.pump()
        self.assertEqual(world.states, ["up", "up"])
        return world

    def received(self, world: PoolWorld) -> Counter[Any]:
        """What came back on each websocket."""
        told: Counter[Any] = Counter()
        for at, each in enumerate(world.pool.info().connections):
            while (event := each.meta.await_event()).called:
                told[at, self.successResultOf(event).frame.text] += 1
            event.cancel()
            self.failureResultOf(event, CancelledError)
        return told

    def test_ws_send(self) -> None:
        """`ws_send` sends on any of them, as often as one likes."""
        for http2 in (False, True):
            world = self.over(http2)
            for _ in range(400):
                world.pool.ws_send("hello")
            world.pump()
            told = self.received(world)
            self.assertEqual(told.total(), 400)
            self.assertEqual(set(told), {(0, "hello"), (1, "hello")})
            self.assertLess(abs(told[0, "hello"] - 200), 50)
            self.end(world)

    def test_requests_beside(self) -> None:
        """Over HTTP/2 requests go beside them; over HTTP/1.1 there is no room for any, ever, and they are refused at once."""
        world = self.over(True)
        self.given(world.pool.get("/"))
        self.end(world)
        world = self.over(False)
        self.failureResultOf(world.pool.get("/"), gun.BadState)
        self.end(world)

    def test_some(self) -> None:
        """Where only some of the connections are websockets, requests take the others, and wait for them."""
        made: list[gun.Connection] = []

        async def setup(conn: gun.Connection) -> gun.Stream | None:
            made.append(conn)
            return await websocket(conn) if len(made) == 1 else None

        world = PoolWorld(2, setup=setup, peer=lambda: WebsocketPeer(accept=False))
        world.pump()
        world.peers[0].accept()
        world.pump()
        self.assertIs(self.given(world.pool.get("/")).connection, made[1])
        waiting = world.pool.get("/later")
        world.pump()
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.end(world)

    def test_none(self) -> None:
        """Without any it raises."""
        world = self.up(1)
        self.assertRaises(gun.BadState, world.pool.ws_send, "hello")
        self.end(world)
        self.assertRaises(gun.BadState, world.pool.ws_send, "hello")

    def test_as_gun_gives_it(self) -> None:
        """A dict with the stream as "ws" does as well."""

        async def setup(conn: gun.Connection) -> dict[str, Any]:
            return {"ws": await websocket(conn), "more": 1}

        world = self.up(1, setup=setup, peer=lambda: WebsocketPeer(echo=True))
        world.pool.ws_send("hello")
        world.pump()
        self.assertEqual(world.pool.info().connections[0].meta["more"], 1)
        self.end(world)

    def test_ends(self) -> None:
        """When one ends, over HTTP/1.1 with its connection, over HTTP/2 without, another is made."""
        for http2 in (False, True):
            world = self.over(http2)
            old = [each.meta for each in world.pool.info().connections]
            world.peers[0].end.close(1001)
            world.pump()
            self.assertTrue(old[0].ended)
            world.advance(0.5)
            new = [each.meta for each in world.pool.info().connections]
            self.assertEqual(world.states, ["up", "up"])
            self.assertIsNot(new[0], old[0])
            self.assertEqual([stream.ws_open for stream in new], [True, True])
            self.assertEqual(len(world.peers), 2 if http2 else 3)
            self.end(world)

    def test_ends_each_time(self) -> None:
        """Where it ends each time as soon as it is there, the hook is called less and less often, however long the connection is up."""
        asked: list[float] = []

        def setup(conn: gun.Connection) -> gun.Stream:
            asked.append(world.clock.seconds())
            return conn.get("/poll")

        world = PoolWorld(1, setup=setup, reply_to=lambda event: None, peer=lambda: ScriptedPeer(answering()))
        world.pump()
        for _ in range(300):
            world.advance(1.0)
        self.assertLess(len(asked), 60)
        self.assertLess(len([when for when in asked if when > 240]), 10)
        self.end(world)

    def test_never_idle(self) -> None:
        """A connection with a websocket of setup's is not closed as idle."""
        world = self.over(False, idle_timeout=10.0)
        world.advance(100.0)
        self.assertEqual(world.states, ["up", "up"])
        self.end(world)

    def test_refused(self) -> None:
        """Where the server refuses them the setup has failed."""
        world = PoolWorld(1, setup=websocket)
        world.pump()
        world.peers[0].send(OK)
        world.pump()
        self.assertEqual(world.states, ["waiting"])
        self.assertIsInstance(world.pool.info().last_failure, gun.UpgradeRefused)
        self.end(world)

    def test_of_another(self) -> None:
        """So is a stream of another connection."""
        other = self.up(1)
        world = PoolWorld(1, setup=lambda conn: self.successResultOf(other.pool.get("/")))
        world.pump()
        self.assertEqual(world.states, ["waiting"])
        self.assertIn("is not of the connection", str(world.pool.info().last_failure))
        self.end(world)
        self.end(other)
        self.assertEqual(other.in_use, 0)

    def test_ended_already(self) -> None:
        """A stream that has ended when it is given is a failure of the setup."""

        def setup(conn: gun.Connection) -> gun.Stream:
            stream = conn.ws_upgrade("/")
            stream.cancel()
            return stream

        world = PoolWorld(1, setup=setup, protocols=["http2"])
        world.pump()
        self.assertEqual(world.states, ["waiting"])
        self.end(world)
