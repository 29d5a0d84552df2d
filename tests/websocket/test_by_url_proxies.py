"""Requests by URL through a proxy: the option ``proxy``, and what the proxy and the origin get to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

import twisted_gun as gun
from tests.certificates import Authority, ServerCreator, authority
from tests.websocket.servers import ByUrlCase, Servers, answer
from twisted_gun.testing import MemoryEndpoint, WebsocketPeer
from twisted_gun.testing.proxies import ProxyFactory
from twisted_gun.websocket import attach
from twisted_gun.websocket.by_url import Request

SECRET = "pa55word"
CREDENTIALS = "Basic YW5uOnBhNTV3b3Jk"  # ann and SECRET
PROXY = ("proxy.example", 3128)


class Network(Clock):
    """A reactor whose connections are made in memory, by host and port."""

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self._servers = servers

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float | None = None, bindAddress: Any = None) -> Any:
        """As a reactor does."""
        return self._servers.endpoint(host, port).connect(factory)


class ProxyTests(ByUrlCase):
    """Option ``proxy`` of ``connect_options``."""

    def setUp(self) -> None:
        super().setUp()
        servers = self.servers
        servers.clock = Network(servers)
        self.proxy = ProxyFactory("http", servers.endpoint)
        servers.endpoints[PROXY] = MemoryEndpoint(self.proxy, clock=servers.clock)

    def request(self, url: str, scheme: str = "http", **options: Any) -> Request:
        """A request through the proxy."""
        connect = {"proxy": (scheme, *PROXY, options.pop("of_proxy", [])), **options.pop("connect_options", {})}
        return attach(url=url, reactor=self.servers.clock, connect_options=connect, **options)

    def test_websocket(self) -> None:
        """A websocket goes through a tunnel, and is one as any other; the proxy was told what is for it, and the origin was not."""
        self.servers.serve("origin.example", 80, lambda: WebsocketPeer(echo=True))
        headers = {"proxy-authorization": CREDENTIALS, "x-proxy": "yes"}
        self.proxy.credentials = ("ann", SECRET)
        request = self.request("ws://origin.example/chat", connect_options={"proxy_headers": headers}, headers={"x-origin": "yes"})
        response = self.got(request.get())
        (tunnel,) = self.proxy.tunnels
        self.assertEqual((tunnel.host, tunnel.port, tunnel.user, tunnel.status), ("origin.example", 80, "ann", 200))
        self.assertEqual((dict(tunnel.headers)[b"x-proxy"], b"x-origin" in dict(tunnel.headers)), (b"yes", False))
        seen = self.servers.requests()[0][2]
        self.assertEqual((seen[b"x-origin"], b"x-proxy" in seen, b"proxy-authorization" in seen), (b"yes", False, False))
        received = response.receive()
        self.successResultOf(response.send_frame(gun.Text("hello")))
        self.servers.advance()
        event: Any = self.successResultOf(received)
        self.assertEqual(response.parse_message(event), [gun.Text("hello")])
        closing = response.close()
        self.servers.advance()
        self.successResultOf(closing)
        self.assert_nothing_left()

    def test_tls(self) -> None:
        """With wss, TLS is with the origin; with an https proxy there is TLS with that too, by its own `transport_opts`."""
        clock = self.servers.clock
        origin = ServerCreator(authority().issue("origin.example"))
        self.servers.serve("origin.example", 443, WebsocketPeer, tls=origin)
        own = ServerCreator(authority("the proxy's").issue("proxy.example"))
        self.servers.endpoints[PROXY] = MemoryEndpoint(TLSMemoryBIOFactory(own, False, self.proxy, clock=clock), clock=clock)
        of_proxy = {"transport_opts": {"trust_root": self.pem(authority("the proxy's"))}}
        trusting = {"transport_opts": {"trust_root": self.pem(authority())}}
        response = self.got(self.request("wss://origin.example/", "https", of_proxy=of_proxy, connect_options=trusting).get())
        self.assertTrue(response.upgraded)
        self.assertEqual((origin.server_names, own.server_names), ([b"origin.example"], [b"proxy.example"]))
        response.abort()
        self.failed(self.request("wss://origin.example/", "https", connect_options=trusting, retry=False).get(), gun.TlsFailed)
        self.assert_nothing_left()

    def pem(self, trusted: Authority) -> str:
        """The path of an authority."""
        path = Path(self.mktemp())
        path.write_bytes(trusted.pem)
        return str(path)

    def test_page(self) -> None:
        """A page of http is asked of the proxy itself, with the fields for it, which the origin does not get to see."""

        self.servers.serve("origin.example", 80, answer(200, body=b"hello"))
        headers = {"proxy-authorization": CREDENTIALS}
        self.proxy.credentials = ("ann", SECRET)
        response = self.got(self.request("http://origin.example/page", connect_options={"proxy_headers": headers}).get())
        self.assertEqual((response.status, response.body), (200, b"hello"))
        self.assertEqual([request.target for request in self.proxy.requests], [b"http://origin.example/page"])
        self.assertEqual((self.proxy.tunnels, b"proxy-authorization" in self.servers.requests()[0][2]), ([], False))
        self.assert_nothing_left()

    def test_redirect(self) -> None:
        """Another origin, to which a redirect leads, is reached through the proxy as well."""
        self.servers.serve("origin.example", 80, answer(302, "location: ws://other.example/"))
        self.servers.serve("other.example", 80, WebsocketPeer)
        response = self.got(self.request("ws://origin.example/").get())
        self.assertEqual(response.url, "ws://other.example/")
        self.assertEqual([tunnel.host for tunnel in self.proxy.tunnels], ["origin.example", "other.example"])
        response.abort()
        self.assert_nothing_left()

    def test_refused(self) -> None:
        """A proxy that refuses fails the request, which is not tried again: it would be refused again."""
        self.servers.serve("origin.example", 80, WebsocketPeer)
        self.proxy.refuse = 403
        problem = self.failed(self.request("ws://origin.example/").get(), gun.ProxyFailed)
        self.assertEqual((problem.status, len(self.proxy.tunnels)), (403, 1))
        self.assert_nothing_left()

    def test_time(self) -> None:
        """A proxy that does not answer is given up after `tunnel_timeout` of its options."""
        self.servers.serve("origin.example", 80, WebsocketPeer).hang()
        asking = self.request("ws://origin.example/", of_proxy={"tunnel_timeout": 2.0}, retry=False).get()
        self.servers.advance()
        self.servers.advance(2.0)
        problem = self.failed(asking, gun.TimedOut)
        self.assertEqual((problem.stage, problem.seconds), ("tunnel", 2.0))
        self.assert_nothing_left()
