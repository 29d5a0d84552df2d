"""The end of a hop that it asks for itself: what was written goes out first, but a peer that does not let go is not waited for."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.net.test_hop import MUCH, HopCase
from twisted_gun.net.hop import HopOptions
from twisted_gun.net.straight import Indirect
from twisted_gun.wire.steps import Close, Write


class ClosingTests(HopCase):
    """A peer that does not let go."""

    options = HopOptions(send_timeout=None)

    def test_closing_timeout(self) -> None:
        """After the core's closing_timeout an orderly close whose data the peer does not take is aborted; not before."""
        self.core.closing_timeout = 3.0
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH), Close()])
        self.clock.advance(2.9)
        self.assertFalse(self.link.client.disconnected)
        self.clock.advance(0.2)
        self.assert_nothing_left()
        self.assertEqual(self.above.said[-1], ("lost", None))

    def test_drop_while_closing(self) -> None:
        """drop does not wait for an orderly close that is under way."""
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH), Close()])
        self.pump()
        self.hop.drop()
        self.assert_nothing_left()

    def test_no_timeout(self) -> None:
        """None waits without limit."""
        self.core.closing_timeout = None
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH), Close()])
        self.clock.advance(10_000)
        self.assertFalse(self.link.client.disconnected)
        self.peer.resume()
        self.assert_nothing_left()
        self.assertEqual(len(self.peer.received), len(MUCH))

    def end_slowly(self, seconds: float, times: int) -> None:
        """Close with much to be sent to a peer that takes a little of it every so many `seconds`."""
        self.core.closing_timeout = 3.0
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH), Close()])
        for _ in range(times):
            self.clock.advance(seconds)
            self.peer.received += self.peer.transport.end.recv(10_000)
            self.link.schedule()
            self.clock.advance(0)

    def test_slow(self) -> None:
        """A peer that takes a little now and then gets everything, however long that takes."""
        self.end_slowly(2.5, 20)
        self.assertFalse(self.link.client.disconnected)
        self.peer.resume()
        self.assert_nothing_left()
        self.assertEqual(self.peer.received, MUCH)
        self.assertEqual(self.above.said[-1], ("lost", None))
        self.assertIsNone(self.hop.cut_off)

    def test_slow_then_stuck(self) -> None:
        """Once it takes nothing any more the time runs out; that what was sent is cut off can be asked."""
        self.end_slowly(2.5, 4)
        self.clock.pump([3.0, 3.0])
        self.assertTrue(self.link.client.disconnected)
        self.assert_nothing_left()
        self.assertEqual(self.above.said[-1], ("lost", None))
        cut: Any = self.hop.cut_off
        self.assertEqual((type(cut), cut.stage, cut.seconds), (gun.TimedOut, "closing", 3.0))

    def test_looks(self) -> None:
        """Whether anything was taken is looked for once in closing_timeout, and no more often."""
        looks: list[float] = []
        self.core.closing_timeout = 3.0
        self.connect()
        self.peer.pause()

        def sent() -> int:
            looks.append(self.clock.seconds())
            return len(looks)

        self.hop.sent = sent  # type: ignore[method-assign]
        self.hop.perform([Write(MUCH), Close()])
        self.clock.pump([0.5] * 19)
        self.assertEqual(sorted(set(looks)), [0.0, 3.0, 6.0, 9.0])

    def test_reset_while_closing(self) -> None:
        """A peer that resets the connection has cut off what was to be sent; to the core that still is an end of our own."""
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH), Close()])
        self.pump()
        self.peer.abort()
        self.assert_nothing_left()
        self.assertIsInstance(self.hop.cut_off, gun.ConnectionFailed)
        self.assertEqual(self.above.said[-1], ("lost", None))


class _Lingering(Indirect):
    """A transport that has sent all but `left` bytes, and does not close."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.aborted = False

    def unsent(self) -> int | None:
        return self.left

    def sent(self) -> int | None:
        return None if self.left is None else 100 - self.left

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def loseConnection(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def abortConnection(self) -> None:
        self.aborted = True


class LingeringTests(HopCase):
    """A transport that stands on another one."""

    def close(self, left: int | None) -> _Lingering:
        """One to be closed while `left` bytes are still to be sent."""
        self.setUp()
        transport = _Lingering(left)
        self.hop.makeConnection(transport)
        self.hop.perform([Close()])
        return transport

    def test_all_sent(self) -> None:
        """Where all was sent a peer that does not close is aborted, and nothing was cut off."""
        transport = self.close(0)
        self.clock.advance(14.9)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(transport.aborted)
        self.assertIsNone(self.hop.cut_off)

    def test_last_bytes(self) -> None:
        """After the last bytes the peer has closing_timeout once more, and no longer."""
        transport = self.close(10)
        self.clock.advance(14)
        transport.left = 0
        self.clock.advance(1)
        self.assertFalse(transport.aborted)
        self.clock.advance(15)
        self.assertTrue(transport.aborted)
        self.assertIsNone(self.hop.cut_off)

    def test_not_all_sent(self) -> None:
        """Where something is left, or nobody knows, it was cut off."""
        for left in (1, None):
            transport = self.close(left)
            self.clock.advance(15)
            self.assertTrue(transport.aborted)
            self.assertIsInstance(self.hop.cut_off, gun.TimedOut)

    def test_waiting_in_the_hop(self) -> None:
        """What is written in the midst of a turn waits in the hop itself, and counts."""
        seen: list[int | None] = []
        transport = _Lingering(7)
        self.hop.makeConnection(transport)

        def react(said: Any) -> None:
            self.hop.write(b"abc")
            self.hop.perform([Write(b"de")])
            seen.append(self.hop.unsent())

        self.above.react = react
        self.hop.perform([_SAID])
        self.assertEqual((seen, self.hop.unsent()), ([12], 7))


_SAID = gun.Data(stream=None, fin=False, data=b"")  # type: ignore[arg-type]
