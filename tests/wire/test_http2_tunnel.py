"""Upgrades over HTTP/2 (RFC 8441), by both cores: when they may be asked for, and the stream that then carries another protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted_gun.errors import ShuttingDown, StreamRefused, UpgradeRefused
from twisted_gun.events import Upgrade
from twisted_gun.wire.steps import StreamFailed, TunnelClosed, TunnelData

from . import http2_carrying
from .conversation import PROTOCOL_VIOLATION, A, B, C, Outline, outline
from .http2_carrying import CarryingCase
from .http2_conversation import Http2Conversation

#: What a server says that takes websockets.
TAKES = {"enable_connect_protocol": 1}
#: The fields of the extended CONNECT.
CONNECT = (
    (b":method", b"CONNECT"),
    (b":scheme", b"https"),
    (b":authority", b"example.org"),
    (b":path", b"/chat"),
    (b":protocol", b"websocket"),
)


class TunnelCase(CarryingCase):
    """Tests with a tunnel by extended CONNECT."""

    settings = TAKES
    answer: ClassVar[Outline] = [("upgrade", A, (b"websocket",), ())]

    def ask_tunnel(self, talk: Http2Conversation, **more: Any) -> None:
        talk.ask_upgrade(A, **more)


class AskingTests(TunnelCase):
    """The request."""

    def test_request(self) -> None:
        """RFC 8441 section 4: an extended CONNECT, with :scheme and :path, which does not end the stream."""
        talk = self.talk(settings=TAKES)
        talk.ask_upgrade(A, headers=((b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"x"), (b"x", b"y")))
        ((kind, stream_id, fields, fin),) = talk.newly_sent()
        self.assertEqual((kind, stream_id, fin), ("HEADERS", 1, False))
        self.assertEqual(dict(fields), dict((*CONNECT, (b"sec-websocket-version", b"13"), (b"x", b"y"))))
        names = [name for name, _ in fields]
        self.assertEqual(names, sorted(names, key=lambda name: name[:1] != b":"), "pseudo-fields come first")

    def test_another_path(self) -> None:
        """Each has its own path and protocol."""
        talk = self.talk(settings=TAKES)
        talk.ask_upgrade(A, b"connect-udp", target=b"/a")
        talk.ask_upgrade(B, target=b"/b")
        sent = [(dict(fields)[b":protocol"], dict(fields)[b":path"]) for _, _, fields, _ in talk.newly_sent()]
        self.assertEqual(sent, [(b"connect-udp", b"/a"), (b"websocket", b"/b")])

    def test_not_taken(self) -> None:
        """RFC 8441 section 3: without SETTINGS_ENABLE_CONNECT_PROTOCOL of 1 it is not sent, and the connection lives on."""
        for settings in ({}, {"enable_connect_protocol": 0}):
            talk = self.talk(settings=settings)
            (step,) = talk.ask_upgrade(A)
            assert isinstance(step, StreamFailed) and isinstance(step.reason, UpgradeRefused)
            self.assertIsNone(step.reason.response)
            self.assertEqual(talk.newly_sent(), [])
            self.assertEqual(talk.core.losses().unprocessed, (A,))
            talk.ask(B)
            talk.receive(talk.peer.respond(1, fin=True))
            self.assertEqual(talk.outline[-1][:2], ("response", B))

    def test_waits_for_settings(self) -> None:
        """As long as the server has sent no SETTINGS it is not known whether it may be sent; other requests are not kept by that."""
        for takes in (True, False):
            talk = self.talk(begun=False)
            talk.newly_sent()
            self.assertEqual(talk.ask_upgrade(A), [])
            talk.ask(B)
            self.assertEqual([frame[0] for frame in talk.newly_sent()], ["HEADERS"])
            talk.receive(talk.peer.settings(**(TAKES if takes else {})))
            sent = [dict(frame[2])[b":method"] for frame in talk.newly_sent() if frame[0] == "HEADERS"]
            self.assertEqual(sent, [b"CONNECT"] if takes else [])
            self.assertEqual([entry[:2] for entry in talk.outline if entry[0] == "failed"], [] if takes else [("failed", A)])

    def test_several_wait(self) -> None:
        """They are sent in their order, as many as the server's limit allows."""
        talk = self.talk(begun=False)
        for stream, path in ((A, b"/a"), (B, b"/b"), (C, b"/c")):
            talk.ask_upgrade(stream, target=path)
        talk.newly_sent()
        talk.receive(talk.peer.settings(max_concurrent_streams=2, **TAKES))
        paths = [dict(frame[2])[b":path"] for frame in talk.newly_sent() if frame[0] == "HEADERS"]
        self.assertEqual(paths, [b"/a", b"/b"])
        self.assertEqual([entry for entry in talk.outline if entry[0] == "failed"], [("failed", C, "StreamRefused")])

    def test_cancelled_while_waiting(self) -> None:
        """One that is cancelled meanwhile is never sent."""
        talk = self.talk(begun=False)
        talk.ask_upgrade(A)
        self.assertEqual(talk.cancel(A), [])
        talk.newly_sent()
        talk.receive(talk.peer.settings(**TAKES))
        self.assertEqual([frame[0] for frame in talk.newly_sent()], ["SETTINGS ACK"])

    def test_settings_change(self) -> None:
        """A setting that comes later counts from then on; other settings leave it as it is."""
        talk = self.talk()
        talk.receive(talk.peer.settings(**TAKES))
        talk.receive(talk.peer.settings(max_frame_size=20_000))
        talk.newly_sent()
        talk.ask_upgrade(A)
        self.assertEqual([frame[0] for frame in talk.newly_sent()], ["HEADERS"])

    def test_bad_setting(self) -> None:
        """RFC 8441 section 3: "The value of the parameter MUST be 0 or 1." """
        for value in (2, 2**32 - 1):
            talk = self.talk()
            talk.receive(talk.peer.settings(enable_connect_protocol=value))
            self.assertEqual(talk.outline, [("close", PROTOCOL_VIOLATION)])

    def test_lost_while_waiting(self) -> None:
        """Where the connection ends first it was certainly not processed."""
        for end in ("lost", "goaway", "timeout", "garbage"):
            talk = self.talk(begun=False, preface_timeout=1.0)
            talk.ask_upgrade(A)
            if end == "lost":
                talk.lose()
            elif end == "goaway":
                talk.receive(talk.peer.settings())
            elif end == "timeout":
                talk.at(1.0)
            else:
                talk.receive(b"garbage")
            failed = [step for step in talk.steps if isinstance(step, StreamFailed)]
            expected = UpgradeRefused if end == "goaway" else StreamRefused
            self.assertEqual([(step.stream, type(step.reason)) for step in failed], [(A, expected)])
            self.assertEqual(talk.core.losses().unprocessed, (A,))

    def test_goaway_while_waiting(self) -> None:
        """Our own GOAWAY, for want of identifiers or at a shutdown, ends the waiting too."""
        talk = self.talk(begun=False)
        talk.ask_upgrade(A)
        steps = talk.shutdown()
        failed = [step for step in steps if isinstance(step, StreamFailed)]
        self.assertEqual([(step.stream, type(step.reason)) for step in failed], [(A, ShuttingDown)])
        self.assertEqual(outline(steps)[-1], ("close", None))
        self.assertEqual(talk.core.losses().unprocessed, (A,))


class AnswerTests(TunnelCase):
    """The response."""

    def test_switched(self) -> None:
        """RFC 8441 section 5: a response of 2xx that does not end the stream; it may come cut anywhere."""
        for status in (200, 201, 299):

            def scene(talk: Http2Conversation, status: int = status) -> bytes:
                talk.ask_upgrade(A)
                interim = talk.peer.respond(1, 103, ((b"x", b"y"),))
                return interim + talk.peer.respond(1, status, ((b"server", b"x"),)) + talk.peer.data(1, b"hi") + talk.peer.data(1, b"!")

            talk = self.at_every_cut(scene, settings=TAKES)
            self.assertEqual(
                talk.outline,
                [
                    ("inform", A, 103, ((b"x", b"y"),)),
                    ("upgrade", A, (b"websocket",), ((b"server", b"x"),)),
                    ("tunnel", A, b"hi!"),
                ],
            )
            self.assertFalse(talk.core.served, "that is for what it carries to show")

    def test_events(self) -> None:
        """The steps themselves; the connection takes requests as before."""
        talk = self.pending()
        self.assertEqual(talk.receive(talk.peer.respond(1)), [Upgrade(stream=A, protocols=(b"websocket",), headers=())])
        self.assertEqual(talk.receive(talk.peer.data(1, b"hi")), [TunnelData(A, b"hi")])
        self.assertFalse(talk.core.switched)
        self.assertTrue(talk.core.accepting)

    def test_length_means_nothing(self) -> None:
        """RFC 9110 section 9.3.6: in a 2xx response to CONNECT a client ignores Content-Length."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"1"),)), talk.peer.data(1, b"hello"))
        self.assertEqual(talk.outline[-1], ("tunnel", A, b"hello"))

    def test_refused(self) -> None:
        """Any other response is one, with its content; behind it the stream is given up, and others live on."""
        for status in (300, 400, 404, 501):
            talk = self.pending()
            talk.receive(talk.peer.respond(1, status, ((b"content-length", b"5"),)), talk.peer.data(1, b"sorry", True))
            head = ("response", A, status, ((b"content-length", b"5"),), False)
            self.assertEqual(talk.outline, [head, ("data", A, b"sorry", True)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")])
            talk.ask(B)
            talk.receive(talk.peer.respond(3, fin=True))
            self.assertEqual(talk.outline[-1][:2], ("response", B))

    def test_ended(self) -> None:
        """A response that ends the stream is none that switches."""
        for status in (200, 404):
            talk = self.pending()
            talk.receive(talk.peer.respond(1, status, fin=True))
            self.assertEqual(talk.outline, [("response", A, status, (), True)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")])

    def test_101(self) -> None:
        """RFC 8441 section 4: 101 is not used; it is malformed, as in any response."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 101))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])

    def test_reset(self) -> None:
        """The server resets the stream instead."""
        talk = self.pending()
        talk.receive(talk.peer.reset(1, 1))
        self.assertEqual(talk.outline, [("failed", A, "StreamReset(1)")])
        talk = self.pending()
        talk.receive(talk.peer.reset(1, 7))
        self.assertEqual(talk.outline, [("failed", A, "StreamRefused")])
        self.assertEqual(talk.core.losses().unprocessed, (A,))

    def test_not_asked_for(self) -> None:
        """To a plain request 200 is a response, and nothing else."""
        talk = self.talk(settings=TAKES)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        self.assertEqual(talk.outline, [("response", A, 200, (), False)])


class TunnelTests(TunnelCase):
    """The stream is the other protocol's."""

    def test_both_ways(self) -> None:
        """Bytes come and go as DATA, beside other streams."""
        talk = self.opened()
        talk.ask(B)
        talk.newly_sent()
        talk.send(A, b"to you")
        talk.send(A, b"")
        talk.receive(talk.peer.data(1, b"to me") + talk.peer.respond(3, fin=True) + talk.peer.data(1) + talk.peer.data(1, b"!"))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"to you", False)])
        self.assertEqual(talk.outline, [("tunnel", A, b"to me"), ("response", B, 200, (), True), ("tunnel", A, b"!")])

    def test_padding(self) -> None:
        """Padding is not the tunnel's."""
        talk = self.opened()
        talk.receive(talk.peer.data(1, b"hi", padding=100))
        self.assertEqual(talk.outline, [("tunnel", A, b"hi")])

    def test_we_end_first(self) -> None:
        """RFC 8441 section 5: an orderly end is END_STREAM; the peer may send on, up to its own."""
        talk = self.opened()
        talk.send(A, b"last", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"last", True)])
        self.assertEqual(talk.send(A, b"more"), [])
        talk.receive(talk.peer.data(1, b"still here"), talk.peer.data(1, b"bye", True))
        self.assertEqual(talk.outline, [("tunnel", A, b"still herebye"), ("tunnel closed", A)])
        self.assertEqual(talk.newly_sent(), [])
        self.assertEqual(talk.core.losses().killed, ())

    def test_they_end_first(self) -> None:
        """The peer's end is told; ours is for who stands on it to say, and may still be preceded by bytes."""
        talk = self.opened()
        self.assertEqual(talk.receive(talk.peer.data(1, b"bye", True)), [TunnelData(A, b"bye"), TunnelClosed(A)])
        self.assertEqual(talk.newly_sent(), [])
        talk.send(A, b"one ")
        talk.send(A, b"two", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"one ", False), ("DATA", 1, b"two", True)])
        self.assertEqual(talk.send(A, b"more", True), [])

    def test_end_alone(self) -> None:
        """Ends without bytes."""
        talk = self.opened()
        self.assertEqual(talk.receive(talk.peer.data(1, b"", True)), [TunnelClosed(A)])
        talk.send(A, b"", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"", True)])

    def test_ended_streams_count_no_more(self) -> None:
        """Only what both sides have ended makes room for another."""
        talk = self.opened(settings={"max_concurrent_streams": 1})
        self.assertFalse(talk.core.accepting and not talk.core.full)
        talk.receive(talk.peer.data(1, b"", True))
        self.assertTrue(talk.core.full)
        talk.send(A, b"", True)
        self.assertFalse(talk.core.full)
        talk = self.opened(settings={"max_concurrent_streams": 1})
        talk.send(A, b"", True)
        self.assertTrue(talk.core.full)
        talk.receive(talk.peer.data(1, b"", True))
        self.assertFalse(talk.core.full)

    def test_headers(self) -> None:
        """RFC 9113 section 8.5: HEADERS on it are malformed, trailers as well."""
        for fin in (True, False):
            talk = self.opened()
            talk.receive(talk.peer.headers(1, ((b"x", b"y"),), fin=fin))
            self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])


class SendingTests(http2_carrying.SendingTests, TunnelCase):
    """The windows of what is sent."""


class ReceivingTests(http2_carrying.ReceivingTests, TunnelCase):
    """The windows of what is received."""


class ResetTests(http2_carrying.ResetTests, TunnelCase):
    """RST_STREAM, from either side."""


class EndTests(http2_carrying.EndTests, TunnelCase):
    """The end of the connection."""


class TimeTests(http2_carrying.TimeTests, TunnelCase):
    """Time."""

    def test_while_waiting_for_settings(self) -> None:
        """Before the server's SETTINGS that time has not begun: theirs has."""
        talk = self.talk(begun=False, response_timeout=3.0, preface_timeout=10.0, settings_timeout=None)
        talk.ask_upgrade(A)
        self.assertEqual(talk.core.deadline(), 10.0)
        talk.at(5.0)
        talk.now = 5.0
        talk.receive(talk.peer.settings(**TAKES))
        self.assertEqual(talk.core.deadline(), 8.0)
