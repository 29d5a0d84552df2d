"""Send messages to a websocket and print what comes back: ``python examples/websocket_helpers.py URL MESSAGE...``."""

import sys
from urllib.parse import urlsplit, urlunsplit

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun
from twisted_gun import websocket


async def talk(socket: websocket.Socket, messages: tuple[str, ...]) -> int:
    for message in messages:
        await websocket.send_text(socket, message)
        frame = await websocket.receive_app_frame(socket)
        if isinstance(frame, gun.Text):
            print(f"{message!r} -> {frame.text!r}")
    return len(messages)


async def main(reactor: IReactorTime, url: str, *messages: str) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    options = websocket.with_timeout(websocket.options(), 10.0)
    connect_options = gun.Options(protocols=("http",), retry=0, transport="tls" if secure else "tcp")
    options = websocket.with_connect_options(options, connect_options)
    path, port = urlunsplit(("", "", *parts[2:4], "")) or "/", parts.port or (443 if secure else 80)
    count = await websocket.with_socket(parts.hostname, port, path, options, lambda socket: talk(socket, messages), reactor=reactor)
    print(f"{count} messages, and closed")


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
