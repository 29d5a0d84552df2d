"""Frames as gluegun names them, ``gluegun/message``: those of `twisted_gun`, and a Close with a reason under a name of its own."""

from __future__ import annotations

from twisted_gun.events import Binary, Close, Frame, Ping, Pong, Text

__all__ = ["Binary", "Close", "CloseWithReason", "Frame", "Ping", "Pong", "Text"]


def CloseWithReason(code: int, reason: str) -> Close:
    """A `Close` with `code` and `reason`; one that is received is a `Close` too."""
    return Close(code, reason)
