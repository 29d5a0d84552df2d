"""
Compression of websocket messages: permessage-deflate (RFC 7692), what is offered, what is agreed, and the work itself.

Values in, values out; `ProtocolViolation` for an answer that no offer of ours allows. What is inflated comes in slices, so that
whoever takes them can stop.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted_gun.errors import ProtocolViolation
from twisted_gun.options import DeflateOptions

__all__ = ["Agreed", "Deflater", "Inflater", "agree", "offer"]

#: How many bytes are inflated at a time.
_SLICE: Final = 64 * 1024
#: RFC 7692 section 7.2.1: what is left out of each message.
_TAIL: Final = b"\x00\x00\xff\xff"
_BITS: Final = {b"%d" % bits: bits for bits in range(8, 16)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """
    What both sides agreed on: the windows' sizes as powers of two, and whether they outlive a message.

    `client` is our direction, `server` the other; `level` and `memory_level` are zlib's, and messages below `threshold` bytes are
    sent as they are.
    """

    client_bits: int
    server_bits: int
    client_takeover: bool
    server_takeover: bool
    level: int
    memory_level: int
    threshold: int


def offer(options: DeflateOptions) -> bytes:
    """The extension as it is offered; RFC 7692 section 7.1."""
    parameters = [b"permessage-deflate"]
    if options.client_no_context_takeover:
        parameters.append(b"client_no_context_takeover")
    if options.server_no_context_takeover:
        parameters.append(b"server_no_context_takeover")
    # Without a value: "the client supports the parameter", and leaves it to the server to ask for a smaller window.
    bits = options.client_max_window_bits
    parameters.append(b"client_max_window_bits" if bits == 15 else b"client_max_window_bits=%d" % bits)
    if options.server_max_window_bits < 15:
        parameters.append(b"server_max_window_bits=%d" % options.server_max_window_bits)
    return b"; ".join(parameters)


def agree(parameters: Mapping[bytes, bytes | None], options: DeflateOptions) -> Agreed:
    """What the server's `parameters` make of our offer; raises `ProtocolViolation` where they do not answer it."""
    for name, value in parameters.items():
        flag = name in (b"client_no_context_takeover", b"server_no_context_takeover")
        bits = name in (b"client_max_window_bits", b"server_max_window_bits")
        if not (flag and value is None) and not (bits and value in _BITS):
            raise ProtocolViolation(f"permessage-deflate with the parameter {name!r} = {value!r} (RFC 7692 section 7.1)")
    if options.server_no_context_takeover and b"server_no_context_takeover" not in parameters:
        raise ProtocolViolation("permessage-deflate without server_no_context_takeover, which was asked for (RFC 7692 section 7.1.1.1)")
    server_bits = _BITS[parameters.get(b"server_max_window_bits") or b"15"]
    client_bits = _BITS[parameters.get(b"client_max_window_bits") or b"15"]
    if server_bits > options.server_max_window_bits:
        raise ProtocolViolation("permessage-deflate with a larger server_max_window_bits than was asked for (RFC 7692 section 7.1.2.1)")
    return Agreed(
        client_bits=min(client_bits, options.client_max_window_bits),
        server_bits=server_bits,
        client_takeover=not options.client_no_context_takeover and b"client_no_context_takeover" not in parameters,
        server_takeover=b"server_no_context_takeover" not in parameters,
        level=options.level,
        memory_level=options.memory_level,
        threshold=options.threshold,
    )


class Deflater:
    """Compresses whole messages; RFC 7692 section 7.2.1."""

    __slots__ = ("_agreed", "_stream")

    def __init__(self, agreed: Agreed) -> None:
        self._agreed = agreed
        self._stream: Any = None

    def deflate(self, data: bytes) -> bytes:
        """`data`, compressed."""
        agreed = self._agreed
        stream = self._stream
        if stream is None:
            # zlib refuses a window of 256 bytes, but never looks back further than 250 in one of 512.
            stream = zlib.compressobj(agreed.level, zlib.DEFLATED, -max(9, agreed.client_bits), agreed.memory_level)
            if agreed.client_takeover:
                self._stream = stream
        deflated: bytes = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        # RFC 7692 section 7.2.3.6: an empty message is one byte, 0x00; zlib flushes nothing twice.
        return deflated[:-4] or b"\x00"


class Inflater:
    """Decompresses messages, whose parts may come cut anywhere; RFC 7692 section 7.2.2."""

    __slots__ = ("_bits", "_stream", "_takeover")

    def __init__(self, agreed: Agreed) -> None:
        self._bits = -agreed.server_bits
        self._takeover = agreed.server_takeover
        self._stream = zlib.decompressobj(self._bits)

    def inflate(self, data: bytes, fin: bool) -> Iterator[bytes]:
        """What `data` becomes, in slices; `fin` says that the message ends with it. Raises `ProtocolViolation`."""
        try:
            yield from self._slices(data)
            if fin:
                yield from self._slices(_TAIL)
        except zlib.error as error:
            raise ProtocolViolation(f"a compressed message that cannot be inflated (RFC 7692 section 7.2.2): {error}") from error
        if fin and not self._takeover:
            self._stream = zlib.decompressobj(self._bits)

    def _slices(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._stream.decompress(data, _SLICE)
            if piece:
                yield piece
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                # RFC 7692 section 7.2.3.4: a block with BFINAL set may end the message, or come in the midst of it.
                data = self._stream.unused_data
                self._stream = zlib.decompressobj(self._bits)
            if not data and len(piece) < _SLICE:
                return
