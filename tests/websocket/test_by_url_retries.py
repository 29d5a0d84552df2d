"""`twisted_gun.websocket.retries`: which failures are transient, and how long they are waited for."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import (
    BadState,
    ConnectFailed,
    ConnectionFailed,
    GoAway,
    LimitReached,
    OptionError,
    ProtocolViolation,
    StreamClosed,
    StreamRefused,
    StreamReset,
    TimedOut,
    TlsFailed,
    Truncated,
)
from twisted_gun.websocket.retries import (
    check_retry,
    check_seconds,
    default_delay,
    is_transient,
    is_transient_status,
    retry_after,
    wants_retry,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class TransientTests(SynchronousTestCase):
    """What is worth another try."""

    def test_failures(self) -> None:
        """Time-outs, refused connections, lost ones, and requests that were not processed."""
        for failure in (
            TimedOut("response", 15.0),
            TimedOut("connect", 30.0),
            ConnectFailed("x", error.ConnectionRefusedError()),
            ConnectFailed("x", error.TimeoutError()),
            ConnectFailed("x", error.TCPTimedOutError()),
            ConnectFailed("x", error.ConnectionLost()),
            ConnectFailed("x", TimedOut("lookup", 1.0)),
            ConnectionFailed("the peer closed the connection"),
            StreamClosed("x"),
            Truncated("x", 5),
            StreamRefused("x"),
            GoAway("x", 0, 1),
        ):
            self.assertTrue(is_transient(failure), failure)

    def test_lasting(self) -> None:
        """What will be so the next time too is not."""
        for failure in (
            ConnectFailed("x"),
            ConnectFailed("x", error.DNSLookupError()),
            ConnectFailed("x", TlsFailed("x")),
            TlsFailed("x"),
            ProtocolViolation("x"),
            LimitReached("max_header_count", 5),
            StreamReset("x", 1),
            BadState("x"),
            ValueError("x"),
        ):
            self.assertFalse(is_transient(failure), failure)

    def test_statuses(self) -> None:
        """Six statuses."""
        self.assertEqual([status for status in range(600) if is_transient_status(status)], [408, 429, 500, 502, 503, 504])

    def test_method(self) -> None:
        """Safe methods are retried by default, others only where that was asked for, and none by False."""
        for method, safe in (("GET", True), ("HEAD", True), ("POST", False), ("DELETE", False), ("get", False)):
            self.assertIs(wants_retry("safe_transient", method, True), safe)
            self.assertTrue(wants_retry("transient", method, True))
            self.assertFalse(wants_retry("transient", method, False))
            self.assertFalse(wants_retry(False, method, True))

    def test_option(self) -> None:
        """Other values of `retry` are refused."""
        for retry in ("safe_transient", "transient", False, lambda request, outcome: True):
            check_retry(retry)
        for other in (True, None, 0, 1, "always", 3):
            self.assertRaises(OptionError, check_retry, other)


class DelayTests(SynchronousTestCase):
    """How long is waited."""

    def after(self, value: str, status: int = 503, date: str | None = None) -> float | None:
        headers = [(b"retry-after", value.encode("latin-1"))]
        if date is not None:
            headers.append((b"date", date.encode("latin-1")))
        return retry_after(status, tuple(headers), lambda: NOW)

    def test_default(self) -> None:
        """1, 2, 4, 8 seconds and so on, without end and without overflow."""
        self.assertEqual([default_delay(count) for count in range(5)], [1.0, 2.0, 4.0, 8.0, 16.0])
        self.assertLess(default_delay(10**6), math.inf)

    def test_seconds(self) -> None:
        """Retry-After as a number of seconds, which need not be a sensible one."""
        self.assertEqual(self.after("0"), 0.0)
        self.assertEqual(self.after(" 120 "), 120.0)
        self.assertEqual(self.after("9" * 10_000), math.inf)

    def test_date(self) -> None:
        """Retry-After as a date, in each of the three forms of RFC 9110 section 5.6.7, and one that has passed."""
        for value in ("Sun, 01 Mar 2026 12:01:00 GMT", "Sunday, 01-Mar-26 12:01:00 GMT", "Sun Mar  1 12:01:00 2026"):
            self.assertEqual(self.after(value), 60.0, value)
        self.assertEqual(self.after("Sun, 01 Mar 2026 11:00:00 GMT"), 0.0)

    def test_clock_of_the_server(self) -> None:
        """The server's own Date is what its date is measured by, not a clock of ours that goes wrong."""
        self.assertEqual(self.after("Sun, 01 Mar 2026 15:00:07 GMT", date="Sun, 01 Mar 2026 15:00:00 GMT"), 7.0)
        self.assertEqual(self.after("Sun, 01 Mar 2026 12:00:07 GMT", date="yesterday"), 7.0)

    def test_other_statuses(self) -> None:
        """Only 429 and 503 are asked."""
        self.assertEqual([status for status in range(600) if self.after("5", status) is not None], [429, 503])

    def test_illegible(self) -> None:
        """What is neither is as if it were not there."""
        for value in ("", "soon", "-5", "1.5", "+5", "1e9", "²", "Sun, 99 Mar 2026", "Sun, 01 Mar 99999999999 12:00:00 GMT"):
            self.assertIsNone(self.after(value), value)
        self.assertIsNone(retry_after(503, (), lambda: NOW))

    def test_check_seconds(self) -> None:
        """What a callable gives must be a time that one can wait."""
        self.assertEqual(check_seconds("retry_delay", 2), 2.0)
        for seconds in (-1, math.inf, math.nan, None, True, "5"):
            self.assertRaises(OptionError, check_seconds, "retry_delay", seconds)
