"""
Testing code that uses twisted_gun: no sockets, no threads, no waiting.

`MemoryGun` is the whole stage: a connection, the peer at its other end, a clock that stands still until told otherwise, and an
owner that keeps what it is told::

    class GreetingTests(SynchronousTestCase):
        def test_greeting(self):
            world = MemoryGun("example.org", 80, script=[
                ("expect", b"GET /hello HTTP/1.1\\r\\n"),
                ("send", b"HTTP/1.1 200 OK\\r\\ncontent-length: 5\\r\\n\\r\\nhello"),
            ])
            stream = world.connection.get("/hello")
            body = stream.await_body()
            world.pump()
            self.assertEqual(self.successResultOf(body), b"hello")
            self.assertEqual(world.owner.names(), ["gun_up"])
            world.peer.verify()

With ``protocols=["http2"]`` the peer speaks HTTP/2: an `Http2Peer`, whose steps are requests and responses::

            world = MemoryGun("example.org", 80, protocols=["http2"], script=[
                ("expect", b"GET /hello"),
                ("respond", 200, {}, b"hello"),
            ])

With ``peer=`` it speaks the websocket protocol: a `WebsocketPeer`, whose steps are frames. `Http2WebsocketPeer` does the same over
HTTP/2, by the same script; ``peer.end`` is the server's end of the websocket with both::

            script = [("expect", "hello"), ("send", "world")]
            world = MemoryGun("example.org", 80, peer=lambda: WebsocketPeer(script))
            stream = world.connection.ws_upgrade("/chat")
            world.pump()
            stream.ws_send("hello")
            world.pump()
            self.assertEqual(world.peer.end.frames, [gun.Text("hello")])
            world.peer.verify()

What opens its connections itself, a `twisted_gun.Pool` or `twisted_gun.EventSource` for instance, finds its servers by `MemoryServers`::

            servers = MemoryServers()
            servers.serve("example.org", 80, lambda: ScriptedPeer(script))
            source = gun.EventSource("http://example.org/", reactor=servers.clock, endpoint=servers.endpoint)
            servers.pump()

Its parts serve alone too. `memory_pair` joins any two protocols by a `MemoryLink`, whose two `MemoryTransport` behave as
Twisted's TCP does, back-pressure, abort and half-close included; `MemoryEndpoint` makes such links for whatever dials an
endpoint; `ScriptedPeer` is a server that does what the test says, byte by byte; `RecordingReceiver` keeps events.

`ProxyFactory` builds proxies, HTTP/1.1, HTTP/2 and SOCKS5, in memory and over sockets alike: `dial` says what they lead to. It
keeps what they were asked for::

    proxy = ProxyFactory("http", lambda host, port: origin, credentials=("ann", "secret"))
    endpoint = MemoryEndpoint(proxy, clock=clock)

What is unlike real TCP: an abort drops what the other side has not read (RFC 9293 section 3.10.7.4; Linux hands it over), and
closing with unread input sends FIN, where Linux would send RST.
"""

from twisted_gun.testing.http2 import Http2Peer, Http2Request
from twisted_gun.testing.links import MemoryEndpoint, MemoryLink, MemoryTransport, memory_pair
from twisted_gun.testing.peers import Peer, PeerRequest, Script, ScriptedPeer
from twisted_gun.testing.proxies import ProxyConnection, ProxyFactory
from twisted_gun.testing.recording import RecordingReceiver
from twisted_gun.testing.servers import MemoryServers
from twisted_gun.testing.websocket import Handshake, Http2WebsocketPeer, WebsocketEnd, WebsocketPeer, accept_key
from twisted_gun.testing.websocket_frames import ClientFrame, Opcode, server_frame
from twisted_gun.testing.world import MemoryGun

__all__ = [
    "MemoryGun",
    "MemoryServers",
    "MemoryEndpoint",
    "MemoryLink",
    "MemoryTransport",
    "memory_pair",
    "Peer",
    "ScriptedPeer",
    "PeerRequest",
    "Script",
    "ProxyFactory",
    "ProxyConnection",
    "Http2Peer",
    "Http2Request",
    "WebsocketPeer",
    "Http2WebsocketPeer",
    "WebsocketEnd",
    "Handshake",
    "ClientFrame",
    "Opcode",
    "server_frame",
    "accept_key",
    "RecordingReceiver",
]
