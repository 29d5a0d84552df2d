"""
A websocket as a spider has it: the response that its callback is given, and the messages there and back.

It is read on whatever reactor the crawl runs, where Scrapy's own coroutines await futures. How it is opened is in `opening`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from scrapy.http import Response
from scrapy.utils.defer import maybe_deferred_to_future

from twisted_gun.errors import GunError
from twisted_gun.events import Binary, Close, Text

if TYPE_CHECKING:
    from types import TracebackType

    from twisted_gun.outgoing import Frames
    from twisted_gun.scrapy.download import Crawl
    from twisted_gun.stream import Stream

__all__ = ["WebSocket", "WebSocketResponse"]


class Owner(Protocol):
    """Who sees to it that websockets end."""

    def close(self, stream: Stream, close: Close) -> None:
        """Close a websocket that is read no more; raises `InvalidRequest` for a `close` that may not be sent."""

    def let_go(self, stream: Stream) -> None:
        """The same for one that nobody holds; called in any thread."""


class WebSocket:
    """
    An open websocket: iterate over it for its messages, str or bytes, until it ends.

    Unread messages hold the server back. ``async with`` closes it at the end. `closed` is the `Close` of the server, once that has come,
    and None before. When the crawl ends this ends, as if the server had closed it.
    """

    def __init__(self, stream: Stream, crawl: Crawl, owner: Owner) -> None:
        self.closed: Close | None = None
        self._stream = stream
        self._crawl = crawl
        self._owner = owner
        self._over = False

    def __repr__(self) -> str:
        return f"<WebSocket on {self._stream.connection!r}{' over' if self._over else ''}>"

    def send(self, messages: Frames) -> None:
        """
        Send a message: str as text, bytes as binary; or a frame, or a list of them.

        Raises `BadState` once it was closed by either side, `InvalidRequest` for what cannot be sent.
        """
        self._stream.ws_send(messages)

    async def receive(self, timeout: float | None = None) -> str | bytes | None:
        """
        The next message, None at the end; `timeout` in seconds.

        Raises `TimedOut`, after which one may go on, and `GunError` where it ended without being closed.
        """
        while not self._over:
            try:
                event: Any = await maybe_deferred_to_future(self._stream.await_event(timeout))
            except GunError:
                if self._over or (self._stream.ended and self._crawl.ending):
                    return None
                self._over = self._stream.ended
                raise
            frame = event.frame
            if isinstance(frame, (Text, Binary)):
                self._crawl.messages += 1
                return frame.text if isinstance(frame, Text) else frame.data
            if isinstance(frame, Close):
                self.closed, self._over = frame, True
        return None

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and read no more of it; nothing happens where it is over. Raises `InvalidRequest` for a code that may not be sent."""
        self._owner.close(self._stream, Close(code, reason))
        self._over = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # A callback that has ended reads no more, and Scrapy does not say that it has.
        if not self._over and not self._stream.ended:
            self._owner.let_go(self._stream)


class WebSocketResponse(Response):
    """The response to a request for a ``ws`` or ``wss`` URL that opened a websocket, which is its `websocket`."""

    attributes = (*Response.attributes, "websocket")

    def __init__(self, *arguments: Any, websocket: WebSocket, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.websocket = websocket
