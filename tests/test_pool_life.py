"""The life of a pool: what waits, what takes the place of connections that fail, what is closed because nobody uses it, and the end."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.stage import OK, answering, every_answer
from twisted_gun.pool import Pool
from twisted_gun.testing import Http2Peer, MemoryEndpoint, RecordingReceiver, ScriptedPeer


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
