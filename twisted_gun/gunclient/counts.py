"""
What a client has seen, as numbers, and how it stands: for ``/health``, and for Prometheus by its text format.

Events are counted by kind. Nothing of a server's becomes a name or a label, so that no server can make as many as it likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted_gun import __version__
from twisted_gun.errors import GunError
from twisted_gun.events import Close, Data, Down, Error, Inform, Response, Sse, Text, Up, Upgrade, Ws
from twisted_gun.gunclient.output import Output

__all__ = ["Counts", "metrics"]


class Counts:
    """
    Numbers of events, and whether the client is `up`: whether what it is for works just now.

    That is an open event stream or websocket, with `work` "sse" and "ws", and otherwise a connection. `now` gives the time in seconds
    since 1970.
    """

    def __init__(self, work: str, now: Callable[[], float]) -> None:
        self.work = work
        self.up = False
        self.now = now
        self.started = self.since = now()
        self.last_event: float | None = None
        self.last_failure: str | None = None
        self.protocol: str | None = None
        self.events: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()  # to connect
        self.received = 0  # bytes of content
        self.skipped = 0  # rounds of requests
        self._open: Any = None

    def count(self, event: Any) -> None:
        """`event` happened."""
        self.last_event = self.now()
        self.events[event.told_as] += 1
        kind = type(event)
        if kind is Response or kind is Inform:
            self.statuses[f"{min(event.status // 100, 9)}xx"] += 1
        elif kind is Error:
            self.errors[type(event.reason).__name__] += 1
        self.received += _size(event)
        self._stand(event)

    def failed(self, step: str, reason: GunError) -> None:
        """An attempt to connect has failed at `step`."""
        self.failures[step] += 1
        self.last_failure = str(reason)

    def _stand(self, event: Any) -> None:
        kind = type(event)
        if kind is Up:
            self.protocol = event.protocol
        elif kind is Down:
            self.protocol = None
        if (kind is Error or kind is Down) and event.reason is not None:
            self.last_failure = str(event.reason)
        rises = {"ws": Upgrade, "sse": Response}.get(self.work, Up)
        if kind is rises:
            self._open = getattr(event, "stream", None)
            self._set(True)
        elif self.up and self._falls(event):
            self._set(False)

    def _falls(self, event: Any) -> bool:
        if type(event) is Down or (type(event) is Error and event.stream is None):
            return True
        return self.work in ("ws", "sse") and event.stream is self._open and bool(getattr(event, "fin", False))

    def _set(self, up: bool) -> None:
        if self.up is not up:
            self.up, self.since = up, self.now()
        if up:
            self.last_failure = None


def _size(event: Any) -> int:
    if type(event) is Data:
        return len(event.data)
    if type(event) is Sse:
        return 0 if event.event is None else len(event.event.data or "")
    if type(event) is Ws:
        frame = event.frame
        return 0 if isinstance(frame, Close) else len(frame.text if isinstance(frame, Text) else frame.data)
    return 0


def metrics(counts: Counts, output: Output | None, cookies: int | None) -> bytes:
    """All of it in Prometheus's text format, version 0.0.4."""
    events = {name.removeprefix("gun_"): number for name, number in counts.events.items()}
    families = [
        _family("info", "gauge", "The version that runs.", {_label(version=__version__, work=counts.work): 1}),
        _family("up", "gauge", "Whether what it is for works now: a connection, a websocket, an event stream.", {"": int(counts.up)}),
        _family("start_time_seconds", "gauge", "When it was started.", {"": counts.started}),
        _family("last_event_time_seconds", "gauge", "When the last event was told.", {"": counts.last_event or 0}),
        _family("events_total", "counter", "Events, by what was told.", _labelled("event", events)),
        _family("responses_total", "counter", "Responses, interim ones too.", _labelled("status", counts.statuses)),
        _family("errors_total", "counter", "Errors that were told, by their type.", _labelled("type", counts.errors)),
        _family("connect_failures_total", "counter", "Attempts to connect that failed, by step.", _labelled("step", counts.failures)),
        _family("received_bytes_total", "counter", "Content and messages received; of text it is the characters.", {"": counts.received}),
        _family("skipped_rounds_total", "counter", "Rounds of requests not made, for the output took nothing.", {"": counts.skipped}),
    ]
    if cookies is not None:
        families.append(_family("cookies", "gauge", "Cookies that are kept.", {"": cookies}))
    if output is not None:
        families += _of_output(output)
    return "".join(families).encode()


def _of_output(output: Output) -> Iterable[str]:
    done = output.counts
    return (
        _family("output_lines_total", "counter", "Lines that were written.", {"": done.lines}),
        _family("output_bytes_total", "counter", "Bytes that were written.", {"": done.bytes}),
        _family("output_dropped_lines_total", "counter", "Lines that were not written.", {"": done.dropped}),
        _family("output_errors_total", "counter", "Writes that failed.", {"": done.errors}),
        _family("output_waiting_bytes", "gauge", "Bytes that wait to be written.", {"": output.waiting}),
        _family("output_full", "gauge", "Whether servers are held back, for the output takes nothing.", {"": int(output.full)}),
    )


def _family(name: str, kind: str, what: str, values: Mapping[str, float]) -> str:
    name = f"gunclient_{name}"
    samples = "".join(f"{name}{labels} {_number(value)}\n" for labels, value in sorted(values.items()))
    return f"# HELP {name} {what}\n# TYPE {name} {kind}\n{samples}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _labelled(label: str, values: Mapping[str, int]) -> dict[str, float]:
    return {_label(**{label: name}): number for name, number in values.items()}


def _label(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
