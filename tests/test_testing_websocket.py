"""`twisted_gun.testing`: the server in memory that speaks the websocket protocol; clients are written by hand here."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, ClassVar

from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.events import Binary, Close, Ping, Pong, Text
from twisted_gun.testing import (
    ClientFrame,
    Http2WebsocketPeer,
    MemoryGun,
    Opcode,
    ScriptedPeer,
    WebsocketEnd,
    WebsocketPeer,
    memory_pair,
    server_frame,
)

#: The mask of the samples in RFC 6455 section 5.7.
MASK = bytes.fromhex("37fa213d")
DEFLATE = "permessage-deflate"


def client_frame(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    """A frame as a client sends it."""
    return server_frame(opcode, payload, **{"mask": MASK, **options})


def upgrade_request(start: bytes = b"GET /chat HTTP/1.1", **changes: bytes | None) -> bytes:
    """An opening handshake, with other fields as `changes` say, and without those that are None there."""
    fields: dict[str, bytes | None] = {
        "host": b"example.org",
        "upgrade": b"websocket",
        "connection": b"Upgrade",
        "sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ==",
        "sec_websocket_version": b"13",
        **changes,
    }
    lines = [name.replace("_", "-").encode() + b": " + value for name, value in fields.items() if value is not None]
    return b"\r\n".join([start, *lines, b"", b""])


class Stage(SynchronousTestCase):
    """A client that says what the test writes, and a peer over HTTP/1.1."""

    def start(self, script: Any = (), said: bytes | None = None, **options: Any) -> None:
        """Connect them, and let the client send `said`, by default an opening handshake."""
        self.client, self.peer = ScriptedPeer(), WebsocketPeer(script, **options)
        self.link = memory_pair(self.client, self.peer)
        self.say(upgrade_request() if said is None else said)

    def say(self, data: bytes = b"") -> None:
        """Let the client send `data`, and forget what it has received before."""
        self.client.received = b""
        self.client.send(data)
        self.link.flush()

    def flush(self) -> bytes:
        """What the client receives of what the peer was told to send."""
        self.say()
        return self.client.received

    def failed(self) -> str:
        """The message by which the peer has failed the test; the connection is lost by it."""
        (failure,) = self.flushLoggedErrors(AssertionError)
        self.assertIsNotNone(self.peer.lost)
        return str(failure.value)


class HandshakeTests(Stage):
    """The opening handshake over HTTP/1.1."""

    def test_accepts(self) -> None:
        """A handshake is accepted, and told."""
        self.start()
        expected = (
            b"HTTP/1.1 101 \r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        self.assertEqual(self.client.received, expected)
        handshake = self.peer.handshake
        assert handshake is not None
        self.assertEqual((handshake.path, handshake.authority, handshake.protocols), (b"/chat", b"example.org", ()))
        self.assertEqual((self.peer.pending, self.peer.accepted, len(self.peer.requests)), (False, True, 1))
        self.assertIs(self.peer.end, self.peer)

    def test_cut_anywhere(self) -> None:
        """It does not matter how the bytes arrive."""
        self.start(said=b"", echo=True)
        self.link.chunk_size = 1
        self.say(upgrade_request())
        self.say(client_frame(Opcode.TEXT, b"x" * 300))
        self.assertEqual(self.client.received, server_frame(Opcode.TEXT, b"x" * 300))

    def test_what_it_agrees_to(self) -> None:
        """The subprotocol, extensions and other fields are sent as the test says; None leaves out a field that would be sent."""
        offer: dict[str, bytes] = {"sec_websocket_protocol": b"chat, super", "sec_websocket_extensions": b'a; b="c", d'}
        more = {"Server": "x", "Sec-WebSocket-Accept": "wrong", "upgrade": None}
        self.start(said=upgrade_request(**offer), subprotocol="super", extensions=b"d; e=1", headers=more)
        head = b"connection: Upgrade\r\nsec-websocket-protocol: super\r\nsec-websocket-extensions: d; e=1\r\n"
        self.assertEqual(self.client.received, b"HTTP/1.1 101 \r\n" + head + b"Server: x\r\nSec-WebSocket-Accept: wrong\r\n\r\n")
        handshake = self.peer.handshake
        assert handshake is not None
        self.assertEqual((handshake.protocols, handshake.extensions), ((b"chat", b"super"), b'a; b="c", d'))

    def test_refuses(self) -> None:
        """With `refuse` each handshake is refused, and the next one awaited."""
        self.start(refuse=401, headers={"www-authenticate": "Basic"})
        refusal = b"HTTP/1.1 401 \r\ncontent-length: 0\r\nwww-authenticate: Basic\r\n\r\n"
        self.assertEqual((self.client.received, self.peer.accepted), (refusal, False))
        self.say(upgrade_request(authorization=b"Basic eDp5"))
        self.assertEqual((self.client.received, len(self.peer.requests)), (refusal, 2))

    def test_by_steps(self) -> None:
        """Steps answer one handshake each, and other requests too; the others are done with the first."""
        script: Any = [("respond", 200, {}, b"hello"), ("refuse", 503), ("accept", "chat"), ("send", "welcome")]
        self.start(script, said=b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n")
        self.assertEqual(self.client.received, b"HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\nhello")
        self.say(upgrade_request())
        self.assertEqual(self.client.received, b"HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n")
        self.assertRaises(AssertionError, self.peer.verify)
        self.say(upgrade_request())
        self.assertIn(b"\r\nsec-websocket-protocol: chat\r\n\r\n\x81\x07welcome", self.client.received)
        self.peer.verify()

    def test_by_hand(self) -> None:
        """With accept=False the test answers; before a request has come there is nothing to answer."""
        self.start(said=b"", accept=False)
        for answer in (self.peer.accept, self.peer.refuse, self.peer.respond):
            self.assertRaises(AssertionError, answer)
        self.say(upgrade_request())
        self.assertEqual((self.client.received, self.peer.pending), (b"", True))
        self.peer.refuse(404, body=b"no")
        self.assertEqual(self.flush(), b"HTTP/1.1 404 \r\ncontent-length: 2\r\n\r\nno")
        self.say(upgrade_request())
        self.peer.accept(extensions=DEFLATE)
        self.peer.send("Hello")
        self.assertIn(bytes.fromhex("c107f248cdc9c90700"), self.flush())

    def test_pipelined(self) -> None:
        """Requests that came at once are answered one after the other."""
        self.start([("respond", 200), ("respond", 201)], said=b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        self.assertEqual(self.client.received, b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\nHTTP/1.1 201 \r\ncontent-length: 0\r\n\r\n")

    def test_raw(self) -> None:
        """A script may answer by any bytes."""
        self.start([("send_raw", b"SSH-2.0\r\n"), ("drop",)], accept=False)
        self.assertEqual(self.client.received, b"SSH-2.0\r\n")
        assert self.client.lost is not None
        self.assertTrue(self.client.lost.check(error.ConnectionDone))

    def test_variants(self) -> None:
        """Case, lists and the absolute form are as RFC 9110 has them."""
        for said in (
            upgrade_request(connection=b"keep-alive, upgrade", upgrade=b"h2c, WebSocket"),
            upgrade_request(b"GET http://example.org/chat?a=b HTTP/1.1"),
            upgrade_request(origin=b"http://example.org", sec_websocket_extensions=b"a ; b = c".replace(b" = ", b"=")),
        ):
            self.start(said=said)
            self.assertTrue(self.peer.accepted)

    def test_violations(self) -> None:
        """What breaks RFC 6455 section 4.1 fails the test."""
        twice = b"dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        for said, why in (
            (upgrade_request(b"POST /chat HTTP/1.1"), "GET"),
            (upgrade_request(b"GET /chat HTTP/1.0"), "HTTP/1.1"),
            (upgrade_request(b"GET chat HTTP/1.1"), "path"),
            (upgrade_request(b"GET /chat#a HTTP/1.1"), "path"),
            (upgrade_request(host=None), "host"),
            (upgrade_request(host=b""), "host"),
            (upgrade_request(upgrade=b"web"), "Upgrade: websocket"),
            (upgrade_request(connection=b"close"), "Connection: Upgrade"),
            (upgrade_request(sec_websocket_key=None), "Key"),
            (upgrade_request(sec_websocket_key=twice), "Key"),
            (upgrade_request(sec_websocket_key=b64encode(bytes(15))), "16 bytes"),
            (upgrade_request(sec_websocket_key=b"AAAA\xffAAAAAAAAAAAAAAAAAA=="), "16 bytes"),
            (upgrade_request(sec_websocket_version=b"8"), "Version"),
            (upgrade_request(sec_websocket_version=None), "Version"),
            (upgrade_request(sec_websocket_protocol=b"a, a"), "twice"),
            (upgrade_request(sec_websocket_protocol=b"a, b c"), "token"),
            (upgrade_request(sec_websocket_protocol=b""), "token"),
            (upgrade_request(sec_websocket_extensions=b"a; =1"), "malformed"),
            (upgrade_request(content_length=b"0"), "content"),
            (upgrade_request(bad=b"a\nb"), "fields"),
            (upgrade_request() + client_frame(Opcode.PING), "before the handshake was answered"),
            (b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n", "Upgrade"),
        ):
            self.start(said=said)
            self.assertIn(why, self.failed(), said)
            self.assertFalse(self.peer.accepted)

    def test_too_early(self) -> None:
        """A client that does not wait for the response fails the test, and so does one that sends frames after a refusal."""
        self.start(accept=False)
        self.say(client_frame(Opcode.PING))
        self.assertIn("before the handshake was answered", self.failed())
        self.start(refuse=403)
        self.say(client_frame(Opcode.PING) + b"\r\n\r\n")
        self.assertIn("no request", self.failed())


class PeerTests(Stage):
    """`WebsocketPeer` once the handshake is done."""

    def test_frames(self) -> None:
        """Messages are told whole, control frames between their fragments before them; every frame is kept as it was sent."""
        self.start(answer_pings=False)
        self.say(client_frame(Opcode.TEXT, "ü".encode()[:1], fin=False) + client_frame(Opcode.PING, b"1"))
        self.assertEqual(self.peer.frames, [Ping(b"1")])
        self.say(client_frame(Opcode.CONTINUATION, "ü".encode()[1:]) + client_frame(Opcode.BINARY) + client_frame(Opcode.PONG, b"2"))
        self.assertEqual(self.peer.frames, [Ping(b"1"), Text("ü"), Binary(b""), Pong(b"2")])
        self.assertEqual(self.peer.raw_frames[0], ClientFrame(Opcode.TEXT, b"\xc3", False, 0, MASK))
        self.assertEqual([frame.opcode for frame in self.peer.raw_frames], [1, 9, 0, 2, 10])

    def test_sends(self) -> None:
        """Frames, text and bytes are sent as told, in pieces as told, and raw bytes as they are."""
        self.start()
        for frame, sent in (
            ("ü", "8102c3bc"),
            (b"\xff", "8201ff"),
            (Text("a"), "810161"),
            (Binary(b"a"), "820161"),
            (Ping(b"a"), "890161"),
            (Pong(), "8a00"),
            (Close(1000, "a"), "880303e861"),
            (Close(), "8800"),
        ):
            self.peer.send(frame)
            self.assertEqual(self.flush().hex(), sent)
        self.peer.send("abc", 2)
        self.assertEqual(self.flush().hex(), "01026162800163")
        self.peer.send("", 2)
        self.assertEqual(self.flush().hex(), "8100")
        self.peer.send_raw(b"\x83\x00")
        self.assertEqual(self.flush().hex(), "8300")

    def test_echo(self) -> None:
        """With `echo` messages come back, whole, and nothing else does."""
        self.start(echo=True)
        self.say(client_frame(Opcode.TEXT, b"a", fin=False) + client_frame(Opcode.CONTINUATION, b"b") + client_frame(Opcode.PONG))
        self.assertEqual(self.client.received.hex(), "81026162")
        self.say(client_frame(Opcode.BINARY, b"a"))
        self.assertEqual(self.client.received.hex(), "820161")
        self.peer.close()
        self.assertEqual(self.flush().hex(), "8800")
        self.say(client_frame(Opcode.BINARY, b"a"))
        self.assertEqual(self.client.received, b"")

    def test_pings(self) -> None:
        """Pings are answered, unless the test says otherwise."""
        self.start()
        self.say(client_frame(Opcode.PING, b"a"))
        self.assertEqual(self.client.received.hex(), "8a0161")
        self.peer.answer_pings = False
        self.say(client_frame(Opcode.PING, b"a"))
        self.assertEqual(self.client.received, b"")

    def test_client_closes(self) -> None:
        """A Close is answered by its code, then the connection is closed."""
        for payload, frame, answer in ((b"\x03\xe8bye", Close(1000, "bye"), "880203e8"), (b"", Close(), "8800")):
            self.start(said=upgrade_request())
            self.say(client_frame(Opcode.CLOSE, payload))
            self.assertEqual((self.client.received.hex(), self.peer.received_close, self.peer.frames), (answer, frame, [frame]))
            self.assertEqual(self.peer.sent_close, Close(frame.code))
            assert self.client.lost is not None
            self.assertTrue(self.client.lost.check(error.ConnectionDone))

    def test_peer_closes(self) -> None:
        """The connection stays until the client has answered; until then it may send control frames."""
        self.start()
        self.peer.close(3000, "enough")
        self.assertEqual((self.flush(), self.client.lost), (b"\x88\x08\x0b\xb8enough", None))
        self.say(client_frame(Opcode.PING) + client_frame(Opcode.CLOSE, b"\x0b\xb8"))
        self.assertEqual((self.client.received.hex(), self.peer.frames), ("8a00", [Ping(), Close(3000)]))
        self.assertIsNotNone(self.client.lost)

    def test_a_close_by_hand(self) -> None:
        """With answer_close=False the test answers, with hang_up=False it closes the connection."""
        self.start(answer_close=False, hang_up=False)
        self.say(client_frame(Opcode.CLOSE))
        self.assertEqual(self.client.received, b"")
        self.peer.close(1001)
        self.assertEqual((self.flush().hex(), self.client.lost), ("880203e9", None))
        self.peer.drop()
        self.flush()
        self.assertIsNotNone(self.client.lost)

    def test_drop_and_abort(self) -> None:
        """The connection ends without a Close, after what was sent or at once."""
        for end, reason in (("drop", error.ConnectionDone), ("abort", error.ConnectionLost)):
            self.start([("send", "a"), (end,)])
            assert self.client.lost is not None
            self.assertTrue(self.client.lost.check(reason))

    def test_script(self) -> None:
        """Each kind of expectation waits for its frame among those since the last one."""
        script: Any = [
            ("send", "hello"),
            ("expect", "one"),
            ("send", "1"),
            ("expect", b"two"),
            ("expect", Text("three")),
            ("send", b"3"),
            ("expect", Pong),
            ("expect", lambda frame: isinstance(frame, Text) and "four" in frame.text),
            ("send", "a", 1),
            ("close", 1000, "bye"),
        ]
        self.start(script)
        self.assertTrue(self.client.received.endswith(b"\r\n\r\n\x81\x05hello"))
        self.say(client_frame(Opcode.BINARY, b"one") + client_frame(Opcode.TEXT, b"one") + client_frame(Opcode.BINARY, b"two"))
        self.assertEqual(self.client.received.hex(), "810131")
        self.say(client_frame(Opcode.TEXT, b"one") + client_frame(Opcode.TEXT, b"three"))
        self.assertEqual(self.client.received.hex(), "820133")
        unfinished = self.assertRaises(AssertionError, self.peer.verify)
        self.assertIn("Pong", str(unfinished))
        self.say(client_frame(Opcode.PONG, b"any") + client_frame(Opcode.TEXT, b"3, 4: four"))
        self.assertEqual(self.client.received, b"\x81\x01a\x88\x05\x03\xe8bye")
        self.peer.verify()

    def test_verify(self) -> None:
        """verify() says what came instead."""
        self.start([("expect", "one")])
        self.say(client_frame(Opcode.TEXT, b"two"))
        self.assertIn("two", str(self.assertRaises(AssertionError, self.peer.verify)))

    def test_unknown_step(self) -> None:
        """A step of another name is refused when the peer is made."""
        self.assertRaises(ValueError, WebsocketPeer, [("sned", "x")])

    def test_callable(self) -> None:
        """A callable script is called with the peer each time bytes have arrived, the handshake's among them."""
        self.start(lambda peer: peer.send(str(len(peer.frames))))
        self.assertTrue(self.client.received.endswith(b"\x81\x010"))
        self.say(client_frame(Opcode.PONG) * 2)
        self.assertEqual(self.client.received, b"\x81\x012")

    def test_lost(self) -> None:
        """The end of the connection is kept, as by every peer."""
        self.start()
        self.client.close()
        self.link.flush()
        assert self.peer.lost is not None
        self.assertTrue(self.peer.lost.check(error.ConnectionDone))


class EndTests(SynchronousTestCase):
    """What tests of both ways rely on."""

    def test_end(self) -> None:
        """Each peer has an end before anything has happened."""
        for peer in (WebsocketPeer(), Http2WebsocketPeer()):
            end: Any = peer.end
            self.assertIsInstance(end, WebsocketEnd)
            self.assertEqual((end.frames, end.handshake, end.accepted), ([], None, False))


class WorldTests(SynchronousTestCase):
    """With a connection at the other end."""

    both: ClassVar[Any] = (("http", WebsocketPeer), ("http2", Http2WebsocketPeer))

    def up(self, protocol: str, make: Any, *arguments: Any, **options: Any) -> MemoryGun:
        """A world whose peer is what `make` makes of the arguments."""
        world = MemoryGun(protocols=[protocol], peer=lambda: make(*arguments, **options))
        world.pump()
        return world

    def test_example(self) -> None:
        """The example of the package's docstring, over HTTP/1.1 and over HTTP/2."""
        script = [("expect", "hello"), ("send", "world")]
        for way in self.both:
            world = self.up(*way, script)
            stream = world.connection.ws_upgrade("/chat")
            world.pump()
            stream.ws_send("hello")
            world.pump()
            self.assertEqual(world.peer.end.frames, [gun.Text("hello")])
            world.peer.verify()
            self.assertEqual(world.peer.end.handshake.path, b"/chat")

    def test_closing(self) -> None:
        """A Close of either side is answered by the other, and the websocket ends."""
        for way in self.both:
            for script in ([("send", "hello"), ("close", 1000, "bye")], [("expect", gun.Close)]):
                world = self.up(*way, script)
                stream = world.connection.ws_upgrade("/")
                world.pump()
                peer = world.peers[0]  # the connection is opened again when it has ended
                if len(script) == 1:
                    stream.ws_send(gun.Close(1000))
                    world.pump()
                self.assertEqual((peer.end.received_close, peer.end.sent_close.code), (gun.Close(1000), 1000))
                self.assertIsNotNone(peer.end.lost)
                peer.verify()

    def test_refused(self) -> None:
        """A refusal is what the client is told."""
        for way in self.both:
            world = self.up(*way, refuse=403, headers={"x": "y"})
            upgrade = world.connection.ws_upgrade("/").await_upgrade()
            world.pump()
            response = self.failureResultOf(upgrade, gun.UpgradeRefused).value.response
            self.assertEqual((response.status, dict(response.headers)[b"x"]), (403, b"y"))

    def test_compression(self) -> None:
        """Both sides compress by the parameters that the test says."""
        parameters = "; server_max_window_bits=9; client_max_window_bits=9; client_no_context_takeover"
        for way in self.both:
            world = self.up(*way, extensions=DEFLATE + parameters, echo=True)
            stream = world.connection.ws_upgrade("/", ws_opts={"compress": True})
            world.pump()
            self.successResultOf(stream.await_event())
            stream.ws_send(["a" * 1000, b"b" * 1000])
            world.pump()
            for frame in (gun.Text("a" * 1000), gun.Binary(b"b" * 1000)):
                self.assertEqual(self.successResultOf(stream.await_event()), gun.Ws(stream=stream, frame=frame))
            self.assertEqual([frame.rsv for frame in world.peer.end.raw_frames], [4, 4])
            self.assertLess(sum(len(frame.payload) for frame in world.peer.end.raw_frames), 100)

    def test_reconnects(self) -> None:
        """Each connection has a peer, and each peer a handshake, of its own."""
        world = MemoryGun(peer=WebsocketPeer, on_up=lambda connection: connection.ws_upgrade("/"))
        world.pump()
        world.peer.drop()
        world.pump()
        self.assertEqual([peer.accepted for peer in world.peers], [True, True])
        keys = [dict(peer.handshake.headers)[b"sec-websocket-key"] for peer in world.peers]
        self.assertNotEqual(keys[0], keys[1])
