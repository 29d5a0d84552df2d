"""
What an `EventSource` is given, and where it asks: its options and those of its connections, URLs, redirects.

All of it is values, and functions of them. Nothing here connects or waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_gun.content_handlers import DecodeHandler
from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.events import Headers
from twisted_gun.headers import HeadersLike, normalise, without_credentials
from twisted_gun.options import Options, make_options
from twisted_gun.options.checks import check, check_counts, check_left_out, check_seconds, is_number
from twisted_gun.urls import HTTP, Target, parse_url, redirect_target
from twisted_gun.wire.decode import KNOWN

__all__ = [
    "Asked",
    "Dialling",
    "EventSourceOptions",
    "check_id",
    "first_asked",
    "moved",
    "sendable",
]


# Options.


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceOptions:
    """
    The options of an `EventSource` that are not those of its connections. Times in seconds, sizes in bytes.

    `retry` is how long it waits before it connects again, until the server says another time, which is kept between `min_retry` and
    `max_retry`. Each attempt that fails doubles how long the wait may become, up to `max_retry`; how long it is, is chance, which `random`
    gives as numbers from 0 to 1. `max_failures` in a row are the end; with None there is none. `max_redirects` may follow on each other.
    `max_unread` is how much may be unread before the server is held back. `max_line_size` and `max_event_size` bound what it may send, as
    those of `SseOptions`. `response_timeout` bounds the wait for an answer where
    ``http_opts`` and ``http2_opts`` do not. `content_handlers` have the content before the `SseHandler`: a `DecodeHandler`, say.
    `endpoint` is dialled instead of host and port of the URL, but not for another origin, which a redirect leads to; a callable
    (host, port) gives one for every origin.
    """

    content_handlers: Any = ()
    endpoint: Any = None
    max_event_size: int = 1024 * 1024
    max_failures: int | None = None
    max_line_size: int = 64 * 1024
    max_redirects: int = 20
    max_retry: float = 60.0
    max_unread: int = 64 * 1024
    min_retry: float = 0.5
    random: Callable[[], float] = random.random
    response_timeout: float | None = 30.0
    retry: float = 3.0

    def __post_init__(self) -> None:
        check(self, "max_retry", is_number(self.max_retry) and self.max_retry > 0, "seconds, a number > 0")
        for name in ("retry", "min_retry"):
            value = getattr(self, name)
            check(self, name, is_number(value) and 0 < value <= self.max_retry, "seconds, a number > 0, and at most max_retry")
        check_counts(self, "max_failures", optional=True)
        check_counts(self, "max_redirects", least=0)
        check_counts(self, "max_event_size", "max_line_size", "max_unread")
        check_seconds(self, "response_timeout", zero=False)
        check(self, "random", callable(self.random), "a callable that gives numbers from 0 to 1")
        connects = hasattr(self.endpoint, "connect") or self.endpoint is None or callable(self.endpoint)
        check(self, "endpoint", connects, "an IStreamClientEndpoint, a callable (host, port) that gives one, or None")
        many = isinstance(self.content_handlers, Iterable) and not isinstance(self.content_handlers, (str, bytes))
        check(self, "content_handlers", many, "a list of ContentHandler classes")
        object.__setattr__(self, "content_handlers", tuple(self.content_handlers))


#: Options of `twisted_gun.open` that mean nothing here.
_NOT_HERE = {"transport": "the URL says it", "retry_fun": "retry and max_retry say when", "retry_timeout": "retry and max_retry say when"}
_OWN = frozenset(option.name for option in fields(EventSourceOptions))


class Dialling:
    """
    Options as they are given, sorted: `own` are those of the source, and for each place there are those of its connection.

    `reader` is the content handler that makes events of content.
    """

    def __init__(self, options: Options | None, given: Mapping[str, Any], reader: Any) -> None:
        check_left_out(given, _NOT_HERE)
        self.own = EventSourceOptions(**{name: value for name, value in given.items() if name in _OWN})
        connecting = {name: value for name, value in given.items() if name not in _OWN}
        # Its connections do not come back by themselves: what is asked of the next one depends on what this one brought.
        made = make_options(options, {**connecting, "retry": 0}, 80)
        protocols = made.protocols
        if protocols is not None:
            names = [name for name, _ in protocols]
            if not {"http", "http2"}.issuperset(names):
                raise OptionError("protocols", "'http', 'http2', or both where the URL is https", names)
            protocols = tuple((name, own and self._reading(own, reader)) for name, own in protocols)
        http, http2 = self._reading(made.http_opts, reader), self._reading(made.http2_opts, reader)
        self._before = {kind for each in (http, http2) for kind, _ in each.content_handlers[:-1]}
        self._options = replace(made, http_opts=http, http2_opts=http2, protocols=protocols)

    def options(self, place: Target, first: bool) -> Options:
        """Those for `place`; `first` says whether it is the origin that was asked for first, which some of them are for."""
        options, endpoint = self._options, self.own.endpoint
        if not first:
            # RFC 8446 section 4.2 and the like: who we are, and who it should be, was said of another server.
            options = replace(options, endpoint=None, tls_opts=replace(options.tls_opts, client_certificate=None, server_name=None))
        if endpoint is not None and not hasattr(endpoint, "connect"):
            options = replace(options, endpoint=_endpoint(endpoint, place))
        elif endpoint is not None and first:
            options = replace(options, endpoint=endpoint)
        return replace(options, transport="tls" if place.scheme == "https" else "tcp")

    def decodes(self, codings: Iterable[str]) -> bool:
        """Whether content in `codings` may become events: there is a handler that might undo them."""
        kinds = self._before
        return not codings or (bool(kinds) and (kinds != {DecodeHandler} or set(codings) <= set(KNOWN)))

    def _reading(self, own: Any, reader: Any) -> Any:
        """The options of a protocol, by which content is read as events, and with a limit to the wait for an answer."""
        timeout = self.own.response_timeout if own.response_timeout is None else own.response_timeout
        handlers = (*map(_endless, (*own.content_handlers, *self.own.content_handlers)), reader)
        return replace(own, content_handlers=handlers, response_timeout=timeout)


def _endless(handler: Any) -> Any:
    """`handler` as it is listed, for a stream that may be as long as it likes: it is bounded event by event, and by the ratio."""
    kind, options = handler if isinstance(handler, tuple) and len(handler) == 2 else (handler, {})
    return (kind, {"max_decoded_size": None, **options}) if kind is DecodeHandler else handler


def _endpoint(make: Callable[[str, int], Any], place: Target) -> Any:
    """What `make` gives for `place`; where it raises, what cannot be dialled, so that this fails, and is tried again, as any attempt."""
    try:
        return make(place.host, place.port)
    except Exception:
        _log.failure("{make} raised for {host}:{port}", make=make, host=place.host, port=place.port)
        return _Nowhere(Failure())


class _Nowhere:
    """An endpoint that cannot be dialled, because of `failure`."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    def connect(self, factory: object) -> Deferred[Any]:
        """It fails."""
        return fail(self._failure)


# Where it is asked, and with what.


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where to ask, and the fields that the caller gave, as far as this origin may see them."""

    place: Target
    headers: Headers = field(repr=False)


#: What the HTML standard has the requests of an event source say.
_FIELDS: Headers = ((b"accept", b"text/event-stream"), (b"cache-control", b"no-store"))


def first_asked(url: object, headers: HeadersLike) -> Asked:
    """What the caller asks for; raises `InvalidRequest` and `OptionError`."""
    given = normalise(headers)
    names = {name for name, _ in given}
    if b"last-event-id" in names:
        raise OptionError("headers", "no last-event-id among them: that is the option last_event_id")
    ours = tuple(pair for pair in _FIELDS if pair[0] not in names)
    return Asked(place=parse_url(url, HTTP), headers=(*ours, *given))


def moved(asked: Asked, headers: Headers) -> Asked:
    """What to ask after a redirect (RFC 9110 section 15.4); raises `InvalidRequest` with what is wrong with it."""
    place = redirect_target(asked.place, headers, HTTP)
    if place.origin == asked.place.origin:
        return Asked(place=place, headers=asked.headers)
    kept = tuple(pair for pair in without_credentials(asked.headers) if pair[0] != b"host")
    return Asked(place=place, headers=kept)


# Identifiers of events.


def check_id(identifier: object) -> str:
    """`identifier`, where the caller may give it; raises `OptionError`."""
    if not isinstance(identifier, str) or not sendable(identifier):
        raise OptionError("last_event_id", "text without control characters")
    return identifier


def sendable(identifier: str) -> bool:
    """Whether `identifier`, which may be the server's, can be sent in a field."""
    try:
        normalise([(b"last-event-id", identifier)])
    except InvalidRequest:
        return False
    return True


_log = Logger()
