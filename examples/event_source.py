"""Print the events of a server until it says that there are no more: ``python examples/event_source.py URL [ID]``."""

import sys

from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, last_event_id: str = "") -> None:
    source = gun.EventSource(url, reactor=reactor, last_event_id=last_event_id)
    try:
        async for event in source:
            print(f"{event.last_event_id or '-'} {event.event_type}: {event.data}")
    except gun.GunError as error:
        print(error)
    print(f"to go on from here: {source.last_event_id!r}")


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
