"""Tests for twisted_gun.net.tls: who is refused and who is not, and the second look."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest import mock

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from tests.certificates import CLIENT_AUTH, Authority, Issued, ServerCreator, authority, key_usage, self_signed
from tests.net.handshakes import HOST, Application, Case, ToServer, Unbuffered
from twisted_gun.errors import TlsFailed
from twisted_gun.net.tls import ConnectionCreator, tls_failure


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
        observer = cast(ILogObserver, warnings.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.creator(verify=False, trust_root=None, quiet=True)  # which is not logged
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
        self.refuses(HOST, stranger.issue(HOST, chain=(stranger.certificate,)), "not signed by a trusted authority", "of its chain")

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
        far.connect(Unbuffered(creator, True, Factory.forProtocol(lambda: client), clock=Clock()))
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
            client = self.bypassed(issued, **cast(Any, opts))
            self.assertEqual(client.told, ["handshake", "lost"])
            self.assertIn(words, str(client.refused))

    def test_accepts(self) -> None:
        """It has nothing against the right certificate, nor against any with verify=False."""
        self.assertTrue(self.bypassed(authority().issue(HOST)).up)
        self.assertTrue(self.bypassed(authority().issue(HOST, uses=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])).up)
        self.assertTrue(self.bypassed(self_signed("other.example"), verify=False).up)

    def test_no_certificate(self) -> None:
        """A connection without certificate is refused, unless nothing was asked for."""
        connection = mock.Mock(spec=["get_peer_certificate", "get_cipher_name", "get_alpn_proto_negotiated"])
        connection.get_peer_certificate.return_value = None
        connection.get_cipher_name.return_value, connection.get_alpn_proto_negotiated.return_value = None, b""
        for opts in ({}, {"verify": False, "pins": [bytes(32)]}):
            with self.assertRaisesRegex(TlsFailed, "sent none"):
                self.creator(**opts).confirm(connection)  # type: ignore[arg-type]
        self.creator(verify=False).confirm(connection)
