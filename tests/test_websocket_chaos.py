"""Many short lives with websockets, each made of random requests, frames, answers, faults and calls from within, by a fixed seed."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests import test_chaos
from tests.producers import Push
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun, Opcode, WebsocketPeer, server_frame

FRAMES: tuple[Any, ...] = ("text", "grüße" * 100, b"", b"x" * 70_000, gun.Ping(b"p"), gun.Pong(b"q"))
CLOSES = (gun.Close(), gun.Close(1000), gun.Close(1001, "going"), gun.Close(4999))
#: What no server may send, and what is only half a frame or half a message.
GARBAGE = (
    server_frame(3),
    server_frame(Opcode.TEXT, b"\xff"),
    server_frame(Opcode.TEXT, b"masked", mask=b"abcd"),
    server_frame(Opcode.CONTINUATION, b"of nothing"),
    server_frame(Opcode.CLOSE, b"\x03"),
    server_frame(Opcode.TEXT, b"half", fin=False),
    server_frame(Opcode.TEXT, b"cut")[:3],
    b"\xff" * 30,
)
HANDSHAKES: tuple[dict[str, Any], ...] = (*({},) * 15, {"sec-websocket-protocol": "unasked"}, {"sec-websocket-extensions": "other"})


class Life(test_chaos.Life):
    """One of them, over HTTP/1.1."""

    core = "own"

    def make_world(self) -> MemoryGun:
        """A world in which all is told to `told`, with options at random."""
        chance = self.random
        opts = {
            "core": self.core,
            "compress": chance.choice((False, True)),
            "closing_timeout": chance.choice((1.0, 15.0)),
            "flow": chance.choice((None, None, 1, 3)),
            "keepalive": chance.choice((None, 0.7)),
            "ping_timeout": chance.choice((None, 0.5)),
            "silence_pings": chance.choice((True, False)),
            "max_message_size": chance.choice((1000, 1 << 24)),
            "default_protocol": chance.choice((None, gun.WsProtocol)),
        }
        common: dict[str, Any] = {"owner": self.told, "reply_to": self.told, "retry": 3, "retry_timeout": 1.0, "max_waiting": 5}
        return MemoryGun(ws_opts=opts, peer=self.make_peer, **self.protocol(), **common)

    def protocol(self) -> dict[str, Any]:
        """The options of what is spoken below."""
        return {}

    def make_peer(self) -> Any:
        """A peer that answers when the life says so."""
        return _Peer(**self.end_options())

    def end_options(self) -> dict[str, Any]:
        """How the peer's ends behave."""
        chance = self.random
        return {
            "accept": False,
            "echo": chance.random() < 0.3,
            "answer_pings": chance.random() < 0.8,
            "answer_close": chance.random() < 0.8,
            "hang_up": chance.random() < 0.8,
            "extensions": chance.choice((None, "permessage-deflate")),
        }

    def play(self, steps: int = 60) -> None:
        self.upgrade()
        for _ in range(steps):
            self.random.choice((self.act, self.act, self.act, self.answer, self.answer, self.answer, self.answer, self.trouble))()
        self.conn.close()
        self.world.pump()

    def trouble(self) -> None:
        """A fault, or time."""
        self.random.choice((self.fault, self.pass_time, self.pass_time))()

    # What an application does.

    def upgrade(self) -> None:
        told = self.random.choice((None, self.told, self.told))
        options: dict[str, Any] = {} if self.random.random() < 0.7 else {"flow": 1}
        stream = self.conn.ws_upgrade("/", reply_to=told, **options)
        self.streams.append(stream)
        if told is None:
            self.wait_for(stream)

    def get(self) -> None:
        (self.upgrade if self.random.random() < 0.6 else super().get)()

    def post(self) -> None:
        """In its place frames, on whatever there is."""
        self.frames()

    upload = post

    def frames(self) -> None:
        """Send something on any stream, or on the connection."""
        chance = self.random.random()
        frame = self.random.choice(FRAMES if chance < 0.85 else CLOSES)
        if chance < 0.1:
            self.conn.ws_send(frame)
        elif self.streams:
            self.random.choice(self.streams[-3:]).ws_send(self.random.choice((frame, [frame, "more"])))

    def produce(self) -> None:
        if self.streams:
            stream = self.random.choice(self.streams[-3:])
            if stream._producer is None:
                stream.registerProducer(Push(), True)
            stream.write(b"x" * self.random.choice((1, 100_000)))

    def touch(self) -> None:
        if self.random.random() < 0.2:
            ping = self.conn.ping()
            self.results.append(ping)
            ping.addBoth(self.answered)
        else:
            super().touch()

    # What the peer does.

    def ends(self) -> list[Any]:
        """The ends of the latest peer."""
        return [self.world.peer]

    def answer(self) -> None:
        self.world.pump()
        if not self.world.peers or self.world.peer.lost is not None:
            return
        link = self.world.endpoint.links[-1]
        if self.random.random() < 0.3:
            link.cut_at(*sorted(self.random.sample(range(1, 300), 3)))
        link.chunk_size = self.random.choice((1000, 1 << 16))
        for end in self.ends():
            if end.lost is None:
                self.answer_end(end)
        self.world.pump()

    def answer_end(self, end: Any) -> None:
        """What one end does."""
        chance = self.random.random()
        if end.pending:
            if end.handshake is None:
                end.respond(200, (), b"ok")
            elif chance < 0.8:
                headers = dict(self.random.choice(HANDSHAKES))
                if not self.conn._options.ws_opts.compress and "sec-websocket-extensions" not in headers:
                    headers["sec-websocket-extensions"] = None
                end.accept(headers=headers)
            else:
                end.refuse(self.random.choice((401, 403, 500)), (), b"no")
        if end.accepted and end.sent_close is None:
            for _ in range(self.random.choice((1, 3))):
                end.send(self.random.choice(FRAMES))
            if chance < 0.03:
                end.send_raw(self.random.choice(GARBAGE))
            elif chance < 0.1:
                end.send(self.random.choice(CLOSES))
            elif chance < 0.12:
                self.random.choice((end.drop, end.abort))()


class Http2Life(Life):
    """One over HTTP/2."""

    def protocol(self) -> dict[str, Any]:
        chance = self.random
        opts = {
            "max_waiting": chance.choice((None, 3)),
            "keepalive": chance.choice((None, 5.0)),
            "initial_stream_window_size": chance.choice((1000, 70_000, 8_000_000)),
        }
        return {"protocols": ["http2"], "http2_opts": opts}

    def make_peer(self) -> Any:
        chance = self.random
        settings = chance.choice(({}, {"max_concurrent_streams": 3}, {"initial_window_size": 1000}, {"enable_connect_protocol": 0}))
        return Http2WebsocketPeer(settings=settings, open_windows=chance.random() < 0.8, **self.end_options())

    def ends(self) -> list[Any]:
        return list(self.world.peer.ends)

    def answer(self) -> None:
        super().answer()
        if self.world.peers and self.world.peer.lost is None:
            for request in self.world.peer.requests:
                if request.method != b"CONNECT" and request.complete and not request.answered and request.reset is None:
                    self.world.peer.respond(request, 200, {}, b"ok")
        self.world.pump()


class _Peer(WebsocketPeer):
    """One that goes away where it does not understand."""

    def _take(self, data: bytes) -> None:
        if self.accepted or (b"content-length: 0" not in data):
            super()._take(data)
        else:
            super()._take(data.replace(b"content-length: 0\r\n", b""))


class Http1Tests(test_chaos.ChaosCase):
    """Over HTTP/1.1."""

    life = Life

    def test_lives(self) -> None:
        """Two hundred of them."""
        for seed in range(200):
            self.check(seed)


class Http2Tests(test_chaos.ChaosCase):
    """Over HTTP/2."""

    life = Http2Life

    def test_lives(self) -> None:
        """Two hundred of them."""
        for seed in range(200):
            self.check(seed)


class ReferenceTests(test_chaos.ChaosCase):
    """By the reference core."""

    class life(Life):  # noqa: N801, as the attribute it is
        """One life."""

        core = "wsproto"

    def test_lives(self) -> None:
        """A hundred of them."""
        for seed in range(100):
            self.check(seed)
