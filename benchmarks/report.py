"""Medians, ratios, the table and the JSON: what is made of the measurements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.scenarios import BIG_SIZE, WAYS, Measurement, Scenario

__all__ = ["Results", "as_json", "as_text"]

#: The clients that the others are held against, over HTTP/1.1, over HTTP/2, and as a websocket.
BASELINES = ("aiohttp", "agent")
HTTP2_BASELINES = ("scrapy", "httpx", "niquests", "pycurl", "gun-core-h2")
WEBSOCKET_BASELINES = ("autobahn", "websockets", "aiohttp", "picows")
#: Through proxies: the same client without one, and these by the same way.
DIRECT = "direct"
TUNNEL_BASELINES = (DIRECT, "aiohttp", "httpx")


@dataclass(slots=True, kw_only=True)
class Results:
    """
    All measurements of one scenario, by client, in the order they were made; of one with tunnels, by client and way, "aiohttp http".

    `cores` are those of the client and of the server, None for any; `failures` says why a client has no measurement.
    """

    scenario: Scenario
    cores: tuple[int | None, int | None]
    measurements: dict[str, list[Measurement]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, client: str, measurement: Measurement) -> None:
        self.measurements.setdefault(client, []).append(measurement)

    @property
    def baselines(self) -> list[str]:
        """The clients that were measured and that the others are held against."""
        if self.scenario.tunnels:
            measured = {part for client in self.measurements for part in client.split()}
            return [name for name in TUNNEL_BASELINES if name in measured]
        wanted = WEBSOCKET_BASELINES if self.scenario.websocket else HTTP2_BASELINES if self.scenario.http2 else BASELINES
        return [name for name in wanted if name in self.measurements]

    @property
    def unit(self) -> str:
        """What is counted."""
        return "MB" if self.scenario.bulk else "msg" if self.scenario.websocket else "req"

    def rates(self, client: str) -> tuple[float, float]:
        """The medians per second of wall time and per second of the client's CPU time: MB for bulk, else messages or requests."""
        unit = BIG_SIZE / 1e6 if self.scenario.bulk else 1.0
        made = self.measurements[client]
        return median(unit * m.requests / m.wall for m in made), median(unit * m.requests / m.cpu for m in made)

    def ratio(self, client: str, baseline: str, index: int) -> float | None:
        """How many times as fast as `baseline`, by `rates`; None where that was not measured by the same way."""
        if self.scenario.tunnels:
            name, _, way = client.partition(" ")
            baseline = f"{name} {DIRECT}" if baseline == DIRECT else f"{baseline} {way}"
        return self.rates(client)[index] / self.rates(baseline)[index] if baseline in self.measurements else None

    def spread(self, client: str) -> float:
        """The slowest to the fastest round by wall time, in percent of the median: how far to trust the median."""
        rates = [m.requests / m.wall for m in self.measurements[client]]
        return 100 * (max(rates) - min(rates)) / median(rates)


def as_text(results: Results) -> str:
    """A table: a line a client, the ratios to the baselines behind each median."""
    unit, against = results.unit, results.baselines
    ratios = "".join(f" {'/' + name:>{_width(name)}}" for name in against)
    names = max(14, *map(len, (*results.measurements, *results.failures)))
    lines = [
        f"{results.scenario.name}: {results.scenario.title} ({_cores_as_text(results)})",
        f"  {'':{names}} {unit + '/s':>9}{ratios}   {unit + '/CPU s':>9}{ratios}   {'spread':>7}",
    ]
    for client in sorted(results.measurements, key=_way) if results.scenario.tunnels else results.measurements:
        wall, cpu = (_with_ratios(results, client, against, index) for index in (0, 1))
        lines.append(f"  {client:{names}} {wall}   {cpu}   {results.spread(client):6.0f}%")
    for client, reason in results.failures.items():
        lines.append(f"  {client:{names}} failed: {(reason.splitlines() or ['for no stated reason'])[-1]}")
    return "\n".join(lines)


def _cores_as_text(results: Results) -> str:
    client, server = results.cores
    if client is None:
        return "cores not chosen"
    return "client and server on one core" if client == server else "client and server on a core each"


def _with_ratios(results: Results, client: str, against: list[str], index: int) -> str:
    ratios = ((name, results.ratio(client, name, index)) for name in against)
    shown = "".join(f" {'-':>{_width(name)}}" if ratio is None else f" {ratio:{_width(name) - 1}.2f}x" for name, ratio in ratios)
    return f"{results.rates(client)[index]:9,.0f}{shown}"


def _way(client: str) -> int:
    return WAYS.index(client.partition(" ")[2])


def _width(baseline: str) -> int:
    return max(9, len(baseline) + 1)


def as_json(facts: dict[str, Any], results: list[Results]) -> dict[str, Any]:
    """Everything, for another program: facts, and by scenario and client the medians, the ratios and each measurement."""
    return {"facts": facts, "scenarios": {result.scenario.name: _scenario_as_json(result) for result in results}}


def _scenario_as_json(results: Results) -> dict[str, Any]:
    clients: dict[str, Any] = {}
    for client, made in results.measurements.items():
        wall, cpu = results.rates(client)
        clients[client] = {
            "per_second": wall,
            "per_cpu_second": cpu,
            "wall_ratios": {name: results.ratio(client, name, 0) for name in results.baselines},
            "cpu_ratios": {name: results.ratio(client, name, 1) for name in results.baselines},
            "rounds": [asdict(measurement) for measurement in made],
        }
    unit = {"MB": "MB", "msg": "messages", "req": "requests"}[results.unit]
    cores = _cores_as_text(results)
    return {"title": results.scenario.title, "cores": cores, "unit": unit, "clients": clients, "failures": results.failures}
