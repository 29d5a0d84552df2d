"""``/health`` and ``/metrics``, in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.gunclient.health import Health, HealthService


class HealthTests(SynchronousTestCase):
    """`HealthService`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.well = True
        self.health = Health(lambda: (self.well, {"some": "thing"}), lambda: b"# metrics\n")
        self.service = HealthService(self.health, 8080, self.reactor)

    def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, fields and content of the answer."""
        factory: Any = self.reactor.tcpServers[-1][1]
        protocol: Any = factory.buildProtocol(None)
        transport: Any = StringTransport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(request + b" HTTP/1.0\r\nhost: x\r\n\r\n")
        self.reactor.advance(0)
        head, _, content = transport.value().partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        self.reactor.advance(100.0)
        return int(status.split()[1]), dict(field.lower().split(b": ", 1) for field in fields), content

    def test_loopback(self) -> None:
        """It listens on the loopback interface only; once, though it is told twice, as services are."""
        self.service.privilegedStartService()
        self.service.startService()
        ((port, _, _, interface),) = self.reactor.tcpServers
        self.assertEqual((port, interface), (8080, "127.0.0.1"))
        self.assertIsNotNone(self.service.address)
        self.service.stopService()

    def test_stop_before_start(self) -> None:
        """What never listened stops."""
        self.assertIsNone(self.service.stopService())

    def test_health(self) -> None:
        """200 where all is well, else 503; the content is JSON."""
        self.service.startService()
        for well, status, word in ((True, 200, "up"), (False, 503, "down")):
            self.well = well
            answered, fields, content = self.ask(b"GET /health")
            self.assertEqual((answered, json.loads(content)), (status, {"status": word, "some": "thing"}))
            self.assertEqual(fields[b"content-type"], b"application/json")
            self.assertEqual(fields[b"cache-control"], b"no-store")

    def test_head(self) -> None:
        """HEAD has the status and no content."""
        self.service.startService()
        self.well = False
        answered, _, content = self.ask(b"HEAD /health")
        self.assertEqual((answered, content), (503, b""))

    def test_metrics(self) -> None:
        """The metrics are text of Prometheus's version."""
        self.service.startService()
        answered, fields, content = self.ask(b"GET /metrics")
        self.assertEqual((answered, content), (200, b"# metrics\n"))
        self.assertEqual(fields[b"content-type"], b"text/plain; version=0.0.4; charset=utf-8")

    def test_nothing_else(self) -> None:
        """There is nothing else, and nothing but to be read."""
        self.service.startService()
        for request, status in (
            (b"GET /", 404),
            (b"GET /other", 404),
            (b"POST /health", 405),
            (b"BREW /metrics", 405),
            (b"GET /health/x", 404),
        ):
            self.assertEqual(self.ask(request)[0], status, request)
        self.assertEqual(self.ask(b"POST /health")[1][b"allow"], b"get, head")

    def test_quiet(self) -> None:
        """Being asked is logged nowhere."""
        self.service.startService()
        logged: list[Any] = []
        observer: Any = logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.ask(b"GET /health")
        self.assertEqual(logged, [])

    def test_raises(self) -> None:
        """What goes wrong shows nobody a traceback."""
        self.service.startService()

        def broken() -> bytes:
            raise KeyError("secret")

        self.health.metrics = broken
        answered, _, content = self.ask(b"GET /metrics")
        self.assertEqual(answered, 500)
        self.assertNotIn(b"secret", content)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
