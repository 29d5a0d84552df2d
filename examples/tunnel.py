"""Fetch URLs through tunnels of one connection to a proxy, all at once over HTTP/2: ``python examples/tunnel.py PROXY URL...``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, proxy: str, *urls: str) -> None:
    conn = gun.open_url(proxy, reactor=reactor, retry=0)
    spoken = await conn.await_up(timeout=30.0)

    async def fetch(url: str) -> None:
        parts, secure = urlsplit(url), url.startswith("https:")
        tunnel = conn.connect(
            {
                "host": parts.hostname,
                "port": parts.port or (443 if secure else 80),
                "transport": "tls" if secure else "tcp",
            }
        )
        try:
            protocol = await tunnel.await_up(timeout=30.0)
        except gun.ProxyFailed as refused:
            print(refused)
            return
        stream = tunnel.get(urlunsplit(("", "", *parts[2:4], "")) or "/")
        response = await stream.await_response()
        body = await stream.await_body()
        print(f"{parts.path}: {protocol} in {spoken}, status {response.status}, {len(body)} bytes")
        tunnel.shutdown()

    if spoken == "http2":
        fetching = [Deferred.fromCoroutine(fetch(url)) for url in urls]
        await gatherResults(fetching, consumeErrors=True)
    else:  # over HTTP/1.1 the whole connection becomes the tunnel
        await fetch(urls[0])
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
