"""TLS through the public API: whom `open` refuses and how it says so, what its options do, ALPN, and how TLS ends."""

from __future__ import annotations

import os
import pathlib
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

import twisted_gun as gun
from tests.certificates import CLIENT_AUTH, Authority, Issued, ServerCreator, authority, self_signed
from tests.net.handshakes import Unbuffered
from tests.stage import OK, UNTIL_CLOSE, answering
from twisted_gun.testing import MemoryEndpoint, RecordingReceiver, Script, ScriptedPeer

HOST = "www.example.org"

reactor: Any = global_reactor


def trust() -> Any:
    """A trust root of just our authority."""
    return trustRootFromCertificates([Certificate.loadPEM(authority().pem)])


class Peer(ScriptedPeer):
    """One that says when it has gone."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)


class Server:
    """A TLS server on the loopback interface; `peers` are its ends of the connections so far, refused ones included."""

    def __init__(self, shows: Issued | ServerCreator, script: Script) -> None:
        self.creator = shows if isinstance(shows, ServerCreator) else ServerCreator(shows)
        self.peers: list[Peer] = []
        self._script = script
        factory = Unbuffered(self.creator, False, Factory.forProtocol(self._new_peer))
        self.listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port: int = self.listening.getHost().port

    def _new_peer(self) -> Peer:
        self.peers.append(Peer(self._script))
        return self.peers[-1]

    async def emptied(self) -> list[bytes]:
        """What each connection has received, once all are lost: no more can come."""
        await gatherResults([peer.gone for peer in self.peers])
        return [peer.received for peer in self.peers]

    async def stop(self) -> None:
        """Stop listening, and wait until nobody is connected."""
        await self.listening.stopListening()
        await self.emptied()


class LoopbackCase(TestCase):
    """Connections to servers on the loopback interface."""

    timeout = 20

    def serve(self, shows: Issued | ServerCreator | None = None, script: Script | None = None) -> Server:
        """A server, by default with a good certificate, that answers every request."""
        server = Server(shows or authority().issue(HOST), answering() if script is None else script)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return server

    def open(self, server: Server, host: str = HOST, **options: Any) -> gun.Connection:
        """A connection to `server`; an address is dialled as it is, a name stands for the server."""
        options["tls_opts"] = {"trust_root": trust(), **options.get("tls_opts", {})}
        if not host[0].isdigit():
            options["endpoint"] = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        conn = gun.open(host, server.port, transport="tls", **options)
        self.addCleanup(self.ended, conn)
        return conn

    def ended(self, conn: gun.Connection) -> Deferred[Any]:
        """Close it; fires when it has ended."""
        conn.close()
        return conn.when_terminated()

    def file(self, content: bytes) -> str:
        """The path of a new file."""
        path: str = self.mktemp()
        pathlib.Path(path).write_bytes(content)
        return path


class RefusedTests(LoopbackCase):
    """Servers that do not prove who they are never see a byte of a request, and the user reads why."""

    async def refused(self, issued: Issued | ServerCreator, *words: str, host: str = HOST, **tls_opts: Any) -> None:
        """The server is refused with these words, with and without a retry, and all who wait are told so."""
        for retry in (0, 1):
            server, owner = self.serve(issued), RecordingReceiver()
            conn = self.open(server, host, tls_opts=tls_opts, retry=retry, owner=owner)
            body = conn.post("/secret", {"authorization": "secret"}, b"secret").await_body()
            not_up: Any = await self.assertFailure(conn.await_up(), gun.GunError)
            ended: Any = await conn.when_terminated()
            self.assertIs(not_up, ended)
            failed = ended
            if retry:
                self.assertIsInstance(ended, gun.ConnectFailed)
                self.assertIs(ended.__cause__, ended.reason)
                failed = ended.reason
            self.assertIsInstance(failed, gun.TlsFailed)
            for error in (failed, ended):
                for word in words:
                    self.assertIn(word, str(error))
            self.assertIs(await self.assertFailure(body, gun.GunError), ended)
            self.assertEqual(await server.emptied(), [b""] * (retry + 1), "every attempt counts, and none sends anything")
            self.assertEqual(owner.names(), ["gun_error"])
            self.assertIs(owner.events[0].reason, ended)
            self.assertEqual(conn.info().state_name, "terminated")

    async def test_no_names(self) -> None:
        """A common name alone proves nothing."""
        await self.refused(authority().issue(common_name=HOST), HOST, "it has no usable subjectAltName")

    async def test_unusable_names(self) -> None:
        """A subjectAltName with neither names nor addresses proves nothing."""
        await self.refused(authority().issue(x509.RFC822Name(f"root@{HOST}")), "it has no usable subjectAltName")

    async def test_wide_wildcard(self) -> None:
        """Nobody is the whole of .com."""
        await self.refused(authority().issue("*.com"), "the certificate of example.com was refused", host="example.com")

    async def test_malformed_name(self) -> None:
        """A malformed name spoils the certificate, beside the right one too."""
        await self.refused(authority().issue(x509.DNSName("a\0b.example"), HOST), "it has a subjectAltName that cannot be used")

    async def test_wrong_name(self) -> None:
        """A certificate for another name is refused."""
        await self.refused(authority().issue("other.example"), f"the certificate of {HOST} was refused: it is for other.example")

    async def test_wrong_address(self) -> None:
        """So is one for another address, and one for a name where an address was dialled."""
        await self.refused(authority().issue("127.0.0.2"), "it is for 127.0.0.2", host="127.0.0.1")
        await self.refused(authority().issue("localhost"), "it is for localhost", host="127.0.0.1")

    async def test_expired(self) -> None:
        """A certificate that has expired is refused."""
        await self.refused(authority().issue(HOST, days=(-9, -8)), "it has expired on 20")

    async def test_not_yet_valid(self) -> None:
        """So is one that will be valid tomorrow."""
        await self.refused(authority().issue(HOST, days=(1, 2)), "it is not yet valid, but from 20")

    async def test_untrusted(self) -> None:
        """A certificate of an authority that is not trusted is refused."""
        await self.refused(Authority("nobody's").issue(HOST), "it is not signed by a trusted authority")

    async def test_self_signed(self) -> None:
        """So is one that vouches for itself."""
        await self.refused(self_signed(HOST), "it is self-signed and not trusted")

    async def test_wrong_usage(self) -> None:
        """A certificate made for clients is not a server's."""
        await self.refused(authority().issue(HOST, uses=[CLIENT_AUTH]), "wrong usage")

    async def test_pin(self) -> None:
        """Another key than those pinned is refused, whether the certificate is verified or not."""
        for verify in (True, False):
            await self.refused(authority().issue(HOST), "is none of those pinned", pins=[bytes(32)], verify=verify)

    async def test_server_name(self) -> None:
        """With `server_name` the certificate must be for that name; one for the host dialled is refused."""
        await self.refused(authority().issue("127.0.0.1"), "it is for 127.0.0.1", host="127.0.0.1", server_name=HOST)

    async def test_old_tls(self) -> None:
        """A server whose TLS is too old is refused as well, with a word on what to do about it."""
        old = ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION)
        await self.refused(old, "protocol_version", "tls_opts.minimum", minimum="1.3")

    async def test_tls_1_2(self) -> None:
        """With TLS 1.2 it is the same: no byte, and a reason."""
        await self.refused(ServerCreator(authority().issue("other.example"), maximum=SSL.TLS1_2_VERSION), "it is for other.example")

    async def test_no_tls_at_all(self) -> None:
        """A server that does not speak TLS is recognised."""
        greeter = Factory.forProtocol(lambda: ScriptedPeer([("send", b"HTTP/1.1 400 Bad Request\r\n\r\n"), ("close",)]))
        listening = reactor.listenTCP(0, greeter, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        port = listening.getHost().port
        conn = gun.open("127.0.0.1", port, transport="tls", tls_opts={"trust_root": trust()}, retry=0)
        reason = await conn.when_terminated()
        self.assertIsInstance(reason, gun.TlsFailed)
        self.assertIn("does the peer speak TLS on this port at all?", str(reason))

    async def test_later_server_is_judged_by_itself(self) -> None:
        """A refusal concerns one attempt: when the server shows the right certificate, the next attempt succeeds."""
        server, owner = self.serve(authority().issue("other.example")), RecordingReceiver()
        conn = self.open(server, owner=owner, retry=5, retry_timeout=0.01, retry_fun=self.repairing(server))
        self.assertEqual(await conn.get("/").await_body(), b"ok")
        self.assertEqual(owner.names(), ["gun_up"])
        self.assertEqual([bool(peer.received) for peer in server.peers], [False, True])

    def repairing(self, server: Server) -> Any:
        def decide(retries: int, options: gun.Options) -> dict[str, Any]:
            server.creator.context = ServerCreator(authority().issue(HOST)).context
            return {"retries": retries - 1, "timeout": 0}

        return decide


class OptionTests(LoopbackCase):
    """What `tls_opts` does."""

    async def works(self, server: Server, host: str = HOST, **tls_opts: Any) -> gun.TlsInfo:
        """A request is answered; gives what was settled."""
        conn = self.open(server, host, tls_opts=tls_opts, retry=0)
        self.assertEqual(await conn.get("/").await_body(), b"ok")
        info = conn.info().tls
        assert info is not None
        self.assertIsNone(await conn.shutdown())
        return info

    async def test_trust_root(self) -> None:
        """Authorities are given as a path, a folder, a trust root of Twisted's or one certificate."""
        folder: str = self.mktemp()
        os.mkdir(folder)
        path = pathlib.Path(folder, "ours.pem")
        path.write_bytes(authority().pem)
        server = self.serve()
        for root in (str(path), path, folder, pathlib.Path(folder), trust(), Certificate.loadPEM(authority().pem)):
            await self.works(server, trust_root=root)

    async def test_addresses(self) -> None:
        """An address that is dialled is looked for in the certificate; no address is sent as a server name."""
        server = self.serve(authority().issue("127.0.0.1"))
        await self.works(server, "127.0.0.1")
        self.assertEqual(server.creator.server_names, [None])

    async def test_server_name(self) -> None:
        """`server_name` is sent and verified in place of the host, which is still what Host says."""
        server = self.serve()
        await self.works(server, "127.0.0.1", server_name=HOST)
        self.assertEqual(server.creator.server_names, [HOST.encode()])
        self.assertIn((b"host", b"127.0.0.1:%d" % server.port), server.peers[0].requests[0].headers)

    async def test_not_verified(self) -> None:
        """With verify=False anybody is believed, but for the pins."""
        issued = self_signed("other.example")
        server = self.serve(issued)
        await self.works(server, verify=False)
        await self.works(server, verify=False, pins=[issued.pin.hex()])

    async def test_pins(self) -> None:
        """One of several pins that matches is enough."""
        issued = authority().issue(HOST)
        await self.works(self.serve(issued), pins=[bytes(32), issued.pin])

    async def test_client_certificate(self) -> None:
        """The client's certificate is given as a file or a `PrivateCertificate`; the server sees it."""
        clients = Authority("of clients")
        own = clients.issue(common_name="the client", uses=[CLIENT_AUTH])
        shown: list[x509.Certificate] = []

        def answer(peer: ScriptedPeer) -> None:
            shown.append(peer.transport.getPeerCertificate().to_cryptography())
            peer.send(OK)

        for maximum in (SSL.TLS1_2_VERSION, 0):
            server = self.serve(ServerCreator(authority().issue(HOST), clients=clients, maximum=maximum), answer)
            for given in (self.file(own.pem), PrivateCertificate.loadPEM(own.pem)):
                await self.works(server, client_certificate=given)
        self.assertEqual(shown, [own.certificate] * 4)

    async def test_info(self) -> None:
        """info() has the version, the cipher, the protocol and the certificate of the connection."""
        issued = authority().issue(HOST)
        server = self.serve(ServerCreator(issued, choose=lambda offered: offered[-1]))
        info = await self.works(server)
        self.assertEqual((info.version, info.alpn), ("TLSv1.3", b"http/1.1"))
        self.assertRegex(str(info.cipher), "^TLS_(AES|CHACHA20)_")
        self.assertEqual(info.certificate, issued.certificate.public_bytes(Encoding.DER))

    async def test_info_of_tls_1_2(self) -> None:
        """So it is with TLS 1.2, whose cipher has forward secrecy; without ALPN there is no protocol of it."""
        info = await self.works(self.serve(ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION)))
        self.assertEqual((info.version, info.alpn), ("TLSv1.2", None))
        self.assertIn("ECDHE", str(info.cipher))


class AlpnTests(LoopbackCase):
    """Which protocols are offered, and what is spoken."""

    async def test_default(self) -> None:
        """HTTP/2 is offered, then HTTP/1.1, if nothing else is asked for."""
        server = self.serve(ServerCreator(authority().issue(HOST), choose=lambda offered: offered[0]))
        self.assertEqual(await self.open(server).await_up(), "http2")
        self.assertEqual(server.creator.offered, [[b"h2", b"http/1.1"]])

    async def test_order(self) -> None:
        """`protocols` is offered in its own order; the server chooses."""
        server = self.serve(ServerCreator(authority().issue(HOST), choose=lambda offered: b"http/1.1"))
        for protocols in (["http2", "http"], ["http", "http2"]):
            self.assertEqual(await self.open(server, protocols=protocols).await_up(), "http")
        self.assertEqual(server.creator.offered, [[b"h2", b"http/1.1"], [b"http/1.1", b"h2"]])

    async def test_server_without_alpn(self) -> None:
        """A server that knows nothing of ALPN speaks HTTP/1.1."""
        conn = self.open(self.serve(), protocols=["http2", "http"])
        self.assertEqual(await conn.await_up(), "http")
        self.assertEqual(await conn.get("/").await_body(), b"ok")

    async def test_not_offered(self) -> None:
        """A server that chooses what was not offered is left (OpenSSL does not let that pass) without a byte of the request."""
        server, owner = self.serve(ServerCreator(authority().issue(HOST), choose=lambda offered: b"h2")), RecordingReceiver()
        conn = self.open(server, protocols=["http"], retry=0, owner=owner)
        conn.get("/secret", reply_to=lambda event: None)
        reason = await conn.when_terminated()
        self.assertIsInstance(reason, (gun.ConnectionFailed, gun.TlsFailed))
        self.assertEqual(await server.emptied(), [b""])
        self.assertEqual(owner.names(), ["gun_error"])


class LateAlertTests(LoopbackCase):
    """TLS 1.3 lets the client finish its handshake before the server has seen the client's certificate (RFC 8446 section 2)."""

    def wanting(self, **options: Any) -> tuple[gun.Connection, RecordingReceiver, Deferred[gun.Down]]:
        """A connection to a server that wants a certificate we do not show, closed at its first loss."""
        server = self.serve(ServerCreator(authority().issue(HOST), clients=Authority("of clients")))
        down: Deferred[gun.Down] = Deferred()

        def react(event: Any) -> None:
            if isinstance(event, gun.Down):
                event.connection.close()
                down.callback(event)

        owner = RecordingReceiver(react)
        return self.open(server, owner=owner, **options), owner, down

    async def test_down_says_why(self) -> None:
        """It goes up, then down, for the alert the server has sent."""
        _, owner, down = self.wanting()
        reason: Any = (await down).reason
        self.assertEqual(owner.names(), ["gun_up", "gun_down"])
        self.assertIsInstance(reason, gun.TlsFailed)
        self.assertEqual(reason.alert, "certificate_required")
        self.assertIn("tls_opts.client_certificate", str(reason))

    async def test_request_in_flight(self) -> None:
        """A request sent meanwhile fails, and its cause is that alert."""
        conn, _, down = self.wanting()
        stream = conn.get("/")
        failed: Any = await self.assertFailure(stream.await_response(), gun.StreamClosed)
        event = await down
        self.assertIsInstance(event.reason, gun.TlsFailed)
        self.assertIs(failed.__cause__, event.reason)
        self.assertEqual((event.killed_streams, event.unprocessed_streams), ((stream,), ()))


class TruncationTests(LoopbackCase):
    """A TCP connection that ends without close_notify may have been cut by anybody (RFC 8446 section 6.1)."""

    def cutting(self, response: bytes) -> Server:
        """A server that answers, then ends TCP below TLS."""

        def script(peer: ScriptedPeer) -> None:
            peer.send(response)
            peer.transport.transport.loseConnection()

        return self.serve(None, script)

    async def test_until_close(self) -> None:
        """Content that lasts until the close is truncated without close_notify, and whole with it."""
        conn = self.open(self.cutting(UNTIL_CLOSE + b"half"))
        failed: Any = await self.assertFailure(conn.get("/").await_body(), gun.Truncated)
        self.assertEqual((failed.received, failed.expected), (4, None))

        def closing(peer: ScriptedPeer) -> None:
            peer.send(UNTIL_CLOSE + b"whole")
            peer.close()

        self.assertEqual(await self.open(self.serve(None, closing)).get("/").await_body(), b"whole")

    async def test_known_length(self) -> None:
        """Content of a known length that has come is whole, however TLS ends afterwards; half of it is truncated."""
        conn = self.open(self.cutting(OK))
        self.assertEqual(await conn.get("/").await_body(), b"ok")
        conn = self.open(self.cutting(OK[:-1]))
        failed: Any = await self.assertFailure(conn.get("/").await_body(), gun.Truncated)
        self.assertEqual((failed.received, failed.expected), (1, 2))


class ChosenTests(SynchronousTestCase):
    """When TLS is spoken, without a server."""

    def test_port(self) -> None:
        """Port 443 implies TLS, all others do not; `transport` has the last word."""
        tls_opts = {"trust_root": trust()}
        for port, options, transport in (
            (443, {}, "tls"),
            (80, {}, "tcp"),
            (8443, {}, "tcp"),
            (443, {"transport": "tcp"}, "tcp"),
            (80, {"transport": "tls"}, "tls"),
            (80, {"transport": "ssl"}, "tls"),
        ):
            clock, peers = Clock(), list[ScriptedPeer]()
            endpoint = MemoryEndpoint(Factory.forProtocol(partial(self.new_peer, peers)), clock=clock)
            conn = gun.open(HOST, port, endpoint=endpoint, reactor=clock, tls_opts=tls_opts, **options)  # type: ignore[arg-type]
            conn.get("/", reply_to=lambda event: None)
            clock.advance(0)
            self.assertEqual(conn.info().transport, transport)
            # RFC 8446 section 5.1: a record of a handshake begins with 22.
            self.assertEqual(peers[0].received[:1], b"\x16" if transport == "tls" else b"G", (port, options))
            conn.close()

    def new_peer(self, peers: list[ScriptedPeer]) -> ScriptedPeer:
        """One more."""
        peers.append(ScriptedPeer())
        return peers[-1]

    def test_dialled(self) -> None:
        """Host and port are dialled as they are; what is sent first is a ClientHello."""
        memory = MemoryReactorClock()
        conn = gun.open("192.0.2.1", 443, reactor=memory, tls_opts={"trust_root": trust()})
        self.assertEqual([attempt[:2] for attempt in memory.tcpClients], [("192.0.2.1", 443)])
        self.assertEqual(conn.info().transport, "tls")
        conn.close()

    def test_url(self) -> None:
        """An https URL implies TLS, and an http URL none, whatever the port."""
        for url, transport in ((f"https://{HOST}:80", "tls"), (f"http://{HOST}:443", "tcp")):
            endpoint = MemoryEndpoint(Factory.forProtocol(ScriptedPeer))
            endpoint.hang()
            conn = gun.open_url(url, endpoint=endpoint, reactor=Clock(), tls_opts={"trust_root": trust()})
            self.assertEqual(conn.info().transport, transport)
            conn.close()

    def test_bad_files(self) -> None:
        """Files that cannot be used are refused at the call, named, and nothing is dialled."""
        garbage, missing, key_only = self.mktemp(), self.mktemp(), self.mktemp()
        pathlib.Path(garbage).write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        pathlib.Path(key_only).write_bytes(authority().issue(HOST).key_pem)
        endpoint = MemoryEndpoint(Factory.forProtocol(ScriptedPeer))
        for name, value in (
            ("trust_root", missing),
            ("trust_root", garbage),
            ("trust_root", key_only),
            ("trust_root", 7),
            ("client_certificate", missing),
            ("client_certificate", garbage),
            ("client_certificate", key_only),
            ("client_certificate", 7),
            ("keylog", os.path.join(missing, "no", "such", "folder")),
            ("server_name", "no name"),
            ("ciphers", "NO-SUCH-CIPHER"),
        ):
            with self.assertRaises(gun.OptionError) as raised:
                gun.open(HOST, 443, endpoint=endpoint, reactor=Clock(), tls_opts={"trust_root": trust(), name: value})
            self.assertEqual(raised.exception.option, f"tls_opts.{name}", str(raised.exception))
        self.assertEqual(endpoint.attempts, 0)


class ClockTests(SynchronousTestCase):
    """TLS in memory, on a clock."""

    def world(self, script: Script = (), **options: Any) -> None:
        """A connection to a TLS server in memory, dialled."""
        self.clock, self.owner, self.peers = Clock(), RecordingReceiver(), list[ScriptedPeer]()

        def new_peer() -> Protocol:
            self.peers.append(ScriptedPeer(script))
            return self.peers[-1]

        factory = Unbuffered(ServerCreator(authority().issue(HOST)), False, Factory.forProtocol(new_peer), clock=self.clock)
        self.endpoint = MemoryEndpoint(factory, clock=self.clock)
        options = {"retry": 0, "tls_opts": {"trust_root": trust()}, **options}
        self.conn = gun.open(HOST, 443, reactor=self.clock, endpoint=self.endpoint, owner=self.owner, **options)
        self.reason = self.conn.when_terminated()
        self.clock.advance(0)

    def assert_over(self) -> Any:
        """It has ended and left nothing behind; gives why."""
        reason = self.successResultOf(self.reason)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for link in self.endpoint.links:
            self.assertTrue(link.client.disconnected)
            self.assertIsNone(link.client.producer)
        return reason

    def silent(self, **options: Any) -> None:
        """A server that does not answer the ClientHello before it is resumed."""
        self.world([("pause",)], **options)
        self.assertEqual(self.conn.info().state_name, "tls_handshake")

    def test_handshake_before_the_limit(self) -> None:
        """A handshake may take almost `tls_handshake_timeout`, and that is then over and done with."""
        self.silent(tls_handshake_timeout=10.0)
        self.clock.advance(9)
        self.assertNoResult(self.reason)
        self.peers[0].resume()
        self.clock.advance(0)
        self.assertEqual(self.owner.names(), ["gun_up"])
        self.clock.advance(1000)
        self.assertNoResult(self.reason)

    def test_handshake_at_the_limit(self) -> None:
        """At the limit it is given up, for TimedOut of stage "tls"; an answer comes too late then."""
        for seconds in (10.0, 11.0):
            self.silent(tls_handshake_timeout=10.0)
            stream = self.conn.get("/").await_body(timeout=None)
            self.clock.advance(seconds)
            self.peers[0].resume()
            reason = self.assert_over()
            self.assertIsInstance(reason, gun.TimedOut)
            self.assertEqual((reason.stage, reason.seconds), ("tls", 10.0))
            self.assertIs(self.failureResultOf(stream).value, reason)
            self.assertEqual((self.owner.names(), self.peers[0].received), (["gun_error"], b""))

    def test_handshake_limit_and_retries(self) -> None:
        """Each attempt has the whole limit, and a timeout counts as a failed attempt."""
        self.silent(tls_handshake_timeout=10.0, retry=1)
        self.clock.advance(10)
        self.assertEqual(self.endpoint.attempts, 2)
        self.clock.advance(9)
        self.assertNoResult(self.reason)
        self.clock.advance(1)
        reason = self.assert_over()
        self.assertIsInstance(reason, gun.ConnectFailed)
        self.assertEqual((reason.reason.stage, self.endpoint.attempts), ("tls", 2))

    def test_no_handshake_limit(self) -> None:
        """None waits for ever."""
        self.silent(tls_handshake_timeout=None)
        self.clock.advance(100_000)
        self.assertNoResult(self.reason)
        self.peers[0].resume()
        self.clock.advance(0)
        self.assertEqual(self.owner.names(), ["gun_up"])

    def test_ended_in_the_handshake(self) -> None:
        """close() and shutdown() end a handshake that hangs, at once."""
        for end in (gun.Connection.close, gun.Connection.shutdown):
            self.silent()
            end(self.conn)
            self.clock.advance(0)
            self.assertIsNone(self.assert_over())

    def test_ended_with_a_silent_peer(self) -> None:
        """Nor does a peer that answers nothing any more, not even our close_notify, hold up either of them."""
        for end in (gun.Connection.close, gun.Connection.shutdown):
            self.world()
            self.peers[0].pause()
            end(self.conn)
            self.clock.advance(0)
            self.assertIsNone(self.assert_over())

    def test_shutdown_with_a_deaf_peer(self) -> None:
        """A peer that takes nothing is given `closing_timeout`, then what it did not take is dropped."""
        self.world(http_opts={"closing_timeout": 15.0}, tcp_opts={"send_timeout": None})
        self.peers[0].pause()
        stream = self.conn.post("/", (), b"x" * 1_000_000).await_body(timeout=None)
        self.clock.advance(0)
        self.conn.shutdown()
        self.clock.advance(14.5)
        self.assertNoResult(self.reason)
        self.clock.advance(15.5)
        self.assertIsNone(self.assert_over())
        self.failureResultOf(stream, gun.GunError)
