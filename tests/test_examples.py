"""The examples of the docs, each run as a user would run it, against a server on 127.0.0.1."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, connectionDone
from twisted.internet.utils import getProcessOutputAndValue
from twisted.mail import imap4
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.stage import every_answer
from twisted_gun import Close
from twisted_gun.testing import Http2Peer, ScriptedPeer, WebsocketPeer
from twisted_gun.testing.proxies import ProxyFactory

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

#: Longer than one read, and what an upload is checked with.
CONTENT = bytes(range(256)) * 1024


class Page(Resource):
    """Answers a GET with a greeting, a POST with size and digest of what was sent; counts what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes]] = []

    def render_GET(self, request: Request) -> bytes:
        self.asked.append((request.method, request.path))
        request.setHeader("x-example", "yes")
        return b"Hello, world"

    def render_POST(self, request: Request) -> bytes:
        self.asked.append((request.method, request.path))
        assert request.content is not None
        content = request.content.read()
        return f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode("ascii")


class Restarting(Factory):
    """
    A server of a feed which is restarted after each websocket, on the same port, as long as there are scripts for another one.

    `peers` are those it has made.
    """

    def __init__(self, reactor: Any, scripts: list[list[tuple[Any, ...]]]) -> None:
        self.reactor = reactor
        self.scripts = scripts
        self.peers: list[WebsocketPeer] = []
        self.port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.number: int = self.port.getHost().port

    def buildProtocol(self, addr: object) -> WebsocketPeer:
        server = self

        class Peer(WebsocketPeer):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                if server.scripts:
                    server.restart()

        self.peers.append(Peer(self.scripts.pop(0)))
        return self.peers[-1]

    def restart(self) -> None:
        """Stop listening, and begin again."""
        self.stop().addCallback(lambda _: self.listen())

    def stop(self) -> Any:
        """Stop listening."""
        return self.port.stopListening()

    def listen(self) -> None:
        """Listen on the port it had."""
        self.port = self.reactor.listenTCP(self.number, self, interface="127.0.0.1")


@implementer(imap4.IMailbox)
class Inbox:  # type: ignore[misc]  # as much of a mailbox as is asked for
    """As much of a mailbox as an examination of it asks for."""

    def getFlags(self) -> list[str]:
        return []

    def getHierarchicalDelimiter(self) -> str:
        return "/"

    def getUIDValidity(self) -> int:
        return 1

    def getMessageCount(self) -> int:
        return 17

    def getRecentCount(self) -> int:
        return 0

    def isWriteable(self) -> bool:
        return False

    def addListener(self, listener: object) -> None:
        """Nothing happens in it."""

    def removeListener(self, listener: object) -> None:
        """Likewise."""


class MailServer(imap4.IMAP4Server):
    """An IMAP server that lets everybody in."""

    def authenticateLogin(self, user: bytes, passwd: bytes) -> Any:
        account = imap4.MemoryAccount(user)
        account.addMailbox("INBOX", Inbox())
        return imap4.IAccount, account, lambda: None


class Running(ProcessProtocol):
    """An example that runs until it is told to end; `first_line` is what it prints first."""

    def __init__(self, reactor: Any, name: str, *arguments: str) -> None:
        self.first_line: Deferred[str] = Deferred()
        self.err = b""
        self._out = b""
        self._ended: Deferred[int | None] = Deferred()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        command = [sys.executable, "-Wignore", str(EXAMPLES / f"{name}.py"), *arguments]
        self._process = reactor.spawnProcess(self, sys.executable, command, env={**os.environ, "PYTHONPATH": path})

    def outReceived(self, data: bytes) -> None:
        self._out += data
        if b"\n" in self._out and not self.first_line.called:
            self.first_line.callback(self._out.partition(b"\n")[0].decode())

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        if not self.first_line.called:
            self.first_line.errback(AssertionError(self.err.decode()))
        status: Any = reason.value
        self._ended.callback(status.exitCode)

    async def end(self) -> int | None:
        """Tell it to end; its exit status."""
        if not self._ended.called:
            self._process.signalProcess("TERM")
        status = await self._ended
        self._ended = succeed(status)
        return status


class ExamplesTests(TestCase):
    """Each example ends with status 0, nothing on stderr, and the output that its page in the docs speaks of."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        listening: Any = reactor
        self.listening = listening
        self.page = Page()
        self.port = listening.listenTCP(0, Site(self.page), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/greeting"

    async def run_example(self, name: str, *arguments: str, **environment: str) -> list[str]:
        """The lines that the example prints."""
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        script = str(EXAMPLES / f"{name}.py")
        env = {**os.environ, "PYTHONPATH": path, **environment}
        ended: tuple[bytes, bytes, int]
        ended = await getProcessOutputAndValue(sys.executable, ["-Wignore", script, *arguments], env=env)
        out, err, status = ended
        self.assertEqual((status, err.decode()), (0, ""), out)
        return out.decode().splitlines()

    async def test_get(self) -> None:
        """get.py prints protocol, status, headers and body."""
        lines = await self.run_example("get", self.url)
        self.assertEqual(lines[0], "http: status 200, 12 bytes")
        self.assertIn("x-example: yes", lines)
        self.assertEqual(lines[-2:], ["", "Hello, world"])
        self.assertEqual(self.page.asked, [(b"GET", b"/greeting")])

    async def test_receiver(self) -> None:
        """receiver.py is told the same by callbacks."""
        lines = await self.run_example("receiver", self.url)
        self.assertEqual(lines, ["up, speaking http", "status 200", "12 bytes"])

    async def test_upload(self) -> None:
        """upload.py sends a file whole and in order."""
        file = Path(self.mktemp()).absolute()
        file.write_bytes(CONTENT)
        lines = await self.run_example("upload", self.url, str(file))
        digest = hashlib.sha256(CONTENT).hexdigest()
        self.assertEqual(lines, [f"sent {len(CONTENT)} bytes, status 200", f"{len(CONTENT)} {digest}"])

    async def test_reconnect(self) -> None:
        """reconnect.py sees the connection go down, and its second request goes out on the next one."""
        lines = await self.run_example("reconnect", self.url)
        self.assertEqual(lines[:4], ["up", "first request: status 200", "down", "up"])
        self.assertEqual(lines[4], "second request: status 200")
        self.assertEqual(len(self.page.asked), 2)

    async def test_multiplex(self) -> None:
        """multiplex.py has more requests than the server allows at a time, and all are answered, each as slowly as it is read."""
        most = 10
        peers: list[Http2Peer] = []

        def answer(peer: Http2Peer) -> None:
            for request in peer.requests:
                if request.complete and not request.answered and request.stream_id not in started:
                    started.add(request.stream_id)
                    peer.respond(request, 200, {}, CONTENT)

        def serve() -> Http2Peer:
            peers.append(Http2Peer(answer, settings={"max_concurrent_streams": most}))
            return peers[-1]

        started: set[int] = set()
        port = self.listening.listenTCP(0, Factory.forProtocol(serve), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        lines = await self.run_example("multiplex", f"http://127.0.0.1:{port.getHost().port}/greeting", "40")
        self.assertEqual(lines, [f"http2: 40 answers, {40 * len(CONTENT)} bytes"])
        self.assertEqual([len(peer.requests) for peer in peers], [40])

    async def test_push(self) -> None:
        """push.py sends again what a server that goes away has not processed, and tells what became of each message."""
        peers: list[Http2Peer] = []
        leaving: list[Http2Peer] = []

        def answer(peer: Http2Peer) -> None:
            for request in peer.requests:
                if not request.complete or request.answered:
                    continue
                if peer is not peers[0] and request.path.endswith(b"gone"):
                    peer.respond(request, 410, {}, b'{"reason": "Unregistered"}')
                elif peer is not peers[0] or request is peer.requests[0]:
                    peer.respond(request, 200)
            if peer is peers[0] and peer.requests and not leaving:
                leaving.append(peer)
                peer.goaway(last=peer.requests[0])

        def serve() -> Http2Peer:
            peers.append(Http2Peer(answer, settings={"max_concurrent_streams": 2}))
            return peers[-1]

        url = f"http://127.0.0.1:{self.serve(Factory.forProtocol(serve))}"
        devices = ("one", "two", "gone", "four", "five")
        lines = await self.run_example("push", url, "org.example.app", "Hello", *devices, PUSH_TOKEN="s3cret")
        self.assertEqual(lines, ["one: sent", "two: sent", "gone: 410 Unregistered", "four: sent", "five: sent"])
        fields = dict(peers[0].requests[0].headers)
        self.assertEqual((fields[b"authorization"], fields[b"apns-topic"]), (b"bearer s3cret", b"org.example.app"))
        self.assertEqual(peers[0].requests[0].body, b'{"aps": {"alert": "Hello"}}')
        self.assertEqual(
            sorted(request.path for peer in peers for request in peer.requests if request.answered),
            sorted(f"/3/device/{device}".encode() for device in devices),
        )

    def test_push_is_short(self) -> None:
        """push.py has at most 30 lines of code, but for its imports."""
        text = (EXAMPLES / "push.py").read_text(encoding="utf-8").split('"""', 2)[2]
        lines = [line for line in text.splitlines() if line and not line.startswith(("import ", "from "))]
        self.assertGreater(len(lines), 10)
        self.assertLessEqual(len(lines), 30)

    def listen(self, **options: Any) -> str:
        """The URL of a websocket."""
        port = self.listening.listenTCP(0, Factory.forProtocol(lambda: WebsocketPeer(**options)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"ws://127.0.0.1:{port.getHost().port}/echo"

    async def test_feed(self) -> None:
        """feed.py comes back after its server was restarted, whether that closed the websocket or vanished; a Close by 1000 is the end."""
        first = [("send", "one"), ("close", 1012, "restarting")]
        second = [("send", "two"), ("drop",)]
        third = [("send", "three"), ("close", 1000)]
        server = Restarting(self.listening, [first, second, third])
        self.addCleanup(server.stop)
        lines = await self.run_example("feed", f"ws://127.0.0.1:{server.number}/feed?from=now")
        self.assertEqual(lines, ["one", "two", "three"])
        self.assertEqual([[request.target for request in peer.requests] for peer in server.peers], [[b"/feed?from=now"]] * 3)
        self.assertEqual([peer.received_close for peer in server.peers], [Close(1012), None, Close(1000)])

    async def test_feed_refused(self) -> None:
        """feed.py says so where there is no feed, and ends."""
        lines = await self.run_example("feed", self.listen(refuse=404))
        self.assertEqual(lines, ["the server answered the upgrade with status 404"])

    def test_feed_is_short(self) -> None:
        """feed.py has at most 20 lines of code, but for its imports."""
        text = (EXAMPLES / "feed.py").read_text(encoding="utf-8").split('"""', 2)[2]
        lines = [line for line in text.splitlines() if line and not line.startswith(("import ", "from "))]
        self.assertGreater(len(lines), 10)
        self.assertLessEqual(len(lines), 20)

    async def test_event_source(self) -> None:
        """event_source.py prints events until there are no more, over two connections; or why there are none, and where it was."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        scripts: list[list[tuple[Any, ...]]] = [
            [("expect", b"last-event-id: 6\r\n"), ("send", head + b"retry: 500\nid: 7\ndata: one\n\nid: 8\n"), ("close",)],
            [("expect", b"last-event-id: 7\r\n"), ("send", head + b"event: last\ndata: two\n\n"), ("close",)],
            [("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 204 No Content\r\n\r\n")],
            [("expect", b"\r\n\r\n"), ("send", b"HTTP/1.1 404 Not Found\r\n\r\n")],
        ]
        url = f"http://127.0.0.1:{self.serve(Factory.forProtocol(lambda: ScriptedPeer(scripts.pop(0))))}/feed"
        lines = await self.run_example("event_source", url, "6")
        self.assertEqual(lines, ["7 message: one", "7 last: two", "to go on from here: '7'"])
        lines = await self.run_example("event_source", url)
        self.assertEqual(lines, [f"{url} answered with status 404", "to go on from here: ''"])

    async def test_pool(self) -> None:
        """pool.py has many more requests than connections, and all are answered; in the end no place is taken."""
        lines = await self.run_example("pool", self.url, "50", "3")
        self.assertEqual(lines, ["operational: 50 answers, 600 bytes", *["http: up, 0 streams"] * 3])
        self.assertEqual(len(self.page.asked), 50)

    async def test_timings(self) -> None:
        """timings.py prints each step of the connection as it ends, and each request with its own; and why there was none."""
        second = self.url.replace("greeting", "second")
        lines = await self.run_example("timings", self.url, second)
        steps = [re.sub(r"[0-9]+\.[0-9]{3} s", "T", line) for line in lines]
        self.assertEqual(steps[:2], ["lookup: done, T", "connect: done, T"])
        done = "sent after T, answered after T, done after T"
        self.assertEqual(sorted(steps[2:]), [f"GET /greeting: {done}", f"GET /second: {done}"])
        nobody = self.listening.listenTCP(0, Site(self.page), interface="127.0.0.1")
        number = nobody.getHost().port
        await nobody.stopListening()
        lines = await self.run_example("timings", f"http://127.0.0.1:{number}/")
        self.assertEqual(len(lines), 2)
        self.assertIn("connection refused", lines[1])

    async def test_metrics(self) -> None:
        """metrics.py serves what its connection has done, in Prometheus' format, until it is told to end."""
        running = Running(self.listening, "metrics", self.url, "0")
        self.addCleanup(lambda: Deferred.fromCoroutine(running.end()))
        url = await running.first_line
        conn = gun.open_url(url, reactor=self.listening)
        counted = b'gun_request_seconds_count{outcome="2xx"} '
        text = b""
        while counted not in text:
            text = await conn.get("/metrics").await_body()
        for line in (b"gun_connections 1.0", b"gun_requests_active 0.0", b'gun_connect_seconds_count{outcome="ok",step="connect"} 1.0'):
            self.assertIn(line + b"\n", text)
        await conn.shutdown()
        self.assertEqual((await running.end(), running.err), (0, b""))

    async def test_websocket_helpers(self) -> None:
        """websocket_helpers.py sends its messages one after the other, and closes."""
        lines = await self.run_example("websocket_helpers", self.listen(echo=True), "one", "two")
        self.assertEqual(lines, ["'one' -> 'one'", "'two' -> 'two'", "2 messages, and closed"])

    async def test_websocket_by_url(self) -> None:
        """websocket_by_url.py prints the answer, and what a server says that has no websocket."""
        lines = await self.run_example("websocket_by_url", self.listen(echo=True), "hello")
        self.assertEqual(lines, ["status 101, [Text(text='hello')]"])
        lines = await self.run_example("websocket_by_url", self.listen(refuse=404), "hello")
        self.assertEqual(lines, ["no websocket: status 404"])

    def proxy(self, kind: str, credentials: tuple[str, str] | None = None, tls: bool = False) -> str:
        """Host and port of a proxy that finds all names on this machine; `proxied` is the latest."""
        self.proxied = ProxyFactory(kind, lambda host, port: TCP4ClientEndpoint(self.listening, "127.0.0.1", port), credentials=credentials)
        factory: Any = self.proxied
        if tls:
            creator = ServerCreator(authority().issue("127.0.0.1"), choose=lambda offered: offered[0])
            factory = TLSMemoryBIOFactory(creator, False, factory)
        return f"127.0.0.1:{self.serve(factory)}"

    def serve(self, factory: Any) -> int:
        """The port where it is served."""
        port = self.listening.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def test_proxy(self) -> None:
        """proxy.py goes through the proxies it is given, or those of the environment, and says which; and says why it cannot."""
        url = f"http://origin.example:{self.port.getHost().port}/greeting"
        first, second = self.proxy("http"), self.proxy("socks5")
        lines = await self.run_example("proxy", url, f"http://{first}", f"socks5://{second}")
        self.assertEqual(lines, [f"through {first}, by http", f"through {second}, by socks", "status 200, 12 bytes"])
        lines = await self.run_example("proxy", url, http_proxy=f"http://{first}", no_proxy="")
        self.assertEqual(lines, [f"through {first}, by http", "status 200, 12 bytes"])
        (line,) = await self.run_example("proxy", url, f"http://{self.proxy('http', ('ann', 'secret'))}")
        self.assertIn("it answered 407", line)

    async def test_tunnel(self) -> None:
        """tunnel.py has all tunnels on one connection of HTTP/2, or else one that is the connection; and says why there is none."""
        pem = Path(self.mktemp()).absolute()
        pem.write_bytes(authority().pem)
        creator = ServerCreator(authority().issue("origin.example"))
        page, port = f"http://origin.example:{self.port.getHost().port}", self.serve(TLSMemoryBIOFactory(creator, False, Site(self.page)))
        urls = [f"{page}/one", f"{page}/two", f"https://origin.example:{port}/three"]
        trusted = {"SSL_CERT_FILE": str(pem)}
        lines = await self.run_example("tunnel", f"https://{self.proxy('http2+http', tls=True)}", *urls, **trusted)
        self.assertEqual(sorted(lines), [f"/{name}: http in http2, status 200, 12 bytes" for name in ("one", "three", "two")])
        self.assertEqual(len(self.proxied.connections), 1)
        lines = await self.run_example("tunnel", f"http://{self.proxy('http')}", urls[2], **trusted)
        self.assertEqual(lines, ["/three: http in http, status 200, 12 bytes"])
        (line,) = await self.run_example("tunnel", f"http://{self.proxy('http', ('ann', 'secret'))}", urls[0])
        self.assertIn("407", line)

    async def test_proxied_imap(self) -> None:
        """proxied_imap.py counts the messages of a mailbox behind each kind of proxy; and says why it cannot."""
        port = self.serve(Factory.forProtocol(MailServer))
        for prefix, kind, scheme in (("http-connect", "http", "http"), ("socks5", "socks5", "socks5")):
            description = rf"{prefix}:mail.example:{port}:proxy={scheme}\://" + self.proxy(kind).replace(":", r"\:")
            lines = await self.run_example("proxied_imap", description, "ann", "secret")
            self.assertEqual(lines, ["17 messages in INBOX"])
            self.assertEqual([tunnel.host for tunnel in self.proxied.tunnels], ["mail.example"])
        locked = self.proxy("http", ("ann", "secret")).replace(":", r"\:")
        (line,) = await self.run_example("proxied_imap", rf"http-connect:mail.example:{port}:proxy=http\://{locked}", "ann", "secret")
        self.assertIn("407", line)

    async def test_treq_http2(self) -> None:
        """treq_http2.py makes many requests over HTTP/2, all on one connection."""
        creator = ServerCreator(authority().issue("127.0.0.1"), choose=lambda offered: b"h2")
        port = self.serve(TLSMemoryBIOFactory(creator, False, Factory.forProtocol(lambda: Http2Peer(every_answer))))
        trusted = Path(self.mktemp())
        trusted.write_bytes(authority().pem)
        url = f"https://127.0.0.1:{port}/path"
        lines = await self.run_example("treq_http2", url, "20", str(trusted))
        self.assertEqual(lines, [*(f"HTTP/2 200 {url}?n={number}" for number in range(3)), "20 requests, 1 connections"])

    async def test_scrapy_feed(self) -> None:
        """scrapy_feed.py prints an item for each message, until the server closes, or lets a callback fail where there is no websocket."""
        if find_spec("scrapy") is None:
            raise SkipTest("Scrapy is not installed: pip install 'twisted_gun[scrapy]'")
        steps = [("expect", "trades"), ("send", '{"price": 1}'), ("send", '{"price": 2}'), ("close", 1000)]
        lines = await self.run_example("scrapy_feed", self.listen(script=steps), "trades")
        self.assertEqual(lines, ['{"price": 1}', '{"price": 2}'])

    def test_all_are_run(self) -> None:
        """No example is without its test."""
        names = {path.stem for path in EXAMPLES.glob("*.py")}
        self.assertTrue(names)
        self.assertEqual([name for name in sorted(names) if not hasattr(self, f"test_{name}")], [])
