"""
Which cookie a server may set (RFC 6265bis section 5.7, steps 7 to 22).

What another cookie in the store forbids is for the store.
"""

from __future__ import annotations

from typing import Final

from twisted_gun.cookies.domains import canonical_host, default_path, domain_match, is_address, is_public_suffix
from twisted_gun.cookies.parsing import Directive
from twisted_gun.cookies.values import LONGEST_ATTRIBUTE, Cookie, CookieUri

__all__ = ["cookie_from", "is_secure", "keeps_prefix"]

# Section 5.4: "UAs MUST match cookie name prefixes case-insensitively."
_SECURE: Final = b"__secure-"
_HOST: Final = b"__host-"


def is_secure(uri: CookieUri) -> bool:
    """Whether what is sent to `uri` goes over TLS."""
    return uri.scheme in ("https", "wss")


def cookie_from(directive: Directive, uri: CookieUri, now: float) -> Cookie | None:
    """The cookie that `directive`, received from `uri`, makes; None where the server must not set it."""
    # "If the request-uri does not denote a "secure" connection, and the cookie's secure-only-flag is true, then abort these steps and
    # ignore the cookie entirely."
    if directive.secure_only and not is_secure(uri):
        return None
    # "If the cookie's "same-site-flag" is "None", abort this algorithm and ignore the cookie entirely unless the cookie's
    # secure-only-flag is true."
    if directive.same_site == "none" and not directive.secure_only:
        return None
    scope = _scope(directive.domain, uri.host)
    # "Otherwise, set the cookie's path to the default-path of the request-uri." One that is longer than any Path may be is refused.
    path = directive.path or default_path(uri.path)
    if scope is None or len(path) > LONGEST_ATTRIBUTE:
        return None
    domain, host_only = scope
    if not keeps_prefix(directive.name, directive.value, directive.secure_only, host_only, directive.path):
        return None
    return Cookie(
        name=directive.name,
        value=directive.value,
        domain=domain,
        path=path,
        # "Set the creation-time and the last-access-time to the current date and time."
        creation_time=now,
        last_access_time=now,
        expiry_time=directive.expiry_time,
        host_only=host_only,
        secure_only=directive.secure_only,
        http_only=directive.http_only,
        same_site=directive.same_site,
    )


def _scope(said: bytes, host: str) -> tuple[str, bool] | None:
    """The cookie's domain, and whether it is for that host only; `said` is the Domain attribute. None where it must not be set."""
    name = canonical_host(host)
    # "If the domain-attribute contains a character that is not in CHAR, abort this algorithm and ignore the cookie entirely."
    if name is None or not said.isascii():
        return None
    domain = said.decode()
    # "Set the cookie's host-only-flag to true. Set the cookie's domain to request-host-canonical."
    if not domain or (domain == name and is_address(name)):
        return name, True
    # "If request-host-canonical does not domain-match the domain-attribute: Abort this algorithm and ignore the cookie entirely." So it
    # is as canonical as the host is: one with a dot at its end matches nothing.
    if not domain_match(name, domain):
        return None
    # "If the domain-attribute is identical to the request-host-canonical: Let the domain-attribute be the empty string. Otherwise:
    # Abort this algorithm and ignore the cookie entirely."
    if is_public_suffix(domain):
        return (name, True) if domain == name else None
    return domain, False


def keeps_prefix(name: bytes, value: bytes, secure_only: bool, host_only: bool, path: str | None) -> bool:
    """Whether a cookie is what its name promises it to be; `path` is its Path attribute."""
    # "If the cookie-name is empty and [...] the cookie-value begins with a case-insensitive match for the string "__Secure-" [or]
    # "__Host-"", ignore the cookie: it is sent without "=", and would look like one that has kept the promise.
    if not name:
        return not value[: len(_SECURE)].lower().startswith((_SECURE, _HOST))
    prefix = name[: len(_SECURE)].lower()
    # "If the cookie-name begins with a case-insensitive match for the string "__Secure-", abort this algorithm and ignore the cookie
    # entirely unless the cookie's secure-only-flag is true."
    if prefix == _SECURE:
        return secure_only
    # Of "__Host-": "The cookie's secure-only-flag is true. The cookie's host-only-flag is true. The cookie-attribute-list contains an
    # attribute with an attribute-name of "Path", and the cookie's path is /."
    if prefix.startswith(_HOST):
        return secure_only and host_only and path == "/"
    return True
