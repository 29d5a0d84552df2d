"""
The options of a request by URL: a frozen value that checks itself when it is made.

Names and defaults are those of Req and its plugin ReqWebSocket, but times are in seconds. What a request does is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from twisted.logger import LogLevel

from twisted_gun.errors import OptionError
from twisted_gun.events import Headers
from twisted_gun.headers import normalise
from twisted_gun.options import WsOptions, nested
from twisted_gun.receivers import as_receiver, check_timeout
from twisted_gun.urls import Target
from twisted_gun.websocket.aws import AwsSignature, check_aws
from twisted_gun.websocket.connect_options import ConnectOptions, check_connect_options
from twisted_gun.websocket.credentials import check_auth
from twisted_gun.websocket.retries import check_retry
from twisted_gun.websocket.url import Pairs, build_target, check_base_url, check_pairs, check_path_params

__all__ = ["RequestOptions", "header_fields", "merged"]

_LEVELS = {"warn": LogLevel.warn, **{str(level.name): level for level in LogLevel.iterconstants()}, "warning": LogLevel.warn}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestOptions:
    """
    The options of a request by URL. Times in seconds, sizes in bytes; None means no limit.

    Of the URL: `url`, ws, wss, http or https, or a path below `base_url`; `params` are added to its query, and `path_params` fill
    its places, written ``:name`` or, with the `path_params_style` "curly", ``{name}``. `headers` are a mapping or pairs: in a name
    that is a str and a Python identifier "_" stands for "-"; a datetime becomes an HTTP date.

    Of credentials: `auth` is ("basic", "user:password"), ("bearer", token), "netrc", ("netrc", path), a header value, or a callable
    that gives one of these, perhaps by a Deferred; `aws_sigv4` is a dict with access_key_id, secret_access_key, service, region,
    datetime and session_token.

    Of messages: `into` is "self", for `Response.receive`, or a callable that is given ``("data", frames)`` and ``(request, response)``
    and returns ``("cont" or "halt", [frames,] (request, response))``. With `reply_to`, a receiver or a callable, messages are told
    there. `ws_opts` are options of the websocket; unlike elsewhere pings and pongs are told.

    Of answers: `redirect`, `redirect_trusted`, `max_redirects`; `http_errors` "return" or "raise"; `receive_timeout` bounds the wait for
    an answer, and for each piece of its content; `max_body_size` the content of one that is no websocket's.

    Of failures: `retry` is "safe_transient", "transient", False, or a callable that is given request and response or exception and
    returns True, ("delay", seconds), or False; `retry_delay` a callable that is given the count of retries so far and returns seconds;
    `retry_log_level`; `max_retries`; a Retry-After beyond `max_retry_after` is not waited for.

    `connect_options`: see `ConnectOptions`. `reactor` is the one to use, None for the usual one.
    """

    auth: Any = None
    aws_sigv4: AwsSignature | None = None
    base_url: str | None = None
    connect_options: ConnectOptions = field(default_factory=ConnectOptions)
    headers: Headers = ()
    http_errors: str = "return"
    into: Any = "self"
    max_body_size: int = 16 * 1024 * 1024
    max_redirects: int = 10
    max_retries: int = 3
    max_retry_after: float | None = 300.0
    params: Pairs = ()
    path_params: Pairs = ()
    path_params_style: str = "colon"
    reactor: Any = None
    receive_timeout: float | None = 15.0
    redirect: bool = True
    redirect_trusted: bool = False
    reply_to: Any = None
    retry: Any = "safe_transient"
    retry_delay: Callable[[int], float] | None = None
    retry_log_level: str | bool = "warning"
    url: str | None = None
    ws_opts: WsOptions = field(default_factory=lambda: WsOptions(silence_pings=False))

    def __post_init__(self) -> None:
        self._check_url()
        self._check_credentials()
        self._check_answers()
        self._check_retries()
        self._set(
            connect_options=check_connect_options(self.connect_options),
            reply_to=as_receiver("reply_to", self.reply_to),
            ws_opts=_ws_options(self.ws_opts),
        )
        if not (callable(self.into) or (isinstance(self.into, str) and self.into == "self")):
            raise OptionError("into", "'self', or a callable: unsupported :into option")
        if self.reply_to is not None and callable(self.into):
            raise OptionError("into", "to be left out where reply_to is told of the messages")

    def __repr__(self) -> str:
        try:
            shown = str(self.target())
        except (ValueError, TypeError):  # GunError or not: a repr must not raise, and what is wrong may be a secret
            shown = "no URL" if self.url is None else "a URL that is not complete"
        return f"<{type(self).__name__} {shown}>"

    def target(self) -> Target:
        """Where the request goes first; raises `InvalidRequest`, or `OptionError` where no URL was given."""
        return build_target(
            self.url, base_url=self.base_url, params=self.params, path_params=self.path_params, style=self.path_params_style
        )

    def log_level(self) -> Any:
        """The constant of twisted.logger, or None where retries are not logged."""
        return _LEVELS.get(str(self.retry_log_level))

    def _check_url(self) -> None:
        if not (self.url is None or isinstance(self.url, str)):
            raise OptionError("url", "a str")
        check_base_url(self.base_url)
        self._set(
            headers=header_fields(self.headers),
            params=check_pairs("params", self.params),
            path_params=check_path_params(self.path_params, self.path_params_style),
        )

    def _check_credentials(self) -> None:
        check_auth(self.auth)
        self._set(aws_sigv4=check_aws(self.aws_sigv4))
        if self.auth is not None and self.aws_sigv4 is not None:
            raise OptionError("auth", "to be left out where aws_sigv4 signs: there is one authorization header")

    def _check_answers(self) -> None:
        for name in ("redirect", "redirect_trusted"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(name, "True or False", getattr(self, name))
        if self.http_errors not in ("return", "raise"):
            raise OptionError("http_errors", "'return' or 'raise'", self.http_errors)
        for name in ("max_redirects", "max_retries", "max_body_size"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise OptionError(name, "a whole number >= 0", getattr(self, name))
        _check_wait("receive_timeout", self.receive_timeout)

    def _check_retries(self) -> None:
        check_retry(self.retry)
        if not (self.retry_delay is None or callable(self.retry_delay)):
            raise OptionError("retry_delay", "a callable that is given the count of retries and returns seconds, or None")
        if self.retry_log_level is not False and self.retry_log_level not in _LEVELS:
            raise OptionError("retry_log_level", f"False, or one of {', '.join(sorted(_LEVELS))}", self.retry_log_level)
        _check_wait("max_retry_after", self.max_retry_after)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def header_fields(given: Any) -> Headers:
    """`given` as header fields; raises `InvalidRequest`."""
    if isinstance(given, Mapping):
        given = given.items()
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        given = [(_named(pair[0]), _dated(pair[1])) if _is_pair(pair) else pair for pair in given]
    return normalise(given)


def merged(first: Headers, then: Headers) -> Headers:
    """`first`, but for the fields whose names are in `then`, and `then`."""
    replaced = {name for name, _ in then}
    return (*(pair for pair in first if pair[0] not in replaced), *then)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, (tuple, list)) and len(pair) == 2


def _named(name: Any) -> Any:
    return name.replace("_", "-") if isinstance(name, str) and name.isidentifier() else name


def _dated(value: Any) -> Any:
    """RFC 9110 section 5.6.7: "A sender MUST generate [...] the IMF-fixdate format"."""
    if not isinstance(value, datetime):
        return value
    if value.utcoffset() is None:
        raise OptionError("headers", "a datetime with its zone")
    return format_datetime(value.astimezone(UTC), usegmt=True)


def _ws_options(given: Any) -> WsOptions:
    options = nested("ws_opts", WsOptions, {"silence_pings": False, **given} if isinstance(given, Mapping) else given)
    if options.reply_to is not None:
        raise OptionError("ws_opts.reply_to", "to be left out: give it as reply_to")
    return options


def _check_wait(name: str, seconds: float | None) -> None:
    try:
        check_timeout(seconds)
    except OptionError:
        raise OptionError(name, "seconds, a number >= 0, or None for no limit", seconds) from None
