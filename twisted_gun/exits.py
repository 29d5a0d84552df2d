"""
The exit statuses of the commands, curl's wherever curl has one, and what failure, or Close of a websocket, ends with which.

It knows the package's errors, and neither how they came about nor who is told.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import IntEnum

from twisted.internet.error import DNSLookupError

from twisted_gun.errors import (
    ConnectFailed,
    ConnectionFailed,
    GoAway,
    GunError,
    InvalidRequest,
    LimitReached,
    OptionError,
    ProtocolViolation,
    ProxyFailed,
    StreamClosed,
    StreamRefused,
    StreamReset,
    TimedOut,
    TlsFailed,
    Truncated,
    UpgradeRefused,
)
from twisted_gun.event_source import EventSourceFailed
from twisted_gun.wire.frames import ErrorCode

__all__ = ["Exit", "Unreadable", "Unwritable", "close_status", "explain", "in_words", "one_line"]


class Exit(IntEnum):
    """What a command ends with; `INTERRUPTED` and `PIPE_CLOSED` are what shells report for SIGINT and SIGPIPE."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNUSABLE = 3  # a URL, or the value of an option
    PROXY_LOOKUP = 5
    LOOKUP = 6
    CONNECT = 7
    TRUNCATED = 18
    STATUS = 22
    WRITE = 23
    READ = 26
    TIMED_OUT = 28
    TLS = 35
    NO_RESPONSE = 52
    CERTIFICATE = 60
    RESET = 92
    PROXY = 97
    LOST = 106  # a websocket without a Close, which RFC 6455 calls 1006
    CLOSED = 120  # a websocket with a code that is not the protocol's own
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class Unreadable(Exception):
    """What is to be sent cannot be read."""


class Unwritable(Exception):
    """The output cannot be written; `reason` is the system's."""

    def __init__(self, path: str, reason: OSError) -> None:
        super().__init__(f"cannot write {path}: {reason.strerror or reason}")
        self.reason = reason


#: The command's name for an option of the package.
_FLAGS = {
    "tls_opts.trust_root": "--cacert",
    "tls_opts.client_certificate": "--cert",
    "last_event_id": "--last-event-id",
    "proxy": "--proxy",
    "retry": "--retry",
    "ws_opts.protocols": "--subprotocol",
}

#: What Python's callers are told to give, and what is typed; tests.test_command holds these against the errors.
_WORDS = (
    (", a list of them, 'env', or None", ", or env"),
    ("a list of names, or of (name, protocol) pairs whose protocol is a callable or None; names are tokens", "names that are tokens"),
)

#: The limits of `DecodeHandler`.
_DECODING = ("max_codings", "max_decoded_size", "max_ratio")

_AUTHORITY, _ANY = "give its authority by --cacert", ", or accept any certificate by --insecure"
#: Errors have no other mark; tests.test_fetch holds these against certificates that are refused.
_OF_PROXY = "the proxy "
_REFUSED_CERTIFICATE = re.compile(rf"(?:{_OF_PROXY}\S+: )?the certificate of ")
_TIMEOUTS = {
    "lookup": "--connect-timeout",
    "connect": "--connect-timeout",
    "tls": "--connect-timeout",
    "tunnel": "--connect-timeout",
    "response": "--timeout",
    "headers": "--timeout",
    "idle": "--timeout",
    "write": "--timeout",
}


def explain(error: Exception) -> tuple[Exit, str]:
    """The status that `error` ends a command with, and one line that says what happened and what to do."""
    if isinstance(error, Unwritable):
        full = error.reason.errno in (errno.ENOSPC, errno.EDQUOT)
        return Exit.WRITE, _line(error, "make room there" if full else "check the path and its rights")
    if isinstance(error, Unreadable):
        return Exit.READ, _line(error)
    if isinstance(error, OptionError):
        return Exit.UNUSABLE, _line(in_words(error, _FLAGS.get(error.option, error.option)))
    if isinstance(error, InvalidRequest):
        return Exit.UNUSABLE, _line(error)
    for each in _causes(error):
        known = _explain_known(each)
        if known is not None:
            return known[0], _line(each, known[1])
    return Exit.FAILED, _line(error)


def in_words(error: OptionError, flag: str) -> str:
    """What `error` says, in words of a command line whose option is `flag`: without values that only Python has."""
    text = str(error).replace(error.option, flag, 1)
    for pythons, ours in _WORDS:
        text = text.replace(pythons, ours)
    return text


def close_status(code: int | None) -> int:
    """The status that a websocket ends with when the server closed it by `code`: 0, or 100 more than the code is above 1000."""
    if code in (None, 1000):
        return Exit.OK
    assert code is not None
    return code - 900 if code < 1015 else Exit.CLOSED


def _explain_known(error: BaseException) -> tuple[Exit, str] | None:
    """The status, and what to do where the error itself does not say it."""
    if isinstance(error, TimedOut):
        return Exit.TIMED_OUT, f"try again, or raise {_TIMEOUTS.get(error.stage, '--timeout')}"
    if isinstance(error, Truncated):
        return Exit.TRUNCATED, "try again"
    if isinstance(error, TlsFailed):
        return _explain_tls(error)
    if isinstance(error, (ProtocolViolation, LimitReached)):
        return Exit.FAILED, _advice_on_fault(error)
    if isinstance(error, (StreamClosed, StreamRefused, GoAway)):
        return Exit.NO_RESPONSE, "try again"
    if isinstance(error, StreamReset):
        return Exit.RESET, "take --http1.1, as the server requires" if error.code == ErrorCode.HTTP_1_1_REQUIRED else "try again"
    if isinstance(error, ProxyFailed):
        return Exit.PROXY, ""
    if isinstance(error, (UpgradeRefused, EventSourceFailed)):
        return _explain_answer(error)
    if isinstance(error, ConnectFailed):
        if not isinstance(error.reason, DNSLookupError):
            return Exit.CONNECT, ""
        return Exit.PROXY_LOOKUP if str(error).startswith(_OF_PROXY) else Exit.LOOKUP, ""
    if isinstance(error, ConnectionFailed):
        # Without TLS a connection is up as soon as it is made, so this was lost during the handshake.
        return Exit.TLS, "check that the port is for https"
    return None


def _advice_on_fault(error: ProtocolViolation | LimitReached) -> str:
    if "an HTTP/1 response?" in str(error):  # it has no other mark
        return "leave out --http2"
    if isinstance(error, LimitReached) and error.name in _DECODING:
        return "leave out --compressed to get it as it is"
    return "the server is at fault"


def _explain_answer(error: UpgradeRefused | EventSourceFailed) -> tuple[Exit, str]:
    if error.response is None:
        return Exit.FAILED, "leave out --http2"
    return Exit.STATUS, "check the URL and what the server asks for"


def _explain_tls(error: TlsFailed) -> tuple[Exit, str]:
    of_proxy = str(error).startswith(_OF_PROXY)
    if error.alert is None and _REFUSED_CERTIFICATE.match(str(error)):
        return Exit.CERTIFICATE, _AUTHORITY if of_proxy else _AUTHORITY + _ANY
    if of_proxy:
        return Exit.TLS, "check that its port is for https"
    if error.alert == "no_application_protocol":
        return Exit.TLS, "leave out --http2 or --http1.1"
    if error.alert is not None and "certificate" in error.alert:
        return Exit.TLS, "give the client's certificate and key by --cert"
    return Exit.TLS, "check that the port is for https"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """
    `error`, after all that it came from.

    What a stream is told of a lost connection, or a connection of its last attempt, says less than why that failed; but a body
    that was cut off is just that, however it came about, and what is told of a proxy says all.
    """
    reason = error.reason if isinstance(error, ConnectFailed) else error.__cause__
    inner = list(_causes(reason)) if isinstance(reason, GunError) and not str(error).startswith(_OF_PROXY) else []
    if isinstance(error, Truncated):
        inner = [each for each in inner if isinstance(each, TimedOut)]
    if isinstance(error, (StreamClosed, StreamRefused)):
        inner = [each for each in inner if type(each) is not ConnectionFailed]
    yield from inner
    yield error


def _line(what: object, advice: str = "") -> str:
    """One line that is safe to print: what a server sent may be part of it."""
    text = str(what)
    return one_line(f"{text}; {advice}" if advice and advice not in text else text)


def one_line(text: str) -> str:
    """`text` as one line that can neither add others nor speak to the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
