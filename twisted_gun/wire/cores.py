"""Which core speaks HTTP/2: our own, or the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted_gun.options import Http2Options
from twisted_gun.wire.core import Core
from twisted_gun.wire.http2 import Http2

__all__ = ["http2_core"]


def http2_core(options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> Core:
    """The core that `options.core` names; `promised` makes the key of a pushed stream, from its parent's and its method."""
    if options.core == "h2":
        # Here, since h2 takes its time to be imported, and only those who ask for it need it.
        from twisted_gun.wire.reference.http2 import Http2 as Reference

        return Reference(options, scheme, promised)
    return Http2(options, scheme, promised)
