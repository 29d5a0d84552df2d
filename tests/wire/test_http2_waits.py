"""How long a stream of HTTP/2 waits for its response, and for more of it: ``response_timeout`` and ``idle_timeout``."""

from __future__ import annotations

from .conversation import A, B, Key, told
from .http2_conversation import Http2Case, Http2Conversation

RESPONSE, IDLE = ("failed", A, "TimedOut(response, 3.0)"), ("failed", A, "TimedOut(idle, 3.0)")


class ResponseTests(Http2Case):
    """From the end of a request to the head of its response."""

    def talk_timed(self) -> Http2Conversation:
        """A conversation in which a response may take three seconds."""
        return self.talk(response_timeout=3.0)

    def test_never(self) -> None:
        """A stream without a response is reset; its neighbour, asked later, waits as long again."""
        talk = self.talk_timed()
        talk.ask(A)
        talk.now = 1.0
        talk.ask(B)
        self.assertEqual((talk.at(2.9), told(talk.at(3.0))), ([], [RESPONSE]))
        self.assertEqual(talk.sent[-1], ("RST_STREAM", 1, "CANCEL"))
        self.assertEqual(talk.core.deadline(), 4.0)
        self.assertEqual(told(talk.receive(talk.peer.respond(3, fin=True)))[0][:2], ("response", B))
        self.assertIsNone(talk.core.deadline())

    def test_all_at_once(self) -> None:
        """Those that are due at the same time end at the same time, and the connection lives on."""
        talk = self.talk_timed()
        keys = [Key(str(at)) for at in range(5)]
        for key in keys:
            talk.ask(key)
        self.assertEqual([entry[1] for entry in told(talk.at(3.0))], keys)
        talk.ask(A)
        self.assertEqual(told(talk.receive(talk.peer.respond(11, fin=True)))[0][:2], ("response", A))

    def test_interim(self) -> None:
        """An interim response is a sign of life: the time begins anew."""
        talk = self.talk_timed()
        talk.ask(A)
        talk.now = 2.0
        talk.receive(talk.peer.respond(1, 103))
        self.assertEqual((talk.at(4.9), told(talk.at(5.0))), ([], [RESPONSE]))

    def test_upload(self) -> None:
        """It begins with the end of the request, not while that is under way."""
        talk = self.talk_timed()
        talk.ask(A, b"POST", body=None)
        self.assertIsNone(talk.core.deadline())
        talk.now = 10.0
        talk.send(A, b"x", fin=True)
        self.assertEqual((talk.at(12.9), told(talk.at(13.0))), ([], [RESPONSE]))

    def test_queued_upload(self) -> None:
        """Content that waits for a window is part of the request."""
        talk = self.talk(response_timeout=3.0, send_timeout=None, settings={"initial_window_size": 1})
        talk.ask(A, b"POST", body=b"xy")
        self.assertIsNone(talk.core.deadline())
        talk.now = 10.0
        talk.receive(talk.peer.window(1, 1))
        self.assertEqual(talk.core.deadline(), 13.0)

    def test_more_is_asked_for(self) -> None:
        """To allow more of a response that has not begun is no sign of life of the server's."""
        talk = self.talk_timed()
        talk.ask(A, flow=1)
        talk.now = 2.0
        talk.update_flow(A, 1)
        self.assertEqual(talk.core.deadline(), 3.0)

    def test_pushed(self) -> None:
        """A response that was promised is waited for as one that was asked for."""
        talk = self.talk(response_timeout=3.0, enable_push=True)
        talk.ask(A)
        talk.now = 1.0
        talk.receive(talk.peer.promise(1, 2), talk.peer.respond(1, fin=True))
        self.assertEqual(talk.core.deadline(), 4.0)
        talk.at(4.0)
        self.assertEqual(talk.sent[-1], ("RST_STREAM", 2, "CANCEL"))

    def test_over(self) -> None:
        """A stream that has ended, in whatever way, waits for nothing."""
        for end in (
            lambda talk: talk.receive(talk.peer.respond(1, fin=True)),
            lambda talk: talk.receive(talk.peer.reset(1, 8)),
            lambda talk: talk.cancel(A),
            lambda talk: talk.lose(),
        ):
            talk = self.talk_timed()
            talk.ask(A)
            end(talk)
            self.assertIsNone(talk.core.deadline())


class SendTests(Http2Case):
    """While the content of a request waits for a window."""

    WRITE = ("failed", A, "TimedOut(write, 3.0)")

    def talk_timed(self, window: int = 1) -> Http2Conversation:
        """A conversation in which a window may stay closed for three seconds; each stream's is `window`."""
        return self.talk(send_timeout=3.0, settings={"initial_window_size": window})

    def test_closed(self) -> None:
        """A stream whose window stays closed is reset; each piece that goes out is a sign of life."""
        talk = self.talk_timed()
        talk.ask(A, b"POST", body=b"xyz")
        self.assertEqual(talk.core.deadline(), 3.0)
        talk.now = 2.0
        talk.receive(talk.peer.window(1, 1))
        self.assertEqual((talk.at(4.9), told(talk.at(5.0))), ([], [self.WRITE]))
        self.assertEqual(talk.sent[-1], ("RST_STREAM", 1, "CANCEL"))
        talk.ask(B)
        self.assertEqual(told(talk.receive(talk.peer.respond(3, fin=True)))[0][:2], ("response", B))

    def test_sent(self) -> None:
        """What was sent waits for nothing; nor does a request that gives no content for now."""
        talk = self.talk_timed()
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"xy")
        talk.receive(talk.peer.window(1, 1))
        self.assertIsNone(talk.core.deadline())

    def test_kept_waiting_by_others(self) -> None:
        """The connection's window opens, if only for others: that is no stream's end. When it stays closed, it is."""
        talk = self.talk_timed(10**6)
        talk.ask(A, b"POST", body=b"x" * 200_000)
        talk.ask(B, b"POST", body=b"y")
        talk.now = 2.0
        talk.receive(talk.peer.window(0, 10))  # for the first one only
        self.assertEqual((talk.at(3.0), talk.core.deadline()), ([], 5.0))
        self.assertEqual(told(talk.at(5.0)), [self.WRITE])
        self.assertEqual(told(talk.at(6.0)), [("failed", B, "TimedOut(write, 3.0)")])

    def test_held_by_the_transport(self) -> None:
        """While the transport takes no more, that is for it to find out."""
        talk = self.talk_timed(100)
        talk.hold_sending()
        talk.ask(A, b"POST", body=b"x")
        self.assertEqual((talk.at(3.0), talk.core.deadline()), ([], 6.0))
        talk.hold_sending(False)
        self.assertIsNone(talk.core.deadline())

    def test_no_limit(self) -> None:
        """With None a window may stay closed for ever."""
        talk = self.talk(send_timeout=None, settings={"initial_window_size": 1})
        talk.ask(A, b"POST", body=b"xyz")
        self.assertIsNone(talk.core.deadline())


class IdleTests(Http2Case):
    """Between two pieces of a response's content."""

    def talk_timed(self, flow: int | None = None) -> Http2Conversation:
        """A conversation in which a response has begun, and a piece of it may take three seconds."""
        talk = self.talk(idle_timeout=3.0)
        talk.ask(A, flow=flow)
        self.assertIsNone(talk.core.deadline())
        talk.receive(talk.peer.respond(1))
        return talk

    def test_silence(self) -> None:
        """A response that does not go on is given up; each piece is a sign of life."""
        talk = self.talk_timed()
        talk.now = 2.0
        talk.receive(talk.peer.data(1, b"x"))
        self.assertEqual((talk.at(4.9), told(talk.at(5.0))), ([], [IDLE]))
        self.assertEqual(talk.sent[-1], ("RST_STREAM", 1, "CANCEL"))

    def test_held(self) -> None:
        """While its owner has enough, the server is not to blame."""
        talk = self.talk_timed()
        talk.hold(A)
        self.assertIsNone(talk.core.deadline())
        talk.now = 10.0
        talk.hold(A, held=False)
        self.assertEqual(told(talk.at(13.0)), [IDLE])

    def test_flow(self) -> None:
        """Nor is it while no more was asked for."""
        talk = self.talk_timed(flow=1)
        talk.receive(talk.peer.data(1, b"x"))
        self.assertIsNone(talk.core.deadline())
        talk.now = 10.0
        talk.update_flow(A, 1)
        self.assertEqual(talk.core.deadline(), 13.0)

    def test_parked_end(self) -> None:
        """All has come, and only waits to be told."""
        talk = self.talk_timed(flow=1)
        talk.receive(talk.peer.data(1, b"x"), talk.peer.data(1, b"y", fin=True))
        self.assertIsNone(talk.core.deadline())
        talk.update_flow(A, 1)
        self.assertIsNone(talk.core.deadline())
        self.assertEqual(talk.outline[-1], ("data", A, b"xy", True))

    def test_with_others(self) -> None:
        """Of the connection's deadlines and the streams' the earliest counts."""
        talk = self.talk(idle_timeout=3.0, response_timeout=2.0, keepalive=10.0)
        self.assertEqual(talk.core.deadline(), 10.0)
        talk.ask(A)
        self.assertEqual(talk.core.deadline(), 2.0)
        talk.ask(B)
        talk.receive(talk.peer.respond(1))
        talk.receive(talk.peer.respond(3))
        self.assertEqual(talk.core.deadline(), 3.0)
