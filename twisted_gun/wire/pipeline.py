"""
The exchanges of an HTTP/1 connection, in their order (RFC 9112 section 9.3.2), and how those end that the connection does not serve.

Responses belong to requests in their order, so it is a queue: the first is being answered, the last may still be sending its content.
Neither bytes nor time are known here.
"""

from __future__ import annotations

from collections import deque

from twisted_gun.errors import GunError, ShuttingDown, StreamRefused
from twisted_gun.wire.core import Losses
from twisted_gun.wire.ends import closed_by
from twisted_gun.wire.exchange import Exchange
from twisted_gun.wire.steps import Steps, StreamFailed, TunnelClosed

__all__ = ["Pipeline"]


class Pipeline:
    """The exchanges of one connection."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()  # written, and not yet answered
        self._waiting: deque[Exchange] = deque()  # not written, behind an unfinished request
        self._uploading: Exchange | None = None
        self._switching: Exchange | None = None  # which asks for another protocol: whether others may follow is not known yet
        self._killed: list[object] = []
        self._unprocessed: list[object] = []

    def losses(self) -> Losses:
        return Losses(tuple(self._killed), tuple(self._unprocessed))

    def _exchange_of(self, stream: object) -> Exchange | None:
        for queue in (self._exchanges, self._waiting):
            for exchange in queue:
                if exchange.stream is stream:
                    return exchange
        return None

    def _refuse_others(self, steps: Steps) -> None:
        """
        The response says that it is the last one.

        RFC 9112 section 9.6: the server "MUST NOT process any further requests received on that connection".
        """
        first = self._exchanges.popleft()
        refused = [*self._exchanges, *self._waiting]
        self._exchanges.clear()
        self._waiting.clear()
        self._exchanges.append(first)
        self._forget_upload()
        self._refuse(refused, "the server closes the connection before this request", steps)

    def _forget_upload(self) -> None:
        """What is still given of the content of a request that has ended must not get between those of others."""
        if self._uploading not in self._exchanges:
            self._uploading = None

    def _refuse_waiting(self, why: str, steps: Steps) -> None:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._refuse(waiting, why, steps)

    def _refuse(self, exchanges: list[Exchange], why: str, steps: Steps) -> None:
        for exchange in exchanges:
            if not exchange.cancelled:
                self._unprocessed.append(exchange.stream)
                steps.append(StreamFailed(exchange.stream, StreamRefused(f"{why}; it was not processed: send it again")))

    def _end_all(self, reason: GunError | None, steps: Steps) -> None:
        """End every exchange: what was written may have been processed, what was not was not."""
        exchanges, waiting = list(self._exchanges), list(self._waiting)
        self._exchanges.clear()
        self._waiting.clear()
        for exchange in exchanges:
            if not exchange.cancelled:
                self._killed.append(exchange.stream)
                steps.append(StreamFailed(exchange.stream, closed_by(reason)))
        if isinstance(reason, ShuttingDown):
            self._unprocessed.extend(exchange.stream for exchange in waiting)
            steps.extend(StreamFailed(exchange.stream, closed_by(reason)) for exchange in waiting)
        else:
            self._refuse(waiting, "the connection ended before this request was sent", steps)

    def _end_tunnel(self, exchange: Exchange, steps: Steps) -> None:
        """What the tunnel carries has come to its end, and with it the connection."""
        self._exchanges.clear()
        steps.append(TunnelClosed(exchange.stream))
