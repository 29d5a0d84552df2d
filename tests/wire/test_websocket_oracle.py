"""
wsproto as the oracle of our own core of websockets: both get the same traffic, cut anywhere, and must do the same at every step.

A state machine of Hypothesis invents what an owner asks and what a server sends; now and then what it must not send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Binary, Close, Frame, Ping, Pong, Text
from twisted_gun.wire.reference.websocket import Websocket as Reference
from twisted_gun.wire.steps import Steps, StreamFailed
from twisted_gun.wire.websocket import Websocket

from .conversation import A, told
from .ws_conversation import RSV1, Opcode, WsConversation, agreed, close, compression, server_frame

SETTINGS = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # on a machine that is busy
)

TEXTS = st.sampled_from(["", "x", "hello", "grün 水 \U0001f600", "y" * 125, "z" * 126, "it goes on and on; " * 50])
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([65_535, 65_536, 70_000]))
CUTS = st.lists(st.integers(0, 400), max_size=3)
#: Where a message is cut into frames.
PLACES = st.lists(st.integers(0, 1000), max_size=4)
BITS = st.integers(8, 15)
AGREED = st.fixed_dictionaries(
    {}, optional={"client_bits": BITS, "server_bits": BITS, "client_takeover": st.booleans(), "server_takeover": st.booleans()}
)
OPTIONS = st.fixed_dictionaries(
    {
        "flow": st.sampled_from([None, None, 1, 3]),
        "silent": st.booleans(),
        "keepalive": st.sampled_from([None, 2.0]),
        "ping_timeout": st.sampled_from([None, 3.0]),
        "closing_timeout": st.sampled_from([None, 5.0]),
        "max_message_size": st.sampled_from([1000, 100_000]),
        "max_fragments": st.sampled_from([3, 100]),
    }
)
CODES = st.sampled_from([None, 1000, 1001, 1011, 3000, 4999])
#: What no server may send, whole frames.
BAD = st.sampled_from(
    [
        server_frame(3),
        server_frame(11),
        server_frame(Opcode.TEXT, b"hello", rsv=2),
        server_frame(Opcode.PING, b"hello", rsv=RSV1),
        server_frame(Opcode.TEXT, b"hello", mask=b"abcd"),
        server_frame(Opcode.PING, b"", fin=False),
        server_frame(Opcode.PONG, b"x" * 126),
        server_frame(Opcode.BINARY, b"hello", length_bytes=2),
        server_frame(Opcode.BINARY, b"hello", length_bytes=8),
        server_frame(Opcode.CLOSE, b"\x03"),
        close(1005),
        close(1016, b"x"),
        close(1000, b"\xff"),
    ]
)


class Oracle(RuleBasedStateMachine):
    """Two cores and what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []  # frames of a message that are still to come
        self.keys = 0
        self.pings: list[bytes] = []  # not answered yet
        self.differ = False

    @initialize(options=OPTIONS, deflate=st.one_of(st.none(), AGREED))
    def begin(self, options: dict[str, Any], deflate: dict[str, Any] | None) -> None:
        made = None if deflate is None else agreed(**deflate)
        self.deflate = None if made is None else compression(made)
        self.talks = [WsConversation(core, deflate=made, **options) for core in (Websocket, Reference)]

    @property
    def over(self) -> bool:
        return self.talks[0].over

    # What the owner does.

    @precondition(lambda self: not self.over and self.talks[0].core.open)
    @rule(texts=st.lists(TEXTS, max_size=3), size=SIZES, what=st.sampled_from(["data", "ping", "pong", "data"]))
    def say(self, texts: list[str], size: int, what: str) -> None:
        others: dict[str, Frame] = {"data": Binary(bytes(size)), "ping": Ping(bytes(size % 126)), "pong": Pong(bytes(size % 126))}
        self.both(lambda talk: talk.say(*map(Text, texts), others[what]))

    @precondition(lambda self: not self.over)
    @rule(what=st.sampled_from(["hold", "release", "release", "flow", "flow", "flow", "hold sending", "release sending"]))
    def steer(self, what: str) -> None:
        if what == "flow":
            self.both(lambda talk: talk.update_flow(A, 2))
        elif "sending" in what:
            self.both(lambda talk: talk.hold_sending(what.startswith("hold")))
        else:
            self.both(lambda talk: talk.hold(A, what == "hold"))

    @precondition(lambda self: not self.over)
    @rule(what=st.sampled_from(["ping", 0.5, 1.0, 3.0]))
    def wait(self, what: str | float) -> None:
        self.keys += 1
        key = self.keys
        if not isinstance(what, str):
            self.both(lambda talk: talk.at(talk.now + what))
        elif self.talks[0].core.open:
            self.both(lambda talk: talk.ping(key))

    @precondition(lambda self: not self.over and self.keys > 1)
    @rule(code=CODES, shutdown=st.booleans())
    def end(self, code: int | None, shutdown: bool) -> None:
        if shutdown:
            self.both(lambda talk: talk.shutdown())
        elif self.talks[0].core.open:
            self.both(lambda talk: talk.say(Close(code, "" if code is None else "done")))

    @precondition(lambda self: self.over)
    @rule()
    def see_that_it_is_over(self) -> None:
        """There is always a next step."""
        assert all(talk.over for talk in self.talks)

    # What the server does.

    @rule(said=TEXTS, binary=st.booleans(), compress=st.booleans(), places=PLACES, cuts=CUTS, held=st.integers(0, 3))
    def message(self, said: str, binary: bool, compress: bool, places: list[int], cuts: list[int], held: int) -> None:
        """A message; the last frames of it come later."""
        self.rest()
        payload = said.encode()
        compress = compress and self.deflate is not None
        if compress and self.deflate is not None:
            payload = self.deflate.compress(payload)
        ends = [*sorted(min(place, len(payload)) for place in places), len(payload)]
        start = 0
        for at, end in enumerate(ends):
            opcode = Opcode.CONTINUATION if at else Opcode.BINARY if binary else Opcode.TEXT
            rsv = RSV1 if compress and not at else 0
            self.parts.append(server_frame(opcode, payload[start:end], fin=end is ends[-1] and at == len(ends) - 1, rsv=rsv))
            start = end
        count = max(len(ends) - held, 0)
        now, self.parts = self.parts[:count], self.parts[count:]
        self.deliver(b"".join(now), cuts)

    @rule(size=SIZES, cuts=CUTS)
    def large(self, size: int, cuts: list[int]) -> None:
        self.rest()
        self.deliver(server_frame(Opcode.BINARY, bytes(size)), cuts)

    @rule(cuts=CUTS)
    def go_on(self, cuts: list[int]) -> None:
        """One more frame of the message."""
        if self.parts:
            self.deliver(self.parts.pop(0), cuts)

    @rule(data=st.binary(max_size=125), kind=st.sampled_from(["ping", "ping", "pong", "answer"]), count=st.integers(1, 3), cuts=CUTS)
    def control(self, data: bytes, kind: str, count: int, cuts: list[int]) -> None:
        """Control frames, also in the midst of a message."""
        if kind == "answer":
            data = self.pings.pop(0) if self.pings else b"gun"
        opcode = Opcode.PING if kind == "ping" else Opcode.PONG
        self.deliver(server_frame(opcode, data) * count, cuts)

    @precondition(lambda self: self.keys > 1)
    @rule(code=CODES, cuts=CUTS, behind=st.binary(max_size=5))
    def close(self, code: int | None, cuts: list[int], behind: bytes) -> None:
        self.deliver(close(code, b"" if code is None else b"why") + behind, cuts)

    @precondition(lambda self: self.keys > 1)
    @rule(bad=BAD, cuts=CUTS, text=st.sampled_from([b"", b"\xff", b"ab\xc3", b"\xed\xa0\x80"]))
    def misbehave(self, bad: bytes, cuts: list[int], text: bytes) -> None:
        if text:
            self.rest()
        self.deliver(server_frame(Opcode.TEXT, text) if text else bad, cuts)

    # How both are told.

    def rest(self) -> None:
        """What is left of a message has to come before another."""
        parts, self.parts = self.parts, []
        self.deliver(b"".join(parts), [])

    def deliver(self, data: bytes, cuts: list[int]) -> None:
        """Whole frames, cut there: what is too much our core refuses at a frame's header, wsproto when it has come."""
        pieces = []
        for cut in [*cuts, len(data)]:
            pieces.append(data[:cut])
            data = data[cut:]
        if not self.over:
            self.both(lambda talk: talk.receive(*filter(None, pieces)))

    def both(self, do: Callable[[WsConversation], Steps]) -> None:
        self.differ = True  # until it is seen that they do not
        own, reference = (do(talk) for talk in self.talks)
        assert told(own) == told(reference), f"{told(own)} is not {told(reference)}"
        frames, others = (talk.newly_sent() for talk in self.talks)
        assert frames == others, f"{frames} is not {others}"
        self.pings += [frame.data for frame in frames if isinstance(frame, Ping)]
        reasons = [[type(step.reason) for step in steps if isinstance(step, StreamFailed)] for steps in (own, reference)]
        assert reasons[0] == reasons[1]
        self.differ = False

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "talks"):
            return
        own, reference = (talk.core for talk in self.talks)
        assert (own.open, own.closed, self.talks[0].paused) == (reference.open, reference.closed, self.talks[1].paused)
        assert own.deadline() == reference.deadline()
        assert own.losses() == reference.losses()

    def teardown(self) -> None:
        if hasattr(self, "talks") and not self.over and not self.differ:
            self.both(lambda talk: talk.lose())
            self.agree()


class OracleTests(SynchronousTestCase):
    """Both cores at once."""

    def test_same(self) -> None:
        """Whatever traffic there is, and however it is cut, both cores tell the same events and send the same frames."""
        run_state_machine_as_test(Oracle, settings=SETTINGS)
