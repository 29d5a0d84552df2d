"""`twisted_gun.leg`: options become the legs of a connection's way, checked, before anything is dialled."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import authority
from twisted_gun.errors import ConnectionFailed, InvalidRequest, OptionError
from twisted_gun.info import Origin
from twisted_gun.leg import Leg, first_leg, leg_to
from twisted_gun.net.tls import ConnectionCreator
from twisted_gun.options import Destination, Http2Options, HttpOptions, Options, RawOptions, SocksOptions
from twisted_gun.request import Forward, proxy_fields

#: Whom a connection is for.
HTTP = Origin(scheme="http", host="example.org", port=8080, authority=b"example.org:8080")
HTTPS = Origin(scheme="https", host="example.org", port=443, authority=b"example.org")


def first(origin: Origin = HTTP, **options: Any) -> Leg:
    """The first leg of a connection with these options."""
    return first_leg(origin, Options(**options).settled(origin.port))


class LegCase(SynchronousTestCase):
    """Tests of legs, with an authority to be trusted."""

    def setUp(self) -> None:
        """A file with its certificate."""
        self.trust = self.mktemp()
        with open(self.trust, "wb") as file:
            file.write(authority().pem)

    def to(self, kind: type[Any] = Destination, options: Options | None = None, **end: Any) -> Leg:
        """The leg to an end of this kind."""
        if end.get("transport") == "tls":
            end = {"tls_opts": {"trust_root": self.trust}, **end}
        return leg_to(kind(**{"host": "inner.example", "port": 80, **end}), options or Options())

    def creator(self, leg: Leg) -> ConnectionCreator:
        """What makes its TLS connections."""
        assert isinstance(leg.creator, ConnectionCreator)
        return leg.creator


class FirstTests(LegCase):
    """The first one, a connection's own."""

    def test_plain(self) -> None:
        """Over TCP, by the connection's options; nothing is behind it."""
        leg = first(http_opts=HttpOptions(flow=3), tls_handshake_timeout=4.0, tunnel_timeout=5.0)
        self.assertEqual((leg.origin, leg.transport, leg.protocols), (HTTP, "tcp", (("http", HttpOptions(flow=3)),)))
        self.assertEqual((leg.http, leg.http2), (HttpOptions(flow=3), Http2Options()))
        self.assertEqual((leg.creator, leg.onward, leg.forward), (None, None, None))
        self.assertEqual((leg.tls_handshake_timeout, leg.tunnel_timeout), (4.0, 5.0))
        self.assertRaises(FrozenInstanceError, setattr, leg, "transport", "tls")

    def test_tls(self) -> None:
        """Over TLS, to the origin's host."""
        leg = first(HTTPS, tls_opts={"trust_root": self.trust})
        self.assertEqual((leg.transport, self.creator(leg).host), ("tls", "example.org"))
        self.assertEqual([name for name, _ in leg.protocols], ["http2", "http"])

    def test_own_options(self) -> None:
        """A protocol's own options go before those of the connection."""
        leg = first(HTTPS, tls_opts={"trust_root": self.trust}, protocols=[("http", {"flow": 1}), ("http2", {"flow": 2})])
        self.assertEqual((leg.http, leg.http2), (HttpOptions(flow=1), Http2Options(flow=2)))

    def test_forward(self) -> None:
        """How requests are given to a proxy that sends them on, where there is one; credentials for it are not shown."""
        fields = proxy_fields((), "u", "canary")
        leg = replace(first(), forward=Forward(fields=fields))
        self.assertNotIn(fields[0][1].decode(), repr(leg))

    def test_files(self) -> None:
        """Files of TLS are read now: one that is not there is an error by the option's name."""
        missing = {"trust_root": f"{self.trust}.missing"}
        self.assertEqual(self.assertRaises(OptionError, first, HTTPS, tls_opts=missing).option, "tls_opts.trust_root")
        self.assertEqual(self.assertRaises(OptionError, self.to, transport="tls", tls_opts=missing).option, "tls_opts.trust_root")
        self.to(transport="tcp", tls_opts=missing)


class TunnelTests(LegCase):
    """The leg that goes through a tunnel."""

    def test_plain(self) -> None:
        """To the destination, whose authority is that of its scheme; its own waits are its."""
        for port, host in ((80, b"inner.example"), (8080, b"inner.example:8080"), (443, b"inner.example:443")):
            leg = self.to(port=port, tls_handshake_timeout=1.0, tunnel_timeout=None)
            self.assertEqual(leg.origin, Origin(scheme="http", host="inner.example", port=port, authority=host))
            self.assertEqual((leg.transport, leg.only, leg.creator, leg.onward, leg.forward), ("tcp", "http", None, None, None))
            self.assertEqual((leg.tls_handshake_timeout, leg.tunnel_timeout, leg.where), (1.0, None, f"inner.example:{port}"))

    def test_tls(self) -> None:
        """By TLS to the destination, which its certificate is for, and whose own authority is another then."""
        for port, host in ((443, b"inner.example"), (80, b"inner.example:80")):
            leg = self.to(port=port, transport="tls")
            self.assertEqual(leg.origin, Origin(scheme="https", host="inner.example", port=port, authority=host))
            self.assertEqual((self.creator(leg).host, [name for name, _ in leg.protocols]), ("inner.example", ["http2", "http"]))
        leg = self.to(transport="tls", tls_opts={"trust_root": self.trust, "server_name": "other.example"})
        self.assertEqual((self.creator(leg).host, leg.origin.host), ("other.example", "inner.example"))

    def test_addresses_and_names(self) -> None:
        """An address has its brackets in the authority only; a name is as the DNS has it there."""
        leg = self.to(host="2001:db8::1", port=8080)
        self.assertEqual((leg.origin.host, leg.origin.authority), ("2001:db8::1", b"[2001:db8::1]:8080"))
        self.assertEqual(self.to(host="b\u00fccher.example").origin.authority, b"xn--bcher-kva.example")
        self.assertRaises(InvalidRequest, self.to, host="\u2028.example")

    def test_options_of_protocols(self) -> None:
        """Those that the destination gives, or else those of the connection, whatever that speaks itself."""
        options = Options(http_opts={"flow": 1}, http2_opts={"flow": 2}, raw_opts={"flow": 3})  # type: ignore[arg-type]
        leg = self.to(options=options)
        self.assertEqual((leg.http, leg.http2), (HttpOptions(flow=1), Http2Options(flow=2)))
        leg = self.to(options=options, transport="tls", protocols=["http2", ("http", {"flow": 5})])
        self.assertEqual((leg.http, leg.http2), (HttpOptions(flow=5), Http2Options(flow=2)))
        self.assertEqual(self.to(options=options, protocols=["raw"]).options, RawOptions(flow=3))
        self.assertEqual(self.to(options=options, protocols=[("raw", {"flow": 4})]).options, RawOptions(flow=4))

    def test_does_not_fit(self) -> None:
        """Over TCP one protocol is spoken; the option is named as the caller gave it."""
        for kind, option in ((Destination, "destination.protocols"), (SocksOptions, "socks_opts.protocols")):
            self.assertEqual(self.assertRaises(OptionError, self.to, kind, protocols=["http2", "http"]).option, option)
        self.assertEqual(self.assertRaises(OptionError, self.to, protocols=["socks"]).option, "socks_opts")


class SocksTests(LegCase):
    """Legs to SOCKS proxies, and what is behind those."""

    def test_onward(self) -> None:
        """A SOCKS proxy leads on: the leg behind it is there as well, and the one behind that."""
        last = {"host": "last.example", "port": 443, "transport": "tls", "tls_opts": {"trust_root": self.trust}}
        second = {"host": "second.example", "port": 1080, "protocols": [("socks", last)], "tunnel_timeout": 2.0}
        leg = first(protocols=[("socks", second)])
        self.assertEqual((leg.origin, leg.only, leg.takes_requests), (HTTP, "socks", False))
        assert leg.onward is not None and leg.onward.onward is not None
        self.assertEqual((leg.onward.origin.host, leg.onward.only, leg.onward.tunnel_timeout), ("second.example", "socks", 2.0))
        end = leg.onward.onward
        self.assertEqual((end.origin.scheme, end.origin.host, end.onward, end.takes_requests), ("https", "last.example", None, True))
        self.assertEqual(self.creator(end).host, "last.example")

    def test_of_the_connection(self) -> None:
        """Where it leads on may be the connection's option, at the first leg and behind a tunnel."""
        options = {"socks_opts": {"host": "last.example", "port": 80}}
        for leg in (first(protocols=["socks"], **options), self.to(options=Options(**options), protocols=["socks"])):  # type: ignore[arg-type]
            assert leg.onward is not None
            self.assertEqual((leg.onward.origin.host, leg.options.host), ("last.example", "last.example"))

    def test_round_and_round(self) -> None:
        """A SOCKS proxy that is to lead to itself for ever leads nowhere: that is an error, at once."""
        options: dict[str, Any] = {"socks_opts": {"host": "last.example", "port": 1080, "protocols": ["socks"]}}
        self.assertIn("socks_opts", self.assertRaises(OptionError, first, protocols=["socks"], **options).option)
        self.assertIn("socks_opts", self.assertRaises(OptionError, self.to, options=Options(**options), protocols=["socks"]).option)


class ChosenTests(LegCase):
    """What is spoken."""

    def test_only(self) -> None:
        """Whether it can be no other, whether that takes requests, and its options."""
        for protocols, only, takes in ((["http"], "http", True), (["http2"], "http2", True), (["raw"], "raw", False)):
            leg = self.to(protocols=protocols)
            self.assertEqual((leg.only, leg.takes_requests), (only, takes))
            self.assertIs(leg.options, leg.protocols[0][1])
        leg = self.to(transport="tls")
        self.assertEqual((leg.only, leg.takes_requests), (None, True))

    def test_negotiated(self) -> None:
        """What ALPN chose; where it chose nothing, the only one offered, or else HTTP/1.1."""
        both, http2, raw = (self.to(transport="tls", protocols=names) for names in (["http2", "http"], ["http2"], ["raw"]))
        for leg, negotiated, chosen in (
            (both, b"h2", "http2"),
            (both, b"http/1.1", "http"),
            (both, None, "http"),
            (http2, b"h2", "http2"),
            (http2, None, "http2"),
            (raw, None, "raw"),
        ):
            self.assertEqual(leg.chosen(negotiated), chosen)

    def test_not_offered(self) -> None:
        """RFC 7301 section 3.2: a server may choose only what was offered."""
        for names, negotiated in (
            (["http2"], b"http/1.1"),
            (["http"], b"h2"),
            (["http2", "http"], b"h3"),
            (["raw"], b"h2"),
            (["http"], b""),
        ):
            leg = self.to(transport="tls", protocols=names)
            self.assertIn(repr(negotiated), str(self.assertRaises(ConnectionFailed, leg.chosen, negotiated)))
