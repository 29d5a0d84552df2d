"""Against Apache httpd, lighttpd and HAProxy: what all servers must agree on, and what HAProxy alone does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.certificates import authority
from tests.interop.servers import Server, ServerCase, alert_behind, close, free_port, missing, temporary_directory

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 500

APACHE = """
ServerName localhost
ServerRoot {root}
PidFile {root}/apache.pid
DefaultRuntimeDir {root}
Listen 127.0.0.1:{port}
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule allowmethods_module {modules}/mod_allowmethods.so
{user}
DocumentRoot {root}/files
MaxKeepAliveRequests 0
"""

LIGHTTPD = """
server.document-root = "{root}/files"
server.bind = "127.0.0.1"
server.port = {port}
server.max-keep-alive-requests = 1000
server.modules = ("mod_staticfile")
mimetype.assign = ("" => "text/plain")
"""

HAPROXY = """
global
    log stderr format raw daemon notice
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request {patience}
frontend plain
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string "%HM %HU" if {{ path_beg /return }}
    http-request deny if {{ path /denied }}
    default_backend behind
frontend locked
    bind 127.0.0.1:{tls_port} ssl crt {root}/server.pem ca-file {root}/authority.pem verify required
    http-request return status 200 content-type text/plain string "let in"
backend behind
    server lighttpd 127.0.0.1:{behind}
"""

_MODULES = Path("/usr/lib/apache2/modules")


class OtherCase(ServerCase):
    """A server with a file of `TEXT`, and what is asked of it."""

    timeout = 60

    def settings(self) -> dict[str, Any]:
        """A directory with that file, and a port."""
        root = temporary_directory(self)
        root.chmod(0o755)
        (root / "files").mkdir()
        (root / "files" / "text").write_bytes(TEXT)
        return {"root": root, "port": free_port()}

    async def lighttpd(self, settings: dict[str, Any]) -> None:
        """Start lighttpd with these settings."""
        config = settings["root"] / "lighttpd.conf"
        config.write_text(LIGHTTPD.format(**settings))
        await Server(self, ("lighttpd", "-D", "-f", str(config)), b"server started").start()

    def open(self, port: int, **options: Any) -> gun.Connection:
        """A connection to this port."""
        conn = gun.open("127.0.0.1", port, **options)
        self.addCleanup(close, conn)
        return conn

    async def check_files(self, port: int) -> None:
        """Pipelined GET, HEAD, 304, 206, 404 and again GET come back in order, whole, on one connection."""
        told: list[Any] = []
        conn = self.open(port, owner=told.append)
        first = await conn.head("/text").await_response()
        self.assertIn((b"content-length", b"%d" % len(TEXT)), first.headers)
        etag = dict(first.headers)[b"etag"]
        for _ in range(10):
            streams = [
                (conn.get("/text"), 200, TEXT),
                (conn.head("/text"), 200, b""),
                (conn.get("/text", {"if-none-match": etag}), 304, b""),
                (conn.get("/text", {"range": "bytes=4-8"}), 206, TEXT[4:9]),
                (conn.get("/nowhere"), 404, None),
                (conn.get("/text"), 200, TEXT),
            ]
            for stream, status, expected in streams:
                content = await self.body(stream, status)
                self.assertIn(expected, (content, None))
        self.assertEqual([type(event).__name__ for event in told], ["Up"])


class ApacheTests(OtherCase):
    """Apache httpd."""

    skip = missing("apache2", "apache2-bin") or (None if _MODULES.is_dir() else f"APACHE'S MODULES ARE NOT IN {_MODULES}")

    async def test_files(self) -> None:
        """Files, pipelined."""
        settings = self.settings()
        config = settings["root"] / "apache.conf"
        config.write_text(APACHE.format(**settings, modules=_MODULES, user="User nobody"))
        await Server(self, ("apache2", "-DFOREGROUND", "-f", str(config)), b"resuming normal operations").start()
        await self.check_files(settings["port"])


class LighttpdTests(OtherCase):
    """lighttpd."""

    skip = missing("lighttpd", "lighttpd")

    async def test_files(self) -> None:
        """Files, pipelined."""
        settings = self.settings()
        await self.lighttpd(settings)
        await self.check_files(settings["port"])


class HAProxyTests(OtherCase):
    """HAProxy, with lighttpd behind it or nothing."""

    skip = missing("haproxy", "haproxy")

    async def start(self, patience: str = "10s") -> None:
        """HAProxy, which waits for so long for a request."""
        self.at = {**self.settings(), "tls_port": free_port(), "behind": free_port(), "patience": patience}
        self.root: Path = self.at["root"]
        (self.root / "server.pem").write_bytes(authority().issue("127.0.0.1").pem)
        (self.root / "authority.pem").write_bytes(authority().pem)
        config = self.root / "haproxy.conf"
        config.write_text(HAPROXY.format(**self.at))
        await Server(self, ("haproxy", "-W", "-db", "-f", str(config)), b"Loading success").start()

    async def test_files(self) -> None:
        """Files of lighttpd through HAProxy, pipelined."""
        skip = missing("lighttpd", "lighttpd")
        if skip is not None:
            self.skipTest(skip)
        await self.start()
        await self.lighttpd({**self.at, "port": self.at["behind"]})
        await self.check_files(self.at["port"])

    async def test_pipelining(self) -> None:
        """Fifty requests made at once are answered in order."""
        await self.start()
        conn = self.open(self.at["port"])
        streams = [conn.request("GET" if at % 2 else "DELETE", f"/return/{at}") for at in range(50)]
        expected = [b"%b /return/%d" % (b"GET" if at % 2 else b"DELETE", at) for at in range(50)]
        self.assertEqual([await self.body(stream) for stream in streams], expected)

    async def test_nothing_behind(self) -> None:
        """503, which HAProxy sends where nothing is behind it, and 403 are told as they are; the next request is answered."""
        await self.start()
        conn = self.open(self.at["port"])
        self.assertIn(b"503", await self.body(conn.get("/text"), 503))
        self.assertIn(b"403", await self.body(conn.get("/denied"), 403))
        self.assertEqual(await self.body(conn.get("/return")), b"GET /return")

    async def test_unasked_408(self) -> None:
        """A 408 that answers no request ends the connection, which comes back and is not confused by it."""
        await self.start(patience="500ms")
        told: list[Any] = []
        again: Deferred[None] = Deferred()

        def owner(event: object) -> None:
            told.append(event)
            if [type(each) for each in told].count(gun.Up) == 2 and not again.called:
                again.callback(None)

        conn = self.open(self.at["port"], owner=owner)
        await again
        self.assertEqual(await self.body(conn.get("/return")), b"GET /return")
        self.assertEqual([type(event).__name__ for event in told[:4]], ["Up", "Error", "Down", "Up"])
        self.assertIsInstance(told[1].reason, gun.ProtocolViolation)

    async def test_client_certificate(self) -> None:
        """Who shows a certificate is let in; who does not is told so by an alert, after the handshake."""
        await self.start()
        trust = {"trust_root": str(self.root / "authority.pem")}
        client = self.root / "client.pem"
        client.write_bytes(authority().issue(common_name="a client", uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)).pem)
        options = {"transport": "tls", "retry": 0}
        conn = self.open(self.at["tls_port"], tls_opts={**trust, "client_certificate": str(client)}, **options)
        self.assertEqual(await self.body(conn.get("/")), b"let in")
        refused = self.open(self.at["tls_port"], tls_opts=trust, **options)
        error: Any = await self.assertFailure(refused.get("/").await_response(), gun.GunError)
        self.assertEqual(alert_behind(error), "certificate_required")
