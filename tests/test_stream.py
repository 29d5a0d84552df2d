"""What comes back on a stream: awaiting it, iterating over it, holding it back, and when nothing comes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.stage import CHUNKED, EMPTY, OK, SWITCH, UNTIL_CLOSE, UPGRADE, answer, feed, up
from twisted_gun.testing import MemoryGun

INFORM = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


class StreamCase(SynchronousTestCase):
    """A connection that is up, and one stream on it."""

    def setUp(self) -> None:
        self.world = up()
        self.stream = self.world.connection.get("/")
        self.world.pump()

    def feed(self, data: bytes) -> None:
        feed(self.world, data)

    def run_to_end(self, coroutine: Awaitable[Any]) -> Any:
        result = Deferred.fromCoroutine(_awaited(coroutine))
        self.world.pump()
        return self.successResultOf(result)


async def _awaited(coroutine: Awaitable[Any]) -> Any:
    return await coroutine


class AwaitTests(StreamCase):
    """The await_ methods."""

    def test_each_event(self) -> None:
        """await_event gives one event after the other: interim, response, data, trailers."""
        self.feed(INFORM + CHUNKED)
        kinds = [type(self.successResultOf(self.stream.await_event())) for _ in range(4)]
        self.assertEqual(kinds, [gun.Inform, gun.Response, gun.Data, gun.Trailers])

    def test_event_that_is_not_there_yet(self) -> None:
        """await_event waits for what comes next."""
        waiting = self.stream.await_event()
        self.assertNoResult(waiting)
        self.feed(INFORM)
        event: Any = self.successResultOf(waiting)
        self.assertEqual(event.status, 103)

    def test_response_passes_over_interim_ones(self) -> None:
        """await_response skips 1xx, whether they are there already or come later."""
        self.feed(INFORM)
        waiting = self.stream.await_response()
        self.feed(INFORM)
        self.assertNoResult(waiting)
        self.feed(OK)
        response = self.successResultOf(waiting)
        self.assertEqual((response.status, response.fin, response.headers), (200, False, ((b"content-length", b"2"),)))

    def test_response_that_is_the_end(self) -> None:
        """A response without content has fin; the body awaited after it is empty."""
        self.feed(EMPTY)
        self.assertTrue(self.successResultOf(self.stream.await_response()).fin)
        self.assertEqual(self.successResultOf(self.stream.await_body()), b"")

    def test_response_after_its_time(self) -> None:
        """await_response fails with BadState where the next event is content, and leaves that for others."""
        self.feed(OK)
        self.successResultOf(self.stream.await_response())
        self.failureResultOf(self.stream.await_response(), gun.BadState)
        self.assertEqual(self.successResultOf(self.stream.await_body()), b"ok")

    def test_body_without_the_response(self) -> None:
        """await_body alone passes over what comes before the content."""
        waiting = self.stream.await_body()
        self.feed(INFORM + OK)
        self.assertEqual(self.successResultOf(waiting), b"ok")

    def test_body_in_pieces(self) -> None:
        """await_body joins the pieces, those that were there and those that come."""
        whole = answer(b"0123456789")
        self.feed(whole[:-8])
        waiting = self.stream.await_body()
        self.feed(whole[-8:-3])
        self.assertNoResult(waiting)
        self.feed(whole[-3:])
        self.assertEqual(self.successResultOf(waiting), b"0123456789")

    def test_trailers(self) -> None:
        """After await_body the trailers are there, by name and value; before, and where there are none, it is empty."""
        self.assertEqual(self.stream.trailers, ())
        waiting = self.stream.await_body()
        self.feed(CHUNKED)
        self.assertEqual(self.successResultOf(waiting), b"wikipedia")
        self.assertEqual(self.stream.trailers, ((b"x-sum", b"1"),))

    def test_body_twice(self) -> None:
        """Awaited again, the rest of the content is empty."""
        self.feed(OK)
        self.assertEqual(self.successResultOf(self.stream.await_body()), b"ok")
        self.assertEqual(self.successResultOf(self.stream.await_body()), b"")

    def test_nothing_more(self) -> None:
        """await_event and await_response fail with BadState where the stream has ended and all was read."""
        self.feed(OK)
        self.successResultOf(self.stream.await_body())
        self.failureResultOf(self.stream.await_event(), gun.BadState)
        self.failureResultOf(self.stream.await_response(), gun.BadState)
        self.failureResultOf(self.stream.await_upgrade(), gun.BadState)

    def test_one_at_a_time(self) -> None:
        """A second await while the first waits raises BadState; the first is unharmed."""
        waiting = self.stream.await_response()
        self.assertRaises(gun.BadState, self.stream.await_event)
        self.feed(OK)
        self.assertEqual(self.successResultOf(waiting).status, 200)

    def test_response_and_body_in_a_coroutine(self) -> None:
        """The usual way: await the response, then the body."""

        async def main() -> tuple[int, bytes]:
            response = await self.stream.await_response()
            return response.status, await self.stream.await_body()

        result = Deferred.fromCoroutine(main())
        self.feed(OK)
        self.assertEqual(self.successResultOf(result), (200, b"ok"))

    def test_upgrade(self) -> None:
        """await_upgrade gives the upgrade; what the peer sends then is data, and what is sent goes out as it is."""
        stream = self.upgrading()
        waiting = stream.await_upgrade()
        self.feed(INFORM + SWITCH + b"hello")
        self.assertEqual(self.successResultOf(waiting).protocols, (b"echo",))
        self.assertEqual(self.successResultOf(stream.await_event()).data, b"hello")
        stream.data(b"\x00raw")
        self.world.pump()
        self.assertTrue(self.world.peer.received.endswith(b"\r\n\r\n\x00raw"))

    def test_end_of_an_upgrade(self) -> None:
        """The peer's FIN ends the upgraded stream with fin; afterwards nothing can be sent on it."""
        stream = self.upgrading()
        self.feed(SWITCH)
        self.world.peer.close()
        self.world.pump()
        self.successResultOf(stream.await_upgrade())
        last = self.successResultOf(stream.await_event())
        self.assertEqual((last.data, last.fin), (b"", True))
        self.assertRaises(gun.BadState, stream.data, b"late")

    def test_refused_upgrade(self) -> None:
        """A response instead of the upgrade fails with UpgradeRefused, which carries it; its body can be awaited."""
        stream = self.upgrading()
        waiting = stream.await_upgrade()
        self.feed(answer(b"no", 426))
        refused = self.failureResultOf(waiting, gun.UpgradeRefused).value
        self.assertEqual(refused.response.status, 426)
        self.assertEqual(self.successResultOf(stream.await_body()), b"no")

    def upgrading(self) -> Any:
        world = self.world = up()
        stream = world.connection.get("/", UPGRADE)
        world.pump()
        return stream


class ErrorTests(StreamCase):
    """A stream that fails."""

    def test_each_way_of_awaiting(self) -> None:
        """Whatever is awaited fails with the reason, then and ever after."""
        for name in ("await_event", "await_response", "await_body", "await_upgrade"):
            self.setUp()
            waiting = getattr(self.stream, name)()
            self.world.peer.abort()
            self.world.pump()
            reason = self.failureResultOf(waiting, gun.StreamClosed).value
            self.assertIs(self.failureResultOf(getattr(self.stream, name)(), gun.StreamClosed).value, reason)

    def test_error_nobody_awaited(self) -> None:
        """An error is kept like any event, behind what came before it."""
        self.feed(INFORM)
        self.world.peer.abort()
        self.world.pump()
        event: Any = self.successResultOf(self.stream.await_event())
        self.assertEqual(event.status, 103)
        self.failureResultOf(self.stream.await_event(), gun.StreamClosed)

    def test_iterating(self) -> None:
        """Iterating over events or chunks raises the reason."""
        for iterate in (lambda stream: stream, lambda stream: stream.chunks()):
            self.setUp()
            self.feed(answer(b"0123456789")[:-5])
            self.world.peer.abort()
            self.world.pump()

            async def main(iterate: Any = iterate) -> None:
                async for _ in iterate(self.stream):
                    pass

            self.failureResultOf(Deferred.fromCoroutine(main()), gun.Truncated)

    def test_neighbour(self) -> None:
        """One stream's cancelling does not touch the one behind it."""
        other = self.world.connection.get("/other")
        self.stream.cancel()
        self.feed(OK + answer(b"other"))
        self.assertEqual(self.successResultOf(other.await_body()), b"other")


class IterationTests(StreamCase):
    """async for."""

    def test_events(self) -> None:
        """Iterating over a stream gives its events to the last, then ends."""

        async def main() -> list[str]:
            return [event.told_as async for event in self.stream]

        self.feed(INFORM + CHUNKED)
        self.assertEqual(self.run_to_end(main()), ["gun_inform", "gun_response", "gun_data", "gun_trailers"])

    def test_events_as_they_come(self) -> None:
        """Iterating waits for what has not come yet, without a timeout."""
        seen: list[str] = []

        async def main() -> None:
            async for event in self.stream:
                seen.append(event.told_as)

        result = Deferred.fromCoroutine(main())
        self.feed(CHUNKED[:50])
        self.world.advance(1000)
        self.assertNoResult(result)
        self.assertEqual(seen[0], "gun_response")
        self.feed(CHUNKED[50:])
        self.successResultOf(result)
        self.assertEqual(seen[-1], "gun_trailers")

    def test_chunks(self) -> None:
        """chunks() gives the content piece by piece, none of them empty; then the trailers are there."""

        async def main() -> list[bytes]:
            return [chunk async for chunk in self.stream.chunks()]

        result = Deferred.fromCoroutine(main())
        for at in range(len(CHUNKED)):
            self.feed(CHUNKED[at : at + 1])
        chunks = self.successResultOf(result)
        self.assertEqual(b"".join(chunks), b"wikipedia")
        self.assertNotIn(b"", chunks)
        self.assertEqual(self.stream.trailers, ((b"x-sum", b"1"),))

    def test_chunks_of_nothing(self) -> None:
        """Without content there are no chunks."""

        async def main() -> list[bytes]:
            return [chunk async for chunk in self.stream.chunks()]

        self.feed(EMPTY)
        self.assertEqual(self.run_to_end(main()), [])

    def test_break(self) -> None:
        """Leaving the loop leaves the rest to be read."""

        async def main() -> bytes:
            async for _ in self.stream:
                break
            return await self.stream.await_body()

        self.feed(OK)
        self.assertEqual(self.run_to_end(main()), b"ok")


class TimeoutTests(StreamCase):
    """Waiting in vain."""

    def test_stages(self) -> None:
        """Each way of awaiting fails with TimedOut after 5 seconds by default, and says what it waited for."""
        stages = {"await_event": "event", "await_response": "response", "await_body": "body", "await_upgrade": "upgrade"}
        for name, stage in stages.items():
            waiting = getattr(self.stream, name)()
            self.world.advance(4.5)
            self.assertNoResult(waiting)
            self.world.advance(0.5)
            error = self.failureResultOf(waiting, gun.TimedOut).value
            self.assertEqual((error.stage, error.seconds), (stage, 5.0))

    def test_own_and_none(self) -> None:
        """The timeout is the caller's; None is without end."""
        waiting = self.stream.await_response(timeout=0.5)
        self.world.advance(0.5)
        self.failureResultOf(waiting, gun.TimedOut)
        waiting = self.stream.await_response(timeout=None)
        self.world.advance(10_000)
        self.assertNoResult(waiting)
        self.feed(OK)
        self.successResultOf(waiting)

    def test_body_is_timed_by_message(self) -> None:
        """await_body's timeout runs anew with each piece."""
        whole = answer(b"0123456789")
        waiting = self.stream.await_body(timeout=5.0)
        for at in range(len(whole) - 10, len(whole)):
            self.world.advance(4)
            self.feed(whole[at : at + 1] if at > len(whole) - 10 else whole[: at + 1])
        self.assertEqual(self.successResultOf(waiting), b"0123456789")

    def test_nothing_is_lost(self) -> None:
        """What timed out or was cancelled can be awaited again, and gets all that came."""
        whole = answer(b"0123456789")
        self.feed(whole[:-5])
        waiting = self.stream.await_body(timeout=1.0)
        self.world.advance(1)
        self.failureResultOf(waiting, gun.TimedOut)
        self.feed(whole[-5:-2])
        waiting = self.stream.await_body(timeout=None)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.feed(whole[-2:])
        self.assertEqual(self.successResultOf(self.stream.await_body()), b"0123456789")

    def test_nothing_is_lost_to_another_reader(self) -> None:
        """What await_body had taken when it timed out is there for chunks() too."""
        whole = answer(b"0123456789")
        self.feed(whole[:-5])
        waiting = self.stream.await_body(timeout=1.0)
        self.world.advance(1)
        self.failureResultOf(waiting, gun.TimedOut)
        self.feed(whole[-5:])

        async def main() -> bytes:
            return b"".join([chunk async for chunk in self.stream.chunks()])

        self.assertEqual(self.run_to_end(main()), b"0123456789")

    def test_cancelled_event(self) -> None:
        """Cancelling what awaits an event leaves that event for the next."""
        for name in ("await_event", "await_response"):
            self.setUp()
            waiting = getattr(self.stream, name)()
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.feed(OK)
            self.assertEqual(self.successResultOf(getattr(self.stream, name)()).status, 200)

    def test_no_timer_is_left(self) -> None:
        """After an answer in time nothing times out later."""
        waiting = self.stream.await_body(timeout=1.0)
        self.feed(OK)
        self.world.advance(100)
        self.assertEqual(self.successResultOf(waiting), b"ok")
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class CancelTests(StreamCase):
    """stream.cancel."""

    def test_awaiting_a_cancelled_stream(self) -> None:
        """Who awaits a stream that is cancelled is told so at once, and so is who awaits it later."""
        waiting = self.stream.await_body(timeout=None)
        self.stream.cancel()
        self.world.pump()
        self.failureResultOf(waiting, gun.StreamClosed)
        self.failureResultOf(self.stream.await_event(), gun.StreamClosed)

    def test_nothing_is_told(self) -> None:
        """A cancelled stream is told nothing more, has no info, and cannot be sent on; cancelling it again does nothing."""
        events: list[Any] = []
        stream = self.world.connection.headers("POST", "/", reply_to=events.append)
        stream.cancel()
        stream.cancel()
        self.feed(OK + OK)
        self.assertEqual(events, [])
        self.assertIsNone(stream.info())
        self.assertRaises(gun.BadState, stream.data, b"x")
        stream.update_flow(1)

    def test_rest_of_a_small_response_is_read(self) -> None:
        """The rest of a small response is read for nothing, and the connection is used again."""
        self.stream.cancel()
        self.feed(OK)
        body = self.world.connection.get("/next").await_body()
        self.world.pump()
        self.feed(answer(b"next"))
        self.assertEqual(self.successResultOf(body), b"next")
        self.assertEqual(len(self.world.peers), 1)

    def test_large_response_is_not_read(self) -> None:
        """A response of max_cancelled_size + 1 costs the connection; one of max_cancelled_size does not."""
        for size, connections in ((64 * 1024 - 1, 1), (64 * 1024, 1), (64 * 1024 + 1, 2)):
            self.setUp()
            self.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            self.stream.cancel()
            self.world.pump()
            self.assertEqual(len(self.world.peers), connections, size)

    def test_info(self) -> None:
        """info() says who is told, the method, and whether the request waits or runs."""
        info: Any = self.stream.info()
        self.assertEqual((info.stream, info.method, info.reply_to, info.state), (self.stream, b"GET", None, "running"))
        world = MemoryGun()
        info = world.connection.get("/").info()
        self.assertEqual(info.state, "waiting")


class HoldingBackTests(StreamCase):
    """Events nobody reads hold the peer back."""

    #: An event counts 256 bytes besides its data; the response and one piece of data are two events.
    LIMIT = 64 * 1024 - 2 * 256

    @property
    def reading(self) -> bool:
        return self.world.endpoint.links[-1].client.reading

    def fill(self, size: int) -> None:
        """A response without an end, and `size` bytes of content as one event."""
        self.world.endpoint.links[-1].chunk_size = 1 << 20
        self.feed(UNTIL_CLOSE + b"x" * size)

    def test_limit(self) -> None:
        """64 KiB of unread events pause the socket; one byte less does not."""
        for size, reading in ((self.LIMIT - 1, True), (self.LIMIT, False), (self.LIMIT + 1, False)):
            self.setUp()
            self.fill(size)
            self.assertEqual(self.reading, reading, size)

    def test_reading_on(self) -> None:
        """It is resumed when half or less is unread."""
        self.fill(32 * 1024 - 256)
        self.feed(b"y" * (32 * 1024 - 256))
        self.assertFalse(self.reading)
        self.successResultOf(self.stream.await_response())
        self.assertFalse(self.reading)
        self.successResultOf(self.stream.await_event())
        self.assertTrue(self.reading)

    def test_memory_is_bounded(self) -> None:
        """Of ten megabytes offered no more than the limit and one read are kept."""
        self.world.peer.send(UNTIL_CLOSE + b"x" * 10_000_000)
        self.world.pump()
        kept = 10_000_000 - self.world.endpoint.links[-1].server.buffered - self.world.endpoint.links[-1].client.unread
        self.assertLessEqual(kept, 2 * 65536)

    def test_all_of_it_arrives(self) -> None:
        """A reader that takes its time gets every byte, in order."""
        content = bytes(range(256)) * 4096
        self.world.peer.send(answer(content))
        self.world.pump()
        received = b""
        while len(received) < len(content):
            event = self.successResultOf(self.stream.await_event())
            received += getattr(event, "data", b"")
            self.world.pump()
        self.assertEqual(received, content)

    def test_flush(self) -> None:
        """flush drops what is unread and lets the peer go on."""
        self.fill(self.LIMIT)
        self.stream.flush()
        self.assertTrue(self.reading)
        self.feed(b"new")
        event: Any = self.successResultOf(self.stream.await_event())
        self.assertEqual(event.data, b"new")

    def test_cancel(self) -> None:
        """Cancelling a stream that holds the peer back lets the ones behind it go on."""
        other = self.world.connection.get("/other")
        self.world.endpoint.links[-1].chunk_size = 1 << 20
        self.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 65526\r\n\r\n" + b"x" * 65525)
        self.assertFalse(self.reading)
        self.stream.cancel()
        self.feed(b"x" + answer(b"other"))
        self.assertEqual(self.successResultOf(other.await_body()), b"other")

    def test_awaited_body_is_not_held(self) -> None:
        """What await_body takes counts as read, however much it is."""
        waiting = self.stream.await_body()
        content = b"x" * 1_000_000
        self.feed(answer(content))
        self.assertEqual(self.successResultOf(waiting), content)

    def test_receiver_is_not_held(self) -> None:
        """A receiver reads at once: nothing is held back without flow."""
        seen: list[int] = []
        world = up()
        world.connection.get("/", reply_to=lambda event: seen.append(len(getattr(event, "data", b""))))
        world.pump()
        feed(world, answer(b"x" * 1_000_000))
        self.assertEqual(sum(seen), 1_000_000)


class FlowTests(SynchronousTestCase):
    """flow and update_flow."""

    def pieces(self, world: MemoryGun, count: int) -> None:
        for at in range(count):
            world.peer.send(b"%d" % at)
            world.pump()

    def test_exact(self) -> None:
        """With flow=2 two data events are told, then the socket is paused; each update_flow gives exactly so many more."""
        told: list[bytes] = []
        world = up()
        stream = world.connection.get("/", flow=2, reply_to=_collector(told))
        world.pump()
        feed(world, UNTIL_CLOSE)
        reading = []
        for at in range(2):
            feed(world, b"%d" % at)
            reading.append(world.endpoint.links[-1].client.reading)
        self.assertEqual((told, reading), ([b"0", b"1"], [True, False]))
        self.pieces(world, 4)
        self.assertEqual(len(told), 2)
        stream.update_flow(1)
        world.pump()
        self.assertEqual(len(told), 3)
        self.assertFalse(world.endpoint.links[-1].client.reading)
        stream.update_flow(10)
        world.pump()
        self.assertEqual(b"".join(told), b"010123")

    def test_default_of_the_connection(self) -> None:
        """http_opts.flow is what streams have that give none; None lifts it for one."""
        for options, most in (({}, 1), ({"flow": 3}, 3), ({"flow": None}, 5)):
            told: list[bytes] = []
            world = up(http_opts={"flow": 1}, reply_to=_collector(told))
            world.connection.get("/", **options)
            world.pump()
            feed(world, UNTIL_CLOSE)
            self.pieces(world, 5)
            self.assertEqual(len(told), most)

    def test_only_the_first_stream_governs(self) -> None:
        """The flow of a pipelined stream counts when its turn comes."""
        told: list[bytes] = []
        world = up(reply_to=_collector(told))
        world.connection.get("/1")
        world.connection.get("/2", flow=1)
        world.pump()
        feed(world, OK + UNTIL_CLOSE + b"one")
        self.assertFalse(world.endpoint.links[-1].client.reading)
        feed(world, b"two")
        self.assertEqual(told, [b"ok", b"one"])

    def test_reading_goes_on_at_the_end(self) -> None:
        """A stream that ends with its flow used up leaves the socket reading for the next."""
        world = up()
        first = world.connection.get("/1", flow=1)
        second = world.connection.get("/2")
        world.pump()
        feed(world, OK + answer(b"two"))
        self.assertEqual(self.successResultOf(first.await_body()), b"ok")
        self.assertEqual(self.successResultOf(second.await_body()), b"two")
        self.assertTrue(world.endpoint.links[-1].client.reading)

    def test_update_before_it_is_sent(self) -> None:
        """update_flow on a request that still waits counts too."""
        world = MemoryGun()
        told: list[bytes] = []
        stream = world.connection.get("/", flow=1, reply_to=_collector(told))
        stream.update_flow(2)
        world.pump()
        feed(world, UNTIL_CLOSE)
        self.pieces(world, 5)
        self.assertEqual(told, [b"0", b"1", b"2"])

    def test_bad_increments(self) -> None:
        """update_flow raises InvalidRequest for what is no whole number above 0."""
        stream = up().connection.get("/", flow=1)
        for increment in (0, -1, 1.5, "1", None, True):
            self.assertRaises(gun.InvalidRequest, stream.update_flow, increment)

    def test_without_flow(self) -> None:
        """update_flow on a stream without flow changes nothing."""
        world = up()
        stream = world.connection.get("/")
        stream.update_flow(5)
        world.pump()
        feed(world, OK)
        self.assertEqual(self.successResultOf(stream.await_body()), b"ok")


def _collector(pieces: list[bytes]) -> Any:
    """A receiver that keeps the data."""
    return lambda event: pieces.append(event.data) if isinstance(event, gun.Data) else None
