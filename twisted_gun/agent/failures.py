"""
Failures as users of `twisted.web.client.Agent` know them, which stay what they are here: each is a `GunError`, and one of Twisted's too.

So ``failure.check(ConnectionRefusedError)`` of code written for Twisted is as true as ``failure.check(gun.ConnectFailed)``. Nothing of
connections or responses is known here.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, ResponseFailed, ResponseNeverReceived

from twisted_gun.errors import (
    ConnectFailed,
    ConnectionFailed,
    GunError,
    LimitReached,
    ProtocolViolation,
    ProxyFailed,
    StreamClosed,
    StreamError,
    TimedOut,
    TlsFailed,
    Truncated,
)

__all__ = ["body_failed", "request_failed"]

#: Before there is a connection, by the stage of `TimedOut`; later a response was waited for.
_EARLY = {"lookup": error.DNSLookupError, **dict.fromkeys(("connect", "tls", "tunnel", "checkout", "preface"), error.TimeoutError)}


def request_failed(reason: BaseException) -> BaseException:
    """Why there is no response, as `GunAgent.request` tells it."""
    if isinstance(reason, ConnectFailed):
        return _also(reason, _connect_error(reason.reason), osError=getattr(reason.reason, "osError", None))
    if isinstance(reason, ProxyFailed):
        return _also(reason, error.ConnectError, osError=None)
    if isinstance(reason, TimedOut):
        early = _EARLY.get(reason.stage)
        return (
            _also(reason, ResponseNeverReceived, error.TimeoutError, reasons=[Failure(reason)]) if early is None else _also(reason, early)
        )
    if type(reason) is StreamError and reason.__cause__ is not None:  # of the producer of the request's content
        return _also(reason, RequestGenerationFailed, reasons=[Failure(reason.__cause__)])
    if isinstance(reason, (StreamError, TlsFailed)) and not isinstance(reason, Truncated):
        return _also(reason, ResponseNeverReceived, reasons=_reasons(reason), response=None)
    if isinstance(reason, ConnectionFailed) and not (isinstance(reason, LimitReached) and reason.name == "max_waiting"):
        return _also(reason, ResponseFailed, reasons=_reasons(reason), response=None)
    return reason


def body_failed(reason: GunError, response: object) -> BaseException:
    """Why the content of `response` is not complete."""
    return _also(reason, ResponseFailed, reasons=_reasons(reason), response=response)


def _reasons(reason: GunError) -> list[Failure]:
    """What `reasons` of Twisted's exceptions hold: first of all the end of the connection, where it ended."""
    if isinstance(reason, TlsFailed):
        return [Failure(_also(reason, SSL.Error))]
    if isinstance(reason, (StreamClosed, Truncated)):
        return [Failure(_connection_lost(reason.__cause__)), Failure(reason)]
    return [Failure(reason)]


def _connection_lost(cause: BaseException | None) -> BaseException:
    if cause is None:
        return error.ConnectionDone()
    if isinstance(cause, TlsFailed):
        return _also(cause, SSL.Error)
    if isinstance(cause, ProtocolViolation) or not isinstance(cause, ConnectionFailed):
        return cause
    return _also(cause, error.ConnectionLost, osError=None) if cause.__cause__ is not None else _also(cause, error.ConnectionDone)


def _connect_error(reason: BaseException | None) -> type[BaseException]:
    """The exception of Twisted's that `reason` is, or is most like."""
    kinds = [kind for kind in type(reason).__mro__ if kind.__module__ == error.__name__]
    return kinds[0] if kinds else error.ConnectError


_kinds: dict[tuple[type[Any], ...], type[Any]] = {}


def _kind(*bases: type[Any]) -> type[Any]:
    """A class that is all of these, and looks like the first."""
    if bases not in _kinds:
        ours = bases[0]
        own = {"__doc__": ours.__doc__, "__module__": ours.__module__, "__str__": Exception.__str__}
        _kinds[bases] = type(ours.__name__, bases, own)
    return _kinds[bases]


def _also(reason: GunError, *theirs: type[BaseException], **attributes: object) -> GunError:
    """`reason` as an exception that is `theirs`, too, with what those have of `attributes`."""
    kind: Any = _kind(type(reason), *theirs)
    made: Any = kind.__new__(kind)
    made.args = reason.args
    made.__dict__.update(reason.__dict__, **attributes)
    made.__cause__ = reason.__cause__
    return made  # type: ignore[no-any-return]
