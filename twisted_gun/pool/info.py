"""What there is to know of a pool, and of each of its connections. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted_gun.connection import Connection

__all__ = ["PoolInfo", "PooledConnection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledConnection:
    """
    One connection of a pool, now.

    `state` is "up", "connecting", "setting_up" while the setup hook has not done its work, "waiting" to be opened again after a failure,
    "idle" when it is not opened before it is wanted, or "ended" where the pool was told to end. `connection` is None while there is none,
    `protocol` while that is not up. `streams` counts those that the pool asked for and that have not ended; `meta` is what the setup
    hook gave.
    """

    state: str
    connection: Connection | None
    protocol: str | None
    streams: int
    meta: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo:
    """
    The state of a pool now: "operational" where all its connections are up, or idle; else "degraded"; at its end "closing", then "closed".

    `waiting` is how many requests wait for a connection, `last_failure` why one failed last, None where none did.
    """

    scope: str
    host: str
    port: int
    state: str
    waiting: int
    connections: tuple[PooledConnection, ...]
    last_failure: BaseException | None
