"""Through proxies of SOCKS5: microsocks, plain and over TLS, and dante."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredList

import twisted_gun as gun
from tests.certificates import Issued
from tests.interop.proxied import CREDENTIALS, Origin, ProxyCase, ProxyTests, RestartTests
from tests.interop.proxies import Credentials, Dante, Microsocks, Proxy, TlsFront, missing_proxy
from tests.interop.test_proxies_http import NODE
from tests.interop.test_restarts import Owner


class SocksCase(ProxyCase):
    """By hand, it is a protocol that the connection speaks."""

    answers: ClassVar[dict[str, Any]] = {
        "wrong": "username_password_auth_failure",
        "none": "no_acceptable_method",
        "refused": "connection_not_allowed_by_ruleset",
        "closed": "connection_refused",
        "unknown": "host_unreachable",
    }

    async def by_hand(self, origin: Origin, credentials: Credentials | None, host: str) -> Any:
        """By a connection that speaks SOCKS5."""
        auth = "none" if credentials is None else ("username_password", *credentials)
        owner = Owner()
        settings = {**self.destination(origin, None, host), "auth": [auth]}
        return SocksTunnel(self.to_proxy(protocols=[("socks", settings)], owner=owner), owner)


class SocksTunnel:
    """A connection that speaks SOCKS5, as a tunnel: `await_up` waits for what is spoken at its end, and requests are the connection's."""

    def __init__(self, conn: gun.Connection, owner: Owner) -> None:
        self.connection = conn
        self.get, self.post, self.ws_upgrade = conn.get, conn.post, conn.ws_upgrade
        self._owner = owner
        self._up = owner.next(gun.TunnelUp)

    @property
    def raw(self) -> gun.Stream:
        """The stream of its bytes, with the raw protocol."""
        return self.connection.raw

    async def await_up(self) -> str:
        """The protocol at its end; raises why there is none."""
        waiting: list[Deferred[Any]] = [self._up, self.connection.when_terminated()]
        reason, ended = await DeferredList(waiting, fireOnOneCallback=True)
        if ended:
            raise reason
        protocols: list[str] = [event.protocol for event in self._owner.told if isinstance(event, (gun.Up, gun.TunnelUp))]
        assert protocols[0] == "socks", protocols
        return protocols[-1]


class MicrosocksCase(SocksCase):
    """microsocks, which says the same of all that it does not know better."""

    skip = NODE or missing_proxy(Microsocks)
    # It delays small packets, as tinyproxy does.
    most_by_http2 = 1_000_000
    answers: ClassVar[dict[str, Any]] = {**SocksCase.answers, "unknown": "general_socks_server_failure"}

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Microsocks(self, credentials=credentials)


class TlsMicrosocksCase(MicrosocksCase):
    """microsocks, with HAProxy before it for TLS; no URL of a proxy says that."""

    ways = ("by_hand",)

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return TlsFront(self, behind=Microsocks(self, credentials=credentials), tls=tls)


class DanteCase(SocksCase):
    """dante, which lets anybody in."""

    skip = NODE or missing_proxy(Dante)
    credentials: Credentials | None = None

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        return Dante(self, credentials=credentials)


class MicrosocksTests(RestartTests, ProxyTests, MicrosocksCase):
    """Through microsocks."""


class TlsMicrosocksTests(ProxyTests, TlsMicrosocksCase):
    """Through microsocks over TLS."""


class DanteTests(RestartTests, ProxyTests, DanteCase):
    """Through dante."""

    async def test_credentials(self) -> None:
        """A dante that wants a user of the system refuses whom it does not know, and who does not say."""
        self.proxy = Dante(self, credentials=CREDENTIALS)
        await self.proxy.start()
        await self.assert_credentials_refused(CREDENTIALS)
