"""A conversation in HTTP/1: requests and responses in order, and what ends a connection."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import (
    CHUNKED,
    OK,
    PROTOCOL_VIOLATION,
    SWITCHED,
    UNTIL_CLOSE,
    UPGRADE,
    A,
    B,
    C,
    Conversation,
    outline,
    response,
)
from twisted_gun.errors import ProtocolViolation, StreamClosed, Truncated
from twisted_gun.events import Data, Inform, Response, Trailers, Upgrade
from twisted_gun.wire.steps import Close, StreamFailed, TunnelClosed, TunnelData, Write

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class EventTests(SynchronousTestCase):
    """The events themselves, field by field."""

    def test_response(self) -> None:
        """A request, interim responses, a response with content and trailers."""
        talk = Conversation()
        self.assertEqual(talk.core.name, "http")
        self.assertEqual(talk.ask(A), [Write(b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n")])
        self.assertEqual(
            talk.receive(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            [Inform(stream=A, status=103, headers=((b"link", b"</a>"),))],
        )
        self.assertEqual(
            talk.receive(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"),
            [Response(stream=A, fin=False, status=200, headers=((b"transfer-encoding", b"chunked"),), reason=b"Fine")],
        )
        self.assertEqual(talk.receive(b"2\r\nhi\r\n"), [Data(stream=A, fin=False, data=b"hi")])
        self.assertEqual(talk.receive(b"0\r\nX: y\r\n\r\n"), [Trailers(stream=A, headers=((b"x", b"y"),))])
        self.assertTrue(talk.core.accepting)

    def test_last_data(self) -> None:
        """The last piece of content says that it is."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK[:-5])
        self.assertEqual(talk.receive(b"hel"), [Data(stream=A, fin=False, data=b"hel")])
        self.assertEqual(talk.receive(b"lo"), [Data(stream=A, fin=True, data=b"lo")])

    def test_upgrade(self) -> None:
        """A switch of protocols, bytes in both directions, and the end."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        headers = ((b"connection", b"upgrade"), (b"upgrade", b"echo"))
        self.assertEqual(
            talk.receive(SWITCHED + b"glued"), [Upgrade(stream=A, protocols=(b"echo",), headers=headers), TunnelData(A, b"glued")]
        )
        self.assertEqual(talk.receive(b"more"), [TunnelData(A, b"more")])
        self.assertEqual(talk.send(A, b"out"), [Write(b"out")])
        self.assertEqual(talk.lose(), [TunnelClosed(A)])

    def test_failure(self) -> None:
        """The stream and the connection are told the same reason, an error of ours that says what happened."""
        talk = Conversation()
        talk.ask(A)
        failed, close = talk.receive(b"garbage")
        assert isinstance(failed, StreamFailed) and isinstance(close, Close), (failed, close)
        self.assertIs(failed.stream, A)
        self.assertIsInstance(failed.reason, ProtocolViolation)
        self.assertIn("garbage", str(failed.reason))
        self.assertIs(close.reason, failed.reason)

    def test_others_fail_as_closed(self) -> None:
        """A violation is the first stream's; those behind were merely on the same connection, and know why it ended."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.ask(C)
        steps = talk.receive(b"garbage")
        self.assertEqual(
            outline(steps),
            [
                ("failed", A, PROTOCOL_VIOLATION),
                ("failed", B, "StreamClosed"),
                ("failed", C, "StreamClosed"),
                ("close", PROTOCOL_VIOLATION),
            ],
        )
        reasons = [step.reason for step in steps if isinstance(step, StreamFailed)]
        self.assertIsInstance(reasons[1], StreamClosed)
        self.assertIs(reasons[1].__cause__, reasons[0])
        self.assertIsNot(reasons[1], reasons[2])
        self.assertEqual(talk.core.losses().killed, (A, B, C))


class InterimTests(SynchronousTestCase):
    """Interim responses."""

    def test_any(self) -> None:
        """Any status below 200 but 101, with fields, as often as allowed, before any response."""
        talk = Conversation()
        for stream, method in ((A, b"GET"), (B, b"HEAD")):
            talk.ask(stream, method)
            talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n", b"HTTP/1.1 199 Odd\r\n\r\n")
            talk.receive(response((b"content-length", b"0")))
            told = [("inform", stream, 100, ()), ("inform", stream, 102, ((b"x", b"y"),)), ("inform", stream, 199, ())]
            self.assertEqual(talk.outline[-4:-1], told)

    def test_framing_is_ignored(self) -> None:
        """An interim response has no content, whatever its fields say."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(b"HTTP/1.1 103 Early Hints\r\ncontent-length: 500\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n" + OK)
        self.assertEqual([entry[0] for entry in talk.outline], ["inform", "response", "data"])
        self.assertTrue(talk.core.accepting)

    def test_count_starts_anew(self) -> None:
        """How many there may be is counted for each request."""
        talk = Conversation(max_informational=2)
        for stream in (A, B, C):
            talk.ask(stream)
            talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + NO_CONTENT)
            self.assertTrue(talk.core.accepting)


class PipeliningTests(SynchronousTestCase):
    """Several requests at once."""

    def test_order(self) -> None:
        """All are written at once; the responses belong to them in their order, whatever the pieces they come in."""
        data = OK + b"HTTP/1.1 404 Not Found\r\ncontent-length: 99\r\n\r\n" + CHUNKED + b"1\r\nc\r\n0\r\nx: y\r\n\r\n"
        for size in (1, 7, len(data)):
            talk = Conversation()
            talk.ask(A)
            talk.ask(B, b"HEAD")
            talk.ask(C)
            self.assertEqual(talk.written.count(b" / HTTP/1.1\r\n"), 3)
            talk.receive(*(data[at : at + size] for at in range(0, len(data), size)))
            self.assertEqual(
                talk.outline,
                [
                    ("response", A, 200, ((b"content-length", b"5"),), False),
                    ("data", A, b"hello", True),
                    ("response", B, 404, ((b"content-length", b"99"),), True),
                    ("response", C, 200, ((b"transfer-encoding", b"chunked"),), False),
                    ("data", C, b"c", False),
                    ("trailers", C, ((b"x", b"y"),)),
                ],
            )

    def test_one_after_another(self) -> None:
        """A connection serves one request after another."""
        talk = Conversation()
        for stream in (A, B, C):
            talk.ask(stream)
            self.assertEqual(outline(talk.receive(OK))[-1], ("data", stream, b"hello", True))
            self.assertTrue(talk.core.accepting)

    def test_close_said_early(self) -> None:
        """``connection: close``: those behind are refused at once, as certainly not processed, before the content comes."""
        for fields in (b"connection: close\r\n", b""):
            length = b"content-length: 5\r\n" if fields else b""
            talk = Conversation()
            talk.ask(A)
            talk.ask(B)
            talk.ask(C, b"POST", body=None)
            steps = outline(talk.receive(b"HTTP/1.1 200 OK\r\n" + fields + length + b"\r\n"))
            self.assertEqual([entry[:2] for entry in steps], [("failed", B), ("failed", C), ("response", A)])
            self.assertEqual([entry[2] for entry in steps[:2]], ["StreamRefused"] * 2)
            self.assertEqual(talk.core.losses().unprocessed, (B, C))
            self.assertFalse(talk.core.accepting)
            talk.receive(b"hello")
            if not fields:
                talk.lose()
            self.assertEqual(talk.core.losses().killed, ())
            self.assertEqual(talk.core.losses().unprocessed, (B, C))

    def test_close_without_content(self) -> None:
        """A response without content that says close ends the connection at once, and its stream has not failed."""
        talk = Conversation()
        talk.ask(A)
        steps = outline(talk.receive(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"))
        self.assertEqual([entry[0] for entry in steps], ["response", "close"])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_content_for_the_refused(self) -> None:
        """Once the server has said that it closes, no more is sent: RFC 9112 section 9.6, "MUST cease sending requests"."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B, b"POST", body=None)
        talk.receive(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\n")
        self.assertEqual(talk.send(B, b"content", fin=True), [])

    def test_waiting_when_the_server_closes(self) -> None:
        """Requests that wait for an upload are refused with the others."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.ask(B)
        talk.ask(C, b"POST", body=None)
        steps = outline(talk.receive(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"))
        self.assertEqual([entry[:2] for entry in steps], [("failed", B), ("failed", C), ("response", A), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (B, C))


class BetweenTests(SynchronousTestCase):
    """Bytes between responses."""

    def test_unsolicited(self) -> None:
        """Bytes that answer no request end the connection; the next request never sees them."""
        for data in (OK, b"x", b"\r\nx", b"\r\n\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\n", b"\rx"):
            talk = Conversation()
            self.assertEqual(outline(talk.receive(data)), [("close", PROTOCOL_VIOLATION)], data)
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_unsolicited_behind_a_response(self) -> None:
        """The response before them is whole, and told."""
        for data in (OK, b"x", b"\r\n\r\n"):
            for pieces in ([OK + data], [OK, data], [OK[:-1], OK[-1:] + data]):
                talk = Conversation()
                talk.ask(A)
                talk.receive(*pieces)
                self.assertEqual(talk.outline[1:], [("data", A, b"hello", True), ("close", PROTOCOL_VIOLATION)])

    def test_content_where_none_may_be(self) -> None:
        """Content behind a 204, or behind the answer to HEAD, is not taken for the next response."""
        for method, data in ((b"GET", NO_CONTENT + b"hello"), (b"HEAD", OK)):
            talk = Conversation()
            talk.ask(A, method)
            talk.receive(data)
            self.assertEqual([entry[0] for entry in talk.outline], ["response", "close"])
            talk = Conversation()
            talk.ask(A, method)
            talk.ask(B)
            talk.receive(data)
            self.assertEqual(talk.outline[1:], [("failed", B, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_blank_line(self) -> None:
        """One empty line before each response is passed over, wherever it is cut."""
        for count, pieces in ((1, [b"\r\n" + OK]), (1, [b"\r\n", OK]), (1, [b"\r", b"\n" + OK]), (2, [b"\r\n" + OK + b"\r\n" + OK])):
            talk = Conversation()
            for stream in (A, B)[:count]:
                talk.ask(stream)
            talk.receive(*pieces)
            self.assertEqual([entry[0] for entry in talk.outline], ["response", "data"] * count)
            self.assertTrue(talk.core.accepting)

    def test_blank_line_while_idle(self) -> None:
        """One may come while there is no request, before the first and behind a response."""
        talk = Conversation()
        for stream in (A, B):
            self.assertEqual(talk.receive(b"\r", b"\n"), [])
            talk.ask(stream)
            self.assertEqual(outline(talk.receive(OK))[-1], ("data", stream, b"hello", True))

    def test_half_a_blank_line(self) -> None:
        """A lone CR waits for its LF, and is refused if something else comes."""
        for asked in (False, True):
            talk = Conversation()
            if asked:
                talk.ask(A)
            self.assertEqual(talk.receive(b"\r"), [])
            self.assertEqual(outline(talk.receive(b"HTTP/1.1 200 OK\r\n\r\n"))[-1], ("close", PROTOCOL_VIOLATION))

    def test_nothing(self) -> None:
        """No bytes are no news."""
        talk = Conversation()
        self.assertEqual(talk.receive(b""), [])
        talk.ask(A)
        steps = talk.receive(b"", OK[:9], b"", OK[9:40], b"", OK[40:], b"")
        self.assertEqual(outline(steps)[1:], [("data", A, b"hello", True)])


class AfterTheEndTests(SynchronousTestCase):
    """A core whose connection has ended does nothing any more."""

    def test_every_verb(self) -> None:
        """No verb brings steps, whichever way it ended."""
        for end in ("violation", "close", "lost"):
            talk = Conversation(keepalive=1.0, idle_timeout=1.0, response_timeout=1.0)
            talk.ask(A, flow=1)
            if end == "lost":
                talk.lose()
            else:
                talk.receive(b"garbage" if end == "violation" else b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n")
            steps = [
                talk.receive(OK),
                talk.send(A, b"x", fin=True),
                talk.update_flow(A, 1),
                talk.hold(A),
                talk.cancel(A),
                talk.cancel(A, drain=True),
                talk.shutdown(),
                talk.core.time_passed(1e9),
                talk.lose(),
                talk.lose(clean=False),
            ]
            self.assertEqual(steps, [[]] * len(steps))
            self.assertEqual((talk.core.accepting, talk.core.deadline()), (False, None))


class LossTests(SynchronousTestCase):
    """The connection is lost."""

    def test_idle(self) -> None:
        """With nothing under way nobody is told."""
        for clean in (True, False):
            self.assertEqual(Conversation().lose(clean=clean), [])

    def test_before_the_response(self) -> None:
        """Before, or in, its head: the stream is closed, and was perhaps processed."""
        for clean in (True, False):
            for data in (b"", b"\r\n", b"\r", OK[:10], OK[:-7], b"HTTP/1.1 100 Continue\r\n\r\n"):
                talk = Conversation()
                talk.ask(A)
                talk.receive(data)
                self.assertEqual(outline(talk.lose(clean=clean)), [("failed", A, "StreamClosed")])
                self.assertEqual(talk.core.losses().killed, (A,))

    def test_in_the_content(self) -> None:
        """In the middle of the content: what came, and what should have come."""
        for data, reason in (
            (OK[:-3], "Truncated(2, 5)"),
            (OK[:-5], "Truncated(0, 5)"),
            (CHUNKED, "Truncated(0, None)"),
            (CHUNKED + b"5\r\nhel", "Truncated(3, None)"),
            (CHUNKED + b"5\r\nhello\r\n0\r\n", "Truncated(5, None)"),
            (CHUNKED + b"5\r\nhello\r\n0\r\nx: y\r\n", "Truncated(5, None)"),
        ):
            for clean in (True, False):
                talk = Conversation()
                talk.ask(A)
                talk.receive(data)
                (step,) = talk.lose(clean=clean)
                self.assertEqual(outline([step]), [("failed", A, reason)])
                assert isinstance(step, StreamFailed) and isinstance(step.reason, Truncated), step
                self.assertEqual(str(step.reason.__cause__), "gone")

    def test_close_delimited(self) -> None:
        """Content up to the end of the connection is whole where the peer ended it in good order, and cut off else."""
        for pieces in ((), (b"hello",)):
            for clean, last in ((True, ("data", A, b"", True)), (False, ("failed", A, f"Truncated({5 * len(pieces)}, None)"))):
                talk = Conversation()
                talk.ask(A)
                talk.receive(UNTIL_CLOSE, *pieces)
                self.assertEqual(outline(talk.lose(clean=clean)), [last])
                self.assertEqual(talk.core.losses().killed, () if clean else (A,))

    def test_tunnel(self) -> None:
        """A tunnel closes where the peer ended it in good order, and is cut off else."""
        for clean, last in ((True, ("tunnel closed", A)), (False, ("failed", A, "Truncated(0, None)"))):
            talk = Conversation()
            talk.ask(A, headers=UPGRADE)
            talk.receive(SWITCHED)
            self.assertEqual(outline(talk.lose(clean=clean)), [last])

    def test_others(self) -> None:
        """Those written may have been processed, those that waited were not."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B, b"POST", body=None)
        talk.ask(C)
        talk.receive(OK[:-1])
        steps = outline(talk.lose())
        self.assertEqual(steps, [("failed", A, "Truncated(4, 5)"), ("failed", B, "StreamClosed"), ("failed", C, "StreamRefused")])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((A, B), (C,)))

    def test_every_offset(self) -> None:
        """Wherever it is cut, each stream ends once: with its response, or with an error."""
        data = b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + OK + CHUNKED + b"3\r\nabc\r\n0\r\nx: y\r\n\r\n" + UNTIL_CLOSE + b"rest"
        whole_a, whole_b = data.index(b"hello") + 5, data.index(b"HTTP/1.1 200 OK\r\n\r\n")
        for at in range(len(data) + 1):
            for clean in (True, False):
                for pieces in ([data[:at]], [data[place : place + 1] for place in range(at)]):
                    talk = Conversation()
                    for stream in (A, B, C):
                        talk.ask(stream)
                    talk.receive(*pieces)
                    talk.lose(clean=clean)
                    failed = {entry[1] for entry in talk.outline if entry[0] == "failed"}
                    self.assertEqual([stream in failed for stream in (A, B)], [at < whole_a, at < whole_b])
                    self.assertEqual(C in failed, not clean or at < whole_b + len(UNTIL_CLOSE))
