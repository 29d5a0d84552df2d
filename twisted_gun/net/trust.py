"""
What a TLS client brings along: the authorities it trusts, its own certificate, versions, ciphers; gathered in a context.

A context takes 10 ms to make (the authorities are read), so the last ones are kept, and made again when a file has changed. They
know no peer: which name, address or key it must prove is net/tls.py's business.
"""

from __future__ import annotations

import os
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.ssl import PrivateCertificate
from twisted.logger import Logger

from twisted_gun.errors import OptionError
from twisted_gun.options import TlsOptions

__all__ = ["client_context"]

_log = Logger()

#: For TLS 1.2: forward secrecy and AEAD only, so nothing that RFC 9113 appendix A prohibits. TLS 1.3 has no other suites.
DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!aPSK:!aDSS"

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# Named by number where pyOpenSSL's published types do not know the name; the number is that of OpenSSL's ssl.h.
_OP_NO_RENEGOTIATION = getattr(SSL, "OP_NO_RENEGOTIATION", 1 << 30)


def client_context(options: TlsOptions, alpn: tuple[bytes, ...]) -> SSL.Context:
    """
    The context for `options` and the protocols `alpn`, the same one for the same options as long as no file of theirs changes.

    Raises `OptionError`, named ``tls_opts.…``, for a file that cannot be read or does not hold what it should, and for a cipher
    list that OpenSSL does not understand.
    """
    trust = _trust(options)
    own = _own_certificate(options.client_certificate)
    key = (trust, own, options.minimum, options.maximum, options.ciphers, options.keylog, options.verify, alpn)
    return _contexts.get(key, lambda: _make_context(options, alpn, trust, own))


class _RecentlyUsed:
    """The contexts used last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, SSL.Context] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], SSL.Context]) -> SSL.Context:
        context = self._kept.get(key)
        if context is None:
            context = self._kept[key] = make()
        self._kept.move_to_end(key)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return context


_contexts = _RecentlyUsed(64)


def _make_context(options: TlsOptions, alpn: tuple[bytes, ...], trust: _Trust, own: _OwnCertificate | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_VERSIONS[options.minimum])
    if options.maximum is not None:
        context.set_max_proto_version(_VERSIONS[options.maximum])
    # RFC 9113 section 9.2.1: HTTP/2 "MUST disable compression" and "MUST disable renegotiation". OP_IGNORE_UNEXPECTED_EOF must
    # never be added: it would make a truncated response look like a complete one.
    context.set_options(SSL.OP_NO_COMPRESSION | _OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    # A resumed session skips the verification of the certificate.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    _set_ciphers(context, options.ciphers)
    if alpn:
        context.set_alpn_protos(list(alpn))
    trust.load(context)
    if own is not None:
        own.load(context)
    if options.keylog is not None:
        context.set_keylog_callback(_keylog(options.keylog))
    return context


def _set_ciphers(context: SSL.Context, ciphers: str | None) -> None:
    try:
        context.set_cipher_list((DEFAULT_CIPHERS if ciphers is None else ciphers).encode("ascii"))
    except (SSL.Error, UnicodeEncodeError) as error:
        expected = "an OpenSSL cipher list with at least one cipher of TLS 1.2 (those of TLS 1.3 are always on)"
        raise OptionError("tls_opts.ciphers", expected, ciphers) from error


def _keylog(path: str) -> Callable[[SSL.Connection, bytes], None]:
    """What appends a line of key material (NSS's key log format) to the file, which is made for the owner's eyes only."""

    def append(line: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "ab", buffering=0) as file:
            file.write(line)

    try:
        append(b"")
    except OSError as error:
        raise OptionError("tls_opts.keylog", f"a file that can be written to ({error.strerror})", path) from error

    # Opened for each line, so that a context that is kept keeps no file open.
    def keylog(_: SSL.Connection, line: bytes) -> None:
        try:
            append(line + b"\n")
        except OSError as error:
            _log.error("session keys could not be written to {path}: {error}", path=path, error=error)

    return keylog


# Whom to trust.

_TRUST_ROOT = "tls_opts.trust_root"

_PEM_CERTIFICATE = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")

_PEM_NAME = re.compile(r".+\.(?:pem|crt|cer|\d+)", re.IGNORECASE)

#: As OpenSSL's c_rehash names certificates: the hash of the subject, and a number.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")

#: Where distributions keep their authorities, for an OpenSSL that was built elsewhere, as that in cryptography's wheels.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
)
_SYSTEM_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A file or folder as it is now: equal to another as long as it was not changed or replaced."""

    path: str
    modified: int
    size: int
    inode: int

    @classmethod
    def now(cls, path: str) -> _Seen:
        status = os.stat(path)
        return cls(path=os.path.abspath(path), modified=status.st_mtime_ns, size=status.st_size, inode=status.st_ino)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Same:
    """An object equal to nothing but itself, kept so that its identity is not given to another."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trust:
    """Authorities: all those in `files`, those looked up by hash in `folders`, and those that `root` adds."""

    files: tuple[_Seen, ...] = ()
    folders: tuple[_Seen, ...] = ()
    root: _Same | None = None

    def load(self, context: Any) -> None:
        for file in self.files:
            try:
                context.load_verify_locations(file.path)
            except SSL.Error as error:
                raise OptionError(_TRUST_ROOT, "a file of certificates in PEM format", file.path) from error
        for folder in self.folders:
            context.load_verify_locations(None, folder.path)
        if self.root is not None:
            self._add_root(context, self.root.value)

    def _add_root(self, context: Any, root: Any) -> None:
        try:
            # The interface's one method has a private name; Twisted's own CertificateOptions calls nothing else.
            root._addCACertsToContext(context)
        except Exception as error:
            raise OptionError(_TRUST_ROOT, f"an IOpenSSLTrustRoot that works ({error!r})", root) from error


def _trust(options: TlsOptions) -> _Trust:
    value = options.trust_root
    if value is None:
        return _system_trust() if options.verify else _Trust()
    if isinstance(value, (str, os.PathLike)):
        return _trust_in_path(os.fspath(value))
    # A Certificate of Twisted's is not a trust root, but can be adapted to one.
    root = IOpenSSLTrustRoot(value, None)
    if root is None:
        raise OptionError(_TRUST_ROOT, "the path of a PEM file or of a folder of them, or an IOpenSSLTrustRoot", value)
    return _Trust(root=_Same(value=root))


def _trust_in_path(path: str | bytes) -> _Trust:
    try:
        name = os.fsdecode(path)
        names = sorted(entry.path for entry in os.scandir(name) if _PEM_NAME.fullmatch(entry.name)) if os.path.isdir(name) else [name]
        files = tuple(_Seen.now(file) for file in _without_doubles(names) if _holds_certificate(file))
    except (OSError, ValueError) as error:
        raise OptionError(_TRUST_ROOT, f"a file or folder that can be read ({error})", path) from error
    if not files:
        raise OptionError(_TRUST_ROOT, "a file of certificates in PEM format, or a folder with at least one", path)
    return _Trust(files=files)


def _without_doubles(paths: Iterable[str]) -> Iterator[str]:
    """The regular files among `paths`, each once: a folder made by c_rehash has every certificate under two names."""
    known = set()
    for path in paths:
        real = os.path.realpath(path)
        if real not in known and not os.path.isdir(real):
            known.add(real)
            yield path


def _holds_certificate(path: str) -> bool:
    with open(path, "rb") as file:
        return _PEM_CERTIFICATE.search(file.read()) is not None


def _system_trust() -> _Trust:
    """The system's authorities; raises `OptionError` where there are none, for then no server could be trusted."""
    wanted_file, wanted_folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if wanted_file or wanted_folder:
        trust = _found([wanted_file], (wanted_folder or "").split(os.pathsep))
        if trust is None:
            expected = "SSL_CERT_FILE or SSL_CERT_DIR to name certificates in PEM format"
            raise OptionError(_TRUST_ROOT, expected, wanted_file or wanted_folder)
        return trust
    default = ssl.get_default_verify_paths()
    trust = _found([default.cafile, *_SYSTEM_FILES], [default.capath, *_SYSTEM_FOLDERS]) or _found([_certifi()], [])
    if trust is None:
        expected = "the path of a PEM file, as this system has no certificates of authorities (or install certifi)"
        raise OptionError(_TRUST_ROOT, expected, None)
    return trust


def _found(files: Iterable[str | None], folders: Iterable[str | None]) -> _Trust | None:
    """The first of `files` and the first of `folders` that hold certificates; None if there is neither."""
    file = next((_Seen.now(path) for path in files if path and os.path.isfile(path) and _readable_certificate(path)), None)
    folder = next((_Seen.now(path) for path in folders if path and _has_hashed_names(path)), None)
    if file is None and folder is None:
        return None
    return _Trust(files=() if file is None else (file,), folders=() if folder is None else (folder,))


def _readable_certificate(path: str) -> bool:
    try:
        return _holds_certificate(path)
    except OSError:
        return False


def _has_hashed_names(path: str) -> bool:
    try:
        return any(_HASHED_NAME.fullmatch(name) for name in os.listdir(path))
    except OSError:
        return False


def _certifi() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


# Who we are.

_CLIENT_CERTIFICATE = "tls_opts.client_certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnCertificate:
    """The client's certificate, its chain and its private key, in PEM format; `given` is what the option said."""

    pem: bytes = field(repr=False)
    given: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OwnCertificate) and other.pem == self.pem

    def __hash__(self) -> int:
        return hash(self.pem)

    def load(self, context: Any) -> None:
        try:
            certificate, *chain = x509.load_pem_x509_certificates(self.pem)
            key = load_pem_private_key(self.pem, None)
            context.use_certificate(certificate)
            for link in chain:
                context.add_extra_chain_cert(link)
            context.use_privatekey(key)
            context.check_privatekey()
        except SSL.Error as error:
            raise OptionError(_CLIENT_CERTIFICATE, "a private key that belongs to the certificate", self.given) from error
        except (ValueError, TypeError) as error:  # TypeError is how cryptography asks for a passphrase
            expected = f"a certificate and its private key without passphrase, in PEM format ({error})"
            raise OptionError(_CLIENT_CERTIFICATE, expected, self.given) from error


def _own_certificate(value: Any) -> _OwnCertificate | None:
    if value is None:
        return None
    if isinstance(value, PrivateCertificate):
        return _OwnCertificate(pem=value.dumpPEM(), given=value)
    if not isinstance(value, (str, os.PathLike)):
        raise OptionError(_CLIENT_CERTIFICATE, "the path of a PEM file, or a PrivateCertificate", value)
    try:
        with open(value, "rb") as file:
            return _OwnCertificate(pem=file.read(), given=value)
    except (OSError, ValueError) as error:
        raise OptionError(_CLIENT_CERTIFICATE, f"a file that can be read ({error})", value) from error
