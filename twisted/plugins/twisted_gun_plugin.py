"""``twistd gunclient``: only its name; the rest is imported where it is asked for."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

gunclient = ServiceMaker(
    "Gun HTTP client", "twisted_gun.tap", "A client that keeps a connection: HTTP/1.1, HTTP/2, server-sent events, websockets.", "gunclient"
)
