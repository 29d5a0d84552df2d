"""Tests of `twisted_gun.net.dial`, the connector over any endpoint, and of what failures are called."""

from __future__ import annotations

import errno
import typing
from collections.abc import Generator, Iterable
from typing import Any, cast

from twisted.internet import defer, error
from twisted.internet import reactor as installed_reactor
from twisted.internet.address import HostnameAddress, IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import ClientFactory, ReconnectingClientFactory, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.net.dialling import (
    NO_ROUTE,
    REFUSED,
    Noting,
    NotingFactory,
    ScriptedReactor,
    listen,
)
from twisted_gun.errors import ConnectFailed, GunError, TimedOut
from twisted_gun.net.dial import EndpointConnector, HappyEyeballsEndpoint, connect_failure


@implementer(IStreamClientEndpoint)
class ScriptedEndpoint:
    """An endpoint that the test ends: by `accept`, or by the Deferred itself."""

    def __init__(self) -> None:
        self.factories: list[IProtocolFactory] = []
        self.results: list[Deferred[IProtocol]] = []
        self.problem: Exception | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.problem is not None:
            raise self.problem
        self.factories.append(protocolFactory)
        self.results.append(Deferred())
        return self.results[-1]

    def build(self) -> IProtocol | None:
        return self.factories[-1].buildProtocol(IPv4Address("TCP", "192.0.2.1", 80))

    def accept(self) -> IProtocol:
        """Connect; the protocol as the transport sees it."""
        protocol = self.build()
        assert protocol is not None
        protocol.makeConnection(StringTransport())
        self.results[-1].callback(protocol)
        return protocol


class ConnectorTests(SynchronousTestCase):
    """The connector over any endpoint tells a factory what Twisted's connectors tell."""

    def setUp(self) -> None:
        self.endpoint = ScriptedEndpoint()
        self.factory = NotingFactory()
        self.connector = EndpointConnector(self.endpoint, self.factory)

    def test_interface(self) -> None:
        """It is an IConnector, disconnected at first."""
        self.assertTrue(verifyObject(IConnector, self.connector))
        self.assertEqual("disconnected", self.connector.state)

    def test_life(self) -> None:
        """Started, connected, lost: the protocol is told of the loss before the factory, which is stopped last."""
        self.connector.connect()
        self.assertEqual(("connecting", ["start", "connecting"]), (self.connector.state, self.factory.told))
        protocol = self.endpoint.accept()
        self.assertEqual("connected", self.connector.state)
        protocol.dataReceived(b"data")
        reason = Failure(error.ConnectionLost())
        protocol.connectionLost(reason)
        self.assertEqual(["made", b"data", "lost"], self.factory.built[0].told)
        self.assertEqual(["start", "connecting", "lost", "stop"], self.factory.told)
        self.assertEqual([reason], self.factory.failures)
        self.assertEqual("disconnected", self.connector.state)

    def test_failed(self) -> None:
        """A failing endpoint is clientConnectionFailed, with its failure."""
        self.connector.connect()
        self.endpoint.results[0].errback(REFUSED)
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.assertIs(REFUSED, self.factory.failures[0].value)
        self.assertEqual("disconnected", self.connector.state)

    def test_endpoint_raises(self) -> None:
        """An endpoint that raises from connect has failed."""
        self.endpoint.problem = RuntimeError("not today")
        self.connector.connect()
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)

    def test_again(self) -> None:
        """After a failure or a loss it can connect again; the factory is started again."""
        self.connector.connect()
        self.endpoint.results[0].errback(REFUSED)
        self.connector.connect()
        self.endpoint.accept().connectionLost(connectionDone)
        self.connector.connect()
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told[:4])
        self.assertEqual(["start", "connecting", "lost", "stop", "start", "connecting"], self.factory.told[4:])

    def test_again_from_within(self) -> None:
        """A factory that connects again from within clientConnectionFailed is not stopped in between."""
        self.factory.on_failed = lambda connector: connector.connect()
        self.connector.connect()
        self.endpoint.results[0].errback(REFUSED)
        self.assertEqual(["start", "connecting", "failed", "connecting"], self.factory.told)
        self.endpoint.accept()
        self.assertEqual("connected", self.connector.state)

    def test_endpoint_does_not_start_the_factory(self) -> None:
        """What the endpoint says of starting and stopping does not reach the factory a second time."""
        self.connector.connect()
        attempt = cast(Any, self.endpoint.factories[0])
        attempt.doStart()
        attempt.doStop()
        attempt.doStop()
        self.assertEqual(1, self.factory.numPorts)

    def test_connect_twice(self) -> None:
        """connect raises RuntimeError while connecting and while connected."""
        self.connector.connect()
        self.assertRaises(RuntimeError, self.connector.connect)
        self.endpoint.accept()
        self.assertRaises(RuntimeError, self.connector.connect)
        self.assertEqual(1, len(self.endpoint.factories))

    def test_stop_connecting(self) -> None:
        """stopConnecting cancels the endpoint's Deferred: clientConnectionFailed with ConnectingCancelledError."""
        self.connector.connect()
        self.connector.stopConnecting()
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.assertIsInstance(self.factory.failures[0].value, error.ConnectingCancelledError)
        self.assertEqual("disconnected", self.connector.state)

    def test_stop_connecting_from_within(self) -> None:
        """Stopped from within startedConnecting, the endpoint is not even asked."""
        self.factory.on_started = lambda connector: connector.stopConnecting()
        self.connector.connect()
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.assertEqual([], self.endpoint.factories)

    def test_stop_connecting_otherwise(self) -> None:
        """stopConnecting raises NotConnectingError unless connecting."""
        self.assertRaises(error.NotConnectingError, self.connector.stopConnecting)
        self.connector.connect()
        self.endpoint.accept()
        self.assertRaises(error.NotConnectingError, self.connector.stopConnecting)

    def test_connects_after_being_stopped(self) -> None:
        """An endpoint that cannot be cancelled and connects later gets no protocol."""
        self.connector.connect()
        self.connector.stopConnecting()
        self.assertIsNone(self.endpoint.build())
        self.assertEqual([], self.factory.built)

    def test_stopped_while_building(self) -> None:
        """A factory that gives up while it builds has its protocol thrown away."""
        self.connector.connect()

        def builds() -> Noting:
            self.connector.stopConnecting()
            return Noting()

        self.factory.builds = builds
        self.assertIsNone(self.endpoint.build())
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)

    def test_disconnect(self) -> None:
        """disconnect loses a connection, stops an attempt, and does nothing otherwise."""
        self.connector.disconnect()
        self.assertEqual([], self.factory.told)
        self.connector.connect()
        self.connector.disconnect()
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.connector.connect()
        self.endpoint.accept()
        self.connector.disconnect()
        self.assertTrue(cast(Any, self.factory.built[0].transport).disconnecting)
        self.assertEqual("connected", self.connector.state)

    def test_disconnect_from_connection_made(self) -> None:
        """A protocol may have itself disconnected while it is being connected."""

        class Leaving(Noting):
            def connectionMade(inner) -> None:  # noqa: N805
                self.connector.disconnect()

        self.factory.builds = Leaving
        self.connector.connect()
        self.endpoint.accept()
        self.assertTrue(cast(Any, self.factory.built[0].transport).disconnecting)

    def test_no_protocol(self) -> None:
        """buildProtocol returning None, over a real endpoint, is clientConnectionFailed with NoProtocol."""
        reactor = ScriptedReactor()
        endpoint = HappyEyeballsEndpoint(reactor, "192.0.2.1", 80, lookup_timeout=None, connect_timeout=1.0)
        self.factory.builds = lambda: None
        connector = EndpointConnector(endpoint, self.factory)
        connector.connect()
        reactor.accept("192.0.2.1")
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.assertIsInstance(self.factory.failures[0].value, error.NoProtocol)
        self.assertEqual(("disconnected", []), (connector.state, reactor.getDelayedCalls()))

    def test_connected_by_other_means(self) -> None:
        """An endpoint that fires without having connected what was built has failed."""
        self.connector.connect()
        self.endpoint.results[0].callback(Noting())
        self.assertEqual(["start", "connecting", "failed", "stop"], self.factory.told)
        self.assertIsInstance(self.factory.failures[0].value, error.NoProtocol)

    def test_lost_before_the_endpoint_fires(self) -> None:
        """A connection lost while its endpoint still waits is told as lost, once, and not as failed."""
        self.connector.connect()
        protocol = self.endpoint.build()
        assert protocol is not None
        protocol.makeConnection(StringTransport())
        protocol.connectionLost(connectionDone)
        self.endpoint.results[0].errback(error.ConnectionLost())
        self.assertEqual(["start", "connecting", "lost", "stop"], self.factory.told)

    def test_late_news_of_an_earlier_attempt(self) -> None:
        """What becomes of an attempt that is over does not touch the next one."""
        self.connector.connect()
        protocol = self.endpoint.accept()
        protocol.connectionLost(connectionDone)
        self.connector.connect()
        protocol.connectionLost(connectionDone)
        self.assertEqual("connecting", self.connector.state)
        self.assertEqual(1, self.factory.told.count("lost"))

    def test_protocol_raises_when_told_of_the_loss(self) -> None:
        """The factory hears of the loss even if its protocol raises."""

        class Raising(Noting):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                raise RuntimeError("not today")

        self.factory.builds = Raising
        self.connector.connect()
        protocol = self.endpoint.accept()
        self.assertRaises(RuntimeError, protocol.connectionLost, connectionDone)
        self.assertEqual(["start", "connecting", "lost", "stop"], self.factory.told)

    def test_destination(self) -> None:
        """The destination is the endpoint's own, or holds its repr."""
        reactor = ScriptedReactor()
        ours = HappyEyeballsEndpoint(reactor, "example.org", 80, lookup_timeout=None, connect_timeout=None)
        destination = EndpointConnector(ours, self.factory).getDestination()
        self.assertEqual(HostnameAddress(b"example.org", 80), destination)
        other = self.connector.getDestination()
        self.assertTrue(IAddress.providedBy(other))
        self.assertIn("ScriptedEndpoint", repr(other))


class WatchedTests(SynchronousTestCase):
    """What stands between transport and protocol is not noticed by either."""

    def built(self, protocol: IProtocol, factory: ClientFactory[Any] | None = None) -> Any:
        endpoint = ScriptedEndpoint()
        factory = ClientFactory() if factory is None else factory
        self.patch(factory, "buildProtocol", lambda address: protocol)
        EndpointConnector(endpoint, factory).connect()
        self.attempt = endpoint.factories[0]
        return endpoint.accept()

    def test_final_data_received(self) -> None:
        """A dataReceived declared final is the one the transport calls: no frame stands between."""

        class Final(Noting):
            @typing.final
            def dataReceived(self, data: bytes) -> None:
                self.told.append(data)

        protocol = Final()
        self.assertEqual(protocol.dataReceived, self.built(protocol).dataReceived)

    def test_replaced_data_received(self) -> None:
        """A protocol may replace its dataReceived while it runs."""
        protocol = Noting()
        seen = self.built(protocol)
        got: list[bytes] = []
        self.patch(protocol, "dataReceived", got.append)
        seen.dataReceived(b"x")
        self.assertEqual([b"x"], got)

    def test_slots(self) -> None:
        """A protocol with slots, which takes no other attributes, is watched as well."""

        @implementer(IProtocol)
        class Slotted:
            __slots__ = ("lost", "transport")

            def makeConnection(self, transport: object) -> None:
                self.transport = transport

            def connectionMade(self) -> None:
                raise AssertionError("makeConnection is what transports call")

            def dataReceived(self, data: bytes) -> None:
                raise AssertionError("no data was sent")

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.lost = reason

        protocol = Slotted()
        self.built(protocol).connectionLost(connectionDone)
        self.assertIs(connectionDone, protocol.lost)

    def test_handshake_listener(self) -> None:
        """A protocol that listens for the handshake is seen to, and is told."""

        @implementer(IHandshakeListener)
        class Listening(Noting):
            def handshakeCompleted(self) -> None:
                self.told.append("handshake")

        protocol = Listening()
        seen = self.built(protocol)
        self.assertTrue(IHandshakeListener.providedBy(seen))
        seen.handshakeCompleted()
        self.assertEqual(["made", "handshake"], protocol.told)
        self.assertFalse(IHandshakeListener.providedBy(self.built(Noting())))

    def test_negotiation_factory(self) -> None:
        """A factory that negotiates protocols is seen to, and is asked."""

        @implementer(IProtocolNegotiationFactory)
        class Negotiating(NotingFactory):
            def acceptableProtocols(self) -> list[bytes]:
                return [b"h2", b"http/1.1"]

        self.built(Noting(), Negotiating())
        self.assertTrue(IProtocolNegotiationFactory.providedBy(self.attempt))
        self.assertEqual([b"h2", b"http/1.1"], cast(Any, self.attempt).acceptableProtocols())
        self.built(Noting())
        self.assertFalse(IProtocolNegotiationFactory.providedBy(self.attempt))


class ConnectFailureTests(SynchronousTestCase):
    """What a failure to connect is called."""

    def message(self, reason: BaseException) -> str:
        failed = connect_failure("example.org:80", Failure(reason))
        self.assertIsInstance(failed, ConnectFailed)
        self.assertIs(reason, cast(ConnectFailed, failed).reason)
        return str(failed)

    def test_known(self) -> None:
        """Each of Twisted's errors has a sentence of what happened and what to do; the exception is the reason."""
        cases: Iterable[tuple[BaseException, str, str]] = (
            (REFUSED, "connection refused", "port"),
            (error.TimeoutError(), "no answer", "connect_timeout"),
            (error.TCPTimedOutError(errno.ETIMEDOUT, "late"), "no answer", "firewall"),
            (error.DNSLookupError("none"), "the name has no address", "spelling"),
            (error.ConnectingCancelledError(None), "the attempt was cancelled", "again"),
            (error.UserError(), "the attempt was cancelled", "again"),
            (defer.CancelledError(), "the attempt was cancelled", "again"),
            (NO_ROUTE, "no route to the host", "network"),
            (error.ConnectBindError(errno.EADDRNOTAVAIL, "no"), "the local address cannot be used", "tcp_opts.bind_address"),
            (error.BadFileError(string="x"), "no such UNIX socket", "path"),
            (error.getConnectError((errno.ENOENT, "none")), "no such UNIX socket", "path"),
            (error.getConnectError((errno.EACCES, "denied")), "permission denied", "rights"),
            (error.getConnectError((errno.EHOSTUNREACH, "unreachable")), "no route to the host", "the host is up"),
            (error.NoProtocol(), "no protocol was built", "buildProtocol"),
        )
        for reason, happened, advice in cases:
            message = self.message(reason)
            self.assertTrue(message.startswith(f"example.org:80: {happened}"), message)
            self.assertIn(advice, message.split("; ", 1)[1])

    def test_other(self) -> None:
        """Any other exception is named and quoted."""
        self.assertIn("example.org:80: KeyError: 'x'; the attribute `reason`", self.message(KeyError("x")))

    def test_ours(self) -> None:
        """A GunError passes through as it is."""
        ours: GunError = TimedOut("lookup", 5.0)
        self.assertIs(ours, connect_failure("example.org:80", Failure(ours)))


class LoopbackTests(TestCase):
    """The same with real sockets on the loopback."""

    @defer.inlineCallbacks
    def test_reconnects(self) -> Generator[Deferred[Any], Any, None]:
        """A ReconnectingClientFactory over an endpoint connects again after a loss, until it is told to stop."""
        server, port = listen(self)
        stopped: Deferred[None] = Deferred()

        class Reconnecting(ReconnectingClientFactory):
            protocol = Noting
            noisy = False
            initialDelay = delay = 0.001
            jitter = 0

            def stopFactory(self) -> None:
                if not self.continueTrying:
                    stopped.callback(None)

        factory = Reconnecting()
        endpoint = HappyEyeballsEndpoint(installed_reactor, "127.0.0.1", port, lookup_timeout=5.0, connect_timeout=5.0)
        connector = EndpointConnector(endpoint, factory)
        connector.connect()
        for _ in range(3):
            accepted = yield server.accepted.get()
            accepted.transport.loseConnection()
        accepted = yield server.accepted.get()
        factory.stopTrying()
        accepted.transport.loseConnection()
        yield stopped
        self.assertEqual("disconnected", connector.state)
        self.assertEqual([], server.accepted.pending)
