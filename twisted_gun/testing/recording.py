"""A receiver that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zope.interface import implementer

from twisted_gun.interfaces import IReceiver

__all__ = ["RecordingReceiver"]

_Event = TypeVar("_Event")


@implementer(IReceiver)
class RecordingReceiver:  # type: ignore[misc]  # its methods are made below, from the interface
    """
    An `IReceiver` that keeps all it is told in `events`, in order.

    `react`, if given, is called with each event after it was recorded: to act from within, or to raise::

        receiver = RecordingReceiver(react=lambda event: event.stream.cancel())
    """

    def __init__(self, react: Callable[[Any], object] | None = None) -> None:
        self.events: list[Any] = []
        self.react = react
        self._names: list[str] = []

    def of(self, kind: type[_Event]) -> list[_Event]:
        """The events of one type, in order: ``receiver.of(gun.Data)``."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self) -> list[str]:
        """The methods that were called, in order, as in ``["gun_up", "gun_response"]``."""
        return list(self._names)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.events.clear()
        self._names.clear()

    def _record(self, name: str, event: Any) -> None:
        self._names.append(name)
        self.events.append(event)
        if self.react is not None:
            self.react(event)


def _recording_method(name: str) -> Callable[[RecordingReceiver, Any], None]:
    def told(self: RecordingReceiver, event: Any) -> None:
        self._record(name, event)

    told.__name__, told.__doc__ = name, IReceiver[name].getDoc()
    return told


for _name in IReceiver.names(all=True):  # from the interface, so that an event added to it is recorded without a change here
    setattr(RecordingReceiver, _name, _recording_method(_name))
