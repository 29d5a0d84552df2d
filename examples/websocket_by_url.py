"""Say something to a websocket that echoes, and print what it answers: ``python examples/websocket_by_url.py URL TEXT``."""

import sys

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun
from twisted_gun import websocket


async def main(reactor: IReactorTime, url: str, text: str) -> None:
    request = websocket.attach(url=url, headers={"user_agent": "example"}, reactor=reactor)
    response = await request.get()
    if not response.upgraded:
        print(f"no websocket: status {response.status}")
        return
    await websocket.send_frame(response, gun.Text(text))
    frames = websocket.parse_message(response, await response.receive(timeout=10.0))
    print(f"status {response.status}, {frames}")
    await websocket.close(response)


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
