"""What tests of the agent share: one whose servers are in memory, a protocol that takes content, and what is told of a Deferred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody
from twisted.web.http_headers import Headers

from tests.origins_stage import Servers, trusting
from twisted_gun.agent import GunAgent
from twisted_gun.testing import ScriptedPeer

__all__ = ["AgentCase", "AgentWorld", "Taker"]


class Taker(Protocol):
    """Takes content; `react` is called with each piece of it."""

    def __init__(self, react: Callable[[Taker, bytes], object] | None = None) -> None:
        self.data = b""
        self.pieces = 0
        self.reason: Failure | None = None
        self.react = react

    def dataReceived(self, data: bytes) -> None:
        assert self.reason is None
        self.data += data
        self.pieces += 1
        if self.react is not None:
            self.react(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.reason is None
        self.reason = reason


class AgentWorld(Servers):
    """An agent whose servers are in memory; `options` are its own."""

    def __init__(self, peer: Callable[[], Any] = ScriptedPeer, *, tls: bool = False, alpn: bytes | None = None, **options: Any) -> None:
        super().__init__(peer, tls=tls, alpn=alpn)
        self.base = b"https://example.org" if tls else b"http://example.org"
        if tls:
            options["tls_opts"] = trusting()
        self.agent = GunAgent(self.clock, **{"endpoint": self.endpoint, **options})

    def ask(self, path: bytes = b"/", method: bytes = b"GET", headers: Any = None, body: Any = None) -> Deferred[Any]:
        """A request, and all that follows from it."""
        asked: Deferred[Any] = self.agent.request(method, self.base + path, None if headers is None else Headers(headers), body)
        self.pump()
        return asked

    def feed(self, data: bytes) -> None:
        """Let the latest peer send `data`."""
        self.peer.send(data)
        self.pump()


class AgentCase(SynchronousTestCase):
    """Asserts what must be true of agents."""

    def content(self, world: AgentWorld, response: Any) -> bytes:
        """All of the content of `response`."""
        body = readBody(response)
        world.pump()
        return self.successResultOf(body)

    def end(self, world: AgentWorld) -> None:
        """Close the agent, which leaves nothing behind."""
        ended = world.agent.close()
        world.pump()
        self.successResultOf(ended)
        info = world.agent.info()
        self.assertEqual((info.origins, info.connections, info.idle, info.waiting), (0, 0, 0, 0))
        world.assert_all_ended(self)
