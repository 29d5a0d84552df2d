"""Websockets that are not granted: an ordinary response, a handshake that breaks the rules, a server that cannot, a loss meanwhile."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.wire.frames import ErrorCode

STATUSES = (204, 301, 302, 400, 401, 403, 404, 407, 426, 429, 500, 503)


class ResponseCase(WebsocketCase):
    """The server answers something else."""

    cores = ("own",)

    def refused(self, status: int, headers: Any = (), body: bytes = b"", **options: Any) -> tuple[MemoryGun, gun.Stream]:
        """A world whose peer has refused a websocket."""
        world = self.up(end={"accept": False}, **options)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.refuse(status, headers, body)
        world.pump()
        return world, stream


class ResponseTests(ResponseCase):
    """An ordinary response in the place of the upgrade."""

    def test_any_status(self) -> None:
        """await_upgrade fails by UpgradeRefused with the response; then the content can be awaited, and that is the end."""
        for status in STATUSES:
            body = b"" if status == 204 else b"because"
            headers: dict[str, Any] = {"x-why": "because"}
            if status == 204:
                headers["content-length"] = None
            world, stream = self.refused(status, headers, body)
            error = self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused).value
            self.assertEqual((error.response.status, dict(error.response.headers)[b"x-why"]), (status, b"because"))
            self.assertIn(str(status), str(error))
            self.assertEqual(self.successResultOf(stream.await_body()), body)
            self.assertTrue(stream.ended)
            self.assertRaises(gun.BadState, stream.ws_send, "no websocket")
            self.end(world)

    def test_awaited_before(self) -> None:
        """So it is where it was awaited before it came."""
        world = self.up(end={"accept": False})
        stream = world.connection.ws_upgrade("/")
        upgrade = stream.await_upgrade()
        world.pump()
        self.assertNoResult(upgrade)
        world.peer.end.refuse(403, (), b"no")
        world.pump()
        self.assertEqual(self.failureResultOf(upgrade, gun.UpgradeRefused).value.response.status, 403)
        self.assertEqual(self.successResultOf(stream.await_body()), b"no")
        self.end(world)

    def test_as_a_response(self) -> None:
        """It may be awaited as any response, or be told to a receiver."""
        _, stream = self.refused(404, (), b"no")
        self.assertEqual(self.successResultOf(stream.await_response()).status, 404)
        told = RecordingReceiver()
        world, stream = self.refused(404, (), b"no", reply_to=told)
        self.assertEqual(told.names(), ["gun_response", "gun_data"])
        self.told_once(told, stream)
        self.end(world)

    def test_success_that_is_none(self) -> None:
        """A response of success without a switch is a refusal: over HTTP/1.1 a 200, over HTTP/2 one that ends its stream."""
        world = self.up(end={"accept": False})
        stream = world.connection.ws_upgrade("/")
        world.pump()
        if self.http2:
            world.peer.respond(world.peer.requests[0], 200)
        else:
            world.peer.end.respond(200, (), b"hello")
        world.pump()
        error = self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused).value
        self.assertEqual((error.response.status, error.response.fin), (200, self.http2))
        self.end(world)

    def test_again(self) -> None:
        """After a refusal the same connection takes requests, and another upgrade, with what the server asked for."""
        world, stream = self.refused(401, {"www-authenticate": "Basic"})
        self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused)
        other = world.connection.get("/login")
        world.pump()
        if self.http2:
            world.peer.respond(world.peer.requests[-1], 200, {}, b"ok")
        else:
            world.peer.end.respond(200, (), b"ok")
        world.pump()
        self.assertEqual(self.successResultOf(other.await_body()), b"ok")
        again = world.connection.ws_upgrade("/", {"authorization": "Basic YTpi"})
        world.pump()
        self.assertIn((b"authorization", b"Basic YTpi"), world.peer.end.handshake.headers)
        world.peer.end.accept()
        world.pump()
        self.successResultOf(again.await_upgrade())
        self.assertEqual(world.endpoint.attempts, 1)
        self.end(world)

    def test_content_in_pieces(self) -> None:
        """The flow of a refusal is that of its stream: one piece at a time where flow is 1."""
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, reply_to=told)
        stream = world.connection.ws_upgrade("/", flow=1)
        world.pump()
        world.endpoint.links[-1].chunk_size = 1000
        world.peer.end.refuse(500, (), b"x" * 5000)
        world.pump()
        before = len(told.of(gun.Data))
        stream.update_flow(100)
        world.pump()
        if not self.http2:  # whose flow is a matter of windows
            self.assertEqual(before, 1)
        self.assertEqual(b"".join(event.data for event in told.of(gun.Data)), b"x" * 5000)
        self.end(world)


class LostRefusalTests(ResponseCase):
    """Refusals over HTTP/1.1 that end the connection."""

    over = ("http",)

    def test_connection_close(self) -> None:
        """A refusal with Connection: close is told, and requests kept behind it are asked on the next connection."""
        world = self.up(end={"accept": False})
        stream, behind = world.connection.ws_upgrade("/"), world.connection.get("/behind")
        world.pump()
        world.peer.end.refuse(403, {"connection": "close"}, b"no")
        world.pump()
        self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused)
        self.failureResultOf(behind.await_response(), gun.StreamRefused)
        (down,) = world.owner.of(gun.Down)
        self.assertEqual((down.protocol, down.reason, down.killed_streams, down.unprocessed_streams), ("http", None, (), (behind,)))
        self.assertEqual(len(world.peers), 2)
        self.end(world)

    def test_until_the_end(self) -> None:
        """A refusal without a length ends with the connection."""
        world = self.up(end={"accept": False})
        stream = world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.refuse(403, {"content-length": None}, b"no")
        world.peer.drop()
        world.pump()
        self.failureResultOf(stream.await_upgrade(), gun.UpgradeRefused)
        self.assertEqual(self.successResultOf(stream.await_body()), b"no")
        self.end(world)


class BrokenCase(WebsocketCase):
    """Handshakes that must fail the websocket (RFC 6455 section 4.1)."""

    cores = ("own",)

    def check(self, headers: Any, kind: type[gun.GunError] = gun.ProtocolViolation, **ws_opts: Any) -> str:
        """The peer accepts with these fields: the stream fails by `kind`, and frames glued to the response are not told."""
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, ws_opts=ws_opts, owner=told, reply_to=told, retry=0)
        other = world.connection.get("/other") if self.http2 else None
        stream = world.connection.ws_upgrade("/")
        world.pump()
        peer = world.peer
        peer.end.accept(headers=headers)
        peer.end.send("glued")
        world.pump()
        error = self.told_once(told, stream)
        self.assertIsInstance(error, gun.Error, headers)
        self.assertIsInstance(error.reason, kind, headers)
        self.assertEqual((frames(told), told.of(gun.Upgrade), peer.end.raw_frames), ([], [], []))
        self.assertRaises(gun.BadState, stream.ws_send, "no websocket")
        if other is not None:
            self.assertEqual(peer.requests[1].reset, ErrorCode.CANCEL)
            peer.respond(peer.requests[0], 200, {}, b"alive")
            world.pump()
            self.assertEqual(told.names()[-2:], ["gun_response", "gun_data"])
        else:
            self.assertIsNotNone(peer.lost)
            self.assertEqual(len(told.of(gun.Down)), 1)
        self.end(world)
        return str(error.reason)


class BrokenTests(BrokenCase):
    """What both protocols have."""

    def test_subprotocols(self) -> None:
        """A subprotocol that was not asked for, or two of them, is a `ProtocolViolation` in Gun's words."""
        text = "The sec-websocket-protocol header is invalid. (RFC6455 4.1)"
        self.assertEqual(self.check({"sec-websocket-protocol": "unasked"}), text)
        for headers in (
            {"sec-websocket-protocol": "c"},
            {"sec-websocket-protocol": "A"},
            {"sec-websocket-protocol": "a, b"},
            {"sec-websocket-protocol": ""},
            [("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "b")],
            [("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "a")],
        ):
            self.assertEqual(self.check(headers, protocols=["a", "b"]), text)

    def test_extensions(self) -> None:
        """So is an extension that was not asked for, or one that is malformed."""
        text = "The sec-websocket-extensions header is invalid. (RFC6455 9.1, RFC7692 7)"
        self.assertEqual(self.check({"sec-websocket-extensions": "permessage-deflate"}), text)
        for extensions in (
            "other",
            "permessage-deflate, other",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate;",
            "permessage-deflate; =",
            "per message",
            "@",
        ):
            self.check({"sec-websocket-extensions": extensions}, compress=True)

    def test_require_protocol(self) -> None:
        """A server that chooses none of the subprotocols is refused where require_protocol says so, and else accepted."""
        self.check({}, gun.UpgradeRefused, protocols=["a"], require_protocol=True)
        self.check({}, gun.UpgradeRefused, require_protocol=True)
        for opts, end in (
            ({"protocols": ["a"]}, {}),
            ({"protocols": ["a"], "require_protocol": True}, {"subprotocol": "a"}),
        ):
            world, stream = self.upgraded(ws_opts=opts, end=end)
            self.assertFalse(stream.ended)
            self.end(world)


class Broken101Tests(BrokenCase):
    """What HTTP/1.1 has."""

    over = ("http",)

    def test_accept(self) -> None:
        """A Sec-WebSocket-Accept that is wrong, missing, there twice, or none but for white space."""
        for headers in (
            {"sec-websocket-accept": None},
            {"sec-websocket-accept": ""},
            {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzhZRbK+xOo="},
            [("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzhZRbK+xOo="), ("sec-websocket-accept", "a")],
        ):
            self.assertIn("Sec-WebSocket-Accept", self.check(headers))

    def test_no_switch(self) -> None:
        """A 101 without Upgrade: websocket and Connection: Upgrade is one that nobody asked for: the connection ends."""
        for headers in ({"upgrade": None}, {"upgrade": "echo"}, {"connection": None}, {"connection": "close"}):
            self.check(headers, gun.GunError)
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, owner=told, reply_to=told, retry=0)
        world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.accept(headers={"upgrade": "echo"})
        world.pump()
        (down,) = told.of(gun.Down)
        self.assertIsInstance(down.reason, gun.ProtocolViolation)
        self.assertEqual(str(down.reason), "Unexpected 101 Switching Protocols response.")
        self.end(world)

    def test_case_and_lists(self) -> None:
        """Upgrade and Connection are not case-sensitive, and the latter is a list."""
        for headers in ({"upgrade": "WebSocket"}, {"connection": "keep-alive, UPGRADE"}, {"Upgrade": "WEBSOCKET", "Connection": "upgrade"}):
            world, stream = self.upgraded(end={"headers": headers})
            self.assertFalse(stream.ended)
            self.end(world)

    def test_reconnects(self) -> None:
        """The connection that broke is closed and dialled again, and `Down` lists the stream."""
        told = RecordingReceiver()
        world = self.up(end={"accept": False}, owner=told, reply_to=told)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        world.peer.end.accept(headers={"sec-websocket-accept": "wrong"})
        world.pump()
        self.assertEqual(told.names(), ["gun_up", "gun_error", "gun_down", "gun_up"])
        self.assertTrue(stream.ended)
        self.end(world)


class UnableTests(WebsocketCase):
    """Servers of HTTP/2 that take no websockets (RFC 8441 section 3)."""

    http = "http2"
    over, cores = ("http2",), ("own",)

    def test_without_the_setting(self) -> None:
        """Without SETTINGS_ENABLE_CONNECT_PROTOCOL it fails by UpgradeRefused, without a response; nothing is sent."""
        for queued in (True, False):
            world = self.world(end={"settings": {"enable_connect_protocol": 0}})
            if not queued:
                world.pump()
            upgrade = world.connection.ws_upgrade("/").await_upgrade()
            world.pump()
            error = self.failureResultOf(upgrade, gun.UpgradeRefused).value
            self.assertIsNone(error.response)
            self.assertIn("ENABLE_CONNECT_PROTOCOL", str(error))
            self.assertEqual(world.peer.requests, [])
            other = world.connection.get("/")
            world.pump()
            world.peer.respond(world.peer.requests[0], 200, {}, b"alive")
            world.pump()
            self.assertEqual(self.successResultOf(other.await_body()), b"alive")
            self.end(world)

    def test_told_in_a_turn_of_its_own(self) -> None:
        """The refusal is not told within the call."""
        told = RecordingReceiver()
        world = self.up(end={"settings": {"enable_connect_protocol": 0}}, reply_to=told)
        stream = world.connection.ws_upgrade("/")
        self.assertEqual(told.events, [])
        world.pump()
        self.assertIsInstance(self.told_once(told, stream).reason, gun.UpgradeRefused)
        self.end(world)

    def test_cancelled_before_it_was_told(self) -> None:
        """Cancelled in that time, nothing is told."""
        told = RecordingReceiver()
        world = self.up(end={"settings": {"enable_connect_protocol": 0}}, reply_to=told)
        world.connection.ws_upgrade("/").cancel()
        world.pump()
        self.assertEqual(told.events, [])
        self.end(world)

    def test_allowed_later(self) -> None:
        """A server that allows them later is asked then."""
        world = self.up(end={"settings": {"enable_connect_protocol": 0}})
        world.peer.settings(enable_connect_protocol=1)
        world.pump()
        upgrade = world.connection.ws_upgrade("/").await_upgrade()
        world.pump()
        self.successResultOf(upgrade)
        self.end(world)

    def test_notified(self) -> None:
        """With notify_settings_changed the owner is told whether websockets are taken."""
        for value in (0, 1):
            world = self.up(end={"settings": {"enable_connect_protocol": value}}, http2_opts={"notify_settings_changed": True})
            info: Any = world.owner.of(gun.Notify)[0].info
            self.assertIs(info["enable_connect_protocol"], bool(value))
            self.end(world)

    def test_reset(self) -> None:
        """A stream that the server resets: StreamReset with its code, or StreamRefused, which was not processed."""
        for code, kind in ((ErrorCode.INTERNAL_ERROR, gun.StreamReset), (ErrorCode.REFUSED_STREAM, gun.StreamRefused)):
            world = self.up(end={"accept": False})
            upgrade = world.connection.ws_upgrade("/").await_upgrade()
            world.pump()
            world.peer.reset(world.peer.requests[0], code)
            world.pump()
            self.failureResultOf(upgrade, kind)
            self.end(world)

    def test_goaway(self) -> None:
        """A server that goes away has not processed what is above its last stream; below, the websocket is still granted."""
        world = self.up(end={"accept": False})
        upgrade = world.connection.ws_upgrade("/").await_upgrade()
        world.pump()
        world.peer.goaway(0)
        world.pump()
        self.failureResultOf(upgrade, gun.GoAway)
        self.end(world)
        world = self.up(end={"accept": False})
        upgrade = world.connection.ws_upgrade("/").await_upgrade()
        world.pump()
        world.peer.goaway()
        world.peer.end.accept()
        world.pump()
        self.successResultOf(upgrade)
        self.end(world)

    def test_limit_of_streams(self) -> None:
        """A websocket counts among the streams that the server allows."""
        world = self.up(end={"settings": {"max_concurrent_streams": 1}}, retry=0)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        self.successResultOf(stream.await_upgrade())
        refused = world.connection.get("/").await_response()
        world.pump()
        self.failureResultOf(refused, gun.StreamRefused)
        stream.ws_send(gun.Close(1000))
        world.pump()
        self.assertEqual(self.next_frame(stream), gun.Close(1000))
        world.connection.get("/")
        world.pump()
        self.assertEqual(len(world.peer.requests), 2)
        self.end(world)


class LostTests(WebsocketCase):
    """The connection is lost while the upgrade waits."""

    cores = ("own",)

    def test_lost(self) -> None:
        """It fails by StreamClosed, and is listed as killed; it is not asked again by itself."""
        for how in ("close", "abort"):
            told = RecordingReceiver()
            world = self.up(end={"accept": False}, owner=told, reply_to=told)
            stream = world.connection.ws_upgrade("/")
            world.pump()
            if how == "close" and not self.http2:
                world.peer.drop()
            else:
                getattr(world.peer, how)()
            world.pump()
            self.assertIsInstance(self.told_once(told, stream).reason, gun.StreamClosed)
            (down,) = told.of(gun.Down)
            self.assertEqual((down.protocol, down.killed_streams, down.unprocessed_streams), (self.http, (stream,), ()))
            self.assertEqual(len(world.peers), 2)
            self.assertEqual(world.peer.requests, [])
            self.end(world)

    def test_given_up(self) -> None:
        """Where the connection cannot be made it fails with why that gave up."""
        world = self.world(retry=1, retry_timeout=1.0)
        world.endpoint.refuse()
        upgrade = world.connection.ws_upgrade("/").await_upgrade(timeout=None)
        world.advance(1)
        self.failureResultOf(upgrade, gun.ConnectFailed)
        self.assert_nothing_left(world)


globals().update(variants(__name__))
