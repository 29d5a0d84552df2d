"""
Why there is no tunnel, in words: which proxy, where to, what happened, what to do. Never with credentials.

What the proxy itself answered is `ProxyFailed`; other errors keep their kind, and are told of the proxy.
"""

from __future__ import annotations

import re

from twisted_gun.errors import ConnectFailed, ConnectionFailed, GunError, ProtocolViolation, ProxyFailed, StreamClosed, TimedOut, TlsFailed
from twisted_gun.events import Headers

__all__ = ["not_in_time", "refused", "unanswered", "unreached"]

#: What a status says of a CONNECT (RFC 9110 section 15), and what to do about it.
_MEANINGS = {
    400: "it took the request for a bad one: check host and port",
    401: "it wants credentials as an origin does: is there a proxy at this address?",
    403: "its rules do not allow that: use a host and a port that they allow, or ask those who run it",
    404: "it is no proxy for tunnels: check its address",
    405: "it is no proxy for tunnels: check its address",
    429: "it has too much to do for this client: try again later",
    500: "it failed, perhaps to reach the destination: check host and port; its log may say more",
    501: "it is no proxy for tunnels: check its address",
    502: "it could not reach the destination: check host and port, and that the server runs",
    503: "it could not reach the destination, or has too much to do: check host and port, or try again later",
    504: "it waited too long for the destination: check host and port, and that the server runs",
}
#: RFC 9110 section 11.6.1: a challenge begins with its scheme, and one field may hold several.
_SCHEME = re.compile(rb"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s*(?:$|,|\s[^\s=,]+))")


def refused(proxy: str, destination: str, status: int, headers: Headers, credentials: bool) -> ProxyFailed:
    """The proxy answered `status`; `credentials` says whether it was given any."""
    if status == 407 or (status == 401 and credentials):  # tinyproxy says so of credentials that it does not know
        why = _wanted(headers, credentials)
    elif status < 300:
        why = "that should be a tunnel, but it has ended it at once: check host and port"
    else:
        why = _MEANINGS.get(status, "")
    answer = f"it answered {status}{why and ': '}{why}"
    return ProxyFailed(f"the proxy {proxy} made no tunnel to {destination}: {answer}", status=status)


def _wanted(headers: Headers, credentials: bool) -> str:
    """What a proxy wants that has answered 407."""
    schemes = [scheme.decode() for name, value in headers if name == b"proxy-authenticate" for scheme in _SCHEME.findall(value[:1000])]
    if schemes and not any(scheme.lower() == "basic" for scheme in schemes):
        return f"it wants credentials of a kind not spoken here ({', '.join(schemes[:5])}): only Basic is"
    return "it does not accept the credentials: check username and password" if credentials else "it wants username and password: give them"


def unanswered(proxy: str, destination: str, reason: GunError) -> GunError:
    """The proxy was reached, and asked or about to be, but `reason` came before any answer."""
    cause = reason.__cause__
    if isinstance(reason, StreamClosed) and isinstance(cause, GunError):  # how a core tells that the connection has ended
        reason = cause
    what = f"the proxy {proxy} made no tunnel to {destination}: "
    error: GunError
    if isinstance(reason, TimedOut):
        error = TimedOut(reason.stage, reason.seconds, f"{what}{reason}")
    else:
        error = ProxyFailed(what + _said(destination, reason), error=getattr(reason, "error", None))
    error.__cause__ = reason
    return error


def _said(destination: str, reason: GunError) -> str:
    if isinstance(reason, ProxyFailed) and reason.error in _SOCKS_ADVICE:
        return _SOCKS_ADVICE[reason.error]
    said = str(reason).removeprefix(f"the SOCKS proxy made no tunnel to {destination}: ").replace("the SOCKS proxy", "it", 1)
    if type(reason) is ConnectionFailed:
        return f"it ended the connection before it answered ({said}): is it a proxy of this kind, and may this client use it?"
    if isinstance(reason, ProtocolViolation) and "?" not in said:
        return f"{said}: is there a proxy of this kind at this address?"
    return said


#: What is said of a SOCKS proxy's refusal in other words than by its core, which knows options of a connection only.
_SOCKS_ADVICE = {
    "username_password_auth_failure": "it does not accept username and password: check them",
    "no_acceptable_method": "it takes another kind of authentication than it was offered: give username and password, or give none",
}


def unreached(proxy: str, reason: GunError) -> GunError:
    """The proxy could not be reached, or no TLS be had with it."""
    error: GunError
    if isinstance(reason, TlsFailed):
        error = TlsFailed(f"the proxy {proxy}: {reason}", reason.alert)
    elif isinstance(reason, ConnectionFailed):
        error = ConnectFailed(f"the proxy {proxy}: {reason}", reason)
    elif isinstance(reason, (ConnectFailed, TimedOut)) and not str(reason).startswith("the proxy "):
        what = f"the proxy {reason}" if str(reason).startswith(proxy) else f"the proxy {proxy}: {reason}"
        error = ConnectFailed(what, reason.reason) if isinstance(reason, ConnectFailed) else TimedOut(reason.stage, reason.seconds, what)
    else:
        return reason  # of another proxy, which leads to this one
    error.__cause__ = reason
    return error


def not_in_time(proxy: str, destination: str, seconds: float) -> TimedOut:
    """The proxy has not answered."""
    what = f"the proxy {proxy} has not answered the request for a tunnel to {destination} within {seconds} seconds"
    return TimedOut("tunnel", seconds, f"{what}: check that the destination is up, or raise the time-out for the tunnel")
