"""HTTP/2 over TLS in memory: what ALPN chooses, what RFC 9113 section 9.2 asks of TLS, and the life that TLS adds to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

import twisted_gun as gun
from tests.producers import MUCH, Body
from tests.stage import OK, LifeCase, every_answer
from tests.test_over_tls import HOST, TlsWorld
from twisted_gun.testing import Http2Peer, Peer, ScriptedPeer
from twisted_gun.wire.frames import ErrorCode

#: A suite of TLS 1.2 that RFC 9113's appendix A prohibits, and one that it does not.
PROHIBITED, ALLOWED = "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"


def chooses(protocol: bytes) -> Callable[[list[bytes]], bytes]:
    """A server that speaks this by ALPN."""
    return lambda offered: protocol


class AlpnTests(LifeCase):
    """What is spoken."""

    def world(self, protocol: bytes | None, peer: Callable[[], Peer] = Http2Peer, **options: Any) -> TlsWorld:
        """A world whose server chooses `protocol`, or knows nothing of ALPN."""
        return TlsWorld(peer=peer, tls={} if protocol is None else {"choose": chooses(protocol)}, **options)

    def end(self, world: Any) -> None:
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def check_http2(self, world: TlsWorld) -> None:
        body = world.connection.get("/path").await_body()
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/path")
        (request,) = world.peer.requests
        self.assertEqual((request.scheme, request.authority), (b"https", HOST.encode()))
        self.assertEqual(world.owner.of(gun.Up)[0].protocol, "http2")
        self.end(world)

    def check_http1(self, world: TlsWorld) -> None:
        response = world.connection.get("/path").await_response()
        world.pump()
        self.assertEqual(world.owner.of(gun.Up)[0].protocol, "http")
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.successResultOf(response).status, 200)
        self.end(world)

    def test_http2(self) -> None:
        """h2 chosen: HTTP/2, which is offered first, with HTTP/1.1 behind it."""
        world = self.world(b"h2")
        self.assertEqual(world.creator.offered, [[b"h2", b"http/1.1"]])
        tls = world.connection.info().tls
        self.assertEqual(tls.alpn if tls is not None else None, b"h2")
        self.check_http2(world)

    def test_http1(self) -> None:
        """http/1.1 chosen: that."""
        self.check_http1(self.world(b"http/1.1", ScriptedPeer))

    def test_none(self) -> None:
        """No ALPN: HTTP/1.1, but where HTTP/2 is all that is asked for, that."""
        self.check_http1(self.world(None, ScriptedPeer))
        self.check_http2(self.world(None, protocols=["http2"]))

    def test_order(self) -> None:
        """What is offered, and in which order, is `protocols`."""
        for protocols, offered in ((["http", "http2"], [b"http/1.1", b"h2"]), (["http2"], [b"h2"])):
            world = self.world(b"h2", protocols=protocols)
            self.assertEqual(world.creator.offered, [offered])
            self.check_http2(world)

    def test_not_offered(self) -> None:
        """Something that was not offered: the connection is given up, without a byte of a request."""
        for protocol, protocols in ((b"spdy/3", ["http2", "http"]), (b"h2", ["http"]), (b"http/1.1", ["http2"])):
            world = self.world(protocol, ScriptedPeer, protocols=protocols, retry=0, at_once="/secret")
            reason = self.successResultOf(world.connection.when_terminated())
            self.assertIsInstance(reason, (gun.ConnectionFailed, gun.TlsFailed), protocol)
            self.assertTrue(all(peer.received == b"" for peer in world.peers))
            self.assert_nothing_left(world)  # type: ignore[arg-type]

    def test_chosen_anew(self) -> None:
        """Each connection is spoken as its own handshake says: servers may change their mind."""
        choices = [b"h2", b"http/1.1"]
        world = TlsWorld(peer=Http2Peer, tls={"choose": lambda offered: choices.pop(0)})
        world._make_peer = ScriptedPeer
        world.connection.get("/1")
        world.pump()
        world.peer.goaway()
        waiting = world.connection.get("/2").await_response()
        every_answer(world.peer)
        world.pump()
        self.failureResultOf(waiting, gun.GoAway)
        response = world.connection.get("/3").await_response()
        world.pump()
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.successResultOf(response).status, 200)
        self.assertEqual([event.protocol for event in world.owner.of(gun.Up)], ["http2", "http"])
        self.end(world)


class SecurityTests(LifeCase):
    """RFC 9113 section 9.2: TLS 1.2 or better, and of its suites not those of appendix A."""

    def world(self, suite: str, protocol: bytes, peer: Callable[[], Peer]) -> TlsWorld:
        tls = {"maximum": SSL.TLS1_2_VERSION, "ciphers": suite, "choose": chooses(protocol)}
        return TlsWorld(peer=peer, tls=tls, retry=0, tls_opts={"ciphers": f"{ALLOWED}:{PROHIBITED}"}, at_once="/secret")

    def test_allowed(self) -> None:
        """TLS 1.2 with a suite that is allowed will do."""
        world = self.world(ALLOWED, b"h2", Http2Peer)
        body = world.connection.get("/").await_body()
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/")

    def test_prohibited(self) -> None:
        """HTTP/2 over a prohibited suite is refused, without a byte of a request; the error names the suite."""
        world = self.world(PROHIBITED, b"h2", ScriptedPeer)
        reason = self.successResultOf(world.connection.when_terminated())
        self.assertIsInstance(reason, gun.TlsFailed)
        self.assertIn(PROHIBITED, str(reason))
        self.assertEqual([peer.received for peer in world.peers], [b""])

    def test_prohibited_for_http2_only(self) -> None:
        """HTTP/1.1 may be spoken over it."""
        world = self.world(PROHIBITED, b"http/1.1", ScriptedPeer)
        world.peer.send(OK)
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/secret"])


class LifeTests(LifeCase):
    """What TLS adds to the life."""

    def world(self, **options: Any) -> Any:
        return TlsWorld(peer=Http2Peer, tls={"choose": chooses(b"h2")}, **options)

    def test_large(self) -> None:
        """Large content goes up and down whole."""
        world = self.world()
        body = Body(len(MUCH))
        answer = world.connection.post("/upload", (), body).await_body()
        world.pump()
        body.consumer.write(MUCH)
        body.finished.callback(None)
        world.pump()
        (request,) = world.peer.requests
        self.assertEqual(request.body, MUCH)
        world.peer.respond(request, 200, {}, MUCH)
        world.pump()
        self.assertEqual(self.successResultOf(answer), MUCH)

    def test_goes_away(self) -> None:
        """GOAWAY, an orderly end with close_notify, and the next connection, with its own handshake."""
        world = self.world()
        for count in range(5):
            body = world.connection.get(f"/{count}").await_body()
            world.pump()
            world.peer.goaway()
            every_answer(world.peer)
            world.pump()
            self.assertEqual(self.successResultOf(body), b"/%d" % count)
        self.assertEqual([down.reason for down in world.owner.of(gun.Down)], [None] * 5)
        self.assertEqual(len(world.creator.offered), 6)

    def test_shutdown(self) -> None:
        """A graceful end says GOAWAY, then close_notify, for whose answer it does not wait."""
        world = self.world()
        ended = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(world.peer.gone_away, (0, ErrorCode.NO_ERROR))
        self.assert_nothing_left(world)
        world = self.world()
        world.endpoint.links[-1].server.pauseProducing()
        ended = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_closed_by_each(self) -> None:
        """Closed, aborted or cut off: streams end once, and all is dialled again."""
        for end in ("close", "abort", "cut"):
            world = self.world()
            response = world.connection.get("/").await_response()
            world.pump()
            world.endpoint.links[-1].server.loseConnection() if end == "cut" else getattr(world.peer, end)()
            world.pump()
            self.failureResultOf(response, gun.StreamClosed)
            self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"], end)
            world.connection.close()
            world.pump()
            self.assert_nothing_left(world)

    def test_closing_timeout_of_what_is_spoken(self) -> None:
        """The closing_timeout that counts is that of the protocol that is spoken, not of the one offered first."""
        opts: dict[str, Any] = {"http_opts": {"closing_timeout": 3.0}, "http2_opts": {"closing_timeout": 30.0}}
        for protocol, peer, seconds in ((b"http/1.1", ScriptedPeer, 3.0), (b"h2", Http2Peer, 30.0)):
            world = TlsWorld(peer=peer, tls={"choose": chooses(protocol)}, tcp_opts={"send_timeout": None}, **opts)
            world.connection.headers("POST", "/").data(MUCH)
            if protocol == b"h2":
                world.peer.settings(initial_window_size=10**6)
                world.peer.window_update(0, 10**6)
            world.endpoint.links[-1].server.pauseProducing()
            world.pump()
            ended = world.connection.shutdown()
            world.advance(seconds - 0.1)
            self.assertNoResult(ended)
            world.advance(0.2)
            self.assertIsNone(self.successResultOf(ended))
            self.assert_nothing_left(world)  # type: ignore[arg-type]
