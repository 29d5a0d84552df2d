"""The zope interfaces that applications fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

from twisted_gun import events, observations

if TYPE_CHECKING:
    from twisted_gun.cookies import Cookie, CookieUri

__all__ = ["ICookieStore", "IEventHandler", "IReceiver"]


class IReceiver(Interface):
    """
    Whoever is told things: one method an event, named as Gun's message.

    An owner is told of its connection: `gun_up`, `gun_down`, `gun_notify`, and, with ``event.stream`` None, `gun_error` and
    `gun_tunnel_up`. The receiver of a stream is told the rest. `twisted_gun.Receiver` implements all of them as no-ops. A receiver
    that raises is logged, and its stream ends with `StreamClosed`; the connection and the other streams live on.
    """

    def gun_up(event: events.Up) -> None:
        """The connection is up, for the first time or again."""

    def gun_down(event: events.Down) -> None:
        """The connection is down. It dials again by itself, as long as its retry options say so."""

    def gun_notify(event: events.Notify) -> None:
        """Something about the connection."""

    def gun_error(event: events.Error) -> None:
        """A stream has ended by an error; or, with ``event.stream`` None, the connection met one."""

    def gun_inform(event: events.Inform) -> None:
        """An interim (1xx) response; there may be several before the final one."""

    def gun_response(event: events.Response) -> None:
        """The head of the final response."""

    def gun_data(event: events.Data) -> None:
        """A piece of the response's content."""

    def gun_trailers(event: events.Trailers) -> None:
        """The trailer fields; they end the response."""

    def gun_push(event: events.Push) -> None:
        """The server promises a response nobody asked for; its stream, ``event.pushed_stream``, is told to this receiver too."""

    def gun_upgrade(event: events.Upgrade) -> None:
        """The server switched protocols; from here on `gun_data` brings that protocol's bytes, or `gun_ws` a websocket's frames."""

    def gun_tunnel_up(event: events.TunnelUp) -> None:
        """A tunnel is up: requests go through it. With ``event.stream`` None the owner is told, of the connection's own SOCKS proxy."""

    def gun_ws(event: events.Ws) -> None:
        """A frame of the websocket; a `Close` is the last."""

    def gun_sse(event: events.Sse) -> None:
        """An event of an event stream, where `SseHandler` reads the content; ``event.event`` None is the last."""


class ICookieStore(Interface):
    """
    Where cookies are kept, for one connection or for many: RFC 6265bis section 5.

    `uri` is a `CookieUri`: whom a request is for. It is asked, and told, in the midst of a connection's work, and must not wait.
    """

    def query(uri: CookieUri) -> Sequence[Cookie]:
        """The cookies that go with a request for `uri`, in their order (section 5.8.3)."""

    def set_cookie(uri: CookieUri, value: bytes) -> bool:
        """Take one Set-Cookie field that came in the response to a request for `uri` (section 5.7); whether it was taken."""

    def gc() -> None:
        """Drop the cookies that have expired."""

    def session_gc() -> None:
        """Drop those that were to be kept for this session only."""


class IEventHandler(Interface):
    """
    Whoever wants to see each step of a connection's work, for metrics, say: Gun's gun_event(3), one method a callback.

    All are called in the midst of that work and must not wait. They may call the connection's verbs: what is asked for joins the queue.
    One that raises is logged, and harms nobody. `twisted_gun.EventHandler` implements all as no-ops.
    """

    def init(event: observations.Initialised) -> None:
        """The connection begins its life; the first of all."""

    def domain_lookup_start(event: observations.DomainLookup) -> None:
        """A name is about to be looked up, in each attempt to connect."""

    def domain_lookup_end(event: observations.DomainLookup) -> None:
        """It was, or could not be."""

    def connect_start(event: observations.Connecting) -> None:
        """A connection is about to be made."""

    def connect_end(event: observations.Connecting) -> None:
        """It is there, or could not be made."""

    def tls_handshake_start(event: observations.TlsHandshake) -> None:
        """A TLS handshake begins: with the origin, with a proxy, or in a tunnel."""

    def tls_handshake_end(event: observations.TlsHandshake) -> None:
        """It is done, or has failed."""

    def request_start(event: observations.RequestHead) -> None:
        """A request is about to be sent; one that has waited was not told of before."""

    def request_headers(event: observations.RequestHead) -> None:
        """Its head was sent."""

    def request_end(event: observations.OfStream) -> None:
        """All of it was sent, its content too; not told where that never comes."""

    def push_promise_start(event: observations.OfStream) -> None:
        """The server promises a response nobody asked for."""

    def push_promise_end(event: observations.PromisedRequest) -> None:
        """What it promises; refused, where there is no stream for it."""

    def response_start(event: observations.OfStream) -> None:
        """A response begins, with its first head, of whatever status; once for each stream."""

    def response_inform(event: observations.ResponseHead) -> None:
        """An interim response (1xx) was received, the 101 of an upgrade too."""

    def response_headers(event: observations.ResponseHead) -> None:
        """The head of the final response was received."""

    def response_trailers(event: observations.ResponseTrailers) -> None:
        """Its trailer fields were received."""

    def response_end(event: observations.OfStream) -> None:
        """All of it was received: the end of a stream, unless it carries another protocol from here on."""

    def ws_upgrade(event: observations.UpgradeAsked) -> None:
        """A websocket is about to be asked for."""

    def ws_recv_frame_start(event: observations.FrameBegun) -> None:
        """A frame begins, as it is on the wire: the parts of a message are frames, and so are pings."""

    def ws_recv_frame_header(event: observations.FrameHead) -> None:
        """Its head was received."""

    def ws_recv_frame_end(event: observations.FrameRead) -> None:
        """All of it was received."""

    def ws_send_frame_start(event: observations.FrameSent) -> None:
        """A frame is about to be sent; pongs, and the pings of keepalive, too."""

    def ws_send_frame_end(event: observations.FrameSent) -> None:
        """It was sent."""

    def protocol_changed(event: observations.ProtocolChanged) -> None:
        """Another protocol is spoken from here on, on the connection or on one of its streams."""

    def origin_changed(event: observations.OriginChanged) -> None:
        """A proxy has made a tunnel, and leads on."""

    def cancel(event: observations.Cancelled) -> None:
        """A stream ends before its time, while its connection lives on."""

    def disconnect(event: observations.Disconnected) -> None:
        """The connection, which was up, is down."""

    def terminate(event: observations.Terminated) -> None:
        """The end of its life; the last of all."""
