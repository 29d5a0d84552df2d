"""treq over HTTP/2: ``python examples/treq_http2.py URL [COUNT [CA]]``, where CA is the path of a PEM file to trust."""

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, count: str = "10", ca: str | None = None) -> None:
    agent = gun.GunAgent(reactor, tls_opts={"trust_root": ca}, response_timeout=30.0)
    client = HTTPClient(agent)

    async def fetch(number: int) -> Any:
        response = await client.get(url, params={"n": str(number)}, timeout=60)
        await response.content()
        return response

    # All at once: over HTTP/2 they share one connection, over HTTP/1.1 six.
    responses = await gatherResults([Deferred.fromCoroutine(fetch(number)) for number in range(int(count))], consumeErrors=True)
    for response in responses[:3]:
        print(f"HTTP/{response.version[1]} {response.code} {response.request.absoluteURI.decode()}")
    info = agent.info()
    print(f"{info.requests} requests, {info.opened} connections")
    await agent.close()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
