"""
The server in a process of its own: nginx where it is installed, else a small one in Python.

`started_server` is what the runner uses; ``python -m benchmarks.server FOLDER PORT TLS_PORT`` is the Python one. The latter looks
only for the ends of requests and answers with bytes made beforehand: more it need not know, and less no server can do.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.certificates import write_certificates
from benchmarks.scenarios import BIG_PATH, BIG_SIZE, SMALL_BODY, SMALL_PATH, UPLOAD_PATH

__all__ = ["KEEP_MEMORY", "Server", "free_ports", "started_server", "wait_for"]

#: With Server, Date, Content-Type, Content-Length, Connection and X-Request-Id, which no two answers share, these make eight.
EXTRA_HEADERS = {"Cache-Control": "max-age=3600, public", "Vary": "Accept-Encoding"}

#: "listen ... http2" is the one way to say it that all versions understand; the newer ones warn.
#: An upload goes into memory as a whole, so that its speed is neither a disk's nor that of a second server; it is not passed on: what
#: nginx asks itself for then, to say how much it got, has no content.
NGINX_CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    sendfile on;
    sendfile_max_chunk 2m;
    tcp_nodelay on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl http2;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_buffer_size 16k;
        root {folder}/files;
        location = {path} {{
            {extra}
            add_header X-Request-Id $request_id;
            return 200 "{body}";
        }}
        location = {upload_path} {{
            client_max_body_size 0;
            client_body_buffer_size {upload_size};
            proxy_pass http://127.0.0.1:{port}/received;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Received $request_length;
        }}
        location = /received {{
            return 200 $http_x_received;
        }}
    }}
}}
"""

#: glibc is to keep the memory of an upload for the next one: handing it back and getting it anew was half of nginx's time for it.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10 * BIG_SIZE)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server; `ca` is the path of the PEM file its certificate is verified with, `http2` whether it speaks that over TLS."""

    name: str
    pid: int
    port: int
    tls_port: int
    ca: str
    http2: bool

    def stay_on(self, cpu: int | None) -> None:
        """Run on the core `cpu` from now on; None leaves it to the system."""
        if cpu is not None:
            os.sched_setaffinity(self.pid, {cpu})


@contextmanager
def started_server(kind: str) -> Iterator[Server]:
    """Run a server of `kind` ("nginx", "python" or "best"); it ends with the context."""
    nginx = None if kind == "python" else shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if kind == "nginx" and nginx is None:
        raise FileNotFoundError("nginx is not installed")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as path:
        folder, port, tls_port = Path(path), *free_ports(2)
        write_certificates(folder)
        command = _python_command(folder, port, tls_port) if nginx is None else _nginx_command(nginx, folder, port, tls_port)
        process = subprocess.Popen(command, env=os.environ | KEEP_MEMORY)
        try:
            wait_for(process, port, tls_port)
            ca = str(folder / "ca.pem")
            yield Server(name=_name(nginx), pid=process.pid, port=port, tls_port=tls_port, ca=ca, http2=nginx is not None)
        finally:
            process.terminate()
            process.wait(10)


def free_ports(count: int) -> list[int]:
    """So many free ports, below those the system gives to clients, so that no connection of a client can be sitting there."""
    free: list[int] = []
    while len(free) < count:
        port = random.randrange(20000, 32768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in free:
            free.append(port)
    return free


def _nginx_command(nginx: str, folder: Path, port: int, tls_port: int) -> list[str]:
    files = folder / "files"
    files.mkdir()
    with open(files / BIG_PATH.lstrip("/"), "wb") as big:
        big.truncate(BIG_SIZE)
    extra = "\n            ".join(f'add_header {name} "{value}";' for name, value in EXTRA_HEADERS.items())
    small = {"path": SMALL_PATH, "body": SMALL_BODY.decode("ascii"), "extra": extra}
    upload = {"upload_path": UPLOAD_PATH, "upload_size": BIG_SIZE}
    (folder / "nginx.conf").write_text(NGINX_CONFIG.format(folder=folder, port=port, tls_port=tls_port, **small, **upload))
    return [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def _python_command(folder: Path, port: int, tls_port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.server", str(folder), str(port), str(tls_port)]


def _name(nginx: str | None) -> str:
    if nginx is None:
        return "benchmarks.server (Python)"
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return version.strip().rpartition(" ")[2]


def wait_for(process: subprocess.Popen[bytes], *ports: int) -> None:
    """Return when `process` listens on all `ports`."""
    give_up = time.monotonic() + 10
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError("the server did not start") from None
                time.sleep(0.02)


def _head(size: int) -> bytes:
    headers = {"Server": "benchmarks", "Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Content-Type": "text/plain"}
    headers |= {"Content-Length": str(size), "Connection": "keep-alive", "X-Request-Id": "%032x"} | EXTRA_HEADERS
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("ascii")


_NUMBERS = itertools.count(1)


class _Answering(asyncio.Protocol):
    """One connection of the Python server."""

    SMALL = _head(len(SMALL_BODY)) + SMALL_BODY
    BIG = _head(BIG_SIZE)
    PIECE = memoryview(bytes(1_000_000))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._left = 0
        self._paused = False

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            if request.startswith(b"GET " + BIG_PATH.encode("ascii")):
                self._transport.write(self.BIG % next(_NUMBERS))
                self._left += BIG_SIZE
                self._send()
            else:
                self._transport.write(self.SMALL % next(_NUMBERS))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _send(self) -> None:
        while self._left and not self._paused:
            self._left -= len(self.PIECE)
            self._transport.write(self.PIECE)


async def _serve(folder: Path, port: int, tls_port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(_Answering, "127.0.0.1", port)
    secure = await loop.create_server(_Answering, "127.0.0.1", tls_port, ssl=context)
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())


def main() -> None:
    """Do what the command line says; certificates are made where FOLDER has none."""
    folder, port, tls_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if not (folder / "server.pem").exists():
        write_certificates(folder)
    asyncio.run(_serve(folder, port, tls_port))


if __name__ == "__main__":
    main()
