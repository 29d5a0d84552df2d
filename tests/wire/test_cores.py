"""Which core it is that speaks HTTP/2, or websockets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.options import Http2Options, WsOptions
from twisted_gun.wire.cores import http2_core, websocket_core
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.reference.http2 import Http2 as ReferenceHttp2
from twisted_gun.wire.reference.websocket import Websocket as ReferenceWebsocket
from twisted_gun.wire.websocket import Websocket

from .conversation import A


class ChoiceTests(SynchronousTestCase):
    """The one that the option names; ours, where it names none."""

    def test_http2(self) -> None:
        """Of HTTP/2: ours, or that on hyper-h2."""
        for options, kind in ((Http2Options(), Http2), (Http2Options(core="own"), Http2), (Http2Options(core="h2"), ReferenceHttp2)):
            self.assertIs(type(http2_core(options, b"https", lambda parent, method: None)), kind)

    def test_websocket(self) -> None:
        """Of websockets: ours, or that on wsproto."""
        choices = ((WsOptions(), Websocket), (WsOptions(core="own"), Websocket), (WsOptions(core="wsproto"), ReferenceWebsocket))
        for options, kind in choices:
            self.assertIs(type(websocket_core(A, options, Agreement(protocol=None, deflate=None), True)), kind)
