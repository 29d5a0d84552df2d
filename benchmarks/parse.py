"""
The HTTP/1.1 core alone, without a socket: ``python -m benchmarks.parse``.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Request
from twisted_gun.wire.http1 import Http1
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


def eight_headers(number: int) -> bytes:
    """A response of eight headers and 13 bytes."""
    return _head(number, NAMES[:7], "content-length: 13") + b"Hello, world!"


def twenty_three_headers(number: int) -> bytes:
    """A response of 23 headers and 13 bytes."""
    return _head(number, NAMES[:22], "content-length: 13") + b"Hello, world!"


def ten_chunks(number: int) -> bytes:
    """A response of eight headers and ten chunks of 100 bytes."""
    return _head(number, NAMES[:7], "transfer-encoding: chunked") + (b"64\r\n" + bytes(100) + b"\r\n") * 10 + b"0\r\n\r\n"


def _head(number: int, names: list[str], framing: str) -> bytes:
    lines = "".join(f"{name}: a value of common length {number:08}\r\n" for name in names)
    return f"HTTP/1.1 200 OK\r\n{lines}{framing}\r\n\r\n".encode("ascii")


CASES: dict[str, Callable[[int], bytes]] = {
    "8 headers": eight_headers,
    "23 headers": twenty_three_headers,
    "8 headers, 10 chunks": ten_chunks,
}


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parse", description="Time the HTTP/1.1 core alone.")
    parser.add_argument("--rounds", type=int, default=100, help=f"batches of {BATCH} a case (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians to FILE")
    given = parser.parse_args()
    gc.disable()  # its turns would fall on one batch or the other; nothing here makes cycles worth collecting
    medians = _measure(given.rounds)
    print("microseconds (median)")
    for name, value in medians.items():
        print(f"  {name:32} {value:7.2f}")
    if given.json:
        given.json.write_text(json.dumps(medians, indent=1) + "\n")
    return 0


def _measure(rounds: int) -> dict[str, float]:
    """The median of each case; the cases take turns, so that what slows the machine for a while slows all of them."""
    numbers = itertools.count(1)
    requests: list[float] = []
    responses: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make in CASES.items():
            for age, batch in (
                ("seen", [make(0)] * BATCH),
                ("new", [make(number) for number in itertools.islice(numbers, BATCH)]),
            ):
                asked, answered = _time_batch(batch)
                requests.append(asked)
                responses.setdefault(f"response, {name}, {age}", []).append(answered)
    return {"request": median(requests)} | {name: median(times) for name, times in responses.items()}


def _time_batch(batch: list[bytes]) -> tuple[float, float]:
    """Microseconds for one request and for one response of `batch`."""
    core = Http1(HttpOptions())
    core.start(0.0)
    streams = [object() for _ in batch]
    began = time.perf_counter()
    for stream in streams:
        core.request(stream, REQUEST, 0.0)
    asked = time.perf_counter()
    answers = [core.receive_data(response, 0.0) for response in batch]
    answered = time.perf_counter()
    _check(iter(streams), answers)
    return (asked - began) * 1e6 / len(batch), (answered - asked) * 1e6 / len(batch)


def _check(streams: Iterator[object], answers: list[Steps]) -> None:
    """Each response must have ended its own stream: a wrong answer has no speed."""
    for answer in answers:
        last = answer[-1] if answer else None
        if not getattr(last, "fin", False) or getattr(last, "stream", None) is not next(streams):
            raise ValueError(f"a response did not end its stream: {answer!r}")


if __name__ == "__main__":
    sys.exit(main())
