"""Servers of HTTP/2, and connections to them, for the tests of HTTP/2."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.certificates import authority
from tests.interop.servers import Nginx, Server, ServerCase, close, free_port, missing, missing_nginx, node, temporary_directory

__all__ = ["THOROUGH", "HAProxyCase", "Http2Case", "NghttpdCase", "NginxCase", "NodeCase"]

#: Whether what takes long is to be done at full length.
THOROUGH = bool(os.environ.get("GUN_TESTS_THOROUGH"))

#: `$connection` is a number for each connection.
NGINX = """
log_format ids "$arg_id $status $request_completion";
keepalive_requests 1000000;
server {
    access_log {root}/access.log ids;
    listen 127.0.0.1:{port} http2;
    listen 127.0.0.1:{tls_port} ssl http2;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    root {root};
    location / { return 200 "$request_method $request_uri"; }
    location = /connection { return 200 "$connection $connection_requests"; }
    location /files/ { dav_methods PUT; client_max_body_size 0; client_body_buffer_size 1m; }
    location /small/ { dav_methods PUT; client_max_body_size 64k; }
    location /behind/ {
        proxy_pass http://127.0.0.1:{behind}/;
        proxy_http_version 1.1;
        proxy_request_buffering off;
        client_max_body_size 0;
    }
}
server {
    listen 127.0.0.1:{few_port} http2;
    listen 127.0.0.1:{few_tls_port} ssl http2;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    keepalive_requests 5;
    location / { return 200 "$request_method $request_uri"; }
}
server {
    listen 127.0.0.1:{old_port} ssl;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    location / { return 200 "$server_protocol"; }
}
"""

HAPROXY = """
global
    log stderr format raw daemon notice
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port} proto h2
    bind 127.0.0.1:{tls_port} ssl crt {root}/server.pem alpn h2,http/1.1
    http-request return status 200 content-type text/plain lf-string "%[method] %[path]" if {{ path_beg /n/ }}
    default_backend behind
backend behind
    server node 127.0.0.1:{behind}
"""


_HTTP2 = {field.name for field in fields(gun.Http2Options)}


class Http2Case(ServerCase):
    """
    A test against a real server, with one `core`.

    `urls` are where the server speaks HTTP/2 by prior knowledge and over TLS; every test is made with both.
    """

    timeout = 60
    #: Which core of HTTP/2 is tested: "own", or "h2" for the reference.
    core = "own"
    #: Where the application of http2.js is, on the server.
    application = ""

    async def setUp(self) -> None:  # type: ignore[override]
        self.root = temporary_directory(self)
        self.root.chmod(0o755)
        (self.root / "files").mkdir()
        issued = authority().issue("127.0.0.1")
        pem = {"server": issued.pem, "certificate": issued.certificate_pem, "key": issued.key_pem, "authority": authority().pem}
        for name, content in pem.items():
            (self.root / f"{name}.pem").write_bytes(content)
        self.urls = await self.serve()

    async def serve(self) -> list[str]:
        """Start what is needed; the URLs of the server."""
        raise NotImplementedError

    def numbered(self, number: int) -> tuple[str, bytes]:
        """A path and the content that a GET of it has; another for each number, or at least for each of a hundred."""
        return f"/n/{number}", b"GET /n/%d" % number

    def open(self, url: str, **options: Any) -> gun.Connection:
        """A connection to `url`, which is closed when the test is over; `options` of HTTP/2 may stand among the others."""
        http2_opts = {name: options.pop(name) for name in _HTTP2 & options.keys()}
        protocols = ["http2"] if url.startswith("http:") else ["http2", "http"]
        tls_opts = {"trust_root": str(self.root / "authority.pem")}
        opts: dict[str, Any] = {"protocols": protocols, "http2_opts": {"core": self.core, **http2_opts}, "tls_opts": tls_opts}
        conn = gun.open_url(url, **{**opts, **options})
        self.addCleanup(close, conn)
        return conn

    async def connect(self, url: str, **options: Any) -> gun.Connection:
        """The same, when it is up."""
        conn = self.open(url, **options)
        self.assertEqual(await conn.await_up(), "http2")
        return conn

    async def start_node(self, file: Path | None = None) -> dict[str, str]:
        """Start node with http2.js; its URLs by their names there. `file` is what it serves as "/file"."""
        paths = [str(self.root / "key.pem"), str(self.root / "certificate.pem"), str(file)]
        ports = json.loads(await node(self, *paths, script="http2.js").start())
        return {name: f"http{'s' if name == 'secure' else ''}://127.0.0.1:{port}" for name, port in ports.items()}

    def ports(self) -> dict[str, int]:
        """Ports for a server, by the names that configurations have for them."""
        return {name: free_port() for name in ("port", "tls_port", "few_port", "few_tls_port", "old_port")}


class NodeCase(Http2Case):
    """node's http2; at `few` it takes ten streams at a time, and at `old` it speaks HTTP/1.1."""

    skip = missing("node", "nodejs")

    async def serve(self) -> list[str]:
        urls = await self.start_node(self.root / "files" / "source")
        self.few, self.old = urls["few"], urls["behind"]
        return [urls["plain"], urls["secure"]]


class NghttpdCase(Http2Case):
    """nghttpd, which serves a hundred files from `files` and sends back what is posted to it."""

    skip = missing("nghttpd", "nghttp2-server")
    #: What it is started with, besides.
    arguments: tuple[str, ...] = ("--echo-upload",)

    async def serve(self) -> list[str]:
        ports = self.ports()
        for number in range(100):
            (self.root / "files" / str(number)).write_bytes(b"file %d" % number)
        urls = [f"http://127.0.0.1:{ports['port']}", f"https://127.0.0.1:{ports['tls_port']}"]
        await self.nghttpd(ports["port"], "--no-tls").start()
        await self.nghttpd(ports["tls_port"], pem=("key", "certificate")).start()
        return urls

    def nghttpd(self, port: int, *arguments: str, pem: tuple[str, ...] = ()) -> Nghttpd:
        """An nghttpd that is not started yet."""
        paths = [str(self.root / f"{name}.pem") for name in pem]
        return Nghttpd(self, port, [*self.arguments, *arguments, "-d", str(self.root / "files"), str(port), *paths])

    def numbered(self, number: int) -> tuple[str, bytes]:
        return f"/{number % 100}?{number}", b"file %d" % (number % 100)


class NginxCase(Http2Case):
    """
    nginx, with the application in node behind it where a test needs that.

    At `few` it goes away after five requests; at `old` it speaks HTTP/1.1, over TLS.
    """

    skip = missing_nginx("http_v2_module", "http_ssl_module", "http_dav_module")
    application = "/behind"
    master = False

    async def serve(self) -> list[str]:
        ports = self.ports()
        settings = NGINX
        for name, value in {**ports, "behind": await self.behind()}.items():
            settings = settings.replace(f"{{{name}}}", str(value))
        self.nginx = Nginx(self, settings, master=self.master)
        self.files = self.nginx.root / "files"
        self.files.mkdir()
        (self.nginx.root / "small").mkdir()
        (self.nginx.root / "server.pem").write_bytes((self.root / "server.pem").read_bytes())
        await self.nginx.start()
        self.few = [f"http://127.0.0.1:{ports['few_port']}", f"https://127.0.0.1:{ports['few_tls_port']}"]
        self.old = f"https://127.0.0.1:{ports['old_port']}"
        return [f"http://127.0.0.1:{ports['port']}", f"https://127.0.0.1:{ports['tls_port']}"]

    async def behind(self) -> int:
        """The port of what is behind it."""
        return free_port()


class HAProxyCase(Http2Case):
    """HAProxy, which answers what is numbered itself; for the rest there is node behind it, over HTTP/1.1."""

    skip = missing("haproxy", "haproxy") or missing("node", "nodejs")

    async def serve(self) -> list[str]:
        ports = self.ports()
        behind = (await self.start_node(self.root / "files" / "source"))["behind"].rsplit(":", 1)[1]
        config = self.root / "haproxy.cfg"
        config.write_text(HAPROXY.format(**ports, behind=behind, root=self.root))
        await Server(self, ("haproxy", "-W", "-db", "-f", str(config)), b"Loading success").start()
        return [f"http://127.0.0.1:{ports['port']}", f"https://127.0.0.1:{ports['tls_port']}"]


class Nghttpd(Server):
    """nghttpd on `port`. It does not say when it is ready: that is known from a connection that comes up."""

    def __init__(self, case: TestCase, port: int, arguments: list[str]) -> None:
        super().__init__(case, ("nghttpd", "-a", "127.0.0.1", *arguments), b"it took a connection")
        self._port = port

    def start(self) -> Deferred[bytes]:
        starting = super().start()
        self._knock()
        return starting

    def _knock(self) -> None:
        from twisted.internet import reactor

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port)
        endpoint.connect(Factory.forProtocol(Protocol)).addCallbacks(self._opened, self._refused)

    def _opened(self, visitor: Any) -> None:
        visitor.transport.abortConnection()
        self.outReceived(self._ready)

    def _refused(self, _: object) -> None:
        from twisted.internet import reactor

        timed: Any = reactor
        if self._running:
            timed.callLater(0.01, self._knock)
