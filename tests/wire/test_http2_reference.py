"""
The tests of HTTP/2 once more, with the reference core on hyper-h2.

Nothing above `wire/` can tell the two cores apart; so what is true of one must be true of the other. What is particular to the
reference is in test_reference_http2.py.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from twisted_gun.wire.reference.http2 import Http2

from .. import rfc, wire
from .http2_conversation import Http2Case


def _cases() -> list[type[Any]]:
    """Every test of what both cores do."""
    names = [f"{package.__name__}.{found.name}" for package in (wire, rfc) for found in iter_modules(package.__path__)]
    modules = [import_module(name) for name in names if name.rpartition(".")[2].startswith("test_") and name != __name__]
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return [case for case in found.values() if issubclass(case, Http2Case) and case is not Http2Case]


for _case in _cases():
    # Two modules may have classes of one name.
    _name = f"{_case.__module__.rpartition('.')[2].removeprefix('test_')}_{_case.__name__}"
    globals()[_name] = type(_name, (_case,), {"core": Http2, "__module__": __name__})
