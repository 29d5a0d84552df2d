"""RFC 9112, HTTP/1.1, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import (
    CHUNKED,
    OK,
    PROTOCOL_VIOLATION,
    UNTIL_CLOSE,
    A,
    B,
    C,
    Conversation,
    Outline,
    outline,
    response,
    told,
)
from twisted_gun.events import Headers, Response
from twisted_gun.request import Forward
from twisted_gun.wire.core import Request

LINE = b"HTTP/1.1 200 OK\r\n"
REFUSED = [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)]


def answer(data: bytes, method: bytes = b"GET", headers: Headers = (), *, end: bool = False, clean: bool = True) -> Outline:
    """What is told of `data`, the answer to one request; with `end` the connection is lost then."""
    talk = Conversation()
    talk.ask(A, method, headers=headers)
    talk.receive(data)
    if end and not talk.over:
        talk.lose(clean=clean)
    return talk.outline


class Section2Tests(SynchronousTestCase):
    """Section 2: Message."""

    def test_2_2_octets(self) -> None:
        """ "A recipient MUST parse an HTTP message as a sequence of octets in an encoding that is a superset of US-ASCII." """
        value = bytes(range(128, 256))
        self.assertEqual(answer(LINE + b"x: " + value + b"\r\n\r\n")[0][3], ((b"x", value),))

    def test_2_2_bare_lf(self) -> None:
        """ "a recipient MAY recognize a single LF as a line terminator": we do not, for others have disagreed on it to their harm."""
        for data in (LINE[:-2] + b"\n\r\n", LINE + b"a: b\n\r\n", CHUNKED + b"1\na\r\n0\r\n\r\n"):
            self.assertEqual(answer(data)[-2:], REFUSED)

    def test_2_2_bare_cr(self) -> None:
        """ "A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP" """
        for data in (b"HTTP/1.1 200 O\rK\r\n\r\n", LINE + b"a: b\rc\r\n\r\n", LINE + b"a\rb: c\r\n\r\n"):
            self.assertEqual(answer(data), REFUSED)

    def test_2_2_no_extra_crlf(self) -> None:
        """ "An HTTP/1.1 user agent MUST NOT preface or follow a request with an extra CRLF." """
        talk = Conversation()
        for stream, body in ((A, b""), (B, b"content"), (C, b"")):
            talk.ask(stream, b"POST", body=body)
        self.assertEqual(talk.written.count(b"\r\n\r\n"), 3)
        self.assertEqual(talk.written.count(b"contentPOST"), 1)
        self.assertFalse(talk.written.startswith(b"\r\n"))

    def test_2_2_white_space_first(self) -> None:
        """ "whitespace between the start-line and the first header field MUST either reject the message as invalid or" ignore it."""
        for space in (b" ", b"\t", b"  \t"):
            self.assertEqual(answer(LINE + space + b"content-length: 5\r\n\r\nhello"), REFUSED)

    def test_2_3_minor_versions(self) -> None:
        """ "HTTP-version = HTTP-name "/" DIGIT "." DIGIT", with "HTTP" in upper case: version 1 and nothing else."""
        for version in (b"HTTP/1.2", b"HTTP/1.9"):
            self.assertEqual(answer(version + b" 204 x\r\n\r\n")[0][2], 204)
        for version in (b"http/1.1", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/11", b"HTTP/1,1"):
            self.assertEqual(answer(version + b" 204 x\r\n\r\n"), REFUSED)


class Section3Tests(SynchronousTestCase):
    """Section 3: Request Line."""

    def test_3_request_line(self) -> None:
        """ "request-line = method SP request-target SP HTTP-version" """
        talk = Conversation()
        talk.ask(A, b"PATCH", target=b"/where?q=now")
        self.assertTrue(talk.written.startswith(b"PATCH /where?q=now HTTP/1.1\r\n"))

    def test_3_2_host(self) -> None:
        """ "A client MUST send a Host header field in all HTTP/1.1 request messages." """
        talk = Conversation()
        talk.ask(A)
        self.assertEqual(talk.written.count(b"\r\nhost: example.org\r\n"), 1)

    def test_3_2_2_absolute_form(self) -> None:
        """ "A client MUST send a Host header field in an HTTP/1.1 request even if the request-target is in the absolute-form" """
        talk = Conversation()
        talk.ask(A, target=b"http://example.org/x")
        self.assertEqual(talk.written, b"GET http://example.org/x HTTP/1.1\r\nhost: example.org\r\n\r\n")

    def test_3_2_2_to_a_proxy(self) -> None:
        """ "When making a request to a proxy, other than a CONNECT or server-wide OPTIONS request (as detailed below), a client MUST send
        the target URI in "absolute-form" as the request-target." """
        talk = Conversation()
        request = Request(method=b"GET", target=b"/where?q=now", authority=b"example.org:8080", headers=(), body=b"")
        talk.ask_for(A, Forward(fields=()).of(request))
        self.assertEqual(talk.written, b"GET http://example.org:8080/where?q=now HTTP/1.1\r\nhost: example.org:8080\r\n\r\n")

    def test_3_2_3_authority_form(self) -> None:
        """ "When making a CONNECT request to establish a tunnel through one or more proxies, a client MUST send only the host and port of
        the tunnel destination as the request-target." """
        talk = Conversation()
        talk.ask_connect(A, target=b"www.example.com:80")
        self.assertEqual(talk.written, b"CONNECT www.example.com:80 HTTP/1.1\r\nhost: www.example.com:80\r\n\r\n")

    def test_3_2_4_to_a_proxy(self) -> None:
        """For OPTIONS of a server as a whole a proxy is given "an absolute-form of request-target in which the URI has an empty path and no
        query component": of that "the last proxy on the request chain MUST send a request-target of "*"" """
        request = Request(method=b"OPTIONS", target=b"*", authority=b"example.org", headers=(), body=b"")
        self.assertEqual(Forward(fields=()).of(request).target, b"http://example.org")

    def test_3_2_4_asterisk_form(self) -> None:
        """ "the client MUST send only "*" (%x2A) as the request-target." """
        talk = Conversation()
        talk.ask(A, b"OPTIONS", target=b"*")
        self.assertTrue(talk.written.startswith(b"OPTIONS * HTTP/1.1\r\n"))


class Section4Tests(SynchronousTestCase):
    """Section 4: Status Line."""

    def test_4_reason(self) -> None:
        """ "A client SHOULD ignore the reason-phrase content because it is not a reliable channel for information" """
        for reason in (b" OK", b" Not Found", b" ", b"", b" \xff\xfe", b" 100 Continue"):
            talk = Conversation()
            talk.ask(A)
            (step,) = talk.receive(b"HTTP/1.1 200" + reason + b"\r\ncontent-length: 0\r\n\r\n")
            assert isinstance(step, Response), step
            self.assertEqual((step.status, step.fin, step.reason), (200, True, reason[1:]))

    def test_4_status(self) -> None:
        """ "status-code = 3DIGIT" """
        for status in (b"20", b"2000", b"2x0", b"", b" 200", b"-20"):
            self.assertEqual(answer(b"HTTP/1.1 " + status + b" OK\r\n\r\n"), REFUSED)


class Section5Tests(SynchronousTestCase):
    """Section 5: Field Syntax."""

    def test_5_white_space(self) -> None:
        """ "field-line = field-name ":" OWS field-value OWS": the white space around a value does not belong to it."""
        self.assertEqual(answer(LINE + b"a: \t b \t\r\nc:d\r\n\r\n")[0][3], ((b"a", b"b"), (b"c", b"d")))

    def test_5_1_space_before_colon(self) -> None:
        """ "No whitespace is allowed between the field name and colon." """
        for space in (b" ", b"\t"):
            self.assertEqual(answer(LINE + b"content-length" + space + b": 5\r\n\r\nhello"), REFUSED)

    def test_5_2_obs_fold(self) -> None:
        """A user agent "MUST replace each received obs-fold with one or more SP octets prior to interpreting the field value." """
        self.assertEqual(answer(LINE + b"a: b\r\n\tc\r\n d\r\n\r\n")[0][3], ((b"a", b"b c d"),))


class Section6Tests(SynchronousTestCase):
    """Section 6: Message Body."""

    def test_6_1_chunked(self) -> None:
        """ "A recipient MUST be able to parse the chunked transfer coding" """
        self.assertEqual(answer(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")[1:], [("data", A, b"hello", True)])

    def test_6_1_sent_once(self) -> None:
        """ "A sender MUST NOT apply the chunked transfer coding more than once to a message body" """
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"hello", fin=True)
        self.assertEqual(talk.written.count(b"chunked"), 1)
        self.assertTrue(talk.written.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))

    def test_6_1_http_1_0(self) -> None:
        """An HTTP/1.0 message with Transfer-Encoding: "treat the message as if the framing is faulty, even if a Content-Length is
        present, and close the connection after processing the message." """
        data = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        talk = Conversation()
        talk.ask(A)
        talk.receive(data)
        self.assertFalse(talk.core.accepting)
        talk.lose()
        self.assertEqual(talk.outline[1:], [("data", A, b"0\r\n\r\n", True)])

    def test_6_2_not_both(self) -> None:
        """ "A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header field." """
        for body, length in ((None, None), (None, 5), (b"hello", None), (b"hello", 5)):
            talk = Conversation()
            talk.ask(A, b"POST", body=body, length=length)
            self.assertEqual((b"content-length" in talk.written) + (b"transfer-encoding" in talk.written), 1)

    def test_6_3_no_content(self) -> None:
        """ "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No Content), or 304 (Not Modified) status
        code is always terminated by the first empty line after the header fields" """
        lengths = ((b"content-length", b"5"), (b"transfer-encoding", b"chunked"))
        for method, status in ((b"HEAD", b"200 OK"), (b"GET", b"204 No Content"), (b"GET", b"304 Not Modified")):
            for length in lengths:
                (entry,) = answer(response(length, status=status), method)
                self.assertEqual((entry[0], entry[4]), ("response", True))
        told_first = answer(b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\n" + OK)
        self.assertEqual([entry[0] for entry in told_first], ["inform", "response", "data"])

    def test_6_3_connect(self) -> None:
        """ "Any 2xx (Successful) response to a CONNECT request implies that the connection will become a tunnel immediately after the empty
        line that concludes the header fields. A client MUST ignore any Content-Length or Transfer-Encoding header fields received in such
        a message." """
        for length in ((b"content-length", b"5"), (b"transfer-encoding", b"chunked")):
            talk = Conversation()
            talk.ask_connect(A)
            talk.receive(response(length, content=b"\r\n0\r\n\r\n"))
            self.assertEqual(talk.outline, [("response", A, 200, (length,), False), ("tunnel opened", A), ("tunnel", A, b"\r\n0\r\n\r\n")])
            self.assertTrue(talk.core.switched)

    def test_6_3_te_over_cl(self) -> None:
        """ "If a message is received with both a Transfer-Encoding and a Content-Length header field, the Transfer-Encoding overrides
        the Content-Length. Such a message … ought to be handled as an error.": the connection ends with it."""
        entries = answer(response((b"content-length", b"3"), (b"transfer-encoding", b"chunked"), content=b"5\r\nhello\r\n0\r\n\r\n"))
        self.assertEqual(entries[1:], [("data", A, b"hello", True), ("close", None)])

    def test_6_3_last_coding(self) -> None:
        """ "If a Transfer-Encoding header field is present in a response and the chunked transfer coding is not the final encoding, the
        message body length is determined by reading the connection until it is closed": never guessed from anything else."""
        self.assertEqual(answer(LINE + b"transfer-encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), REFUSED)

    def test_6_3_invalid_length(self) -> None:
        """ "without Transfer-Encoding and with an invalid Content-Length header field, then the message framing is invalid and the
        recipient MUST treat it as an unrecoverable error" """
        for value in (b"+5", b"5, 6", b"five", b""):
            self.assertEqual(answer(response((b"content-length", value), content=b"hello")), REFUSED)

    def test_6_3_same_length_twice(self) -> None:
        """ "unless … all values in the list are valid, and all values in the list are the same" """
        self.assertEqual(answer(response((b"content-length", b"5, 5"), content=b"hello"))[1:], [("data", A, b"hello", True)])

    def test_6_3_incomplete(self) -> None:
        """ "If the sender closes the connection … before the indicated number of octets are received, the recipient MUST consider the
        message to be incomplete and close the connection." """
        self.assertEqual(answer(OK[:-2], end=True)[1:], [("data", A, b"hel", False), ("failed", A, "Truncated(3, 5)")])

    def test_6_3_until_close(self) -> None:
        """ "Otherwise, this is a response message without a declared message body length, so the message body length is determined by
        the number of octets received prior to the server closing the connection." """
        self.assertEqual(answer(UNTIL_CLOSE + b"hello", end=True)[1:], [("data", A, b"hello", True)])

    def test_6_3_user_agents_frame(self) -> None:
        """ "A user agent that sends a request that contains a message body MUST send either a valid Content-Length header field or use
        the chunked transfer coding." """
        for body, length, field in ((b"hello", None, b"content-length: 5"), (None, 5, b"content-length: 5"), (None, None, b"chunked")):
            talk = Conversation()
            talk.ask(A, b"POST", body=body, length=length)
            self.assertIn(field, talk.written)

    def test_6_3_extra_data(self) -> None:
        """ "A client MUST NOT process, cache, or forward such extra data as a separate response, since such behavior would be vulnerable
        to cache poisoning." """
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK + OK)
        self.assertEqual(talk.outline[1:], [("data", A, b"hello", True), ("close", PROTOCOL_VIOLATION)])


class Section7Tests(SynchronousTestCase):
    """Section 7: Transfer Codings."""

    def test_7_names(self) -> None:
        """ "All transfer-coding names are case-insensitive" """
        self.assertEqual(answer(LINE + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n")[1:], [("data", A, b"", True)])

    def test_7_1_large_numbers(self) -> None:
        """ "recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer conversion
        overflows" """
        self.assertEqual(answer(CHUNKED + b"ffffffffffffffff\r\nhello")[1:], [("data", A, b"hello", False)])
        self.assertEqual(answer(CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n")[1:], REFUSED)

    def test_7_1_parameters(self) -> None:
        """ "The chunked coding does not define any parameters. Their presence SHOULD be treated as an error." """
        self.assertEqual(answer(LINE + b"transfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n"), REFUSED)

    def test_7_1_1_extensions(self) -> None:
        """ "A recipient MUST ignore unrecognized chunk extensions." """
        self.assertEqual(answer(CHUNKED + b'5;a;b=c;d="e f"\r\nhello\r\n0;x\r\n\r\n')[1:], [("data", A, b"hello", True)])

    def test_7_1_1_limit(self) -> None:
        """ "A server ought to limit the total length of chunk extensions": so do we."""
        reason = "LimitReached(max_chunk_extension_size, 256)"
        self.assertEqual(answer(CHUNKED + b"5;" + b"x" * 256 + b"\r\n")[1:], [("failed", A, reason), ("close", reason)])

    def test_7_1_2_trailers(self) -> None:
        """ "A recipient MUST NOT merge a received trailer field into the header section": they are told on their own."""
        entries = answer(CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual(entries[0][3], ((b"transfer-encoding", b"chunked"),))
        self.assertEqual(entries[1:], [("trailers", A, ((b"content-length", b"5"),))])


class Section8Tests(SynchronousTestCase):
    """Section 8: Handling Incomplete Messages."""

    def test_8_chunked(self) -> None:
        """ "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that terminates the encoding has
        not been received." """
        for cut in (b"5\r\nhello\r\n", b"5\r\nhello", b"5\r\nhello\r\n0", b"5\r\nhello\r\n0\r\n"):
            self.assertEqual(answer(CHUNKED + cut, end=True)[-1], ("failed", A, "Truncated(5, None)"))

    def test_8_head(self) -> None:
        """ "A client that receives an incomplete response message … MUST record the message as incomplete.": in its head too."""
        self.assertEqual(answer(LINE + b"x: y\r\n", end=True), [("failed", A, "StreamClosed")])

    def test_8_unclean(self) -> None:
        """ "a response that has neither chunked transfer coding nor Content-Length is terminated by closure of the connection and, if the
        header section was received intact, is considered complete unless an error was indicated by the underlying connection" """
        self.assertEqual(answer(UNTIL_CLOSE + b"hello", end=True, clean=False)[-1], ("failed", A, "Truncated(5, None)"))


class Section9Tests(SynchronousTestCase):
    """Section 9: Connection Management."""

    def test_9_2_order(self) -> None:
        """ "A client that has more than one outstanding request on a connection … MUST associate each received response message on that
        connection to the first outstanding request that has not yet received a final (non-1xx) response." """
        talk = Conversation()
        for stream in (A, B, C):
            talk.ask(stream)
        talk.receive(
            b"HTTP/1.1 100 Continue\r\n\r\n" + b"".join(response((b"content-length", b"0"), status=b"%d x" % n) for n in (201, 202, 203))
        )
        self.assertEqual([entry[1:3] for entry in talk.outline], [(A, 100), (A, 201), (B, 202), (C, 203)])

    def test_9_2_unsolicited(self) -> None:
        """ "If a client receives data on a connection that doesn't have outstanding requests, the client MUST NOT consider that data to
        be a valid response; the client SHOULD close the connection" """
        self.assertEqual(outline(Conversation().receive(OK)), [("close", PROTOCOL_VIOLATION)])

    def test_9_2_crlf(self) -> None:
        """ "unless the data consists only of one or more CRLF (which can be discarded …)": one is."""
        talk = Conversation()
        self.assertEqual(talk.receive(b"\r\n"), [])
        self.assertTrue(talk.core.accepting)

    def test_9_3_persistence(self) -> None:
        """ "If the "close" connection option is present, the connection will not persist after the current response; else, If the
        received protocol is HTTP/1.1 (or later), the connection will persist …; else, If the received protocol is HTTP/1.0, the
        "keep-alive" connection option is present …, the connection will persist" """
        for start, persists in (
            (b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n", False),
            (b"HTTP/1.1 204 x\r\n\r\n", True),
            (b"HTTP/1.2 204 x\r\n\r\n", True),
            (b"HTTP/1.0 204 x\r\n\r\n", False),
            (b"HTTP/1.0 204 x\r\nconnection: keep-alive\r\n\r\n", True),
            (b"HTTP/1.0 204 x\r\nconnection: keep-alive, close\r\n\r\n", False),
        ):
            talk = Conversation()
            talk.ask(A)
            talk.receive(start)
            self.assertEqual((talk.core.accepting, talk.over), (persists, not persists))

    def test_9_3_until_it_sends_close(self) -> None:
        """ "A client MAY send additional requests on a persistent connection until it sends or receives a "close" connection option" """
        talk = Conversation()
        talk.ask(A, headers=[(b"connection", b"close")])
        self.assertFalse(talk.core.accepting)

    def test_9_3_whole_response(self) -> None:
        """ "a client MUST read the entire response message body if it intends to reuse the same connection for a subsequent request." """
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK[:-5])
        talk.cancel(A)
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(b"hello")), [("accepting",)])

    def test_9_3_2_pipelining(self) -> None:
        """ "A client that supports persistent connections MAY "pipeline" its requests" """
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        self.assertEqual(talk.written.count(b"GET / "), 2)

    def test_9_5_early_error(self) -> None:
        """ "If the client sees a response that indicates the server does not wish to receive the message body and is closing the
        connection, the client SHOULD immediately cease transmitting the body and close its side of the connection." """
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"some")
        steps = told(talk.receive(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"))
        self.assertEqual([entry[0] for entry in steps], ["response", "close"])

    def test_9_6_close_received(self) -> None:
        """ "A client that receives a "close" connection option MUST cease sending requests on that connection and close the connection
        after reading the response message containing the "close" connection option; if additional pipelined requests had been sent on
        the connection, the client SHOULD NOT assume that they will be processed by the server." """
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.receive(response((b"connection", b"close"), (b"content-length", b"5"), content=b"hello"))
        self.assertEqual([entry[:2] for entry in talk.outline], [("failed", B), ("response", A), ("data", A), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (B,))

    def test_9_6_close_sent(self) -> None:
        """A client that sends close "MUST close the connection after reading the final response message corresponding to this
        request." """
        talk = Conversation()
        talk.ask(A, headers=[(b"connection", b"close")])
        self.assertEqual(told(talk.receive(OK))[-1], ("close", None))

    def test_9_8_incomplete_close(self) -> None:
        """ "When encountering an incomplete close, a client SHOULD treat as completed all requests for which it has received either: as
        much data as specified in the Content-Length header field, or the terminal zero-length chunk" """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            self.assertEqual(answer(data, end=True, clean=False)[1:], [("data", A, b"hello", True)])
