"""What Scrapy's settings and the meta of requests make of connections, where requests go, and what failures are called."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

import twisted_gun as gun
from tests.scrapy_stage import MISSING, CrawlCase, CrawlWorld
from twisted_gun.origins import Origins

if MISSING is None:
    from scrapy import Request, exceptions
    from scrapy.settings import Settings

    from twisted_gun.scrapy.failures import as_download_error
    from twisted_gun.scrapy.settings import connection_options, offers_http2
    from twisted_gun.scrapy.ways import Way, Ways

BASIC = b"Basic " + b64encode(b"ann:s:cret")


class WayTests(CrawlCase):
    """Whose connection a request takes, and what it is there."""

    def setUp(self) -> None:
        super().setUp()
        self.ways = Ways(Origins(Clock()), bind=("127.0.0.3", 0), http2=True)

    def way(self, url: str, proxy: str | None = None, authorization: bytes | None = None, **meta: Any) -> Way:
        """That of a request."""
        headers = {} if authorization is None else {"Proxy-Authorization": authorization}
        return self.ways.of(Request(url, headers=headers, meta={"proxy": proxy, **meta}))

    def test_direct(self) -> None:
        """Scheme, host and port are the URL's, and the port is the scheme's where there is none; HTTP/2 is offered over TLS."""
        for url, expected in (
            ("http://Example.org/a?b#c", ("http", "example.org", 80, "/a?b")),
            ("https://ann:secret@example.org:8443", ("https", "example.org", 8443, "/")),
            ("https://[::1]/", ("https", "::1", 443, "/")),
            ("HTTPS://a_b.example/?c", ("https", "a_b.example", 443, "/?c")),
        ):
            identity, target, fields, _ = self.way(url)
            self.assertEqual((identity.scheme, identity.host, identity.port, target), expected)
            names = [name for name, _ in identity.protocols or ()]
            self.assertEqual(names, ["http"] if identity.scheme == "http" else ["http2", "http"])
            self.assertEqual((identity.proxy, fields), ((), []))

    def test_websocket(self) -> None:
        """A websocket is asked for by HTTP/1.1, at the ports of http and https, and through an HTTP proxy always by a tunnel."""
        for url, scheme, port in (("ws://example.org/a", "http", 80), ("wss://example.org/a", "https", 443), ("WSS://a.b:9/a", "https", 9)):
            for proxy in (None, "http://proxy.example:3128"):
                identity, target, fields, websocket = self.way(url, proxy=proxy)
                self.assertEqual((identity.scheme, identity.port, target, fields, websocket), (scheme, port, "/a", [], True))
                self.assertEqual([name for name, _ in identity.protocols or ()], ["http"])
                self.assertEqual(bool(identity.proxy), proxy is not None)
        self.assertFalse(self.way("https://example.org/").websocket)

    def test_same(self) -> None:
        """Requests of one host have the same identity; it is remembered, but not for ever so many hosts."""
        first = self.way("https://example.org/a").identity
        self.assertIs(self.way("https://example.org/b").identity, first)
        for number in range(1024):
            self.way(f"https://host{number}.example/")
        self.assertEqual(self.way("https://example.org/b").identity, first)
        self.assertLessEqual(len(self.ways._known), 1024)

    def test_local_address(self) -> None:
        """It is the setting's, or the request's own; another one is another identity."""
        default, own, pair = (self.way("http://example.org/", bindaddress=bind).identity for bind in (None, "127.0.0.2", ("127.0.0.2", 0)))
        self.assertEqual([each.bind_address for each in (default, own, pair)], [("127.0.0.3", 0), ("127.0.0.2", 0), ("127.0.0.2", 0)])
        self.assertEqual(own, pair)
        self.assertNotEqual(default, own)

    def test_http_through_a_proxy(self) -> None:
        """Plain http goes to an HTTP proxy in absolute-form, with the credentials; all of it by the same connections."""
        for proxy, scheme, port in (
            ("http://proxy.example:3128", "http", 3128),
            ("proxy.example", "http", 80),
            ("https://proxy.example", "https", 443),
        ):
            first = self.way("http://example.org/a?b#c", proxy, BASIC)
            self.assertEqual((first.identity.scheme, first.identity.host, first.identity.port), (scheme, "proxy.example", port))
            self.assertEqual((first.target, first.identity.proxy), ("http://example.org/a?b", ()))
            self.assertEqual([name for name, _ in first.identity.protocols or ()], ["http"])
            self.assertEqual(dict(first.fields), {b"Host": b"example.org", b"proxy-authorization": BASIC})
            self.assertIs(self.way("http://other.example/", proxy).identity, first.identity)
            self.assertEqual(self.way("http://ann:secret@example.org/a", proxy).target, "http://example.org/a")
            self.assertEqual(self.way("http://example.org/", proxy, bindaddress=["127.0.0.1", 0]).identity.bind_address, ("127.0.0.1", 0))

    def test_credentials_of_the_url(self) -> None:
        """Credentials in the URL of a proxy serve as well; those of the request go before."""
        proxy = "http://ann:s%3Acret@proxy.example"
        self.assertEqual(dict(self.way("http://example.org/", proxy).fields)[b"proxy-authorization"], BASIC)
        self.assertEqual(dict(self.way("http://example.org/", proxy, b"Digest x").fields)[b"proxy-authorization"], b"Digest x")

    def test_host_field(self) -> None:
        """A Host that the request names is left to it."""
        request = Request("http://example.org/", headers={"Host": "other.example"}, meta={"proxy": "http://proxy.example"})
        self.assertEqual(self.ways.of(request).fields, [(b"Host", b"other.example")])

    def test_tunnel(self) -> None:
        """https goes through a tunnel, for which the credentials are; another proxy, or other ones, is another identity."""
        way = self.way("https://example.org/", "https://proxy.example", BASIC)
        (proxy,) = way.identity.proxy
        self.assertEqual((proxy.scheme, proxy.host, proxy.port), ("https", "proxy.example", 443))
        self.assertEqual((way.identity.proxy_headers, way.fields), (((b"proxy-authorization", BASIC),), []))
        others = (("https://proxy.example", None), ("http://proxy.example", BASIC), (None, None))
        self.assertNotIn(way.identity, [self.way("https://example.org/", *other).identity for other in others])

    def test_socks(self) -> None:
        """SOCKS5 takes the user and the password that Scrapy has made a field of, for http and https alike."""
        for scheme in ("http", "https"):
            way = self.way(f"{scheme}://example.org/", "socks5://proxy.example", BASIC)
            (proxy,) = way.identity.proxy
            self.assertEqual((proxy.port, proxy.username, proxy.password), (1080, b"ann", b"s:cret"))
            self.assertEqual((way.identity.host, way.identity.proxy_headers, way.fields), ("example.org", (), []))

    def test_refused(self) -> None:
        """What leads nowhere is refused, with no credentials in what it says."""
        for arguments in (
            ("http://example.org:99999/",),
            ("https://example.org:x/",),
            ("https://example.org/", "ftp://ann:secret@proxy.example"),
            ("https://example.org/", "socks5://proxy.example", b"Digest secret"),
        ):
            error = self.assertRaises(ValueError, self.way, *arguments)
            self.assertNotIn("secret", str(error))


class SettingsTests(CrawlCase):
    """Options of connections."""

    def options(self, **settings: Any) -> gun.Options:
        """Those that the settings make."""
        return connection_options(Settings(settings))

    def test_tls(self) -> None:
        """Nothing is verified, and any version from 1.2 on is spoken, unless the settings say otherwise; proxies are no exception."""
        for settings, expected in (
            ({}, (False, "1.2", None, "DEFAULT")),
            ({"DOWNLOAD_VERIFY_CERTIFICATES": True}, (True, "1.2", None, "DEFAULT")),
            ({"DOWNLOAD_TLS_MIN_VERSION": "TLSv1.3"}, (False, "1.3", None, "DEFAULT")),
            ({"DOWNLOAD_TLS_MAX_VERSION": "TLSv1.2"}, (False, "1.2", "1.2", "DEFAULT")),
            ({"DOWNLOADER_CLIENT_TLS_CIPHERS": None}, (False, "1.2", None, None)),
            ({"DOWNLOADER_CLIENT_TLS_CIPHERS": "AES128-SHA"}, (False, "1.2", None, "AES128-SHA")),
            ({"GUN_OPTIONS": {"tls_opts": {"verify": True}}}, (True, "1.2", None, "DEFAULT")),
        ):
            options = self.options(**settings)
            for tls in (options.tls_opts, options.proxy_tls_opts):
                assert tls is not None
                self.assertEqual((tls.verify, tls.minimum, tls.maximum, tls.ciphers), expected, settings)

    def test_old_versions(self) -> None:
        """Versions before 1.2 are not spoken: the lower bound is raised, with a warning, and an upper one there is refused."""
        self.assertEqual(self.options(DOWNLOAD_TLS_MIN_VERSION="TLSv1.0").tls_opts.minimum, "1.2")
        self.assertIn("TLS 1.2", self.logged[0])
        self.assertRaises(exceptions.NotConfigured, self.options, DOWNLOAD_TLS_MAX_VERSION="TLSv1.1")
        self.assertRaises(ValueError, self.options, DOWNLOAD_TLS_MIN_VERSION="1.2")

    def test_deprecated(self) -> None:
        """Settings that Scrapy has deprecated are obeyed, with a warning; a context factory of somebody else's cannot be."""
        options = self.options(DOWNLOADER_CLIENT_TLS_METHOD="TLSv1.2")
        self.assertEqual((options.tls_opts.minimum, options.tls_opts.maximum), ("1.2", "1.2"))
        verifying = "scrapy.core.downloader.contextfactory.BrowserLikeContextFactory"
        self.assertTrue(self.options(DOWNLOADER_CLIENTCONTEXTFACTORY=verifying).tls_opts.verify)
        usual = "scrapy.core.downloader.contextfactory.ScrapyClientContextFactory"
        self.assertFalse(self.options(DOWNLOADER_CLIENTCONTEXTFACTORY=usual).tls_opts.verify)
        self.assertRaises(exceptions.NotConfigured, self.options, DOWNLOADER_CLIENTCONTEXTFACTORY="mine.Factory")
        self.assertEqual({warning["category"] for warning in self.flushWarnings()}, {exceptions.ScrapyDeprecationWarning})

    def test_http2(self) -> None:
        """It is offered, but not where GUN_HTTP2 says no, nor with ciphers that it must not be spoken over."""
        for settings, offered in (
            ({}, True),
            ({"GUN_HTTP2": False}, False),
            ({"DOWNLOADER_CLIENT_TLS_CIPHERS": None}, True),
            ({"DOWNLOADER_CLIENT_TLS_CIPHERS": "AES128-SHA"}, False),
            ({"DOWNLOADER_CLIENT_TLS_CIPHERS": "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256"}, True),
        ):
            self.assertIs(offers_http2(Settings(settings)), offered, settings)

    def test_keylog(self) -> None:
        """SSLKEYLOGFILE is obeyed; a file that cannot be written is no reason to end a crawl."""
        for path, kept in ((self.mktemp(), True), ("/nowhere/at/all", False)):
            self.patch(__import__("os"), "environ", {**__import__("os").environ, "SSLKEYLOGFILE": path})
            self.assertEqual(self.options().tls_opts.keylog, path if kept else None)
        self.assertEqual([line.partition(":")[0] for line in self.logged], ["WARNING Cannot write TLS session keys to /nowhere/at/all"])

    def test_own_options(self) -> None:
        """GUN_OPTIONS goes before all else, and does not take away what it does not name."""
        options = self.options(GUN_OPTIONS={"connect_timeout": 1.0, "http_opts": {"max_header_count": 5}}, DOWNLOAD_TIMEOUT=9)
        self.assertEqual((options.connect_timeout, options.tls_handshake_timeout), (1.0, 9.0))
        self.assertEqual((options.http_opts.max_header_count, options.http_opts.lenient), (5, True))
        self.assertEqual(self.options(DOWNLOAD_TIMEOUT=180).connect_timeout, 30.0)

    def test_without_a_reactor(self) -> None:
        """Without a reactor there is no such handler, and Scrapy is told so."""
        self.assertRaises(exceptions.NotConfigured, CrawlWorld, TWISTED_REACTOR_ENABLED=False)


class FailureTests(CrawlCase):
    """Failures by Scrapy's names."""

    def test_names(self) -> None:
        """Each by the one that its retry middleware and errbacks know, caused by what it was."""
        for reason, kind in (
            (CancelledError(), exceptions.DownloadCancelledError),
            (gun.TimedOut("connect", 1.0), exceptions.DownloadTimeoutError),
            (error.TCPTimedOutError(), exceptions.DownloadTimeoutError),
            (gun.ConnectFailed("x", error.DNSLookupError()), exceptions.CannotResolveHostError),
            (gun.ConnectFailed("x", error.ConnectionRefusedError()), exceptions.DownloadConnectionRefusedError),
            (gun.ConnectFailed("x", gun.TimedOut("lookup", 1.0)), exceptions.DownloadTimeoutError),
            (gun.ConnectFailed("x", error.NoRouteError()), exceptions.DownloadFailedError),
            (gun.ConnectFailed("x"), exceptions.DownloadFailedError),
            (gun.ProxyFailed("x 407", status=407), exceptions.DownloadFailedError),
            (gun.ProxyFailed("x", error="username_password_auth_failure"), exceptions.DownloadConnectionRefusedError),
            (gun.StreamReset("x", 1), exceptions.DownloadFailedError),
            (gun.TlsFailed("x"), exceptions.DownloadFailedError),
        ):
            made = as_download_error(reason)
            self.assertIs(type(made), kind, reason)
            self.assertEqual((str(made), made.__cause__), (str(reason), reason))

    def test_our_own(self) -> None:
        """What is wrong with a request, or not known here, stays what it is."""
        for reason in (gun.InvalidRequest("x"), gun.OptionError("x", "y"), ZeroDivisionError()):
            self.assertIs(as_download_error(reason), reason)
