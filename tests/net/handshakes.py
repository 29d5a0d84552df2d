"""What the tests of TLS share: an application, a server in memory, and assertions on how they met."""

from __future__ import annotations

import os
from typing import Any

from cryptography import x509
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from twisted.test.iosim import connect as connect_in_memory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.certificates import Authority, Issued, ServerCreator, authority
from twisted_gun.errors import TlsFailed
from twisted_gun.net.tls import ConnectionCreator, TlsEndpoint, connection_creator, tls_failure
from twisted_gun.options import TlsOptions

HOST = "www.example.org"


@implementer(IHandshakeListener)
class Application(Protocol):
    """Keeps what it is told, on either side; calls `confirm` as a hop does."""

    def __init__(self, creator: ConnectionCreator | None = None) -> None:
        self.creator = creator
        self.told: list[str] = []
        self.received = b""
        self.reason: Failure | None = None
        self.refused: TlsFailed | None = None
        self.alpn: bytes | None = None
        self.peer: x509.Certificate | None = None

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        self.told.append("handshake")
        tls: Any = self.transport
        self.alpn = tls.negotiatedProtocol
        peer = tls.getPeerCertificate()
        self.peer = peer and peer.to_cryptography()
        if self.creator is not None:
            try:
                self.creator.confirm(tls.getHandle())
            except TlsFailed as refused:
                self.refused = refused
                tls.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Something from the peer."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.told.append("lost")
        self.reason = reason

    @property
    def up(self) -> bool:
        """Whether the handshake was completed, confirmed and the connection not lost since."""
        return self.told == ["handshake"] and self.refused is None

    @property
    def lost_for(self) -> BaseException | None:
        """Why the connection was lost."""
        return self.reason and self.reason.value


@implementer(IStreamClientEndpoint)
class ToServer:
    """Dials in memory a server with as many layers of TLS as there are `creators`; nothing moves before the pump does."""

    def __init__(self, *creators: ServerCreator) -> None:
        self.creators = creators
        self.server = Application()
        self.pumps: list[IOPump] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect to a new server."""
        self.server = Application()
        factory: Any = Factory.forProtocol(lambda: self.server)
        for creator in reversed(self.creators):
            factory = Unbuffered(creator, False, factory, clock=Clock())
        server, client = factory.buildProtocol(None), protocolFactory.buildProtocol(None)
        transports = Transport(server, True), Transport(client, False)
        self.pumps.append(connect_in_memory(server, transports[0], client, transports[1], greet=False))
        return succeed(client)

    def pump(self) -> None:
        """Move all bytes there are, until there are none."""
        self.pumps[-1].flush()


class Transport(FakeTransport):
    """One whose abort is told from a close, as that of a socket."""

    def abortConnection(self) -> None:
        """Close, and say that it was an abort."""
        if not self.disconnecting:
            reason: Any = ConnectionAborted()
            self.disconnectReason = reason
        super().abortConnection()


class Unbuffered(TLSMemoryBIOFactory):
    protocol = TLSMemoryBIOProtocol


class Case(SynchronousTestCase):
    """Handshakes in memory."""

    def files(self, **contents: bytes) -> str:
        """A new folder with these files; "_" before the suffix stands for the dot."""
        folder: str = self.mktemp()
        os.mkdir(folder)
        for name, content in contents.items():
            with open(os.path.join(folder, name.replace("_", ".")), "wb") as file:
                file.write(content)
        return folder

    def file(self, content: bytes) -> str:
        """The path of a new file."""
        return os.path.join(self.files(it_pem=content), "it.pem")

    def creator(
        self, host: str = HOST, *, alpn: tuple[bytes, ...] = (), trusted: Authority | None = None, **opts: Any
    ) -> ConnectionCreator:
        """A creator that trusts `trusted`, if nothing else is said."""
        opts.setdefault("trust_root", trustRootFromCertificates([Certificate.loadPEM((trusted or authority()).pem)]))
        return connection_creator(host, TlsOptions(**opts), alpn)

    def dial(self, creator: ConnectionCreator, server: ServerCreator | Issued) -> tuple[Application, ToServer]:
        """Let a client meet the server; gives the client and the server's end."""
        far = ToServer(server if isinstance(server, ServerCreator) else ServerCreator(server))
        client = Application(creator)
        endpoint = TlsEndpoint(creator, far, Clock())
        self.assertIs(self.successResultOf(endpoint.connect(Factory.forProtocol(lambda: client))), client)
        far.pump()
        return client, far

    def accepts(self, host: str, issued: Issued | ServerCreator, **opts: Any) -> tuple[Application, ToServer]:
        """The server is accepted, and bytes go both ways."""
        client, far = self.dial(self.creator(host, **opts), issued)
        self.assertTrue(client.up, (client.told, client.lost_for, client.refused))
        assert client.transport is not None and far.server.transport is not None
        client.transport.write(b"from the client")
        far.server.transport.write(b"from the server")
        far.pump()
        self.assertEqual((client.received, far.server.received), (b"from the server", b"from the client"))
        return client, far

    def refuses(self, host: str, issued: Issued | ServerCreator, *words: str, **opts: Any) -> TlsFailed:
        """The server is refused in the handshake, with these words; gives the reason."""
        creator = self.creator(host, **opts)
        client, far = self.dial(creator, issued)
        self.assertEqual(client.told, ["lost"])
        assert client.reason is not None
        failed = tls_failure(client.reason, creator)
        assert failed is not None
        for word in words:
            self.assertIn(word, str(failed))
        self.assertEqual(far.server.received, b"")
        return failed
