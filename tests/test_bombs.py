"""
Decompression bombs: a little that becomes a gigabyte, in each coding, and in five of them one in another.

They are told to `measure`, in a process of its own, whose memory Linux knows; elsewhere these tests are skipped.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import brotli
import zstandard
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.content_handlers import DecodeHandler
from twisted_gun.testing import MemoryGun

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 1024 * 1024
GIB = 1024 * MIB
CAP = 10 * MIB
#: The codings of the bomb that is five in one, as the field has them.
FIVE = ("gzip", "zstd", "deflate", "br", "gzip")
#: Those that are let off to the end as well; gzip's has the same works as deflate's.
UNLIMITED = ("deflate", "br", "zstd")


def gzip_bomb() -> bytes:
    """Members of 1 MiB."""
    return gzip.compress(bytes(MIB)) * 1024


def deflate_bomb() -> bytes:
    """One stream; Adler-32 of n zeros is n and 1 (RFC 1950 section 8.2)."""
    stream = zlib.compressobj()
    first, more = (stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + more * 1023 + b"\x03\x00" + (GIB % 65_521 << 16 | 1).to_bytes(4, "big")


def brotli_bomb() -> bytes:
    """One stream."""
    stream = brotli.Compressor(quality=1)
    return b"".join([*(stream.process(bytes(MIB)) for _ in range(1024)), stream.finish()])


def zstd_bomb() -> bytes:
    """A frame of runs, each of the largest size, in the largest window (RFC 8878 section 3.1.1)."""
    run = (1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x68" + run * 8192 + b"\x01\x00\x00"


BOMBS: dict[str, Callable[[], bytes]] = {"gzip": gzip_bomb, "deflate": deflate_bomb, "br": brotli_bomb, "zstd": zstd_bomb}
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=3),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


def five_layers() -> bytes:
    """A gigabyte in the first of `FIVE`, and that in the others."""
    bomb = BOMBS[FIVE[0]]()
    for coding in FIVE[1:]:
        bomb = ENCODE[coding](bomb)
    return bomb


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` as it may arrive."""
    return (data[at : at + 16_384] for at in range(0, len(data), 16_384))


def by_handler(encoding: str, data: bytes, options: dict[str, Any]) -> tuple[int, str | None]:
    """What a `DecodeHandler` makes of it: how much, and the limit that is reached."""
    headers, size = ((b"content-encoding", encoding.encode()),), 0
    stream: Any = None
    try:
        handler = DecodeHandler.begin(stream, gun.Response(stream=stream, fin=False, status=200, headers=headers), **options)
        assert handler is not None
        for come in (*pieces(data), b""):
            for piece in handler.handle(come, not come):
                size += len(piece)
    except gun.LimitReached as error:
        return size, error.name
    return size, None


class Counting:
    """A receiver that keeps how much content it was told, and how the stream ended."""

    def __init__(self) -> None:
        self.size, self.end = 0, "never"

    def __call__(self, event: Any) -> None:
        self.size += len(getattr(event, "data", b""))
        if event.fin:
            self.end = getattr(event.reason, "name", repr(event.reason)) if isinstance(event, gun.Error) else ""


def by_connection(protocol: str, encoding: str, data: bytes, options: dict[str, Any]) -> tuple[int, str]:
    """What a connection makes of it."""
    opts: dict[str, Any] = {"http_opts" if protocol == "http" else "http2_opts": {"content_handlers": [(DecodeHandler, options)]}}
    world = MemoryGun(protocols=[protocol], **opts)
    world.pump()
    counting = Counting()
    world.connection.get("/", reply_to=counting)
    world.pump()
    peer = world.peer
    if protocol == "http2":
        peer.respond(peer.requests[-1], 200, {"content-encoding": encoding}, fin=False)
    else:
        peer.send(f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\n".encode())
    for piece in pieces(data):
        if counting.end != "never":
            break
        peer.send_data(peer.requests[-1], piece) if protocol == "http2" else peer.send(piece)
        world.pump()
    world.connection.close()
    return counting.size, counting.end


def memory(name: str) -> int:
    """A size in bytes that Linux knows of this process. Not ru_maxrss, which starts at that of the process that forked this one."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def measure() -> None:
    """Set off each bomb in each way, and write what came of it, and how much memory that took at most, beyond what there was before."""
    bombs = {**{coding: bomb() for coding, bomb in BOMBS.items()}, ", ".join(FIVE): five_layers()}
    capped = {"max_codings": 5, "max_decoded_size": CAP, "max_ratio": None}
    ways: dict[str, Callable[[str, bytes], tuple[int, Any]]] = {
        "capped": lambda encoding, data: by_handler(encoding, data, capped),
        "defaults": lambda encoding, data: by_handler(encoding, data, {"max_codings": 5}),
        "http": lambda encoding, data: by_connection("http", encoding, data, capped),
        "http2": lambda encoding, data: by_connection("http2", encoding, data, capped),
        "unlimited": lambda encoding, data: by_handler(encoding, data, {"max_decoded_size": None, "max_ratio": None}),
    }
    for way in ways.values():  # whatever is imported, and made once, is there from now on
        for coding, encode in ENCODE.items():
            way(coding, encode(b"x" * 100))
    begun, told = memory("VmRSS"), []
    for name, way in ways.items():
        for encoding, data in bombs.items():
            if name != "unlimited" or encoding in UNLIMITED:
                PEAK.write_text("5")  # proc_pid_clear_refs(5): the peak is what there is now
                before = memory("VmRSS")
                size, end = way(encoding, data)
                grown = memory("VmHWM") - before
                told.append({"way": name, "encoding": encoding, "sent": len(data), "size": size, "end": end, "grown": grown})
    sys.stdout.write(json.dumps({"told": told, "kept": memory("VmRSS") - begun}))


class BombTests(SynchronousTestCase):
    """What becomes of a gigabyte."""

    told: ClassVar[list[dict[str, Any]]] = []
    kept: ClassVar[list[int]] = []

    def setUp(self) -> None:
        if not os.access(PEAK, os.W_OK):
            self.skipTest("how much memory a process had is read from /proc")
        if not self.told:
            command = [sys.executable, "-W", "error", "-c", "from tests.test_bombs import measure; measure()"]
            done = subprocess.run(command, check=False, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=120)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            measured = json.loads(done.stdout)
            self.told.extend(measured["told"])
            self.kept.append(measured["kept"])

    def of(self, *ways: str) -> list[dict[str, Any]]:
        """What came of those ways."""
        return [one for one in self.told if one["way"] in ways]

    def test_stopped(self) -> None:
        """Each is stopped at 10 MiB: by the handler alone, and on its way over HTTP/1.1 and HTTP/2."""
        told = self.of("capped", "http", "http2")
        self.assertEqual(len(told), 3 * 5)
        for one in told:
            self.assertEqual(one["end"], "max_decoded_size", one)
            self.assertLessEqual(one["size"], CAP, one)
            if one["encoding"] in BOMBS:
                self.assertGreater(one["size"], CAP - 2 * 65_536, one)

    def test_defaults(self) -> None:
        """With the default limits they get no further than the ratio lets them."""
        told = self.of("defaults")
        self.assertEqual(len(told), 5)
        for one in told:
            self.assertIn(one["end"], ("max_ratio", "max_decoded_size"), one)
            self.assertLessEqual(one["size"], 64 * MIB, one)

    def test_unlimited(self) -> None:
        """Without limits the whole gigabyte comes: they are what they are said to be."""
        told = self.of("unlimited")
        self.assertEqual([(one["encoding"], one["size"], one["end"]) for one in told], [(coding, GIB, None) for coding in UNLIMITED])
        self.assertLess(max(one["sent"] for one in self.told), 2 * MIB)

    def test_memory(self) -> None:
        """None takes 16 MiB, with limits or without: a piece is made when the one before it was told. Afterwards nothing is kept."""
        for one in self.told:
            self.assertLess(one["grown"], 16 * MIB, one)
        self.assertLess(self.kept[0], 16 * MIB)
