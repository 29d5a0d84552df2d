"""
Pools against real servers, with cancels, resets and restarts by chance: all places are free in the end, and every stream has ended.

Nothing here waits by the clock: each step follows from what the server or a stream said.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from signal import SIGKILL, SIGTERM
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python import log
from twisted.trial.unittest import TestCase
from zope.interface import implementer

import twisted_gun as gun
from tests.interop.http2 import NginxCase, NodeCase
from tests.interop.servers import Nginx, Server, free_port, missing_nginx, node
from tests.interop.test_restarts import delayed_calls
from twisted_gun.net.dial import endpoint_for
from twisted_gun.pool import Pool

AT_A_TIME = 200
SIZE = 8


@implementer(IStreamClientEndpoint)
class Wherever:
    """Dials the `server` where it listens now, at `port`, and nobody while it is being ended or started."""

    def __init__(self) -> None:
        self.server: Server
        self.port = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        from twisted.internet import reactor

        if not self.port:
            return fail(error.ConnectionRefusedError())
        return endpoint_for(reactor, gun.Options(), "127.0.0.1", self.port, None).connect(protocolFactory)


class Load:
    """
    Makes `count` requests of a pool, so many at a time; some are cancelled, at any moment.

    `choose` gives a path and what it has to give, None where its stream has to end by an error. `outcomes` counts what became of them,
    `streams` are all that were given, `ends` counts the last events of each, `wrong` keeps contents that should have been others.
    """

    def __init__(
        self, pool: Pool, count: int, choose: Callable[[random.Random], tuple[str, bytes | None]], at_a_time: int = AT_A_TIME
    ) -> None:
        self._pool = pool
        self._left = count
        self._at_a_time = at_a_time
        self._choose = choose
        self._random = random.Random(1)
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self.outcomes: Counter[str] = Counter()
        self.streams: list[gun.Stream] = []
        self.ends: Counter[gun.Stream] = Counter()
        self.cancelled: set[gun.Stream] = set()
        self.wrong: list[Any] = []

    def run(self) -> Deferred[Any]:
        """Fires when all have been made, and have ended."""
        return gatherResults([Deferred.fromCoroutine(self._worker()) for _ in range(self._at_a_time)], consumeErrors=True)

    def after(self, count: int) -> Deferred[None]:
        """Fires when so many have ended."""
        reached: Deferred[None] = Deferred()
        self._waiting.append((count, reached))
        return reached

    async def _worker(self) -> None:
        while self._left:
            self._left -= 1
            path, expected = self._choose(self._random)
            self.outcomes[await self._one(path, expected)] += 1
            for entry in [entry for entry in self._waiting if entry[0] <= self.outcomes.total()]:
                self._waiting.remove(entry)
                entry[1].callback(None)

    async def _one(self, path: str, expected: bytes | None) -> str:
        ended: Deferred[str] = Deferred()
        parts: list[bytes] = []
        chance = self._random.random()

        def told(event: Any) -> None:
            if isinstance(event, gun.Data):
                parts.append(event.data)
            if event.fin:
                self.ends[event.stream] += 1
                self._check(event, path, b"".join(parts), expected)
                ended.callback(type(event.reason).__name__ if isinstance(event, gun.Error) else "answered")
            elif chance < 0.04:
                cancel(event.stream)

        def cancel(stream: gun.Stream) -> None:
            self.cancelled.add(stream)
            stream.cancel()
            ended.callback("cancelled")

        asked = self._pool.get(path, reply_to=told)
        if 0.04 <= chance < 0.06 and not asked.called:
            asked.addErrback(lambda _: None)
            asked.cancel()
            return "cancelled while it waited"
        stream = await asked
        self.streams.append(stream)
        if 0.06 <= chance < 0.1 and not stream.ended:
            cancel(stream)
        return await ended

    def _check(self, event: Any, path: str, content: bytes, expected: bytes | None) -> None:
        failed = isinstance(event, gun.Error)
        if not failed and content != expected:
            self.wrong.append((path, content[:100]))


class LoadCase(TestCase):
    """Asserts what must be true after a load."""

    async def assert_adds_up(self, pool: Pool, load: Load, count: int) -> None:
        """All were made; every stream has ended once, or was cancelled; all places are free, and the pool ends."""
        log.msg(f"{count} requests of a pool: {len(load.streams)} streams, {dict(load.outcomes)}")
        self.assertEqual(load.outcomes.total(), count)
        self.assertEqual(load.wrong[:3], [])
        self.assertTrue(all(stream.ended for stream in load.streams))
        self.assertEqual(load.ends, Counter(stream for stream in load.streams if stream not in load.cancelled))
        info = pool.info()
        self.assertEqual((info.waiting, [each.streams for each in info.connections]), (0, [0] * SIZE))
        await pool.shutdown()
        self.assertEqual(pool.info().state, "closed")
        self.assertEqual(len(delayed_calls()), 1, "more is going to happen than trial's own timeout of the test")


class NodeTests(LoadCase, NodeCase):
    """node, which resets streams, and is killed and started again."""

    async def start_server(self, wherever: Wherever) -> None:
        """Start it anew, on another port."""
        paths = [str(self.root / f"{name}.pem") for name in ("key", "certificate")]
        wherever.server = node(self, *paths, "none", script="http2.js")
        wherever.port = json.loads(await wherever.server.start())["few" if self.few_streams else "plain"]

    few_streams = False
    #: The codes by which streams are reset; 7 says that the request was refused.
    codes: tuple[int, ...] = (1, 2, 7, 11)

    def choose(self, chance: random.Random) -> tuple[str, bytes | None]:
        """A path, and what it has to give."""
        kind = chance.random()
        if kind < 0.05:
            return f"/reset/{chance.choice(self.codes)}", None
        if kind < 0.08:
            return "/reset-late", None
        if kind < 0.15:
            return "/bytes/30000", (b"0123456789abcdef" * 2000)[:30000]
        number = chance.randrange(1000)
        return f"/n/{number}", b"GET /n/%d" % number

    async def load(self, count: int, restarts: int) -> Load:
        """So many requests, and so many restarts meanwhile."""
        wherever = Wherever()
        await self.start_server(wherever)
        pool = Pool(
            "127.0.0.1",
            80,
            SIZE,
            protocols=["http2"],
            endpoint=wherever,
            retry=0,
            checkout_timeout=30.0,
            rng=random.Random(2),
        )
        self.addCleanup(pool.close)
        await pool.await_up()
        load = Load(pool, count, self.choose)
        done = load.run()
        for restart in range(restarts):
            await load.after(count // (restarts + 1) * (restart + 1))
            wherever.port = 0
            await wherever.server.stop(SIGKILL if restart % 2 else SIGTERM)
            await self.start_server(wherever)
        await done
        await self.assert_adds_up(pool, load, count)
        return load

    async def test_ten_thousand(self) -> None:
        """Eight connections, 10,000 requests, random cancels, resets, and four restarts."""
        load = await self.load(10_000, 4)
        for outcome in ("answered", "cancelled", "StreamReset", "StreamClosed"):
            self.assertGreater(load.outcomes[outcome], 0)
        self.assertGreater(load.outcomes["answered"], 5000)


class FewStreamsTests(NodeTests):
    """The same where the server takes ten streams at a time on a connection: requests wait, and none is refused for being too many."""

    few_streams = True
    codes = (1, 2, 11)

    async def test_ten_thousand(self) -> None:
        """Three thousand, of which more than half wait; random cancels, resets, and a restart."""
        load = await self.load(3000, 1)
        self.assertGreater(load.outcomes["cancelled while it waited"], 0)
        self.assertEqual(load.outcomes["StreamRefused"], 0)


class NginxTests(LoadCase, NginxCase):
    """nginx, over TLS, which goes away after five requests."""

    async def test_going_away(self) -> None:
        """A thousand requests, two hundred connections: what was left behind by a GOAWAY fails, and most are answered."""
        port = int(self.few[1].rsplit(":", 1)[1])
        tls_opts = {"trust_root": str(self.root / "authority.pem")}
        pool = Pool("127.0.0.1", port, SIZE, transport="tls", tls_opts=tls_opts, checkout_timeout=30.0)
        self.addCleanup(pool.close)
        load = Load(pool, 1000, lambda chance: ("/", b"GET /"), at_a_time=SIZE)
        await load.run()
        await self.assert_adds_up(pool, load, 1000)
        self.assertEqual(set(load.outcomes) - {"answered", "cancelled", "cancelled while it waited", "GoAway"}, set())
        self.assertGreater(load.outcomes["answered"], 500)


class Http1Tests(LoadCase):
    """nginx over HTTP/1.1, killed and started again."""

    timeout = 60
    skip = missing_nginx()

    async def test_restarts(self) -> None:
        """Eight connections, 3000 requests, one at a time on each; random cancels, and three restarts."""
        port = free_port()
        server = Nginx(self, f"server {{ listen 127.0.0.1:{port}; root {{root}}; keepalive_requests 100; }}")
        (server.root / "content").write_bytes(b"x" * 20_000)
        await server.start()
        pool = Pool("127.0.0.1", port, SIZE, retry=0, checkout_timeout=30.0)
        self.addCleanup(pool.close)
        load = Load(pool, 3000, lambda chance: ("/content", b"x" * 20_000))
        done = load.run()
        for restart in range(3):
            await load.after(700 * (restart + 1))
            await server.stop(SIGTERM if restart % 2 else SIGKILL)
            await server.start()
        await done
        await self.assert_adds_up(pool, load, 3000)
        self.assertGreater(load.outcomes["answered"], 2000)
