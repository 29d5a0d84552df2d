"""The content of the agent's responses: how it is delivered, held back, given up, and how it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.web.client import PartialDownloadError, ResponseDone, ResponseFailed, readBody
from twisted.web.http import PotentialDataLoss
from zope.interface.verify import verifyObject

import twisted_gun as gun
from tests.agent_stage import AgentCase, AgentWorld, Taker
from tests.stage import CHUNKED, OK, UNTIL_CLOSE, answer
from twisted_gun.testing import Http2Peer, ScriptedPeer

#: More than is kept for a protocol that is not there yet, and than the links in memory hold.
MUCH = b"x" * 1_000_000


class DeliveryTests(AgentCase):
    """How it is delivered."""

    def response(self, world: AgentWorld, data: bytes) -> Any:
        asked = world.ask()
        world.feed(data)
        return self.successResultOf(asked)

    def test_whole(self) -> None:
        """What is there already, and its end, at once."""
        world = AgentWorld()
        taker = Taker()
        self.response(world, OK).deliverBody(taker)
        self.assertEqual(taker.data, b"ok")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
        self.end(world)

    def test_pieces(self) -> None:
        """Piece by piece, as it arrives."""
        world = AgentWorld()
        taker = Taker()
        self.response(world, answer(b"12345")[:-4]).deliverBody(taker)
        self.assertEqual(taker.data, b"1")
        world.feed(b"23")
        self.assertEqual((taker.data, taker.reason), (b"123", None))
        world.feed(b"45")
        self.assertEqual((taker.data, taker.pieces), (b"12345", 3))
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
        self.end(world)

    def test_once(self) -> None:
        """It can be taken once."""
        world = AgentWorld()
        response = self.response(world, OK)
        response.deliverBody(Taker())
        self.assertRaises(RuntimeError, response.deliverBody, Taker())
        response = self.response(world, answer(b"12345")[:-4])
        response.deliverBody(Taker())
        self.assertRaises(RuntimeError, response.deliverBody, Taker())
        self.end(world)

    def test_transport(self) -> None:
        """The protocol's transport is a push producer that knows its addresses as long as there are any."""
        world = AgentWorld()
        taker = Taker()
        self.response(world, answer(b"12345")[:-4]).deliverBody(taker)
        transport: Any = taker.transport
        verifyObject(IPushProducer, transport)
        self.assertFalse(transport.disconnecting)
        self.assertEqual((transport.getHost().host, transport.getPeer().host), ("192.0.2.1", "192.0.2.80"))
        world.feed(b"2345")
        self.assertEqual((transport.getHost(), transport.getPeer()), (None, None))
        self.end(world)

    def test_raises(self) -> None:
        """A protocol that raises is logged, and hears of the end; or the caller of `deliverBody` hears of it, where it was that."""

        class Flaw(Exception):
            pass

        def flaw(*_: object) -> None:
            raise Flaw

        world = AgentWorld()
        taker = Taker(flaw)
        response = self.response(world, answer(b"12345")[:-5])
        response.deliverBody(taker)
        world.feed(b"1")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseFailed))
        self.assertEqual(len(self.flushLoggedErrors(Flaw)), 1)
        self.end(world)
        world = AgentWorld()
        taker = Taker(flaw)
        response = self.response(world, answer(b"12345")[:-4])
        self.assertRaises(Flaw, response.deliverBody, taker)
        world.pump()
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseFailed))
        self.end(world)


class FlowTests(AgentCase):
    """How the server is held back."""

    def sizes(self, world: AgentWorld, peer: Any, request: Any = None) -> None:
        if request is None:
            world.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(MUCH) + MUCH)
        else:
            peer.respond(request, 200, {}, MUCH)
            world.pump()

    def test_not_taken(self) -> None:
        """Without a protocol no more is kept than a little, and all comes once there is one."""
        for protocol in ("http", "http2"):
            world = AgentWorld(
                Http2Peer if protocol == "http2" else ScriptedPeer,
                protocols=[protocol],
                http2_opts={"initial_stream_window_size": 65535, "initial_connection_window_size": 65535},
            )
            asked = world.ask()
            self.sizes(world, world.peer, world.peer.requests[0] if protocol == "http2" else None)
            response = self.successResultOf(asked)
            self.assertLess(response._content._size, 300_000)
            taker = Taker()
            response.deliverBody(taker)
            world.pump()
            self.assertEqual(len(taker.data), len(MUCH))
            self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
            self.end(world)

    def test_paused(self) -> None:
        """A protocol that pauses is given nothing until it goes on, however much has arrived; then in its order."""
        world = AgentWorld()
        asked = world.ask()
        taker = Taker(lambda taker, data: taker.transport.pauseProducing() if len(taker.data) < 500_000 else None)  # type: ignore[union-attr]
        asked.addCallback(lambda response: response.deliverBody(taker))
        self.sizes(world, world.peer)
        resumed = 0
        while len(taker.data) < len(MUCH):
            before = taker.data
            world.pump()
            self.assertEqual(taker.data, before)
            resumed += 1
            taker.transport.resumeProducing()  # type: ignore[union-attr]
            world.pump()
            self.assertGreater(len(taker.data), len(before))
        self.assertGreater(resumed, 3)
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
        self.end(world)

    def test_paused_at_the_end(self) -> None:
        """What has arrived when the connection ends waits for the protocol, and then its end."""
        world = AgentWorld()
        asked = world.ask()
        taker = Taker()

        def take(response: Any) -> None:
            response.deliverBody(taker)
            transport: Any = taker.transport
            transport.pauseProducing()

        asked.addCallback(take)
        world.feed(OK)
        self.assertEqual((taker.data, taker.reason), (b"", None))
        taker.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(taker.data, b"ok")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
        self.end(world)

    def test_resumed_to_the_end(self) -> None:
        """What arrived in a pause, over HTTP/2 to the end, comes of itself where the protocol goes on."""
        given: tuple[dict[str, str], ...] = ({}, {"x-sum": "1"})
        for fields in given:
            world = AgentWorld(Http2Peer, protocols=["http2"])
            taker = Taker()
            asked, peer = world.ask(), world.peer
            peer.send_headers(peer.requests[0], {":status": "200"})
            world.pump()
            self.successResultOf(asked).deliverBody(taker)
            transport: Any = taker.transport
            transport.pauseProducing()
            peer.send_data(peer.requests[0], b"wikipedia", fin=not fields)
            if fields:
                peer.trailers(peer.requests[0], fields)
            world.pump()
            self.assertEqual((taker.data, taker.reason), (b"", None))
            transport.resumeProducing()
            self.assertEqual(taker.data, b"wikipedia")
            self.assertTrue(taker.reason is not None and taker.reason.check(ResponseDone))
            self.end(world)

    def test_resumed_from_within(self) -> None:
        """Pausing and going on from within a piece keeps the order."""
        world = AgentWorld()

        def react(taker: Taker, data: bytes) -> None:
            transport: Any = taker.transport
            transport.pauseProducing()
            transport.resumeProducing()

        taker = Taker(react)
        asked = world.ask()
        world.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123")
        world.feed(b"456")
        self.successResultOf(asked).deliverBody(taker)
        world.feed(b"789")
        self.assertEqual(taker.data, b"123456789")
        self.end(world)


class GivenUpTests(AgentCase):
    """Protocols that want no more."""

    def test_lost(self) -> None:
        """`loseConnection` and its like end the stream; the protocol hears of it in a turn of its own."""
        for name, reason in (
            ("loseConnection", error.ConnectionDone),
            ("stopProducing", error.ConnectionDone),
            ("abortConnection", error.ConnectionAborted),
        ):
            world = AgentWorld(Http2Peer, protocols=["http2"])
            asked = world.ask()
            taker = Taker()
            world.peer.respond(world.peer.requests[0], 200, {}, b"a part", fin=False)
            world.pump()
            self.successResultOf(asked).deliverBody(taker)
            getattr(taker.transport, name)()
            self.assertIsNone(taker.reason)
            world.pump()
            failed: Any = taker.reason and taker.reason.value
            self.assertIsInstance(failed, ResponseFailed)
            self.assertTrue(failed.reasons[0].check(reason))
            self.assertEqual(world.peer.requests[0].reset, 8)  # CANCEL
            getattr(taker.transport, name)()
            self.assertEqual(len(world.alive), 1)
            self.end(world)

    def test_from_within(self) -> None:
        """From within a piece, too: nothing more is delivered, even of what is there."""
        world = AgentWorld()
        asked = world.ask()
        taker = Taker(lambda taker, data: taker.transport.loseConnection())  # type: ignore[union-attr]
        world.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123")
        world.feed(b"456")
        self.successResultOf(asked).deliverBody(taker)
        self.assertIsNone(taker.reason)
        world.pump()
        self.assertEqual(taker.data, b"123")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseFailed))
        self.end(world)

    def test_read_body_cancelled(self) -> None:
        """Cancelling `readBody` ends the stream, and says that it was cancelled."""
        world = AgentWorld(Http2Peer, protocols=["http2"])
        asked = world.ask()
        world.peer.respond(world.peer.requests[0], 200, {}, b"a part", fin=False)
        world.pump()
        body = readBody(self.successResultOf(asked))
        body.cancel()
        self.failureResultOf(body, CancelledError)
        world.pump()
        self.assertEqual(world.peer.requests[0].reset, 8)
        self.end(world)


class EndTests(AgentCase):
    """How it ends, in Twisted's words."""

    def reason(self, world: AgentWorld, data: bytes, end: str) -> Any:
        """What the protocol is told after `data` and this end."""
        asked = world.ask()
        world.feed(data)
        response = self.successResultOf(asked)
        taker = Taker()
        response.deliverBody(taker)
        getattr(world.peer, end)()
        world.pump()
        assert taker.reason is not None
        failed = taker.reason.value
        if isinstance(failed, ResponseFailed):
            self.assertIs(failed.response, response)
        return failed

    def test_until_close(self) -> None:
        """Content that ends with its connection may not be all: PotentialDataLoss, however that ended."""
        for head in (UNTIL_CLOSE, b"HTTP/1.0 200 OK\r\n\r\n"):
            for end in ("close", "abort"):
                world = AgentWorld()
                self.assertIsInstance(self.reason(world, head + b"some", end), PotentialDataLoss)
                self.end(world)

    def test_until_close_read(self) -> None:
        """`readBody` makes a PartialDownloadError of that, with all there was."""
        world = AgentWorld()
        asked = world.ask()
        world.feed(UNTIL_CLOSE + b"some")
        body = readBody(self.successResultOf(asked))
        world.peer.close()
        world.pump()
        self.assertEqual(self.failureResultOf(body, PartialDownloadError).value.response, b"some")
        self.end(world)

    def test_cut_off(self) -> None:
        """Content that is cut off fails: ResponseFailed, by the end of the connection, and a GunError that says what is missing."""
        for data in (answer(b"12345")[:-2], CHUNKED[:-10]):
            for end, reason in (("close", error.ConnectionDone), ("abort", error.ConnectionLost)):
                world = AgentWorld()
                failed = self.reason(world, data, end)
                self.assertIsInstance(failed, gun.Truncated)
                self.assertIsInstance(failed, ResponseFailed)
                self.assertTrue(failed.reasons[0].check(reason), failed.reasons)
                self.assertTrue(failed.reasons[1].check(gun.Truncated))
                self.end(world)

    def test_malformed(self) -> None:
        """Content that is not what it should be fails by that."""
        world = AgentWorld()
        asked = world.ask()
        world.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n")
        taker = Taker()
        self.successResultOf(asked).deliverBody(taker)
        world.feed(b"nonsense\r\n")
        assert taker.reason is not None
        self.assertTrue(taker.reason.check(gun.ProtocolViolation))
        self.assertTrue(taker.reason.check(ResponseFailed))
        self.end(world)

    def test_reset(self) -> None:
        """A stream that the server resets fails by that."""
        world = AgentWorld(Http2Peer, protocols=["http2"])
        asked = world.ask()
        world.peer.respond(world.peer.requests[0], 200, {}, b"a part", fin=False)
        world.pump()
        taker = Taker()
        self.successResultOf(asked).deliverBody(taker)
        world.peer.reset(world.peer.requests[0], 2)
        world.pump()
        assert taker.reason is not None
        self.assertTrue(taker.reason.check(gun.StreamReset))
        self.assertTrue(taker.reason.check(ResponseFailed))
        self.assertEqual(taker.data, b"a part")
        self.end(world)

    def test_silent(self) -> None:
        """A server that falls silent is given up after `body_timeout`."""
        world = AgentWorld(body_timeout=5.0)
        asked = world.ask()
        world.feed(answer(b"12345")[:-2])
        taker = Taker()
        self.successResultOf(asked).deliverBody(taker)
        world.advance(5.0)
        assert taker.reason is not None
        self.assertTrue(taker.reason.check(gun.TimedOut))
        self.assertTrue(taker.reason.check(ResponseFailed))
        self.end(world)

    def test_before_it_was_taken(self) -> None:
        """An end that came before there was a protocol is told after the content."""
        world = AgentWorld()
        asked = world.ask()
        world.feed(answer(b"12345")[:-2])
        world.peer.close()
        world.pump()
        taker = Taker()
        self.successResultOf(asked).deliverBody(taker)
        self.assertEqual(taker.data, b"123")
        self.assertTrue(taker.reason is not None and taker.reason.check(ResponseFailed))
        self.end(world)
