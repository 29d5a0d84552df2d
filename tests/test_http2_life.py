"""The life of a connection that speaks HTTP/2: pings, settings, what is waited for how long, and its end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

import twisted_gun as gun
from tests.producers import Body
from tests.stage import Http2Case, every_answer, up
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver, ScriptedPeer
from twisted_gun.wire.frames import ErrorCode


class PingTests(Http2Case):
    """Connection.ping()."""

    def silent(self, **options: Any) -> MemoryGun:
        """A world whose peer answers a ping when the test says so."""
        world = self.up(**options)
        world.peer.acknowledge = False
        return world

    def test_round_trip(self) -> None:
        """It fires with the seconds that the answer took, and the owner is told."""
        world = self.silent()
        ping = world.connection.ping()
        world.pump()
        (payload,) = world.peer.pings
        self.assertNoResult(ping)
        world.advance(0.25)
        world.peer.pong(payload)
        world.pump()
        self.assertEqual(self.successResultOf(ping), 0.25)
        (notify,) = world.owner.of(gun.Notify)
        self.assertEqual((notify.connection, notify.type, notify.info), (world.connection, "ping_ack", 0.25))

    def test_reply_to(self) -> None:
        """`reply_to` is told in the owner's place."""
        world, told = self.up(), RecordingReceiver()
        ping = world.connection.ping(reply_to=told)
        world.pump()
        self.assertEqual((self.successResultOf(ping), told.names()), (0.0, ["gun_notify"]))
        self.assertEqual(world.owner.names(), ["gun_up"])

    def test_several(self) -> None:
        """Each is answered by its own, in whatever order."""
        world = self.silent()
        pings = []
        for _ in range(3):
            pings.append(world.connection.ping())
            world.advance(1)
        self.assertEqual(len(set(world.peer.pings)), 3)
        for payload in reversed(world.peer.pings):
            world.peer.pong(payload)
            world.pump()
            world.advance(1)
        self.assertEqual([self.successResultOf(ping) for ping in pings], [5.0, 3.0, 1.0])

    def test_cancelled(self) -> None:
        """Cancelling only stops the waiting; the answer harms nobody."""
        world = self.silent()
        ping, other = world.connection.ping(), world.connection.ping()
        world.pump()
        ping.cancel()
        self.failureResultOf(ping, CancelledError)
        for payload in world.peer.pings:
            world.peer.pong(payload)
        world.pump()
        self.assertEqual(self.successResultOf(other), 0.0)
        self.end(world)

    def test_timeout(self) -> None:
        """addTimeout stops it likewise."""
        world = self.silent()
        ping = world.connection.ping().addTimeout(3, world.clock)
        world.advance(3)
        self.failureResultOf(ping)
        self.end(world)

    def test_cancelled_by_another(self) -> None:
        """One that is cancelled in the callback of another whose answer came in the same turn stays cancelled."""
        world = self.silent()
        first, second = world.connection.ping(), world.connection.ping()
        first.addCallback(lambda _: second.cancel())
        world.pump()
        for payload in world.peer.pings:
            world.peer.pong(payload)
        world.pump()
        self.failureResultOf(second, CancelledError)

    def test_lost(self) -> None:
        """It fails when the connection goes down, is closed or shut down; no ping of one connection is answered by the next."""
        for how in ("abort", "close", "shutdown", "goaway"):
            world = self.silent()
            ping = world.connection.ping()
            world.pump()
            if how in ("abort", "goaway"):
                getattr(world.peer, how)()
            else:
                getattr(world.connection, how)()
            world.pump()
            self.failureResultOf(ping, gun.StreamClosed)
            self.end(world)

    def test_not_up(self) -> None:
        """It raises BadState while there is nobody to ping: before, between and after connections."""
        world = self.world(retry=1, retry_timeout=5.0)
        self.assertRaises(gun.BadState, world.connection.ping)
        world.pump()
        world.endpoint.refuse()
        world.peer.abort()
        world.pump()
        self.assertRaises(gun.BadState, world.connection.ping)
        world.advance(5)
        self.successResultOf(world.connection.when_terminated())
        self.assertRaises(gun.BadState, world.connection.ping)

    def test_http1(self) -> None:
        """HTTP/1.1 has no ping: BadState, nothing is sent, and the connection is as good as before."""
        world = up()
        self.assertRaises(gun.BadState, world.connection.ping)
        world.pump()
        self.assertEqual(world.peer.received, b"")
        world.connection.get("/")
        world.pump()
        self.assertEqual(len(world.peer.requests), 1)

    def test_bad_options(self) -> None:
        """What is no request option is refused at the call."""
        world = self.up()
        self.assertRaises(gun.OptionError, world.connection.ping, reply=None)
        self.assertEqual(world.peer.pings, [])

    def test_server_pings(self) -> None:
        """The server's pings are answered with what they hold."""
        world = self.up()
        world.peer.ping(b"8 bytes!")
        world.pump()
        self.assertEqual((world.peer.pongs, world.owner.names()), ([b"8 bytes!"], ["gun_up"]))

    def test_while_draining(self) -> None:
        """A connection that the server ends is pinged as long as it lasts."""
        world = self.up()
        world.connection.get("/")
        world.pump()
        world.peer.goaway()
        world.pump()
        ping = world.connection.ping()
        world.pump()
        self.assertEqual(self.successResultOf(ping), 0.0)


class SettingsTests(Http2Case):
    """notify_settings_changed."""

    def test_told(self) -> None:
        """Each SETTINGS of the server is told by names, the first too; flags are bools, and unknown settings are left out."""
        world = self.up(settings={"max_concurrent_streams": 7}, http2_opts={"notify_settings_changed": True})
        world.peer.settings(initial_window_size=1000, enable_connect_protocol=1)
        world.pump()
        world.peer.settings()
        world.pump()
        notes = world.owner.of(gun.Notify)
        self.assertEqual({note.type for note in notes}, {"settings_changed"})
        self.assertEqual(
            [note.info for note in notes],
            [{"max_concurrent_streams": 7}, {"initial_window_size": 1000, "enable_connect_protocol": True}, {}],
        )
        self.assertIs(notes[1].info["enable_connect_protocol"], True)

    def test_not_told(self) -> None:
        """Unless it was asked for, nothing is."""
        world = self.up()
        world.peer.settings(max_concurrent_streams=7)
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up"])

    def test_ours(self) -> None:
        """What options say is what the server is told; pushes are off unless asked for."""
        world = self.up()
        self.assertEqual(world.peer.client_settings["enable_push"], 0)
        self.assertEqual(world.peer.client_settings["initial_window_size"], 8_000_000)
        opts = {"enable_push": True, "initial_stream_window_size": 70_000, "max_concurrent_streams": 5, "max_header_list_size": 9000}
        settings = self.up(http2_opts=opts).peer.client_settings
        self.assertEqual((settings["enable_push"], settings["initial_window_size"]), (1, 70_000))
        self.assertEqual((settings["max_concurrent_streams"], settings["max_header_list_size"]), (5, 9000))

    def test_own_options(self) -> None:
        """Options given with the protocol replace those of the connection, keepalive among them."""
        opts = {"core": self.core, "keepalive": 2.0, "notify_settings_changed": True}
        world = MemoryGun(protocols=[("http2", opts)], http2_opts={"keepalive": None}, peer=Http2Peer)
        world.pump()
        world.advance(2)
        self.assertEqual((len(world.peer.pings), len(world.owner.of(gun.Notify))), (1, 1))


class KeepaliveTests(Http2Case):
    """keepalive and keepalive_tolerance."""

    def test_pings(self) -> None:
        """A PING of eight zeros is sent ever so many seconds; nobody is told of the answers."""
        world = self.up(http2_opts={"keepalive": 10.0})
        for count in range(4):
            self.assertEqual(world.peer.pings, [bytes(8)] * count)
            world.advance(9.9)
            self.assertEqual(len(world.peer.pings), count)
            world.advance(0.1)
        self.assertEqual(world.owner.names(), ["gun_up"])
        self.end(world)

    def test_tolerance(self) -> None:
        """A server that leaves more pings without answer than are tolerated is left; the owner is told in Gun's words."""
        world = self.up(http2_opts={"keepalive": 10.0, "keepalive_tolerance": 2})
        world.peer.acknowledge = False
        response = world.connection.get("/").await_response(None)
        world.advance(10)
        world.advance(10)
        self.assertEqual((len(world.peer.pings), world.owner.names()), (2, ["gun_up"]))
        peer = world.peer
        world.advance(10)
        self.assertEqual(world.owner.names(), ["gun_up", "gun_error", "gun_down", "gun_up"])
        error = world.owner.of(gun.Error)[0]
        self.assertEqual(error.reason.stage, "keepalive")
        self.assertEqual(str(error.reason), "The number of unacknowledged pings exceed the configured tolerance value.")
        self.assertIsNotNone(peer.lost)
        self.failureResultOf(response, gun.StreamClosed)
        self.end(world)

    def test_answers_count(self) -> None:
        """A server that answers late, but does, is kept."""
        world = self.up(http2_opts={"keepalive": 10.0, "keepalive_tolerance": 2})
        world.peer.acknowledge = False
        for _ in range(10):
            world.advance(10)
            world.peer.pong(bytes(8))
            world.pump()
        self.assertEqual(world.owner.names(), ["gun_up"])

    def test_no_tolerance_given(self) -> None:
        """Without keepalive_tolerance no number of pings without answer ends the connection."""
        world = self.up(http2_opts={"keepalive": 1.0})
        world.peer.acknowledge = False
        for _ in range(100):
            world.advance(1)
        self.assertEqual((len(world.peer.pings), world.owner.names()), (100, ["gun_up"]))

    def test_own_pings(self) -> None:
        """A ping of the caller's is none of keepalive's."""
        world = self.up(http2_opts={"keepalive": 10.0, "keepalive_tolerance": 1})
        ping = world.connection.ping()
        world.pump()
        self.assertEqual(self.successResultOf(ping), 0.0)
        world.peer.acknowledge = False
        world.advance(10)
        self.assertEqual(world.owner.of(gun.Error), [])
        world.advance(10)
        self.assertEqual(len(world.owner.of(gun.Error)), 1)


class TimeoutTests(Http2Case):
    """What is waited for how long."""

    def ended(self, world: MemoryGun, seconds: float) -> gun.TimedOut:
        """Not before so many seconds the connection ends; why."""
        world.pump()
        world.advance(seconds - 0.1)
        self.assertEqual(world.owner.of(gun.Error), [])
        world.advance(0.2)
        reason: Any = world.owner.of(gun.Error)[0].reason
        self.assertIsInstance(reason, gun.TimedOut)
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)
        return reason  # type: ignore[no-any-return]

    def silent(self, **http2_opts: Any) -> MemoryGun:
        return MemoryGun(protocols=["http2"], http2_opts={"core": self.core, **http2_opts}, peer=ScriptedPeer, retry_timeout=100.0)

    def test_preface(self) -> None:
        """A server that says nothing at all is left after preface_timeout, in Gun's words."""
        reason = self.ended(self.silent(), 5.0)
        self.assertEqual((reason.stage, reason.seconds), ("preface", 5.0))
        self.assertEqual(str(reason), "The preface was not received in a reasonable amount of time.")
        self.assertEqual(self.ended(self.silent(preface_timeout=2.0, settings_timeout=None), 2.0).stage, "preface")

    def test_settings(self) -> None:
        """One that does not acknowledge our SETTINGS is left after settings_timeout, with its code."""
        world = MemoryGun(
            protocols=["http2"],
            http2_opts={"core": self.core, "settings_timeout": 3.0},
            peer=lambda: Http2Peer(acknowledge=False),
            retry_timeout=100.0,
        )
        self.assertEqual(self.ended(world, 3.0).stage, "settings")
        self.assertEqual(world.peers[0].gone_away, (0, ErrorCode.SETTINGS_TIMEOUT))

    def test_no_limits(self) -> None:
        """None waits for ever."""
        world = self.silent(preface_timeout=None, settings_timeout=None)
        world.pump()
        world.advance(10_000)
        self.assertEqual(world.owner.names(), ["gun_up"])
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_well_behaved(self) -> None:
        """A server that does both in time is never timed out for it."""
        world = self.up()
        world.advance(10_000)
        self.assertEqual(world.owner.names(), ["gun_up"])


class ShutdownTests(Http2Case):
    """Connection.shutdown()."""

    def test_idle(self) -> None:
        """With nothing under way it says GOAWAY and ends at once, in good order."""
        world = self.up()
        ended = world.connection.shutdown()
        world.pump()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual((world.peer.gone_away, world.owner.names()), ((0, ErrorCode.NO_ERROR), ["gun_up"]))
        self.assert_nothing_left(world)

    def test_all_streams_finish(self) -> None:
        """All streams finish, uploads too; new ones are refused at the call."""
        world = self.up()
        told = RecordingReceiver()
        body = world.connection.get("/1").await_body()
        upload = world.connection.headers("POST", "/2", reply_to=told)
        ended = world.connection.shutdown()
        world.pump()
        self.assertEqual(world.peer.gone_away, (0, ErrorCode.NO_ERROR))
        self.assertRaises(gun.ShuttingDown, world.connection.get, "/3")
        upload.data(b"content", fin=True)
        every_answer(world.peer)
        world.pump()
        self.assertNoResult(ended)
        every_answer(world.peer)
        world.pump()
        self.assertEqual((self.successResultOf(body), told.of(gun.Data)[0].data), (b"/1", b"/2"))
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_closing_timeout(self) -> None:
        """Those that do not finish within closing_timeout are ended."""
        world = self.up(http2_opts={"closing_timeout": 4.0})
        response = world.connection.get("/").await_response(None)
        world.pump()
        ended = world.connection.shutdown()
        world.advance(3.9)
        self.assertNoResult(ended)
        world.advance(0.2)
        self.successResultOf(ended)
        self.failureResultOf(response, gun.GunError)
        self.assert_nothing_left(world)

    def test_deaf_peer(self) -> None:
        """A server that takes nothing any more is not waited for longer than that either."""
        world = self.up(http2_opts={"closing_timeout": 4.0}, tcp_opts={"send_timeout": None})
        world.peer.window_update(0, 10**6)
        world.peer.settings(initial_window_size=10**6)
        world.pump()
        stream = world.connection.headers("POST", "/")
        world.peer.pause()
        stream.data(b"x" * 500_000)
        world.pump()
        stream.cancel()
        ended = world.connection.shutdown()
        world.advance(4.1)
        self.assertIsNone(self.successResultOf(ended))
        self.assert_nothing_left(world)

    def test_waiting(self) -> None:
        """Requests that wait for room are refused: they were not sent."""
        world = self.up(settings={"max_concurrent_streams": 1}, http2_opts={"max_waiting": 5})
        sent, waiting = (world.connection.get(path).await_response() for path in ("/1", "/2"))
        world.pump()
        world.connection.shutdown()
        world.pump()
        self.failureResultOf(waiting, gun.ShuttingDown)
        self.assertNoResult(sent)
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(sent).status, 200)
        self.assert_nothing_left(world)

    def test_server_goes_away_meanwhile(self) -> None:
        """A GOAWAY that crosses ours changes nothing."""
        world = self.up()
        body = world.connection.get("/").await_body()
        world.pump()
        ended = world.connection.shutdown()
        world.peer.goaway()
        world.pump()
        self.assertNoResult(ended)
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/")
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(len(world.peers), 1)
        self.assert_nothing_left(world)

    def test_owner_gone(self) -> None:
        """set_owner(None) is a shutdown."""
        world = self.up()
        body = world.connection.get("/").await_body()
        world.pump()
        world.connection.set_owner(None)
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(body), b"/")
        self.assert_nothing_left(world)

    def test_parked_content(self) -> None:
        """Content that its owner does not want yet keeps the connection for closing_timeout; then it is told, for there is no later."""
        told = RecordingReceiver()
        world = self.up(http2_opts={"closing_timeout": 4.0})
        world.connection.get("/", flow=1, reply_to=told)
        world.pump()
        world.peer.respond(world.peer.requests[0], 200, {}, b"one", fin=False)
        world.peer.send_data(world.peer.requests[0], b"two", fin=True)
        world.pump()
        ended = world.connection.shutdown()
        world.pump()
        self.assertNoResult(ended)
        world.advance(4.1)
        self.successResultOf(ended)
        self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"onetwo")
        self.assert_nothing_left(world)


class CloseTests(Http2Case):
    """Connection.close()."""

    def test_streams(self) -> None:
        """All streams end with StreamClosed, those that wait too, producers are stopped, and there is no gun_down."""
        told = RecordingReceiver()
        world = self.up(settings={"max_concurrent_streams": 3}, http2_opts={"max_waiting": 5}, reply_to=told)
        body = Body()
        streams = [
            world.connection.get("/"),
            world.connection.post("/", (), body),
            world.connection.get("/", flow=1),
            world.connection.get("/4"),
        ]
        world.pump()
        world.peer.respond(world.peer.requests[2], 200, {}, b"one", fin=False)
        world.pump()
        world.connection.close()
        self.assertTrue(all(stream.ended for stream in streams))
        world.pump()
        self.assertEqual({type(event.reason) for event in told.of(gun.Error)}, {gun.StreamClosed})
        self.assertEqual(len(told.of(gun.Error)), 4)
        self.assertEqual((body.asked[-1], world.owner.names()), ("stop", ["gun_up"]))
        self.assert_nothing_left(world)

    def test_at_any_time(self) -> None:
        """Before it is up, while it drains, while it is shut down and after the end: nothing is left."""
        for stage in ("dialled", "up", "draining", "shutting down", "ended"):
            world = self.world()
            stream = world.connection.get("/")
            response = stream.await_response()
            if stage != "dialled":
                world.pump()
            if stage == "draining":
                world.peer.goaway()
            if stage in ("shutting down", "ended"):
                world.connection.shutdown()
            if stage == "ended":
                every_answer(world.peer)
            if stage != "dialled":
                world.pump()
            world.connection.close()
            world.connection.close()
            world.pump()
            if stage == "ended":
                self.assertEqual(self.successResultOf(response).status, 200)
            else:
                self.failureResultOf(response, gun.StreamClosed)
            self.assert_nothing_left(world)


class LossTests(Http2Case):
    """Connections that are lost, and come back."""

    def test_comes_back(self) -> None:
        """What was not sent goes out over the next connection, which begins anew: identifiers, windows and header tables."""
        world = self.up(retry_timeout=1.0)
        for _ in range(3):
            killed = world.connection.get("/", {"x-custom": "value"}).await_response()
            world.pump()
            world.endpoint.refuse(times=1)
            world.peer.abort()
            world.pump()
            self.failureResultOf(killed, gun.StreamClosed)
            body = world.connection.get("/again", {"x-custom": "value"}).await_body()
            world.advance(1)
            every_answer(world.peer)
            world.pump()
            (request,) = world.peer.requests
            self.assertEqual((request.stream_id, request.headers), (1, ((b"x-custom", b"value"),)))
            self.assertEqual(self.successResultOf(body), b"/again")
        self.end(world)

    def test_peer_closes(self) -> None:
        """A server that closes without GOAWAY while nothing is under way: told, and dialled again."""
        world = self.up()
        world.peer.close()
        world.pump()
        (down,) = world.owner.of(gun.Down)
        self.assertIsInstance(down.reason, gun.ConnectionFailed)
        self.assertEqual(len(world.peers), 2)

    def test_receiver_that_raises(self) -> None:
        """It is logged, and its own stream is cancelled; the connection and the other streams live on."""
        told = RecordingReceiver(lambda event: 1 / 0)
        world = self.up()
        world.connection.get("/bad", reply_to=told)
        other = world.connection.get("/good").await_body()
        world.pump()
        bad = world.peer.requests[0]
        world.peer.respond(bad, 200, {}, b"content", fin=False)
        world.pump()
        every_answer(world.peer)
        world.pump()
        self.assertEqual(self.successResultOf(other), b"/good")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual((told.names(), bad.reset), (["gun_response", "gun_error"], ErrorCode.CANCEL))
        self.assertEqual(len(world.peers), 1)
        self.end(world)

    def test_owner_that_raises(self) -> None:
        """So it is with the owner, whatever it is told."""
        world = self.world(owner=RecordingReceiver(lambda event: 1 / 0), http2_opts={"notify_settings_changed": True})
        world.pump()
        world.connection.ping()
        world.pump()
        world.peer.goaway()
        world.pump()
        self.assertEqual(world.owner.names(), ["gun_up", "gun_notify", "gun_notify", "gun_down", "gun_up", "gun_notify"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 6)
        self.end(world)

    def test_info(self) -> None:
        """info() says what is spoken."""
        world = self.up()
        info = world.connection.info()
        self.assertEqual((info.protocol, info.transport, info.state_name), ("http2", "tcp", "connected"))
        self.assertEqual(self.successResultOf(world.connection.await_up()), "http2")
