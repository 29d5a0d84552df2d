"""Requests by URL over TLS in memory: names, what ALPN chooses, and redirects to and from TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.ssl import Certificate, trustRootFromCertificates

import twisted_gun as gun
from tests.certificates import CLIENT_AUTH, ServerCreator, authority
from tests.websocket.servers import ByUrlCase, answer
from twisted_gun.testing import Http2WebsocketPeer, WebsocketPeer
from twisted_gun.testing.peers import Peer
from twisted_gun.websocket.by_url import RedirectRefused, Response

NAME = "www.example.org"
HOST = (NAME, 443)
URL = f"wss://{NAME}/feed"


class TlsCase(ByUrlCase):
    """A test whose servers show certificates of an authority that is trusted."""

    def setUp(self) -> None:
        super().setUp()
        self.trusted = {"trust_root": trustRootFromCertificates([Certificate.loadPEM(authority().pem)])}

    def creator(self, *names: str, choose: bytes | None = None, **options: Any) -> ServerCreator:
        if choose is not None:
            options["choose"] = lambda offered: choose
        return ServerCreator(authority().issue(*(names or (NAME,))), **options)

    def get(self, url: str = URL, transport_opts: Any = None, **options: Any) -> Any:
        connect = {"transport_opts": transport_opts or self.trusted, **options.pop("connect_options", {})}
        return self.servers.request(url, connect_options=connect, **options).get()

    def end(self, response: Response) -> None:
        """Close, which leaves nothing behind."""
        self.assertIs(self.got(response.close()), response)
        self.assert_nothing_left()


class NameTests(TlsCase):
    """Who the server must be."""

    def test_verified(self) -> None:
        """The host of the URL, which is sent as SNI."""
        creator = self.creator()
        self.servers.serve(*HOST, WebsocketPeer, tls=creator)
        response = self.got(self.get())
        self.assertEqual((response.status, response.url), (101, URL))
        self.assertEqual(creator.server_names, [NAME.encode()])
        self.end(response)

    def test_another(self) -> None:
        """A certificate of another is an error, and not tried again."""
        self.servers.serve(*HOST, WebsocketPeer, tls=self.creator("other.example"))
        self.failed(self.get(), gun.TlsFailed)
        self.assertEqual(len(self.servers.dialled), 1)
        self.assert_nothing_left()

    def test_hostname(self) -> None:
        """`hostname` is verified, sent as SNI, and is Host, where the URL has an address."""
        creator = self.creator()
        self.servers.serve("192.0.2.1", 443, WebsocketPeer, tls=creator)
        response = self.got(self.get("wss://192.0.2.1/feed", connect_options={"hostname": NAME}))
        self.assertEqual(creator.server_names, [NAME.encode()])
        self.assertEqual(self.servers.requests()[0][2][b"host"], NAME.encode())
        self.end(response)
        self.failed(self.get("wss://192.0.2.1/feed"), gun.TlsFailed)

    def test_file(self) -> None:
        """A file that cannot be read raises at the call."""
        self.servers.serve(*HOST, WebsocketPeer)
        self.assertRaises(gun.OptionError, self.get, transport_opts={"trust_root": self.mktemp()})
        self.assert_nothing_left()


class AlpnTests(TlsCase):
    """Which version of HTTP."""

    def test_http2(self) -> None:
        """Both are offered; a server that has websockets over HTTP/2 gives one there."""
        creator = self.creator(choose=b"h2")
        self.servers.serve(*HOST, Http2WebsocketPeer, tls=creator)
        response = self.got(self.get())
        self.assertEqual(response.status, 200)
        self.assertEqual(creator.offered, [[b"http/1.1", b"h2"]])
        self.end(response)

    def test_http2_without_websockets(self) -> None:
        """One that has none there is asked again over HTTP/1.1, at once, which is no retry."""
        second = self.creator(choose=b"http/1.1")
        first = self.creator(choose=b"h2")
        self.servers.serve(*HOST, _without_websockets, tls=first)
        dialled: list[tuple[str, int]] = []

        def endpoint(host: str, port: int) -> Any:
            dialled.append((host, port))
            if len(dialled) == 2:
                self.servers.serve(*HOST, WebsocketPeer, tls=second)
            return self.servers.endpoint(host, port)

        response = self.got(self.get(retry=False, connect_options={"endpoint": endpoint}))
        self.assertEqual((response.status, len(dialled)), (101, 2))
        self.assertEqual((first.offered, second.offered), ([[b"http/1.1", b"h2"]], [[b"http/1.1"]]))
        self.assertIsNotNone(self.servers.peers[0].lost)
        self.end(response)

    def test_only_http2(self) -> None:
        """But not where HTTP/1.1 was not among the protocols."""
        self.servers.serve(*HOST, _without_websockets, tls=self.creator(choose=b"h2"))
        self.failed(self.get(connect_options={"protocols": ["http2"]}), gun.UpgradeRefused)
        self.assertEqual(len(self.servers.dialled), 1)
        self.assert_nothing_left()


def _without_websockets() -> Peer:
    return Http2WebsocketPeer(settings={"enable_connect_protocol": 0})


class RedirectTests(TlsCase):
    """To TLS, from TLS."""

    def test_to_tls(self) -> None:
        """It is followed to TLS, without credentials: another scheme is another origin."""
        self.servers.serve(NAME, 80, answer(301, f"location: https://{NAME}/feed"))
        self.servers.serve(*HOST, WebsocketPeer, tls=self.creator())
        first = self.servers.request(f"ws://{NAME}/feed", auth=("bearer", "token"))
        # Trust is an option of TLS, which the first connection is without.
        self.failed(first.get(), gun.TlsFailed)
        self.assertEqual(self.servers.dialled, [(NAME, 80), HOST])
        self.assert_nothing_left()

    def test_from_tls(self) -> None:
        """It is not followed to where there is no TLS, trusted or not."""
        for scheme in ("http", "ws"):
            for trusted in (False, True):
                self.servers.serve(*HOST, answer(302, f"location: {scheme}://{NAME}/feed"), tls=self.creator())
                self.failed(self.get(redirect_trusted=trusted), RedirectRefused)
                self.assert_nothing_left()
        self.assertEqual(set(self.servers.dialled), {HOST})

    def test_client_certificate(self) -> None:
        """Our certificate is shown to the origin asked for; another gets neither that nor the other credentials."""
        clients = authority("an authority for clients")
        path = Path(self.mktemp())
        path.write_bytes(clients.issue("client.example", uses=(CLIENT_AUTH,)).pem)
        options = {**self.trusted, "client_certificate": str(path)}
        self.servers.serve(*HOST, answer(302, "location: https://other.example.org/"), tls=self.creator(clients=clients))
        self.servers.serve("other.example.org", 443, WebsocketPeer, tls=self.creator("other.example.org"))
        response = self.got(self.get(transport_opts=options, auth=("bearer", "token")))
        self.assertEqual(response.url, "wss://other.example.org/")
        first, second = (headers for _, _, headers in self.servers.requests())
        self.assertEqual((first[b"authorization"], b"authorization" in second), (b"Bearer token", False))
        self.end(response)
        self.servers.serve(*HOST, answer(302, "location: https://other.example.org/"), tls=self.creator(clients=clients))
        self.servers.serve("other.example.org", 443, WebsocketPeer, tls=self.creator("other.example.org", clients=clients))
        self.failed(self.get(transport_opts=options, retry=False), gun.GunError)
        self.assert_nothing_left()
