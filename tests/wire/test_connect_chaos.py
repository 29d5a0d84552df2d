"""
Tunnels amid whatever else may happen: random traffic, legal and illegal, over HTTP/1.1 and HTTP/2, with the conversations on watch.

What must hold is in `Conversation`: one end for each stream, nothing after it, none left without an end. Both cores of HTTP/2 must do the
same with the same. The seeds are fixed; a failure names its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import BadState
from twisted_gun.wire.frames import ErrorCode, FrameType
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.reference.http2 import Http2 as Reference

from .conversation import CHUNKED, OK, SWITCHED, Conversation, Key
from .http1_connect import BYTES, GRANTED, LAST_REFUSALS, REFUSALS
from .http2_conversation import Http2Conversation, named

#: What a server of HTTP/1.1 may say: answers of every kind, and what is none.
SAID = [
    *(OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", *[GRANTED] * 8, SWITCHED, *REFUSALS, *LAST_REFUSALS),
    *(b"HTTP/1.1 103 x\r\n\r\n", b"HTTP/1.1 204 x\r\n\r\n", b"\r\n", b"junk", BYTES),
]
#: What a proxy may promise over HTTP/2, as if it were the origin that a tunnel leads to.
PROMISE = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org:443"), (b":path", b"/"))


class Chaos:
    """A conversation, and what may happen in it, by chance."""

    def __init__(self, talk: Any, random: Random) -> None:
        self.talk = talk
        self.random = random
        self.keys: list[Key] = []
        self.answers = 0

    def run(self, steps: int) -> None:
        """So many things happen; then the connection is lost, if it is not by then."""
        doings = [self.ask, self.ask, self.steer, self.steer, self.wait, *[self.say] * 4]
        for _ in range(steps):
            if not self.talk.over:
                self.random.choice(doings)()
        if not self.talk.over:
            self.talk.lose(clean=self.random.random() < 0.5)

    def ask(self) -> None:
        """The owner asks for something."""
        talk, key = self.talk, Key(str(len(self.keys)))
        if not talk.core.accepting:
            return
        kind = self.random.choice(["get", "post", "upgrade", "connect", "connect", "connect"])
        try:
            if kind == "connect":
                talk.ask_connect(key)
            elif kind == "upgrade":
                talk.ask_upgrade(key)
            else:
                talk.ask(key, kind.upper().encode(), body=b"" if kind == "get" else None)
            self.keys.append(key)
        except BadState:
            pass

    def steer(self) -> None:
        """The owner does something with a stream of his, or with the connection."""
        talk, random = self.talk, self.random
        if not self.keys:
            return
        key = random.choice(self.keys)
        likely: list[Callable[[], object]] = [
            lambda: talk.send(key, random.choice([b"", b"some data"]), random.random() < 0.3),
            lambda: talk.hold(key, random.random() < 0.5),
            lambda: talk.hold(key, False),
            lambda: talk.hold_sending(random.random() < 0.5),
            lambda: talk.update_flow(key, 1),
        ]
        rare: list[Callable[[], object]] = [lambda: talk.cancel(key, drain=random.random() < 0.3), talk.shutdown]
        random.choice(rare if random.random() < 0.05 else likely)()

    def wait(self) -> None:
        """Time passes."""
        self.talk.at(self.talk.now + self.random.choice([0.1, 0.5, 1.0]))

    def say(self) -> None:
        """The peer says something, cut somewhere."""
        data = self.said() if self.random.random() < 0.05 or self.is_asked() else b""
        cut = self.random.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            if piece and not self.talk.over:
                self.talk.receive(piece)

    def is_asked(self) -> bool:
        """Whether the peer has been asked for anything that it has not answered yet, as far as it knows."""
        asked = self.answers < len(self.keys)
        self.answers += asked
        return asked

    def said(self) -> bytes:
        """Something that a server of HTTP/1.1 says."""
        return b"".join(self.random.choices(SAID, k=self.random.choice([1, 1, 2])))


class Http2Chaos(Chaos):
    """The same over HTTP/2."""

    promised = 0

    def is_asked(self) -> bool:
        """It has many frames for each."""
        return True

    def said(self) -> bytes:
        """A frame, such as should not be sent then among them."""
        peer, random = self.talk.peer, self.random
        if not self.keys:
            ping: bytes = peer.ping()
            return ping
        stream_id = 2 * random.randrange(len(self.keys)) + 1
        length = random.choice([(), ((b"content-length", b"5"),), ((b"content-length", b"x"),)])
        self.promised += 2
        likely: list[Callable[[], bytes]] = [
            *[lambda: peer.respond(stream_id, random.choice([200, 200, 204, 403]), length, fin=random.random() < 0.1)] * 4,
            *[lambda: peer.data(stream_id, random.choice([b"", b"hello"]), random.random() < 0.2, random.choice([None, 3]))] * 6,
            lambda: peer.window(random.choice([0, stream_id]), 20),
            lambda: peer.frame(FrameType.PRIORITY, 0, stream_id, b"\0\0\0\0\1"),
        ]
        rare: list[Callable[[], bytes]] = [
            lambda: peer.respond(stream_id, random.choice([103, 101]), fin=random.random() < 0.5),
            lambda: peer.trailers(stream_id),
            lambda: peer.promise(stream_id, self.promised, PROMISE),
            lambda: peer.reset(stream_id, random.choice([*ErrorCode])),
            lambda: peer.settings(initial_window_size=5),
            lambda: peer.goaway(stream_id),
        ]
        return random.choice(rare if random.random() < 0.15 else likely)()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Whatever is raised says with which seed it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


class ChaosTests(SynchronousTestCase):
    """Many of them."""

    def test_http1(self) -> None:
        """Over HTTP/1.1."""
        tunnels = 0
        for seed in range(600):
            random = Random(seed)
            options = {
                "flow": random.choice([None, 1]),
                "keepalive": random.choice([None, 0.5]),
                "cancel_timeout": random.choice([None, 1.0]),
            }
            talk = Conversation(max_cancelled_size=random.choice([5, 65_536]), closing_timeout=2.0, **options)
            with seeded(seed):
                Chaos(talk, random).run(40)
            tunnels += talk.core.switched or ("tunnel opened" in [entry[0] for entry in talk.outline])
        self.assertGreater(tunnels, 50)

    def test_http2(self) -> None:
        """Over HTTP/2, by both cores, which do the same."""
        tunnels = 0
        for seed in range(250):
            own, reference = (self.http2(core, seed) for core in (Http2, Reference))
            self.assertEqual(named(own.outline), named(reference.outline), f"seed {seed}")
            self.assertEqual(own.sent, reference.sent, f"seed {seed}")
            self.assertEqual(str(own.core.losses()), str(reference.core.losses()), f"seed {seed}")
            tunnels += "tunnel opened" in [entry[0] for entry in own.outline]
        self.assertGreater(tunnels, 50)

    def http2(self, core: Any, seed: int) -> Http2Conversation:
        """The conversation that `core` had."""
        random = Random(seed)
        options: dict[str, Any] = {
            "flow": random.choice([None, 1]),
            "enable_push": random.choice([True, False]),
            "initial_stream_window_size": random.choice([50, 8_000_000]),
            "max_waiting": random.choice([None, 5]),
            "response_timeout": random.choice([None, 1.0]),
            "send_timeout": random.choice([None, 2.0]),
        }
        settings = {"enable_connect_protocol": 1, "initial_window_size": random.choice([0, 65_535]), "max_concurrent_streams": 5}
        talk = Http2Conversation(core, settings=settings, **options)
        with seeded(seed):
            Http2Chaos(talk, random).run(50)
        return talk
