"""`twisted_gun.websocket.url`: what a base URL and parameters become. URLs themselves are in ``tests/test_urls.py``."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import check_target
from twisted_gun.websocket.url import build_target, check_base_url, check_pairs, check_path_params


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
