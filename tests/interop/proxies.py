"""
The proxies of others, each started for one test on a port of its own, and ended by it.

A proxy here knows how it is configured, how it is started and what its URL is; it knows nothing of the client. All of them take
whoever connects, or, with `credentials`, whoever has those; all connect to any port but `refused`. What a proxy has printed is its
`log`, and by `logged` a test can wait for a line of it: so a test knows that a tunnel went through the proxy, and not around it.

What Debian's packages cannot do: dante checks a password against the system's users only, so there it can be shown to refuse and not to
admit; microsocks has no rules, so there no port is refused; nghttpx makes no tunnels of its own, it hands each CONNECT of HTTP/2 to
a proxy of HTTP/1.1 behind it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from signal import SIGKILL
from typing import Any, ClassVar
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.certificates import Issued
from tests.interop.servers import Server, free_port, missing, temporary_directory

__all__ = [
    "Apache",
    "Credentials",
    "Dante",
    "Microsocks",
    "Nghttpx",
    "Proxy",
    "Squid",
    "Tinyproxy",
    "TlsFront",
    "closed_port",
    "missing_proxy",
]

#: A user's name and password.
Credentials = tuple[str, str]

#: A port that every proxy with rules refuses to connect to; nobody listens there.
REFUSED = 1025

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 200
LogLevel Connect
Filter "{root}/filter"
FilterURLs On
FilterExtended On
"""

SQUID = """
{kind} 127.0.0.1:{port} {options}
visible_hostname proxy.test
pid_filename none
cache_log /dev/null
access_log none
cache_store_log none
netdb_filename none
cache deny all
pinger_enable off
coredump_dir {root}
shutdown_lifetime 0 seconds
# The heads of requests are logged, as they come.
debug_options ALL,1 11,2
acl refused port {refused}
http_access deny refused
{access}
http_access deny all
"""

SQUID_ACCESS = """
auth_param basic program /bin/sh {root}/check
auth_param basic children 1
auth_param basic realm proxy.test
acl known proxy_auth REQUIRED
http_access allow known
"""

#: Squid's way to ask: lines "USER PASSWORD", percent-encoded, each answered by OK or ERR.
SQUID_CHECK = """
while read -r line; do
    if [ "$line" = '{line}' ]; then echo OK; else echo ERR; fi
done
"""

DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: {method}
user.privileged: {user}
user.unprivileged: {user}
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{
    from: 0.0.0.0/0 to: 0.0.0.0/0 port = {refused}
    log: connect
}}
socks pass {{
    from: 0.0.0.0/0 to: 0.0.0.0/0
    command: connect
    log: connect error
}}
"""

APACHE = """
ServerName proxy.test
ServerRoot {root}
Listen 127.0.0.1:{port}
PidFile {root}/apache.pid
DefaultRuntimeDir {root}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authn_file_module {modules}/mod_authn_file.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_basic_module {modules}/mod_auth_basic.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule proxy_connect_module {modules}/mod_proxy_connect.so
LoadModule http2_module {modules}/mod_http2.so
LoadModule ssl_module {modules}/mod_ssl.so
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
ErrorLog /dev/stderr
LogFormat "%r %>s"
TransferLog /dev/stdout
Protocols {protocols}
H2MinWorkers 8
H2MaxWorkers 80
ProxyRequests On
H2ProxyRequests On
ProxyVia Off
AllowCONNECT 1-{below} {above}-65535
{tls}
<Proxy "*">
{access}
</Proxy>
"""

APACHE_TLS = """
SSLEngine on
SSLSessionCache none
SSLCertificateFile {root}/server.pem
SSLCertificateKeyFile {root}/server.pem
"""

APACHE_ACCESS = """
AuthType Basic
AuthName proxy.test
AuthBasicProvider file
AuthUserFile {root}/users
Require valid-user
"""

HAPROXY = """
global
    log stderr format raw daemon notice
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen front
    bind 127.0.0.1:{port} ssl crt {root}/server.pem {alpn}
    server behind 127.0.0.1:{behind}
"""


def missing_proxy(*kinds: type[Proxy]) -> str | None:
    """Why tests that need these proxies must be skipped; None if they need not."""
    reasons = (missing(kind.program, kind.package) or kind.lacks() for kind in kinds)
    return next((reason for reason in reasons if reason is not None), None)


class Proxy(Server):
    """
    A proxy on `port` of 127.0.0.1, which is ready once it takes a connection; `tls` is the certificate it shows.

    `refused` is the port that it refuses to connect to, None where it has no rules. `behind` is the proxy that it hands all to, if any:
    that is started with it, and its rules, credentials and log are those that count.
    """

    program: ClassVar[str]
    package: ClassVar[str]
    #: Whether it speaks TLS itself.
    speaks_tls: ClassVar[bool] = False
    #: Whether it speaks HTTP/2: over TLS it is chosen then.
    speaks_http2: ClassVar[bool] = False
    #: By which program it is started, if not by itself.
    before: ClassVar[tuple[str, ...]] = ()
    #: What it says in its log of a connection to a port of 127.0.0.1.
    says: ClassVar[str] = "CONNECT 127.0.0.1:{port}"
    scheme: str = "http"
    refused: int | None = REFUSED

    def __init__(
        self, case: TestCase, *, credentials: Credentials | None = None, tls: Issued | None = None, behind: Proxy | None = None
    ) -> None:
        assert tls is None or self.speaks_tls, f"{self.program} does not speak TLS"
        self.port = own_port(case)
        self.credentials: Credentials | None = credentials if behind is None else behind.credentials
        self.tls = tls
        self.behind = behind
        self.root = temporary_directory(case)
        # Some of them read their files as another user.
        self.root.chmod(0o755)
        #: All that it has printed.
        self.log = b""
        self._awaited: list[tuple[bytes, Deferred[None]]] = []
        self._knocking: Any = None
        if tls is not None:
            (self.root / "server.pem").write_bytes(tls.pem)
        super().__init__(case, (*self.before, self.program, *self.arguments()), b"it took a connection")

    @classmethod
    def lacks(cls) -> str | None:
        """Why this one, which is installed, is of no use; None if it is."""
        return None

    def arguments(self) -> Sequence[str]:
        """What it is started with; its files are written here."""
        raise NotImplementedError

    def write(self, name: str, content: str) -> str:
        """Write this file of its own; its path."""
        path = self.root / name
        path.write_text(content)
        path.chmod(0o644)
        return str(path)

    @property
    def url(self) -> str:
        """Its URL, with the credentials that it wants."""
        return self.url_with(self.credentials)

    def url_with(self, credentials: Credentials | None) -> str:
        """Its URL, with these credentials."""
        user = "" if credentials is None else ":".join(quote(part, safe="") for part in credentials) + "@"
        return f"{self.scheme}{'s' if self.transport_name == 'tls' else ''}://{user}127.0.0.1:{self.port}"

    @property
    def transport_name(self) -> str:
        """How to connect to it: "tcp" or "tls"."""
        return "tcp" if self.tls is None else "tls"

    @property
    def intermediary(self) -> gun.Intermediary:
        """What is to be said of it by one who reached it by its URL."""
        http = "http2" if self.tls is not None and self.speaks_http2 else "http"
        kind, protocol = ("connect", http) if self.scheme == "http" else ("socks5", "socks")
        return gun.Intermediary(type=kind, host="127.0.0.1", port=self.port, transport=self.transport_name, protocol=protocol)

    def start(self) -> Deferred[bytes]:
        if self.behind is not None and not self.behind.wanted:
            return self.behind.start().addCallback(lambda _: self.start())
        starting = super().start()
        self._knock()
        return starting

    def stop(self, signal: int = SIGKILL) -> Deferred[None]:
        """End it at once; fires when it has gone. By SIGTERM many a proxy waits for its tunnels, for seconds."""
        return super().stop(signal)

    def logged(self, text: str) -> Deferred[None]:
        """Fires once this is in its log."""
        if self.behind is not None:
            return self.behind.logged(text)
        if text.encode() in self.log:
            return succeed(None)
        fired: Deferred[None] = Deferred()
        self._awaited.append((text.encode(), fired))
        return fired

    def has_reached(self, port: int) -> Deferred[None]:
        """Fires once its log tells of a connection to this port of 127.0.0.1; with apache that is when the connection has ended."""
        return self.logged((self if self.behind is None else self.behind).says.format(port=port))

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        self.log += data
        found = [each for each in self._awaited if each[0] in self.log]
        self._awaited = [each for each in self._awaited if each not in found]
        for _, fired in found:
            fired.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if self._knocking is not None:
            self._knocking.cancel()
        super().processEnded(reason)

    def _knock(self) -> None:
        from twisted.internet import reactor

        self._knocking = None
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        endpoint.connect(Factory.forProtocol(Protocol)).addCallbacks(self._opened, self._not_yet)

    def _opened(self, visitor: Any) -> None:
        visitor.transport.abortConnection()
        super().outReceived(self._ready)

    def _not_yet(self, _: object) -> None:
        from twisted.internet import reactor

        timed: Any = reactor
        if self._running:
            self._knocking = timed.callLater(0.01, self._knock)


class Tinyproxy(Proxy):
    """tinyproxy: CONNECT and absolute-form over HTTP/1.1."""

    program, package = "tinyproxy", "tinyproxy"

    def arguments(self) -> Sequence[str]:
        self.write("filter", f":{self.refused}(/|$)\n")
        config = TINYPROXY.format(port=self.port, root=self.root)
        if self.credentials is not None:
            config += "BasicAuth {} {}\n".format(*self.credentials)
        return ("-d", "-c", self.write("tinyproxy.conf", config))


class Squid(Proxy):
    """squid, of the package that was built with OpenSSL: CONNECT and absolute-form over HTTP/1.1, plain and over TLS."""

    program, package, speaks_tls = "squid", "squid-openssl", True

    def arguments(self) -> Sequence[str]:
        kind, options = ("http_port", "") if self.tls is None else ("https_port", f"tls-cert={self.root}/server.pem")
        access = "http_access allow all"
        if self.credentials is not None:
            self.write("check", SQUID_CHECK.format(line=" ".join(quote(part, safe=":") for part in self.credentials)))
            access = SQUID_ACCESS.format(root=self.root)
        config = SQUID.format(kind=kind, options=options, port=self.port, root=self.root, refused=self.refused, access=access)
        return ("-N", "-d", "2", "-n", self._name, "-f", self.write("squid.conf", config))

    @property
    def _name(self) -> str:
        """What its shared memory is called by: two that start at the same time must not meet there."""
        return f"gun{self.port}"

    def processEnded(self, reason: Failure) -> None:
        for memory in Path("/dev/shm").glob(f"{self._name}-*"):
            memory.unlink()
        super().processEnded(reason)

    @classmethod
    def lacks(cls) -> str | None:
        return None if "--with-openssl" in _squid_build() else "THIS SQUID LACKS OPENSSL: nothing was tested that needs it"


class Apache(Proxy):
    """apache with mod_proxy_connect: CONNECT and absolute-form over HTTP/1.1 and HTTP/2, plain and over TLS."""

    program, package, speaks_tls, speaks_http2 = "apache2", "apache2-bin", True, True
    modules: ClassVar[Path] = Path("/usr/lib/apache2/modules")

    def arguments(self) -> Sequence[str]:
        access = "Require all granted"
        if self.credentials is not None:
            user, password = self.credentials
            digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
            self.write("users", f"{user}:{{SHA}}{digest}\n")
            access = APACHE_ACCESS.format(root=self.root)
        config = APACHE.format(
            port=self.port,
            root=self.root,
            modules=self.modules,
            user="User nobody\nGroup nogroup" if os.getuid() == 0 else "",
            protocols="h2c http/1.1" if self.tls is None else "h2 http/1.1",
            below=REFUSED - 1,
            above=REFUSED + 1,
            tls="" if self.tls is None else APACHE_TLS.format(root=self.root),
            access=access,
        )
        return ("-X", "-f", self.write("apache.conf", config))

    @classmethod
    def lacks(cls) -> str | None:
        return None if cls.modules.is_dir() else f"APACHE HAS NO MODULES IN {cls.modules}: nothing was tested against it"


class Nghttpx(Proxy):
    """nghttpx as a proxy of HTTP/2, and HTTP/1.1, plain and over TLS; `behind` it a proxy of HTTP/1.1 makes the tunnels."""

    program, package, speaks_tls, speaks_http2 = "nghttpx", "nghttp2-proxy", True, True

    def arguments(self) -> Sequence[str]:
        assert self.behind is not None, "nghttpx makes no tunnels itself"
        files: list[str] = []
        frontend = f"127.0.0.1,{self.port}"
        if self.tls is None:
            frontend += ";no-tls"
        else:
            files = [self.write("key.pem", self.tls.key_pem.decode()), self.write("certificate.pem", self.tls.certificate_pem.decode())]
        return (
            "--http2-proxy",
            "--conf=/dev/null",
            "--single-process",
            "--no-ocsp",
            "--backend-connections-per-host=200",
            f"--frontend={frontend}",
            f"--backend=127.0.0.1,{self.behind.port}",
            "--accesslog-file=/dev/stdout",
            "--accesslog-format=$request $status",
            "--errorlog-file=/dev/stderr",
            *files,
        )


class Microsocks(Proxy):
    """microsocks: SOCKS5, with username and password or without; it has no rules."""

    program, package, scheme, refused = "microsocks", "microsocks", "socks5", None
    says = "connected to 127.0.0.1:{port}"

    def arguments(self) -> Sequence[str]:
        known = () if self.credentials is None else ("-u", self.credentials[0], "-P", self.credentials[1])
        return ("-i", "127.0.0.1", "-p", str(self.port), *known)


class Dante(Proxy):
    """dante: SOCKS5 with rules. Of `credentials` it knows none: only users of the system, which the tests do not make."""

    program, package, scheme = "danted", "dante-server", "socks5"
    says = "127.0.0.1.{port}"
    # It has many processes, which must be one group to end all at once: by SIGTERM those that have tunnels go on.
    before = ("setsid",)

    def signal(self, signal: int) -> None:
        """Send it to all its processes."""
        process: Any = self.transport
        os.killpg(process.pid, signal)

    def arguments(self) -> Sequence[str]:
        method = "none" if self.credentials is None else "username"
        user = "root" if os.getuid() == 0 else os.environ.get("USER", "nobody")
        config = DANTE.format(port=self.port, method=method, user=user, refused=self.refused)
        return ("-f", self.write("danted.conf", config), "-p", str(self.root / "danted.pid"))


class TlsFront(Proxy):
    """
    HAProxy, which shows the certificate `tls` and hands what is inside to the port `behind`.

    In front of a proxy that speaks no TLS, and in front of an origin; `alpn` is what it offers, in a server's order.
    """

    program, package, speaks_tls = "haproxy", "haproxy", True

    def __init__(self, case: TestCase, *, behind: Proxy | int, tls: Issued, alpn: str = "") -> None:
        self._behind = behind if isinstance(behind, int) else behind.port
        self._alpn = f"alpn {alpn}" if alpn else ""
        if isinstance(behind, Proxy):
            self.scheme, self.refused = behind.scheme, behind.refused
        super().__init__(case, tls=tls, behind=behind if isinstance(behind, Proxy) else None)

    def arguments(self) -> Sequence[str]:
        config = HAPROXY.format(port=self.port, root=self.root, alpn=self._alpn, behind=self._behind)
        return ("-db", "-f", self.write("haproxy.cfg", config))


def own_port(case: TestCase) -> int:
    """
    A port as `free_port` finds it, which no other proxy gets while the test runs.

    Many are needed, by tests that may run at the same time: one is taken by binding UDP's port of the same number.
    """
    while True:
        port, taken = free_port(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            taken.close()
            continue
        case.addCleanup(taken.close)
        return port


def closed_port(case: TestCase) -> int:
    """A port of 127.0.0.1 that refuses connections: it is bound, so that nobody else gets it during the test, and not listened on."""
    bound = socket.socket()
    case.addCleanup(bound.close)
    bound.bind(("127.0.0.1", 0))
    return int(bound.getsockname()[1])


@cache
def _squid_build() -> str:
    squid = shutil.which("squid", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return "" if squid is None else subprocess.run([squid, "-v"], capture_output=True, text=True, check=True).stdout
