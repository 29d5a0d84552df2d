"""`twisted_gun.headers`: what a caller gives is one request, with exactly that in it, or raises; nothing can be smuggled in."""

from __future__ import annotations

import ipaddress
from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers as TwistedHeaders

from tests.wire.conversation import A
from twisted_gun.errors import InvalidRequest
from twisted_gun.events import Headers
from twisted_gun.headers import authority, check_host, check_method, check_target, content_length, is_address, normalise, take
from twisted_gun.options import HttpOptions
from twisted_gun.testing import MemoryGun
from twisted_gun.wire.core import Request
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.steps import Write

SETTINGS = settings(max_examples=500, deadline=None, database=None)

#: What an attacker would put in, and much else.
EVIL = st.sampled_from(
    [
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "\t",
        ":",
        "\r\nx: y",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        " HTTP/1.1\r\nx: y",
        "\x0b",
        "\x85",
        "\u2028",
        "\u010a",
    ]
)
TAME = st.sampled_from(
    ["a", "GET", "/", "/x?y=z", "*", "http://h/p", "host", "content-length", "transfer-encoding", "é", "5", "example.org", "::1"]
)
texts = st.one_of(st.text(max_size=12), st.lists(st.one_of(EVIL, TAME, TAME), max_size=4).map("".join), TAME)
raw = st.one_of(st.binary(max_size=12), texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
anything = st.one_of(texts, raw)
pairs = st.lists(st.tuples(anything, anything), max_size=3)


def written(method: Any, path: Any, headers: Any, host: Any, body: bytes) -> tuple[bytes, bytes, bytes, Headers, bytes]:
    """What goes to the wire, and what should be in it, composed as a connection does."""
    checked = check_method(method)
    target = check_target(path)
    fields, given = take(normalise(headers), b"host", b"content-length", b"transfer-encoding")
    name = given.get(b"host", authority(check_host(host), 80, 80))
    request = Request(method=checked, target=target, authority=name, headers=fields, body=body)
    steps = Http1(HttpOptions()).request(A, request, 0.0)
    return b"".join(step.data for step in steps if isinstance(step, Write)), checked, target, ((b"host", name), *fields), body


def parsed(data: bytes) -> tuple[bytes, bytes, Headers, bytes]:
    """The one request in `data`, by somebody else's parser; fails where there is more, or less."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request = server.next_event()
    assert isinstance(request, h11.Request), request
    content = b""
    while isinstance(event := server.next_event(), h11.Data):
        content += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert not event.headers, event
    assert server.trailing_data == (b"", False), server.trailing_data
    return request.method, request.target, tuple((bytes(name), bytes(value)) for name, value in request.headers), content


class InjectionTests(SynchronousTestCase):
    """Whatever is given, `InvalidRequest` is raised or exactly one request is written, with exactly what was given."""

    def check(self, method: Any, path: Any, headers: Any, host: Any, body: bytes) -> None:
        """The one or the other."""
        try:
            data, *expected = written(method, path, headers, host, body)
        except InvalidRequest:
            return
        got_method, got_target, got_headers, got_body = parsed(data)
        self.assertEqual([got_method, got_target, got_body], [expected[0], expected[1], expected[3]])
        self.assertEqual(tuple(field for field in got_headers if field[0] != b"content-length"), expected[2])
        self.assertEqual(dict(got_headers).get(b"content-length", b"0"), b"%d" % len(body))

    @SETTINGS
    @given(anything, anything, pairs, anything, st.binary(max_size=20))
    def test_everything(self, method: Any, path: Any, headers: Any, host: Any, body: bytes) -> None:
        """Anything anywhere."""
        self.check(method, path, headers, host, body)

    @SETTINGS
    @given(anything)
    def test_method(self, method: Any) -> None:
        """Anything as the method."""
        self.check(method, "/", (), "example.org", b"")

    @SETTINGS
    @given(st.one_of(anything, texts.map(lambda text: "/" + text), raw.map(lambda path: b"/" + path)))
    def test_path(self, path: Any) -> None:
        """Anything as the path."""
        self.check("GET", path, (), "example.org", b"")

    @SETTINGS
    @given(pairs)
    def test_headers(self, headers: Any) -> None:
        """Anything as headers."""
        self.check("GET", "/", headers, "example.org", b"")

    @SETTINGS
    @given(anything)
    def test_header_value(self, value: Any) -> None:
        """Anything as a header's value."""
        self.check("POST", "/", [("x-name", value)], "example.org", b"body")

    @SETTINGS
    @given(anything)
    def test_host(self, host: Any) -> None:
        """Anything as the host, and as Host."""
        self.check("GET", "/", (), host, b"")
        self.check("GET", "/", [("host", host)], "example.org", b"")

    @settings(max_examples=60, deadline=None, database=None)
    @given(anything, st.one_of(anything, texts.map(lambda text: "/" + text)), pairs, st.binary(max_size=20))
    def test_connection(self, method: Any, path: Any, headers: Any, body: bytes) -> None:
        """The same through a whole connection: what raises writes nothing."""
        world = MemoryGun("example.org", 80)
        world.pump()
        try:
            world.connection.request(method, path, headers, body)
        except InvalidRequest:
            world.pump()
            self.assertEqual(bytes(world.peer.received), b"")
        else:
            world.pump()
            got_method, got_target, _, got_body = parsed(bytes(world.peer.received))
            self.assertEqual((got_method, got_target, got_body), (check_method(method), check_target(path), body))

    def test_lone_surrogates(self) -> None:
        """Text that no encoding knows is refused like anything else."""
        for bad in ("\ud800", "x\udfff", "\udbff"):
            for call in (check_method, check_target, check_host, lambda text: normalise({text: "x"}), lambda text: normalise({"x": text})):
                self.assertRaises(InvalidRequest, call, bad)

    def test_known_attacks(self) -> None:
        """What has worked on others."""
        for method in ("GET\r\nX: y", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "GET ", "", "GÉT", b"GET\0", "CONNECT", "connect"):
            self.assertRaises(InvalidRequest, check_method, method)
        for path in ("/ HTTP/1.1\r\nX: y", "/\n", "/\r", "/\0", "/ x", "/é", b"/\xe9", "", "x", "?x", "//h\r\n", "*x", "/\x7f", "/\t"):
            self.assertRaises(InvalidRequest, check_target, path)
        for host in (
            "h\r\nX: y",
            "h\0",
            "h/p",
            "u@h",
            "h:80",
            "h#f",
            "h?q",
            "h%00",
            "a b",
            "",
            "a..b",
            "h\\x",
            "x" * 254,
            "a" * 64 + ".org",
            ".h",
        ):
            self.assertRaises(InvalidRequest, check_host, host)
        for name in ("a\r\nb", "a b", "a:", "", "é", "a\0", ":path", b"a\x80"):
            self.assertRaises(InvalidRequest, normalise, {name: "x"})
        for value in ("a\r\nb: c", "a\rb", "a\nb", "a\0b", "\x7f", b"\x01", "\x1b[0m"):
            self.assertRaises(InvalidRequest, normalise, {"x": value})


class NormaliseTests(SynchronousTestCase):
    """Headers in any shape."""

    def test_shapes(self) -> None:
        """A mapping, pairs, Twisted's headers, text or bytes: names in lower case, values stripped, order kept."""
        expected = ((b"accept", b"a"), (b"x-y", b"b c"))
        for headers in (
            {"Accept": "a", "X-Y": "b c"},
            {b"accept": b" a\t", b"x-y": b"b c"},
            [("Accept", b"a"), (b"X-Y", "b c")],
            (["Accept", "a"], ["X-Y", "b c"]),
            iter([("Accept", "a"), ("X-Y", "b c")]),
        ):
            self.assertEqual(normalise(headers), expected)
        twisted_headers = TwistedHeaders({"x-y": ["1", "2"]})
        self.assertEqual(normalise(twisted_headers), ((b"x-y", b"1"), (b"x-y", b"2")))
        empty: list[Any] = [(), {}, [], None]
        for nothing in empty:
            self.assertEqual(normalise(nothing), ())

    def test_text(self) -> None:
        """Text goes out as UTF-8, other bytes as they are."""
        self.assertEqual(normalise({"x": "é"}), ((b"x", "é".encode()),))
        self.assertEqual(normalise({"x": b"\xff"}), ((b"x", b"\xff"),))
        self.assertEqual(normalise({"x": "\udcff"}), ((b"x", b"\xff"),))

    def test_wrong_shapes(self) -> None:
        """Anything else is refused, and named."""
        for headers in ("a: b", b"a: b", 5, [1], ["ab"], [("a",)], [("a", "b", "c")], {"a": 1}, {1: "a"}, {"a": None}, {"a": ["b"]}):
            error = self.assertRaises(InvalidRequest, normalise, headers)
            self.assertIn("header", str(error))

    def test_drop_invalid(self) -> None:
        """With `drop_invalid` the bad fields are left out, and only those."""
        headers = [("good", "1"), ("bad name", "2"), ("bad", "3\r\n"), ("worse", None), ("fine", "4")]
        self.assertEqual(normalise(headers, drop_invalid=True), ((b"good", b"1"), (b"fine", b"4")))

    def test_remembered(self) -> None:
        """A bad name is bad every time."""
        for _ in range(2):
            self.assertRaises(InvalidRequest, normalise, {"bad name": "x"})
            self.assertRaises(InvalidRequest, check_method, "bad method")


class PartsTests(SynchronousTestCase):
    """The other functions of the border."""

    def test_method(self) -> None:
        """Any token is a method, its case kept."""
        for method in ("GET", b"GET", "get", "M-SEARCH", "X!#$%&'*+.^_`|~"):
            self.assertEqual(check_method(method), method if isinstance(method, bytes) else method.encode())
        self.assertRaises(InvalidRequest, check_method, None)

    def test_target(self) -> None:
        """A path, an asterisk, an absolute URL."""
        for target in ("/", "/a/b?c=d&e", "//x", "*", "http://example.org/", "https://[::1]:8443/x?y", b"/%20"):
            self.assertEqual(check_target(target), target if isinstance(target, bytes) else target.encode())
        self.assertRaises(InvalidRequest, check_target, 5)

    def test_take(self) -> None:
        """Fields are taken out, once each."""
        headers = ((b"a", b"1"), (b"host", b"h"), (b"b", b"2"))
        self.assertEqual(take(headers, b"host", b"c"), (((b"a", b"1"), (b"b", b"2")), {b"host": b"h"}))
        self.assertRaises(InvalidRequest, take, ((b"host", b"1"), (b"host", b"1")), b"host")

    def test_content_length(self) -> None:
        """A number of bytes."""
        for value, length in ((b"0", 0), (b"5", 5), (b"9223372036854775807", 2**63 - 1)):
            self.assertEqual(content_length(value), length)
        for value in (b"", b"-1", b"+1", b"5, 5", b"0x5", b"9223372036854775808", b"1" * 30):
            self.assertRaises(InvalidRequest, content_length, value)

    def test_host(self) -> None:
        """Names and addresses."""
        for host, expected in (
            ("example.org", "example.org"),
            ("example.org.", "example.org."),
            ("a_b.example", "a_b.example"),
            (b"localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("bücher.example", "bücher.example"),
            (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
            (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
        ):
            self.assertEqual(check_host(host), expected)
        self.assertRaises(InvalidRequest, check_host, None)

    def test_is_address(self) -> None:
        """An address, or a name."""
        self.assertEqual([is_address(host) for host in ("127.0.0.1", "::1", "example.org", "1.2.3")], [True, True, False, False])

    def test_authority(self) -> None:
        """The port where it is not the scheme's own, brackets around IPv6, no zone, and names in ASCII."""
        for host, port, default, expected in (
            ("example.org", 80, 80, b"example.org"),
            ("example.org", 81, 80, b"example.org:81"),
            ("fe80::1%eth0", 80, 80, b"[fe80::1]"),
            ("bücher.example", 443, 443, b"xn--bcher-kva.example"),
        ):
            self.assertEqual(authority(host, port, default), expected)
        self.assertRaises(InvalidRequest, authority, "xn--é", 80, 80)
