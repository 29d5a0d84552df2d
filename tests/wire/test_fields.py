"""`twisted_gun.wire.fields`: field sections of HTTP/2 (RFC 9113 section 8), one by one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.wire.core import Request
from twisted_gun.wire.fields import check_trailers, parse_promise, parse_response, request_fields

GOOD = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
OK = ((b":status", b"200"),)


def head(*fields: tuple[bytes, bytes]) -> Headers:
    """The fields of a response 200."""
    return (*OK, *fields)


class ResponseFieldTests(SynchronousTestCase):
    """`parse_response` and `check_trailers`."""

    def refused(self, *fields: tuple[bytes, bytes]) -> bool:
        """Whether both refuse `fields`; they agree on every regular one."""
        refusals = []
        for parse, given_fields in ((parse_response, head(*fields)), (check_trailers, fields)):
            try:
                parse(given_fields)
            except ProtocolViolation:
                refusals.append(True)
            else:
                refusals.append(False)
        self.assertEqual(refusals[0], refusals[1], fields)
        return refusals[0]

    def test_every_byte_of_a_name(self) -> None:
        """A name is a token without upper case: each byte by itself, and within others (RFC 9113 section 8.2.1)."""
        for byte in range(256):
            for name in (bytes([byte]), b"x" + bytes([byte]), bytes([byte]) + b"x"):
                self.assertIs(self.refused((name, b"y")), byte not in GOOD, name)
        self.assertTrue(self.refused((b"", b"y")))

    def test_every_byte_of_a_value(self) -> None:
        """A value is anything without control characters but the tab, and without blanks at its ends (RFC 9113 section 8.2.1)."""
        for byte in range(256):
            control = (byte < 0x20 and byte != 0x09) or byte == 0x7F
            piece = bytes([byte])
            self.assertIs(self.refused((b"x", b"a" + piece + b"b")), control, byte)
            for value in (piece, piece + b"a", b"a" + piece):
                self.assertIs(self.refused((b"x", value)), control or byte in b" \t", value)

    def test_long_fields(self) -> None:
        """Fields too long to be remembered are checked the same."""
        self.assertFalse(self.refused((b"x" * 300, b"y" * 300)))
        self.assertTrue(self.refused((b"X" * 300, b"y")))
        self.assertTrue(self.refused((b"x", b"y" * 300 + b"\0")))

    def test_of_a_connection(self) -> None:
        """Fields of a connection of HTTP/1.1 are refused, TE among them (RFC 9113 section 8.2.2)."""
        for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te"):
            for _ in range(2):  # it is remembered as well
                self.assertTrue(self.refused((name, b"trailers")), name)

    def test_status(self) -> None:
        """Three digits, once, first, and no other pseudo-field."""
        for number in (b"100", b"200", b"599", b"999"):
            self.assertEqual(parse_response(((b":status", number),)).status, int(number))
        for fields in (
            (),
            ((b"x", b"y"),),
            ((b"x", b"y"), *OK),
            (*OK, *OK),
            (*OK, (b":path", b"/")),
            *(((b":status", bad),) for bad in (b"", b"20", b"2000", b"099", b"2x0", b"200 ", b" 200", b"+20", "²00".encode(), b"200\n")),
        ):
            with self.assertRaises(ProtocolViolation, msg=fields):
                parse_response(fields)

    def test_length(self) -> None:
        """Content-Length is a number, said once or several times the same."""
        for values, length in (((), None), ((b"0",), 0), ((b"7", b"7"), 7), ((b"7, 7",), 7), ((b"007",), 7)):
            self.assertEqual(parse_response(head(*((b"content-length", value) for value in values))).length, length, values)
        for values in ((b"",), (b"x",), (b"-1",), (b"+1",), (b"1", b"2"), (b"1,2",), (b"1_0",), (b"9" * 30,)):
            with self.assertRaises(ProtocolViolation, msg=values):
                parse_response(head(*((b"content-length", value) for value in values)))

    def test_what_remains(self) -> None:
        """The head's fields are the others, in their order, duplicates kept."""
        fields = ((b"a", b"1"), (b"b", b""), (b"a", b"1"))
        self.assertEqual((parse_response(head(*fields)).headers, parse_response(OK).headers), (fields, ()))

    @settings(deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4))
    def test_anything(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Whatever the fields are, they are told as they came or refused by the one error there is for it."""
        for parse in (parse_response, parse_promise, check_trailers):
            try:
                parse(tuple(fields))
            except ProtocolViolation:
                continue
            self.assertTrue(all(name.islower() or not name.isalpha() for name, _ in fields))


class PromiseTests(SynchronousTestCase):
    """`parse_promise`."""

    def test_parts(self) -> None:
        """Its four pseudo-fields, in any order, and the others."""
        fields = ((b":path", b"/a"), (b":method", b"HEAD"), (b":authority", b"a:1"), (b":scheme", b"https"), (b"x", b"y"))
        self.assertEqual(parse_promise(fields), (b"HEAD", b"https", b"a:1", b"/a", ((b"x", b"y"),)))


class RequestFieldTests(SynchronousTestCase):
    """`request_fields`: what is dropped is looked for each time the fields are others, and only then."""

    def test_same_and_others(self) -> None:
        """The same fields give the same; what one request drops is no matter of the next."""
        hop = ((b"connection", b"x"), (b"x", b"1"), (b"y", b"2"))
        for headers, kept in ((hop, ((b"y", b"2"),)), (hop[1:], hop[1:]), (hop, ((b"y", b"2"),)), ((), ())):
            request = Request(method=b"GET", target=b"/", authority=b"a", headers=headers, body=b"")
            self.assertEqual(request_fields(request), (b"GET", b"a", b"/", kept))
