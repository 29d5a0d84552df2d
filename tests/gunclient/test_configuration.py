"""The file of options: INI and TOML mean the same, and what is wrong is told with its line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.gunclient.configuration import Configuration, ConfigurationError, read_configuration

INI = """\
# A comment.
[gunclient]
url = https://a.example/feed?x=1#y
sse = yes
every = 2.5
rotate_size = 10M
proxy =
    http://first
    socks5://second

; another
[headers]
Authorization = Bearer abc=:#;def
X-Two = a%b
"""

TOML = """\
# A comment.
[gunclient]
url = "https://a.example/feed?x=1#y"
sse = true
every = 2.5
rotate-size = "10M"
proxy = ["http://first", "socks5://second"]

[headers]
Authorization = "Bearer abc=:#;def"
X-Two = "a%b"
"""


class ConfigurationCase(SynchronousTestCase):
    """A test that reads files."""

    def read(self, text: str | bytes, suffix: str = ".ini") -> Configuration:
        """What a file of `text` holds."""
        self.path = self.mktemp() + suffix
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return read_configuration(self.path)

    def refused(self, text: str | bytes, *parts: str, suffix: str = ".ini") -> str:
        """Why a file of `text` cannot be used; that names the file, and has all `parts`."""
        error = self.assertRaises(ConfigurationError, self.read, text, suffix)
        message = str(error)
        for part in (self.path, *parts):
            self.assertIn(part, message)
        return message


class ReadTests(ConfigurationCase):
    """What is right."""

    def test_both(self) -> None:
        """The same options, by both kinds of file."""
        for text, suffix in ((INI, ".ini"), (INI, ".conf"), (TOML, ".toml")):
            read = self.read(text, suffix)
            values = {name: given.value for name, given in read.options.items()}
            self.assertEqual(
                values,
                {
                    "url": "https://a.example/feed?x=1#y",
                    "sse": True,
                    "every": "2.5",
                    "rotate-size": "10M",
                    "proxy": ["http://first", "socks5://second"],
                },
            )
            fields = [(name, given.value) for name, given in read.headers]
            self.assertEqual(fields, [("Authorization", ["Authorization: Bearer abc=:#;def"]), ("X-Two", ["X-Two: a%b"])])

    def test_where(self) -> None:
        """Each knows where it stands, for messages."""
        read = self.read(INI)
        self.assertEqual(read.options["every"].where, f"{self.path}, line 5, [gunclient] every")
        self.assertEqual(read.options["rotate-size"].where, f"{self.path}, line 6, [gunclient] rotate_size")
        self.assertEqual(read.headers[1][1].where, f"{self.path}, line 14, [headers] X-Two")
        read = self.read(TOML, ".toml")
        self.assertEqual(read.options["every"].where, f"{self.path}, line 5, [gunclient] every")

    def test_flags(self) -> None:
        """A flag is true or false, in words too; anything else is left for whoever checks it."""
        for text, value in (("yes", True), ("TRUE", True), ("1", True), ("off", False), ("no", False), ("maybe", ""), ("", "")):
            self.assertEqual(self.read(f"[gunclient]\nws = {text}\n").options["ws"].value, value, text)
        self.assertEqual(self.read("[gunclient]\nws = false\n", ".toml").options["ws"].value, False)
        self.assertEqual(self.read("[gunclient]\nws = 1\n", ".toml").options["ws"].value, "")

    def test_several_headers(self) -> None:
        """In TOML a field may be there several times."""
        read = self.read('[headers]\na = ["1", "2"]\nb = 3\n', ".toml")
        self.assertEqual([given.value for _, given in read.headers], [["a: 1"], ["a: 2"], ["b: 3"]])

    def test_empty(self) -> None:
        """A file without anything is one, and so is one with a mark of UTF-8 before it, or lines of Windows."""
        for suffix in (".ini", ".toml"):
            self.assertEqual(self.read("", suffix), Configuration(options={}, headers=()))
            read = self.read("\ufeff[gunclient]\r\nevery = 2\r\n", suffix)
            self.assertEqual(read.options["every"].value, "2")


class RefusedTests(ConfigurationCase):
    """What is wrong, and where; no message shows a value."""

    def test_unknown_option(self) -> None:
        """An option that there is not."""
        for suffix in (".ini", ".toml"):
            self.refused("[gunclient]\nevery = 1\nevry = 2\n", "line 3, [gunclient] evry", "every", suffix=suffix)

    def test_unknown_section(self) -> None:
        """A section that there is not."""
        self.refused("[gunclient]\nevery = 1\n\n[header]\na = b\n", "line 4", "[header]", "[headers]")
        self.refused("[header]\na = 1\n", "line 1", "[headers]", suffix=".toml")
        self.refused("[DEFAULT]\nevery = 1\n", "line 1", "[DEFAULT]")

    def test_without_section(self) -> None:
        """An option outside of any section."""
        self.refused("\nevery = 1\n", "line 2")
        self.refused("\nevery = 1\n", "line 2", "every", suffix=".toml")

    def test_twice(self) -> None:
        """An option given twice, by another spelling too, and a section."""
        self.refused("[gunclient]\nevery = 1\nevery = 2\n", "line 3", "[gunclient] every", "twice")
        self.refused("[gunclient]\nrotate-keep = 1\nrotate_keep = 2\n", "line 3", "twice")
        self.refused("[headers]\n[gunclient]\n[headers]\n", "line 3", "[headers]", "twice")
        self.refused("[gunclient]\nevery = 1\nevery = 2\n", "line 3", suffix=".toml")

    def test_no_such_file(self) -> None:
        """A file that is not there, is none, or cannot be text."""
        self.assertRaises(ConfigurationError, read_configuration, self.mktemp())
        self.assertRaises(ConfigurationError, read_configuration, ".")
        self.refused(b"[gunclient]\nurl = \xff\n", "UTF-8")
        self.refused("#" * (2**20 + 1), "bytes")
        self.read("#" * 2**20)

    def test_syntax(self) -> None:
        """What is no INI, and no TOML."""
        self.refused("[gunclient]\nhidden\n", "line 2")
        self.refused("[gunclient\nurl = x\n", "line 1")
        self.refused("[gunclient]\nurl = [\n", "(at ", suffix=".toml")

    def test_types(self) -> None:
        """What no option can be in TOML."""
        for value in ("{a = 1}", "2026-01-01", "true", "[[1]]"):
            self.refused(f"[gunclient]\nevery = {value}\n" if value != "[[1]]" else "[gunclient]\nget = [[1]]\n", "line 2", suffix=".toml")
        self.refused("[headers]\na = true\n", "line 2, [headers] a", suffix=".toml")
        self.refused("gunclient = 1\n", "line 1", suffix=".toml")

    def test_no_secrets(self) -> None:
        """Nothing that stands in the file behind a name is shown."""
        for text in ("[gunclient]\nname s3cr3t\n", "s3cr3t = name\n", "[headers]\nauthorization s3cr3t\n", "[x\ns3cr3t = 1"):
            self.assertNotIn("s3cr3t", self.refused(text))
        for text in ('[headers]\na = "s3cr3t\n', "[headers]\na = s3cr3t\n", "[headers]\na = 'x' s3cr3t\n"):
            self.assertNotIn("s3cr3t", self.refused(text, suffix=".toml"))
