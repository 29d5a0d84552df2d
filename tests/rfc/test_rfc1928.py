"""RFC 1928, SOCKS Protocol Version 5, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from tests.wire.conversation import A
from tests.wire.test_socks5 import (
    AUTH,
    CREDENTIALS,
    GREETING,
    METHOD,
    METHOD_AUTH,
    REPLIES,
    REPLY_V4,
    REQUEST,
    STATUS,
    SocksCase,
    SocksConversation,
    asked,
    authenticating,
    negotiated,
)
from twisted_gun.errors import BadState
from twisted_gun.wire.steps import TunnelData, TunnelOpened, Write

#: Section 6: REP, by Gun's names.
REFUSALS = {
    1: "general_socks_server_failure",
    2: "connection_not_allowed_by_ruleset",
    3: "network_unreachable",
    4: "host_unreachable",
    5: "connection_refused",
    6: "ttl_expired",
    7: "command_not_supported",
    8: "address_type_not_supported",
    9: "unknown_error",
    255: "unknown_error",
}


def request_for(target: bytes) -> bytes:
    """What the proxy is asked with for a tunnel to `target`."""
    talk = negotiated()
    talk.connect(target)
    return talk.written.removeprefix(GREETING)


class Section3Tests(SocksCase):
    """Section 3: Procedure for TCP-based clients."""

    def test_greeting(self) -> None:
        """ "The client connects to the server, and sends a version identifier/method selection message" """
        for auth, method in (("none", 0x00), (AUTH, 0x02)):
            version, count, *methods = SocksConversation(auth=auth).written
            self.assertEqual((version, count, methods), (5, 1, [method]))

    def test_order(self) -> None:
        """ "the client enters a negotiation for the authentication method to be used, authenticates with the chosen method, then sends
        a relay request" """
        talk = SocksConversation(auth=AUTH)
        talk.connect()
        self.assertEqual(talk.receive(METHOD_AUTH) + talk.receive(STATUS), [Write(CREDENTIALS), Write(REQUEST)])

    def test_version(self) -> None:
        """ "The VER field is set to X'05' for this version of the protocol": another fails at its first byte, and so it is said where."""
        stages = (
            (SocksConversation, "greeting", (0, 1, 4, 6, 72, 255)),
            (authenticating, "username and password", (0, 2, 5, 72)),  # that of the subnegotiation is RFC 1929's
            (asked, "request for the tunnel", (0, 1, 4, 6, 72, 255)),
        )
        for make, answer, versions in stages:
            for version in versions:
                for rest in (b"", b"\x00", b"TTP/1.1 400 Bad Request\r\n\r\n"):
                    said = self.assert_violation(make(), bytes((version,)) + rest)
                    self.assertIn(f"the {answer} with version {version}, ", said)

    def test_selection(self) -> None:
        """ "The server selects from one of the methods given in METHODS": no secret is sent to a peer that takes another."""
        for auth, others in (("none", (1, 2, 3, 0x7F, 0x80, 0xFE)), (AUTH, (0, 1, 3, 0x7F, 0x80, 0xFE))):
            for method in others:
                talk = SocksConversation(auth=auth)
                talk.connect()
                self.assert_violation(talk, bytes((5, method)))

    def test_none_acceptable(self) -> None:
        """ "If the selected METHOD is X'FF', none of the methods listed by the client are acceptable, and the client MUST close the
        connection." """
        for auth in ("none", AUTH):
            self.assert_refused(SocksConversation(auth=auth), b"\x05\xff", "no_acceptable_method")


class Section4Tests(SocksCase):
    """Section 4: Requests."""

    def test_after_subnegotiation(self) -> None:
        """ "Once the method-dependent subnegotiation has completed, the client sends the request details." """
        talk = authenticating()
        self.assertEqual(talk.receive(STATUS[:1]), [])
        self.assertEqual(talk.receive(STATUS[1:]), [Write(REQUEST)])

    def test_fields(self) -> None:
        """ "CMD CONNECT X'01'", "RSV RESERVED", "DST.PORT desired destination port in network octet order" """
        request = request_for(b"example.org:4660")
        self.assertEqual((request[:3], request[-2:]), (b"\x05\x01\x00", b"\x12\x34"))
        for port in (1, 80, 255, 256, 65535):
            self.assertEqual(int.from_bytes(request_for(b"example.org:%d" % port)[-2:], "big"), port)


class Section5Tests(SocksCase):
    """Section 5: Addressing."""

    def test_v4(self) -> None:
        """ "the address is a version-4 IP address, with a length of 4 octets" """
        self.assertEqual(request_for(b"192.0.2.1:80")[3:-2], b"\x01\xc0\x00\x02\x01")

    def test_name(self) -> None:
        """ "The first octet of the address field contains the number of octets of name that follow, there is no terminating NUL octet." """
        for name in (b"x", b"example.org", b"a_b", b"1.2.3", b"1.2.3.4.", b"127.0.0.256", b"1.2.3.04", b"n" * 254, b"n" * 255):
            self.assertEqual(request_for(name + b":80")[3:-2], b"\x03" + bytes((len(name),)) + name)

    def test_v6(self) -> None:
        """ "the address is a version-6 IP address, with a length of 16 octets" """
        for literal, address in (
            (b"2001:db8::1", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
            (b"::", bytes(16)),
            (b"::FFFF:192.0.2.1", bytes(10) + b"\xff\xff\xc0\x00\x02\x01"),
        ):
            self.assertEqual(request_for(b"[" + literal + b"]:80")[3:-2], b"\x04" + address)


class Section6Tests(SocksCase):
    """Section 6: Replies."""

    def test_success(self) -> None:
        """ "If the reply code (REP value of X'00') indicates a success, and the request was either a BIND or a CONNECT, the client may
        now start passing data." """
        for reply in REPLIES:
            talk = asked()
            self.assertRaises(BadState, talk.send, A, b"data")
            talk.receive(reply[:-1])
            self.assertRaises(BadState, talk.send, A, b"data")
            self.assertEqual(talk.receive(reply[-1:]), [TunnelOpened(A)])
            self.assertEqual(talk.send(A, b"data"), [Write(b"data")])
            self.assertEqual(talk.receive(b"data"), [TunnelData(A, b"data")])

    def test_bound_address(self) -> None:
        """ "BND.ADDR contains the associated IP address": of whatever type, whatever it is, and it may be left empty."""
        for reply in (b"\x05\x00\x00\x01" + bytes(6), b"\x05\x00\x00\x04" + bytes(18), b"\x05\x00\x00\x03\x00" + bytes(2)):
            self.assertEqual(asked().receive(reply + b"rest"), [TunnelOpened(A), TunnelData(A, b"rest")])

    def test_reserved(self) -> None:
        """ "Fields marked RESERVED (RSV) must be set to X'00'."; in section 2, of that notation: "a given octet must take on a specific
        value"."""
        for reserved in (1, 5, 255):
            for rest in (b"", REPLY_V4[3:], bytes(300)):
                said = self.assert_violation(asked(), b"\x05\x00" + bytes((reserved,)) + rest)
                self.assertIn(f" has {reserved} in its reserved field", said)
            talk = asked()
            self.assertEqual(talk.receive_bytes(b"\x05\x00"), [])
            self.assert_violation(talk, bytes((reserved,)))

    def test_address_type(self) -> None:
        """ "IP V4 address: X'01'", "DOMAINNAME: X'03'", "IP V6 address: X'04'": the length of any other is not known."""
        for address_type in (0, 2, 5, 255):
            for rest in (b"", bytes(6), bytes(300)):
                said = self.assert_violation(asked(), b"\x05\x00\x00" + bytes((address_type,)) + rest)
                self.assertIn(f" an address of type {address_type}, ", said)
            talk = asked()
            self.assertEqual(talk.receive_bytes(b"\x05\x00\x00"), [])
            self.assert_violation(talk, bytes((address_type,)))

    def test_failure(self) -> None:
        """ "When a reply (REP value other than X'00') indicates a failure, the SOCKS server MUST terminate the TCP connection shortly
        after sending the reply.": so do we, and ask of the rest neither that it be right nor that it be there."""
        for code, error in REFUSALS.items():
            for rest in (b"\x00\x01" + bytes(6), b"\x00\x00" + bytes(6), b"", b"\xff" * 300):
                self.assertIn("example.org:443", self.assert_refused(asked(), bytes((5, code)) + rest, error))
                talk = asked()
                talk.receive(b"\x05")
                self.assert_refused(talk, bytes((code,)) + rest, error)

    def test_unassigned(self) -> None:
        """ "X'09' to X'FF' unassigned": no two of the others are explained alike, and one of these by its number."""
        messages = {self.assert_refused(asked(), bytes((5, code)), error) for code, error in REFUSALS.items()}
        self.assertEqual(len(messages), len(REFUSALS))
        for code in range(9, 256):
            self.assertIn(f" {code}, ", self.assert_refused(asked(), bytes((5, code)), "unknown_error"))

    def test_no_encapsulation(self) -> None:
        """ "If the chosen method includes encapsulation for purposes of authentication, integrity and/or confidentiality": neither does."""
        data = bytes(range(256))
        plain, authenticated = asked(), authenticating()
        authenticated.receive(STATUS)
        for talk in (plain, authenticated):
            talk.receive(REPLY_V4)
            self.assertEqual((talk.send(A, data), talk.receive(data)), ([Write(data)], [TunnelData(A, data)]))

    def test_split(self) -> None:
        """TCP keeps no bounds of messages: every answer is the same in any two pieces."""
        for at in range(1, len(METHOD)):
            talk = SocksConversation()
            talk.connect()
            self.assertEqual(talk.receive(METHOD[:at], METHOD[at:]), [Write(REQUEST)])
        for reply in REPLIES:
            for at in range(1, len(reply)):
                self.assertEqual(asked().receive(reply[:at], reply[at:]), [TunnelOpened(A)])
