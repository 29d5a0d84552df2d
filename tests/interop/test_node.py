"""Against node's own HTTP server: trailers, early hints, connections closed when idle, upgrades, and refused certificates."""

from __future__ import annotations

import json
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import twisted_gun as gun
from tests.certificates import Issued, authority
from tests.interop.servers import alert_behind, close, missing, node, temporary_directory


class NodeCase(TestCase):
    """node, listening in plain, with a brief keep-alive timeout, and over TLS for clients with certificates only."""

    timeout = 60
    skip = missing("node", "nodejs")

    async def setUp(self) -> None:  # type: ignore[override]
        root = temporary_directory(self)
        self.authority = root / "authority.pem"
        self.authority.write_bytes(authority().pem)
        shown = authority().issue("127.0.0.1")
        (root / "certificate.pem").write_bytes(shown.certificate_pem)
        (root / "key.pem").write_bytes(shown.key_pem)
        printed = await node(self, str(root / "key.pem"), str(root / "certificate.pem"), str(self.authority)).start()
        self.ports: dict[str, int] = json.loads(printed)

    def open(self, server: str, **options: Any) -> gun.Connection:
        """A connection to this one of its servers."""
        conn = gun.open("127.0.0.1", self.ports[server], **options)

        self.addCleanup(close, conn)
        return conn

    async def body(self, stream: gun.Stream) -> bytes:
        """The content of a response with status 200."""
        self.assertEqual((await stream.await_response()).status, 200)
        return await stream.await_body()


class ResponseTests(NodeCase):
    """Responses of kinds that few servers send."""

    async def test_trailers(self) -> None:
        """Trailers are told after the chunks."""
        stream = self.open("plain").get("/trailers")
        self.assertEqual(await self.body(stream), b"one,two")
        self.assertEqual(stream.trailers, ((b"x-length", b"7"),))

    async def test_early_hints(self) -> None:
        """103 is told by itself, before the response."""
        stream = self.open("plain").get("/hints")
        hints = await stream.await_event()
        assert isinstance(hints, gun.Inform)
        self.assertEqual((hints.status, hints.headers), (103, ((b"link", b"</style.css>; rel=preload; as=style"),)))
        self.assertEqual(await self.body(stream), b"hinted")

    async def test_echo(self) -> None:
        """Content goes up by length and in chunks, and comes back the same."""
        conn, content = self.open("plain"), bytes(range(256)) * 2000
        whole, chunked = conn.post("/echo", body=content), conn.post("/echo", {"content-type": "x/y"})
        for at in range(0, len(content), 10_000):
            chunked.data(content[at : at + 10_000], fin=at + 10_000 >= len(content))
        for stream, sent_as in ((whole, b"%d" % len(content)), (chunked, b"chunked")):
            response = await stream.await_response()
            self.assertIn((b"x-sent-as", sent_as), response.headers)
            self.assertEqual(await stream.await_body(), content)

    async def test_pipelining(self) -> None:
        """Fifty requests made at once are answered in order."""
        conn = self.open("plain")
        streams = [conn.get(f"/{at}") for at in range(50)]
        self.assertEqual([await self.body(stream) for stream in streams], [b"GET /%d" % at for at in range(50)])

    async def test_truncated(self) -> None:
        """A response that is cut off fails with what came of it; the next request goes out on a new connection."""
        conn = self.open("plain")
        stream = conn.get("/cut")
        self.assertEqual((await stream.await_response()).status, 200)
        error: Any = await self.assertFailure(stream.await_body(), gun.Truncated)
        self.assertEqual((error.received, error.expected), (9, 100))
        self.assertEqual(await self.body(conn.get("/next")), b"GET /next")

    async def test_until_close(self) -> None:
        """A response that the end of the connection ends is whole."""
        conn = self.open("plain")
        self.assertEqual(await self.body(conn.get("/until-close")), b"until close")
        self.assertEqual(await self.body(conn.get("/next")), b"GET /next")

    async def test_upgrade(self) -> None:
        """What follows a 101 in the same breath, and all that is sent then, belongs to the new protocol."""
        stream = self.open("plain").get("/", {"connection": "upgrade", "upgrade": "echo"})
        upgrade = await stream.await_upgrade()
        self.assertEqual(upgrade.protocols, (b"echo",))
        got = b""
        stream.data(b" and back")
        while len(got) < len(b"hello and back"):
            event = await stream.await_event()
            assert isinstance(event, gun.Data)
            got += event.data
        self.assertEqual(got, b"hello and back")


class LifeTests(NodeCase):
    """Connections that node ends."""

    async def test_closed_when_idle(self) -> None:
        """A connection that node closes because it was idle comes back by itself, every time, and serves the next request."""
        told: list[str] = []
        up_again: list[Deferred[None]] = []

        def owner(event: object) -> None:
            told.append(type(event).__name__)
            if isinstance(event, gun.Up) and up_again:
                up_again.pop().callback(None)

        conn = self.open("brief", owner=owner)
        await conn.await_up()
        for at in range(2):
            returned: Deferred[None] = Deferred()
            up_again.append(returned)
            self.assertEqual(await self.body(conn.get(f"/{at}")), b"GET /%d" % at)
            await returned
        self.assertEqual(told, ["Up"] + ["Down", "Up"] * 2)


class CertificateTests(NodeCase):
    """A server that wants a client's certificate, and says no in TLS."""

    def locked(self, issued: Issued | None = None) -> gun.Connection:
        options: dict[str, Any] = {"trust_root": str(self.authority)}
        if issued is not None:
            path = self.authority.with_name("client.pem")
            path.write_bytes(issued.pem)
            options["client_certificate"] = str(path)
        return self.open("locked", transport="tls", tls_opts=options, retry=0)

    async def test_shown(self) -> None:
        """With the certificate it answers."""
        issued = authority().issue(common_name="a client", uses=(ExtendedKeyUsageOID.CLIENT_AUTH,))
        self.assertEqual(await self.body(self.locked(issued).get("/")), b"GET /")

    async def test_not_shown(self) -> None:
        """Without one the request fails with the alert, which in TLS 1.3 comes only after the handshake."""
        error: Any = await self.assertFailure(self.locked().get("/").await_response(), gun.GunError)
        self.assertEqual(alert_behind(error), "certificate_required")
