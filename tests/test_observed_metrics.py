"""The event handlers of the examples, over random lives: they end with what they began with, whatever happens between."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests import test_chaos, test_http2_chaos, test_tunnels_chaos, test_websocket_chaos
from tests.observing import ObservedCase

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

LIVES = (test_chaos.Life, test_http2_chaos._Life, test_websocket_chaos.Life, test_websocket_chaos.Http2Life, test_tunnels_chaos.Life)


def example(name: str) -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ExamplesTests(ObservedCase):
    """A handler for many connections."""

    def live(self, handler: Any) -> None:
        """A few lives of each kind, with `handler`, which never raises."""
        self.recorder = handler
        for life in LIVES:
            for seed in range(8):
                life(seed).play()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_metrics(self) -> None:
        """Every connection, and every request, that was counted is counted off again."""

        class Clock:
            def seconds(self) -> float:
                return 0.0

        registry = CollectorRegistry()
        metrics = example("metrics").Metrics(Clock(), registry)
        self.live(metrics)
        self.assertEqual((metrics.begun, metrics.there, metrics.statuses), ({}, set(), {}))
        for gauge in ("gun_connections", "gun_requests_active"):
            self.assertEqual(registry.get_sample_value(gauge), 0.0)
        outcomes = {sample.labels["outcome"] for sample in metrics.seconds.collect()[0].samples}
        self.assertLessEqual({"2xx", "101", "StreamClosed", "cut off"}, outcomes)
        for direction in ("received", "sent"):
            self.assertGreater(registry.get_sample_value("gun_websocket_frames_total", {"direction": direction}) or 0, 0)

    def test_timings(self) -> None:
        """Nothing is left open that would be waited for."""

        class Clock:
            def seconds(self) -> float:
                return 0.0

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            timings = example("timings").Timings(Clock())
            self.live(timings)
        self.assertEqual((timings.begun, timings.requests), ({}, {}))
        self.assertIn("GET /: sent after 0.000 s, answered after 0.000 s, done after 0.000 s", out.getvalue())
