"""Cookies saved and loaded: nothing is lost, nothing of a broken file is taken, and nobody else can read it."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import NOW, World
from twisted_gun.cookies import files
from twisted_gun.errors import CookieFileError, GunError

SITE = "https://www.site.example/dir/"

#: What a file must not be, made of one that is good.
BROKEN: dict[str, Any] = {
    "format": [None, "", "other", 1],
    "version": [None, 0, 2, "1", []],
    "cookies": [None, {}, "", [1], [[]], [{}]],
}
BROKEN_COOKIE: dict[str, Any] = {
    "name": [None, 1, "a=b", "a;b", "a\nb", "\u0100", "a" * 4097],
    "value": [None, 1, "a;b", "a\r\nb", "\ud800", "a" * 4097],
    "domain": [None, 1, ""],
    "path": [None, 1, "", "x", "/\u0100"],
    "creation_time": [None, "1", True, float("nan"), float("inf"), 10**400],
    "last_access_time": [None, "1", True, float("nan")],
    "expiry_time": ["", True, float("nan"), float("-inf")],
    "host_only": [None, 0, "true"],
    "secure_only": [None, 1],
    "http_only": [None, 1],
    "same_site": [None, "Lax", "", [], {}],
}


class FileCase(SynchronousTestCase):
    """A store, another one, and the path of a file."""

    def setUp(self) -> None:
        self.world, self.other = World(), World()
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "cookies.json")

    def write(self, data: bytes | str | dict[str, Any]) -> None:
        """Put `data` into the file."""
        text = json.dumps(data) if isinstance(data, dict) else data
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def saved(self) -> dict[str, Any]:
        """What is in the file."""
        with open(self.path, encoding="utf-8") as file:
            document: dict[str, Any] = json.load(file)
            return document

    def refuse(self, data: bytes | str | dict[str, Any]) -> str:
        """The file with `data` is refused, and changes nothing; the message, which names the file."""
        self.write(data)
        before = list(self.other.store)
        error = self.assertRaises(CookieFileError, self.other.store.load, self.path)
        self.assertIsInstance(error, GunError)
        self.assertIsInstance(error, ValueError)
        self.assertIsNone(error.__cause__)
        self.assertTrue(str(error).startswith(f"{self.path}: "), str(error))
        self.assertEqual(list(self.other.store), before)
        return str(error)


class SaveTests(FileCase):
    """From a store to a file, and back."""

    def test_round_trip(self) -> None:
        """Every field of every cookie: values of any octets, host-only and not, times, order."""
        self.world.set(SITE, "a=b; Max-Age=10; Secure; HttpOnly; SameSite=Lax", "c=d; Max-Age=10; Domain=site.example; Path=/x\xff")
        self.world.set(SITE, bytes(octet for octet in range(0x20, 0x100) if octet not in b";\x7f") + b"\t.; Max-Age=10", "=e; Max-Age=10")
        self.world.now += 5
        self.world.sent("https://www.site.example/x\xff")
        self.world.store.save(self.path)
        self.other.now = self.world.now
        self.assertEqual(self.other.store.load(self.path), 4)
        self.assertEqual(list(self.other.store), list(self.world.store))
        self.assertEqual([one.value for one in self.other.store], [one.value for one in self.world.store])
        self.assertEqual(self.other.sent(SITE), self.world.sent(SITE))

    def test_host_only(self) -> None:
        """A cookie without a Domain goes to no other host after it was loaded either."""
        self.world.set("http://site.example/", "a=b; Max-Age=10", "c=d; Max-Age=10; Domain=site.example")
        self.world.store.save(self.path)
        self.other.store.load(self.path)
        self.assertEqual(self.other.sent("http://www.site.example/"), "c=d")
        self.assertEqual(self.other.sent("http://site.example/"), "a=b; c=d")

    def test_secure(self) -> None:
        """A Secure cookie does not go over plain TCP after it was loaded either, nor is it overwritten from there."""
        self.world.set(SITE, "a=b; Max-Age=10; Secure")
        self.world.store.save(self.path)
        self.other.store.load(self.path)
        self.assertEqual(self.other.sent(SITE.replace("https", "http")), "")
        self.assertFalse(self.other.set(SITE.replace("https", "http"), "a=evil"))
        self.assertEqual(self.other.sent(SITE), "a=b")

    def test_session(self) -> None:
        """Cookies of the session are saved where that is asked for, and expired ones never."""
        self.world.set(SITE, "a=b", "c=d; Max-Age=10", "e=f; Max-Age=1")
        self.world.now += 2
        self.world.store.save(self.path)
        self.assertEqual([one["name"] for one in self.saved()["cookies"]], ["c"])
        self.world.store.save(self.path, session=True)
        self.assertEqual([one["name"] for one in self.saved()["cookies"]], ["a", "c"])
        self.other.store.load(self.path)
        self.assertEqual([one.persistent for one in self.other.store], [False, True])

    def test_format(self) -> None:
        """The file says what it is, and which version of it."""
        self.world.store.save(self.path)
        self.assertEqual(self.saved(), {"format": "twisted_gun cookies", "version": 1, "cookies": []})
        self.assertEqual(self.other.store.load(self.path), 0)

    def test_mode(self) -> None:
        """Only its owner may read it: from the start, whatever the mask, and whatever was there before."""
        modes: list[int] = []

        def replace(old: str, new: str) -> None:
            modes.append(os.stat(old).st_mode)
            # in the same folder, and so on the same file system: else it could not take the other's place at once
            self.assertTrue(os.path.samefile(os.path.dirname(old), os.path.dirname(new)))
            os.rename(old, new)

        self.patch(os, "replace", replace)
        before = os.umask(0)
        try:
            self.world.store.save(self.path)
            os.chmod(self.path, 0o666)
            self.world.store.save(self.path)
        finally:
            os.umask(before)
        self.assertEqual([stat.S_IMODE(mode) for mode in (*modes, os.stat(self.path).st_mode)], [0o600] * 3)

    def test_atomic(self) -> None:
        """Where writing fails the old file is there as it was, and no other is left."""
        self.write("old")
        for name in ("fsync", "replace"):
            patch = self.patch(os, name, self.fail_to_write)
            self.assertRaises(OSError, self.world.store.save, self.path)
            patch.restore()
            self.assertEqual(os.listdir(self.folder), ["cookies.json"])
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), b"old")
        self.world.store.save(self.path)
        self.assertEqual(os.listdir(self.folder), ["cookies.json"])

    def fail_to_write(self, *arguments: object) -> None:
        """As a disk that is full."""
        raise OSError("no space left")

    def test_synced(self) -> None:
        """The content is on the disk before the name is; then the name is."""
        done: list[str] = []
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes")
            sync(descriptor)

        def replace(old: str, new: str) -> None:
            done.append("name")
            os.rename(old, new)

        self.patch(os, "fsync", fsync)
        self.patch(os, "replace", replace)
        self.world.store.save(self.path)
        self.assertEqual(done, [f"{os.stat(self.path).st_size} bytes", "name", "folder"])

    def test_link(self) -> None:
        """A link is replaced, and what it led to is not touched."""
        target = os.path.join(self.folder, "target")
        with open(target, "w", encoding="utf-8") as file:
            file.write("mine")
        os.symlink("target", self.path)
        self.world.store.save(self.path)
        self.assertFalse(os.path.islink(self.path))
        with open(target, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_current_folder(self) -> None:
        """A name without a folder is one of the current one."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.world.store.save("cookies.json")
        self.assertEqual(os.listdir("."), ["cookies.json"])

    def test_no_file(self) -> None:
        """What the system says of a file is an OSError: one that is missing, a folder, a folder that is missing."""
        self.assertRaises(FileNotFoundError, self.other.store.load, self.path)
        self.assertRaises(FileNotFoundError, self.other.store.load_netscape, self.path)
        self.assertRaises(IsADirectoryError, self.other.store.load, self.folder)
        self.assertRaises(OSError, self.world.store.save, self.folder)
        self.assertRaises(FileNotFoundError, self.world.store.save, os.path.join(self.folder, "none", "cookies.json"))
        self.assertEqual(os.listdir(self.folder), [])


class LoadTests(FileCase):
    """From a file to a store that has cookies already."""

    def setUp(self) -> None:
        super().setUp()
        self.world.set(SITE, "a=b; Max-Age=10", "c=d; Max-Age=10")
        self.world.store.save(self.path)

    def test_merged(self) -> None:
        """What is in the file takes the place of the same cookie here; others stay, and come first."""
        self.other.set(SITE, "z=1", "a=old")
        self.assertEqual(self.other.store.load(self.path), 2)
        self.assertEqual(self.other.sent(SITE), "z=1; a=b; c=d")
        self.assertEqual(self.other.store.load(self.path), 2)
        self.assertEqual(len(self.other.store), 3)

    def test_limits(self) -> None:
        """The store's limits hold, and what was used the longest time ago goes first, wherever it comes from."""
        self.other = World(max_cookies=3)
        self.other.now = NOW + 1
        self.other.set(SITE, "y=1", "z=1")
        self.assertEqual(self.other.store.load(self.path), 1)
        self.assertEqual(self.other.sent(SITE), "c=d; y=1; z=1")
        self.other = World(max_per_domain=1)
        self.assertEqual(self.other.store.load(self.path), 1)

    def test_expired(self) -> None:
        """What has expired meanwhile is not taken."""
        self.other.now = NOW + 10
        self.assertEqual(self.other.store.load(self.path), 0)
        self.assertEqual(list(self.other.store), [])

    def test_expires_later(self) -> None:
        """What was loaded expires as any other."""
        self.other.store.load(self.path)
        self.other.now = NOW + 10
        self.assertEqual(self.other.sent(SITE), "")

    def test_refused_cookies(self) -> None:
        """What no server could have set is left out: prefixes that are not kept, hosts that are none. Times are bounded."""
        document = self.saved()
        first, second = document["cookies"]
        document["cookies"] = [{**first, "name": "__Host-a"}, {**first, "domain": "a..b"}, {**second, "expiry_time": NOW + 10**9}]
        self.write(document)
        self.assertEqual(self.other.store.load(self.path), 1)
        self.assertEqual([one.expiry_time for one in self.other.store], [NOW + 400 * 86400])

    def test_broken_document(self) -> None:
        """A file that is not what `save` writes."""
        good = self.saved()
        self.other.set(SITE, "kept=1")
        for name, values in BROKEN.items():
            for value in values:
                self.refuse({**good, name: value})
            self.refuse({key: value for key, value in good.items() if key != name})
        for data in (b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b"\0" * 100, b"[" * 100_000, b'{"version":' + b"1" * 5000 + b"}"):
            self.refuse(data)

    def test_broken_cookie(self) -> None:
        """A cookie that is not whole, or not one; the good ones before it are not taken, and nothing of it is shown."""
        good = self.saved()
        first, second = good["cookies"]
        self.assertEqual(set(first), set(BROKEN_COOKIE))
        for name, values in BROKEN_COOKIE.items():
            for value in values:
                message = self.refuse({**good, "cookies": [first, {**second, "value": "canary", name: value}]})
                self.assertIn("cookie 2", message)
                self.assertNotIn("canary", message)
            self.refuse({**good, "cookies": [first, {key: value for key, value in second.items() if key != name}]})
        self.refuse({**good, "cookies": [{**first, "partition": "x"}]})

    def test_cut(self) -> None:
        """A file that was cut anywhere is refused."""
        with open(self.path, "rb") as file:
            data = file.read()
        for size in range(0, len(data) - 1, 7):
            self.refuse(data[:size])

    def test_too_large(self) -> None:
        """A file beyond what `max_cookies` of the largest need is not read: at the limit, and one above."""
        self.other = World(max_cookies=1)
        limit = 2 * files._LARGEST_COOKIE
        with open(self.path, "rb") as file:
            data = file.read()
        self.write(data + b" " * (limit - len(data)))
        self.assertEqual(self.other.store.load(self.path), 1)
        self.assertIn("bytes", self.refuse(data + b" " * (limit + 1 - len(data))))
        self.assertRaises(CookieFileError, self.other.store.load_netscape, self.path)
        self.assertRaises(CookieFileError, self.other.store.load, "/dev/zero")

    def test_largest(self) -> None:
        """What is saved can be loaded, though each cookie takes as much as it can."""
        host = ".".join(["d" * 63] * 3 + ["d" * 61])
        world, other = World(max_cookies=20), World(max_cookies=20)
        for number in range(20):
            pair, path = (b"%02d\xff" % number).ljust(2048, b'"') + b"=" + b"\xff" * 2048, b"/".ljust(1024, b"\\")
            self.assertTrue(world.set(f"https://{host}/", pair + b"; Path=" + path + b"; Secure; HttpOnly; SameSite=Strict; Max-Age=999"))
        world.store.save(self.path)
        self.assertEqual(other.store.load(self.path), 20)
