"""How a connection of HTTP/2 begins, and what keeps it alive (RFC 9113 sections 3.4, 6.5 and 6.7)."""

from __future__ import annotations

from typing import Any

from twisted_gun.errors import TimedOut
from twisted_gun.wire import frames
from twisted_gun.wire.frames import FrameType
from twisted_gun.wire.steps import Close, Steps, Write

from .conversation import A, B, Key, told
from .http2_conversation import Http2Case, Http2Conversation

APPEARS = "Invalid connection preface received. Appears to be an HTTP/1 response? (RFC7540 3.5)"
INVALID = "Invalid connection preface received. (RFC7540 3.5)"


def reason(steps: Steps) -> str:
    """Why the connection closes: the last step says so."""
    close = steps[-1]
    assert isinstance(close, Close) and not close.abort and close.reason is not None, steps
    return str(close.reason)


class OurPrefaceTests(Http2Case):
    """What we begin with."""

    def test_usual(self) -> None:
        """The preface, SETTINGS with what is not as the RFC has it anyway, and the connection's window, in one write."""
        talk = self.talk(begun=False)
        settings = {"enable_push": 0, "max_concurrent_streams": 100, "initial_window_size": 8_000_000, "max_header_list_size": 65_536}
        self.assertEqual(talk.sent, [("SETTINGS", settings), ("WINDOW_UPDATE", 0, 8_000_000 - 65_535)])
        self.assertEqual((len(talk.steps), talk.core.accepting, talk.core.name), (1, True, "http2"))

    def test_options(self) -> None:
        """Each option that a setting says is said."""
        for option, value, name in (
            ("max_decode_table_size", 0, "header_table_size"),
            ("max_decode_table_size", 65_536, "header_table_size"),
            ("enable_push", True, "enable_push"),
            ("max_concurrent_streams", 0, "max_concurrent_streams"),
            ("initial_stream_window_size", 1, "initial_window_size"),
            ("max_frame_size_received", 2**24 - 1, "max_frame_size"),
            ("max_header_list_size", 1, "max_header_list_size"),
            ("enable_connect_protocol", True, "enable_connect_protocol"),
        ):
            talk = self.talk(begun=False, **{option: value})
            self.assertEqual(talk.sent[0][1][name], int(value))

    def test_as_usual(self) -> None:
        """What is as the RFC has it is not said."""
        talk = self.talk(begun=False, initial_stream_window_size=65_535, initial_connection_window_size=65_535)
        self.assertEqual(talk.sent, [("SETTINGS", {"enable_push": 0, "max_concurrent_streams": 100, "max_header_list_size": 65_536})])

    def test_small_table(self) -> None:
        """A peer that uses as much of its table as we allow is understood, whatever that is."""
        for size in (0, 64, 4096, 65_536):
            talk = self.talk(max_decode_table_size=size)
            for stream, stream_id in ((A, 1), (B, 3)):
                talk.ask(stream)
                fields = ((b"x-first", b"1"), (b"x-second", b"2"))
                self.assertEqual(told(talk.receive(talk.peer.respond(stream_id, 200, fields, fin=True)))[0][3], fields)


class TheirPrefaceTests(Http2Case):
    """What the server begins with: SETTINGS, be it empty, and nothing else (RFC 9113 section 3.4)."""

    def at_every_cut_fails(self, data: bytes, text: str, code: str = "PROTOCOL_ERROR") -> None:
        """Wherever `data` is cut, the connection ends with `text`, and so does what was asked."""
        for at in range(len(data)):
            talk = self.talk(begun=False)
            talk.ask(A)
            talk.newly_sent()
            steps = talk.receive(data[:at], data[at:]) if at else talk.receive_bytes(data)
            self.assertEqual(reason(steps), text, at)
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, code)])
            self.assertEqual(talk.outline, [("failed", A, "StreamClosed"), ("close", "ProtocolViolation")])

    def test_settings(self) -> None:
        """Settings are acknowledged, wherever they are cut; then requests may be sent."""
        for values in ({}, {"max_concurrent_streams": 5, "initial_window_size": 7}):

            def scene(talk: Http2Conversation, values: dict[str, int] = values) -> bytes:
                return talk.peer.settings(**values) + talk.peer.settings_ack()

            talk = self.at_every_cut(scene, begun=False)
            self.assertEqual((talk.sent[-1], talk.outline), (("SETTINGS ACK",), [("accepting",)]))

    def test_nothing(self) -> None:
        """Nothing is no error."""
        talk = self.talk(begun=False)
        self.assertEqual(talk.receive(b""), [])

    def test_http_1(self) -> None:
        """A server of HTTP/1.1 is called that, as Gun does."""
        self.at_every_cut_fails(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", APPEARS)
        self.at_every_cut_fails(b"HTTP/1.0 400", APPEARS)

    def test_http_1_at_once(self) -> None:
        """It is called that as soon as it can be told from anything else."""
        talk = self.talk(begun=False)
        self.assertEqual(talk.receive(b"HTTP/"), [])
        self.assertEqual(reason(talk.receive(b"1")), APPEARS)

    def test_garbage(self) -> None:
        """Anything else is not HTTP/2."""
        ping, data = frames.ping(bytes(8)), frames.frame(FrameType.DATA, 1, 1)
        for sample in (b"HTTP/2.0 400 no\r\n", b"SSH-2.0-OpenSSH_9.0\r\n", b"220 smtp ready\r\n", bytes(9), b"\xff" * 20, ping, data):
            self.at_every_cut_fails(sample, INVALID)

    def test_not_these_settings(self) -> None:
        """Nor an acknowledgment of settings, nor settings of a stream."""
        for sample in (frames.settings_ack(), frames.frame(FrameType.SETTINGS, 0, 1), frames.frame(FrameType.SETTINGS, 0, 0x01000000)):
            self.at_every_cut_fails(sample, INVALID)

    def test_reserved_bit(self) -> None:
        """The bit before the stream's identifier says nothing, and flags nobody knows do not either (RFC 9113 section 4.1)."""

        def scene(talk: Http2Conversation) -> bytes:
            return talk.peer.frame(FrameType.SETTINGS, 0xFE, 0x80000000) + talk.peer.settings_ack()

        self.assertEqual(self.at_every_cut(scene, begun=False).outline, [("accepting",)])

    def test_too_large(self) -> None:
        """Settings larger than a frame may be are refused at their ninth byte."""
        talk = self.talk(begun=False)
        self.assertEqual(talk.receive(b"\xff\xff\xff\x04\0\0\0\0"), [])
        talk.receive(b"\0")
        self.assertEqual(talk.sent[-1], ("GOAWAY", 0, "FRAME_SIZE_ERROR"))


class BeginningTimeoutTests(Http2Case):
    """`preface_timeout` and `settings_timeout`."""

    def test_preface(self) -> None:
        """Without the server's settings in time the connection is given up, with Gun's text, however much of them has come."""
        for come in (b"", frames.settings([(3, 100)])[:-1]):
            talk = self.talk(begun=False, preface_timeout=2.0, settings_timeout=None)
            talk.ask(A)
            talk.receive(come)
            self.assertEqual((talk.core.deadline(), talk.at(1.9)), (2.0, []))
            steps = talk.at(2.0)
            self.assertEqual(reason(steps), "The preface was not received in a reasonable amount of time.")
            self.assertEqual(told(steps), [("failed", A, "StreamClosed"), ("close", "TimedOut(preface, 2.0)")])
            self.assertEqual(talk.sent[-1], ("GOAWAY", 0, "PROTOCOL_ERROR"))

    def test_settings(self) -> None:
        """Nor may it leave ours unacknowledged."""
        talk = self.talk(begun=False, preface_timeout=None, settings_timeout=2.0)
        talk.receive(talk.peer.settings())
        self.assertEqual((talk.core.deadline(), talk.at(1.9)), (2.0, []))
        steps = talk.at(2.0)
        self.assertEqual(reason(steps), "The SETTINGS ack was not received within the configured time. (RFC7540 6.5.3)")
        self.assertEqual(told(steps), [("close", "TimedOut(settings, 2.0)")])
        self.assertEqual(talk.sent[-1], ("GOAWAY", 0, "SETTINGS_TIMEOUT"))

    def test_usual(self) -> None:
        """Five seconds each; both at once are one end. What comes in time ends the waiting."""
        talk = self.talk(begun=False)
        self.assertEqual(talk.core.deadline(), 5.0)
        self.assertEqual(told(talk.at(5.0)), [("close", "TimedOut(preface, 5.0)")])
        talk = self.talk(begun=False)
        talk.receive(talk.peer.settings())
        self.assertEqual(talk.core.deadline(), 5.0)
        talk.receive(talk.peer.settings_ack())
        self.assertEqual((talk.core.deadline(), talk.at(1e6)), (None, []))

    def test_none(self) -> None:
        """Or none: then it may take its time."""
        talk = self.talk(begun=False, preface_timeout=None, settings_timeout=None)
        self.assertIsNone(talk.core.deadline())


class HeaderTimeoutTests(Http2Case):
    """`header_timeout`: a field block that has begun holds all others up (RFC 9113 section 4.3)."""

    def cut(self, *, piece: int | None = None, **options: Any) -> tuple[Http2Conversation, bytes, bytes]:
        """A conversation, and a response in two halves."""
        talk = self.talk(**options)
        talk.ask(A)
        head = talk.peer.respond(1, 200, ((b"x", b"y"),), fin=True, piece=piece)
        return talk, head[: len(head) // 2], head[len(head) // 2 :]

    def test_never_ends(self) -> None:
        """Neither a frame that is half there may stay so, nor one that CONTINUATION is to follow; more of it does not help."""
        for piece in (None, 3):
            talk, first, second = self.cut(piece=piece, header_timeout=3.0)
            self.assertIsNone(talk.core.deadline())
            talk.now = 10.0
            talk.receive(first)
            self.assertEqual(talk.core.deadline(), 13.0)
            talk.now = 12.0
            talk.receive(second[:2])
            self.assertEqual((talk.core.deadline(), talk.at(12.9)), (13.0, []))
            self.assertEqual(told(talk.at(13.0)), [("failed", A, "StreamClosed"), ("close", "TimedOut(headers, 3.0)")])
            self.assertEqual(talk.sent[-1], ("GOAWAY", 0, "ENHANCE_YOUR_CALM"))

    def test_in_time(self) -> None:
        """What comes in time is told, and nothing waits any longer."""
        for piece in (None, 3):
            talk, first, second = self.cut(piece=piece)
            talk.receive(first)
            self.assertEqual(talk.core.deadline(), 30.0)
            talk.now = 29.0
            self.assertEqual(told(talk.receive(second)), [("response", A, 200, ((b"x", b"y"),), True)])
            self.assertIsNone(talk.core.deadline())

    def test_none(self) -> None:
        """Without it there is no deadline."""
        talk, first, _ = self.cut(header_timeout=None)
        talk.receive(first)
        self.assertIsNone(talk.core.deadline())

    def test_content(self) -> None:
        """Content that is half there is no field block."""
        talk, first, second = self.cut()
        talk.receive(first + second + talk.peer.ping()[:12])
        self.assertIsNone(talk.core.deadline())

    def test_one_after_the_other(self) -> None:
        """Each block has its own time, though no moment passes without one half there."""
        for piece in (None, 2):
            talk = self.talk(header_timeout=3.0)
            last = b""
            for number in range(10):
                talk.ask(Key(f"{number}"))
                head = talk.peer.respond(2 * number + 1, 200, ((b"x", b"%d" % number),), fin=True, piece=piece)
                talk.now = 2.0 * number
                talk.at(talk.now)
                talk.receive(last + head[:11])
                self.assertEqual(talk.core.deadline(), talk.now + 3.0)
                last = head[11:]
            self.assertFalse(talk.over)


class PingTests(Http2Case):
    """PING in both directions (RFC 9113 section 6.7)."""

    def test_answered(self) -> None:
        """The server's is answered at once, with its eight bytes, wherever it is cut."""

        def scene(talk: Http2Conversation) -> bytes:
            return talk.peer.ping(b"abcdefgh") + talk.peer.ping(bytes(8))

        talk = self.at_every_cut(scene)
        self.assertEqual((talk.newly_sent(), talk.outline), ([("PING ACK", b"abcdefgh"), ("PING ACK", bytes(8))], []))

    def test_ours(self) -> None:
        """Ours have bytes of their own each, Gun's from 10,000; the answer says how long it took, in whatever order they come."""
        talk = self.talk()
        talk.now = 1.0
        talk.ping("first")
        talk.now = 2.0
        talk.ping("second")
        payloads = [frame[1] for frame in talk.newly_sent() if frame[0] == "PING"]
        self.assertEqual(payloads, [(10_000).to_bytes(8, "big"), (10_001).to_bytes(8, "big")])
        talk.now = 4.0
        self.assertEqual(told(talk.receive(talk.peer.ping(payloads[1], ack=True))), [("ping answered", "second", 2.0)])
        self.assertEqual(told(talk.receive(talk.peer.ping(payloads[0], ack=True))), [("ping answered", "first", 3.0)])
        self.assertEqual(talk.receive(talk.peer.ping(payloads[0], ack=True)), [])

    def test_before_settings(self) -> None:
        """It may be asked before the server's settings have come."""
        talk = self.talk(begun=False)
        talk.ping("early")
        steps = talk.receive(talk.peer.settings(), talk.peer.ping(talk.sent[-1][1], ack=True))
        self.assertEqual(told(steps)[-1], ("ping answered", "early", 0.0))

    def test_lost(self) -> None:
        """One that is not answered ends with the connection."""
        talk = self.talk()
        talk.ping("lost")
        self.assertEqual(told(talk.lose()), [])

    def test_after_the_end(self) -> None:
        """Who has not been told of the end yet may ask, and gets no answer."""
        talk = self.talk()
        talk.receive(talk.peer.ping(b"short"))
        self.assertEqual((talk.over, talk.core.ping("ping", 0.0)), (True, []))


class KeepaliveTests(Http2Case):
    """`keepalive` and `keepalive_tolerance`."""

    def test_keepalive(self) -> None:
        """A PING every so often, whether or not anything else happens; without a tolerance for ever."""
        talk = self.talk(keepalive=10.0)
        for number in range(1, 50):
            self.assertEqual((talk.core.deadline(), talk.at(10.0 * number - 1)), (10.0 * number, []))
            talk.at(10.0 * number)
            self.assertEqual(talk.newly_sent(), [("PING", bytes(8))])

    def test_tolerance(self) -> None:
        """Once so many are unanswered the connection is given up, with Gun's text; nothing was wrong with what the server sent."""
        for tolerance in (0, 1, 3):
            talk = self.talk(keepalive=10.0, keepalive_tolerance=tolerance)
            talk.ask(A)
            talk.newly_sent()
            for number in range(tolerance):
                talk.at(10.0 * (number + 1))
                self.assertEqual(talk.newly_sent(), [("PING", bytes(8))])
            steps = talk.at(10.0 * (tolerance + 1))
            self.assertEqual(reason(steps), "The number of unacknowledged pings exceed the configured tolerance value.")
            self.assertEqual(told(steps), [("failed", A, "StreamClosed"), ("close", "TimedOut(keepalive, 10.0)")])
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "NO_ERROR")])

    def test_answered(self) -> None:
        """Answers count, late ones too."""
        talk = self.talk(keepalive=10.0, keepalive_tolerance=2)
        answer = talk.peer.ping(bytes(8), ack=True)
        for number in range(1, 20, 2):
            talk.at(10.0 * number)
            talk.at(10.0 * number + 10.0)
            talk.receive(answer, answer)
        self.assertFalse(talk.over)

    def test_unrequested(self) -> None:
        """Answers to nothing are worth nothing: they excuse no later silence."""
        talk = self.talk(keepalive=10.0, keepalive_tolerance=1)
        talk.receive(*[talk.peer.ping(bytes(8), ack=True)] * 5)
        talk.at(10.0)
        talk.receive(talk.peer.ping(b"whatever", ack=True))
        self.assertEqual(told(talk.at(20.0)), [("close", "TimedOut(keepalive, 10.0)")])

    def test_pings_are_no_keepalive(self) -> None:
        """The caller's pings are another matter."""
        talk = self.talk(keepalive=10.0, keepalive_tolerance=1)
        talk.ping("mine")
        talk.at(10.0)
        self.assertEqual(told(talk.receive(talk.peer.ping((10_000).to_bytes(8, "big"), ack=True)))[0][:2], ("ping answered", "mine"))
        self.assertTrue(told(talk.at(20.0)))


class SettingsTests(Http2Case):
    """The server's settings, later ones too (RFC 9113 section 6.5)."""

    def test_acknowledged_without_a_limit(self) -> None:
        """An acknowledgment that nobody waits for any time is none too many; a second one is."""
        talk = self.talk(begun=False, settings_timeout=None, max_glitches=1)
        talk.receive(talk.peer.settings(), talk.peer.settings_ack())
        self.assertFalse(talk.over)
        talk.receive(talk.peer.settings_ack())
        self.assertTrue(talk.over)

    def test_each_is_acknowledged(self) -> None:
        """Each SETTINGS frame is acknowledged, in its turn."""
        talk = self.talk()
        talk.receive(talk.peer.settings() + talk.peer.ping() + talk.peer.settings(max_header_list_size=5))
        self.assertEqual([frame[0] for frame in talk.newly_sent()], ["SETTINGS ACK", "PING ACK", "SETTINGS ACK"])

    def test_last_value(self) -> None:
        """Of a setting that is said twice the last value counts."""
        talk = self.talk()
        talk.receive(frames.settings([(3, 0), (3, 1), (4, 5), (4, 2)]))
        self.assertEqual(told(talk.ask(A, b"PUT", body=b"abc")), [("pause upload", A)])
        self.assertEqual(talk.newly_sent()[-1], ("DATA", 1, b"ab", False))
        self.assertEqual(told(talk.ask(B)), [("failed", B, "StreamRefused")])

    def test_notified(self) -> None:
        """`notify_settings_changed` tells of each, the first too, by their names; what nobody knows is left out."""
        talk = self.talk(begun=False, notify_settings_changed=True)
        first = talk.receive(talk.peer.settings(max_concurrent_streams=100, enable_connect_protocol=1, enable_push=0))
        named = {"max_concurrent_streams": 100, "enable_connect_protocol": True, "enable_push": False}
        self.assertEqual(told(first), [("settings changed", named), ("accepting",)])
        second = talk.receive(talk.peer.settings())
        self.assertEqual(told(second)[0], ("settings changed", {}))
        third = talk.receive(frames.settings([(0xF000, 1), (1, 2), (4, 3), (5, 16_384), (6, 5), (7, 6)]))
        names = {"header_table_size": 2, "initial_window_size": 3, "max_frame_size": 16_384, "max_header_list_size": 5}
        self.assertEqual(told(third)[0], ("settings changed", names))

    def test_not_notified(self) -> None:
        """Nobody who has not asked for it is told."""
        talk = self.talk(begun=False)
        self.assertEqual(told(talk.receive(talk.peer.settings(max_frame_size=20_000))), [("accepting",)])

    def test_pushes(self) -> None:
        """A server cannot say that it accepts pushes (RFC 9113 section 6.5.2)."""
        talk = self.talk(begun=False)
        talk.receive(talk.peer.settings(enable_push=1))
        self.assertEqual((talk.outline, talk.sent[-1]), ([("close", "ProtocolViolation")], ("GOAWAY", 0, "PROTOCOL_ERROR")))

    def test_pushes_and_then_none(self) -> None:
        """Nor does it help to say the contrary in the same frame."""
        talk = self.talk(begun=False)
        talk.receive(frames.settings([(2, 1), (2, 0)]))
        self.assertEqual(talk.outline, [("close", "ProtocolViolation")])

    def test_table_is_said_twice(self) -> None:
        """Of two sizes of the table in one frame the smaller is acknowledged in the next field block too (RFC 7541 section 4.2)."""
        talk = self.talk()
        talk.receive(frames.settings([(1, 0), (1, 4096)]))
        written = talk.ask(A)
        blocks = [step.data[9:] for step in written if isinstance(step, Write)]
        self.assertEqual([block[:4] for block in blocks], [b"\x20\x3f\xe1\x1f"])


class TimeTests(Http2Case):
    """Deadlines among each other."""

    def test_nothing_is_due(self) -> None:
        """Being told the time too early does nothing."""
        talk = self.talk(keepalive=10.0)
        self.assertEqual(talk.core.time_passed(9.0), [])

    def test_several_at_once(self) -> None:
        """The one that ends the connection is the last."""
        talk = self.talk(begun=False, keepalive=5.0, keepalive_tolerance=0)
        steps = talk.at(5.0)
        self.assertEqual([entry[0] for entry in told(steps)], ["close"])
        close = steps[-1]
        assert isinstance(close, Close)
        self.assertIsInstance(close.reason, TimedOut)
