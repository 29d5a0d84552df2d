"""
Any bytes over HTTP/2, in any pieces: a core never raises, tells the same and sends the same wherever they are cut, and ends in good order.

Bytes without sense, legal traffic, and legal traffic that was tampered with. The order that must hold at every step is watched over by
`Conversation` and `Peer`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twisted_gun.wire import frames
from twisted_gun.wire.frames import FrameType

from .conversation import A, B, C, Key, Outline
from .http2_conversation import Http2Case, Http2Conversation, named
from .http2_peer import Frame, Peer

# The same tests are run for both cores, one after the other: that is sound, for nothing is kept between them.
SETTINGS = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)

#: Small limits, so that they are met too.
SMALL = {
    "max_continuations": 1,
    "max_fragmented_header_block_size": 60,
    "max_header_count": 3,
    "max_header_list_size": 120,
    "max_informational": 1,
    "max_glitches": 4,
    "max_concurrent_streams": 1,
    "initial_connection_window_size": 65_535,
    "initial_stream_window_size": 40,
    "stream_window_margin_size": 0,
}

ids = st.sampled_from((0, 1, 3, 5, 2, 4, 7, 6, 2**31 - 1, 2**31 + 1))
own_ids = st.sampled_from((1, 3, 5))
names = st.sampled_from((b"a", b"content-length", b":status", b"connection", b"A", b"set-cookie"))
field_lists = st.lists(st.tuples(names, st.sampled_from((b"", b"1", b"5", b"200", b" x", b"long " * 10))), max_size=4).map(tuple)
statuses = st.sampled_from((100, 103, 200, 200, 200, 204, 304, 404, b"2x0", 101))
contents = st.sampled_from((b"", b"x", b"hello", b"y" * 30, b"z" * 300))
numbers = st.sampled_from((0, 1, 5, 100, 65_535, 2**31 - 1, 2**31, 2**32 - 1))
paddings = st.sampled_from((None, None, 0, 3, 200))

Make = Callable[[Peer], bytes]


def sent_by(verb: str, *arguments: Any, **more: Any) -> st.SearchStrategy[Make]:
    """What a peer sends by `verb`; the arguments are drawn."""
    drawn = st.tuples(st.tuples(*arguments), st.fixed_dictionaries(more))
    return drawn.map(lambda args: lambda peer: getattr(peer, verb)(*args[0], **args[1]))


fin = st.booleans()
pieces = st.sampled_from((None, None, 1, 7))
legal = st.one_of(
    sent_by("respond", own_ids, statuses, field_lists, fin=fin, padding=paddings, priority=st.booleans(), piece=pieces),
    sent_by("respond", own_ids, st.just(200)),
    sent_by("data", own_ids, contents, fin, paddings),
    sent_by("trailers", own_ids, field_lists),
    sent_by("reset", own_ids, st.integers(0, 14)),
    sent_by("window", ids, st.integers(1, 1000)),
    sent_by("promise", own_ids, st.sampled_from((2, 4, 6)), piece=pieces),
    sent_by("respond", st.sampled_from((2, 4)), statuses, field_lists, fin=fin),
    sent_by("data", st.sampled_from((2, 4)), contents, fin),
    sent_by("ping", st.binary(min_size=8, max_size=8), st.booleans()),
    sent_by("settings", initial_window_size=st.integers(0, 70_000), header_table_size=st.integers(0, 5000)),
    sent_by("settings", max_concurrent_streams=st.integers(0, 5), max_frame_size=st.sampled_from((16_384, 20_000))),
    sent_by("settings_ack"),
    sent_by("goaway", st.sampled_from((0, 1, 3, 2**31 - 1)), st.integers(0, 14)),
)
odd = st.one_of(
    sent_by("frame", st.one_of(st.sampled_from(FrameType), st.integers(0, 255)), st.integers(0, 255), ids, st.binary(max_size=20)),
    sent_by("frame", st.sampled_from((1, 9)), st.sampled_from((0, 1, 4, 5, 0x24)), ids, st.binary(max_size=20)),
    sent_by("window", ids, numbers),
    st.tuples(st.integers(0, 9), numbers).map(lambda setting: lambda peer: frames.settings([setting])),
    st.binary(max_size=30).map(lambda data: lambda peer: data),
)
traffic = st.lists(st.one_of(legal, legal, legal, odd), max_size=15)
changes = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from((b"", b"\0", b"\1", b"\xff")), st.integers(0, 2)), max_size=3)
asks = st.lists(
    st.sampled_from(("get", "head", "post", "upload", "withheld", "held", "cancel", "tunnel", "held tunnel")), min_size=1, max_size=3
)
cuts = st.lists(st.integers(0, 600), max_size=6)

OPTIONS: dict[str, dict[str, Any]] = {"usual": {}, "pushes": {"enable_push": True}, "small": SMALL | {"enable_push": True}}


def bytes_of(made: list[Make]) -> bytes:
    peer = Peer()
    return b"".join(make(peer) for make in made)


class SplitTests(Http2Case):
    """What is told and sent, and what is left."""

    def after(self, asked: list[str], parts: list[bytes], options: dict[str, Any], begun: bool) -> tuple[Outline, list[Frame], Outline]:
        """What is told and sent where these requests are answered with these bytes; and what is then told at the loss of it all."""
        talk = self.talk(begun=begun, settings={"enable_connect_protocol": 1}, **options)
        for stream, kind in zip((A, B, C), asked, strict=False):
            flow = 1 if kind == "withheld" else None
            body = {"post": b"content", "upload": None}.get(kind, b"")
            if kind.endswith("tunnel"):
                talk.ask_upgrade(stream)
            else:
                talk.ask(stream, b"HEAD" if kind == "head" else b"GET", body=body, flow=flow)
            if kind.startswith("held"):
                talk.hold(stream)
            if kind == "cancel":
                talk.cancel(stream)
        talk.receive(*[part for part in parts if part])
        told = named(talk.outline)
        sent = list(talk.sent)
        if not talk.over:
            self.go_on(talk, asked)
        return told, sent, named(talk.outline[len(told) :])

    def go_on(self, talk: Http2Conversation, asked: list[str]) -> None:
        """The core is as good as before: it does what it is asked, up to its end."""
        if "upload" in asked:
            talk.send((A, B, C)[asked.index("upload")], b"more", True)
        for stream, kind in zip((A, B, C), asked, strict=False):
            if kind.startswith("held"):
                talk.hold(stream, False)
            if kind.endswith("tunnel"):
                talk.send(stream, b"bytes")
                talk.send(stream, b"", True)
        if talk.core.accepting:
            talk.ask(Key("D"))
        talk.at(talk.now + 1.0)
        if not talk.over:
            talk.shutdown()
        if not talk.over:
            talk.lose()

    def check(self, asked: list[str], data: bytes, at: list[int], options: dict[str, Any], begun: bool = True) -> None:
        """Cut at those places, and a byte at a time, is as the whole."""
        places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
        parts = [data[start:end] for start, end in itertools.pairwise(places)]
        whole = self.after(asked, [data], options, begun)
        self.assertEqual(self.after(asked, parts, options, begun), whole, parts)
        self.assertEqual(self.after(asked, [data[place : place + 1] for place in range(len(data))], options, begun), whole, data)

    @SETTINGS
    @given(asks, traffic, cuts, st.sampled_from([*OPTIONS]))
    def test_traffic(self, asked: list[str], made: list[Make], at: list[int], options: str) -> None:
        """Frames as servers send them, and some as they do not."""
        self.check(asked, bytes_of(made), at, OPTIONS[options])

    @SETTINGS
    @given(asks, st.lists(legal, max_size=15), changes, cuts, st.sampled_from([*OPTIONS]))
    def test_tampered(self, asked: list[str], made: list[Make], changed: list[tuple[int, bytes, int]], at: list[int], options: str) -> None:
        """Legal frames with some bytes put in, taken out or exchanged."""
        data = bytes_of(made)
        for place, put, out in changed:
            place = min(place, len(data))
            data = data[:place] + put + data[place + out :]
        self.check(asked, data, at, OPTIONS[options])

    @SETTINGS
    @given(asks, st.one_of(st.binary(max_size=80), st.lists(st.one_of(legal, odd), max_size=4).map(bytes_of)), cuts)
    def test_beginnings(self, asked: list[str], data: bytes, at: list[int]) -> None:
        """Any bytes as the very first, behind a preface, and behind what only looks like one."""
        for start in (b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\0\0\0\4\0\0\0\0\0", b"\0\0\6\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"):
            self.check(asked, start + data, at, {}, begun=False)
