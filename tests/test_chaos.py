"""Many short lives, each made of random requests, answers, cuts, faults and calls from within callbacks, by a fixed seed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import twisted_gun as gun
from tests.producers import Body
from tests.stage import CHUNKED, EMPTY, LAST, OK, SWITCH, UNTIL_CLOSE, UPGRADE, LifeCase, answer
from twisted_gun.testing import MemoryGun, RecordingReceiver

LARGE = answer(b"x" * 70_000)
HINTED = b"HTTP/1.1 103 X\r\n\r\n" + OK
RESPONSES = (OK, OK, EMPTY, CHUNKED, LARGE, HINTED, LAST, UNTIL_CLOSE, SWITCH, b"no HTTP\r\n\r\n")


class Life:
    """One of them; other kinds of connections have lives that inherit it."""

    #: What may be awaited.
    awaits: tuple[str, ...] = ("await_event", "await_response", "await_body", "await_upgrade")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.told = RecordingReceiver(self.react)
        self.world: Any = self.make_world()
        self.conn = self.world.connection
        self.streams: list[Any] = []
        self.cancelled: set[Any] = set()
        self.bodies: list[Body] = []
        self.results: list[Any] = []
        self.answered_by: Counter[Any] = Counter()
        self.begun: dict[Any, set[int]] = {}  # the responses that have begun, of each peer
        self.depth = 0

    def make_world(self) -> Any:
        """A world in which all is told to `told`."""
        return MemoryGun(owner=self.told, reply_to=self.told, retry=3, retry_timeout=1.0, max_waiting=5)

    def play(self, steps: int = 30) -> None:
        for _ in range(steps):
            self.random.choice((self.act, self.answer, self.answer, self.fault, self.pass_time))()
        self.conn.close()
        self.world.pump()

    def react(self, event: object) -> None:
        if self.depth < 2 and self.random.random() < 0.2:
            self.depth += 1
            self.act()
            self.depth -= 1

    def act(self) -> None:
        """Anything that an application may do; what it must not do now is refused by an exception of ours."""
        try:
            self.random.choice(
                (self.get, self.get, self.post, self.upload, self.upgrade, self.cancel, self.touch, self.produce, self.end)
            )()
        except gun.GunError:
            return

    @property
    def asked(self) -> Any:
        """Whom to ask."""
        return self.conn

    def get(self) -> None:
        told = self.random.choice((None, self.told))
        stream = self.asked.get("/", flow=self.random.choice((None, None, 1)), reply_to=told)
        self.streams.append(stream)
        if told is None:
            self.wait_for(stream)

    def wait_for(self, stream: Any) -> None:
        name = self.random.choice(self.awaits)
        result = getattr(stream, name)(timeout=self.random.choice((None, 0.5)))
        self.results.append(result)
        result.addBoth(self.answered)

    def answered(self, result: Any) -> Any:
        self.react(result)
        if self.random.random() < 0.1 and self.results:
            self.random.choice(self.results).cancel()
        return None

    def post(self) -> None:
        self.streams.append(self.asked.post("/", (), b"x" * self.random.choice((0, 10, 200_000))))

    def upload(self) -> None:
        stream = self.asked.headers("POST", "/", self.random.choice(((), {"content-length": "6"})))
        self.streams.append(stream)
        stream.data(b"abc", fin=False)
        stream.data(b"def", fin=self.random.random() < 0.8)

    def upgrade(self) -> None:
        self.streams.append(self.conn.get("/", UPGRADE))

    def cancel(self) -> None:
        alive = [stream for stream in self.streams if not stream.ended]
        if alive:
            stream = self.random.choice(alive)
            self.cancelled.add(stream)
            stream.cancel()

    def touch(self) -> None:
        if self.streams:
            stream = self.random.choice(self.streams)
            stream.info()
            stream.update_flow(1)
            self.random.choice((self.conn.info, self.conn.flush, lambda: stream.data(b"more"), lambda: self.wait_for(stream)))()

    def produce(self) -> None:
        if self.bodies and self.random.random() < 0.7:
            body = self.bodies.pop()
            if body.consumer is not None and not body.finished.called:
                body.consumer.write(b"x" * self.random.choice((1, 100_000)))
                self.random.choice((body.finished.callback, lambda _: body.finished.errback(OSError())))(None)
        else:
            self.bodies.append(Body())
            self.streams.append(self.asked.post("/", (), self.bodies[-1]))

    def end(self) -> None:
        if self.random.random() < 0.05:
            self.random.choice((self.conn.close, self.conn.shutdown, lambda: self.conn.set_owner(None)))()

    def answer(self) -> None:
        """An answer to what was asked, or, now and then, to nothing."""
        self.world.pump()
        if not self.world.peers or self.world.peer.lost is not None:
            return
        peer = self.world.peer
        for _ in range(self.random.choice((1, 1, 3))):
            if self.answered_by[peer] < len(peer.requests) or self.random.random() < 0.02:
                self.answered_by[peer] += 1
                response = self.random.choice(RESPONSES)
                cut = self.random.choice((len(response), self.random.randrange(len(response) + 1)))
                peer.send(response[:cut])
                self.world.pump()
                peer.send(response[cut:])
        self.world.pump()

    def fault(self) -> None:
        chance = self.random.random()
        if chance < 0.1:
            self.world.endpoint.refuse(times=self.random.choice((1, 2)))
        if chance < 0.3 and self.world.peers:
            self.random.choice((self.world.peer.abort, self.world.peer.close, self.world.peer.pause))()
        self.world.pump()

    def pass_time(self) -> None:
        self.world.advance(self.random.choice((0.1, 0.5, 1.0, 20.0)))


class ChaosCase(LifeCase):
    """Plays lives, and looks at what must be true of every connection."""

    life: type[Life]

    def check(self, seed: int) -> None:
        """One life."""
        life = self.life(seed)
        life.play()
        self.assert_told_in_order(life.told)
        for stream in life.streams:
            self.assertTrue(stream.ended, (seed, stream))
        for event in life.told.events:
            if getattr(event, "fin", False) and event.stream in life.cancelled:
                self.fail(f"{event} was told after its stream was cancelled; seed {seed}")
            if isinstance(event, gun.Down):
                self.assertFalse(set(event.killed_streams) & set(event.unprocessed_streams), seed)
        self.assertTrue(all(result.called for result in life.results), seed)
        self.assert_nothing_left(life.world)
        self.assertEqual(self.flushLoggedErrors(), [], seed)


class ChaosTests(ChaosCase):
    """Whatever happens, what must be true of every connection is."""

    life = Life

    def test_lives(self) -> None:
        """Three hundred of them."""
        for seed in range(300):
            self.check(seed)
