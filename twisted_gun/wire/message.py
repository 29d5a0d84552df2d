"""The parts of a websocket message as they come (RFC 6455 section 5.4), bounded, and its text checked as far as it has come."""

from __future__ import annotations

import codecs
from typing import Final

from twisted_gun.errors import GunError, LimitReached, ProtocolViolation
from twisted_gun.events import Binary, Text
from twisted_gun.options import WsOptions

__all__ = ["CloseCode", "Incoming", "WsFault", "decoded"]

_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class CloseCode:
    """RFC 6455 section 7.4.1: the codes that we send by ourselves."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_BIG = 1009


class WsFault(Exception):
    """What the peer sent ends the websocket: with `code` for the peer, and `reason` for us."""

    def __init__(self, code: int, reason: GunError | str) -> None:
        super().__init__(str(reason))
        self.code = code
        self.reason = ProtocolViolation(reason) if isinstance(reason, str) else reason


def decoded(data: bytes | bytearray) -> str:
    """`data` as text; RFC 6455 section 8.1: what is not UTF-8 MUST fail the websocket."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _not_text(error) from error


def _not_text(error: UnicodeDecodeError) -> WsFault:
    return WsFault(CloseCode.INVALID_DATA, f"a text message that is not UTF-8 (RFC 6455 section 8.1): {error.reason}")


class Incoming:
    """
    The message that is being received: `add` its parts, then `finish` it.

    The parts are kept as one run of bytes, so that a message in many small parts takes no more room than in one.
    """

    __slots__ = ("_data", "_decoder", "_fragments", "_options", "compressed")

    def __init__(self, text: bool, compressed: bool, options: WsOptions) -> None:
        self.compressed = compressed
        self._options = options
        self._data: bytes | bytearray = b""
        self._decoder = _utf8_decoder() if text else None
        self._fragments = 0

    def add_fragment(self, size: int) -> None:
        """A frame of it begins whose payload is `size` bytes; what is certain to be too much is refused before it comes."""
        self._fragments += 1
        if self._fragments > self._options.max_fragments:
            raise WsFault(CloseCode.TOO_BIG, LimitReached("max_fragments", self._options.max_fragments))
        if not self.compressed:
            self._check_size(size)

    def add(self, data: bytes) -> None:
        """A part of it, not compressed (any more)."""
        self._check_size(len(data))
        if self._decoder is not None:
            try:
                self._decoder.decode(data)
            except UnicodeDecodeError as error:
                raise _not_text(error) from error
        if not self._data:
            self._data = data
            return
        if type(self._data) is bytes:
            self._data = bytearray(self._data)
        self._data += data

    def finish(self) -> Text | Binary:
        """The whole message."""
        return Binary(bytes(self._data)) if self._decoder is None else Text(decoded(self._data))

    def _check_size(self, more: int) -> None:
        most = self._options.max_message_size
        if len(self._data) + more > most:
            raise WsFault(CloseCode.TOO_BIG, LimitReached("max_message_size", most))
