"""How a connection of HTTP/2 ends: GOAWAY, `shutdown`, identifiers used up, and the loss at any point (RFC 9113 section 6.8)."""

from __future__ import annotations

from typing import Any

from twisted_gun.errors import StreamClosed
from twisted_gun.wire.frames import LARGEST
from twisted_gun.wire.steps import Close, StreamFailed

from .conversation import A, B, C, D, Key, told
from .http2_conversation import Http2Case, Http2Conversation, pushed


class GoAwayTests(Http2Case):
    """The server goes away."""

    def asked(self, **options: Any) -> Http2Conversation:
        """A conversation with the streams A, B and C, which are 1, 3 and 5."""
        talk = self.talk(**options)
        for stream in (A, B, C):
            talk.ask(stream)
        talk.newly_sent()
        return talk

    def test_graceful(self) -> None:
        """Streams up to the last one finish, those above it were not processed; then the connection ends in good order."""

        def scene(talk: Http2Conversation) -> bytes:
            for stream in (A, B, C):
                talk.ask(stream)
            peer = talk.peer
            return peer.goaway(3, debug=b"restart") + peer.respond(3) + peer.respond(1, fin=True) + peer.data(3, b"b", True)

        talk = self.at_every_cut(scene)
        self.assertEqual(
            talk.outline,
            [
                ("failed", C, "GoAway(0, 3)"),
                ("response", B, 200, (), False),
                ("response", A, 200, (), True),
                ("data", B, b"b", True),
                ("close", None),
            ],
        )
        self.assertEqual(talk.sent[-1], ("GOAWAY", 0, "NO_ERROR"))
        losses = talk.core.losses()
        self.assertEqual((losses.killed, losses.unprocessed, talk.core.renewable), ((), (C,), True))

    def test_takes_no_more(self) -> None:
        """It is answered, once, and takes no more requests."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(5))
        self.assertEqual((talk.core.accepting, talk.newly_sent(), talk.outline), (False, [("GOAWAY", 0, "NO_ERROR")], []))
        self.assertEqual((talk.receive(talk.peer.goaway(5)), talk.receive(talk.peer.settings(max_concurrent_streams=9))[1:]), ([], []))
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",)])
        self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True))), [("response", A, 200, (), True)])

    def test_two_phases(self) -> None:
        """First for streams to come, then for those that came too late: what was on its way is not refused."""
        talk = self.asked()
        self.assertEqual(told(talk.receive(talk.peer.goaway(LARGEST))), [])
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.goaway(3))), [("failed", C, "GoAway(0, 3)")])
        self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True))), [("response", A, 200, (), True)])
        self.assertEqual(told(talk.receive(talk.peer.respond(3, fin=True))), [("response", B, 200, (), True), ("close", None)])
        self.assertEqual((talk.core.renewable, talk.newly_sent()), (True, [("GOAWAY", 0, "NO_ERROR")]))

    def test_idle(self) -> None:
        """With nothing under way that is the end."""
        for last in (0, LARGEST):
            talk = self.talk()
            self.assertEqual(told(talk.receive(talk.peer.goaway(last))), [("close", None)])
            self.assertEqual((talk.newly_sent(), talk.core.renewable), ([("GOAWAY", 0, "NO_ERROR")], True))

    def test_none_processed(self) -> None:
        """Where none was processed all fail, in their order, and may be sent again."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(0))
        self.assertEqual([entry[:2] for entry in talk.outline], [("failed", A), ("failed", B), ("failed", C), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (A, B, C))

    def test_error(self) -> None:
        """With an error code what it takes still finishes; then the connection ends with what the server said, no matter of course."""
        for code, text in ((2, "INTERNAL_ERROR"), (11, "ENHANCE_YOUR_CALM"), (0xBAD, "error code 0xbad")):
            talk = self.asked()
            talk.receive(talk.peer.goaway(1, code), talk.peer.respond(1, fin=True))
            away = f"GoAway({code}, 1)"
            self.assertEqual(talk.outline, [("failed", B, away), ("failed", C, away), ("response", A, 200, (), True), ("close", away)])
            close, failed = talk.steps[-1], next(step for step in talk.steps if isinstance(step, StreamFailed))
            assert isinstance(close, Close)
            self.assertEqual((str(close.reason), close.abort), (f"The connection is going away. ({text})", False))
            self.assertTrue(str(failed.reason).startswith(f"The connection is going away. ({text}) It was not processed"))
            self.assertFalse(talk.core.renewable)

    def test_error_when_idle(self) -> None:
        """With nothing under way it ends with the error at once."""
        talk = self.talk()
        self.assertEqual(told(talk.receive(talk.peer.goaway(0, 11))), [("close", "GoAway(11, 0)")])

    def test_never_finishes(self) -> None:
        """What was accepted has closing_timeout to finish, counted from the first GOAWAY."""
        talk = self.asked(closing_timeout=2.0)
        talk.receive(talk.peer.goaway(LARGEST))
        talk.now = 1.0
        talk.receive(talk.peer.goaway(3))
        self.assertEqual(talk.at(1.9), [])
        lost = [("failed", A, "StreamClosed"), ("failed", B, "StreamClosed"), ("close", "TimedOut(closing, 2.0)")]
        self.assertEqual((told(talk.at(2.0)), talk.core.renewable), (lost, True))

    def test_lost_after_it(self) -> None:
        """What was to finish and did not was killed; the server still went as a matter of course."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(3), talk.peer.respond(3))
        self.assertEqual(told(talk.lose())[-2:], [("failed", A, "StreamClosed"), ("failed", B, "Truncated(0, None)")])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed, talk.core.renewable), ((A, B), (C,), True))

    def test_uploads_go_on(self) -> None:
        """A request that the server still takes is sent to its end."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=b"abcd")
        talk.ask(B, b"PUT", body=None)
        talk.receive(talk.peer.goaway(3))
        talk.newly_sent()
        talk.send(B, b"x", fin=True)
        talk.receive(talk.peer.window(1, 2))
        self.assertEqual(talk.newly_sent(), [("DATA", 3, b"x", True), ("DATA", 1, b"cd", True)])

    def test_refused_upload(self) -> None:
        """One it does not take is not sent on."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=None)
        talk.ask(B, b"PUT", body=b"abcd")
        talk.receive(talk.peer.goaway(1))
        talk.newly_sent()
        talk.receive(talk.peer.window(3, 2))
        self.assertEqual((talk.newly_sent(), talk.send(B, b"x")), ([], []))

    def test_cancelled(self) -> None:
        """The last stream may also be cancelled."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(3), talk.peer.respond(1, fin=True))
        self.assertEqual(told(talk.cancel(B)), [("close", None)])
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "NO_ERROR"), ("RST_STREAM", 3, "CANCEL")])

    def test_refused_and_reset(self) -> None:
        """Or fail."""
        talk = self.asked()
        talk.receive(talk.peer.goaway(5), talk.peer.reset(1, 7), talk.peer.reset(3, 2))
        self.assertEqual(told(talk.receive(talk.peer.reset(5, 8))), [("failed", C, "StreamReset(8)"), ("close", None)])

    def test_before_settings(self) -> None:
        """GOAWAY cannot be the first frame, but come at once behind it."""
        talk = self.talk(begun=False)
        talk.ask(A)
        steps = talk.receive(talk.peer.settings() + talk.peer.goaway(0))
        self.assertEqual(told(steps)[-2:], [("failed", A, "GoAway(0, 0)"), ("close", None)])

    def test_pings(self) -> None:
        """Meanwhile the connection lives: it answers, and it counts."""
        talk = self.asked(keepalive=5.0, keepalive_tolerance=1)
        talk.receive(talk.peer.goaway(1), talk.peer.ping())
        self.assertEqual(talk.newly_sent()[-1], ("PING ACK", b"12345678"))
        talk.at(5.0)
        self.assertEqual(told(talk.at(10.0)), [("failed", A, "StreamClosed"), ("close", "TimedOut(keepalive, 5.0)")])


class ShutdownTests(Http2Case):
    """`shutdown`: all streams finish, nothing new is taken."""

    def test_idle(self) -> None:
        """With nothing under way it ends at once, with GOAWAY."""
        for begun in (True, False):
            talk = self.talk(begun=begun)
            self.assertEqual(told(talk.shutdown()), [("close", None)])
            self.assertEqual((talk.newly_sent()[-1], talk.core.renewable), (("GOAWAY", 0, "NO_ERROR"), False))

    def test_finishes(self) -> None:
        """Streams go on to their ends, uploads too; then it ends."""
        talk = self.talk()
        talk.ask(A)
        talk.ask(B, b"PUT", body=None)
        talk.newly_sent()
        self.assertEqual((told(talk.shutdown()), talk.newly_sent()), ([], [("GOAWAY", 0, "NO_ERROR")]))
        self.assertFalse(talk.core.accepting)
        talk.receive(talk.peer.respond(1, fin=True))
        talk.send(B, b"x", fin=True)
        self.assertEqual(talk.newly_sent(), [("DATA", 3, b"x", True)])
        steps = talk.receive(talk.peer.respond(3) + talk.peer.trailers(3))
        self.assertEqual(told(steps), [("response", B, 200, (), False), ("trailers", B, ((b"x", b"y"),)), ("close", None)])

    def test_each_end(self) -> None:
        """However the last stream ends."""
        for end in ("response", "reset", "cancel", "malformed", "goaway"):
            talk = self.talk()
            talk.ask(A)
            talk.shutdown()
            if end == "cancel":
                talk.cancel(A)
            elif end == "goaway":
                talk.receive(talk.peer.goaway(0, 2))
            else:
                peer = talk.peer
                talk.receive({"response": peer.respond(1, fin=True), "reset": peer.reset(1), "malformed": peer.data(1, b"x")}[end])
            self.assertEqual((talk.outline[-1], talk.over), (("close", None), True), end)

    def test_timeout(self) -> None:
        """What has not finished after `closing_timeout` is given up, and the connection aborted."""
        talk = self.talk(closing_timeout=7.0)
        talk.ask(A)
        talk.ask(B)
        talk.receive(talk.peer.respond(3, 200, ((b"content-length", b"9"),)), talk.peer.data(3, b"abc"))
        talk.at(1.0)
        talk.shutdown()
        self.assertEqual((talk.core.deadline(), talk.at(7.9)), (8.0, []))
        steps = talk.at(8.0)
        entries = [("failed", A, "StreamClosed"), ("failed", B, "Truncated(3, 9)"), ("close", "TimedOut(closing, 7.0)")]
        self.assertEqual(told(steps), entries)
        self.assertTrue(getattr(steps[-1], "abort", False))

    def test_no_timeout(self) -> None:
        """None waits as long as it takes."""
        talk = self.talk(closing_timeout=None)
        talk.ask(A)
        talk.shutdown()
        self.assertIsNone(talk.core.deadline())

    def test_twice(self) -> None:
        """The second one changes nothing: neither what was said nor when it is over."""
        talk = self.talk(closing_timeout=7.0)
        talk.ask(A)
        talk.shutdown()
        talk.at(5.0)
        talk.newly_sent()
        self.assertEqual((talk.shutdown(), talk.core.deadline(), talk.newly_sent()), ([], 7.0, []))
        talk.receive(talk.peer.respond(1, fin=True))
        self.assertEqual(talk.core.shutdown(6.0), [])

    def test_goaway_of_both(self) -> None:
        """If the server goes away as well each says so once, in either order."""
        for ours_first in (True, False):
            talk = self.talk()
            talk.ask(A)
            talk.newly_sent()
            talk.shutdown() if ours_first else talk.receive(talk.peer.goaway(1, 2))
            talk.receive(talk.peer.goaway(1, 2)) if ours_first else talk.shutdown()
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "NO_ERROR")])
            self.assertEqual(told(talk.receive(talk.peer.respond(1, fin=True)))[-1], ("close", None))


class IdentifiersTests(Http2Case):
    """Stream identifiers are used up (RFC 9113 section 5.1.1)."""

    def test_last(self) -> None:
        """After the last one nothing more is taken; what is under way finishes, and the connection ends in good order."""
        talk = self.talk()
        talk.ask(A)
        talk.core._next_id = LARGEST - 2
        talk.ask(B)
        self.assertTrue(talk.core.accepting)
        talk.newly_sent()
        talk.ask(C)
        self.assertEqual([frame[:2] for frame in talk.newly_sent()], [("HEADERS", LARGEST), ("GOAWAY", 0)])
        self.assertFalse(talk.core.accepting)
        peer = talk.peer
        talk.receive(peer.respond(LARGEST, fin=True), peer.respond(LARGEST - 2, fin=True), peer.respond(1, fin=True))
        self.assertEqual([entry[:2] for entry in talk.outline], [("response", C), ("response", B), ("response", A), ("close", None)])
        self.assertTrue(talk.core.renewable)


class LossTests(Http2Case):
    """The connection is lost, or breaks, at any point."""

    def script(self, talk: Http2Conversation) -> bytes:
        """Streams in every state there is, and what the server sends of them; C is cancelled, D holds back what it gets."""
        talk.ask(A)
        talk.ask(B, b"PUT", body=b"x" * 100)
        talk.ask(C)
        talk.ask(D, flow=1)
        talk.cancel(C)
        peer = talk.peer
        return b"".join(
            (
                peer.respond(1, 103),
                peer.promise(1, 2),
                peer.respond(7, 200, ((b"content-length", b"4"),)),
                peer.data(7, b"d1"),
                peer.data(7, b"d2"),
                peer.respond(1, padding=2),
                peer.respond(2, 200, ((b"content-length", b"3"),)),
                peer.window(3, 10),
                peer.data(2, b"pu"),
                peer.data(5, b"late"),
                peer.data(7, fin=True),
                peer.data(2, b"s", True),
                peer.reset(3, 7),
                peer.data(1, b"a"),
                peer.ping(),
                peer.trailers(1),
            )
        )

    def test_at_every_byte(self) -> None:
        """Each stream has one end then: what began is truncated, what did not is closed, what was refused was not processed."""
        options: dict[str, Any] = {"enable_push": True, "settings": {"initial_window_size": 50}}
        size = len(self.script(self.talk(**options)))
        for at in range(size + 1):
            for clean in (True, False):
                talk = self.talk(**options)
                talk.receive(self.script(talk)[:at])
                before = {entry[1] for entry in talk.outline if entry[0] == "response"}
                steps = talk.lose(clean=clean)  # what must hold is checked there
                for step in steps:
                    if isinstance(step, StreamFailed):
                        self.assertEqual(isinstance(step.reason, StreamClosed), step.stream not in before, at)

    def test_broken_at_every_frame(self) -> None:
        """The same where the server breaks the connection itself, by a frame that is none."""
        options: dict[str, Any] = {"enable_push": True, "settings": {"initial_window_size": 50}}
        sample = self.script(self.talk(**options))
        at = 0
        while at <= len(sample):
            talk = self.talk(**options)
            data = self.script(talk)
            steps = talk.receive(data[:at] + talk.peer.frame(6, 0, 1, bytes(8)))  # PING of a stream
            self.assertEqual((told(steps)[-1], talk.newly_sent()[-1][2]), (("close", "ProtocolViolation"), "PROTOCOL_ERROR"))
            at += 9 + int.from_bytes(data[at : at + 3], "big") if at < len(data) else 1

    def test_before_anything(self) -> None:
        """A connection may be lost before the server has said anything."""
        talk = self.talk(begun=False)
        talk.ask(A)
        self.assertEqual(told(talk.lose()), [("failed", A, "StreamClosed")])
        self.assertEqual((talk.core.losses().killed, talk.core.renewable), ((A,), False))

    def test_after_the_end(self) -> None:
        """Once it has ended nothing is told, and nothing is done."""
        for end in ("lost", "closed", "broken"):
            talk = self.talk(enable_push=True)
            talk.ask(A)
            talk.ask(B, b"PUT", body=None)
            push = pushed(talk.receive(talk.peer.promise(1, 2)))
            if end == "lost":
                talk.lose()
            elif end == "closed":
                talk.receive(talk.peer.goaway(0))
                talk.cancel(push)
            else:
                talk.receive(talk.peer.settings(enable_push=1))
            core = talk.core
            self.assertTrue(talk.over)
            for steps in (
                core.receive_data(talk.peer.respond(1, fin=True), 1.0),
                core.data(B, b"x", True, 1.0),
                core.cancel(A, 1.0),
                core.update_flow(A, 1, 1.0),
                core.hold(A, False, 1.0),
                core.shutdown(1.0),
                core.time_passed(1e9),
                core.connection_lost(StreamClosed("again"), True),
            ):
                self.assertEqual(steps, [])
            self.assertEqual(core.losses().killed, () if end == "closed" else (A, B, push))

    def test_what_comes_behind(self) -> None:
        """What stands behind the frame that ended the connection is not looked at."""
        talk = self.talk()
        talk.ask(A)
        steps = talk.receive(talk.peer.goaway(0) + talk.peer.goaway(0) + b"\xff" * 100)
        self.assertEqual(told(steps), [("failed", A, "GoAway(0, 0)"), ("close", None)])

    def test_many_lost(self) -> None:
        """Of those that were not processed the last thousand are remembered: a long life is no leak."""
        talk = self.talk()
        for number in range(1005):
            talk.ask(Key(f"{number}"))
            talk.receive(talk.peer.reset(2 * number + 1, 7))
        self.assertEqual(len(talk.core.losses().unprocessed), 1000)
