"""`CookieStore`: its limits and what goes first beyond them, sharing, and what its operations cost."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.cookies.world import NOW, World, uri
from twisted_gun.cookies import Cookie, CookieStore, CookieUri, shelf
from twisted_gun.cookies.domains import path_match
from twisted_gun.cookies.parsing import parse_set_cookie
from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.interfaces import ICookieStore

SITE = "http://site.example/"
SAFE = "https://site.example/"


def names(world: World) -> str:
    """The names of what is there, in the order of creation."""
    return " ".join(cookie.name.decode() for cookie in world.store)


def cookie(**fields: object) -> Cookie:
    """One of site.example, with `fields` of its own."""
    made: dict[str, object] = {"name": b"a", "value": b"b", "domain": "site.example", "creation_time": NOW, "last_access_time": NOW}
    return Cookie(**{**made, **fields})  # type: ignore[arg-type]


class LimitTests(SynchronousTestCase):
    """How many there may be."""

    def test_per_domain(self) -> None:
        """One below, at, and one above; other domains do not count, nor does the same cookie again."""
        world = World(max_per_domain=3)
        world.set("http://www.site.example/", "other=1")
        for number, there in enumerate(("other a", "other a b", "other a b c", "other b c d"), ord("a")):
            self.assertTrue(world.set(SITE, f"{chr(number)}=1"))
            self.assertEqual(names(world), there)
        world.set(SITE, "b=2")
        self.assertEqual(names(world), "other b c d")

    def test_in_all(self) -> None:
        """One below, at, and one above, whatever their domains."""
        world = World(max_cookies=3)
        for number, there in enumerate(("a", "a b", "a b c", "b c d"), ord("a")):
            self.assertTrue(world.set(f"http://{chr(number)}.example/", f"{chr(number)}=1"))
            self.assertEqual(names(world), there)

    def test_defaults(self) -> None:
        """3000 in all, 180 of one domain, 50 of one response."""
        world = World()
        self.assertEqual(world.store.max_per_response, 50)
        for number in range(181):
            world.set(SITE, f"a{number}=1")
            self.assertEqual(len(world.store), min(number + 1, 180))
        for number in range(180, 3001):
            world.set(f"http://{number}.site.example/", "a=1")
            self.assertEqual(len(world.store), min(number + 1, 3000))

    def test_expired_first(self) -> None:
        """ "1. Expired cookies": while there are such, no other is evicted."""
        for options in ({"max_cookies": 3}, {"max_per_domain": 3}):
            world = World(**options)
            world.set(SITE, "a=1", "b=1; Max-Age=10", "c=1")
            world.now += 10
            world.set(SITE, "d=1")
            self.assertEqual(names(world), "a c d")

    def test_insecure_next(self) -> None:
        """ "2. Cookies whose secure-only-flag is false" within the domain, though they were used later; "3." the others."""
        world = World(max_per_domain=3)
        world.set(SAFE, "a=1; Secure", "b=1", "c=1; Secure")
        world.now += 1
        world.sent("http://site.example/")  # b, for the others are Secure
        world.set(SAFE, "d=1; Secure")
        self.assertEqual(names(world), "a c d")
        self.assertFalse(world.set(SAFE, "e=1"))  # the only one that is not
        self.assertEqual(names(world), "a c d")
        self.assertTrue(world.set(SAFE, "f=1; Secure"))
        self.assertEqual(names(world), "c d f")

    def test_least_recently_used(self) -> None:
        """ "the user agent MUST evict the cookie with the earliest last-access-time first", though it was created later."""
        for options in ({"max_cookies": 3}, {"max_per_domain": 3}):
            world = World(**options)
            world.set(SITE, "a=1; Path=/used", "b=1; Path=/unused", "c=1; Path=/used")
            world.now += 1
            world.sent("http://site.example/used")
            world.set(SITE, "d=1; Path=/unused")
            self.assertEqual(names(world), "a c d")
            world.now += 1
            world.sent("http://site.example/used")
            world.set(SITE, "e=1")
            self.assertEqual(names(world), "a c e")

    def test_clock_goes_back(self) -> None:
        """Where the clock was set back, what was used last is still what goes last."""
        world = World(max_cookies=2)
        world.set(SITE, "a=1; Path=/a", "b=1; Path=/b")
        world.now -= 3600
        world.sent("http://site.example/a")
        world.set(SITE, "c=1")
        self.assertEqual(sorted(names(world).split()), ["a", "c"])

    def test_wrong_limits(self) -> None:
        """Limits are whole numbers of at least 1; the clock can be called."""
        for name in ("max_cookies", "max_per_domain", "max_per_response"):
            for value in (0, -1, 1.5, True, "1", None):
                error = self.assertRaises(OptionError, CookieStore, **{name: value})
                self.assertEqual(error.option, name)
            CookieStore(**{name: 1})  # type: ignore[arg-type]
        self.assertEqual(self.assertRaises(OptionError, CookieStore, now=1.0).option, "now")
        self.assertRaises(TypeError, CookieStore, time.time)


class StoreTests(SynchronousTestCase):
    """The rest of it."""

    def test_interface(self) -> None:
        """It is an `ICookieStore`."""
        self.assertTrue(verifyObject(ICookieStore, CookieStore()))

    def test_real_time(self) -> None:
        """Without `now` it goes by the system's clock."""
        store = CookieStore()
        before = time.time()
        store.set_cookie(CookieUri("http", "a.example", "/"), b"a=b")
        self.assertTrue(before <= next(iter(store)).creation_time <= time.time())

    def test_shared(self) -> None:
        """What one connection was given another one sends, over whatever scheme."""
        world = World()
        world.set("wss://site.example/chat", "a=b; Path=/; Secure")
        self.assertEqual(world.sent("https://site.example/"), "a=b")
        self.assertEqual(world.sent("wss://site.example/"), "a=b")
        self.assertEqual(world.sent("ws://site.example/"), "")

    def test_empty(self) -> None:
        """An empty store is true: it is a store."""
        store = CookieStore()
        self.assertEqual((len(store), list(store), bool(store), store.query(uri(SITE))), (0, [], True, ()))

    def test_repr(self) -> None:
        """Neither the store nor a cookie shows what it holds."""
        world = World()
        world.set(SITE, "name=canary; Max-Age=9")
        self.assertEqual(repr(world.store), "<CookieStore: 1 cookies>")
        self.assertNotIn("canary", repr(list(world.store)) + str(list(world.store)))
        self.assertIn("site.example", repr(list(world.store)))
        self.assertNotIn("canary", repr(parse_set_cookie(b"name=canary", NOW)))

    def test_clear(self) -> None:
        """Nothing is left, and it goes on."""
        world = World()
        world.set(SITE, "a=b")
        world.store.clear()
        self.assertEqual(names(world), "")
        world.set(SITE, "c=d")
        self.assertEqual(world.sent(SITE), "c=d")

    def test_gc(self) -> None:
        """What has expired is dropped, at that moment and not before; what was changed to live longer is not."""
        world = World()
        world.set(SITE, "a=b; Max-Age=5", "c=d; Max-Age=5", "c=d; Max-Age=10", "e=f; Max-Age=5", "e=f", "g=h")
        world.now += 4.5
        world.store.gc()
        self.assertEqual(len(world.store._shelf), 4)
        world.now += 0.5
        world.store.gc()
        self.assertEqual(len(world.store._shelf), 3)
        self.assertEqual(names(world), "c e g")

    def test_add(self) -> None:
        """A cookie of the caller's own is kept as it is, in the place of the same one."""
        world = World()
        self.assertTrue(world.store.add(cookie(expiry_time=NOW + 9, host_only=False, path="/x")))
        self.assertEqual(world.sent("http://www.site.example/x"), "a=b")
        self.assertTrue(world.store.add(cookie(value=b"c", host_only=False, path="/x")))
        self.assertEqual(world.sent("http://www.site.example/x"), "a=c")
        self.assertTrue(world.store.add(cookie(domain="Bücher.example.")))
        self.assertEqual(world.sent("http://xn--bcher-kva.example/"), "a=b")

    def test_add_mended(self) -> None:
        """For a public suffix or an address it is that host's only, and none is for more than 400 days."""
        world = World()
        for domain in ("co.uk", "127.0.0.1", "localhost"):
            world.store.add(cookie(domain=domain, host_only=False, expiry_time=NOW + 10**9))
        self.assertEqual({(kept.host_only, kept.expiry_time) for kept in world.store}, {(True, NOW + 400 * 86400)})

    def test_add_refused(self) -> None:
        """One that has expired, or is not what its name promises, or for no host."""
        world = World()
        for fields in (
            {"expiry_time": NOW},
            {"domain": "a..b"},
            {"name": b"__Secure-a"},
            {"name": b"__host-a", "secure_only": True, "host_only": False},
            {"name": b"__host-a", "secure_only": True, "path": "/x"},
            {"path": "/" + "x" * 1024},
        ):
            self.assertFalse(world.store.add(cookie(**fields)), fields)
        self.assertEqual(names(world), "")
        self.assertTrue(world.store.add(cookie(name=b"__Host-a", secure_only=True)))

    def test_cookie_defaults(self) -> None:
        """What is not said of a cookie: it is for the whole of one host, over TLS or not, in this session."""
        made = cookie()
        said = (made.path, made.expiry_time, made.persistent, made.host_only, made.secure_only, made.http_only, made.same_site)
        self.assertEqual(said, ("/", None, False, True, False, False, "default"))

    def test_cookie_checked(self) -> None:
        """A cookie that would end another field, or the header, cannot be made; what is wrong with it is not shown."""
        for fields in (
            {"name": b"a\r\nx: y"},
            {"value": b"canary\r\nx: y"},
            {"value": b"canary; admin=1"},
            {"value": b"canary\0"},
            {"name": b"a=b"},
            {"name": b"a;b"},
            {"name": b"", "value": b""},
            {"name": b"a" * 4096},
            {"domain": ""},
            {"path": ""},
            {"path": "x"},
            {"path": "/€"},
        ):
            error = self.assertRaises(InvalidRequest, cookie, **fields)
            self.assertNotIn("canary", str(error))
        cookie(name=b"", value=b"a" * 4096)


class CostTests(SynchronousTestCase):
    """What is done for a request does not grow with the store."""

    def setUp(self) -> None:
        self.world = World()
        for number in range(3000):
            field = f"a{number % 100}=1; Max-Age=9000; Domain=site{number // 100}.example; Secure"
            self.world.set(f"https://www.site{number // 100}.example/", field)
        self.looked_at = 0
        self.patch(shelf, "path_match", self.counted)

    def counted(self, path: str, cookie_path: str) -> bool:
        """What is looked at before it is sent, or before a Set-Cookie field is obeyed."""
        self.looked_at += 1
        return path_match(path, cookie_path)

    def test_query(self) -> None:
        """Of 3000 cookies those of the host's domains are looked at."""
        self.assertEqual(len(self.world.store), 3000)
        for host, cookies in (("a.b.c.site7.example", 100), ("site7.example", 100), ("other.example", 0), (".".join("a" * 120), 0)):
            self.looked_at = 0
            found = self.world.store.query(CookieUri("https", host, "/"))
            self.assertEqual((len(found), self.looked_at), (cookies, cookies), host)

    def test_set(self) -> None:
        """Of 3000 Secure ones those of the same name, in domains that match, are looked at."""
        self.looked_at = 0
        self.assertFalse(self.world.set("http://www.site7.example/", "a5=evil"))
        self.assertTrue(self.world.set("http://www.site7.example/", "new=1"))
        self.assertEqual(self.looked_at, 1)

    def test_same_again(self) -> None:
        """A cookie set over and over leaves nothing behind."""
        world = World()
        for number in range(5000):
            world.now += 0.001
            world.set(SITE, f"a={number}; Max-Age=9000")
        self.assertEqual(len(world.store), 1)
        self.assertLess(len(world.store._shelf._expiries), 100)
        world.now += 9000
        self.assertEqual(list(world.store), [])

    def test_others_meanwhile(self) -> None:
        """That forgets no other's time: each expires when it is to, and one of this session does not."""
        world = World()
        world.set(SITE, "first=1; Max-Age=100", "session=1")
        for number in range(1000):
            world.set(SITE, f"a=1; Max-Age={1000 + number}", f"b{number % 20}=1; Max-Age={2000 + number}")
        world.now += 99
        self.assertEqual(len(world.store), 23)
        world.now += 1
        self.assertEqual(len(world.store), 22)
        world.now += 3000
        self.assertEqual(names(world), "session")

    def test_emptied(self) -> None:
        """When all have expired no index holds anything."""
        self.world.now += 9000
        self.world.store.gc()
        kept = self.world.store._shelf
        self.assertEqual((len(kept), kept._domains, kept._secure, kept._expiries), (0, {}, {}, []))

    def test_time(self) -> None:
        """3000 requests to a full store, and 3000 cookies more, take a moment: some 40 µs each where nothing else runs."""
        before = time.process_time()
        for number in range(3000):
            self.world.store.query(CookieUri("https", "www.other.example", "/"))
            self.world.set(f"https://{number}.other.example/", "a=1; Max-Age=9000")
        self.assertLess(time.process_time() - before, 3)
        self.assertEqual(len(self.world.store), 3000)
