"""TLS against nginx: versions, authorities, names, and certificates of clients."""

from __future__ import annotations

from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.certificates import Authority, authority
from tests.interop.servers import Nginx, close, free_port, missing_nginx, temporary_directory

SERVER = """
server {
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    {settings}
    location / { return 200 "$ssl_protocol $ssl_client_verify"; }
    location /files/ { root {root}; }
}
"""

CLIENTS = "ssl_client_certificate {root}/authority.pem; ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3;"


class NginxTlsTests(TestCase):
    """Each test has an nginx with the settings it needs, whose certificate is for 127.0.0.1 only."""

    timeout = 60
    skip = missing_nginx("http_ssl_module")

    async def start(self, settings: str = "", **tls_opts: Any) -> gun.Connection:
        """nginx with these settings, and a connection that trusts its authority, if `tls_opts` do not say otherwise."""
        port = free_port()
        nginx = Nginx(self, SERVER.replace("{settings}", settings).replace("{port}", str(port)))
        self.root = nginx.root
        (self.root / "server.pem").write_bytes(authority().issue("127.0.0.1").pem)
        (self.root / "authority.pem").write_bytes(authority().pem)
        await nginx.start()
        trust = {"trust_root": str(self.root / "authority.pem"), **tls_opts}
        conn = gun.open("127.0.0.1", port, transport="tls", tls_opts=trust, retry=0)

        self.addCleanup(close, conn)
        return conn

    async def answer(self, conn: gun.Connection, path: str = "/") -> tuple[int, bytes]:
        """Status and content."""
        stream = conn.get(path)
        return (await stream.await_response()).status, await stream.await_body()

    async def test_versions(self) -> None:
        """TLS 1.2 and TLS 1.3 are spoken, whichever nginx wants; info() says which it is."""
        for version in ("TLSv1.2", "TLSv1.3"):
            conn = await self.start(f"ssl_protocols {version};")
            self.assertEqual(await self.answer(conn), (200, version.encode() + b" NONE"))
            tls = conn.info().tls
            assert tls is not None
            self.assertEqual((tls.version, tls.alpn), (version, b"http/1.1"))

    async def test_old_version_refused(self) -> None:
        """A server that speaks TLS 1.2 is refused where 1.3 is the least."""
        conn = await self.start("ssl_protocols TLSv1.2;", minimum="1.3")
        error: Any = await self.assertFailure(conn.await_up(), gun.TlsFailed)
        self.assertEqual(error.alert, "protocol_version")

    async def test_much_content(self) -> None:
        """Content of many records arrives whole."""
        conn = await self.start()
        content = bytes(range(256)) * 20_000
        (self.root / "files").mkdir()
        (self.root / "files" / "much").write_bytes(content)
        self.assertEqual(await self.answer(conn, "/files/much"), (200, content))

    async def test_unknown_authority(self) -> None:
        """A certificate of an authority that is not trusted is refused, and nothing is sent."""
        conn = await self.start(trust_root=self.written(Authority("nobody knows it").pem))
        stream = conn.get("/secret")
        error: Any = await self.assertFailure(conn.await_up(), gun.TlsFailed)
        self.assertIn("certificate", str(error))
        await self.assertFailure(stream.await_response(), gun.TlsFailed)

    async def test_wrong_name(self) -> None:
        """A certificate for another name is refused."""
        conn = await self.start(server_name="example.org")
        error: Any = await self.assertFailure(conn.await_up(), gun.TlsFailed)
        self.assertIn("example.org", str(error))

    async def test_client_certificate(self) -> None:
        """A client's certificate is shown, over TLS 1.2 and TLS 1.3."""
        for version in ("TLSv1.2", "TLSv1.3"):
            settings = CLIENTS.replace("TLSv1.2 TLSv1.3", version)
            conn = await self.start(settings, client_certificate=self.client_certificate())
            self.assertEqual(await self.answer(conn), (200, version.encode() + b" SUCCESS"))

    async def test_no_client_certificate(self) -> None:
        """nginx answers a client without a certificate with 400, over TLS; that is told as any other response."""
        conn = await self.start(CLIENTS)
        status, content = await self.answer(conn)
        self.assertEqual(status, 400)
        self.assertIn(b"No required SSL certificate was sent", content)

    def client_certificate(self) -> str:
        """The path of a client's certificate and key."""
        return self.written(authority().issue(common_name="a client", uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)).pem)

    def written(self, pem: bytes) -> str:
        path = temporary_directory(self) / "file.pem"
        path.write_bytes(pem)
        return str(path)
