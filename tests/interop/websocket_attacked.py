"""
A client of a websocket server that means it harm: ``websocket_attacked.py URL PROTOCOL OPTIONS READS``; OPTIONS are those of the websocket,
as JSON, and no read brings more than READS bytes, if that is not 0.

It is a process of its own so that its memory is the client's and nobody else's. When the websocket has ended it prints, as JSON, by how
many bytes its resident size was above that of the beginning at its highest, how many bytes were queued for the server at most, how many
messages came and how long they were together, and the error that ended it.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import tcp
from twisted.internet.task import LoopingCall, react

import twisted_gun as gun
from twisted_gun.net.straight import unsent


class Queue:
    """Watches how much is queued in the client's transport."""

    def __init__(self, reactor: Any) -> None:
        self.transport = next(each for each in reactor.getReaders() if isinstance(each, tcp.Client))
        # The kernel is to queue little, so that it is seen what we do.
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.most = 0
        self.looking = LoopingCall(self.look)
        self.looking.clock = reactor
        self.looking.start(0.002)

    def look(self) -> None:
        """Look now."""
        self.most = max(self.most, unsent(self.transport) or 0)


async def attacked(reactor: Any, url: str, protocol: str, ws_opts: dict[str, Any]) -> dict[str, Any]:
    """Open a websocket and read it to its end."""
    conn = gun.open_url(url, retry=0, protocols=[protocol])
    stream = conn.ws_upgrade(urlsplit(url).path, ws_opts=ws_opts)
    await stream.await_upgrade()
    queue = Queue(reactor)
    Path("/proc/self/clear_refs").write_text("5")  # the highest size begins anew
    before, begun = _resident("VmRSS"), time.monotonic()
    messages, size, error = 0, 0, None
    stream.ws_send("ready")
    try:
        async for event in stream:
            queue.look()
            if isinstance(event, gun.Ws) and isinstance(event.frame, (gun.Text, gun.Binary)):
                messages += 1
                size += len(event.frame.text if isinstance(event.frame, gun.Text) else event.frame.data)
            if "flow" in ws_opts:
                stream.update_flow(1)
    except gun.GunError as problem:
        error = [type(problem).__name__, str(problem)]
    cost = {"grown": _resident("VmHWM") - before, "before": before, "seconds": time.monotonic() - begun}
    queue.looking.stop()
    await conn.shutdown()
    return {**cost, "queued": queue.most, "messages": messages, "size": size, "error": error}


async def main(reactor: Any, url: str, protocol: str, options: str, reads: str) -> None:
    """What the module says."""
    if int(reads):
        tcp.Connection.bufferSize = int(reads)
    sys.stdout.write(json.dumps(await attacked(reactor, url, protocol, json.loads(options))))


def _resident(name: str) -> int:
    """A size in bytes that Linux knows of this process. Not ru_maxrss, which starts at the size of the process that forked this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    react(main, sys.argv[1:])
