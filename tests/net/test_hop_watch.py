"""`HopOptions.watch`, and what a core notices: what a hop tells for an event handler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import twisted_gun as gun
from tests.net.test_hop import HopCase
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.timer import Deadlines
from twisted_gun.wire.steps import Noticed, Write


class Watch:
    """Keeps what it is told, and may end the hop there."""

    def __init__(self, drop_at: str = "") -> None:
        self.told: list[Any] = []
        self.drop_at = drop_at

    def _was_told(self, hop: Hop[Any], *told: Any) -> None:
        self.told.append(told)
        if told[0] == self.drop_at:
            hop.drop()

    def connected(self, hop: Hop[Any], tls: bool) -> None:
        assert hop.transport is not None and not hasattr(hop, "core")
        self._was_told(hop, "connected", tls)

    def begun(self, hop: Hop[Any]) -> None:
        assert not hop.running
        self._was_told(hop, "begun", hop.core.name)

    def gone(self, hop: Hop[Any], reason: gun.GunError | None) -> None:
        self._was_told(hop, "gone", reason)


class WatchTests(HopCase):
    """What a hop tells."""

    def watched(self, drop_at: str = "") -> Watch:
        """A watch over the hop."""
        watch = Watch(drop_at)
        self.hop = Hop(self.above, Deadlines(self.clock), self.choose, None, replace(HopOptions(), watch=watch))
        return watch

    def test_noticed(self) -> None:
        """What a core notices is told in its turn, and does nothing else."""
        self.core.on_data = lambda data: [Write(b"a"), Noticed("request_start", 1), Write(b"b")]
        self.connect()
        self.peer.send(b"go")
        self.pump()
        self.assertEqual(self.above.said[1:], [("noticed", "request_start", 1)])
        self.assertEqual(self.writes, [b"ab"])

    def test_watched(self) -> None:
        """The transport, the core, the end: each before the one above hears of it."""
        watch = self.watched()
        self.above.react = lambda said: watch.told.append(said[0])
        self.connect()
        self.assertEqual(watch.told, [("connected", False), ("begun", "http"), "up"])
        self.peer.close()
        self.pump()
        self.assertEqual([told if told == "lost" else told[0] for told in watch.told[3:]], ["gone", "lost"])
        self.assertIs(watch.told[3][1], self.above.said[-1][1])

    def test_dropped_there(self) -> None:
        """A hop that is ended by whoever watches it does not begin."""
        for stage in ("connected", "begun"):
            self.setUp()
            watch = self.watched(stage)
            self.connect()
            self.assertEqual(self.above.names(), ["lost"])
            self.assertEqual(watch.told[-1][0], "gone")
            self.assertFalse(self.hop.running)
            self.assertEqual(hasattr(self.hop, "core"), stage == "begun")
            self.assert_nothing_left()
