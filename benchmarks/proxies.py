"""
The proxies of the scenarios of tunnels, in processes of their own.

They are those that are known to be fast: tinyproxy; nghttpx before it, once for HTTP/1.1 and once for HTTP/2 over TLS; and microsocks. For
one that is not installed `twisted_gun.testing` has another, in Python: ``python -m benchmarks.proxies WAY PORT FOLDER`` is that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import react
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from benchmarks.scenarios import WAYS
from benchmarks.server import free_ports, wait_for
from twisted_gun.testing.proxies import ProxyFactory

__all__ = ["Proxies", "started_proxies"]

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

TINYPROXY_CONFIG = """\
Port {port}
Listen 127.0.0.1
Timeout 3600
MaxClients 100
LogLevel Error
"""

#: The kinds of `twisted_gun.testing.proxies.ProxyFactory` for each way, and what is chosen by ALPN (RFC 7301).
_OWN = {"http": "http", "https": "http", "http2": "http2+http", "socks5": "socks5"}
_ALPN = {"https": "http/1.1", "http2": "h2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Running proxies, and their URLs by the way that leads through them."""

    name: str
    pids: tuple[int, ...]
    urls: dict[str, str]

    def stay_on(self, cpu: int | None) -> None:
        """Run on the core `cpu` from now on, with all threads there are; None leaves it to the system."""
        if cpu is not None:
            for pid in self.pids:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), {cpu})


@contextmanager
def started_proxies(folder: Path) -> Iterator[Proxies]:
    """Run a proxy for each way; they show the certificate in `folder`, and end with the context."""
    ports = dict(zip(WAYS[1:], free_ports(4), strict=True))
    with ExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        names, pids = [], []
        for way, port in ports.items():
            command = _command(way, port, ports["http"], folder, scratch)
            process = running.enter_context(_process(command))
            wait_for(process, port)
            names.append("twisted_gun.testing" if command[0] == sys.executable else Path(command[0]).name)
            pids.append(process.pid)
        urls = {way: f"{'https' if way in _ALPN else way}://127.0.0.1:{port}" for way, port in ports.items()}
        yield Proxies(name=", ".join(dict.fromkeys(names)), pids=tuple(pids), urls=urls)


def _command(way: str, port: int, behind: int, folder: Path, scratch: Path) -> list[str]:
    """What runs the proxy on `port`; those that speak TLS have the one at `behind` make their tunnels."""
    if way == "http" and (tinyproxy := _which("tinyproxy")):
        config = scratch / "tinyproxy.conf"
        config.write_text(TINYPROXY_CONFIG.format(port=port))
        return [tinyproxy, "-d", "-c", str(config)]
    if way == "socks5" and (microsocks := _which("microsocks")):
        return [microsocks, "-i", "127.0.0.1", "-p", str(port)]
    if way in _ALPN and (nghttpx := _which("nghttpx")):
        quiet = ["--conf=/dev/null", "--log-level=ERROR", "--errorlog-file=/dev/null", "--single-process", "--no-ocsp"]
        ways = [f"--frontend=127.0.0.1,{port}", f"--backend=127.0.0.1,{behind}", f"--npn-list={_ALPN[way]}"]
        return [nghttpx, "--http2-proxy", *quiet, *ways, str(folder / "server.key"), str(folder / "server.pem")]
    return [sys.executable, "-m", "benchmarks.proxies", way, str(port), str(folder)]


def _which(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()  # by SIGTERM some wait for their tunnels
        process.wait(10)


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    """The server's side of TLS, which chooses the protocol `alpn`."""

    def __init__(self, folder: Path, alpn: bytes) -> None:
        context: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(str(folder / "server.pem"))
        context.use_privatekey_file(str(folder / "server.key"))
        context.set_alpn_select_callback(lambda _, offered: alpn if alpn in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def _serve(reactor: Any, way: str, port: str, folder: str) -> Deferred[None]:
    factory: Any = ProxyFactory(_OWN[way], lambda host, port: TCP4ClientEndpoint(reactor, host, port))
    if way in _ALPN:
        factory = TLSMemoryBIOFactory(_Creator(Path(folder), _ALPN[way].encode("ascii")), False, factory)
    reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    return Deferred()


if __name__ == "__main__":
    react(_serve, sys.argv[1:])
