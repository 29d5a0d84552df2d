"""docs/guide/service.rst says what there is: options, events, metrics; and its samples are good."""

from __future__ import annotations

import configparser
import doctest
import re
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import FakeDestination
from twisted_gun.gunclient.arguments import ARGUMENTS, Given
from twisted_gun.gunclient.counts import Counts, metrics
from twisted_gun.gunclient.output import Output
from twisted_gun.gunclient.records import _NAMES
from twisted_gun.gunclient.settings import make_settings

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"


class GuideTests(SynchronousTestCase):
    """The page."""

    def setUp(self) -> None:
        self.page = (GUIDE / "service.rst").read_text(encoding="utf-8")

    def table(self, heading: str) -> dict[str, list[str]]:
        """The rows of the table whose first column has this heading: the names in the first cell, and the other cells."""
        body = self.page.split(f"   * - {heading}\n", 1)[1].split("\n\n", 1)[0]
        rows = re.split(r"^   \* - ", body, flags=re.MULTILINE)[1:]
        cells = [re.split(r"^     -", row, flags=re.MULTILINE) for row in rows]
        return {name: [cell.strip() for cell in rest] for first, *rest in cells for name in re.findall(r"``([^`]+)``", first)}

    def test_doctest(self) -> None:
        """What it shows is so."""
        result = doctest.testfile(str(GUIDE / "service.rst"), module_relative=False, encoding="utf-8")
        self.assertEqual(result.failed, 0)
        self.assertGreater(result.attempted, 10)

    def test_options(self) -> None:
        """It has every option, and no other; defaults are those of the help."""
        rows = self.table("Option")
        self.assertEqual(set(rows), {"--config", *(f"--{name}" for name in ARGUMENTS)})
        for name, argument in ARGUMENTS.items():
            told = re.search(r"\[default: ([\w.]+)\]", argument.help)
            if told is not None:
                self.assertEqual(rows[f"--{name}"][0].strip("`").replace("the system's", ""), told[1], name)

    def test_secrets(self) -> None:
        """It says which options may refer to secrets."""
        text = self.page.split("\nSecrets\n")[1]
        self.assertTrue(text.split("In ", 1)[1].startswith("``url``, ``get``, ``header``, ``send`` and ``proxy``"))
        self.assertEqual([name for name, each in ARGUMENTS.items() if each.secret], ["url", "get", "header", "send", "proxy"])

    def test_events(self) -> None:
        """It has every event."""
        ours = {"start", "request", "sse_end", "dropped", "finished", "stop"}
        self.assertEqual(set(self.table("``event``")), {*_NAMES.values(), *ours})

    def test_metrics(self) -> None:
        """It has every metric."""
        destination = FakeDestination()
        output = Output(None, lambda lost: destination, changed=lambda: None, closed=lambda: None, dropped_line=lambda count: b"")
        text = metrics(Counts("get", lambda: 0.0), output, 0).decode()
        there = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
        self.assertEqual({name.partition("{")[0] for name in self.table("Metric")}, there)

    def test_files(self) -> None:
        """The files of options that it shows can be used."""
        blocks = re.findall(r"^\.\. code-block:: (ini|toml)\n\n((?:    .*\n|\n)+)", self.page, re.MULTILINE)
        self.assertEqual([kind for kind, _ in blocks], ["ini", "toml"])
        token = self.mktemp()
        with open(token, "w", encoding="utf-8") as file:
            file.write("s3cret\n")
        works = []
        for kind, text in blocks:
            path = f"{self.mktemp()}.{kind}"
            text = re.sub(r"\{file:[^}]+\}|\{env:[^}]+\}", f"{{file:{token}}}", textwrap.dedent(text))
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            settings = make_settings({"output": Given("-", "")}, path)
            works.append(settings.work)
            self.assertEqual(settings.headers, (("Authorization", "Bearer s3cret"),))
        self.assertEqual(works, ["ws", "get"])

    def test_unit(self) -> None:
        """The unit of systemd names what there is."""
        unit = configparser.ConfigParser(interpolation=None, strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(GUIDE / "gunclient.service")
        command = unit["Service"]["ExecStart"].split()
        self.assertIn("gunclient", command)
        module, _, name = command[command.index("--logger") + 1].rpartition(".")
        self.assertEqual(module, "twisted_gun.tap")
        self.assertTrue(hasattr(__import__(module, fromlist=[name]), name))
        self.assertIn("HUP", unit["Service"]["ExecReload"])
        self.assertTrue(gun.__version__)
