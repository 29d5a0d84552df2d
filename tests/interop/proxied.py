"""What tests through real proxies share: a proxy, origins of each kind behind it, and ways to reach one through the other."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from twisted.internet.defer import ensureDeferred
from twisted.python import log

import twisted_gun as gun
from tests.certificates import Issued, authority
from tests.interop.http2 import Http2Case
from tests.interop.proxies import Credentials, Proxy, TlsFront, closed_port
from tests.interop.servers import close, node
from tests.interop.test_restarts import Owner, soon

__all__ = [
    "CREDENTIALS",
    "MUCH",
    "Case",
    "Origin",
    "ProxyCase",
    "ProxyTests",
    "RestartTests",
    "TunnelRestartTests",
    "digest",
    "proxy_failure",
]

#: Ten megabytes, no four bytes of which are like any others.
MUCH = array("I", range(2_500_000)).tobytes()

CREDENTIALS = ("gun", "pass-word.1")
WRONG = ("gun", "secret-guess")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An origin at `url`, which speaks `protocol`."""

    url: str
    protocol: str

    @property
    def port(self) -> int:
        """Its port, on 127.0.0.1."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def transport(self) -> str:
        """How to connect to it: "tcp" or "tls"."""
        return "tls" if self.url.startswith("https:") else "tcp"


class ProxyCase(Http2Case):
    """
    A test through `proxy`, which wants `credentials`, to origins of HTTP/1.1 and HTTP/2, each plain and over TLS.

    Each kind of proxy is a class of its own; `ways` are the methods by which an origin is reached through it. Those lead through the same
    tunnel: what takes long is done by one of them.
    """

    ways: tuple[str, ...] = ("by_option", "by_hand")
    credentials: Credentials | None = CREDENTIALS
    #: What is spoken to the proxy, where that is said.
    spoken = "http"
    #: How much is sent up to HTTP/2 in one go.
    most_by_http2 = len(MUCH)
    #: What it answers, a status or the name of an error, to each kind of thing that does not work.
    answers: ClassVar[dict[str, Any]]

    def make(self, credentials: Credentials | None, tls: Issued) -> Proxy:
        """The proxy, not started; it may show the certificate `tls`."""
        raise NotImplementedError

    async def serve(self) -> list[str]:
        self.issued = authority().issue("127.0.0.1")
        self.proxy = self.make(self.credentials, self.issued)
        await self.proxy.start()
        return [self.proxy.url]

    async def start_origins(self) -> list[Origin]:
        """Start node, which has much in "/file", and HAProxy in front of its HTTP/1.1."""
        source = self.root / "files" / "source"
        source.write_bytes(MUCH)
        urls = await self.start_node(source)
        plain = Origin(url=urls["behind"], protocol="http")
        front = TlsFront(self, behind=plain.port, tls=self.issued, alpn="http/1.1")
        await front.start()
        return [
            plain,
            Origin(url=f"https://127.0.0.1:{front.port}", protocol="http"),
            Origin(url=urls["plain"], protocol="http2"),
            Origin(url=urls["secure"], protocol="http2"),
        ]

    async def start_websockets(self) -> list[Origin]:
        """Start node with websocket.js, which has websockets over HTTP/1.1 and HTTP/2, each plain and over TLS."""
        arguments = [str(self.root / "key.pem"), str(self.root / "certificate.pem")]
        ports = json.loads(await node(self, *arguments, script="websocket.js").start())
        names = {"http": "http", "https": "http", "h2c": "http2", "h2": "http2"}
        schemes = {name: "https" if name in ("https", "h2") else "http" for name in names}
        return [Origin(url=f"{schemes[name]}://127.0.0.1:{ports[name]}", protocol=names[name]) for name in names]

    @property
    def trust(self) -> dict[str, Any]:
        """TLS options that trust the authority of the tests."""
        return {"trust_root": str(self.root / "authority.pem")}

    async def reach(self, way: str, origin: Origin, credentials: Credentials | None, host: str = "127.0.0.1") -> Any:
        """What makes requests of the origin through the proxy, by this way: a connection or a tunnel, when it is up."""
        reached = await getattr(self, way)(origin, credentials, host)
        self.assertEqual(await reached.await_up(), origin.protocol)
        return reached

    async def by_option(self, origin: Origin, credentials: Credentials | None, host: str) -> gun.Connection:
        """By the option `proxy`."""
        url = origin.url.replace("127.0.0.1", host)
        return self.open(url, protocols=[origin.protocol], proxy=self.proxy.url_with(credentials), retry=0)

    async def by_hand(self, origin: Origin, credentials: Credentials | None, host: str) -> Any:
        """By a connection to the proxy, and CONNECT."""
        conn = self.to_proxy()
        await conn.await_up()
        return conn.connect(self.destination(origin, credentials, host))

    def to_proxy(self, **options: Any) -> gun.Connection:
        """A connection to the proxy, which is closed when the test is over."""
        opts = {"protocols": [self.spoken], "http2_opts": {"core": self.core}, "tls_opts": self.trust, "retry": 0, **options}
        conn = gun.open("127.0.0.1", self.proxy.port, transport=self.proxy.transport_name, **opts)
        self.addCleanup(close, conn)
        return conn

    def destination(self, origin: Origin, credentials: Credentials | None, host: str = "127.0.0.1") -> dict[str, Any]:
        """The origin as a destination of CONNECT."""
        protocols = [("http2", {"core": self.core}) if origin.protocol == "http2" else origin.protocol]
        described = {"host": host, "port": origin.port, "transport": origin.transport, "protocols": protocols}
        if credentials is not None:
            described["username"], described["password"] = credentials
        return {**described, "tls_opts": self.trust} if origin.transport == "tls" else described

    async def refusal(self, way: str, origin: Origin, credentials: Credentials | None, host: str = "127.0.0.1") -> gun.ProxyFailed:
        """How this way ends, which does not lead to the origin."""
        error = await self.assertFailure(self.reach_later(way, origin, credentials, host), gun.GunError)
        failed = proxy_failure(error)
        log.msg(f"{type(self).__name__} {way} {origin.url} {host}: {error} / {failed}")
        if credentials is not None:
            self.assertNotIn(credentials[1], f"{error} {failed}")
        return failed

    def reach_later(self, *arguments: Any) -> Any:
        """The same as `reach`, as a Deferred."""
        return ensureDeferred(self.reach(*arguments))


# What is tested through several proxies is no test case by itself: trial would run it.
if TYPE_CHECKING:
    Case = ProxyCase
else:
    Case = object


class ProxyTests(Case):
    """What every proxy is used for."""

    async def test_origins(self) -> None:
        """Each kind of origin answers several requests through one tunnel, and the proxy knows of it."""
        for origin, way in product(await self.start_origins(), self.ways):
            reached = await self.reach(way, origin, self.credentials)
            for at in range(3):
                self.assertEqual(await self.body(reached.get(f"/n/{at}")), b"GET /n/%d" % at)
            await close(getattr(reached, "connection", reached))
            await self.proxy.has_reached(origin.port)

    async def test_much(self) -> None:
        """Ten megabytes come through whole, up and down, with TLS in the tunnel."""
        _, https, _, http2 = await self.start_origins()
        for origin in (https, http2):
            reached = await self.reach(self.ways[0], origin, self.credentials)
            content = MUCH if origin is https else MUCH[: self.most_by_http2]
            self.assertEqual(await self.body(reached.post("/digest", body=content)), digest(content))
            self.assertEqual(digest(await self.body(reached.get("/file"))), digest(MUCH))

    async def test_websockets(self) -> None:
        """Websockets of each kind echo what they are sent."""
        for origin in await self.start_websockets():
            reached = await self.reach(self.ways[-1], origin, self.credentials)
            stream = reached.ws_upgrade("/echo")
            await stream.await_upgrade()
            for message in ("text", MUCH[:200_000]):
                stream.ws_send(message)
                event = await stream.await_event()
                self.assertEqual(event.frame.text if isinstance(message, str) else event.frame.data, message)

    async def test_raw(self) -> None:
        """Bytes that are HTTP to the origin only go through as they are, and the end that one side makes comes back from the other."""
        http, https, _, _ = await self.start_origins()
        for origin, way in product((http, https), self.ways):
            reached = await self.reach(way, Origin(url=origin.url, protocol="raw"), self.credentials)
            stream: Any = reached if isinstance(reached, gun.Tunnel) else reached.raw
            stream.data(b"GET /n/1 HTTP/1.1\r\nhost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"\r\n\r\nGET /n/1"):
                event = await stream.await_event()
                got += event.data if isinstance(event, gun.Data) else b""
            stream.data(b"", fin=True)
            end = await stream.await_event()
            self.assertEqual((type(end), end.fin, end.data), (gun.Data, True, b""))

    async def test_credentials(self) -> None:
        """Wrong credentials, and none, are refused in so many words."""
        await self.assert_credentials_refused(WRONG)

    async def assert_credentials_refused(self, wrong: Credentials) -> None:
        """Those are, and none."""
        origin = Origin(url=f"http://127.0.0.1:{closed_port(self)}", protocol="http")
        for way in self.ways:
            for credentials, kind in ((wrong, "wrong"), (None, "none")):
                self.assert_answer(await self.refusal(way, origin, credentials), kind)

    async def test_refusals(self) -> None:
        """A port that the proxy's rules refuse, one that nobody listens on, and a name that nobody has: each is told as what it is."""
        closed = closed_port(self)
        for way in self.ways:
            if self.proxy.refused is not None:
                origin = Origin(url=f"http://127.0.0.1:{self.proxy.refused}", protocol="http")
                self.assert_answer(await self.refusal(way, origin, self.credentials), "refused")
            origin = Origin(url=f"http://127.0.0.1:{closed}", protocol="http")
            self.assert_answer(await self.refusal(way, origin, self.credentials), "closed")
            self.assert_answer(await self.refusal(way, origin, self.credentials, "nowhere.invalid"), "unknown")

    def assert_answer(self, failed: gun.ProxyFailed, kind: str) -> None:
        """It is what this proxy answers to such a thing."""
        self.assertEqual(failed.status if failed.error is None else failed.error, self.answers[kind], f"{kind}: {failed}")


class RestartTests(Case):
    """What the option `proxy` does with the tunnel: it ends it, and makes it again."""

    async def test_shutdown(self) -> None:
        """A graceful end lets what is under way come through whole, and is the end."""
        _, https, _, http2_over_tls = await self.start_origins()
        for origin in (https, http2_over_tls):
            conn = await self.reach("by_option", origin, self.credentials)
            stream = conn.get("/file")
            await stream.await_response()
            ended = conn.shutdown()
            self.assertEqual(digest(await stream.await_body()), digest(MUCH))
            await ended

    async def test_killed(self) -> None:
        """A proxy that dies during a transfer takes the connection down; when it is back so is the connection, through it."""
        owner = Owner()
        http, _, _, http2_over_tls = await self.start_origins()
        for origin in (http, http2_over_tls):
            conn = self.open(origin.url, protocols=[origin.protocol], proxy=self.proxy.url, owner=owner, retry_fun=soon)
            await conn.await_up()
            told = Owner()
            stream = conn.get("/bytes/1000000000", reply_to=told)
            failed, down, up = told.next(gun.Error), owner.next(gun.Down), owner.next(gun.Up)
            await told.next(gun.Data)
            await self.proxy.stop()
            await down
            await failed
            self.assertEqual([event.killed_streams for event in owner.told if isinstance(event, gun.Down)][-1], (stream,))
            await self.proxy.start()
            await up
            self.assertEqual(await self.body(conn.get("/n/1")), b"GET /n/1")
            await close(conn)
        self.assertEqual([type(event).__name__ for event in owner.told], ["Up", "Down", "Up"] * 2)

    async def test_restarted_when_idle(self) -> None:
        """A proxy that is restarted while nothing is under way costs no request: all go through in the end, on a tunnel made again."""
        owner = Owner()
        _, https, _, _ = await self.start_origins()
        conn = self.open(https.url, protocols=["http"], proxy=self.proxy.url, owner=owner, retry_fun=soon)
        for at in range(3):
            self.assertEqual(await self.body(conn.get(f"/n/{at}")), b"GET /n/%d" % at)
            up = owner.next(gun.Up)
            await self.proxy.stop()
            await self.proxy.start()
            await up


class TunnelRestartTests(Case):
    """What becomes of tunnels that one has asked for oneself."""

    async def test_killed_with_tunnel(self) -> None:
        """A proxy that dies takes with it the tunnel and what is in it; the connection comes back by itself, and takes new tunnels."""
        http, _, _, http2_over_tls = await self.start_origins()
        for origin in (http, http2_over_tls):
            owner, told = Owner(), Owner()
            conn = self.to_proxy(owner=owner, retry=5, retry_fun=soon)
            await conn.await_up()
            tunnel = conn.connect(self.destination(origin, self.credentials))
            await tunnel.await_up()
            stream = tunnel.get("/bytes/1000000000", reply_to=told)
            failed, down, up = told.next(gun.Error), owner.next(gun.Down), owner.next(gun.Up)
            await told.next(gun.Data)
            await self.proxy.stop()
            await down
            await failed
            # Over HTTP/1.1 the tunnel may have ended before, in good order: the system closes the sockets of those whom it kills.
            downs = [event for event in owner.told if isinstance(event, gun.Down)]
            self.assertEqual([{*event.killed_streams, tunnel} for event in downs], [{tunnel, stream}])
            self.assertEqual([event.unprocessed_streams for event in downs], [()])
            self.assertRaises(gun.BadState, tunnel.get, "/")
            await self.proxy.start()
            await up
            again = conn.connect(self.destination(origin, self.credentials))
            self.assertEqual(await self.body(again.get("/n/1")), b"GET /n/1")
            await close(conn)


def digest(content: bytes) -> bytes:
    """The SHA-256 of this, as node tells it."""
    return hashlib.sha256(content).hexdigest().encode()


def proxy_failure(error: BaseException | None) -> gun.ProxyFailed:
    """The first `ProxyFailed` among `error` and its causes."""
    met = error
    while met is not None and not isinstance(met, gun.ProxyFailed):
        met = met.__cause__
    assert met is not None, f"no proxy refused: {error!r}"
    return met
