"""`twisted_gun.net.carrier`: a tunnel as the transport of protocols that know nothing of tunnels."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.protocols.basic import FileSender

import twisted_gun as gun
from tests.net.proxying import MUCH, NAME, Client, Multiplexed, ProxyCase
from tests.producers import Push
from twisted_gun.net.hop import HopOptions
from twisted_gun.net.proxied import TunnelEndpoint
from twisted_gun.net.proxy import Proxy
from twisted_gun.net.tunnel import TRANSPORT
from twisted_gun.testing import Http2Peer, MemoryEndpoint
from twisted_gun.testing.proxies import ProxyFactory


class CarrierTests(ProxyCase):
    """Over HTTP/1.1, whose whole connection it has."""

    def setUp(self) -> None:
        super().setUp()
        self.client, self.origin = self.open(self.proxy())
        self.transport = self.client.transport

    def lose_proxy(self) -> None:
        """The proxy is gone."""
        self.factory.connections[0].transport.abortConnection()
        self.pump()

    def test_bytes_only(self) -> None:
        """What is not bytes is refused at the call, and nothing else is hurt."""
        for data in ("text", bytearray(b"x"), None):
            self.assertRaises(TypeError, self.transport.write, data)
        self.transport.write(b"fine")
        self.pump()
        self.assertEqual(self.origin.received, b"fine")

    def test_pulled(self) -> None:
        """A pull producer sends all it has, as the far end takes it; the end it asks for then comes behind that."""
        content = BytesIO(MUCH)
        self.origin.transport.pauseProducing()
        sent = FileSender().beginFileTransfer(content, self.transport)
        sent.addCallback(lambda last: self.transport.loseConnection())
        self.pump()
        self.assertLess(content.tell(), len(MUCH))
        self.origin.transport.resumeProducing()
        self.pump()
        self.assertEqual(self.origin.received, MUCH)
        self.assertIsInstance(self.client.lost, ConnectionDone)
        self.assertIsInstance(self.origin.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_pulled_to_the_end(self) -> None:
        """loseConnection waits until a pull producer is unregistered, and what that writes meanwhile is sent."""
        pull = _Pull(self.transport, [b"one", b"two", b"three"])
        self.transport.registerProducer(pull, False)
        self.client.ask("loseConnection")
        self.assertTrue(self.transport.disconnecting)
        self.pump()
        self.assertEqual(self.origin.received, b"onetwothree")
        self.assertIsInstance(self.client.lost, ConnectionDone)
        self.transport.write(b"late")
        self.assert_nothing_left()

    def test_pulled_and_lost(self) -> None:
        """A producer whose transport is lost is told to stop, and asked for no more; FileSender says so."""
        sender = FileSender()
        self.origin.transport.pauseProducing()
        sent = sender.beginFileTransfer(BytesIO(MUCH * 4), self.transport)
        self.pump()
        self.lose_proxy()
        self.failureResultOf(sent)
        self.assertIsInstance(self.client.lost, gun.ConnectionFailed)
        self.assert_nothing_left()

    def test_pulled_and_ended(self) -> None:
        """The far end closes while there is still something to send: that is the end."""
        pull = _Pull(self.transport, [b"x"] * 10)
        self.transport.registerProducer(pull, False)
        self.transport.pauseProducing()
        self.origin.transport.loseConnection()
        self.transport.resumeProducing()
        self.pump()
        self.assertIsInstance(self.client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_pull_raises(self) -> None:
        """A pull producer that raises is not asked again."""
        pull = _Pull(self.transport, [])
        self.transport.registerProducer(pull, False)
        self.assertRaises(IndexError, self.pump)
        self.pump()
        self.assertEqual(pull.asked, 1)

    def test_one_producer(self) -> None:
        """There is one at a time; after the end none, and it is told so; the one that is there is told, too."""
        first, second, late = Push(), Push(), Push()
        self.transport.registerProducer(first, True)
        self.assertRaises(RuntimeError, self.transport.registerProducer, second, True)
        self.transport.unregisterProducer()
        self.transport.registerProducer(second, True)
        self.lose_proxy()
        self.transport.registerProducer(late, True)
        self.assertEqual([each.asked for each in (first, second, late)], [[], ["stop"], ["stop"]])

    def test_raises_at_the_end(self) -> None:
        """What a producer or a protocol raises when told of the end is logged; the end it is all the same."""
        self.transport.registerProducer(Push(lambda name: 1 // 0), True)
        self.client.react = lambda told: [].pop()
        self.lose_proxy()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.assert_nothing_left()

    def test_nothing_after_the_end(self) -> None:
        """Nothing more is told, and nothing hurts: what it is asked for is not done."""
        self.client.ask("loseConnection")
        self.transport.data_received(b"late")
        self.pump()
        told = list(self.client.told)
        self.transport.write(b"late")
        for name in ("loseConnection", "abortConnection", "pauseProducing", "resumeProducing", "stopProducing"):
            self.client.ask(name)
        self.transport.closed()
        self.transport.lost(gun.StreamClosed("again"))
        self.pump()
        self.assertEqual(self.client.told, told)
        self.assert_nothing_left()

    def test_stop(self) -> None:
        """stopProducing is an end as loseConnection."""
        self.client.ask("stopProducing")
        self.pump()
        self.assertIsInstance(self.client.lost, ConnectionDone)

    def test_end_asked_for_when_told(self) -> None:
        """A protocol that asks for the end whenever it is told something is told of it once."""
        self.client.react = lambda told: self.transport.loseConnection()
        self.origin.transport.write(b"x")
        self.pump()
        self.assertIsInstance(self.client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_end_asked_for_twice_over(self) -> None:
        """An end that is asked for while another call asks for it is told when both have returned."""
        self.transport.registerProducer(Push(lambda name: self.transport.abortConnection()), True)
        self.client.busy = True
        self.transport.block(TRANSPORT, True)
        self.transport.loseConnection()
        self.client.busy = False
        self.pump()
        self.assertIsInstance(self.client.lost, ConnectionAborted)
        self.assert_nothing_left()


class StreamTests(ProxyCase):
    """Over HTTP/2, where it is one stream of several."""

    http2 = True

    def there(self, **options: Any) -> tuple[Client, Http2Peer]:
        """A tunnel whose peer sends nothing, and opens no windows."""
        peer = Http2Peer([("expect", lambda request: True), ("respond", 200, {}, b"", False)], open_windows=False)
        return self.successResultOf(self.connect(self.scripted(peer, **options))), peer

    def test_end_that_cannot_be_said(self) -> None:
        """Where not even what was written can be sent, the end is that of a time-out."""
        client, _ = self.there(closing_timeout=2.0)
        client.transport.write(MUCH)
        client.ask("loseConnection")
        self.clock.advance(2)
        self.assertIsInstance(client.lost, gun.TimedOut)
        self.assertEqual(getattr(client.lost, "stage", None), "closing")
        self.pump()
        self.assert_nothing_left()

    def test_end_without_limit(self) -> None:
        """Without a limit it is waited for, as long as it takes."""
        client, peer = self.there(closing_timeout=None)
        client.ask("loseConnection")
        self.clock.advance(100_000)
        self.assertIsNone(client.lost)
        peer.send_data(peer.requests[0], b"", True)
        self.pump()
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_resumed(self) -> None:
        """What waited while reading was paused is told in a turn of its own, its end too; not where it is paused again before."""
        client, peer = self.there()
        client.ask("pauseProducing")
        peer.send_data(peer.requests[0], b"waiting", True)
        self.pump()
        client.ask("resumeProducing")
        client.ask("pauseProducing")
        self.pump()
        self.assertEqual(client.told, ["made"])
        client.ask("resumeProducing")
        self.assertEqual(client.told, ["made"])
        self.pump()
        self.assertEqual(client.received, b"waiting")
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_pulled_and_ended(self) -> None:
        """Where the far end closes while a pull producer still sends, the stream is given up."""
        client, peer = self.there()
        pull = _Pull(client.transport, [b"x" * 1000] * 10)
        client.transport.registerProducer(pull, False)
        peer.send_data(peer.requests[0], b"", True)
        self.pump()
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()


class EndTests(ProxyCase):
    """The end that a protocol asks for, with much still to be sent."""

    def end(self, **options: Any) -> tuple[Client, Client]:
        """Both ends of a tunnel whose far end reads nothing for now."""
        client, origin = self.open(self.proxy(**options))
        origin.transport.pauseProducing()
        client.transport.write(MUCH)
        client.ask("loseConnection")
        self.pump()
        self.assertIsNone(client.lost)
        return client, origin

    def take(self, origin: Client) -> None:
        """Let the far end read a little."""
        transport = origin.transport
        origin.react = lambda told: transport.pauseProducing() if told == "data" else None
        transport.resumeProducing()
        self.pump()

    def test_slow(self) -> None:
        """A slow peer gets everything, however long that takes; only then the protocol hears of the end."""
        client, origin = self.end(closing_timeout=10.0)
        seconds = 0
        while origin.lost is None and seconds < 100:
            self.assertIsNone(client.lost if len(origin.received) < len(MUCH) // 2 else None)
            self.clock.advance(2)
            seconds += 2
            self.take(origin)
        self.assertGreater(seconds, 20)
        self.assertEqual(origin.received, MUCH)
        self.assertIsInstance(origin.lost, ConnectionDone)
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()

    def test_stuck(self) -> None:
        """A peer that takes some and then nothing for closing_timeout: the protocol hears that as a time-out."""
        client, origin = self.end(closing_timeout=4.0)
        for _ in range(3):
            self.clock.advance(3)
            self.take(origin)
        self.assertIsNone(client.lost)
        self.clock.pump([4, 4])
        lost: Any = client.lost
        self.assertEqual((type(lost), lost.stage, lost.seconds), (gun.TimedOut, "closing", 4.0))
        self.assert_nothing_left()

    def test_abort(self) -> None:
        """abortConnection does not wait for an end that is under way."""
        client, _ = self.end()
        client.ask("abortConnection")
        self.pump()
        self.assertIsInstance(client.lost, ConnectionAborted)
        self.assert_nothing_left()

    def test_proxy_vanishes(self) -> None:
        """Nor is it an end in good order where the proxy resets the connection meanwhile."""
        client, _ = self.end()
        self.factory.connections[0].transport.abortConnection()
        self.pump()
        self.assertIsInstance(client.lost, gun.ConnectionFailed)
        self.assert_nothing_left()

    def test_without_limit(self) -> None:
        """Without a limit it is waited for."""
        client, origin = self.end(closing_timeout=None, hop_options=HopOptions(send_timeout=None))
        self.clock.advance(100_000)
        self.assertIsNone(client.lost)
        origin.transport.resumeProducing()
        self.pump()
        self.assertEqual(origin.received, MUCH)
        self.assertIsInstance(client.lost, ConnectionDone)
        self.assert_nothing_left()


class SocksEndTests(EndTests):
    """Through SOCKS5."""

    kind = "socks5"


class Http2EndTests(EndTests):
    """Through HTTP/2."""

    kind = "http2"
    http2 = True


class TlsEndTests(EndTests):
    """Through HTTP/1.1 over TLS."""

    def proxy(self, **options: Any) -> Proxy:
        self.factory = ProxyFactory("http", self.dial)
        return self.over_tls(self.factory, b"http/1.1", **options)


class ChainedEndTests(EndTests):
    """Through HTTP/1.1 within another tunnel, over HTTP/2."""

    def proxy(self, **options: Any) -> Proxy:
        self.factory = ProxyFactory("http2", lambda host, port: MemoryEndpoint(self.inner, clock=self.clock))
        self.inner = ProxyFactory("http", self.dial)
        self.way = MemoryEndpoint(self.factory, clock=self.clock)
        first = Multiplexed(reactor=self.clock, endpoint=self.way, name="first.example:443", may_share=True, **options)
        return Proxy(reactor=self.clock, endpoint=TunnelEndpoint(first, "proxy.example", 3128), name=NAME, **options)


class _Pull:
    """A pull producer of these pieces."""

    def __init__(self, consumer: Any, pieces: list[bytes]) -> None:
        self._consumer, self._pieces = consumer, pieces
        self.asked = 0

    def resumeProducing(self) -> None:
        self.asked += 1
        self._consumer.write(self._pieces.pop(0))
        if not self._pieces:
            self._consumer.unregisterProducer()

    def stopProducing(self) -> None:
        self._pieces.clear()
