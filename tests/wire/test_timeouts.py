"""Every time limit: nothing before it, its end at it, and no later; what starts it, what sets it anew, what stops it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, SWITCHED, UNTIL_CLOSE, UPGRADE, A, B, C, Conversation, outline, told

BLANK = [("write", b"\r\n")]


class TimeTests(SynchronousTestCase):
    """Assertions about deadlines."""

    def runs_out(self, talk: Conversation, when: float, stage: str, seconds: float) -> None:
        """The connection ends at `when`, not before, and the first stream is told why."""
        self.assertEqual(talk.core.deadline(), when)
        self.assertEqual(talk.core.time_passed(when - 0.001), [])
        self.assertEqual(talk.core.deadline(), when)
        reason = f"TimedOut({stage}, {seconds})"
        self.assertEqual(told(talk.at(when)), [("failed", A, reason), ("close", reason)])
        self.assertIsNone(talk.core.deadline())

    def runs_out_late(self, talk: Conversation, when: float, stage: str, seconds: float) -> None:
        """The same where the clock is looked at late."""
        self.assertEqual(talk.core.deadline(), when)
        reason = f"TimedOut({stage}, {seconds})"
        self.assertEqual(told(talk.at(when + 1000)), [("failed", A, reason), ("close", reason)])


class NoLimitTests(TimeTests):
    """Without limits nothing is ever awaited but the rest of a head."""

    def test_defaults(self) -> None:
        """With the defaults there is no deadline, idle or not, in content or not."""
        talk = Conversation()
        self.assertIsNone(talk.core.deadline())
        talk.ask(A)
        self.assertIsNone(talk.core.deadline())
        talk.receive(OK[:-1])
        self.assertIsNone(talk.core.deadline())
        talk.receive(b"o")
        self.assertIsNone(talk.core.deadline())
        self.assertEqual(talk.core.time_passed(1e9), [])


class HeaderTests(TimeTests):
    """`header_timeout`: from the first byte of a head to its last."""

    def started(self, **options: object) -> Conversation:
        """A head has begun at 10."""
        talk = Conversation(header_timeout=30.0, **options)
        talk.ask(A)
        talk.now = 10.0
        talk.receive(b"H")
        return talk

    def test_runs_out(self) -> None:
        """Bytes that come in between do not set it anew."""
        for check in (self.runs_out, self.runs_out_late):
            talk = self.started()
            talk.now = 39.0
            talk.receive(OK[1:30])
            check(talk, 40.0, "headers", 30.0)

    def test_stops(self) -> None:
        """It ends with the head, and starts with the next."""
        talk = self.started()
        talk.receive(b"TTP/1.1 100 Continue\r\n\r\n")
        self.assertIsNone(talk.core.deadline())
        talk.now = 20.0
        talk.receive(OK[:20])
        self.assertEqual(talk.core.deadline(), 50.0)
        talk.receive(OK[20:])
        self.assertIsNone(talk.core.deadline())

    def test_none(self) -> None:
        """None is no limit."""
        talk = Conversation(header_timeout=None)
        talk.ask(A)
        talk.receive(b"HTTP/1.1 200")
        self.assertIsNone(talk.core.deadline())

    def test_half_an_empty_line(self) -> None:
        """A lone CR, which may become an empty line, is no way around both limits."""
        for options in ({"header_timeout": 30.0}, {"header_timeout": 30.0, "response_timeout": 5.0}):
            talk = Conversation(**options)
            talk.ask(A)
            talk.receive(b"\r")
            self.assertIsNotNone(talk.core.deadline())
            self.assertEqual(told(talk.at(1000.0))[-1][0], "close")


class ResponseTests(TimeTests):
    """`response_timeout`: from the end of the request to the first byte of the response."""

    def test_runs_out(self) -> None:
        """It starts when the request was sent."""
        for check in (self.runs_out, self.runs_out_late):
            talk = Conversation(response_timeout=5.0)
            talk.now = 10.0
            self.assertIsNone(talk.core.deadline())
            talk.ask(A)
            check(talk, 15.0, "response", 5.0)

    def test_upload(self) -> None:
        """It starts with the last of the request's content."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A, b"POST", body=None)
        talk.now = 7.0
        talk.send(A, b"x")
        self.assertIsNone(talk.core.deadline())
        talk.now = 20.0
        talk.send(A, b"", fin=True)
        self.runs_out(talk, 25.0, "response", 5.0)

    def test_first_byte(self) -> None:
        """It ends with the first byte."""
        talk = Conversation(response_timeout=5.0, header_timeout=None)
        talk.ask(A)
        talk.receive(b"H")
        self.assertIsNone(talk.core.deadline())
        talk.receive(OK[1:])
        self.assertIsNone(talk.core.deadline())

    def test_pipelined(self) -> None:
        """What is sent behind does not prolong the wait for the first; each gets its own time when its turn comes."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A)
        talk.now = 4.0
        talk.ask(B)
        self.assertEqual(talk.core.deadline(), 5.0)
        talk.receive(OK)
        self.assertEqual(talk.core.deadline(), 9.0)
        talk.now = 8.0
        talk.receive(OK)
        self.assertIsNone(talk.core.deadline())

    def test_interim(self) -> None:
        """After an interim response the final one is awaited anew."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A)
        talk.now = 3.0
        talk.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        deadline = talk.core.deadline()
        assert deadline is not None
        self.assertIn(deadline, (5.0, 8.0))
        self.assertEqual(told(talk.at(8.0))[-1], ("close", "TimedOut(response, 5.0)"))

    def test_cancelled(self) -> None:
        """It holds for a cancelled request as well."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A)
        talk.cancel(A)
        self.assertEqual(told(talk.at(5.0)), [("close", "TimedOut(response, 5.0)")])

    def test_held(self) -> None:
        """No answer is awaited while the socket is paused."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A)
        talk.hold(A)
        self.assertIsNone(talk.core.deadline())
        talk.now = 100.0
        talk.hold(A, False)
        self.assertEqual(talk.core.deadline(), 105.0)

    def test_others(self) -> None:
        """Those behind are closed with it."""
        talk = Conversation(response_timeout=5.0)
        talk.ask(A)
        talk.ask(B)
        reason = "TimedOut(response, 5.0)"
        self.assertEqual(told(talk.at(5.0)), [("failed", A, reason), ("failed", B, "StreamClosed"), ("close", reason)])
        self.assertEqual(talk.core.losses().killed, (A, B))


class IdleTests(TimeTests):
    """`idle_timeout`: between two pieces of content."""

    def started(self, head: bytes = OK[:-5], **options: object) -> Conversation:
        """A response's content has begun at 10."""
        talk = Conversation(idle_timeout=5.0, **options)
        talk.ask(A)
        talk.now = 10.0
        talk.receive(head)
        return talk

    def test_runs_out(self) -> None:
        """It starts with the head, and anew with each piece."""
        for head in (OK[:-5], CHUNKED + b"5\r\n", UNTIL_CLOSE):
            for check in (self.runs_out, self.runs_out_late):
                talk = self.started(head)
                self.assertEqual(talk.core.deadline(), 15.0)
                talk.now = 14.0
                talk.receive(b"he")
                check(talk, 19.0, "idle", 5.0)

    def test_stops(self) -> None:
        """It ends with the content."""
        talk = self.started()
        talk.receive(b"hello")
        self.assertIsNone(talk.core.deadline())

    def test_paused(self) -> None:
        """It does not run while it is we who do not read."""
        talk = self.started()
        talk.hold(A)
        self.assertIsNone(talk.core.deadline())
        talk.now = 100.0
        talk.hold(A, False)
        self.runs_out(talk, 105.0, "idle", 5.0)

    def test_tunnel(self) -> None:
        """A tunnel may be idle."""
        talk = Conversation(idle_timeout=5.0)
        talk.ask(A, headers=UPGRADE)
        talk.receive(SWITCHED, b"x")
        self.assertIsNone(talk.core.deadline())

    def test_keepalive(self) -> None:
        """What we send to keep the connection alive is not content of the response."""
        talk = self.started(keepalive=2.0)
        ended = [(when, *entry) for when in range(10, 30) for entry in told(talk.at(float(when)))]
        self.assertEqual(ended, [(15, "failed", A, "TimedOut(idle, 5.0)"), (15, "close", "TimedOut(idle, 5.0)")])

    def test_requests(self) -> None:
        """Nor is another request."""
        talk = self.started()
        talk.now = 14.0
        talk.ask(B)
        self.assertEqual(talk.core.deadline(), 15.0)


class KeepaliveTests(TimeTests):
    """`keepalive`: an empty line when nothing was sent or received for so long."""

    def test_idle(self) -> None:
        """From the start, again and again."""
        talk = Conversation(keepalive=10.0)
        for count in range(1, 4):
            self.assertEqual(talk.core.deadline(), 10.0 * count)
            self.assertEqual(talk.core.time_passed(10.0 * count - 0.001), [])
            self.assertEqual(outline(talk.at(10.0 * count)), BLANK)

    def test_late(self) -> None:
        """A late look at the clock sends one, and starts from there."""
        talk = Conversation(keepalive=10.0)
        self.assertEqual(outline(talk.at(35.0)), BLANK)
        self.assertEqual(talk.core.deadline(), 45.0)

    def test_activity(self) -> None:
        """Requests, their content, and whatever comes in set it anew."""
        talk = Conversation(keepalive=10.0)
        talk.now = 3.0
        talk.ask(A)
        self.assertEqual(talk.core.deadline(), 13.0)
        talk.now = 5.0
        talk.receive(OK[:-2])
        self.assertEqual(talk.core.deadline(), 15.0)
        self.assertEqual(outline(talk.at(15.0)), BLANK)
        talk.receive(OK[-2:])
        self.assertEqual(talk.core.deadline(), 25.0)

    def test_upload(self) -> None:
        """Not in the middle of a request's content, of which it would be taken to be a part."""
        talk = Conversation(keepalive=10.0)
        talk.ask(A, b"POST", body=None)
        talk.send(A, b"x")
        self.assertIsNone(talk.core.deadline())
        talk.now = 30.0
        talk.send(A, b"", fin=True)
        self.assertEqual(talk.core.deadline(), 40.0)

    def test_tunnel(self) -> None:
        """Nor into a tunnel."""
        talk = Conversation(keepalive=10.0)
        talk.ask(A, headers=UPGRADE)
        talk.receive(SWITCHED)
        self.assertIsNone(talk.core.deadline())

    def test_end(self) -> None:
        """Nor after the end."""
        talk = Conversation(keepalive=10.0)
        talk.shutdown()
        self.assertEqual(talk.core.time_passed(10.0), [])


class ClosingTests(TimeTests):
    """`closing_timeout`: how long a shutdown waits for what is under way."""

    def test_runs_out(self) -> None:
        """From the shutdown on, whatever happens in between."""
        for check in (self.runs_out, self.runs_out_late):
            talk = Conversation(closing_timeout=15.0)
            talk.ask(A)
            talk.receive(OK[:-2])
            talk.now = 10.0
            talk.shutdown()
            talk.now = 20.0
            talk.receive(OK[-2:-1])
            check(talk, 25.0, "closing", 15.0)

    def test_twice(self) -> None:
        """A second shutdown gives no more time."""
        talk = Conversation(closing_timeout=15.0)
        talk.ask(A)
        talk.shutdown()
        talk.now = 10.0
        talk.shutdown()
        self.assertEqual(talk.core.deadline(), 15.0)

    def test_none(self) -> None:
        """None is no limit."""
        talk = Conversation(closing_timeout=None)
        talk.ask(A)
        talk.shutdown()
        self.assertIsNone(talk.core.deadline())

    def test_in_time(self) -> None:
        """It does not matter where the response ends before."""
        talk = Conversation()
        talk.ask(A)
        talk.shutdown()
        self.assertEqual(told(talk.receive(OK))[-1], ("close", None))
        self.assertIsNone(talk.core.deadline())


class SeveralTests(TimeTests):
    """Several deadlines at once."""

    def test_nearest(self) -> None:
        """The nearest is the deadline."""
        talk = Conversation(keepalive=10.0, response_timeout=5.0)
        talk.ask(A)
        self.assertEqual(talk.core.deadline(), 5.0)

    def test_all_passed(self) -> None:
        """Where several have passed, one ends the connection, once."""
        talk = Conversation(header_timeout=1.0, closing_timeout=1.0, keepalive=1.0, idle_timeout=1.0, response_timeout=1.0)
        for stream in (A, B, C):
            talk.ask(stream)
        talk.receive(OK[:10])
        talk.shutdown()
        steps = told(talk.at(100.0))
        self.assertEqual([entry[0] for entry in steps], ["failed", "close"])

    def test_content_and_closing(self) -> None:
        """The same in the middle of content."""
        talk = Conversation(closing_timeout=1.0, idle_timeout=1.0)
        talk.ask(A)
        talk.receive(OK[:-2])
        talk.shutdown()
        self.assertEqual([entry[0] for entry in told(talk.at(1.0))], ["failed", "close"])
