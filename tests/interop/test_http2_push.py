"""Server push, from nghttpd and from node: wanted, cancelled, and not wanted."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.interop.http2 import NghttpdCase, NodeCase
from twisted_gun.testing import RecordingReceiver


class NodeTests(NodeCase):
    """node, which pushes what the path says."""

    async def test_pushes(self) -> None:
        """Each push is told before the response, with its request; its own stream is told the pushed response."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            stream = conn.get("/push/3")
            pushes = [await stream.await_event() for _ in range(3)]
            for at, push in enumerate(pushes):
                assert isinstance(push, gun.Push)
                self.assertIs(push.stream, stream)
                self.assertEqual((push.method, push.uri), (b"GET", f"{url}/pushed/{at}".encode()))
                self.assertIn((b"x-pushed", b"%d" % at), push.headers)
            self.assertEqual(await self.body(stream), b"pushing")
            for at, push in enumerate(pushes):
                assert isinstance(push, gun.Push)
                response = await push.pushed_stream.await_response()
                self.assertEqual(response.status, 200)
                self.assertIn((b"x-number", b"%d" % at), response.headers)
                self.assertEqual(await push.pushed_stream.await_body(), b"pushed %d" % at)

    async def test_receiver(self) -> None:
        """What is pushed is told to the receiver of the stream it was promised on."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url, enable_push=True)
            conn.get("/push/2", reply_to=told)
            await conn.get("/n/1").await_body()
            await self.body(conn.get("/n/2"))
            pushed = [push.pushed_stream for push in told.of(gun.Push)]
            contents = {stream: b"".join(data.data for data in told.of(gun.Data) if data.stream is stream) for stream in pushed}
            self.assertEqual(list(contents.values()), [b"pushed 0", b"pushed 1"])
            self.assertEqual([name for name in told.names() if name == "gun_error"], [])

    async def test_response_passes_over_pushes(self) -> None:
        """await_response passes over pushes."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            self.assertEqual(await self.body(conn.get("/push/2")), b"pushing")

    async def test_cancelled(self) -> None:
        """A push that is cancelled is reset by CANCEL; the stream it came on, and the connection, go on."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            stream = conn.get("/push-long")
            push = await stream.await_event()
            assert isinstance(push, gun.Push)
            push.pushed_stream.cancel()
            self.assertEqual(await self.body(stream), b"pushing,cancelled by 8")
            self.assertTrue(push.pushed_stream.ended)
            self.assertEqual(await self.body(conn.get("/n/1")), b"GET /n/1")

    async def test_many(self) -> None:
        """A hundred pushes at once, twice, are all told whole."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            for _ in range(2):
                pushed: list[gun.Stream] = []
                stream = conn.get("/push/100")
                async for event in stream:
                    if isinstance(event, gun.Push):
                        pushed.append(event.pushed_stream)
                self.assertEqual([await self.body(each) for each in pushed], [b"pushed %d" % at for at in range(100)])

    async def test_not_wanted(self) -> None:
        """By default the server is told not to push, and does not."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url)
            conn.get("/push/2", reply_to=told)
            self.assertEqual(await self.body(conn.get("/n/1")), b"GET /n/1")
            response: Any = told.of(gun.Response)[0]
            self.assertIn((b"x-allowed", b"false"), response.headers)
            self.assertEqual(told.of(gun.Push), [])


class NghttpdTests(NghttpdCase):
    """nghttpd, which pushes two files along with a third."""

    arguments = ("--push", "/0=/1,/2")

    async def test_pushes(self) -> None:
        """Both are told, and both come."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            stream = conn.get("/0")
            pushes = [await stream.await_event() for _ in range(2)]
            self.assertEqual(await self.body(stream), b"file 0")
            for at, push in enumerate(pushes, 1):
                assert isinstance(push, gun.Push)
                self.assertEqual((push.method, push.uri), (b"GET", f"{url}/{at}".encode()))
                self.assertEqual(await self.body(push.pushed_stream), b"file %d" % at)

    async def test_cancelled(self) -> None:
        """Those that are cancelled are told no more; the connection goes on."""
        for url in self.urls:
            conn = await self.connect(url, enable_push=True)
            for _ in range(20):
                stream = conn.get("/0")
                for _ in range(2):
                    push = await stream.await_event()
                    assert isinstance(push, gun.Push)
                    push.pushed_stream.cancel()
                self.assertEqual(await self.body(stream), b"file 0")

    async def test_not_wanted(self) -> None:
        """By default nothing is pushed."""
        for url in self.urls:
            told = RecordingReceiver()
            conn = await self.connect(url)
            conn.get("/0", reply_to=told)
            self.assertEqual(await self.body(conn.get("/3")), b"file 3")
            self.assertEqual(told.names(), ["gun_response", "gun_data"])


class ReferenceNodeTests(NodeTests):
    """The reference core, with node."""

    core = "h2"


class ReferenceNghttpdTests(NghttpdTests):
    """The reference core, with nghttpd."""

    core = "h2"
