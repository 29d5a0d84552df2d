"""What the tests of CONNECT over HTTP/1.1 share: the request, answers to it, and conversations that have come so far."""

from __future__ import annotations

from typing import Any

from .conversation import CHUNKED, PROTOCOL_VIOLATION, UNTIL_CLOSE, A, Conversation, Outline, response

__all__ = ["ASKED", "BYTES", "DENIED", "FAULT", "GRANTED", "LAST_REFUSALS", "OPENED", "REFUSALS", "opened", "pending"]

ASKED = b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n"
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
OPENED = [("response", A, 200, (), False), ("tunnel opened", A)]
#: What a tunnel may carry: it looks like anything, and means nothing here.
BYTES = b"\r\n\x16\x03\x01HTTP/1.1 403 No\r\n\r\n0\r\n\r\n"
FAULT = [("failed", A, PROTOCOL_VIOLATION), ("close", PROTOCOL_VIOLATION)]

DENIED = response((b"content-length", b"5"), status=b"403 Forbidden", content=b"sorry")
#: Refusals after which the connection goes on, and what is told of each.
REFUSALS: dict[bytes, Outline] = {
    DENIED: [("tunnel refused", A, 403), ("response", A, 403, ((b"content-length", b"5"),), False), ("data", A, b"sorry", True)],
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n": [
        ("tunnel refused", A, 407),
        ("response", A, 407, ((b"proxy-authenticate", b"Basic"), (b"content-length", b"0")), True),
    ],
    CHUNKED.replace(b"200 OK", b"502 Bad Gateway") + b"5\r\nsorry\r\n0\r\n\r\n": [
        ("tunnel refused", A, 502),
        ("response", A, 502, ((b"transfer-encoding", b"chunked"),), False),
        ("data", A, b"sorry", True),
    ],
    CHUNKED.replace(b"200 OK", b"599 x") + b"2\r\nso\r\n0\r\nx: y\r\n\r\n": [
        ("tunnel refused", A, 599),
        ("response", A, 599, ((b"transfer-encoding", b"chunked"),), False),
        ("data", A, b"so", False),
        ("trailers", A, ((b"x", b"y"),)),
    ],
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n": [
        ("tunnel refused", A, 304),
        ("response", A, 304, ((b"content-length", b"7"),), True),
    ],
    b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n": [
        ("tunnel refused", A, 302),
        ("response", A, 302, ((b"location", b"/"), (b"content-length", b"0")), True),
    ],
    b"HTTP/1.0 500 x\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nso": [
        ("tunnel refused", A, 500),
        ("response", A, 500, ((b"connection", b"keep-alive"), (b"content-length", b"2")), False),
        ("data", A, b"so", True),
    ],
}
#: Refusals that end the connection: with them, or as their own end.
LAST_REFUSALS: dict[bytes, Outline] = {
    response((b"connection", b"close"), (b"content-length", b"2"), status=b"403 No", content=b"so"): [
        ("data", A, b"so", True),
        ("close", None),
    ],
    b"HTTP/1.0 403 No\r\ncontent-length: 2\r\n\r\nso": [("data", A, b"so", True), ("close", None)],
    UNTIL_CLOSE.replace(b"200 OK", b"503 No") + b"sorry": [("data", A, b"sorry", False)],
    b"HTTP/1.0 403 No\r\n\r\nsorry": [("data", A, b"sorry", False)],
}


def pending(**options: Any) -> Conversation:
    """A conversation in which `A` has asked for a tunnel."""
    talk = Conversation(**options)
    talk.ask_connect(A)
    return talk


def opened(**options: Any) -> Conversation:
    """One in which it has come; what was told and sent so far is put away."""
    talk = pending(**options)
    talk.receive(GRANTED)
    talk.steps.clear()
    return talk
