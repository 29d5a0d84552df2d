"""Calls that may come from any thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["in_reactor"]


def in_reactor(reactor: Any, call: Callable[..., object], *arguments: Any) -> None:
    """
    Let `call` be called in the thread of `reactor`, whichever this one is: the collector of garbage may run in any.

    A clock of tests knows no threads, and calls at once. Where the reactor is no more nothing is called.
    """
    from_thread = getattr(reactor, "callFromThread", None)
    if from_thread is None:
        call(*arguments)
        return
    with suppress(RuntimeError):  # asyncio's loop is closed
        from_thread(call, *arguments)
