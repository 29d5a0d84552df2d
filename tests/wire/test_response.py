"""How the head of a response is read, and what it says of the content."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import (
    CHUNKED,
    OK,
    PROTOCOL_VIOLATION,
    SWITCHED,
    UPGRADE,
    A,
    B,
    C,
    Conversation,
    Outline,
    outline,
    response,
)
from twisted_gun.events import Headers, Response


def answered(data: bytes, method: bytes = b"GET", *, end: bool = False, **options: object) -> Outline:
    """What the stream of one request is told of `data`, which is also sent a byte at a time; with `end` the connection is lost then."""
    outlines = []
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        talk = Conversation(**options)
        talk.ask(A, method)
        talk.receive(*pieces)
        if end:
            talk.lose()
        outlines.append(talk.outline)
    whole, bytewise = outlines
    assert whole == bytewise, f"{whole} is not {bytewise}"
    return whole


class StatusLineTests(SynchronousTestCase):
    """The status line."""

    def reason_of(self, line: bytes) -> tuple[int, bytes]:
        """The status and the reason phrase of a response with this status line."""
        talk = Conversation()
        talk.ask(A)
        told, *_ = talk.receive(line + b"\r\ncontent-length: 0\r\n\r\n")
        assert isinstance(told, Response), told
        return told.status, told.reason

    def test_lines(self) -> None:
        """The reason phrase may be empty, missing, or anything; any status from 200 on is one."""
        for line, status, reason in (
            (b"HTTP/1.1 200 OK", 200, b"OK"),
            (b"HTTP/1.1 200 ", 200, b""),
            (b"HTTP/1.1 200", 200, b""),
            (b"HTTP/1.1 200  OK", 200, b" OK"),
            (b"HTTP/1.1 200 a\tb c", 200, b"a\tb c"),
            (b"HTTP/1.1 500 Ori\xc3\xabntatieprobleem", 500, b"Ori\xc3\xabntatieprobleem"),
            (b"HTTP/1.0 404 Not Found", 404, b"Not Found"),
            (b"HTTP/1.9 299 Later", 299, b"Later"),
            (b"HTTP/1.1 999 Odd", 999, b"Odd"),
        ):
            self.assertEqual(self.reason_of(line), (status, reason))

    def test_remembered(self) -> None:
        """The same line again says the same, whatever stood between."""
        for _ in range(3):
            for status in range(200, 300):
                self.assertEqual(self.reason_of(b"HTTP/1.1 %d x" % status), (status, b"x"))


class FieldTests(SynchronousTestCase):
    """Header fields."""

    def fields(self, lines: bytes) -> Headers:
        """The fields that a response with these lines has."""
        (told, *_) = answered(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")
        return told[3]  # type: ignore[no-any-return]

    def test_fields(self) -> None:
        """Names in lower case, values without the white space around them, order and duplicates kept."""
        for lines, fields in (
            (b"", ()),
            (b"A: 1\r\nB:2\r\nA:\t3 \t\r\n", ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))),
            (b"a:\r\n", ((b"a", b""),)),
            (b"a: \r\n", ((b"a", b""),)),
            (b"a: b: c\r\n", ((b"a", b"b: c"),)),
            (b"a: b\tc  d\r\n", ((b"a", b"b\tc  d"),)),
            (b"a: \xff\xe9\x80\r\n", ((b"a", b"\xff\xe9\x80"),)),
            (b"!#$%&'*+-.^_`|~09azAZ: x\r\n", ((b"!#$%&'*+-.^_`|~09azaz", b"x"),)),
            (b"Long: " + b"x" * 5000 + b"\r\n", ((b"long", b"x" * 5000),)),
        ):
            self.assertEqual(self.fields(lines), fields)

    def test_folded(self) -> None:
        """A folded value is joined by spaces."""
        for lines, fields in (
            (b"a: b\r\n c\r\n", ((b"a", b"b c"),)),
            (b"a: b\r\n\t\tc\r\n  d\r\nx: y\r\n", ((b"a", b"b c d"), (b"x", b"y"))),
            (b"a:\r\n b\r\n", ((b"a", b"b"),)),
            (b"a: b\r\n \r\n", ((b"a", b"b"),)),
        ):
            self.assertEqual(self.fields(lines), fields)

    def test_lenient(self) -> None:
        """Leniently, lines end with LF or CRLF, and what is no field is left out with what continues it."""
        for lines, fields in (
            (b"a: b\nc: d\r\ne: f\n", ((b"a", b"b"), (b"c", b"d"), (b"e", b"f"))),
            (b"a: b\r\n\tc\n  d\r\nx: y\r\n", ((b"a", b"b c d"), (b"x", b"y"))),
            (b"a: b\r\n<meta>\r\n more: x\r\nc: d\r\n", ((b"a", b"b"), (b"c", b"d"))),
            (b" a: b\r\nc: d\r\n", ((b"c", b"d"),)),
            (b"a: \x00\nb c: d\ne: f\n: g\n", ((b"e", b"f"),)),
            (b"Long: " + b"x" * 5000 + b"\nbad\n", ((b"long", b"x" * 5000),)),
            (b"", ()),
        ):
            (told, *_) = answered(b"HTTP/1.1 200 OK\n" + lines + b"\n", lenient=True)
            self.assertEqual(told[3], fields)

    def test_lenient_but_not_with_framing(self) -> None:
        """A line that may be meant to frame the content is not left out, or the next response would begin in the wrong place."""
        for line in (
            b"Content-Length : 5",
            b"content-length\x00: 5",
            b"\x01Transfer-Encoding: chunked",
            b"transfer-encoding chunked",
            b"Foo: a\rContent-Length: 5",
            b"foo\rtransfer-encoding: x",
            b"content-\x00length: 2",
        ):
            (told, *_) = answered(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n", lenient=True)
            self.assertEqual(told, ("failed", A, PROTOCOL_VIOLATION), line)

    def test_lenient_content(self) -> None:
        """The content is framed as ever, and the next response begins behind it."""
        told = answered(b"HTTP/1.1 200 OK\ncontent-length: 5\n\na\n\nb\n", lenient=True)
        self.assertEqual(told[1:], [("data", A, b"a\n\nb\n", True)])

    def test_lenient_limits(self) -> None:
        """The limits of the status line, of the block and of the fields hold leniently, too."""
        line, block = b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\na: b\n\n"
        for name, most in (("max_status_line_size", len(line)), ("max_header_block_size", len(block)), ("max_header_count", 1)):
            options: dict[str, Any] = {name: most, "lenient": True}
            (told, *_) = answered(block, end=True, **options)
            self.assertEqual(told[0], "response", name)
        for name, data in (
            ("max_status_line_size", b"HTTP/1.1 200 OK\n\n"),
            ("max_header_block_size", block),
            ("max_header_count", b"HTTP/1.1 200 OK\na: b\nc: d\n\n"),
        ):
            most = {"max_status_line_size": len(line) - 1, "max_header_block_size": len(block) - 1}.get(name, 1)
            options = {name: most, "lenient": True}
            (told, *_) = answered(data, **options)
            self.assertEqual(told, ("failed", A, f"LimitReached({name}, {most})"))

    def test_lenient_begins_as_http(self) -> None:
        """What begins as no HTTP/1 response is refused at once."""
        (told, *_) = answered(b"x", lenient=True)
        self.assertEqual(told, ("failed", A, PROTOCOL_VIOLATION))

    def test_twice(self) -> None:
        """Remembering a field does not change what it says the next time."""
        for _ in range(2):
            self.assertEqual(self.fields(b"A: b\r\n"), ((b"a", b"b"),))
            self.assertEqual(self.fields(b"a: B\r\n"), ((b"a", b"B"),))


class ContentTests(SynchronousTestCase):
    """Where the content ends; RFC 9112 section 6.3."""

    def test_none(self) -> None:
        """After HEAD, with 204, with 304, and with a length of 0 the head is all there is."""
        length, chunked = (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")
        for method, status, fields in (
            (b"HEAD", b"200 OK", (length,)),
            (b"HEAD", b"200 OK", (chunked,)),
            (b"HEAD", b"200 OK", ()),
            (b"GET", b"204 No Content", ()),
            (b"GET", b"204 No Content", (length,)),
            (b"GET", b"204 No Content", (chunked,)),
            (b"GET", b"304 Not Modified", (length,)),
            (b"GET", b"304 Not Modified", (chunked,)),
            (b"GET", b"200 OK", ((b"Content-Length", b"0"),)),
            (b"GET", b"200 OK", ((b"Content-Length", b"000"),)),
        ):
            (told,) = answered(response(*fields, status=status), method)
            self.assertEqual((told[0], told[4]), ("response", True))

    def test_length(self) -> None:
        """A Content-Length is a number of bytes; the same number several times is that number."""
        for lines in (
            b"content-length: 5",
            b"content-length: 0005",
            b"content-length:\t5\t",
            b"Content-Length: 5\r\nCONTENT-LENGTH: 5",
            b"content-length: 5, 5",
            b"content-length: 5,5\r\ncontent-length: 5",
        ):
            told = answered(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\nhello")
            self.assertEqual(told[1:], [("data", A, b"hello", True)], lines)

    def test_largest(self) -> None:
        """The largest length is 2 to the 63rd, less one."""
        told = answered(response((b"content-length", b"9223372036854775807"), content=b"hello"), end=True)
        self.assertEqual(told[1:], [("data", A, b"hello", False), ("failed", A, "Truncated(5, 9223372036854775807)")])

    def test_chunked(self) -> None:
        """Chunks of any size, in either case, with extensions, and without."""
        for chunks in (
            b"5\r\nhello\r\n0\r\n\r\n",
            b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
            b"0000000000000005\r\nhello\r\n00000\r\n\r\n",
            b"5;a\r\nhello\r\n0;b\r\n\r\n",
            b'5;a=b;c="d e"\r\nhello\r\n0\r\n\r\n',
            b"5 ;\ta = b\r\nhello\r\n0\t; x\r\n\r\n",
            b"5;\r\nhello\r\n0\r\n\r\n",
        ):
            self.assertEqual(answered(CHUNKED + chunks)[1:], [("data", A, b"hello", True)], chunks)
        for size in (b"1a", b"1A"):
            self.assertEqual(answered(CHUNKED + size + b"\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n")[1:], [("data", A, b"x" * 26, True)])

    def test_chunks_without_content(self) -> None:
        """The last chunk may be the only one."""
        self.assertEqual(answered(CHUNKED + b"0\r\n\r\n")[1:], [("data", A, b"", True)])

    def test_codings(self) -> None:
        """The name of the coding is in any case; ``identity`` codes nothing."""
        chunks = b"5\r\nhello\r\n0\r\n\r\n"
        for value in (b"Chunked", b"CHUNKED", b"\tchunked "):
            self.assertEqual(answered(response((b"transfer-encoding", value), content=chunks))[1:], [("data", A, b"hello", True)])
        told = answered(response((b"transfer-encoding", b"identity"), content=chunks), end=True)
        self.assertEqual(told[1:], [("data", A, chunks, True)])

    def test_trailers(self) -> None:
        """Trailers end the response, in place of the last data."""
        told = answered(CHUNKED + b"5\r\nhello\r\n0\r\nX-A: 1\r\nx-b:\r\n 2\r\n\r\n")
        self.assertEqual(told[1:], [("data", A, b"hello", False), ("trailers", A, ((b"x-a", b"1"), (b"x-b", b"2")))])
        told = answered(CHUNKED + b"0\r\nx: y\r\n\r\n")
        self.assertEqual(told[1:], [("trailers", A, ((b"x", b"y"),))])

    def test_chunks_together(self) -> None:
        """Chunks that arrive together are told as one piece."""
        talk = Conversation()
        talk.ask(A)
        steps = talk.receive(CHUNKED + b"1\r\na\r\n" * 100)
        self.assertEqual(len(steps), 2)
        steps = talk.receive(b"1\r\na\r\n" * 100 + b"0\r\n\r\n")
        self.assertEqual(len(steps), 1)

    def test_large_chunk_is_not_waited_for(self) -> None:
        """Content is told as it comes, however large its chunk was said to be."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(CHUNKED + b"7fffffffffffffff\r\n")
        for _ in range(10):
            self.assertEqual(outline(talk.receive(b"x" * 1000)), [("data", A, b"x" * 1000, False)])

    def test_until_close(self) -> None:
        """Without a length the content goes on to the end of the connection, which is not used again."""
        for version, fields in (
            (b"1.1", b""),
            (b"1.0", b""),
            (b"1.0", b"transfer-encoding: chunked\r\n"),
            (b"1.1", b"connection: keep-alive\r\n"),
        ):
            talk = Conversation()
            talk.ask(A)
            talk.receive(b"HTTP/%b 200 OK\r\n%b\r\n" % (version, fields))
            self.assertFalse(talk.core.accepting)
            talk.receive(b"5\r\n", b"hello")
            talk.lose()
            self.assertEqual(talk.outline[1:], [("data", A, b"5\r\nhello", True)])


class PersistenceTests(SynchronousTestCase):
    """Whether the connection is used again; RFC 9112 section 9.3."""

    def test_table(self) -> None:
        """By version, Connection, and what the request said."""
        close, keep = b"connection: close\r\n", b"connection: keep-alive\r\n"
        for version, fields, asked, closes in (
            (b"1.1", b"", (), False),
            (b"1.1", keep, (), False),
            (b"1.1", close, (), True),
            (b"1.1", b"connection: Close\r\n", (), True),
            (b"1.1", b"connection: te, close\r\n", (), True),
            (b"1.1", b"connection: keep-alive\r\nconnection: close\r\n", (), True),
            (b"1.1", b"connection: te\r\n", (), False),
            (b"1.1", b"connection:\r\n", (), False),
            (b"1.1", b"proxy-connection: close\r\n", (), False),
            (b"1.0", b"", (), True),
            (b"1.0", keep, (), False),
            (b"1.0", b"connection: Keep-Alive, x\r\n", (), False),
            (b"1.0", b"connection: keep-alive, close\r\n", (), True),
            (b"1.1", b"", ((b"connection", b"close"),), True),
            (b"1.1", keep, ((b"connection", b"close"),), True),
            (b"1.1", b"", ((b"connection", b"keep-alive, te"),), False),
        ):
            talk = Conversation()
            talk.ask(A, headers=asked)
            self.assertEqual(talk.core.accepting, asked != ((b"connection", b"close"),))
            steps = outline(talk.receive(b"HTTP/%b 200 OK\r\n%bcontent-length: 0\r\n\r\n" % (version, fields)))
            self.assertEqual(steps[1:], [("close", None)] if closes else [], (version, fields, asked))
            self.assertEqual(talk.core.accepting, not closes)

    def test_http_1_0_requests(self) -> None:
        """A request sent as HTTP/1.0 is the last one, unless it asked to keep the connection."""
        for asked, closes in ((), True), (((b"connection", b"keep-alive"),), False):
            talk = Conversation(version="HTTP/1.0")
            talk.ask(A, headers=asked)
            self.assertEqual(talk.core.accepting, not closes)
            steps = outline(talk.receive(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n"))
            self.assertEqual(steps[1:], [("close", None)] if closes else [])

    def test_both_lengths(self) -> None:
        """With Transfer-Encoding and Content-Length the first counts, and the connection is not used again."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.receive(response((b"content-length", b"3"), (b"transfer-encoding", b"chunked"), content=b"5\r\nhello\r\n0\r\n\r\n") + OK)
        self.assertEqual([entry[:2] for entry in talk.outline], [("failed", B), ("response", A), ("data", A), ("close", None)])
        self.assertEqual(talk.outline[2], ("data", A, b"hello", True))
        self.assertEqual(talk.core.losses().unprocessed, (B,))


class SwitchTests(SynchronousTestCase):
    """101 Switching Protocols."""

    def switched(self, asked: Headers, answer: bytes) -> Outline:
        """What is told where a request with the fields `asked` is answered with 101 and the lines `answer`."""
        talk = Conversation()
        talk.ask(A, headers=asked)
        talk.receive(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
        return talk.outline

    def test_asked_for(self) -> None:
        """A switch to one of the protocols that were asked for, names in any case, as the server wrote it."""
        several = ((b"connection", b"Upgrade, x"), (b"upgrade", b"one, Echo/2"), (b"upgrade", b"three"))
        for asked, answer, protocol in (
            (UPGRADE, b"connection: upgrade\r\nupgrade: echo\r\n", b"echo"),
            (UPGRADE, b"Connection: Upgrade\r\nUpgrade: ECHO\r\n", b"ECHO"),
            (several, b"connection: upgrade\r\nupgrade: echo/2\r\n", b"echo/2"),
            (several, b"connection: upgrade\r\nupgrade: three\r\n", b"three"),
        ):
            (told,) = self.switched(asked, answer)
            self.assertEqual(told[:3], ("upgrade", A, (protocol,)))

    def test_not_asked_for(self) -> None:
        """Anything else is a violation of the protocol, and nothing that follows is handed on."""
        good = b"connection: upgrade\r\nupgrade: echo\r\n"
        for asked, answer in (
            ((), good),
            (((b"upgrade", b"echo"),), good),
            (((b"connection", b"upgrade"),), good),
            (((b"connection", b"close"), (b"upgrade", b"echo")), good),
            (UPGRADE, b""),
            (UPGRADE, b"connection: upgrade\r\n"),
            (UPGRADE, b"upgrade: echo\r\n"),
            (UPGRADE, b"connection: upgrade\r\nupgrade: other\r\n"),
            (UPGRADE, b"connection: upgrade\r\nupgrade: echo, echo\r\n"),
            (UPGRADE, b"connection: upgrade\r\nupgrade:\r\n"),
        ):
            told = self.switched(asked, answer)
            self.assertEqual(told, [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)], (asked, answer))

    def test_before_the_request_was_sent(self) -> None:
        """A server cannot switch before it has the whole request."""
        talk = Conversation()
        talk.ask(A, b"POST", headers=UPGRADE, body=None)
        talk.receive(SWITCHED)
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_with_requests_behind(self) -> None:
        """Nor may it where other requests were sent behind: their bytes would be taken for the new protocol's."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.ask(B)
        talk.receive(SWITCHED)
        failed = [("failed", A, PROTOCOL_VIOLATION), ("failed", B, "StreamClosed"), ("close", PROTOCOL_VIOLATION)]
        self.assertEqual(talk.outline, failed)

    def test_bytes_behind_the_head(self) -> None:
        """What comes with the 101 belongs to the new protocol, in order and once, wherever it is cut."""
        data = SWITCHED + b"HTTP/1.1 200 OK\r\n\r\n"
        for at in range(1, len(data)):
            talk = Conversation()
            talk.ask(A, headers=UPGRADE)
            talk.receive(data[:at], data[at:])
            self.assertEqual(talk.outline[1:], [("tunnel", A, b"HTTP/1.1 200 OK\r\n\r\n")])
            self.assertFalse(talk.core.accepting)

    def test_interim_first(self) -> None:
        """Interim responses may come before the switch."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCHED)
        self.assertEqual([entry[0] for entry in talk.outline], ["inform", "upgrade"])

    def test_refused(self) -> None:
        """A request to switch may be answered like any other, and the connection serves on."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(OK)
        self.assertEqual(talk.outline[-1], ("data", A, b"hello", True))
        talk.ask(C)
        talk.receive(OK)
        self.assertTrue(talk.core.accepting)
