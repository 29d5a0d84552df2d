"""
How the demo is told: a line for each event, and for whatever else is worth one; and what is to be as it is told.

It knows the terminal, and neither servers nor scenes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TextIO

from twisted.internet.defer import Deferred, FirstError, gatherResults

import twisted_gun as gun
from twisted_gun.progress import is_terminal, size_text

__all__ = ["PATIENCE", "RED", "YELLOW", "NotAsToldError", "Owner", "Teller", "all_of", "describe_frame", "expect", "soon", "text"]

#: How many seconds to wait for what has no timeout of its own.
PATIENCE = 5.0

BOLD, RED, GREEN, YELLOW, CYAN = "1", "31", "32", "33", "36"


class NotAsToldError(Exception):
    """Something went otherwise than the demo says."""


def expect(what: str, seen: object, expected: object) -> None:
    """Raises `NotAsToldError` unless they are equal."""
    if seen != expected:
        raise NotAsToldError(f"{what}: expected {expected!r}, not {seen!r}")


def soon(what: str, awaited: Deferred[Any], reactor: Any) -> Deferred[Any]:
    """`awaited`, which fails with `NotAsToldError` when it takes too long."""

    def late(result: object, seconds: float) -> None:
        raise NotAsToldError(f"{what} has not come within {seconds:g} seconds")

    return awaited.addTimeout(PATIENCE, reactor, late)


async def all_of(asking: list[Deferred[Any]]) -> list[Any]:
    """What comes of all of them; fails as the first that does."""
    try:
        return await gatherResults(asking, consumeErrors=True)
    except FirstError as error:
        reason: Any = error.subFailure.value
        raise reason from error


class Teller:
    """Writes the story: plain lines, in colour where somebody watches."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._colour = is_terminal(out) and not os.environ.get("NO_COLOR")
        self._scenes = 0
        self._unread = self._over = False

    def scene(self, title: str, sentence: str) -> None:
        """Begin a scene; raises BrokenPipeError where nobody reads any more."""
        if self._unread:
            raise BrokenPipeError
        self._scenes += 1
        self._write(f"\n{self._painted(f'{self._scenes}. {title}', BOLD)}\n   {sentence}\n")

    def end(self) -> None:
        """The last word, where all went well."""
        if self._unread:
            raise BrokenPipeError
        self._write(f"\n{self._painted('All went as told.', GREEN)}\n")

    def fail(self, reason: str) -> None:
        """The last word: of what is closed now nothing is told."""
        self.say("FAILED", reason, RED)
        self._over = True

    def say(self, who: str, what: str, colour: str = "") -> None:
        """One line."""
        self._write(f"  {self._painted(f'{who:<9}', colour)} {what}\n")

    def error(self, error: BaseException) -> None:
        """One line for an error that is part of the story."""
        self.say("error", f"{type(error).__name__}: {error}", RED)

    def event(self, event: Any) -> None:
        """One line for an event: its name as Gun has it, and what is in it."""
        colour = {"gun_up": GREEN, "gun_tunnel_up": GREEN, "gun_down": YELLOW}.get(event.told_as, CYAN)
        fin = " (fin)" if getattr(event, "fin", False) else ""
        self.say(event.told_as.removeprefix("gun_"), f"{_DESCRIPTIONS[type(event)](event)}{fin}", colour)

    def _painted(self, what: str, colour: str) -> str:
        return f"\x1b[{colour}m{what}\x1b[0m" if self._colour and colour else what

    def _write(self, what: str) -> None:
        if self._over:
            return
        try:
            self.out.write(what)
            self.out.flush()
        except BrokenPipeError:
            # Not raised here: it would be in a receiver, where nobody expects it. The next scene is not begun.
            self._unread = True


class Owner(gun.Receiver):
    """A connection's owner: tells of its ups and downs, and of tunnels; `down` fires at the first of the downs."""

    def __init__(self, teller: Teller) -> None:
        self.down: Deferred[gun.Down] = Deferred()
        self.ups = 0
        self._tell = teller

    def gun_up(self, event: gun.Up) -> None:
        self.ups += 1
        self._tell.event(event)

    def gun_tunnel_up(self, event: gun.TunnelUp) -> None:
        self._tell.event(event)

    def gun_down(self, event: gun.Down) -> None:
        self._tell.event(event)
        if not self.down.called:
            self.down.callback(event)


def describe_frame(frame: gun.Frame) -> str:
    """A frame of a websocket, in short."""
    return f"Binary, {size_text(len(frame.data))}" if isinstance(frame, gun.Binary) else repr(frame)


def text(value: bytes) -> str:
    """Bytes that should be ASCII, as text."""
    return value.decode("ascii", "backslashreplace")


def _describe_down(event: gun.Down) -> str:
    killed, unprocessed = len(event.killed_streams), len(event.unprocessed_streams)
    return f"{event.reason or 'in good order'}; streams killed: {killed}, certainly not processed: {unprocessed}"


def _describe_data(event: gun.Data) -> str:
    short = f": {text(event.data.strip())}" if len(event.data) <= 80 and event.data.isascii() and event.data else ""
    return f"{size_text(len(event.data))}{short}"


def _describe_headers(event: gun.Inform | gun.Response | gun.Trailers) -> str:
    return ", ".join(f"{text(name)}: {text(value)}" for name, value in event.headers)


def _describe_response(event: gun.Inform | gun.Response) -> str:
    return ", ".join(part for part in (str(event.status), _describe_headers(event)) if part)


def _describe_upgrade(event: gun.Upgrade) -> str:
    answers = (b"sec-websocket-protocol", b"sec-websocket-extensions")  # to what was offered
    chosen = [f"{text(name)}: {text(value)}" for name, value in event.headers if name in answers]
    return ", ".join([*map(text, event.protocols), *chosen])


_DESCRIPTIONS: Mapping[type, Any] = {
    gun.Up: lambda event: f"the protocol is {event.protocol}",
    gun.TunnelUp: lambda event: f"through it, the protocol is {event.protocol}",
    gun.Down: _describe_down,
    gun.Inform: _describe_response,
    gun.Response: _describe_response,
    gun.Data: _describe_data,
    gun.Trailers: _describe_headers,
    gun.Upgrade: _describe_upgrade,
    gun.Ws: lambda event: describe_frame(event.frame),
}
