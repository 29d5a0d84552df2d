"""Scenes of tunnels: by CONNECT and by SOCKS5, several at once, one in another, and made by the connection itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import twisted_gun as gun
from twisted_gun.demo.proxies import PASSWORD, USER, ProxyServer
from twisted_gun.demo.server import GREETING, NAME, Origin
from twisted_gun.demo.stage import Stage
from twisted_gun.demo.telling import YELLOW, NotAsToldError, Owner, expect
from twisted_gun.progress import size_text

__all__ = ["a_proxy_and_a_reconnect", "a_proxy_that_refuses", "a_tunnel", "socks5", "tls_in_tls", "two_tunnels_at_once"]


async def a_tunnel(stage: Stage) -> None:
    """By CONNECT, over HTTP/1.1."""
    stage.tell.scene(
        "A tunnel",
        f"connect() asks an HTTP proxy for one (RFC 9110); it alone knows where {NAME} is, and sees nothing of the TLS that goes through.",
    )
    proxy = _start(stage, "http")
    conn = await stage.dial(proxy, Owner(stage.tell), retry=0)
    tunnel = _connect(stage, conn, stage.origin)
    await _up(stage, tunnel, "http")
    stage.tell.say("client", "GET /greeting, through the tunnel")
    expect("the greeting", await stage.read(tunnel.get("/greeting"), 200), GREETING)
    made = proxy.tunnels[0]
    stage.tell.say("proxy", f"passed {size_text(made.sent)} on to {made.host}:{made.port}, and {size_text(made.received)} back")
    await _shut_down(stage, conn)


async def two_tunnels_at_once(stage: Stage) -> None:
    """By CONNECT, over HTTP/2."""
    stage.tell.scene(
        "Two tunnels at once",
        "Over HTTP/2 a tunnel is a stream, one of many on the connection to the proxy; when it ends, the others live on.",
    )
    proxy = _start(stage, "http2", b"h2")
    conn = await stage.dial(proxy, Owner(stage.tell), retry=0)
    first, second = _connect(stage, conn, stage.origin), _connect(stage, conn, stage.http2_origin)
    await _up(stage, first, "http")
    await _up(stage, second, "http2")
    streams = [tunnel.get("/greeting") for tunnel in (first, second)]
    stage.tell.say("client", "GET /greeting, through each of them")
    expect("the greetings", [await stage.read_quietly(stream) for stream in streams], [GREETING] * 2)
    stage.tell.say("client", f"both are answered; the proxy has {len(proxy.connections)} connection with us")
    first.shutdown()
    await _told_to_its_end(stage, first)
    expect("the greeting", await stage.read_quietly(second.get("/greeting")), GREETING)
    stage.tell.say("client", "the first tunnel was shut down; the second is as good as before")
    expect("the connections to the proxy", len(proxy.connections), 1)
    await _shut_down(stage, conn)


async def socks5(stage: Stage) -> None:
    """With a username and a password."""
    stage.tell.scene(
        "SOCKS5",
        "The connection as a whole becomes the tunnel (RFC 1928, RFC 1929); what is then spoken is told by gun_tunnel_up.",
    )
    proxy = _start(stage, "socks5", locked=True)
    options = {**_to(stage.http2_origin), "auth": [("username_password", USER, PASSWORD)]}
    conn = await stage.dial(proxy, Owner(stage.tell), retry=0, protocols=[("socks", options)])
    stage.tell.say("client", "GET /greeting: it waits for the tunnel")
    expect("the greeting", await stage.read(conn.get("/greeting"), 200), GREETING)
    expect("the protocol", conn.info().protocol, "http2")
    _tell_way(stage, conn.info().intermediaries)
    await _shut_down(stage, conn)


async def tls_in_tls(stage: Stage) -> None:
    """A tunnel through a tunnel, TLS in TLS in TLS."""
    stage.tell.scene(
        "TLS in TLS",
        "A tunnel takes requests for tunnels, too: TLS with a proxy, in it TLS with a second one, and in that TLS with the origin.",
    )
    outside, inside = _start(stage, "http2", b"h2"), _start(stage, "http", b"http/1.1")
    conn = await stage.dial(outside, Owner(stage.tell), retry=0)
    first = _connect(stage, conn, inside)
    await _up(stage, first, "http")
    second = _connect(stage, first, stage.http2_origin)
    await _up(stage, second, "http2")
    stream = second.get("/greeting")
    state = stream.info()
    assert state is not None
    _tell_way(stage, state.intermediaries)
    expect("the greeting", await stage.read(stream, 200), GREETING)
    await _shut_down(stage, conn)


async def a_proxy_and_a_reconnect(stage: Stage) -> None:
    """By the option `proxy`."""
    stage.tell.scene(
        "proxy=",
        "With this option of open() the tunnels are made by the connection itself, and made again whenever it comes back.",
    )
    proxy = _start(stage, "http")
    stage.tell.say("client", f"proxy='http://127.0.0.1:{proxy.port}'")
    owner = Owner(stage.tell)
    again = _Again(stage, proxy)
    conn = again.conn = _open_through(stage, proxy, owner, retry_fun=again.decide)
    await conn.await_up()
    expect("the greeting", await stage.read(conn.get("/greeting"), 200), GREETING)
    stage.tell.say("proxy", "is killed", YELLOW)
    await proxy.die()
    await owner.down
    stage.tell.say("client", "GET /greeting: it waits for the next tunnel")
    expect("the greeting", await stage.read(conn.get("/greeting"), 200), GREETING)
    expect("the tunnels that were made", [tunnel.status for tunnel in proxy.tunnels], [200, 200])
    expect("the times it was up", owner.ups, 2)
    _tell_way(stage, conn.info().intermediaries)
    await _shut_down(stage, conn)


async def a_proxy_that_refuses(stage: Stage) -> None:
    """By 407."""
    stage.tell.scene(
        "A proxy that refuses",
        "What a proxy answers instead of a tunnel is why there is no connection: here 407, until its URL has username and password.",
    )
    proxy = _start(stage, "http", locked=True)
    try:
        await _open_through(stage, proxy, Owner(stage.tell), retry=0).await_up()
    except gun.ProxyFailed as error:
        stage.tell.error(error)
        expect("the status of the refusal", error.status, 407)
    else:
        raise NotAsToldError("the proxy was to refuse, and did not")
    stage.tell.say("client", f"proxy='http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}'")
    conn = _open_through(stage, proxy, Owner(stage.tell), f"{USER}:{PASSWORD}@")
    await conn.await_up()
    expect("the greeting", await stage.read(conn.get("/greeting"), 200), GREETING)
    await _shut_down(stage, conn)


class _Again:
    """Starts the proxy again before the second retry; `decide` is for `retry_fun`."""

    conn: gun.Connection

    def __init__(self, stage: Stage, proxy: ProxyServer) -> None:
        self._stage = stage
        self._proxy = proxy
        self._retries = 0

    def decide(self, left: int, options: gun.Options) -> Mapping[str, Any]:
        """At once, each time."""
        self._retries += 1
        self._stage.tell.say("retry", f"attempt {self._retries}, {left} left", YELLOW)
        if self._retries == 2:
            self._stage.restart("proxy", self._proxy, self.conn)
        return {"retries": left - 1, "timeout": 0.0}


def _start(stage: Stage, kind: str, protocol: bytes | None = None, locked: bool = False) -> ProxyServer:
    """A proxy that listens."""
    proxy = stage.keep(ProxyServer(stage.reactor, kind, protocol, locked))
    proxy.start()
    spoken = {"http": "HTTP/1.1", "http2": "HTTP/2", "socks5": "SOCKS5"}[kind]
    over, wants = " over TLS" if protocol else "", ", and wants username and password" if locked else ""
    stage.tell.say("proxy", f"listens on 127.0.0.1, port {proxy.port}; it speaks {spoken}{over}{wants}")
    return proxy


def _to(server: Any) -> dict[str, Any]:
    """What leads to `server`, from a proxy."""
    return {"host": NAME, "port": server.port, "transport": "tls", "tls_opts": {"trust_root": server.trust}}


def _connect(stage: Stage, way: gun.Connection | gun.Tunnel, server: Any) -> gun.Tunnel:
    """Ask for a tunnel to `server`."""
    stage.tell.say("client", f"CONNECT {NAME}:{server.port}")
    return way.connect(_to(server))


def _open_through(stage: Stage, proxy: ProxyServer, owner: Owner, credentials: str = "", **options: Any) -> gun.Connection:
    """A connection to an origin, through `proxy`."""
    origin: Origin = stage.origin
    way = f"http://{credentials}127.0.0.1:{proxy.port}"
    tls = {"transport": "tls", "tls_opts": {"trust_root": origin.trust}}
    return stage.start(NAME, origin.port, owner, proxy=way, **tls, **options)


async def _up(stage: Stage, tunnel: gun.Tunnel, protocol: str) -> None:
    """Wait until it is, and tell what comes until then."""
    expect("what is spoken through the tunnel", await tunnel.await_up(), protocol)
    response = await tunnel.await_response()
    stage.tell.event(response)
    stage.tell.event(await tunnel.await_event())


async def _told_to_its_end(stage: Stage, tunnel: gun.Tunnel) -> None:
    async for event in tunnel:
        stage.tell.event(event)


def _tell_way(stage: Stage, proxies: tuple[gun.Intermediary, ...]) -> None:
    way = ", then ".join(f"{each.host}:{each.port} ({each.type}, {each.protocol} over {each.transport})" for each in proxies)
    stage.tell.say("info", f"the way leads through {way}")


async def _shut_down(stage: Stage, conn: gun.Connection) -> None:
    expect("the reason of the end", await conn.shutdown(), None)
    stage.tell.say("client", f"{conn!r}")
