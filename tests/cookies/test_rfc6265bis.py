"""
RFC 6265bis section 5, as a user agent must obey it, filed by section.

After the suite of that name in Gun's tests, and the examples of the draft.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import NOW, World
from twisted_gun.cookies import Cookie

HTTP = "http://www.site.example/dir/page"
HTTPS = "https://www.site.example/dir/page"
LIMIT = 400 * 86400


class WorldCase(SynchronousTestCase):
    """A store, and what it is given."""

    def setUp(self) -> None:
        self.world = World()

    def only(self) -> Cookie:
        """The one cookie there is."""
        (cookie,) = self.world.store
        return cookie

    def taken(self, field: str | bytes, url: str = HTTP) -> Cookie:
        """The cookie that `field` makes, in a store of its own."""
        self.world = World()
        self.assertTrue(self.world.set(url, field), field)
        return self.only()

    def refused(self, field: str | bytes, url: str = HTTP) -> None:
        """`field` makes none."""
        self.world = World()
        self.assertFalse(self.world.set(url, field), field)
        self.assertEqual(list(self.world.store), [], field)


class PrefixTests(WorldCase):
    """Section 5.4: cookie name prefixes."""

    def test_rejected(self) -> None:
        """The examples of what "would be rejected by a conformant user agent", and those of Gun's suite."""
        for field in (
            "__Secure-SID=12345; Domain=site.example",
            "__secure-SID=12345; Domain=site.example",
            "__SECURE-SID=12345; Domain=site.example",
            "__Host-SID=12345",
            "__host-SID=12345; Secure",
            "__host-SID=12345; Domain=site.example",
            "__HOST-SID=12345; Domain=site.example; Path=/",
            "__Host-SID=12345; Secure; Domain=site.example; Path=/",
            "__host-SID=12345; Secure; Domain=site.example; Path=/",
            "__HOST-SID=12345; Secure; Domain=site.example; Path=/",
            "__Host-SID=12345; Path=/",
            "__Host-SID=12345; Path=/; Max-Age=10",
            "__Host-SID=12345; Secure; Path=/dir",
            "__Host-SID=12345; Secure; Path=",
            "__Secure-SID=12345; Path=/; HttpOnly",
        ):
            self.refused(field, HTTPS)
            self.refused(field, HTTP)

    def test_accepted(self) -> None:
        """The examples of what "would be accepted if set from a secure origin", and nowhere else."""
        for field in (
            "__Secure-SID=12345; Domain=site.example; Secure",
            "__secure-SID=12345; Domain=site.example; Secure",
            "__SECURE-SID=12345; Domain=site.example; Secure",
            "__Host-SID=12345; Secure; Path=/",
            "__host-SID=12345; Secure; Path=/",
            "__HOST-SID=12345; Secure; Path=/",
            "__Host-SID=12345; Secure; Path=/; Max-Age=10; HttpOnly",
        ):
            self.taken(field, HTTPS)
            self.refused(field, HTTP)

    def test_explicit_path(self) -> None:
        """ "The cookie-attribute-list contains an attribute with an attribute-name of "Path"": a default path of / is not enough."""
        self.refused("__Host-SID=1; Secure", "https://www.site.example/")
        self.taken("__Host-SID=1; Secure; Path=/", "https://www.site.example/")

    def test_without_name(self) -> None:
        """ "If the cookie-name is empty", no value that looks like such a name: it is sent without "="."""
        for value in ("__Secure-SID", "__host-SID", "__HOST-"):
            self.refused(f"={value}=1; Secure; Path=/", HTTPS)
            self.refused(f"{value}; Secure; Path=/", HTTPS)
        self.taken("_Secure-SID; Secure; Path=/", HTTPS)

    def test_distinct(self) -> None:
        """ "both __Secure-foo=bar and __secure-foo=baz can exist as distinct cookies simultaneously" """
        self.world.set(HTTPS, "__Secure-foo=bar; Secure", "__secure-foo=baz; Secure")
        self.assertEqual(self.world.sent(HTTPS), "__Secure-foo=bar; __secure-foo=baz")

    def test_other_names(self) -> None:
        """What only resembles a prefix is none."""
        for name in ("__Secure", "__Host", "_Host-", "x__Host-", "__Hosts-a", "__%53ecure-"):
            self.taken(f"{name}=1")


class LifetimeTests(WorldCase):
    """Section 5.5: "the user agent MUST limit the maximum age of the cookie"."""

    def test_max_age(self) -> None:
        """400 days at most; as many seconds, one less, and one more."""
        for age, kept in ((LIMIT - 1, LIMIT - 1), (LIMIT, LIMIT), (LIMIT + 1, LIMIT), (10**300, LIMIT)):
            self.assertEqual(self.taken(f"a=b; Max-Age={age}").expiry_time, NOW + kept)

    def test_expires(self) -> None:
        """Likewise: NOW is 1 January 2026, and 400 days later it is 5 February 2027."""
        for date, kept in (
            ("04 Feb 2027 23:59:59", LIMIT - 1),
            ("05 Feb 2027 00:00:00", LIMIT),
            ("05 Feb 2027 00:00:01", LIMIT),
            ("1 Jan 9999 0:0:0", LIMIT),
        ):
            self.assertEqual(self.taken(f"a=b; Expires={date}").expiry_time, NOW + kept, date)


class SetCookieTests(WorldCase):
    """Section 5.6: the Set-Cookie header field."""

    def test_control_characters(self) -> None:
        """ "%x00-08 / %x0A-1F / %x7F": anywhere, "ignore the set-cookie-string entirely". A tab is a blank."""
        places = (
            "a{}a=b",
            "a=b{}b",
            "a=b; Domain=site{}.example",
            "a=b; Path=/a{}a",
            "a=b; Max-Age=1{}0",
            "a=b; Sec{}ure",
            "a=b; x={}",
            "a=b;{}",
        )
        for octet in (*range(0x20), 0x7F):
            for place in places:
                field = place.format(chr(octet))
                if octet != 9:
                    self.refused(field)
                elif "{}.example" not in place:  # with a tab in it that is no domain
                    self.taken(field)

    def test_pair(self) -> None:
        """Name and value: up to the first "=", blanks around them removed and blanks within kept; without "=" it is all value."""
        for field, name, value in (
            (b"a=b", b"a", b"b"),
            (b" \t a b \t=\t c d \t; Path=/", b"a b", b"c d"),
            (b"a=b=c", b"a", b"b=c"),
            (b"a=", b"a", b""),
            (b"=b", b"", b"b"),
            (b"b", b"", b"b"),
            (b'a="b c"', b"a", b'"b c"'),
            (b"a=b, c=d", b"a", b"b, c=d"),
            (b"%41=%3B", b"%41", b"%3B"),
            ("ä=ö".encode(), "ä".encode(), "ö".encode()),
            (b"\x80=\xff", b"\x80", b"\xff"),
        ):
            cookie = self.taken(field)
            self.assertEqual((cookie.name, cookie.value), (name, value), field)

    def test_nothing(self) -> None:
        """Section 5.7 step 2: "If cookie-name is empty and cookie-value is empty, [...] ignore the cookie entirely"."""
        for field in ("", " ", "=", " = ", ";", "; Path=/", "=; Path=/"):
            self.refused(field)

    def test_size(self) -> None:
        """ "If the sum of the lengths [...] is more than 4096 octets": one less, as many, one more."""
        for name, value in ((1, 4094), (1, 4095), (4096, 0), (0, 4096), (2000, 2096)):
            self.taken(b"n" * name + b"=" + b"v" * value)
        for name, value in ((1, 4096), (4097, 0), (0, 4097), (2000, 2097)):
            self.refused(b"n" * name + b"=" + b"v" * value)
        self.taken(b"a=" + b" " * 5000 + b"b")  # blanks are not counted

    def test_attribute_size(self) -> None:
        """ "If the attribute-value is longer than 1024 octets, ignore the cookie-av string": one less, as many, one more."""
        for size in (1023, 1024):
            self.assertEqual(self.taken(f"a=b; Path=/{'p' * (size - 1)}").path, f"/{'p' * (size - 1)}")
        self.assertEqual(self.taken(f"a=b; Path=/{'p' * 1024}").path, "/dir")
        self.assertEqual(self.taken(f"a=b; Path=/x; Path=/{'p' * 1024}").path, "/x")
        self.assertIsNone(self.taken(f"a=b; Max-Age={'1' * 1025}").expiry_time)
        self.assertEqual(self.taken(f"a=b; Max-Age={'1' * 1024}").expiry_time, NOW + LIMIT)
        self.assertTrue(self.taken(f"a=b; Domain={'d' * 1025}").host_only)
        self.refused(f"a=b; Domain={'d' * 1024}")
        self.assertFalse(self.taken(f"a=b; Secure={'x' * 1025}", HTTPS).secure_only)

    def test_unknown_attributes(self) -> None:
        """ "attributes with unrecognized attribute-names are ignored" """
        self.assertEqual(self.taken("a=b; Partitioned; ;;=; Priority=High; Max-Ages=0; Domains=x"), self.taken("a=b"))

    def test_expires(self) -> None:
        """5.6.1: a date; "If the attribute-value failed to parse as a cookie date, ignore the cookie-av"."""
        self.assertEqual(self.taken("a=b; eXpIrEs = 02 Jan 2026 00:00:00").expiry_time, NOW + 86400)
        self.assertIsNone(self.taken("a=b; Expires=tomorrow").expiry_time)
        self.assertEqual(self.taken("a=b; Expires=02 Jan 2026 00:00:00; Expires=tomorrow").expiry_time, NOW + 86400)

    def test_max_age(self) -> None:
        """5.6.2: digits, or a minus and digits; anything else is ignored."""
        self.assertEqual(self.taken("a=b; MAX-age = 10").expiry_time, NOW + 10)
        self.assertEqual(self.taken("a=b; Max-Age=1").expiry_time, NOW + 1)
        for value in ("", "+1", "1.0", "1x", "x1", "-", "--1", "1 0", '"1"', "١", "²"):
            self.assertIsNone(self.taken(f"a=b; Max-Age={value}".encode()).expiry_time, value)
        self.assertEqual(self.taken("a=b; Max-Age=10; Max-Age=x").expiry_time, NOW + 10)

    def test_max_age_past(self) -> None:
        """ "If delta-seconds is less than or equal to zero (0), let expiry-time be the earliest representable date": it is removed."""
        for age in ("0", "-0", "-1", "-999999999999999999999"):
            world = World()
            world.set(HTTP, "a=b")
            self.assertTrue(world.set(HTTP, f"a=c; Max-Age={age}"), age)
            self.assertEqual(list(world.store), [], age)

    def test_domain(self) -> None:
        """5.6.3: without its first dot, in lower case; one that is empty is no attribute."""
        for value in ("site.example", ".site.example", "SITE.Example", " .site.example "):
            cookie = self.taken(f"a=b; Domain={value}")
            self.assertEqual((cookie.domain, cookie.host_only), ("site.example", False), value)
        for value in ("", "."):
            cookie = self.taken(f"a=b; Domain={value}")
            self.assertEqual((cookie.domain, cookie.host_only), ("www.site.example", True), value)
        self.assertEqual(self.taken("a=b; Domain=site.example; Domain=").domain, "site.example")

    def test_path(self) -> None:
        """5.6.4: "if the first character of the attribute-value is not %x2F", the default path; the last one counts."""
        for value, path in (("/x", "/x"), ("/x/", "/x/"), ("", "/dir"), ("x", "/dir"), ("\\x", "/dir"), ('"/x"', "/dir"), ("/x?y", "/x?y")):
            self.assertEqual(self.taken(f"a=b; Path={value}").path, path, value)
        self.assertEqual(self.taken("a=b; Path=/x; Path=/y").path, "/y")
        self.assertEqual(self.taken("a=b; Path=/x; Path=y").path, "/dir")

    def test_flags(self) -> None:
        """5.6.5, 5.6.6: Secure and HttpOnly, in any case, whatever their value."""
        for field in ("a=b; Secure; HttpOnly", "a=b;SECURE=no;httponly=no", "a=b; secure =; HTTPONLY= x"):
            cookie = self.taken(field, HTTPS)
            self.assertEqual((cookie.secure_only, cookie.http_only), (True, True), field)
        cookie = self.taken("a=b; Securely; HttpOnlyX", HTTPS)
        self.assertEqual((cookie.secure_only, cookie.http_only), (False, False))

    def test_same_site(self) -> None:
        """5.6.7: three words in any case; everything else, and nothing, is "Default". The last one counts."""
        for value, same_site in (("Strict", "strict"), ("lax", "lax"), ("NONE", "none"), ("", "default"), ("x", "default")):
            self.assertEqual(self.taken(f"a=b; SameSite={value}; Secure", HTTPS).same_site, same_site, value)
        self.assertEqual(self.taken("a=b").same_site, "default")
        self.assertEqual(self.taken("a=b; SameSite=Lax; SameSite=x").same_site, "default")


class StorageTests(WorldCase):
    """Section 5.7: the storage model."""

    def test_kept(self) -> None:
        """Each of its fields; "Set the creation-time and the last-access-time to the current date and time"."""
        cookie = self.taken("a=b; Max-Age=10; Domain=site.example; Path=/x; Secure; HttpOnly; SameSite=Lax", HTTPS)
        wanted = Cookie(
            name=b"a",
            value=b"b",
            domain="site.example",
            path="/x",
            creation_time=NOW,
            last_access_time=NOW,
            expiry_time=NOW + 10,
            host_only=False,
            secure_only=True,
            http_only=True,
            same_site="lax",
        )
        self.assertEqual(cookie, wanted)
        self.assertTrue(cookie.persistent)
        self.assertFalse(self.taken("a=b").persistent)

    def test_expiry(self) -> None:
        """Step 6: Max-Age, wherever it stands; else Expires; else none, and the cookie is not persistent."""
        late, past = "Expires=02 Jan 2026 00:00:00", "Expires=1 Jan 2000 0:0:0"
        for field, expiry in (
            (f"a=b; Max-Age=10; {late}", NOW + 10),
            (f"a=b; {late}; Max-Age=10", NOW + 10),
            (f"a=b; {past}; Max-Age=10", NOW + 10),
            (f"a=b; {late}; Max-Age=x", NOW + 86400),
            ("a=b; Max-Age=20; Max-Age=10", NOW + 10),
            ("a=b", None),
        ):
            self.assertEqual(self.taken(field).expiry_time, expiry, field)

    def test_not_in_char(self) -> None:
        """Step 8: "If the domain-attribute contains a character that is not in CHAR, [...] ignore the cookie entirely"."""
        self.refused("a=b; Domain=bücher.example".encode(), "http://www.xn--bcher-kva.example/")
        self.taken("a=b; Domain=xn--bcher-kva.example", "http://www.bücher.example/")

    def test_public_suffix(self) -> None:
        """Step 9: for a public suffix no cookies, but that host's own; in any case, with a dot before or after it, escaped or not."""
        for domain in ("example", "com", "CO.uk", ".co.uk", "kawasaki.jp", "github.io", "local"):
            self.refused(f"a=b; Domain={domain}", f"http://www.attacker.{domain.lower().lstrip('.')}/")
        for domain in ("com.", "site.com.", ".site.com.", "site.com..", "site%2Ecom"):
            self.refused(f"a=b; Domain={domain}", "http://www.site.com/")
            self.refused(f"a=b; Domain={domain}", "http://www.site.com./")
        cookie = self.taken("a=b; Domain=github.io", "http://github.io/")
        self.assertEqual((cookie.domain, cookie.host_only), ("github.io", True))
        self.assertTrue(self.taken("a=b; Domain=localhost", "http://localhost/").host_only)

    def test_domain_match(self) -> None:
        """Step 10: "If request-host-canonical does not domain-match the domain-attribute", none."""
        for domain in (
            "other.example",
            "a.www.site.example",
            "ww.site.example",
            "w.site.example",
            "ite.example",
            "www",
            "site.example:80",
            '"site.example"',
        ):
            self.refused(f"a=b; Domain={domain}")
        self.assertEqual(self.taken("a=b; Domain=www.site.example").host_only, False)

    def test_addresses(self) -> None:
        """Step 10: an address has no domains; its own is that host only."""
        for host, domain in (("127.0.0.1", "0.0.1"), ("127.0.0.1", "1"), ("[::1]", "1"), ("127.1", "1"), ("x.127.0.0.1", "127.0.0.1")):
            self.refused(f"a=b; Domain={domain}", f"http://{host}/")
        cookie = self.taken("a=b; Domain=127.0.0.1", "http://127.0.0.1/")
        self.assertEqual((cookie.domain, cookie.host_only), ("127.0.0.1", True))
        self.world.set("http://[::1]/", "a=b")
        self.assertEqual(self.world.sent("http://[0:0::1]/"), "a=b")

    def test_no_host(self) -> None:
        """Steps 9 and 10 of a host that "fails to be canonicalized": none, nor are any sent there."""
        for host in ("a..b", "", "a%41", "a" * 300):
            self.refused("a=b", f"http://{host}/")
            self.assertEqual(self.world.sent(f"http://{host}/"), "")

    def test_trailing_dot(self) -> None:
        """A host with a dot at its end is the host without it."""
        self.world.set("http://www.site.example./", "a=b", "c=d; Domain=site.example")
        self.assertEqual(self.world.sent("http://www.site.example/"), "a=b; c=d")
        self.assertEqual(self.world.sent("http://site.example./"), "c=d")

    def test_default_path(self) -> None:
        """Step 11: the default path; one longer than any Path may be sets nothing."""
        self.assertEqual(self.taken("a=b", f"http://a.example/{'p' * 1023}/").path, f"/{'p' * 1023}")
        self.refused("a=b", f"http://a.example/{'p' * 1024}/")
        self.taken("a=b; Path=/", f"http://a.example/{'p' * 1024}/")

    def test_secure(self) -> None:
        """Step 13: "If the request-uri does not denote a "secure" connection, and the cookie's secure-only-flag is true", none."""
        self.refused("a=b; Secure", HTTP)
        self.assertTrue(self.taken("a=b; Secure", HTTPS).secure_only)
        self.refused("a=b; Secure", "ws://www.site.example/")
        self.taken("a=b; Secure", "wss://www.site.example/")

    def test_overlay(self) -> None:
        """Step 16: the example, "given an existing secure cookie named 'a' with a path of '/login'": not for '/login' or '/login/en'."""
        for path, taken in (("/login", False), ("/login/en", False), ("/", True), ("/foo", True), ("/loginx", True)):
            world = World()
            world.set(HTTPS, "a=b; Secure; Path=/login")
            self.assertEqual(world.set(HTTP, f"a=evil; Path={path}"), taken, path)
            self.assertEqual(world.set(HTTPS, f"a=c; Path={path}"), True, path)
            self.assertTrue(world.set(HTTP, f"b=c; Path={path}"), path)

    def test_overlay_domains(self) -> None:
        """Step 16: "Their domain domain-matches [...] the domain of the newly-created cookie, or vice-versa"."""
        for secure, url, field, taken in (
            ("a=b; Secure; Path=/", HTTP, "a=evil; Path=/; Domain=site.example", False),
            ("a=b; Secure; Path=/; Domain=site.example", HTTP, "a=evil; Path=/", False),
            ("a=b; Secure; Path=/; Domain=site.example", "http://other.site.example/", "a=evil", False),
            ("a=b; Secure; Path=/; Domain=site.example", "http://site.example/", "a=; Max-Age=0", False),
            ("a=b; Secure; Path=/", "http://other.site.example/", "a=good", True),
            ("a=b; Secure; Path=/", "http://xwww.site.example/", "a=good", True),
            ("a=b; Path=/", HTTP, "a=good; Path=/", True),
        ):
            world = World()
            world.set(HTTPS, secure)
            self.assertEqual(world.set(url, field), taken, (secure, url, field))
            self.assertIn("a=b" if not taken or url != HTTP else "a=good", world.sent(HTTPS))

    def test_same_site_none(self) -> None:
        """Step 19: where it is "None", "ignore the cookie entirely unless the cookie's secure-only-flag is true"."""
        self.refused("a=b; SameSite=None", HTTPS)
        self.refused("a=b; SameSite=None", HTTP)
        self.taken("a=b; SameSite=None; Secure", HTTPS)

    def test_same_cookie(self) -> None:
        """Step 23: with the same name, domain, host-only-flag and path it takes the old one's place, and its creation-time."""
        self.world.set(HTTP, "a=1", "z=1")
        self.world.now += 10
        self.world.set(HTTP, "a=2; Max-Age=5; HttpOnly")
        self.assertEqual(self.world.sent(HTTP), "a=2; z=1")
        cookie = next(iter(self.world.store))
        self.assertEqual((cookie.creation_time, cookie.last_access_time, cookie.expiry_time), (NOW, NOW + 10, NOW + 15))

    def test_other_cookies(self) -> None:
        """Step 23: what differs in one of these is another cookie."""
        self.world.set(HTTP, "a=1", "A=2", "a=3; Path=/", "a=4; Domain=site.example", "a=5; Domain=www.site.example")
        self.world.set("http://site.example/dir/", "a=6")
        self.assertEqual(len(self.world.store), 6)

    def test_expired(self) -> None:
        """ "The user agent MUST evict all expired cookies from the cookie store if, at any time, an expired cookie exists"."""
        self.world.set(HTTP, "a=b; Max-Age=10", "c=d; Max-Age=20", "e=f")
        self.world.now += 9
        self.assertEqual(self.world.sent(HTTP), "a=b; c=d; e=f")
        self.world.now += 1
        self.assertEqual(self.world.sent(HTTP), "c=d; e=f")
        self.world.now += 10
        self.assertEqual([cookie.name for cookie in self.world.store], [b"e"])

    def test_session(self) -> None:
        """When the session is over "the user agent MUST remove from the cookie store all cookies with the persistent-flag set to false"."""
        self.world.set(HTTP, "a=b; Max-Age=10", "c=d", "e=f; Expires=3 Jan 2026 0:0:0")
        self.world.store.session_gc()
        self.assertEqual(self.world.sent(HTTP), "a=b; e=f")


class RetrievalTests(WorldCase):
    """Section 5.8: the retrieval model."""

    def test_host_only(self) -> None:
        """ "The cookie's host-only-flag is true and retrieval-host-canonical is identical to the cookie's domain" """
        self.world.set(HTTP, "a=b; Path=/")
        self.assertEqual(self.world.sent("http://WWW.site.example/"), "a=b")
        for host in ("site.example", "a.www.site.example", "xwww.site.example"):
            self.assertEqual(self.world.sent(f"http://{host}/"), "", host)

    def test_domain(self) -> None:
        """ "The cookie's host-only-flag is false and retrieval-host-canonical domain-matches the cookie's domain" """
        self.world.set(HTTP, "a=b; Path=/; Domain=site.example")
        for host, sent in (("site.example", "a=b"), ("a.b.site.example", "a=b"), ("asite.example", ""), ("example", "")):
            self.assertEqual(self.world.sent(f"http://{host}/"), sent, host)

    def test_became_public(self) -> None:
        """ "The cookie's domain is not a public suffix": as it may have become since the cookie was created."""
        self.world.set("http://www.github.com/", "a=b; Domain=github.com")
        self.patch(self.world.store._shelf, "_domains", {"github.io": self.world.store._shelf._domains["github.com"]})
        self.assertEqual(self.world.sent("http://github.io/"), "")
        self.assertEqual(self.world.sent("http://www.github.io/"), "")

    def test_path(self) -> None:
        """ "The retrieval's URI's path path-matches the cookie's path": Gun's cases of path/default and path/match."""
        self.world.set("http://a.example/path/to/resource", "a=b")
        for path, sent in (
            ("/path/to", "a=b"),
            ("/path/to/other", "a=b"),
            ("/path/to/resource/sub", "a=b"),
            ("/path", ""),
            ("/path/toon", ""),
            ("/", ""),
        ):
            self.assertEqual(self.world.sent(f"http://a.example{path}"), sent, path)
        page = "http://b.example/cookies/resources/page.html"
        for path, taken in (("/", 1), ("match.html", 1), ("cookies", 1), ("/cookies", 1), ("/cookies/", 1), ("/cook", 0), ("/w/", 0)):
            self.world = World()
            self.world.set(page, f"a=b; Path={path}")
            self.assertEqual(self.world.sent(page), "a=b" * taken, path)

    def test_secure(self) -> None:
        """ "If the cookie's secure-only-flag is true, then the retrieval's URI must denote a "secure" connection" """
        self.world.set(HTTPS, "a=b; Secure", "c=d")
        self.assertEqual(self.world.sent(HTTPS), "a=b; c=d")
        self.assertEqual(self.world.sent(HTTP), "c=d")

    def test_http_only(self) -> None:
        """HttpOnly is about other APIs than HTTP, and has no effect here."""
        self.world.set(HTTP, "a=b; HttpOnly")
        self.assertEqual(self.world.sent(HTTP), "a=b")

    def test_order(self) -> None:
        """ "Cookies with longer paths are listed before cookies with shorter paths", by length, not alphabetically; then by creation."""
        self.world.set(HTTP, "a=1; Path=/", "b=2; Path=/dir/page", "c=3; Path=/dir", "d=4; Path=/")
        self.assertEqual(self.world.sent(HTTP), "b=2; c=3; a=1; d=4")
        self.world.now -= 5
        self.world.set(HTTP, "e=5; Path=/")
        self.assertEqual(self.world.sent(HTTP), "b=2; c=3; e=5; a=1; d=4")
        self.world.set("http://www.site.example/%7Eab/", "x=1; Path=/~ab", "y=2; Path=/%7Eab")
        self.assertEqual(self.world.sent("http://www.site.example/%7Eab"), "y=2; x=1; e=5; a=1; d=4")

    def test_same_moment(self) -> None:
        """Those of one moment are in the order they came in, from whatever domain, and changed or not."""
        self.world.set(HTTP, "a=1; Path=/", "b=2; Path=/; Domain=site.example", "c=3; Path=/", "a=4; Path=/")
        self.assertEqual(self.world.sent(HTTP), "a=4; b=2; c=3")

    def test_last_access(self) -> None:
        """ "Update the last-access-time of each cookie in the cookie-list to the current date and time", and of no other."""
        self.world.set(HTTP, "a=b", "c=d; Path=/other")
        self.world.now += 7
        self.world.sent(HTTP)
        self.assertEqual([(cookie.name, cookie.last_access_time - NOW) for cookie in self.world.store], [(b"a", 7), (b"c", 0)])

    def test_string(self) -> None:
        """ "If the cookies' name is not empty, output the cookie's name followed by the %x3D ("=") character." """
        self.world.set(HTTP, "a=b", "c", "=d", "e=")
        self.assertEqual(self.world.sent(HTTP), "a=b; d; e=")
