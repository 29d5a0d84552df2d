"""
A connection as a Twisted service: opened when the service starts, kept, and ended in good order when it stops.

How a connection is opened is in `opening.py`, how it lives in `net/factory.py`; here is only when. What is served knows nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.logger import Logger

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError, OptionError, TimedOut
from twisted_gun.headers import check_host
from twisted_gun.net.factory import backoff
from twisted_gun.opening import check_path, open_unix, place_of_url
from twisted_gun.opening import open as dial
from twisted_gun.options import Options, make_options
from twisted_gun.options.checks import check_port
from twisted_gun.receivers import as_receiver, check_timeout
from twisted_gun.waiters import Waiters

__all__ = ["GunClientService"]

#: Options that say when to dial again: who gives one of them has decided.
_OF_RETRIES = frozenset({"retry", "retry_fun", "retry_timeout"})


class GunClientService(MultiService):
    """
    A service that has a connection as long as it runs: to the origin of `url`, to `host` and `port`, or to the UNIX socket at `path`.

    `owner` is told of each connection, `reply_to` of its streams, and `receiver` of both; one that is itself a service without a parent
    becomes a child of this one. Children are started before the connection is opened, and stopped when it has ended. Options are those of
    `twisted_gun.open`, as keywords or as `options`, which raise `OptionError` and `InvalidRequest` here already. Without any that says
    when to dial again it never gives up, by `backoff`. It may be started again as often as one likes, each time with a new connection.
    """

    #: The connection, as long as the service runs; None before and after.
    connection: Connection | None = None

    def __init__(
        self,
        url: str | None = None,
        *,
        host: Any = None,
        port: int | None = None,
        path: str | None = None,
        receiver: Any = None,
        owner: Any = None,
        reply_to: Any = None,
        reactor: Any = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        MultiService.__init__(self)
        if receiver is not None and (owner is not None or reply_to is not None):
            raise OptionError("receiver", "to be left out where owner or reply_to is given: it stands for both")
        self._reactor = reactor
        self._place, given = _place(url, host, port, path, keywords)
        self._options = _settled(options, {**given, **keywords}, self._place[-1])
        told = (receiver, receiver) if receiver is not None else (owner, reply_to)
        names = ("receiver", "receiver") if receiver is not None else ("owner", "reply_to")
        self._owner, self._reply_to = map(as_receiver, names, told)
        self._opened: Waiters[Connection] = Waiters()  # those who wait for a start
        self._leaving: list[Connection] = []  # those that were told to end
        self._children_run = False
        for each in told:
            if IService.providedBy(each) and each.parent is None:
                each.setServiceParent(self)

    def __repr__(self) -> str:
        where = self._place[0] if len(self._place) == 1 else f"{self._place[0]}:{self._place[1]}"
        return f"<GunClientService {where}{' running' if self.running else ''}>"

    def when_up(self, timeout: float | None = None) -> Deferred[Connection]:
        """
        The connection, once it is up; a service that does not run is waited for.

        Fails with `TimedOut` after `timeout` seconds, or with why the connection ended. Cancelling only ends the waiting.
        """
        check_timeout(timeout)
        if self.connection is not None:
            return _up(self.connection, timeout)
        up = self._opened.wait().addCallback(_up, None)
        if timeout is not None:
            up.addTimeout(timeout, self._clock(), _too_late)
        return up

    # IService.

    def startService(self) -> None:
        """Start the children, then open the connection."""
        if self.running:
            return
        try:
            if self._children_run:  # they were not stopped yet
                Service.startService(self)
            else:
                self._children_run = True
                MultiService.startService(self)
            connection = self.connection = self._open()
        except Exception:  # of a child, too
            Service.stopService(self)
            self._stop_children().addErrback(lambda failure: _log.failure("a child was not stopped well", failure))
            raise
        connection.when_terminated().addCallback(self._ended, connection)
        self._opened.fire(connection)

    def stopService(self) -> Deferred[None]:
        """Shut the connection down, then stop the children; fires when all of that is done, ``closing_timeout`` after at the latest."""
        Service.stopService(self)
        if self.connection is not None:
            self._leaving.append(self.connection)
            self.connection = None
        return gatherResults([each.shutdown() for each in self._leaving]).addCallback(self._left)

    def _left(self, _: object) -> Any:
        self._leaving = [each for each in self._leaving if each.info().state_name != "terminated"]
        if self.running or not self._children_run:  # it was started again meanwhile, or there is nothing left to do
            return None
        return self._stop_children()

    def _stop_children(self) -> Deferred[None]:
        self._children_run = False
        stopped = [maybeDeferred(each.stopService) for each in reversed(self.services) if each.running]
        return DeferredList(stopped).addCallback(lambda _: None)

    # The connection.

    def _clock(self) -> Any:
        """The reactor; one that was not given is taken only now, for whoever runs this may still have had to choose it."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    def _open(self) -> Connection:
        told = {"owner": self._owner, "reply_to": self._reply_to, "reactor": self._clock(), "options": self._options}
        return open_unix(*self._place, **told) if len(self._place) == 1 else dial(*self._place, **told)

    def _ended(self, reason: GunError | None, connection: Connection) -> None:
        if connection is self.connection:
            _log.error(
                "{service}: the connection has ended, and is not opened again: {reason}", service=self, reason=reason or "in good order"
            )


def _place(url: Any, host: Any, port: Any, path: Any, options: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What is given to `open` or `open_unix`, and the options that follow from it."""
    given = [url is not None, host is not None or port is not None, path is not None]
    if sum(given) != 1:
        raise OptionError("url", "one of: a url, host and port, the path of a UNIX socket")
    if path is not None:
        return (check_path(path),), {}
    if url is None:
        return (check_host(host), check_port(port)), {}
    host, port, transport = place_of_url(url, options)
    return (check_host(host), port), {"transport": transport}


def _settled(options: Options | None, keywords: Mapping[str, Any], port: Any) -> Options:
    """The options of the connection, checked; raises `OptionError`."""
    number = port if isinstance(port, int) else 80
    made = make_options(options, keywords, number)
    standing = Options()
    decided = _OF_RETRIES & set(keywords) or any(getattr(made, name) != getattr(standing, name) for name in _OF_RETRIES)
    if not decided:
        made = make_options(made, {"retry_fun": backoff()}, number)
    made.settled(number)  # raises where they do not fit together
    return made


def _up(connection: Connection, timeout: float | None) -> Deferred[Connection]:
    return connection.await_up(timeout).addCallback(lambda _: connection)


def _too_late(_: object, seconds: float) -> NoReturn:
    raise TimedOut("up", seconds, f"the connection was not up within {seconds} seconds (the service was not running)")


_log = Logger()
