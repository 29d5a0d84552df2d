"""What tests of websockets share: connections whose peer speaks them, over each protocol and by each core, and what was told and sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import twisted_gun as gun
from tests.stage import LifeCase
from twisted_gun.testing import Http2WebsocketPeer, MemoryGun, RecordingReceiver, WebsocketPeer

__all__ = ["PROTOCOLS", "WebsocketCase", "frames", "variants"]

#: What a websocket may go over.
PROTOCOLS = ("http", "http2")


class WebsocketCase(LifeCase):
    """Websockets over the protocol `http`, by the core `core`: over HTTP/1.1 by our own, unless `variants` says otherwise."""

    http: str = "http"
    core: str = "own"
    #: What `variants` makes of this case.
    over: ClassVar[Iterable[str]] = PROTOCOLS
    cores: ClassVar[Iterable[str]] = ("own", "wsproto")

    @property
    def http2(self) -> bool:
        """Whether the connection has other streams beside the websocket."""
        return self.http == "http2"

    def world(
        self, script: Any = (), *, end: Mapping[str, Any] | None = None, ws_opts: Mapping[str, Any] | None = None, **options: Any
    ) -> MemoryGun:
        """A world whose peers speak the websocket protocol; `end` are the peers' own options."""
        make: Callable[..., Any] = Http2WebsocketPeer if self.http2 else WebsocketPeer
        return MemoryGun(
            protocols=[self.http], peer=lambda: make(script, **(end or {})), ws_opts={"core": self.core, **(ws_opts or {})}, **options
        )

    def up(self, script: Any = (), **options: Any) -> MemoryGun:
        """A world whose connection is up."""
        world = self.world(script, **options)
        world.pump()
        return world

    def upgraded(self, script: Any = (), **options: Any) -> tuple[MemoryGun, gun.Stream]:
        """A world with a websocket, whose stream is its own mailbox."""
        world = self.up(script, **options)
        stream = world.connection.ws_upgrade("/", reply_to=None)
        world.pump()
        self.successResultOf(stream.await_upgrade())
        return world, stream

    def told(self, script: Any = (), **options: Any) -> tuple[MemoryGun, gun.Stream, RecordingReceiver]:
        """A world with a websocket, and one who is told everything, `Up` and `Upgrade` as well."""
        told = options.pop("told", None) or RecordingReceiver()
        world = self.up(script, owner=told, reply_to=told, **options)
        stream = world.connection.ws_upgrade("/")
        world.pump()
        self.assertEqual(told.names()[:2], ["gun_up", "gun_upgrade"])
        return world, stream, told

    def next_frame(self, stream: gun.Stream) -> Any:
        """The frame that is told next, and is there already."""
        event: Any = self.successResultOf(stream.await_event())
        self.assertIsInstance(event, gun.Ws)
        return event.frame

    def end(self, world: MemoryGun) -> None:
        """Close the connection, which leaves nothing behind."""
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def told_once(self, told: RecordingReceiver, stream: Any) -> Any:
        """The one last event of `stream`."""
        last = [event for event in told.events if getattr(event, "stream", None) is stream and event.fin]
        self.assertEqual(len(last), 1, told.events)
        self.assert_told_in_order(told)
        return last[0]


def frames(told: RecordingReceiver, stream: Any = None) -> list[Any]:
    """The frames that were told, of one stream or of all."""
    return [event.frame for event in told.of(gun.Ws) if stream in (None, event.stream)]


def variants(module: str) -> dict[str, type[WebsocketCase]]:
    """Each case of `module` again, over the other protocol and by the other core."""
    found = [case for case in vars(sys.modules[module]).values() if isinstance(case, type) and issubclass(case, WebsocketCase)]
    made = {}
    for case in found:
        if case.__module__ == module:
            for http in case.over:
                for core in case.cores:
                    if (http, core) != (case.http, case.core):
                        name = f"{case.__name__}{http.title()}{core.title()}"
                        made[name] = type(name, (case,), {"http": http, "core": core, "__module__": module, "__doc__": case.__doc__})
    return made
