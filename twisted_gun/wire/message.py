"""The parts of a websocket message as they come (RFC 6455 section 5.4), bounded, and its text checked as far as it has come."""

from __future__ import annotations

import codecs
from typing import Final

from twisted_gun.errors import GunError, LimitReached, ProtocolViolation
from twisted_gun.events import Binary, Text
from twisted_gun.options import WsOptions

__all__ = ["CloseCode", "Incoming", "WsFault", "decoded", "not_text"]

#: Parts of fewer bytes are joined to the one before.
_LARGE: Final = 4096
#: By how much a compressed message may be larger than it is inflated, in bytes, and a thousandth of it.
_SLACK: Final = 64 * 1024

_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class CloseCode:
    """RFC 6455 section 7.4.1: the codes that we send by ourselves."""

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
        raise not_text(error) from error


def not_text(error: UnicodeDecodeError) -> WsFault:
    """What to fail the websocket by where text was not UTF-8."""
    return WsFault(CloseCode.INVALID_DATA, f"a text message that is not UTF-8 (RFC 6455 section 8.1): {error.reason}")


class Incoming:
    """
    The message that is being received: `add` its parts, then `finish` it.

    Large parts are kept as they came, small ones joined, so that a message takes about the same room in whatever parts it comes.
    """

    __slots__ = ("_compressed_size", "_decoder", "_fragments", "_options", "_parts", "compressed", "size")

    def __init__(self, text: bool, compressed: bool, options: WsOptions) -> None:
        self.compressed = compressed
        self._options = options
        self._parts: list[bytes | bytearray] = []
        self.size = 0  # in bytes, of what has come
        self._decoder = _utf8_decoder() if text else None
        self._fragments = self._compressed_size = 0

    def add_fragment(self, size: int) -> None:
        """A frame of it begins whose payload is `size` bytes; what is certain to be too much is refused before it comes."""
        self._fragments += 1
        if self._fragments > self._options.max_fragments:
            raise WsFault(CloseCode.TOO_BIG, LimitReached("max_fragments", self._options.max_fragments))
        if self.compressed:
            # DEFLATE makes what it cannot compress a little larger: a few bytes a block, and a block for each frame.
            self._compressed_size += size
            self._check_limit(self._compressed_size, self._options.max_message_size * 1025 // 1024 + _SLACK)
        else:
            self._check_limit(self.size + size, self._options.max_message_size)

    def add(self, data: bytes) -> None:
        """A part of it, not compressed (any more)."""
        if self._decoder is not None:
            # Up to the limit only, so that which of the two faults it is does not depend on how much came at a time.
            try:
                self._decoder.decode(data[: self._options.max_message_size - self.size])
            except UnicodeDecodeError as error:
                raise not_text(error) from error
        self._check_limit(self.size + len(data), self._options.max_message_size)
        self.size += len(data)
        parts = self._parts
        if len(data) >= _LARGE or not parts:
            parts.append(data)
        elif type(parts[-1]) is bytearray:
            parts[-1] += data
        else:
            parts.append(bytearray(data))

    def finish(self) -> Text | Binary:
        """The whole message."""
        parts = self._parts
        data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return Binary(data) if self._decoder is None else Text(decoded(data))

    def _check_limit(self, size: int, most: int) -> None:
        if size > most:
            raise WsFault(CloseCode.TOO_BIG, LimitReached("max_message_size", self._options.max_message_size))
