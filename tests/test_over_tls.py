"""A connection over TLS in memory: the same life, and what TLS adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.producers import MUCH, Body
from tests.stage import OK, UNTIL_CLOSE, LifeCase, feed
from twisted_gun.testing import MemoryEndpoint, Peer, RecordingReceiver, ScriptedPeer

HOST = "www.example.org"


class TlsWorld:
    """
    As `MemoryGun`, with TLS at both ends; the server shows a certificate for `name`, is a `peer`, and has the options `tls`.

    `at_once` is the path of a request made before the connection is up.
    """

    def __init__(
        self, name: str = HOST, *, peer: Callable[[], Peer] = ScriptedPeer, tls: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self._make_peer = peer
        self.creator = ServerCreator(authority().issue(name), **(tls or {}))
        server = TLSMemoryBIOFactory(self.creator, False, Factory.forProtocol(self._new_peer), clock=self.clock)
        self.endpoint = MemoryEndpoint(server, clock=self.clock)
        self.owner = RecordingReceiver()
        trusted = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        options["tls_opts"] = {"trust_root": trusted, **options.get("tls_opts", {})}
        at_once = options.pop("at_once", None)
        self.connection = gun.open(HOST, 443, reactor=self.clock, endpoint=self.endpoint, owner=self.owner, **options)
        if at_once is not None:
            self.connection.get(at_once, reply_to=lambda event: None)
        self.pump()

    @property
    def peer(self) -> Any:
        return self.peers[-1]

    def pump(self) -> None:
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _new_peer(self) -> Peer:
        self.peers.append(self._make_peer())
        return self.peers[-1]  # type: ignore[no-any-return]


class TlsTests(LifeCase):
    """One connection over TLS."""

    def world(self, *arguments: Any, **options: Any) -> Any:
        return TlsWorld(*arguments, **options)

    def test_request(self) -> None:
        """A request and its answer, and an end that leaves nothing."""
        world = self.world()
        body = world.connection.get("/").await_body()
        world.pump()
        feed(world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_info(self) -> None:
        """info() tells of the handshake."""
        info = self.world().connection.info()
        self.assertEqual((info.transport, info.origin_scheme, info.state_name), ("tls", "https", "connected"))
        self.assertEqual(info.tls.version, "TLSv1.3")
        self.assertTrue(info.tls.certificate)

    def test_wrong_name(self) -> None:
        """A certificate for another name: no gun_up, and TlsFailed at the end of all attempts."""
        world = self.world("other.example.org", retry=1)
        world.advance(0)
        self.assertEqual(world.owner.names(), ["gun_error"])
        self.assertIsInstance(self.successResultOf(world.connection.when_terminated()).reason, gun.TlsFailed)
        self.assertEqual(world.endpoint.attempts, 2)
        self.assertTrue(all(peer.received == b"" for peer in world.peers))

    def test_large_upload(self) -> None:
        """A large upload arrives whole, and what its producer asks for while it is paused comes after it, once."""
        world = self.world()
        body = Body(len(MUCH), lambda name: world.connection.get("/again") if name == "pause" and body.asked.count(name) == 1 else None)
        world.connection.post("/upload", (), body)
        world.pump()
        body.consumer.write(MUCH)
        body.finished.callback(None)
        world.pump()
        upload, again = world.peer.requests
        self.assertEqual((upload.body, again.target), (MUCH, b"/again"))

    def test_stalled_upload(self) -> None:
        """A peer that takes nothing is given up after send_timeout, as over TCP."""
        world = self.world(tcp_opts={"send_timeout": 5.0})
        world.peer.pause()
        world.endpoint.links[-1].server.pauseProducing()
        response = world.connection.post("/", (), MUCH).await_response(timeout=None)
        world.pump()
        world.advance(4.9)
        self.assertNoResult(response)
        world.advance(0.2)
        error: Any = self.failureResultOf(response, gun.StreamClosed).value
        self.assertEqual(error.__cause__.stage, "write")

    def test_end_of_a_response_without_length(self) -> None:
        """close_notify ends such a response; a FIN without it is a truncation (RFC 8446 section 6.1)."""
        for clean in (True, False):
            world = self.world()
            body = world.connection.get("/").await_body()
            world.pump()
            feed(world, UNTIL_CLOSE + b"content")
            world.peer.close() if clean else world.endpoint.links[-1].server.loseConnection()
            world.pump()
            if clean:
                self.assertEqual(self.successResultOf(body), b"content")
            else:
                self.failureResultOf(body, gun.Truncated)

    def test_shutdown_with_a_silent_peer(self) -> None:
        """A peer that does not answer our close_notify is not waited for."""
        world = self.world()
        world.endpoint.links[-1].server.pauseProducing()
        ended = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def closing(self, **options: Any) -> Any:
        """A connection whose orderly end waits for a peer that takes nothing: the answer came before the content had gone."""
        world = self.world(tcp_opts={"send_timeout": None}, **options)
        world.connection.headers("POST", "/").data(MUCH)
        world.endpoint.links[-1].server.pauseProducing()
        world.pump()
        world.peer.send(OK)
        ended = world.connection.shutdown()
        world.pump()
        self.assertNoResult(ended)
        return world, ended

    def test_closing_timeout(self) -> None:
        """One that does not even take what is to be sent is waited for no longer than closing_timeout."""
        world, ended = self.closing(http_opts={"closing_timeout": 3.0})
        world.advance(2.9)
        self.assertNoResult(ended)
        world.advance(0.2)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_close_does_not_wait(self) -> None:
        """close, also in the middle of that wait, ends at once."""
        world, ended = self.closing()
        world.connection.close()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_close_during_the_handshake(self) -> None:
        """Likewise before TLS is up."""
        world = self.world()
        world.peer.abort()
        world.clock.advance(0)
        world.endpoint.links[-1].server.pauseProducing()
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)
