"""
What a request by URL gives: a `Response`, which is a websocket where the server said so; its frames, and its messages.

How it came about, by how many attempts, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from twisted_gun.errors import BadState, GunError, InvalidRequest, TimedOut
from twisted_gun.events import Binary, Close, Error, Frame, Headers, Ping, Pong, Text, Ws
from twisted_gun.stream import Stream

__all__ = ["CLOSE", "PING", "PONG", "FrameLike", "Response", "parse_message", "to_frame"]

#: The frames without anything in them.
PING, PONG, CLOSE = Ping(), Pong(), Close()

#: What may be sent: a frame; "ping", "pong" or "close"; bytes; or a tuple, as ("text", "hello").
FrameLike = Union[Frame, str, bytes, tuple[Any, ...]]

_SHORTHANDS: dict[str, Frame] = {"ping": PING, "pong": PONG, "close": CLOSE}
_TUPLES: dict[tuple[str, int], Any] = {
    ("text", 2): Text,
    ("binary", 2): Binary,
    ("ping", 2): Ping,
    ("pong", 2): Pong,
    ("close", 3): lambda code, reason: Close(code, reason or ""),
}


class Response:
    """
    What the server answered: `upgraded` says whether it is a websocket now.

    `status` and `headers` are those of the answer; `url` is where it came from, after redirects. `body` is the content where it is no
    websocket; with `truncated` only the beginning of it was kept. `stream` is the `gun.Stream`. `close_frame` is the Close that ended the
    websocket, once `receive` has given it.
    """

    def __init__(
        self, *, status: int, headers: Headers, stream: Stream, url: str, upgraded: bool = False, body: bytes = b"", truncated: bool = False
    ) -> None:
        self.status = status
        self.headers = headers
        self.stream = stream
        self.url = url
        self.upgraded = upgraded
        self.body = body
        self.truncated = truncated
        self.close_frame: Close | None = None
        self._receiver: Any = None
        self._read_to_end = False

    def __repr__(self) -> str:
        kind = "websocket" if self.upgraded else f"{len(self.body)} bytes"
        return f"<Response {self.status} of {self.url.partition('?')[0]}, {kind}>"

    def receive(self, timeout: float | None = None) -> Deferred[Any]:
        """
        The next message: a `gun.Ws`, or the `gun.Error` that ended the websocket; `parse_message` makes frames of it.

        Fails with `TimedOut` after `timeout` seconds, None for no limit, which like cancelling only stops the waiting. Fails with
        `BadState` after the last message, and where there are none or somebody else is told of them.
        """
        if self._receiver is not None or not self.upgraded:
            return fail(BadState("the messages go to reply_to" if self.upgraded else "this response is no websocket"))
        return self._next(timeout)

    def parse_message(self, message: object) -> list[Frame] | None:
        """As the function `parse_message`."""
        stream = self.stream
        if isinstance(message, Error):
            if message.stream is stream or (message.stream is None and message.connection is stream.connection):
                raise message.reason
            return None
        if getattr(message, "stream", None) is not stream:
            return None
        return [message.frame] if isinstance(message, Ws) else []

    def send_frame(self, frame: FrameLike) -> Deferred[Response]:
        """Send one frame; as `send_frames`."""
        return self.send_frames([frame])

    def send_frames(self, frames: Iterable[FrameLike]) -> Deferred[Response]:
        """
        Send `frames` in their order; fires with this response as soon as that is under way.

        Fails with `BadState` where the websocket has ended or a Close was sent. Raises `InvalidRequest` for what is no frame or cannot be
        one; then none of them is sent.
        """
        made = [to_frame(frame) for frame in frames]
        if not self.upgraded:
            return fail(BadState("this response is no websocket: nothing can be sent"))
        try:
            self.stream.ws_send(made)
        except BadState as error:  # which is not the caller's mistake: the server may have ended it at any time
            return fail(error)
        if any(type(frame) is Close for frame in made):
            self._end()
        return succeed(self)

    def close(self) -> Deferred[Response]:
        """
        Send a Close, unless that was done, and end the connection when the server has answered it, or after ``ws_opts.closing_timeout``.

        Fires with this response when that is over. What the server sends until then can be received.
        """
        if self.upgraded:
            self.send_frame(CLOSE).addErrback(lambda failure: failure.trap(BadState))
        return self._end()

    def abort(self) -> None:
        """End the connection at once, without Close."""
        self.stream.connection.close()

    def _end(self) -> Deferred[Response]:
        # Each has a connection of its own, so that nothing else ends with it.
        return self.stream.connection.shutdown().addCallback(lambda _: self)

    # For `by_url`.

    def tell(self, receiver: Any) -> None:
        """Tell `receiver` of the messages from now on, instead of `receive`."""
        self._receiver = receiver
        Deferred.fromCoroutine(self._tell()).addErrback(
            lambda failure: _log.failure("the messages of a websocket could not be told", failure)
        )

    def next_message(self) -> Deferred[Any]:
        """As `receive`, for whoever reads them instead."""
        return self._next(None)

    async def _tell(self) -> None:
        while not self._read_to_end:
            event = await self._next(None)
            try:
                getattr(self._receiver, event.told_as)(event)
            except Exception:
                _log.failure("{receiver} raised when it was told {event}; the websocket is closed", receiver=self._receiver, event=event)
                self.abort()
                return

    def _next(self, timeout: float | None) -> Deferred[Any]:
        if self._read_to_end:
            return fail(BadState("the websocket has ended: nothing more will come"))
        return self.stream.await_event(timeout).addCallbacks(self._arrived, self._failed)

    def _arrived(self, event: Any) -> Any:
        if event.fin:
            self._read_to_end = True
            if isinstance(event, Ws) and isinstance(event.frame, Close):
                self.close_frame = event.frame
            self._end()
        return event

    def _failed(self, failure: Any) -> Any:
        """An error is a message like any other, but for those of waiting."""
        reason = failure.value
        waited = isinstance(reason, BadState) or (isinstance(reason, TimedOut) and reason.stage == "event")
        if waited or not isinstance(reason, GunError):
            return failure
        return self._arrived(Error(connection=self.stream.connection, stream=self.stream, reason=reason))


def parse_message(response: Response, message: object) -> list[Frame] | None:
    """
    The frames of a `message` of `response`; None where it is of something else.

    Raises the `GunError` that an `gun.Error` of this websocket carries.
    """
    return response.parse_message(message)


def to_frame(frame: FrameLike) -> Frame:
    """
    `frame` as one of gun's; raises `InvalidRequest`.

    "ping", "pong" and "close" are those frames, and so no other str is text: what is passed on from elsewhere could be one of them.
    """
    if isinstance(frame, (Text, Binary, Ping, Pong, Close)):
        return frame
    if isinstance(frame, str):
        if frame not in _SHORTHANDS:
            raise InvalidRequest("frame: a str is one of the frames 'ping', 'pong' and 'close'; give text as gun.Text or ('text', ...)")
        return _SHORTHANDS[frame]
    if isinstance(frame, (bytes, bytearray, memoryview)):
        return Binary(bytes(frame))
    if isinstance(frame, tuple) and frame and isinstance(frame[0], str) and (frame[0], len(frame)) in _TUPLES:
        return _TUPLES[frame[0], len(frame)](*frame[1:])  # type: ignore[no-any-return]
    raise InvalidRequest(f"frame: expected a frame, 'ping', 'pong', 'close', bytes or a tuple, not {type(frame).__name__}")


_log = Logger()
