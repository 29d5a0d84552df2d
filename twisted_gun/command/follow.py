"""
``sse``: the events of a server, one after the other, for as long as it likes.

It does not know the command line, only what was ordered; how an event stream is followed is in `event_source.py`, and what ends with which
status in `exits.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

from twisted_gun.command.output import Lines
from twisted_gun.command.telling import LoneObserver, Teller, status_of
from twisted_gun.command.way import DECODING, Way, url_of
from twisted_gun.event_source import EventSource
from twisted_gun.event_source_request import EventSourceOptions
from twisted_gun.events import Error, Sse, SseEvent
from twisted_gun.exits import Exit, Unwritable
from twisted_gun.urls import HTTP

__all__ = ["Follow", "follow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow(Way):
    """
    Which events, and how they are written. Times in seconds.

    With `json` each event is a line of JSON. `last_event_id` is where to go on from. `most` events are the end, None for no limit.
    `wait` is how long to wait before asking again, until the server says so itself, and `idle` how long a stream may bring nothing, None
    for ever. After `retry` more failures in a row it gives up, by itself never.
    """

    retry: int | None = None
    json: bool = False
    last_event_id: str = ""
    most: int | None = None
    wait: float | None = None
    idle: float | None = None
    compressed: bool = False


async def follow(reactor: Any, order: Follow, stdout: BinaryIO, stderr: TextIO) -> int:
    """
    Follow what was ordered until the server says that this is all; gives the `Exit` status.

    Each failure is a line on `stderr`.
    """
    return await status_of(_Follow(reactor, order, stdout, stderr).run(), stderr)


class _Follow:
    """One order being carried out."""

    _source: EventSource

    def __init__(self, reactor: Any, order: Follow, stdout: BinaryIO, stderr: TextIO) -> None:
        self._reactor = reactor
        self._order = order
        self._teller = Teller(stderr)
        self._output = Lines(stdout)
        self._count = 0
        self._failure: Exception | None = None  # of ours, not of the server

    async def run(self) -> int:
        order = self._order
        url_of(order.url, HTTP)
        source = self._source = EventSource(
            order.url, headers=order.fields(), last_event_id=order.last_event_id, reply_to=self._told, **self._options()
        )
        try:
            reason = await source.when_closed()
        finally:
            source.close()
            await source.when_closed()
            if order.verbose:
                self._teller.say(f"* the last event's id: {source.last_event_id or 'none'}")
        if self._failure is not None or reason is not None:
            raise self._failure or reason  # type: ignore[misc]
        return Exit.OK

    def _options(self) -> dict[str, Any]:
        order = self._order
        options = order.options(self._reactor)
        for name in ("http_opts", "http2_opts"):
            options[name]["idle_timeout"] = order.idle
        if order.verbose:
            observer = LoneObserver(self._teller)
            options |= {"event_handler": observer, "on_up": observer.on_up}
        if order.wait is not None:
            options |= {"retry": order.wait, "max_retry": max(order.wait, EventSourceOptions().max_retry)}
        return {
            **options,
            "proxy_mode": order.proxy_mode,
            "response_timeout": order.timeout,
            "max_failures": None if order.retry is None else order.retry + 1,
            "content_handlers": [DECODING] if order.compressed else [],
        }

    def _told(self, event: Any) -> None:
        if type(event) is Sse and event.event is not None:
            self._write(event.event)
        elif self._source.ready_state == "closed":
            pass  # what has ended it is told by who waits for the end
        elif type(event) is Error:
            self._teller.fail(f"{event.reason}; asking again")
        elif type(event) is Sse and self._order.verbose:
            self._teller.say("* the stream has ended; asking again")

    def _write(self, event: SseEvent) -> None:
        try:
            self._output.line(_as_json(event) if self._order.json else _as_text(event))
        except (BrokenPipeError, Unwritable) as failure:
            self._failure = failure
            self._source.close()
            return
        self._count += 1
        if self._count == self._order.most:
            self._source.close()


def _as_json(event: SseEvent) -> str:
    return json.dumps({"event": event.event_type, "data": event.data, "id": event.last_event_id})


def _as_text(event: SseEvent) -> str:
    """The data, after the type where that says something; lines after the first are indented."""
    kind = "" if event.event_type == "message" else f"{event.event_type}: "
    return kind + (event.data or "").replace("\n", "\n    ")
