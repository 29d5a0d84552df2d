"""Tests for twisted_gun.net.tls: handshakes that fail, client certificates, ALPN, closing, TLS in TLS, and what is said."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any
from unittest import mock

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.certificates import CLIENT_AUTH, Authority, ServerCreator, authority
from tests.net.handshakes import HOST, Application, Case, ToServer
from twisted_gun.errors import TlsFailed
from twisted_gun.net.tls import TlsEndpoint, UnbufferedTls, tls_failure


class HandshakeFailureTests(Case):
    """Handshakes that fail for other reasons than the server's certificate."""

    def failure(self, server: ServerCreator, **opts: Any) -> tuple[Application, TlsFailed]:
        """The client, and what `tls_failure` says about its loss."""
        creator = self.creator(**opts)
        client, _ = self.dial(creator, server)
        assert client.reason is not None, client.told
        failed = tls_failure(client.reason, creator)
        assert failed is not None, client.reason
        return client, failed

    def test_tls_1_1(self) -> None:
        """A server that speaks nothing above TLS 1.1 is not spoken to."""
        old = ServerCreator(authority().issue(HOST), minimum=SSL.TLS1_1_VERSION, maximum=SSL.TLS1_1_VERSION, ciphers="ALL:@SECLEVEL=0")
        client, failed = self.failure(old)
        self.assertEqual((client.told, failed.alert), (["lost"], "protocol_version"))
        self.assertIn("tls_opts.minimum", str(failed))

    def test_tls_1_1_answered(self) -> None:
        """A server that answers our hello with TLS 1.1 all the same is refused by us."""
        hello = bytes.fromhex("0302") + bytes(32) + b"\0" + bytes.fromhex("c013") + b"\0"
        message = b"\x02" + len(hello).to_bytes(3, "big") + hello
        creator, client = self.creator(), Application()
        far = ToServer()
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))
        far.pump()
        assert far.server.transport is not None
        far.server.transport.write(b"\x16\x03\x02" + len(message).to_bytes(2, "big") + message)
        far.pump()
        assert client.reason is not None
        self.assertRegex(str(tls_failure(client.reason, creator)), f"TLS with {HOST} failed: .*(unsupported protocol|version)")

    def test_minimum(self) -> None:
        """With minimum "1.3" a server that speaks TLS 1.2 is not spoken to."""
        _, failed = self.failure(ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION), minimum="1.3")
        self.assertEqual(failed.alert, "protocol_version")

    def test_maximum(self) -> None:
        """With maximum "1.2" a server that speaks nothing older than TLS 1.3 is not spoken to."""
        _, failed = self.failure(ServerCreator(authority().issue(HOST), minimum=SSL.TLS1_3_VERSION), maximum="1.2")
        self.assertEqual(failed.alert, "protocol_version")

    def test_no_common_cipher(self) -> None:
        """A server that has only ciphers without AEAD finds none in common with us, unless `ciphers` says otherwise."""
        server = ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION, ciphers="ECDHE-ECDSA-AES128-SHA256")
        _, failed = self.failure(server)
        self.assertEqual(failed.alert, "handshake_failure")
        self.assertIn("cipher", str(failed))
        self.accepts(HOST, server, ciphers="ECDHE-ECDSA-AES128-SHA256")

    def test_no_tls(self) -> None:
        """A server that speaks plain HTTP is recognised."""
        creator, client, far = self.creator(), Application(), ToServer()
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))
        far.pump()
        assert far.server.transport is not None
        far.server.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        far.pump()
        assert client.reason is not None
        self.assertIn("does the peer speak TLS", str(tls_failure(client.reason, creator)))

    def test_no_application_protocol(self) -> None:
        """A server that speaks none of the protocols offered may say so by an alert (RFC 7301 section 3.2)."""

        def none_of_them(offered: list[bytes]) -> bytes:
            raise ValueError(offered)

        server = ServerCreator(authority().issue(HOST), choose=none_of_them)
        creator = self.creator(alpn=(b"h2",))
        with self.assertRaises(ValueError):
            self.dial(creator, server)
        self.assertEqual(server.offered, [[b"h2"]])


class ClientCertificateTests(Case):
    """What the client shows, and what servers say about it."""

    def setUp(self) -> None:
        self.clients = Authority("of clients")

    def test_shown(self) -> None:
        """The server sees the client's certificate, given as a file or as a PrivateCertificate."""
        own = self.clients.issue(common_name="the client", uses=[CLIENT_AUTH])
        for given in (self.file(own.pem), self.file(own.key_pem + own.certificate_pem), PrivateCertificate.loadPEM(own.pem)):
            _, far = self.accepts(HOST, ServerCreator(authority().issue(HOST), clients=self.clients), client_certificate=given)
            self.assertEqual(far.server.peer, own.certificate)

    def test_chain(self) -> None:
        """The chain in the file goes along: the server needs to know its first authority only."""
        middle = Authority("of some clients", self.clients)
        own = middle.issue(common_name="the client", uses=[CLIENT_AUTH])
        given = self.file(own.certificate_pem + middle.pem + own.key_pem)
        _, far = self.accepts(HOST, ServerCreator(authority().issue(HOST), clients=self.clients), client_certificate=given)
        self.assertEqual(far.server.peer, own.certificate)

    def alert(self, maximum: int, **opts: Any) -> tuple[list[str], TlsFailed]:
        creator = self.creator(**opts)
        client, far = self.dial(creator, ServerCreator(authority().issue(HOST), clients=self.clients, maximum=maximum))
        far.pump()
        assert client.reason is not None, client.told
        failed = tls_failure(client.reason, creator)
        assert failed is not None, client.reason
        return client.told, failed

    def test_required(self) -> None:
        """With TLS 1.3 the alert "certificate_required" comes after our handshake, and still surfaces."""
        told, failed = self.alert(0)
        self.assertEqual((told, failed.alert), (["handshake", "lost"], "certificate_required"))
        self.assertIn("tls_opts.client_certificate", str(failed))

    def test_required_by_tls_1_2(self) -> None:
        """With TLS 1.2 the handshake fails, by the alert that version has for it."""
        told, failed = self.alert(SSL.TLS1_2_VERSION)
        self.assertEqual((told, failed.alert), (["lost"], "handshake_failure"))
        self.assertIn("client certificate", str(failed))

    def test_refused(self) -> None:
        """A certificate of an authority that the server does not know earns "unknown_ca", late or not."""
        own = self.file(Authority("nobody's").issue(common_name="x", uses=[CLIENT_AUTH]).pem)
        for maximum in (0, SSL.TLS1_2_VERSION):
            _, failed = self.alert(maximum, client_certificate=own)
            self.assertEqual(failed.alert, "unknown_ca")


class AlpnTests(Case):
    """What ALPN offers and finds."""

    def test_order(self) -> None:
        """The protocols are offered in the order given, each once, and what the server chose is known."""
        for offer in ((b"h2", b"http/1.1"), (b"http/1.1", b"h2"), (b"http/1.1",)):
            server = ServerCreator(authority().issue(HOST), choose=lambda offered: offered[-1])
            client, _ = self.accepts(HOST, server, alpn=offer)
            self.assertEqual(server.offered, [list(offer)])
            self.assertEqual(client.alpn, offer[-1])

    def test_none(self) -> None:
        """Without ALPN on either side there is no protocol."""
        server = ServerCreator(authority().issue(HOST), choose=lambda offered: offered[0])
        client, _ = self.accepts(HOST, server)
        self.assertEqual((server.offered, client.alpn), ([], None))
        client, _ = self.accepts(HOST, ServerCreator(authority().issue(HOST)), alpn=(b"h2",))
        self.assertIsNone(client.alpn)

    def test_not_from_the_factory(self) -> None:
        """A factory that names protocols of its own changes neither this connection's offer nor the next one's."""

        @implementer(IProtocolNegotiationFactory)
        class Opinionated(Factory):
            def acceptableProtocols(self) -> list[bytes]:
                return [b"other/1"]

        server = ServerCreator(authority().issue(HOST), choose=lambda offered: offered[0])
        creator, far = self.creator(), ToServer(server)
        for _ in range(2):
            TlsEndpoint(creator, far, Clock()).connect(Opinionated.forProtocol(Application))
            far.pump()
        self.assertEqual((server.offered, far.server.told), ([], ["handshake"]))


class ClosingTests(Case):
    """The end of a connection."""

    def lost(self, application: Application) -> type[BaseException | None]:
        """The kind of end that the application was told."""
        self.assertEqual(application.told, ["handshake", "lost"])
        return type(application.lost_for)

    def test_silent_peer(self) -> None:
        """A peer that answers nothing does not hold us: close_notify is sent, and the connection closed without its own."""
        client, far = self.accepts(HOST, authority().issue(HOST))
        pump: Any = far.pumps[-1]
        pump.server.dataReceived = lambda _: None
        assert client.transport is not None
        client.transport.write(b"the last words")
        client.transport.loseConnection()
        self.assertTrue(pump.clientIO.disconnecting)
        pump.flush()
        self.assertEqual(self.lost(client), ConnectionDone)

    def test_both_ends(self) -> None:
        """What was written before the close arrives, and both sides see a clean end, with TLS 1.2 and 1.3."""
        for maximum in (SSL.TLS1_2_VERSION, 0):
            client, far = self.accepts(HOST, ServerCreator(authority().issue(HOST), maximum=maximum))
            assert client.transport is not None
            client.transport.write(b", the end")
            client.transport.loseConnection()
            client.transport.write(b"too late")
            far.pump()
            self.assertEqual(far.server.received, b"from the client, the end")
            self.assertEqual((self.lost(client), self.lost(far.server)), (ConnectionDone, ConnectionDone))

    def test_closed_by_peer(self) -> None:
        """A peer that closes by the book ends the connection cleanly; that is no failure of TLS."""
        client, far = self.accepts(HOST, authority().issue(HOST))
        assert far.server.transport is not None
        far.server.transport.loseConnection()
        far.pump()
        self.assertEqual(self.lost(client), ConnectionDone)
        assert client.reason is not None
        self.assertIsNone(tls_failure(client.reason))

    def test_truncated(self) -> None:
        """A peer that closes without close_notify has lost the connection, not ended it."""
        for maximum in (SSL.TLS1_2_VERSION, 0):
            client, far = self.accepts(HOST, ServerCreator(authority().issue(HOST), maximum=maximum))
            pump: Any = far.pumps[-1]
            pump.serverIO.loseConnection()
            far.pump()
            self.assertEqual(self.lost(client), ConnectionLost)
            assert client.reason is not None
            self.assertIsNone(tls_failure(client.reason))

    def test_after_the_loss(self) -> None:
        """After the loss every call is harmless, abortConnection included."""
        client, far = self.accepts(HOST, authority().issue(HOST))
        transport: Any = client.transport
        producer = mock.Mock()
        transport.registerProducer(producer, True)
        transport.loseConnection()
        transport.transport.abortConnection()
        far.pump()
        self.assertEqual(client.told, ["handshake", "lost"])
        pump: Any = far.pumps[-1]
        self.patch(pump.clientIO, "abortConnection", self.fail)
        transport.unregisterProducer()
        transport.abortConnection()
        transport.loseConnection()
        transport.write(b"x")
        transport.writeSequence([b"y"])
        far.pump()
        self.assertEqual(client.told, ["handshake", "lost"])

    def test_abort(self) -> None:
        """An abort in the middle of the handshake, and one after it, ends the connection at once."""
        creator, client = self.creator(), Application()
        far = ToServer(ServerCreator(authority().issue(HOST)))
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))
        transport: Any = client.transport
        transport.abortConnection()
        far.pump()
        self.assertEqual(client.told, ["lost"])
        client, far = self.accepts(HOST, authority().issue(HOST))
        transport = client.transport
        transport.abortConnection()
        far.pump()
        self.assertEqual(self.lost(client), ConnectionAborted)

    def test_producer(self) -> None:
        """With a producer registered the close waits until it has done, then does not wait for the peer."""
        client, far = self.accepts(HOST, authority().issue(HOST))
        transport: Any = client.transport
        transport.registerProducer(mock.Mock(), True)
        transport.loseConnection()
        transport.write(b", produced")
        far.pump()
        self.assertEqual(client.told, ["handshake"])
        transport.unregisterProducer()
        far.pump()
        self.assertEqual(far.server.received, b"from the client, produced")
        self.assertEqual(self.lost(client), ConnectionDone)

    def test_no_cycle(self) -> None:
        """When the connection is lost nothing but the application keeps its protocol: no garbage collector is needed."""
        self.addCleanup(gc.enable)
        gc.disable()
        client, far = self.accepts(HOST, authority().issue(HOST))
        assert client.transport is not None
        client.transport.loseConnection()
        far.pump()
        gone = weakref.ref(client.transport)
        client.transport = None
        pump: Any = far.pumps[-1]
        del pump.clientIO.protocol, pump.client  # as a socket's transport does
        self.assertIsNone(gone())


class EndpointTests(Case):
    """`TlsEndpoint` over other endpoints."""

    def test_tls_in_tls(self) -> None:
        """TLS runs inside TLS: both certificates are verified, both names sent, bytes and closing go through."""
        proxy, origin = ServerCreator(authority().issue("proxy.example")), ServerCreator(authority().issue(HOST))
        far, creator, client = ToServer(proxy, origin), self.creator(), Application()
        endpoint = TlsEndpoint(creator, TlsEndpoint(self.creator("proxy.example"), far, Clock()), Clock())
        inner = endpoint.connect(Factory.forProtocol(lambda: client))
        self.assertIs(self.successResultOf(inner), client)
        far.pump()
        self.assertEqual((proxy.server_names, origin.server_names), ([b"proxy.example"], [HOST.encode()]))
        assert client.transport is not None
        client.transport.write(b"through both")
        client.transport.loseConnection()
        far.pump()
        self.assertEqual(far.server.received, b"through both")
        self.assertEqual((client.told, far.server.told), (["handshake", "lost"], ["handshake", "lost"]))
        self.assertEqual((type(client.lost_for), type(far.server.lost_for)), (ConnectionDone, ConnectionDone))

    def test_wrong_origin_in_tls(self) -> None:
        """The certificate of the origin is refused as it would be without a proxy."""
        far = ToServer(ServerCreator(authority().issue("proxy.example")), ServerCreator(authority().issue("other.example")))
        creator, client = self.creator(), Application()
        endpoint = TlsEndpoint(creator, TlsEndpoint(self.creator("proxy.example"), far, Clock()), Clock())
        endpoint.connect(Factory.forProtocol(lambda: client))
        far.pump()
        self.assertEqual(client.told, ["lost"])
        self.assertIn("it is for other.example", str(client.lost_for))

    def test_wrong_proxy(self) -> None:
        """Where the proxy is refused, the application inside hears why."""
        far = ToServer(ServerCreator(authority().issue("other.example")), ServerCreator(authority().issue(HOST)))
        creator, client = self.creator(), Application()
        endpoint = TlsEndpoint(creator, TlsEndpoint(self.creator("proxy.example"), far, Clock()), Clock())
        endpoint.connect(Factory.forProtocol(lambda: client))
        far.pump()
        self.assertEqual(client.told, ["lost"])
        self.assertIn("the certificate of proxy.example was refused", str(client.lost_for))

    def test_one_turn(self) -> None:
        """What is written goes to the wire in the same turn."""
        client, far = self.accepts(HOST, authority().issue(HOST))
        pump: Any = far.pumps[-1]
        assert client.transport is not None
        self.assertIsInstance(client.transport, UnbufferedTls)
        client.transport.write(b"x")
        self.assertTrue(pump.clientIO.stream)

    def test_straight(self) -> None:
        """Over a socket of Twisted's the bytes are with the kernel at once, without a turn of the reactor."""
        near, far = socket.socketpair()
        self.addCleanup(far.close)
        self.addCleanup(near.close)
        transport = tcp.Connection(near, Protocol(), mock.Mock(spec=[]))
        transport.connected = 1
        endpoint = mock.Mock()
        endpoint.connect.side_effect = lambda factory: factory.buildProtocol(None).makeConnection(transport) or Deferred()
        TlsEndpoint(self.creator(), endpoint, Clock()).connect(Factory.forProtocol(Application))
        self.assertEqual(far.recv(1), b"\x16", "a handshake record (RFC 8446 section 5.1)")

    def test_factory_that_builds_nothing(self) -> None:
        """A factory may decline to build a protocol, as with any endpoint."""
        factory = Factory.forProtocol(Application)
        self.patch(factory, "buildProtocol", lambda _: None)
        endpoint = mock.Mock()
        endpoint.connect.side_effect = lambda wrapping: succeed(mock.Mock(wrappedProtocol=wrapping.buildProtocol(None)))
        self.assertIsNone(self.successResultOf(TlsEndpoint(self.creator(), endpoint, Clock()).connect(factory)))


class FailureTests(SynchronousTestCase):
    """`tls_failure`, for what OpenSSL's versions say."""

    def test_alerts(self) -> None:
        """Alerts get the names that RFC 8446 gives them, whatever OpenSSL calls them."""
        for text, name in (
            ("tlsv13 alert certificate required", "certificate_required"),
            ("sslv3 alert handshake failure", "handshake_failure"),
            ("tls alert certificate expired", "certificate_expired"),
            ("ssl/tls alert bad certificate", "bad_certificate"),
            ("tlsv1 alert unknown ca", "unknown_ca"),
            ("tlsv1 unrecognized name", "unrecognized_name"),
            ("tlsv1 alert user cancelled", "user_canceled"),
            ("tlsv13 alert missing extension", "missing_extension"),
            ("tlsv1 alert no application protocol", "no_application_protocol"),
        ):
            failed = tls_failure(Failure(SSL.Error([("SSL routines", "", text)])))
            assert failed is not None
            self.assertEqual(failed.alert, name)
            self.assertIn(f"the peer ended TLS with the alert {name}", str(failed))

    def test_others(self) -> None:
        """Other errors of OpenSSL are no alerts, and are quoted; with nothing to quote there is still a message."""
        failed = tls_failure(Failure(SSL.Error([("SSL routines", "", "ssl handshake failure"), ("x", "", "tlsv1 nonsense")])))
        self.assertEqual((str(failed), failed and failed.alert), ("TLS with the peer failed: ssl handshake failure, tlsv1 nonsense", None))
        for error in (SSL.Error(), SSL.Error([]), SSL.Error("text")):
            self.assertIn("no reason given", str(tls_failure(Failure(error))))

    def test_of_twisted(self) -> None:
        """What Twisted's own creators report is understood, too."""
        self.assertIsInstance(tls_failure(Failure(VerificationError(errors=[]))), TlsFailed)

    def test_not_of_tls(self) -> None:
        """What is not TLS's is not explained."""
        for error in (ConnectionDone(), ConnectionLost(), ConnectionAborted(), ValueError()):
            self.assertIsNone(tls_failure(Failure(error)))
