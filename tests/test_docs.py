"""The docs keep their word: samples run, options, floors and public names are those of the code, the README has its two commands."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import textwrap
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun
from tests.test_architecture import FLOORS
from twisted_gun import layer, route
from twisted_gun.options import (
    DeflateOptions,
    Destination,
    Http2Options,
    HttpOptions,
    Options,
    RawOptions,
    SocksOptions,
    TcpOptions,
    TlsOptions,
    WsOptions,
)
from twisted_gun.wire.reference.http2 import Http2 as Http2Reference
from twisted_gun.wire.reference.websocket import Websocket as WebsocketReference

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.rst", *sorted(DOCS.rglob("*.rst"))]

PYTHON_BLOCK = re.compile(r"^( *)\.\. code-block:: python\n\n((?:\1 +.*\n|\n)+)", re.MULTILINE)
ROW = re.compile(r"^   \* - ``(\w+)``\n     - ``(.+)``$", re.MULTILINE)
FLOOR = re.compile(r"^   \* - (\d+)\n     - (.+\n(?:       .+\n)*)", re.MULTILINE)


def default_of(option: Field[Any]) -> object:
    """The value an option has when it is not given."""
    return option.default_factory() if option.default_factory is not MISSING else option.default


def documented_options(page: str) -> dict[str, dict[str, str]]:
    """For each options class of the page, the defaults of its table as they are written."""
    sections = re.split(r"^``gun\.(\w+)``", page, flags=re.MULTILINE)
    return {name: dict(ROW.findall(text)) for name, text in zip(sections[1::2], sections[2::2], strict=True)}


class DocsTests(SynchronousTestCase):
    """README.rst and docs/."""

    def test_doctests(self) -> None:
        """What the pages show at a prompt is what Python answers."""
        attempted = 0
        for page in PAGES:
            result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
            self.assertEqual(result.failed, 0, page.name)
            attempted += result.attempted
        self.assertGreater(attempted, 5)

    def test_both_cores(self) -> None:
        """The pages of HTTP/2 and of websockets say nothing that is not so with the reference cores."""
        for page, module, name, core, least in (
            ("http2.rst", route, "http2_core", Http2Reference, 4),
            ("websocket.rst", route, "http2_core", Http2Reference, 1),
            ("websocket.rst", layer, "websocket_core", WebsocketReference, 8),
        ):
            made: list[object] = []

            def make(*arguments: Any, core: Any = core, made: list[object] = made) -> Any:
                made.append(core(*arguments))
                return made[-1]

            patch = self.patch(module, name, make)
            result = doctest.testfile(str(DOCS / "guide" / page), module_relative=False, encoding="utf-8")
            patch.restore()
            self.assertEqual(result.failed, 0, (page, core))
            self.assertGreaterEqual(len(made), least, (page, core))

    def test_samples_compile(self) -> None:
        """Every other sample of Python is Python."""
        samples = [(page, match[2]) for page in PAGES for match in PYTHON_BLOCK.finditer(page.read_text(encoding="utf-8"))]
        self.assertGreater(len(samples), 1)
        for page, sample in samples:
            compile(textwrap.dedent(sample), str(page), "exec")

    def test_every_option(self) -> None:
        """The page of options has each option of each class, and its default; and none that is not there."""
        tables = documented_options((DOCS / "guide" / "options.rst").read_text(encoding="utf-8"))
        documented = (
            *(Options, HttpOptions, Http2Options, WsOptions, DeflateOptions, TcpOptions, TlsOptions),
            *(Destination, SocksOptions, RawOptions),
        )
        namespace = {kind.__name__: kind for kind in documented}
        self.assertEqual(set(tables), set(namespace))
        for name, kind in namespace.items():
            shown = {option: eval(text, dict(namespace)) for option, text in tables[name].items()}
            self.assertEqual(shown, {option.name: default_of(option) for option in fields(kind)})

    def test_every_limit(self) -> None:
        """The page of limits names each option that bounds something."""
        page = (DOCS / "guide" / "limits.rst").read_text(encoding="utf-8")
        for kind in (Options, HttpOptions, Http2Options, WsOptions, TcpOptions, Destination, SocksOptions):
            for option in fields(kind):
                if re.match(r"max_|.*_timeout$", option.name) and option.name != "retry_timeout":
                    self.assertIn(f"{getattr(kind, 'prefix', '')}{option.name}``", page)

    def test_floors(self) -> None:
        """The page of the architecture draws the floors that are tested."""
        page = (DOCS / "architecture.rst").read_text(encoding="utf-8")
        drawn = [(int(floor), set(re.findall(r"``([\w.]+)``", modules))) for floor, modules in FLOOR.findall(page)]
        self.assertEqual(drawn, [(floor, {name or "twisted_gun" for name in names}) for floor, names in enumerate(FLOORS)])

    def test_public_names(self) -> None:
        """Each public name is defined in a module that the reference shows."""
        pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.rst"))
        shown = set(re.findall(r"automodule:: (twisted_gun\.[\w.]+)$", pages, re.MULTILINE))
        shown |= {match.replace("/", ".") for match in re.findall(r"literalinclude:: \S*/(twisted_gun/\w+)\.py$", pages, re.MULTILINE)}
        self.assertIn("twisted_gun.connection", shown)
        for name in twisted_gun.__all__:
            defined = {module for module in shown if name in getattr(importlib.import_module(module), "__all__", ())}
            self.assertTrue(defined, name)

    def test_examples_are_shown(self) -> None:
        """Each example stands in the docs."""
        pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
        for example in (ROOT / "examples").glob("*.py"):
            self.assertIn(f"examples/{example.name}\n", pages)

    def test_two_commands(self) -> None:
        """README.rst has two command lines, which .ci/run runs: the demo, and the tests."""
        commands = re.findall(r"^ *\$ (.+)$", (ROOT / "README.rst").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertEqual(len(commands), 2)
        self.assertIn("-m twisted_gun demo", commands[0])
        self.assertIn("-m twisted.trial", commands[1])

    def test_checks_find(self) -> None:
        """The tables are read: a wrong default and a missing option would be seen."""
        page = inspect.cleandoc(
            """
            ``gun.TcpOptions``, given as ``tcp_opts``.

               * - ``nodelay``
                 - ``False``
                 - Nothing.
            """
        )
        self.assertEqual(documented_options(page), {"TcpOptions": {"nodelay": "False"}})
