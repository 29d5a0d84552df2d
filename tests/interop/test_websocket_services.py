"""What websockets are for: Chromium, told what to do by its DevTools protocol, and NATS, which carries messages."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Sequence
from itertools import count
from typing import Any

import twisted_gun as gun
from tests.certificates import authority
from tests.interop.servers import Server, ServerCase, close, free_port, missing, temporary_directory

#: What is shown: a page of one colour, with a title that a script has made.
PAGE = "data:text/html,<body style='background: rgb(12, 200, 77)'><script>document.title = 'sum ' + (40 %2B 2)</script>"
COLOUR = (12, 200, 77)
WIDTH, HEIGHT = 320, 200

CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--no-default-browser-check"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--remote-debugging-port=0", "--remote-debugging-address=127.0.0.1"),
)

NATS = """
listen: 127.0.0.1:{port}
websocket {{
    listen: 127.0.0.1:{plain_port}
    no_tls: true
    compression: {compression}
}}
"""

NATS_TLS = """
listen: 127.0.0.1:{port}
websocket {{
    listen: 127.0.0.1:{tls_port}
    tls: {{ cert_file: "{root}/certificate.pem", key_file: "{root}/key.pem" }}
    compression: {compression}
}}
"""


class DevTools:
    """A page of Chromium at the end of a websocket; `said` keeps the events it tells of while something else is awaited."""

    def __init__(self, stream: gun.Stream) -> None:
        self._stream = stream
        self._ids = count(1)
        self.said: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of this method."""
        number = next(self._ids)
        self._stream.ws_send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := await self._message()).get("id") != number:
            self.said.append(message["method"])
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    async def until(self, method: str) -> None:
        """Wait for this event, if it has not been told already."""
        while method not in self.said:
            self.said.append((await self._message())["method"])

    async def _message(self) -> dict[str, Any]:
        event = await self._stream.await_event(30)
        assert isinstance(event, gun.Ws) and isinstance(event.frame, gun.Text), event
        message: dict[str, Any] = json.loads(event.frame.text)
        return message


class ChromiumTests(ServerCase):
    """Chromium, without a screen, and with a directory of its own."""

    timeout = 120
    skip = missing("chromium", "chromium")

    async def setUp(self) -> None:  # type: ignore[override]
        data = temporary_directory(self)
        command = ("chromium", *CHROMIUM, f"--user-data-dir={data}")
        said = await Server(self, command, b"/devtools/browser/").start()
        found = re.search(rb"ws://127\.0\.0\.1:(\d+)/", said)
        assert found, said
        self.port = int(found[1])

    async def devtools(self, conn: gun.Connection, **ws_opts: Any) -> DevTools:
        """A new page, driven over `conn`."""
        target = json.loads(await self.body(conn.put("/json/new?about:blank", body=b"")))
        listed = json.loads(await self.body(conn.get("/json")))
        self.assertIn(target["id"], [each["id"] for each in listed])
        stream = conn.ws_upgrade(target["webSocketDebuggerUrl"].split(str(self.port), 1)[1], ws_opts=ws_opts)
        await stream.await_upgrade()
        return DevTools(stream)

    async def check_page(self, **ws_opts: Any) -> None:
        """Open the page, evaluate, take a picture."""
        conn = gun.open("127.0.0.1", self.port)
        self.addCleanup(close, conn)
        page = await self.devtools(conn, **ws_opts)
        await page.call("Page.enable")
        await page.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)
        await page.call("Page.navigate", url=PAGE)
        await page.until("Page.loadEventFired")
        result = (await page.call("Runtime.evaluate", expression="document.title"))["result"]
        self.assertEqual(result, {"type": "string", "value": "sum 42"})
        long = (await page.call("Runtime.evaluate", expression="'long€'.repeat(1e6)"))["result"]["value"]
        self.assertEqual(long, "long€" * 1_000_000)
        picture = base64.b64decode((await page.call("Page.captureScreenshot", format="png"))["data"])
        self.assertEqual(top_left(picture), (WIDTH, HEIGHT, COLOUR))

    async def test_page(self) -> None:
        """A page is opened, evaluated in, and its picture taken, over a connection that listed the pages before."""
        await self.check_page()

    async def test_reference(self) -> None:
        """The same with the reference core."""
        await self.check_page(core="wsproto")


class NatsTests(ServerCase):
    """NATS, which takes websockets in the clear or over TLS, with permessage-deflate or without."""

    timeout = 60
    skip = missing("nats-server", "nats-server")

    async def start(self, config: str, compression: bool) -> dict[str, Any]:
        """Start it; its ports."""
        root = temporary_directory(self)
        issued = authority().issue("127.0.0.1")
        pem = {"certificate": issued.certificate_pem, "key": issued.key_pem, "authority": authority().pem}
        for name, content in pem.items():
            (root / f"{name}.pem").write_bytes(content)
        settings = {name: free_port() for name in ("port", "plain_port", "tls_port")}
        path = root / "nats.conf"
        path.write_text(config.format(**settings, root=root, compression=str(compression).lower()))
        await Server(self, ("nats-server", "-c", str(path)), b"Server is ready").start()
        return {**settings, "root": root}

    async def join(self, conn: gun.Connection, **ws_opts: Any) -> Nats:
        """A client of NATS on a websocket of `conn`."""
        self.addCleanup(close, conn)
        stream = conn.ws_upgrade("/", ws_opts=ws_opts)
        headers = dict((await stream.await_upgrade()).headers)
        self.assertEqual(b"sec-websocket-extensions" in headers, bool(ws_opts.get("compress")))
        client = Nats(stream)
        self.assertTrue((await client.line()).startswith(b"INFO {"))
        client.send(b'CONNECT {"verbose": false, "pedantic": false}')
        return client

    async def check(self, publisher: Nats, subscriber: Nats) -> None:
        """A thousand messages of many lengths come to the subscriber as they were published."""
        subscriber.send(b"SUB news.* 7", b"PING")
        self.assertEqual(await subscriber.line(), b"PONG")
        contents = [bytes([at % 256]) * (at * 7 % 5000) for at in range(1000)]
        for at, content in enumerate(contents):
            publisher.send(b"PUB news.%d %d" % (at, len(content)), content)
        publisher.send(b"PING")
        self.assertEqual(await publisher.line(), b"PONG")
        for at, content in enumerate(contents):
            self.assertEqual(await subscriber.line(), b"MSG news.%d 7 %d" % (at, len(content)))
            self.assertEqual(await subscriber.content(len(content)), content)

    async def check_plain(self, compress: bool, cores: Sequence[str] = ("own", "own")) -> None:
        """Publish and receive in the clear, with these cores."""
        at = await self.start(NATS, compress)
        clients = [
            await self.join(gun.open("127.0.0.1", at["plain_port"]), compress=compress, core=core)  # by core
            for core in cores
        ]
        await self.check(*clients)

    async def test_plain(self) -> None:
        """Publish and receive."""
        await self.check_plain(False)

    async def test_deflated(self) -> None:
        """Publish and receive with permessage-deflate, without context takeover."""
        await self.check_plain(True)

    async def test_reference(self) -> None:
        """What one core publishes the other receives."""
        await self.check_plain(True, ("own", "wsproto"))
        await self.check_plain(False, ("wsproto", "own"))

    async def test_tls(self) -> None:
        """Publish and receive over TLS."""
        at = await self.start(NATS_TLS, True)
        tls: dict[str, Any] = {"transport": "tls", "tls_opts": {"trust_root": str(at["root"] / "authority.pem")}}
        publisher, subscriber = [await self.join(gun.open("127.0.0.1", at["tls_port"], **tls), compress=True) for _ in range(2)]
        await self.check(publisher, subscriber)


class Nats:
    """The protocol of NATS, lines and contents, however they are cut into messages."""

    def __init__(self, stream: gun.Stream) -> None:
        self._stream = stream
        self._came = b""

    def send(self, *lines: bytes) -> None:
        """Send these lines in one message."""
        self._stream.ws_send(b"".join(line + b"\r\n" for line in lines))

    async def line(self) -> bytes:
        """The next line."""
        while b"\r\n" not in self._came:
            await self._more()
        line, self._came = self._came.split(b"\r\n", 1)
        return line

    async def content(self, length: int) -> bytes:
        """The content of a message."""
        while len(self._came) < length + 2:
            await self._more()
        content, self._came = self._came[:length], self._came[length + 2 :]
        return content

    async def _more(self) -> None:
        event = await self._stream.await_event()
        assert isinstance(event, gun.Ws) and isinstance(event.frame, gun.Binary), event
        self._came += event.frame.data


def top_left(png: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Width and height of the picture, and the colour in its upper left corner."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n"), png[:8]
    width, height, depth, kind = struct.unpack_from(">IIBB", png, 16)
    assert depth == 8 and kind in (2, 6), (depth, kind)
    content, at = b"", 8
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        content += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    # The first pixel of the first line: whatever the line's filter, it has nothing before it to differ from.
    return width, height, tuple(zlib.decompress(content)[1:4])
