"""
URLs: what a caller gives, a base URL, parameters, becomes the `Target` of a request.

Everything is checked and percent-encoded here, and no message shows a query or what stands before an "@": they may hold secrets. Of
connections nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Union
from urllib.parse import SplitResult, quote, urlsplit

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import authority, check_host

__all__ = ["Pairs", "Target", "build_target", "check_base_url", "check_pairs", "check_path_params", "parse_url"]

Value = Union[str, bytes, int, float]
#: Pairs that go into a URL, as they are kept.
Pairs = tuple[tuple[str, Value], ...]

#: By scheme: whether it is a websocket, whether TLS is under it, and its port.
_SCHEMES = {"ws": (True, False, 80), "wss": (True, True, 443), "http": (False, False, 80), "https": (False, True, 443)}

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# RFC 3986 section 3.3, pchar, and section 3.4; "%" because what is encoded already stays as it is.
_IN_PATH = "/:@!$&'()*+,;=%"
_IN_QUERY = _IN_PATH + "?"

_TEMPLATES = {"colon": re.compile(r":([A-Za-z]\w*)", re.ASCII), "curly": re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Target:
    """
    Where a request goes: `path` is the request target with its query, ASCII and percent-encoded.

    As text it is the URL without its query.
    """

    websocket: bool
    secure: bool
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return self.url.partition("?")[0]

    def __repr__(self) -> str:
        return f"<Target {self}>"

    @property
    def scheme(self) -> str:
        """The scheme of `url`."""
        return ("wss" if self.secure else "ws") if self.websocket else ("https" if self.secure else "http")

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What credentials are bound to: scheme, host and port (RFC 6454 section 4); a websocket and its handshake have one."""
        return self.secure, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of Host."""
        return authority(self.host, self.port, _SCHEMES[self.scheme][2]).decode("ascii")

    @property
    def place(self) -> str:
        """Scheme and authority, for messages."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.place}{self.path}"

    @property
    def http_url(self) -> str:
        """The URL of the handshake: http for ws, https for wss (RFC 6455 section 3)."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.path}"


def build_target(
    url: str | None, *, base_url: str | None = None, params: Pairs = (), path_params: Pairs = (), style: str = "colon"
) -> Target:
    """
    The target of `url`, with `base_url` before it where it is not absolute.

    `path_params` fill the places in its path, ``:name`` or, by the `style` "curly", ``{name}``; `params` are added to its query. Raises
    `InvalidRequest`.
    """
    parts = _split(_joined(base_url, url))
    path = _filled(parts.path, dict(path_params), _TEMPLATES[style])
    added = "&".join(f"{quote(name, safe='')}={quote(_text(value), safe='')}" for name, value in params)
    query = "&".join(piece for piece in (quote(parts.query, safe=_IN_QUERY), added) if piece)
    return _target(parts, path, query)


def parse_url(url: str) -> Target:
    """The target of an absolute `url`; raises `InvalidRequest`."""
    parts = _split(url)
    return _target(parts, quote(parts.path, safe=_IN_PATH), quote(parts.query, safe=_IN_QUERY))


def check_base_url(base_url: object) -> None:
    """Raises `OptionError` unless `base_url` can stand before another."""
    fit = isinstance(base_url, str) and _ABSOLUTE.match(base_url) and not set("?#") & set(base_url)
    if base_url is not None and not fit:
        raise OptionError("base_url", "an absolute URL without query and fragment, or None")


def check_pairs(option: str, given: object) -> Pairs:
    """The pairs of a mapping or an iterable of pairs whose values can be told as text; raises `OptionError`."""
    expected = "a mapping or pairs, of names and values: str, bytes, int, float or bool"
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise OptionError(option, expected)
    pairs = tuple(given.items() if isinstance(given, Mapping) else given)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise OptionError(option, expected)
    if not all(isinstance(name, str) and isinstance(value, (str, bytes, int, float)) for name, value in pairs):
        raise OptionError(option, expected)
    return tuple((name, value) for name, value in pairs)


def check_path_params(given: object, style: object) -> Pairs:
    """`given` as pairs; raises `OptionError`, for a segment that would be taken for a step up or down, too."""
    if style not in _TEMPLATES:
        raise OptionError("path_params_style", "'colon' or 'curly'", style)
    params = check_pairs("path_params", given)
    # RFC 3986 section 5.2.4: "." and ".." are removed with what is before them, and their dots cannot be percent-encoded.
    if any(_text(value) in (b".", b"..") for _, value in params):
        raise OptionError("path_params", "values other than '.' and '..', which would lead to another path")
    return params


def _text(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest("url: a parameter holds a lone surrogate, which cannot be encoded") from None


def _joined(base: str | None, url: str | None) -> str:
    if url is None and base is None:
        raise OptionError("url", "an absolute URL, or one below base_url")
    if base is None or (url is not None and _ABSOLUTE.match(url)):
        return url or ""
    if not url or url.startswith(("?", "#")):
        return base + (url or "")
    return f"{base.removesuffix('/')}/{url.removeprefix('/')}"


def _split(url: str) -> SplitResult:
    if _CONTROL.search(url):  # which urlsplit would leave out, and then the URL is another one
        raise InvalidRequest("url: it holds a control character")
    try:
        url.encode("utf-8")
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # lone surrogates among them
        # What Python says of it shows what is wrong, and that may be a part of a password.
        raise InvalidRequest("url: its host or its port cannot be understood") from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise InvalidRequest("url: expected ws://, wss://, http:// or https://, and a host")
    if "@" in parts.netloc:
        raise InvalidRequest("url: give credentials as auth=; they are not taken from the URL")
    if parts.fragment and _SCHEMES[parts.scheme][0]:
        # RFC 6455 section 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
        raise InvalidRequest("url: a ws or wss URL has no fragment; write '#' as '%23' (RFC 6455 section 3)")
    return parts


def _target(parts: SplitResult, path: str, query: str) -> Target:
    websocket, secure, port = _SCHEMES[parts.scheme]
    if parts.port == 0:
        raise InvalidRequest("url: expected a port from 1 to 65535")
    return Target(
        websocket=websocket,
        secure=secure,
        host=check_host(parts.hostname),
        port=parts.port or port,
        path=(path or "/") + (f"?{query}" if query else ""),
    )


def _filled(path: str, params: Mapping[str, Value], template: re.Pattern[str]) -> str:
    """`path`, encoded, with `params` in their places; what has no value stays as it is."""
    pieces, end = [], 0
    for place in template.finditer(path):
        if place[1] in params:
            pieces += [quote(path[end : place.start()], safe=_IN_PATH), quote(_text(params[place[1]]), safe="")]
            end = place.end()
    filled = "".join(pieces) + quote(path[end:], safe=_IN_PATH)
    # Whatever was put together must not be a step up either, as ":a:b" with two values "." would be.
    if any(segment in (".", "..") for segment in filled.split("/")) and pieces:
        raise InvalidRequest("url: with its path_params the path has a segment '.' or '..'")
    return filled
