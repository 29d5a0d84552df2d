"""Fetch a URL with callbacks instead of awaiting: ``python examples/receiver.py URL``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


class Download(gun.Receiver):
    """Told of a connection and the one stream on it; `done` fires with the size of what came."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self.done: Deferred[int] = Deferred()

    def gun_up(self, event: gun.Up) -> None:
        print(f"up, speaking {event.protocol}")
        event.connection.get(self.path)

    def gun_response(self, event: gun.Response) -> None:
        print(f"status {event.status}")
        if event.fin:
            self.done.callback(self.size)

    def gun_data(self, event: gun.Data) -> None:
        self.size += len(event.data)
        if event.fin:
            self.done.callback(self.size)

    def gun_trailers(self, event: gun.Trailers) -> None:
        self.done.callback(self.size)

    def gun_error(self, event: gun.Error) -> None:
        if event.stream is not None:
            self.done.errback(event.reason)


async def main(reactor: IReactorTime, url: str) -> None:
    download = Download(urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/")
    conn = gun.open_url(url, reactor=reactor, owner=download, reply_to=download, retry=0)
    print(f"{await download.done} bytes")
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
