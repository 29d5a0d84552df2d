"""What tests of dialling use: a memory reactor with a scripted resolver, protocols and factories that take notes, a server."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet import defer, error
from twisted.internet import reactor as installed_reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

REFUSED = error.ConnectionRefusedError(errno.ECONNREFUSED, "refused")
NO_ROUTE = error.NoRouteError(errno.ENETUNREACH, "unreachable")


@implementer(IHostResolution)
class ScriptedResolution:
    """A lookup under way, which the test answers."""

    def __init__(self, name: str, receiver: IResolutionReceiver, port: int) -> None:
        self.name = name
        self.receiver = receiver
        self.port = port
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1

    def answer(self, *hosts: str) -> None:
        for host in hosts:
            kind = IPv6Address if ":" in host else IPv4Address
            self.receiver.addressResolved(kind("TCP", host, self.port))
        self.receiver.resolutionComplete()


@implementer(IHostnameResolver)
class ScriptedResolver:
    """Keeps every lookup; answers at once when it has `hosts`; raises `problem` if it has one."""

    def __init__(self) -> None:
        self.lookups: list[ScriptedResolution] = []
        self.families: list[Sequence[type[IAddress]] | None] = []
        self.hosts: tuple[str, ...] = ()
        self.problem: Exception | None = None

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        if self.problem is not None:
            raise self.problem
        resolution = ScriptedResolution(hostName, resolutionReceiver, portNumber)
        self.lookups.append(resolution)
        self.families.append(addressTypes)
        resolutionReceiver.resolutionBegan(resolution)
        if self.hosts:
            resolution.answer(*self.hosts)
        return resolution


class ScriptedReactor(MemoryReactorClock):
    """A memory reactor with a scripted resolver, which notes when each address was dialled and can end each attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.resolver = ScriptedResolver()
        self.nameResolver = self.resolver
        self.dialled: list[tuple[float, str]] = []

    def connectTCP(self, host: str, port: int, factory: Any, timeout: Any = 30, bindAddress: Any = None) -> IConnector:
        self.dialled.append((self.seconds(), host))
        return cast(IConnector, super().connectTCP(host, port, factory, timeout, bindAddress))

    @property
    def hosts(self) -> list[str]:
        return [host for _, host in self.dialled]

    def index(self, host: str) -> int:
        return len(self.hosts) - 1 - self.hosts[::-1].index(host)

    def refuse(self, host: str, reason: BaseException = REFUSED) -> None:
        at = self.index(host)
        self.tcpClients[at][2].clientConnectionFailed(self.connectors[at], Failure(reason))

    def accept(self, host: str) -> StringTransport:
        address = IPv6Address("TCP", host, 80) if ":" in host else IPv4Address("TCP", host, 80)
        protocol = self.tcpClients[self.index(host)][2].buildProtocol(address)
        transport = StringTransport(peerAddress=address)
        if protocol is not None:
            protocol.makeConnection(transport)
        return transport

    def stopped(self) -> list[str]:
        """Whose attempt was told to stop."""
        return [host for host, connector in zip(self.hosts, self.connectors, strict=True) if connector.stoppedConnecting]


class Noting(Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append("lost")


class NotingFactory(ClientFactory):  # without its parameter, which Twisted 25 does not know
    """Notes what it is told, and what it built."""

    noisy = False

    def __init__(self) -> None:
        self.told: list[object] = []
        self.failures: list[Failure] = []
        self.built: list[Noting] = []
        self.builds: Callable[[], Noting | None] = Noting
        self.on_failed: Callable[[IConnector], object] = lambda connector: None
        self.on_started: Callable[[IConnector], object] = lambda connector: None

    def startFactory(self) -> None:
        self.told.append("start")

    def stopFactory(self) -> None:
        self.told.append("stop")

    def startedConnecting(self, connector: IConnector) -> None:
        self.told.append("connecting")
        self.on_started(connector)

    def buildProtocol(self, addr: IAddress | None) -> Noting | None:
        protocol = self.builds()
        if protocol is not None:
            self.built.append(protocol)
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.told.append("failed")
        self.failures.append(reason)
        self.on_failed(connector)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        self.told.append("lost" if self.built[-1].told[-1] == "lost" else "lost before its protocol")
        self.failures.append(reason)


class TwoAddressResolver(ScriptedResolver):
    """Says of every name that it has these addresses."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self.hosts = hosts


class Accepted(Noting):
    """Puts itself into the queue once it is connected."""

    def __init__(self, accepted: defer.DeferredQueue[Noting]) -> None:
        super().__init__()
        self.accepted = accepted

    def connectionMade(self) -> None:
        self.accepted.put(self)


class Server(Factory):  # without its parameter, which Twisted 25 does not know
    """Accepts; `accepted` has the protocol of the next connection."""

    noisy = False

    def __init__(self) -> None:
        self.accepted: defer.DeferredQueue[Noting] = defer.DeferredQueue()

    def buildProtocol(self, addr: IAddress | None) -> Noting:
        return Accepted(self.accepted)


def listen(case: TestCase) -> tuple[Server, int]:
    """A server on a port of 127.0.0.1, until the test ends."""
    server = Server()
    listener = cast(Any, installed_reactor).listenTCP(0, server, interface="127.0.0.1")
    case.addCleanup(listener.stopListening)
    return server, listener.getHost().port
