"""picows: its core of callbacks, which knows no permessage-deflate."""

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.scenarios import Job, Measurement, check_echo, measure, messages

__all__ = ["picows_client"]


async def picows_client(job: Job) -> Measurement:
    """A `WSListener` that sends the next message where one has come back."""
    transport, listener = await ws_connect(lambda: _Listener(job), job.url)
    assert isinstance(listener, _Listener)
    try:
        return await measure(job, listener.repeat)
    finally:
        transport.disconnect()


class _Listener(WSListener):
    def __init__(self, job: Job) -> None:
        self._to_send, self._to_come = messages(job.scenario), messages(job.scenario)
        self._text = job.scenario.text
        self._at_once = job.scenario.streams

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    async def repeat(self, count: int) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._left_to_send = self._left_to_come = count
        for _ in range(min(count, self._at_once)):
            self._send()
        await self._done

    def _send(self) -> None:
        self._left_to_send -= 1
        if self._text:
            self._transport.send(WSMsgType.TEXT, next(self._to_send).encode())
        else:
            self._transport.send(WSMsgType.BINARY, next(self._to_send))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            check_echo(next(self._to_come), frame.get_payload_as_utf8_text() if self._text else frame.get_payload_as_bytes())
        except ValueError as reason:
            self._done.set_exception(reason)
            raise
        self._left_to_come -= 1
        if self._left_to_send:
            self._send()
        elif not self._left_to_come:
            self._done.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("disconnected"))
