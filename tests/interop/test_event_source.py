"""`EventSource` against servers that are killed, nginx's nchan and connections that are cut; and the web platform's tests, over sockets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.interop.servers import Nginx, close, free_port, missing_nginx, python, temporary_directory
from tests.vectors import event_streams
from twisted_gun.event_source import EventSource
from twisted_gun.testing import ScriptedPeer

#: Short waits: there is nobody to be spared.
SOON = {"retry": 0.01, "min_retry": 0.01, "max_retry": 0.1}

NCHAN = """
nchan_max_reserved_memory 32M;
server {
    listen 127.0.0.1:{port};
    keepalive_requests 1000000;
    location = /publish { nchan_publisher; nchan_channel_id feed; nchan_message_buffer_length 100000; nchan_message_timeout 5m; }
    location = /feed { nchan_subscriber eventsource; nchan_channel_id feed; nchan_subscriber_first_message oldest; }
}
"""


def nchan() -> str | None:
    """Where nginx's module of that name is, None where it is not."""
    if missing_nginx():
        return None
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True, env={"PATH": "/usr/sbin:/usr/bin"}).stderr
    found = re.search(r"--modules-path=(\S+)", built)
    path = Path(found[1]) / "ngx_nchan_module.so" if found else Path()
    return str(path) if path.is_file() else None


class SourceCase(TestCase):
    """A source that is closed when the test is over; trial fails it if anything is left in the reactor then."""

    timeout = 60

    def source(self, url: str, **options: Any) -> EventSource:
        """A source of `url`."""
        source = EventSource(url, **{**SOON, **options})

        def end() -> Deferred[gun.GunError | None]:
            source.close()
            return source.when_closed()

        self.addCleanup(end)
        return source


class RestartTests(SourceCase):
    """A server that is killed again and again."""

    async def restart(self, signal: int) -> None:
        """End the server, and start it again on the same port."""
        await self.server.stop(signal)
        await self.server.start()

    async def check(self, total: int, restarts: int, **options: Any) -> None:
        """Follow `total` events, which are published while the server is restarted so often."""
        from twisted.internet import reactor

        port, events = free_port(), temporary_directory(self) / "events"
        share = total // (restarts + 1) + 50
        self.server = python(self, "event_source.py", str(port), str(events), str(total), str(share))
        await self.server.start()
        source = self.source(f"http://127.0.0.1:{port}/feed", **options)
        read: list[str | None] = []
        restarting: list[Deferred[None]] = []
        async for event in source:
            self.assertEqual(event.last_event_id, str(len(read) + 1))
            read.append(event.data)
            done = len(restarting)
            under_way = done > 0 and not restarting[-1].called
            if done < restarts and len(read) >= (done + 1) * total // (restarts + 1) and not under_way:
                restarting.append(Deferred.fromCoroutine(self.restart(SIGTERM if done % 2 else SIGKILL)))
            if len(read) % 100 == 0:  # so that there is always something unread
                await deferLater(reactor, 0.001, lambda: None)
            if len(read) == total:
                break
        self.assertEqual(read, [f"event {number}" for number in range(1, total + 1)])
        self.assertEqual(len(restarting), restarts)
        for restart in restarting:
            await restart
        # What is told twice would come now.
        await self.assertFailure(source.next_event(0.1), gun.TimedOut)

    async def test_restarts(self) -> None:
        """Of 10,000 events that are published while their server is ended twenty times none is lost, and none comes twice."""
        await self.check(10_000, 20)

    async def test_restarts_while_held_back(self) -> None:
        """Likewise where hardly anything may be unread, so that the server is held back most of the time."""
        await self.check(2000, 6, max_unread=2000)


class Cut(ProxyServer):
    """Forwards a connection, until the test cuts it."""

    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.factory.cuts.append(self)
        self.factory.made += 1
        super().connectionMade()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.factory.cuts.remove(self)
        super().connectionLost(reason)

    def cut(self) -> None:
        """Cut it."""
        self.transport.abortConnection()


class Between(ProxyFactory):
    """Forwards connections, `made` in number, of which `cuts` are there now."""

    protocol = Cut
    noisy = False

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.cuts: list[Cut] = []
        self.made = 0


class NchanTests(SourceCase):
    """nginx's module nchan, which publishes what it is sent."""

    skip = (
        None if nchan() else "NGINX'S NCHAN IS NOT INSTALLED: nothing was tested against it (on Debian: apt-get install libnginx-mod-nchan)"
    )

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor

        port = free_port()
        nginx = Nginx(self, NCHAN.replace("{port}", str(port)), master=True)
        config = nginx.root / "nginx.conf"
        config.write_text(f"load_module {nchan()};\n{config.read_text()}")
        await nginx.start()
        self.conn = gun.open("127.0.0.1", port, max_waiting=10_000)
        self.addCleanup(close, self.conn)
        listening: Any = reactor
        self.between = Between("127.0.0.1", port)
        listener = listening.listenTCP(0, self.between, interface="127.0.0.1")
        self.addCleanup(listener.stopListening)
        self.url = f"http://127.0.0.1:{listener.getHost().port}/feed"

    def publish(self, numbers: range) -> list[gun.Stream]:
        """Publish so many events."""
        return [self.conn.post("/publish", {"content-type": "text/plain"}, b"%d %b" % (number, b"x" * 1000)) for number in numbers]

    async def test_cut(self) -> None:
        """Of 2,000 events none is lost, and none comes twice, where connections are cut whenever they have brought some."""
        total = 2000
        streams = self.publish(range(total // 2))
        source = self.source(self.url, max_unread=5000)
        read: list[int] = []
        cut_at = 50
        async for event in source:
            read.append(int(str(event.data).split()[0]))
            if len(read) >= cut_at and self.between.cuts:
                cut_at = len(read) + 50
                for connection in list(self.between.cuts):
                    connection.cut()
            if len(read) == total // 2:  # the others are published while somebody waits for them
                streams += self.publish(range(total // 2, total))
            if len(read) == total:
                break
        self.assertEqual(read, list(range(total)))
        self.assertGreaterEqual(self.between.made, 10)
        for stream in streams:
            await stream.await_response()


class WebPlatformTests(SourceCase):
    """The web platform's tests of the format of event streams, each from a server of its own."""

    async def test_format(self) -> None:
        """All of them give the events that they should."""
        streams = event_streams()
        self.assertEqual(len(streams), 16)
        for stream, expected in streams:
            self.assertEqual(await self.events(stream), expected, stream)

    async def events(self, content: bytes) -> list[tuple[str | None, str | None]]:
        """The events of a stream, which the server closes, and has nothing to add."""
        from twisted.internet import reactor

        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        scripts = [[("expect", b"\r\n\r\n"), ("send", head + content), ("close",)]]
        scripts += [[("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 204 No Content\r\n\r\n")]]
        listening: Any = reactor
        port = listening.listenTCP(0, Factory.forProtocol(lambda: ScriptedPeer(scripts.pop(0))), interface="127.0.0.1")
        source = self.source(f"http://127.0.0.1:{port.getHost().port}/", max_retry=0.01)
        events = [(event.event_type, event.data) async for event in source]
        await source.when_closed()
        await port.stopListening()
        return events
