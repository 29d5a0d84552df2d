"""What the tests of tunnels share: proxies in memory, of three kinds or scripted, origins behind them, and protocols that tell;
and what is the same with every kind of proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionAborted, ConnectionDone, NoProtocol
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.producers import Push
from twisted_gun.net.proxy import Proxy
from twisted_gun.net.tls import TlsEndpoint, connection_creator
from twisted_gun.options import TlsOptions
from twisted_gun.testing import MemoryEndpoint
from twisted_gun.testing.proxies import ProxyFactory
from twisted_gun.wire.core import TunnelCore

NAME = "proxy.example:3128"
MUCH = bytes(range(256)) * 4000  # more than the buffers on the way hold


class Client(Protocol):
    """A protocol that keeps what it is told, in order; `react` is called with each."""

    transport: Any

    def __init__(self, react: Callable[[Any], object] | None = None) -> None:
        self.told: list[Any] = []
        self.react = react or (lambda told: None)
        self.received = b""
        self.busy = False  # within a call of its own

    def connectionMade(self) -> None:
        self._was_told("made")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._was_told("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._was_told(reason.value)

    @property
    def lost(self) -> BaseException | None:
        """Why the connection was lost; raises where that was told twice."""
        (*reasons,) = (told for told in self.told if isinstance(told, BaseException))
        assert len(reasons) < 2
        return reasons[0] if reasons else None

    def ask(self, method: str, *arguments: Any) -> None:
        """Ask something of the transport."""
        self.busy = True
        getattr(self.transport, method)(*arguments)
        self.busy = False

    def _was_told(self, told: Any) -> None:
        assert not self.busy, "it was told from within a call of its own"
        self.told.append(told)
        self.react(told)


class ClientFactory(Factory):
    """Builds one client after another, and keeps them, and where they were connected to."""

    noisy = False

    def __init__(self, build: Callable[[], Any] = Client) -> None:
        self.build = build
        self.built: list[Any] = []
        self.addresses: list[Any] = []
        self.running: list[bool] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self.addresses.append(addr)
        self.built.append(self.build())
        return self.built[-1]

    def startFactory(self) -> None:
        self.running.append(True)

    def stopFactory(self) -> None:
        self.running.append(False)


class Multiplexed(Proxy):
    """A proxy that speaks HTTP/2 without TLS, as if that had negotiated it."""

    def choose(self, negotiated: bytes | None) -> TunnelCore:
        return super().choose(b"h2")


class ProxyCase(SynchronousTestCase):
    """A proxy, and origins behind it: `origins` are the protocols at the far ends, `asked` is where tunnels were to lead."""

    kind = "http"
    http2 = False
    windows = 1  # how many times MUCH the proxy may send while nobody takes it, and more

    def setUp(self) -> None:
        self.clock = Clock()
        self.origins: list[Client] = []
        self.asked: list[tuple[str, int]] = []
        self.onward = MemoryEndpoint(Factory.forProtocol(self.new_origin), clock=self.clock)
        self.way: MemoryEndpoint
        self.factory: Any = None
        self.clients = ClientFactory()

    def new_origin(self) -> Client:
        """The far end of the next tunnel."""
        self.origins.append(Client())
        return self.origins[-1]

    def dial(self, host: str, port: int) -> IStreamClientEndpoint:
        """The way of the proxy to where a tunnel leads."""
        self.asked.append((host, port))
        return self.onward

    # Proxies.

    def proxy(self, **options: Any) -> Proxy:
        """A working proxy of this case's kind; `options` of ours, and ``server`` options of its own."""
        server = options.pop("server", {})
        self.factory = ProxyFactory("http2" if self.http2 else self.kind, self.dial, **server)
        return self.behind(self.factory, **options)

    def behind(self, factory: Any, **options: Any) -> Proxy:
        """A proxy whose connections `factory` builds."""
        self.way = MemoryEndpoint(factory, clock=self.clock)
        return self.at(self.way, **options)

    def at(self, endpoint: Any, **options: Any) -> Proxy:
        """A proxy that `endpoint` leads to."""
        make = Multiplexed if self.http2 else Proxy
        given = {"socks": self.kind == "socks5", "may_share": self.http2, "name": NAME, **options}
        return make(reactor=self.clock, endpoint=endpoint, **given)

    def scripted(self, *peers: Any, **options: Any) -> Proxy:
        """A proxy whose connections are these protocols, one after another."""
        self.peers = list(peers)
        waiting = list(peers)
        return self.behind(Factory.forProtocol(lambda: waiting.pop(0)), **options)

    def over_tls(self, factory: Any, chosen: bytes | None = None, **options: Any) -> Proxy:
        """A proxy over TLS, which chooses `chosen` by ALPN."""
        choose: Any = None if chosen is None else lambda offered: chosen
        server = ServerCreator(authority().issue("proxy.example"), choose=choose)
        self.way = MemoryEndpoint(TLSMemoryBIOFactory(server, False, factory, clock=self.clock), clock=self.clock)
        trust = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        host = options.pop("host", "proxy.example")
        creator = connection_creator(host, TlsOptions(trust_root=trust), (b"h2", b"http/1.1"))
        endpoint = TlsEndpoint(creator, self.way, self.clock)
        return Proxy(reactor=self.clock, endpoint=endpoint, creator=creator, name=NAME, **{"may_share": True, **options})

    # Tunnels.

    def want(self, proxy: Proxy, host: str = "origin.example", factory: Any = None) -> Deferred[Any]:
        """Want a tunnel."""
        return proxy.connect(host, 443, factory or self.clients)

    def connect(self, proxy: Proxy, host: str = "origin.example", factory: Any = None) -> Deferred[Any]:
        """Want a tunnel, and let all happen that follows."""
        wanted = self.want(proxy, host, factory)
        self.pump()
        return wanted

    def open(self, proxy: Proxy, **options: Any) -> tuple[Client, Client]:
        """Both ends of a new tunnel."""
        client = self.successResultOf(self.connect(proxy, **options))
        return client, self.origins[-1]

    def fails(self, wanted: Deferred[Any], kind: type[BaseException], *words: str) -> Any:
        """It has failed, in these words, and nothing is left of it."""
        problem = self.failureResultOf(wanted, kind).value
        for word in words:
            self.assertIn(word, str(problem))
        self.pump()
        self.assert_nothing_left()
        return problem

    def pump(self) -> None:
        """Let all happen that does not need time."""
        self.clock.advance(0)

    def assert_nothing_left(self) -> None:
        """No connection to the proxy, no delayed call, and each factory was stopped as often as it was started."""
        self.pump()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for link in self.way.links:
            self.assertTrue(link.client.disconnected)
            self.assertIsNone(link.client.producer)
        self.assertEqual(self.clients.running.count(True), self.clients.running.count(False))
        self.assertEqual(self.clients.numPorts, 0)


class Tunnels(ProxyCase):
    """What is the same with every kind of proxy."""

    def test_there(self) -> None:
        """The protocol is connected, then given; the proxy was asked for the name; bytes go both ways; the end here is the end there."""
        client, origin = self.open(self.proxy())
        self.assertEqual(self.asked, [("origin.example", 443)])
        self.assertEqual(client.told, ["made"])
        self.assertEqual(self.clients.addresses, [HostnameAddress(b"origin.example", 443)])
        client.transport.write(b"ping")
        client.transport.writeSequence([b"pi", b"ng"])
        origin.transport.write(b"pong")
        self.pump()
        self.assertEqual((origin.received, client.received), (b"pingping", b"pong"))
        client.ask("loseConnection")
        self.pump()
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assertIsInstance(origin.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_connected_before_given(self) -> None:
        """The Deferred fires when connectionMade is over."""
        told: list[Any] = []
        wanted = self.want(self.proxy(), factory=ClientFactory(lambda: Client(told.append)))
        wanted.addCallback(told.append)
        self.pump()
        self.assertEqual(told, ["made", told[1]])
        self.assertIsInstance(told[1], Client)

    def test_addresses(self) -> None:
        """The addresses are those of the connection to the proxy; of the destination's nothing is known."""
        client, _ = self.open(self.proxy())
        transport = self.way.links[0].client
        self.assertEqual((client.transport.getPeer(), client.transport.getHost()), (transport.getPeer(), transport.getHost()))

    def test_other_hosts(self) -> None:
        """An address of either family, a name with a trailing dot, and one that is not ASCII reach the proxy as such."""
        proxy = self.proxy()
        for host, asked in (
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("a.example.", "a.example."),
            ("bü.example", "xn--b-eha.example"),
        ):
            self.open(proxy, host=host)
            self.assertEqual(self.asked[-1], (asked, 443))

    def test_bad_destination(self) -> None:
        """What cannot be asked for raises at the call, and nothing is dialled."""
        proxy = self.proxy()
        self.assertRaises(gun.InvalidRequest, proxy.connect, "no host", 443, self.clients)
        for port in (0, 65536, "443", True):
            self.assertRaises(gun.OptionError, proxy.connect, "origin.example", port, self.clients)
        self.assertEqual((self.way.attempts, self.clients.running), (0, []))

    def test_peer_ends(self) -> None:
        """Where the far end closes, the protocol is told of a good end, behind all that was sent before."""
        client, origin = self.open(self.proxy())
        origin.transport.write(b"last words")
        origin.transport.loseConnection()
        self.pump()
        self.assertEqual(client.received, b"last words")
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_abort(self) -> None:
        """abortConnection ends it in the next turn, and whatever waits is dropped."""
        client, origin = self.open(self.proxy())
        client.ask("abortConnection")
        client.ask("abortConnection")
        client.ask("loseConnection")
        self.pump()
        self.assertIsInstance(client.lost, ConnectionAborted)
        self.assertIsNotNone(origin.lost)
        self.assertNotIsInstance(origin.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_proxy_vanishes(self) -> None:
        """A connection to the proxy that is reset is told once, by an error that says so."""
        client, _ = self.open(self.proxy())
        self.factory.connections[0].transport.abortConnection()
        self.pump()
        self.assertIsInstance(client.lost, gun.ConnectionFailed)
        self.assertIn("lost", str(client.lost))
        self.assert_nothing_left()

    def test_sending_waits(self) -> None:
        """A producer is paused while the far end takes nothing, and all arrives once it does."""
        client, origin = self.open(self.proxy())
        origin.transport.pauseProducing()
        producer = Push()
        client.transport.registerProducer(producer, True)
        client.transport.write(MUCH)
        self.pump()
        self.assertEqual(producer.asked, ["pause"])
        origin.transport.resumeProducing()
        self.pump()
        self.assertEqual(producer.asked[:2], ["pause", "resume"])
        client.transport.unregisterProducer()
        self.assertEqual(origin.received, MUCH)

    def test_reading_waits(self) -> None:
        """Who pauses reading holds back the far end, and misses nothing."""
        client, origin = self.open(self.proxy())
        client.transport.pauseProducing()
        producer = Push()
        origin.transport.registerProducer(producer, True)
        much = MUCH * self.windows
        origin.transport.write(much)
        self.pump()
        self.assertEqual((client.received, producer.asked), (b"", ["pause"]))
        client.transport.resumeProducing()
        self.pump()
        self.assertEqual(client.received, much)

    def test_no_protocol(self) -> None:
        """Where the factory builds none, there is NoProtocol, and the tunnel is given up."""
        wanted = self.connect(self.proxy(), factory=ClientFactory(lambda: None))
        self.fails(wanted, NoProtocol)
        self.assertIsNotNone(self.origins[0].lost)

    def test_factory_raises(self) -> None:
        """Likewise by what the factory raises."""
        self.fails(self.connect(self.proxy(), factory=ClientFactory(lambda: 1 // 0)), ZeroDivisionError)
        self.assertIsNotNone(self.origins[0].lost)

    def test_protocol_raises_at_once(self) -> None:
        """Likewise by what connectionMade raises, of which the protocol is told as well."""
        clients = ClientFactory(lambda: Client(lambda told: 1 // 0 if told == "made" else None))
        self.fails(self.connect(self.proxy(), factory=clients), ZeroDivisionError)
        self.assertIsInstance(clients.built[0].lost, ZeroDivisionError)
        self.assertEqual(clients.numPorts, 0)

    def test_cancel_dialling(self) -> None:
        """Cancelling stops dialling."""
        proxy = self.proxy()
        self.way.hang()
        wanted = self.connect(proxy)
        wanted.cancel()
        self.fails(wanted, ConnectingCancelledError)

    def test_cancel_asked(self) -> None:
        """Cancelling while the proxy has not answered gives up the request, and the connection."""
        self.onward.hang()
        wanted = self.connect(self.proxy())
        self.assertEqual(len(self.asked), 1)
        wanted.cancel()
        problem = self.fails(wanted, ConnectingCancelledError)
        self.assertEqual(problem.address, HostnameAddress(b"origin.example", 443))

    def test_cancel_building(self) -> None:
        """Cancelling from within buildProtocol: the protocol is never connected."""

        def build() -> Client:
            wanted.cancel()
            return Client()

        clients = ClientFactory(build)
        wanted = self.want(self.proxy(), factory=clients)
        self.pump()
        self.fails(wanted, ConnectingCancelledError)
        self.assertEqual(clients.built[0].told, [])

    def test_cancel_connecting(self) -> None:
        """Cancelling from within connectionMade: the protocol is told of the end."""
        clients = ClientFactory(lambda: Client(lambda told: wanted.cancel()))
        wanted = self.want(self.proxy(), factory=clients)
        self.pump()
        self.fails(wanted, ConnectingCancelledError)
        self.assertIsInstance(clients.built[0].lost, ConnectionAborted)

    def test_cancel_connecting_and_raise(self) -> None:
        """Likewise where connectionMade then raises: there is one result."""

        def react(told: Any) -> None:
            wanted.cancel()
            raise ZeroDivisionError

        clients = ClientFactory(lambda: Client(react))
        wanted = self.want(self.proxy(), factory=clients)
        self.pump()
        self.fails(wanted, ConnectingCancelledError)
        self.assertIsInstance(clients.built[0].lost, ConnectionAborted)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_cancel_late(self) -> None:
        """Cancelling a Deferred that has fired does nothing."""
        wanted = self.connect(self.proxy())
        wanted.cancel()
        self.pump()
        self.assertEqual(self.clients.built[0].told, ["made"])

    def test_unreachable(self) -> None:
        """A proxy that is not there: which one, and what to do."""
        proxy = self.proxy()
        self.way.refuse()
        problem = self.fails(self.connect(proxy), gun.ConnectFailed)
        self.assertEqual(str(problem), f"the proxy {NAME}: connection refused; check the port, and that the server runs")

    def test_no_answer(self) -> None:
        """A proxy that does not answer in time."""
        self.onward.hang()
        wanted = self.connect(self.proxy(tunnel_timeout=3.0))
        self.clock.advance(2.9)
        self.assertNoResult(wanted)
        self.clock.advance(0.1)
        problem = self.fails(wanted, gun.TimedOut, NAME, "origin.example:443", "within 3.0 seconds")
        self.assertEqual((problem.stage, problem.seconds), ("tunnel", 3.0))

    def test_answer_any_time(self) -> None:
        """Without a limit it is waited for."""
        self.onward.hang()
        wanted = self.connect(self.proxy(tunnel_timeout=None))
        self.clock.advance(10_000)
        self.assertNoResult(wanted)

    def test_time_is_over_with_the_answer(self) -> None:
        """The limit is for the answer, not for the tunnel."""
        client, _ = self.open(self.proxy())
        self.clock.advance(10_000)
        self.assertEqual(client.told, ["made"])

    def test_connection_ends_before(self) -> None:
        """A proxy that closes, or resets, before it answers, is said to have done that."""
        for end in ("loseConnection", "abortConnection"):
            self.onward.hang()
            wanted = self.connect(self.proxy())
            getattr(self.factory.connections[0].transport, end)()
            self.pump()
            self.fails(wanted, gun.ProxyFailed, NAME, "connection")

    def test_names(self) -> None:
        """What was spoken is kept, and messages show no credentials."""
        proxy = self.proxy(username=b"ann", password=b"secret", server={"credentials": ("ann", "secret")})
        self.assertEqual((proxy.protocol, repr(proxy)), (None, f"<{type(proxy).__name__} {NAME}>"))
        self.open(proxy)
        self.assertEqual(proxy.protocol, {"socks5": "socks"}.get(self.kind, "http2" if self.http2 else "http"))

    def test_credentials(self) -> None:
        """They are given to the proxy, and to nobody else."""
        client, origin = self.open(self.proxy(username=b"ann", password=b"se:cret", server={"credentials": ("ann", "se:cret")}))
        client.transport.write(b"x")
        self.pump()
        self.assertEqual((self.factory.tunnels[0].user, origin.received), ("ann", b"x"))

    def test_independent(self) -> None:
        """Where one of two tunnels ends, the other lives on, whatever the first one's protocol does."""
        proxy = self.proxy()
        first, _ = self.open(proxy)
        second, origin = self.open(proxy)
        first.react = lambda told: 1 // 0
        self.origins[0].transport.write(b"x")
        self.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIsInstance(first.lost, ZeroDivisionError)
        origin.transport.write(b"still here")
        self.pump()
        self.assertEqual(second.received, b"still here")
        second.transport.loseConnection()
        self.assert_nothing_left()
