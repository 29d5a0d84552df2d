"""
``/health`` and ``/metrics``, over HTTP on the loopback interface only.

Neither shows what a server sent, nor where to, but for the URL without its query.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

__all__ = ["Health", "HealthService", "LOOPBACK"]

#: Where it is served.
LOOPBACK = "127.0.0.1"


class Health:
    """What is told: `status` gives whether all is well and the fields that say more, `metrics` the text for Prometheus."""

    def __init__(self, status: Callable[[], tuple[bool, dict[str, Any]]], metrics: Callable[[], bytes]) -> None:
        self.status = status
        self.metrics = metrics


class HealthService(Service):
    """Serves `health` on `port` of 127.0.0.1; `address` is where, once it listens."""

    address: Any = None

    def __init__(self, health: Health, port: int, reactor: Any) -> None:
        pages = {b"/health": lambda: _status(health), b"/metrics": lambda: (200, _METRICS, health.metrics())}
        self._site = _Site(_Pages(pages))
        self._port = port
        self._reactor = reactor
        self._listening: Any = None

    def privilegedStartService(self) -> None:
        self._listen()

    def startService(self) -> None:
        Service.startService(self)
        self._listen()

    def stopService(self) -> Any:
        Service.stopService(self)
        listening, self._listening = self._listening, None
        return None if listening is None else listening.stopListening()

    def _listen(self) -> None:
        if self._listening is None:
            self._listening = self._reactor.listenTCP(self._port, self._site, interface=LOOPBACK)
            self.address = self._listening.getHost()
            _log.info("health is served on http://{host}:{port}/health", host=self.address.host, port=self.address.port)


#: Status, media type and content.
Page = tuple[int, bytes, bytes]

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"
_NOT_FOUND: Page = (404, b"text/plain", b"there are /health and /metrics\n")
_NOT_ALLOWED: Page = (405, b"text/plain", b"to be read only\n")


def _status(health: Health) -> Page:
    well, fields = health.status()
    told = {"status": "up" if well else "down", **fields}
    return 200 if well else 503, b"application/json", json.dumps(told).encode() + b"\n"


class _Pages(Resource):
    """What there is at each path; each `Page` is made anew for each request."""

    isLeaf = True

    def __init__(self, pages: Mapping[bytes, Callable[[], Page]]) -> None:
        Resource.__init__(self)
        self._pages = pages

    def render(self, request: Request) -> bytes:
        """The content of the answer; Twisted leaves it out where HEAD asked for it."""
        make = self._pages.get(request.path)
        code, kind, content = _NOT_FOUND
        if make is not None and request.method in (b"GET", b"HEAD"):
            code, kind, content = make()
        elif make is not None:
            code, kind, content = _NOT_ALLOWED
            request.setHeader(b"allow", b"GET, HEAD")
        request.setResponseCode(code)
        request.setHeader(b"content-type", kind)
        request.setHeader(b"content-length", b"%d" % len(content))
        request.setHeader(b"cache-control", b"no-store")
        return content


class _Site(Site):
    """A site that logs nothing, and shows no traceback."""

    noisy = False
    displayTracebacks = False

    def __init__(self, root: Resource) -> None:
        Site.__init__(self, root, timeout=30)

    def logPrefix(self) -> str:
        """For the log."""
        return "health"

    def log(self, request: Any) -> None:
        """Whoever asks every few seconds is not worth a line each time."""


_log = Logger()
