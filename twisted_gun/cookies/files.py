"""
Cookies in files: our own, of JSON, and Netscape's ``cookies.txt``.

A file is read whole, within a limit, and is good or bad as a whole; which of its cookies are kept is for the store. No message shows
what a file holds, for it holds secrets.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from os import PathLike
from typing import Any, Final, get_args

from twisted_gun.atomic import write_atomically
from twisted_gun.cookies.values import LONGEST_ATTRIBUTE, LONGEST_PAIR, Cookie, SameSite
from twisted_gun.errors import CookieFileError, InvalidRequest

__all__ = ["read_cookies", "read_netscape", "write_cookies"]

_FORMAT: Final = "twisted_gun cookies"
_VERSION: Final = 1
#: The most that a cookie can take: any octet becomes at most two, escaped or in UTF-8; then the names of the fields, times and flags.
_LARGEST_COOKIE: Final = 2 * (LONGEST_PAIR + LONGEST_ATTRIBUTE + 253) + 512

#: No time of a cookie's, in seconds since 1970, is further away; NaN is not less than it either.
_FAR: Final = 1e12

Path = str | PathLike[str]


# What each field of a cookie is in JSON, where bytes are str of octets.
def _is_octets(value: object) -> bool:
    return isinstance(value, str) and (not value or max(value) <= "\xff")


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _FAR


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_FIELDS: Final[dict[str, Callable[[object], bool]]] = {
    "name": _is_octets,
    "value": _is_octets,
    "domain": lambda value: isinstance(value, str),
    "path": _is_octets,
    "creation_time": _is_time,
    "last_access_time": _is_time,
    "expiry_time": lambda value: value is None or _is_time(value),
    "host_only": _is_flag,
    "secure_only": _is_flag,
    "http_only": _is_flag,
    "same_site": lambda value: value in get_args(SameSite),
}


def write_cookies(path: Path, cookies: Iterable[Cookie]) -> None:
    """Write `cookies` to the file at `path`, all of them or none; raises OSError."""
    listed = [{name: _as_json(getattr(cookie, name)) for name in _FIELDS} for cookie in cookies]
    document = {"format": _FORMAT, "version": _VERSION, "cookies": listed}
    write_atomically(os.fspath(path), json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8"))


def read_cookies(path: Path, most: int) -> list[Cookie]:
    """The cookies of a file that `write_cookies` wrote; raises `CookieFileError` and OSError. `most` bounds its size."""
    data = _read(path, most)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _broken(path, "it is no JSON") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _broken(path, "it was not written by this package")
    if document.get("version") != _VERSION:
        raise _broken(path, f"its version is not {_VERSION}")
    listed = document.get("cookies")
    if not isinstance(listed, list):
        raise _broken(path, "it has no list of cookies")
    return [_from_json(path, number, fields) for number, fields in enumerate(listed, 1)]


def _as_json(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _from_json(path: Path, number: int, fields: Any) -> Cookie:
    whole = isinstance(fields, dict) and fields.keys() == _FIELDS.keys()
    if not whole or not all(is_valid(fields[name]) for name, is_valid in _FIELDS.items()):
        raise _broken(path, f"cookie {number} lacks something, or has something else")
    octets = {name: fields[name].encode("latin-1") for name in ("name", "value")}
    try:
        return Cookie(**(fields | octets))
    except InvalidRequest:
        raise _broken(path, f"cookie {number} could not be sent") from None


def read_netscape(path: Path, most: int, now: float) -> list[Cookie]:
    """
    The cookies of a ``cookies.txt``, as created `now`; raises `CookieFileError` and OSError. `most` bounds its size.

    A line has seven fields, with tabs between them: domain, whether subdomains are included, path, whether it is Secure, the time when
    it expires, name, value. Lines that are empty or begin with ``#`` are passed over, but for curl's ``#HttpOnly_``; so are cookies that
    could not be sent.
    """
    cookies = []
    for number, line in enumerate(_read(path, most).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = line.removesuffix(b"\r")
        http_only = text.startswith(b"#HttpOnly_")
        text = text.removeprefix(b"#HttpOnly_")
        if text.strip() and (http_only or not text.startswith(b"#")):
            fields = _from_line(path, f"line {number}", text)
            with suppress(InvalidRequest):
                cookies.append(Cookie(**fields, http_only=http_only, creation_time=now, last_access_time=now))
    return cookies


def _from_line(path: Path, where: str, line: bytes) -> dict[str, Any]:
    fields = line.split(b"\t")
    if len(fields) == 6:
        fields.append(b"")  # an empty value, where an editor, or a mailer, has cut the line's last tab
    flags = {b"TRUE": True, b"FALSE": False}
    if len(fields) != 7 or fields[1].upper() not in flags or fields[3].upper() not in flags:
        raise _broken(path, f"{where} has not the seven fields of a cookie")
    return {
        "name": fields[5],
        "value": fields[6],
        # A dot before it says what the flag says too, and a port, which wget writes, says nothing to us.
        "domain": _without_port(fields[0].removeprefix(b".").decode("utf-8", "replace")),
        "path": fields[2].decode("latin-1") if fields[2].startswith(b"/") else "/",
        "expiry_time": _expiry(path, where, fields[4]),
        "host_only": not flags[fields[1].upper()],
        "secure_only": flags[fields[3].upper()],
    }


def _without_port(domain: str) -> str:
    name, colon, port = domain.rpartition(":")
    return name if colon and port.isdecimal() and (":" not in name or name.endswith("]")) else domain


def _expiry(path: Path, where: str, text: bytes) -> float | None:
    """The time of expiry; None, for the session, where it is 0, or, as Python writes it, empty."""
    try:
        time = float(text or b"0")
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        raise _broken(path, f"{where} has no time of expiry")
    return time if time > 0 else None


def _read(path: Path, most: int) -> bytes:
    limit = (most + 1) * _LARGEST_COOKIE
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _broken(path, f"it has more than {limit} bytes, as no file of {most} cookies has")
    return data


def _broken(path: Path, why: str) -> CookieFileError:
    return CookieFileError(f"{os.fspath(path)}: {why}")
