"""Malformed responses, each kind refused: one error, one end, nothing after it, wherever the bytes are cut."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, PROTOCOL_VIOLATION, UPGRADE, A, B, Conversation, Outline, halves

LINE = b"HTTP/1.1 200 OK\r\n"


def length(value: bytes) -> bytes:
    """A response with this Content-Length."""
    return LINE + b"content-length: " + value + b"\r\n\r\nhello"


def coding(value: bytes) -> bytes:
    """A response with this Transfer-Encoding, and chunks."""
    return LINE + b"transfer-encoding: " + value + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


#: Refused before anything but the stream's end is told.
HEADS = {
    # The status line.
    "HTP": b"HTP/1.1 200 OK\r\n\r\n",
    "HTTPER": b"HTTPER/1.1 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "RTSP": b"RTSP/1.1 200 OK\r\n\r\n",
    "version 0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "version 01.1": b"HTTP/01.1 200 OK\r\n\r\n",
    "version 1.01": b"HTTP/1.01 200 OK\r\n\r\n",
    "version 1": b"HTTP/1 200 OK\r\n\r\n",
    "version 1.": b"HTTP/1. 200 OK\r\n\r\n",
    "version 1.x": b"HTTP/1.x 200 OK\r\n\r\n",
    "tab after the version": b"HTTP/1.1\t200 OK\r\n\r\n",
    "two spaces after the version": b"HTTP/1.1  200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "empty status": b"HTTP/1.1 \r\n\r\n",
    "status of one digit": b"HTTP/1.1 2 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "status with a sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "status with letters": b"HTTP/1.1 2OO OK\r\n\r\n",
    "status with foreign digits": "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(),
    "tab after the status": b"HTTP/1.1 200\tOK\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\n\r\n",
    "DEL in the reason": b"HTTP/1.1 200 O\x7fK\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "white space first": b" HTTP/1.1 200 OK\r\n\r\n",
    "byte order mark": b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n\r\n",
    "CR first": b"\rHTTP/1.1 200 OK\r\n\r\n",
    "LF first": b"\nHTTP/1.1 200 OK\r\n\r\n",
    "two empty lines first": b"\r\n\r\n" + OK,
    "HTML": b"<!DOCTYPE html><html></html>\r\n\r\n",
    "HTTP/0.9": b"<title>hello</title>",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x0a",
    "HTTP/2 SETTINGS": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    # Line ends.
    "LF alone after the status line": b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
    "LF alone after a field": LINE + b"a: b\ncontent-length: 0\r\n\r\n",
    "LF alone everywhere": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "LF alone as the empty line": LINE + b"a: b\r\n\n",
    "CR alone after the status line": b"HTTP/1.1 200 OK\rcontent-length: 0\r\n\r\n",
    "CR CR LF": b"HTTP/1.1 200 OK\r\r\n\r\n",
    # Fields.
    "no colon": LINE + b"field\r\n\r\n",
    "no name": LINE + b": value\r\n\r\n",
    "space before the colon": LINE + b"content-length : 5\r\n\r\nhello",
    "tab before the colon": LINE + b"content-length\t: 5\r\n\r\nhello",
    "space in the name": LINE + b"content length: 5\r\n\r\nhello",
    "NUL in the name": LINE + b"a\x00b: c\r\n\r\n",
    "CR in the name": LINE + b"a\rb: c\r\n\r\n",
    "no ASCII in the name": LINE + b"a\xe9: c\r\n\r\n",
    "separator in the name": LINE + b"a(b): c\r\n\r\n",
    "NUL in a value": LINE + b"a: b\x00c\r\n\r\n",
    "CR in a value": LINE + b"a: b\rc: d\r\n\r\n",
    "bell in a value": LINE + b"a: b\x07\r\n\r\n",
    "DEL in a value": LINE + b"a: b\x7f\r\n\r\n",
    "folded before the first field": LINE + b" a: b\r\n\r\n",
    "folded by a tab before the first field": LINE + b"\ta: b\r\nc: d\r\n\r\n",
    "NUL in a folded line": LINE + b"a: b\r\n \x00c\r\n\r\n",
    "CR in a folded line": LINE + b"a: b\r\n c\rd\r\n\r\n",
    # Content-Length.
    "length with plus": length(b"+5"),
    "length with minus": length(b"-5"),
    "length in hexadecimal": length(b"0x5"),
    "length with underscore": length(b"1_0"),
    "length and letters": length(b"5abc"),
    "length with a fraction": length(b"5.0"),
    "length with a space": length(b"5 5"),
    "empty length": length(b""),
    "superscript length": length("²".encode()),
    "superscript length in latin-1": length(b"\xb2"),
    "list of lengths": length(b"5, 3"),
    "list with nothing": length(b"5,"),
    "two lengths": LINE + b"content-length: 5\r\ncontent-length: 3\r\n\r\nhello",
    "two spellings": LINE + b"content-length: 5\r\ncontent-length: 05\r\n\r\nhello",
    "length of 2^63": length(b"9223372036854775808"),
    "length of 2^64 + 5": length(b"18446744073709551621"),
    "length of 100 digits": length(b"0" * 99 + b"5"),
    "folded length": LINE + b"content-length: 5\r\n 5\r\n\r\nhello",
    # Transfer-Encoding.
    "gzip": coding(b"gzip"),
    "gzip, chunked": coding(b"gzip, chunked"),
    "chunked, gzip": coding(b"chunked, gzip"),
    "chunked, chunked": coding(b"chunked, chunked"),
    "chunked, identity": coding(b"chunked, identity"),
    "identity, chunked": coding(b"identity, chunked"),
    "chunkedchunked": coding(b"chunkedchunked"),
    "xchunked": coding(b"xchunked"),
    "chunked with a parameter": coding(b"chunked;q=1"),
    "quoted chunked": coding(b'"chunked"'),
    "vertical tab": coding(b"\x0bchunked"),
    "no coding": coding(b""),
    "coding with nothing": coding(b"chunked,"),
    "chunked twice": LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded coding": LINE + b"transfer-encoding: chunked\r\n abc\r\n\r\n0\r\n\r\n",
    # Switching.
    "101 nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nbytes",
    "101 without fields": b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
}

#: What follows the head of a chunked response, and the content that may be told before the end.
CHUNKS = {
    "size with minus": (b"-5\r\nhello\r\n0\r\n\r\n", b""),
    "size with plus": (b"+5\r\nhello\r\n0\r\n\r\n", b""),
    "size with 0x": (b"0x5\r\nhello\r\n0\r\n\r\n", b""),
    "size with underscore": (b"0_5\r\nhello\r\n0\r\n\r\n", b""),
    "size behind a space": (b" 5\r\nhello\r\n0\r\n\r\n", b""),
    "size before a space": (b"5 \r\nhello\r\n0\r\n\r\n", b""),
    "size and letters": (b"5ZZ\r\nhello\r\n0\r\n\r\n", b""),
    "size and words": (b"5 words\r\nhello\r\n0\r\n\r\n", b""),
    "no size": (b"\r\nhello\r\n0\r\n\r\n", b""),
    "extension only": (b";a=b\r\nhello\r\n0\r\n\r\n", b""),
    "size of 17 digits": (b"00000000000000005\r\nhello\r\n0\r\n\r\n", b""),
    "size with foreign digits": ("٥\r\nhello\r\n0\r\n\r\n".encode(), b""),
    "size and LF alone": (b"5\nhello\r\n0\r\n\r\n", b""),
    "LF alone everywhere": (b"5\nhello\n0\n\n", b""),
    "size and CR alone": (b"5\rhello\r\n0\r\n\r\n", b""),
    "size and CR CR LF": (b"5\r\r\nhello\r\n0\r\n\r\n", b""),
    "LF alone in an extension": (b"5;a\nhello\r\n0\r\n\r\n", b""),
    "CR in an extension": (b"5;a\rb\r\nhello\r\n0\r\n\r\n", b""),
    "NUL in an extension": (b"5;a\x00\r\nhello\r\n0\r\n\r\n", b""),
    "chunk longer than its size": (b"5\r\nhelloXX\r\n0\r\n\r\n", b"hello"),
    "chunk shorter than its size": (b"8\r\nhello\r\n0\r\n\r\n", b"hello\r\n0"),
    "no line end behind a chunk": (b"5\r\nhello0\r\n\r\n", b"hello"),
    "LF alone behind a chunk": (b"5\r\nhello\n0\r\n\r\n", b"hello"),
    "CR alone behind a chunk": (b"5\r\nhello\r0\r\n\r\n", b"hello"),
    "size behind a good chunk": (b"5\r\nhello\r\nxyz\r\n", b"hello"),
    "last size with minus": (b"5\r\nhello\r\n-0\r\n\r\n", b"hello"),
    "trailer without a colon": (b"5\r\nhello\r\n0\r\ntrailer\r\n\r\n", b"hello"),
    "trailer without a name": (b"5\r\nhello\r\n0\r\n: x\r\n\r\n", b"hello"),
    "trailer with a space before the colon": (b"5\r\nhello\r\n0\r\na : x\r\n\r\n", b"hello"),
    "trailer and LF alone": (b"5\r\nhello\r\n0\r\na: x\n\r\n", b"hello"),
    "trailers and LF alone": (b"5\r\nhello\r\n0\r\na: x\r\nb: y\n\r\n", b"hello"),
    "NUL in a trailer": (b"5\r\nhello\r\n0\r\na: \x00\r\n\r\n", b"hello"),
    "folded before the first trailer": (b"5\r\nhello\r\n0\r\n a: x\r\n\r\n", b"hello"),
    "LF alone behind the last chunk": (b"5\r\nhello\r\n0\r\n\n", b"hello"),
    "response instead of trailers": (b"5\r\nhello\r\n0\r\n" + OK, b"hello"),
}

ENDED = [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)]


class MalformedTests(SynchronousTestCase):
    """Every kind, whole, a byte at a time, and cut in two at every place; more bytes follow each."""

    def refused(self, data: bytes, told: Outline, kind: str) -> None:
        """`data` is refused after `told`, in whatever pieces it comes; nothing is told of what follows."""
        data += b"\r\n\r\n" + OK * 2
        bytewise = tuple(data[at : at + 1] for at in range(len(data)))
        for pieces in ((data,), bytewise, *halves(data)):
            talk = Conversation()
            talk.ask(A)
            talk.receive(*pieces)
            self.assertEqual(talk.outline, told + ENDED, f"{kind}: {pieces}")
            self.assertEqual(talk.core.losses().killed, (A,))
            self.assertFalse(talk.core.accepting)

    def test_number(self) -> None:
        """There are more than enough kinds."""
        self.assertGreater(len(HEADS) + len(CHUNKS), 100)

    def test_heads(self) -> None:
        """A malformed head is an error and nothing else."""
        for kind, data in HEADS.items():
            self.refused(data, [], kind)

    def test_heads_behind_an_interim_response(self) -> None:
        """The same behind an interim response."""
        for kind, data in HEADS.items():
            if not data.startswith((b"\r", b"\n")):
                self.refused(b"HTTP/1.1 100 Continue\r\n\r\n" + data, [("inform", A, 100, ())], kind)

    def test_chunks(self) -> None:
        """Content that came before the malformed part may have been told, none is after it, and it never ends as if it were whole."""
        response = ("response", A, 200, ((b"transfer-encoding", b"chunked"),), False)
        for kind, (data, content) in CHUNKS.items():
            self.refused(CHUNKED + data, [response, ("data", A, content, False)] if content else [response], kind)

    def test_for_every_request(self) -> None:
        """A malformed head is refused whatever was asked: the method, an upgrade, other requests behind."""
        for kind, data in HEADS.items():
            for method, headers in ((b"HEAD", ()), (b"GET", UPGRADE)):
                if kind.startswith("101") and headers:
                    continue
                if method == b"HEAD" and b"transfer-encoding" in data:
                    continue  # without content no coding has anything to say
                talk = Conversation()
                talk.ask(A, method, headers=headers)
                talk.ask(B)
                talk.receive(data + b"\r\n\r\n")
                self.assertEqual(talk.outline, [ENDED[0], ("failed", B, "StreamClosed"), ENDED[1]], kind)

    def test_cancelled(self) -> None:
        """Nothing is told to a stream that was cancelled, and the connection ends all the same."""
        for data in (*HEADS.values(), *(CHUNKED + chunks for chunks, _ in CHUNKS.values())):
            talk = Conversation()
            talk.ask(A)
            talk.cancel(A)
            talk.receive(data + b"\r\n\r\n")
            self.assertEqual(talk.outline, [ENDED[1]], data)
