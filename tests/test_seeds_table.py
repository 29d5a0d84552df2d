"""The page of the seeds: each of their points has its row, and each row a test that exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import FunctionType
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "seeds.rst"
#: Where the points are listed; not a part of this project, and so not always there.
LIST = ROOT.parent / "shared" / "spec" / "seeds.md"

ROW = re.compile(r"^   (S\d-\d\d|\d+) \| (.+)$", re.MULTILINE)
LISTED = re.compile(r"^\| (S\d-\d\d|\d+) \|", re.MULTILINE)


def rows(page: str) -> list[list[str]]:
    """The rows of the page's tables, as their cells."""
    return [[name, *(cell.strip() for cell in cells.split(" | "))] for name, cells in ROW.findall(page)]


def find(name: str) -> Any:
    """The test method of this dotted name; raises LookupError where there is none."""
    try:
        module, case, method = name.rsplit(".", 2)
        found = getattr(getattr(importlib.import_module(module), case), method)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(name) from error
    if not isinstance(found, FunctionType) or not method.startswith("test_"):
        raise LookupError(name)
    return found


class SeedsTableTests(SynchronousTestCase):
    """docs/seeds.rst."""

    def setUp(self) -> None:
        self.rows = rows(PAGE.read_text(encoding="utf-8"))

    def test_rows(self) -> None:
        """Each point is there once; each row says what is asked for, what is done, and names a test or more."""
        named = [cells[0] for cells in self.rows]
        self.assertEqual(len(named), len(set(named)))
        self.assertGreater(len(named), 190)
        for cells in self.rows:
            self.assertEqual(len(cells), 4, cells)
            self.assertTrue(all(cells), cells)
            self.assertRegex(cells[3], r"^``tests\.[\w.]+``( ``tests\.[\w.]+``)*$")

    def test_tests_exist(self) -> None:
        """Every test that is named is one."""
        for cells in self.rows:
            for name in re.findall(r"``(.+?)``", cells[3]):
                self.assertTrue(find(name).__doc__, name)

    def test_every_point(self) -> None:
        """Each point of the list has a row, and there is no other."""
        if not LIST.exists():
            raise SkipTest(f"{LIST.name}, the list of what the seeds ask for, is not beside this project: its points were not compared")
        self.assertEqual([cells[0] for cells in self.rows], LISTED.findall(LIST.read_text(encoding="utf-8")))

    def test_find(self) -> None:
        """A test is found by its name; a module, a class, a method or a helper that is not one is not."""
        self.assertIs(find("tests.test_seeds_table.SeedsTableTests.test_find"), SeedsTableTests.test_find)
        for name in (
            *("tests.test_seed.SeedsTableTests.test_find", "tests.test_seeds_table.SeedTests.test_find"),
            *("tests.test_seeds_table.SeedsTableTests.test_lost", "tests.test_seeds_table.SeedsTableTests.setUp", "tests", ""),
        ):
            self.assertRaises(LookupError, find, name)

    def test_reading(self) -> None:
        """Rows are told from what is around them."""
        page = "Text | text\n\n   :header: Id, Test\n\n   S0-01 | a | b | ``tests.x.Y.test_z``\n   12 | c | d | e\n   no | row | at | all\n"
        self.assertEqual(rows(page), [["S0-01", "a", "b", "``tests.x.Y.test_z``"], ["12", "c", "d", "e"]])
