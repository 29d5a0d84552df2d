"""
What a core asks for: the steps the hop does, in order.

A core's methods return a list of these and of events (`twisted_gun.events`); the state of the core is settled before the first
step is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from twisted_gun.errors import GunError
from twisted_gun.events import Headers, StreamEvent

__all__ = [
    "Accepting",
    "Close",
    "Leaving",
    "Noticed",
    "Pause",
    "PauseUpload",
    "PingAnswered",
    "Resume",
    "ResumeUpload",
    "SettingsChanged",
    "Step",
    "Steps",
    "StreamFailed",
    "TunnelClosed",
    "TunnelData",
    "TunnelOpened",
    "TunnelRefused",
    "Write",
]


@dataclass(frozen=True, slots=True)
class Write:
    """Send `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """
    Close the connection.

    `reason` is None for an orderly end; else it is what the connection's owner is told, and the connection is aborted, unless
    `abort` is False, so that the peer can read what was sent last.
    """

    reason: GunError | None = None
    abort: bool = True


@dataclass(frozen=True, slots=True)
class Accepting:
    """New requests may be given to the core again."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The peer ends the connection once what is under way is done, and soon anyway: what streams carry should come to its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop reading: whoever takes the bytes has enough for now."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Read on."""


@dataclass(frozen=True, slots=True)
class PauseUpload:
    """The content of the request of `stream` cannot be sent on for now; what is given all the same is kept."""

    stream: object


@dataclass(frozen=True, slots=True)
class ResumeUpload:
    """The content of the request of `stream` may be sent on."""

    stream: object


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """`stream` has ended by `reason`."""

    stream: object
    reason: GunError


@dataclass(frozen=True, slots=True)
class TunnelOpened:
    """The proxy has made the tunnel asked for: from here on the bytes of `stream` belong to whoever asked."""

    stream: object


@dataclass(frozen=True, slots=True)
class TunnelRefused:
    """The proxy has not, and said so with `status` and `headers`; its response is told as any other."""

    stream: object
    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class TunnelData:
    """Bytes of whatever protocol the bytes of `stream` now belong to."""

    stream: object
    data: bytes


@dataclass(frozen=True, slots=True)
class TunnelClosed:
    """The bytes of `stream` have come to their end."""

    stream: object


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """The peer has answered `ping`, `seconds` after it was sent."""

    ping: object
    seconds: float


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The peer has sent these settings, by their names in lower case."""

    settings: Mapping[str, int | bool]


@dataclass(frozen=True, slots=True)
class Noticed:
    """Nothing is to be done: an event handler, the only one who asks for these, is told `observation` by its callback `name`."""

    name: str
    observation: Any


Step = Union[
    Write,
    Close,
    Accepting,
    Leaving,
    Noticed,
    Pause,
    Resume,
    PauseUpload,
    PingAnswered,
    ResumeUpload,
    SettingsChanged,
    StreamFailed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    TunnelClosed,
    StreamEvent,
]
Steps = list[Step]
