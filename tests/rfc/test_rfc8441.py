"""RFC 8441, websockets over HTTP/2, section by section: what it asks of a client. Each test quotes the sentence it holds us to."""

from __future__ import annotations

from typing import Any

from tests.wire.conversation import PROTOCOL_VIOLATION, A, B
from tests.wire.http2_conversation import Http2Case, Http2Conversation
from twisted_gun.options import WsOptions
from twisted_gun.wire.frames import ErrorCode
from twisted_gun.wire.handshake import check_answer, opening_fields

TAKES = {"enable_connect_protocol": 1}
#: Section 5.1's example, and what its server answers.
FIELDS = (
    (b"sec-websocket-protocol", b"chat, superchat"),
    (b"sec-websocket-extensions", b"permessage-deflate"),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"http://www.example.com"),
)


class Rfc8441Case(Http2Case):
    """Tests of one section."""

    def asked(self, **options: Any) -> Http2Conversation:
        """A websocket was asked for on stream 1."""
        talk = self.talk(settings=TAKES, **options)
        talk.ask_upgrade(A, headers=FIELDS)
        return talk

    def fields(self, talk: Http2Conversation) -> dict[bytes, bytes]:
        """Those of the request that was sent last."""
        return dict([frame for frame in talk.newly_sent() if frame[0] == "HEADERS"][-1][2])


class Section3Tests(Rfc8441Case):
    """Section 3: The SETTINGS_ENABLE_CONNECT_PROTOCOL SETTINGS Parameter."""

    def test_3_needed(self) -> None:
        """ "Using a SETTINGS parameter to opt into an otherwise incompatible protocol change": without it none is sent."""
        for values in ({}, {"enable_connect_protocol": 0}):
            talk = self.talk(settings=values)
            talk.ask_upgrade(A)
            self.assertEqual((talk.newly_sent(), talk.outline), ([], [("failed", A, "UpgradeRefused")]))

    def test_3_one(self) -> None:
        """ "Upon receipt of SETTINGS_ENABLE_CONNECT_PROTOCOL with a value of 1, a client MAY use the Extended CONNECT" """
        self.assertEqual(self.fields(self.asked())[b":method"], b"CONNECT")

    def test_3_value(self) -> None:
        """ "The value of the parameter MUST be 0 or 1." """
        talk = self.talk()
        talk.receive(talk.peer.settings(enable_connect_protocol=2))
        self.assertEqual(talk.outline, [("close", PROTOCOL_VIOLATION)])


class Section4Tests(Rfc8441Case):
    """Section 4: The Extended CONNECT Method."""

    def test_4_protocol(self) -> None:
        """ "A new pseudo-header field :protocol MAY be included on request HEADERS indicating the desired protocol" """
        self.assertEqual(self.fields(self.asked())[b":protocol"], b"websocket")
        talk = self.talk(settings=TAKES)
        talk.ask(A)
        self.assertNotIn(b":protocol", self.fields(talk))

    def test_4_scheme_and_path(self) -> None:
        """ "On requests that contain the :protocol pseudo-header field, the :scheme and :path pseudo-header fields of the target URI (see
        Section 5) MUST also be included." """
        fields = self.fields(self.asked())
        self.assertEqual((fields[b":scheme"], fields[b":path"]), (b"https", b"/chat"))
        self.assertEqual(self.fields(self.asked(scheme=b"http"))[b":scheme"], b"http")

    def test_4_authority(self) -> None:
        """ "the :authority pseudo-header field is interpreted according to Section 8.1.2.3 of [RFC7540] instead of Section 8.3" """
        self.assertEqual(self.fields(self.asked())[b":authority"], b"example.org")


class Section5Tests(Rfc8441Case):
    """Section 5: Using Extended CONNECT to Bootstrap the WebSocket Protocol."""

    def test_5_not_sent(self) -> None:
        """Connection and Upgrade "MUST NOT be included in the CONNECT request"; nor is there a use for Host, or for Sec-WebSocket-Key."""
        talk = self.talk(settings=TAKES)
        talk.ask_upgrade(A, headers=opening_fields(WsOptions(protocols=("chat",), compress=True)))
        fields = self.fields(talk)
        self.assertFalse({b"host", b"connection", b"upgrade", b"sec-websocket-key"} & set(fields))
        own = {b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions"}
        self.assertEqual({name for name in fields if name[:1] != b":"}, own)

    def test_5_handshake(self) -> None:
        """Origin, Sec-WebSocket-Version, Sec-WebSocket-Protocol and Sec-WebSocket-Extensions "are used in the CONNECT request and response
        header fields in the same way"."""
        fields = self.fields(self.asked())
        self.assertLessEqual(set(FIELDS), set(fields.items()))

    def test_5_answer(self) -> None:
        """Implementations "do not do the processing of the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields": there is none."""
        agreement = check_answer((), ((b"sec-websocket-protocol", b"chat"),), WsOptions(protocols=("chat",)), False)
        self.assertEqual(agreement.protocol, b"chat")

    def test_5_success(self) -> None:
        """With a status of 2xx the stream is the websocket's, and its bytes go as DATA."""
        talk = self.asked()
        talk.newly_sent()
        talk.receive(talk.peer.respond(1, 200))
        talk.send(A, b"\x81\x80abcd")
        talk.receive(talk.peer.data(1, b"\x81\x02hi"))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"\x81\x80abcd", False)])
        self.assertEqual([entry[0] for entry in talk.outline], ["upgrade", "tunnel"])

    def test_5_orderly_close(self) -> None:
        """ "Orderly TCP-level closures are represented as END_STREAM flags" """
        talk = self.asked()
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"", True))
        self.assertEqual(talk.outline[-1], ("tunnel closed", A))
        talk.send(A, b"", True)
        self.assertEqual(talk.newly_sent()[-1], ("DATA", 1, b"", True))

    def test_5_reset(self) -> None:
        """ "RST exceptions are represented with the RST_STREAM frame" "with the CANCEL error code"."""
        talk = self.asked()
        talk.receive(talk.peer.respond(1), talk.peer.reset(1, ErrorCode.CANCEL))
        self.assertEqual(talk.outline[-1], ("failed", A, "StreamReset(8)"))
        talk = self.asked()
        talk.receive(talk.peer.respond(1))
        talk.cancel(A)
        self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 1, "CANCEL"))

    def test_5_1_example(self) -> None:
        """The example of section 5.1: the websocket's stream beside others."""
        talk = self.asked()
        talk.ask(B)
        talk.receive(talk.peer.respond(1, 200, ((b"sec-websocket-protocol", b"chat"),)) + talk.peer.data(1, b"websocket data"))
        talk.receive(talk.peer.respond(3, fin=True) + talk.peer.data(1, b"websocket data", True))
        talk.send(A, b"websocket data", True)
        self.assertEqual([entry[0] for entry in talk.outline], ["upgrade", "tunnel", "response", "tunnel", "tunnel closed"])
        self.assertFalse(talk.over)
