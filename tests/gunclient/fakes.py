"""What stands for connections in tests that ask them no more than `info`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

__all__ = ["FakeConnection"]


class FakeConnection:
    """A connection over TLS, through two proxies."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def info(self) -> Any:
        """What `Connection.info` gives, as far as it is asked for."""
        proxies = (SimpleNamespace(host="proxy.example", port=3128), SimpleNamespace(host="::1", port=1080))
        tls = SimpleNamespace(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")
        return SimpleNamespace(peer=self._peer, tls=tls, intermediaries=proxies)
