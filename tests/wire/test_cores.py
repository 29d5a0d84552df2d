"""Which core it is that speaks HTTP/2, or websockets; and that each core is all that it has to be."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.options import Http2Options, HttpOptions, RawOptions, SocksOptions, WsOptions
from twisted_gun.wire.core import Core, HttpCore, TunnelCore, WsCore
from twisted_gun.wire.cores import http2_core, websocket_core
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.raw import Raw
from twisted_gun.wire.reference.http2 import Http2 as ReferenceHttp2
from twisted_gun.wire.reference.websocket import Websocket as ReferenceWebsocket
from twisted_gun.wire.socks5 import Socks5
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


def members(kind: type[Any]) -> set[str]:
    """What a core of this kind has."""
    named = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", ())}
    return {name for name in {*dir(kind), *named} if not name.startswith("_")}


class KindTests(SynchronousTestCase):
    """Each core fills the protocol that it is used by; what types say is held here at run time too."""

    def test_members(self) -> None:
        """Every member is there, and the cores' names are Gun's."""
        agreement = Agreement(protocol=None, deflate=None)
        requests: list[HttpCore] = [Http1(HttpOptions()), *(http2_core(Http2Options(core=core), b"http", print) for core in ("own", "h2"))]
        tunnels: list[TunnelCore] = [*requests, Socks5(SocksOptions(host="example.org", port=80))]
        websockets: list[WsCore] = [websocket_core(A, WsOptions(core=core), agreement, True) for core in ("own", "wsproto")]
        cores: list[Core] = [*tunnels, *websockets, Raw(A, RawOptions())]
        of_kinds: tuple[tuple[Any, list[Any]], ...] = (Core, cores), (HttpCore, requests), (TunnelCore, tunnels), (WsCore, websockets)
        for kind, all_of_them in of_kinds:
            for core in all_of_them:
                self.assertEqual([name for name in members(kind) if not hasattr(core, name)], [], core)
        self.assertEqual([core.name for core in cores], ["http", "http2", "http2", "socks", "ws", "ws", "raw"])
        self.assertEqual([core.switched for core in tunnels], [False] * 4)
        self.assertEqual([core.small("hello") is not None for core in websockets], [True, False], "the reference has no short way")
        self.assertIn("connect", members(TunnelCore))
        self.assertIn("served", members(WsCore))
