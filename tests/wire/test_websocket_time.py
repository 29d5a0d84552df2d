"""Keepalive of a websocket: pings that are sent when it is time, and a peer that gives no sign of life."""

from __future__ import annotations

from twisted_gun.errors import TimedOut
from twisted_gun.events import Close, Ping, Pong, Text
from twisted_gun.wire.steps import Close as CloseStep

from .conversation import A, outline
from .ws_conversation import Opcode, WsCase, close, ping, pong, server_frame, text

#: Nothing came within ping_timeout = 3 seconds after a ping.
DEAD = [("failed", A, "TimedOut(keepalive, 3.0)"), ("close", "TimedOut(keepalive, 3.0)")]


class KeepaliveTests(WsCase):
    """`keepalive`."""

    def test_off(self) -> None:
        """Without it nothing is sent, and nothing is waited for."""
        self.assertIsNone(self.talk().core.deadline())

    def test_interval(self) -> None:
        """A ping each time, whatever comes or goes meanwhile."""
        talk = self.talk(keepalive=10.0, ping_timeout=None)
        talk.at(9.999)
        self.assertEqual(talk.newly_sent(), [])
        for now in (10.0, 20.0, 30.0):
            talk.receive(text("hi"))
            talk.say("ho")
            talk.newly_sent()
            talk.at(now)
            self.assertEqual(talk.newly_sent(), [Ping(b"")])

    def test_late(self) -> None:
        """Where the time was missed there is one ping, and the next a whole interval later."""
        talk = self.talk(keepalive=10.0, ping_timeout=None)
        talk.at(57.0)
        self.assertEqual((talk.newly_sent(), talk.core.deadline()), ([Ping(b"")], 67.0))

    def test_start(self) -> None:
        """The first is due that long after the start, whenever that was."""
        talk = self.talk(keepalive=10.0)
        talk.core.start(1000.0)
        self.assertEqual(talk.core.deadline(), 1010.0)

    def test_pongs(self) -> None:
        """The answers are nobody's news, except for those who want all pongs."""
        for silent in (True, False):
            talk = self.talk(keepalive=10.0, silent=silent)
            talk.at(10.0)
            talk.receive(pong())
            self.assertEqual(talk.frames, [] if silent else [Pong(b"")])

    def test_stops(self) -> None:
        """Once it closes there are no more pings."""
        for end in (Close(1000), close(1000), server_frame(3)):
            talk = self.talk(keepalive=1.0, closing_timeout=10.0)
            if isinstance(end, bytes):
                talk.receive(end)
            else:
                talk.say(end)
            talk.newly_sent()
            for now in (1.0, 2.0, 5.0):
                talk.at(now)
            self.assertEqual(talk.newly_sent(), [])
            self.assertEqual(talk.core.deadline(), 10.0)

    def test_sending_held(self) -> None:
        """A transport that takes nothing does not keep keepalive from giving up."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0)
        talk.hold_sending()
        talk.at(10.0)
        self.assertEqual(outline(talk.at(13.0)), DEAD)


class PingTimeoutTests(WsCase):
    """`ping_timeout`."""

    def test_dead(self) -> None:
        """A peer that sends nothing within it, after a ping, is given up; the connection is aborted."""
        for now, expected in ((12.999, []), (13.0, DEAD), (13.001, DEAD)):
            talk = self.talk(keepalive=10.0, ping_timeout=3.0)
            talk.at(10.0)
            self.assertEqual(outline(talk.at(now)), expected)
        step = talk.steps[-1]
        assert isinstance(step, CloseStep) and isinstance(step.reason, TimedOut)
        self.assertTrue(step.abort)
        self.assertIn("ping_timeout = 3.0", str(step.reason))
        self.assertEqual(talk.core.losses().killed, (A,))

    def test_any_sign(self) -> None:
        """Whatever comes is a sign of life: a pong, a ping, a message, or a piece of one."""
        for data in (pong(), ping(), text("hi"), text("hi")[:1], server_frame(Opcode.BINARY, length=1000)):
            talk = self.talk(keepalive=10.0, ping_timeout=3.0)
            talk.at(10.0)
            talk.receive(data)
            self.assertEqual(talk.at(13.0), [])
            talk.at(20.0)
            self.assertEqual(outline(talk.at(23.0)), DEAD)

    def test_before_the_ping(self) -> None:
        """What came before the ping does not answer it."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0)
        talk.at(9.999)
        talk.receive(text("hi"))
        talk.at(10.0)
        self.assertEqual(outline(talk.at(13.0)), DEAD)

    def test_longer_than_the_interval(self) -> None:
        """Pings go on meanwhile; the time runs from the first that nothing came after."""
        talk = self.talk(keepalive=1.0, ping_timeout=3.0)
        for now in (1.0, 2.0, 3.0):
            talk.at(now)
        self.assertEqual(talk.sent, [Ping(b"")] * 3)
        self.assertEqual(outline(talk.at(4.0))[-2:], DEAD)

    def test_longer_and_alive(self) -> None:
        """A peer that answers, however late, is never given up."""
        talk = self.talk(keepalive=1.0, ping_timeout=3.0)
        for tick in range(1, 60):
            talk.at(tick / 2)
            if tick % 5 == 0:
                talk.receive(pong())
        self.assertFalse(talk.over)

    def test_none(self) -> None:
        """With None nobody is given up."""
        talk = self.talk(keepalive=10.0, ping_timeout=None)
        for now in range(0, 1000, 5):
            talk.at(float(now))
        self.assertFalse(talk.over)

    def test_in_our_close(self) -> None:
        """A peer that gives no sign of life is given up also while we wait for its Close."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0, closing_timeout=100.0)
        talk.at(10.0)
        talk.say(Close(1000))
        self.assertEqual(outline(talk.at(13.0)), DEAD)

    def test_after_their_close(self) -> None:
        """One that has closed is not dead: it has its time to end the connection."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0, closing_timeout=15.0)
        talk.at(10.0)
        talk.receive(close(1000))
        self.assertEqual(talk.at(13.0), [])
        self.assertEqual(talk.at(25.0), [CloseStep(None, abort=False)])

    def test_all_at_once(self) -> None:
        """Where everything is due at once, the first that ends the websocket does."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0, closing_timeout=3.0)
        talk.at(10.0)
        talk.say(Close(1000))
        self.assertEqual(len(outline(talk.at(100.0))), 2)
        self.assertTrue(talk.over)


class HeldTests(WsCase):
    """An owner who can take no more: what the peer sends is not read, and so says nothing about it."""

    def test_held(self) -> None:
        """A peer that we do not read from is not given up, however long that lasts."""
        for how in ("hold", "flow"):
            talk = self.talk(keepalive=10.0, ping_timeout=3.0, flow=None if how == "hold" else 1)
            if how == "hold":
                talk.hold(A)
            else:
                talk.receive(text("one"))
            for now in range(0, 1000, 5):
                talk.at(float(now))
            self.assertFalse(talk.over)

    def test_released(self) -> None:
        """After that it has its time again, from the next ping on."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0)
        talk.at(10.0)
        talk.hold(A)
        talk.at(12.0)
        talk.hold(A, False)
        self.assertEqual(talk.at(13.0), [])
        talk.at(20.0)
        self.assertEqual(outline(talk.at(23.0)), DEAD)

    def test_read_meanwhile(self) -> None:
        """What is read after that is told."""
        talk = self.talk(keepalive=10.0, ping_timeout=3.0)
        talk.hold(A)
        talk.receive(text("hi"))
        talk.at(50.0)
        talk.hold(A, False)
        self.assertEqual(talk.frames, [Text("hi")])
