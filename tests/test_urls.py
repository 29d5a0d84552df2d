"""`twisted_gun.urls`: what a URL becomes, and where a redirect leads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import InvalidRequest
from twisted_gun.headers import check_target
from twisted_gun.urls import HTTP, Target, parse_url, redirect_target, split_url

SECRET = "pa55word"


class TargetTests(SynchronousTestCase):
    """URLs as they are."""

    def test_schemes(self) -> None:
        """The scheme says whether it is a websocket, whether there is TLS, and the port; the handshake's URL is http or https."""
        for url, websocket, secure, port, handshake in (
            ("ws://example.org/feed", True, False, 80, "http://example.org/feed"),
            ("wss://example.org/feed", True, True, 443, "https://example.org/feed"),
            ("http://example.org/feed", False, False, 80, "http://example.org/feed"),
            ("https://example.org/feed", False, True, 443, "https://example.org/feed"),
        ):
            target = parse_url(url)
            self.assertEqual((target.websocket, target.secure, target.port), (websocket, secure, port))
            self.assertEqual((target.url, target.http_url), (url, handshake))

    def test_port(self) -> None:
        """A port other than the scheme's own is in Host, and the scheme's own is not."""
        self.assertEqual(parse_url("ws://example.org:8080/").authority, "example.org:8080")
        self.assertEqual(parse_url("wss://example.org:443/").authority, "example.org")
        self.assertEqual(parse_url("WSS://Example.org:443").url, "wss://example.org/")

    def test_ipv6(self) -> None:
        """An IPv6 address is bare where it is dialled, and has its brackets in Host."""
        target = parse_url("ws://[2001:db8::1]:9000/x")
        self.assertEqual((target.host, target.authority), ("2001:db8::1", "[2001:db8::1]:9000"))

    def test_encoding(self) -> None:
        """What may not stand in a request target is percent-encoded; what is encoded already stays."""
        target = parse_url("ws://example.org/a b/ü/%20?q=ä x&r=%2B+{}")
        self.assertEqual(target.path, "/a%20b/%C3%BC/%20?q=%C3%A4%20x&r=%2B+%7B%7D")

    def test_no_path(self) -> None:
        """Without a path it is the root, with the query or without."""
        self.assertEqual(parse_url("ws://example.org").path, "/")
        self.assertEqual(parse_url("ws://example.org?a=1").path, "/?a=1")

    def test_fragment(self) -> None:
        """A fragment is not sent; in a URL of a websocket there must be none."""
        self.assertEqual(parse_url("https://example.org/x#part").path, "/x")
        self.assertRaises(InvalidRequest, parse_url, "wss://example.org/x#part")

    def test_shown_without_query(self) -> None:
        """As text there is no query, which often holds a token."""
        target = parse_url(f"wss://example.org/feed?token={SECRET}")
        self.assertEqual(str(target), "wss://example.org/feed")
        self.assertIn(SECRET, target.url)

    def test_refused(self) -> None:
        """What cannot be understood, or would carry a secret, is refused, and the message shows nothing of it."""
        for url in (
            "example.org/feed",
            "ftp://example.org/",
            "ws:///feed",
            f"ws://user:{SECRET}@example.org/",
            f"ws://example.org:{SECRET}/",
            f"ws://example.org/{SECRET}\r\nx: y",
            f"ws://[{SECRET}/",
            f"ws://exa mple.org/?{SECRET}",
            f"ws://example.org:0/?{SECRET}",
            f"ws://example.org:70000/?{SECRET}",
            f"ws://example.org/\ud800{SECRET}",
            f"ws://exa%41mple.org/?{SECRET}",
        ):
            error = self.assertRaises(InvalidRequest, parse_url, url)
            self.assertNotIn(SECRET, str(error))
            self.assertIsNone(error.__cause__)

    def test_origin(self) -> None:
        """A websocket has the origin of its handshake; each of scheme, host and port makes another."""
        origin = parse_url("wss://example.org/a").origin
        self.assertEqual(origin, parse_url("https://example.org:443/b").origin)
        for url in ("ws://example.org/a", "wss://example.com/a", "wss://example.org:444/a", "wss://www.example.org/a"):
            self.assertNotEqual(origin, parse_url(url).origin)


class SplitTests(SynchronousTestCase):
    """Parts of a URL, whose path is for others to look at."""

    def test_parts(self) -> None:
        """They are as they were written."""
        parts = split_url("ws://host:81/a b?c=d#e")
        self.assertEqual((parts.hostname, parts.port, parts.path, parts.query, parts.fragment), ("host", 81, "/a b", "c=d", "e"))

    def test_told(self) -> None:
        """A message names the schemes that are wanted, and says where credentials go instead."""
        for url, schemes, told in (
            ("ftp://host/", ("http",), "expected http://, and a host"),
            ("ws://host/", HTTP, "expected http:// or https://, and a host"),
            ("http:", ("ws", "wss", "http"), "expected ws://, wss:// or http://, and a host"),
            ("http://a@host/", HTTP, "credentials are not taken from it; over there"),
            ("http://host:0/", HTTP, "a port from 1 to 65535"),
            ("http://host/\n", HTTP, "control character"),
            (b"http://host/", HTTP, "expected text, not bytes"),
        ):
            error = self.assertRaises(InvalidRequest, split_url, url, schemes, credentials="over there")
            self.assertIn(told, str(error))


class RedirectTests(SynchronousTestCase):
    """Where a redirect leads."""

    def led(self, *locations: bytes, target: str = "https://example.org/a/b?c") -> Target:
        return redirect_target(parse_url(target), ((b"x", b"y"), *[(b"location", location) for location in locations]), HTTP)

    def test_led(self) -> None:
        """It is taken as seen from the URL that was asked (RFC 3986 section 5), bytes beyond ASCII encoded, the fragment left out."""
        for location, url in (
            (b"c", "https://example.org/a/c"),
            (b"/c?d#e", "https://example.org/c?d"),
            (b"//example.com", "https://example.com/"),
            (b"http://example.com:81/\xfc b", "http://example.com:81/%FC%20b"),
        ):
            self.assertEqual(self.led(location, target="http://example.org/a/b?c").url, url.replace("https://", "http://"))
        self.assertEqual(self.led(b"/c", b"/c").path, "/c")

    def test_refused(self) -> None:
        """What leads nowhere, to two places, to another protocol or out of TLS is refused; nothing is shown that may be a secret."""
        for locations, told in (
            ((), "one place"),
            ((b"/a", b"/b"), "one place"),
            ((b"ftp://example.org/",), "no URL"),
            ((b"wss://example.org/",), "no URL"),
            ((b"https://[" + SECRET.encode() + b"/",), "no URL"),
            ((b"https://me:" + SECRET.encode() + b"@example.org/",), "no URL"),
            ((b"http://example.org/?" + SECRET.encode(),), "http://example.org, which has no TLS"),
        ):
            error = self.assertRaises(InvalidRequest, self.led, *locations)
            self.assertIn(told, str(error))
            self.assertNotIn(SECRET, str(error))


class EncodedTests(SynchronousTestCase):
    """Whatever URL is accepted can be sent."""

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    def test_any_path(self, path: str) -> None:
        """A path and a query of any characters are one request target without spaces and control characters, or refused."""
        try:
            target: Target = parse_url(f"http://example.org/{path}")
        except InvalidRequest:
            return
        check_target(target.path)
