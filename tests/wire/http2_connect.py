"""What the tests of CONNECT over HTTP/2 share: conversations, with either core, that have come so far."""

from __future__ import annotations

from typing import Any

from .conversation import A, Outline
from .http2_carrying import CarryingCase
from .http2_conversation import Http2Conversation

__all__ = ["FIELDS", "OPENED", "ConnectCase"]

#: The fields of the request, if nothing else is said; RFC 9113 section 8.5.
FIELDS = ((b":method", b"CONNECT"), (b":authority", b"example.org:443"))
#: What is told of 200.
OPENED: Outline = [("response", A, 200, (), False), ("tunnel opened", A)]


class ConnectCase(CarryingCase):
    """Tests with a tunnel by CONNECT."""

    answer = OPENED

    def ask_tunnel(self, talk: Http2Conversation, **more: Any) -> None:
        talk.ask_connect(A, **more)
