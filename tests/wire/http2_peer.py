"""
A scripted HTTP/2 server for the tests of the cores: it makes frames, and is strict with those it is sent.

Its verbs return bytes, which a test hands on when it likes. What a core writes goes to `read`: every frame must be one that a client
may send then (RFC 9113), within the windows and limits this server gave; else an AssertionError says why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpack import Decoder

from twisted_gun.events import Headers
from twisted_gun.wire import frames
from twisted_gun.wire.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, HEADER, LARGEST, PREFACE, UINT32, ErrorCode, FrameType, Setting
from twisted_gun.wire.hpack import Encoder

__all__ = ["REQUEST", "Frame", "Peer"]

#: A frame as a test looks at it: its name, then what it holds. Settings and error codes are given by their names.
Frame = tuple[Any, ...]

#: The request that a promise promises, if nothing else is said.
REQUEST: Headers = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/style.css"))


class Peer:
    """One connection's other end."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        #: What the core has sent: a HEADERS with its CONTINUATION frames is one.
        self.received: list[Frame] = []
        #: The same as it was on the wire: type, flags, stream identifier, payload.
        self.raw: list[tuple[FrameType, int, int, bytes]] = []
        #: How much this server may send now, by stream; 0 is the connection. Streams appear with their request.
        self.room: dict[int, int] = {0: DEFAULT_WINDOW}
        self._decoder = Decoder(max_header_list_size=2**24)
        self._rest = b""
        self._begun = False
        self._block: tuple[int, int, bytes] | None = None  # stream, flags, and what has come of a field block
        self._last_stream = 0
        self._open: set[int] = set()  # streams that the core may send on
        self._reset: set[int] = set()  # those for which RST_STREAM is on its way
        self._windows: dict[int, int] = {0: DEFAULT_WINDOW}  # of what the core sends
        self._own: dict[int, int] = {Setting.INITIAL_WINDOW_SIZE: DEFAULT_WINDOW, Setting.MAX_FRAME_SIZE: DEFAULT_FRAME_SIZE}
        self._theirs_initial = DEFAULT_WINDOW
        self._said: list[dict[int, int]] = []  # settings not acknowledged yet
        self._saying = b""  # the beginning of a frame that is on its way to the core

    # What it sends.

    def settings(self, **values: int) -> bytes:
        """SETTINGS, by the names of RFC 9113 in lower case."""
        return frames.settings([(Setting[name.upper()], value) for name, value in values.items()])

    def settings_ack(self) -> bytes:
        return frames.settings_ack()

    def headers(
        self,
        stream_id: int,
        fields: Headers,
        *,
        fin: bool = False,
        padding: int | None = None,
        priority: bool = False,
        piece: int | None = None,
    ) -> bytes:
        """HEADERS, and CONTINUATION frames where its block is longer than `piece` bytes."""
        block = self.encoder.encode_fields(fields)
        flags = (frames.END_STREAM if fin else 0) | (frames.PRIORITY if priority else 0)
        start = b"\x80\0\0\x03\xff" if priority else b""
        return self._block_frames(FrameType.HEADERS, flags, stream_id, start, block, padding, piece)

    def respond(
        self, stream_id: int, status: int | bytes = 200, fields: Iterable[tuple[bytes, bytes]] = (), *, fin: bool = False, **more: Any
    ) -> bytes:
        """The head of a response, interim or final."""
        value = status if isinstance(status, bytes) else b"%d" % status
        return self.headers(stream_id, ((b":status", value), *fields), fin=fin, **more)

    def trailers(self, stream_id: int, fields: Headers = ((b"x", b"y"),), **more: Any) -> bytes:
        return self.headers(stream_id, fields, fin=True, **more)

    def data(self, stream_id: int, data: bytes = b"", fin: bool = False, padding: int | None = None) -> bytes:
        flags, payload = _padded(data, padding)
        return frames.frame(FrameType.DATA, flags | (frames.END_STREAM if fin else 0), stream_id, payload)

    def reset(self, stream_id: int, code: int = ErrorCode.CANCEL) -> bytes:
        return frames.rst_stream(stream_id, code)

    def promise(
        self, stream_id: int, promised_id: int, fields: Headers = REQUEST, *, padding: int | None = None, piece: int | None = None
    ) -> bytes:
        """PUSH_PROMISE on `stream_id`."""
        start = UINT32.pack(promised_id)
        return self._block_frames(FrameType.PUSH_PROMISE, 0, stream_id, start, self.encoder.encode_fields(fields), padding, piece)

    def goaway(self, last_stream_id: int, code: int = ErrorCode.NO_ERROR, debug: bytes = b"") -> bytes:
        return frames.goaway(last_stream_id, code, debug)

    def ping(self, payload: bytes = b"12345678", ack: bool = False) -> bytes:
        return frames.ping(payload, ack)

    def window(self, stream_id: int, increment: int) -> bytes:
        """WINDOW_UPDATE."""
        return frames.window_update(stream_id, increment)

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
        """Any frame."""
        return frames.frame(kind, flags, stream_id, payload)

    def _block_frames(
        self, kind: FrameType, flags: int, stream_id: int, start: bytes, block: bytes, padding: int | None, piece: int | None
    ) -> bytes:
        pieces = [block] if piece is None else [block[at : at + piece] for at in range(0, len(block), piece)] or [b""]
        ends = [0] * (len(pieces) - 1) + [frames.END_HEADERS]
        padded, payload = _padded(start + pieces[0], padding)
        out = [frames.frame(kind, flags | padded | ends[0], stream_id, payload)]
        out += [frames.frame(FrameType.CONTINUATION, end, stream_id, rest) for end, rest in zip(ends[1:], pieces[1:], strict=True)]
        return b"".join(out)

    # What it knows of what it has sent, once that is on its way.

    def sent(self, data: bytes) -> None:
        """`data` goes to the core; it may be cut anywhere, and may be no frames at all."""
        self._saying += data
        while len(self._saying) >= HEADER.size:
            word, flags, stream_id = HEADER.unpack_from(self._saying)
            size = word >> 8
            if len(self._saying) < HEADER.size + size:
                return
            payload = self._saying[HEADER.size : HEADER.size + size]
            self._saying = self._saying[HEADER.size + size :]
            self._said_frame(word & 0xFF, flags, stream_id & LARGEST, payload)

    def heard(self) -> None:
        """The core has taken what was sent, and has done what it does then: of streams that were reset no more may come."""
        self._open -= self._reset
        self._reset.clear()

    def _said_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == FrameType.SETTINGS and not flags & frames.ACK and not len(payload) % 6:
            self._said.append(dict(frames.parse_settings(payload)))
        elif kind == FrameType.WINDOW_UPDATE and len(payload) == 4:
            self._windows[stream_id] = self._windows.get(stream_id, 0) + (UINT32.unpack(payload)[0] & LARGEST)
        elif kind == FrameType.DATA:
            for spent in (0, stream_id):
                self.room[spent] = self.room.get(spent, self._theirs_initial) - len(payload)
        elif kind == FrameType.RST_STREAM:
            self._reset.add(stream_id)

    # What it is sent.

    def read(self, data: bytes) -> None:
        """Take what the core has written: whole frames."""
        if not self._begun:
            assert data.startswith(PREFACE), "a client begins with its preface (RFC 9113 section 3.4)"
            assert data[len(PREFACE) + 3] == FrameType.SETTINGS, "and goes on with SETTINGS"
            data = data[len(PREFACE) :]
            self._begun = True
        while data:
            word, flags, stream_id = HEADER.unpack_from(data)
            size = word >> 8
            assert size <= self._own[Setting.MAX_FRAME_SIZE], f"a frame of {size} bytes (RFC 9113 section 4.2)"
            assert len(data) >= HEADER.size + size, "a piece of a frame"
            payload, data = data[HEADER.size : HEADER.size + size], data[HEADER.size + size :]
            kind = FrameType(word & 0xFF)
            self.raw.append((kind, flags, stream_id, payload))
            if self._block is not None:
                assert kind == FrameType.CONTINUATION and stream_id == self._block[0], "a field block is interrupted"
            _READERS[kind](self, flags, stream_id, payload)

    def _read_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id in self._open, f"DATA on stream {stream_id}, which the core may not send on"
        for spent in (0, stream_id):
            self._windows[spent] -= len(payload)
            assert not payload or self._windows[spent] >= 0, f"DATA beyond the window of {spent} (RFC 9113 section 6.9)"
        fin = flags & frames.END_STREAM != 0
        if fin:
            self._open.discard(stream_id)
        self.received.append(("DATA", stream_id, payload, fin))

    def _read_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id % 2 and stream_id > self._last_stream, f"HEADERS of stream {stream_id} (RFC 9113 section 5.1.1)"
        self._last_stream = stream_id
        self._open.add(stream_id)
        self._windows[stream_id] = self._windows.get(stream_id, 0) + self._own[Setting.INITIAL_WINDOW_SIZE]
        self.room[stream_id] = self._theirs_initial
        self._block = stream_id, flags, b""
        self._read_block(flags, payload)

    def _read_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert self._block is not None, "CONTINUATION of nothing"
        self._read_block(flags, payload)

    def _read_block(self, flags: int, payload: bytes) -> None:
        assert self._block is not None
        stream_id, first, block = self._block
        self._block = stream_id, first, block + payload
        if not flags & frames.END_HEADERS:
            return
        fields = tuple((bytes(field[0]), bytes(field[1])) for field in self._decoder.decode(self._block[2], raw=True))
        self._block = None
        _check_request(fields)
        fin = first & frames.END_STREAM != 0
        if fin:
            self._open.discard(stream_id)
        self.received.append(("HEADERS", stream_id, fields, fin))

    def _read_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id > 0 and (stream_id % 2 == 0 or stream_id <= self._last_stream), f"RST_STREAM of {stream_id}, which is idle"
        self._open.discard(stream_id)
        self.received.append(("RST_STREAM", stream_id, ErrorCode(UINT32.unpack(payload)[0]).name))

    def _read_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id == 0
        if flags & frames.ACK:
            assert self._said and not payload, "an acknowledgment of no settings"
            self._obeyed(self._said.pop(0))
            self.received.append(("SETTINGS ACK",))
            return
        values = dict(frames.parse_settings(payload))
        initial = values.get(Setting.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)
        self._theirs_initial = initial
        if Setting.HEADER_TABLE_SIZE in values:
            self.encoder.resize(values[Setting.HEADER_TABLE_SIZE])
        self.received.append(("SETTINGS", {Setting(key).name.lower(): value for key, value in values.items()}))

    def _obeyed(self, values: Mapping[int, int]) -> None:
        """RFC 9113 section 6.5.3: with its acknowledgment the core obeys what this server has set."""
        before = self._own[Setting.INITIAL_WINDOW_SIZE]
        self._own.update(values)
        if Setting.HEADER_TABLE_SIZE in values:
            self._decoder.max_allowed_table_size = values[Setting.HEADER_TABLE_SIZE]
        for stream_id in self._windows:
            if stream_id:
                self._windows[stream_id] += self._own[Setting.INITIAL_WINDOW_SIZE] - before

    def _read_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id == 0 and len(payload) == 8
        self.received.append(("PING ACK" if flags & frames.ACK else "PING", payload))

    def _read_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id == 0
        self.received.append(("GOAWAY", UINT32.unpack_from(payload)[0], ErrorCode(UINT32.unpack_from(payload, 4)[0]).name))

    def _read_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        increment = UINT32.unpack(payload)[0]
        assert 0 < increment <= LARGEST
        room = self.room.get(stream_id, self._theirs_initial) + increment
        assert room <= LARGEST, "a window above 2^31-1 (RFC 9113 section 6.9.1)"
        self.room[stream_id] = room
        self.received.append(("WINDOW_UPDATE", stream_id, increment))


def _check_request(fields: Headers) -> None:
    """RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4: the pseudo-fields of a request, each once and before all else."""
    pseudo = [name for name, _ in fields if name[:1] == b":"]
    tunnel = dict(fields)[b":method"] == b"CONNECT" and b":protocol" not in pseudo
    expected = {b":method", b":authority"} if tunnel else {b":method", b":scheme", b":authority", b":path"}
    assert len(set(pseudo)) == len(pseudo) and set(pseudo) - {b":protocol"} == expected, f"a request with {pseudo}"
    assert pseudo == [name for name, _ in fields[: len(pseudo)]], f"pseudo-fields amid the others: {fields}"


def _padded(payload: bytes, padding: int | None) -> tuple[int, bytes]:
    """RFC 9113 section 6.1: the flag, and the payload with its padding."""
    return (0, payload) if padding is None else (frames.PADDED, bytes([padding]) + payload + bytes(padding))


_READERS: dict[FrameType, Callable[[Peer, int, int, bytes], None]] = {
    FrameType.DATA: Peer._read_data,
    FrameType.HEADERS: Peer._read_headers,
    FrameType.RST_STREAM: Peer._read_reset,
    FrameType.SETTINGS: Peer._read_settings,
    FrameType.PING: Peer._read_ping,
    FrameType.GOAWAY: Peer._read_goaway,
    FrameType.WINDOW_UPDATE: Peer._read_window_update,
    FrameType.CONTINUATION: Peer._read_continuation,
}
