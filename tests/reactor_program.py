"""
A program for test_reactors: on the reactor and over the transport ("tcp", "tls") named by its arguments, the same by await and by
callbacks, with a server that is restarted meanwhile.

It prints what it did, last of all what the reactor has left.
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
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import react
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from twisted_gun.testing import WebsocketPeer

DOWNLOAD = 5_000_000
PIECES = [b"x" * 100_000] * 30


class _Server(Resource):
    """A server that can be restarted, by a request for /restart: its port is closed and opened, the connection cut."""

    isLeaf = True

    def __init__(self, reactor: Any, transport: str) -> None:
        super().__init__()
        self._reactor = reactor
        self._factory: Any = Site(self)
        if transport == "tls":
            # Wrapped, for Twisted 25.5 writes the protocols that a Site speaks into a context that is in use, against a warning.
            creator = ServerCreator(authority().issue("127.0.0.1"))
            self._factory = TLSMemoryBIOFactory(creator, False, WrappingFactory(self._factory))
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Listen, on the same port as before."""
        self._listening = self._reactor.listenTCP(self.port, self._factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    def stop(self) -> Any:
        """Stop listening."""
        return self._listening.stopListening()

    def render_GET(self, request: Any) -> bytes | int:
        """What the path asks for."""
        if request.path == b"/restart":
            self.stop().addCallback(lambda _: self.listen())
            request.channel.transport.abortConnection()
            return NOT_DONE_YET
        return b"x" * DOWNLOAD if request.path == b"/download" else b"hello " + request.path

    def render_POST(self, request: Any) -> bytes:
        """The size of what came."""
        return b"%d bytes" % len(request.content.read())


class _Echo:
    """A server of websockets that sends everything back."""

    def __init__(self, reactor: Any, transport: str) -> None:
        factory: Any = Factory.forProtocol(lambda: WebsocketPeer(echo=True, extensions="permessage-deflate"))
        if transport == "tls":
            factory = TLSMemoryBIOFactory(ServerCreator(authority().issue("127.0.0.1")), False, factory)
        self._listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    def stop(self) -> Any:
        """Stop listening."""
        return self._listening.stopListening()


class _ByCallbacks(gun.Receiver):
    """Everything without a single await: each answer leads to the next request."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self.log: list[str] = []
        self.body: list[bytes] = []

    def gun_up(self, event: gun.Up) -> None:
        self.log.append("up")
        event.connection.get("/first" if self.log == ["up"] else "/again")

    def gun_down(self, event: gun.Down) -> None:
        self.log.append(f"down, {len(event.killed_streams)} killed")

    def gun_data(self, event: gun.Data) -> None:
        self.body.append(event.data)
        if event.fin:
            body, self.body = b"".join(self.body), []
            self.log.append(shown(body))
            self.go_on(event.stream.connection)

    def go_on(self, conn: gun.Connection) -> None:
        """What follows the answer that has come."""
        if self.log[-1] == "hello /first":
            upload(conn)
        elif self.log[-1] == "3000000 bytes":
            conn.get("/download")
        elif self.log[-1] == f"a body of {DOWNLOAD}":
            conn.get("/restart")
        else:
            conn.shutdown().addCallback(lambda _: self.done.callback(self.log))


async def by_callbacks(open_options: dict[str, Any]) -> str:
    """By callbacks alone."""
    receiver = _ByCallbacks()
    gun.open(**open_options, owner=receiver, reply_to=receiver)
    return ", ".join(await receiver.done)


async def by_await(open_options: dict[str, Any]) -> str:
    """By awaiting alone."""
    conn = gun.open(**open_options)
    log = ["up" if await conn.await_up() == "http" else "?"]
    log.append(shown(await conn.get("/first").await_body()))
    log.append(shown(await upload(conn).await_body()))
    log.append(shown(b"".join([chunk async for chunk in conn.get("/download").chunks()])))
    try:
        await conn.get("/restart").await_response()
    except gun.StreamError as error:
        log.append("down, 1 killed" if isinstance(error, gun.StreamClosed) else repr(error))
    log.append("up" if await conn.await_up() == "http" else "?")
    log.append(shown(await conn.get("/again").await_body()))
    await conn.shutdown()
    return ", ".join(log)


async def pipelined(open_options: dict[str, Any]) -> str:
    """Ten requests at once, and an end without ceremony."""
    conn = gun.open(**open_options)
    streams = [conn.get(f"/{n}") for n in range(10)]
    bodies = [await stream.await_body() for stream in streams]
    ended = conn.when_terminated()
    conn.close()
    await ended
    return shown(b", ".join(bodies))


async def websocket(open_options: dict[str, Any]) -> str:
    """A websocket that is closed by us, and one that ends with its connection's shutdown."""
    conn = gun.open(**open_options)
    stream = conn.ws_upgrade("/echo", ws_opts={"compress": True, "keepalive": 0.005})
    await stream.await_upgrade()
    stream.ws_send(["hello", b"x" * DOWNLOAD])
    log = [repr((await stream.await_event()).frame) for _ in range(2)]  # type: ignore[union-attr]
    stream.ws_send(gun.Close(1000, "bye"))
    log += [repr(event.frame) async for event in stream]  # type: ignore[union-attr]
    again = conn.ws_upgrade("/echo", ws_opts={"compress": True})
    await again.await_upgrade()
    ended = conn.shutdown()
    log += [repr(event.frame) async for event in again]  # type: ignore[union-attr]
    await ended
    return ", ".join(log)


def upload(conn: gun.Connection) -> gun.Stream:
    """Post content in pieces."""
    stream = conn.post("/upload", {"content-type": "text/plain"})
    for piece in PIECES:
        stream.data(piece)
    stream.data(b"", fin=True)
    return stream


def shown(body: bytes) -> str:
    """A body as it is printed."""
    return body.decode() if len(body) < 200 else f"a body of {len(body)}"


async def main(reactor: Any, transport: str) -> None:
    """Everything, then what is left."""
    await turn(reactor)  # the first, in which the reactor installs its own
    before = set(left(reactor))
    server = _Server(reactor, transport)
    trusted = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
    open_options = {
        "host": "127.0.0.1",
        "port": server.port,
        "reactor": reactor,
        "transport": transport,
        "tls_opts": {"trust_root": trusted},
        "retry_timeout": 0.01,
        "retry": 100,
    }
    say(type(reactor).__name__)
    for act in (by_await, by_callbacks, pipelined):
        say(await act(open_options))
    echo = _Echo(reactor, transport)
    say(await websocket({**open_options, "port": echo.port, "protocols": ["http"]}))
    await echo.stop()
    await server.stop()
    await turns(reactor, lambda: set(left(reactor)) <= before)
    say(f"left: {[each for each in left(reactor) if each not in before]}")


def left(reactor: Any) -> list[object]:
    """What the reactor still serves: sockets and delayed calls, anybody's."""
    return [*reactor.getReaders(), *reactor.getWriters(), *reactor.getDelayedCalls()]


async def turns(reactor: Any, done: Any) -> None:
    """Let the reactor turn until `done`, at most 2,000 times: the server hears of the end later than the client."""
    for _ in range(2000):
        if done():
            return
        await turn(reactor)


async def turn(reactor: Any) -> None:
    """Let the reactor turn once."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.001, turned.callback, None)
    await turned


def say(text: str) -> None:
    """One line of what it did."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[2])))
