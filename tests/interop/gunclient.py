"""
A server for ``twistd gunclient``, to be ended and started again at any time: ``gunclient.py PORT LOG EVERY``.

Every so many seconds there is an event, which is a line of LOG before it is sent. ``/feed`` sends all of them, from behind the
Last-Event-ID; ``/ws`` sends those that come while the websocket is open, and notes each in LOG.ws when it has gone out; whatever else is
got is answered. At SIGTERM all streams end in good order. Only the standard library is used: it starts at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_GOODBYE = 2.0  # seconds


class Log:
    """The events, as a file, and those that went out by websockets, as another."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.lines = path.read_bytes().split()
        self.ending = asyncio.Event()
        self.idle: set[asyncio.StreamWriter] = set()
        self._grown = asyncio.Condition()
        self._file = path.open("ab", buffering=0)
        self._sent = path.with_name(f"{path.name}.ws").open("ab", buffering=0)

    async def publish(self, every: float) -> None:
        """Write an event, then let it be sent, again and again."""
        while not self.ending.is_set():
            line = b"%d" % (len(self.lines) + 1)
            self._file.write(line + b"\n")
            async with self._grown:
                self.lines.append(line)
                self._grown.notify_all()
            await asyncio.sleep(every)

    async def after(self, at: int) -> list[bytes]:
        """The events from `at` on; none, once it is ending."""
        async with self._grown:
            while at >= len(self.lines) and not self.ending.is_set():
                await self._grown.wait()
            return [] if self.ending.is_set() else self.lines[at:]

    async def end(self) -> None:
        """Let all streams end."""
        self.ending.set()
        for writer in self.idle:
            writer.close()
        async with self._grown:
            self._grown.notify_all()

    def went_out(self, line: bytes) -> None:
        """An event was sent by a websocket."""
        self._sent.write(line + b"\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log) -> None:
    """Answer one request after the other."""
    try:
        while not log.ending.is_set():
            log.idle.add(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            log.idle.discard(writer)
            first, *lines = head.split(b"\r\n")[:-2]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            path = first.split()[1]
            path = b"/" + path.split(b"/", 3)[3] if path.startswith(b"http://") else path
            if path == b"/feed":
                await feed(writer, log, int(fields.get(b"last-event-id", b"0")))
            elif path == b"/ws":
                await websocket(reader, writer, log, fields[b"sec-websocket-key"])
                return
            else:
                await answer(writer, path)
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):  # the last for who came when all was ending
        pass
    finally:
        log.idle.discard(writer)
        writer.close()


async def answer(writer: asyncio.StreamWriter, path: bytes) -> None:
    """Say what was got."""
    content = b"GET " + path
    writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: got=%d\r\ncontent-length: %d\r\n\r\n%b" % (len(path), len(content), content))
    await writer.drain()


async def feed(writer: asyncio.StreamWriter, log: Log, at: int) -> None:
    """Send the events from `at` on, as they come."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"retry: 100\n\n"
    while chunk:
        writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await writer.drain()
        lines = (await log.after(at))[:100]
        at += len(lines)
        chunk = b"".join(b"id: %b\ndata: event %b\n\n" % (line, line) for line in lines)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log, key: bytes) -> None:
    """Send the events that come from now on, as messages of text; then close."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: %b\r\n\r\n"
    writer.write(head % accept)
    closed = asyncio.ensure_future(until_closed(reader))
    at = len(log.lines)
    while not closed.done() and (lines := await log.after(at)):
        at += len(lines)
        for line in lines:
            writer.write(frame(0x81, line))
            await writer.drain()
            log.went_out(line)
    writer.write(frame(0x88, (1001).to_bytes(2, "big")))
    await asyncio.wait([closed], timeout=_GOODBYE)
    closed.cancel()


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Read the client's frames up to a Close, or to the end."""
    try:
        while True:
            first, length = await reader.readexactly(2)
            await reader.readexactly(4 + (length & 127))  # its mask, and what is shorter than 126 bytes
            if first & 15 == 8:
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a server, whose payload is shorter than 126 bytes."""
    return bytes([first, len(payload)]) + payload


async def main(port: int, path: Path, every: float) -> None:
    """Serve until the end."""
    log = Log(path)
    serving: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await serve(reader, writer, log)
        serving.discard(task)

    made: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = connected
    server = await asyncio.start_server(made, "127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(log.end()))
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await log.publish(every)
    server.close()
    if serving:
        await asyncio.wait(serving, timeout=_GOODBYE)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
