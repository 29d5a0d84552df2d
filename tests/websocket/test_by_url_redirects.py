"""`twisted_gun.websocket.redirects`: where a redirect leads, and what goes there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Headers
from twisted_gun.urls import parse_url
from twisted_gun.websocket.redirects import Asked, RedirectRefused, is_redirect, redirected

SECRETS: Headers = ((b"authorization", b"x"), (b"cookie", b"y"), (b"proxy-authorization", b"z"))
FIELDS: Headers = (*SECRETS, (b"host", b"name"), (b"user-agent", b"u"))
STATUSES = (301, 302, 303, 307, 308)


def follow(url: str, location: str | bytes, status: int = 302, *, trusted: bool = False, asked: Asked | None = None) -> Asked:
    """What is asked after a redirect from `url` to `location`."""
    asked = asked or Asked(target=parse_url(url), headers=FIELDS)
    value = location if isinstance(location, bytes) else location.encode("utf-8")
    return redirected(asked, status, ((b"location", value),), trusted=trusted)


class WhereTests(SynchronousTestCase):
    """The target of a redirect."""

    def test_is_redirect(self) -> None:
        """A redirect has one of five statuses, and says where; 300 and 304 are none."""
        for status in STATUSES:
            self.assertTrue(is_redirect(status, ((b"location", b"/"),)))
            self.assertFalse(is_redirect(status, ()))
        for status in (101, 200, 201, 300, 304, 305, 306, 404):
            self.assertFalse(is_redirect(status, ((b"location", b"/"),)))

    def test_relative(self) -> None:
        """A relative reference is resolved against the URL that was asked; RFC 3986 section 5.2."""
        for location, path in (("/x?y=1", "/x?y=1"), ("x", "/a/x"), ("../x", "/x"), ("?y=1", "/a/b?y=1"), ("", "/a/b?z=2")):
            self.assertEqual(follow("wss://example.org:8443/a/b?z=2", location).target.url, f"wss://example.org:8443{path}")

    def test_other_place(self) -> None:
        """It may lead to another host."""
        self.assertEqual(follow("ws://example.org/", "//example.com:81/x").target.url, "ws://example.com:81/x")

    def test_http_location(self) -> None:
        """A websocket's handshake is redirected in HTTP's terms: http stands for ws, https for wss."""
        self.assertEqual(follow("ws://example.org/", "http://example.com/x").target.url, "ws://example.com/x")
        self.assertEqual(follow("ws://example.org/", "https://example.com/x").target.url, "wss://example.com/x")
        self.assertEqual(follow("http://example.org/", "https://example.com/x").target.url, "https://example.com/x")

    def test_not_encoded(self) -> None:
        """What should have been encoded is; a fragment is left out."""
        self.assertEqual(follow("ws://example.org/", "/ü x#part").target.path, "/%C3%BC%20x")
        self.assertEqual(follow("ws://example.org/", b"/\xff%20").target.path, "/%FF%20")

    def test_refused(self) -> None:
        """What cannot be followed is a typed error that does not show the location, which may hold a secret."""
        for url, location in (
            ("wss://example.org/", "ws://example.org/?secret"),
            ("wss://example.org/", "http://example.org/?secret"),
            ("https://example.org/", "http://example.org/?secret"),
            ("http://example.org/", "ws://example.org/?secret"),
            ("ws://example.org/", "ftp://example.org/?secret"),
            ("ws://example.org/", "ws://user:secret@example.org/"),
            ("ws://example.org/", "ws://example.org:secret/"),
            ("ws://example.org/", "ws://[secret/"),
        ):
            error = self.assertRaises(RedirectRefused, follow, url, location)
            self.assertNotIn("secret", str(error))

    def test_never_from_tls(self) -> None:
        """Not even where other origins are trusted does it lead from TLS to where there is none."""
        self.assertRaises(RedirectRefused, follow, "wss://example.org/", "ws://example.org/", trusted=True)

    def test_repr(self) -> None:
        """What is asked does not show credentials, nor a query."""
        shown = repr(Asked(target=parse_url("ws://example.org/a?secret"), headers=((b"authorization", b"secret"),), body=b"secret"))
        self.assertIn("ws://example.org/a", shown)
        self.assertNotIn("secret", shown)

    def test_two_locations(self) -> None:
        """Two places at once are none; the same twice is one."""
        asked = Asked(target=parse_url("ws://example.org/"))
        self.assertRaises(RedirectRefused, redirected, asked, 302, ((b"location", b"/a"), (b"location", b"/b")))
        self.assertEqual(redirected(asked, 302, ((b"location", b"/a"), (b"location", b"/a"))).target.path, "/a")


class WhatTests(SynchronousTestCase):
    """Headers, method and body of what is asked next."""

    def test_same_origin(self) -> None:
        """The same origin gets all that the first request had."""
        for status in STATUSES:
            asked = follow("ws://example.org/a", "http://example.org:80/b", status)
            self.assertEqual((asked.headers, asked.foreign), (FIELDS, False))

    def test_other_origin(self) -> None:
        """Another scheme, host or port gets no credentials, by any status."""
        for status in STATUSES:
            for location in (
                "wss://example.org/",
                "ws://example.com/",
                "ws://www.example.org/",
                "ws://example.org:81/",
                "ws://example.org./",
            ):
                asked = follow("ws://example.org/", location, status)
                self.assertEqual((asked.headers, asked.foreign), (((b"user-agent", b"u"),), True))

    def test_trusted(self) -> None:
        """Where it is trusted, another origin gets them; but the name of the first is not its own."""
        asked = follow("ws://example.org/", "wss://example.com/", trusted=True)
        self.assertEqual((asked.headers, asked.foreign), ((*SECRETS, (b"user-agent", b"u")), False))

    def test_there_and_back(self) -> None:
        """Who was sent by another origin gets no credentials, back at the first one neither."""
        away = follow("ws://example.org/", "ws://example.com/")
        back = follow("", "ws://example.org/", asked=away)
        self.assertEqual((back.headers, back.foreign), (((b"user-agent", b"u"),), True))

    def test_method(self) -> None:
        """303 makes GET of everything but HEAD, 301 and 302 of POST; 307 and 308 change nothing; RFC 9110 section 15.4."""
        fields: Headers = ((b"content-type", b"a/b"), (b"x", b"y"))
        for method, changing in (("GET", ()), ("HEAD", ()), ("POST", (301, 302, 303)), ("PUT", (303,)), ("DELETE", (303,))):
            for status in STATUSES:
                before = Asked(target=parse_url("http://example.org/"), method=method, body=b"content", headers=fields)
                after = follow("", "/x", status, asked=before)
                if status in changing:
                    self.assertEqual((after.method, after.body, after.headers), ("GET", b"", ((b"x", b"y"),)))
                elif method != "GET" or status != 303:
                    self.assertEqual((after.method, after.body, after.headers), (method, b"content", fields))
