"""Origins in chaos: servers answer, refuse, go away, cut off and vanish by chance, and requests are cancelled. What must be true."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from typing import Any

import twisted_gun as gun
from tests.origins_stage import OriginsCase, OriginsWorld
from tests.stage import LAST, answer
from twisted_gun.testing import Http2Peer, ScriptedPeer


class Chaos:
    """
    What the servers do, by chance; `processed` counts how often each request that is not idempotent was, by its target.

    A request was processed unless its server said, in the words of its protocol, that it was not.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.processed: Counter[bytes] = Counter()
        self._handled: Counter[int] = Counter()
        self._gone: Counter[int] = Counter()  # whether a server has gone away, and up to which stream it processes
        self._last: Counter[int] = Counter()

    def http1(self, peer: ScriptedPeer) -> None:
        """A server of HTTP/1.1, which has one request at a time."""
        for request in peer.requests[self._handled[id(peer)] :]:
            self._handled[id(peer)] += 1
            self.processed[request.target] += request.method == b"POST"
            chance = self.random.random()
            if chance < 0.7:
                peer.send(answer(request.target))
            elif chance < 0.8:
                peer.send(LAST)
                peer.close()
            elif chance < 0.85:
                peer.send(answer(request.target + b"...")[:-3])
                peer.close()
                return
            elif chance < 0.95:
                self.random.choice([peer.close, peer.abort])()
                return

    def http2(self, peer: Http2Peer) -> None:
        """A server of HTTP/2, which has any number of them."""
        waiting = [each for each in peer.requests if each.complete and not each.answered and each.reset is None]
        for request in waiting:
            if peer.lost is not None or self._gone[id(peer)] & (request.stream_id > self._last[id(peer)]):
                continue
            chance = self.random.random()
            if chance < 0.15:
                peer.reset(request, 7)  # REFUSED_STREAM
            elif chance < 0.2:
                self._gone[id(peer)], self._last[id(peer)] = 1, max(0, request.stream_id - 2)
                peer.goaway(self._last[id(peer)])
                return
            elif chance < 0.25:
                last = self._last[id(peer)] if self._gone[id(peer)] else request.stream_id
                self.processed.update(
                    each.path for each in waiting if each.method == b"POST" and request.stream_id <= each.stream_id <= last
                )
                peer.abort()
                return
            elif chance < 0.95:
                self.processed[request.path] += request.method == b"POST"
                peer.respond(request, 200, {}, request.path)


class ChaosTests(OriginsCase):
    """Many lives."""

    def server(self, chaos: Chaos, protocol: str) -> Any:
        """A server of `protocol`."""
        return ScriptedPeer(chaos.http1) if protocol == "http" else Http2Peer(chaos.http2, settings={"max_concurrent_streams": 3})

    def play(self, seed: int, protocol: str) -> None:
        chaos = Chaos(seed)
        chance = chaos.random
        world = OriginsWorld(protocols=[protocol], max_per_host=2, idle_timeout=5.0, checkout_timeout=20.0, max_idle=3)
        world.make_peer = partial(self.server, chaos, protocol)
        outcomes: dict[bytes, list[Any]] = {}
        for number in range(60):
            target = b"/%d" % number
            outcome: list[Any] = []
            outcomes[target] = outcome
            method = chance.choice(["GET", "POST"])
            asked = world.origins.request(world.identity(f"{chance.randrange(3)}.example"), method, target)
            asked.addCallback(lambda stream: stream.await_body(None)).addBoth(outcome.append)
            if chance.random() < 0.1:
                asked.cancel()
            if chance.random() < 0.4:
                world.pump()
            if chance.random() < 0.1:
                world.advance(chance.random() * 10)
            self.assertTrue(all(len(origin._lines) <= 4 for origin in world.origins._origins.values()))
        world.advance(1.0)
        self.end(world)
        for target, outcome in outcomes.items():
            self.assertEqual(len(outcome), 1, target)
            if isinstance(outcome[0], bytes):
                self.assertIn(outcome[0], (target, b"ok"))
        self.assertEqual([target for target, count in chaos.processed.items() if count > 1], [])

    def test_http1(self) -> None:
        """HTTP/1.1: nothing is lost, mixed up, left behind, or done twice that may not be."""
        for seed in range(12):
            self.play(seed, "http")

    def test_http2(self) -> None:
        """HTTP/2, likewise."""
        for seed in range(12):
            self.play(seed, "http2")

    def test_is_chaos(self) -> None:
        """All kinds of ends come about."""
        for protocol in ("http", "http2"):
            world, chaos = OriginsWorld(protocols=[protocol]), Chaos(1)
            world.make_peer = partial(self.server, chaos, protocol)
            ends: Counter[type[Any]] = Counter()

            def ended(end: Any, ends: Counter[type[Any]] = ends) -> None:
                ends[bytes if isinstance(end, bytes) else end.type] += 1

            for number in range(200):
                world.ask(f"/{number}").addCallback(lambda stream: stream.await_body(None)).addBoth(ended)
                world.pump()
            self.assertGreater(ends[bytes], 90)
            self.assertGreaterEqual(ends.keys(), {gun.StreamClosed, gun.Truncated if protocol == "http" else bytes})
            self.assertGreater(world.origins.info().repeated, 5)
            world.origins.close()
            world.pump()
