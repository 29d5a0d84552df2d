"""Options one by one: what text may be, and what it becomes."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.gunclient.arguments import ARGUMENTS, Given, filled
from twisted_gun.gunclient.settings import Settings


class ConvertTests(SynchronousTestCase):
    """What each option takes."""

    def value(self, name: str, text: Any) -> Any:
        """The value of `text`."""
        return ARGUMENTS[name].value(Given(text, "here"))

    def refused(self, name: str, *texts: Any) -> None:
        """None of these is taken, and no message shows what it was."""
        for text in texts:
            error = self.assertRaises(ValueError, self.value, name, text)
            self.assertTrue(str(error))
            if isinstance(text, str) and len(text) > 3:
                self.assertNotIn(text, str(error))

    def test_seconds(self) -> None:
        """A time is a number above 0."""
        self.assertEqual([self.value("every", text) for text in ("1", "0.5", "1e3")], [1.0, 0.5, 1000.0])
        self.refused("every", "0", "-1", "", "x", "nan", "inf", "none", True, ["1"])

    def test_no_limit(self) -> None:
        """Some may be none."""
        self.assertIsNone(self.value("ping", "none"))
        self.assertEqual(self.value("ping", "20"), 20.0)
        self.refused("ping", "0", "None", "forever")

    def test_sizes(self) -> None:
        """A size may be in KiB, MiB and GiB."""
        sizes = [self.value("rotate-size", text) for text in ("1", "10k", "2M", "1g", " 7 ", "none")]
        self.assertEqual(sizes, [1, 10240, 2 * 2**20, 2**30, 7, None])
        self.refused("rotate-size", "0", "0k", "-1", "1.5M", "1t", "", "9" * 16)

    def test_whole_numbers(self) -> None:
        """A whole number has a least, and a greatest."""
        self.assertEqual([self.value("health", text) for text in ("0", "65535")], [0, 65535])
        self.refused("health", "65536", "-1", "1.0", "x", "", "٣", "9" * 30)
        self.assertEqual(self.value("retry", "1"), 1)
        self.refused("retry", "0")
        self.assertEqual([self.value("rotate-keep", text) for text in ("1", "1000")], [1, 1000])
        self.refused("rotate-keep", "0", "1001")

    def test_names(self) -> None:
        """Of some names one is taken."""
        self.assertEqual(self.value("protocol", "http2"), "http2")
        self.refused("protocol", "http3", "", "HTTP2")
        self.refused("proxy-mode", "tunnels")

    def test_headers(self) -> None:
        """A header field is a name, a colon and a value, which may be empty."""
        fields = self.value("header", ["x: 1", "Y:2", "z:", "w: a:b "])
        self.assertEqual(fields, (("x", "1"), ("Y", "2"), ("z", ""), ("w", "a:b")))
        self.refused("header", ["hidden"], [": hidden"], [""])

    def test_flags(self) -> None:
        """A flag is there or not."""
        self.assertEqual((self.value("ws", True), self.value("ws", False)), (True, False))
        self.refused("ws", "perhaps")

    def test_repeated(self) -> None:
        """What may be repeated is a tuple, though it is given once; all else has one value."""
        self.assertEqual(self.value("get", "/"), ("/",))
        self.assertEqual(self.value("get", ["/", "/b"]), ("/", "/b"))
        self.refused("url", ["a", "b"])

    def test_each_has_a_field(self) -> None:
        """Each is a field of the settings, or is made one."""
        fields = {argument.field for argument in ARGUMENTS.values()}
        self.assertEqual(fields - {"url", "sse", "ws", "header"}, set(Settings.__slots__) - {"address", "work", "headers"})
        for argument in ARGUMENTS.values():
            self.assertTrue(argument.help.endswith((".", "]", "there.")), argument.name)


class FilledTests(SynchronousTestCase):
    """Secrets from the environment, and from files."""

    def setUp(self) -> None:
        self.patch(os, "environ", {"TOKEN": "s3/cret"})
        self.path = self.mktemp()

    def write(self, data: bytes) -> str:
        """A reference to a file of `data`."""
        with open(self.path, "wb") as file:
            file.write(data)
        return f"{{file:{self.path}}}"

    def test_environment(self) -> None:
        """A variable's value stands where it is named, as often as it is."""
        self.assertEqual(filled("Bearer {env:TOKEN}"), "Bearer s3/cret")
        self.assertEqual(filled("{env:TOKEN}{env:TOKEN}"), "s3/crets3/cret")

    def test_file(self) -> None:
        """A file's content does, without the end of its last line."""
        for data, value in ((b"abc\n", "abc"), (b"abc", "abc"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), ("ä".encode(), "ä")):
            self.assertEqual(filled(f"x{self.write(data)}"), f"x{value}")

    def test_encoded(self) -> None:
        """In a URL it is percent-encoded."""
        proxy = ARGUMENTS["proxy"].value(Given("http://user:{env:TOKEN}@proxy", ""))
        self.assertEqual(proxy, ("http://user:s3%2Fcret@proxy",))

    def test_others(self) -> None:
        """Braces that name nothing of that kind stay, and what was filled in is not looked at again."""
        for text in ("{}", "{env}", "{x:TOKEN}", '{"env": 1}', "{env:}"):
            self.assertEqual(filled(text), text)
        self.assertEqual(filled(self.write(b"{env:TOKEN}")), "{env:TOKEN}")

    def test_only_secrets(self) -> None:
        """Only options that may hold secrets are filled."""
        self.assertEqual(ARGUMENTS["output"].value(Given("{env:TOKEN}", "")), "{env:TOKEN}")
        self.assertEqual(ARGUMENTS["header"].value(Given("a: {env:TOKEN}", "")), (("a", "s3/cret"),))

    def test_missing(self) -> None:
        """A variable or a file that is not there, or is no text, or too large, is a mistake."""
        for text in ("{env:NONE}", "{file:/nowhere}", self.write(b"\xff"), self.write(b"x" * 65537)):
            self.assertRaises(ValueError, filled, text)
        self.assertEqual(len(filled(self.write(b"x" * 65536))), 65536)
