"""
The clients that are compared: one driver each.

A driver is ``async (job) -> Measurement`` on asyncio, or ``async (reactor, job) -> Measurement`` on Twisted: it makes its client,
hands `measure` a function that does a number of requests, and cleans up. Its module is imported only in the process that runs it.
To add a client, add a line here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DRIVERS", "Driver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Where the driver of a client is, and the `packages` whose versions belong to its numbers."""

    name: str
    module: str
    function: str
    packages: tuple[str, ...]
    twisted: bool = False


DRIVERS = {
    driver.name: driver
    for driver in (
        Driver(name="gun-await", module="gun", function="awaiting", packages=("twisted_gun", "Twisted"), twisted=True),
        Driver(name="gun-callback", module="gun", function="calling_back", packages=("twisted_gun", "Twisted"), twisted=True),
        Driver(name="agent", module="agent", function="agent", packages=("Twisted",), twisted=True),
        Driver(name="treq", module="agent", function="treq_client", packages=("treq", "Twisted"), twisted=True),
        Driver(name="aiohttp", module="aio", function="aiohttp_client", packages=("aiohttp",)),
        Driver(name="httpx", module="aio", function="httpx_client", packages=("httpx",)),
        Driver(name="pycurl", module="curl", function="curl", packages=("pycurl",)),
    )
}
