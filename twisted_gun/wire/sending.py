"""
The content of requests over HTTP/2 on its way out (RFC 9113 section 5.2): what the windows let out goes, the rest waits and takes turns.

Whether a stream may be sent on, and what becomes of it, is the heir's to know, `wire/streams.py`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted_gun.options import Http2Options
from twisted_gun.wire.states import SENT, State, StreamState
from twisted_gun.wire.steps import PauseUpload, ResumeUpload, Steps
from twisted_gun.wire.waits import Waits

__all__ = ["MOST_AT_A_TIME", "UPDATES_OF_REQUEST", "Sending"]

#: How many WINDOW_UPDATE frames a request, or a piece of its content, may be answered with, and for how many bytes there is one more:
#: two for each frame that was as small when it went out.
UPDATES_OF_REQUEST: Final = 4
_BYTES_OF_UPDATE: Final = 32
#: A queued upload sends this many bytes, then it is another's turn.
_TURN: Final = 64 * 1024
#: So much content goes out at a time; the rest of what the windows would let out waits until the transport has taken that.
MOST_AT_A_TIME: Final = 1024 * 1024


class Sending:
    """Sends content, as far as windows and transport let it."""

    _options: Http2Options
    _steps: Steps
    _now: float
    _waits: Waits | None
    _updates: int  # WINDOW_UPDATE frames that may come for what was sent
    _uploads: dict[StreamState, float]  # those with queued content, and when they last sent any; the next to be served first
    _sending_held: bool  # by the transport
    _budget: int

    # What the heirs do.

    def _sendable(self, stream: StreamState) -> int:
        """How many bytes of content the windows let out."""
        raise NotImplementedError

    def _send_data(self, stream: StreamState, data: bytes | memoryview, fin: bool) -> None:
        """Send content, as many DATA frames as it takes; the windows let it out."""
        raise NotImplementedError

    def _forget(self, stream: StreamState) -> None:
        """`stream` is closed."""
        raise NotImplementedError

    # What they ask.

    def _room(self, stream: StreamState) -> int:
        """How many bytes of content may go out now; settings may have left a window below zero (RFC 9113 section 6.9.2)."""
        return 0 if self._sending_held else max(min(self._sendable(stream), self._budget), 0)

    def _send_content(self, stream: StreamState, data: bytes, fin: bool) -> None:
        """Send what the windows let out, and keep the rest."""
        self._updates += UPDATES_OF_REQUEST + len(data) // _BYTES_OF_UPDATE
        if stream.queue is not None:
            stream.queue.append(data)
            stream.queued_fin = fin
            return
        room = self._room(stream)  # RFC 9113 section 6.9.1: the end alone needs none
        if len(data) <= room:
            if data or fin:
                self._send_piece(stream, data, fin)
            if fin:
                self._sent_all(stream)
            return
        if room:
            self._send_piece(stream, memoryview(data)[:room], False)
        stream.queue = deque([memoryview(data)[room:]])
        stream.queued_fin = fin
        self._uploads[stream] = self._now
        self._steps.append(PauseUpload(stream.key))

    def _send_queued(self) -> None:
        """The windows have opened: each upload sends a piece, again and again, until they are shut."""
        progress = True
        while progress and self._uploads:
            progress = False
            threshold = self._options.stream_window_data_threshold
            for stream in sorted(self._uploads, key=lambda stream: stream.send_window < threshold):
                progress = self._send_turn(stream) or progress

    def _send_own(self, stream: StreamState) -> None:
        """The window of this stream has opened."""
        while stream in self._uploads and self._send_turn(stream):
            pass

    def _send_turn(self, stream: StreamState) -> bool:
        """Send a piece of what is queued; whether there was room for any."""
        queue = stream.queue
        assert queue is not None
        room = most = min(self._room(stream), _TURN)
        pieces = []
        while queue and (room > 0 or not queue[0]):
            data = queue.popleft()
            if len(data) > room:
                queue.appendleft(data[room:])
                data = data[:room]
            room -= len(data)
            pieces.append(data)
        fin = stream.queued_fin and not queue
        if room < most or (fin and pieces):
            # As one: a server that answers each frame by opening its window as far would have us send ever smaller ones.
            self._send_piece(stream, pieces[0] if len(pieces) == 1 else b"".join(pieces), fin)
        if queue and room == most:
            return False
        self._uploads.pop(stream)
        if queue:
            self._uploads[stream] = self._now  # behind the others, which those that found no room are not
            return True
        stream.queue = None
        if stream.queued_fin:
            self._sent_all(stream)
        else:
            self._steps.append(ResumeUpload(stream.key))
        return True

    def _send_piece(self, stream: StreamState, data: bytes | memoryview, fin: bool) -> None:
        self._budget -= len(data)
        self._send_data(stream, data, fin)

    def _sent_all(self, stream: StreamState) -> None:
        stream.state = SENT[stream.state, True]
        if stream.state is State.CLOSED:  # of a tunnel only: else a response that is complete before its request has ended the stream
            self._forget(stream)
        elif self._waits is not None:
            self._waits.begin(stream, self._now)
