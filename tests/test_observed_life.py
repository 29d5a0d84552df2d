"""What an event handler is told of a connection's life: names, attempts, TLS, losses, the end; and that it harms nobody by what it does."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from twisted.internet import error

import twisted_gun as gun
from tests.net.dialling import REFUSED, ScriptedReactor
from tests.observing import ObservedCase, Recorder
from tests.stage import LAST, answering
from tests.tunnels import Way
from twisted_gun.observations import CALLBACKS
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver

LOOKUP = ["domain_lookup_start", "domain_lookup_end"]
CONNECT = ["connect_start", "connect_end"]
TLS = ["tls_handshake_start", "tls_handshake_end"]


class DiallingTests(ObservedCase):
    """Names and addresses, on a reactor that looks names up."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = ScriptedReactor()

    def open(self, host: str = "example.org", **options: Any) -> gun.Connection:
        """A connection; the name is known unless the test says otherwise."""
        return gun.open(host, 80, reactor=self.reactor, **{"retry": 0, **options})

    def test_fields(self) -> None:
        """A name is looked up, then dialled; every field."""
        owner = RecordingReceiver()
        conn = self.open(owner=owner, domain_lookup_timeout=3.0, connect_timeout=7.0)
        init, start = self.recorder.one("init"), self.recorder.one("domain_lookup_start")
        self.assertEqual((init.connection, init.owner, init.transport, init.opts), (conn, owner, "tcp", conn._options))
        self.assertEqual((init.origin_scheme, init.origin_host, init.origin_port), ("http", "example.org", 80))
        self.assertEqual((start.connection, start.host, start.port, start.timeout), (conn, "example.org", 80, 3.0))
        self.assertIs(start.tcp_opts, conn._options.tcp_opts)
        self.assertEqual(self.recorder.take(), ["init", "domain_lookup_start"])
        self.reactor.resolver.lookups[0].answer("192.0.2.1", "2001:db8::1")
        found, connect = self.recorder.one("domain_lookup_end"), self.recorder.one("connect_start")
        self.assertEqual((found.host, found.error), ("example.org", None))
        self.assertEqual((found.lookup_info.ip_addresses, found.lookup_info.port), (("192.0.2.1", "2001:db8::1"), 80))
        self.assertEqual((connect.connection, connect.lookup_info, connect.timeout), (conn, found.lookup_info, 7.0))
        self.assertEqual((connect.socket, connect.error), (None, None))
        self.assertEqual(self.recorder.take(), ["domain_lookup_end", "connect_start"])
        transport = self.reactor.accept("192.0.2.1")
        end = self.recorder.one("connect_end")
        self.assertEqual((end.socket, end.protocol, end.lookup_info), (transport, "http", found.lookup_info))
        conn.close()

    def test_address(self) -> None:
        """An address is looked up at once, as in Gun."""
        conn = self.open("192.0.2.7")
        self.assertEqual(self.recorder.one("domain_lookup_end").lookup_info.ip_addresses, ("192.0.2.7",))
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, "connect_start"])
        conn.close()
        self.assertEqual(self.recorder.take(), ["connect_end", "terminate"])

    def test_unknown_name(self) -> None:
        """A name without addresses: nothing is dialled."""
        self.open()
        self.reactor.resolver.lookups[0].answer()
        failed = self.recorder.one("domain_lookup_end").error
        self.assertIsInstance(failed, gun.ConnectFailed)
        self.assertIsInstance(failed.reason, error.DNSLookupError)
        self.assertIsNone(self.recorder.one("domain_lookup_end").lookup_info)
        self.assertIs(self.recorder.one("terminate").reason, failed)
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, "terminate"])

    def test_slow_name(self) -> None:
        """A lookup that takes too long."""
        self.open(domain_lookup_timeout=2.0)
        self.reactor.advance(2.0)
        self.assertEqual(self.recorder.one("domain_lookup_end").error.stage, "lookup")
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, "terminate"])

    def test_refused(self) -> None:
        """Each attempt looks the name up anew, and has its own end; then it is given up."""
        self.reactor.resolver.hosts = ("192.0.2.1",)
        self.open(retry=1)
        self.reactor.refuse("192.0.2.1")
        self.reactor.advance(0)
        self.reactor.refuse("192.0.2.1")
        self.assertEqual(self.recorder.names(), ["init", *(LOOKUP + CONNECT) * 2, "terminate"])
        for end in self.recorder.of("connect_end"):
            self.assertIsInstance(end.error, gun.ConnectFailed)
            self.assertIs(end.error.reason, REFUSED)
            self.assertIsNone(end.socket)
        self.assertIsInstance(self.recorder.one("terminate").reason, gun.ConnectFailed)
        self.assertEqual(self.recorder.one("terminate").state, "not_connected")

    def test_unanswered(self) -> None:
        """An attempt that takes too long."""
        self.reactor.resolver.hosts = ("192.0.2.1",)
        self.open(connect_timeout=4.0)
        self.reactor.advance(4.0)
        self.assertEqual(self.recorder.one("connect_end").error.stage, "connect")
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, *CONNECT, "terminate"])

    def test_no_family(self) -> None:
        """Addresses of which none can be dialled: an attempt that fails at once."""
        self.reactor.resolver.hosts = ("2001:db8::1",)
        self.open(tcp_opts={"bind_address": ("192.0.2.9", 0)})
        self.assertIn("family", str(self.recorder.one("connect_end").error))
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, *CONNECT, "terminate"])

    def test_closed_meanwhile(self) -> None:
        """What is under way when the connection is closed ends by that."""
        self.open().close()
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, "terminate"])
        self.reactor.resolver.hosts = ("192.0.2.1",)
        self.open().shutdown()
        self.assertIsInstance(self.recorder.one("connect_end").error.reason, error.ConnectingCancelledError)
        self.assertEqual(self.recorder.take(), ["init", *LOOKUP, *CONNECT, "terminate"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_closed_from_within(self) -> None:
        """A handler that closes the connection ends it, in whichever callback it does; nothing is dialled then, nor told."""
        self.reactor.resolver.hosts = ("192.0.2.1",)
        for at, name in enumerate(["init", *LOOKUP, "connect_start"]):
            for verb in ("close", "shutdown"):
                self.recorder.told.clear()
                asked = len(self.reactor.resolver.lookups), len(self.reactor.dialled)

                def end(told: str, event: Any, name: str = name, verb: str = verb) -> None:
                    if told == name:
                        getattr(event.connection, verb)()

                self.recorder.react = end
                conn = self.open()
                names = ["init", *LOOKUP, "connect_start"][: at + 1]
                ends = {"domain_lookup_start": ["domain_lookup_end"], "connect_start": ["connect_end"]}.get(name, [])
                self.assertEqual(self.recorder.names(), [*names, *ends, "terminate"], (name, verb))
                looked_up = asked[0] + (name in ("domain_lookup_end", "connect_start"))
                self.assertEqual((len(self.reactor.resolver.lookups), len(self.reactor.dialled)), (looked_up, asked[1]))
                self.assertEqual(conn.info().state_name, "terminated")
                self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_asks_from_within(self) -> None:
        """A handler may ask for something at once: it waits as any other request."""

        def ask(name: str, event: Any) -> None:
            if name == "init":
                event.connection.get("/")

        self.recorder.react = ask
        self.reactor.resolver.hosts = ("192.0.2.1",)
        conn = self.open()
        transport = self.reactor.accept("192.0.2.1")
        self.assertEqual(transport.value(), b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n")
        conn.close()


class EndpointTests(ObservedCase):
    """Endpoints of the application's, and UNIX sockets."""

    def test_refused(self) -> None:
        """Nothing is looked up; each attempt has its end."""
        world = MemoryGun(retry=1)
        world.endpoint.refuse()
        world.pump()
        self.assertEqual(self.recorder.names(), ["init", *CONNECT, *CONNECT, "terminate"])
        first = self.recorder.of("connect_end")[0]
        self.assertEqual((first.lookup_info, first.timeout), (None, 10.0))
        self.assertIsInstance(first.error.reason, error.ConnectionRefusedError)

    def test_hanging(self) -> None:
        """One that does not come to an end is given up after ``connect_timeout``, and it is told that it was for that."""
        world = MemoryGun(retry=0, connect_timeout=3.0)
        world.endpoint.hang()
        world.advance(3.0)
        self.assertEqual(self.recorder.one("connect_end").error.stage, "connect")
        self.assertEqual(self.recorder.names(), ["init", *CONNECT, "terminate"])

    def test_up(self) -> None:
        """`connect_end` comes before anybody hears that the connection is up."""
        told: list[str] = []
        self.recorder.react = lambda name, event: told.append(name)
        world = MemoryGun(owner=RecordingReceiver(lambda event: told.append(event.told_as)))
        world.pump()
        self.assertEqual(told, ["init", *CONNECT, "gun_up"])
        world.connection.close()
        world.pump()

    def test_down(self) -> None:
        """`disconnect` comes before the owner hears that it is down; it has the same reason."""
        told: list[Any] = []
        self.recorder.react = lambda name, event: told.append(name)
        owner = RecordingReceiver(lambda event: told.append(event.told_as))
        world = MemoryGun(owner=owner, retry=0)
        world.pump()
        told.clear()
        world.peer.abort()
        world.pump()
        self.assertEqual(told, ["disconnect", "gun_down", "terminate", "gun_error"])
        self.assertIs(self.recorder.one("disconnect").reason, owner.of(gun.Down)[0].reason)

    def test_before_those_who_wait(self) -> None:
        """It comes before those hear of it who wait for something, too."""
        told: list[Any] = []
        world = MemoryGun(protocols=["http2"], retry=0)
        world.pump()
        world.connection.ping().addErrback(lambda failure: told.append("ping"))
        self.recorder.react = lambda name, event: told.append(name)
        world.peer.abort()
        world.pump()
        self.assertEqual(told, ["disconnect", "ping", "terminate"])

    def test_orderly(self) -> None:
        """A connection that ends in good order, and is not dialled again, has no reason."""
        world = MemoryGun(retry=0, script=answering(LAST))
        world.connection.get("/")
        world.pump()
        self.assertEqual(self.recorder.names()[-2:], ["disconnect", "terminate"])
        self.assertEqual((self.recorder.one("disconnect").reason, self.recorder.one("terminate").reason), (None, None))

    def test_owner_leaves(self) -> None:
        """An owner that leaves has the connection shut down."""
        world = MemoryGun()
        world.pump()
        world.connection.set_owner(None)
        world.pump()
        self.assertEqual(self.recorder.names()[-2:], ["disconnect", "terminate"])

    def test_protocols(self) -> None:
        """`connect_end` says what is spoken: over TCP that is known beforehand. A protocol without requests has no scheme."""
        for protocol, scheme in (("http", "http"), ("http2", "http"), ("raw", None)):
            self.recorder.told.clear()
            world = MemoryGun(protocols=[protocol])
            world.pump()
            self.assertEqual(self.recorder.one("connect_end").protocol, protocol)
            self.assertEqual(self.recorder.one("init").origin_scheme, scheme)
            world.connection.close()
            world.pump()
            self.assertEqual(self.recorder.names(), ["init", *CONNECT, "disconnect", "terminate"])

    def test_unix(self) -> None:
        """A UNIX socket is no name either."""
        conn = gun.open_unix(self.mktemp(), reactor=ScriptedReactor(), event_handler=self.recorder, retry=0)
        self.assertEqual(self.recorder.take(), ["init", "connect_start"])
        conn.close()
        self.assertEqual(self.recorder.take(), ["connect_end", "terminate"])

    def test_info(self) -> None:
        """`Connection.info` shows the handler; the connector is still the endpoint's."""
        world = MemoryGun()
        self.assertIs(world.connection.info().event_handler, self.recorder)
        self.assertIn("MemoryEndpoint", repr(world.connection._connector))
        world.connection.close()


class TlsTests(ObservedCase):
    """TLS with the origin."""

    def way(self, origin: str = "https", **options: Any) -> Way:
        """A connection to an origin, by nobody's help."""
        way = Way((), origin, **{"retry": 0, **options})
        way.open()
        return way

    def test_handshake(self) -> None:
        """What was chosen is said by the handshake's end, with the transport; before that nobody knows what is spoken."""
        for origin, protocol in (("https", "http"), ("h2", "http2")):
            self.recorder.told.clear()
            way = self.way(origin, tls_handshake_timeout=6.0)
            way.pump()
            start, end = self.recorder.one("tls_handshake_start"), self.recorder.one("tls_handshake_end")
            self.assertIsNone(self.recorder.one("connect_end").protocol)
            self.assertIs(self.recorder.one("connect_end").socket, start.socket)
            self.assertEqual((start.connection, start.stream, start.reply_to, start.timeout), (way.connection, None, None, 6.0))
            self.assertEqual(start.tls_opts.trust_root, way.connection._options.tls_opts.trust_root)
            self.assertEqual((start.protocol, end.protocol, end.error), (None, protocol, None))
            self.assertIsNotNone(end.socket.getPeerCertificate())
            way.connection.get("/")
            way.pump()
            self.assertEqual(self.recorder.names()[:5], ["init", *CONNECT, *TLS])
            way.connection.close()
            way.pump()
            self.assert_in_order(self.recorder)

    def test_refused(self) -> None:
        """A server that proves nothing: the handshake fails, and there was no connection that could be down."""
        way = self.way(certificates={"origin.example": "other.example"})
        way.pump()
        failed = self.recorder.one("tls_handshake_end").error
        self.assertIsInstance(failed, gun.TlsFailed)
        self.assertIs(self.recorder.one("terminate").reason, failed)
        self.assertEqual(self.recorder.names(), ["init", *CONNECT, *TLS, "terminate"])

    def test_retried(self) -> None:
        """Each attempt has its own."""
        way = self.way(certificates={"origin.example": "other.example"}, retry=1)
        way.pump()
        self.assertEqual(self.recorder.names(), ["init", *[*CONNECT, *TLS] * 2, "terminate"])

    def test_timed_out(self) -> None:
        """A server that does not answer."""
        way = Way((), "https", retry=0, tls_handshake_timeout=2.0)
        way.mute()
        way.open()
        way.pump()
        way.advance(2.0)
        way.pump()
        self.assertEqual(self.recorder.one("tls_handshake_end").error.stage, "tls")
        self.assertEqual(self.recorder.names(), ["init", *CONNECT, *TLS, "terminate"])

    def test_closed_meanwhile(self) -> None:
        """`close`, in the midst of it."""
        way = Way((), "https")
        way.mute()
        way.open()
        way.pump()
        way.connection.close()
        way.pump()
        self.assertIsInstance(self.recorder.one("tls_handshake_end").error, gun.ShuttingDown)
        self.assertEqual(self.recorder.one("terminate").state, "closing")
        self.assertEqual(self.recorder.names(), ["init", *CONNECT, *TLS, "terminate"])

    def test_closed_from_within(self) -> None:
        """A handler that closes the connection, in each callback on the way up, ends it, and all that had begun."""
        for name in (*CONNECT, *TLS):
            for verb in ("close", "shutdown"):
                self.recorder.told.clear()
                self.recorder.react = functools.partial(self.end_at, name, verb)
                way = self.way()
                with contextlib.suppress(gun.ShuttingDown):
                    way.connection.get("/")
                way.pump()
                self.assert_in_order(self.recorder, (name, verb))
                self.assertNotIn("request_start", self.recorder.names())
                self.assertNotIn("disconnect", self.recorder.names(), (name, verb))
                self.assertEqual("tls_handshake_start" in self.recorder.names(), name in TLS)
                self.assertEqual(way.clock.getDelayedCalls(), [])

    def end_at(self, name: str, verb: str, told: str, event: Any) -> None:
        """End the connection when `name` is told."""
        if told == name:
            getattr(event.connection, verb)()


class HarmlessTests(ObservedCase):
    """Whatever a handler does, the connection goes on, and what it is told is in order."""

    def play(self, http2: bool) -> MemoryGun:
        """A life with all that there is on one connection."""
        self.streams: list[Any] = []
        opts: dict[str, Any] = {"protocols": ["http2"], "http2_opts": {"enable_push": True}, "peer": Http2Peer} if http2 else {}
        world = MemoryGun(retry=1, retry_timeout=0.0, **opts)
        world.pump()
        for ask in (self.do_get, self.do_post, self.do_upload, self.do_get):
            with contextlib.suppress(gun.GunError):  # it may have been ended by now
                ask(world)
        world.pump()
        if not world.peers:
            return world
        if http2 and world.peer.lost is None:
            requests = world.peer.requests
            for request in requests[:1]:
                world.peer.inform(request)
                world.peer.respond(request, 200, {}, b"ok", fin=False)
                world.peer.push(request, "/pushed")
                world.peer.trailers(request, {"x": "y"})
            for request in requests[1:2]:
                world.peer.reset(request, 2)
        elif world.peer.lost is None:
            world.peer.send(b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n")
        world.pump()
        for stream in self.streams[3:4]:
            stream.cancel()
        world.pump()
        world.peer.abort()
        world.pump()
        world.connection.close()
        world.pump()
        world.advance(60.0)
        return world

    def test_raises(self) -> None:
        """A handler that raises, in whichever callback, is logged, and nothing else: all goes on as if it had not."""
        for http2 in (False, True):
            self.recorder = Recorder()
            self.play(http2)
            usual = self.recorder.names()
            for name in dict.fromkeys(usual):
                self.recorder = Recorder(functools.partial(self.fail_at, name))
                world = self.play(http2)
                self.assertEqual(self.recorder.names(), usual, name)
                self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), usual.count(name))
                self.assert_nothing_left(world)
            self.assertGreaterEqual(len(set(usual)), 14)

    def fail_at(self, name: str, told: str, event: Any) -> None:
        """Raise when `name` is told."""
        if told == name:
            raise ZeroDivisionError

    def test_acts(self) -> None:
        """A handler may ask for anything, in any callback: order holds, and each stream still has its one end."""
        verbs = ("get", "upload", "cancel_this", "cancel_all", "close", "shutdown")
        for http2 in (False, True):
            for name in CALLBACKS:
                for verb in verbs:
                    self.recorder = Recorder()
                    self.recorder.react = functools.partial(self.act, name, getattr(self, f"do_{verb}"), [])
                    world = self.play(http2)
                    self.assert_in_order(self.recorder, (http2, name, verb))
                    self.assert_nothing_left(world)
                    self.assertEqual([stream for stream in self.streams if not stream.ended], [], (http2, name, verb))

    def act(self, name: str, do: Any, done: list[Any], told: str, event: Any) -> None:
        """Do it, the first three times that `name` is told; what is refused then is refused by an exception of ours."""
        if told == name and len(done) < 3:
            done.append(event)
            try:
                do(event)
            except gun.GunError:
                return

    def do_get(self, event: Any) -> None:
        self.streams.append(event.connection.get("/again"))

    def do_post(self, event: Any) -> None:
        self.streams.append(event.connection.post("/again", (), b"content"))

    def do_upload(self, event: Any) -> None:
        stream = event.connection.headers("POST", "/again")
        self.streams.append(stream)
        stream.data(b"all", fin=True)

    def do_cancel_this(self, event: Any) -> None:
        stream = getattr(event, "stream", None)
        if stream is not None:
            stream.cancel()

    def do_cancel_all(self, event: Any) -> None:
        for stream in list(self.streams):
            stream.cancel()

    def do_close(self, event: Any) -> None:
        event.connection.close()

    def do_shutdown(self, event: Any) -> None:
        event.connection.shutdown()

    def test_order_of_requests(self) -> None:
        """A request that is made while another is told of goes out behind that one."""
        asked: list[Any] = []

        def ask(name: str, event: Any) -> None:
            if name == "request_start" and not asked:
                asked.append(event.connection.get("/second"))

        self.recorder.react = ask
        world = MemoryGun()
        world.pump()
        world.connection.get("/first")
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/first", b"/second"])
        world.connection.close()
        world.pump()

    def test_no_coroutine_is_awaited(self) -> None:
        """What a callback gives back is nobody's."""
        self.recorder = Recorder()
        self.recorder.init = lambda event: object()  # type: ignore[method-assign,assignment]
        world = MemoryGun()
        world.pump()
        world.connection.close()
        world.pump()
        self.assertEqual(self.recorder.names(), [*CONNECT, "disconnect", "terminate"])
