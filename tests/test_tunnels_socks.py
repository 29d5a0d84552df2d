"""SOCKS5 proxies that refuse, or break off: at the connection itself, and inside a CONNECT tunnel; every error has its name."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import answer
from tests.tunnels import PORT, TunnelCase, spread
from twisted_gun.testing import MemoryGun, RecordingReceiver

#: RFC 1928 section 6, by Gun's names; gun.md 1.21.
ERRORS = {
    1: "general_socks_server_failure",
    2: "connection_not_allowed_by_ruleset",
    3: "network_unreachable",
    4: "host_unreachable",
    5: "connection_refused",
    6: "ttl_expired",
    7: "command_not_supported",
    8: "address_type_not_supported",
    9: "unknown_error",
    255: "unknown_error",
}
END = {"host": "origin.example", "port": PORT}
ESTABLISHED = b"\5\0\0\1" + bytes(6)
GRANTED = b"\5\0" + ESTABLISHED


class SocksTests(TunnelCase):
    """A connection to a SOCKS proxy whose every byte the test gives."""

    ways = ()

    def world(self, end: dict[str, Any] | None = None, **options: Any) -> tuple[MemoryGun, RecordingReceiver]:
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told, protocols=[("socks", end or END)], **options)
        world.pump()
        return world, told

    def answers(self, world: MemoryGun, *pieces: bytes) -> None:
        for piece in pieces:
            world.peer.send(piece)
            world.pump()

    def close(self, world: MemoryGun) -> None:
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_dialogue(self) -> None:
        """What is sent, and told: gun_up, and, once the tunnel is there, gun_tunnel_up, to the owner."""
        world, told = self.world()
        self.assertEqual(world.peer.received, b"\5\1\0")
        self.answers(world, b"\5\0")
        self.assertEqual(world.peer.received, b"\5\1\0" + b"\5\1\0\3\x0eorigin.example\x1f\x90")
        self.assertEqual(told.names(), ["gun_up"])
        self.answers(world, ESTABLISHED)
        up, tunnel_up = told.events
        self.assertEqual((up.protocol, tunnel_up.stream, tunnel_up.protocol), ("socks", None, "http"))
        body = world.connection.get("/", reply_to=None).await_body()
        world.pump()
        self.assertTrue(world.peer.received.endswith(b"GET / HTTP/1.1\r\nhost: origin.example:8080\r\n\r\n"))
        self.answers(world, answer(b"ok"))
        self.assertEqual(self.successResultOf(body), b"ok")
        self.close(world)

    def test_glued(self) -> None:
        """Bytes right behind the reply are the tunnel's, wherever it is cut."""
        whole = ESTABLISHED + b"220 ready\r\n"
        for cut in range(len(whole) + 1):
            world, told = self.world({**END, "protocols": ["raw"]})
            self.answers(world, b"\5\0", whole[:cut], whole[cut:])
            self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"220 ready\r\n")
            self.close(world)

    def test_every_error(self) -> None:
        """A refusal: an error of the connection, by its name, then gun_down, with nothing killed, and a retry; Gun crashes (gun.md 6.4)."""
        for code, name in ERRORS.items():
            world, told = self.world()
            world.connection.get("/waits")
            self.answers(world, b"\5\0", bytes((5, code, 0, 1)) + bytes(6))
            error, down = told.events[1:3]
            self.assertEqual((type(error), error.stream, type(down)), (gun.Error, None, gun.Down))
            self.assertIs(error.reason, down.reason)
            self.assertEqual((type(down.reason), down.reason.error, down.reason.status), (gun.ProxyFailed, name, None))
            self.assertIn("origin.example:8080", str(down.reason))
            self.assertEqual((down.protocol, down.killed_streams, down.unprocessed_streams), ("socks", (), ()))
            self.assertEqual(told.names()[3:], ["gun_up"])
            self.assertEqual(len(world.peers), 2)
            self.answers(world, b"\5\0", ESTABLISHED)
            self.assertTrue(world.peer.received.endswith(b"GET /waits HTTP/1.1\r\nhost: origin.example:8080\r\n\r\n"))
            self.close(world)

    def test_authentication(self) -> None:
        """Wrong credentials, and a method that is not wanted, have names too."""
        auth = {**END, "auth": [("username_password", "ann", "sesame")]}
        for end, pieces, name in (
            (auth, (b"\5\2", b"\1\1"), "username_password_auth_failure"),
            (auth, (b"\5\xff",), "no_acceptable_method"),
            (END, (b"\5\xff",), "no_acceptable_method"),
        ):
            world, told = self.world(end)
            self.answers(world, *pieces)
            self.assertEqual(told.of(gun.Down)[0].reason.error, name)  # type: ignore[union-attr]
            self.assertNotIn("sesame", repr(told.events))
            self.close(world)

    def test_violations(self) -> None:
        """What no SOCKS5 proxy says."""
        for pieces in ((b"\4\0",), (b"HTTP/1.1 400 Bad Request\r\n\r\n",), (b"\5\2",), (b"\5\0\5",), (b"\5\0", b"\4\0\0\1" + bytes(6))):
            world, told = self.world()
            self.answers(world, *pieces)
            self.assertIsInstance(told.of(gun.Down)[0].reason, gun.ProtocolViolation)
            self.close(world)

    def test_breaks_off(self) -> None:
        """A proxy that ends in the midst of its answers, after any byte of them: ProxyFailed, which says where, and a retry."""
        for lose in ("close", "abort"):
            for cut in range(len(GRANTED)):
                world, told = self.world()
                world.connection.get("/waits")
                self.answers(world, *(GRANTED[at : at + 1] for at in range(cut)))
                getattr(world.peer, lose)()
                world.pump()
                (down,) = told.of(gun.Down)
                self.assertIsInstance(down.reason, gun.ProxyFailed)
                self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), ()))
                self.assertEqual(len(world.peers), 2)
                self.close(world)

    def test_no_retry(self) -> None:
        """Without a retry it is the end of the connection, and of what waits for it."""
        world, _ = self.world(retry=0)
        stream = world.connection.get("/", reply_to=None)
        response, up = stream.await_response(), world.connection.await_up()
        self.successResultOf(up)
        self.answers(world, b"\5\0", b"\5\5\0\1" + bytes(6))
        error = self.failureResultOf(response, gun.ProxyFailed).value
        self.assertEqual(error.error, "connection_refused")
        self.assertIs(self.successResultOf(world.connection.when_terminated()), error)
        self.assert_nothing_left(world)

    def test_never_answers(self) -> None:
        """A proxy that does not answer: TimedOut("tunnel") after tunnel_timeout, then a retry, at each of its answers."""
        for given in ((), (b"\5\0",), (b"\5\0", b"\5")):
            world, told = self.world({**END, "tunnel_timeout": 3.0})
            self.answers(world, *given)
            world.advance(2.9)
            self.assertEqual(told.of(gun.Down), [])
            world.advance(0.1)
            (down,) = told.of(gun.Down)
            self.assertEqual((type(down.reason), down.reason.stage, down.reason.seconds), (gun.TimedOut, "tunnel", 3.0))  # type: ignore[union-attr]
            self.assertEqual(len(world.peers), 2)
            self.close(world)

    def test_default_time(self) -> None:
        """Ten seconds, unless it says otherwise; None is for ever."""
        for end, seconds in ((END, 10.0), ({**END, "tunnel_timeout": None}, None)):
            world, told = self.world(end)
            world.advance(seconds or 10_000)
            self.assertEqual(len(told.of(gun.Down)), 0 if seconds is None else 1)
            self.close(world)

    def test_addresses(self) -> None:
        """Names go as names, addresses as addresses."""
        for host, asked in (
            ("origin.example", b"\3\x0eorigin.example"),
            ("192.0.2.1", b"\1\xc0\0\2\1"),
            ("::1", b"\4" + bytes(15) + b"\1"),
            ("[2001:db8::1]", b"\4\x20\x01\x0d\xb8" + bytes(11) + b"\1"),
        ):
            world, _ = self.world({"host": host, "port": 443})
            self.answers(world, b"\5\0")
            self.assertEqual(world.peer.received[3:], b"\5\1\0" + asked + b"\x01\xbb")
            self.close(world)


class InTunnelTests(TunnelCase):
    """SOCKS inside a CONNECT tunnel: what goes wrong is that tunnel's end."""

    proxies = ("http", "socks5")
    ways = ("SocksInHttp", "SocksInHttp2")

    def test_every_error(self) -> None:
        """A refusal ends the tunnel by its name; who waits fails with it, and the connection lives on over HTTP/2."""
        for code, name in ERRORS.items():
            told = RecordingReceiver()
            way = self.way(owner=told, reply_to=told)
            way.factories[-1].refuse = code
            top = way.ask()
            up, stream = top.await_up(), top.get("/")
            way.pump()
            error = self.failureResultOf(up, gun.ProxyFailed).value
            self.assertEqual((error.error, error.status), (name, None))
            last = self.assert_each_ended_once(told, [top, stream])
            self.assertIs(last[top].reason, error)
            self.assertIs(last[stream].reason, error)
            self.assertEqual([event.protocol for event in told.of(gun.TunnelUp)], ["socks"])
            self.assertEqual([down.reason for down in told.of(gun.Down)], [error] if self.whole else [])
            self.assertEqual(way.peers, [])
            self.end(way)

    def test_authentication(self) -> None:
        """So do wrong credentials."""
        way = self.way(credentials=("ann", "sesame"))
        way.factories[0].credentials = None
        way.factories[1].credentials = ("ann", "another")
        top = way.ask()
        up = top.await_up()
        way.pump()
        self.assertEqual(self.failureResultOf(up, gun.ProxyFailed).value.error, "username_password_auth_failure")
        self.end(way)

    def test_never_answers(self) -> None:
        """So does a proxy that does not answer in time."""
        for mute in (True, False):
            told = RecordingReceiver()
            way = self.way(owner=told, reply_to=told, tunnel_timeout=None)
            if mute:
                way.mute(1)
            else:
                way.endpoints[way.hosts[-1]].hang()
            top = way.ask()
            up = top.await_up(None)
            way.pump()
            way.advance(9.9)
            self.assertNoResult(up)
            way.advance(0.1)
            error = self.failureResultOf(up, gun.TimedOut).value
            self.assertEqual((error.stage, error.seconds), ("tunnel", 10.0))
            self.assert_each_ended_once(told, [top])
            self.end(way)

    def test_breaks_off(self) -> None:
        """So does one that ends in the midst of it."""
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told)
        way.endpoints[way.hosts[-1]].hang()
        top = way.ask()
        stream = top.get("/")
        way.pump()
        way.factories[1].connections[0].transport.loseConnection()
        way.pump()
        last = self.assert_each_ended_once(told, [top, stream])
        self.assertIsInstance(last[top].reason, gun.ProxyFailed)
        self.end(way)


globals().update(spread(__name__))
