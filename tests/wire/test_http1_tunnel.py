"""Upgrades over HTTP/1.1: what is asked for, what waits meanwhile, and the connection that then carries another protocol."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import BadState, ConnectionFailed, StreamRefused, TimedOut
from twisted_gun.events import Upgrade
from twisted_gun.wire.steps import Close, Pause, Resume, StreamFailed, TunnelClosed, TunnelData, Write

from .conversation import CHUNKED, OK, PROTOCOL_VIOLATION, A, B, C, Conversation, halves, outline, response

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
FIELDS = ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))
UPGRADED = ("upgrade", A, (b"websocket",), FIELDS)
ASKED = b"GET /chat HTTP/1.1\r\nhost: example.org\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
#: Answers that are none, with the rest of the exchange in them: the connection goes on.
REFUSALS = (
    OK,
    b"HTTP/1.1 426 Upgrade Required\r\nupgrade: other\r\ncontent-length: 0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
)


def asked(**options: Any) -> Conversation:
    """A conversation in which an upgrade of `A` was asked for."""
    talk = Conversation(**options)
    talk.ask_upgrade(A)
    return talk


def switched(**options: Any) -> Conversation:
    """One in which the server has switched; what was told and sent so far is put away."""
    talk = asked(**options)
    talk.receive(SWITCHED)
    talk.steps.clear()
    return talk


class AskingTests(SynchronousTestCase):
    """The request."""

    def test_request(self) -> None:
        """RFC 9110 section 7.8: Upgrade, and "Connection: upgrade" with it; then the caller's fields."""
        self.assertEqual(asked().steps, [Write(ASKED)])
        talk = Conversation()
        talk.ask_upgrade(A, headers=((b"sec-websocket-version", b"13"), (b"x", b"y")))
        self.assertEqual(talk.written, ASKED[:-2] + b"sec-websocket-version: 13\r\nx: y\r\n\r\n")

    def test_transform_header_name(self) -> None:
        """Each name goes through `transform_header_name`."""
        self.assertIn(b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", asked(transform_header_name=bytes.title).written)

    def test_again(self) -> None:
        """An upgrade asked for again, after a refusal, is written the same."""
        talk = asked()
        talk.receive(OK)
        talk.ask_upgrade(B)
        self.assertEqual(talk.written, ASKED * 2)
        talk.receive(SWITCHED)
        self.assertEqual(talk.outline[-1][:2], ("upgrade", B))

    def test_http_1_0(self) -> None:
        """HTTP/1.0 has no upgrades: that is the stream's failure, nothing is sent, and others are."""
        talk = Conversation(version="HTTP/1.0")
        (step,) = talk.ask_upgrade(A)
        assert isinstance(step, StreamFailed)
        self.assertIsInstance(step.reason, BadState)
        self.assertEqual(talk.written, b"")
        talk.ask(B)
        talk.receive(OK)
        self.assertEqual([entry[:2] for entry in talk.outline], [("failed", A), ("response", B), ("data", B), ("close", None)])
        self.assertEqual(talk.core.losses().unprocessed, (A,))


class SwitchTests(SynchronousTestCase):
    """The server switches."""

    def test_every_cut(self) -> None:
        """Wherever it is cut: the bytes behind the 101 are the tunnel's, in order, once."""
        data = b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + SWITCHED + b"\x81\x02hi\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
        expected = [("inform", A, 103, ((b"x", b"y"),)), UPGRADED, ("tunnel", A, data[data.index(b"\x81") :])]
        for pieces in ((data,), *halves(data), tuple(data[at : at + 1] for at in range(len(data)))):
            talk = asked()
            talk.receive(*pieces)
            self.assertEqual(talk.outline, expected)
            self.assertTrue(talk.core.switched)

    def test_events(self) -> None:
        """The steps themselves."""
        talk = asked()
        self.assertFalse(talk.core.switched)
        steps = talk.receive(SWITCHED + b"glued")
        self.assertEqual(steps, [Upgrade(stream=A, protocols=(b"websocket",), headers=FIELDS), TunnelData(A, b"glued")])
        self.assertFalse(talk.core.accepting)

    def test_another_protocol(self) -> None:
        """RFC 9110 section 7.8: a server must not switch to what was not asked for; nor without both fields."""
        for fields in (
            b"upgrade: other\r\nconnection: upgrade\r\n",
            b"upgrade: websocket, other\r\nconnection: upgrade\r\n",
            b"upgrade: websocket\r\n",
            b"upgrade: websocket\r\nconnection: keep-alive\r\n",
            b"connection: upgrade\r\n",
            b"",
        ):
            talk = asked()
            talk.receive(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n")
            self.assertEqual(talk.outline, [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_spelling(self) -> None:
        """The protocol's name is compared without case, and told as we spelt it."""
        talk = asked()
        talk.receive(SWITCHED.replace(b": websocket", b": WebSocket"))
        self.assertEqual(talk.outline[0][2], (b"websocket",))

    def test_not_asked_for(self) -> None:
        """A 101 to a request behind the refused upgrade is none that was asked for."""
        talk = asked()
        talk.receive(OK)
        talk.ask(B)
        talk.receive(SWITCHED)
        self.assertEqual(talk.outline[-2:], [("failed", B, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)])

    def test_behind_another(self) -> None:
        """An upgrade may be asked for while others are not answered yet; its turn comes."""
        talk = Conversation()
        talk.ask(B)
        talk.ask_upgrade(A)
        talk.receive(OK + SWITCHED + b"hi")
        self.assertEqual([entry[0] for entry in talk.outline], ["response", "data", "upgrade", "tunnel"])

    def test_behind_an_upload(self) -> None:
        """While another's content is being sent it waits, and those behind it with it."""
        talk = Conversation()
        talk.ask(B, b"POST", body=None)
        before = len(talk.written)
        talk.ask_upgrade(A)
        talk.ask(C)
        self.assertEqual(len(talk.written), before)
        talk.send(B, b"", True)
        self.assertTrue(talk.written.endswith(ASKED))
        talk.receive(OK + SWITCHED)
        self.assertEqual([entry[0] for entry in talk.outline], ["response", "data", "failed", "upgrade"])


class WaitingTests(SynchronousTestCase):
    """Requests behind an upgrade that is not answered yet: whether they can be sent is not known."""

    def test_refused_upgrade(self) -> None:
        """They are sent once the answer to it is there in whole, in their order."""
        for refusal in REFUSALS:
            talk = asked()
            talk.ask(B, target=b"/b")
            talk.ask(C, b"POST", target=b"/c", body=b"content")
            self.assertEqual(talk.written, ASKED)
            talk.receive(refusal[:-1])
            self.assertEqual(talk.written, ASKED)
            talk.receive(refusal[-1:])
            rest = talk.written[len(ASKED) :]
            self.assertTrue(rest.startswith(b"GET /b HTTP/1.1\r\n") and rest.endswith(b"\r\n\r\ncontent"), rest)
            talk.receive(OK + OK)
            self.assertEqual([entry[:2] for entry in talk.outline[-4:]], [("response", B), ("data", B), ("response", C), ("data", C)])
            self.assertTrue(talk.core.accepting)

    def test_interim_responses(self) -> None:
        """Interim responses leave it open."""
        talk = asked()
        talk.ask(B)
        talk.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
        self.assertEqual(talk.written, ASKED)

    def test_switched(self) -> None:
        """They are refused as certainly not processed where the server switches."""
        talk = asked()
        talk.ask(B)
        talk.ask(C, b"POST", body=None)
        steps = talk.receive(SWITCHED)
        self.assertEqual([entry[:2] for entry in outline(steps)], [("failed", B), ("failed", C), UPGRADED[:2]])
        self.assertEqual([type(step.reason) for step in steps if isinstance(step, StreamFailed)], [StreamRefused] * 2)
        self.assertEqual(talk.core.losses().unprocessed, (B, C))
        self.assertEqual(talk.send(C, b"content", True), [])

    def test_upload(self) -> None:
        """An upload waits too; what is given of it meanwhile is sent in its place."""
        talk = asked()
        self.assertEqual(outline(talk.ask(B, b"POST", body=None)), [("pause upload", B)])
        talk.ask(C)
        self.assertEqual(talk.send(B, b"hel"), [])
        steps = talk.receive(OK)
        self.assertIn(("resume upload", B), outline(steps))
        talk.send(B, b"lo", True)
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (b"hel", b"lo")) + b"0\r\n\r\n"
        self.assertIn(content + b"GET / HTTP/1.1\r\n", talk.written)

    def test_another_upgrade(self) -> None:
        """Two upgrades are tried one after the other."""
        talk = asked()
        talk.ask_upgrade(B)
        talk.ask(C)
        self.assertEqual(talk.written, ASKED)
        talk.receive(OK)
        self.assertEqual(talk.written, ASKED * 2)
        talk.receive(SWITCHED)
        self.assertEqual([entry[:2] for entry in talk.outline[-2:]], [("failed", C), ("upgrade", B)])

    def test_server_closes(self) -> None:
        """Where the refusal is the last response they are refused with it."""
        talk = asked()
        talk.ask(B)
        talk.receive(response((b"connection", b"close"), (b"content-length", b"0"), status=b"503 No"))
        self.assertEqual([entry[0] for entry in talk.outline], ["failed", "response", "close"])
        self.assertEqual((talk.written, talk.core.losses().unprocessed), (ASKED, (B,)))

    def test_lost(self) -> None:
        """Where the connection is lost they were not processed; the upgrade may have been."""
        talk = asked()
        talk.ask(B)
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed"), ("failed", B, "StreamRefused")])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((A,), (B,)))

    def test_cancelled(self) -> None:
        """One of them that is cancelled is never sent."""
        talk = asked()
        talk.ask(B, target=b"/never")
        talk.ask(C, target=b"/c")
        talk.cancel(B)
        talk.receive(OK)
        self.assertNotIn(b"/never", talk.written)
        self.assertIn(b"/c", talk.written)


class TunnelTests(SynchronousTestCase):
    """The connection is the other protocol's."""

    def test_both_ways(self) -> None:
        """Bytes come and go as they are."""
        talk = switched()
        self.assertEqual(talk.send(A, b"\x81\x80abcd"), [Write(b"\x81\x80abcd")])
        self.assertEqual(talk.send(A, b""), [])
        self.assertEqual(
            talk.receive(b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"), [TunnelData(A, b"\r\n"), TunnelData(A, b"HTTP/1.1 200 OK\r\n\r\n")]
        )

    def test_we_end(self) -> None:
        """There is no half of a connection: our end is the end of it, in good order."""
        for data in (b"", b"last words"):
            talk = switched()
            steps = talk.send(A, data, True)
            self.assertEqual(steps, [*([Write(data)] if data else []), TunnelClosed(A), Close()])
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))

    def test_they_end(self) -> None:
        """The peer's end is the tunnel's."""
        talk = switched()
        talk.receive(b"last words")
        self.assertEqual(talk.lose(), [TunnelClosed(A)])
        self.assertEqual(talk.core.losses().killed, ())

    def test_cut_off(self) -> None:
        """An end that was not said is a failure, by the very reason: what that means is for what the tunnel carries to say."""
        talk = switched()
        reason = ConnectionFailed("reset")
        (step,) = talk.lose(clean=False, reason=reason)
        assert isinstance(step, StreamFailed)
        self.assertIs(step.reason, reason)
        self.assertEqual(talk.core.losses().killed, (A,))

    def test_sending_held(self) -> None:
        """A transport that takes nothing changes nothing here: those who give the bytes are paused by it."""
        talk = switched()
        self.assertEqual(talk.hold_sending(), [])
        self.assertEqual(talk.send(A, b"all the same"), [Write(b"all the same")])
        self.assertEqual(talk.hold_sending(False), [])

    def test_no_ping(self) -> None:
        """HTTP/1.1 has no ping, in a tunnel neither: what it carries may have one."""
        self.assertRaises(BadState, switched().core.ping, "key", 0.0)

    def test_held(self) -> None:
        """Who cannot take more stops the reading; what came meanwhile is told after it."""
        talk = switched()
        self.assertEqual(talk.hold(A), [Pause()])
        self.assertEqual(talk.receive(b"one ", b"two"), [])
        self.assertEqual(talk.hold(A, False), [TunnelData(A, b"one two"), Resume()])

    def test_held_and_lost(self) -> None:
        """What had come is told before the end."""
        talk = switched()
        talk.hold(A)
        talk.receive(b"bytes")
        self.assertEqual(talk.lose(), [TunnelData(A, b"bytes"), TunnelClosed(A)])

    def test_flow_is_not_its(self) -> None:
        """`flow` was the response's: how much the tunnel may carry is for what it carries to say."""
        for talk in (asked(flow=1), Conversation()):
            if not talk.steps:
                talk.ask_upgrade(A, flow=1)
            talk.receive(SWITCHED, b"one", b"two", b"three")
            self.assertEqual(talk.outline[-1], ("tunnel", A, b"onetwothree"))
            self.assertEqual(talk.update_flow(A, 1), [])
            self.assertFalse(talk.paused)

    def test_held_before(self) -> None:
        """Who was held while it was asked for is not held by that in the tunnel."""
        talk = asked()
        talk.hold(A)
        talk.receive(SWITCHED + b"hi")
        self.assertEqual(talk.outline, [])
        talk.hold(A, False)
        self.assertEqual(talk.outline, [UPGRADED, ("tunnel", A, b"hi")])

    def test_cancelled(self) -> None:
        """Cancelled, the connection is closed."""
        talk = switched()
        self.assertEqual(talk.cancel(A), [Close()])

    def test_cancelled_before(self) -> None:
        """Cancelled before the answer: a switch that nobody wants any more closes it, a refusal is read over."""
        for pieces in ((SWITCHED,), (SWITCHED + b"bytes",), (SWITCHED[:20], SWITCHED[20:])):
            talk = asked()
            talk.cancel(A)
            talk.receive(*pieces)
            self.assertEqual(talk.outline, [("close", None)])
        talk = asked()
        talk.ask(B)
        talk.cancel(A)
        talk.receive(OK)
        self.assertEqual(talk.outline, [("accepting",)])
        talk.receive(OK)
        self.assertEqual([entry[:2] for entry in talk.outline[1:]], [("response", B), ("data", B)])


class ShutdownTests(SynchronousTestCase):
    """Shutting down."""

    def test_tunnel(self) -> None:
        """What the tunnel carries has a closing handshake of its own: it is waited for."""
        talk = switched()
        self.assertEqual(talk.shutdown(), [])
        self.assertIsNone(talk.core.deadline())
        talk.send(A, b"bye")
        talk.receive(b"bye")
        self.assertEqual(talk.send(A, b"", True), [TunnelClosed(A), Close()])

    def test_not_answered_yet(self) -> None:
        """An upgrade under way is waited for like any request, those behind it are not sent any more."""
        talk = asked(closing_timeout=2.0)
        talk.ask(B)
        self.assertEqual(outline(talk.shutdown()), [("failed", B, "ShuttingDown")])
        talk.receive(OK)
        self.assertEqual([entry[0] for entry in talk.outline], ["failed", "response", "data", "close"])
        self.assertEqual(talk.written, ASKED)

    def test_switches_after_all(self) -> None:
        """A switch that comes then is told; there is no more time for it than for any other end."""
        talk = asked(closing_timeout=2.0)
        talk.shutdown()
        talk.receive(SWITCHED + b"hi")
        self.assertEqual(talk.outline, [UPGRADED, ("tunnel", A, b"hi")])
        self.assertEqual(outline(talk.at(2.0)), [("failed", A, "TimedOut(closing, 2.0)"), ("close", "TimedOut(closing, 2.0)")])


class TimeTests(SynchronousTestCase):
    """Time."""

    def test_response_timeout(self) -> None:
        """An upgrade is waited for no longer than any other response."""
        talk = asked(response_timeout=3.0)
        self.assertEqual(outline(talk.at(3.0)), [("failed", A, "TimedOut(response, 3.0)"), ("close", "TimedOut(response, 3.0)")])

    def test_header_timeout(self) -> None:
        """Nor is the whole of the 101 head."""
        talk = asked(header_timeout=3.0)
        talk.receive(SWITCHED[:-1])
        (failed, _) = talk.at(3.0)
        assert isinstance(failed, StreamFailed) and isinstance(failed.reason, TimedOut)
        self.assertEqual(failed.reason.stage, "headers")

    def test_none_in_the_tunnel(self) -> None:
        """In the tunnel none of HTTP's times runs: no keepalive is put between its bytes, and it may be silent."""
        talk = asked(response_timeout=3.0, idle_timeout=3.0, keepalive=1.0, header_timeout=3.0)
        talk.receive(SWITCHED[:10])
        talk.receive(SWITCHED[10:])
        talk.steps.clear()
        for data in (b"", b"x"):
            talk.receive(data)
            talk.send(A, data)
            self.assertIsNone(talk.core.deadline())

    def test_cancel_timeout(self) -> None:
        """A cancelled upgrade that is not answered ends the connection, as any other request does."""
        talk = asked(cancel_timeout=3.0)
        talk.cancel(A)
        self.assertEqual(talk.at(3.0), [Close()])
