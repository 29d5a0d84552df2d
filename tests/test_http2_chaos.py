"""Many short lives over HTTP/2, each made of random requests, answers, faults and calls from within callbacks, by a fixed seed."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests import test_chaos
from twisted_gun.testing import Http2Peer, MemoryGun
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode, FrameType

MALFORMED: tuple[list[tuple[str, str]], ...] = ([], [(":status", "20")], [(":status", "200"), ("connection", "close")], [("x", "y")])
GARBAGE = (
    frames.frame(FrameType.DATA, 0, 0, b"no stream"),
    frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
    frames.frame(FrameType.WINDOW_UPDATE, 0, 0, bytes(4)),
    frames.frame(FrameType.SETTINGS, 0, 0, b"odd"),
    frames.frame(FrameType.CONTINUATION, 0, 1, b""),
    b"\xff" * 20,
)


class _Life(test_chaos.Life):
    """One of them."""

    core = "own"

    def make_world(self) -> MemoryGun:
        chance = self.random
        opts = {
            "core": self.core,
            "enable_push": chance.random() < 0.7,
            "max_waiting": chance.choice((None, 3)),
            "keepalive": chance.choice((None, 5.0)),
            "keepalive_tolerance": chance.choice((None, 1)),
            "initial_stream_window_size": chance.choice((1000, 70_000, 8_000_000)),
            "notify_settings_changed": True,
        }
        settings = chance.choice(({}, {"max_concurrent_streams": 3}, {"initial_window_size": 1000}))
        return MemoryGun(
            protocols=["http2"],
            http2_opts=opts,
            peer=lambda: Http2Peer(settings=settings, open_windows=chance.random() < 0.8, acknowledge=chance.random() < 0.9),
            owner=self.told,
            reply_to=self.told,
            retry=3,
            retry_timeout=1.0,
            max_waiting=5,
        )

    def react(self, event: Any) -> None:
        if isinstance(event, gun.Push):
            self.streams.append(event.pushed_stream)
        super().react(event)

    def upgrade(self) -> None:
        """HTTP/2 has none; in its place a ping."""
        ping = self.conn.ping()
        self.results.append(ping)
        ping.addBoth(self.answered)

    def answer(self) -> None:
        """A piece of an answer to something that is still open."""
        self.world.pump()
        peer = self.world.peer if self.world.peers else None
        if peer is None or peer.lost is not None:
            return
        for _ in range(self.random.choice((1, 1, 3))):
            open_ones = [one for one in (*peer.requests, *peer.promises) if not one.answered and one.reset is None]
            if open_ones:
                self.answer_one(peer, self.random.choice(open_ones))
        if self.random.random() < 0.5:
            self.world.endpoint.links[-1].cut_at(*sorted(self.random.sample(range(1, 500), 3)))
        self.world.pump()

    def answer_one(self, peer: Http2Peer, request: Any) -> None:
        chance = self.random.random()
        content = b"x" * self.random.choice((0, 1, 100, 70_000))
        responded = request.stream_id in self.begun.setdefault(peer, set())
        if chance < 0.05:
            peer.reset(request, self.random.choice(list(ErrorCode)))
        elif chance < 0.08:
            peer.send_headers(request, self.random.choice(MALFORMED))
        elif chance < 0.2 and self.world.connection._route.leg.http2.enable_push and request.stream_id % 2:
            peer.push(request, "/pushed")
        elif chance < 0.25 and not responded:
            peer.inform(request)
        elif chance < 0.3 and responded:
            peer.trailers(request, {"x": "y"})
        elif responded:
            peer.send_data(request, content, fin=chance < 0.7)
        else:
            self.begun[peer].add(request.stream_id)
            peer.respond(request, 200, {}, content, fin=chance < 0.7)

    def fault(self) -> None:
        chance, peer = self.random.random(), self.world.peer if self.world.peers else None
        if peer is not None and peer.lost is None:
            if chance < 0.2:
                peer.goaway(self.random.choice((None, 0, frames.LARGEST)), self.random.choice((0, 0, 0, 2)))
            elif chance < 0.3:
                peer.settings(
                    **self.random.choice(({"max_concurrent_streams": 1}, {"initial_window_size": 100}, {"header_table_size": 100}))
                )
            elif chance < 0.35:
                peer.send(self.random.choice(GARBAGE))
            elif chance < 0.6:
                peer.window_update(0, 100_000)
        super().fault()


class ChaosTests(test_chaos.ChaosCase):
    """Whatever happens, what must be true of every connection is."""

    life = _Life

    def test_lives(self) -> None:
        """Five hundred of them."""
        for seed in range(500):
            self.check(seed)


class _ReferenceLife(_Life):
    """One over the reference core."""

    core = "h2"


class ReferenceTests(test_chaos.ChaosCase):
    """So it is with the reference core."""

    life = _ReferenceLife

    def test_lives(self) -> None:
        """Two hundred of them."""
        for seed in range(200):
            self.check(seed)
