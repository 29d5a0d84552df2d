"""
The connection as the websocket helpers name it: gluegun's ``gluegun/connection``, as far as its examples need it.

A timeout is a number of seconds, or None for no limit, here as everywhere: `Milliseconds` makes the one, and `INFINITY` is the other.
"""

from __future__ import annotations

import math
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from twisted_gun.connection import Connection
from twisted_gun.errors import OptionError
from twisted_gun.opening import open as dial
from twisted_gun.options import Options, make_options

__all__ = ["HTTP", "HTTP2", "INFINITY", "Infinity", "Milliseconds", "await_up", "open", "options"]

#: The values that `await_up` gives, and `upgrade_with_protocol` takes.
HTTP, HTTP2 = "http", "http2"

#: No limit.
INFINITY: float | None = None
#: As gluegun writes it.
Infinity = INFINITY


def Milliseconds(number: float) -> float:
    """A timeout of so many milliseconds, in seconds."""
    if not (isinstance(number, (int, float)) and 0 <= number < math.inf):
        raise OptionError("Milliseconds", "a number >= 0", number)
    return number / 1000


def options(**keywords: Any) -> Options:
    """The options of a connection: the default ones, changed by `keywords`."""
    return make_options(None, keywords, 0)


def open(options: Options, host: Any, port: int, **keywords: Any) -> Connection:  # noqa: A001 - gluegun's name
    """A connection to `host` and `port`, at once; `keywords`, such as `reactor`, are those of `twisted_gun.open`."""
    return dial(host, port, options=options, **keywords)


def await_up(conn: Connection, timeout: float | None) -> Deferred[str]:
    """The protocol's name, `HTTP` or `HTTP2`, once the connection is up."""
    return maybeDeferred(conn.await_up, timeout)
