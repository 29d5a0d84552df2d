"""
A core of websockets in the hands of a test: `WsConversation`, and `WsCase` for what both cores do.

To the watch that `Conversation` keeps comes that of a strict server over every frame written: masked, whole, none after a Close, and
what is compressed can be inflated. A test of both cores is a subclass of `WsCase` with `core`, ours, and makes its conversations by
`self.talk`; test_websocket_reference.py runs it again with the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.events import Close, Frame, Ws
from twisted_gun.options import WsOptions
from twisted_gun.testing.websocket_frames import RSV1, ClientFrame, Deflate, Messages, Opcode, content, server_frame
from twisted_gun.wire.deflate import Agreed
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.steps import Close as CloseStep
from twisted_gun.wire.steps import Step, Steps, Write
from twisted_gun.wire.websocket import Websocket

from .conversation import PROTOCOL_VIOLATION, A, Conversation, outline

__all__ = [
    "RSV1",
    "Opcode",
    "WsCase",
    "WsConversation",
    "agreed",
    "close",
    "compression",
    "fragments",
    "ping",
    "pong",
    "server_frame",
    "text",
]


def text(said: str, **more: Any) -> bytes:
    """A text message as a server sends it; see `server_frame`."""
    return server_frame(Opcode.TEXT, said.encode(), **more)


def ping(data: bytes = b"") -> bytes:
    """A ping of the server's."""
    return server_frame(Opcode.PING, data)


def pong(data: bytes = b"") -> bytes:
    """A pong of the server's."""
    return server_frame(Opcode.PONG, data)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A Close frame of the server's, whatever the code."""
    return server_frame(Opcode.CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def fragments(opcode: int, *payloads: bytes, rsv: int = 0, between: bytes = b"") -> bytes:
    """A message in as many frames as there are payloads, with `between` between them."""
    last = len(payloads) - 1
    return between.join(
        server_frame(opcode if at == 0 else Opcode.CONTINUATION, payload, fin=at == last, rsv=0 if at else rsv)
        for at, payload in enumerate(payloads)
    )


def agreed(**changed: Any) -> Agreed:
    """What was agreed on of permessage-deflate: the defaults, but for what is `changed`."""
    usual = {
        "client_bits": 15,
        "server_bits": 15,
        "client_takeover": True,
        "server_takeover": True,
        "level": 6,
        "memory_level": 8,
        "threshold": 0,
    }
    return Agreed(**(usual | changed))


def compression(deflate: Agreed) -> Deflate:
    """The server's side of it."""
    parameters = {"server_max_window_bits": str(deflate.server_bits), "client_max_window_bits": str(deflate.client_bits)}
    flags = {"server_no_context_takeover": deflate.server_takeover, "client_no_context_takeover": deflate.client_takeover}
    return Deflate(parameters | {name: "" for name, takeover in flags.items() if not takeover})


class WsConversation(Conversation):
    """
    A core and its peer, of whom `deflate` is the compression; the stream is `A`. What the core has sent is in `sent`, as frames.

    With `silent` False pings and pongs are told.
    """

    def __init__(self, core: Callable[..., Any] = Websocket, *, deflate: Agreed | None = None, silent: bool = True, **options: Any) -> None:
        self.sent: list[Frame] = []
        self.deflate = None if deflate is None else compression(deflate)
        self._server = Messages()
        self._server.deflate = self.deflate
        self._seen = 0
        self._held = False
        self._said = self._closed = False  # whether a Close was sent, and told
        made = core(A, WsOptions(**options), Agreement(protocol=None, deflate=deflate), silent)
        self._converse(made, options.get("flow"))
        self._asked[id(A)] = A
        self._flow[id(A)] = self._usual_flow

    # What a test does.

    def say(self, *frames: Frame | str | bytes) -> Steps:
        """Send these."""
        data = self.core.send([(int(opcode), payload) for opcode, payload in map(content, frames)], self.now)
        return self._did([Write(b"".join(data))] if data else [])

    def ping(self, key: object) -> Steps:
        """Ask the peer for a sign of life."""
        return self._did(self.core.ping(key, self.now))

    def hold(self, stream: Any, held: bool = True) -> Steps:
        self._held = held
        return super().hold(stream, held)

    def lose(self, **how: Any) -> Steps:
        self._held = False
        return super().lose(**how)

    def compressed(self, payload: bytes, opcode: int = Opcode.TEXT) -> bytes:
        """A compressed message of the server's, in one frame."""
        assert self.deflate is not None
        return server_frame(opcode, self.deflate.compress(payload), rsv=RSV1)

    # What a test asks.

    @property
    def raw(self) -> list[ClientFrame]:
        """The frames that the core has sent, as they were on the wire."""
        return self._server.raw

    def newly_sent(self) -> list[Frame]:
        """The frames that the core has sent since the last time this was asked."""
        new = self.sent[self._seen :]
        self._seen = len(self.sent)
        return new

    @property
    def frames(self) -> list[Frame]:
        """The frames that were told."""
        return [step.frame for step in self.steps if isinstance(step, Ws)]

    # What must hold.

    def _did(self, steps: Steps, *, lost: bool = False) -> Steps:
        writes = [step for step in steps if isinstance(step, Write)]
        assert len(writes) <= 1, "more than one write for one call"
        for step in writes:
            assert step.data, "an empty write"
            frames = list(self._server.take(step.data))
            self._said = self._said or any(isinstance(frame, Close) for frame in frames)
            self.sent += frames
            assert not self._server._buffer, "a piece of a frame"
        super()._did(steps, lost=lost)
        assert self.core.closed is self._closed, "the closing handshake is complete with the peer's Close, and only then"
        assert self.core.open is not (self._said or self.over), "it is open until a Close frame was sent or received"
        return steps

    def _check(self, step: Step) -> None:
        super()._check(step)
        if isinstance(step, Ws):
            assert not self._held, f"{step} while it is held"
            self._closed = self._closed or step.fin
            if not step.fin:
                self._flow[id(A)] -= 1
                assert self._flow[id(A)] >= 0, f"{step} beyond its flow"

    @property
    def _takes_more(self) -> bool:
        taken: bool = self.core.open
        return taken


class WsCase(SynchronousTestCase):
    """A test of what `core` does, whichever it is."""

    core: ClassVar[Callable[..., Any]] = Websocket

    def talk(self, **options: Any) -> WsConversation:
        """A conversation; see `WsConversation`."""
        return WsConversation(type(self).core, **options)

    def assert_told(self, data: bytes, *frames: Frame, sent: Iterable[Frame] = (), **options: Any) -> WsConversation:
        """`data` is told as these frames, and answered by `sent`, whole, cut in two anywhere, and a byte at a time; gives the whole."""
        for at in range(len(data) - 1, -1, -1):
            talk = self.talk(**options)
            if at:
                talk.receive(data[:at], data[at:])
            else:
                talk.receive_bytes(data)
            self.assertEqual((talk.frames, talk.sent), ([*frames], [*sent]), f"cut at {at}")
        talk = self.talk(**options)
        talk.receive(data)
        self.assertEqual((talk.frames, talk.sent), ([*frames], [*sent]))
        self.assertFalse([entry for entry in talk.outline if entry[0] != "ws"])
        return talk

    def assert_failed(self, talk: WsConversation, code: int, reason: str = PROTOCOL_VIOLATION, why: object = None) -> None:
        """
        The websocket has failed (RFC 6455 section 7.1.7): its owner is told `reason`, the peer `code`.

        Nothing of the peer's is read any more, and it is given time to end the connection itself.
        """
        self.assertEqual(talk.outline[-1:], [("failed", A, reason)], why)
        self.assertEqual(talk.sent[-1:], [Close(code)], why)
        self.assertEqual(talk.receive(text("more"), ping(), close(1000)), [], why)
        self.assertEqual(outline(talk.at(talk.now + 15.0)), [("close", reason)], why)
        step = talk.steps[-1]
        assert isinstance(step, CloseStep)
        self.assertFalse(step.abort, "aborted, the Close frame might never be read")

    def assert_violation(
        self, data: bytes, code: int = 1002, reason: str = PROTOCOL_VIOLATION, *, cut: bool = True, **options: Any
    ) -> None:
        """`data` fails the websocket, whole and a byte at a time."""
        for pieces in ([data], [data[at : at + 1] for at in range(len(data))])[: 1 + cut]:
            talk = self.talk(**options)
            talk.receive(*pieces)
            self.assert_failed(talk, code, reason, data[:40])
