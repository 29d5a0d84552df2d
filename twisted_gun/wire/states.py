"""
The states of an HTTP/2 stream (RFC 9113 section 5.1, figure 2), as a client meets them, and what is kept of each stream.

The two tables are the figure: what may be sent and received in which state, and the state that follows. What they do not hold is
an error.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from math import inf
from typing import Any

from twisted_gun.events import Headers
from twisted_gun.wire.frames import DEFAULT_FRAME_SIZE

__all__ = ["RECEIVED", "SENT", "State", "StreamState"]


class State(StrEnum):
    """RFC 9113 section 5.1. Idle and closed streams are not kept: their identifiers say which they are."""

    IDLE = "idle"
    RESERVED = "reserved (remote)"
    OPEN = "open"
    HALF_CLOSED_LOCAL = "half-closed (local)"
    HALF_CLOSED_REMOTE = "half-closed (remote)"
    CLOSED = "closed"


#: What we send: the state before, and whether END_STREAM is set, give the state after.
SENT: dict[tuple[State, bool], State] = {
    (State.IDLE, False): State.OPEN,
    (State.IDLE, True): State.HALF_CLOSED_LOCAL,
    (State.OPEN, False): State.OPEN,
    (State.OPEN, True): State.HALF_CLOSED_LOCAL,
    (State.HALF_CLOSED_REMOTE, False): State.HALF_CLOSED_REMOTE,
    (State.HALF_CLOSED_REMOTE, True): State.CLOSED,
}

#: What the peer sends, HEADERS or DATA: likewise. A reserved stream begins with HEADERS, and DATA finds it without them.
RECEIVED: dict[tuple[State, bool], State] = {
    (State.RESERVED, False): State.HALF_CLOSED_LOCAL,
    (State.RESERVED, True): State.CLOSED,
    (State.OPEN, False): State.OPEN,
    (State.OPEN, True): State.HALF_CLOSED_REMOTE,
    (State.HALF_CLOSED_LOCAL, False): State.HALF_CLOSED_LOCAL,
    (State.HALF_CLOSED_LOCAL, True): State.CLOSED,
}


class StreamState:
    """What is kept of a stream from its first frame until nothing more is to be told of it."""

    __slots__ = (
        "authority",
        "expected",
        "flow",
        "flow_at_first",
        "head",
        "held",
        "id",
        "informed",
        "key",
        "parked",
        "parked_end",
        "protocol",
        "queue",
        "queued_fin",
        "received",
        "receive_window",
        "responded",
        "send_window",
        "state",
        "tunnel",
    )

    def __init__(self, stream_id: int, key: Any, state: State, flow: float | None, send_window: int, receive_window: int) -> None:
        self.id = stream_id
        self.key = key
        self.state = state
        self.flow = self.flow_at_first = flow  # data events that may still be told
        self.send_window = send_window
        self.receive_window = receive_window
        self.held = False
        self.head = False  # whether the request was HEAD
        self.authority = b""
        self.protocol: bytes | None = None  # what the request asks that the stream carry from its response on; CONNECT leaves that open
        self.tunnel = False  # whether it does
        self.responded = False  # whether the head of the final response was received
        self.informed = 0
        self.received = 0  # bytes of content
        self.expected: int | None = None  # of which the response said there would be so many
        self.queue: deque[bytes | memoryview] | None = None  # content that the windows do not let out yet
        self.queued_fin = False
        self.parked: bytearray | None = None  # content that its owner does not want to be told yet
        self.parked_end: Headers | None = None  # the end that comes after it: trailers, or () for none

    def park(self, data: bytes) -> None:
        """Keep content until its owner wants it: no more than the stream's window, which is not opened again meanwhile."""
        if self.parked is None:
            self.parked = bytearray()
        self.parked += data

    @property
    def withheld(self) -> bool:
        """Whether its owner can take no more for now."""
        return self.held or (self.flow is not None and self.flow <= 0)

    @property
    def to_come(self) -> float:
        """How much of the windows the rest of the content can take, as far as is known; padding takes some of them too."""
        return inf if self.expected is None else self.expected - self.received + DEFAULT_FRAME_SIZE

    @property
    def told(self) -> bool:
        """Whether its end was told, though it still is open: that of a tunnel, of which only our direction is left."""
        return self.tunnel and self.state is State.HALF_CLOSED_REMOTE and self.parked is None

    @property
    def receiving(self) -> bool:
        """Whether the peer may still send content."""
        return self.state in (State.OPEN, State.HALF_CLOSED_LOCAL, State.RESERVED)

    @property
    def sending(self) -> bool:
        """Whether we may still send content."""
        return self.state in (State.OPEN, State.HALF_CLOSED_REMOTE)
