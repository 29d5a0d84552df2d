"""
The clients that are compared: one driver each.

A driver is ``async (job) -> Measurement`` on asyncio, or ``async (reactor, job) -> Measurement`` on Twisted: it makes its client,
hands `measure` a function that does a number of requests, and cleans up. Its module is imported only in the process that runs it. A
client may have one function for requests, another for the messages of a websocket, or both.
To add a client, add a line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scenarios import WAYS, Scenario

__all__ = ["DRIVERS", "Driver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """
    Where the driver of a client is, what it speaks, and the `packages` whose versions belong to its numbers.

    `function` makes requests, over HTTP/1.1 or HTTP/2, by each of these `ways`; `websocket` is the function that sends messages, compressed
    ones if `deflate`.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    function: str = ""
    websocket: str = ""
    twisted: bool = False
    http1: bool = True
    http2: bool = False
    deflate: bool = False
    ways: tuple[str, ...] = ("direct",)

    def can(self, scenario: Scenario) -> bool:
        """Whether the client speaks what `scenario` is about."""
        if scenario.websocket:
            return self.websocket != "" and (self.deflate or not scenario.deflate)
        if scenario.tunnels and len(self.ways) == 1:
            return False
        return self.function != "" and (self.http2 if scenario.http2 else self.http1)

    def ways_of(self, scenario: Scenario) -> tuple[str, ...]:
        """The ways by which it is to do that."""
        return self.ways if scenario.tunnels else self.ways[:1]

    def function_for(self, scenario: Scenario) -> str:
        """The function that does it."""
        return self.websocket if scenario.websocket else self.function


_GUN = ("twisted_gun", "Twisted")  # and websockets, whose masks in C are the extra "speed"

DRIVERS = {
    driver.name: driver
    for driver in (
        Driver(
            name="gun-await",
            module="gun",
            function="awaiting",
            websocket="awaiting_messages",
            packages=_GUN,
            twisted=True,
            http2=True,
            deflate=True,
            ways=WAYS,
        ),
        Driver(
            name="gun-callback",
            module="gun",
            function="calling_back",
            websocket="calling_back_messages",
            packages=_GUN,
            twisted=True,
            http2=True,
            deflate=True,
        ),
        Driver(
            name="gun-core-h2", module="gun", function="calling_back_on_h2", packages=(*_GUN, "h2"), twisted=True, http1=False, http2=True
        ),
        Driver(name="gun-observed", module="gun", function="calling_back_observed", packages=_GUN, twisted=True, http2=True),
        Driver(
            name="gun-wsproto",
            module="gun",
            websocket="calling_back_messages_on_wsproto",
            packages=(*_GUN, "wsproto"),
            twisted=True,
            deflate=True,
        ),
        Driver(name="gun-pure", module="gun_pure", websocket="calling_back_messages", packages=_GUN, twisted=True),
        Driver(name="agent", module="agent", function="agent", packages=("Twisted",), twisted=True),
        Driver(name="gun-agent", module="gun_agent", function="agent", packages=_GUN, twisted=True, http2=True),
        Driver(name="gun-treq", module="gun_agent", function="treq_client", packages=(*_GUN, "treq"), twisted=True, http2=True),
        Driver(name="treq", module="agent", function="treq_client", packages=("treq", "Twisted"), twisted=True, ways=WAYS[:2]),
        Driver(
            name="scrapy",
            module="scrapy",
            function="scrapy_client",
            packages=("Scrapy", "Twisted", "h2"),
            twisted=True,
            http1=False,
            http2=True,
        ),
        Driver(
            name="aiohttp",
            module="aio",
            function="aiohttp_client",
            websocket="aiohttp_websocket",
            packages=("aiohttp",),
            deflate=True,
            ways=WAYS[:3],
        ),
        Driver(name="httpx", module="aio", function="httpx_client", packages=("httpx", "httpcore", "h2"), http2=True, ways=WAYS[:3]),
        Driver(
            name="niquests",
            module="niquests",
            function="niquests_client",
            packages=("niquests", "urllib3-future", "jh2"),
            http1=False,
            http2=True,
        ),
        Driver(name="pycurl", module="curl", function="curl", packages=("pycurl",), http2=True, ways=WAYS),
        Driver(
            name="autobahn", module="autobahn", websocket="autobahn_client", packages=("autobahn", "Twisted"), twisted=True, deflate=True
        ),
        Driver(name="websockets", module="websockets", websocket="websockets_client", packages=("websockets",), deflate=True),
        Driver(name="picows", module="picows", websocket="picows_client", packages=("picows", "aiofastnet")),
    )
}
