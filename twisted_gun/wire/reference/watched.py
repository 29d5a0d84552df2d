"""The reference cores as they are where there is an event handler; see `twisted_gun.wire.watched`."""

from __future__ import annotations

from typing import Any

from wsproto.connection import CLIENT, Connection
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from twisted_gun.options import WsOptions
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.reference.http2 import Http2
from twisted_gun.wire.reference.websocket import Websocket, _Deflate
from twisted_gun.wire.watched import BegunFrames, WatchedFrames, WatchedStreams

__all__ = ["BegunWebsocket", "WatchedHttp2", "WatchedWebsocket"]


class WatchedHttp2(WatchedStreams, Http2):
    """HTTP/2 on hyper-h2."""


class BegunWebsocket(BegunFrames, Websocket):
    """A websocket on wsproto, of which it is noticed that it has begun."""


class WatchedWebsocket(WatchedFrames, Websocket):
    """A websocket on wsproto, which shows its frames to extensions: what we want to see of them one of ours sees."""

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        super().__init__(stream, options, agreement, silent)
        self._wsproto = Connection(CLIENT, [_Watch(self, None if agreement.deflate is None else _Deflate(agreement.deflate))])


class _Watch(Extension):
    """Sees each frame that is received, inflated by `deflate` if there is that."""

    name = "watch"

    def __init__(self, core: WatchedWebsocket, deflate: _Deflate | None) -> None:
        self._core = core
        self._deflate = deflate
        self._begun = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool | str:
        return False  # which nobody asks for: the handshake is ours

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if self._deflate is None:
            return RsvBits(False, False, False)
        return self._deflate.frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if not self._begun:
            self._begun = True
            header: Any = proto.header  # type: ignore[union-attr]
            rsv = header.rsv.rsv1 << 2 | header.rsv.rsv2 << 1 | header.rsv.rsv3
            self._core._frame_begins()
            self._core._frame_has_head(header.opcode, rsv, header.payload_len, header.fin)
        read = data if self._deflate is None else self._deflate.frame_inbound_payload_data(proto, data)
        if isinstance(read, bytes):
            self._core._payload += read
        return read

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        self._begun = False
        rest = None if self._deflate is None else self._deflate.frame_inbound_complete(proto, fin)
        if not isinstance(rest, CloseReason):
            self._core._payload += rest or b""
            self._core._frame_ends(proto.header.opcode)  # type: ignore[union-attr]
        return rest

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        return (rsv, data) if self._deflate is None else self._deflate.frame_outbound(proto, opcode, rsv, data, fin)
