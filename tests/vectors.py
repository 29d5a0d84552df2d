"""Test vectors from elsewhere: they lie beside the checkout, in ``../shared/vectors``, and without them tests are skipped, and say so."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

__all__ = ["event_streams", "vectors"]

FOLDER = Path(__file__).resolve().parents[1].parent / "shared" / "vectors"


def vectors(name: str) -> str:
    """The text of a file of vectors; skips the test where it is missing."""
    path = FOLDER / name
    if not path.exists():
        raise SkipTest(f"the vectors are not there: {path}")
    return path.read_text(encoding="utf-8")


def event_streams() -> list[tuple[bytes, list[tuple[Any, Any]]]]:
    """The event streams of web-platform-tests, each with the types and the data of its events."""
    found = json.loads(vectors("sse_wpt.json"))
    return [(base64.b64decode(one["stream"]), [(event["type"], event["data"]) for event in one["events"]]) for one in found]
