"""Content of responses, as far as its owner wants it: data events, parking, and the windows we open (RFC 9113 section 5.2)."""

from __future__ import annotations

import math
from typing import Any

from twisted_gun.events import Data
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.core import Request
from twisted_gun.wire.frames import DEFAULT_WINDOW
from twisted_gun.wire.hpack import Encoder
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.steps import Steps, Write

from .conversation import A, B, C, Key, Outline, told
from .http2_conversation import Http2Case, Http2Conversation


def data_of(steps: Steps) -> list[tuple[bytes, bool]]:
    """The data events in `steps`, one by one."""
    return [(step.data, step.fin) for step in steps if isinstance(step, Data)]


class FlowTests(Http2Case):
    """`flow`, `update_flow` and `hold`."""

    def begun(self, flow: int | None, **options: Any) -> Http2Conversation:
        """A conversation whose stream A has had its head."""
        talk = self.talk(**options)
        talk.ask(A, flow=flow)
        talk.receive(talk.peer.respond(1))
        talk.newly_sent()
        return talk

    def test_one_event_a_frame(self) -> None:
        """Each DATA frame is a data event, however it arrives."""
        talk = self.begun(None)
        steps = talk.receive(b"".join(talk.peer.data(1, letter) for letter in (b"a", b"b", b"c")))
        self.assertEqual(data_of(steps), [(b"a", False), (b"b", False), (b"c", False)])
        steps = talk.receive(*(bytes([byte]) for byte in talk.peer.data(1, b"def", True)))
        self.assertEqual(data_of(steps), [(b"def", True)])

    def test_flow(self) -> None:
        """What comes beyond `flow` is kept, and told as one event when it is wanted."""
        talk = self.begun(2)
        peer = talk.peer
        steps = talk.receive(*(peer.data(1, letter) for letter in (b"a", b"b", b"c", b"d")))
        self.assertEqual(data_of(steps), [(b"a", False), (b"b", False)])
        self.assertEqual(data_of(talk.update_flow(A, 1)), [(b"cd", False)])
        self.assertEqual(data_of(talk.receive(peer.data(1, b"e"))), [])
        self.assertEqual(data_of(talk.update_flow(A, 2)), [(b"e", False)])
        self.assertEqual(data_of(talk.receive(peer.data(1, b"f"), peer.data(1, b"g"))), [(b"f", False)])
        self.assertEqual(data_of(talk.update_flow(A, math.inf)), [(b"g", False)])  # type: ignore[arg-type]
        self.assertEqual(len(data_of(talk.receive(*(peer.data(1, b"h") for _ in range(10))))), 10)

    def test_usual_flow(self) -> None:
        """The option holds for requests that say nothing else."""
        talk = self.talk(flow=1)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        self.assertEqual(data_of(talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b"))), [(b"a", False)])

    def test_end_is_kept(self) -> None:
        """The end waits with what comes before it, be it nothing, and comes in the same event."""
        for last in (b"", b"c"):
            talk = self.begun(1)
            self.assertEqual(data_of(talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b"))), [(b"a", False)])
            self.assertEqual(talk.receive(talk.peer.data(1, last, True)), [])
            self.assertEqual(data_of(talk.update_flow(A, 1)), [(b"b" + last, True)])
            talk = self.begun(1)
            talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, last, True))
            self.assertEqual(data_of(talk.update_flow(A, 1)), [(last, True)])
            self.assertEqual((talk.update_flow(A, 1), talk.hold(A, False), talk.cancel(A)), ([], [], []))

    def test_trailers(self) -> None:
        """Trailers are not data: they come at once, but not before content that is kept."""
        trailers = ("trailers", A, ((b"x", b"y"),))
        talk = self.begun(1)
        self.assertEqual(told(talk.receive(talk.peer.data(1, b"a"), talk.peer.trailers(1))), [("data", A, b"a", False), trailers])
        talk = self.begun(1)
        talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b"))
        self.assertEqual(talk.receive(talk.peer.trailers(1)), [])
        self.assertEqual(told(talk.update_flow(A, 1)), [("data", A, b"b", False), trailers])

    def test_only_trailers_are_kept(self) -> None:
        """Where nothing but an empty frame is kept before them, trailers come without an event for it."""
        talk = self.begun(1)
        talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b""))
        talk.receive(talk.peer.trailers(1))
        talk.update_flow(A, 1)
        self.assertEqual(data_of(talk.steps), [(b"a", False)])
        self.assertEqual(talk.outline[1:], [("data", A, b"a", False), ("trailers", A, ((b"x", b"y"),))])

    def test_hold(self) -> None:
        """Held back, a stream is told no content, whatever its flow is."""
        for flow in (None, 9):
            talk = self.begun(flow)
            self.assertEqual(talk.hold(A), [])
            self.assertEqual(talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b")), [])
            self.assertEqual((talk.hold(A), talk.update_flow(A, 1)), ([], []))
            self.assertEqual(data_of(talk.hold(A, False)), [(b"ab", False)])
            self.assertEqual(data_of(talk.receive(talk.peer.data(1, b"c", True))), [(b"c", True)])

    def test_hold_before_the_head(self) -> None:
        """The head is no content: it is told all the same."""
        talk = self.talk()
        talk.ask(A)
        talk.hold(A)
        steps = talk.receive(talk.peer.respond(1, 100), talk.peer.respond(1), talk.peer.data(1, b"a", True))
        self.assertEqual([entry[0] for entry in told(steps)], ["inform", "response"])
        self.assertEqual(data_of(talk.hold(A, False)), [(b"a", True)])

    def test_held_and_used_up(self) -> None:
        """Both have to allow it."""
        talk = self.begun(1)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b"))
        self.assertEqual(data_of(talk.hold(A, False)), [(b"ab", False)])
        talk.receive(talk.peer.data(1, b"c"))
        self.assertEqual((talk.hold(A), talk.update_flow(A, 1), data_of(talk.hold(A, False))), ([], [], [(b"c", False)]))

    def test_neighbours(self) -> None:
        """Nobody else waits."""
        talk = self.begun(1)
        talk.ask(B)
        talk.receive(talk.peer.data(1, b"a"), talk.peer.data(1, b"b"), talk.peer.respond(3))
        self.assertEqual(data_of(talk.receive(talk.peer.data(3, b"c", True))), [(b"c", True)])

    def test_unknown(self) -> None:
        """What was never asked, or is over, has no flow."""
        talk = self.begun(None)
        self.assertEqual((talk.update_flow(A, 1), talk.core.update_flow(C, 1, 0.0), talk.core.hold(C, True, 0.0)), ([], [], []))


class ParkedTests(Http2Case):
    """Streams that end while something of them is kept."""

    def parked(self, last: str) -> Http2Conversation:
        """Stream A has been told "a"; "b" is kept, and the `last` of it, if that has come; B is open."""
        talk = self.talk()
        talk.ask(A, flow=1)
        talk.ask(B)
        peer = talk.peer
        talk.receive(peer.respond(1, 200, ((b"content-length", b"2"),)), peer.data(1, b"a"), peer.data(1, b"b"))
        talk.receive({"nothing": b"", "data": peer.data(1, b"", True), "trailers": peer.trailers(1)}[last])
        talk.newly_sent()
        talk.steps.clear()
        return talk

    def test_reset(self) -> None:
        """A stream that the server resets is told what came before; there is no later."""
        talk = self.parked("nothing")
        self.assertEqual(told(talk.receive(talk.peer.reset(1))), [("data", A, b"b", False), ("failed", A, "StreamReset(8)")])
        self.assertEqual(talk.update_flow(A, 5), [])

    def test_malformed(self) -> None:
        """As is one that goes wrong."""
        talk = self.parked("nothing")
        steps = told(talk.receive(talk.peer.data(1, b"too much")))
        self.assertEqual(steps, [("data", A, b"b", False), ("failed", A, "ProtocolViolation")])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR")])

    def test_reset_after_the_end(self) -> None:
        """Once the whole response has come, a reset changes nothing."""
        for last in ("data", "trailers"):
            talk = self.parked(last)
            self.assertEqual(talk.receive(talk.peer.reset(1)), [])
            self.assertEqual(told(talk.update_flow(A, 1))[0][:3], ("data", A, b"b"))

    def test_lost(self) -> None:
        """At the connection's end what has come is told, whatever flow says; what is whole by that has not failed."""
        whole: dict[str, Outline] = {
            "data": [("data", A, b"b", True)],
            "trailers": [("data", A, b"b", False), ("trailers", A, ((b"x", b"y"),))],
        }
        for last in ("nothing", "data", "trailers"):
            for end in ("lost", "fault", "goaway"):
                talk = self.parked(last)
                if end == "lost":
                    talk.lose()
                else:
                    talk.receive(talk.peer.ping(b"short") if end == "fault" else talk.peer.goaway(0, 0))
                if end == "goaway" and last != "nothing":
                    self.assertEqual(talk.outline, [("failed", B, "GoAway(0, 0)")])
                    self.assertEqual(told(talk.update_flow(A, 1)), [*whole[last], ("close", None)])
                    continue
                error = "GoAway(0, 0)" if end == "goaway" else "Truncated(2, 2)"
                expected = whole.get(last, [("data", A, b"b", False), ("failed", A, error)])
                self.assertEqual([entry for entry in talk.outline if entry[1] is A], expected, (last, end))
                self.assertEqual(A in talk.core.losses().killed, last == "nothing" and end != "goaway")

    def test_shutdown(self) -> None:
        """The connection stays until it is told, or cancelled."""
        for last in ("data", "trailers"):
            for end in ("update", "hold", "cancel"):
                talk = self.parked(last)
                talk.cancel(B)
                talk.shutdown()
                self.assertEqual((talk.outline, talk.over), ([], False))
                if end == "hold":
                    talk.hold(A)
                    talk.update_flow(A, 1)
                    self.assertFalse(talk.over)
                if end == "cancel":
                    talk.cancel(A)
                elif end == "hold":
                    talk.hold(A, False)
                else:
                    talk.update_flow(A, 1)
                self.assertEqual((talk.outline[-1], talk.over), (("close", None), True))

    def test_cancelled(self) -> None:
        """What is kept of a cancelled stream is gone; one that is whole needs no RST_STREAM."""
        for last in ("nothing", "data", "trailers"):
            talk = self.parked(last)
            self.assertEqual(told(talk.cancel(A)), [])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")] if last == "nothing" else [])
            self.assertEqual((talk.core.update_flow(A, 5, 0.0), talk.core.hold(A, False, 0.0)), ([], []))
            self.assertEqual(told(talk.lose()), [("failed", B, "StreamClosed")])

    def test_room(self) -> None:
        """A stream whose response has come makes room for another, though it was not told all of it."""
        talk = self.talk(settings={"max_concurrent_streams": 1}, max_waiting=5)
        talk.ask(A, flow=1)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"a"))
        self.assertFalse(talk.core.accepting)
        self.assertEqual(told(talk.receive(talk.peer.data(1, b"b", True))), [("accepting",)])
        self.assertEqual(told(talk.ask(B)), [])


class StreamWindowTests(Http2Case):
    """When the window of a stream is opened again, and how far."""

    def begun(self, size: int = 1000, **options: Any) -> Http2Conversation:
        """Stream A has had its head; its window is `size`."""
        talk = self.talk(**{"initial_stream_window_size": size, "stream_window_margin_size": 0, **options})
        talk.ask(A, flow=options.pop("flow", None))
        talk.receive(talk.peer.respond(1))
        talk.newly_sent()
        return talk

    def test_renewed(self) -> None:
        """For each size, margin, threshold and maximum: at how many bytes left, and to how many."""
        for options, at, size in (
            ({"stream_window_update_threshold": 0}, 500, 1000),
            ({}, 750, 1000),  # the usual threshold is far above, but a frame for each quarter is enough
            ({"stream_window_update_threshold": 600}, 600, 1000),
            ({"stream_window_update_threshold": 750}, 750, 1000),
            ({"stream_window_update_threshold": 0, "stream_window_margin_size": 100}, 500, 1100),
            ({"stream_window_update_threshold": 0, "stream_window_margin_size": 100, "max_stream_window_size": 1050}, 500, 1050),
            ({"stream_window_update_threshold": 0, "max_stream_window_size": 800}, 500, 800),
            ({"stream_window_update_threshold": 0, "max_stream_window_size": 501}, 500, 501),
        ):
            talk = self.begun(**options)
            talk.receive(talk.peer.data(1, b"x" * (1000 - at - 1)))
            self.assertEqual(talk.newly_sent(), [], options)
            talk.receive(talk.peer.data(1, b"x"))
            self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([("WINDOW_UPDATE", 1, size - at)], size), options)

    def test_maximum_below_half(self) -> None:
        """A maximum that is not reached yet opens nothing."""
        talk = self.begun(stream_window_update_threshold=0, max_stream_window_size=300)
        talk.receive(talk.peer.data(1, b"x" * 700))
        self.assertEqual(talk.newly_sent(), [])
        talk.receive(talk.peer.data(1, b"x"))
        self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([("WINDOW_UPDATE", 1, 1)], 300))

    def test_nothing_but_padding(self) -> None:
        """Frames of padding alone use the window up, which is opened for them too."""
        talk = self.talk(initial_stream_window_size=1000, stream_window_margin_size=0)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        talk.newly_sent()
        for _ in range(50):
            talk.receive(talk.peer.data(1, b"", padding=99))
        self.assertEqual(talk.newly_sent(), [("WINDOW_UPDATE", 1, 300)] * 16)

    def test_padding_counts(self) -> None:
        """RFC 9113 section 6.1: "The entire DATA frame payload is included in flow control", padding and its length too."""
        talk = self.begun(stream_window_update_threshold=0)
        talk.receive(talk.peer.data(1, b"x", padding=255), talk.peer.data(1, b"", padding=241))
        self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([], 501))
        talk.receive(talk.peer.data(1, b"y", padding=254))
        self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([("WINDOW_UPDATE", 1, 755)], 1000))

    def test_not_after_the_end(self) -> None:
        """A stream that is over needs no window."""
        talk = self.begun()
        talk.receive(talk.peer.data(1, b"x" * 1000, True))
        self.assertEqual(talk.newly_sent(), [])

    def test_withheld(self) -> None:
        """While its owner wants no more a stream's window stays as it is, and opens when it does."""
        for how in ("flow", "hold"):
            talk = self.begun(stream_window_update_threshold=0, flow=1 if how == "flow" else None)
            if how == "hold":
                talk.hold(A)
                talk.receive(talk.peer.data(1, b"x" * 400))
            else:
                talk.receive(talk.peer.data(1, b"x" * 400))
            talk.receive(talk.peer.data(1, b"y" * 300), talk.peer.data(1, b"y" * 300))
            self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([], 0))
            steps = talk.update_flow(A, 2) if how == "flow" else talk.hold(A, False)
            self.assertEqual([len(data) for data, _ in data_of(steps)], [600 if how == "flow" else 1000])
            self.assertEqual(talk.newly_sent(), [("WINDOW_UPDATE", 1, 1000)])

    def test_used_up_by_the_last_event(self) -> None:
        """The event that uses `flow` up opens no window: the next one is not wanted yet."""
        talk = self.begun(stream_window_update_threshold=0, flow=1)
        talk.receive(talk.peer.data(1, b"x" * 600))
        self.assertEqual(talk.newly_sent(), [])
        talk.update_flow(A, 1)
        self.assertEqual(talk.newly_sent(), [("WINDOW_UPDATE", 1, 600)])

    def test_released_much(self) -> None:
        """After much that was kept the window opens by a frame only, and by all once that has been taken as well."""
        talk = self.begun(100_000, max_frame_size_received=100_000)
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x" * 100_000))
        talk.hold(A, False)
        self.assertEqual(talk.newly_sent(), [("WINDOW_UPDATE", 1, 16_384)])
        talk.receive(talk.peer.data(1, b"x" * 16_384))
        self.assertEqual((talk.newly_sent(), talk.peer.room[1]), ([("WINDOW_UPDATE", 1, 100_000)], 100_000))

    def test_released_early(self) -> None:
        """Where less than that was used nothing is opened."""
        talk = self.begun(stream_window_update_threshold=0, flow=1)
        talk.receive(talk.peer.data(1, b"x" * 300))
        talk.update_flow(A, 1)
        self.assertEqual(talk.newly_sent(), [])

    def test_exceeded(self) -> None:
        """More than a stream's window ends that stream, and no other (RFC 9113 section 6.9.1)."""
        talk = self.begun(flow=1)
        talk.ask(B)
        talk.newly_sent()
        steps = talk.receive(talk.peer.data(1, b"x" * 600), talk.peer.data(1, b"x" * 400), talk.peer.data(1, b"x"))
        self.assertEqual(told(steps)[-1], ("failed", A, "ProtocolViolation"))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "FLOW_CONTROL_ERROR")])
        self.assertEqual(told(talk.receive(talk.peer.respond(3, fin=True))), [("response", B, 200, (), True)])

    def test_exceeded_by_far(self) -> None:
        """Nor does what is behind it on its way harm the others."""
        talk = self.talk(initial_stream_window_size=1000, stream_window_margin_size=0, flow=1)
        talk.ask(A)
        talk.ask(B)
        talk.receive(talk.peer.respond(1), *(talk.peer.data(1, b"x" * 600) for _ in range(3)))
        self.assertEqual(talk.outline[-1][:2], ("failed", A))
        self.assertEqual(told(talk.receive(talk.peer.respond(3, fin=True))), [("response", B, 200, (), True)])

    def test_exceeded_by_padding(self) -> None:
        """Padding counts there too."""
        talk = self.begun()
        talk.hold(A)
        talk.receive(talk.peer.data(1, b"x" * 800), talk.peer.data(1, b"x", padding=199))
        self.assertEqual(told(talk.steps)[-1], ("failed", A, "ProtocolViolation"))


class ConnectionWindowTests(Http2Case):
    """The connection's window, which is opened again whatever single streams do."""

    def test_at_first(self) -> None:
        """It is opened at once where it is to be more than RFC 9113 has it at first, and only there."""
        for size in (DEFAULT_WINDOW, DEFAULT_WINDOW + 1, 8_000_000):
            talk = self.talk(begun=False, initial_connection_window_size=size)
            increments = [frame[2] for frame in talk.sent if frame[0] == "WINDOW_UPDATE"]
            self.assertEqual(increments, [size - DEFAULT_WINDOW] if size > DEFAULT_WINDOW else [])
            self.assertEqual(talk.peer.room[0], size)

    def test_renewed(self) -> None:
        """For each margin, threshold and maximum: at how many bytes left, and to how many."""
        size = 100_000
        for options, at, most in (
            ({"connection_window_update_threshold": 0}, 50_000, size),
            ({}, 75_000, size),
            ({"connection_window_update_threshold": 60_000}, 60_000, size),
            ({"connection_window_update_threshold": 0, "connection_window_margin_size": 9}, 50_000, size + 9),
            ({"connection_window_margin_size": 9, "max_connection_window_size": size + 5}, 75_000, size + 5),
        ):
            talk = self.talk(**{"initial_connection_window_size": size, "connection_window_margin_size": 0, **options})
            talk.ask(A)
            talk.receive(talk.peer.respond(1))
            talk.newly_sent()
            left = size - at - 1
            talk.receive(*(talk.peer.data(1, b"x" * min(16_384, left - sent)) for sent in range(0, left, 16_384)))
            self.assertEqual((talk.newly_sent(), talk.peer.room[0]), ([], at + 1), options)
            talk.receive(talk.peer.data(1, b"x"))
            self.assertEqual((talk.newly_sent(), talk.peer.room[0]), ([("WINDOW_UPDATE", 0, most - at)], most), options)

    def test_withheld_stream(self) -> None:
        """A stream that is held back, or over, withholds nothing from the others."""
        talk = self.talk(initial_connection_window_size=DEFAULT_WINDOW, initial_stream_window_size=60_000)
        talk.ask(A)
        talk.hold(A)
        talk.receive(talk.peer.respond(1), *(talk.peer.data(1, b"x" * 15_000) for _ in range(4)))
        self.assertGreater(talk.peer.room[0], DEFAULT_WINDOW // 2)
        self.assertEqual(talk.peer.room[1], 0)

    def test_exceeded(self) -> None:
        """More than it allows ends the connection (RFC 9113 section 6.9.1)."""
        talk = self.talk(max_frame_size_received=100_000, initial_connection_window_size=DEFAULT_WINDOW)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        talk.newly_sent()
        talk.receive(talk.peer.data(1, b"x" * (DEFAULT_WINDOW + 1)))
        self.assertEqual(talk.newly_sent(), [("GOAWAY", 0, "FLOW_CONTROL_ERROR")])
        self.assertEqual(talk.outline[-1], ("close", "ProtocolViolation"))

    def test_exactly_used(self) -> None:
        """All of it at once is allowed."""
        talk = self.talk(max_frame_size_received=100_000, initial_connection_window_size=DEFAULT_WINDOW)
        talk.ask(A)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"x" * DEFAULT_WINDOW))
        self.assertEqual(len(talk.outline[-1][2]), DEFAULT_WINDOW)
        self.assertGreater(talk.peer.room[0], DEFAULT_WINDOW)


class RestTests(Http2Case):
    """No window is opened for what the peer has room for: it is of no use, and one that closes its end answers it by a TCP reset."""

    def begun(self, *lengths: int, **windows: int) -> Http2Conversation:
        """The responses have begun, each with a content of so many bytes; windows are opened once half of them is used."""
        opened = {"connection_window_update_threshold": 0, "stream_window_update_threshold": 0, "connection_window_margin_size": 0}
        talk = self.talk(**{"stream_window_margin_size": 0, **opened, **windows})
        for stream, stream_id, length in zip((A, B), (1, 3), lengths, strict=False):
            talk.ask(stream)
            talk.receive(talk.peer.respond(stream_id, 200, ((b"content-length", b"%d" % length),)))
        talk.newly_sent()
        return talk

    def test_stream(self) -> None:
        """A stream's window is left where it lets the rest through, and the padding of a frame."""
        for length, opened in ((83_615, []), (83_616, []), (83_617, [("WINDOW_UPDATE", 1, 50_000)])):
            talk = self.begun(length, initial_stream_window_size=100_000)
            talk.receive(*[talk.peer.data(1, b"x" * 10_000)] * 5)
            self.assertEqual(talk.newly_sent(), opened, length)

    def test_released(self) -> None:
        """So it is when its owner wants more again."""
        for length, opened in ((83_615, []), (83_616, []), (83_617, [("WINDOW_UPDATE", 1, 40_000)])):
            talk = self.begun(length, initial_stream_window_size=100_000)
            talk.receive(*[talk.peer.data(1, b"x" * 10_000)] * 4)
            talk.hold(A)
            talk.receive(talk.peer.data(1, b"x" * 10_000))
            talk.hold(A, False)
            self.assertEqual(talk.newly_sent(), opened, length)

    def test_padded(self) -> None:
        """A peer that pads more than that finds it opened further."""
        talk = self.begun(20_000, initial_stream_window_size=40_000)
        for _ in range(1000):
            talk.receive(talk.peer.data(1, b"x" * 20, padding=255))
        self.assertEqual(sum(len(data) for data, _ in data_of(talk.steps)), 20_000)

    def test_connection(self) -> None:
        """The connection's is left once it takes no more requests, and lets through what is to come of all its streams."""
        for length, opened in ((207_231, []), (207_232, []), (207_233, [("WINDOW_UPDATE", 0, 200_000)])):
            for goaway in (False, True):
                talk = self.begun(length, 150_000, initial_connection_window_size=400_000)
                talk.receive(talk.peer.goaway(3)) if goaway else talk.shutdown()
                talk.newly_sent()
                # All but the frame that is looked at is known to have come.
                talk.receive(*[talk.peer.data(stream_id, b"x" * 10_000) for stream_id in (1, 3) for _ in range(10)])
                self.assertEqual(talk.newly_sent(), opened, (length, goaway))

    def test_connection_needed(self) -> None:
        """It is opened while requests may come, for content of unknown length, and for what comes of a cancelled stream."""
        for why in ("nothing", "accepting", "unknown", "cancelled"):
            talk = self.begun(210_000, *([1] if why == "cancelled" else []), initial_connection_window_size=400_000)
            if why == "unknown":
                talk.ask(B)
            if why == "cancelled":
                talk.cancel(B)
            if why != "accepting":
                talk.shutdown()
            talk.newly_sent()
            talk.receive(*[talk.peer.data(1, b"x" * 10_000)] * 20)
            self.assertEqual(talk.newly_sent(), [] if why == "nothing" else [("WINDOW_UPDATE", 0, 200_000)], why)


class LateDataTests(Http2Case):
    """Content of streams that are over (RFC 9113 section 5.1)."""

    def test_counts(self) -> None:
        """What still comes of a cancelled stream counts toward the connection's window, padding and all, which is opened for it."""
        talk = self.talk(initial_connection_window_size=100_000, connection_window_margin_size=0)
        talk.ask(A)
        talk.receive(talk.peer.respond(1))
        talk.cancel(A)
        talk.newly_sent()
        talk.receive(talk.peer.data(1, b"x" * 16_384), talk.peer.data(1, b"x" * 8_000, padding=255))
        self.assertEqual((talk.newly_sent(), talk.peer.room[0]), ([], 100_000 - 16_384 - 8_256))
        talk.receive(talk.peer.data(1, b"x" * 400, True))
        self.assertEqual((talk.newly_sent(), talk.peer.room[0]), ([("WINDOW_UPDATE", 0, 25_040)], 100_000))

    def test_up_to_its_window(self) -> None:
        """As much as the window of the stream allowed may come, and no more: the server knew of no other."""
        talk = self.talk(initial_stream_window_size=1000)
        talk.ask(A)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"x" * 100))
        talk.cancel(A)
        talk.newly_sent()
        self.assertEqual(talk.receive(talk.peer.data(1, b"x" * 600), talk.peer.data(1, b"", padding=99), talk.peer.data(1, b"x" * 200)), [])
        talk.receive(talk.peer.data(1, b"x"))
        self.assertEqual((talk.newly_sent(), talk.outline[-1]), ([("GOAWAY", 0, "STREAM_CLOSED")], ("close", "ProtocolViolation")))

    def test_after_an_orderly_end(self) -> None:
        """After END_STREAM of its own the server may send no DATA at all."""
        talk = self.talk()
        talk.ask(A)
        talk.receive(talk.peer.respond(1, fin=True))
        talk.newly_sent()
        talk.receive(talk.peer.data(1, b"x"))
        self.assertEqual((talk.newly_sent(), talk.outline[-1]), ([("GOAWAY", 0, "STREAM_CLOSED")], ("close", "ProtocolViolation")))

    def test_other_frames(self) -> None:
        """What else comes of a cancelled stream is taken and not told; its fields are decoded, for others refer to them."""
        talk = self.talk(max_glitches=2, glitches_per_second=0.0)
        talk.ask(A)
        talk.cancel(A)
        fields = ((b"x-new", b"value"),)
        late = talk.peer.respond(1, 100) + talk.peer.respond(1, 200, fields) + talk.peer.data(1, b"late") + talk.peer.trailers(1, fields)
        self.assertEqual(talk.receive(late + talk.peer.window(1, 5)), [])
        talk.ask(B)
        self.assertEqual(told(talk.receive(talk.peer.respond(3, 200, fields, fin=True))), [("response", B, 200, fields, True)])
        self.assertEqual(talk.receive(talk.peer.reset(1)), [])

    def test_no_drift(self) -> None:
        """After 100,000 cancelled streams with late content, padded and not, the window opens to what it was, to the byte."""
        options = Http2Options(initial_connection_window_size=1_000_000, initial_stream_window_size=1000, connection_window_margin_size=0)
        core = type(self).core(options, b"https", Key)
        encoder = Encoder()
        core.start(0.0)
        core.receive_data(frames.settings([]) + frames.settings_ack(), 0.0)
        request = Request(method=b"GET", target=b"/", authority=b"example.org", headers=(), body=b"")
        room, opened, stream_id = 1_000_000, 0, 1
        for _ in range((100_000 if type(self).core is Http2 else 2_000) // 100):
            ids = range(stream_id, stream_id + 200, 2)
            stream_id += 200
            for number in ids:
                core.request(number, request, 0.0)
            head = frames.header_frames(ids[0], encoder.encode_fields(((b":status", b"200"),)), False, 16_384)
            core.receive_data(head, 0.0)
            for number in ids:
                core.cancel(number, 0.0)
            for number in ids:
                late = frames.frame(0, 0, number, b"x" * 100) + frames.frame(0, frames.PADDED, number, b"\xff" + b"x" * 644 + bytes(255))
                room -= 100 + 900
                for step in core.receive_data(late, 0.0):
                    assert isinstance(step, Write), step
                    self.assertEqual(step.data[:9], frames.window_update(0, 1)[:9])
                    room += int.from_bytes(step.data[9:], "big")
                    self.assertIn(room, (1_000_000, 1_000_000 - 900))  # it was due at the first frame, or at the second
                    opened += 1
        self.assertGreater(opened, 3)
        self.assertGreater(room, 0)
