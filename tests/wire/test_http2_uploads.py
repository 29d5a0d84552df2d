"""Content of requests, as far as the windows of HTTP/2 let it out (RFC 9113 section 6.9)."""

from __future__ import annotations

from typing import Any

from twisted_gun.wire.frames import LARGEST, FrameType

from .conversation import A, B, C, Key, told
from .http2_conversation import Http2Case, Http2Conversation

WINDOW = 65_535
PAUSE_A, RESUME_A = ("pause upload", A), ("resume upload", A)


def content(talk: Http2Conversation, stream_id: int) -> tuple[bytes, bool]:
    """What the server has got of a request's content, and whether that is all."""
    frames = [frame for frame in talk.sent if frame[:2] == ("DATA", stream_id)]
    return b"".join(frame[2] for frame in frames), bool(frames) and frames[-1][3]


def turns(talk: Http2Conversation) -> list[tuple[int, int]]:
    """Whose content was sent since this was asked the last time, and how many bytes before it was another's turn."""
    found: list[tuple[int, int]] = []
    for frame in talk.newly_sent():
        if frame[0] == "DATA":
            last, size = found.pop() if found and found[-1][0] == frame[1] else (frame[1], 0)
            found.append((last, size + len(frame[2])))
    return found


class WindowTests(Http2Case):
    """One upload, the server's two windows before it."""

    def test_fits(self) -> None:
        """As much as the windows hold goes out at once."""
        talk = self.talk()
        self.assertEqual(told(talk.ask(A, b"POST", body=b"x" * WINDOW)), [])
        self.assertEqual(content(talk, 1), (b"x" * WINDOW, True))

    def test_a_byte_more(self) -> None:
        """A byte more waits; both windows have to open for it."""
        for first, second in ((0, 1), (1, 0)):
            talk = self.talk()
            self.assertEqual(told(talk.ask(A, b"POST", body=b"x" * WINDOW + b"y")), [PAUSE_A])
            self.assertEqual(content(talk, 1), (b"x" * WINDOW, False))
            self.assertEqual((talk.receive(talk.peer.window(first, 100)), content(talk, 1)[1]), ([], False))
            self.assertEqual((told(talk.receive(talk.peer.window(second, 1))), content(talk, 1)), ([], (b"x" * WINDOW + b"y", True)))

    def test_streamed(self) -> None:
        """Pieces go out as they come; the last one ends the request, if only it says so."""
        for last in (b"", b"end"):
            talk = self.talk()
            talk.ask(A, b"POST", body=None)
            talk.newly_sent()
            talk.send(A, b"a")
            self.assertEqual(talk.newly_sent(), [("DATA", 1, b"a", False)])
            talk.send(A, last, fin=True)
            self.assertEqual(talk.newly_sent(), [("DATA", 1, last, True)])
            self.assertEqual((talk.send(A, b"more"), talk.send(A, b"", fin=True)), ([], []))

    def test_opened_frame_by_frame(self) -> None:
        """
        A server that opens both windows for each frame by its size is no flood, however small the pieces are; and frames stay as large as
        what it allows, though they do not fit the pieces.
        """
        talk = self.talk()
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"x" * WINDOW)
        for _ in range(20):
            talk.send(A, b"".join(b"%082d" % at for at in range(800)))  # as pieces that were written in one turn are given
        talk.newly_sent()
        for _ in range(20 * 1000):
            talk.receive(talk.peer.window(0, 75), talk.peer.window(1, 75))
            frames = [frame for frame in talk.newly_sent() if frame[0] == "DATA"]
            if not frames:
                break
            self.assertLessEqual(len(frames), 1)
        self.assertFalse(talk.over)
        self.assertEqual(len(content(talk, 1)[0]), WINDOW + 20 * 800 * 82)

    def test_empty_piece(self) -> None:
        """A piece of nothing that ends nothing is nothing."""
        talk = self.talk(settings={"initial_window_size": 1})
        talk.ask(A, b"POST", body=None)
        talk.newly_sent()
        self.assertEqual((talk.send(A, b""), talk.newly_sent()), ([], []))
        talk.send(A, b"ab")
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"a", False)])
        self.assertEqual((talk.send(A, b""), talk.newly_sent()), ([], []))
        talk.receive(talk.peer.window(1, 9))
        self.assertEqual(content(talk, 1), (b"ab", False))

    def test_pause_and_resume(self) -> None:
        """It is paused when something has to be kept; what is given all the same is kept too; it is resumed when all is sent."""
        talk = self.talk(settings={"initial_window_size": 4})
        talk.ask(A, b"POST", body=None)
        self.assertEqual(told(talk.send(A, b"abcd")), [])
        self.assertEqual(told(talk.send(A, b"ef")), [PAUSE_A])
        self.assertEqual(told(talk.send(A, b"gh")), [])
        self.assertEqual(content(talk, 1)[0], b"abcd")
        self.assertEqual(told(talk.receive(talk.peer.window(1, 3))), [])
        self.assertEqual(content(talk, 1)[0], b"abcdefg")
        self.assertEqual(told(talk.receive(talk.peer.window(1, 1))), [RESUME_A])
        self.assertEqual(told(talk.send(A, b"ij")), [PAUSE_A])
        self.assertEqual(told(talk.receive(talk.peer.window(1, 9))), [RESUME_A])
        self.assertEqual(content(talk, 1), (b"abcdefghij", False))

    def test_end_while_paused(self) -> None:
        """The end waits behind what is kept; after it nothing is resumed."""
        for last in (b"", b"cd"):
            talk = self.talk(settings={"initial_window_size": 1})
            talk.ask(A, b"POST", body=None)
            self.assertEqual(told(talk.send(A, b"ab")), [PAUSE_A])
            self.assertEqual(told(talk.send(A, last, fin=True)), [])
            self.assertEqual((talk.send(A, b"more"), content(talk, 1)), ([], (b"a", False)))
            self.assertEqual(told(talk.receive(talk.peer.window(1, 100))), [])
            self.assertEqual(content(talk, 1), (b"ab" + last, True))

    def test_queued(self) -> None:
        """How much waits can be asked: nothing of a stream that is not there, or has sent all."""
        talk = self.talk(settings={"initial_window_size": 4})
        talk.ask(A, b"POST", body=None)
        for data, queued in ((b"abcd", 0), (b"efg", 3), (b"", 3), (b"hi", 5)):
            talk.send(A, data)
            self.assertEqual(talk.core.queued(A), queued)
        talk.send(A, b"", fin=True)
        for increment, queued in ((2, 3), (3, 0)):
            talk.receive(talk.peer.window(1, increment))
            self.assertEqual(talk.core.queued(A), queued)
        self.assertEqual(talk.core.queued(B), 0)

    def test_end_needs_no_window(self) -> None:
        """The end alone is sent though no window is open, be it below zero: the server may be waiting for just that."""
        for size in (WINDOW, 10):
            talk = self.talk()
            talk.ask(A, b"POST", body=None)
            talk.send(A, b"x" * WINDOW)
            talk.receive(talk.peer.settings(initial_window_size=size))
            self.assertEqual(told(talk.send(A, b"", fin=True)), [])
            self.assertEqual(content(talk, 1), (b"x" * WINDOW, True))

    def test_large(self) -> None:
        """Content of many windows goes out as they open, every byte of it once and in its order."""
        body = b"".join(b"%08d" % number for number in range(125_000))
        talk = self.talk()
        talk.ask(A, b"PUT", body=body)
        sent = len(content(talk, 1)[0])
        while sent < len(body):
            talk.receive(talk.peer.window(1, sent), talk.peer.window(0, sent))
            sent = len(content(talk, 1)[0])
        self.assertEqual(content(talk, 1), (body, True))

    def test_no_more_than_needed_is_kept(self) -> None:
        """Nothing is written twice, nor anything after the end."""
        talk = self.talk(settings={"initial_window_size": 1})
        talk.ask(A, b"PUT", body=b"abc")
        for _ in range(5):
            talk.receive(talk.peer.window(1, 1))
        self.assertEqual([frame[2:] for frame in talk.sent if frame[0] == "DATA"], [(b"a", False), (b"b", False), (b"c", True)])

    def test_frame_sizes(self) -> None:
        """DATA frames are as large as the server allows and we want, and no larger."""
        for theirs, ours, size in ((16_384, None, 16_384), (20_000, None, 20_000), (20_000, 16_384, 16_384), (16_384, 20_000, 16_384)):
            talk = self.talk(settings={"max_frame_size": theirs}, max_frame_size_sent=ours)
            talk.ask(A, b"PUT", body=b"x" * 50_000)
            sizes = [len(frame[3]) for frame in talk.peer.raw if frame[0] == FrameType.DATA]
            self.assertEqual(sizes, [size] * (50_000 // size) + [50_000 % size])
            self.assertEqual(content(talk, 1), (b"x" * 50_000, True))

    def test_frame_size_moves(self) -> None:
        """Another frame size of the server's holds for what is sent after it, be it kept already."""
        talk = self.talk(settings={"initial_window_size": 0, "max_frame_size": 30_000})
        talk.ask(A, b"PUT", body=b"x" * 40_000)
        talk.receive(talk.peer.settings(initial_window_size=20_000, max_frame_size=16_384))
        talk.receive(talk.peer.settings(initial_window_size=40_000, max_frame_size=18_000))
        sizes = [len(frame[3]) for frame in talk.peer.raw if frame[0] == FrameType.DATA]
        self.assertEqual((sizes, content(talk, 1)), ([16_384, 3_616, 18_000, 2_000], (b"x" * 40_000, True)))


class SettingsTests(Http2Case):
    """SETTINGS_INITIAL_WINDOW_SIZE while uploads are under way (RFC 9113 section 6.9.2)."""

    def test_larger(self) -> None:
        """A larger one lets more of open streams out at once, and of later ones."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=b"abcdef")
        self.assertEqual(told(talk.receive(talk.peer.settings(initial_window_size=5))), [("accepting",)])
        self.assertEqual(content(talk, 1), (b"abcde", False))
        talk.ask(B, b"PUT", body=b"abcdef")
        self.assertEqual(content(talk, 3), (b"abcde", False))

    def test_acknowledged_first(self) -> None:
        """What the new window lets out comes after the acknowledgment: before it the server would count by the old one."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=b"abcdef")
        talk.newly_sent()
        talk.receive(talk.peer.settings(initial_window_size=5))
        self.assertEqual(talk.newly_sent(), [("SETTINGS ACK",), ("DATA", 1, b"cde", False)])

    def test_below_zero(self) -> None:
        """A smaller one may leave a window below zero; it has to be opened that far before anything is sent."""
        talk = self.talk(settings={"initial_window_size": 10})
        talk.ask(A, b"PUT", body=b"0123456789abcdef")
        talk.receive(talk.peer.settings(initial_window_size=3))  # 7 below zero
        self.assertEqual((talk.receive(talk.peer.window(1, 7)), content(talk, 1)), ([], (b"0123456789", False)))
        talk.receive(talk.peer.window(1, 2))
        self.assertEqual(content(talk, 1), (b"0123456789ab", False))
        talk.receive(talk.peer.settings(initial_window_size=0), talk.peer.settings(initial_window_size=7))
        self.assertEqual(content(talk, 1), (b"0123456789abcdef", True))

    def test_below_zero_and_more_given(self) -> None:
        """What is given while the window is below zero waits."""
        talk = self.talk(settings={"initial_window_size": 10})
        talk.ask(A, b"PUT", body=None)
        talk.send(A, b"0123456789")
        talk.receive(talk.peer.settings(initial_window_size=3))
        self.assertEqual(told(talk.send(A, b"abc", fin=True)), [PAUSE_A])
        talk.receive(talk.peer.window(1, 10))
        self.assertEqual(content(talk, 1), (b"0123456789abc", True))

    def test_connection_window_stays(self) -> None:
        """It is of streams: the connection's window stays as it is."""
        talk = self.talk(settings={"initial_window_size": 1_000_000})
        talk.ask(A, b"PUT", body=b"x" * 100_000)
        self.assertEqual(content(talk, 1), (b"x" * WINDOW, False))

    def test_largest(self) -> None:
        """Windows may be 2^31-1, and not one more: not by WINDOW_UPDATE, not by settings (RFC 9113 section 6.9.1)."""
        talk = self.talk()
        talk.ask(A, b"PUT", body=None)
        talk.receive(talk.peer.window(1, LARGEST - WINDOW), talk.peer.window(0, LARGEST - WINDOW))
        talk.ask(B)
        self.assertEqual(talk.receive(talk.peer.window(3, LARGEST - WINDOW)), [])
        self.assertEqual(told(talk.receive(talk.peer.window(3, 1))), [("failed", B, "ProtocolViolation")])
        self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 3, "FLOW_CONTROL_ERROR"))
        talk.receive(talk.peer.settings(initial_window_size=WINDOW + 1))
        self.assertEqual(talk.newly_sent()[-1], ("GOAWAY", 0, "FLOW_CONTROL_ERROR"))
        self.assertEqual(talk.outline[-2:], [("failed", A, "StreamClosed"), ("close", "ProtocolViolation")])

    def test_largest_by_settings(self) -> None:
        """Settings may open a window all the way."""
        talk = self.talk()
        talk.ask(A, b"PUT", body=None)
        self.assertEqual(told(talk.receive(talk.peer.settings(initial_window_size=LARGEST))), [("accepting",)])
        talk.send(A, b"x", fin=True)
        self.assertEqual(content(talk, 1), (b"x", True))

    def test_largest_connection(self) -> None:
        """Nor may the connection's."""
        talk = self.talk()
        self.assertEqual(talk.receive(talk.peer.window(0, LARGEST - WINDOW)), [])
        talk.receive(talk.peer.window(0, 1))
        self.assertEqual((talk.newly_sent(), talk.outline), ([("GOAWAY", 0, "FLOW_CONTROL_ERROR")], [("close", "ProtocolViolation")]))

    def test_nothing(self) -> None:
        """WINDOW_UPDATE by nothing is an error: of the stream, or of the connection (RFC 9113 section 6.9)."""
        talk = self.talk()
        talk.ask(A)
        talk.ask(B)
        talk.newly_sent()
        self.assertEqual(told(talk.receive(talk.peer.window(1, 0))), [("failed", A, "ProtocolViolation")])
        self.assertEqual(told(talk.receive(talk.peer.window(0, 0))), [("failed", B, "StreamClosed"), ("close", "ProtocolViolation")])
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "PROTOCOL_ERROR"), ("GOAWAY", 0, "PROTOCOL_ERROR")])


class FairnessTests(Http2Case):
    """Several uploads, one connection's window."""

    def started(self, *sizes: int, initial: int = 1_000_000, **options: Any) -> Http2Conversation:
        """A conversation with an upload of each of these sizes, the first of which has used the connection's window up."""
        talk = self.talk(settings={"initial_window_size": initial}, **options)
        for size in sizes:
            talk.ask(Key(f"{size}"), b"PUT", body=b"x" * size)
        talk.newly_sent()
        return talk

    def test_turns(self) -> None:
        """Each sends 64 KiB, then it is the next one's turn, as long as there is room."""
        talk = self.started(300_000, 300_000)
        talk.receive(talk.peer.window(0, 200 * 1024))
        self.assertEqual(turns(talk), [(1, 65_536), (3, 65_536), (1, 65_536), (3, 8192)])

    def test_next_goes_on(self) -> None:
        """Who was served is behind the others the next time, however little there was room for."""
        talk = self.started(300_000, 300_000, 300_000)
        for expected in (1, 3, 5, 1, 3):
            talk.receive(talk.peer.window(0, 10))
            self.assertEqual(turns(talk), [(expected, 10)])

    def test_all_are_finished(self) -> None:
        """Every upload comes to its end, whatever its size."""
        talk = self.started(200_000, 70_000, 1, 65_536, 100_000)
        talk.receive(talk.peer.window(0, 2_000_000))
        self.assertEqual([content(talk, stream_id)[1] for stream_id in (1, 3, 5, 7, 9)], [True] * 5)
        self.assertEqual([len(content(talk, stream_id)[0]) for stream_id in (1, 3, 5, 7, 9)], [200_000, 70_000, 1, 65_536, 100_000])

    def test_shut_stream(self) -> None:
        """One stream's shut window holds no other up."""
        talk = self.talk(settings={"initial_window_size": 10})
        talk.ask(A, b"PUT", body=b"x" * 20)
        talk.ask(B, b"PUT", body=b"y" * 10)
        talk.ask(C, b"PUT", body=b"z" * 20)
        talk.receive(talk.peer.window(5, 10))
        self.assertEqual([content(talk, stream_id)[1] for stream_id in (1, 3, 5)], [False, True, True])

    def test_small_windows_last(self) -> None:
        """Streams whose window is below `stream_window_data_threshold` send after the others."""
        for threshold, first in ((16_384, 3), (4466, 3), (4465, 1), (0, 1)):
            talk = self.started(100_000, 100_000, initial=70_000, stream_window_data_threshold=threshold)
            talk.receive(talk.peer.window(0, 1000))  # the first stream's window is 4465
            self.assertEqual(turns(talk), [(first, 1000)], threshold)

    def test_order_among_uploads_and_requests(self) -> None:
        """A request is sent though others' content waits; only content is subject to flow control."""
        talk = self.started(300_000)
        talk.ask(A)
        self.assertEqual([frame[0] for frame in talk.newly_sent()], ["HEADERS"])


class TransportTests(Http2Case):
    """A transport that takes no more content for now, and how much it is given at a time."""

    MOST = 1024 * 1024

    def wide(self) -> Http2Conversation:
        """A conversation whose windows let out whatever there is."""
        talk = self.talk(settings={"initial_window_size": LARGEST})
        talk.receive(talk.peer.window(0, LARGEST - WINDOW))
        return talk

    def test_held(self) -> None:
        """Meanwhile what is given is kept, whatever the windows say; then all of it is sent."""
        talk = self.talk()
        talk.ask(A, b"PUT", body=None)
        self.assertEqual(talk.hold_sending(), [])
        self.assertEqual(told(talk.send(A, b"abc")), [PAUSE_A])
        self.assertEqual((talk.send(A, b"de"), talk.receive(talk.peer.window(1, 9), talk.peer.window(0, 9))), ([], []))
        self.assertEqual(content(talk, 1), (b"", False))
        self.assertEqual(told(talk.hold_sending(False)), [RESUME_A])
        talk.send(A, b"f", fin=True)
        self.assertEqual(content(talk, 1), (b"abcdef", True))

    def test_held_at_the_request(self) -> None:
        """A request goes out all the same, and its content follows later; the end alone takes no room."""
        talk = self.talk()
        talk.hold_sending()
        self.assertEqual(told(talk.ask(A, b"PUT", body=b"abc")), [PAUSE_A])
        talk.ask(B, b"PUT", body=None)
        talk.send(B, b"", fin=True)
        self.assertEqual([frame[:2] for frame in talk.newly_sent()], [("HEADERS", 1), ("HEADERS", 3), ("DATA", 3)])
        talk.hold_sending(False)
        self.assertEqual(talk.newly_sent(), [("DATA", 1, b"abc", True)])

    def test_a_piece_at_a_time(self) -> None:
        """No more than 1 MiB goes out at a time; the rest is due at once, when the transport was asked."""
        talk = self.wide()
        talk.now = 5.0
        talk.ask(A, b"PUT", body=b"x" * (3 * self.MOST))
        for piece in (1, 2):
            self.assertEqual((len(content(talk, 1)[0]), talk.core.deadline()), (piece * self.MOST, 5.0))
            talk.at(5.0)
        self.assertEqual((content(talk, 1), talk.core.deadline()), ((b"x" * (3 * self.MOST), True), None))

    def test_due_at_once(self) -> None:
        """At once is the time it is, whatever let the content out."""
        for how in ("send", "release"):
            talk = self.wide()
            talk.ask(A, b"PUT", body=None)
            talk.now = 7.0
            if how == "release":
                talk.hold_sending()
            talk.send(A, b"x" * (2 * self.MOST))
            if how == "release":
                talk.now = 9.0
                talk.hold_sending(False)
            self.assertEqual(talk.core.deadline(), talk.now)

    def test_broken(self) -> None:
        """Nothing is due once the connection has ended, in the midst of what went out as well."""
        talk = self.talk(settings={"initial_window_size": LARGEST})
        talk.ask(A, b"PUT", body=b"x" * (2 * self.MOST))
        talk.receive(talk.peer.window(0, LARGEST - WINDOW) + talk.peer.ping(b"short"))
        self.assertEqual((len(content(talk, 1)[0]), talk.core.deadline(), talk.over), (WINDOW + self.MOST, None, True))

    def test_held_in_between(self) -> None:
        """If the transport says that this is enough, nothing more is due until it takes more."""
        talk = self.wide()
        talk.ask(A, b"PUT", body=b"x" * (2 * self.MOST))
        talk.hold_sending()
        self.assertEqual((talk.at(0.0), talk.core.deadline()), ([], 15.0))  # but send_timeout
        talk.hold_sending(False)
        self.assertEqual((len(content(talk, 1)[0]), content(talk, 1)[1]), (2 * self.MOST, True))

    def test_for_all(self) -> None:
        """It is for all streams together."""
        talk = self.wide()
        talk.hold_sending()
        for stream in (A, B):
            talk.ask(stream, b"PUT", body=b"x" * self.MOST)
        talk.hold_sending(False)
        self.assertEqual([len(content(talk, stream_id)[0]) for stream_id in (1, 3)], [self.MOST // 2] * 2)
        talk.at(0.0)
        self.assertEqual([content(talk, stream_id)[1] for stream_id in (1, 3)], [True, True])

    def test_ended(self) -> None:
        """What is due and was cancelled, or lost, is not sent."""
        talk = self.wide()
        talk.ask(A, b"PUT", body=b"x" * (2 * self.MOST))
        talk.newly_sent()
        talk.cancel(A)
        talk.at(0.0)
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL")])
        talk.ask(B, b"PUT", body=b"x" * (2 * self.MOST))
        self.assertEqual(told(talk.lose()), [("failed", B, "StreamClosed")])


class EarlyResponseTests(Http2Case):
    """Responses that come before the request is complete (RFC 9113 section 8.1)."""

    def test_head(self) -> None:
        """As long as the response goes on, so does the request."""
        talk = self.talk()
        talk.ask(A, b"POST", body=None)
        talk.receive(talk.peer.respond(1), talk.peer.data(1, b"echo"))
        talk.send(A, b"abc", fin=True)
        self.assertEqual(content(talk, 1), (b"abc", True))
        self.assertEqual(told(talk.receive(talk.peer.data(1, b"", True))), [("data", A, b"", True)])

    def test_whole(self) -> None:
        """A whole response ends the request: the stream is reset with NO_ERROR, and what more is given is dropped."""
        for window in (WINDOW, 1):

            def scene(talk: Http2Conversation) -> bytes:
                talk.ask(A, b"POST", body=None)
                talk.send(A, b"abc")
                return talk.peer.respond(1, 413) + talk.peer.data(1, b"too large", True)

            talk = self.at_every_cut(scene, settings={"initial_window_size": window})
            self.assertEqual(talk.outline[-2:], [("response", A, 413, (), False), ("data", A, b"too large", True)])
            self.assertEqual(talk.newly_sent()[-1], ("RST_STREAM", 1, "NO_ERROR"))
            self.assertEqual((talk.send(A, b"def", fin=True), talk.receive(talk.peer.window(0, 9))), ([], []))
            self.assertEqual((talk.cancel(A), talk.newly_sent()), ([], []))

    def test_each_end(self) -> None:
        """Whatever ends the response: its head, its content, or its trailers."""
        for end in ("head", "content", "trailers"):
            talk = self.talk()
            talk.ask(A, b"POST", body=None)
            talk.newly_sent()
            pieces = {
                "head": [talk.peer.respond(1, 413, fin=True)] if end == "head" else [],
                "content": [talk.peer.respond(1), talk.peer.data(1, b"", True)] if end == "content" else [],
                "trailers": [talk.peer.respond(1), talk.peer.trailers(1)] if end == "trailers" else [],
            }
            talk.receive(*pieces[end])
            self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "NO_ERROR")])

    def test_reset_after_it(self) -> None:
        """The server may ask for no more by RST_STREAM(NO_ERROR) itself: nothing happens, the response was complete."""
        talk = self.talk(max_glitches=2, glitches_per_second=0.0)  # one for the settings
        for number in range(20):
            talk.ask(Key(f"{number}"), b"POST", body=None)
            stream_id = 2 * number + 1
            steps = talk.receive(talk.peer.respond(stream_id, 413, fin=True) + talk.peer.reset(stream_id, 0))
            self.assertEqual([entry[0] for entry in told(steps)], ["response"])
        self.assertFalse(talk.over)

    def test_complete(self) -> None:
        """Where the request is complete there is nothing to reset."""
        talk = self.talk()
        talk.ask(A, b"POST", body=b"abc")
        talk.newly_sent()
        talk.receive(talk.peer.respond(1, fin=True))
        self.assertEqual(talk.newly_sent(), [])


class UploadEndTests(Http2Case):
    """Uploads that are not finished."""

    def test_cancelled(self) -> None:
        """What is kept of a cancelled upload is never sent; others go on."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=b"abc")
        talk.ask(B, b"PUT", body=b"abc")
        talk.newly_sent()
        talk.cancel(A)
        talk.receive(talk.peer.window(1, 10), talk.peer.window(3, 10), talk.peer.window(0, 10))
        self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "CANCEL"), ("DATA", 3, b"c", True)])
        self.assertEqual(talk.send(A, b"more"), [])

    def test_lost(self) -> None:
        """A connection lost in the middle of it kills it."""
        talk = self.talk(settings={"initial_window_size": 2})
        talk.ask(A, b"PUT", body=b"abc")
        self.assertEqual(told(talk.lose()), [("failed", A, "StreamClosed")])
        self.assertEqual((talk.core.losses().killed, talk.core.data(A, b"", True, 0.0)), ((A,), []))

    def test_data_after_the_end(self) -> None:
        """What is given for a request that was complete when it was sent, or for none, is dropped."""
        talk = self.talk()
        talk.ask(A, b"PUT", body=b"abc")
        talk.newly_sent()
        self.assertEqual((talk.send(A, b"more"), talk.send(B, b"more", fin=True), talk.newly_sent()), ([], [], []))
