"""Let the server close the connection and see it come back: ``python examples/reconnect.py URL``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


class Watcher(gun.Receiver):
    """The owner: says what becomes of the connection; `down` fires when it is first lost."""

    def __init__(self) -> None:
        self.down: Deferred[None] = Deferred()

    def gun_up(self, event: gun.Up) -> None:
        print("up")

    def gun_down(self, event: gun.Down) -> None:
        print("down")
        if not self.down.called:
            self.down.callback(None)


async def main(reactor: IReactorTime, url: str) -> None:
    path = urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/"
    watcher = Watcher()
    conn = gun.open_url(url, reactor=reactor, owner=watcher, retry_fun=gun.backoff())
    await conn.await_up()
    first = conn.get(path, headers={"connection": "close"})
    print(f"first request: status {(await first.await_response()).status}")
    await first.await_body()
    await watcher.down
    await conn.await_up()
    second = conn.get(path)
    print(f"second request: status {(await second.await_response()).status}")
    await second.await_body()
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
