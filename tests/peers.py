"""Servers in memory, and the clock of all that happens between them and us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

__all__ = ["Peers"]


class Peers:
    """`make_peer` makes the server's end of each connection; `peers` are those of each so far, in their order."""

    def __init__(self, make_peer: Callable[[], Any]) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self.make_peer = make_peer

    @property
    def alive(self) -> list[Any]:
        """The peers whose connection is not lost."""
        return [peer for peer in self.peers if peer.lost is None]

    @property
    def peer(self) -> Any:
        """The latest of them."""
        return self.peers[-1]

    def pump(self) -> None:
        """Move bytes, and run what is due now, until all is quiet; time stands still."""
        for _ in range(8):
            self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and all that follows from it happen."""
        self.clock.advance(seconds)
        self.pump()

    def _new_peer(self) -> Any:
        self.peers.append(self.make_peer())
        return self.peers[-1]
