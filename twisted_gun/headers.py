"""
The border: what a caller gives becomes what may go to a wire, or raises `InvalidRequest`.

Nothing that could end a line, a field or a request early gets past these functions: they are the only way in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Union

import idna

from twisted_gun.errors import InvalidRequest
from twisted_gun.events import SECRET_HEADERS, Headers

__all__ = [
    "HeadersLike",
    "ascii_name",
    "authority",
    "check_host",
    "check_method",
    "check_target",
    "check_transform",
    "check_authority",
    "content_length",
    "is_address",
    "normalise",
    "take",
    "without_credentials",
]

Text = Union[str, bytes]
#: What a caller may give as headers: a mapping, pairs, or Twisted's `twisted.web.http_headers.Headers`.
HeadersLike = Union[Mapping[str, Text], Mapping[bytes, Text], Iterable[tuple[Text, Text]], "object"]

# RFC 9110 section 5.6.2, token; section 5.5, field-value: "Field values containing CR, LF, or NUL characters are invalid and
# dangerous"; other control characters, HTAB apart, are "also invalid".
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(rb"(?:/|\*\Z|[A-Za-z][A-Za-z0-9+.-]*://)[\x21-\x7e]*")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
# RFC 3986 section 3.2.2, without the percent-encoding that no two servers read alike.
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Za-z:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=]*)(?::[0-9]*)?")
_LARGEST = 2**63 - 1


def normalise(headers: HeadersLike, *, drop_invalid: bool = False) -> Headers:
    """
    `headers` as bytes pairs with lower-case names, in the order given.

    Raises `InvalidRequest` for a name or a value that cannot be sent; with `drop_invalid` that field is left out.
    """
    if not headers:
        return ()
    fields: list[tuple[bytes, bytes]] = []
    for name, value in _pairs(headers):
        try:
            fields.append((_name(name), _value(name, value)))
        except InvalidRequest:
            if not drop_invalid:
                raise
    return tuple(fields)


def _pairs(headers: object) -> Iterable[tuple[object, object]]:
    if isinstance(headers, Mapping):
        return headers.items()
    raw = getattr(headers, "getAllRawHeaders", None)
    if raw is not None:
        return [(name, value) for name, values in raw() for value in values]
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise InvalidRequest(f"headers: expected a mapping or a list of pairs, not {type(headers).__name__}")
    pairs = list(headers)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise InvalidRequest("headers: expected a mapping or a list of (name, value) pairs")
    return pairs


def _bytes(what: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"{what}: it holds a lone surrogate, which cannot be encoded") from error
    raise InvalidRequest(f"{what}: expected str or bytes, not {type(value).__name__}")


def _name(name: object) -> bytes:
    return _checked_name(_bytes("header name", name))


@lru_cache(maxsize=512)
def _checked_name(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"header name: expected a token (RFC 9110 section 5.6.2), not {name!r}")
    return name.lower()


def _value(name: object, value: object) -> bytes:
    field = _bytes(f"header {name!r}", value)
    if _NOT_IN_VALUE.search(field):
        raise InvalidRequest(f"header {name!r}: its value holds a control character (RFC 9110 section 5.5)")
    return field.strip(b" \t")


def check_method(method: Text) -> bytes:
    """`method` as bytes; methods are case-sensitive. Raises `InvalidRequest` unless it is a token, or if it is CONNECT."""
    return _checked_method(_bytes("method", method))


@lru_cache(maxsize=64)
def _checked_method(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"method: expected a token such as GET, not {name!r}")
    if name.upper() == b"CONNECT":
        raise InvalidRequest("method: CONNECT makes a tunnel and is not an ordinary request")
    return name


def check_transform(transform: Callable[[bytes], bytes], headers: Headers) -> None:
    """Raises `InvalidRequest` where `transform` makes something of a name of `headers`, or of one of ours, that cannot be sent."""
    for name in (b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", *(name for name, _ in headers)):
        made = transform(name)
        if not isinstance(made, bytes) or not _TOKEN.fullmatch(made):
            raise InvalidRequest(f"transform_header_name: expected a token as bytes for {name!r}, not {made!r}")


def check_target(path: Text, method: bytes = b"OPTIONS") -> bytes:
    """`path` as a request target (RFC 9112 section 3.2): a path with its query, an absolute URL, or, for OPTIONS, ``*``."""
    if isinstance(path, str) and not path.isascii():
        raise InvalidRequest(f"path: percent-encode what is not ASCII, as urllib.parse.quote does: {path!r}")
    target = _bytes("path", path)
    if not _TARGET.fullmatch(target):
        raise InvalidRequest(f"path: expected '/...' without spaces or control characters, or '*', or an absolute URL, not {path!r}")
    if target == b"*" and method != b"OPTIONS":
        raise InvalidRequest(f"path: '*' is for OPTIONS, not for {method.decode()} (RFC 9112 section 3.2.4)")
    return target


def take(headers: Headers, *names: bytes) -> tuple[Headers, dict[bytes, bytes]]:
    """
    `headers` without the fields called `names`, and what those held.

    Raises `InvalidRequest` where one of them is given twice.
    """
    rest, taken = [], dict[bytes, bytes]()
    for field in headers:
        name = field[0]
        if name not in names:
            rest.append(field)
        elif name in taken:
            raise InvalidRequest(f"header {name.decode()}: given twice")
        else:
            taken[name] = field[1]
    return tuple(rest), taken


def content_length(value: bytes) -> int:
    """The number in a Content-Length field of the caller's."""
    if not value.isdigit() or len(value) > 19 or int(value) > _LARGEST:
        raise InvalidRequest(f"header content-length: expected a number of bytes, not {value!r}")
    return int(value)


def check_host(host: object) -> str:
    """
    `host` as text: a name, or an IP address without brackets.

    Takes str, bytes and `ipaddress` objects. Underscores and one trailing dot are fine; non-ASCII names are for `idna`.
    Raises `InvalidRequest`.
    """
    if isinstance(host, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return str(host)
    name = _bytes("host", host).decode("utf-8", "replace")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if is_address(name):
        return name
    labels = name.removesuffix(".").split(".")
    ascii_name = _HOST_NAME.fullmatch(name) and all(label and len(label) <= 63 for label in labels)
    if name and len(name) <= 253 and (ascii_name or (not name.isascii() and name.isprintable() and not set(" %/:@?#[]\\") & set(name))):
        return name
    raise InvalidRequest(f"host: expected a host name or an IP address, not {name.rpartition('@')[2]!r}")


def check_authority(value: bytes) -> bytes:
    """`value` of a Host field of the caller's (RFC 9110 section 7.2): a host, and a port or none."""
    if not _AUTHORITY.fullmatch(value):
        raise InvalidRequest(f"header host: expected a host name or an address, and a port or none, not {value!r}")
    return value


def is_address(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def authority(host: str, port: int, default_port: int) -> bytes:
    """The value of Host (RFC 9110 section 7.2): `port` is left out where it is the scheme's own."""
    try:
        name = ascii_name(host)
    except ValueError as error:
        raise InvalidRequest(f"host: {host!r} is not a valid internationalised name: {error}") from error
    if ":" in name:
        # RFC 6874 section 1: a zone identifier "has only local significance at the node", so the peer is not told.
        name = f"[{name.partition('%')[0]}]"
    return name.encode() if port == default_port else f"{name}:{port}".encode()


def ascii_name(host: str) -> str:
    """`host` as the DNS has it (RFC 5891); raises ValueError. Label by label, for IDNA refuses the underscores others may have."""
    labels = [label if label.isascii() else idna.encode(label, uts46=True).decode("ascii") for label in host.split(".")]
    return ".".join(labels)


def without_credentials(headers: Headers) -> Headers:
    """`headers` as another origin may see them: without authorization, cookie and proxy-authorization, and what AWS signs with."""
    return tuple(pair for pair in headers if pair[0] not in SECRET_HEADERS and pair[0] != b"x-amz-security-token")
