"""The demo: the story as it is told, and one that goes otherwise."""

from __future__ import annotations

import os
from io import StringIO
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import TestCase

from tests.test_progress import Terminal
from twisted_gun import demo
from twisted_gun.demo_server import Http2Answering, Origin


class DemoTests(TestCase):
    """`demo.run`. Trial itself fails a test that leaves a socket or a timer behind."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    async def test_story(self) -> None:
        """Every scene is told, in order, and it ends well."""
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 0, out.getvalue())
        story = out.getvalue()
        marks = [
            "1. A connection", "TLSv1.", "2. A request", "3. A streamed upload", "4. Hints and trailers", "inform    103", "trailers ",
            "5. A big download", "100% of 16.0 MiB", "6. The server dies", "streams killed: 2", "7. It comes back", "attempt 2",
            "listens again", "up ", "Hello from", "8. HTTP/2", "the protocol is http2", "ALPN chose h2", "50 answers", "ping ",
            "9. One slow reader", "reads no further", "51 were answered meanwhile", "MiB to send", "reads on, to the end: 16.0 MiB",
            "10. The server says goodbye", "GoAway: ", "at once: it waits", "Hello from", "down      in good order", "up ", "Hello from",
            "nothing was lost", "11. The end", "terminated", "terminated", "All went as told.",
        ]  # fmt: skip
        places: list[int] = []
        for mark in marks:
            places.append(story.find(mark, places[-1] if places else 0))
        self.assertNotIn(-1, places, [mark for mark, place in zip(marks, places, strict=True) if place < 0])
        self.assertIn("Truncated: the response was cut off", story)

    async def test_plain(self) -> None:
        """Without a terminal there is neither colour nor a line that is redrawn, and it is all ASCII."""
        out = StringIO()
        await demo.run(self.reactor, out)
        self.assertNotIn("\x1b", out.getvalue())
        self.assertNotIn("\r", out.getvalue())
        self.assertTrue(out.getvalue().isascii())

    async def test_terminal(self) -> None:
        """A terminal gets colour, unless NO_COLOR says otherwise (no-color.org), and a bar."""
        for no_color, coloured in (("", True), ("1", False)):
            self.patch(os, "environ", {**os.environ, "TERM": "xterm", "NO_COLOR": no_color})
            out = Terminal()
            self.assertEqual(await demo.run(self.reactor, out), 0)
            self.assertEqual("\x1b[1m1. A connection" in out.getvalue(), coloured)
            self.assertIn("[####", out.getvalue())

    async def test_not_as_told(self) -> None:
        """What goes otherwise ends the story with 1 and the reason."""
        self.patch(demo, "GREETING", b"another greeting")
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        last = out.getvalue().splitlines()[-1]
        self.assertTrue(last.startswith("  FAILED    the greeting: expected b'another greeting', not b"), last)
        self.assertNotIn("3. ", out.getvalue())

    async def test_not_held_back(self) -> None:
        """A server that is not held back by the slow reader ends the story."""
        self.patch(Origin, "unsent", lambda self, path: 0)
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        self.assertIn("FAILED    the server has only 0 bytes left to send: it was not held back\n", out.getvalue())

    async def test_a_request_is_lost(self) -> None:
        """A server that says goodbye and does not keep its word ends the story."""
        self.patch(Http2Answering, "goaway", lambda self, last: self.abort())
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        self.assertIn("FAILED    the end of the second: expected <class 'twisted_gun.errors.GoAway'>", out.getvalue())

    async def test_cannot_listen(self) -> None:
        """A server that cannot start is told like anything else."""

        def start(origin: Origin) -> None:
            raise OSError("no port is free")

        self.patch(Origin, "start", start)
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        self.assertIn("FAILED    OSError: no port is free\n", out.getvalue())

    async def test_cannot_listen_again(self) -> None:
        """A port that was taken while the server was dead ends the story, at once."""
        start = Origin.start

        def start_once(origin: Origin) -> None:
            if origin.port:
                raise CannotListenError("127.0.0.1", origin.port, OSError("in use"))
            start(origin)

        self.patch(Origin, "start", start_once)
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        self.assertIn("in use", out.getvalue())
        self.assertIn("FAILED    StreamClosed: ", out.getvalue())

    async def test_pipe_closed(self) -> None:
        """A reader who goes, after whichever line, ends the story without a word, and without an error in a receiver."""

        class Closing(StringIO):
            left = 0

            def write(self, text: str) -> int:
                self.left -= 1
                if self.left < 0:
                    raise BrokenPipeError
                return super().write(text)

        for lines in (0, 3, 4, 20, 34, 50, 64):
            out = Closing()
            out.left = lines
            self.assertEqual(await demo.run(self.reactor, out), 141)
            self.assertNotIn("FAILED", out.getvalue())

    async def test_cancelled(self) -> None:
        """Cancelling, as Ctrl-C does, clears everything away."""
        out = StringIO()
        telling = Deferred.fromCoroutine(demo.run(self.reactor, out))
        telling.cancel()
        await self.assertFailure(telling, CancelledError)
        self.assertNotIn("FAILED", out.getvalue())
