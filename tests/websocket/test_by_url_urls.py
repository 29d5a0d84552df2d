"""`twisted_gun.websocket.url`: what a URL, a base URL and parameters become."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import check_target
from twisted_gun.websocket.url import Target, build_target, check_base_url, check_pairs, check_path_params, parse_url

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


class BaseUrlTests(SynchronousTestCase):
    """Option ``base_url``."""

    def join(self, base: str | None, url: str | None) -> str:
        return build_target(url, base_url=base).url

    def test_joined(self) -> None:
        """One slash stands between the two, however many were given."""
        for base in ("ws://example.org/api", "ws://example.org/api/"):
            for url in ("feed", "/feed"):
                self.assertEqual(self.join(base, url), "ws://example.org/api/feed")

    def test_alone(self) -> None:
        """A base URL without anything behind it, or with a query only, stays as it is."""
        self.assertEqual(self.join("ws://example.org/api", None), "ws://example.org/api")
        self.assertEqual(self.join("ws://example.org/api", ""), "ws://example.org/api")
        self.assertEqual(self.join("ws://example.org/api", "?a=1"), "ws://example.org/api?a=1")

    def test_absolute(self) -> None:
        """An absolute URL needs no base."""
        self.assertEqual(self.join("ws://example.org/api", "wss://example.com/feed"), "wss://example.com/feed")

    def test_nothing(self) -> None:
        """Without a URL there is nothing to ask."""
        self.assertRaises(OptionError, self.join, None, None)

    def test_checked(self) -> None:
        """A base URL is absolute, and has neither query nor fragment, behind which a path would be lost."""
        for base in ("/api", "example.org", "ws://example.org/?a=1", "ws://example.org/#a", 5, b"ws://example.org"):
            self.assertRaises(OptionError, check_base_url, base)


class ParamsTests(SynchronousTestCase):
    """Option ``params``."""

    def query(self, url: str, params: Any) -> str:
        return urlsplit(build_target(url, params=check_pairs("params", params)).url).query

    def test_appended(self) -> None:
        """Parameters come after the query that is there, in their order, repeated ones too."""
        self.assertEqual(self.query("ws://example.org/?a=1", [("b", 2), ("b", "3")]), "a=1&b=2&b=3")
        self.assertEqual(self.query("ws://example.org/", {"b": 2}), "b=2")

    def test_before_fragment(self) -> None:
        """A fragment does not swallow them."""
        self.assertEqual(build_target("http://example.org/x#part", params=(("a", 1),)).path, "/x?a=1")

    def test_values(self) -> None:
        """Text, bytes, numbers and truth can be told."""
        self.assertEqual(self.query("ws://example.org", [("a", b"\xff"), ("b", 1.5), ("c", True)]), "a=%FF&b=1.5&c=true")

    def test_refused(self) -> None:
        """What cannot be told as text is refused at the call."""
        for params in ("a=1", 5, [("a",)], {"a": None}, {"a": ["b"]}, {5: "a"}, ["ab"]):
            self.assertRaises(OptionError, check_pairs, "params", params)
        self.assertRaises(InvalidRequest, self.query, "ws://example.org", {"a": "\ud800"})

    @given(st.lists(st.tuples(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1), st.text(alphabet="aä&=+# %\r\n/?"))))
    def test_read_back(self, params: list[tuple[str, str]]) -> None:
        """Whatever they hold, a server reads the same, and nothing of them gets out of the query."""
        target = build_target("ws://example.org/feed", params=check_pairs("params", params))
        check_target(target.path)
        path, _, query = target.path.partition("?")
        self.assertEqual(path, "/feed")
        self.assertEqual(parse_qsl(query, keep_blank_values=True), params)


class PathParamsTests(SynchronousTestCase):
    """Options ``path_params`` and ``path_params_style``."""

    def path(self, path: str, params: Any, style: str = "colon") -> str:
        return build_target(f"ws://example.org:8080{path}", path_params=check_path_params(params, style), style=style).path

    def test_colon(self) -> None:
        """``:name`` is a place; the port is none."""
        self.assertEqual(self.path("/status/:code/x", {"code": 201}), "/status/201/x")
        self.assertEqual(self.path("/:a-:b", {"a": "x", "b": "y"}), "/x-y")

    def test_curly(self) -> None:
        """``{name}`` is a place in the other style, and ``:name`` is none."""
        self.assertEqual(self.path("/status/{code}.json", {"code": 201}, "curly"), "/status/201.json")
        self.assertEqual(self.path("/:code/{code}", {"code": 201}, "curly"), "/:code/201")
        self.assertEqual(self.path("/:code/{code}", {"code": 201}), "/201/%7Bcode%7D")

    def test_without_value(self) -> None:
        """A place without a value stays, and a value without a place does nothing, as with Req."""
        self.assertEqual(self.path("/:a/:b", {"a": "x", "c": "y"}), "/x/:b")

    def test_in_query(self) -> None:
        """There are no places in the query."""
        self.assertEqual(self.path("/x?at=12:time", {"time": "z"}), "/x?at=12:time")

    def test_encoded(self) -> None:
        """A value is one segment, or a part of one: it ends neither that nor the path."""
        self.assertEqual(self.path("/:a/end", {"a": "x/../y?z#ü %:b"}), "/x%2F..%2Fy%3Fz%23%C3%BC%20%25%3Ab/end")

    def test_no_step_up(self) -> None:
        """No value leads to another directory, alone or with what is beside it."""
        for value in (".", "..", b".."):
            self.assertRaises(OptionError, check_path_params, {"a": value}, "colon")
        self.assertRaises(InvalidRequest, self.path, "/x/.:a/y", {"a": ""})
        self.assertEqual(self.path("/x/:a/y", {"a": "..."}), "/x/.../y")

    def test_style(self) -> None:
        """Another style is refused."""
        self.assertRaises(OptionError, check_path_params, {}, "angle")

    @given(st.text(alphabet="aä/?#%.:{}\r\n &=", min_size=1), st.sampled_from(["colon", "curly"]))
    def test_any_value(self, value: str, style: str) -> None:
        """Any other value makes a target that can be sent, of as many segments as the template."""
        if value not in (".", ".."):
            path = self.path("/x/:name/{name}/y", {"name": value}, style)
            check_target(path)
            self.assertEqual(len(path.split("/")), 5)
            self.assertNotIn("?", path)


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
