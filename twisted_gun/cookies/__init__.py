"""
Cookies: RFC 6265bis (draft-ietf-httpbis-rfc6265bis, which replaces RFC 6265), without SameSite's enforcement.

A `CookieStore` keeps the cookies of one connection or of many. It knows nothing of connections: it is asked for the cookies of a
`CookieUri`, and given Set-Cookie fields.
"""

from twisted_gun.cookies.domains import domain_match, path_match
from twisted_gun.cookies.store import CookieStore
from twisted_gun.cookies.values import Cookie, CookieUri, cookie_header

__all__ = ["Cookie", "CookieStore", "CookieUri", "cookie_header", "domain_match", "path_match"]
