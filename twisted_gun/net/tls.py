"""
TLS for a client, failing closed: whom to trust, which name and key to expect, what to offer, why it failed.

`connection_creator` reads the options and every file they name, `ConnectionCreator` makes connections that refuse whatever is not
proved, `TlsEndpoint` puts TLS over any endpoint (over itself, too), `tls_failure` says in words what went wrong. Twisted's own
`optionsForClientTLS` is not used: from 26.4 to 26.10 it lets a certificate pass whose check raised (no subjectAltName, say).
Nothing here knows HTTP, and nothing here holds a timer: the handshake is bounded by whoever dials.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_gun.errors import InvalidRequest, OptionError, TlsFailed
from twisted_gun.headers import ascii_name, is_address
from twisted_gun.net.trust import client_context
from twisted_gun.net.unbuffered import UnbufferedTls, UnbufferedTlsFactory
from twisted_gun.options import TlsOptions

__all__ = ["ConnectionCreator", "TlsEndpoint", "UnbufferedTls", "connection_creator", "over_tls", "tls_failure"]

_log = Logger()


def connection_creator(host: str, options: TlsOptions, alpn: tuple[bytes, ...] = ()) -> ConnectionCreator:
    """
    What makes TLS connections to `host`, offering the protocols `alpn` in this order (RFC 7301).

    `host` is a name or an address. All files are read now: raises `OptionError` for an option that cannot be used and
    `InvalidRequest` for a host that can be neither a name nor an address.
    """
    try:
        name = _peer_name(host)
    except ValueError as error:
        raise InvalidRequest(f"{host!r} cannot be the host of a TLS connection: {error}") from error
    if options.server_name is not None:
        try:
            name = _peer_name(options.server_name)
        except ValueError as error:
            raise OptionError("tls_opts.server_name", "a host name or an IP address", options.server_name) from error
    creator = ConnectionCreator(name, client_context(options, alpn), options)
    if not options.verify and not options.quiet:
        _log.warn("the certificate of {host} will not be verified (tls_opts.verify is False)", host=name)
    return creator


@implementer(IOpenSSLClientConnectionCreator)
class ConnectionCreator:
    """
    Makes connections that go on only with a peer that has proved to be `host`.

    `host` is the name that SNI sends and the certificate must hold, in ASCII and without a trailing dot, or an IP address. Made
    by `connection_creator`. It keeps nothing about a connection: one creator serves any number of them.
    """

    def __init__(self, host: str, context: SSL.Context, options: TlsOptions) -> None:
        self.host = host
        self.context = context
        self._is_address = is_address(host)
        self._options = options

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection for `tlsProtocol`, which is told by `failVerification` why a certificate was refused."""
        connection = SSL.Connection(self.context, None)
        # RFC 6066 section 3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
        if not self._is_address:
            connection.set_tlsext_host_name(self.host.encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._callback(tlsProtocol))
        return connection

    def confirm(self, connection: SSL.Connection) -> None:
        """
        Look a second time, after the handshake, at the certificate of the peer; raises `TlsFailed`.

        OpenSSL does not call back in every handshake (not when it resumes a session), so one look is not enough.
        """
        certificate = connection.get_peer_certificate()
        if certificate is not None:
            why = _objection_of(self._leaf_objection, certificate)
        else:
            why = "it sent none" if self._options.verify or self._options.pins else None
        if why is not None:
            raise self._refused(why)
        suite = connection.get_cipher_name() or ""
        if connection.get_alpn_proto_negotiated() == b"h2" and not _adequate(suite):
            raise TlsFailed(f"the server chose HTTP/2 with the cipher suite {suite}, which RFC 9113 section 9.2.2 prohibits")

    def _callback(self, protocol: TLSMemoryBIOProtocol) -> Callable[[SSL.Connection, X509, int, int, int], bool]:
        # Weak, for the protocol holds the connection, and the connection this callback.
        listener = weakref.ref(protocol)

        def verified(_: SSL.Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
            why = None
            if not ok and self._options.verify:
                why = _objection_of(_chain_objection, certificate, error, depth)
            if why is None and depth == 0:
                why = _objection_of(self._leaf_objection, certificate)
            if why is None:
                return True
            told = listener()
            if told is not None:
                told.failVerification(Failure(self._refused(why)))
            return False

        return verified

    def _leaf_objection(self, certificate: X509) -> str | None:
        leaf = certificate.to_cryptography()
        why = _pin_objection(leaf, self._options.pins)
        if why is None and self._options.verify:
            why = _use_objection(leaf) or self._name_objection(leaf)
        return why

    def _name_objection(self, leaf: x509.Certificate) -> str | None:
        names = _names(leaf)
        if not names:
            return "it has no usable subjectAltName"
        verify = verify_certificate_ip_address if self._is_address else verify_certificate_hostname
        try:
            verify(leaf, self.host)
        except VerificationError:
            return f"it is for {_listed(names)}"
        except CertificateError as error:
            return f"it has a subjectAltName that cannot be used ({_printable(str(error))})"
        return None

    def _refused(self, why: str) -> TlsFailed:
        return TlsFailed(f"the certificate of {self.host} was refused: {why}")


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """
    TLS over whatever `endpoint` connects to, another `TlsEndpoint` included.

    `connect` gives back the application's protocol, at once: TLS is up when its `handshakeCompleted` is called, if it provides
    `IHandshakeListener`. `clock` is given to Twisted, which would take the global reactor.
    """

    def __init__(self, creator: ConnectionCreator, endpoint: IStreamClientEndpoint, clock: IReactorTime) -> None:
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, start the handshake, and give the protocol that `protocolFactory` built."""
        factory = UnbufferedTlsFactory(self._creator, True, protocolFactory, clock=self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda wrapper: wrapper.wrappedProtocol)


def over_tls(creator: ConnectionCreator, protocol: IProtocol, clock: IReactorTime) -> IProtocol:
    """What stands on a transport in order that `protocol` may speak over TLS there."""
    factory = Factory.forProtocol(cast(Any, lambda: protocol))
    wrapped: IProtocol = UnbufferedTlsFactory(creator, True, factory, clock=clock).buildProtocol(None)
    return wrapped


def tls_failure(reason: Failure, creator: ConnectionCreator | None = None) -> TlsFailed | None:
    """
    What the `reason` of a `connectionLost` says about TLS, with the peer's alert by its RFC 8446 name; None if nothing.

    It holds before, during and after the handshake: with TLS 1.3 a server refuses a client's certificate, or the lack of one,
    after the client has completed its handshake.
    """
    error = reason.value
    peer = creator.host if creator is not None else "the peer"
    if isinstance(error, TlsFailed):
        return error
    if isinstance(error, (CertificateError, VerificationError)):
        return TlsFailed(f"the certificate of {peer} was refused: {error}")
    if not isinstance(error, SSL.Error):
        return None
    reasons = [entry[2] for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    alert = next((name for name in map(_alert_name, reasons) if name is not None), None)
    if alert is not None:
        hint = f": {_ALERT_HINTS[alert]}" if alert in _ALERT_HINTS else ""
        return TlsFailed(f"{peer} ended TLS with the alert {alert}{hint}", alert=alert)
    text = ", ".join(reasons) or "no reason given"
    hints = [hint for part, hint in _ERROR_HINTS.items() if part in text]
    return TlsFailed(f"TLS with {peer} failed: {text}" + "".join(f" ({hint})" for hint in hints))


# The name of the peer.

# RFC 952 and 1123 do not know the underscore, the DNS and many certificates do.
_NAME = re.compile(r"(?:[a-z0-9_]|[a-z0-9_][a-z0-9_-]{0,61}[a-z0-9_])(?:\.(?:[a-z0-9_]|[a-z0-9_][a-z0-9_-]{0,61}[a-z0-9_]))*")


def _peer_name(text: str) -> str:
    """`text` as SNI and certificates have it: ASCII, lower case, no trailing dot; raises ValueError."""
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if is_address(address):
        # RFC 4007 section 11.2: a zone index has meaning on this machine only; no certificate holds one.
        return str(ipaddress.ip_address(address.partition("%")[0]))
    # The DNS writes "example.com." for the absolute name; certificates never do.
    name = ascii_name(text.removesuffix(".").lower()).removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("it is no host name")
    if name.rpartition(".")[2].isdigit():
        raise ValueError("it ends like an IPv4 address but is none")
    return name


# The peer's certificate.

_Arguments = ParamSpec("_Arguments")


def _adequate(suite: str) -> bool:
    """Whether HTTP/2 may be spoken over `suite` (RFC 9113 section 9.2.2): all of TLS 1.3's, and of 1.2's the ephemeral AEAD ones."""
    return suite.startswith(("TLS_", "ECDHE-", "DHE-")) and ("GCM" in suite or "CHACHA20" in suite or "CCM" in suite)


def _objection_of(look: Callable[_Arguments, str | None], *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> str | None:
    """What `look` objects to, None if nothing; that it raised is an objection like any other."""
    try:
        return look(*args, **kwargs)
    except BaseException as error:  # an exception must never let a certificate pass
        return f"it could not be checked ({type(error).__name__}: {_printable(str(error))})"


def _chain_objection(certificate: X509, error: int, depth: int) -> str:
    why = _CHAIN_ERRORS.get(error, f"its chain does not verify (OpenSSL's error {error})")
    if error == _NOT_YET_VALID:
        why += f", but from {certificate.to_cryptography().not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if error == _EXPIRED:
        why += f" on {certificate.to_cryptography().not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return why if depth == 0 else f"{why} (certificate {depth} of its chain)"


def _pin_objection(leaf: x509.Certificate, pins: tuple[bytes, ...]) -> str | None:
    # RFC 7469 section 2.4: the pin is the hash of the SubjectPublicKeyInfo in DER.
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(key).digest()
    return None if not pins or digest in pins else f"its public key (SHA-256 {digest.hex()}) is none of those pinned"


def _use_objection(leaf: x509.Certificate) -> str | None:
    """Why the certificate may not be used by a TLS server, by RFC 5280 sections 4.2.1.3 and 4.2.1.12."""
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.SERVER_AUTH not in uses and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in uses:
            return _WRONG_USE
    except x509.ExtensionNotFound:
        pass  # RFC 5280: the restriction exists only "if the extension is present"
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    fit = usage.digital_signature or usage.key_encipherment or usage.key_agreement
    return None if fit else _WRONG_USE


def _names(leaf: x509.Certificate) -> list[str]:
    """The names and addresses of the certificate; the subject's common name is none (RFC 9525 section 2)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(_printable(name) for name in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _printable(text: str) -> str:
    """`text`, which the peer wrote, fit for a log: one line, ASCII, not endless."""
    return ascii(text)[1:-1][:200]


_NOT_YET_VALID, _EXPIRED = 9, 10

_WRONG_USE = "it is not meant for a TLS server (wrong usage)"

#: What OpenSSL found in the chain: X509_V_ERR_ numbers of its x509_vfy.h.
_CHAIN_ERRORS = {
    2: "its issuer is not a trusted authority",
    7: "its signature is wrong",
    _NOT_YET_VALID: "it is not yet valid",
    _EXPIRED: "it has expired",
    18: "it is self-signed and not trusted",
    19: "it is not signed by a trusted authority (the chain ends in an unknown self-signed certificate)",
    20: "it is not signed by a trusted authority",
    21: "it is not signed by a trusted authority (the server sent only its own certificate)",
    23: "it was revoked",
    24: "its issuer is no certificate authority",
    25: "its chain is longer than an authority in it allows",
    26: _WRONG_USE,
    66: "its key is too weak",
    67: "the key of an authority in its chain is too weak",
    68: "a signature in its chain is too weak",
    79: "its issuer is no certificate authority",
}


# What OpenSSL says.

#: RFC 8446 section 6 and appendix B.2, and RFC 5246 section 7.2.
_ALERTS = frozenset(
    "access_denied bad_certificate bad_certificate_hash_value bad_certificate_status_response bad_record_mac certificate_expired "
    "certificate_required certificate_revoked certificate_unknown certificate_unobtainable decode_error decompression_failure "
    "decrypt_error decryption_failed export_restriction handshake_failure illegal_parameter inappropriate_fallback "
    "insufficient_security internal_error missing_extension no_application_protocol no_certificate no_renegotiation "
    "protocol_version record_overflow unexpected_message unknown_ca unknown_psk_identity unrecognized_name "
    "unsupported_certificate unsupported_extension user_canceled".split()
)

_ALERT_HINTS = {
    "bad_certificate": "it refuses our certificate, or got none",
    "certificate_expired": "our certificate has expired",
    "certificate_required": "it wants a client certificate (tls_opts.client_certificate)",
    "handshake_failure": "there is no cipher or parameter that both sides allow, or it wants a client certificate",
    "no_application_protocol": "it speaks none of the protocols offered",
    "protocol_version": "it does not speak a version of TLS that we do (tls_opts.minimum)",
    "unknown_ca": "it does not know the authority of our certificate",
    "unrecognized_name": "it does not know the name we asked for (tls_opts.server_name)",
}

_ERROR_HINTS = {
    "wrong version number": "does the peer speak TLS on this port at all?",
    "unsupported protocol": "its version of TLS is too old",
}


def _alert_name(reason: str) -> str | None:
    """The alert in OpenSSL's words: "tlsv13 alert certificate required", "tls alert …", "tlsv1 unrecognized name"."""
    found = re.match(r"(?:sslv3|ssl/tls|tls|tlsv1|tlsv13) (?:alert )?(.+)", reason)
    name = found[1].replace(" ", "_").replace("user_cancelled", "user_canceled") if found else None
    return name if name in _ALERTS else None
