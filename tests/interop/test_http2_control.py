"""What a server of HTTP/2 may do besides answering: resets, GOAWAY, settings, pings, limits, windows; all of it done by node."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.interop.http2 import NodeCase
from tests.producers import Body
from twisted_gun.testing import RecordingReceiver

GREETING = b"GET /n/1"


class ControlCase(NodeCase):
    """node, and what most tests end with."""

    async def check_alive(self, conn: gun.Connection, told: RecordingReceiver, names: list[str] | None = None) -> None:
        """The connection still answers, and its owner was told no more than these."""
        self.assertEqual(await self.body(conn.get("/n/1")), GREETING)
        self.assertEqual(told.names(), names or ["gun_up"])

    async def release(self, url: str) -> None:
        """Let all that are held be answered; asked on a connection of its own."""
        conn = await self.connect(url)
        self.assertEqual(await self.body(conn.get("/release")), b"released")
        await conn.shutdown()


class ResetTests(ControlCase):
    """Streams that end before their time."""

    async def test_codes(self) -> None:
        """RST_STREAM fails its stream with the code, and no other."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            other = conn.get("/hold/other")
            for code in (1, 2, 3, 5, 8, 11, 13):
                error: Any = await self.assertFailure(conn.get(f"/reset/{code}").await_response(), gun.StreamReset)
                self.assertEqual(error.code, code)
            await self.release(url)
            self.assertEqual(await self.body(other), b"other")
            await self.check_alive(conn, told)

    async def test_refused(self) -> None:
        """REFUSED_STREAM means that the request was not processed."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            await self.assertFailure(conn.get("/reset/7").await_response(), gun.StreamRefused)
            await self.check_alive(conn, told)

    async def test_in_content(self) -> None:
        """A reset after the first of the content fails what is read of it."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            stream = conn.get("/reset-late")
            self.assertEqual((await stream.await_response()).status, 200)
            error: Any = await self.assertFailure(stream.await_body(), gun.StreamReset)
            self.assertEqual(error.code, 2)
            await self.check_alive(conn, told)

    async def test_cancel(self) -> None:
        """cancel() resets the stream by CANCEL."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            stream = conn.get("/reset-me")
            self.assertEqual((await stream.await_response()).status, 200)
            stream.cancel()
            self.assertEqual(json.loads(await self.body(conn.get("/codes/1")))[-1], 8)
            await self.check_alive(conn, told)

    async def test_cancel_under_way(self) -> None:
        """Downloads that are cancelled while much of them is on its way leave the connection's window whole."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told, initial_stream_window_size=200_000, initial_connection_window_size=200_000)
            for _ in range(30):
                stream = conn.get("/bytes/1000000")
                await stream.await_response()
                await stream.await_event()
                stream.cancel()
            self.assertEqual(len(await self.body(conn.get("/bytes/1000000"))), 1_000_000)
            await self.check_alive(conn, told)

    async def test_early_answer(self) -> None:
        """A whole answer during the upload, and NO_ERROR, are an answer; the producer is stopped, and the connection goes on."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            body = Body()
            stream = conn.put("/early/413", {"content-type": "x/y"}, body)
            body.consumer.write(b"x" * 1_000_000)
            self.assertEqual(await self.body(stream, 413), b"too much")
            await self.check_alive(conn, told)
            self.assertEqual(body.asked.count("stop"), 1)


class GoAwayTests(ControlCase):
    """Connections that node ends."""

    async def test_two_phases(self) -> None:
        """After both GOAWAY all that node took is answered and the connection ends in good order; new requests travel on the next."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            held = [conn.get(f"/hold/{at}") for at in range(5)]
            self.assertEqual(await self.body(conn.get("/goaway/0")), b"last")
            after = conn.get("/n/1")
            await self.release(url)
            self.assertEqual([await self.body(stream) for stream in held], [b"%d" % at for at in range(5)])
            self.assertEqual(await self.body(after), GREETING)
            await self.check_alive(conn, told, ["gun_up", "gun_down", "gun_up"])
            down = told.of(gun.Down)[0]
            self.assertEqual((down.reason, down.killed_streams, down.unprocessed_streams), (None, (), ()))

    async def test_above_the_last(self) -> None:
        """Streams above the last that node takes fail with GoAway at once, and are listed as unprocessed; those below it are answered."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            below, above = conn.get("/hold/below"), conn.get("/goaway-after/1")
            error: Any = await self.assertFailure(above.await_response(), gun.GoAway)
            self.assertEqual((error.code, error.last_stream_id), (0, 1))
            await self.release(url)
            self.assertEqual(await self.body(below), b"below")
            await self.check_alive(conn, told, ["gun_up", "gun_down", "gun_up"])
            down = told.of(gun.Down)[0]
            self.assertEqual((down.reason, down.killed_streams, down.unprocessed_streams), (None, (), (above,)))

    async def test_error(self) -> None:
        """GOAWAY with an error, and the end: what had no answer fails and is listed as killed; the connection is made anew."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            stream = conn.get("/fail/11")
            await self.assertFailure(stream.await_response(), gun.GunError)
            await self.check_alive(conn, told, ["gun_up", "gun_down", "gun_up"])
            down = told.of(gun.Down)[0]
            self.assertIsNotNone(down.reason)
            self.assertEqual((down.killed_streams, down.unprocessed_streams), ((stream,), ()))

    async def test_shutdown(self) -> None:
        """shutdown() lets all streams finish, refuses new ones, and tells node by GOAWAY with NO_ERROR."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            held = [conn.get(f"/hold/{at}") for at in range(5)]
            other = await self.connect(url)
            before = len(json.loads(await self.body(other.get("/goaways/0"))))
            gone = conn.shutdown()
            self.assertRaises(gun.ShuttingDown, conn.get, "/n/1")
            self.assertEqual(json.loads(await self.body(other.get(f"/goaways/{before + 1}")))[before], 0)
            await self.release(url)
            self.assertEqual([await self.body(stream) for stream in held], [b"%d" % at for at in range(5)])
            await gone
            self.assertEqual(told.names(), ["gun_up"])

    async def test_old_server(self) -> None:
        """A server that speaks HTTP/1.1 only, and says so, is recognised."""
        told = RecordingReceiver()
        conn = self.open(self.old, owner=told, retry=0)
        await self.assertFailure(conn.get("/").await_response(), gun.GunError)
        await conn.when_terminated()
        reason = told.of(gun.Down)[0].reason
        self.assertIsInstance(reason, gun.ProtocolViolation)
        self.assertIn("Appears to be an HTTP/1 response?", str(reason))


class SettingsTests(ControlCase):
    """SETTINGS and PING, both ways."""

    async def test_settings_changed(self) -> None:
        """Each SETTINGS is told when that is wanted, and obeyed: no more streams, no wider windows."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told, notify_settings_changed=True)
            self.assertEqual(await self.body(conn.get("/settings/7")), b"acknowledged")
            notes = [note.info for note in told.of(gun.Notify) if note.type == "settings_changed"]
            self.assertEqual(notes[-1], {"max_concurrent_streams": 7, "initial_window_size": 100_000})
            content = b"x" * 500_000
            self.assertEqual(await self.body(conn.post("/echo", body=content)), content)
            held = [conn.get(f"/hold/{at}") for at in range(7)]
            await self.assertFailure(conn.get("/n/1").await_response(), gun.StreamRefused)
            await self.release(url)
            for stream in held:
                await self.body(stream)

    async def test_settings_not_told(self) -> None:
        """By default they are not told."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            self.assertEqual(await self.body(conn.get("/settings/7")), b"acknowledged")
            await self.check_alive(conn, told)

    async def test_ping(self) -> None:
        """A ping gives the time of a round trip, also as a notification."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            seconds = [await conn.ping() for _ in range(3)]
            self.assertTrue(all(0 < each < 5 for each in seconds), seconds)
            self.assertEqual([note.info for note in told.of(gun.Notify) if note.type == "ping_ack"], seconds)

    async def test_pinged(self) -> None:
        """node's ping is answered with what was in it."""
        for url in self.urls:
            self.assertEqual(await self.body((await self.connect(url)).get("/ping")), b"farm2024")

    async def test_keepalive(self) -> None:
        """Pings to keep the connection alive are answered, so that it stays up."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told, keepalive=0.01, keepalive_tolerance=10)
            for _ in range(20):
                await conn.ping()
            held = conn.get("/hold/it")
            await self.release(url)
            self.assertEqual(await self.body(held), b"it")
            self.assertNotIn("gun_down", told.names())


class LimitTests(ControlCase):
    """A server that takes ten streams at a time."""

    async def test_too_many(self) -> None:
        """The eleventh fails at once, as Gun's does; the ten are answered."""
        told = RecordingReceiver()
        conn = await self.connect(self.few, owner=told)
        self.assertEqual(await self.body(conn.get("/n/1")), GREETING)
        held = [conn.get(f"/hold/{at}") for at in range(10)]
        error: Any = await self.assertFailure(conn.get("/hold/10").await_response(), gun.StreamRefused)
        self.assertEqual(str(error), "Maximum concurrency limit has been reached.")
        await self.release(self.few)
        self.assertEqual([await self.body(stream) for stream in held], [b"%d" % at for at in range(10)])
        await self.check_alive(conn, told)

    async def test_waiting(self) -> None:
        """With max_waiting so many wait for their turn, and are answered; the next fails at once."""
        told = RecordingReceiver()
        conn = await self.connect(self.few, owner=told, max_waiting=90)
        self.assertEqual(await self.body(conn.get("/n/1")), GREETING)
        held = [conn.get(f"/hold/{at}") for at in range(10)]
        waiting = [conn.get(f"/n/{at}") for at in range(90)]
        await self.assertFailure(conn.get("/n/90").await_response(), gun.LimitReached)
        await self.release(self.few)
        self.assertEqual([await self.body(stream) for stream in held], [b"%d" % at for at in range(10)])
        self.assertEqual([await self.body(stream) for stream in waiting], [b"GET /n/%d" % at for at in range(90)])
        await self.check_alive(conn, told)


class FlowTests(ControlCase):
    """One of a hundred streams is held back."""

    async def test_unread(self) -> None:
        """A stream that nobody reads is held back by its window; the other ninety-nine come through, and then it does."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told, initial_stream_window_size=65_535)
            unread, *streams = [conn.get("/bytes/200000") for _ in range(100)]
            for stream in streams:
                self.assertEqual(len(await self.body(stream)), 200_000)
            self.assertFalse(unread.ended)
            self.assertEqual(len(await self.body(unread)), 200_000)
            await self.check_alive(conn, told)

    async def test_flow(self) -> None:
        """A stream that may be told one data event gets no more than its window; what is allowed later comes later."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, initial_stream_window_size=65_535)
            ended: Deferred[None] = Deferred()
            told = RecordingReceiver(lambda event: ended.callback(None) if event.fin else None)  # noqa: B023  # it is over in this turn
            held = conn.get("/bytes/200000", reply_to=told, flow=1)
            streams = [conn.get("/bytes/200000") for _ in range(99)]
            for stream in streams:
                self.assertEqual(len(await self.body(stream)), 200_000)
            self.assertLessEqual(_size(told), 2 * 65_535)
            self.assertFalse(held.ended)
            held.update_flow(1_000)
            await ended
            self.assertEqual(_size(told), 200_000)


def _size(told: RecordingReceiver) -> int:
    return sum(len(data.data) for data in told.of(gun.Data))


class ReferenceResetTests(ResetTests):
    """The reference core."""

    core = "h2"


class ReferenceGoAwayTests(GoAwayTests):
    """The reference core."""

    core = "h2"


class ReferenceSettingsTests(SettingsTests):
    """The reference core."""

    core = "h2"


class ReferenceLimitTests(LimitTests):
    """The reference core."""

    core = "h2"


class ReferenceFlowTests(FlowTests):
    """The reference core."""

    core = "h2"
