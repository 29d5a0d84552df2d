"""`twisted_gun.wire.states`: the table of RFC 9113 section 5.1, figure 2, as a client has it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.wire.states import RECEIVED, SENT, State, StreamState


def stream(state: State = State.OPEN, flow: int | None = None) -> StreamState:
    """A stream in `state`."""
    return StreamState(1, "key", state, flow, 100, 200)


class TableTests(SynchronousTestCase):
    """`SENT` and `RECEIVED`."""

    def test_end_closes_one_side(self) -> None:
        """END_STREAM closes the side of the one who sends it: the stream is closed when both have sent it."""
        for ends in ("sr", "rs"):
            state = SENT[State.IDLE, False]
            for end in ends:
                state = SENT[state, True] if end == "s" else RECEIVED[state, True]
            self.assertIs(state, State.CLOSED)

    def test_without_an_end(self) -> None:
        """What does not end leaves an open side as it is."""
        for table in (SENT, RECEIVED):
            for state, fin in table:
                if not fin and state not in (State.IDLE, State.RESERVED):
                    self.assertIs(table[state, fin], state)

    def test_closed_sides(self) -> None:
        """A side that is closed sends no more; nothing is sent or received on a closed stream, and nothing received on an idle one."""
        sent, received = {state for state, _ in SENT}, {state for state, _ in RECEIVED}
        self.assertEqual(sent, {State.IDLE, State.OPEN, State.HALF_CLOSED_REMOTE})
        self.assertEqual(received, {State.RESERVED, State.OPEN, State.HALF_CLOSED_LOCAL})

    def test_promised(self) -> None:
        """A reserved stream is the server's alone."""
        self.assertEqual((RECEIVED[State.RESERVED, False], RECEIVED[State.RESERVED, True]), (State.HALF_CLOSED_LOCAL, State.CLOSED))

    def test_names(self) -> None:
        """They are called as in the RFC."""
        names = ["idle", "reserved (remote)", "open", "half-closed (local)", "half-closed (remote)", "closed"]
        self.assertEqual([str(state) for state in State], names)


class StreamStateTests(SynchronousTestCase):
    """`StreamState`."""

    def test_sides(self) -> None:
        """Which sides are open in which state."""
        sides = {state: (stream(state).sending, stream(state).receiving) for state in State}
        expected = {
            State.IDLE: (False, False),
            State.RESERVED: (False, True),
            State.OPEN: (True, True),
            State.HALF_CLOSED_LOCAL: (False, True),
            State.HALF_CLOSED_REMOTE: (True, False),
            State.CLOSED: (False, False),
        }
        self.assertEqual(sides, expected)

    def test_withheld(self) -> None:
        """A stream is withheld while it is held, or its flow is used up."""
        for flow, held, withheld in ((None, False, False), (None, True, True), (1, False, False), (0, False, True), (1, True, True)):
            state = stream(flow=flow)
            state.held = held
            self.assertIs(state.withheld, withheld, (flow, held))

    def test_park(self) -> None:
        """What is parked is put together; parking nothing is something, too."""
        state = stream()
        self.assertIsNone(state.parked)
        for piece, parked in ((b"", b""), (b"ab", b"ab"), (b"c", b"abc")):
            state.park(piece)
            self.assertEqual(state.parked, parked)

    def test_new(self) -> None:
        """A new stream has the windows it was given, and its flow at first is remembered."""
        state = stream(flow=5)
        state.flow = 3
        self.assertEqual((state.send_window, state.receive_window, state.flow_at_first), (100, 200, 5))
