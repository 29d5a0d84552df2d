"""Cookies that outlive the process."""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.gunclient.stage import logged_by
from twisted_gun.gunclient.cookie_file import CookieFile

URI = gun.CookieUri(scheme="http", host="a.example", path="/")


class CookieFileTests(SynchronousTestCase):
    """`CookieFile`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()

    def file(self) -> CookieFile:
        """Cookies of that file, which run."""
        file = CookieFile(self.path, 60.0, self.clock)
        file.startService()
        self.addCleanup(self.stop, file)
        return file

    def stop(self, file: CookieFile) -> None:
        """Stop it, if it runs."""
        if file.running:
            file.stopService()

    def saved(self) -> list[bytes]:
        """The names of those in the file."""
        store = gun.CookieStore()
        store.load(self.path)
        return [cookie.name for cookie in store]

    def test_life(self) -> None:
        """A file need not be there; what there is at the end is saved, those of the session too, and is there at the next start."""
        file = self.file()
        self.assertTrue(file.running)
        self.assertFalse(os.path.exists(self.path))
        file.store.set_cookie(URI, b"a=1; max-age=1000")
        file.store.set_cookie(URI, b"b=2")
        file.stopService()
        self.assertFalse(file.running)
        self.assertEqual(self.saved(), [b"a", b"b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([cookie.value for cookie in self.file().store], [b"1", b"2"])

    def test_now_and_then(self) -> None:
        """What has changed is saved now and then, and where nothing has, nothing is written."""
        file = self.file()
        file.store.set_cookie(URI, b"a=1")
        self.clock.advance(59.0)
        self.assertFalse(os.path.exists(self.path))
        self.clock.advance(1.0)
        self.assertEqual(self.saved(), [b"a"])
        before = os.stat(self.path).st_ino
        self.clock.pump([60.0] * 3)
        self.assertEqual(os.stat(self.path).st_ino, before)
        file.store.clear()
        self.clock.advance(60.0)
        self.assertEqual(self.saved(), [])

    def test_cannot_be_saved(self) -> None:
        """Where it cannot be saved that is logged, once, and tried again."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.path = os.path.join(folder, "cookies")
        file = self.file()
        file.store.set_cookie(URI, b"a=1")
        os.rename(folder, f"{folder}.gone")
        logged = logged_by(self)
        self.clock.pump([60.0] * 3)
        self.assertEqual(sum("cannot be saved" in line for line in logged), 1)
        os.rename(f"{folder}.gone", folder)
        self.clock.advance(60.0)
        self.assertEqual(self.saved(), [b"a"])

    def test_broken(self) -> None:
        """A file that is no good raises, and stays as it is."""
        with open(self.path, "wb") as file:
            file.write(b"my diary")
        self.assertRaises(gun.CookieFileError, CookieFile, self.path, 60.0, self.clock)
        self.path = "."
        self.assertRaises(OSError, CookieFile, self.path, 60.0, self.clock)
