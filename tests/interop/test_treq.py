"""treq over `GunAgent`: what its client can do, over HTTP/1.1 and HTTP/2; and its own integration tests, where httpbin is installed."""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from twisted.internet.defer import CancelledError, inlineCallbacks
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseFailed

from tests.interop.agents import AgentCase
from tests.interop.servers import missing_module
from twisted_gun.agent import GunAgent


class TreqTests(AgentCase):
    """treq's `HTTPClient`, against node."""

    skip = AgentCase.skip or missing_module("treq")

    def clients(self) -> dict[int, Any]:
        """One of treq's clients for each version of HTTP."""
        import treq

        return {version: treq.client.HTTPClient(agent) for version, agent in self.versions.items()}

    async def test_json_and_params(self) -> None:
        """JSON both ways, parameters, fields."""
        for version, client in self.clients().items():
            response = await client.post(f"{self.base}/echo", params={"q": "a b"}, json={"some": ["thing"]}, headers={"x": ["1", "2"]})
            told = await response.json()
            self.assertEqual((response.version[1], told["url"], told["body"]), (version, "/echo?q=a+b", '{"some":["thing"]}'))
            self.assertEqual((told["headers"]["x"], told["headers"]["content-type"]), ("1, 2", "application/json; charset=UTF-8"))

    async def test_redirects_and_cookies(self) -> None:
        """Redirects are followed, and told; cookies of the response that led there are sent, and those that are given."""
        for client in self.clients().values():
            response = await client.get(f"{self.base}/redirect", cookies={"mine": "too"})
            told = await response.json()
            self.assertEqual((told["url"], [each.code for each in response.history()]), ("/echo", [302]))
            self.assertEqual({pair.strip() for pair in told["headers"]["cookie"].split(";")}, {"a=b", "c=d", "mine=too"})
            self.assertEqual({cookie.name for cookie in response.cookies()}, {"a", "c", "mine"})
            response = await client.get(f"{self.base}/redirect", allow_redirects=False)
            self.assertEqual((response.code, await response.text()), (302, "it is elsewhere"))

    async def test_gzip(self) -> None:
        """Content is decoded, and its text by its charset."""
        for client in self.clients().values():
            response = await client.get(f"{self.base}/gzip")
            self.assertEqual(await response.text(), "gr\u00fc\u00dfe" * 1000)

    async def test_auth(self) -> None:
        """Basic credentials."""
        for client in self.clients().values():
            self.assertEqual((await client.get(f"{self.base}/auth", auth=("user", "secret"))).code, 200)
            refused = await client.get(f"{self.base}/auth")
            self.assertEqual((refused.code, await refused.text()), (401, "who are you?"))

    async def test_files(self) -> None:
        """Forms, and files as multipart."""
        for client in self.clients().values():
            told = await (await client.post(f"{self.base}/echo", data={"a": "1 2"})).json()
            self.assertEqual(told["body"], "a=1+2")
            file = io.BytesIO(b"content of a file")
            told = await (await client.post(f"{self.base}/echo", data={"a": "b"}, files={"file": ("name.txt", file)})).json()
            self.assertIn('name="file"; filename="name.txt"', told["body"])
            self.assertIn("content of a file", told["body"])
            told = await (await client.put(f"{self.base}/echo", data=io.BytesIO(b"x" * 200_000))).json()
            self.assertEqual(told["body"], "x" * 200_000)

    async def test_streaming(self) -> None:
        """Content that is not kept in memory, and content that is read twice."""
        for client in self.clients().values():
            sizes: list[int] = []
            response = await client.get(f"{self.base}/large", unbuffered=True)
            await response.collect(lambda data, sizes=sizes: sizes.append(len(data)))
            self.assertEqual(sum(sizes), 20_000_000)
            response = await client.get(f"{self.base}/gzip")
            self.assertEqual(await response.content(), await response.content())

    async def test_collector_raises(self) -> None:
        """A collector that raises ends the content, and its exception is told."""
        for client in self.clients().values():

            def collect(data: bytes) -> None:
                raise LookupError

            response = await client.get(f"{self.base}/large", unbuffered=True)
            await self.assertFailure(response.collect(collect), LookupError)
            self.assertEqual((await client.get(f"{self.base}/empty")).code, 204)

    async def test_timeout(self) -> None:
        """A request that takes too long is cancelled."""
        for client in self.clients().values():
            await self.assertFailure(client.get(f"{self.base}/never", timeout=0.05), CancelledError)
            self.assertEqual((await client.get(f"{self.base}/empty")).code, 204)

    async def test_cut_off(self) -> None:
        """Content that is cut off fails as treq's users know it."""
        for client in self.clients().values():
            response = await client.get(f"{self.base}/cut", unbuffered=True)
            await self.assertFailure(response.content(), ResponseFailed)

    async def test_methods(self) -> None:
        """The other methods."""
        for client in self.clients().values():
            for method in ("put", "patch", "delete"):
                told = await (await getattr(client, method)(f"{self.base}/echo")).json()
                self.assertEqual(told["method"], method.upper())
            response = await client.head(f"{self.base}/echo")
            self.assertEqual((response.code, await response.content()), (200, b""))


def _own_tests(scheme: str) -> type[TestCase]:
    """treq's own integration tests, with our agent instead of Twisted's."""
    if find_spec("treq") is None or find_spec("httpbin") is None:
        return TestCase
    theirs: Any = import_module("treq.test.test_treq_integration")
    https = scheme == "https"
    base: Any = theirs.HTTPSTreqIntegrationTests if https else theirs.TreqIntegrationTests

    class OwnTests(base):  # type: ignore[misc]
        _httpbin_process = theirs._HTTPBinProcess(https=https)

        @inlineCallbacks
        def setUp(self) -> Any:
            from twisted.internet import reactor

            yield base.setUp(self)
            tls: dict[str, Any] = {}
            if https:
                description = yield self._httpbin_process.server_description(reactor)
                tls["trust_root"] = trustRootFromCertificates([Certificate.loadPEM(description.cacert)])
            self.agent = GunAgent(reactor, tls_opts=tls)
            self.addCleanup(self.agent.close)

    return OwnTests


class OwnHttpTests(_own_tests("http")):  # type: ignore[misc]
    """treq's own integration tests over http."""

    skip = missing_module("treq") or missing_module("httpbin")

    def test_there_are_some(self) -> None:
        """There are as many as treq has."""
        self.assertGreater(sum(name.startswith("test_") for name in dir(self)), 20)


class OwnHttpsTests(_own_tests("https")):  # type: ignore[misc]
    """treq's own integration tests over https, and HTTP/2 where Twisted's server speaks it."""

    skip = missing_module("treq") or missing_module("httpbin")
