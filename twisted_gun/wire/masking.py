"""
Masks of websocket frames (RFC 6455 section 5.3): the keys, and how they are applied.

With the extra ``twisted_gun[speed]`` the work is done in C; without it in Python, in one of two ways by size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

__all__ = ["MaskKeys", "mask", "mask_in_python"]

_KEYS_AT_A_TIME: Final = 4096
#: Up to this many bytes one large number is faster than four translations.
_SMALL: Final = 768
_TABLES: list[bytes] = []


class MaskKeys:
    """
    Keys of four bytes, drawn from the system's randomness many at a time.

    RFC 6455 section 5.3: "the masking key MUST be derived from a strong source of entropy".
    """

    __slots__ = ("_at", "_drawn")

    def __init__(self) -> None:
        self._drawn = b""
        self._at = 0

    def take(self) -> bytes:
        """A key that is used once."""
        at = self._at
        if at == len(self._drawn):
            self._drawn, at = os.urandom(_KEYS_AT_A_TIME), 0
        self._at = at + 4
        return self._drawn[at : at + 4]


def mask_in_python(data: bytes, key: bytes) -> bytes:
    """`data`, each byte of which is combined by exclusive or with the byte of `key` whose turn it is."""
    size = len(data)
    if size <= _SMALL:
        keys = (key * ((size >> 2) + 1))[:size]
        return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")
    if not _TABLES:
        _TABLES.extend(bytes([byte ^ number for byte in range(256)]) for number in range(256))
    masked = bytearray(size)
    for turn in range(4):
        masked[turn::4] = data[turn::4].translate(_TABLES[key[turn]])
    return bytes(masked)


def _fastest() -> Callable[[bytes, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        return mask_in_python
    in_c: Callable[[bytes, bytes], bytes] = apply_mask
    return in_c


mask = _fastest()
