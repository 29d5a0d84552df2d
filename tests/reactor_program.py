"""
A program for test_reactors: on the reactor named by its argument, a server, a connection by await and one by callbacks.

It prints what it did, last of all what connections and delayed calls the reactor has left.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.reactors import installReactor

if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())
    else:
        installReactor(sys.argv[1])

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.tcp import Connection
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

import twisted_gun as gun


class _Echo(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello %b" % request.path

    def render_POST(self, request: Any) -> int:
        request.write(request.content.read())
        request.finish()
        return NOT_DONE_YET


class _Callbacks(gun.Receiver):
    """The life of a connection without a single await."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self.log: list[str] = []

    def gun_up(self, event: gun.Up) -> None:
        self.log.append(event.protocol)
        event.connection.get("/callbacks")

    def gun_response(self, event: gun.Response) -> None:
        self.log.append(str(event.status))

    def gun_data(self, event: gun.Data) -> None:
        self.log.append(event.data.decode())
        if event.fin:
            event.stream.connection.shutdown().addCallback(lambda _: self.done.callback(self.log))


async def by_await(reactor: Any, port: int) -> str:
    """Ten pipelined requests and a large upload."""
    connection = gun.open("127.0.0.1", port, reactor=reactor)
    await connection.await_up()
    streams = [connection.get(f"/{n}") for n in range(10)]
    bodies = [await stream.await_body() for stream in streams]
    echo = connection.post("/", (), b"x" * 3_000_000)
    size = len(await echo.await_body())
    await connection.shutdown()
    return f"{b','.join(bodies).decode()} {size}"


async def by_callbacks(reactor: Any, port: int) -> str:
    """One request."""
    receiver = _Callbacks()
    gun.open("127.0.0.1", port, reactor=reactor, owner=receiver, reply_to=receiver)
    return " ".join(await receiver.done)


async def reconnecting(reactor: Any, port: int) -> str:
    """A connection that the server ends is made again."""
    ups: Deferred[None] = Deferred()
    log: list[str] = []

    def told(event: Any) -> None:
        log.append(event.told_as)
        if log.count("gun_up") == 2:
            ups.callback(None)

    connection = gun.open("127.0.0.1", port, reactor=reactor, owner=told)
    await connection.get("/", {"connection": "close"}).await_body()
    await ups
    ended = connection.when_terminated()
    connection.close()
    await ended
    return " ".join(log)


async def main(reactor: Any) -> None:
    """Everything, then what is left."""
    server = Site(_Echo())
    listening = reactor.listenTCP(0, server, interface="127.0.0.1")
    port = listening.getHost().port
    say(type(reactor).__name__)
    for act in (by_await, by_callbacks, reconnecting):
        say(await act(reactor, port))
    await turns(reactor, lambda: not left(reactor))
    say(f"left: {left(reactor)}")
    await listening.stopListening()


def left(reactor: Any) -> list[object]:
    """Connections that the reactor still serves, and delayed calls of ours."""
    connections = {each for each in [*reactor.getReaders(), *reactor.getWriters()] if isinstance(each, Connection)}
    calls = [call for call in reactor.getDelayedCalls() if call.func.__module__.startswith("twisted_gun")]
    return [*connections, *calls]


async def turns(reactor: Any, done: Any) -> None:
    """Let the reactor turn until `done`, at most 2,000 times."""
    for _ in range(2000):
        if done():
            return
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.001, turn.callback, None)
        await turn


def say(text: str) -> None:
    """One line of what it did."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
