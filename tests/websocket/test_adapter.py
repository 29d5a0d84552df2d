"""twisted_gun.websocket.adapter: objects written for twisted.web.websocket, over both versions of HTTP, and beside Twisted's own client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web import websocket as twisted_websocket
from twisted.web.resource import Resource
from twisted.web.server import Site

import twisted_gun as gun
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun, WebsocketEnd, WebsocketPeer
from twisted_gun.websocket import adapter

#: More than the transport takes at a time.
MUCH = b"x" * 100_000


#: What is called before anything comes.
START = ["negotiationStarted", "negotiationFinished"]


class Boom(Exception):
    """What a protocol raises, and nothing else."""


class Recorder:
    """A protocol that keeps what it is told, and then does what the test says."""

    transport: Any
    lost: Failure | None = None

    def __init__(self, **reactions: Callable[[Recorder], object]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._reactions = reactions

    def _record(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name in self._reactions:
            self._reactions[name](self)

    def negotiationStarted(self, transport: twisted_websocket.WebSocketTransport) -> None:
        self.transport = transport
        self._record("negotiationStarted")

    def negotiationFinished(self) -> None:
        self._record("negotiationFinished")

    def pongReceived(self, payload: bytes) -> None:
        self._record("pongReceived", payload)

    def textMessageReceived(self, message: str) -> None:
        self._record("textMessageReceived", message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._record("bytesMessageReceived", data)

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason
        self._record("connectionLost")

    @property
    def names(self) -> list[str]:
        """What was called."""
        return [name for name, *_ in self.calls]

    @property
    def end(self) -> Any:
        """The exception that connectionLost was given."""
        assert self.lost is not None, "not lost"
        return self.lost.value


def raises(_: object) -> None:
    """Raise."""
    raise Boom


def same_types(
    transport: adapter.Transport, protocol: twisted_websocket.WebSocketProtocol
) -> tuple[twisted_websocket.WebSocketTransport, adapter.WebSocketProtocol]:
    """For the type checker: a transport is one of Twisted's, and Twisted's protocols are what `run` takes."""
    return transport, protocol


class Http1Tests(SynchronousTestCase):
    """Over HTTP/1.1."""

    def world(self, script: Any = (), *, open_options: dict[str, Any] | None = None, **peer_options: Any) -> MemoryGun:
        """A connection to a server that speaks the websocket protocol."""
        return MemoryGun(peer=lambda: WebsocketPeer(script, **peer_options), retry=0, **(open_options or {}))

    def run_in(self, world: MemoryGun, protocol: Recorder, **options: Any) -> Deferred[adapter.Transport]:
        """Run `protocol` as far as it comes without time passing."""
        ready = adapter.run(world.connection, "/ws", protocol, **options)
        world.pump()
        return ready

    def running(self, script: Any = (), options: dict[str, Any] | None = None, **peer_options: Any) -> tuple[MemoryGun, Recorder]:
        """A protocol whose websocket is open."""
        world, protocol = self.world(script, **peer_options), Recorder()
        self.assertIs(self.successResultOf(self.run_in(world, protocol, **(options or {}))), protocol.transport)
        return world, protocol

    def server(self, world: MemoryGun) -> WebsocketEnd:
        """The server's end of the websocket."""
        end: WebsocketEnd = world.peer.end
        return end

    # From the beginning to the end.

    def test_order(self) -> None:
        """What Twisted's own client calls, in its order; the Deferred fires between the negotiation and the first message."""
        script = [("send", "a"), ("send", b"b"), ("send", gun.Pong(b"c")), ("send", gun.Ping(b"d")), ("close", 4000, "bye")]
        world, protocol = self.world(script), Recorder()
        ready = adapter.run(world.connection, "/ws", protocol)
        ready.addCallback(lambda transport: protocol.calls.append(("ready", transport)))
        world.pump()
        expected = [("textMessageReceived", "a"), ("bytesMessageReceived", b"b"), ("pongReceived", b"c"), ("connectionLost",)]
        start = [("negotiationStarted",), ("negotiationFinished",), ("ready", protocol.transport)]
        self.assertEqual(protocol.calls, [*start, *expected])
        self.assertEqual(self.server(world).frames, [gun.Pong(b"d"), gun.Close(4000)])

    def test_request(self) -> None:
        """Path and headers are those that were given."""
        world, _ = self.running(options={"headers": {"x-token": "a"}})
        handshake = self.server(world).handshake
        assert handshake is not None
        self.assertEqual(handshake.path, b"/ws")
        self.assertIn((b"x-token", b"a"), handshake.headers)

    def test_negotiated(self) -> None:
        """Subprotocols and compression are negotiated as the options say; the transport tells of them."""
        options = {"ws_opts": {"compress": True, "protocols": ["mqtt", "wamp"]}}
        world, protocol = self.running(options=options, subprotocol="wamp", extensions="permessage-deflate", echo=True)
        transport = protocol.transport
        self.assertEqual(transport.subprotocol, b"wamp")
        self.assertIn((b"sec-websocket-extensions", b"permessage-deflate"), transport.headers)
        transport.sendTextMessage("much " * 1000)
        world.pump()
        self.assertEqual(protocol.calls[-1], ("textMessageReceived", "much " * 1000))
        self.assertLess(len(self.server(world).raw_frames[0].payload), 500)

    def test_nothing_negotiated(self) -> None:
        """Without subprotocols there is none."""
        _, protocol = self.running()
        self.assertIsNone(protocol.transport.subprotocol)
        self.assertIn("Recorder", repr(protocol.transport))

    def test_options_of_the_connection(self) -> None:
        """Without options of its own the websocket has those that the connection was opened with; pongs are told all the same."""
        for own in (None, gun.WsOptions(protocols=("mqtt",)), {"protocols": ["mqtt"]}):
            opened_with = {"ws_opts": {"protocols": ["mqtt"]}} if own is None else {}
            world, protocol = self.world([("send", gun.Pong(b"p"))], open_options=opened_with), Recorder()
            self.run_in(world, protocol, ws_opts=own)
            handshake = self.server(world).handshake
            assert handshake is not None
            self.assertEqual(handshake.protocols, (b"mqtt",))
            self.assertEqual(protocol.names, [*START, "pongReceived"])

    def test_reply_to_is_left_out(self) -> None:
        """The protocol is told, whoever is told of the connection's other streams."""
        others: list[Any] = []
        world, protocol = self.world([("send", "a")], open_options={"reply_to": others.append}), Recorder()
        self.run_in(world, protocol, ws_opts={"reply_to": others.append})
        self.assertEqual(protocol.names, [*START, "textMessageReceived"])
        self.assertEqual(others, [])

    # Sending.

    def test_sends(self) -> None:
        """Text, bytes and pings go out; the pong comes back."""
        world, protocol = self.running()
        protocol.transport.sendTextMessage("a")
        protocol.transport.sendBytesMessage(b"b")
        protocol.transport.ping(b"c")
        protocol.transport.ping()
        world.pump()
        self.assertEqual(self.server(world).frames, [gun.Text("a"), gun.Binary(b"b"), gun.Ping(b"c"), gun.Ping()])
        self.assertEqual(protocol.calls[2:], [("pongReceived", b"c"), ("pongReceived", b"")])

    def test_sends_what_cannot_be_sent(self) -> None:
        """The caller's mistakes raise at the call, and nothing is sent."""
        world, protocol = self.running()
        self.assertRaises(gun.InvalidRequest, protocol.transport.sendTextMessage, "\ud800")
        self.assertRaises(gun.InvalidRequest, protocol.transport.ping, b"x" * 126)
        self.assertRaises(gun.InvalidRequest, protocol.transport.loseConnection, 1005)
        world.pump()
        self.assertEqual(self.server(world).frames, [])
        protocol.transport.sendTextMessage("still open")
        world.pump()
        self.assertEqual(self.server(world).frames, [gun.Text("still open")])

    def test_sends_too_early(self) -> None:
        """Before the server's consent nothing can be sent: that raises."""
        refused: list[Exception] = []

        def send(protocol: Recorder) -> None:
            refused.append(self.assertRaises(gun.BadState, protocol.transport.sendTextMessage, "early"))

        world, protocol = self.world(), Recorder(negotiationStarted=send)
        self.successResultOf(self.run_in(world, protocol))
        self.assertEqual(len(refused), 1)

    def test_sends_too_late(self) -> None:
        """What is sent after the end, or after loseConnection, is dropped, as every transport of Twisted does."""
        world, protocol = self.running(answer_close=False)
        protocol.transport.loseConnection()
        for _ in range(2):
            protocol.transport.sendTextMessage("late")
            protocol.transport.ping()
            protocol.transport.loseConnection()
            world.pump()
            self.assertEqual(self.server(world).frames, [gun.Close(1000)])
            self.server(world).close(1000)
            world.pump()

    def test_sends_while_it_ends(self) -> None:
        """Where the closing handshake goes on without the protocol, sending is without effect."""
        world, protocol = self.running(answer_close=False)
        protocol.transport.stream.ws_send(gun.Close(1001))
        protocol.transport.sendTextMessage("late")
        protocol.transport.loseConnection()
        world.pump()
        self.assertEqual(self.server(world).frames, [gun.Close(1001)])

    # The end.

    def test_lose_connection(self) -> None:
        """loseConnection sends a Close by 1000, or by what it is given; after the server's answer the protocol is told the end."""
        for arguments, sent in (((), gun.Close(1000)), ((4000,), gun.Close(4000)), ((4000, "enough"), gun.Close(4000, "enough"))):
            world, protocol = self.running()
            protocol.transport.loseConnection(*arguments)
            self.assertEqual(protocol.names, START)
            world.pump()
            self.assertEqual(self.server(world).frames, [sent])
            self.assertEqual(protocol.names, [*START, "connectionLost"])
            self.assertIsInstance(protocol.end, adapter.Closed)
            self.assertEqual(protocol.end.code, sent.code)

    def test_nothing_after_lose_connection(self) -> None:
        """What comes after loseConnection is not told."""
        script = [("send", "one"), ("send", "two")]
        world, protocol = self.world(script, answer_close=False), Recorder(textMessageReceived=lambda self: self.transport.loseConnection())
        self.successResultOf(self.run_in(world, protocol))
        self.server(world).send("three")
        self.server(world).close(1000)
        world.pump()
        self.assertEqual(protocol.calls[2:], [("textMessageReceived", "one"), ("connectionLost",)])

    def test_closed_by_the_server(self) -> None:
        """connectionLost is given code and reason of the server's Close, in a ConnectionDone."""
        for step, code, reason in ((("close", 4000, "why"), 4000, "why"), (("close", 1001), 1001, ""), (("close",), None, "")):
            _, protocol = self.running([step])
            assert protocol.lost is not None
            self.assertTrue(protocol.lost.check(error.ConnectionDone))
            self.assertEqual((protocol.end.code, protocol.end.reason), (code, reason))
            self.assertIn(str(code) if code else "without a code", str(protocol.end))

    def test_lost(self) -> None:
        """Whatever else ends it is a ConnectionLost, whose cause is the error."""
        for step, cause in ((("drop",), gun.StreamClosed), (("send_raw", b"\xff\xff"), gun.ProtocolViolation)):
            _, protocol = self.running([step])
            self.assert_lost(protocol, cause)

    def test_limits(self) -> None:
        """The limits of the options hold."""
        _, protocol = self.running([("send", "x" * 201)], {"ws_opts": {"max_message_size": 200}})
        self.assert_lost(protocol, gun.LimitReached)

    def test_closed_by_us(self) -> None:
        """Closing the connection, or cancelling the stream, ends the protocol too."""
        ways: tuple[Callable[[Any], None], ...] = (lambda stream: stream.connection.close(), lambda stream: stream.cancel())
        for way in ways:
            _, protocol = self.running()
            way(protocol.transport.stream)
            self.assert_lost(protocol, gun.StreamClosed)

    def test_no_answer_to_the_close(self) -> None:
        """A server that does not answer the Close does not keep the protocol from its end."""
        world, protocol = self.running(options={"ws_opts": {"closing_timeout": 3.0}}, answer_close=False)
        protocol.transport.loseConnection()
        world.advance(2.9)
        self.assertNotIn("connectionLost", protocol.names)
        world.advance(0.2)
        self.assertEqual(protocol.names, [*START, "connectionLost"])

    def assert_lost(self, protocol: Recorder, cause: type[Exception]) -> None:
        """It was told the end, once, as a loss by `cause`."""
        self.assertEqual(protocol.names, [*START, "connectionLost"])
        self.assertIsInstance(protocol.end, adapter.Lost)
        self.assertIsInstance(protocol.end, error.ConnectionLost)
        self.assertIsInstance(protocol.end.__cause__, cause)
        self.assertIn(str(protocol.end.__cause__), str(protocol.end))

    # What fails.

    def test_refused(self) -> None:
        """A refusal fails the Deferred with UpgradeRefused, then the protocol is told the end; the content can be read."""
        world, protocol = self.world([("refuse", 403, {}, b"not you")]), Recorder()
        order: list[Any] = []
        ready = adapter.run(world.connection, "/ws", protocol)
        ready.addErrback(lambda failure: order.append((failure.value, protocol.names)))
        world.pump()
        ((refused, names),) = order
        self.assertIsInstance(refused, gun.UpgradeRefused)
        self.assertEqual((refused.response.status, names), (403, ["negotiationStarted"]))
        self.assertEqual(protocol.names, ["negotiationStarted", "connectionLost"])
        self.assertIsInstance(protocol.end, error.ConnectionDone)
        self.assertIs(protocol.end.__cause__, refused)
        self.assertEqual(self.successResultOf(refused.response.stream.await_body()), b"not you")

    def test_never_up(self) -> None:
        """Where there is no connection the protocol is not called."""
        for prepare, expected in (("refuse", gun.ConnectFailed), ("hang", gun.TimedOut)):
            world, protocol = self.world(), Recorder()
            getattr(world.endpoint, prepare)()
            ready = self.run_in(world, protocol)
            world.advance(5.1)
            self.failureResultOf(ready, expected)
            self.assertEqual(protocol.calls, [])

    def test_mistakes(self) -> None:
        """Nor is it where the request cannot be made."""
        world, protocol = self.world(), Recorder()
        world.pump()
        self.failureResultOf(adapter.run(world.connection, "no path", protocol), gun.InvalidRequest)
        self.failureResultOf(self.run_in(world, protocol, ws_opts={"nonsense": 1}), gun.OptionError)
        self.failureResultOf(self.run_in(world, protocol, ws_opts=5), gun.OptionError)
        self.failureResultOf(self.run_in(world, protocol, timeout=-1), gun.OptionError)
        self.assertEqual(protocol.calls, [])

    def test_no_consent(self) -> None:
        """The upgrade is waited for as long as the timeout says."""
        world, protocol = self.world(accept=False), Recorder()
        ready = self.run_in(world, protocol, timeout=2.0)
        world.advance(1.9)
        self.assertNoResult(ready)
        world.advance(0.2)
        self.failureResultOf(ready, gun.TimedOut)
        self.assertEqual(protocol.names, ["negotiationStarted", "connectionLost"])
        self.assertIsInstance(protocol.end.__cause__, gun.TimedOut)

    def test_cancelled(self) -> None:
        """Cancelling gives up the connection that is awaited, or the stream; who was told the beginning is told the end."""
        world, protocol = self.world(), Recorder()
        world.endpoint.hang()
        ready = self.run_in(world, protocol)
        ready.cancel()
        self.failureResultOf(ready, CancelledError)
        self.assertEqual(protocol.calls, [])
        world, protocol = self.world(accept=False), Recorder()
        ready = self.run_in(world, protocol)
        ready.cancel()
        self.failureResultOf(ready, CancelledError)
        self.assertEqual(protocol.names, ["negotiationStarted", "connectionLost"])

    def test_cancelled_by_the_protocol(self) -> None:
        """Cancelling within the negotiation gives up too."""
        for name in START:
            waiting: list[Deferred[adapter.Transport]] = []
            world, protocol = self.world(), Recorder(**{name: lambda _, waiting=waiting: waiting[0].cancel()})
            waiting.append(adapter.run(world.connection, "/ws", protocol))
            world.pump()
            self.failureResultOf(waiting[0], CancelledError)
            self.assertEqual(protocol.names[-2:], [name, "connectionLost"])
            self.assertIsInstance(protocol.end.__cause__, gun.StreamClosed)

    def test_protocol_raises_at_first(self) -> None:
        """A protocol that raises in the negotiation fails the Deferred, and is told the end."""
        for name in START:
            world, protocol = self.world(), Recorder(**{name: raises})
            self.failureResultOf(self.run_in(world, protocol), Boom)
            self.assertEqual(protocol.names[-2:], [name, "connectionLost"])
            self.assertIsInstance(protocol.end.__cause__, Boom)

    def test_protocol_raises_later(self) -> None:
        """A protocol that raises when it is told something is logged, and told the end; nothing else is told."""
        script = [("send", "a"), ("send", b"b"), ("send", gun.Pong(b"c")), ("send", "more")]
        for at, name in enumerate(("textMessageReceived", "bytesMessageReceived", "pongReceived")):
            world, protocol = self.world(script[at:]), Recorder(**{name: raises})
            self.successResultOf(self.run_in(world, protocol))
            self.assertEqual(protocol.names, [*START, name, "connectionLost"])
            self.assertIsInstance(protocol.end.__cause__, Boom)
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_protocol_raises_at_last(self) -> None:
        """A protocol that raises in connectionLost is logged."""
        world, protocol = self.world([("close",)]), Recorder(connectionLost=raises)
        self.run_in(world, protocol)
        self.assertEqual(protocol.names, [*START, "connectionLost"])
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_lose_connection_in_the_negotiation(self) -> None:
        """loseConnection at the beginning gives up; at its end it closes; both in good order."""
        world, protocol = self.world(), Recorder(negotiationStarted=lambda self: self.transport.loseConnection())
        self.failureResultOf(self.run_in(world, protocol), gun.StreamClosed)
        self.assertEqual(protocol.names, ["negotiationStarted", "connectionLost"])
        world, protocol = self.world(), Recorder(negotiationFinished=lambda self: self.transport.loseConnection())
        self.successResultOf(self.run_in(world, protocol))
        self.assertEqual(protocol.names, [*START, "connectionLost"])
        self.assertEqual(self.server(world).frames, [gun.Close(1000)])

    # Producers.

    def test_producer(self) -> None:
        """A producer that is attached is paused when what it sends is not taken, and goes on when it is."""
        world, protocol = self.running()
        producer = Producer(protocol.transport)
        world.peer.pause()
        protocol.transport.attachProducer(producer)
        world.pump()
        for _ in range(20):
            producer.produce()
            world.pump()
        self.assertTrue(producer.paused)
        self.assertLess(producer.produced, 20)
        world.peer.resume()
        world.pump()
        self.assertFalse(producer.paused)
        protocol.transport.detachProducer()
        world.pump()
        self.assertEqual(self.server(world).frames, [gun.Binary(MUCH)] * producer.produced)

    def test_producer_is_stopped(self) -> None:
        """With the websocket its producer ends."""
        world, protocol = self.running()
        producer = Producer(protocol.transport)
        protocol.transport.attachProducer(producer)
        self.server(world).close()
        world.pump()
        self.assertTrue(producer.stopped)


class Producer:
    """A push producer of messages, one each time that it is asked, unless it is paused."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.produced = 0
        self.paused = self.stopped = False

    def produce(self) -> None:
        """Send a message."""
        if not self.paused:
            self.produced += 1
            self.transport.sendBytesMessage(MUCH)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped = True


class Http2Tests(Http1Tests):
    """Over HTTP/2."""

    def world(self, script: Any = (), *, open_options: dict[str, Any] | None = None, **peer_options: Any) -> MemoryGun:
        options = {"protocols": ["http2"], "retry": 0, **(open_options or {})}
        return MemoryGun(peer=lambda: Http2WebsocketPeer(script, **peer_options), **options)

    def test_connection_lives_on(self) -> None:
        """The end of one websocket leaves the connection to others."""
        world, first = self.running()
        first.transport.loseConnection()
        world.pump()
        second = Recorder()
        self.successResultOf(self.run_in(world, second))
        self.assertEqual((first.names[-1], second.names), ("connectionLost", START))
        self.assertEqual(len(world.peers), 1)

    def test_no_websockets(self) -> None:
        """A server that knows no websockets over HTTP/2 refuses, without a response."""
        world, protocol = self.world(settings={"enable_connect_protocol": 0}), Recorder()
        refused = self.failureResultOf(self.run_in(world, protocol), gun.UpgradeRefused)
        self.assertIsNone(refused.value.response)
        self.assertEqual(protocol.names, ["negotiationStarted", "connectionLost"])


class Echo(Recorder):
    """A server's protocol, which echoes."""

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self.transport.sendBytesMessage(bytes(data))


class Servers:
    """Makes an echo for each request; Twisted's WebSocketServerFactory."""

    def buildProtocol(self, request: object) -> Echo:
        return Echo()


class TalkingFactory:
    """Makes a client that talks, and says what became of it; Twisted's WebSocketClientFactory."""

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()
        self.protocol = Recorder(
            negotiationFinished=lambda self: self.transport.sendTextMessage("text"),
            textMessageReceived=lambda self: self.transport.sendBytesMessage(b"bytes"),
            bytesMessageReceived=lambda self: self.transport.ping(b"ping"),
            pongReceived=lambda self: self.transport.loseConnection(),
            connectionLost=lambda _: self.done.callback(None),
        )

    def buildProtocol(self, url: str) -> Recorder:
        return self.protocol


class BesideTwistedTests(TestCase):
    """One protocol, run by Twisted's own client and by the adapter, against Twisted's own server."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        listening: Any = reactor
        self.reactor = listening
        root = Resource()
        root.putChild(b"ws", twisted_websocket.WebSocketResource(Servers()))
        self.port: Any = self.reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    async def test_the_same(self) -> None:
        """The same calls with the same arguments in the same order; the end is a ConnectionDone."""
        number = self.port.getHost().port
        theirs, ours = TalkingFactory(), TalkingFactory()
        endpoint = twisted_websocket.WebSocketClientEndpoint.new(self.reactor, f"ws://127.0.0.1:{number}/ws")
        await endpoint.connect(theirs)
        await theirs.done
        conn = gun.open("127.0.0.1", number, retry=0, reactor=self.reactor)
        await adapter.run(conn, "/ws", ours.protocol)
        await ours.done
        await conn.shutdown()
        self.assertEqual(theirs.protocol.calls, ours.protocol.calls)
        self.assertEqual(len(ours.protocol.calls), 6)
        for one in (theirs, ours):
            self.assertIsInstance(one.protocol.end, error.ConnectionDone)
