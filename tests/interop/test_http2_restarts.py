"""
nginx, reloaded again and again under load, with fifty requests in flight: none is lost, and none is answered twice.

Three reloads; with GUN_TESTS_THOROUGH in the environment fifty.
"""

from __future__ import annotations

from collections import Counter
from signal import SIGHUP, SIGQUIT
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import log

import twisted_gun as gun
from tests.interop.http2 import THOROUGH, NginxCase
from tests.interop.test_restarts import Owner, delayed_calls, soon

RELOADS = 50 if THOROUGH else 3
IN_FLIGHT = 50
CONTENT = b"0123456789abcdef" * 10_000


class Load:
    """
    Keeps `IN_FLIGHT` requests in flight, each with a number; what the server certainly did not process is sent again.

    `answered` counts the answers to each number, `refused` the times that it was sent again, and `lost` is what else became of them.
    """

    def __init__(self, conn: gun.Connection) -> None:
        self._conn = conn
        self._stopping = False
        self._waiting: tuple[int, Deferred[None]] | None = None
        self._numbers: dict[gun.Stream, int] = {}
        self._received: Counter[gun.Stream] = Counter()
        self.count = 0
        self.answered: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.refused_streams: list[gun.Stream] = []
        self.lost: list[Any] = []
        for _ in range(IN_FLIGHT):
            self._next()

    @property
    def in_flight(self) -> int:
        """How many have not ended."""
        return len(self._numbers)

    def answers(self, count: int) -> Deferred[None]:
        """Fires after so many more answers."""
        reached: Deferred[None] = Deferred()
        self._waiting = (self.answered.total() + count, reached)
        return reached

    def stop(self) -> Deferred[None]:
        """Make no more requests; fires when all were answered."""
        self._stopping = True
        return self.answers(len(self._numbers))

    def _next(self) -> None:
        self.count += 1
        self._request(self.count)

    def _request(self, number: int) -> None:
        self._numbers[self._conn.get(f"/files/content?id={number}", reply_to=self._told)] = number

    def _told(self, event: Any) -> None:
        if isinstance(event, gun.Data):
            self._received[event.stream] += len(event.data)
        if event.fin:
            self._ended(event, self._numbers.pop(event.stream))

    def _ended(self, event: Any, number: int) -> None:
        received = self._received.pop(event.stream, 0)
        if isinstance(event, gun.Error) and isinstance(event.reason, (gun.GoAway, gun.StreamRefused)):
            assert event.stream is not None
            self.refused[number] += 1
            self.refused_streams.append(event.stream)
            self._request(number)
            return
        if isinstance(event, gun.Error) or received != len(CONTENT):
            self.lost.append((number, event, received))
        self.answered[number] += 1
        if not self._stopping:
            self._next()
        if self._waiting is not None and self.answered.total() >= self._waiting[0]:
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(None)


class ReloadTests(NginxCase):
    """Nothing here waits by the clock: each step follows from what nginx or the connection said."""

    timeout = 120
    master = True

    async def reload(self, url: str, reloads: int) -> None:
        """Load nginx, reload it so often, and compare what was answered with what nginx says it did."""
        (self.files / "content").write_bytes(CONTENT)
        owner = Owner()
        conn = await self.connect(url, owner=owner, retry_fun=soon)
        load = Load(conn)
        for _ in range(reloads):
            await load.answers(2 * IN_FLIGHT)
            self.assertEqual(load.in_flight, IN_FLIGHT)
            up = owner.next(gun.Up)
            self.nginx.signal(SIGHUP)
            await up
        await load.stop()
        await conn.shutdown()
        await self.nginx.stop(SIGQUIT)
        log.msg(f"{reloads} reloads of {url}: {load.count} requests, {load.refused.total()} sent again, {len(load.lost)} lost")
        self.assertEqual(load.lost[:3], [])
        self.assertEqual(load.answered, Counter(range(1, load.count + 1)))
        self.assertEqual(self.served(), Counter({str(number): 1 for number in load.answered}))
        self.check_told(owner, reloads, load)
        self.assertEqual(len(delayed_calls()), 1, "more is going to happen than trial's own timeout of the test")

    def served(self) -> Counter[str]:
        """How often nginx answered each number, whole or not."""
        lines = [line.split() for line in (self.nginx.root / "access.log").read_text().splitlines()]
        self.assertEqual({tuple(rest) for _, *rest in lines}, {("200", "OK")})
        return Counter(number for number, *_ in lines)

    def check_told(self, owner: Owner, reloads: int, load: Load) -> None:
        """Every reload was one down and one up; no stream was killed, and those that were sent again are just those that are listed."""
        self.assertEqual([type(event).__name__ for event in owner.told], ["Up"] + ["Down", "Up"] * reloads)
        downs: list[Any] = [event for event in owner.told if isinstance(event, gun.Down)]
        self.assertEqual({down.reason for down in downs}, {None})
        self.assertEqual([down.killed_streams for down in downs], [()] * reloads)
        unprocessed = [stream for down in downs for stream in down.unprocessed_streams]
        self.assertEqual(Counter(unprocessed), Counter(load.refused_streams))

    async def test_reload(self) -> None:
        """In the clear."""
        await self.reload(self.urls[0], RELOADS)

    async def test_reload_over_tls(self) -> None:
        """Over TLS."""
        await self.reload(self.urls[1], RELOADS)


class ReferenceReloadTests(ReloadTests):
    """The reference core."""

    core = "h2"
