"""
The command line: ``python -m twisted_gun``, also called ``twisted-gun``, with the commands ``get``, ``ws``, ``sse`` and ``demo``.

It knows the process's streams and its exit; what may be typed is in `command/arguments.py`, and the work in `fetch.py`, `command/talk.py`,
`command/follow.py` and `demo`.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred

from twisted_gun import demo
from twisted_gun.command.arguments import parse
from twisted_gun.command.follow import Follow, follow
from twisted_gun.command.talk import Talk, talk
from twisted_gun.command.telling import Teller
from twisted_gun.exits import Exit, Unwritable
from twisted_gun.fetch import Order, fetch

__all__ = ["main"]

#: Seconds within which clearing away is over; whoever interrupts again after that means it.
_PATIENCE = 2.0

_Work = Callable[[Any, dict[str, Any]], Coroutine[Any, Any, int]]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Do what `argv` says, by default the process's arguments, and exit."""
    _stand_in()
    try:
        command, arguments = parse(argv)
    except OSError as error:  # the help cannot be written
        sys.exit(_unwritable(error))
    try:
        task.react(_until_interrupted, (_WORK[command], arguments))
    except KeyboardInterrupt:  # before the reactor took over the signal
        sys.exit(Exit.INTERRUPTED)


def _set_signals(action: signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)


def _stand_in() -> None:
    """
    Where a stream was closed before Python was started there is another: one that cannot be written to, and none that anybody reads.

    Otherwise its number would be that of the next thing that is opened, a connection perhaps.
    """
    if sys.stdin is None:  # which who reads it is told as it is
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), write_through=True)
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False), write_through=True)


def _unwritable(error: OSError) -> int:
    return Teller(sys.stderr).explain(Unwritable("the standard output", error))


async def _until_interrupted(reactor: Any, work: _Work, arguments: dict[str, Any]) -> None:
    working = Deferred.fromCoroutine(work(reactor, arguments))
    ended: Deferred[None] = Deferred()

    def interrupt() -> Deferred[None]:
        # A signal stops the reactor, but not before the work has cleared away what it leaves half done. Another one, which may come at
        # the same time, cannot make it faster, unless it takes long.
        _set_signals(signal.SIG_IGN)
        reactor.callLater(_PATIENCE, _set_signals, signal.SIG_DFL)
        working.cancel()
        return ended

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    try:
        status = await working
    except CancelledError:
        status = Exit.INTERRUPTED
    finally:
        ended.callback(None)
    if status == Exit.PIPE_CLOSED:
        # Python would complain of what it cannot flush at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(int(status))


async def _get(reactor: Any, arguments: dict[str, Any]) -> int:
    return await fetch(reactor, Order(**arguments), sys.stdout.buffer, sys.stderr)


async def _ws(reactor: Any, arguments: dict[str, Any]) -> int:
    stdin: Any = sys.stdin  # None where it was closed before Python was started
    return await talk(reactor, Talk(**arguments), stdin and stdin.fileno(), sys.stdout.buffer, sys.stderr)


async def _sse(reactor: Any, arguments: dict[str, Any]) -> int:
    return await follow(reactor, Follow(**arguments), sys.stdout.buffer, sys.stderr)


async def _demo(reactor: Any, arguments: dict[str, Any]) -> int:
    try:
        return await demo.run(reactor, sys.stdout)
    except OSError as error:
        return _unwritable(error)


_WORK: Mapping[str, _Work] = {"get": _get, "ws": _ws, "sse": _sse, "demo": _demo}


if __name__ == "__main__":
    main()
