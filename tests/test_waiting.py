"""Waiting for a connection: await_up, and what becomes of requests while it comes and goes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

import twisted_gun as gun
from tests.stage import LAST, OK, LifeCase, answering, feed, up
from twisted_gun.testing import MemoryGun, RecordingReceiver


class AwaitUpTests(LifeCase):
    """Waiting for the connection."""

    def test_name_of_the_protocol(self) -> None:
        """await_up gives the protocol, whether it is up already or not yet."""
        world = MemoryGun()
        before = world.connection.await_up()
        world.pump()
        self.assertEqual(self.successResultOf(before), "http")
        self.assertEqual(self.successResultOf(world.connection.await_up()), "http")

    def test_timeout(self) -> None:
        """It fails with TimedOut after its timeout, 5 seconds by default, while the connection goes on trying."""
        world = MemoryGun(connect_timeout=None)
        world.endpoint.hang()
        default, own, endless = world.connection.await_up(), world.connection.await_up(1.0), world.connection.await_up(None)
        world.advance(1)
        self.assertEqual(self.failureResultOf(own, gun.TimedOut).value.stage, "up")
        world.advance(3.9)
        self.assertNoResult(default)
        world.advance(0.1)
        self.failureResultOf(default, gun.TimedOut)
        world.advance(1000)
        self.assertNoResult(endless)
        self.assertEqual(world.connection.info().state_name, "connecting")
        world.connection.close()
        self.failureResultOf(endless, gun.ShuttingDown)

    def test_timeout_names_the_last_failure(self) -> None:
        """What it fails with says what the last attempt met."""
        world = MemoryGun()
        world.endpoint.refuse()
        waiting = world.connection.await_up(1.0)
        world.pump()
        world.advance(1)
        self.assertIn("connection refused", str(self.failureResultOf(waiting, gun.TimedOut).value))

    def test_waits_through_failed_attempts(self) -> None:
        """A failed attempt does not end it."""
        world = MemoryGun(retry_timeout=1.0)
        world.endpoint.refuse(times=3)
        waiting = world.connection.await_up()
        world.pump()
        self.assertNoResult(waiting)
        world.advance(1)
        world.advance(1)
        self.assertEqual(self.successResultOf(waiting), "http")

    def test_cancel(self) -> None:
        """Cancelling it stops the waiting, and nothing else."""
        world = MemoryGun()
        waiting = world.connection.await_up()
        waiting.cancel()
        self.failureResultOf(waiting)
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up"])
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_cancelled_by_another(self) -> None:
        """One that fires may cancel one that has not, both here and of when_terminated."""
        world = MemoryGun()
        conn = world.connection

        def assert_cancelled(first: Deferred[Any], second: Deferred[Any]) -> None:
            first.addCallback(lambda _: second.cancel())
            world.pump()
            self.successResultOf(first)
            self.failureResultOf(second, CancelledError)

        assert_cancelled(conn.await_up(), conn.await_up())
        waiters = conn.when_terminated(), conn.when_terminated()
        conn.close()
        assert_cancelled(*waiters)

    def test_bad_timeout(self) -> None:
        """A timeout that cannot be waited for raises at the call."""
        world = MemoryGun()
        for timeout in (-1, "5", float("nan"), float("inf")):
            error = self.assertRaises(gun.OptionError, world.connection.await_up, timeout)
            self.assertIn("timeout", str(error))

    def test_inside_a_coroutine(self) -> None:
        """It can be awaited."""
        world = MemoryGun()

        async def main() -> str:
            return await world.connection.await_up()

        result = Deferred.fromCoroutine(main())
        world.pump()
        self.assertEqual(self.successResultOf(result), "http")


class RequestTests(LifeCase):
    """What becomes of requests while the connection comes and goes."""

    def test_kept_until_up(self) -> None:
        """Requests made before it is up are sent after gun_up was delivered, in order, those of the owner's gun_up last."""
        told = RecordingReceiver(lambda event: world.connection.get("/from-gun-up") if event.told_as == "gun_up" else None)
        world = MemoryGun(owner=told)
        for path in ("/1", "/2", "/3"):
            world.connection.get(path)
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/1", b"/2", b"/3", b"/from-gun-up"])

    def test_kept_while_down(self) -> None:
        """Requests made between gun_down and gun_up wait for the next connection."""
        world = up(retry_timeout=1.0)
        world.endpoint.refuse(times=1)
        world.peer.close()
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down"])
        body = world.connection.get("/later").await_body()
        world.advance(1)
        self.assertEqual([request.target for request in world.peer.requests], [b"/later"])
        feed(world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")

    def test_killed_are_not_sent_again(self) -> None:
        """Streams killed by a loss fail once and are not sent again."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        streams = [world.connection.get("/1"), world.connection.get("/2")]
        world.pump()
        world.peer.close()
        world.pump()
        self.assertEqual(told.names(), ["gun_up", "gun_error", "gun_error", "gun_down", "gun_up"])
        (down,) = told.of(gun.Down)
        self.assertEqual((down.killed_streams, down.unprocessed_streams), (tuple(streams), ()))
        self.assertEqual(world.peer.received, b"")

    def test_pipelined_behind_the_last_response(self) -> None:
        """Requests pipelined behind a response with connection: close were not processed, and are said to be so."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        first, second, third = (world.connection.get(path) for path in ("/1", "/2", "/3"))
        world.pump()
        feed(world, LAST)
        (down,) = told.of(gun.Down)
        self.assertIsNone(down.reason)
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), (second, third)))
        self.assertEqual(
            [(event.stream, type(event.reason)) for event in told.of(gun.Error)],
            [(s, gun.StreamRefused) for s in (second, third)],
        )
        self.assertEqual([event.stream for event in told.of(gun.Data) if event.fin], [first])

    def test_waiting_behind_an_upload(self) -> None:
        """A request that waits behind an unfinished upload was never sent: unprocessed. The upload itself is killed."""
        told = RecordingReceiver()
        world = up(owner=told, reply_to=told)
        upload, behind = world.connection.headers("POST", "/upload"), world.connection.get("/behind")
        world.pump()
        self.assertEqual(len(world.peer.requests), 1)
        world.peer.abort()
        world.pump()
        (down,) = told.of(gun.Down)
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((upload,), (behind,)))

    def test_connection_close_reconnects(self) -> None:
        """After a response with connection: close it dials again, and what was asked for meanwhile goes there."""
        world = up(script=answering(LAST))
        bodies = []
        for _ in range(3):
            bodies.append(world.connection.get("/").await_body())
            world.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"ok"] * 3)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_down"] * 3 + ["gun_up"])

    def test_request_behind_a_closing_response(self) -> None:
        """A request made while the last response of a connection is read waits for the next connection."""
        world = up()
        world.connection.get("/1")
        world.pump()
        feed(world, LAST[:-1])
        body = world.connection.get("/2").await_body()
        feed(world, LAST[-1:])
        self.assertEqual([request.target for request in world.peers[0].requests], [b"/1"])
        self.assertEqual([request.target for request in world.peer.requests], [b"/2"])
        feed(world, OK)
        self.assertEqual(self.successResultOf(body), b"ok")

    def test_request_with_connection_close(self) -> None:
        """After a request with connection: close of ours the next ones wait for another connection."""
        world = up(script=answering(OK))
        first = world.connection.get("/1", {"connection": "close"}).await_body()
        second = world.connection.get("/2").await_body()
        world.pump()
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (b"ok", b"ok"))
        self.assertEqual(len(world.peers), 2)

    def test_gun_up_that_closes(self) -> None:
        """An owner that closes in gun_up gets nothing more, and nothing was sent."""
        told = RecordingReceiver(lambda event: world.connection.close())
        world = MemoryGun(owner=told)
        world.connection.get("/")
        is_up = world.connection.await_up()
        world.pump()
        self.assertEqual(told.names(), ["gun_up"])
        self.failureResultOf(is_up, gun.ShuttingDown)
        self.assertEqual(world.peer.received, b"")
        self.assert_nothing_left(world)

    def test_upload_while_down(self) -> None:
        """Content given while it is down is kept and sent with its request."""
        world = MemoryGun()
        stream = world.connection.headers("POST", "/", {"content-length": "6"})
        stream.data(b"abc")
        stream.data(b"def", fin=True)
        world.pump()
        (request,) = world.peer.requests
        self.assertEqual((request.body, request.complete), (b"abcdef", True))

    def test_cancelled_while_down(self) -> None:
        """A request cancelled while it is down is never sent."""
        world = MemoryGun()
        kept, dropped = world.connection.get("/kept"), world.connection.get("/dropped")
        dropped.cancel()
        world.pump()
        self.assertEqual([request.target for request in world.peer.requests], [b"/kept"])
        self.assertIsNone(dropped.info())
        self.assertIsNotNone(kept.info())


class CancelledTests(LifeCase):
    """Requests behind one that was cancelled."""

    def test_never_answered(self) -> None:
        """A cancelled request that the server never answers holds the next up for cancel_timeout; it goes out on a new connection."""
        world = up()
        world.connection.get("/slow").cancel()
        stream = world.connection.get("/next")
        world.advance(4.9)
        self.assertEqual((len(world.peers), self.state(stream)), (1, "waiting"))
        world.advance(0.2)
        world.pump()
        self.assertEqual((len(world.peers), world.peer.requests[0].target), (2, b"/next"))
        feed(world, OK)
        self.assertEqual(self.successResultOf(stream.await_body()), b"ok")

    def state(self, stream: gun.Stream) -> str:
        info = stream.info()
        assert info is not None
        return info.state

    def test_awaited_while_down(self) -> None:
        """A response that is awaited while the connection is down fails with what keeps it from being up."""
        world = MemoryGun()
        world.endpoint.refuse()
        response = world.connection.get("/").await_response(timeout=3.0)
        world.advance(3.0)
        self.assertIn("connection refused", str(self.failureResultOf(response, gun.TimedOut).value))

    def test_violation_that_ends_it(self) -> None:
        """A violation that ends the connection for good is told to the owner once."""
        world = up(retry=0)
        world.connection.get("/")
        world.pump()
        feed(world, b"garbage")
        self.assertEqual(world.owner.names(), ["gun_up", "gun_error", "gun_down"])
        self.assertIsInstance(self.successResultOf(world.connection.when_terminated()), gun.ProtocolViolation)
