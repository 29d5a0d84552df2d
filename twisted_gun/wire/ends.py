"""What a stream is told that ended with its connection, before its own end."""

from __future__ import annotations

from twisted_gun.errors import GunError, ShuttingDown, StreamClosed, Truncated

__all__ = ["closed_by", "cut_off"]


def closed_by(reason: GunError | None) -> GunError:
    """The connection ended by `reason`, None for in good order, before the response began."""
    if isinstance(reason, ShuttingDown):
        return ShuttingDown(str(reason))
    error = StreamClosed(f"the connection ended before the response did: {reason or 'it was closed'}")
    error.__cause__ = reason
    return error


def cut_off(reason: GunError, received: int, expected: int | None) -> GunError:
    """The connection ended by `reason` after `received` of the `expected` bytes of content."""
    error = Truncated(f"the response was cut off after {received} bytes of its content: {reason}", received, expected)
    error.__cause__ = reason
    return error
