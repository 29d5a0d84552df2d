"""
What the scenes of the demo share: the servers, the connections to them, and how these are opened, asked and told of.

What happens in which order the scenes say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from twisted.internet.error import CannotListenError

import twisted_gun as gun
from twisted_gun.demo.server import Origin, Server
from twisted_gun.demo.telling import RED, YELLOW, Owner, Teller, expect, soon, text

__all__ = ["STREAMS", "WINDOW", "Stage"]

#: How many requests go side by side, and the window of each stream, in bytes.
STREAMS, WINDOW = 50, 256 * 1024

_Kind = TypeVar("_Kind", bound=Server)


class Stage:
    """
    The servers and the connections, each of which a scene leaves as the next one expects it.

    `conn` speaks HTTP/1.1 with `origin`, `http2` HTTP/2 with `http2_origin`, and `websocket`, whose stream is `chat`, is one with
    `websocket_origin`: each from the scene on that opens it. `retries` counts those of all of them.
    """

    conn: gun.Connection
    http2: gun.Connection
    websocket: gun.Connection
    chat: gun.Stream

    def __init__(self, reactor: Any, teller: Teller) -> None:
        self.reactor = reactor
        self.tell = teller
        self.retries = 0
        self.owner, self.http2_owner = Owner(teller), Owner(teller)
        self._servers: list[Server] = []
        self._connections: list[gun.Connection] = []
        self.origin = self.keep(Origin(reactor))
        self.http2_origin = self.keep(Origin(reactor, http2=True))
        self.websocket_origin = self.keep(Origin(reactor))

    def keep(self, server: _Kind) -> _Kind:
        """Let `server` die when the story ends."""
        self._servers.append(server)
        return server

    async def end(self) -> None:
        """Leave nothing behind."""
        for conn in self._connections:
            conn.close()
        for server in reversed(self._servers):  # proxies before what they lead to
            await server.die()

    # Connections.

    async def open(self, origin: Origin, owner: Owner, **options: Any) -> gun.Connection:
        """Start the server, and a connection to it, whose beginning is told."""
        origin.start()
        self.tell.say("server", f"listens on 127.0.0.1, port {origin.port}, with a certificate made just now")
        conn = await self.dial(origin, owner, retry_fun=self._decide, **options)
        self.tell_tls(conn)
        return conn

    async def dial(self, server: Server, owner: Owner, **options: Any) -> gun.Connection:
        """A connection to a server that runs, once it is up."""
        if server.trust is not None:
            options = {"transport": "tls", "tls_opts": {"trust_root": server.trust}, **options}
        conn = self.start("127.0.0.1", server.port, owner, **options)
        await conn.await_up()
        return conn

    def start(self, host: str, port: int, owner: Owner, **options: Any) -> gun.Connection:
        """A connection that is not up yet."""
        conn = gun.open(host, port, owner=owner, reactor=self.reactor, **options)
        self._connections.append(conn)
        self.tell.say("client", f"{conn!r}")
        return conn

    def tell_tls(self, conn: gun.Connection) -> None:
        """Tell what the TLS of `conn` has settled."""
        tls = conn.info().tls
        assert tls is not None
        self.tell.say("tls", f"{tls.version}, {tls.cipher}, ALPN chose {text(tls.alpn or b'nothing')}")

    def _decide(self, left: int, options: gun.Options) -> Mapping[str, Any]:
        """A connection's `retry_fun`: the first attempt finds nobody, before the second the server is back."""
        self.retries += 1
        self.tell.say("retry", f"attempt {self.retries}, {left} left", YELLOW)
        if self.retries == 2:
            self.restart("server", self.origin, self.conn)
        return {"retries": left - 1, "timeout": 0.0}

    def restart(self, who: str, server: Server, conn: gun.Connection) -> None:
        """Let `server` listen again, for `conn` to come back."""
        try:
            server.start()
        except CannotListenError as error:
            # Somebody else has taken the port meanwhile: the request that waits fails, and with it the story.
            self.tell.say(who, str(error), RED)
            self.reactor.callLater(0, conn.close)
        else:
            self.tell.say(who, "listens again")

    # Requests.

    async def read(self, stream: gun.Stream, status: int, kinds: list[type] | None = None) -> bytes:
        """The content of the answer, whose events are told, and whose kinds are added to `kinds`."""
        content = b""
        async for event in stream:
            self.tell.event(event)
            if kinds is not None:
                kinds.append(type(event))
            if isinstance(event, gun.Response):
                expect("the status", event.status, status)
            elif isinstance(event, gun.Data):
                content += event.data
        return content

    async def read_quietly(self, stream: gun.Stream) -> bytes:
        """The content of the answer, whose events are not told."""
        response = await stream.await_response()
        expect("a good answer", response.status // 100, 2)
        return await stream.await_body()

    async def failure(self, stream: gun.Stream) -> gun.GunError:
        """Why the stream ended."""
        try:
            while True:
                event = await stream.await_event()
                expect("the end of the stream", event.fin if isinstance(event, gun.Data) else False, False)
        except gun.GunError as error:
            self.tell.error(error)
            return error

    async def ping(self, conn: gun.Connection) -> None:
        """A round trip, told."""
        seconds = await soon("the answer to the ping", conn.ping(), self.reactor)
        self.tell.say("ping", f"answered after {seconds * 1000:.1f} ms")
