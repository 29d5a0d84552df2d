"""RFC 1929, username and password for SOCKS version 5: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from tests.wire.test_socks5 import (
    AUTH,
    CREDENTIALS,
    GREETING_AUTH,
    METHOD,
    METHOD_AUTH,
    PASSWORD,
    REQUEST,
    STATUS,
    USER,
    SocksCase,
    SocksConversation,
    authenticating,
)
from twisted_gun.errors import OptionError
from twisted_gun.wire.steps import Write


class Section2Tests(SocksCase):
    """Section 2: Initial negotiation."""

    def credentials(self, username: bytes, password: bytes) -> bytes:
        """What is sent of these."""
        talk = SocksConversation(auth=("username_password", username, password))
        talk.receive(METHOD_AUTH)
        return talk.written.removeprefix(GREETING_AUTH)

    def test_begins(self) -> None:
        """ "Once the SOCKS V5 server has started, and the client has selected the Username/Password Authentication protocol, the
        Username/Password subnegotiation begins.": nothing of them is sent before the server took that method."""
        talk = SocksConversation(auth=AUTH)
        talk.connect()
        self.assertEqual(talk.receive(METHOD_AUTH[:1]), [])
        self.assertEqual(talk.receive(METHOD_AUTH[1:]), [Write(CREDENTIALS)])

    def test_not_chosen(self) -> None:
        """Nor at all, where it took another, or what came is no answer to that alone."""
        for answer in (METHOD, METHOD_AUTH + STATUS, b"\x04\x02", b"HTTP/1.1 200 OK\r\n\r\n"):
            talk = SocksConversation(auth=AUTH)
            self.assert_violation(talk, answer)
            self.assertEqual(talk.written, GREETING_AUTH)

    def test_version(self) -> None:
        """ "The VER field contains the current version of the subnegotiation, which is X'01'.": in both directions."""
        self.assertEqual(self.credentials(USER, PASSWORD)[0], 1)
        for version in (0, 2, 5, 255):
            for rest in (b"", b"\x00", b"\x01"):
                self.assert_violation(authenticating(), bytes((version,)) + rest)

    def test_lengths(self) -> None:
        """ "The ULEN field contains the length of the UNAME field that follows.", "The PLEN field contains the length of the PASSWD field
        that follows.": 1 to 255 octets each, of any value."""
        for user, password in (
            (b"u", b"p"),
            (b"\0", b"\xff"),
            (b"u" * 255, b"p"),
            (b"u", b"p" * 255),
            (b"u" * 255, b"p" * 255),
            ("bücher".encode(), b"a:b"),
        ):
            sent = self.credentials(user, password)
            self.assertEqual(sent, b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password)

    def test_lengths_refused(self) -> None:
        """Others have no place there; the message does not show them."""
        for user, password in ((b"", b"p"), (b"u", b""), (b"u" * 256, b"p"), (b"u", b"p" * 256)):
            error = self.assertRaises(OptionError, SocksConversation, auth=("username_password", user, password))
            self.assertNotIn("pp", str(error))

    def test_success(self) -> None:
        """ "A STATUS field of X'00' indicates success." """
        self.assertEqual(authenticating().receive(STATUS), [Write(REQUEST)])
        talk = authenticating()
        self.assertEqual(talk.receive(STATUS[:1], STATUS[1:]), [Write(REQUEST)])

    def test_failure(self) -> None:
        """ "If the server returns a `failure' (STATUS value other than X'00') status, it MUST close the connection.": we do not wait for
        that, and send nothing more; the message names the option, and shows no secret."""
        for status in range(1, 256):
            for rest in (b"", b" more"):
                talk = authenticating()
                talk.receive(b"\x01")
                said = self.assert_refused(talk, bytes((status,)) + rest, "username_password_auth_failure")
                self.assertIn("socks_opts.auth", said)
                self.assertNotIn(PASSWORD.decode(), said)
                self.assertEqual(talk.written, GREETING_AUTH + CREDENTIALS)
