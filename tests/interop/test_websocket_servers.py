"""
Websockets against node, the packages ws, websockets, aiohttp and hypercorn, and through HAProxy and nginx.

Over HTTP/1.1 and, where the server can, over HTTP/2 (RFC 8441); in the clear and over TLS; with permessage-deflate and without.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import twisted_gun as gun
from tests.interop.websocket_servers import HAProxyCase, HypercornCase, NginxCase, NodeCase, Place, PythonCase, WebsocketCase, WsCase
from twisted_gun.testing import RecordingReceiver

# What is tested against several servers is no test case by itself: trial would run it.
if TYPE_CHECKING:
    _Case = WebsocketCase
else:
    _Case = object

#: Lengths at the edges of what a frame's head can say, and of a window.
SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_000_000)


class EchoTests(_Case):
    """What is sent comes back."""

    #: How many messages are sent, a hundred of them before the first comes back.
    messages = 10_000

    async def test_many(self) -> None:
        """Ten thousand messages, a hundred at a time, come back in order, as what they were; and the closing handshake is done."""
        for place in self.places:
            stream = await self.websocket(place)
            stream.ws_send([_numbered(number) for number in range(100)])
            for number in range(self.messages):
                self.assertEqual(await self.frame(stream), _numbered(number))
                if number + 100 < self.messages:
                    stream.ws_send(_numbered(number + 100))
            await self.check_closing(stream)

    async def test_sizes(self) -> None:
        """Messages of all lengths come back as they were, text and bytes."""
        for place in self.places:
            stream = await self.websocket(place)
            for size in SIZES:
                data, text = os.urandom(size), "aé€😀"[size % 4] * size
                stream.ws_send([data, text])
                self.assertEqual(await self.message(stream), data)
                self.assertEqual(await self.message(stream), text)
            await self.check_closing(stream)

    async def test_ping(self) -> None:
        """A ping is answered with its data."""
        for place in self.places:
            stream = await self.websocket(place, silence_pings=False)
            stream.ws_send([gun.Ping(b"are you there"), "a message"])
            frames = [await self.frame(stream), await self.frame(stream)]
            self.assertCountEqual(map(repr, frames), map(repr, (gun.Pong(b"are you there"), gun.Text("a message"))))
            await self.check_closing(stream)

    async def check_closing(self, stream: gun.Stream) -> None:
        """Close it with a code, which the server sends back; then nothing can be sent."""
        stream.ws_send(gun.Close(1000, "that was all"))
        frame = await self.frame(stream)
        self.assertIsInstance(frame, gun.Close)
        self.assertEqual(frame.code, 1000)
        self.assertRaises(gun.BadState, stream.ws_send, "more")


class EndsTests(_Case):
    """How websockets begin and end."""

    async def test_closed_by_server(self) -> None:
        """The server's Close is the last frame, with its code and its reason."""
        for place in self.places:
            for code in (1000, 1011, 3000, 4999):
                stream = await self.websocket(place, "/close")
                stream.ws_send(str(code))
                frames = [event.frame async for event in stream if isinstance(event, gun.Ws)]
                self.assertEqual(frames, [gun.Close(code, "as you wish")])

    async def test_refused(self) -> None:
        """A refusal is told with its response, whose body can be had."""
        for place in self.places:
            stream = self.upgrade(self.connection(place), "/refused")
            error: Any = await self.assertFailure(stream.await_upgrade(), gun.UpgradeRefused)
            self.assertEqual(error.response.status, 403)
            self.assertEqual(await stream.await_body(), b"not so")

    async def test_protocol(self) -> None:
        """Of the protocols offered the server takes one."""
        for place in self.places:
            stream = self.upgrade(self.connection(place), "/echo", protocols=["echo.1", "echo.2"])
            upgrade = await stream.await_upgrade()
            self.assertEqual(upgrade.protocols, (b"websocket",))
            self.assertIn((b"sec-websocket-protocol", b"echo.2"), upgrade.headers)
            stream.ws_send("hello")
            self.assertEqual(await self.message(stream), "hello")

    async def test_headers(self) -> None:
        """The request's headers arrive, the application's among them; what the server says at once is told first."""
        for place in self.places:
            stream = self.upgrade(self.connection(place), "/told", {"x-said": "so", "cookie": "a=b"})
            await stream.await_upgrade()
            told = {name.lower(): value for name, value in json.loads(await self.message(stream)).items()}
            self.assertEqual((told["x-said"], told["cookie"], told["sec-websocket-version"]), ("so", "a=b", "13"))
            self.assertEqual("permessage-deflate" in told.get("sec-websocket-extensions", ""), self.compress)

    async def test_deflate(self) -> None:
        """permessage-deflate is spoken where it was offered, and the server has it."""
        for place in self.places:
            stream = self.upgrade(self.connection(place), "/echo")
            headers = dict((await stream.await_upgrade()).headers)
            self.assertEqual(b"permessage-deflate" in headers.get(b"sec-websocket-extensions", b""), self.compress and self.deflates)
            for _ in range(3):  # with what is kept from one message to the next
                stream.ws_send("to be, or not to be " * 1000)
                self.assertEqual(await self.message(stream), "to be, or not to be " * 1000)


class VanishTests(_Case):
    """Where the server can cut the connection."""

    async def test_vanishes(self) -> None:
        """A server that goes without a Close ends the websocket with an error."""
        for place in self.places:
            stream = await self.websocket(place, "/vanish")
            stream.ws_send("go")
            await self.assertFailure(stream.await_event(), gun.StreamClosed)


class SharedTests(_Case):
    """Where the server speaks HTTP/2."""

    async def test_one_connection(self) -> None:
        """Over HTTP/2 twenty websockets and other requests share a connection; those that end leave it to the others."""
        for place in self.places:
            if place.protocol == "http2":
                told = RecordingReceiver()
                conn = self.connection(place, owner=told)
                await self.check_many_on(conn)
                self.assertEqual(told.names(), ["gun_up"])

    async def check_many_on(self, conn: gun.Connection) -> None:
        """Twenty websockets on `conn`, of which every other is cancelled or closed."""
        streams = [self.upgrade(conn, "/echo") for _ in range(20)]
        for stream in streams:
            await stream.await_upgrade()
        for at, stream in enumerate(streams):
            stream.ws_send([f"{at}", os.urandom(100_000)])
        for at, stream in enumerate(streams):
            self.assertEqual(await self.message(stream), f"{at}")
            self.assertEqual(len(await self.message(stream)), 100_000)
        for at in range(0, 20, 4):
            streams[at].cancel()
            streams[at + 2].ws_send(gun.Close(1000))
            self.assertEqual(await self.frame(streams[at + 2]), gun.Close(1000))
        for stream in streams[1::2]:
            stream.ws_send("still there")
            self.assertEqual(await self.message(stream), "still there")
        self.assertEqual(await self.body(conn.get("/other")), b"GET /other")


class BurstTests(_Case):
    """What only websocket.js does, by itself or behind another server."""

    async def test_burst(self) -> None:
        """Ten thousand messages that come in one breath with the Close frame and the end of the connection are all told."""
        for place in self.places:
            stream = await self.websocket(place, "/burst")
            stream.ws_send("go")
            frames = [event.frame async for event in stream if isinstance(event, gun.Ws)]
            self.assertEqual(frames, [*(gun.Text(f"message {number}") for number in range(10_000)), gun.Close(1000, "all said")])

    async def test_slow_reader(self) -> None:
        """The same where the reader takes them one by one."""
        for place in self.places:
            stream = await self.websocket(place, "/burst", flow=1)
            stream.ws_send("go")
            for number in range(10_000):
                self.assertEqual(await self.message(stream), f"message {number}")
                stream.update_flow(1)
            self.assertEqual(await self.frame(stream), gun.Close(1000, "all said"))


class NodeTests(EchoTests, EndsTests, VanishTests, SharedTests, BurstTests, NodeCase):
    """node, with frames made by hand."""

    async def test_fragments(self) -> None:
        """Fragments, with pings between them, are one message; each ping is answered once, in order."""
        for place in self.places:
            stream = await self.websocket(place, "/fragments")
            for text in ("", "a", "a€😀" * 10_000):  # cut inside of characters
                stream.ws_send(text)
                self.assertEqual([await self.message(stream) for _ in range(3)], [text, "1", "2"])

    async def test_glued(self) -> None:
        """A message glued to the response is told."""
        for place in self.places:
            stream = await self.websocket(place, "/hello")
            self.assertEqual(await self.message(stream), "hello")

    async def test_unread(self) -> None:
        """Over HTTP/2 a websocket that nobody reads does not hold up another one, and is there to be read afterwards."""
        for place in self.places:
            if place.protocol == "http2":
                unread = await self.websocket(place, "/burst", flow=1)
                other = self.upgrade(unread.connection, "/echo")
                await other.await_upgrade()
                unread.ws_send("go")
                for number in range(100):
                    other.ws_send([_numbered(number), os.urandom(10_000)])
                    self.assertEqual(await self.frame(other), _numbered(number))
                    self.assertEqual(len(await self.message(other)), 10_000)
                unread.update_flow(10_000)
                frames = [event.frame async for event in unread if isinstance(event, gun.Ws)]
                self.assertEqual((len(frames), frames[-1]), (10_001, gun.Close(1000, "all said")))

    async def test_not_over_http2(self) -> None:
        """A server of HTTP/2 that has no extended CONNECT is not asked; the connection serves other requests."""
        conn = self.connection(Place(url=f"http://127.0.0.1:{self.ports_of_node['old']}", protocol="http2"))
        error: Any = await self.assertFailure(self.upgrade(conn, "/echo").await_upgrade(), gun.UpgradeRefused)
        self.assertIs(error.response, None)
        self.assertEqual(await self.body(conn.get("/other")), b"GET /other")


class WsTests(EchoTests, EndsTests, VanishTests, SharedTests, WsCase):
    """ws without permessage-deflate."""


class DeflatedWsTests(WsTests):
    """ws with permessage-deflate."""

    messages = 1000
    compress = True


class WebsocketsTests(EchoTests, EndsTests, VanishTests, PythonCase):
    """websockets without permessage-deflate."""

    package, messages = "websockets", 1000


class DeflatedWebsocketsTests(WebsocketsTests):
    """websockets with permessage-deflate."""

    compress = True


class AiohttpTests(EchoTests, EndsTests, VanishTests, PythonCase):
    """aiohttp without permessage-deflate."""

    package, messages = "aiohttp", 1000


class DeflatedAiohttpTests(AiohttpTests):
    """aiohttp with permessage-deflate."""

    compress = True


class HypercornTests(EchoTests, EndsTests, SharedTests, HypercornCase):
    """hypercorn without permessage-deflate."""

    messages = 1000


class DeflatedHypercornTests(HypercornTests):
    """hypercorn with permessage-deflate."""

    compress = True


class HAProxyTests(EchoTests, EndsTests, VanishTests, SharedTests, BurstTests, HAProxyCase):
    """HAProxy with node behind it."""


class NginxTests(EchoTests, EndsTests, VanishTests, BurstTests, NginxCase):
    """nginx with node behind it."""

    messages = 1000

    async def test_not_over_http2(self) -> None:
        """nginx has no extended CONNECT, and is not asked for it."""
        conn = self.connection(Place(url=self.places[1].url, protocol="http2"))
        error: Any = await self.assertFailure(self.upgrade(conn, "/echo").await_upgrade(), gun.UpgradeRefused)
        self.assertIs(error.response, None)


class ReferenceNodeTests(NodeTests):
    """The reference core against node."""

    ws_core, messages = "wsproto", 1000


class ReferenceWsTests(DeflatedWsTests):
    """The reference core against ws."""

    ws_core = "wsproto"


class ReferenceHypercornTests(DeflatedHypercornTests):
    """The reference core against hypercorn."""

    ws_core = "wsproto"


def _numbered(number: int) -> gun.Text | gun.Binary:
    return gun.Text(f"message {number}") if number % 2 else gun.Binary(b"message %d" % number)
