"""``get`` in this process: what is sent, where the answer goes, and what failure ends with which status."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

import twisted_gun as gun
from tests.certificates import CLIENT_AUTH, ServerCreator, authority
from tests.test_progress import Terminal
from twisted_gun.exits import Exit, Unwritable, explain
from twisted_gun.fetch import Order, fetch

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello"


class Server(Factory):
    """Answers each request with `answer`, and closes then if `closes`; `asked` has what was sent, `called` fires at the first."""

    noisy = False

    def __init__(self) -> None:
        self.answer = OK
        self.closes = False
        self.asked: list[bytes] = []
        self.called: Deferred[None] = Deferred()
        self.protocol: Any = lambda: _Answering(self)


class _Answering(Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        head, end, content = self._received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if not end or (lengths and len(content) < int(lengths[0])):
            return
        self._server.asked.append(self._received)
        self._received = b""
        transport: Any = self.transport
        transport.write(self._server.answer)
        if self._server.closes:
            transport.loseConnection()
        if not self._server.called.called:
            self._server.called.callback(None)


class FetchCase(TestCase):
    """Where `fetch` is tested: `url` is what to get, from whatever the heir lets listen on 127.0.0.1."""

    timeout = 30
    url = ""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.stdout: Any = BytesIO()
        self.stderr = StringIO()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "file"

    def listen(self, listen: Callable[..., Any], *arguments: Any, **options: Any) -> int:
        """Listen until the test has ended; gives the port."""
        port = listen(*arguments, **options)
        self.addCleanup(port.stopListening)
        return getattr(port.getHost(), "port", 0)

    async def get(self, url: str | None = None, **order: Any) -> int:
        """Fetch, and give the status."""
        return await fetch(self.reactor, Order(url=url or self.url, **order), self.stdout, self.stderr)

    def assert_told(self, *parts: str) -> None:
        """Exactly one line is on stderr, which holds these."""
        lines = self.stderr.getvalue().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("twisted-gun: "), lines)
        for part in parts:
            self.assertIn(part, lines[0])


class FetchTests(FetchCase):
    """`fetch`, with a server of HTTP/1.1."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server()
        self.url = f"http://127.0.0.1:{self.listen(self.reactor.listenTCP, 0, self.server, interface='127.0.0.1')}/path"

    async def test_standard_output(self) -> None:
        """The content, and nothing else, goes to the standard output; the request says who asks."""
        self.assertEqual(await self.get(), 0)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), (b"hello", ""))
        self.assertTrue(self.server.asked[0].startswith(b"GET /path HTTP/1.1\r\n"))
        self.assertIn(f"user-agent: twisted_gun/{gun.__version__}\r\n".encode(), self.server.asked[0].lower())

    async def test_target(self) -> None:
        """Path and query are sent, percent-encoded where they must be; the fragment is not."""
        await self.get(self.url + "/%20 é?q=1 2#here")
        self.assertTrue(self.server.asked[0].startswith(b"GET /path/%20%20%C3%A9?q=1%202 HTTP/1.1\r\n"), self.server.asked)

    async def test_file(self) -> None:
        """The file holds the content, and nothing is left beside it."""
        self.file.write_bytes(b"what was there before")
        self.assertEqual(await self.get(output=str(self.file)), 0)
        self.assertEqual(self.file.read_bytes(), b"hello")
        self.assertEqual(os.listdir(self.folder), ["file"])

    async def test_link(self) -> None:
        """Through a symbolic link the file is replaced, not the link."""
        link = self.folder / "link"
        link.symlink_to(self.file)
        self.assertEqual(await self.get(output=str(link)), 0)
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.file.read_bytes(), b"hello")

    async def test_truncated(self) -> None:
        """An answer that is cut off is 18, and the file stays as it was."""
        self.server.answer, self.server.closes = CUT, True
        self.file.write_bytes(b"before")
        self.assertEqual(await self.get(output=str(self.file)), 18)
        self.assertEqual((self.file.read_bytes(), os.listdir(self.folder)), (b"before", ["file"]))
        self.assert_told("cut off after 5 bytes", "try again")

    async def test_cancelled(self) -> None:
        """Cancelling leaves neither the file nor a part of it."""
        self.server.answer = CUT
        getting = Deferred.fromCoroutine(self.get(output=str(self.file)))
        await self.server.called
        self.assertEqual([name.startswith("file.") and name.endswith(".part") for name in os.listdir(self.folder)], [True])
        getting.cancel()
        await self.assertFailure(getting, CancelledError)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_include(self) -> None:
        """-i writes the head before the content."""
        await self.get(include=True)
        self.assertEqual(self.stdout.getvalue(), OK)

    async def test_status(self) -> None:
        """A status of 400 or more is an answer like any other, but with --fail 22, and nothing is written."""
        self.server.answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nwhere"
        self.assertEqual((await self.get(), self.stdout.getvalue()), (0, b"where"))
        self.assertEqual(await self.get(fail=True, output=str(self.file)), 22)
        self.assertEqual((self.stdout.getvalue(), os.listdir(self.folder)), (b"where", []))
        self.assert_told("404 Not Found")

    async def test_data(self) -> None:
        """Data is posted as a form; method and headers can be others."""
        await self.get(data="a=b")
        self.assertTrue(self.server.asked[0].startswith(b"POST /path "))
        self.assertTrue(self.server.asked[0].endswith(b"\r\n\r\na=b"))
        self.assertIn(b"content-type: application/x-www-form-urlencoded\r\n", self.server.asked[0])
        await self.get(data="{}", method="PUT", headers=(("Content-Type", "application/json"),))
        self.assertTrue(self.server.asked[1].startswith(b"PUT /path "))
        self.assertEqual(self.server.asked[1].lower().count(b"content-type"), 1)

    async def test_data_of_file(self) -> None:
        """Data of a file is sent with its length, however large."""
        content = bytes(range(256)) * 4096
        self.file.write_bytes(content)
        self.assertEqual(await self.get(data=f"@{self.file}"), 0)
        self.assertTrue(self.server.asked[0].endswith(b"\r\n\r\n" + content))
        self.assertEqual(await self.get(data="@/no such file"), 26)
        self.assert_told("/no such file: No such file or directory")

    async def test_verbose(self) -> None:
        """-v tells of connection, heads and trailers, without credentials and without letting the server at the terminal."""
        self.server.answer = (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: \xc2\x9b31m\r\n\r\n5\r\nhello\r\n0\r\nsum: 7\r\n\r\n"
        )
        self.assertEqual(await self.get(verbose=True, headers=(("authorization", "secret"), ("Cookie", "secret"))), 0)
        told = self.stderr.getvalue()
        self.assertIn("* up: http", told)
        for line in (
            "> GET /path",
            "> authorization: [secret]",
            "> Cookie: [secret]",
            "< 103",
            "< link: </a>",
            "< 200 OK",
            "< x:  31m",
            "< sum: 7",
        ):
            self.assertIn(line + "\n", told)
        self.assertEqual(self.stdout.getvalue(), b"hello")

    async def test_progress(self) -> None:
        """A bar is drawn where the answer goes to a file and a terminal watches."""
        self.patch(os, "environ", {**os.environ, "TERM": "xterm"})
        self.stderr = Terminal()
        await self.get()
        self.assertEqual(self.stderr.getvalue(), "")
        await self.get(output=str(self.file))
        self.assertIn("100% of 5 bytes", self.stderr.getvalue())

    async def test_refused(self) -> None:
        """Nobody who listens is 7, after the retries."""
        port = self.reactor.listenTCP(0, self.server, interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.assertEqual(await self.get(f"http://127.0.0.1:{number}/", retry=1), 7)
        self.assert_told(f"127.0.0.1:{number}: connection refused")

    async def test_timed_out(self) -> None:
        """Silence is 28, before the answer and in the middle of it."""
        for answer, stage in ((b"", "response"), (CUT, "idle")):
            self.server.answer = answer
            self.stderr = StringIO()
            self.assertEqual(await self.get(timeout=0.05), 28)
            self.assert_told(stage, "--timeout")

    async def test_no_response(self) -> None:
        """A connection that ends without an answer is 52."""
        self.server.answer, self.server.closes = b"", True
        self.assertEqual(await self.get(), 52)
        self.assert_told("the peer closed the connection")

    async def test_no_http(self) -> None:
        """What is no HTTP is 1."""
        self.server.answer = b"SSH-2.0-OpenSSH\r\n\r\n"
        self.assertEqual(await self.get(), 1)
        self.assert_told("expected a status line")

    async def test_switched(self) -> None:
        """A server that switches protocols, because the headers asked for it, is 1."""
        self.server.answer = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n"
        self.assertEqual(await self.get(headers=(("connection", "upgrade"), ("upgrade", "chat"))), 1)
        self.assert_told("switched to chat")

    async def test_bad_url(self) -> None:
        """A URL that cannot be used is 3, and so is a header; nothing is sent and no file is made."""
        port = self.url.rpartition(":")[2]
        for url in ("ftp://host/", "host", "http://", "http://[::1", f"http://me:secret@127.0.0.1:{port}", "http://h:99999/"):
            self.stderr = StringIO()
            self.assertEqual(await self.get(url, output=str(self.file)), 3, url)
            self.assert_told("url: ")
            self.assertNotIn("secret", self.stderr.getvalue())
        self.stderr = StringIO()
        self.assertEqual(await self.get(headers=(("x", "a\r\nb: c"),), output=str(self.file)), 3)
        self.assert_told("control character")
        self.assertEqual((self.server.asked, os.listdir(self.folder)), ([], []))

    async def test_unwritable(self) -> None:
        """What cannot be written is 23, before anything is sent where that is known then."""
        self.assertEqual(await self.get(output=str(self.folder / "none" / "file")), 23)
        self.assert_told("No such file or directory")
        self.assertEqual(self.server.asked, [])

    async def test_full(self) -> None:
        """A device is written to, not replaced, and closed; a full one is 23."""
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        self.assertEqual(await self.get(output="/dev/full"), 23)
        self.assert_told("No space left on device")
        self.assertEqual(await self.get(output="/dev/null"), 0)
        self.assertEqual(self.flushWarnings(), [], "of files that were not closed")

    async def test_pipe_closed(self) -> None:
        """Output that nobody reads any more ends it without a word."""
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb", buffering=0) as stdout:
            self.stdout = stdout
            self.assertEqual(await self.get(), 141)
        self.assertEqual(self.stderr.getvalue(), "")

    async def test_unix(self) -> None:
        """--unix dials the socket; Host is still the URL's."""
        path = os.path.relpath(self.folder / "socket")
        self.listen(self.reactor.listenUNIX, path, self.server)
        self.assertEqual(await self.get("http://example.org:8080/", unix=path), 0)
        self.assertIn(b"host: example.org:8080\r\n", self.server.asked[0].lower())
        self.assertEqual(await self.get("http://example.org/", unix="nowhere"), 7)
        self.assert_told("no such UNIX socket")


class TlsFetchTests(FetchTests):
    """`fetch` over TLS: all of the above, and what only TLS has."""

    def setUp(self) -> None:
        super().setUp()
        self.pem = self.folder.with_suffix(".pem")
        self.pem.write_bytes(authority().pem)
        self.url = self.serve(ServerCreator(authority().issue("127.0.0.1")))

    def serve(self, creator: ServerCreator) -> str:
        """The URL of the server behind TLS."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        wrapped = TLSMemoryBIOFactory(creator, False, self.server)
        return f"https://127.0.0.1:{self.listen(self.reactor.listenTCP, 0, wrapped, interface='127.0.0.1')}/path"

    async def get(self, url: str | None = None, **order: Any) -> int:
        """Fetch, trusting the server unless told otherwise."""
        return await super().get(url, **{"cacert": str(self.pem), **order})

    async def test_untrusted(self) -> None:
        """A certificate that is refused is 60, and nothing was sent; --insecure accepts it."""
        self.assertEqual(await self.get(cacert=self.other_authority()), 60)
        self.assert_told("certificate", "--cacert", "--insecure")
        self.assertEqual(self.server.asked, [])
        self.assertEqual(await self.get(cacert=None, insecure=True), 0)

    async def test_wrong_name(self) -> None:
        """A certificate for somebody else is 60."""
        self.assertEqual(await self.get(self.serve(ServerCreator(authority().issue("elsewhere.example")))), 60)
        self.assert_told("elsewhere.example")

    async def test_client_certificate(self) -> None:
        """A server that wants a certificate is 35, until --cert gives one."""
        url = self.serve(ServerCreator(authority().issue("127.0.0.1"), clients=authority()))
        self.assertEqual(await self.get(url), 35)
        self.assert_told("--cert")
        own = self.folder.with_suffix(".own")
        own.write_bytes(authority().issue(common_name="me", uses=(CLIENT_AUTH,)).pem)
        self.assertEqual(await self.get(url, cert=str(own)), 0)

    async def test_bad_option(self) -> None:
        """A file that cannot be used is 3, and is told by the option's name here."""
        self.assertEqual(await self.get(cacert="nowhere.pem"), 3)
        self.assert_told("--cacert: expected")

    async def test_plain_server(self) -> None:
        """A server that does not speak TLS is 35."""
        plain = Server()
        plain.protocol = _Greeting
        port = self.listen(self.reactor.listenTCP, 0, plain, interface="127.0.0.1")
        self.assertEqual(await self.get(f"https://127.0.0.1:{port}/"), 35)
        self.assert_told("TLS", "https")

    async def test_unix(self) -> None:
        """--unix with https verifies the URL's host."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        path = os.path.relpath(self.folder / "socket")
        creator = ServerCreator(authority().issue("example.org"))
        self.listen(self.reactor.listenUNIX, path, TLSMemoryBIOFactory(creator, False, self.server))
        self.assertEqual(await self.get("https://example.org/", unix=path), 0)
        self.assertEqual(creator.server_names, [b"example.org"])
        self.assertEqual(await self.get("https://example.com/", unix=path), 60)

    def other_authority(self) -> str:
        """The path of an authority that has nothing to do with the server."""
        path = self.folder.with_suffix(".other")
        path.write_bytes(authority("another authority").pem)
        return str(path)


class _Greeting(Protocol):
    """Speaks first, and no TLS."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"220 ready\r\n")


class ExplainTests(SynchronousTestCase):
    """`explain`: status and advice of what is hard to bring about."""

    def test_statuses(self) -> None:
        """Each failure has its status, by what it came from where that says more."""
        lookup = gun.ConnectFailed("no name", DNSLookupError("no"))
        lost = gun.StreamClosed("lost")
        lost.__cause__ = gun.TlsFailed("alert", alert="certificate_required")
        cut = gun.Truncated("cut", 5)
        cut.__cause__ = gun.TlsFailed("bad record")
        for error, status in (
            (lookup, Exit.LOOKUP),
            (gun.ConnectFailed("gave up", lookup), Exit.LOOKUP),
            (gun.ConnectFailed("gave up", gun.TimedOut("connect", 1)), Exit.TIMED_OUT),
            (gun.ConnectFailed("refused", Refused()), Exit.CONNECT),
            (gun.ConnectionFailed("closed in the handshake"), Exit.TLS),
            (lost, Exit.TLS),
            (cut, Exit.TRUNCATED),
            (gun.LimitReached("http_opts.max_header_count", 256), Exit.FAILED),
            (gun.StreamRefused("not sent"), Exit.NO_RESPONSE),
            (gun.GoAway("not processed", 0, 1), Exit.NO_RESPONSE),
            (gun.StreamReset("cancelled", 8), Exit.RESET),
            (gun.BadState("a bug"), Exit.FAILED),
            (Unwritable("file", OSError(28, "full")), Exit.WRITE),
        ):
            self.assertEqual(explain(error)[0], status, error)

    def test_no_common_protocol(self) -> None:
        """A server that speaks nothing of what was ordered is told as that, not as one without TLS."""
        status, line = explain(gun.TlsFailed("the peer ended TLS", alert="no_application_protocol"))
        self.assertEqual(status, Exit.TLS)
        self.assertIn("leave out --http2 or --http1.1", line)

    def test_one_line(self) -> None:
        """What a server sent cannot add lines, nor speak to the terminal."""
        message = explain(gun.ProtocolViolation("bad\r\n\x1b[31m head"))[1]
        self.assertEqual(message, "bad   [31m head; the server is at fault")
