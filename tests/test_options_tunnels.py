"""The options of tunnels: where they lead, what is spoken there, and which proxies there are; credentials are shown nowhere."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.options import (
    Destination,
    Http2Options,
    HttpOptions,
    Options,
    ProxyUrl,
    RawOptions,
    SocksOptions,
    TlsOptions,
    make_options,
)
from twisted_gun.options.protocols import alpn, protocol_list, settled_protocols
from twisted_gun.options.proxies import proxies_of_environment, proxy_urls

Table = dict[str, tuple[list[Any], list[Any]]]

#: What no message and no `repr` may hold.
SECRET = "canary"
SECONDS_BAD: list[Any] = [-1, -0.5, "5", b"5", True, float("nan"), [], object()]
COUNTS_BAD: list[Any] = [0, -1, 1.0, "1", True, float("inf")]

#: Of a `Destination` and of `SocksOptions`: values that are taken, and values that are not.
END: Table = {
    "port": ([1, 80, 65_535], [0, -1, 65_536, "80", 80.0, True, None]),
    **dict.fromkeys(("tls_handshake_timeout", "tunnel_timeout"), ([0, 0.5, 10, None], SECONDS_BAD)),
    "tls_opts": ([{}, {"verify": False}, TlsOptions()], [None, 1, "x", HttpOptions(), {"unknown": 1}]),
    "transport": (["tcp", "tls", "ssl"], ["", "udp", "quic", b"tcp", None, 1]),
    "protocols": (
        [
            *(None, ["http"], ["http2", "http"], ["raw"], [("http", {"flow": 1})], [("raw", RawOptions())]),
            *(["socks"], [("socks", {"host": "a", "port": 1})]),
        ],
        [
            "http",
            b"http",
            1,
            [],
            {"http": {}},
            ["spdy"],
            ["http", "http"],
            ["raw", "http"],
            [("http",)],
            [("http", {}, 1)],
            [{}],
            [(b"http", {})],
        ],
    ),
}
DESTINATION: Table = {
    **END,
    "username": (["", "u", b"u", "\u00fc", "a b", b"\xff"], [1, ("u",), "a:b", b":", "a\r", "\0", b"\x7f"]),
    "password": (["", "p", b"p", "\u00fc:", b"\xff"], [1, ["p"], "a\n", b"\0", "\x1f", b"\x7f"]),
}
LOGIN = "username_password"
SOCKS: Table = {
    **END,
    "auth": (
        [["none"], ("none",), [(LOGIN, "u", "p")], ([LOGIN, b"u", b"p"],), [(LOGIN, "x" * 255, "\u00fc" * 127)]],
        [
            *("none", None, [], (), 1, ["none", "none"], ["gssapi"], [b"none"], [None], {"none"}, [("none",)], [("none", "none")]),
            *([LOGIN], (LOGIN, "u", "p"), [(LOGIN, "u")], [(LOGIN, "u", "p", "q")], [(LOGIN, "u", 5)], [(LOGIN, None, "p")]),
            *([(LOGIN, "", "p")], [(LOGIN, "u", b"")], [(LOGIN, "x" * 256, "p")], [(LOGIN, "u", "\u00fc" * 128)]),
            *(["none", (LOGIN, "u", "p")], [(LOGIN, "u", "p"), (LOGIN, "v", "p")]),
        ],
    ),
    "version": ([5], [4, "5", None, 6, b"\x05"]),
}
RAW: Table = {"flow": ([1, 10**9, None], COUNTS_BAD)}


class EveryOptionTests(SynchronousTestCase):
    """Every option of every kind."""

    def check(self, kind: type[Any], prefix: str, table: Table, **more: Any) -> None:
        """Good values are taken, bad ones are refused by name."""
        for name, (good, bad) in table.items():
            others = more if name not in ("username", "password") else {**more, "username": "u", "password": "p"}
            for value in good:
                kind(**{**others, name: value})
            for value in bad:
                error = self.assertRaises(OptionError, kind, **{**others, name: value})
                self.assertTrue(error.option.startswith(prefix + name), (error.option, name, value))

    def test_destination(self) -> None:
        """Those of a destination."""
        self.assertEqual({option.name for option in fields(Destination)}, {*DESTINATION, "host"})
        self.check(Destination, "destination.", DESTINATION, host="example.org", port=443)

    def test_socks(self) -> None:
        """Those of SOCKS."""
        self.assertEqual({option.name for option in fields(SocksOptions)}, {*SOCKS, "host"})
        self.check(SocksOptions, "socks_opts.", SOCKS, host="example.org", port=443)

    def test_raw(self) -> None:
        """Those of the raw protocol."""
        self.assertEqual({option.name for option in fields(RawOptions)}, set(RAW))
        self.check(RawOptions, "raw_opts.", RAW)

    def test_host(self) -> None:
        """A host is a name or an address; there has to be one, and it is text then."""
        for kind, prefix in ((Destination, "destination."), (SocksOptions, "socks_opts.")):
            for given, host in (
                ("example.org", "example.org"),
                (b"example.org", "example.org"),
                ("[::1]", "::1"),
                (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
                (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
                ("b\u00fccher.example", "b\u00fccher.example"),
            ):
                self.assertEqual(kind(host=given, port=1).host, host)
            for bad in ("", "a b", "http://example.org", "example.org:80", "example.org/", "a\r\nb", 1):
                self.assertRaises(InvalidRequest, kind, host=bad, port=1)
            self.assertEqual(self.assertRaises(OptionError, kind, port=1).option, f"{prefix}host")
            self.assertEqual(self.assertRaises(OptionError, kind, host="example.org").option, f"{prefix}port")

    def test_both_credentials(self) -> None:
        """Username and password come together, or not at all."""
        for one in ({"username": "u"}, {"password": "p"}):
            error = self.assertRaises(OptionError, Destination, host="example.org", port=1, **one)
            self.assertEqual(error.option, "destination.username")

    def test_lone_surrogates(self) -> None:
        """Text that cannot be encoded is no username and no password, wherever it is given."""
        end: dict[str, Any] = {"host": "example.org", "port": 1}
        for make, option in (
            (lambda text: Destination(**end, username=text, password="p"), "destination.username"),
            (lambda text: Destination(**end, username="u", password=text), "destination.password"),
            (lambda text: SocksOptions(**end, auth=[(LOGIN, text, "p")]), "socks_opts.auth"),  # type: ignore[arg-type]
            (lambda text: SocksOptions(**end, auth=[(LOGIN, "u", text)]), "socks_opts.auth"),  # type: ignore[arg-type]
            (lambda text: proxy_urls(f"http://{text}:p@example.org"), "proxy"),
            (lambda text: proxy_urls(f"socks5://u:{text}@example.org"), "proxy"),
        ):
            self.assertEqual(self.assertRaises(OptionError, make, "\ud800").option, option)

    def test_converted(self) -> None:
        """What is given in another spelling is one value."""
        end = Destination(host="a", port=1, transport="ssl", tls_opts={"verify": False}, protocols=["http"])  # type: ignore[arg-type]
        self.assertEqual((end.transport, end.tls_opts, end.protocols), ("tls", TlsOptions(verify=False), (("http", None),)))
        socks = SocksOptions(host="a", port=1, auth=[[LOGIN, "\u00fc", b"p"]])  # type: ignore[arg-type]
        self.assertEqual(socks.auth, ((LOGIN, b"\xc3\xbc", b"p"),))
        self.assertEqual(SocksOptions(host="a", port=1, auth=["none"]).auth, ("none",))  # type: ignore[arg-type]
        self.assertEqual(socks, replace(socks))

    def test_defaults(self) -> None:
        """Plain TCP, no credentials, and the waits of a connection."""
        for kind in (Destination, SocksOptions):
            end = kind(host="a", port=1)
            self.assertEqual((end.transport, end.protocols, end.tls_opts), ("tcp", None, TlsOptions()))
            self.assertEqual((end.tls_handshake_timeout, end.tunnel_timeout), (10.0, Options().tunnel_timeout))
        self.assertEqual(SocksOptions(host="a", port=1).auth, ("none",))

    def test_frozen(self) -> None:
        """They are values, given by keyword."""
        for value in (
            Destination(host="a", port=1),
            SocksOptions(host="a", port=1),
            RawOptions(),
            ProxyUrl(scheme="http", host="a", port=1),
        ):
            self.assertRaises(FrozenInstanceError, setattr, value, fields(value)[0].name, None)
            self.assertEqual(value, replace(value))
            self.assertRaises(TypeError, type(value), "a", 1)

    def test_dotted_names(self) -> None:
        """A bad one within another has its dotted name; an unknown one as well."""
        end = {"host": "a", "port": 1}
        for keywords, option in (
            ({"socks_opts": {**end, "port": 0}}, "socks_opts.port"),
            ({"socks_opts": {**end, "post": 0}}, "socks_opts.post"),
            ({"socks_opts": {**end, "tls_opts": {"pins": 1}}}, "tls_opts.pins"),
            ({"socks_opts": {**end, "protocols": [("http", {"flow": 0})]}}, "http_opts.flow"),
            ({"socks_opts": {**end, "protocols": [("socks", {"host": "a"})]}}, "socks_opts.port"),
            ({"protocols": [("socks", {**end, "auth": []})]}, "socks_opts.auth"),
            ({"protocols": [("raw", {"flow": 0})]}, "raw_opts.flow"),
            ({"protocols": [("raw", HttpOptions())]}, "raw_opts"),
            ({"raw_opts": {"flaw": 1}}, "raw_opts.flaw"),
            ({"proxy_tls_opts": {"minimum": "1.0"}}, "tls_opts.minimum"),
            ({"cookie_store": 1}, "cookie_store"),
            ({"http_opts": {"content_handlers": [1]}}, "http_opts.content_handlers"),
        ):
            self.assertEqual(self.assertRaises(OptionError, make_options, None, keywords, 80).option, option)

    def test_endpoint(self) -> None:
        """What dials by itself goes through no proxy."""

        class Endpoint:
            """Something that can be dialled."""

            def connect(self, factory: object) -> None:
                """Dial."""

        self.assertEqual(self.assertRaises(OptionError, Options, endpoint=Endpoint(), proxy="http://example.org").option, "endpoint")
        self.assertEqual(Options(endpoint=Endpoint(), proxy=()).proxy, ())


class ProtocolTests(SynchronousTestCase):
    """Which protocols may be spoken where."""

    DEFAULTS: ClassVar[dict[str, Any]] = {
        "http": HttpOptions(flow=1),
        "http2": Http2Options(flow=2),
        "raw": RawOptions(flow=3),
        "socks": None,
    }

    def settled(self, transport: str, protocols: Any, **defaults: Any) -> list[Any]:
        """Each with its options."""
        pairs = None if protocols is None else protocol_list("p", protocols)
        return list(settled_protocols("p", transport, pairs, {**self.DEFAULTS, **defaults}))

    def test_nothing_said(self) -> None:
        """HTTP/1.1 over TCP, and over TLS whichever of the two the server chooses."""
        self.assertEqual(self.settled("tcp", None), [("http", HttpOptions(flow=1))])
        self.assertEqual(self.settled("tls", None), [("http2", Http2Options(flow=2)), ("http", HttpOptions(flow=1))])

    def test_own_options(self) -> None:
        """A protocol's own options replace those of the connection as a whole."""
        self.assertEqual(self.settled("tcp", [("raw", {})]), [("raw", RawOptions())])
        self.assertEqual(
            self.settled("tls", ["http", ("http2", {"max_streams": 5})]),
            [("http", HttpOptions(flow=1)), ("http2", Http2Options(max_streams=5))],
        )
        end = SocksOptions(host="a", port=1)
        self.assertEqual(self.settled("tcp", ["socks"], socks=end), [("socks", end)])
        self.assertEqual(self.settled("tls", [("socks", {"host": "a", "port": 1})]), [("socks", end)])

    def test_does_not_fit(self) -> None:
        """Over TCP nothing chooses between several; SOCKS has to be told where to."""
        error = self.assertRaises(OptionError, self.settled, "tcp", ["http2", "http"])
        self.assertEqual(
            (error.option, str(error)), ("p", "p: expected exactly one protocol where the transport is tcp, not ['http2', 'http']")
        )
        self.assertEqual(self.assertRaises(OptionError, self.settled, "tcp", ["socks"]).option, "socks_opts")

    def test_alone(self) -> None:
        """What no server can choose by ALPN (RFC 7301) stands alone, and is not offered."""
        for value in (["raw", "http"], ["http2", "socks"], ["socks", "raw"]):
            self.assertIn("alone", str(self.assertRaises(OptionError, protocol_list, "p", value)))
        self.assertEqual(alpn(protocol_list("p", ["http2", "http"])), (b"h2", b"http/1.1"))
        self.assertEqual(alpn(protocol_list("p", ["raw"])), ())

    def test_connection(self) -> None:
        """So it is with a connection's own."""
        settled = Options(protocols=("raw",), raw_opts=RawOptions(flow=4)).settled(443)
        self.assertEqual((settled.protocols, settled.alpn), ((("raw", RawOptions(flow=4)),), ()))
        end = SocksOptions(host="a", port=1)
        self.assertEqual(Options(protocols=("socks",), socks_opts=end).settled(80).protocols, (("socks", end),))
        self.assertEqual(Options().of_protocols, {"http": HttpOptions(), "http2": Http2Options(), "raw": RawOptions(), "socks": None})


class ProxyTests(SynchronousTestCase):
    """The URLs of proxies."""

    def one(self, url: Any) -> ProxyUrl:
        """The proxy that it names."""
        urls = proxy_urls(url)
        assert isinstance(urls, tuple) and len(urls) == 1
        return urls[0]

    def test_urls(self) -> None:
        """Scheme, host and port, each scheme with its own port; SOCKS looks up names by the proxy under either name."""
        for url, scheme, host, port in (
            ("http://example.org", "http", "example.org", 80),
            ("https://example.org/", "https", "example.org", 443),
            ("socks5://example.org", "socks5", "example.org", 1080),
            ("socks5h://example.org:1", "socks5", "example.org", 1),
            ("HTTP://Example.ORG:65535", "http", "example.org", 65_535),
            (b"http://example.org:3128", "http", "example.org", 3128),
            ("http://[2001:db8::1]:3128", "http", "2001:db8::1", 3128),
            ("http://192.0.2.1:3128", "http", "192.0.2.1", 3128),
            ("http://b\u00fccher.example", "http", "b\u00fccher.example", 80),
            ("http://example.org:", "http", "example.org", 80),
        ):
            self.assertEqual(self.one(url), ProxyUrl(scheme=scheme, host=host, port=port))

    def test_credentials(self) -> None:
        """They are decoded (RFC 3986 section 2.1), as bytes; a password is optional, and may hold what ends other things."""
        for part, username, password in (
            ("u:p", b"u", b"p"),
            ("u", b"u", b""),
            ("u:", b"u", b""),
            (":p", b"", b"p"),
            ("u%40x:p%3A%2f%25", b"u@x", b"p:/%"),
            ("u:p:q", b"u", b"p:q"),
            ("u:p@q", b"u", b"p@q"),
            ("%FF:\u00fc", b"\xff", b"\xc3\xbc"),
        ):
            proxy = self.one(f"http://{part}@example.org:3128")
            self.assertEqual((proxy.username, proxy.password, proxy.host), (username, password, "example.org"))
        self.assertEqual(self.one("socks5://u:p@example.org").password, b"p")
        proxy = self.one("http://example.org")
        self.assertEqual((proxy.username, proxy.password), (None, None))

    def test_several(self) -> None:
        """A list is a way through all of them, in order; one that is a value already is taken as it is."""
        value = ProxyUrl(scheme="http", host="b", port=1)
        urls = proxy_urls(["https://a", value, b"socks5://c"])
        self.assertEqual([(proxy.scheme, proxy.host) for proxy in urls], [("https", "a"), ("http", "b"), ("socks5", "c")])  # type: ignore[union-attr]
        self.assertEqual(proxy_urls(value), (value,))
        self.assertEqual((proxy_urls(None), proxy_urls([]), proxy_urls(iter(["http://a"]))), ((), (), (self.one("http://a"),)))
        self.assertEqual(proxy_urls("env"), "env")
        self.assertEqual(Options(proxy=Options(proxy="http://a").proxy), Options(proxy="http://a"))

    def test_refused(self) -> None:
        """What is no URL of a proxy is refused by name, and not shown."""
        for url in (
            *("", "example.org", "example.org:3128", "//example.org", "ftp://example.org", "socks4://example.org", "socks://example.org"),
            *(
                "http://",
                "http://:3128",
                "http://example.org:0",
                "http://example.org:65536",
                "http://example.org:x",
                "http://example.org:-1",
            ),
            *("http://example.org/path", "http://example.org?query", "http://example.org#x", "http://a b", "http://[::1", "http://a/?b"),
            *("http://u:p/canary@example.org", "http://u:canary?x@example.org", "http://u:canary@", "http://u:canary@ex%41mple.org"),
            *(b"http://\xff", b"http://u:canary@\xff"),
        ):
            for value in (url, [url]):
                error = self.assertRaises(OptionError, proxy_urls, value)
                self.assertEqual(error.option, "proxy")
                self.assertNotIn(SECRET, str(error))
                self.assertIsNone(error.__cause__)
        for other in (1, True, object(), 1.5, [None], [1], [["http://a"]]):
            self.assertEqual(self.assertRaises(OptionError, proxy_urls, other).option, "proxy")

    def test_refused_credentials(self) -> None:
        """Those that cannot be sent: RFC 7617 section 2 for HTTP, RFC 1929 section 2 for SOCKS."""
        for url in (
            *("http://a%3Ab:canary@h", "https://u:canary%0A@h", "http://%00:canary@h", "http://u:canary%7F@h"),
            *("socks5://u@h", "socks5://:canary@h", "socks5://u:@h", f"socks5://{'u' * 256}:canary@h", f"socks5://u:canary{'x' * 250}@h"),
        ):
            error = self.assertRaises(OptionError, proxy_urls, url)
            self.assertEqual(error.option, "proxy")
            self.assertNotIn(SECRET, str(error))
        self.assertEqual(self.one(f"socks5://{'u' * 255}:{'p' * 255}@h").username, b"u" * 255)

    def test_headers(self) -> None:
        """Fields for the last proxy need one that speaks HTTP."""
        fit: list[Any] = ["http://a", ["socks5://a", "https://b"], "env"]
        for proxy in fit:
            self.assertEqual(Options(proxy=proxy, proxy_headers={"X": "y"}).proxy_headers, ((b"x", b"y"),))
        unfit: list[Any] = [(), "socks5://a", ["http://a", "socks5://b"]]
        for proxy in unfit:
            error = self.assertRaises(OptionError, Options, proxy=proxy, proxy_headers={"x": SECRET})
            self.assertEqual(error.option, "proxy_headers")
            self.assertNotIn(SECRET, str(error))
        error = self.assertRaises(OptionError, Options, proxy="http://a", proxy_headers={"x": f"{SECRET}\r\n"})
        self.assertNotIn(SECRET, str(error))


class EnvironmentTests(SynchronousTestCase):
    """What the environment says."""

    def setUp(self) -> None:
        """Nothing but what a test sets."""
        self.patch(os, "environ", {})

    def proxy(self, url: str, **variables: str) -> str:
        """Which proxy the variables name for `url`, as "scheme://host:port", or ""."""
        os.environ.clear()
        os.environ.update(variables)
        scheme, _, rest = url.partition("://")
        host, _, port = rest.rpartition(":")
        found = proxies_of_environment(scheme, host.strip("[]"), int(port))
        self.assertLessEqual(len(found), 1)
        return f"{found[0].scheme}://{found[0].host}:{found[0].port}" if found else ""

    def test_by_scheme(self) -> None:
        """Each scheme has its variable, and what has none takes the common one; capitals count less."""
        both = {"http_proxy": "http://a:1", "https_proxy": "https://b:2", "all_proxy": "socks5://c:3"}
        for url, variables, expected in (
            ("http://example.org:80", both, "http://a:1"),
            ("https://example.org:443", both, "https://b:2"),
            ("http://example.org:80", {"all_proxy": "socks5h://c"}, "socks5://c:1080"),
            ("https://example.org:443", {"http_proxy": "http://a:1"}, ""),
            ("https://example.org:443", {"HTTPS_PROXY": "http://d:4"}, "http://d:4"),
            ("https://example.org:443", {"HTTPS_PROXY": "http://d:4", "https_proxy": "http://b:2"}, "http://b:2"),
            ("https://example.org:443", {"HTTPS_PROXY": "http://d:4", "https_proxy": ""}, ""),
            ("https://example.org:443", {"https_proxy": "", "all_proxy": "http://c:3"}, "http://c:3"),
            ("http://example.org:80", {}, ""),
        ):
            self.assertEqual(self.proxy(url, **variables), expected, variables)

    def test_no_scheme(self) -> None:
        """A proxy without a scheme is one of HTTP."""
        self.assertEqual(self.proxy("https://example.org:443", https_proxy="a:3128"), "http://a:3128")
        self.assertEqual(self.proxy("https://example.org:443", https_proxy="a"), "http://a:80")

    def test_credentials(self) -> None:
        """They may be in it."""
        os.environ["http_proxy"] = "u:p%40@a:3128"
        (proxy,) = proxies_of_environment("http", "example.org", 80)
        self.assertEqual((proxy.username, proxy.password), (b"u", b"p@"))

    def test_no_proxy(self) -> None:
        """Names and those below them, with a port or without, addresses, and ``*`` for all."""
        for url, names, direct in (
            ("http://example.org:80", "example.org", True),
            ("http://www.example.org:80", "example.org", True),
            ("http://www.example.org:80", ".example.org", True),
            ("http://example.org:80", ".example.org", True),
            ("http://anexample.org:80", "example.org", False),
            ("http://example.org.net:80", "example.org", False),
            ("http://EXAMPLE.org:80", "example.ORG", True),
            ("http://example.org:80", "other, example.org ,third", True),
            ("http://example.org:8080", "example.org:8080", True),
            ("http://example.org:80", "example.org:8080", False),
            ("http://192.0.2.1:80", "192.0.2.1", True),
            ("http://192.0.2.11:80", "192.0.2.1", False),
            ("http://[::1]:80", "[::1]", True),
            ("http://[::1]:8080", "localhost,127.0.0.1,::1", True),
            ("http://[2001:db8::1]:80", "::1", False),
            ("http://example.org:80", "*", True),
            ("http://example.org:80", "", False),
            ("http://example.org:80", " , ", False),
        ):
            for variable in ("no_proxy", "NO_PROXY"):
                found = self.proxy(url, http_proxy="http://a:1", **{variable: names})
                self.assertEqual(found == "", direct, (url, names))

    def test_cgi(self) -> None:
        """CVE-2016-1000110: in a CGI program HTTP_PROXY is what a client said in its Proxy field, and so is no proxy."""
        cgi = {"REQUEST_METHOD": "GET"}
        self.assertEqual(self.proxy("http://example.org:80", HTTP_PROXY="http://evil:1", **cgi), "")
        self.assertEqual(self.proxy("http://example.org:80", HTTP_PROXY="http://evil:1", all_proxy="http://c:3", **cgi), "http://c:3")
        self.assertEqual(self.proxy("http://example.org:80", HTTP_PROXY="http://evil:1", http_proxy="http://a:1", **cgi), "http://a:1")
        self.assertEqual(self.proxy("https://example.org:443", HTTPS_PROXY="http://a:1", **cgi), "http://a:1")

    def test_refused(self) -> None:
        """What cannot be used is an error and not a direct connection; it is not shown. Where it is bypassed nobody looks at it."""
        for value in ("ftp://u:canary@a", "http://u:canary@a/path", "socks4://u:canary@a", "u:canary:x@a:x"):
            error = self.assertRaises(OptionError, self.proxy, "http://example.org:80", http_proxy=value)
            self.assertEqual(error.option, "proxy")
            self.assertNotIn(SECRET, str(error))
            self.assertEqual(self.proxy("http://example.org:80", http_proxy=value, no_proxy="example.org"), "")


class SecretTests(SynchronousTestCase):
    """Credentials are in no `repr` and in no message."""

    def test_shown(self) -> None:
        """Whatever holds a password does not show it."""
        socks: dict[str, Any] = {"host": "h", "port": 1, "auth": [(LOGIN, SECRET, SECRET)]}
        end = Destination(host="h", port=1, username="u", password=SECRET, protocols=[("socks", socks)])  # type: ignore[arg-type]
        values: list[Any] = [
            end,
            SocksOptions(**socks),
            Options(socks_opts=socks, protocols=[("socks", socks)]),  # type: ignore[arg-type]
            Options(proxy=f"http://u:{SECRET}@h"),
            Options(proxy=["https://a", f"socks5://u:{SECRET}@h"]),  # type: ignore[arg-type]
            Options(proxy="http://h", proxy_headers={"proxy-authorization": SECRET}),
            proxy_urls(f"http://u:{SECRET}@h"),
        ]
        for value in values:
            for shown in (repr(value), str(value), f"{value}"):
                self.assertNotIn(SECRET, shown)
        self.assertIn("username='u'", repr(end))

    def test_messages(self) -> None:
        """Nor does an error say it, wherever it was meant to be."""
        end: dict[str, Any] = {"host": "h", "port": 1}
        login = [(LOGIN, "u", SECRET)]
        wrong: tuple[Callable[[], object], ...] = (
            lambda: Destination(**end, username="u", password=f"{SECRET}\n"),
            lambda: Destination(**end, username=f"{SECRET}:", password="p"),
            lambda: Destination(**end, username=None, password=SECRET),
            lambda: Destination(**end, username=[SECRET], password="p"),
            lambda: Destination(**end, username="u", password=[SECRET]),
            lambda: Destination(host=f"u:{SECRET}@h", port=1),
            lambda: Destination(host=f"http://u:{SECRET}@h", port=1),
            lambda: SocksOptions(**end, auth=SECRET),  # type: ignore[arg-type]
            lambda: SocksOptions(**end, auth=[(LOGIN, SECRET)]),  # type: ignore[arg-type]
            lambda: SocksOptions(**end, auth=[(LOGIN, "u", SECRET * 100)]),  # type: ignore[arg-type]
            lambda: SocksOptions(**end, auth=[*login, "none"]),  # type: ignore[arg-type]
            lambda: Options(socks_opts={**end, "auth": login, "unknown": 1}),  # type: ignore[arg-type]
            lambda: Options(socks_opts={**end, "auth": login, "port": 0}),  # type: ignore[arg-type]
            lambda: Options(socks_opts=f"socks5://u:{SECRET}@h"),  # type: ignore[arg-type]
            lambda: Options(socks_opts=list({**end, "auth": login}.items())),  # type: ignore[arg-type]
            lambda: Options(protocols=[("socks", {**end, "auth": login}), "http"]),  # type: ignore[arg-type]
            lambda: Options(protocols=[("socks", {**end, "auth": login}, 1)]),  # type: ignore[arg-type]
            lambda: Options(protocols=[("socks", [("auth", login)])]),  # type: ignore[arg-type]
            lambda: Options(protocols=[("socks", f"socks5://u:{SECRET}@h")]),  # type: ignore[arg-type]
            lambda: Options(protocols=[("socks", {**end, "auth": login, "unknown": 1})]),  # type: ignore[arg-type]
            lambda: Options(proxy=f"ftp://u:{SECRET}@h"),
            lambda: Options(proxy={f"http://u:{SECRET}@h": 1, "x": 2}),  # type: ignore[arg-type]
            lambda: gun.open("h", 80, proxy=f"http://u:{SECRET}@h/path"),
            lambda: gun.open("h", 80, proxy_headers={"proxy-authorization": SECRET}),
        )
        for at, make in enumerate(wrong):
            with self.assertRaises((OptionError, InvalidRequest)) as raised:
                make()
            self.assertNotIn(SECRET, str(raised.exception), at)
