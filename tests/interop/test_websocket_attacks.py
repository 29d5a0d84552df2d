"""
What a websocket server that means harm can do to a client: bombs, floods of pings that it does not read the answers to, crumbs.

The client is a process of its own, whose memory is measured. With GUN_TESTS_THOROUGH in the environment the floods have a million frames.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from json import dumps, loads
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.certificates import authority
from tests.interop.http2 import THOROUGH
from tests.interop.servers import missing, node, run_script, temporary_directory

KIB, MIB = 1024, 1024 * 1024
MANY = 1_000_000 if THOROUGH else 100_000

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def frame(opcode: int, payload: bytes = b"", fin: bool = True, deflated: bool = False) -> bytes:
    """A frame as servers send them."""
    first = opcode | fin << 7 | deflated << 6
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    return (struct.pack(">BBH", first, 126, size) if size < 65536 else struct.pack(">BBQ", first, 127, size)) + payload


@implementer(IPullProducer)
class Attacker(Protocol):
    """
    A server that accepts any websocket, and when a text comes sends what `attack` yields as fast as the client takes it.

    Where it is `deaf` it reads nothing meanwhile. A Close frame ends it; where it is `hasty` it does not wait for that.
    """

    def __init__(self, attack: Iterator[bytes], deflate: bool, deaf: bool, hasty: bool) -> None:
        self._attack, self._deflate, self._deaf, self._hasty = attack, deflate, deaf, hasty
        self._head: bytes | None = b""
        self._frames = Frames()
        self.codes = self._frames.codes
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if b"\r\n\r\n" in self._head:
                head, self._head = self._head, None
                self._accept(head)
            return
        transport: Any = self.transport
        came = self._frames.take(data)
        if CLOSE in came:
            transport.unregisterProducer()
            transport.loseConnection()
        elif TEXT in came:
            if self._deaf:
                transport.pauseProducing()
            transport.registerProducer(self, False)

    def _accept(self, head: bytes) -> None:
        transport: Any = self.transport
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        lines = [b"HTTP/1.1 101 So be it", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + accept]
        if self._deflate:
            lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
        transport.write(b"\r\n".join([*lines, b"", b""]))

    def resumeProducing(self) -> None:
        """The kernel takes more."""
        transport: Any = self.transport
        piece = next(self._attack, None)
        if piece is not None:
            transport.write(piece)
            return
        transport.unregisterProducer()
        if self._deaf:
            transport.resumeProducing()
        if self._hasty:
            transport.loseConnection()

    def stopProducing(self) -> None:
        """The client has gone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class Frames:
    """The frames that a client sends, all of them small; `codes` are those of the Close frames."""

    def __init__(self) -> None:
        self.codes: list[int | None] = []
        self._left = b""

    def take(self, data: bytes) -> set[int]:
        """Take what has come; the opcodes of the frames in it."""
        data = self._left + data
        opcodes, at, end = set(), 0, len(data)
        while end - at >= 2 and at + (size := data[at + 1] & 127) + 6 <= end:
            assert size < 126 and data[at + 1] & 128, data[at : at + 2]
            opcode, mask, payload = data[at] & 15, data[at + 2 : at + 6], data[at + 6 : at + 6 + size]
            if opcode == CLOSE:
                self.codes.append(int.from_bytes(bytes(one ^ mask[index] for index, one in enumerate(payload[:2]))) if size else None)
            opcodes.add(opcode)
            at += 6 + size
        self._left = data[at:]
        return opcodes


class AttackCase(TestCase):
    """A server that attacks once, and a client in a process of its own."""

    timeout = 120
    core = "own"
    skip = None if sys.platform == "linux" else "THIS IS NOT LINUX: the memory that attacks take was not measured"

    async def attack(
        self, attack: Iterator[bytes], *, deflate: bool = False, deaf: bool = False, hasty: bool = False, reads: int = 0, **ws_opts: Any
    ) -> tuple[dict[str, Any], list[int | None]]:
        """Attack; what the client says of it, and the codes of the Close frames that it sent."""
        from twisted.internet import reactor

        attacker = Attacker(attack, deflate, deaf, hasty)
        factory = Factory.forProtocol(lambda: attacker)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # Little room for what nobody reads; sockets that are accepted take it over.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listening.setblocking(False)
            adopting: Any = reactor
            port = adopting.adoptStreamPort(listening.fileno(), socket.AF_INET, factory)
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        told = await self.attacked(url, "http", reads, compress=deflate, **ws_opts)
        await attacker.ended
        return told, attacker.codes

    async def attacked(self, url: str, protocol: str, reads: int = 0, **ws_opts: Any) -> dict[str, Any]:
        """What a client says that opens a websocket at `url`."""
        return await run_script(self, "websocket_attacked.py", url, protocol, dumps({"core": self.core, **ws_opts}), str(reads))


class AttackTests(AttackCase):
    """Our own core."""

    async def test_bomb(self) -> None:
        """130 kB that inflate to 130 MB: the server is told 1009, and memory grows by little more than the largest message allowed."""
        deflated = _bomb(130 * MIB)
        self.assertLess(len(deflated), 135 * KIB)
        told, codes = await self.attack(iter([frame(BINARY, deflated, deflated=True)]), deflate=True)
        self.assertEqual(told["error"][0], "LimitReached")
        self.assertIn("max_message_size", told["error"][1])
        self.assertEqual(codes, [1009])
        self.assertLess(told["grown"], 20 * MIB, told)

    async def test_bomb_in_fragments(self) -> None:
        """The same in a thousand fragments."""
        deflated = _bomb(130 * MIB)
        pieces = [deflated[at : at + 130] for at in range(0, len(deflated), 130)]
        frames = [frame(BINARY if at == 0 else 0, piece, at + 1 == len(pieces), at == 0) for at, piece in enumerate(pieces)]
        told, codes = await self.attack(iter(frames), deflate=True)
        self.assertEqual((told["error"][0], codes), ("LimitReached", [1009]))
        self.assertLess(told["grown"], 20 * MIB, told)

    async def test_bombs_that_are_allowed(self) -> None:
        """Messages that inflate to just what is allowed, all in one read, are not all inflated before the first is told."""
        bombs = frame(BINARY, _bomb(16 * MIB), deflated=True) * 8 + frame(CLOSE)
        flows: list[dict[str, Any]] = [{}, {"flow": 1}]
        for options in flows:
            told, codes = await self.attack(iter([bombs]), deflate=True, **options)
            self.assertEqual((told["messages"], told["size"], told["error"], codes), (8, 128 * MIB, None, [None]), told)
            self.assertLess(told["grown"], 70 * MIB, told)

    async def test_bombs_and_gone(self) -> None:
        """The same where the server has gone when the first is told: what had arrived is told to the last."""
        bombs = frame(BINARY, _bomb(4 * MIB), deflated=True) * 8 + frame(CLOSE)
        told, _codes = await self.attack(iter([bombs]), deflate=True, hasty=True)
        self.assertEqual((told["messages"], told["size"], told["error"]), (8, 32 * MIB, None), told)

    async def test_pings_nobody_reads_the_answers_to(self) -> None:
        """Pings without end: what is queued for a server that does not read stays under 64 KiB, and memory flat."""
        pings = [frame(PING, b"%0120d" % at) for at in range(500)]
        pieces = [b"".join(pings[at : at + 100]) for at in range(0, 500, 100)]
        told, codes = await self.attack(chain((pieces[at % 5] for at in range(MANY // 100)), [frame(CLOSE)]), deaf=True)
        self.assertEqual((told["error"], codes), (None, [None]))
        self.assertGreater(told["queued"], 0)
        self.assertLess(told["queued"], 64 * KIB, told)
        self.assertLess(told["grown"], 8 * MIB, told)

    async def test_small_pings_nobody_reads_the_answers_to(self) -> None:
        """The same where a ping has nothing in it, and its answer is three times as long."""
        told, codes = await self.attack(chain((frame(PING) * 1000 for _ in range(MANY // 1000)), [frame(CLOSE)]), deaf=True)
        self.assertEqual((told["error"], codes), (None, [None]))
        self.assertGreater(told["queued"], 0)
        self.assertLess(told["queued"], 64 * KIB, told)
        self.assertLess(told["grown"], 8 * MIB, told)

    async def test_crumbs(self) -> None:
        """A message in fragments of one byte is refused at the ten-thousandth and one."""
        told, codes = await self.attack(_crumbs(MANY))
        self.assertEqual((told["error"][0], codes), ("LimitReached", [1009]))
        self.assertIn("max_fragments", told["error"][1])
        self.assertLess(told["grown"], 2 * MIB, told)

    async def test_crumbs_that_are_allowed(self) -> None:
        """Where so many are allowed they take hardly more room than the message."""
        told, codes = await self.attack(_crumbs(MANY), max_fragments=MANY)
        self.assertEqual((told["messages"], told["size"], told["error"], codes), (1, MANY, None, [None]))
        self.assertLess(told["grown"], 2 * MANY + 2 * MIB, told)

    async def test_empty_crumbs(self) -> None:
        """Fragments with nothing in them count as well."""
        told, codes = await self.attack(iter([frame(TEXT, fin=False), frame(0, fin=False) * 20_000]))
        self.assertEqual((told["error"][0], codes), ("LimitReached", [1009]))

    async def test_byte_by_byte(self) -> None:
        """A message that is read byte by byte takes hardly more room than itself."""
        size = MANY // 10
        told, codes = await self.attack(iter([frame(BINARY, bytes(size)), frame(CLOSE)]), reads=1)
        self.assertEqual((told["messages"], told["size"], told["error"], codes), (1, size, None, [None]))
        self.assertLess(told["grown"], 2 * size + MIB, told)


class Http2Tests(AttackCase):
    """What a server does over HTTP/2, where what it does not read stays with the client (RFC 9113 section 5.2)."""

    skip = AttackCase.skip or missing("node", "nodejs")

    async def test_pings_nobody_reads_the_answers_to(self) -> None:
        """Pings without end take no memory, though their answers have no window to go out in."""
        issued, root = authority().issue("127.0.0.1"), temporary_directory(self)
        (root / "key.pem").write_bytes(issued.key_pem)
        (root / "certificate.pem").write_bytes(issued.certificate_pem)
        ports = loads(await node(self, str(root / "key.pem"), str(root / "certificate.pem"), script="websocket.js").start())
        for name, protocol in (("http", "http"), ("h2c", "http2")):
            told = await self.attacked(f"http://127.0.0.1:{ports[name]}/pings/{MANY}", protocol)
            self.assertEqual(told["error"], None)
            self.assertLess(told["queued"], 64 * KIB, told)
            self.assertLess(told["grown"], 8 * MIB, told)


class AnnouncedTests(AttackCase):
    """What our own core sees before it has come, and the reference does not."""

    async def test_announced(self) -> None:
        """A message that is said to be longer than allowed is refused before any of it has come."""
        told, codes = await self.attack(iter([struct.pack(">BBQ", 128 | BINARY, 127, 2**62)]))
        self.assertEqual((told["error"][0], codes), ("LimitReached", [1009]))
        self.assertLess(told["grown"], 2 * MIB, told)


class ReferenceAttackTests(AttackTests):
    """The reference core."""

    core = "wsproto"
    skip = AttackCase.skip or (None if THOROUGH else "the reference core is attacked only with GUN_TESTS_THOROUGH in the environment")


def _bomb(size: int) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    deflated = b"".join([deflater.compress(zeros) for _ in range(size // MIB)]) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return deflated[:-4]


def _crumbs(count: int) -> Iterator[bytes]:
    yield frame(BINARY, b"x", fin=False)
    for _ in range((count - 2) // 1000):
        yield frame(0, b"x", fin=False) * 1000
    yield frame(0, b"x", fin=False) * ((count - 2) % 1000) + frame(0, b"x") + frame(CLOSE)
