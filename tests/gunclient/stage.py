"""What tests of ``twistd gunclient`` share: settings, an output that a test reads, and a daemon whose servers are in memory."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.gunclient import connecting, work
from twisted_gun.gunclient.arguments import ARGUMENTS, Given
from twisted_gun.gunclient.daemon import Daemon
from twisted_gun.gunclient.settings import Settings, make_settings
from twisted_gun.testing import MemoryEndpoint, ScriptedPeer

__all__ = ["DaemonCase", "FakeDestination", "Failing", "WorkCase", "lines_of", "logged_by", "settings_of"]

#: Noon of a day, in seconds since 1970.
NOON = 1_795_953_600.0


def settings_of(**options: Any) -> Settings:
    """The settings by these options of the command line; a list is for one that is repeated, True for a flag."""
    return make_settings({name: Given(value, f"--{name}") for name, value in given(options).items()})


def logged_by(case: SynchronousTestCase) -> list[str]:
    """What is logged from now on, until the end of the test."""
    lines: list[str] = []
    observer: Any = lambda event: lines.append(formatEvent(event))  # noqa: E731 - shorter so
    globalLogPublisher.addObserver(observer)
    case.addCleanup(globalLogPublisher.removeObserver, observer)
    return lines


def given(options: dict[str, Any]) -> dict[str, Any]:
    """`options` by the names that they have on the command line."""
    named = {name.replace("_", "-"): value for name, value in options.items()}
    assert set(named) <= set(ARGUMENTS), named
    return {name: value if isinstance(value, (bool, list)) else str(value) for name, value in named.items()}


def lines_of(data: bytes) -> list[dict[str, Any]]:
    """The lines of `data`, each as its object; all must be whole."""
    assert not data or data.endswith(b"\n"), data[-100:]
    return [json.loads(line) for line in data.splitlines()]


class FakeDestination:
    """
    Takes what the test allows: `room` is how many bytes more, and `error` is raised when there is none, or else it has to be waited for.

    `written` is all that it took.
    """

    def __init__(self, room: int = 2**40, error: OSError | None = None) -> None:
        self.written = b""
        self.room = room
        self.error = error
        self.ready: Callable[[], object] | None = None
        self.reopened = 0
        self.closed: int | None = None
        self.refuse_reopening = False

    def write(self, data: memoryview, at: int) -> int:
        if not self.room and self.error is not None:
            raise self.error
        taken = min(len(data), self.room)
        self.room -= taken
        self.written += bytes(data[:taken])
        return taken

    def when_ready(self, call: Callable[[], object]) -> bool:
        self.ready = call
        return True

    def reopen(self, begun: int) -> bool:
        if self.refuse_reopening:  # before anything is taken back
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._cut(begun)
        self.reopened += 1
        return True

    def close(self, begun: int) -> None:
        self._cut(begun)
        self.closed = begun

    def _cut(self, begun: int) -> None:
        self.written = self.written[: len(self.written) - begun]

    def let(self, room: int = 2**40) -> None:
        """Take so many bytes more, and say so."""
        self.room = room
        ready, self.ready = self.ready, None
        if ready is not None:
            ready()


class Failing:
    """Errors of a system, as they are raised."""

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    pipe = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class DaemonCase(SynchronousTestCase):
    """
    A test of a daemon: its clock, its servers and its output are the test's.

    `peers` are the servers of every connection so far, which `make_peer` makes; `left` is the exit status that it wants, if any.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self.make_peer: Callable[[], Any] = ScriptedPeer
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self._new_peer), clock=self.clock)
        self.destination = FakeDestination()
        self.left: list[int] = []
        self.daemons: list[Any] = []
        real = connecting.open_options

        def open_options(settings: Settings) -> dict[str, Any]:
            return {**real(settings), "endpoint": self.endpoint}

        self.patch(connecting, "open_options", open_options)
        self.patch(work, "open_options", open_options)
        self.patch(Daemon, "_open_destination", lambda daemon, lost: self.destination)

    def _new_peer(self) -> Any:
        self.peers.append(self.make_peer())
        return self.peers[-1]

    @property
    def peer(self) -> Any:
        """The server of the latest connection."""
        return self.peers[-1]

    def daemon(self, receiver: Any = None, /, **options: Any) -> Any:
        """A daemon that has been started, with all that follows from it; it is stopped at the end."""
        settings = settings_of(**{"url": "http://a.example/path", **options})
        now = lambda: NOON + self.clock.seconds()  # noqa: E731 - shorter so
        daemon: Any = Daemon(settings, receiver, reactor=self.clock, now=now, leave=self.left.append)
        self.daemons.append(daemon)
        daemon.privilegedStartService()
        daemon.startService()
        self.addCleanup(self.stop, daemon)
        self.advance()
        return daemon

    def stop(self, daemon: Daemon) -> None:
        """Stop it, which leaves nothing behind."""
        if not daemon.running:
            return
        stopped = daemon.stopService()
        for _ in range(40):
            if not stopped.called:
                self.advance(1.0)
        self.successResultOf(stopped)
        self.advance()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for link in self.endpoint.links:
            self.assertTrue(link.client.disconnected)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and all happen that follows."""
        self.clock.advance(seconds)
        for _ in range(4):
            self.clock.advance(0)

    def send(self, data: bytes) -> None:
        """Let the server of the latest connection send this."""
        self.peer.send(data)
        self.advance()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What has been written."""
        return lines_of(self.destination.written)

    @property
    def events(self) -> list[str]:
        """The events of what has been written."""
        return [line["event"] for line in self.lines]


class WorkCase(DaemonCase):
    """A test of work."""

    @property
    def paths(self) -> list[bytes]:
        """What was asked for, on whichever connection."""
        return [request.target for peer in self.peers for request in peer.requests]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines about such events."""
        return [line for line in self.lines if line["event"] == event]

    def block(self) -> None:
        """Let the output take nothing, as a disk that is full."""
        self.destination.room, self.destination.error = 0, Failing.full
