"""Many short lives of pools, each of random requests, answers, resets, deaths, restarts and calls from callbacks, by a fixed seed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.pool_stage import PoolCase, PoolWorld
from tests.producers import Body
from tests.test_chaos import RESPONSES
from tests.test_http2_chaos import GARBAGE, MALFORMED
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode


class Life:
    """One of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.told = RecordingReceiver(self.react)
        self.http2 = self.random.random() < 0.6
        self.asked: list[Deferred[Any]] = []
        self.others: list[Deferred[Any]] = []
        self.streams: list[Any] = []
        self.bodies: list[Body] = []
        self.answered: Counter[Any] = Counter()
        self.begun: dict[Any, set[int]] = {}
        self.depth = 0
        self.world = self.make_world()
        self.pool = self.world.pool

    def make_world(self) -> PoolWorld:
        chance = self.random
        settings = chance.choice(({}, {"max_concurrent_streams": 1}, {"max_concurrent_streams": 3}, {"initial_window_size": 1000}))
        self.most_waiting = chance.choice((0, 3, 100))
        return PoolWorld(
            chance.choice((1, 2, 4)),
            seed=chance.randrange(1000),
            protocols=["http2" if self.http2 else "http"],
            peer=(lambda: Http2Peer(settings=settings)) if self.http2 else ScriptedPeer,
            http2_opts={"enable_push": chance.random() < 0.5, "core": chance.choice(("own", "own", "h2"))},
            http_opts={"max_cancelled_size": chance.choice((1, 1000, 65536))},
            setup=chance.choice((None, None, self.setup)),
            setup_timeout=1.0,
            reply_to=self.told,
            checkout_timeout=chance.choice((None, 0.5, 5.0)),
            checkout_retry=chance.choice(((), (0.1, 1.0))),
            max_waiting=self.most_waiting,
            idle_timeout=chance.choice((None, None, 1.0)),
            retry=chance.choice((0, 0, 2)),
            retry_timeout=0.5,
        )

    def play(self, check: Any, steps: int = 30) -> None:
        for _ in range(steps):
            self.random.choice((self.act, self.act, self.answer, self.answer, self.fault, self.pass_time))()
            self.world.pump()
            check(self)
        if self.random.random() < 0.3:
            self.others.append(self.pool.shutdown())
            self.world.advance(1000.0)
        self.pool.close()
        self.world.pump()

    # What the application does.

    def react(self, event: object) -> None:
        if self.depth < 2 and self.random.random() < 0.2:
            self.depth += 1
            self.act()
            self.depth -= 1

    def setup(self, conn: gun.Connection) -> Any:
        chance = self.random.random()
        if chance < 0.2:
            raise gun.BadState("not this one")
        if chance < 0.4:
            return Deferred()
        if chance < 0.7:
            return conn.get("/setup", reply_to=None).await_body()
        return conn.get("/stream", reply_to=self.told) if chance < 0.8 else None

    def act(self) -> None:
        self.random.choice((self.get, self.get, self.get, self.post, self.cancel, self.cancel, self.give_up, self.produce, self.touch))()

    def keep(self, asked: Deferred[Any]) -> None:
        self.asked.append(asked)
        asked.addCallbacks(self.given, lambda failure: failure.type)

    def given(self, stream: Any) -> None:
        self.streams.append(stream)
        if stream._receiver is None:
            self.others.append(stream.await_body(timeout=self.random.choice((None, 0.5))))
            self.others[-1].addErrback(lambda _: stream.cancel())
        self.react(stream)

    def get(self) -> None:
        self.keep(self.pool.get("/", reply_to=self.random.choice((None, self.told))))

    def post(self) -> None:
        self.keep(self.pool.post("/", (), b"x" * self.random.choice((0, 10, 200_000))))

    def produce(self) -> None:
        if self.bodies and self.random.random() < 0.7:
            body = self.bodies.pop()
            if body.consumer is not None and not body.finished.called:
                body.consumer.write(b"x" * self.random.choice((1, 100_000)))
                self.random.choice((body.finished.callback, lambda _: body.finished.errback(OSError())))(None)
        else:
            self.bodies.append(Body())
            self.keep(self.pool.post("/", (), self.bodies[-1]))

    def cancel(self) -> None:
        alive = [stream for stream in self.streams if not stream.ended]
        if alive:
            self.random.choice(alive).cancel()

    def give_up(self) -> None:
        waiting = [asked for asked in self.asked if not asked.called]
        if waiting:
            self.random.choice(waiting).cancel()

    def touch(self) -> None:
        chance = self.random.random()
        if chance < 0.05:
            self.others.append(self.pool.shutdown())
        elif chance < 0.07:
            self.pool.close()
        else:
            self.others.append(self.pool.await_up(self.random.choice((None, 0.5))))
            self.others[-1].addErrback(lambda failure: failure.type)
            self.pool.info()

    # What its servers do.

    def answer(self) -> None:
        for peer in self.world.alive:
            for _ in range(self.random.choice((1, 1, 3))):
                (self.answer_http2 if self.http2 else self.answer_http1)(peer)

    def answer_http1(self, peer: ScriptedPeer) -> None:
        if self.answered[peer] < len(peer.requests) or self.random.random() < 0.02:
            self.answered[peer] += 1
            response = self.random.choice(RESPONSES)
            cut = self.random.choice((len(response), self.random.randrange(len(response) + 1)))
            peer.send(response[:cut])
            self.world.pump()
            peer.send(response[cut:])

    def answer_http2(self, peer: Http2Peer) -> None:
        open_ones = [one for one in (*peer.requests, *peer.promises) if not one.answered and one.reset is None]
        if not open_ones:
            return
        request, chance = self.random.choice(open_ones), self.random.random()
        content = b"x" * self.random.choice((0, 1, 100, 70_000))
        begun = self.begun.setdefault(peer, set())
        if chance < 0.1:
            peer.reset(request, self.random.choice(list(ErrorCode)))
        elif chance < 0.15:
            peer.send_headers(request, self.random.choice(MALFORMED))
        elif chance < 0.25 and self.world.connections[0]._options.http2_opts.enable_push and request.stream_id % 2:
            peer.push(request, "/pushed")
        elif request.stream_id in begun:
            peer.send_data(request, content, fin=chance < 0.7)
        else:
            begun.add(request.stream_id)
            peer.respond(request, 200, {}, content, fin=chance < 0.7)

    def fault(self) -> None:
        chance = self.random.random()
        if chance < 0.15:
            self.world.endpoint.refuse(times=self.random.choice((1, 4)))
        elif chance < 0.2:
            self.world.endpoint.hang()
        elif chance < 0.4:
            self.world.endpoint.accept()
        if chance < 0.1:
            for peer in self.world.alive:  # a restart
                peer.abort()
        elif chance < 0.5 and self.world.alive:
            peer = self.random.choice(self.world.alive)
            self.random.choice((peer.abort, peer.close, lambda: self.fault_http2(peer) if self.http2 else None))()

    def fault_http2(self, peer: Http2Peer) -> None:
        chance = self.random.random()
        if chance < 0.4:
            peer.goaway(self.random.choice((None, 0, frames.LARGEST)), self.random.choice((0, 0, 0, 2)))
        elif chance < 0.8:
            peer.settings(
                **self.random.choice(({"max_concurrent_streams": 1}, {"max_concurrent_streams": 5}, {"initial_window_size": 100}))
            )
        else:
            peer.send(self.random.choice(GARBAGE))

    def pass_time(self) -> None:
        self.world.advance(self.random.choice((0.1, 0.5, 1.0, 20.0)))


class ChaosTests(PoolCase):
    """Whatever happens, what must be true of every pool is."""

    def check_now(self, life: Life) -> None:
        """Each place taken is that of a stream which has not ended, and the reverse; nothing waits while there is room."""
        info = life.pool.info()
        alive = Counter(stream.connection for stream in life.streams if not stream.ended)
        for each in info.connections:
            self.assertEqual(each.streams, alive[each.connection] if each.connection is not None else 0)
            self.assertTrue(life.http2 or each.streams <= 1)
        self.assertLessEqual(info.waiting, life.most_waiting)
        if info.waiting:
            self.assertFalse(any(member.has_room() for member in life.pool._members._members))

    def test_lives(self) -> None:
        """Three hundred of them: all places are free in the end, every stream has ended, every Deferred has fired, and nothing is left."""
        for seed in range(300):
            try:
                self.check(seed)
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise

    def check(self, seed: int) -> None:
        """One life."""
        life = Life(seed)
        life.play(self.check_now)
        for stream in life.streams:
            self.assertTrue(stream.ended)
        for deferred in (*life.asked, *life.others):
            self.assertTrue(deferred.called)
        over: set[Any] = set()
        for event in life.told.events:
            self.assertNotIn(event.stream, over, f"{event} was told after the end of its stream")
            if event.fin:
                over.add(event.stream)
        self.assert_nothing_left(life.world)
        self.assertEqual(self.flushLoggedErrors(), [])
