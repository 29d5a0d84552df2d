"""`twisted_gun.net.proxy`: tunnels through proxies of HTTP/1.1 and of SOCKS5, over links in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory

import twisted_gun as gun
from tests.net import proxying
from tests.net.proxying import NAME
from twisted_gun.net.proxy import Proxy
from twisted_gun.testing import MemoryEndpoint, ScriptedPeer
from twisted_gun.testing.proxies import ProxyFactory

OPEN = b"HTTP/1.1 200 OK\r\n\r\n"


class HttpTests(proxying.Tunnels):
    """HTTP/1.1."""

    def test_asked(self) -> None:
        """The request holds what a proxy needs, and the further fields it was to hold."""
        self.connect(self.scripted(ScriptedPeer(), headers=((b"user-agent", b"x"),), username=b"ann", password=b"b"))
        request = b"CONNECT origin.example:443 HTTP/1.1\r\nhost: origin.example:443\r\n"
        self.assertEqual(self.peers[0].received, request + b"proxy-authorization: Basic YW5uOmI=\r\nuser-agent: x\r\n\r\n")

    def test_glued(self) -> None:
        """What comes with the answer belongs to the protocol, behind connectionMade."""
        client = self.successResultOf(self.connect(self.scripted(ScriptedPeer([("expect", b"\r\n\r\n"), ("send", OPEN + b"hello")]))))
        self.assertEqual((client.told, client.received), (["made", "data"], b"hello"))

    def test_each_its_own(self) -> None:
        """Each tunnel has a connection of its own, dialled at once."""
        proxy = self.proxy()
        wanted = [self.want(proxy) for _ in range(3)]
        self.assertEqual(self.way.attempts, 3)
        self.pump()
        for each in wanted:
            self.successResultOf(each).transport.loseConnection()
        self.assert_nothing_left()

    def test_refused(self) -> None:
        """A refusal is told as soon as its head is there, in words, and the connection is closed."""
        for status, words in (
            (302, "it answered 302"),
            (400, "bad one"),
            (403, "rules do not allow"),
            (418, "it answered 418"),
            (502, "could not reach the destination"),
            (504, "waited too long for the destination"),
        ):
            peer = ScriptedPeer([("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 %d X\r\ncontent-length: 9\r\n\r\n" % status)])
            problem = self.fails(self.connect(self.scripted(peer)), gun.ProxyFailed, NAME, "made no tunnel to origin.example:443", words)
            self.assertEqual((problem.status, problem.error), (status, None))

    def test_credentials_wanted(self) -> None:
        """407 says what is wrong with the credentials, and never what they are."""
        wants = {"server": {"credentials": ("ann", "secret")}}
        self.fails(self.connect(self.proxy(**wants)), gun.ProxyFailed, "407", "it wants username and password: give them")
        problem = self.fails(self.connect(self.proxy(username=b"ann", password=b"wrongword", **wants)), gun.ProxyFailed, "check username")
        self.assertNotIn("wrongword", str(problem))
        challenges = b'proxy-authenticate: Negotiate, Digest realm="a, b", qop="auth"\r\nproxy-authenticate: NTLM\r\n'
        answer = b"HTTP/1.1 407 X\r\n%bcontent-length: 0\r\n\r\n" % challenges
        peer = ScriptedPeer([("expect", b"\r\n\r\n"), ("send", answer)])
        self.fails(self.connect(self.scripted(peer)), gun.ProxyFailed, "(Negotiate, Digest, NTLM): only Basic is")

    def test_interim(self) -> None:
        """An interim response is no answer."""
        steps = [("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OPEN)]
        self.successResultOf(self.connect(self.scripted(ScriptedPeer(steps))))

    def test_garbage(self) -> None:
        """A peer that speaks no HTTP is named with what is wrong with that."""
        peer = ScriptedPeer([("expect", b"\r\n\r\n"), ("send", b"220 mail.example ESMTP\r\n")])
        problem = self.fails(self.connect(self.scripted(peer)), gun.ProxyFailed, NAME, "origin.example:443")
        self.assertIsInstance(problem.__cause__, gun.ProtocolViolation)

    def test_head_too_slow(self) -> None:
        """A limit of HTTP's is told as that, of the proxy."""
        peer = ScriptedPeer([("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1")])
        wanted = self.connect(self.scripted(peer, tunnel_timeout=None))
        self.clock.advance(30)
        problem = self.fails(wanted, gun.TimedOut, NAME, "origin.example:443")
        self.assertEqual(problem.stage, "headers")


class SocksTests(proxying.Tunnels):
    """SOCKS5."""

    kind = "socks5"

    def test_each_its_own(self) -> None:
        """Each tunnel has a connection of its own."""
        proxy = self.proxy()
        self.open(proxy)
        self.open(proxy)
        self.assertEqual(self.way.attempts, 2)

    def test_too_long(self) -> None:
        """A name that becomes too long for SOCKS raises at the call."""
        self.assertRaises(gun.InvalidRequest, self.proxy().connect, ".".join(["ü" * 49] * 5), 443, self.clients)

    def test_refused(self) -> None:
        """Each refusal by its name, told at once."""
        for code, error in (
            (1, "general_socks_server_failure"),
            (2, "connection_not_allowed_by_ruleset"),
            (4, "host_unreachable"),
            (5, "connection_refused"),
            (9, "unknown_error"),
        ):
            wanted = self.connect(self.proxy(server={"refuse": code}))
            problem = self.fails(wanted, gun.ProxyFailed, NAME, "made no tunnel to origin.example:443")
            self.assertEqual((problem.status, problem.error), (None, error))

    def test_credentials_wanted(self) -> None:
        """Credentials that are missing, wrong, or not wanted."""
        wants = {"server": {"credentials": ("ann", "secret")}}
        problem = self.fails(self.connect(self.proxy(**wants)), gun.ProxyFailed, NAME, "give username and password, or give none")
        self.assertEqual(problem.error, "no_acceptable_method")
        wrong = self.connect(self.proxy(username=b"ann", password=b"wrongword", **wants))
        problem = self.fails(wrong, gun.ProxyFailed, NAME, "it does not accept username and password")
        self.assertEqual(problem.error, "username_password_auth_failure")
        self.assertNotIn("wrongword", str(problem))

    def test_garbage(self) -> None:
        """A peer that speaks no SOCKS."""
        wanted = self.connect(self.scripted(ScriptedPeer([("send", b"HTTP/1.1 400 Bad Request\r\n\r\n")])))
        self.fails(wanted, gun.ProxyFailed, NAME, "origin.example:443: it answered the greeting with version 72", "is there a SOCKS5 proxy")


class TlsTests(proxying.ProxyCase):
    """A proxy over TLS."""

    def factory_of(self, kind: str, **options: Any) -> Any:
        """The server's side of HTTP."""
        self.factory = ProxyFactory(kind, self.dial, **options)
        return self.factory

    def test_http(self) -> None:
        """Where ALPN chooses HTTP/1.1, or nothing, tunnels that waited dial for themselves; later ones do not wait any more."""
        for chosen in (b"http/1.1", None):
            proxy = self.over_tls(self.factory_of("http2+http"), chosen)
            wanted = [self.want(proxy) for _ in range(3)]
            self.assertEqual(self.way.attempts, 1)
            self.pump()
            for each in wanted:
                self.successResultOf(each).transport.loseConnection()
            self.pump()
            self.assertEqual((self.way.attempts, proxy.protocol), (3, "http"))
            self.assert_nothing_left()
            more = [self.want(proxy) for _ in range(2)]
            self.assertEqual(self.way.attempts, 5)
            for each in more:
                each.cancel()
            for each in more:
                self.fails(each, ConnectingCancelledError)

    def test_one_fails_for_another(self) -> None:
        """Where the first of those that then dial for themselves fails at once, and cancels the next, that one is not dialled for."""
        proxy = self.over_tls(self.factory_of("http2+http"), b"http/1.1")
        wanted = [self.want(proxy) for _ in range(3)]
        refusing = MemoryEndpoint(Factory())  # at once, without a clock
        refusing.refuse()
        proxy.endpoint = refusing
        wanted[1].addErrback(lambda failure: wanted[2].cancel())
        self.pump()
        self.successResultOf(wanted[0])
        self.failureResultOf(wanted[2], ConnectingCancelledError)
        self.assertEqual(refusing.attempts, 1)

    def test_http2(self) -> None:
        """Where it chooses HTTP/2, all go over one."""
        proxy = self.over_tls(self.factory_of("http2+http"), b"h2")
        wanted = [self.want(proxy) for _ in range(3)]
        self.pump()
        for each in wanted:
            self.successResultOf(each).transport.loseConnection()
        self.pump()
        self.assertEqual((self.way.attempts, proxy.protocol), (1, "http2"))
        self.assert_nothing_left()

    def test_other_protocol(self) -> None:
        """What is not spoken here cannot be chosen."""
        proxy = self.over_tls(self.factory_of("http2+http"), b"http/1.1")
        proxy.choose = lambda negotiated: Proxy.choose(proxy, b"spdy/3")  # type: ignore[method-assign]
        problem = self.fails(self.connect(proxy), gun.ConnectFailed, NAME, "b'spdy/3'")
        self.assertIsInstance(problem.reason, gun.ConnectionFailed)

    def test_certificate(self) -> None:
        """A certificate for another name is refused, for all that wait, and nothing is asked for."""
        proxy = self.over_tls(self.factory_of("http"), host="other.example")
        wanted = [self.want(proxy) for _ in range(2)]
        self.pump()
        for each in wanted:
            self.fails(each, gun.TlsFailed, f"the proxy {NAME}: the certificate of other.example was refused")
        self.assertEqual(self.factory.tunnels, [])

    def test_confirmed(self) -> None:
        """The certificate is looked at once more when the handshake is done."""
        proxy = self.over_tls(self.factory_of("http"))
        assert proxy.creator is not None
        proxy.creator.confirm = lambda connection: (_ for _ in ()).throw(gun.TlsFailed("not this one"))  # type: ignore[method-assign]
        self.fails(self.connect(proxy), gun.TlsFailed, "not this one")

    def test_no_tls(self) -> None:
        """A peer that speaks none, and its alert, where it sends one."""
        proxy = self.over_tls(self.factory_of("http"))
        self.way = MemoryEndpoint(Factory.forProtocol(lambda: ScriptedPeer([("send", b"HTTP/1.1 400 X\r\n\r\n")])), clock=self.clock)
        proxy.endpoint._endpoint = self.way  # type: ignore[attr-defined]
        self.fails(self.connect(proxy), gun.TlsFailed, NAME, "does the peer speak TLS")

    def test_handshake_too_slow(self) -> None:
        """A handshake that does not end in time; and one that is given up before."""
        proxy = self.over_tls(self.factory_of("http"))
        self.way = MemoryEndpoint(Factory.forProtocol(ScriptedPeer), clock=self.clock)
        proxy.endpoint._endpoint = self.way  # type: ignore[attr-defined]
        wanted = self.connect(proxy)
        self.clock.advance(10)
        problem = self.fails(wanted, gun.TimedOut, NAME)
        self.assertEqual(problem.stage, "tls")
        wanted = self.connect(proxy)
        wanted.cancel()
        self.fails(wanted, ConnectingCancelledError)

    def test_cut_off(self) -> None:
        """An end without close_notify is no good end."""
        client, _ = self.open(self.over_tls(self.factory_of("http")))
        self.way.links[0].server.loseConnection()
        self.pump()
        self.assertIsInstance(client.lost, gun.GunError)
        self.assert_nothing_left()


class OtherEndpoints(proxying.ProxyCase):
    """Endpoints that fail in ways of their own."""

    def fails_by(self, endpoint: Any, kind: type[BaseException], *words: str) -> None:
        """A proxy behind it cannot be reached."""
        self.way = MemoryEndpoint(Factory(), clock=self.clock)
        self.fails(self.connect(self.at(endpoint)), kind, *words)

    def test_raises(self) -> None:
        """One that raises, or fails by what nobody knows."""

        class Raising:
            def connect(self, protocolFactory: Any) -> Any:
                raise ZeroDivisionError("by nothing")

        self.fails_by(Raising(), gun.ConnectFailed, f"the proxy {NAME}: ZeroDivisionError: by nothing")

    def test_timed_out(self) -> None:
        """One whose time is up says at what stage; it is the proxy that is named."""

        class Slow:
            def connect(self, protocolFactory: Any) -> Any:
                return fail(gun.TimedOut("lookup", 5.0, f"{NAME}: timed out: lookup took longer than 5.0 seconds"))

        self.fails_by(Slow(), gun.TimedOut, f"the proxy {NAME}: timed out: lookup")

    def test_sync(self) -> None:
        """One that connects at once."""
        self.factory = ProxyFactory("http", self.dial)
        self.way = MemoryEndpoint(self.factory)
        wanted = self.want(self.at(self.way))
        self.way.links[0].flush()
        self.pump()
        self.way.links[0].flush()
        self.assertEqual(self.successResultOf(wanted).told, ["made"])
