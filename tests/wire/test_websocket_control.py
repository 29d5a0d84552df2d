"""Pings and pongs (RFC 6455 sections 5.5.2 and 5.5.3): each ping is answered once, and what waits to be sent stays small."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from twisted_gun.errors import BadState
from twisted_gun.events import Close, Ping, Pong, Text

from .conversation import outline
from .ws_conversation import Opcode, WsCase, close, ping, pong, server_frame, text


class PingTests(WsCase):
    """Pings of the server's."""

    def test_answered(self) -> None:
        """Each is answered by the same data, once, and not told."""
        for data in (b"", b"x", bytes(range(125))):
            self.assert_told(ping(data), sent=[Pong(data)])
        self.assert_told(ping(b"1") + ping(b"2") + ping(b"1"), sent=[Pong(b"1"), Pong(b"2"), Pong(b"1")])

    def test_told(self) -> None:
        """Those who want to are told; it is answered all the same, once."""
        self.assert_told(ping(b"1") + pong(b"2"), Ping(b"1"), Pong(b"2"), sent=[Pong(b"1")], silent=False)

    def test_pong_unasked(self) -> None:
        """RFC 6455 section 5.5.3: a pong unasked for is no more than a sign of life."""
        self.assert_told(pong() + pong(b"x" * 125) + text("hi"), Text("hi"))

    def test_too_long(self) -> None:
        """Section 5.5: "All control frames MUST have a payload length of 125 bytes or less"."""
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            for size in (126, 200, 65_536):
                self.assert_violation(server_frame(opcode, b"\x03\xe8" + b"x" * (size - 2)), cut=size < 300)

    def test_fragmented(self) -> None:
        """ "and MUST NOT be fragmented"."""
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            self.assert_violation(server_frame(opcode, b"", fin=False))
            self.assert_violation(server_frame(opcode, b"\x03\xe8", fin=False))

    def test_after_our_close(self) -> None:
        """Once we have closed nothing more is sent, no answer either."""
        talk = self.talk(silent=False)
        talk.say(Close(1000))
        talk.receive(ping(b"1") + text("still there"), ping(b"2"))
        self.assertEqual(talk.frames, [Ping(b"1"), Text("still there"), Ping(b"2")])
        self.assertEqual(talk.sent, [Close(1000)])

    def test_after_our_close_while_held(self) -> None:
        """Nor where the answer had to wait."""
        talk = self.talk()
        talk.hold_sending()
        talk.receive(ping(b"1"))
        talk.say(Close(1000))
        talk.receive(ping(b"2"))
        talk.hold_sending(False)
        self.assertEqual(talk.sent, [Close(1000)])

    def test_before_their_close(self) -> None:
        """A ping in front of a Close is answered before that is."""
        talk = self.talk()
        talk.receive(ping(b"1") + close(1000))
        self.assertEqual(talk.sent, [Pong(b"1"), Close(1000)])


class FloodTests(WsCase):
    """Many pings."""

    def test_few(self) -> None:
        """A reasonable number of them in one read are all answered."""
        talk = self.talk()
        talk.receive(b"".join(ping(b"%d" % number) for number in range(100)))
        self.assertEqual(talk.sent, [Pong(b"%d" % number) for number in range(100)])

    def test_bound(self) -> None:
        """
        Of very many in one read the first are answered, and the last.

        RFC 6455 section 5.5.3: an endpoint "MAY elect to send a Pong frame for only the most recently processed Ping frame".
        """
        talk = self.talk()
        talk.receive(b"".join(ping(b"%0120d" % number) for number in range(10_000)))
        self.assertLess(len(talk.written), 10_000)
        numbers = [int(frame.data) for frame in talk.sent if isinstance(frame, Pong)]
        self.assertEqual(numbers, [*range(len(numbers) - 1), 9_999])
        talk.newly_sent()
        talk.receive(ping(b"next"))
        self.assertEqual(talk.newly_sent(), [Pong(b"next")])

    def test_peer_does_not_read(self) -> None:
        """As long as the transport takes nothing, only the newest is kept, and answered when it takes something again."""
        talk = self.talk()
        talk.hold_sending()
        for number in range(1000):
            self.assertEqual(talk.receive(ping(b"%d" % number)), [])
        talk.hold_sending(False)
        self.assertEqual(talk.sent, [Pong(b"999")])
        talk.hold_sending()
        talk.hold_sending(False)
        self.assertEqual(talk.sent, [Pong(b"999")])

    def test_peer_does_not_read_for_a_while(self) -> None:
        """Those before and after it are answered as ever, and messages are sent as they are given."""
        talk = self.talk()
        talk.receive(ping(b"1"))
        talk.hold_sending()
        talk.receive(ping(b"2"), ping(b"3"))
        talk.say("meanwhile")
        talk.hold_sending(False)
        talk.receive(ping(b"4"))
        self.assertEqual(talk.sent, [Pong(b"1"), Text("meanwhile"), Pong(b"3"), Pong(b"4")])


class Counted(OrderedDict[bytes, Any]):
    """Counts what is looked at when it is gone through, and what is taken from its front."""

    looked_at = 0

    def __iter__(self) -> Iterator[bytes]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key

    def popitem(self, last: bool = True) -> tuple[bytes, Any]:
        self.looked_at += 1
        return super().popitem(last)


class OwnPingTests(WsCase):
    """Pings that somebody asks for."""

    def test_answered(self) -> None:
        """Who asked is told how long it took, and nobody else of the pong."""
        for silent in (True, False):
            talk = self.talk(silent=silent)
            talk.ping("key")
            (sent,) = talk.newly_sent()
            assert isinstance(sent, Ping)
            self.assertEqual(talk.at(2.5), [])
            talk.now = 2.5
            self.assertEqual(outline(talk.receive(pong(sent.data))), [("ping answered", "key", 2.5)])
            again = [] if silent else [Pong(sent.data)]
            talk.receive(pong(sent.data))
            self.assertEqual(talk.frames, again)

    def test_several(self) -> None:
        """Each pong belongs to its ping."""
        talk = self.talk()
        for key in ("1", "2", "3"):
            talk.ping(key)
        payloads = [frame.data for frame in talk.sent if isinstance(frame, Ping)]
        self.assertEqual(len(set(payloads)), 3)
        for payload, key in zip(payloads, ("1", "2", "3"), strict=True):
            self.assertEqual([entry[:2] for entry in outline(talk.receive(pong(payload)))], [("ping answered", key)])

    def test_only_the_last(self) -> None:
        """RFC 6455 section 5.5.3: a peer may answer only the last of several: then those before it are answered too."""
        talk = self.talk()
        for key, now in (("1", 0.0), ("2", 1.0), ("3", 2.0)):
            talk.now = now
            talk.ping(key)
        payloads = [frame.data for frame in talk.sent if isinstance(frame, Ping)]
        talk.now = 5.0
        talk.receive(pong(payloads[1]), pong(payloads[0]), pong(payloads[2]))
        self.assertEqual(talk.outline, [("ping answered", "1", 5.0), ("ping answered", "2", 4.0), ("ping answered", "3", 3.0)])

    def test_very_many(self) -> None:
        """However many are under way, a pong takes no longer: only the pings that it answers are looked at."""
        talk = self.talk()
        talk.core._pings = pings = Counted()
        for key in range(500):
            talk.ping(key)
        payloads = [frame.data for frame in talk.sent if isinstance(frame, Ping)]
        talk.receive(*map(pong, payloads))
        self.assertEqual([entry[1] for entry in talk.outline], [*range(500)])
        self.assertLessEqual(pings.looked_at, 2 * 500)

    def test_another_pong(self) -> None:
        """A pong with other data answers nothing."""
        talk = self.talk()
        talk.ping("key")
        self.assertEqual(talk.receive(pong(), pong(b"gun"), pong(b"x" * 125)), [])

    def test_closing(self) -> None:
        """On a websocket that closes, or has ended, there is nothing to ping: that is said at the call."""
        for end in ("ours", "theirs", "lost", "failed"):
            talk = self.talk()
            if end == "ours":
                talk.say(Close())
            elif end == "lost":
                talk.lose()
            else:
                talk.receive(close() if end == "theirs" else server_frame(3))
            sent = list(talk.sent)
            self.assertRaises(BadState, talk.ping, "key")
            self.assertEqual(talk.sent, sent)
