"""What options are checked by when they are made; a bad value raises `OptionError`, which names the option and what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from twisted_gun.errors import OptionError

__all__ = [
    "PORT",
    "check",
    "check_bools",
    "check_callable",
    "check_counts",
    "check_filled",
    "check_left_out",
    "check_port",
    "check_seconds",
    "credential",
    "fits_basic",
    "fits_socks",
    "is_number",
    "is_port",
    "nested",
]

_Value = TypeVar("_Value")

#: What is expected where a port is.
PORT = "a whole number from 1 to 65535"


def check(owner: object, name: str, allowed: bool, expected: str, secret: bool = False) -> None:
    """Raises `OptionError` for the option `name` of `owner` unless its value is `allowed`; one that may be `secret` is not shown."""
    if not allowed:
        shown = () if secret else (getattr(owner, name),)
        raise OptionError(f"{getattr(owner, 'prefix', '')}{name}", expected, *shown)


def is_number(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_seconds(owner: object, *names: str, zero: bool = True) -> None:
    """Raises `OptionError` unless each is a time, or None for no limit."""
    for name in names:
        value = getattr(owner, name)
        allowed = value is None or (is_number(value) and (value >= 0 if zero else value > 0))
        check(owner, name, allowed, f"seconds, a number {'>= 0' if zero else '> 0'}, or None for no limit")


def is_port(value: object) -> bool:
    """Whether `value` is a port that can be connected to."""
    return type(value) is int and 0 < value < 65536


def check_port(port: Any) -> int:
    """`port`, if it is one; raises `OptionError`."""
    if not is_port(port):
        raise OptionError("port", PORT, port)
    return port  # type: ignore[no-any-return]


def check_counts(owner: object, *names: str, least: int = 1, optional: bool = False) -> None:
    """Raises `OptionError` unless each is a whole number of at least `least`."""
    for name in names:
        value = getattr(owner, name)
        allowed = (optional and value is None) or (type(value) is int and value >= least)
        check(owner, name, allowed, f"a whole number >= {least}{', or None for no limit' if optional else ''}")


def check_bools(owner: object, *names: str) -> None:
    """Raises `OptionError` unless each is True or False."""
    for name in names:
        check(owner, name, isinstance(getattr(owner, name), bool), "True or False")


def check_callable(owner: object, *names: str) -> None:
    """Raises `OptionError` unless each can be called, or is None."""
    for name in names:
        value = getattr(owner, name)
        check(owner, name, value is None or callable(value), "a callable, or None")


def check_filled(owner: object, name: str, what: str, methods: Iterable[str]) -> None:
    """Raises `OptionError` unless it is an object that has these `methods`, or None; coroutine functions nobody would await."""
    value = getattr(owner, name)
    found = [getattr(value, method, None) for method in methods]
    filled = not isinstance(value, type) and all(callable(method) and not iscoroutinefunction(method) for method in found)
    check(owner, name, value is None or filled, f"{what}, or None")


def nested(name: str, kind: type[_Value], value: object) -> _Value:
    """`value` as options of that `kind`, which may be given as a dict; raises `OptionError`."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(name, f"a dict or a {kind.__name__}, not {type(value).__name__}")
    known = {option.name for option in fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key not in known:
            raise OptionError(f"{name}.{key}", f"one of the options {', '.join(sorted(known))}")
    return kind(**value)


def credential(value: object) -> bytes | None:
    """A username or a password as bytes; None where it is neither str nor bytes, or cannot be encoded."""
    try:
        return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None
    except UnicodeEncodeError:  # a lone surrogate
        return None


#: RFC 7617 section 2: "The user-id and password MUST NOT contain any control characters"; a colon ends the user-id.
_NOT_IN_CREDENTIALS = {"username": re.compile(rb"[\x00-\x1f\x7f:]"), "password": re.compile(rb"[\x00-\x1f\x7f]")}


def fits_basic(name: str, secret: bytes) -> bool:
    """Whether `secret` can be the "username" or the "password" of Basic credentials."""
    return not _NOT_IN_CREDENTIALS[name].search(secret)


def fits_socks(secret: bytes) -> bool:
    """Whether `secret` can be a username or a password of SOCKS; RFC 1929 section 2: their lengths are one byte each, from 1 to 255."""
    return 0 < len(secret) < 256


def check_left_out(keywords: Iterable[str], reasons: Mapping[str, str]) -> None:
    """Raises `OptionError` where one of `keywords` has a reason to be left out."""
    for name in keywords:
        if name in reasons:
            raise OptionError(name, f"to be left out: {reasons[name]}")
