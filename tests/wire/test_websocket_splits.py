"""
Any bytes on a websocket, in any pieces: a core never raises, tells and sends the same wherever they are cut, and ends in good order.

Frames as servers send them, frames as they must not, and bytes without sense. The order that must hold at every step is watched over by
`WsConversation`.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twisted_gun.events import Close, Frame, Ping

from .conversation import A, Outline
from .ws_conversation import RSV1, Opcode, WsCase, WsConversation, agreed, close, compression, fragments, server_frame

# The same tests are run for both cores, one after the other: that is sound, for nothing is kept between them.
SETTINGS = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)

opcodes = st.sampled_from((Opcode.TEXT, Opcode.BINARY))
payloads = st.sampled_from((b"", b"x", b"hello", "grün 水 \U0001f600".encode(), b"y" * 125, b"z" * 126, b"w" * 300))
wrong = st.sampled_from((b"\xff", b"text \xed\xa0\x80", b"cut off \xc3", b"\xf0\x9f"))
cuts = st.lists(st.integers(0, 600), max_size=6)
codes = st.sampled_from((1000, 1001, 1005, 1011, 1016, 3000, 4999, 5000, 65_535, 0))

Message = tuple[int, bytes, bool, list[int]]  # its opcode, what it says, whether it is compressed, and where it is cut into frames
messages = st.tuples(opcodes, st.one_of(payloads, payloads, payloads, wrong), st.booleans(), st.lists(st.integers(0, 400), max_size=3))
controls = st.one_of(
    st.binary(max_size=3).map(lambda data: server_frame(Opcode.PING, data)),
    st.sampled_from((b"", b"gun ping 1", b"gun ping 2")).map(lambda data: server_frame(Opcode.PONG, data)),
)
closes = st.one_of(st.just(close()), st.tuples(codes, st.sampled_from((b"", b"why", b"\xff"))).map(lambda said: close(*said)))
odd = st.one_of(
    st.tuples(st.integers(0, 15), payloads, st.booleans(), st.integers(0, 7)).map(
        lambda drawn: server_frame(drawn[0], drawn[1], fin=drawn[2], rsv=drawn[3])
    ),
    st.tuples(opcodes, payloads).map(lambda drawn: server_frame(*drawn, mask=b"abcd")),
    st.tuples(opcodes, st.sampled_from((2, 8)), st.integers(0, 200)).map(
        lambda drawn: server_frame(drawn[0], bytes(drawn[2]), length_bytes=drawn[1])
    ),
    st.binary(max_size=30),
)
traffic = st.lists(st.one_of(messages, messages, messages, controls, closes, odd), max_size=12)
changes = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from((b"", b"\0", b"\x81", b"\xff")), st.integers(0, 2)), max_size=3)
doings = st.lists(st.sampled_from(("say", "ping", "close", "hold", "shutdown")), max_size=2)

OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "told": {"silent": False},
    "small": {"max_message_size": 130, "max_fragments": 2},
    "flow": {"flow": 2, "silent": False},
    "deflate": {"deflate": agreed()},
    "little deflate": {"deflate": agreed(server_bits=9, server_takeover=False, client_takeover=False), "flow": 1},
}


def bytes_of(made: list[Message | bytes], options: dict[str, Any]) -> bytes:
    """What a server sends that says this; control frames go between the fragments of the message before them."""
    deflate = compression(options["deflate"]) if "deflate" in options else None
    data = b""
    for one, behind in itertools.pairwise([*made, b""]):
        if isinstance(one, bytes):
            data += one
            continue
        opcode, payload, compress, at = one
        compress = compress and deflate is not None
        if compress and deflate is not None:
            payload = deflate.compress(payload)
        places = [0, *sorted(min(place, len(payload)) for place in at), len(payload)]
        parts = [payload[start:end] for start, end in itertools.pairwise(places)]
        between = behind if isinstance(behind, bytes) and len(behind) < 20 else b""
        data += fragments(opcode, *parts, rsv=RSV1 if compress else 0, between=between)
    return data


class SplitTests(WsCase):
    """What is told and sent, and what is left."""

    def after(self, doing: list[str], parts: list[bytes], options: dict[str, Any]) -> tuple[Outline, list[Frame], Outline]:
        """What is told and sent where these bytes come in those parts; and what is then told up to the end."""
        talk = self.talk(**options)
        for what in doing:
            if what == "say" and talk.core.open:
                talk.say("hello", b"\0" * 300)
            elif what == "ping" and talk.core.open:
                talk.ping("key")
            elif what == "close" and talk.core.open:
                talk.say(Close(4000))
            elif what == "hold":
                talk.hold(A)
            elif what == "shutdown":
                talk.shutdown()
        talk.receive(*[part for part in parts if part])
        told, sent = list(talk.outline), list(talk.sent)
        self.go_on(talk)
        return told, sent, talk.outline[len(told) :]

    def go_on(self, talk: WsConversation) -> None:
        """The core is as good as before: it does what it is asked, up to its end."""
        talk.hold(A, False)
        if talk.core.open:
            talk.say("more")
        talk.update_flow(A, 100)
        talk.at(talk.now + 1.0)
        if not talk.over:
            talk.lose()

    def check(self, doing: list[str], data: bytes, at: list[int], options: dict[str, Any]) -> None:
        """Cut at those places, and a byte at a time, is as the whole."""
        places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
        parts = [data[start:end] for start, end in itertools.pairwise(places)]
        whole = self.after(doing, [data], options)
        self.assertEqual(self.after(doing, parts, options), whole, parts)
        self.assertEqual(self.after(doing, [data[place : place + 1] for place in range(len(data))], options), whole, data)

    @SETTINGS
    @given(doings, traffic, cuts, st.sampled_from([*OPTIONS]))
    def test_traffic(self, doing: list[str], made: list[Message | bytes], at: list[int], name: str) -> None:
        """Frames as servers send them, and some as they do not."""
        self.check(doing, bytes_of(made, OPTIONS[name]), at, OPTIONS[name])

    @SETTINGS
    @given(doings, traffic, changes, cuts, st.sampled_from([*OPTIONS]))
    def test_tampered(
        self, doing: list[str], made: list[Message | bytes], changed: list[tuple[int, bytes, int]], at: list[int], name: str
    ) -> None:
        """Frames with some bytes put in, taken out or exchanged."""
        data = bytes_of(made, OPTIONS[name])
        for place, put, out in changed:
            place = min(place, len(data))
            data = data[:place] + put + data[place + out :]
        self.check(doing, data, at, OPTIONS[name])

    @SETTINGS
    @given(doings, st.binary(max_size=80), cuts, st.sampled_from([*OPTIONS]))
    def test_garbage(self, doing: list[str], data: bytes, at: list[int], name: str) -> None:
        """Any bytes."""
        self.check(doing, data, at, OPTIONS[name])


class SentTests(WsCase):
    """What is sent has nothing to do with how it is given."""

    def test_together_or_alone(self) -> None:
        """Frames given at once are sent as those given one after another."""
        frames: list[Any] = ["one", b"two", Ping(b"three"), "x" * 300, Close(1000, "bye")]
        alone, together = self.talk(), self.talk()
        for frame in frames:
            alone.say(frame)
        together.say(*frames)
        self.assertEqual(alone.sent, together.sent)
