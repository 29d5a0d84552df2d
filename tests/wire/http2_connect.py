"""What the tests of CONNECT over HTTP/2 share: conversations, with either core, that have come so far."""

from __future__ import annotations

from typing import Any

from .conversation import A, B
from .http2_conversation import Http2Case, Http2Conversation

__all__ = ["FIELDS", "OPENED", "ConnectCase"]

#: The fields of the request, if nothing else is said; RFC 9113 section 8.5.
FIELDS = ((b":method", b"CONNECT"), (b":authority", b"example.org:443"))
#: What is told of 200.
OPENED = [("response", A, 200, (), False), ("tunnel opened", A)]


class ConnectCase(Http2Case):
    """Tests with a tunnel."""

    def pending(self, **options: Any) -> Http2Conversation:
        """A conversation in which `A` has asked for a tunnel, on stream 1; what was sent is put away."""
        talk = self.talk(**options)
        talk.ask_connect(A)
        talk.newly_sent()
        return talk

    def opened(self, **options: Any) -> Http2Conversation:
        """One in which it has come; what was told is put away too."""
        talk = self.pending(**options)
        talk.receive(talk.peer.respond(1))
        talk.steps.clear()
        return talk

    def assert_alive(self, talk: Http2Conversation, stream_id: int = 3) -> None:
        """The connection is: another request, on `stream_id`, is answered."""
        self.assertFalse(talk.over)
        talk.ask(B)
        talk.receive(talk.peer.respond(stream_id, fin=True))
        self.assertEqual(talk.outline[-1], ("response", B, 200, (), True))
