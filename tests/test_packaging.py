"""What is shipped: the wheel's files and metadata, and the public names."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from email.message import Message
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest
from zipfile import ZipFile

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun

ROOT = Path(__file__).resolve().parent.parent

#: What a build reads.
INPUTS = ("LICENSE", "MANIFEST.in", "README.rst", "pyproject.toml", "setup.cfg", "twisted", "twisted_gun")

BUILD = "import setuptools.build_meta, sys; setuptools.build_meta.build_wheel(sys.argv[1])"

#: The names that api.md fixes and this version has.
PUBLIC = """
    open open_unix open_url Connection Stream
    Options HttpOptions TcpOptions TlsOptions
    Receiver IReceiver
    Up Down Notify Error Inform Response Data Trailers Upgrade
    GunError OptionError InvalidRequest BadState ConnectFailed TlsFailed ProxyFailed UpgradeRefused
    StreamError StreamReset StreamRefused StreamClosed Truncated GoAway
    ConnectionFailed ProtocolViolation LimitReached TimedOut ShuttingDown
    GunClientFactory backoff
""".split()


def require_setuptools() -> None:
    """Skip where setuptools is missing or older than the build asks for; the extra "test" brings it."""
    try:
        major = int(version("setuptools").split(".")[0])
    except PackageNotFoundError:
        raise SkipTest("setuptools is not installed: pip install '.[test]'") from None
    if major < 77:
        raise SkipTest(f"setuptools {major} is older than the build asks for: pip install '.[test]'")


def build_wheel(scratch: Path) -> Path:
    """Build the wheel from a copy of the project in `scratch`, without a network, and give its path."""
    copy = scratch / "project"
    copy.mkdir(parents=True)
    for name in INPUTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        else:
            shutil.copy(source, copy / name)
    done = subprocess.run([sys.executable, "-c", BUILD, str(scratch)], cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"the wheel was not built:\n{done.stdout}\n{done.stderr}")
    (wheel,) = scratch.glob("*.whl")
    return wheel


class WheelTests(SynchronousTestCase):
    """The wheel, built once for all of these."""

    wheel: ClassVar[Path | None] = None

    def setUp(self) -> None:
        require_setuptools()
        if WheelTests.wheel is None:
            WheelTests.wheel = build_wheel(Path(self.mktemp()).absolute())
        with ZipFile(WheelTests.wheel) as archive:
            self.names = archive.namelist()
            self.texts = {name: archive.read(name).decode() for name in self.names if ".dist-info/" in name}

    def dist_info(self, name: str) -> str:
        """The text of the file `name` in the wheel's metadata directory."""
        (text,) = (text for path, text in self.texts.items() if path.endswith(f".dist-info/{name}"))
        return text

    def metadata(self) -> Message:
        """The parsed METADATA."""
        return Parser().parsestr(self.dist_info("METADATA"))

    def test_every_module(self) -> None:
        """Every module of the package is in the wheel: no directory is missing from setup.cfg's list."""
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / "twisted_gun").rglob("*.py")}
        self.assertTrue(modules)
        self.assertEqual(modules - set(self.names), set())

    def test_typed(self) -> None:
        """The marker of PEP 561 is shipped, so that type checkers use our annotations."""
        self.assertIn("twisted_gun/py.typed", self.names)

    def test_nothing_else(self) -> None:
        """Tests, docs and examples stay out of site-packages."""
        tops = {name.split("/")[0] for name in self.names if ".dist-info/" not in name}
        self.assertEqual(tops - {"twisted"}, {"twisted_gun"})

    def test_twisted_stays_whole(self) -> None:
        """Below ``twisted/`` nothing is shipped but plugins, and never an ``__init__.py``, which would hide Twisted or them."""
        ours = [name for name in self.names if name.startswith("twisted/")]
        plugins = [f"twisted/plugins/{path.name}" for path in (ROOT / "twisted" / "plugins").glob("*.py")]
        self.assertEqual(sorted(ours), sorted(plugins))
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_plugins_are_listed(self) -> None:
        """setup.cfg lists ``twisted.plugins``, which ``find:`` would leave out."""
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        self.assertIn("twisted.plugins", setup["options"]["packages"].split())

    def test_metadata(self) -> None:
        """Name, licence and the lowest Python are as promised."""
        metadata = self.metadata()
        self.assertEqual(metadata["Name"], "twisted_gun")
        self.assertEqual(metadata["License-Expression"], "ISC")
        self.assertEqual(metadata["Version"], gun.__version__)
        self.assertEqual(metadata["Requires-Python"], ">=3.11")
        self.assertIn("Framework :: Twisted", metadata.get_all("Classifier", []))

    def test_floors(self) -> None:
        """Each run-time requirement names the lowest version that is safe and tested."""
        required = [line for line in self.metadata().get_all("Requires-Dist", []) if "extra ==" not in line]
        self.assertIn("Twisted[tls]>=25.5", required)
        self.assertEqual([line for line in required if ">=" not in line], [])

    def test_command(self) -> None:
        """``twisted-gun`` is installed as a command."""
        points = configparser.ConfigParser()
        points.read_string(self.dist_info("entry_points.txt"))
        self.assertEqual(points["console_scripts"]["twisted-gun"], "twisted_gun.__main__:main")

    def test_licence(self) -> None:
        """The licence's text travels with the wheel."""
        self.assertIn("Permission to use, copy, modify", self.dist_info("licenses/LICENSE"))


class PublicNamesTests(SynchronousTestCase):
    """``import twisted_gun as gun`` and what it offers."""

    def test_public(self) -> None:
        """Every name that the API fixes is there, and is listed."""
        self.assertEqual([name for name in PUBLIC if not hasattr(gun, name)], [])
        self.assertEqual(sorted(set(PUBLIC) - set(gun.__all__)), [])

    def test_listed_names_exist(self) -> None:
        """``__all__`` promises nothing that is not there, and nothing twice."""
        self.assertEqual([name for name in gun.__all__ if not hasattr(gun, name)], [])
        self.assertEqual(len(gun.__all__), len(set(gun.__all__)))

    def test_reactor_is_not_installed(self) -> None:
        """Importing the package installs no reactor, so that the application may still choose one."""
        code = "import sys, twisted_gun; sys.exit('twisted.internet.reactor' in sys.modules)"
        path = "import sys; sys.path[:0] = " + repr([entry for entry in sys.path if entry]) + "; "
        done = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
