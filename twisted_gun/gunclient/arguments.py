"""
The options of ``twistd gunclient``, once for the command line and for the file: their names, what they may be, what they say.

Here text becomes values. Which options go together is in `settings.py`; no message repeats what may be a secret.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

__all__ = ["ARGUMENTS", "Argument", "Given", "filled", "header"]


class Given(NamedTuple):
    """What was given for an option: text, a list of texts, or True for a flag; and where, for messages."""

    value: str | list[str] | bool
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """
    An option: `convert` makes a value of text, or raises ValueError with what it expects.

    One that is `repeated` may be given several times, and a `flag` has no value. A `secret` may refer to the environment and to files.
    """

    name: str
    help: str
    convert: Callable[[str], Any] = str
    repeated: bool = False
    flag: bool = False
    secret: bool = False

    @property
    def field(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_").replace(".", "_")

    def value(self, given: Given) -> Any:
        """The value of what was given; raises ValueError, which says what is expected."""
        if self.flag:
            if not isinstance(given.value, bool):
                raise ValueError("true or false")
            return given.value
        if isinstance(given.value, bool) or (isinstance(given.value, list) and not self.repeated):
            raise ValueError("one value")
        texts = given.value if isinstance(given.value, list) else [given.value]
        values = [self.convert(filled(text, encoded=self.name in _URLS) if self.secret else text) for text in texts]
        return tuple(values) if self.repeated else values[0]


#: In these what is filled in is percent-encoded.
_URLS = frozenset({"url", "get", "proxy"})

_REFERENCE = re.compile(r"\{(env|file):([^{}]+)\}")
#: Nobody's password is longer than that.
_LARGEST_SECRET = 64 * 1024


def filled(text: str, *, encoded: bool = False) -> str:
    """
    `text` with ``{env:NAME}`` replaced by that variable of the environment, and ``{file:PATH}`` by what the file holds.

    The end of the file's last line is left out. Raises ValueError where there is no such thing.
    """

    def found(reference: re.Match[str]) -> str:
        value = _of_environment(reference[2]) if reference[1] == "env" else _of_file(reference[2])
        return quote(value, safe="") if encoded else value

    return _REFERENCE.sub(found, text)


def _of_environment(name: str) -> str:
    if name not in os.environ:
        raise ValueError(f"a variable {name} in the environment")
    return os.environ[name]


def _of_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            value = file.read(_LARGEST_SECRET + 1)
    except OSError as error:
        raise ValueError(f"a file {path} that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"text in the file {path}") from None
    if len(value) > _LARGEST_SECRET:
        raise ValueError(f"less than {_LARGEST_SECRET} characters in the file {path}")
    return value.removesuffix("\n").removesuffix("\r")


# What text may be.


def seconds(text: str) -> float:
    """A time."""
    return _number(text, "seconds, a number above 0")


def seconds_or_none(text: str) -> float | None:
    """A time, or no limit."""
    return None if text == "none" else _number(text, "seconds, a number above 0, or none")


def _number(text: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(expected)
    return number


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Whole numbers from `least` to `most`."""
    expected = f"a whole number >= {least}" if most == math.inf else f"a whole number from {least} to {most}"

    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise ValueError(expected)
        return int(text)

    return convert


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def size_or_none(text: str) -> int | None:
    """A size in bytes, perhaps in KiB, MiB or GiB, or none."""
    if text == "none":
        return None
    match = re.fullmatch(r"([0-9]{1,15})([kmg]?)", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise ValueError("a size in bytes, such as 1000000 or 100M, or none")
    return int(match[1]) * _UNITS[match[2]]


def one_of(*names: str) -> Callable[[str], str]:
    """One of `names`."""

    def convert(text: str) -> str:
        if text not in names:
            raise ValueError(" or ".join(names))
        return text

    return convert


def header(text: str) -> tuple[str, str]:
    """A header field, "Name: value"."""
    name, colon, value = text.partition(":")
    if not name.strip() or not colon:
        raise ValueError("'Name: value'")
    return name.strip(), value.strip(" \t")


_TABLE: Iterable[Argument] = (
    Argument(name="url", secret=True, help="An http, https, ws or wss URL, or unix:/path/of/socket[:/path]."),
    # What to do.
    Argument(
        name="get", repeated=True, secret=True, help="Get this path, again and again; may be repeated. A path in the URL does not count."
    ),
    Argument(name="sse", flag=True, help="Follow the server-sent events of the URL."),
    Argument(name="ws", flag=True, help="Open a websocket at the URL; the default where that is ws or wss."),
    Argument(
        name="every",
        convert=seconds,
        help="Seconds from one round of --get to the next, or until a websocket or an event stream that was refused is asked for "
        "again. [default: 60]",
    ),
    Argument(
        name="header",
        convert=header,
        repeated=True,
        secret=True,
        help="'Name: value', sent with each request; may be repeated. {env:NAME} and {file:PATH} stand for what is there.",
    ),
    Argument(name="send", repeated=True, secret=True, help="Send this text on each websocket when it is open; may be repeated."),
    Argument(name="subprotocol", repeated=True, help="Offer this subprotocol for the websocket; may be repeated."),
    Argument(name="compress", flag=True, help="Offer to compress the websocket's messages."),
    Argument(name="receiver", help="The dotted name of an IReceiver of your own, or of a class or a function that makes one."),
    # Where it goes.
    Argument(name="output", help="Write JSON lines to this file, - for the standard output. [default: - unless there is a receiver]"),
    Argument(name="rotate-size", convert=size_or_none, help="Begin a new file at this size (k, M, G), or none. [default: 100M]"),
    Argument(name="rotate-keep", convert=whole(1, 1000), help="Keep so many old files, FILE.1 being the latest. [default: 5]"),
    Argument(name="no-data", flag=True, help="Write no contents and messages, only how large they are."),
    # How to get there.
    Argument(
        name="proxy",
        repeated=True,
        secret=True,
        help="Go through this http, https or socks5 proxy; may be repeated: each is reached through the one before it; env for those of "
        "the environment.",
    ),
    Argument(name="proxy-mode", convert=one_of("tunnel", "absolute"), help="tunnel or absolute, for plain http. [default: absolute]"),
    Argument(name="protocol", convert=one_of("http", "http2"), help="Speak http (HTTP/1.1) or http2 only. [default: what ALPN gives]"),
    Argument(name="cacert", help="Trust the authorities in this PEM file or folder, and no others."),
    Argument(name="cert", help="A PEM file with the client's certificate, its chain and its key."),
    Argument(name="insecure", flag=True, help="Accept any certificate."),
    Argument(name="last-event-id", help="Keep the identifier of the last event in this file, and go on behind it."),
    Argument(name="cookies", help="Keep cookies in this file."),
    Argument(name="cookies-every", convert=seconds, help="Seconds between two looks whether cookies are to be saved. [default: 60]"),
    # How long.
    Argument(name="retry", convert=whole(1), help="Give up, with exit status 1, when N attempts in a row have failed. [default: never]"),
    Argument(name="retry-first", convert=seconds, help="The longest first wait between two attempts. [default: 0.5, with --sse 3]"),
    Argument(name="retry-longest", convert=seconds, help="The longest wait between two attempts. [default: 60]"),
    Argument(name="ping", convert=seconds_or_none, help="Seconds between pings of websockets and HTTP/2, or none. [default: 30]"),
    Argument(
        name="timeout", convert=seconds_or_none, help="The longest wait for an answer, and with --get between its parts. [default: 60]"
    ),
    Argument(name="silence", convert=seconds_or_none, help="The longest silence in an event stream, or none. [default: none]"),
    Argument(name="connect-timeout", convert=seconds_or_none, help="The longest each step of connecting may take. [default: 10]"),
    Argument(name="closing-timeout", convert=seconds, help="The longest each step of ending may take. [default: 5]"),
    Argument(name="health", convert=whole(0, 65535), help="Serve /health and /metrics on this port of 127.0.0.1; 0 takes any."),
)

#: By their names, in the order in which they are told of.
ARGUMENTS: dict[str, Argument] = {argument.name: argument for argument in _TABLE}
