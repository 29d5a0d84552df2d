"""
Websockets by URL, as ReqWebSocket has them: `attach` makes a `Request`, which is sent as often as one likes.

    request = attach(url="wss://example.org/feed", auth=("bearer", token))
    response = await request.get()
    frames = response.parse_message(await response.receive())

A request may take several attempts: redirects are followed, and failures that pass are retried. Each has a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_gun.errors import BadState, GunError, InvalidRequest, OptionError
from twisted_gun.events import Headers, Ping, Pong
from twisted_gun.headers import check_method
from twisted_gun.websocket.attempt import Attempt
from twisted_gun.websocket.aws import sign
from twisted_gun.websocket.connect_options import ConnectOptions
from twisted_gun.websocket.credentials import authorization, prepare_auth
from twisted_gun.websocket.redirects import Asked, RedirectRefused, TooManyRedirects, is_redirect, redirected
from twisted_gun.websocket.request_options import RequestOptions, header_fields, merged
from twisted_gun.websocket.response import CLOSE, PING, PONG, FrameLike, Response, parse_message, to_frame
from twisted_gun.websocket.retries import check_seconds, default_delay, is_transient, is_transient_status, retry_after, wants_retry

__all__ = [
    "CLOSE",
    "PING",
    "PONG",
    "ConnectOptions",
    "FrameLike",
    "RedirectRefused",
    "Request",
    "Response",
    "StatusError",
    "TooManyRedirects",
    "attach",
    "parse_message",
]


class StatusError(GunError):
    """The server answered with an error, 4xx or 5xx, and `http_errors` is "raise"; `response` has it."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the server answered with status {response.status}")
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Request(RequestOptions):
    """A request by URL that can be sent, again and again; made by `attach`. Its options are those of `RequestOptions`."""

    def get(self, **options: Any) -> Deferred[Response]:
        """
        Send it as GET, changed by `options`; as `send`.

        A ws or wss URL opens a websocket.
        """
        return self.send("GET", **options)

    def send(self, method: str = "GET", body: bytes = b"", **options: Any) -> Deferred[Response]:
        """
        Send it, changed by `options`, and fire with the `Response`.

        Where the URL is ws or wss `method` is GET, and the response is a websocket, or what the server answered instead; with a callable
        as `into` it comes when the websocket has ended. Otherwise this is an ordinary request, and the response has its whole content.

        Fails with `GunError`: what the last attempt met, `TooManyRedirects`, `RedirectRefused`, `StatusError`. Cancelling stops it. Raises
        `OptionError` and `InvalidRequest` at the call.
        """
        return _Sending(attach(self, **options), method, body).start()


def attach(request: Request | None = None, /, **options: Any) -> Request:
    """
    A `Request` with `options`, or `request` changed by them.

    Headers are merged: one given now replaces those of its name. Everything else is replaced. Raises `OptionError` and `InvalidRequest`.
    """
    known = {option.name for option in fields(Request)}
    for name in options:
        if name not in known:
            raise OptionError(name, f"one of the options {', '.join(sorted(known))}")
    if request is None:
        return Request(**options)
    if "headers" in options:
        options["headers"] = merged(request.headers, header_fields(options["headers"]))
    return replace(request, **options)


class _Sending:
    """One request on its way: its attempts, one after the other, and what is done with the websocket."""

    def __init__(self, request: Request, method: str, body: bytes) -> None:
        target = request.target()
        request.connect_options.check_for(target)
        verb = check_method(method).decode("ascii")
        if target.websocket and (verb != "GET" or body):
            raise InvalidRequest("method: a websocket is opened by GET, without content (RFC 6455 section 4.1)")
        if not target.websocket and (callable(request.into) or request.reply_to is not None):
            raise OptionError("into", "to be left out, and reply_to too, where the URL is http or https: its content comes as a whole")
        self._request = request
        self._auth = prepare_auth(request.auth)
        self._first = Asked(target=target, method=verb, body=_content(body), headers=request.headers)
        self._reactor = request.reactor
        self._retries = 0
        self._cancelled = self._begun = False
        self._mistake: BaseException | None = None
        self._result: Deferred[Response] = Deferred(self._cancel)

    def start(self) -> Deferred[Response]:
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addCallbacks(self._done, self._failed)
        if self._mistake is not None:
            raise self._mistake
        self._begun = True
        return self._result

    # The end.

    def _cancel(self, result: Deferred[Response]) -> None:
        # Where it is not waiting, because it is running what the caller gave, the flag has to do: no coroutine is cancelled from within.
        self._cancelled = True
        self._running.cancel()

    def _done(self, response: Response) -> None:
        if self._cancelled:  # too late for the coroutine, in time for nobody to hold what it got
            response.abort()
            return
        self._result.callback(response)
        receiver = self._request.reply_to
        if receiver is not None and response.upgraded:
            response.tell(receiver)

    def _failed(self, failure: Failure) -> None:
        if not self._begun and failure.check(OptionError, InvalidRequest):
            self._mistake = failure.value  # the caller's, who is still there to be told: a file of certificates that cannot be read, say
        elif not self._result.called:
            self._result.errback(failure)
        elif not failure.check(CancelledError):
            _log.failure("a request failed when it had been cancelled", failure)

    # Attempts.

    async def _run(self) -> Response:
        asked, redirects = self._first, 0
        while True:
            outcome = await self._attempt(asked)
            delay = self._delay(asked, outcome)
            if delay is not None:
                self._retries += 1
                await deferLater(self._reactor, delay, lambda: None)
                continue
            if isinstance(outcome, GunError):
                raise outcome
            if not self._request.redirect or not is_redirect(outcome.status, outcome.headers):
                return await self._settled(outcome)
            if redirects == self._request.max_redirects:
                raise TooManyRedirects(redirects)
            redirects += 1
            asked = redirected(asked, outcome.status, outcome.headers, trusted=self._request.redirect_trusted)

    async def _attempt(self, asked: Asked) -> Response | GunError:
        own = asked.target.origin == self._first.target.origin
        headers = await self._headers(asked, own)
        attempt = Attempt(request=self._request, asked=asked, headers=headers, reactor=self._reactor, own=own)
        try:
            return await attempt.run()
        except (OptionError, InvalidRequest, BadState):  # ours, and the same the next time
            raise
        except GunError as error:
            return error

    async def _headers(self, asked: Asked, own: bool) -> Headers:
        """Those of the caller, and credentials, made anew each time: a token may have changed, a signature grows old."""
        request, headers, target = self._request, asked.headers, asked.target
        named = request.connect_options.host_header(target) if own else None
        if not any(name == b"host" for name, _ in headers) and (named is not None or request.aws_sigv4 is not None):
            headers = ((b"host", named or target.authority.encode("ascii")), *headers)
        if asked.foreign:
            return headers
        if request.aws_sigv4 is not None:
            return sign(request.aws_sigv4, asked.method, target.http_url, headers, asked.body)
        value = authorization(await self._current_auth(), target.host)
        return headers if value is None else merged(headers, header_fields([(b"authorization", value)]))

    async def _current_auth(self) -> Any:
        if not callable(self._auth):
            return self._auth
        return prepare_auth(await self._asked_of(self._auth))

    # Retries.

    def _delay(self, asked: Asked, outcome: Response | GunError) -> float | None:
        """The seconds after which to try again; None for not at all."""
        request, count = self._request, self._retries
        if request.retry is False or count >= request.max_retries or getattr(outcome, "upgraded", False):
            return None
        wanted = self._wanted(asked, outcome)
        if isinstance(wanted, float):
            delay = wanted
        elif not wanted:
            return None
        elif request.retry_delay is not None:
            delay = check_seconds("retry_delay", self._call(request.retry_delay, count))
        else:
            delay = self._default_delay(outcome)
            if request.max_retry_after is not None and delay > request.max_retry_after:
                return None
        self._log_retry(asked, outcome, delay)
        return delay

    def _wanted(self, asked: Asked, outcome: Response | GunError) -> bool | float:
        """Whether to try again, or after how many seconds."""
        retry = self._request.retry
        if not callable(retry):
            transient = is_transient(outcome) if isinstance(outcome, GunError) else is_transient_status(outcome.status)
            return wants_retry(retry, asked.method, transient)
        answer = self._call(retry, self._request, outcome)
        if isinstance(answer, tuple) and len(answer) == 2 and answer[0] == "delay":
            return check_seconds("retry", answer[1])
        if answer is None or isinstance(answer, bool):
            return bool(answer)
        raise OptionError("retry", "True, ('delay', seconds), False or None from the callable")

    def _default_delay(self, outcome: Response | GunError) -> float:
        asked_for = None
        if isinstance(outcome, Response):
            asked_for = retry_after(outcome.status, outcome.headers, _now)
        return default_delay(self._retries) if asked_for is None else asked_for

    def _log_retry(self, asked: Asked, outcome: Response | GunError, delay: float) -> None:
        level = self._request.log_level()
        if level is not None:
            happened = f"answered with status {outcome.status}" if isinstance(outcome, Response) else f"failed: {outcome}"
            left = self._request.max_retries - self._retries
            text = "retry: {place} {happened}; trying again in {delay} seconds, {left} retries left"
            _log.emit(level, text, place=asked.target.place, happened=happened, delay=delay, left=left)

    # The websocket.

    async def _settled(self, response: Response) -> Response:
        if response.upgraded and callable(self._request.into):
            try:
                return await self._converse(response)
            except BaseException:
                response.abort()
                raise
        if response.status >= 400 and self._request.http_errors == "raise":
            raise StatusError(response)
        return response

    async def _converse(self, response: Response) -> Response:
        """Give each message to `into`, and send what it returns, until either side ends the websocket."""
        pair = (self._request, response)
        while True:
            message = await response.next_message()
            frames = response.parse_message(message) or []
            if message.fin:
                return pair[1]
            answer = await self._asked_of(self._request.into, ("data", frames), pair)
            goes_on, answers, pair = _understood(answer)
            await self._send(response, answers, frames)
            if not goes_on:
                response.stream._discard()
                await response.close()
                return pair[1]

    async def _send(self, response: Response, answers: list[FrameLike], frames: list[Any]) -> None:
        # Pings are answered already, each once; the answer of a callable that does so too is left out.
        answered = [Pong(frame.data) for frame in frames if isinstance(frame, Ping)]
        kept = [answer for answer in map(to_frame, answers) if answer not in answered]
        try:
            if kept:
                await response.send_frames(kept)
        except BadState:
            pass  # the server has ended it meanwhile, and its Close comes next

    # What the caller gave.

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        if self._cancelled:
            raise CancelledError()
        return result

    async def _asked_of(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = self._call(function, *arguments)
        if isawaitable(result):
            result = await result
            if self._cancelled:  # which it did not mind
                raise CancelledError()
        return result


def _content(body: object) -> bytes:
    if not isinstance(body, bytes):
        raise InvalidRequest(f"body: expected bytes, not {type(body).__name__}")
    return body


def _understood(answer: Any) -> tuple[bool, list[FrameLike], tuple[Any, Response]]:
    """Whether it goes on, what to send, and the pair, of what `into` returned."""
    shaped = isinstance(answer, tuple) and len(answer) in (2, 3) and answer[0] in ("cont", "halt")
    if not shaped or not (isinstance(answer[-1], tuple) and len(answer[-1]) == 2):
        raise OptionError("into", "('cont', (request, response)) or ('halt', ...), with frames between or not, from the callable")
    frames = answer[1] if len(answer) == 3 else []
    return answer[0] == "cont", list(frames) if isinstance(frames, list) else [frames], answer[-1]


def _now() -> datetime:
    return datetime.now(UTC)


_log = Logger()
