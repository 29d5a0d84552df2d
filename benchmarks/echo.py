"""
The websocket server, in a process of its own: it sends each frame back as it came, only unmasked.

`started_echo` is what the runner uses; ``python -m benchmarks.echo PORT`` is the process. It has a thread for each connection, which
waits in ``recv``: two system calls for all that came at once, and no event loop. It never inflates anything and yet speaks
permessage-deflate: what the client compressed, sent back in the same order, can be inflated with the window that the client compressed
it with.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1

from benchmarks.server import KEEP_MEMORY, Server, free_ports, wait_for

__all__ = ["started_echo"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPCODE_PING = 0x9
_CLOSE = 0x88

#: As much as is read at once; the rest of a larger frame is read to where it belongs.
_PIECE = 65_536


def _mask_in_python(data: bytes | bytearray, mask: bytes) -> bytes:
    size = len(data)
    repeated = mask * (size // 4) + mask[: size % 4]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def _masking() -> Callable[[bytes | bytearray, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        return _mask_in_python
    return apply_mask


_apply_mask = _masking()


@contextmanager
def started_echo() -> Iterator[Server]:
    """Run the server; it ends with the context."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(port)], env=os.environ | KEEP_MEMORY)
    try:
        wait_for(process, port)
        yield Server(name="benchmarks.echo (Python)", pid=process.pid, port=port, tls_port=port, ca="", http2=False)
    finally:
        process.terminate()
        process.wait(10)


def _accept_handshake(head: bytes) -> bytes:
    """The 101 that answers the request `head`."""
    key = _field(head, b"sec-websocket-key")
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + b64encode(sha1(key + _MAGIC).digest()),
    ]
    if any(_is_plain(offer) for offer in _field(head, b"sec-websocket-extensions").split(b",")):
        lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _field(head: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n" + name + rb":[ \t]*([^\r]*?)[ \t]*\r\n", head, re.IGNORECASE)
    return found[1] if found else b""


def _is_plain(offer: bytes) -> bool:
    """Whether `offer` asks for nothing of the server, so that it can be accepted as it is; what it says of the client are hints."""
    name, *parameters = (part.strip() for part in offer.split(b";"))
    return name == b"permessage-deflate" and all(parameter.startswith(b"client_") for parameter in parameters)


def _head(first: int, size: int) -> bytes:
    """What comes before the payload; `first` has FIN, RSV1 and the opcode."""
    if size < 126:
        return bytes((first, size))
    return bytes((first, 126)) + size.to_bytes(2, "big") if size < 65_536 else bytes((first, 127)) + size.to_bytes(8, "big")


def _answer(first: int) -> int:
    """The first byte of the frame to send: the same, but a pong for a ping."""
    return first + 1 if first & 0xF == _OPCODE_PING else first


_SMALL_HEADS = [[_head(_answer(first), size) for size in range(126)] for first in range(256)]


class _Echo:
    """One connection, on a thread of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._closing = False

    def run(self) -> None:
        """Serve it until either side ends it."""
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._connection:
            try:
                self._greet()
                self._serve()
            except ConnectionError:
                pass

    def _greet(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._connection.recv(_PIECE)
            if not data:
                raise ConnectionError
            head += data
        head, _, self._received = head.partition(b"\r\n\r\n")
        self._connection.sendall(_accept_handshake(head + b"\r\n"))

    def _serve(self) -> None:
        while not self._closing and (data := self._connection.recv(_PIECE)):
            self._received = self._received + data if self._received else data
            if answer := b"".join(self._answers()):
                self._connection.sendall(answer)

    def _answers(self) -> Iterator[bytes]:
        """The frames to send for those that have come: of each the head, then the payload. The beginning of a frame is kept."""
        data, at, end = self._received, 0, len(self._received)
        while end - at >= 6:
            first, size, start = data[at], data[at + 1] & 0x7F, at + 6
            if size >= 126:
                bound = at + (4 if size == 126 else 10)
                size, start = int.from_bytes(data[at + 2 : bound], "big"), bound + 4
            if start + size > end:
                if size <= _PIECE or start > end:
                    break
                yield _head(first, size)
                yield _apply_mask(self._completed(data[start:], size), data[start - 4 : start])
                at = end
                break
            if first == _CLOSE:  # which the server answers, and then closes the connection; the client waits for that
                self._closing = True
            yield _SMALL_HEADS[first][size] if size < 126 else _head(first, size)
            yield _apply_mask(data[start : start + size], data[start - 4 : start])
            at = start + size
        self._received = data[at:]

    def _completed(self, begun: bytes, size: int) -> bytearray:
        """A payload of `size` bytes that has `begun`."""
        data = bytearray(size)
        data[: len(begun)] = begun
        left = memoryview(data)[len(begun) :]
        while left:
            read = self._connection.recv_into(left)
            if not read:
                raise ConnectionError
            left = left[read:]
        return data


def main() -> None:
    """Do what the command line says."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_Echo(connection).run, daemon=True).start()


if __name__ == "__main__":
    main()
