"""
The opening handshake of a websocket (RFC 6455 section 4.1, RFC 8441 section 5): what is asked for, and what of it the server granted.

Pure functions: fields in, fields or an `Agreement` out. The switch itself is a matter of the protocol below, HTTP/1.1 or HTTP/2.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from typing import Final

from twisted_gun.errors import ProtocolViolation, UpgradeRefused
from twisted_gun.events import Headers
from twisted_gun.options import WsOptions
from twisted_gun.wire.deflate import Agreed, agree, offer

__all__ = ["OWN_FIELDS", "Agreement", "check_answer", "opening_fields"]

#: RFC 6455 section 1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = b"sec-websocket-key"
_PROTOCOL: Final = b"sec-websocket-protocol"
_EXTENSIONS: Final = b"sec-websocket-extensions"
#: What the handshake itself says, and so is not the caller's to give.
OWN_FIELDS: Final = frozenset({_KEY, _PROTOCOL, _EXTENSIONS, b"sec-websocket-version", b"connection", b"upgrade"})

# RFC 6455 section 9.1, with the token and the quoted-string of RFC 9110 section 5.6.
_TOKEN_PATTERN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(_TOKEN_PATTERN)
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(%b)(?:[ \t]*=[ \t]*(?:(%b)|\"((?:[^\"\\]|\\.)*)\"))?" % (_TOKEN_PATTERN, _TOKEN_PATTERN))
_SEPARATOR = re.compile(rb"[ \t]*(?:,[ \t]*)+|[ \t]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What the server granted: one of the offered `protocol`s or none, and whether messages may be compressed, and how."""

    protocol: bytes | None
    deflate: Agreed | None


def opening_fields(options: WsOptions) -> Headers:
    """The fields that ask for a websocket; the key is a new one each time. Over HTTP/2 the key is left out (RFC 8441 section 5)."""
    fields = [(b"sec-websocket-version", b"13"), (_KEY, base64.b64encode(os.urandom(16)))]
    if options.protocols:
        fields.append((_PROTOCOL, b", ".join(name for name, _ in options.protocols)))
    if options.deflate is not None:
        fields.append((_EXTENSIONS, offer(options.deflate)))
    return tuple(fields)


def check_answer(asked: Headers, answered: Headers, options: WsOptions, switched: bool) -> Agreement:
    """
    What the server agreed to; `switched` says that it answered over HTTP/1.1, with 101.

    Raises `ProtocolViolation` where RFC 6455 section 4.1 says that the client MUST fail the connection, and `UpgradeRefused` where the
    server chose no protocol though ``require_protocol`` says that it must.
    """
    if switched:
        _check_accept(dict(asked)[_KEY], answered)
    agreement = Agreement(protocol=_protocol(answered, options), deflate=_deflate(answered, options))
    if agreement.protocol is None and options.require_protocol:
        raise UpgradeRefused("the server chose none of the websocket protocols that were offered, and require_protocol is set", None)
    return agreement


def _values(fields: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name == wanted]


def _check_accept(key: bytes, answered: Headers) -> None:
    expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    if _values(answered, b"sec-websocket-accept") != [expected]:
        raise ProtocolViolation("the Sec-WebSocket-Accept of the 101 response does not answer our key (RFC 6455 section 4.1)")


def _protocol(answered: Headers, options: WsOptions) -> bytes | None:
    chosen = _values(answered, _PROTOCOL)
    if not chosen:
        return None
    if len(chosen) > 1 or chosen[0] not in dict(options.protocols):
        raise ProtocolViolation("The sec-websocket-protocol header is invalid. (RFC6455 4.1)")
    return chosen[0]


def _deflate(answered: Headers, options: WsOptions) -> Agreed | None:
    extensions = _extensions(b",".join(_values(answered, _EXTENSIONS)))
    if not extensions:
        return None
    # RFC 6455 section 4.1: "an extension that was not present in the client's handshake".
    if options.deflate is None or [name for name, _ in extensions] != [b"permessage-deflate"]:
        raise _invalid_extensions()
    parameters = extensions[0][1]
    if len(dict(parameters)) != len(parameters):
        raise _invalid_extensions()
    return agree(dict(parameters), options.deflate)


def _extensions(value: bytes) -> list[tuple[bytes, list[tuple[bytes, bytes | None]]]]:
    """The extensions in a Sec-WebSocket-Extensions field, each with its parameters."""
    found = []
    at = len(value) - len(value.lstrip(b" \t,"))
    while at < len(value):
        name = _TOKEN.match(value, at)
        if name is None:
            raise _invalid_extensions()
        at = name.end()
        parameters: list[tuple[bytes, bytes | None]] = []
        while parameter := _PARAMETER.match(value, at):
            at = parameter.end()
            parameters.append((parameter[1].lower(), _unquoted(parameter)))
        separator = _SEPARATOR.match(value, at)
        if separator is None:
            raise _invalid_extensions()
        at = separator.end()
        found.append((name[0].lower(), parameters))
    return found


def _unquoted(parameter: re.Match[bytes]) -> bytes | None:
    quoted = parameter[3]
    if quoted is None:
        return parameter[2]
    value = re.sub(rb"\\(.)", rb"\1", quoted)
    # RFC 6455 section 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF".
    if not _TOKEN.fullmatch(value):
        raise _invalid_extensions()
    return value


def _invalid_extensions() -> ProtocolViolation:
    return ProtocolViolation("The sec-websocket-extensions header is invalid. (RFC6455 9.1, RFC7692 7)")
