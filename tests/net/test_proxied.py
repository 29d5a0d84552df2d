"""`twisted_gun.net.proxied`: tunnels as endpoints, and chains of proxies."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.net import proxying
from tests.net.proxying import NAME
from twisted_gun.net.proxied import TunnelEndpoint, proxied_endpoint, proxy_of
from twisted_gun.net.tls import TlsEndpoint, connection_creator
from twisted_gun.options import Options, ProxyUrl, TlsOptions
from twisted_gun.testing import MemoryEndpoint
from twisted_gun.testing.proxies import ProxyFactory

#: Kinds of proxies, as URLs have them, with what ALPN chooses, and what is spoken then.
KINDS = {
    "http": ("http", None, "http"),
    "https": ("https", b"http/1.1", "http"),
    "h2": ("https", b"h2", "http2"),
    "socks5": ("socks5", None, "socks"),
}


def _choose(chosen: bytes, offered: list[bytes]) -> bytes:
    return chosen


class TunnelEndpointTests(proxying.ProxyCase):
    """`TunnelEndpoint`."""

    def test_endpoint(self) -> None:
        """It is an endpoint that tells where it leads, and through what, without credentials."""
        endpoint = TunnelEndpoint(self.proxy(username=b"ann", password=b"secret"), "origin.example", 443)
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertEqual(endpoint.destination, HostnameAddress(b"origin.example", 443))
        self.assertEqual(repr(endpoint), f"<TunnelEndpoint origin.example:443 through {NAME}>")
        self.assertIn("[2001:db8::1]:443", repr(TunnelEndpoint(self.proxy(), "[2001:db8::1]", 443)))

    def test_connects(self) -> None:
        """It gives a connected protocol, each time it is asked."""
        endpoint = TunnelEndpoint(self.proxy(), "origin.example", 443)
        for _ in range(2):
            wanted: Any = endpoint.connect(self.clients)
            self.pump()
            self.successResultOf(wanted).transport.loseConnection()
        self.assertEqual(self.asked, [("origin.example", 443)] * 2)
        self.assert_nothing_left()

    def test_checked(self) -> None:
        """Where it cannot lead is said when it is made."""
        self.assertRaises(gun.InvalidRequest, TunnelEndpoint, self.proxy(), "no host", 443)
        self.assertRaises(gun.OptionError, TunnelEndpoint, self.proxy(), "origin.example", 0)


class ChainCase(proxying.ProxyCase):
    """Proxies by URL: `p0.example`, `p1.example` and so on, and ``origin.example`` behind them."""

    def setUp(self) -> None:
        super().setUp()
        self.hosts: dict[str, MemoryEndpoint] = {}
        self.factories: list[ProxyFactory] = []
        self.servers: list[ServerCreator] = []
        self.trust = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])

    def dial(self, host: str, port: int) -> Any:
        """The way to a proxy, or else to the origin."""
        self.asked.append((host, port))
        return self.hosts.get(host, self.onward)

    def chain(self, *kinds: str, credentials: bool = False) -> tuple[ProxyUrl, ...]:
        """Their URLs, in order; they are there."""
        urls = []
        for place, name in enumerate(kinds):
            scheme, chosen, protocol = KINDS[name]
            host, user = f"p{place}.example", f"user{place}"
            factory: Any = ProxyFactory(
                "http2+http" if protocol != "socks" else "socks5", self.dial, credentials=(user, "pw") if credentials else None
            )
            self.factories.append(factory)
            if scheme == "https":
                server = ServerCreator(authority().issue(host), choose=partial(_choose, chosen or b""))
                self.servers.append(server)
                factory = TLSMemoryBIOFactory(server, False, factory, clock=self.clock)
            self.hosts[host] = MemoryEndpoint(factory, clock=self.clock)
            secrets = {"username": user.encode(), "password": b"pw"} if credentials else {}
            urls.append(ProxyUrl(scheme=scheme, host=host, port=3128 + place, **secrets))
        self.way = self.hosts["p0.example"]
        return tuple(urls)

    def options(self, **more: Any) -> Options:
        """Options that dial the first proxy in memory."""
        return Options(endpoint=self.way, **{"tls_opts": {"trust_root": self.trust}, **more})

    def through(self, endpoint: Any) -> Any:
        """A client's end, connected."""
        wanted = endpoint.connect(self.clients)
        self.pump()
        return self.successResultOf(wanted)


class OfferTests(ChainCase):
    """What ALPN offers to https proxies."""

    def test_protocols(self) -> None:
        """`proxy_protocols`, in their order; HTTP/2 first where nothing else is said."""
        for more, offered in (
            ({}, [b"h2", b"http/1.1"]),
            ({"proxy_protocols": ["http"]}, [b"http/1.1"]),
            ({"proxy_protocols": ("http", "http2")}, [b"http/1.1", b"h2"]),
        ):
            urls = self.chain("https")
            self.through(proxied_endpoint(self.clock, urls, "origin.example", 443, self.options(**more))).transport.loseConnection()
            self.assertEqual(self.servers[-1].offered, [offered])
            self.pump()
        self.assert_nothing_left()


class ChainTests(ChainCase):
    """`proxied_endpoint`."""

    def test_two_deep(self) -> None:
        """All kinds of proxies behind all kinds, each with its own credentials; bytes go both ways, and nothing is left."""
        for kinds in product(KINDS, KINDS):
            self.setUp()
            urls = self.chain(*kinds, credentials=True)
            endpoint = proxied_endpoint(self.clock, urls, "origin.example", 443, self.options())
            verifyObject(IStreamClientEndpoint, endpoint)
            client = self.through(endpoint)
            self.assertEqual(self.asked, [("p1.example", 3129), ("origin.example", 443)])
            self.assertEqual([factory.tunnels[0].user for factory in self.factories], ["user0", "user1"])
            client.transport.write(b"ping")
            self.origins[0].transport.write(b"pong")
            self.pump()
            self.assertEqual((self.origins[0].received, client.received), (b"ping", b"pong"))
            protocols = [KINDS[kind][2] for kind in kinds]
            self.assertEqual([each.protocol for each in endpoint.intermediaries()], protocols)
            client.transport.loseConnection()
            self.pump()
            self.assertIsNotNone(self.origins[0].lost)
            self.assert_nothing_left()

    def test_three_deep(self) -> None:
        """And TLS with the origin on top."""
        urls = self.chain("h2", "socks5", "https")
        server = ServerCreator(authority().issue("origin.example"))
        origin = Factory.forProtocol(self.new_origin)
        self.hosts["origin.example"] = MemoryEndpoint(TLSMemoryBIOFactory(server, False, origin, clock=self.clock), clock=self.clock)
        tunnel = proxied_endpoint(self.clock, urls, "origin.example", 443, self.options())
        creator = connection_creator("origin.example", TlsOptions(trust_root=self.trust))
        client = self.through(TlsEndpoint(creator, tunnel, self.clock))
        client.transport.write(b"ping")
        self.pump()
        self.assertEqual(self.origins[0].received, b"ping")
        client.transport.loseConnection()
        self.assert_nothing_left()

    def test_much_through_two(self) -> None:
        """Who does not read holds back the far end, through all on the way, and misses nothing."""
        urls = self.chain("h2", "h2")
        client = self.through(proxied_endpoint(self.clock, urls, "origin.example", 443, self.options()))
        client.transport.pauseProducing()
        much = proxying.MUCH * 10
        self.origins[0].transport.write(much)
        self.pump()
        self.assertEqual(client.received, b"")
        self.assertGreater(self.origins[0].transport.buffered, 0)
        client.transport.resumeProducing()
        self.pump()
        self.assertEqual(len(client.received), len(much))

    def test_intermediaries(self) -> None:
        """They are told as Gun does; what is spoken with them only once that is known."""
        urls = self.chain("https", "socks5")
        endpoint = proxied_endpoint(self.clock, urls, "origin.example", 443, self.options())
        first = gun.Intermediary(type="connect", host="p0.example", port=3128, transport="tls", protocol="")
        second = gun.Intermediary(type="socks5", host="p1.example", port=3129, transport="tcp", protocol="")
        self.assertEqual(endpoint.intermediaries(), (first, second))
        self.assertEqual(endpoint.destination, HostnameAddress(b"origin.example", 443))
        self.assertEqual(repr(endpoint), "<ProxiedEndpoint <TunnelEndpoint origin.example:443 through p1.example:3129>>")
        self.assertIsNone(endpoint.creator)

    def test_which_proxy_failed(self) -> None:
        """An error is told of the proxy that it is of."""
        urls = self.chain("http", "https")
        endpoint = proxied_endpoint(self.clock, urls, "origin.example", 443, self.options())

        def fails(kind: type[BaseException]) -> str:
            wanted: Any = endpoint.connect(self.clients)
            self.pump()
            return str(self.fails(wanted, kind))

        self.factories[1].refuse = 403
        self.assertIn("the proxy p1.example:3129 made no tunnel to origin.example:443: it answered 403", fails(gun.ProxyFailed))
        self.hosts["p1.example"].refuse()
        self.assertIn("the proxy p0.example:3128 made no tunnel to p1.example:3129: it answered 502", fails(gun.ProxyFailed))
        self.way.refuse()
        self.assertEqual(fails(gun.ConnectFailed).count("the proxy"), 1)

    def test_whom_to_trust(self) -> None:
        """Of the origin's TLS options, the proxy's takes whom to trust; its own take their place."""
        urls = self.chain("https")
        self.through(proxied_endpoint(self.clock, urls, "origin.example", 443, self.options()))
        other = trustRootFromCertificates([Certificate.loadPEM(authority("another").pem)])
        options = self.options(proxy_tls_opts={"trust_root": other})
        wanted: Any = proxied_endpoint(self.clock, urls, "origin.example", 443, options).connect(self.clients)
        self.pump()
        self.failureResultOf(wanted, gun.TlsFailed)

    def test_not_who_we_are(self) -> None:
        """The client's certificate, the name and the pins are for the origin alone."""
        urls = self.chain("https")
        options = self.options(tls_opts={"trust_root": self.trust, "server_name": "origin.example", "pins": [bytes(32)]})
        self.through(proxied_endpoint(self.clock, urls, "origin.example", 443, options))

    def test_timeouts(self) -> None:
        """The options' limits hold: for the answer, and for TLS with the proxy."""
        urls = self.chain("http")
        self.onward.hang()
        wanted: Any = proxied_endpoint(self.clock, urls, "origin.example", 443, self.options(tunnel_timeout=2.0)).connect(self.clients)
        self.pump()
        self.clock.advance(2)
        self.assertEqual(self.fails(wanted, gun.TimedOut).stage, "tunnel")

    def test_checked(self) -> None:
        """Whatever cannot be used raises when it is made."""
        urls = self.chain("https")
        with self.assertRaises(gun.OptionError):
            proxied_endpoint(self.clock, urls, "origin.example", 443, self.options(proxy_tls_opts={"trust_root": "/no/such/file"}))
        with self.assertRaises(gun.InvalidRequest):
            proxied_endpoint(self.clock, urls, "no host", 443, self.options())

    def test_socks_over_tls(self) -> None:
        """TLS with a proxy whose URL does not ask for it."""
        factory = ProxyFactory("socks5", self.dial)
        server = ServerCreator(authority().issue("p0.example"))
        self.way = MemoryEndpoint(TLSMemoryBIOFactory(server, False, factory, clock=self.clock), clock=self.clock)
        url = ProxyUrl(scheme="socks5", host="p0.example", port=1080)
        proxy = proxy_of(self.clock, url, self.options(), tls=TlsOptions(trust_root=self.trust))
        client, _ = self.open(proxy)
        self.assertEqual(client.told, ["made"])


class AbsoluteTests(ChainCase):
    """`proxied_endpoint` with `absolute`: the last proxy is led to, not through."""

    def test_one(self) -> None:
        """A single proxy is what is connected to, and there are no tunnels."""
        endpoint = proxied_endpoint(self.clock, self.chain("http"), "origin.example", 80, self.options(), absolute=True)
        self.assertEqual((endpoint.intermediaries(), endpoint.creator), ((), None))
        self.assertEqual(endpoint.destination, HostnameAddress(b"p0.example", 3128))
        client = self.through(endpoint)
        client.transport.write(b"GET http://origin.example/ HTTP/1.1\r\nhost: origin.example\r\n\r\n")
        self.pump()
        self.assertEqual(self.asked, [("origin.example", 80)])

    def test_behind_another(self) -> None:
        """Of two the first makes a tunnel, and with the second there is TLS that offers what the options do."""
        urls = self.chain("http", "https")
        options = self.options(transport="tcp").settled(80)
        endpoint = proxied_endpoint(self.clock, urls, "origin.example", 80, options, absolute=True)
        self.assertIsNotNone(endpoint.creator)
        self.assertEqual([each.host for each in endpoint.intermediaries()], ["p0.example"])
        client = self.through(endpoint)
        self.assertEqual(client.transport.negotiatedProtocol, b"http/1.1")
        self.assertEqual(self.asked, [("p1.example", 3129)])
