"""
The response messages of llhttp's own tests, and what five clients make of them.

The vectors lie beside the checkout, in ``../shared/vectors``; without them these tests are skipped. A message is a hard case where
curl, httpx, aiohttp, Node and Go all agree: then so must we. Elsewhere any orderly response will do, or an orderly error.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha1
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.wire.conversation import A, Conversation, halves

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
MESSAGES = VECTORS / "h1_llhttp.json"
VOTES = VECTORS / "h1_llhttp_gold.json"


def outcome(pieces: tuple[bytes, ...]) -> str:
    """What becomes of a GET answered with these, in the words of the votes: status, size and hash of the content, or ``error``."""
    talk = Conversation()
    talk.ask(A)
    talk.receive(*pieces)
    if not talk.over:
        talk.lose()
    status, content = None, b""
    for kind, *rest in talk.outline:
        if kind == "failed":
            return "error"
        if kind == "response":
            status = rest[1]
        if kind == "data":
            content += rest[1]
    return f"{status}/{len(content)}/{sha1(content).hexdigest()[:8]}"


class LlhttpTests(SynchronousTestCase):
    """Every message, whole, a byte at a time, and cut in two at every place."""

    def setUp(self) -> None:
        if not (MESSAGES.exists() and VOTES.exists()):
            self.skipTest(f"the vectors are not there: {VECTORS}")
        self.messages = {case["id"]: base64.b64decode(case["data"]) for case in json.loads(MESSAGES.read_text())}
        self.votes: dict[str, Any] = json.loads(VOTES.read_text())

    def outcomes(self, data: bytes) -> set[str]:
        """What becomes of `data`, in whatever pieces it comes."""
        bytewise = tuple(data[at : at + 1] for at in range(len(data)))
        cut = halves(data) if len(data) < 500 else ()
        return {outcome(pieces) for pieces in ((data,), bytewise, *cut)}

    def test_hard_cases(self) -> None:
        """Where all five agree we agree with them."""
        hard = {name: vote["outcome"] for name, vote in self.votes.items() if vote["n"] == vote["of"] == 5}
        self.assertGreater(len(hard), 40)
        for name, expected in hard.items():
            self.assertEqual(self.outcomes(self.messages[name]), {expected}, (name, self.messages[name]))

    def test_all(self) -> None:
        """Every message has one outcome, a response or an error, however it is cut; `Conversation` sees to it that it is orderly."""
        self.assertEqual(len(self.messages), 85)
        for name, data in self.messages.items():
            self.assertEqual(len(self.outcomes(data)), 1, (name, data))
