"""
The tests of websockets once more, with the reference core on wsproto.

Nothing above `wire/` can tell the two cores apart; so what is true of one must be true of the other.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from twisted_gun.wire.reference.websocket import Websocket

from .. import rfc, wire
from .ws_conversation import WsCase

MODULES = ("test_websocket_", "test_rfc6455", "test_rfc7692")


def _cases() -> list[type[Any]]:
    """Every test of what both cores do."""
    names = [f"{package.__name__}.{found.name}" for package in (wire, rfc) for found in iter_modules(package.__path__)]
    modules = [import_module(name) for name in names if name.rpartition(".")[2].startswith(MODULES) and name != __name__]
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return [case for case in found.values() if issubclass(case, WsCase) and case is not WsCase]


for _case in _cases():
    # Two modules may have classes of one name.
    _name = f"{_case.__module__.rpartition('.')[2].removeprefix('test_')}_{_case.__name__}"
    globals()[_name] = type(_name, (_case,), {"core": Websocket, "__module__": __name__})
