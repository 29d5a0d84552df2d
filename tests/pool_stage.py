"""What tests of pools share: a pool whose servers, clock and chance a test holds in its hands, and what must be true of every pool."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.peers import Peers
from tests.stage import OK
from twisted_gun.pool import Pool
from twisted_gun.testing import Http2Peer, MemoryEndpoint, ScriptedPeer

__all__ = ["PoolCase", "PoolWorld"]


class PoolWorld(Peers):
    """
    A pool in memory.

    `peer` makes the server of each connection; without, it is a `ScriptedPeer`, or with ``protocols=["http2"]`` an `Http2Peer` with
    `settings`. `peers` are those of every connection so far, in the order of `endpoint.links`. Nothing happens before the first `pump`.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        peer: Callable[[], Any] | None = None,
        settings: Mapping[str, int] | None = None,
        seed: int = 1,
        endpoint: Callable[[Factory, Clock], Any] | None = None,
        **options: Any,
    ) -> None:
        self.ended: list[None] = []  # what shutdown() gave, once it has
        http2 = options.get("protocols") == ["http2"]
        super().__init__(peer or ((lambda: Http2Peer(settings=settings)) if http2 else ScriptedPeer))
        factory = Factory.forProtocol(self._new_peer)
        self.endpoint: Any = MemoryEndpoint(factory, clock=self.clock) if endpoint is None else endpoint(factory, self.clock)
        fixed: dict[str, Any] = {"reactor": self.clock, "endpoint": self.endpoint, "rng": random.Random(seed)}
        self.pool = Pool("example.org", 80, size, **fixed, **options)

    @property
    def connections(self) -> list[gun.Connection]:
        """Those of the pool, now."""
        return [each.connection for each in self.pool.info().connections if each.connection is not None]

    @property
    def states(self) -> list[str]:
        """The state of each member."""
        return [each.state for each in self.pool.info().connections]

    @property
    def in_use(self) -> int:
        """How many streams are in use, in all."""
        return sum(each.streams for each in self.pool.info().connections)

    def shutdown(self) -> None:
        """Tell the pool to shut down."""
        self.pool.shutdown().addCallback(self.ended.append)


class PoolCase(SynchronousTestCase):
    """Asserts what must be true of every pool."""

    def up(self, size: int = 2, **options: Any) -> PoolWorld:
        """A world whose pool is operational."""
        world = PoolWorld(size, **options)
        world.pump()
        self.assertEqual(world.pool.info().state, "operational")
        return world

    def answer(self, world: PoolWorld, response: bytes = OK) -> None:
        """Let every HTTP/1.1 server that was asked something answer once."""
        for peer in world.alive:
            if peer.received:
                peer.received = b""
                peer.send(response)
        world.pump()

    def given(self, deferred: Deferred[Any]) -> Any:
        """The stream that `deferred` has given."""
        self.assertTrue(deferred.called, "still waiting")
        return self.successResultOf(deferred)

    def end(self, world: PoolWorld) -> None:
        """Close the pool, which leaves nothing behind."""
        world.pool.close()
        world.pump()
        self.assert_nothing_left(world)

    def assert_nothing_left(self, world: PoolWorld) -> None:
        """After its end a pool leaves no slot taken, no connection, no request that waits, and no delayed call behind."""
        info = world.pool.info()
        self.assertEqual((info.state, info.waiting, world.in_use), ("closed", 0, 0))
        for conn in world.connections:
            self.assertEqual(conn.info().state_name, "terminated")
        for link in world.endpoint.links:
            self.assertTrue(link.client.disconnected)
        self.assertEqual(world.clock.getDelayedCalls(), [])
