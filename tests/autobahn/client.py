"""
A client of the fuzzing server, which sends back every message: one connection for each case.

It knows nothing of verdicts; how the server is started is not its business either.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from twisted.internet import tcp
from twisted.internet.task import deferLater

import twisted_gun as gun

__all__ = ["Walk", "reads_of"]

#: Seconds that the server may be silent in; it waits some itself in a few cases.
_PATIENCE = 120.0


class Walk:
    """
    All the cases of the server at `host` and `port` for one `agent`.

    It is spoken to in `protocol`, "http" or "http2"; the websockets have the options `ws_opts`.
    """

    def __init__(self, reactor: Any, host: str, port: int, protocol: str, agent: str, ws_opts: dict[str, Any]) -> None:
        self._reactor, self._host, self._port, self._protocol = reactor, host, port, protocol
        self._agent = quote(agent)
        # Among the cases are messages of 16 MiB, and some in 65,536 fragments.
        self._ws_opts = {"compress": True, "max_fragments": 100_000, **ws_opts}

    async def count(self) -> int:
        """How many cases there are. The server may still be starting."""
        for _ in range(200):
            try:
                return int(await self._only_message("/getCaseCount"))
            except gun.UpgradeRefused:  # by what stands before it
                await deferLater(self._reactor, 0.1)
        raise RuntimeError("the fuzzing server did not start")

    async def all(self, count: int, each: Callable[[int], None]) -> None:
        """Go through `count` cases, tell `each` its number, and have the report written."""
        for number in range(1, count + 1):
            each(number)
            await self._echo(f"/runCase?case={number}&agent={self._agent}")
        await self._echo(f"/updateReports?agent={self._agent}")

    async def _only_message(self, path: str) -> str:
        conn, stream = self._open(path, retry=200)
        try:
            await stream.await_upgrade(_PATIENCE)
            event = await stream.await_event(_PATIENCE)
            assert isinstance(event, gun.Ws) and isinstance(event.frame, gun.Text), event
            return event.frame.text
        finally:
            await conn.shutdown()

    async def _echo(self, path: str) -> None:
        conn, stream = self._open(path, retry=0)
        try:
            await stream.await_upgrade(_PATIENCE)
            while True:
                event = await stream.await_event(_PATIENCE)
                assert isinstance(event, gun.Ws), event
                if event.fin:
                    break
                stream.ws_send(event.frame)
        except gun.GunError:
            pass  # most cases are about that; the server judges what we did about it
        await conn.shutdown()

    def _open(self, path: str, retry: int) -> tuple[gun.Connection, gun.Stream]:
        patience: dict[str, Any] = {"retry": retry, "retry_timeout": 0.1, "connect_timeout": _PATIENCE}
        options = {"reactor": self._reactor, "protocols": [self._protocol], "ws_opts": self._ws_opts, **patience}
        conn = gun.open(self._host, self._port, **options)
        return conn, conn.ws_upgrade(path)


@contextmanager
def reads_of(most: int | None) -> Any:
    """Within the block no read of a socket brings more than so many bytes; with None, as many as ever."""
    usual = tcp.Connection.bufferSize
    if most is not None:
        tcp.Connection.bufferSize = most
    try:
        yield
    finally:
        tcp.Connection.bufferSize = usual
