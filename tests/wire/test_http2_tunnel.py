"""Upgrades over HTTP/2 (RFC 8441), by both cores: when they may be asked for, and the stream that then carries another protocol."""

from __future__ import annotations

from typing import Any

from twisted_gun.errors import ShuttingDown, StreamRefused, UpgradeRefused
from twisted_gun.events import Upgrade
from twisted_gun.wire.frames import ErrorCode, FrameType
from twisted_gun.wire.steps import StreamFailed, TunnelClosed, TunnelData

from .conversation import PROTOCOL_VIOLATION, A, B, C, outline
from .http2_conversation import Http2Case, Http2Conversation

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


class TunnelCase(Http2Case):
    """Tests with a tunnel."""

    def asked(self, **options: Any) -> Http2Conversation:
        """A conversation in which an upgrade of `A`, stream 1, was asked for; what was sent is put away."""
        talk = self.talk(settings=TAKES | options.pop("settings", {}), **options)
        talk.ask_upgrade(A)
        talk.newly_sent()
        return talk

    def switched(self, **options: Any) -> Http2Conversation:
        """One in which the server has said yes; what was told is put away too."""
        talk = self.asked(**options)
        talk.receive(talk.peer.respond(1))
        talk.steps.clear()
        return talk


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
        talk = self.asked()
        self.assertEqual(talk.receive(talk.peer.respond(1)), [Upgrade(stream=A, protocols=(b"websocket",), headers=())])
        self.assertEqual(talk.receive(talk.peer.data(1, b"hi")), [TunnelData(A, b"hi")])
        self.assertFalse(talk.core.switched)
        self.assertTrue(talk.core.accepting)

    def test_length_means_nothing(self) -> None:
        """RFC 9110 section 9.3.6: in a 2xx response to CONNECT a client ignores Content-Length."""
        talk = self.asked()
        talk.receive(talk.peer.respond(1, 200, ((b"content-length", b"1"),)), talk.peer.data(1, b"hello"))
        self.assertEqual(talk.outline[-1], ("tunnel", A, b"hello"))

    def test_refused(self) -> None:
        """Any other response is one, with its content; behind it the stream is given up, and others live on."""
        for status in (300, 400, 404, 501):
            talk = self.asked()
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
            talk = self.asked()
            talk.receive(talk.peer.respond(1, status, fin=True))
            self.assertEqual(talk.outline, [("response", A, status, (), True)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")])

    def test_101(self) -> None:
        """RFC 8441 section 4: 101 is not used; it is malformed, as in any response."""
        talk = self.asked()
        talk.receive(talk.peer.respond(1, 101))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])

    def test_reset(self) -> None:
        """The server resets the stream instead."""
        talk = self.asked()
        talk.receive(talk.peer.reset(1, 1))
        self.assertEqual(talk.outline, [("failed", A, "StreamReset(1)")])
        talk = self.asked()
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
        talk = self.switched()
        talk.ask(B)
        talk.newly_sent()
        talk.send(A, b"to you")
        talk.send(A, b"")
        talk.receive(talk.peer.data(1, b"to me") + talk.peer.respond(3, fin=True) + talk.peer.data(1) + talk.peer.data(1, b"!"))
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"to you", False)])
        self.assertEqual(talk.outline, [("tunnel", A, b"to me"), ("response", B, 200, (), True), ("tunnel", A, b"!")])

    def test_padding(self) -> None:
        """Padding is not the tunnel's."""
        talk = self.switched()
        talk.receive(talk.peer.data(1, b"hi", padding=100))
        self.assertEqual(talk.outline, [("tunnel", A, b"hi")])

    def test_we_end_first(self) -> None:
        """RFC 8441 section 5: an orderly end is END_STREAM; the peer may send on, up to its own."""
        talk = self.switched()
        talk.send(A, b"last", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"last", True)])
        self.assertEqual(talk.send(A, b"more"), [])
        talk.receive(talk.peer.data(1, b"still here"), talk.peer.data(1, b"bye", True))
        self.assertEqual(talk.outline, [("tunnel", A, b"still herebye"), ("tunnel closed", A)])
        self.assertEqual(talk.newly_sent(), [])
        self.assertEqual(talk.core.losses().killed, ())

    def test_they_end_first(self) -> None:
        """The peer's end is told; ours is for who stands on it to say, and may still be preceded by bytes."""
        talk = self.switched()
        self.assertEqual(talk.receive(talk.peer.data(1, b"bye", True)), [TunnelData(A, b"bye"), TunnelClosed(A)])
        self.assertEqual(talk.newly_sent(), [])
        talk.send(A, b"one ")
        talk.send(A, b"two", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"one ", False), ("DATA", 1, b"two", True)])
        self.assertEqual(talk.send(A, b"more", True), [])

    def test_end_alone(self) -> None:
        """Ends without bytes."""
        talk = self.switched()
        self.assertEqual(talk.receive(talk.peer.data(1, b"", True)), [TunnelClosed(A)])
        talk.send(A, b"", True)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"", True)])

    def test_ended_streams_count_no_more(self) -> None:
        """Only what both sides have ended makes room for another."""
        talk = self.switched(settings={"max_concurrent_streams": 1})
        self.assertFalse(talk.core.accepting and not talk.core.full)
        talk.receive(talk.peer.data(1, b"", True))
        self.assertTrue(talk.core.full)
        talk.send(A, b"", True)
        self.assertFalse(talk.core.full)
        talk = self.switched(settings={"max_concurrent_streams": 1})
        talk.send(A, b"", True)
        self.assertTrue(talk.core.full)
        talk.receive(talk.peer.data(1, b"", True))
        self.assertFalse(talk.core.full)

    def test_headers(self) -> None:
        """RFC 9113 section 8.5: HEADERS on it are malformed, trailers as well."""
        for fin in (True, False):
            talk = self.switched()
            talk.receive(talk.peer.headers(1, ((b"x", b"y"),), fin=fin))
            self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])

    def test_reset(self) -> None:
        """RFC 8441 section 5: a reset is the connection's end that was not orderly."""
        talk = self.switched()
        talk.receive(talk.peer.data(1, b"half"), talk.peer.reset(1, 8))
        self.assertEqual(talk.outline, [("tunnel", A, b"half"), ("failed", A, "StreamReset(8)")])
        self.assertEqual(talk.send(A, b"more", True), [])

    def test_cancelled(self) -> None:
        """At once, by RST_STREAM; what is on its way is passed over."""
        talk = self.switched()
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
        talk.receive(talk.peer.data(1, b"late"), talk.peer.data(1, b"", True))
        self.assertEqual(talk.outline, [])
        talk.ask(B)
        talk.receive(talk.peer.respond(3, fin=True))
        self.assertEqual(talk.outline[-1][:2], ("response", B))

    def test_cancelled_before(self) -> None:
        """Also before the answer."""
        talk = self.asked()
        talk.cancel(A)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"late"))
        self.assertEqual(talk.outline, [])


class WindowTests(TunnelCase):
    """Flow control: the windows are the tunnel's, `flow` is not."""

    def test_flow_is_not_its(self) -> None:
        """`flow` counts data events of responses: how much the tunnel may carry is for what it carries to say."""
        for options in ({"flow": 1}, {}):
            talk = self.talk(settings=TAKES, **options)
            talk.ask_upgrade(A, flow=1)
            talk.receive(talk.peer.respond(1), *[talk.peer.data(1, b"x")] * 5)
            self.assertEqual(talk.outline[-1], ("tunnel", A, b"xxxxx"))
            self.assertEqual(talk.update_flow(A, 1), [])

    def test_upload_blocked(self) -> None:
        """What the windows do not let out waits; whoever sends is told to, and told when to go on."""
        talk = self.switched(settings={"initial_window_size": 4})
        self.assertEqual(outline(talk.send(A, b"hello world"))[0], ("pause upload", A))
        talk.send(A, b"!")
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"hell", False)])
        steps = talk.receive(talk.peer.window(1, 100))
        self.assertIn(("resume upload", A), outline(steps))
        self.assertEqual(b"".join(frame[2] for frame in talk.newly_sent()), b"o world!")

    def test_end_waits_too(self) -> None:
        """The end comes behind what waits."""
        talk = self.switched(settings={"initial_window_size": 4})
        talk.send(A, b"hello")
        talk.send(A, b"", True)
        talk.newly_sent()
        talk.receive(talk.peer.data(1, b"", True))
        talk.receive(talk.peer.window(1, 100))
        sent = talk.newly_sent()
        self.assertEqual((b"".join(frame[2] for frame in sent), sent[-1][3]), (b"o", True))
        self.assertEqual(talk.outline[-2:], [("pause upload", A), ("tunnel closed", A)])

    def test_transport_held(self) -> None:
        """A transport that takes nothing makes it wait likewise."""
        talk = self.switched()
        talk.hold_sending()
        self.assertEqual(outline(talk.send(A, b"hello")), [("pause upload", A)])
        talk.hold_sending(False)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"hello", False)])

    def test_held(self) -> None:
        """Who cannot take more is told nothing, and the window is not opened again; then all of it, and the window with it."""
        talk = self.switched(initial_stream_window_size=1000, stream_window_margin_size=0, stream_window_update_threshold=0)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x" * 600), talk.peer.data(1, b"y" * 400))
        self.assertEqual(talk.outline, [])
        self.assertFalse([frame for frame in talk.newly_sent() if frame[:2] == ("WINDOW_UPDATE", 1)])
        talk.hold(A, False)
        self.assertEqual(talk.outline, [("tunnel", A, b"x" * 600 + b"y" * 400)])
        self.assertTrue([frame for frame in talk.newly_sent() if frame[:2] == ("WINDOW_UPDATE", 1)])

    def test_held_before(self) -> None:
        """Who was held while it was asked for is not held by that in the tunnel."""
        talk = self.asked()
        talk.hold(A)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"hi"))
        self.assertEqual([entry[0] for entry in talk.outline], ["upgrade", "tunnel"])

    def test_held_others_go_on(self) -> None:
        """The other streams do not notice."""
        talk = self.switched()
        talk.ask(B)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x"), talk.peer.respond(3), talk.peer.data(3, b"hello", True))
        self.assertEqual(talk.outline, [("response", B, 200, (), False), ("data", B, b"hello", True)])

    def test_held_and_ended(self) -> None:
        """The peer's end, and ours, come while bytes of it are still kept: they are told first."""
        for ours in ("never", "before", "after"):
            talk = self.switched()
            talk.hold(A)
            talk.receive(talk.peer.data(1, b"kept"), talk.peer.data(1, b"", True))
            if ours == "before":
                talk.send(A, b"", True)
            talk.hold(A, False)
            self.assertEqual(talk.outline, [("tunnel", A, b"kept"), ("tunnel closed", A)])
            if ours == "after":
                talk.send(A, b"", True)
            self.assertEqual([frame[0] for frame in talk.newly_sent()], [] if ours == "never" else ["DATA"])

    def test_held_and_reset(self) -> None:
        """What had come is told before the failure."""
        talk = self.switched()
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"kept"), talk.peer.reset(1, 8))
        self.assertEqual(talk.outline, [("tunnel", A, b"kept"), ("failed", A, "StreamReset(8)")])

    def test_held_and_lost(self) -> None:
        """Likewise where the whole connection ends."""
        talk = self.switched()
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"kept"))
        talk.lose()
        self.assertEqual([entry[0] for entry in talk.outline], ["tunnel", "failed"])

    def test_held_and_cancelled(self) -> None:
        """What nobody wants is not told."""
        talk = self.switched()
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"kept"))
        talk.cancel(A)
        self.assertEqual(talk.hold(A, False), [])
        self.assertEqual(talk.outline, [])

    def test_beyond_the_window(self) -> None:
        """More than the stream's window is its failure."""
        talk = self.switched(initial_stream_window_size=10)
        talk.receive(talk.peer.data(1, b"x" * 11))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION)])
        self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 1, "FLOW_CONTROL_ERROR"))

    def test_window_is_renewed(self) -> None:
        """A megabyte that is read as it comes never finds the windows shut."""
        talk = self.switched(initial_stream_window_size=65_535, initial_connection_window_size=65_535)
        received = 0
        while received < 1_000_000:
            piece = min(16_384, talk.peer.room[0], talk.peer.room[1])
            self.assertGreater(piece, 0)
            talk.receive(talk.peer.data(1, bytes(piece)))
            received += piece
        self.assertEqual(sum(len(step.data) for step in talk.steps if isinstance(step, TunnelData)), received)


class EndTests(TunnelCase):
    """The end of the connection."""

    def test_lost(self) -> None:
        """A tunnel is told the very reason: what that means is for what it carries to say."""
        for clean in (True, False):
            talk = self.switched()
            (step,) = talk.lose(clean=clean)
            assert isinstance(step, StreamFailed)
            self.assertEqual(str(step.reason), "gone")
            self.assertEqual(talk.core.losses().killed, (A,))

    def test_lost_before_the_answer(self) -> None:
        """Before it is one, it is a request like any other."""
        talk = self.asked()
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed")])

    def test_lost_after_our_end(self) -> None:
        """We have ended it, and the peer has not: that was no orderly end."""
        talk = self.switched()
        talk.send(A, b"", True)
        talk.lose()
        self.assertEqual([entry[0] for entry in talk.outline], ["failed"])

    def test_lost_after_their_end(self) -> None:
        """The peer has ended it, and we have not yet: it was told the end, and is told nothing more."""
        for how in ("lost", "reset", "refused", "goaway", "violation", "stalled"):
            talk = self.switched(settings={"initial_window_size": 0}, send_timeout=5.0)
            talk.receive(talk.peer.data(1, b"", True))
            talk.send(A, b"never sent", True)
            if how == "lost":
                talk.lose()
            elif how == "reset":
                talk.receive(talk.peer.reset(1, 0))
            elif how == "refused":  # which is not so: it was answered
                talk.receive(talk.peer.reset(1, ErrorCode.REFUSED_STREAM))
            elif how == "goaway":  # likewise
                talk.receive(talk.peer.goaway(0))
            elif how == "violation":
                talk.receive(talk.peer.frame(FrameType.PING, 0, 0, b"short"))
            else:
                talk.at(5.0)
            told = [entry for entry in talk.outline if entry[0] not in ("pause upload", "close")]
            self.assertEqual(told, [("tunnel closed", A)], how)
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_violation(self) -> None:
        """A fault of the connection ends it by that."""
        talk = self.switched()
        talk.receive(talk.peer.frame(FrameType.PING, 0, 0, b"short"))
        self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_goaway(self) -> None:
        """A tunnel that the server still counts lives on, and is told that it should end; no other can be asked for."""
        talk = self.switched(closing_timeout=5.0)
        talk.receive(talk.peer.goaway(1))
        self.assertFalse(talk.core.accepting)
        talk.send(A, b"still")
        talk.receive(talk.peer.data(1, b"here"))
        self.assertEqual(talk.outline, [("leaving",), ("tunnel", A, b"here")])
        talk.receive(talk.peer.data(1, b"", True))
        steps = talk.send(A, b"", True)
        self.assertEqual(outline(steps)[-1], ("close", None))

    def test_goaway_without_it(self) -> None:
        """One above the last stream was not processed."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(0))
        self.assertEqual(talk.outline[0], ("failed", A, "GoAway(0, 0)"))
        self.assertEqual(talk.core.losses().unprocessed, (A,))

    def test_goaway_and_time(self) -> None:
        """Not for longer than `closing_timeout`; where that is None it may last, and is told nothing."""
        talk = self.switched(closing_timeout=5.0)
        talk.receive(talk.peer.goaway(1))
        talk.at(5.0)
        self.assertEqual(talk.outline[1:], [("failed", A, "TimedOut(closing, 5.0)"), ("close", "TimedOut(closing, 5.0)")])
        talk = self.switched(closing_timeout=None)
        talk.receive(talk.peer.goaway(1))
        self.assertEqual((talk.outline, talk.core.deadline()), ([], None))

    def test_shutdown(self) -> None:
        """Shutting down, a tunnel is waited for like a response."""
        talk = self.switched()
        talk.shutdown()
        self.assertEqual([frame[0] for frame in talk.newly_sent()], ["GOAWAY"])
        talk.send(A, b"bye", True)
        self.assertFalse(talk.over)
        steps = talk.receive(talk.peer.data(1, b"bye", True))
        self.assertEqual(outline(steps), [("tunnel", A, b"bye"), ("tunnel closed", A), ("close", None)])

    def test_shutdown_the_other_way(self) -> None:
        """Also where the peer's end comes first."""
        talk = self.switched()
        talk.shutdown()
        talk.receive(talk.peer.data(1, b"bye", True))
        self.assertFalse(talk.over)
        self.assertEqual(outline(talk.send(A, b"", True))[-1], ("close", None))


class TimeTests(TunnelCase):
    """Time."""

    def test_response_timeout(self) -> None:
        """The answer is waited for no longer than any other, though the request is not ended by it."""
        talk = self.asked(response_timeout=3.0)
        self.assertEqual(talk.core.deadline(), 3.0)
        self.assertEqual(outline(talk.at(3.0))[0], ("failed", A, "TimedOut(response, 3.0)"))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])

    def test_while_waiting_for_settings(self) -> None:
        """Before the server's SETTINGS that time has not begun: theirs has."""
        talk = self.talk(begun=False, response_timeout=3.0, preface_timeout=10.0, settings_timeout=None)
        talk.ask_upgrade(A)
        self.assertEqual(talk.core.deadline(), 10.0)
        talk.at(5.0)
        talk.now = 5.0
        talk.receive(talk.peer.settings(**TAKES))
        self.assertEqual(talk.core.deadline(), 8.0)

    def test_none_in_the_tunnel(self) -> None:
        """A tunnel may be silent: neither the response's time nor the content's runs."""
        talk = self.asked(response_timeout=3.0, idle_timeout=3.0)
        talk.receive(talk.peer.respond(1))
        self.assertIsNone(talk.core.deadline())
        talk.receive(talk.peer.data(1, b"x"))
        talk.send(A, b"y")
        talk.hold(A)
        talk.hold(A, False)
        self.assertIsNone(talk.core.deadline())
        talk.send(A, b"", True)
        self.assertIsNone(talk.core.deadline())

    def test_send_timeout(self) -> None:
        """A peer that leaves the window shut before waiting bytes is given up."""
        talk = self.switched(settings={"initial_window_size": 0}, send_timeout=3.0)
        talk.send(A, b"hello")
        self.assertEqual(outline(talk.at(3.0))[0], ("failed", A, "TimedOut(write, 3.0)"))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
