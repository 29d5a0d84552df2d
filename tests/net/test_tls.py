"""Tests for twisted_gun.net.tls and net.trust: who is refused, who is not, what goes to the wire, and what is said about it."""

from __future__ import annotations

import base64
import gc
import os
import stat
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IProtocolNegotiationFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from twisted.test.iosim import connect as connect_in_memory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.certificates import CLIENT_AUTH, Authority, Issued, ServerCreator, authority, key_usage, self_signed
from twisted_gun.errors import InvalidRequest, OptionError, TlsFailed
from twisted_gun.net import trust
from twisted_gun.net.tls import ConnectionCreator, TlsEndpoint, UnbufferedTls, connection_creator, tls_failure
from twisted_gun.options import TlsOptions

HOST = "www.example.org"


@implementer(IHandshakeListener)
class Application(Protocol):
    """Keeps what it is told, on either side; calls `confirm` as a hop does."""

    def __init__(self, creator: ConnectionCreator | None = None) -> None:
        self.creator = creator
        self.told: list[str] = []
        self.received = b""
        self.reason: Failure | None = None
        self.refused: TlsFailed | None = None
        self.alpn: bytes | None = None
        self.peer: x509.Certificate | None = None

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        self.told.append("handshake")
        tls: Any = self.transport
        self.alpn = tls.negotiatedProtocol
        peer = tls.getPeerCertificate()
        self.peer = peer and peer.to_cryptography()
        if self.creator is not None:
            try:
                self.creator.confirm(tls.getHandle())
            except TlsFailed as refused:
                self.refused = refused
                tls.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Something from the peer."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.told.append("lost")
        self.reason = reason

    @property
    def up(self) -> bool:
        """Whether the handshake was completed, confirmed and the connection not lost since."""
        return self.told == ["handshake"] and self.refused is None

    @property
    def lost_for(self) -> BaseException | None:
        """Why the connection was lost."""
        return self.reason and self.reason.value


@implementer(IStreamClientEndpoint)
class ToServer:
    """Dials in memory a server with as many layers of TLS as there are `creators`; nothing moves before the pump does."""

    def __init__(self, *creators: ServerCreator) -> None:
        self.creators = creators
        self.server = Application()
        self.pumps: list[IOPump] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect to a new server."""
        self.server = Application()
        factory: Any = Factory.forProtocol(lambda: self.server)  # type: ignore[arg-type]
        for creator in reversed(self.creators):
            factory = _Unbuffered(creator, False, factory, clock=Clock())
        server, client = factory.buildProtocol(None), protocolFactory.buildProtocol(None)
        transports = _Transport(server, True), _Transport(client, False)
        self.pumps.append(connect_in_memory(server, transports[0], client, transports[1], greet=False))
        return succeed(client)

    def pump(self) -> None:
        """Move all bytes there are, until there are none."""
        self.pumps[-1].flush()


class _Transport(FakeTransport):
    """One whose abort is told from a close, as that of a socket."""

    def abortConnection(self) -> None:
        """Close, and say that it was an abort."""
        if not self.disconnecting:
            self.disconnectReason = ConnectionAborted()
        super().abortConnection()


class _Unbuffered(TLSMemoryBIOFactory):
    protocol = TLSMemoryBIOProtocol


class Case(SynchronousTestCase):
    """Handshakes in memory."""

    def files(self, **contents: bytes) -> str:
        """A new folder with these files; "_" before the suffix stands for the dot."""
        folder = self.mktemp()
        os.mkdir(folder)
        for name, content in contents.items():
            with open(os.path.join(folder, name.replace("_", ".")), "wb") as file:
                file.write(content)
        return folder

    def file(self, content: bytes) -> str:
        """The path of a new file."""
        return os.path.join(self.files(it_pem=content), "it.pem")

    def creator(
        self, host: str = HOST, *, alpn: tuple[bytes, ...] = (), trusted: Authority | None = None, **opts: Any
    ) -> ConnectionCreator:
        """A creator that trusts `trusted`, if nothing else is said."""
        opts.setdefault("trust_root", trustRootFromCertificates([Certificate.loadPEM((trusted or authority()).pem)]))
        return connection_creator(host, TlsOptions(**opts), alpn)

    def dial(self, creator: ConnectionCreator, server: ServerCreator | Issued) -> tuple[Application, ToServer]:
        """Let a client meet the server; gives the client and the server's end."""
        far = ToServer(server if isinstance(server, ServerCreator) else ServerCreator(server))
        client = Application(creator)
        endpoint = TlsEndpoint(creator, far, Clock())
        self.assertIs(self.successResultOf(endpoint.connect(Factory.forProtocol(lambda: client))), client)  # type: ignore[arg-type]
        far.pump()
        return client, far

    def accepts(self, host: str, issued: Issued | ServerCreator, **opts: Any) -> tuple[Application, ToServer]:
        """The server is accepted, and bytes go both ways."""
        client, far = self.dial(self.creator(host, **opts), issued)
        self.assertTrue(client.up, (client.told, client.lost_for, client.refused))
        assert client.transport is not None and far.server.transport is not None
        client.transport.write(b"from the client")
        far.server.transport.write(b"from the server")
        far.pump()
        self.assertEqual((client.received, far.server.received), (b"from the server", b"from the client"))
        return client, far

    def refuses(self, host: str, issued: Issued | ServerCreator, *words: str, **opts: Any) -> TlsFailed:
        """The server is refused in the handshake, with these words; gives the reason."""
        creator = self.creator(host, **opts)
        client, far = self.dial(creator, issued)
        self.assertEqual(client.told, ["lost"])
        assert client.reason is not None
        failed = tls_failure(client.reason, creator)
        assert failed is not None
        for word in words:
            self.assertIn(word, str(failed))
        self.assertEqual(far.server.received, b"")
        return failed


class AcceptedTests(Case):
    """Servers that prove who they are."""

    def test_name(self) -> None:
        """A certificate of a trusted authority for the name dialled is accepted."""
        self.accepts(HOST, authority().issue("other.example", HOST))

    def test_name_in_capitals(self) -> None:
        """Names are compared without regard to case (RFC 4343)."""
        self.accepts("WWW.Example.ORG", authority().issue("www.EXAMPLE.org"))

    def test_address(self) -> None:
        """An address dialled is looked for among the certificate's addresses, IPv4 and IPv6, with brackets or a zone too."""
        for host, name in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::0:1", "2001:db8::1"),
            ("[::1]", "::1"),
            ("fe80::1%lo", "fe80::1"),
        ]:
            _, far = self.accepts(host, authority().issue(name))
            self.assertEqual(far.creators[0].server_names, [None], "no address in SNI")

    def test_wildcard(self) -> None:
        """A wildcard stands for one label."""
        self.accepts(HOST, authority().issue("*.example.org"))

    def test_intermediate(self) -> None:
        """An authority that the trusted one vouches for may sign, if the server sends its certificate."""
        middle = Authority("an intermediate", authority())
        self.accepts(HOST, middle.issue(HOST, chain=(middle.certificate,)))

    def test_no_extended_key_usage(self) -> None:
        """A certificate that does not restrict its use is accepted."""
        self.accepts(HOST, authority().issue(HOST, uses=None))

    def test_key_usage(self) -> None:
        """A certificate whose key may sign is accepted."""
        self.accepts(HOST, authority().issue(HOST, usage=key_usage(digital_signature=True)))

    def test_trailing_dot(self) -> None:
        """The absolute name is sent and verified without its dot."""
        _, far = self.accepts(f"{HOST}.", authority().issue(HOST))
        self.assertEqual(far.creators[0].server_names, [HOST.encode()])

    def test_underscore(self) -> None:
        """A host with an underscore needs no IDNA and works."""
        _, far = self.accepts("my_host.example.org", authority().issue("my_host.example.org"))
        self.assertEqual(far.creators[0].server_names, [b"my_host.example.org"])

    def test_international_name(self) -> None:
        """A name in Unicode is mapped (UTS 46) and sent as A-labels."""
        _, far = self.accepts("BÜCHER.example.", authority().issue("xn--bcher-kva.example"))
        self.assertEqual(far.creators[0].server_names, [b"xn--bcher-kva.example"])

    def test_server_name(self) -> None:
        """`server_name` is what SNI sends and the certificate must hold, instead of the host."""
        _, far = self.accepts("192.0.2.7", authority().issue("inner.example"), server_name="inner.example")
        self.assertEqual(far.creators[0].server_names, [b"inner.example"])
        self.refuses("192.0.2.7", authority().issue("192.0.2.7"), "it is for 192.0.2.7", server_name="inner.example")

    def test_pins(self) -> None:
        """One pin that matches is enough: as bytes, in hexadecimal or base64."""
        issued = authority().issue(HOST)
        for pin in (
            issued.pin,
            issued.pin.hex(),
            base64.b64encode(issued.pin).decode(),
            "sha256//" + base64.b64encode(issued.pin).decode(),
        ):
            self.accepts(HOST, issued, pins=[bytes(32), pin])

    def test_trusted_self_signed(self) -> None:
        """A self-signed certificate that is itself trusted is accepted, as is usual in tests."""
        issued = self_signed(HOST)
        self.accepts(HOST, issued, trust_root=self.file(issued.certificate_pem))

    def test_not_verified(self) -> None:
        """With verify=False anything is accepted, and a warning is logged, once a creator."""
        warnings: list[LogEvent] = []
        globalLogPublisher.addObserver(warnings.append)
        self.addCleanup(globalLogPublisher.removeObserver, warnings.append)
        creator = self.creator(verify=False, trust_root=None)
        for issued in (
            self_signed("other.example"),
            Authority("nobody's").issue(common_name="x", days=(-9, -8), uses=[CLIENT_AUTH]),
        ):
            client, _ = self.dial(creator, issued)
            self.assertTrue(client.up, client.lost_for)
        self.assertEqual([event["host"] for event in warnings if "will not be verified" in (event["log_format"] or "")], [HOST])

    def test_tls_1_2(self) -> None:
        """TLS 1.2 is spoken, with forward secrecy and AEAD."""
        client, _ = self.accepts(HOST, ServerCreator(authority().issue(HOST), maximum=SSL.TLS1_2_VERSION))
        transport: Any = client.transport
        self.assertEqual(transport.getHandle().get_protocol_version_name(), "TLSv1.2")
        self.assertIn("ECDHE", transport.getHandle().get_cipher_name())


class RefusedTests(Case):
    """Servers that do not; the reason is in words, and no byte of the application was sent."""

    def test_wrong_name(self) -> None:
        """A certificate for another name is refused, and the message says for which."""
        failed = self.refuses(HOST, authority().issue("other.example", "192.0.2.9"))
        self.assertEqual(str(failed), f"the certificate of {HOST} was refused: it is for other.example, 192.0.2.9")
        self.assertIsNone(failed.alert)

    def test_wrong_address(self) -> None:
        """A certificate for another address is refused."""
        self.refuses("192.0.2.1", authority().issue("192.0.2.2"), "it is for 192.0.2.2")

    def test_address_as_name(self) -> None:
        """An address must be an iPAddress of the certificate, no dNSName (RFC 9525 section 6.5)."""
        self.refuses("192.0.2.1", authority().issue("example.org"), "it is for example.org")
        self.refuses("192.0.2.1", authority().issue(x509.DNSName("192.0.2.1")), "cannot be used")

    def test_common_name_only(self) -> None:
        """A common name proves nothing: without subjectAltName the certificate is refused."""
        self.refuses(HOST, authority().issue(common_name=HOST), "it has no usable subjectAltName")

    def test_no_usable_name(self) -> None:
        """A subjectAltName without names or addresses is refused, though it vouches for a URI of that host."""
        for name in (x509.RFC822Name(f"root@{HOST}"), x509.UniformResourceIdentifier(f"https://{HOST}")):
            self.refuses(HOST, authority().issue(name), "it has no usable subjectAltName")

    def test_wide_wildcards(self) -> None:
        """Wildcards for a whole top-level domain, for everything, inside a label or not at the left are refused."""
        for name in ("*.org", "*", "*.*.org", "www.*.org"):
            self.refuses("example.org", authority().issue(name), "refused")
            self.refuses(HOST, authority().issue(name), "refused")
        self.refuses(HOST, authority().issue("w*.example.org"), "refused")

    def test_wildcard_is_one_label(self) -> None:
        """A wildcard stands neither for two labels, nor for none, nor for a label of an international name."""
        for host in ("a.b.example.org", "example.org", "xn--bcher-kva.example.org"):
            self.refuses(host, authority().issue("*.example.org"), "it is for *.example.org")

    def test_malformed_names(self) -> None:
        """One malformed name spoils the certificate, even beside the right one: the check raises, and that refuses."""
        for name in ("", " ", "a\0b.example", "*.org", "1234"):
            self.refuses(HOST, authority().issue(x509.DNSName(name), HOST), "cannot be used")

    def test_malformed_extension(self) -> None:
        """A subjectAltName that cannot be parsed is refused."""
        garbage = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05ab")
        self.refuses(HOST, authority().issue(extensions=[garbage]), "refused")

    def test_names_of_a_stranger(self) -> None:
        """What a certificate says is quoted on one line, in ASCII and not at length."""
        failed = self.refuses(HOST, authority().issue(x509.DNSName("a\n" + "b" * 500), *[f"{n}.example" for n in range(9)]))
        self.assertNotIn("\n", str(failed))
        self.assertLess(len(str(failed)), 400)
        self.assertIn("and 5 more", str(failed))

    def test_expired(self) -> None:
        """A certificate that has expired is refused, with the date."""
        end = datetime.now(UTC) - timedelta(days=2)
        self.refuses(HOST, authority().issue(HOST, days=(-9, -2)), "it has expired on", f"{end:%Y-%m-%d}")

    def test_not_yet_valid(self) -> None:
        """A certificate of tomorrow is refused today."""
        self.refuses(HOST, authority().issue(HOST, days=(1, 9)), "it is not yet valid, but from")

    def test_unknown_authority(self) -> None:
        """A certificate of an authority that is not trusted is refused, whether the server sends that authority's or not."""
        stranger = Authority("nobody's")
        self.refuses(HOST, stranger.issue(HOST), "not signed by a trusted authority")
        self.refuses(
            HOST, stranger.issue(HOST, chain=(stranger.certificate,)), "not signed by a trusted authority", "of its chain"
        )

    def test_authority_of_the_same_name(self) -> None:
        """It is the authority's key that counts, not its name."""
        self.refuses(HOST, Authority("a trusted authority").issue(HOST), "refused")

    def test_self_signed(self) -> None:
        """A self-signed certificate is refused."""
        self.refuses(HOST, self_signed(HOST), "it is self-signed and not trusted")

    def test_issued_by_a_leaf(self) -> None:
        """A server's certificate makes no authority: what its key signs is refused."""
        leaf = authority().issue("other.example")
        forger = Authority("forger")
        forger.key, forger.subject = leaf.key, leaf.certificate.subject
        self.refuses(HOST, forger.issue(HOST, chain=(leaf.certificate,)), "refused")

    def test_wrong_usage(self) -> None:
        """A certificate for clients, or whose key may do nothing that TLS needs, is refused."""
        self.refuses(HOST, authority().issue(HOST, uses=[CLIENT_AUTH]), "wrong usage")
        self.refuses(HOST, authority().issue(HOST, usage=key_usage(crl_sign=True)), "wrong usage")

    def test_pins(self) -> None:
        """A certificate that is otherwise right is refused if its key is not pinned, also with verify=False."""
        issued = authority().issue(HOST)
        for verify in (True, False):
            self.refuses(HOST, issued, issued.pin.hex(), "none of those pinned", pins=["00" * 32], verify=verify)

    def test_pin_is_not_enough(self) -> None:
        """A pin that matches makes neither a name right nor an authority trusted."""
        issued = authority().issue("other.example")
        self.refuses(HOST, issued, "it is for other.example", pins=[issued.pin])
        issued = self_signed(HOST)
        self.refuses(HOST, issued, "self-signed", pins=[issued.pin])

    def test_whatever_is_raised(self) -> None:
        """Any exception in the check refuses the certificate: Twisted 26.4 to 26.10 would let it pass."""
        for error in (ValueError("odd"), TypeError(), AssertionError(), KeyboardInterrupt(), MemoryError()):
            with mock.patch("twisted_gun.net.tls.verify_certificate_hostname", side_effect=error):
                self.refuses(HOST, authority().issue(HOST), f"it could not be checked ({type(error).__name__}")

    def test_peer_is_told(self) -> None:
        """The server gets an alert, not just silence."""
        for issued, alerts in (
            (Authority("nobody's").issue(HOST), {"unknown_ca"}),
            (authority().issue(HOST, days=(-9, -8)), {"certificate_expired"}),
            # The callback can refuse, but not say why: OpenSSL chooses the alert.
            (authority().issue("other.example"), {"internal_error", "bad_certificate", "certificate_unknown"}),
        ):
            _, far = self.dial(self.creator(), issued)
            assert far.server.reason is not None
            failed = tls_failure(far.server.reason)
            self.assertIn(failed and failed.alert, alerts)

    def test_no_leak_between_connections(self) -> None:
        """A refusal concerns one connection: with the same creator the next one is judged by itself."""
        creator = self.creator()
        bad, _ = self.dial(creator, authority().issue("other.example"))
        good, _ = self.dial(creator, authority().issue(HOST))
        self.assertIsInstance(bad.lost_for, TlsFailed)
        self.assertTrue(good.up)

    def test_with_twisteds_own_protocol(self) -> None:
        """The creator refuses under Twisted's TLSMemoryBIOProtocol, too."""
        creator, far, client = self.creator(), ToServer(ServerCreator(authority().issue("other.example"))), Application()
        far.connect(_Unbuffered(creator, True, Factory.forProtocol(lambda: client), clock=Clock()))  # type: ignore[arg-type]
        far.pump()
        self.assertEqual(client.told, ["lost"])
        self.assertIsInstance(client.lost_for, TlsFailed)


class SecondLookTests(Case):
    """`ConnectionCreator.confirm`, for the case that the callback did not do its work."""

    def bypassed(self, issued: Issued, host: str = HOST, **opts: Any) -> Application:
        """The client after a handshake in which OpenSSL's callback let everything pass."""
        creator = self.creator(host, **opts)
        with mock.patch.object(ConnectionCreator, "_callback", lambda *_: lambda *_: True):
            return self.dial(creator, issued)[0]

    def test_refuses(self) -> None:
        """It refuses a wrong name, a wrong use, no name at all and a wrong key after the handshake."""
        for issued, words, opts in (
            (authority().issue("other.example"), "it is for other.example", {}),
            (authority().issue(HOST, uses=[CLIENT_AUTH]), "wrong usage", {}),
            (authority().issue(common_name=HOST), "no usable subjectAltName", {}),
            (authority().issue(HOST), "none of those pinned", {"pins": [bytes(32)]}),
            (self_signed("x"), "none of those pinned", {"pins": [bytes(32)], "verify": False}),
        ):
            client = self.bypassed(issued, **opts)  # type: ignore[arg-type]
            self.assertEqual(client.told, ["handshake", "lost"])
            self.assertIn(words, str(client.refused))

    def test_accepts(self) -> None:
        """It has nothing against the right certificate, nor against any with verify=False."""
        self.assertTrue(self.bypassed(authority().issue(HOST)).up)
        self.assertTrue(self.bypassed(authority().issue(HOST, uses=[x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])).up)
        self.assertTrue(self.bypassed(self_signed("other.example"), verify=False).up)

    def test_no_certificate(self) -> None:
        """A connection without certificate is refused, unless nothing was asked for."""
        connection = mock.Mock(spec=["get_peer_certificate"])
        connection.get_peer_certificate.return_value = None
        for opts in ({}, {"verify": False, "pins": [bytes(32)]}):
            with self.assertRaisesRegex(TlsFailed, "sent none"):
                self.creator(**opts).confirm(connection)  # type: ignore[arg-type]
        self.creator(verify=False).confirm(connection)


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
        old = ServerCreator(
            authority().issue(HOST), minimum=SSL.TLS1_1_VERSION, maximum=SSL.TLS1_1_VERSION, ciphers="ALL:@SECLEVEL=0"
        )
        client, failed = self.failure(old)
        self.assertEqual((client.told, failed.alert), (["lost"], "protocol_version"))
        self.assertIn("tls_opts.minimum", str(failed))

    def test_tls_1_1_answered(self) -> None:
        """A server that answers our hello with TLS 1.1 all the same is refused by us."""
        hello = bytes.fromhex("0302") + bytes(32) + b"\0" + bytes.fromhex("c013") + b"\0"
        message = b"\x02" + len(hello).to_bytes(3, "big") + hello
        creator, client = self.creator(), Application()
        far = ToServer()
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
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
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
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


class OptionTests(Case):
    """Options that cannot be used are found at the call."""

    def wrong(self, option: str, **opts: Any) -> OptionError:
        """The error for `option`."""
        error = self.assertRaises(OptionError, connection_creator, HOST, TlsOptions(**{"trust_root": self.trusted(), **opts}))
        self.assertEqual(error.option, f"tls_opts.{option}")
        return error

    def trusted(self) -> str:
        """The path of a file with an authority."""
        return self.file(authority().pem)

    def test_trust_root(self) -> None:
        """Trust must be a file or folder with certificates, or an IOpenSSLTrustRoot."""
        broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for value in (
            "/does/not/exist",
            "nul\0",
            self.file(b""),
            self.file(b"no PEM"),
            self.file(broken),
            self.files(),
            self.files(readme_txt=authority().pem, it_pem=b"nothing"),
            self.files(a_pem=authority().pem, b_pem=broken),
            17,
            b"bytes",
            object(),
        ):
            self.wrong("trust_root", trust_root=value)

    def test_trust_root_that_raises(self) -> None:
        """An IOpenSSLTrustRoot that fails makes the option wrong."""
        error = self.wrong("trust_root", trust_root=trustRootFromCertificates([mock.Mock(spec=Certificate, original=None)]))
        self.assertIn("IOpenSSLTrustRoot", str(error))

    def test_trust_in_a_folder(self) -> None:
        """All PEM files of a folder are trusted, by their suffix; others are not looked at."""
        folder = self.files(a_pem=Authority("x").pem, b_crt=authority().pem, notes_txt=b"hello", c_key=b"secret")
        self.accepts(HOST, authority().issue(HOST), trust_root=folder)
        other = self.files(a_pem=Authority("x").pem, b_txt=authority().pem)
        self.refuses(HOST, authority().issue(HOST), "trusted", trust_root=other)

    def test_trust_in_a_certificate(self) -> None:
        """A Certificate of Twisted's may be given as it is."""
        self.accepts(HOST, authority().issue(HOST), trust_root=Certificate.loadPEM(authority().pem))

    def test_client_certificate(self) -> None:
        """A client certificate must be there, complete, readable without passphrase, and belong to its key."""
        own, other = authority().issue(common_name="a"), authority().issue(common_name="b")
        locked = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        for value in (
            "/does/not/exist",
            self.file(b""),
            self.file(own.certificate_pem),
            self.file(own.key_pem),
            self.file(own.certificate_pem + locked),
            self.file(own.certificate_pem + other.key_pem),
            self.files(),
            17,
        ):
            self.wrong("client_certificate", client_certificate=value)
        self.assertIn(
            "belongs to", str(self.wrong("client_certificate", client_certificate=self.file(own.certificate_pem + other.key_pem)))
        )

    def test_secrets(self) -> None:
        """An error about a client certificate does not quote it."""
        own = authority().issue(common_name="a")
        path = self.file(own.certificate_pem + own.key_pem[:60])
        self.assertNotIn(own.key_pem[30:50].decode(), str(self.wrong("client_certificate", client_certificate=path)))

    def test_ciphers(self) -> None:
        """A cipher list must name a cipher."""
        for value in ("NONSENSE", "", "ü", "TLS_AES_128_GCM_SHA256"):
            self.wrong("ciphers", ciphers=value)

    def test_server_name(self) -> None:
        """The name to verify must be a name, or an address."""
        for value in ("a b", "*.example.org", "x" * 64, ".", "a..b"):
            self.wrong("server_name", server_name=value)

    def test_hosts(self) -> None:
        """What can be neither a name nor an address is refused before anything is dialled."""
        for host in (
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a:1",
            "x" * 64,
            "a." * 127 + "bb",
            "256.1.1.1",
            "1.2.3",
            "a%41",
            "a\0b",
            "\u2025",
            "-a",
            "[::1",
        ):
            with self.assertRaisesRegex(InvalidRequest, "cannot be the host"):
                self.creator(host)

    def test_keylog(self) -> None:
        """Session keys are appended to a file for the owner's eyes only; a file that cannot be written is found at the call."""
        path = os.path.join(self.files(), "keys")
        for _ in range(2):
            self.accepts(HOST, authority().issue(HOST), keylog=path)
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()
        self.assertEqual(sum(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines), 2)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.wrong("keylog", keylog="/does/not/exist")


class SystemTrustTests(Case):
    """Where no `trust_root` is given."""

    def setUp(self) -> None:
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            self.patch_environment(name, None)

    def patch_environment(self, name: str, value: str | None) -> None:
        """Set, or unset, an environment variable for this test."""
        before = os.environ.pop(name, None)
        self.addCleanup(lambda: os.environ.pop(name, None) if before is None else os.environ.__setitem__(name, before))
        if value is not None:
            os.environ[name] = value

    def without_system(self, certifi: str | None) -> None:
        """Pretend that the system has no authorities."""
        paths = mock.Mock(cafile=None, capath=None)
        self.patch(trust, "_SYSTEM_FILES", ())
        self.patch(trust, "_SYSTEM_FOLDERS", ())
        self.patch(trust.ssl, "get_default_verify_paths", lambda: paths)
        self.patch(trust, "_certifi", lambda: certifi)

    def test_system(self) -> None:
        """A system file is used, and a stranger's certificate refused."""
        self.patch(trust, "_SYSTEM_FILES", (self.file(authority("the system's").pem),))
        self.patch(trust.ssl, "get_default_verify_paths", lambda: mock.Mock(cafile=None, capath=None))
        self.accepts(HOST, authority("the system's").issue(HOST), trust_root=None)
        self.refuses(HOST, authority().issue(HOST), "trusted", trust_root=None)

    def test_environment(self) -> None:
        """SSL_CERT_FILE replaces the system's authorities, as OpenSSL has it."""
        self.patch_environment("SSL_CERT_FILE", self.file(authority().pem))
        self.accepts(HOST, authority().issue(HOST), trust_root=None)

    def test_environment_without_file(self) -> None:
        """SSL_CERT_FILE that names nothing is an error: to trust others instead would be worse."""
        self.patch_environment("SSL_CERT_FILE", "/does/not/exist")
        error = self.assertRaises(OptionError, connection_creator, HOST, TlsOptions())
        self.assertIn("SSL_CERT_FILE", str(error))

    def test_certifi(self) -> None:
        """Where the system has none, certifi's are taken."""
        self.without_system(self.file(authority().pem))
        self.accepts(HOST, authority().issue(HOST), trust_root=None)

    def test_nothing(self) -> None:
        """Where there is nothing to trust the call fails and says what to do; with verify=False it need not."""
        self.without_system(None)
        error = self.assertRaises(OptionError, connection_creator, HOST, TlsOptions())
        self.assertIn("certifi", str(error))
        connection_creator(HOST, TlsOptions(verify=False))


class ContextTests(Case):
    """Contexts are kept, and only the right ones."""

    def context(self, **opts: Any) -> SSL.Context:
        """The context for these options."""
        return self.creator(**{"trust_root": self.trusted, **opts}).context

    def setUp(self) -> None:
        self.trusted = self.file(authority().pem)

    def test_same(self) -> None:
        """Equal options share a context; host, name and pins do not matter to it."""
        same = self.context(alpn=(b"h2",))
        self.assertIs(self.context(alpn=(b"h2",)), same)
        self.assertIs(self.context(host="other.example", server_name="third.example", pins=[bytes(32)], alpn=(b"h2",)), same)

    def test_different(self) -> None:
        """Whatever changes what is trusted, shown, offered or written down makes another context."""
        own, other = (self.file(authority().issue(common_name=name).pem) for name in "ab")
        root = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        again = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        variants: Sequence[dict[str, Any]] = (
            {},
            {"trust_root": root},
            {"trust_root": again},
            {"trust_root": self.file(authority().pem)},
            {"client_certificate": own},
            {"client_certificate": other},
            {"minimum": "1.3"},
            {"ciphers": "ECDHE+AESGCM"},
            {"keylog": self.mktemp()},
            {"verify": False},
            {"alpn": (b"h2", b"http/1.1")},
            {"alpn": (b"http/1.1", b"h2")},
        )
        contexts = [self.context(**variant) for variant in variants]
        self.assertEqual(len(set(map(id, contexts))), len(variants))
        self.assertEqual([self.context(**variant) for variant in variants], contexts)

    def test_changed_file(self) -> None:
        """A file that was changed is read again: the authority taken out is not trusted any more."""
        self.accepts(HOST, authority().issue(HOST), trust_root=self.trusted)
        os.replace(self.file(Authority("a successor").pem), self.trusted)
        self.refuses(HOST, authority().issue(HOST), "trusted", trust_root=self.trusted)

    def test_changed_folder(self) -> None:
        """A file that was removed from a folder is not trusted any more."""
        folder = self.files(a_pem=authority().pem, b_pem=Authority("x").pem)
        self.accepts(HOST, authority().issue(HOST), trust_root=folder)
        os.remove(os.path.join(folder, "a.pem"))
        self.refuses(HOST, authority().issue(HOST), "trusted", trust_root=folder)

    def test_changed_client_certificate(self) -> None:
        """A client certificate that was renewed is shown at once."""
        path = self.file(authority().issue(common_name="old").pem)
        first = self.context(client_certificate=path)
        os.replace(self.file(authority().issue(common_name="new").pem), path)
        self.assertIsNot(self.context(client_certificate=path), first)

    def test_bounded(self) -> None:
        """No more than 64 are kept, the last used ones."""
        kept = trust._RecentlyUsed(2)
        made: list[str] = []

        def make(name: str) -> Any:
            return kept.get(name, lambda: made.append(name) or object())  # type: ignore[arg-type,func-returns-value,return-value]

        for name in ("a", "b", "a", "c", "a", "b"):
            make(name)
        self.assertEqual(made, ["a", "b", "c", "b"])

    def test_settings(self) -> None:
        """TLS 1.2 at least; no compression, renegotiation, tickets or sessions; a truncation never passes for an end."""
        context: Any = self.context()
        flags = context.set_options(0)
        for name in ("OP_NO_COMPRESSION", "OP_NO_RENEGOTIATION", "OP_NO_TICKET"):
            self.assertTrue(flags & getattr(SSL, name), name)
        self.assertFalse(flags & SSL.OP_IGNORE_UNEXPECTED_EOF)  # type: ignore[attr-defined]
        self.assertEqual(context.get_session_cache_mode(), SSL.SESS_CACHE_OFF)

    def test_default_ciphers(self) -> None:
        """All suites offered by default have forward secrecy and AEAD."""
        for name in SSL.Connection(self.context(), None).get_cipher_list():
            self.assertRegex(name, r"^(TLS_|ECDHE-|DHE-)")
            self.assertRegex(name, "GCM|CHACHA20")


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

    def lost(self, application: Application) -> type[BaseException]:
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
        TlsEndpoint(creator, far, Clock()).connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
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
        inner = endpoint.connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
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
        endpoint.connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
        far.pump()
        self.assertEqual(client.told, ["lost"])
        self.assertIn("it is for other.example", str(client.lost_for))

    def test_wrong_proxy(self) -> None:
        """Where the proxy is refused, the application inside hears why."""
        far = ToServer(ServerCreator(authority().issue("other.example")), ServerCreator(authority().issue(HOST)))
        creator, client = self.creator(), Application()
        endpoint = TlsEndpoint(creator, TlsEndpoint(self.creator("proxy.example"), far, Clock()), Clock())
        endpoint.connect(Factory.forProtocol(lambda: client))  # type: ignore[arg-type]
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

    def test_factory_that_builds_nothing(self) -> None:
        """A factory may decline to build a protocol, as with any endpoint."""
        factory = Factory.forProtocol(lambda: None)  # type: ignore[arg-type,return-value]
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
        self.assertEqual(
            (str(failed), failed and failed.alert), ("TLS with the peer failed: ssl handshake failure, tlsv1 nonsense", None)
        )
        for error in (SSL.Error(), SSL.Error([]), SSL.Error("text")):
            self.assertIn("no reason given", str(tls_failure(Failure(error))))

    def test_of_twisted(self) -> None:
        """What Twisted's own creators report is understood, too."""
        self.assertIsInstance(tls_failure(Failure(VerificationError(errors=[]))), TlsFailed)

    def test_not_of_tls(self) -> None:
        """What is not TLS's is not explained."""
        for error in (ConnectionDone(), ConnectionLost(), ConnectionAborted(), ValueError()):
            self.assertIsNone(tls_failure(Failure(error)))
