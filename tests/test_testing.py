"""`twisted_gun.testing`: that the fakes behave as the real things do."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_gun.net.straight import straight_write
from twisted_gun.testing import memory_pair

MARK = 65536  # Twisted's bufferSize: more than this pauses a producer


class Recorder(Protocol):
    """Keeps what it is told: pieces, and the name of the reason it was lost for."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.told: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.type is not None
        self.told.append(reason.type.__name__)

    @property
    def data(self) -> bytes:
        """All pieces."""
        return b"".join(self.pieces)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """Likewise, and lets either half be closed."""

    def readConnectionLost(self) -> None:
        self.told.append("read")

    def writeConnectionLost(self) -> None:
        self.told.append("write")


class Producer:
    """Keeps what it is told; a pull producer with `chunks` writes one each time."""

    def __init__(self, consumer: Any = None, *chunks: bytes) -> None:
        self.told: list[str] = []
        self.consumer = consumer
        self.chunks = list(chunks)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def stopProducing(self) -> None:
        self.told.append("stop")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.chunks:
            self.consumer.write(self.chunks.pop(0))
            if not self.chunks:
                self.consumer.unregisterProducer()


class PairTests(SynchronousTestCase):
    """Two protocols, one link."""

    capacity = 65536
    protocol: type[Recorder] = Recorder

    def setUp(self) -> None:
        self.client, self.server = self.protocol(), self.protocol()
        self.link = memory_pair(self.client, self.server, capacity=self.capacity)


class DeliveryTests(PairTests):
    """How bytes travel."""

    def test_interfaces(self) -> None:
        """A transport is a TCP transport, a consumer and a push producer."""
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, self.link.client)

    def test_not_from_within_write(self) -> None:
        """write() delivers nothing; a turn of the link does."""
        self.client.transport.write(b"hello")
        self.assertEqual((self.server.pieces, self.link.client.buffered), ([], 5))
        self.assertTrue(self.link.pump())
        self.assertEqual((self.server.pieces, self.link.client.buffered), ([b"hello"], 0))
        self.assertFalse(self.link.pump())

    def test_both_ways(self) -> None:
        """Each side has its own stream of bytes."""
        self.client.transport.writeSequence([b"a", b"b"])
        self.server.transport.write(b"c")
        self.link.flush()
        self.assertEqual((self.server.data, self.client.data), (b"ab", b"c"))

    def test_bytes_only(self) -> None:
        """What is not bytes is refused by TypeError, as in Twisted."""
        self.assertRaises(TypeError, self.client.transport.write, "text")

    def test_byte_by_byte(self) -> None:
        """pump(1) gives one byte a turn, in order."""
        self.server.transport.write(b"hello")
        turns = 0
        while self.link.pump(1):
            turns += 1
        self.assertEqual((self.client.pieces, turns), ([b"h", b"e", b"l", b"l", b"o"], 5))

    def test_chunk_size(self) -> None:
        """chunk_size holds for every delivery."""
        self.link.chunk_size = 2
        self.server.transport.write(b"hello")
        self.link.flush()
        self.assertEqual(self.client.pieces, [b"he", b"ll", b"o"])

    def test_cut_at_every_byte(self) -> None:
        """cut_at(n) lets no delivery cross the n-th byte from here on, whatever was delivered before."""
        for offset in range(1, 6):
            self.client.pieces.clear()
            self.link.cut_at(offset)
            self.server.transport.write(b"hello!")
            self.link.flush()
            self.assertEqual(self.client.pieces, [b"hello!"[:offset], b"hello!"[offset:]])

    def test_cuts_of_the_server(self) -> None:
        """Several cuts, on the other side, also across writes."""
        self.link.cut_at(1, 4, to="server")
        for piece in (b"ab", b"cdef"):
            self.client.transport.write(piece)
            self.link.flush()
        self.assertEqual(self.server.pieces, [b"a", b"b", b"cd", b"ef"])

    def test_at_least_one_byte(self) -> None:
        """A turn that may deliver nothing is refused."""
        self.assertRaises(ValueError, self.link.pump, 0)

    def test_endless(self) -> None:
        """Two sides that never rest are found out by flush()."""
        self.client.dataReceived = self.client.transport.write  # type: ignore[method-assign]
        self.server.dataReceived = self.server.transport.write  # type: ignore[method-assign]
        self.client.transport.write(b"ping")
        self.assertRaises(RuntimeError, self.link.flush, 100)

    def test_not_reentrant(self) -> None:
        """A pump() from within dataReceived does nothing: the rest comes in the next turn."""
        happened: list[bool] = []
        self.server.dataReceived = lambda data: happened.append(self.link.pump())  # type: ignore[method-assign]
        self.link.cut_at(1, to="server")
        self.client.transport.write(b"ab")
        self.link.flush()
        self.assertEqual(happened, [False, False])

    def test_addresses_and_options(self) -> None:
        """Each side's peer is the other's host; TCP options are kept."""
        here, there = IPv4Address("TCP", "192.0.2.7", 7), IPv4Address("TCP", "192.0.2.8", 8)
        link = memory_pair(Recorder(), Recorder(), client_address=here, server_address=there)
        self.assertEqual((link.client.getHost(), link.client.getPeer()), (here, there))
        self.assertEqual((link.server.getHost(), link.server.getPeer()), (there, here))
        self.assertFalse(link.client.getTcpNoDelay() or link.client.getTcpKeepAlive())
        link.client.setTcpNoDelay(True)
        self.assertEqual((link.client.getTcpNoDelay(), link.client.getTcpKeepAlive()), (True, False))
        link.client.setTcpKeepAlive(True)
        self.assertTrue(link.client.getTcpKeepAlive())

    def test_a_protocol_that_raises(self) -> None:
        """What dataReceived raises is logged and ends its connection by it; the other side sees a close."""
        self.server.dataReceived = lambda data: 1 / 0  # type: ignore[assignment,method-assign]
        self.client.transport.write(b"x")
        self.link.flush()
        self.assertEqual((self.server.told, self.client.told), (["ZeroDivisionError"], ["ConnectionDone"]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_by_a_clock(self) -> None:
        """With a clock bytes move by callLater(0), until all is quiet, without time passing."""
        clock = Clock()
        client, server = Recorder(), Recorder()
        memory_pair(client, server, clock=clock, capacity=10)
        client.transport.write(b"x" * 95)
        client.transport.loseConnection()
        self.assertEqual(server.data, b"")
        clock.advance(0)
        self.assertEqual((len(server.data), server.told, client.told), (95, ["ConnectionDone"], ["ConnectionDone"]))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_written_straight(self) -> None:
        """Who writes past the transport's buffer, straight to its socket, delivers nothing at once either, but in a turn."""
        clock = Clock()
        client, server = Recorder(), Recorder()
        link = memory_pair(client, server, clock=clock, capacity=10)
        straight_write(client.transport)(b"x" * 15)
        self.assertEqual((server.pieces, link.server.unread, link.client.buffered), ([], 10, 5))
        clock.advance(0)
        self.assertEqual(server.data, b"x" * 15)
        straight_write(client.transport)(b"y")
        clock.advance(0)
        self.assertEqual(server.data, b"x" * 15 + b"y")


class BackPressureTests(PairTests):
    """How a slow reader holds a writer back."""

    capacity = 100

    def fill(self, size: int) -> Producer:
        """Register a streaming producer and write `size` bytes."""
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.client.transport.write(b"x" * size)
        return producer

    def test_the_mark(self) -> None:
        """65,535 and 65,536 buffered bytes do not pause a streaming producer; 65,537 do."""
        told = []
        for size in (MARK - 1, MARK, MARK + 1):
            self.setUp()
            told.append(self.fill(size).told)
        self.assertEqual(told, [[], [], ["pause"]])

    def test_the_mark_over_several_writes(self) -> None:
        """All that is buffered counts, not one write."""
        producer = self.fill(MARK)
        self.client.transport.writeSequence([b"", b"x"])
        self.assertEqual(producer.told, ["pause"])

    def test_resumed_when_drained(self) -> None:
        """A paused producer is resumed when the last byte has gone, not before."""
        self.link.server.pauseProducing()
        producer = self.fill(MARK + 1)
        self.link.flush()
        self.assertEqual((self.link.server.unread, self.link.client.buffered), (100, MARK - 99))
        self.link.server.resumeProducing()
        while self.link.client.buffered > 100:
            self.link.pump()
        self.assertEqual(producer.told, ["pause"])
        self.link.flush()
        self.assertEqual((producer.told, len(self.server.data)), (["pause", "resume"], MARK + 1))

    def test_capacity(self) -> None:
        """A paused reader takes `capacity` bytes into the kernel; one more stays with the writer."""
        self.link.server.pauseProducing()
        kept = []
        for size in (99, 1, 1):
            self.client.transport.write(b"x" * size)
            self.link.flush()
            kept.append((self.link.server.unread, self.link.client.buffered))
        self.assertEqual(kept, [(99, 0), (100, 0), (100, 1)])
        self.assertEqual(self.server.pieces, [])

    def test_one_producer(self) -> None:
        """A second producer is refused by RuntimeError."""
        producer = self.fill(1)
        self.assertRaises(RuntimeError, self.client.transport.registerProducer, Producer(), True)
        self.assertIs(self.link.client.producer, producer)

    def test_pull_producer(self) -> None:
        """A pull producer is asked at registration, and again each time what it wrote has gone."""
        producer = Producer(self.link.client, b"a" * 100, b"b" * 100, b"c")
        self.link.server.pauseProducing()
        self.link.client.registerProducer(producer, False)
        self.assertEqual(producer.told, ["resume"])
        self.link.flush()
        self.assertEqual(producer.told, ["resume"] * 2)  # the second 100 do not fit
        self.link.server.resumeProducing()
        self.link.flush()
        self.assertEqual((producer.told, self.server.data), (["resume"] * 3, b"a" * 100 + b"b" * 100 + b"c"))

    def test_stopped_with_the_connection(self) -> None:
        """A lost connection stops its producer, and at once one registered later."""
        first, later = self.fill(10), Producer()
        self.server.transport.abortConnection()
        self.link.flush()
        self.client.transport.registerProducer(later, True)
        self.assertEqual((first.told, later.told), (["stop"], ["stop"]))


class CloseTests(PairTests):
    """How a connection ends in order."""

    capacity = 10

    def test_flushes_first(self) -> None:
        """loseConnection() sends what is buffered, then both sides are told ConnectionDone, none from within the call."""
        self.client.transport.write(b"x" * 95)
        self.client.transport.loseConnection()
        self.assertEqual((self.link.client.disconnecting, self.client.told), (True, []))
        self.link.flush()
        self.assertEqual((len(self.server.data), self.client.told, self.server.told), (95, ["ConnectionDone"], ["ConnectionDone"]))
        self.assertFalse(self.link.client.connected or self.link.server.connected)

    def test_reads_no_more(self) -> None:
        """A side that is closing is given nothing more, not even after resumeProducing()."""
        self.server.transport.write(b"late")
        self.client.transport.loseConnection()
        self.client.transport.resumeProducing()
        self.link.flush()
        self.assertEqual(self.client.pieces, [])

    def test_waits_for_the_reader(self) -> None:
        """As long as the other side does not read what is buffered, the connection is not lost."""
        self.link.server.pauseProducing()
        self.client.transport.write(b"x" * 11)
        self.client.transport.loseConnection()
        self.link.flush()
        self.assertEqual(self.client.told, [])
        self.link.server.resumeProducing()
        self.link.flush()
        self.assertEqual((self.client.told, self.server.told), (["ConnectionDone"], ["ConnectionDone"]))

    def test_waits_for_a_pull_producer(self) -> None:
        """A close waits until the pull producer has unregistered."""
        producer = Producer(self.link.client, b"a", b"b", b"c")
        self.link.client.registerProducer(producer, False)
        self.link.client.loseConnection()
        self.link.flush()
        self.assertEqual((self.server.data, self.client.told, producer.told), (b"abc", ["ConnectionDone"], ["resume"] * 3))

    def test_waits_for_a_silent_pull_producer(self) -> None:
        """Nothing but unregisterProducer() lets a close past a pull producer that has nothing to write."""
        self.link.client.registerProducer(Producer(), False)
        self.link.client.loseConnection()
        self.link.flush()
        self.assertEqual(self.client.told, [])
        self.link.client.unregisterProducer()
        self.link.flush()
        self.assertEqual(self.client.told, ["ConnectionDone"])

    def test_does_not_wait_for_an_idle_streaming_producer(self) -> None:
        """A streaming producer that is not paused is stopped by a close: so does Twisted's TCP."""
        producer = Producer()
        self.link.client.registerProducer(producer, True)
        self.link.client.loseConnection()
        self.link.flush()
        self.assertEqual((self.client.told, producer.told), (["ConnectionDone"], ["stop"]))

    def test_waits_for_a_paused_streaming_producer(self) -> None:
        """A streaming producer that was paused is resumed before the close, which then waits for it."""
        producer = Producer()
        self.link.client.registerProducer(producer, True)
        self.link.client.write(b"x" * (MARK + 1))
        self.link.client.loseConnection()
        self.link.flush()
        self.assertEqual((self.client.told, producer.told), ([], ["pause", "resume"]))
        self.link.client.unregisterProducer()
        self.link.flush()
        self.assertEqual((self.client.told, len(self.server.data)), (["ConnectionDone"], MARK + 1))

    def test_fin_unseen_while_paused(self) -> None:
        """A paused side notices neither the bytes nor the close until it is resumed."""
        self.client.transport.pauseProducing()
        self.server.transport.write(b"bye")
        self.server.transport.loseConnection()
        self.link.flush()
        self.assertEqual((self.server.told, self.client.pieces, self.client.told), (["ConnectionDone"], [], []))
        self.client.transport.resumeProducing()
        self.link.flush()
        self.assertEqual((self.client.pieces, self.client.told), ([b"bye"], ["ConnectionDone"]))

    def test_writing_to_the_closed(self) -> None:
        """The first write after the other side closed goes nowhere; the second ends in ConnectionLost."""
        self.client.transport.pauseProducing()
        self.server.transport.loseConnection()
        self.link.flush()
        self.client.transport.write(b"first")
        self.link.flush()
        self.assertEqual(self.client.told, [])
        self.client.transport.write(b"second")
        self.link.flush()
        self.assertEqual((self.client.told, self.server.pieces), (["ConnectionLost"], []))

    def test_lost_once(self) -> None:
        """A lost transport takes every call and does nothing."""
        self.client.transport.stopProducing()
        self.link.flush()
        for call in (self.link.client.loseConnection, self.link.client.abortConnection, self.link.client.resumeProducing):
            call()
        self.link.client.write(b"late")
        self.link.flush()
        self.assertEqual((self.client.told, self.server.pieces), (["ConnectionDone"], []))


class AbortTests(PairTests):
    """How a connection ends at once."""

    def test_reasons(self) -> None:
        """ConnectionAborted here, ConnectionLost there, in the next turn, and not from within the call."""
        self.client.transport.abortConnection()
        self.assertEqual((self.client.told, self.server.told), ([], []))
        self.link.pump()
        self.assertEqual((self.client.told, self.server.told), (["ConnectionAborted"], ["ConnectionLost"]))

    def test_drops(self) -> None:
        """Neither what the aborting side had written nor what the other had not read arrives."""
        self.link.server.pauseProducing()
        self.client.transport.write(b"in the kernel")
        self.link.flush()
        self.link.server.resumeProducing()
        self.client.transport.write(b"buffered")
        self.client.transport.abortConnection()
        self.link.flush()
        self.assertEqual((self.server.pieces, self.server.told), ([], ["ConnectionLost"]))

    def test_from_within_data_received(self) -> None:
        """An abort from within dataReceived calls connectionLost after it has returned, and no more data comes."""
        told = self.server.told

        def data_received(data: bytes) -> None:
            self.server.transport.abortConnection()
            told.append(f"returned from {data!r}")

        self.server.dataReceived = data_received  # type: ignore[method-assign]
        self.client.transport.write(b"ab")
        self.link.cut_at(1, to="server")
        self.link.flush()
        self.assertEqual(told, ["returned from b'a'", "ConnectionAborted"])

    def test_unseen_while_paused(self) -> None:
        """A paused side that does not write notices a reset only when it is resumed, as an unwatched socket."""
        self.client.transport.pauseProducing()
        self.server.transport.abortConnection()
        self.link.flush()
        self.assertEqual(self.client.told, [])
        self.client.transport.resumeProducing()
        self.link.flush()
        self.assertEqual(self.client.told, ["ConnectionLost"])

    def test_seen_by_writing(self) -> None:
        """A paused side that writes notices a reset."""
        self.client.transport.pauseProducing()
        self.server.transport.abortConnection()
        self.client.transport.write(b"x")
        self.link.flush()
        self.assertEqual(self.client.told, ["ConnectionLost"])


class HalfCloseTests(PairTests):
    """How one direction ends before the other."""

    protocol = HalfRecorder

    def test_half_close(self) -> None:
        """Both sides are told of the half, after what was buffered; the other direction goes on."""
        self.client.transport.write(b"request")
        self.client.transport.loseWriteConnection()
        self.link.flush()
        self.assertEqual((self.client.told, self.server.told, self.server.data), (["write"], ["read"], b"request"))
        self.client.transport.write(b"dropped")
        self.server.transport.write(b"response")
        self.link.flush()
        self.assertEqual((self.client.data, self.server.data), (b"response", b"request"))

    def test_the_other_half(self) -> None:
        """The end of the second half is told likewise; each side then has to close."""
        self.client.transport.loseWriteConnection()
        self.link.flush()
        self.server.transport.loseConnection()
        self.link.flush()
        self.assertEqual((self.client.told, self.server.told), (["write", "read"], ["read", "ConnectionDone"]))
        self.client.transport.loseConnection()
        self.assertEqual(self.client.told, ["write", "read", "ConnectionDone"])  # at once, as Twisted's TCP does

    def test_waits_while_paused(self) -> None:
        """A paused side is not told that the other has closed its half."""
        self.link.server.pauseProducing()
        self.client.transport.loseWriteConnection()
        self.link.flush()
        self.assertEqual(self.server.told, [])
        self.link.server.resumeProducing()
        self.link.flush()
        self.assertEqual(self.server.told, ["read"])

    def test_who_knows_no_halves(self) -> None:
        """For a protocol that is not half-closeable the end of the read half is the end."""
        client, server = HalfRecorder(), Recorder()
        link = memory_pair(client, server)
        client.transport.loseWriteConnection()
        link.flush()
        self.assertEqual((server.told, client.told), (["ConnectionDone"], ["write", "read"]))
