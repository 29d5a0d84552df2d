"""`twisted_gun.content_handlers`: decoding and server-sent events, from a peer to a receiver, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import Any, ClassVar
from unittest import mock

import brotli
import zstandard
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.stage import LifeCase
from tests.vectors import event_streams
from twisted_gun.content_handlers import ContentHandler, DataHandler, DecodeHandler, SseHandler
from twisted_gun.testing import MemoryGun, RecordingReceiver
from twisted_gun.wire.decode import installed

TEXT = b"".join(b"%d and %d;" % (number, number * number) for number in range(400))
GZIP = ("content-encoding", "gzip")
SSE = ("content-type", "text/event-stream")


def zstd(data: bytes) -> bytes:
    """`data` in zstd."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


class HandlersCase(LifeCase):
    """Responses with content handlers, over HTTP/1.1; the heirs do the same over HTTP/2."""

    protocol: ClassVar[str] = "http"

    def world(self, *handlers: Any, **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        opts: dict[str, Any] = {"http_opts" if self.protocol == "http" else "http2_opts": {"content_handlers": handlers}}
        world = MemoryGun(protocols=[self.protocol], **opts, **options)
        world.pump()
        return world

    def get(self, world: MemoryGun, headers: Any = (), method: str = "GET") -> tuple[gun.Stream, RecordingReceiver]:
        """A request, and who is told of it."""
        told = RecordingReceiver()
        stream = world.connection.request(method, "/", headers, body=b"", reply_to=told)
        world.pump()
        return stream, told

    def head(self, world: MemoryGun, *fields: tuple[str, str], status: int = 200) -> None:
        """The head of the response to the last request, whose content follows."""
        if self.protocol == "http2":
            world.peer.respond(world.peer.requests[-1], status, fields, fin=False)
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            world.peer.send(f"HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n{lines}\r\n".encode())
        world.pump()

    def data(self, world: MemoryGun, data: bytes, fin: bool = False) -> None:
        """A piece of its content."""
        if self.protocol == "http2":
            world.peer.send_data(world.peer.requests[-1], data, fin=fin)
        else:
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            world.peer.send(chunk + (b"0\r\n\r\n" if fin else b""))
        world.pump()

    def trailers(self, world: MemoryGun) -> None:
        """Its end."""
        if self.protocol == "http2":
            world.peer.trailers(world.peer.requests[-1], {"x-sum": "1"})
        else:
            world.peer.send(b"0\r\nx-sum: 1\r\n\r\n")
        world.pump()

    def told(self, handlers: Any, fields: Any, *pieces: bytes, **more: Any) -> RecordingReceiver:
        """What is told of a response with these header fields and this content."""
        world = self.world(*handlers)
        _, told = self.get(world)
        self.head(world, *fields, **more)
        for piece in pieces:
            self.data(world, piece)
        self.data(world, b"", fin=True)
        self.assert_told_in_order(told)
        self.assertTrue(told.events[-1].fin)
        return told

    def error(self, handlers: Any, fields: Any, *pieces: bytes) -> Any:
        """What ends the stream of such a response, beside which the connection serves the next one."""
        world = self.world(*handlers)
        _, told = self.get(world)
        self.head(world, *fields)
        for piece in pieces:
            if not told.events[-1].fin:
                self.data(world, piece)
        if not told.events[-1].fin:
            self.data(world, b"", fin=True)
        self.assert_told_in_order(told)
        self.assertEqual(told.names()[-1], "gun_error")
        world.advance(10)
        _, retold = self.get(world)
        self.head(world)
        self.data(world, b"alive", fin=True)
        self.assertEqual(content(retold), b"alive")
        return told.events[-1].reason


def content(told: RecordingReceiver) -> bytes:
    """The content that was told."""
    return b"".join(event.data for event in told.of(gun.Data))


def events(told: RecordingReceiver) -> list[Any]:
    """The server-sent events that were told."""
    return [event.event for event in told.of(gun.Sse)]


def event(data: str, event_type: str = "message", last_event_id: str = "") -> gun.SseEvent:
    """An event that has data."""
    return gun.SseEvent(event_type=event_type, data=data, last_event_id=last_event_id)


class SseTests(HandlersCase):
    """`SseHandler`."""

    def test_events(self) -> None:
        """Events are told when they are complete, and the end as an event that is none."""
        world = self.world(SseHandler)
        stream, told = self.get(world)
        self.head(world, SSE)
        self.data(world, b"id: 1\ndata: one\n\ndata: tw")
        self.assertEqual(events(told), [event("one", last_event_id="1")])
        self.data(world, b"o\n\nid: 2\n\nevent: tick\ndata: three\n\ndata: never")
        self.data(world, b" ended\n", fin=True)
        identified = gun.SseEvent(event_type=None, data=None, last_event_id="2")
        made = [event("one", last_event_id="1"), event("two", last_event_id="1"), identified, event("three", "tick", "2"), None]
        self.assertEqual(events(told), made)
        self.assertEqual(told.names(), ["gun_response", *["gun_sse"] * 5])
        self.assertEqual([one.fin for one in told.events], [False] * 5 + [True])
        self.assertEqual({one.stream for one in told.events}, {stream})
        self.assertEqual(told.events[1], gun.Sse(stream=stream, event=made[0]))
        self.assertEqual(repr(told.events[1]), repr(gun.Sse(stream=stream, event=made[0])))

    def test_types(self) -> None:
        """It is for text/event-stream, in any case and with any parameters, and for nothing else."""
        for kind, wanted in (
            ("text/event-stream", True),
            ("Text/Event-Stream", True),
            ("text/event-stream;charset=utf-8", True),
            ("text/event-stream ; a=b", True),
            ("text/event-stream-not", False),
            ("text/plain; text/event-stream", False),
            ("", False),
        ):
            told = self.told([SseHandler], [("content-type", kind)], b"data: 1\n\n")
            self.assertEqual(events(told), [event("1"), None] if wanted else [], kind)
            self.assertEqual(content(told), b"" if wanted else b"data: 1\n\n", kind)
        self.assertEqual(content(self.told([SseHandler], [], b"data: 1\n\n")), b"data: 1\n\n")

    def test_trailers(self) -> None:
        """Trailers are the end where they come, as in Gun."""
        world = self.world(SseHandler)
        _, told = self.get(world)
        self.head(world, SSE)
        self.data(world, b"data: 1\n\n")
        self.trailers(world)
        self.assertEqual(told.names(), ["gun_response", "gun_sse", "gun_trailers"])

    def test_lost(self) -> None:
        """An event stream that is lost ends with the error alone."""
        world = self.world(SseHandler)
        _, told = self.get(world)
        self.head(world, SSE)
        self.data(world, b"data: 1\n\ndata: 2\n")
        world.peer.abort()
        world.pump()
        self.assertEqual(told.names(), ["gun_response", "gun_sse", "gun_error"])

    def test_limits(self) -> None:
        """Beyond its limits the stream fails, and only the stream."""
        for options, data, name in (
            ({"max_line_size": 20}, b"data: " + b"x" * 15, "max_line_size"),
            ({"max_event_size": 40}, b"data: 3456789\n" * 4, "max_event_size"),
        ):
            reason = self.error([(SseHandler, options)], [SSE], data)
            self.assertIsInstance(reason, gun.LimitReached)
            self.assertEqual((reason.name, reason.limit), (name, options[name]))
        self.assertEqual(len(events(self.told([(SseHandler, {"max_line_size": 21})], [SSE], b"data: " + b"x" * 15 + b"\n\n"))), 2)

    def test_retry(self) -> None:
        """An heir is told of the time the server wants to be given; an identifier may be there from before."""
        asked: list[tuple[Any, float]] = []

        class Listening(SseHandler):
            def retry(self, seconds: float) -> None:
                asked.append((self.stream, seconds))

        told = self.told([(Listening, {"last_event_id": "7"})], [SSE], b"retry: 2500\ndata: 1\n\n")
        self.assertEqual(asked, [(told.events[0].stream, 2.5)])
        self.assertEqual(events(told), [event("1", last_event_id="7"), None])
        self.assertEqual(events(self.told([SseHandler], [SSE], b"retry: 2500\ndata: 1\n\n")), [event("1"), None])

    def test_awaited(self) -> None:
        """Events are awaited, and iterated over, as any others."""
        world = self.world(SseHandler)
        stream = world.connection.get("/")
        world.pump()
        self.head(world, SSE)
        self.data(world, b"data: 1\n\ndata: 2\n\n", fin=True)
        self.assertEqual(self.successResultOf(stream.await_response()).status, 200)
        got: list[Any] = [self.successResultOf(stream.await_event()) for _ in range(3)]
        self.assertEqual([one.event for one in got], [event("1"), event("2"), None])

    def test_unread(self) -> None:
        """Unread events hold the server back by all that is in them, no fewer bytes than content would be kept."""
        for field in (b"data: ", b"data: 1\nevent: ", b"data: 1\nid: "):
            world = self.world(SseHandler)
            stream = world.connection.get("/")
            world.pump()
            self.head(world, SSE)
            for _ in range(50):
                self.data(world, field + b"x" * 20_000 + b"\n\n")
            assert stream._events is not None
            self.assertLessEqual(len(stream._events), 5)

    def test_web_platform_tests(self) -> None:
        """Each stream of web-platform-tests gives its events, whole and in pieces."""
        streams = event_streams()
        self.assertEqual(len(streams), 16)
        for stream, expected in streams:
            for size in (len(stream), 7):
                told = self.told([SseHandler], [SSE], *(stream[at : at + size] for at in range(0, len(stream), size)))
                shown = [(one.event_type, one.data) for one in events(told) if one is not None and one.data is not None]
                self.assertEqual(shown, expected, (stream, size))


class SseOverHttp2Tests(SseTests):
    """The same over HTTP/2."""

    protocol = "http2"


class DecodeTests(HandlersCase):
    """`DecodeHandler`."""

    def test_codings(self) -> None:
        """Each coding is undone, in one piece and in many; the head is told as it came."""
        for coding, coded in (
            ("gzip", gzip.compress(TEXT)),
            ("x-gzip", gzip.compress(TEXT)),
            ("GZIP", gzip.compress(TEXT)),
            ("deflate", zlib.compress(TEXT)),
            ("deflate", zlib.compress(TEXT)[2:-4]),
            ("br", brotli.compress(TEXT)),
            ("zstd", zstd(TEXT)),
            ("identity, gzip", gzip.compress(TEXT)),
        ):
            for size in (len(coded), 50):
                pieces = (coded[at : at + size] for at in range(0, len(coded), size))
                told = self.told([DecodeHandler], [("content-encoding", coding)], *pieces)
                self.assertEqual(content(told), TEXT, coding)
                self.assertIn((b"content-encoding", coding.encode()), told.of(gun.Response)[0].headers)

    def test_asks(self) -> None:
        """It asks for the codings it can undo, unless the caller asks for others."""
        world = self.world(DecodeHandler)
        for given, sent in (((), b"gzip, deflate, br, zstd"), ({"accept-encoding": "gzip;q=0.5"}, b"gzip;q=0.5")):
            self.get(world, given)
            self.assertEqual([value for name, value in world.peer.requests[-1].headers if name == b"accept-encoding"], [sent])
            self.head(world)
            self.data(world, b"", fin=True)

    def test_not_for_it(self) -> None:
        """Content in no coding, in one that is not known, or cut out of something coded, is passed as it came."""
        coded = gzip.compress(TEXT)
        for fields, status in (
            ([], 200),
            ([("content-encoding", "identity")], 200),
            ([("content-encoding", "compress")], 200),
            ([("content-encoding", "gzip, unheard-of")], 200),
            ([("content-encoding", "unheard-of, gzip, gzip")], 200),
            ([GZIP], 206),
        ):
            self.assertEqual(content(self.told([DecodeHandler], fields, coded, status=status)), coded, fields)

    def test_no_content(self) -> None:
        """A response that has no content may say in what coding that would have been; so may empty content."""
        for coding in ("gzip", "deflate", "br", "zstd"):
            told = self.told([DecodeHandler], [("content-encoding", coding)])
            self.assertEqual([(one.data, one.fin) for one in told.of(gun.Data)], [(b"", True)])
            for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):
                world = self.world((DecodeHandler, {"max_codings": 1}))
                _, told = self.get(world, method=method)
                if self.protocol == "http2":
                    world.peer.respond(world.peer.requests[-1], status, {"content-encoding": f"{coding}, gzip"})
                else:
                    world.peer.send(b"HTTP/1.1 %d X\r\ncontent-encoding: %b, gzip\r\n\r\n" % (status, coding.encode()))
                world.pump()
                self.assertEqual([(one.status, one.fin) for one in told.events], [(status, True)])

    def test_chain(self) -> None:
        """Codings lie one in another as far as `max_codings` says; the last one is undone first."""
        coded, names = TEXT, list[str]()
        for name, encode in (
            ("gzip", gzip.compress),
            ("br", brotli.compress),
            ("zstd", zstd),
            ("deflate", zlib.compress),
            ("gzip", gzip.compress),
        ):
            coded, names = encode(coded), [*names, name]
            fields = [("content-encoding", ", ".join(names))]
            self.assertEqual(content(self.told([(DecodeHandler, {"max_codings": len(names)})], fields, coded)), TEXT)
            self.assertEqual(content(self.told([(DecodeHandler, {"max_codings": 5})], fields, coded)), TEXT)
            if len(names) > 1:
                reason = self.error([(DecodeHandler, {"max_codings": len(names) - 1})], fields, coded)
                self.assertEqual((type(reason), reason.name, reason.limit), (gun.LimitReached, "max_codings", len(names) - 1))
        self.assertEqual(self.error([DecodeHandler], [("content-encoding", "gzip"), ("content-encoding", "br")], b"x").limit, 1)

    def test_sizes(self) -> None:
        """Beyond `max_decoded_size` and `max_ratio` the stream fails, and only the stream."""
        for size in (99_999, 100_000, 100_001):
            handlers, coded = [(DecodeHandler, {"max_decoded_size": 100_000})], gzip.compress(bytes(size))
            if size <= 100_000:
                self.assertEqual(content(self.told(handlers, [GZIP], coded)), bytes(size))
            else:
                reason = self.error(handlers, [GZIP], coded)
                self.assertEqual((reason.name, reason.limit), ("max_decoded_size", 100_000))
        run = gzip.compress(bytes(2**21))
        reason = self.error([(DecodeHandler, {"max_ratio": 100.5})], [GZIP], run)
        self.assertEqual((reason.name, reason.limit), ("max_ratio", 100.5))
        self.assertEqual(len(content(self.told([(DecodeHandler, {"max_ratio": None, "max_decoded_size": None})], [GZIP], run))), 2**21)

    def test_ratio_within(self) -> None:
        """Of a coding that lies around another one the ratio may be a fiftieth of `max_ratio`."""
        skipped = b"\x5a\x2a\x4d\x18" + (2**21).to_bytes(4, "little") + bytes(2**21)
        coded = gzip.compress(skipped + zstd(TEXT))
        ratio, fields = (len(skipped) + len(zstd(TEXT))) / len(coded), [("content-encoding", "zstd, gzip")]
        told = self.told([(DecodeHandler, {"max_codings": 2, "max_ratio": 50 * ratio * 1.01})], fields, coded)
        self.assertEqual(content(told), TEXT)
        reason = self.error([(DecodeHandler, {"max_codings": 2, "max_ratio": 50 * ratio * 0.99})], fields, coded)
        self.assertEqual(reason.name, "max_ratio")
        self.assertAlmostEqual(reason.limit, ratio * 0.99)
        self.assertEqual(content(self.told([(DecodeHandler, {"max_codings": 2, "max_ratio": None})], fields, coded)), TEXT)

    def test_bad_content(self) -> None:
        """Content that is in no such coding, goes on behind its end, or ends too early, ends its stream with the error."""
        coded = gzip.compress(TEXT)
        for pieces, kind in (
            ([b"no gzip at all"], gun.ProtocolViolation),
            ([coded + b"more"], gun.ProtocolViolation),
            ([coded, b"more"], gun.ProtocolViolation),
            ([coded[:-1]], gun.Truncated),
            ([coded[:100], coded[100:200]], gun.Truncated),
        ):
            self.assertIsInstance(self.error([DecodeHandler], [GZIP], *pieces), kind)

    def test_truncated_before_trailers(self) -> None:
        """Trailers do not make content whole."""
        world = self.world(DecodeHandler)
        _, told = self.get(world)
        self.head(world, GZIP)
        self.data(world, gzip.compress(TEXT)[:-1])
        self.trailers(world)
        self.assertEqual(told.names()[-1], "gun_error")
        self.assertIsInstance(told.events[-1].reason, gun.Truncated)
        self.assertEqual(content(told), TEXT)

    def test_not_installed(self) -> None:
        """Without its package a coding is not asked for; content in it all the same is an error that says what would help."""
        there = mock.patch.dict(sys.modules, {"brotli": None})
        there.start()
        self.addCleanup(installed.cache_clear)
        self.addCleanup(there.stop)
        installed.cache_clear()
        world = self.world(DecodeHandler)
        self.get(world)
        self.assertIn((b"accept-encoding", b"gzip, deflate, zstd"), world.peer.requests[-1].headers)
        reason = self.error([DecodeHandler], [("content-encoding", "br")], brotli.compress(TEXT))
        self.assertIsInstance(reason, gun.ProtocolViolation)
        self.assertIn("twisted_gun[content]", str(reason))
        self.assertEqual(content(self.told([DecodeHandler], [GZIP], gzip.compress(TEXT))), TEXT)

    def test_event_stream(self) -> None:
        """A compressed event stream is told event by event, as the server flushes them."""
        for coding, write in (
            ("gzip", flushing(31)),
            ("deflate", flushing(15)),
            ("br", flushing_brotli()),
            ("zstd", flushing_zstd()),
        ):
            world = self.world(DecodeHandler, SseHandler)
            _, told = self.get(world)
            self.head(world, SSE, ("content-encoding", coding))
            for number in range(5):
                self.data(world, write(b"data: %d\n\n" % number))
                self.assertEqual(events(told), [event(str(at)) for at in range(number + 1)], coding)
            self.assertEqual(told.of(gun.Data), [])


def flushing(bits: int) -> Any:
    """What compresses each piece to its end."""
    stream = zlib.compressobj(wbits=bits)
    return lambda data: stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)


def flushing_brotli() -> Any:
    """Likewise."""
    stream = brotli.Compressor()
    return lambda data: stream.process(data) + stream.flush()


def flushing_zstd() -> Any:
    """Likewise."""
    stream = zstandard.ZstdCompressor().compressobj()
    return lambda data: stream.compress(data) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


class DecodeOverHttp2Tests(DecodeTests):
    """The same over HTTP/2."""

    protocol = "http2"


class DataTests(HandlersCase):
    """`DataHandler`."""

    def test_last(self) -> None:
        """It tells content as content, whatever else might be made of it behind; in front of it others have their turn."""
        for handlers, expected in (
            ([DataHandler], b"data: 1\n\n"),
            ([DataHandler, SseHandler], b"data: 1\n\n"),
            ([SseHandler, DataHandler], b""),
        ):
            told = self.told(handlers, [SSE], b"data: 1\n\n")
            self.assertEqual(content(told), expected)
            self.assertEqual(len(told.of(gun.Sse)), 0 if expected else 2)
        told = self.told([DecodeHandler, DataHandler], [GZIP], gzip.compress(TEXT))
        self.assertEqual(content(told), TEXT)

    def test_end(self) -> None:
        """The last piece may be empty, as in Gun."""
        told = self.told([DataHandler], [], b"abc")
        self.assertEqual([(one.data, one.fin) for one in told.of(gun.Data)], [(b"abc", False), (b"", True)])
        world = self.world(DataHandler)
        _, told = self.get(world)
        self.head(world)
        self.data(world, b"abc")
        self.trailers(world)
        self.assertEqual([(one.data, one.fin) for one in told.of(gun.Data)], [(b"abc", False)])
        self.assertEqual(told.names()[-1], "gun_trailers")


class DataOverHttp2Tests(DataTests):
    """The same over HTTP/2."""

    protocol = "http2"


class Plain(ContentHandler):
    """Without anything of its own."""


class Made(ContentHandler):
    """With an option, in the usual place."""

    def __init__(self, *, size: int = 5) -> None:
        self.size = size


class Named(ContentHandler):
    """With an option that `begin` names."""

    @classmethod
    def begin(cls, stream: Any, response: Any, *, size: int) -> Named | None:
        """Not for this one."""
        return None


class OptionTests(SynchronousTestCase):
    """Options of handlers, where the connection is opened."""

    def assert_refused(self, handler: Any, options: dict[str, Any], *said: str) -> None:
        """These are refused with a message that says so, for either protocol."""
        for where in ("http_opts", "http2_opts"):
            opts: dict[str, Any] = {where: {"content_handlers": [(handler, options)]}}
            error = self.assertRaises(gun.OptionError, MemoryGun, **opts)
            for words in said:
                self.assertIn(words, str(error))

    def assert_taken(self, handler: Any, options: dict[str, Any]) -> None:
        """These are fine."""
        for where in ("http_opts", "http2_opts"):
            opts: dict[str, Any] = {where: {"content_handlers": [(handler, options)]}}
            MemoryGun(**opts)

    def test_decode(self) -> None:
        """Those of `DecodeHandler`."""
        cases: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
            ("max_codings", (1, 5), (0, 6, None, True, 1.0, "1")),
            ("max_decoded_size", (1, 2**40, None), (0, -1, 1.5, "1", True)),
            ("max_ratio", (1, 1.5, 5000, None), (0, 0.5, -1, "1", True, float("nan"), float("inf"))),
        ]
        for name, good, bad in cases:
            for value in good:
                self.assert_taken(DecodeHandler, {name: value})
            for value in bad:
                self.assert_refused(DecodeHandler, {name: value}, f"DecodeHandler.{name}")
        self.assert_refused(DecodeHandler, {"max_size": 1}, "DecodeHandler.max_size", "max_decoded_size")

    def test_sse(self) -> None:
        """Those of `SseHandler`."""
        cases: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
            ("max_line_size", (1, 2**30), (0, None, 1.5, "1")),
            ("max_event_size", (1, 2**30), (0, None, 1.5, "1")),
            ("last_event_id", ("", "7"), (None, b"7", 7)),
        ]
        for name, good, bad in cases:
            for value in good:
                self.assert_taken(SseHandler, {name: value})
            for value in bad:
                self.assert_refused(SseHandler, {name: value}, f"SseHandler.{name}")
        self.assert_refused(SseHandler, {"retry": 1}, "SseHandler.retry")

    def test_names(self) -> None:
        """Names that a handler does not take are refused, and those that it must have are asked for."""
        self.assert_taken(Plain, {})
        self.assert_taken(Made, {})
        self.assert_taken(Made, {"size": 7})
        self.assert_taken(Named, {"size": 7})
        self.assert_refused(Plain, {"size": 7}, "Plain")
        self.assert_refused(Made, {"other": 7}, "Made", "other")
        self.assert_refused(Named, {}, "Named", "size")
        self.assert_refused(DataHandler, {"size": 7}, "DataHandler", "size")

    def test_begins(self) -> None:
        """A handler that says nothing else is made for every response, with its options; what it does is for the heir to say."""
        made = Made.begin(mock.sentinel.stream, mock.sentinel.response, size=7)
        assert isinstance(made, Made)
        self.assertEqual(made.size, 7)
        self.assertRaises(NotImplementedError, made.handle, b"", True)
