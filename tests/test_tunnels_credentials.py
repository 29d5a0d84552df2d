"""Credentials: each proxy sees its own and no other's, the origin none of theirs, no proxy the origin's; and nobody is shown any."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

import twisted_gun as gun
from tests.stage import answer
from tests.tunnels import PORT, PROXIES, TunnelCase, Way, spread
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.testing.proxies import ProxyConnection, ProxyFactory

CANARY = "c4n4ry"


def basic(user: str, password: str) -> bytes:
    """As it is sent."""
    return b"Basic " + b64encode(f"{user}:{password}".encode())


class _Recording(ProxyConnection):
    """A connection to a proxy that keeps what it received, as it was before TLS."""

    def __init__(self, proxy: ProxyFactory) -> None:
        super().__init__(proxy)
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        super().dataReceived(data)


def record(way: Way) -> None:
    """Let all proxies of `way` keep what they receive."""
    for factory in way.factories:

        def build(addr: Any, factory: ProxyFactory = factory) -> ProxyConnection:
            factory.connections.append(_Recording(factory))
            return factory.connections[-1]

        factory.buildProtocol = build  # type: ignore[method-assign]


class HopTests(TunnelCase):
    """Every proxy on the way with credentials of its own."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp", "HttpInHttp2", "Http2InHttp", "Http2InHttp2", "SocksInHttp", "HttpInSocks", "Deep")
    origins = ("h2", "https", "http")

    def own_credentials(self) -> tuple[Way, list[tuple[str, str]]]:
        """A way whose proxies each demand other credentials, which are given."""
        way = self.way()
        record(way)
        secrets = [(f"user{place}", f"{CANARY}{place}") for place in range(len(self.proxies))]
        for place, (user, password) in enumerate(secrets):
            way.factories[place].credentials = user, password
            if PROXIES[self.proxies[place]][1] == "socks5":
                way.ends[place + 1] = {"auth": [("username_password", user, password)]}
            else:
                way.ends[place + 1] = {"username": user, "password": password}
        return way, secrets

    def test_each_its_own(self) -> None:
        """proxy-authorization is at the proxy that it was given for, once, and nowhere else."""
        way, secrets = self.own_credentials()
        top = way.ask()
        body = top.get("/", {"authorization": "Bearer 0r1g1n", "cookie": "id=0r1g1n"}).await_body()
        way.pump()
        self.assertEqual(self.successResultOf(body), b"/")
        for factory, (user, password) in zip(way.factories, secrets, strict=True):
            (tunnel,) = factory.tunnels
            self.assertEqual(tunnel.user, user)
            given = [value for name, value in tunnel.headers if name == b"proxy-authorization"]
            self.assertEqual(given, [] if factory.kind == "socks5" else [basic(user, password)])
            for name in (b"authorization", b"cookie"):
                self.assertNotIn(name, dict(tunnel.headers))
        (request,) = way.peer.requests
        names = [name for name, _ in request.headers]
        self.assertIn(b"authorization", names)
        self.assertIn(b"cookie", names)
        self.assertNotIn(b"proxy-authorization", names)
        self.end(way)

    def test_bytes(self) -> None:
        """Nor is a secret of others in the bytes that a proxy receives: of proxies that are reached by TLS behind it, and of the origin."""
        way, secrets = self.own_credentials()
        top = way.ask()
        top.get("/0r1g1n", {"authorization": "Bearer 0r1g1n"})
        way.pump()
        for place, factory in enumerate(way.factories):
            (connection,) = factory.connections
            received = connection.received  # type: ignore[attr-defined]
            hidden = self.origin != "http" or any(PROXIES[name][0] == "tls" for name in self.proxies[place + 1 :])
            if hidden:
                self.assertNotIn(b"0r1g1n", received)
            for other, (user, password) in enumerate(secrets):
                between = self.proxies[place + 1 : other + 1]
                if other < place or any(PROXIES[name][0] == "tls" for name in between):
                    self.assertNotIn(password.encode(), received)
                    self.assertNotIn(basic(user, password), received)
        self.end(way)

    def test_wrong_one(self) -> None:
        """With credentials of another proxy it is refused; a SOCKS proxy is not given those of a Destination."""
        way, _ = self.own_credentials()
        way.factories[-1].credentials = "other", "other"
        top = way.ask()
        waiting = top.get("/").await_response()
        way.pump()
        if way.tunnels:
            error = self.failureResultOf(waiting, gun.ProxyFailed).value
            wanted = (None, "username_password_auth_failure") if self.proxies[-1].startswith("socks") else (407, None)
            self.assertEqual((error.status, error.error), wanted)
        self.assertEqual(way.peers, [])
        self.end(way)
        if not way.tunnels:
            self.failureResultOf(waiting, gun.StreamClosed)


class HeaderTests(TunnelCase):
    """The header fields of a CONNECT."""

    ways = ()

    def test_refused(self) -> None:
        """What is not for a proxy's eyes, or would frame content, is refused at the call; its value is not shown, and nothing is sent."""
        names = (
            "authorization cookie content-length content-type transfer-encoding connection upgrade expect host te trailer keep-alive "
            "http2-settings Authorization COOKIE"
        ).split()
        for protocol in ("http", "http2"):
            world = MemoryGun(protocols=[protocol])
            world.pump()
            before = world.connection.info()
            for name in names:
                error = self.assertRaises(
                    gun.InvalidRequest, world.connection.connect, {"host": "origin.example", "port": PORT}, {name: CANARY}
                )
                self.assertIn(name.lower(), str(error))
                self.assertNotIn(CANARY, str(error))
            world.pump()
            self.assertEqual(world.peer.requests, [])
            self.assertEqual(world.connection.info(), before)
            world.connection.close()
            world.pump()
            self.assert_nothing_left(world)

    def test_others(self) -> None:
        """Others go to the proxy, behind its credentials; a proxy-authorization of the caller's replaces those."""
        end = {"host": "origin.example", "port": PORT, "username": "ann", "password": "sesame"}
        for headers, sent in (
            ({"user-agent": "gun"}, [(b"proxy-authorization", basic("ann", "sesame")), (b"user-agent", b"gun")]),
            ({"Proxy-Authorization": "Bearer x"}, [(b"proxy-authorization", b"Bearer x")]),
        ):
            for protocol in ("http", "http2"):
                world = MemoryGun(protocols=[protocol])
                world.connection.connect(end, headers)
                world.pump()
                (request,) = world.peer.requests
                self.assertEqual([pair for pair in request.headers if pair[0] != b"host"], sent)
                world.connection.close()

    def test_encoding(self) -> None:
        """Credentials that are no ASCII go as UTF-8; bytes go as they are."""
        for user, password, sent in (("änn", "sésame", "änn:sésame".encode()), (b"\xe4", b"\xe9:x", b"\xe4:\xe9:x")):
            world = MemoryGun()
            world.connection.connect({"host": "origin.example", "port": PORT, "username": user, "password": password})
            world.pump()
            self.assertEqual(dict(world.peer.requests[0].headers)[b"proxy-authorization"], b"Basic " + b64encode(sent))
            world.connection.close()

    def test_not_for_an_origin(self) -> None:
        """A 401 to CONNECT gets no answer with anybody's credentials (curl CVE-2026-86414)."""
        world = MemoryGun()
        tunnel = world.connection.connect({"host": "origin.example", "port": PORT})
        inside = tunnel.get("/", {"authorization": CANARY})
        world.pump()
        world.peer.send(answer(b"no", 401, b"www-authenticate: Basic realm=x"))
        world.pump()
        world.advance(20)
        self.assertNotIn(CANARY.encode(), world.peer.received)
        self.failureResultOf(inside.await_response(), gun.ProxyFailed)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)


class ShownTests(TunnelCase):
    """Nothing that is logged, told, or raised shows a password."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "SocksInHttp", "Deep")
    SECRETS = (CANARY, b64encode(f"ann:{CANARY}".encode()).decode())

    def setUp(self) -> None:
        self.seen: list[str] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: Any) -> None:
        self.seen.append(repr({name: value for name, value in event.items() if name != "log_logger"}))
        self.seen.append(formatEvent(event))
        if "log_failure" in event:
            self.seen.append(event["log_failure"].getTraceback())

    def see(self, *things: Any) -> None:
        for thing in things:
            self.seen += [repr(thing), str(thing)]

    def play(self, how: str) -> None:
        """A life that takes this turn."""

        def react(event: Any) -> None:
            if how == "raise":
                raise ValueError("of the receiver's own")

        told = RecordingReceiver(react)
        way = self.way(credentials=("ann", CANARY), owner=told, reply_to=told, trace=True, retry=1, retry_timeout=60.0)
        if how == "refused":
            way.factories[-1].credentials = ("ann", "other")
        elif how == "unreachable":
            way.endpoints[way.hosts[-1]].refuse()
        elif how == "hanging":
            way.endpoints[way.hosts[-1]].hang()
        top = way.ask()
        stream = top.get("/")
        way.pump()
        if how == "lost":
            way.factories[0].connections[0].abort()
        way.advance(15)
        for tunnel in way.tunnels:
            self.see(tunnel, tunnel.info(), tunnel.await_up().addErrback(self.see_failure))
        self.see(stream.info(), way.connection, way.connection.info())
        way.connection.close()
        way.pump()
        self.see(told.events, *told.events, *(event.reason for event in told.of(gun.Error)), *(event.reason for event in told.of(gun.Down)))
        self.flushLoggedErrors(ValueError)

    def see_failure(self, failure: Any) -> None:
        self.see(failure, failure.value, failure.value.__cause__, failure.getTraceback())

    def test_lives(self) -> None:
        """However it goes."""
        for how in ("well", "refused", "unreachable", "hanging", "lost", "raise"):
            self.play(how)
        self.assertTrue(any("p0" in text for text in self.seen))
        for text in self.seen:
            for secret in self.SECRETS:
                self.assertNotIn(secret, text)


class OptionTests(TunnelCase):
    """Nor does a value that holds one, or the error about a value that cannot be used."""

    ways = ()

    def test_values(self) -> None:
        """Destination and SocksOptions."""
        socks = {"host": "a.example", "port": 1, "auth": [("username_password", "ann", CANARY)]}
        values: list[Any] = [
            gun.Destination(host="a.example", port=1, username="ann", password=CANARY),
            gun.Destination(host="a.example", port=1, protocols=[("socks", socks)]),  # type: ignore[arg-type]
            gun.SocksOptions(**socks),  # type: ignore[arg-type]
            gun.Options(protocols=[("socks", socks)], socks_opts=socks),  # type: ignore[arg-type]
            gun.Options(proxy=f"http://ann:{CANARY}@a.example"),
        ]
        for value in values:
            self.assertNotIn(CANARY, repr(value))
            self.assertNotIn(CANARY, str(value))

    def test_errors(self) -> None:
        """Whatever is wrong with the other fields, or with the secret itself."""
        world = MemoryGun()
        good = {"host": "a.example", "port": 1, "username": "ann", "password": CANARY}
        for wrong in (
            {"port": 0},
            {"host": "no host"},
            {"password": CANARY + "\n"},
            {"username": None},
            {"username": "a:" + CANARY},
            {"password": [CANARY]},
            {"transport": "udp"},
            {"protocols": [("socks", {"host": "b.example", "port": 1, "auth": [("username_password", "ann", CANARY * 100)]})]},
            {"protocols": [("socks", {"host": "b.example", "port": 1, "auth": [CANARY]})]},
            {"protocols": [("http2", {"unknown": 1})]},
            {"unknown": 1},
        ):
            error = self.assertRaises((gun.OptionError, gun.InvalidRequest), world.connection.connect, {**good, **wrong})
            self.assertNotIn(CANARY, f"{error} {error!r} {error.__cause__!r} {error.__context__!r}")
        world.pump()
        self.assertEqual(world.peer.received, b"")
        world.connection.close()


globals().update(spread(__name__))
