"""
hyper-h2 as the oracle of our own core: both get the same legal traffic, cut anywhere, and must do the same at every step.

A state machine of Hypothesis invents what an owner asks and what a server sends. What the server may send it knows from what the
cores have written; each core has a `Peer` of its own, which checks that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Push
from twisted_gun.wire.frames import LARGEST, ErrorCode, FrameType
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.reference.http2 import Http2 as Reference
from twisted_gun.wire.steps import Close, Step, Steps, StreamFailed

from .conversation import Key, told
from .http2_conversation import Http2Conversation, named
from .http2_peer import REQUEST, Peer

SETTINGS = settings(
    max_examples=200,
    stateful_step_count=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # on a machine that is busy
)

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST"])
FIELDS = st.lists(
    st.sampled_from(
        [
            (b"accept", b"*/*"),
            (b"cookie", b"a=b"),
            (b"authorization", b"Basic eA=="),
            (b"x-long", b"x" * 300),
            (b"x-new", b"1"),
            (b"x-new", b"2"),
        ]
    ),
    max_size=4,
).map(tuple)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([16_384, 16_385, 70_000]))
CUTS = st.lists(st.integers(0, 400), max_size=3)
#: A frame that came in part; the rest comes when the server has something more to say.
HELD = st.one_of(st.just(0), st.integers(0, 30))
PADDING = st.one_of(st.none(), st.integers(0, 255))

OPTIONS = st.fixed_dictionaries(
    {
        "enable_push": st.booleans(),
        "flow": st.sampled_from([None, None, 1, 3]),
        "initial_connection_window_size": st.sampled_from([65_535, 8_000_000]),
        "initial_stream_window_size": st.sampled_from([200, 20_000, 8_000_000]),
        "connection_window_margin_size": st.sampled_from([0, 65_535]),
        "stream_window_margin_size": st.sampled_from([0, 65_535]),
        "keepalive": st.sampled_from([None, 10.0]),
        "keepalive_tolerance": st.sampled_from([None, 1]),
        "max_concurrent_streams": st.sampled_from([0, 1, 100]),
        "max_decode_table_size": st.sampled_from([0, 100, 4096, 8192]),
        "max_encode_table_size": st.sampled_from([0, 100, 4096]),
        "max_frame_size_sent": st.sampled_from([None, 16_384]),
        "max_waiting": st.sampled_from([None, 10]),
        "notify_settings_changed": st.booleans(),
    }
)
PEER_SETTINGS = {
    "enable_connect_protocol": st.just(1),
    "header_table_size": st.sampled_from([0, 60, 4096, 2**32 - 1]),
    "initial_window_size": st.sampled_from([0, 100, 65_535, 300_000]),
    "max_concurrent_streams": st.sampled_from([1, 3, 100]),
    "max_frame_size": st.sampled_from([16_384, 20_000]),
    "max_header_list_size": st.just(10_000),
}
ENDS = st.sampled_from(["", "fin", "fin", "trailers"])
#: None is what only this server can know of: an answer to a ping, or settings.
FRAMES = [
    None,
    None,
    (FrameType.PING, 0, 0, b"12345678"),
    (FrameType.PRIORITY, 0, 1, b"\0\0\0\x01\x10"),
    (FrameType.PRIORITY, 0, 7, b"\0\0\0\x03\x10"),
    (10, 0, 0, b"\0\x09"),
    (0x77, 0xFF, 1, b"anything"),
]


class Answer:
    """A response as its server knows it."""

    def __init__(self, stream_id: int, method: bytes) -> None:
        self.id = stream_id
        self.method = method
        self.informed = 0
        self.begun = False
        self.over = False
        self.left: int | None = None  # bytes of content that it said are still to come

    def begin(self, status: int, length: int | None, fin: bool) -> list[tuple[bytes, bytes]]:
        """What its head says of the length of the content, which for some there is none of."""
        self.begun, self.over = True, fin
        without = self.method == b"HEAD" or status in (204, 304)
        said = length is not None and (without or not fin or not length)
        self.left = 0 if without else (length if said else None)
        return [(b"content-length", str(length).encode())] if said else []


class Oracle(RuleBasedStateMachine):
    """Two cores and what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[tuple[Any, Any]] = []  # their keys, for either core
        self.answers: list[Answer] = []
        self.pings: list[bytes] = []  # not answered yet
        self.promised = 0
        self.last = LARGEST  # what the server said when it went away
        self.rest = b""  # of what the server has said

    @initialize(options=OPTIONS, settings=st.fixed_dictionaries({}, optional=PEER_SETTINGS), scheme=st.sampled_from([b"http", b"https"]))
    def begin(self, options: dict[str, Any], settings: dict[str, int], scheme: bytes) -> None:
        self.window = options["initial_stream_window_size"]
        self.pushes = options["enable_push"]
        self.scheme = scheme
        self.takes = "enable_connect_protocol" in settings
        self.talks = [Http2Conversation(core, scheme=scheme, begun=False, **options) for core in (Http2, Reference)]
        self.same([list(talk.steps) for talk in self.talks])
        self.say(lambda peer: peer.settings(**settings) + peer.settings_ack(), [3, 11], 0)

    # What the owner does.

    @precondition(lambda self: not self.over and self.talks[0].core.accepting)
    @rule(method=METHODS, headers=FIELDS, body=st.one_of(st.just(b""), st.none(), SIZES.map(bytes)), flow=st.sampled_from([None, None, 2]))
    def ask(self, method: bytes, headers: Any, body: bytes | None, flow: int | None) -> None:
        key = Key(f"stream {len(self.streams)}")
        self.streams.append((key, key))
        self.both(lambda talk, at: talk.ask(key, method, headers=headers, body=body, flow=flow))

    @precondition(lambda self: not self.over and self.talks[0].core.accepting and (self.takes or len(self.streams) == 2))
    @rule(headers=FIELDS)
    def upgrade(self, headers: Any) -> None:
        """Ask that a stream carry another protocol: sent, refused, or waiting, as the server's settings have it."""
        key = Key(f"stream {len(self.streams)}")
        self.streams.append((key, key))
        self.both(lambda talk, at: talk.ask_upgrade(key, headers=headers))

    @precondition(lambda self: not self.over and self.talks[0].core.accepting)
    @rule(headers=FIELDS, flow=st.sampled_from([None, None, 2]))
    def connect(self, headers: Any, flow: int | None) -> None:
        """Ask for a tunnel; the server opens it, or refuses it, as it answers other requests."""
        key = Key(f"stream {len(self.streams)}")
        self.streams.append((key, key))
        self.both(lambda talk, at: talk.ask_connect(key, headers=headers, flow=flow))

    @precondition(lambda self: not self.over and self.streams)
    @rule(data=st.data(), size=SIZES, fin=st.booleans())
    def upload(self, data: st.DataObject, size: int, fin: bool) -> None:
        keys = self.drawn(data, self.streams)
        self.both(lambda talk, at: talk.send(keys[at], bytes(size), fin))

    @precondition(lambda self: not self.over and self.streams)
    @rule(data=st.data(), what=st.sampled_from(["hold", "release", "release", "flow", "flow", "flow", "cancel"]))
    def steer(self, data: st.DataObject, what: str) -> None:
        keys = self.drawn(data, self.streams)
        if what == "cancel":
            self.both(lambda talk, at: talk.cancel(keys[at]))
        elif what == "flow":
            self.both(lambda talk, at: talk.update_flow(keys[at], 2))
        else:
            self.both(lambda talk, at: talk.hold(keys[at], what == "hold"))

    @precondition(lambda self: not self.over)
    @rule(what=st.sampled_from(["ping", 0.5, 3.0, 10.0]))
    def wait(self, what: str | float) -> None:
        key = object()
        if isinstance(what, str):
            self.both(lambda talk, at: talk.ping(key))
        else:
            self.both(lambda talk, at: talk.at(talk.now + what))

    @precondition(lambda self: not self.over and len(self.answers) > 5)
    @rule()
    def shutdown(self) -> None:
        self.both(lambda talk, at: talk.shutdown())

    @precondition(lambda self: self.over)
    @rule()
    def see_that_it_is_over(self) -> None:
        """There is always a next step."""
        assert all(talk.over for talk in self.talks)

    # What the server does.

    @precondition(lambda self: any(not answer.begun for answer in self.open()))
    @rule(
        data=st.data(),
        before=st.lists(st.sampled_from([100, 102, 103, 199]), max_size=2),
        status=st.sampled_from([0, 200, 200, 200, 200, 204, 304, 404]),
        fields=FIELDS,
        length=st.one_of(st.none(), SIZES),
        fin=st.sampled_from([False, False, False, True]),
        padding=PADDING,
        piece=st.one_of(st.none(), st.integers(200, 1000)),
        cuts=CUTS,
        held=HELD,
    )
    def respond(
        self,
        data: st.DataObject,
        before: list[int],
        status: int,
        fields: Any,
        length: int | None,
        fin: bool,
        cuts: list[int],
        held: int,
        **how: Any,
    ) -> None:
        """Interim responses, and the head of the final one, where `status` is not 0."""
        self.say_rest()
        answer = self.drawn(data, [answer for answer in self.open() if not answer.begun and answer.informed < 10])
        if answer is None:
            return
        answer.informed += len(before)
        if status:
            fields = (*fields, *answer.begin(status, length, fin))
        self.say(
            lambda peer: b"".join(
                [
                    *[peer.respond(answer.id, interim, fields[:2], **how) for interim in before],
                    peer.respond(answer.id, status, fields, fin=fin, **how) if status else b"",
                ]
            ),
            cuts,
            held,
        )

    @precondition(lambda self: any(answer.begun for answer in self.open()))
    @rule(data=st.data(), sizes=st.lists(st.tuples(SIZES, PADDING), min_size=1, max_size=4), end=ENDS, cuts=CUTS, held=HELD)
    def content(self, data: st.DataObject, sizes: list[tuple[int, int | None]], end: str, cuts: list[int], held: int) -> None:
        """DATA frames, as far as windows and Content-Length allow them, and the end where that is all."""
        self.say_rest()
        answer = self.drawn(data, [answer for answer in self.open() if answer.begun])
        if answer is None:
            return
        room = min(self.room(0), self.room(answer.id))
        pieces = []
        for size, padding in sizes:
            more = 0 if padding is None else padding + 1
            if room >= more:
                size = min(size, room - more, 16_384 - more, LARGEST if answer.left is None else answer.left)
                room -= size + more
                answer.left = None if answer.left is None else answer.left - size
                pieces.append((size, padding))
        answer.over = not answer.left and (end == "trailers" or (end == "fin" and bool(pieces)))
        fins = [answer.over and end == "fin" and at == len(pieces) for at in range(1, len(pieces) + 1)]
        self.say(
            lambda peer: b"".join(
                [
                    *[peer.data(answer.id, bytes(size), fin, padding) for fin, (size, padding) in zip(fins, pieces, strict=True)],
                    peer.trailers(answer.id) if answer.over and end == "trailers" else b"",
                ]
            ),
            cuts,
            held,
        )

    @precondition(lambda self: self.pushes and any(answer.id % 2 for answer in self.open()))
    @rule(
        data=st.data(),
        method=st.sampled_from([b"GET", b"GET", b"HEAD", b"POST"]),
        padding=PADDING,
        piece=st.one_of(st.none(), st.integers(20, 50)),
        cuts=CUTS,
        held=HELD,
    )
    def promise(self, data: st.DataObject, method: bytes, cuts: list[int], held: int, **how: Any) -> None:
        self.say_rest()
        parent = self.drawn(data, [answer for answer in self.open() if answer.id % 2])
        if parent is None:
            return
        self.promised += 2
        self.answers.append(Answer(self.promised, method))
        fields = ((b":method", method), (b":scheme", self.scheme), *REQUEST[2:], (b"accept", b"*/*"))
        self.say(lambda peer: peer.promise(parent.id, self.promised, fields, **how), cuts, held)

    @precondition(lambda self: not self.over)
    @rule(data=st.data(), increment=st.one_of(st.integers(1, 1000), st.just(100_000)), cuts=CUTS, held=HELD)
    def open_window(self, data: st.DataObject, increment: int, cuts: list[int], held: int) -> None:
        self.say_rest()
        # RFC 9113 section 5.1: it may come for a stream that is closed, not for one that is reserved.
        stream_id = self.drawn(data, [0, *(answer.id for answer in self.answers if answer.id % 2)])
        self.say(lambda peer: peer.window(stream_id, increment), cuts, held)

    @precondition(lambda self: not self.over)
    @rule(values=st.fixed_dictionaries({}, optional=PEER_SETTINGS), frame=st.sampled_from(FRAMES), cuts=CUTS, held=HELD)
    def control(self, values: dict[str, int], frame: tuple[int, int, int, bytes] | None, cuts: list[int], held: int) -> None:
        """Frames that concern the connection, or nobody."""
        self.say_rest()
        if frame is not None:
            self.say(lambda peer: peer.frame(*frame), cuts, held)
        elif self.pings:
            payload = self.pings.pop(0)
            self.say(lambda peer: peer.ping(payload, ack=True), cuts, held)
        else:
            self.takes = self.takes or "enable_connect_protocol" in values
            self.say(lambda peer: peer.settings(**values), cuts, held)

    @precondition(lambda self: len(self.open()) > 2)
    @rule(data=st.data(), code=st.sampled_from([*ErrorCode, 0x99]), cuts=CUTS, held=HELD)
    def reset(self, data: st.DataObject, code: int, cuts: list[int], held: int) -> None:
        self.say_rest()
        answer = self.drawn(data, self.open())
        if answer is not None:
            answer.over = True
            self.say(lambda peer: peer.reset(answer.id, code), cuts, held)

    @precondition(lambda self: not self.over and len(self.answers) > 3)
    @rule(data=st.data(), soon=st.booleans(), code=st.sampled_from([ErrorCode.NO_ERROR, ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR]))
    def go_away(self, data: st.DataObject, soon: bool, code: ErrorCode) -> None:
        """Perhaps at first without an end to what is accepted."""
        self.say_rest()
        last = self.drawn(data, [answer.id for answer in self.answers if answer.id % 2])
        if not soon:
            self.last = min(self.last, last)
            for answer in self.answers:
                answer.over = answer.over or (answer.id % 2 == 1 and answer.id > self.last)
        self.say(lambda peer: peer.goaway(self.last, code), [5], 0)

    # How both are told.

    @property
    def over(self) -> bool:
        return self.talks[0].over

    def open(self) -> list[Answer]:
        return [] if self.over else [answer for answer in self.answers if not answer.over]

    def room(self, stream_id: int) -> int:
        room: int = self.talks[0].peer.room.get(stream_id, self.window)
        return room

    def drawn(self, data: st.DataObject, choices: list[Any]) -> Any:
        """One of `choices`, the later ones first; None where there are none."""
        return data.draw(st.sampled_from(choices[::-1])) if choices else None

    def say_rest(self) -> None:
        """What was held back has to come before all else; then the server knows what is open."""
        rest, self.rest = self.rest, b""
        self.deliver(rest)

    def say(self, make: Callable[[Peer], bytes], cuts: list[int], held: int) -> None:
        """The server sends what `make` makes, cut there, but for the last bytes."""
        if self.over:
            return
        data, again = (make(talk.peer) for talk in self.talks)
        assert data == again, "the servers do not know the same"
        whole = max(len(data) - held, 0)
        data, self.rest = data[:whole], data[whole:]
        for cut in cuts:
            self.deliver(data[:cut])
            data = data[cut:]
        self.deliver(data)

    def deliver(self, data: bytes) -> None:
        if data and not self.over:
            self.both(lambda talk, at: talk.receive(data))

    def both(self, do: Callable[[Http2Conversation, int], Steps]) -> None:
        self.same([do(talk, at) for at, talk in enumerate(self.talks)])

    def same(self, results: list[Steps]) -> None:
        """Both cores did the same, and wrote the same frames."""
        own, reference = results
        assert [type(step) for step in own] == [type(step) for step in reference], f"{own} is not {reference}"
        assert named(told(own)) == named(told(reference)), f"{told(own)} is not {told(reference)}"
        assert [reason(step) for step in own] == [reason(step) for step in reference]
        frames, others = (talk.newly_sent() for talk in self.talks)
        assert frames == others, f"{frames} is not {others}"
        pushes, theirs = ([step.pushed_stream for step in steps if isinstance(step, Push)] for steps in results)
        self.streams += zip(pushes, theirs, strict=True)
        for kind, *rest in frames:
            if kind == "HEADERS":
                self.answers.append(Answer(rest[0], dict(rest[1])[b":method"]))
                self.answers[-1].over = rest[0] > self.last
            elif kind == "RST_STREAM":
                for answer in self.answers:
                    answer.over = answer.over or answer.id == rest[0]
            elif kind == "PING":
                self.pings.append(rest[0])

    @invariant()
    def agree(self) -> None:
        own, reference = (talk.core for talk in self.talks)
        assert (own.accepting, own.renewable, own.served) == (reference.accepting, reference.renewable, reference.served)
        assert own.deadline() == reference.deadline()
        assert str(own.losses()) == str(reference.losses())
        assert self.talks[0].peer.room == self.talks[1].peer.room

    def teardown(self) -> None:
        if not self.over:
            self.both(lambda talk, at: talk.lose())
            self.agree()


def reason(step: Step) -> str:
    """What somebody is told of why."""
    return str(step.reason) if isinstance(step, (StreamFailed, Close)) else ""


class OracleTests(SynchronousTestCase):
    """Both cores at once."""

    def test_legal_traffic(self) -> None:
        """Whatever legal traffic there is, and however it is cut, both cores tell the same events and write the same frames."""
        run_state_machine_as_test(Oracle, settings=SETTINGS)
