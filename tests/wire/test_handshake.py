"""The opening handshake of a websocket (RFC 6455 section 4): what is asked for, and what answers make of it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import ProtocolViolation, UpgradeRefused
from twisted_gun.events import Headers
from twisted_gun.options import WsOptions
from twisted_gun.wire.handshake import OWN_FIELDS, Agreement, check_answer, opening_fields

from .ws_conversation import agreed

KEY, ACCEPT = b"sec-websocket-key", b"sec-websocket-accept"
PROTOCOL, EXTENSIONS = b"sec-websocket-protocol", b"sec-websocket-extensions"
NOTHING = Agreement(protocol=None, deflate=None)


def accept_of(asked: Headers) -> bytes:
    """Section 4.2.2: what a server answers to our key."""
    return base64.b64encode(hashlib.sha1(dict(asked)[KEY] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


class OpeningTests(SynchronousTestCase):
    """What is asked for."""

    def test_least(self) -> None:
        """The version, and a key of 16 bytes."""
        (version, key) = opening_fields(WsOptions())
        self.assertEqual(version, (b"sec-websocket-version", b"13"))
        self.assertEqual(key[0], KEY)
        self.assertEqual(len(base64.b64decode(key[1], validate=True)), 16)

    def test_new_key(self) -> None:
        """Section 4.1: "The nonce MUST be selected randomly for each connection." """
        keys = {dict(opening_fields(WsOptions()))[KEY] for _ in range(1000)}
        self.assertEqual(len(keys), 1000)

    def test_protocols(self) -> None:
        """The subprotocols in one field, best first."""
        fields = dict(opening_fields(WsOptions(protocols=("mqtt", ("stomp", print)))))
        self.assertEqual(fields[PROTOCOL], b"mqtt, stomp")

    def test_compress(self) -> None:
        """Compression, where it is wanted, as the options say."""
        self.assertNotIn(EXTENSIONS, dict(opening_fields(WsOptions(compress=False))))
        self.assertEqual(dict(opening_fields(WsOptions(compress=True)))[EXTENSIONS], b"permessage-deflate; client_max_window_bits")
        asked = opening_fields(WsOptions(compress={"server_max_window_bits": 10}))
        self.assertEqual(dict(asked)[EXTENSIONS], b"permessage-deflate; client_max_window_bits; server_max_window_bits=10")

    def test_own_fields(self) -> None:
        """All that it says is not the caller's to give."""
        fields = opening_fields(WsOptions(compress=True, protocols=("mqtt",)))
        self.assertLessEqual({name for name, _ in fields}, OWN_FIELDS)


class AnswerCase(SynchronousTestCase):
    """Tests of answers."""

    def check(self, *answered: tuple[bytes, bytes], switched: bool = True, **options: Any) -> Agreement:
        """What comes of an answer with these fields, and the right Accept where none is among them."""
        made = WsOptions(**options)
        asked = opening_fields(made)
        right = () if ACCEPT in dict(answered) or not switched else ((ACCEPT, accept_of(asked)),)
        return check_answer(asked, (*right, *answered), made, switched)

    def assert_refused(self, *answered: tuple[bytes, bytes], **options: Any) -> None:
        """These are no answer, over HTTP/1.1 and over HTTP/2."""
        for switched in (True, False):
            self.assertRaises(ProtocolViolation, self.check, *answered, switched=switched, **options)


class AcceptTests(AnswerCase):
    """Sec-WebSocket-Accept."""

    def test_right(self) -> None:
        """The one that answers our key, and no other field matters."""
        self.assertEqual(self.check((b"server", b"x"), (b"set-cookie", b"a=b")), NOTHING)

    def test_rfc(self) -> None:
        """Section 1.3: the key of the RFC's example, and its answer."""
        asked = ((b"sec-websocket-version", b"13"), (KEY, b"dGhlIHNhbXBsZSBub25jZQ=="))
        self.assertEqual(check_answer(asked, ((ACCEPT, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),), WsOptions(), True), NOTHING)

    def test_wrong(self) -> None:
        """Any other, none, and two."""
        made = WsOptions()
        asked = opening_fields(made)
        right = accept_of(asked)
        for values in (
            [],
            [b""],
            [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
            [right.lower()],
            [right + b"="],
            [right[:-1]],
            [b'"' + right + b'"'],
            [right, right],
            [right, b"other"],
            [right + b", " + right],
        ):
            answered = tuple((ACCEPT, value) for value in values)
            self.assertRaises(ProtocolViolation, check_answer, asked, answered, made, True)

    def test_http2(self) -> None:
        """RFC 8441 section 5: over HTTP/2 there is none, and one that is there is not looked at."""
        self.assertEqual(self.check(switched=False), NOTHING)
        self.assertEqual(self.check((ACCEPT, b"whatever"), switched=False), NOTHING)


class ProtocolTests(AnswerCase):
    """Sec-WebSocket-Protocol."""

    def test_chosen(self) -> None:
        """One of those that were offered."""
        for chosen in (b"mqtt", b"stomp"):
            for switched in (True, False):
                told = self.check((PROTOCOL, chosen), protocols=["mqtt", "stomp"], switched=switched)
                self.assertEqual(told, Agreement(protocol=chosen, deflate=None))

    def test_none(self) -> None:
        """The server need not choose any."""
        self.assertEqual(self.check(protocols=["mqtt"]), NOTHING)

    def test_required(self) -> None:
        """Unless we require it: then that is a refusal."""
        for switched in (True, False):
            self.assertRaises(UpgradeRefused, self.check, protocols=["mqtt"], require_protocol=True, switched=switched)
        told = self.check((PROTOCOL, b"mqtt"), protocols=["mqtt"], require_protocol=True)
        self.assertEqual(told.protocol, b"mqtt")
        self.assertRaises(UpgradeRefused, self.check, require_protocol=True)

    def test_not_offered(self) -> None:
        """Section 4.1: a subprotocol "that was not present in the client's handshake"."""
        for chosen in (b"amqp", b"MQTT", b"", b"mqtt, stomp", b"mqtt,", b"mqt"):
            self.assert_refused((PROTOCOL, chosen), protocols=["mqtt", "stomp"])
        self.assert_refused((PROTOCOL, b"mqtt"))

    def test_two(self) -> None:
        """Section 4.2.2: there is one at most, though it be the same twice."""
        for second in (b"mqtt", b"stomp"):
            self.assert_refused((PROTOCOL, b"mqtt"), (PROTOCOL, second), protocols=["mqtt", "stomp"])


class ExtensionTests(AnswerCase):
    """Sec-WebSocket-Extensions."""

    def test_agreed(self) -> None:
        """What was offered, with parameters, spelt in any way the grammar allows."""
        for value, changed in (
            (b"permessage-deflate", {}),
            (b"Permessage-Deflate", {}),
            (b"permessage-deflate;server_no_context_takeover", {"server_takeover": False}),
            (b"permessage-deflate ;\tServer_No_Context_Takeover", {"server_takeover": False}),
            (b"permessage-deflate; server_max_window_bits=10", {"server_bits": 10}),
            (b'permessage-deflate; server_max_window_bits="10"', {"server_bits": 10}),
            (b'permessage-deflate; server_max_window_bits="1\\0"', {"server_bits": 10}),
            (b"permessage-deflate; server_max_window_bits = 10", {"server_bits": 10}),
            (b" ,\t, permessage-deflate; client_max_window_bits=9 , ,", {"client_bits": 9}),
        ):
            for switched in (True, False):
                told = self.check((EXTENSIONS, value), compress=True, switched=switched)
                self.assertEqual(told, Agreement(protocol=None, deflate=agreed(**changed)), value)

    def test_declined(self) -> None:
        """No field, or an empty one: then messages are not compressed."""
        for fields in ((), ((EXTENSIONS, b""),), ((EXTENSIONS, b" , "), (EXTENSIONS, b""))):
            self.assertEqual(self.check(*fields, compress=True), NOTHING)
            self.assertEqual(self.check(*fields), NOTHING)

    def test_several_fields(self) -> None:
        """Section 9.1: several fields are as one."""
        told = self.check((EXTENSIONS, b""), (EXTENSIONS, b"permessage-deflate; server_max_window_bits=10"), compress=True)
        self.assertEqual(told.deflate, agreed(server_bits=10))

    def test_not_offered(self) -> None:
        """Section 4.1: an extension "that was not present in the client's handshake", or one twice."""
        self.assert_refused((EXTENSIONS, b"permessage-deflate"))
        for value in (b"x", b"permessage-deflate, x", b"x, permessage-deflate", b"x-webkit-deflate-frame", b"permessage"):
            self.assert_refused((EXTENSIONS, value), compress=True)
        self.assert_refused((EXTENSIONS, b"permessage-deflate, permessage-deflate"), compress=True)
        self.assert_refused((EXTENSIONS, b"permessage-deflate"), (EXTENSIONS, b"permessage-deflate"), compress=True)

    def test_bad_parameters(self) -> None:
        """RFC 7692 section 7.1: a parameter twice, one that is unknown, or a value that it must not have."""
        for parameters in (
            b"server_no_context_takeover; server_no_context_takeover",
            b"server_max_window_bits=10; server_max_window_bits=10",
            b"x",
            b"x=1",
            b"server_max_window_bits",
            b"server_max_window_bits=7",
            b"server_max_window_bits=16",
            b'server_no_context_takeover="1"',
        ):
            self.assert_refused((EXTENSIONS, b"permessage-deflate; " + parameters), compress=True)

    def test_bad_grammar(self) -> None:
        """Section 9.1: what does not conform to the grammar MUST fail the connection."""
        for value in (
            b"permessage-deflate;",
            b"permessage-deflate; ;",
            b"; permessage-deflate",
            b"permessage-deflate x",
            b"permessage-deflate; server_max_window_bits=",
            b'permessage-deflate; server_max_window_bits="',
            b'permessage-deflate; server_max_window_bits="10',
            b'permessage-deflate; server_max_window_bits=""',
            b'permessage-deflate; server_max_window_bits="1 0"',
            b'permessage-deflate; server_max_window_bits="10\\"',
            b'permessage-deflate; server_max_window_bits="10"x',
            b"permessage-deflate; server_max_window_bits=1(0",
            b"permessage-deflate=1",
            b"permessage/deflate",
            b'"permessage-deflate"',
            b"permessage-deflate, ;",
            b"\xe9",
        ):
            self.assert_refused((EXTENSIONS, value), compress=True)

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.text(alphabet=' \t,;="\\' + "permessage-deflate10" + "é", max_size=40))
    def test_any(self, value: str) -> None:
        """Whatever it is, it is agreed on or refused, and nothing else is raised."""
        for field in (value.encode(), b"permessage-deflate" + value.encode()):
            try:
                self.check((EXTENSIONS, field), compress=True)
            except ProtocolViolation:
                pass

    def test_linear(self) -> None:
        """Long fields take no longer than they are."""
        for part in (b";a", b";a=1", b';a="1"', b" ", b",", b';a="\\', b'\\"', b"a"):
            self.assertRaises(ProtocolViolation, self.check, (EXTENSIONS, b"x" + part * 20_000), compress=True)
