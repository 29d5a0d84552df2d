"""
Judge our websockets by the Autobahn test suite: ``python -m tests.autobahn``.

It starts the fuzzing server, or goes to one that runs; goes through the cases with each core, and through some once more with bytes
that come one at a time, and over HTTP/2; prints what the server thought of it; and exits with 1 if any of that is bad.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from tests.autobahn.client import Walk, reads_of
from tests.autobahn.server import CASES, find_haproxy, find_wstest, number_of, shown, started, translated, verdicts

_MISSING = """
AUTOBAHN'S FUZZING SERVER IS NOT HERE: our websockets were not tested against it.
It is the program "wstest" of the package autobahntestsuite, which needs Python 2.7; say where it is by AUTOBAHN_WSTEST.

"""

_NO_HAPROXY = "HAPROXY IS NOT INSTALLED: websockets over HTTP/2 were not tested against Autobahn (on Debian: apt-get install haproxy)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Once through `cases` with this core, over `protocol`; with `reads`, no read brings more bytes than that."""

    core: str
    cases: str
    reads: int | None = None
    protocol: str = "http"

    @property
    def agent(self) -> str:
        bytewise = "" if self.reads is None else f", {self.reads} byte a read"
        return self.core + bytewise + (", over HTTP 2" if self.protocol == "http2" else "")


def main(arguments: list[str]) -> None:
    """What the module says."""
    options = _parser().parse_args(arguments)
    if options.server is None and find_wstest() is None:
        sys.stderr.write(_MISSING)
        return
    runs = [_Run(core=core, cases=options.cases) for core in options.core or ("own", "wsproto")]
    if options.server is None and not options.core:
        runs += _odd_runs()
    reports = options.reports or Path(tempfile.mkdtemp(prefix="gun-autobahn-"))
    try:
        react(_all, (runs, options.server, reports))
    finally:
        if options.reports is None:
            shutil.rmtree(reports)


def _odd_runs() -> list[_Run]:
    runs = [_Run(core="own", cases="small", reads=1)]
    if find_haproxy() is None:
        sys.stderr.write(_NO_HAPROXY)
        return runs
    return runs + [_Run(core=core, cases="small", protocol="http2") for core in ("own", "wsproto")]


async def _all(reactor: Any, runs: list[_Run], server: tuple[str, int] | None, reports: Path) -> None:
    bad = 0
    for run in runs:
        place = reports if server is not None else reports / run.agent.replace(" ", "-").replace(",", "")
        bad += await _judged(reactor, run, server, place)
    if bad:
        raise SystemExit(1)


async def _judged(reactor: Any, run: _Run, server: tuple[str, int] | None, reports: Path) -> int:
    """How many cases went badly, or were not judged at all."""
    with ExitStack() as servers:
        address = server or _start(run, reports, servers)
        servers.enter_context(reads_of(run.reads))
        walk = Walk(reactor, *address, run.protocol, run.agent, {"core": run.core})
        count = await walk.count()
        sys.stdout.write(f"{run.agent}: {count} cases\n")
        await walk.all(count, _show_progress)
    judged = verdicts(reports, run.agent)
    sys.stdout.write("\r" + "\n".join(shown(judged)) + "\n")
    if count == 0 or len(judged) != count:
        sys.stdout.write(f"    {len(judged)} of {count} cases were judged\n")
    return number_of(judged) + abs(count - len(judged)) + (count == 0)


def _start(run: _Run, reports: Path, servers: ExitStack) -> tuple[str, int]:
    """Start what this run needs; where it is."""
    wstest, haproxy = find_wstest(), find_haproxy()
    assert wstest is not None
    reports.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    servers.enter_context(started(wstest, port, reports, run.cases))
    if run.protocol == "http2":
        assert haproxy is not None
        behind, port = port, _free_port()
        servers.enter_context(translated(haproxy, port, behind, reports))
    return "127.0.0.1", port


def _show_progress(number: int) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r{number} ")
        sys.stdout.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("--server", type=_address, metavar="HOST:PORT", help="a fuzzing server that runs already; needs --reports")
    parser.add_argument("--reports", type=Path, metavar="DIRECTORY", help="where the server's reports are, or are to be kept")
    parser.add_argument("--cases", choices=[*CASES], default="fast", help="which cases the server that is started has")
    parser.add_argument("--core", choices=("own", "wsproto"), action="append", help="only this core; may be given twice")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    main(sys.argv[1:])
