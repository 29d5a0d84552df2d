"""The factory alone: a connector that counts, a witness that lives, and a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IConnector
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import twisted_gun as gun
from twisted_gun.net.factory import GunClientFactory
from twisted_gun.net.hop import Hop
from twisted_gun.net.timer import Deadlines


@implementer(IConnector)
class _Connector:  # type: ignore[misc]  # as much of one as the factory uses
    """Counts; stopConnecting raises as Twisted's does when there is nothing to stop."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self.dialled = self.stopped = 0
        self.connecting = False

    def connect(self) -> None:
        self.dialled += 1
        self.connecting = True
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        if not self.connecting:
            raise error.NotConnectingError("not connecting")
        self.connecting = False
        self.stopped += 1
        self.factory.clientConnectionFailed(self, Failure(error.ConnectionRefusedError()))

    def fail(self) -> None:
        self.connecting = False
        self.factory.clientConnectionFailed(self, Failure(error.ConnectionRefusedError()))


class _Living:
    """Keeps what it is told; its hops speak no protocol at all."""

    destination = "example.org:80"

    def __init__(self, deadlines: Deadlines) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._deadlines = deadlines

    def make_hop(self) -> Hop[Any]:
        return _Hop(self, self._deadlines)

    def tell(self, event: object) -> None:
        self.told.append(("tell", event))

    def turn_over(self) -> bool:
        return False

    def went_up(self, hop: Hop[Any]) -> None:
        self.told.append(("up",))

    def went_down(self, hop: Hop[Any], reason: gun.GunError | None) -> None:
        self.told.append(("down", reason))

    def terminated(self, reason: gun.GunError | None) -> None:
        self.told.append(("terminated", reason))


class _Core:
    """How its connection ended, and whether it was of use."""

    def __init__(self, renewable: bool, served: bool) -> None:
        self.renewable, self.served = renewable, served


class _Hop(Hop[Any]):
    """Knows only that it was dropped."""

    dropped = False
    core: Any = _Core(renewable=False, served=False)

    def __init__(self, living: Any, deadlines: Deadlines) -> None:
        super().__init__(living, deadlines, lambda negotiated: self.fail())

    def fail(self) -> Any:
        raise AssertionError("it was connected")

    def drop(self) -> None:
        self.dropped = True


class FactoryTests(SynchronousTestCase):
    """When it dials, and when it stops."""

    def make(self, **options: Any) -> None:
        self.clock = Clock()
        deadlines = Deadlines(self.clock)
        self.living = _Living(deadlines)
        self.factory = GunClientFactory(self.living, gun.Options(**options).settled(80), deadlines, self.clock)
        self.connector = _Connector(self.factory)
        self.connector.connect()

    def lose(self, reason: gun.GunError | None = None, renewable: bool = False, served: bool = False) -> None:
        """A connection that was up is lost."""
        hop: Any = self.factory.buildProtocol(None)
        hop.core = _Core(renewable, served)
        self.connector.connecting = False
        self.factory.hop_up(hop)
        self.factory.hop_lost(hop, True, reason)
        self.factory.clientConnectionLost(self.connector, Failure(error.ConnectionRefusedError()))
        self.clock.advance(0)

    def delay(self) -> float:
        (call,) = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()

    def test_states(self) -> None:
        """The state follows what happens, by Gun's names."""
        self.make(transport="tls", retry=1)
        seen = [self.factory.state]
        hop = self.factory.buildProtocol(None)
        assert hop is not None
        seen.append(self.factory.state)
        self.factory.hop_up(hop)
        seen.append(self.factory.state)
        self.factory.hop_lost(hop, True, None)
        self.factory.clientConnectionLost(self.connector, Failure(error.ConnectionRefusedError()))
        seen.append(self.factory.state)
        self.factory.close()
        seen.append(self.factory.state)
        self.assertEqual(seen, ["connecting", "tls_handshake", "connected", "not_connected", "terminated"])

    def test_quiet(self) -> None:
        """It does not write Twisted's start and stop messages into the log."""
        self.assertFalse(GunClientFactory.noisy)

    def test_first_retry_at_once_then_timeout(self) -> None:
        """The first retry has no delay, the others retry_timeout."""
        self.make(retry=3, retry_timeout=7.0)
        delays = []
        for _ in range(3):
            self.connector.fail()
            delays.append(self.delay())
            self.clock.advance(delays[-1])
        self.assertEqual(delays, [0.0, 7.0, 7.0])
        self.connector.fail()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.living.told), 1)

    def test_long_retry_timeout(self) -> None:
        """A retry_timeout above Twisted's maxDelay is kept."""
        self.make(retry_timeout=100_000.0)
        self.connector.fail()
        self.clock.advance(0)
        self.connector.fail()
        self.assertEqual(self.delay(), 100_000.0)

    def test_reason_and_count_at_the_end(self) -> None:
        """The end says how often was tried, and why in vain."""
        self.make(retry=2, retry_timeout=0)
        for _ in range(3):
            self.connector.fail()
            self.clock.advance(0)
        ((name, reason),) = self.living.told
        self.assertEqual((name, type(reason)), ("terminated", gun.ConnectFailed))
        self.assertIn("2 retries", str(reason))
        self.assertIs(reason.reason, self.factory.last_failure)

    def test_storm(self) -> None:
        """Ten losses within ten seconds are dialled again at once; the eleventh waits retry_timeout."""
        self.make(retry_timeout=5.0)
        for _ in range(10):
            self.lose()
        self.assertEqual(self.connector.dialled, 11)
        self.lose()
        self.assertEqual(self.connector.dialled, 11)
        self.assertEqual(self.delay(), 5.0)
        self.clock.advance(5)
        self.assertEqual(self.connector.dialled, 12)

    def test_storm_is_over(self) -> None:
        """Ten seconds after the first of them the next is made at once again."""
        for seconds, dialled in ((9.9, 11), (10.0, 12)):
            self.make(retry_timeout=5.0)
            for _ in range(10):
                self.lose()
            self.clock.advance(seconds)
            self.lose()
            self.assertEqual(self.connector.dialled, dialled, seconds)

    def test_rare_losses(self) -> None:
        """Losses that are far apart are always dialled again at once."""
        self.make()
        for count in range(50):
            self.clock.advance(1.5)
            self.lose()
            self.assertEqual(self.connector.dialled, count + 2)

    def test_renewed(self) -> None:
        """A connection that served and was ended as a matter of course is dialled again at once, ever again; that is no retry."""
        self.make(retry=1, retry_timeout=5.0, retry_fun=lambda left, options: self.fail("asked"))
        for count in range(30):
            self.lose(renewable=True, served=True)
            self.assertEqual((self.connector.dialled, self.factory.retries), (count + 2, 0))

    def test_renewed_to_no_use(self) -> None:
        """One that served nothing is dialled again at once ten times within ten seconds; the eleventh is a retry like any other."""
        self.make(retry_timeout=5.0)
        for _ in range(10):
            self.lose(renewable=True)
        self.assertEqual((self.connector.dialled, self.factory.retries), (11, 0))
        self.lose(renewable=True)
        self.assertEqual((self.connector.dialled, self.factory.retries, self.delay()), (11, 1, 5.0))

    def test_served(self) -> None:
        """A connection that served is no sign of a storm, however it ended."""
        self.make(retry_timeout=5.0)
        for count in range(30):
            self.lose(served=True)
            self.assertEqual(self.connector.dialled, count + 2)

    def test_served_once(self) -> None:
        """What served once is not remembered longer than until the next attempt."""
        self.make(retry_timeout=5.0)
        self.lose(served=True)
        for _ in range(10):
            self.lose()
        self.assertEqual(self.connector.dialled, 12)
        self.lose()
        self.assertEqual(self.connector.dialled, 12)

    def test_not_renewed_without_retries(self) -> None:
        """With retry=0 nothing is dialled again, however the connection ended; Gun's rule."""
        self.make(retry=0)
        self.lose(renewable=True, served=True)
        self.assertEqual((self.connector.dialled, self.living.told[-1]), (1, ("terminated", None)))

    def test_renewal_that_fails(self) -> None:
        """A renewal that cannot be made is followed by all the retries there are."""
        self.make(retry=2, retry_timeout=3.0)
        self.lose(renewable=True, served=True)
        delays = []
        for _ in range(2):
            self.connector.fail()
            delays.append(self.delay())
            self.clock.advance(delays[-1])
        self.assertEqual(delays, [0.0, 3.0])
        self.connector.fail()
        self.assertEqual(self.living.told[-1][0], "terminated")

    def test_close_while_connecting(self) -> None:
        """close stops the attempt; its failure is the end, told once, without a reason."""
        self.make()
        self.factory.close()
        self.factory.close()
        self.assertEqual((self.connector.stopped, self.living.told), (1, [("terminated", None)]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_while_waiting(self) -> None:
        """close between two attempts leaves no delayed call."""
        self.make()
        self.connector.fail()
        self.factory.close()
        self.assertEqual((self.living.told, self.clock.getDelayedCalls()), ([("terminated", None)], []))

    def test_close_while_connected(self) -> None:
        """close drops the hop; the end is told when that is gone."""
        self.make()
        hop: Any = self.factory.buildProtocol(None)
        self.connector.connecting = False
        self.factory.close()
        self.assertTrue(hop.dropped)
        self.assertEqual(self.living.told, [])
        self.factory.clientConnectionLost(self.connector, Failure(error.ConnectionRefusedError()))
        self.assertEqual(self.living.told, [("terminated", None)])
        self.assertIsNone(self.factory.buildProtocol(None))

    def test_nothing_after_the_end(self) -> None:
        """After the end neither shutdown nor close tells anything again."""
        self.make(retry=0)
        self.connector.fail()
        self.factory.shutdown()
        self.factory.close()
        self.assertEqual(len(self.living.told), 1)

    def test_stop_trying(self) -> None:
        """Twisted's stopTrying may be called when no attempt is under way."""
        self.make()
        self.connector.fail()
        self.factory.stopTrying()
        self.factory.stopTrying()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_max_retries_none(self) -> None:
        """maxRetries None is Twisted's without end; retry_fun, which counts, is then not asked."""
        self.make(retry_fun=lambda left, options: self.fail("asked"), retry_timeout=1.0)
        self.factory.maxRetries = None
        for _ in range(20):
            self.connector.fail()
            self.clock.advance(1)
        self.assertEqual(self.connector.dialled, 21)
