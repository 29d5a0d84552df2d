"""
Floods over HTTP/2, which are ended, and heavy use, which is not; and what is kept meanwhile.

A frame that is legal and of no use costs the peer nothing and us some work: PING, SETTINGS, empty DATA and their like (CVE-2019-9511 to
9518, and what has been found since). A thousand of them at once are allowed, and 33 a second.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.core import Request
from twisted_gun.wire.frames import ErrorCode, FrameType
from twisted_gun.wire.http2 import Http2

from .conversation import A, B, C, Key
from .http2_conversation import Http2Case, Http2Conversation
from .http2_peer import Peer

#: Of each kind one frame after the other: the peer and its number give the frame. Stream 1 is being answered, 3 is not, 5 is closed.
FLOODS: dict[str, Callable[[Peer, int], bytes]] = {
    "PING": lambda peer, at: peer.ping(b"%08d" % (at % 10**8)),
    "SETTINGS": lambda peer, at: peer.settings(),
    "empty DATA": lambda peer, at: peer.data(1),
    "WINDOW_UPDATE": lambda peer, at: peer.window(0, 1),
    "PRIORITY": lambda peer, at: peer.frame(FrameType.PRIORITY, 0, 2 * at + 1, b"\0\0\0\0\x10"),
    "RST_STREAM": lambda peer, at: peer.reset(5),
    "unknown": lambda peer, at: peer.frame(0x42, 0xFF, at, b"hello"),
}

#: Others of no more use than these.
MORE_FLOODS: dict[str, Callable[[Peer, int], bytes]] = {
    "PING nobody asked for": lambda peer, at: peer.ping(b"%08d" % (at % 10**8), ack=True),
    "acknowledged SETTINGS": lambda peer, at: peer.settings_ack(),
    "SETTINGS to and fro": lambda peer, at: peer.settings(initial_window_size=65_535 + at % 2, header_table_size=4096 * (at % 2)),
    "full SETTINGS": lambda peer, at: peer.frame(FrameType.SETTINGS, 0, 0, b"\xff\xff\0\0\0\0" * 100),
    "padding alone": lambda peer, at: peer.data(1, padding=100),
    "DATA on a closed stream": lambda peer, at: peer.data(5),
    "HEADERS on a closed stream": lambda peer, at: peer.respond(5),
    "WINDOW_UPDATE of a stream": lambda peer, at: peer.window(3, 1),
    "WINDOW_UPDATE of a closed stream": lambda peer, at: peer.window(5, 0),
    "PRIORITY of one stream": lambda peer, at: peer.frame(FrameType.PRIORITY, 0, 1, b"\x80\0\0\3\x10"),
    "unknown and empty": lambda peer, at: peer.frame(0xFE, 0, 0),
    "GOAWAY": lambda peer, at: peer.goaway(5),
    "all of them": lambda peer, at: [*FLOODS.values()][at % len(FLOODS)](peer, at),
}

ENDED = ("GOAWAY", 0, "ENHANCE_YOUR_CALM")


class UploadTests(Http2Case):
    """While an upload waits for its windows."""

    def test_updates_by_a_byte(self) -> None:
        """A server that opens a window by a byte at a time is no better than one that opens it in vain."""
        talk = self.talk()
        talk.ask(A, b"POST", body=b"x" * 200_000)
        talk.receive(talk.peer.window(1, 100_000))
        count = 0
        while not talk.over:
            talk.receive(talk.peer.window(0, 1))
            count += 1
        self.assertEqual(talk.sent[-1], ENDED)
        self.assertLess(count, 1100 + 200_000 // 32)


class FloodCase(Http2Case):
    """Three requests: the first is being answered, the second is not, the third was."""

    def started(self, **options: Any) -> Http2Conversation:
        talk = self.talk(**options)
        for stream in (A, B, C):
            talk.ask(stream)
        talk.receive(talk.peer.respond(1), talk.peer.respond(5, fin=True))
        talk.newly_sent()
        talk.steps.clear()
        return talk


class FloodTests(FloodCase):
    """What is of no use."""

    def check(self, name: str, flood: Callable[[Peer, int], bytes]) -> None:
        """Hundreds are taken, but 1,100 are not: the connection ends, all streams with it, and the error says why."""
        talk = self.started()
        sent = 0
        while not talk.over:
            self.assertLess(sent, 1100, name)
            talk.receive(flood(talk.peer, sent))
            sent += 1
        self.assertGreater(sent, 900, name)
        self.assertEqual(talk.newly_sent()[-1][::2], ("GOAWAY", "ENHANCE_YOUR_CALM"), name)
        self.assertEqual(
            [entry for entry in talk.outline if entry[0] != "accepting"][-1], ("close", "LimitReached(max_glitches, 1000)"), name
        )
        self.assertEqual(set(talk.core.losses().killed), {A, B}, name)

    def test_each(self) -> None:
        """The seven kinds of flood."""
        self.assertEqual(len(FLOODS), 7)
        for name, flood in FLOODS.items():
            self.check(name, flood)

    def test_more(self) -> None:
        """And others."""
        for name, flood in MORE_FLOODS.items():
            self.check(name, flood)

    def test_at_once(self) -> None:
        """100,000 frames that come together: what lies behind the thousandth is not looked at, and little is answered."""
        for name, flood in (FLOODS | MORE_FLOODS).items():
            talk = self.started()
            frame = flood(talk.peer, 0)
            steps = talk.core.receive_data(frame * 100_000, 0.0)
            self.assertLess(len(steps), 1100, name)
            written = b"".join(getattr(step, "data", b"") for step in steps)
            self.assertLess(len(written), 1100 * 17, name)
            self.assertEqual(written[-17:], frames.goaway(0, ErrorCode.ENHANCE_YOUR_CALM), name)
            self.assertEqual(talk.core.receive_data(frame, 0.0), [], name)

    def test_refused_promises(self) -> None:
        """Promises that cannot be accepted; each reserves a stream, and is reset."""
        talk = self.started(enable_push=True, max_concurrent_streams=0)
        for at in range(1, 1100):
            if not talk.over:
                talk.receive(talk.peer.promise(1, 2 * at))
        self.assertEqual(talk.newly_sent()[-1][::2], ("GOAWAY", "ENHANCE_YOUR_CALM"))

    def test_promises_taken_back(self) -> None:
        """Promises that the server resets itself, one after the other: never more than one at a time, and an endless lot."""
        talk = self.started(enable_push=True)
        for at in range(1, 1100):
            if not talk.over:
                talk.receive(talk.peer.promise(1, 2 * at), talk.peer.reset(2 * at))
        self.assertEqual(talk.newly_sent()[-1][::2], ("GOAWAY", "ENHANCE_YOUR_CALM"))

    def test_empty_continuations(self) -> None:
        """CONTINUATION frames with nothing in them: the ninth is one too many."""
        for start in (b"", b"\x88"):
            for piece in (b"", b"\x88"):
                talk = self.started()
                talk.receive(talk.peer.frame(FrameType.HEADERS, 0, 3, start))
                for _ in range(8):
                    talk.receive(talk.peer.frame(FrameType.CONTINUATION, 0, 3, piece))
                self.assertFalse(talk.over)
                talk.receive(talk.peer.frame(FrameType.CONTINUATION, 0, 3, piece))
                self.assertEqual(talk.outline[-1], ("close", "LimitReached(max_continuations, 8)"))
                self.assertEqual(talk.newly_sent(), [ENDED])

    def test_slow_continuations(self) -> None:
        """A field block that comes a frame a minute: there is a time for it."""
        talk = self.started()
        talk.receive(talk.peer.frame(FrameType.HEADERS, 0, 3, b"\x88"))
        talk.at(29.0)
        talk.receive(talk.peer.frame(FrameType.CONTINUATION, 0, 3))
        self.assertFalse(talk.over)
        talk.at(30.0)
        self.assertEqual(talk.outline[-1], ("close", "TimedOut(headers, 30.0)"))
        self.assertEqual(talk.newly_sent(), [ENDED])

    def test_late_frames(self) -> None:
        """A stream that we have reset explains some frames, but not any number of them."""
        talk = self.started()
        talk.cancel(B)
        sent = 0
        while not talk.over:
            self.assertLess(sent, 1100)
            talk.receive(talk.peer.respond(3, 103))
            sent += 1
        self.assertGreater(sent, 1000)

    def test_late_content(self) -> None:
        """Nor any content: of all streams that we have reset together no more than the connection's window let out by then."""
        talk = self.started(initial_connection_window_size=100_000)
        for stream in (A, B):
            talk.cancel(stream)
        sent = 0
        while not talk.over:
            self.assertLess(sent, 200_000)
            talk.receive(talk.peer.data(3 if sent % 3 else 1, b"x" * 10_000))
            sent += 10_000
        self.assertEqual(sent, 110_000)
        self.assertEqual(talk.newly_sent()[-1], ("GOAWAY", 0, "STREAM_CLOSED"))


class RateTests(FloodCase):
    """`max_glitches` at once, `glitches_per_second` after that."""

    def test_max_glitches(self) -> None:
        """As many as that, and not one more."""
        for limit in (1, 10, Http2Options().max_glitches):
            for count in (limit - 1, limit, limit + 1):
                for name, flood in FLOODS.items():
                    talk = self.started(max_glitches=limit)
                    talk.at(1000.0)  # what was before no longer counts
                    if name == "WINDOW_UPDATE":
                        talk.receive(talk.peer.window(0, 1) * 12)  # which three requests explain
                    talk.receive(b"".join([flood(talk.peer, at) for at in range(count)]))
                    self.assertEqual(talk.over, count > limit, (name, limit, count))

    def test_glitches_per_second(self) -> None:
        """With time there may be more, one by one."""
        for rate, wait, more in ((1.0, 3.0, 3), (33.0, 0.1, 3), (2.5, 2.0, 5), (0.0, 1000.0, 0), (100.0, 1000.0, 10)):
            for count in (more - 1, more, more + 1):
                talk = self.started(max_glitches=10, glitches_per_second=rate)
                talk.at(1000.0)
                used = 10 if rate else 9  # the server's SETTINGS were one
                talk.receive(talk.peer.ping() * used)
                talk.at(1000.0 + wait)
                talk.receive(talk.peer.ping() * count)
                self.assertEqual(talk.over, count > more, (rate, wait, count))

    def test_for_ever_at_the_rate(self) -> None:
        """At no more than the rate it may go on for ever, at twice of it not for long."""
        for rate, lasts in ((33, True), (66, False)):
            talk = self.started()
            for second in range(1, 121):
                talk.at(float(second))
                if not talk.over:
                    talk.receive(talk.peer.ping() * rate)
            self.assertEqual(talk.over, not lasts)


class HeavyUseTests(FloodCase):
    """What looks like a flood and is none."""

    def tearDown(self) -> None:
        self.assertFalse(self.heavy.over)

    def test_upload(self) -> None:
        """An upload of 64 MiB whose every 4 KiB the server answers with two WINDOW_UPDATEs: 32,768 of them."""
        talk = self.heavy = self.talk()
        talk.ask(A, b"POST", body=None)
        sent = 0
        for _ in range(1024):
            talk.send(A, b"x" * 65_535)
            for frame in talk.newly_sent()[-4:]:
                sent += len(frame[2]) if frame[0] == "DATA" else 0
            talk.receive(
                (talk.peer.window(0, 4096) + talk.peer.window(1, 4096)) * 15 + talk.peer.window(0, 4095) + talk.peer.window(1, 4095)
            )
            talk.peer.received.clear()
            talk.newly_sent()
        self.assertGreater(sent, 0)

    def test_cancelled_streams(self) -> None:
        """10,000 streams that are cancelled, each after its whole response was on the way."""
        talk = self.heavy = self.talk()
        for at in range(10_000):
            talk.ask(stream := Key("stream"))
            stream_id = 2 * at + 1
            response = talk.peer.respond(stream_id, 103) + talk.peer.respond(stream_id) + talk.peer.data(stream_id, b"x" * 100)
            talk.cancel(stream)
            talk.receive(response + talk.peer.data(stream_id) + talk.peer.trailers(stream_id))
            if not at % 1000:
                talk.peer.received.clear()
        talk.ask(A)
        talk.receive(talk.peer.respond(20_001), talk.peer.data(20_001, b"hello", True))
        self.assertEqual(talk.outline[-1], ("data", A, b"hello", True))

    def test_cancelled_together(self) -> None:
        """A hundred streams at a time, all cancelled before any answer comes."""
        talk = self.heavy = self.talk(settings={"max_concurrent_streams": 100})
        for turn in range(20):
            streams = [Key("stream") for _ in range(100)]
            for stream in streams:
                talk.ask(stream)
            for stream in streams:
                talk.cancel(stream)
            for at in range(100):
                stream_id = 200 * turn + 2 * at + 1
                talk.receive(talk.peer.respond(stream_id), *[talk.peer.data(stream_id, b"x" * 10)] * 10, talk.peer.reset(stream_id))

    def test_window_churn(self) -> None:
        """An initial window that changes 900 times while a hundred uploads wait for it: all go on, within it."""
        talk = self.heavy = self.talk(settings={"initial_window_size": 0, "max_concurrent_streams": 200})
        talk.receive(talk.peer.window(0, 10_000_000))
        for _ in range(100):
            talk.ask(Key("stream"), b"POST", body=b"x" * 1000)
        for size in range(1, 901):
            talk.receive(talk.peer.settings(initial_window_size=size if size % 3 else 0))
        talk.receive(talk.peer.settings(initial_window_size=1000))
        sent = [frame for frame in talk.newly_sent() if frame[0] == "DATA"]
        self.assertEqual(sum(len(frame[2]) for frame in sent), 100 * 1000)
        self.assertEqual(sum(frame[3] for frame in sent), 100)

    def test_an_hour(self) -> None:
        """PING, SETTINGS, empty DATA, unknown frames and the like, each once a second for an hour."""
        talk = self.heavy = self.started()
        for second in range(3600):
            talk.at(float(second))
            talk.receive(*[flood(talk.peer, second) for flood in FLOODS.values()])
        self.assertEqual(len([frame for frame in talk.newly_sent() if frame[0] == "PING ACK"]), 3600)

    def test_updates_of_requests(self) -> None:
        """A server that opens its window a little with every request."""
        talk = self.heavy = self.talk()
        for at in range(5000):
            talk.ask(stream := Key("stream"))
            stream_id = 2 * at + 1
            talk.receive(talk.peer.window(0, 10) + talk.peer.window(stream_id, 10) + talk.peer.respond(stream_id, fin=True))
            self.assertEqual(talk.outline[-1][1], stream)
            talk.steps.clear()

    def test_small_content(self) -> None:
        """A download a byte a frame."""
        talk = self.heavy = self.started()
        talk.receive(*[talk.peer.data(1, b"x")] * 10_000)
        self.assertEqual(talk.outline[-1], ("data", A, b"x" * 10_000, False))

    def test_empty_ends(self) -> None:
        """Responses that end with an empty frame: that is of use."""
        talk = self.heavy = self.talk()
        for at in range(3000):
            talk.ask(Key("stream"))
            talk.receive(talk.peer.respond(2 * at + 1), talk.peer.data(2 * at + 1, b"", True))


class MemoryTests(Http2Case):
    """What is kept grows with open streams only."""

    def test_each_kind(self) -> None:
        """Thousands of streams of one kind, one after the other: the core is as large as before, but for what it remembers of the last."""
        for kind in range(KINDS):
            core = _begun(type(self).core)
            traffic = _traffic(core, kind)
            grown = _sizes(core, traffic, 1500, 3000)
            self.assertLess(grown[1] - grown[0], 16 * 1500, (kind, grown))

    def test_open_streams(self) -> None:
        """A stream that is open costs little, and what it costs is given back."""
        core = _begun(type(self).core)
        before = _size(core)
        for at in range(90):
            core.request(at, _GET, 0.0)
        self.assertGreater(_size(core), before)
        self.assertLess(_size(core), before + 90 * 3000)
        for at in range(90):
            core.receive_data(_answer(2 * at + 1), 0.0)
        self.assertLess(_size(core), before + 15_000)  # dicts stay as large as they were


class OwnMemoryTests(SynchronousTestCase):
    """The same for our own core, which is fast enough for more."""

    def test_a_hundred_thousand(self) -> None:
        """100,000 streams of every kind: the last 80,000 leave the core as large as it was."""
        core = _begun(Http2)
        sizes = _sizes(core, _traffic(core), 20_000, 100_000)
        self.assertFalse(core.losses().killed)
        self.assertLess(sizes[1] - sizes[0], 80_000, "more than a byte a stream")
        self.assertLess(sizes[1], 300_000)

    def test_nothing_beside_the_core(self) -> None:
        """Nor does what is remembered beside a core grow, once it is full."""
        core = _begun(Http2)
        traffic = _traffic(core)
        while next(traffic) < 15_000:
            pass
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        used = []
        for wanted in (30_000, 35_000):
            while next(traffic) < wanted:
                pass
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
        self.assertLess(used[1] - used[0], 100_000, used)


_GET = Request(method=b"GET", target=b"/", authority=b"example.org", headers=(), body=b"")
_POST = Request(method=b"POST", target=b"/", authority=b"example.org", headers=(), body=None)
_HEADERS_ENDED = frames.END_HEADERS | frames.END_STREAM


def _begun(core: Callable[..., Any]) -> Any:
    begun = core(Http2Options(enable_push=True), b"https", lambda parent, method: ("pushed", parent))
    begun.start(0.0)
    begun.receive_data(frames.settings([]) + frames.settings_ack(), 0.0)
    return begun


def _answer(stream_id: int) -> bytes:
    return frames.frame(FrameType.HEADERS, _HEADERS_ENDED, stream_id, b"\x88")


#: How many kinds of streams there are in `_traffic`.
KINDS = 9


def _traffic(core: Any, only: int | None = None) -> Iterator[int]:
    """Streams of every kind and end, or `only` of one, one after the other; how many there were."""
    promise = b"\x82\x87\x84\x41\x0bexample.org"  # GET https / of example.org
    at = now = 0
    while True:
        stream_id = 2 * at + 1
        head = frames.frame(FrameType.HEADERS, frames.END_HEADERS, stream_id, b"\x88")
        data = frames.frame(FrameType.DATA, 0, stream_id, b"hello")
        last = frames.frame(FrameType.DATA, frames.END_STREAM, stream_id)
        kind = at % KINDS if only is None else only
        request = _POST if kind == 4 else _GET
        if kind == 5:
            fields = ((b"x-number", b"%d" % at),)
            request = Request(method=b"GET", target=b"/%d" % at, authority=b"example.org", headers=fields, body=b"", flow=0)
        core.request(at, request, now)
        if kind == 0:
            core.receive_data(head + data + last, now)
        elif kind == 1:
            core.receive_data(head + frames.rst_stream(stream_id, ErrorCode.CANCEL), now)
        elif kind == 2:
            core.cancel(at, now)
            core.receive_data(head + data + last, now)
        elif kind == 3:
            core.receive_data(frames.frame(FrameType.HEADERS, frames.END_HEADERS, stream_id, b"\x84") + data, now)
        elif kind == 4:
            core.data(at, b"hello", False, now)
            core.receive_data(_answer(stream_id), now)  # before the request is complete
        elif kind == 5:
            core.receive_data(head + data + last, now)  # kept
            core.update_flow(at, 1, now) if at % 2 else core.cancel(at, now)
        elif kind == 6:
            number = b"%d" % at
            block = b"\x88\x40\x08x-number" + bytes([len(number)]) + number
            core.receive_data(frames.frame(FrameType.HEADERS, _HEADERS_ENDED, stream_id, block), now)
        elif kind == 7:
            core.receive_data(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM), now)
        else:
            promised_id = stream_id + 1
            pushed = frames.frame(FrameType.PUSH_PROMISE, frames.END_HEADERS, stream_id, frames.UINT32.pack(promised_id) + promise)
            core.receive_data(head + pushed + _answer(promised_id) + last, now)
        at += 1
        now = at // 10
        yield at


def _sizes(core: Any, traffic: Iterator[int], *after: int) -> list[int]:
    """How large `core` is after so many streams."""
    sizes = []
    for wanted in after:
        while next(traffic) < wanted:
            assert core.accepting
        gc.collect()
        sizes.append(_size(core))
    return sizes


def _size(core: Any) -> int:
    """The bytes of all that `core` leads to; what its modules hold is not its own."""
    seen: set[int] = set()
    found = [core]
    size = 0
    while found:
        thing = found.pop()
        if id(thing) not in seen and not isinstance(thing, (type, FunctionType, MethodType, ModuleType, Http2Options)):
            seen.add(id(thing))
            size += sys.getsizeof(thing)
            found += gc.get_referents(thing)
    return size
