"""The plugin, the command line, and what is made of it."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
from typing import Any

from twisted.application.service import IService, IServiceMaker, Service
from twisted.logger import LogLevel
from twisted.plugin import IPlugin, getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import twisted_gun as gun
from twisted_gun import tap
from twisted_gun.gunclient.arguments import ARGUMENTS
from twisted_gun.gunclient.daemon import Daemon
from twisted_gun.testing import RecordingReceiver

# What tests name as receivers.


@implementer(gun.IReceiver)
class Full(RecordingReceiver):  # type: ignore[misc]  # its methods are made when the program runs
    """A receiver."""


instance = gun.Receiver()
number = 3


def factory() -> Full:
    """Make a receiver."""
    return Full()


def of_callables() -> Any:
    """Make one that is only called."""
    return print


def nothing() -> None:
    """Make none."""


def makes_a_number() -> int:
    """Make none, either."""
    return 3


def raises() -> None:
    """Make nothing at all."""
    raise KeyError("x")


class Served(Service, gun.Receiver):
    """A receiver that is a service."""


class PluginTests(SynchronousTestCase):
    """What twistd finds."""

    def plugin(self) -> Any:
        """The one plugin of that name."""
        (found,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "gunclient"]
        return found

    def test_found(self) -> None:
        """There is one, with a name and a description."""
        plugin = self.plugin()
        verifyObject(IServiceMaker, plugin)
        verifyObject(IPlugin, plugin)
        self.assertTrue(plugin.description)

    def test_leads_here(self) -> None:
        """Its options and its service are those of `twisted_gun.tap`."""
        plugin = self.plugin()
        self.assertIs(plugin.options, tap.Options)
        self.assertIs(plugin.makeService, tap.makeService)

    def test_cheap(self) -> None:
        """Whoever lists plugins imports nothing of the package; whoever reads options installs no reactor."""
        listed = "import twisted.plugins.twisted_gun_plugin, sys; print('twisted_gun' in sys.modules)"
        read = "import twisted_gun.tap, sys; twisted_gun.tap.Options(); print('twisted.internet.reactor' in sys.modules)"
        for code in (listed, read):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=_environment())
            self.assertEqual((done.stdout, done.stderr), ("False\n", ""))


class OptionsCase(SynchronousTestCase):
    """A test of command lines."""

    def setUp(self) -> None:
        self.patch(tap, "_EXITS", True)

    def options(self, *arguments: str, parent: Any = None) -> tap.Options:
        """The options by these arguments."""
        options = tap.Options()
        options.parent = parent
        options.parseOptions(arguments)
        return options

    def refused(self, *arguments: str, parent: Any = None) -> str:
        """Why these cannot be used."""
        return str(self.assertRaises(usage.UsageError, self.options, *arguments, parent=parent))


class OptionsTests(OptionsCase):
    """The command line."""

    def test_settings(self) -> None:
        """What is given is in the settings; the URL may stand alone, at the end."""
        arguments = ("--get=/a", "--get", "/b", "--every", "5", "--header", "x: 1", "--insecure", "--health=0")
        for url in (("--url", "https://a.example"), ("https://a.example",)):
            settings = self.options(*arguments, *url).settings
            self.assertEqual((settings.get, settings.every, settings.headers), (("/a", "/b"), 5.0, (("x", "1"),)))
            self.assertEqual((settings.insecure, settings.health, settings.address.host), (True, 0, "a.example"))

    def test_every_option(self) -> None:
        """Each option there is stands in the help, with what it means."""
        text = str(tap.Options())
        for argument in ARGUMENTS.values():
            self.assertIn(f"--{argument.name}{'' if argument.flag else '='}", text)
            self.assertIn(argument.help.split()[0], text)
        self.assertIn("--config=", text)
        self.assertIn("[URL]", text)

    def test_file(self) -> None:
        """Options may come from a file, and those of the command line have precedence."""
        path = self.mktemp() + ".toml"
        with open(path, "w", encoding="utf-8") as file:
            file.write('[gunclient]\nurl = "wss://a.example"\nevery = 5\nping = 7\n')
        settings = self.options("-c", path, "--every=6").settings
        self.assertEqual((settings.address.host, settings.every, settings.ping), ("a.example", 6.0, 7.0))
        with open(path, "a", encoding="utf-8") as file:
            file.write("pong = 7\n")
        self.assertIn("line 5, [gunclient] pong", self.refused("--config", path))

    def test_refused(self) -> None:
        """Each mistake is a usage error, which names the option."""
        cases = {
            "--every": ("--every=0", "ws://a"),
            "URL": (),
            "--sse": ("--get=/", "--sse", "http://a"),
            "comes last": ("http://a", "--sse"),
            "twice": ("--url=ws://a", "ws://b"),
            "--cacert": ("--cacert=/nowhere", "wss://a"),
            "--cert": ("--cert=/nowhere", "wss://a"),
            "--proxy": ("--proxy=ftp://a", "wss://a"),
            "--subprotocol": ("--subprotocol=a b", "wss://a"),
            "option --unknown not recognized": ("--unknown", "wss://a"),
            "--cookies": (f"--cookies={__file__}", "ws://a"),
            f"--last-event-id: expected {__file__} to hold": ("--sse", f"--last-event-id={__file__}", "http://a"),
        }
        for part, arguments in cases.items():
            self.assertIn(part, self.refused(*arguments), arguments)
        self.assertIn("--proxy", self.refused("--proxy=http://p", "--receiver=a", "unix:/run/s"))

    def test_health_port(self) -> None:
        """A port that somebody else has is told while there is somebody to tell; one that is free stays so."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            refused = self.refused("--health", str(port), "ws://a")
        self.assertIn(f"--health: port {port} of 127.0.0.1 ", refused)
        self.assertNotIn("\n", refused)
        self.assertEqual(self.options("--health", str(port), "ws://a").settings.health, port)
        self.assertEqual(self.options("--health", str(port), "ws://a").settings.health, port)

    def test_older_twisted(self) -> None:
        """Where twistd would end with status 0 the process is ended here."""
        self.patch(tap, "_EXITS", False)
        ended = self.assertRaises(SystemExit, self.options, "--every=0", "ws://a", parent={})
        self.assertIn("--every: expected", str(ended.code))
        self.refused("--every=0", "ws://a")

    def test_no_secrets(self) -> None:
        """No message shows what may be secret."""
        for arguments in (
            ("--header", "authorization hidden", "ws://a"),
            ("--header", "x: hid\nden", "ws://a"),
            ("--proxy", "http://user:hidden@", "ws://a"),
            ("ws://user:hidden@a",),
            ("--proxy", "socks5://u:hidden@h/path", "ws://a"),
        ):
            self.assertNotIn("hid", self.refused(*arguments))

    def test_unreadable_cookies(self) -> None:
        """A file of cookies that cannot be read is a mistake, too, and so is one of an identifier."""
        self.patch(tap, "CookieFile", self.unreadable)
        self.assertIn("--cookies", self.refused("--cookies", self.mktemp(), "ws://a"))
        self.patch(tap, "EventIdFile", self.unreadable)
        self.assertIn("--last-event-id", self.refused("--sse", "--last-event-id", self.mktemp(), "http://a"))

    def unreadable(self, *_: Any) -> None:
        """As a file without rights."""
        raise PermissionError(13, "Permission denied")

    def test_daemon(self) -> None:
        """What has no standard output needs a file; twist, which is no daemon, does not."""
        self.assertIn("-n", self.refused("ws://a", parent={"nodaemon": 0}))
        self.options("ws://a", parent={"nodaemon": 1})
        self.options("ws://a", parent={})
        self.options("--output", self.mktemp(), "ws://a", parent={"nodaemon": 0})
        self.options("--receiver", f"{__name__}.factory", "ws://a", parent={"nodaemon": 0})

    def test_closed_output(self) -> None:
        """Where the standard output was closed beforehand, a file is asked for."""
        self.patch(sys, "__stdout__", None)
        self.assertIn("the standard output is closed", self.refused("ws://a", parent={"nodaemon": 1}))
        self.options("--output", self.mktemp(), "ws://a", parent={"nodaemon": 1})


class ReceiverTests(OptionsCase):
    """A receiver of the user's own."""

    def made(self, name: str) -> Any:
        """What is made of the name."""
        return tap.made_receiver(self.options("--receiver", f"{__name__}.{name}", "ws://a").receiver)

    def test_each(self) -> None:
        """An instance is taken as it is; a class or a function makes one."""
        self.assertIs(self.made("instance"), instance)
        self.assertIsInstance(self.made("Full"), Full)
        self.assertIsInstance(self.made("factory"), Full)
        self.assertTrue(IService.providedBy(self.made("Served")))
        self.assertTrue(hasattr(self.made("of_callables"), "gun_up"))

    def test_refused(self) -> None:
        """What cannot be imported, or is none and makes none."""
        self.assertIn("imported", self.refused("--receiver", "no.such.thing", "ws://a"))
        self.assertIn("imported", self.refused("--receiver", "", "ws://a"))
        self.assertIn("neither", self.refused("--receiver", f"{__name__}.number", "ws://a"))
        self.assertRaises(gun.OptionError, self.made, "nothing")

    def test_makes_none(self) -> None:
        """What makes something else, or raises, is one line that names it, and the status is 1."""
        for name, told in (
            ("nothing", "not None"),
            ("makes_a_number", "IReceiver, or a callable, not 3"),
            ("raises", "KeyError: 'x'"),
        ):
            options = self.options("--receiver", f"{__name__}.{name}", "ws://a")
            ended = self.assertRaises(SystemExit, tap.makeService, options)
            self.assertRegex(str(ended.code), rf"^\S.*: --receiver: {re.escape(__name__)}\.{name} makes none: .*{re.escape(told)}$")

    def test_module_that_raises(self) -> None:
        """Whatever a module raises when it is imported, it is a usage error which says that."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        with open(os.path.join(folder, "gun_raising_receiver.py"), "w", encoding="utf-8") as file:
            file.write("1 / 0\n")
        self.patch(sys, "path", [folder, *sys.path])
        self.assertIn("ZeroDivisionError", self.refused("--receiver", "gun_raising_receiver.thing", "ws://a"))

    def test_service(self) -> None:
        """The service has it."""
        daemon: Any = tap.makeService(self.options("--receiver", f"{__name__}.factory", "ws://a"))
        self.assertIsInstance(daemon, Daemon)
        self.assertIsInstance(daemon._audience._receiver, Full)
        verifyObject(IService, daemon)
        self.assertIsNone(tap.makeService(self.options("ws://a"))._audience._receiver)  # type: ignore[attr-defined]


class LogTests(SynchronousTestCase):
    """The log, apart from the output."""

    def test_to_stderr(self) -> None:
        """It goes to the standard error that the process was started with."""
        stderr = io.StringIO()
        self.patch(sys, "__stderr__", stderr)
        observer: Any = tap.log_to_stderr()
        observer({"log_level": LogLevel.info, "log_namespace": "x", "log_format": "said", "log_time": 0.0})
        self.assertIn("[x#info] said", stderr.getvalue())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
