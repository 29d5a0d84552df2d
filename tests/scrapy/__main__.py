"""
Scrapy's own tests over our download handler: ``python tests/scrapy``, which ``tox -e scrapy`` calls.

They are in the sdist of the Scrapy that is installed, which pip downloads, unless SCRAPY_SDIST is its path. The installed Scrapy is tested,
so nothing but the tests is taken from there. First come those of handlers (``test_conformance.py``), then those of crawls and of the
engine, with our handler as the default; each on Twisted's asyncio reactor and on the default one. MITMDUMP is the path of mitmproxy's
program mitmdump, without which the tests of proxies are skipped. Arguments are pytest's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Scrapy's tests that crawl, or run the engine, whatever the handler is.
CRAWLS = (
    "test_closespider",
    "test_core_downloader",
    "test_crawl",
    "test_downloaderslotssettings",
    "test_engine",
    "test_engine_close_spider",
    "test_engine_download",
    "test_engine_loop",
    "test_engine_stop_download_bytes",
    "test_engine_stop_download_headers",
    "test_pipeline_crawl",
    "test_request_attribute_binding",
    "test_request_left",
    "test_spider_crawl",
)
REACTORS = ("asyncio", "default")


def main() -> int:
    """Run all, and say which went wrong; the exit status is 1 if any did."""
    with tempfile.TemporaryDirectory(prefix="scrapy-tests-") as scratch:
        folder = _unpacked(Path(scratch))
        crawls = [str(path) for name in CRAWLS if (path := folder / "tests" / f"{name}.py").exists()]
        failed = []
        for reactor in REACTORS:
            for name, arguments in (("handlers", [str(HERE / "test_conformance.py")]), ("crawls", ["-p", "override", *crawls])):
                _say(f"{name}, {reactor} reactor")
                if _pytest(folder, [*arguments, f"--reactor={reactor}", *sys.argv[1:]]):
                    failed.append(f"{name} ({reactor} reactor)")
    _say(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def _unpacked(scratch: Path) -> Path:
    """A folder with Scrapy's tests, and without Scrapy."""
    given = os.environ.get("SCRAPY_SDIST")
    archive = Path(given) if given else _downloaded(scratch)
    with tarfile.open(archive) as file:
        file.extractall(scratch / "sdist", filter="data")
    (source,) = (scratch / "sdist").iterdir()
    folder = scratch / "suite"
    shutil.copytree(source / "tests", folder / "tests")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(source / name, folder)
    return folder


def _downloaded(scratch: Path) -> Path:
    wanted = f"scrapy=={version('scrapy')}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "scrapy", "-d", str(scratch), wanted]
    subprocess.run(command, check=True)
    return next(scratch.glob("*.tar.gz"))


def _pytest(folder: Path, arguments: list[str]) -> int:
    """Its exit status. Nothing is read from a terminal, and the plugin for Twisted comes first: Scrapy's conftest looks for it."""
    plugins = ["-p", "twisted", "-p", "conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "--rootdir=.", *plugins, "-q", "--timeout=60"]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": ""}
    ended = subprocess.run(
        [*command, "-m", "not requires_internet", *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
