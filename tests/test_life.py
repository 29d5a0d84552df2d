"""The life of a connection, on a clock: attempts and the time between them, up and down, and the end."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import error
from twisted.python.failure import Failure

import twisted_gun as gun
from tests.stage import OK, LifeCase, feed, up
from twisted_gun.net.factory import GunClientFactory
from twisted_gun.net.timer import Deadlines
from twisted_gun.testing import MemoryGun, RecordingReceiver


class AttemptTests(LifeCase):
    """How often it dials, and when."""

    def refused(self, **options: Any) -> MemoryGun:
        world = MemoryGun(**options)
        world.endpoint.refuse()
        return world

    def attempts_at(self, world: MemoryGun, *times: float) -> list[int]:
        """How many attempts had been made by these times, in seconds."""
        made = []
        for time in times:
            world.advance(time - world.clock.seconds())
            made.append(world.endpoint.attempts)
        return made

    def test_default_count_and_times(self) -> None:
        """Six attempts by default: the first retry at once, the other four every 5 seconds."""
        world = self.refused()
        attempts = self.attempts_at(world, 0, 4.9, 5, 9.9, 10, 14.9, 15, 19.9, 20, 100)
        self.assertEqual(attempts, [2, 2, 3, 3, 4, 4, 5, 5, 6, 6])
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_retry_is_the_number_of_further_attempts(self) -> None:
        """There are retry + 1 attempts, for 0, 1 and 2."""
        for retry in (0, 1, 2):
            world = self.refused(retry=retry, retry_timeout=1.0)
            for _ in range(5):
                world.advance(1)
            self.assertEqual(world.endpoint.attempts, retry + 1)

    def test_no_wait_at_all(self) -> None:
        """With retry_timeout 0 all attempts are made at once."""
        self.assertEqual(self.attempts_at(self.refused(retry_timeout=0, retry=3), 0), [4])

    def test_count_starts_anew_after_success(self) -> None:
        """Once it was up, the next loss has all retries again, and the first of them at once."""
        world = MemoryGun(retry=2, retry_timeout=1.0)
        world.endpoint.refuse(times=2)
        self.assertEqual(self.attempts_at(world, 0, 1), [2, 3])
        self.assertEqual(world.connection.info().state_name, "connected")
        world.endpoint.refuse()
        world.peer.abort()
        self.assertEqual(self.attempts_at(world, 1, 2, 3, 9), [4, 5, 5, 5])
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_reconnects_at_once_after_a_loss(self) -> None:
        """A connection that is lost is made again without a wait, by default."""
        world = up()
        world.peer.close()
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])
        self.assertEqual(world.clock.seconds(), 0)

    def test_no_gun_down_before_gun_up(self) -> None:
        """Attempts that fail before the first gun_up tell the owner nothing until the end."""
        world = MemoryGun(retry_timeout=1.0)
        world.endpoint.refuse(times=3)
        self.attempts_at(world, 0, 1)
        self.assertEqual(world.owner.names(), [])
        self.attempts_at(world, 2)
        self.assertEqual(world.owner.names(), ["gun_up"])

    def test_state_names(self) -> None:
        """info() names the state: connecting, not_connected between attempts, connected, terminated."""
        world = MemoryGun(retry=2, retry_timeout=1.0)
        self.assertEqual(world.connection.info().state_name, "connecting")
        world.endpoint.refuse(times=2)
        world.pump()
        self.assertEqual(world.connection.info().state_name, "not_connected")
        world.advance(1)
        self.assertEqual(world.connection.info().state_name, "connected")
        world.connection.close()
        world.pump()
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_hanging_attempt_can_be_closed(self) -> None:
        """close() while an attempt is under way cancels it and leaves nothing behind."""
        world = MemoryGun()
        world.endpoint.hang()
        world.pump()
        ended = world.connection.when_terminated()
        world.connection.close()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_close_between_attempts(self) -> None:
        """close() between two attempts ends the waiting."""
        world = self.refused()
        world.pump()
        world.connection.close()
        world.advance(100)
        self.assertEqual(world.endpoint.attempts, 2)
        self.assert_nothing_left(world)


class EndpointTests(LifeCase):
    """An endpoint that neither connects nor fails."""

    def hanging(self, retry: int) -> MemoryGun:
        world = MemoryGun(connect_timeout=2.0, retry=retry)
        world.endpoint.hang()
        return world

    def test_connect_timeout(self) -> None:
        """It is given up after connect_timeout, which counts as a failed attempt."""
        for seconds, attempts in ((1.999, 1), (2.0, 2), (2.001, 2)):
            world = self.hanging(retry=1)
            world.advance(seconds)
            world.pump()
            self.assertEqual(world.endpoint.attempts, attempts)
            world.connection.close()
            world.pump()
            self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_reason(self) -> None:
        """The connection ends with what happened."""
        world = self.hanging(retry=0)
        world.advance(2)
        reason: Any = self.successResultOf(world.connection.when_terminated())
        self.assertEqual((reason.stage, reason.seconds), ("connect", 2.0))

    def test_connected_in_time(self) -> None:
        """A connection that was made in time is not given up."""
        world = MemoryGun(connect_timeout=2.0)
        world.pump()
        world.advance(10)
        self.assertEqual(world.owner.names(), ["gun_up"])


class EndTests(LifeCase):
    """What happens when there were attempts enough."""

    def setUp(self) -> None:
        self.told = RecordingReceiver()
        self.world = MemoryGun(retry=1, retry_timeout=1.0, owner=self.told, reply_to=self.told)
        self.world.endpoint.refuse(error.ConnectionRefusedError(111, "refused"))

    def test_all_are_told_once(self) -> None:
        """The monitor, await_up, the owner and every waiting stream are told why, once."""
        ended, is_up = self.world.connection.when_terminated(), self.world.connection.await_up()
        streams = [self.world.connection.get("/"), self.world.connection.post("/", (), b"x")]
        self.world.pump()
        reason = self.successResultOf(ended)
        self.assertIsInstance(reason, gun.ConnectFailed)
        self.assertIs(self.failureResultOf(is_up).value, reason)
        self.assertEqual([event.stream for event in self.told.events], [*streams, None])
        self.assertEqual({event.reason for event in self.told.of(gun.Error)}, {reason})
        self.assert_nothing_left(self.world)

    def test_reason(self) -> None:
        """It says how many retries were made, and holds the last failure, which holds the operating system's."""
        ended = self.world.connection.when_terminated()
        self.world.pump()
        reason: Any = self.successResultOf(ended)
        self.assertIn("gave up after 1 retries", str(reason))
        self.assertIn("connection refused", str(reason))
        self.assertIsInstance(reason.reason, gun.ConnectFailed)
        self.assertIsInstance(reason.reason.reason, error.ConnectionRefusedError)

    def test_without_retries_after_a_good_end(self) -> None:
        """With retry 0 a connection that ended as HTTP meant it to has no reason, as Gun's exit `normal`."""
        world = MemoryGun(retry=0)
        stream, ended = world.connection.get("/"), world.connection.when_terminated()
        world.pump()
        world.peer.send(b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n")
        world.pump()
        self.assertEqual(self.successResultOf(stream.await_response()).status, 204)
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down"])
        self.assertRaises(gun.BadState, world.connection.get, "/")

    def test_without_retries_the_reason_is_the_failure_itself(self) -> None:
        """With retry 0 the end is the one failure there was."""
        world = MemoryGun(retry=0)
        world.endpoint.refuse()
        ended = world.connection.when_terminated()
        world.pump()
        reason: Any = self.successResultOf(ended)
        self.assertIsInstance(reason.reason, error.ConnectionRefusedError)

    def test_awaiting_afterwards(self) -> None:
        """Afterwards await_up and the monitor answer at once, and requests are refused at the call."""
        self.world.pump()
        self.failureResultOf(self.world.connection.await_up(), gun.ConnectFailed)
        self.assertIsInstance(self.successResultOf(self.world.connection.when_terminated()), gun.ConnectFailed)
        self.assertRaises(gun.BadState, self.world.connection.get, "/")

    def test_ending_what_has_ended(self) -> None:
        """shutdown and close afterwards change nothing of why it ended, and tell nobody again."""
        self.world.pump()
        told = len(self.told.events)
        self.assertIsInstance(self.successResultOf(self.world.connection.shutdown()), gun.ConnectFailed)
        self.world.connection.close()
        self.assertIsInstance(self.successResultOf(self.world.connection.when_terminated()), gun.ConnectFailed)
        self.assertEqual(len(self.told.events), told)

    def test_lost_with_no_retries_left(self) -> None:
        """A connection that was up and has no retries ends with why it was lost, after gun_down."""
        told = RecordingReceiver()
        world = up(retry=0, owner=told)
        ended = world.connection.when_terminated()
        world.peer.abort()
        world.pump()
        self.assertEqual(told.names(), ["gun_up", "gun_down", "gun_error"])
        self.assertIsInstance(self.successResultOf(ended), gun.ConnectionFailed)
        self.assert_nothing_left(world)

    def test_cancelled_monitor(self) -> None:
        """Cancelling one monitor does not take the others' result."""
        first, second = self.world.connection.when_terminated(), self.world.connection.when_terminated()
        first.cancel()
        self.failureResultOf(first)
        self.world.pump()
        self.assertIsInstance(self.successResultOf(second), gun.ConnectFailed)


class RetryFunctionTests(LifeCase):
    """`retry_fun` decides instead of retry and retry_timeout."""

    def world_of(self, decide: Any, **options: Any) -> MemoryGun:
        world = MemoryGun(retry_fun=decide, **options)
        world.endpoint.refuse()
        return world

    def test_is_asked_before_each_retry(self) -> None:
        """It is given the retries left and the options; its timeout is waited, its retries are the new count."""
        asked: list[int] = []

        def decide(left: int, options: gun.Options) -> dict[str, Any]:
            asked.append(left)
            self.assertEqual(options.retry, 3)
            return {"retries": left - 1, "timeout": 2.0}

        world = self.world_of(decide, retry=3)
        world.pump()
        self.assertEqual((asked, world.endpoint.attempts), ([3], 1))
        for expected in ([3], [3, 2], [3, 2], [3, 2, 1], [3, 2, 1], [3, 2, 1]):
            world.advance(1)
            self.assertEqual(asked, expected)
        self.assertEqual(world.endpoint.attempts, 4)
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_not_asked_without_retries(self) -> None:
        """It is not asked where no retry is left: with retry 0 there is one attempt."""
        world = self.world_of(lambda left, options: self.fail("it was asked"), retry=0)
        world.pump()
        self.assertEqual(world.endpoint.attempts, 1)
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_zero_still_gives_one_more_attempt(self) -> None:
        """Returning 0 retries is one more attempt, and the last."""
        world = self.world_of(lambda left, options: {"retries": 0, "timeout": 1.0}, retry=5)
        world.pump()
        world.advance(1)
        self.assertEqual(world.endpoint.attempts, 2)
        world.advance(100)
        self.assertEqual(world.endpoint.attempts, 2)
        self.assertEqual(world.connection.info().state_name, "terminated")

    def test_can_go_on_without_end(self) -> None:
        """Returning always the same number never gives up."""
        world = self.world_of(lambda left, options: {"retries": 5, "timeout": 1.0}, retry=1)
        world.pump()
        for _ in range(50):
            world.advance(1)
        self.assertEqual(world.endpoint.attempts, 51)

    def test_asked_anew_after_success(self) -> None:
        """After a success the count it is given starts at retry again."""
        asked: list[int] = []

        def decide(left: int, options: gun.Options) -> dict[str, Any]:
            asked.append(left)
            return {"retries": left - 1, "timeout": 1.0}

        world = self.world_of(decide, retry=3)
        world.pump()
        world.advance(1)
        world.endpoint.accept()
        world.advance(1)
        self.assertEqual(world.owner.names(), ["gun_up"])
        world.peer.abort()
        world.pump()
        self.assertEqual(asked, [3, 2, 3])

    def test_bad_answers(self) -> None:
        """One that raises, or answers what cannot be used, is logged, and retry and retry_timeout decide."""
        answers: tuple[Any, ...] = (
            None,
            {},
            {"retries": 1},
            {"timeout": 1},
            {"retries": -1, "timeout": 1},
            {"retries": 1, "timeout": -1},
            {"retries": 1, "timeout": float("nan")},
            {"retries": 1, "timeout": float("inf")},
            {"retries": "many", "timeout": 1},
            7,
            ZeroDivisionError,
        )

        for given in answers:

            def decide(left: int, options: gun.Options, given: Any = given) -> Any:
                return 1 / 0 if given is ZeroDivisionError else given

            world = self.world_of(decide, retry=2, retry_timeout=3.0)
            world.pump()
            self.assertEqual(world.endpoint.attempts, 2, given)
            world.advance(3)
            self.assertEqual(world.endpoint.attempts, 3, given)
            self.assertEqual(len(self.flushLoggedErrors()), 2, given)

    def test_backoff(self) -> None:
        """gun.backoff doubles its delay up to the maximum, and never gives up."""
        world = self.world_of(gun.backoff(initial=1.0, maximum=8.0, jitter=False), retry=1)
        world.pump()
        times = []
        for second in range(1, 40):
            before = world.endpoint.attempts
            world.advance(1)
            if world.endpoint.attempts > before:
                times.append(second)
        self.assertEqual(times, [1, 3, 7, 15, 23, 31, 39])

    def test_backoff_starts_anew_after_success(self) -> None:
        """Once the connection was up for ten seconds, or answered a request, backoff starts with its first delay again."""
        for seconds, answered, anew in ((10, False, True), (9.9, False, False), (0, True, True)):
            world = self.world_of(gun.backoff(initial=1.0, maximum=8.0, jitter=False), retry=1)
            for _ in range(7):
                world.advance(1)
            world.endpoint.accept()
            world.advance(8)
            self.assertEqual(world.owner.names(), ["gun_up"])
            if answered:
                world.connection.get("/")
                world.pump()
                feed(world, OK)
            world.advance(seconds)
            world.endpoint.refuse()
            world.peer.abort()
            world.pump()
            before = world.endpoint.attempts
            world.advance(1)
            self.assertEqual(world.endpoint.attempts, before + anew, seconds)

    def test_backoff_where_the_server_only_accepts(self) -> None:
        """A server that accepts and closes at once is dialled less and less often too."""
        world = self.world_of(gun.backoff(initial=1.0, maximum=8.0, jitter=False), retry=1)
        world.endpoint.accept()
        world.pump()
        world.peer.abort()
        world.pump()
        times = []
        for second in range(1, 40):
            before = world.endpoint.attempts
            world.advance(1)
            if world.endpoint.attempts > before:
                times.append(second)
                world.peer.abort()
                world.pump()
        self.assertEqual(times, [1, 3, 7, 15, 23, 31, 39])

    def test_backoff_of_nothing(self) -> None:
        """Seconds that cannot be waited for are refused at the call."""
        for name in ("initial", "maximum"):
            for seconds in (0, -1.0, float("nan"), float("inf"), "1"):
                wrong: dict[str, Any] = {name: seconds}
                self.assertIn(name, str(self.assertRaises(gun.OptionError, gun.backoff, **wrong)))

    def test_backoff_jitter(self) -> None:
        """With jitter each delay is between 0 and what it would be without."""
        decide = gun.backoff(initial=4.0, maximum=60.0)
        delays = [decide(3, gun.Options(retry=3))["timeout"] for _ in range(100)]
        self.assertTrue(all(0 <= delay <= 4.0 for delay in delays))
        self.assertGreater(len(set(delays)), 50)


class TlsTests(LifeCase):
    """A failing handshake is a failed attempt like any other."""

    def test_handshake_failure_counts(self) -> None:
        """A peer that answers a handshake with no TLS: retry + 1 attempts, no gun_down, and TlsFailed as the reason."""
        world = MemoryGun("example.org", 443, retry=1, retry_timeout=1.0, script=lambda peer: peer.send(b"HTTP/1.1 400 X\r\n\r\n"))
        ended = world.connection.when_terminated()
        for _ in range(5):
            world.advance(1)
        reason: Any = self.successResultOf(ended)
        self.assertIsInstance(reason, gun.ConnectFailed)
        self.assertIsInstance(reason.reason, gun.TlsFailed)
        self.assertEqual(world.endpoint.attempts, 2)
        self.assertEqual(world.owner.names(), ["gun_error"])

    def test_handshake_that_never_ends(self) -> None:
        """A peer that accepts and says nothing is given up after tls_handshake_timeout, attempt by attempt."""
        world = MemoryGun("example.org", 443, retry=1, tls_handshake_timeout=3.0)
        ended = world.connection.when_terminated()
        world.pump()
        self.assertEqual(world.connection.info().state_name, "tls_handshake")
        world.advance(2.9)
        self.assertEqual(world.endpoint.attempts, 1)
        world.advance(0.1)
        self.assertEqual(world.endpoint.attempts, 2)
        world.advance(3)
        reason: Any = self.successResultOf(ended)
        self.assertEqual(reason.reason.stage, "tls")
        self.assertEqual(world.clock.getDelayedCalls(), [])


class SubclassTests(LifeCase):
    """Twisted's own knobs keep their meaning in a subclass of the factory."""

    def factory_of(self, **attributes: Any) -> tuple[GunClientFactory, Any]:
        world = MemoryGun()
        world.connection.close()
        connector = _Connector()
        kind = type("Own", (GunClientFactory,), {"noisy": False})
        factory = kind(_Living(), gun.Options(), Deadlines(world.clock), world.clock)
        for name, value in attributes.items():
            setattr(factory, name, value)
        return factory, (connector, world)

    def waits(self, count: int, **attributes: Any) -> list[float]:
        """The delays before so many retries, the first, immediate one left out."""
        factory, (connector, world) = self.factory_of(**attributes)
        delays = []
        for _ in range(count + 1):
            factory.clientConnectionFailed(connector, _refusal())
            delays.append(world.clock.getDelayedCalls()[0].getTime() - world.clock.seconds())
            world.clock.advance(delays[-1])
        self.assertEqual(delays[0], 0)
        return delays[1:]

    def test_max_retries(self) -> None:
        """maxRetries bounds the retries; None is without end."""
        factory, (connector, world) = self.factory_of(maxRetries=2)
        for _ in range(5):
            factory.clientConnectionFailed(connector, _refusal())
            world.clock.advance(100)
        self.assertEqual(connector.connected, 2)
        self.assertEqual(factory.state, "terminated")
        factory, (connector, world) = self.factory_of(maxRetries=None)
        for _ in range(50):
            factory.clientConnectionFailed(connector, _refusal())
            world.clock.advance(100)
        self.assertEqual(connector.connected, 50)

    def test_delay_is_constant_by_default(self) -> None:
        """Gun's retry_timeout is the same each time."""
        self.assertEqual(self.waits(3), [5.0, 5.0, 5.0])

    def test_factor_and_max_delay(self) -> None:
        """factor multiplies delay after each further retry, up to maxDelay."""
        delays = self.waits(5, delay=1.0, initialDelay=1.0, factor=2.0, maxDelay=6.0, maxRetries=None)
        self.assertEqual(delays, [1.0, 2.0, 4.0, 6.0, 6.0])

    def test_retry_fun_is_obeyed(self) -> None:
        """What `retry_fun` says is waited for as it is, whatever factor and maxDelay are."""
        options = gun.Options(retry_fun=lambda left, options: {"retries": left, "timeout": 7200.0})
        clock = MemoryGun().clock
        factory = GunClientFactory(cast(Any, _Living()), options, Deadlines(clock), clock)
        factory.factor, factory.maxDelay = 2.0, 3600
        for _ in range(3):
            factory.clientConnectionFailed(cast(Any, _Connector()), _refusal())
            self.assertEqual(max(call.getTime() for call in clock.getDelayedCalls()), clock.seconds() + 7200)
            clock.advance(7200)

    def test_initial_delay_after_success(self) -> None:
        """resetDelay, which a success calls, takes delay back to initialDelay."""
        factory, _ = self.factory_of(initialDelay=3.0, delay=77.0)
        factory.retries = 4
        factory.resetDelay()
        self.assertEqual((factory.delay, factory.retries), (3.0, 0))

    def test_jitter(self) -> None:
        """jitter spreads the delays."""
        self.assertGreater(len(set(self.waits(4, jitter=0.1, maxRetries=None))), 1)


class _Connector:
    """Counts how often it was told to connect."""

    def __init__(self) -> None:
        self.connected = 0

    def connect(self) -> None:
        self.connected += 1


class _Living:
    destination = "example.org:80"

    def terminated(self, reason: object) -> None:
        self.reason = reason


def _refusal() -> Failure:
    return Failure(error.ConnectionRefusedError())
