"""`twisted_gun.websocket.credentials`: the authorization header, from every kind of `auth`, and from .netrc files."""

from __future__ import annotations

import base64
import netrc
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import OptionError
from twisted_gun.headers import without_credentials
from twisted_gun.websocket.credentials import authorization, check_auth, prepare_auth

SECRET = "pa55word"
NETRC = f"machine example.org login joe password {SECRET}\nmachine empty.example login jim password ''\ndefault login any password one\n"


def basic(userinfo: str) -> bytes:
    """The value that stands for `userinfo`."""
    return b"Basic " + base64.b64encode(userinfo.encode("utf-8"))


class AuthTests(SynchronousTestCase):
    """Option ``auth``."""

    def value(self, auth: Any, host: str = "example.org") -> str | bytes | None:
        return authorization(prepare_auth(auth), host)

    def test_basic(self) -> None:
        """Basic authentication is the user's name and password, as UTF-8 in base64; RFC 7617 section 2.1 has this sample."""
        self.assertEqual(self.value(("basic", "test:123£")), b"Basic dGVzdDoxMjPCow==")
        self.assertEqual(self.value(("basic", b"Aladdin:open sesame")), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")

    def test_bearer(self) -> None:
        """A bearer token is sent as it is."""
        self.assertEqual(self.value(("bearer", "mF_9.B5f-4.1JqM")), b"Bearer mF_9.B5f-4.1JqM")

    def test_string(self) -> None:
        """A string is the header's value."""
        self.assertEqual(self.value("Token abc"), "Token abc")

    def test_none(self) -> None:
        """Without credentials there is no header."""
        self.assertIsNone(self.value(None))

    def test_callable(self) -> None:
        """A callable is of a kind that is known, but what it gives may not be another."""
        check_auth(lambda: None)
        self.assertRaises(OptionError, authorization, lambda: None, "example.org")

    def test_refused(self) -> None:
        """Other kinds are refused, without being shown."""
        for auth in (5, ("basic",), ("digest", SECRET), ("basic", SECRET, "x"), ("bearer", None), {"basic": SECRET}):
            error = self.assertRaises(OptionError, check_auth, auth)
            self.assertNotIn(SECRET, str(error))
        error = self.assertRaises(OptionError, self.value, ("bearer", f"\ud800{SECRET}"))
        self.assertNotIn(SECRET, str(error))
        self.assertIsNone(error.__cause__)


class NetrcTests(SynchronousTestCase):
    """.netrc files."""

    def file(self, content: str = NETRC, mode: int = 0o600) -> str:
        path: str = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def test_path(self) -> None:
        """The host's entry is used, else the default one; Python's own module reads the file the same."""
        path = self.file()
        for host in ("example.org", "empty.example", "other.example"):
            found = netrc.netrc(path).authenticators(host)
            assert found is not None
            self.assertEqual(authorization(prepare_auth(("netrc", path)), host), basic(f"{found[0]}:{found[2]}"))
        self.assertEqual(authorization(prepare_auth(("netrc", path)), "example.org"), basic(f"joe:{SECRET}"))

    def test_no_entry(self) -> None:
        """A host that the file does not have, without a default, gets no header."""
        path = self.file("machine example.org login joe password x\n")
        self.assertIsNone(authorization(prepare_auth(("netrc", path)), "www.example.org"))

    def test_environment(self) -> None:
        """``NETRC`` names the default file."""
        self.patch(os, "environ", {**os.environ, "NETRC": self.file()})
        self.assertEqual(authorization(prepare_auth("netrc"), "example.org"), basic(f"joe:{SECRET}"))

    def test_home(self) -> None:
        """Without it the file is ~/.netrc, which others must not be able to read."""
        home = os.path.dirname(path := self.file())
        environment = {name: value for name, value in os.environ.items() if name != "NETRC"}
        self.patch(os, "environ", {**environment, "HOME": home})
        self.patch(os.path, "expanduser", lambda path: path.replace("~", home))
        os.rename(path, default := os.path.join(home, ".netrc"))
        self.assertEqual(authorization(prepare_auth("netrc"), "example.org"), basic(f"joe:{SECRET}"))
        os.chmod(default, 0o644)
        self.assertRaises(OptionError, prepare_auth, "netrc")

    def test_not_shown(self) -> None:
        """What was read is shown nowhere."""
        self.assertNotIn(SECRET, repr(prepare_auth(("netrc", self.file()))))

    def test_malformed(self) -> None:
        """A mistake in the file, or no file, is said without showing what stands there."""
        for path in (self.file(f"machine example.org login joe password {SECRET} {SECRET}\n"), self.mktemp()):
            error = self.assertRaises(OptionError, prepare_auth, ("netrc", path))
            self.assertNotIn(SECRET, str(error))
            self.assertIsNone(error.__cause__)


class WithoutCredentialsTests(SynchronousTestCase):
    """What another origin may see."""

    def test_left_out(self) -> None:
        """Every header that holds credentials is left out, and no other."""
        kept = ((b"user-agent", b"x"), (b"x-amz-date", b"y"))
        secret = tuple((name, b"z") for name in (b"authorization", b"cookie", b"proxy-authorization", b"x-amz-security-token"))
        self.assertEqual(without_credentials((*secret, *kept)), kept)
