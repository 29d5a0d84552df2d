"""
``twistd gunclient``: its command line, and the service that it starts. Twisted's plugin names this module.

What the options mean is in `gunclient/`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from inspect import isclass
from typing import IO, Any, ClassVar

import twisted
from twisted.application.service import IService
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python import usage
from twisted.python.reflect import namedAny

from twisted_gun.errors import GunError, OptionError
from twisted_gun.gunclient.arguments import ARGUMENTS, Given
from twisted_gun.gunclient.connecting import check_connection, named
from twisted_gun.gunclient.cookie_file import CookieFile
from twisted_gun.gunclient.daemon import Daemon
from twisted_gun.gunclient.event_id_file import EventIdFile, Progress
from twisted_gun.gunclient.health import LOOPBACK
from twisted_gun.gunclient.settings import SettingError, Settings, make_settings
from twisted_gun.interfaces import IReceiver
from twisted_gun.receivers import as_receiver

__all__ = ["Options", "log_to_stderr", "makeService"]

#: Before Twisted 26.10 (its #12656) twistd told of bad usage, and ended with status 0.
_EXITS = tuple(map(int, twisted.__version__.split(".")[:2])) >= (26, 10)


class Options(usage.Options):
    """The command line; once it is parsed, `settings` are what it asks for, and `receiver` is the user's own, or what makes it."""

    synopsis = "[options] [URL]"
    longdesc = """\
Keeps a connection, and does something on it for as long as it runs: gets paths again and again, follows server-sent events, keeps a
websocket, or leaves all to a receiver of yours. What happens is written as lines of JSON. SIGHUP begins a new file of output, SIGTERM ends
all in good order. With -n, the log is best kept apart from the output: --logger twisted_gun.tap.log_to_stderr
"""
    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, "Take options from this file: INI, or TOML if its name ends in .toml. The command line has precedence."],
        *([each.name, None, None, each.help] for each in ARGUMENTS.values() if not (each.flag or each.repeated)),
    ]
    optFlags: ClassVar[list[list[Any]]] = [[each.name, None, each.help] for each in ARGUMENTS.values() if each.flag]
    compData = usage.Completions(
        optActions={name: usage.CompleteFiles() for name in ("config", "output", "last-event-id", "cookies", "cacert", "cert")},
    )

    settings: Settings
    receiver: Any = None

    def __init__(self) -> None:
        self._repeated: dict[str, list[str]] = {}
        usage.Options.__init__(self)

    def parseOptions(self, options: Any = None) -> None:
        """Parse the command line; raises `UsageError`, or ends the process where twistd would not give a status for that."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            if self.parent is None or _EXITS:
                raise
            raise SystemExit(f"{sys.argv[0]}: {error}") from None

    def parseArgs(self, *arguments: str) -> None:
        """The URL may stand alone, at the end."""
        if len(arguments) > 1:
            raise usage.UsageError("the URL comes last: options stand before it")
        if arguments and self["url"] is not None:
            raise usage.UsageError("the URL is given twice")
        self["url"] = arguments[0] if arguments else self["url"]

    def postOptions(self) -> None:
        """Check all that can be checked."""
        given = {name: Given(values, f"--{name}") for name, values in self._repeated.items()}
        for name, argument in ARGUMENTS.items():
            value = True if argument.flag and self[name] else None if argument.flag or argument.repeated else self[name]
            if value is not None:
                given[name] = Given(value, f"--{name}")
        try:
            self.settings = make_settings(given, self["config"])
            check_connection(self.settings)
        except SettingError as error:
            raise usage.UsageError(str(error)) from None
        except GunError as error:
            raise usage.UsageError(named(error)) from None
        self._check_files()
        self._check_daemon()
        self._check_health()
        if self.settings.receiver is not None:
            self.receiver = _named_receiver(self.settings.receiver)

    def _check_files(self) -> None:
        """Whether what is kept in files can be read."""
        settings = self.settings
        read: dict[str, tuple[str | None, Callable[[str], object]]] = {
            "cookies": (settings.cookies, lambda path: CookieFile(path, 1.0, None)),
            "last-event-id": (settings.last_event_id, lambda path: EventIdFile(path, None, lambda: Progress(""))),
        }
        for name, (path, reader) in read.items():
            try:
                if path is not None:
                    reader(path)
            except GunError as error:
                raise usage.UsageError(f"--{error}" if isinstance(error, OptionError) else f"--{name}: {error}") from None
            except OSError as error:
                raise usage.UsageError(f"--{name}: {path} cannot be read: {error.strerror}") from None

    def _check_daemon(self) -> None:
        parent: Any = self.parent or {}
        daemonizes = not parent.get("nodaemon", True)  # which only twistd has
        if self.settings.output == "-" and daemonizes:
            raise usage.UsageError("a daemon has no standard output: give --output a file, or use twistd -n")
        if self.settings.output == "-" and sys.__stdout__ is None:  # its number may be that of anything by now
            raise usage.UsageError("the standard output is closed: give --output a file")

    def _check_health(self) -> None:
        """Whether the port of health is free: who daemonizes could tell nobody later."""
        if not self.settings.health:
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Twisted does
            try:
                probe.bind((LOOPBACK, self.settings.health))
                probe.listen()
            except OSError as error:
                place = f"port {self.settings.health} of {LOOPBACK}"
                raise usage.UsageError(f"--health: {place} cannot be listened on: {error.strerror or error}") from None


def _repeated_option(name: str, text: str) -> Any:
    def take(self: Options, value: str) -> None:
        self._repeated.setdefault(name, []).append(value)

    take.__doc__ = text
    return take


for _argument in ARGUMENTS.values():
    if _argument.repeated:
        setattr(Options, f"opt_{_argument.field}", _repeated_option(_argument.name, _argument.help))


def makeService(options: Options) -> IService:
    """The service that `options` ask for; ends the process with a line where the user's receiver is none."""
    receiver = None
    if options.receiver is not None:
        name = options.settings.receiver
        try:
            receiver = made_receiver(options.receiver)
        except OptionError as error:
            raise SystemExit(f"{sys.argv[0]}: --receiver: {name} makes none: {_plain(error)}") from None
        except Exception as error:  # whatever the user's own code raises
            raise SystemExit(f"{sys.argv[0]}: --receiver: {name} makes none: {type(error).__name__}: {error}") from error
    return Daemon(options.settings, receiver)


def _plain(error: OptionError) -> str:
    ours = "an instance of a class derived from twisted_gun.Receiver, or all methods of its IReceiver, or a callable"
    return str(error).removeprefix("receiver: ").replace("an IReceiver, a callable, or None", ours)


def _named_receiver(name: str) -> Any:
    """What is called `name`: an `IReceiver`, or what may make one."""
    try:
        found = namedAny(name)
    except Exception as error:  # whatever a module raises when it is imported
        raise usage.UsageError(f"--receiver: {name} cannot be imported: {type(error).__name__}: {error}") from None
    if not (_is_receiver(found) or callable(found)):
        raise usage.UsageError(f"--receiver: {name} is neither an IReceiver nor a class or a function that makes one")
    return found


def made_receiver(found: Any) -> Any:
    """The receiver that was named, or that a class or a function makes; raises `OptionError` where that makes none."""
    receiver = found if _is_receiver(found) else found()
    if receiver is None:
        raise OptionError("receiver", "an IReceiver, or a callable, to be made by it, not None")
    return as_receiver("receiver", receiver)


def _is_receiver(found: Any) -> bool:
    return not isclass(found) and (IReceiver.providedBy(found) or all(hasattr(found, name) for name in IReceiver.names()))


def log_to_stderr() -> ILogObserver:
    """For twistd's ``--logger``: the log goes to the standard error, so that the standard output is for lines of JSON only."""
    stderr: IO[Any] | None = sys.__stderr__
    assert stderr is not None
    return textFileLogObserver(stderr)
