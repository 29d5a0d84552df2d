"""
What runs on the bytes of a stream since its request was answered: a hop of its own, over a tunnel; and all of those of a connection.

The connection below tells it of the tunnel, its own hop what comes of that; what is for the stream's owner goes to the connection
again, as what is told of any stream. Frames of a websocket may go through a protocol of the application's first (`WsProtocol`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted_gun.errors import BadState, ConnectionFailed, GunError, StreamRefused
from twisted_gun.events import Error, Frame, Headers, Ping, Pong, StreamEvent, Upgrade, Ws
from twisted_gun.net.hop import Hop, HopOptions
from twisted_gun.net.trace import Traced
from twisted_gun.net.tunnel import TRANSPORT, TunnelTransport
from twisted_gun.options import WsOptions
from twisted_gun.outgoing import outgoing
from twisted_gun.stream import Stream
from twisted_gun.upgrading import WsUpgrade
from twisted_gun.wire.core import WsCore
from twisted_gun.wire.cores import websocket_core
from twisted_gun.wire.handshake import check_answer
from twisted_gun.wire.steps import Write

if TYPE_CHECKING:
    from twisted_gun.connection import Connection

__all__ = ["Layer", "Layers", "WsProtocol"]


class WsProtocol:
    """
    What an application makes of the frames of a subprotocol: `handle` is given each; Gun's gun_ws_protocol.

    `headers` are those of the response that accepted the websocket, `options` the `WsOptions` it was asked for with.
    """

    def __init__(self, stream: Stream, headers: Headers, options: WsOptions) -> None:
        self.stream = stream
        self.headers = headers
        self.options = options

    def handle(self, frame: Frame) -> int | None:
        """
        Take `frame`; how much of the stream's flow that costs, None for 1.

        This one tells it, unless it is a ping or a pong and ``silence_pings`` is set. A `Close` that is not told here is told afterwards.
        """
        if self.options.silence_pings and isinstance(frame, (Ping, Pong)):
            return 0
        self.tell(frame)
        return 1

    def tell(self, frame: Frame) -> None:
        """Tell `frame` to whoever is told of the stream."""
        self.stream.connection.tell(Ws(stream=self.stream, frame=frame))


class Layer:
    """The websocket that `stream` has become: an `Above` of its hop, which runs `core`, and below that a tunnel over `outer`."""

    hop: Hop[WsCore]

    def __init__(self, connection: Connection, outer: Hop[Any], stream: Stream, core: WsCore, protocol: Any, trace: bool) -> None:
        self.stream = stream
        self.core = core
        #: Why it was given up, if it was.
        self.reason: GunError | None = None
        self._connection = connection
        self._protocol = protocol
        #: Where its hop takes what happens.
        self.tell: Callable[[StreamEvent], None] = connection.tell if protocol is None else self._tell
        deadlines = connection._deadlines
        self._now = deadlines.now
        self.tunnel = TunnelTransport(outer, stream, deadlines.now, outer.core.switched)
        above: Any = Traced(self, f"{connection.destination} ws") if trace else self
        # Whether the peer takes what is sent the hop below watches.
        self.hop = Hop(above, deadlines, lambda _: core, options=HopOptions(send_timeout=None))

    def __getattr__(self, name: str) -> Any:
        # Whatever is no matter of this layer: accepting, turn_over, ping_answered and so on.
        return getattr(self._connection, name)

    # From the stream and the connection.

    @property
    def open(self) -> bool:
        """Whether frames may be sent."""
        return self.core.open and not self.stream.ended

    def send(self, frames: object) -> None:
        """Send frames; raises `InvalidRequest` or `BadState`."""
        if self.stream.ended:
            raise BadState("the websocket has ended: it takes no more frames")
        hop, core = self.hop, self.core
        if type(frames) is str or type(frames) is bytes:
            data = core.small(frames)
            if data is not None:
                hop.write(data)
                return
        pieces = core.send(outgoing(frames), self._now())
        if core.open:
            if len(pieces) == 1:
                hop.write(pieces[0])
            else:
                hop.write_all(pieces)
        else:  # a Close frame goes behind all that was asked for before; the time for the handshake runs
            hop.perform([Write(piece) for piece in pieces])
            self.stream._stop_producer()

    def shutdown(self) -> None:
        """Begin the closing handshake."""
        if self.hop.running:
            self.hop.perform(self.core.shutdown(self._now()))
            self.stream._stop_producer()

    def drop(self) -> None:
        """End at once, and tell nothing."""
        self.hop.drop()

    # From the hop: `net.hop.Above`.

    def up(self, hop: Hop[Any]) -> None:
        """Its owner is told by `Upgrade`."""

    def _tell(self, event: StreamEvent) -> None:
        if type(event) is not Ws:
            self._connection.tell(event)
        elif not self.stream.ended:
            self._handle(event)

    def stream_failed(self, stream: Stream, reason: GunError) -> None:
        if isinstance(reason, ConnectionFailed):  # what the peer did is why the connection ends too, whoever closes it
            self.reason = reason
        self._connection.tell(Error(connection=self._connection, stream=stream, reason=reason))

    def upload_paused(self, stream: Stream | None, paused: bool) -> None:
        self.stream._block(TRANSPORT, paused)

    def violated(self, reason: GunError) -> None:
        self.reason = reason  # of which the connection's owner hears when it is down

    def lost(self, hop: Hop[Any], reason: GunError | None) -> None:
        self._connection._layers.over(self)

    def _handle(self, event: Ws) -> None:
        connection, stream = self._connection, self.stream
        try:
            cost = _checked(self._protocol.handle(event.frame))
        except Exception:
            connection._receiver_raised(self._protocol, event, stream)
            return
        if stream.ended:
            return
        if event.fin:
            connection.tell(event)
        elif cost is not None and cost != 1 and self.hop.running:
            self.hop.perform(self.core.update_flow(stream, 1 - cost, self._now()))


def _checked(cost: Any) -> int | None:
    """What a protocol's `handle` gave; raises TypeError where that is no cost."""
    if cost is not None and type(cost) is not int:
        if iscoroutine(cost):
            cost.close()  # which nobody would await
        raise TypeError(f"handle must give the cost of a frame, an int, or None, not {type(cost).__name__}")
    return cost


class Layers:
    """The layers of a connection; `only` is the one that has the whole connection to itself, if one does."""

    def __init__(self, connection: Connection) -> None:
        self.only: Layer | None = None
        self._connection = connection
        self._layers: dict[Stream, Layer] = {}
        self._killed: list[Any] = []  # streams inside others that ended with the connection
        self.get = self._layers.get

    def all(self) -> list[Layer]:
        """Those that have not ended."""
        return list(self._layers.values())

    def streams(self) -> list[Stream]:
        """The streams that carry them; what those are told may have ended before."""
        return list(self._layers)

    def begin(self, stream: Stream, asked: WsUpgrade, event: Upgrade) -> bool:
        """The server says that `stream` is a websocket now; whether what it answered lets it be one."""
        connection, options = self._connection, asked.options
        hop = connection._hop
        assert hop is not None
        try:
            agreement = check_answer(asked.request.headers, event.headers, options, hop.core.switched)
        except GunError as error:
            connection._fail_stream(stream, error)
            return False
        make = dict(options.protocols).get(agreement.protocol) or options.default_protocol
        try:
            protocol = None if make is None else make(stream, event.headers, options)
        except Exception:
            connection._receiver_raised(make, event, stream)
            return False
        if stream.ended:  # by what it made
            return False
        core = websocket_core(stream, options, agreement, options.silence_pings and protocol is None)
        layer = Layer(connection, hop, stream, core, protocol, connection._options.trace)
        self._layers[stream] = stream._layer = layer
        if hop.core.switched:
            self.only = layer
        layer.tunnel.block(TRANSPORT, connection._transport_paused)
        layer.tunnel.connect(layer.hop)
        # The layer's turns are turns: those who are woken in them may end the stream, and with it the layer.
        if stream._granted and not stream.ended:
            layer.hop.perform(core.update_flow(stream, stream._granted, layer.hop._now()))
        if connection._factory.ending and not stream.ended:
            layer.shutdown()
        if hop.core.switched:  # only now, for whoever is told may do anything
            connection._fail_pending(StreamRefused("the connection is a websocket now; this request was not sent: send it on another"))
        return not stream.ended

    def over(self, layer: Layer) -> None:
        """`layer` has ended: its stream, its hop and itself hold each other no longer, for the garbage collector's sake."""
        stream = layer.stream
        self._layers.pop(stream, None)
        stream._layer, stream._closed = None, layer.core.closed
        del layer.hop, layer.tell
        hop = self._connection._hop
        if hop is None or hop.lost or not hop.running:
            self._killed += layer.core.losses().killed

    def protocol(self, hop: Hop[Any]) -> str:
        """Gun's name of what is spoken over `hop`, the connection's."""
        name: str = hop.core.name if self.only is None else self.only.core.name
        return name

    def why(self, reason: GunError | None) -> GunError | None:
        """Why the connection ended, where its transport did by `reason`: after a closing handshake in good order."""
        if self.only is None:
            return reason
        return None if self.only.core.closed else self.only.reason or reason

    def killed(self, below: Iterable[Any]) -> tuple[Any, ...]:
        """The streams that ended with the connection: of those `below`, but for websockets that had been closed, and of those inside."""
        return tuple(dict.fromkeys([*(stream for stream in below if not stream._closed), *self._killed]))

    def clear(self) -> None:
        """The connection has ended."""
        self.only = None
        self._killed.clear()
