"""`TunnelTransport`: a stream of a hop as a transport, and the hop's own transport where the stream has that to itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.producers import Push
from twisted_gun.net.timer import Deadlines
from twisted_gun.net.tunnel import CORE, TRANSPORT, TunnelTransport


class _Hop:
    """A hop and its core, which keep what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.core = self.transport = self
        self.spliced: Any = None

    def __getattr__(self, name: str) -> Any:
        def called(*arguments: Any) -> Any:
            self.asked.append((name, *arguments))
            return name

        return called

    def perform(self, steps: Any) -> None:
        """Whatever was asked of the core is done."""
        self.asked.append(("perform", steps))

    def splice(self, received: Any) -> None:
        """Who takes the bytes from now on."""
        self.spliced = received

    def getPeer(self) -> str:
        return "peer"

    def getHost(self) -> str:
        return "host"


class _Protocol(Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(reason.value)


class TunnelCase(SynchronousTestCase):
    """A tunnel with a protocol on it."""

    whole = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(5.0)
        self.hop, self.protocol = _Hop(), _Protocol()
        self.tunnel = TunnelTransport(self.hop, "stream", Deadlines(self.clock), self.whole)
        self.tunnel.connect(self.protocol)
        self.hop.asked.clear()

    def asked(self) -> list[tuple[Any, ...]]:
        """What the hop was asked since."""
        asked, self.hop.asked = self.hop.asked, []
        return asked


class TunnelTests(TunnelCase):
    """One stream of several."""

    def test_interfaces(self) -> None:
        """It is a transport, a consumer and a push producer."""
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.tunnel)

    def test_connect(self) -> None:
        """The protocol is made a connection on it."""
        self.assertIs(self.protocol.transport, self.tunnel)
        self.assertEqual(self.protocol.told, ["made"])
        self.assertEqual((self.tunnel.getPeer(), self.tunnel.getHost()), ("peer", "host"))

    def test_write(self) -> None:
        """What is written is content of the stream."""
        self.tunnel.write(b"a")
        self.assertEqual(self.asked(), [("data", "stream", b"a", False, 5.0), ("perform", "data")])
        self.tunnel.writeSequence([b"b", b"c"])
        self.assertEqual(self.asked()[0], ("data", "stream", b"bc", False, 5.0))

    def test_received(self) -> None:
        """What comes reaches the protocol, as long as there is one."""
        self.tunnel.data_received(b"a")
        self.tunnel.closed()
        self.tunnel.data_received(b"late")
        self.assertEqual(self.protocol.told[:2], ["made", b"a"])
        self.assertEqual(len(self.protocol.told), 3)

    def test_nobody_there(self) -> None:
        """Before a protocol is there nobody is told of the end."""
        tunnel = TunnelTransport(_Hop(), "stream", Deadlines(self.clock), self.whole)
        tunnel.lost(gun.StreamClosed("gone"))
        tunnel.data_received(b"late")

    def test_lose(self) -> None:
        """loseConnection ends the content, once; what is written later is dropped; the end comes with the peer's."""
        for _ in range(2):
            self.tunnel.loseConnection()
        self.tunnel.write(b"late")
        self.assertEqual(self.asked(), [("data", "stream", b"", True, 5.0), ("perform", "data")])
        self.assertTrue(self.tunnel.disconnecting)
        self.assertEqual(self.protocol.told, ["made"])
        self.tunnel.closed()
        self.assertIsInstance(self.protocol.told[1], ConnectionDone)
        self.assertEqual(self.asked(), [])

    def test_peer_ends(self) -> None:
        """Where the peer ends first, ours ends too, and that is the end in good order."""
        self.tunnel.closed()
        self.assertEqual(self.asked()[0], ("data", "stream", b"", True, 5.0))
        self.assertIsInstance(self.protocol.told[1], ConnectionDone)

    def test_abort(self) -> None:
        """abortConnection cancels the stream, and tells in a turn of its own: not from within, and once."""
        self.tunnel.abortConnection()
        self.tunnel.abortConnection()
        self.assertEqual([each for each in self.asked() if each[0] == "cancel"], [("cancel", "stream", 5.0)])
        self.assertEqual(self.protocol.told, ["made"])
        self.clock.advance(0)
        self.assertIsInstance(self.protocol.told[1], ConnectionAborted)
        self.tunnel.write(b"late")
        self.tunnel.loseConnection()
        self.assertEqual(self.asked(), [])

    def test_lost(self) -> None:
        """A stream that failed is lost by that, once."""
        reason = gun.StreamClosed("gone")
        self.tunnel.lost(reason)
        self.tunnel.closed()
        self.tunnel.lost(reason)
        self.assertEqual(self.protocol.told, ["made", reason])
        self.assertEqual(self.asked(), [])

    def test_reading(self) -> None:
        """Pausing and resuming holds the stream, and lets it go on; stopProducing ends it."""
        self.tunnel.pauseProducing()
        self.tunnel.resumeProducing()
        asked = [each for each in self.asked() if each[0] == "hold"]
        self.assertEqual(asked, [("hold", "stream", True, 5.0), ("hold", "stream", False, 5.0)])
        self.tunnel.stopProducing()
        self.assertTrue(self.tunnel.disconnecting)

    def test_blocked(self) -> None:
        """The producer is paused as long as there is any reason, and asked once for each change."""
        producer = Push()
        self.tunnel.registerProducer(producer, True)
        for why, blocked in ((CORE, True), (TRANSPORT, True), (CORE, True), (CORE, False)):
            self.tunnel.block(why, blocked)
        self.assertEqual(producer.asked, ["pause"])
        self.tunnel.block(TRANSPORT, False)
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.tunnel.unregisterProducer()
        self.tunnel.block(TRANSPORT, True)
        self.assertEqual(producer.asked, ["pause", "resume"])

    def test_registered_while_blocked(self) -> None:
        """One that is registered meanwhile is paused at once."""
        self.tunnel.block(TRANSPORT, True)
        producer = Push()
        self.tunnel.registerProducer(producer, True)
        self.assertEqual(producer.asked, ["pause"])

    def test_nothing_is_kept(self) -> None:
        """After the end it keeps neither its protocol nor its producer."""
        producer = Push()
        self.tunnel.registerProducer(producer, True)
        self.tunnel.lost(gun.StreamClosed("gone"))
        self.tunnel.block(TRANSPORT, True)
        self.assertEqual(producer.asked, [])
        self.assertIsNone(self.tunnel._protocol)
        self.assertIsNone(self.tunnel._producer)


class WholeTests(TunnelCase):
    """The stream has the whole connection to itself: its bytes go past the core."""

    whole = True

    def test_bytes(self) -> None:
        """What is written goes to the hop as it is, and what comes to the protocol."""
        self.tunnel.write(b"a")
        self.assertEqual(self.asked(), [("write", b"a")])
        self.hop.spliced(b"b")
        self.assertEqual(self.protocol.told, ["made", b"b"])

    def test_abort(self) -> None:
        """abortConnection aborts what is below: nothing that waits is waited for."""
        self.tunnel.abortConnection()
        self.assertIn(("abort",), self.asked())
        self.assertIsNone(self.hop.spliced)
        self.clock.advance(0)
        self.assertIsInstance(self.protocol.told[1], ConnectionAborted)

    def test_lose(self) -> None:
        """loseConnection is still the core's to say."""
        self.tunnel.loseConnection()
        self.tunnel.write(b"late")
        self.assertEqual(self.asked(), [("data", "stream", b"", True, 5.0), ("perform", "data")])


class _Sending:
    """A hop and its core, of which the test says what has become of what was written."""

    def __init__(self) -> None:
        self.core = self
        self.written = 1000  # by all that stand on it
        self.waiting: int | None = 0
        self.here = 0  # of the stream

    def unsent(self) -> int | None:
        return self.waiting

    def sent(self) -> int | None:
        return None if self.waiting is None else self.written - self.waiting

    def queued(self, stream: object) -> int:
        assert stream == "stream"
        return self.here

    def data(self, *arguments: Any) -> None:
        """Whatever ends the stream."""

    perform = splice = data


class SentTests(SynchronousTestCase):
    """What is known of the bytes that were written."""

    def tunnel(self, whole: bool = False) -> tuple[TunnelTransport, _Sending]:
        hop = _Sending()
        tunnel = TunnelTransport(hop, "stream", Deadlines(Clock()), whole)
        return tunnel, hop

    def test_whole(self) -> None:
        """Of a tunnel that has the hop to itself, what the hop knows."""
        tunnel, hop = self.tunnel(whole=True)
        hop.waiting = 300
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (300, 700))
        hop.waiting = None
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (None, None))

    def test_stream(self) -> None:
        """Of a stream, what its core keeps and what waits below; each byte that moves on counts."""
        tunnel, hop = self.tunnel()
        hop.waiting, hop.here = 300, 50
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (350, 650))
        hop.here = 20
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (320, 680))
        hop.waiting = 100
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (120, 880))

    def test_others(self) -> None:
        """Once its last byte is with the hop, what others send there changes nothing."""
        tunnel, hop = self.tunnel()
        hop.waiting, hop.here = 300, 50
        tunnel.loseConnection()
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (350, 650))
        hop.here, hop.waiting, hop.written = 0, 200, 1050
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (200, 850))
        hop.waiting, hop.written = 1100, 2000  # 50 went out, and others wrote 950
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (150, 900))
        hop.waiting, hop.written = 700, 2000
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (0, 1050))
        hop.waiting = 0
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (0, 1050))

    def test_unknown_below(self) -> None:
        """Where nothing is known of the hop's transport, what the core keeps still says something."""
        tunnel, hop = self.tunnel()
        tunnel.loseConnection()
        hop.waiting, hop.here = None, 50
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (50, -50))
        hop.here = 0
        self.assertEqual((tunnel.unsent(), tunnel.sent()), (None, 0))
