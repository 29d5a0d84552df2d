"""twisted_gun.websocket: the helpers of gluegun, from options to with_socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun import websocket
from twisted_gun.testing import Http2Peer, Http2WebsocketPeer, MemoryEndpoint, MemoryGun, ScriptedPeer, WebsocketPeer
from twisted_gun.websocket import connection, message


class Boom(Exception):
    """What a callback raises, and nothing else."""


class OptionsTests(SynchronousTestCase):
    """Options, upgrade options, and what sets them."""

    def test_defaults(self) -> None:
        """By default the connection speaks HTTP/1.1 and dials once; no headers, five seconds, no choice for the upgrade."""
        options = websocket.options()
        self.assertEqual(options, websocket.Options())
        self.assertEqual(options.connect_options, gun.Options(protocols=("http",), retry=0))
        self.assertEqual((options.headers, options.timeout, options.upgrade_options), ((), 5.0, websocket.upgrade_options()))
        self.assertIsNone(websocket.upgrade_options().ws_opts)

    def test_options(self) -> None:
        """Each function sets its one option, and leaves the value it is given as it was."""
        chosen = websocket.with_compress(websocket.upgrade_options(), True)
        connect_options = gun.Options(retry=3)
        table: tuple[tuple[Callable[..., websocket.Options], Any, str, Any], ...] = (
            (websocket.with_connect_options, connect_options, "connect_options", connect_options),
            (websocket.with_headers, [("X-Token", "a")], "headers", ((b"x-token", b"a"),)),
            (websocket.with_timeout, 2.5, "timeout", 2.5),
            (websocket.with_timeout, None, "timeout", None),
            (websocket.with_upgrade_options, chosen, "upgrade_options", chosen),
        )
        for setter, given, name, expected in table:
            before = websocket.options()
            after = setter(before, given)
            self.assertEqual(after, replace(before, **{name: expected}))
            self.assertEqual(before, websocket.options())

    def test_upgrade_options(self) -> None:
        """Each function sets its one option of the websocket; the others have the defaults of Gun."""
        told: list[object] = []
        table: tuple[tuple[Callable[..., websocket.UpgradeOptions], Any, dict[str, Any]], ...] = (
            (websocket.with_closing_timeout, 3.0, {"closing_timeout": 3.0}),
            (websocket.with_compress, True, {"compress": True}),
            (websocket.with_default_protocol_module, gun.WsProtocol, {"default_protocol": gun.WsProtocol}),
            (websocket.with_flow, 7, {"flow": 7}),
            (websocket.with_keepalive, 9.0, {"keepalive": 9.0}),
            (websocket.with_reply_to_dynamic, told.append, {"reply_to": told.append}),
            (websocket.with_reply_to_raw, told.append, {"reply_to": told.append}),
            (websocket.with_silence_pings, False, {"silence_pings": False}),
            (websocket.with_user_opts_dynamic, {"a": 1}, {"user_opts": {"a": 1}}),
        )
        for setter, given, expected in table:
            before = websocket.upgrade_options()
            after = setter(before, given)
            self.assertEqual(after, websocket.UpgradeOptions(ws_opts=gun.WsOptions(**expected)))
            self.assertEqual(before, websocket.UpgradeOptions())

    def test_tunnel(self) -> None:
        """The tunnel is an option of the request, beside those of the websocket."""
        tunnel = object()
        self.assertEqual(websocket.with_tunnel_dynamic(websocket.upgrade_options(), tunnel), websocket.UpgradeOptions(tunnel=tunnel))

    def test_protocols_are_appended(self) -> None:
        """Each call offers one more subprotocol, after those before it."""
        chosen = websocket.with_protocol_module(websocket.upgrade_options(), "mqtt", gun.WsProtocol)
        chosen = websocket.with_protocol_module(chosen, "wamp")
        assert chosen.ws_opts is not None
        self.assertEqual(chosen.ws_opts.protocols, ((b"mqtt", gun.WsProtocol), (b"wamp", None)))
        self.assertRaises(gun.OptionError, websocket.with_protocol_module, chosen, "mqtt", None)

    def test_bad_values(self) -> None:
        """What cannot be used raises at the call, and the error names the option."""
        options, chosen = websocket.options(), websocket.upgrade_options()
        for setter, before, given, name in (
            (websocket.with_connect_options, options, {"retry": 0}, "connect_options"),
            (websocket.with_timeout, options, -1, "timeout"),
            (websocket.with_timeout, options, "5", "timeout"),
            (websocket.with_upgrade_options, options, gun.WsOptions(), "upgrade_options"),
            (websocket.with_closing_timeout, chosen, 0, "ws_opts.closing_timeout"),
            (websocket.with_compress, chosen, "yes", "ws_opts.compress"),
            (websocket.with_default_protocol_module, chosen, "module", "ws_opts.default_protocol"),
            (websocket.with_flow, chosen, 0, "ws_opts.flow"),
            (websocket.with_keepalive, chosen, "often", "ws_opts.keepalive"),
            (websocket.with_silence_pings, chosen, 1, "ws_opts.silence_pings"),
        ):
            raised = self.assertRaises(gun.OptionError, setter, before, given)
            self.assertEqual(raised.option, name)
        for headers in ([("a", "b\r\nc: d")], {"a b": "c"}, 5):
            self.assertRaises(gun.InvalidRequest, websocket.with_headers, options, headers)

    def test_credentials_are_not_shown(self) -> None:
        """Headers, among which credentials may be, are not part of the repr."""
        self.assertNotIn("hunter2", repr(websocket.with_headers(websocket.options(), {"authorization": "Basic hunter2"})))

    def test_timeouts(self) -> None:
        """Milliseconds makes seconds, INFINITY is no limit; both are timeouts like any other."""
        self.assertEqual((connection.Milliseconds(5000), connection.Milliseconds(0)), (5.0, 0.0))
        self.assertIs(connection.INFINITY, None)
        self.assertIs(connection.Infinity, None)
        for wrong in (-1, float("inf"), float("nan"), "5"):
            self.assertRaises(gun.OptionError, connection.Milliseconds, wrong)

    def test_connection_options(self) -> None:
        """The options of a connection are those of the package."""
        self.assertEqual(connection.options(), gun.Options())
        self.assertEqual(connection.options(retry=2), gun.Options(retry=2))
        self.assertRaises(gun.OptionError, connection.options, nonsense=1)

    def test_messages(self) -> None:
        """The frames are those of the package; a close with a reason is a Close."""
        self.assertEqual(message.CloseWithReason(4000, "why"), gun.Close(4000, "why"))
        self.assertEqual(message.Text("a"), gun.Text("a"))

    def test_names(self) -> None:
        """Everything that gluegun/websocket has, is there under its name."""
        functions = """
            await_upgrade close connect options ping pong receive receive_app_frame receive_frame send send_binary send_frame send_many
            send_text upgrade upgrade_options upgrade_with_options upgrade_with_protocol upgrade_with_protocol_and_options
            with_closing_timeout with_compress with_connect_options with_default_protocol_module with_flow with_headers with_keepalive
            with_protocol_module with_reply_to_dynamic with_silence_pings with_socket with_timeout with_tunnel_dynamic
            with_upgrade_options with_user_opts_dynamic
        """
        for name in functions.split():
            self.assertTrue(callable(getattr(websocket, name)), name)
            self.assertIn(name, websocket.__all__)
        self.assertEqual([name for name in websocket.__all__ if not hasattr(websocket, name)], [])


class UpgradeCase(SynchronousTestCase):
    """A connection, and a server that speaks the websocket protocol."""

    def world(self, script: Any = (), *, open_options: Mapping[str, Any] | None = None, **peer_options: Any) -> MemoryGun:
        """A connection that is up."""
        world = MemoryGun(peer=lambda: WebsocketPeer(script, **peer_options), retry=0, **(open_options or {}))
        world.pump()
        return world

    def upgraded(self, script: Any = (), *, chosen: websocket.UpgradeOptions | None = None, **peer_options: Any) -> Any:
        """A world with its stream, which is a websocket."""
        world = self.world(script, **peer_options)
        conn = world.connection
        stream = self.successResultOf(websocket.upgrade_with_options(conn, "/ws", [], chosen or websocket.upgrade_options()))
        consent = websocket.await_upgrade(conn, stream, 5.0)
        world.pump()
        self.assertIsNone(self.successResultOf(consent))
        return world, stream


class UpgradeTests(UpgradeCase):
    """upgrade and its like, await_upgrade."""

    def test_example(self) -> None:
        """The example of gluegun's page, line by line."""
        clock = Clock()
        peers = [WebsocketPeer(echo=True)]
        endpoint = MemoryEndpoint(Factory.forProtocol(lambda: peers[0]), clock=clock)
        conn = connection.open(connection.options(endpoint=endpoint), host="echo.example.com", port=80, reactor=clock)
        up = connection.await_up(conn, connection.Milliseconds(5000))
        clock.advance(0)
        protocol = self.successResultOf(up)
        self.assertEqual(protocol, connection.HTTP)
        stream = self.successResultOf(websocket.upgrade_with_protocol(conn, protocol, "/ws", []))
        consent = websocket.await_upgrade(conn, stream, connection.Milliseconds(5000))
        clock.advance(0)
        self.assertIsNone(self.successResultOf(consent))
        self.assertIsNone(self.successResultOf(websocket.send(conn, stream, message.Text("hello"))))
        reply = websocket.receive(conn, stream, connection.Milliseconds(5000))
        clock.advance(0)
        self.assertEqual(self.successResultOf(reply), message.Text("hello"))
        conn.close()

    def test_request(self) -> None:
        """Each of the four sends path and headers, and gives the stream."""
        chosen = websocket.with_protocol_module(websocket.upgrade_options(), "mqtt")
        ways: tuple[tuple[Callable[..., Deferred[gun.Stream]], tuple[Any, ...], tuple[bytes, ...]], ...] = (
            (websocket.upgrade, ("/ws", {"x-token": "a"}), ()),
            (websocket.upgrade_with_options, ("/ws", {"x-token": "a"}, chosen), (b"mqtt",)),
            (websocket.upgrade_with_protocol, ("http", "/ws", {"x-token": "a"}), ()),
            (websocket.upgrade_with_protocol_and_options, ("http", "/ws", {"x-token": "a"}, chosen), (b"mqtt",)),
        )
        for way, arguments, offered in ways:
            world = self.world()
            stream = self.successResultOf(way(world.connection, *arguments))
            self.assertIsInstance(stream, gun.Stream)
            world.pump()
            handshake = world.peer.handshake
            self.assertEqual((handshake.path, handshake.protocols), (b"/ws", offered))
            self.assertIn((b"x-token", b"a"), handshake.headers)

    def test_http2_is_refused(self) -> None:
        """Where the protocol is another than HTTP/1.1 both fail with InvalidMessage, and nothing is sent."""
        for protocol in ("http2", "raw"):
            world = MemoryGun(peer=ScriptedPeer)
            world.pump()
            for attempt in (
                websocket.upgrade_with_protocol(world.connection, protocol, "/ws", []),
                websocket.upgrade_with_protocol_and_options(world.connection, protocol, "/ws", [], websocket.upgrade_options()),
            ):
                refused = self.failureResultOf(attempt, websocket.InvalidMessage).value
                self.assertIn(protocol, str(refused))
            world.pump()
            self.assertEqual(world.peer.received, b"")

    def test_http2_without_asking(self) -> None:
        """upgrade does not ask for the protocol: over HTTP/2 it is an extended CONNECT."""
        world = MemoryGun(peer=lambda: Http2WebsocketPeer(echo=True), protocols=["http2"])
        world.pump()
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        consent = websocket.await_upgrade(world.connection, stream, 5.0)
        world.pump()
        self.successResultOf(consent)
        websocket.send(world.connection, stream, "over http2")
        world.pump()
        self.assertEqual(self.successResultOf(websocket.receive(world.connection, stream, 5.0)), gun.Text("over http2"))

    def test_never_raises(self) -> None:
        """What cannot be asked for fails the Deferred, as everything else does."""
        conn = self.world().connection
        tunnel = websocket.with_tunnel_dynamic(websocket.upgrade_options(), object())
        self.failureResultOf(websocket.upgrade(conn, "no path", []), gun.InvalidRequest)
        self.failureResultOf(websocket.upgrade(conn, "/", [("a", "b\r\n")]), gun.InvalidRequest)
        self.failureResultOf(websocket.upgrade_with_options(conn, "/", [], tunnel), gun.OptionError)
        conn.close()
        self.failureResultOf(websocket.upgrade(conn, "/", []), gun.ShuttingDown)
        self.failureResultOf(connection.await_up(conn, -1.0), gun.OptionError)

    def test_refused(self) -> None:
        """Another answer fails await_upgrade with UpgradeRefused, which has the response; its content can be read."""
        world = self.world([("refuse", 403, {}, b"not you")])
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        consent = websocket.await_upgrade(world.connection, stream, 5.0)
        world.pump()
        response = self.failureResultOf(consent, gun.UpgradeRefused).value.response
        self.assertEqual(response.status, 403)
        self.assertEqual(self.successResultOf(stream.await_body()), b"not you")

    def test_no_answer(self) -> None:
        """await_upgrade fails with TimedOut after its timeout, and not before; without one it waits on."""
        world = self.world(accept=False)
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        consent = websocket.await_upgrade(world.connection, stream, 5.0)
        world.advance(4.9)
        self.assertNoResult(consent)
        world.advance(0.2)
        self.assertEqual(self.failureResultOf(consent, gun.TimedOut).value.stage, "upgrade")
        patient = websocket.await_upgrade(world.connection, stream, connection.INFINITY)
        world.advance(3600.0)
        self.assertNoResult(patient)
        world.peer.accept()
        world.pump()
        self.successResultOf(patient)

    def test_connection_lost(self) -> None:
        """await_upgrade fails with what ended the stream."""
        world = self.world(accept=False)
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        consent = websocket.await_upgrade(world.connection, stream, 5.0)
        world.peer.drop()
        world.pump()
        self.failureResultOf(consent, gun.StreamError)

    def test_reply_to(self) -> None:
        """With a receiver nothing can be awaited: that fails at once, where in Gun it would wait for nothing."""
        told: list[Any] = []
        world = self.world()
        chosen = websocket.with_reply_to_dynamic(websocket.upgrade_options(), told.append)
        stream = self.successResultOf(websocket.upgrade_with_options(world.connection, "/ws", [], chosen))
        self.failureResultOf(websocket.await_upgrade(world.connection, stream, 5.0), gun.BadState)
        self.failureResultOf(websocket.receive(world.connection, stream, 5.0), gun.BadState)
        world.pump()
        self.assertEqual([type(event) for event in told], [gun.Upgrade])

    def test_options_of_the_connection(self) -> None:
        """Where nothing is chosen those hold that the connection was opened with; one choice replaces them all."""
        offers = {"ws_opts": {"protocols": ["mqtt"]}}
        unchosen, silent = websocket.upgrade_options(), websocket.with_flow(websocket.upgrade_options(), 9)
        for chosen, offered in ((unchosen, (b"mqtt",)), (silent, ())):
            world = self.world(open_options=offers)
            websocket.upgrade_with_options(world.connection, "/ws", [], chosen)
            world.pump()
            self.assertEqual(world.peer.handshake.protocols, offered)

    def test_keepalive(self) -> None:
        """The keepalive of an upgrade works: a ping each time that it has passed."""
        world, _ = self.upgraded(chosen=websocket.with_keepalive(websocket.upgrade_options(), 10.0))
        world.advance(9.9)
        self.assertEqual(world.peer.frames, [])
        world.advance(0.2)
        self.assertEqual(world.peer.frames, [gun.Ping()])


class FrameTests(UpgradeCase):
    """receive, send and send_many."""

    def test_receive(self) -> None:
        """Frames come one at a time and in their order, the Close among them."""
        world, stream = self.upgraded([("send", "one"), ("send", b"two"), ("close", 1000, "done")])
        for expected in (gun.Text("one"), gun.Binary(b"two"), gun.Close(1000, "done")):
            self.assertEqual(self.successResultOf(websocket.receive(world.connection, stream, 5.0)), expected)
        self.failureResultOf(websocket.receive(world.connection, stream, 5.0), gun.BadState)

    def test_receive_before_consent(self) -> None:
        """The consent to the upgrade is no frame."""
        world = self.world([("send", "first")])
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        frame = websocket.receive(world.connection, stream, 5.0)
        world.pump()
        failure = self.failureResultOf(frame, websocket.InvalidMessage)
        self.assertIsInstance(failure.value.event, gun.Upgrade)
        self.assertIn("await_upgrade", str(failure.value))
        self.assertEqual(self.successResultOf(websocket.receive(world.connection, stream, 5.0)), gun.Text("first"))

    def test_receive_a_response(self) -> None:
        """A response is no frame either."""
        world = self.world(refuse=404)
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        frame = websocket.receive(world.connection, stream, 5.0)
        world.pump()
        self.assertEqual(self.failureResultOf(frame, websocket.InvalidMessage).value.event.status, 404)

    def test_receive_times_out(self) -> None:
        """receive fails with TimedOut after its timeout, and loses nothing by it."""
        world, stream = self.upgraded()
        frame = websocket.receive(world.connection, stream, 5.0)
        world.advance(5.1)
        self.failureResultOf(frame, gun.TimedOut)
        world.peer.send("late")
        world.pump()
        self.assertEqual(self.successResultOf(websocket.receive(world.connection, stream, 5.0)), gun.Text("late"))
        self.failureResultOf(websocket.receive(world.connection, stream, -1.0), gun.OptionError)

    def test_receive_the_loss(self) -> None:
        """A server that vanishes fails receive with StreamClosed, one that breaks the protocol with ProtocolViolation."""
        for step, expected in ((("drop",), gun.StreamClosed), (("send_raw", b"\xff\xff"), gun.ProtocolViolation)):
            world, stream = self.upgraded([step])
            self.failureResultOf(websocket.receive(world.connection, stream, 5.0), expected)

    def test_send(self) -> None:
        """Every kind of frame goes out as it is, in its order; str and bytes are messages too."""
        world, stream = self.upgraded()
        frames: list[message.Frame] = [gun.Text("a"), gun.Binary(b"b"), gun.Ping(b"c"), gun.Pong(b"d")]
        self.assertIsNone(self.successResultOf(websocket.send_many(world.connection, stream, iter(frames))))
        for frame in ("e", b"f", message.CloseWithReason(4000, "g")):
            self.assertIsNone(self.successResultOf(websocket.send(world.connection, stream, frame)))
        world.pump()
        self.assertEqual(world.peer.frames, [*frames, gun.Text("e"), gun.Binary(b"f"), gun.Close(4000, "g")])

    def test_invalid_frames(self) -> None:
        """What cannot be a frame fails with InvalidMessage, with nothing sent of what was given along with it."""
        world, stream = self.upgraded()
        wrong: tuple[Any, ...] = (
            gun.Close(1005),
            gun.Close(999),
            gun.Close(1000, "x" * 124),
            gun.Text("\ud800"),
            gun.Close(1000, "\ud800"),
            gun.Ping(b"x" * 126),
            None,
            5,
        )
        for frame in wrong:
            attempt = websocket.send_many(world.connection, stream, [gun.Text("before"), frame])
            self.failureResultOf(attempt, websocket.InvalidMessage)
        world.pump()
        self.assertEqual(world.peer.frames, [])
        self.successResultOf(websocket.send(world.connection, stream, "after"))

    def test_send_at_the_wrong_time(self) -> None:
        """Before the upgrade, after a Close and after the end sending fails with BadState."""
        world = self.world(accept=False)
        stream = self.successResultOf(websocket.upgrade(world.connection, "/ws", []))
        self.failureResultOf(websocket.send(world.connection, stream, "early"), gun.BadState)
        world, stream = self.upgraded(answer_close=False)
        self.successResultOf(websocket.send(world.connection, stream, gun.Close()))
        self.failureResultOf(websocket.send(world.connection, stream, "late"), gun.BadState)
        world.peer.close()
        world.pump()
        self.failureResultOf(websocket.send(world.connection, stream, "later"), gun.BadState)


class Stage:
    """Where `connect` finds its servers: a clock, an endpoint, the options that lead there, and the servers."""

    def __init__(self, make_peer: Callable[[], Any], **connect_options: Any) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self._serve), clock=self.clock)
        self._make_peer = make_peer
        default = websocket.options().connect_options
        opened_with = replace(default, endpoint=self.endpoint, **connect_options)
        self.options = websocket.with_connect_options(websocket.options(), opened_with)

    def _serve(self) -> Any:
        self.peers.append(self._make_peer())
        return self.peers[-1]

    @property
    def peer(self) -> Any:
        """The server, of which there is to be one."""
        (peer,) = self.peers
        return peer

    def connect(self, path: str = "/ws", options: websocket.Options | None = None) -> websocket.Connecting:
        """`connect`, as far as it comes without time passing."""
        connecting = websocket.connect("example.org", 80, path, options or self.options, reactor=self.clock)
        self.clock.advance(0)
        return connecting

    def with_socket(self, callback: Callable[[websocket.Socket], Any]) -> Deferred[Any]:
        """`with_socket`, as far as it comes without time passing."""
        result = websocket.with_socket("example.org", 80, "/ws", self.options, callback, reactor=self.clock)
        self.clock.advance(0)
        return result


class Slow:
    """An endpoint that takes its time."""

    def __init__(self, endpoint: MemoryEndpoint, clock: Clock, seconds: float) -> None:
        self._endpoint, self._clock, self._seconds = endpoint, clock, seconds

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, later."""
        return deferLater(self._clock, self._seconds, self._endpoint.connect, factory)


class SocketCase(SynchronousTestCase):
    """Tests of what opens its own connection."""

    def stage(self, script: Any = (), **peer_options: Any) -> Stage:
        """Servers that speak the websocket protocol."""
        return Stage(lambda: WebsocketPeer(script, **peer_options))

    def socket(self, stage: Stage) -> websocket.Socket:
        """A socket that is connected."""
        return self.successResultOf(stage.connect())

    def choose(self, stage: Stage, choose: Callable[..., websocket.UpgradeOptions], *arguments: Any) -> None:
        """Change one of the options of the upgrade."""
        chosen = choose(stage.options.upgrade_options, *arguments)
        stage.options = websocket.with_upgrade_options(stage.options, chosen)

    def assert_closed(self, stage: Stage) -> None:
        """Every connection was closed, and nothing is left to happen."""
        stage.clock.advance(0)
        self.assertEqual([link.client.disconnected for link in stage.endpoint.links], [True] * len(stage.endpoint.links))
        self.assertEqual(stage.clock.getDelayedCalls(), [])


class SocketTests(SocketCase):
    """What a socket does, by its methods and by the functions."""

    def test_send(self) -> None:
        """One frame each, in their order."""
        stage = self.stage()
        socket = self.socket(stage)
        for sent in (
            websocket.send_text(socket, "a"),
            websocket.send_binary(socket, b"b"),
            websocket.ping(socket, b"c"),
            websocket.ping(socket),
            websocket.pong(socket, b"d"),
            websocket.pong(socket),
            websocket.send_frame(socket, gun.Text("e")),
            websocket.send_frames(socket, ["f", b"g"]),
        ):
            self.assertIsNone(self.successResultOf(sent))
        stage.clock.advance(0)
        expected = [gun.Text("a"), gun.Binary(b"b"), gun.Ping(b"c"), gun.Ping(), gun.Pong(b"d"), gun.Pong(), gun.Text("e")]
        self.assertEqual(stage.peer.frames, [*expected, gun.Text("f"), gun.Binary(b"g")])

    def test_wrong_types(self) -> None:
        """Text is str and binary is bytes; anything else fails the Deferred."""
        socket = self.socket(self.stage())
        wrong: Any
        for call, wrong in ((websocket.send_text, b"a"), (websocket.send_binary, "a"), (websocket.ping, "a"), (websocket.pong, 1)):
            self.failureResultOf(call(socket, wrong), websocket.InvalidMessage)

    def test_receive_frame(self) -> None:
        """With silence_pings False pings and pongs are frames like any other, and each ping has been answered once."""
        stage = self.stage([("send", gun.Ping(b"p")), ("send", gun.Pong(b"q")), ("send", "text")])
        self.choose(stage, websocket.with_silence_pings, False)
        socket = self.socket(stage)
        for expected in (gun.Ping(b"p"), gun.Pong(b"q"), gun.Text("text")):
            self.assertEqual(self.successResultOf(websocket.receive_frame(socket)), expected)
        stage.clock.advance(0)
        self.assertEqual(stage.peer.frames, [gun.Pong(b"p")])

    def test_receive_app_frame(self) -> None:
        """Pings and pongs are passed over, told or silenced; what is for the application is given; one pong a ping is sent."""
        for silent in (False, True):
            stage = self.stage([("send", gun.Ping(b"p")), ("send", gun.Pong(b"q")), ("send", "a"), ("send", b"b"), ("close", 4000, "c")])
            self.choose(stage, websocket.with_silence_pings, silent)
            socket = self.socket(stage)
            for expected in (gun.Text("a"), gun.Binary(b"b"), gun.Close(4000, "c")):
                self.assertEqual(self.successResultOf(websocket.receive_app_frame(socket)), expected)
            stage.clock.advance(0)
            self.assertEqual(stage.peer.frames, [gun.Pong(b"p"), gun.Close(4000)])

    def test_timeout_of_frames(self) -> None:
        """Frames are waited for as long as the options say."""
        stage = self.stage()
        stage.options = websocket.with_timeout(stage.options, 2.0)
        socket = self.socket(stage)
        for receive in (websocket.receive_frame, websocket.receive_app_frame):
            frame = receive(socket)
            stage.clock.advance(1.9)
            self.assertNoResult(frame)
            stage.clock.advance(0.2)
            self.failureResultOf(frame, gun.TimedOut)

    def test_cancelled_receipt(self) -> None:
        """Cancelling only stops the waiting: the next frame is for who asks next."""
        stage = self.stage()
        socket = self.socket(stage)
        frame = socket.receive_app_frame()
        frame.cancel()
        self.failureResultOf(frame, CancelledError)
        stage.peer.send("here")
        stage.clock.advance(0)
        self.assertEqual(self.successResultOf(socket.receive_app_frame()), gun.Text("here"))

    def test_close(self) -> None:
        """close sends a Close without a code, once, and leaves the rest to the closing handshake."""
        stage = self.stage(answer_close=False)
        socket = self.socket(stage)
        self.assertIsNone(self.successResultOf(websocket.close(socket)))
        self.assertIsNone(self.successResultOf(websocket.close(socket)))
        stage.clock.advance(0)
        self.assertEqual(stage.peer.frames, [gun.Close()])
        self.assertFalse(stage.endpoint.links[0].client.disconnected)
        stage.peer.close()
        self.assertEqual(self.later(stage, socket.receive_frame()), gun.Close())
        self.assertIsNone(self.successResultOf(websocket.close(socket)))

    def test_close_after_a_close_frame(self) -> None:
        """A Close that was sent by other means, or has come, is enough."""
        stage = self.stage(answer_close=False)
        socket = self.socket(stage)
        self.successResultOf(socket.send_frame(gun.Close(4000, "mine")))
        self.successResultOf(socket.close())
        other = self.stage([("close", 1000)])
        self.successResultOf(self.socket(other).close())

    def test_close_after_a_loss(self) -> None:
        """Where an error has ended the websocket no Close can be sent: that error says why."""
        stage = self.stage()
        socket = self.socket(stage)
        stage.peer.drop()
        stage.clock.advance(0)
        self.failureResultOf(websocket.close(socket), gun.StreamClosed)

    def test_any_handle(self) -> None:
        """send_frame, send_frames and close serve whatever has such methods."""

        class Handle:
            def send_frame(self, frame: Any) -> Deferred[Any]:
                return succeed(("frame", frame))

            def send_frames(self, frames: Any) -> Deferred[Any]:
                return succeed(("frames", frames))

            def close(self) -> Deferred[Any]:
                return succeed("closed")

        self.assertEqual(self.successResultOf(websocket.send_frame(Handle(), "a")), ("frame", "a"))
        self.assertEqual(self.successResultOf(websocket.send_frames(Handle(), ["a"])), ("frames", ["a"]))
        self.assertEqual(self.successResultOf(websocket.close(Handle())), "closed")

    def later(self, stage: Stage, deferred: Deferred[Any]) -> Any:
        """The result, once the bytes have moved."""
        stage.clock.advance(0)
        return self.successResultOf(deferred)


class ConnectTests(SocketCase):
    """connect: a socket, or nothing left of it."""

    def test_connects(self) -> None:
        """The connection is opened and upgraded with path and headers; the socket has connection, stream and timeout."""
        stage = self.stage()
        stage.options = websocket.with_timeout(websocket.with_headers(stage.options, {"x-token": "a"}), 3.0)
        self.choose(stage, websocket.with_protocol_module, "mqtt")
        socket = self.successResultOf(stage.connect("/chat?room=1"))
        handshake = stage.peer.handshake
        self.assertEqual((handshake.path, handshake.authority, handshake.protocols), (b"/chat?room=1", b"example.org", (b"mqtt",)))
        self.assertIn((b"x-token", b"a"), handshake.headers)
        self.assertIs(socket.stream.connection, socket.connection)
        self.assertEqual(socket.timeout, 3.0)
        self.assertIn("example.org", repr(socket))

    def test_steps_that_fail(self) -> None:
        """Each step that fails closes the connection, and says why."""
        for expected, stage, prepare in (
            (gun.ConnectFailed, self.stage(), lambda stage: stage.endpoint.refuse(error.ConnectionRefusedError())),
            (gun.UpgradeRefused, self.stage(refuse=403), None),
            (gun.StreamError, self.stage([("drop",)], accept=False), None),
            (gun.ProtocolViolation, self.stage(headers={"sec-websocket-accept": "wrong"}), None),
            (websocket.InvalidMessage, Stage(Http2Peer, protocols=["http2"]), None),
        ):
            if prepare is not None:
                prepare(stage)
            self.failureResultOf(stage.connect(), expected)
            self.assert_closed(stage)

    def test_http2_asks_for_nothing(self) -> None:
        """Over HTTP/2 no request is made."""
        stage = Stage(Http2WebsocketPeer, protocols=["http2"])
        self.failureResultOf(stage.connect(), websocket.InvalidMessage)
        self.assertEqual(stage.peer.requests, [])

    def test_mistakes(self) -> None:
        """What cannot be asked for fails the Deferred too."""
        stage = self.stage()
        self.failureResultOf(websocket.connect("no host", 80, "/", stage.options, reactor=stage.clock), gun.InvalidRequest)
        self.failureResultOf(websocket.connect("example.org", 0, "/", stage.options, reactor=stage.clock), gun.OptionError)
        self.failureResultOf(stage.connect("no path"), gun.InvalidRequest)
        self.choose(stage, websocket.with_reply_to_dynamic, lambda event: None)
        self.failureResultOf(stage.connect(), gun.BadState)
        self.assert_closed(stage)

    def test_timeouts(self) -> None:
        """The timeout bounds the opening, and again the upgrade."""
        stage = self.stage(accept=False)
        stage.endpoint.hang()
        never_up = stage.connect()
        stage.clock.advance(4.9)
        self.assertNoResult(never_up)
        stage.clock.advance(0.2)
        self.assertEqual(self.failureResultOf(never_up, gun.TimedOut).value.stage, "up")
        self.assert_closed(stage)
        stage.endpoint.accept()
        opened_with = replace(stage.options.connect_options, endpoint=Slow(stage.endpoint, stage.clock, 4.0))
        late = stage.connect(options=websocket.with_connect_options(stage.options, opened_with))
        stage.clock.advance(4.0)
        stage.clock.advance(4.9)
        self.assertNoResult(late)
        stage.clock.advance(0.2)
        self.assertEqual(self.failureResultOf(late, gun.TimedOut).value.stage, "upgrade")
        self.assert_closed(stage)

    def test_cancelled(self) -> None:
        """Cancelling closes the connection, while it dials and while it upgrades."""
        for hang in (True, False):
            stage = self.stage(accept=False)
            if hang:
                stage.endpoint.hang()
            connecting = stage.connect()
            self.assertNoResult(connecting)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)
            self.assert_closed(stage)

    def test_cancelled_from_within(self) -> None:
        """Cancelling from what is called when the connection is up closes it too."""
        stage = self.stage()
        waiting: list[websocket.Connecting] = []
        opened_with = replace(stage.options.connect_options, on_up=lambda conn: waiting[0].cancel())
        stage.options = websocket.with_connect_options(stage.options, opened_with)
        waiting.append(websocket.connect("example.org", 80, "/ws", stage.options, reactor=stage.clock))
        stage.clock.advance(0)
        self.failureResultOf(waiting[0], CancelledError)
        self.assert_closed(stage)

    def test_async_with(self) -> None:
        """Used as a context, awaited or not, it gives the socket, and ends both websocket and connection."""

        async def unawaited(stage: Stage) -> gun.events.Frame:
            async with stage.connect() as socket:
                await socket.send_text("hello")
                return await socket.receive_app_frame()

        async def awaited(stage: Stage) -> gun.events.Frame:
            async with await stage.connect() as socket:
                await socket.send_text("hello")
                return await socket.receive_app_frame()

        for way in (unawaited, awaited):
            stage = self.stage(echo=True)
            result = Deferred.fromCoroutine(way(stage))
            stage.clock.advance(0)
            self.assertEqual(self.successResultOf(result), gun.Text("hello"))
            self.assertEqual(stage.peer.frames, [gun.Text("hello"), gun.Close()])
            self.assert_closed(stage)

    def test_async_with_fails(self) -> None:
        """Where connecting fails, the context is not entered."""

        async def enter(stage: Stage) -> None:
            async with stage.connect():
                self.fail("entered")

        stage = self.stage(refuse=403)
        self.failureResultOf(Deferred.fromCoroutine(enter(stage)), gun.UpgradeRefused)

    def test_callbacks(self) -> None:
        """It is a Deferred like any other."""
        stage = self.stage()
        connecting = websocket.connect("example.org", 80, "/ws", stage.options, reactor=stage.clock)
        paths = connecting.addCallback(lambda socket: socket.connection.origin.host)
        stage.clock.advance(0)
        self.assertEqual(self.successResultOf(paths), "example.org")


class WithSocketTests(SocketCase):
    """with_socket: what the callback gives, and what is done whatever happens."""

    def test_results(self) -> None:
        """A value, a Deferred and a coroutine are results."""

        async def coroutine(socket: websocket.Socket) -> str:
            await socket.send_text("hello")
            frame = await socket.receive_app_frame()
            assert isinstance(frame, gun.Text)
            return frame.text

        callbacks: tuple[Callable[[websocket.Socket], Any], ...] = (lambda _: "hello", lambda _: succeed("hello"), coroutine)
        for callback in callbacks:
            stage = self.stage(echo=True)
            self.assertEqual(self.successResultOf(stage.with_socket(callback)), "hello")
            self.assertEqual(stage.peer.received_close, gun.Close())
            self.assert_closed(stage)

    def test_errors_of_the_callback(self) -> None:
        """What the callback raises, or fails with, is what with_socket fails with; the socket is closed all the same."""

        def raises(socket: websocket.Socket) -> None:
            raise Boom

        async def later(socket: websocket.Socket) -> None:
            await socket.send_text("hello")
            raise Boom

        callbacks: tuple[Callable[[websocket.Socket], Any], ...] = (raises, later, lambda _: fail(Boom()))
        for callback in callbacks:
            stage = self.stage()
            self.failureResultOf(stage.with_socket(callback), Boom)
            self.assertEqual(stage.peer.received_close, gun.Close())
            self.assert_closed(stage)

    def test_which_error_counts(self) -> None:
        """The callback's error wins over that of the Close frame, and that over the connection's; both are tried each time."""
        tried: list[str] = []

        def failing(name: str) -> Callable[..., Any]:
            def fails(*_: Any) -> Any:
                tried.append(name)
                raise gun.GunError(name)

            return fails

        for wrong in ("callback close shutdown", "callback shutdown", "close shutdown", "shutdown", "callback close", "close"):
            tried.clear()
            steps = wrong.split()
            stage = self.stage()

            def callback(socket: websocket.Socket, steps: list[str] = steps) -> Any:
                if "close" in steps:
                    self.patch(socket.stream, "ws_send", failing("close"))
                if "shutdown" in steps:
                    self.patch(socket.connection, "shutdown", failing("shutdown"))
                return failing("callback")() if "callback" in steps else None

            failure = self.failureResultOf(stage.with_socket(callback), gun.GunError)
            self.assertEqual((str(failure.value), tried), (steps[0], steps))

    def test_no_answer_to_the_close(self) -> None:
        """The closing handshake is waited for no longer than closing_timeout."""
        stage = self.stage(answer_close=False)
        self.choose(stage, websocket.with_closing_timeout, 3.0)
        result = stage.with_socket(lambda _: "result")
        stage.clock.advance(2.9)
        self.assertNoResult(result)
        stage.clock.advance(0.2)
        self.assertEqual(self.successResultOf(result), "result")
        self.assert_closed(stage)

    def test_closed_already(self) -> None:
        """Where the server, or the callback, has closed the websocket before, that is no error."""
        stage = self.stage([("send", "bye"), ("close", 1000)])
        self.assertEqual(self.successResultOf(stage.with_socket(websocket.receive_app_frame)), gun.Text("bye"))
        self.assert_closed(stage)
        stage = self.stage()
        self.successResultOf(stage.with_socket(websocket.close))
        self.assertEqual(stage.peer.frames, [gun.Close()])
        self.assert_closed(stage)

    def test_lost(self) -> None:
        """Where the server vanishes without a Close, and the callback does not mind, the Close frame's failure counts."""
        stage = self.stage([("drop",)])
        result = stage.with_socket(lambda socket: socket.receive_frame().addErrback(lambda failure: None))
        self.failureResultOf(result, gun.StreamClosed)
        self.assert_closed(stage)

    def test_not_connected(self) -> None:
        """Where connecting fails the callback is not called."""
        stage = self.stage(refuse=403)
        called: list[object] = []
        self.failureResultOf(stage.with_socket(called.append), gun.UpgradeRefused)
        self.assertEqual(called, [])
        self.assert_closed(stage)

    def test_cancelled_while_connecting(self) -> None:
        """Cancelled before there is a socket, it closes the connection."""
        stage = self.stage(accept=False)
        result = stage.with_socket(lambda _: self.fail("called"))
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assert_closed(stage)

    def test_cancelled_while_running(self) -> None:
        """Cancelled while the callback runs, it fails at once; the Close is sent, and the connection ends behind it."""
        stage = self.stage()
        result = stage.with_socket(websocket.receive_app_frame)
        self.assertNoResult(result)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        stage.clock.advance(0)
        self.assertEqual(stage.peer.frames, [gun.Close()])
        self.assert_closed(stage)

    def test_cancelled_while_ending(self) -> None:
        """Cancelled while it waits for the end, it closes the connection at once."""
        stage = self.stage(answer_close=False)
        result = stage.with_socket(lambda _: None)
        self.assertNoResult(result)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assert_closed(stage)
