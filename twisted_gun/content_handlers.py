"""
Content handlers: what may be made of a response's content before its stream is told (Gun's ``gun_content_handler``).

`ContentHandler` is what each of them is. `DataHandler` and `SseHandler` are Gun's ``gun_data_h`` and ``gun_sse_h``; `DecodeHandler`, which
undoes content codings, Gun has not. Who calls them, and when, is in `contents.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from twisted_gun.errors import LimitReached, OptionError, ProtocolViolation
from twisted_gun.events import Data, Headers, Response, Sse, SseEvent, StreamEvent
from twisted_gun.options.checks import check, check_counts, is_number, nested
from twisted_gun.responses import media_type
from twisted_gun.wire.decode import KNOWN, MAX_DECODED_SIZE, MAX_RATIO, Decoder, installed, listed
from twisted_gun.wire.sse import Retry, SseParser

if TYPE_CHECKING:
    from twisted_gun.stream import Stream

__all__ = ["ContentHandler", "DataHandler", "DecodeHandler", "DecodeOptions", "SseHandler", "SseOptions"]


class ContentHandler:
    """
    What has the content of one response, piece by piece; to be inherited from.

    The classes are listed in ``http_opts.content_handlers`` and ``http2_opts.content_handlers``, each alone or as a pair with a dict of
    options. For each response that has content each is asked to `begin`, and those that do have it one after the other.

    `request_fields` go out with each request whose response may come here, but for those of a name that the caller gave. `last` says that
    nothing goes on from here to the next handler.
    """

    request_fields: ClassVar[Headers] = ()
    last: ClassVar[bool] = False

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """
        Raise `OptionError` where `begin` does not take `options`; called where the connection is opened.

        This one looks at their names only.
        """
        try:
            if getattr(cls.begin, "__func__", None) is _BEGIN:
                signature(cls).bind(**options)
            else:
                signature(cls.begin).bind(None, None, **options)
        except TypeError as error:
            raise OptionError(f"content_handlers: {cls.__name__}", f"options that it takes ({error})") from error

    @classmethod
    def begin(cls, stream: Stream, response: Response, *_: Any, **options: Any) -> ContentHandler | None:
        """
        Make the handler for the content of `response`, or None where it is not for this one: Gun's ``disable``.

        This one makes one for every response, which it gives the options. An heir may name the options that it takes. Where it raises a
        `GunError` the stream ends with that.
        """
        return cls(**options)

    def handle(self, data: bytes, fin: bool) -> Iterable[bytes | StreamEvent]:
        """
        What becomes of `data`; `fin` says that the content ends with it, and then it may be empty.

        Bytes go to the next handler, and from the last one to the stream as `Data`; events (`gun.Sse`) are told at once. A generator is
        asked for one piece at a time, and for no more as long as the stream is held back: what can become large should come in pieces of
        64 KiB or so. Where it raises a `GunError` the stream ends with that.
        """
        raise NotImplementedError


_BEGIN = ContentHandler.begin.__func__  # type: ignore[attr-defined]


class DataHandler(ContentHandler):
    """Tells the content as `gun.Data`, as is done at the end of the list anyway: Gun's ``gun_data_h``."""

    last = True

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @classmethod
    def begin(cls, stream: Stream, response: Response) -> DataHandler:
        """For every response."""
        return cls(stream)

    def handle(self, data: bytes, fin: bool) -> Iterable[StreamEvent]:
        return (Data(stream=self._stream, fin=fin, data=data),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SseOptions:
    """
    Options of `SseHandler`, sizes in bytes.

    `last_event_id` is that of an event stream which this one goes on from. A line may have `max_line_size`, the data lines of one event
    `max_event_size`; beyond them the stream fails with `LimitReached`.
    """

    prefix: ClassVar[str] = "SseHandler."

    last_event_id: str = ""
    max_event_size: int = 1024 * 1024
    max_line_size: int = 64 * 1024

    def __post_init__(self) -> None:
        check(self, "last_event_id", isinstance(self.last_event_id, str), "a str")
        check_counts(self, "max_event_size", "max_line_size")


class SseHandler(ContentHandler):
    """
    Tells an event stream as `gun.Sse`: Gun's ``gun_sse_h``, with the options of `SseOptions`.

    It is for responses whose Content-Type is ``text/event-stream``. The content's end is told as an `Sse` without an event, unless
    trailers follow, which are told then.
    """

    last = True

    def __init__(self, stream: Stream, options: SseOptions) -> None:
        self.stream = stream
        self._parser = SseParser(
            last_event_id=options.last_event_id, max_line_size=options.max_line_size, max_event_size=options.max_event_size
        )

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        nested("SseHandler", SseOptions, options)

    @classmethod
    def begin(cls: type[_Sse], stream: Stream, response: Response, **options: Any) -> _Sse | None:
        """For an event stream, whatever parameters its type has."""
        if media_type(response.headers) != "text/event-stream":
            return None
        return cls(stream, SseOptions(**options))

    def handle(self, data: bytes, fin: bool) -> Iterator[StreamEvent]:
        stream = self.stream
        for told in self._parser.receive(data):
            if isinstance(told, Retry):
                self.retry(told.seconds)
            else:
                yield _sse(stream, told)
        if fin:
            # What is not complete is dropped. The standard: "Once the end of the file is reached, any pending data must be discarded."
            yield Sse(stream=stream, event=None)

    def retry(self, seconds: float) -> None:
        """
        The server said how long to wait before connecting again.

        Here nothing connects again, so nothing is done, as in Gun; an heir may. `seconds` has any size that a server can write.
        """


_Sse = TypeVar("_Sse", bound=SseHandler)


class _Offered:
    """The field that asks for the codings that can be undone here; found out when it is first wanted, not when this is imported."""

    def __get__(self, instance: object, owner: type) -> Headers:
        return ((b"accept-encoding", ", ".join(installed()).encode()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """
    Options of `DecodeHandler`.

    `max_codings` is how many codings may lie one in another, at most 5. Of one response each of them gives at most `max_decoded_size`
    bytes, and beyond 1 MiB at most `max_ratio` times as many as it was given, or a fiftieth of that where another coding lies in it;
    None is no limit. Beyond these the stream fails with `LimitReached`.
    """

    prefix: ClassVar[str] = "DecodeHandler."

    max_codings: int = 1
    max_decoded_size: int | None = MAX_DECODED_SIZE
    max_ratio: float | None = MAX_RATIO

    def __post_init__(self) -> None:
        check(self, "max_codings", type(self.max_codings) is int and 1 <= self.max_codings <= 5, "a whole number from 1 to 5")
        check_counts(self, "max_decoded_size", optional=True)
        ratio = self.max_ratio
        check(self, "max_ratio", ratio is None or (is_number(ratio) and ratio >= 1), "a number >= 1, or None for no limit")


class DecodeHandler(ContentHandler):
    """
    Undoes the content codings gzip, deflate, br and zstd (RFC 9110 section 8.4), within the limits of `DecodeOptions`.

    It asks for those that can be undone: br and zstd are, where the packages of the extra ``twisted_gun[content]`` are there. Content in
    a coding that is none of the four is passed as it came, and so is a part of something coded (206). The response's headers are
    told as the server sent them.
    """

    request_fields = _Offered()

    def __init__(self, decoders: Iterable[Decoder]) -> None:
        self._decoders = tuple(decoders)

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        nested("DecodeHandler", DecodeOptions, options)

    @classmethod
    def begin(cls, stream: Stream, response: Response, **options: Any) -> DecodeHandler | None:
        """For content in codings that are known. Raises `LimitReached`, and `ProtocolViolation` for one that could not be asked for."""
        limits = DecodeOptions(**options)
        codings = listed(value for name, value in response.headers if name == b"content-encoding")
        # RFC 9110 section 14.1.2: ranges are parts of the representation as it is coded, which can be undone only as a whole.
        if not codings or response.status == 206 or not set(codings) <= set(KNOWN):
            return None
        if len(codings) > limits.max_codings:
            raise LimitReached("max_codings", limits.max_codings)
        if missing := set(codings) - set(installed()):
            names = " and ".join(sorted(missing))
            raise ProtocolViolation(
                f"content in {names}, which was not offered: the extra twisted_gun[content], which decodes it, is not there"
            )
        return cls(_decoders(codings, limits))

    def handle(self, data: bytes, fin: bool) -> Iterable[bytes]:
        pieces: Iterable[bytes] = (data,)
        for decoder in self._decoders:
            pieces = decoder.decode(pieces, fin)
        return pieces


#: What is coded already hardly gets smaller by being coded again; and a little may be much work for the next decoder that gives nothing.
_WITHIN = 50


def _decoders(codings: Sequence[str], limits: DecodeOptions) -> Iterator[Decoder]:
    """Those that undo `codings`, the last one first."""
    for left in range(len(codings) - 1, -1, -1):
        ratio = limits.max_ratio / _WITHIN if left and limits.max_ratio is not None else limits.max_ratio
        yield Decoder(codings[left], max_decoded_size=limits.max_decoded_size, max_ratio=ratio)


# Of these there are many: this makes them in half the time that a frozen dataclass takes.

_made: Any = Sse
_new, _set_stream, _set_event, _set_fin = object.__new__, _made.stream.__set__, _made.event.__set__, _made.fin.__set__


def _sse(stream: Any, event: SseEvent) -> Sse:
    told = _new(Sse)
    _set_stream(told, stream)
    _set_event(told, event)
    _set_fin(told, False)
    return told
