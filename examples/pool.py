"""Many requests that share a few connections: ``python examples/pool.py URL [COUNT [SIZE]]``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, count: str = "100", size: str = "4") -> None:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    path = urlunsplit(("", "", *parts[2:4], "")) or "/"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    pool = gun.Pool(host, port, int(size), transport="tls" if tls else "tcp", reactor=reactor, max_waiting=10_000, checkout_timeout=60.0)

    async def fetch() -> int:
        # At once where a connection is free, else when one is.
        stream = await pool.get(path)
        await stream.await_response(timeout=60.0)
        return len(await stream.await_body(timeout=60.0))

    sizes = await gatherResults([Deferred.fromCoroutine(fetch()) for _ in range(int(count))], consumeErrors=True)
    info = pool.info()
    print(f"{info.state}: {len(sizes)} answers, {sum(sizes)} bytes")
    for each in info.connections:
        print(f"{each.protocol}: {each.state}, {each.streams} streams")
    await pool.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
