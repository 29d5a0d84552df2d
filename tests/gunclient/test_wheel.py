"""The plugin, as it is installed: from a wheel, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import twisted
from twisted.trial.unittest import SynchronousTestCase

from tests.test_packaging import build_wheel, require_setuptools

TWISTD = "from twisted.scripts.twistd import run; run()"


class WheelTests(SynchronousTestCase):
    """A fresh environment, which has what the wheel holds, and what it requires from the one that the tests run in."""

    def setUp(self) -> None:
        require_setuptools()
        root = Path(self.mktemp()).absolute()
        wheel = build_wheel(root)
        venv.create(root / "env", with_pip=False, symlinks=True)
        paths = sysconfig.get_paths(vars={"base": str(root / "env"), "platbase": str(root / "env")})
        self.site = Path(paths["purelib"])
        with ZipFile(wheel) as archive:
            archive.extractall(self.site)
        # Behind its own: what is required is found there, and not the project itself once more.
        required = {str(Path(twisted.__file__).resolve().parents[1]), *sysconfig.get_paths()["purelib"].split(os.pathsep)}
        (self.site / "required.pth").write_text("\n".join(sorted(required)))
        self.python = root / "env" / "bin" / "python"
        self.addCleanup(shutil.rmtree, root / "env")

    def run_twistd(self, *arguments: str, code: str = TWISTD) -> subprocess.CompletedProcess[str]:
        """Run twistd there, in a folder that has nothing of the project."""
        environment = {"PATH": os.environ.get("PATH", "")}
        command = [str(self.python), "-P", "-c", code, *arguments]
        return subprocess.run(command, cwd=self.site.parent, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def test_listed_and_runs(self) -> None:
        """``twistd --help`` lists it, its own help comes from the wheel, and it runs until its work is done."""
        where = self.run_twistd(code="import twisted_gun; print(twisted_gun.__file__)")
        self.assertEqual(Path(where.stdout.strip()).parent.parent, self.site, where.stderr)
        listed = self.run_twistd("--help")
        self.assertIn("\n    gunclient ", listed.stdout, listed.stderr)
        told = self.run_twistd("gunclient", "--help")
        self.assertIn("--health=", told.stdout, told.stderr)
        output = self.site.parent / "output"
        ran = self.run_twistd("-n", "--pidfile=", "gunclient", f"--output={output}", "--retry=1", "--get=/", "unix:/nowhere/socket")
        self.assertEqual(ran.returncode, 1, ran.stdout + ran.stderr)
        self.assertEqual(output.read_text().count('"event":"finished"'), 1)
