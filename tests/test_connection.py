"""What a user does with a connection: open, ask, look at it, hand it over, end it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.web.http_headers import Headers

import twisted_gun as gun
from tests.stage import LAST, OK, UNTIL_CLOSE, LifeCase, answer, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver


class OpeningTests(LifeCase):
    """open, open_unix and open_url."""

    def test_returns_at_once(self) -> None:
        """open returns before anything was dialled, and tells nobody anything."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told)
        self.assertEqual(told.events, [])
        self.assertEqual(world.connection.info().state_name, "connecting")

    def test_dials_host_and_port(self) -> None:
        """It dials what it was given, by TCP."""
        reactor = MemoryReactorClock()
        connection = gun.open("192.0.2.7", 8080, reactor=reactor)
        self.assertEqual(reactor.tcpClients[0][:2], ("192.0.2.7", 8080))
        connection.close()

    def test_hosts(self) -> None:
        """Names, str or bytes, and addresses, bare, bracketed or as ipaddress objects, become the Host field."""
        hosts: tuple[tuple[Any, int, bytes], ...] = (
            ("example.org", 80, b"example.org"),
            (b"example.org", 8080, b"example.org:8080"),
            ("192.0.2.1", 80, b"192.0.2.1"),
            (IPv4Address("192.0.2.1"), 81, b"192.0.2.1:81"),
            ("::1", 80, b"[::1]"),
            ("[::1]", 8080, b"[::1]:8080"),
            (IPv6Address("::1"), 80, b"[::1]"),
            ("fe80::1%eth0", 80, b"[fe80::1]"),
            ("a_b.example", 80, b"a_b.example"),
            ("bücher.example", 80, b"xn--bcher-kva.example"),
        )
        for host, port, expected in hosts:
            world = up(host=host, port=port)
            world.connection.get("/")
            world.pump()
            self.assertEqual(dict(world.peer.requests[0].headers)[b"host"], expected)

    def test_bad_hosts(self) -> None:
        """A host that is none raises InvalidRequest at the call."""
        for host in ("", " ", "a b", "a/b", "http://a", "a:80", "a\r\nb", "[::1", "-", None, 7, ("127", "1"), "a..b", "x" * 64 + ".org"):
            self.assertRaises(gun.InvalidRequest, gun.open, host, 80, reactor=Clock())

    def test_bad_ports(self) -> None:
        """A port that is none raises OptionError, which names it."""
        for port in (0, -1, 65536, "80", None, 80.0, True):
            error = self.assertRaises(gun.OptionError, gun.open, "example.org", port, reactor=Clock())
            self.assertEqual(error.option, "port")

    def test_bad_options(self) -> None:
        """A bad option raises OptionError at the call, named with its dots, and nothing is scheduled."""
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("retry", {"retry": -1}),
            ("retry_timeout", {"retry_timeout": None}),
            ("connect_timeout", {"connect_timeout": "5"}),
            ("retry_fun", {"retry_fun": 7}),
            ("transport", {"transport": "quic"}),
            ("protocols", {"protocols": []}),
            ("protocols", {"protocols": ["http", "http"]}),
            ("protocols", {"protocols": ["http", "http2"]}),
            ("http_opts.keepalive", {"http_opts": {"keepalive": 0}}),
            ("http_opts.nonsense", {"http_opts": {"nonsense": 1}}),
            ("http_opts", {"http_opts": 7}),
            ("nonsense", {"nonsense": 1}),
            ("owner", {"owner": 7}),
            ("reply_to", {"reply_to": "me"}),
            ("endpoint", {"endpoint": 7}),
            ("options", {"options": {}}),
            ("transport_opts", {"transport_opts": {}, "tcp_opts": {}}),
        )
        for name, options in wrong:
            clock = Clock()
            error = self.assertRaises(gun.OptionError, gun.open, "example.org", 80, reactor=clock, **options)
            self.assertEqual(error.option, name)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_options_as_a_value(self) -> None:
        """Options may be given as gun.Options; keywords change what it says."""
        world = MemoryGun(options=gun.Options(retry=0, retry_timeout=1.0), retry=1)
        world.endpoint.refuse()
        world.pump()
        self.assertEqual(world.endpoint.attempts, 2)

    def test_transport_follows_the_port(self) -> None:
        """Port 443 is TLS, any other TCP; "ssl" is "tls"."""
        cases: tuple[tuple[int, dict[str, Any], str, str], ...] = (
            (443, {}, "tls", "https"),
            (80, {}, "tcp", "http"),
            (8443, {}, "tcp", "http"),
            (8443, {"transport": "ssl"}, "tls", "https"),
            (443, {"transport": "tcp"}, "tcp", "http"),
        )
        for port, options, transport, scheme in cases:
            info = MemoryGun(port=port, **options).connection.info()
            self.assertEqual((info.transport, info.origin_scheme, info.origin_port), (transport, scheme, port))

    def test_unix(self) -> None:
        """open_unix dials the socket; the requests are for localhost."""
        reactor = MemoryReactorClock()
        connection = gun.open_unix("/run/daemon.sock", reactor=reactor)
        self.assertEqual(reactor.unixClients[0][0], "/run/daemon.sock")
        info = connection.info()
        self.assertEqual((info.origin_host, info.origin_port, info.transport), ("localhost", 80, "tcp"))
        connection.close()

    def test_bad_unix_paths(self) -> None:
        """A path that is none raises OptionError."""
        for path in ("", "a\0b", None, b"/run/x", 7):
            self.assertRaises(gun.OptionError, gun.open_unix, path, reactor=Clock())

    def test_url(self) -> None:
        """open_url takes scheme, host and port from the URL, as str or bytes."""
        urls: tuple[tuple[Any, tuple[str, str, int]], ...] = (
            ("http://example.org/path?query", ("http", "example.org", 80)),
            ("https://example.org", ("https", "example.org", 443)),
            (b"https://example.org:8443/", ("https", "example.org", 8443)),
            ("http://[::1]:8080/", ("http", "::1", 8080)),
            ("http://example.org:443/", ("http", "example.org", 443)),
        )
        for url, expected in urls:
            world = MemoryGun()
            connection = gun.open_url(url, reactor=world.clock, endpoint=world.endpoint)
            info = connection.info()
            self.assertEqual((info.origin_scheme, info.origin_host, info.origin_port), expected)
            connection.close()

    def test_url_and_transport(self) -> None:
        """Another transport than the URL's is refused: no https goes in the clear."""
        world = MemoryGun()
        gun.open_url("https://a", transport="tls", reactor=world.clock, endpoint=world.endpoint).close()
        for url, transport in (("https://a", "tcp"), ("wss://a", "tcp"), ("http://a", "tls")):
            error = self.assertRaises(gun.OptionError, gun.open_url, url, transport=transport, reactor=Clock())
            self.assertEqual(error.option, "transport")

    def test_bad_urls(self) -> None:
        """Other schemes, no host, a bad port or credentials raise InvalidRequest, which never shows a password."""
        bad_ports = ("http://a:99999/", "http://a:b/", "http://a:0/")
        for url in ("ftp://example.org", "example.org", "http://", *bad_ports, "http://u:secret@a/", "//a/", ""):
            error = self.assertRaises(gun.InvalidRequest, gun.open_url, url, reactor=Clock())
            self.assertNotIn("secret", str(error))
        for wrong in (None, 7):
            self.assertRaises(gun.InvalidRequest, gun.open_url, wrong, reactor=Clock())


class RequestTests(LifeCase):
    """The verbs."""

    def setUp(self) -> None:
        self.world = up()
        self.conn = self.world.connection

    def test_verbs(self) -> None:
        """Each verb sends its method; bodies where they belong."""
        for verb in ("get", "head", "options", "delete"):
            getattr(self.conn, verb)("/")
        for verb in ("post", "put", "patch"):
            getattr(self.conn, verb)("/", (), b"x")
        self.conn.request("TRACE", "/", (), b"")
        self.conn.request("patch", "/", (), b"")
        self.world.pump()
        methods = [request.method for request in self.world.peer.requests]
        self.assertEqual(methods, b"GET HEAD OPTIONS DELETE POST PUT PATCH TRACE patch".split())
        bodies = [request.body for request in self.world.peer.requests]
        self.assertEqual(bodies, [b""] * 4 + [b"x"] * 3 + [b""] * 2)

    def test_targets(self) -> None:
        """Paths may be str or bytes, ``*``, or an absolute URL."""
        for path in ("/a?b=c", b"/a?b=c", "*", "http://example.org/"):
            self.conn.options(path)
        self.world.pump()
        targets = [request.target for request in self.world.peer.requests]
        self.assertEqual(targets, [b"/a?b=c", b"/a?b=c", b"*", b"http://example.org/"])

    def test_headers(self) -> None:
        """Headers may be a mapping, pairs or Twisted's; names become lower-case, order and duplicates stay."""
        twisted = Headers({b"x-one": [b"1", b"2"]})
        for headers in ({"X-One": "1"}, [("X-One", "1"), (b"x-one", b"2")], twisted):
            self.conn.get("/", headers)
        self.world.pump()
        sent = [[value for name, value in request.headers if name == b"x-one"] for request in self.world.peer.requests]
        self.assertEqual(sent, [[b"1"], [b"1", b"2"], [b"1", b"2"]])

    def test_host_of_the_caller(self) -> None:
        """A Host given by the caller replaces ours."""
        self.conn.get("/", {"Host": "other.example"})
        self.world.pump()
        hosts = [value for name, value in self.world.peer.requests[0].headers if name == b"host"]
        self.assertEqual(hosts, [b"other.example"])

    def test_content_length_is_set(self) -> None:
        """A body's length is set; what the caller said of it is replaced."""
        self.conn.post("/", {"content-length": "77", "transfer-encoding": "chunked"}, [b"ab", b"c"])
        self.world.pump()
        (request,) = self.world.peer.requests
        self.assertEqual((request.body, dict(request.headers).get(b"transfer-encoding")), (b"abc", None))
        self.assertEqual([value for name, value in request.headers if name == b"content-length"], [b"3"])

    def test_mistakes(self) -> None:
        """A caller's mistake raises at the call, names the argument, and leaves nothing on the wire and no stream."""
        conn = self.conn
        mistakes: tuple[tuple[str, Any], ...] = (
            ("path", lambda: conn.get("")),
            ("path", lambda: conn.get("no-slash")),
            ("path", lambda: conn.get("/a b")),
            ("path", lambda: conn.get("/a\r\nHost: b")),
            ("path", lambda: conn.get("/ü")),
            ("path", lambda: conn.get(None)),  # type: ignore[arg-type]
            ("method", lambda: conn.request("G T", "/")),
            ("method", lambda: conn.request("", "/")),
            ("method", lambda: conn.request("CONNECT", "/")),
            ("method", lambda: conn.headers("GET\r\n", "/")),
            ("header", lambda: conn.get("/", {"a b": "c"})),
            ("header", lambda: conn.get("/", {"a": "b\r\nc: d"})),
            ("header", lambda: conn.get("/", {"a": "b\0"})),
            ("header", lambda: conn.get("/", {"a": 7})),
            ("header", lambda: conn.get("/", "a: b")),
            ("header", lambda: conn.get("/", [("a",)])),
            ("host", lambda: conn.get("/", [("host", "a"), ("host", "b")])),
            ("host", lambda: conn.get("/", {"host": "a b"})),
            ("host", lambda: conn.get("/", {"host": "a/b"})),
            ("host", lambda: conn.get("/", {"host": "u@a"})),
            ("host", lambda: conn.get("/", {"host": "a:x"})),
            ("content-length", lambda: conn.post("/", {"content-length": "-1"})),
            ("content-length", lambda: conn.post("/", {"content-length": "1e3"})),
            ("content-length", lambda: conn.post("/", [("content-length", "1"), ("content-length", "1")])),
            ("data", lambda: conn.post("/", (), "text")),
            ("data", lambda: conn.post("/", (), 7)),
        )
        for argument, call in mistakes:
            error = self.assertRaises(gun.InvalidRequest, call)
            self.assertIn(argument, str(error))
        options: tuple[dict[str, Any], ...] = (
            {"flow": 0},
            {"flow": "1"},
            {"reply_to": 7},
            {"nonsense": 1},
            {"invalid_request_headers": "no"},
        )
        for wrong in options:
            error = self.assertRaises(gun.OptionError, conn.get, "/", **wrong)
            self.assertIn(next(iter(wrong)), str(error))
        self.world.pump()
        self.assertEqual(self.world.peer.received, b"")
        self.assertEqual(list(conn._route._live), [])

    def test_transformed_names(self) -> None:
        """What transform_header_name makes is checked at the call; nothing is injected by it, and nothing is left of the request."""
        for wrong in (bytes.decode, lambda name: name + b": x\r\ny", lambda name: b"", lambda name: None):
            conn = up(http_opts={"transform_header_name": wrong}).connection
            for verb in (conn.get, conn.ws_upgrade):
                error = self.assertRaises(gun.InvalidRequest, verb, "/")
                self.assertIn("transform_header_name", str(error))
            self.assertEqual(list(conn._route._live), [])

    def test_secrets_are_not_shown(self) -> None:
        """A mistake in a call is told without what may be a credential."""
        for call in (
            lambda: self.conn.get("/", header={"authorization": "s3cret"}),
            lambda: self.conn.get("/", {"authorization": "s3cret\n"}),
            lambda: self.conn.get("/", {"authorization": "s3cret\ud800"}),
            lambda: gun.open("user:s3cret@example.org", 80, reactor=Clock()),
            lambda: gun.open("example.org", 80, reactor=Clock(), proxy="http://user:s3cret@example.org/path"),
            lambda: gun.open("example.org", 80, reactor=Clock(), password="s3cret"),
        ):
            self.assertNotIn("s3cret", str(self.assertRaises(gun.GunError, call)))

    def test_invalid_headers_left_out(self) -> None:
        """With invalid_request_headers="ignore" such fields are left out, and only they."""
        self.conn.get("/", {"good": "1", "bad": "a\r\nb: c"}, invalid_request_headers="ignore")
        self.world.pump()
        self.assertEqual([name for name, _ in self.world.peer.requests[0].headers], [b"host", b"good"])

    def test_streams_are_distinct(self) -> None:
        """Each request is a stream of its own, hashable, and knows its connection; there is no tunnel."""
        streams = {self.conn.get("/") for _ in range(10)}
        self.assertEqual(len(streams), 10)
        self.assertTrue(all(stream.connection is self.conn and stream.tunnel is None for stream in streams))

    def test_pipelined(self) -> None:
        """Pipelined requests are answered in their order."""
        bodies = [self.conn.get(f"/{n}").await_body() for n in range(5)]
        self.world.pump()
        feed(self.world, b"".join(answer(b"%d" % n) for n in range(5)))
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"0", b"1", b"2", b"3", b"4"])

    def test_http_1_0(self) -> None:
        """With version HTTP/1.0 content of unknown length is refused at the call; of known length it is sent."""
        world = up(http_opts={"version": "HTTP/1.0"})
        self.assertRaises(gun.InvalidRequest, world.connection.headers, "POST", "/")
        stream = world.connection.headers("POST", "/", {"content-length": "1"})
        stream.data(b"x", fin=True)
        world.pump()
        self.assertIn(b" HTTP/1.0\r\n", world.peer.received)

    def test_ping(self) -> None:
        """HTTP/1.1 has no ping: BadState at the call, and the connection lives on."""
        self.assertRaises(gun.BadState, self.conn.ping)
        self.assertEqual(self.conn.info().state_name, "connected")


class WaitingTests(LifeCase):
    """Requests while it is not up."""

    def test_limit(self) -> None:
        """max_waiting requests wait; the next fails with LimitReached, told once, and the others are sent."""
        for waiting, refused in ((2, 0), (3, 0), (4, 1)):
            told = RecordingReceiver()
            world = MemoryGun(max_waiting=3, reply_to=told)
            streams = [world.connection.get(f"/{n}") for n in range(waiting)]
            self.assertEqual(told.events, [])
            world.pump()
            errors = told.of(gun.Error)
            self.assertEqual([event.stream for event in errors], streams[3:])
            self.assertEqual(len(errors), refused)
            self.assertEqual(len(world.peer.requests), waiting - refused)

    def test_limit_awaited(self) -> None:
        """Awaited, the refused one fails with the limit's name and value."""
        world = MemoryGun(max_waiting=1)
        world.connection.get("/")
        response = world.connection.get("/").await_response()
        world.pump()
        error = self.failureResultOf(response, gun.LimitReached).value
        self.assertEqual((error.name, error.limit), ("max_waiting", 1))


class InfoTests(LifeCase):
    """conn.info."""

    def test_not_connected(self) -> None:
        """Before it is up there is an origin, but no protocol, addresses or TLS."""
        world = MemoryGun("example.org", 8080)
        info = world.connection.info()
        self.assertEqual((info.origin_scheme, info.origin_host, info.origin_port), ("http", "example.org", 8080))
        self.assertEqual((info.protocol, info.sock_ip, info.sock_port, info.peer, info.tls), (None,) * 5)
        self.assertIs(info.owner, world.owner)
        self.assertEqual(info.intermediaries, ())

    def test_connected(self) -> None:
        """While it is up it knows the protocol and both addresses."""
        world = up()
        info = world.connection.info()
        link = world.endpoint.links[-1].client
        self.assertEqual((info.protocol, info.state_name), ("http", "connected"))
        self.assertEqual((info.sock_ip, info.sock_port), (link.getHost().host, link.getHost().port))
        self.assertEqual(info.peer, link.getPeer())

    def test_while_told_that_it_is_up(self) -> None:
        """Who is told that it is up, and `on_up`, may ask what is spoken."""
        found: list[object] = []

        class Owner(gun.Receiver):
            def gun_up(self, event: gun.Up) -> None:
                found.append(event.connection.info().protocol)

        world = MemoryGun(owner=Owner(), on_up=lambda conn: found.append(conn.info().protocol))
        world.pump()
        self.assertEqual(found, ["http", "http"])

    def test_while_told_of_a_loss(self) -> None:
        """Who hears that a stream was killed may ask, though the socket is gone."""
        world = up()
        infos: list[gun.ConnectionInfo] = []
        world.connection.get("/", reply_to=lambda event: infos.append(world.connection.info()))
        world.pump()
        world.peer.close()
        world.pump()
        self.assertEqual([(info.protocol, info.sock_port, info.peer) for info in infos], [(None, None, None)])

    def test_closing(self) -> None:
        """After shutdown it is closing as long as something is under way."""
        world = up()
        world.connection.get("/")
        world.connection.shutdown()
        self.assertEqual(world.connection.info().state_name, "closing")
        feed(world, OK)
        self.assertEqual(world.connection.info().state_name, "terminated")
        self.assertIsNone(world.connection.info().protocol)

    def test_repr(self) -> None:
        """Its repr names the origin and the state."""
        self.assertEqual(repr(up().connection), "<Connection http://example.org connected>")


class FlushTests(LifeCase):
    """conn.flush."""

    def test_drops_what_is_unread(self) -> None:
        """It drops the unread events of every stream, those that have ended included."""
        world = up()
        ended, running = world.connection.get("/1"), world.connection.get("/2")
        world.pump()
        feed(world, OK + UNTIL_CLOSE)
        world.connection.flush()
        self.failureResultOf(ended.await_event(), gun.BadState)
        feed(world, b"new")
        event: Any = self.successResultOf(running.await_event())
        self.assertEqual(event.data, b"new")

    def test_with_receivers(self) -> None:
        """Streams that have a receiver have nothing to drop."""
        told = RecordingReceiver()
        world = up(reply_to=told)
        world.connection.get("/")
        world.pump()
        world.connection.flush()
        feed(world, OK)
        self.assertEqual(told.names(), ["gun_response", "gun_data"])


class OwnerTests(LifeCase):
    """owner, set_owner."""

    def test_owner_is_told_of_the_connection_only(self) -> None:
        """The owner hears of up and down, the streams' receiver of the streams."""
        streams = RecordingReceiver()
        world = up(reply_to=streams)
        world.connection.get("/")
        world.pump()
        feed(world, LAST)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down", "gun_up"])
        self.assertEqual(streams.names(), ["gun_response", "gun_data"])

    def test_set_owner(self) -> None:
        """From set_owner on the new one is told, and the old one is not."""
        world, new = up(), RecordingReceiver()
        world.connection.set_owner(new)
        self.assertIs(world.connection.info().owner, new)
        world.peer.close()
        world.pump()
        self.assertEqual((world.owner.names(), new.names()), (["gun_up"], ["gun_down", "gun_up"]))

    def test_no_owner(self) -> None:
        """A connection without an owner works."""
        world = MemoryGun()
        connection = gun.open("example.org", 80, reactor=world.clock, endpoint=world.endpoint)
        world.pump()
        self.assertEqual(self.successResultOf(connection.await_up()), "http")
        connection.close()

    def test_owner_gone(self) -> None:
        """set_owner(None) says that the owner has gone: what is under way finishes, then it ends."""
        world = up()
        ended = world.connection.when_terminated()
        body = world.connection.get("/").await_body()
        world.connection.set_owner(None)
        self.assertRaises(gun.ShuttingDown, world.connection.get, "/")
        world.pump()
        feed(world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_owner_gone_while_down(self) -> None:
        """Where it is not connected it ends at once."""
        world = MemoryGun()
        world.endpoint.hang()
        world.pump()
        world.connection.set_owner(None)
        self.assertIsNone(self.successResultOf(world.connection.when_terminated()))

    def test_while_shutting_down(self) -> None:
        """During shutdown, and after the end, set_owner raises BadState."""
        world = up()
        world.connection.get("/")
        world.connection.shutdown()
        self.assertRaises(gun.BadState, world.connection.set_owner, RecordingReceiver())
        world.connection.close()
        self.assertRaises(gun.BadState, world.connection.set_owner, RecordingReceiver())

    def test_bad_owner(self) -> None:
        """What cannot be told anything raises OptionError."""
        self.assertRaises(gun.OptionError, up().connection.set_owner, 7)
