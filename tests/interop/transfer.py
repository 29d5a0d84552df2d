"""
A script that moves one file to or from a server and prints, as JSON, how many bytes that were, and what it cost.

It is a process of its own so that its memory is the client's and nobody else's: ``before`` is its resident size in bytes when the
connection had just come up, ``grown`` by how much it was above that at its highest. ``through`` is what was spoken with each proxy.
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


async def transfer(
    reactor: Any, direction: str, url: str, path: str, trust_root: str | None = None, core: str = "", way: str = "", *proxies: str
) -> None:
    """
    Download `url` to the file at `path`, or upload the file to it; by HTTP/2 with this `core` of it, or by HTTP/1.1 without.

    It goes through `proxies`, URLs of which the first is the first to be reached: by the `way` "option" as the option `proxy`, by "connect"
    one tunnel after the other, where the scheme "socks5s" is SOCKS5 over TLS.
    """
    protocols = [("http2", {"core": core})] if core else ["http"]
    opts = {"reactor": reactor, "tls_opts": {"trust_root": trust_root}}
    if way == "connect":
        conn, reached = await _tunnel([*proxies, url], protocols, opts)
    else:
        conn = reached = gun.open_url(url, protocols=protocols, **opts, **({"proxy": list(proxies)} if proxies else {}))
        await conn.await_up()
    target = urlsplit(url).path
    if proxies:
        await reached.head(target).await_response()  # so that all that it goes through is up
    Path("/proc/self/clear_refs").write_text("5")  # the highest size begins anew
    before, begun = _resident("VmRSS"), time.monotonic()
    move: _Download | _Upload = _Download(Path(path)) if direction == "download" else _Upload(Path(path))
    stream = move.begin(reached, target)
    through = [proxy.protocol for proxy in stream.info().intermediaries]
    status, size = await move.finish(stream)
    cost = {"grown": _resident("VmHWM") - before, "before": before, "seconds": time.monotonic() - begun}
    sys.stdout.write(json.dumps({"status": status, "bytes": size, "through": through, **cost}))
    await conn.shutdown()


async def _tunnel(urls: list[str], protocols: list[Any], opts: dict[str, Any]) -> tuple[gun.Connection, Any]:
    """The connection to the first of `urls`, and what makes requests of the last of them, when it is up."""
    first = _end(urls, protocols, opts["tls_opts"])
    conn = gun.open(first.pop("host"), first.pop("port"), **{**opts, **first})
    await conn.await_up()
    reached: Any = conn
    for place, url in enumerate(urls[:-1], 1):
        if not url.startswith("socks5"):
            reached = reached.connect(_end(urls[place:], protocols, opts["tls_opts"]))
            await reached.await_up()
    return conn, reached


def _end(urls: list[str], protocols: list[Any], tls_opts: dict[str, Any]) -> dict[str, Any]:
    """The first of `urls` as what a connection or a tunnel leads to; if that is a SOCKS proxy, it says where to lead on."""
    parts = urlsplit(urls[0])
    transport = "tls" if parts.scheme in ("https", "socks5s") else "tcp"
    end = {"host": parts.hostname, "port": parts.port, "transport": transport, "tls_opts": tls_opts}
    if parts.scheme.startswith("socks5"):
        return {**end, "protocols": [("socks", _end(urls[1:], protocols, tls_opts))]}
    return end if urls[1:] else {**end, "protocols": protocols}


class _Download:
    """To the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, reached: Any, target: str) -> Any:
        """Ask for it."""
        return reached.get(target)

    async def finish(self, stream: Any) -> tuple[int, int]:
        """The status of the response, and the size."""
        response = await stream.await_response()
        size = 0
        with self._path.open("wb") as file:
            async for chunk in stream.chunks():
                size += file.write(chunk)
        return response.status, size


class _Upload:
    """Of the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._producer: Any = FileBodyProducer(self._file)

    def begin(self, reached: Any, target: str) -> Any:
        """Begin to send it."""
        return reached.put(target, {"content-type": "application/octet-stream"}, self._producer)

    async def finish(self, stream: Any) -> tuple[int, int]:
        """The status of the response, and the size."""
        response = await stream.await_response(timeout=None)
        return response.status, self._file.tell() if not self._file.closed else self._producer.length


def _resident(name: str) -> int:
    """A size in bytes that Linux knows of this process. Not ru_maxrss, which starts at the size of the process that forked this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    react(transfer, sys.argv[1:])
