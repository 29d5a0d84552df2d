"""The option `content_handlers`, which HTTP/1.1 and HTTP/2 both have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted_gun.errors import OptionError

__all__ = ["handler_list"]

_EXPECTED = "a list of ContentHandler classes, each alone or with its options as (SseHandler, {...})"


def handler_list(options: Any) -> tuple[tuple[Any, dict[str, Any]], ...]:
    """Its `content_handlers`, each with its options, which it has checked itself; raises `OptionError`."""
    name, given = f"{options.prefix}content_handlers", options.content_handlers
    if not isinstance(given, (list, tuple)):
        raise OptionError(name, _EXPECTED, given)
    return tuple(_entry(name, entry) for entry in given)


def _entry(name: str, entry: Any) -> tuple[Any, dict[str, Any]]:
    kind, options = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, {})
    if not isinstance(kind, type) or not callable(getattr(kind, "begin", None)) or not isinstance(options, Mapping):
        raise OptionError(name, _EXPECTED, entry)
    checked = dict(options)
    kind.check(checked)  # type: ignore[attr-defined]
    return kind, checked
