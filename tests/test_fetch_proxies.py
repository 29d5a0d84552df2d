"""``get`` through proxies: which way it goes, what is told of that, and what their failures end with."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.test_fetch import FetchCase, Server
from twisted_gun.exits import Exit, explain
from twisted_gun.testing.proxies import ProxyConnection, ProxyFactory

#: Where the origin is; only the proxies know it.
HOST = "origin.example"
SECRET = "pa55word"


class Proxies(ProxyFactory):
    """A proxy; `gone` has a Deferred for each connection to it, which fires when that is lost."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gone: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> ProxyConnection:
        gone: Deferred[None] = Deferred()
        self.gone.append(gone)

        class Connection(ProxyConnection):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                gone.callback(None)

        self.connections.append(Connection(self))
        return self.connections[-1]


class Greeting(Protocol):
    """Speaks first, and neither TLS nor HTTP."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"220 mail.example ready\r\n")


class ProxiesCase(FetchCase):
    """An origin with TLS at `url`, and one without at `plain_url`, both of which only proxies reach."""

    def setUp(self) -> None:
        super().setUp()
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                self.patch(os, "environ", {other: value for other, value in os.environ.items() if other != name})
        self.server = Server()
        self.pem = self.folder.with_suffix(".pem")
        self.pem.write_bytes(authority().pem)
        plain = self.listen(self.reactor.listenTCP, 0, self.server, interface="127.0.0.1")
        self.plain_url = f"http://{HOST}:{plain}/path"
        self.url = f"https://{HOST}:{self.over_tls(self.server, HOST)}/path"

    def over_tls(self, factory: Any, name: str, **choose: Any) -> int:
        """The port where `factory` serves behind TLS, with a certificate for `name`."""
        wrapped = TLSMemoryBIOFactory(ServerCreator(authority().issue(name), **choose), False, factory)
        return self.listen(self.reactor.listenTCP, 0, wrapped, interface="127.0.0.1")

    def proxy(self, kind: str, **options: Any) -> str:
        """Host and port of a new proxy, which is `factory`."""
        self.factory = self.make(kind, **options)
        return f"127.0.0.1:{self.listen(self.reactor.listenTCP, 0, self.factory, interface='127.0.0.1')}"

    def make(self, kind: str, **options: Any) -> Proxies:
        """A proxy that finds all names on this machine."""
        made = Proxies(kind, lambda host, port: TCP4ClientEndpoint(self.reactor, "127.0.0.1", port), **options)
        self.addCleanup(lambda: gatherResults(made.gone))
        return made

    def greeting(self) -> int:
        """The port of what is no proxy."""
        return self.listen(self.reactor.listenTCP, 0, Factory.forProtocol(Greeting), interface="127.0.0.1")

    def unused(self) -> int:
        """A port where nobody listens."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port: int = taken.getsockname()[1]
            return port

    async def get(self, url: str | None = None, *proxies: str, **order: Any) -> int:
        """Fetch through these, trusting the servers unless told otherwise."""
        return await super().get(url, **{"cacert": str(self.pem), "proxies": proxies, **order})


class ProxiesTests(ProxiesCase):
    """Which way it goes."""

    async def test_tunnel(self) -> None:
        """A URL of https is got through a tunnel, by each kind of proxy, and -v says which way that is."""
        for kind, scheme in (("http", "http"), ("socks5", "socks5")):
            where = self.proxy(kind)
            self.assertEqual(await self.get(None, f"{scheme}://{where}", verbose=True), 0, self.stderr.getvalue())
            self.assertEqual([(tunnel.host, tunnel.status) for tunnel in self.factory.tunnels], [(HOST, 200 if kind == "http" else 0)])
            self.assertIn(f", through {where}\n", self.stderr.getvalue())
        self.assertEqual(self.stdout.getvalue(), b"hello" * 2)

    async def test_https_proxy(self) -> None:
        """With the proxy there is TLS, whose authorities are those of --cacert, and HTTP/2 if it chooses that."""
        factory = self.make("http2+http")
        port = self.over_tls(factory, "127.0.0.1", choose=lambda offered: b"h2")
        self.assertEqual(await self.get(None, f"https://127.0.0.1:{port}"), 0, self.stderr.getvalue())
        self.assertEqual([connection.protocol for connection in factory.connections], ["http2"])

    async def test_chain(self) -> None:
        """Each is reached through the one before it."""
        first, first_factory = self.proxy("http"), self.factory
        second = self.proxy("socks5")
        self.assertEqual(await self.get(None, f"http://{first}", f"socks5://{second}", verbose=True), 0)
        self.assertEqual([tunnel.host for tunnel in (*first_factory.tunnels, *self.factory.tunnels)], ["127.0.0.1", HOST])
        self.assertIn(f", through {first}, then {second}\n", self.stderr.getvalue())

    async def test_absolute(self) -> None:
        """A URL of http is asked of the proxy itself, as curl does; but through SOCKS, and where HTTP/2 is to be spoken, by a tunnel."""
        where = self.proxy("http")
        self.assertEqual(await self.get(self.plain_url, f"http://{where}"), 0)
        self.assertEqual([request.target for request in self.factory.requests], [self.plain_url.encode()])
        self.assertEqual(self.factory.tunnels, [])
        self.assertTrue(self.server.asked[0].startswith(b"GET /path HTTP/1.1\r\n"))
        await self.get(self.plain_url, f"http://{where}", protocol="http2")
        self.assertEqual([tunnel.host for tunnel in self.factory.tunnels], [HOST])
        self.assertEqual(await self.get(self.plain_url, f"socks5://{self.proxy('socks5')}"), 0)

    async def test_environment(self) -> None:
        """With env it is that of the environment, but for what no_proxy holds; without, the environment has no say."""
        where = self.proxy("http")
        self.patch(os, "environ", {**os.environ, "https_proxy": f"http://{where}", "no_proxy": "127.0.0.1"})
        self.assertEqual(await self.get(None, "env"), 0)
        self.assertEqual(len(self.factory.tunnels), 1)
        port = self.listen(self.reactor.listenTCP, 0, self.server, interface="127.0.0.1")
        self.assertEqual(await self.get(f"http://127.0.0.1:{port}/", "env"), 0)
        self.assertEqual((len(self.factory.tunnels), self.factory.requests), (1, []))
        self.assertEqual(await self.get(f"http://127.0.0.1:{port}/"), 0)

    async def test_credentials(self) -> None:
        """They are in the URL, are given to the proxy, and are not shown."""
        for kind, scheme in (("http", "http"), ("socks5", "socks5")):
            where = self.proxy(kind, credentials=("ann", SECRET))
            self.assertEqual(await self.get(None, f"{scheme}://ann:{SECRET}@{where}", verbose=True), 0, self.stderr.getvalue())
            self.assertEqual(await self.get(None, f"{scheme}://ann:{SECRET}1@{where}", verbose=True), 97)
        self.assertNotIn(SECRET, self.stderr.getvalue())


class FailuresTests(ProxiesCase):
    """What goes wrong."""

    async def test_refused(self) -> None:
        """A proxy that makes no tunnel is 97, as with curl, and which proxy and why is said."""
        for kind, scheme, options, told in (
            ("http", "http", {"refuse": 403}, "answered 403"),
            ("http", "http", {"credentials": ("ann", "b")}, "answered 407"),
            ("socks5", "socks5", {"refuse": 2}, "its rules do not allow"),
            ("socks5", "socks5", {"credentials": ("ann", "b")}, "give username and password"),
        ):
            where = self.proxy(kind, **options)
            self.assertEqual(await self.get(None, f"{scheme}://{where}"), 97)
            self.assert_told(f"the proxy {where} made no tunnel to {HOST}:", told)
            self.stderr.truncate(0)
            self.stderr.seek(0)
        self.assertEqual(self.server.asked, [])

    async def test_no_proxy_there(self) -> None:
        """Where no connection to the proxy can be made it is 7; where it is none, 97."""
        self.assertEqual(await self.get(None, f"http://127.0.0.1:{self.unused()}"), 7)
        self.assert_told("the proxy 127.0.0.1:", "connection refused")
        self.stderr.truncate(0)
        self.stderr.seek(0)
        self.assertEqual(await self.get(None, f"http://127.0.0.1:{self.greeting()}"), 97)
        self.assert_told("the proxy 127.0.0.1:", "is there a proxy of this kind at this address?")

    async def test_nobody_behind(self) -> None:
        """Where the proxy does not reach the server it is 97 as well."""
        self.assertEqual(await self.get(f"https://{HOST}:{self.unused()}/", f"http://{self.proxy('http')}"), 97)
        self.assert_told("answered 502")

    async def test_no_answer(self) -> None:
        """A proxy that does not answer is 28, after --connect-timeout."""
        silent = Server()
        silent.answer = b""
        port = self.listen(self.reactor.listenTCP, 0, silent, interface="127.0.0.1")
        self.assertEqual(await self.get(None, f"http://127.0.0.1:{port}", connect_timeout=0.05), 28)
        self.assert_told("the proxy 127.0.0.1:", "within 0.05 seconds", "raise --connect-timeout")

    async def test_certificates(self) -> None:
        """A certificate that is refused is 60, the proxy's or the server's, and which of them is said; --insecure is for the server's."""
        port = self.over_tls(self.make("http"), "elsewhere.example")
        for insecure in (False, True):
            self.assertEqual(await self.get(None, f"https://127.0.0.1:{port}", insecure=insecure), 60)
            self.assert_told(f"the proxy 127.0.0.1:{port}: the certificate", "--cacert")
            self.assertNotIn("--insecure", self.stderr.getvalue())
            self.stderr.truncate(0)
            self.stderr.seek(0)
        where = f"http://{self.proxy('http')}"
        other = f"https://{HOST}:{self.over_tls(self.server, 'elsewhere.example')}/"
        self.assertEqual(await self.get(other, where), 60)
        self.assert_told("twisted-gun: the certificate of", "elsewhere.example", "--insecure")
        self.assertEqual(self.server.asked, [])
        self.assertEqual(await self.get(other, where, insecure=True), 0)

    async def test_no_tls_there(self) -> None:
        """A proxy that does not speak TLS though its URL says so is 35."""
        self.assertEqual(await self.get(None, f"https://127.0.0.1:{self.greeting()}"), 35)
        self.assert_told("the proxy 127.0.0.1:", "check that its port is for https")

    async def test_unusable(self) -> None:
        """A URL that names no proxy is 3, and what might be a password in it is not shown; nor can there be one to a UNIX socket."""
        for proxies in ((f"ftp://ann:{SECRET}@proxy.example",), ("http://proxy.example:0",), ("env", "http://proxy.example"), ("proxy",)):
            self.assertEqual(await self.get(None, *proxies), 3)
            self.assert_told("--proxy: expected")
            self.assertNotIn(SECRET, self.stderr.getvalue())
            self.stderr.truncate(0)
            self.stderr.seek(0)
        self.assertEqual(await self.get(None, "http://proxy.example", unix="socket"), 3)
        self.assert_told("--proxy: expected to be left out for a UNIX socket")


class ExplainTests(SynchronousTestCase):
    """`explain`, of what is hard to bring about."""

    def test_lookup(self) -> None:
        """The name of a proxy that has no address is 5, as with curl, and that of a server 6."""
        from twisted.internet.error import DNSLookupError

        from twisted_gun.net.refusals import unreached

        failed = gun.ConnectFailed("proxy.example:3128: no address found", DNSLookupError("no"))
        told = unreached("proxy.example:3128", failed)
        for error, status in ((failed, Exit.LOOKUP), (told, Exit.PROXY_LOOKUP), (gun.ConnectFailed("gave up", told), Exit.PROXY_LOOKUP)):
            self.assertEqual(explain(error)[0], status, error)
