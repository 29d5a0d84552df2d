"""What a stream of HTTP/2 keeps that is read slowly, and what a request beyond the concurrency limit is told, and when."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.testing import Http2Peer, MemoryGun

WINDOW = 1_000_000
SIZE = 10 * WINDOW


class UnreadTests(SynchronousTestCase):
    """A stream without a receiver, whose server would send without end."""

    def setUp(self) -> None:
        self.world = MemoryGun(protocols=["http2"], http2_opts={"initial_stream_window_size": WINDOW, "stream_window_margin_size": 0})
        self.stream = self.world.connection.get("/")
        self.world.pump()
        self.world.peer.respond(1, 200, {}, bytes(SIZE))
        self.world.pump()

    def kept(self, read: int) -> int:
        """How many bytes were sent and not read."""
        return SIZE - int(self.world.peer.unsent(1)) - read

    def test_not_read(self) -> None:
        """It keeps its window, and no more."""
        self.assertEqual(self.kept(0), WINDOW)

    def test_read_now_and_then(self) -> None:
        """It keeps its window and what a mailbox holds, also when some of it is read."""
        read = 0
        most = 0
        while read < SIZE // 2:
            event: Any = self.successResultOf(self.stream.await_event())
            read += len(getattr(event, "data", b""))
            self.world.pump()
            most = max(most, self.kept(read))
        self.assertLessEqual(most, WINDOW + 128 * 1024)


class AwaitedLateTests(SynchronousTestCase):
    """Content that has waited longer than a mailbox holds, part of it held back in the core."""

    def test_in_order(self) -> None:
        """await_body gives all of it in its order: what the core lets go while it is read comes behind what waits."""
        for size in (4 * 16384, 8 * 16384, 1_000_000):
            world = MemoryGun(protocols=["http2"])
            stream = world.connection.get("/")
            world.pump()
            content = b"".join(at.to_bytes(4, "big") for at in range(size // 4))
            world.peer.respond(1, 200, {}, content)
            world.pump()
            body = stream.await_body()
            world.pump()
            self.assertEqual(self.successResultOf(body), content)


class BeyondTheLimitTests(SynchronousTestCase):
    """Requests with a receiver, where the server allows one stream."""

    def setUp(self) -> None:
        self.world = MemoryGun(protocols=["http2"], peer=lambda: Http2Peer(settings={"max_concurrent_streams": 1}))
        self.world.pump()
        self.first = self.world.connection.get("/")
        self.told: list[Any] = []

    def test_told_later(self) -> None:
        """The refusal is told when the caller holds the stream, as that of one more than may wait is."""
        stream = self.world.connection.get("/", reply_to=self.told.append)
        self.assertEqual(self.told, [])
        self.world.pump()
        self.assertEqual([(type(event.reason), event.stream) for event in self.told], [(gun.StreamRefused, stream)])

    def test_asked_again(self) -> None:
        """A receiver that asks again as soon as it is refused is refused once a turn, and does not hang the reactor."""
        refused = []

        def ask_again(event: Any) -> None:
            refused.append(event)
            if len(refused) < 100:
                self.world.connection.get("/", reply_to=ask_again)

        self.world.connection.get("/", reply_to=ask_again)
        self.assertLess(len(refused), 3)


class FlushTests(SynchronousTestCase):
    """Dropping what nobody has read."""

    def test_held(self) -> None:
        """A stream whose last content waits in the core ends there and then when it is flushed, and so do others."""
        world = MemoryGun(protocols=["http2"])
        streams = [world.connection.get("/") for _ in range(2)]
        world.pump()
        for request in list(world.peer.requests):
            world.peer.respond(request, 200, {}, bytes(200_000))
        world.pump()
        world.connection.flush()
        world.pump()
        self.assertEqual([stream.ended for stream in streams], [True, True])
