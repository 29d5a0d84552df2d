"""
The fuzzing server of the Autobahn test suite: where it is, how it is started, which cases it has, and what it thought of us.

It needs Python 2.7 and an environment of its own, with the package ``autobahntestsuite``. It speaks HTTP/1.1 only; before it HAProxy
speaks HTTP/2. Nothing here knows our client.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CASES", "find_haproxy", "find_wstest", "number_of", "shown", "started", "translated", "verdicts"]

#: Patterns of cases. "fast" takes a minute or two; "all" a quarter of an hour, for compression in all sizes; "small" leaves out
#: what takes long where bytes come a few at a time.
CASES: Mapping[str, tuple[str, ...]] = {
    "small": ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "12.1.1", "12.1.2", "12.2.1", "12.4.1", "13.1.1", "13.3.1", "13.5.1"),
    "fast": (
        *(f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
        *(f"12.1.{number}" for number in (*range(1, 9), 11)),
        *(f"12.{section}.{number}" for section in range(2, 6) for number in range(1, 7)),
        *(f"13.{section}.{number}" for section in range(1, 8) for number in (1, 5, 11)),
    ),
    "all": ("*",),
}

_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
listen translated
    bind 127.0.0.1:{port} proto h2
    http-request set-header host 127.0.0.1:{behind}
    server wstest 127.0.0.1:{behind}
"""

_BAD = {"FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN"}


def find_wstest() -> str | None:
    """The server's program: the environment variable AUTOBAHN_WSTEST says where it is, or it is in the PATH."""
    return shutil.which(os.environ.get("AUTOBAHN_WSTEST") or "wstest")


def find_haproxy() -> str | None:
    """HAProxy, which only root may have in the PATH."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@contextmanager
def started(wstest: str, port: int, reports: Path, cases: str) -> Iterator[None]:
    """A fuzzing server on this port of 127.0.0.1, which leaves its reports there, and ends with the block."""
    settings = {"url": f"ws://127.0.0.1:{port}", "outdir": str(reports), "cases": list(CASES[cases])}
    specification = reports / "server.json"
    specification.write_text(json.dumps({**settings, "exclude-cases": [], "exclude-agent-cases": {}}))
    with _running([wstest, "-m", "fuzzingserver", "-s", str(specification), "-u", "0"], reports / "server.log"):
        yield


@contextmanager
def translated(haproxy: str, port: int, behind: int, reports: Path) -> Iterator[None]:
    """HAProxy on this port, which speaks HTTP/2 with extended CONNECT (RFC 8441) and hands it on to the server on port `behind`."""
    config = reports / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, behind=behind))
    with _running([haproxy, "-db", "-f", str(config)], reports / "haproxy.log"):
        yield


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()


def verdicts(reports: Path, agent: str) -> dict[str, tuple[str, str]]:
    """What the server thought of this agent, by the cases' ids: of what it did, and of how it closed."""
    index: dict[str, dict[str, Any]] = json.loads((reports / "index.json").read_text())
    cases = index.get(agent, {})
    return {case: (verdict["behavior"], verdict["behaviorClose"]) for case, verdict in sorted(cases.items(), key=_number)}


def number_of(bad: Mapping[str, tuple[str, str]]) -> int:
    """How many of these verdicts are bad."""
    return sum(not _BAD.isdisjoint(verdict) for verdict in bad.values())


def shown(cases: Mapping[str, tuple[str, str]]) -> list[str]:
    """Lines that tell how many cases went how, and which did not go well."""
    counts = Counter(behavior for behavior, _ in cases.values())
    lines = [", ".join(f"{count} {behavior}" for behavior, count in counts.most_common())]
    return lines + [f"    {case}: {' / '.join(verdict)}" for case, verdict in cases.items() if {*verdict} & {*_BAD, "NON-STRICT"}]


def _number(item: tuple[str, object]) -> list[int]:
    return [int(part) for part in item[0].split(".")]
