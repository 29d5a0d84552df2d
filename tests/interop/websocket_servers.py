"""Servers of websockets, and websockets to them, for the tests of websockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import twisted_gun as gun
from tests.interop.http2 import Http2Case
from tests.interop.servers import Nginx, Server, free_port, missing, missing_module, missing_nginx, node, python

__all__ = ["HAProxyCase", "HypercornCase", "NginxCase", "NodeCase", "Place", "PythonCase", "WebsocketCase", "WsCase"]

HAPROXY = """
global
    log stderr format raw daemon notice
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{h2_port} proto h2
    bind 127.0.0.1:{tls_port} ssl crt {root}/server.pem alpn h2,http/1.1
    default_backend behind
backend behind
    server behind 127.0.0.1:{behind}
"""

NGINX = """
server {
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl http2;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    location / {
        proxy_pass http://127.0.0.1:{behind};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where websockets are to be had: at `url`, over `protocol`."""

    url: str
    protocol: str = "http"


class WebsocketCase(Http2Case):
    """A test against a real server of websockets, at all its `places`, with the core `ws_core`."""

    #: Which core of websockets is tested: "own" or "wsproto".
    ws_core = "own"
    #: Whether permessage-deflate is offered, and whether this server takes it.
    compress = False
    deflates = False

    async def serve(self) -> list[str]:
        self.places = await self.start()
        return [place.url for place in self.places]

    async def start(self) -> list[Place]:
        """Start what is needed; where the server is."""
        raise NotImplementedError

    def connection(self, place: Place, **options: Any) -> gun.Connection:
        """A connection to this place, which is closed when the test is over."""
        return self.open(place.url, protocols=[place.protocol], **options)

    def upgrade(self, conn: gun.Connection, path: str, headers: Any = (), **ws_opts: Any) -> gun.Stream:
        """A websocket asked for on this connection."""
        return conn.ws_upgrade(path, headers, ws_opts={"core": self.ws_core, "compress": self.compress, **ws_opts})

    async def websocket(self, place: Place, path: str = "/echo", **ws_opts: Any) -> gun.Stream:
        """A websocket on a connection of its own, when it is one."""
        stream = self.upgrade(self.connection(place), path, **ws_opts)
        await stream.await_upgrade()
        return stream

    async def frame(self, stream: gun.Stream) -> Any:
        """The next frame."""
        event = await stream.await_event()
        assert isinstance(event, gun.Ws), event
        return event.frame

    async def message(self, stream: gun.Stream) -> Any:
        """The next frame, which must be a message: what is in it."""
        frame = await self.frame(stream)
        assert isinstance(frame, (gun.Text, gun.Binary)), frame
        return frame.text if isinstance(frame, gun.Text) else frame.data

    async def start_websocket_js(self) -> dict[str, int]:
        """The ports of websocket.js, by their names there."""
        arguments = [str(self.root / "key.pem"), str(self.root / "certificate.pem")]
        ports: dict[str, int] = json.loads(await node(self, *arguments, script="websocket.js").start())
        return ports


class NodeCase(WebsocketCase):
    """node, with frames made by hand, over HTTP/1.1 and HTTP/2."""

    skip = missing("node", "nodejs")

    async def start(self) -> list[Place]:
        self.ports_of_node = ports = await self.start_websocket_js()
        return [
            Place(url=f"http://127.0.0.1:{ports['http']}"),
            Place(url=f"https://127.0.0.1:{ports['https']}"),
            Place(url=f"http://127.0.0.1:{ports['h2c']}", protocol="http2"),
            Place(url=f"https://127.0.0.1:{ports['h2']}", protocol="http2"),
        ]


class WsCase(WebsocketCase):
    """The package ws in node, over HTTP/1.1 and, translated, HTTP/2."""

    skip = missing("node", "nodejs")
    deflates = True

    async def start(self) -> list[Place]:
        ports = await self.start_websocket_js()
        if "ws" not in ports:
            self.skipTest("NODE'S PACKAGE ws IS NOT INSTALLED: nothing was tested against it (on Debian: apt-get install node-ws)")
        return [
            Place(url=f"http://127.0.0.1:{ports['ws']}"),
            Place(url=f"https://127.0.0.1:{ports['wss']}"),
            Place(url=f"http://127.0.0.1:{ports['ws2']}", protocol="http2"),
        ]


class PythonCase(WebsocketCase):
    """A server of websocket.py, by the name of its package; over HTTP/1.1, in the clear and over TLS."""

    package = ""
    protocols: Sequence[str] = ("http",)
    deflates = True

    async def start(self) -> list[Place]:
        reason = missing_module(self.package)
        if reason is not None:
            self.skipTest(reason)
        arguments = [self.package, str(self.root / "key.pem"), str(self.root / "certificate.pem"), *["compress"] * self.compress]
        ports = json.loads(await python(self, "websocket.py", *arguments).start())
        urls = [f"http://127.0.0.1:{ports['plain']}", f"https://127.0.0.1:{ports['secure']}"]
        return [Place(url=url, protocol=protocol) for protocol in self.protocols for url in urls]


class HypercornCase(PythonCase):
    """hypercorn, over HTTP/1.1 and HTTP/2."""

    package = "hypercorn"
    protocols = ("http", "http2")


class HAProxyCase(WebsocketCase):
    """HAProxy, which makes HTTP/1.1 of HTTP/2; node behind it."""

    skip = missing("haproxy", "haproxy") or missing("node", "nodejs")

    async def start(self) -> list[Place]:
        ports = {"port": free_port(), "h2_port": free_port(), "tls_port": free_port()}
        behind = (await self.start_websocket_js())["http"]
        config = self.root / "haproxy.cfg"
        config.write_text(HAPROXY.format(**ports, behind=behind, root=self.root))
        await Server(self, ("haproxy", "-W", "-db", "-f", str(config)), b"Loading success").start()
        return [
            Place(url=f"http://127.0.0.1:{ports['port']}"),
            Place(url=f"https://127.0.0.1:{ports['tls_port']}"),
            Place(url=f"http://127.0.0.1:{ports['h2_port']}", protocol="http2"),
            Place(url=f"https://127.0.0.1:{ports['tls_port']}", protocol="http2"),
        ]


class NginxCase(WebsocketCase):
    """nginx, which hands on upgrades of HTTP/1.1, and knows none over HTTP/2 (`tls_port`); node behind it."""

    skip = missing_nginx("http_v2_module", "http_ssl_module") or missing("node", "nodejs")

    async def start(self) -> list[Place]:
        ports = {"port": free_port(), "tls_port": free_port(), "behind": (await self.start_websocket_js())["http"]}
        settings = NGINX
        for name, port in ports.items():
            settings = settings.replace(f"{{{name}}}", str(port))
        nginx = Nginx(self, settings)
        (nginx.root / "server.pem").write_bytes((self.root / "server.pem").read_bytes())
        await nginx.start()
        return [Place(url=f"http://127.0.0.1:{ports['port']}"), Place(url=f"https://127.0.0.1:{ports['tls_port']}")]
