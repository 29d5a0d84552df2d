"""Tunnels over HTTP/2, and HTTP/2 in them, by the reference core: as by our own."""

from __future__ import annotations

from tests import (
    test_tunnels_cancel,
    test_tunnels_flow,
    test_tunnels_pings,
    test_tunnels_refused,
    test_tunnels_requests,
    test_tunnels_shutdown,
    test_tunnels_uploads,
)
from tests.tunnels import TunnelCase


class Reference(TunnelCase):
    """Two proxies and an origin that speak HTTP/2."""

    core = "h2"
    proxies: tuple[str, ...] = ("h2c", "h2c")
    origin = "h2c"


class WaitingTests(Reference, test_tunnels_requests.WaitingTests):
    """Requests that wait."""


class FlowTests(Reference, test_tunnels_flow.FlowTests):
    """Flow."""


class UnreadTests(Reference, test_tunnels_flow.UnreadTests):
    """Unread streams."""


class ProducerTests(Reference, test_tunnels_uploads.ProducerTests):
    """Producers."""


class PingTests(Reference, test_tunnels_pings.PingTests):
    """Pings."""


class KeepaliveTests(Reference, test_tunnels_pings.Http2KeepaliveTests):
    """Keepalive."""


class CancelTests(Reference, test_tunnels_cancel.TunnelTests):
    """Cancelling."""


class StatusTests(Reference, test_tunnels_refused.StatusTests):
    """Refusals."""


class ConnectionShutdownTests(Reference, test_tunnels_shutdown.ConnectionTests):
    """shutdown() of the connection."""


class TunnelShutdownTests(Reference, test_tunnels_shutdown.TunnelTests):
    """shutdown() of a tunnel."""


class OriginGoesAwayTests(Reference, test_tunnels_shutdown.OriginGoesAwayTests):
    """GOAWAY of the origin."""


class ProxyGoesAwayTests(Reference, test_tunnels_shutdown.ProxyGoesAwayTests):
    """GOAWAY of a proxy."""
