"""twisted_gun.websocket: the helpers of gluegun, from options to with_socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun import websocket
from twisted_gun.testing import Http2WebsocketPeer, MemoryEndpoint, MemoryGun, ScriptedPeer, WebsocketPeer
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
