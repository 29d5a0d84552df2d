"""twisted_gun.testing: endpoints, scripted peers, recording receivers, and a world made of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.test_testing import HalfRecorder, Recorder
from twisted_gun.events import Up
from twisted_gun.interfaces import IReceiver
from twisted_gun.testing import MemoryEndpoint, MemoryGun, MemoryLink, RecordingReceiver, ScriptedPeer, memory_pair


class EndpointTests(SynchronousTestCase):
    """`MemoryEndpoint`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers: list[Recorder] = []
        self.endpoint = MemoryEndpoint(Factory.forProtocol(self.new_server), clock=self.clock)
        self.factory = Factory.forProtocol(Recorder)
        self.factory.noisy = False

    def new_server(self) -> Recorder:
        """The protocol of the server's side."""
        self.servers.append(Recorder())
        return self.servers[-1]

    def connect(self) -> Deferred[Any]:
        """Dial and let it happen."""
        attempt: Deferred[Any] = self.endpoint.connect(self.factory)
        self.assertNoResult(attempt)
        self.clock.advance(0)
        return attempt

    def test_connects(self) -> None:
        """With a clock the result comes one callLater(0) later, and the link flushes itself."""
        verifyObject(IStreamClientEndpoint, self.endpoint)
        client = self.successResultOf(self.connect())
        client.transport.write(b"hello")
        self.clock.advance(0)
        self.assertEqual((self.servers[0].data, len(self.endpoint.links)), (b"hello", 1))
        self.assertIsInstance(self.endpoint.links[0], MemoryLink)

    def test_without_a_clock(self) -> None:
        """Without a clock the result is there at once, and the test flushes."""
        endpoint = MemoryEndpoint(Factory.forProtocol(self.new_server))
        client: Any = self.successResultOf(endpoint.connect(self.factory))
        client.transport.write(b"hello")
        endpoint.links[0].flush()
        self.assertEqual(self.servers[0].data, b"hello")

    def test_refuses(self) -> None:
        """refuse() fails attempts, by ConnectionRefusedError or what it is given, until accept()."""
        self.endpoint.refuse()
        self.failureResultOf(self.connect(), error.ConnectionRefusedError)
        self.endpoint.refuse(error.TimeoutError())
        self.failureResultOf(self.connect(), error.TimeoutError)
        self.endpoint.accept()
        self.successResultOf(self.connect())
        self.assertEqual((self.endpoint.attempts, len(self.endpoint.links)), (3, 1))

    def test_refuses_some(self) -> None:
        """refuse(times=2) fails two attempts; the third succeeds."""
        self.endpoint.refuse(times=2)
        for _ in range(2):
            self.failureResultOf(self.connect(), error.ConnectionRefusedError)
        self.successResultOf(self.connect())

    def test_hangs(self) -> None:
        """hang() leaves attempts without a result until they are cancelled."""
        self.endpoint.hang()
        attempt = self.connect()
        self.clock.advance(1000)
        self.assertNoResult(attempt)
        attempt.cancel()
        self.failureResultOf(attempt, error.ConnectingCancelledError)

    def test_cancelled(self) -> None:
        """A cancelled attempt makes no connection."""
        attempt: Deferred[Any] = self.endpoint.connect(self.factory)
        attempt.cancel()
        self.clock.advance(0)
        self.failureResultOf(attempt, error.ConnectingCancelledError)
        self.assertEqual((self.servers, self.endpoint.links), ([], []))

    def test_no_protocol(self) -> None:
        """A client factory without a protocol is NoProtocol; a server factory without one refuses."""
        self.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.failureResultOf(self.connect(), error.NoProtocol)
        self.endpoint = MemoryEndpoint(self.factory, clock=self.clock)
        self.failureResultOf(self.connect(), error.ConnectionRefusedError)

    def test_the_factory_is_started_and_stopped(self) -> None:
        """A factory is started with the attempt, and stopped by a failure or with the connection, as by real endpoints."""
        self.endpoint.refuse(times=1)
        self.failureResultOf(self.connect(), error.ConnectionRefusedError)
        self.assertEqual(self.factory.numPorts, 0)
        client = self.successResultOf(self.connect())
        self.assertEqual(self.factory.numPorts, 1)
        client.transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(self.factory.numPorts, 0)


class PeerTests(SynchronousTestCase):
    """`ScriptedPeer`."""

    def start(self, script: Any = ()) -> None:
        """Connect a client to a peer with `script`."""
        self.client, self.peer = Recorder(), ScriptedPeer(script)
        self.link = memory_pair(self.client, self.peer)
        self.link.flush()

    def say(self, data: bytes) -> None:
        """Let the client send `data`."""
        self.client.transport.write(data)
        self.link.flush()

    def test_by_hand(self) -> None:
        """A peer records, sends and closes as it is told."""
        self.start()
        self.say(b"hello")
        self.peer.send(b"world")
        self.peer.close()
        self.link.flush()
        self.assertEqual((self.peer.received, self.client.data, self.client.told), (b"hello", b"world", ["ConnectionDone"]))
        assert self.peer.lost is not None
        self.assertTrue(self.peer.lost.check(error.ConnectionDone))

    def test_ends(self) -> None:
        """abort() resets; half_close() ends what it sends only."""
        self.start()
        self.peer.abort()
        self.link.flush()
        self.assertEqual(self.client.told, ["ConnectionLost"])
        client, peer = HalfRecorder(), ScriptedPeer()
        link = memory_pair(client, peer)
        peer.half_close()
        link.flush()
        client.transport.write(b"still heard")
        link.flush()
        self.assertEqual((client.told, peer.received), (["read"], b"still heard"))

    def test_half_close_after_the_end(self) -> None:
        """Where all is over already half_close() does nothing, and the link comes to rest."""
        self.start()
        self.peer.abort()
        self.link.flush()
        self.peer.half_close()
        self.link.flush(10)
        self.assertEqual(self.client.told, ["ConnectionLost"])

    def test_pause(self) -> None:
        """A paused peer receives nothing until it is resumed."""
        self.start()
        self.peer.pause()
        self.say(b"hello")
        self.assertEqual(self.peer.received, b"")
        self.peer.resume()
        self.link.flush()
        self.assertEqual(self.peer.received, b"hello")

    def test_script(self) -> None:
        """Steps are done in order, each as soon as it can be, and verify() is content when all are."""
        self.start([("send", b"220 "), ("expect", b"one"), ("send", b"1"), ("expect", lambda data: data == b"two"), ("close",)])
        self.assertEqual(self.client.data, b"220 ")
        self.say(b"o")
        self.assertEqual(self.client.data, b"220 ")
        self.say(b"netw")
        self.assertEqual((self.client.data, self.client.told), (b"220 1", []))
        self.say(b"o")
        self.assertEqual((self.client.data, self.client.told), (b"220 1", ["ConnectionDone"]))
        self.peer.verify()

    def test_several_expectations_in_one_piece(self) -> None:
        """Expectations are met one after the other within one piece, each by bytes of its own."""
        self.start([("expect", b"a"), ("send", b"1"), ("expect", b"a"), ("send", b"2"), ("abort",)])
        self.say(b"xa")
        self.assertEqual(self.client.data, b"1")
        self.assertRaises(AssertionError, self.peer.verify)

    def test_verify(self) -> None:
        """verify() names the steps that were not done and what came instead."""
        self.start([("expect", b"GET"), ("send", b"x")])
        self.say(b"PUT")
        message = str(self.assertRaises(AssertionError, self.peer.verify))
        self.assertIn("('expect', b'GET')", message)
        self.assertIn("b'PUT'", message)

    def test_unknown_step(self) -> None:
        """A step of another name is refused when the peer is made."""
        self.assertRaises(ValueError, ScriptedPeer, [("sned", b"x")])

    def test_callable(self) -> None:
        """A callable script is called with the peer each time bytes have arrived."""
        self.start(lambda peer: peer.send(b"%d " % len(peer.received)))
        self.say(b"abc")
        self.say(b"d")
        self.assertEqual(self.client.data, b"3 4 ")

    def test_requests(self) -> None:
        """Pipelined requests are told apart by content-length and chunks, wherever the bytes are cut."""
        sample = (
            b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
            b"PUT /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"
            b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nde\r\nA\r\n0123456789\r\n0\r\ntrailer: 1\r\n\r\n"
            b"CONNECT h:1 HTTP/1.1\r\n\r\n"
            b"\x05not http"
        )
        self.start()
        for byte in sample:
            self.say(bytes([byte]))
        shown = [(request.method, request.target, request.body, request.complete) for request in self.peer.requests]
        whole = [(b"GET", b"/a", b""), (b"PUT", b"/b", b"abc"), (b"POST", b"/c", b"de0123456789"), (b"CONNECT", b"h:1", b"")]
        self.assertEqual(shown, [(*request, True) for request in whole])
        self.assertEqual(self.peer.requests[0].headers, ((b"host", b"x"),))

    def test_incomplete_requests(self) -> None:
        """A request is listed with its head, as not complete until its body is; then nothing follows it."""
        for body in (
            b"content-length: 5\r\n\r\nab",
            b"transfer-encoding: chunked\r\n\r\n5\r\nab",
            b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        ):
            self.start()
            self.say(b"PUT / HTTP/1.1\r\n")
            self.assertEqual(self.peer.requests, [])
            self.say(body)
            self.assertEqual([(request.body, request.complete) for request in self.peer.requests], [(b"ab", False)])


class ReceiverTests(SynchronousTestCase):
    """`RecordingReceiver`."""

    def test_every_event(self) -> None:
        """Whatever the interface names is recorded, in order."""
        receiver: Any = RecordingReceiver()
        verifyObject(IReceiver, receiver)
        names = sorted(IReceiver.names(all=True))
        events = [SimpleNamespace(name=name) for name in names]
        for name, event in zip(names, events, strict=True):
            getattr(receiver, name)(event)
        self.assertEqual((receiver.names(), receiver.events), (names, events))
        self.assertIn("gun_response", names)

    def test_of_and_clear(self) -> None:
        """of() picks by type; clear() forgets."""
        receiver: Any = RecordingReceiver()
        for event in (1, "two", 3):
            receiver.gun_notify(event)
        self.assertEqual((receiver.of(int), receiver.of(str)), ([1, 3], ["two"]))
        receiver.clear()
        self.assertEqual((receiver.events, receiver.names()), ([], []))

    def test_react(self) -> None:
        """react is called after the event was recorded, and what it raises goes to who told."""
        seen: list[Any] = []
        receiver: Any = RecordingReceiver(react=lambda event: seen.append((event, list(receiver.events))))
        receiver.gun_up("up")
        self.assertEqual(seen, [("up", ["up"])])
        receiver.react = lambda event: 1 / 0
        self.assertRaises(ZeroDivisionError, receiver.gun_down, "down")
        self.assertEqual(receiver.names(), ["gun_up", "gun_down"])


class GunTests(SynchronousTestCase):
    """`MemoryGun`."""

    def test_a_request(self) -> None:
        """The example of the module's docstring."""
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
        world = MemoryGun("example.org", 80, script=[("expect", b"GET /hello HTTP/1.1\r\n"), ("send", answer)])
        body = world.connection.get("/hello").await_body()
        world.pump()
        self.assertEqual(self.successResultOf(body), b"hello")
        self.assertEqual(world.owner.names(), ["gun_up"])
        self.assertEqual([request.target for request in world.peer.requests], [b"/hello"])
        world.peer.verify()

    def test_nothing_before_the_first_pump(self) -> None:
        """Nothing is dialled, or told, before time is let go on."""
        world = MemoryGun()
        self.assertEqual((world.peers, world.owner.events), ([], []))
        self.assertRaises(AssertionError, lambda: world.peer)
        world.pump()
        self.assertEqual((len(world.peers), world.clock.seconds()), (1, 0))

    def test_recording_streams(self) -> None:
        """With reply_to the streams' events are recorded as well, however the bytes are cut."""
        receiver = RecordingReceiver()
        world = MemoryGun(owner=receiver, reply_to=receiver)
        world.pump()
        world.connection.get("/")
        world.endpoint.links[-1].chunk_size = 1
        world.peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        world.pump()
        self.assertEqual(receiver.names(), ["gun_up", "gun_response"])

    def test_dials_again(self) -> None:
        """After a close the connection dials again at once; each connection has a peer of its own."""
        world = MemoryGun()
        world.pump()
        first = world.peer
        first.close()
        world.pump()
        self.assertEqual((world.owner.names(), len(world.peers)), (["gun_up", "gun_down", "gun_up"], 2))
        self.assertIsNot(world.peer, first)

    def test_time(self) -> None:
        """advance() lets time pass: refused at once and once more, a connection is dialled again after retry_timeout."""
        world = MemoryGun(retry_timeout=5)
        world.endpoint.refuse(times=2)
        world.pump()
        world.advance(4.75)
        self.assertEqual((world.endpoint.attempts, world.owner.of(Up)), (2, []))
        world.advance(0.25)
        self.assertEqual((world.endpoint.attempts, len(world.owner.of(Up))), (3, 1))
