"""The hop alone: a scripted core below it and a witness above it, over a transport in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.stage import up
from twisted_gun.events import Data, Headers
from twisted_gun.net.hop import Hop, HopOptions, why_lost
from twisted_gun.net.straight import FULL_READ
from twisted_gun.net.timer import Deadlines
from twisted_gun.testing import MemoryLink, MemoryTransport, ScriptedPeer
from twisted_gun.wire.core import Losses
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Leaving,
    Pause,
    PauseUpload,
    PingAnswered,
    Resume,
    ResumeUpload,
    SettingsChanged,
    Steps,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    Write,
)

MUCH = b"x" * 300_000


class _Core:
    """A core that answers with what the test laid out."""

    name = "http"
    accepting = True
    closing_timeout: float | None = 15.0
    last_words: gun.GunError | None = None

    def __init__(self) -> None:
        self.on_start: Steps = []
        self.on_data: Callable[[bytes], Steps] = lambda data: []
        self.on_time: Steps = []
        self.on_loss: Steps = []
        self.when: float | None = None
        self.lost: list[tuple[gun.GunError, bool]] = []
        self.held: list[bool] = []
        self.on_released: Steps = []

    def start(self, now: float) -> Steps:
        return self.on_start

    def receive_data(self, data: bytes, now: float) -> Steps:
        return self.on_data(data)

    def connection_lost(self, reason: gun.GunError, clean: bool) -> Steps:
        self.lost.append((reason, clean))
        return self.on_loss

    def hold_sending(self, held: bool, now: float) -> Steps:
        self.held.append(held)
        return [] if held else self.on_released

    def losses(self) -> Losses:
        return Losses((), ())

    def deadline(self) -> float | None:
        return self.when

    def time_passed(self, now: float) -> Steps:
        self.when = None
        return self.on_time


class _Above:
    """Keeps what the hop says, in order; `react` is called with each."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.react: Callable[[tuple[Any, ...]], object] = lambda said: None

    def _was_told(self, *said: Any) -> None:
        self.said.append(said)
        self.react(said)

    def up(self, hop: Hop[Any]) -> None:
        self._was_told("up")

    def accepting(self, hop: Hop[Any]) -> None:
        self._was_told("accepting")

    def leaving(self) -> None:
        self._was_told("leaving")

    def tell(self, event: Any) -> None:
        self._was_told("tell", event)

    def turn_over(self) -> bool:
        return False

    def stream_failed(self, stream: Any, reason: gun.GunError) -> None:
        self._was_told("failed", stream, reason)

    def tunnel_opened(self, stream: Any) -> None:
        self._was_told("tunnel opened", stream)

    def tunnel_refused(self, stream: Any, status: int, headers: Headers) -> None:
        self._was_told("tunnel refused", stream, status)

    def tunnel_data(self, stream: Any, data: bytes) -> None:
        self._was_told("tunnel", stream, data)

    def tunnel_closed(self, stream: Any) -> None:
        self._was_told("tunnel closed", stream)

    def ping_answered(self, ping: Any, seconds: float) -> None:
        self._was_told("ping", ping, seconds)

    def settings_changed(self, settings: Any) -> None:
        self._was_told("settings", settings)

    def noticed(self, name: str, observation: Any) -> None:
        self._was_told("noticed", name, observation)

    def upload_paused(self, stream: Any | None, paused: bool) -> None:
        self._was_told("upload", stream, paused)

    def violated(self, reason: gun.GunError) -> None:
        self._was_told("violated", reason)

    def lost(self, hop: Hop[Any], reason: gun.GunError | None) -> None:
        self._was_told("lost", reason)

    def names(self) -> list[str]:
        return [said[0] for said in self.said]


class HopCase(SynchronousTestCase):
    """A hop and its peer."""

    options = HopOptions()

    def setUp(self) -> None:
        self.clock = Clock()
        self.above, self.core, self.peer = _Above(), _Core(), ScriptedPeer()
        self.hop = Hop(self.above, Deadlines(self.clock), self.choose, None, self.options)
        self.writes: list[bytes] = []

    def choose(self, negotiated: bytes | None) -> Any:
        return self.core

    def connect(self) -> MemoryTransport:
        self.link = MemoryLink(self.hop, self.peer, clock=self.clock)
        write = self.hop._write

        def noted(data: bytes) -> None:
            self.writes.append(data)
            write(data)

        self.hop._write = noted
        self.pump()
        return self.link.client

    def pump(self) -> None:
        self.clock.advance(0)

    def assert_nothing_left(self) -> None:
        self.pump()
        self.assertTrue(self.link.client.disconnected)
        said = list(self.above.said)
        self.clock.pump([1] * 1000)
        self.assertEqual((self.clock.getDelayedCalls(), self.above.said), ([], said))
        self.assertIsNone(self.link.client.producer)
        self.assertEqual(self.above.names().count("lost"), 1)


class StepTests(HopCase):
    """Doing what the core asks for."""

    def test_interfaces(self) -> None:
        """A hop is a push producer and listens for the handshake."""
        verifyObject(IPushProducer, self.hop)
        verifyObject(IHandshakeListener, self.hop)

    def test_start(self) -> None:
        """The core's first words go out, and whoever is above hears of it."""
        self.core.on_start = [Write(b"hello")]
        self.connect()
        self.assertEqual((self.above.names(), self.peer.received), (["up"], b"hello"))

    def test_what_up_asks_for_comes_second(self) -> None:
        """What is asked for by who hears that it is up goes out after the core's first words, in the same write."""
        self.core.on_start = [Write(b"first")]
        self.above.react = lambda said: self.hop.perform([Write(b"second")]) if said[0] == "up" else None
        hop_writes = self.writes
        self.connect()
        self.assertEqual(self.peer.received, b"firstsecond")
        self.assertLessEqual(len(hop_writes), 1)

    def test_one_write_a_turn(self) -> None:
        """All writes of a turn, those that callbacks ask for included, are one, in order."""
        self.connect()
        self.core.on_data = lambda data: [Write(b"a"), self.event(b"x"), Write(b"b"), self.event(b"y"), Write(b"c")]
        self.above.react = lambda said: self.hop.perform([Write(said[1].data)])
        self.peer.send(b"go")
        self.pump()
        self.assertEqual(self.writes, [b"abcxy"])
        self.assertEqual(self.peer.received, b"abcxy")

    def event(self, data: bytes) -> Any:
        return Data(stream=None, fin=False, data=data)  # type: ignore[arg-type]

    def test_each_step(self) -> None:
        """Each step reaches its place, in order."""
        self.connect()
        error = gun.StreamClosed("x")
        steps: Steps = [Accepting(), PauseUpload(1), ResumeUpload(1), StreamFailed(2, error), TunnelData(3, b"d"), TunnelClosed(3)]
        steps += [Leaving(), PingAnswered(4, 0.5), SettingsChanged({"max_frame_size": 5})]
        self.hop.perform(steps)
        expected: list[tuple[Any, ...]] = [
            ("up",),
            ("accepting",),
            ("upload", 1, True),
            ("upload", 1, False),
            ("failed", 2, error),
            ("tunnel", 3, b"d"),
            ("tunnel closed", 3),
            ("leaving",),
            ("ping", 4, 0.5),
            ("settings", {"max_frame_size": 5}),
        ]
        self.assertEqual(self.above.said, expected)

    def test_nested_steps_wait(self) -> None:
        """What is asked for from within a callback is done after what was asked for before it."""
        self.connect()
        self.above.react = lambda said: self.hop.perform([TunnelData(9, b"nested")]) if said[:2] == ("tunnel", 1) else None
        self.hop.perform([TunnelData(1, b""), TunnelData(2, b"")])
        self.assertEqual([said[1] for said in self.above.said if said[0] == "tunnel"], [1, 2, 9])

    def test_pause_and_resume(self) -> None:
        """Pause stops reading, Resume reads on; after a close neither touches the transport."""
        transport = self.connect()
        self.hop.perform([Pause()])
        self.assertFalse(transport.reading)
        self.hop.perform([Resume()])
        self.assertTrue(transport.reading)
        self.hop.perform([Close(), Pause(), Resume()])
        self.assert_nothing_left()

    def test_written_while_being_paused(self) -> None:
        """What is asked for while the transport pauses us goes out once, after what was being written."""
        self.connect()
        self.above.react = lambda said: self.hop.perform([Write(b"after")]) if said == ("upload", None, True) else None
        self.hop.perform([Write(MUCH)])
        self.pump()
        self.assertEqual(self.writes, [MUCH, b"after"])
        self.assertEqual(self.peer.received, MUCH + b"after")

    def test_pieces_written_while_being_paused(self) -> None:
        """So it is with what comes in pieces, outside of any turn: nothing that is asked for meanwhile goes between them."""
        self.connect()
        pauses = iter([[b"after", b"wards"]])
        self.above.react = lambda said: self.hop.write_all(next(pauses, [])) if said == ("upload", None, True) else None
        self.hop.write_all([MUCH, b"payload"])
        self.pump()
        self.assertEqual(self.peer.received, MUCH + b"payload" + b"afterwards")

    def test_pieces_written_in_a_turn(self) -> None:
        """In the midst of a turn too, where the first of them is what makes it too much."""
        self.connect()
        before = b"x" * (64 * 1024)
        pauses = iter([b"after"])

        def react(said: tuple[Any, ...]) -> None:
            if said[0] == "tunnel":
                self.hop.write(before)
                self.hop.write_all([b"head", b"payload"])
            elif said == ("upload", None, True):
                self.hop.write(next(pauses, b""))

        self.above.react = react
        self.hop.perform([TunnelData(1, b"")])
        self.pump()
        self.assertEqual(self.peer.received, before + b"headpayloadafter")

    def test_core_is_held(self) -> None:
        """A core hears that the transport takes no more, and that it takes more again; what the core then gives is written."""
        self.connect()
        self.core.on_released = [Write(b"more")]
        self.hop.perform([Write(MUCH)])
        self.assertEqual(self.core.held, [True])
        self.pump()
        self.assertEqual(self.core.held, [True, False])
        self.assertEqual(self.peer.received, MUCH + b"more")


class TimeTests(HopCase):
    """The core's deadline."""

    def test_time_passes(self) -> None:
        """When its deadline passes the core is asked, and its steps are done."""
        self.core.when = 3.0
        self.core.on_time = [Write(b"tick")]
        self.connect()
        self.clock.advance(2.9)
        self.assertEqual(self.peer.received, b"")
        self.clock.advance(0.2)
        self.assertEqual(self.peer.received, b"tick")

    def test_deadline_moves(self) -> None:
        """After each turn the deadline is as the core then says; None is never."""
        self.core.when = 3.0
        self.core.on_time = [Write(b"tick")]
        self.connect()
        self.core.when = 5.0
        self.hop.perform([])
        self.clock.advance(4)
        self.core.when = None
        self.hop.perform([])
        self.clock.advance(10)
        self.assertEqual(self.peer.received, b"")

    def test_no_leftover(self) -> None:
        """A deadline of the core's does not outlive the connection."""
        self.core.when = 100.0
        self.connect()
        self.peer.close()
        self.pump()
        self.clock.advance(100)
        self.assert_nothing_left()


class EndTests(HopCase):
    """How it ends."""

    def test_peer_closes(self) -> None:
        """The peer's FIN: the core is told that it was clean, then whoever is above, once."""
        self.core.on_loss = [TunnelClosed(1)]
        self.connect()
        self.peer.close()
        self.assert_nothing_left()
        self.assertEqual(self.above.names(), ["up", "tunnel closed", "lost"])
        ((reason, clean),) = self.core.lost
        self.assertTrue(clean)
        self.assertIs(self.above.said[-1][1], reason)

    def test_peer_resets(self) -> None:
        """A reset is not clean."""
        self.connect()
        self.peer.abort()
        self.assert_nothing_left()
        ((reason, clean),) = self.core.lost
        self.assertFalse(clean)
        self.assertIsInstance(reason, gun.ConnectionFailed)

    def test_orderly_close(self) -> None:
        """Close() sends what is to be sent, then closes; its end has no reason, and the core is not asked."""
        self.connect()
        self.hop.perform([Write(b"bye"), Close()])
        self.assert_nothing_left()
        self.assertEqual(self.peer.received, b"bye")
        self.assertEqual(self.above.said[-1], ("lost", None))
        self.assertEqual(self.core.lost, [])

    def test_close_with_a_reason(self) -> None:
        """Close(reason) says so above, aborts, and ends with that reason."""
        self.connect()
        reason = gun.ProtocolViolation("x")
        self.hop.perform([Close(reason), Close()])
        self.assert_nothing_left()
        self.assertEqual(self.above.said[1:], [("violated", reason), ("lost", reason)])

    def test_data_after_close(self) -> None:
        """What arrives after Close is not looked at."""
        self.connect()
        self.core.on_data = lambda data: [TunnelData(1, data)]
        self.hop.perform([Close()])
        self.peer.send(b"late")
        self.assert_nothing_left()
        self.assertNotIn("tunnel", self.above.names())

    def test_drop(self) -> None:
        """drop aborts: nothing more is written or told but that it is lost."""
        self.core.on_loss = [TunnelClosed(1)]
        self.connect()
        self.hop.drop()
        self.hop.drop()
        self.assert_nothing_left()
        self.assertEqual(self.above.names(), ["up", "lost"])

    def test_drop_from_within(self) -> None:
        """Likewise from within a callback, whatever was still to be done."""
        self.connect()
        self.above.react = lambda said: self.hop.drop() if said[0] == "tunnel" else None
        self.hop.perform([Write(b"never"), TunnelData(1, b""), TunnelData(2, b"")])
        self.assert_nothing_left()
        self.assertEqual(self.above.names(), ["up", "tunnel", "lost"])
        self.assertEqual(self.peer.received, b"")

    def test_drop_after_the_loss(self) -> None:
        """Dropping what is lost does nothing."""
        self.connect()
        self.peer.close()
        self.pump()
        self.hop.drop()
        self.assert_nothing_left()

    def test_core_cannot_be_chosen(self) -> None:
        """Where choosing a core fails the connection is given up for that reason."""
        error = gun.ConnectionFailed("no such protocol")

        def choose(negotiated: bytes | None) -> Any:
            raise error

        self.choose = choose  # type: ignore[method-assign]
        self.hop = Hop(self.above, Deadlines(self.clock), choose)
        self.link = MemoryLink(self.hop, self.peer, clock=self.clock)
        self.assert_nothing_left()
        self.assertEqual(self.above.said, [("lost", error)])

    def test_why_lost(self) -> None:
        """A loss in our terms: only ConnectionDone is clean; what was the matter stays its cause."""
        done, _ = why_lost(Failure(ConnectionDone())), None
        self.assertEqual((type(done[0]), done[1]), (gun.ConnectionFailed, True))
        aborted = why_lost(Failure(ConnectionAborted()))
        self.assertEqual((type(aborted[0]), aborted[1]), (gun.ConnectionFailed, False))
        cause = ConnectionLost("reset by peer")
        lost = why_lost(Failure(cause))
        self.assertEqual((type(lost[0]), lost[1], lost[0].__cause__), (gun.ConnectionFailed, False, cause))
        ours = gun.TlsFailed("x")
        self.assertEqual(why_lost(Failure(ours)), (ours, False))


class SendTimeoutTests(HopCase):
    """A peer that takes nothing."""

    options = HopOptions(send_timeout=5.0)

    def stall(self) -> None:
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(MUCH)])
        self.pump()
        self.assertIn(("upload", None, True), self.above.said)

    def test_limit(self) -> None:
        """After send_timeout without a byte taken the connection is aborted; not a moment before."""
        for seconds, lost in ((4.99, False), (5.0, True), (5.01, True)):
            self.setUp()
            self.stall()
            self.clock.advance(seconds)
            self.pump()
            self.assertEqual(self.link.client.disconnected, lost, seconds)

    def test_reason(self) -> None:
        """The core and whoever is above are told TimedOut("write")."""
        self.stall()
        self.clock.advance(5)
        self.assert_nothing_left()
        ((reason, clean),) = self.core.lost
        self.assertEqual((type(reason), clean), (gun.TimedOut, False))
        self.assertEqual((reason.stage, reason.seconds), ("write", 5.0))  # type: ignore[attr-defined]
        self.assertEqual(self.above.said[-2:], [("violated", reason), ("lost", reason)])

    def test_progress(self) -> None:
        """A peer that takes a little now and then is slow, not dead."""
        self.stall()
        for _ in range(4):
            self.clock.advance(4)
            del self.peer.transport.end.incoming[:1000]  # as much as the kernel then takes from us
            self.link.schedule()
            self.clock.advance(0.9)
            self.assertFalse(self.link.client.disconnected)
        self.clock.pump([5, 5])
        self.assertTrue(self.link.client.disconnected)

    def test_progress_while_more_is_written(self) -> None:
        """That more is written meanwhile does not hide that the peer takes something."""
        self.stall()
        for _ in range(4):
            self.clock.advance(4)
            self.hop.perform([Write(b"y" * 5000)])
            del self.peer.transport.end.incoming[:1000]
            self.link.schedule()
            self.clock.advance(0.9)
        self.assertFalse(self.link.client.disconnected)

    def test_writing_is_no_progress(self) -> None:
        """That more is written meanwhile does not put the end off, where the peer takes nothing."""
        self.stall()
        for _ in range(4):
            self.hop.perform([Write(b"y")])
            self.clock.advance(1)
        self.clock.advance(1)
        self.pump()
        self.assertTrue(self.link.client.disconnected)
        self.assertEqual(self.above.said.count(("upload", None, True)), 1)

    def test_resumed(self) -> None:
        """Once all was taken there is no deadline any more."""
        self.stall()
        self.clock.advance(4)
        self.peer.resume()
        self.pump()
        self.assertEqual(self.above.said[-1], ("upload", None, False))
        self.clock.advance(100)
        self.assertFalse(self.link.client.disconnected)

    def test_none(self) -> None:
        """None waits without limit."""
        self.options = HopOptions(send_timeout=None)
        self.setUp()
        self.stall()
        self.clock.advance(10_000)
        self.assertFalse(self.link.client.disconnected)

    def test_small_request(self) -> None:
        """A request too small to fill the transport's buffer is not timed: its response has a timeout of its own."""
        self.connect()
        self.peer.pause()
        self.hop.perform([Write(b"x" * 1000)])
        self.clock.advance(1000)
        self.assertFalse(self.link.client.disconnected)


class ReadSizeTests(HopCase):
    """How much is read at once."""

    def test_filled_reads(self) -> None:
        """A read that was cut off by its size makes the next ones larger; smaller reads change nothing."""
        transport = self.connect()
        for size, expected in ((FULL_READ - 1, FULL_READ), (FULL_READ, 4 * FULL_READ), (1, 4 * FULL_READ)):
            self.hop.dataReceived(b"x" * size)
            self.assertEqual(transport.bufferSize, expected)


class WholeTests(SynchronousTestCase):
    """Under a connection."""

    def test_write_timeout_reaches_the_stream(self) -> None:
        """An upload to a peer that takes nothing fails with the write timeout as its cause; the connection is made anew."""
        world = up(tcp_opts={"send_timeout": 5.0})
        world.peer.pause()
        response = world.connection.post("/", (), MUCH).await_response(timeout=None)
        world.pump()
        world.advance(5)
        error: Any = self.failureResultOf(response, gun.StreamClosed).value
        self.assertEqual(error.__cause__.stage, "write")
        self.assertEqual(world.owner.names(), ["gun_up", "gun_error", "gun_down", "gun_up"])
        self.assertEqual(world.owner.of(gun.Down)[0].reason, error.__cause__)
