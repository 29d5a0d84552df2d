"""The daemon as a whole: its order of starting and stopping, its standing, signals, and how it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import NOON, DaemonCase, Failing, lines_of, settings_of
from tests.stage import answer, answering
from twisted_gun.exits import Exit
from twisted_gun.gunclient import daemon as module
from twisted_gun.gunclient.daemon import Daemon
from twisted_gun.testing import ScriptedPeer


class LifeTests(DaemonCase):
    """From the first line to the last."""

    def setUp(self) -> None:
        super().setUp()
        self.make_peer = lambda: ScriptedPeer(answering())

    def test_lines(self) -> None:
        """The first line says what runs, the last what there was."""
        daemon = self.daemon(get=["/"], url="http://a.example/?hidden")
        self.stop(daemon)
        first, last = self.lines[0], self.lines[-1]
        self.assertEqual(first.pop("time"), "2026-11-29T12:00:00.000000Z")
        self.assertEqual(
            first, {"event": "start", "version": gun.__version__, "pid": os.getpid(), "url": "http://a.example:80/", "work": "get"}
        )
        del last["time"]
        self.assertEqual(last, {"event": "stop", "events": 3, "errors": 0, "connect_failures": 0})
        self.assertEqual(self.destination.closed, 0)

    def test_again(self) -> None:
        """It may be started again."""
        daemon = self.daemon(get=["/"])
        self.stop(daemon)
        daemon.startService()
        self.advance()
        self.assertEqual(self.events.count("data"), 2)
        self.stop(daemon)
        self.assertEqual((self.events[0], self.events[-1], self.events.count("stop")), ("start", "stop", 2))

    def test_cookies(self) -> None:
        """Cookies are taken, sent, and saved at the end; the next one begins with them."""
        path = self.mktemp()
        self.make_peer = lambda: ScriptedPeer(answering(answer(b"", 200, b"set-cookie: a=1")))
        daemon = self.daemon(get=["/"], every=10, cookies=path)
        self.advance(10.0)
        self.assertEqual([dict(request.headers).get(b"cookie") for request in self.peer.requests], [None, b"a=1"])
        self.stop(daemon)
        self.daemon(get=["/"], cookies=path)
        self.assertEqual(dict(self.peer.requests[0].headers)[b"cookie"], b"a=1")

    def test_output_stuck_at_the_end(self) -> None:
        """An output that takes nothing is waited for as long as ``closing-timeout`` says, and no half of a line is left."""
        daemon = self.daemon(get=["/"], closing_timeout=3)
        self.destination.room, self.destination.error = 5, Failing.full
        stopped = daemon.stopService()
        self.advance()
        self.advance(2.9)
        self.assertNoResult(stopped)
        self.advance(0.2)
        self.successResultOf(stopped)
        lines_of(self.destination.written)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_twice(self) -> None:
        """Who stops it again waits for the same end, and is told of it too."""
        daemon = self.daemon(get=["/"], closing_timeout=3)
        self.destination.room = 0
        first, second = daemon.stopService(), daemon.stopService()
        self.advance()
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.destination.let()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.events.count("stop"), 1)
        self.successResultOf(daemon.stopService())

    def test_part_raises(self) -> None:
        """A receiver whose end fails is logged; all else is done."""

        class Raising(gun.Receiver, Service):
            def stopService(self) -> None:
                Service.stopService(self)
                raise ZeroDivisionError

        daemon = self.daemon(Raising(), output="-", sse=True)
        self.stop(daemon)
        self.assertEqual(self.events[-1], "stop")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nobody_reads(self) -> None:
        """Where the reader of the output has gone, the process ends with the status that shells give for that."""
        daemon = self.daemon(get=["/"], every=10)
        self.destination.room, self.destination.error = 0, Failing.pipe
        self.advance(10.0)
        self.assertEqual(self.left, [141])
        self.stop(daemon)
        self.assertEqual(self.left, [141])

    def test_nobody_reads_the_end(self) -> None:
        """Where it has gone at the end, that changes nothing."""
        daemon = self.daemon(get=["/"])
        self.destination.room, self.destination.error = 0, Failing.pipe
        self.stop(daemon)
        self.assertEqual(self.left, [])

    def test_reopen(self) -> None:
        """It can be told to begin a new file; without an output that is nothing."""
        daemon = self.daemon(get=["/"])
        daemon.reopen()
        self.assertEqual(self.destination.reopened, 1)
        other = Daemon(settings_of(url="ws://a", receiver="x"), gun.Receiver(), reactor=self.clock)
        other.reopen()


class StatusTests(DaemonCase):
    """How it stands."""

    def test_up_and_down(self) -> None:
        """It is up as long as what it is for works, and its output takes lines; before the start and after the end it is down."""
        daemon = self.daemon(get=["/"], url="http://a.example/?hidden")
        well, fields = daemon.status()
        self.assertTrue(well)
        self.assertEqual(fields["url"], "http://a.example:80/")
        self.assertEqual((fields["work"], fields["protocol"], fields["since"], fields["started"]), ("get", "http", NOON, NOON))
        self.destination.room, self.destination.error = 0, Failing.full
        daemon._audience.say("some")
        well, fields = daemon.status()
        self.assertFalse(well)
        self.assertEqual(
            fields["output"], {"failure": "No space left on device", "full": True, "waiting": len(daemon._output._lines[0]), "dropped": 0}
        )
        self.destination.room = 2**20
        self.advance(1.0)
        self.assertTrue(daemon.status()[0])
        self.endpoint.refuse()
        self.peer.abort()
        self.advance()
        well, fields = daemon.status()
        self.assertEqual((well, fields["protocol"]), (False, None))
        self.assertIn("the connection was lost", fields["last_failure"])
        self.clock.pump([0.5] * 4)
        _, fields = daemon.status()
        self.assertIn("refused", fields["last_failure"])
        self.assertGreater(fields["connect_failures"], 0)
        self.endpoint.accept()
        self.clock.pump([1.0] * 10)
        well, fields = daemon.status()
        self.assertEqual((well, fields["last_failure"]), (True, None))
        self.stop(daemon)
        self.assertFalse(daemon.status()[0])

    def test_health(self) -> None:
        """Health is served where that is wanted, from before the start of all else until after its end."""
        reactor = MemoryReactorClock()
        self.clock = reactor
        self.endpoint._clock = reactor
        early = Daemon(settings_of(url="ws://a", health=8081), reactor=reactor)
        early.privilegedStartService()
        self.assertEqual([port for port, *_ in reactor.tcpServers], [8081])
        reactor.tcpServers.clear()
        daemon = self.daemon(get=["/"], health=8080)
        ((port, _, _, interface),) = reactor.tcpServers
        self.assertEqual((port, interface), (8080, "127.0.0.1"))
        self.assertIn(b"gunclient_up 1\n", daemon._metrics())
        self.assertIn(b"gunclient_output_lines_total", daemon._metrics())
        self.stop(daemon)
        self.assertIsNone(daemon.health._listening)

    def test_metrics_of_cookies(self) -> None:
        """The number of cookies is among the metrics, where there are any to be kept."""
        self.assertNotIn(b"gunclient_cookies", self.daemon(get=["/"])._metrics())
        self.stop(self.daemons[0])
        self.assertIn(b"gunclient_cookies 0\n", self.daemon(get=["/"], cookies=self.mktemp())._metrics())


class SignalTests(DaemonCase):
    """SIGHUP."""

    def setUp(self) -> None:
        super().setUp()
        self.handlers: list[Any] = []
        self.patch(signal, "signal", self.taken)
        self.clock.callFromThread = lambda call: self.clock.callLater(0, call)  # type: ignore[attr-defined]

    def taken(self, number: int, handler: Any) -> Any:
        self.assertEqual(number, signal.SIGHUP)
        self.handlers.append(handler)
        return signal.SIG_IGN

    def test_reopens(self) -> None:
        """It begins a new file of output, in a turn of the reactor; at the end it is left to whoever had it before."""
        daemon = self.daemon(get=["/"])
        self.handlers[0](signal.SIGHUP, None)
        self.assertEqual(self.destination.reopened, 0)
        self.advance()
        self.assertEqual(self.destination.reopened, 1)
        self.stop(daemon)
        self.assertEqual(self.handlers[1:], [signal.SIG_IGN])

    def test_not_the_main_thread(self) -> None:
        """In another thread it is somebody else's."""

        def refused(number: int, handler: Any) -> None:
            raise ValueError("signal only works in main thread")

        self.patch(signal, "signal", refused)
        self.stop(self.daemon(get=["/"]))


class RepeatTests(DaemonCase):
    """A process that is told to end once more."""

    def test_hurry(self) -> None:
        """What is under way is waited for no longer; the last line is written all the same."""
        daemon = self.daemon(get=["/"])
        stopped = daemon.stopService()
        self.advance(1.0)
        self.assertNoResult(stopped)
        daemon.hurry()
        self.advance()
        self.successResultOf(stopped)
        self.assertEqual(self.events[-1], "stop")

    def test_hurry_event_stream(self) -> None:
        """An event stream is not waited for in any case."""
        daemon = self.daemon(sse=True)
        daemon.hurry()
        self.stop(daemon)
        self.assertEqual(self.events[-1], "stop")

    def test_hurry_output(self) -> None:
        """An output that takes nothing is waited for no longer either."""
        self.make_peer = lambda: ScriptedPeer(answering())
        daemon = self.daemon(get=["/"])
        self.destination.room, self.destination.error = 5, Failing.full
        stopped = daemon.stopService()
        self.advance(1.0)
        self.assertNoResult(stopped)
        daemon.hurry()
        self.successResultOf(stopped)
        lines_of(self.destination.written)

    def test_signals(self) -> None:
        """While the process ends another signal means that, unless it comes at the same time; before it is the reactor's."""
        reactor: Any = MemoryReactorClock()
        reactor.callFromThread = lambda call: call()
        handlers: dict[int, Any] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        told: list[float] = []
        repeats = module._Repeats(reactor, lambda: told.append(reactor.seconds()))
        repeats.begin()
        self.assertEqual(handlers, {})
        for call, arguments, keywords in reactor.triggers["before"]["shutdown"]:
            call(*arguments, **keywords)
        self.assertEqual(set(handlers), {signal.SIGINT, signal.SIGTERM})
        handlers[signal.SIGTERM](signal.SIGTERM, None)
        reactor.advance(1.0)
        handlers[signal.SIGINT](signal.SIGINT, None)
        self.assertEqual(told, [1.0])
        repeats.end()


class LeaveTests(SynchronousTestCase):
    """How the process ends."""

    class Reactor(Clock):
        """A clock that can be stopped, once."""

        stopped = 0

        def stop(self) -> None:
            """Stop it."""
            if self.stopped:
                raise ReactorNotRunning
            self.stopped += 1

    def setUp(self) -> None:
        self.reactor = self.Reactor()
        self.patch(module, "_at_exit", module._AtExit())

    def test_well(self) -> None:
        """Where all is well the reactor is stopped, and no more; twice is no mistake."""
        module._leave(self.reactor, 0)
        module._leave(self.reactor, 0)
        self.assertEqual(self.reactor.stopped, 0)
        self.reactor.advance(0)
        module._at_exit()
        self.assertEqual((self.reactor.stopped, module._at_exit.status), (1, 0))

    def test_status(self) -> None:
        """Else the process ends with the status, when all else has been done."""
        module._leave(self.reactor, Exit.FAILED)
        self.reactor.advance(0)
        self.assertEqual((self.reactor.stopped, module._at_exit.status), (1, 1))
        module._leave(self.reactor, Exit.OK)
        ended: list[int] = []
        self.patch(module, "_exit", ended.append)
        module._at_exit()
        self.assertEqual(ended, [1])

    def test_exit(self) -> None:
        """A process that ends so has written what was printed, and done what others do at the end, and has the status."""
        code = "from twisted_gun.gunclient import daemon; import atexit; atexit.register(print, 'said'); daemon._at_exit.status = 7"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=_environment())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "said\n", ""))


def _environment() -> dict[str, str]:
    # What was printed has to wait in a buffer.
    return {**os.environ, "PYTHONUNBUFFERED": "", "PYTHONPATH": os.pathsep.join(entry for entry in map(os.path.abspath, sys.path))}
