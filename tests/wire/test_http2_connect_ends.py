"""CONNECT over HTTP/2, by both cores: its windows, its ends before their time, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable

from twisted_gun.events import Headers

from . import http2_carrying
from .conversation import A, outline
from .http2_connect import ConnectCase
from .http2_conversation import Http2Conversation


class SendingTests(http2_carrying.SendingTests, ConnectCase):
    """The windows of what is sent."""


class ReceivingTests(http2_carrying.ReceivingTests, ConnectCase):
    """The windows of what is received."""


class ResetTests(http2_carrying.ResetTests, ConnectCase):
    """RST_STREAM, from either side."""

    def states(self) -> tuple[Callable[[], Http2Conversation], ...]:
        return (*super().states(), self.refused_in_part)

    def refused_in_part(self) -> Http2Conversation:
        """A refusal has begun."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 403), talk.peer.data(1, b"so"))
        return talk


class EndTests(http2_carrying.EndTests, ConnectCase):
    """The end of the connection."""

    def test_lost_in_a_refusal(self) -> None:
        """That is a response."""
        talk = self.pending()
        talk.receive(talk.peer.respond(1, 403, ((b"content-length", b"5"),)), talk.peer.data(1, b"so"))
        self.assertEqual(outline(talk.lose()), [("failed", A, "Truncated(2, 5)")])

    def test_refused_while_leaving(self) -> None:
        """A refusal is just told."""
        for goaway in (True, False):
            talk = self.pending()
            talk.receive(talk.peer.goaway(1)) if goaway else talk.shutdown()
            talk.receive(talk.peer.respond(1, 403, fin=True))
            self.assertEqual([entry[0] for entry in talk.outline], ["tunnel refused", "response", "close"])


class LimitTests(ConnectCase):
    """The limits on a head hold for both answers: one below, at, and one above."""

    def heads(self, limit: str, value: int, make: Callable[[bytes, int], Headers]) -> None:
        """`make(status, size)` is taken up to a size of `value`; beyond it the stream fails, and others live on."""
        for status in (b"200", b"403"):
            for size in (value - 1, value, value + 1):
                talk = self.pending(**{limit: value})
                talk.receive(talk.peer.headers(1, make(status, size)))
                if size <= value:
                    self.assertEqual(talk.outline[0][0], "response" if status == b"200" else "tunnel refused")
                else:
                    self.assertEqual(talk.outline, [("failed", A, f"LimitReached({limit}, {value})")])
                    self.assertEqual(talk.newly_sent(), [("RST_STREAM", 1, "ENHANCE_YOUR_CALM")])
                self.assert_alive(talk)

    def test_size(self) -> None:
        """RFC 9113 section 6.5.2: each field counts 32 bytes beside its own."""
        self.heads("max_header_list_size", 200, lambda status, size: ((b":status", status), (b"x", b"y" * (size - 75))))

    def test_count(self) -> None:
        """Their number, that of the status among them."""
        self.heads("max_header_count", 4, lambda status, size: ((b":status", status), *[(b"x", b"y")] * (size - 1)))


class TimeTests(http2_carrying.TimeTests, ConnectCase):
    """Time."""

    def test_idle_timeout(self) -> None:
        """Nor is the next piece of a refusal's content."""
        talk = self.pending(idle_timeout=3.0)
        talk.receive(talk.peer.respond(1, 403))
        self.assertEqual(outline(talk.at(3.0))[0], ("failed", A, "TimedOut(idle, 3.0)"))
