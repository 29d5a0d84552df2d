"""`shutdown`: what is under way finishes, nothing new is taken."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, SWITCHED, UNTIL_CLOSE, UPGRADE, A, B, C, Conversation, outline

CLOSE = ("close", None)


class ShutdownTests(SynchronousTestCase):
    """A connection is shut down."""

    def test_idle(self) -> None:
        """It is closed at once."""
        talk = Conversation()
        self.assertEqual(outline(talk.shutdown()), [CLOSE])

    def test_idle_again(self) -> None:
        """Also where it has served already."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK)
        self.assertEqual(outline(talk.shutdown()), [CLOSE])

    def test_every_offset(self) -> None:
        """The first response is told whole; then the connection is closed."""
        for answer in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            for at in range(len(answer)):
                talk = Conversation()
                talk.ask(A)
                talk.receive(answer[:at])
                self.assertEqual(talk.shutdown(), [])
                self.assertFalse(talk.core.accepting)
                talk.receive(answer[at:])
                self.assertEqual(talk.outline[1:], [("data", A, b"hello", True), CLOSE])

    def test_until_close(self) -> None:
        """A response that ends with the connection still does."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(UNTIL_CLOSE + b"hel")
        self.assertEqual(talk.shutdown(), [])
        talk.receive(b"lo")
        talk.lose()
        self.assertEqual(talk.outline[1:], [("data", A, b"hello", True)])

    def test_upload(self) -> None:
        """The first request's content may still be sent."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        self.assertEqual(talk.shutdown(), [])
        self.assertEqual(outline(talk.send(A, b"x", fin=True)), [("write", b"1\r\nx\r\n0\r\n\r\n")])
        self.assertEqual(outline(talk.receive(OK))[-1], CLOSE)

    def test_pipelined(self) -> None:
        """Those behind the first fail at once, as Gun has it; the server may have processed them."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.ask(C)
        self.assertEqual(outline(talk.shutdown()), [("failed", B, "ShuttingDown"), ("failed", C, "ShuttingDown")])
        self.assertEqual(talk.core.losses().killed, (B, C))
        talk.receive(OK)
        self.assertEqual(talk.outline[-2:], [("data", A, b"hello", True), CLOSE])

    def test_waiting(self) -> None:
        """Those that were never written certainly were not processed."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.ask(B)
        self.assertEqual(outline(talk.shutdown()), [("failed", B, "ShuttingDown")])
        talk.send(A, b"", fin=True)
        self.assertNotIn(b"GET", talk.written)
        self.assertEqual(talk.core.losses().unprocessed, (B,))
        talk.receive(OK)
        self.assertEqual(talk.outline[-1], CLOSE)

    def test_upload_behind(self) -> None:
        """The content of a request that failed by it is not sent on."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B, b"POST", body=None)
        talk.shutdown()
        self.assertEqual(talk.send(B, b"x"), [])

    def test_cancelled(self) -> None:
        """A cancelled response is read first."""
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        self.assertEqual(talk.shutdown(), [])
        self.assertEqual(outline(talk.receive(OK)), [CLOSE])

    def test_cancelled_behind(self) -> None:
        """A cancelled stream behind the first is not told of it."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        talk.cancel(B)
        self.assertEqual(talk.shutdown(), [])

    def test_server_closes_as_well(self) -> None:
        """``connection: close`` while it is being shut down changes nothing."""
        talk = Conversation()
        talk.ask(A)
        talk.shutdown()
        steps = outline(talk.receive(b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n"))
        self.assertEqual([entry[0] for entry in steps], ["response", "close"])

    def test_twice(self) -> None:
        """Again is the same as once."""
        talk = Conversation()
        talk.ask(A)
        self.assertEqual([talk.shutdown(), talk.shutdown()], [[], []])
        self.assertEqual(outline(talk.receive(OK))[-1], CLOSE)
        self.assertEqual(talk.shutdown(), [])

    def test_tunnel(self) -> None:
        """A tunnel has no end of its own: it is closed at once, and its stream with it."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE)
        talk.receive(SWITCHED)
        self.assertEqual(outline(talk.shutdown()), [("failed", A, "StreamClosed"), CLOSE])
