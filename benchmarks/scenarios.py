"""
What is measured: the scenarios, the job one client process is given, and the measurement it gives back.

This module knows neither a client nor a server.
"""

from __future__ import annotations

import itertools
import random
import resource
import string
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = [
    "SCENARIOS",
    "WAYS",
    "Download",
    "Job",
    "Measurement",
    "Scenario",
    "check_echo",
    "check_small",
    "check_upload",
    "measure",
    "messages",
    "pieces",
]

#: Both servers answer this path with `SMALL_BODY` and eight headers.
SMALL_PATH = "/small"
SMALL_BODY = b"Hello, world!"

#: Both servers answer this path with `BIG_SIZE` bytes.
BIG_PATH = "/big"
BIG_SIZE = 100_000_000

#: nginx reads what is sent to this path, and answers with how many bytes that were, headers included.
UPLOAD_PATH = "/upload"

#: Clients that are fed an upload piece by piece are given it in these.
PIECE = bytes(65_536)

#: The ways to the server that scenarios of tunnels compare. All but the first lead through a proxy: by CONNECT over HTTP/1.1, by the same
#: over TLS, by CONNECT over HTTP/2 and TLS, and by SOCKS5. With the server there is TLS in any case.
WAYS = ("direct", "http", "https", "http2", "socks5")

#: Messages above this size are checked by their size and their last bytes: comparing all of it would be much of a fast client's work.
_LARGE = 65_536
_LOOK = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One kind of work: `connections`, each with `streams` requests at a time, and the next one where one has ended.

    Of a `websocket`, a request is a message of `size` bytes, and has ended when its echo is there; with `deflate` it is text that can
    be compressed. With `tunnels` each client does it several times, by each of the ways that it knows.
    """

    name: str
    title: str
    connections: int = 1
    streams: int = 1
    tls: bool = False
    http2: bool = False
    download: bool = False
    upload: bool = False
    websocket: bool = False
    size: int = 0
    text: bool = False
    deflate: bool = False
    tunnels: bool = False

    @property
    def at_once(self) -> int:
        """How many requests are under way at any time."""
        return self.connections * self.streams

    @property
    def bulk(self) -> bool:
        """Whether it is about bytes, and not about requests."""
        return self.download or self.upload

    @property
    def alternating(self) -> bool:
        """Whether client and server never have work at the same time: then one core shows more than two that sleep in turn."""
        return self.at_once == 1 and not self.bulk and self.size <= _LARGE


def _websocket(name: str, title: str, *, size: int, text: bool = False, streams: int = 1) -> Iterator[Scenario]:
    """The scenario, and the same with permessage-deflate."""
    yield Scenario(name=name, title=f"websocket echo, {title}", websocket=True, size=size, text=text, streams=streams)
    title = f"websocket echo, {title}, compressed text"
    yield Scenario(name=f"{name}-deflate", title=title, websocket=True, size=size, text=True, streams=streams, deflate=True)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="get-1", title="small GET, one connection"),
        Scenario(name="get-32", title="small GET, 32 connections", connections=32),
        Scenario(name="get-1-tls", title="small GET over TLS, one connection", tls=True),
        Scenario(name="get-32-tls", title="small GET over TLS, 32 connections", connections=32, tls=True),
        Scenario(name="download", title="100 MB download", download=True),
        Scenario(name="download-tls", title="100 MB download over TLS", download=True, tls=True),
        Scenario(name="h2-get-100", title="small GET over HTTP/2, 100 streams on one TLS connection", streams=100, http2=True, tls=True),
        Scenario(name="h2-download", title="100 MB download over HTTP/2 and TLS", download=True, http2=True, tls=True),
        Scenario(name="h2-upload", title="100 MB upload over HTTP/2 and TLS", upload=True, http2=True, tls=True),
        Scenario(name="tunnel-get", title="small GET over TLS, one connection, through proxies", tls=True, tunnels=True),
        Scenario(name="tunnel-download", title="100 MB download over TLS, through proxies", tls=True, tunnels=True, download=True),
        *_websocket("ws-echo-1", "32 bytes of text, one message at a time", size=32, text=True),
        *_websocket("ws-echo-100", "32 bytes of text, 100 messages at a time", size=32, text=True, streams=100),
        *_websocket("ws-16k", "16 KB, one message at a time", size=16_384),
        *_websocket("ws-1m", "1 MB, one message at a time", size=1_048_576),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    What one client process has to do.

    `ca` is the path of the PEM file to trust. `requests` is how many requests (downloads, uploads) are measured; None stands for as
    many as take about `seconds`, by what the warm-up showed. `way` is one of `WAYS`, and `proxy` the URL of the proxy on it, if any.
    """

    scenario: Scenario
    port: int
    ca: str
    requests: int | None
    seconds: float
    way: str = WAYS[0]
    proxy: str | None = None

    @property
    def path(self) -> str:
        if self.scenario.websocket:
            return "/"
        if self.scenario.upload:
            return UPLOAD_PATH
        return BIG_PATH if self.scenario.download else SMALL_PATH

    @property
    def url(self) -> str:
        scheme = "ws" if self.scenario.websocket else "https" if self.scenario.tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The measured phase of one client process; times in seconds, `cpu` is user and system of the client process."""

    requests: int
    wall: float
    cpu: float


async def measure(job: Job, repeat: Callable[[int], Awaitable[None]]) -> Measurement:
    """Warm up, find out how many requests to measure, and measure them; ``repeat(count)`` does `count` requests."""
    first, timed = _trials(job.scenario)
    await repeat(first)  # opens the connections
    trial = await _measured(timed, repeat)
    count = job.requests or max(1, round(job.seconds * trial.requests / trial.wall))
    return await _measured(count, repeat)


def _trials(scenario: Scenario) -> tuple[int, int]:
    """How many requests warm up, and how many show how long one takes."""
    if scenario.bulk:
        return 1, 1
    return (4, 16) if scenario.size > _LARGE else (5 * scenario.at_once, 10 * scenario.at_once + 200)


async def _measured(count: int, repeat: Callable[[int], Awaitable[None]]) -> Measurement:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    await repeat(count)
    return Measurement(requests=count, wall=time.perf_counter() - wall, cpu=_cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def check_small(status: int, body: bytes) -> None:
    """Raise where the answer to the small GET is not the right one: a wrong answer has no speed."""
    if status != 200 or body != SMALL_BODY:
        raise ValueError(f"wrong answer: {status} {body[:64]!r}")


def check_upload(status: int, body: bytes) -> None:
    """Raise where the server does not say that it has all of it."""
    if status != 200 or int(body) <= BIG_SIZE:
        raise ValueError(f"wrong upload: {status} {body[:64]!r}")


def messages(scenario: Scenario) -> Iterator[Any]:
    """The messages to send, str or bytes, without end; none comes again while deflate could still remember it."""
    source = random.Random(0)
    words = ["".join(source.choices(string.ascii_lowercase, k=source.randrange(2, 10))) for _ in range(500)]

    def message() -> str | bytes:
        if scenario.text:
            return " ".join(source.choices(words, k=scenario.size // 3 + 1))[: scenario.size]
        return source.randbytes(scenario.size)

    return itertools.cycle([message() for _ in range(max(4, 1_000_000 // max(scenario.size, 250)))])


def check_echo(sent: Any, received: Any) -> None:
    """Raise where `received` is not what was `sent`; of a large one only the size and the end are looked at."""
    right = received[-_LOOK:] == sent[-_LOOK:] and len(received) == len(sent) if len(sent) > _LARGE else received == sent
    if not right:
        raise ValueError(f"wrong echo: {received!r:.64} for {sent!r:.64}")


def pieces() -> Iterator[bytes]:
    """The content of one upload, `BIG_SIZE` bytes in all."""
    left = BIG_SIZE
    while left:
        piece = PIECE[:left]
        left -= len(piece)
        yield piece


class Download:
    """Counts the bytes of one download, and forgets them."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)

    def check(self, status: int) -> None:
        """Raise where this was not the whole of it."""
        if status != 200 or self.size != BIG_SIZE:
            raise ValueError(f"wrong download: {status}, {self.size} bytes")
