"""
Proxies and origins in memory, by the names of what they speak, a way through them, and what tests of tunnels share.

`Way` opens a connection to the first of several proxies, asks each for a tunnel to the next, and the last for one to the origin.
`TunnelCase` is a test over such a way, which `spread` repeats over others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.stage import LifeCase, every_answer
from twisted_gun.testing import Http2Peer, MemoryEndpoint, RecordingReceiver, ScriptedPeer
from twisted_gun.testing.proxies import ProxyFactory

#: What a proxy may speak: how it is reached, and the kind of proxy.
PROXIES = {
    "http": ("tcp", "http"),
    "https": ("tls", "http"),
    "h2c": ("tcp", "http2"),
    "h2": ("tls", "http2"),
    "socks5": ("tcp", "socks5"),
    "socks5s": ("tls", "socks5"),
}
#: What an origin may speak: how it is reached, and the name of its protocol.
ORIGINS = {
    "http": ("tcp", "http"),
    "https": ("tls", "http"),
    "h2c": ("tcp", "http2"),
    "h2": ("tls", "http2"),
    "raw": ("tcp", "raw"),
    "raws": ("tls", "raw"),
}
PORT = 8080
#: How Gun calls the protocol of each kind of proxy.
NAMES = {"http": "http", "http2": "http2", "socks5": "socks"}


class Echo(Protocol):
    """Sends back what it is sent."""

    def __init__(self) -> None:
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class Answering(ScriptedPeer):
    """An HTTP/1.1 server that answers each request by its target: by itself, or when it is told to."""

    answered = 0

    def __init__(self, script: Any = lambda peer: peer.answer()) -> None:
        super().__init__(script)

    def answer(self) -> None:
        """Answer every request that is complete."""
        for request in self.requests[self.answered :]:
            if not request.complete:
                return
            self.answered += 1
            body = b"" if request.method == b"HEAD" else request.target
            self.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(request.target), body))


class AnsweringHttp2(Http2Peer):
    """One of HTTP/2 likewise."""

    def __init__(self, script: Any = lambda peer: peer.answer(), **options: Any) -> None:
        super().__init__(script, **options)

    def answer(self) -> None:
        """Answer every request that is complete."""
        every_answer(self)


#: Who answers at the end of a way by itself, and who when it is told to.
ANSWERING: dict[str, Callable[[], Any]] = {"http": Answering, "http2": AnsweringHttp2, "raw": Echo}
QUIET: dict[str, Callable[[], Any]] = {"http": lambda: Answering(()), "http2": lambda: AnsweringHttp2(()), "raw": ScriptedPeer}


class _Endpoint(MemoryEndpoint):
    """One whose links deliver `chunk` bytes at a time."""

    def __init__(self, chunk: int | None, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._chunk = chunk

    def _join(self, factory: Any) -> Any:
        protocol = super()._join(factory)
        if self._chunk is not None:
            self.links[-1].chunk_size = self._chunk
        return protocol


class Way:
    """
    Named `proxies` in their order, and an `origin`; each is a host of its name and place, "0.http" say.

    `credentials` are what every proxy demands, `certificates` the names that hosts' certificates are for, where those are others. The
    origin answers by itself, unless it is `quiet`, or another `peer` is made. With `chunk` every connection delivers so many bytes at a
    time, and no proxy sends more in one piece.
    """

    def __init__(
        self,
        proxies: Sequence[str],
        origin: str,
        *,
        peer: Callable[[], Any] | None = None,
        credentials: tuple[str, str] | None = None,
        certificates: dict[str, str] | None = None,
        quiet: bool = False,
        owner: RecordingReceiver | None = None,
        capacity: int = 65_536,
        chunk: int | None = None,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.proxies, self.origin, self.options = list(proxies), origin, options
        self.credentials = credentials
        self.hosts = [f"p{place}.{name}.example" for place, name in enumerate(proxies)] + ["origin.example"]
        self.certificates, self.capacity, self.chunk = certificates or {}, capacity, chunk
        self.peers: list[Any] = []
        self.make_peer = peer or (QUIET if quiet else ANSWERING)[ORIGINS[origin][1]]
        self.factories: list[ProxyFactory] = []
        self.endpoints: dict[str, MemoryEndpoint] = {}
        for host, name in zip(self.hosts, proxies, strict=False):
            self.factories.append(ProxyFactory(PROXIES[name][1], self._dial, credentials=credentials, chunk=chunk))
            self._serve(host, self.factories[-1], *PROXIES[name])
        self._serve(self.hosts[-1], Factory.forProtocol(self._new_peer), *ORIGINS[origin])
        self.owner = owner or RecordingReceiver()
        self.tunnels: list[gun.Tunnel] = []
        #: Further fields of the destination at a place, and further options of TLS with the origin.
        self.ends: dict[int, dict[str, Any]] = {}
        self.extra_tls: dict[str, Any] = {}

    def _new_peer(self) -> Any:
        self.peers.append(self.make_peer())
        return self.peers[-1]

    def _serve(self, host: str, factory: Any, transport: str, protocol: str) -> None:
        if transport == "tls":
            chosen = {"http": b"http/1.1", "http2": b"h2"}.get(protocol)
            choose: dict[str, Any] = {} if chosen is None else {"choose": lambda offered: chosen}
            creator = ServerCreator(authority().issue(self.certificates.get(host, host)), **choose)
            factory = TLSMemoryBIOFactory(creator, False, factory, clock=self.clock)
        self.endpoints[host] = _Endpoint(self.chunk, factory, clock=self.clock, capacity=self.capacity)

    def _dial(self, host: str, port: int) -> MemoryEndpoint:
        assert port == PORT
        return self.endpoints[host]

    def protocols(self, place: int, **end: Any) -> Any:
        """What is spoken with the host at `place`; with a SOCKS proxy, on the way to the next one."""
        name = self.proxies[place] if place < len(self.proxies) else self.origin
        protocol = (PROXIES if place < len(self.proxies) else ORIGINS)[name][1]
        return [("socks", {**self.destination(place + 1, socks=True), **end})] if protocol == "socks5" else [protocol]

    def destination(self, place: int, socks: bool = False) -> dict[str, Any]:
        """The destination that the host at `place` is; credentials are for who is asked to lead there."""
        name = self.proxies[place] if place < len(self.proxies) else self.origin
        transport = (PROXIES if place < len(self.proxies) else ORIGINS)[name][0]
        tls = {**self.tls, **(self.extra_tls if place == len(self.proxies) else {})}
        end = {"host": self.hosts[place], "port": PORT, "transport": transport, "tls_opts": tls, "protocols": self.protocols(place)}
        end |= self.ends.get(place, {})
        if self.credentials is not None:
            username, password = self.credentials
            end |= {"auth": [("username_password", username, password)]} if socks else {"username": username, "password": password}
        return end

    @property
    def tls(self) -> dict[str, Any]:
        """Whom to trust."""
        return {"trust_root": trustRootFromCertificates([Certificate.loadPEM(authority().pem)])}

    def open(self) -> gun.Connection:
        """Open the connection to the first proxy."""
        end = self.destination(0)
        self.connection = gun.open(
            self.hosts[0],
            PORT,
            reactor=self.clock,
            endpoint=self.endpoints[self.hosts[0]],
            owner=self.owner,
            transport=end["transport"],
            tls_opts=end["tls_opts"],
            protocols=end["protocols"],
            **self.options,
        )
        return self.connection

    def connect(self, **request_options: Any) -> Any:
        """Open it, and ask each HTTP proxy for the tunnel to the next host; give what requests are made of."""
        way: Any = self.open()
        self.pump()
        place = 0
        while place < len(self.proxies):
            if PROXIES[self.proxies[place]][1] != "socks5":
                way = way.connect(self.destination(place + 1), **request_options)
                self.tunnels.append(way)
                self.pump()
            place += 1
        return way

    def ask(self, place: int = 0, way: Any = None) -> Any:
        """Ask for all tunnels at once, not waiting for any to be up; give what requests are made of."""
        way = way or self.open()
        for at in range(place, len(self.proxies)):
            if PROXIES[self.proxies[at]][1] != "socks5":
                way = way.connect(self.destination(at + 1))
                self.tunnels.append(way)
        return way

    def mute(self, place: int = -1) -> None:
        """Let the host at `place` accept connections, and never say a word."""
        self.endpoints[self.hosts[place]] = MemoryEndpoint(Factory.forProtocol(Protocol), clock=self.clock)

    @property
    def peer(self) -> Any:
        """The origin's end of the latest connection to it."""
        assert self.peers, "the origin was not reached"
        return self.peers[-1]

    def pump(self) -> None:
        """Move bytes until all is quiet."""
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and all that follows from it happen."""
        self.clock.advance(seconds)

    @property
    def links(self) -> list[Any]:
        """The connections of all hosts."""
        return [link for endpoint in self.endpoints.values() for link in endpoint.links]


#: Ways on which tunnels differ: what the proxies speak decides how a tunnel is made, and ends.
WAYS: dict[str, tuple[str, ...]] = {
    "Http": ("http",),
    "Http2": ("h2c",),
    "Socks": ("socks5",),
    "Https": ("https",),
    "HttpInHttp": ("http", "http"),
    "HttpInHttp2": ("h2c", "http"),
    "Http2InHttp": ("http", "h2c"),
    "Http2InHttp2": ("h2", "h2c"),
    "SocksInHttp": ("http", "socks5"),
    "SocksInHttp2": ("h2c", "socks5"),
    "HttpInSocks": ("socks5", "http"),
    "Http2InSocks": ("socks5s", "h2"),
    "Deep": ("h2", "socks5s", "https", "h2c"),
}


class TunnelCase(LifeCase):
    """
    A test over a way through `proxies` to `origin`; `ways` and `origins` are what `spread` repeats it over.

    Each way leads to `each` of the origins, or else they take turns. `core` is that of HTTP/2.
    """

    proxies: tuple[str, ...] = ("http",)
    origin = "http"
    ways: ClassVar[Iterable[str]] = WAYS
    origins: ClassVar[Sequence[str]] = ("h2", "http")
    each = False
    core = "own"

    @property
    def whole(self) -> bool:
        """Whether the whole connection becomes the tunnel: no proxy speaks HTTP/2."""
        return not any(PROXIES[name][1] == "http2" for name in self.proxies)

    @property
    def spoken(self) -> str:
        """What is spoken with the origin."""
        return ORIGINS[self.origin][1]

    def way(self, **options: Any) -> Way:
        """The way, not opened yet."""
        if self.core != "own":
            options["http2_opts"] = {"core": self.core, **options.get("http2_opts", {})}
        return Way(self.proxies, self.origin, **options)

    def up(self, **options: Any) -> tuple[Way, Any]:
        """The way, with all its tunnels up, and what requests are made of."""
        way = self.way(**options)
        top = way.connect()
        for tunnel in way.tunnels:
            self.assertTrue(tunnel._receiver is not None or self.successResultOf(tunnel.await_up()))
        return way, top

    def told(self, **options: Any) -> tuple[Way, Any, RecordingReceiver]:
        """As `up`, but all is told to one receiver."""
        told = options.pop("told", None) or RecordingReceiver()
        way, top = self.up(owner=told, reply_to=told, **options)
        return way, top, told

    #: How far a way may have come, with what is asked for inside.
    STAGES = ("dialling", "asked", "tls", "up", "busy")

    def reach(self, stage: str, **options: Any) -> tuple[Way, Any, RecordingReceiver, list[Any]]:
        """
        A way that has come so far, what requests are made of, who is told everything, and the streams inside.

        "dialling": the first host does not answer; "asked": nor does the origin, so that the last proxy does not; "tls": nor does its TLS;
        "up": all is up, and nothing asked for; "busy": requests are under way, one of them half answered.
        """
        told = options.pop("told", None) or RecordingReceiver()
        way = self.way(quiet=True, owner=told, reply_to=told, **options)
        hanging = {"dialling": 0, "asked": -1}.get(stage)
        if hanging is not None:
            way.endpoints[way.hosts[hanging]].hang()
        elif stage == "tls":
            way.mute()
        top = way.ask()
        streams = [] if stage == "up" else [top.get("/one"), top.post("/two", (), b"content"), top.get("/three")]
        way.pump()
        if stage == "busy":
            self.answer_half(way)
        return way, top, told, streams

    def answer_half(self, way: Way) -> None:
        """Answer the first request by half of what is promised."""
        if self.spoken == "http2":
            way.peer.respond(way.peer.requests[0], 200, {"content-length": "8"}, b"half", fin=False)
        else:
            way.peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        way.pump()

    def end(self, way: Way) -> None:
        """Close the connection, which leaves nothing behind, neither here nor at any proxy."""
        way.connection.close()
        way.pump()
        self.assert_left_nothing(way)

    def assert_left_nothing(self, way: Way) -> None:
        """No delayed call, producer, reader or open transport is left."""
        self.assertEqual(way.connection.info().state_name, "terminated")
        self.assertEqual(way.clock.getDelayedCalls(), [])
        for link in way.links:
            self.assertIsNone(link.client.producer)
            self.assertTrue(link.client.disconnected)
            self.assertTrue(link.server.disconnected)
        self.assertEqual([tunnel.host for factory in way.factories for tunnel in factory.tunnels if tunnel.open], [])

    def assert_each_ended_once(self, told: RecordingReceiver, streams: Iterable[Any]) -> dict[Any, Any]:
        """The last events of `streams`: there is one of each, and nothing behind it."""
        self.assert_told_in_order(told)
        last: dict[Any, Any] = {}
        for stream in streams:
            ends = [event for event in told.events if getattr(event, "stream", None) is stream and event.fin]
            self.assertEqual(len(ends), 1, f"{stream}: {ends}")
            self.assertTrue(stream.ended)
            last[stream] = ends[0]
        return last

    def assert_cancelled(self, told: RecordingReceiver, stream: Any) -> None:
        """`stream` was cancelled: it has ended, and was told nothing of that."""
        self.assertTrue(stream.ended)
        self.assertEqual([event for event in told.events if getattr(event, "stream", None) is stream and event.fin], [])

    def assert_lists(self, told: RecordingReceiver) -> list[gun.Down]:
        """Every gun_down: no stream is listed twice, and each was told its end before, by an error."""
        over: set[Any] = set()
        for event in told.events:
            if isinstance(event, gun.Down):
                listed = [*event.killed_streams, *event.unprocessed_streams]
                self.assertEqual(len(set(listed)), len(listed), event)
                self.assertLessEqual(set(listed), over)
            elif isinstance(event, gun.Error) and event.stream is not None:
                over.add(event.stream)
        return told.of(gun.Down)


def spread(module: str) -> dict[str, type[TunnelCase]]:
    """Each case of `module` again, over the further ways and origins that it is for."""
    found = [case for case in vars(sys.modules[module]).values() if isinstance(case, type) and issubclass(case, TunnelCase)]
    made: dict[str, type[TunnelCase]] = {}
    for case in found:
        if case.__module__ == module:
            for number, way in enumerate(case.ways):
                for origin in case.origins if case.each else (case.origins[number % len(case.origins)],):
                    if (WAYS[way], origin) != (case.proxies, case.origin):
                        name = f"{case.__name__}{way}To{origin.title()}"
                        own = {"proxies": WAYS[way], "origin": origin, "__module__": module, "__doc__": case.__doc__}
                        made[name] = type(name, (case,), own)
    return made
