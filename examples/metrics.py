"""
Export what connections do to Prometheus: ``python examples/metrics.py URL PORT``.

It asks for the URL once a second, and serves ``http://127.0.0.1:PORT/metrics``. `Metrics` is for any program: hand one instance to all of
its connections, as ``gun.open(..., event_handler=metrics)``. Needs ``pip install twisted_gun[metrics]``.
"""

import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from twisted.internet import task
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

import twisted_gun as gun
from twisted_gun import observations


class Metrics(gun.EventHandler):
    """An event handler for any number of connections; nothing of a peer's becomes a label, so that no peer can make as many as it likes."""

    def __init__(self, clock: Any, registry: CollectorRegistry = REGISTRY) -> None:
        self.now = clock.seconds
        self.begun: dict[Any, float] = {}
        self.there: set[gun.Connection] = set()
        self.statuses: dict[gun.Stream, str] = {}
        self.steps = Histogram("gun_connect_seconds", "Steps on the way to a connection.", ["step", "outcome"], registry=registry)
        self.up = Gauge("gun_connections", "Connections that are there now.", registry=registry)
        self.active = Gauge("gun_requests_active", "Requests without an end.", registry=registry)
        self.seconds = Histogram("gun_request_seconds", "From a request's beginning to its end.", ["outcome"], registry=registry)
        self.first = Histogram("gun_first_byte_seconds", "From a request's beginning to that of its response.", registry=registry)
        self.frames = Counter("gun_websocket_frames", "Frames of websockets.", ["direction"], registry=registry)
        self.bytes = Counter("gun_websocket_received_bytes", "Their payload, as it was received.", registry=registry)

    # Connections. The key of a step is its connection, and the tunnel that a handshake may be in.

    def begin(self, step: str, event: Any) -> None:
        self.begun[step, event.connection, getattr(event, "stream", None)] = self.now()

    def end(self, step: str, event: Any) -> None:
        began = self.begun.pop((step, event.connection, getattr(event, "stream", None)))
        self.steps.labels(step, "ok" if event.error is None else type(event.error).__name__).observe(self.now() - began)

    def domain_lookup_start(self, event: observations.DomainLookup) -> None:
        self.begin("lookup", event)

    def domain_lookup_end(self, event: observations.DomainLookup) -> None:
        self.end("lookup", event)

    def connect_start(self, event: observations.Connecting) -> None:
        self.begin("connect", event)

    def connect_end(self, event: observations.Connecting) -> None:
        self.end("connect", event)
        if event.error is None:
            self.there.add(event.connection)
            self.up.set(len(self.there))

    def tls_handshake_start(self, event: observations.TlsHandshake) -> None:
        self.begin("tls", event)

    def tls_handshake_end(self, event: observations.TlsHandshake) -> None:
        self.end("tls", event)
        if event.error is not None and event.stream is None:
            self.gone(event.connection)

    def terminate(self, event: observations.Terminated) -> None:
        self.gone(event.connection)

    def gone(self, connection: gun.Connection) -> None:
        self.there.discard(connection)
        self.up.set(len(self.there))

    # Requests: each that began ends once, by one of three.

    def request_start(self, event: observations.RequestHead) -> None:
        self.begun[event.stream] = self.now()
        self.active.inc()

    def response_start(self, event: observations.OfStream) -> None:
        if event.stream in self.begun:  # no pushed one
            self.first.observe(self.now() - self.begun[event.stream])

    def response_headers(self, event: observations.ResponseHead) -> None:
        self.statuses[event.stream] = f"{event.status // 100}xx"

    def response_end(self, event: observations.OfStream) -> None:
        self.over(event.stream, self.statuses.get(event.stream, ""))

    def protocol_changed(self, event: observations.ProtocolChanged) -> None:
        if event.stream is not None:
            self.over(event.stream, "101")  # over HTTP/1.1; over HTTP/2 its response had its end

    def cancel(self, event: observations.Cancelled) -> None:
        self.over(event.stream, type(event.reason).__name__)

    def disconnect(self, event: observations.Disconnected) -> None:
        self.gone(event.connection)
        for stream in event.streams:
            self.over(stream, "cut off")

    def over(self, stream: gun.Stream, outcome: str) -> None:
        self.statuses.pop(stream, None)
        began = self.begun.pop(stream, None)
        if began is not None:
            self.active.dec()
            self.seconds.labels(outcome).observe(self.now() - began)

    # Websockets.

    def ws_recv_frame_end(self, event: observations.FrameRead) -> None:
        self.frames.labels("received").inc()
        self.bytes.inc(len(event.payload))

    def ws_send_frame_end(self, event: observations.FrameSent) -> None:
        self.frames.labels("sent").inc()


class Exposition(Resource):
    """What Prometheus scrapes."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-type", CONTENT_TYPE_LATEST)
        return generate_latest()


def main(reactor: Any, url: str, port: str) -> Any:
    listening = reactor.listenTCP(int(port), Site(Exposition()), interface="127.0.0.1")
    print(f"http://127.0.0.1:{listening.getHost().port}/metrics", flush=True)
    conn = gun.open_url(url, reactor=reactor, event_handler=Metrics(reactor), retry_fun=gun.backoff())
    path = urlunsplit(("", "", *urlsplit(url)[2:4], "")) or "/"
    return task.LoopingCall(lambda: conn.get(path, reply_to=gun.Receiver())).start(1.0)


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
