"""
Header compression for HTTP/2: RFC 7541.

A `Decoder` for the field sections that the peer sends and an `Encoder` for ours, one of each to a connection. The static table and
the Huffman code are those of the hpack package; the dynamic tables are here. Whole sections that changed no table are remembered:
one connection sees the same few again and again. It knows nothing of frames, of pseudo-fields, or of what a field may hold.
"""

from __future__ import annotations

from collections import deque
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE
from hpack.table import HeaderTable

from twisted_gun.errors import LimitReached

if TYPE_CHECKING:
    from twisted_gun.events import Headers

__all__ = ["CompressionError", "Decoder", "Encoder"]

#: The size in bytes of a dynamic table before anybody said otherwise: RFC 9113 section 6.5.2.
DEFAULT_TABLE_SIZE = 4096

#: RFC 7541 section 2.3.3: higher indices are those of the dynamic table.
LAST_STATIC = 61

#: RFC 7541 section 4.1: "The additional 32 octets account for an estimated overhead".
OVERHEAD = 32

#: No integer is bigger; none has more than five bytes behind its prefix.
MOST_OF_AN_INTEGER = 1 << 31

#: How many sections are remembered, and of how many bytes each, encoded.
MOST_REMEMBERED = 256
LONGEST_REMEMBERED = 1024

#: Strings, and literals, up to this size in bytes are remembered with what stands for them.
SHORT = 64

#: A longer value, in bytes, would push too much else out of the encoder's table.
LONGEST_INDEXED = 1024

#: RFC 7541 section 7.1.3: "an encoder might choose not to index values for header fields that are considered to be highly
#: valuable or sensitive to recovery".
SECRET = frozenset({b"authorization", b"proxy-authorization"})

#: A cookie shorter than this, in bytes, could be guessed: it is a secret as well.
SHORT_COOKIE = 20

#: This differs from request to request.
CHANGING = frozenset({b"content-length"})

_Field = tuple[bytes, bytes]
_Entry = tuple[_Field, int]  # with its size: RFC 7541 section 4.1


class CompressionError(Exception):
    """The peer's field section cannot be decoded; the tables no longer agree and the connection is lost (COMPRESSION_ERROR)."""


class Decoder:
    """
    Decodes the peer's field sections.

    `table_size` is the SETTINGS_HEADER_TABLE_SIZE we advertised, in bytes. Where it is less than 4096, the first section has to
    begin with a table size update (RFC 9113 section 4.3.1). A decoded section may have `max_count` fields, and `max_size` bytes
    counted as in RFC 9113 section 6.5.2: names and values and 32 for each field.
    """

    def __init__(self, table_size: int = DEFAULT_TABLE_SIZE, max_size: int = 65536, max_count: int = 256) -> None:
        self._table = _Table(min(table_size, DEFAULT_TABLE_SIZE))
        self._table_size = table_size
        self._update_due = table_size < DEFAULT_TABLE_SIZE
        self._limits = {"max_header_list_size": max_size, "max_header_count": max_count}
        self._max_size = max_size
        self._max_count = max_count
        self._remembered: dict[bytes, Headers] = {}  # while the table stays as it is
        self._constant: dict[bytes, tuple[Headers, tuple[_Entry, ...], int]] = {}  # with what is added to the table, and its size
        self._looked_up = False  # whether the section names anything in the dynamic table

    @property
    def version(self) -> int:
        """Grows with every change of the dynamic table: the same bytes at the same version are the same fields."""
        return self._table.version

    def decode(self, block: bytes) -> Headers:
        """
        The fields of a whole section, as (name, value) pairs; the same tuple again for the same bytes where nothing changed.

        Raises `CompressionError`, after which the decoder is of no use; or `LimitReached`, with this section lost and the decoder as
        good as before.
        """
        constant = self._constant.get(block)
        if constant is not None:
            fields, entries, size = constant
            if entries:
                self._remembered.clear()
                self._table.extend(entries, size)
            return fields
        known = self._remembered.get(block)
        if known is not None:
            return known
        version, self._looked_up = self._table.version, False
        start = self._size_updates(block)
        fields, beyond = self._read(block, start)
        added = self._table.version - version
        if added:
            self._remembered.clear()
        if beyond:
            raise LimitReached(beyond, self._limits[beyond])
        if not start and not self._looked_up:
            self._remember_constant(block, fields, added)
        elif not added:
            _remember(self._remembered, block, fields, len(block))
        return fields

    def _remember_constant(self, block: bytes, fields: Headers, added: int) -> None:
        """Of a section that names nothing in the dynamic table the fields are always the same, and so is what it adds to the table."""
        entries = tuple(self._table.entries)[-added:] if added else ()
        if len(entries) == added:  # else it is too much for the table
            _remember(self._constant, block, (fields, entries, sum(size for _, size in entries)), len(block))

    def _size_updates(self, block: bytes) -> int:
        """Obeys the table size updates that a section begins with; returns where they end."""
        at = seen = 0
        while at < len(block) and block[at] & 0xE0 == 0x20:
            # "at most two dynamic table size updates": RFC 7541 section 4.2.
            seen += 1
            if seen > 2:
                raise CompressionError("more than two table size updates")
            size, at = _prefixed_integer(block, at, 0x1F)
            if size > self._table_size:
                raise CompressionError(f"table size update to {size}, beyond the {self._table_size} allowed")
            self._table.resize(size)
            self._constant.clear()
            self._update_due = False
        if self._update_due:
            raise CompressionError(f"no table size update, with no more than {self._table_size} allowed")
        return at

    def _read(self, block: bytes, at: int) -> tuple[Headers, str]:
        """The fields from `at` on, and the name of the first limit that they exceed; what is beyond it is decoded, but not kept."""
        fields: list[_Field] = []
        entries, end, max_size, max_count = self._table.entries, len(block), self._max_size, self._max_count
        total, beyond = 0, ""
        try:
            while at < end:
                first = block[at]
                if 0x80 < first < 0xBE:
                    field, size = _STATIC[first - 0x80]
                    at += 1
                elif 0xBE <= first < 0xFF:
                    field, size = entries[0xBD - first]
                    self._looked_up = True
                    at += 1
                else:
                    (field, size), at = self._rare(block, at, first)
                total += size
                if total > max_size or len(fields) == max_count:
                    beyond = beyond or ("max_header_list_size" if total > max_size else "max_header_count")
                else:
                    fields.append(field)
        except IndexError:
            raise CompressionError("index beyond the tables" if block[at] >= 0x80 else "truncated in a literal") from None
        return tuple(fields), beyond

    def _rare(self, block: bytes, at: int, first: int) -> tuple[_Entry, int]:
        """The field at `at`, and where it ends; `first` is its first byte, any but a short index. RFC 7541 section 6."""
        if first >= 0x80:
            index, at = _prefixed_integer(block, at, 0x7F)
            return self._entry(index), at
        if 0x20 <= first < 0x40:
            # "This dynamic table size update MUST occur at the beginning of the first header block": RFC 7541 section 4.2.
            raise CompressionError("table size update behind a field")
        if first < 0x10 or 0x40 <= first < 0x7E:
            value_at = at + 1
            if first in (0x00, 0x40):
                value_at += 1 + (block[value_at] & 0x7F)
            elif first == 0x0F:
                if block[value_at] > LAST_STATIC - 0x0F:
                    return self._long_literal(block, at, first)
                value_at += 1
            end = value_at + 1 + (block[value_at] & 0x7F)
            if end <= len(block) and end - at <= SHORT:
                entry = _short_literal(block[at:end])
                if first >= 0x40:
                    self._table.add(entry)
                return entry, end
        return self._long_literal(block, at, first)

    def _long_literal(self, block: bytes, at: int, first: int) -> tuple[_Entry, int]:
        index, at = _prefixed_integer(block, at, 0x3F if first >= 0x40 else 0x0F)
        name, at = (self._entry(index)[0][0], at) if index else _string(block, at)
        value, at = _string(block, at)
        entry = (name, value), len(name) + len(value) + OVERHEAD
        if first >= 0x40:
            self._table.add(entry)
        return entry, at

    def _entry(self, index: int) -> _Entry:
        if index <= LAST_STATIC:
            # "The index value of 0 is not used. It MUST be treated as a decoding error": RFC 7541 section 6.1.
            if not index:
                raise CompressionError("index 0")
            return _STATIC[index]
        if index > LAST_STATIC + len(self._table.entries):
            raise CompressionError("index beyond the tables")
        self._looked_up = True
        return self._table.entries[LAST_STATIC - index]


class Encoder:
    """
    Encodes our field sections.

    `most` is how many bytes of the peer's table are used at most, whatever it allows. Its table has 4096 until `resize`.
    """

    def __init__(self, most: int = DEFAULT_TABLE_SIZE) -> None:
        self._most = most
        self._allowed = DEFAULT_TABLE_SIZE
        self._smallest: int | None = None  # since the last section; None where no update is due
        self._table = _SearchedTable(DEFAULT_TABLE_SIZE)
        self._remembered_starts: dict[tuple[bytes, bytes, bytes], bytes] = {}
        self._remembered: dict[Headers, bytes] = {}
        self.resize(DEFAULT_TABLE_SIZE)

    @property
    def version(self) -> int:
        """Grows with every change of the dynamic table: what left it as it was may be written again as it is."""
        return self._table.version

    def resize(self, size: int) -> None:
        """Obeys the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes: the next section begins with the updates that are needed."""
        limit = min(size, self._most)
        # After a reduction a section has to "start with a conformant Dynamic Table Size Update instruction" (RFC 9113 section
        # 4.3.1), even where we never used as much.
        if limit != self._table.limit or size < self._allowed:
            self._smallest = limit if self._smallest is None else min(limit, self._smallest)
            self._table.resize(limit)
            self._changed()
        self._allowed = size

    def encode(self, method: bytes, scheme: bytes, authority: bytes, path: bytes, fields: Headers) -> bytes:
        """A request: its pseudo-fields in this order, then `fields`, which have lower-case names."""
        updates = b"" if self._smallest is None else self._size_updates()
        key = method, scheme, authority
        start = self._remembered_starts.get(key)
        if start is None:
            pseudo = ((b":method", method), (b":scheme", scheme), (b":authority", authority))
            start = self._encoded(self._remembered_starts, key, pseudo)
        rest = self._remembered.get(fields)
        if rest is None:
            rest = self._encoded(self._remembered, fields, fields)
        if path in _STATIC_PATHS:
            return b"".join((updates, start, _STATIC_PATHS[path], rest))
        length = len(path)
        head = _PATH_HEADS[length] if length < 127 else b"\x04" + _integer(length, 0x00, 0x7F)
        return b"".join((updates, start, head, path, rest))

    def encode_fields(self, fields: Headers) -> bytes:
        """Any other section: trailers, or a request whose pseudo-fields the caller gives."""
        updates = b"" if self._smallest is None else self._size_updates()
        known = self._remembered.get(fields)
        return updates + (self._encoded(self._remembered, fields, fields) if known is None else known)

    def _encoded(self, remembered: dict[Any, bytes], key: object, fields: Headers) -> bytes:
        version = self._table.version
        block = b"".join([self._field(field) for field in fields])
        if self._table.version == version:
            _remember(remembered, key, block, len(block))
        else:
            self._forget()
        return block

    def _field(self, field: _Field) -> bytes:
        name, value = field
        if name in SECRET or (name == b"cookie" and len(value) < SHORT_COOKIE):
            # 0x10 is "never indexed": no intermediary may put it into a table either. RFC 7541 section 6.2.3.
            return self._name(name, 0x10, 0x0F) + _plain(value)
        known = _STATIC_FIELDS.get(field)
        if known is not None:
            return known
        table = self._table
        number = table.numbers.get(field)
        if number is not None:
            return _integer(LAST_STATIC + 1 + table.added - number, 0x80, 0x7F)
        size = len(name) + len(value) + OVERHEAD
        if name == b":path":
            return b"\x04" + _plain(value)
        if name in CHANGING or len(value) > LONGEST_INDEXED or size > table.limit:
            return self._name(name, 0x00, 0x0F) + _text(value)
        # The name's index is of the table as it was before.
        start = self._name(name, 0x40, 0x3F)
        table.add((field, size))
        return start + _text(value)

    def _name(self, name: bytes, form: int, mask: int) -> bytes:
        """The beginning of a literal in this `form`: an index for its name, or the name itself."""
        index = _STATIC_NAMES.get(name)
        if index is None:
            number = self._table.names.get(name)
            if number is None:
                return _BYTES[form] + _text(name)
            index = LAST_STATIC + 1 + self._table.added - number
        return _integer(index, form, mask)

    def _size_updates(self) -> bytes:
        """
        What has to stand at the beginning of the next section.

        RFC 7541 section 4.2: "the smallest maximum table size that occurs in that interval MUST be signaled", then the final one.
        """
        smallest, limit = self._smallest or 0, self._table.limit
        self._smallest = None
        self._table.version += 1
        return b"".join([_integer(size, 0x20, 0x1F) for size in sorted({smallest, limit})])

    def _changed(self) -> None:
        self._table.version += 1
        self._forget()

    def _forget(self) -> None:
        self._remembered_starts.clear()
        self._remembered.clear()


class _Table:
    """A dynamic table, RFC 7541 section 2.3.2: the newest entry is the last."""

    __slots__ = ("entries", "limit", "size", "version")

    def __init__(self, limit: int) -> None:
        self.entries: deque[_Entry] = deque()
        self.limit = limit
        self.size = 0
        self.version = 0

    def add(self, entry: _Entry) -> None:
        """RFC 7541 section 4.4: what does not fit empties the table, and "is not an error"."""
        self.version += 1
        room = self.limit - entry[1]
        if self.size > room:
            self.evict(max(room, 0))
        if room >= 0:
            self.entries.append(entry)
            self.size += entry[1]

    def extend(self, entries: tuple[_Entry, ...], size: int) -> None:
        """Adds `entries` of together `size` bytes, which fit in the table."""
        self.version += len(entries)
        if self.size > self.limit - size:
            self.evict(self.limit - size)
        self.entries += entries
        self.size += size

    def resize(self, limit: int) -> None:
        if limit != self.limit:
            self.version += 1
            self.limit = limit
            self.evict(limit)

    def evict(self, most: int) -> None:
        """Takes out the oldest until no more than `most` bytes are in use."""
        while self.size > most:
            self.size -= self.entries.popleft()[1]


class _SearchedTable(_Table):
    """The encoder's: a field, or a name, is found by the number of its latest entry; entries are numbered from 1 as they come."""

    __slots__ = ("added", "names", "numbers")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.added = 0
        self.numbers: dict[_Field, int] = {}
        self.names: dict[bytes, int] = {}

    def add(self, entry: _Entry) -> None:
        """As above; the encoder gives nothing that is in it already, or does not fit."""
        super().add(entry)
        self.added += 1
        field = entry[0]
        self.numbers[field] = self.names[field[0]] = self.added

    def evict(self, most: int) -> None:
        while self.size > most:
            number = self.added - len(self.entries) + 1
            field, size = self.entries.popleft()
            self.size -= size
            del self.numbers[field]
            if self.names[field[0]] == number:
                del self.names[field[0]]


def _remember(remembered: dict[Any, Any], key: object, value: object, size: int) -> None:
    if size <= LONGEST_REMEMBERED:
        if len(remembered) >= MOST_REMEMBERED:
            remembered.clear()
        remembered[key] = value


# Integers and strings: RFC 7541 section 5.


def _prefixed_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer whose prefix is in the byte at `at`, and where it ends."""
    value, at = block[at] & mask, at + 1
    if value < mask:
        return value, at
    for shift, byte in enumerate(block[at : at + 5]):
        value += (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value > MOST_OF_AN_INTEGER:
                break
            return value, at + shift + 1
    else:
        if len(block) < at + 5:
            raise CompressionError("truncated in an integer")
    # "Integer encodings that exceed implementation limits -- in value or octet length -- MUST be treated as decoding errors."
    raise CompressionError("an integer is too big")


def _integer(value: int, form: int, mask: int) -> bytes:
    if value < mask:
        return _BYTES[form | value]
    encoded = bytearray((form | mask,))
    value -= mask
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """The string whose length stands at `at`, and where it ends."""
    if at >= len(block):
        raise CompressionError("truncated before a string")
    length, start = _prefixed_integer(block, at, 0x7F)
    end = start + length
    if end > len(block):
        raise CompressionError("truncated in a string")
    if block[at] < 0x80:
        return block[start:end], end
    return (_from_short_huffman if length <= SHORT else _from_huffman)(block[start:end]), end


@lru_cache(maxsize=1024)
def _short_literal(literal: bytes) -> _Entry:
    """A whole literal with a new name or a static one: the table has no part in it, and so it can be remembered."""
    index, at = _prefixed_integer(literal, 0, 0x3F if literal[0] >= 0x40 else 0x0F)
    name, at = (_STATIC[index][0][0], at) if index else _string(literal, at)
    value, _ = _string(literal, at)
    return (name, value), len(name) + len(value) + OVERHEAD


def _text(text: bytes) -> bytes:
    """A string, in the shorter form."""
    return _short_text(text) if len(text) <= SHORT else _any_text(text)


def _any_text(text: bytes) -> bytes:
    bits = "".join([_CODES[byte] for byte in text])
    size = (len(bits) + 7) // 8
    if size >= len(text):
        return _plain(text)
    # "padding ... the most significant bits of the code for the EOS": ones.
    return _integer(size, 0x80, 0x7F) + int(bits + "1" * (-len(bits) % 8), 2).to_bytes(size, "big")


def _plain(text: bytes) -> bytes:
    return _integer(len(text), 0x00, 0x7F) + text


def _from_huffman(text: bytes) -> bytes:
    decoded = []
    row = _START
    for byte in text:
        row, symbols = row[byte] or _step(row, byte)
        decoded.append(symbols)
    if row[_MAY_END]:
        return b"".join(decoded)
    # "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error", and so must a padding that
    # is longer than 7 bits or not of ones.
    raise CompressionError("an end-of-string symbol" if row is _DEAD else "a bad padding of a Huffman string")


# The hpack package's automaton takes four bits at a time; here it takes eight. A state is a row: for each byte the next row and
# the symbols that were completed (None until it is met: most never are), then whether a string may end here, then its number.

_MAY_END = 256
_NUMBER = 257


def _step(row: list[Any], byte: int) -> tuple[list[Any], bytes]:
    state, symbols = row[_NUMBER], b""
    step = _DEAD, symbols
    for nibble in (byte >> 4, byte & 0x0F):
        state, flags, symbol = HUFFMAN_TABLE[state * 16 + nibble]
        if flags & HUFFMAN_FAIL:
            break
        if flags & HUFFMAN_EMIT_SYMBOL:
            symbols += _BYTES[symbol]
    else:
        step = _row(state), symbols
    row[byte] = step
    return step


@cache
def _row(state: int) -> list[Any]:
    return [None] * 256 + [state in _ENDS, state]


_BYTES = tuple(bytes((value,)) for value in range(256))

#: The static table by index; 0 is not used.
_STATIC: tuple[_Entry, ...] = (
    ((b"", b""), 0),
    *((field, len(field[0]) + len(field[1]) + OVERHEAD) for field in HeaderTable.STATIC_TABLE),
)

#: What stands for a static field, and the lowest index of each name.
_STATIC_FIELDS = {field: _BYTES[0x80 + index] for index, (field, _) in enumerate(_STATIC) if index}
_STATIC_NAMES = {_STATIC[index][0][0]: index for index in range(LAST_STATIC, 0, -1)}
_STATIC_PATHS = {path: known for (name, path), known in _STATIC_FIELDS.items() if name == b":path"}

#: ":path" as a literal without indexing, and a length.
_PATH_HEADS = tuple(b"\x04" + _BYTES[length] for length in range(127))

_CODES = [f"{code:0{length}b}" for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)]

_ENDS = {0} | {state for state, flags, _ in HUFFMAN_TABLE if flags & HUFFMAN_COMPLETE}
_START = _row(0)
_DEAD: list[Any] = [False] * 258
_DEAD[:256] = [(_DEAD, b"")] * 256

_short_text = lru_cache(maxsize=1024)(_any_text)
_from_short_huffman = lru_cache(maxsize=1024)(_from_huffman)
