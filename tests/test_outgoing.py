"""`outgoing`: what a caller gives to be sent becomes frames, or is refused."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.outgoing import outgoing
from twisted_gun.wire.ws_session import BINARY, CLOSE, PING, PONG, TEXT


class OutgoingTests(SynchronousTestCase):
    """Frames as opcodes and payloads."""

    def check(self, *cases: tuple[Any, tuple[int, bytes]]) -> None:
        for given, expected in cases:
            self.assertEqual(outgoing(given), [expected], given)
            self.assertEqual(outgoing([given]), [expected], given)

    def test_messages(self) -> None:
        """Text goes as UTF-8, data as it is."""
        self.check(
            ("", (TEXT, b"")),
            ("grüße", (TEXT, "grüße".encode())),
            (gun.Text("\U0001f600"), (TEXT, b"\xf0\x9f\x98\x80")),
            (b"", (BINARY, b"")),
            (b"a", (BINARY, b"a")),
            (bytearray(b"a"), (BINARY, b"a")),
            (memoryview(b"abc")[1:], (BINARY, b"bc")),
            (gun.Binary(b"a"), (BINARY, b"a")),
            (gun.Binary(bytearray(b"a")), (BINARY, b"a")),  # type: ignore[arg-type]
        )

    def test_payloads_are_bytes(self) -> None:
        """Whatever was given, the payload is bytes of its own, which a later change does not reach."""
        for given in (bytearray(b"abc"), memoryview(bytearray(b"abc")), gun.Binary(bytearray(b"abc")), gun.Ping(bytearray(b"abc"))):  # type: ignore[arg-type]
            ((_, payload),) = outgoing(given)
            self.assertIs(type(payload), bytes)

    def test_control_frames(self) -> None:
        """Pings and pongs carry up to 125 bytes."""
        self.check(
            (gun.Ping(), (PING, b"")),
            (gun.Pong(), (PONG, b"")),
            (gun.Ping(b"x" * 125), (PING, b"x" * 125)),
            (gun.Pong(b"x" * 125), (PONG, b"x" * 125)),
        )
        for kind in (gun.Ping, gun.Pong):
            self.assertRaises(gun.InvalidRequest, outgoing, kind(b"x" * 126))
            self.assertRaises(gun.InvalidRequest, outgoing, kind("text"))  # type: ignore[arg-type]

    def test_close(self) -> None:
        """A Close is empty, or carries its code and its reason: together up to 125 bytes."""
        self.check(
            (gun.Close(), (CLOSE, b"")),
            (gun.Close(1000), (CLOSE, b"\x03\xe8")),
            (gun.Close(4999, "grüße"), (CLOSE, b"\x13\x87" + "grüße".encode())),
            (gun.Close(1000, "r" * 123), (CLOSE, b"\x03\xe8" + b"r" * 123)),
        )
        self.assertRaises(gun.InvalidRequest, outgoing, gun.Close(1000, "r" * 124))
        self.assertRaises(gun.InvalidRequest, outgoing, gun.Close(1000, "ü" * 62))
        self.assertRaises(gun.InvalidRequest, outgoing, gun.Close(None, "reason"))

    def test_close_codes(self) -> None:
        """Of all codes those may be sent that RFC 6455 section 7.4 and the registry give a meaning, and the application's own."""
        allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
        for code in (*range(-1, 5100), 1 << 16, 1 << 20):
            if code in allowed:
                self.assertEqual(outgoing(gun.Close(code)), [(CLOSE, code.to_bytes(2, "big"))])
            else:
                self.assertRaises(gun.InvalidRequest, outgoing, gun.Close(code))

    def test_wrong_codes(self) -> None:
        """A code is a whole number, and nothing that only looks like one."""
        for code in ("1000", 1000.0, True, b"\x03\xe8"):
            self.assertRaises(gun.InvalidRequest, outgoing, gun.Close(code))  # type: ignore[arg-type]

    def test_surrogates(self) -> None:
        """Text that UTF-8 cannot have is refused, wherever it stands."""
        for text in ("\ud800", "a\udfffb", "\ud83d"):
            for given in (text, gun.Text(text), gun.Close(1000, text)):
                self.assertRaises(gun.InvalidRequest, outgoing, given)

    def test_lists(self) -> None:
        """Any iterable is sent in its order; it is read to its end before anything else."""
        expected = [(TEXT, b"a"), (BINARY, b"b"), (PING, b"")]
        for given in (["a", b"b", gun.Ping()], ("a", b"b", gun.Ping()), iter(["a", b"b", gun.Ping()])):
            self.assertEqual(outgoing(given), expected)
        self.assertEqual(outgoing([]), [])

    def test_kinds(self) -> None:
        """Subclasses are sent as what they are made of; anything else is refused, and named."""

        class MyText(str):
            pass

        class MyBytes(bytes):
            pass

        self.check((MyText("a"), (TEXT, b"a")), (MyBytes(b"a"), (BINARY, b"a")))
        for wrong in (7, None, 1.5, object(), gun.Text, [7], [["a"]], {1: 2}, gun.Text(b"a"), gun.Text(7), gun.Binary("a"), gun.Binary(7)):  # type: ignore[arg-type]
            self.assertRaises(gun.InvalidRequest, outgoing, wrong)
        with self.assertRaisesRegex(gun.InvalidRequest, "NoneType"):
            outgoing(None)
