"""Files of 1 GiB, down and up, in a process of its own whose memory must not grow with them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.python import log
from twisted.trial.unittest import TestCase

from tests.certificates import authority
from tests.interop.servers import Nginx, free_port, missing_nginx, run_script, temporary_directory

SERVER = """
server {
    listen 127.0.0.1:{port};
    root {root};
    sendfile on;
    location /files/ { dav_methods PUT; client_max_body_size 0; client_body_buffer_size 1m; }
}
server {
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {root}/server.pem;
    ssl_certificate_key {root}/server.pem;
    root {root};
    location /files/ { dav_methods PUT; client_max_body_size 0; client_body_buffer_size 1m; }
}
"""

MIB = 1024 * 1024
SIZE = 1024 * MIB

#: By how much the process may grow, in bytes.
MOST = 32 * MIB


def impossible() -> str | None:
    """Why such transfers cannot be made and measured here; None if they can."""
    if sys.platform != "linux":
        return "THIS IS NOT LINUX: the memory that transfers take was not measured"
    if shutil.disk_usage(tempfile.gettempdir()).free < 3 * SIZE:
        return f"{tempfile.gettempdir()} HAS LESS THAN 3 GiB FREE: transfers of 1 GiB were not tried"
    return None


class TransferTests(TestCase):
    """nginx serves and takes a sparse file that has a mark every 16 MiB, at odd places."""

    timeout = 120
    skip = missing_nginx("http_dav_module", "http_ssl_module") or impossible()

    async def setUp(self) -> None:  # type: ignore[override]
        port, tls_port = free_port(), free_port()
        self.nginx = Nginx(self, SERVER.replace("{port}", str(port)).replace("{tls_port}", str(tls_port)))
        self.root = self.nginx.root
        (self.root / "server.pem").write_bytes(authority().issue("127.0.0.1").pem)
        (self.root / "authority.pem").write_bytes(authority().pem)
        (self.root / "files").mkdir()
        self.source = make_file(self.root / "files" / "source")
        self.url = f"http://127.0.0.1:{port}/files"
        self.tls_url = f"https://127.0.0.1:{tls_port}/files"
        await self.nginx.start()

    async def transfer(self, direction: str, url: str, path: Path, status: int) -> None:
        """Run the transfer; it must move all, and stay small."""
        printed = await run_script(self, "transfer.py", direction, url, str(path), str(self.root / "authority.pem"))
        speed = SIZE / MIB / printed["seconds"]
        log.msg(f"{direction} {url}: {speed:.0f} MiB/s, grew by {printed['grown'] / MIB:.2f} MiB from {printed['before'] / MIB:.1f} MiB")
        self.assertEqual((printed["status"], printed["bytes"]), (status, SIZE))
        self.assertLess(printed["grown"], MOST, printed)

    async def test_download(self) -> None:
        """A download to a file takes no memory, and the file is the one that was served."""
        target = temporary_directory(self) / "target"
        await self.transfer("download", f"{self.url}/source", target, 200)
        self.assertEqual(differences(target), [])

    async def test_upload(self) -> None:
        """An upload from an IBodyProducer takes no memory, and the file is the one that was sent."""
        await self.transfer("upload", f"{self.url}/target", self.source, 201)
        self.assertEqual(differences(self.root / "files" / "target"), [])

    async def test_download_over_tls(self) -> None:
        """The same download, over TLS."""
        target = temporary_directory(self) / "target"
        await self.transfer("download", f"{self.tls_url}/source", target, 200)
        self.assertEqual(differences(target), [])

    async def test_upload_over_tls(self) -> None:
        """The same upload, over TLS."""
        await self.transfer("upload", f"{self.tls_url}/target", self.source, 201)
        self.assertEqual(differences(self.root / "files" / "target"), [])


def _marks(size: int) -> dict[int, bytes]:
    """What stands where in a file; the last mark is its end."""
    places = [*range(7, size - 16, 16 * MIB + 1), size - 16]
    return {place: b"%16d" % place for place in places}


def make_file(path: Path, size: int = SIZE) -> Path:
    """A sparse file of so many bytes, with marks."""
    with path.open("wb") as file:
        for place, mark in _marks(size).items():
            file.seek(place)
            file.write(mark)
    return path


def differences(path: Path, expected: int = SIZE) -> list[Any]:
    """The marks that are not where they should be, and the size if it is another."""
    size = os.path.getsize(path)
    with path.open("rb") as file:
        found = {place: os.pread(file.fileno(), 16, place) for place in _marks(expected)}
    wrong: list[Any] = [place for place, mark in _marks(expected).items() if found[place] != mark]
    return wrong if size == expected else [*wrong, f"size {size}"]
