"""
Credentials of a request: what goes into its ``authorization`` header, from the `auth` option or from a .netrc file.

No message and no `repr` made here shows any of them.
"""

from __future__ import annotations

import base64
import netrc
import os
from dataclasses import dataclass, field
from typing import Any

from twisted_gun.errors import OptionError

__all__ = ["Netrc", "authorization", "check_auth", "prepare_auth"]

_EXPECTED = "('basic', 'user:password'), ('bearer', token), 'netrc', ('netrc', path), a header value, or a callable that gives one of these"
_CREDENTIALS = frozenset({"basic", "bearer", "netrc"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Netrc:
    """A .netrc file that was read."""

    table: netrc.netrc = field(repr=False)

    def userinfo(self, host: str) -> str | None:
        """``user:password`` for `host`, or those of the file's default entry, or None."""
        found = self.table.authenticators(host)
        return None if found is None else f"{found[0]}:{found[2] or ''}"


def check_auth(auth: object) -> None:
    """Raises `OptionError` unless `auth` is of a kind that is known."""
    pair = isinstance(auth, (tuple, list)) and len(auth) == 2 and auth[0] in _CREDENTIALS and _is_text(auth[1])
    if not (auth is None or pair or _is_text(auth) or callable(auth)):
        raise OptionError("auth", _EXPECTED)


def prepare_auth(auth: Any) -> Any:
    """`auth` with its .netrc file, if it names one, read; raises `OptionError` where that cannot be done."""
    check_auth(auth)
    if isinstance(auth, str) and auth == "netrc":  # asked first, for bytes must not be compared with str (python -bb)
        return _read_netrc(os.environ.get("NETRC"))
    if isinstance(auth, (tuple, list)) and auth[0] == "netrc":
        return _read_netrc(os.fsdecode(auth[1]))
    return auth


def authorization(auth: Any, host: str) -> str | bytes | None:
    """The value of ``authorization`` for `host`, from what `prepare_auth` gave; None where there is none."""
    if isinstance(auth, Netrc):
        userinfo = auth.userinfo(host)
        return None if userinfo is None else _basic(userinfo)
    if isinstance(auth, (tuple, list)):
        kind, secret = auth
        return _basic(secret) if kind == "basic" else b"Bearer " + _encoded(secret)
    if auth is None or _is_text(auth):
        return auth  # type: ignore[no-any-return]
    raise OptionError("auth", f"from the callable {_EXPECTED.rpartition(', or')[0]}")


def _basic(userinfo: str | bytes) -> bytes:
    # RFC 7617 section 2.1: user-id and password go as UTF-8.
    return b"Basic " + base64.b64encode(_encoded(userinfo))


def _encoded(secret: str | bytes) -> bytes:
    if isinstance(secret, bytes):
        return secret
    try:
        return secret.encode("utf-8")
    except UnicodeEncodeError:
        raise OptionError("auth", "text without lone surrogates") from None


def _is_text(value: object) -> bool:
    return isinstance(value, (str, bytes))


def _read_netrc(path: str | None) -> Netrc:
    try:
        # Without a path Python also refuses a file with passwords that others can read.
        return Netrc(table=netrc.netrc(path) if path else netrc.netrc())
    except netrc.NetrcParseError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        # Python's message shows the word that it did not expect, which may be the password.
        raise OptionError("auth", f"a .netrc file that can be read: it has a mistake{line}, or others may read it") from None
    except (OSError, ValueError) as error:
        raise OptionError("auth", f"a .netrc file that can be read: {type(error).__name__}") from None
