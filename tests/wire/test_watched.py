"""
The watched cores: what they notice, in which order among their steps; and that they do all else as the cores that they inherit from.

Of the tests of those, some are run again here, with the watched ones. What comes of it in a connection is in tests/test_observed*.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Binary, Close, Ping, Pong, Response, Text, Ws
from twisted_gun.options import Http2Options, HttpOptions, WsOptions
from twisted_gun.testing.websocket_frames import RSV1
from twisted_gun.wire.core import Request
from twisted_gun.wire.cores import watched_http2_core, watched_websocket_core
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.reference import watched as reference
from twisted_gun.wire.steps import Noticed, PauseUpload, ResumeUpload, Steps, StreamFailed, Write
from twisted_gun.wire.watched import BegunWebsocket, WatchedHttp1, WatchedHttp2, WatchedWebsocket
from twisted_gun.wire.ws_session import BINARY, MOST_TOLD, TEXT

from . import (
    conversation,
    test_exchange,
    test_http2_pushes,
    test_http2_requests,
    test_http2_uploads,
    test_websocket_closing,
    test_websocket_control,
    test_websocket_deflate,
    test_websocket_frames,
    test_websocket_messages,
)
from .conversation import CHUNKED, OK, A, B, C
from .http2_conversation import Http2Case, Http2Conversation
from .ws_conversation import Opcode, WsCase, agreed, close, compression, fragments, ping, server_frame, text

SENT = ["request_start", "request_headers", "request_end"]
READ = ["ws_recv_frame_start", "ws_recv_frame_header", "ws_recv_frame_end"]
WRITTEN = ["ws_send_frame_start", "ws_send_frame_end"]

#: The methods of cores that answer with steps.
_VERBS = (
    *("start", "receive_data", "connection_lost", "update_flow", "hold", "hold_sending", "ping", "shutdown", "time_passed"),
    *("connect", "data", "cancel", "request", "upgrade"),
)


def quiet(kind: type[Any]) -> type[Any]:
    """`kind`, but it keeps to itself what it notices."""

    def without(verb: str) -> Callable[..., Steps]:
        def ask(self: Any, *arguments: Any, **named: Any) -> Steps:
            return [step for step in getattr(super(made, self), verb)(*arguments, **named) if type(step) is not Noticed]

        return ask

    made: Any = type(f"Quiet{kind.__name__}", (kind,), {verb: without(verb) for verb in _VERBS if hasattr(kind, verb)})
    if hasattr(kind, "send"):

        def send(self: Any, frames: Any, now: float) -> list[bytes]:
            pieces: list[bytes] = super(made, self).send(frames, now)
            self._steps.clear()
            return pieces

        made.send = send
    return made  # type: ignore[no-any-return]


def _again(base: type[Any], modules: tuple[Any, ...], kinds: dict[str, type[Any]]) -> None:
    """The cases of `modules` for each of `kinds` of cores."""
    for module in modules:
        for case in [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]:
            if case.__module__ == module.__name__:
                for name, kind in kinds.items():
                    made = f"{case.__name__}{name}{module.__name__.rpartition('_')[2].title()}"
                    globals()[made] = type(made, (case,), {"core": quiet(kind), "__module__": __name__, "__doc__": case.__doc__})


_FRAMES = (test_websocket_deflate, test_websocket_frames, test_websocket_messages)
_again(WsCase, (*_FRAMES, test_websocket_closing, test_websocket_control), {"Watched": WatchedWebsocket})
_again(WsCase, _FRAMES, {"WatchedReference": reference.WatchedWebsocket})
_again(Http2Case, (test_http2_pushes, test_http2_requests, test_http2_uploads), {"Watched": WatchedHttp2})
_again(Http2Case, (test_http2_uploads,), {"WatchedReference": reference.WatchedHttp2})
# Of ten thousand pings at once it answers the last of each of several turns.
del globals()["FloodTestsWatchedControl"]


class _Http1Case(SynchronousTestCase):
    """A test of HTTP/1.1 that is run again."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(conversation, "Http1", quiet(WatchedHttp1))


for _case in [value for value in vars(test_exchange).values() if isinstance(value, type) and issubclass(value, SynchronousTestCase)]:
    globals()[f"{_case.__name__}Watched"] = type(f"{_case.__name__}Watched", (_Http1Case, _case), {"__module__": __name__})


def names(steps: Steps) -> list[str]:
    """What was noticed, and the other steps by their types."""
    return [step.name if type(step) is Noticed else type(step).__name__ for step in steps]


def asked(method: bytes = b"GET", body: bytes | None = b"", **more: Any) -> Request:
    """A request."""
    return Request(**{"target": b"/", "authority": b"example.org", "headers": (), **more}, method=method, body=body)


class Http1Tests(SynchronousTestCase):
    """Requests over HTTP/1.1."""

    def setUp(self) -> None:
        self.core = WatchedHttp1(HttpOptions())
        self.core.start(0.0)

    def test_complete(self) -> None:
        """A request that is complete: before it is written, and behind that; its verb and its head."""
        for request, function in (
            (asked(), "request"),
            (asked(b"POST", b"content"), "request"),
            (asked(b"POST", b"x" * 100_000), "request"),
        ):
            steps: Any = self.core.request(A, request, 0.0)
            self.assertEqual([name for name in names(steps) if name != "Write"], SENT)
            self.assertEqual((names(steps)[0], names(steps)[1]), ("request_start", "Write"))
            head = steps[0].observation
            self.assertEqual((head.stream, head.function, head.method, head.path), (A, function, request.method, b"/"))

    def test_functions(self) -> None:
        """The verbs, as Gun calls them: a request for a tunnel, and for a websocket, is complete with its head."""
        for request, function, path in (
            (asked(b"CONNECT", target=b"a:1", authority=b"a:1"), "connect", None),
            (asked(protocol=b"websocket"), "ws_upgrade", b"/"),
        ):
            core = WatchedHttp1(HttpOptions())
            steps: Any = core.request(A, request, 0.0)
            self.assertEqual(names(steps), ["request_start", "Write", "request_headers", "request_end"])
            self.assertEqual((steps[0].observation.function, steps[0].observation.path), (function, path))

    def test_waiting(self) -> None:
        """Those that wait for an upload are noticed behind its end, with what was given of their content meanwhile."""
        self.assertEqual(names(self.core.request(A, asked(b"POST", None), 0.0)), ["request_start", "Write", "request_headers"])
        self.assertEqual(names(self.core.request(B, asked(b"POST", None), 0.0)), ["PauseUpload"])
        self.assertEqual(names(self.core.request(C, asked(), 0.0)), [])
        self.core.data(B, b"all", True, 0.0)
        self.assertEqual(names(self.core.data(A, b"some", False, 0.0)), ["Write"])
        steps: Any = self.core.data(A, b"end", True, 0.0)
        self.assertEqual(
            names(steps),
            ["Write", "request_end", *SENT[:1], "Write", SENT[1], "ResumeUpload", "Write", "request_end", *SENT[:1], "Write", *SENT[1:]],
        )
        self.assertEqual([step.observation.stream for step in steps if type(step) is Noticed], [A, B, B, B, C, C, C])
        self.assertIn(ResumeUpload(B), steps)
        self.assertNotIn(PauseUpload(C), steps)

    def test_behind_a_tunnel(self) -> None:
        """Those that wait for the answer to a request for another protocol, which is refused, are noticed when they are written."""
        self.core.request(A, asked(protocol=b"websocket"), 0.0)
        self.core.request(B, asked(), 0.0)
        self.assertEqual([name for name in names(self.core.receive_data(OK, 0.0)) if name in SENT], SENT)

    def test_end_of_a_tunnel(self) -> None:
        """The end of what a connection carries is none of a request."""
        self.core.request(A, asked(b"CONNECT", target=b"a:1"), 0.0)
        self.core.receive_data(b"HTTP/1.1 200 OK\r\n\r\n", 0.0)
        self.assertNotIn("request_end", names(self.core.data(A, b"", True, 0.0)))

    def test_responses(self) -> None:
        """Of responses nothing is noticed: they are told."""
        self.core.request(A, asked(), 0.0)
        steps = self.core.receive_data(CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 0.0)
        self.assertIsInstance(steps[0], Response)
        self.assertNotIn(Noticed, map(type, steps))
        self.assertIsInstance(self.core, Http1)


class Http2Tests(Http2Case):
    """Requests over HTTP/2, and promises."""

    kinds = (WatchedHttp2, reference.WatchedHttp2)

    def conversations(self, **options: Any) -> list[Http2Conversation]:
        """One for each core."""
        return [Http2Conversation(quiet(kind), **options) for kind in self.kinds]

    def loud(self, talk: Http2Conversation) -> Any:
        """The core of `talk`, which says what it notices from now on."""
        core: Any = talk.core
        core.__class__ = type(core).__mro__[1]
        return core

    def test_requests(self) -> None:
        """Before and behind what is sent; the end with the last of the content, whenever the windows let that out."""
        for talk in self.conversations(settings={"initial_window_size": 10}):
            core = self.loud(talk)
            self.assertEqual(names(core.request(A, asked(), 0.0)), [*SENT, "Write"])
            self.assertEqual(names(core.request(B, asked(b"POST", b"0123456789"), 0.0)), [*SENT, "Write"])
            steps: Any = core.request(C, asked(b"POST", b"0123456789x"), 0.0)
            self.assertEqual(names(steps), [*SENT[:2], "PauseUpload", "Write"])
            head = steps[0].observation
            self.assertEqual(
                (head.stream, head.function, head.method, head.path, head.authority), (C, "request", b"POST", b"/", b"example.org")
            )
            opened = core.receive_data(talk.peer.window(5, 100), 0.0)
            self.assertEqual(names(opened), ["request_end", "Write"])

    def test_streamed(self) -> None:
        """Content that follows."""
        for talk in self.conversations():
            core = self.loud(talk)
            steps: Any = core.request(A, asked(b"POST", None), 0.0)
            self.assertEqual((names(steps), steps[0].observation.function), ([*SENT[:2], "Write"], "headers"))
            self.assertEqual(names(core.data(A, b"some", False, 0.0)), ["Write"])
            self.assertEqual(names(core.data(A, b"", True, 0.0)), ["request_end", "Write"])

    def test_tunnels(self) -> None:
        """What asks that its stream carry something else is complete with its head; the end of that is none of the request."""
        for talk in self.conversations(settings={"enable_connect_protocol": 1}):
            core = self.loud(talk)
            steps: Any = core.connect(A, asked(b"CONNECT", target=b"a:1", authority=b"a:1"), 0.0)
            self.assertEqual((names(steps), steps[0].observation.function), ([*SENT, "Write"], "connect"))
            self.assertIsNone(steps[0].observation.path)
            steps = core.upgrade(B, asked(protocol=b"websocket"), 0.0)
            self.assertEqual((names(steps), steps[0].observation.function), ([*SENT, "Write"], "ws_upgrade"))
            self.assertEqual((steps[0].observation.method, steps[0].observation.path), (b"CONNECT", b"/"))
            core.receive_data(talk.peer.headers(1, ((b":status", b"200"),)), 0.0)
            self.assertEqual(names(core.data(A, b"bytes", True, 0.0)), ["Write"])

    def test_refused(self) -> None:
        """A request that is not sent is not noticed."""
        for talk in self.conversations(settings={"max_concurrent_streams": 1}):
            core = self.loud(talk)
            core.request(A, asked(), 0.0)
            self.assertEqual(names(core.request(B, asked(), 0.0)), ["StreamFailed"])

    def test_promises(self) -> None:
        """A promise that is taken is told, one that is refused noticed, as far as it can be read; one to nobody is not."""
        for talk in self.conversations(enable_push=True, max_concurrent_streams=1):
            core = self.loud(talk)
            core.request(A, asked(), 0.0)
            core.request(B, asked(), 0.0)
            self.assertEqual(names(core.receive_data(talk.peer.promise(1, 2), 0.0)), ["Push"])
            steps: Any = core.receive_data(talk.peer.promise(1, 4), 0.0)
            self.assertEqual(names(steps), ["push_promise_start", "push_promise_end", "Write"])
            told = steps[1].observation
            self.assertEqual((told.stream, told.promised_stream, told.method), (A, None, b"GET"))
            self.assertEqual(told.uri, b"https://example.org/style.css")
            core.cancel(A, 0.0)
            self.assertEqual(names(core.receive_data(talk.peer.promise(1, 6), 0.0)), ["Write"])

    def test_malformed_promise(self) -> None:
        """Of a promise that is malformed its fields are shown."""
        for talk in self.conversations(enable_push=True):
            core = self.loud(talk)
            core.request(A, asked(), 0.0)
            fields = ((b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/"))
            steps: Any = core.receive_data(talk.peer.promise(1, 2, fields), 0.0)
            self.assertEqual(names(steps), ["push_promise_start", "push_promise_end", "Write"])
            told = steps[1].observation
            self.assertEqual((told.method, told.uri, told.headers), (b"", b"", fields))


class CoresTests(SynchronousTestCase):
    """Which of them it is."""

    def test_cores(self) -> None:
        """By the option `core`, as of the others."""
        for core, kind in (("own", WatchedHttp2), ("h2", reference.WatchedHttp2)):
            self.assertIs(type(watched_http2_core(Http2Options(core=core), b"http", lambda parent, method: None)), kind)
        agreement = Agreement(protocol=None, deflate=None)
        for core, frames, wanted in (
            ("own", False, BegunWebsocket),
            ("own", True, WatchedWebsocket),
            ("wsproto", False, reference.BegunWebsocket),
            ("wsproto", True, reference.WatchedWebsocket),
        ):
            self.assertIs(type(watched_websocket_core(A, WsOptions(core=core), agreement, True, frames)), wanted)

    def test_begun(self) -> None:
        """Where nobody wants to see frames, only that it has begun is noticed, and frames take their short ways."""
        for kind in (BegunWebsocket, reference.BegunWebsocket):
            core: Any = kind(A, WsOptions(), Agreement(protocol=None, deflate=None), True)
            self.assertEqual(core.start(0.0), [Noticed("protocol_changed", A)])
            self.assertEqual(names(core.receive_data(text("hello") + ping(), 0.0)), ["Ws", "Write"])
            self.assertFalse(hasattr(core, "told_send"))
        own: Any = BegunWebsocket(A, WsOptions(), Agreement(protocol=None, deflate=None), True)
        self.assertIsNotNone(own.small("hello"))


class FramesTests(SynchronousTestCase):
    """Frames of a websocket."""

    kinds = (WatchedWebsocket, reference.WatchedWebsocket)

    def cores(self, deflate: Any = None, **options: Any) -> list[Any]:
        """One of each kind, begun."""
        made = [kind(A, WsOptions(**options), Agreement(protocol=None, deflate=deflate), True) for kind in self.kinds]
        for core in made:
            self.assertEqual(core.start(0.0), [Noticed("protocol_changed", A)])
        return made

    def noticed(self, steps: Steps, name: str) -> list[Any]:
        """What was noticed by `name`."""
        return [step.observation for step in steps if type(step) is Noticed and step.name == name]

    def test_received(self) -> None:
        """A frame is noticed before the message that it is."""
        for core in self.cores():
            steps = core.receive_data(text("hello") + server_frame(Opcode.BINARY, b"x" * 300), 0.0)
            self.assertEqual(names(steps), [*READ, "Ws", *READ, "Ws"])
            first, second = self.noticed(steps, "ws_recv_frame_header")
            self.assertEqual((first.type, first.len, first.rsv, first.frag_state), ("text", 5, 0, None))
            self.assertEqual((second.type, second.len), ("binary", 300))
            self.assertEqual([read.payload for read in self.noticed(steps, "ws_recv_frame_end")], [b"hello", b"x" * 300])

    def test_cut(self) -> None:
        """Wherever a frame is cut, each of its steps is noticed once, in order: our own core notices its first byte."""
        data = server_frame(Opcode.BINARY, b"x" * 200) + ping(b"p") + close(1000, b"bye")
        wanted = [*READ, "Ws", *READ, *WRITTEN, *READ, "Ws", *WRITTEN]
        for at in range(1, len(data)):
            for core in self.cores():
                steps = [*core.receive_data(data[:at], 0.0), *core.receive_data(data[at:], 0.0)]
                self.assertEqual([name for name in names(steps) if name != "Write"], wanted, at)
        own = self.cores()[0]
        self.assertEqual(names(own.receive_data(data[:1], 0.0)), READ[:1])
        self.assertEqual(names(own.receive_data(data[1:2], 0.0)), [])
        self.assertEqual(names(own.receive_data(data[2:4], 0.0)), READ[1:2])
        self.assertEqual(names(own.receive_data(data[4:50], 0.0)), [])

    def test_fragments(self) -> None:
        """The state of a message in parts, as the parts begin and as their heads are read, with a control frame between them."""
        more, last = ("nofin", "binary", 0), ("fin", "binary", 0)
        for core in self.cores():
            steps = core.receive_data(fragments(Opcode.BINARY, b"a", b"", b"c", between=ping()) + text("next"), 0.0)
            begun, heads = self.noticed(steps, "ws_recv_frame_start"), self.noticed(steps, "ws_recv_frame_header")
            self.assertEqual([each.frag_state for each in begun], [None, more, more, more, more, None])
            self.assertEqual([each.frag_state for each in heads], [more, more, more, more, last, None])
            self.assertEqual([each.type for each in heads], ["binary", "ping", "fragment", "ping", "fragment", "text"])
            self.assertEqual([each.payload for each in self.noticed(steps, "ws_recv_frame_end")], [b"a", b"", b"", b"", b"c", b"next"])

    def test_compressed(self) -> None:
        """A compressed message, in one frame and in two: what it was, and what it took."""
        deflate = agreed()
        payload = b"the same again " * 100
        data = compression(deflate).compress(payload)
        for core in self.cores(deflate):
            steps = core.receive_data(server_frame(Opcode.TEXT, data, rsv=RSV1), 0.0)
            (head,) = self.noticed(steps, "ws_recv_frame_header")
            self.assertEqual((head.rsv, head.len, head.extensions), (4, len(data), ("permessage-deflate",)))
            self.assertEqual(self.noticed(steps, "ws_recv_frame_end")[0].payload, payload)
        for core in self.cores(deflate):
            steps = core.receive_data(fragments(Opcode.TEXT, data[:10], data[10:], rsv=RSV1), 0.0)
            first, second = self.noticed(steps, "ws_recv_frame_end")
            self.assertEqual((first.payload + second.payload, bool(first.payload)), (payload, True))
            self.assertEqual(self.noticed(steps, "ws_recv_frame_header")[1].frag_state, ("fin", "text", 4))

    def test_not_compressed(self) -> None:
        """A message that is not, though it might be, and control frames between compressed ones."""
        for core in self.cores(agreed()):
            steps = core.receive_data(text("plain") + ping(b"p"), 0.0)
            self.assertEqual([each.payload for each in self.noticed(steps, "ws_recv_frame_end")], [b"plain", b"p"])

    def test_not_deflate(self) -> None:
        """What cannot be inflated has no end; the Close that says so is noticed before the failure is told."""
        for core in self.cores(agreed()):
            steps = core.receive_data(server_frame(Opcode.TEXT, b"\xff" * 20, rsv=RSV1), 0.0)
            self.assertEqual([name for name in names(steps) if not name.startswith("ws_recv")], [*WRITTEN, "StreamFailed", "Write"])
            self.assertEqual(self.noticed(steps, "ws_recv_frame_end"), [])
        # The first block is without compression, and says its size in what RFC 7692 section 7.2.2 puts behind the message.
        for core in self.cores(agreed()):
            steps = core.receive_data(server_frame(Opcode.TEXT, b"\0\1", rsv=RSV1), 0.0)
            self.assertEqual((names(steps)[-2], self.noticed(steps, "ws_recv_frame_end")), ("StreamFailed", []))

    def test_violation(self) -> None:
        """So is it with a frame that may not be; there is no second Close where one was sent."""
        for core in self.cores():
            steps = core.receive_data(server_frame(Opcode.CLOSE, b"\x03"), 0.0)
            self.assertEqual(self.noticed(steps, "ws_send_frame_end")[0].frame, Close(1002))
            self.assertIsInstance(steps[-2], StreamFailed)
        for core in self.cores():
            core.told_send([(Opcode.CLOSE, b"")], 0.0)
            steps = core.receive_data(server_frame(3), 0.0)
            self.assertEqual((names(steps)[-1], self.noticed(steps, "ws_send_frame_start")), ("StreamFailed", []))

    def test_reserved_bits(self) -> None:
        """A reserved bit that no extension uses."""
        for core in self.cores():
            steps = core.receive_data(server_frame(Opcode.TEXT, b"x", rsv=RSV1), 0.0)
            self.assertIsInstance(steps[-2], StreamFailed)

    def test_closes(self) -> None:
        """A Close, with a code or without, and its answer, behind what is told."""
        for code, reason, answer in ((1001, b"bye", Close(1001)), (None, b"", Close())):
            for core in self.cores():
                steps: Any = core.receive_data(close(code, reason), 0.0)
                self.assertEqual(names(steps), [*READ, "Ws", *WRITTEN, "Write"])
                (read,) = self.noticed(steps, "ws_recv_frame_end")
                self.assertEqual((read.close_code, read.payload), (code, reason))
                self.assertEqual(self.noticed(steps, "ws_send_frame_end")[0].frame, answer)

    def test_sent(self) -> None:
        """What is sent, before it is written; nothing takes a short way, nor is anything noticed twice."""
        frames = [(TEXT, b"text"), (BINARY, b"x" * 200), (Opcode.PING, b"p"), (Opcode.PONG, b"q"), (Opcode.CLOSE, b"\x03\xe8bye")]
        for core in self.cores():
            self.assertIsNone(core.small("text"))
            steps = core.told_send(frames, 0.0)
            self.assertEqual(names(steps)[:10], WRITTEN * 5)
            self.assertEqual({*map(type, steps[10:])}, {Write})
            self.assertEqual(
                [each.frame for each in self.noticed(steps, "ws_send_frame_start")],
                [Text("text"), Binary(b"x" * 200), Ping(b"p"), Pong(b"q"), Close(1000, "bye")],
            )
            self.assertEqual(core.shutdown(0.0), [])

    def test_pings(self) -> None:
        """Pings of keepalive, and those that are asked for."""
        for core in self.cores(keepalive=1.0):
            self.assertEqual(names(core.time_passed(1.0)), [*WRITTEN, "Write"])
            self.assertEqual(names(core.ping(B, 1.0)), [*WRITTEN, "Write"])

    def test_bounded(self) -> None:
        """What one read brings is noticed in several turns, where it is very much, though nobody is told of any of it."""
        for core in self.cores():
            steps = core.receive_data(ping() * 12_000, 0.0)
            first = len(self.noticed(steps, "ws_recv_frame_end"))
            self.assertLessEqual(first, MOST_TOLD // 1024)
            self.assertEqual(core.deadline(), 0.0)
            while core.deadline() == 0.0:
                first += len(self.noticed(core.time_passed(0.0), "ws_recv_frame_end"))
            self.assertEqual(first, 12_000)

    def test_told(self) -> None:
        """The rest is as it was: what is told, and told to whom."""
        for core in self.cores():
            (step,) = [step for step in core.receive_data(text("x"), 0.0) if type(step) is Ws]
            self.assertEqual((step.stream, step.frame), (A, Text("x")))

    def test_extension(self) -> None:
        """The extension by which wsproto shows its frames is offered to nobody."""
        core: Any = self.cores()[1]
        (watch,) = core._wsproto._proto.extensions
        self.assertEqual((watch.offer(), watch.enabled(), watch.name), (False, True, "watch"))
