"""What a client's settings are for the connection."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import settings_of
from twisted_gun.gunclient.connecting import (
    check_connection,
    event_source_options,
    headers_of,
    named,
    open_options,
    patience,
    place_of,
)
from twisted_gun.net.factory import _Backoff


class OpenTests(SynchronousTestCase):
    """The options of `twisted_gun.open`."""

    def options(self, **options: Any) -> gun.Options:
        """Those that follow, as they are checked."""
        return gun.Options(**open_options(settings_of(**{"url": "https://a", **({} if "get" in options else {"sse": True}), **options})))

    def test_times(self) -> None:
        """Each time goes where it belongs."""
        options = self.options(get=["/"], connect_timeout=1, timeout=2, closing_timeout=3, ping=4)
        steps = (options.connect_timeout, options.domain_lookup_timeout, options.tls_handshake_timeout, options.tunnel_timeout)
        self.assertEqual(steps, (1.0,) * 4)
        for own in (options.http_opts, options.http2_opts):
            self.assertEqual((own.response_timeout, own.header_timeout, own.idle_timeout, own.closing_timeout), (2.0, 2.0, 2.0, 3.0))
        self.assertEqual((options.http2_opts.keepalive, options.http2_opts.keepalive_tolerance), (4.0, 1))
        self.assertEqual((options.ws_opts.keepalive, options.ws_opts.closing_timeout), (4.0, 3.0))
        self.assertIsNone(options.http_opts.keepalive)
        none = self.options(get=["/"], connect_timeout="none", timeout="none", ping="none")
        self.assertEqual((none.connect_timeout, none.http_opts.response_timeout, none.http2_opts.keepalive), (None, None, None))

    def test_silence(self) -> None:
        """An event stream may be silent for as long as is said, and a receiver's answers for ever."""
        self.assertIsNone(self.options().http_opts.idle_timeout)
        self.assertEqual(self.options(silence=7).http2_opts.idle_timeout, 7.0)
        options = gun.Options(**open_options(settings_of(url="http://a", receiver="x")))
        self.assertIsNone(options.http_opts.idle_timeout)

    def test_protocols(self) -> None:
        """What ALPN gives, but HTTP/1.1 for websockets; or what is wanted."""
        protocols = [
            open_options(settings_of(url=url, **options))["protocols"]
            for url, options in (
                ("https://a", {"sse": True}),
                ("wss://a", {}),
                ("wss://a", {"protocol": "http2"}),
                ("https://a", {"sse": True, "protocol": "http"}),
            )
        ]
        self.assertEqual(protocols, [None, ["http"], ["http2"], ["http"]])

    def test_proxies(self) -> None:
        """Proxies, in their order; by tunnels, or not."""
        options = self.options(proxy=["http://p:1", "socks5://u:v@q:2"])
        self.assertEqual([proxy.host for proxy in options.proxy], ["p", "q"])  # type: ignore[union-attr]
        self.assertEqual(self.options(proxy=["env"]).proxy, "env")
        modes = [
            open_options(settings_of(**given))["proxy_mode"]
            for given in (
                {"url": "http://a", "sse": True},
                {"url": "http://a", "get": ["/"], "proxy_mode": "tunnel"},
                {"url": "ws://a"},
                {"url": "http://a", "receiver": "x"},
                {"url": "http://a", "sse": True, "protocol": "http2"},
            )
        ]
        self.assertEqual(modes, ["absolute", "tunnel", "tunnel", "tunnel", "tunnel"])

    def test_tls(self) -> None:
        """What is trusted, who we are, and whether it matters."""
        tls = self.options(cacert="a.pem", cert="b.pem").tls_opts
        self.assertEqual((tls.trust_root, tls.client_certificate, tls.verify), (os.path.abspath("a.pem"), os.path.abspath("b.pem"), True))
        self.assertFalse(self.options(insecure=True).tls_opts.verify)

    def test_never_gives_up(self) -> None:
        """By default it never gives up."""
        self.assertEqual(self.options().retry_fun, _Backoff(0.5, 60.0, True))
        self.assertEqual(self.options(retry_longest=0.2).retry_fun, _Backoff(0.2, 0.2, True))
        self.assertEqual(self.options(retry_first=2, retry_longest=3).retry_fun, _Backoff(2.0, 3.0, True))

    def test_gives_up(self) -> None:
        """With --retry something else decides, by the same waits."""
        settings = settings_of(url="https://a", sse=True, retry=2, retry_first=1, retry_longest=4)
        told: list[int] = []
        decide = patience(settings, told.append)
        assert decide is not None
        waits = [decide(5, gun.Options())["timeout"] for _ in range(2)]
        self.assertEqual(told, [2])
        self.assertTrue(waits[0] <= 1.0 and waits[1] <= 2.0, waits)
        self.assertIsNone(patience(settings_of(url="https://a", sse=True), told.append))

    def test_headers(self) -> None:
        """Who we are is said, unless something else is to be said."""
        self.assertEqual(headers_of(settings_of(url="ws://a"))[0][0], "user-agent")
        self.assertEqual(headers_of(settings_of(url="ws://a", header=["User-Agent: x"])), (("User-Agent", "x"),))


class PlaceTests(SynchronousTestCase):
    """Where to."""

    def test_places(self) -> None:
        """Host, port and transport; or the path of a socket."""
        places = [place_of(settings_of(url=url, receiver="x")) for url in ("wss://a:1/x", "http://a", "unix:/run/s:/x")]
        self.assertEqual(
            places,
            [
                {"host": "a", "port": 1, "transport": "tls"},
                {"host": "a", "port": 80, "transport": "tcp"},
                {"path": "/run/s", "transport": "tcp"},
            ],
        )

    def test_check(self) -> None:
        """What only making a connection would show is found before."""
        for given in ({"url": "wss://a", "cacert": "/nowhere"}, {"url": "wss://a", "cert": __file__}, {"url": "ws://a", "proxy": ["x"]}):
            self.assertRaises(gun.OptionError, check_connection, settings_of(**given))
        self.assertRaises(gun.GunError, check_connection, settings_of(url="unix:/s", receiver="x", proxy=["http://p"]))
        for given in ({"url": "wss://a"}, {"url": "unix:/s", "receiver": "x", "proxy": ["env"]}, {"url": "ws://a", "cacert": "/nowhere"}):
            check_connection(settings_of(**given))

    def test_named(self) -> None:
        """An error names the option as the command line does."""
        self.assertEqual(named(gun.OptionError("tls_opts.trust_root", "a file")), "--cacert: expected a file")
        for name, value in (("proxy", "foo://x"), ("subprotocol", "a b")):
            error = self.assertRaises(gun.OptionError, check_connection, settings_of(**{"url": "ws://a", name: [value]}))
            self.assertTrue(named(error).startswith(f"--{name}: expected "), named(error))
            self.assertNotRegex(named(error), "None|list|callable")
        self.assertEqual(named(gun.OptionError("other", "a file")), "other: expected a file")
        self.assertEqual(named(gun.GunError("some")), "some")


class EventSourceTests(SynchronousTestCase):
    """The options of `EventSource`."""

    def options(self, **options: Any) -> dict[str, Any]:
        """Those that follow."""
        return event_source_options(settings_of(**{"url": "http://a", "sse": True, **options}), Clock())

    def test_waits(self) -> None:
        """When it is asked again, and how often."""
        names = ("retry", "min_retry", "max_retry", "max_failures")
        for given, expected in (
            ({}, (3.0, 0.5, 60.0, None)),
            ({"retry_longest": 0.2}, (0.2, 0.2, 0.2, None)),
            ({"retry_first": 1, "retry_longest": 2, "retry": 3}, (1.0, 0.5, 2.0, 3)),
        ):
            options = self.options(**given)
            self.assertEqual(tuple(options[name] for name in names), expected)
            self.assertNotIn("retry_fun", options)

    def test_unix(self) -> None:
        """A UNIX socket is dialled by an endpoint."""
        self.assertIsInstance(self.options(url="unix:/run/s")["endpoint"], UNIXClientEndpoint)
        self.assertNotIn("endpoint", self.options())
