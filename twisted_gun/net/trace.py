"""The option `trace`: what a hop tells and sends is logged on its way. A bystander: nothing else knows of it."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from twisted_gun.errors import GunError
from twisted_gun.events import shown_value
from twisted_gun.net.hop import Above, Hop

__all__ = ["Traced"]


class Traced:
    """An `Above` that logs what it is told, and passes it on to another."""

    log = Logger()

    def __init__(self, above: Above, name: str) -> None:
        self._above = above
        self._name = name

    def __getattr__(self, method: str) -> Any:
        told = getattr(self._above, method)
        if method == "turn_over":
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
