"""
Large files through TLS in TLS, down and up, in a process of its own whose memory must not grow with them.

Through one proxy of HTTP/2 they have 1 GiB, on other ways, and through a proxy in Python, 128 MiB; with GUN_TESTS_THOROUGH in the
environment they always have 1 GiB.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.python import log
from twisted.trial.unittest import TestCase

from tests.certificates import authority
from tests.interop.http2 import THOROUGH
from tests.interop.proxies import Microsocks, Nghttpx, Tinyproxy, TlsFront, missing_proxy
from tests.interop.servers import Nginx, Server, free_port, missing_nginx, run_script, temporary_directory
from tests.interop.test_transfers import MIB, differences, impossible, make_file

__all__ = ["own_proxy"]

SERVER = """
server {
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    root {root};
    location /files/ { dav_methods PUT; client_max_body_size 0; client_body_buffer_size 1m; }
}
"""

LARGE = 1024 * MIB
SMALL = LARGE if THOROUGH else 128 * MIB

#: By how much the process may grow, in bytes.
MOST = 64 * MIB


def own_proxy(case: TestCase, kind: str, pem: Path) -> Server:
    """The proxy of `twisted_gun.testing`, over TLS, in a process of its own; it prints its port, as JSON."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    script = str(Path(__file__).with_name("proxy.py"))
    return Server(case, ("env", f"PYTHONPATH={path}", sys.executable, "-P", "-Wignore", script, kind, str(pem)), b"}\n")


class TransferCase(TestCase):
    """nginx over TLS, which speaks HTTP/1.1 and HTTP/2, behind `proxies`: URLs, each reached through the one before it."""

    timeout = 240
    skip = missing_nginx("http_dav_module", "http_ssl_module", "http_v2_module") or impossible()
    #: What is spoken with each of the proxies.
    spoken: tuple[str, ...]

    async def setUp(self) -> None:  # type: ignore[override]
        port = free_port()
        self.nginx = Nginx(self, SERVER.replace("{port}", str(port)))
        self.root, self.url = self.nginx.root, f"https://127.0.0.1:{port}/files"
        self.issued = authority().issue("127.0.0.1")
        (self.root / "server.pem").write_bytes(self.issued.pem)
        (self.root / "authority.pem").write_bytes(authority().pem)
        (self.root / "files").mkdir()
        await self.nginx.start()
        self.proxies = await self.start_proxies()

    async def start_proxies(self) -> list[str]:
        """Start the proxies; their URLs, as transfer.py takes them."""
        raise NotImplementedError

    async def own_proxy(self, kind: str) -> int:
        """The port of a proxy of our own, when it has started."""
        printed = await own_proxy(self, kind, self.root / "server.pem").start()
        port: int = json.loads(printed)["port"]
        return port

    async def transfer(self, direction: str, size: int, *way: str) -> None:
        """Move a file of `size` bytes in the `way` that transfer.py takes; all of it must arrive, and the process stay small."""
        source = make_file(self.root / "files" / "source", size)
        url, path, target, status = {
            "download": (f"{self.url}/source", target := temporary_directory(self) / "target", target, 200),
            "upload": (f"{self.url}/target", source, self.root / "files" / "target", 201),
        }[direction]
        printed: dict[str, Any]
        printed = await run_script(self, "transfer.py", direction, url, str(path), str(self.root / "authority.pem"), *way, *self.proxies)
        cost = (
            f"{size / MIB / printed['seconds']:.0f} MiB/s, grew by {printed['grown'] / MIB:.2f} MiB from {printed['before'] / MIB:.1f} MiB"
        )
        log.msg(f"{direction} of {size // MIB} MiB, {' '.join(way)} {printed['through']}: {cost}")
        self.assertEqual((printed["status"], printed["bytes"], tuple(printed["through"])), (status, size, self.spoken))
        self.assertEqual(differences(target, size), [])
        self.assertLess(printed["grown"], MOST, printed)


class Http2ConnectTests(TransferCase):
    """Through CONNECT over HTTP/2 and TLS: nghttpx, with tinyproxy behind it, or else our own proxy."""

    spoken = ("http2",)
    others = missing_proxy(Nghttpx, Tinyproxy) is None
    large = LARGE if others else SMALL

    async def start_proxies(self) -> list[str]:
        if not self.others:
            return [f"https://127.0.0.1:{await self.own_proxy('http2+http')}"]
        proxy = Nghttpx(self, behind=Tinyproxy(self), tls=self.issued)
        await proxy.start()
        return [proxy.url]

    async def test_download(self) -> None:
        """A download by the option `proxy` takes no memory, and the file is the one that was served."""
        await self.transfer("download", self.large, "", "option")

    async def test_upload(self) -> None:
        """An upload from an IBodyProducer likewise."""
        await self.transfer("upload", self.large, "", "option")

    async def test_download_by_http2(self) -> None:
        """HTTP/2 in HTTP/2: both have windows."""
        await self.transfer("download", SMALL, "own", "option")

    async def test_upload_by_http2(self) -> None:
        """The same, up."""
        await self.transfer("upload", SMALL, "own", "option")

    async def test_download_by_hand(self) -> None:
        """The same through a tunnel of the user's own, by `connect`."""
        await self.transfer("download", SMALL, "", "connect")

    async def test_upload_by_hand(self) -> None:
        """The same, up."""
        await self.transfer("upload", SMALL, "", "connect")


class Socks5Tests(TransferCase):
    """Through a SOCKS5 proxy over TLS, and through that to another one: microsocks, with HAProxy before it for TLS, or else our own."""

    spoken = ("socks", "socks")

    async def start_proxies(self) -> list[str]:
        if missing_proxy(Microsocks, TlsFront):
            return [f"socks5s://127.0.0.1:{await self.own_proxy('socks5')}" for _ in self.spoken]
        fronts = [TlsFront(self, behind=Microsocks(self), tls=self.issued) for _ in self.spoken]
        for front in fronts:
            await front.start()
        return [f"socks5s://127.0.0.1:{front.port}" for front in fronts]

    async def test_download(self) -> None:
        """A download takes no memory."""
        await self.transfer("download", SMALL, "", "connect")

    async def test_upload(self) -> None:
        """An upload takes no memory."""
        await self.transfer("upload", SMALL, "", "connect")
