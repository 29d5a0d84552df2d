"""HTTP/1.1 against nginx: framing, keeping connections and losing them, uploads, answers that come early."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import twisted_gun as gun
from tests.interop.servers import Nginx, ServerCase, close, free_port, missing_nginx
from tests.producers import Body
from twisted_gun.testing import RecordingReceiver

#: $connection is a number for each connection, $connection_requests counts the requests on it.
SERVER = """
server {
    listen 127.0.0.1:{port};
    listen unix:{root}/nginx.sock;
    root {root}/files;
    location / { return 200 "$request_method $request_uri $connection $connection_requests"; }
    location = /nothing { return 204; }
    location /files/ {
        root {root};
        dav_methods PUT DELETE;
        client_max_body_size 0;
        add_header x-sent "$http_transfer_encoding/$http_content_length" always;
    }
    location /zipped/ { alias {root}/files/; gzip on; gzip_types text/plain; gzip_min_length 1; }
    location /small/ { root {root}; dav_methods PUT; client_max_body_size 64k; }
    location /few/ { keepalive_requests 5; return 200 "$request_uri $connection $connection_requests"; }
    location /closed/ { keepalive_timeout 0; return 200 "$connection"; }
}
"""

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 500


class NginxCase(ServerCase):
    """nginx, with a file of `TEXT`, and a connection to it."""

    timeout = 60
    skip = missing_nginx("http_dav_module")

    async def setUp(self) -> None:  # type: ignore[override]
        self.port = free_port()
        self.nginx = Nginx(self, SERVER.replace("{port}", str(self.port)))
        self.files = self.nginx.root / "files"
        for name in ("files", "small"):
            (self.nginx.root / name).mkdir()
        (self.files / "text").write_bytes(TEXT)
        await self.nginx.start()
        self.told = RecordingReceiver()
        self.conn = self.open(gun.open("127.0.0.1", self.port, owner=self.told))
        await self.conn.await_up()

    def open(self, conn: gun.Connection) -> gun.Connection:
        """`conn`, which is closed when the test is over."""
        self.addCleanup(close, conn)
        return conn


class FramingTests(NginxCase):
    """Requests and responses of every shape."""

    async def test_methods(self) -> None:
        """Each verb arrives as what it is, one after the other on one connection."""
        conn = self.conn
        streams = [conn.get("/"), conn.options("/"), conn.delete("/"), conn.request("PROPFIND", "/")]
        streams += [conn.post("/", body=b"x"), conn.put("/", body=b"x"), conn.patch("/", body=b"x")]
        methods = b"GET OPTIONS DELETE PROPFIND POST PUT PATCH".split()
        connection = b""
        for at, (method, stream) in enumerate(zip(methods, streams, strict=True)):
            told, path, connection, count = (await self.body(stream)).split()
            self.assertEqual((told, path, count), (method, b"/", b"%d" % (at + 1)))
        self.assertEqual(await self.body(conn.get("/")), b"GET / %b 8" % connection)

    async def test_keep_alive(self) -> None:
        """Requests made one after the other travel on one connection."""
        answers = [await self.body(self.conn.get(f"/{at}")) for at in range(20)]
        connection = answers[0].split()[2]
        self.assertEqual(answers, [b"GET /%d %b %d" % (at, connection, at + 1) for at in range(20)])
        self.assertEqual(self.told.names(), ["gun_up"])

    async def test_pipelining(self) -> None:
        """Fifty requests made at once are answered in order, on one connection."""
        streams = [self.conn.get(f"/{at}") for at in range(50)]
        answers = [await self.body(stream) for stream in streams]
        connection = answers[0].split()[2]
        self.assertEqual(answers, [b"GET /%d %b %d" % (at, connection, at + 1) for at in range(50)])

    async def test_head(self) -> None:
        """HEAD has the length and no content, and the next response is found behind it."""
        stream, after = self.conn.head("/files/text"), self.conn.get("/")
        response = await stream.await_response()
        self.assertTrue(response.fin)
        self.assertIn((b"content-length", b"%d" % len(TEXT)), response.headers)
        self.assertTrue((await self.body(after)).startswith(b"GET / "))

    async def test_no_content(self) -> None:
        """204 has no content, and the next response is found behind it."""
        stream, after = self.conn.get("/nothing"), self.conn.get("/")
        self.assertTrue((await stream.await_response()).fin)
        self.assertTrue((await self.body(after)).startswith(b"GET / "))

    async def test_not_modified(self) -> None:
        """304 has no content, and the next response is found behind it."""
        first = self.conn.get("/files/text")
        etag = dict((await first.await_response()).headers)[b"etag"]
        stream, after = self.conn.get("/files/text", {"if-none-match": etag}), self.conn.get("/")
        response = await stream.await_response()
        self.assertEqual((response.status, response.fin), (304, True))
        self.assertTrue((await self.body(after)).startswith(b"GET / "))
        self.assertEqual(await first.await_body(), TEXT)

    async def test_gzip(self) -> None:
        """A compressed response, which nginx sends chunked, is given as it is."""
        stream = self.conn.get("/zipped/text", {"accept-encoding": "gzip"})
        headers = dict((await stream.await_response()).headers)
        self.assertEqual((headers[b"content-encoding"], headers[b"transfer-encoding"]), (b"gzip", b"chunked"))
        self.assertEqual(gzip.decompress(await stream.await_body()), TEXT)

    async def test_range(self) -> None:
        """A range is told as 206 with just that, several as parts of one content."""
        one = self.conn.get("/files/text", {"range": "bytes=4-8"})
        several = self.conn.get("/files/text", {"range": "bytes=4-8,10-14"})
        response = await one.await_response()
        self.assertEqual(response.status, 206)
        self.assertIn((b"content-range", b"bytes 4-8/%d" % len(TEXT)), response.headers)
        self.assertEqual(await one.await_body(), TEXT[4:9])
        parts = await self.body(several, 206)
        self.assertIn(b"\r\n\r\n" + TEXT[4:9] + b"\r\n", parts)
        self.assertIn(b"\r\n\r\n" + TEXT[10:15] + b"\r\n", parts)

    async def test_unix_socket(self) -> None:
        """open_unix speaks to a UNIX socket; the authority is localhost."""
        conn = self.open(gun.open_unix(str(self.nginx.root / "nginx.sock")))
        self.assertTrue((await self.body(conn.get("/"))).startswith(b"GET / "))
        self.assertEqual(await self.body(conn.get("/files/text")), TEXT)


class UploadTests(NginxCase):
    """Content that goes up, and what nginx made of it."""

    async def put(self, name: str, headers: Any, pieces: list[bytes]) -> dict[bytes, bytes]:
        """Put `pieces`; the headers of the response."""
        stream = self.conn.put(f"/files/{name}", headers)
        for piece in pieces:
            stream.data(piece)
        stream.data(b"", fin=True)
        response = await stream.await_response()
        self.assertEqual(response.status, 201)
        return dict(response.headers)

    async def test_chunked(self) -> None:
        """Content of unknown length goes up in chunks."""
        pieces = [bytes([at]) * (at * 997) for at in range(1, 60)]
        headers = await self.put("chunked", {"content-type": "text/plain"}, pieces)
        self.assertEqual(headers[b"x-sent"], b"chunked/")
        self.assertEqual((self.files / "chunked").read_bytes(), b"".join(pieces))

    async def test_content_length(self) -> None:
        """Content whose length was given goes up as it is."""
        pieces = [bytes([at]) * (at * 997) for at in range(1, 60)]
        size = sum(map(len, pieces))
        headers = await self.put("length", {"content-length": str(size)}, pieces)
        self.assertEqual(headers[b"x-sent"], b"/%d" % size)
        self.assertEqual((self.files / "length").read_bytes(), b"".join(pieces))

    async def test_pipelined_uploads(self) -> None:
        """Uploads of either kind and downloads behind each other do not mix."""
        contents = [os.urandom(100_000 + at) for at in range(6)]
        uploads = [self.conn.put(f"/files/{at}", {"content-type": "x/y"} if at % 2 else (), body) for at, body in enumerate(contents)]
        downloads = [self.conn.get("/files/text") for _ in contents]
        for upload in uploads:
            self.assertEqual((await upload.await_response()).status, 201)
        for download in downloads:
            self.assertEqual(await self.body(download), TEXT)
        for at, content in enumerate(contents):
            self.assertEqual(_digest(self.files / str(at)), hashlib.sha256(content).hexdigest())

    async def test_continue(self) -> None:
        """With expect: 100-continue the content can wait for nginx to ask for it."""
        stream = self.conn.put("/files/asked", {"content-length": "5", "expect": "100-continue"})
        inform = await stream.await_event()
        self.assertIsInstance(inform, gun.Inform)
        self.assertEqual(inform.status, 100)  # type: ignore[union-attr]
        stream.data(b"given", fin=True)
        self.assertEqual((await stream.await_response()).status, 201)
        self.assertEqual((self.files / "asked").read_bytes(), b"given")

    async def test_expectation_not_met(self) -> None:
        """With expect: 100-continue nginx refuses before the content was sent; the next request goes out on a new connection."""
        stream = self.conn.put("/small/refused", {"content-length": "1000000", "expect": "100-continue"})
        self.assertEqual((await stream.await_response()).status, 413)
        await stream.await_body()
        self.assertRaises(gun.BadState, stream.data, b"x")
        self.assertTrue((await self.body(self.conn.get("/"))).startswith(b"GET / "))

    async def test_early_answer(self) -> None:
        """An answer that comes during the upload is told, its producer is stopped, and the connection is made anew."""
        body = Body(10_000_000)
        stream = self.conn.put("/small/much", (), body)
        body.consumer.write(b"x" * 1_000_000)
        self.assertEqual((await stream.await_response()).status, 413)
        self.assertIn(b"413", await stream.await_body())
        self.assertEqual(body.asked.count("stop"), 1)
        self.assertTrue((await self.body(self.conn.get("/"))).startswith(b"GET / "))
        self.assertEqual(self.told.names(), ["gun_up", "gun_down", "gun_up"])

    async def test_early_answer_to_chunks(self) -> None:
        """The same where nginx learns only from the chunks that they are too many; what waited behind it can be sent again."""
        stream = self.conn.put("/small/much", {"content-type": "x/y"})
        behind = self.conn.get("/behind")
        for _ in range(20):
            stream.data(b"x" * 50_000)
        self.assertEqual((await stream.await_response()).status, 413)
        await self.assertFailure(behind.await_response(), gun.StreamRefused)
        self.assertTrue((await self.body(self.conn.get("/behind"))).startswith(b"GET /behind "))
        down = self.told.of(gun.Down)[0]
        self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), (behind,)))


class EndTests(NginxCase):
    """Connections that nginx ends, in good order."""

    async def test_last_request_of_a_connection(self) -> None:
        """After keepalive_requests nginx closes; requests made one by one go on on the next connection."""
        answers = [await self.body(self.conn.get(f"/few/{at}")) for at in range(12)]
        self.assertEqual([int(answer.split()[2]) for answer in answers], [1, 2, 3, 4, 5] * 2 + [1, 2])
        self.assertEqual(self.told.names(), ["gun_up"] + ["gun_down", "gun_up"] * 2)

    async def test_pipelined_behind_the_last(self) -> None:
        """Those pipelined behind the last are told so, listed as unprocessed, and none is lost: sent again, all are answered."""
        answered: list[int] = []
        refused = list(range(12))
        rounds = 0
        while refused:
            rounds += 1
            streams = {at: self.conn.get(f"/few/{at}") for at in refused}
            refused = []
            for at, stream in streams.items():
                try:
                    self.assertTrue((await self.body(stream)).startswith(b"/few/%d " % at))
                    answered.append(at)
                except gun.StreamRefused:
                    refused.append(at)
        self.assertEqual((answered, rounds), (list(range(12)), 3))
        self.assertEqual([len(down.unprocessed_streams) for down in self.told.of(gun.Down)], [7, 2])
        self.assertEqual([down.killed_streams for down in self.told.of(gun.Down)], [(), ()])

    async def test_never_kept(self) -> None:
        """Where nginx closes after every response, each request has a connection of its own."""
        answers = [await self.body(self.conn.get("/closed/")) for _ in range(5)]
        self.assertEqual(len(set(answers)), 5)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
