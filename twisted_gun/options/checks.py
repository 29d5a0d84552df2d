"""What options are checked by when they are made; a bad value raises `OptionError`, which names the option and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

from twisted_gun.errors import OptionError

__all__ = ["NOT_YET", "check", "check_bools", "check_callable", "check_counts", "check_seconds", "is_number", "nested"]

_Value = TypeVar("_Value")

#: What Gun has and this version has not yet, so that asking for it says so.
NOT_YET = frozenset({"content_handlers", "cookie_ignore_informational", "cookie_store", "event_handler"})


def check(owner: object, name: str, allowed: bool, expected: str) -> None:
    """Raises `OptionError` for the option `name` of `owner` unless its value is `allowed`."""
    if not allowed:
        raise OptionError(f"{getattr(owner, 'prefix', '')}{name}", expected, getattr(owner, name))


def is_number(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_seconds(owner: object, *names: str, zero: bool = True) -> None:
    """Raises `OptionError` unless each is a time, or None for no limit."""
    for name in names:
        value = getattr(owner, name)
        allowed = value is None or (is_number(value) and (value >= 0 if zero else value > 0))
        check(owner, name, allowed, f"seconds, a number {'>= 0' if zero else '> 0'}, or None for no limit")


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


def nested(name: str, kind: type[_Value], value: object) -> _Value:
    """`value` as options of that `kind`, which may be given as a dict; raises `OptionError`."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(name, f"a dict or a {kind.__name__}, not {type(value).__name__}")
    known = {option.name for option in fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key in NOT_YET:
            raise OptionError(f"{name}.{key}", "to be left out: this version does not have it yet")
        if key not in known:
            raise OptionError(f"{name}.{key}", f"one of the options {', '.join(sorted(known))}")
    return kind(**value)
