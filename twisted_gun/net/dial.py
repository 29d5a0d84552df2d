"""
Dialling: from a host and a port, or any endpoint, to a connected protocol.

Holds the RFC 8305 ("happy eyeballs") endpoint, the choice of an endpoint, an `IConnector` over any endpoint, and what a failure
to connect is called. Does not know TLS, HTTP, retries, or what the protocol is that it connects.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import Any, Literal, cast

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from twisted_gun.errors import ConnectFailed, GunError, TimedOut
from twisted_gun.headers import ascii_name
from twisted_gun.options import Options

__all__ = ["EndpointConnector", "HappyEyeballsEndpoint", "connect_failure", "endpoint_for"]

#: How many addresses of one name are dialled: a name with thousands of them shall not make us open thousands of sockets.
MAX_ADDRESSES = 16


def endpoint_for(reactor: Any, options: Options, host: str, port: int, path: str | None = None) -> IStreamClientEndpoint:
    """What to dial: `options.endpoint` if there is one, else the UNIX socket at `path`, else `host` and `port` over TCP."""
    if options.endpoint is not None:
        return cast(IStreamClientEndpoint, options.endpoint)
    if path is not None:
        return cast(IStreamClientEndpoint, UNIXClientEndpoint(reactor, path, timeout=options.connect_timeout))
    return HappyEyeballsEndpoint(
        reactor,
        host,
        port,
        lookup_timeout=options.domain_lookup_timeout,
        connect_timeout=options.connect_timeout,
        bind_address=options.tcp_opts.bind_address,
    )


@implementer(IStreamClientEndpoint)
@dataclass(eq=False, repr=False)
class HappyEyeballsEndpoint:
    """
    Connects to whichever address of `host` answers first (RFC 8305).

    `host` is a name, looked up anew by every `connect`, or an IP address without brackets, dialled as it is. `lookup_timeout` and
    `connect_timeout` bound these two steps, `attempt_delay` is how long one address is waited for before the next is tried as
    well; all in seconds, None for no limit. With a `bind_address` of one family, addresses of the other are not dialled.
    """

    reactor: Any
    host: str
    port: int
    _: KW_ONLY
    lookup_timeout: float | None
    connect_timeout: float | None
    bind_address: tuple[str, int] | None = None
    attempt_delay: float = 0.25

    def __post_init__(self) -> None:
        self.destination = _destination(self.host, self.port)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {_authority(self.host, self.port)}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        A Deferred of the protocol, connected; only for the winner is `protocolFactory` asked for one.

        Fails with `ConnectFailed`, with `TimedOut` (stage ``lookup`` or ``connect``), with `ConnectingCancelledError` when
        cancelled, and with whatever `protocolFactory` raises.
        """
        return self._look_up().addCallback(self._race, protocolFactory)

    def _look_up(self) -> Deferred[list[str]]:
        if _is_literal(self.host) or not IReactorPluggableNameResolver.providedBy(self.reactor):
            # Without a resolver to ask, connectTCP resolves the name itself.
            return succeed([self.host])
        reactor: Any = self.reactor
        lookup = _Lookup(reactor, self.destination, self.host, self.port)
        return lookup.start(reactor.nameResolver, self.lookup_timeout)

    def _race(self, addresses: list[str], factory: IProtocolFactory) -> Deferred[IProtocol]:
        usable = [address for address in addresses if _same_family(address, self.bind_address)]
        if not usable:
            reason = error.NoRouteError(string="no address is of the family of the local address")
            what = f"none of its addresses ({', '.join(addresses)}) is of the family of the local address {self.bind_address}"
            raise ConnectFailed(f"{_authority(self.host, self.port)}: {what}; change tcp_opts.bind_address", reason)
        name, chosen = _authority(self.host, self.port), _interleaved(usable)[:MAX_ADDRESSES]
        race = _Race(self.reactor, self.destination, name, chosen, partial(self._dial, factory), self.attempt_delay)
        return race.start(self.connect_timeout)

    def _dial(self, factory: IProtocolFactory, race: _Race, address: str) -> Deferred[IProtocol]:
        kind = TCP6ClientEndpoint if isIPv6Address(address) else TCP4ClientEndpoint
        no_timeout: Any = None  # the race has one for the whole step
        endpoint = kind(self.reactor, address, self.port, no_timeout, self.bind_address)
        return endpoint.connect(_Entrant(race, address, factory))


@implementer(IResolutionReceiver)
@dataclass(eq=False)
class _Lookup:
    """One lookup of a name: it ends with the addresses as text, in the resolver's order and none twice, or with an error."""

    clock: IReactorTime
    destination: IAddress
    host: str
    port: int

    def __post_init__(self) -> None:
        self._addresses: dict[str, None] = {}
        self._resolution: IHostResolution | None = None
        self._timer: IDelayedCall | None = None
        self._result: Deferred[list[str]] = Deferred(self._cancelled)

    def start(self, resolver: IHostnameResolver, timeout: float | None) -> Deferred[list[str]]:
        if timeout is not None:
            self._timer = self.clock.callLater(timeout, self._timed_out, timeout)
        maybeDeferred(self._ask, resolver).addErrback(self._failed)
        return self._result

    def _ask(self, resolver: IHostnameResolver) -> IHostResolution:
        return resolver.resolveHostName(self, _resolvable(self.host), self.port, [IPv4Address, IPv6Address])

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, (IPv4Address, IPv6Address)):
            self._addresses[_address_text(address)] = None

    def resolutionComplete(self) -> None:
        if self._addresses:
            self._end(list(self._addresses))
        else:
            reason = error.DNSLookupError(f"no address found for {self.host!r}")
            self._end(ConnectFailed(f"{_authority(self.host, self.port)}: {_sentence(reason)}", reason))

    def _failed(self, failure: Failure) -> None:
        what = f"{_authority(self.host, self.port)}: the name could not be looked up: {failure.value}; check its spelling"
        self._end(ConnectFailed(what, failure.value))

    def _timed_out(self, seconds: float) -> None:
        self._cancel_resolution()
        name = _authority(self.host, self.port)
        what = f"{name}: timed out: lookup took longer than {seconds} seconds; check the resolver, or raise domain_lookup_timeout"
        self._end(TimedOut("lookup", seconds, what))

    def _cancelled(self, result: Deferred[list[str]]) -> None:
        self._cancel_resolution()
        self._end(error.ConnectingCancelledError(self.destination))

    def _cancel_resolution(self) -> None:
        if self._resolution is not None:
            try:
                self._resolution.cancel()
            except NotImplementedError:
                # Twisted's own resolver runs getaddrinfo in a thread, which nothing can stop: what it finds comes too late.
                self._resolution = None

    def _end(self, outcome: list[str] | Exception) -> None:
        if self._result.called:
            return
        _stop_timer(self._timer)
        if isinstance(outcome, Exception):
            self._result.errback(outcome)
        else:
            self._result.callback(outcome)


@dataclass(eq=False)
class _Race:
    """The attempts of one connect: which are under way, which failed and how, and the one that won."""

    clock: IReactorTime
    destination: IAddress
    name: str
    addresses: Sequence[str]
    dial: Callable[[_Race, str], Deferred[IProtocol]]
    attempt_delay: float

    def __post_init__(self) -> None:
        self._waiting = deque(self.addresses)
        self._attempts: dict[str, Deferred[IProtocol]] = {}
        self._failures: dict[str, BaseException] = {}
        self._winner: str | None = None
        self._over = False
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._result: Deferred[IProtocol] = Deferred(self._cancelled)

    def start(self, timeout: float | None) -> Deferred[IProtocol]:
        if timeout is not None:
            self._deadline = self.clock.callLater(timeout, self._timed_out, timeout)
        self._dial_next()
        return self._result

    def wins(self, address: str) -> bool:
        """Whether the connection to `address` is the first, and so the only one to be wanted."""
        if self._over:
            return False
        self._winner = address
        # RFC 8305 section 5: "Once one of the connection attempts succeeds (generally when the TCP handshake completes), all
        # other connections attempts that have not yet succeeded SHOULD be canceled."
        self._stop()
        return True

    def _dial_next(self) -> None:
        address = self._waiting.popleft()
        self._next = self.clock.callLater(self.attempt_delay, self._dial_next) if self._waiting else None
        attempt = self._attempts[address] = self.dial(self, address)
        attempt.addCallbacks(self._connected, self._failed, errbackArgs=(address,))

    def _connected(self, protocol: IProtocol) -> None:
        if not self._result.called:
            self._result.callback(protocol)
        else:
            # Cancelled by what ran while the winner was being built: nobody waits for this connection any more.
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                transport.loseConnection()

    def _failed(self, failure: Failure, address: str) -> None:
        if self._over:
            # Losers fail because they were cancelled; the winner because the factory built nothing, and that is the result.
            if address == self._winner and not self._result.called:
                self._result.errback(failure)
            return
        del self._attempts[address]
        self._failures[address] = cast(BaseException, failure.value)
        if self._waiting:
            _stop_timer(self._next)
            self._dial_next()
        elif not self._attempts:
            self._fail(self._all_failed())

    def _timed_out(self, seconds: float) -> None:
        what = f"{self.name}: timed out: connect took longer than {seconds} seconds: {self._account()}; "
        self._fail(TimedOut("connect", seconds, what + "check host, port and firewall, or raise connect_timeout"))

    def _cancelled(self, result: Deferred[IProtocol]) -> None:
        self._fail(error.ConnectingCancelledError(self.destination))

    def _fail(self, reason: Exception) -> None:
        self._stop()
        self._result.errback(reason)

    def _stop(self) -> None:
        """No more attempts: those under way are cancelled, except the winner's."""
        self._over = True
        _stop_timer(self._next)
        _stop_timer(self._deadline)
        losers = [attempt for address, attempt in self._attempts.items() if address != self._winner]
        self._attempts.clear()
        for attempt in losers:
            attempt.cancel()

    def _all_failed(self) -> ConnectFailed:
        reason = _most_telling(list(self._failures.values()))
        return ConnectFailed(f"{self.name}: {self._account()}; {_explain(reason)[1]}", reason)

    def _account(self) -> str:
        """What became of each address, in the order of dialling; an address that was dialled as such needs not be named again."""
        fates = {address: _explain(failure)[0] for address, failure in self._failures.items()}
        fates.update(dict.fromkeys(self._attempts, "no answer"))
        if not isinstance(self.destination, HostnameAddress):
            return "; ".join(fates.values())
        return "; ".join(f"{address}: {fates.get(address, 'not tried')}" for address in self.addresses)


@implementer(IProtocolFactory)
@dataclass(eq=False)
class _Entrant:
    """The factory of one attempt in a race: it builds a protocol only if it comes first."""

    race: _Race
    address: str
    factory: IProtocolFactory

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        return self.factory.buildProtocol(addr) if self.race.wins(self.address) else None

    def doStart(self) -> None:
        self.factory.doStart()

    def doStop(self) -> None:
        self.factory.doStop()


@implementer(IConnector)
class EndpointConnector:
    """
    Makes any endpoint usable by a `ClientFactory`, which is told of each attempt as Twisted's connectors tell it.

    `startedConnecting`, then `clientConnectionFailed`, or, once the protocol has been told of the loss, `clientConnectionLost`.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, factory: ClientFactory[Any]) -> None:
        self.state: Literal["disconnected", "connecting", "connected"] = "disconnected"
        self.factory = factory
        self.transport: ITransport | None = None
        self._endpoint = endpoint
        self._attempt: _Attempt | None = None
        self._pending: Deferred[None] | None = None
        self._factory_started = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self._endpoint!r}>"

    def connect(self) -> None:
        """Dial; raises `RuntimeError` unless disconnected."""
        if self.state != "disconnected":
            raise RuntimeError(f"connect: expected a disconnected connector, this one is {self.state}")
        self.state = "connecting"
        attempt = self._attempt = _Attempt(self, self.factory)
        if not self._factory_started:
            self._factory_started = True
            self.factory.doStart()
        self.factory.startedConnecting(self)
        if self._attempt is attempt:  # startedConnecting may have stopped it
            self._dial(attempt)

    def stopConnecting(self) -> None:
        """Give the attempt up: `clientConnectionFailed` follows at once; raises `NotConnectingError` unless connecting."""
        if self.state != "connecting" or self._attempt is None:
            raise error.NotConnectingError(f"this connector is {self.state}")
        if self._pending is None:
            self._failed(Failure(CancelledError()), self._attempt)
        else:
            self._pending.cancel()

    def disconnect(self) -> None:
        """Lose the connection, or stop connecting, whichever there is."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IAddress:
        """The address the endpoint says it dials, or else one that holds the endpoint's `repr`."""
        destination: IAddress | None = getattr(self._endpoint, "destination", None)
        return _EndpointAddress(endpoint=repr(self._endpoint)) if destination is None else destination

    def _dial(self, attempt: _Attempt) -> None:
        dialled = maybeDeferred(self._endpoint.connect, attempt)
        pending: Deferred[None] = dialled.addCallback(self._dialled, attempt)
        if self._attempt is attempt:  # else it is over already, or the next one has begun
            self._pending = pending
        pending.addErrback(self._failed, attempt)

    def _dialled(self, protocol: object, attempt: _Attempt) -> None:
        if self._attempt is attempt and self.state == "connecting":
            # Nobody has connected our protocol, so nobody will ever tell us of its loss.
            raise error.NoProtocol(f"{self._endpoint!r} connected {protocol!r} rather than what the factory builds")

    def _failed(self, failure: Failure, attempt: _Attempt) -> None:
        # An endpoint may fail after it has connected us (it waits for a handshake, say): the loss tells of that.
        if self._attempt is attempt and self.state == "connecting":
            if failure.check(CancelledError):
                failure = Failure(error.ConnectingCancelledError(self.getDestination()))
            self._over(self.factory.clientConnectionFailed, failure)

    def _over(self, tell: Callable[[IConnector, Failure], object], reason: Failure) -> None:
        self.state = "disconnected"
        self.transport = self._attempt = self._pending = None
        tell(self, reason)
        # As Twisted's connectors do: a factory that has connected again from within is not stopped.
        if self.state == "disconnected" and self._factory_started:
            self._factory_started = False
            self.factory.doStop()


@implementer(IProtocolFactory)
class _Attempt:
    """What a connector gives to its endpoint: the real factory, except that its protocol is watched."""

    def __init__(self, connector: EndpointConnector, factory: ClientFactory[Any]) -> None:
        self._connector = connector
        self._factory = factory
        # TLS looks for IProtocolNegotiationFactory and its like here.
        directlyProvides(self, providedBy(factory))

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if not self._current():
            return None
        protocol = self._factory.buildProtocol(addr)
        # What is built by a factory that has stopped us meanwhile is not wanted.
        if protocol is None or not self._current():
            return None
        return cast(IProtocol, _Watched(protocol, self))

    def doStart(self) -> None:
        """The connector starts the real factory, once per attempt, whether its endpoint does or not."""

    def doStop(self) -> None:
        """Likewise."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def made(self, transport: ITransport) -> None:
        if self._current():
            self._connector.state = "connected"
            self._connector.transport = transport

    def lost(self, reason: Failure) -> None:
        if self._current():
            self._connector._over(self._connector.factory.clientConnectionLost, reason)

    def _current(self) -> bool:
        return self._connector._attempt is self


class _Watched:
    """
    Stands between a transport and a protocol, in order to see the connection made and lost, and nothing else.

    Of the ways to hear of a loss from any protocol whatever, this is the one that touches nobody's object: to set the protocol's
    own `connectionLost` fails on slots, and a subclass made on the fly surprises its author. What speaks against a proxy is one
    more call for each read. A protocol that declares its `dataReceived` with `typing.final` is spared it: its bound method is
    found here in the instance. Others may replace theirs while they run, as some of Twisted's do, so it is looked up each time.
    """

    def __init__(self, protocol: IProtocol, attempt: _Attempt) -> None:
        self._protocol = protocol
        self._attempt = attempt
        if getattr(protocol.dataReceived, "__final__", False):
            self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def makeConnection(self, transport: ITransport) -> None:
        self._attempt.made(transport)
        self._protocol.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        try:
            self._protocol.connectionLost(reason)
        finally:
            self._attempt.lost(reason)

    def __getattr__(self, name: str) -> Any:
        # Among the rest what zope keeps of interfaces: TLS looks for IHandshakeListener here, TCP for IHalfCloseableProtocol.
        return getattr(self._protocol, name)


@implementer(IAddress)
@dataclass(frozen=True, slots=True, kw_only=True)
class _EndpointAddress:
    """The destination of an endpoint that does not tell it."""

    endpoint: str

    def __str__(self) -> str:
        return self.endpoint


def connect_failure(destination: str, failure: Failure) -> GunError:
    """What kept us from connecting to `destination`, as `ConnectFailed` with a `reason`; a `GunError` stays what it is."""
    reason = cast(BaseException, failure.value)
    if isinstance(reason, GunError):
        return reason
    return ConnectFailed(f"{destination}: {_sentence(reason)}", reason)


#: What happened and what to do, by the exception; a class stands before those it is derived from.
_EXPLANATIONS: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((error.ConnectionRefusedError,), "connection refused", "check the port, and that the server runs"),
    ((error.TCPTimedOutError, error.TimeoutError), "no answer", "check host, port and firewall, or raise connect_timeout"),
    ((error.DNSLookupError, error.UnknownHostError), "the name has no address", "check its spelling and the resolver"),
    ((error.ConnectingCancelledError, error.UserError, CancelledError), "the attempt was cancelled", "connect again if need be"),
    ((error.NoRouteError,), "no route to the host", "check this machine's network"),
    ((error.ConnectBindError,), "the local address cannot be used", "check tcp_opts.bind_address"),
    ((error.BadFileError, FileNotFoundError), "no such UNIX socket", "check the path, and that the server runs"),
    ((error.NoProtocol,), "no protocol was built for the connection", "let the factory's buildProtocol return one"),
)

#: Likewise for the errors of the operating system that Twisted has no class for, by their number.
_NUMBERED = {
    errno.ENOENT: ("no such UNIX socket", "check the path, and that the server runs"),
    errno.EACCES: ("permission denied", "check the rights on the socket's path, or the firewall of this machine"),
    errno.EHOSTUNREACH: ("no route to the host", "check this machine's network, and that the host is up"),
}


def _explain(reason: BaseException) -> tuple[str, str]:
    """What happened, and what to do about it."""
    number = getattr(reason, "osError", None)
    if number in _NUMBERED and type(reason) is error.ConnectError:
        return _NUMBERED[number]
    for kinds, happened, advice in _EXPLANATIONS:
        if isinstance(reason, kinds):
            return happened, advice
    return f"{type(reason).__name__}: {str(reason).rstrip('.')}", "the attribute `reason` has the details"


def _sentence(reason: BaseException) -> str:
    return "; ".join(_explain(reason))


def _most_telling(failures: Sequence[BaseException]) -> BaseException:
    """The last failure that came from the other side, for one address without a route says nothing about the server."""
    answers = [failure for failure in failures if isinstance(failure, (error.ConnectionRefusedError, error.TCPTimedOutError))]
    return (answers or failures)[-1]


def _interleaved(addresses: Iterable[str]) -> list[str]:
    """
    `addresses` with the families in turn.

    RFC 8305 section 4: "Whichever address family is first in the list should be followed by an address of the other address
    family; that is, if the first address in the sorted list is IPv6, then the first IPv4 address should be moved up in the
    list to be second in the list."
    """
    families: dict[bool, list[str]] = {}
    for address in addresses:
        families.setdefault(isIPv6Address(address), []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


def _same_family(address: str, bind_address: tuple[str, int] | None) -> bool:
    """Whether `address` can be dialled from `bind_address`; a local address that is no IP address has no family."""
    if bind_address is None or not _is_literal(bind_address[0]) or not _is_literal(address):
        return True
    return isIPv6Address(address) == isIPv6Address(bind_address[0])


def _is_literal(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


def _address_text(address: IPv4Address | IPv6Address) -> str:
    """A resolved address as it can be dialled: a link-local one is nothing without its scope (RFC 4007 section 11)."""
    scope = getattr(address, "scopeID", 0)
    return f"{address.host}%{scope}" if scope and "%" not in address.host else address.host


def _resolvable(host: str) -> str:
    """
    `host` as a resolver may be given it: `ValueError` for what none can look up.

    Twisted's resolver calls getaddrinfo in a thread and never completes when that raises UnicodeError or ValueError, so what
    would make it do so is kept from it.
    """
    name = ascii_name(host)
    fits = len(name) <= 254 and all(0 < len(label) <= 63 for label in name.removesuffix(".").split("."))
    if not fits or any(character <= " " or character == "\x7f" for character in name):
        raise ValueError(f"expected labels of 1 to 63 characters, at most 253 in all and without spaces, not {host!r}")
    return name


def _destination(host: str, port: int) -> IAddress:
    if isIPAddress(host):
        return IPv4Address("TCP", host, port)
    if isIPv6Address(host):
        return IPv6Address("TCP", host, port)
    return HostnameAddress(host.encode(), port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if isIPv6Address(host) else f"{host}:{port}"


def _stop_timer(timer: IDelayedCall | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()
