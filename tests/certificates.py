"""
Certificates made for tests: authorities, what they issue, and contexts for servers that show them.

Keys are on the curve P-256, which takes a fraction of a millisecond each; authorities are made once a run.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

__all__ = ["Authority", "Issued", "ServerCreator", "authority", "key_usage"]

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its private key; `chain` is what a server sends after it."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM format."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key in PEM format (PKCS #8), without passphrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def pem(self) -> bytes:
        """Certificate and key, one after the other."""
        return self.certificate_pem + self.key_pem

    @property
    def pin(self) -> bytes:
        """The SHA-256 digest of the public key (SPKI)."""
        key = self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(key).digest()


class Authority:
    """A certificate authority, signed by itself or by `parent`."""

    def __init__(self, name: str, parent: Authority | None = None) -> None:
        self.key = generate_private_key(SECP256R1())
        self.subject = _subject(name)
        issuer = parent or self
        self.certificate = (
            _builder(self.subject, issuer.subject, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's certificate in PEM format."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: str | x509.GeneralName,
        common_name: str = "",
        days: tuple[float, float] = (-1, 30),
        uses: Sequence[ObjectIdentifier] | None = (SERVER_AUTH,),
        usage: x509.KeyUsage | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
        chain: tuple[x509.Certificate, ...] = (),
    ) -> Issued:
        """A certificate for `names` (addresses become iPAddress), valid from and to `days` from now."""
        key = generate_private_key(SECP256R1())
        more: list[x509.ExtensionType] = [*extensions]
        if names:
            more.append(x509.SubjectAlternativeName([_general_name(name) for name in names]))
        if uses is not None:
            more.append(x509.ExtendedKeyUsage(uses))
        if usage is not None:
            more.append(usage)
        builder = _builder(_subject(common_name), self.subject, key, days)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return Issued(certificate=builder.sign(self.key, hashes.SHA256()), key=key, chain=chain)


@cache
def authority(name: str = "a trusted authority") -> Authority:
    """The authority of this name, made once."""
    return Authority(name)


def self_signed(*names: str) -> Issued:
    """A certificate for `names` that vouches for itself."""
    key = generate_private_key(SECP256R1())
    subject = _subject("self-signed")
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    builder = _builder(subject, subject, key).add_extension(alternatives, critical=False)
    return Issued(certificate=builder.sign(key, hashes.SHA256()), key=key)


def key_usage(**granted: bool) -> x509.KeyUsage:
    """A keyUsage extension that grants just these."""
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    usages = dict.fromkeys([*names.split(), "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**{**usages, **granted})


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """
    A TLS server that shows `issued` and remembers what it was asked: `server_names`, and `offered` by ALPN, each in order.

    `clients` is the authority whose certificates clients must show; `choose` picks from the protocols offered.
    """

    def __init__(
        self,
        issued: Issued,
        *,
        minimum: int = SSL.TLS1_2_VERSION,
        maximum: int = 0,
        ciphers: str | None = None,
        clients: Authority | None = None,
        choose: Callable[[list[bytes]], bytes] | None = None,
    ) -> None:
        self.offered: list[list[bytes]] = []
        self.server_names: list[bytes | None] = []
        context = self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(minimum)
        context.set_max_proto_version(maximum)
        _show(context, issued)
        if ciphers is not None:
            context.set_cipher_list(ciphers.encode())
        if clients is not None:
            store = context.get_cert_store()
            store.add_cert(X509.from_cryptography(clients.certificate))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[-1]))
        # Called for every ClientHello, with a server name or without.
        context.set_tlsext_servername_callback(lambda connection: self.server_names.append(connection.get_servername()))
        if choose is not None:
            context.set_alpn_select_callback(partial(self._chosen, choose))

    def _chosen(self, choose: Callable[[list[bytes]], bytes], _: SSL.Connection, offered: list[bytes]) -> bytes:
        self.offered.append(offered)
        return choose(offered)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection for the server's side."""
        return SSL.Connection(self.context, None)


# pyOpenSSL 26 takes certificates of the cryptography package, which its older published types do not know: hence Any.
def _show(context: Any, issued: Issued) -> None:
    context.use_certificate(issued.certificate)
    for certificate in issued.chain:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(issued.key)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def _general_name(name: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: tuple[float, float] = (-1, 30)
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
