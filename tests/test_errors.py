"""`twisted_gun.errors`: the tree, what each carries, and what they say."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun import errors
from twisted_gun.errors import (
    ConnectFailed,
    GoAway,
    GunError,
    LimitReached,
    OptionError,
    ProxyFailed,
    StreamReset,
    TimedOut,
    TlsFailed,
    Truncated,
    UpgradeRefused,
)

PARENTS = {
    "GunError": "Exception",
    "OptionError": "GunError ValueError",
    "InvalidRequest": "GunError ValueError",
    "BadState": "GunError",
    "ConnectFailed": "GunError",
    "TlsFailed": "GunError",
    "ProxyFailed": "GunError",
    "UpgradeRefused": "GunError",
    "StreamError": "GunError",
    "StreamReset": "StreamError",
    "StreamRefused": "StreamError",
    "StreamClosed": "StreamError",
    "Truncated": "StreamError",
    "GoAway": "StreamError",
    "ConnectionFailed": "GunError",
    "ProtocolViolation": "ConnectionFailed",
    "LimitReached": "ConnectionFailed",
    "TimedOut": "GunError",
    "ShuttingDown": "GunError",
    "CookieFileError": "GunError ValueError",
}


class TreeTests(SynchronousTestCase):
    """The tree of exceptions."""

    def test_parents(self) -> None:
        """Each is what the API says it is."""
        found = {name: " ".join(base.__name__ for base in getattr(errors, name).__bases__) for name in errors.__all__}
        self.assertEqual(found, PARENTS)

    def test_drawn(self) -> None:
        """The module's docstring draws every one of them."""
        assert errors.__doc__ is not None
        self.assertEqual(set(PARENTS) - set(re.findall(r"\w+", errors.__doc__)), set())

    def test_docstrings(self) -> None:
        """Each says what it means."""
        self.assertEqual([name for name in errors.__all__ if not getattr(errors, name).__doc__], [])


class AttributeTests(SynchronousTestCase):
    """What they carry."""

    def test_option_error(self) -> None:
        """The option's name, what was expected, and what was given."""
        error = OptionError("http_opts.flow", "a whole number", -1)
        self.assertEqual((error.option, str(error)), ("http_opts.flow", "http_opts.flow: expected a whole number, not -1"))

    def test_limit_reached(self) -> None:
        """The option that holds the limit, which the message says how to raise."""
        error = LimitReached("max_header_count", 256)
        self.assertEqual((error.name, error.limit), ("max_header_count", 256))
        self.assertIn("max_header_count = 256", str(error))

    def test_timed_out(self) -> None:
        """The stage and the time, unless the message is given."""
        error = TimedOut("headers", 30.0)
        self.assertEqual((error.stage, error.seconds, str(error)), ("headers", 30.0, "timed out: headers took longer than 30.0 seconds"))
        self.assertEqual(str(TimedOut("up", message="gave up")), "gave up")

    def test_others(self) -> None:
        """Everything given is there, and optional things are None."""
        cause, answer = ValueError("x"), object()
        for error, attributes in (
            (ConnectFailed("m", cause), {"reason": cause}),
            (ConnectFailed("m"), {"reason": None}),
            (TlsFailed("m", "certificate_required"), {"alert": "certificate_required"}),
            (TlsFailed("m"), {"alert": None}),
            (ProxyFailed("m", 407), {"status": 407}),
            (ProxyFailed("m"), {"status": None}),
            (UpgradeRefused("m", answer), {"response": answer}),
            (StreamReset("m", 8), {"code": 8}),
            (Truncated("m", 3, 5), {"received": 3, "expected": 5}),
            (Truncated("m", 3), {"received": 3, "expected": None}),
            (GoAway("m", 2, 7), {"code": 2, "last_stream_id": 7}),
        ):
            self.assertIsInstance(error, GunError)
            self.assertEqual(str(error), "m")
            self.assertEqual({name: getattr(error, name) for name in attributes}, attributes)
