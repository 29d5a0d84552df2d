"""
What a URL, a base URL before it and parameters in it become: the `Target` of a request.

What a URL is, is in `twisted_gun.urls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Union
from urllib.parse import quote

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.urls import IN_PATH, IN_QUERY, Target, make_target, quoted, split_url

__all__ = ["Pairs", "build_target", "check_base_url", "check_pairs", "check_path_params"]

Value = Union[str, bytes, int, float]
#: Pairs that go into a URL, as they are kept.
Pairs = tuple[tuple[str, Value], ...]

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TEMPLATES = {"colon": re.compile(r":([A-Za-z]\w*)", re.ASCII), "curly": re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)}


def build_target(
    url: str | None, *, base_url: str | None = None, params: Pairs = (), path_params: Pairs = (), style: str = "colon"
) -> Target:
    """
    The target of `url`, with `base_url` before it where it is not absolute.

    `path_params` fill the places in its path, ``:name`` or, by the `style` "curly", ``{name}``; `params` are added to its query. Raises
    `InvalidRequest`.
    """
    parts = split_url(_joined(base_url, url), credentials="give them as auth=")
    path = _filled(parts.path, dict(path_params), _TEMPLATES[style])
    added = "&".join(f"{quote(name, safe='')}={quote(_text(value), safe='')}" for name, value in params)
    query = "&".join(piece for piece in (quoted(parts.query, IN_QUERY), added) if piece)
    return make_target(parts, path, query)


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


def _filled(path: str, params: Mapping[str, Value], template: re.Pattern[str]) -> str:
    """`path`, encoded, with `params` in their places; what has no value stays as it is."""
    pieces, end = [], 0
    for place in template.finditer(path):
        if place[1] in params:
            pieces += [quoted(path[end : place.start()], IN_PATH), quote(_text(params[place[1]]), safe="")]
            end = place.end()
    filled = "".join(pieces) + quoted(path[end:], IN_PATH)
    # Whatever was put together must not be a step up either, as ":a:b" with two values "." would be.
    if any(segment in (".", "..") for segment in filled.split("/")) and pieces:
        raise InvalidRequest("url: with its path_params the path has a segment '.' or '..'")
    return filled
