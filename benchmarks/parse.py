"""
The cores alone, without a socket: ``python -m benchmarks.parse``.

Each case is a batch of requests given to a fresh core, whose responses are then fed one by one, each in one piece; requests
and responses are timed apart. "Seen" responses are all alike, so that whatever the core remembers helps it; in "new" ones no
header value was there before. Medians over the batches, in microseconds for one request or one response.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import hpack

from twisted_gun.options import Http2Options, HttpOptions
from twisted_gun.wire import frames
from twisted_gun.wire.core import HttpCore, Request
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.steps import Steps

BATCH = 200

REQUEST = Request(
    method=b"GET",
    target=b"/small",
    authority=b"127.0.0.1:8080",
    headers=((b"user-agent", b"benchmarks"), (b"accept", b"*/*")),
    body=b"",
)

#: Every header's value ends in a number, which "new" responses count up.
NAMES = """
    date etag x-request-id server vary cache-control content-type last-modified expires age via x-cache x-served-by x-timer
    strict-transport-security x-content-type-options x-frame-options referrer-policy content-language server-timing link pragma
""".split()

#: By case: how many of these there are, beside the one that frames the content, and the pieces of the content.
CASES = {
    "8 headers": (7, [b"Hello, world!"]),
    "23 headers": (22, [b"Hello, world!"]),
    "8 headers, 10 chunks": (7, [bytes(100)] * 10),
}


class OverHttp1:
    """HTTP/1.1: a core, and responses as bytes; content in more than one piece is chunked."""

    name = "HTTP/1.1"

    def core(self) -> HttpCore:
        core = Http1(HttpOptions())
        core.start(0.0)
        return core

    def response(self, stream: int, fields: list[tuple[str, str]], pieces: list[bytes]) -> bytes:
        chunked = len(pieces) > 1
        framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(pieces[0])))
        head = "".join(f"{name}: {value}\r\n" for name, value in [*fields, framing])
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""]) if chunked else pieces[0]
        return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode("ascii") + content


class OverHttp2:
    """HTTP/2: a core that knows the server's settings, and responses as frames."""

    name = "HTTP/2"

    def core(self) -> HttpCore:
        core = Http2(Http2Options(), b"https", _no_pushes)
        core.start(0.0)
        core.receive_data(frames.settings([(frames.Setting.MAX_CONCURRENT_STREAMS, BATCH)]), 0.0)
        return core

    def response(self, stream: int, fields: list[tuple[str, str]], pieces: list[bytes]) -> bytes:
        length = ("content-length", str(sum(map(len, pieces))))
        block = b"".join([_literal(*field) for field in [(":status", "200"), *fields, length]])
        number = 2 * stream + 1
        data = [frames.frame(frames.FrameType.DATA, 0, number, piece) for piece in pieces[:-1]]
        data.append(frames.frame(frames.FrameType.DATA, frames.END_STREAM, number, pieces[-1]))
        return frames.header_frames(number, block, fin=False, size=frames.DEFAULT_FRAME_SIZE) + b"".join(data)


def _literal(name: str, value: str) -> bytes:
    """A field as nginx writes it: those it makes itself are to be indexed, though it never refers to them; the others are not."""
    indexed = name in _INDEXED
    coded = hpack.Encoder().encode([(name, value, not indexed)])
    return coded if indexed else bytes([coded[0] & 0x0F]) + coded[1:]  # "without indexing" for "never indexed"; RFC 7541 section 6.2


_INDEXED = frozenset((":status", "server", "date", "content-type", "content-length", "last-modified"))


def _no_pushes(*promise: object) -> object:
    raise ValueError(f"a push, which nobody allowed: {promise!r}")


PROTOCOLS: tuple[OverHttp1 | OverHttp2, ...] = (OverHttp1(), OverHttp2())


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parse", description="Time the cores alone.")
    parser.add_argument("--rounds", type=int, default=100, help=f"batches of {BATCH} a case (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians to FILE")
    given = parser.parse_args()
    gc.disable()  # its turns would fall on one batch or the other; nothing here makes cycles worth collecting
    medians = _measure(given.rounds)
    print("microseconds (median)")
    for name, value in medians.items():
        print(f"  {name:46} {value:7.2f}")
    if given.json:
        given.json.write_text(json.dumps(medians, indent=1) + "\n")
    return 0


def _measure(rounds: int) -> dict[str, float]:
    """The median of each case; the cases take turns, so that what slows the machine for a while slows all of them."""
    numbers = itertools.count(1)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for protocol, (name, (headers, pieces)) in itertools.product(PROTOCOLS, CASES.items()):
            for age in ("seen", "new"):
                batch = [
                    protocol.response(stream, _fields(headers, 0 if age == "seen" else next(numbers)), pieces) for stream in range(BATCH)
                ]
                asked, answered = _time_batch(protocol.core(), batch)
                times.setdefault(f"{protocol.name}, request", []).append(asked)
                times.setdefault(f"{protocol.name}, response, {name}, {age}", []).append(answered)
    return {name: median(values) for name, values in times.items()}


def _fields(headers: int, number: int) -> list[tuple[str, str]]:
    return [(name, f"a value of common length {number:08}") for name in NAMES[:headers]]


def _time_batch(core: HttpCore, batch: list[bytes]) -> tuple[float, float]:
    """Microseconds for one request and for one response of `batch`."""
    streams = [object() for _ in batch]
    began = time.process_time()
    for stream in streams:
        core.request(stream, REQUEST, 0.0)
    asked = time.process_time()
    answers = [core.receive_data(response, 0.0) for response in batch]
    answered = time.process_time()
    _check(iter(streams), answers)
    return (asked - began) * 1e6 / len(batch), (answered - asked) * 1e6 / len(batch)


def _check(streams: Iterator[object], answers: list[Steps]) -> None:
    """Each response must have ended its own stream: a wrong answer has no speed."""
    for answer in answers:
        ends = [step for step in answer if getattr(step, "fin", False)]
        if len(ends) != 1 or getattr(ends[0], "stream", None) is not next(streams):
            raise ValueError(f"a response did not end its stream: {answer!r}")


if __name__ == "__main__":
    sys.exit(main())
