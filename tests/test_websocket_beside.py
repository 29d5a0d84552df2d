"""Websockets and requests on one connection: behind each other over HTTP/1.1, side by side over HTTP/2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, Opcode, RecordingReceiver, ScriptedPeer, server_frame
from twisted_gun.testing.websocket import accept_key


class BehindTests(WebsocketCase):
    """An upgrade behind requests."""

    cores = ("own",)

    def ok(self, world: MemoryGun, path: bytes) -> None:
        """Answer the request for `path` with it."""
        if self.http2:
            (request,) = [request for request in world.peer.requests if request.path == path]
            world.peer.respond(request, 200, {}, path)
        else:
            self.assertEqual(world.peer.end._early, b"")
            world.peer.end.respond(200, (), path)
        world.pump()

    def test_after_requests(self) -> None:
        """On a connection that has served requests, at any time."""
        world = self.up(end={"accept": False})
        for path in (b"/1", b"/2"):
            body = world.connection.get(path).await_body()
            world.pump()
            self.ok(world, path)
            self.assertEqual(self.successResultOf(body), path)
        upgrade = world.connection.ws_upgrade("/ws").await_upgrade()
        world.pump()
        world.peer.end.accept()
        world.pump()
        self.successResultOf(upgrade)
        self.assertEqual(world.endpoint.attempts, 1)
        self.end(world)


class BesideTests(WebsocketCase):
    """Over HTTP/2 requests and websockets go on side by side."""

    http = "http2"
    over, cores = ("http2",), ("own",)

    def test_beside(self) -> None:
        """Requests before and after it go on, whatever becomes of it."""
        for accepted in (True, False):
            world = self.up(end={"accept": False})
            before = world.connection.get("/before").await_body()
            stream = world.connection.ws_upgrade("/ws")
            after = world.connection.get("/after").await_body()
            world.pump()
            (world.peer.end.accept if accepted else world.peer.end.refuse)()
            for request in world.peer.requests[::2]:
                world.peer.respond(request, 200, {}, request.path)
            world.pump()
            self.assertEqual((self.successResultOf(before), self.successResultOf(after)), (b"/before", b"/after"))
            upgrade = stream.await_upgrade()
            self.successResultOf(upgrade) if accepted else self.failureResultOf(upgrade, gun.UpgradeRefused)
            self.end(world)

    def test_two(self) -> None:
        """Several websockets are open at once, each by itself."""
        told = RecordingReceiver()
        world = self.up(reply_to=told)
        streams = [world.connection.ws_upgrade(f"/{number}") for number in range(3)]
        world.pump()
        for number, (stream, end) in enumerate(zip(streams, world.peer.ends, strict=True)):
            stream.ws_send(f"to {number}")
            end.send(f"from {number}")
        world.pump()
        for number, (stream, end) in enumerate(zip(streams, world.peer.ends, strict=True)):
            self.assertEqual(end.frames, [gun.Text(f"to {number}")])
            self.assertEqual(frames(told, stream), [gun.Text(f"from {number}")])
        streams[1].ws_send(gun.Close(1000))
        world.pump()
        self.assertEqual([stream.ended for stream in streams], [False, True, False])
        self.end(world)


class PipelinedTests(WebsocketCase):
    """The same over HTTP/1.1, where responses come one after the other, and the whole connection is switched."""

    over, cores = ("http",), ("own",)

    def pending(self) -> tuple[MemoryGun, RecordingReceiver, list[Any]]:
        """A world with an upgrade under way between two requests before and three after."""
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, owner=told, reply_to=told)
        streams: list[Any] = [world.connection.get(path) for path in ("/1", "/2")]
        streams.append(world.connection.ws_upgrade("/ws"))
        streams.append(world.connection.get("/3"))
        streams.append(world.connection.post("/4", (), b"content"))
        streams.append(world.connection.headers("POST", "/5", {"content-type": "a/b"}))
        streams[-1].data(b"piece")
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/1"])
        for _ in range(2):
            world.peer.end.respond()
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/1", b"/2", b"/ws"])
        return world, told, streams

    def test_granted(self) -> None:
        """Requests made behind it were not sent, and are not: they fail by StreamRefused, which was not processed."""
        world, told, streams = self.pending()
        upgrade, behind = streams[2], streams[3:]
        world.peer.end.accept()
        world.pump()
        self.assertEqual([event.stream for event in told.of(gun.Upgrade)], [upgrade])
        self.assertEqual([event.stream for event in told.of(gun.Error)], behind)
        self.assertEqual({type(event.reason) for event in told.of(gun.Error)}, {gun.StreamRefused})
        self.assertEqual(told.names().count("gun_down"), 0)
        upgrade.ws_send("hello")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("hello")])
        self.assert_told_in_order(told)
        self.end(world)

    def test_refused(self) -> None:
        """After a refusal they are sent, in order, with their content."""
        world, told, streams = self.pending()
        streams[-1].data(b"", fin=True)
        upgrade = streams[2]
        peer = world.peer
        plain = ScriptedPeer()
        peer._take = plain._take  # whatever follows is no matter of the websocket peer
        peer.send_raw(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n" + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 3)
        world.pump()
        requests = [(request.target, request.body, request.complete) for request in plain.requests]
        self.assertEqual(requests, [(b"/3", b"", True), (b"/4", b"content", True), (b"/5", b"piece", True)])
        self.assertEqual([event.status for event in told.of(gun.Response)], [200, 200, 403, 200, 200, 200])
        self.assertEqual(self.told_once(told, upgrade).status, 403)
        self.end(world)

    def test_from_within(self) -> None:
        """From within their errors anything may be done with the stream, which is not told that it is a websocket yet."""
        for action in ("ws_send", "cancel", "shutdown", "close"):
            world = self.up(end={"accept": False}, retry=0)
            told = RecordingReceiver()
            stream = world.connection.ws_upgrade("/ws", reply_to=told)

            def act(event: Any, action: str = action, stream: gun.Stream = stream, world: MemoryGun = world) -> None:
                if action == "ws_send":
                    self.assertRaises(gun.BadState, stream.ws_send, "hello")
                elif action == "cancel":
                    stream.cancel()
                else:
                    getattr(world.connection, action)()

            world.connection.get("/behind", reply_to=act)
            world.pump()
            peer = world.peer
            peer.end.accept()
            world.pump()
            self.assertEqual(peer.end.frames, [gun.Close(1001)] if action == "shutdown" else [], action)
            names = {"ws_send": ["gun_upgrade"], "shutdown": ["gun_upgrade", "gun_ws"], "close": ["gun_error"]}
            self.assertEqual(told.names(), names.get(action, []), action)
            self.end(world)

    def cancelling(self, stream: gun.Stream) -> Callable[[object], None]:
        """A callback that cancels `stream`."""

        def cancel(_: object) -> None:
            stream.cancel()

        return cancel

    def test_cancelled_in_the_turn(self) -> None:
        """Cancelled by what is woken in the very turn that grants it, it is told nothing, whatever was allowed it before."""
        for granted in (0, 1):
            told = RecordingReceiver()
            world = self.up(end={"accept": False}, ws_opts={"flow": 1}, retry=0)
            before = world.connection.get("/before").await_body(timeout=None)
            stream = world.connection.ws_upgrade("/ws", reply_to=told)
            if granted:
                stream.update_flow(granted)
            before.addCallback(self.cancelling(stream))
            world.pump()
            end = world.peer.end
            ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            asked = stream._upgrade
            assert asked is not None
            accept = accept_key(dict(asked.request.headers)[b"sec-websocket-key"])
            switch = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %b\r\n\r\n" % accept
            end.send_raw(ok + switch + server_frame(Opcode.TEXT, b"glued"))
            world.pump()
            self.assertIsNone(self.successResultOf(before))
            self.assertEqual(told.events, [])
            self.assertTrue(stream.ended)
            self.end(world)

    def test_cancelled_behind(self) -> None:
        """One of them that is cancelled is told nothing, whatever becomes of the upgrade."""
        world, told, streams = self.pending()
        streams[3].cancel()
        world.peer.end.accept()
        world.pump()
        self.assertEqual([event.stream for event in told.of(gun.Error)], streams[4:])
        self.end(world)

    def test_behind_an_upload(self) -> None:
        """Behind content that follows an upgrade waits for the end of that, and then goes out."""
        world = MemoryGun()
        world.pump()
        upload = world.connection.headers("POST", "/upload", {"content-type": "a/b"})
        world.connection.ws_upgrade("/ws")
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/upload"])
        upload.data(b"content", fin=True)
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/upload", b"/ws"])
        self.end(world)

    def test_second_upgrade(self) -> None:
        """An upgrade behind an upgrade waits too: it fails where the first is granted, and is asked where it is refused."""
        for granted in (True, False):
            world = self.up(end={"accept": False})
            first, second = world.connection.ws_upgrade("/1"), world.connection.ws_upgrade("/2")
            world.pump()
            (world.peer.end.accept if granted else world.peer.end.refuse)()
            world.pump()
            if granted:
                self.successResultOf(first.await_upgrade())
                self.failureResultOf(second.await_upgrade(), gun.StreamRefused)
            else:
                self.failureResultOf(first.await_upgrade(), gun.UpgradeRefused)
                world.peer.end.accept()
                world.pump()
                self.successResultOf(second.await_upgrade())
            self.end(world)

    def test_early_101(self) -> None:
        """A 101 that answers a request before it is one that nobody asked for: the connection ends."""
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, owner=told, reply_to=told, retry=0)
        streams = [world.connection.get("/1"), world.connection.ws_upgrade("/ws")]
        world.pump()
        head = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
        world.peer.send_raw(head)
        world.pump()
        (down,) = told.of(gun.Down)
        self.assertIsInstance(down.reason, gun.ProtocolViolation)
        for stream in streams:
            self.assertIsInstance(self.told_once(told, stream), gun.Error)
        self.end(world)

    def test_after_the_loss(self) -> None:
        """After gun_down the connection takes requests again."""
        world, stream = self.upgraded(end={"accept": True})
        self.assertRaises(gun.BadState, world.connection.get, "/")
        world.peer.drop()
        world.pump()
        self.failureResultOf(stream.await_event(), gun.StreamClosed)
        with self.assertRaisesRegex(gun.BadState, "may happen as a result of automatic reconnect"):
            world.connection.ws_send("gone")
        self.assertRaises(gun.BadState, stream.ws_send, "gone")
        again = world.connection.ws_upgrade("/")
        world.pump()
        self.successResultOf(again.await_upgrade())
        self.end(world)


globals().update(variants(__name__))
