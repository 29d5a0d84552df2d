"""What the documents that this package was made from ask for, where no other test is about just that; docs/seeds.rst has all of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.stage import OK, answering, feed, up
from twisted_gun.testing import MemoryGun

GRANTED = b"HTTP/1.1 200 OK\r\n\r\n"


class RequestTests(SynchronousTestCase):
    """``gun:request/4,5,6`` and what it stands behind."""

    def test_request(self) -> None:
        """S0-46: four arguments and the headers decide whether content follows; with five it is the content, with six there are options."""
        world = up(script=answering())
        told: list[object] = []
        follows = world.connection.request("POST", "/4", {"content-type": "text/plain"})
        follows.data(b"one", fin=True)
        bare = world.connection.request("POST", "/4", {})
        self.assertRaises(gun.BadState, bare.data, b"one")
        world.connection.request("POST", "/5", {}, b"two")
        world.connection.request("POST", "/6", {}, b"three", reply_to=told.append)
        world.pump()
        self.assertEqual(
            [(request.target, request.body) for request in world.peer.requests],
            [(b"/4", b"one"), (b"/4", b""), (b"/5", b"two"), (b"/6", b"three")],
        )
        self.assertEqual([type(event) for event in told], [gun.Response, gun.Data])

    def test_aliases(self) -> None:
        """S1-03: what each verb sends is what `request` sends with its method."""
        headers = [("accept", "*/*")]
        for verb in ("get", "head", "options", "delete", "post", "put", "patch"):
            sent = []
            for aliased in (True, False):
                world = up()
                if aliased:
                    getattr(world.connection, verb)("/x", headers)
                else:
                    world.connection.request(verb.upper(), "/x", headers)
                world.pump()
                sent.append(world.peer.received)
            self.assertEqual(sent[0], sent[1])
            self.assertIn(f"{verb.upper()} /x ".encode(), sent[0])

    def test_content_with_get(self) -> None:
        """S1-25: get and head take no content; `request` sends some with either method."""
        world = up()
        for method in ("GET", "HEAD"):
            self.assertRaises(TypeError, getattr(world.connection, method.lower()), "/", (), b"content")
            world.connection.request(method, "/", (), b"content")
        world.pump()
        self.assertEqual([(request.method, request.body) for request in world.peer.requests], [(b"GET", b"content"), (b"HEAD", b"content")])


class KeepaliveTests(SynchronousTestCase):
    """Contradiction 2: the manual's 5 seconds are on request only."""

    def sent_while_idle(self, world: MemoryGun) -> int:
        """How many bytes are sent in a minute without a request."""
        world.pump()
        end = world.endpoint.links[-1].client.end.other
        before: int = end.delivered
        for _ in range(60):
            world.advance(1.0)
        self.assertEqual(world.connection.info().state_name, "connected")
        return int(end.delivered - before)

    def test_http1(self) -> None:
        """S0-11: an idle connection of HTTP/1.1 sends nothing by default, and an empty line every 5 seconds where that was asked for."""
        self.assertEqual(self.sent_while_idle(MemoryGun()), 0)
        self.assertEqual(self.sent_while_idle(MemoryGun(http_opts={"keepalive": 5.0})), 12 * len(b"\r\n"))

    def test_http2(self) -> None:
        """S0-14: so it is over HTTP/2, with PING frames of 17 bytes."""
        self.assertEqual(self.sent_while_idle(MemoryGun(protocols=["http2"])), 0)
        self.assertEqual(self.sent_while_idle(MemoryGun(protocols=["http2"], http2_opts={"keepalive": 5.0})), 12 * 17)


class TunnelTests(SynchronousTestCase):
    """``gun:connect/2,3,4`` of Gun 1, over HTTP/1.1."""

    def test_chain(self) -> None:
        """S1-49: a second connect, made plainly, goes through the first tunnel to the next proxy, and requests through both."""
        world = up()
        first = world.connection.connect({"host": "proxy.example", "port": 3128})
        world.pump()
        feed(world, GRANTED)
        second = world.connection.connect({"host": "origin.example", "port": 80})
        world.pump()
        feed(world, GRANTED)
        stream = world.connection.get("/")
        world.pump()
        self.assertEqual(
            [(request.method, request.target) for request in world.peer.requests],
            [(b"CONNECT", b"proxy.example:3128"), (b"CONNECT", b"origin.example:80"), (b"GET", b"/")],
        )
        self.assertIs(second.tunnel, first)
        self.assertIs(stream.tunnel, second)
        info = world.connection.info()
        self.assertEqual((info.origin_host, info.origin_port), ("origin.example", 80))
        self.assertEqual([(each.host, each.port) for each in info.intermediaries], [("example.org", 80), ("proxy.example", 3128)])

    def test_protocol(self) -> None:
        """S1-44: `protocols` says what is spoken at the tunnel's end; the older `protocol` is refused by name, and nothing is sent."""
        world = up()
        raised = self.assertRaises(gun.OptionError, world.connection.connect, {"host": "origin.example", "port": 80, "protocol": "http2"})
        self.assertEqual(raised.option, "destination.protocol")
        world.pump()
        self.assertEqual(world.peer.received, b"")
        tunnel = world.connection.connect({"host": "origin.example", "port": 80, "protocols": ["http2"]})
        world.pump()
        feed(world, GRANTED)
        self.assertEqual(self.successResultOf(tunnel.await_up()), "http2")


class EventStreamTests(SynchronousTestCase):
    """What Gun 1.1 mended of content handlers."""

    def test_lone_id(self) -> None:
        """S1-52: a lone identifier is told, with neither type nor data, and the next event has it too."""
        world = up(http_opts={"content_handlers": [gun.SseHandler]})
        stream = world.connection.get("/")
        world.pump()
        feed(world, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 7\n\ndata: hello\n\n")
        self.successResultOf(stream.await_response())
        events: list[Any] = [self.successResultOf(stream.await_event()) for _ in range(2)]
        self.assertEqual(
            [event.event for event in events],
            [
                gun.SseEvent(event_type=None, data=None, last_event_id="7"),
                gun.SseEvent(event_type="message", data="hello", last_event_id="7"),
            ],
        )

    def test_status(self) -> None:
        """S1-52: a content handler is given the status as a number."""
        given: list[object] = []

        class Recording(gun.DataHandler):
            @classmethod
            def begin(cls, stream: gun.Stream, response: gun.Response, **options: Any) -> Any:
                given.append(response.status)
                return super().begin(stream, response, **options)

        world = up(http_opts={"content_handlers": [Recording]})
        body = world.connection.get("/").await_body()
        world.pump()
        feed(world, OK)
        self.assertEqual((self.successResultOf(body), given), (b"ok", [200]))
