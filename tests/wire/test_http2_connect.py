"""
CONNECT over HTTP/2 (RFC 9113 section 8.5), by both cores: what is asked for, the answers, and the stream that is a tunnel from then on.

How it ends before its time, and what bounds it, is in test_http2_connect_ends.py.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted_gun.errors import StreamRefused
from twisted_gun.events import Headers, Response
from twisted_gun.wire.frames import FrameType
from twisted_gun.wire.steps import StreamFailed, TunnelClosed, TunnelData, TunnelOpened, TunnelRefused

from .conversation import PROTOCOL_VIOLATION, A, B, C, D, outline
from .http2_connect import FIELDS, OPENED, ConnectCase
from .http2_conversation import Http2Conversation
from .http2_peer import Peer


class AskingTests(ConnectCase):
    """The request."""

    def test_request(self) -> None:
        """Method and authority, and neither scheme nor path; no length of a content that it does not have, and no end."""
        talk = self.talk()
        talk.ask_connect(A)
        self.assertEqual(talk.newly_sent(), [("HEADERS", 1, FIELDS, False)])
        talk.ask_connect(B, target=b"[2001:db8::1]:8443", headers=((b"proxy-authorization", b"Basic eDp5"), (b"x", b"y")))
        fields = ((b":method", b"CONNECT"), (b":authority", b"[2001:db8::1]:8443"), (b"proxy-authorization", b"Basic eDp5"), (b"x", b"y"))
        self.assertEqual(talk.newly_sent(), [("HEADERS", 3, fields, False)])

    def test_again(self) -> None:
        """The same, asked for again and again, is sent the same, also between other requests."""
        talk = self.talk()
        for stream in (A, B):
            talk.ask_connect(stream)
        talk.ask(C)
        talk.ask_connect(D)
        tunnels = [fields for _, _, fields, _ in talk.newly_sent() if dict(fields)[b":method"] == b"CONNECT"]
        self.assertEqual(tunnels, [FIELDS] * 3)

    def test_connection_fields(self) -> None:
        """RFC 9113 section 8.2.2: what belongs to a connection of HTTP/1.1 is not sent."""
        talk = self.talk()
        talk.ask_connect(A, headers=((b"connection", b"x-own"), (b"x-own", b"1"), (b"keep-alive", b"5"), (b"x", b"y")))
        self.assertEqual(talk.newly_sent()[0][2], (*FIELDS, (b"x", b"y")))

    def test_large(self) -> None:
        """Fields that do not fit into one frame come in several."""
        talk = self.talk()
        talk.ask_connect(A, headers=((b"x", b"~" * 40_000),))
        self.assertEqual(talk.newly_sent(), [("HEADERS", 1, (*FIELDS, (b"x", b"~" * 40_000)), False)])
        self.assertGreater(len(talk.peer.raw), 3)

    def test_beside_others(self) -> None:
        """Other streams are not in its way, and it is not in theirs: the connection takes requests all the while."""
        talk = self.talk()
        talk.ask(B)
        talk.ask_connect(A)
        talk.ask(C)
        self.assertEqual((talk.core.accepting, talk.core.switched), (True, False))
        talk.receive(talk.peer.respond(5, fin=True) + talk.peer.respond(3) + talk.peer.data(3, b"hi") + talk.peer.respond(1, fin=True))
        self.assertEqual(
            [entry[:2] for entry in talk.outline], [("response", C), *(entry[:2] for entry in OPENED), ("tunnel", A), ("response", B)]
        )
        self.assertEqual((talk.core.accepting, talk.core.switched), (True, False))

    def test_settings(self) -> None:
        """It needs no setting, and waits for none: those that come let it be."""
        talk = self.talk(begun=False)
        talk.newly_sent()
        talk.ask_connect(A)
        self.assertEqual(talk.newly_sent(), [("HEADERS", 1, FIELDS, False)])
        talk.receive(talk.peer.settings(), talk.peer.settings_ack(), talk.peer.respond(1))
        self.assertEqual(talk.outline[-2:], OPENED)

    def test_most_streams(self) -> None:
        """It counts toward the limit of the server from the request on to the end of both directions."""
        talk = self.talk(settings={"max_concurrent_streams": 1})
        talk.ask_connect(A)
        self.assertTrue(talk.core.full)
        talk.receive(talk.peer.respond(1))
        (step,) = talk.ask_connect(B)
        assert isinstance(step, StreamFailed)
        self.assertIsInstance(step.reason, StreamRefused)
        self.assertEqual(talk.core.losses().unprocessed, (B,))
        talk.receive(talk.peer.data(1, fin=True))
        self.assertTrue(talk.core.full)
        self.assertIn(("accepting",), outline(talk.send(A, b"", True)))
        self.assertFalse(talk.core.full)
        talk.ask_connect(C)
        talk.receive(talk.peer.respond(3))
        self.assertEqual(talk.outline[-1], ("tunnel opened", C))

    def test_most_streams_waiting(self) -> None:
        """Where requests may wait for it, the connection says that it takes none."""
        talk = self.talk(settings={"max_concurrent_streams": 1}, max_waiting=5)
        talk.ask_connect(A)
        self.assertEqual((talk.core.accepting, talk.core.full), (False, True))
        self.assertIn(("accepting",), outline(talk.receive(talk.peer.respond(1, 403, fin=True))))


class OpenedTests(ConnectCase):
    """The proxy makes the tunnel."""

    def test_every_cut(self) -> None:
        """A response of 2xx that does not end the stream; it may come cut anywhere, and so may the first bytes."""
        for status in (200, 204, 299):

            def scene(talk: Http2Conversation, status: int = status) -> bytes:
                talk.ask_connect(A)
                peer = talk.peer
                head = peer.respond(1, 103, ((b"x", b"y"),)) + peer.respond(1, status, ((b"via", b"x"),))
                return head + peer.data(1, b"hi") + peer.data(1) + peer.data(1, b"!", padding=3)

            talk = self.at_every_cut(scene)
            self.assertEqual(
                talk.outline,
                [
                    ("inform", A, 103, ((b"x", b"y"),)),
                    ("response", A, status, ((b"via", b"x"),), False),
                    ("tunnel opened", A),
                    ("tunnel", A, b"hi!"),
                ],
            )

    def test_steps(self) -> None:
        """The steps themselves."""
        talk = self.pending()
        head = Response(stream=A, fin=False, status=200, headers=())
        self.assertEqual(talk.receive(talk.peer.respond(1)), [head, TunnelOpened(A)])
        self.assertEqual(talk.receive(talk.peer.data(1, b"hi")), [TunnelData(A, b"hi")])
        self.assertFalse(talk.core.served)  # to make a tunnel is not yet to serve

    def test_length_is_ignored(self) -> None:
        """RFC 9110 section 9.3.6: "A client MUST ignore any Content-Length", whatever it says."""
        values = (b"0",), (b"1",), (b"5",), (b"9", b"9")
        for lengths in values:
            fields = tuple((b"content-length", value) for value in lengths)
            talk = self.pending()
            talk.receive(talk.peer.respond(1, 200, fields), talk.peer.data(1, b"hello"), talk.peer.data(1, b"!", True))
            self.assertEqual(
                talk.outline, [("response", A, 200, fields, False), *OPENED[1:], ("tunnel", A, b"hello!"), ("tunnel closed", A)]
            )

    def test_length_that_is_none_is_ignored(self) -> None:
        """Also where it is no length, or not one: there is no content that it could be of."""
        for lengths in ((b"five",), (b"1", b"2")):
            fields = tuple((b"content-length", value) for value in lengths)
            talk = self.pending()
            talk.receive(talk.peer.respond(1, 200, fields), talk.peer.data(1, b"hello"))
            self.assertEqual(talk.outline, [("response", A, 200, fields, False), *OPENED[1:], ("tunnel", A, b"hello")], lengths)

    def test_interim_responses(self) -> None:
        """They are told, and decide nothing; too many of them are the stream's end."""
        talk = self.pending(max_informational=2)
        talk.receive(talk.peer.respond(1, 100), talk.peer.respond(1, 103))
        self.assertEqual([entry[:3] for entry in talk.outline], [("inform", A, 100), ("inform", A, 103)])
        talk.receive(talk.peer.respond(1, 103))
        self.assertEqual(talk.outline[-1], ("failed", A, "LimitReached(max_informational, 2)"))
        self.assert_alive(talk)


class RefusedTests(ConnectCase):
    """The proxy makes none: a response like any other."""

    def test_every_cut(self) -> None:
        """It is told with its content and trailers, the request's open end is given up, and others live on."""

        def scene(talk: Http2Conversation) -> bytes:
            talk.ask_connect(A)
            talk.ask(B)
            peer = talk.peer
            head = peer.respond(1, 103) + peer.respond(1, 403, ((b"content-length", b"5"),))
            return head + peer.data(1, b"sor") + peer.data(1, b"ry") + peer.trailers(1) + peer.respond(3, fin=True)

        talk = self.at_every_cut(scene)
        self.assertEqual(
            talk.outline,
            [
                ("inform", A, 103, ()),
                ("tunnel refused", A, 403),
                ("response", A, 403, ((b"content-length", b"5"),), False),
                ("data", A, b"sorry", False),
                ("trailers", A, ((b"x", b"y"),)),
                ("response", B, 200, (), True),
            ],
        )
        self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 1, "NO_ERROR"))
        self.assertTrue(talk.core.served)

    def test_steps(self) -> None:
        """The steps themselves: that it is a refusal comes first."""
        for status in (300, 304, 399, 400, 407, 502, 599, 999):
            for fin in (True, False):
                talk = self.pending()
                steps = talk.receive(talk.peer.respond(1, status, fin=fin))
                self.assertEqual(steps[:2], [TunnelRefused(A, status, ()), Response(stream=A, fin=fin, status=status, headers=())])
                self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")] * fin)
                self.assert_alive(talk)

    def test_ended_2xx(self) -> None:
        """A response of 2xx that ends the stream made no tunnel: there is none left."""
        for fields in ((), ((b"content-length", b"0"),)):
            talk = self.pending()
            talk.receive(talk.peer.respond(1, 200, fields, fin=True))
            self.assertEqual(talk.outline, [("tunnel refused", A, 200), ("response", A, 200, fields, True)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")])
            self.assert_alive(talk)

    def test_again(self) -> None:
        """Another may be asked for, while the refusal's content still comes."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 407))
        talk.ask_connect(B, headers=((b"proxy-authorization", b"Basic eDp5"),))
        talk.receive(talk.peer.respond(3), talk.peer.data(1, b"sorry", True), talk.peer.data(3, b"hi"))
        self.assertEqual([entry[:2] for entry in talk.outline[2:]], [("response", B), ("tunnel opened", B), ("data", A), ("tunnel", B)])

    def test_length(self) -> None:
        """In a refusal Content-Length counts: content that is more or less is malformed."""
        for end in (b"four", b"sixsix"):
            talk = self.pending()
            talk.receive(talk.peer.respond(1, 403, ((b"content-length", b"5"),)), talk.peer.data(1, end, True))
            self.assertEqual(talk.outline[-1], ("failed", A, PROTOCOL_VIOLATION))
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])
            self.assert_alive(talk)

    def test_length_of_no_content(self) -> None:
        """So is a refusal that ends with its head and says that more comes: then no refusal is told, for it is no response."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 403, ((b"content-length", b"5"),), fin=True))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
        self.assert_alive(talk)

    def test_flow(self) -> None:
        """Its content is told as far as `flow` allows, and not to who is held."""
        talk = self.talk(flow=5)
        talk.ask_connect(A, flow=1)
        talk.receive(talk.peer.respond(1, 403), talk.peer.data(1, b"one"), talk.peer.data(1, b"two", True))
        self.assertEqual(talk.outline[-1], ("data", A, b"one", False))
        talk.update_flow(A, 1)
        self.assertEqual(talk.outline[-1], ("data", A, b"onetwo", True))
        talk = self.pending()
        talk.hold(A)
        talk.receive(talk.peer.respond(1, 403), talk.peer.data(1, b"sorry", True))
        self.assertEqual([entry[0] for entry in talk.outline], ["tunnel refused", "response"])
        self.assertEqual(outline(talk.hold(A, False)), [("data", A, b"sorry", True)])


#: Heads that are none.
MALFORMED: dict[str, Headers] = {
    "101": ((b":status", b"101"),),
    "no status": ((b"x", b"y"),),
    "a status of two digits": ((b":status", b"20"),),
    "another pseudo-field": ((b":status", b"200"), (b":path", b"/")),
    "transfer-encoding": ((b":status", b"200"), (b"transfer-encoding", b"chunked")),
    "connection": ((b":status", b"200"), (b"connection", b"close")),
    "upgrade": ((b":status", b"403"), (b"upgrade", b"h2c")),
    "upper case": ((b":status", b"200"), (b"X", b"y")),
    "a line end": ((b":status", b"200"), (b"x", b"y\r\n")),
}


class FaultTests(ConnectCase):
    """Answers that are none: the stream fails, and the others live on."""

    def fails(self, talk: Http2Conversation, data: bytes, code: str = "PROTOCOL_ERROR", why: object = None) -> None:
        """`data` is an error of stream 1, told as nothing else."""
        talk.receive(data)
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)], why)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, code)], why)
        self.assert_alive(talk)

    def test_malformed(self) -> None:
        """A head that is malformed (RFC 9113 section 8.1.1)."""
        for why, fields in MALFORMED.items():
            talk = self.pending()
            self.fails(talk, talk.peer.headers(1, fields), why=why)

    def test_data_first(self) -> None:
        """Bytes before the answer, as of a tunnel that is not open."""
        for fin in (False, True):
            talk = self.pending()
            self.fails(talk, talk.peer.data(1, b"early", fin))

    def test_interim_end(self) -> None:
        """An interim response that ends the stream."""
        talk = self.pending()
        self.fails(talk, talk.peer.respond(1, 103, fin=True))

    def test_headers_in_the_tunnel(self) -> None:
        """HEADERS on a tunnel, be they trailers, another response or an interim one."""
        for fields in (((b"x", b"y"),), ((b":status", b"200"),), ((b":status", b"103"),)):
            for fin in (False, True):
                talk = self.opened()
                self.fails(talk, talk.peer.headers(1, fields, fin=fin), why=(fields, fin))

    def test_behind_the_end(self) -> None:
        """
        RFC 9113 section 5.1: frames behind the peer's end are "a stream error (Section 5.4.2) of type STREAM_CLOSED".

        The end was told, and nothing is told behind it, whether what had come before was read or not; so it is with an upgraded stream.
        """
        late: tuple[Callable[[Peer], bytes], ...] = (
            lambda peer: peer.data(1, b"late"),
            lambda peer: peer.data(1, b"late", True),
            lambda peer: peer.data(1, b"", True),
            lambda peer: peer.trailers(1),
            lambda peer: peer.respond(1),
        )
        for ask in (Http2Conversation.ask_connect, Http2Conversation.ask_upgrade):
            for make in late:
                for held in (False, True):
                    talk = self.talk(settings={"enable_connect_protocol": 1})
                    ask(talk, A)
                    talk.receive(talk.peer.respond(1))
                    talk.steps.clear()
                    talk.newly_sent()
                    talk.hold(A, held)
                    talk.receive(talk.peer.data(1, b"bye"), talk.peer.data(1, b"", True), make(talk.peer))
                    talk.hold(A, False)
                    self.assertEqual(talk.outline, [("tunnel", A, b"bye"), ("tunnel closed", A)])
                    self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "STREAM_CLOSED")])
                    talk.receive(talk.peer.data(1, b"on its way"), talk.peer.data(1, b"", True))
                    self.assertEqual(talk.newly_sent(), [])
                    self.assert_alive(talk)

    def test_push(self) -> None:
        """RFC 9113 section 8.5: PUSH_PROMISE is a frame that "MUST be treated as a stream error" there; a proxy speaks for no origin."""
        request = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org:443"), (b":path", b"/"))
        talk = self.opened(enable_push=True)
        talk.receive(talk.peer.promise(1, 2, request))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
        self.assertIn(("RST_STREAM", 1, "PROTOCOL_ERROR"), talk.newly_sent())
        self.assert_alive(talk)

    def test_push_before_the_answer(self) -> None:
        """Before the answer a promise is none that could be taken either: it is refused, whatever origin it names."""
        request = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org:443"), (b":path", b"/"))
        talk = self.pending(enable_push=True)
        talk.receive(talk.peer.promise(1, 2, request))
        self.assertNotIn("push", [entry[0] for entry in talk.outline])
        self.assertIn("RST_STREAM", [frame[0] for frame in talk.newly_sent()])


class TunnelTests(ConnectCase):
    """The stream is the tunnel."""

    def test_both_ways(self) -> None:
        """Bytes come and go as DATA, whatever they look like, beside other streams."""
        talk = self.opened()
        talk.ask(B)
        talk.newly_sent()
        for data in (b"PRI * HTTP/2.0\r\n\r\n", b"", b"\0\0\0\4\0"):
            talk.send(A, data)
        talk.receive(talk.peer.data(1, b"to me") + talk.peer.respond(3, fin=True) + talk.peer.data(1) + talk.peer.data(1, b"!", padding=9))
        self.assertEqual([frame[2] for frame in talk.newly_sent()], [b"PRI * HTTP/2.0\r\n\r\n", b"\0\0\0\4\0"])
        self.assertEqual(talk.outline, [("tunnel", A, b"to me"), ("response", B, 200, (), True), ("tunnel", A, b"!")])

    def test_large(self) -> None:
        """What is more than a frame is several."""
        talk = self.opened()
        talk.send(A, b"x" * 40_000, True)
        sent = talk.newly_sent()
        self.assertEqual([len(frame[2]) for frame in sent], [16_384, 16_384, 40_000 - 2 * 16_384])
        self.assertEqual([frame[3] for frame in sent], [False, False, True])

    def test_other_frames(self) -> None:
        """Frames that manage streams, and unknown ones, mean nothing to it."""
        talk = self.opened()
        talk.receive(talk.peer.window(1, 5), talk.peer.frame(FrameType.PRIORITY, 0, 1, b"\0\0\0\3\x10"), talk.peer.frame(0x30, 0, 1, b"x"))
        talk.receive(talk.peer.data(1, b"hi"))
        self.assertEqual((talk.outline, talk.newly_sent()), ([("tunnel", A, b"hi")], []))

    def test_two(self) -> None:
        """Each has its own bytes and its own end."""
        talk = self.opened()
        talk.ask_connect(B)
        talk.receive(talk.peer.respond(3))
        talk.steps.clear()
        talk.newly_sent()
        talk.send(B, b"b")
        talk.send(A, b"a", True)
        talk.receive(talk.peer.data(3, b"of b"), talk.peer.data(1, b"of a", True))
        self.assertEqual(talk.newly_sent(), [("DATA", 3, b"b", False), ("DATA", 1, b"a", True)])
        self.assertEqual(talk.outline, [("tunnel", B, b"of b"), ("tunnel", A, b"of a"), ("tunnel closed", A)])

    def test_one_step(self) -> None:
        """What comes for a tunnel in one read is one step, whatever comes between; nothing else changes its place, and no end does."""
        talk = self.opened()
        talk.ask_connect(B)
        talk.ask(C)
        talk.receive(talk.peer.respond(3))
        peer = talk.peer
        steps = talk.receive(peer.data(1, b"a") + peer.data(3, b"b") + peer.window(1, 5) + peer.data(1, b"a"))
        self.assertEqual(steps, [TunnelData(A, b"aa"), TunnelData(B, b"b")])
        first = peer.data(1, b"1") + peer.data(1, b"2") + peer.respond(5, fin=True) + peer.data(3, b"3") + peer.data(1, b"4")
        second = peer.data(1, b"5", True) + peer.data(3, b"6") + peer.data(3, b"7") + peer.reset(3)
        (*steps, end) = talk.receive(first + second)
        head = Response(stream=C, fin=True, status=200, headers=())
        self.assertEqual(steps[:4], [TunnelData(A, b"12"), head, TunnelData(B, b"3"), TunnelData(A, b"45")])
        self.assertEqual(steps[4:], [TunnelClosed(A), TunnelData(B, b"67")])
        self.assertIsInstance(end, StreamFailed)

    def test_we_end_first(self) -> None:
        """RFC 9113 section 8.5: END_STREAM is "equivalent to the TCP FIN bit": the peer may send on, up to its own."""
        talk = self.opened()
        talk.send(A, b"last", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"last", True)])
        self.assertEqual((talk.send(A, b"more"), talk.send(A, b"", True)), ([], []))
        talk.receive(talk.peer.data(1, b"still here"), talk.peer.data(1, b"bye", True))
        self.assertEqual(talk.outline, [("tunnel", A, b"still herebye"), ("tunnel closed", A)])
        self.assertEqual((talk.newly_sent(), talk.core.losses().killed), ([], ()))
        self.assert_alive(talk)

    def test_they_end_first(self) -> None:
        """The peer's end is told; ours is for who stands on it to say, and may still be preceded by bytes."""
        talk = self.opened()
        self.assertEqual(talk.receive(talk.peer.data(1, b"bye", True)), [TunnelData(A, b"bye"), TunnelClosed(A)])
        self.assertEqual(talk.newly_sent(), [])
        talk.send(A, b"one ")
        talk.send(A, b"two", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"one ", False), ("DATA", 1, b"two", True)])
        self.assertEqual(talk.send(A, b"more", True), [])
        self.assert_alive(talk)

    def test_ends_alone(self) -> None:
        """Ends without bytes, in either order."""
        for ours in (True, False):
            talk = self.opened()
            if ours:
                talk.send(A, b"", True)
            self.assertEqual(talk.receive(talk.peer.data(1, b"", True)), [TunnelClosed(A)])
            if not ours:
                talk.send(A, b"", True)
            self.assertEqual(talk.newly_sent(), [("DATA", 1, b"", True)])
