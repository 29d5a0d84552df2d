"""Fetch a URL through a proxy, or several in a row: ``python examples/proxy.py URL [PROXY...]``; without, those of the environment."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, *proxies: str) -> None:
    path = urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/"
    conn = gun.open_url(url, reactor=reactor, proxy=proxies or "env", retry=0)
    stream = conn.get(path)
    try:
        response = await stream.await_response(timeout=30.0)
    except gun.ProxyFailed as refused:
        print(refused)
        return
    for proxy in conn.info().intermediaries:
        print(f"through {proxy.host}:{proxy.port}, by {proxy.protocol}")
    print(f"status {response.status}, {len(await stream.await_body())} bytes")
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
