"""Tests for twisted_gun.net.straight, on real sockets: order, back-pressure, closing, and what is left alone."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast

from twisted.internet import interfaces, reactor, tcp
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer, providedBy

from twisted_gun.net.straight import Indirect, sent, straight, straight_write, unsent, watch_sending
from twisted_gun.net.timer import Deadlines

BIG = os.urandom(4096) * 4096  # 16 MiB: more than a socket's buffers take


class Peer(Protocol):
    """Keeps what it gets; tells of the whole of it, and of the end."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.awaited: list[tuple[int, Deferred[bytes]]] = []
        self.made: Deferred[Peer] = Deferred()
        self.ended: BaseException | None = None
        self.ends: list[Deferred[BaseException]] = []

    def connectionMade(self) -> None:
        """Connected."""
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes."""
        self.received += data
        self.tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.ended = ended = reason.value
        assert ended is not None
        for waiting in self.ends:
            waiting.callback(cast(Any, ended))

    def end(self) -> Deferred[BaseException]:
        """Fires with the reason when the connection is lost, or has been."""
        if self.ended is not None:
            return succeed(cast(Any, self.ended))
        self.ends.append(Deferred())
        return self.ends[-1]

    def until(self, size: int) -> Deferred[bytes]:
        """Fires with all bytes when there are `size` of them."""
        self.awaited.append((size, Deferred()))
        waiting = self.awaited[-1][1]
        self.tell()
        return waiting

    def tell(self) -> None:
        """Fire those that wait for no more than there is."""
        for entry in [entry for entry in self.awaited if entry[0] <= len(self.received)]:
            self.awaited.remove(entry)
            entry[1].callback(bytes(self.received))


@implementer(IPushProducer)
class Producer:
    """Keeps what it is told to do."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.resumed: Deferred[None] = Deferred()

    def pauseProducing(self) -> None:
        """Too much is queued."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """All is sent."""
        self.told.append("resume")
        self.resumed.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.told.append("stop")


class Straight(TestCase):
    """A connection between two peers in this process: `near` writes straight, `far` reads."""

    near: Peer
    far: Peer

    async def setUp(self) -> None:  # type: ignore[override]
        """Connect; at the end close both sides."""
        self.near, self.far = Peer(), Peer()
        server, client = self.endpoints()
        port = await server.listen(Factory.forProtocol(lambda: self.far))
        self.addCleanup(port.stopListening)
        await self.client(client, port).connect(Factory.forProtocol(lambda: self.near))
        await self.far.made
        assert self.near.transport is not None
        self.plain = cast(Any, self.near.transport)
        self.addCleanup(self.close)

    def endpoints(self) -> tuple[Any, Any]:
        """The server's endpoint and the client's, or None where it depends on the port."""
        return TCP4ServerEndpoint(cast(Any, reactor), 0, interface="127.0.0.1"), None

    def client(self, endpoint: Any, port: Any) -> Any:
        """The client's endpoint."""
        return endpoint or TCP4ClientEndpoint(cast(Any, reactor), "127.0.0.1", port.getHost().port)

    def close(self) -> Deferred[Any]:
        """Abort both sides, and wait until they are gone."""
        for peer in (self.near, self.far):
            cast(Any, peer.transport).abortConnection()
        return gatherResults([self.near.end(), self.far.end()])

    def queue(self) -> int:
        """How many bytes wait in user space."""
        waiting = unsent(self.plain)
        assert waiting is not None
        return waiting


class SendingTests(Straight):
    """Over TCP."""

    def test_at_once(self) -> None:
        """A small write is with the kernel before the reactor turns: the other side can read it."""
        straight_write(self.plain)(b"at once")
        self.assertEqual(self.queue(), 0)
        end = cast(Any, self.far.transport).getHandle()
        self.assertEqual(end.recv(100, socket.MSG_PEEK), b"at once")

    def test_nothing(self) -> None:
        """Writing nothing sends nothing."""
        straight_write(self.plain)(b"")
        self.assertEqual(self.queue(), 0)

    async def test_order(self) -> None:
        """Big and small writes, straight and by way of the queue, arrive whole and in the order in which they were written."""
        write = straight_write(self.plain)
        pieces = [b"first", BIG, b"small after big", BIG[:100_000], b"last"]
        for number, piece in enumerate(pieces):
            (self.plain.write if number == 3 else write)(piece)
        self.assertGreater(self.queue(), 0)
        whole = b"".join(pieces)
        self.assertEqual(await self.far.until(len(whole)), whole)
        self.assertEqual(self.queue(), 0)
        write(b", and straight again")
        self.assertEqual(await self.far.until(len(whole) + 20), whole + b", and straight again")

    def test_large(self) -> None:
        """What is larger than Twisted sends at a time is one send(); what that leaves is queued, and a loss is for the reactor to tell."""

        class Handle:
            def __init__(self, outcome: int | OSError) -> None:
                self.outcome = outcome

            def send(self, data: bytes) -> int:
                if isinstance(self.outcome, OSError):
                    raise self.outcome
                return min(self.outcome, len(data))

        handle = self.plain.socket
        large = BIG[:200_000]
        for outcome, queued, lost in (
            (10**6, 0, False),
            (150_000, 50_000, False),
            (BlockingIOError(errno.EWOULDBLOCK, "full"), 200_000, False),
            (ConnectionResetError(errno.ECONNRESET, "reset"), 200_000, True),
        ):
            self.plain.socket = Handle(outcome)
            straight_write(self.plain)(large)
            self.assertEqual(self.queue(), queued, outcome)
            self.assertEqual("doRead" in vars(self.plain), lost, outcome)
            self.plain.dataBuffer, self.plain.offset = b"", 0
            del self.plain._tempDataBuffer[:]
            self.plain._tempDataLen = 0
        self.plain.socket = handle

    async def test_behind_the_queue(self) -> None:
        """What was queued the ordinary way goes first."""
        self.plain.write(b"queued, ")
        straight_write(self.plain)(b"written")
        self.assertEqual(await self.far.until(15), b"queued, written")

    async def test_behind_what_is_being_sent(self) -> None:
        """What the reactor has begun to send goes first, even when the kernel has room again."""
        write = straight_write(self.plain)
        far = cast(Any, self.far.transport)
        far.pauseProducing()
        write(BIG)
        self.plain.doWrite()
        self.assertEqual((bool(self.plain.dataBuffer), self.plain._tempDataBuffer), (True, []))
        self.far.dataReceived(far.getHandle().recv(len(BIG)))
        write(b"last")
        far.resumeProducing()
        self.assertEqual(await self.far.until(len(BIG) + 4), BIG + b"last")

    def test_unsent(self) -> None:
        """What the kernel did not take is counted, and the rest was taken."""
        cast(Any, self.far.transport).pauseProducing()
        write = straight_write(self.plain)
        write(BIG)
        write(BIG)
        self.assertGreater(self.queue(), len(BIG))
        self.assertLess(self.queue(), 2 * len(BIG))

    async def test_streaming_producer(self) -> None:
        """A push producer is paused when more than 48 KiB are queued, however much is read at once, and resumed when all is sent."""
        producer = Producer()
        self.plain.registerProducer(producer, True)
        self.addCleanup(self.plain.unregisterProducer)
        write = straight_write(self.plain)
        write(b"small")
        self.assertEqual(producer.told, [])
        cast(Any, self.far.transport).pauseProducing()
        write(BIG)
        self.assertGreater(self.queue(), 64 * 1024)
        self.assertEqual(producer.told, ["pause"])
        cast(Any, self.far.transport).resumeProducing()
        await producer.resumed
        self.assertEqual((producer.told, self.queue()), (["pause", "resume"], 0))

    async def test_pull_producer(self) -> None:
        """A pull producer is asked again and again: its writes go by way of the queue."""
        write = straight_write(self.plain)
        pieces = [b"one, ", b"two, ", b"three"]

        class Pulled:
            def resumeProducing(this) -> None:  # noqa: N805
                if pieces:
                    write(pieces.pop(0))
                else:
                    self.plain.unregisterProducer()

            def stopProducing(this) -> None:  # noqa: N805
                pieces.clear()

        self.plain.registerProducer(Pulled(), False)
        self.assertEqual(await self.far.until(15), b"one, two, three")

    async def test_close(self) -> None:
        """What was written before a close arrives."""
        straight_write(self.plain)(BIG)
        self.plain.loseConnection()
        await self.far.end()
        self.assertEqual(bytes(self.far.received), BIG)

    def test_after_abort(self) -> None:
        """After an abort nothing more goes out."""
        write = straight_write(self.plain)
        self.plain.abortConnection()
        write(b"too late")
        with self.assertRaises(BlockingIOError):
            cast(Any, self.far.transport).getHandle().recv(100, socket.MSG_PEEK)

    async def test_half_closed(self) -> None:
        """After our side was closed for writing, a write is dropped as by the transport itself."""
        straight_write(self.plain)(b"all")
        self.plain.loseWriteConnection()
        await self.far.end()
        sent: list[bytes] = []
        self.patch(self.plain, "writeSomeData", sent.append)
        straight_write(self.plain)(b" and more")
        self.assertEqual((bytes(self.far.received), sent, self.queue()), (b"all", [], 0))

    async def test_reset(self) -> None:
        """A write into a connection that was reset does not raise; the loss is told later, by connectionLost, and as a loss."""
        far = cast(Any, self.far.transport)
        far.abortConnection()
        await self.far.end()
        write = straight_write(self.plain)
        for _ in range(3):
            write(b"into the void")
        self.assertIsNone(self.near.ended)
        reason = await self.near.end()
        self.assertIsInstance(reason, ConnectionLost)
        write(b"and after the loss")

    async def test_orderly_close(self) -> None:
        """A peer that closes in good order is still told from one that resets."""
        straight_write(self.plain)(b"x")
        await self.far.until(1)
        cast(Any, self.far.transport).loseConnection()
        self.assertIsInstance(await self.near.end(), ConnectionDone)

    def test_error_in_send(self) -> None:
        """A send that fails, by an exception or a negative number, leaves the bytes to the reactor."""
        for failed in (ConnectionLost(), -1):
            self.patch(self.plain, "writeSomeData", lambda _, failed=failed: failed)
            before = self.queue()
            straight_write(self.plain)(b"four")
            self.assertEqual(self.queue(), before + 4)


class UnixTests(Straight):
    """Over a UNIX socket, where descriptors may be sent along."""

    def endpoints(self) -> tuple[Any, Any]:
        """A socket in the file system."""
        path = os.path.relpath(self.mktemp() + ".sock")
        return UNIXServerEndpoint(cast(Any, reactor), path), UNIXClientEndpoint(cast(Any, reactor), path)

    async def test_order(self) -> None:
        """Bytes arrive whole and in order."""
        write = straight_write(self.plain)
        for piece in (b"first", BIG, b"last"):
            write(piece)
        self.assertEqual(await self.far.until(len(BIG) + 9), b"first" + BIG + b"last")


class StandInTests(Straight):
    """`straight`: the transport in all ways but one."""

    def test_same(self) -> None:
        """It provides what the transport provides, and its attributes are the transport's, to read and to set."""
        stand_in: Any = straight(self.plain)
        self.assertIsNot(stand_in, self.plain)
        self.assertEqual(list(providedBy(stand_in)), list(providedBy(self.plain)))
        self.assertTrue(interfaces.ITCPTransport.providedBy(stand_in))
        self.assertEqual(stand_in.getPeer(), self.plain.getPeer())
        stand_in.bufferSize = 77
        self.assertEqual(self.plain.bufferSize, 77)
        with self.assertRaises(AttributeError):
            _ = stand_in.no_such_thing
        self.assertIn(repr(self.plain), repr(stand_in))

    def test_writes_straight(self) -> None:
        """`write` and `writeSequence` send at once."""
        stand_in: Any = straight(self.plain)
        stand_in.write(b"one, ")
        stand_in.writeSequence([b"two, ", b"three"])
        self.assertEqual(unsent(stand_in), 0)
        self.assertEqual(cast(Any, self.far.transport).getHandle().recv(100, socket.MSG_PEEK), b"one, two, three")

    def test_of_a_stand_in(self) -> None:
        """The stand-in of a stand-in is itself, and so is its way to write."""
        stand_in: Any = straight(self.plain)
        self.assertIs(straight(stand_in), stand_in)
        self.assertEqual(straight_write(stand_in), stand_in.write)

    def test_replaced_write(self) -> None:
        """A transport whose `write` somebody replaced is left alone."""
        seen: list[bytes] = []
        self.patch(self.plain, "write", seen.append)
        self.assertIs(straight(self.plain), self.plain)
        straight_write(self.plain)(b"x")
        self.assertEqual(seen, [b"x"])

    def test_start_tls(self) -> None:
        """After startTLS nothing goes around TLS."""
        write = straight_write(self.plain)
        self.patch(self.plain, "TLS", True)
        seen: list[bytes] = []
        self.patch(self.plain, "protocol", type("Tls", (), {"write": staticmethod(seen.append)}))
        write(b"secret")
        self.assertEqual((seen, self.queue()), ([b"secret"], 0))


class OtherTransportTests(SynchronousTestCase):
    """Transports that are no sockets of Twisted's."""

    def test_fake(self) -> None:
        """They are left as they are, are written to the public way, and how much they keep is not known."""
        transport = StringTransport()
        self.assertIs(straight(cast(Any, transport)), transport)
        straight_write(cast(Any, transport))(b"x")
        self.assertEqual(transport.value(), b"x")
        self.assertIsNone(unsent(transport))
        self.assertIsNone(unsent(None))
        self.assertIsNone(sent(transport, 1))

    def test_below_wrappers(self) -> None:
        """What is unsent is counted at the socket below any number of Twisted's protocol wrappers."""
        near, far = socket.socketpair()
        self.addCleanup(far.close)
        self.addCleanup(near.close)
        bottom = tcp.Connection(near, Protocol(), cast(Any, reactor))
        bottom.dataBuffer, bottom.offset, bottom._tempDataLen = b"12345", 2, 10
        self.assertEqual((unsent(wrapped(bottom)), sent(wrapped(bottom), 100)), (13, 87))

    def test_indirect(self) -> None:
        """A transport that sends by another one is asked, below any wrappers."""

        class Tunnel(Indirect):
            def unsent(self) -> int:
                return 5

            def sent(self) -> int:
                return 8

        self.assertEqual((unsent(wrapped(Tunnel())), sent(wrapped(Tunnel()), 100)), (5, 8))
        for ask in (Indirect().unsent, Indirect().sent):
            self.assertRaises(NotImplementedError, ask)


class WatchTests(SynchronousTestCase):
    """`watch_sending`: how long nothing may go out."""

    def watch(self, *numbers: int | None) -> float | None:
        """When it stalls, by the numbers told at the beginning and every two seconds from then on; None if it did not."""
        clock, stalled = Clock(), list[float]()
        found = iter(numbers)
        watch_sending(Deadlines(clock), "key", 2.0, lambda: next(found), lambda: stalled.append(clock.seconds()))
        clock.pump([1.0] * (2 * len(numbers) - 2))
        self.assertLess(len(stalled), 2)
        return stalled[0] if stalled else None

    def test_moves(self) -> None:
        """As long as the number grows it goes on; where it stays, shrinks, or is not known, that is the end."""
        self.assertIsNone(self.watch(0, 1, 2, 50))
        for numbers in ((0, 1, 1), (-5, -4, -4), (3, 4, 2), (0, 1, None)):
            self.assertEqual(self.watch(*numbers), 4.0, numbers)
        for unknown in ((None, 1), (None, None), (0, 0)):
            self.assertEqual(self.watch(*unknown), 2.0, unknown)


def wrapped(transport: Any) -> Any:
    """`transport` below two of Twisted's protocol wrappers."""
    for _ in range(2):
        outer = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        outer.transport, transport = transport, outer
    return transport
