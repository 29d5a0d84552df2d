"""`twisted_gun.pool`: connections that have nothing to do, how a pool ends, and what its owner is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.stage import answering, every_answer
from twisted_gun.pool import Pool
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer


class IdleTests(PoolCase):
    """Connections that nobody uses."""

    def test_closed_and_opened(self) -> None:
        """One without a stream for `idle_timeout` is closed; that is no degradation; it is opened when it is wanted, and no other."""
        world = self.up(2, idle_timeout=30.0)
        world.advance(29.9)
        self.assertEqual(world.states, ["up", "up"])
        world.advance(0.2)
        self.assertEqual((world.states, world.pool.info().state, world.alive), (["idle", "idle"], "operational", []))
        self.assertEqual(world.clock.getDelayedCalls(), [])
        asked = world.pool.get("/")
        world.pump()
        self.given(asked)
        self.assertEqual(sorted(world.states), ["idle", "up"])
        more = [world.pool.get("/") for _ in range(2)]
        world.pump()
        self.assertEqual((world.states, [deferred.called for deferred in more]), (["up", "up"], [True, False]))
        self.end(world)
        self.failureResultOf(more[1], gun.ShuttingDown)

    def test_in_use(self) -> None:
        """One with a stream is not idle, however long that takes; the time runs from its end."""
        world = self.up(1, idle_timeout=30.0)
        self.given(world.pool.get("/"))
        world.advance(100.0)
        self.assertEqual(world.states, ["up"])
        self.answer(world)
        world.advance(29.0)
        self.assertEqual(world.states, ["up"])
        world.advance(31.0)
        self.assertEqual(world.states, ["idle"])
        self.end(world)

    def test_used_by_itself(self) -> None:
        """Nor is one on which somebody has made a stream without the pool."""
        world = self.up(1, idle_timeout=30.0)
        world.connections[0].get("/")
        world.advance(100.0)
        self.assertEqual(world.states, ["up"])
        self.end(world)

    def test_as_many_as_wait(self) -> None:
        """As many are opened as there are requests that wait, those on their way up included."""
        world = self.up(4, idle_timeout=1.0)
        world.advance(1.0)
        asked = [world.pool.get("/")]
        self.assertEqual(Counter(world.states), {"connecting": 1, "idle": 3})
        asked += [world.pool.get("/")]
        self.assertEqual(Counter(world.states), {"connecting": 2, "idle": 2})
        world.pump()
        self.assertEqual([deferred.called for deferred in asked], [True, True])
        self.end(world)

    def test_no_failure(self) -> None:
        """To have been closed as idle is no failure, and ends a row of them: if the server is gone then, it is dialled again at once."""
        world = PoolWorld(1, retry=0, idle_timeout=100.0)
        world.endpoint.refuse(times=5)
        for _ in range(7):
            world.advance(8.0)
        self.assertEqual(world.states, ["up"])
        world.advance(100.0)
        self.assertEqual((world.states, world.endpoint.attempts), (["idle"], 6))
        world.endpoint.refuse(times=1)
        asked = world.pool.get("/")
        world.pump()
        self.given(asked)
        self.assertEqual(world.endpoint.attempts, 8)
        self.end(world)

    def test_nobody_may_wait(self) -> None:
        """Idle connections are opened even where no request may wait for them."""
        world = self.up(1, idle_timeout=1.0, max_waiting=0)
        world.advance(1.0)
        self.failureResultOf(world.pool.get("/"), gun.LimitReached)
        world.pump()
        self.given(world.pool.get("/"))
        self.end(world)

    def test_retry_wakes(self) -> None:
        """A retry that finds all idle opens one."""
        world = self.up(1, idle_timeout=1.0, max_waiting=0, checkout_retry=[2.5, 0.5])
        self.given(world.pool.get("/")).cancel()
        asked = world.pool.get("/")
        self.answer(world)
        world.clock.pump([0.5] * 4)
        self.assertEqual(world.states, ["idle"])
        world.clock.pump([0.5])
        self.assertEqual(world.states, ["up"])
        self.assertNoResult(asked)
        world.clock.pump([0.5])
        self.given(asked)
        self.end(world)

    def test_graceful(self) -> None:
        """It is ended in good order: over HTTP/2 by GOAWAY."""
        world = self.up(1, protocols=["http2"], idle_timeout=30.0)
        world.advance(30.0)
        self.assertEqual(world.peers[0].gone_away, (0, 0))
        self.end(world)


class EndTests(PoolCase):
    """Shutting down and closing."""

    def test_shutdown(self) -> None:
        """What is under way finishes; what waits, and what is asked for, is refused; it fires when all connections have ended."""
        world = self.up(1)
        stream, waiting, retrying = (
            self.given(world.pool.get("/")),
            world.pool.get("/"),
            world.pool.get("/"),
        )
        world.pump()
        world.shutdown()
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.failureResultOf(retrying, gun.ShuttingDown)
        self.failureResultOf(world.pool.get("/"), gun.ShuttingDown)
        self.assertEqual((world.pool.info().state, world.ended), ("closing", []))
        self.answer(world)
        self.assertEqual(self.successResultOf(stream.await_body()), b"ok")
        self.assertEqual(world.ended, [None])
        self.assert_nothing_left(world)

    def test_again(self) -> None:
        """Both may be called at any time, and as often as one likes."""
        world = self.up(2, protocols=["http2"])
        stream = self.given(world.pool.get("/"))
        world.shutdown()
        cancelled = world.pool.shutdown()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        world.shutdown()
        world.pump()
        self.assertFalse(stream.ended)
        world.pool.close()
        world.pump()
        self.assertTrue(stream.ended)
        world.shutdown()
        world.pool.close()
        self.assertEqual(world.ended, [None] * 3)
        self.assert_nothing_left(world)

    def test_before_it_is_up(self) -> None:
        """A pool that dials, or waits to, ends as well."""
        for retry in (0, 5):
            world = PoolWorld(3, retry=retry)
            world.endpoint.refuse(times=2)
            world.pump()
            world.shutdown()
            world.pump()
            self.assertEqual(world.ended, [None])
            self.assert_nothing_left(world)

    def test_when_idle(self) -> None:
        """One whose connections are all idle has ended at once."""
        world = self.up(2, idle_timeout=1.0)
        world.advance(1.0)
        world.shutdown()
        self.assertEqual(world.ended, [None])
        self.assert_nothing_left(world)

    def test_closing_timeout(self) -> None:
        """A response that does not end is ended by ``closing_timeout``."""
        world = self.up(1, http_opts={"closing_timeout": 3.0})
        stream = self.given(world.pool.get("/"))
        world.shutdown()
        world.advance(3.0)
        self.assertTrue(stream.ended)
        self.assertEqual(world.ended, [None])
        self.assert_nothing_left(world)

    def test_from_within(self) -> None:
        """It may be closed by whoever is told anything."""
        for ends in range(5):
            world = PoolWorld(2, protocols=["http2"], peer=lambda: Http2Peer(every_answer))
            pool = world.pool

            def close(_: object, pool: Pool = pool) -> None:
                pool.close()

            asked = pool.get("/1", reply_to=close if ends == 0 else None)
            others: list[Deferred[Any]] = [pool.get("/2"), pool.await_up()]
            if ends == 1:
                asked.addCallback(close)
            elif ends == 2:
                others[1].addCallback(close)
            elif ends == 3:
                asked.addCallback(lambda stream: stream.await_body()).addCallback(close)
            world.pump()
            if ends == 4:
                asked = pool.get("/3", reply_to=None)
                asked.addCallback(lambda stream: stream.cancel()).addCallback(close)
                world.pump()
            for other in others:
                self.assertTrue(other.called)
                other.addErrback(lambda failure: failure.trap(gun.ShuttingDown))
            self.assert_nothing_left(world)

    def test_ending_stops_asking(self) -> None:
        """What is asked for by whoever is told that the pool has ended is refused."""
        world = self.up(1)
        results: list[Any] = []
        self.given(world.pool.get("/"))
        waiting = world.pool.get("/")
        waiting.addErrback(lambda _: world.pool.get("/").addErrback(results.append))
        self.end(world)
        self.assertEqual([type(result.value) for result in results], [gun.ShuttingDown])


class EventsTests(PoolCase):
    """The pool owns its connections."""

    def test_on_up(self) -> None:
        """`on_up` is called as ever, with each."""
        seen: list[gun.Connection] = []
        world = self.up(3, on_up=seen.append)
        self.assertEqual(set(seen), set(world.connections))
        self.end(world)

    def test_streams_know_their_connection(self) -> None:
        """A stream says which connection it was given, and that is one of the pool's."""
        told = RecordingReceiver()
        world = self.up(2, reply_to=told, peer=lambda: ScriptedPeer(answering()))
        stream = self.given(world.pool.get("/"))
        self.assertIn(stream.connection, world.connections)
        self.end(world)
