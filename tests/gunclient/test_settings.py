"""Settings: command line and file together, what goes together, and how it is told what does not."""

from __future__ import annotations

import os
from itertools import permutations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.gunclient.stage import given, settings_of
from twisted_gun.gunclient.arguments import Given
from twisted_gun.gunclient.settings import Address, SettingError, Settings, make_settings


class SettingsCase(SynchronousTestCase):
    """A test of settings."""

    def refused(self, *parts: str, **options: Any) -> str:
        """Why these options cannot be used; all `parts` are in the message."""
        message = str(self.assertRaises(SettingError, settings_of, **options))
        for part in parts:
            self.assertIn(part, message)
        return message

    def with_file(self, text: str, **options: Any) -> Settings:
        """The settings by a file of `text`, and by options of the command line."""
        self.path = self.mktemp() + ".ini"
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        return make_settings({name: Given(value, f"--{name}") for name, value in given(options).items()}, self.path)


class AddressTests(SettingsCase):
    """Where to."""

    def test_urls(self) -> None:
        """http, https, ws, wss and unix; the path is percent-encoded."""
        cases = {
            "http://a.example": ("http", "a.example", 80, "/", None),
            "https://a.example:8443/x?y=ä": ("https", "a.example", 8443, "/x?y=%C3%A4", None),
            "ws://[::1]/feed": ("ws", "::1", 80, "/feed", None),
            "wss://a.example": ("wss", "a.example", 443, "/", None),
            "unix:/run/app.sock": ("http", "localhost", 80, "/", "/run/app.sock"),
            "unix:///run/app.sock": ("http", "localhost", 80, "/", "/run/app.sock"),
            "unix:run/app.sock:/feed?x": ("http", "localhost", 80, "/feed?x", "run/app.sock"),
        }
        for url, expected in cases.items():
            address = settings_of(url=url, receiver="x").address
            self.assertEqual((address.scheme, address.host, address.port, address.path, address.unix), expected)

    def test_shown_without_query(self) -> None:
        """As text it is a URL without its query."""
        shown = {
            "http://a.example/x?key=hidden": "http://a.example:80/x",
            "wss://[::1]:1/": "wss://[::1]:1/",
            "unix:/run/s:/x?hidden": "unix:/run/s:/x",
        }
        for url, text in shown.items():
            settings = settings_of(url=url, receiver="x")
            self.assertEqual(str(settings.address), text)
            self.assertNotIn("hidden", repr(settings))

    def test_secure(self) -> None:
        """TLS is spoken for https and wss."""
        secure = [settings_of(url=f"{scheme}://a", receiver="x").address.secure for scheme in ("http", "https", "ws", "wss")]
        self.assertEqual(secure, [False, True, False, True])

    def test_refused(self) -> None:
        """A URL that is none, and none at all; a password in it is not shown."""
        for url in ("a.example", "ftp://a", "http://", "http://a:0", "unix:", "unix::/x", "unix:/a\0b", "unix:/a:/x y"):
            self.refused("--url", url=url, receiver="x")
        refused = self.refused("--url", "--header 'authorization: ...'", url="http://user:hidden@a", receiver="x")
        self.assertNotIn("hidden", refused)
        self.assertNotIn("auth=", refused)
        self.refused("--url", receiver="x")

    def test_secret(self) -> None:
        """A part of it may come from the environment."""
        self.patch(os, "environ", {"KEY": "a&b"})
        self.assertEqual(settings_of(url="http://a/?key={env:KEY}", sse=True).address.path, "/?key=a%26b")

    def test_secret_in_a_path(self) -> None:
        """So may a part of a path to get, which can add nothing to it but a value."""
        self.patch(os, "environ", {"KEY": "p w&admin=1/../#"})
        settings = settings_of(url="http://a", get=["/%2F?key={env:KEY}", "/b"])
        self.assertEqual(settings.get, ("/%2F?key=p%20w%26admin%3D1%2F..%2F%23", "/b"))


class WorkTests(SettingsCase):
    """What to do."""

    def test_each(self) -> None:
        """One of three, or none where there is a receiver; a ws URL is for a websocket."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("get", {"url": "http://a", "get": ["/x", "/y?z"]}),
            ("sse", {"url": "https://a", "sse": True}),
            ("ws", {"url": "http://a", "ws": True}),
            ("ws", {"url": "wss://a"}),
            ("none", {"url": "http://a", "receiver": "a.b"}),
            ("get", {"url": "http://a", "receiver": "a.b", "get": ["/"]}),
        ]
        for work, options in cases:
            self.assertEqual(settings_of(**options).work, work)
        self.assertEqual(settings_of(url="http://a", get=["/x", "/y?z"]).get, ("/x", "/y?z"))

    def test_refused(self) -> None:
        """Two of them, none of them, or one that the URL is not for."""
        self.refused("--sse", "--get", url="http://a", sse=True, get=["/"])
        self.refused("--ws", "--sse", url="http://a", sse=True, ws=True)
        self.refused("--get", "--receiver", url="http://a")
        self.refused("--sse", url="ws://a", sse=True)
        self.refused("--get", url="wss://a", get=["/"])
        for path in ("x", "", "/a b", "/ä", "*", "http://a/"):
            self.refused("--get", url="http://a", get=["/", path])

    def test_only_for(self) -> None:
        """Options that would do nothing are mistakes."""
        for name, value in (("send", ["x"]), ("subprotocol", ["x"]), ("compress", True)):
            self.refused(f"--{name}", "--ws", url="http://a", sse=True, **{name: value})
            settings_of(url="ws://a", **{name: value})
        self.refused("--silence", "--sse", url="ws://a", silence=3)
        settings_of(url="http://a", sse=True, silence=3)
        self.refused("--last-event-id", "--sse", url="ws://a", last_event_id="file")
        for name in ("rotate_size", "rotate_keep"):
            self.refused("--output", url="ws://a", **{name: 1})
            self.refused("--output", url="ws://a", output="-", **{name: 1})
            settings_of(url="ws://a", output=self.mktemp(), **{name: 1})
        self.refused("--cookies", url="ws://a", cookies_every=1)


class TogetherTests(SettingsCase):
    """Command line and file."""

    def test_defaults(self) -> None:
        """What is not given has its default; the output is the standard one, unless there is a receiver."""
        settings = settings_of(url="ws://a")
        self.assertEqual(settings, Settings(address=settings.address, work="ws", output="-"))
        self.assertIsNone(settings_of(url="ws://a", receiver="x").output)
        self.assertEqual(settings_of(url="ws://a", receiver="x", output="-").output, "-")

    def test_command_line_has_precedence(self) -> None:
        """An option of the command line takes the place of the file's."""
        text = "[gunclient]\nurl = http://a\nevery = 1\nsse = true\nproxy = http://p\n"
        settings = self.with_file(text, every="2", proxy=["http://q", "http://r"])
        self.assertEqual((settings.every, settings.work, settings.proxy), (2.0, "sse", ("http://q", "http://r")))
        self.assertEqual(self.with_file(text).every, 1.0)
        self.assertEqual(self.with_file(text, url="http://b").address.host, "b")

    def test_other_work(self) -> None:
        """So does what is to be done, as a whole."""
        text = "[gunclient]\nurl = http://a\nsse = true\n"
        self.assertEqual(self.with_file(text, get=["/x"]).work, "get")
        self.assertEqual(self.with_file(text, ws=True).work, "ws")

    def test_flags_unset(self) -> None:
        """A flag of the file that is false is as if it were not there."""
        settings = self.with_file("[gunclient]\nurl = http://a\nsse = true\nws = false\ninsecure = no\n")
        self.assertEqual((settings.work, settings.insecure), ("sse", False))

    def test_headers(self) -> None:
        """Fields of both are sent; one of the command line takes the place of those with its name."""
        text = "[gunclient]\nurl = ws://a\n[headers]\nA = 1\nb = 2\n"
        self.assertEqual(self.with_file(text).headers, (("A", "1"), ("b", "2")))
        self.assertEqual(self.with_file(text, header=["a: 3", "c: 4"]).headers, (("b", "2"), ("a", "3"), ("c", "4")))

    def test_headers_in_both_sections(self) -> None:
        """In a file they may stand as an option, too."""
        text = "[gunclient]\nurl = ws://a\nheader = A: 1\n  B: 2\n[headers]\nC = 3\n"
        self.assertEqual(self.with_file(text).headers, (("C", "3"), ("A", "1"), ("B", "2")))

    def test_header_secrets(self) -> None:
        """They may come from the environment, and are never shown."""
        self.patch(os, "environ", {"TOKEN": "hidden"})
        settings = self.with_file("[gunclient]\nurl = ws://a\n[headers]\nauthorization = Bearer {env:TOKEN}\n")
        self.assertEqual(settings.headers, (("authorization", "Bearer hidden"),))
        self.assertNotIn("hidden", repr(settings))

    def test_bad_headers(self) -> None:
        """A field that cannot be sent is refused where it was given, and its value not shown."""
        self.assertNotIn("hidden", self.refused("--header", url="ws://a", header=["a: hid\nden"]))
        self.refused("--header", url="ws://a", header=["a b: 1"])
        text = "[gunclient]\nurl = ws://a\n[headers]\na = 1\nb c = hidden\n"
        error = self.assertRaises(SettingError, self.with_file, text)
        self.assertIn("line 5, [headers] b c", str(error))
        self.assertNotIn("hidden", str(error))

    def test_where(self) -> None:
        """A mistake is told with where it was made."""
        self.refused("--every: expected seconds", url="ws://a", every="x")
        for text, where in (
            ("[gunclient]\nurl = ws://a\nevery = x\n", "line 3, [gunclient] every: expected seconds"),
            ("[gunclient]\nurl = ws://a\nws = perhaps\n", "line 3, [gunclient] ws: expected true or false"),
            ("[gunclient]\nurl = ftp://a\n", "line 2, [gunclient] url"),
            ("[gunclient]\nurl = http://a\nget = /\nsse = 1\n", "line 4, [gunclient] sse"),
            ("[gunclient]\nnone = 1\n", "line 2, [gunclient] none"),
        ):
            self.assertIn(where, str(self.assertRaises(SettingError, self.with_file, text)))

    def test_retries(self) -> None:
        """The first wait is not longer than the longest."""
        self.refused("--retry-first", url="ws://a", retry_first=5, retry_longest=4)
        settings_of(url="ws://a", retry_first=4, retry_longest=4)
        settings_of(url="ws://a", retry_longest=0.1)
        self.refused("--retry-first", url="ws://a", retry_first=61)


class FileTests(SettingsCase):
    """Files that will be written."""

    def test_output(self) -> None:
        """A file that is there, or can be made; a device; not a folder, a pipe, or a file nowhere. It is not made yet."""
        path = self.mktemp()
        self.assertEqual(settings_of(url="ws://a", output=path).output, os.path.abspath(path))
        self.assertFalse(os.path.exists(path))
        with open(path, "w"):
            pass
        settings_of(url="ws://a", output=path)
        settings_of(url="ws://a", output="/dev/null")
        self.refused("--output", url="ws://a", output=f"{path}/x")
        self.refused("--output", url="ws://a", output=".")
        self.refused("--output", url="ws://a", output="")
        self.refused("--output", "folder", url="ws://a", output=f"{path}.none/x")
        self.refused("--output", url="ws://a", output="a\0b")
        os.mkfifo(f"{path}.pipe")
        self.refused("--output", url="ws://a", output=f"{path}.pipe")

    def test_cookies(self) -> None:
        """The same for what else is kept in files, but no device."""
        for name in ("cookies", "last-event-id"):
            option = name.replace("-", "_")
            settings_of(url="http://a", sse=True, **{option: self.mktemp()})
            self.refused(f"--{name}", url="http://a", sse=True, **{option: "/dev/null"})
            self.refused(f"--{name}", url="http://a", sse=True, **{option: ""})
            self.refused(f"--{name}", url="http://a", sse=True, **{option: "-"})

    def test_one_file(self) -> None:
        """No two of them are one file, however it is named."""
        path = self.mktemp()
        names = {"output": path, "cookies": f"./{path}", "last_event_id": os.path.abspath(path)}
        for one, other in permutations(names, 2):
            self.refused("another file than", url="http://a", sse=True, **{one: names[one], other: names[other]})

    def test_elsewhere(self) -> None:
        """A relative path is one from where twistd was started, and not from where it goes by --rundir."""
        for option in ("output", "cookies", "last_event_id", "cacert", "cert"):
            path = self.mktemp()
            self.assertEqual(getattr(settings_of(url="http://a", sse=True, **{option: path}), option), os.path.abspath(path))


class AddressTextTests(SynchronousTestCase):
    """`Address` by itself."""

    def test_repr(self) -> None:
        """Its path, with what may be in the query, is not shown by repr."""
        address = Address(scheme="http", host="a", port=80, path="/x?hidden")
        self.assertNotIn("hidden", repr(address))
