"""
A script that runs the proxy of `twisted_gun.testing`, over TLS: ``proxy.py KIND PEM``; PEM is the path of its certificate and key.

It leads to 127.0.0.1 and nowhere else, and prints the port it listens on, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import react
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from twisted_gun.testing.proxies import ProxyFactory


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """The server's side of TLS, which chooses HTTP/2 where that is offered."""

    def __init__(self, pem: str) -> None:
        context: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(pem)
        context.use_privatekey_file(pem)
        context.set_alpn_select_callback(lambda _, offered: b"h2" if b"h2" in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def serve(reactor: Any, kind: str, pem: str) -> Deferred[None]:
    """Serve until the process is ended."""
    proxy = ProxyFactory(kind, lambda _, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port))
    listening = reactor.listenTCP(0, TLSMemoryBIOFactory(Creator(pem), False, proxy), interface="127.0.0.1")
    sys.stdout.write(json.dumps({"port": listening.getHost().port}) + "\n")
    sys.stdout.flush()
    return Deferred()


if __name__ == "__main__":
    react(serve, sys.argv[1:])
