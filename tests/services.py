"""A receiver that is a service, for the tests of what runs such ones."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred

import twisted_gun as gun

__all__ = ["ServiceReceiver"]


class ServiceReceiver(Service, gun.Receiver):
    """A receiver that is a service: it keeps what happens to it, in order; `stopping` is what its end waits for."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.stopping: Deferred[None] | None = None

    def startService(self) -> None:
        Service.startService(self)
        self.told.append("start")

    def stopService(self) -> Deferred[None] | None:
        Service.stopService(self)
        self.told.append("stop")
        return self.stopping

    def gun_up(self, event: gun.Up) -> None:
        self.told.append("up")

    def gun_response(self, event: gun.Response) -> None:
        self.told.append("response")
