"""
``twistd gunclient`` as a service: its parts put together, started in one order, and stopped in the other.

Signals, and the status that the process ends with, are here, too.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from twisted_gun import __version__
from twisted_gun.errors import GunError
from twisted_gun.exits import Exit
from twisted_gun.gunclient.audience import Audience
from twisted_gun.gunclient.cookie_file import CookieFile
from twisted_gun.gunclient.counts import Counts, metrics
from twisted_gun.gunclient.event_id_file import EventIdFile, Progress
from twisted_gun.gunclient.files import Destination, LineFile, StandardOutput
from twisted_gun.gunclient.health import Health, HealthService
from twisted_gun.gunclient.output import Output
from twisted_gun.gunclient.records import Records
from twisted_gun.gunclient.settings import Settings
from twisted_gun.gunclient.work import EventStream, make_work

__all__ = ["Daemon"]


class Daemon(Service):
    """
    A client that runs for long, as its `settings` say; `receiver` is one of the user's own, or None.

    `leave` ends the process with an exit status, `now` gives the seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        receiver: Any = None,
        *,
        reactor: Any = None,
        now: Callable[[], float] = time.time,
        leave: Callable[[int], object] | None = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._settings = settings
        self._reactor = reactor
        self._leave = leave or (lambda status: _leave(reactor, status))
        self._counts = Counts(settings.work, now)
        self._records = Records(now, data=not settings.no_data)
        self._audience = Audience(self._counts, self._records, receiver)
        self._output: Output | None = None
        self._patience = settings.closing_timeout
        self._cookies = None if settings.cookies is None else CookieFile(settings.cookies, settings.cookies_every, reactor)
        store = None if self._cookies is None else self._cookies.store
        path = settings.last_event_id
        self._event_id = None if path is None else EventIdFile(path, reactor, self._progress)
        self._work = make_work(settings, self._audience, receiver, store, self._event_id, reactor, self._finished)
        health = Health(self.status, self._metrics)
        #: Where health is told; None where it is not.
        self.health = None if settings.health is None else HealthService(health, settings.health, reactor)
        self._hangups = _Hangups(reactor, self.reopen)
        self._stopping: list[Deferred[None]] = []  # who waits for the end
        self._repeats = _Repeats(reactor, self.hurry)

    # IService.

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        if self.health is not None:
            self.health.privilegedStartService()

    def startService(self) -> None:
        Service.startService(self)
        self._open_output()
        self._hangups.begin()
        self._repeats.begin()
        settings = self._settings
        self._audience.say("start", version=__version__, pid=os.getpid(), url=str(settings.address), work=settings.work)
        for part in (self.health, self._cookies, self._event_id, self._work):
            if part is not None:
                part.startService()

    def stopService(self) -> Deferred[None]:
        """End the work, write what is left, save what is kept in files; fires when all of it is done."""
        self._patience = self._settings.closing_timeout
        Service.stopService(self)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if len(self._stopping) == 1:  # otherwise that is being done
            Deferred.fromCoroutine(self._stop()).addBoth(self._stopped)
        return stopped

    def _stopped(self, result: Any) -> None:
        waiting, self._stopping = self._stopping, []
        for each in waiting:
            each.callback(result)

    async def _stop(self) -> None:
        for part in (self._work, self._cookies):
            if part is not None:
                await maybeDeferred(part.stopService).addErrback(_not_stopped, part)
        self._audience.say("stop", **self._sums())
        if self._output is not None:
            await self._output.close(self._patience)
        if self._event_id is not None:  # now that its lines are written, or never will be
            self._event_id.stopService()
        if self.health is not None:
            await maybeDeferred(self.health.stopService)
        self._hangups.end()
        self._repeats.end()

    def hurry(self) -> None:
        """End at once what is ending."""
        _log.warn("told to end once more: nothing is waited for any longer")
        self._patience = 0.0
        self._work.hurry()
        if self._output is not None and self._output.closing:
            self._output.abandon()

    def reopen(self) -> None:
        """Begin a new file of output, where the old one was moved away."""
        if self._output is not None:
            self._output.reopen()

    # The output.

    def _open_output(self) -> None:
        if self._settings.output is None:
            return
        self._output = self._audience.output = Output(
            self._reactor,
            self._open_destination,
            changed=self._audience.output_changed,
            closed=self._output_closed,
            dropped_line=lambda count: self._records.line("dropped", lines=count),
        )

    def _open_destination(self, lost: Callable[[OSError], object]) -> Destination:
        settings = self._settings
        assert settings.output is not None
        if settings.output == "-":
            return StandardOutput(1, self._reactor, lost)
        return LineFile(settings.output, settings.rotate_size, settings.rotate_keep)

    def _progress(self) -> Progress:
        assert isinstance(self._work, EventStream)
        identifier, output = self._work.last_event_id, self._output
        return Progress(identifier) if output is None else Progress(identifier, output.taken, output.counts.lines)

    def _output_closed(self) -> None:
        """Whoever read it has gone: nothing that is still done would be of use."""
        if self.running:
            self._leave(Exit.PIPE_CLOSED)

    # How it stands.

    def status(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and what there is to know."""
        counts, output = self._counts, self._output
        well = counts.up and bool(self.running) and (output is None or output.failure is None)
        fields: dict[str, Any] = {
            "work": counts.work,
            "url": str(self._settings.address),
            "protocol": counts.protocol,
            "since": counts.since,
            "started": counts.started,
            "last_event": counts.last_event,
            "last_failure": counts.last_failure,
            "version": __version__,
            **self._sums(),
        }
        if output is not None:
            failure = None if output.failure is None else output.failure.strerror
            fields["output"] = {"failure": failure, "full": output.full, "waiting": output.waiting, "dropped": output.counts.dropped}
        return well, fields

    def _sums(self) -> dict[str, int]:
        counts = self._counts
        return {"events": counts.events.total(), "errors": counts.errors.total(), "connect_failures": counts.failures.total()}

    def _metrics(self) -> bytes:
        return metrics(self._counts, self._output, None if self._cookies is None else len(self._cookies.store))

    def _finished(self, reason: GunError | None) -> None:
        """There is nothing more to do."""
        if reason is None:
            _log.info("there is nothing more to do")
        else:
            _log.error("given up: {reason}", reason=reason)
        self._audience.say("finished", reason=None if reason is None else str(reason))
        self._leave(Exit.OK if reason is None else Exit.FAILED)


def _not_stopped(failure: Any, part: object) -> None:
    _log.failure("{part} was not stopped well", failure, part=part)


class _Hangups:
    """Calls `hung_up` where the process is sent SIGHUP, as whoever rotates log files does."""

    def __init__(self, reactor: Any, hung_up: Callable[[], object]) -> None:
        self._reactor = reactor
        self._hung_up = hung_up
        self._before: Any = None
        self._began = False

    def begin(self) -> None:
        """Take the signal."""
        try:
            self._before = signal.signal(signal.SIGHUP, self._signalled)
            self._began = True
        except ValueError:  # not the main thread: then it is somebody else's
            _log.debug("SIGHUP is not taken, for this is not the main thread")

    def end(self) -> None:
        """Leave it to whoever had it before."""
        if self._began:
            self._began = False
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._before is None else self._before)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._hung_up)


#: Seconds in which a signal is the same one: some senders signal a process and its group.
_SAME_SIGNAL = 1.0


class _Repeats:
    """Calls `again` where the process, while it ends, is told to end once more: the reactor would only complain of that."""

    def __init__(self, reactor: Any, again: Callable[[], object]) -> None:
        self._reactor = reactor
        self._again = again
        self._trigger: Any = None
        self._since = 0.0

    def begin(self) -> None:
        """Look out for the end of the process."""
        if IReactorCore.providedBy(self._reactor):
            self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._ending)

    def end(self) -> None:
        """Look out no more."""
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)

    def _ending(self) -> None:
        self._trigger = None
        self._since = self._reactor.seconds()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not the main thread
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._reactor.seconds() - self._since >= _SAME_SIGNAL:
            self._reactor.callFromThread(self._again)


def _leave(reactor: Any, status: int) -> None:
    """Stop the reactor, in good order; then the process ends with `status`, for which twistd has no other way."""

    def stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:  # it is being stopped already
            pass

    _at_exit.status = int(status) or _at_exit.status
    reactor.callLater(0, stop)


class _AtExit:
    """Ends the process with `status`, unless that is 0, when all else has been done that is to be done then."""

    status = 0

    def __call__(self) -> None:
        if self.status:
            _exit(self.status)


_at_exit = _AtExit()
# What is registered first is called last: a receiver's functions, say, are called before it.
atexit.register(_at_exit)


def _exit(status: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed
            pass
    os._exit(status)


_log = Logger()
