"""The lives of other tests, with an event handler that looks on, and now and then asks for something: what it is told is in order."""

from __future__ import annotations

from typing import Any, ClassVar

from tests import test_chaos, test_http2_chaos, test_tunnels_chaos, test_websocket_chaos
from tests.observing import ObservedCase, Recorder


class Observed:
    """What makes a life one that is looked at."""

    recorder: ClassVar[Recorder]
    random: Any

    def make_world(self) -> Any:
        """The world, whose event handler asks for something, too."""
        type(self).recorder.react = self.look
        return super().make_world()  # type: ignore[misc]

    def look(self, name: str, event: object) -> None:
        """An observation."""
        if hasattr(self, "conn") and name != "terminate" and self.random.random() < 0.1:
            life: Any = self
            if life.depth < 2:
                life.depth += 1
                life.act()
                life.depth -= 1


class ObservedChaosCase(ObservedCase):
    """Plays lives."""

    def look_at(self, seed: int) -> None:
        """One life; that it is as it must be its own test says, here it is what was told of it."""
        self.recorder = Recorder()
        Observed.recorder = self.recorder
        self.check(seed)  # type: ignore[attr-defined]
        self.assert_in_order(self.recorder, seed)


class Http1Tests(ObservedChaosCase, test_chaos.ChaosCase):
    """Over HTTP/1.1."""

    class life(Observed, test_chaos.Life):  # noqa: N801, as the attribute it is
        """One of them."""

    def test_lives(self) -> None:
        """A hundred of them."""
        for seed in range(100):
            self.look_at(seed)


class Http2Tests(ObservedChaosCase, test_chaos.ChaosCase):
    """Over HTTP/2."""

    class life(Observed, test_http2_chaos._Life):  # noqa: N801
        """One of them."""

    def test_lives(self) -> None:
        """A hundred and fifty of them."""
        for seed in range(150):
            self.look_at(seed)


class Http2ReferenceTests(ObservedChaosCase, test_chaos.ChaosCase):
    """By the reference core."""

    class life(Observed, test_http2_chaos._ReferenceLife):  # noqa: N801
        """One of them."""

    def test_lives(self) -> None:
        """Thirty of them."""
        for seed in range(30):
            self.look_at(seed)


class WebsocketTests(ObservedChaosCase, test_chaos.ChaosCase):
    """With websockets over HTTP/1.1."""

    class life(Observed, test_websocket_chaos.Life):  # noqa: N801
        """One of them."""

    def test_lives(self) -> None:
        """A hundred of them."""
        for seed in range(100):
            self.look_at(seed)


class WebsocketHttp2Tests(ObservedChaosCase, test_chaos.ChaosCase):
    """With websockets over HTTP/2."""

    class life(Observed, test_websocket_chaos.Http2Life):  # noqa: N801
        """One of them."""

    def test_lives(self) -> None:
        """A hundred of them."""
        for seed in range(100):
            self.look_at(seed)


class WebsocketReferenceTests(ObservedChaosCase, test_chaos.ChaosCase):
    """By the reference core."""

    class life(Observed, test_websocket_chaos.Life):  # noqa: N801
        """One of them."""

        core = "wsproto"

    def test_lives(self) -> None:
        """Thirty of them."""
        for seed in range(30):
            self.look_at(seed)


class TunnelsTests(ObservedChaosCase, test_tunnels_chaos.ChaosTests):
    """Over random ways."""

    class life(Observed, test_tunnels_chaos.Life):  # noqa: N801
        """One of them."""

    def test_lives(self) -> None:
        """Thirty of them."""
        self.patch(test_tunnels_chaos, "Life", self.life)
        for seed in range(30):
            self.look_at(seed)
