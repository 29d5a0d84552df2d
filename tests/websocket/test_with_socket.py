"""twisted_gun.websocket: `Socket`, `connect` and `with_socket`, which open a connection of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun import websocket
from twisted_gun.testing import Http2Peer, Http2WebsocketPeer, MemoryEndpoint, MemoryGun, WebsocketPeer


class Boom(Exception):
    """What a callback raises, and nothing else."""


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

    def test_unread(self) -> None:
        """What nobody has read, and nobody will, does not keep the server's Close from being seen, over either protocol."""
        for make, protocol in ((WebsocketPeer, "http"), (Http2WebsocketPeer, "http2")):
            world = MemoryGun(peer=make, protocols=[protocol], retry=0)
            stream = world.connection.ws_upgrade("/")
            world.pump()
            self.successResultOf(stream.await_upgrade())
            peer = world.peer
            for _ in range(100):
                peer.end.send(bytes(4096))
            world.pump()

            async def use(socket: websocket.Socket) -> gun.events.Frame:
                async with socket:
                    return await socket.receive_frame()

            result = Deferred.fromCoroutine(use(websocket.Socket(connection=world.connection, stream=stream)))
            world.pump()
            self.assertEqual(self.successResultOf(result), gun.Binary(bytes(4096)))
            self.assertEqual(peer.end.frames, [gun.Close()])
            self.assertTrue(stream._closed)
            self.assertEqual(world.clock.getDelayedCalls(), [])

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
