"""What went wrong, as Scrapy calls it: its retry middleware and its users' errbacks know these names, and not ours."""

from __future__ import annotations

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
)
from twisted.internet import error
from twisted.internet.defer import CancelledError

from twisted_gun.errors import ConnectFailed, GunError, InvalidRequest, OptionError, ProxyFailed, TimedOut

__all__ = ["as_download_error"]


def as_download_error(reason: BaseException) -> BaseException:
    """
    `reason` as one of Scrapy's exceptions, caused by `reason`.

    What the caller did wrong (`InvalidRequest`, `OptionError`), and what is not known here, stays what it is.
    """
    if isinstance(reason, (InvalidRequest, OptionError)):
        return reason
    found = _kind(reason)
    if found is None:
        return reason
    made = found(str(reason))
    made.__cause__ = reason
    return made


def _kind(reason: BaseException) -> type[Exception] | None:
    kind: type[Exception] | None = None
    if isinstance(reason, CancelledError):
        kind = DownloadCancelledError
    elif isinstance(reason, (TimedOut, error.TimeoutError, error.TCPTimedOutError)):
        kind = DownloadTimeoutError
    elif isinstance(reason, error.DNSLookupError):
        kind = CannotResolveHostError
    elif isinstance(reason, error.ConnectionRefusedError) or (isinstance(reason, ProxyFailed) and reason.error is not None):
        # A SOCKS proxy refuses for its own reasons and for the host's; Scrapy takes both for a refused connection.
        kind = DownloadConnectionRefusedError
    elif isinstance(reason, ConnectFailed) and reason.reason is not None:
        kind = _kind(reason.reason) or DownloadFailedError
    elif isinstance(reason, (GunError, error.ConnectError, error.ConnectionLost, error.ConnectionDone)):
        kind = DownloadFailedError
    return kind
