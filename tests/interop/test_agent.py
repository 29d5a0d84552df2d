"""`GunAgent` against real servers: what it is asked, what it brings back, and that it leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, PartialDownloadError, ResponseFailed, ResponseNeverReceived, readBody
from twisted.web.http_headers import Headers

import twisted_gun as gun
from tests.interop.agents import AgentCase, sockets
from tests.interop.http2 import NginxCase
from tests.interop.servers import free_port
from twisted_gun.agent import GunAgent
from twisted_gun.testing.proxies import ProxyFactory


def producer(data: bytes) -> Any:
    """`data` as a producer of content."""
    make: Any = FileBodyProducer
    return make(io.BytesIO(data), Cooperator())


class Slow(Protocol):
    """Takes content in pieces, and rests for `turns` turns of the reactor after each of them; `most` is the most that came in one rest."""

    def __init__(self, turns: int) -> None:
        self.finished: Deferred[None] = Deferred()
        self.size = self.told = self.most = 0
        self._turns = turns
        self._digest = hashlib.sha256()
        self._resting = False

    def dataReceived(self, data: bytes) -> None:
        assert not self._resting, "it was paused"
        self.size += len(data)
        self.told += 1
        if self.told % 16 == 0:
            self._resting = True
            transport: Any = self.transport
            transport.pauseProducing()
            self._rest(self._turns)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.finished.callback(None)

    def _rest(self, turns: int) -> None:
        from twisted.internet import reactor

        timed: Any = reactor
        if turns:
            timed.callLater(0, self._rest, turns - 1)
        else:
            self._resting = False
            transport: Any = self.transport
            transport.resumeProducing()


class NodeTests(AgentCase):
    """node, over HTTP/1.1 and HTTP/2."""

    def url(self, path: str) -> bytes:
        return (self.base + path).encode()

    async def ask(self, agent: GunAgent, path: str, method: bytes = b"GET", **arguments: Any) -> tuple[Any, bytes]:
        """A response and its content."""
        response: Any = await agent.request(method, self.url(path), **arguments)
        return response, await readBody(response)

    async def test_request(self) -> None:
        """Method, path, fields and content arrive, and the response tells which version it is."""
        for version, agent in self.versions.items():
            headers = Headers({b"X-Twice": [b"1", b"2"], b"Content-Type": [b"text/plain"]})
            response, body = await self.ask(agent, "/echo?a=b", b"PATCH", headers=headers, bodyProducer=producer(b"content"))
            told = json.loads(body)
            self.assertEqual((response.version[1], told["version"]), (version, "1.1" if version == 1 else "2.0"))
            self.assertEqual((told["method"], told["url"], told["body"]), ("PATCH", "/echo?a=b", "content"))
            self.assertEqual((told["headers"]["x-twice"], told["headers"]["content-length"]), ("1, 2", "7"))
            self.assertEqual(response.headers.getRawHeaders(b"content-type"), [b"application/json"])

    async def test_many(self) -> None:
        """Many at once: over HTTP/1.1 on the connections that are allowed, over HTTP/2 on one."""
        for version, agent in self.versions.items():
            answers = await gatherResults([Deferred.fromCoroutine(self.ask(agent, f"/echo?{number}")) for number in range(200)])
            self.assertEqual([json.loads(body)["url"] for _, body in answers], [f"/echo?{number}" for number in range(200)])
            info = agent.info()
            self.assertEqual((info.opened, info.requests, info.waiting), (6 if version == 1 else 1, 200, 0))

    async def test_no_content(self) -> None:
        """HEAD, and a status without content."""
        for agent in self.versions.values():
            for method, path, status in ((b"HEAD", "/echo", 200), (b"GET", "/empty", 204)):
                response, body = await self.ask(agent, path, method)
                self.assertEqual((response.code, response.length, body), (status, 0, b""))

    async def test_trailers_and_hints(self) -> None:
        """Trailers, and interim responses, are there."""
        for agent in self.versions.values():
            response, body = await self.ask(agent, "/trailers")
            self.assertEqual((body, response.trailers.getRawHeaders(b"x-sum")), (b"content", [b"7"]))
            response, body = await self.ask(agent, "/hints")
            self.assertEqual((body, [status for status, _ in response.informed]), (b"hinted", [103]))

    async def test_back_pressure(self) -> None:
        """A protocol that rests holds the server back, and gets all of it."""
        for agent in self.versions.values():
            response: Any = await agent.request(b"GET", self.url("/large"))
            slow = Slow(turns=3)
            response.deliverBody(slow)
            await slow.finished
            self.assertEqual(slow.size, 20_000_000)

    async def test_upload(self) -> None:
        """A large content, of a producer that is held back."""
        for agent in self.versions.values():
            _, body = await self.ask(agent, "/digest", b"POST", bodyProducer=producer(b"x" * 10_000_000))
            self.assertEqual(body, b"10000000")

    async def test_expect(self) -> None:
        """Content that is asked for first."""
        for agent in self.versions.values():
            headers = Headers({b"Expect": [b"100-continue"]})
            response, body = await self.ask(agent, "/digest", b"PUT", headers=headers, bodyProducer=producer(b"x" * 1000))
            self.assertEqual((body, [status for status, _ in response.informed]), (b"1000", [100]))
            response, body = await self.ask(agent, "/refuse", b"PUT", headers=headers, bodyProducer=producer(b"x" * 1000))
            self.assertEqual((response.code, body), (417, b"it is not wanted"))

    async def test_cut_off(self) -> None:
        """Content that is cut off, and a request that is."""
        for agent in self.versions.values():
            response: Any = await agent.request(b"GET", self.url("/cut"))
            cut_off = await self.assertFailure(readBody(response), ResponseFailed)
            self.assertIsInstance(cut_off, gun.GunError)
            reset = await self.assertFailure(agent.request(b"POST", self.url("/reset")), ResponseNeverReceived)
            self.assertIsInstance(reset, gun.GunError)

    async def test_until_close(self) -> None:
        """Content that ends with the connection may not be all of it."""
        response: Any = await self.versions[1].request(b"GET", self.url("/until-close"))
        failed: Any = await self.assertFailure(readBody(response), PartialDownloadError)
        self.assertEqual(failed.response, b"all there is")

    async def test_cancelled(self) -> None:
        """Requests that are cancelled in any state leave nothing, and the agent goes on."""
        for agent in self.versions.values():
            asked = [agent.request(b"GET", self.url("/never")) for _ in range(20)]
            await self.ask(agent, "/echo") if agent is self.versions[2] else None
            for each in asked:
                each.cancel()
                each.addErrback(lambda _: None)
            _, body = await self.ask(agent, "/echo?after")
            self.assertEqual(json.loads(body)["url"], "/echo?after")
            self.assertEqual(agent.info().waiting, 0)

    async def test_nothing_left(self) -> None:
        """When it is closed, no socket is left."""
        before = sockets()
        agent = self.agent(protocols=["http"])
        await gatherResults([Deferred.fromCoroutine(self.ask(agent, "/echo")) for _ in range(20)])
        self.assertEqual(sockets(), before + 6)
        await agent.close()
        self.assertEqual(sockets(), before)

    async def test_unread(self) -> None:
        """Large responses that nobody reads, or holds, do not use up the connections."""
        agent = self.versions[1]
        for _ in range(20):
            response: Any = await agent.request(b"GET", self.url("/large"))
            self.assertEqual(response.code, 200)
            del response
        _, body = await self.ask(agent, "/echo?after")
        self.assertEqual(json.loads(body)["url"], "/echo?after")

    async def test_no_server(self) -> None:
        """Nobody listens, no such host, and a certificate of nobody who is trusted."""
        agent = GunAgent()
        self.addCleanup(agent.close)
        await self.assertFailure(agent.request(b"GET", b"http://127.0.0.1:%d/" % free_port()), error.ConnectionRefusedError)
        await self.assertFailure(agent.request(b"GET", b"http://no-such-host.invalid/"), error.DNSLookupError)
        untrusted = await self.assertFailure(agent.request(b"GET", self.url("/echo")), ResponseNeverReceived)
        self.assertIsInstance(untrusted, gun.TlsFailed)


class ProxyTests(AgentCase):
    """Through proxies, which are part of what makes connections the same."""

    def proxy(self, kind: str) -> tuple[ProxyFactory, str]:
        """A proxy with credentials, and its URL."""
        from twisted.internet import reactor

        listening: Any = reactor
        factory = ProxyFactory(kind, lambda host, port: TCP4ClientEndpoint(listening, host, port), credentials=("ann", "secret"))
        port = listening.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return factory, f"{kind}://ann:secret@127.0.0.1:{port.getHost().port}"

    async def test_tunnels(self) -> None:
        """HTTP/2 with the origin through either kind of proxy; other origins have tunnels of their own."""
        for kind in ("http", "socks5"):
            factory, url = self.proxy(kind)
            agent = self.agent(proxy=url)
            for number in range(3):
                response: Any = await agent.request(b"GET", f"{self.base}/echo?{number}".encode())
                self.assertEqual((response.version[1], json.loads(await readBody(response))["url"]), (2, f"/echo?{number}"))
            plain: Any = await agent.request(b"GET", b"http://127.0.0.1:%d/echo" % self.ports["plain"])
            self.assertEqual((plain.version[1], json.loads(await readBody(plain))["version"]), (1, "1.1"))
            self.assertEqual(sorted(tunnel.port for tunnel in factory.tunnels), sorted(self.ports.values()))

    async def test_absolute(self) -> None:
        """Plain requests by a proxy that forwards them."""
        factory, url = self.proxy("http")
        agent = self.agent(proxy=url, proxy_mode="absolute")
        response: Any = await agent.request(b"GET", b"http://127.0.0.1:%d/echo" % self.ports["plain"])
        self.assertEqual(json.loads(await readBody(response))["url"], "/echo")
        self.assertEqual(factory.tunnels, [])

    async def test_refused(self) -> None:
        """A proxy that refuses."""
        factory, url = self.proxy("http")
        factory.refuse = 403
        refused = await self.assertFailure(self.agent(proxy=url).request(b"GET", f"{self.base}/echo".encode()), error.ConnectError)
        self.assertIsInstance(refused, gun.ProxyFailed)


class NginxTests(NginxCase):
    """nginx, which closes each connection after a few requests: no request is lost for that."""

    async def test_renewed(self) -> None:
        """Requests go on, over as many connections as that takes."""
        for protocol in ("http", "http2"):
            agent = GunAgent(protocols=[protocol], tls_opts={"trust_root": str(self.root / "authority.pem")})
            self.addCleanup(agent.close)

            async def one(number: int, agent: GunAgent = agent) -> bytes:
                return await readBody(await agent.request(b"GET", f"{self.few[1]}/{number}".encode()))

            answers = await gatherResults([Deferred.fromCoroutine(one(number)) for number in range(100)])
            self.assertEqual(answers, [b"GET /%d" % number for number in range(100)])
            self.assertGreaterEqual(agent.info().opened, 20 if protocol == "http" else 10)
            for number in range(20):
                self.assertEqual(await one(number), b"GET /%d" % number)

    async def test_restarted(self) -> None:
        """A server that was restarted between two requests: the connections that it closed do no harm."""
        for protocol in ("http", "http2"):
            agent = GunAgent(protocols=[protocol], tls_opts={"trust_root": str(self.root / "authority.pem")})
            self.addCleanup(agent.close)
            for _ in range(3):
                asked = [agent.request(b"GET", self.urls[1].encode() + b"/") for _ in range(4)]
                for response in await gatherResults(asked):
                    self.assertEqual(await readBody(response), b"GET /")
                await self.nginx.stop()
                await self.nginx.start()
