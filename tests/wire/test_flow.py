"""How much a stream is told: flow, and holding the peer back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import CHUNKED, OK, SWITCHED, UNTIL_CLOSE, UPGRADE, A, B, C, Conversation, told
from twisted_gun.wire.steps import Accepting, Pause, Resume, Steps, Write


def kinds(steps: Steps) -> list[str]:
    """What kinds of things are told, the socket left out."""
    return [entry[0] for entry in told(steps)]


class FlowTests(SynchronousTestCase):
    """`flow` data events, then no more until `update_flow`."""

    def test_exact(self) -> None:
        """As many data events as allowed, then a pause; more when more are allowed."""
        for flow in (1, 2, 5):
            talk = Conversation()
            talk.ask(A, flow=flow)
            talk.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
            for count in range(1, flow + 1):
                self.assertEqual(told(talk.receive(b"x")), [("data", A, b"x", False)])
                self.assertEqual(talk.paused, count == flow)
            self.assertEqual(talk.receive(b"y", b"z"), [])
            self.assertEqual((told(talk.update_flow(A, 1)), talk.paused), ([("data", A, b"yz", False)], True))
            self.assertEqual((told(talk.update_flow(A, 2)), talk.paused), ([], False))
            self.assertEqual((kinds(talk.receive(b"x")), talk.paused), (["data"], False))
            self.assertEqual((kinds(talk.receive(b"x")), talk.paused), (["data"], True))

    def test_chunks(self) -> None:
        """Chunks that come together count as one; the empty end counts where it comes alone."""
        talk = Conversation()
        talk.ask(A, flow=1)
        steps = told(talk.receive(CHUNKED + b"1\r\na\r\n" * 3))
        self.assertEqual((steps[1:], talk.paused), ([("data", A, b"aaa", False)], True))
        self.assertEqual(talk.receive(b"0\r\n\r\n"), [])
        self.assertEqual((told(talk.update_flow(A, 1)), talk.paused), ([("data", A, b"", True)], False))

    def test_trailers_are_not_data(self) -> None:
        """Trailers that come with the last data do not count."""
        talk = Conversation()
        talk.ask(A, flow=1)
        steps = told(talk.receive(CHUNKED + b"1\r\na\r\n0\r\nx: y\r\n\r\n"))
        self.assertEqual(steps[1:], [("data", A, b"a", False), ("trailers", A, ((b"x", b"y"),))])
        self.assertTrue(talk.core.accepting)

    def test_end_frees_the_connection(self) -> None:
        """A stream that has used its flow up and ended holds nobody back."""
        talk = Conversation()
        talk.ask(A, flow=1)
        talk.ask(B)
        self.assertEqual(kinds(talk.receive(OK + OK)), ["response", "data", "response", "data"])
        self.assertFalse(talk.paused)

    def test_heads_are_not_data(self) -> None:
        """Interim and final heads do not count."""
        talk = Conversation()
        talk.ask(A, flow=1)
        steps = talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK)
        self.assertEqual(kinds(steps), ["inform"] * 3 + ["response", "data"])

    def test_pipelined(self) -> None:
        """Only the first stream's flow governs reading; what another is allowed early is kept for it."""
        talk = Conversation()
        talk.ask(A, flow=1)
        talk.ask(B, flow=1)
        self.assertEqual(talk.update_flow(B, 1), [])
        talk.receive(CHUNKED, b"1\r\na\r\n", b"0\r\n\r\n" + CHUNKED + b"1\r\nb\r\n")
        self.assertTrue(talk.paused)
        self.assertEqual((kinds(talk.update_flow(A, 1)), talk.paused), (["data", "response", "data"], False))
        self.assertEqual((kinds(talk.receive(b"1\r\nb\r\n")), talk.paused), (["data"], True))

    def test_waiting(self) -> None:
        """A request that was not written yet may be allowed more as well."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.ask(B, flow=1)
        talk.update_flow(B, 1)
        talk.send(A, b"", fin=True)
        talk.receive(OK + CHUNKED, b"1\r\nb\r\n")
        self.assertEqual((talk.outline[-1][0], talk.paused), ("data", False))
        self.assertEqual((kinds(talk.receive(b"1\r\nb\r\n")), talk.paused), (["data"], True))

    def test_without_flow(self) -> None:
        """Where no flow was given, or nothing is known of the stream, there is nothing to update."""
        talk = Conversation()
        talk.ask(A)
        self.assertEqual(talk.update_flow(A, 1), [])
        talk.receive(CHUNKED, b"1\r\na\r\n" * 10, b"1\r\na\r\n")
        self.assertEqual(kinds(talk.steps), ["response", "data"])
        self.assertEqual(talk.core.update_flow(C, 1, 0.0), [])
        self.assertFalse(talk.paused)

    def test_tunnel(self) -> None:
        """The pieces of a tunnel count too."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE, flow=1)
        self.assertEqual((kinds(talk.receive(SWITCHED + b"glued")), talk.paused), (["upgrade", "tunnel"], True))
        self.assertEqual(talk.receive(b"more"), [])
        self.assertEqual((told(talk.update_flow(A, 2)), talk.paused), ([("tunnel", A, b"more")], False))
        self.assertEqual((kinds(talk.receive(b"x")), talk.paused), (["tunnel"], True))

    def test_cancel_while_paused(self) -> None:
        """Nobody waits for a cancelled stream to want more."""
        talk = Conversation()
        talk.ask(A, flow=1)
        talk.ask(B)
        talk.receive(CHUNKED, b"1\r\na\r\n", b"1\r\na\r\n0\r\n\r\n" + OK)
        self.assertTrue(talk.paused)
        self.assertEqual((kinds(talk.cancel(A)), talk.paused), (["accepting", "response", "data"], False))

    def test_end_of_the_connection_while_paused(self) -> None:
        """The rest of the last response, told when it is wanted, ends the connection like any other."""
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 17\r\n\r\n"
        for last in ("update", "cancel", "violation"):
            talk = Conversation()
            talk.ask(A, flow=1)
            talk.receive(CHUNKED if last == "violation" else head, b"1\r\nx\r\n", b"zzzzzzzzz\r\n")
            self.assertTrue(talk.paused)
            steps = told(talk.cancel(A) if last == "cancel" else talk.update_flow(A, 1))
            self.assertEqual(steps[-1][0], "close")
            self.assertTrue(talk.over)

    def test_lost_while_paused(self) -> None:
        """What had arrived before the connection ended is not lost, though there was no flow for it."""
        for head, rest in (
            (UNTIL_CLOSE, b"and the rest"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n", b"and the rest"),
            (CHUNKED, b"c\r\nand the rest\r\n0\r\n\r\n"),
        ):
            talk = Conversation()
            talk.ask(A, flow=1)
            talk.receive(head, b"5\r\nfirst\r\n" if head is CHUNKED else b"first")
            self.assertTrue(talk.paused)
            talk.receive(rest)
            talk.lose()
            self.assertEqual(talk.outline[1:], [("data", A, b"firstand the rest", True)], head)

    def test_end_lost_while_paused(self) -> None:
        """Where what had arrived ends the connection, in good order or not, that is its end."""
        close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n"
        for pieces, last in (
            ((close + b"abc", b"def"), ("data", A, b"abcdef", True)),
            ((CHUNKED + b"3\r\nabc\r\n", b"zz\r\n"), ("failed", A, "ProtocolViolation")),
        ):
            talk = Conversation()
            talk.ask(A, flow=1)
            talk.receive(*pieces)
            self.assertTrue(talk.paused)
            talk.lose()
            self.assertEqual([entry for entry in talk.outline if entry[0] != "close"][-1], last)

    def test_nothing_is_asked_of_a_lost_socket(self) -> None:
        """A connection that is lost is neither written to nor paused nor resumed."""
        for rest in (b"lo", b"l", b"lo" + OK, b"lo\r\n\r\n"):
            talk = Conversation()
            talk.ask(A, flow=1)
            talk.ask(B, flow=1)
            talk.receive(OK[:-2], rest)
            asked = [step for step in talk.lose() if isinstance(step, (Accepting, Pause, Resume, Write))]
            self.assertEqual(asked, [])

    def test_tunnel_lost_while_paused(self) -> None:
        """The same for a tunnel."""
        talk = Conversation()
        talk.ask(A, headers=UPGRADE, flow=1)
        talk.receive(SWITCHED, b"first", b"second")
        talk.lose()
        self.assertEqual(talk.outline[1:], [("tunnel", A, b"firstsecond"), ("tunnel closed", A)])

    def test_no_silent_truncation(self) -> None:
        """If what had arrived is lost all the same, the response is at least not said to be whole."""
        talk = Conversation()
        talk.ask(A, flow=1)
        talk.receive(UNTIL_CLOSE, b"first", b"second")
        talk.lose()
        _, (kind, _, content, *_) = talk.outline[:2]
        self.assertEqual(kind, "data")
        self.assertTrue(content == b"firstsecond" or talk.outline[-1][0] == "failed", talk.outline)


class HoldTests(SynchronousTestCase):
    """Holding the peer back as long as a stream has more than it can use."""

    def test_first(self) -> None:
        """The socket is paused at once, and resumed with what has come in between."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK[:-5])
        self.assertEqual((told(talk.hold(A)), talk.paused), ([], True))
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.receive(b"hel", b"lo"), [])
        self.assertEqual((told(talk.hold(A, False)), talk.paused), ([("data", A, b"hello", True)], False))
        self.assertEqual(talk.hold(A, False), [])

    def test_not_the_first(self) -> None:
        """A stream whose turn has not come holds nobody back until it has."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        self.assertEqual(talk.hold(B), [])
        self.assertEqual((kinds(talk.receive(OK + OK)), talk.paused), (["response", "data"], True))
        self.assertEqual((kinds(talk.hold(B, False)), talk.paused), (["response", "data"], False))

    def test_waiting(self) -> None:
        """A request that was not written yet can be held."""
        talk = Conversation()
        talk.ask(A, b"POST", body=None)
        talk.ask(B)
        self.assertEqual(talk.hold(B), [])
        talk.send(A, b"", fin=True)
        self.assertEqual((kinds(talk.receive(OK + OK)), talk.paused), (["response", "data"], True))

    def test_with_flow(self) -> None:
        """Held and without flow: both must pass before reading goes on."""
        talk = Conversation()
        talk.ask(A, flow=1)
        talk.receive(CHUNKED, b"1\r\na\r\n")
        self.assertEqual(talk.hold(A), [])
        self.assertEqual(talk.update_flow(A, 1), [])
        self.assertTrue(talk.paused)
        talk.hold(A, False)
        self.assertFalse(talk.paused)

    def test_cancelled(self) -> None:
        """Cancelling lets go."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK[:-5])
        talk.hold(A)
        self.assertEqual((told(talk.cancel(A)), talk.paused), ([], False))
        self.assertEqual(told(talk.receive(b"hello")), [("accepting",)])

    def test_unknown(self) -> None:
        """A stream that has ended holds nobody."""
        talk = Conversation()
        talk.ask(A)
        talk.receive(OK)
        self.assertEqual(talk.hold(A), [])
        talk.ask(B)
        self.assertEqual((kinds(talk.receive(OK)), talk.paused), (["response", "data"], False))
