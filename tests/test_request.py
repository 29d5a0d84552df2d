"""`twisted_gun.request`: what a caller asks for becomes a `Request`, of an origin or of a proxy; credentials are shown nowhere."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import FrozenInstanceError, replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.options import Destination
from twisted_gun.receivers import Receiver
from twisted_gun.request import (
    FOLLOWS,
    Connect,
    Forward,
    RequestOptions,
    check_request_options,
    connect_request,
    content,
    make_connect,
    make_request,
    proxy_fields,
)
from twisted_gun.wire.core import Request

#: What no `repr` may hold, in either spelling.
SECRET = "canary"
CODED = b64encode(f"u:{SECRET}".encode())
#: What a connection's requests are asked for with, if nothing else is said.
DEFAULTS = RequestOptions(None, None)
END = {"host": "example.org", "port": 443}
#: RFC 9110 section 9.3.6: "A CONNECT request message does not have content"; the others are not for a proxy's eyes.
NOT_FOR_A_PROXY = (
    *("authorization", "cookie", "expect", "host"),
    *("connection", "http2-settings", "keep-alive", "te", "trailer", "upgrade"),
    *("content-length", "content-type", "transfer-encoding"),
)


class Producer:
    """What an `IBodyProducer` is as far as a request looks at it."""

    def __init__(self, length: Any) -> None:
        self.length = length

    def startProducing(self, consumer: object) -> None:
        """Begin."""


class OptionsTests(SynchronousTestCase):
    """The options of one request."""

    def test_defaults(self) -> None:
        """What is not given is the connection's."""
        receiver = Receiver()
        defaults = RequestOptions(receiver, 5)
        self.assertEqual(check_request_options({}, defaults), RequestOptions(receiver, 5, False))
        self.assertEqual(check_request_options({"tunnel": object()}, defaults), RequestOptions(receiver, 5, False))

    def test_given(self) -> None:
        """What is given goes before it; None is no receiver, and no limit."""
        receiver, defaults = Receiver(), RequestOptions(Receiver(), 5)
        given = {"reply_to": receiver, "flow": 3, "invalid_request_headers": "ignore"}
        self.assertEqual(check_request_options(given, defaults), RequestOptions(receiver, 3, True))
        self.assertEqual(check_request_options({"reply_to": None, "flow": None}, defaults), RequestOptions(None, math.inf, False))

    def test_refused(self) -> None:
        """What cannot be used is refused by name."""
        for name, bad in (
            ("reply_to", (5, "x", object())),
            ("flow", (0, -1, 1.0, "1", True, math.inf)),
            ("invalid_request_headers", (None, True, "drop")),
            ("unknown", (1,)),
            ("stream", (None,)),
        ):
            for value in bad:
                self.assertEqual(self.assertRaises(OptionError, check_request_options, {name: value}, DEFAULTS).option, name)


class RequestTests(SynchronousTestCase):
    """A request to an origin."""

    def make(self, method: bytes = b"GET", path: Any = "/", headers: Any = (), body: Any = b"", **options: Any) -> Request:
        """What becomes of it, where it has no producer."""
        request, producer = make_request(method, path, headers, body, b"example.org", DEFAULTS._replace(**options))
        self.assertIsNone(producer)
        return request

    def test_bare(self) -> None:
        """Without fields and content: the same, asked for again, is the same object; long targets are not remembered."""
        request = self.make(path="/a?b", flow=3)
        self.assertEqual(request, Request(method=b"GET", target=b"/a?b", authority=b"example.org", headers=(), body=b"", flow=3))
        self.assertIs(self.make(path="/a?b", flow=3), request)
        self.assertIsNot(self.make(path="/a?b"), request)
        long = "/" + "x" * 600
        self.assertEqual(self.make(path=long).target, long.encode())
        self.assertIsNot(self.make(path=long), self.make(path=long))

    def test_fields(self) -> None:
        """Names in lower case, in order; Host is the authority, Content-Length the length, and framing is ours."""
        headers = [("X-B", "1"), ("Host", "other.example:81"), (b"x-a", b"2"), ("Content-Length", "3"), ("Transfer-Encoding", "chunked")]
        request = self.make(b"POST", headers=headers, body=FOLLOWS)
        self.assertEqual(request.headers, ((b"x-b", b"1"), (b"x-a", b"2")))
        self.assertEqual((request.authority, request.length, request.body), (b"other.example:81", 3, None))
        self.assertEqual(self.make(headers=[("a b", "c"), ("x", "y")], drop_invalid=True).headers, ((b"x", b"y"),))
        self.assertRaises(InvalidRequest, self.make, headers=[("a b", "c")])
        self.assertRaises(InvalidRequest, self.make, headers={"host": "a b"})
        self.assertRaises(InvalidRequest, self.make, headers={"content-length": "five"})

    def test_content(self) -> None:
        """Bytes, or an iterable of bytes, are the content; None says that it follows where the fields say so, Gun 1's rule."""
        for body in (b"ab", bytearray(b"ab"), memoryview(b"ab"), [b"a", b"b"], iter([b"ab"])):
            self.assertEqual((self.make(b"POST", body=body).body, content(b"ab")), (b"ab", b"ab"))
        for headers, follows, length in (
            ((), False, None),
            ({"content-type": "text/plain"}, True, None),
            ({"content-length": "5"}, True, 5),
            ({"content-length": "0", "content-type": "text/plain"}, False, 0),
            ({"x": "y"}, False, None),
        ):
            request = self.make(b"POST", headers=headers, body=None)
            self.assertEqual((request.body, request.length), (None if follows else b"", length))
        for bad in ("text", 5, [1], ["a"], object(), {"a": b"b"}):
            self.assertRaises(InvalidRequest, self.make, b"POST", body=bad)

    def test_producer(self) -> None:
        """An `IBodyProducer` says its length, if it knows it; it goes before the fields'."""
        for length, expected in ((5, 5), (0, 0), (UNKNOWN_LENGTH, None)):
            body = Producer(length)
            request, producer = make_request(b"PUT", "/", {"content-length": "9"}, body, b"example.org", DEFAULTS)
            self.assertIs(producer, body)
            self.assertEqual((request.body, request.length), (None, expected))
        for bad in (-1, "5", None, 1.0, True):
            self.assertRaises(InvalidRequest, make_request, b"PUT", "/", (), Producer(bad), b"a", DEFAULTS)


class ConnectTests(SynchronousTestCase):
    """A request to a proxy for a tunnel."""

    def test_target(self) -> None:
        """RFC 9112 section 3.2.3: host and port, be that the scheme's own or not; Host says the same, and there is no content."""
        for host, port, target in (
            ("example.org", 443, b"example.org:443"),
            ("example.org", 80, b"example.org:80"),
            ("2001:db8::1", 443, b"[2001:db8::1]:443"),
            ("fe80::1%eth0", 80, b"[fe80::1]:80"),
            ("192.0.2.1", 1, b"192.0.2.1:1"),
            ("b\u00fccher.example", 65_535, b"xn--bcher-kva.example:65535"),
            ("under_score.example.", 8080, b"under_score.example.:8080"),
        ):
            expected = Request(method=b"CONNECT", target=target, authority=target, headers=(), body=b"")
            request = connect_request(host, port)
            self.assertEqual(request, expected)
            self.assertTrue(request.tunnels)
        self.assertRaises(InvalidRequest, connect_request, "\u2028.example", 1)

    def test_credentials(self) -> None:
        """RFC 7617 section 2: Basic, the user-id and password joined by a colon; before the caller's fields."""
        for username, password, joined in (
            ("Aladdin", "open sesame", b"Aladdin:open sesame"),
            (b"u", "p", b"u:p"),
            ("", "", b":"),
            ("u", "p:q", b"u:p:q"),
            ("test", "123\u00a3", b"test:123\xc2\xa3"),
        ):
            ((name, value),) = proxy_fields((), username, password)
            self.assertEqual((name, value[:6], b64decode(value[6:])), (b"proxy-authorization", b"Basic ", joined))
            request = connect_request("a", 1, ((b"x", b"y"),), username, password)
            self.assertEqual(request.headers, ((name, value), (b"x", b"y")))
        # The examples of RFC 7617 sections 2 and 2.1.
        self.assertEqual(proxy_fields((), "Aladdin", "open sesame")[0][1], b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        self.assertEqual(proxy_fields((), "test", "123\u00a3")[0][1], b"Basic dGVzdDoxMjPCow==")

    def test_own_credentials(self) -> None:
        """Those that the fields hold, of whatever kind, are the only ones sent."""
        fields = ((b"proxy-authorization", b"Bearer x"), (b"x", b"y"))
        self.assertEqual(connect_request("a", 1, fields, "u", "p").headers, fields)
        self.assertEqual(connect_request("a", 1, fields).headers, fields)

    def test_not_for_a_proxy(self) -> None:
        """What is the origin's, the connection's or of a content is refused by name, and its value is not shown."""
        for name in NOT_FOR_A_PROXY:
            for spelt in (name, name.title()):
                error = self.assertRaises(InvalidRequest, make_connect, END, {spelt: SECRET}, {}, DEFAULTS)
                self.assertIn(name, str(error))
                self.assertNotIn(SECRET, str(error))
        for name in ("user-agent", "proxy-connection", "x-forwarded-for", "via", "accept"):
            self.assertEqual(make_connect(END, {name: "x"}, {}, DEFAULTS).request.headers, ((name.encode(), b"x"),))

    def test_destination(self) -> None:
        """It is a dict or a `Destination`, which is what comes back; its credentials are for the proxy."""
        end = Destination(host="example.org", port=443, username="u", password="p", transport="tls")
        for given in (end, {**END, "username": "u", "password": "p", "transport": "tls"}):
            asked = make_connect(given, {"X": "y"}, {}, DEFAULTS)
            self.assertEqual(asked, Connect(connect_request("example.org", 443, ((b"x", b"y"),), "u", "p"), end, None))

    def test_options(self) -> None:
        """A receiver of its own, and how much of a refusal's content may be told; invalid fields may be left out."""
        receiver, usual = Receiver(), Receiver()
        self.assertIs(make_connect(END, (), {}, RequestOptions(usual, None)).reply_to, usual)
        self.assertIs(make_connect(END, (), {"reply_to": receiver}, RequestOptions(usual, None)).reply_to, receiver)
        self.assertIsNone(make_connect(END, (), {"reply_to": None}, RequestOptions(usual, None)).reply_to)
        given = {"invalid_request_headers": "ignore"}
        self.assertEqual(make_connect(END, [("a b", "c"), ("x", "y")], given, DEFAULTS).request.headers, ((b"x", b"y"),))
        self.assertRaises(InvalidRequest, make_connect, END, [("a b", "c")], {}, DEFAULTS)
        self.assertRaises(InvalidRequest, make_connect, END, {"x": "y\r\n"}, {}, DEFAULTS)

    def test_flow(self) -> None:
        """`flow`, Gun's InitialFlow, goes with it."""
        for given, flow in (({}, None), ({"flow": 3}, 3), ({"flow": None}, math.inf)):
            self.assertEqual(make_connect(END, (), given, DEFAULTS).request.flow, flow)
        self.assertEqual(make_connect(END, (), {}, RequestOptions(None, 5)).request.flow, 5)

    def test_refused(self) -> None:
        """What cannot be used is refused by name; what was given in place of a destination may be a secret, and is not shown."""
        for destination, option in (
            ({"host": "a"}, "destination.port"),
            ({"port": 1}, "destination.host"),
            ({**END, "username": "u"}, "destination.username"),
            ({**END, "proxy": "x"}, "destination.proxy"),
            (None, "destination"),
            (f"http://u:{SECRET}@example.org:80", "destination"),
            ([("password", SECRET)], "destination"),
            (("example.org", 443), "destination"),
        ):
            error = self.assertRaises(OptionError, make_connect, destination, (), {}, DEFAULTS)
            self.assertEqual(error.option, option)
            self.assertNotIn(SECRET, str(error))
        self.assertEqual(self.assertRaises(OptionError, make_connect, END, (), {"unknown": 1}, DEFAULTS).option, "unknown")
        self.assertRaises(InvalidRequest, make_connect, {"host": "a b", "port": 1}, (), {}, DEFAULTS)


class ForwardTests(SynchronousTestCase):
    """A request to an origin that a proxy sends on, without a tunnel."""

    FORWARD = Forward(fields=((b"proxy-authorization", b"Basic eDp5"),))

    def test_absolute_form(self) -> None:
        """RFC 9112 section 3.2.2: the target is a whole URL, also that of ``*`` (section 3.2.4); one that is, stays."""
        for target, expected in (
            (b"/", b"http://example.org:8080/"),
            (b"/a?b=http://c", b"http://example.org:8080/a?b=http://c"),
            (b"//a", b"http://example.org:8080//a"),
            (b"*", b"http://example.org:8080"),
            (b"http://other.example/x", b"http://other.example/x"),
        ):
            request = Request(method=b"OPTIONS", target=target, authority=b"example.org:8080", headers=((b"x", b"y"),), body=b"")
            made = self.FORWARD.of(request)
            self.assertEqual(made, replace(request, target=expected, headers=((b"proxy-authorization", b"Basic eDp5"), (b"x", b"y"))))

    def test_host(self) -> None:
        """RFC 9112 section 3.2: Host says the same as the target; so a caller's Host is in both."""
        request, _ = make_request(b"GET", "/x", {"host": "other.example:81"}, b"", b"example.org", DEFAULTS)
        made = Forward(fields=()).of(request)
        self.assertEqual((made.target, made.authority), (b"http://other.example:81/x", b"other.example:81"))

    def test_fields(self) -> None:
        """What a request says itself to the proxy goes before what is said with each."""
        request = Request(method=b"GET", target=b"/", authority=b"a", headers=((b"proxy-authorization", b"Bearer x"),), body=b"")
        fields = ((b"proxy-authorization", b"Basic eDp5"), (b"x", b"y"))
        self.assertEqual(Forward(fields=fields).of(request).headers, ((b"x", b"y"), *request.headers))

    def test_connect(self) -> None:
        """A CONNECT stays in authority-form, and is told to the proxy with the same fields."""
        made = self.FORWARD.of(connect_request("inner.example", 443))
        self.assertEqual(made, connect_request("inner.example", 443, self.FORWARD.fields))

    def test_nothing_else_changes(self) -> None:
        """Content, length, flow and Host are the request's; without fields for the proxy, all fields are."""
        request = Request(method=b"POST", target=b"/", authority=b"a", headers=((b"x", b"y"),), body=None, length=5, flow=3)
        self.assertEqual(Forward(fields=()).of(request), replace(request, target=b"http://a/"))

    def test_frozen(self) -> None:
        """It is a value."""
        self.assertRaises(FrozenInstanceError, setattr, self.FORWARD, "fields", ())


class SecretTests(SynchronousTestCase):
    """Credentials are in no `repr`."""

    def test_shown(self) -> None:
        """Of what is asked of a proxy: nor is their Basic spelling, which says as much."""
        asked = make_connect({**END, "username": "u", "password": SECRET}, (), {}, DEFAULTS)
        self.assertIn(CODED, asked.request.headers[0][1])
        for value in (asked.destination, asked.request, asked, Forward(fields=proxy_fields((), "u", SECRET))):
            for shown in (repr(value), str(value)):
                self.assertNotIn(SECRET, shown)
                self.assertNotIn(CODED.decode(), shown)
