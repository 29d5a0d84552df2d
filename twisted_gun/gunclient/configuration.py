"""
The file of options: INI, or TOML where its name ends in ``.toml``.

One section, ``gunclient``, has the options by their names on the command line, another, ``headers``, header fields. Whatever else is in it
is a mistake, and told with its line. What values mean is not known here.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twisted_gun.gunclient.arguments import ARGUMENTS, Given

__all__ = ["Configuration", "ConfigurationError", "read_configuration"]

_LARGEST = 1024 * 1024
_SECTIONS = ("gunclient", "headers")


class ConfigurationError(ValueError):
    """The file cannot be used; the message names it, and says where and why, but not what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a file holds: `options` by their names, and `headers` as texts "Name: value" under "header"."""

    options: Mapping[str, Given]
    headers: tuple[tuple[str, Given], ...]


def read_configuration(path: str) -> Configuration:
    """Read the file at `path`; raises `ConfigurationError`."""
    text = _text(path)
    sections = _toml(path, text) if path.endswith(".toml") else _ini(path, text)
    where = _Where(path, text)
    for name, values in sections.items():
        if name not in _SECTIONS or not isinstance(values, Mapping):
            what = f"the section [{name}]" if isinstance(values, Mapping) else f"the option {name}"
            raise ConfigurationError(f"{where.of(name, None)}: {what} is not one of {_listed(f'[{known}]' for known in _SECTIONS)}")
    options: dict[str, Given] = {}
    for key, value in sections.get("gunclient", {}).items():
        name, place = key.replace("_", "-"), where.of("gunclient", key)
        if name not in ARGUMENTS:
            raise ConfigurationError(f"{place}: there is no such option; there are {_listed(ARGUMENTS)}")
        if name in options:
            raise ConfigurationError(f"{place}: given twice")
        options[name] = Given(_shaped(name, value, place), place)
    return Configuration(options=options, headers=tuple(_headers(sections.get("headers", {}), where)))


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigurationError(f"{path}: more than {_LARGEST} bytes are no file of options")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: it is no text in UTF-8") from None


def _toml(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at [^)]*\)$", str(error))  # all else may quote what is there
        raise ConfigurationError(f"{path}: it is no TOML {place[0] if place else ''}".rstrip()) from None


def _ini(path: str, text: str) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), default_section="", empty_lines_in_values=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # or names of headers would be changed
    try:
        parser.read_string(text)
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as error:
        what = f"[{error.section}]" + (f" {error.option}" if isinstance(error, configparser.DuplicateOptionError) else "")
        raise ConfigurationError(f"{path}, line {error.lineno}, {what}: given twice") from None
    except configparser.ParsingError as error:  # its message would quote the line
        line = error.lineno if isinstance(error, configparser.MissingSectionHeaderError) else error.errors[0][0]
        raise ConfigurationError(f"{path}, line {line}: expected [section], or name = value below one") from None
    except configparser.Error:
        raise ConfigurationError(f"{path}: it is no INI file") from None
    return {name: dict(parser[name]) for name in parser.sections()}


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _shaped(name: str, value: Any, place: str) -> str | list[str] | bool:
    """The `value` of an option as the command line would have it."""
    argument = ARGUMENTS[name]
    if argument.flag:
        if isinstance(value, str):
            value = _TRUTHS.get(value.lower(), value)
        return value if isinstance(value, bool) else ""  # which is none, and is refused with what is expected
    if argument.repeated and isinstance(value, str):
        return [line.strip() for line in value.split("\n") if line.strip()]
    if argument.repeated and isinstance(value, list):
        return [_as_text(each, place) for each in value]
    return _as_text(value, place)


def _as_text(value: Any, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigurationError(f"{place}: expected text or a number")
    return str(value)


def _headers(values: Mapping[str, Any], where: _Where) -> Iterator[tuple[str, Given]]:
    for name, value in values.items():
        place = where.of("headers", name)
        for each in value if isinstance(value, list) else [value]:
            yield name, Given([f"{name}: {_as_text(each, place)}"], place)


class _Where:
    """Says where something stands in a file, which neither parser does."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.split("\n")

    def of(self, section: str, key: str | None) -> str:
        """The file, the line where it can be found, section and key."""
        number = self._line(section, key)
        line = "" if number is None else f", line {number}"
        return f"{self._path}{line}" + ("" if key is None else f", [{section}] {key}")

    def _line(self, section: str, key: str | None) -> int | None:
        within: str | None = ""
        for number, line in enumerate(self._lines, 1):
            head = re.match(r"\s*\[+\s*[\"']?([^]\"']*?)[\"']?\s*\]", line)
            name = re.match(r"\s*[\"']?([^=\"'\s][^=\"']*?)[\"']?\s*=", line)
            if head is not None:
                within = head[1]
                if key is None and within == section:
                    return number
            elif name is not None and ((key is not None and within == section and name[1] == key) or (key is None and name[1] == section)):
                return number
        return None


def _listed(names: Any) -> str:
    return ", ".join(names)
