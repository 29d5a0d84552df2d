"""Ending a connection: close at once, shutdown gracefully, and who hears of it."""

from __future__ import annotations

import twisted_gun as gun
from tests.stage import OK, LifeCase, answering, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver


class CloseTests(LifeCase):
    """conn.close."""

    def test_streams_end(self) -> None:
        """close ends every stream with StreamClosed, told once, and there is no gun_down."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        streams = [world.connection.get("/1"), world.connection.headers("POST", "/2")]
        world.connection.close()
        world.pump()
        self.assertEqual(told.names(), ["gun_up", "gun_error", "gun_error"])
        self.assertEqual([event.stream for event in told.of(gun.Error)], streams)
        self.assertEqual({type(event.reason) for event in told.of(gun.Error)}, {gun.StreamClosed})
        self.assert_nothing_left(world)

    def test_awaiting_fails(self) -> None:
        """What is awaited fails with it, and the monitor fires with None."""
        world = MemoryGun()
        ended, is_up = world.connection.when_terminated(), world.connection.await_up()
        response = world.connection.get("/").await_response(timeout=None)
        world.connection.close()
        world.pump()
        self.failureResultOf(response, gun.StreamClosed)
        self.failureResultOf(is_up, gun.ShuttingDown)
        self.assertIsNone(self.successResultOf(ended))

    def test_twice(self) -> None:
        """Closing again, or shutting down what is closed, does nothing."""
        world = up()
        world.connection.close()
        world.connection.close()
        shut = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(shut))
        world.connection.close()
        self.assert_nothing_left(world)

    def test_requests_afterwards(self) -> None:
        """Afterwards requests raise, with nothing on the wire."""
        world = up()
        world.connection.close()
        self.assertRaises(gun.ShuttingDown, world.connection.get, "/")
        world.pump()
        self.assertRaises((gun.ShuttingDown, gun.BadState), world.connection.get, "/")
        self.assertEqual(world.peer.received, b"")

    def test_does_not_wait(self) -> None:
        """It resets the connection: no closing handshake, whatever is unsent."""
        world = up()
        world.peer.pause()
        world.connection.post("/", (), b"x" * 1_000_000)
        world.pump()
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_no_reconnection(self) -> None:
        """It never dials again."""
        world = up()
        world.connection.close()
        world.advance(1000)
        self.assertEqual(world.endpoint.attempts, 1)


class ShutdownTests(LifeCase):
    """conn.shutdown."""

    def test_idle(self) -> None:
        """An idle connection is closed at once, without gun_down."""
        world = up()
        ended = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(world.owner.names(), ["gun_up"])
        self.assert_nothing_left(world)

    def test_first_stream_completes(self) -> None:
        """The first stream completes; those pipelined behind it end with ShuttingDown."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        streams = [world.connection.get(path) for path in ("/1", "/2", "/3")]
        world.pump()
        ended = world.connection.shutdown()
        self.assertEqual([(event.stream, type(event.reason)) for event in told.of(gun.Error)], [(s, gun.ShuttingDown) for s in streams[1:]])
        self.assertNoResult(ended)
        feed(world, OK)
        self.assertEqual([event.stream for event in told.of(gun.Data)], [streams[0]])
        self.assertIsNone(self.successResultOf(ended))
        self.assertNotIn("gun_down", told.names())
        self.assert_nothing_left(world)

    def test_upload_completes(self) -> None:
        """An upload under way may go on and be answered."""
        world = up()
        stream = world.connection.headers("POST", "/")
        stream.data(b"one")
        ended = world.connection.shutdown()
        stream.data(b"two", fin=True)
        world.pump()
        self.assertEqual(world.peer.requests[0].body, b"onetwo")
        feed(world, OK)
        self.assertEqual(self.successResultOf(stream.await_body()), b"ok")
        self.assertIsNone(self.successResultOf(ended))

    def test_new_requests_are_refused(self) -> None:
        """New requests raise ShuttingDown at the call."""
        world = up()
        world.connection.get("/")
        world.connection.shutdown()
        self.assertRaises(gun.ShuttingDown, world.connection.get, "/")
        self.assertRaises(gun.ShuttingDown, world.connection.post, "/", (), b"x")

    def test_closing_timeout(self) -> None:
        """After closing_timeout it is ended anyway: the stream fails, and nothing is dialled again."""
        world = up(http_opts={"closing_timeout": 3.0})
        response = world.connection.get("/").await_response(timeout=None)
        ended = world.connection.shutdown()
        world.advance(2.9)
        self.assertNoResult(ended)
        world.advance(0.2)
        self.assertIsNone(self.successResultOf(ended))
        self.failureResultOf(response)
        world.advance(1000)
        self.assertEqual(world.endpoint.attempts, 1)
        self.assert_nothing_left(world)

    def test_not_connected(self) -> None:
        """Where it is not up it ends at once, and what waits fails with ShuttingDown."""
        told = RecordingReceiver()
        world = MemoryGun(owner=told, reply_to=told)
        world.endpoint.hang()
        world.connection.get("/")
        world.pump()
        ended = world.connection.shutdown()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual([type(event.reason) for event in told.events], [gun.ShuttingDown])
        self.assert_nothing_left(world)

    def test_lost_meanwhile(self) -> None:
        """A connection lost during shutdown is not made again; its stream fails once."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        world.connection.get("/")
        ended = world.connection.shutdown()
        world.peer.abort()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(told.names(), ["gun_up", "gun_error"])
        self.assertEqual(world.endpoint.attempts, 1)

    def test_then_close(self) -> None:
        """close ends a shutdown that takes too long."""
        world = up()
        stream = world.connection.get("/")
        ended = world.connection.shutdown()
        world.connection.close()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.failureResultOf(stream.await_event(), gun.StreamClosed)
        self.assert_nothing_left(world)

    def test_twice(self) -> None:
        """A second shutdown fires with the first."""
        world = up()
        world.connection.get("/")
        first, second = world.connection.shutdown(), world.connection.shutdown()
        world.pump()
        feed(world, OK)
        self.assertIsNone(self.successResultOf(first))
        self.assertIsNone(self.successResultOf(second))

    def test_monitor(self) -> None:
        """when_terminated fires once for all who asked, before and after."""
        world = up(script=answering())
        monitors = [world.connection.when_terminated() for _ in range(3)]
        world.connection.shutdown()
        world.pump()
        self.assertEqual([self.successResultOf(monitor) for monitor in monitors], [None] * 3)
        self.assertIsNone(self.successResultOf(world.connection.when_terminated()))
