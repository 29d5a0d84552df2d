"""RFC 6265bis sections 5.1.2 to 5.1.4: hosts, domains and paths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.cookies.world import World
from twisted_gun.cookies import domain_match, domains, path_match
from twisted_gun.cookies.domains import (
    canonical_host,
    default_path,
    is_address,
    is_public_suffix,
    parent_domains,
    paths_meant,
    registrable_domain,
)


class HostTests(SynchronousTestCase):
    """The form in which hosts are compared."""

    def test_canonical(self) -> None:
        """ "Convert each U-label to an A-label", lower case, no dot at the end, addresses in one form."""
        for host, canonical in (
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("食狮。中国", "xn--85x722f.xn--fiqs8s"),
            ("a_b.example", "a_b.example"),
            ("r3---sn.example", "r3---sn.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("FE80::1%eth0", "fe80::1"),
        ):
            self.assertEqual(canonical_host(host), canonical, host)

    def test_no_host(self) -> None:
        """What is no host has no form."""
        for host in (
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            "a b",
            "a/b",
            "a;b",
            "a\0b",
            "a%41",
            ":::",
            "x" * 64,
            "\ud800.example",
            "a" * 2000,
            "­.example",
        ):
            self.assertIsNone(canonical_host(host), host)

    def test_length(self) -> None:
        """253 characters at most, 63 in a label."""
        name = ".".join(["a" * 63] * 3 + ["a" * 61])
        self.assertEqual(canonical_host(name), name)
        self.assertIsNone(canonical_host(name + "a"))
        self.assertIsNone(canonical_host("a" * 64 + ".example"))

    def test_addresses(self) -> None:
        """Addresses are known as such, the odd forms too that resolvers take."""
        for host in ("127.0.0.1", "::1", "127.1", "0x7f.1", "0x7f.0.0.0x1", "2130706433", "1.2.3.4.5"):
            self.assertTrue(is_address(host), host)
            self.assertEqual(parent_domains(host), [], host)
            self.assertIsNone(registrable_domain(host), host)
            self.assertFalse(is_public_suffix(host), host)
        for host in ("example.org", "1.example", "a1", "0x7g"):
            self.assertFalse(is_address(host), host)

    def test_parents(self) -> None:
        """The nearest first."""
        self.assertEqual(parent_domains("a.b.c"), ["b.c", "c"])
        self.assertEqual(parent_domains("a"), [])

    def test_list_is_read_late(self) -> None:
        """The list of public suffixes is read when a cookie with a Domain comes, and not before."""
        domains._registrable.cache_clear()
        domains._suffixes.cache_clear()
        world = World()
        world.set("http://www.example.org/", "a=b")
        self.assertEqual(world.sent("http://www.example.org/"), "a=b")
        self.assertEqual(domains._suffixes.cache_info().currsize, 0)
        world.set("http://www.example.org/", "a=b; Domain=example.org")
        self.assertEqual(domains._suffixes.cache_info().currsize, 1)


class DomainMatchTests(SynchronousTestCase):
    """Section 5.1.3."""

    def test_domain_match(self) -> None:
        """The same, or a suffix after a dot, and no address."""
        for host, domain, matches in (
            ("example.org", "example.org", True),
            ("www.example.org", "example.org", True),
            ("a.b.example.org", "example.org", True),
            ("example.org", "www.example.org", False),
            ("badexample.org", "example.org", False),
            ("example.org", "org", True),
            ("example.org", "", False),
            ("example.org.", "example.org", False),
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "0.0.1", False),
            ("127.0.0.1", "1", False),
            ("x.127.0.0.1", "127.0.0.1", False),
            ("::1", "1", False),
            ("org", "example.org", False),
        ):
            self.assertEqual(domain_match(host, domain), matches, (host, domain))

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.text("a1.:", max_size=8), st.text("a1.:", max_size=8))
    def test_any(self, host: str, domain: str) -> None:
        """A host is within a domain exactly where it ends in a dot and that domain, whatever the two are."""
        within = bool(domain) and host.endswith(f".{domain}") and not is_address(host)
        self.assertEqual(domain_match(host, domain), host == domain or within)


class PathTests(SynchronousTestCase):
    """Section 5.1.4."""

    def test_path_match(self) -> None:
        """The same; a prefix that ends in a slash; a prefix before one."""
        for path, cookie_path, matches in (
            ("/", "/", True),
            ("/path/to/resource", "/path/to/resource", True),
            ("/path/", "/path/", True),
            ("/path/to/resource", "/path/", True),
            ("/path/to/resource", "/path", True),
            ("/path/to/resource", "/path/to/", True),
            ("/path/to/resource", "/path/to", True),
            ("/path/to/resource", "/pa", False),
            ("/path/to/resource", "/path/to/r", False),
            ("/path", "/path/", False),
            ("/abc", "/def", False),
            ("/abc", "", False),
            ("/Path", "/path", False),
        ):
            self.assertEqual(path_match(path, cookie_path), matches, (path, cookie_path))

    def test_default_path(self) -> None:
        """The path of the request up to its last slash."""
        for path, default in (
            ("", "/"),
            ("x", "/"),
            ("/", "/"),
            ("/x", "/"),
            ("/x/", "/x"),
            ("/x/y", "/x"),
            ("/x/y/", "/x/y"),
            ("//", "/"),
            ("*", "/"),
        ):
            self.assertEqual(default_path(path), default, path)

    def test_meant(self) -> None:
        """What is percent-encoded needlessly is decoded, and nothing else is."""
        self.assertEqual(paths_meant("/a"), ("/a",))
        self.assertEqual(paths_meant("/f%6Fo%2d%7E%5f%39"), ("/f%6Fo%2d%7E%5f%39", "/foo-~_9"))
        unreserved = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        for octet in range(256):
            for path in (f"/%{octet:02x}", f"/%{octet:02X}"):
                meant = f"/{chr(octet)}" if chr(octet) in unreserved else path
                self.assertEqual(paths_meant(path)[-1], meant, path)
        self.assertEqual(paths_meant("/%25%36%66"), ("/%25%36%66", "/%256f"))
