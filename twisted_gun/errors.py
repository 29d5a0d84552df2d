"""
Every exception of the package.

    GunError
      OptionError(ValueError)  InvalidRequest(ValueError)  BadState        raised at the call
      ConnectFailed  TlsFailed  ProxyFailed  UpgradeRefused
      StreamError: StreamReset(code)  StreamRefused  StreamClosed  Truncated  GoAway(code, last_stream_id)
      ConnectionFailed: ProtocolViolation  LimitReached(name, limit)
      TimedOut(stage)  ShuttingDown
      CookieFileError(ValueError)

The first row is the caller's mistake: it is raised at the call, and nothing has gone to the wire. Everything else is the
peer's doing or the network's: it arrives as an event, or as the failure of the Deferred that is being awaited. `StreamReset` and
`GoAway` are HTTP/2's. `CookieFileError` is of a file.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BadState",
    "ConnectFailed",
    "ConnectionFailed",
    "CookieFileError",
    "GoAway",
    "GunError",
    "InvalidRequest",
    "LimitReached",
    "OptionError",
    "ProtocolViolation",
    "ProxyFailed",
    "ShuttingDown",
    "StreamClosed",
    "StreamError",
    "StreamRefused",
    "StreamReset",
    "TimedOut",
    "TlsFailed",
    "Truncated",
    "UpgradeRefused",
]


class GunError(Exception):
    """The root: whatever this package raises or reports is one of these."""


class OptionError(GunError, ValueError):
    """
    An option has a value that cannot be used.

    `option` is its dotted name, as in ``http_opts.keepalive``.
    """

    def __init__(self, option: str, expected: str, *value: object) -> None:
        # A value is shown only where it is known that it cannot be a secret.
        super().__init__(f"{option}: expected {expected}" + "".join(f", not {shown!r}" for shown in value))
        self.option = option


class InvalidRequest(GunError, ValueError):
    """A request holds something that must not, or cannot, be sent; nothing of it was written."""


class BadState(GunError):
    """The call makes no sense now: the stream has ended, the connection is closed, somebody else awaits."""


class ConnectFailed(GunError):
    """
    No connection could be made.

    `reason` is what the last attempt met: a `GunError` or one of Twisted's connection errors.
    """

    def __init__(self, message: str, reason: BaseException | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class TlsFailed(GunError):
    """
    The TLS handshake failed, the certificate was refused, or the peer sent an alert.

    `alert` is the peer's alert by its RFC 8446 name, such as ``certificate_required``, if it sent one.
    """

    def __init__(self, message: str, alert: str | None = None) -> None:
        super().__init__(message)
        self.alert = alert


class ProxyFailed(GunError):
    """
    A proxy refused to make a tunnel, or could not.

    `status` is the HTTP status that it answered. `error` is what a SOCKS proxy answered, by Gun's name: "connection_refused",
    "username_password_auth_failure" and so on.
    """

    def __init__(self, message: str, status: int | None = None, error: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class UpgradeRefused(GunError):
    """
    The server answered an upgrade with an ordinary `response`.

    `response` is None where there is none to show: over HTTP/2 the server said beforehand that it takes no websockets; or it granted
    one, but chose none of the subprotocols, though ``ws_opts.require_protocol`` is set.
    """

    def __init__(self, message: str, response: Any) -> None:
        super().__init__(message)
        self.response = response


class StreamError(GunError):
    """This stream is over; the others may live on."""


class StreamReset(StreamError):
    """The peer reset the stream with an RFC 9113 section 7 error `code`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class StreamRefused(StreamError):
    """The server certainly did not process this request: it is safe to send it again."""


class StreamClosed(StreamError):
    """The connection was lost, or closed, before the stream's end; the server may have processed the request."""


class Truncated(StreamError):
    """
    The connection ended in the middle of a message.

    `received` and `expected` are bytes of content; `expected` is None where the message did not say.
    """

    def __init__(self, message: str, received: int, expected: int | None = None) -> None:
        super().__init__(message)
        self.received = received
        self.expected = expected


class GoAway(StreamError):
    """The server goes away (RFC 9113 section 6.8) and did not process this stream."""

    def __init__(self, message: str, code: int, last_stream_id: int) -> None:
        super().__init__(message)
        self.code = code
        self.last_stream_id = last_stream_id


class ConnectionFailed(GunError):
    """The connection was lost, or had to be given up, with everything on it."""


class ProtocolViolation(ConnectionFailed):
    """The peer sent what its protocol forbids."""


class LimitReached(ConnectionFailed):
    """The peer went beyond a limit of ours: `name` is the option that holds it, `limit` its value."""

    def __init__(self, name: str, limit: float) -> None:
        super().__init__(f"limit reached: beyond {name} = {limit}; raise that option if you trust the peer")
        self.name = name
        self.limit = limit


class TimedOut(GunError):
    """
    Something took too long.

    `stage` says what. Of the connection: ``lookup``, ``connect``, ``tls``, ``tunnel``, ``headers``, ``response``, ``idle``, ``write``,
    ``closing``; of HTTP/2 also ``preface``, ``settings``; of HTTP/2 and of websockets ``keepalive``. Of an await: ``up``,
    ``response``, ``body``, ``upgrade``, ``event``.
    """

    def __init__(self, stage: str, seconds: float | None = None, message: str | None = None) -> None:
        super().__init__(message or f"timed out: {stage} took longer than {seconds} seconds")
        self.stage = stage
        self.seconds = seconds


class ShuttingDown(GunError):
    """The connection is being shut down; it does not take, or does not finish, this request."""


class CookieFileError(GunError, ValueError):
    """A file of cookies is broken, or too large; nothing of it was taken."""
