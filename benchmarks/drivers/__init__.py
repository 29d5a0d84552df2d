"""
The clients that are compared: one driver each.

A driver is ``async (job) -> Measurement`` on asyncio, or ``async (reactor, job) -> Measurement`` on Twisted: it makes its client,
hands `measure` a function that does a number of requests, and cleans up. Its module is imported only in the process that runs it.
To add a client, add a line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scenarios import Scenario

__all__ = ["DRIVERS", "Driver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Where the driver of a client is, what it speaks, and the `packages` whose versions belong to its numbers."""

    name: str
    module: str
    function: str
    packages: tuple[str, ...]
    twisted: bool = False
    http1: bool = True
    http2: bool = False

    def can(self, scenario: Scenario) -> bool:
        """Whether the client speaks what `scenario` is about."""
        return self.http2 if scenario.http2 else self.http1


_GUN = ("twisted_gun", "Twisted")

DRIVERS = {
    driver.name: driver
    for driver in (
        Driver(name="gun-await", module="gun", function="awaiting", packages=_GUN, twisted=True, http2=True),
        Driver(name="gun-callback", module="gun", function="calling_back", packages=_GUN, twisted=True, http2=True),
        Driver(
            name="gun-core-h2", module="gun", function="calling_back_on_h2", packages=(*_GUN, "h2"), twisted=True, http1=False, http2=True
        ),
        Driver(name="agent", module="agent", function="agent", packages=("Twisted",), twisted=True),
        Driver(name="treq", module="agent", function="treq_client", packages=("treq", "Twisted"), twisted=True),
        Driver(
            name="scrapy",
            module="scrapy",
            function="scrapy_client",
            packages=("Scrapy", "Twisted", "h2"),
            twisted=True,
            http1=False,
            http2=True,
        ),
        Driver(name="aiohttp", module="aio", function="aiohttp_client", packages=("aiohttp",)),
        Driver(name="httpx", module="aio", function="httpx_client", packages=("httpx", "httpcore", "h2"), http2=True),
        Driver(
            name="niquests",
            module="niquests",
            function="niquests_client",
            packages=("niquests", "urllib3-future", "jh2"),
            http1=False,
            http2=True,
        ),
        Driver(name="pycurl", module="curl", function="curl", packages=("pycurl",), http2=True),
    )
}
