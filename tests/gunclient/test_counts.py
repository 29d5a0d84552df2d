"""Counts, how a client stands, and what Prometheus is told."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import NOON, FakeDestination
from tests.stage import up
from twisted_gun.gunclient.counts import Counts, metrics
from twisted_gun.gunclient.output import Output


class CountsCase(SynchronousTestCase):
    """A test of counts, by events of real streams."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOON)
        self.world = up()
        self.conn = self.world.connection

    def counts(self, work: str) -> Counts:
        """Counts of such work."""
        return Counts(work, self.clock.seconds)

    def stream(self) -> gun.Stream:
        """A stream."""
        return self.conn.get("/", reply_to=gun.Receiver())

    def up(self) -> gun.Up:
        """The connection is up."""
        return gun.Up(connection=self.conn, protocol="http")

    def down(self, reason: gun.GunError | None = None) -> gun.Down:
        """It is down."""
        return gun.Down(connection=self.conn, protocol="http", reason=reason, killed_streams=(), unprocessed_streams=())

    def error(self, stream: gun.Stream | None) -> gun.Error:
        """An error."""
        return gun.Error(connection=self.conn, stream=stream, reason=gun.StreamClosed("why"))

    def stands(self, counts: Counts, *events: Any) -> list[bool]:
        """Whether it is up after each event."""
        states = []
        for event in events:
            counts.count(event)
            states.append(counts.up)
        return states


class StandingTests(CountsCase):
    """Whether it is up."""

    def test_connection(self) -> None:
        """With requests, or only a receiver, the connection counts; a request that fails does not."""
        for work in ("get", "none"):
            counts = self.counts(work)
            self.assertFalse(counts.up)
            states = self.stands(counts, self.up(), self.error(self.stream()), self.down(), self.up(), self.error(None))
            self.assertEqual(states, [True, True, False, True, False])

    def test_websocket(self) -> None:
        """A websocket counts, from the upgrade to its end; another stream's end does not."""
        counts, stream = self.counts("ws"), self.stream()
        upgrade = gun.Upgrade(stream=stream, protocols=(b"websocket",), headers=())
        close = gun.Ws(stream=stream, frame=gun.Close(1000))
        text = gun.Ws(stream=stream, frame=gun.Text("x"))
        self.assertEqual(self.stands(counts, self.up(), upgrade, text, self.error(self.stream()), close), [False, True, True, True, False])
        self.assertEqual(self.stands(counts, upgrade, self.error(stream), upgrade, self.down()), [True, False, True, False])
        refused = gun.Response(stream=stream, fin=True, status=403, headers=())
        self.assertEqual(self.stands(counts, refused), [False])

    def test_event_stream(self) -> None:
        """An event stream counts, from the response to its end."""
        counts, stream = self.counts("sse"), self.stream()
        response = gun.Response(stream=stream, fin=False, status=200, headers=())
        event = gun.Sse(stream=stream, event=gun.SseEvent(data="x"))
        end = gun.Sse(stream=stream, event=None)
        self.assertEqual(self.stands(counts, response, event, end, response, self.error(stream)), [True, True, False, True, False])

    def test_since(self) -> None:
        """Since when, what was the last failure, and what is spoken."""
        counts = self.counts("get")
        self.clock.advance(5.0)
        counts.failed("connect", gun.ConnectFailed("refused", None))
        self.assertEqual((counts.since, counts.last_failure, counts.protocol), (NOON, "refused", None))
        counts.count(self.up())
        self.assertEqual((counts.since, counts.last_failure, counts.protocol), (NOON + 5, None, "http"))
        self.clock.advance(5.0)
        counts.count(self.down(gun.ConnectionFailed("lost")))
        self.assertEqual((counts.since, counts.last_failure, counts.protocol), (NOON + 10, "lost", None))
        self.assertEqual((counts.started, counts.last_event), (NOON, NOON + 10))

    def test_numbers(self) -> None:
        """Events, statuses, errors and what was received are counted."""
        counts, stream = self.counts("get"), self.stream()
        told: list[Any] = [
            gun.Inform(stream=stream, status=103, headers=()),
            gun.Response(stream=stream, fin=False, status=200, headers=()),
            gun.Response(stream=stream, fin=False, status=999, headers=()),
            gun.Data(stream=stream, fin=False, data=b"abc"),
            gun.Data(stream=stream, fin=True, data=b""),
            gun.Ws(stream=stream, frame=gun.Text("ä")),
            gun.Ws(stream=stream, frame=gun.Binary(b"ab")),
            gun.Ws(stream=stream, frame=gun.Close(1000, "reason")),
            gun.Sse(stream=stream, event=gun.SseEvent(data="abcd")),
            gun.Sse(stream=stream, event=gun.SseEvent(data=None)),
            gun.Sse(stream=stream, event=None),
            self.error(stream),
        ]
        for event in told:
            counts.count(event)
        self.assertEqual(counts.events, {"gun_inform": 1, "gun_response": 2, "gun_data": 2, "gun_ws": 3, "gun_sse": 3, "gun_error": 1})
        self.assertEqual((counts.statuses, counts.errors), ({"1xx": 1, "2xx": 1, "9xx": 1}, {"StreamClosed": 1}))
        self.assertEqual(counts.received, 3 + 1 + 2 + 4)


class MetricsTests(CountsCase):
    """What Prometheus is told, read by its own parser."""

    def read(self, counts: Counts, output: Output | None = None, cookies: int | None = None) -> dict[tuple[str, tuple[str, ...]], float]:
        """The samples, by name and the values of labels; each family has a type and a help."""
        samples: dict[tuple[str, tuple[str, ...]], float] = {}
        for family in text_string_to_metric_families(metrics(counts, output, cookies).decode()):
            self.assertIn(family.type, ("counter", "gauge"))
            self.assertTrue(family.documentation.endswith("."), family.name)
            for sample in family.samples:
                key = (sample.name.removeprefix("gunclient_"), tuple(sample.labels.values()))
                self.assertNotIn(key, samples)
                samples[key] = sample.value
        return samples

    def test_samples(self) -> None:
        """Each number is there."""
        counts, stream = self.counts("get"), self.stream()
        counts.count(self.up())
        counts.count(gun.Response(stream=stream, fin=False, status=404, headers=()))
        counts.count(gun.Data(stream=stream, fin=False, data=b"abc"))
        counts.count(self.error(stream))
        counts.failed("tls", gun.TlsFailed("no"))
        counts.skipped = 2
        read = self.read(counts, None, 3)
        self.assertEqual(read["up", ()], 1)
        self.assertEqual(read["info", (gun.__version__, "get")], 1)
        self.assertEqual((read["start_time_seconds", ()], read["last_event_time_seconds", ()]), (NOON, NOON))
        self.assertEqual([read["events_total", (name,)] for name in ("up", "response", "data", "error")], [1, 1, 1, 1])
        self.assertEqual((read["responses_total", ("4xx",)], read["errors_total", ("StreamClosed",)]), (1, 1))
        self.assertEqual((read["connect_failures_total", ("tls",)], read["received_bytes_total", ()]), (1, 3))
        self.assertEqual((read["skipped_rounds_total", ()], read["cookies", ()]), (2, 3))
        self.assertNotIn("output_lines_total", {name for name, _ in read})

    def test_output(self) -> None:
        """Those of the output, too."""
        destination = FakeDestination(room=5)
        output = Output(
            self.clock,
            lambda lost: destination,
            changed=lambda: None,
            closed=lambda: None,
            dropped_line=lambda count: b"",
            most=8,
        )
        for line in (b"12\n", b"345\n", b"678901\n"):
            output.write(line)
        read = self.read(self.counts("ws"), output)
        values = [read[f"output_{name}", ()] for name in ("lines_total", "bytes_total", "dropped_lines_total", "waiting_bytes", "full")]
        self.assertEqual(values, [1, 5, 1, 2, 0])

    def test_nothing_yet(self) -> None:
        """Before anything has happened it is all there, and down."""
        read = self.read(self.counts("sse"))
        self.assertEqual((read["up", ()], read["last_event_time_seconds", ()]), (0, 0))
