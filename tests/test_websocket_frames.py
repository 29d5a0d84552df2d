"""Frames: what may be sent, and how it goes out; what comes, however it is cut; and what the peer must not send."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.websocket_stage import WebsocketCase, frames, variants
from twisted_gun.testing import MemoryGun, Opcode, RecordingReceiver, server_frame

#: One of everything that may be told, around the lengths whose headers differ (RFC 6455 section 5.2).
ANYTHING: tuple[Any, ...] = (
    gun.Text(""),
    gun.Text("grüße, 世界 \U0001f600"),
    gun.Binary(b""),
    gun.Binary(bytes(range(256))),
    gun.Ping(),
    gun.Ping(b"p" * 125),
    gun.Pong(),
    gun.Pong(b"q" * 125),
    *(gun.Binary(b"x" * size) for size in (125, 126, 127, 65_535, 65_536, 200_000)),
    gun.Text("y" * 70_000),
)


class SendTests(WebsocketCase):
    """`Stream.ws_send`."""

    def test_every_frame(self) -> None:
        """Each frame arrives as it was sent."""
        world, stream = self.upgraded(end={"answer_pings": False})
        for frame in ANYTHING:
            stream.ws_send(frame)
        world.pump()
        self.assertEqual(world.peer.end.frames, list(ANYTHING))
        self.end(world)

    def test_list(self) -> None:
        """A list is sent in its order, whatever kind of iterable it is; an empty one is nothing."""
        world, stream = self.upgraded(end={"answer_pings": False})
        stream.ws_send(list(ANYTHING))
        both: list[str | bytes] = ["a", b"b"]
        stream.ws_send(iter(both))
        stream.ws_send([])
        world.pump()
        self.assertEqual(world.peer.end.frames, [*ANYTHING, gun.Text("a"), gun.Binary(b"b")])
        self.end(world)

    def test_order_in_a_turn(self) -> None:
        """Lists and single frames, small and large, that are sent by whoever is being told keep their order, compressed too."""
        sent: list[Any] = [["a", "b"], "c", ["d" * 70_000, b"e"], b"f" * 70_000, ["g"], "h"]
        world, stream, _ = self.told(end={"extensions": "permessage-deflate"}, ws_opts={"compress": True})

        def answer(_: gun.Ws) -> None:
            for some in sent:
                stream.ws_send(some)

        self.patch(stream._receiver, "gun_ws", answer)
        world.peer.end.send("now")
        world.pump()
        flat = [frame for frames in sent for frame in (frames if isinstance(frames, list) else [frames])]
        self.assertEqual(world.peer.end.frames, [gun.Text(frame) if isinstance(frame, str) else gun.Binary(frame) for frame in flat])
        self.end(world)

    def test_close_in_a_turn(self) -> None:
        """A Close that is sent by whoever is being told goes behind what was asked for before: the answer to a ping of the same read."""
        world, stream, told = self.told(retry=0)
        peer = world.peer

        def answer(event: Any) -> None:
            if isinstance(event, gun.Ws) and isinstance(event.frame, gun.Text):
                stream.ws_send(gun.Close(1000))

        told.react = answer
        peer.end.send_raw(server_frame(Opcode.TEXT, b"bye") + server_frame(Opcode.PING, b"p"))
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Pong(b"p"), gun.Close(1000)])
        self.assertEqual(self.told_once(told, stream).frame, gun.Close(1000))
        self.end(world)

    def test_short_forms(self) -> None:
        """str is a Text; bytes, a bytearray and a memoryview are a Binary, alone or in a list."""
        world, stream = self.upgraded()
        for given in ("text", b"bytes", bytearray(b"bytes"), memoryview(b"bytes")):
            stream.ws_send(given)  # type: ignore[arg-type]
            stream.ws_send([given])  # type: ignore[list-item]
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("text")] * 2 + [gun.Binary(b"bytes")] * 6)
        self.end(world)

    def test_later_changes(self) -> None:
        """What a bytearray becomes after it was given is not sent."""
        world, stream = self.upgraded()
        given = bytearray(b"before")
        stream.ws_send(gun.Binary(given))  # type: ignore[arg-type]
        given[:] = b"after!"
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Binary(b"before")])
        self.end(world)

    def test_refused(self) -> None:
        """What may not be sent is refused at the call, and nothing of its list is sent."""
        wrong: tuple[Any, ...] = (
            "\ud800",
            gun.Text("\udfff"),
            gun.Ping(b"x" * 126),
            gun.Pong(b"x" * 126),
            gun.Close(1000, "x" * 124),
            gun.Close(None, "a reason without a code"),
            gun.Close(1000, "\ud800"),
            *(gun.Close(code) for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_536)),
            gun.Close("1000"),  # type: ignore[arg-type]
            gun.Close(True),
            gun.Text(b"bytes"),  # type: ignore[arg-type]
            gun.Binary("text"),  # type: ignore[arg-type]
            7,
            None,
            object(),
            [["nested"]],
        )
        world, stream = self.upgraded()
        for frame in wrong:
            self.assertRaises(gun.InvalidRequest, stream.ws_send, frame)
            self.assertRaises(gun.InvalidRequest, stream.ws_send, ["good", frame])
        world.pump()
        self.assertEqual(world.peer.end.raw_frames, [])
        stream.ws_send("still open")
        world.pump()
        self.assertEqual(world.peer.end.frames, [gun.Text("still open")])
        self.end(world)

    def test_largest_close(self) -> None:
        """A Close may have a reason of 123 bytes, and each code that RFC 6455 and the registry allow."""
        for code in (1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999):
            world, stream = self.upgraded(retry=0)
            stream.ws_send(gun.Close(code, "r" * 123))
            world.pump()
            self.assertEqual(world.peer.end.frames, [gun.Close(code, "r" * 123)])
            self.end(world)

    def test_masks(self) -> None:
        """Every frame has a mask of its own (RFC 6455 section 5.3)."""
        world, stream = self.upgraded()
        for _ in range(50):
            stream.ws_send("same")
        world.pump()
        self.assertGreater(len({frame.mask for frame in world.peer.end.raw_frames}), 45)
        self.end(world)

    def test_behind_a_close(self) -> None:
        """Of a list what is behind a Close is not sent."""
        world, stream = self.upgraded(retry=0)
        peer = world.peer
        stream.ws_send(["a", gun.Close(1000), "b"])
        world.pump()
        self.assertEqual(peer.end.frames, [gun.Text("a"), gun.Close(1000)])
        self.end(world)

    def test_compressed(self) -> None:
        """Where compression was agreed on, messages go both ways compressed, and control frames do not."""
        world, stream = self.upgraded(end={"echo": True, "extensions": "permessage-deflate"}, ws_opts={"compress": True})
        messages = [frame for frame in ANYTHING if isinstance(frame, (gun.Text, gun.Binary))]
        stream.ws_send([*messages, gun.Ping(b"p")])
        for message in messages:
            world.pump()
            self.assertEqual(self.next_frame(stream), message)
        self.assertEqual([frame.rsv for frame in world.peer.end.raw_frames], [4] * len(messages) + [0])
        self.end(world)

    def test_compression_not_agreed(self) -> None:
        """Offered but not agreed on, nothing is compressed."""
        world, stream = self.upgraded(ws_opts={"compress": True})
        stream.ws_send("a" * 1000)
        world.pump()
        self.assertEqual(world.peer.end.raw_frames[0].rsv, 0)
        self.end(world)


class ReceiveTests(WebsocketCase):
    """What comes."""

    def test_every_frame(self) -> None:
        """Each frame is told as it was sent, once; pings and pongs with silence_pings=False."""
        world, stream, told = self.told(ws_opts={"silence_pings": False})
        for frame in ANYTHING:
            world.peer.end.send(frame)
        world.pump()
        self.assertEqual(frames(told), list(ANYTHING))
        self.assertEqual({event.stream for event in told.of(gun.Ws)}, {stream})
        self.end(world)

    def test_fragments(self) -> None:
        """A message in fragments is told as one, with control frames between them told in their place."""
        world, _, told = self.told(ws_opts={"silence_pings": False})
        end = world.peer.end
        for piece in (1, 2, 3, 1000):
            end.send("grüße, 世界", piece=piece)
            end.send(bytes(range(200)), piece=piece)
        end.send_raw(server_frame(Opcode.TEXT, b"one, ", fin=False))
        end.send(gun.Ping(b"between"))
        end.send_raw(server_frame(Opcode.CONTINUATION, b"", fin=False))
        end.send_raw(server_frame(Opcode.CONTINUATION, b"two"))
        world.pump()
        expected = [gun.Text("grüße, 世界"), gun.Binary(bytes(range(200)))] * 4
        self.assertEqual(frames(told), [*expected, gun.Ping(b"between"), gun.Text("one, two")])
        self.end(world)

    def test_however_it_is_cut(self) -> None:
        """The same events are told of the same bytes in one segment, byte by byte, and cut anywhere."""
        whole = self.conversation(1 << 20)
        self.assertEqual(len(whole), 13)
        for size in (1, 2, 3, 5, 64, 1000):
            self.assertEqual(self.conversation(size), whole, size)

    def conversation(self, size: int) -> list[Any]:
        """What is told where at most so many bytes come at a time."""
        world = self.up(
            end={"accept": False, "extensions": "permessage-deflate"},
            ws_opts={"silence_pings": False, "compress": True},
            owner=(told := RecordingReceiver()),
            reply_to=told,
            retry=0,
        )
        stream = world.connection.ws_upgrade("/")
        world.pump()
        world.endpoint.links[-1].chunk_size = size
        end = world.peer.end
        end.accept()
        for frame in (*ANYTHING[:6], "compressed " * 100, b"z" * 300):
            end.send(frame)
        end.send("in pieces", piece=2)
        end.send("plain", compress=False)
        end.send(gun.Pong(b"last"))
        end.close(1000, "bye")
        world.pump()
        self.assertTrue(stream.ended)
        self.end(world)
        return [event.frame if isinstance(event, gun.Ws) else event.told_as for event in told.events if hasattr(event, "stream")]

    def test_pings_are_answered(self) -> None:
        """Each ping is answered by one pong with its data, whether pings are told or not, and before what is sent later."""
        for silence in (True, False):
            world, stream, told = self.told(ws_opts={"silence_pings": silence})
            for data in (b"", b"1", b"2" * 125):
                world.peer.end.send(gun.Ping(data))
            world.peer.end.send("seen")
            world.pump()
            stream.ws_send("after")
            world.pump()
            pongs = [gun.Pong(b""), gun.Pong(b"1"), gun.Pong(b"2" * 125)]
            self.assertEqual(world.peer.end.frames, [*pongs, gun.Text("after")])
            pings = [] if silence else [gun.Ping(pong.data) for pong in pongs]
            self.assertEqual(frames(told), [*pings, gun.Text("seen")])
            self.end(world)

    def test_pongs(self) -> None:
        """A pong that nobody asked for is told where pings are, and does no harm."""
        for silence in (True, False):
            world, _, told = self.told(ws_opts={"silence_pings": silence})
            world.peer.end.send(gun.Pong(b"unasked"))
            world.pump()
            self.assertEqual(frames(told), [] if silence else [gun.Pong(b"unasked")])
            self.end(world)

    def test_own_pings(self) -> None:
        """A ping sent as a frame is answered by a pong that is told where pongs are."""
        world, stream, told = self.told(ws_opts={"silence_pings": False})
        stream.ws_send(gun.Ping(b"mine"))
        world.pump()
        self.assertEqual(frames(told), [gun.Pong(b"mine")])
        self.end(world)

    def test_close_forms(self) -> None:
        """A Close is told with its code and reason; without one the code is None; our answer has the same code."""
        for close in (gun.Close(), gun.Close(1000), gun.Close(1011, "grüße"), gun.Close(4999, "r" * 119)):
            world, stream, told = self.told(retry=0)
            peer = world.peer
            peer.end.send(close)
            world.pump()
            self.assertEqual(self.told_once(told, stream), gun.Ws(stream=stream, frame=close))
            self.assertEqual(peer.end.frames, [gun.Close(close.code)])
            self.end(world)


class ViolationCase(WebsocketCase):
    """What the peer must not send."""

    def violate(self, data: bytes, **ws_opts: Any) -> tuple[MemoryGun, Any, Any, RecordingReceiver]:
        """A world in which the peer has sent `data`, its websocket's end, and the reason told."""
        world, stream, told = self.told(ws_opts=ws_opts, end={"hang_up": False, "answer_close": False}, retry=0)
        end = world.peer.end
        end.send_raw(data)
        end.send("behind it")
        world.pump()
        error = self.told_once(told, stream)
        self.assertIsInstance(error, gun.Error)
        self.assertEqual(frames(told), [])
        self.assertRaises(gun.BadState, stream.ws_send, "more")
        return world, end, error.reason, told


class ViolationTests(ViolationCase):
    """What the peer must not send ends the websocket: the peer is told by a Close, the stream by an `Error`, once."""

    #: Bytes, and the code that we then close by.
    violations: tuple[tuple[bytes, int], ...] = (
        (server_frame(Opcode.TEXT, b"masked", mask=b"abcd"), 1002),
        (server_frame(3), 1002),
        (server_frame(11), 1002),
        (server_frame(Opcode.TEXT, b"x", rsv=4), 1002),
        (server_frame(Opcode.TEXT, b"x", rsv=2), 1002),
        (server_frame(Opcode.TEXT, b"x", rsv=1), 1002),
        (server_frame(Opcode.CONTINUATION, b"of nothing"), 1002),
        (server_frame(Opcode.TEXT, b"a", fin=False) + server_frame(Opcode.TEXT, b"b"), 1002),
        (server_frame(Opcode.PING, b"a", fin=False), 1002),
        (server_frame(Opcode.PING, b"x" * 126), 1002),
        (server_frame(Opcode.CLOSE, b"\x03"), 1002),
        (server_frame(Opcode.CLOSE, (1005).to_bytes(2, "big")), 1002),
        (server_frame(Opcode.CLOSE, (999).to_bytes(2, "big")), 1002),
        (server_frame(Opcode.TEXT, b"x", length_bytes=2), 1002),
        (server_frame(Opcode.TEXT, b"x", length_bytes=8), 1002),
        (server_frame(Opcode.TEXT, length_bytes=8, length=1 << 63), 1002),
        (server_frame(Opcode.TEXT, b"\xff"), 1007),
        (server_frame(Opcode.TEXT, b"\xc3", fin=False) + server_frame(Opcode.CONTINUATION, b"x"), 1007),
        (server_frame(Opcode.TEXT, b"\xed\xa0\x80"), 1007),
        (server_frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
    )

    def test_each(self) -> None:
        """Each violation: `ProtocolViolation`, and its code for the peer."""
        for data, code in self.violations:
            world, end, reason, _ = self.violate(data)
            self.assertIsInstance(reason, gun.ProtocolViolation, data)
            self.assertEqual(end.frames, [gun.Close(code)], data)
            self.end(world)

    def test_size(self) -> None:
        """A message of max_message_size is told; one byte more is `LimitReached`, and 1009 for the peer, whole or in fragments."""
        for piece in (None, 10):
            for size, well in ((99, True), (100, True), (101, False)):
                world, stream, told = self.told(ws_opts={"max_message_size": 100}, end={"hang_up": False}, retry=0)
                end = world.peer.end
                end.send(b"x" * size, piece=piece)
                world.pump()
                if well:
                    self.assertEqual(frames(told), [gun.Binary(b"x" * size)])
                else:
                    reason = self.told_once(told, stream).reason
                    self.assertIsInstance(reason, gun.LimitReached)
                    self.assertEqual((reason.name, reason.limit), ("max_message_size", 100))
                    self.assertEqual(end.frames, [gun.Close(1009)])
                self.end(world)

    def test_fragments(self) -> None:
        """A message in max_fragments is told; one more is `LimitReached`."""
        for count, well in ((3, True), (4, True), (5, False)):
            world, stream, told = self.told(ws_opts={"max_fragments": 4}, end={"hang_up": False}, retry=0)
            end = world.peer.end
            end.send("x" * count, piece=1)
            world.pump()
            if well:
                self.assertEqual(frames(told), [gun.Text("x" * count)])
            else:
                self.assertEqual(self.told_once(told, stream).reason.name, "max_fragments")
                self.assertEqual(end.frames, [gun.Close(1009)])
            self.end(world)

    def test_bomb(self) -> None:
        """What a compressed message becomes is bounded: 1,000 bytes that would be a megabyte are `LimitReached`."""
        options: dict[str, Any] = {"compress": True, "max_message_size": 100_000}
        world, stream, told = self.told(ws_opts=options, end={"extensions": "permessage-deflate", "hang_up": False}, retry=0)
        end = world.peer.end
        end.send(bytes(1_000_000))
        world.pump()
        self.assertEqual(self.told_once(told, stream).reason.name, "max_message_size")
        self.assertEqual(end.frames, [gun.Close(1009)])
        self.end(world)

    def test_bad_compression(self) -> None:
        """What cannot be inflated is a `ProtocolViolation`, and 1007 for the peer."""
        world, stream, told = self.told(ws_opts={"compress": True}, end={"extensions": "permessage-deflate", "hang_up": False}, retry=0)
        end = world.peer.end
        end.send_raw(server_frame(Opcode.BINARY, b"\xff\xff\xff\xff", rsv=4))
        world.pump()
        self.assertIsInstance(self.told_once(told, stream).reason, gun.ProtocolViolation)
        self.assertEqual(end.frames, [gun.Close(1007)])
        self.end(world)

    def test_neighbours(self) -> None:
        """Over HTTP/2 it is the one stream that ends; over HTTP/1.1 the connection, whose `Down` says why."""
        world, _, reason, told = self.violate(server_frame(3))
        other = world.connection.get("/") if self.http2 else None
        world.advance(15)
        if other is None:
            (down,) = told.of(gun.Down)
            self.assertEqual((down.protocol, down.reason), ("ws", reason))
        else:
            world.peer.respond(world.peer.requests[-1], 200, {}, b"alive")
            world.pump()
            self.assertEqual(told.names()[-2:], ["gun_response", "gun_data"])
        self.end(world)

    def test_reason_where_the_peer_hangs_up(self) -> None:
        """`Down` says so too where the peer, told by our Close, ends the connection itself."""
        world, stream, told = self.told(retry=0)
        world.peer.end.send_raw(server_frame(3))
        world.pump()
        reason = self.told_once(told, stream).reason
        self.assertIsInstance(reason, gun.ProtocolViolation)
        self.assertEqual([event.reason for event in told.of(gun.Down)], [] if self.http2 else [reason])
        self.end(world)


class AnnouncedTests(ViolationCase):
    """What our own core, unlike the reference, sees coming."""

    cores = ("own",)

    def test_announced_size(self) -> None:
        """What is announced to be too long is refused before it comes."""
        world, end, reason, _ = self.violate(server_frame(Opcode.BINARY, b"x", length_bytes=8, length=1 << 40))
        self.assertIsInstance(reason, gun.LimitReached)
        self.assertEqual(end.frames, [gun.Close(1009)])
        self.end(world)


globals().update(variants(__name__))
