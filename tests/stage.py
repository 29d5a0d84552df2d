"""What tests of the connection share: a world that is up, over HTTP/1.1 or HTTP/2, answers as bytes, and a census of how streams ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver, ScriptedPeer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n5\r\npedia\r\n0\r\nx-sum: 1\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
UPGRADE = {"connection": "upgrade", "upgrade": "echo"}


def answer(body: bytes, status: int = 200, *fields: bytes) -> bytes:
    """A response with a Content-Length."""
    head = b"".join(field + b"\r\n" for field in (b"content-length: %d" % len(body), *fields))
    return b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, head, body)


def up(**options: Any) -> MemoryGun:
    """A world whose connection is up, and whose owner has nothing on record but that."""
    world = MemoryGun(**options)
    world.pump()
    return world


def answering(response: bytes = OK) -> Callable[[ScriptedPeer], None]:
    """A script that answers every complete request with `response`."""
    answered: Counter[int] = Counter()

    def script(peer: ScriptedPeer) -> None:
        for request in peer.requests[answered[id(peer)] :]:
            if request.complete:
                answered[id(peer)] += 1
                peer.send(response)

    return script


def feed(world: MemoryGun, data: bytes) -> None:
    """Let the peer send `data` and all that follows from it happen."""
    world.peer.send(data)
    world.pump()


def ends(receiver: RecordingReceiver) -> Counter[Any]:
    """How many last events each stream was told."""
    return Counter(event.stream for event in receiver.events if getattr(event, "fin", False) and event.stream is not None)


class LifeCase(SynchronousTestCase):
    """Asserts what must be true of every connection, whatever was done to it."""

    def assert_nothing_left(self, world: MemoryGun) -> None:
        """After its end a connection leaves no delayed call, no producer and no open transport behind."""
        self.assertEqual(world.connection.info().state_name, "terminated")
        self.assertEqual(world.clock.getDelayedCalls(), [])
        for link in world.endpoint.links:
            self.assertIsNone(link.client.producer)
            self.assertTrue(link.client.disconnected)

    def assert_told_in_order(self, receiver: RecordingReceiver) -> None:
        """Up and down alternate; no stream is told anything after its last event, or two last events."""
        alternation = [event for event in receiver.events if isinstance(event, (gun.Up, gun.Down))]
        for at, event in enumerate(alternation):
            self.assertIsInstance(event, gun.Down if at % 2 else gun.Up)
        over: set[Any] = set()
        for event in receiver.events:
            stream = getattr(event, "stream", None)
            if stream is not None:
                self.assertNotIn(stream, over, f"{event} was told after the end of its stream")
                if event.fin:
                    over.add(stream)


class Http2Case(LifeCase):
    """Connections that speak HTTP/2, by one of its cores."""

    core = "own"

    def world(self, *, settings: Mapping[str, int] | None = None, http2_opts: Mapping[str, Any] | None = None, **options: Any) -> MemoryGun:
        """A world whose peers begin with `settings`."""
        opts = {"core": self.core, **(http2_opts or {})}
        script = options.pop("script", ())
        return MemoryGun(protocols=["http2"], http2_opts=opts, peer=lambda: Http2Peer(script, settings=settings), **options)

    def up(self, **options: Any) -> MemoryGun:
        """A world whose connection is up, and whose peer has its settings acknowledged."""
        world = self.world(**options)
        world.pump()
        self.assertEqual(world.owner.names()[:1], ["gun_up"])
        return world

    def end(self, world: MemoryGun) -> None:
        """Close the connection, which leaves nothing behind."""
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


def every_answer(peer: Http2Peer) -> None:
    """A script that answers every complete request with its path, once."""
    for request in peer.requests:
        if request.complete and not request.answered and request.reset is None:
            peer.respond(request, 200, {"content-length": str(len(request.path))}, request.path)
