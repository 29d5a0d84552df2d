"""
The options of a connection: frozen values that check themselves when made.

Names, meanings and defaults are Gun's (manual page gun(3)), but times are in seconds and None means no limit. Defaults differ
where Gun waits without end or takes more than it must; docs/guide/limits.rst has them side by side. A bad value raises
`OptionError`, which names the option and what was expected.
"""

from twisted_gun.options.checks import nested
from twisted_gun.options.connection import Options, RetryFunction, make_options
from twisted_gun.options.http import Http2Options, HttpOptions
from twisted_gun.options.protocols import Destination, RawOptions, SocksOptions
from twisted_gun.options.proxies import ProxyUrl
from twisted_gun.options.transports import TcpOptions, TlsOptions
from twisted_gun.options.websocket import DeflateOptions, WsOptions

__all__ = [
    "DeflateOptions",
    "Destination",
    "Http2Options",
    "HttpOptions",
    "Options",
    "ProxyUrl",
    "RawOptions",
    "RetryFunction",
    "SocksOptions",
    "TcpOptions",
    "TlsOptions",
    "WsOptions",
    "make_options",
    "nested",
]
