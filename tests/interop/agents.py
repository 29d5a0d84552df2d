"""Agents against real servers: each test is made over HTTP/1.1 and over HTTP/2, both over TLS."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.trial.unittest import TestCase

from tests.certificates import authority
from tests.interop.servers import missing, node, temporary_directory
from twisted_gun.agent import GunAgent

__all__ = ["AgentCase", "sockets"]


def sockets() -> int:
    """How many sockets this process has."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


class AgentCase(TestCase):
    """A test against node with agent.js; `versions` has an agent for each version of HTTP, by what a response says of itself."""

    timeout = 60
    skip = missing("node", "nodejs")

    async def setUp(self) -> None:  # type: ignore[override]
        self.root = temporary_directory(self)
        issued = authority().issue("127.0.0.1")
        for name, pem in {"key": issued.key_pem, "certificate": issued.certificate_pem, "authority": authority().pem}.items():
            (self.root / f"{name}.pem").write_bytes(pem)
        paths = [str(self.root / "key.pem"), str(self.root / "certificate.pem")]
        self.ports = json.loads(await node(self, *paths, script="agent.js").start())
        self.base = f"https://127.0.0.1:{self.ports['secure']}"
        self.versions = {1: self.agent(protocols=["http"]), 2: self.agent()}

    def agent(self, **options: Any) -> GunAgent:
        """An agent that trusts the server, and is closed when the test is over."""
        made = GunAgent(**{"tls_opts": {"trust_root": str(self.root / "authority.pem")}, **options})
        self.addCleanup(made.close)
        return made
