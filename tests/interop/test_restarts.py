"""nginx, ended and started again and again under load: what the owner is told adds up, and no stream is lost silently."""

from __future__ import annotations

from collections import Counter
from signal import SIGKILL, SIGQUIT, SIGTERM
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python import log
from twisted.trial.unittest import TestCase
from zope.interface import implementer

import twisted_gun as gun
from tests.interop.servers import Nginx, free_port, missing_nginx
from twisted_gun.net.dial import endpoint_for

SERVER = """
server {
    listen 127.0.0.1:{port};
    root {root};
    keepalive_requests 1000000;
}
"""

RESTARTS = 20
CONTENT = b"0123456789abcdef" * 20_000


class Load:
    """
    Keeps `size` requests in flight: each stream that ends, however it ends, is followed by another until `stop` is called.

    `ends` counts the last events of each stream, `outcomes` what they were, and `wrong` keeps contents that should have been others.
    """

    def __init__(self, conn: gun.Connection, size: int) -> None:
        self._conn = conn
        self.size = size
        self._stopping = False
        self._waiting: list[tuple[type[Any], int, Deferred[None]]] = []
        self._received: dict[gun.Stream, int] = {}
        self.streams: list[gun.Stream] = []
        self.ends: Counter[gun.Stream] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[int] = []

    def start(self) -> None:
        """Make the first requests."""
        for _ in range(self.size):
            self._request()

    def stop(self) -> None:
        """Make no more."""
        self._stopping = True

    @property
    def in_flight(self) -> int:
        """How many streams have not ended."""
        return len(self.streams) - len(self.ends)

    def after(self, event: type[Any], count: int) -> Deferred[None]:
        """Fires when so many events of this kind have been told."""
        reached: Deferred[None] = Deferred()
        self._waiting.append((event, count, reached))
        return reached

    def _request(self) -> None:
        stream = self._conn.get("/content", reply_to=self._told)
        self.streams.append(stream)
        self._received[stream] = 0

    def _told(self, event: Any) -> None:
        if isinstance(event, gun.Data):
            self._received[event.stream] += len(event.data)
        if event.fin:
            self._ended(event)
        waiting, self._waiting = self._waiting, []
        for kind, count, reached in waiting:
            count -= isinstance(event, kind)
            if count:
                self._waiting.append((kind, count, reached))
            else:
                reached.callback(None)

    def _ended(self, event: Any) -> None:
        self.ends[event.stream] += 1
        failed = isinstance(event, gun.Error)
        self.outcomes[type(event.reason).__name__ if failed else "answered"] += 1
        if not failed and self._received[event.stream] != len(CONTENT):
            self.wrong.append(self._received[event.stream])
        if not self._stopping:
            self._request()


class Owner:
    """Keeps what it is told, and lets one wait for it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self._waiting: list[tuple[type[Any], Deferred[None]]] = []

    def __call__(self, event: Any) -> None:
        self.told.append(event)
        waiting, self._waiting = self._waiting, []
        for kind, reached in waiting:
            if isinstance(event, kind):
                reached.callback(None)
            else:
                self._waiting.append((kind, reached))

    def next(self, kind: type[Any]) -> Deferred[None]:
        """Fires at the next event of this kind."""
        reached: Deferred[None] = Deferred()
        self._waiting.append((kind, reached))
        return reached


@implementer(IStreamClientEndpoint)
class Door:
    """
    Dials as `twisted_gun.open` does, but not while nginx is being ended.

    An nginx that is dying may still accept a connection, only to lose it: an up and a down more, which nobody could count on.
    """

    def __init__(self, nginx: Nginx, port: int) -> None:
        from twisted.internet import reactor

        self._nginx = nginx
        self._endpoint = endpoint_for(reactor, gun.Options(), "127.0.0.1", port, None)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory) if self._nginx.wanted else fail(error.ConnectionRefusedError())


def soon(retries: int, options: gun.Options) -> dict[str, Any]:
    """Tries again for ever, after 10 ms."""
    return {"retries": retries, "timeout": 0.01}


def delayed_calls() -> set[Any]:
    """All that is going to happen; one of them is trial's own timeout of the test."""
    from twisted.internet import reactor

    timed: Any = reactor
    return set(timed.getDelayedCalls())


class RestartTests(TestCase):
    """Nothing here waits by the clock: each step follows from what nginx or the connection said."""

    timeout = 60
    skip = missing_nginx()

    async def start(self, *, in_flight: int, master: bool = False) -> None:
        port = free_port()
        self.nginx = Nginx(self, SERVER.replace("{port}", str(port)), master=master)
        (self.nginx.root / "content").write_bytes(CONTENT)
        await self.nginx.start()
        self.delayed_before = delayed_calls()
        self.owner = Owner()
        self.conn = gun.open("127.0.0.1", port, owner=self.owner, retry_fun=soon, endpoint=Door(self.nginx, port))
        self.load = Load(self.conn, in_flight)
        await self.conn.await_up()
        self.load.start()

    async def restart(self, signal: int) -> None:
        """End nginx while responses are on their way, and start it again once that was noticed."""
        await self.load.after(gun.Response, self.load.size + 1)
        await self.load.after(gun.Data, 1)
        self.assertEqual(self.load.in_flight, self.load.size)
        down, up = self.owner.next(gun.Down), self.owner.next(gun.Up)
        await self.nginx.stop(signal)
        await down
        await self.nginx.start()
        await up

    async def end(self) -> None:
        """Let what is in flight be answered, then end the connection."""
        await self.load.after(gun.Response, self.load.size + 1)
        self.load.stop()
        while self.load.in_flight:
            await self.load.after(gun.Data, 1)
        await self.conn.shutdown()

    def assert_adds_up(self, restarts: int) -> None:
        """Up and down alternate, as often as there were restarts; every stream has ended once; nothing is left to happen."""
        load = self.load
        log.msg(f"{restarts} restarts: {len(load.streams)} streams, {dict(load.outcomes)}")
        self.assertEqual([type(event).__name__ for event in self.owner.told], ["Up"] + ["Down", "Up"] * restarts)
        self.assertEqual(Counter(load.ends.values()), {1: len(load.streams)})
        self.assertEqual(load.ends.keys(), set(load.streams))
        self.assertEqual(load.wrong, [])
        self.assertEqual(delayed_calls() - self.delayed_before, set())

    def listed(self, name: str) -> set[gun.Stream]:
        """The streams that any gun_down lists under this name; each may be listed but once."""
        streams = [stream for event in self.owner.told if isinstance(event, gun.Down) for stream in getattr(event, name)]
        self.assertEqual(len(streams), len(set(streams)))
        return set(streams)

    async def test_twenty_restarts(self) -> None:
        """Twenty ends, by SIGKILL and SIGTERM in turn: twenty gun_down, twenty gun_up more, and every stream ends exactly once."""
        await self.start(in_flight=8)
        for at in range(RESTARTS):
            await self.restart(SIGKILL if at % 2 else SIGTERM)
        await self.end()
        self.assert_adds_up(RESTARTS)
        killed, unprocessed = self.listed("killed_streams"), self.listed("unprocessed_streams")
        self.assertEqual(killed & unprocessed, set())
        failed = len(self.load.streams) - self.load.outcomes["answered"]
        self.assertEqual(len(killed | unprocessed), failed)
        self.assertGreaterEqual(failed, RESTARTS)

    async def test_graceful_restarts(self) -> None:
        """
        nginx that is told to quit gracefully finishes the response it has begun, and that response is whole.

        One at a time: what is pipelined behind it makes nginx reset the connection, and with it what it had not sent yet.
        """
        await self.start(in_flight=1, master=True)
        for _ in range(5):
            await self.restart(SIGQUIT)
        await self.end()
        self.assert_adds_up(5)
        self.assertNotIn("Truncated", self.load.outcomes)
