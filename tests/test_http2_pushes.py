"""Server push (RFC 9113 section 8.4), from `gun.open` to the frames of a server in memory."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.producers import MUCH
from tests.stage import Http2Case
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.wire.frames import ErrorCode


class PushTests(Http2Case):
    """Pushes, where they are enabled."""

    def setUp(self) -> None:
        self.told = RecordingReceiver()

    def pushing(self, **options: Any) -> MemoryGun:
        """A world in which a request was made that the peer may push along with."""
        opts = {"enable_push": True, **options.pop("http2_opts", {})}
        world = self.up(http2_opts=opts, **options)
        world.connection.get("/", reply_to=self.told)
        world.pump()
        return world

    def pushed(self, world: MemoryGun, **options: Any) -> Any:
        """What the peer has of its promise of ``/style``."""
        promised = world.peer.push(world.peer.requests[0], "/style", {"accept": "text/css"}, **options)
        world.pump()
        return promised

    def test_told(self) -> None:
        """gun_push tells of the promised request before the response; the pushed stream's events go where its parent's do."""
        world = self.pushing()
        promised = self.pushed(world)
        world.peer.respond(world.peer.requests[0], 200, {}, b"page")
        world.peer.respond(promised, 200, {"x": "y"}, b"style")
        world.pump()
        push = self.told.of(gun.Push)[0]
        self.assertEqual((push.method, push.uri, push.headers), (b"GET", b"http://example.org/style", ((b"accept", b"text/css"),)))
        self.assertEqual(self.told.names(), ["gun_push", "gun_response", "gun_data", "gun_response", "gun_data"])
        style = [event for event in self.told.events if event.stream is push.pushed_stream]
        self.assertEqual((style[0].headers, style[1].data, style[1].fin), (((b"x", b"y"),), b"style", True))
        self.assert_told_in_order(self.told)
        self.assertEqual(len(world.peers), 1)
        self.end(world)

    def test_awaited(self) -> None:
        """A parent that is awaited gives the push by await_event, and passes it over otherwise; the pushed stream is awaited too."""
        world = self.up(http2_opts={"enable_push": True})
        streams = [world.connection.get("/"), world.connection.get("/")]
        event, response = streams[0].await_event(), streams[1].await_response()
        world.pump()
        for request in world.peer.requests:
            promised = world.peer.push(request, "/style")
            world.peer.respond(promised, 200, {}, b"style")
            world.peer.respond(request, 200, {}, b"page")
        world.pump()
        push: Any = self.successResultOf(event)
        self.assertEqual(self.successResultOf(response).status, 200)
        self.assertEqual(self.successResultOf(push.pushed_stream.await_body()), b"style")
        self.assertEqual(self.successResultOf(streams[0].await_body()), b"page")
        self.end(world)

    def test_head(self) -> None:
        """A promised HEAD is answered without content."""
        world = self.pushing()
        promised = self.pushed(world, method="HEAD")
        world.peer.respond(promised, 200, {"content-length": "5"})
        world.pump()
        self.assertTrue(self.told.of(gun.Response)[0].fin)

    def test_outlives_its_parent(self) -> None:
        """A pushed stream goes on when its parent has ended."""
        world = self.pushing()
        promised = self.pushed(world)
        world.peer.respond(world.peer.requests[0])
        world.pump()
        world.peer.respond(promised, 200, {}, MUCH)
        world.pump()
        self.assertEqual(b"".join(event.data for event in self.told.of(gun.Data)), MUCH)

    def test_cancel(self) -> None:
        """Cancelled, it is reset with CANCEL, from gun_push as well; nothing more is told of it."""
        for within in (True, False):
            self.told = RecordingReceiver(_cancel_push if within else None)
            world = self.pushing()
            promised = self.pushed(world)
            if not within:
                self.told.of(gun.Push)[0].pushed_stream.cancel()
            world.peer.respond(promised, 200, {}, b"style")
            world.pump()
            self.assertEqual((promised.reset, self.told.names()), (ErrorCode.CANCEL, ["gun_push"]))
            self.end(world)

    def test_parent_cancelled(self) -> None:
        """A push that crosses the cancelling of its parent is refused; nobody is told."""
        world = self.up(http2_opts={"enable_push": True})
        stream = world.connection.get("/", reply_to=self.told)
        world.pump()
        stream.cancel()
        promised = self.pushed(world)
        self.assertEqual((promised.reset, self.told.events), (ErrorCode.CANCEL, []))

    def test_parent_cancelled_in_the_same_turn(self) -> None:
        """So is one that came along with what made the parent's receiver cancel."""
        self.told = RecordingReceiver(_cancel_at_hint)
        world = self.pushing()
        world.peer.inform(world.peer.requests[0])
        promised = self.pushed(world)
        self.assertEqual((promised.reset, self.told.names()), (ErrorCode.CANCEL, ["gun_inform"]))
        world.connection.shutdown()
        world.pump()
        self.assert_nothing_left(world)

    def test_not_enabled(self) -> None:
        """Where pushes are not enabled, one is a connection error (RFC 9113 section 6.6)."""
        world = self.up()
        world.connection.get("/", reply_to=self.told)
        world.pump()
        world.peer.push(world.peer.requests[0], "/style")
        world.pump()
        self.assertEqual(world.peers[0].gone_away[1], ErrorCode.PROTOCOL_ERROR)
        self.assertEqual(self.told.of(gun.Push), [])

    def test_of_another_origin(self) -> None:
        """One of another authority or scheme, or of a method that is not safe, is refused, and nothing else is the worse for it."""
        for options in ({"authority": "other.example"}, {"scheme": "https"}, {"method": "POST"}, {"authority": "example.org:81"}):
            self.told = RecordingReceiver()
            world = self.pushing()
            promised = self.pushed(world, **options)
            world.peer.respond(world.peer.requests[0], 200, {}, b"page")
            world.pump()
            self.assertEqual((promised.reset, self.told.names()), (ErrorCode.PROTOCOL_ERROR, ["gun_response", "gun_data"]), options)
            self.end(world)

    def test_too_many(self) -> None:
        """max_concurrent_streams bounds them; those beyond are refused."""
        world = self.pushing(http2_opts={"max_concurrent_streams": 2})
        promised = [self.pushed(world) for _ in range(3)]
        self.assertEqual([one.reset for one in promised], [None, None, ErrorCode.REFUSED_STREAM])
        world.peer.respond(promised[0])
        world.pump()
        self.assertIsNone(self.pushed(world).reset)

    def test_do_not_count(self) -> None:
        """They do not count toward the limit of our own streams."""
        world = self.pushing(settings={"max_concurrent_streams": 2})
        for _ in range(5):
            self.pushed(world)
        world.connection.get("/second", reply_to=self.told)
        world.pump()
        self.assertEqual((len(world.peer.requests), self.told.of(gun.Error)), (2, []))

    def test_while_shutting_down(self) -> None:
        """Refused while the connection is being shut down; those promised before finish."""
        world = self.pushing()
        before = self.pushed(world)
        ended = world.connection.shutdown()
        world.pump()
        self.assertEqual((self.pushed(world).reset, len(self.told.of(gun.Push))), (ErrorCode.CANCEL, 1))
        world.peer.respond(world.peer.requests[0])
        world.pump()
        self.assertNoResult(ended)
        world.peer.respond(before, 200, {}, b"style")
        world.pump()
        self.successResultOf(ended)
        self.assertEqual(self.told.of(gun.Data)[-1].data, b"style")
        self.assert_nothing_left(world)

    def test_server_goes_away(self) -> None:
        """A GOAWAY names streams of ours only: pushed ones finish, and the connection waits for them."""
        world = self.pushing()
        promised = self.pushed(world)
        world.peer.goaway()
        world.peer.respond(world.peer.requests[0])
        world.pump()
        self.assertEqual(len(world.peers), 1)
        world.peer.respond(promised, 200, {}, b"style")
        world.pump()
        self.assertEqual((self.told.of(gun.Data)[-1].data, len(world.peers)), (b"style", 2))
        self.assertEqual(self.told.of(gun.Error), [])

    def test_lost(self) -> None:
        """Lost with its connection it is StreamClosed, and was killed."""
        world = self.pushing()
        self.pushed(world)
        world.peer.abort()
        world.pump()
        pushed = self.told.of(gun.Push)[0].pushed_stream
        self.assertEqual({event.stream for event in self.told.of(gun.Error)}, {pushed, self.told.of(gun.Push)[0].stream})
        (down,) = world.owner.of(gun.Down)
        self.assertIn(pushed, down.killed_streams)
        self.assertTrue(pushed.ended)
        self.end(world)

    def test_reset(self) -> None:
        """A server that takes its promise back: StreamReset."""
        world = self.pushing()
        world.peer.reset(self.pushed(world), ErrorCode.CANCEL)
        world.pump()
        error: Any = self.told.of(gun.Error)[0]
        self.assertEqual((error.reason.code, error.stream), (ErrorCode.CANCEL, self.told.of(gun.Push)[0].pushed_stream))

    def test_flow(self) -> None:
        """A pushed stream has the flow of its parent, and its own window, which is withheld as any other's."""
        world = self.up(http2_opts={"enable_push": True, "initial_stream_window_size": 20_000, "stream_window_margin_size": 0})
        world.connection.get("/", flow=1, reply_to=self.told)
        world.pump()
        promised = self.pushed(world)
        world.peer.respond(promised, 200, {}, MUCH)
        world.pump()
        self.assertEqual(len(self.told.of(gun.Data)), 1)
        self.assertGreaterEqual(world.peer.unsent(promised), len(MUCH) - 40_000)
        self.told.of(gun.Push)[0].pushed_stream.update_flow(1000)
        world.pump()
        self.assertEqual(b"".join(event.data for event in self.told.of(gun.Data)), MUCH)

    def test_nobody_sends_on_it(self) -> None:
        """A pushed stream has a request already: data() raises."""
        world = self.pushing()
        self.pushed(world)
        pushed: Any = self.told.of(gun.Push)[0].pushed_stream
        self.assertRaises(gun.BadState, pushed.data, b"content")
        self.assertEqual(pushed.info().method, b"GET")

    def test_receiver_that_raises(self) -> None:
        """One that raises in gun_push is logged, and the parent cancelled; the pushed stream ends too, in some way, once."""
        self.told = RecordingReceiver(lambda event: 1 / 0 if isinstance(event, gun.Push) else None)
        world = self.pushing()
        promised = self.pushed(world)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(world.peer.requests[0].reset, ErrorCode.CANCEL)
        world.peer.respond(promised, 200, {}, b"style")
        world.pump()
        self.assertTrue(self.told.of(gun.Push)[0].pushed_stream.ended)
        self.assertEqual(len(world.peers), 1)
        self.end(world)

    def test_closed(self) -> None:
        """close() ends it with all the others."""
        world = self.pushing()
        self.pushed(world)
        world.connection.close()
        self.assertEqual([type(event.reason) for event in self.told.of(gun.Error)], [gun.StreamClosed] * 2)
        world.pump()
        self.assert_nothing_left(world)


def _cancel_at_hint(event: Any) -> None:
    if isinstance(event, gun.Inform):
        event.stream.cancel()


def _cancel_push(event: Any) -> None:
    if isinstance(event, gun.Push):
        event.pushed_stream.cancel()
