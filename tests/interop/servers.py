"""
Other people's servers, started for one test and ended by it.

Nothing here waits by the clock: a server is ready when it says so on its output, and has ended when its process has.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from signal import SIGTERM
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import twisted_gun as gun

__all__ = [
    "Nginx",
    "Server",
    "alert_behind",
    "close",
    "free_port",
    "missing",
    "missing_module",
    "missing_nginx",
    "node",
    "python",
    "run_script",
    "temporary_directory",
]

_HERE = Path(__file__).resolve().parent

#: Where servers are that only root has in its PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

_NGINX = """
daemon off;
master_process {master};
{user}
pid {root}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {servers}
}}
"""


class Server(ProcessProtocol):
    """A server's process: `command`, which is ready once it has printed `ready`. It ends with the test at the latest."""

    def __init__(self, case: TestCase, command: Sequence[str], ready: bytes) -> None:
        self._command = command
        self._ready = ready
        self._printed = b""
        self._starting: Deferred[bytes] | None = None
        self._ending: list[Deferred[None]] = []
        self._running = False
        #: Whether it was started and not yet told to end.
        self.wanted = False
        case.addCleanup(self.stop)

    def start(self) -> Deferred[bytes]:
        """What it printed until it was ready; fails with all it printed if it ends before."""
        from twisted.internet import reactor

        spawning: Any = reactor
        starting: Deferred[bytes] = Deferred()
        self._starting, self._printed, self._running = starting, b"", True
        self.wanted = True
        program = _which(self._command[0])
        spawning.spawnProcess(self, program, [program, *self._command[1:]], env={"PATH": _PATH})
        return starting

    def stop(self, signal: int = SIGTERM) -> Deferred[None]:
        """End it by `signal`; fires when it has gone."""
        self.wanted = False
        if not self._running:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ending.append(ended)
        self.signal(signal)
        return ended

    def signal(self, signal: int) -> None:
        """Send it this signal."""
        process: Any = self.transport
        process.signalProcess(signal)

    def outReceived(self, data: bytes) -> None:
        self._printed += data
        if self._ready in self._printed and self._starting is not None:
            starting, self._starting = self._starting, None
            starting.callback(self._printed)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self._running = False
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.errback(RuntimeError(f"{self._command[0]} did not start: {self._printed.decode(errors='replace')}"))
        ending, self._ending = self._ending, []
        for ended in ending:
            ended.callback(None)


class Nginx(Server):
    """
    nginx in one process, or with `master` in two, so that it can be told to quit gracefully; `servers` are its ``server`` blocks.

    In those ``{root}`` stands for `root`, a directory of the test's own.
    """

    def __init__(self, case: TestCase, servers: str, *, master: bool = False) -> None:
        self.root = temporary_directory(case)
        user = "user root;" if os.getuid() == 0 else ""
        settings = {"root": self.root, "master": "on" if master else "off", "user": user}
        config = self.root / "nginx.conf"
        config.write_text(_NGINX.format(**settings, servers=servers.replace("{root}", str(self.root))))
        # "getrlimit" is what it says when it listens on all its sockets and is about to serve them.
        super().__init__(case, ("nginx", "-p", str(self.root), "-c", str(config)), b"getrlimit(")

    def stop(self, signal: int = SIGTERM) -> Deferred[None]:
        """
        End it by `signal`, again each second until it has gone.

        In one process it waits for the next connection where the signal came just before it began to wait, as after a start it may.
        """
        ended = super().stop(signal)
        if not ended.called:
            again = LoopingCall(self.signal, signal)
            again.start(1.0, now=False)
            ended.addCallback(lambda _: again.stop())
        return ended


def node(case: TestCase, *arguments: str, script: str = "server.js") -> Server:
    """node, running `script` of this directory; it prints the ports it listens on, as JSON."""
    return Server(case, ("node", str(_HERE / script), *arguments), b"}\n")


def python(case: TestCase, script: str, *arguments: str) -> Server:
    """This Python, running `script` of this directory; it prints the ports it listens on, as JSON."""
    # With -P the script does not find this directory's modules instead of others that have their names.
    return Server(case, (sys.executable, "-P", "-Wignore", str(_HERE / script), *arguments), b"}\n")


class ServerCase(TestCase):
    """A test against a real server."""

    async def body(self, stream: gun.Stream, status: int = 200) -> bytes:
        """The content of the response, which must have this status."""
        response = await stream.await_response()
        self.assertEqual(response.status, status)
        return b"" if response.fin else await stream.await_body()


async def close(conn: gun.Connection) -> None:
    """Close `conn`, and return when it has ended: what a test leaves to its cleanup."""
    ended = conn.when_terminated()
    conn.close()
    await ended


def alert_behind(error: BaseException | None) -> str | None:
    """The alert of the first `TlsFailed` among `error` and its causes."""
    while error is not None and not isinstance(error, gun.TlsFailed):
        error = error.__cause__
    return None if error is None else error.alert


def missing(program: str, package: str) -> str | None:
    """Why tests that need `program` must be skipped; None if they need not."""
    if shutil.which(program, path=_PATH) is None:
        return f"{program.upper()} IS NOT INSTALLED: nothing was tested against it (on Debian: apt-get install {package})"
    return None


def missing_module(name: str) -> str | None:
    """Why tests that need this package of Python must be skipped; None if they need not."""
    if find_spec(name) is None:
        return f"{name.upper()} IS NOT INSTALLED: nothing was tested against it (pip install {name})"
    return None


def missing_nginx(*modules: str) -> str | None:
    """Why tests that need nginx, with these modules built in, must be skipped; None if they need not."""
    lacking = [module for module in modules if f"--with-{module}" not in _nginx_build()]
    lacks = f"THIS NGINX LACKS {', '.join(lacking)}: nothing was tested that needs it" if lacking else None
    return missing("nginx", "nginx-light") or lacks


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on; below those that the kernel gives to outgoing connections."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("_PORTS has no end")


def _ports() -> Iterator[int]:
    """Ports, over and over, from one that depends on the process: several may run these tests at once."""
    first, count = 18100, 400
    start = os.getpid() * 16 % count
    return cycle([first + (start + at) % count for at in range(count)])


_PORTS = _ports()


def temporary_directory(case: TestCase) -> Path:
    """A directory that goes with the test; its path is short, for the path of a UNIX socket must be."""
    root = tempfile.mkdtemp(prefix="gun-")
    case.addCleanup(shutil.rmtree, root)
    return Path(root)


async def run_script(case: TestCase, name: str, *arguments: str) -> dict[str, Any]:
    """What the script `name` of this directory prints, as JSON, run by this Python with what it can import."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    command = ["-Wignore", str(_HERE / name), *arguments]
    ended: tuple[bytes, bytes, int]
    ended = await getProcessOutputAndValue(sys.executable, command, env={**os.environ, "PYTHONPATH": path})
    out, err, status = ended
    case.assertEqual((status, err.decode()), (0, ""), out)
    printed: dict[str, Any] = json.loads(out)
    return printed


def _which(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found is not None, f"{name} is not installed"
    return found


@cache
def _nginx_build() -> str:
    nginx = shutil.which("nginx", path=_PATH)
    return "" if nginx is None else subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
