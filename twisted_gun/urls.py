"""
URLs: what a caller gives, or a redirect, becomes the `Target` of a request.

Everything is checked and percent-encoded here, and no message shows a query or what stands before an "@": they may hold secrets. Of
connections nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, quote_from_bytes, urljoin, urlsplit

from twisted_gun.errors import InvalidRequest
from twisted_gun.events import Headers
from twisted_gun.headers import authority, check_host

__all__ = [
    "HTTP",
    "IN_PATH",
    "IN_QUERY",
    "PORTS",
    "WEBSOCKET",
    "Target",
    "make_target",
    "parse_url",
    "quoted",
    "redirect_target",
    "split_url",
]

#: The schemes that are known, and the port of each.
PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
WEBSOCKET = ("ws", "wss")
HTTP = ("http", "https")

#: Where credentials go that stand in a URL, if nothing else is said.
_INSTEAD = "send them in an authorization header"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# RFC 3986 section 3.3, pchar, and section 3.4; "%" because what is encoded already stays as it is.
IN_PATH = "/:@!$&'()*+,;=%"
IN_QUERY = IN_PATH + "?"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Target:
    """
    Where a request goes: `path` is the request target with its query, ASCII and percent-encoded.

    As text it is the URL without its query.
    """

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return self.url.partition("?")[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    @property
    def websocket(self) -> bool:
        """Whether it is a websocket."""
        return self.scheme in WEBSOCKET

    @property
    def secure(self) -> bool:
        """Whether TLS is under it."""
        return self.scheme in ("https", "wss")

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What credentials are bound to: scheme, host and port (RFC 6454 section 4); a websocket and its handshake have one."""
        return self.secure, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of Host."""
        return authority(self.host, self.port, PORTS[self.scheme]).decode("ascii")

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


def split_url(url: object, schemes: Collection[str] = tuple(PORTS), *, credentials: str = _INSTEAD) -> SplitResult:
    """
    The parts of an absolute `url` that has one of `schemes`, a host, and no credentials; raises `InvalidRequest`.

    `credentials` says where they go instead.
    """
    parts = _parts(url)
    if parts.scheme not in schemes or not parts.hostname:
        expected = " or ".join(", ".join(f"{scheme}://" for scheme in schemes).rsplit(", ", 1))
        raise InvalidRequest(f"url: expected {expected}, and a host")
    if parts.port == 0:
        raise InvalidRequest("url: expected a port from 1 to 65535, or none")
    if "@" in parts.netloc:
        raise InvalidRequest(f"url: credentials are not taken from it; {credentials}")
    return parts


def _parts(url: object) -> SplitResult:
    if not isinstance(url, str):
        raise InvalidRequest(f"url: expected text, not {type(url).__name__}")
    if _CONTROL.search(url):  # which urlsplit would leave out, and then the URL is another one
        raise InvalidRequest("url: it holds a control character")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What Python says of it shows what is wrong, and that may be a part of a password.
        raise InvalidRequest("url: its host or its port cannot be understood") from None
    return parts


def parse_url(url: object, schemes: Collection[str] = tuple(PORTS), *, credentials: str = _INSTEAD) -> Target:
    """The target of an absolute `url`; arguments and errors are those of `split_url`."""
    parts = split_url(url, schemes, credentials=credentials)
    return make_target(parts, quoted(parts.path, IN_PATH), quoted(parts.query, IN_QUERY))


def make_target(parts: SplitResult, path: str, query: str) -> Target:
    """The target that `path` and `query`, both encoded, make where `parts` lead to; raises `InvalidRequest`."""
    if parts.fragment and parts.scheme in WEBSOCKET:
        # RFC 6455 section 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
        raise InvalidRequest("url: a ws or wss URL has no fragment; write '#' as '%23' (RFC 6455 section 3)")
    whole = (path or "/") + (f"?{query}" if query else "")
    target = Target(scheme=parts.scheme, host=check_host(parts.hostname), port=parts.port or PORTS[parts.scheme], path=whole)
    target.authority  # noqa: B018 - raises where the host is no name that can be written
    return target


def quoted(text: str, safe: str) -> str:
    """`text` with what may not stand there percent-encoded; raises `InvalidRequest`."""
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise InvalidRequest("url: it holds a lone surrogate, which cannot be encoded") from None


def redirect_target(target: Target, headers: Headers, schemes: Collection[str] = tuple(PORTS)) -> Target:
    """
    Where a redirect (RFC 9110 section 15.4) leads that `target` answered with.

    Raises `InvalidRequest`, which says what it is instead; of what came from the server it shows scheme, host and port at the most.
    """
    locations = {value for name, value in headers if name == b"location"}
    if len(locations) != 1:
        raise InvalidRequest("a redirect that does not lead to one place")
    location = quote_from_bytes(locations.pop(), safe="/:?#[]@!$&'()*+,;=%-._~")
    try:
        found = parse_url(urljoin(target.url, location).partition("#")[0], schemes)
    except ValueError:  # `InvalidRequest` is one
        raise InvalidRequest("a redirect to what is no URL that can be followed") from None
    if target.secure and not found.secure:
        raise InvalidRequest(f"a redirect to {found.place}, which has no TLS; it is not followed")
    return found
