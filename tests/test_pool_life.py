"""The life of a pool: what waits for its connections, and what takes the place of those that fail."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.stage import OK
from twisted_gun.pool import Pool
from twisted_gun.testing import MemoryEndpoint, ScriptedPeer


class OptionsTests(PoolCase):
    """What may be given."""

    def test_wrong(self) -> None:
        """An option that cannot be used is refused when the pool is made, by its name; nothing is dialled."""
        wrong: list[tuple[str, Any]] = [
            *(("size", value) for value in (0, -1, 1.0, True, None)),
            *(("max_waiting", value) for value in (-1, 1.0, None)),
            *(("checkout_timeout", value) for value in (-1, "5", float("nan"))),
            *(("checkout_retry", value) for value in (1.0, [-1], ["x"], [None], None)),
            *(("idle_timeout", value) for value in (0, -1, "5")),
            *(("setup_timeout", value) for value in (-1, "5")),
            ("setup", "no"),
            ("reply_to", 1),
            ("owner", print),
            ("retry", -1),
            ("flaw", 1),
        ]
        clock = Clock()
        for name, value in wrong:
            error = self.assertRaises(gun.OptionError, Pool, "example.org", 80, reactor=clock, **{name: value})
            self.assertEqual(error.option, name)
        self.assertRaises(gun.OptionError, Pool, "example.org", 0, reactor=clock)
        self.assertRaises(gun.InvalidRequest, Pool, "exa mple.org", 80, reactor=clock)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_options_of_open(self) -> None:
        """Options of `open` are each connection's, as keywords or as `options`."""
        world = PoolWorld(2, options=gun.Options(retry=3), retry_timeout=1.0, scope="mine")
        for conn in world.connections:
            self.assertEqual((conn._options.retry, conn._options.retry_timeout), (3, 1.0))
        self.assertIn("mine example.org:80", repr(world.pool))
        self.end(world)


class WaitingTests(PoolCase):
    """Requests that find no connection free."""

    def busy(self, **options: Any) -> tuple[PoolWorld, Any]:
        """A pool whose only connection has a request."""
        world = self.up(1, **options)
        stream = self.given(world.pool.get("/busy"))
        world.pump()
        return world, stream

    def test_most(self) -> None:
        """One below, at and beyond `max_waiting`."""
        world, _ = self.busy(max_waiting=2)
        waiting = [world.pool.get("/") for _ in range(2)]
        self.assertEqual(world.pool.info().waiting, 2)
        error = self.failureResultOf(world.pool.get("/"), gun.LimitReached).value
        self.assertEqual((error.name, error.limit), ("max_waiting", 2))
        self.answer(world)
        self.given(waiting[0])
        self.end(world)
        self.failureResultOf(waiting[1], gun.ShuttingDown)

    def test_none_may_wait(self) -> None:
        """With 0 a request that finds no connection free fails at once, as Gun's."""
        world, _ = self.busy(max_waiting=0)
        self.failureResultOf(world.pool.get("/"), gun.LimitReached)
        self.answer(world)
        self.given(world.pool.get("/"))
        self.end(world)

    def test_timeout(self) -> None:
        """After `checkout_timeout` it fails, and says how things stand; one that was given its connection does not."""
        world, stream = self.busy(checkout_timeout=3.0)
        waiting = world.pool.get("/")
        world.advance(2.9)
        self.assertNoResult(waiting)
        world.advance(0.1)
        error = self.failureResultOf(waiting, gun.TimedOut).value
        self.assertEqual((error.stage, error.seconds), ("checkout", 3.0))
        self.assertIn("1 of 1 connections are up", str(error))
        waiting = world.pool.get("/")
        self.answer(world)
        self.assertTrue(stream.ended)
        world.advance(10.0)
        self.given(waiting)
        self.end(world)

    def test_no_timeout(self) -> None:
        """With None it waits on."""
        world, _ = self.busy(checkout_timeout=None)
        waiting = world.pool.get("/")
        world.advance(10_000.0)
        self.answer(world)
        self.given(waiting)
        self.end(world)

    def test_why_none_was_up(self) -> None:
        """Where no connection comes up the error says why the last one did not."""
        world = PoolWorld(2, retry=0)
        world.endpoint.refuse()
        waiting = world.pool.get("/")
        world.advance(5.0)
        text = str(self.failureResultOf(waiting, gun.TimedOut).value)
        self.assertIn("0 of 2 connections are up; the last one that failed: ", text)
        self.assertIn("refused", text)
        self.end(world)

    def test_retries(self) -> None:
        """One that finds the queue full tries again after the seconds of `checkout_retry`, then fails."""
        world, _ = self.busy(max_waiting=0, checkout_retry=[1.0, 2.0])
        fails, succeeds = world.pool.get("/1"), None
        world.advance(1.0)
        self.assertNoResult(fails)
        world.advance(1.9)
        self.assertNoResult(fails)
        world.advance(0.1)
        self.failureResultOf(fails, gun.LimitReached)
        succeeds = world.pool.get("/2")
        self.answer(world)
        self.assertNoResult(succeeds)
        world.advance(1.0)
        self.given(succeeds)
        self.end(world)

    def test_retries_into_the_queue(self) -> None:
        """It may find a place in the queue, and waits there like any other."""
        world, _ = self.busy(max_waiting=1, checkout_retry=(1.0,))
        first, second = world.pool.get("/1"), world.pool.get("/2")
        self.answer(world)
        self.given(first)
        world.advance(1.0)
        self.assertEqual(world.pool.info().waiting, 1)
        world.pump()
        self.answer(world)
        self.given(second)
        self.end(world)

    def test_retries_behind_others(self) -> None:
        """It does not pass those that wait."""
        world, _ = self.busy(max_waiting=1, checkout_retry=[1.0])
        first, second = world.pool.get("/1"), world.pool.get("/2")
        world.clock.pump([1.0])
        self.failureResultOf(second, gun.LimitReached)
        self.assertNoResult(first)
        self.end(world)
        self.failureResultOf(first, gun.ShuttingDown)

    def test_retries_behind_others_in_the_same_turn(self) -> None:
        """Nor where a connection becomes free in the very turn in which it tries."""
        world, _ = self.busy(max_waiting=1, checkout_retry=[1.0])

        def deliver() -> None:
            self.assertNoResult(second)
            world.peers[0].send(OK)
            world.endpoint.links[0].flush()

        world.clock.callLater(1.0, deliver)
        first, second = world.pool.get("/1"), world.pool.get("/2")
        world.advance(1.0)
        self.given(first)
        self.failureResultOf(second, gun.LimitReached)
        self.end(world)

    def test_retries_in_time(self) -> None:
        """`checkout_timeout` is for all of it, and none is made later."""
        world, _ = self.busy(max_waiting=0, checkout_retry=[1.0, 100.0], checkout_timeout=5.0)
        waiting = world.pool.get("/")
        world.advance(5.0)
        self.failureResultOf(waiting, gun.TimedOut)
        self.answer(world)
        world.advance(200.0)
        self.assertEqual(world.in_use, 0)
        self.end(world)

    def test_cancel(self) -> None:
        """A Deferred that is cancelled leaves the queue, or tries no more; those behind it move up."""
        world, _ = self.busy(max_waiting=2, checkout_retry=[1.0])
        asked = [world.pool.get(f"/{at}") for at in range(3)]
        asked[0].cancel()
        asked[2].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.failureResultOf(asked[2], CancelledError)
        self.assertEqual(world.pool.info().waiting, 1)
        self.answer(world)
        self.given(asked[1])
        self.assertEqual(world.in_use, 1)
        world.advance(100.0)
        self.assertEqual(world.in_use, 1)
        self.end(world)

    def test_cancel_within(self) -> None:
        """One may be cancelled by what was given its connection just before."""
        world = PoolWorld(1, protocols=["http2"])
        first, second = world.pool.get("/1"), world.pool.get("/2")
        first.addCallback(lambda _: second.cancel())
        world.pump()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(world.in_use, 1)
        self.end(world)

    def test_death_of_one(self) -> None:
        """What waits goes to another connection when one dies; what had been sent on it does not."""
        world, stream = self.busy(retry=0)
        waiting = world.pool.get("/waiting")
        world.peers[0].abort()
        world.pump()
        self.assertTrue(stream.ended)
        world.advance(1.0)
        self.given(waiting)
        world.pump()
        self.assertEqual([request.target for request in world.peers[1].requests], [b"/waiting"])
        self.end(world)


class ReplacingTests(PoolCase):
    """Connections that fail."""

    def test_degraded(self) -> None:
        """With one connection down the pool is degraded; its options dial it again, and it is operational."""
        world = self.up(2)
        world.endpoint.refuse(times=1)
        world.peers[0].abort()
        world.pump()
        self.assertEqual((world.pool.info().state, sorted(world.states)), ("degraded", ["connecting", "up"]))
        world.advance(5.0)
        self.assertEqual((world.pool.info().state, world.endpoint.attempts), ("operational", 4))
        self.end(world)

    def test_replaced(self) -> None:
        """One that has given up is replaced, and told of by `info` until then."""
        world = PoolWorld(1, retry=0)
        world.endpoint.refuse(times=1)
        world.pump()
        info = world.pool.info()
        self.assertEqual((info.state, world.states, info.connections[0].connection), ("degraded", ["waiting"], None))
        self.assertIsInstance(info.last_failure, gun.ConnectFailed)
        world.advance(0.5)
        self.assertEqual(world.states, ["up"])
        self.end(world)

    def test_dead_server(self) -> None:
        """A server that is dead is dialled again and again, but ever less often, and at last about every half minute."""
        world = PoolWorld(1, retry=0)
        world.endpoint.refuse()
        attempts = []
        for _ in range(4):
            for _ in range(3600):
                world.clock.advance(1.0)
            attempts.append(world.endpoint.attempts)
        hours = [after - before for before, after in pairwise(attempts)]
        for count in hours:  # the mean of a wait is 30 seconds
            self.assertTrue(60 <= count <= 200, attempts)
        world.endpoint.accept()
        world.advance(60.0)
        self.assertEqual(world.states, ["up"])
        self.end(world)

    def test_together(self) -> None:
        """The connections of a pool do not all come back at the same moment."""
        world = PoolWorld(8, retry=0)
        world.endpoint.refuse(times=8)
        world.pump()
        world.clock.advance(0.25)
        self.assertTrue(8 < world.endpoint.attempts < 16, world.endpoint.attempts)
        self.end(world)

    def test_good_for_something(self) -> None:
        """One that has answered, or was up for ten seconds, is replaced at once; one that was good for nothing is not."""
        for prepare, at_once in ((self._answered, True), (self._steady, True), (lambda world: None, False)):
            world = self.up(1, retry=0, seed=3)
            prepare(world)
            world.peers[0].close()
            world.pump()
            self.assertEqual(len(world.peers), 2 if at_once else 1)
            world.advance(0.5)
            self.assertEqual(len(world.peers), 2)
            self.end(world)

    def _answered(self, world: PoolWorld) -> None:
        self.given(world.pool.get("/"))
        world.pump()
        self.answer(world)

    def _steady(self, world: PoolWorld) -> None:
        world.advance(10.0)

    def test_accepts_and_closes(self) -> None:
        """A server that only accepts is not dialled without a pause."""
        world = PoolWorld(1, retry=0, peer=lambda: ScriptedPeer([("close",)]))
        for _ in range(600):
            world.clock.advance(0.1)
        self.assertTrue(3 < world.endpoint.attempts < 30, world.endpoint.attempts)
        self.end(world)

    def test_ended_by_others(self) -> None:
        """One that somebody closes, or shuts down, is asked no more, and replaced."""
        for http2 in (False, True):
            for verb in ("close", "shutdown"):
                world = self.up(1, protocols=["http2" if http2 else "http"], checkout_timeout=None)
                stream = self.given(world.pool.get("/"))
                world.pump()
                getattr(stream.connection, verb)()
                waiting = world.pool.get("/")
                world.pump()
                self.assertNoResult(waiting)
                stream.cancel()
                world.advance(5.0)  # over HTTP/1.1, http_opts.cancel_timeout
                world.advance(0.5)
                self.assertIsNot(self.given(waiting).connection, stream.connection)
                self.end(world)

    def test_endpoint_at_once(self) -> None:
        """An endpoint that connects within the call is no surprise."""
        world = PoolWorld(2, endpoint=lambda factory, clock: MemoryEndpoint(factory))
        self.assertEqual(world.pool.info().state, "operational")
        self.given(world.pool.get("/"))
        world.pool.close()
        for link in world.endpoint.links:
            link.flush()
        self.assert_nothing_left(world)

    def test_refused_at_once(self) -> None:
        """Nor is one that refuses within the call."""

        def endpoint(factory: Any, clock: Any) -> MemoryEndpoint:
            made = MemoryEndpoint(factory)
            made.refuse()
            return made

        world = PoolWorld(2, endpoint=endpoint, retry=0)
        self.assertEqual((world.endpoint.attempts, world.states), (2, ["waiting"] * 2))
        world.advance(0.5)
        self.assertTrue(world.endpoint.attempts > 2)
        self.end(world)


class AwaitUpTests(PoolCase):
    """Waiting until all connections are up."""

    def test_up(self) -> None:
        """It fires when the last one is, and at once when they are."""
        world = PoolWorld(2)
        up = [world.pool.await_up(), world.pool.await_up(None)]
        self.assertNoResult(up[0])
        world.pump()
        for each in (*up, world.pool.await_up()):
            self.assertIsNone(self.successResultOf(each))
        self.end(world)

    def test_timeout(self) -> None:
        """It fails when it takes too long; the pool goes on trying."""
        world = PoolWorld(2)
        world.endpoint.hang()
        up = world.pool.await_up(2.0)
        world.advance(2.0)
        error = self.failureResultOf(up, gun.TimedOut).value
        self.assertEqual((error.stage, error.seconds), ("up", 2.0))
        self.assertRaises(gun.OptionError, world.pool.await_up, -1)
        self.end(world)

    def test_cancel(self) -> None:
        """It may be cancelled, by another that waits for the same as well."""
        world = PoolWorld(1)
        first, second, third = world.pool.await_up(), world.pool.await_up(), world.pool.await_up()
        first.cancel()
        second.addCallback(lambda _: third.cancel())
        world.pump()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(third, CancelledError)
        self.end(world)

    def test_closed(self) -> None:
        """It fails when the pool is closed, and afterwards."""
        world = PoolWorld(1)
        up = world.pool.await_up()
        self.end(world)
        self.failureResultOf(up, gun.ShuttingDown)
        self.failureResultOf(world.pool.await_up(), gun.ShuttingDown)
