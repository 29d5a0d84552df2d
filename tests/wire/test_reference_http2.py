"""
`twisted_gun.wire.reference.http2`: what is particular to the core on hyper-h2, and which core is chosen.

What both cores do is tested with both, and against each other in test_http2_oracle.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Data, Inform, Push
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.cores import http2_core
from twisted_gun.wire.frames import HEADER, LARGEST, FrameType, Setting
from twisted_gun.wire.http2 import Http2 as Own
from twisted_gun.wire.reference.http2 import Http2

from .conversation import A, B, C, told
from .http2_conversation import Http2Conversation, pushed

PROTOCOL_VIOLATION = "ProtocolViolation"


def talking(**options: Any) -> Http2Conversation:
    """A conversation of the reference core."""
    return Http2Conversation(Http2, **options)


def h2_of(talk: Http2Conversation) -> Any:
    """The h2 that a conversation's core asks."""
    return talk.core._h2


def heard(talk: Http2Conversation) -> list[bytes]:
    """What h2 is given from now on, call by call."""
    h2 = h2_of(talk)
    calls: list[bytes] = []
    receive = h2.receive_data

    def listen(data: bytes) -> Any:
        calls.append(data)
        return receive(data)

    h2.receive_data = listen
    return calls


def kinds(calls: list[bytes]) -> list[FrameType]:
    """The types of frames, each of which is whole and by itself."""
    for call in calls:
        assert len(call) == HEADER.size + (HEADER.unpack_from(call)[0] >> 8), f"{call!r} is not one frame"
    return [FrameType(call[3]) for call in calls]


class ChosenTests(SynchronousTestCase):
    """`http2_core`."""

    def test_chosen(self) -> None:
        """The option `core` says which it is."""
        for options, core in ((Http2Options(), Own), (Http2Options(core="own"), Own), (Http2Options(core="h2"), Http2)):
            self.assertIs(type(http2_core(options, b"https", lambda parent, method: None)), core)

    def test_imported_late(self) -> None:
        """Who does not choose it does without h2."""
        program = "import sys, twisted_gun, twisted_gun.wire.cores; sys.exit('h2' in sys.modules)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.assertEqual(subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode, 0)


class OneFrameTests(SynchronousTestCase):
    """What h2 is told."""

    def test_one_at_a_time(self) -> None:
        """However the bytes are cut, h2 gets whole frames one by one, a field block of several frames as one."""
        for size in (1, 7, 1000):
            talk = talking()
            calls = heard(talk)
            talk.ask(A)
            peer = talk.peer
            data = peer.settings() + peer.ping() + peer.respond(1, piece=1) + peer.data(1, b"hello", padding=3) + peer.trailers(1)
            talk.receive(*[data[at : at + size] for at in range(0, len(data), size)])
            expected = [FrameType.SETTINGS, FrameType.PING, FrameType.HEADERS, FrameType.DATA, FrameType.HEADERS]
            self.assertEqual(kinds(calls), expected)
            self.assertEqual(talk.outline[-2:], [("data", A, b"hello", False), ("trailers", A, ((b"x", b"y"),))])

    def test_not_told(self) -> None:
        """Of closed streams, of what it may not obey and of what is of no use h2 hears nothing."""
        talk = talking(enable_push=True)
        talk.ask(A)
        talk.ask(B)
        talk.cancel(A)
        calls = heard(talk)
        peer = talk.peer
        talk.receive(
            peer.respond(1) + peer.data(1, b"late") + peer.trailers(1) + peer.reset(1) + peer.window(1, 5) + peer.promise(1, 2),
            peer.frame(FrameType.PRIORITY, 0, 1, b"\0\0\0\x01\x10") + peer.frame(10, 0, 0, b"\xff\xff") + peer.goaway(LARGEST),
        )
        self.assertEqual(calls, [])
        self.assertEqual(talk.outline, [])

    def test_goaway(self) -> None:
        """Responses under way finish after GOAWAY, which h2 would not let them."""
        talk = talking()
        talk.ask(A)
        peer = talk.peer
        talk.receive(peer.goaway(1) + peer.respond(1) + peer.data(1, b"all", True))
        self.assertEqual(talk.outline, [("response", A, 200, (), False), ("data", A, b"all", True), ("close", None)])


class NoTypesTests(SynchronousTestCase):
    """What leaves the module."""

    def test_no_foreign_types(self) -> None:
        """Nothing in a step is of a type of h2, hpack or hyperframe."""
        talk = talking(enable_push=True, notify_settings_changed=True)
        talk.ask(A)
        talk.ask(B)
        peer = talk.peer
        talk.receive(
            peer.settings(initial_window_size=9, max_concurrent_streams=50),
            peer.promise(1, 2, (*_REQUEST, (b"x", b"y")))
            + peer.respond(1, 103, [(b"link", b"l")])
            + peer.respond(1, fields=[(b"a", b"b")]),
            peer.data(1, b"hello") + peer.trailers(1) + peer.reset(3, 0x99) + peer.goaway(LARGEST, 0x98),
        )
        talk.lose()
        kinds = {type(value).__module__.split(".")[0] for step in talk.steps for value in _parts(step)}
        self.assertEqual(kinds & {"h2", "hpack", "hyperframe"}, set())
        self.assertTrue({Inform, Data, Push} <= {type(step) for step in talk.steps})


_REQUEST = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/"))


def _parts(value: Any) -> Iterator[Any]:
    """`value` and all that is in it."""
    yield value
    if isinstance(value, (tuple, list)):
        inner = list(value)
    elif isinstance(value, dict):
        inner = [*value, *value.values()]
    else:
        inner = [getattr(value, name) for name in getattr(value, "__dataclass_fields__", ())]
        inner += [*value.__dict__.values()] if isinstance(value, Exception) else []
    for part in inner:
        yield from _parts(part)


class TableTests(SynchronousTestCase):
    """The table of the encoder, which h2 makes as large as the peer likes."""

    def block(self, talk: Http2Conversation) -> bytes:
        talk.ask(object())
        return talk.peer.raw[-1][3]

    def test_huge(self) -> None:
        """A huge table is not obeyed, nor said to be."""
        talk = talking(settings={"header_table_size": 2**32 - 1})
        self.assertEqual(self.block(talk)[:1], b"\x82")
        self.assertEqual(h2_of(talk).encoder.header_table_size, 4096)

    def test_option(self) -> None:
        """`max_encode_table_size` holds from the first block on, which says so."""
        self.assertEqual(self.block(talking(max_encode_table_size=10))[:2], b"\x2a\x82")
        self.assertEqual(self.block(talking(max_encode_table_size=0, settings={"header_table_size": 8192}))[:2], b"\x20\x82")

    def test_two_updates(self) -> None:
        """However often the peer changes its mind, the smallest size and the last are said: no more (RFC 7541 section 4.2)."""
        for sizes, updates in (
            ([100, 0, 60, 5000], b"\x20\x3f\xe1\x1f"),
            ([0, 0, 0], b"\x20"),
            ([0, 4096], b"\x20\x3f\xe1\x1f"),
            ([60, 30], b"\x3e"),
            ([4096], b""),
        ):
            talk = talking()
            talk.receive(*[talk.peer.settings(header_table_size=size) for size in sizes])
            block = self.block(talk)
            self.assertEqual(block[: len(updates) + 1], updates + b"\x82", sizes)

    def test_reduced(self) -> None:
        """A reduction is confirmed though so much was never used (RFC 9113 section 4.3.1)."""
        talk = talking(settings={"header_table_size": 65_536})
        talk.receive(talk.peer.settings(header_table_size=4096))
        self.assertEqual(self.block(talk)[:4], b"\x3f\xe1\x1f\x82")

    def test_unknown_settings(self) -> None:
        """Settings nobody knows are not kept."""
        talk = talking()
        known = len(h2_of(talk).remote_settings)
        talk.receive(frames.settings((key, 1) for key in range(0x20, 0x420)))
        self.assertEqual(len(h2_of(talk).remote_settings), known)


class KeptTests(SynchronousTestCase):
    """What h2 keeps, and what it believes."""

    def test_streams(self) -> None:
        """h2 knows the open streams, and no others."""
        talk = talking(enable_push=True, initial_stream_window_size=100)
        peer = talk.peer
        for number in range(0, 200, 4):
            done, failed, cancelled = (object() for _ in range(3))
            first = 1 + number // 4 * 6
            talk.ask(done)
            talk.ask(failed)
            talk.ask(cancelled)
            talk.receive(peer.promise(first, number + 2) + peer.promise(first, number + 4, ((b":method", b"POST"),)))
            talk.receive(peer.respond(number + 2, fin=True) + peer.respond(first, fin=True) + peer.respond(first + 2, b"ugly", fin=True))
            talk.cancel(cancelled)
        self.assertEqual((len(h2_of(talk).streams), len(h2_of(talk)._closed_streams)), (0, 0))

    def test_connection_window(self) -> None:
        """h2 believes in the same window of the connection as the peer, though it is not told of late content."""
        for margin in (0, 100):
            talk = talking(initial_connection_window_size=65_535, connection_window_margin_size=margin)
            peer = talk.peer
            h2 = h2_of(talk)
            for number in range(20):
                key, late = object(), object()
                talk.ask(key)
                talk.ask(late)
                talk.cancel(late)
                talk.receive(peer.respond(4 * number + 1), peer.data(4 * number + 1, bytes(10_000), True))
                talk.receive(*[peer.data(4 * number + 3, bytes(size), padding=0) for size in (9_999, 3_000)])
            hidden = talk.core._hidden
            self.assertEqual(h2.inbound_flow_control_window, peer.room[0] + hidden)
            self.assertTrue(0 <= hidden <= 13_001)

    def test_only_late(self) -> None:
        """Where all content was late, h2's window was never used, and need not be opened."""
        talk = talking(initial_connection_window_size=65_535, connection_window_margin_size=0)
        talk.ask(A)
        talk.cancel(A)
        data = talk.peer.data(1, bytes(16_000))
        talk.receive(data, data, data)
        self.assertTrue(talk.peer.room[0] > 65_535 - 48_000)
        self.assertEqual(h2_of(talk).inbound_flow_control_window, talk.peer.room[0] + talk.core._hidden)


class OfAStreamTests(SynchronousTestCase):
    """What h2 makes an error of the connection, and is one of a stream."""

    def check(self, talk: Http2Conversation, code: str, *pieces: bytes) -> None:
        """Stream 1 is reset with `code`, and stream 3 goes on."""
        talk.ask(B)
        talk.newly_sent()
        talk.receive(*pieces)
        self.assertIn(("RST_STREAM", 1, code), talk.newly_sent())
        talk.receive(talk.peer.respond(3, fields=[(b"x-new", b"y" * 50)]), talk.peer.data(3, b"whole", True))
        self.assertEqual(talk.outline[-1], ("data", B, b"whole", True))

    def test_malformed(self) -> None:
        """Responses that are none, and what must not come then."""
        for method, code, make in (
            (b"HEAD", "PROTOCOL_ERROR", lambda peer: peer.respond(1) + peer.data(1, b"content")),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.data(1, b"content")),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.headers(1, ())),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.headers(1, ((b"x", b"y"),), fin=True)),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1, 100, fin=True)),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1) + peer.respond(1, 103)),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1) + peer.respond(1)),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1, fields=[(b"content-length", b"no")])),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1, fields=[(b"content-length", b"5")], fin=True)),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.respond(1, fields=[(b"content-length", b"5")]) + peer.data(1, b"123456")),
            (b"GET", "PROTOCOL_ERROR", lambda peer: peer.window(1, 0)),
            (b"GET", "FLOW_CONTROL_ERROR", lambda peer: peer.window(1, LARGEST)),
            (b"GET", "FLOW_CONTROL_ERROR", lambda peer: peer.respond(1) + peer.data(1, bytes(101))),
        ):
            talk = talking(initial_stream_window_size=100)
            talk.ask(A, method)
            self.check(talk, code, make(talk.peer))
            self.assertIn(("failed", A, PROTOCOL_VIOLATION), talk.outline)

    def test_too_many_fields(self) -> None:
        """Fields beyond a limit are decoded to their end, so that the next block can be."""
        for limit, value in (("max_header_count", 10), ("max_header_list_size", 500)):
            talk = talking(**{limit: value})
            talk.ask(A)
            self.check(talk, "ENHANCE_YOUR_CALM", talk.peer.respond(1, fields=[(b"x-%d" % n, b"y") for n in range(20)]))
            self.assertIn(("failed", A, f"LimitReached({limit}, {value})"), talk.outline)

    def test_interim_of_promise(self) -> None:
        """A promised response may have interim ones before it."""
        talk = talking(enable_push=True)
        talk.ask(A)
        peer = talk.peer
        key = pushed(talk.receive(peer.promise(1, 2)))
        steps = talk.receive(peer.respond(2, 103), peer.respond(2), peer.data(2, b"", True))
        expected = [("inform", key, 103, ()), ("response", key, 200, (), False), ("data", key, b"", True)]
        self.assertEqual(told(steps), expected)


class OfTheConnectionTests(SynchronousTestCase):
    """What h2 finds ends the connection, as what we find does."""

    def test_errors(self) -> None:
        """The code is h2's; GOAWAY is sent once, and it is ours."""
        window = Setting.INITIAL_WINDOW_SIZE
        for code, data in (
            ("FLOW_CONTROL_ERROR", frames.window_update(0, LARGEST)),
            ("FLOW_CONTROL_ERROR", frames.window_update(1, LARGEST - 65_535) + frames.settings([(window, 65_536)])),
            ("PROTOCOL_ERROR", frames.frame(FrameType.DATA, frames.PADDED, 1, b"\x05abcd")),
            ("FRAME_SIZE_ERROR", frames.frame(FrameType.DATA, frames.PADDED, 1)),
            ("FRAME_SIZE_ERROR", frames.frame(FrameType.PING, 0, 0, b"short")),
            ("FRAME_SIZE_ERROR", frames.frame(FrameType.PING, frames.ACK, 0, b"much too long")),
            ("PROTOCOL_ERROR", frames.frame(FrameType.PING, 0, 1, b"12345678")),
            ("COMPRESSION_ERROR", frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff")),
            ("COMPRESSION_ERROR", frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\x3f\xe1\xff\x03")),
        ):
            talk = talking()
            talk.ask(A)
            talk.receive(talk.peer.respond(1))
            talk.newly_sent()
            steps = talk.receive(data)
            self.assertEqual([frame for frame in talk.newly_sent() if frame[0] == "GOAWAY"], [("GOAWAY", 0, code)])
            self.assertEqual(told(steps), [("failed", A, "Truncated(0, None)"), ("close", PROTOCOL_VIOLATION)])

    def test_table_not_reduced(self) -> None:
        """A peer that goes on with a larger table than we allow is refused, from the first block on."""
        talk = talking(max_decode_table_size=100)
        talk.ask(A)
        talk.receive(frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, b"\x88"))
        self.assertEqual(talk.newly_sent()[-1], ("GOAWAY", 0, "COMPRESSION_ERROR"))


class SendingTests(SynchronousTestCase):
    """What goes out through h2."""

    def test_secrets(self) -> None:
        """Credentials get into no table (RFC 7541 section 7.1.3)."""
        talk = talking()
        fields = [(b"authorization", b"Basic eA=="), (b"cookie", b"a=b"), (b"x", b"y")]
        talk.ask(A, headers=fields)
        talk.ask(B, headers=fields)
        entries = [bytes(name) for name, _ in h2_of(talk).encoder.header_table.dynamic_entries]
        self.assertEqual(entries, [b"x", b":authority"])

    def test_frame_size(self) -> None:
        """DATA frames are as large as the peer allows, and `max_frame_size_sent`."""
        for options, sizes in (({}, [20_000, 10_000]), ({"max_frame_size_sent": 16_384}, [16_384, 13_616])):
            talk = talking(settings={"max_frame_size": 20_000}, **options)
            talk.ask(C, b"POST", body=bytes(30_000))
            self.assertEqual([len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"], sizes)
