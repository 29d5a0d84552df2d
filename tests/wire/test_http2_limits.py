"""
Every limit of `Http2Options`: one below, at, and one above; the error names it.

A limit that one response can exceed ends its stream; one that guards the connection ends that, with GOAWAY. Frames without use, floods
of them, are in test_http2_floods.py.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from hpack import Decoder
from hpack.hpack import encode_integer
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Headers
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.frames import FrameType
from twisted_gun.wire.http2 import Http2

from .conversation import PROTOCOL_VIOLATION, A, B, C, Key, told
from .http2_conversation import Http2Case, Http2Conversation, pushed
from .http2_peer import REQUEST, Peer

OK = (b":status", b"200")
CALM = "ENHANCE_YOUR_CALM"
#: The same, as a field block.
INDEXED_OK = b"\x88"

TOO_LARGE = "LimitReached(max_header_list_size, 65536)"
TOO_MANY = "LimitReached(max_header_count, 256)"

Make = Callable[[Peer], bytes]


def around(limit: int) -> tuple[int, int, int]:
    return limit - 1, limit, limit + 1


def many_fields(count: int, **more: Any) -> Make:
    """A response of `count` fields."""
    return lambda peer: peer.headers(1, (OK, *[(b"a", b"b")] * (count - 1)), **more)


def large_list(size: int, **more: Any) -> Make:
    """
    A response of so many bytes, counted as RFC 9113 section 6.5.2 does: names, values, and 32 for each field.

    Its block is much smaller, for nearly all of its fields are the same.
    """
    again, rest = divmod(size - 42, 1033)
    if rest < 33:
        again, rest = again - 1, rest + 1033
    first = rest // 2
    some = ((b"b", b"y" * (rest - 33)),) if rest < 66 else ((b"b", b"y" * (first - 33)), (b"c", b"z" * (rest - first - 33)))
    response: Headers = (OK, *[(b"a", b"x" * 1000)] * again, *some)
    assert sum(len(name) + len(value) + 32 for name, value in response) == size
    return lambda peer: peer.headers(1, response, **more)


def interim(count: int) -> Make:
    """`count` interim responses, and the final one."""
    return lambda peer: peer.respond(1, 103) * count + peer.respond(1, fin=True)


def block_of(size: int) -> bytes:
    """A field block of so many bytes."""
    for name in (b"a", b"aa"):
        for extra in range(1, 5):
            length = size - len(INDEXED_OK + name) - 2 - extra
            if len(encode_integer(length, 7)) == extra:
                return INDEXED_OK + b"\x00" + bytes([len(name)]) + name + bytes(encode_integer(length, 7)) + b"x" * length
    raise AssertionError(size)


def pieces(block: bytes, count: int) -> bytes:
    """`block` as the last HEADERS of stream 1, in `count` frames."""
    size = max(1, -(-len(block) // count))
    out = []
    for at in range(count):
        kind, flags = (FrameType.CONTINUATION, 0) if at else (FrameType.HEADERS, frames.END_STREAM)
        flags |= frames.END_HEADERS if at == count - 1 else 0
        out.append(frames.frame(kind, flags, 1, block[at * size : (at + 1) * size]))
    return b"".join(out)


def table_size(size: int) -> bytes:
    """RFC 7541 section 6.3: the instruction to change the table's size."""
    update = encode_integer(size, 5)
    return bytes([update[0] | 0x20]) + bytes(update[1:])


class LimitCase(Http2Case):
    """Two requests, of which the first is answered by what is at a limit."""

    def started(self, **options: Any) -> Http2Conversation:
        talk = self.talk(**options)
        talk.ask(A)
        talk.ask(B)
        talk.newly_sent()
        return talk

    def check_stream(self, name: str, limit: int, count: int, make: Make, **options: int) -> None:
        """Beyond the limit, stream 1 is reset, and the other lives on."""
        options |= {} if getattr(Http2Options(), name) == limit else {name: limit}
        where = f"{name}={limit} at {count}"
        size = len(make(Peer()))
        cuts = [*range(size), size] if size < 200 else [0, 5, 9, 10, 1000, size - 1, size]
        for cut in cuts:
            talk = self.started(**options)
            data = make(talk.peer)
            talk.receive(data[:cut], data[cut:])
            failed = [entry for entry in talk.outline if entry[0] == "failed"]
            self.assertEqual(failed, [("failed", A, f"LimitReached({name}, {limit})")] if count > limit else [], where)
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, CALM)] if count > limit else [], where)
            talk.receive(talk.peer.respond(3, fields=((b"a", b"x" * 1000), (b"a", b"b")), fin=True) if limit > 1100 else b"")
            self.assertEqual(talk.outline[-1][:3] == ("response", B, 200), limit > 1100, where)
            talk.ask(C)
            talk.receive(talk.peer.respond(5, fin=True))
            self.assertEqual(talk.outline[-1], ("response", C, 200, (), True), where)

    def check_connection(self, name: str, limit: int, count: int, data: bytes, **options: int) -> None:
        """Beyond the limit the connection ends, in whatever pieces the bytes come."""
        options |= {} if getattr(Http2Options(), name) == limit else {name: limit}
        where = f"{name}={limit} at {count}"
        for size in (len(data), 1, 7) if len(data) < 2000 else (len(data), 1000, 16_393):
            talk = self.started(**options)
            for at in range(0, len(data), size):
                if not talk.over:
                    talk.receive(data[at : at + size])
            if count <= limit:
                self.assertEqual([entry[:3] for entry in talk.outline], [("response", A, 200)], where)
                self.assertEqual(talk.newly_sent(), [], where)
            else:
                reason = f"LimitReached({name}, {limit})"
                self.assertEqual(talk.outline, [("failed", A, "StreamClosed"), ("failed", B, "StreamClosed"), ("close", reason)], where)
                self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, CALM)], where)


class ResponseTests(LimitCase):
    """What a response may hold."""

    def test_max_header_count(self) -> None:
        """Fields, :status among them."""
        for limit in (2, 5, Http2Options().max_header_count):
            for count in around(limit):
                for fin in (False, True):
                    self.check_stream("max_header_count", limit, count, many_fields(count, fin=fin))

    def test_max_header_list_size(self) -> None:
        """Bytes of fields, as they are when decoded."""
        for limit in (150, 1200, 5000, Http2Options().max_header_list_size):
            for count in around(limit):
                self.check_stream("max_header_list_size", limit, count, large_list(count, piece=2000))

    def test_header_limits_hold_for_trailers(self) -> None:
        """The same limits, for the fields behind the content."""
        for name, limit, make in (("max_header_count", 4, many_fields), ("max_header_list_size", 500, large_list)):
            for count in around(limit):
                talk = self.started(**{name: limit})
                head = talk.peer.respond(1) + talk.peer.data(1, b"x")
                # The same fields with another name for :status, which has as many bytes.
                decoded = [(b"astatus" if field == b":status" else field, value) for field, value in _fields_of(make(count))]
                talk.receive(head, talk.peer.trailers(1, tuple(decoded)))
                told_last = talk.outline[-1]
                self.assertEqual(told_last[0], "failed" if count > limit else "trailers", (name, count))
                self.assertEqual(told_last[-1] == f"LimitReached({name}, {limit})", count > limit)

    def test_max_informational(self) -> None:
        """Interim responses to one request; those that were allowed are told."""
        for limit in (1, 3, Http2Options().max_informational):
            for count in around(limit):
                self.check_stream("max_informational", limit, count, interim(count))
                talk = self.started(max_informational=limit)
                talk.receive(interim(count)(talk.peer))
                self.assertEqual([entry[0] for entry in talk.outline].count("inform"), min(count, limit))

    def test_max_informational_is_for_each(self) -> None:
        """What one request was answered with does not count for another."""
        talk = self.talk(max_informational=2)
        for stream_id, stream in ((1, A), (3, B), (5, C)):
            talk.ask(stream)
            talk.receive(talk.peer.respond(stream_id, 103) * 2, talk.peer.respond(stream_id, fin=True))
            self.assertEqual(talk.outline[-1][:3], ("response", stream, 200))

    def test_of_a_stream_that_is_gone(self) -> None:
        """A block beyond a limit on a stream we have reset is dropped; the tables stay as the peer has them."""
        for make in (many_fields(300), large_list(70_000, piece=3000)):
            talk = self.started()
            talk.cancel(A)
            talk.receive(make(talk.peer))
            talk.receive(talk.peer.respond(3, fields=((b"a", b"b"),), fin=True))
            self.assertEqual(talk.outline, [("response", B, 200, ((b"a", b"b"),), True)])

    def test_of_a_promise(self) -> None:
        """A promise beyond a limit is refused; the tables stay as the peer has them."""
        for count in (many := around(6)):
            talk = self.started(max_header_count=6, enable_push=True)
            talk.receive(talk.peer.promise(1, 2, (*REQUEST, *[(b"a", b"b")] * (count - 4))))
            self.assertEqual([entry[0] for entry in talk.outline], ["push"] if count < many[-1] else [])
            self.assertEqual(talk.newly_sent(), [] if count < many[-1] else [("RST_STREAM", 2, "PROTOCOL_ERROR")])
            talk.receive(talk.peer.respond(3, fields=((b"a", b"b"),), fin=True))
            self.assertEqual(talk.outline[-1], ("response", B, 200, ((b"a", b"b"),), True))


def _fields_of(make: Make) -> Headers:
    """The fields that `make` sends."""

    class Listener(Peer):
        def headers(self, stream_id: int, fields: Headers, **more: Any) -> bytes:
            self.spied = fields
            return b""

    peer = Listener()
    make(peer)
    return peer.spied


class BlockTests(LimitCase):
    """How a field block may come."""

    def test_max_continuations(self) -> None:
        """CONTINUATION frames to one field block; empty ones count."""
        for limit in (0, 1, Http2Options().max_continuations):
            for count in around(limit):
                if count >= 0:
                    for block in (INDEXED_OK, INDEXED_OK + b"\x00\x01a\x0a0123456789"):
                        self.check_connection("max_continuations", limit, count, pieces(block, count + 1))

    def test_max_fragmented_header_block_size(self) -> None:
        """Bytes of one field block, in one frame or in several."""
        for limit in (150, 5000, Http2Options().max_fragmented_header_block_size):
            for count in around(limit):
                block = block_of(count)
                self.assertEqual(len(block), count)
                for parts in (1, 2, 5):
                    data = pieces(block, parts)
                    self.check_connection("max_fragmented_header_block_size", limit, count, data, max_frame_size_received=65_536)

    def test_never_ending_block(self) -> None:
        """A block that goes on and on is ended at the limit, and not kept until then."""
        for piece in (b"", b"\x88", b"x" * 16_384):
            talk = self.started()
            talk.receive(frames.frame(FrameType.HEADERS, 0, 1, piece))
            sent = 0
            while not talk.over:
                talk.receive(frames.frame(FrameType.CONTINUATION, 0, 1, piece))
                sent += 1
            self.assertLessEqual(sent, 9)
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, CALM)])

    def test_never_ending_block_of_no_stream(self) -> None:
        """The same on a stream that we have reset, and for a promise."""
        for kind, start in ((FrameType.HEADERS, b""), (FrameType.PUSH_PROMISE, b"\0\0\0\2")):
            talk = self.started(enable_push=True)
            talk.cancel(A)
            talk.receive(frames.frame(kind, 0, 1, start))
            for _ in range(8):
                talk.receive(frames.frame(FrameType.CONTINUATION, 0, 1, b""))
            self.assertFalse(talk.over)
            talk.receive(frames.frame(FrameType.CONTINUATION, 0, 1, b""))
            self.assertEqual(talk.outline[-1], ("close", "LimitReached(max_continuations, 8)"))


class FrameSizeTests(Http2Case):
    """Sizes of frames, both ways."""

    def test_max_frame_size_received(self) -> None:
        """A frame's length is looked at as soon as its nine bytes are there; what follows is not waited for."""
        for limit in (16_384, 16_385, 30_000, 2**24 - 1):
            for count in around(limit):
                for kind in (*FrameType, 0x42):
                    if kind == FrameType.CONTINUATION or count == 2**24:
                        continue
                    talk = self.talk(max_frame_size_received=limit)
                    talk.ask(A)
                    talk.newly_sent()
                    header = frames.HEADER.pack(count << 8 | kind, 0, kind not in (FrameType.SETTINGS, FrameType.PING, FrameType.GOAWAY))
                    talk.receive(header[:8])
                    self.assertEqual(talk.outline, [])
                    talk.receive(header[8:])
                    self.assertEqual(talk.over, count > limit, (limit, count, kind))
                    self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "FRAME_SIZE_ERROR")] if count > limit else [])
                    if talk.over:
                        self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION))

    def test_max_frame_size_received_is_said(self) -> None:
        """The peer is told of it, where it is not 16,384 anyway; frames up to it are taken."""
        for limit in (16_384, 16_385, 100_000):
            talk = self.talk(max_frame_size_received=limit)
            settings = talk.sent[0][1]
            self.assertEqual(settings.get("max_frame_size", 16_384), limit)
            talk.ask(A)
            talk.receive(talk.peer.respond(1), talk.peer.data(1, b"x" * limit, True))
            self.assertEqual(talk.outline[-1], ("data", A, b"x" * limit, True))

    def test_max_frame_size_sent(self) -> None:
        """Our frames have no more than that, and no more than the peer takes."""
        for limit in (16_384, 20_000):
            for said in around(limit)[limit == 16_384 :]:
                talk = self.talk(max_frame_size_sent=limit, settings={"max_frame_size": said, "initial_window_size": 100_000})
                talk.ask(A, b"POST", headers=((b"x", b"\x80" * 45_000),), body=b"x" * 45_000)
                sizes = [len(payload) for _, _, stream_id, payload in talk.peer.raw if stream_id]
                self.assertEqual(max(sizes), min(limit, said))
                self.assertEqual(sum(len(frame[2]) for frame in talk.newly_sent() if frame[0] == "DATA"), 45_000)


class WindowTests(Http2Case):
    """How far windows are opened, and what comes beyond them."""

    def fill(self, talk: Http2Conversation, size: int, stream_id: int = 1) -> None:
        """The peer sends so much content."""
        for at in range(0, size, 16_384):
            if not talk.over:
                talk.receive(talk.peer.data(stream_id, b"x" * min(16_384, size - at)))

    def most_room(self, of: int, **options: int) -> int:
        """How far the window of `of`, stream 1 or the connection, is opened at the most while 200,000 bytes come."""
        talk = self.talk(**options)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        most = 0
        for _ in range(20):
            talk.receive(talk.peer.data(1, b"x" * 10_000))
            most = max(most, talk.peer.room[of])
        return most

    def test_max_stream_window_size(self) -> None:
        """A stream's window is renewed to its size and margin, but not beyond that."""
        size, margin = 100_000, 5000
        for limit in around(size + margin):
            most = self.most_room(1, initial_stream_window_size=size, stream_window_margin_size=margin, max_stream_window_size=limit)
            self.assertEqual(most, min(limit, size + margin))

    def test_max_connection_window_size(self) -> None:
        """The same for the connection's window."""
        size, margin = 100_000, 5000
        for limit in around(size + margin):
            most = self.most_room(
                0, initial_connection_window_size=size, connection_window_margin_size=margin, max_connection_window_size=limit
            )
            self.assertEqual(most, min(limit, size + margin))

    def test_stream_window(self) -> None:
        """A byte beyond a stream's window, which is not renewed while its owner wants no more, ends the stream."""
        for count in around(100_000):
            talk = self.talk(initial_stream_window_size=100_000)
            talk.ask(A, flow=0)
            talk.ask(B)
            talk.newly_sent()
            talk.receive(talk.peer.respond(1))
            self.fill(talk, count)
            ended = [("RST_STREAM", 1, "FLOW_CONTROL_ERROR")] if count > 100_000 else []
            self.assertEqual(talk.newly_sent(), ended)
            self.assertEqual(("failed", A, PROTOCOL_VIOLATION) in talk.outline, count > 100_000)
            talk.receive(talk.peer.respond(3, fin=True))
            self.assertEqual(talk.outline[-1], ("response", B, 200, (), True))

    def test_connection_window(self) -> None:
        """A frame beyond the connection's window ends the connection."""
        for count in around(65_535):
            talk = self.talk(initial_connection_window_size=65_535, max_frame_size_received=70_000)
            talk.ask(A)
            talk.receive(talk.peer.respond(1))
            talk.newly_sent()
            talk.receive(talk.peer.data(1, b"x" * count))
            self.assertEqual(talk.over, count > 65_535)
            if talk.over:
                self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "FLOW_CONTROL_ERROR")])
                self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION))


class StreamCountTests(Http2Case):
    """How many streams there may be."""

    def asked(self, talk: Http2Conversation, count: int) -> list[str]:
        """What becomes of `count` requests at once: the kinds of those that failed."""
        steps = [step for at in range(count) for step in talk.ask(Key(f"stream {at}"))]
        return [entry[2] for entry in told(steps) if entry[0] == "failed"]

    def test_max_streams(self) -> None:
        """Our own streams, where the peer allows more; it may allow less."""
        for limit in (1, 5, Http2Options().max_streams):
            for allowed in (*around(limit), 2**32 - 1):
                for count in around(most := min(limit, allowed)):
                    talk = self.talk(max_streams=limit, settings={"max_concurrent_streams": allowed})
                    self.assertEqual(self.asked(talk, max(count, 0)), ["StreamRefused"] * (count > most))
                    self.assertEqual(len(talk.newly_sent()), max(min(count, most), 0))

    def test_max_streams_before_settings(self) -> None:
        """Before the peer has said anything, at most a hundred."""
        for limit, most in ((99, 99), (100, 100), (101, 100), (1000, 100)):
            for count in around(most):
                talk = self.talk(begun=False, max_streams=limit)
                for at in range(min(count, most)):
                    self.assertTrue(talk.core.accepting)
                    talk.ask(Key(f"stream {at}"))
                self.assertEqual(talk.core.accepting, count < most)
                self.assertEqual(told(talk.receive(talk.peer.settings())), [("accepting",)])
                self.assertEqual(self.asked(talk, limit - min(count, most)), [])
                self.assertEqual(self.asked(talk, 1), ["StreamRefused"])

    def test_max_concurrent_streams(self) -> None:
        """Pushed streams: the peer is told, and what goes beyond is refused."""
        for limit in (0, 1, 3, Http2Options().max_concurrent_streams):
            talk = self.talk(enable_push=True, max_concurrent_streams=limit)
            self.assertEqual(talk.sent[0][1]["max_concurrent_streams"], limit)
            talk.ask(A)
            talk.newly_sent()
            for at in range(limit):
                pushed(talk.receive(talk.peer.promise(1, 2 * at + 2)))
            self.assertEqual(talk.newly_sent(), [])
            self.assertEqual(talk.receive(talk.peer.promise(1, 2 * limit + 2))[1:], [])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 2 * limit + 2, "REFUSED_STREAM")])
            if limit:
                talk.receive(talk.peer.respond(2, fin=True))
                pushed(talk.receive(talk.peer.promise(1, 2 * limit + 4)))


class TableTests(Http2Case):
    """Tables of header compression, both ways."""

    def decoded(self, block: bytes, **options: int) -> str:
        """What comes of a response with this block."""
        talk = self.talk(**options)
        talk.ask(A)
        talk.newly_sent()
        talk.receive(frames.frame(FrameType.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
        (sent,) = talk.newly_sent() or [("nothing",)]
        return "response" if sent == ("nothing",) and talk.outline[-1][0] == "response" else str(sent[-1])

    def test_max_decode_table_size(self) -> None:
        """The peer is told, and may make its table as large as that, and no larger."""
        for limit in (0, 100, 4095, 4096, 4097, 65_536):
            talk = self.talk(max_decode_table_size=limit)
            self.assertEqual(talk.sent[0][1].get("header_table_size", 4096), limit)
            for size in around(limit):
                if size >= 0:
                    expected = "COMPRESSION_ERROR" if size > limit else "response"
                    self.assertEqual(self.decoded(table_size(size) + INDEXED_OK, max_decode_table_size=limit), expected, (limit, size))

    def test_what_a_table_holds(self) -> None:
        """No more than its size is kept: of entries of 100 bytes, 10 in 1000."""
        for limit in (999, 1000, 1001):
            entries = b"".join(b"\x40\x04" + b"n%03d" % at + b"\x40" + b"v" * 64 for at in range(50))
            kept = limit // 100
            for wanted in around(kept):
                block = table_size(limit) + INDEXED_OK + entries + bytes([0x80 | 61 + wanted])
                expected = "COMPRESSION_ERROR" if wanted > kept else "response"
                self.assertEqual(self.decoded(block, max_decode_table_size=limit), expected, (limit, wanted))

    def test_max_encode_table_size(self) -> None:
        """However large a table the peer allows, ours stays within the limit; it may allow less."""
        for limit in (0, 200, 4095, 4096, 4097, 10_000):
            for allowed in (*(size for size in around(limit) if size >= 0), 2**32 - 1):
                talk = self.talk(max_encode_table_size=limit, settings={"header_table_size": allowed})
                decoder = Decoder()
                decoder.max_allowed_table_size = min(limit, allowed)
                for at in range(100):
                    talk.ask(Key(f"stream {at}"), headers=((b"x-number", b"%d" % at), (b"x-same", b"y" * 50)))
                blocks = [payload for kind, _, _, payload in talk.peer.raw if kind == FrameType.HEADERS]
                decoded = [dict(decoder.decode(block, raw=True)) for block in blocks]
                self.assertEqual([header[b"x-number"] for header in decoded], [b"%d" % at for at in range(100)])
                self.assertLessEqual(decoder.header_table_size, min(limit, allowed))


class BombTests(Http2Case):
    """Little that becomes much: bounded by what is decoded, not by what came."""

    def check(self, block: bytes, reason: str, on: str = "open") -> None:
        """A block that is sent ten times costs its stream, but neither memory nor the connection."""
        talk = self.talk()
        for at in range(10):
            talk.ask(stream := Key(f"stream {at}"))
            if on == "cancelled":
                talk.cancel(stream)
        parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        sent = []
        for at in range(10):
            sent.append(frames.frame(FrameType.HEADERS, frames.END_HEADERS if len(parts) == 1 else 0, 2 * at + 1, parts[0]))
            for number, part in enumerate(parts[1:], 2):
                flags = frames.END_HEADERS if number == len(parts) else 0
                sent.append(frames.frame(FrameType.CONTINUATION, flags, 2 * at + 1, part))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        talk.receive(*sent)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The reference has hpack decode a whole block before it counts: no copies, but a list of up to 32,768 fields.
        self.assertLess(peak - before, 1_000_000 if type(self).core is Http2 else 20_000_000)
        failed = [entry[2] for entry in talk.outline if entry[0] == "failed"]
        self.assertEqual(failed, [reason] * 10 if on == "open" else [])
        self.assertTrue(talk.core.accepting)
        talk.ask(A)
        talk.receive(talk.peer.respond(21, fin=True))
        self.assertEqual(talk.outline[-1], ("response", A, 200, (), True))

    def test_one_entry_again_and_again(self) -> None:
        """A field of 4,000 bytes, and 16,000 times the byte that means it: 64 million bytes decoded."""
        entry = b"\x40\x01a\x7f" + bytes(encode_integer(4000, 7)[1:]) + b"x" * 4000
        for on in ("open", "cancelled"):
            self.check(INDEXED_OK + entry + b"\xbe" * 16_000, TOO_LARGE, on)

    def test_crumbs(self) -> None:
        """Cookies in crumbs: each is a field, and is counted as one."""
        crumb = b"\x40\x06cookie\x03a=b"
        for on in ("open", "cancelled"):
            self.check(INDEXED_OK + crumb + b"\xbe" * 20_000, TOO_MANY, on)

    def test_empty_fields(self) -> None:
        """Fields of nothing count 32 bytes each."""
        self.check(INDEXED_OK + b"\x40\x00\x00" + b"\xbe" * 20_000, TOO_MANY)

    def test_endless_integer(self) -> None:
        """An integer that does not end is an error at once."""
        for start in (b"\xff", b"\x3f", b"\x00\x7f", b"\x0f"):
            talk = self.talk()
            talk.ask(A)
            talk.newly_sent()
            talk.receive(frames.frame(FrameType.HEADERS, frames.END_HEADERS, 1, start + b"\xff" * 16_000))
            self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "COMPRESSION_ERROR")])
            self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION))


class AllTests(SynchronousTestCase):
    """The list of limits."""

    def test_all(self) -> None:
        """No limit is left out."""
        names = {option.name for option in fields(Http2Options) if option.name.startswith("max_")}
        here = {name.removeprefix("test_") for case in (ResponseTests, BlockTests, FrameSizeTests, WindowTests) for name in dir(case)}
        here |= {name.removeprefix("test_") for case in (StreamCountTests, TableTests) for name in dir(case)}
        # The connection keeps what waits; test_http2_floods.py is all about glitches.
        self.assertEqual(names - here, {"max_waiting", "max_glitches"})
