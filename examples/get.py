"""Fetch a URL and print what came: ``python examples/get.py URL``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str) -> None:
    conn = gun.open_url(url, reactor=reactor)
    protocol = await conn.await_up()
    stream = conn.get(urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/", headers={"accept": "*/*"})
    response = await stream.await_response()
    body = await stream.await_body()
    print(f"{protocol}: status {response.status}, {len(body)} bytes")
    for name, value in response.headers:
        print(f"{name.decode('ascii')}: {value.decode('latin-1')}")
    print()
    print(body.decode("utf-8", "replace"))
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
