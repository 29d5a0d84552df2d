"""Many requests at a time on one connection of HTTP/2: ``python examples/multiplex.py URL [COUNT]``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, count: str = "200") -> None:
    path = urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/"
    # As many as the server allows go out at once; the others wait in line.
    options = {"max_waiting": 10_000}
    conn = gun.open_url(url, reactor=reactor, protocols=["http2"], http2_opts=options)

    async def fetch() -> int:
        stream = conn.get(path)
        await stream.await_response(timeout=60.0)
        size = 0
        async for chunk in stream.chunks():
            size += len(chunk)
            # Whatever takes its time here holds back this stream only.
            await task.deferLater(reactor, 0.0, lambda: None)
        return size

    fetching = [Deferred.fromCoroutine(fetch()) for _ in range(int(count))]
    sizes = await gatherResults(fetching, consumeErrors=True)
    print(f"{await conn.await_up()}: {len(sizes)} answers, {sum(sizes)} bytes")
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
