"""Masks (RFC 6455 section 5.3): that they cannot be foretold, and that all ways of applying them are one."""

from __future__ import annotations

import os
import sys
from collections import Counter
from importlib.util import find_spec
from types import ModuleType
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.wire import masking
from twisted_gun.wire.masking import MaskKeys, mask, mask_in_python

KEYS = 10_000
#: Of the chi-square distribution with 255 degrees of freedom: what is above happens once in a million times.
CHI_SQUARE = 376.0


def plainly(data: bytes, key: bytes) -> bytes:
    """Section 5.3, word for word: "octet i of the transformed data is the XOR of octet i with octet i modulo 4 of the masking key"."""
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


class KeyTests(SynchronousTestCase):
    """The keys."""

    def test_distinct(self) -> None:
        """Of 10,000 hardly any two are the same, whoever draws them."""
        for draw in (MaskKeys().take, lambda: MaskKeys().take()):
            keys = {draw() for _ in range(KEYS)}
            self.assertEqual({len(key) for key in keys}, {4})
            # chance alone makes one pair in about 86 runs
            self.assertGreaterEqual(len(keys), KEYS - 4)

    def test_chi_square(self) -> None:
        """Every byte of a key has every value equally often, and so has what one key changes of the key before."""
        keys = MaskKeys()
        drawn = [keys.take() for _ in range(KEYS)]
        changes = [plainly(key, before) for before, key in zip(drawn, drawn[1:] + drawn[:1], strict=True)]
        for sample in (drawn, changes):
            for turn in range(4):
                counts = Counter(key[turn] for key in sample)
                expected = KEYS / 256
                statistic = sum((counts[value] - expected) ** 2 / expected for value in range(256))
                self.assertLess(statistic, CHI_SQUARE)

    def test_source(self) -> None:
        """They come from the system's randomness, each byte of it used once."""
        drawn: list[bytes] = []

        def urandom(size: int) -> bytes:
            drawn.append(bytes((len(drawn) + at) % 256 for at in range(size)))
            return drawn[-1]

        self.patch(os, "urandom", urandom)
        keys = MaskKeys()
        taken = b"".join(keys.take() for _ in range(3000))
        self.assertTrue(b"".join(drawn).startswith(taken))


class MaskTests(SynchronousTestCase):
    """Applying them."""

    def test_sizes(self) -> None:
        """Data of every size up to some thousand, by the small way and by the large one."""
        data = bytes(number * 31 % 256 for number in range(2000))
        for size in (*range(1100), 1998, 1999, 2000):
            key = bytes([size % 256, 0, 255, 7])
            self.assertEqual(mask_in_python(data[:size], key), plainly(data[:size], key), size)

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
    def test_any(self, data: bytes, key: bytes) -> None:
        """Any data and any key; twice is not at all."""
        masked = mask_in_python(data, key)
        self.assertEqual(masked, plainly(data, key))
        self.assertEqual(mask_in_python(masked, key), data)
        self.assertEqual(mask(data, key), masked)

    def test_large(self) -> None:
        """A megabyte, with a byte too many."""
        data = os.urandom(1_000_001)
        self.assertEqual(mask_in_python(data, b"\1\2\3\4")[-5:], plainly(data[-5:], b"\1\2\3\4"))
        self.assertEqual(mask(data, b"\1\2\3\4"), mask_in_python(data, b"\1\2\3\4"))


class FastestTests(SynchronousTestCase):
    """Which way is taken."""

    def test_in_c(self) -> None:
        """Where the extra is installed, what is written in C: it does the same."""
        if find_spec("websockets") is None or find_spec("websockets.speedups") is None:
            self.assertIs(mask, mask_in_python)
            return
        from websockets.speedups import apply_mask

        self.assertIs(mask, apply_mask)
        for size in (*range(100), 767, 768, 769, 10_000):
            data = os.urandom(size)
            self.assertEqual(apply_mask(data, b"\1\2\3\4"), mask_in_python(data, b"\1\2\3\4"))

    def test_chosen(self) -> None:
        """That, where it can be imported, and Python where not."""
        speedups = ModuleType("websockets.speedups")
        speedups.apply_mask = plainly  # type: ignore[attr-defined]
        with mock.patch.dict(sys.modules, {"websockets": ModuleType("websockets"), "websockets.speedups": speedups}):
            self.assertIs(masking._fastest(), plainly)
        with mock.patch.dict(sys.modules, {"websockets.speedups": None}):
            self.assertIs(masking._fastest(), mask_in_python)
