"""
Raw bytes: told as they come, sent as they are given, held back where no more is wanted, and one end.

`RawConversation` adds to what `Conversation` watches over that nothing is told while it is held, and no piece of nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import BadState, ConnectionFailed, ShuttingDown, StreamReset
from twisted_gun.events import Data
from twisted_gun.options import RawOptions
from twisted_gun.wire.core import Core, Losses
from twisted_gun.wire.raw import Raw
from twisted_gun.wire.steps import Close, Pause, Resume, Step, Steps, StreamFailed, Write

from .conversation import A, Conversation

END = Data(stream=A, fin=True, data=b"")


def piece(data: bytes) -> Data:
    """What is told of it."""
    return Data(stream=A, fin=False, data=data)


class RawConversation(Conversation):
    """The core of raw bytes, which are those of `A`."""

    def __init__(self, flow: int | None = None) -> None:
        self._held = False
        self._converse(Raw(A, RawOptions(flow=flow)), flow)
        self._asked[id(A)] = A
        self._flow[id(A)] = self._usual_flow

    def hold(self, stream: Any, held: bool = True) -> Steps:
        self._held = held
        return super().hold(stream, held)

    def send(self, stream: Any, data: bytes, fin: bool = False) -> Steps:
        if fin:
            self._let_go()
        return super().send(stream, data, fin)

    def shutdown(self) -> Steps:
        self._let_go()
        return super().shutdown()

    def lose(self, **how: Any) -> Steps:
        self._let_go()
        return super().lose(**how)

    def _let_go(self) -> None:
        """The end comes: what is kept is told then, however much was wanted."""
        self._held = False
        self._flow[id(A)] = float("inf")

    # What must hold.

    def _check_order(self, step: Step, key: int) -> None:
        if isinstance(step, Data):
            assert bool(step.data) is not step.fin, f"{step}: a piece of nothing, or an end with more"
            assert not self._held, f"{step} while it is held"
        else:
            assert isinstance(step, StreamFailed), step

    @property
    def _takes_more(self) -> bool:
        return False  # it takes no requests


class BytesTests(SynchronousTestCase):
    """Bytes, both ways."""

    def test_fills_the_interface(self) -> None:
        """It is a core, which nothing stands on, and it begins without a word."""
        core: Core = Raw(A, RawOptions())
        self.assertEqual((core.name, core.closing_timeout, core.last_words), ("raw", 15.0, None))
        self.assertEqual(core.start(0.0), [])
        self.assertFalse(Raw(A, RawOptions()).switched)

    def test_received(self) -> None:
        """Each read is one event; of nothing there is nothing to tell."""
        talk = RawConversation()
        self.assertFalse(talk.core.served or talk.core.renewable)
        self.assertEqual(talk.receive(b"one", b"", bytes(range(256))), [piece(b"one"), piece(bytes(range(256)))])
        self.assertTrue(talk.core.served)

    def test_sent(self) -> None:
        """Bytes are written as they are; nothing is not written."""
        talk = RawConversation()
        self.assertEqual(talk.send(A, bytes(range(256))) + talk.send(A, b""), [Write(bytes(range(256)))])

    def test_nothing_to_do(self) -> None:
        """The transport's back-pressure is for those who send, time is not its matter, and there is no ping."""
        core = RawConversation().core
        self.assertEqual((core.hold_sending(True, 0.0), core.hold_sending(False, 0.0)), ([], []))
        self.assertEqual((core.deadline(), core.time_passed(1000.0)), (None, []))
        self.assertRaises(BadState, core.ping, "key", 0.0)


class FlowTests(SynchronousTestCase):
    """No more is told than is wanted."""

    def test_no_limit(self) -> None:
        """Without `flow` everything is told at once, and more of it means nothing."""
        talk = RawConversation()
        self.assertEqual(talk.update_flow(A, 1), [])
        self.assertEqual(talk.receive(*[b"x"] * 100), [piece(b"x")] * 100)

    def test_flow(self) -> None:
        """So many events, then the reading stops; what came all the same is told in one once there is room, and reading goes on."""
        talk = RawConversation(flow=2)
        self.assertEqual(talk.receive(b"1", b"2"), [piece(b"1"), piece(b"2"), Pause()])
        self.assertEqual(talk.receive(b"3", b"4"), [])
        self.assertEqual(talk.update_flow(A, 2), [piece(b"34"), Resume()])
        self.assertEqual(talk.receive(b"5"), [piece(b"5"), Pause()])

    def test_just_enough(self) -> None:
        """Where what was kept takes all the room, the reading stays stopped."""
        talk = RawConversation(flow=1)
        talk.receive(b"1", b"2")
        self.assertEqual(talk.update_flow(A, 1), [piece(b"2")])
        self.assertEqual(talk.update_flow(A, 1), [Resume()])

    def test_less(self) -> None:
        """What takes back more than there is stops it too, until it is given again."""
        talk = RawConversation(flow=1)
        self.assertEqual(talk.update_flow(A, -1), [Pause()])
        self.assertEqual(talk.receive(b"1"), [])
        self.assertEqual(talk.update_flow(A, 2), [piece(b"1"), Resume()])

    def test_held(self) -> None:
        """Who holds it stops the reading, once; what came meanwhile is told before it goes on."""
        talk = RawConversation()
        self.assertEqual(talk.hold(A), [Pause()])
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.receive(b"one ", b"two"), [])
        self.assertEqual(talk.hold(A, False), [piece(b"one two"), Resume()])
        self.assertEqual(talk.hold(A, False), [])

    def test_held_and_flow(self) -> None:
        """Both have to allow it, whichever does so first."""
        for first in ("hold", "flow"):
            talk = RawConversation(flow=1)
            talk.receive(b"1")
            self.assertEqual(talk.hold(A), [])
            talk.receive(b"2")
            doings: list[Callable[[RawConversation], Steps]] = [lambda talk: talk.hold(A, False), lambda talk: talk.update_flow(A, 2)]
            one, other = doings if first == "hold" else reversed(doings)
            self.assertEqual(one(talk), [])
            self.assertEqual(other(talk), [piece(b"2"), Resume()])

    def test_sending_goes_on(self) -> None:
        """Holding is of what comes, not of what goes."""
        talk = RawConversation()
        talk.hold(A)
        self.assertEqual(talk.send(A, b"data"), [Write(b"data")])


class EndTests(SynchronousTestCase):
    """The end, which is told once."""

    def assert_over(self, talk: RawConversation, *killed: Any) -> None:
        """Nothing is told, sent or asked for any more."""
        core = talk.core
        for steps in (
            core.receive_data(b"more", 0.0),
            core.data(A, b"more", True, 0.0),
            core.update_flow(A, 1, 0.0),
            core.hold(A, True, 0.0),
            core.hold(A, False, 0.0),
            core.cancel(A, 0.0),
            core.shutdown(0.0),
            core.connection_lost(ConnectionFailed("gone"), True),
            core.connection_lost(ConnectionFailed("gone"), False),
        ):
            self.assertEqual(steps, [])
        self.assertEqual(core.losses(), Losses(killed, ()))
        self.assertIsNone(core.last_words)

    def test_by_us(self) -> None:
        """Our end is that of the connection, and of the stream."""
        for data in (b"bye", b""):
            talk = RawConversation()
            writes = [Write(data)] if data else []
            self.assertEqual(talk.send(A, data, True), [*writes, END, Close()])
            self.assert_over(talk)

    def test_by_peer(self) -> None:
        """Where the peer closes in good order that is the stream's end."""
        talk = RawConversation()
        talk.receive(b"bytes")
        self.assertEqual(talk.lose(), [END])
        self.assert_over(talk)

    def test_broken(self) -> None:
        """Else it has failed by what happened to the connection."""
        for reason in (ConnectionFailed("reset"), StreamReset("reset", 8)):
            talk = RawConversation()
            self.assertEqual(talk.lose(clean=False, reason=reason), [StreamFailed(A, reason)])
            self.assert_over(talk, A)

    def test_cancelled(self) -> None:
        """Cancelled, the connection is closed and nothing told any more, of what is kept neither."""
        for drain in (True, False):
            talk = RawConversation(flow=1)
            talk.receive(b"told", b"kept")
            self.assertEqual(talk.cancel(A, drain=drain), [Close()])
            self.assert_over(talk)

    def test_shutdown(self) -> None:
        """Shut down it ends at once, and not in good order: nothing says that the peer has said all."""
        talk = RawConversation()
        failed, close = talk.shutdown()
        assert isinstance(failed, StreamFailed)
        self.assertIsInstance(failed.reason, ShuttingDown)
        self.assertEqual(close, Close())
        self.assert_over(talk, A)

    def test_kept(self) -> None:
        """What was kept is told before the end, whichever it is: there is no later."""
        ends: tuple[Callable[[RawConversation], Steps], ...] = (
            lambda talk: talk.lose(),
            lambda talk: talk.lose(clean=False),
            lambda talk: talk.send(A, b"", True),
            lambda talk: talk.shutdown(),
        )
        for end in ends:
            full, held = RawConversation(flow=1), RawConversation()
            full.receive(b"told")
            held.hold(A)
            for talk in (full, held):
                self.assertEqual(talk.receive(b"ke", b"pt"), [])
                told, last, *_ = end(talk)
                self.assertEqual(told, piece(b"kept"))
                self.assertTrue(last == END or isinstance(last, StreamFailed))


doings = st.lists(
    st.one_of(st.binary(max_size=5), st.sampled_from(("hold", "go on", "more", "send", "end", "shutdown", "cancel"))), max_size=12
)


def received(steps: Iterable[Step]) -> bytes:
    """All the bytes that were told."""
    return b"".join(step.data for step in steps if isinstance(step, Data))


class AnyOrderTests(SynchronousTestCase):
    """Whatever is done in whatever order, in whatever pieces: every byte once, in order, and one end; `RawConversation` watches."""

    def do(self, talk: RawConversation, doing: str) -> None:
        """Do that."""
        if doing in ("hold", "go on"):
            talk.hold(A, doing == "hold")
        elif doing == "more":
            talk.update_flow(A, 1)
        elif doing == "shutdown":
            talk.shutdown()
        elif doing == "cancel":
            talk.cancel(A)
        else:
            talk.send(A, b"data", doing == "end")

    def after(self, doing: Iterable[bytes | str], flow: int | None, clean: bool) -> tuple[bytes, bytes, bytes, list[Data | StreamFailed]]:
        """What came, what of it was told, what was sent, and how it ended, where all that is done."""
        talk, came = RawConversation(flow), b""
        for what in doing:
            if talk.over:
                break
            if isinstance(what, bytes):
                came += what
                talk.receive(what)
            else:
                self.do(talk, what)
        if not talk.over:
            talk.lose(clean=clean)
        ends = [step for step in talk.steps if isinstance(step, StreamFailed) or (isinstance(step, Data) and step.fin)]
        if talk._silent:
            self.assertEqual(ends, [])
            came = received(talk.steps)  # what was kept is not told then
        return came, received(talk.steps), talk.written, ends

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(doings, st.sampled_from((None, 1, 2)), st.booleans())
    def test_any(self, doing: list[bytes | str], flow: int | None, clean: bool) -> None:
        """Whole, and cut at every byte."""
        came, told, sent, ends = self.after(doing, flow, clean)
        self.assertEqual(told, came)
        single = [[what[at : at + 1] for at in range(len(what))] if isinstance(what, bytes) else [what] for what in doing]
        cut_came, cut_told, cut_sent, cut_ends = self.after(itertools.chain(*single), flow, clean)
        self.assertEqual(cut_told, cut_came)
        self.assertEqual((cut_sent, [*map(type, cut_ends)]), (sent, [*map(type, ends)]))
