"""
A script that moves one file to or from a server and prints, as JSON, how many bytes that were, and what it cost.

It is a process of its own so that its memory is the client's and nobody else's: ``before`` is its resident size in bytes when the
connection had just come up, ``grown`` by how much it was above that at its highest.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.task import react
from twisted.web.client import FileBodyProducer

import twisted_gun as gun


async def transfer(reactor: Any, direction: str, url: str, path: str, trust_root: str | None = None, core: str | None = None) -> None:
    """Download `url` to the file at `path`, or upload the file to it; by HTTP/2 with this `core` of it, or by HTTP/1.1."""
    protocols = ["http"] if core is None else [("http2", {"core": core})]
    conn = gun.open_url(url, reactor=reactor, tls_opts={"trust_root": trust_root}, protocols=protocols)
    await conn.await_up()
    Path("/proc/self/clear_refs").write_text("5")  # the highest size begins anew
    before, begun = _resident("VmRSS"), time.monotonic()
    move = {"download": _download, "upload": _upload}[direction]
    status, size = await move(conn, urlsplit(url).path, Path(path))
    cost = {"grown": _resident("VmHWM") - before, "before": before, "seconds": time.monotonic() - begun}
    sys.stdout.write(json.dumps({"status": status, "bytes": size, **cost}))
    await conn.shutdown()


async def _download(conn: gun.Connection, target: str, path: Path) -> tuple[int, int]:
    stream = conn.get(target)
    response = await stream.await_response()
    size = 0
    with path.open("wb") as file:
        async for chunk in stream.chunks():
            size += file.write(chunk)
    return response.status, size


async def _upload(conn: gun.Connection, target: str, path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        producer: Any = FileBodyProducer(file)
        response = await conn.put(target, {"content-type": "application/octet-stream"}, producer).await_response(timeout=None)
        return response.status, file.tell() if not file.closed else producer.length


def _resident(name: str) -> int:
    """A size in bytes that Linux knows of this process. Not ru_maxrss, which starts at the size of the process that forked this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    react(transfer, sys.argv[1:])
