"""The demo: the story as it is told, and one that goes otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import StringIO
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.test_progress import Terminal
from twisted_gun import demo
from twisted_gun.demo import http, server, telling
from twisted_gun.demo.proxies import ProxyServer
from twisted_gun.demo.server import FEED, PIECE, SUBPROTOCOL, Http2Answering, Origin, serve_websocket
from twisted_gun.testing import WebsocketEnd, WebsocketPeer
from twisted_gun.testing.proxies import ProxyFactory


def accept(end: WebsocketEnd) -> None:
    """Accept a websocket, whatever was asked for."""
    if end.pending:
        end.accept()


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
            "nothing was lost", "11. A websocket", "the protocol is http", "upgrade   websocket, sec-websocket-protocol: greetings, ",
            "permessage-deflate", "ws        Text(text='Hello from the client')", "ws        Binary, 64.0 KiB", "got 64.0 KiB as",
            "they were compressed", "ping ", "12. The closing handshake", "ws        Close(code=1000, reason='') (fin)",
            "down      in good order", "refused ", "13. Websockets over HTTP/2", "upgrade   websocket", "upgrade   websocket",
            "ws        Text(text='Hello from websocket ", "ws        Text(text='Hello from websocket ", "50 requests and 2 messages",
            "ws        Close(", "ws        Close(", "the connection has stayed up", "14. A refusal", "protocol is http\n",
            "UpgradeRefused: ", "response  403", "Members only. (fin)", "protocol is http2\n", "UpgradeRefused: ", "response  403",
            "Members only. (fin)", "15. A feed that comes back", "feed?after=0", "item 1", "item 3", "is killed", "StreamClosed: ",
            "streams killed: 1", "attempt 2", "listens again", "feed?after=3", "item 4", "item 6", "6 items: none is missing",
            "16. A tunnel", "it speaks HTTP/1.1\n", "up        the protocol is http\n", "CONNECT origin.example:", "response  200\n",
            "tunnel_up through it, the protocol is http\n", "response  200", "Hello from", "KiB on to origin.example:", "terminated",
            "17. Two tunnels at once", "HTTP/2 over TLS", "the protocol is http2", "CONNECT ", "CONNECT ", "the protocol is http\n",
            "the protocol is http2\n", "has 1 connection with us", "data      0 bytes (fin)", "as good as before", "terminated",
            "18. SOCKS5", "wants username and password", "the protocol is socks", "it waits for the tunnel",
            "tunnel_up through it, the protocol is http2", "Hello from", "(socks5, socks over tcp)", "terminated",
            "19. TLS in TLS", "HTTP/2 over TLS", "HTTP/1.1 over TLS", "CONNECT ", "protocol is http\n", "CONNECT ", "protocol is http2\n",
            "leads through 127.0.0.1:", "(connect, http2 over tls), then origin.example:", "(connect, http over tls)", "Hello from",
            "20. proxy=", "proxy='http://127.0.0.1:", "up        the protocol is http\n", "Hello from", "is killed", "down ",
            "it waits for the next tunnel", "attempt 2", "listens again", "up ", "Hello from", "terminated", "21. A proxy that refuses",
            "ProxyFailed: the proxy 127.0.0.1:", "answered 407", "proxy='http://demo:", "up ", "Hello from", "terminated",
            "22. The end", "terminated", "terminated", "ws        Close(code=1001", "terminated", "All went as told.",
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
        self.patch(http, "GREETING", b"another greeting")
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

    async def fails(self, reason: str, serve: Callable[[WebsocketEnd], object] = serve_websocket) -> None:
        """With a server that answers websockets by `serve` the story ends by `reason`."""
        self.patch(server, "serve_websocket", serve)
        out = StringIO()
        self.assertEqual(await demo.run(self.reactor, out), 1)
        last = out.getvalue().splitlines()[-1]
        self.assertTrue(last.startswith(f"  FAILED    {reason}"), last)

    async def test_no_subprotocol(self) -> None:
        """A websocket without the subprotocol ends the story."""
        await self.fails("the subprotocol: expected b'greetings', not None", accept)

    async def test_not_compressed(self) -> None:
        """So does one that is not compressed, whether the server does not agree to that, or the client does not do it."""

        def serve(end: WebsocketEnd) -> None:
            if end.pending:
                end.accept(SUBPROTOCOL)

        await self.fails("the extension: expected b'permessage-deflate', not None", serve)
        self.patch(Origin, "message_sizes", lambda origin: [len(PIECE)])
        await self.fails("64.0 KiB went as 64.0 KiB: they were not compressed")

    async def test_another_message(self) -> None:
        """So does a message that does not come back as it was sent."""

        def serve(end: WebsocketEnd) -> None:
            serve_websocket(end)
            end.echo = False
            if end.frames:
                end.send("another")

        await self.fails("the answer: expected Text(text='Hello from the client'), not Text(text='another')", serve)

    async def test_no_pong(self) -> None:
        """So does a ping that is not answered."""

        def serve(end: WebsocketEnd) -> None:
            serve_websocket(end)
            end.answer_pings = False

        self.patch(telling, "PATIENCE", 1.0)
        await self.fails("the answer to the ping has not come within 1 seconds", serve)

    async def test_no_closing_handshake(self) -> None:
        """So does a server that ends the connection without its Close."""

        def serve(end: WebsocketEnd) -> None:
            serve_websocket(end)
            end.answer_close = False
            if end.received_close is not None:
                end.abort()

        await self.fails("StreamClosed: the websocket ended without a Close frame", serve)

    async def test_refused_over_http2(self) -> None:
        """So does a server that refuses websockets over HTTP/2, and no others."""

        def serve(end: WebsocketEnd) -> None:
            if end.pending and not isinstance(end, WebsocketPeer):
                end.refuse(501)
            serve_websocket(end)

        await self.fails("UpgradeRefused: the server answered the upgrade with status 501", serve)

    async def test_not_refused(self) -> None:
        """So does a server that refuses nothing."""

        def serve(end: WebsocketEnd) -> None:
            if end.pending and end.handshake is not None and end.handshake.path == b"/private":
                end.accept()
            serve_websocket(end)

        await self.fails("the server was to refuse, and did not", serve)

    async def test_items_twice(self) -> None:
        """So does a feed that begins anew."""

        def serve(end: WebsocketEnd) -> None:
            if end.pending and end.handshake is not None and end.handshake.path.startswith(b"/feed"):
                end.accept()
                for number in range(1, FEED + 1):
                    end.send(f"item {number}")
            serve_websocket(end)

        await self.fails("the items: expected ['item 1', ", serve)

    async def test_feed_does_not_come_back(self) -> None:
        """So does one that does not come back, as its server does not start again."""
        start, started = Origin.start, list[int]()

        def start_four_times(origin: Origin) -> None:
            started.append(origin.port)
            if len(started) > 4:  # each of the three servers once, and the first after its death
                raise CannotListenError("127.0.0.1", origin.port, OSError("in use"))
            start(origin)

        self.patch(Origin, "start", start_four_times)
        await self.fails("CannotListenError: ")
        self.assertEqual(len(started), 5)

    async def test_not_asked_again(self) -> None:
        """So does one that is not asked for again."""

        def open_without(*arguments: Any, on_up: object = None, **options: Any) -> gun.Connection:
            return open_(*arguments, **options)

        open_ = gun.open
        self.patch(gun, "open", open_without)
        self.patch(telling, "PATIENCE", 1.0)
        await self.fails("an item has not come within 1 seconds")

    async def test_tunnel_refused(self) -> None:
        """A proxy that makes no tunnel ends the story."""

        def start(proxy: ProxyServer) -> None:
            factory: ProxyFactory = proxy._proxies
            factory.refuse = 403
            start_as_before(proxy)

        start_as_before = ProxyServer.start
        self.patch(ProxyServer, "start", start)
        await self.fails("ProxyFailed: ")

    def test_proxy_knows_one_name(self) -> None:
        """The demo's proxies lead to its own servers, and nowhere else."""
        proxy = ProxyServer(self.reactor, "http")
        self.assertRaises(LookupError, proxy._dial, "elsewhere.example", 443)

    async def test_proxy_lets_all_in(self) -> None:
        """So does one that wants no credentials."""

        def start(proxy: ProxyServer) -> None:
            factory: ProxyFactory = proxy._proxies
            if factory.kind == "http":
                factory.credentials = None
            start_as_before(proxy)

        start_as_before = ProxyServer.start
        self.patch(ProxyServer, "start", start)
        await self.fails("the proxy was to refuse, and did not")

    async def test_proxy_stays_away(self) -> None:
        """So does one that does not come back."""
        start, started = ProxyServer.start, list[int]()

        def start_once(proxy: ProxyServer) -> None:
            started.append(proxy.port)
            if proxy.port:
                raise CannotListenError("127.0.0.1", proxy.port, OSError("in use"))
            start(proxy)

        self.patch(ProxyServer, "start", start_once)
        await self.fails("StreamClosed: ")
        self.assertEqual([port for port in started if port], started[-1:])

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

        for lines in (0, 3, 4, 20, 34, 50, 64, 100, 130, 165, 200):
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
