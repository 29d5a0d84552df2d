"""
One client process: ``python -m benchmarks.client NAME SCENARIO PORT CA``, which prints its measurement as JSON.

`run_client` starts one and reads that.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.drivers import DRIVERS, Driver
from benchmarks.scenarios import SCENARIOS, WAYS, Job, Measurement

__all__ = ["ClientFailed", "run_client"]


class ClientFailed(Exception):
    """The client process ended without a measurement; what it wrote is the argument."""


def run_client(driver: Driver, job: Job, *, cpu: int | None, reactor: str, timeout: float = 300.0) -> Measurement:
    """Run `driver` in a fresh interpreter on the core `cpu`; raises `ClientFailed`."""
    command = [sys.executable, "-m", "benchmarks.client", driver.name, job.scenario.name, str(job.port), job.ca]
    command += ["--seconds", str(job.seconds), "--reactor", reactor]
    command += [] if job.requests is None else ["--requests", str(job.requests)]
    command += [] if cpu is None else ["--cpu", str(cpu)]
    command += [] if job.proxy is None else ["--way", job.way, "--proxy", job.proxy]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise ClientFailed(f"nothing after {timeout} seconds") from None
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        raise ClientFailed((ended.stderr or ended.stdout).strip()[-2000:])
    return Measurement(**json.loads(lines[-1]))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("name", choices=DRIVERS)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("port", type=int)
    parser.add_argument("ca", help="path of the PEM file to trust")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--reactor", default="default", help="for the clients on Twisted: default, asyncio or uvloop")
    parser.add_argument("--way", choices=WAYS, default=WAYS[0], help="how to go through --proxy")
    parser.add_argument("--proxy", help="the URL of a proxy")
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    job = Job(
        scenario=SCENARIOS[given.scenario],
        port=given.port,
        ca=given.ca,
        requests=given.requests,
        seconds=given.seconds,
        way=given.way,
        proxy=given.proxy,
    )
    driver = DRIVERS[given.name]
    if driver.twisted:
        _install(given.reactor)
    drive = getattr(importlib.import_module(f"benchmarks.drivers.{driver.module}"), driver.function_for(job.scenario))
    (_react if driver.twisted else _run)(drive, job)


def _install(reactor: str) -> None:
    """Choose the reactor, which has to be done before anything else of Twisted is imported."""
    if reactor == "default":
        return
    if reactor == "uvloop":
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    importlib.import_module("twisted.internet.asyncioreactor").install(asyncio.new_event_loop())


def _react(drive: Any, job: Job) -> None:
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    async def measured(reactor: Any) -> None:
        _show(await drive(reactor, job))

    react(lambda reactor: Deferred.fromCoroutine(measured(reactor)))


def _run(drive: Any, job: Job) -> None:
    _show(asyncio.run(drive(job)))


def _show(measurement: Measurement) -> None:
    print(json.dumps(asdict(measurement)), flush=True)


if __name__ == "__main__":
    main()
