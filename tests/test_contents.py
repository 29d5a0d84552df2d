"""`twisted_gun.contents`: content on its way through handlers, its order, its end, its flow, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import twisted_gun as gun
from tests.stage import LifeCase
from twisted_gun.content_handlers import ContentHandler, DataHandler
from twisted_gun.testing import Http2Peer, MemoryGun, RecordingReceiver


class Upper(ContentHandler):
    """Makes letters capital."""

    request_fields = ((b"x-wants", b"upper"),)

    def handle(self, data: bytes, fin: bool) -> list[bytes]:
        """Likewise."""
        return [data.upper()]


class Each(ContentHandler):
    """Passes on each byte by itself, and counts those that were asked for."""

    made = 0

    @classmethod
    def begin(cls, stream: Any, response: Any, **options: Any) -> Each | None:
        """Only for text."""
        if (b"content-type", b"text/plain") not in response.headers:
            return None
        cls.made = 0
        return super().begin(stream, response, **options)  # type: ignore[return-value]

    def handle(self, data: bytes, fin: bool) -> Iterator[bytes]:
        """Lazily."""
        for byte in data:
            type(self).made += 1
            yield bytes([byte])


class Lines(ContentHandler):
    """Tells each line as an event, and nothing else; `end` is what ends the stream, once it comes."""

    last = True
    options: ClassVar[tuple[str, ...]] = ("end",)

    def __init__(self, stream: Any, end: bytes = b"") -> None:
        self.stream = stream
        self.rest = b""
        self.end = end

    @classmethod
    def begin(cls, stream: Any, response: Any, **options: Any) -> Lines:
        """For all."""
        return cls(stream, **options)

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Any."""

    def handle(self, data: bytes, fin: bool) -> Iterator[gun.Sse]:
        """Likewise."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line == self.end:
                yield gun.Sse(stream=self.stream, event=None)
                return
            yield gun.Sse(stream=self.stream, event=gun.SseEvent(data=line.decode()))
        if fin:
            yield gun.Sse(stream=self.stream, event=None)


class Silent(ContentHandler):
    """Takes all, and tells nothing."""

    last = True

    def handle(self, data: bytes, fin: bool) -> None:  # type: ignore[override]
        """Nothing comes of it."""


class Broken(ContentHandler):
    """Raises what it is told to, in the midst of a piece."""

    error: ClassVar[Exception] = ValueError("a mistake")

    def handle(self, data: bytes, fin: bool) -> Iterator[bytes]:
        """As much as that."""
        yield data[:1]
        raise self.error


class Unwilling(ContentHandler):
    """Raises where it begins."""

    @classmethod
    def begin(cls, stream: Any, response: Any, **options: Any) -> None:
        """Never."""
        raise gun.ProtocolViolation("not this one")


class ContentCase(LifeCase):
    """Responses over HTTP/1.1; the heir has HTTP/2."""

    def world(self, *handlers: Any, **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        more = options.pop("opts", {})
        world = MemoryGun(http_opts={"content_handlers": handlers, **more}, **options)
        world.pump()
        return world

    def begin(self, world: MemoryGun, *fields: tuple[str, str]) -> None:
        """The head of the response to the last request, whose content follows."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.send(world, f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{lines}\r\n".encode())

    def data(self, world: MemoryGun, *pieces: bytes, fin: bool = False) -> None:
        """Pieces of it, in one read."""
        self.send(world, b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if fin else b""))

    def trailers(self, world: MemoryGun) -> None:
        """Its end."""
        self.send(world, b"0\r\nx-sum: 1\r\n\r\n")

    def send(self, world: MemoryGun, data: bytes) -> None:
        """Bytes of the peer's."""
        world.peer.send(data)
        world.pump()

    def sent(self, world: MemoryGun) -> dict[bytes, bytes]:
        """The header fields of the last request."""
        fields: Any = world.peer.requests[-1].headers
        return dict(fields)

    def get(self, world: MemoryGun, **options: Any) -> tuple[gun.Stream, RecordingReceiver]:
        """A request, and who is told of it."""
        told = RecordingReceiver()
        stream = world.connection.get("/", reply_to=told, **options)
        world.pump()
        return stream, told

    @staticmethod
    def pieces(told: RecordingReceiver) -> list[tuple[bytes, bool]]:
        """The content that was told."""
        return [(event.data, event.fin) for event in told.of(gun.Data)]


class ChainTests(ContentCase):
    """What becomes of content."""

    def test_passed_on(self) -> None:
        """What a handler makes of it is told as content, and its last piece ends the stream."""
        chains: tuple[tuple[Any, ...], ...] = ((Upper,), (Upper, DataHandler), ((Upper, {}),))
        for handlers in chains:
            world = self.world(*handlers)
            _, told = self.get(world)
            self.begin(world)
            self.data(world, b"abc")
            self.data(world, b"def", fin=True)
            self.assertEqual(b"".join(data for data, _ in self.pieces(told)), b"ABCDEF")
            self.assertEqual([fin for _, fin in self.pieces(told)].count(True), 1)
            self.assertTrue(self.pieces(told)[-1][1])

    def test_in_their_order(self) -> None:
        """Each handler is given what the one before it has made; one that does not want the response is left out."""
        for kind, expected in (("text/plain", [b"A", b"B", b"C"]), ("image/png", [b"ABC"])):
            world = self.world(Upper, Each)
            _, told = self.get(world)
            self.begin(world, ("content-type", kind))
            self.data(world, b"abc", fin=True)
            self.assertEqual([data for data, _ in self.pieces(told) if data], expected)

    def test_wanted_fields(self) -> None:
        """The fields that a handler wants go along with the request, unless the caller gave them."""
        world = self.world(Upper)
        self.get(world)
        self.assertEqual(self.sent(world)[b"x-wants"], b"upper")
        world = self.world(Upper)
        world.connection.get("/", {"x-wants": "lower"})
        world.pump()
        self.assertEqual(self.sent(world)[b"x-wants"], b"lower")

    def test_events(self) -> None:
        """What a handler tells instead of content goes to the receiver; its last event ends the stream."""
        world = self.world(Upper, Lines)
        _, told = self.get(world)
        self.begin(world)
        self.data(world, b"a\nb", b"c\n", fin=True)
        self.assertEqual(told.names(), ["gun_response", "gun_sse", "gun_sse", "gun_sse"])
        self.assertEqual([event.event and event.event.data for event in told.of(gun.Sse)], ["A", "BC", None])

    def test_trailers(self) -> None:
        """Trailers end the stream, and the handlers hear of the end before."""
        for handlers, names in (((Lines,), ["gun_sse"]), ((Upper,), ["gun_data"]), ((Silent,), [])):
            world = self.world(*handlers)
            _, told = self.get(world)
            self.begin(world)
            self.data(world, b"a\n")
            self.trailers(world)
            self.assertEqual(told.names(), ["gun_response", *names, "gun_trailers"])
            self.assertEqual([event.fin for event in told.events], [False] * (len(names) + 1) + [True])

    def test_nothing_told(self) -> None:
        """A handler that tells nothing has its stream ended by empty content."""
        world = self.world(Silent)
        _, told = self.get(world)
        self.begin(world)
        self.data(world, b"abc", fin=True)
        self.assertEqual(self.pieces(told), [(b"", True)])

    def test_ended_early(self) -> None:
        """A handler's last event ends the stream; what comes of the response afterwards is told nobody, and the next request is served."""
        world = self.world((Lines, {"end": b"."}))
        _, told = self.get(world)
        self.begin(world)
        self.data(world, b"a\n.\nb\n")
        self.assertEqual([event.event and event.event.data for event in told.of(gun.Sse)], ["a", None])
        self.data(world, b"c\n", fin=True)
        self.assertEqual(len(told.events), 3)
        again, retold = self.get(world)
        self.begin(world)
        self.data(world, b"d\n", fin=True)
        self.assertEqual([event.event and event.event.data for event in retold.of(gun.Sse)], ["d", None])
        self.assertTrue(again.ended)

    def test_awaited(self) -> None:
        """await_body and chunks give what the handlers made; of a handler's events they say so."""
        world = self.world(Upper)
        stream = world.connection.get("/")
        world.pump()
        body = stream.await_body()
        self.begin(world)
        self.data(world, b"abc", b"def", fin=True)
        self.assertEqual(self.successResultOf(body), b"ABCDEF")
        world = self.world(Lines)
        stream = world.connection.get("/")
        world.pump()
        self.begin(world)
        self.data(world, b"a\n")
        self.assertIn("await_event", str(self.failureResultOf(stream.await_body(), gun.BadState).value))

    def test_no_content(self) -> None:
        """Without content handlers are not asked."""
        world = self.world(Broken)
        told = RecordingReceiver()
        world.connection.head("/", reply_to=told)
        world.pump()
        self.begin(world)
        if not told.events[-1].fin:  # as HTTP/2 may have it
            self.data(world, fin=True)
        self.assertTrue(told.events[-1].fin)
        self.assertNotIn("gun_error", told.names())


class FaultTests(ContentCase):
    """Handlers that raise."""

    def end_of(self, handler: Any) -> Any:
        """The error that ends a stream whose content `handler` has, beside one that lives on."""
        world = self.world(handler)
        stream, told = self.get(world)
        self.begin(world)
        self.data(world, b"abc")
        self.assertEqual(told.names()[-1], "gun_error")
        self.assertTrue(stream.ended)
        self.assertEqual(len([event for event in told.events if event.fin]), 1)
        again = world.connection.get("/", reply_to=(retold := RecordingReceiver()))
        world.advance(10)
        self.assertFalse(again.ended and not retold.events)
        return told.events[-1].reason

    def test_its_own_mistake(self) -> None:
        """That is logged, and ends its stream."""
        self.assertIsInstance(self.end_of(Broken), gun.StreamClosed)
        self.assertEqual([type(failure.value) for failure in self.flushLoggedErrors()], [ValueError])

    def test_bad_content(self) -> None:
        """A `GunError` ends the stream as it is, when it begins or later."""
        self.patch(Broken, "error", gun.LimitReached("max_size", 5))
        self.assertIsInstance(self.end_of(Broken), gun.LimitReached)
        self.assertIsInstance(self.end_of(Unwilling), gun.ProtocolViolation)


class FlowTests(ContentCase):
    """How much is told, and how much is made."""

    def test_counts_events(self) -> None:
        """`flow` counts what is told, whatever came from the peer; more is made only when it is allowed."""
        world = self.world(Each)
        stream, told = self.get(world, flow=2)
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abcdef")
        self.assertEqual([data for data, _ in self.pieces(told)], [b"a", b"b"])
        self.assertLessEqual(Each.made, 4)
        stream.update_flow(3)
        self.assertEqual([data for data, _ in self.pieces(told)], [b"a", b"b", b"c", b"d", b"e"])
        self.data(world, b"g", fin=True)
        self.assertEqual(len(told.of(gun.Data)), 5)
        stream.update_flow(10)
        world.pump()
        self.assertEqual(b"".join(data for data, _ in self.pieces(told)), b"abcdefg")
        self.assertTrue(stream.ended)

    def test_of_the_options(self) -> None:
        """As does that of the options, and what is allowed before the request is sent."""
        world = MemoryGun(**self.options_with_flow(1))
        told = RecordingReceiver()
        stream = world.connection.get("/", reply_to=told)
        stream.update_flow(1)
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abcdef")
        self.assertEqual(len(told.of(gun.Data)), 2)

    def options_with_flow(self, flow: int) -> dict[str, Any]:
        """Options of a world."""
        return {"http_opts": {"content_handlers": [Each], "flow": flow}}

    def test_allowed_while_told(self) -> None:
        """A receiver that allows one more each time it is told is told all, in order."""
        world = self.world(Each)
        got: list[bytes] = []

        def take(event: Any) -> None:
            if isinstance(event, gun.Data):
                got.append(event.data)
                event.stream.update_flow(1)

        world.connection.get("/", reply_to=take, flow=1)
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abc", b"def", fin=True)
        self.assertEqual(b"".join(got), b"abcdef")

    def test_unread(self) -> None:
        """Unread content is not made beyond what a mailbox holds; read, it comes in its order and whole."""
        world = self.world(Each)
        stream = world.connection.get("/")
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        content = bytes(range(256)) * 8
        for at in range(0, len(content), 512):
            self.data(world, content[at : at + 512])
        self.assertLess(Each.made, 300)
        self.data(world, fin=True)
        body = stream.await_body()
        world.pump()
        self.assertEqual(self.successResultOf(body), content)

    def test_read_piece_by_piece(self) -> None:
        """The same, by an iteration that takes a turn for each."""
        world = self.world(Each)
        stream = world.connection.get("/")
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, bytes(1000), fin=True)
        read = 0
        while not stream._read_all:
            event: Any = self.successResultOf(stream.await_event())
            read += len(getattr(event, "data", b""))
        self.assertEqual(read, 1000)

    def test_cancelled_in_the_midst(self) -> None:
        """A receiver that cancels is told no more."""
        world = self.world(Each)
        got: list[bytes] = []

        def take(event: Any) -> None:
            if isinstance(event, gun.Data):
                got.append(event.data)
                event.stream.cancel()

        world.connection.get("/", reply_to=take)
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abc", b"def")
        self.assertEqual(got, [b"a"])


class EndTests(ContentCase):
    """Connections that end while content waits for its reader."""

    def waiting(self, **options: Any) -> tuple[MemoryGun, gun.Stream, RecordingReceiver]:
        """A stream all of whose content is here, of which one event was told."""
        world = self.world(Each, **options)
        stream, told = self.get(world, flow=1)
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abc", fin=True)
        self.assertEqual(len(told.of(gun.Data)), 1)
        return world, stream, told

    def test_lost(self) -> None:
        """It is complete, and so its stream is not killed, and gives the rest when that is asked for."""
        for retry in (5, 0):
            world, stream, told = self.waiting(retry=retry)
            world.peer.close()
            world.pump()
            down = world.owner.of(gun.Down)[-1]
            self.assertEqual((down.killed_streams, down.unprocessed_streams), ((), ()))
            stream.update_flow(10)
            self.assertEqual(b"".join(data for data, _ in self.pieces(told)), b"abc")
            self.assertTrue(stream.ended)
            world.connection.close()
            self.assertEqual(told.of(gun.Error), [])

    def test_lost_before_its_end(self) -> None:
        """Content that is not complete ends with the connection."""
        world = self.world(Each)
        stream, told = self.get(world, flow=10)
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abc")
        world.peer.abort()
        world.pump()
        self.assertEqual(world.owner.of(gun.Down)[-1].killed_streams, (stream,))
        self.assertEqual(told.names()[-1], "gun_error")
        stream.update_flow(10)
        self.assertEqual(told.names()[-1], "gun_error")

    def test_closed(self) -> None:
        """close() ends it at once."""
        world, stream, told = self.waiting()
        world.connection.close()
        world.pump()
        self.assertEqual(told.names()[-1], "gun_error")
        self.assertTrue(stream.ended)
        self.assert_nothing_left(world)

    def test_shut_down(self) -> None:
        """After shutdown() the rest can still be read."""
        world, stream, told = self.waiting()
        world.connection.shutdown()
        world.pump()
        stream.update_flow(10)
        self.assertTrue(self.pieces(told)[-1][1])
        self.assert_nothing_left(world)

    def test_closed_afterwards(self) -> None:
        """close() ends it also where the connection had ended before; whoever awaits it leaves no delayed call behind."""
        world = self.world(Each)
        stream = world.connection.get("/", flow=1)
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, b"abc", fin=True)
        world.connection.shutdown()
        world.pump()
        self.assertEqual(world.connection.info().state_name, "terminated")
        for _ in range(2):  # the head, and what may be told
            self.successResultOf(stream.await_event())
        waiting = stream.await_event(timeout=3)
        self.assertNoResult(waiting)
        world.connection.close()
        self.failureResultOf(waiting, gun.StreamClosed)
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_tunnel_cancelled(self) -> None:
        """Cancelling a tunnel ends those inside it."""
        world = self.world(Each)
        tunnel = world.connection.connect({"host": "origin.example", "port": 80})
        world.pump()
        if world.connection.info().protocol == "http2":
            world.peer.respond(1, 200, fin=False)
        else:
            self.send(world, b"HTTP/1.1 200 OK\r\n\r\n")
        told = RecordingReceiver()
        stream = tunnel.get("/", reply_to=told, flow=1)
        world.pump()
        answered = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc"
        if world.connection.info().protocol == "http2":
            world.peer.send_data(1, answered)
        else:
            world.peer.send(answered)
        world.pump()
        self.assertFalse(stream.ended)
        tunnel.cancel()
        world.pump()
        self.assertTrue(stream.ended)
        self.assertIsInstance(told.of(gun.Error)[-1].reason, gun.StreamClosed)

    def test_woken(self) -> None:
        """Whoever awaits the rest of a stream whose connection is gone is woken."""
        world = self.world(Each, retry=0)
        stream = world.connection.get("/")
        world.pump()
        self.begin(world, ("content-type", "text/plain"))
        self.data(world, bytes(3000), fin=True)
        world.peer.close()
        world.pump()
        self.assertEqual(len(self.successResultOf(stream.await_body())), 3000)


class _Http2:
    """The same over HTTP/2."""

    def world(self, *handlers: Any, **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        more = options.pop("opts", {})
        world = MemoryGun(
            protocols=["http2"], http2_opts={"content_handlers": handlers, **more}, http_opts={"content_handlers": handlers}, **options
        )
        world.pump()
        return world

    def options_with_flow(self, flow: int) -> dict[str, Any]:
        """Options of a world."""
        return {"protocols": ["http2"], "http2_opts": {"content_handlers": [Each], "flow": flow}}

    def begin(self, world: MemoryGun, *fields: tuple[str, str]) -> None:
        """The head of the response."""
        peer: Http2Peer = world.peer
        peer.send_headers(peer.requests[-1], [(":status", "200"), *fields])
        world.pump()

    def data(self, world: MemoryGun, *pieces: bytes, fin: bool = False) -> None:
        """Pieces of it."""
        peer: Http2Peer = world.peer
        for at, piece in enumerate(pieces):
            peer.send_data(peer.requests[-1], piece, fin=fin and at == len(pieces) - 1)
        if fin and not pieces:
            peer.send_data(peer.requests[-1], b"", fin=True)
        world.pump()

    def trailers(self, world: MemoryGun) -> None:
        """Its end."""
        world.peer.trailers(world.peer.requests[-1], {"x-sum": "1"})
        world.pump()


class Http2ChainTests(_Http2, ChainTests):
    """The chain over HTTP/2."""


class Http2FaultTests(_Http2, FaultTests):
    """Faults over HTTP/2."""


class Http2FlowTests(_Http2, FlowTests):
    """Flow over HTTP/2."""


class Http2EndTests(_Http2, EndTests):
    """Ends over HTTP/2."""
