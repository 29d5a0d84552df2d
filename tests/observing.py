"""What tests of event handlers share: one that records, in short, and what must be true of any record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.stage import LifeCase, answer
from twisted_gun.observations import CALLBACKS
from twisted_gun.observers import EventHandler
from twisted_gun.testing import Http2Peer, MemoryGun, world

__all__ = ["ANSWERED", "BEGUN", "SENT", "ObservedCase", "Recorder", "RequestCase", "check"]


class Recorder(EventHandler):
    """Keeps all that it is told in `told`, as pairs of a name and what came with it; `react` is called with each."""

    def __init__(self, react: Callable[[str, Any], object] | None = None) -> None:
        self.told: list[tuple[str, Any]] = []
        self.react = react

    def of(self, name: str) -> list[Any]:
        """What came with each call of `name`."""
        return [event for each, event in self.told if each == name]

    def one(self, name: str) -> Any:
        """What came with the one call of `name`."""
        (event,) = self.of(name)
        return event

    def names(self, stream: Any = None) -> list[str]:
        """The calls in their order; those about `stream`, where that is given."""
        return [name for name, event in self.told if stream is None or getattr(event, "stream", None) is stream]

    def take(self) -> list[str]:
        """The calls so far, which are then forgotten."""
        names, self.told = self.names(), []
        return names


def _recording(name: str) -> Callable[[Recorder, Any], None]:
    def told(self: Recorder, event: Any) -> None:
        self.told.append((name, event))
        if self.react is not None:
            self.react(name, event)

    return told


for _name in CALLBACKS:
    setattr(Recorder, _name, _recording(_name))


class ObservedCase(LifeCase):
    """Connections with an event handler."""

    #: The event handler of every connection that is opened.
    recorder: Recorder

    def setUp(self) -> None:
        self.recorder = Recorder()

        def opened(*arguments: Any, **options: Any) -> Any:
            return dial(*arguments, **{"event_handler": self.recorder, **options})

        dial = gun.open
        self.patch(world, "dial", opened)
        self.patch(gun, "open", opened)

    def assert_in_order(self, recorder: Recorder, why: object = None) -> None:
        """What must be true of every record, and its end."""
        check(self, recorder.told, why)
        names = recorder.names()
        self.assertEqual((names[0], names[-1]), ("init", "terminate"), why)
        self.assertEqual((names.count("init"), names.count("terminate")), (1, 1), why)


#: A request, the beginning of one, and a response, as they are told of.
SENT = ["request_start", "request_headers", "request_end"]
BEGUN = ["request_start", "request_headers"]
ANSWERED = ["response_start", "response_headers", "response_end"]


class RequestCase(ObservedCase):
    """A connection that is up, of whose beginning the record is empty; `http2` says over what, and `core` by which core."""

    http2 = False
    core = "own"

    def up(self, **options: Any) -> MemoryGun:
        """The connection."""
        if self.http2:
            opts = {"core": self.core, **options.pop("http2_opts", {})}
            settings = options.pop("settings", {})
            options = {"protocols": ["http2"], "http2_opts": opts, "peer": lambda: Http2Peer(settings=settings), **options}
        world = MemoryGun(**options)
        world.pump()
        self.assertEqual(self.recorder.take(), ["init", "connect_start", "connect_end"])
        return world

    def answer(self, world: MemoryGun, at: int, body: bytes = b"ok", fin: bool = True) -> None:
        """Answer the request `at` in the list of those that came."""
        if self.http2:
            world.peer.respond(world.peer.requests[at], 200, {}, body, fin=fin)
        else:
            world.peer.send(answer(body))
        world.pump()

    def end(self, world: MemoryGun) -> None:
        """Close it."""
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def over(self, world: MemoryGun) -> None:
        """Close it, and that is all there is to tell."""
        self.end(world)
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])


#: What opens, and what closes it.
_PAIRS = {
    "domain_lookup_start": "domain_lookup_end",
    "connect_start": "connect_end",
    "tls_handshake_start": "tls_handshake_end",
    "push_promise_start": "push_promise_end",
    "ws_recv_frame_start": "ws_recv_frame_end",
    "ws_send_frame_start": "ws_send_frame_end",
}
_ENDS = {end: start for start, end in _PAIRS.items()}


def check(case: SynchronousTestCase, told: Iterable[tuple[str, Any]], why: object = None) -> None:
    """What is opened is closed, each stream ends once, and nothing is told of it behind that."""
    watch = _Watch(case)
    for name, event in told:
        watch.see(name, event, f"{name}({event!r:.200}); {why}")
    # A frame that was cut off ends with its websocket, of whose end in good order nothing is told.
    case.assertEqual({key for key in watch.open if key[0] != "ws_recv_frame_start"}, set(), why)
    case.assertEqual(watch.without_end(), [], why)


class _Watch:
    """What has been told so far, and what may be told next."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.open: set[Any] = set()  # names of what was opened, and of what it is about
        self.streams: dict[Any, _StreamRecord] = {}
        self.connected = 0

    def without_end(self) -> list[Any]:
        """Streams that were begun, and have no end."""
        return [stream for stream, record in self.streams.items() if not record.over]

    def see(self, name: str, event: Any, where: str) -> None:
        """`name` is told."""
        stream = getattr(event, "stream", None)
        self.see_pair(name, (stream, getattr(event, "socket", None) if "tls" in name else None), where)
        if name == "connect_end":
            self.connected += event.error is None
            self.case.assertIs(event.error is None, event.socket is not None, where)
        elif name == "disconnect":
            self.see_down(event, where)
        elif name == "request_start":
            self.case.assertNotIn(stream, self.streams, where)
            self.streams[stream] = _StreamRecord()
        elif name == "push_promise_end" and event.promised_stream is not None:
            self.streams[event.promised_stream] = _StreamRecord()
        if stream is not None and stream in self.streams:
            self.streams[stream].see(name, self.case, where)
        elif stream is not None:
            self.case.assertEqual(name, "ws_upgrade", where)
        if name == "cancel":
            self.forget({stream})

    def see_pair(self, name: str, about: Any, where: str) -> None:
        """What is opened once, and then closed once."""
        if name in _PAIRS:
            self.case.assertNotIn((name, about), self.open, where)
            self.open.add((name, about))
        elif name in _ENDS:
            self.case.assertIn((_ENDS[name], about), self.open, where)
            self.open.discard((_ENDS[name], about))

    def see_down(self, event: Any, where: str) -> None:
        """The connection is down, and nothing on it goes on."""
        self.connected -= 1
        self.case.assertGreaterEqual(self.connected, 0, where)
        for stream in event.streams:
            self.streams[stream].see("disconnect", self.case, where)
        self.case.assertEqual(self.without_end(), [], where)
        self.forget(set(event.streams))

    def forget(self, streams: set[Any]) -> None:
        """They are gone: what was opened of them, but for handshakes, is not closed any more."""
        self.open = {key for key in self.open if key[1][0] not in streams or "tls" in key[0]}


class _StreamRecord:
    """What was told of a stream: its steps, in the order in which they may come."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.over = False  # the request
        self.gone = False  # and what the stream carried

    def see(self, name: str, case: SynchronousTestCase, where: str) -> None:
        """`name` is told; it must be its time."""
        case.assertFalse(self.gone, where)
        once = name in ("request_start", "request_headers", "request_end", "response_start", "response_headers", "response_trailers")
        case.assertFalse(once and name in self.seen, where)
        before = {
            "request_headers": "request_start",
            "request_end": "request_headers",
            "response_inform": "response_start",
            "response_headers": "response_start",
            "response_trailers": "response_headers",
            "response_end": "response_headers",
        }.get(name)
        if before is not None:
            case.assertIn(before, self.seen, where)
        self.seen.add(name)
        if name.startswith(("request_", "response_", "push_")):
            case.assertFalse(self.over, where)
        if name == "response_end" or (name == "protocol_changed" and not self.over):
            self.over = True
        elif name in ("cancel", "disconnect"):
            if self.over:  # it had become something else
                case.assertTrue({"protocol_changed", "origin_changed"} & self.seen or "response_end" in self.seen, where)
            self.over = self.gone = True
