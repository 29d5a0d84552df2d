"""Who is told: the order, what is logged, and the attempts of which no receiver is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import NOON
from tests.stage import up
from twisted_gun.gunclient.audience import Attempts, Audience
from twisted_gun.gunclient.counts import Counts
from twisted_gun.gunclient.records import Records


class LogCase(SynchronousTestCase):
    """A test that sees what is logged."""

    def setUp(self) -> None:
        self.logged: list[Any] = []
        observer: Any = self.logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.counts = Counts("get", lambda: NOON)

    @property
    def levels(self) -> list[Any]:
        """Of what has been logged by this package's daemon."""
        return [event["log_level"] for event in self.logged if event["log_namespace"].startswith("twisted_gun.gunclient")]


class AudienceTests(LogCase):
    """`Audience`."""

    def test_interface(self) -> None:
        """It is a receiver of everything."""
        audience: Any = Audience(self.counts, Records(lambda: NOON), None)
        for name in gun.IReceiver.names():
            self.assertTrue(callable(getattr(audience, name)))

    def test_users_receiver_is_last(self) -> None:
        """When the user's own receiver is told, it is counted and written already; what it raises is its own affair."""
        lines: list[bytes] = []

        def raises(event: Any) -> None:
            lines.append(b"%d %d" % (self.counts.events["gun_up"], len(lines)))
            raise ZeroDivisionError

        audience = Audience(self.counts, Records(lambda: NOON), SimpleNamespace(gun_up=raises))
        output: Any = SimpleNamespace(full=False, write=lines.append)
        audience.output = output
        conn = up().connection
        self.assertRaises(ZeroDivisionError, audience.tell, gun.Up(connection=conn, protocol="http"))
        self.assertEqual(lines[1], b"1 1")

    def test_logged(self) -> None:
        """That the connection comes and goes is logged, and what it has met; what streams meet is not."""
        audience = Audience(self.counts, Records(lambda: NOON), None)
        conn = up().connection
        reason = gun.ConnectionFailed("why")
        stream = conn.get("/", reply_to=gun.Receiver())
        audience.tell(gun.Up(connection=conn, protocol="http"))
        audience.tell(gun.Down(connection=conn, protocol="http", reason=None, killed_streams=(), unprocessed_streams=()))
        audience.tell(gun.Error(connection=conn, stream=stream, reason=reason))
        audience.tell(gun.Error(connection=conn, stream=None, reason=reason))
        self.assertEqual(self.levels, [LogLevel.info, LogLevel.info, LogLevel.error])
        self.assertIn("in good order", str(self.logged[-2]["reason"]))


class AttemptsTests(LogCase):
    """`Attempts`."""

    def test_steps(self) -> None:
        """Each step that fails is counted, by its name; what goes well is not."""
        attempts: Any = Attempts(self.counts)
        for callback, step in (("domain_lookup_end", "lookup"), ("connect_end", "connect"), ("tls_handshake_end", "tls")):
            for error in (None, gun.ConnectFailed(step, None)):
                getattr(attempts, callback)(SimpleNamespace(connection="it", error=error))
            self.assertEqual((self.counts.failures[step], self.counts.last_failure), (1, step))

    def test_logged_once(self) -> None:
        """Of several in a row that fail alike the first is logged."""
        attempts: Any = Attempts(self.counts)
        for text in ("refused", "refused", "lost", "lost", "refused"):
            attempts.connect_end(SimpleNamespace(connection="it", error=gun.ConnectFailed(text, None)))
        self.assertEqual(self.levels, [LogLevel.warn] * 3)
        self.assertEqual(self.counts.failures["connect"], 5)
