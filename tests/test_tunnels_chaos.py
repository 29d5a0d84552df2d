"""Many short lives over random ways, each made of random tunnels, requests, answers, faults and calls from within callbacks."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests import test_chaos
from tests.stage import UPGRADE
from tests.tunnels import ORIGINS, PROXIES, TunnelCase, Way
from twisted_gun.wire import frames
from twisted_gun.wire.frames import ErrorCode

#: Plain ones are faster, and met more often.
KINDS = ("http", "http", "h2c", "h2c", "socks5", "https", "h2", "socks5s")
LEADS = ("http", "http", "h2c", "h2c", "raw", "https", "h2", "raws")


class Life(test_chaos.Life):
    """One of them."""

    awaits = ("await_event", "await_response", "await_body")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.tunnels: list[Any] = []
        self.places: dict[Any, int] = {}  # where each tunnel leads to

    def make_world(self) -> Way:
        chance = self.random
        proxies = [chance.choice(KINDS) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
        way = Way(
            proxies,
            chance.choice(LEADS),
            quiet=True,
            owner=self.told,
            reply_to=self.told,
            retry=3,
            retry_timeout=1.0,
            max_waiting=5,
            capacity=chance.choice((1000, 65_536)),
            http_opts={"keepalive": chance.choice((None, 5.0)), "closing_timeout": chance.choice((2.0, 15.0))},
            http2_opts={
                "core": chance.choice(("own", "own", "h2")),
                "keepalive": chance.choice((None, 5.0)),
                "keepalive_tolerance": chance.choice((None, 1)),
                "initial_stream_window_size": chance.choice((1000, 70_000, 8_000_000)),
                "enable_push": chance.random() < 0.5,
            },
        )
        way.open()
        return way

    def play(self, steps: int = 30) -> None:
        if self.random.random() < 0.7:
            self.begin()
        for _ in range(steps):
            self.random.choice((self.act, self.act, self.answer, self.answer, self.fault, self.pass_time))()
            if self.random.random() < 0.7:
                self.world.pump()
        self.conn.close()
        self.world.pump()

    def begin(self) -> None:
        """Begin with all tunnels."""
        top: Any = self.conn
        for place in range(len(self.world.proxies)):
            if PROXIES[self.world.proxies[place]][1] != "socks5":
                top = top.connect(self.world.destination(place + 1))
                self.tunnels.append(top)
                self.streams.append(top)
                self.places[top] = place + 1
        self.world.pump()

    def react(self, event: object) -> None:
        if isinstance(event, gun.Push):
            self.streams.append(event.pushed_stream)
        if self.depth < 2 and self.random.random() < 0.15:
            self.depth += 1
            self.act()
            self.depth -= 1

    # What an application does.

    def act(self) -> None:
        """Anything that an application may do; what it must not do now is refused by an exception of ours."""
        actions = (self.connect, self.connect, self.get, self.get, self.get, self.post, self.upload, self.upgrade)
        more = (self.raw, self.cancel, self.touch, self.produce, self.ping, self.end)
        try:
            self.random.choice((*actions, *more))()
        except gun.GunError:
            return

    @property
    def asked(self) -> Any:
        """Whom to ask: the connection, or a tunnel, most often the latest."""
        alive = [tunnel for tunnel in self.tunnels if not tunnel.ended]
        if not alive or self.random.random() < 0.2:
            return self.conn
        return alive[-1] if self.random.random() < 0.7 else self.random.choice(alive)

    def connect(self) -> None:
        """The next tunnel, or any other, perhaps with what is not spoken there."""
        parent = self.asked
        place = self.places.get(parent, 0) + 1 if self.random.random() < 0.8 else self.random.randrange(1, len(self.world.hosts))
        place = min(place, len(self.world.proxies))
        end = {**self.world.destination(place), "tunnel_timeout": 3.0, "tls_handshake_timeout": 3.0}
        if self.random.random() < 0.05 and ORIGINS[self.world.origin][1] != "http2":  # whose peer would fail the test
            end["protocols"] = [self.random.choice(("http", "http2", "raw"))]
        told = self.random.choice((None, self.told, self.told))
        tunnel = parent.connect(end, reply_to=told)
        self.tunnels.append(tunnel)
        self.streams.append(tunnel)
        socks = place < len(self.world.proxies) and PROXIES[self.world.proxies[place]][1] == "socks5"
        self.places[tunnel] = place + 1 if socks else place
        if told is None:
            result = tunnel.await_up(self.random.choice((None, 0.5)))
            self.results.append(result)
            result.addBoth(self.answered)

    def upgrade(self) -> None:
        self.streams.append(self.random.choice((lambda: self.asked.get("/", UPGRADE), lambda: self.asked.ws_upgrade("/")))())

    def raw(self) -> None:
        raw = self.random.choice(self.tunnels) if self.tunnels else self.conn.raw
        if self.conn in (raw, None):
            return
        raw.data(b"x" * self.random.choice((1, 100_000)), fin=self.random.random() < 0.1)

    def touch(self) -> None:
        if self.streams:
            stream = self.random.choice(self.streams)
            stream.info()
            stream.update_flow(1)
            stream.flush()
            self.random.choice((self.conn.info, self.conn.flush, lambda: stream.data(b"more"), lambda: self.wait_for(stream)))()

    def ping(self) -> None:
        ping = self.asked.ping()
        self.results.append(ping)
        ping.addBoth(self.answered)

    def end(self) -> None:
        alive = [tunnel for tunnel in self.tunnels if not tunnel.ended]
        if alive and self.random.random() < 0.4:
            self.random.choice(alive).shutdown()
        elif self.random.random() < 0.05:
            self.random.choice((self.conn.close, self.conn.shutdown, lambda: self.conn.set_owner(None)))()

    # What others do.

    def answer(self) -> None:
        """The origin answers something, or, now and then, nothing that was asked."""
        peers = [peer for peer in self.world.peers if peer.lost is None and peer.transport is not None]
        if not peers:
            return
        peer = self.random.choice(peers)
        protocol = ORIGINS[self.world.origin][1]
        if protocol == "raw":
            peer.send(b"x" * self.random.choice((1, 50_000)))
        elif protocol == "http2":
            self.answer_http2(peer)
        elif self.answered_by[peer] < len(peer.requests) or self.random.random() < 0.02:
            self.answered_by[peer] += 1
            response = self.random.choice(test_chaos.RESPONSES)
            cut = self.random.choice((len(response), self.random.randrange(len(response) + 1)))
            peer.send(response[:cut])
            self.world.pump()
            if peer.lost is None:
                peer.send(response[cut:])

    def answer_http2(self, peer: Any) -> None:
        chance = self.random.random()
        waiting = [request for request in peer.requests if not request.answered and request.reset is None and not request.complete]
        if chance < 0.1 and peer.requests:
            peer.reset(self.random.choice(peer.requests), self.random.choice(list(ErrorCode)))
        elif chance < 0.15:
            peer.goaway(self.random.choice((None, 0, frames.LARGEST)), self.random.choice((0, 0, 2)))
        elif chance < 0.25 and waiting:
            peer.respond(waiting[0], self.random.choice((200, 403)), {}, b"early", fin=self.random.random() < 0.5)
        else:
            peer.answer()

    def fault(self) -> None:
        """Something breaks, is refused, or does not answer; or it does again."""
        chance = self.random.random
        factory = self.random.choice(self.world.factories)
        host = self.random.choice(self.world.hosts)
        if chance() < 0.2:
            factory.refuse = self.random.choice((None, None, 403, 502) if factory.kind != "socks5" else (None, None, 1, 5))
        if chance() < 0.2:
            endpoint = self.world.endpoints[host]
            self.random.choice((endpoint.accept, endpoint.accept, endpoint.hang, lambda: endpoint.refuse(times=1)))()
        alive = [link for link in self.world.links if not link.server.disconnected]
        if alive and chance() < 0.25:
            link = self.random.choice(alive)
            self.random.choice(
                (link.server.abortConnection, link.server.loseConnection, link.server.pauseProducing, lambda: link.cut_at(3, 50))
            )()
        if alive and chance() < 0.05:
            self.random.choice(alive).server.write(
                self.random.choice((b"\0" * 20, b"\x15\x03\x03\0\x02\x02\x28", frames.goaway(0, 0), b"\xff" * 9))
            )
        connections = [connection for factory in self.world.factories for connection in factory.connections if connection.lost is None]
        if connections and chance() < 0.1:
            connection = self.random.choice(connections)
            if connection.protocol == "http2":
                connection.write(frames.goaway(self.random.choice((0, frames.LARGEST)), self.random.choice((0, 11))))

    def pass_time(self) -> None:
        self.world.advance(self.random.choice((0.1, 0.5, 1.0, 4.0, 20.0)))


class ChaosTests(TunnelCase):
    """Whatever happens, what must be true of every connection is."""

    def check(self, seed: int) -> None:
        """One life."""
        life = Life(seed)
        life.play()
        self.assert_told_in_order(life.told)
        for stream in life.streams:
            self.assertTrue(stream.ended, (seed, stream))
            ends = [event for event in life.told.events if getattr(event, "stream", None) is stream and event.fin]
            wanted = 0 if stream in life.cancelled or stream._receiver is None else 1
            self.assertEqual(len(ends), wanted, (seed, stream))
        listed: list[Any] = []
        for down in life.told.of(gun.Down):
            listed += [*down.killed_streams, *down.unprocessed_streams]
        self.assertEqual(len(set(listed)), len(listed), seed)
        self.assertTrue(all(isinstance(stream, gun.Stream) and stream.ended for stream in listed), seed)
        self.assertTrue(all(result.called for result in life.results), seed)
        self.assertEqual([repr(failure) for failure in self.flushLoggedErrors()], [], seed)
        self.assertEqual(life.conn.info().state_name, "terminated")
        self.assertEqual(life.world.clock.getDelayedCalls(), [], seed)
        for link in life.world.endpoints[life.world.hosts[0]].links:
            self.assertTrue(link.client.disconnected, seed)
            self.assertIsNone(link.client.producer, seed)

    def test_lives(self) -> None:
        """A hundred and fifty of them."""
        for seed in range(150):
            self.check(seed)
