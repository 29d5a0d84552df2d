"""The whole stage: a connection, the peer at its other end, a clock that stands still until told otherwise, and an owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from twisted_gun.connection import Connection
from twisted_gun.opening import open as dial
from twisted_gun.testing.http2 import Http2Peer
from twisted_gun.testing.links import MemoryEndpoint
from twisted_gun.testing.peers import Peer, Script, ScriptedPeer
from twisted_gun.testing.recording import RecordingReceiver

__all__ = ["MemoryGun"]


class MemoryGun:
    """
    A connection whose peer, clock and owner the test holds in its hands.

    `open_options` are those of `twisted_gun.open`; ``owner`` defaults to a new `RecordingReceiver`. `script` is given to the peer of
    every connection: a `ScriptedPeer`, or, with ``protocols=["http2"]``, an `Http2Peer`; leave it out and drive `peer` by hand. `peer`
    is a callable that makes another one instead, such as ``lambda: Http2Peer(settings={"max_concurrent_streams": 1})``. Nothing
    happens before the first `pump`.

    - ``connection``: what `twisted_gun.open` returned;
    - ``owner``: who is told of the connection (pass ``reply_to=`` to record the streams' events as well);
    - ``clock``: the `Clock` given as the reactor;
    - ``endpoint``: the `MemoryEndpoint` that is dialled, which can refuse or hang; its ``links`` shape how bytes arrive;
    - ``peers`` and ``peer``: the peer of every connection so far, and the latest.
    """

    def __init__(
        self,
        host: str = "example.org",
        port: int = 80,
        *,
        script: Script = (),
        peer: Callable[[], Peer] | None = None,
        **open_options: Any,
    ) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self._new_peer), clock=self.clock)
        self.owner: Any = open_options.pop("owner", None) or RecordingReceiver()
        fixed: dict[str, Any] = {"owner": self.owner, "reactor": self.clock, "endpoint": self.endpoint}
        self.connection: Connection = dial(host, port, **fixed, **open_options)
        speaks = Http2Peer if self.connection._route.leg.only == "http2" else ScriptedPeer
        self._make_peer = peer or (lambda: speaks(script))

    @property
    def peer(self) -> Any:
        """The peer of the latest connection; raises AssertionError as long as none was made."""
        assert self.peers, "no connection was made yet; pump() lets the first one happen"
        return self.peers[-1]

    def pump(self) -> None:
        """Move bytes, and run what is due now, until all is quiet; time stands still."""
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and all that follows from it happen."""
        self.clock.advance(seconds)

    def _new_peer(self) -> Peer:
        self.peers.append(self._make_peer())
        return self.peers[-1]  # type: ignore[no-any-return]
