"""`twisted_gun.testing`: the server in memory that speaks the websocket protocol over HTTP/2; clients are written by hand here."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

from tests.test_testing_websocket import DEFLATE, client_frame
from twisted_gun.events import Text
from twisted_gun.testing import Http2WebsocketPeer, Opcode, ScriptedPeer, memory_pair, server_frame
from twisted_gun.wire import frames
from twisted_gun.wire.frames import HEADER, ErrorCode, FrameType, Setting
from twisted_gun.wire.hpack import Decoder, Encoder


class Http2Stage(SynchronousTestCase):
    """A client that says what the test writes, and a peer over HTTP/2."""

    def start(self, script: Any = (), acknowledge: bool = True, **options: Any) -> None:
        """Connect them, and let the client begin."""
        self.client, self.peer = ScriptedPeer(), Http2WebsocketPeer(script, **options)
        self.link = memory_pair(self.client, self.peer)
        self.encoder, self.decoder = Encoder(), Decoder(1 << 16, 1 << 16, 1 << 16)
        self.say(frames.PREFACE + frames.settings([]) + (frames.settings_ack() if acknowledge else b""))

    def say(self, data: bytes) -> None:
        """Let the client send `data`, and forget what it has received before."""
        self.client.received = b""
        self.client.send(data)
        self.link.flush()

    def connect(self, stream_id: int = 1, fin: bool = False, **changes: bytes | None) -> None:
        """Let the client send an extended CONNECT, with other fields as `changes` say, and without those that are None there."""
        fields: dict[str, bytes | None] = {
            "_method": b"CONNECT",
            "_protocol": b"websocket",
            "_scheme": b"http",
            "_authority": b"example.org",
            "_path": b"/chat",
            "sec_websocket_version": b"13",
            **changes,
        }
        names = {name: name.replace("_", ":", name[0] == "_").replace("_", "-").encode() for name in fields}
        headers = tuple((names[name], value) for name, value in fields.items() if value is not None)
        self.say(frames.header_frames(stream_id, self.encoder.encode_fields(headers), fin, 16_384))

    def data(self, data: bytes = b"", stream_id: int = 1, fin: bool = False) -> None:
        """Let the client send DATA."""
        self.say(frames.frame(FrameType.DATA, int(fin), stream_id, data))

    def heard(self, stream_id: int = 1) -> list[Any]:
        """What the client has received of a stream: fields, content, an error code, and None for its end."""
        heard: list[Any] = []
        rest = self.client.received
        while rest:
            word, flags, of_stream = HEADER.unpack_from(rest)
            payload, rest = rest[HEADER.size : HEADER.size + (word >> 8)], rest[HEADER.size + (word >> 8) :]
            kind = word & 0xFF
            if of_stream == stream_id and kind in (FrameType.HEADERS, FrameType.DATA):
                heard += [dict(self.decoder.decode(payload))] if kind == FrameType.HEADERS else [payload] if payload else []
                heard += [None] if flags & frames.END_STREAM else []
            elif of_stream == stream_id and kind == FrameType.RST_STREAM:
                heard.append(int.from_bytes(payload, "big"))
        return heard

    def failed(self) -> str:
        """The message by which the peer has failed the test."""
        (failure,) = self.flushLoggedErrors(AssertionError)
        return str(failure.value)


class Http2Tests(Http2Stage):
    """`Http2WebsocketPeer`."""

    def test_offers(self) -> None:
        """The setting of RFC 8441 is sent, unless the test says otherwise."""
        cases: Any = (({}, 1), ({"settings": {"max_frame_size": 20_000}}, 1), ({"settings": {"enable_connect_protocol": 0}}, 0))
        for options, value in cases:
            client = ScriptedPeer()
            memory_pair(client, Http2WebsocketPeer(**options)).flush()
            word, _, _ = HEADER.unpack_from(client.received)
            sent = dict(frames.parse_settings(client.received[HEADER.size : HEADER.size + (word >> 8)]))
            self.assertEqual(sent[Setting.ENABLE_CONNECT_PROTOCOL], value)

    def test_script(self) -> None:
        """A script is done in the stream as it is over HTTP/1.1: accepted, met, and ended behind the Close."""
        self.start([("send", "hello"), ("expect", "one"), ("send", "1")], subprotocol="chat", headers={"x": "y"})
        self.assertRaises(AssertionError, self.peer.verify)
        self.connect(sec_websocket_protocol=b"chat")
        fields = {b":status": b"200", b"sec-websocket-protocol": b"chat", b"x": b"y"}
        self.assertEqual(self.heard(), [fields, server_frame(Opcode.TEXT, b"hello")])
        one = client_frame(Opcode.TEXT, b"one")
        self.data(one[:4])
        self.data(one[4:])
        self.assertEqual((self.heard(), self.peer.end.frames), ([server_frame(Opcode.TEXT, b"1")], [Text("one")]))
        handshake = self.peer.end.handshake
        assert handshake is not None
        self.assertEqual((handshake.path, handshake.authority, handshake.protocols), (b"/chat", b"example.org", (b"chat",)))
        self.data(client_frame(Opcode.CLOSE, b"\x03\xe8"))
        self.assertEqual((self.heard(), self.peer.end.lost), ([server_frame(Opcode.CLOSE, b"\x03\xe8"), None], None))
        self.data(fin=True)
        self.assertEqual(self.heard(), [])
        assert self.peer.end.lost is not None
        self.assertTrue(self.peer.end.lost.check(error.ConnectionDone))
        self.peer.verify()

    def test_several(self) -> None:
        """Each stream has an end of its own, with the options and the script."""
        self.start([("expect", "a"), ("send", "b")], echo=True)
        self.connect(1)
        self.connect(3)
        self.data(client_frame(Opcode.TEXT, b"a"), 3)
        self.assertEqual((self.heard(1), len(self.heard(3))), ([], 2))
        self.assertEqual(([end.frames for end in self.peer.ends], self.peer.end), ([[], [Text("a")]], self.peer.ends[1]))
        self.assertRaises(AssertionError, self.peer.verify)

    def test_compression(self) -> None:
        """permessage-deflate is agreed to as over HTTP/1.1."""
        self.start(extensions=DEFLATE, echo=True)
        self.connect(sec_websocket_extensions=DEFLATE.encode())
        self.data(client_frame(Opcode.TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4))
        self.assertEqual(self.heard()[-1], bytes.fromhex("c107f248cdc9c90700"))

    def test_refuses(self) -> None:
        """A refusal ends the stream, and the script goes on with the next one."""
        self.start([("refuse", 403, {"x": "y"}, b"no"), ("accept",), ("send", "hello")])
        self.connect()
        self.assertEqual(self.heard(), [{b":status": b"403", b"content-length": b"2", b"x": b"y"}, b"no", None])
        self.say(frames.rst_stream(1, ErrorCode.CANCEL))
        self.connect(3)
        self.assertEqual(self.heard(3), [{b":status": b"200"}, server_frame(Opcode.TEXT, b"hello")])
        self.assertEqual((len(self.peer.ends), self.peer.end.lost), (1, None))
        self.peer.verify()
        self.start(refuse=500)
        self.connect()
        self.assertEqual(self.heard(), [{b":status": b"500", b"content-length": b"0"}, None])

    def test_both_wait(self) -> None:
        """By hand several handshakes may wait at a time."""
        self.start(accept=False)
        self.connect(1)
        self.connect(3)
        self.peer.ends[1].accept()
        self.peer.ends[0].refuse()
        self.say(b"")
        self.assertEqual((self.heard(3), self.heard(1)[0][b":status"]), ([{b":status": b"200"}], b"403"))

    def test_other_requests(self) -> None:
        """Other requests are answered as with Http2Peer."""
        self.start()
        self.connect(_method=b"GET", _protocol=None, fin=True)
        self.peer.respond(self.peer.requests[0], 204)
        self.say(b"")
        self.assertEqual((self.heard(), self.peer.end.handshake), ([{b":status": b"204"}, None], None))

    def test_drop_and_abort(self) -> None:
        """RFC 8441 section 5: END_STREAM in the place of FIN, RST_STREAM in that of RST."""
        for verb, heard in (("drop", None), ("half_close", None), ("abort", ErrorCode.CANCEL)):
            self.start([("send", "a"), (verb,)])
            self.connect()
            self.assertEqual(self.heard()[2:], [heard])
            self.peer.end.drop()
            self.say(b"")
            self.assertEqual(self.heard(), [])
            self.assertEqual(self.peer.end.lost is None, heard is None)

    def test_lost(self) -> None:
        """The end of the stream, a reset, and the end of the connection are told to the end."""
        self.start()
        self.connect()
        self.say(frames.rst_stream(1, ErrorCode.CANCEL))
        self.connect(3)
        self.data(client_frame(Opcode.PING), 3, fin=True)
        self.assertEqual(self.heard(3), [server_frame(Opcode.PONG), None])
        self.connect(5)
        self.client.abort()
        self.link.flush()
        lost = [end.lost.type for end in self.peer.ends if end.lost is not None]
        self.assertEqual(lost, [error.ConnectionLost, error.ConnectionDone, error.ConnectionLost])

    def test_hang_up(self) -> None:
        """With hang_up=False a stream that the client ends stays open for the peer."""
        self.start(hang_up=False)
        self.connect()
        self.data(fin=True)
        self.assertEqual(self.heard(), [])
        self.peer.end.send("a")
        self.say(b"")
        self.assertEqual(self.heard(), [server_frame(Opcode.TEXT, b"a")])

    def test_windows(self) -> None:
        """Frames wait for the client's windows."""
        self.start()
        self.say(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 3)]))
        self.connect()
        self.peer.end.send("abc")
        self.say(b"")
        self.assertEqual(self.heard(), [b"\x81\x03a"])
        self.say(frames.window_update(1, 2))
        self.assertEqual(self.heard(), [b"bc"])

    def test_ignored(self) -> None:
        """Behind a GOAWAY there is no websocket."""
        self.start()
        self.peer.goaway(0)
        self.connect()
        self.assertEqual((self.heard(), self.peer.end.handshake), ([], None))

    def test_violations(self) -> None:
        """What breaks RFC 8441, or RFC 6455 in a stream, fails the test."""
        for changes, why in (
            ({"_method": b"GET"}, "CONNECT"),
            ({"_protocol": b"other"}, ":protocol"),
            ({"_scheme": None}, ":scheme"),
            ({"_path": None}, "path"),
            ({"_authority": None}, "host"),
            ({"fin": True}, "ends its stream"),
            ({"sec_websocket_version": None}, "Version"),
            ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ=="}, "fields"),
            ({"upgrade": b"websocket"}, "fields"),
        ):
            self.start()
            self.connect(**changes)
            self.assertIn(why, self.failed(), changes)
        self.start()
        self.connect()
        self.data(server_frame(Opcode.TEXT))
        self.assertIn("mask", self.failed())
        self.start(accept=False)
        self.connect()
        self.data(client_frame(Opcode.TEXT))
        self.assertIn("before the handshake", self.failed())

    def test_setting(self) -> None:
        """RFC 8441 section 3: an extended CONNECT to a server that has not offered it, or before the client knows of that."""
        for options in ({"settings": {"enable_connect_protocol": 0}}, {"acknowledge": False}):
            self.start(**options)
            self.connect()
            self.assertIn("ENABLE_CONNECT_PROTOCOL", self.failed())
