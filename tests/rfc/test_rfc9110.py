"""RFC 9110, HTTP Semantics, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, PROTOCOL_VIOLATION, UPGRADE, A, B, Conversation, Outline, outline, response, told
from twisted_gun.errors import InvalidRequest
from twisted_gun.headers import authority, check_method, normalise
from twisted_gun.request import connect_request

REFUSED = [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)]


def answer(data: bytes, method: bytes = b"GET") -> Outline:
    """What is told of `data`, the answer to one request."""
    talk = Conversation()
    talk.ask(A, method)
    talk.receive(data)
    return talk.outline


class Section5Tests(SynchronousTestCase):
    """Section 5: Fields."""

    def test_5_1_names(self) -> None:
        """ "Field names are case-insensitive": they are told, and sent, in lower case."""
        self.assertEqual(answer(response((b"X-ToKeN", b"A")))[0][3], ((b"x-token", b"A"),))
        self.assertEqual(normalise({"X-ToKeN": "A"}), ((b"x-token", b"A"),))

    def test_5_3_order(self) -> None:
        """ "The order in which field lines with the same name are received is therefore significant to the interpretation of the field
        value" """
        fields = ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"1"))
        self.assertEqual(answer(response(*fields))[0][3], fields)

    def test_5_4_limits(self) -> None:
        """ "HTTP does not place a predefined limit on the length of each field line …": ours have names."""
        reason = "LimitReached(max_header_count, 256)"
        self.assertEqual(answer(response(*[(b"a", b"b")] * 257)), [("failed", A, reason), ("close", reason)])

    def test_5_5_received(self) -> None:
        """ "a recipient of CR, LF, or NUL within a field value MUST either reject the message or replace each of those characters with
        SP" """
        for character in (b"\r", b"\n", b"\0"):
            self.assertEqual(answer(response((b"a", b"b" + character + b"c"))), REFUSED)

    def test_5_5_sent(self) -> None:
        """ "Field values containing CR, LF, or NUL characters are invalid and dangerous": they are never sent."""
        for character in "\r\n\0":
            self.assertRaises(InvalidRequest, normalise, {"a": f"b{character}c"})

    def test_5_5_white_space(self) -> None:
        """ "a field parsing implementation MUST exclude such whitespace prior to evaluating the field value." """
        self.assertEqual(answer(response((b"a", b" \t b \t ")))[0][3], ((b"a", b"b"),))

    def test_5_6_2_tokens(self) -> None:
        """ "token = 1*tchar", and a field's name is one."""
        for name in (b"", b"a b", b"a(b)", b"a,b", b"a/b", b"a\xe9", b'a"b'):
            self.assertEqual(answer(response((name, b"x"))), REFUSED)
            self.assertRaises(InvalidRequest, normalise, [(name, b"x")])


class Section6Tests(SynchronousTestCase):
    """Section 6: Message Abstraction."""

    def test_6_2_minor_version(self) -> None:
        """ "a major version number that it implements and a minor version number higher than what it implements SHOULD process the
        message as if it were in the highest minor version within that major version to which the recipient is conformant." """
        self.assertEqual(answer(OK.replace(b"1.1", b"1.7"))[1:], [("data", A, b"hello", True)])

    def test_6_5_1_trailers(self) -> None:
        """ "A recipient MUST NOT merge a trailer field into a header section unless the recipient understands the corresponding header
        field definition" """
        entries = answer(CHUNKED + b"0\r\nset-cookie: a=b\r\n\r\n")
        self.assertEqual([entry[0] for entry in entries], ["response", "trailers"])
        self.assertNotIn(b"set-cookie", dict(entries[0][3]))


class Section7Tests(SynchronousTestCase):
    """Section 7: Routing HTTP Messages."""

    def test_7_2_host(self) -> None:
        """ "A user agent MUST generate a Host header field in a request" """
        talk = Conversation()
        talk.ask(A)
        self.assertIn(b"\r\nhost: example.org\r\n", talk.written)

    def test_7_2_port(self) -> None:
        """ "Host = uri-host [ ":" port ]": the port is left out where it is the scheme's own."""
        for host, port, default, expected in (
            ("example.org", 80, 80, b"example.org"),
            ("example.org", 8080, 80, b"example.org:8080"),
            ("::1", 443, 443, b"[::1]"),
            ("::1", 8443, 443, b"[::1]:8443"),
        ):
            self.assertEqual(authority(host, port, default), expected)

    def test_7_5_early_response(self) -> None:
        """ "A client that receives a response while it is still sending the associated request SHOULD continue sending that request
        unless it receives an explicit indication to the contrary" """
        talk = Conversation()
        talk.ask(A, b"POST", body=None, length=6)
        talk.receive(OK[:-1])
        self.assertEqual(outline(talk.send(A, b"abcdef", fin=True)), [("write", b"abcdef")])

    def test_7_6_1_connection(self) -> None:
        """ "Connection options are case-insensitive." """
        self.assertEqual(answer(response((b"connection", b"CLOSE"), status=b"204 x"))[1:], [("close", None)])

    def test_7_8_not_asked_for(self) -> None:
        """ "A server MUST NOT switch to a protocol that was not indicated by the client in the corresponding request's Upgrade header
        field." """
        for asked in ((), ((b"connection", b"upgrade"), (b"upgrade", b"other"))):
            talk = Conversation()
            talk.ask(A, headers=asked)
            talk.receive(b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            self.assertEqual(talk.outline, REFUSED)

    def test_7_8_names(self) -> None:
        """ "recipients SHOULD use case-insensitive comparison when matching each protocol-name to supported protocols." """
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(b"HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: ECHO\r\n\r\n")
        self.assertEqual(talk.outline[0][:3], ("upgrade", A, (b"ECHO",)))

    def test_7_8_connection_option(self) -> None:
        """ "A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header field": without, it is none."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(b"HTTP/1.1 101 x\r\nupgrade: echo\r\n\r\n")
        self.assertEqual(talk.outline, REFUSED)


class Section8Tests(SynchronousTestCase):
    """Section 8: Representation Data and Metadata."""

    def test_8_6_sent(self) -> None:
        """ "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed content and it is not
        sending Transfer-Encoding." """
        for method in (b"POST", b"PUT", b"PATCH"):
            talk = Conversation()
            talk.ask(A, method)
            self.assertIn(b"\r\ncontent-length: 0\r\n", talk.written)

    def test_8_6_not_sent(self) -> None:
        """ "A user agent SHOULD NOT send a Content-Length header field when the request message does not contain content and the method
        semantics do not anticipate such data." """
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            talk = Conversation()
            talk.ask(A, method)
            self.assertNotIn(b"content-length", talk.written)

    def test_8_6_large(self) -> None:
        """ "a recipient MUST anticipate potentially large decimal numerals and prevent parsing errors due to integer conversion
        overflows" """
        self.assertEqual(answer(response((b"content-length", b"%d" % (2**63 - 1)), content=b"x"))[1:], [("data", A, b"x", False)])
        for value in (2**63, 2**64, 2**64 + 5, 10**40):
            self.assertEqual(answer(response((b"content-length", b"%d" % value), content=b"hello")), REFUSED)


class Section9Tests(SynchronousTestCase):
    """Section 9: Methods."""

    def test_9_1_case(self) -> None:
        """ "The method token is case-sensitive" """
        self.assertEqual(check_method("get"), b"get")
        self.assertEqual(answer(OK, b"head")[1:], [("data", A, b"hello", True)])

    def test_9_3_2_head(self) -> None:
        """ "The HEAD method is identical to GET except that the server MUST NOT send content in the response." """
        (entry,) = answer(OK[:-5], b"HEAD")
        self.assertEqual((entry[0], entry[4]), ("response", True))

    def test_9_3_6_connect(self) -> None:
        """ "The CONNECT method requests that the recipient establish a tunnel": it is no ordinary request."""
        for method in ("CONNECT", b"connect"):
            self.assertRaises(InvalidRequest, check_method, method)


class ConnectTests(SynchronousTestCase):
    """Section 9.3.6: CONNECT."""

    def connect(self, data: bytes) -> Conversation:
        """A conversation in which `data` answers it."""
        talk = Conversation()
        talk.ask_connect(A)
        talk.receive(data)
        return talk

    def test_9_3_6_target(self) -> None:
        """ "There is no default port; a client MUST send the port number" """
        for host, port, target in (
            ("example.org", 80, b"example.org:80"),
            ("example.org", 443, b"example.org:443"),
            ("::1", 80, b"[::1]:80"),
        ):
            self.assertEqual(connect_request(host, port).target, target)

    def test_9_3_6_example(self) -> None:
        """The section's example, with credentials: "Proxy authentication might be used to establish the authority to create a tunnel." """
        talk = Conversation()
        request = connect_request("server.example.com", 443, (), "hello", "world")
        talk.ask_connect(A, target=request.target, headers=request.headers)
        line, host, credentials, *rest = talk.written.split(b"\r\n")
        self.assertEqual((line, host, rest), (b"CONNECT server.example.com:443 HTTP/1.1", b"host: server.example.com:443", [b"", b""]))
        self.assertEqual(credentials, b"proxy-authorization: Basic aGVsbG86d29ybGQ=")

    def test_9_3_6_no_content(self) -> None:
        """ "A CONNECT request message does not have content." """
        for name in ("content-length", "transfer-encoding", "content-type"):
            self.assertRaises(InvalidRequest, connect_request, "a", 1, ((name.encode(), b"5"),))
        self.assertEqual(connect_request("a", 1).body, b"")

    def test_9_3_6_success(self) -> None:
        """ "Any 2xx (Successful) response indicates that the sender (and all inbound proxies) will switch to tunnel mode immediately after
        the response header section; data received after that header section is from the server identified by the request target." """
        for status in (200, 204, 299):
            talk = self.connect(b"HTTP/1.1 %d x\r\n\r\nanything" % status)
            self.assertEqual(talk.outline, [("response", A, status, (), False), ("tunnel opened", A), ("tunnel", A, b"anything")])

    def test_9_3_6_refusal(self) -> None:
        """ "Any response other than a successful response indicates that the tunnel has not yet been formed." """
        for status in (300, 302, 404, 407, 500):
            talk = self.connect(response((b"content-length", b"5"), status=b"%d x" % status, content=b"hello"))
            self.assertEqual([entry[0] for entry in talk.outline], ["tunnel refused", "response", "data", "accepting"])
        talk = self.connect(b"HTTP/1.1 103 x\r\n\r\n")
        self.assertEqual(([entry[0] for entry in talk.outline], talk.core.switched), (["inform"], False))

    def test_9_3_6_length(self) -> None:
        """ "A client MUST ignore any Content-Length or Transfer-Encoding header fields received in a successful response to CONNECT." """
        for field in ((b"content-length", b"3"), (b"transfer-encoding", b"chunked"), (b"content-length", b"x")):
            talk = self.connect(response(field, content=b"0\r\n\r\n"))
            self.assertEqual(talk.outline[1:], [("tunnel opened", A), ("tunnel", A, b"0\r\n\r\n")])

    def test_9_3_6_closed(self) -> None:
        """ "A tunnel is closed when a tunnel intermediary detects that either side has closed its connection": whatever was under way
        comes first."""
        talk = self.connect(b"HTTP/1.1 200 x\r\n\r\nlast")
        talk.lose()
        self.assertEqual(talk.outline[-2:], [("tunnel", A, b"last"), ("tunnel closed", A)])


class Section15Tests(SynchronousTestCase):
    """Section 15: Status Codes."""

    def test_15_unknown(self) -> None:
        """ "A client MUST understand the class of any status code …, and treat an unrecognized status code as being equivalent to the x00
        status code of that class." """
        for status in (299, 399, 499, 599):
            entry, *_ = answer(response((b"content-length", b"5"), status=b"%d x" % status, content=b"hello"))
            self.assertEqual((entry[2], entry[4]), (status, False))
        self.assertEqual(answer(b"HTTP/1.1 199 x\r\n\r\n"), [("inform", A, 199, ())])

    def test_15_2_interim(self) -> None:
        """ "A client MUST be able to parse one or more 1xx responses received prior to a final response, even if the client does not
        expect one." """
        entries = answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK)
        self.assertEqual([entry[0] for entry in entries], ["inform", "inform", "response", "data"])

    def test_15_2_1_continue(self) -> None:
        """ "If the request did not contain an Expect header field containing the 100-continue expectation, the client can simply discard
        this interim response.": what it is told of it does not end anything."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        self.assertEqual(told(talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + OK))[-1], ("data", B, b"hello", True))

    def test_15_3_5_no_content(self) -> None:
        """ "A 204 response is terminated by the end of the header section; it cannot contain content or trailers." """
        self.assertEqual([entry[0] for entry in answer(b"HTTP/1.1 204 x\r\n\r\nhello")], ["response", "close"])

    def test_15_4_5_not_modified(self) -> None:
        """ "A 304 response is terminated by the end of the header section; it cannot contain content or trailers." """
        (entry,) = answer(response((b"content-length", b"5000"), (b"etag", b'"x"'), status=b"304 Not Modified"))
        self.assertTrue(entry[4])
