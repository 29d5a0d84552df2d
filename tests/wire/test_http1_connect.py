"""
CONNECT over HTTP/1.1: what is asked for and when, the answers that refuse it, and the connection that is a tunnel from then on.

How it ends before its time, and what bounds it, is in test_http1_connect_ends.py.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import BadState, StreamRefused
from twisted_gun.events import Response
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Pause,
    Resume,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    Write,
)

from .conversation import CHUNKED, OK, PROTOCOL_VIOLATION, UNTIL_CLOSE, A, B, C, Conversation, halves, outline, response, told
from .http1_connect import ASKED, BYTES, DENIED, FAULT, GRANTED, LAST_REFUSALS, OPENED, REFUSALS, opened, pending


class AskingTests(SynchronousTestCase):
    """The request."""

    def test_request(self) -> None:
        """RFC 9112 section 3.2.3: authority-form, and Host the same; no content, and nothing that says how long it is."""
        self.assertEqual(pending().steps, [Write(ASKED)])
        talk = Conversation()
        talk.ask_connect(A, target=b"[2001:db8::1]:8443", headers=((b"proxy-authorization", b"Basic eDp5"), (b"x", b"y")))
        start = b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nhost: [2001:db8::1]:8443\r\n"
        self.assertEqual(talk.written, start + b"proxy-authorization: Basic eDp5\r\nx: y\r\n\r\n")

    def test_http_1_0(self) -> None:
        """It is older than HTTP/1.1, and may be asked for in the old way."""
        talk = pending(version="HTTP/1.0")
        self.assertEqual(talk.written, ASKED.replace(b"HTTP/1.1", b"HTTP/1.0"))
        talk.receive(GRANTED.replace(b"HTTP/1.1", b"HTTP/1.0") + BYTES)
        self.assertEqual(talk.outline, [*OPENED, ("tunnel", A, BYTES)])

    def test_transform_header_name(self) -> None:
        """Each name goes through `transform_header_name`."""
        self.assertIn(b"\r\nHost: example.org:443\r\n", pending(transform_header_name=bytes.title).written)

    def test_meanwhile(self) -> None:
        """Until it is answered no requests are taken: whom those are for is not known."""
        talk = pending()
        self.assertEqual((talk.core.accepting, talk.core.switched, talk.core.full), (False, False, False))
        for piece in (b"HTTP/1.1 103 x\r\n\r\n", DENIED[:-1]):
            self.assertNotIn(("accepting",), told(talk.receive(piece)))
            self.assertEqual((talk.core.accepting, talk.core.switched), (False, False))
        self.assertFalse(talk.core.served, "nothing was answered in whole")

    def test_content(self) -> None:
        """It has no content; what is given as such goes nowhere."""
        talk = pending()
        self.assertEqual(talk.send(A, b"early"), [])
        talk.receive(GRANTED)
        self.assertEqual(talk.written, ASKED)


#: What may be under way when a tunnel is asked for.
STATES: dict[str, Callable[[Conversation], object]] = {
    "unanswered": lambda talk: talk.ask(A),
    "half answered": lambda talk: (talk.ask(A), talk.receive(OK[:-1])),
    "one of two answered": lambda talk: (talk.ask(A), talk.ask(B), talk.receive(OK)),
    "half sent": lambda talk: talk.ask(A, b"POST", body=None),
    "half sent, and one waits": lambda talk: (talk.ask(A, b"POST", body=None), talk.ask(B)),
    "cancelled": lambda talk: (talk.ask(A), talk.cancel(A)),
    "upgrade": lambda talk: talk.ask_upgrade(A),
    "tunnel": lambda talk: talk.ask_connect(A),
    "half refused tunnel": lambda talk: (talk.ask_connect(A), talk.receive(DENIED[:-1])),
    "open tunnel": lambda talk: (talk.ask_connect(A), talk.receive(GRANTED)),
}


class BusyTests(SynchronousTestCase):
    """Gun: "CONNECT can only be used with HTTP/1.1 when no other streams are active." """

    def refused(self, talk: Conversation, why: object = None) -> None:
        """It is refused at the call, and changes nothing."""
        sent, steps, accepting = talk.written, list(talk.steps), talk.core.accepting
        self.assertRaises(BadState, talk.ask_connect, C)
        self.assertEqual((talk.written, talk.steps, talk.core.accepting), (sent, steps, accepting), why)

    def test_under_way(self) -> None:
        """Whatever is not over is in its way."""
        for why, begin in STATES.items():
            talk = Conversation()
            begin(talk)
            self.refused(talk, why)

    def test_afterwards(self) -> None:
        """Once they are answered it can be asked for: those before it are not disturbed, and it goes to the proxy as the first would."""
        talk = Conversation()
        talk.ask(A)
        talk.ask(B)
        self.refused(talk)
        talk.receive(OK)
        self.refused(talk)
        talk.receive(OK)
        talk.ask_connect(C)
        self.assertTrue(talk.written.endswith(ASKED))
        talk.receive(GRANTED + BYTES)
        self.assertEqual([entry[:2] for entry in talk.outline[-3:]], [("response", C), ("tunnel opened", C), ("tunnel", C)])

    def test_of_a_cancelled_request(self) -> None:
        """Also once the response that nobody wanted is read over."""
        talk = Conversation()
        talk.ask(A)
        talk.cancel(A)
        talk.receive(OK)
        talk.ask_connect(C)
        talk.receive(GRANTED)
        self.assertEqual([entry[0] for entry in talk.outline], ["accepting", "response", "tunnel opened"])


class OpenedTests(SynchronousTestCase):
    """The proxy makes the tunnel."""

    def test_every_cut(self) -> None:
        """Wherever it is cut: what stands behind the head is the tunnel's, in order, once."""
        data = b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + GRANTED + BYTES
        expected = [("inform", A, 103, ((b"x", b"y"),)), *OPENED, ("tunnel", A, BYTES)]
        for pieces in ((data,), *halves(data), tuple(data[at : at + 1] for at in range(len(data)))):
            talk = pending()
            talk.receive(*pieces)
            self.assertEqual(talk.outline, expected)
            self.assertEqual((talk.core.switched, talk.core.accepting, talk.core.served), (True, False, False))

    def test_steps(self) -> None:
        """The steps themselves: the response, which does not end the stream, then the tunnel, then its first bytes."""
        head = Response(stream=A, fin=False, status=200, headers=(), reason=b"Connection established")
        self.assertEqual(pending().receive(GRANTED + b"glued"), [head, TunnelOpened(A), TunnelData(A, b"glued")])

    def test_any_2xx(self) -> None:
        """RFC 9110 section 9.3.6: any 2xx response does, one too that would otherwise have no content."""
        for status in (200, 201, 204, 205, 206, 226, 299):
            for minor in (0, 1, 2):
                talk = pending()
                talk.receive(b"HTTP/1.%d %d\r\n\r\n" % (minor, status), BYTES)
                self.assertEqual(talk.outline, [("response", A, status, (), False), ("tunnel opened", A), ("tunnel", A, BYTES)])

    def test_framing_is_ignored(self) -> None:
        """RFC 9110 section 9.3.6: Content-Length and Transfer-Encoding mean nothing in it, whatever they say; nor does Connection."""
        for fields in (
            ((b"content-length", b"0"),),
            ((b"content-length", b"3"),),
            ((b"content-length", b"three"),),
            ((b"content-length", b"3"), (b"content-length", b"4")),
            ((b"transfer-encoding", b"chunked"),),
            ((b"transfer-encoding", b"gzip"),),
            ((b"transfer-encoding", b"chunked"), (b"content-length", b"3")),
            ((b"connection", b"close"),),
        ):
            data = response(*fields)
            for pieces in ((data + BYTES,), (data, BYTES), (data[:-1], data[-1:] + BYTES)):
                talk = pending()
                talk.receive(*pieces)
                self.assertEqual(talk.outline, [("response", A, 200, fields, False), ("tunnel opened", A), ("tunnel", A, BYTES)])

    def test_empty_line_before(self) -> None:
        """One empty line is passed over before it, as before any response; behind it every byte counts."""
        talk = pending()
        talk.receive(b"\r", b"\n" + GRANTED + b"\r\n")
        self.assertEqual(talk.outline, [*OPENED, ("tunnel", A, b"\r\n")])

    def test_interim_responses(self) -> None:
        """They are told, and decide nothing; too many of them, or too large ones, are the limit's."""
        talk = pending(max_informational=2)
        talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
        self.assertEqual([entry[:3] for entry in talk.outline], [("inform", A, 100)] * 2)
        talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(
            talk.outline[-2:], [("failed", A, "LimitReached(max_informational, 2)"), ("close", "LimitReached(max_informational, 2)")]
        )
        talk = pending(max_informational_size=25)
        talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(talk.outline[-1], ("close", "LimitReached(max_informational_size, 25)"))

    def test_after_others(self) -> None:
        """Whatever the connection carried before, it is the tunnel's from here on."""
        talk = Conversation()
        talk.ask(B, b"POST", body=b"content")
        talk.receive(OK)
        talk.ask_connect(A)
        talk.receive(GRANTED, BYTES)
        self.assertEqual(talk.outline[2:], [*OPENED, ("tunnel", A, BYTES)])


class FaultTests(SynchronousTestCase):
    """Answers that are none."""

    def test_switching(self) -> None:
        """101 answers an upgrade, which this is not."""
        for fields in (b"", b"connection: upgrade\r\nupgrade: websocket\r\n", b"upgrade: TLS/1.0\r\nconnection: Upgrade\r\n"):
            data = b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n"
            for pieces in ((data,), *halves(data)):
                talk = pending()
                talk.receive(*pieces)
                self.assertEqual(talk.outline, FAULT)

    def test_garbage(self) -> None:
        """What is no response of HTTP/1 ends the connection, as early as that is certain."""
        for data in (
            b"\x05",
            b"\x16\x03\x01",
            b"SSH-2.0",
            b"HTTP/2",
            b"\0\0\0\4",
            b"200",
            b"HTTP/1.1 2 OK\r\n\r\n",
            GRANTED.replace(b"\r", b""),
        ):
            talk = pending()
            talk.receive(data)
            self.assertEqual((talk.outline, talk.core.losses().killed), (FAULT, (A,)))

    def test_framing_of_a_refusal(self) -> None:
        """In a refusal lengths count as in any response: what cannot be read ends the connection, and no response is told."""
        for field in ((b"content-length", b"five"), (b"transfer-encoding", b"gzip")):
            talk = pending()
            talk.receive(response(field, status=b"403 No"))
            self.assertEqual(talk.outline, FAULT)

    def test_broken_refusal(self) -> None:
        """Or it ends in the midst of the refusal's content."""
        talk = pending()
        talk.receive(CHUNKED.replace(b"200", b"403") + b"2\r\nso\r\nx\r\n")
        self.assertEqual([entry[0] for entry in talk.outline], ["tunnel refused", "response", "data", "failed", "close"])


class RefusedTests(SynchronousTestCase):
    """The proxy makes none: an ordinary response, and the connection goes on where that lets it."""

    def test_every_cut(self) -> None:
        """Each refusal is told, with its content, wherever it is cut; then new requests are taken."""
        for data, expected in REFUSALS.items():
            for pieces in ((data,), *halves(data), tuple(data[at : at + 1] for at in range(len(data)))):
                talk = pending()
                talk.receive(*pieces)
                self.assertEqual(talk.outline, [*expected, ("accepting",)])
                self.assertEqual((talk.core.accepting, talk.core.switched, talk.core.served), (True, False, True))

    def test_steps(self) -> None:
        """The steps themselves: that it is a refusal comes first, and that others may be asked for comes last."""
        head = Response(stream=A, fin=True, status=404, headers=((b"content-length", b"0"),), reason=b"x")
        steps = pending().receive(response((b"content-length", b"0"), status=b"404 x"))
        self.assertEqual(steps, [TunnelRefused(A, 404, head.headers), head, Accepting()])

    def test_every_status(self) -> None:
        """All that is not 2xx is one."""
        for status in (300, 399, 400, 401, 407, 499, 500, 503, 599, 600, 999):
            talk = pending()
            talk.receive(response((b"content-length", b"0"), status=b"%d x" % status))
            self.assertEqual(talk.outline[0], ("tunnel refused", A, status))

    def test_again(self) -> None:
        """Behind each of them a request is answered, or a tunnel is made after all."""
        for data in REFUSALS:
            talk = pending()
            talk.receive(data)
            talk.ask(B)
            talk.receive(OK)
            self.assertEqual([entry[:2] for entry in talk.outline[-2:]], [("response", B), ("data", B)])
            talk.ask_connect(C, headers=((b"proxy-authorization", b"Basic eDp5"),))
            self.assertTrue(talk.written.endswith(ASKED[:-2] + b"proxy-authorization: Basic eDp5\r\n\r\n"))
            talk.receive(GRANTED + BYTES)
            self.assertEqual([entry[:2] for entry in talk.outline[-3:]], [("response", C), ("tunnel opened", C), ("tunnel", C)])

    def test_last(self) -> None:
        """Where it is the connection's last response no more are taken, and nothing says that they are."""
        for data, expected in LAST_REFUSALS.items():
            for pieces in ((data,), *halves(data)):
                talk = pending()
                talk.receive(*pieces)
                self.assertEqual([entry[0] for entry in talk.outline[:2]], ["tunnel refused", "response"])
                self.assertEqual(talk.outline[2:], expected)
                self.assertFalse(talk.core.accepting)

    def test_until_close(self) -> None:
        """Content that ends with the connection, in good order or cut off."""
        for clean, end in ((True, ("data", A, b"sorry", True)), (False, ("failed", A, "Truncated(5, None)"))):
            talk = pending()
            talk.receive(UNTIL_CLOSE.replace(b"200", b"403") + b"sorry")
            talk.lose(clean=clean)
            self.assertEqual(talk.outline[-1], end)
            self.assertEqual(talk.core.losses().killed, () if clean else (A,))

    def test_unsolicited(self) -> None:
        """Bytes behind it answer nothing, and so end the connection: they are not a tunnel's either."""
        talk = pending()
        talk.receive(DENIED + GRANTED)
        self.assertEqual(talk.outline[-1], ("close", PROTOCOL_VIOLATION))
        self.assertEqual([entry[0] for entry in talk.outline], ["tunnel refused", "response", "data", "accepting", "close"])

    def test_flow(self) -> None:
        """Its content is told as far as `flow` allows, and who cannot take more is not told more."""
        talk = Conversation(flow=5)
        talk.ask_connect(A, flow=1)
        talk.receive(response((b"content-length", b"6"), status=b"403 No"), b"one")
        self.assertEqual(talk.receive(b"two"), [])
        self.assertTrue(talk.paused)
        talk.update_flow(A, 1)
        self.assertEqual(told(talk.steps)[-2:], [("data", A, b"onetwo", True), ("accepting",)])
        talk = pending()
        talk.hold(A)
        self.assertEqual(talk.receive(DENIED), [])
        self.assertEqual(told(talk.hold(A, False)), [*REFUSALS[DENIED], ("accepting",)])


class WaitingTests(SynchronousTestCase):
    """Requests that are given to the core nonetheless: they wait until it is known whom they are for."""

    def test_refused(self) -> None:
        """Behind a refusal they are sent, in their order; where the last of them is sent whole, more are taken."""
        talk = pending()
        self.assertEqual(talk.ask(B, target=b"/b"), [])
        self.assertEqual(outline(talk.ask(C, b"POST", target=b"/c", body=None)), [("pause upload", C)])
        talk.send(C, b"hel")
        talk.receive(DENIED[:-1])
        self.assertEqual(talk.written, ASKED)
        self.assertEqual([entry[0] for entry in told(talk.receive(DENIED[-1:]))], ["data", "resume upload", "accepting"])
        talk.send(C, b"lo", True)
        self.assertIn(b"GET /b HTTP/1.1\r\n", talk.written)
        self.assertTrue(talk.written.endswith(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"))
        talk.receive(OK + OK)
        self.assertEqual([entry[:2] for entry in talk.outline[-4:]], [("response", B), ("data", B), ("response", C), ("data", C)])

    def test_opened(self) -> None:
        """In a tunnel they have no place: they were certainly not processed, and can be made through it."""
        talk = pending()
        talk.ask(B)
        talk.ask_upgrade(C)
        steps = talk.receive(GRANTED + b"hi")
        self.assertEqual(
            [entry[:2] for entry in outline(steps)], [("failed", B), ("failed", C), *(entry[:2] for entry in OPENED), ("tunnel", A)]
        )
        self.assertEqual([type(step.reason) for step in steps if isinstance(step, StreamFailed)], [StreamRefused] * 2)
        self.assertEqual((talk.written, talk.core.losses().unprocessed), (ASKED, (B, C)))

    def test_last_request(self) -> None:
        """Behind one of them that ends the connection no more are taken."""
        talk = pending()
        talk.ask(B, headers=((b"connection", b"close"),))
        talk.receive(DENIED)
        self.assertEqual(([entry[0] for entry in talk.outline], talk.core.accepting), (["tunnel refused", "response", "data"], False))
        talk.receive(OK)
        self.assertEqual([entry[0] for entry in talk.outline[-3:]], ["response", "data", "close"])

    def test_last_refusal(self) -> None:
        """Where the refusal is the last response, likewise."""
        talk = pending()
        talk.ask(B)
        talk.receive(response((b"connection", b"close"), (b"content-length", b"0"), status=b"403 No"))
        self.assertEqual([entry[0] for entry in talk.outline], ["failed", "tunnel refused", "response", "close"])
        self.assertEqual(talk.core.losses().unprocessed, (B,))

    def test_lost(self) -> None:
        """Where the connection is lost, likewise; the CONNECT itself may have been processed."""
        talk = pending()
        talk.ask(B)
        self.assertEqual(outline(talk.lose()), [("failed", A, "StreamClosed"), ("failed", B, "StreamRefused")])
        self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((A,), (B,)))

    def test_cancelled(self) -> None:
        """One that is cancelled meanwhile is never sent."""
        talk = pending()
        talk.ask(B, target=b"/never")
        talk.cancel(B)
        talk.receive(DENIED)
        self.assertEqual(talk.written, ASKED)


class TunnelTests(SynchronousTestCase):
    """The connection is the tunnel."""

    def test_both_ways(self) -> None:
        """Bytes come and go as they are, whatever they look like."""
        talk = opened()
        self.assertEqual(talk.send(A, BYTES), [Write(BYTES)])
        self.assertEqual(talk.send(A, b""), [])
        self.assertEqual(talk.receive(BYTES, OK), [TunnelData(A, BYTES), TunnelData(A, OK)])
        self.assertEqual(talk.receive(b""), [])

    def test_no_flow(self) -> None:
        """`flow` was for a refusal's content; how much the tunnel may carry is for what it carries to say."""
        for options, flow in (({"flow": 1}, None), ({}, 1)):
            talk = Conversation(**options)
            talk.ask_connect(A, flow=flow)
            talk.receive(GRANTED + b"0", b"1", b"2")
            self.assertEqual((talk.outline[-1], talk.paused), (("tunnel", A, b"012"), False))
            self.assertEqual(talk.update_flow(A, 1), [])

    def test_held(self) -> None:
        """Who cannot take more stops the reading; what came meanwhile is told after it, and before the end."""
        talk = opened()
        self.assertEqual(talk.hold(A), [Pause()])
        self.assertEqual(talk.receive(b"one ", b"two"), [])
        self.assertEqual(talk.hold(A, False), [TunnelData(A, b"one two"), Resume()])
        talk.hold(A)
        talk.receive(b"three")
        self.assertEqual(talk.lose(), [TunnelData(A, b"three"), TunnelClosed(A)])

    def test_held_before(self) -> None:
        """Who was held before the answer is told it later, and is not held any longer by that in the tunnel."""
        talk = pending()
        talk.hold(A)
        self.assertEqual(talk.receive(GRANTED + b"hi"), [])
        talk.hold(A, False)
        self.assertEqual(told(talk.steps)[:3], [*OPENED, ("tunnel", A, b"hi")])
        self.assertFalse(talk.paused)

    def test_transport_held(self) -> None:
        """A transport that takes nothing changes nothing here: those who give the bytes are paused by it."""
        talk = opened()
        self.assertEqual((talk.hold_sending(), talk.send(A, b"x"), talk.hold_sending(False)), ([], [Write(b"x")], []))

    def test_we_end(self) -> None:
        """There is no half of a connection: our end is the end of it, in good order."""
        for data in (b"", b"last words"):
            talk = opened()
            self.assertEqual(talk.send(A, data, True), [*([Write(data)] if data else []), TunnelClosed(A), Close()])
            self.assertEqual((talk.core.losses().killed, talk.core.losses().unprocessed), ((), ()))
            self.assertEqual(talk.core.receive_data(b"late", 0.0), [])

    def test_cancelled(self) -> None:
        """Cancelled, with or without a wish to read on, the connection is closed, and nothing more is told."""
        for drain in (False, True):
            talk = opened()
            self.assertEqual(talk.cancel(A, drain=drain), [Close()])
            self.assertEqual(talk.core.receive_data(b"late", 0.0), [])

    def test_no_ping(self) -> None:
        """There is no ping."""
        self.assertRaises(BadState, opened().core.ping, "key", 0.0)
