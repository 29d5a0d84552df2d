"""Send a file as it is read, never all of it in memory: ``python examples/upload.py URL FILE``."""

import os
import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime
from twisted.protocols.basic import FileSender

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, path: str) -> None:
    conn = gun.open_url(url, reactor=reactor)
    await conn.await_up()
    size, target = os.path.getsize(path), urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/"
    stream = conn.headers("POST", target, headers={"content-length": str(size)})
    with open(path, "rb") as file:
        await FileSender().beginFileTransfer(file, stream)
    stream.data(b"", fin=True)
    response = await stream.await_response(timeout=30.0)
    print(f"sent {size} bytes, status {response.status}")
    print((await stream.await_body()).decode("utf-8", "replace"))
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
