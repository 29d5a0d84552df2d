"""
No protocol at all: the bytes of a connection, or of a tunnel, are told as they come, and sent as they are given.

The connection is one stream, and ends with it. What the bytes mean is not known here.
"""

from __future__ import annotations

from typing import Any

from twisted_gun.errors import BadState, GunError, ShuttingDown
from twisted_gun.events import Data
from twisted_gun.options import RawOptions
from twisted_gun.wire.core import Losses, Reader
from twisted_gun.wire.steps import Close, Pause, Resume, Steps, StreamFailed, Write

__all__ = ["Raw"]


class Raw:
    """The core of a connection whose bytes are all those of `stream`; see `twisted_gun.wire.core.Core`."""

    name = "raw"
    closing_timeout: float | None = 15.0
    last_words = None
    renewable = False
    served = False
    switched = False

    def __init__(self, stream: Any, options: RawOptions) -> None:
        self._stream = stream
        self._flow = options.flow
        self._reader = Reader()  # what came while no more was wanted: of a read that was under way
        self._held = self._paused = False
        self._over = False
        self._killed: tuple[object, ...] = ()

    # What the hop asks and tells.

    def losses(self) -> Losses:
        return Losses(self._killed, ())

    def deadline(self) -> float | None:
        return None

    def start(self, now: float) -> Steps:
        return []

    def receive_data(self, data: bytes, now: float) -> Steps:
        self.served = True
        steps: Steps = []
        if not self._over:
            self._reader.feed(data)
            self._read_on(steps)
        return steps

    def connection_lost(self, reason: GunError, clean: bool) -> Steps:
        steps: Steps = []
        if not self._over:
            self._end(None if clean else reason, steps)
        return steps

    def time_passed(self, now: float) -> Steps:
        return []

    def hold_sending(self, held: bool, now: float) -> Steps:
        return []  # bytes are written as they are given; those who give them are paused

    def shutdown(self, now: float) -> Steps:
        steps: Steps = []
        if not self._over:
            # As Gun does: nothing says where these bytes come to a good end, so there is none to be waited for.
            self._end(ShuttingDown("the connection was shut down, and its stream of raw bytes with it"), steps)
            steps.append(Close())
        return steps

    # What the owner of the stream asks.

    def data(self, stream: object, data: bytes, fin: bool, now: float) -> Steps:
        """Send `data`; `fin` ends the stream, and the connection."""
        steps: Steps = []
        if self._over:
            return steps
        if data:
            steps.append(Write(data))
        if fin:
            self._end(None, steps)
            steps.append(Close())
        return steps

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        """Tell no more, and end the connection; `drain` makes no difference."""
        if self._over:
            return []
        self._ended()
        return [Close()]

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        steps: Steps = []
        if self._flow is not None and not self._over:
            self._flow += increment
            self._read_on(steps)
        return steps

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        steps: Steps = []
        if not self._over:
            self._held = held
            self._read_on(steps)
        return steps

    def ping(self, ping: object, now: float) -> Steps:
        raise BadState("raw bytes have no ping")

    # Reading.

    @property
    def _withheld(self) -> bool:
        """Whether no more is to be told for now."""
        return self._held or (self._flow is not None and self._flow <= 0)

    def _read_on(self, steps: Steps) -> None:
        if not self._withheld:
            self._tell(steps)
        withheld = self._withheld
        if withheld is not self._paused:
            self._paused = withheld
            steps.append(Pause() if withheld else Resume())

    def _tell(self, steps: Steps) -> None:
        if len(self._reader):
            steps.append(Data(stream=self._stream, fin=False, data=self._reader.take(len(self._reader))))
            if self._flow is not None:
                self._flow -= 1

    # The end.

    def _end(self, reason: GunError | None, steps: Steps) -> None:
        """The stream ends: in good order, or by `reason`."""
        self._tell(steps)  # even to those who had enough for now: there is no later
        if reason is None:
            steps.append(Data(stream=self._stream, fin=True, data=b""))
        else:
            self._killed = (self._stream,)
            steps.append(StreamFailed(self._stream, reason))
        self._ended()

    def _ended(self) -> None:
        self._over = True
        self._reader = Reader()
