"""Tests for twisted_gun.net.trust: files and options that cannot be used, the system's authorities, contexts that are kept."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Sequence
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from tests.certificates import Authority, authority
from tests.net.handshakes import HOST, Case
from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.net import trust
from twisted_gun.net.tls import connection_creator
from twisted_gun.options import TlsOptions


class OptionTests(Case):
    """Options that cannot be used are found at the call."""

    def wrong(self, option: str, **opts: Any) -> OptionError:
        """The error for `option`."""
        error: OptionError = self.assertRaises(OptionError, connection_creator, HOST, TlsOptions(**{"trust_root": self.trusted(), **opts}))
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
        of_another_kind = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for value in (
            "/does/not/exist",
            self.file(b""),
            self.file(own.certificate_pem),
            self.file(own.key_pem),
            self.file(own.certificate_pem + locked),
            self.file(own.certificate_pem + other.key_pem),
            self.file(own.certificate_pem + of_another_kind),
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
        self.patch(ssl, "get_default_verify_paths", lambda: paths)
        self.patch(trust, "_certifi", lambda: certifi)

    def test_system(self) -> None:
        """A system file is used, and a stranger's certificate refused."""
        self.patch(trust, "_SYSTEM_FILES", (self.file(authority("the system's").pem),))
        self.patch(ssl, "get_default_verify_paths", lambda: mock.Mock(cafile=None, capath=None))
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
            {"maximum": "1.2"},
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
