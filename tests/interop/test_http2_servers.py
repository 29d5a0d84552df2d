"""HTTP/2 against nghttpd, nginx, node and HAProxy: requests of every kind, and ten thousand of them on one connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

import twisted_gun as gun
from tests.interop.http2 import HAProxyCase, Http2Case, NghttpdCase, NginxCase, NodeCase
from tests.interop.servers import missing
from twisted_gun.testing import RecordingReceiver

# What is tested against several servers is no test case by itself: trial would run it.
if TYPE_CHECKING:
    _Case = Http2Case
else:
    _Case = object


class Many:
    """Requests, `at_once` of them in flight; `done` fires when `count` were answered. `wrong` keeps what should have been otherwise."""

    def __init__(self, case: Http2Case, conn: gun.Connection, count: int, at_once: int = 100) -> None:
        self._case, self._conn, self._count = case, conn, count
        self._next = 0
        self._pieces: dict[gun.Stream, list[bytes]] = {}
        self._expected: dict[gun.Stream, bytes] = {}
        self.answered = 0
        self.most = 0
        self.wrong: list[Any] = []
        self.done: Deferred[None] = Deferred()
        for _ in range(at_once):
            self._request()

    def _request(self) -> None:
        path, expected = self._case.numbered(self._next)
        self._next += 1
        stream = self._conn.get(path, reply_to=self._told)
        self._pieces[stream], self._expected[stream] = [], expected
        self.most = max(self.most, len(self._expected))

    def _told(self, event: Any) -> None:
        stream = event.stream
        if isinstance(event, gun.Data):
            self._pieces[stream].append(event.data)
        elif not isinstance(event, gun.Trailers) and not (isinstance(event, gun.Response) and event.status == 200):
            self.wrong.append(event)
        if event.fin:
            self._ended(stream)

    def _ended(self, stream: gun.Stream) -> None:
        content, expected = b"".join(self._pieces.pop(stream)), self._expected.pop(stream)
        if content != expected:
            self.wrong.append((content, expected))
        self.answered += 1
        if self._next < self._count:
            self._request()
        elif not self._expected:
            self.done.callback(None)


class ManyTests(_Case):
    """Many requests on one connection."""

    #: How many.
    requests = 10_000

    async def test_ten_thousand(self) -> None:
        """Ten thousand requests, a hundred at a time, are all answered, each with its own content, on one connection."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            self.assertEqual(await self.body(conn.get(self.numbered(0)[0])), self.numbered(0)[1])
            many = Many(self, conn, self.requests)
            await many.done
            self.assertEqual((many.answered, many.most, many.wrong[:3]), (self.requests, 100, []))
            self.assertEqual(told.names(), ["gun_up"])

    async def test_hundred_awaited(self) -> None:
        """A hundred requests made at once, before the connection is up, are answered on that one connection."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = self.open(url, owner=told)
            streams = [conn.get(self.numbered(number)[0]) for number in range(100)]
            for number, stream in enumerate(streams):
                self.assertEqual(await self.body(stream), self.numbered(number)[1])
            self.assertEqual(told.names(), ["gun_up"])


class ApplicationTests(_Case):
    """What an application is asked, and answers: http2.js, in node itself or behind another server."""

    def echo(self, conn: gun.Connection, method: str, body: Any = None) -> gun.Stream:
        return conn.request(method, f"{self.application}/echo", {"x-said": method.lower()}, body)

    async def test_verbs(self) -> None:
        """Each verb arrives as what it is, with its headers and its content, at the same time as the others."""
        for url in self.urls:
            conn = await self.connect(url)
            sent = [(method, b"") for method in "GET HEAD DELETE OPTIONS PROPFIND".split()]
            sent += [(method, b"sent by " + method.encode()) for method in "POST PUT PATCH".split()]
            streams = [self.echo(conn, method, body or None) for method, body in sent]
            for (method, body), stream in zip(sent, streams, strict=True):
                response = await stream.await_response()
                self.assertEqual(response.status, 200)
                for field in ((b"x-method", method.encode()), (b"x-said", method.lower().encode())):
                    self.assertIn(field, response.headers)
                self.assertEqual([value for name, value in response.headers if name == b"x-twice"], [b"one", b"two"])
                self.assertEqual(b"" if response.fin else await stream.await_body(), body)

    async def test_methods_of_connection(self) -> None:
        """The connection's own methods send what they are named after."""
        for url in self.urls:
            conn = await self.connect(url)
            path = f"{self.application}/echo"
            streams = [conn.get(path), conn.head(path), conn.delete(path), conn.options(path)]
            streams += [conn.post(path, body=b"x"), conn.put(path, body=b"x"), conn.patch(path, body=b"x")]
            for method, stream in zip("GET HEAD DELETE OPTIONS POST PUT PATCH".split(), streams, strict=True):
                self.assertIn((b"x-method", method.encode()), (await stream.await_response()).headers)

    async def test_statuses(self) -> None:
        """Statuses are told as they are, those without content too."""
        for url in self.urls:
            conn = await self.connect(url)
            statuses = (200, 204, 205, 299, 301, 304, 404, 418, 500, 503, 599)
            streams = [conn.get(f"{self.application}/status/{status}") for status in statuses]
            for status, stream in zip(statuses, streams, strict=True):
                self.assertEqual((await self.body(stream, status)), b"")

    async def test_headers(self) -> None:
        """Headers arrive as they were given: long, empty, repeated, with any visible character; those that HTTP/2 forbids do not."""
        given = [("x-long", "a" * 4000), ("x-empty", ""), ("x-odd", "~!@#$%^&*()_+{}|:<>?`-=[];',./"), ("x-same", "1"), ("x-same", "2")]
        for url in self.urls:
            conn = await self.connect(url)
            for _ in range(3):  # the second time they are in the table of HPACK
                stream = conn.get(
                    f"{self.application}/headers", [*given, ("connection", "keep-alive"), ("cookie", "a=b"), ("te", "trailers")]
                )
                got = json.loads(await self.body(stream))
                wanted = {"x-long": "a" * 4000, "x-empty": "", "x-odd": given[2][1], "x-same": "1, 2", "cookie": "a=b"}
                self.assertEqual({name: got.get(name) for name in wanted}, wanted)
                self.assertFalse({"keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} & got.keys())

    async def test_streamed_upload(self) -> None:
        """Content of unknown length, many windows of it, goes up piece by piece and comes back the same; two at a time do not mix."""
        pieces = [bytes([at]) * (at * 997) for at in range(1, 60)]
        for url in self.urls:
            conn = await self.connect(url)
            uploads = [conn.put(f"{self.application}/echo", {"content-type": "x/y"}) for _ in range(2)]
            for piece in pieces:
                uploads[0].data(piece)
                uploads[1].data(piece + b"second")
            for upload, expected in zip(uploads, (b"".join(pieces), b"".join(piece + b"second" for piece in pieces)), strict=True):
                upload.data(b"", fin=True)
                self.assertEqual(await self.body(upload), expected)

    async def test_uploads_and_downloads(self) -> None:
        """Twenty uploads of 300 kB and twenty downloads at the same time come through whole."""
        for url in self.urls:
            conn = await self.connect(url)
            contents = [bytes([at]) * 300_000 for at in range(20)]
            uploads = [conn.post(f"{self.application}/echo", body=content) for content in contents]
            downloads = [conn.get(f"{self.application}/bytes/{300_000 + at}") for at in range(20)]
            for at, (upload, download) in enumerate(zip(uploads, downloads, strict=True)):
                self.assertEqual(await self.body(upload), contents[at])
                self.assertEqual(await self.body(download), (b"0123456789abcdef" * 20_000)[: 300_000 + at])


class TrailersTests(_Case):
    """What node sends behind the content; from behind HAProxy it comes as chunked content's."""

    async def test_trailers(self) -> None:
        """Trailers are told after the content."""
        for url in self.urls:
            stream = (await self.connect(url)).get("/trailers")
            self.assertEqual(await self.body(stream), b"one,two")
            self.assertEqual(stream.trailers, ((b"x-length", b"7"),))


class NodeTests(ManyTests, TrailersTests, ApplicationTests, NodeCase):
    """node by itself."""

    async def test_early_hints(self) -> None:
        """103 is told by itself, before the response."""
        for url in self.urls:
            stream = (await self.connect(url)).get("/hints")
            hints = await stream.await_event()
            assert isinstance(hints, gun.Inform)
            self.assertEqual((hints.status, hints.headers), (103, ((b"link", b"</style.css>; rel=preload; as=style"),)))
            self.assertEqual(await self.body(stream), b"hinted")

    async def test_continue(self) -> None:
        """With expect: 100-continue the content can wait for node to ask for it."""
        for url in self.urls:
            stream = (await self.connect(url)).post("/echo", {"content-length": "5", "expect": "100-continue"})
            inform = await stream.await_event()
            assert isinstance(inform, gun.Inform)
            self.assertEqual(inform.status, 100)
            stream.data(b"given", fin=True)
            self.assertEqual(await self.body(stream), b"given")


class HAProxyTests(ManyTests, TrailersTests, ApplicationTests, HAProxyCase):
    """HAProxy, with node behind it."""

    async def test_early_hints(self) -> None:
        """103 that comes from behind it is told before the response."""
        for url in self.urls:
            stream = (await self.connect(url)).get("/hints")
            hints = await stream.await_event()
            assert isinstance(hints, gun.Inform)
            self.assertEqual(hints.status, 103)
            self.assertEqual(await self.body(stream), b"hinted")


class NginxTests(ManyTests, NginxCase):
    """nginx by itself."""

    def numbered(self, number: int) -> tuple[str, bytes]:
        return f"/{number}", b"GET /%d" % number

    async def test_files(self) -> None:
        """GET, HEAD, 304, 206, 404 at the same time come back each with its own."""
        text = b"the quick brown fox jumps over the lazy dog\n" * 5000
        (self.files / "text").write_bytes(text)
        for url in self.urls:
            conn = await self.connect(url)
            first = await conn.head("/files/text").await_response()
            self.assertTrue(first.fin)
            self.assertIn((b"content-length", b"%d" % len(text)), first.headers)
            etag = dict(first.headers)[b"etag"]
            for _ in range(10):
                streams = [
                    (conn.get("/files/text"), 200, text),
                    (conn.head("/files/text"), 200, b""),
                    (conn.get("/files/text", {"if-none-match": etag}), 304, b""),
                    (conn.get("/files/text", {"range": "bytes=4-8"}), 206, text[4:9]),
                    (conn.get("/files/nowhere"), 404, None),
                ]
                for stream, status, expected in streams:
                    self.assertIn(expected, (await self.body(stream, status), None))

    async def test_uploads(self) -> None:
        """Uploads, with their length and without, are what nginx keeps."""
        contents = [bytes([at]) * 100_000 * at for at in range(6)]
        for url in self.urls:
            conn = await self.connect(url)
            uploads = [conn.put(f"/files/{at}", {"content-type": "x/y"} if at % 2 else (), body) for at, body in enumerate(contents)]
            for at, upload in enumerate(uploads):
                self.assertIn((await upload.await_response()).status, (201, 204))
                self.assertEqual((self.files / str(at)).read_bytes(), contents[at])

    async def test_early_answer(self) -> None:
        """An answer that comes during the upload ends that upload only: the connection goes on."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            stream = conn.put("/small/much", {"content-type": "x/y"})
            for _ in range(20):
                stream.data(b"x" * 50_000)
            self.assertEqual((await stream.await_response()).status, 413)
            self.assertIn(b"413", await stream.await_body())
            self.assertEqual(await self.body(conn.get("/next")), b"GET /next")
            self.assertEqual(told.names(), ["gun_up"])

    async def test_keepalive_requests(self) -> None:
        """nginx that goes away after five requests costs none: what is made one by one goes on on the next connection."""
        for url in self.few:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            for at in range(12):
                self.assertEqual(await self.body(conn.get(f"/{at}")), b"GET /%d" % at)
            self.assertEqual(told.names()[:5], ["gun_up"] + ["gun_down", "gun_up"] * 2)
            self.assertEqual([down.reason for down in told.of(gun.Down)[:2]], [None, None])

    async def test_all_at_once_beyond_keepalive_requests(self) -> None:
        """Of twelve made at once those that nginx did not take are told so and listed; sent again, all are answered, each once."""
        for url in self.few:
            told = RecordingReceiver()
            conn = await self.connect(url, owner=told)
            refused = list(range(12))
            answered: list[int] = []
            unprocessed: set[gun.Stream] = set()
            while refused:
                streams = {at: conn.get(f"/{at}") for at in refused}
                refused = []
                for at, stream in streams.items():
                    try:
                        self.assertEqual(await self.body(stream), b"GET /%d" % at)
                        answered.append(at)
                    except (gun.GoAway, gun.StreamRefused):
                        refused.append(at)
                        unprocessed.add(stream)
            self.assertEqual(sorted(answered), list(range(12)))
            await self.body(conn.get("/"))
            downs = told.of(gun.Down)
            self.assertEqual({stream for down in downs for stream in down.unprocessed_streams}, unprocessed)
            self.assertEqual({stream for down in downs for stream in down.killed_streams}, set())

    async def test_http_1_by_alpn(self) -> None:
        """Over TLS a server without HTTP/2 is spoken to in HTTP/1.1."""
        conn = self.open(self.old)
        self.assertEqual(await conn.await_up(), "http")
        self.assertEqual(await self.body(conn.get("/")), b"HTTP/1.1")

    async def test_http_2_or_nothing(self) -> None:
        """A server that is to speak HTTP/2 and cannot is refused in the handshake."""
        conn = self.open(self.old, protocols=["http2"], retry=0)
        error: Any = await self.assertFailure(conn.await_up(), gun.TlsFailed)
        self.assertEqual(error.alert, "no_application_protocol")


class NginxProxyTests(ApplicationTests, NginxCase):
    """nginx, with node behind it."""

    skip = NginxCase.skip or missing("node", "nodejs")

    async def behind(self) -> int:
        return int((await self.start_node())["behind"].rsplit(":", 1)[1])


class NghttpdTests(ManyTests, NghttpdCase):
    """nghttpd."""

    async def test_verbs(self) -> None:
        """What is posted or put comes back, with the file's own path for all other verbs."""
        for url in self.urls:
            conn = await self.connect(url)
            sent = [conn.post("/0", body=b"posted"), conn.put("/0", {"content-type": "x/y"})]
            sent[1].data(b"pu")
            sent[1].data(b"t", fin=True)
            got = [conn.get("/0"), conn.options("/0"), conn.delete("/0"), conn.patch("/0", body=b"x")]
            self.assertEqual([await self.body(stream) for stream in sent], [b"posted", b"put"])
            self.assertEqual([await self.body(stream) for stream in got], [b"file 0"] * 4)
            head = await conn.head("/0").await_response()
            self.assertTrue(head.fin)
            self.assertIn((b"content-length", b"6"), head.headers)
            self.assertIn(b"404", await self.body(conn.get("/nowhere"), 404))

    async def test_much(self) -> None:
        """Content of many windows goes up and comes back."""
        content = bytes(range(256)) * 8000
        for url in self.urls:
            conn = await self.connect(url)
            # Once its settings are known: nghttpd resets what was sent before that if it is more than they allow.
            self.assertEqual(await self.body(conn.get("/0")), b"file 0")
            streams = [conn.post("/0", body=content) for _ in range(3)]
            for stream in streams:
                self.assertEqual(await self.body(stream), content)


class OddNghttpdTests(NghttpdTests):
    """nghttpd that pads all it can, has no table for HPACK, keeps its windows small, and sends trailers."""

    requests = 1000
    arguments = ("--echo-upload", "-b", "255", "-c", "0", "-w", "12", "--trailer", "x-end: yes")

    async def test_trailers(self) -> None:
        """Trailers are told after the content."""
        for url in self.urls:
            stream = (await self.connect(url)).get("/7")
            self.assertEqual(await self.body(stream), b"file 7")
            self.assertEqual(stream.trailers, ((b"x-end", b"yes"),))


class ReferenceNodeTests(NodeTests):
    """The reference core against node."""

    core, requests = "h2", 1000


class ReferenceHAProxyTests(HAProxyTests):
    """The reference core against HAProxy."""

    core, requests = "h2", 1000


class ReferenceNginxTests(NginxTests):
    """The reference core against nginx."""

    core, requests = "h2", 1000


class ReferenceNginxProxyTests(NginxProxyTests):
    """The reference core against nginx with node behind it."""

    core = "h2"


class ReferenceNghttpdTests(NghttpdTests):
    """The reference core against nghttpd."""

    core, requests = "h2", 1000


class ReferenceOddNghttpdTests(OddNghttpdTests):
    """The reference core against an odd nghttpd."""

    core = "h2"
