"""`twisted_gun.wire.frames`: frames as bytes, compared with those of the hyperframe package."""

from __future__ import annotations

from typing import Any

from hyperframe import frame as hyperframe
from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.wire import frames
from twisted_gun.wire.frames import LARGEST, PREFACE, ErrorCode, FrameType, Setting, code_name


def parsed(data: bytes) -> Any:
    """The only frame in `data`, as hyperframe reads it."""
    found, length = hyperframe.Frame.parse_frame_header(memoryview(data[:9]), strict=True)
    assert len(data) == 9 + length
    found.parse_body(memoryview(data[9:]))
    return found


class FrameTests(SynchronousTestCase):
    """Each kind of frame we send."""

    def test_settings(self) -> None:
        """SETTINGS hold what they are given, in that order; their acknowledgment is empty."""
        values = [(4, 7), (3, LARGEST), (0xF0F0, 2**32 - 1)]
        self.assertEqual(list(parsed(frames.settings(values)).settings.items()), values)
        self.assertEqual(list(frames.parse_settings(frames.settings(values)[9:])), values)
        ack = parsed(frames.settings_ack())
        self.assertEqual((set(ack.flags), ack.settings, frames.settings([])[9:]), ({"ACK"}, {}, b""))

    def test_ping(self) -> None:
        """PING with its eight bytes, and its answer."""
        for ack in (False, True):
            found = parsed(frames.ping(b"12345678", ack))
            self.assertEqual((found.opaque_data, set(found.flags)), (b"12345678", {"ACK"} if ack else set()))

    def test_others(self) -> None:
        """RST_STREAM, WINDOW_UPDATE and GOAWAY, with the largest numbers there are."""
        reset = parsed(frames.rst_stream(LARGEST, 2**32 - 1))
        update = parsed(frames.window_update(LARGEST, LARGEST))
        away = parsed(frames.goaway(LARGEST, 2**32 - 1, b"why"))
        self.assertEqual((reset.stream_id, reset.error_code), (LARGEST, 2**32 - 1))
        self.assertEqual((update.stream_id, update.window_increment), (LARGEST, LARGEST))
        self.assertEqual((away.last_stream_id, away.error_code, away.additional_data), (LARGEST, 2**32 - 1, b"why"))

    def test_any(self) -> None:
        """Any frame: its header of nine bytes, then what it holds."""
        self.assertEqual(frames.frame(0xFE, 0xFD, 0x01020304, b"abc"), b"\0\0\x03\xfe\xfd\x01\x02\x03\x04abc")
        self.assertEqual(frames.frame(FrameType.DATA, 0, 1, bytes(70_000))[:9], b"\x01\x11\x70\0\0\0\0\0\x01")

    def test_headers(self) -> None:
        """A block is HEADERS, and CONTINUATION where it is longer than a frame; the last one says END_HEADERS, the first END_STREAM."""
        for length in (0, 1, 9, 10, 11, 20, 21, 30, 31):
            for fin in (False, True):
                block = bytes(range(length))
                data, found = frames.header_frames(7, block, fin, 10), []
                while data:
                    end = 9 + int.from_bytes(data[:3], "big")
                    found.append(parsed(data[:end]))
                    data = data[end:]
                self.assertEqual(b"".join(piece.data for piece in found), block)
                self.assertEqual([type(piece).__name__ for piece in found[1:]], ["ContinuationFrame"] * (max(length - 1, 0) // 10))
                self.assertEqual({piece.stream_id for piece in found}, {7})
                self.assertEqual([index for index, piece in enumerate(found) if "END_HEADERS" in piece.flags], [len(found) - 1])
                self.assertEqual([index for index, piece in enumerate(found) if "END_STREAM" in piece.flags], [0] if fin else [])

    def test_preface(self) -> None:
        """RFC 9113 section 3.4: "The client connection preface starts with a sequence of 24 octets"."""
        self.assertEqual(PREFACE.hex(), "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a")


class NameTests(SynchronousTestCase):
    """The RFC's numbers and names."""

    def test_error_codes(self) -> None:
        """RFC 9113 section 7."""
        names = {code.name: code.value for code in ErrorCode}
        self.assertEqual((names["NO_ERROR"], names["ENHANCE_YOUR_CALM"], names["HTTP_1_1_REQUIRED"], len(names)), (0, 0xB, 0xD, 14))
        self.assertEqual((code_name(8), code_name(0xE), code_name(2**32 - 1)), ("CANCEL", "error code 0xe", "error code 0xffffffff"))

    def test_types_and_settings(self) -> None:
        """RFC 9113 sections 6 and 6.5.2, and RFC 8441 section 3."""
        self.assertEqual([kind.value for kind in FrameType], list(range(10)))
        self.assertEqual([setting.value for setting in Setting], [1, 2, 3, 4, 5, 6, 8])
