"""Tunnels that are refused, and answers that are not: an orderly response, an error that says what to do, and all that waits."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import CHUNKED, answer
from tests.tunnels import PORT, TunnelCase, Way, spread
from twisted_gun.testing import MemoryGun, RecordingReceiver, ScriptedPeer

#: Of each class, and those that say something of their own.
STATUSES = (300, 302, 304, 400, 401, 403, 404, 405, 407, 408, 421, 429, 451, 499, 500, 502, 503, 504, 511, 599)
DESTINATION = {"host": "origin.example", "port": PORT}


class StatusTests(TunnelCase):
    """By a proxy of HTTP, with whatever status."""

    ways = ("Http", "Https", "Http2", "HttpInHttp", "HttpInHttp2", "Http2InHttp", "HttpInSocks", "Http2InSocks")
    origins = ("h2", "http")

    def refused(self, status: int, **options: Any) -> tuple[Way, Any]:
        """A way whose last proxy refuses by `status`, and the tunnel."""
        way = self.way(**options)
        way.factories[-1].refuse = status
        return way, way.ask()

    def test_every_status(self) -> None:
        """It is a response as any other, with its content; await_up fails with the status, and a text that names proxy and destination."""
        for status in STATUSES:
            way, tunnel = self.refused(status)
            up, response = tunnel.await_up(), tunnel.await_response()
            way.pump()
            self.assertEqual(self.successResultOf(response).status, status)
            error = self.failureResultOf(up, gun.ProxyFailed).value
            self.assertEqual((error.status, error.error), (status, None))
            for word in (way.hosts[-2], "origin.example:8080", str(status)):
                self.assertIn(word, str(error))
            if status != 304:  # which has no content
                self.assertEqual(self.successResultOf(tunnel.await_body()), b"The proxy says: %d %b\n" % (status, self.phrase(status)))
            self.assertTrue(tunnel.ended)
            self.assertIs(self.failureResultOf(tunnel.await_up()).value, error)
            self.end(way)

    def phrase(self, status: int) -> bytes:
        from http import HTTPStatus

        return {known.value: known.phrase.encode() for known in HTTPStatus}.get(status, b"")

    def test_events(self) -> None:
        """To a receiver: the response and its content, and neither an error nor TunnelUp; the connection is not told of."""
        told = RecordingReceiver()
        way, tunnel = self.refused(403, owner=told, reply_to=told)
        way.pump()
        events = [event for event in told.events if getattr(event, "stream", None) is tunnel]
        self.assertEqual([type(event) for event in events[:2]], [gun.Response, gun.Data])
        self.assertEqual([event.fin for event in events], [False] * (len(events) - 1) + [True])
        self.assertEqual(b"".join(event.data for event in events[1:]), b"The proxy says: 403 Forbidden\n")
        self.assertEqual(told.of(gun.Down), [])
        self.end(way)

    def test_those_inside(self) -> None:
        """What waited for it ends once, by an error that says so; it reaches neither proxy nor origin."""
        told = RecordingReceiver()
        way, tunnel = self.refused(403, owner=told, reply_to=told)
        streams = [tunnel.get("/secret"), tunnel.post("/secret", (), b"secret"), tunnel.ws_upgrade("/secret"), tunnel.connect(DESTINATION)]
        further = streams[-1].get("/secret")
        way.pump()
        for event in self.assert_each_ended_once(told, [*streams, further]).values():
            self.assertIsInstance(event.reason, gun.ProxyFailed)
            self.assertEqual(event.reason.status, 403)
        self.assertEqual(way.peers, [])
        self.assertEqual([request for factory in way.factories for request in factory.requests], [])
        self.end(way)

    def test_again(self) -> None:
        """The connection lives on: the next tunnel through the same one is made, though nobody has read the refusal."""
        way, tunnel = self.refused(503)
        way.pump()
        self.failureResultOf(tunnel.await_up(), gun.ProxyFailed)
        way.factories[-1].refuse = None
        parent = way.tunnels[-2] if len(way.tunnels) > 1 else way.connection
        again = parent.connect(way.destination(len(self.proxies)))
        body = again.get("/").await_body()
        way.pump()
        self.assertEqual(self.successResultOf(body), b"/")
        self.assertEqual(len(way.factories[-1].connections), 1)
        self.assertEqual(len(way.owner.of(gun.Up)), 1)
        self.end(way)

    def test_with_credentials(self) -> None:
        """407, and then credentials: on the same connection."""
        way = self.way(credentials=("ann", "sesame"))
        for factory in way.factories[:-1]:
            factory.credentials = None
        if any(name.startswith("socks") for name in self.proxies):
            return
        end = way.destination(len(self.proxies))
        wanted = {name: value for name, value in end.items() if name not in ("username", "password")}
        way.credentials = None
        parent: Any = way.open()
        for place in range(1, len(self.proxies)):
            parent = parent.connect(way.destination(place))
        first = parent.connect(wanted)
        way.pump()
        error = self.failureResultOf(first.await_up(), gun.ProxyFailed).value
        self.assertEqual(error.status, 407)
        challenge = dict(self.successResultOf(first.await_response()).headers)[b"proxy-authenticate"]
        self.assertEqual(challenge, b'Basic realm="proxy"')
        second = parent.connect({**wanted, "username": "ann", "password": "wrong"})
        way.pump()
        self.assertEqual(self.failureResultOf(second.await_up(), gun.ProxyFailed).value.status, 407)
        third = parent.connect(end)
        way.pump()
        self.successResultOf(third.await_up())
        self.assertEqual([tunnel.status for tunnel in way.factories[-1].tunnels], [407, 407, 200])
        self.assertEqual(len(way.factories[-1].connections), 1)
        self.end(way)

    def test_unreachable(self) -> None:
        """A destination that the proxy cannot reach: 502, as it says."""
        way = self.way()
        way.endpoints[way.hosts[-1]].refuse()
        tunnel = way.ask()
        up = tunnel.await_up()
        way.pump()
        self.assertEqual(self.failureResultOf(up, gun.ProxyFailed).value.status, 502)
        self.end(way)


class Http1AnswerTests(TunnelCase):
    """What a proxy of HTTP/1.1 may answer, byte by byte."""

    ways = ()

    def asked(self, **options: Any) -> tuple[MemoryGun, Any]:
        """A proxy that was asked for a tunnel."""
        world = MemoryGun(**options)
        world.pump()
        tunnel = world.connection.connect(DESTINATION)
        world.pump()
        return world, tunnel

    def close(self, world: MemoryGun) -> None:
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_refusals_of_all_shapes(self) -> None:
        """With content of any framing, or none, it is read to its end, and the connection is used on if it can be."""
        shapes = {
            b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n": (b"", True),
            answer(b"no", 403): (b"no", True),
            CHUNKED.replace(b"200 OK", b"403 No"): (b"wikipedia", True),
            b"HTTP/1.1 403 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno": (b"no", False),
            b"HTTP/1.0 403 No\r\ncontent-length: 2\r\n\r\nno": (b"no", False),
            b"HTTP/1.1 403\r\ncontent-length: 0\r\n\r\n": (b"", True),
        }
        for shape, (content, kept) in shapes.items():
            for size in (1, len(shape)):
                world, tunnel = self.asked()
                for at in range(0, len(shape), size):
                    world.peer.send(shape[at : at + size])
                    world.pump()
                self.assertEqual(self.successResultOf(tunnel.await_response()).status, 403)
                self.assertEqual(self.successResultOf(tunnel.await_body()), content)
                self.assertEqual(self.failureResultOf(tunnel.await_up()).value.status, 403)
                self.assertEqual(len(world.peers), 1 if kept else 2, shape)
                again = world.connection.connect(DESTINATION)
                world.pump()
                world.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
                world.pump()
                self.assertEqual(self.successResultOf(again.await_up()), "http")
                self.close(world)

    def test_credentials_of_another_kind(self) -> None:
        """A 407 whose challenges are all of kinds not spoken here says so, and names them."""
        challenges = b'proxy-authenticate: Negotiate, Digest realm="a, b", qop="auth"\r\nproxy-authenticate: NTLM\r\n'
        for headers, words in ((challenges, "(Negotiate, Digest, NTLM): only Basic is"), (b"proxy-authenticate: Basic\r\n", "give them")):
            world, tunnel = self.asked()
            up = tunnel.await_up()
            world.peer.send(b"HTTP/1.1 407 X\r\n%bcontent-length: 0\r\n\r\n" % headers)
            world.pump()
            self.assertIn(words, str(self.failureResultOf(up, gun.ProxyFailed).value))
            self.close(world)

    def test_until_close(self) -> None:
        """One that ends with its connection is whole then."""
        world, tunnel = self.asked()
        world.peer.send(b"HTTP/1.1 403 No\r\n\r\nbecause")
        world.pump()
        self.assertEqual(self.failureResultOf(tunnel.await_up()).value.status, 403)
        self.assertFalse(tunnel.ended)
        body = tunnel.await_body()
        world.peer.close()
        world.pump()
        self.assertEqual(self.successResultOf(body), b"because")
        self.close(world)

    def test_cut_off(self) -> None:
        """One that is cut off is; the failure is still the refusal."""
        world, tunnel = self.asked()
        world.peer.send(b"HTTP/1.1 403 No\r\ncontent-length: 10\r\n\r\nbecause")
        world.pump()
        world.peer.close()
        world.pump()
        self.assertEqual(self.failureResultOf(tunnel.await_up()).value.status, 403)
        self.failureResultOf(tunnel.await_body(), gun.Truncated)
        self.close(world)

    def test_cancelled(self) -> None:
        """One can be cancelled in the midst of its content."""
        world, tunnel = self.asked()
        world.peer.send(b"HTTP/1.1 403 No\r\ncontent-length: 10\r\n\r\nbecau")
        world.pump()
        tunnel.cancel()
        world.pump()
        world.peer.send(b"se of")
        world.pump()
        again = world.connection.connect(DESTINATION)
        world.pump()
        self.assertIn(b"CONNECT", world.peer.received[40:])
        again.cancel()
        self.close(world)

    def test_those_behind(self) -> None:
        """What was asked of the connection meanwhile was meant for the tunnel: StreamRefused says so, and the proxy never sees it."""
        world, tunnel = self.asked()
        behind = [world.connection.get("/secret").await_response(), world.connection.post("/secret", (), b"x").await_response()]
        world.pump()
        world.peer.send(answer(b"no", 403))
        world.pump()
        for response in behind:
            self.assertIn("tunnel", str(self.failureResultOf(response, gun.StreamRefused).value))
        self.assertNotIn(b"secret", world.peer.received)
        self.assertEqual(self.successResultOf(tunnel.await_response()).status, 403)
        after = world.connection.get("http://origin.example/after").await_response()
        world.pump()
        world.peer.send(answer(b"forwarded"))
        world.pump()
        self.assertEqual(self.successResultOf(after).status, 200)
        self.close(world)

    def test_interim(self) -> None:
        """Interim responses come before either."""
        for final, names in (
            (answer(b"no", 403), ["gun_response", "gun_data"]),
            (b"HTTP/1.1 200 OK\r\n\r\n", ["gun_response", "gun_tunnel_up"]),
        ):
            told = RecordingReceiver()
            world, _ = self.asked(reply_to=told)
            world.peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + final)
            world.pump()
            self.assertEqual(told.names(), ["gun_inform", "gun_inform", *names])
            self.close(world)

    def test_switching(self) -> None:
        """101 was not asked for."""
        world, tunnel = self.asked(retry=0)
        up = tunnel.await_up()
        world.peer.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        world.pump()
        self.failureResultOf(up, gun.ProtocolViolation)
        self.close(world)

    def test_granted_in_any_way(self) -> None:
        """Every 2xx is a tunnel, whatever its fields say of content (RFC 9110 section 9.3.6), of any HTTP/1."""
        heads = (
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 201 X\r\ncontent-length: 5\r\n\r\n",
            b"HTTP/1.1 204 X\r\n\r\n",
            b"HTTP/1.1 299 X\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 X\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        )
        for head in heads:
            world, tunnel = self.asked()
            world.peer.send(head)
            world.pump()
            self.assertEqual(self.successResultOf(tunnel.await_up()), "http")
            self.assertFalse(self.successResultOf(tunnel.await_response()).fin)
            body = tunnel.get("/").await_body()
            world.pump()
            self.assertIn(b"GET / HTTP/1.1\r\nhost: origin.example:8080\r\n\r\n", world.peer.received)
            world.peer.send(answer(b"whole"))
            world.pump()
            self.assertEqual(self.successResultOf(body), b"whole", head)
            self.close(world)

    def test_no_http(self) -> None:
        """What is no HTTP ends the connection, and is the reason."""
        for nonsense in (b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 2OO OK\r\n\r\n", b"\0" * 100, b"HTTP/2 200\r\n\r\n"):
            world, tunnel = self.asked(retry=0)
            up, inside = tunnel.await_up(), tunnel.get("/").await_response()
            world.peer.send(nonsense + b"\r\n\r\n")
            world.pump()
            self.failureResultOf(up, gun.ProtocolViolation)
            self.failureResultOf(inside, gun.GunError)
            self.close(world)

    def test_endless_head(self) -> None:
        """A head without end runs into its limit."""
        world, tunnel = self.asked(retry=0, http_opts={"max_header_block_size": 1000})
        up = tunnel.await_up()
        world.peer.send(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000)
        world.pump()
        self.failureResultOf(up, gun.LimitReached)
        self.close(world)


class GluedTests(TunnelCase):
    """What comes right behind the answer, where Gun crashes (gun.md 1.21)."""

    ways = ()

    def test_glued(self) -> None:
        """Bytes in the same piece as the answer are the tunnel's, and so they are wherever the piece is cut."""
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" + b"220 ready\r\n"
        for cut in range(len(whole) + 1):
            told = RecordingReceiver()
            world = MemoryGun(reply_to=told)
            tunnel = world.connection.connect({**DESTINATION, "protocols": ["raw"]})
            world.pump()
            world.peer.send(whole[:cut])
            world.pump()
            world.peer.send(whole[cut:])
            world.pump()
            self.assertEqual(told.names()[:2], ["gun_response", "gun_tunnel_up"])
            self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"220 ready\r\n", cut)
            tunnel.data(b"QUIT\r\n")
            world.pump()
            self.assertTrue(world.peer.received.endswith(b"\r\n\r\nQUIT\r\n"))
            world.connection.close()
            world.pump()
            self.assert_nothing_left(world)

    def test_flow(self) -> None:
        """http_opts.flow is for responses: bytes behind the answer do not use it up."""
        told = RecordingReceiver()
        world = MemoryGun(reply_to=told, http_opts={"flow": 1})
        world.connection.connect({**DESTINATION, "protocols": ["raw"]})
        world.pump()
        world.peer.send(b"HTTP/1.1 200 OK\r\n\r\nfirst ")
        world.pump()
        world.peer.send(b"second")
        world.pump()
        self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"first second")
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_read_in_turn(self) -> None:
        """To one who awaits event after event they come in their order."""
        world = MemoryGun(peer=lambda: ScriptedPeer([("expect", b"CONNECT"), ("send", b"HTTP/1.1 200 OK\r\n\r\nfirst")]))
        tunnel = world.connection.connect({**DESTINATION, "protocols": ["raw"]})
        world.pump()
        events: list[Any] = [self.successResultOf(tunnel.await_event()) for _ in range(3)]
        self.assertEqual([type(event) for event in events], [gun.Response, gun.TunnelUp, gun.Data])
        self.assertEqual(events[2].data, b"first")
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


globals().update(spread(__name__))
