"""`twisted_gun.endpoints`: what is checked, what strings describe, and Twisted's own protocols through real proxies on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor, tcp
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    wrapClientTLS,
)
from twisted.internet.error import ConnectingCancelledError, ConnectionDone
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.mail import imap4
from twisted.plugin import IPlugin, getPlugins
from twisted.protocols import amp
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from twisted_gun.endpoints import HttpConnectEndpoint, HttpProxy, Socks5Endpoint
from twisted_gun.options import ProxyUrl
from twisted_gun.testing.proxies import ProxyFactory

DESTINATION = ("origin.example", 443)


class HttpChecks(SynchronousTestCase):
    """What `HttpConnectEndpoint` and `HttpProxy` say at once; nothing is dialled."""

    make: Callable[..., Any] = HttpConnectEndpoint
    url = "http://proxy.example:3128"
    secure = "https://proxy.example:3128"
    wrong: tuple[Any, ...] = (
        "socks5://proxy.example",
        "ftp://proxy.example",
        "proxy.example:3128",
        "env",
        "",
        b"http://",
        "http://proxy.example/path",
    )

    def endpoint(self, proxy: Any = None, host: Any = DESTINATION[0], port: Any = DESTINATION[1], **options: Any) -> Any:
        """One through `proxy`."""
        return type(self).make(Clock(), self.url if proxy is None else proxy, host, port, **options)

    def refuses(self, option: str, *words: str, **arguments: Any) -> None:
        """It raises OptionError for that option, in these words."""
        problem = self.assertRaises(gun.OptionError, self.endpoint, **arguments)
        self.assertEqual(problem.option, option)
        for word in words:
            self.assertIn(word, str(problem))

    def test_endpoint(self) -> None:
        """It is an endpoint, with a destination, and its repr shows no credentials."""
        user = self.url.replace("://", "://ann:secretword@")
        for proxy in (user, user.encode(), self.url, TCP4ClientEndpoint(Clock(), "proxy.example", 3128)):
            endpoint = self.endpoint(proxy)
            verifyObject(IStreamClientEndpoint, endpoint)
            self.assertEqual((endpoint.destination.hostname, endpoint.destination.port), (b"origin.example", 443))
            self.assertEqual(repr(endpoint), f"<{type(endpoint).__name__} origin.example:443 through proxy.example:3128>")

    def test_name_of_endpoint(self) -> None:
        """A proxy behind an endpoint is named by what that says of itself, or by its class."""
        wrapped = HostnameEndpoint(reactor, "proxy.example", 3128)
        self.assertIn("HostnameEndpoint proxy.example:3128", repr(self.endpoint(wrapped)))
        self.assertIn("through _Nothing>", repr(self.endpoint(_Nothing())))

    def test_proxy(self) -> None:
        """A URL of another kind, and what is none and no endpoint either."""
        for url in self.wrong:
            self.refuses("proxy", proxy=url)
        for thing in (7, object(), ["http://proxy.example"]):
            self.refuses("proxy", "a URL, or an IStreamClientEndpoint", proxy=thing)

    def test_destination(self) -> None:
        """Where it cannot lead."""
        self.assertRaises(gun.InvalidRequest, self.endpoint, host="no host")
        for port in (0, 65536, "443", None):
            self.refuses("port", port=port)

    def test_timeout(self) -> None:
        """A timeout is a number of seconds, or None."""
        for timeout in (-1, "5", True, float("nan")):
            self.refuses("timeout", "seconds", timeout=timeout)
        self.endpoint(timeout=None)

    def test_credentials(self) -> None:
        """Both or neither, of what can be sent, given once; none is ever shown."""
        self.refuses("password", "both, or neither", username="ann")
        self.refuses("username", "both, or neither", password="secretword")
        self.refuses("password", username="ann", password=7)
        user = self.url.replace("://", "://ann:secretword@")
        self.refuses("username", "URL of the proxy has credentials", proxy=user, username="ann", password="b")
        self._refuses_contents()
        for proxy in (self.url, _Nothing()):
            endpoint = self.endpoint(proxy, username="ann", password=b"b")
            self.assertEqual((endpoint.proxy.username, endpoint.proxy.password), (b"ann", b"b"))

    def _refuses_contents(self) -> None:
        self.refuses("username", "no colon", username="an:n", password="b")
        self.refuses("password", "no control characters", username="ann", password="b\n")
        self.endpoint(username="ann", password="b:c")

    def test_tls(self) -> None:
        """TLS options are for TLS with the proxy, where that is ours."""
        self.refuses("tls_opts", "is not https", tls_opts={})
        self.refuses("tls_opts", "wrapClientTLS", proxy=_Nothing(), tls_opts={})
        self.refuses("tls_opts.verify", proxy=self.secure, tls_opts={"verify": 1})
        self.refuses("tls_opts", "a dict or a TlsOptions", proxy=self.secure, tls_opts=7)
        self.endpoint(self.secure, tls_opts={"verify": False})


class HttpHeaderChecks(SynchronousTestCase):
    """Headers of a CONNECT, for each of both."""

    def test_headers(self) -> None:
        """What cannot be sent, or is for the origin's eyes only, raises when it is made."""
        url = "http://proxy.example"
        for headers in ({"authorization": "Basic x"}, {"cookie": "a=b"}, {"content-length": "3"}, {"x": "a\r\nb"}):
            self.assertRaises(gun.InvalidRequest, HttpConnectEndpoint, Clock(), url, *DESTINATION, headers=headers)
            self.assertRaises(gun.InvalidRequest, HttpProxy, Clock(), url, headers=headers)
        endpoint = HttpConnectEndpoint(Clock(), url, *DESTINATION, headers={"User-Agent": "x"})
        self.assertEqual(endpoint.proxy.headers, ((b"user-agent", b"x"),))


class HttpProxyChecks(HttpChecks):
    """`HttpProxy`, whose endpoints are made afterwards."""

    @staticmethod
    def make(clock: Any, proxy: Any, host: Any, port: Any, **options: Any) -> Any:
        """An endpoint of one."""
        shared = HttpProxy(clock, proxy, **options)
        assert "secretword" not in repr(shared)
        return shared.endpoint(host, port)


class SocksChecks(HttpChecks):
    """`Socks5Endpoint`."""

    make = Socks5Endpoint
    url = secure = "socks5://proxy.example:3128"
    wrong = ("http://proxy.example", "https://proxy.example", "socks4://proxy.example", "env", "socks5://ann:@proxy.example")

    def _refuses_contents(self) -> None:
        self.refuses("username", "1 to 255 bytes", username="", password="b")
        self.refuses("password", "1 to 255 bytes", username="ann", password="b" * 256)
        self.endpoint(username="an:n", password="b" * 255)

    def test_tls(self) -> None:
        """With TLS options there is TLS with the proxy, without them there is none."""
        self.refuses("tls_opts", "wrapClientTLS", proxy=_Nothing(), tls_opts={})
        self.refuses("tls_opts", "a dict or a TlsOptions", tls_opts=7)
        self.assertIsNotNone(self.endpoint(tls_opts={}).proxy.creator)
        self.assertIsNone(self.endpoint().proxy.creator)


class DescriptionTests(SynchronousTestCase):
    """What `clientFromString` makes of strings."""

    def described(self, description: Any) -> Any:
        """What a description makes."""
        return clientFromString(Clock(), description)

    def test_plugins(self) -> None:
        """Both kinds are found, once each."""
        plugins = [
            plugin for plugin in getPlugins(IStreamClientEndpointStringParserWithReactor) if plugin.prefix in ("http-connect", "socks5")
        ]
        self.assertEqual(sorted(plugin.prefix for plugin in plugins), ["http-connect", "socks5"])
        for plugin in plugins:
            verifyObject(IStreamClientEndpointStringParserWithReactor, plugin)
            verifyObject(IPlugin, plugin)

    def test_http(self) -> None:
        """By place or by name, as text or as bytes; the proxy by URL, with its credentials."""
        for description in (
            r"http-connect:example.org:993:proxy=http\://user\:secret@proxy.example\:3128",
            r"http-connect:host=example.org:port=993:proxy=http\://user\:secret@proxy.example\:3128:timeout=2.5",
            rb"http-connect:example.org:port=993:proxy=http\://proxy.example\:3128:username=user:password=secret",
            r"http-connect:example.org:993:http\://user\:secret@proxy.example\:3128",
        ):
            endpoint = self.described(description)
            self.assertEqual(repr(endpoint), "<HttpConnectEndpoint example.org:993 through proxy.example:3128>")
            self.assertEqual((endpoint.proxy.username, endpoint.proxy.password), (b"user", b"secret"))
            self.assertEqual(endpoint.proxy.tunnel_timeout, 2.5 if "timeout" in repr(description) else 10.0)

    def test_https(self) -> None:
        """TLS with the proxy, and whom to trust."""
        path = self.mktemp()
        Path(path).write_bytes(authority().pem)
        endpoint = self.described(rf"http-connect:example.org:993:proxy=https\://proxy.example:trustRoots={path}")
        self.assertEqual((endpoint.proxy.creator.host, endpoint.proxy.may_share), ("proxy.example", True))

    def test_socks(self) -> None:
        """Likewise for SOCKS."""
        for description in (
            r"socks5:example.org:993:proxy=socks5\://user\:secret@proxy.example\:3128",
            r"socks5:host=example.org:port=993:proxy=tcp\:proxy.example\:3128:username=user:password=secret",
        ):
            endpoint = self.described(description)
            self.assertEqual(repr(endpoint), "<Socks5Endpoint example.org:993 through proxy.example:3128>")
            self.assertEqual((endpoint.proxy.username, endpoint.proxy.password), (b"user", b"secret"))

    def test_behind_another(self) -> None:
        """The proxy may be described, too, even as one behind another."""
        first = r"socks5:second.example:8080:proxy=socks5\://first.example"
        endpoint = self.described(f"http-connect:example.org:993:proxy={quoteStringArgument(first)}")
        self.assertIn("second.example:8080 through first.example:1080", repr(endpoint))

    def test_bad(self) -> None:
        """What is wrong is said when the description is read."""
        for bad in (
            r"http-connect:example.org:imaps:proxy=http\://proxy.example",
            r"http-connect:example.org:99999:proxy=http\://proxy.example",
            r"http-connect:example.org:993:proxy=socks5\://proxy.example",
            r"http-connect:example.org:993:proxy=nothing\:proxy.example",
            r"socks5:example.org:993:proxy=socks5\://proxy.example:timeout=soon",
            r"socks5:example.org:993:proxy=socks5\://proxy.example:timeout=-1",
        ):
            self.assertRaises(ValueError, self.described, bad)
        for bad in (r"http-connect:example.org:993", r"socks5:example.org:993:proxy=socks5\://proxy.example:colour=red"):
            self.assertRaises(TypeError, self.described, bad)


class _Nothing:
    """An endpoint that leads nowhere."""

    def connect(self, protocolFactory: Any) -> Any:
        """Never called."""
        raise AssertionError("dialled")


class Sum(amp.Command):
    """Adds two numbers."""

    arguments: ClassVar[Any] = ((b"a", amp.Integer()), (b"b", amp.Integer()))
    response: ClassVar[Any] = ((b"total", amp.Integer()),)


class Adder(amp.AMP):
    """An AMP server."""

    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        """The sum."""
        return {"total": a + b}


class Mailbox(imap4.IMAP4Server):
    """An IMAP server that lets everybody in."""

    def authenticateLogin(self, user: bytes, passwd: bytes) -> Any:
        """An empty account."""
        return imap4.IAccount, imap4.MemoryAccount(user), lambda: None


class Mail(imap4.IMAP4Client):
    """An IMAP client that tells when it was greeted, and why it was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.greeted: Deferred[Any] = Deferred()
        self.lost: Deferred[Any] = Deferred()

    def serverGreeting(self, caps: Any) -> None:
        self.greeted.callback(caps)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.lost.callback(reason.value)


class RealCase(TestCase):
    """Servers and proxies on the loopback interface, by the reactor there is. The proxies lead there, whatever host they are asked for."""

    def setUp(self) -> None:
        self.reactor: Any = reactor
        self.accepted: list[Any] = []

    async def listen(self, factory: Any, *, tls: str | None = None, chosen: bytes | None = None) -> int:
        """The port where `factory` listens, over TLS with a certificate for `tls`."""
        factory.noisy = False
        if tls is not None:
            choose: Any = None if chosen is None else lambda offered: chosen
            factory = TLSMemoryBIOFactory(ServerCreator(authority().issue(tls), choose=choose), False, factory)
            factory.noisy = False
        port: Any = await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def proxy(self, kind: str, **options: Any) -> tuple[ProxyFactory, int]:
        """A proxy, and its port."""
        tls = {name: options.pop(name) for name in ("tls", "chosen") if name in options}
        factory = ProxyFactory(kind, lambda host, port: TCP4ClientEndpoint(self.reactor, "127.0.0.1", port), **options)
        return factory, await self.listen(factory, **tls)

    def trust(self) -> str:
        """The path of the authority's certificate, in a folder of its own."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "authority.pem"
        path.write_bytes(authority().pem)
        return str(path)

    async def end(self, *protocols: Any) -> None:
        """Close them, and wait until nothing is left of their connections."""
        for protocol in protocols:
            protocol.transport.loseConnection()
        await gone(self.reactor, lambda: not any(_sockets(self.reactor)))


def _sockets(reactor: Any) -> list[Any]:
    """The connections there are."""
    return [each for each in {*reactor.getReaders(), *reactor.getWriters()} if isinstance(each, tcp.Connection)]


async def gone(reactor: Any, over: Callable[[], bool]) -> None:
    """Let the reactor turn until it is `over`, which must not take long."""
    latest = reactor.seconds() + 20
    while not over():
        assert reactor.seconds() < latest, "it is not over"
        waited: Deferred[None] = Deferred()
        reactor.callLater(0, waited.callback, None)
        await waited


class RealTests(RealCase):
    """Twisted's own protocols."""

    async def adds(self, endpoint: Any) -> Any:
        """An AMP client, which has added."""
        client: Any = await connectProtocol(endpoint, amp.AMP())
        answer = await client.callRemote(Sum, a=19, b=23)
        self.assertEqual(answer, {"total": 42})
        return client

    async def test_amp_over_http(self) -> None:
        """AMP through CONNECT over HTTP/1.1."""
        origin = await self.listen(Factory.forProtocol(Adder))
        factory, port = await self.proxy("http", credentials=("ann", "b"))
        client = await self.adds(
            clientFromString(self.reactor, rf"http-connect:origin.example:{origin}:proxy=http\://ann\:b@127.0.0.1\:{port}")
        )
        self.assertEqual([(tunnel.host, tunnel.user) for tunnel in factory.tunnels], [("origin.example", "ann")])
        await self.end(client)

    async def test_amp_over_socks(self) -> None:
        """AMP through SOCKS5, over TCP and, of an endpoint, over whatever that has."""
        origin = await self.listen(Factory.forProtocol(Adder))
        factory, port = await self.proxy("socks5", credentials=("ann", "b"))
        clients = [
            await self.adds(clientFromString(self.reactor, description))
            for description in (
                rf"socks5:origin.example:{origin}:proxy=socks5\://ann\:b@127.0.0.1\:{port}",
                rf"socks5:host=origin.example:port={origin}:proxy=tcp\:127.0.0.1\:{port}:username=ann:password=b",
            )
        ]
        self.assertEqual([tunnel.host for tunnel in factory.tunnels], ["origin.example"] * 2)
        await self.end(*clients)

    async def test_amp_over_http2(self) -> None:
        """AMP through CONNECT over HTTP/2: all that connect by one endpoint share the connection to the proxy."""
        origin = await self.listen(Factory.forProtocol(Adder))
        factory, port = await self.proxy("http2+http", tls="127.0.0.1", chosen=b"h2")
        description = rf"http-connect:origin.example:{origin}:proxy=https\://127.0.0.1\:{port}:trustRoots={self.trust()}"
        endpoint: Any = clientFromString(self.reactor, description)
        clients = await gatherResults([Deferred.fromCoroutine(self.adds(endpoint)) for _ in range(10)])
        self.assertEqual((len(factory.connections), len(factory.tunnels)), (1, 10))
        self.assertEqual((factory.connections[0].protocol, endpoint.proxy.protocol), ("http2", "http2"))
        await self.end(*clients)
        self.assertEqual([tunnel for tunnel in factory.tunnels if tunnel.open], [])

    async def test_shared(self) -> None:
        """Endpoints of one HttpProxy share it, wherever they lead."""
        origins = [await self.listen(Factory.forProtocol(Adder)) for _ in range(3)]
        factory, port = await self.proxy("http2+http", tls="127.0.0.1", chosen=b"h2", credentials=("ann", "b"))
        shared = HttpProxy(self.reactor, f"https://127.0.0.1:{port}", username="ann", password="b", tls_opts={"trust_root": self.trust()})
        clients = [await self.adds(shared.endpoint(f"h{place}.example", origin)) for place, origin in enumerate(origins)]
        self.assertEqual([tunnel.host for tunnel in factory.tunnels], ["h0.example", "h1.example", "h2.example"])
        self.assertEqual(len(factory.connections), 1)
        await self.end(*clients)
        again = await self.adds(shared.endpoint("again.example", origins[0]))
        self.assertEqual(len(factory.connections), 2)
        await self.end(again)

    async def test_https(self) -> None:
        """An https proxy that speaks HTTP/1.1 only; and one behind somebody else's TLS, whose ALPN decides."""
        origin = await self.listen(Factory.forProtocol(Adder))
        for chosen, protocol in ((b"http/1.1", "http"), (b"h2", "http2")):
            factory, port = await self.proxy("http2+http", tls="localhost", chosen=chosen)
            trust: Any = optionsForClientTLS("localhost", _trust_root(), acceptableProtocols=[b"h2", b"http/1.1"])
            behind = wrapClientTLS(trust, TCP4ClientEndpoint(self.reactor, "127.0.0.1", port))
            ours = HttpConnectEndpoint(
                self.reactor, f"https://localhost:{port}", "a.example", origin, tls_opts={"trust_root": self.trust()}
            )
            theirs = HttpConnectEndpoint(self.reactor, behind, "b.example", origin)
            clients = [await self.adds(ours), await self.adds(theirs)]
            self.assertEqual([connection.protocol for connection in factory.connections], [protocol] * 2)
            await self.end(*clients)

    async def test_chain(self) -> None:
        """A proxy behind a proxy: SOCKS5 through HTTP/2."""
        origin = await self.listen(Factory.forProtocol(Adder))
        first, first_port = await self.proxy("http2+http", tls="127.0.0.1", chosen=b"h2")
        second, second_port = await self.proxy("socks5")
        shared = HttpProxy(self.reactor, f"https://127.0.0.1:{first_port}", tls_opts={"trust_root": self.trust()})
        endpoint = Socks5Endpoint(self.reactor, shared.endpoint("second.example", second_port), "origin.example", origin)
        clients = [await self.adds(endpoint) for _ in range(2)]
        self.assertEqual((len(first.connections), len(first.tunnels), len(second.tunnels)), (1, 2, 2))
        await self.end(*clients)

    async def test_imap(self) -> None:
        """IMAP4, over TLS that Twisted's own ``tls:`` puts on the tunnel: greeted, logged in, logged out, and lost in good order."""
        origin = await self.listen(Factory.forProtocol(Mailbox), tls="origin.example")
        trust = str(Path(self.trust()).parent)
        _, http = await self.proxy("http")
        _, socks = await self.proxy("socks5")
        for inner in (
            rf"http-connect:origin.example:{origin}:proxy=http\://127.0.0.1\:{http}",
            rf"socks5:origin.example:{origin}:proxy=socks5\://127.0.0.1\:{socks}",
        ):
            description = f"tls:origin.example:{origin}:trustRoots={trust}:endpoint={quoteStringArgument(inner)}"
            client: Any = await connectProtocol(clientFromString(self.reactor, description), Mail())
            await client.greeted
            await client.login(b"ann", b"b")
            self.assertIn(b"IMAP4rev1", await client.getCapabilities())
            self.assertEqual(await client.list(b"", b"*"), [])
            await client.logout()
            self.assertIsInstance(await client.lost, ConnectionDone)
        await self.end()

    async def test_cancelled(self) -> None:
        """Cancelled while the proxy dials, nothing is left."""
        nowhere: Any = _Nowhere()
        factory = ProxyFactory("http", lambda host, port: nowhere)
        port = await self.listen(factory)
        wanted: Any = HttpConnectEndpoint(self.reactor, f"http://127.0.0.1:{port}", *DESTINATION).connect(Factory.forProtocol(Protocol))
        await gone(self.reactor, lambda: bool(factory.tunnels))
        wanted.cancel()
        self.failureResultOf(wanted, ConnectingCancelledError)
        await self.end()

    async def test_refused(self) -> None:
        """A proxy that refuses, and a proxy that is not there."""
        _, port = await self.proxy("http", refuse=403)
        endpoint = HttpConnectEndpoint(self.reactor, f"http://127.0.0.1:{port}", *DESTINATION)
        problem: Any = await self.assertFailure(endpoint.connect(Factory.forProtocol(Protocol)), gun.ProxyFailed)
        self.assertEqual(problem.status, 403)
        server: Any = await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Protocol))
        url = ProxyUrl(scheme="http", host="127.0.0.1", port=server.getHost().port)
        await server.stopListening()
        endpoint = HttpConnectEndpoint(self.reactor, url, *DESTINATION)
        problem = await self.assertFailure(endpoint.connect(Factory.forProtocol(Protocol)), gun.ConnectFailed)
        self.assertIn("the proxy 127.0.0.1:", str(problem))
        self.assertIn("connection refused", str(problem))
        await self.end()


class _Nowhere:
    """An endpoint that never connects."""

    def connect(self, protocolFactory: Any) -> Any:
        """Nothing, ever."""
        return Deferred()


def _trust_root() -> Any:
    return trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
