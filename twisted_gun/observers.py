"""Who is told of each step of a connection's work: an event handler that does nothing, to be inherited from."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted_gun import observations as told
from twisted_gun.interfaces import IEventHandler

__all__ = ["EventHandler", "wants_frames"]

#: The callbacks of frames, of which there may be very many.
_OF_FRAMES = tuple(name for name in told.CALLBACKS if name.startswith(("ws_recv_", "ws_send_")))


@implementer(IEventHandler)
class EventHandler:
    """An event handler that does nothing; override the callbacks that you want. Gun's gun_default_event_h."""

    def init(self, event: told.Initialised) -> None:
        """The connection begins its life."""

    def domain_lookup_start(self, event: told.DomainLookup) -> None:
        """A name is about to be looked up."""

    def domain_lookup_end(self, event: told.DomainLookup) -> None:
        """It was, or could not be."""

    def connect_start(self, event: told.Connecting) -> None:
        """A connection is about to be made."""

    def connect_end(self, event: told.Connecting) -> None:
        """It is there, or could not be made."""

    def tls_handshake_start(self, event: told.TlsHandshake) -> None:
        """A TLS handshake begins."""

    def tls_handshake_end(self, event: told.TlsHandshake) -> None:
        """It is done, or has failed."""

    def request_start(self, event: told.RequestHead) -> None:
        """A request is about to be sent."""

    def request_headers(self, event: told.RequestHead) -> None:
        """Its head was sent."""

    def request_end(self, event: told.OfStream) -> None:
        """All of it was sent."""

    def push_promise_start(self, event: told.OfStream) -> None:
        """The server promises a response."""

    def push_promise_end(self, event: told.PromisedRequest) -> None:
        """What it promises."""

    def response_start(self, event: told.OfStream) -> None:
        """A response begins."""

    def response_inform(self, event: told.ResponseHead) -> None:
        """An interim response was received."""

    def response_headers(self, event: told.ResponseHead) -> None:
        """The head of the final response was received."""

    def response_trailers(self, event: told.ResponseTrailers) -> None:
        """Its trailer fields were received."""

    def response_end(self, event: told.OfStream) -> None:
        """All of it was received."""

    def ws_upgrade(self, event: told.UpgradeAsked) -> None:
        """A websocket is about to be asked for."""

    def ws_recv_frame_start(self, event: told.FrameBegun) -> None:
        """A frame begins."""

    def ws_recv_frame_header(self, event: told.FrameHead) -> None:
        """Its head was received."""

    def ws_recv_frame_end(self, event: told.FrameRead) -> None:
        """All of it was received."""

    def ws_send_frame_start(self, event: told.FrameSent) -> None:
        """A frame is about to be sent."""

    def ws_send_frame_end(self, event: told.FrameSent) -> None:
        """It was sent."""

    def protocol_changed(self, event: told.ProtocolChanged) -> None:
        """Another protocol is spoken from here on."""

    def origin_changed(self, event: told.OriginChanged) -> None:
        """A proxy leads on."""

    def cancel(self, event: told.Cancelled) -> None:
        """A stream ends before its time."""

    def disconnect(self, event: told.Disconnected) -> None:
        """The connection is down."""

    def terminate(self, event: told.Terminated) -> None:
        """Nothing more will be told."""


def wants_frames(handler: Any) -> bool:
    """Whether `handler` does anything with frames of websockets: not where it leaves those callbacks as they are in `EventHandler`."""
    return any(getattr(getattr(handler, name), "__func__", None) is not getattr(EventHandler, name) for name in _OF_FRAMES)
