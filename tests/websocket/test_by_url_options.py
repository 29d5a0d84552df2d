"""`attach` and the options of a request by URL: merged, checked at the call, and never shown where they are secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.options import Http2Options, Options, ProxyUrl, WsOptions
from twisted_gun.urls import parse_url
from twisted_gun.websocket.aws import AwsSignature
from twisted_gun.websocket.by_url import Request, attach
from twisted_gun.websocket.connect_options import ConnectOptions, check_connect_options

SECRET = "pa55word"
URL = "wss://example.org/feed"


class HeadersTests(SynchronousTestCase):
    """Option ``headers``."""

    def test_names(self) -> None:
        """A name that is an identifier has "-" for "_", as keywords must; others are only put in lower case."""
        request = attach(headers={"user_agent": "a", "X-Custom": "b", "X_Y-z": "c", b"x_y": b"d"})
        self.assertEqual(request.headers, ((b"user-agent", b"a"), (b"x-custom", b"b"), (b"x_y-z", b"c"), (b"x_y", b"d")))

    def test_datetime(self) -> None:
        """A datetime is an HTTP date, in GMT; RFC 9110 section 5.6.7 has this sample."""
        when = datetime(1994, 11, 6, 8, 49, 37, 999, tzinfo=UTC)
        for same in (when, when.astimezone(timezone(timedelta(hours=-5)))):
            request = attach(headers=[("if_modified_since", same)])
            self.assertEqual(request.headers, ((b"if-modified-since", b"Sun, 06 Nov 1994 08:49:37 GMT"),))
        naive = datetime(1994, 11, 6)  # noqa: DTZ001 - which is refused
        self.assertRaises(OptionError, attach, headers=[("date", naive)])

    def test_merged(self) -> None:
        """Given twice, headers are merged: a name given later replaces what it had, with all its values."""
        first = attach(headers=[("a", "1"), ("b", "2"), ("a", "3")])
        self.assertEqual(attach(first, headers={"A": "4", "c": "5"}).headers, ((b"b", b"2"), (b"a", b"4"), (b"c", b"5")))
        self.assertEqual(first.headers, ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")))
        self.assertEqual(attach(first, url=URL).headers, first.headers)

    def test_twisted(self) -> None:
        """Twisted's own headers will do."""
        from twisted.web.http_headers import Headers

        self.assertEqual(attach(headers=Headers({"X-A": ["1", "2"]})).headers, ((b"x-a", b"1"), (b"x-a", b"2")))

    def test_refused(self) -> None:
        """What would end a header early is refused at the call, and not shown."""
        for headers in ({"a": f"{SECRET}\r\nb: c"}, {"a b": "c"}, {"a": None}, "a: b", [("a",)], 5):
            error = self.assertRaises(InvalidRequest, attach, headers=headers)
            self.assertNotIn(SECRET, str(error))


class AttachTests(SynchronousTestCase):
    """`attach`."""

    def test_options_replaced(self) -> None:
        """What is given later replaces what was given before, and all else stays; the first request is as it was."""
        first = attach(url=URL, params={"a": 1}, max_retries=7)
        second = attach(first, params={"b": 2})
        self.assertEqual((second.url, second.params, second.max_retries), (URL, (("b", 2),), 7))
        self.assertEqual(first.params, (("a", 1),))
        self.assertIsInstance(second, Request)

    def test_defaults(self) -> None:
        """The defaults are those of Req, in seconds."""
        request = attach()
        self.assertEqual((request.redirect, request.redirect_trusted, request.max_redirects), (True, False, 10))
        self.assertEqual((request.retry, request.max_retries, request.retry_log_level), ("safe_transient", 3, "warning"))
        self.assertEqual((request.http_errors, request.into, request.path_params_style), ("return", "self", "colon"))
        self.assertEqual((request.connect_options.timeout, request.connect_options.protocols), (30.0, ("http1", "http2")))

    def test_pings_are_told(self) -> None:
        """Here pings and pongs are told, as the example of the seed has it, unless one says otherwise."""
        self.assertFalse(attach().ws_opts.silence_pings)
        self.assertFalse(attach(ws_opts={"compress": True}).ws_opts.silence_pings)
        self.assertTrue(attach(ws_opts={"silence_pings": True}).ws_opts.silence_pings)
        self.assertTrue(attach(ws_opts=WsOptions()).ws_opts.silence_pings)

    def test_unknown(self) -> None:
        """An option that does not exist is refused by name."""
        error = self.assertRaises(OptionError, attach, pool_timeout=5)
        self.assertEqual(error.option, "pool_timeout")

    def test_refused(self) -> None:
        """Each option is checked at the call, and named."""
        bad: dict[str, list[Any]] = {
            "url": [5, b"ws://example.org"],
            "base_url": ["/x"],
            "params": [5],
            "path_params": [5],
            "path_params_style": ["angle"],
            "auth": [5],
            "aws_sigv4": [5],
            "into": ["other", None, 5, b"self"],
            "reply_to": [5],
            "redirect": [None, 1],
            "redirect_trusted": ["yes"],
            "max_redirects": [-1, 1.5, None, True],
            "http_errors": ["ignore", True],
            "retry": [True, "always"],
            "retry_delay": [5],
            "retry_log_level": ["loud", None, True],
            "max_retries": [-1, "3"],
            "max_retry_after": [-1, "3"],
            "max_body_size": [-1, None],
            "receive_timeout": [-1, "3"],
            "ws_opts.silence_pings": [],
        }
        for name, values in bad.items():
            for value in values:
                error = self.assertRaises(OptionError, attach, **{name: value})
                self.assertEqual(error.option, name, value)
        self.assertIn("unsupported :into option", str(self.assertRaises(OptionError, attach, into="mailbox")))

    def test_together(self) -> None:
        """What excludes each other is refused."""
        self.assertRaises(OptionError, attach, reply_to=lambda event: None, into=lambda data, pair: None)
        self.assertRaises(OptionError, attach, ws_opts={"reply_to": lambda event: None})
        signature = AwsSignature(access_key_id="a", secret_access_key="b", service="c")
        self.assertRaises(OptionError, attach, auth=("bearer", "x"), aws_sigv4=signature)

    def test_at_get(self) -> None:
        """What is wrong with the whole of it raises where it is sent, and nothing is dialled."""
        clock = Clock()
        cases: list[tuple[dict[str, Any], str]] = [
            ({}, "GET"),
            ({"url": "ftp://example.org"}, "GET"),
            ({"url": "ws://exa mple.org"}, "GET"),
            ({"url": "ws://example.org", "into": "mailbox"}, "GET"),
            ({"url": "ws://example.org"}, "POST"),
            ({"url": "ws://example.org", "auth": ("netrc", self.mktemp())}, "GET"),
            ({"url": "ws://example.org", "connect_options": {"transport_opts": {"verify": False}}}, "GET"),
            ({"url": "http://example.org", "into": lambda data, pair: None}, "GET"),
            ({"url": "http://example.org", "reply_to": lambda event: None}, "GET"),
            ({"url": "http://example.org"}, "G T"),
        ]
        for options, method in cases:
            self.assertRaises(ValueError, attach(reactor=clock).send, method, **options)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_repr(self) -> None:
        """A request shows where it goes, and nothing that could be secret."""
        request = attach(
            url=f"wss://example.org/feed?token={SECRET}",
            headers={"authorization": SECRET, "x-api-key": SECRET},
            auth=("bearer", SECRET),
            params={"key": SECRET},
            connect_options={"transport_opts": {"keylog": SECRET}},
        )
        self.assertEqual(repr(request), "<Request wss://example.org/feed>")
        self.assertNotIn(SECRET, repr(request.connect_options))
        self.assertEqual(repr(attach()), "<Request no URL>")
        self.assertNotIn(SECRET, repr(attach(url=f"ws://user:{SECRET}@example.org")))


class ConnectOptionsTests(SynchronousTestCase):
    """Option ``connect_options``."""

    def opened(self, url: str, *, own: bool = True, **options: Any) -> dict[str, Any]:
        return check_connect_options(options).for_target(parse_url(url), own=own)

    def test_timeout(self) -> None:
        """`timeout` is for each step of connecting."""
        for given, seconds in (({}, 30.0), ({"timeout": 5}, 5), ({"timeout": None}, None)):
            opened = self.opened(URL, **given)
            steps = ("connect_timeout", "domain_lookup_timeout", "tls_handshake_timeout")
            self.assertEqual([opened[step] for step in steps], [seconds] * 3)

    def test_protocols(self) -> None:
        """Over TLS both are offered, in their order; without, the first is spoken."""
        for given, tls, tcp in (
            (None, ["http", "http2"], ["http"]),
            (("http2", "http1"), ["http2", "http"], ["http2"]),
            (["http2"], ["http2"], ["http2"]),
        ):
            options: dict[str, Any] = {} if given is None else {"protocols": given}
            self.assertEqual(self.opened(URL, **options)["protocols"], tls)
            self.assertEqual(self.opened("ws://example.org", **options)["protocols"], tcp)

    def test_hostname(self) -> None:
        """The name is verified, sent as SNI and as Host; `server_name` of TLS comes before it; another origin has its own."""
        self.assertEqual(self.opened("wss://192.0.2.1", hostname="example.org")["tls_opts"].server_name, "example.org")
        both: dict[str, Any] = {"hostname": "example.org", "transport_opts": {"server_name": "example.com"}}
        self.assertEqual(self.opened("wss://192.0.2.1", **both)["tls_opts"].server_name, "example.com")
        self.assertIsNone(self.opened("wss://192.0.2.1", own=False, **both)["tls_opts"].server_name)
        options = ConnectOptions(hostname="example.org")
        self.assertEqual(options.host_header(parse_url("wss://192.0.2.1:8443")), b"example.org:8443")
        self.assertEqual(options.host_header(parse_url("wss://192.0.2.1")), b"example.org")

    def test_transport_opts(self) -> None:
        """They are options of TLS, or of TCP; those of the other kind are refused, but for an origin that a redirect leads to."""
        self.assertEqual(self.opened(URL, transport_opts={"minimum": "1.3"})["tls_opts"].minimum, "1.3")
        self.assertFalse(self.opened("ws://example.org", transport_opts={"nodelay": False})["tcp_opts"].nodelay)
        self.assertRaises(OptionError, self.opened, URL, transport_opts={"nodelay": False})
        self.assertEqual(self.opened(URL, own=False, transport_opts={"nodelay": False})["transport"], "tls")

    def test_certificate_is_ours(self) -> None:
        """Another origin is not shown our certificate, but is verified as strictly."""
        options: dict[str, Any] = {"transport_opts": {"client_certificate": "/x.pem", "trust_root": "/root.pem", "pins": [b"p" * 32]}}
        own, other = (self.opened(URL, own=own, **options)["tls_opts"] for own in (True, False))
        self.assertEqual((own.client_certificate, other.client_certificate), ("/x.pem", None))
        self.assertEqual((own.trust_root, own.pins), (other.trust_root, other.pins))

    def test_client_settings(self) -> None:
        """HTTP/2 settings by their names in the RFC."""
        settings = {"initial_window_size": 1000, "max_frame_size": 20_000, "header_table_size": 0, "enable_push": True}
        expected = Http2Options(initial_stream_window_size=1000, max_frame_size_received=20_000, max_decode_table_size=0, enable_push=True)
        self.assertEqual(self.opened(URL, client_settings=settings)["http2_opts"], expected)
        self.assertEqual(self.opened(URL, client_settings=list(settings.items()))["http2_opts"], expected)
        self.assertRaises(OptionError, check_connect_options, {"client_settings": {"window": 5}})
        self.assertRaises(OptionError, check_connect_options, {"client_settings": {"initial_window_size": -1}})

    def test_endpoint(self) -> None:
        """An endpoint is for the origin asked for; a callable gives one for each."""

        class Endpoint:
            def connect(self, factory: Any) -> None:
                pass

        endpoint = Endpoint()
        self.assertIs(self.opened(URL, endpoint=endpoint)["endpoint"], endpoint)
        self.assertNotIn("endpoint", self.opened(URL, own=False, endpoint=endpoint))
        asked: list[tuple[str, int]] = []

        def make(host: str, port: int) -> Endpoint:
            asked.append((host, port))
            return endpoint

        for own in (True, False):
            self.assertIs(self.opened(URL, own=own, endpoint=make)["endpoint"], endpoint)
        self.assertEqual(asked, [("example.org", 443)] * 2)

    def test_proxy(self) -> None:
        """A proxy is for every origin; its options become those of `open`, or are by default those of the connection."""
        proxy: tuple[Any, ...] = ("http", "proxy.example", 3128, [])
        for own in (True, False):
            opened = self.opened(URL, own=own, proxy=proxy, timeout=5.0)
            self.assertEqual(opened["proxy"], [ProxyUrl(scheme="http", host="proxy.example", port=3128)])
            self.assertEqual((opened["connect_timeout"], opened["tunnel_timeout"]), (5.0, 5.0))
        given = {"timeout": 1.0, "tunnel_timeout": 2.0, "transport_opts": {"minimum": "1.3"}}
        for options in (given, list(given.items())):
            opened = self.opened(URL, proxy=["https", "192.0.2.1", 8443, options], proxy_headers={"x": "y"})
            self.assertEqual([opened[name] for name in ("connect_timeout", "domain_lookup_timeout", "tunnel_timeout")], [1.0, 1.0, 2.0])
            self.assertEqual((opened["proxy_tls_opts"].minimum, opened["proxy_headers"]), ("1.3", {"x": "y"}))
            self.assertEqual(Options(**opened).proxy_headers, ((b"x", b"y"),))

    def test_proxy_mode(self) -> None:
        """A websocket goes through a tunnel, and so does TLS; what is asked for without either, and over HTTP/1.1, needs none."""
        proxy: tuple[Any, ...] = ("http", "proxy.example", 3128, [])
        for url, protocols, mode in (
            ("ws://example.org", ["http1"], "tunnel"),
            ("http://example.org", ["http1"], "absolute"),
            ("http://example.org", ["http2"], "tunnel"),
        ):
            self.assertEqual(self.opened(url, protocols=protocols, proxy=proxy)["proxy_mode"], mode)

    def test_bad_proxy(self) -> None:
        """It is checked at the call; its headers are not shown, and are to be left out without it."""
        bad: list[Any] = [("socks", "a", 3128, []), ("http", "a b", 3128, []), ("http", "a", 0, []), ("http", "a", 1), "http://a:1"]
        for proxy in bad:
            error = self.assertRaises(OptionError, check_connect_options, {"proxy": proxy})
            self.assertEqual(error.option, "connect_options.proxy")
        of_options: dict[str, Any] = {
            "timeout": {"timeout": -1},
            "tunnel_timeout": {"tunnel_timeout": "5"},
            "transport_opts.minimum": {"transport_opts": {"minimum": "1.0"}},
            "transport_opts": {"transport_opts": 5},
            "pool": {"pool": 5},
        }
        for name, options in of_options.items():
            error = self.assertRaises(OptionError, check_connect_options, {"proxy": ("https", "a", 1, options)})
            self.assertEqual(error.option, f"connect_options.proxy.{name}")
        plain: tuple[Any, ...] = ("http", "a", 1, {"transport_opts": {}})
        self.assertRaises(OptionError, check_connect_options, {"proxy": plain})
        good: tuple[Any, ...] = ("http", "a", 1, [])
        for headers in ({"a": f"{SECRET}\n"}, {"cookie": SECRET}):
            error = self.assertRaises(OptionError, check_connect_options, {"proxy": good, "proxy_headers": headers})
            self.assertEqual(error.option, "connect_options.proxy_headers")
            self.assertNotIn(SECRET, str(error))
        self.assertRaises(OptionError, check_connect_options, {"proxy_headers": {"a": "b"}})
        self.assertRaises(OptionError, check_connect_options, {"proxy": good, "endpoint": lambda host, port: None})

    def test_refused(self) -> None:
        """Each option is checked at the call, and named."""
        bad: dict[str, list[Any]] = {
            "timeout": [-1, "30", True, float("inf")],
            "protocols": [[], "http1", ["http"], ["http1", "http1"], None],
            "hostname": ["a b", 5, ""],
            "endpoint": [5, "tcp:host"],
            "transport_opts": [5, "x", [1]],
            "client_settings": [5],
            "pool": [1],
        }
        for name, values in bad.items():
            for value in values:
                error = self.assertRaises(OptionError, attach, connect_options={name: value})
                self.assertEqual(error.option, f"connect_options.{name}")
        for other in (5, "x", [1]):
            self.assertEqual(self.assertRaises(OptionError, attach, connect_options=other).option, "connect_options")
