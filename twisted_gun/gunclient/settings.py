"""
What a client does, as a value: the options of the command line and of the file, put together and checked.

The command line has precedence. Whatever is wrong with an option raises `SettingError`, which says where the option was given.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted_gun.errors import InvalidRequest
from twisted_gun.gunclient.arguments import ARGUMENTS, Given
from twisted_gun.gunclient.configuration import Configuration, ConfigurationError, read_configuration
from twisted_gun.headers import check_target, normalise
from twisted_gun.urls import Target, parse_url

__all__ = ["Address", "SettingError", "Settings", "make_settings"]


class SettingError(ValueError):
    """An option cannot be used; the message says which, where it was given, and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Address(Target):
    """Where the client connects to; `unix` is the path of a UNIX socket, and then `host` and `port` are only names."""

    unix: str | None = None

    def __str__(self) -> str:
        """The URL without its query, which may hold secrets."""
        path = self.path.partition("?")[0]
        if self.unix is not None:
            return f"unix:{self.unix}:{path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    All that a client goes by; its fields are the options, in seconds and bytes.

    `work` is "get", "sse", "ws", or "none" where there is only a receiver.
    """

    address: Address
    work: str
    get: tuple[str, ...] = field(default=(), repr=False)
    every: float = 60.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    send: tuple[str, ...] = field(default=(), repr=False)
    subprotocol: tuple[str, ...] = ()
    compress: bool = False
    receiver: str | None = None
    output: str | None = None
    rotate_size: int | None = 100 * 2**20
    rotate_keep: int = 5
    no_data: bool = False
    proxy: tuple[str, ...] = field(default=(), repr=False)
    proxy_mode: str = "absolute"
    protocol: str | None = None
    cacert: str | None = None
    cert: str | None = None
    insecure: bool = False
    last_event_id: str | None = None
    cookies: str | None = None
    cookies_every: float = 60.0
    retry: int | None = None
    retry_first: float | None = None
    retry_longest: float = 60.0
    ping: float | None = 30.0
    timeout: float | None = 60.0
    silence: float | None = None
    connect_timeout: float | None = 10.0
    closing_timeout: float = 5.0
    health: int | None = None


def make_settings(command_line: Mapping[str, Given], config: str | None = None) -> Settings:
    """The settings by the options of the `command_line`, and of the file at `config`; raises `SettingError`."""
    try:
        file = Configuration(options={}, headers=()) if config is None else read_configuration(config)
    except ConfigurationError as error:
        raise SettingError(str(error)) from None
    given = _chosen(command_line, file.options)
    values = {name: _value(name, each) for name, each in given.items()}
    address = _address(given, values.pop("url", None))
    headers = _headers(values.pop("header", ()), command_line, file)
    work = _work(given, values, address)
    _check_together(given, work)
    _check_values(given, values)
    for name in _FILES:
        if values.get(name) not in (None, "", "-"):  # twistd may go elsewhere before they are opened
            values[name] = os.path.abspath(values[name])
    named = {ARGUMENTS[name].field: value for name, value in values.items() if name not in ("sse", "ws")}
    if "output" not in named and "receiver" not in named:
        named["output"] = "-"
    return Settings(address=address, work=work, headers=headers, **named)


def fault(given: Mapping[str, Given], name: str, expected: str) -> SettingError:
    """What is wrong with the option `name`."""
    where = given[name].where if name in given else f"--{name}"
    return SettingError(f"{where}: expected {expected}")


_WORK = ("get", "sse", "ws")


def _chosen(command_line: Mapping[str, Given], file: Mapping[str, Given]) -> dict[str, Given]:
    """The options that count; flags that are not set are none."""
    said = any(name in command_line for name in _WORK)
    kept = {name: each for name, each in file.items() if not (said and name in _WORK)}
    return {name: each for name, each in {**kept, **command_line}.items() if each.value is not False}


def _value(name: str, given: Given) -> Any:
    try:
        return ARGUMENTS[name].value(given)
    except ValueError as error:
        raise SettingError(f"{given.where}: expected {error}") from None


def _headers(own: tuple[tuple[str, str], ...], command_line: Mapping[str, Given], file: Configuration) -> tuple[tuple[str, str], ...]:
    """The header fields; one of the command line takes the place of those with its name in the file."""
    replaced = {name.lower() for name, _ in own} if "header" in command_line else set()
    fields = [*((each.where, _value("header", each)[0]) for name, each in file.headers if name.lower() not in replaced)]
    fields += [("--header" if "header" in command_line else "header", each) for each in own]
    for where, each in fields:
        try:
            normalise([each])
        except InvalidRequest:  # whose message may show the value
            raise SettingError(f"{where}: expected a name that is a token, and a value without control characters") from None
    return tuple(each for _, each in fields)


def _address(given: Mapping[str, Given], url: str | None) -> Address:
    if url is None:
        raise SettingError("--url: give the URL to connect to")
    if url.startswith("unix:"):
        socket, _, path = url.removeprefix("unix:").partition(":")
        socket = "/" + socket.lstrip("/") if socket.startswith("//") else socket
        if not socket or "\0" in socket:
            raise fault(given, "url", "unix:/path/of/socket, or unix:/path/of/socket:/path")
        return Address(scheme="http", host="localhost", port=80, path=_target(given, "url", path or "/"), unix=socket)
    try:
        target = parse_url(url, credentials="send them by --header 'authorization: ...'")
    except InvalidRequest as error:
        raise SettingError(f"{given['url'].where}: {str(error).removeprefix('url: ')}") from None
    return Address(scheme=target.scheme, host=target.host, port=target.port, path=target.path)


def _target(given: Mapping[str, Given], name: str, path: str) -> str:
    try:
        check_target(path, b"GET")
        if not path.startswith("/"):
            raise InvalidRequest("an absolute URL")
    except InvalidRequest:
        raise fault(given, name, "a path, '/...', percent-encoded, without spaces") from None
    return path


def _work(given: Mapping[str, Given], values: Mapping[str, Any], address: Address) -> str:
    asked = [name for name in _WORK if name in values]
    if len(asked) > 1:
        raise fault(given, asked[1], f"one of --get, --sse and --ws; {given[asked[0]].where} is there, too")
    if not asked and not address.websocket and "receiver" not in values:
        raise SettingError("give one of --get, --sse, --ws and --receiver: there is nothing to do")
    if asked in (["sse"], ["get"]) and address.websocket:
        raise fault(given, asked[0], "an http or https URL")
    for path in values.get("get", ()):
        _target(given, "get", path)
    return asked[0] if asked else "ws" if address.websocket else "none"


#: Options that name files.
_FILES = ("output", "cookies", "last-event-id", "cacert", "cert")

#: What an option is for, where it is not for everything.
_ONLY_FOR = {"send": "ws", "subprotocol": "ws", "compress": "ws", "silence": "sse", "last-event-id": "sse"}


def _check_together(given: Mapping[str, Given], work: str) -> None:
    for name, needed in _ONLY_FOR.items():
        if name in given and work != needed:
            raise fault(given, name, f"--{needed} with it")
    for name in ("rotate-size", "rotate-keep"):
        if name in given and ("output" not in given or given["output"].value == "-"):
            raise fault(given, name, "a file as --output")
    if "cookies-every" in given and "cookies" not in given:
        raise fault(given, "cookies-every", "--cookies with it")


def _check_values(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    longest = values.get("retry-longest", 60.0)
    if values.get("retry-first", min(0.5, longest)) > longest:
        raise fault(given, "retry-first", "no more than --retry-longest")
    known: dict[str, str] = {}
    for name in ("output", "cookies", "last-event-id"):
        path = values.get(name)
        if path is None or (path, name) == ("-", "output"):
            continue
        if path in ("", "-"):
            raise fault(given, name, "the path of a file")
        _check_file(given, name, path)
        other = known.setdefault(os.path.realpath(path), name)
        if other != name:
            raise fault(given, name, f"another file than --{other}")


def _check_file(given: Mapping[str, Given], name: str, path: str) -> None:
    """Whether a file can be written at `path`, as far as that can be said beforehand; it is not made here."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path) or os.curdir):
            raise fault(given, name, "a file in a folder that exists") from None
    except (OSError, ValueError) as error:
        raise fault(given, name, f"the path of a file ({getattr(error, 'strerror', error)})") from None
    else:
        if not (stat.S_ISREG(mode) or (name == "output" and stat.S_ISCHR(mode))):
            raise fault(given, name, "a file" + (", or - for the standard output" if name == "output" else ""))
