"""
Large files over HTTP/2, down and up, in a process of its own whose memory must not grow with them.

They have 64 MiB and go over TLS; with GUN_TESTS_THOROUGH in the environment they have 1 GiB, and go in the clear too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.python import log

from tests.interop.http2 import THOROUGH, HAProxyCase, Http2Case, NghttpdCase, NginxCase, NodeCase
from tests.interop.servers import run_script
from tests.interop.test_transfers import MIB, differences, impossible, make_file

if TYPE_CHECKING:
    _Case = Http2Case
else:
    _Case = object

SIZE = (1024 if THOROUGH else 64) * MIB

#: By how much the process may grow, in bytes.
MOST = 48 * MIB


class TransferTests(_Case):
    """A download and an upload."""

    timeout = 300
    #: Where the file is served, and where it is sent.
    source, target = "/file", "/digest"

    async def transfer(self, direction: str, url: str, path: Path) -> int:
        """Run the transfer, which must move all and stay small; the status of the response."""
        printed: dict[str, Any]
        printed = await run_script(self, "transfer.py", direction, url, str(path), str(self.root / "authority.pem"), self.core)
        speed = SIZE / MIB / printed["seconds"]
        grown, before = printed["grown"] / MIB, printed["before"] / MIB
        log.msg(f"{self.core} core, {direction} {url}: {speed:.0f} MiB/s, grew by {grown:.2f} MiB from {before:.1f} MiB")
        self.assertEqual(printed["bytes"], SIZE)
        self.assertLess(printed["grown"], MOST, printed)
        status: int = printed["status"]
        return status

    def file(self) -> Path:
        """The file that is moved."""
        path = self.root / "files" / "source"
        return path if path.exists() else make_file(path, SIZE)

    def check_upload(self) -> None:
        """Whether the server has got what was sent, where that can be known."""

    async def test_download(self) -> None:
        """A download to a file takes no memory, and the file is the one that was served."""
        self.file()
        for url in self.urls if THOROUGH else self.urls[1:]:
            target = self.root / "target"
            self.assertEqual(await self.transfer("download", url + self.source, target), 200)
            self.assertEqual(differences(target, SIZE), [])

    async def test_upload(self) -> None:
        """An upload from an IBodyProducer takes no memory, and the file is the one that was sent."""
        for url in self.urls if THOROUGH else self.urls[1:]:
            self.assertIn(await self.transfer("upload", url + self.target, self.file()), (200, 201, 204))
            self.check_upload()


class NginxTests(TransferTests, NginxCase):
    """nginx serves the file, and keeps what is sent."""

    skip = NginxCase.skip or impossible()
    source, target = "/files/source", "/files/target"

    def file(self) -> Path:
        path = self.files / "source"
        return path if path.exists() else make_file(path, SIZE)

    def check_upload(self) -> None:
        self.assertEqual(differences(self.files / "target", SIZE), [])
        (self.files / "target").unlink()


class NodeTests(TransferTests, NodeCase):
    """node serves the file, and takes what is sent; test_digest says whether it was that."""

    skip = NodeCase.skip or impossible()


class HAProxyTests(TransferTests, HAProxyCase):
    """HAProxy, with node behind it."""

    skip = HAProxyCase.skip or impossible()


class NghttpdTests(TransferTests, NghttpdCase):
    """nghttpd, which throws away what is sent, but resets an upload that has not the length it was said to have."""

    skip = NghttpdCase.skip or impossible()
    arguments = ()
    source, target = "/source", "/0"


class DigestTests(NodeCase):
    """What node says it has got."""

    async def test_digest(self) -> None:
        """What arrives is what was sent, byte for byte."""
        content = bytes(range(256)) * 20_000
        for url in self.urls:
            conn = await self.connect(url)
            digest = await self.body(conn.post("/digest", body=content))
            self.assertEqual(digest.decode(), hashlib.sha256(content).hexdigest())


class ReferenceNginxTests(NginxTests):
    """The reference core, with nginx."""

    core = "h2"
