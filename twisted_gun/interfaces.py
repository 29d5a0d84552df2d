"""The zope interfaces that applications fill."""

from __future__ import annotations

from zope.interface import Interface

from twisted_gun import events

__all__ = ["IReceiver"]


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
