"""
Malformed responses over HTTP/2: each kind ends its own stream, and no other.

RFC 9113 section 8.1.1: "Malformed requests or responses that are detected MUST be treated as a stream error (Section 5.4.2) of type
PROTOCOL_ERROR". Each is sent among two good ones, cut in two at every byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted_gun.events import Headers

from .conversation import PROTOCOL_VIOLATION, A, B, C, D
from .http2_conversation import Http2Case, Http2Conversation, pushed
from .http2_peer import Peer

OK = (b":status", b"200")
ENDED = ("failed", B, PROTOCOL_VIOLATION)


def said(name: bytes, value: bytes) -> Headers:
    """A response with this field."""
    return (OK, (name, value))


def length(*values: bytes) -> Headers:
    """A response with these Content-Length fields."""
    return (OK, *[(b"content-length", value) for value in values])


# Fields that no response has; of each kind, by section of RFC 9113 if nothing else is said.

#: :status, section 8.3.2.
STATUSES: dict[str, Headers] = {
    "no fields": (),
    "no :status": ((b"server", b"x"),),
    "two :status": (OK, OK),
    "two different :status": (OK, (b":status", b"404")),
    "an empty :status": ((b":status", b""),),
    ":status with a letter": ((b":status", b"2x0"),),
    ":status of two digits": ((b":status", b"99"),),
    ":status of four digits": ((b":status", b"1000"),),
    ":status below 100": ((b":status", b"099"),),
    ":status 000": ((b":status", b"000"),),
    ":status with a sign": ((b":status", b"+20"),),
    ":status with a minus": ((b":status", b"-20"),),
    ":status with a space before": ((b":status", b" 200"),),
    ":status with a space behind": ((b":status", b"200 "),),
    ":status with a reason": ((b":status", b"200 OK"),),
    ":status with a line end": ((b":status", b"200\n"),),
    ":status in foreign digits": ((b":status", "٢٠٠".encode()),),
    ":status in upper case": ((b":STATUS", b"200"),),
}

#: Pseudo-fields, section 8.3.
PSEUDO_FIELDS: dict[str, Headers] = {
    ":status after a field": ((b"server", b"x"), OK),
    "a second :status after a field": (OK, (b"server", b"x"), OK),
    "an unknown pseudo-field": (OK, (b":unknown", b"x")),
    "an unknown pseudo-field first": ((b":unknown", b"x"), OK),
    "an unknown pseudo-field after a field": (OK, (b"server", b"x"), (b":unknown", b"x")),
    "a request's :method": (OK, (b":method", b"GET")),
    "a request's :path": (OK, (b":path", b"/")),
    "a request's :scheme": ((b":scheme", b"https"), OK),
    "a request's :authority": ((b":authority", b"example.org"), OK),
    "a colon alone": said(b":", b"x"),
}

#: Names, section 8.2.1.
NAMES: dict[str, Headers] = {
    "an empty name": said(b"", b"x"),
    "upper case": said(b"Server", b"x"),
    "one letter in upper case": said(b"content-typE", b"text/html"),
    "a space in a name": said(b"a b", b"x"),
    "a space behind a name": said(b"server ", b"x"),
    "a colon in a name": said(b"a:b", b"x"),
    "a colon behind a name": said(b"server:", b"x"),
    "NUL in a name": said(b"a\x00b", b"x"),
    "CR LF in a name": said(b"a\r\nb", b"x"),
    "a tab in a name": said(b"a\tb", b"x"),
    "DEL in a name": said(b"a\x7fb", b"x"),
    "no ASCII in a name": said(b"a\xe9", b"x"),
    "a separator in a name": said(b"a(b)", b"x"),
}

#: Values, section 8.2.1.
VALUES: dict[str, Headers] = {
    "CR in a value": said(b"a", b"b\rc"),
    "LF in a value": said(b"a", b"b\nc"),
    "CR LF in a value": said(b"a", b"b\r\nc: d"),
    "NUL in a value": said(b"a", b"b\x00c"),
    "LF at the end of a value": said(b"a", b"b\n"),
    "a bell in a value": said(b"a", b"b\x07"),
    "DEL in a value": said(b"a", b"b\x7f"),
    "a space before a value": said(b"a", b" b"),
    "a space behind a value": said(b"a", b"b "),
    "a tab before a value": said(b"a", b"\tb"),
    "a tab behind a value": said(b"a", b"b\t"),
    "a value of space": said(b"a", b" "),
    "CR in a long value": said(b"a", b"b" * 300 + b"\rc"),
}

#: What belongs to a connection, section 8.2.2.
OF_A_CONNECTION: dict[str, Headers] = {
    "connection": said(b"connection", b"close"),
    "connection: keep-alive": said(b"connection", b"keep-alive"),
    "keep-alive": said(b"keep-alive", b"timeout=5"),
    "proxy-connection": said(b"proxy-connection", b"keep-alive"),
    "transfer-encoding": said(b"transfer-encoding", b"chunked"),
    "upgrade": said(b"upgrade", b"h2c"),
    "te": said(b"te", b"gzip"),
    "te: trailers": said(b"te", b"trailers"),
}

#: Content-Length, RFC 9110 section 8.6.
LENGTHS: dict[str, Headers] = {
    "an empty length": length(b""),
    "a length in letters": length(b"five"),
    "a length with a minus": length(b"-5"),
    "a length with a plus": length(b"+5"),
    "a length in hexadecimal": length(b"0x5"),
    "a length with an underscore": length(b"1_0"),
    "a length with a fraction": length(b"5.0"),
    "a list of lengths": length(b"5, 3"),
    "two lengths": length(b"5", b"3"),
    "a length and none": length(b"5", b""),
    "a superscript length": length("²".encode()),
    "a length above 2^63-1": length(b"9223372036854775808"),
    "a length of twenty digits": length(b"00000000000000000005"),
}

#: Interim responses, sections 8.1 and 8.6.
INTERIM: dict[str, Headers] = {
    "101": ((b":status", b"101"),),
    "101 with its fields": ((b":status", b"101"), (b"upgrade", b"websocket")),
    "an interim response with a bad field": ((b":status", b"103"), (b"Link", b"</a>")),
    "an interim response of a connection": ((b":status", b"100"), (b"connection", b"close")),
}

HEADS = STATUSES | PSEUDO_FIELDS | NAMES | VALUES | OF_A_CONNECTION | LENGTHS | INTERIM

#: Content that does not go with the fields before it.
BODIES: dict[str, Callable[[Peer], bytes]] = {
    "DATA before HEADERS": lambda peer: peer.data(3, b"hello"),
    "the last DATA before HEADERS": lambda peer: peer.data(3, b"hello", True),
    "empty DATA before HEADERS": lambda peer: peer.data(3, b""),
    "empty last DATA before HEADERS": lambda peer: peer.data(3, b"", True),
    "DATA after an interim response": lambda peer: peer.respond(3, 103) + peer.data(3, b"hello", True),
    "an interim response with END_STREAM": lambda peer: peer.respond(3, 103, fin=True),
    "100 with END_STREAM": lambda peer: peer.respond(3, 100, fin=True),
    "a second interim response with END_STREAM": lambda peer: peer.respond(3, 100) + peer.respond(3, 199, fin=True),
    "less than its length": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hell", True),
    "less, then an empty end": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hell") + peer.data(3, b"", True),
    "less, then trailers": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hell") + peer.trailers(3),
    "nothing of its length": lambda peer: peer.headers(3, length(b"5"), fin=True),
    "nothing but trailers": lambda peer: peer.headers(3, length(b"1")) + peer.trailers(3),
    "padding in place of content": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"h", True, 4),
    "more than its length": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hello!"),
    "more than its length, and the end": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hello!", True),
    "more by another frame": lambda peer: peer.headers(3, length(b"5")) + peer.data(3, b"hello") + peer.data(3, b"!"),
    "content where its length is 0": lambda peer: peer.headers(3, length(b"0")) + peer.data(3, b"!"),
}

#: Fields behind the content that cannot be trailers, section 8.1.
TRAILERS: dict[str, Callable[[Peer], bytes]] = {
    "without END_STREAM": lambda peer: peer.headers(3, ((b"x", b"y"),)),
    "none, without END_STREAM": lambda peer: peer.headers(3, ()),
    "another response": lambda peer: peer.respond(3, 200),
    "another response, the last": lambda peer: peer.respond(3, 200, fin=True),
    "an interim response too late": lambda peer: peer.respond(3, 103),
    "an unknown pseudo-field": lambda peer: peer.trailers(3, ((b":x", b"y"),)),
    "a request's pseudo-field": lambda peer: peer.trailers(3, ((b":path", b"/"),)),
    "a pseudo-field after a field": lambda peer: peer.trailers(3, ((b"x", b"y"), OK)),
    "upper case": lambda peer: peer.trailers(3, ((b"X", b"y"),)),
    "an empty name": lambda peer: peer.trailers(3, ((b"", b"y"),)),
    "CR LF in a value": lambda peer: peer.trailers(3, ((b"x", b"y\r\nz"),)),
    "NUL in a value": lambda peer: peer.trailers(3, ((b"x", b"\x00"),)),
    "a space before a value": lambda peer: peer.trailers(3, ((b"x", b" y"),)),
    "a field of a connection": lambda peer: peer.trailers(3, ((b"connection", b"close"),)),
    "transfer-encoding": lambda peer: peer.trailers(3, ((b"transfer-encoding", b"chunked"),)),
}


def sending(fields: Headers, *, after: int | None = None, **more: Any) -> Callable[[Peer], bytes]:
    """What sends `fields` on stream 3, behind an interim response `after`."""
    return lambda peer: (b"" if after is None else peer.respond(3, after)) + peer.headers(3, fields, **more)


def behind(content: bytes | None, bad: Callable[[Peer], bytes]) -> Callable[[Peer], bytes]:
    """What sends a good response with `content` on stream 3, and then `bad`."""
    return lambda peer: peer.respond(3) + (b"" if content is None else peer.data(3, content)) + bad(peer)


class MalformedCase(Http2Case):
    """Stream 3 of three gets a malformed response."""

    def check(self, name: str, bad: Callable[[Peer], bytes], method: bytes = b"GET") -> list[tuple[Any, ...]]:
        """Exactly stream 3 ends by what `bad` sends, with an error and RST_STREAM; what it was told before that."""

        def scene(talk: Http2Conversation) -> bytes:
            for stream in (A, B, C):
                talk.ask(stream, method if stream is B else b"GET")
            talk.newly_sent()
            talk.receive(talk.peer.respond(1) + talk.peer.data(1, b"he"))
            return bad(talk.peer) + talk.peer.data(1, b"llo", True) + talk.peer.respond(5, fin=True)

        talk = self.at_every_cut(scene)
        of_others = [entry for entry in talk.outline if entry[1] is not B]
        whole = [("response", A, 200, (), False), ("data", A, b"hello", True), ("response", C, 200, (), True)]
        self.assertEqual([entry for entry in of_others if entry[0] != "data"], [entry for entry in whole if entry[0] != "data"], name)
        self.assertEqual(b"".join(entry[2] for entry in of_others if entry[0] == "data"), b"hello", name)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 3, "PROTOCOL_ERROR")], name)
        self.check_alive(talk, name)
        *before, end = (entry for entry in talk.outline if entry[1] is B)
        self.assertEqual(end, ENDED, name)
        return before

    def check_alive(self, talk: Http2Conversation, name: str) -> None:
        """The connection goes on: the rest of the response is dropped, another request is answered, the tables agree."""
        self.assertTrue(talk.core.accepting, name)
        self.assertEqual(talk.receive(talk.peer.data(3, b"late")), [], name)
        talk.ask(D)
        talk.receive(talk.peer.respond(7, 404, ((b"x-new", name.encode()),), fin=True))
        self.assertEqual(talk.outline[-1], ("response", D, 404, ((b"x-new", name.encode()),), True))


class HeadTests(MalformedCase):
    """Fields that no response has."""

    def check_heads(self, heads: dict[str, Headers]) -> None:
        """Each of `heads`, whether the response ends with it or not."""
        for name, fields in heads.items():
            for fin in (False, True):
                self.assertEqual(self.check(name, sending(fields, fin=fin)), [], name)

    def test_status(self) -> None:
        """:status is there, once, first, and three digits."""
        self.check_heads(STATUSES)

    def test_pseudo_fields(self) -> None:
        """There is no other pseudo-field, and none after a field."""
        self.check_heads(PSEUDO_FIELDS)

    def test_names(self) -> None:
        """Names are tokens in lower case."""
        self.check_heads(NAMES)

    def test_values(self) -> None:
        """Values have no control characters, and no white space around them."""
        self.check_heads(VALUES)

    def test_fields_of_a_connection(self) -> None:
        """Fields of a connection of HTTP/1.1 are refused, each of them."""
        self.check_heads(OF_A_CONNECTION)

    def test_content_length(self) -> None:
        """Content-Length is one length."""
        self.check_heads(LENGTHS)

    def test_interim(self) -> None:
        """Interim responses are checked like others; 101 is none of HTTP/2's."""
        self.check_heads(INTERIM)

    def test_in_pieces(self) -> None:
        """The same where the fields come in CONTINUATION frames, padded."""
        for name in ("no fields", "two :status", ":status after a field", "upper case", "CR LF in a value", "connection", "two lengths"):
            self.assertEqual(self.check(name, sending(HEADS[name], fin=True, piece=4, padding=2)), [], name)

    def test_again(self) -> None:
        """The same malformed response on one stream after the other ends each: what was remembered of it is not that it was good."""
        for name, fields in HEADS.items():
            talk = self.talk()
            for stream_id, stream in ((1, A), (3, B), (5, C)):
                talk.ask(stream)
                talk.receive(talk.peer.headers(stream_id, fields))
                self.assertEqual(talk.outline[-1], ("failed", stream, PROTOCOL_VIOLATION), name)
            self.assertTrue(talk.core.accepting)

    def test_after_an_interim_response(self) -> None:
        """The same where a good interim response came before, which is told."""
        for name in ("no :status", "upper case", "connection", "two lengths", "101", "a request's :path"):
            self.assertEqual(self.check(name, sending(HEADS[name], after=103)), [("inform", B, 103, ())], name)

    def test_pushed(self) -> None:
        """A pushed response that is malformed ends the pushed stream only."""
        for name, fields in HEADS.items():
            talk = self.talk(enable_push=True)
            talk.ask(A)
            stream = pushed(talk.receive(talk.peer.promise(1, 2)))
            talk.newly_sent()
            talk.receive(talk.peer.headers(2, fields), talk.peer.respond(1, fin=True))
            self.assertEqual(talk.outline[1:], [("failed", stream, PROTOCOL_VIOLATION), ("response", A, 200, (), True)], name)
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2, "PROTOCOL_ERROR")], name)


class BodyTests(MalformedCase):
    """Content that does not go with its response."""

    def test_each(self) -> None:
        """It ends its stream; what was told before that is never an end."""
        for name, bad in BODIES.items():
            for entry in self.check(name, bad):
                self.assertNotEqual((entry[0], entry[-1]), ("data", True), name)

    def test_no_more_than_said(self) -> None:
        """Of a frame that goes beyond its response's length nothing is told."""
        for name in ("more than its length", "more than its length, and the end", "content where its length is 0"):
            self.assertEqual([entry[0] for entry in self.check(name, BODIES[name])], ["response"], name)

    def test_while_withheld(self) -> None:
        """Content that was kept for its owner, who had enough for now, is told before the error; there is no later."""
        talk = self.talk()
        talk.ask(A)
        talk.ask(B, flow=1)
        talk.receive(talk.peer.headers(3, length(b"5")), talk.peer.data(3, b"he"), talk.peer.data(3, b"ll"))
        self.assertEqual(talk.outline[1:], [("data", B, b"he", False)])
        talk.receive(talk.peer.data(3, b"o!"))
        self.assertEqual(talk.outline[1:], [("data", B, b"hell", False), ENDED])
        self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 3, "PROTOCOL_ERROR"))


class TrailerTests(MalformedCase):
    """Fields behind the content that cannot be trailers."""

    def test_behind_content(self) -> None:
        """They end their stream; the content before them was told, its end is not."""
        for name, bad in TRAILERS.items():
            before = self.check(name, behind(b"hello", bad))
            self.assertEqual(before, [("response", B, 200, (), False), ("data", B, b"hello", False)], name)

    def test_without_content(self) -> None:
        """The same where there was none."""
        for name, bad in TRAILERS.items():
            before = self.check(name, behind(None, bad))
            self.assertEqual(before, [("response", B, 200, (), False)], name)


class NoContentTests(MalformedCase):
    """
    Content where there can be none.

    RFC 9113 section 8.1.1: "204 or 304 responses contain no content, as does the response to a HEAD request".
    """

    def test_each(self) -> None:
        """Any byte of it ends the stream, whatever Content-Length says."""
        for method, status in ((b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"HEAD", 404)):
            for fields in ((), ((b"content-length", b"5"),)):
                for fin in (False, True):

                    def bad(peer: Peer, status: int = status, fields: Headers = fields, fin: bool = fin) -> bytes:
                        return peer.respond(3, status, fields) + peer.data(3, b"hello", fin)

                    before = self.check(f"{method!r} {status} {fields}", bad, method)
                    self.assertEqual(before, [("response", B, status, fields, False)])


class NotMalformedTests(Http2Case):
    """What looks like it and is none."""

    def check(
        self, fields: Headers, content: bytes = b"", *, method: bytes = b"GET", end: str = "data", padding: int | None = None
    ) -> None:
        """The whole response is told, and no stream is reset."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask(A, method)
            talk.newly_sent()
            peer = talk.peer
            if end == "headers":
                return peer.headers(1, fields, fin=True)
            last = peer.data(1, content, end == "data", padding)
            return peer.headers(1, fields) + last + (b"" if end == "data" else peer.trailers(1, ()))

        talk = self.at_every_cut(scene)
        response = ("response", A, int(fields[0][1]), fields[1:], end == "headers")
        self.assertEqual(talk.outline, [response, *([] if end == "headers" else [("data", A, content, True)])])
        self.assertEqual(talk.newly_sent(), [])
        talk.lose()
        self.assertEqual(talk.core.losses().killed, ())

    def test_lengths(self) -> None:
        """A length that is right, or said twice."""
        for fields in (length(b"5"), length(b"5", b"5"), length(b"5, 5"), length(b"05")):
            for end in ("data", "trailers"):
                self.check(fields, b"hello", end=end)

    def test_length_of_no_content(self) -> None:
        """ "MAY have a non-zero content-length header field, even though no content is included in DATA frames." """
        for method, status in ((b"HEAD", b"200"), (b"GET", b"304"), (b"GET", b"204")):
            for end in ("headers", "data", "trailers"):
                self.check(((b":status", status), (b"content-length", b"5")), method=method, end=end)

    def test_padding_is_no_content(self) -> None:
        """Padding does not count toward the length."""
        self.check(length(b"5"), b"hello", padding=200)

    def test_statuses(self) -> None:
        """Statuses nobody knows."""
        for status in (b"299", b"599", b"600", b"999"):
            self.check(((b":status", status),), end="headers")

    def test_odd_fields(self) -> None:
        """Empty values, any byte above ASCII, white space inside, and the names that HTTP allows."""
        for name, value in ((b"a", b""), (b"a", b"b \t c"), (b"a", bytes(range(128, 256))), (b"!#$%&'*+-.^_`|~09az", b"x")):
            self.check(said(name, value), end="headers")
