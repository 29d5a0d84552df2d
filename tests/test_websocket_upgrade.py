"""Asking for a websocket and being granted it: when it is asked, what goes out, who is told, and what may be done meanwhile and after."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver

#: Every verb that asks for something, as (name, arguments).
VERBS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("get", ("/",)),
    ("head", ("/",)),
    ("options", ("*",)),
    ("delete", ("/",)),
    ("post", ("/", (), b"x")),
    ("put", ("/", (), b"x")),
    ("patch", ("/", (), b"x")),
    ("request", ("GET", "/", (), b"")),
    ("headers", ("POST", "/")),
    ("ws_upgrade", ("/",)),
)


class GrantedTests(WebsocketCase):
    """The server says yes."""

    def test_upgrade(self) -> None:
        """`Upgrade` is told with its protocol and the fields of the response; then frames go both ways."""
        world = self.up(end={"headers": {"x-server": "a"}})
        stream = world.connection.ws_upgrade("/chat?room=1")
        upgrade = stream.await_upgrade()
        world.pump()
        told = self.successResultOf(upgrade)
        self.assertEqual((told.stream, told.protocols, told.fin), (stream, (b"websocket",), False))
        self.assertEqual(dict(told.headers)[b"x-server"], b"a")
        self.assertEqual(b"sec-websocket-accept" in dict(told.headers), not self.http2)
        end = world.peer.end
        self.assertEqual((end.handshake.path, end.handshake.authority), (b"/chat?room=1", b"example.org"))
        stream.ws_send("to")
        end.send("fro")
        world.pump()
        self.assertEqual(end.frames, [gun.Text("to")])
        self.assertEqual(self.next_frame(stream), gun.Text("fro"))
        self.end(world)

    def test_queued(self) -> None:
        """Asked for before the connection is up, it is sent when it is."""
        world = self.world()
        stream = world.connection.ws_upgrade("/")
        upgrade = stream.await_upgrade()
        info = stream.info()
        assert info is not None
        self.assertEqual((info.state, info.method, info.reply_to), ("waiting", b"GET", None))
        world.pump()
        self.successResultOf(upgrade)
        info = stream.info()
        assert info is not None
        self.assertEqual(info.state, "running")
        self.end(world)

    def test_interim_responses(self) -> None:
        """Interim responses before it are told, and passed over by await_upgrade."""
        for told in (RecordingReceiver(), None):
            world = self.up(end={"accept": False})
            stream = world.connection.ws_upgrade("/", reply_to=told)
            upgrade: Any = None if told else stream.await_upgrade()
            world.pump()
            self.inform(world)
            world.peer.end.accept()
            world.pump()
            if told is None:
                self.successResultOf(upgrade)
            else:
                self.assertEqual(told.names(), ["gun_inform", "gun_upgrade"])
            self.end(world)

    def inform(self, world: MemoryGun) -> None:
        """The peer sends an interim response."""
        if self.http2:
            world.peer.inform(world.peer.requests[-1])
        else:
            world.peer.send_raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        world.pump()

    def test_glued_frames(self) -> None:
        """Frames in one segment with the response, however many and wherever it is cut, are told after it, in order, once."""
        sizes = (1, 2, 7, 1 << 16)
        for size in sizes:
            told = RecordingReceiver()
            world = self.up(end={"accept": False}, reply_to=told)
            world.connection.ws_upgrade("/")
            world.pump()
            world.endpoint.links[-1].chunk_size = size
            end = world.peer.end
            end.accept()
            for frame in ("one", b"two", "three"):
                end.send(frame)
            world.pump()
            self.assertEqual(told.names(), ["gun_upgrade", "gun_ws", "gun_ws", "gun_ws"], size)
            self.assertEqual(frames(told), [gun.Text("one"), gun.Binary(b"two"), gun.Text("three")])
            self.end(world)

    def test_glued_close(self) -> None:
        """So is a Close, after which the end comes."""
        world = self.up(end={"accept": False}, retry=0)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.accept()
        world.peer.end.close(1001, "full")
        world.pump()
        self.successResultOf(stream.await_upgrade())
        self.assertEqual(self.next_frame(stream), gun.Close(1001, "full"))
        self.assertTrue(stream.ended)
        self.end(world)

    def test_sent_from_within(self) -> None:
        """What is sent from within `gun_upgrade`, and when await_upgrade fires, goes out."""
        world = self.up(retry=0)

        def react(event: Any) -> None:
            if isinstance(event, gun.Upgrade):
                event.stream.ws_send("first")

        world.connection.ws_upgrade("/", reply_to=react)
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("first")])
        self.end(world)
        world = self.up(retry=0)
        stream = world.connection.ws_upgrade("/")
        stream.await_upgrade().addCallback(lambda _: stream.ws_send("first"))
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("first")])
        self.end(world)

    def test_info(self) -> None:
        """Over HTTP/1.1 the connection speaks "ws" from then on; over HTTP/2 it still speaks that."""
        world, _ = self.upgraded()
        protocol = "http2" if self.http2 else "ws"
        self.assertEqual(world.connection.info().protocol, protocol)
        self.assertEqual(self.successResultOf(world.connection.await_up()), protocol)
        self.end(world)

    def test_trace(self) -> None:
        """Tracing harms nothing."""
        world, stream = self.upgraded(end={"echo": True}, trace=True, retry=0)
        stream.ws_send("hello")
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Text("hello"))
        stream.ws_send(gun.Close(1000))
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Close(1000))
        self.end(world)


class AwaitTests(WebsocketCase):
    """Awaiting what an upgrade brings."""

    cores = ("own",)

    def test_timeout(self) -> None:
        """await_upgrade fails by TimedOut("upgrade") after its own time, and may be called again."""
        world = self.up(end={"accept": False})
        stream = world.connection.ws_upgrade("/")
        world.pump()
        upgrade = stream.await_upgrade()
        world.advance(4.9)
        self.assertNoResult(upgrade)
        world.advance(0.1)
        self.assertEqual(self.failureResultOf(upgrade, gun.TimedOut).value.stage, "upgrade")
        again = stream.await_upgrade(timeout=None)
        world.advance(1000)
        world.peer.end.accept()
        world.pump()
        self.successResultOf(again)
        self.end(world)

    def test_too_late(self) -> None:
        """Once a frame is next no upgrade comes any more, no response and no content: that fails, and takes nothing."""
        world, stream = self.upgraded()
        world.peer.end.send("hello")
        world.pump()
        self.failureResultOf(stream.await_upgrade(), gun.BadState)
        self.failureResultOf(stream.await_response(), gun.BadState)
        self.failureResultOf(stream.await_body(), gun.BadState)
        self.assertEqual(self.next_frame(stream), gun.Text("hello"))
        body = stream.await_body()
        world.peer.end.send("more")
        world.pump()
        self.failureResultOf(body, gun.BadState)
        self.assertEqual(self.next_frame(stream), gun.Text("more"))
        self.end(world)

    def test_iteration(self) -> None:
        """Iterating gives the upgrade, each frame, and ends after the Close."""
        world, stream = self.upgraded(retry=0)
        told: list[Any] = []

        async def read() -> str:
            async for event in stream:
                assert isinstance(event, gun.Ws)
                told.append(event.frame)
            return "end"

        ended = Deferred.fromCoroutine(read())
        world.peer.end.send("one")
        world.pump()
        world.peer.end.send(b"two")
        world.peer.end.close(1000)
        world.pump()
        self.assertEqual(told, [gun.Text("one"), gun.Binary(b"two"), gun.Close(1000)])
        self.assertEqual(self.successResultOf(ended), "end")
        self.failureResultOf(stream.await_event(), gun.BadState)
        self.end(world)

    def test_iteration_that_fails(self) -> None:
        """Where the websocket ends without Close, iterating raises why."""
        world, stream = self.upgraded(retry=0)
        told: list[Any] = []

        async def read() -> None:
            async for event in stream:
                assert isinstance(event, gun.Ws)
                told.append(event.frame)

        ended = Deferred.fromCoroutine(read())
        world.peer.end.send("one")
        world.peer.end.drop()
        world.pump()
        self.assertEqual(told, [gun.Text("one")])
        self.failureResultOf(ended, gun.StreamClosed)
        self.end(world)

    def test_reply_to(self) -> None:
        """With a reply_to, wherever it is given, nothing can be awaited; the nearest one is told."""
        far, options, near, nearest = (RecordingReceiver() for _ in range(4))
        ways: tuple[tuple[RecordingReceiver, dict[str, Any], dict[str, Any]], ...] = (
            (far, {}, {}),
            (options, {"reply_to": options}, {}),
            (near, {"reply_to": options}, {"ws_opts": {"reply_to": near}}),
            (nearest, {"reply_to": options}, {"ws_opts": {"reply_to": near}, "reply_to": nearest}),
        )
        for receiver, given, asked in ways:
            world = self.up(ws_opts=given, reply_to=far)
            stream = world.connection.ws_upgrade("/", **asked)
            world.pump()
            self.assertEqual(receiver.names(), ["gun_upgrade"])
            self.assertRaises(gun.BadState, stream.await_upgrade)
            self.end(world)

    def test_reply_to_callable(self) -> None:
        """It may be any callable; and no type, nor what is neither."""
        told: list[Any] = []
        world = self.up(ws_opts={"reply_to": told.append}, retry=0)
        world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.send("hello")
        world.pump()
        self.assertEqual([event.told_as for event in told], ["gun_upgrade", "gun_ws"])
        for wrong in (7, gun.Receiver):
            self.assertRaises(gun.OptionError, self.up().connection.ws_upgrade, "/", ws_opts={"reply_to": wrong})
        self.end(world)


class AskedTests(WebsocketCase):
    """What goes out."""

    cores = ("own",)

    def handshake(self, *arguments: Any, opened: Any = None, **options: Any) -> Any:
        """What the peer is asked, where the connection was opened with the ws_opts `opened`."""
        world = self.up(ws_opts=opened)
        world.connection.ws_upgrade(*arguments, **options)
        world.pump()
        handshake = world.peer.end.handshake
        self.end(world)
        return handshake

    def test_fields(self) -> None:
        """By default those of RFC 6455 and RFC 8441 and no others; the peer checks the rest."""
        handshake = self.handshake("/")
        names = [name for name, _ in handshake.headers if not name.startswith(b":")]
        ours = ["sec-websocket-version"] if self.http2 else "host connection upgrade sec-websocket-version sec-websocket-key".split()
        self.assertEqual(sorted(names), sorted(name.encode() for name in ours))

    def test_keys_differ(self) -> None:
        """Each has a key of 16 bytes of its own; over HTTP/2 there is none (RFC 8441 section 5)."""
        keys = [dict(self.handshake("/").headers).get(b"sec-websocket-key") for _ in range(3)]
        if self.http2:
            self.assertEqual(keys, [None] * 3)
        else:
            self.assertEqual(len(set(keys)), 3)
            self.assertEqual({len(b64decode(key)) for key in keys if key is not None}, {16})

    def test_own_headers(self) -> None:
        """Headers of the caller go along, in order and as often as given, whatever the form they are given in."""
        given = [("Authorization", "Bearer t"), (b"x-a", b"1"), ("x-a", "2"), ("origin", "http://example.org")]
        sent = [field for field in self.handshake("/", given).headers if field[0] in (b"authorization", b"x-a", b"origin")]
        self.assertEqual(sent, [(b"authorization", b"Bearer t"), (b"x-a", b"1"), (b"x-a", b"2"), (b"origin", b"http://example.org")])
        self.assertIn((b"cookie", b"a=b"), self.handshake("/", {"Cookie": "a=b"}).headers)

    def test_host(self) -> None:
        """A host of the caller takes the place of ours."""
        self.assertEqual(self.handshake("/", {"host": "other.example:81"}).authority, b"other.example:81")

    def test_forbidden_headers(self) -> None:
        """What the handshake says itself, and what would announce content, is refused at the call; nothing is sent."""
        world = self.up()
        names = "connection upgrade sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-extensions".split()
        for name in (*names, "Content-Length", "transfer-encoding", "Sec-WebSocket-Key"):
            with self.assertRaisesRegex(gun.InvalidRequest, name.lower()):
                world.connection.ws_upgrade("/", {name: "1"})
        with self.assertRaisesRegex(gun.InvalidRequest, r"ws_opts\.protocols"):
            world.connection.ws_upgrade("/", {"sec-websocket-protocol": "chat"})
        with self.assertRaisesRegex(gun.InvalidRequest, r"ws_opts\.compress"):
            world.connection.ws_upgrade("/", {"sec-websocket-extensions": "permessage-deflate"})
        world.pump()
        self.assertEqual(world.peer.requests, [])
        self.end(world)

    def test_invalid(self) -> None:
        """So are malformed headers and paths; "ignore" leaves such headers out."""
        world = self.up()
        for path, headers in (("/", {"x": "a\r\nb"}), ("/", {"x y": "a"}), ("/ /", ()), ("/\r\n", ()), ("", ()), ("chat", ())):
            self.assertRaises(gun.InvalidRequest, world.connection.ws_upgrade, path, headers)
        self.assertRaises(gun.InvalidRequest, world.connection.ws_upgrade, "/", {"host": "a b"})
        world.pump()
        self.assertEqual(world.peer.requests, [])
        for where in ({"invalid_request_headers": "ignore"}, {"ws_opts": {"invalid_request_headers": "ignore"}}):
            handshake = self.handshake("/", {"x-bad": "a\r\nb", "x-good": "c"}, **where)
            self.assertEqual([name for name, _ in handshake.headers if name.startswith(b"x-")], [b"x-good"])
        self.end(world)

    def test_subprotocols_and_extensions(self) -> None:
        """ws_opts say what is offered: at open for all, or at the upgrade, which replaces them."""
        handshake = self.handshake("/", opened={"protocols": ["a", b"b"], "compress": True})
        self.assertEqual(handshake.protocols, (b"a", b"b"))
        self.assertTrue(handshake.extensions.startswith(b"permessage-deflate"))
        for other in ({"protocols": ["c"]}, gun.WsOptions(protocols=("c",))):
            world = self.up(ws_opts={"protocols": ["a", "b"], "compress": True})
            world.connection.ws_upgrade("/", ws_opts=other)
            world.pump()
            handshake = world.peer.end.handshake
            self.assertEqual((handshake.protocols, handshake.extensions), ((b"c",), b""))
            self.end(world)

    def test_bad_options(self) -> None:
        """A bad option raises OptionError, which names it, at the call."""
        world = self.up()
        wrong: dict[str, Any] = {
            "ws_opts.keepalive": {"keepalive": 0},
            "ws_opts.flow": {"flow": 0},
            "ws_opts.closing_timeout": {"closing_timeout": -1},
            "ws_opts.protocols": {"protocols": ["a b"]},
            "ws_opts.core": {"core": "other"},
            "ws_opts.nonsense": {"nonsense": 1},
            "ws_opts": 7,
            "tunnel": {"tunnel": object()},
            "invalid_request_headers": {"invalid_request_headers": "perhaps"},
        }
        for name, opts in wrong.items():
            with self.assertRaises(gun.OptionError) as raised:
                world.connection.ws_upgrade("/", ws_opts=opts)
            self.assertEqual(raised.exception.option, name)
        self.assertRaises(gun.OptionError, world.connection.ws_upgrade, "/", flow=0)
        self.assertRaises(gun.OptionError, world.connection.ws_upgrade, "/", nonsense=1)
        world.connection.ws_upgrade("/", ws_opts={"tunnel": None})
        world.pump()
        self.assertEqual(len(world.peer.requests), 1)
        self.end(world)

    def test_bad_options_at_open(self) -> None:
        """So it does at open."""
        with self.assertRaises(gun.OptionError) as raised:
            self.world(ws_opts={"keepalive": 0})
        self.assertEqual(raised.exception.option, "ws_opts.keepalive")

    def test_given_mapping_is_left_alone(self) -> None:
        """The dict of options that is given is the caller's, and the same afterwards."""
        opts: dict[str, Any] = {"reply_to": None, "tunnel": None, "invalid_request_headers": "raise", "protocols": ["a"]}
        before = dict(opts)
        world = self.up()
        world.connection.ws_upgrade("/", ws_opts=opts)
        self.assertEqual(opts, before)
        self.end(world)


class OldTests(WebsocketCase):
    """HTTP/1.0."""

    over, cores = ("http",), ("own",)

    def test_http10(self) -> None:
        """A websocket over HTTP/1.0 is refused at the call, in Gun's words, however HTTP/1.0 was asked for."""
        ways: tuple[dict[str, Any], ...] = (
            {"http_opts": {"version": "HTTP/1.0"}},
            {"protocols": [("http", {"version": "HTTP/1.0"})]},
        )
        for options in ways:
            world = MemoryGun(**options)
            text = r"Websocket cannot be used over an HTTP/1\.0 connection\."
            self.assertRaisesRegex(gun.BadState, text, world.connection.ws_upgrade, "/")
            world.pump()
            self.assertRaisesRegex(gun.BadState, text, world.connection.ws_upgrade, "/")
            self.assertEqual(world.peer.received, b"")
            self.end(world)


class NotYetTests(WebsocketCase):
    """What may not be done before, and after."""

    def test_frames_before(self) -> None:
        """Frames before the upgrade are refused at the call: while it waits, when it was sent, and on what is no websocket."""
        world = self.world(end={"accept": False})
        waiting = world.connection.ws_upgrade("/")
        for _ in range(2):
            self.assertRaises(gun.BadState, waiting.ws_send, "early")
            self.assertRaises(gun.BadState, waiting.data, b"early")
            with self.assertRaisesRegex(gun.BadState, "does not currently accept Websocket frames"):
                world.connection.ws_send("early")
            world.pump()
        self.assertEqual(world.peer.end.raw_frames, [])
        self.assertRaises(gun.BadState, world.connection.get("/").ws_send, "no websocket")
        self.end(world)

    def test_content_on_a_websocket(self) -> None:
        """On a websocket `data` is refused: it takes frames."""
        world, stream = self.upgraded()
        for fin in (False, True):
            self.assertRaises(gun.BadState, stream.data, b"bytes", fin)
        world.pump()
        self.assertEqual(world.peer.end.raw_frames, [])
        self.end(world)

    def test_frames_of_the_connection(self) -> None:
        """`Connection.ws_send` sends on the websocket that has the connection to itself, and is refused where there is none."""
        world, _ = self.upgraded()
        if self.http2:
            self.assertRaises(gun.BadState, world.connection.ws_send, "hello")
        else:
            world.connection.ws_send(["hello", b"bytes"])
            world.pump()
            self.assertEqual(world.peer.end.frames, [gun.Text("hello"), gun.Binary(b"bytes")])
        self.end(world)

    def test_requests_on_a_websocket(self) -> None:
        """Over HTTP/1.1 a websocket takes no requests, in Gun's words; over HTTP/2 they go on beside it."""
        world, stream = self.upgraded()
        for verb, arguments in VERBS:
            ask: Callable[..., Any] = getattr(world.connection, verb)
            if self.http2:
                ask(*arguments)
            else:
                self.assertRaisesRegex(gun.BadState, r"This connection only accepts Websocket frames\.", ask, *arguments)
        world.pump()
        asked = world.peer.requests[1:]
        self.assertEqual(len(asked), len(VERBS) if self.http2 else 0)
        self.assertFalse(stream.ended)
        self.end(world)


globals().update(variants(__name__))
