"""Tests of `twisted_gun.net.dial`, the endpoint: by a `Clock` and a scripted resolver, then for real."""

from __future__ import annotations

import errno
import socket
from collections.abc import Generator
from typing import Any, cast

from twisted.internet import defer, error
from twisted.internet import reactor as installed_reactor
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer_only
from zope.interface.verify import verifyObject

from tests.net.dialling import (
    NO_ROUTE,
    REFUSED,
    Noting,
    NotingFactory,
    ScriptedReactor,
    TwoAddressResolver,
    listen,
)
from twisted_gun.errors import ConnectFailed, TimedOut
from twisted_gun.net.dial import MAX_ADDRESSES, HappyEyeballsEndpoint, connect_failure, endpoint_for
from twisted_gun.options import Options, TcpOptions


class DialTestCase(SynchronousTestCase):
    """What tests of the endpoint share."""

    def setUp(self) -> None:
        self.reactor = ScriptedReactor()
        self.resolver = self.reactor.resolver
        self.factory = NotingFactory()

    def endpoint(self, host: str = "example.org", port: int = 80, **options: Any) -> HappyEyeballsEndpoint:
        return HappyEyeballsEndpoint(self.reactor, host, port, **{"lookup_timeout": 5.0, "connect_timeout": 10.0, **options})

    def dial(self, *hosts: str, **options: Any) -> Deferred[IProtocol]:
        """Connect to a name that has these addresses."""
        self.resolver.hosts = hosts
        return self.endpoint(**options).connect(self.factory)

    def assert_nothing_left(self, result: Deferred[IProtocol] | None = None) -> None:
        """No delayed call, and every attempt was either ended by the test or stopped."""
        self.assertEqual([], self.reactor.getDelayedCalls())
        if result is not None:
            self.assertNoResult(result)

    def timed_out(self, result: Deferred[IProtocol]) -> tuple[str, float]:
        problem = self.failed(result, TimedOut)
        return problem.stage, problem.seconds

    def failed(self, result: Deferred[IProtocol], kind: type[Exception]) -> Any:
        failure = self.failureResultOf(result, kind)
        self.assertEqual([], self.reactor.getDelayedCalls())
        return failure.value


class LiteralTests(DialTestCase):
    """An IP address is dialled as it is."""

    def test_no_lookup(self) -> None:
        """Addresses of either family, with a scope or without, are dialled at once and never looked up."""
        for host in ("127.0.0.1", "::1", "fe80::1%1"):
            self.endpoint(host).connect(self.factory)
        self.assertEqual(["127.0.0.1", "::1", "fe80::1%1"], self.reactor.hosts)
        self.assertEqual([], self.resolver.lookups)

    def test_connects(self) -> None:
        """The Deferred has the protocol, connected; no timer is left."""
        result = self.endpoint("::1").connect(self.factory)
        self.reactor.accept("::1")
        protocol = self.successResultOf(result)
        self.assertEqual([protocol], self.factory.built)
        self.assertEqual(["made"], self.factory.built[0].told)
        self.assert_nothing_left()

    def test_refused(self) -> None:
        """The message names the address once, what happened and what to do."""
        result = self.endpoint("::1", 81).connect(self.factory)
        self.reactor.refuse("::1")
        problem = self.failed(result, ConnectFailed)
        self.assertEqual("[::1]:81: connection refused; check the port, and that the server runs", str(problem))
        self.assertIs(REFUSED, problem.reason)

    def test_unknown_scope(self) -> None:
        """A scope this machine does not have is a failure to connect, not an exception at the call."""
        endpoint = HappyEyeballsEndpoint(installed_reactor, "fe80::1%nosuch", 80, lookup_timeout=None, connect_timeout=None)
        problem = self.failureResultOf(endpoint.connect(self.factory), ConnectFailed).value
        self.assertIsInstance(problem.reason, socket.gaierror)
        self.assertIn("[fe80::1%nosuch]:80: gaierror: ", str(problem))


class LookupTests(DialTestCase):
    """Names are looked up anew at each connect, for so long."""

    def test_asks_for_both_families(self) -> None:
        """The resolver is given the name and asked for IPv4 and IPv6."""
        self.endpoint().connect(self.factory)
        self.assertEqual(["example.org"], [lookup.name for lookup in self.resolver.lookups])
        self.assertEqual([[IPv4Address, IPv6Address]], self.resolver.families)

    def test_names(self) -> None:
        """Underscores and the trailing dot are kept; a name that is not ASCII is asked for by IDNA."""
        for name in ("my_host.example.org", "example.org.", "bücher.my_zone.example"):
            self.endpoint(name).connect(self.factory)
        names = [lookup.name for lookup in self.resolver.lookups]
        self.assertEqual(["my_host.example.org", "example.org.", "xn--bcher-kva.my_zone.example"], names)

    def test_every_connect(self) -> None:
        """A second connect looks up again and dials the new address."""
        endpoint = self.endpoint()
        for host in ("192.0.2.1", "192.0.2.2"):
            self.resolver.hosts = (host,)
            endpoint.connect(self.factory)
        self.assertEqual(["192.0.2.1", "192.0.2.2"], self.reactor.hosts)

    def test_no_address(self) -> None:
        """A name without addresses is `ConnectFailed` because of a `DNSLookupError`."""
        result = self.endpoint().connect(self.factory)
        self.resolver.lookups[0].answer()
        problem = self.failed(result, ConnectFailed)
        self.assertIsInstance(problem.reason, error.DNSLookupError)
        self.assertIn("example.org:80: the name has no address; check", str(problem))

    def test_timeout(self) -> None:
        """Just before the limit a lookup goes on; at the limit it is cancelled and fails."""
        result = self.endpoint(lookup_timeout=5.0).connect(self.factory)
        self.reactor.advance(4.999)
        self.assertNoResult(result)
        self.assertEqual(0, self.resolver.lookups[0].cancelled)
        self.reactor.advance(0.001)
        problem = self.failed(result, TimedOut)
        self.assertEqual(("lookup", 5.0), (problem.stage, problem.seconds))
        self.assertIn("domain_lookup_timeout", str(problem))
        self.assertEqual(1, self.resolver.lookups[0].cancelled)

    def test_answer_too_late(self) -> None:
        """What a resolver finds after the limit is not dialled."""
        result = self.endpoint(lookup_timeout=5.0).connect(self.factory)
        self.reactor.advance(5.001)
        self.resolver.lookups[0].answer("192.0.2.1")
        self.failed(result, TimedOut)
        self.assertEqual([], self.reactor.hosts)

    def test_no_limit(self) -> None:
        """Without a limit the lookup may take any time, and starts no timer."""
        result = self.endpoint(lookup_timeout=None).connect(self.factory)
        self.assert_nothing_left(result)
        self.reactor.advance(1e6)
        self.resolver.lookups[0].answer("192.0.2.1")
        self.assertEqual(["192.0.2.1"], self.reactor.hosts)

    def test_time_of_lookup_is_not_of_connect(self) -> None:
        """The limit of the connect step runs from the end of the lookup."""
        result = self.endpoint(lookup_timeout=5.0, connect_timeout=10.0).connect(self.factory)
        self.reactor.advance(4)
        self.resolver.lookups[0].answer("192.0.2.1")
        self.reactor.advance(9.9)
        self.assertNoResult(result)
        self.reactor.advance(0.1)
        self.assertEqual("connect", self.failed(result, TimedOut).stage)

    def test_resolver_raises(self) -> None:
        """A resolver that raises at the call fails the Deferred, with its exception as the reason."""
        for problem in (UnicodeError("label too long"), ValueError("embedded null"), OSError("no resolver")):
            self.resolver.problem = problem
            failed = self.failed(self.endpoint().connect(self.factory), ConnectFailed)
            self.assertIs(problem, failed.reason)
            self.assertIn(f"example.org:80: the name could not be looked up: {problem}", str(failed))

    def test_bad_names(self) -> None:
        """What Twisted's resolver would never come back from is refused before it is asked."""
        for name in (
            "",
            "a..b",
            ".a",
            "a" * 64 + ".org",
            "a b",
            "a\0b",
            "ab." * 90 + "c",
            "\N{SNOWMAN}\N{ZERO WIDTH JOINER}.org",
        ):
            problem = self.failed(self.endpoint(name).connect(self.factory), ConnectFailed)
            self.assertIsInstance(problem.reason, ValueError, name)
        self.assertEqual([], self.resolver.lookups)

    def test_longest_names(self) -> None:
        """Labels of 63 characters, and 253 characters with a trailing dot after them, are looked up."""
        name = ".".join(["a" * 63] * 3 + ["b" * 61])
        for allowed in (name, name + "."):
            self.endpoint(allowed, lookup_timeout=None).connect(self.factory)
        self.assertEqual([name, name + "."], [lookup.name for lookup in self.resolver.lookups])
        self.failed(self.endpoint("c" + name).connect(self.factory), ConnectFailed)

    def test_cancel(self) -> None:
        """Cancelling during the lookup cancels it, and fails as other endpoints do."""
        result = self.endpoint().connect(self.factory)
        result.cancel()
        problem = self.failed(result, error.ConnectingCancelledError)
        self.assertEqual(HostnameAddress(b"example.org", 80), problem.address)
        self.assertEqual(1, self.resolver.lookups[0].cancelled)
        self.resolver.lookups[0].answer("192.0.2.1")
        self.assertEqual([], self.reactor.hosts)

    def test_cancel_what_cannot_be(self) -> None:
        """Twisted's resolutions raise NotImplementedError from cancel: ours is cancelled all the same."""
        result = self.endpoint().connect(self.factory)

        def cancel() -> None:
            raise NotImplementedError

        self.patch(self.resolver.lookups[0], "cancel", cancel)
        result.cancel()
        self.failed(result, error.ConnectingCancelledError)

    def test_without_resolver(self) -> None:
        """A reactor without a resolver of names is given the name itself."""

        @implementer_only(IReactorTCP, IReactorTime)
        class Plain(ScriptedReactor):
            """Provides no IReactorPluggableNameResolver."""

        self.reactor = Plain()
        self.assertFalse(IReactorPluggableNameResolver.providedBy(self.reactor))
        result = self.endpoint().connect(self.factory)
        self.assertEqual(["example.org"], self.reactor.hosts)
        self.reactor.accept("example.org")
        self.successResultOf(result)
        self.assert_nothing_left()


class OrderTests(DialTestCase):
    """Which addresses are dialled, and in what order."""

    def order(self, *hosts: str, **options: Any) -> list[str]:
        self.dial(*hosts, **options)
        self.reactor.pump([0.25] * 30)
        return self.reactor.hosts

    def test_interleaved(self) -> None:
        """Families take turns, that of the first address first; each keeps the resolver's order."""
        order = self.order("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2")
        self.assertEqual(["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"], order)

    def test_ipv4_first(self) -> None:
        """A resolver that prefers IPv4 is obeyed."""
        self.assertEqual(["192.0.2.1", "2001:db8::1", "192.0.2.2"], self.order("192.0.2.1", "192.0.2.2", "2001:db8::1"))

    def test_duplicates(self) -> None:
        """An address that is brought twice is dialled once."""
        self.assertEqual(["192.0.2.2", "192.0.2.1"], self.order("192.0.2.2", "192.0.2.1", "192.0.2.2"))

    def test_most_addresses(self) -> None:
        """At the limit every address is dialled, beyond it no more; both families are among them."""
        for count in (MAX_ADDRESSES - 1, MAX_ADDRESSES, MAX_ADDRESSES + 1):
            self.reactor.dialled.clear()
            order = self.order(*(f"192.0.2.{number}" for number in range(count)), connect_timeout=None)
            self.assertEqual(min(count, MAX_ADDRESSES), len(order))
        self.reactor.dialled.clear()
        order = self.order(*(f"2001:db8::{number}" for number in range(50)), "192.0.2.1", connect_timeout=None)
        self.assertEqual((MAX_ADDRESSES, "192.0.2.1"), (len(order), order[1]))

    def test_other_kinds(self) -> None:
        """Addresses that are no IP addresses are left alone."""
        self.endpoint().connect(self.factory)
        self.resolver.lookups[0].receiver.addressResolved(UNIXAddress("/tmp/socket"))
        self.resolver.lookups[0].answer("192.0.2.1")
        self.assertEqual(["192.0.2.1"], self.reactor.hosts)

    def test_scope(self) -> None:
        """A link-local address is dialled with its scope, which makes it another address."""
        self.endpoint().connect(self.factory)
        receiver = self.resolver.lookups[0].receiver
        for host, scope in (("fe80::1", 2), ("fe80::1", 3), ("fe80::1%4", 4), ("2001:db8::1", 0)):
            receiver.addressResolved(IPv6Address("TCP", host, 80, 0, scope))
        receiver.resolutionComplete()
        self.reactor.pump([0.25] * 3)
        self.assertEqual(["fe80::1%2", "fe80::1%3", "fe80::1%4", "2001:db8::1"], self.reactor.hosts)

    def test_bind_address(self) -> None:
        """From a local address only addresses of its family are dialled, bound to it."""
        self.order("2001:db8::1", "192.0.2.1", "192.0.2.2", bind_address=("127.0.0.1", 0))
        bound = [(client[0], client[4]) for client in self.reactor.tcpClients]
        self.assertEqual([("192.0.2.1", ("127.0.0.1", 0)), ("192.0.2.2", ("127.0.0.1", 0))], bound)

    def test_bind_address_without_family(self) -> None:
        """A local port alone is bound to for either family."""
        self.order("2001:db8::1", "192.0.2.1", bind_address=("", 4000))
        self.assertEqual([("", 4000), ("", 4000)], [client[4] for client in self.reactor.tcpClients])

    def test_bind_address_of_other_family(self) -> None:
        """Where no address has the local address's family nothing is dialled, and the message says why."""
        problem = self.failed(self.dial("192.0.2.1", bind_address=("::1", 0)), ConnectFailed)
        self.assertEqual([], self.reactor.hosts)
        self.assertIn("none of its addresses (192.0.2.1) is of the family of the local address ('::1', 0)", str(problem))
        self.assertIsInstance(problem.reason, error.NoRouteError)


class RaceTests(DialTestCase):
    """When the next address is dialled, who wins, and how it ends."""

    def test_delay(self) -> None:
        """The next attempt starts 250 ms after the last, not before."""
        self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.reactor.advance(0.249)
        self.assertEqual([(0, "192.0.2.1")], self.reactor.dialled)
        self.reactor.advance(0.001)
        self.reactor.advance(0.25)
        self.assertEqual([(0, "192.0.2.1"), (0.25, "192.0.2.2"), (0.5, "192.0.2.3")], self.reactor.dialled)

    def test_own_delay(self) -> None:
        """`attempt_delay` sets it."""
        self.dial("192.0.2.1", "192.0.2.2", attempt_delay=0.1)
        self.reactor.advance(0.1)
        self.assertEqual([(0, "192.0.2.1"), (0.1, "192.0.2.2")], self.reactor.dialled)

    def test_refused_then_next_at_once(self) -> None:
        """A failure starts the next attempt at once, and the delay runs anew from there."""
        self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.reactor.advance(0.1)
        self.reactor.refuse("192.0.2.1")
        self.assertEqual([(0, "192.0.2.1"), (0.1, "192.0.2.2")], self.reactor.dialled)
        self.reactor.advance(0.249)
        self.assertEqual(2, len(self.reactor.dialled))
        self.reactor.advance(0.001)
        self.assertEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"], self.reactor.hosts)

    def test_early_attempt_fails_late(self) -> None:
        """The failure of an earlier attempt starts the next one too, while later ones are under way."""
        self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.reactor.advance(0.25)
        self.reactor.refuse("192.0.2.1")
        self.assertEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"], self.reactor.hosts)

    def test_first_success_wins(self) -> None:
        """The first to connect wins, also if dialled first; all others are cancelled, the rest is not dialled."""
        for winner, losers in (("192.0.2.1", ["192.0.2.2"]), ("192.0.2.2", ["192.0.2.1"])):
            self.reactor = ScriptedReactor()
            self.resolver = self.reactor.resolver
            self.factory = NotingFactory()
            result = self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3")
            self.reactor.advance(0.25)
            self.reactor.accept(winner)
            self.assertEqual([self.successResultOf(result)], self.factory.built)
            self.assertEqual(losers, self.reactor.stopped())
            self.reactor.advance(60)
            self.assertEqual(["192.0.2.1", "192.0.2.2"], self.reactor.hosts)
            self.assert_nothing_left()

    def test_losers_are_cancelled_before_the_winner_speaks(self) -> None:
        """When the winner is connected, no other attempt is under way any more."""
        self.dial("192.0.2.1", "192.0.2.2")
        self.reactor.advance(0.25)
        stopped: list[list[str]] = []

        class Asking(Noting):
            def connectionMade(inner) -> None:  # noqa: N805
                stopped.append(self.reactor.stopped())

        self.factory.builds = Asking
        self.reactor.accept("192.0.2.2")
        self.assertEqual([["192.0.2.1"]], stopped)

    def test_builds_for_the_winner_only(self) -> None:
        """A second connection that is made in the same turn gets no protocol."""
        result = self.dial("192.0.2.1", "192.0.2.2")
        self.reactor.advance(0.25)
        self.reactor.accept("192.0.2.1")
        loser = cast(Any, self.reactor.tcpClients[1][2])._wrappedFactory
        self.assertIsNone(loser.buildProtocol(IPv4Address("TCP", "192.0.2.2", 80)))
        self.successResultOf(result)
        self.assertEqual(1, len(self.factory.built))

    def test_all_fail(self) -> None:
        """The message lists every address and its fate; the reason is the last answer of the other side."""
        result = self.dial("2001:db8::1", "192.0.2.1", "2001:db8::2")
        self.reactor.refuse("2001:db8::1", NO_ROUTE)
        self.reactor.refuse("192.0.2.1")
        self.assertNoResult(result)
        self.reactor.refuse("2001:db8::2", NO_ROUTE)
        problem = self.failed(result, ConnectFailed)
        expected = "example.org:80: 2001:db8::1: no route to the host; 192.0.2.1: connection refused; 2001:db8::2: no route to the host"
        self.assertEqual(f"{expected}; check the port, and that the server runs", str(problem))
        self.assertIs(REFUSED, problem.reason)

    def test_last_reason(self) -> None:
        """Where no other side answered, the reason is the last failure."""
        result = self.dial("192.0.2.1", "2001:db8::1")
        other = error.ConnectBindError(errno.EADDRNOTAVAIL, "not here")
        self.reactor.refuse("192.0.2.1", NO_ROUTE)
        self.reactor.refuse("2001:db8::1", other)
        self.assertIs(other, self.failed(result, ConnectFailed).reason)

    def test_fails_at_the_call(self) -> None:
        """A reactor that raises from connectTCP is a failed attempt like others."""
        problem = OSError(errno.EMFILE, "too many open files")

        def connectTCP(*args: object, **keywords: object) -> None:
            raise problem

        self.patch(self.reactor, "connectTCP", connectTCP)
        failed = self.failed(self.dial("192.0.2.1", "192.0.2.2"), ConnectFailed)
        self.assertIs(problem, failed.reason)
        self.assertIn("192.0.2.1: OSError: ", str(failed))
        self.assertIn("192.0.2.2: OSError: ", str(failed))

    def test_timeout(self) -> None:
        """The limit holds for the whole step: not before it, at it everything is cancelled."""
        result = self.dial("192.0.2.1", "192.0.2.2", connect_timeout=10.0)
        self.reactor.advance(0.25)
        self.reactor.advance(9.749)
        self.assertNoResult(result)
        self.assertEqual([], self.reactor.stopped())
        self.reactor.advance(0.001)
        problem = self.failed(result, TimedOut)
        self.assertEqual(("connect", 10.0), (problem.stage, problem.seconds))
        self.assertEqual(["192.0.2.1", "192.0.2.2"], self.reactor.stopped())

    def test_success_before_timeout(self) -> None:
        """A connection made just before the limit is kept after it."""
        result = self.dial("192.0.2.1", connect_timeout=10.0)
        self.reactor.advance(9.999)
        transport = self.reactor.accept("192.0.2.1")
        self.reactor.advance(1)
        self.successResultOf(result)
        self.assertFalse(transport.disconnecting)
        self.assert_nothing_left()

    def test_timeout_tells_of_each(self) -> None:
        """The message of a timeout tells what each address did, also those never dialled."""
        result = self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3", connect_timeout=0.2)
        self.reactor.refuse("192.0.2.1")
        self.reactor.advance(0.2)
        problem = self.failed(result, TimedOut)
        self.assertIn("192.0.2.1: connection refused; 192.0.2.2: no answer; 192.0.2.3: not tried", str(problem))
        self.assertIn("connect took longer than 0.2 seconds", str(problem))

    def test_no_limit(self) -> None:
        """Without a limit nothing but the attempts' own delays is scheduled."""
        result = self.dial("192.0.2.1", connect_timeout=None)
        self.assert_nothing_left(result)
        self.reactor.advance(1e6)
        self.assertNoResult(result)

    def test_cancel(self) -> None:
        """Cancelling stops every attempt and dials no more."""
        result = self.dial("192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.reactor.advance(0.25)
        result.cancel()
        self.assertEqual(HostnameAddress(b"example.org", 80), self.failed(result, error.ConnectingCancelledError).address)
        self.assertEqual(["192.0.2.1", "192.0.2.2"], self.reactor.stopped())
        self.reactor.advance(60)
        self.assertEqual(2, len(self.reactor.dialled))
        self.assertEqual([], self.factory.built)

    def test_cancel_literal(self) -> None:
        """Cancelling names the address that was dialled."""
        for host, kind in (("192.0.2.1", IPv4Address), ("2001:db8::1", IPv6Address)):
            result = self.endpoint(host).connect(self.factory)
            result.cancel()
            self.assertEqual(kind("TCP", host, 80), self.failed(result, error.ConnectingCancelledError).address)

    def test_cancel_while_building(self) -> None:
        """Cancelled by its own factory, the connection that was just made is lost again."""
        result = self.dial("192.0.2.1")

        def builds() -> Noting:
            result.cancel()
            return Noting()

        self.factory.builds = builds
        transport = self.reactor.accept("192.0.2.1")
        self.failed(result, error.ConnectingCancelledError)
        self.assertTrue(transport.disconnecting)

    def test_no_protocol(self) -> None:
        """A factory that builds nothing ends it with NoProtocol: other addresses are not tried."""
        result = self.dial("192.0.2.1", "192.0.2.2")
        self.factory.builds = lambda: None
        self.reactor.accept("192.0.2.1")
        self.failed(result, error.NoProtocol)
        self.assertEqual(["192.0.2.1"], self.reactor.hosts)

    def test_factory_raises(self) -> None:
        """What the factory raises is what the Deferred fails with."""
        result = self.dial("192.0.2.1")

        def builds() -> Noting:
            raise RuntimeError("not today")

        self.factory.builds = builds
        self.reactor.accept("192.0.2.1")
        self.failed(result, RuntimeError)

    def test_interface(self) -> None:
        """It is an endpoint, and shows what it dials."""
        endpoint = self.endpoint("::1", 443)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        self.assertEqual("<HappyEyeballsEndpoint [::1]:443>", repr(endpoint))


class EndpointForTests(DialTestCase):
    """Which endpoint belongs to which options."""

    def test_given(self) -> None:
        """`endpoint` of the options comes before all else."""
        mine = self.endpoint()
        self.assertIs(mine, endpoint_for(self.reactor, Options(endpoint=mine), "example.org", 80, "/tmp/socket"))

    def test_path(self) -> None:
        """A path is dialled as a UNIX socket, with the connect timeout."""
        endpoint_for(self.reactor, Options(connect_timeout=3.0), "localhost", 0, "/tmp/socket").connect(self.factory)
        self.assertEqual([("/tmp/socket", 3.0)], [(client[0], client[2]) for client in self.reactor.unixClients])

    def test_host(self) -> None:
        """Else it is host and port, with the timeouts and the local address of the options."""
        options = Options(connect_timeout=3.0, domain_lookup_timeout=2.0, tcp_opts=TcpOptions(bind_address=("127.0.0.1", 9)))
        endpoint = endpoint_for(self.reactor, options, "example.org", 8080)
        result = endpoint.connect(self.factory)
        self.reactor.advance(2.0)
        self.assertEqual(("lookup", 2.0), self.timed_out(result))
        self.resolver.hosts = ("192.0.2.1",)
        result = endpoint.connect(self.factory)
        self.assertEqual(("192.0.2.1", 8080, ("127.0.0.1", 9)), tuple(self.reactor.tcpClients[0][at] for at in (0, 1, 4)))
        self.reactor.advance(3.0)
        self.assertEqual(("connect", 3.0), self.timed_out(result))


def unused_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast(int, probe.getsockname()[1])


class LoopbackTests(TestCase):
    """The same with real sockets on the loopback."""

    @defer.inlineCallbacks
    def test_refused_then_connected(self) -> Generator[Deferred[Any], Any, None]:
        """Refused at the first address, it is connected to the second long before the delay has passed."""
        reactor = cast(Any, installed_reactor)
        server, port = listen(self)
        previous = reactor.installNameResolver(TwoAddressResolver("127.0.0.2", "127.0.0.1"))
        self.addCleanup(reactor.installNameResolver, previous)
        endpoint = HappyEyeballsEndpoint(reactor, "two.example", port, lookup_timeout=5.0, connect_timeout=5.0)
        began = reactor.seconds()
        factory = NotingFactory()
        protocol = yield endpoint.connect(factory)
        self.assertLess(reactor.seconds() - began, 0.1)
        self.assertEqual("127.0.0.1", protocol.transport.getPeer().host)
        lost: Deferred[None] = Deferred()
        self.patch(protocol, "connectionLost", lambda reason: lost.callback(None))
        (yield server.accepted.get()).transport.loseConnection()
        yield lost

    @defer.inlineCallbacks
    def test_all_refused(self) -> Generator[Deferred[Any], Any, None]:
        """Refused everywhere, it says so without waiting."""
        reactor = cast(Any, installed_reactor)
        previous = reactor.installNameResolver(TwoAddressResolver("127.0.0.1", "127.0.0.2"))
        self.addCleanup(reactor.installNameResolver, previous)
        endpoint = HappyEyeballsEndpoint(reactor, "two.example", unused_port(), lookup_timeout=5.0, connect_timeout=5.0)
        began = reactor.seconds()
        problem = yield self.assertFailure(endpoint.connect(NotingFactory()), ConnectFailed)
        self.assertLess(reactor.seconds() - began, 0.1)
        self.assertIn("127.0.0.1: connection refused; 127.0.0.2: connection refused", str(problem))
        self.assertIsInstance(problem.reason, error.ConnectionRefusedError)

    @defer.inlineCallbacks
    def test_no_such_unix_socket(self) -> Generator[Deferred[Any], Any, None]:
        """A path without a socket is told as such."""
        endpoint = endpoint_for(installed_reactor, Options(), "localhost", 0, self.mktemp())
        connected = endpoint.connect(NotingFactory())
        try:
            yield connected
        except error.ConnectError:
            failed = connect_failure("local", Failure())
            self.assertIn("local: no such UNIX socket", str(failed))
        else:
            self.fail("it connected")
