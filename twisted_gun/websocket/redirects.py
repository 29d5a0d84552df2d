"""
Redirects: whether a response is one, where it leads, and what may go there.

RFC 9110 section 15.4. A request that is sent to another scheme, host or port goes without credentials, and nothing goes from TLS to
where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from twisted_gun.errors import GunError, InvalidRequest
from twisted_gun.events import Headers
from twisted_gun.headers import without_credentials
from twisted_gun.urls import Target, redirect_target

__all__ = ["Asked", "RedirectRefused", "TooManyRedirects", "is_redirect", "redirected"]

_STATUSES = frozenset({301, 302, 303, 307, 308})
_CONTENT_HEADERS = frozenset({b"content-encoding", b"content-language", b"content-length", b"content-location", b"content-type"})


class RedirectRefused(GunError):
    """A redirect leads to where a request must not follow: from TLS to none, or to what is no URL of its kind."""


class TooManyRedirects(GunError):
    """One redirect led to another until `limit`, the option `max_redirects`, was reached."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more redirects than max_redirects = {limit}; raise that option, or look for a loop of redirects")
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What is asked, and where: it changes from one redirect to the next.

    `headers` are those of the caller, as far as this origin may see them. `foreign` says that it may not be given credentials: it is
    another than the first, or was reached by way of another.
    """

    target: Target
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    headers: Headers = field(default=(), repr=False)  # credentials are among them
    foreign: bool = False


def is_redirect(status: int, headers: Headers) -> bool:
    """Whether a response leads elsewhere, and says where."""
    return status in _STATUSES and any(name == b"location" for name, _ in headers)


def redirected(asked: Asked, status: int, headers: Headers, *, trusted: bool = False) -> Asked:
    """What to ask after a redirect; with `trusted` other origins are given credentials too. Raises `RedirectRefused`."""
    moved = replace(asked, target=_location(asked.target, headers))
    if moved.target.origin != asked.target.origin:
        moved = replace(moved, headers=_for_another_origin(asked.headers, trusted), foreign=asked.foreign or not trusted)
    # RFC 9110 sections 15.4.2 to 15.4.4: POST becomes GET by custom, with 303 whatever but HEAD does.
    if (status == 303 and asked.method != "HEAD") or (status in (301, 302) and asked.method == "POST"):
        kept = tuple(pair for pair in moved.headers if pair[0] not in _CONTENT_HEADERS)
        return replace(moved, method="GET", body=b"", headers=kept)
    return moved


def _for_another_origin(headers: Headers, trusted: bool) -> Headers:
    kept = headers if trusted else without_credentials(headers)
    return tuple(pair for pair in kept if pair[0] != b"host")  # which was the name of the first


def _location(target: Target, headers: Headers) -> Target:
    try:
        found = redirect_target(target, headers)
    except InvalidRequest as error:
        raise RedirectRefused(f"{target.place} answered with {error}") from None
    if target.websocket and not found.websocket:
        # A server that redirects the handshake may know no other schemes than those of HTTP.
        found = replace(found, scheme="wss" if found.secure else "ws")
    if found.websocket and not target.websocket:
        raise RedirectRefused(f"{target.place} answered an HTTP request with a redirect to a websocket")
    return found
