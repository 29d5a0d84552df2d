"""
A core in the hands of a test: what it is told, what it asks for, and what must hold whatever happens.

`Conversation` keeps the promises of `twisted_gun.wire.core.Core` under watch at every step: one end for each stream, nothing
after it, no more data events than `flow` allows, nothing after the connection's end, and no stream left without an end then.
`outline` shows steps as plain tuples, the content that came in several pieces as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twisted_gun.errors import ConnectionFailed, GoAway, GunError, LimitReached, StreamClosed, StreamReset, TimedOut, Truncated
from twisted_gun.events import Data, Inform, Push, Response, Trailers, Upgrade, Ws
from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Request
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Leaving,
    Pause,
    PauseUpload,
    PingAnswered,
    Resume,
    ResumeUpload,
    SettingsChanged,
    Step,
    Steps,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    Write,
)

Outline = list[tuple[Any, ...]]

PROTOCOL_VIOLATION = "ProtocolViolation"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
UPGRADE = ((b"connection", b"upgrade"), (b"upgrade", b"echo"))
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"


class Key:
    """A stream as a core knows it: something that is not another."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


# Events say that they hold a `Stream`; to a core it is any key.
A: Any = Key("A")
B: Any = Key("B")
C: Any = Key("C")
D: Any = Key("D")


class Conversation:
    """A core, told things by a test; every verb returns the steps it answered with, and `steps` has them all."""

    def __init__(self, **options: Any) -> None:
        self._converse(Http1(HttpOptions(**options)), options.get("flow"))

    def _converse(self, core: Any, flow: int | None) -> None:
        """Begin, with `core`; `flow` is that of requests which say nothing of it."""
        self.core: Any = core
        self._usual_flow = float("inf") if flow is None else flow
        self.now = 0.0
        self.steps: Steps = []
        self.over = False
        self.paused = False  # whether the socket is not to be read from
        self._asked: dict[int, Any] = {}
        self._ended: set[int] = set()
        self._silent: set[int] = set()
        self._told: dict[int, str] = {}
        self._flow: dict[int, float] = {}
        self._failed: dict[int, GunError] = {}
        self._tunnels: set[int] = set()  # what carries another protocol, or is to: how much comes is for that to say
        self._connects: set[int] = set()  # those of them that were asked for by CONNECT
        self._why: GunError | None = None  # the connection ended
        self._did(self.core.start(self.now))

    # What a test does.

    def ask(
        self,
        stream: Any,
        method: bytes = b"GET",
        *,
        target: bytes = b"/",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes | None = b"",
        length: int | None = None,
        flow: int | None = None,
    ) -> Steps:
        """Send a request whose answer goes to `stream`."""
        request = Request(
            method=method,
            target=target,
            authority=b"example.org",
            headers=tuple(headers),
            body=body,
            length=length,
            flow=flow,
        )
        return self.ask_for(stream, request)

    def ask_for(self, stream: Any, request: Request) -> Steps:
        """Send this very request; the same may be sent again."""
        self._asked[id(stream)] = stream
        self._flow[id(stream)] = self._usual_flow if request.flow is None else request.flow
        return self._did(self.core.request(stream, request, self.now))

    def ask_upgrade(
        self,
        stream: Any,
        protocol: bytes = b"websocket",
        *,
        target: bytes = b"/chat",
        headers: Iterable[tuple[bytes, bytes]] = (),
        flow: int | None = None,
    ) -> Steps:
        """Ask that `stream` carry `protocol` from its response on."""
        request = Request(
            method=b"GET",
            target=target,
            authority=b"example.org",
            headers=tuple(headers),
            body=b"",
            flow=flow,
            protocol=protocol,
        )
        self._asked[id(stream)] = stream
        self._flow[id(stream)] = self._usual_flow if flow is None else flow
        self._tunnels.add(id(stream))
        return self._did(self.core.upgrade(stream, request, self.now))

    def ask_connect(
        self,
        stream: Any,
        *,
        target: bytes = b"example.org:443",
        headers: Iterable[tuple[bytes, bytes]] = (),
        flow: int | None = None,
    ) -> Steps:
        """Ask for a tunnel to `target`; `flow` is that of a refusal's content. Raises `BadState` where the core does."""
        request = Request(method=b"CONNECT", target=target, authority=target, headers=tuple(headers), body=b"", flow=flow)
        steps = self.core.connect(stream, request, self.now)
        self._asked[id(stream)] = stream
        self._flow[id(stream)] = self._usual_flow if flow is None else flow
        self._tunnels.add(id(stream))
        self._connects.add(id(stream))
        return self._did(steps)

    def receive(self, *pieces: bytes) -> Steps:
        """The peer sends these."""
        return [step for piece in pieces for step in self._did(self.core.receive_data(piece, self.now))]

    def receive_bytes(self, data: bytes) -> Steps:
        """The peer sends `data`, a byte at a time."""
        return self.receive(*(data[at : at + 1] for at in range(len(data))))

    def send(self, stream: Any, data: bytes, fin: bool = False) -> Steps:
        """A piece of the content of the request of `stream`."""
        return self._did(self.core.data(stream, data, fin, self.now))

    def cancel(self, stream: Any, *, drain: bool = False) -> Steps:
        """Want no more of `stream`."""
        self._silent.add(id(stream))
        return self._did(self.core.cancel(stream, self.now, drain))

    def update_flow(self, stream: Any, increment: int) -> Steps:
        """Allow `increment` more data events."""
        self._flow[id(stream)] += increment
        return self._did(self.core.update_flow(stream, increment, self.now))

    def hold(self, stream: Any, held: bool = True) -> Steps:
        """Hold the peer back, or no longer."""
        return self._did(self.core.hold(stream, held, self.now))

    def hold_sending(self, held: bool = True) -> Steps:
        """The transport takes no more content for now, or takes it again."""
        return self._did(self.core.hold_sending(held, self.now))

    def shutdown(self) -> Steps:
        """Finish in good order."""
        return self._did(self.core.shutdown(self.now))

    def at(self, now: float) -> Steps:
        """It is `now`; the core is told as the hop would tell it."""
        self.now = now
        deadline = self.core.deadline()
        return self._did(self.core.time_passed(now)) if deadline is not None and deadline <= now else []

    def lose(self, *, clean: bool = True, reason: GunError | None = None) -> Steps:
        """The connection is lost; flow no longer matters then."""
        self._flow = dict.fromkeys(self._flow, float("inf"))
        reason = reason or ConnectionFailed("gone")
        self._why = self._why or self.core.last_words or reason
        steps = self.core.connection_lost(reason, clean)
        return self._did(steps, lost=True)

    # What must hold.

    def _did(self, steps: Steps, *, lost: bool = False) -> Steps:
        for step in steps:
            assert not self.over, f"{step} after the end of the connection"
            self._check(step)
        self.steps += steps
        if lost or self.over:
            self.over = True
            self._check_end()
        return steps

    def _check(self, step: Step) -> None:
        if isinstance(step, Close):
            self.over = True
            self._why = step.reason
        if isinstance(step, (Pause, Resume)):
            assert self.paused is isinstance(step, Resume), f"{step} once more"
            self.paused = isinstance(step, Pause)
        stream = getattr(step, "stream", None)
        if stream is None:
            return
        key = id(stream)
        assert key in self._asked, f"{step} of a stream that never was"
        ended = key in self._ended and not (key in self._tunnels and isinstance(step, (PauseUpload, ResumeUpload)))  # our direction goes on
        assert not ended, f"{step} after the end of its stream"
        assert key not in self._silent, f"{step} of a cancelled stream"
        self._check_connect(step, key)
        self._check_order(step, key)
        if isinstance(step, (Upgrade, TunnelOpened)) and key in self._tunnels:
            self._flow[key] = float("inf")
        if isinstance(step, (Data, TunnelData)):
            self._flow[key] -= 1
            assert self._flow[key] >= 0, f"{step} beyond its flow"
        if isinstance(step, StreamFailed):
            self._failed[key] = step.reason
        if isinstance(step, (StreamFailed, TunnelClosed)) or getattr(step, "fin", False):
            self._ended.add(key)

    def _check_connect(self, step: Step, key: int) -> None:
        """What answers a CONNECT: `TunnelRefused` before the response, with its status, or `TunnelOpened` right behind one of 2xx."""
        before = self._told.get(key, "")
        if isinstance(step, TunnelRefused):
            assert key in self._connects and not before, f"{step} after {before}"
            self._told[key] = f"refusal {step.status}"
        elif before.startswith("refusal"):
            assert isinstance(step, Response) and before == f"refusal {step.status}", f"{step} after a {before}"
            self._told[key] = ""
        elif isinstance(step, TunnelOpened):
            assert before == "consent", f"{step} after {before}"
            self._told[key] = "tunnel"
        elif key in self._connects and isinstance(step, Response):
            assert not before and step.status // 100 == 2 and not step.fin, f"{step} is neither a refusal nor consent"
            self._told[key] = "consent"
        else:
            assert before != "consent", f"{step} in place of the tunnel"

    def _check_order(self, step: Step, key: int) -> None:
        before = self._told.get(key, "")
        if before == "consent":
            return
        if isinstance(step, (Inform, Response, Upgrade)):
            assert not before, f"{step} after the head of the final response"
        if isinstance(step, (Data, Trailers)):
            assert before == "response", f"{step} without a response"
        if isinstance(step, (TunnelData, TunnelClosed)):
            assert before in ("upgrade", "tunnel"), f"{step} without an upgrade, or a tunnel"
        if isinstance(step, (Response, Upgrade)):
            self._told[key] = type(step).__name__.lower()

    def _check_end(self) -> None:
        left = [stream for key, stream in self._asked.items() if key not in self._ended | self._silent]
        assert not left, f"the connection has ended, the streams {left} have not"
        losses = self.core.losses()
        killed, unprocessed = ({id(stream) for stream in streams} for streams in (losses.killed, losses.unprocessed))
        assert len(killed) == len(losses.killed) and len(unprocessed) == len(losses.unprocessed), "a stream was lost twice"
        assert not killed & unprocessed, "a stream is in both lists"
        self._check_losses(killed, unprocessed)
        assert not self._takes_more, "the connection has ended and takes more"
        assert self.core.deadline() is None, "the connection has ended and waits for something"

    @property
    def _takes_more(self) -> bool:
        taken: bool = self.core.accepting
        return taken

    def _check_losses(self, killed: set[int], unprocessed: set[int]) -> None:
        assert killed | unprocessed == set(self._failed), f"{self.core.losses()} are not the streams that failed"

    # What a test asks.

    @property
    def written(self) -> bytes:
        """All that was sent."""
        return b"".join(step.data for step in self.steps if isinstance(step, Write))

    @property
    def outline(self) -> Outline:
        """All steps so far, without what is said to the socket."""
        return told(self.steps)


def outline(steps: Iterable[Step]) -> Outline:
    """`steps` as plain tuples; adjacent data of one stream as one, for where it was cut means nothing."""
    entries: Outline = []
    for entry in map(_entry, steps):
        last = entries[-1] if entries else ("nothing",)
        if entry[0] in ("data", "tunnel") and last[:2] == entry[:2]:
            entries[-1] = (*last[:2], last[2] + entry[2], *entry[3:])
        else:
            entries.append(entry)
    return entries


def _entry(step: Step) -> tuple[Any, ...]:
    if isinstance(step, Inform):
        return "inform", step.stream, step.status, step.headers
    if isinstance(step, Response):
        return "response", step.stream, step.status, step.headers, step.fin
    if isinstance(step, Data):
        return "data", step.stream, step.data, step.fin
    if isinstance(step, Trailers):
        return "trailers", step.stream, step.headers
    if isinstance(step, Upgrade):
        return "upgrade", step.stream, step.protocols, step.headers
    if isinstance(step, TunnelData):
        return "tunnel", step.stream, step.data
    if isinstance(step, TunnelClosed):
        return "tunnel closed", step.stream
    if isinstance(step, TunnelOpened):
        return "tunnel opened", step.stream
    if isinstance(step, TunnelRefused):
        return "tunnel refused", step.stream, step.status
    return _entry_of_another_kind(step)


def _entry_of_another_kind(step: Step) -> tuple[Any, ...]:
    if isinstance(step, StreamFailed):
        return "failed", step.stream, reason_of(step.reason)
    if isinstance(step, Close):
        return "close", None if step.reason is None else reason_of(step.reason)
    if isinstance(step, Write):
        return "write", step.data
    if isinstance(step, Ws):
        return "ws", step.stream, step.frame
    if isinstance(step, Push):
        return "push", step.stream, step.pushed_stream, step.method, step.uri, step.headers
    if isinstance(step, PingAnswered):
        return "ping answered", step.ping, step.seconds
    if isinstance(step, SettingsChanged):
        return "settings changed", dict(step.settings)
    if isinstance(step, (PauseUpload, ResumeUpload)):
        return "pause upload" if isinstance(step, PauseUpload) else "resume upload", step.stream
    assert isinstance(step, (Accepting, Leaving, Pause, Resume)), step
    return (type(step).__name__.lower(),)


def reason_of(reason: GunError) -> str:
    """The kind of `reason`, and what a program would look at."""
    if isinstance(reason, LimitReached):
        return f"LimitReached({reason.name}, {reason.limit})"
    if isinstance(reason, TimedOut):
        return f"TimedOut({reason.stage}, {reason.seconds})"
    if isinstance(reason, Truncated):
        return f"Truncated({reason.received}, {reason.expected})"
    if isinstance(reason, StreamReset):
        return f"StreamReset({reason.code})"
    if isinstance(reason, GoAway):
        return f"GoAway({reason.code}, {reason.last_stream_id})"
    if isinstance(reason, StreamClosed):
        assert str(reason), "an error says what happened"
    return type(reason).__name__


def told(steps: Iterable[Step]) -> Outline:
    """The same, without what is said to the socket."""
    return outline(step for step in steps if not isinstance(step, (Write, Pause, Resume)))


def halves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`data` cut in two at every place."""
    return ((data[:at], data[at:]) for at in range(1, len(data)))


def response(*fields: tuple[bytes, bytes], status: bytes = b"200 OK", content: bytes = b"") -> bytes:
    """A response as bytes, the fields as they are given."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, lines, content)
