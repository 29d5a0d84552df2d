"""Descriptions of endpoints that lead through proxies, for `clientFromString`: ``http-connect:`` and ``socks5:``."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _Parser:
    """An endpoint that leads through a proxy; see `twisted_gun.endpoints`."""

    def __init__(self, prefix: str, parse: str) -> None:
        self.prefix = prefix
        self._parse = parse

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """The endpoint that the arguments of a description describe."""
        from twisted_gun import endpoints  # only now: whoever lists plugins, or uses another, need not wait for it

        endpoint: IStreamClientEndpoint = getattr(endpoints, self._parse)(reactor, *args, **kwargs)
        return endpoint


http_connect = _Parser("http-connect", "http_connect_from_string")
socks5 = _Parser("socks5", "socks5_from_string")
