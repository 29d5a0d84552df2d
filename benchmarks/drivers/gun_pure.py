"""twisted_gun without its extra ``speed``: the masks of a websocket in Python."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from benchmarks.scenarios import Job, Measurement

__all__ = ["calling_back_messages"]


async def calling_back_messages(reactor: Any, job: Job) -> Measurement:
    """That of `benchmarks.drivers.gun`, after hiding the masks in C."""
    sys.modules["websockets.speedups"] = None  # type: ignore[assignment] # so that importing it fails
    gun = importlib.import_module("benchmarks.drivers.gun")
    masking = importlib.import_module("twisted_gun.wire.masking")
    if masking.mask is not masking.mask_in_python:
        raise RuntimeError("the masks are not in Python")
    measurement: Measurement = await gun.calling_back_messages(reactor, job)
    return measurement
