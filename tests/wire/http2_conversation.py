"""
A core of HTTP/2 in the hands of a test: `Http2Conversation`, with `talk.peer` at the other end, and `Http2Case` for what both cores do.

To the watch that `Conversation` keeps comes that of `Peer`, over every frame written. A test of both cores is a subclass of `Http2Case`
with `core`, ours, and makes its conversations by `self.talk`; test_http2_reference.py runs it again with the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from twisted_gun.errors import GoAway, ShuttingDown, StreamClosed, StreamRefused, Truncated, UpgradeRefused
from twisted_gun.events import Push
from twisted_gun.options import Http2Options
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.steps import Close, Pause, Resume, Step, Steps, StreamFailed, Write

from .conversation import Conversation, Key
from .http2_peer import Frame, Peer

__all__ = ["Http2Case", "Http2Conversation", "pushed"]


class Http2Conversation(Conversation):
    """
    A core and its peer; streams have the identifiers 1, 3, 5 in the order they are asked.

    Where `begun`, the settings of both sides are sent and acknowledged before the test begins, and are not in `steps`. `settings` are
    those of the peer.
    """

    def __init__(
        self,
        core: Callable[..., Any] = Http2,
        *,
        begun: bool = True,
        settings: Mapping[str, int] | None = None,
        scheme: bytes = b"https",
        **options: Any,
    ) -> None:
        self.peer = Peer()
        self._promises: dict[int, float] = {}  # what flow a stream's pushes have
        self._seen = 0
        self._converse(core(Http2Options(**options), scheme, self._promised), options.get("flow"))
        if begun:
            self.receive(self.peer.settings(**(settings or {})), self.peer.settings_ack())
            self.newly_sent()
            self.steps.clear()

    def ping(self, ping: object) -> Steps:
        """Ask the peer for a sign of life."""
        return self._did(self.core.ping(ping, self.now))

    def receive(self, *pieces: bytes) -> Steps:
        """The peer sends these."""
        steps = []
        for piece in pieces:
            self.peer.sent(piece)
            steps += super().receive(piece)
            self.peer.heard()
        return steps

    def newly_sent(self) -> list[Frame]:
        """The frames that the core has written since the last time this was asked."""
        new = self.peer.received[self._seen :]
        self._seen = len(self.peer.received)
        return new

    @property
    def sent(self) -> list[Frame]:
        """All frames the core has written, from the first."""
        return self.peer.received

    # What must hold.

    def _promised(self, parent: Any, method: bytes) -> Key:
        return Key(f"pushed on {parent} by {method.decode()}")

    def _did(self, steps: Steps, *, lost: bool = False) -> Steps:
        for step in steps:
            if isinstance(step, Write):
                assert step.data, "an empty write"
                self.peer.read(step.data)
            # What has arrived is told before its stream, or the connection, fails, whatever flow says: there is no later.
            if isinstance(step, StreamFailed):
                self._flow[id(step.stream)] = float("inf")
            elif isinstance(step, Close) and step.reason is not None:
                self._flow = dict.fromkeys(self._flow, float("inf"))
        assert sum(isinstance(step, Write) for step in steps) <= 1, "more than one write for one call"
        return super()._did(steps, lost=lost)

    def _check(self, step: Step) -> None:
        assert not isinstance(step, (Pause, Resume)), f"{step}: HTTP/2 withholds windows, it never stops reading"
        super()._check(step)
        if isinstance(step, Push):
            key = id(step.pushed_stream)
            assert key not in self._asked, f"{step} of a stream that was before"
            self._asked[key] = step.pushed_stream
            parent = id(step.stream)
            self._flow[key] = self._promises.get(parent, self._usual_flow)

    def ask_for(self, stream: Any, request: Any) -> Steps:
        if request.flow is not None:
            self._promises[id(stream)] = request.flow
        return super().ask_for(stream, request)

    def _check_losses(self, killed: set[int], unprocessed: set[int]) -> None:
        """Streams also fail while the connection lives. Those that failed with it are lost with it, and those never processed."""
        lost = {key for key, reason in self._failed.items() if isinstance(reason, (StreamClosed, Truncated))}
        # What carries another protocol is told the very reason for which the connection ended.
        tunnels = {key for key in self._tunnels if self._told.get(key) in ("upgrade", "tunnel")}
        lost |= {key for key in tunnels & set(self._failed) if self._failed[key] is self._why}
        # What was answered was processed, whatever the server says of it.
        refused = {key for key, reason in self._failed.items() if isinstance(reason, (StreamRefused, GoAway))}
        never = {key for key in refused - lost if not self._told.get(key)}
        never |= {key for key in self._tunnels - tunnels if isinstance(self._failed.get(key), (ShuttingDown, UpgradeRefused))}
        assert killed == lost, f"{self.core.losses()} are not the streams that were killed"
        assert unprocessed == never, f"{self.core.losses()} are not the streams that were not processed"


class Http2Case(SynchronousTestCase):
    """A test of what `core` does, whichever it is."""

    core: ClassVar[Callable[..., Any]] = Http2

    def talk(self, **options: Any) -> Http2Conversation:
        """A conversation that has begun; see `Http2Conversation`."""
        return Http2Conversation(type(self).core, **options)

    def at_every_cut(self, scene: Callable[[Http2Conversation], bytes], **options: Any) -> Http2Conversation:
        """
        The conversation after `scene`, which asks, and gives what the peer then sends.

        Wherever that is cut in two, and a byte at a time, the same must be told and the same frames sent.
        """
        whole = self.talk(**options)
        data = scene(whole)
        whole.receive(data)
        for at in range(len(data)):
            talk = self.talk(**options)
            again = scene(talk)
            if at:
                talk.receive(again[:at], again[at:])
            else:
                talk.receive_bytes(again)
            self.assertEqual(named(talk.outline), named(whole.outline), f"cut at {at}")
            self.assertEqual(talk.sent, whole.sent, f"cut at {at}")
        return whole


def named(outline: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """`outline` with streams as their names: a pushed stream is another one in each conversation."""
    return [tuple(str(part) if isinstance(part, Key) else part for part in entry) for entry in outline]


def pushed(steps: Steps) -> Any:
    """The stream that the only push in `steps` promises."""
    (stream,) = [step.pushed_stream for step in steps if isinstance(step, Push)]
    return stream
