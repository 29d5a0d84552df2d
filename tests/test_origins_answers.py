"""`twisted_gun.origins`: what is told of an answer, how requests and connections end, and what is sent again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

import twisted_gun as gun
from tests.origins_stage import OriginsCase, OriginsWorld, h1, h2
from tests.producers import Body
from tests.stage import OK, answer, answering, every_answer
from twisted_gun.testing import Http2Peer, RecordingReceiver, ScriptedPeer


class AnswerTests(OriginsCase):
    """How the answer is told."""

    def test_awaited(self) -> None:
        """Without a `reply_to` all of it is awaited, interim responses and what came with the head among it."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK)))
        asked = world.ask()
        world.pump()
        stream = self.successResultOf(asked)
        kinds = [type(self.successResultOf(stream.await_event())) for _ in range(3)]
        self.assertEqual(kinds, [gun.Inform, gun.Response, gun.Data])
        self.end(world)

    def test_no_content(self) -> None:
        """An answer without content is kept as any other."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(answer(b""))))
        asked = world.ask()
        world.pump()
        stream = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        self.assertEqual(self.successResultOf(stream.await_body()), b"")
        self.end(world)

    def test_told(self) -> None:
        """A `reply_to` is told of the head first, then the Deferred fires, then it is told the rest."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 103 Early\r\n\r\n" + OK)))
        told = RecordingReceiver()
        seen = list[list[str]]()
        asked = world.ask(reply_to=told)
        asked.addCallback(lambda _: seen.append(told.names()))
        world.pump()
        self.assertEqual((seen, told.names()), ([["gun_inform", "gun_response"]], ["gun_inform", "gun_response", "gun_data"]))
        self.end(world)

    def test_switched(self) -> None:
        """A server that switches to what was asked for has answered, too."""
        world = OriginsWorld(lambda: ScriptedPeer(answering(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")))
        asked = world.ask(headers={"connection": "upgrade", "upgrade": "echo"})
        world.pump()
        stream = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(stream.await_upgrade()).protocols, (b"echo",))
        self.end(world)

    def test_cancelled_by_who_is_told(self) -> None:
        """Whoever is told of the head may cancel the Deferred then, which fires no more."""
        world = OriginsWorld(h1)
        requested = list[Any]()
        requested.append(world.ask(reply_to=lambda event: requested[0].cancel() if type(event) is gun.Response else None))
        world.pump()
        self.failureResultOf(requested[0], CancelledError)
        self.end(world)

    def test_producer_that_fails_at_once(self) -> None:
        """A request whose producer fails before anybody holds its stream fails, and takes no place."""
        world = OriginsWorld(h2(), protocols=["http2"])
        self.body(world, self.answered(world))
        body = Body()
        body.finished.errback(OSError("no content"))
        self.failureResultOf(world.ask(method="POST", body=body), gun.StreamError)
        self.assertEqual(world.origins.info().idle, 1)
        self.assertEqual(self.body(world, self.answered(world)), b"/")
        self.end(world)

    def answered(self, world: OriginsWorld) -> Any:
        asked = world.ask()
        world.pump()
        return asked

    def test_raises(self) -> None:
        """A receiver that raises when it is told of the head: that is logged, its stream ends, and the Deferred fires all the same."""

        class Flaw(Exception):
            pass

        def raise_once(event: Any) -> None:
            if type(event) is gun.Response:
                raise Flaw

        world = OriginsWorld(lambda: ScriptedPeer(answering()))
        told = RecordingReceiver(react=raise_once)
        asked = world.ask(reply_to=told)
        world.pump()
        self.assertEqual(told.names(), ["gun_response", "gun_error"])
        self.successResultOf(asked)
        self.assertEqual(len(self.flushLoggedErrors(Flaw)), 1)
        self.end(world)


class EndTests(OriginsCase):
    """The end of all."""

    def test_close(self) -> None:
        """`close` ends everything at once: what waits, what is sent, what is being answered, and what is idle."""
        world = OriginsWorld(max_per_host=2)
        answered, sent, waiting = world.ask("/1"), world.ask("/2"), world.ask("/3")
        world.pump()
        world.peers[0].send(answer(b"x" * 10)[:-5])
        world.pump()
        body = self.successResultOf(answered).await_body()
        ended = world.origins.close()
        self.failureResultOf(sent, gun.StreamClosed)
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.failureResultOf(body, gun.StreamClosed)
        self.failureResultOf(world.ask(), gun.ShuttingDown)
        world.pump()
        self.successResultOf(ended)
        self.assert_nothing_left(world)
        self.successResultOf(world.origins.close())

    def test_shutdown(self) -> None:
        """`shutdown` lets finish what was sent; what waits is refused."""
        world = OriginsWorld(max_per_host=1)
        sent, waiting = world.ask("/1"), world.ask("/2")
        world.pump()
        ended = world.origins.shutdown()
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.assertNoResult(ended)
        world.peer.send(OK)
        world.pump()
        self.assertEqual(self.body(world, sent), b"ok")
        self.successResultOf(ended)
        self.assert_nothing_left(world)

    def test_while_connecting(self) -> None:
        """Either ends attempts, too."""
        for end in ("close", "shutdown"):
            world = OriginsWorld()
            world.endpoint("example.org", 80).hang()
            asked = world.ask()
            world.pump()
            ended = getattr(world.origins, end)()
            self.failureResultOf(asked, gun.ShuttingDown)
            world.pump()
            self.successResultOf(ended)
            self.assert_nothing_left(world)

    def test_waiter_cancelled(self) -> None:
        """Who waits for the end may stop waiting."""
        world = OriginsWorld()
        world.ask()
        world.pump()
        first, second = world.origins.shutdown(), world.origins.shutdown()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.end(world)
        self.successResultOf(second)

    def test_from_within(self) -> None:
        """What is asked for from within the refusal of others is refused."""
        world = OriginsWorld(max_per_host=1)
        again = list[Any]()
        world.ask("/1")
        waiting, other = world.ask("/2"), world.ask("/3")
        waiting.addErrback(lambda _: again.append(world.ask("/4"))).addCallback(lambda _: other.cancel())
        world.pump()
        self.end(world)
        self.failureResultOf(again[0], gun.ShuttingDown)
        self.assertTrue(other.called)

    def test_shown(self) -> None:
        """What they are can be read."""
        world = OriginsWorld()
        world.ask()
        self.assertIn("1 with 1 connections", repr(world.origins))
        self.end(world)
        self.assertIn("closed", repr(world.origins))


class AgainTests(OriginsCase):
    """Requests that are sent again, where that is safe."""

    def kept(self, most: int = 1, **options: Any) -> OriginsWorld:
        """A world of HTTP/1.1 with `most` connections that have served."""
        world = OriginsWorld(max_per_host=most, **options)
        asked = [world.ask("/kept") for _ in range(most)]
        world.pump()
        for peer in world.peers:
            peer.send(OK)
        world.pump()
        for each in asked:
            self.body(world, each)
        return world

    def lose(self, world: OriginsWorld) -> None:
        """The server answers the latest request by closing, as one does that had closed already."""
        for peer in world.alive:
            if peer.requests and peer.requests[-1].target != b"/kept":
                peer.close()
        world.pump()

    def test_kept(self) -> None:
        """An idempotent request that a kept connection lost before an answer is sent again, once, by a new connection."""
        for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"):
            world = self.kept(2)
            asked = world.ask("/again", method=method)
            world.pump()
            self.lose(world)
            self.assertEqual([len(peer.requests) for peer in world.peers], [2, 1, 1])
            world.peer.send(b"HTTP/1.1 204 No\r\n\r\n")
            world.pump()
            self.successResultOf(asked)
            self.assertEqual(world.origins.info().repeated, 1)
            self.assertEqual(len(world.alive), 1)  # what was idle beside it was not trusted
            self.end(world)

    def test_not_twice(self) -> None:
        """A second loss is told."""
        world = self.kept()
        asked = world.ask("/again")
        world.pump()
        self.lose(world)
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)

    def test_not(self) -> None:
        """Not what is not idempotent, nor on a new connection, nor after a sign of life, nor where there was another reason."""
        world = self.kept()
        asked = world.ask("/post", method="POST", body=b"x")
        world.pump()
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)
        world = OriginsWorld()
        asked = world.ask("/new")
        world.pump()
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.end(world)
        for sign in (b"HTTP/1.1 103 Early\r\n\r\n", b"nonsense\r\n\r\n"):
            world = self.kept()
            asked = world.ask("/sign")
            world.pump()
            world.peer.send(sign)
            world.pump()
            self.lose(world)
            self.failureResultOf(asked, gun.StreamClosed, gun.ProtocolViolation)
            self.assertEqual(world.origins.info().repeated, 0)
            self.end(world)

    def test_never_used(self) -> None:
        """A connection that was idle without ever having been used is as little to be trusted."""
        world = OriginsWorld(max_per_host=2)
        first, second = world.ask("/1"), world.ask("/2")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        world.pump()
        self.assertEqual(len(world.peers), 2)
        third = world.ask("/3")
        world.pump()
        next(peer for peer in world.peers if peer.requests[0].target == b"/3").close()
        world.pump()
        self.assertEqual([request.target for request in world.peers[2].requests], [b"/3"])
        self.assertNoResult(first)
        self.assertNoResult(third)
        self.end(world)

    def test_producer(self) -> None:
        """Not where the content comes from a producer that has begun."""
        world = self.kept()
        body = Body()
        asked = world.ask("/put", method="PUT", body=body)
        world.pump()
        self.assertEqual(body.asked, ["start"])
        self.lose(world)
        self.failureResultOf(asked, gun.StreamClosed)
        self.assertEqual(body.asked, ["start", "stop"])
        self.end(world)

    def test_unprocessed(self) -> None:
        """What the server certainly did not process is sent again, whatever it is, at most twice."""
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        asked = world.ask("/post", method="POST", body=b"content")
        world.pump()
        for number in (1, 2, 3):
            self.assertNoResult(asked)
            self.assertEqual(len(world.peer.requests), number)
            self.assertEqual(world.peer.requests[-1].body, b"content")
            world.peer.reset(world.peer.requests[-1], 7)  # REFUSED_STREAM
            world.pump()
        self.failureResultOf(asked, gun.StreamRefused)
        self.assertEqual(world.origins.info().repeated, 2)
        self.end(world)

    def test_goaway(self) -> None:
        """What is above the last stream of a GOAWAY goes to another connection."""
        world = OriginsWorld(Http2Peer, protocols=["http2"], max_per_host=1)
        first, second = world.ask("/1", method="POST"), world.ask("/2", method="POST")
        world.pump()
        world.peer.goaway(world.peer.requests[0].stream_id)
        world.pump()
        self.assertEqual([[request.path for request in peer.requests] for peer in world.peers], [[b"/1", b"/2"], [b"/2"]])
        for peer in world.peers:
            for request in peer.requests:
                if request.path == b"/1" or peer is world.peers[1]:
                    peer.respond(request, 200, {}, request.path)
        world.pump()
        self.assertEqual([self.body(world, each) for each in (first, second)], [b"/1", b"/2"])
        self.end(world)

    def test_renewed_again_and_again(self) -> None:
        """A server that goes away after each request gets the others by as many connections as that takes; one that takes none does not."""
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        asked = [world.ask(f"/{number}") for number in range(6)]
        world.pump()
        for _ in range(6):
            peer = world.peer
            peer.goaway(peer.requests[0].stream_id)
            peer.respond(peer.requests[0], 200, {}, peer.requests[0].path)
            world.pump()
        self.assertEqual([self.body(world, each) for each in asked], [b"/%d" % number for number in range(6)])
        self.assertEqual(world.attempts, 6)
        self.end(world)
        world = OriginsWorld(Http2Peer, protocols=["http2"])
        refused = world.ask()
        world.pump()
        for _ in range(3):
            self.assertNoResult(refused)
            world.peer.goaway(0)
            world.pump()
        self.failureResultOf(refused, gun.GoAway)
        self.end(world)

    def test_producer_that_waited(self) -> None:
        """A producer that has not begun does no harm."""
        world = OriginsWorld(Http2Peer, protocols=["http2"], max_per_host=1)
        body = Body(length=4)
        asked = world.ask("/", method="POST", body=body)
        world.pump()
        self.assertEqual(body.asked, ["start"])
        body.consumer.write(b"data")
        body.finished.callback(None)
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual((self.body(world, asked), world.peer.requests[0].body), (b"/", b"data"))
        self.end(world)

    def test_content(self) -> None:
        """Content may be bytes, a list of them, or nothing."""
        for body, sent in ((b"x", b"x"), ([b"a", b"b"], b"ab"), (None, b""), (bytearray(b"y"), b"y")):
            world = OriginsWorld(h1)
            asked = world.ask(method="POST", body=body)
            world.pump()
            self.body(world, asked)
            self.assertEqual(world.peer.requests[0].body, sent)
            self.end(world)
