"""
What a caller gives to be sent on a websocket becomes frames: checked and converted once, at the border.

It knows neither streams nor cores. RFC 6455 sections 5.5, 5.6 and 7.4 say what may be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Union

from twisted_gun.errors import InvalidRequest
from twisted_gun.events import Binary, Close, Frame, Ping, Pong, Text
from twisted_gun.wire.ws_session import BINARY, CLOSE, PING, PONG, TEXT, Outgoing, close_payload, may_close_with

__all__ = ["Frames", "outgoing"]

#: What may be sent: text, bytes, a frame, or a list of these.
Frames = Union[str, bytes, Frame, Iterable[Union[str, bytes, Frame]]]

#: RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or less".
_MOST_CONTROL = 125


def outgoing(frames: object) -> list[Outgoing]:
    """`frames` as opcodes and payloads, in order; raises `InvalidRequest`."""
    convert = _CONVERTED.get(type(frames))
    if convert is not None:
        return [convert(frames)]
    if isinstance(frames, Iterable) and not isinstance(frames, (str, bytes, bytearray, memoryview)):
        return [_outgoing(frame) for frame in frames]
    return [_outgoing(frames)]


def _outgoing(frame: object) -> Outgoing:
    for kind in type(frame).__mro__:
        if kind in _CONVERTED:
            return _CONVERTED[kind](frame)
    raise InvalidRequest(f"frames: expected str, bytes, a frame such as gun.Text, or a list of these, not {type(frame).__name__}")


def _text(text: str) -> Outgoing:
    try:
        return TEXT, text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("frames: the text holds a lone surrogate, which UTF-8 cannot have") from error
    except AttributeError as error:
        raise InvalidRequest(f"frames: expected the text of gun.Text to be str, not {type(text).__name__}") from error


def _binary(data: object) -> Outgoing:
    return BINARY, _bytes(data)


def _bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise InvalidRequest(f"frames: expected the data of a frame to be bytes, not {type(data).__name__}")


def _control(opcode: int, data: object) -> Outgoing:
    payload = _bytes(data)
    if len(payload) > _MOST_CONTROL:
        raise InvalidRequest(f"frames: a control frame carries at most {_MOST_CONTROL} bytes, not {len(payload)} (RFC 6455 section 5.5)")
    return opcode, payload


def _close(frame: Close) -> Outgoing:
    code, reason = frame.code, frame.reason
    if code is None and reason:
        raise InvalidRequest("frames: a Close frame with a reason needs a code (RFC 6455 section 5.5.1)")
    if code is not None and (type(code) is not int or not may_close_with(code)):
        raise InvalidRequest(f"frames: a Close frame may not be sent with the code {code!r} (RFC 6455 section 7.4)")
    try:
        return _control(CLOSE, close_payload(code, reason))
    except (UnicodeEncodeError, AttributeError) as error:
        raise InvalidRequest("frames: expected the reason of a Close frame to be text that UTF-8 can have") from error


_CONVERTED: dict[type, Callable[[Any], Outgoing]] = {
    str: _text,
    bytes: _binary,
    bytearray: _binary,
    memoryview: _binary,
    Text: lambda frame: _text(frame.text),
    Binary: lambda frame: _binary(frame.data),
    Ping: lambda frame: _control(PING, frame.data),
    Pong: lambda frame: _control(PONG, frame.data),
    Close: _close,
}
