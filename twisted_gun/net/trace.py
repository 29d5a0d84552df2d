"""The option `trace`: what happens to a connection is logged on its way. Bystanders: nothing else knows of them."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from twisted_gun.errors import GunError
from twisted_gun.events import shown_value
from twisted_gun.net.hop import Above, Hop
from twisted_gun.observations import CALLBACKS

__all__ = ["Traced", "TracedAbove"]

_log = Logger()

#: What `TracedAbove` logs anyway.
_TOLD = frozenset(name for name in CALLBACKS if name.startswith(("response_", "push_", "ws_recv_")))


class Traced:
    """
    An event handler that logs what is done: dialling, handshakes, requests, frames, ends. It passes all of it on to `handler`.

    Credentials in header fields are left out, and long values are cut.
    """

    log = _log

    def __init__(self, name: str, handler: Any) -> None:
        self._name = name
        self._handler = handler

    def __getattr__(self, callback: str) -> Any:
        if callback not in CALLBACKS:
            raise AttributeError(callback)

        def traced(observation: Any) -> None:
            if callback not in _TOLD:
                shown = "" if callback == "init" else f" {observation}"
                self.log.info("{name}: {callback}{shown}", name=self._name, callback=callback, shown=shown)
            if self._handler is not None:
                getattr(self._handler, callback)(observation)

        return traced


class TracedAbove:
    """An `Above` that logs what it is told, and passes it on to another."""

    log = _log

    def __init__(self, above: Above, name: str) -> None:
        self._above = above
        self._name = name

    def __getattr__(self, method: str) -> Any:
        told = getattr(self._above, method)
        if method in ("turn_over", "noticed"):  # of the latter `Traced` hears
            return told

        def traced(*arguments: Any) -> Any:
            shown = f"({', '.join(shown_value(argument) for argument in arguments)})"
            self.log.info("{name}: {method}{arguments}", name=self._name, method=method, arguments=shown)
            return told(*arguments)

        return traced

    def up(self, hop: Hop[Any]) -> None:
        """The core runs."""
        self.log.info("{name}: up, {protocol}", name=self._name, protocol=hop.core.name)
        self._above.up(hop)

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        """The transport is gone."""
        self.log.info("{name}: lost, {reason}", name=self._name, reason=reason)
        self._above.lost(hop, reason)
