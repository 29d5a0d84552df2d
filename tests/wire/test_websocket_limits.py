"""What a websocket's messages may cost: each limit at one less, at itself and at one more, and the memory that a peer can claim."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from twisted_gun.events import Binary, Close, Text

from .conversation import A, outline
from .ws_conversation import Opcode, WsCase, WsConversation, agreed, close, fragments, server_frame, text

TOO_LARGE = "LimitReached(max_message_size, 1000)"
#: How much more than its limit a core may look at, before it refuses.
ONE_READ = 64 * 1024


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """What is done within takes up no more than `size` bytes of memory at a time."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= size, f"{peak - before} bytes, which is more than {size}"


class SizeTests(WsCase):
    """`max_message_size`."""

    def test_one_frame(self) -> None:
        """In one frame, text and bytes."""
        for size in (999, 1000):
            self.assert_told(server_frame(Opcode.BINARY, b"x" * size), Binary(b"x" * size), max_message_size=1000)
            self.assert_told(text("x" * size), Text("x" * size), max_message_size=1000)
        for opcode in (Opcode.TEXT, Opcode.BINARY):
            self.assert_violation(server_frame(opcode, b"x" * 1001), 1009, TOO_LARGE, max_message_size=1000)

    def test_small(self) -> None:
        """Also where the limit is below what messages usually are."""
        for most in (1, 5, 100):
            self.assert_told(text("x" * most), Text("x" * most), max_message_size=most)
            for opcode in (Opcode.TEXT, Opcode.BINARY):
                self.assert_violation(
                    server_frame(opcode, b"x" * (most + 1)), 1009, f"LimitReached(max_message_size, {most})", max_message_size=most
                )

    def test_fragments(self) -> None:
        """In several, wherever the limit is passed."""
        for sizes in ([500, 500], [1000, 0], [1, 998, 1], [0, 1000]):
            parts = [b"x" * size for size in sizes]
            self.assert_told(fragments(Opcode.BINARY, *parts), Binary(b"x" * 1000), max_message_size=1000)
            for at in range(len(parts)):
                longer = [part + b"x" * (number == at) for number, part in enumerate(parts)]
                self.assert_violation(fragments(Opcode.BINARY, *longer), 1009, TOO_LARGE, max_message_size=1000)

    def test_bytes_count(self) -> None:
        """Of text the bytes count, not the characters."""
        self.assert_told(text("é" * 500), Text("é" * 500), max_message_size=1000)
        self.assert_violation(text("é" * 501), 1009, TOO_LARGE, max_message_size=1000)

    def test_each_by_itself(self) -> None:
        """The limit is for a message, not for all of them."""
        self.assert_told(text("x" * 1000) * 3, *[Text("x" * 1000)] * 3, max_message_size=1000)
        self.assert_told(fragments(Opcode.TEXT, b"x" * 500, b"y" * 500) * 2, *[Text("x" * 500 + "y" * 500)] * 2, max_message_size=1000)

    def test_inflated(self) -> None:
        """What is compressed counts as it is when inflated, in one frame and in several."""
        for size, fits in ((999, True), (1000, True), (1001, False)):
            for cut in (0, 1, 3):
                talk = self.talk(deflate=agreed(), max_message_size=1000)
                assert talk.deflate is not None
                data = talk.deflate.compress(b"x" * size)
                talk.receive(fragments(Opcode.TEXT, data[:cut], data[cut:], rsv=4))
                if fits:
                    self.assertEqual(talk.frames, [Text("x" * size)])
                else:
                    self.assert_failed(talk, 1009, TOO_LARGE)

    def test_compressed_is_not_the_size(self) -> None:
        """What is larger compressed than it is may be as large as any: only what it says counts."""
        talk = self.talk(deflate=agreed(), max_message_size=1000)
        stored = zlib.compressobj(0, zlib.DEFLATED, -15)
        data = b"".join(stored.compress(b"x" * 10) + stored.flush(zlib.Z_SYNC_FLUSH) for _ in range(100))
        self.assertGreater(len(data), 1001)
        talk.receive(server_frame(Opcode.TEXT, data[:-4], rsv=4))
        self.assertEqual(talk.frames, [Text("x" * 1000)])

    def test_default(self) -> None:
        """16 MiB, where nothing is said: a frame that announces more is refused, at the latest as soon as more is there."""
        talk = self.talk()
        talk.receive(server_frame(Opcode.BINARY, length=16 * 1024 * 1024))
        self.assertEqual(talk.steps, [])
        talk = self.talk()
        talk.receive(server_frame(Opcode.BINARY, length=16 * 1024 * 1024 + 1), *[bytes(ONE_READ)] * 257)
        self.assert_failed(talk, 1009, f"LimitReached(max_message_size, {16 * 1024 * 1024})")


class FragmentsTests(WsCase):
    """`max_fragments`."""

    def test_limit(self) -> None:
        """So many frames a message may have, empty ones among them."""
        for payload in (b"x", b"", b"x" * 130):
            for count in (2, 3):
                self.assert_told(fragments(Opcode.BINARY, *[payload] * count), Binary(payload * count), max_fragments=3)
            self.assert_violation(fragments(Opcode.BINARY, *[payload] * 4), 1009, "LimitReached(max_fragments, 3)", max_fragments=3)

    def test_one(self) -> None:
        """With 1, none may be fragmented."""
        self.assert_told(text("a") * 3 + text("b" * 200), *[Text("a")] * 3, Text("b" * 200), max_fragments=1)
        self.assert_violation(fragments(Opcode.TEXT, b"a", b"b"), 1009, "LimitReached(max_fragments, 1)", max_fragments=1)

    def test_compressed(self) -> None:
        """Those of a compressed message count likewise."""
        for count, fits in ((3, True), (4, False)):
            talk = self.talk(deflate=agreed(), max_fragments=3)
            assert talk.deflate is not None
            data = talk.deflate.compress(b"hello")
            parts = [data[at : at + 1] for at in range(count - 1)] + [data[count - 1 :]]
            talk.receive(fragments(Opcode.TEXT, *parts, rsv=4))
            self.assertEqual(talk.frames, [Text("hello")] if fits else [])
            if not fits:
                self.assert_failed(talk, 1009, "LimitReached(max_fragments, 3)")

    def test_default(self) -> None:
        """10,000, where nothing is said; a message that never ends is one that goes beyond it."""
        talk = self.talk()
        talk.receive(fragments(Opcode.BINARY, *[b""] * 10_000))
        self.assertEqual(talk.frames, [Binary(b"")])
        talk.receive(server_frame(Opcode.TEXT, fin=False) + server_frame(Opcode.CONTINUATION, fin=False) * 10_000)
        self.assert_failed(talk, 1009, "LimitReached(max_fragments, 10000)")


class TurnTests(WsCase):
    """How much is told at a time: what is left is told in a later turn, and meanwhile nothing is read."""

    def turns(self, talk: WsConversation) -> list[int]:
        """How many frames were told in each turn, now and until there is nothing left."""
        counts = [len(talk.frames)]
        while talk.core.deadline() == talk.now:
            paused = talk.paused
            talk.at(talk.now)
            self.assertTrue(paused or len(talk.frames) == sum(counts))
            counts.append(len(talk.frames) - sum(counts))
        self.assertFalse(talk.paused)
        return counts

    def test_many_small(self) -> None:
        """Very many small messages that came in one read."""
        talk = self.talk()
        talk.receive(text("") * 10_000 + text("the last"))
        counts = self.turns(talk)
        self.assertGreater(len(counts), 2)
        self.assertLessEqual(max(counts), 4096)
        self.assertEqual(talk.frames, [*[Text("")] * 10_000, Text("the last")])

    def test_much_flow(self) -> None:
        """However much flow its owner has allowed."""
        talk = self.talk(flow=1_000_000)
        talk.receive(text("") * 10_000 + text("the last"))
        self.assertLessEqual(max(self.turns(talk)), 4096)
        self.assertEqual(talk.frames, [*[Text("")] * 10_000, Text("the last")])

    def test_pings(self) -> None:
        """Pings that are told count as well."""
        talk = self.talk(silent=False)
        talk.receive(server_frame(Opcode.PONG) * 10_000)
        self.assertLessEqual(max(self.turns(talk)), 4096)
        self.assertEqual(len(talk.frames), 10_000)

    def test_large(self) -> None:
        """Large messages, compressed to be small."""
        talk = self.talk(deflate=agreed())
        talk.receive(talk.compressed(bytes(1024 * 1024), Opcode.BINARY) * 20)
        counts = self.turns(talk)
        self.assertEqual(sum(counts), 20)
        self.assertLessEqual(max(counts), 4)

    def test_fragmented(self) -> None:
        """Messages in two frames each."""
        talk = self.talk()
        talk.receive(fragments(Opcode.TEXT, b"a", b"b") * 9_000)
        self.assertLessEqual(max(self.turns(talk)), 4096)
        self.assertEqual(talk.frames, [Text("ab")] * 9_000)

    def test_more_comes(self) -> None:
        """What comes meanwhile, though nothing is read, is told behind it."""
        talk = self.talk()
        talk.receive(text("") * 5_000, text("more"), text("and more"))
        self.turns(talk)
        self.assertEqual(talk.frames[5_000:], [Text("more"), Text("and more")])

    def test_held_meanwhile(self) -> None:
        """Whoever says in between that it is enough is told no more."""
        for how in ("hold", "flow"):
            talk = self.talk(flow=None if how == "hold" else 6_000)
            talk.receive(text("") * 10_000)
            before = len(talk.frames)
            if how == "hold":
                talk.hold(A)
                talk.at(talk.now)
                self.assertEqual(len(talk.frames), before)
                talk.hold(A, False)
            else:
                talk.at(talk.now)
                talk.at(talk.now)
                self.assertEqual(len(talk.frames), 6_000)
                talk.update_flow(A, 4_000)
            while talk.core.deadline() == talk.now:
                talk.at(talk.now)
            self.assertEqual(len(talk.frames), 10_000)

    def test_lost_meanwhile(self) -> None:
        """Where the connection ends all of it is told: there is no later."""
        for end, last in ((close(1000), ("ws", A, Close(1000))), (b"", ("failed", A, "StreamClosed"))):
            talk = self.talk()
            talk.receive(text("") * 20_000 + end)
            talk.lose()
            self.assertEqual(talk.frames[:20_000], [Text("")] * 20_000)
            self.assertEqual(talk.outline[20_000:], [last])

    def test_a_fault_among_them(self) -> None:
        """A fault is met in its turn."""
        talk = self.talk()
        talk.receive(text("") * 5_000 + server_frame(3) + text("never told"))
        while talk.core.deadline() == talk.now:
            talk.at(talk.now)
        self.assertEqual(len(talk.frames), 5_000)
        self.assert_failed(talk, 1002)

    def test_no_sign_of_death(self) -> None:
        """Nor does the time of keepalive run meanwhile."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0)
        talk.at(10.0)
        talk.receive(text("") * 10_000)
        talk.at(13.0)
        self.assertFalse(talk.over)


class MemoryTests(WsCase):
    """What a peer can make us keep."""

    def test_small_fragments(self) -> None:
        """A message in very many small parts takes no more than twice the room of its bytes."""
        most = 64 * 1024
        part = server_frame(Opcode.CONTINUATION, b"x" * 10, fin=False)
        talk = self.talk(max_fragments=100_000)
        talk.receive(server_frame(Opcode.BINARY, fin=False))
        with at_most(2 * most + ONE_READ):
            for _ in range(most // 1000):
                talk.receive(part * 100)
        self.assertEqual(talk.steps, [])

    def test_small_reads(self) -> None:
        """Nor does one that comes in very small reads."""
        talk = self.talk()
        talk.receive(server_frame(Opcode.BINARY, length=20_000))
        with at_most(40_000 + ONE_READ):
            for _ in range(19_999):
                talk.receive(b"x")
        talk.receive(b"x")
        self.assertEqual(talk.frames, [Binary(b"x" * 20_000)])

    def test_bomb(self) -> None:
        """64 MiB that came as 64 KiB are refused when the limit is passed, not when they are there."""
        talk = self.talk(deflate=agreed(), max_message_size=1024 * 1024)
        bomb = talk.compressed(bytes(64 * 1024 * 1024), Opcode.BINARY)
        self.assertLess(len(bomb), 100_000)
        with at_most(4 * 1024 * 1024):
            talk.receive(bomb)
        self.assert_failed(talk, 1009, f"LimitReached(max_message_size, {1024 * 1024})")

    def test_bomb_in_fragments(self) -> None:
        """Nor does it help to send it in pieces."""
        talk = self.talk(deflate=agreed(), max_message_size=1024 * 1024)
        assert talk.deflate is not None
        data = talk.deflate.compress(bytes(16 * 1024 * 1024))
        with at_most(4 * 1024 * 1024):
            talk.receive(fragments(Opcode.BINARY, *(data[at : at + 500] for at in range(0, len(data), 500)), rsv=4))
        self.assert_failed(talk, 1009, f"LimitReached(max_message_size, {1024 * 1024})")

    def test_pings_to_one_who_sends_nothing(self) -> None:
        """100,000 pings of a server that reads nothing leave one answer waiting."""
        talk = self.talk()
        talk.hold_sending()
        many = server_frame(Opcode.PING, b"x" * 125) * 500
        for _ in range(200):
            talk.receive(many)
        self.assertEqual(talk.written, b"")
        talk.hold_sending(False)
        self.assertLess(len(talk.written), 200)

    def test_failed(self) -> None:
        """What a server sends to a websocket that has failed is not kept."""
        talk = self.talk()
        talk.receive(server_frame(3))
        with at_most(2 * ONE_READ):
            for _ in range(100):
                talk.receive(bytes(ONE_READ))
        self.assertEqual(talk.sent, [Close(1002)])
        self.assertEqual(outline(talk.lose()), [])
        self.assertEqual(talk.core.losses().killed, (A,))
