"""
One download: it is told of a stream, and makes Scrapy's response of it, or says why there is none.

Sizes, time, signals and data loss are looked after here, in the order in which Scrapy's own do it. What connection it was, and whom else
that serves, is not known here.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.exceptions import DownloadCancelledError, DownloadFailedError, DownloadTimeoutError, ResponseDataLossError, StopDownload
from scrapy.http import Headers
from scrapy.responsetypes import responsetypes
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_gun import events
from twisted_gun.errors import ProtocolViolation, Truncated
from twisted_gun.receivers import Receiver
from twisted_gun.scrapy.failures import as_download_error

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.interfaces import IDelayedCall

    from twisted_gun.scrapy.peers import Peers
    from twisted_gun.scrapy.settings import Limits
    from twisted_gun.stream import Stream

__all__ = ["Crawl", "Download"]

logger = logging.getLogger("twisted_gun.scrapy")


class Crawl:
    """
    What the downloads of one crawl share: whom they tell, what they know of `peers`, and how much there was.

    That is how many `responses` came by each protocol, how many `websockets` were opened, and how many `messages` of those were read.
    """

    def __init__(self, crawler: Crawler, peers: Peers) -> None:
        self.responses: Counter[str] = Counter()
        self.websockets = self.messages = 0
        self.peers = peers
        self.signals = crawler.signals
        self._crawler = crawler
        self._told_of_loss = False

    @property
    def ending(self) -> bool:
        """Whether the spider is being closed. Scrapy waits for callbacks then, and has no public name that would tell them."""
        engine = self._crawler.engine
        slot = getattr(engine, "_slot", None)
        return engine is not None and (not engine.running or (slot is not None and slot.closing is not None))

    def stopped(self, signal: object, request: Request, **arguments: Any) -> StopDownload | None:
        """Send `signal`; what somebody who heard it has raised in order to stop the download, None if nobody has."""
        crawler = self._crawler
        for hearer, result in crawler.signals.send_catch_log(signal=signal, request=request, spider=crawler.spider, **arguments):
            if isinstance(result, Failure) and isinstance(result.value, StopDownload):
                logger.debug("Download stopped for %s from signal handler %s", request, hearer.__qualname__)
                return result.value
        return None

    def lost(self, request: Request) -> None:
        """Tell the user, once, what to do about responses that are cut off."""
        if not self._told_of_loss:
            self._told_of_loss = True
            hint = "If you want to process broken responses set the setting DOWNLOAD_FAIL_ON_DATALOSS = False"
            logger.warning("Got data loss in %s. %s -- This message won't be shown in further requests", request.url, hint)


class Download(Receiver):
    """The receiver of one stream; `result` is the Deferred of its response. Cancelling that ends the stream, or the waiting for one."""

    def __init__(self, request: Request, limits: Limits, crawl: Crawl) -> None:
        self.result: Deferred[Response] = Deferred(self._cancelled)
        self._request = request
        self._limits = limits
        self._crawl = crawl
        self._started = time.monotonic()
        self._asked: Deferred[Any] | None = None
        self._stream: Stream | None = None
        self._timer: IDelayedCall | None = None
        self._head: dict[str, Any] | None = None
        self._expected: int | None = None
        self._unbounded = False  # whether the content ends with the connection, so that nobody knows whether it was all
        self._pieces: list[bytes] = []
        self._received = 0
        self._warned = False
        self._over = False

    def start(self, asked: Deferred[Any], reactor: Any) -> Deferred[Response]:
        """Wait for the stream that was `asked` for, and for what comes of it."""
        if not self._over:
            self._timer = reactor.callLater(self._limits.timeout, self._timed_out)
            self._asked = asked
        asked.addCallbacks(self._got, self._refused)
        return self.result

    def _got(self, stream: Any) -> None:
        """What was asked for is there."""
        self._asked = None
        if not self._over:
            self._stream = stream
        elif not stream.ended:
            stream.cancel()

    def _refused(self, failure: Failure) -> None:
        self._asked = None
        self._fail(as_download_error(failure.value or RuntimeError("a failure without a reason")))

    # From the stream.

    def gun_response(self, event: events.Response) -> None:
        if self._over:
            return
        head = self._begin(event.stream, event.status, event.headers)
        headers = head["headers"]
        length = headers.get("Content-Length")
        self._expected = int(length) if length is not None and length.isdigit() else None
        self._unbounded = head["protocol"] == "HTTP/1.1" and length is None and b"Transfer-Encoding" not in headers
        if not event.fin and self._too_large(self._expected or 0, "Expected to receive"):
            return
        if self._stopped(signals.headers_received, headers=headers, body_length=self._expected):
            return
        if event.fin:
            self._done()

    def _begin(self, stream: Stream, status: int, headers: events.Headers) -> dict[str, Any]:
        """The response has begun: what there is of it."""
        self._stream = stream
        self._request.meta["download_latency"] = time.monotonic() - self._started
        peer = self._crawl.peers.of(stream)
        self._crawl.responses[peer.protocol] += 1
        self._head = {
            "url": self._request.url,
            "status": status,
            "headers": Headers(headers),
            "certificate": peer.certificate,
            "ip_address": peer.ip_address,
            "protocol": peer.protocol,
        }
        return self._head

    def gun_data(self, event: events.Data) -> None:
        if self._over:
            return
        if event.data:
            self._pieces.append(event.data)
            self._received += len(event.data)
            if self._stopped(signals.bytes_received, data=event.data) or self._too_large(self._received, "Received"):
                return
        if event.fin:
            self._done(flags=["partial"] if self._unbounded else None)

    def gun_trailers(self, event: events.Trailers) -> None:
        if not self._over:
            self._request.meta["gun_trailers"] = Headers(event.headers)
            self._done()

    def gun_upgrade(self, event: events.Upgrade) -> None:
        self._stream = event.stream
        self._fail(DownloadFailedError(f"{self._request.url} was answered by another protocol, as was asked; of that there is no response"))

    def gun_push(self, event: events.Push) -> None:
        event.pushed_stream.cancel()

    def gun_error(self, event: events.Error) -> None:
        if self._over:
            return
        if self._head is None or not self._was_cut_off(event.reason):
            self._fail(as_download_error(event.reason))
        elif self._unbounded:
            self._done(flags=["partial"])
        elif self._limits.fail_on_dataloss:
            self._crawl.lost(self._request)
            error = ResponseDataLossError(str(event.reason))
            error.__cause__ = event.reason
            self._fail(error)
        else:
            self._done(flags=["dataloss"])

    def _was_cut_off(self, reason: BaseException) -> bool:
        """Whether the content is merely too short: by HTTP/2's rules that is a malformed response (RFC 9113 section 8.1.1)."""
        short = self._expected is not None and self._received < self._expected
        return isinstance(reason, Truncated) or (isinstance(reason, ProtocolViolation) and short)

    # Limits.

    def _too_large(self, size: int, received: str) -> bool:
        """Warn of `size`, or end the download because of it."""
        limits = self._limits
        if limits.maxsize and size > limits.maxsize:
            text = f"{received} {size} bytes which is larger than download max size ({limits.maxsize}) in request {self._request}."
            logger.warning(text)
            self._pieces.clear()
            self._fail(DownloadCancelledError(text))
            return True
        if limits.warnsize and size > limits.warnsize and not self._warned:
            self._warned = True
            logger.warning(
                "%s %d bytes which is larger than download warn size (%d) in request %s.", received, size, limits.warnsize, self._request
            )
        return False

    def _stopped(self, signal: object, **arguments: Any) -> bool:
        """Send `signal`; whether somebody who heard it has stopped the download."""
        stop = self._crawl.stopped(signal, self._request, **arguments)
        if stop is not None:
            self._stop(stop)
        return stop is not None

    def _stop(self, stop: StopDownload) -> None:
        response = self._response(["download_stopped"])
        if stop.fail:
            stop.response = response
            self._fail(stop)
        else:
            self._end(response)

    def _timed_out(self) -> None:
        self._timer = None
        seconds = self._limits.timeout
        self._fail(DownloadTimeoutError(f"Getting {self._request.url} took longer than {seconds} seconds."))

    def _cancelled(self, result: Deferred[Response]) -> None:
        self._fail(DownloadCancelledError(f"the download of {self._request.url} was cancelled"))

    # The end.

    def _done(self, flags: list[str] | None = None) -> None:
        self._end(self._response(flags))

    def _response(self, flags: list[str] | None) -> Response:
        assert self._head is not None
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        kind = responsetypes.from_args(headers=self._head["headers"], url=self._head["url"], body=body)
        return kind(body=body, flags=flags, **self._head)

    def _fail(self, error: BaseException) -> None:
        self._end(Failure(error))

    def _end(self, result: Response | Failure) -> None:
        """Give `result`, once; a stream that goes on is ended, and one that was not made yet is not wanted any more."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()
        stream = self._stream
        if stream is not None and not stream.ended:
            stream.cancel()
        if isinstance(result, Failure):
            self.result.errback(result)
        else:
            self.result.callback(result)
