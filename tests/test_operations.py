"""
What may be done, and what is told, over each protocol: the two tables of Gun 1's user guide ("Supported protocols"), as data.

Where this library can do more, as later versions of Gun can, that is listed beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted_gun as gun
from tests.stage import OK, SWITCH, UPGRADE, LifeCase, answering, feed, up
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun, RecordingReceiver, WebsocketPeer, server_frame
from twisted_gun.wire.frames import ErrorCode

PROTOCOLS = ("HTTP/1.1", "HTTP/2", "Websocket")

#: Table 1: supported operations per protocol, in the order of `PROTOCOLS`.
OPERATIONS = {
    "delete": (True, True, False),
    "get": (True, True, False),
    "head": (True, True, False),
    "options": (True, True, False),
    "patch": (True, True, False),
    "post": (True, True, False),
    "put": (True, True, False),
    "request": (True, True, False),
    "data": (True, True, False),
    "await": (True, True, False),
    "await_body": (True, True, False),
    "flush": (True, True, False),
    "cancel": (True, True, False),
    "ws_upgrade": (True, False, False),
    "ws_send": (False, False, True),
    "connect": (False, False, False),
}

#: Table 2: messages sent per protocol.
MESSAGES = {
    "gun_push": (False, True, False),
    "gun_inform": (True, True, False),
    "gun_response": (True, True, False),
    "gun_data": (True, True, False),
    "gun_trailers": (True, True, False),
    "gun_error": (True, True, True),
    "gun_upgrade": (True, False, False),
    "gun_ws": (False, False, True),
    "gun_tunnel_up": (False, False, False),
}

#: Websockets over HTTP/2 (RFC 8441) came with Gun 2. A frame can be awaited there too, unread ones be flushed; and a websocket of ours
#: can be cancelled: it ends at once, without a closing handshake. Tunnels are in no table of Gun 1, and are told of by Gun 2.
OPERATIONS_BEYOND = {
    ("ws_upgrade", "HTTP/2"),
    ("flush", "Websocket"),
    ("cancel", "Websocket"),
    ("connect", "HTTP/1.1"),
    ("connect", "HTTP/2"),
}
MESSAGES_BEYOND = {("gun_upgrade", "HTTP/2"), ("gun_ws", "HTTP/2"), ("gun_tunnel_up", "HTTP/1.1"), ("gun_tunnel_up", "HTTP/2")}
#: Where a tunnel leads to.
END = {"host": "example.org", "port": 80}


class OperationTests(LifeCase):
    """Table 1."""

    def world(self, protocol: str) -> tuple[MemoryGun, Any]:
        """A world that speaks it, and a stream: of a websocket, or of a request that is answered when it is asked again."""
        if protocol == "HTTP/1.1":
            world = up(script=answering())
        elif protocol == "HTTP/2":
            world = MemoryGun(protocols=["http2"], peer=Http2WebsocketPeer)
        else:
            world = MemoryGun(peer=WebsocketPeer)
        world.pump()
        if protocol == "Websocket":
            stream = world.connection.ws_upgrade("/")
            world.pump()
            self.successResultOf(stream.await_upgrade())
            world.peer.end.send("hello")
        else:
            stream = world.connection.headers("POST", "/")
        world.pump()
        return world, stream

    def do(self, operation: str, world: MemoryGun, stream: Any) -> Any:
        """Do it; raises BadState, or gives a Deferred that fails by it, where it cannot be done."""
        connection = world.connection
        requests: dict[str, Callable[[], Any]] = {
            "delete": lambda: connection.delete("/"),
            "get": lambda: connection.get("/"),
            "head": lambda: connection.head("/"),
            "options": lambda: connection.options("*"),
            "patch": lambda: connection.patch("/", (), b"x"),
            "post": lambda: connection.post("/", (), b"x"),
            "put": lambda: connection.put("/", (), b"x"),
            "request": lambda: connection.request("TRACE", "/", (), b""),
            "data": lambda: stream.data(b"x", fin=True),
            "await": lambda: self.answered(world, stream).await_response(),
            "await_body": lambda: self.answered(world, stream).await_body(),
            "flush": lambda: self.answered(world, stream).flush(),
            "cancel": stream.cancel,
            "ws_upgrade": lambda: connection.ws_upgrade("/"),
            "ws_send": lambda: connection.ws_send("x"),
            "connect": lambda: self.answered(world, stream).connection.connect(END),
        }
        return requests[operation]()

    def answered(self, world: MemoryGun, stream: Any) -> Any:
        """The stream, with whatever there is to be told of it."""
        if stream._open and stream._layer is None:
            stream.data(b"", fin=True)
            world.pump()
            if world.connection.info().protocol == "http2":
                world.peer.respond(world.peer.requests[0], 200, {}, b"ok")
        world.pump()
        return stream

    def test_each(self) -> None:
        """Each operation works over a protocol as the table says, or is refused by BadState, and then nothing is sent."""
        for operation, row in OPERATIONS.items():
            for protocol, works in zip(PROTOCOLS, row, strict=True):
                works = works or (operation, protocol) in OPERATIONS_BEYOND
                world, stream = self.world(protocol)
                sent = world.endpoint.links[-1].client.end.other.delivered
                try:
                    result = self.do(operation, world, stream)
                    if hasattr(result, "addCallback"):
                        self.successResultOf(result) if works else self.failureResultOf(result, gun.BadState)
                    elif not works:
                        self.fail(f"{operation} was not refused over {protocol}")
                except gun.BadState:
                    self.assertFalse(works, f"{operation} was refused over {protocol}")
                world.pump()
                if not works:
                    self.assertEqual(world.endpoint.links[-1].client.end.other.delivered, sent, operation)
                elif operation in {*list(OPERATIONS)[:8], "ws_upgrade"} and protocol == "HTTP/2":
                    self.assertEqual(len(world.peer.requests), 2, operation)
                world.connection.close()
                world.pump()
                self.assert_nothing_left(world)


class MessageTests(LifeCase):
    """Table 2."""

    def test_each(self) -> None:
        """What is told over a protocol, where the peer does all that it can, is what the table says."""
        for at, protocol in enumerate(PROTOCOLS):
            told = getattr(self, f"told_{('http1', 'http2', 'websocket')[at]}")()
            expected = {name for name, row in MESSAGES.items() if row[at] or (name, protocol) in MESSAGES_BEYOND}
            self.assertEqual({name for name in told.names() if name in MESSAGES}, expected, protocol)

    def test_complete(self) -> None:
        """The table has every message that a stream may be told; `gun_sse` is told in the place of `gun_data`, where that was asked for."""
        self.assertEqual(set(MESSAGES) | {"gun_up", "gun_down", "gun_notify", "gun_sse"}, set(gun.IReceiver.names()))

    def told_http1(self) -> RecordingReceiver:
        """A whole life over HTTP/1.1."""
        told = RecordingReceiver()
        world = up(reply_to=told)
        for headers in ((), (), UPGRADE):
            world.connection.get("/", headers)
        world.pump()
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n"
        feed(world, b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + chunked + SWITCH)
        feed(world, server_frame(1, b"no websocket"))
        world.peer.abort()
        world.pump()
        world.connection.connect(END)
        feed(world, b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.close(world)
        return told

    def told_http2(self) -> RecordingReceiver:
        """A whole life over HTTP/2, with a websocket."""
        told = RecordingReceiver()
        world = MemoryGun(protocols=["http2"], http2_opts={"enable_push": True}, peer=Http2WebsocketPeer, reply_to=told)
        world.pump()
        first, second = world.connection.get("/"), world.connection.get("/")
        world.connection.ws_upgrade("/")
        world.pump()
        peer = world.peer
        peer.inform(peer.requests[0])
        peer.push(peer.requests[0], "/pushed")
        peer.respond(peer.requests[0], 200, {}, b"ok", trailers={"x": "y"})
        peer.reset(peer.requests[1], ErrorCode.INTERNAL_ERROR)
        peer.end.send("hello")
        world.pump()
        self.assertTrue(first.ended and second.ended)
        world.connection.connect(END)
        world.pump()
        peer.respond(peer.requests[-1], 200, fin=False)
        world.pump()
        self.close(world)
        return told

    def told_websocket(self) -> RecordingReceiver:
        """A websocket that has the connection to itself, from its upgrade on, and at last a response of HTTP, which is none there."""
        told = RecordingReceiver()
        world = MemoryGun(peer=WebsocketPeer, ws_opts={"reply_to": told})
        world.connection.ws_upgrade("/")
        world.pump()
        told.clear()
        world.peer.end.send("hello")
        world.peer.end.send_raw(OK)
        world.pump()
        self.close(world)
        return told

    def close(self, world: MemoryGun) -> None:
        """The end."""
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)
