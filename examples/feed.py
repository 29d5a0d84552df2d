"""Print what a feed says, and find it again whenever it is lost: ``python examples/feed.py URL``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str) -> None:
    async def follow(conn: gun.Connection) -> None:
        stream = conn.ws_upgrade(urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/", ws_opts={"keepalive": 20.0})
        try:
            await stream.await_upgrade(timeout=None)
        except gun.UpgradeRefused as refused:
            print(refused)
            conn.close()
        async for event in stream:
            if isinstance(event, gun.Ws) and isinstance(event.frame, gun.Text):
                print(event.frame.text)
            elif isinstance(event, gun.Ws) and event.frame == gun.Close(1000):  # the feed is complete
                await conn.shutdown()

    patience = {"response_timeout": 20.0}
    conn = gun.open_url(url, reactor=reactor, on_up=follow, protocols=["http"], http_opts=patience, retry_fun=gun.backoff())
    await conn.when_terminated()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
