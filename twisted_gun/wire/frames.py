"""
HTTP/2 frames as bytes, and the names of their parts (RFC 9113 sections 4, 6 and 7).

How a frame is read is in `wire/framing.py`; what frames mean is not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

from twisted_gun.errors import GunError, ProtocolViolation

__all__ = [
    "ConnectionFault",
    "ErrorCode",
    "FrameType",
    "PREFACE",
    "Setting",
    "code_name",
    "frame",
    "goaway",
    "header_frames",
    "parse_settings",
    "ping",
    "rst_stream",
    "settings",
    "settings_ack",
    "window_update",
]

#: RFC 9113 section 3.4: what a client sends first, before its SETTINGS.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Length and type, flags, stream identifier: nine bytes.
HEADER: Final = struct.Struct(">IBI")
UINT32: Final = struct.Struct(">I")
_SETTING: Final = struct.Struct(">HI")

# Flags.
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

#: The largest window, and the largest stream identifier.
LARGEST: Final = 2**31 - 1
#: RFC 9113 section 6.5.2: the initial window, and the least that SETTINGS_MAX_FRAME_SIZE may be.
DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_SIZE: Final = 16_384


class FrameType(IntEnum):
    """RFC 9113 section 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """RFC 9113 section 5.4.1: the connection cannot go on; `code` goes into GOAWAY, `reason` is what the owner is told."""

    def __init__(self, code: ErrorCode, reason: GunError | str) -> None:
        super().__init__(str(reason))
        self.code = code
        self.reason = ProtocolViolation(reason) if isinstance(reason, str) else reason


class Setting(IntEnum):
    """RFC 9113 section 6.5.2, and RFC 8441 section 3."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


def code_name(code: int) -> str:
    """The RFC's name of an error code, or its number."""
    return ErrorCode(code).name if code in ErrorCode._value2member_map_ else f"error code {code:#x}"


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def header_frames(stream_id: int, block: bytes, fin: bool, size: int) -> bytes:
    """A field block as HEADERS and, where it is longer than `size`, the CONTINUATION frames that RFC 9113 section 6.10 asks for."""
    flags = END_STREAM if fin else 0
    if len(block) <= size:
        return HEADER.pack(len(block) << 8 | FrameType.HEADERS, flags | END_HEADERS, stream_id) + block
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    frames = [frame(FrameType.HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(FrameType.CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame(FrameType.CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame."""
    return frame(FrameType.SETTINGS, 0, 0, b"".join([_SETTING.pack(*value) for value in values]))


def parse_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """The settings in the payload of a SETTINGS frame, in their order; its length is a multiple of six."""
    return _SETTING.iter_unpack(payload)


def settings_ack() -> bytes:
    """The acknowledgment of a SETTINGS frame."""
    return frame(FrameType.SETTINGS, ACK, 0)


def ping(payload: bytes, ack: bool = False) -> bytes:
    """A PING frame with its eight bytes."""
    return frame(FrameType.PING, ACK if ack else 0, 0, payload)


def rst_stream(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(FrameType.RST_STREAM, 0, stream_id, UINT32.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; the connection is stream 0."""
    return frame(FrameType.WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """A GOAWAY frame."""
    return frame(FrameType.GOAWAY, 0, 0, UINT32.pack(last_stream_id) + UINT32.pack(code) + debug)
