"""Frames of a websocket, as they are read and as they are written; what they mean is in the other tests of websockets."""

from __future__ import annotations

from twisted_gun.events import Binary, Close, Frame, Ping, Pong, Text, Ws
from twisted_gun.wire.steps import StreamFailed, Write

from .conversation import A
from .ws_conversation import Opcode, WsCase, close, ping, server_frame, text

#: On both sides of where the length takes more bytes.
SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, 200_000)
#: On both sides of where masks are applied in another way.
MORE_SIZES = (*range(12), 767, 768, 769, 770, 771, 772, 100_001)
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)


class EventTests(WsCase):
    """The events and steps themselves."""

    def test_messages(self) -> None:
        """Messages are told as they come, in the order they come."""
        talk = self.talk()
        self.assertEqual(talk.core.name, "ws")
        self.assertIsNone(talk.core.last_words)
        steps = talk.receive(text("hello") + server_frame(Opcode.BINARY, b"\0\xff") + text(""))
        self.assertEqual([type(step) for step in steps], [Ws, Ws, Ws])
        self.assertEqual([step.stream for step in steps if isinstance(step, Ws)], [A, A, A])
        self.assertEqual(talk.frames, [Text("hello"), Binary(b"\0\xff"), Text("")])
        self.assertEqual([step.fin for step in steps if isinstance(step, Ws)], [False, False, False])
        for frame in talk.frames:
            self.assertIs(type(getattr(frame, "data", b"")), bytes)

    def test_failure(self) -> None:
        """The owner is told what the peer did, in words."""
        failed, write = self.talk().receive(server_frame(3))
        assert isinstance(failed, StreamFailed) and isinstance(write, Write)
        self.assertIs(failed.stream, A)
        self.assertTrue(str(failed.reason))

    def test_nothing(self) -> None:
        """No bytes are no news."""
        talk = self.talk()
        self.assertEqual(talk.receive(b""), [])
        self.assertEqual(talk.receive(b"\x81", b"", b"\x02h", b"", b"i"), [Ws(stream=A, frame=Text("hi"))])


class ReadingTests(WsCase):
    """What comes."""

    def test_sizes(self) -> None:
        """Messages of any size, whole, and in two reads."""
        for size in SIZES:
            for opcode, frame in ((Opcode.BINARY, Binary(bytes(size))), (Opcode.TEXT, Text("x" * size))):
                payload = bytes(size) if opcode == Opcode.BINARY else b"x" * size
                data = server_frame(opcode, payload)
                for cut in {0, 1, 2, 3, len(data) // 2, len(data) - 1}:
                    talk = self.talk()
                    talk.receive(data[:cut], data[cut:])
                    self.assertEqual(talk.frames, [frame], (size, cut))

    def test_many_at_once(self) -> None:
        """A read with many frames, the last of them only begun."""
        talk = self.talk()
        talk.receive(b"".join(text(f"message {number}") for number in range(1000)) + text("the last")[:-1])
        self.assertEqual(talk.frames, [Text(f"message {number}") for number in range(1000)])
        talk.receive(b"t" + text("and one more"))
        self.assertEqual(talk.frames[1000:], [Text("the last"), Text("and one more")])

    def test_every_cut(self) -> None:
        """Small and larger messages, and control frames between them, cut anywhere."""
        data = text("one") + ping(b"?") + server_frame(Opcode.BINARY, b"b" * 130) + text("") + text("é" * 63) + text("z")
        frames = Text("one"), Binary(b"b" * 130), Text(""), Text("é" * 63), Text("z")
        self.assert_told(data, *frames, sent=[Pong(b"?")])

    def test_length_not_minimal(self) -> None:
        """RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length"."""
        for size, width in ((0, 2), (1, 2), (125, 2), (0, 8), (126, 8), (65_535, 8)):
            self.assert_violation(server_frame(Opcode.BINARY, bytes(size), length_bytes=width), cut=size < 200)

    def test_length_beyond_63_bits(self) -> None:
        """ "the most significant bit MUST be 0"."""
        for length in (1 << 63, (1 << 64) - 1):
            self.assert_violation(server_frame(Opcode.BINARY, length=length))

    def test_reserved_opcodes(self) -> None:
        """ "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_." """
        for opcode in RESERVED:
            self.assert_violation(server_frame(opcode))
            self.assert_violation(server_frame(opcode, b"payload"))

    def test_reserved_bits(self) -> None:
        """Bits that no extension gives a meaning fail it, on each kind of frame."""
        for rsv in range(1, 8):
            for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CLOSE):
                self.assert_violation(server_frame(opcode, rsv=rsv))
            self.assert_violation(server_frame(Opcode.TEXT, b"be", fin=False) + server_frame(Opcode.CONTINUATION, b"gun", rsv=rsv))

    def test_masked(self) -> None:
        """RFC 6455 section 5.1: "A client MUST close a connection if it detects a masked frame." """
        for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.CLOSE):
            for payload in (b"", b"hi"):
                self.assert_violation(server_frame(opcode, payload, mask=b"\0\0\0\0"))
        self.assert_violation(server_frame(Opcode.TEXT, b"x" * 300, mask=b"abcd"), cut=False)

    def test_what_came_before_is_told(self) -> None:
        """The messages in front of what must not be are told, also where they came in the same read."""
        for bad in (server_frame(3), server_frame(Opcode.CONTINUATION, b"x"), server_frame(Opcode.TEXT, b"\xff"), close(1)):
            talk = self.talk()
            talk.receive(text("one") + server_frame(Opcode.BINARY, b"two") + bad + text("three"))
            self.assertEqual(talk.frames, [Text("one"), Binary(b"two")])
            self.assertEqual(talk.outline[-1][0], "failed")


class WritingTests(WsCase):
    """What goes out; the peer of these tests is strict with it."""

    def test_sizes(self) -> None:
        """Messages of any size come out as they went in, as one frame, its length in as few bytes as can be."""
        for size in (*SIZES, *MORE_SIZES):
            talk = self.talk()
            data = bytes(number * 7 % 256 for number in range(size))
            talk.say(data, "é" * size)
            self.assertEqual(talk.sent, [Binary(data), Text("é" * size)])
            self.assertEqual([(raw.fin, raw.rsv) for raw in talk.raw], [(True, 0)] * 2)

    def test_every_kind(self) -> None:
        """All kinds of frames, several of them in one write."""
        talk = self.talk()
        frames: list[Frame] = [Text("text"), Binary(b"binary"), Ping(), Ping(b"p" * 125), Pong(b"pong"), Close(4999, "r" * 123)]
        steps = talk.say(*frames)
        self.assertEqual([type(step) for step in steps], [Write])
        self.assertEqual(talk.sent, frames)

    def test_masks(self) -> None:
        """Each frame has a mask of its own."""
        talk = self.talk()
        for _ in range(20):
            talk.say(*[b"x"] * 100)
        masks = {raw.mask for raw in talk.raw}
        self.assertEqual(len(talk.raw), 2000)
        self.assertGreater(len(masks), 1990)

    def test_no_frames(self) -> None:
        """Nothing to say is nothing sent."""
        self.assertEqual(self.talk().say(), [])
