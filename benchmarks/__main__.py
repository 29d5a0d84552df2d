"""``python -m benchmarks``: runs every client against the same server, round by round, and prints the medians side by side."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.client import ClientFailed, run_client
from benchmarks.drivers import DRIVERS, Driver
from benchmarks.echo import started_echo
from benchmarks.proxies import Proxies, started_proxies
from benchmarks.report import Results, as_json, as_text
from benchmarks.scenarios import SCENARIOS, Job, Scenario
from benchmarks.server import Server, started_server


def main() -> int:
    """Do what the command line says; 1 where a client failed."""
    given = _arguments()
    drivers = [DRIVERS[name] for name in given.only or DRIVERS]
    scenarios = [SCENARIOS[name] for name in given.scenario or SCENARIOS]
    with ExitStack() as running:
        websocket, http = (any(scenario.websocket is kind for scenario in scenarios) for kind in (True, False))
        servers = {False: running.enter_context(started_server(given.server))} if http else {}
        servers |= {True: running.enter_context(started_echo())} if websocket else {}
        tunnels = any(scenario.tunnels for scenario in scenarios)
        proxies = running.enter_context(started_proxies(Path(servers[False].ca).parent)) if tunnels else None
        facts = _facts(drivers, [*servers.values(), *([] if proxies is None else [proxies])], given)
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
        chosen = [(scenario, servers[scenario.websocket]) for scenario in scenarios]
        possible = [(scenario, server) for scenario, server in chosen if _possible(scenario, drivers, server)]
        results = [_compare(scenario, drivers, server, proxies, given) for scenario, server in possible]
    if given.json:
        given.json.write_text(json.dumps(as_json(facts, results), indent=1) + "\n")
    return 1 if any(result.failures for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare clients side by side.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each client is measured (default %(default)s)")
    parser.add_argument("--requests", type=int, help="how many requests are measured (default: what takes --seconds)")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement takes (default %(default)s)")
    parser.add_argument("--only", action="append", choices=DRIVERS, metavar="NAME", help=f"only this client: {', '.join(DRIVERS)}")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, metavar="NAME", help=f"only this scenario: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--server", choices=("best", "nginx", "python"), default="best", help="nginx where there is one")
    parser.add_argument("--reactor", choices=("default", "asyncio", "uvloop"), default="default", help="for the clients on Twisted")
    parser.add_argument(
        "--cores",
        choices=("auto", "apart", "together"),
        default="auto",
        help="client and server on two cores, or on one; auto: on one for the small GETs on one connection",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of a second each: shows that it runs, no more")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 0.2
    return given


def _facts(drivers: list[Driver], servers: Iterable[Server | Proxies], given: argparse.Namespace) -> dict[str, Any]:
    packages = sorted({package for driver in drivers for package in driver.packages})
    return {
        "server": ", ".join(server.name for server in servers),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {_version(package)}" for package in packages),
        "reactor": given.reactor,
        "rounds": given.rounds,
        "cores": given.cores,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(checkout)"


def _possible(scenario: Scenario, drivers: list[Driver], server: Server) -> bool:
    """Whether the server and any of the clients can do it; says so where the server cannot."""
    if scenario.http2 and not server.http2:
        print(f"\n{scenario.name}: skipped, for the server speaks no HTTP/2", flush=True)
        return False
    return any(driver.can(scenario) for driver in drivers)


def _compare(scenario: Scenario, drivers: list[Driver], server: Server, proxies: Proxies | None, given: argparse.Namespace) -> Results:
    """Measure the clients in turn (A B C, A B C), so that what slows the machine for a while slows all of them."""
    client_cpu, server_cpu = _cores(scenario, given.cores)
    server.stay_on(server_cpu)
    if proxies is not None:
        proxies.stay_on(server_cpu)
    results = Results(scenario=scenario, cores=(client_cpu, server_cpu))
    port = server.tls_port if scenario.tls else server.port
    job = Job(scenario=scenario, port=port, ca=server.ca, requests=given.requests, seconds=given.seconds)
    turns = [(driver, way) for driver in drivers if driver.can(scenario) for way in driver.ways_of(scenario)]
    for _ in range(given.rounds):
        for driver, way in turns:
            client = f"{driver.name} {way}" if scenario.tunnels else driver.name
            if client in results.failures:
                continue
            proxy = None if proxies is None else proxies.urls.get(way)
            try:
                results.add(client, run_client(driver, replace(job, way=way, proxy=proxy), cpu=client_cpu, reactor=given.reactor))
            except ClientFailed as failure:
                results.failures[client] = str(failure)
    print(f"\n{as_text(results)}", flush=True)
    return results


def _cores(scenario: Scenario, wanted: str) -> tuple[int | None, int | None]:
    """The core of the client and that of the server; None for any, where there is no choice."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return None, None
    together = wanted == "together" or (wanted == "auto" and scenario.alternating)
    return cores[0], cores[0] if together else cores[1]


if __name__ == "__main__":
    sys.exit(main())
