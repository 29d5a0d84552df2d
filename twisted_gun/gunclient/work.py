"""
What a client does on its connection: gets paths, keeps a websocket, follows an event stream, or leaves all of it to a receiver.

Each is a service. When to ask again is decided here; how a connection comes back is the connection's, or the event source's, own business.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twisted_gun.connection import Connection
from twisted_gun.errors import ConnectFailed, GunError, LimitReached, UpgradeRefused
from twisted_gun.event_source import EventSource, EventSourceFailed
from twisted_gun.events import Error, Response, Upgrade
from twisted_gun.gunclient.audience import Attempts, Audience
from twisted_gun.gunclient.connecting import event_source_options, first_wait, headers_of, open_options, patience, place_of
from twisted_gun.gunclient.event_id_file import EventIdFile
from twisted_gun.gunclient.patience import longest_wait
from twisted_gun.gunclient.settings import Settings
from twisted_gun.net.timer import Deadlines
from twisted_gun.service import GunClientService
from twisted_gun.stream import Stream

__all__ = ["Finished", "make_work"]

#: A websocket that was open for so long was no failure.
_STEADY_SECONDS = 10.0

#: Called when there is nothing more to do: with why, or with None where that is well.
Finished = Callable[["GunError | None"], object]


def make_work(
    settings: Settings, audience: Audience, receiver: Any, cookies: Any, event_id: Any, reactor: Any, finished: Finished
) -> _Connected | EventStream:
    """The work that `settings` ask for; a `receiver` that is a service is started and stopped with it."""
    shared = {"cookie_store": cookies, "event_handler": Attempts(audience.counts)}
    if settings.work == "sse":
        return EventStream(settings, audience, receiver, shared, event_id, reactor, finished)
    return _Connected(settings, audience, receiver, shared, reactor, finished)


class _Connected(GunClientService):
    """The work that has a connection of its own."""

    def __init__(self, settings: Settings, audience: Audience, receiver: Any, shared: Any, reactor: Any, finished: Finished) -> None:
        self._finished = finished
        self._errand: Gets | Websocket | None = None
        if settings.work == "get":
            self._errand = Gets(self, settings, audience, reactor)
        elif settings.work == "ws":
            self._errand = Websocket(self, settings, audience, reactor)
        self._audience = audience
        self._gave_up: ConnectFailed | None = None
        self._patience = patience(settings, self._give_up)
        options = {**open_options(settings), **shared, "on_up": self._went_up}
        if self._patience is not None:
            options["retry_fun"] = self._patience
        GunClientService.__init__(self, **place_of(settings), receiver=audience, reactor=reactor, **options)
        if IService.providedBy(receiver):
            receiver.setServiceParent(self)

    def startService(self) -> None:
        self._gave_up = None
        if self._patience is not None and not self.running:
            self._patience.begin()
        GunClientService.startService(self)
        if self._errand is not None:
            self._errand.begin()

    def stopService(self) -> Deferred[None]:
        if self._errand is not None:
            self._errand.end()
        return GunClientService.stopService(self)

    def _went_up(self, connection: Connection) -> None:
        if self._patience is not None:
            self._patience.up()
        if self._errand is not None:
            self._errand.up(connection)

    def _give_up(self, failed: int) -> None:
        """Enough attempts have failed; the connection, which asks whether to go on, is ended after the answer."""
        self._gave_up = ConnectFailed(
            f"after {failed} failure{'s' if failed > 1 else ''} in a row (--retry), the last of them: {self._audience.counts.last_failure}"
        )
        self._clock().callLater(0, self._close, self.connection, self._gave_up)

    def _close(self, connection: Connection, reason: ConnectFailed) -> None:
        if connection is self.connection:
            try:
                self._audience.tell(Error(connection=connection, stream=None, reason=reason))
            finally:  # the user's receiver may raise
                connection.close()

    def hurry(self) -> None:
        """Nothing that is under way is waited for any longer."""
        for each in list(self._leaving):
            each.close()

    def _ended(self, reason: GunError | None, connection: Connection) -> None:
        # Not the service's own: who is told of the end here says why, once.
        if connection is self.connection:
            self._finished(self._gave_up or reason)


class Gets:
    """Gets each path, one after the other, then waits until the next round is due; rounds that are late by then are left out."""

    def __init__(self, service: GunClientService, settings: Settings, audience: Audience, reactor: Any) -> None:
        self._service = service
        self._settings = settings
        self._audience = audience
        self._headers = headers_of(settings)
        self._reactor = reactor
        self._rounds: LoopingCall | None = None

    def begin(self) -> None:
        """Begin with the first round."""
        self._rounds = LoopingCall(self._round)
        self._rounds.clock = self._reactor
        self._rounds.start(self._settings.every)

    def end(self) -> None:
        """Begin no more; what is under way is the connection's to finish."""
        rounds, self._rounds = self._rounds, None
        if rounds is not None and rounds.running:
            rounds.stop()

    def up(self, connection: Connection) -> None:
        """The connection is up; the requests know that themselves."""

    def _round(self) -> Deferred[None]:
        # Whatever goes wrong, the next round is made: nobody looks whether there are any.
        return Deferred.fromCoroutine(self._get_all()).addErrback(lambda failure: _log.failure("a round of requests failed", failure))

    async def _get_all(self) -> None:
        if self._audience.full:  # no content could be held back of a response that has none
            self._audience.counts.skipped += 1
            return
        for path in self._settings.get:
            connection = self._service.connection
            if connection is not None:
                await self._get(connection, path)

    async def _get(self, connection: Connection, path: str) -> None:
        """Get `path`; returns when the answer has ended, well or not."""
        ended: Deferred[None] = Deferred()
        stream: Stream | None = None

        def told(event: Any) -> None:
            over = True
            try:
                self._audience.tell(event)
                over = event.fin
            finally:  # where the user's receiver raises, its stream ends
                if over and event.stream is stream and not ended.called:
                    ended.callback(None)

        try:
            stream = connection.get(path, self._headers, reply_to=told)
        except GunError as error:  # the connection is about to end
            _log.warn("{path} was not asked for: {reason}", path=path.partition("?")[0], reason=error)
            return
        self._audience.requested(stream, "GET", path)
        if not stream.ended:
            await ended


class Websocket:
    """
    Keeps one websocket on the connection: asked for whenever that is up, and again when it has ended or was refused.

    After one that was open for ten seconds it is asked for at once; else after a wait that grows, and after a refusal after ``every``.
    """

    def __init__(self, service: GunClientService, settings: Settings, audience: Audience, reactor: Any) -> None:
        self._service = service
        self._settings = settings
        self._audience = audience
        self._headers = headers_of(settings)
        self._deadlines = Deadlines(reactor)
        self._stream: Stream | None = None
        self._opened_at: float | None = None
        self._failures = 0  # in a row
        self._not_before = 0.0

    def begin(self) -> None:
        """There is nothing to do before the connection is up."""
        self._stream, self._failures, self._not_before = None, 0, 0.0

    def end(self) -> None:
        """Ask no more; an open websocket is the connection's to close."""
        self._deadlines.stop()

    def up(self, connection: Connection) -> None:
        """The connection is up."""
        self._ask_soon()

    def _ask_soon(self) -> None:
        self._deadlines.set_at("ask", max(self._deadlines.now(), self._not_before), self._ask)

    def _ask(self) -> None:
        connection = self._service.connection
        if connection is None or self._stream is not None or connection.info().state_name != "connected":
            return  # when it is up again there will be another call
        self._opened_at = None
        path = self._settings.address.path
        try:
            stream = self._stream = connection.ws_upgrade(path, self._headers, reply_to=self._told)
        except GunError as error:
            _log.warn("no websocket: {reason}", reason=error)
            self._over(refused=True)
            return
        self._audience.requested(stream, "GET", path)

    def _told(self, event: Any) -> None:
        followed = event.stream is self._stream
        try:
            self._audience.tell(event)
        except Exception:  # of the user's receiver: its stream ends
            if followed:
                self._over()
            raise
        if followed:
            self._follow(event)

    def _follow(self, event: Any) -> None:
        if type(event) is Upgrade:
            self._opened_at = self._deadlines.now()
            if self._settings.send and event.stream.ws_open:
                event.stream.ws_send(list(self._settings.send))
        elif type(event) is Response:
            self._over(refused=True)
            if not event.fin:
                event.stream.cancel()
        elif event.fin:
            self._over(refused=type(event) is Error and isinstance(event.reason, UpgradeRefused))

    def _over(self, refused: bool = False) -> None:
        """It has ended: when it is asked for again is decided now, whatever becomes of the connection."""
        now, opened = self._deadlines.now(), self._opened_at
        self._stream = self._opened_at = None
        steady = opened is not None and now - opened >= _STEADY_SECONDS
        self._failures = 0 if steady else self._failures + 1
        self._not_before = now + (self._settings.every if refused else self._wait())
        if self._service.running:
            self._ask_soon()

    def _wait(self) -> float:
        if not self._failures:
            return 0.0
        return random.uniform(0.0, longest_wait(self._failures, first_wait(self._settings), self._settings.retry_longest))


class EventStream(Service):
    """Follows the event stream at the URL; one that has ended for good is asked for again after ``every``, but not after a 204."""

    def __init__(
        self, settings: Settings, audience: Audience, receiver: Any, shared: Any, event_id: Any, reactor: Any, finished: Finished
    ) -> None:
        self._settings = settings
        self._audience = audience
        self._receiver = receiver if IService.providedBy(receiver) else None
        self._shared = shared
        self._reactor = reactor
        self._finished = finished
        self._deadlines = Deadlines(reactor)
        self._source: EventSource | None = None
        self._event_id: EventIdFile | None = event_id
        #: That of the last event that was told.
        self.last_event_id: str = "" if event_id is None else event_id.identifier

    def startService(self) -> None:
        Service.startService(self)
        if self._receiver is not None:
            self._receiver.startService()
        self._ask()

    def stopService(self) -> Deferred[Any]:
        Service.stopService(self)
        self._deadlines.stop()
        source, self._source = self._source, None
        ended: Deferred[Any] = succeed(None)
        if source is not None:
            source.close()
            ended = source.when_closed()
        return ended.addCallback(lambda _: None if self._receiver is None else self._receiver.stopService())

    def hurry(self) -> None:
        """There is nothing that is waited for but a receiver of the user's own."""

    def _ask(self) -> None:
        source = self._source = EventSource(
            self._settings.address.url,
            reactor=self._reactor,
            reply_to=self._told,
            headers=headers_of(self._settings),
            last_event_id=self.last_event_id,
            **event_source_options(self._settings, self._reactor),
            **self._shared,
        )
        source.when_closed().addCallback(self._closed, source)

    def _told(self, event: Any) -> None:
        source = self._source
        try:
            self._audience.tell(event)
        finally:  # the user's receiver may raise
            if source is not None:
                self.last_event_id = source.last_event_id
                if self._event_id is not None:
                    self._event_id.note()

    def _closed(self, reason: GunError | None, source: EventSource) -> None:
        if source is not self._source:
            return
        if reason is not None and (self._settings.retry is None or isinstance(reason, (EventSourceFailed, LimitReached))):
            _log.error("{source}: {reason}", source=source, reason=reason)
            self._deadlines.set("again", self._settings.every, self._ask)
        else:
            self._finished(reason)


_log = Logger()
