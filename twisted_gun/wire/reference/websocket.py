"""
Websockets on wsproto: the reference core, which ``ws_opts={"core": "wsproto"}`` chooses and our own is held against.

wsproto reads and writes the frames, keeps the state of fragments, checks text and inflates; it is fed in slices, so that what it
inflates at a time stays small. No type of wsproto leaves this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsproto.connection import CLIENT, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from twisted_gun.options import WsOptions
from twisted_gun.wire.deflate import Agreed
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.message import Incoming, WsFault
from twisted_gun.wire.ws_session import BINARY, CLOSE, PING, PONG, TEXT, WsSession

__all__ = ["Websocket"]

#: DEFLATE makes at most 1,032 bytes of one.
_SLICE: Final = 256


class Websocket(WsSession):
    """The core of a websocket; see `twisted_gun.wire.core.Core`."""

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        super().__init__(stream, options, agreement, silent)
        extensions: list[Extension] = [] if agreement.deflate is None else [_Deflate(agreement.deflate)]
        self._wsproto = Connection(CLIENT, extensions)
        self._data = b""  # what wsproto was not given yet, from `_at` on
        self._at = 0
        self._message: Incoming | None = None
        self._in_frame = False

    # What wsproto is told.

    def _read(self, data: bytes) -> None:
        self._data, self._at = self._data[self._at :] + data, 0
        while self._reading and not self._withheld:
            event = next(self._wsproto.events(), None)
            if event is not None:
                _TOLD[type(event)](self, event)
            elif self._at < len(self._data):
                self._wsproto.receive_data(self._data[self._at : self._at + _SLICE])
                self._at += _SLICE
            else:
                break

    def _write(self, opcode: int, payload: bytes) -> None:
        self._out.append(bytes(self._wsproto.send(_EVENTS[opcode](payload))))

    # What wsproto tells.

    def _told_message(self, event: Message[Any]) -> None:
        text = isinstance(event, TextMessage)
        if self._message is None:
            self._message = Incoming(text, False, self._options)
        if not self._in_frame:
            self._message.add_fragment(0)
        self._message.add(event.data.encode() if text else bytes(event.data))
        self._in_frame = not event.frame_finished
        if event.message_finished:
            message, self._message = self._message, None
            self._message_received(message)

    def _told_ping(self, event: Ping) -> None:
        self._ping_received(bytes(event.payload))

    def _told_pong(self, event: Pong) -> None:
        self._pong_received(bytes(event.payload))

    def _told_close(self, event: CloseConnection) -> None:
        if self._wsproto.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            # No Close frame came: this is how wsproto says that it cannot read on.
            raise WsFault(int(event.code), f"wsproto says: {event.reason}")
        code = None if event.code == CloseReason.NO_STATUS_RCVD else int(event.code)
        self._close_received(code, event.reason or "")


class _Deflate(PerMessageDeflate):
    """wsproto's, which forgets that a message is compressed where a control frame comes in the midst of it; so it sees none of those."""

    def __init__(self, agreed: Agreed) -> None:
        # It refuses a window of 256 bytes; one of 512 reads what was written for that, and zlib never looks back further than 250 in it.
        super().__init__(
            client_no_context_takeover=not agreed.client_takeover,
            client_max_window_bits=max(9, agreed.client_bits),
            server_no_context_takeover=not agreed.server_takeover,
            server_max_window_bits=max(9, agreed.server_bits),
        )
        self._enabled = True
        self._control = False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._control = opcode.iscontrol()
        if self._control:
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        return data if self._control else super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        return None if self._control else super().frame_inbound_complete(proto, fin)


def _close(payload: bytes) -> Event:
    code = int.from_bytes(payload[:2], "big") if payload else CloseReason.NO_STATUS_RCVD
    return CloseConnection(code=code, reason=payload[2:].decode() or None)


_EVENTS: dict[int, Callable[[bytes], Event]] = {
    TEXT: lambda payload: TextMessage(data=payload.decode()),
    BINARY: lambda payload: BytesMessage(data=payload),
    PING: lambda payload: Ping(payload=payload),
    PONG: lambda payload: Pong(payload=payload),
    CLOSE: _close,
}

_TOLD: dict[type[Any], Callable[[Websocket, Any], None]] = {
    TextMessage: Websocket._told_message,
    BytesMessage: Websocket._told_message,
    Ping: Websocket._told_ping,
    Pong: Websocket._told_pong,
    CloseConnection: Websocket._told_close,
}
